//! A source file as records, for those who want the content rather than the tokens.

use super::{Found, RawRow, RowReader, Shape, Use, bad_row, content, look, open};
use crate::dataset::Origin;
use crate::error::{DataError, RowFault};
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
    found: Found,
    shape: Shape,
    rows: Rows,
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
        let rows = Rows::open(&source.path, record_bytes_max, spool_dir)?;
        Ok(Self { note: found.note.clone(), found, shape: Shape::Chat, rows })
    }

    /// With the content that this template takes: a plain one names the fields itself.
    pub fn for_template(self, template: &Template) -> Self {
        Self { shape: Shape::of(template), ..self }
    }
}

impl Iterator for Records {
    type Item = Result<Record, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { found, shape, rows, .. } = self;
        let made = rows.next(|row| {
            let at = |fault: RowFault| (fault.clone(), row.body.column_of(&fault));
            row.body.value().and_then(|value| content(found, *shape, value).map_err(at))
        })?;
        Some(made.map(|(content, origin)| Record { content, origin }))
    }
}

/// The rows of one open file; an error of the file itself is the last of them.
pub(super) struct Rows {
    path: PathBuf,
    file: Arc<str>,
    reader: Box<dyn RowReader>,
    ended: bool,
}

impl Rows {
    /// # Errors
    /// A file that cannot be read.
    pub fn open(path: &Path, record_bytes_max: u64, spool_dir: &Path) -> Result<Self, DataError> {
        let reader = open(path, record_bytes_max, spool_dir, &Seen::default())?.reader;
        Ok(Self { path: path.to_owned(), file: Arc::from(path.to_string_lossy()), reader, ended: false })
    }

    /// What `make` makes of the next row, or its `BadRow`.
    pub fn next<T>(
        &mut self,
        make: impl FnOnce(&RawRow) -> Result<T, (RowFault, Option<u64>)>,
    ) -> Option<Result<(T, Origin), DataError>> {
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
        let origin = Origin { file: self.file.clone(), line: row.line };
        let bad = |(fault, column)| bad_row(&self.path, row.line, column, fault);
        Some(make(&row).map(|made| (made, origin)).map_err(bad))
    }
}
