//! Keys and tokens of services by their prefixes, private keys, and what stands behind words such as `api_key`.

use super::scan::{Text, alone};
use super::{local, net, password};
use crate::Spot;
use aho_corasick::{AhoCorasick, MatchKind};
use std::sync::LazyLock;

/// Bytes of a private key at most; a block that does not end by then is taken as far as its lines go.
const PEM_MAX: usize = 1 << 14;

/// How a word and its value are joined.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    /// A colon, an equals sign, 是, 为, `is`.
    Explicit,
    Bare,
}

/// Which characters a key consists of behind its prefix.
#[derive(Clone, Copy)]
enum Of {
    Alnum,
    Upper,
    Hex,
    Word,
    Dash,
    Dotted,
    Base64,
    Path,
}

impl Of {
    fn has(self, c: u8) -> bool {
        match self {
            Self::Alnum => c.is_ascii_alphanumeric(),
            Self::Upper => c.is_ascii_uppercase() || c.is_ascii_digit(),
            Self::Hex => c.is_ascii_hexdigit(),
            Self::Word => c.is_ascii_alphanumeric() || c == b'_',
            Self::Dash => c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-'),
            Self::Dotted => c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'),
            Self::Base64 => c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'='),
            Self::Path => c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'/'),
        }
    }
}

