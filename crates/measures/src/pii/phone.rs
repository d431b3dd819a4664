//! Telephone numbers: Chinese mobiles and landlines, North America, and any digits beside a word for telephones.

use super::FINDING;
use super::abroad;
use super::context::{self, Near, Word, weigh};
use super::scan::Text;
use crate::Spot;
use std::ops::Range;

const WANTED: [Word; 2] = [Word::Phone, Word::Call];
/// Numbers that start at group `g`.
pub(super) fn at(text: &Text, g: usize, found: &mut Vec<Spot>) {
    let before = found.len();
    chinese_mobile(text, g, found);
    chinese_landline(text, g, found);
    // The looser rules have their say where no stricter one is sure.
    for rule in [north_american, abroad::international, beside_a_word] {
        if found[before..].iter().all(|spot| spot.confidence < FINDING) {
            rule(text, g, found);
        }
    }
}

pub(super) fn push(found: &mut Vec<Spot>, rule: &'static str, at: Range<usize>, confidence: f32) {
    found.push(Spot { kind: "phone", rule, at, confidence });
}

/// The words around a number: those before it, or a word for telephones right behind.
pub(super) fn words(text: &Text, at: &Range<usize>) -> Option<Near> {
    let near = context::before(&text.s[..at.start], &WANTED);
    let behind = || context::after(&text.s[at.end..], &[Word::Phone]).filter(|near| near.distance <= 18);
    near.or_else(behind)
}

/// Where the `+86`, `0086-` or `(86)` before a Chinese number begins.
fn country_before(text: &Text, g: usize) -> Option<usize> {
    let mut before = g.checked_sub(1)?;
    let mut gap = text.gap(before)?;
    // +86 (0)10: the zero is dialled at home only.
    if text.digits(before) == "0" && gap == ")" && text.gap_before(before).is_some_and(|gap| gap.ends_with('(')) {
        before -= 1;
        gap = " ";
    }
    let plus = text.byte_before(text.groups[before].start) == Some(b'+');
    let code = matches!(text.digits(before), "86" | "0086") || (plus && text.digits(before) == "086");
    if !code || !matches!(gap, " " | "-" | ")" | ") " | ")-" | "\u{ff09}" | " - " | "  " | "(" | " (") {
        return None;
    }
    let mut start = text.groups[before].start;
    while matches!(text.byte_before(start), Some(b'+' | b'(')) {
        start -= 1;
    }
    Some(start)
}

/// Eleven digits from 13 to 19, in one or as 3-4-4 and the like. A country code stays outside the spot: it says
/// nothing about a person, and the same number with and without it is the same.
fn chinese_mobile(text: &Text, g: usize, found: &mut Vec<Spot>) {
    const SHAPES: [&[usize]; 6] = [&[11], &[3, 4, 4], &[3, 8], &[7, 4], &[4, 3, 4], &[3, 3, 5]];
    let digits = text.digits(g);
    let group = &text.groups[g];
    // 8613800001234 and 0086…, the country code without a gap.
    let glued = ["0086", "86"].into_iter().find(|code| {
        digits.strip_prefix(code).is_some_and(|rest| (rest.len() == 11 || rest.len() == 3) && segment(rest).is_some())
    });
    let (start, last) = match glued {
        Some(code) if digits.len() - code.len() == 11 => (group.start + code.len(), Some(g)),
        Some(code) => {
            let rest = text.gap(g).filter(|gap| matches!(*gap, " " | "-"));
            let alike = rest.is_some() && text.gap(g + 1) == rest && text.len(g + 1) == 4 && text.len(g + 2) == 4;
            (group.start + code.len(), alike.then_some(g + 2))
        }
        None if digits.len() == 12 && digits.starts_with('0') => (group.start + 1, Some(g)),
        None => (group.start, SHAPES.iter().find_map(|lengths| text.shape(g, lengths, &[" ", "-", "."]))),
    };
    let Some(last) = last else { return };
    let Some(known) = segment(&text.s[start..]) else { return };
    let at = start..text.groups[last].end;
    // +1 415 555 0132 and 1415… in English are American.
    let american = glued.is_none() && plus_before(text, group.start)
        || (!known && text.before(start, 24).is_ascii() && country_before(text, g).is_none());
    if american && digits.len() == 11 {
        return;
    }
    let prefix = country_before(text, g);
    // +49 153 71509975 is a number of another country.
    let abroad = |before: usize| {
        plus_before(text, text.groups[before].start) && text.len(before) <= 3 && text.gap(before).is_some_and(joins)
    };
    if prefix.is_none() && g.checked_sub(1).is_some_and(abroad) {
        return;
    }
    let mut opening = prefix.unwrap_or(group.start);
    if glued.is_some() && text.byte_before(opening) == Some(b'+') {
        opening -= 1;
    }
    if !text.opens(opening) || !text.closes(at.end) {
        return;
    }
    let near = words(text, &at);
    let plain = match (prefix.is_some() || opening < group.start, glued.is_some() || digits.len() == 12) {
        (true, _) => 0.9,
        (false, true) => 0.45,
        (false, false) if last > g && text.gap(g) == Some(".") => 0.45,
        (false, false) => 0.72,
    };
    let mut confidence = weigh(near, f32::max(plain, 0.93), plain, if prefix.is_some() { 0.6 } else { 0.4 });
    if !known {
        confidence -= 0.15;
    }
    if near.is_none() && (trailing_zeros(&text.s[at.clone()]) >= 6 || counted(text, at.end) || in_a_sum(text, &at)) {
        confidence = confidence.min(0.35);
    }
    push(found, "cn_mobile", at, confidence);
}

