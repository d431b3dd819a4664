//! A source file as records, for those who want the content rather than the tokens.

use super::{Found, RowReader, Shape, Use, bad_row, content, look, open};
use crate::dataset::Origin;
use crate::error::DataError;
use crate::hashing::Seen;
use crate::plan::{Source, Template};
use crate::text::Content;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One example as its file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub content: Content,
    pub origin: Origin,
}

/// The records of one file, read one at a time. A `BadRow` is one row's fault, and reading goes on after it; any other error is
/// the last item.
pub struct Records {
    /// What the file was found to be: `jsonl, alpaca (found: instruction, input, output)`.
    pub note: String,
    path: PathBuf,
    file: Arc<str>,
    found: Found,
    shape: Shape,
    reader: Box<dyn RowReader>,
    ended: bool,
}

impl Records {
    /// Opens a source and finds out how to read it. `spool_dir` takes what a compressed parquet file unpacks to.
    ///
    /// # Errors
    /// A file that cannot be read, or no format that fits.
    pub fn open(source: &Source, record_bytes_max: u64, spool_dir: &Path) -> Result<Self, DataError> {
        let mut first = open(&source.path, record_bytes_max, spool_dir, &Seen::default())?;
        let found = look(source, first.container, Use::Train, &mut *first.reader)?;
        drop(first);
        let reader = open(&source.path, record_bytes_max, spool_dir, &Seen::default())?.reader;
        let file = Arc::from(source.path.to_string_lossy());
        let shape = Shape::Chat;
        Ok(Self { note: found.note.clone(), path: source.path.clone(), file, found, shape, reader, ended: false })
    }

    /// With the content that this template takes: a plain one names the fields itself.
    pub fn for_template(self, template: &Template) -> Self {
        Self { shape: Shape::of(template), ..self }
    }
}

impl Iterator for Records {
    type Item = Result<Record, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = match self.reader.next_row()? {
            Ok(row) => row,
            Err(e) => {
                self.ended = true;
                return Some(Err(e));
            }
        };
        let made = row.body.value().and_then(|value| {
            content(&self.found, self.shape, value).map_err(|fault| (fault.clone(), row.body.column_of(&fault)))
        });
        let origin = Origin { file: self.file.clone(), line: row.line };
        Some(match made {
            Ok(content) => Ok(Record { content, origin }),
            Err((fault, column)) => Err(bad_row(&self.path, row.line, column, fault)),
        })
    }
}