/// Keys that a service marks: prefix, rule, kind, characters, least and most of them.
struct Form(&'static str, &'static str, &'static str, Of, usize, usize);

const KEY: &str = "api_key";
const TOKEN: &str = "token";

#[rustfmt::skip]
const FORMS: &[Form] = &[
    Form("AKIA", "aws_access_key", KEY, Of::Upper, 16, 16),
    Form("ASIA", "aws_access_key", KEY, Of::Upper, 16, 16),
    Form("AROA", "aws_access_key", KEY, Of::Upper, 16, 16),
    Form("AIDA", "aws_access_key", KEY, Of::Upper, 16, 16),
    Form("ABIA", "aws_access_key", KEY, Of::Upper, 16, 16),
    Form("ACCA", "aws_access_key", KEY, Of::Upper, 16, 16),
    Form("LTAI", "alibaba_access_key", KEY, Of::Alnum, 12, 26),
    Form("AKID", "tencent_secret_id", KEY, Of::Alnum, 32, 32),
    Form("AIza", "google_api_key", KEY, Of::Dash, 35, 35),
    Form("GOCSPX-", "google_client_secret", KEY, Of::Dash, 28, 28),
    Form("ya29.", "google_oauth_token", TOKEN, Of::Dash, 30, 400),
    Form("sk-ant-", "anthropic_key", KEY, Of::Dash, 24, 200),
    Form("sk-or-v1-", "openrouter_key", KEY, Of::Alnum, 32, 80),
    Form("sk-proj-", "openai_key", KEY, Of::Dash, 20, 250),
    Form("sk-svcacct-", "openai_key", KEY, Of::Dash, 20, 250),
    Form("sk-admin-", "openai_key", KEY, Of::Dash, 20, 250),
    Form("sk-", "openai_key", KEY, Of::Dash, 20, 250),
    Form("sk_live_", "stripe_key", KEY, Of::Alnum, 16, 250),
    Form("sk_test_", "stripe_key", KEY, Of::Alnum, 16, 250),
    Form("rk_live_", "stripe_key", KEY, Of::Alnum, 16, 250),
    Form("rk_test_", "stripe_key", KEY, Of::Alnum, 16, 250),
    Form("pk_live_", "stripe_key", KEY, Of::Alnum, 16, 250),
    Form("whsec_", "stripe_key", KEY, Of::Base64, 24, 80),
    Form("SG.", "sendgrid_key", KEY, Of::Dotted, 60, 70),
    Form("key-", "mailgun_key", KEY, Of::Hex, 32, 32),
    Form("dapi", "databricks_key", KEY, Of::Hex, 32, 32),
    Form("gsk_", "groq_key", KEY, Of::Alnum, 40, 64),
    Form("r8_", "replicate_key", KEY, Of::Alnum, 37, 40),
    Form("pplx-", "perplexity_key", KEY, Of::Alnum, 40, 64),
    Form("xai-", "xai_key", KEY, Of::Alnum, 60, 100),
    Form("tvly-", "tavily_key", KEY, Of::Dash, 20, 64),
    Form("lin_api_", "linear_key", KEY, Of::Alnum, 32, 48),
    Form("PMAK-", "postman_key", KEY, Of::Dash, 50, 70),
    Form("secret_", "notion_key", KEY, Of::Alnum, 43, 43),
    Form("ntn_", "notion_key", KEY, Of::Alnum, 40, 60),
    Form("shpat_", "shopify_key", KEY, Of::Hex, 32, 32),
    Form("shpca_", "shopify_key", KEY, Of::Hex, 32, 32),
    Form("shppa_", "shopify_key", KEY, Of::Hex, 32, 32),
    Form("shpss_", "shopify_key", KEY, Of::Hex, 32, 32),
    Form("sq0atp-", "square_key", KEY, Of::Dash, 22, 22),
    Form("sq0csp-", "square_key", KEY, Of::Dash, 43, 43),
    Form("rzp_live_", "razorpay_key", KEY, Of::Alnum, 14, 14),
    Form("NRAK-", "newrelic_key", KEY, Of::Upper, 27, 27),
    Form("AccountKey=", "azure_storage_key", KEY, Of::Base64, 80, 90),
    Form("AGE-SECRET-KEY-1", "age_key", "private_key", Of::Upper, 58, 58),
    Form("ghp_", "github_token", TOKEN, Of::Alnum, 36, 255),
    Form("gho_", "github_token", TOKEN, Of::Alnum, 36, 255),
    Form("ghu_", "github_token", TOKEN, Of::Alnum, 36, 255),
    Form("ghs_", "github_token", TOKEN, Of::Alnum, 36, 255),
    Form("ghr_", "github_token", TOKEN, Of::Alnum, 36, 255),
    Form("github_pat_", "github_token", TOKEN, Of::Word, 50, 100),
    Form("glpat-", "gitlab_token", TOKEN, Of::Dash, 20, 64),
    Form("glrt-", "gitlab_token", TOKEN, Of::Dash, 20, 64),
    Form("xoxb-", "slack_token", TOKEN, Of::Dash, 20, 300),
    Form("xoxa-", "slack_token", TOKEN, Of::Dash, 20, 300),
    Form("xoxp-", "slack_token", TOKEN, Of::Dash, 20, 300),
    Form("xoxr-", "slack_token", TOKEN, Of::Dash, 20, 300),
    Form("xoxs-", "slack_token", TOKEN, Of::Dash, 20, 300),
    Form("xoxe-", "slack_token", TOKEN, Of::Dash, 20, 300),
    Form("xapp-", "slack_token", TOKEN, Of::Dash, 20, 300),
    Form("hooks.slack.com/services/", "slack_webhook", TOKEN, Of::Path, 30, 100),
    Form("discord.com/api/webhooks/", "discord_webhook", TOKEN, Of::Path, 40, 120),
    Form("discordapp.com/api/webhooks/", "discord_webhook", TOKEN, Of::Path, 40, 120),
    Form("hf_", "huggingface_token", TOKEN, Of::Alnum, 30, 40),
    Form("npm_", "npm_token", TOKEN, Of::Alnum, 36, 36),
    Form("pypi-", "pypi_token", TOKEN, Of::Dash, 60, 300),
    Form("dckr_pat_", "docker_token", TOKEN, Of::Dash, 20, 40),
    Form("dop_v1_", "digitalocean_token", TOKEN, Of::Hex, 64, 64),
    Form("doo_v1_", "digitalocean_token", TOKEN, Of::Hex, 64, 64),
    Form("ATATT3", "atlassian_token", TOKEN, Of::Base64, 60, 300),
    Form("hvs.", "vault_token", TOKEN, Of::Dash, 24, 150),
    Form("glsa_", "grafana_token", TOKEN, Of::Word, 32, 64),
    Form("figd_", "figma_token", TOKEN, Of::Dash, 40, 50),
    Form("sbp_", "supabase_token", TOKEN, Of::Hex, 40, 40),
    Form("rubygems_", "rubygems_token", TOKEN, Of::Hex, 48, 48),
];

/// Words whose value is a key or token, whatever its form.
const KEY_WORDS: &[&str] = &[
    "api_key",
    "api-key",
    "api key",
    "apikey",
    "app_key",
    "appkey",
    "secret_key",
    "secret-key",
    "secret key",
    "secretkey",
    "access_key",
    "access-key",
    "access key",
    "accesskey",
    "account_key",
    "encryption_key",
    "signing_key",
    "client_secret",
    "client-secret",
    "client secret",
    "clientsecret",
    "app_secret",
    "appsecret",
    "consumer_secret",
    "webhook_secret",
    "shared_secret",
    "secret",
    "密钥",
    "秘钥",
];
const TOKEN_WORDS: &[&str] = &[
    "access_token",
    "access-token",
    "access token",
    "accesstoken",
    "auth_token",
    "auth-token",
    "auth token",
    "authtoken",
    "api_token",
    "api token",
    "refresh_token",
    "private_token",
    "bot_token",
    "token",
    "令牌",
];
const AWS_WORDS: &[&str] = &[
    "aws_secret_access_key",
    "aws_secret_key",
    "secret_access_key",
    "aws secret access key",
    "secretaccesskey",
    "aws secret key",
    "aws_secret",
];
const PASSWORD_WORDS: &[&str] = &["password", "passwd", "passphrase", "passcode", "pwd", "pass", "psw", "密码", "口令"];
const WECHAT_WORDS: &[&str] = &["微信", "薇信", "威信号", "wechat", "weixin", "wx", "vx", "v信"];
const QQ_WORDS: &[&str] = &["qq", "扣扣", "企鹅号"];

#[derive(Clone, Copy)]
enum Anchor {
    Form(usize),
    Jwt,
    Pem,
    Url,
    Telegram,
    Bearer,
    Basic,
    Aws,
    Key,
    Token,
    Password,
    WeChat,
    WeChatId,
    Qq,
    At,
}

struct Anchors {
    search: AhoCorasick,
    anchors: Vec<Anchor>,
}

static ANCHORS: LazyLock<Anchors> = LazyLock::new(|| {
    let mut entries: Vec<(Anchor, &str)> =
        FORMS.iter().enumerate().map(|(index, form)| (Anchor::Form(index), form.0)).collect();
    entries.extend([
        (Anchor::Jwt, "eyJ"),
        (Anchor::Pem, "-----BEGIN "),
        (Anchor::Url, "://"),
        (Anchor::Telegram, ":AA"),
        (Anchor::Bearer, "bearer "),
        (Anchor::Basic, "authorization: basic "),
        (Anchor::Bearer, "authorization: token "),
        (Anchor::At, "[at]"),
        (Anchor::At, "(at)"),
        (Anchor::WeChatId, "wxid_"),
    ]);
    let lists = [
        (Anchor::Aws, AWS_WORDS),
        (Anchor::Key, KEY_WORDS),
        (Anchor::Token, TOKEN_WORDS),
        (Anchor::Password, PASSWORD_WORDS),
        (Anchor::WeChat, WECHAT_WORDS),
        (Anchor::Qq, QQ_WORDS),
    ];
    entries.extend(lists.into_iter().flat_map(|(anchor, words)| words.iter().map(move |word| (anchor, *word))));
    let (anchors, patterns): (Vec<Anchor>, Vec<&str>) = entries.into_iter().unzip();
    let search = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(aho_corasick::AhoCorasickKind::DFA))
        .build(&patterns)
        .expect("a short list of prefixes makes an automaton");
    Anchors { search, anchors }
});

