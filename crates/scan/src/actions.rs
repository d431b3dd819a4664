//! What cleaning does with which row, and how.

use crate::clean::Action;
use crate::finding::{Check, Finding};
use crate::input::Understood;
use crate::lengths::Place;
use crate::near;
use crate::verdict::Remedy;
use measures::pii::{self, Redact, Surrogates};
use measures::{Spot, faults};
use std::ops::Range;

/// The rows that do not stay as they are, in order.
#[derive(Debug, Default)]
pub struct Actions {
    /// Of surrogates: who knows it can try which original a surrogate stands for.
    pub seed: u64,
    rows: Vec<(Place, Act)>,
    /// Reasons and names of fields, each once: `fault.mojibake`, `output`.
    names: Vec<String>,
}

#[derive(Debug, Default)]
struct Act {
    /// It is a copy of a row that stays.
    copy: bool,
    /// It goes for another reason.
    drops: bool,
    repairs: bool,
    /// Personal data and secrets as they were found, by whatever found them.
    personal: Vec<Passage>,
    /// Places in `names`.
    why: Vec<u16>,
}

/// Code points of a field.
#[derive(Clone, Copy, Debug)]
struct Passage {
    /// Place in `names`.
    field: u16,
    start: u32,
    end: u32,
    kind: &'static str,
}

impl Actions {
    /// Takes the findings of a row; rows come in order.
    pub fn add(&mut self, place: Place, findings: &[Finding]) {
        let mut act = Act::default();
        for finding in findings {
            match Remedy::of_finding(finding) {
                Remedy::Removes if finding.check == Check::Duplicate => act.copy = true,
                Remedy::Removes => act.drops = true,
                Remedy::Repairs => act.repairs = true,
                Remedy::Redacts => act.personal.extend(self.passage(finding)),
                Remedy::Nothing => continue,
            }
            let reason = self.name(&format!("{}.{}", finding.check.name(), finding.kind));
            if !act.why.contains(&reason) {
                act.why.push(reason);
            }
        }
        if act.copy || act.drops || act.repairs || !act.personal.is_empty() {
            self.rows.push((place, act));
        }
    }

    fn passage(&mut self, finding: &Finding) -> Option<Passage> {
        let (start, end) = finding.start.zip(finding.end)?;
        let kind = *finding.check.types().iter().find(|kind| **kind == finding.kind)?;
        let field = self.name(finding.field.as_deref()?);
        Some(Passage { field, start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()?, kind })
    }

    fn name(&mut self, name: &str) -> u16 {
        let at = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        at as u16
    }

    fn at(&self, place: Place) -> Option<usize> {
        self.rows.binary_search_by_key(&place, |(place, _)| *place).ok()
    }

    /// A row that was to stay for its copies and goes for another reason would take them with it: the first of them that has
    /// no reason of its own to go stays instead.
    pub fn rescue(&mut self, groups: &[near::Group]) {
        let place = |row: near::RowId| (row.file, row.line);
        for group in groups {
            for kept in group.members.iter().filter(|member| member.keep) {
                if !self.drops(place(kept.row)) {
                    continue;
                }
                let copies = group.members.iter().filter(|member| !member.keep && member.like == kept.row);
                if let Some(heir) = copies.map(|copy| place(copy.row)).find(|copy| !self.drops(*copy))
                    && let Some(at) = self.at(heir)
                {
                    self.rows[at].1.copy = false;
                }
            }
        }
    }

    fn drops(&self, place: Place) -> bool {
        self.at(place).is_some_and(|at| self.rows[at].1.drops)
    }

    /// Duplicates that go.
    pub fn surplus(&self) -> u64 {
        self.rows.iter().filter(|(_, act)| act.copy).count() as u64
    }

    pub fn removed(&self) -> u64 {
        self.rows.iter().filter(|(_, act)| act.copy || act.drops).count() as u64
    }

    /// Rows that stay with another text.
    pub fn changed(&self, redact: Option<Redact>) -> u64 {
        let changes = |act: &Act| act.repairs || (!act.personal.is_empty() && redact.is_some());
        self.rows.iter().filter(|(_, act)| !act.copy && !act.drops && changes(act)).count() as u64
    }

    /// Personal data and secrets that were found in a field, in order and apart from each other.
    pub fn personal(&self, place: Place, field: &str, text: &str) -> Vec<Spot> {
        let Some(at) = self.at(place) else { return Vec::new() };
        let byte = |at: u32| text.char_indices().nth(at as usize).map_or(text.len(), |(byte, _)| byte);
        let of_field = self.rows[at].1.personal.iter().filter(|p| self.names[usize::from(p.field)] == field);
        let passages: Vec<_> = of_field.map(|p| (p.kind, byte(p.start)..byte(p.end))).collect();
        if passages.is_empty() {
            return Vec::new();
        }
        // The rules are asked again for which of them it was: surrogates are made after it. What they don't find, a model did.
        let rules = pii::find(text);
        let spot = |(kind, at): (&'static str, Range<usize>)| {
            let rule = rules.iter().find(|spot| spot.kind == kind && spot.at == at).map_or("ner", |spot| spot.rule);
            Spot { kind, rule, at, confidence: 1.0 }
        };
        apart(passages.into_iter().map(spot).collect())
    }

