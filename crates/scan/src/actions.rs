//! What cleaning does with which row, and how.

use crate::clean::Action;
use crate::finding::{Check, Finding};
use crate::input::Understood;
use crate::lengths::Place;
use crate::verdict::Remedy;
use measures::pii::{self, Redact, Surrogates};
use measures::{Spot, faults};

/// The rows that do not stay as they are, in order.
#[derive(Debug, Default)]
pub struct Actions {
    rows: Vec<(Place, Act)>,
    /// Reasons, each once: `fault.mojibake`.
    reasons: Vec<String>,
    surplus: u64,
}

#[derive(Debug)]
struct Act {
    drops: bool,
    repairs: bool,
    redacts: bool,
    /// Places in `reasons`.
    why: Vec<u16>,
}

impl Actions {
    /// Takes the findings of a row; rows come in order.
    pub fn add(&mut self, place: Place, findings: &[Finding]) {
        let mut act = Act { drops: false, repairs: false, redacts: false, why: Vec::new() };
        for finding in findings {
            match Remedy::of_finding(finding) {
                Remedy::Removes => act.drops = true,
                Remedy::Repairs => act.repairs = true,
                Remedy::Redacts => act.redacts = true,
                Remedy::Nothing => continue,
            }
            let reason = self.reason(finding);
            if !act.why.contains(&reason) {
                act.why.push(reason);
            }
        }
        let copy = |f: &Finding| f.check == Check::Duplicate && Remedy::of_finding(f) == Remedy::Removes;
        self.surplus += u64::from(findings.iter().any(copy));
        if act.drops || act.repairs || act.redacts {
            self.rows.push((place, act));
        }
    }

    fn reason(&mut self, finding: &Finding) -> u16 {
        let name = format!("{}.{}", finding.check.name(), finding.kind);
        let at = self.reasons.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.reasons.push(name);
            self.reasons.len() - 1
        });
        at as u16
    }

    /// Duplicates that go.
    pub fn surplus(&self) -> u64 {
        self.surplus
    }

    pub fn removed(&self) -> u64 {
        self.rows.iter().filter(|(_, act)| act.drops).count() as u64
    }

    /// Rows that stay with another text.
    pub fn changed(&self, redact: Option<Redact>) -> u64 {
        let changes = |act: &Act| !act.drops && (act.repairs || (act.redacts && redact.is_some()));
        self.rows.iter().filter(|(_, act)| changes(act)).count() as u64
    }

    /// What becomes of one row.
    pub fn of(&self, place: Place, understood: &Understood, redact: Option<Redact>) -> Action {
        let Ok(at) = self.rows.binary_search_by_key(&place, |(place, _)| *place) else { return Action::Keep };
        let act = &self.rows[at].1;
        let why = || act.why.iter().map(|reason| self.reasons[usize::from(*reason)].clone()).collect();
        if act.drops {
            return Action::Drop { why: why() };
        }
        let Some(row) = &understood.row else { return Action::Keep };
        let mut surrogates = Surrogates::new(SURROGATE_SEED);
        let mut fields = Vec::new();
        for field in &row.fields {
            let mut text = faults::cleaned(&field.text).into_owned();
            if let Some(redact) = redact.filter(|_| act.redacts) {
                text = pii::redact(&text, &found(&text), redact, &mut surrogates);
            }
            if text != field.text {
                fields.push((field.name.clone(), text));
            }
        }
        if fields.is_empty() { Action::Keep } else { Action::Change { fields, why: why() } }
    }
}

/// What stands in a text for certain enough: an order number is not replaced.
pub fn found(text: &str) -> Vec<Spot> {
    let mut spots = pii::find(text);
    spots.retain(|spot| spot.confidence >= pii::FINDING);
    spots
}

/// One seed for all scans: the same row gets the same surrogates each time.
const SURROGATE_SEED: u64 = 1;