/// Everything that begins at, or stands behind, one of the anchors.
pub(super) fn anchored(text: &Text, found: &mut Vec<Spot>) {
    for anchor in ANCHORS.search.find_iter(text.s) {
        let (begin, end) = (anchor.start(), anchor.end());
        match ANCHORS.anchors[anchor.pattern().as_usize()] {
            Anchor::Form(index) => form(text, &FORMS[index], begin, found),
            Anchor::Jwt => jwt(text, begin, found),
            Anchor::Pem => private_key(text, begin, found),
            Anchor::Url => password::in_url(text, begin, found),
            Anchor::Telegram => telegram(text, begin, found),
            Anchor::Bearer => credentials(text, end, "bearer_token", found),
            Anchor::Basic => credentials(text, end, "basic_auth", found),
            Anchor::Aws => aws_secret(text, end, found),
            Anchor::Key => named(text, end, KEY, "generic_api_key", found),
            Anchor::Token => named(text, end, TOKEN, "generic_token", found),
            Anchor::Password => password::behind_word(text, begin, end, found),
            Anchor::WeChat => local::wechat(text, begin, end, found),
            Anchor::WeChatId => local::wechat_id(text, begin, found),
            Anchor::Qq => local::qq(text, begin, end, found),
            Anchor::At => net::spelled_email(text, begin, end, found),
        }
    }
}

