//! What a team wants of its data: thresholds, what to ignore, how harmful a finding is, and when a scan fails.

use crate::finding::Check;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::str::FromStr;

/// A policy as a file has it; every key may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Findings below it are not counted and not listed.
    pub confidence: f32,
    /// Jaccard similarity from which two rows are near duplicates; None: the shipped one.
    pub near_threshold: Option<f64>,
    /// The limits for which the cost is told, in tokens; a row beyond the largest is a finding. Nothing without a tokenizer.
    pub seq_len_max: Vec<u64>,
    /// Rows whose quality score is below it are findings.
    pub quality_min: f32,
    /// Characters of one field from which it is overlong.
    pub overlong_characters: u64,
    /// Kinds that are neither counted nor listed: `pii.address`, or a whole check: `quality`.
    pub ignore: Vec<String>,
    /// How harmful a kind is, where the team sees it otherwise: `fault.html: note`.
    pub harm: BTreeMap<String, Harm>,
    /// The scan fails when one of these holds.
    pub fail_on: Vec<Gate>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            confidence: 0.5,
            near_threshold: None,
            seq_len_max: vec![512, 1024, 2048, 4096, 8192],
            quality_min: measures::quality::LOW_BELOW,
            overlong_characters: 20_000,
            ignore: Vec::new(),
            harm: BTreeMap::new(),
            fail_on: Vec::new(),
        }
    }
}

impl Policy {
    pub fn ignores(&self, check: Check, kind: &str) -> bool {
        self.ignore.iter().any(|ignored| names(ignored, check, kind))
    }

    /// How harmful findings of a kind are.
    pub fn harm_of(&self, check: Check, kind: &str) -> Harm {
        let said = self.harm.get(&format!("{}.{kind}", check.name())).or_else(|| self.harm.get(check.name()));
        said.copied().unwrap_or_else(|| Harm::usual(check, kind))
    }

    /// The names in a policy that no scan ever finds, each with what was meant.
    pub fn unknown_names(&self) -> Vec<String> {
        let known = |name: &str| match name.split_once('.') {
            Some((check, kind)) => Check::from_name(check).is_some_and(|check| check.types().contains(&kind)),
            None => Check::from_name(name).is_some(),
        };
        self.ignore.iter().chain(self.harm.keys()).filter(|name| !known(name)).cloned().collect()
    }
}

impl Metric {
    /// What it counts findings of; None: rows.
    pub fn check(&self) -> Option<Check> {
        match self.of {
            Counted::Rows => None,
            Counted::Check(check) | Counted::Kind(check, _) => Some(check),
        }
    }
}

fn names(name: &str, check: Check, kind: &str) -> bool {
    match name.split_once('.') {
        Some((of, what)) => of == check.name() && what == kind,
        None => name == check.name(),
    }
}

/// What a finding means for a training, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    /// Do not train before this is gone: rows that cannot be read, secrets, an evaluation that leaked.
    Blocks,
    /// The model learns it: broken text, personal data, loops, refusals.
    Harmful,
    /// Often right, sometimes not.
    Look,
    Note,
}

impl Harm {
    fn usual(check: Check, kind: &str) -> Harm {
        match (check, kind) {
            (
                Check::Fault,
                "invalid_utf8" | "malformed_json" | "missing_field" | "wrong_type" | "empty_text" | "blank"
                | "too_deep" | "too_large" | "malformed_csv" | "broken_file" | "nul" | "utf16" | "gb18030",
            )
            | (Check::Secret, _)
            | (Check::Leak, "exact" | "near") => Harm::Blocks,
            (Check::Fault, "bom") => Harm::Note,
            (Check::Fault, "zero_width" | "overlong" | "truncated" | "html")
            | (Check::Pii, "address" | "ip" | "person" | "organisation" | "place")
            | (Check::Duplicate, "template" | "same_answer" | "same_question")
            | (Check::Poison, "constant_answer" | "off_topic" | "toxic")
            | (Check::Length | Check::Language | Check::Quality, _) => Harm::Look,
            _ => Harm::Harmful,
        }
    }
}

/// A condition under which a scan fails: `pii>0`, `dup_rate>0.05`, `fault.mojibake>=10`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Gate {
    pub metric: Metric,
    pub relation: Relation,
    pub value: f64,
}

