//! What a scan finds: one line of `findings.jsonl` each.

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
