//! E-mail and IP addresses.

use super::context::{self, Word, weigh};
use super::scan::Text;
use crate::Spot;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of a name before the `@`, and of a domain behind it, at most (RFC 5321).
const NAME_MAX: usize = 64;
const DOMAIN_MAX: usize = 255;

pub(super) fn emails(text: &Text, found: &mut Vec<Spot>) {
    for at in &text.ats {
        email(text, *at, found);
    }
}

fn email(text: &Text, at: usize, found: &mut Vec<Spot>) {
    let name_byte = |c: &u8| c.is_ascii_alphanumeric() || b"._%+-'&=/".contains(c);
    let len = text.b[..at].iter().rev().take(NAME_MAX).take_while(|c| name_byte(c)).count();
    // What cannot begin a name is punctuation of the text before it: to=a@b.com, 'a@b.com'.
    let name = &text.s[at - len..at];
    let name = name.rsplit(['=', '/', '&']).next().unwrap_or(name).trim_start_matches(['.', '-', '\'', '+', '%']);
    let Some(domain) = domain(text.after(at + 1, DOMAIN_MAX)) else { return };
    if name.is_empty() || name.ends_with('.') || name.contains("..") {
        return;
    }
    let start = at - name.len();
    let end = at + 1 + domain.len();
    let after = text.byte(end);
    let last = domain.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    // git@github.com:owner/name is an address of a repository, a@b@c none at all.
    let remote = after == Some(b':') && text.byte(end + 1).is_some_and(|c| c.is_ascii_alphabetic() || c == b'~');
    // The password of a URL is not a name.
    let head = text.before(start, 80);
    let in_url =
        head.ends_with(':') && head.rsplit(char::is_whitespace).next().is_some_and(|word| word.contains("://"));
    // x@w.to(device): a product of matrices.
    let called = matches!(after, Some(b'(' | b'['));
    let doubled = in_url || called || after == Some(b'@') || text.byte_before(start) == Some(b'@');
    let confidence = match () {
        () if doubled || (remote && matches!(name, "git" | "hg" | "svn")) => 0.2,
        () if FILES.contains(&last.as_str()) => 0.1,
        () if placeholder(name, domain) => 0.35,
        () if known_top(&last) => 0.97,
        () => weigh(context::before(&text.s[..start], &[Word::Email]), 0.65, 0.45, 0.3),
    };
    found.push(Spot { kind: "email", rule: "email", at: start..end, confidence });
}

/// name [at] host [dot] org, written so that machines do not read it.
pub(super) fn spelled_email(text: &Text, begin: usize, end: usize, found: &mut Vec<Spot>) {
    let head = text.before(begin, NAME_MAX + 1);
    let trimmed = head.strip_suffix(' ').unwrap_or(head);
    let len = trimmed.bytes().rev().take_while(|c| c.is_ascii_alphanumeric() || b"._-".contains(c)).count();
    let rest = text.after(end, 80);
    let mut tail = rest.strip_prefix(' ').unwrap_or(rest);
    let mut labels = 0;
    loop {
        let label = tail.bytes().take_while(|c| c.is_ascii_alphanumeric() || *c == b'-').count();
        let next = &tail[label..];
        labels += usize::from(label > 0);
        let dot = ["[dot]", "(dot)", " [dot] ", " (dot) ", " dot ", "."].iter().find_map(|dot| next.strip_prefix(dot));
        match dot.filter(|rest| label > 0 && rest.starts_with(|c: char| c.is_ascii_alphanumeric())) {
            Some(rest) => tail = rest,
            None => {
                tail = next;
                break;
            }
        }
    }
    if len > 0 && labels >= 2 {
        let at = begin - (head.len() - trimmed.len()) - len..end + (rest.len() - tail.len());
        found.push(Spot { kind: "email", rule: "email_spelled", at, confidence: 0.75 });
    }
}

