//! Chinese number plates, and the names and numbers of WeChat and QQ.

use super::context::{self, Word};
use super::scan::{Text, alone};
use super::secret::Joint;
use crate::Spot;

const PROVINCES: &str = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";

/// Words that end with a province's character and precede models and types: 最新A16888.
const WORDS: [&str; 17] = [
    "最新", "全新", "更新", "创新", "崭新", "里云", "讯云", "度云", "为云", "北京", "东京", "南京", "天津", "江苏",
    "四川", "辽宁", "苏宁",
];

/// A province, a letter and five places; six for new energy.
pub(super) fn plates(text: &Text, found: &mut Vec<Spot>) {
    for letter in &text.letters {
        let Some(province) = text.s[..*letter].chars().next_back() else { continue };
        if PROVINCES.contains(province) {
            plate(text, letter - province.len_utf8(), *letter, found);
        }
    }
}

fn plate(text: &Text, start: usize, letter: usize, found: &mut Vec<Spot>) {
    let rest = text.after(letter + 1, 10);
    let rest = rest.strip_prefix(['·', '•', '・', '-', ' ', '.']).unwrap_or(rest);
    let from = letter + 1 + (text.after(letter + 1, 10).len() - rest.len());
    let body: &str = &rest[..rest.bytes().take_while(u8::is_ascii_alphanumeric).count()];
    let upper = body.bytes().chain([text.b[letter]]).all(|c| !c.is_ascii_lowercase());
    let near = context::before(&text.s[..start], &[Word::Plate]);
    let called = near.is_some_and(|near| near.word == Word::Plate);
    let part = WORDS.iter().any(|word| text.s[..letter].ends_with(word));
    let digits = body.bytes().filter(u8::is_ascii_digit).count();
    let places = body.bytes().all(|c| !matches!(c.to_ascii_uppercase(), b'I' | b'O'));
    let energy = body.len() == 6 && {
        let b = body.as_bytes();
        let number = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        (b[0].is_ascii_alphabetic() && number(&b[2..])) || (number(&b[..5]) && b[5].is_ascii_alphabetic())
    };
    // A trailer, a school, a policeman: four places and a character.
    let tail = text.s[from + body.len()..].chars().next().filter(|c| "挂学警港澳领使试超".contains(*c));
    let (rule, end) = match (body.len(), tail) {
        (5, _) => ("cn_plate", from + 5),
        (6, _) if energy => ("cn_plate_new_energy", from + 6),
        (4, Some(tail)) => ("cn_plate", from + 4 + tail.len_utf8()),
        _ => return,
    };
    if !places || (!upper && !called) {
        return;
    }
    let confidence = match (called, digits) {
        (true, _) => 0.95,
        _ if part => 0.35,
        (false, 3..) => 0.85,
        (false, 1..) => 0.7,
        (false, 0) => 0.4,
    };
    let confidence = if near.is_some_and(|near| near.word.lowers() && near.distance < 8) { 0.4 } else { confidence };
    found.push(Spot { kind: "plate", rule, at: start..end, confidence });
}

/// A WeChat name behind the word that ends at `end`.
pub(super) fn wechat(text: &Text, begin: usize, end: usize, found: &mut Vec<Spot>) {
    let word = &text.s[begin..end];
    // "wx" and "vx" are words only by themselves.
    if word.len() <= 2 && !alone(text.b, &(begin..end)) {
        return;
    }
    // wx:for-index, wx:if: attributes of a mini-program's page.
    if text.after(end, 1) == ":"
        && ["if", "for", "key", "el"].iter().any(|name| text.after(end + 1, 3).starts_with(name))
    {
        return;
    }
    let Some((joint, at)) = behind(text, end, &["号码", "号", "帐号", "账号", "名", "ID", "id", "Id"]) else {
        return;
    };
    let value = &text.s[at.clone()];
    let first = value.as_bytes().first().copied().unwrap_or(b'0');
    if !(6..=20).contains(&value.len()) || !first.is_ascii_alphabetic() || !alone(text.b, &at) {
        return;
    }
    let marked = value.bytes().any(|c| c.is_ascii_digit() || matches!(c, b'_' | b'-'));
    let invited = ["加", "我的", "我", "add me", "Add me", "my", "My"]
        .iter()
        .any(|before| text.before(begin, 12).trim_end().ends_with(before));
    let chinese = !word.is_ascii();
    // Spellings of people who want to be found by people only.
    let veiled = matches!(word.to_ascii_lowercase().as_str(), "v信" | "薇信" | "vx" | "威信号");
    let glued = chinese && at.start == end && value.len() >= 8 && !product(value);
    let confidence = match (marked, joint) {
        (true, Joint::Explicit) => 0.92,
        (true, Joint::Bare) if invited || veiled => 0.75,
        (true, Joint::Bare) if glued => 0.55,
        (true, Joint::Bare) => 0.42,
        (false, Joint::Explicit) if chinese && !ordinary(value) => 0.62,
        (false, Joint::Explicit) if invited && !ordinary(value) => 0.55,
        (false, _) => 0.3,
    };
    found.push(Spot { kind: "wechat", rule: "wechat", at, confidence });
}

/// What follows 微信 as the name of a thing: 微信iPhone12, 微信API-v3.
fn product(value: &str) -> bool {
    const HEADS: [&str; 12] =
        ["iphone", "ios", "ipad", "android", "api", "app", "pay", "win", "mac", "sdk", "web", "h5"];
    let lower = value.to_ascii_lowercase();
    HEADS.iter().any(|head| lower.starts_with(head)) || lower.starts_with(|c: char| c.is_ascii_digit())
}

