//! Files as rows: opened, read in pieces, understood in parallel.
//!
//! Every fault of a row is a [`Fault`] and reading goes on; only what makes a file unreadable from the start, or the disk
//! itself, is an error.

mod fault;
mod fields;
mod json;
mod meaning;
mod paths;

pub use fault::Fault;
pub(crate) use meaning::text as text_of;
pub use meaning::{Meaning, Understood};
pub use paths::{File, files};

use data::{ByteRow, ByteRows, DataError, Encoding};
use std::path::PathBuf;
use std::sync::Arc;

/// Rows handed out at a time.
pub const CHUNK_ROWS: usize = 1024;
/// Bytes of rows after which a chunk is full.
pub const CHUNK_BYTES: usize = 4 << 20;

/// What reading may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A longer record (a line, an array element, a row of a table) is a fault and is never held whole.
    pub record_bytes_max: u64,
    /// Takes what a compressed parquet file unpacks to.
    pub spool_dir: PathBuf,
}

impl Default for Limits {
    fn default() -> Self {
        Self { record_bytes_max: 16 << 20, spool_dir: std::env::temp_dir() }
    }
}

/// Why the files cannot be scanned.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("{pattern}: no file has such a name")]
    NoMatch { pattern: String },
    #[error("{pattern}: not a pattern for file names: {why}")]
    Pattern { pattern: String, why: String },
    #[error("no files to scan")]
    NoFiles,
}

/// A row before it is understood.
#[derive(Clone, Debug)]
pub struct Raw {
    pub(crate) row: ByteRow,
    /// What is to be said of the file, with its first row.
    pub(crate) of_file: Vec<Fault>,
}

impl Raw {
    /// See `data::Origin::line`.
    pub fn line(&self) -> u64 {
        self.row.line
    }

    /// Why the file cannot be read on as it should be from here.
    pub fn broken(&self) -> Option<&str> {
        match (&self.row.body, &self.row.broken_before) {
            (data::ByteBody::Broken(why), _) | (_, Some(why)) => Some(why),
            _ => None,
        }
    }
}

/// The rows of one file, read in pieces. Reading is serial; [`Meaning`] works from any thread.
pub struct Reader {
    pub(crate) rows: ByteRows,
    meaning: Arc<Meaning>,
    of_file: Vec<Fault>,
    /// Met after rows that were handed out first.
    error: Option<DataError>,
}

impl Reader {
    /// Opens a file and finds out how to read it.
    ///
    /// # Errors
    /// A file that cannot be read, that no format fits, or of which no row can be understood.
    pub fn open(file: &File, limits: &Limits) -> Result<Self, DataError> {
        let rows = ByteRows::open(&file.source, limits.record_bytes_max, &limits.spool_dir)?;
        let meaning = Arc::new(Meaning::new(file.index, &rows));
        let of_file = of_file(&rows);
        Ok(Self { rows, meaning, of_file, error: None })
    }

    /// What the file was found to be: `jsonl, alpaca (found: instruction, input, output)`.
    pub fn note(&self) -> &str {
        &self.rows.found.note
    }

    /// What the file's text is in.
    pub fn encoding(&self) -> &'static str {
        self.rows.encoding.name()
    }

    /// How rows of this file are to be understood; shared with the threads that do it.
    pub fn meaning(&self) -> Arc<Meaning> {
        self.meaning.clone()
    }

    /// The next rows, at most [`CHUNK_ROWS`] and about [`CHUNK_BYTES`]. An error of the disk is the last.
    pub fn next_chunk(&mut self) -> Option<Result<Vec<Raw>, DataError>> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while chunk.len() < CHUNK_ROWS && bytes < CHUNK_BYTES {
            match self.rows.next_row() {
                None => break,
                Some(Ok(row)) => {
                    bytes += row.body.bytes();
                    chunk.push(Raw { row, of_file: std::mem::take(&mut self.of_file) });
                }
                Some(Err(error)) if chunk.is_empty() => return Some(Err(error)),
                Some(Err(error)) => {
                    self.error = Some(error);
                    break;
                }
            }
        }
        (!chunk.is_empty()).then_some(Ok(chunk))
    }

    /// Bytes of the file on disk read so far.
    pub fn bytes_read(&self) -> u64 {
        self.rows.bytes_read()
    }
}

fn of_file(rows: &ByteRows) -> Vec<Fault> {
    let kind = match rows.encoding {
        Encoding::Utf16Le | Encoding::Utf16Be | Encoding::Utf32 => "utf16",
        Encoding::Gb18030 => "gb18030",
        Encoding::Utf8 if rows.marked => {
            let why = "the file begins with a byte order mark, which is read past; the cleaned copy has none";
            return vec![Fault { confidence: fault::HARMLESS, ..Fault::new("bom", why) }];
        }
        Encoding::Utf8 => return Vec::new(),
    };
    let name = rows.encoding.name();
    vec![Fault::new(kind, format!("the file is text in {name}; training needs UTF-8, which the cleaned copy is"))]
}