/// The domain that a text begins with: labels with dots between, the last one of letters.
fn domain(text: &str) -> Option<&str> {
    let len = text.bytes().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-')).count();
    let mut domain = text[..len].trim_end_matches(['.', '-']);
    // Of "a@b.com.Thanks" the rest of the sentence is not meant: a capital after lower case ends a domain.
    while let Some((head, last)) = domain.rsplit_once('.') {
        let shape = last.len() >= 2 && last.len() <= 24 && last.bytes().all(|c| c.is_ascii_alphabetic());
        let sentence = last.starts_with(|c: char| c.is_ascii_uppercase()) && head.ends_with(|c: char| c.is_lowercase());
        let sentence = sentence && head.contains('.');
        if shape && !sentence {
            let labels = domain
                .split('.')
                .all(|label| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-'));
            return labels.then_some(domain);
        }
        domain = head;
    }
    None
}

/// Endings of file names, which follow an `@` in names such as icon@2x.png.
const FILES: [&str; 18] = [
    "png", "jpg", "jpeg", "gif", "svg", "webp", "js", "ts", "css", "scss", "html", "json", "yml", "yaml", "txt", "jar",
    "tsx", "jsx",
];

/// Whether a name and domain stand for anybody's: user@example.com, your.name@domain.com.
fn placeholder(name: &str, domain: &str) -> bool {
    const NAMES: [&str; 26] = [
        "user",
        "username",
        "name",
        "yourname",
        "your.name",
        "your_name",
        "your-name",
        "you",
        "your",
        "email",
        "youremail",
        "your.email",
        "your_email",
        "your-email",
        "myemail",
        "someone",
        "somebody",
        "anyone",
        "example",
        "test",
        "foo",
        "abc",
        "x",
        "me",
        "firstname.lastname",
        "first.last",
    ];
    const DOMAINS: [&str; 14] = [
        "example.com",
        "example.org",
        "example.net",
        "example.cn",
        "domain.com",
        "yourdomain.com",
        "email.com",
        "company.com",
        "yourcompany.com",
        "test.com",
        "mail.com",
        "foo.com",
        "bar.com",
        "host.com",
    ];
    let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
    let crossed = name.len() >= 2 && name.bytes().all(|c| c == b'x' || c == b'*');
    crossed || domain.starts_with("xxx") || (NAMES.contains(&name.as_str()) && DOMAINS.contains(&domain.as_str()))
}

/// Whether an ending is a country's or one of the common others.
fn known_top(last: &str) -> bool {
    const COUNTRIES: &str = "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br \
         bs bt bw by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et \
         eu fi fj fk fm fo fr ga gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in \
         io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg \
         mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk \
         pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sk sl sm sn so sr ss st su sv sx sy sz tc \
         td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw";
    const OTHERS: &str = "com org net edu gov mil int info biz name mobi pro aero coop museum jobs travel cat tel asia \
         app dev xyz online site website shop store club top vip work tech cloud space live life world news blog art \
         design studio agency company email digital media group team network systems solutions services support center \
         academy education school university institute foundation bank finance capital money fund law legal health \
         care clinic hospital dental energy green global international city london berlin paris nyc tokyo wang ltd \
         inc llc gmbh ink fun icu plus today zone run page wiki games game video photo photos social chat email \
         example test invalid local localdomain internal corp lan onion";
    if last.len() == 2 {
        COUNTRIES.split_ascii_whitespace().any(|known| known == last)
    } else {
        OTHERS.split_ascii_whitespace().any(|known| known == last)
    }
}

/// Four groups up to 255 that neither go on nor are a version.
pub(super) fn ip_v4(text: &Text, g: usize, found: &mut Vec<Spot>) {
    if text.len(g) > 3 || text.gap(g) != Some(".") || text.gap_before(g) == Some(".") {
        return;
    }
    let last = g + 3;
    let dotted = (g..last).all(|i| text.gap(i) == Some(".") && text.len(i + 1) <= 3);
    if !dotted || text.gap(last) == Some(".") {
        return;
    }
    let at = text.span(g, last);
    let Ok(address) = text.s[at.clone()].parse::<Ipv4Addr>() else { return };
    let word = |byte: Option<u8>| byte.is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_');
    let hyphen = |byte: Option<u8>| matches!(byte, Some(b'-'));
    let named = context::ends_with_word(text.before(at.start, 16));
    if (word(text.byte_before(at.start)) && !named) || word(text.byte(at.end)) {
        return;
    }
    let near = context::before(&text.s[..at.start], &[Word::Ip]);
    let octets = address.octets();
    let network = text.byte(at.end) == Some(b'/') && octets[3] == 0;
    let version = octets.iter().all(|octet| *octet < 20) && near.is_none_or(|near| near.word != Word::Ip);
    // libfoo.so.1.2.3.44 and 1.2.3.44.tar.gz are names of files.
    let tail = text.byte(at.end) == Some(b'.') && word(text.byte(at.end + 1));
    let package = tail
        || text.byte_before(at.start) == Some(b'.')
        || hyphen(text.byte_before(at.start)) && word(at.start.checked_sub(2).and_then(|i| text.byte(i)));
    let confidence = match near {
        _ if nobodys(address) => 0.3,
        _ if version || package => 0.35,
        Some(near) if matches!(near.word, Word::Version | Word::Book | Word::Digest) => 0.3,
        _ if network => 0.4,
        near => weigh(near, 0.95, 0.8, 0.7),
    };
    let rule = if address.is_private() { "ipv4_private" } else { "ipv4" };
    found.push(Spot { kind: "ip", rule, at, confidence });
}

/// Addresses of no one: this machine, masks, multicast, and what every tutorial and resolver uses.
fn nobodys(address: Ipv4Addr) -> bool {
    const KNOWN: [[u8; 4]; 13] = [
        [1, 1, 1, 1],
        [1, 0, 0, 1],
        [1, 2, 3, 4],
        [8, 8, 8, 8],
        [8, 8, 4, 4],
        [9, 9, 9, 9],
        [114, 114, 114, 114],
        [223, 5, 5, 5],
        [10, 0, 0, 1],
        [192, 168, 0, 1],
        [192, 168, 1, 1],
        [192, 168, 1, 0],
        [192, 168, 0, 0],
    ];
    let octets = address.octets();
    address.is_loopback() || octets[0] == 0 || octets[0] == 255 || address.is_multicast() || KNOWN.contains(&octets)
}

pub(super) fn ip_v6(text: &Text, found: &mut Vec<Spot>) {
    let mut done = 0;
    for colon in &text.colons {
        if *colon < done {
            continue;
        }
        let part = |c: &u8| c.is_ascii_hexdigit() || *c == b':';
        let left = text.b[..*colon].iter().rev().take(64).take_while(|c| part(c)).count();
        let right = text.b[*colon..].iter().take(64).take_while(|c| part(c)).count();
        let mut at = colon - left..colon + right;
        done = at.end;
        // The colon of "地址:fe80::1" or of "see ::1:" belongs to the text.
        if text.b[at.clone()].ends_with(b":") && !text.b[at.clone()].ends_with(b"::") {
            at.end -= 1;
        }
        if text.b[at.clone()].starts_with(b":") && !text.b[at.clone()].starts_with(b"::") {
            at.start += 1;
        }
        // IPv6:2001:db8::1, where the word is not part of it.
        if text.byte_before(at.start).is_some_and(|c| c.is_ascii_alphanumeric()) {
            at.start += text.s[at.clone()].find(':').map_or(0, |head| head + 1);
        }
        if !super::scan::alone(text.b, &at) || matches!(text.byte_before(at.start), Some(b'_' | b'.')) {
            continue;
        }
        let value = &text.s[at.clone()];
        let Ok(address) = value.parse::<Ipv6Addr>() else { continue };
        let groups = value.split(':').filter(|group| !group.is_empty()).count();
        let long = value.split(':').any(|group| group.len() >= 3);
        let digits = value.bytes().any(|c| c.is_ascii_digit());
        let confidence = match () {
            () if address.is_loopback() || address.is_unspecified() || !digits => 0.2,
            () if groups >= 8 && long => 0.95,
            () if groups >= 3 && long => 0.9,
            () if groups >= 2 && value.starts_with(['2', 'f']) && value.find(':') == Some(4) => 0.75,
            () => 0.3,
        };
        found.push(Spot { kind: "ip", rule: "ipv6", at, confidence });
    }
}

#[cfg(test)]
mod tests {
    use super::super::find;

    fn found(text: &str) -> Vec<(&'static str, &str)> {
        find(text).into_iter().filter(|s| s.confidence >= 0.5).map(|s| (s.rule, &text[s.at])).collect()
    }

    #[test]
    fn addresses_of_every_form() {
        for (text, rule, value) in [
            ("请发邮件到wang_fang@mail.example.cn谢谢", "email", "wang_fang@mail.example.cn"),
            ("邮箱：ｌｉ．ｗｅｉ＠ｅｘａｍｐｌｅ．ｃｏｍ", "email", "ｌｉ．ｗｅｉ＠ｅｘａｍｐｌｅ．ｃｏｍ"),
            ("reach me at j.smith@example.org. Thanks", "email", "j.smith@example.org"),
            ("a.b+tag@sub.host.co.uk.Thanks", "email", "a.b+tag@sub.host.co.uk"),
            ("<mailto:k.t@posteo.de>", "email", "k.t@posteo.de"),
            ("?to=olga.p@example.org&x", "email", "olga.p@example.org"),
            ("write to j.smith [at] posteo [dot] de please", "email_spelled", "j.smith [at] posteo [dot] de"),
            ("邮箱 li.wei(at)corp.com.cn，", "email_spelled", "li.wei(at)corp.com.cn"),
            ("QQ邮箱123456789@qq.com", "email", "123456789@qq.com"),
            ("服务器地址45.84.77.210登录不上", "ipv4", "45.84.77.210"),
            ("the host 8.16.142.184 is down", "ipv4", "8.16.142.184"),
            ("http://36.106.174.11:8080/x", "ipv4", "36.106.174.11"),
            ("ip是10.23.5.77，", "ipv4_private", "10.23.5.77"),
            ("ping 2001:db8:d9c5:72dd:69d6:c306:2d7b:5dcf fails", "ipv6", "2001:db8:d9c5:72dd:69d6:c306:2d7b:5dcf"),
            ("地址:fe80::1ff:fe23:4567:890a。", "ipv6", "fe80::1ff:fe23:4567:890a"),
            ("IPv6:2001:db8::8c7c:70bf", "ipv6", "2001:db8::8c7c:70bf"),
            ("[2001:db8::42]:443", "ipv6", "2001:db8::42"),
        ] {
            assert_eq!(found(text), [(rule, value)], "{text}");
        }
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "@types/node react@18.2.0",
            "user@example.com",
            "xxx@example.com",
            "git@github.com:a/b.git",
            "icon@2x.png",
            "y = x@w.to(device)",
            "ftp://username:password@ftp.example.com/x",
            "a@b",
            "@someone said",
            "upgraded to version 3.0.8",
            "version 45.84.77.210",
            "v45.84.77.210",
            "127.0.0.1 and 0.0.0.0, 255.255.255.0",
            "1.3.6.1.4.1",
            "lib.so.1.20.3.44 or lib-1.20.3.44.tar.gz",
            "1.2.3.4",
            "256.1.2.300",
            "at 12:30:45",
            "std::vector<int> a::b",
            "::1",
            "[f16::E, f32::E]",
            "00:1a:2b:3c:4d:5e",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
