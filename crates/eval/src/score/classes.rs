//! Which label an answer names, and accuracy, F1 and confusion over many of them.

use crate::score::exact::{Ignore, normalised};
use serde::{Deserialize, Serialize};

/// Where the label stands in an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// The answer is the label, case, width and blanks at its ends aside.
    #[default]
    Whole,
    /// The label that stands first in the answer; of several at one place the longest.
    First,
}

/// The index of the label that an answer names; `labels.len()` where it names none.
pub fn named(answer: &str, labels: &[String], how: Match) -> usize {
    let plain = |text: &str| normalised(text, &[Ignore::Case, Ignore::Width]);
    let answer = plain(answer);
    let mut each = labels.iter().map(|label| plain(label)).enumerate();
    let found = match how {
        Match::Whole => each.find(|(_, label)| *label == answer).map(|(i, _)| i),
        Match::First => {
            let places = each.filter_map(|(i, label)| Some((place(&answer, &label)?, usize::MAX - label.len(), i)));
            places.min().map(|(.., i)| i)
        }
    };
    found.unwrap_or(labels.len())
}

/// Where a label stands with no letter or digit of the same kind joined to it.
fn place(answer: &str, label: &str) -> Option<usize> {
    let joined = |a: Option<char>, b: Option<char>| {
        let word = |c: char| (c.is_alphanumeric() || c == '_') && !crate::words::is_ideograph(c);
        matches!((a, b), (Some(a), Some(b)) if word(a) && word(b))
    };
    answer.match_indices(label).map(|(at, _)| at).find(|at| {
        let end = at + label.len();
        !joined(answer[..*at].chars().next_back(), label.chars().next())
            && !joined(label.chars().next_back(), answer[end..].chars().next())
    })
}

/// Counts from which every figure follows: for each label the rows that have it, the answers that name it, and where both agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Counts<'a> {
    /// [3 · labels]
    pub counts: &'a [f64],
}

/// Adds a row's counts.
pub fn add(counts: &mut [f64], truth: usize, given: usize) {
    let labels = counts.len() / 3;
    for (at, hit) in [(truth, true), (labels + given, given < labels), (2 * labels + truth, truth == given)] {
        if hit && at < counts.len() {
            counts[at] += 1.0;
        }
    }
}

impl Counts<'_> {
    fn parts(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let labels = self.counts.len() / 3;
        (0..labels).map(move |i| (self.counts[i], self.counts[labels + i], self.counts[2 * labels + i]))
    }

    /// Mean F1 of the labels that a row has or an answer names, as scikit-learn averages them.
    pub fn macro_f1(&self) -> f64 {
        let present = self.parts().filter(|(truth, given, _)| truth + given > 0.0);
        let (sum, n) =
            present.fold((0.0, 0.0), |(sum, n), (truth, given, hits)| (sum + 2.0 * hits / (truth + given), n + 1.0));
        if n == 0.0 { 0.0 } else { sum / n }
    }

    /// F1 over all decisions: accuracy where every answer names a label.
    pub fn micro_f1(&self) -> f64 {
        let (truth, given, hits) = self.parts().fold((0.0, 0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
        if truth + given == 0.0 { 0.0 } else { 2.0 * hits / (truth + given) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_in_answers() {
        let labels = ["card", "card_arrival", "退款", "Pin"].map(str::to_owned);
        for (answer, how, want) in [
            ("card_arrival", Match::Whole, 1),
            (" CARD\n", Match::Whole, 0),
            ("the card", Match::Whole, 4),
            ("It is card_arrival.", Match::First, 1),
            ("cards", Match::First, 4),
            ("pin, not card", Match::First, 3),
            ("我要退款！", Match::First, 2),
            ("", Match::First, 4),
        ] {
            assert_eq!(named(answer, &labels, how), want, "{answer}");
        }
    }

    /// By hand: a is right in 2 of 3 rows, b in 0 of 1, and one answer names nothing.
    #[test]
    fn f1_by_hand() {
        let mut counts = [0.0; 6];
        for (truth, given) in [(0, 0), (0, 0), (0, 1), (1, 2)] {
            add(&mut counts, truth, given);
        }
        let c = Counts { counts: &counts };
        // F1 of a: 2·2/(3+2); of b: 0. Micro: 2·2/(4+3).
        assert!((c.macro_f1() - 0.4).abs() < 1e-12 && (c.micro_f1() - 4.0 / 7.0).abs() < 1e-12);
    }
}