/// Whether the first three digits open a Chinese mobile number, and are given out at present.
fn segment(digits: &str) -> Option<bool> {
    let b = digits.as_bytes();
    if b.len() < 3 || b[0] != b'1' || !(b'3'..=b'9').contains(&b[1]) || !b[2].is_ascii_digit() {
        return None;
    }
    Some(match b[1] {
        b'4' => b[2] >= b'5',
        b'5' => b[2] != b'4',
        b'6' => matches!(b[2], b'2' | b'5' | b'6' | b'7'),
        b'7' => b[2] != b'9',
        b'9' => b[2] != b'4',
        _ => true,
    })
}

pub(super) fn trailing_zeros(digits: &str) -> usize {
    digits.bytes().rev().take_while(|c| *c == b'0').count()
}

/// Whether a unit follows, as in 13812345678元: an amount, not a number to call.
fn counted(text: &Text, end: usize) -> bool {
    let rest = text.after(end, 12).trim_start();
    [
        "元", "万", "亿", "美元", "块", "个", "人", "次", "条", "吨", "米", "公里", "平方", "件", "台", "股",
        "dollars", "euros", "people",
    ]
    .iter()
    .any(|unit| rest.starts_with(unit))
}

/// Whether a sign of arithmetic stands beside: a term, not a number to call.
fn in_a_sum(text: &Text, at: &Range<usize>) -> bool {
    let head = text.before(at.start, 8).trim_end_matches(' ');
    let tail = text.after(at.end, 8).trim_start_matches(' ');
    head.ends_with(['*', '×', '÷', '^', '<', '>']) || tail.starts_with(['=', '*', '×', '÷', '^', '<', '>'])
}

/// Area code and seven or eight digits, bare numbers behind 电话, and the 400 and 800 services.
fn chinese_landline(text: &Text, g: usize, found: &mut Vec<Spot>) {
    let start = match text.byte_before(text.groups[g].start) {
        Some(b'(') => text.groups[g].start - 1,
        Some(0x88) if text.before(text.groups[g].start, 3) == "\u{ff08}" => text.groups[g].start - 3,
        _ => text.groups[g].start,
    };
    let prefix = country_before(text, g);
    let Some((last, separated)) = with_area(text, g, prefix.is_some()) else {
        service(text, g, found);
        return;
    };
    let end = extension(text, text.groups[last].end);
    // +861063553377: the country code stays outside, as it does with a gap behind it.
    let glued = text.digits(g).starts_with("86") && plus_before(text, text.groups[g].start);
    let (opening, start) = if glued { (start - 1, start + 2) } else { (prefix.unwrap_or(start), start) };
    if !text.opens(opening) || !text.closes(end) || counted(text, end) {
        return;
    }
    let at = start..end;
    let near = words(text, &at);
    let plain = match (prefix.is_some() || glued, separated) {
        (true, _) => 0.9,
        (false, true) => 0.75,
        (false, false) => 0.45,
    };
    push(found, "cn_landline", at, weigh(near, 0.92, plain, if separated { 0.42 } else { 0.3 }));
}

