//! What the findings mean for a training: ranked by harm, and whether the scan's gates hold.

use crate::finding::{Check, Finding};
use crate::policy::{Counted, Gate, Harm, Policy, Unit};
use crate::tally::Tally;
use measures::pii::Redact;
use serde_json::{Value, json};

/// What the numbers of a verdict are shares of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Of {
    /// Rows of the training files that were read.
    pub rows: u64,
    pub understood: u64,
    /// Rows of the evaluation files.
    pub eval_rows: u64,
    /// Rows of duplicates that cleaning removes.
    pub surplus: u64,
    /// All rows that it removes.
    pub removed: u64,
}

/// What `--clean` does about a kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    Removes,
    Repairs,
    Redacts,
    Nothing,
}

/// Whether a clean copy is made, and how: a plain one leaves personal data where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copying {
    /// None is asked for; what one with --redact would do is told.
    NotAsked,
    Plain,
    Redacted(Redact),
}

impl Remedy {
    /// What a copy made like this does.
    pub fn in_copy(check: Check, kind: &str, copying: Copying) -> Remedy {
        match Remedy::of(check, kind) {
            Remedy::Redacts if copying == Copying::Plain => Remedy::Nothing,
            other => other,
        }
    }

    pub fn of(check: Check, kind: &str) -> Remedy {
        match (check, kind) {
            (Check::Pii | Check::Secret, _) => Remedy::Redacts,
            (Check::Fault, "bom" | "utf16" | "gb18030" | "nul" | "zero_width" | "control_code") => Remedy::Repairs,
            (Check::Fault, "truncated" | "html" | "overlong" | "broken_file") => Remedy::Nothing,
            (Check::Fault, _) => Remedy::Removes,
            (Check::Duplicate, "exact" | "normalised" | "near") => Remedy::Removes,
            (Check::Leak, _) => Remedy::Removes,
            (Check::Poison, "trigger") => Remedy::Removes,
            (Check::Poison, "toxic") => Remedy::Removes,
            _ => Remedy::Nothing,
        }
    }

    /// Of one finding: of duplicates and leaks one row stays, and a row that could be converted is.
    pub fn of_finding(finding: &Finding) -> Remedy {
        match (finding.check, finding.keep) {
            (Check::Duplicate | Check::Leak, Some(true)) => Remedy::Nothing,
            (Check::Fault, _) if finding.kind == "invalid_utf8" && finding.why.contains("GB18030") => Remedy::Repairs,
            _ => Remedy::of(finding.check, &finding.kind),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Remedy::Removes => "removes",
            Remedy::Repairs => "repairs",
            Remedy::Redacts => "redacts",
            Remedy::Nothing => "nothing",
        }
    }
}

/// The kinds that were found, most harmful first, then those with most rows.
pub fn items(tally: &Tally, of: Of, policy: &Policy, copying: Copying) -> Vec<Value> {
    let mut items: Vec<_> =
        tally.kinds().map(|(check, name, kind)| (policy.harm_of(check, name), check, name, kind)).collect();
    items.sort_by_key(|(harm, check, name, kind)| (*harm, u64::MAX - kind.rows, *check, *name));
    let item = |(harm, check, name, kind): &(Harm, Check, &str, &crate::tally::Kind)| {
        let rows = if *check == Check::Leak { of.eval_rows } else { of.rows };
        json!({
            "check": check,
            "type": name,
            "harm": harm,
            "findings": kind.findings,
            "rows": kind.rows,
            "share": kind.rows as f64 / rows.max(1) as f64,
            "clean": Remedy::in_copy(*check, name, copying).name(),
        })
    };
    items.iter().map(item).collect()
}

/// `ready`, `clean_first`, `not_ready` or `empty`: whether to train on the files as they are, on the clean copy, or not yet.
pub fn state(tally: &Tally, of: Of, policy: &Policy, copying: Copying) -> &'static str {
    if of.understood == 0 {
        return "empty";
    }
    let serious = |(check, name, kind): &(Check, &str, &crate::tally::Kind)| {
        let harm = policy.harm_of(*check, name);
        harm == Harm::Blocks || (harm == Harm::Harmful && kind.rows > 0)
    };
    let by_hand = |(check, name, _): &(Check, &str, &crate::tally::Kind)| {
        Remedy::in_copy(*check, name, copying) == Remedy::Nothing
    };
    let serious: Vec<_> = tally.kinds().filter(serious).collect();
    match serious.is_empty() {
        true => "ready",
        // Most of the set would go: cleaning is no answer to that.
        false if 2 * of.removed > of.rows => "not_ready",
        false if serious.iter().any(by_hand) => "not_ready",
        false => "clean_first",
    }
}

