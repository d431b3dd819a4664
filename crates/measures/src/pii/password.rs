//! Passwords in URLs and behind words.

use super::scan::Text;
use super::secret::{assigned, ends_value, made_up};
use crate::Spot;

/// Bytes of a URL at most.
const URL_MAX: usize = 512;
const PASSWORD_MAX: usize = 64;

/// `scheme://user:password@host`, the whole address: what is around a password tells where it opens.
pub(super) fn in_url(text: &Text, colon: usize, found: &mut Vec<Spot>) {
    let scheme = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.');
    let len = text.b[..colon].iter().rev().take(24).take_while(|c| scheme(c)).count();
    let start = colon - len;
    let rest = text.after(colon + 3, URL_MAX);
    // A slash ends the name of the host, so an @ behind one belongs to a path.
    let authority = &rest[..rest.bytes().take_while(|c| !ends_value(*c) && *c != b'/').count()];
    let Some((user_info, host)) = authority.rsplit_once('@') else { return };
    let Some((user, password)) = user_info.split_once(':') else { return };
    if len == 0 || password.is_empty() || !host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') {
        return;
    }
    let url = &rest[..rest.bytes().take_while(|c| !ends_value(*c)).count()];
    let url = url.trim_end_matches(['.', ',', ';', ')', ']', '}', '!', '?', ':', '*', '\\']);
    let at = start..colon + 3 + url.len();
    let here = host.starts_with("localhost") || host.starts_with("127.0.0.1");
    let confidence = match () {
        () if stands_for_any(password) || user.starts_with(['<', '{', '$', '[']) => 0.35,
        () if user == password && here => 0.4,
        () => 0.98,
    };
    found.push(Spot { kind: "url_password", rule: "url_password", at, confidence });
}

/// `password: …`, 密码是…: what stands behind, if it looks like a password and not like a sentence or code.
pub(super) fn behind_word(text: &Text, begin: usize, end: usize, found: &mut Vec<Spot>) {
    let word = &text.s[begin..end];
    let letter = |byte: Option<u8>| byte.is_some_and(|c| c.is_ascii_alphanumeric());
    let short = word.len() <= 4 && word.is_ascii();
    if letter(text.byte(end)) && word.is_ascii() || (short && letter(text.byte_before(begin))) {
        return;
    }
    let Some(value) = assigned(text, end) else {
        if !word.is_ascii() {
            glued(text, end, found);
        }
        return;
    };
    let rest = text.after(value.start, PASSWORD_MAX + 1);
    let body = match value.quote {
        Some(quote) => match rest.bytes().position(|c| c == quote || c == b'\n') {
            Some(end) if rest.as_bytes()[end] == quote => &rest[..end],
            _ => return,
        },
        None => {
            let body = &rest[..rest.bytes().take_while(|c| !ends_value(*c) && *c != b',' && *c != b';').count()];
            body.trim_end_matches(['.', ':', ')', '?', '*', '\\', '}'])
        }
    };
    if !(4..=PASSWORD_MAX).contains(&body.len()) || !body.is_ascii() || body.contains(' ') {
        return;
    }
    let at = value.start..value.start + body.len();
    let confidence = believe(body, value.quote.is_some(), value.prose || !word.is_ascii());
    let code = value.quote.is_none() && matches!(text.byte(at.end), Some(b'(' | b'['));
    found.push(Spot { kind: "password", rule: "password", at, confidence: if code { 0.2 } else { confidence } });
}

/// 密码Zx8kq2Lm, with nothing between.
fn glued(text: &Text, end: usize, found: &mut Vec<Spot>) {
    let rest = text.after(end, PASSWORD_MAX + 1);
    let gap = usize::from(rest.starts_with(' '));
    let len = rest[gap..].bytes().take_while(|c| !ends_value(*c) && *c != b',' && *c != b';').count();
    let body = rest[gap..gap + len].trim_end_matches(['.', ':', ')', '?']);
    if (6..=PASSWORD_MAX).contains(&body.len()) && believe(body, false, true) >= 0.8 {
        let start = end + gap;
        found.push(Spot { kind: "password", rule: "password", at: start..start + body.len(), confidence: 0.6 });
    }
}

