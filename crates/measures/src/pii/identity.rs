//! Chinese resident IDs, passports and American social security numbers.

use super::context::{self, Word, weigh};
use super::scan::Text;
use crate::Spot;

/// Identity papers that start at group `g`.
pub(super) fn at(text: &Text, g: usize, found: &mut Vec<Spot>) {
    resident_id(text, g, found);
    resident_id_old(text, g, found);
    passport(text, g, found);
    social_security(text, g, found);
}

/// Eighteen characters: region, birthday, sequence and a check digit by 11, which may be X.
fn resident_id(text: &Text, g: usize, found: &mut Vec<Spot>) {
    const WHOLE: [&[usize]; 6] =
        [&[18], &[4, 4, 4, 4, 2], &[6, 8, 4], &[6, 4, 4, 4], &[3, 3, 4, 4, 4], &[3, 3, 4, 2, 2, 4]];
    const WITH_X: [&[usize]; 6] =
        [&[17], &[4, 4, 4, 4, 1], &[6, 8, 3], &[6, 4, 4, 3], &[3, 3, 4, 4, 3], &[3, 3, 4, 2, 2, 3]];
    let gaps = [" ", "-"];
    let x = |last: &usize| matches!(text.byte(text.groups[*last].end), Some(b'X' | b'x'));
    let whole = WHOLE.iter().find_map(|shape| text.shape(g, shape, &gaps));
    let with_x = || WITH_X.iter().find_map(|shape| text.shape(g, shape, &gaps)).filter(x);
    let Some((last, tail)) = whole.map(|last| (last, 0)).or_else(|| with_x().map(|last| (last, 1))) else { return };
    let at = text.groups[g].start..text.groups[last].end + tail;
    let mut digits = text.joined(g, last);
    if tail == 1 {
        digits.push('X');
    }
    let letters = text.before(at.start, 24);
    let opens = match text.byte_before(at.start) {
        Some(c) if c.is_ascii_alphabetic() => {
            context::ends_with_word(letters) || letters.to_ascii_lowercase().ends_with("id")
        }
        before => !before.is_some_and(|c| c.is_ascii_digit() || matches!(c, b'.' | b'_')),
    };
    if !opens || text.byte(at.end).is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_') {
        return;
    }
    if !region(&digits) || !birthday(&digits[6..14]) {
        return;
    }
    let near = context::before(&text.s[..at.start], &[Word::Id]);
    let confidence = if check_digit(&digits[..17]) == digits.as_bytes()[17] {
        weigh(near, 0.98, 0.92, 0.75)
    } else {
        weigh(near, 0.45, 0.3, 0.2)
    };
    found.push(Spot { kind: "cn_id", rule: "cn_id", at, confidence });
}

/// The fifteen digits given out until 1999: a year of two digits and no check digit, so that a word must help.
fn resident_id_old(text: &Text, g: usize, found: &mut Vec<Spot>) {
    let digits = text.digits(g);
    if digits.len() != 15 || !region(digits) || !birthday(&format!("19{}", &digits[6..12])) {
        return;
    }
    let at = text.groups[g].clone();
    if !text.opens(at.start) || !text.closes(at.end) {
        return;
    }
    let near = context::before(&text.s[..at.start], &[Word::Id]);
    found.push(Spot { kind: "cn_id", rule: "cn_id_15", at, confidence: weigh(near, 0.9, 0.45, 0.2) });
}

fn region(digits: &str) -> bool {
    let province = matches!(
        &digits[..2],
        "11" | "12"
            | "13"
            | "14"
            | "15"
            | "21"
            | "22"
            | "23"
            | "31"
            | "32"
            | "33"
            | "34"
            | "35"
            | "36"
            | "37"
            | "41"
            | "42"
            | "43"
            | "44"
            | "45"
            | "46"
            | "50"
            | "51"
            | "52"
            | "53"
            | "54"
            | "61"
            | "62"
            | "63"
            | "64"
            | "65"
            | "71"
            | "81"
            | "82"
            | "83"
    );
    let city = digits[2..4].parse::<u32>().unwrap_or(99);
    province && (city <= 70 || city == 90)
}

/// Whether eight digits are a day between 1850 and 2099.
fn birthday(digits: &str) -> bool {
    let number = |at: std::ops::Range<usize>| digits[at].parse::<u32>().unwrap_or(0);
    let (year, month, day) = (number(0..4), number(4..6), number(6..8));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1850..2100).contains(&year) && (1..=days).contains(&day)
}

/// The check digit of seventeen digits (GB 11643, ISO 7064 MOD 11-2).
pub(super) fn check_digit(digits: &str) -> u8 {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = digits.bytes().zip(WEIGHTS).map(|(c, weight)| u32::from(c - b'0') * weight).sum();
    b"10X98765432"[(sum % 11) as usize]
}