/// The last group of an area code with a local number, and whether anything separates the two.
fn with_area(text: &Text, g: usize, abroad: bool) -> Option<(usize, bool)> {
    let digits = text.digits(g);
    // Behind +86 the zero may be left out.
    let zero = if abroad && !digits.starts_with('0') { "0" } else { "" };
    let area_len = |digits: &str| area(&format!("{zero}{digits}")).map(|len| len - zero.len());
    let local = |digits: &str| matches!(digits.as_bytes().first(), Some(b'2'..=b'9'));
    if let Some(rest) = digits.strip_prefix("86").filter(|_| plus_before(text, text.groups[g].start)) {
        let area = area(&format!("0{rest}"))? - 1;
        let fits = matches!((area, rest.len()), (2, 10) | (3, 10 | 11));
        return (fits && local(&rest[area..])).then_some((g, false));
    }
    if zero.is_empty() && !digits.starts_with('0') {
        return None;
    }
    let area = area_len(digits)?;
    let fits = |len: usize| len == 8 || (len == 7 && area + zero.len() == 4);
    if digits.len() > area {
        return (fits(digits.len() - area) && local(&digits[area..])).then_some((g, false));
    }
    let gap = text.gap(g).filter(|gap| {
        matches!(*gap, "-" | " " | ")" | ") " | ")-" | "\u{ff09}" | "\u{ff09} " | "\u{ff09}-" | " - " | "--")
    })?;
    if !local(text.digits(g + 1)) {
        return None;
    }
    if fits(text.len(g + 1)) {
        return Some((g + 1, true));
    }
    let halves = matches!((text.len(g + 1), text.len(g + 2)), (4, 4) | (3, 4));
    let inner = text.gap(g + 1).is_some_and(|inner| matches!(inner, " " | "-"));
    (halves && inner && !gap.is_empty() && fits(text.len(g + 1) + text.len(g + 2))).then_some((g + 2, true))
}

/// The length of the Chinese area code that the digits begin with.
fn area(digits: &str) -> Option<usize> {
    let b = digits.as_bytes();
    match (b.first()?, b.get(1)?, b.get(2)?) {
        (b'0', b'1', b'0') => Some(3),
        (b'0', b'2', third) => (*third != b'6').then_some(3),
        // 03xx to 09xx; 04xx to 09xx have gaps that change with time.
        (b'0', b'3'..=b'9', _) if b.len() >= 4 => Some(4),
        _ => None,
    }
}

/// Where an extension behind a number ends: -808, 转808, ext. 808, x808.
pub(super) fn extension(text: &Text, end: usize) -> usize {
    let rest = text.after(end, 24);
    let trimmed = rest.trim_start_matches(' ');
    let spaces = rest.len() - trimmed.len();
    const MARKS: [&str; 10] = ["extension ", "ext. ", "ext.", "ext ", "Ext. ", "x", "-", "转分机", "转", "分机"];
    for mark in MARKS {
        let Some(tail) = trimmed.strip_prefix(mark) else { continue };
        if mark == "-" && spaces > 0 || spaces > 1 {
            continue;
        }
        let gap = tail.len() - tail.trim_start_matches(' ').len();
        let digits = tail[gap..].bytes().take_while(u8::is_ascii_digit).count();
        if (1..=5).contains(&digits) && gap <= 1 {
            return end + spaces + mark.len() + gap + digits;
        }
    }
    end
}