fn believe(body: &str, quoted: bool, prose: bool) -> f32 {
    let count = |is: fn(&u8) -> bool| body.bytes().filter(is).count();
    let (upper, lower) = (count(u8::is_ascii_uppercase), count(u8::is_ascii_lowercase));
    let digits = count(u8::is_ascii_digit);
    let signs = body.len() - upper - lower - digits;
    let mild = body.bytes().filter(|c| matches!(c, b'-' | b'_' | b'.' | b'\'' | b'/' | b':')).count();
    let code = body.contains(['(', '[', '{', '<'])
        || body.contains(":\\")
        || body.starts_with(['$', '%', '@', '&', '/', '-', '*', '#']);
    // words2: a word and a short number, as in base64, sha256, utf8.
    let ends = body.trim_end_matches(|c: char| c.is_ascii_digit());
    let counted = signs == 0 && upper == 0 && ends.bytes().all(|c| c.is_ascii_lowercase()) && digits <= 3;
    match () {
        () if stands_for_any(body) || made_up(body) => 0.3,
        () if code && !(quoted && signs - mild > 0 && digits > 0) => 0.2,
        () if upper + lower == 0 && signs == 0 => 0.55 - if digits < 6 { 0.15 } else { 0.0 },
        () if digits == 0 && (signs == mild) => 0.2,
        () if digits == 0 => 0.6,
        () if body.len() < 6 => 0.4,
        () if counted => 0.45 + if quoted || prose { 0.1 } else { 0.0 },
        () if upper + lower == 0 => 0.4,
        () => 0.8,
    }
}

/// Passwords that everybody writes where none is meant.
fn stands_for_any(password: &str) -> bool {
    const KNOWN: [&str; 40] = [
        "password",
        "pass",
        "passwd",
        "pwd",
        "pw",
        "secret",
        "changeme",
        "mypassword",
        "yourpassword",
        "my_password",
        "your_password",
        "your-password",
        "userpassword",
        "user_password",
        "dbpassword",
        "db_password",
        "admin",
        "root",
        "test",
        "testing",
        "guest",
        "user",
        "username",
        "example",
        "string",
        "none",
        "null",
        "true",
        "false",
        "123",
        "1234",
        "12345",
        "123456",
        "1234567",
        "12345678",
        "123456789",
        "111111",
        "000000",
        "password123",
        "888888",
    ];
    let lower = password.to_ascii_lowercase();
    let covered = lower.bytes().all(|c| c == b'x' || c.is_ascii_punctuation());
    KNOWN.contains(&lower.as_str()) || covered || password.starts_with(['<', '{', '$', '[', '%'])
}

#[cfg(test)]
mod tests {
    use super::super::find;

    fn found(text: &str) -> Vec<(&'static str, &str)> {
        find(text).into_iter().filter(|s| s.confidence >= 0.5).map(|s| (s.rule, &text[s.at])).collect()
    }

    #[test]
    fn passwords() {
        for (text, rule, value) in [
            (
                "url: postgres://app:P3IVFvCXTqzG8y@db.example.com:5432/prod",
                "url_password",
                "postgres://app:P3IVFvCXTqzG8y@db.example.com:5432/prod",
            ),
            ("连接redis://:s3cr3tPW@10.2.3.4:6379/0即可", "url_password", "redis://:s3cr3tPW@10.2.3.4:6379/0"),
            ("see https://bob:p@ss:w0rd@host.io/a/b.", "url_password", "https://bob:p@ss:w0rd@host.io/a/b"),
            ("password: Tr0ub4dor&3", "password", "Tr0ub4dor&3"),
            ("DB_PASSWORD=\"Xk29!mmQ\"", "password", "Xk29!mmQ"),
            ("初始密码是Abc@2024xyz，请修改", "password", "Abc@2024xyz"),
            ("登录密码：837261", "password", "837261"),
            ("用户名admin，密码Zx8kq2Lm。", "password", "Zx8kq2Lm"),
            ("my password is hunter2.", "password", "hunter2"),
        ] {
            assert_eq!(found(text), [(rule, value)], "{text}");
        }
    }

    #[test]
    fn what_is_no_password() {
        for text in [
            "postgres://user:password@localhost/db",
            "https://<user>:<password>@host",
            "http://localhost:8080/a@b",
            "https://medium.com/@user:id",
            "password: must be 8 characters",
            "password = get_password()",
            "password=os.environ[\"P4SSWORD_X\"]",
            "password is case-sensitive",
            "密码是否正确",
            "密码：123456",
            "password: ********",
            "password = \":****\"",
            "passwords: abc123def",
            "密码为[PASSWORD]",
            "password = user.password",
            "pwd=C:\\Users\\bob1",
            "password: \"your_password\"",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
