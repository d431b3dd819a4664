//! Pure functions on text, each at the speed of a corpus: nothing here reads, writes or keeps a state between texts.
//!
//! Positions are byte ranges of the text that was given, on character boundaries.

pub mod faults;
mod hash;
pub mod language;
pub mod near;
pub mod pii;
pub mod quality;
pub mod verbs;
mod width;

use std::ops::Range;

/// Which side of an example a text stands on: some faults are faults of answers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    System,
    /// What is asked: instruction, input, prompt, a user's message.
    Instruction,
    /// What is to be learnt: output, completion, an assistant's message.
    Response,
    /// A text without sides.
    Text,
}

/// Something found in a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Spot {
    /// The stable name of what it is, as `findings.jsonl` has it: `mojibake`, `email`.
    pub kind: &'static str,
    /// The rule that found it, for people who want to know why.
    pub rule: &'static str,
    pub at: Range<usize>,
    /// From 0 to 1; from 0.5 on it is a finding.
    pub confidence: f32,
}
