//! Tokenised examples on disk, read back in any order in bounded memory. CONTRACT with `train` and `cli`.

use crate::DataError;
use crate::cache::CacheReader;
use std::path::Path;
use std::sync::Arc;

/// Where a record came from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Origin {
    pub file: Arc<str>,
    /// 1-based line at which the row begins, for jsonl, txt, csv and tsv; for a JSON array or parquet, the 1-based row.
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
    /// Supervised tokens that count in the loss: without position 0 of each example.
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
    /// Lines such as `train.csv: csv, prompt_completion (as told: prompt=text, completion=category)`
    pub notes: Vec<String>,
}

/// One side of a token cache, open for reading from any thread. Holds four bytes an example.
pub struct Dataset {
    reader: CacheReader,
}

impl Dataset {
    pub(crate) fn open(dir: &Path, side: &str, manifest: &crate::cache::Manifest) -> Result<Self, DataError> {
        Ok(Self { reader: CacheReader::open(dir, side, manifest)? })
    }

    pub fn len(&self) -> usize {
        self.reader.lengths.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of an example, from memory; 0 where there is no such example.
    pub fn token_len(&self, index: usize) -> usize {
        self.reader.lengths.get(index).map_or(0, |len| *len as usize)
    }

    /// The longest example's index and token count.
    pub fn longest(&self) -> Option<(usize, usize)> {
        self.reader.longest
    }

    /// Reads one example back from the cache.
    ///
    /// # Errors
    /// `OutOfRange`, `Io`, or `Cache` when the cache was damaged after it was opened.
    pub fn example(&self, index: usize) -> Result<Example, DataError> {
        self.reader.example(index)
    }
}
