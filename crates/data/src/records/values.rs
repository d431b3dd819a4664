//! A source file as JSON values, for those who name its columns themselves; and how a file of a training format is understood.

use super::read::Rows;
use super::{Found, Shape, Use, content, look, open};
use crate::dataset::Origin;
use crate::error::{DataError, RowFault};
use crate::hashing::Seen;
use crate::plan::{Source, Template};
use crate::text::Content;
use serde_json::Value;
use std::path::Path;

/// One row as its file has it: an object with the columns, or text.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueRow {
    pub value: Value,
    pub origin: Origin,
}

/// The rows of one file, read one at a time. A `BadRow` is one row's fault, and reading goes on after it; any other error is the
/// last item.
pub struct ValueRows(Rows);

impl ValueRows {
    /// `spool_dir` takes what a compressed parquet file unpacks to.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(path: &Path, record_bytes_max: u64, spool_dir: &Path) -> Result<Self, DataError> {
        Rows::open(path, record_bytes_max, spool_dir).map(Self)
    }
}

impl Iterator for ValueRows {
    type Item = Result<ValueRow, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.0.next(|row| row.body.value())?;
        Some(row.map(|(value, origin)| ValueRow { value, origin }))
    }
}

/// How the rows of one file are read as examples to learn.
#[derive(Clone, Debug)]
pub struct Reading {
    found: Found,
}

impl Reading {
    /// By the source's own word, or by looking at the first rows.
    ///
    /// # Errors
    /// A file that cannot be read, or no format that fits.
    pub fn of(source: &Source, record_bytes_max: u64, spool_dir: &Path) -> Result<Self, DataError> {
        let mut first = open(&source.path, record_bytes_max, spool_dir, &Seen::default())?;
        Ok(Self { found: look(source, first.container, Use::Train, &mut *first.reader)? })
    }

    /// What the file was found to be: `jsonl, alpaca (found: instruction, input, output)`.
    pub fn note(&self) -> &str {
        &self.found.note
    }

    /// What a row says; a plain `template` names the columns that it takes.
    ///
    /// # Errors
    /// What is wrong with the row.
    pub fn content(&self, value: Value, template: &Template) -> Result<Content, RowFault> {
        let shape = if matches!(template, Template::Plain(_)) { Shape::Plain } else { Shape::Chat };
        content(&self.found, shape, value)
    }
}