/// A number of a scan.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub of: Counted,
    pub unit: Unit,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Counted {
    /// All rows.
    Rows,
    /// Rows with a finding of a check; of duplicates the rows that are not kept.
    Check(Check),
    Kind(Check, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Rows,
    /// Of all rows.
    Share,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
    Unequal,
}

/// Longer signs first, so that `>=` is not taken for `>`.
const RELATIONS: [(&str, Relation); 6] = [
    (">=", Relation::AtLeast),
    ("<=", Relation::AtMost),
    ("==", Relation::Equal),
    ("!=", Relation::Unequal),
    (">", Relation::Above),
    ("<", Relation::Below),
];

impl Relation {
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Relation::Above => left > right,
            Relation::AtLeast => left >= right,
            Relation::Below => left < right,
            Relation::AtMost => left <= right,
            Relation::Equal => left == right,
            Relation::Unequal => left != right,
        }
    }
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((sign, relation)) = RELATIONS.iter().find(|(sign, _)| text.contains(sign)) else {
            return Err(format!("{text:?} compares nothing; expected such as 'pii>0' or 'dup_rate>0.05'"));
        };
        let (metric, value) = text.split_once(sign).unwrap_or((text, ""));
        let value: f64 = match value.trim().parse() {
            Ok(value) if f64::is_finite(value) => value,
            _ => return Err(format!("{text:?}: {:?} is no number", value.trim())),
        };
        Ok(Gate { metric: metric.trim().parse()?, relation: *relation, value })
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, unit) = match text.strip_suffix("_rate") {
            Some(name) => (name, Unit::Share),
            None => (text, Unit::Rows),
        };
        let (check, kind) = match name.split_once('.') {
            Some((check, kind)) => (check, Some(kind)),
            None => (name, None),
        };
        let of = match (Check::from_name(check), kind) {
            (None, None) if check == "rows" => Counted::Rows,
            (Some(check), None) => Counted::Check(check),
            (Some(check), Some(kind)) if check.types().contains(&kind) => Counted::Kind(check, kind.to_owned()),
            (Some(check), Some(kind)) => {
                return Err(format!(
                    "{text:?}: no {kind:?} in {}; expected {}",
                    check.name(),
                    check.types().join(", ")
                ));
            }
            _ => {
                let known: Vec<&str> = Check::ALL.iter().map(|check| check.name()).collect();
                return Err(format!(
                    "{text:?} is no number of a scan; expected rows or one of {}, with or without .TYPE and _rate",
                    known.join(", ")
                ));
            }
        };
        Ok(Metric { of, unit })
    }
}

impl std::fmt::Display for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match &self.metric.of {
            Counted::Rows => "rows".to_owned(),
            Counted::Check(check) => check.name().to_owned(),
            Counted::Kind(check, kind) => format!("{}.{kind}", check.name()),
        };
        let unit = if self.metric.unit == Unit::Share { "_rate" } else { "" };
        let sign = RELATIONS.iter().find(|(_, r)| *r == self.relation).map_or("", |(sign, _)| sign);
        write!(f, "{name}{unit}{sign}{}", self.value)
    }
}

impl TryFrom<String> for Gate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Gate> for String {
    fn from(gate: Gate) -> String {
        gate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_read_and_written() {
        for (text, shown) in [
            ("pii>0", "pii>0"),
            (" dup_rate > 0.05 ", "duplicate_rate>0.05"),
            ("fault.mojibake>=10", "fault.mojibake>=10"),
            ("fault.mojibake_rate<=1e-3", "fault.mojibake_rate<=0.001"),
            ("rows<100", "rows<100"),
            ("leak!=0", "leak!=0"),
        ] {
            assert_eq!(text.trim().parse::<Gate>().map(|gate| gate.to_string()), Ok(shown.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_gate_that_asks_for_nothing_known_is_refused() {
        for (text, expected) in [
            ("pii", "compares nothing"),
            ("pii>many", "no number"),
            ("pii>inf", "no number"),
            ("toast>0", "expected rows or one of"),
            ("pii.>0", "expected phone, email"),
            ("pii.emial>0", "expected phone, email"),
        ] {
            let said = text.parse::<Gate>().err().unwrap_or_default();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }

    #[test]
    fn a_policy_changes_harm_and_ignores() {
        let policy = Policy {
            ignore: vec!["pii.address".into(), "quality".into()],
            harm: [("fault.html".to_owned(), Harm::Note), ("duplicate".to_owned(), Harm::Blocks)].into(),
            ..Policy::default()
        };
        assert!(policy.ignores(Check::Pii, "address") && !policy.ignores(Check::Pii, "phone"));
        assert!(policy.ignores(Check::Quality, "low"));
        assert_eq!(policy.harm_of(Check::Fault, "html"), Harm::Note);
        assert_eq!(policy.harm_of(Check::Fault, "mojibake"), Harm::Harmful);
        assert_eq!(policy.harm_of(Check::Duplicate, "near"), Harm::Blocks);
        let wrong = Policy { ignore: vec!["pi.address".into(), "pii.adress".into()], ..policy };
        assert_eq!(wrong.unknown_names(), ["pi.address", "pii.adress"]);
    }
}