    /// What becomes of one row.
    pub fn of(&self, place: Place, understood: &Understood, redact: Option<Redact>) -> Action {
        let Some(act) = self.at(place).map(|at| &self.rows[at].1) else { return Action::Keep };
        let why = || act.why.iter().map(|reason| self.names[usize::from(*reason)].clone()).collect();
        if act.copy || act.drops {
            return Action::Drop { why: why() };
        }
        let Some(row) = &understood.row else { return Action::Keep };
        let mut surrogates = Surrogates::new(self.seed);
        let mut fields = Vec::new();
        for field in &row.fields {
            let mut text = field.text.clone();
            if let Some(redact) = redact {
                // Places are those of the text as it was, so this comes first.
                text = pii::redact(&text, &self.personal(place, &field.name, &text), redact, &mut surrogates);
            }
            if act.repairs {
                text = faults::cleaned(&text).into_owned();
            }
            if text != field.text {
                fields.push((field.name.clone(), text));
            }
        }
        if fields.is_empty() { Action::Keep } else { Action::Change { fields, why: why() } }
    }
}

/// Spots in order, those that overlap as one.
pub fn apart(mut spots: Vec<Spot>) -> Vec<Spot> {
    spots.sort_by_key(|spot| (spot.at.start, usize::MAX - spot.at.end));
    let mut out: Vec<Spot> = Vec::with_capacity(spots.len());
    for spot in spots {
        match out.last_mut().filter(|last| spot.at.start < last.at.end) {
            Some(last) => last.at.end = last.at.end.max(spot.at.end),
            None => out.push(spot),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Field, Row};
    use measures::Part;

    fn finding(check: Check, kind: &str, line: u64, keep: Option<bool>) -> Finding {
        Finding { keep, ..Finding::new(check, kind, line) }
    }

    fn understood(text: &str) -> Understood {
        let field = Field { name: "output".into(), part: Part::Response, text: text.into() };
        Understood { row: Some(Row { file: 0, line: 1, fields: vec![field] }), faults: Vec::new() }
    }

    #[test]
    fn what_a_model_found_is_redacted_as_it_was_found() {
        let mut actions = Actions::default();
        let name = Finding {
            field: Some("output".into()),
            start: Some(2),
            end: Some(4),
            ..finding(Check::Pii, "person", 1, None)
        };
        actions.add((0, 1), &[name]);
        let changed = actions.of((0, 1), &understood("我叫王芳。\u{200b}"), Some(Redact::Tag));
        let Action::Change { fields, .. } = changed else { panic!("{changed:?}") };
        assert!(!fields[0].1.contains("王芳") && fields[0].1.ends_with('\u{200b}'), "{fields:?}");
        for how in [Redact::Mask, Redact::Surrogate] {
            let changed = actions.of((0, 1), &understood("我叫王芳。"), Some(how));
            assert!(matches!(&changed, Action::Change { fields, .. } if !fields[0].1.contains("王芳")), "{changed:?}");
        }
        assert_eq!(actions.of((0, 1), &understood("我叫王芳。"), None), Action::Keep);
    }

    #[test]
    fn a_copy_stays_where_the_row_kept_for_it_goes() {
        use near::{Group, Kind, Member, RowId, SetId};
        let row = |line| RowId { file: 0, line };
        let member = |line, keep| Member { row: row(line), kind: Kind::Exact, keep, like: row(1), similarity: 1.0 };
        let group = Group {
            id: 1,
            kind: Kind::Exact,
            set: SetId::TRAIN,
            members: vec![member(1, true), member(2, false), member(3, false)],
        };
        let mut actions = Actions::default();
        actions.add(
            (0, 1),
            &[finding(Check::Duplicate, "exact", 1, Some(true)), finding(Check::Fault, "refusal", 1, None)],
        );
        for line in [2, 3] {
            actions.add((0, line), &[finding(Check::Duplicate, "exact", line, Some(false))]);
        }
        assert_eq!((actions.removed(), actions.surplus()), (3, 2));
        actions.rescue(&[group]);
        assert_eq!((actions.removed(), actions.surplus()), (2, 1));
        assert_eq!(actions.of((0, 2), &understood("x"), None), Action::Keep);
    }
}