/// Words that follow "WeChat:" and are nobody's name.
fn ordinary(value: &str) -> bool {
    const WORDS: [&str; 16] = [
        "wechat",
        "weixin",
        "official",
        "available",
        "payment",
        "account",
        "please",
        "download",
        "android",
        "iphone",
        "message",
        "mini-program",
        "number",
        "contact",
        "search",
        "function",
    ];
    WORDS.contains(&value.to_ascii_lowercase().as_str())
}

/// The inner name that WeChat gives everyone, wherever it stands.
pub(super) fn wechat_id(text: &Text, begin: usize, found: &mut Vec<Spot>) {
    let len = text.b[begin..].iter().take(40).take_while(|c| c.is_ascii_alphanumeric() || **c == b'_').count();
    let at = begin..begin + len;
    if (12..=32).contains(&len) && alone(text.b, &at) {
        found.push(Spot { kind: "wechat", rule: "wechat_id", at, confidence: 0.95 });
    }
}

/// A QQ number behind the word that ends at `end`.
pub(super) fn qq(text: &Text, begin: usize, end: usize, found: &mut Vec<Spot>) {
    if text.byte_before(begin).is_some_and(|c| c.is_ascii_alphanumeric()) {
        return;
    }
    let Some((joint, at)) = behind(text, end, &["号码", "号", "群号", "群", "帐号", "账号", "ID", "id"])
    else {
        return;
    };
    let value = &text.s[at.clone()];
    let number = value.bytes().all(|c| c.is_ascii_digit()) && !value.starts_with('0');
    let goes_on = text.byte(at.end).is_some_and(|c| c.is_ascii_alphanumeric() || c == b'@');
    if !number || !(5..=11).contains(&value.len()) || goes_on {
        return;
    }
    let mobile = value.len() == 11;
    let confidence = match joint {
        Joint::Explicit if !mobile => 0.94,
        Joint::Explicit => 0.8,
        Joint::Bare if value.len() >= 6 && !mobile => 0.75,
        Joint::Bare => 0.4,
    };
    found.push(Spot { kind: "qq", rule: "qq", at, confidence });
}

/// The token of letters, digits and a few signs behind a word, one of `suffixes`, and 是, 为 or a colon.
fn behind(text: &Text, end: usize, suffixes: &[&str]) -> Option<(Joint, std::ops::Range<usize>)> {
    let mut rest = text.after(end, 60);
    let mut joint = Joint::Bare;
    let whole = rest.len();
    rest = rest.trim_start_matches(' ');
    if let Some(tail) = suffixes.iter().find_map(|suffix| rest.strip_prefix(suffix)) {
        joint = Joint::Explicit;
        rest = tail;
    }
    rest = rest.trim_start_matches(' ');
    for link in ["是：", "是:", "是", "为：", "为", "：", ":", "=", "is ", "is: ", "（", "(", "“", "\""] {
        if let Some(tail) = rest.strip_prefix(link) {
            joint = Joint::Explicit;
            rest = tail;
            break;
        }
    }
    rest = rest.trim_start_matches([' ', '“', '"', '「', '【']);
    let start = end + (whole - rest.len());
    let len = rest.bytes().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-')).count();
    let len = rest[..len].trim_end_matches(['-', '_']).len();
    (len > 0).then_some((joint, start..start + len))
}

#[cfg(test)]
mod tests {
    use super::super::find;

    fn found(text: &str) -> Vec<(&'static str, &str)> {
        find(text).into_iter().filter(|s| s.confidence >= 0.5).map(|s| (s.rule, &text[s.at])).collect()
    }

    #[test]
    fn plates_names_and_numbers() {
        for (text, rule, value) in [
            ("车牌川A65NW8停在门口", "cn_plate", "川A65NW8"),
            ("车牌京EMPSLZ停在门口", "cn_plate", "京EMPSLZ"),
            ("我的车是粤B·12345", "cn_plate", "粤B·12345"),
            ("沪AD12345是新能源", "cn_plate_new_energy", "沪AD12345"),
            ("京A12345F", "cn_plate_new_energy", "京A12345F"),
            ("粤Z1234港", "cn_plate", "粤Z1234港"),
            ("车牌号：苏a12b45", "cn_plate", "苏a12b45"),
            ("加我微信：wx_hb10ak3f", "wechat", "wx_hb10ak3f"),
            ("微信号是 li-wei2020，", "wechat", "li-wei2020"),
            ("my WeChat ID is david_li88", "wechat", "david_li88"),
            ("微信zhangsan1990", "wechat", "zhangsan1990"),
            ("V信 lisi_88", "wechat", "lisi_88"),
            ("加微信zhang520li", "wechat", "zhang520li"),
            ("wxid_a1b2c3d4e5f6g7", "wechat_id", "wxid_a1b2c3d4e5f6g7"),
            ("QQ：12345678", "qq", "12345678"),
            ("我的qq号是987654321", "qq", "987654321"),
            ("QQ群 87654321", "qq", "87654321"),
            ("加qq69387519。", "qq", "69387519"),
        ] {
            assert_eq!(found(text), [(rule, value)], "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "全新A16888处理器",
            "京ABCDE",
            "新A股",
            "云API接口",
            "京A123456789",
            "微信iPhone12",
            "<view wx:for-index=\"index1\">",
            "微信小程序",
            "微信支付API v3.2",
            "WeChat: available now",
            "QQ2021版",
            "QQ音乐",
            "wechat pay",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