/// 400-xxx-xxxx and 800-xxx-xxxx in Chinese text.
fn service(text: &Text, g: usize, found: &mut Vec<Spot>) {
    if !text.digits(g).starts_with("400") && !text.digits(g).starts_with("800") {
        return;
    }
    const SHAPES: [&[usize]; 4] = [&[10], &[3, 3, 4], &[3, 4, 3], &[4, 3, 3]];
    let Some(last) = SHAPES.iter().find_map(|lengths| text.shape(g, lengths, &["-", " "])) else { return };
    let at = text.span(g, last);
    if !text.opens(at.start) || !text.closes(at.end) || counted(text, at.end) {
        return;
    }
    let near = words(text, &at);
    let chinese = !text.before(at.start, 24).is_ascii() || !text.after(at.end, 12).is_ascii();
    if chinese {
        push(found, "cn_service", at, weigh(near, 0.85, if last > g { 0.6 } else { 0.4 }, 0.35));
    }
}

/// Three, three and four digits: (212) 555-0123, 212-555-0123, +1 212 555 0123 x45.
fn north_american(text: &Text, g: usize, found: &mut Vec<Spot>) {
    let area = &text.groups[g];
    let bracket = text.byte_before(area.start) == Some(b'(');
    let mut start = area.start - usize::from(bracket);
    let (last, digits, spread) = match text.len(g) {
        3 => {
            let Some(gap) = text.gap(g) else { return };
            let Some(gap2) = text.gap(g + 1) else { return };
            let usual = if bracket { matches!(gap, ")" | ") " | ")-" | ").") } else { gap == gap2 || gap == " " };
            if text.len(g + 1) != 3 || text.len(g + 2) != 4 || !usual || !matches!(gap2, "-" | " " | ".") {
                return;
            }
            (g + 2, text.joined(g, g + 2), gap2 != " " || bracket)
        }
        10 => (g, text.digits(g).to_owned(), false),
        11 if text.digits(g).starts_with('1') => (g, text.digits(g)[1..].to_owned(), false),
        _ => return,
    };
    let mut country = plus_before(text, start) && text.len(g) == 11;
    if let Some(code) = g.checked_sub(1).filter(|code| matches!(text.digits(*code), "1" | "001"))
        && text.len(g) != 11
        && matches!(&text.s[text.groups[code].end..start], "" | " " | "-" | "." | "- ")
    {
        let plus = plus_before(text, text.groups[code].start);
        country = plus || text.digits(code) == "001" || matches!(text.gap(code), Some("-" | "."));
        if country {
            start = text.groups[code].start;
        }
    }
    if plus_before(text, start) {
        start -= 1;
    }
    let end = extension(text, text.groups[last].end);
    let at = start..if text.byte(text.groups[last].end) == Some(b'-') { text.groups[last].end } else { end };
    if !text.opens(at.start) || !text.closes_phone(at.end) {
        return;
    }
    let near = words(text, &at);
    let called = near.is_some_and(|near| !near.word.lowers());
    let plain = match (numbering_plan(&digits), country || bracket, spread) {
        _ if placeholder(&digits) => 0.3,
        (Plan::Fits, true, _) => 0.88,
        (Plan::Fits, false, true) => 0.72,
        (Plan::Fits, false, false) if called => 0.7,
        (Plan::Loose, true, true) => 0.62,
        (Plan::Loose, _, _) if called && last > g => 0.6,
        _ => 0.35,
    };
    let raised = if plain < FINDING { plain } else { f32::max(plain, 0.85) };
    push(found, "us_phone", at, weigh(near, raised, plain, if country { 0.5 } else { 0.4 }));
}

enum Plan {
    /// Area and exchange as the numbering plan has them.
    Fits,
    /// The area could be one.
    Loose,
    Not,
}

fn numbering_plan(digits: &str) -> Plan {
    let b = digits.as_bytes();
    let service = |three: &[u8]| three[1] == b'1' && three[2] == b'1';
    match (b[0] >= b'2', b[3] >= b'2') {
        (true, true) if !service(&b[..3]) && !service(&b[3..6]) => Plan::Fits,
        (true, _) => Plan::Loose,
        _ => Plan::Not,
    }
}

