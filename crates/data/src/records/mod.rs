//! Rows from files: what kind of file it is, which format its rows have, and each row as content with its place in the file.

mod array;
mod bytes;
pub(crate) mod convert;
pub(crate) mod csv_bytes;
pub(crate) mod decode;
mod lines;
mod look;
pub(crate) mod mend;
#[cfg(feature = "parquet")]
mod parquet;
mod pushed;
pub(crate) mod raw;
mod read;
mod roles;
mod table;
mod values;

pub(crate) use convert::{Shape, content};
pub use look::Found;
pub(crate) use look::{Use, look};
pub use read::{Record, Records};
pub use roles::{Speaker, Tags};
pub use values::{Reading, ValueRow, ValueRows};

use crate::error::{DataError, Position, RowFault};
use crate::hashing::Seen;
use bytes::{Container, Foreign};
use lines::Line;
use serde_json::Value;
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// Levels of nesting in a record. No format needs more than a dozen; a parser that recurses must have a limit.
pub const DEPTH_MAX: usize = 100;

/// A row before it is understood.
#[derive(Debug)]
pub(crate) struct RawRow {
    /// See `Origin::line`.
    pub line: u64,
    pub body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    /// JSON text, not yet parsed: parsing happens in parallel.
    Json(Vec<u8>),
    Value(Value),
    /// A line of a txt file.
    Text(Vec<u8>),
    /// The reader itself already found it faulty.
    Fault {
        fault: RowFault,
        column: Option<u64>,
        excerpt: Vec<u8>,
    },
}

/// A file read row by row. Blank lines are no rows.
pub(crate) trait RowReader {
    /// The next row; `Err` is a fault of the file, after which nothing more can be read.
    fn next_row(&mut self) -> Option<Result<RawRow, DataError>>;
    /// How much of the rows has been handed out, where the bytes read do not say.
    fn share(&self) -> Option<f64> {
        None
    }
    /// Reads the bytes after the last row, so that the file's hash is complete.
    fn drain(&mut self) -> Result<(), DataError>;
}

/// A source file opened for its rows.
pub(crate) struct Rows {
    pub reader: Box<dyn RowReader>,
    pub container: &'static str,
}

/// Opens `path`. No record may be longer than `record_bytes_max`; `spool_dir` takes what a compressed parquet file unpacks to.
pub(crate) fn open(path: &Path, record_bytes_max: u64, spool_dir: &Path, seen: &Seen) -> Result<Rows, DataError> {
    let opened = bytes::open(path, seen, Foreign::Refuse)?;
    let path = path.to_owned();
    let limit = record_bytes_max;
    let container = opened.name();
    let reader: Box<dyn RowReader> = match opened.container {
        Container::JsonLines => Box::new(Lines { path, text: opened.text, limit, line: 0, body: Body::Json }),
        Container::Text => Box::new(Lines { path, text: opened.text, limit, line: 0, body: Body::Text }),
        Container::JsonArray => {
            Box::new(Array { path, splitter: array::Splitter::new(opened.text, limit), limit, row: 0, ended: false })
        }
        Container::Csv => Box::new(table::Table::open(&path, opened.text, b',', limit)?),
        Container::Tsv => Box::new(table::Table::open(&path, opened.text, b'\t', limit)?),
        Container::Parquet => open_parquet(&path, opened, Use::Train, spool_dir, limit)?,
    };
    Ok(Rows { reader, container })
}

#[cfg(feature = "parquet")]
fn open_parquet(
    path: &Path,
    opened: bytes::Opened,
    purpose: Use,
    spool_dir: &Path,
    limit: u64,
) -> Result<Box<dyn RowReader + Send>, DataError> {
    Ok(Box::new(parquet::Parquet::open(path, opened, purpose, spool_dir, limit)?))
}

#[cfg(not(feature = "parquet"))]
fn open_parquet(
    path: &Path,
    _: bytes::Opened,
    _: Use,
    _: &Path,
    _: u64,
) -> Result<Box<dyn RowReader + Send>, DataError> {
    Err(DataError::ParquetNotBuilt { path: path.to_owned() })
}

struct Lines {
    path: PathBuf,
    text: Box<dyn BufRead + Send>,
    limit: u64,
    line: u64,
    body: fn(Vec<u8>) -> Body,
}

impl RowReader for Lines {
    fn next_row(&mut self) -> Option<Result<RawRow, DataError>> {
        loop {
            let line = match lines::next_line(&mut *self.text, self.limit) {
                Ok(line) => line?,
                Err(e) => return Some(Err(DataError::io("read", &self.path)(e))),
            };
            self.line += 1;
            let body = match line {
                Line::Whole(bytes, _) if bytes.iter().all(u8::is_ascii_whitespace) => continue,
                Line::Whole(bytes, _) => (self.body)(bytes),
                Line::TooLong(excerpt) => {
                    Body::Fault { fault: RowFault::TooLarge { limit: self.limit }, column: None, excerpt }
                }
            };
            return Some(Ok(RawRow { line: self.line, body }));
        }
    }

