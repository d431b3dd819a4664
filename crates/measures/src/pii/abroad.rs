//! Telephone numbers of any country, by the numbering plans that come with `phonenumber`.
//!
//! Its own `parse` and `is_valid` compile a plan's patterns again and again once more than a few countries are in
//! turn (2 ms a number), under a lock; here each country's are compiled once.

use super::context::weigh;
use super::phone::{extension, joins, plus_before, push, trailing_zeros, words};
use super::scan::Text;
use crate::Spot;
use phonenumber::Metadata;
use phonenumber::metadata::{DATABASE, Descriptor};
use regex::{Regex, RegexBuilder};
use std::sync::{LazyLock, OnceLock};

/// Digits of a number, country code included (E.164; the least is that of Niue and the like).
const DIGITS_MIN: usize = 7;
const DIGITS_MAX: usize = 15;

/// A number with `+` or `00` and a country code, as `phonenumber` judges it.
pub(super) fn international(text: &Text, g: usize, found: &mut Vec<Spot>) {
    let group = text.groups[g].clone();
    let plus = plus_before(text, group.start);
    let digits = text.digits(g);
    let dialled = digits.starts_with("00") && digits.len() >= 4 && !digits.starts_with("000");
    if !plus && !dialled {
        return;
    }
    let mut start = group.start - usize::from(plus);
    if text.byte_before(start) == Some(b'(') {
        start -= 1;
    }
    if !text.opens(start) {
        return;
    }
    let code_digits = if plus { digits } else { &digits[2..] };
    if code_digits.starts_with("86") {
        return;
    }
    let mut number = code_digits.to_owned();
    let mut best: Option<(usize, Standing)> = None;
    let mut last = g;
    while number.len() <= DIGITS_MAX {
        if number.len() >= DIGITS_MIN && text.closes_phone(text.groups[last].end) {
            let standing = standing(&number);
            if best.is_none_or(|(_, before)| standing >= before) {
                best = Some((last, standing));
            }
        }
        let Some(gap) = text.gap(last).filter(|gap| joins(gap)) else { break };
        let next = text.digits(last + 1);
        // (0) is dialled at home only.
        if !(next == "0" && gap.ends_with('(')) {
            number.push_str(next);
        }
        last += 1;
    }
    let Some((last, standing)) = best.filter(|(_, standing)| *standing > Standing::Unknown) else { return };
    let end = text.groups[last].end;
    let at = start..extension(text, end).max(end);
    let near = words(text, &at);
    let digits = text.joined(g, last);
    let round = trailing_zeros(&digits) >= 5;
    let valid = standing == Standing::Valid;
    let plain = match (standing, last > g) {
        (Standing::Valid, _) if plus => 0.9,
        (Standing::Valid, true) => 0.65,
        // Ranges that are not given out, as those of films, are still written like numbers.
        (Standing::Possible, true) if plus && !round && text.len(g) <= 5 && text.gap(g) != Some(".") => 0.62,
        (Standing::Possible, false) if plus && !round && digits.len() >= 10 => 0.6,
        _ => 0.4,
    };
    let raised = if valid { 0.95 } else { f32::max(plain, 0.6) };
    push(found, "intl_phone", at, weigh(near, raised, plain, if valid && plus { 0.55 } else { 0.35 }));
}

/// What the numbering plan says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// No country has this code, or none of its numbers this length.
    Unknown,
    /// Length and country are right.
    Possible,
    Valid,
}

/// Numbers behind one country code.
struct Plan {
    pattern: Option<Regex>,
    lengths: Vec<u16>,
}

/// By country code, which has at most three digits. Compiled where such a number is seen.
static PLANS: LazyLock<Vec<OnceLock<Option<Plan>>>> = LazyLock::new(|| (0..1000).map(|_| OnceLock::new()).collect());

