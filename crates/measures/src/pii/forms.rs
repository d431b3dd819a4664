//! Values of the same form that are nobody's.

use super::card;
use super::fold;
use super::identity::check_digit;
use super::secret;
use crate::hash::fnv;
use crate::width::{narrow, widen};
use std::net::Ipv4Addr;

/// Random numbers from a seed and an original (FNV-1a into SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub fn new(seed: u64, kind: &str, original: &str, draw: u64) -> Self {
        let bytes = kind.bytes().chain([0]).chain(original.bytes());
        let mut dice = Self(fnv(bytes) ^ seed.rotate_left(32) ^ draw.wrapping_mul(0xd1b5_4a32_d192_ed03));
        dice.below(1);
        dice
    }

    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((u128::from(z) * u128::from(n)) >> 64) as u64
    }

    fn digit(&mut self) -> char {
        char::from(b'0' + self.below(10) as u8)
    }

    fn digits(&mut self, n: usize) -> String {
        (0..n).map(|_| self.digit()).collect()
    }

    fn of<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len() as u64) as usize]
    }

    fn letter(&mut self, among: &[u8]) -> char {
        char::from(among[self.below(among.len() as u64) as usize])
    }
}

/// The value of a digit, ASCII or full-width.
pub(super) fn digit(c: char) -> Option<char> {
    match c {
        '0'..='9' => Some(c),
        '\u{ff10}'..='\u{ff19}' => Some(narrow(c)),
        _ => None,
    }
}

/// Whether the characters of a kind are drawn one for one and poured into the layout of the original.
fn poured(kind: &str) -> bool {
    matches!(kind, "phone" | "bank_card" | "cn_id" | "iban" | "us_ssn" | "passport" | "plate" | "qq")
}

/// Whether a character of a value counts: separators and brackets do not.
fn counts(kind: &str, c: char) -> bool {
    match kind {
        "phone" => digit(c).is_some(),
        _ => narrow(c).is_ascii_alphanumeric(),
    }
}

/// A value without its layout, for equal values to be equal.
pub(super) fn plain(kind: &str, rule: &str, original: &str) -> String {
    let folded = original.chars().filter_map(fold::ascii);
    if kind == "email" {
        return folded.collect::<String>().to_ascii_lowercase();
    }
    if !poured(kind) {
        return folded.collect();
    }
    let all: String = folded.filter(|c| counts(kind, *c)).map(|c| c.to_ascii_uppercase()).collect();
    all[prefix_len(rule, &all)..].to_owned()
}

/// Digits before the number proper that stay: the country code of a North American number.
fn prefix_len(rule: &str, digits: &str) -> usize {
    match rule {
        "us_phone" if digits.len() >= 13 && digits.starts_with("001") => 3,
        "us_phone" if digits.len() >= 11 && digits.starts_with('1') => 1,
        _ => 0,
    }
}

/// The layout of an original with the characters of what was made for it.
pub(super) fn pour(kind: &str, rule: &str, original: &str, made: &str) -> String {
    if !poured(kind) {
        return as_wide(original, made);
    }
    let all: String = original.chars().filter(|c| counts(kind, *c)).map(narrow).collect();
    let mut skip = prefix_len(rule, &all);
    let mut fresh = made.chars();
    let replace = |c: char| {
        if !counts(kind, c) {
            return c;
        }
        if skip > 0 {
            skip -= 1;
            return c;
        }
        let Some(new) = fresh.next() else { return c };
        let new = if narrow(c).is_ascii_lowercase() { new.to_ascii_lowercase() } else { new };
        if narrow(c) == c { new } else { widen(new) }
    };
    original.chars().map(replace).collect()
}

/// Full-width where the original is, if what was made has as many characters.
fn as_wide(original: &str, made: &str) -> String {
    let seen = || original.chars().filter(|c| fold::ascii(*c).is_some());
    if seen().count() != made.chars().count() {
        return made.to_owned();
    }
    seen().zip(made.chars()).map(|(c, new)| if narrow(c) == c { new } else { widen(new) }).collect()
}

/// Another value of the same kind, without layout for kinds that have one.
pub(super) fn make(kind: &str, rule: &str, plain: &str, dice: &mut Dice) -> String {
    match kind {
        "phone" => phone(rule, plain, dice),
        "email" => email(dice),
        "cn_id" => resident_id(plain, dice),
        "passport" | "plate" => same_classes(plain, kind == "plate", dice),
        "bank_card" => bank_card(rule, plain, dice),
        "iban" => iban(plain, dice),
        "us_ssn" => format!("9{}{:02}{:04}", dice.digits(2), 1 + dice.below(49), 1 + dice.below(9999)),
        "ip" => ip(rule, dice),
        "wechat" => handle(rule, dice),
        "qq" => format!("{}{}", 1 + dice.below(9), dice.digits(plain.len().saturating_sub(1))),
        "address" => address(rule, dice),
        "private_key" => private_key(plain, dice),
        "url_password" => url(plain, dice),
        "api_key" | "token" => key(plain, dice),
        // Of signs alone nothing would change.
        _ if !plain.contains(char::is_alphanumeric) => dice.digits(plain.chars().count().max(1)),
        _ => like(plain, dice),
    }
}