    fn drain(&mut self) -> Result<(), DataError> {
        bytes::drain(&self.path, &mut *self.text)
    }
}

struct Array {
    path: PathBuf,
    splitter: array::Splitter<Box<dyn BufRead + Send>>,
    limit: u64,
    row: u64,
    ended: bool,
}

impl RowReader for Array {
    fn next_row(&mut self) -> Option<Result<RawRow, DataError>> {
        if self.ended {
            return None;
        }
        self.row += 1;
        let body = match self.splitter.next_element() {
            Ok(Some(array::Element::Whole(bytes))) => Body::Json(bytes),
            Ok(Some(array::Element::TooLong(excerpt))) => {
                Body::Fault { fault: RowFault::TooLarge { limit: self.limit }, column: None, excerpt }
            }
            Ok(None) => {
                self.ended = true;
                return None;
            }
            Err(e) => {
                self.ended = true;
                return Some(Err(match e {
                    array::SplitError::Io(e) => DataError::io("read", &self.path)(e),
                    array::SplitError::Broken(array::Broken { line, column, expected, got }) => {
                        DataError::BrokenArray { file: self.path.display().to_string(), line, column, expected, got }
                    }
                }));
            }
        };
        Some(Ok(RawRow { line: self.row, body }))
    }

    fn drain(&mut self) -> Result<(), DataError> {
        // `next_element` ends only at the end of the file.
        Ok(())
    }
}

/// A fault and where in its row it lies (bytes from 1), if that is known.
pub(crate) type Faulty = (RowFault, Option<u64>);

impl Body {
    /// The row as a JSON value.
    pub fn value(&self) -> Result<Value, Faulty> {
        match self {
            Body::Value(value) => Ok(value.clone()),
            Body::Json(bytes) => parse(bytes),
            Body::Text(bytes) => utf8(bytes).map(|text| Value::String(text.to_owned())),
            Body::Fault { fault, column, .. } => Err((fault.clone(), *column)),
        }
    }

    /// The row as it stood in the file, for the quarantine.
    pub fn shown(&self) -> String {
        match self {
            Body::Value(value) => value.to_string(),
            Body::Json(bytes) | Body::Text(bytes) | Body::Fault { excerpt: bytes, .. } => {
                String::from_utf8_lossy(bytes).into_owned()
            }
        }
    }

    /// Bytes of the row, for bounding how much is held at once.
    pub fn bytes(&self) -> usize {
        match self {
            Body::Value(value) => text_bytes(value),
            Body::Json(bytes) | Body::Text(bytes) | Body::Fault { excerpt: bytes, .. } => bytes.len(),
        }
    }

    /// The column of a fault in a named field: where the field's key stands in the row.
    pub fn column_of(&self, fault: &RowFault) -> Option<u64> {
        let Body::Json(bytes) = self else { return None };
        let field = match fault {
            RowFault::WrongType { field, .. }
            | RowFault::EmptyText { field }
            | RowFault::Nul { field }
            | RowFault::UnknownName { field, .. }
            | RowFault::Unsupported { field, .. }
            | RowFault::Conversation { field, .. } => field,
            _ => return Some(1),
        };
        let name = field.split(['.', '[']).next().unwrap_or(field);
        let key = format!("\"{name}\"");
        let at = bytes.windows(key.len()).position(|w| w == key.as_bytes());
        Some(at.map_or(1, |at| at as u64 + 1))
    }
}

fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(s) => s.len() + 16,
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(fields) => fields.iter().map(|(k, v)| k.len() + text_bytes(v)).sum(),
        _ => 16,
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Faulty> {
    std::str::from_utf8(bytes)
        .map_err(|e| (RowFault::InvalidUtf8 { byte: bytes[e.valid_up_to()] }, Some(e.valid_up_to() as u64 + 1)))
}

fn parse(bytes: &[u8]) -> Result<Value, Faulty> {
    let text = utf8(bytes)?;
    if let Some(column) = too_deep(bytes) {
        return Err((RowFault::TooDeep { limit: DEPTH_MAX }, Some(column)));
    }
    serde_json::from_str(text).map_err(|e| {
        // Its own text ends with "at line 1 column 7", counted from the start of the record.
        let said = e.to_string();
        let why = said.split(" at line ").next().unwrap_or(&said).to_owned();
        match e.line() {
            0 | 1 => (RowFault::MalformedJson { why }, Some(e.column().max(1) as u64)),
            line => (
                RowFault::MalformedJson { why: format!("{why} (line {line} of the record, column {})", e.column()) },
                None,
            ),
        }
    })
}

/// Where nesting passes the limit, as a column from 1. Brackets inside strings do not count.
pub fn too_deep(bytes: &[u8]) -> Option<u64> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Some(i as u64 + 1);
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// A row's fault as an error of the run.
pub(crate) fn bad_row(path: &Path, line: u64, column: Option<u64>, fault: RowFault) -> DataError {
    DataError::BadRow { fault_at: Position { file: path.display().to_string(), line, column }, fault: Box::new(fault) }
}
