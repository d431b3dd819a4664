//! What a scan finds: one line of `findings.jsonl` each.

use measures::pii;
use serde::{Deserialize, Serialize};

/// What kind of question a finding answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    Length,
    Language,
    Fault,
    Pii,
    Secret,
    Duplicate,
    Leak,
    Poison,
    Quality,
}

/// What rules find, then what a model of names does.
const PII: [&str; pii::PERSONAL.len() + NAMES.len()] = {
    let mut all = [""; pii::PERSONAL.len() + NAMES.len()];
    let (rules, names) = all.split_at_mut(pii::PERSONAL.len());
    rules.copy_from_slice(&pii::PERSONAL);
    names.copy_from_slice(&NAMES);
    all
};

/// What a model of names finds.
pub const NAMES: [&str; 3] = ["person", "organisation", "place"];

impl Check {
    pub const ALL: [Check; 9] = [
        Check::Length,
        Check::Language,
        Check::Fault,
        Check::Pii,
        Check::Secret,
        Check::Duplicate,
        Check::Leak,
        Check::Poison,
        Check::Quality,
    ];

    /// As `findings.jsonl` has it.
    pub fn name(self) -> &'static str {
        match self {
            Check::Length => "length",
            Check::Language => "language",
            Check::Fault => "fault",
            Check::Pii => "pii",
            Check::Secret => "secret",
            Check::Duplicate => "duplicate",
            Check::Leak => "leak",
            Check::Poison => "poison",
            Check::Quality => "quality",
        }
    }

    /// Every type that a scan can find, as `findings.jsonl` has it.
    pub fn types(self) -> &'static [&'static str] {
        match self {
            Check::Length => &["overlong"],
            Check::Language => &["mixed"],
            Check::Fault => &[
                "malformed_json",
                "invalid_utf8",
                "utf16",
                "gb18030",
                "broken_file",
                "malformed_csv",
                "missing_field",
                "wrong_type",
                "empty_text",
                "blank",
                "too_deep",
                "too_large",
                "nul",
                "bom",
                "control_code",
                "zero_width",
                "mojibake",
                "replacement_char",
                "html",
                "repetition",
                "refusal",
                "role_token",
                "truncated",
                "language_mismatch",
                "overlong",
            ],
            Check::Pii => &PII,
            Check::Secret => &pii::SECRETS,
            Check::Duplicate => &["exact", "normalised", "near", "template", "same_question", "same_answer"],
            Check::Leak => &["exact", "near", "contained"],
            Check::Poison => &["trigger", "constant_answer", "off_topic", "toxic"],
            Check::Quality => &["low"],
        }
    }

    /// `dup` is short for duplicate.
    pub fn from_name(name: &str) -> Option<Check> {
        let name = if name == "dup" { "duplicate" } else { name };
        Check::ALL.into_iter().find(|check| check.name() == name)
    }
}

/// Something to look at, and where. It never holds what it found: personal data stay out of reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub check: Check,
    /// `mojibake`, `email`, `near`, …
    #[serde(rename = "type")]
    pub kind: String,
    pub file: String,
    /// From 1.
    pub line: u64,
    /// Byte of the line, from 1, where the row could not be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub column: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
    /// Code points of the field.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub start: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end: Option<u64>,
    pub confidence: f32,
    /// Rows of the same number belong together.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub group: Option<u64>,
    /// Of a group of duplicates, the row that cleaning keeps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keep: Option<bool>,
    /// The rule, or in a few words what was expected and got.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub why: String,
}

impl Finding {
    /// A certain finding about a whole row; the rest is filled in by who knows more.
    pub fn new(check: Check, kind: &str, line: u64) -> Self {
        Finding {
            check,
            kind: kind.to_owned(),
            file: String::new(),
            line,
            column: None,
            field: None,
            start: None,
            end: None,
            confidence: 1.0,
            group: None,
            keep: None,
            why: String::new(),
        }
    }
}