fn phone(rule: &str, plain: &str, dice: &mut Dice) -> String {
    let n = plain.len();
    let fill = |head: String, dice: &mut Dice| {
        let rest = n.saturating_sub(head.len());
        let mut made = head + &dice.digits(rest);
        made.truncate(n);
        made
    };
    match rule {
        // Segment 160 is not given out.
        "cn_mobile" => fill("160".to_owned(), dice),
        // No line begins with 9; those are short service numbers.
        "cn_landline" => {
            let area = match (plain.as_bytes(), n) {
                ([b'0', b'1' | b'2', ..], _) => dice.of(&["010", "021", "020", "028", "027", "025"]),
                ([b'0', ..], _) => dice.of(&["0755", "0571", "0512", "0411", "0532", "0592"]),
                ([b'1' | b'2', ..], 10..) => dice.of(&["10", "21", "20", "28"]),
                (_, 10..=11) => dice.of(&["755", "571", "512"]),
                _ => "",
            };
            fill(format!("{area}9"), dice)
        }
        "us_phone" if n >= 10 => {
            let area = format!("{}{}{}", 2 + dice.below(8), dice.below(9), 2 + dice.below(8));
            fill(format!("{area}55501"), dice)
        }
        "us_phone" => fill("55501".to_owned(), dice),
        "intl_phone" if plain.starts_with("447") && n == 12 => fill("447700900".to_owned(), dice),
        "intl_phone" if plain.starts_with("33") && n == 11 => fill("3319900".to_owned(), dice),
        "intl_phone" if plain.starts_with("614") && n == 11 => fill("61491570".to_owned(), dice),
        "intl_phone" => fill(plain[..n.min(4)].to_owned(), dice),
        _ => fill(plain[..n.min(1)].to_owned(), dice),
    }
}

fn email(dice: &mut Dice) -> String {
    const PARTS: [&str; 16] =
        ["ba", "do", "ke", "li", "mo", "na", "pe", "ri", "so", "ta", "vu", "we", "zi", "lo", "ma", "nu"];
    let name: String = (0..4).map(|_| dice.of(&PARTS)).collect();
    format!("{name}{}@{}", dice.digits(3), dice.of(&["example.com", "example.org", "example.net"]))
}

/// Region 99, which there is not, a birthday, and the right check digit.
fn resident_id(plain: &str, dice: &mut Dice) -> String {
    let region = format!("99{}", dice.digits(4));
    let (year, month, day) = (1950 + dice.below(56), 1 + dice.below(12), 1 + dice.below(28));
    let birthday = format!("{year}{month:02}{day:02}");
    let sequence = dice.digits(3);
    if plain.len() == 15 {
        return format!("{region}{}{sequence}", &birthday[2..]);
    }
    let body = format!("{region}{birthday}{sequence}");
    let check = char::from(check_digit(&body));
    body + &check.to_string()
}

/// Letters for letters and digits for digits; a plate keeps its province, which is no ASCII letter.
fn same_classes(plain: &str, plate: bool, dice: &mut Dice) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";
    // Behind the city's letter, plates of new energy have six places, of which the first or last says what drives.
    let energy = |at: usize| plate && plain.len() == 7 && matches!(at, 1 | 6);
    let draw = |(at, c): (usize, char)| match c {
        '0'..='9' => dice.digit(),
        // The first letter of a passport says what paper it is.
        _ if !plate && at == 0 => c,
        'D' | 'F' if energy(at) => c,
        _ => dice.letter(LETTERS),
    };
    plain.chars().enumerate().map(draw).collect()
}

/// A number of a test range of the brand, with its check digit.
fn bank_card(rule: &str, plain: &str, dice: &mut Dice) -> String {
    let head = match rule {
        "visa" => "400000",
        "mastercard" => "555555",
        "amex" => "378282",
        "unionpay" => "620000",
        "discover" => "601111",
        "jcb" if plain.len() == 15 => "180000",
        "jcb" => "353011",
        "diners" => "305693",
        "maestro" => "676770",
        "mir" => "220000",
        _ => plain.get(..2).unwrap_or("0"),
    };
    let middle = plain.len().saturating_sub(head.len() + 1);
    let body = format!("{head}{}", dice.digits(middle));
    let check = (10 - card::luhn_sum(&format!("{body}0")) % 10) % 10;
    format!("{body}{check}")
}

/// The same country, a bank of zeros or TEST, and the right check digits.
fn iban(plain: &str, dice: &mut Dice) -> String {
    let (head, account) = plain.split_at_checked(4).unwrap_or((plain, ""));
    let country = head.get(..2).unwrap_or("GB");
    let draw = |(at, c): (usize, char)| match (at, c.is_ascii_digit()) {
        (0..4, true) => '0',
        (0..4, false) => char::from(b"TEST"[at]),
        (_, true) => dice.digit(),
        (_, false) => dice.letter(b"ABCDEFGHJKLMNPQRSTUVWXYZ"),
    };
    let account: String = account.chars().enumerate().map(draw).collect();
    let rest = card::iban_remainder(&format!("{country}00{account}")).unwrap_or(0);
    format!("{country}{:02}{account}", 98 - rest)
}