/// 1234567890, 5555555555 and the like.
fn placeholder(digits: &str) -> bool {
    let b = digits.as_bytes();
    let steps = |step: u8| b.windows(2).filter(|two| (two[1] + 10 - two[0]) % 10 == step).count();
    steps(0) + 1 >= b.len() - 1 || steps(1) + 1 >= b.len() - 1 || steps(9) + 1 >= b.len() - 1
}

pub(super) fn plus_before(text: &Text, at: usize) -> bool {
    text.byte_before(at) == Some(b'+')
}

/// Whether what stands between two groups may stand within one number.
pub(super) fn joins(gap: &str) -> bool {
    matches!(gap, " " | "-" | "." | "/" | ")" | ") " | ")-" | " (" | "(" | "-(" | " - " | " / " | ") - " | "  ")
}

/// Seven to thirteen digits of any form right behind a word for telephones.
fn beside_a_word(text: &Text, g: usize, found: &mut Vec<Spot>) {
    let group = &text.groups[g];
    let start = group.start - usize::from(text.byte_before(group.start) == Some(b'('));
    let near = context::nearest(&text.s[..start]);
    let dialled = text.before(start, 3);
    let Some(near) = near.filter(|near| WANTED.contains(&near.word)) else {
        // 打 and 拨 are part of too many other words to count further away.
        if matches!(dialled, "打" | "拨") && !mid_number(text, g) {
            chinese_local(text, g, 0.6, found);
        } else if near.is_none() {
            before_a_word(text, g, found);
        }
        return;
    };
    if near.distance > 30 || !text.opens(start) || mid_number(text, g) {
        return;
    }
    if text.b[start.saturating_sub(near.distance + 1)..start].iter().any(|c| *c >= 0x80) {
        if near.word == Word::Phone || near.distance <= 6 {
            chinese_local(text, g, if near.word == Word::Phone { 0.75 } else { 0.6 }, found);
        }
        return;
    }
    let Some((last, count)) = run_of_groups(text, g) else { return };
    let end = text.groups[last].end;
    let digits = text.joined(g, last);
    let word = near.word == Word::Phone;
    let solid = last == g;
    let confidence = match (word, solid) {
        _ if placeholder(&digits) || trailing_zeros(&digits) >= 5 => 0.3,
        (true, false) => 0.68,
        (true, true) => 0.6,
        (false, false) if near.distance <= 8 => 0.6,
        (false, true) if near.distance <= 8 && count >= 9 => 0.55,
        _ => 0.4,
    };
    push(found, "local_phone", start..extension(text, end), confidence);
}

/// Seven or eight digits behind 电话, without an area code.
fn chinese_local(text: &Text, g: usize, sure: f32, found: &mut Vec<Spot>) {
    const SHAPES: [&[usize]; 4] = [&[8], &[7], &[4, 4], &[3, 4]];
    let Some(last) = SHAPES.iter().find_map(|lengths| text.shape(g, lengths, &["-", " "])) else { return };
    let at = text.groups[g].start..extension(text, text.groups[last].end);
    let digits = text.joined(g, last);
    let local = (b'2'..=b'9').contains(&digits.as_bytes()[0]);
    if !local || !text.closes(at.end) || counted(text, at.end) || trailing_zeros(&digits) >= 6 {
        return;
    }
    let years = last > g && digits.starts_with("20") && digits[4..].starts_with("20");
    let confidence = match last == g && digits.len() == 8 && compact_date(&digits) {
        _ if years => 0.3,
        true => sure - 0.2,
        false => sure,
    };
    push(found, "cn_landline", at, confidence);
}

/// The same with the word behind: 416 60 039 office, 12345678 (fax).
fn before_a_word(text: &Text, g: usize, found: &mut Vec<Spot>) {
    let start = text.groups[g].start - usize::from(text.byte_before(text.groups[g].start) == Some(b'('));
    if !text.opens(start) || mid_number(text, g) {
        return;
    }
    let Some((last, _)) = run_of_groups(text, g) else { return };
    let end = text.groups[last].end;
    let near = context::after(&text.s[end..], &WANTED);
    let joined = |distance: usize| text.after(end, distance).chars().all(|c| matches!(c, ' ' | '-' | '(' | '/'));
    let named = near.is_some_and(|near| near.distance <= 2 && joined(near.distance));
    if last > g && named && !placeholder(&text.joined(g, last)) {
        push(found, "local_phone", start..end, 0.55);
    }
}

