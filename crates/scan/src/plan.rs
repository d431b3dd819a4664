//! What a scan looks at, as meant.

use crate::input::File;
use crate::policy::Policy;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// One measure, or a group of those that share their work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    Faults,
    Lengths,
    Languages,
    Instructions,
    Duplicates,
    Leaks,
    Pii,
    Answers,
    Quality,
}

impl Measure {
    pub const ALL: [Measure; 9] = [
        Measure::Faults,
        Measure::Lengths,
        Measure::Languages,
        Measure::Instructions,
        Measure::Duplicates,
        Measure::Leaks,
        Measure::Pii,
        Measure::Answers,
        Measure::Quality,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Measure::Faults => "faults",
            Measure::Lengths => "lengths",
            Measure::Languages => "languages",
            Measure::Instructions => "instructions",
            Measure::Duplicates => "duplicates",
            Measure::Leaks => "leaks",
            Measure::Pii => "pii",
            Measure::Answers => "answers",
            Measure::Quality => "quality",
        }
    }

    pub fn from_name(name: &str) -> Option<Measure> {
        Measure::ALL.into_iter().find(|measure| measure.name() == name)
    }
}

/// A file and what it is for.
#[derive(Clone, Debug)]
pub struct Input {
    pub file: File,
    /// None: training; otherwise the name of an evaluation set.
    pub eval: Option<String>,
}

/// The part of the rows that this process measures: every n-th chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    pub of: u32,
}

pub struct ScanPlan {
    pub inputs: Vec<Input>,
    pub measures: BTreeSet<Measure>,
    pub tokenizer: Option<PathBuf>,
    /// A folder with a model for names (see `ner`).
    pub names: Option<PathBuf>,
    /// What a user's list calls toxic, a word or phrase on each line; may be empty.
    pub words: String,
    pub policy: Policy,
    /// `default`, or the policy's path.
    pub policy_name: String,
    pub shard: Shard,
    pub record_bytes_max: u64,
    /// Findings shown of each kind.
    pub sample: usize,
}