/// Addresses for documentation (RFC 5737, RFC 3849), and for benchmarks (RFC 2544) once those are used up.
fn ip(rule: &str, dice: &mut Dice) -> String {
    if rule == "ipv6" {
        let groups: Vec<String> = (0..6).map(|_| format!("{:x}", 0x1000 + dice.below(0xf000))).collect();
        return format!("2001:db8:{}", groups.join(":"));
    }
    let host = 1 + dice.below(254) as u8;
    let [a, b, c] = match dice.below(6) {
        0 => [192, 0, 2],
        1 => [198, 51, 100],
        2 => [203, 0, 113],
        _ => [198, 18 + dice.below(2) as u8, 20 + dice.below(236) as u8],
    };
    Ipv4Addr::new(a, b, c, host).to_string()
}

fn handle(rule: &str, dice: &mut Dice) -> String {
    const OF: &[u8] = b"abcdefghijkmnpqrstuvwxyz0123456789";
    let (head, len) = if rule == "wechat_id" { ("wxid_", 14) } else { ("wx_", 8) };
    let tail: String = (0..len).map(|_| dice.letter(OF)).collect();
    format!("{head}{tail}{}", dice.digit())
}

fn address(rule: &str, dice: &mut Dice) -> String {
    let number = 1 + dice.below(9998);
    match rule {
        "cn_address" => format!("示例省示例市示例区示例路{number}号{}单元", 1 + dice.below(9)),
        _ => format!("{number} Sample Street, Apt {}", 1 + dice.below(99)),
    }
}

/// Frequent ones that names have, too.
const IDEOGRAPHS: [char; 32] = [
    '安', '白', '常', '成', '丁', '方', '高', '关', '国', '海', '和', '华', '江', '金', '康', '兰', '林', '明', '宁',
    '平', '秋', '山', '石', '天', '文', '星', '阳', '叶', '雨', '云', '章', '竹',
];

/// The same signs, and letters, ideographs and digits of the same kind, for all of a text.
fn like(original: &str, dice: &mut Dice) -> String {
    let hex = original.len() >= 16 && original.bytes().all(|c| c.is_ascii_hexdigit());
    let letters = if hex { 6 } else { 26 };
    let draw = |c: char| match c {
        '0'..='9' => dice.digit(),
        'a'..='z' => char::from(b'a' + dice.below(letters) as u8),
        'A'..='Z' => char::from(b'A' + dice.below(letters) as u8),
        '\u{4e00}'..='\u{9fff}' => IDEOGRAPHS[dice.below(IDEOGRAPHS.len() as u64) as usize],
        // é would give the value away.
        _ if c.is_alphanumeric() => char::from(b'a' + dice.below(letters) as u8),
        _ => c,
    };
    original.chars().map(draw).collect()
}

/// A key of the same service: its prefix stays.
fn key(original: &str, dice: &mut Dice) -> String {
    if original.starts_with("eyJ") {
        let draw = |part: &str| match part.strip_prefix("eyJ") {
            Some(rest) => format!("eyJ{}", like(rest, dice)),
            None => like(part, dice),
        };
        return original.split('.').map(draw).collect::<Vec<_>>().join(".");
    }
    let prefix = secret::prefix_len(original);
    format!("{}{}", &original[..prefix], like(&original[prefix..], dice))
}

/// The lines that open and close a block stay, and so do the ends of lines, escaped or not.
fn private_key(original: &str, dice: &mut Dice) -> String {
    let mut made = String::with_capacity(original.len());
    for (at, part) in original.split("-----").enumerate() {
        if at > 0 {
            made.push_str("-----");
        }
        // Nothing, the label, the body, the label, nothing.
        if at == 2 {
            let lines: Vec<String> = part.split("\\n").map(|line| like(line, dice)).collect();
            made.push_str(&lines.join("\\n"));
        } else {
            made.push_str(part);
        }
    }
    if original.starts_with("-----") { made } else { key(original, dice) }
}

/// The same scheme and port; user, password, host and path are others.
fn url(original: &str, dice: &mut Dice) -> String {
    let Some((scheme, rest)) = original.split_once("://") else { return like(original, dice) };
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let (user_info, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let port = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|c| c.is_ascii_digit()));
    let user = if user.is_empty() { String::new() } else { format!("user{}", dice.digits(3)) };
    let password = format!("{}{}", like(password, dice), dice.digit());
    let mut made = format!("{scheme}://{user}:{password}@host{}.example.com", dice.digits(3));
    if let Some((_, port)) = port {
        made = format!("{made}:{port}");
    }
    path.map_or(made.clone(), |path| format!("{made}/{}", like(path, dice)))
}