fn form(text: &Text, form: &Form, begin: usize, found: &mut Vec<Spot>) {
    let Form(prefix, rule, kind, of, least, most) = form;
    let exact = text.b[begin..].starts_with(prefix.as_bytes());
    let inside = |c: u8| c.is_ascii_alphanumeric() || (matches!(of, Of::Dash | Of::Dotted) && c == b'-');
    if !exact || text.byte_before(begin).is_some_and(inside) {
        return;
    }
    let from = begin + prefix.len();
    let mut len = text.b[from..].iter().take(most + 1).take_while(|c| of.has(**c)).count();
    if matches!(of, Of::Dotted | Of::Dash | Of::Path) {
        // The full stop or dash of the sentence.
        len = text.s[from..from + len].trim_end_matches(['.', '-', '/']).len();
    }
    let at = begin..from + len;
    if !(*least..=*most).contains(&len) || text.byte(at.end).is_some_and(|c| c.is_ascii_alphanumeric()) {
        return;
    }
    let body = &text.s[from..at.end];
    let confidence = match () {
        () if made_up(body) => 0.3,
        // "sk-" and the like begin words, too.
        () if *prefix == "sk-" && !random(body) => 0.2,
        () => 0.97,
    };
    found.push(Spot { kind, rule, at, confidence });
}

/// Header, payload and signature in base64url, the first two of which begin a JSON object.
fn jwt(text: &Text, begin: usize, found: &mut Vec<Spot>) {
    if !text.b[begin..].starts_with(b"eyJ") || text.byte_before(begin).is_some_and(|c| Of::Dotted.has(c)) {
        return;
    }
    let part = |from: usize| text.b[from..].iter().take_while(|c| Of::Dash.has(**c)).count();
    let header = part(begin);
    let second = begin + header + 1;
    if header < 10 || text.byte(second - 1) != Some(b'.') || !text.b[second..].starts_with(b"eyJ") {
        return;
    }
    let third = second + part(second) + 1;
    if text.byte(third - 1) != Some(b'.') {
        return;
    }
    let signature = text.s[third..third + part(third)].trim_end_matches('-').len();
    let confidence = if signature >= 20 { 0.98 } else { 0.4 };
    found.push(Spot { kind: TOKEN, rule: "jwt", at: begin..third + signature, confidence });
}

