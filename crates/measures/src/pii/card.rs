//! Bank cards by Luhn and brand, and IBANs by their check digits.

use super::context::{self, Word, weigh};
use super::scan::Text;
use crate::Spot;

/// A card's number that starts at group `g`.
pub(super) fn card(text: &Text, g: usize, found: &mut Vec<Spot>) {
    const SHAPES: [&[usize]; 9] = [
        &[4, 4, 4, 4, 3],
        &[4, 4, 4, 4, 2],
        &[4, 4, 4, 4, 1],
        &[4, 4, 4, 4],
        &[4, 6, 5],
        &[4, 6, 4],
        &[6, 13],
        &[6, 10],
        &[8, 8],
    ];
    let solid = (12..=19).contains(&text.len(g)).then_some(g);
    let Some(last) = solid.or_else(|| SHAPES.iter().find_map(|shape| text.shape(g, shape, &[" ", "-", "  "]))) else {
        return;
    };
    let at = text.span(g, last);
    if !text.opens(at.start) || !text.closes(at.end) {
        return;
    }
    let digits = text.joined(g, last);
    let near = context::before(&text.s[..at.start], &[Word::Card]);
    let brand = brand(&digits);
    let rule = brand.as_ref().map_or("card", |brand| brand.name);
    let (raised, plain, lowered) = match (luhn(&digits), brand) {
        (false, _) => (0.35, 0.2, 0.1),
        (true, _) if uniform(&digits) || is_book(&digits) => (0.3, 0.2, 0.1),
        (true, Some(brand)) if brand.narrow || last > g => (0.95, 0.75, 0.4),
        (true, Some(_)) => (0.93, 0.4, 0.25),
        (true, None) => (0.75, 0.3, 0.15),
    };
    found.push(Spot { kind: "bank_card", rule, at, confidence: weigh(near, raised, plain, lowered) });
}

struct Brand {
    name: &'static str,
    /// Whether prefix and length together are rare enough to believe without a word.
    narrow: bool,
}

/// The brand that gives out numbers with this beginning and length.
fn brand(digits: &str) -> Option<Brand> {
    let head = |len: usize| digits[..len].parse::<u32>().unwrap_or(0);
    let (one, two, three, four, six) = (head(1), head(2), head(3), head(4), head(6));
    let len = digits.len();
    let (name, narrow) = match len {
        16..=19 if two == 62 || (two == 81 && len == 16) => ("unionpay", true),
        // Cards of Chinese banks from before 62.
        16..=19 if matches!(four, 9558 | 9559 | 9553 | 4563) || matches!(six, 601382 | 436742 | 524094) => {
            ("unionpay", true)
        }
        16 if one == 4 => ("visa", true),
        13 | 19 if one == 4 => ("visa", len == 19),
        16 if (51..=55).contains(&two) || (2221..=2720).contains(&four) => ("mastercard", true),
        15 if matches!(two, 34 | 37) => ("amex", true),
        14 if matches!(three, 300..=305 | 309) || matches!(two, 36 | 38 | 39) => ("diners", true),
        16 | 19 if four == 6011 || two == 65 || (644..=649).contains(&three) => ("discover", true),
        16 if (3528..=3589).contains(&four) => ("jcb", true),
        15 if matches!(four, 2131 | 1800) => ("jcb", true),
        16 if matches!(four, 2200..=2204) => ("mir", true),
        16 if matches!(two, 60 | 82) => ("rupay", false),
        12..=19 if matches!(two, 50 | 56 | 57 | 58 | 63 | 67 | 69 | 61) => ("maestro", false),
        _ => return None,
    };
    Some(Brand { name, narrow })
}

pub(super) fn luhn(digits: &str) -> bool {
    luhn_sum(digits).is_multiple_of(10)
}

/// The sum of digits with every second one from the right doubled.
pub(super) fn luhn_sum(digits: &str) -> u32 {
    let doubled = |(i, c): (usize, u8)| {
        let digit = u32::from(c - b'0');
        let twice = digit * if i % 2 == 1 { 2 } else { 1 };
        if twice > 9 { twice - 9 } else { twice }
    };
    digits.bytes().rev().enumerate().map(doubled).sum()
}

/// One digit all over, or for every four: 0000 0000 0000 0000, 1111 2222 3333 4444.
fn uniform(digits: &str) -> bool {
    let alike = |part: &[u8]| part.iter().all(|c| *c == part[0]);
    alike(digits.as_bytes()) || (digits.len() == 16 && digits.as_bytes().chunks(4).all(alike))
}

/// Whether thirteen digits are an ISBN with its check digit.
fn is_book(digits: &str) -> bool {
    let weigh = |(i, c): (usize, u8)| u32::from(c - b'0') * if i % 2 == 0 { 1 } else { 3 };
    digits.len() == 13
        && (digits.starts_with("978") || digits.starts_with("979"))
        && digits.bytes().enumerate().map(weigh).sum::<u32>() % 10 == 0
}

