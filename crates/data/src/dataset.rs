//! Tokenised examples on disk, read back in any order in bounded memory. CONTRACT with `train` and `cli`.

use crate::DataError;
use crate::cache::CacheReader;
use crate::mixture::{Mixture, REPLAY, Rows};
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
    pub unseen: Option<Dataset>,
    pub train_counts: Counts,
    pub valid_counts: Option<Counts>,
    pub unseen_counts: Option<Counts>,
    pub replay_counts: Option<Counts>,
    /// sha256 over the bytes of every input file, the tokenizer and the template: the identity of the data.
    pub data_hash: String,
    /// Lines such as `train.csv: csv, prompt_completion (as told: prompt=text, completion=category)`
    pub notes: Vec<String>,
}

/// The examples of one side, open for reading from any thread: those of its token cache, and of the training side also those of
/// the replay's. Holds eight bytes an example.
pub struct Dataset {
    /// Examples are numbered through all of them.
    parts: Vec<CacheReader>,
    tasks: Vec<String>,
    /// The first example of each stretch, and its task.
    stretches: Vec<(usize, Option<usize>)>,
    mixture: Option<Mixture>,
}

impl Dataset {
    /// `labels` are the tasks of the sources.
    pub(crate) fn new(reader: CacheReader, labels: &[Option<&str>]) -> Self {
        let mut tasks: Vec<String> = Vec::new();
        let stretches = reader.files.iter().map(|&(first, source)| {
            let name = labels.get(source).copied().flatten();
            (first, name.map(|name| place_of(&mut tasks, name)))
        });
        let stretches = stretches.collect();
        Self { parts: vec![reader], tasks, stretches, mixture: None }
    }

    /// Adds the examples of a replay behind the others.
    pub(crate) fn with_replay(mut self, reader: CacheReader) -> Self {
        let task = place_of(&mut self.tasks, REPLAY);
        self.stretches.push((self.len(), Some(task)));
        self.parts.push(reader);
        self
    }

    pub(crate) fn with_mixture(mut self, mixture: Mixture) -> Self {
        self.mixture = Some(mixture);
        self
    }

    /// The examples of each of these tasks.
    pub(crate) fn rows_of(&self, names: &[&str]) -> Vec<Rows> {
        let ends = self.stretches.iter().skip(1).map(|(first, _)| *first).chain([self.len()]);
        let ranges: Vec<_> = self.stretches.iter().zip(ends).map(|(&(first, task), end)| (first..end, task)).collect();
        let of = |name: &&str| {
            let task = self.tasks.iter().position(|t| t == name);
            let own = ranges.iter().filter(|(_, t)| t.is_some() && *t == task);
            Rows::Ranges(own.map(|(range, _)| range.clone()).collect())
        };
        names.iter().map(of).collect()
    }

    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lengths.len()).sum()
    }

    /// Examples before those of a replay.
    pub fn own_len(&self) -> usize {
        self.parts.first().map_or(0, |own| own.lengths.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of an example, from memory; 0 where there is no such example.
    pub fn token_len(&self, index: usize) -> usize {
        self.part(index).and_then(|(part, i)| part.lengths.get(i)).map_or(0, |len| *len as usize)
    }

    /// Tokens of an example that count in its loss while it is whole, from memory; 0 where there is no such example.
    pub fn supervised_len(&self, index: usize) -> usize {
        self.part(index).and_then(|(part, i)| part.supervised.get(i)).map_or(0, |len| *len as usize)
    }

    /// The longest example's index and token count, of those that can come.
    pub fn longest(&self) -> Option<(usize, usize)> {
        let own = self.parts.first().and_then(|part| part.longest);
        let replayed = self.mixture.iter().flat_map(Mixture::replay_rows).map(|row| (row, self.token_len(row)));
        // Of equally long ones the first.
        own.into_iter().chain(replayed).reduce(|most, other| if other.1 > most.1 { other } else { most })
    }

    /// The tasks that sources name, in the order in which they are named first; a replay is the last.
    pub fn tasks(&self) -> &[String] {
        &self.tasks
    }

    /// Which of [`Dataset::tasks`] an example belongs to.
    pub fn task_of(&self, index: usize) -> Option<usize> {
        let at = self.stretches.partition_point(|(first, _)| *first <= index);
        self.stretches.get(at.checked_sub(1)?).and_then(|(_, task)| *task)
    }

    /// How the tasks are mixed; None where all examples stand in one shuffled order.
    pub fn mixture(&self) -> Option<&Mixture> {
        self.mixture.as_ref()
    }

    /// Reads one example back from the cache.
    ///
    /// # Errors
    /// `OutOfRange`, `Io`, or `Cache` when the cache was damaged after it was opened.
    pub fn example(&self, index: usize) -> Result<Example, DataError> {
        let (part, i) = self.part(index).ok_or(DataError::OutOfRange { what: "example", index, len: self.len() })?;
        part.example(i)
    }

    /// Where an example came from, without its tokens.
    ///
    /// # Errors
    /// As [`Dataset::example`].
    pub fn origin(&self, index: usize) -> Result<Origin, DataError> {
        let (part, i) = self.part(index).ok_or(DataError::OutOfRange { what: "example", index, len: self.len() })?;
        part.origin(i)
    }

    fn part(&self, mut index: usize) -> Option<(&CacheReader, usize)> {
        for part in &self.parts {
            match index.checked_sub(part.lengths.len()) {
                None => return Some((part, index)),
                Some(rest) => index = rest,
            }
        }
        None
    }
}

fn place_of(tasks: &mut Vec<String>, name: &str) -> usize {
    tasks.iter().position(|t| t == name).unwrap_or_else(|| {
        tasks.push(name.to_owned());
        tasks.len() - 1
    })
}