/// A gate and the number it was held against; `passed` is false where the condition to fail on holds.
pub fn gate(gate: &Gate, tally: &Tally, of: Of) -> (f64, bool) {
    let rows = match &gate.metric.of {
        Counted::Rows => of.rows,
        Counted::Check(Check::Duplicate) => of.surplus,
        Counted::Check(check) => tally.rows_of(*check),
        Counted::Kind(check, kind) => tally.kind(*check, kind).map_or(0, |kind| kind.rows),
    };
    let all = if matches!(gate.metric.of, Counted::Check(Check::Leak) | Counted::Kind(Check::Leak, _)) {
        of.eval_rows
    } else {
        of.rows
    };
    let value = match gate.metric.unit {
        Unit::Rows => rows as f64,
        Unit::Share => rows as f64 / all.max(1) as f64,
    };
    (value, !gate.relation.holds(value, gate.value))
}

pub fn gates(gates: &[Gate], tally: &Tally, of: Of) -> Vec<Value> {
    let shown = |one: &Gate| {
        let (value, passed) = gate(one, tally, of);
        json!({"expr": one.to_string(), "value": value, "passed": passed})
    };
    gates.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kinds: &[(Check, &str, u64)]) -> Tally {
        let mut tally = Tally::default();
        for (check, kind, rows) in kinds {
            for line in 1..=*rows {
                let finding = Finding { confidence: 1.0, ..Finding::new(*check, kind, line) };
                tally.add((0, line), &[finding], 5);
            }
        }
        tally
    }

    const OF: Of = Of { rows: 100, understood: 90, eval_rows: 20, surplus: 4, removed: 14 };

    #[test]
    fn the_worst_comes_first() {
        let tally = found(&[
            (Check::Fault, "html", 50),
            (Check::Fault, "mojibake", 2),
            (Check::Pii, "email", 9),
            (Check::Secret, "token", 1),
            (Check::Leak, "exact", 3),
        ]);
        let items = items(&tally, OF, &Policy::default(), Copying::NotAsked);
        let order: Vec<_> = items.iter().filter_map(|item| item["type"].as_str()).collect();
        assert_eq!(order, ["exact", "token", "email", "mojibake", "html"]);
        assert_eq!(items[0]["share"], 0.15, "a leak's share is of the evaluation rows");
    }

    #[test]
    fn the_state_follows_from_what_can_be_done() {
        for (kinds, expected) in [
            (&[][..], "ready"),
            (&[(Check::Fault, "html", 9), (Check::Quality, "low", 50)][..], "ready"),
            (&[(Check::Fault, "mojibake", 1), (Check::Pii, "email", 3)], "clean_first"),
            (&[(Check::Duplicate, "constant", 1)], "not_ready"),
        ] {
            assert_eq!(state(&found(kinds), OF, &Policy::default(), Copying::NotAsked), expected, "{kinds:?}");
        }
        let mostly_copies = Of { surplus: 60, removed: 60, ..OF };
        assert_eq!(
            state(&found(&[(Check::Duplicate, "near", 60)]), mostly_copies, &Policy::default(), Copying::NotAsked),
            "not_ready"
        );
        assert_eq!(state(&found(&[]), Of { understood: 0, ..OF }, &Policy::default(), Copying::NotAsked), "empty");
        let secret = found(&[(Check::Secret, "token", 1)]);
        for (copying, expected) in [
            (Copying::NotAsked, "clean_first"),
            (Copying::Redacted(Redact::Tag), "clean_first"),
            (Copying::Plain, "not_ready"),
        ] {
            assert_eq!(state(&secret, OF, &Policy::default(), copying), expected, "{copying:?}");
        }
    }

    #[test]
    fn gates_are_held_against_rows_and_shares() {
        let tally = found(&[(Check::Pii, "email", 5), (Check::Leak, "exact", 3)]);
        for (text, value, passed) in [
            ("pii>0", 5.0, false),
            ("pii>5", 5.0, true),
            ("pii.email_rate>0.04", 0.05, false),
            ("pii.phone>0", 0.0, true),
            ("dup_rate>0.05", 0.04, true),
            ("leak_rate>0.1", 0.15, false),
            ("rows<1000", 100.0, false),
        ] {
            let parsed: Gate = text.parse().unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(gate(&parsed, &tally, OF), (value, passed), "{text}");
        }
    }
}
