//! How often each kind of finding came up, and the ones that are shown.

use crate::finding::{Check, Finding};
use crate::lengths::Place;
use std::collections::{BTreeMap, BTreeSet};

/// Confidences are added as whole thousandths: sums of f32 would depend on their order.
const THOUSANDTHS: f32 = 1000.0;

/// What was found, by check, type and rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Rows with any finding of a check.
    pub rows: BTreeMap<Check, u64>,
    kinds: BTreeMap<Check, BTreeMap<String, Kind>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kind {
    pub findings: u64,
    pub rows: u64,
    pub rules: BTreeMap<String, Rule>,
    /// The most certain ones, then the first ones.
    pub shown: Vec<Shown>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    pub findings: u64,
    pub rows: u64,
    confidence: u64,
}

impl Rule {
    pub fn mean_confidence(&self) -> f64 {
        self.confidence as f64 / f64::from(THOUSANDTHS) / self.findings.max(1) as f64
    }
}

/// A finding that the page shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub place: Place,
    pub finding: Finding,
}

impl Shown {
    fn key(&self) -> (i64, Place, &Option<String>, Option<u64>) {
        let confidence = (self.finding.confidence * THOUSANDTHS) as i64;
        (-confidence, self.place, &self.finding.field, self.finding.start)
    }
}

impl Tally {
    /// Counts the findings of one row.
    pub fn add(&mut self, place: Place, findings: &[Finding], shown_max: usize) {
        let (mut checks, mut kinds, mut rules) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for finding in findings {
            if checks.insert(finding.check) {
                *self.rows.entry(finding.check).or_default() += 1;
            }
            let kind = entry(self.kinds.entry(finding.check).or_default(), &finding.kind);
            kind.findings += 1;
            kind.rows += u64::from(kinds.insert((finding.check, &finding.kind)));
            let rule = entry(&mut kind.rules, rule_of(finding));
            rule.findings += 1;
            rule.rows += u64::from(rules.insert((finding.check, &finding.kind, rule_of(finding))));
            rule.confidence += (finding.confidence * THOUSANDTHS) as u64;
            kind.show(place, finding, shown_max);
        }
    }

    pub fn kinds(&self) -> impl Iterator<Item = (Check, &str, &Kind)> {
        self.kinds.iter().flat_map(|(check, kinds)| kinds.iter().map(|(name, kind)| (*check, name.as_str(), kind)))
    }

    pub fn kind(&self, check: Check, name: &str) -> Option<&Kind> {
        self.kinds.get(&check)?.get(name)
    }

    pub fn rows_of(&self, check: Check) -> u64 {
        self.rows.get(&check).copied().unwrap_or(0)
    }
}

impl Kind {
    fn show(&mut self, place: Place, finding: &Finding, max: usize) {
        let one = Shown { place, finding: finding.clone() };
        let at = self.shown.partition_point(|other| other.key() <= one.key());
        if at < max {
            self.shown.insert(at, one);
            self.shown.truncate(max);
        }
    }
}

/// Rules have names without spaces; a sentence is not a rule to count by.
fn rule_of(finding: &Finding) -> &str {
    if finding.why.contains(' ') { "" } else { &finding.why }
}

/// The entry of a name, allocating it only when it is new.
fn entry<'a, V: Default>(map: &'a mut BTreeMap<String, V>, name: &str) -> &'a mut V {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), V::default());
    }
    map.entry(name.to_owned()).or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: &str, rule: &str, line: u64, confidence: f32) -> Finding {
        Finding { confidence, why: rule.to_owned(), ..Finding::new(Check::Pii, kind, line) }
    }

    #[test]
    fn rows_are_counted_once_for_each_check_kind_and_rule() {
        let mut tally = Tally::default();
        let row =
            [finding("phone", "us_phone", 1, 0.9), finding("phone", "cn_mobile", 1, 0.7), finding("email", "", 1, 0.8)];
        tally.add((0, 1), &row, 5);
        let phone = tally.kind(Check::Pii, "phone").map(|kind| (kind.findings, kind.rows, kind.rules.len()));
        assert_eq!((phone, tally.rows_of(Check::Pii)), (Some((2, 1, 2)), 1));
    }

    #[test]
    fn the_most_certain_are_shown_whatever_comes_first() {
        let mut tally = Tally::default();
        for line in 1..=9 {
            tally.add((0, line), &[finding("email", "email", line, 0.5 + (line % 3) as f32 / 10.0)], 4);
        }
        let lines: Vec<u64> =
            tally.kind(Check::Pii, "email").into_iter().flat_map(|k| k.shown.iter().map(|s| s.place.1)).collect();
        assert_eq!(lines, [2, 5, 8, 1]);
    }
}