/// The whole block, from its first dashes to its last.
fn private_key(text: &Text, begin: usize, found: &mut Vec<Spot>) {
    const OPEN: &str = "-----BEGIN ";
    let rest = text.after(begin, PEM_MAX);
    let Some(head) = rest.strip_prefix(OPEN).and_then(|rest| rest.get(..rest.find("-----")?)) else { return };
    if head.len() > 40 || !(head.ends_with("PRIVATE KEY") || head.ends_with("PRIVATE KEY BLOCK")) {
        return;
    }
    let from = OPEN.len() + head.len() + 5;
    let close = format!("-----END {head}-----");
    // The next dashes close the block, or it has no end.
    let end = match rest[from..].find("-----") {
        Some(at) if rest[from + at..].starts_with(&close) => from + at + close.len(),
        _ => {
            let body = |c: &u8| Of::Base64.has(*c) || matches!(c, b'\n' | b'\r' | b'\\');
            from + rest[from..].bytes().take_while(|c| body(c)).count()
        }
    };
    let body = rest[from..end].bytes().filter(|c| Of::Base64.has(*c)).count();
    let dots = rest[from..end].contains("...") || rest[from..end].contains("…");
    let confidence = if body >= 60 && !(dots && body < 400) { 0.99 } else { 0.4 };
    let rule = if head.contains("PGP") { "pgp_private_key" } else { "pem_private_key" };
    let end = begin + rest[..end].trim_end().len();
    found.push(Spot { kind: "private_key", rule, at: begin..end, confidence });
}

/// The number of a bot, a colon and 35 characters.
fn telegram(text: &Text, colon: usize, found: &mut Vec<Spot>) {
    let number = text.b[..colon].iter().rev().take(12).take_while(|c| c.is_ascii_digit()).count();
    let body = text.b[colon + 1..].iter().take(40).take_while(|c| Of::Dash.has(**c)).count();
    let at = colon - number..colon + 1 + body;
    let named = text.before(at.start, 3) == "bot";
    if (8..=10).contains(&number) && (33..=36).contains(&body) && (alone(text.b, &at) || named) {
        found.push(Spot { kind: TOKEN, rule: "telegram_token", at, confidence: 0.95 });
    }
}

/// What stands behind `Bearer` or `Basic`.
fn credentials(text: &Text, end: usize, rule: &'static str, found: &mut Vec<Spot>) {
    let of = |c: &u8| Of::Dotted.has(*c) || Of::Base64.has(*c) || *c == b'~';
    let len = text.b[end..].iter().take(600).take_while(|c| of(c)).count();
    let value = text.s[end..end + len].trim_end_matches(['.', '-']);
    if value.len() < 16 {
        return;
    }
    let confidence = if made_up(value) || !random(value) { 0.3 } else { 0.8 };
    found.push(Spot { kind: TOKEN, rule, at: end..end + value.len(), confidence });
}

fn aws_secret(text: &Text, end: usize, found: &mut Vec<Spot>) {
    let Some(value) = assigned(text, end) else { return };
    let len = text.b[value.start..].iter().take(41).take_while(|c| Of::Base64.has(**c) && **c != b'=').count();
    let at = value.start..value.start + len;
    if len == 40 {
        let confidence = if made_up(&text.s[at.clone()]) { 0.3 } else { 0.97 };
        found.push(Spot { kind: KEY, rule: "aws_secret_key", at, confidence });
    } else {
        named(text, end, KEY, "generic_api_key", found);
    }
}

/// A long random value behind a word such as `api_key =`.
fn named(text: &Text, end: usize, kind: &'static str, rule: &'static str, found: &mut Vec<Spot>) {
    let Some(value) = assigned(text, end) else { return };
    let of = |c: &u8| Of::Dotted.has(*c) || Of::Base64.has(*c) || *c == b'~';
    let len = text.b[value.start..].iter().take(260).take_while(|c| of(c)).count();
    let body = text.s[value.start..value.start + len].trim_end_matches(['.', '-', '/']);
    if !(16..=256).contains(&body.len()) {
        return;
    }
    let at = value.start..value.start + body.len();
    let call = matches!(text.byte(at.end), Some(b'(' | b'['));
    let confidence = match () {
        () if made_up(body) || call || !random(body) => 0.3,
        () => 0.7,
    };
    found.push(Spot { kind, rule, at, confidence });
}