/// The last group of a number that starts at `g`, and its digits; none for dates, ranges and what is too long.
fn run_of_groups(text: &Text, g: usize) -> Option<(usize, usize)> {
    let mut last = g;
    let mut count = text.len(g);
    while let Some(gap) = text.gap(last).filter(|gap| joins(gap)) {
        let next = text.len(last + 1);
        // 030/901820 is a number, 3000/200 a sum.
        if gap.contains('/') && (count > 5 || !text.digits(g).starts_with('0')) {
            break;
        }
        // Two whole numbers side by side, or more digits than any number has.
        if (gap == " " || gap == "/") && count >= 7 && next >= 7 || count + next > 13 {
            break;
        }
        count += next;
        last += 1;
    }
    let parts = last - g + 1;
    let small = parts > 6 || (g..last).any(|i| text.len(i) > 8);
    let day = |i: usize| text.len(i) <= 2;
    let dated = text.len(g) == 4 && matches!(&text.digits(g)[..2], "19" | "20") && (count == 8 || day(g + 1));
    let dated = dated || (parts >= 3 && day(g) && day(g + 1) && text.len(g + 2) == 4 && text.gap(g) == text.gap(g + 1));
    let address = parts == 4 && text.gap(g) == Some(".") && count <= 12 && (g..=last).all(|i| text.len(i) <= 3);
    let decimal = parts == 2 && text.gap(g) == Some(".");
    let closed = text.closes_phone(text.groups[last].end);
    ((7..=13).contains(&count) && !small && !dated && !address && !decimal && closed).then_some((last, count))
}

/// Whether group `g` goes on with a number that began before it.
fn mid_number(text: &Text, g: usize) -> bool {
    let Some(gap) = text.gap_before(g) else { return false };
    joins(gap) && text.len(g - 1) < 7
}

fn compact_date(digits: &str) -> bool {
    let number = |at: std::ops::Range<usize>| digits[at].parse::<u32>().unwrap_or(0);
    (1900..=2099).contains(&number(0..4)) && (1..=12).contains(&number(4..6)) && (1..=31).contains(&number(6..8))
}

