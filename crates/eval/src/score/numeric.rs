//! The last number of an answer against the last number of what was expected, as GSM8K's answers are compared.

use crate::words::narrow;
use serde::{Deserialize, Serialize};

/// How far a number may be from the expected one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tolerance {
    /// In the number's own unit.
    pub tolerance: f64,
    /// As a share of the expected number.
    pub relative: f64,
}

/// The last number in a text: `-1,234.50`, `3e-4`, `１２`. None where there is none.
pub fn last_number(text: &str) -> Option<f64> {
    let text: Vec<char> = narrow(text).replace('\u{2212}', "-").chars().collect();
    let mut last = None;
    let mut at = 0;
    while at < text.len() {
        if text[at].is_ascii_digit() {
            let end = end_of_number(&text, at);
            last = value(&text, at, end).or(last);
            at = end;
        } else {
            at += 1;
        }
    }
    last
}

pub fn matches(answer: &str, expected: f64, t: Tolerance) -> bool {
    last_number(answer).is_some_and(|got| (got - expected).abs() <= t.tolerance.max(t.relative * expected.abs()))
}

/// Past digits, commas before three digits, one point with digits behind it, and an exponent.
fn end_of_number(text: &[char], start: usize) -> usize {
    let digits = |from: usize| text[from..].iter().take_while(|c| c.is_ascii_digit()).count();
    let mut at = start + digits(start);
    while text.get(at) == Some(&',') && digits(at + 1) == 3 {
        at += 4;
    }
    if text.get(at) == Some(&'.') && digits(at + 1) > 0 {
        at += 1 + digits(at + 1);
    }
    let sign = usize::from(matches!(text.get(at + 1), Some('-' | '+')));
    if matches!(text.get(at), Some('e' | 'E')) && at + 1 + sign <= text.len() && digits(at + 1 + sign) > 0 {
        at += 1 + sign + digits(at + 1 + sign);
    }
    at
}

/// A minus belongs to the number where nothing stands before it that it could subtract from or join.
fn value(text: &[char], start: usize, end: usize) -> Option<f64> {
    let number: String = text[start..end].iter().filter(|c| **c != ',').collect();
    // `.5`, which has no digit before its point.
    let bare = start >= 1 && text[start - 1] == '.' && !number.contains('.') && !joined(text, start - 1);
    let (number, start) = if bare { (format!("0.{number}"), start - 1) } else { (number, start) };
    // Of `$-5` and `-$5`, both.
    let sign = match start.checked_sub(1).map(|i| text[i]) {
        Some('-') => Some(start - 1),
        Some('$' | '€' | '¥' | '£') if start >= 2 && text[start - 2] == '-' => Some(start - 2),
        _ => None,
    };
    let negative = sign.is_some_and(|at| !joined(text, at));
    let number: f64 = number.parse().ok()?;
    Some(if negative { -number } else { number })
}

/// Whether a letter, digit or closing bracket stands before.
fn joined(text: &[char], at: usize) -> bool {
    at > 0 && (text[at - 1].is_alphanumeric() || matches!(text[at - 1], ')' | ']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_however_it_is_written() {
        for (text, want) in [
            ("She has 3 and 4, so 7.", Some(7.0)),
            ("#### 1,234", Some(1234.0)),
            ("1,234,567.25 in all", Some(1234567.25)),
            ("1, 2", Some(2.0)),
            ("12,34", Some(34.0)),
            ("-5", Some(-5.0)),
            ("it is −5", Some(-5.0)),
            ("10-5", Some(5.0)),
            ("x-5", Some(5.0)),
            ("$-3.50", Some(-3.5)),
            ("-$3.50", Some(-3.5)),
            ("2e3", Some(2000.0)),
            ("2e-3.", Some(0.002)),
            ("2e", Some(2.0)),
            (".5", Some(0.5)),
            ("答案是１２。", Some(12.0)),
            ("一共１，２３４元", Some(1234.0)),
            ("none", None),
            ("", None),
        ] {
            assert_eq!(last_number(text), want, "{text}");
        }
    }

    #[test]
    fn tolerances() {
        let t = |tolerance, relative| Tolerance { tolerance, relative };
        assert!(matches("so 18", 18.0, t(0.0, 0.0)) && !matches("so 18.1", 18.0, t(0.0, 0.0)));
        assert!(matches("18.1", 18.0, t(0.11, 0.0)) && matches("101", 100.0, t(0.0, 0.01)));
        assert!(!matches("102", 100.0, t(0.5, 0.01)) && !matches("none", 0.0, t(9.0, 0.0)));
    }
}