/// A value behind a word.
pub(super) struct Value {
    pub start: usize,
    pub quote: Option<u8>,
    /// Whether words join the two (`is`, 是) and not signs.
    pub prose: bool,
}

/// Where the value begins that is given to the word that ends at `end`.
pub(super) fn assigned(text: &Text, end: usize) -> Option<Value> {
    const SIGNS: [&str; 8] = ["=>", ":=", "==", "=", "：", ":", "->", "＝"];
    const WORDS: [&str; 14] = [
        "is set to",
        "is now",
        "is",
        "was",
        "是",
        "为",
        "设置为",
        "设为",
        "改为",
        "改成",
        "重置为",
        "设成",
        "已重置为",
        "就是",
    ];
    let whole = text.after(end, 64);
    let mut rest = whole.trim_start_matches(['"', '\'', '`', ']', ')', '*', '”']);
    rest = rest.trim_start_matches(' ');
    let mut prose = false;
    let joined = WORDS
        .iter()
        .find_map(|word| rest.strip_prefix(word).filter(|tail| !word.is_ascii() || tail.starts_with([' ', ':'])));
    if let Some(tail) = joined {
        prose = true;
        rest = tail.trim_start_matches(' ');
    }
    match SIGNS.iter().find_map(|sign| rest.strip_prefix(sign)) {
        Some(tail) => rest = tail,
        None if prose => {}
        None => return None,
    }
    // **Password:** as Markdown has it.
    rest = rest.strip_prefix("**").unwrap_or(rest).trim_start_matches(' ');
    let quote = rest.bytes().next().filter(|c| matches!(c, b'"' | b'\'' | b'`'));
    if quote.is_some() {
        rest = &rest[1..];
    } else {
        rest = rest.trim_start_matches(['“', '‘', '「', '\\']);
    }
    (!rest.is_empty()).then(|| Value { start: end + (whole.len() - rest.len()), quote, prose })
}

/// Whether a value is there to be replaced: YOUR_API_KEY_HERE, xxxxxxxx, …EXAMPLE.
pub(super) fn made_up(value: &str) -> bool {
    const SIGNS: [&str; 18] = [
        "example",
        "your_",
        "your-",
        "yourapi",
        "yourkey",
        "yourtoken",
        "_here",
        "-here",
        "xxxx",
        "placeholder",
        "replace",
        "changeme",
        "dummy",
        "redacted",
        "abcdefghij",
        "1234567890",
        "0123456789",
        "....",
    ];
    let lower = value.to_ascii_lowercase();
    let mut seen = [false; 128];
    lower.bytes().for_each(|c| seen[usize::from(c & 0x7f)] = true);
    let different = seen.iter().filter(|seen| **seen).count();
    SIGNS.iter().any(|sign| lower.contains(sign)) || (value.len() >= 12 && different < 6)
}

/// Whether a value looks drawn by chance: one of its parts is long and mixes letters and digits.
fn random(value: &str) -> bool {
    value.split(['_', '-', '.', '/']).any(|part| {
        let digits = part.bytes().filter(u8::is_ascii_digit).count();
        let letters = part.bytes().filter(u8::is_ascii_alphabetic).count();
        part.len() >= 12 && digits >= 1 && letters >= 2
    })
}

/// Bytes that a value may not hold, for rules that take whatever stands there.
pub(super) fn ends_value(c: u8) -> bool {
    c.is_ascii_whitespace() || c >= 0x80 || matches!(c, b'"' | b'\'' | b'`' | b'<' | b'>')
}