fn standing(digits: &str) -> Standing {
    // No code begins another one.
    let found = (1..=3).find_map(|len| {
        let code: u16 = digits.get(..len)?.parse().ok()?;
        let plan = PLANS.get(usize::from(code))?.get_or_init(|| plan(code)).as_ref()?;
        Some((plan, &digits[len..]))
    });
    let Some((plan, national)) = found else { return Standing::Unknown };
    // Some write the zero that is dialled at home behind the country code.
    let trimmed = national.strip_prefix('0').unwrap_or(national);
    let valid = |number: &str| plan.pattern.as_ref().is_some_and(|pattern| pattern.is_match(number));
    let possible = |number: &str| plan.lengths.contains(&(number.len() as u16));
    match () {
        () if digits.starts_with('0') => Standing::Unknown,
        () if valid(national) || valid(trimmed) => Standing::Valid,
        () if possible(national) || possible(trimmed) => Standing::Possible,
        () => Standing::Unknown,
    }
}

fn plan(code: u16) -> Option<Plan> {
    let regions = DATABASE.by_code(&code)?;
    let kinds: Vec<&Descriptor> = regions.iter().flat_map(|region| kinds(region)).collect();
    let patterns: Vec<&str> = kinds.iter().map(|kind| kind.national_number().as_str()).collect();
    let whole = format!("^(?:{})$", patterns.join("|"));
    let pattern = RegexBuilder::new(&whole).ignore_whitespace(true).unicode(false).build().ok();
    let lengths: Vec<u16> = kinds.iter().flat_map(|kind| kind.possible_length().iter().copied()).collect();
    // Where the plan names none, what numbers have anywhere.
    Some(Plan { pattern, lengths: if lengths.is_empty() { (7..=11).collect() } else { lengths } })
}

/// Every kind of line that a person or a firm may have.
fn kinds(region: &Metadata) -> Vec<&Descriptor> {
    let all = region.descriptors();
    let kinds = [
        all.fixed_line(),
        all.mobile(),
        all.toll_free(),
        all.premium_rate(),
        all.shared_cost(),
        all.personal_number(),
        all.voip(),
        all.pager(),
        all.uan(),
        all.voicemail(),
    ];
    kinds.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::super::{FINDING, find};
    use super::*;

    #[test]
    fn numbering_plans() {
        for (number, expect) in [
            ("442079460958", Standing::Valid),
            ("4402079460958", Standing::Valid),
            ("447700900123", Standing::Possible),
            ("33142685300", Standing::Valid),
            ("390236618300", Standing::Valid),
            ("16502530000", Standing::Valid),
            ("441234", Standing::Unknown),
            ("999123456", Standing::Unknown),
        ] {
            assert_eq!(standing(number), expect, "{number}");
        }
    }

    #[test]
    fn every_plan_compiles() {
        let codes: Vec<u16> = (1..1000).filter(|code| DATABASE.by_code(code).is_some()).collect();
        assert!(codes.len() > 200);
        for code in codes {
            assert!(plan(code).is_some_and(|plan| plan.pattern.is_some()), "{code}");
        }
    }

    #[test]
    fn other_countries() {
        for (text, number) in [
            ("My number is +44 7700 900748.", "+44 7700 900748"),
            ("+46 (0)8 928 571 38 fax", "+46 (0)8 928 571 38"),
            ("ring +33 1 42 68 53 00", "+33 1 42 68 53 00"),
            ("+447700677662", "+447700677662"),
            ("+49 (30) 901820", "+49 (30) 901820"),
            ("tel 0049 30 901820", "0049 30 901820"),
            ("+852 2123 4567", "+852 2123 4567"),
            ("+81-3-3580-3311", "+81-3-3580-3311"),
            ("tel:+49 153 71509975", "+49 153 71509975"),
        ] {
            let spots = find(text);
            let found: Vec<_> = spots
                .iter()
                .filter(|spot| spot.confidence >= FINDING)
                .map(|spot| (spot.rule, &text[spot.at.clone()]))
                .collect();
            assert_eq!(found, [("intl_phone", number)], "{text}");
        }
    }
}