/// An IBAN whose check digits begin group `g`: two letters before, as long as the country's numbers are, and a
/// remainder of 1 by 97.
pub(super) fn iban(text: &Text, g: usize, found: &mut Vec<Spot>) {
    let group = &text.groups[g];
    if group.len() < 2 || group.start < 2 {
        return;
    }
    let start = group.start - 2;
    let letters = &text.b[start..group.start];
    if !letters.iter().all(u8::is_ascii_alphabetic)
        || text.byte_before(start).is_some_and(|c| c.is_ascii_alphanumeric())
    {
        return;
    }
    let country = [letters[0].to_ascii_uppercase(), letters[1].to_ascii_uppercase()];
    let Some(len) = iban_len(country) else { return };
    let Some((end, compact)) = iban_text(text, start, len) else { return };
    if text.byte(end).is_some_and(|c| c.is_ascii_alphanumeric()) || iban_remainder(&compact) != Some(1) {
        return;
    }
    found.push(Spot { kind: "iban", rule: "iban", at: start..end, confidence: 0.97 });
}

/// The characters of an IBAN of `len` without its spaces or hyphens, and where they end.
fn iban_text(text: &Text, start: usize, len: usize) -> Option<(usize, String)> {
    let mut compact = String::with_capacity(len);
    let mut at = start;
    while compact.len() < len {
        let byte = text.byte(at)?;
        if byte.is_ascii_alphanumeric() {
            compact.push(char::from(byte.to_ascii_uppercase()));
        } else if !matches!(byte, b' ' | b'-') || !compact.len().is_multiple_of(4) {
            return None;
        }
        at += 1;
    }
    Some((at, compact))
}

/// The remainder by 97 with the first four characters last and letters as 10 to 35; 1 for a right number.
pub(super) fn iban_remainder(compact: &str) -> Option<u32> {
    let (head, tail) = compact.split_at_checked(4)?;
    tail.chars().chain(head.chars()).try_fold(0, |rest, c| {
        let value = c.to_digit(36)?;
        Some((rest * if value > 9 { 100 } else { 10 } + value) % 97)
    })
}

fn iban_len(country: [u8; 2]) -> Option<usize> {
    const LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 \
         DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 \
         IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 \
         NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 \
         TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";
    let entry = LENGTHS.split(' ').find(|entry| entry.as_bytes()[..2] == country)?;
    entry[2..].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::find;

    fn cards(text: &str) -> Vec<(&'static str, &str)> {
        find(text).into_iter().filter(|s| s.confidence >= 0.5).map(|s| (s.rule, &text[s.at])).collect()
    }

    #[test]
    fn cards_of_every_brand() {
        for (text, rule, number) in [
            ("退款请打到卡号6222024932755903267。", "unionpay", "6222024932755903267"),
            ("card no. 5229 9862 6892 1636 ", "mastercard", "5229 9862 6892 1636"),
            ("charge card 4924572484622397 instead", "visa", "4924572484622397"),
            ("4111-1111-1111-1129", "visa", "4111-1111-1111-1129"),
            ("4111 1111 1111 1111", "visa", "4111 1111 1111 1111"),
            ("3782 822463 10005", "amex", "3782 822463 10005"),
            ("cc 30569309025904", "diners", "30569309025904"),
            ("6011000990139424", "discover", "6011000990139424"),
            ("3530111333300000", "jcb", "3530111333300000"),
            ("card 180016070420458", "jcb", "180016070420458"),
            ("my card 630427373398", "maestro", "630427373398"),
            ("cc 4047737215142 on", "visa", "4047737215142"),
            ("credit card 060426070011", "card", "060426070011"),
        ] {
            assert_eq!(cards(text), [(rule, number)], "{text}");
        }
    }

    #[test]
    fn ibans_of_every_form() {
        for (text, number) in [
            ("transfer to DE85370400440522048941 today", "DE85370400440522048941"),
            ("my iban is gb42nawi04454264788619", "gb42nawi04454264788619"),
            ("账号GB82 WEST 1234 5698 7654 32。", "GB82 WEST 1234 5698 7654 32"),
            ("FR14 2004 1010 0505 0001 3M02 606", "FR14 2004 1010 0505 0001 3M02 606"),
            ("NO9386011117947", "NO9386011117947"),
        ] {
            assert_eq!(cards(text), [("iban", number)], "{text}");
        }
    }

    #[test]
    fn what_is_no_card() {
        for text in [
            "tracking id 4390792398011457",
            "order 4111111111111111",
            "card 4111111111111112",
            "ISBN 9787302511625",
            "DE85370400440522048942",
            "0000000000000000",
            "卡号 1111 2222 3333 4444",
            "您的订单号是20240534483937116438",
            "timestamp 1700000000000",
        ] {
            assert_eq!(cards(text), [], "{text}");
        }
    }
}