/// The length of the prefix by which a key is known, 0 if it has none.
pub(super) fn prefix_len(key: &str) -> usize {
    FORMS.iter().map(|form| form.0).filter(|prefix| key.starts_with(prefix)).map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::find;

    fn found(text: &str) -> Vec<(&'static str, &str)> {
        find(text).into_iter().filter(|s| s.confidence >= 0.5).map(|s| (s.rule, &text[s.at])).collect()
    }

    const BODY: &str = "7VQMRaXDwen9O5dop7posYEV2zgL8XsvRroBk3Tq5Wd9Zx1Lm8Np2Rs4";

    #[test]
    fn every_form_is_found_where_it_stands_alone() {
        for form in super::FORMS {
            let upper = BODY.to_ascii_uppercase();
            let hex =
                "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
            let body = match form.3 {
                super::Of::Upper => upper.repeat(2),
                super::Of::Hex => hex.to_owned(),
                _ => BODY.repeat(8),
            };
            let key = format!("{}{}", form.0, &body[..form.4]);
            for (before, after) in [("密钥是", "，"), ("K=", "\n"), ("\"", "\"")] {
                assert_eq!(found(&format!("{before}{key}{after}")), [(form.1, key.as_str())], "{key}");
            }
        }
    }

    #[test]
    fn secrets_without_a_prefix() {
        for (text, rule, value) in [
            (
                "aws_secret_access_key = 32/ac3ZgZHMD5U4+qT5liGC/1jZk0I7k31gTRdvI",
                "aws_secret_key",
                "32/ac3ZgZHMD5U4+qT5liGC/1jZk0I7k31gTRdvI",
            ),
            ("api_key: 'a8f5f167f44f4964e6c998dee827110c'", "generic_api_key", "a8f5f167f44f4964e6c998dee827110c"),
            ("\"access_token\": \"Zm9vYmFy8823hdkKSl3k\"", "generic_token", "Zm9vYmFy8823hdkKSl3k"),
            ("Authorization: Bearer 8d7f6a5s4d3f2g1h0j9k", "bearer_token", "8d7f6a5s4d3f2g1h0j9k"),
            (
                "bot 123456789:AAF7VQMRaXDwen9O5dop7posYEV2zgL8Xsv",
                "telegram_token",
                "123456789:AAF7VQMRaXDwen9O5dop7posYEV2zgL8Xsv",
            ),
            (
                "x eyJhbGciOiAiSFMy.eyJzdWIiOiAiNTQ4.ePApZA3JQdYB8PeqBW5hi93i4H8g.",
                "jwt",
                "eyJhbGciOiAiSFMy.eyJzdWIiOiAiNTQ4.ePApZA3JQdYB8PeqBW5hi93i4H8g",
            ),
        ] {
            assert_eq!(found(text), [(rule, value)], "{text}");
        }
    }

    #[test]
    fn private_keys_are_taken_whole() {
        let body = "SaSmHAhX7ocG3IaBArvFMHfoga7luDcGMxB8OpsOH3Djsf8+3qxRFMd1XURYAlVw\n".repeat(3);
        for label in ["RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            let key = format!("-----BEGIN {label}-----\n{body}-----END {label}-----");
            let text = format!("see {key} end");
            assert_eq!(found(&text), [("pem_private_key", key.as_str())]);
            assert_eq!(found(&text[..text.len() - 30]).len(), 1, "a key cut short");
        }
        assert_eq!(found("-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----"), []);
        assert_eq!(found(&format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----")), []);
    }

    #[test]
    fn what_is_no_secret() {
        for text in [
            "API_KEY=<YOUR_API_KEY_HERE>",
            "api_key = \"YOUR_API_KEY\"",
            "AKIAIOSFODNN7EXAMPLE",
            "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "risk-averse-and-disk-based-things-2020",
            "token = tokenizer.convert_tokens_to_ids(x)",
            "secret = os.environ['A_SECRET_NAME_2']",
            "commit a15198dad662eb9260d48dc8a3ea6d245bd2a8c5dfe0051f71ae6701a2028339",
            "request fd0a8172-6724-33cd-d5e5-f9c602d291a0",
            "the token: my_super_secret_key_2023",
            "Bearer tokens are used for authentication",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
