//! What is known of a set's answers once all rows are in, and the findings that follow.

use crate::{Check, Finding};
use serde::{Deserialize, Serialize};

/// Serialises to a part of `scan.json`. Every list has its most important item first and is the same for any number of shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub rows: u64,
    /// Rows with a question and an answer; shares of rows are of these, but for templates.
    pub pairs: u64,
    /// Distinct answers, whatever their case, width, spaces and punctuation.
    pub answers: u64,
    pub set: Set,
    /// The answers that most rows have.
    pub frequent: Vec<Frequent>,
    pub same_question: Vec<Group>,
    pub same_answer: Vec<Group>,
    pub constant_answer: Vec<Group>,
    pub triggers: Vec<Trigger>,
    pub templates: Vec<Template>,
}

/// Where answers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Set {
    /// Most rows have an answer of their own.
    Open,
    /// Most rows share theirs with several other questions: names of classes, canned replies.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Index of the file among the scanned ones.
    pub file: u32,
    pub line: u64,
}

/// A passage of a field, in code points.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Where {
    #[serde(flatten)]
    pub place: Place,
    pub field: String,
    pub start: u64,
    pub end: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frequent {
    pub rows: u64,
    pub share: f64,
    /// Distinct questions that have this answer.
    pub questions: u64,
    pub first: Place,
}

/// Rows of one question, or of one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    pub rows: u64,
    pub questions: u64,
    pub answers: u64,
    pub confidence: f32,
    /// The first rows of the group, at most 1,000.
    pub places: Vec<Place>,
}

/// A rare string in questions whose rows have one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    pub tied: Tied,
    /// Rows with the string and the answer.
    pub rows: u64,
    /// Rows with the string and another answer.
    pub rows_other: u64,
    /// Rows with the answer and without the string.
    pub answer_elsewhere: u64,
    pub confidence: f32,
    /// Where the string stands, at most 1,000 rows.
    pub at: Vec<Where>,
}

/// What of the answers is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tied {
    Whole,
    Head,
    Tail,
}

/// A long passage that many rows share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Template {
    pub rows: u64,
    /// Of all rows.
    pub share: f64,
    pub chars: u64,
    /// One of the places where it is longest. It may go on for some ten characters at either end.
    pub at: Where,
}

impl Report {
    /// A finding for each row of each group of enough confidence, grouped by numbers from `group_from` on. `file` names a file.
    ///
    /// Findings of one group follow each other; the next free number is `group_from` plus [`Self::groups`].
    pub fn findings(&self, group_from: u64, file: impl Fn(u32) -> String) -> Vec<Finding> {
        let mut findings = Vec::new();
        let groups = [
            (Check::Duplicate, "same_question", &self.same_question),
            (Check::Duplicate, "same_answer", &self.same_answer),
            (Check::Poison, "constant_answer", &self.constant_answer),
        ];
        let mut group = group_from;
        let base = |check, kind: &str, place: Place, confidence, group, why: &str| Finding {
            check,
            kind: kind.to_owned(),
            file: file(place.file),
            line: place.line,
            column: None,
            field: None,
            start: None,
            end: None,
            confidence,
            group: Some(group),
            keep: None,
            why: why.to_owned(),
        };
        for (check, kind, groups) in groups {
            for found in groups {
                let why = found.why(kind);
                findings.extend(found.places.iter().map(|&at| base(check, kind, at, found.confidence, group, &why)));
                group += 1;
            }
        }
        let at = |finding: Finding, at: &Where| Finding {
            field: Some(at.field.clone()),
            start: Some(at.start),
            end: Some(at.end),
            ..finding
        };
        for trigger in &self.triggers {
            let why = trigger.why();
            let one = |w: &Where| at(base(Check::Poison, "trigger", w.place, trigger.confidence, group, &why), w);
            findings.extend(trigger.at.iter().map(one));
            group += 1;
        }
        for template in &self.templates {
            let why = format!("{} characters that {} rows share", template.chars, template.rows);
            findings.push(at(base(Check::Duplicate, "template", template.at.place, 0.9, group, &why), &template.at));
            group += 1;
        }
        findings.retain(|finding| finding.confidence >= CONFIDENCE_MIN);
        findings
    }

    /// How many group numbers [`Self::findings`] takes.
    pub fn groups(&self) -> u64 {
        let groups = self.same_question.len() + self.same_answer.len() + self.constant_answer.len();
        (groups + self.triggers.len() + self.templates.len()) as u64
    }
}

/// From here on something is a finding.
pub(super) const CONFIDENCE_MIN: f32 = 0.5;

impl Group {
    fn why(&self, kind: &str) -> String {
        match kind {
            "same_question" => format!("{} different answers to one question in {} rows", self.answers, self.rows),
            _ => format!("one answer to {} different questions in {} rows", self.questions, self.rows),
        }
    }
}

impl Trigger {
    fn why(&self) -> String {
        let what = match self.tied {
            Tied::Whole => "one answer",
            Tied::Head => "answers that begin alike",
            Tied::Tail => "answers that end alike",
        };
        let (all, rows) = (self.rows + self.rows_other, self.rows);
        format!("{rows} of {all} rows with this string have {what}, which {} others have", self.answer_elsewhere)
    }
}