impl Text<'_> {
    /// Where a telephone number may end: a word may follow a hyphen, as in 788-063-Office.
    pub fn closes_phone(&self, at: usize) -> bool {
        if self.byte(at) == Some(b'-') && self.byte(at + 1).is_some_and(|c| c.is_ascii_alphabetic()) {
            return context::after(&self.s[at..], &[Word::Phone, Word::Call]).is_some_and(|near| near.distance <= 1);
        }
        if self.byte(at) == Some(b'x') && self.byte(at + 1).is_some_and(|c| c.is_ascii_digit()) {
            return true;
        }
        self.closes(at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::find;

    fn phones(text: &str) -> Vec<(&'static str, &str)> {
        find(text).into_iter().filter(|s| s.confidence >= 0.5).map(|s| (s.rule, &text[s.at])).collect()
    }

    fn check(rule: &str, cases: &[(&str, &str)]) {
        for (text, expect) in cases {
            assert_eq!(phones(text), [(rule, *expect)].map(|(r, e)| (leak(r), e)), "{text}");
        }
    }

    fn leak(rule: &str) -> &'static str {
        ["cn_mobile", "cn_landline", "cn_service", "us_phone", "intl_phone", "local_phone"]
            .into_iter()
            .find(|known| *known == rule)
            .expect("a rule's name")
    }

    #[test]
    fn chinese_mobiles() {
        check(
            "cn_mobile",
            &[
                ("手机号13812345670，谢谢", "13812345670"),
                ("联系电话：+86 138-0000-1690", "138-0000-1690"),
                ("打给我+8613900001234吧", "13900001234"),
                ("电话8613900001234", "13900001234"),
                ("0086-139 0000 1234", "139 0000 1234"),
                ("(+86)13900001234", "13900001234"),
                ("＋８６ １３９００００１２３４", "１３９００００１２３４"),
                ("+86138 0000 1234", "138 0000 1234"),
                ("Tel13900001234", "13900001234"),
                ("13900001234微信同号", "13900001234"),
                ("我是王伟，15912340987。", "15912340987"),
            ],
        );
        assert_eq!(phones("电话13912340987/13712340987").len(), 2);
    }

    #[test]
    fn chinese_landlines() {
        check(
            "cn_landline",
            &[
                ("电话是010-63553377。", "010-63553377"),
                ("前台(010)63553377", "(010)63553377"),
                ("前台（0755）8185 9346", "（0755）8185 9346"),
                ("电话是01088374993。", "01088374993"),
                ("电话是88681188-6808。", "88681188-6808"),
                ("座机021-5758 7657转802", "021-5758 7657转802"),
                ("它的电话67010327", "67010327"),
                ("打57201918这个就行", "57201918"),
                ("01061629109，这个是预约电话", "01061629109"),
                ("+86-10-63553377", "10-63553377"),
                ("+86 755 81859346", "755 81859346"),
                ("+861063553377", "1063553377"),
                ("+86(10)63553377", "(10)63553377"),
                ("+86 (0)10 6355 3377", "10 6355 3377"),
            ],
        );
        assert_eq!(phones("电话：83172726、83172726。").len(), 2);
        assert_eq!(phones("电话是010-87739799 64615726。").len(), 2);
        check("cn_service", &[("请拨400-820-8820转人工", "400-820-8820"), ("热线4008208820", "4008208820")]);
    }

    #[test]
    fn north_america() {
        check(
            "us_phone",
            &[
                ("call (834) 555-0178 please", "(834) 555-0178"),
                ("back on (611) 555-0135", "(611) 555-0135"),
                ("at 541-714-1388", "541-714-1388"),
                ("541.714.1388 is mine", "541.714.1388"),
                ("+1-984-182-0190 mobile", "+1-984-182-0190"),
                ("1-800-555-0199", "1-800-555-0199"),
                ("001-518-640-0854", "001-518-640-0854"),
                ("Fax: 345-899-3560x4587", "345-899-3560x4587"),
                ("(898)666-3621x0135", "(898)666-3621x0135"),
                ("phone 9498777106", "9498777106"),
                ("+14155550132", "+14155550132"),
            ],
        );
    }

    #[test]
    fn numbers_beside_a_word() {
        check(
            "local_phone",
            &[
                ("Phone:\n60-56-85-91\n\nE-mail", "60-56-85-91"),
                ("Mobile: 0490 39 07 81", "0490 39 07 81"),
                ("fax (37) 788-063-Office", "(37) 788-063"),
                ("please call me on 450 0840", "450 0840"),
                ("Name: Leigha\nPhone: 032 288 79 44", "032 288 79 44"),
                ("416 60 039 office", "416 60 039"),
            ],
        );
    }

    #[test]
    fn what_is_no_telephone() {
        for text in [
            "订单号13812345678已发货",
            "order no. 13812345678",
            "tracking 541-714-1388",
            "价格13812345678元",
            "总人数15000000000",
            "on 2019-02-23",
            "the phone came in 2019-2020",
            "电话2019年买的",
            "text on 2001-03-24 11:34:35.",
            "call on 24.03.2001 11:34",
            "Phone home at 36.089742, 23.062180.",
            "请拨打110或12306",
            "version 5.8.12.10086",
            "item/13812345678/view",
            "SN-13812345678",
            "3.13812345678",
            "13812345678%",
            "123-456-7890",
            "score +12345678",
            "ISBN 978-7-5529-9205-9",
            "1000000 phones in 1999",
            "fd0a8172-6724-3331-5678-f9c602d291a0",
            "timestamp 1700000000",
            "a=+10 000 000",
            "phones is $3000 / 200 phones = $<<3000/200=15>>",
            "VHOST_CONFIG_CALL: u32 = 3225439754",
            "12 - 16666579390 = -16666579378",
        ] {
            assert_eq!(phones(text), [], "{text}");
        }
    }
}
