//! What has been measured so far: everything that is counted, so that shards add up to the whole.

use crate::instructions::Instructions;
use crate::languages::Languages;
use crate::lengths::Lengths;
use crate::plan::{Measure, Shard};
use crate::policy::Policy;
use crate::quality::Qualities;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a scan was asked, kept beside what it found: shards of different scans must not be merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub measures: BTreeSet<Measure>,
    pub files: Vec<FileState>,
    pub tokenizer: Option<TokenizerName>,
    /// The hash of the list of words.
    pub words: Option<String>,
    /// The model that looked for names.
    pub names: Option<String>,
    pub policy: Policy,
    pub policy_name: String,
    pub sample: usize,
    pub record_bytes_max: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenizerName {
    pub name: String,
    pub vocabulary: u64,
}

impl Asked {
    /// Where a file lies may differ from machine to machine.
    pub fn same_files(&self, other: &Asked) -> bool {
        let bare = |file: &FileState| FileState { path: Default::default(), modified: None, ..file.clone() };
        self.files.iter().map(bare).eq(other.files.iter().map(bare))
    }

    pub fn same_settings(&self, other: &Asked) -> bool {
        let bare = |asked: &Asked| Asked { files: Vec::new(), policy_name: String::new(), ..asked.clone() };
        bare(self) == bare(other)
    }
}

/// A file, and what every shard learns of it as it reads past the rows of the others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileState {
    pub file: String,
    pub path: std::path::PathBuf,
    /// When it was last written, for the process that read it.
    #[serde(skip)]
    pub modified: Option<std::time::SystemTime>,
    /// None: training.
    pub eval: Option<String>,
    /// `jsonl, alpaca (found: …)`
    pub note: String,
    pub encoding: String,
    pub bytes: u64,
    pub rows: u64,
    pub problem: Option<String>,
}

/// Rows of one file that this shard read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    pub read: u64,
    pub understood: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// By file.
    pub rows: Vec<RowCounts>,
    pub lengths: BTreeMap<String, Lengths>,
    pub languages: Languages,
    pub instructions: Instructions,
    pub qualities: Qualities,
}

/// What a shard leaves behind besides its spool files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardState {
    pub version: String,
    pub shard: Shard,
    pub asked: Asked,
    pub state: State,
}

impl State {
    pub fn merge(&mut self, other: State) {
        self.rows.resize(self.rows.len().max(other.rows.len()), RowCounts::default());
        for (ours, theirs) in self.rows.iter_mut().zip(&other.rows) {
            ours.read += theirs.read;
            ours.understood += theirs.understood;
        }
        for (name, lengths) in other.lengths {
            self.lengths.entry(name).or_default().merge(&lengths);
        }
        self.languages.merge(&other.languages);
        self.instructions.merge(other.instructions);
        self.qualities.merge(&other.qualities);
    }
}

impl ShardState {
    /// Rows that this shard measured.
    pub fn rows(&self) -> u64 {
        self.state.rows.iter().map(|rows| rows.read).sum()
    }
}
