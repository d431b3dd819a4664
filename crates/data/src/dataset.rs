//! Tokenised examples on disk, read back in any order in bounded memory. CONTRACT with `train` and `cli`.

use crate::{DataError, DataPlan};
use std::path::Path;
use std::sync::Arc;

/// Where a record came from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Origin {
    pub file: Arc<str>,
    /// 1-based line in the file; for a JSON array, csv or parquet, the 1-based row.
    pub line: u64,
}

/// One tokenised example.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    pub ids: Vec<u32>,
    /// The loss mask: true where the token itself is to be learned (not shifted). Position 0 never counts in the loss.
    pub supervised: Vec<bool>,
    pub origin: Origin,
}

/// What became of the rows; printed by `plan` and `train`, stored in run.json.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    pub rows: u64,
    pub examples: u64,
    pub tokens: u64,
    pub supervised_tokens: u64,
    pub longest: u64,
    /// reason → rows set aside, dropped, truncated or split
    pub aside: std::collections::BTreeMap<String, u64>,
    /// Control-token text inside users' content that became ordinary tokens.
    pub control_text: u64,
}

/// Handles to the token caches of one plan.
pub struct Prepared {
    pub train: Dataset,
    pub valid: Option<Dataset>,
    pub train_counts: Counts,
    pub valid_counts: Option<Counts>,
    /// sha256 over the bytes of every input file, the tokenizer and the template: the identity of the data.
    pub data_hash: String,
    /// Lines such as `train.csv: csv, prompt_completion (found: columns text, category)`
    pub notes: Vec<String>,
}

pub struct Dataset {
    // private
}

impl Dataset {
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub fn token_len(&self, index: usize) -> usize {
        let _ = index;
        todo!()
    }
    /// The longest example's index and token count.
    pub fn longest(&self) -> Option<(usize, usize)> {
        todo!()
    }
    /// Reads one example back from the cache.
    pub fn example(&self, index: usize) -> Result<Example, DataError> {
        let _ = index;
        todo!()
    }
}

/// Reads, checks, renders and tokenises every row once, in bounded memory, into `cache_dir` (re-used when the identity matches).
/// `progress(rows, bytes_read, bytes_total)` returns false to stop (an interrupt).
pub fn prepare(plan: &DataPlan, seed: u64, cache_dir: &Path, progress: &mut dyn FnMut(u64, u64, u64) -> bool) -> Result<Prepared, DataError> {
    let _ = (plan, seed, cache_dir, progress);
    todo!()
}

/// The units (see `Packing`) of an epoch in shuffled order: a pure function of (dataset, packing, seed, epoch), O(1) or bounded-window memory.
/// A unit is a list of (example index, token range) pieces that share a row.
pub struct Epoch<'a> {
    _d: std::marker::PhantomData<&'a ()>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub example: usize,
    pub tokens: std::ops::Range<usize>,
}

impl<'a> Epoch<'a> {
    pub fn new(data: &'a Dataset, lengths: &crate::LengthPlan, seed: u64, epoch: u64) -> Self {
        let _ = (data, lengths, seed, epoch);
        todo!()
    }
    /// Units in this epoch (for Examples: the number of examples).
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub fn unit(&self, index: usize) -> Result<Vec<Piece>, DataError> {
        let _ = index;
        todo!()
    }
}