/// Letters before a group: E and G with eight digits and other Chinese forms; any form behind the word.
fn passport(text: &Text, g: usize, found: &mut Vec<Spot>) {
    let group = &text.groups[g];
    if !(6..=9).contains(&group.len()) {
        return;
    }
    let letters = text.b[..group.start].iter().rev().take(3).take_while(|c| c.is_ascii_alphabetic()).count();
    let at = group.start - letters..group.end;
    let outside = text.byte_before(at.start).is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$'));
    if letters > 2 || outside || text.byte(at.end).is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_') {
        return;
    }
    let value = text.s[at.clone()].to_ascii_uppercase();
    let near = context::before(&text.s[..at.start], &[Word::Passport, Word::Phone, Word::Card, Word::Id]);
    let word = near.filter(|near| near.word == Word::Passport && near.distance <= 24);
    let rule = match (letters, value.as_bytes()[0], group.len()) {
        (1, b'E' | b'G' | b'D' | b'S' | b'P' | b'H' | b'K', 8) => "cn_passport",
        (2, b'E', 7) if !matches!(value.as_bytes()[1], b'I' | b'O') => "cn_passport",
        (1, b'C' | b'W' | b'H' | b'M' | b'T' | b'L', 8 | 9) => "cn_permit",
        (0, b'1', 9) if value.starts_with("14") || value.starts_with("15") => "cn_passport",
        _ => "passport",
    };
    let confidence = match (word, rule) {
        (Some(_), "passport") => 0.75,
        (Some(_), _) => 0.95,
        (None, "cn_passport") if letters > 0 && near.is_none() => 0.4,
        _ => return,
    };
    if text.opens(at.start) {
        found.push(Spot { kind: "passport", rule, at, confidence });
    }
}

/// Three, two and four digits that the administration could have given out.
fn social_security(text: &Text, g: usize, found: &mut Vec<Spot>) {
    let last = match text.len(g) {
        9 => g,
        3 => match text.shape(g, &[3, 2, 4], &["-", " ", ".", " - "]) {
            Some(last) => last,
            None => return,
        },
        _ => return,
    };
    let at = text.span(g, last);
    let digits = text.joined(g, last);
    let (area, pair, serial) = (&digits[..3], &digits[3..5], &digits[5..]);
    let never = area == "000" || area == "666" || area.starts_with('9') || pair == "00" || serial == "0000";
    if never || !text.opens(at.start) || !text.closes(at.end) {
        return;
    }
    // Numbers that were printed as examples.
    let example = matches!(digits.as_str(), "123456789" | "078051120" | "219099999" | "111111111" | "987654321");
    let near = context::before(&text.s[..at.start], &[Word::Ssn]);
    let confidence = match (text.gap(g).filter(|_| last > g), example) {
        (_, true) => 0.3,
        (Some("-"), _) => weigh(near, 0.96, 0.75, 0.4),
        (Some(_), _) => weigh(near, 0.9, 0.35, 0.2),
        (None, _) => weigh(near, 0.85, 0.15, 0.1),
    };
    found.push(Spot { kind: "us_ssn", rule: "us_ssn", at, confidence });
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    fn found(text: &str) -> Vec<(&'static str, &str)> {
        find(text).into_iter().filter(|s| s.confidence >= 0.5).map(|s| (s.rule, &text[s.at])).collect()
    }

    #[test]
    fn papers_of_every_form() {
        for (text, rule, value) in [
            ("身份证号510107198602191382，请核对。", "cn_id", "510107198602191382"),
            ("证件51010719730304453X", "cn_id", "51010719730304453X"),
            ("ID 51010719730304453x.", "cn_id", "51010719730304453x"),
            ("510107 19860219 1382", "cn_id", "510107 19860219 1382"),
            ("身份证 1101 0519 4912 3100 2X", "cn_id", "1101 0519 4912 3100 2X"),
            ("５１０１０７１９８６０２１９１３８２", "cn_id", "５１０１０７１９８６０２１９１３８２"),
            ("身份证号码：510107860219138", "cn_id_15", "510107860219138"),
            ("护照号码为E38836321", "cn_passport", "E38836321"),
            ("护照EA1234567", "cn_passport", "EA1234567"),
            ("my passport number is 533401234", "passport", "533401234"),
            ("Passport: C01X00T47", "", ""),
            ("SSN 123-31-7950 for", "us_ssn", "123-31-7950"),
            ("social security number is 494 33 0748", "us_ssn", "494 33 0748"),
            ("my ssn: 494330748", "us_ssn", "494330748"),
        ] {
            let expect: &[(&str, &str)] = if rule.is_empty() { &[] } else { &[(rule, value)] };
            assert_eq!(found(text), expect, "{text}");
        }
    }

    #[test]
    fn what_is_no_paper() {
        for text in [
            "订单流水号110101198008087850已生成",
            "身份证号110101198008087850",
            "身份证号510107198602301382",
            "SSN 900-12-3456",
            "ssn 000-12-3456",
            "123-45-6789",
            "part no. 123-31-7950",
            "G1234 to E12345678901",
            "110101199003074514000",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn check_digits() {
        assert_eq!(check_digit("51010719730304453"), b'X');
        assert_eq!(check_digit("51010719860219138"), b'2');
    }
}
