//! The rows of a file as their bytes, for those who look at what training would refuse and copy what is good.
//!
//! Other encodings are converted while reading, and reading goes on after what is broken wherever there is something to go on with.

use super::bytes::{self, Container, Foreign, Mark};
use super::csv_bytes::{self, Split};
use super::decode::Encoding;
use super::lines::{self, Line};
use super::look::{Found, Use, look};
use super::{Body, RawRow, RowReader, array};
use crate::error::{DataError, RowFault};
use crate::hashing::Seen;
use crate::plan::Source;
use serde_json::{Map, Value};
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// A row before it is understood.
#[derive(Clone, Debug)]
pub struct ByteRow {
    /// See `Origin::line`.
    pub line: u64,
    pub body: ByteBody,
    /// White space and blank lines that stood before it; their first bytes.
    pub before: Vec<u8>,
    /// The line break after it, where the container has one.
    pub after: &'static [u8],
    /// What stood between the row before and this one and should not have.
    pub broken_before: Option<String>,
}

/// What a row is made of, without the line break; in UTF-8 unless faulty.
#[derive(Clone, Debug)]
pub enum ByteBody {
    /// A line of a jsonl file or an element of a JSON array.
    Json(Vec<u8>),
    /// A line of a txt file.
    Text(Vec<u8>),
    /// A record of a csv or tsv file.
    Table(Vec<u8>),
    /// A row of a parquet file.
    Value(Value),
    /// A record longer than the limit, which was passed by.
    TooLarge { limit: u64 },
    /// A record of a table that cannot be read, where reading goes on: why.
    Unread(&'static str),
    /// From here on the file cannot be read: why. Always the last.
    Broken(String),
}

impl ByteBody {
    /// Bytes of the row, for bounding how much is held at once.
    pub fn bytes(&self) -> usize {
        match self {
            ByteBody::Json(bytes) | ByteBody::Text(bytes) | ByteBody::Table(bytes) => bytes.len(),
            ByteBody::Value(value) => super::text_bytes(value),
            ByteBody::TooLarge { .. } | ByteBody::Unread(_) | ByteBody::Broken(_) => 0,
        }
    }
}

/// What kind of file the rows are from, for those who write such a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    JsonLines,
    JsonArray,
    Csv,
    Tsv,
    Text,
    Parquet,
}

impl Kind {
    /// What separates the fields of a table.
    pub fn delimiter(self) -> Option<u8> {
        match self {
            Kind::Csv => Some(b','),
            Kind::Tsv => Some(b'\t'),
            _ => None,
        }
    }
}

const UNCLOSED: &str = "a quote in this record is never closed";
/// White space and blank lines kept from between rows.
const BETWEEN_BYTES_MAX: usize = 1024;

/// The rows of one file, read one at a time.
pub struct ByteRows {
    pub kind: Kind,
    pub found: Found,
    pub encoding: Encoding,
    /// Whether the file began with a UTF-8 byte order mark.
    pub marked: bool,
    /// The record that names a table's columns, as the file has it.
    pub head: Vec<u8>,
    /// The columns of a table, in order.
    pub header: Vec<String>,
    reading: Reading,
    seen: Seen,
}

impl ByteRows {
    /// Opens a source and finds out how to read it. No record longer than `record_bytes_max` is held; `spool_dir` takes what a
    /// compressed parquet file unpacks to.
    ///
    /// # Errors
    /// A file that cannot be read, no format that fits, or no row that can be understood.
    pub fn open(source: &Source, record_bytes_max: u64, spool_dir: &Path) -> Result<Self, DataError> {
        let mut first = Opened::open(&source.path, record_bytes_max, spool_dir, &Seen::counting())?;
        let found = look(source, first.name, Use::Look, &mut first)?;
        drop(first);
        let seen = Seen::counting();
        let Opened { name: _, kind, encoding, marked, head, header, reading } =
            Opened::open(&source.path, record_bytes_max, spool_dir, &seen)?;
        Ok(Self { kind, found, encoding, marked, head, header, reading, seen })
    }

    /// The next row; `Err` is the disk's fault, after which nothing more can be read.
    pub fn next_row(&mut self) -> Option<Result<ByteRow, DataError>> {
        self.reading.next()
    }

    /// Bytes of the file itself read so far; of a parquet file, which is not read in order, as many as its rows are a share of it.
    pub fn bytes_read(&self) -> u64 {
        match &self.reading.rows {
            Rows::Parquet { reader, .. } => {
                let bytes = std::fs::metadata(&self.reading.path).map_or(0, |meta| meta.len());
                reader.share().map_or(bytes, |share| (share * bytes as f64) as u64)
            }
            _ => self.seen.bytes(),
        }
    }

    /// White space and blank lines after the last row.
    pub fn tail(&self) -> &[u8] {
        &self.reading.between
    }
}

struct Opened {
    name: &'static str,
    kind: Kind,
    encoding: Encoding,
    marked: bool,
    head: Vec<u8>,
    header: Vec<String>,
    reading: Reading,
}

impl Opened {
    fn open(path: &Path, limit: u64, spool_dir: &Path, seen: &Seen) -> Result<Self, DataError> {
        let opened = bytes::open(path, seen, Foreign::Decode)?;
        let name = opened.name();
        let (encoding, marked) = (opened.encoding, opened.mark == Mark::ByteOrder);
        let (kind, rows) = match opened.container {
            Container::JsonLines => (Kind::JsonLines, Rows::lines(opened.text, ByteBody::Json)),
            Container::Text => (Kind::Text, Rows::lines(opened.text, ByteBody::Text)),
            Container::JsonArray => {
                let splitter = Box::new(array::Splitter::new(opened.text, limit));
                (Kind::JsonArray, Rows::Array { splitter, row: 0 })
            }
            Container::Csv => (Kind::Csv, Rows::table(opened.text, b',', limit)),
            Container::Tsv => (Kind::Tsv, Rows::table(opened.text, b'\t', limit)),
            Container::Parquet => (
                Kind::Parquet,
                Rows::Parquet { reader: super::open_parquet(path, opened, Use::Look, spool_dir, limit)?, row: 0 },
            ),
        };
        let place = Place::Within;
        let mut reading = Reading { path: path.to_owned(), limit, rows, place, between: Vec::new() };
        let head = if kind.delimiter().is_some() { reading.head()? } else { Vec::new() };
        let columns = kind.delimiter().map(|d| csv_bytes::fields(&head, d)).unwrap_or_default();
        let column = |at| String::from_utf8_lossy(&csv_bytes::text(&head[at])).trim().to_owned();
        let header = columns.into_iter().map(column).collect();
        Ok(Self { name, kind, encoding, marked, head, header, reading })
    }

    fn object(&self, record: &[u8]) -> Result<Value, RowFault> {
        let fields = csv_bytes::fields(record, self.kind.delimiter().unwrap_or(b','));
        if fields.len() != self.header.len() {
            return Err(RowFault::UnequalFields { expected: self.header.len(), got: fields.len() });
        }
        let mut object = Map::new();
        for (name, at) in self.header.iter().zip(fields) {
            let text = csv_bytes::text(&record[at]);
            let text = std::str::from_utf8(&text)
                .map_err(|e| RowFault::InvalidUtf8 { byte: text.get(e.valid_up_to()).copied().unwrap_or_default() })?;
            object.insert(name.clone(), text.into());
        }
        Ok(Value::Object(object))
    }
}

/// So that a file is looked at as it is read.
impl RowReader for Opened {
    fn next_row(&mut self) -> Option<Result<RawRow, DataError>> {
        let row = match self.reading.next()? {
            Ok(row) => row,
            Err(e) => return Some(Err(e)),
        };
        let fault = |fault| Body::Fault { fault, column: None, excerpt: Vec::new() };
        let body = match row.body {
            ByteBody::Json(bytes) => Body::Json(readable(bytes)),
            ByteBody::Text(bytes) => Body::Text(bytes),
            ByteBody::Table(bytes) => self.object(&bytes).map_or_else(fault, Body::Value),
            ByteBody::Value(value) => Body::Value(value),
            ByteBody::TooLarge { limit } => fault(RowFault::TooLarge { limit }),
            ByteBody::Unread(why) => fault(RowFault::MalformedTable { why }),
            ByteBody::Broken(got) => {
                let path = self.reading.path.clone();
                return Some(Err(DataError::BrokenContainer { path, expected: "a whole file", got }));
            }
        };
        Some(Ok(RawRow { line: row.line, body }))
    }

    fn drain(&mut self) -> Result<(), DataError> {
        Ok(())
    }
}

/// As much of a row as can be read in spite of how it is written.
fn readable(bytes: Vec<u8>) -> Vec<u8> {
    let rest = bytes.strip_prefix(bytes::BYTE_ORDER_MARK).unwrap_or(&bytes);
    let mended = match std::str::from_utf8(rest) {
        Ok(text) => super::mend::mended(text).map(|mended| mended.text),
        Err(_) => super::decode::gb18030(rest),
    };
    mended.map_or_else(|| rest.to_vec(), String::into_bytes)
}

struct Reading {
    path: PathBuf,
    limit: u64,
    rows: Rows,
    place: Place,
    /// What stood since the last row.
    between: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Within,
    Ended,
}

type Text = Box<dyn BufRead + Send>;

enum Rows {
    Lines { text: Text, line: u64, body: fn(Vec<u8>) -> ByteBody },
    Array { splitter: Box<array::Splitter<Text>>, row: u64 },
    Table(Box<csv_bytes::Records<Text>>),
    Parquet { reader: Box<dyn RowReader + Send>, row: u64 },
}

/// Why there is no row.
enum Stop {
    Io(std::io::Error),
    Broken { line: u64, why: String },
    Error(DataError),
}

impl Rows {
    fn lines(text: Text, body: fn(Vec<u8>) -> ByteBody) -> Self {
        Rows::Lines { text, line: 0, body }
    }

    fn table(text: Text, delimiter: u8, limit: u64) -> Self {
        Rows::Table(Box::new(csv_bytes::Records::new(text, delimiter, limit)))
    }

    /// The number that the next row would have.
    fn next_line(&self) -> u64 {
        match self {
            Rows::Lines { line, .. } => line + 1,
            Rows::Table(records) => records.lines + 1,
            Rows::Array { row, .. } | Rows::Parquet { row, .. } => row + 1,
        }
    }

    fn next(&mut self, limit: u64, between: &mut Vec<u8>) -> Result<Option<ByteRow>, Stop> {
        match self {
            Rows::Lines { text, line, body } => next_line(text, line, *body, limit, between),
            Rows::Array { splitter, row } => next_element(splitter, row, limit, between),
            Rows::Table(records) => next_record(records, limit, between),
            Rows::Parquet { reader, row } => {
                let body = match reader.next_row() {
                    None => return Ok(None),
                    Some(Ok(RawRow { body: Body::Value(value), .. })) => ByteBody::Value(value),
                    Some(Ok(_)) => ByteBody::TooLarge { limit },
                    Some(Err(DataError::BrokenContainer { got, .. })) => {
                        return Err(Stop::Broken { line: *row + 1, why: got });
                    }
                    Some(Err(e)) => return Err(Stop::Error(e)),
                };
                *row += 1;
                Ok(Some(plain(*row, body)))
            }
        }
    }
}

fn plain(line: u64, body: ByteBody) -> ByteRow {
    ByteRow { line, body, before: Vec::new(), after: b"", broken_before: None }
}

impl Reading {
    fn next(&mut self) -> Option<Result<ByteRow, DataError>> {
        if self.place == Place::Ended {
            return None;
        }
        let line = self.rows.next_line();
        let stop = match self.rows.next(self.limit, &mut self.between) {
            Ok(Some(mut row)) => {
                row.before = std::mem::take(&mut self.between);
                return Some(Ok(row));
            }
            Ok(None) => {
                self.place = Place::Ended;
                return None;
            }
            Err(stop) => stop,
        };
        self.place = Place::Ended;
        Some(match stop {
            // The system's own errors have a number; others are a decoder's, about what the file holds.
            Stop::Io(e) if e.raw_os_error().is_some() => Err(DataError::io("read", &self.path)(e)),
            Stop::Io(e) => Ok(plain(line, ByteBody::Broken(format!("the rest cannot be unpacked: {e}")))),
            Stop::Broken { line, why } => Ok(plain(line, ByteBody::Broken(why))),
            Stop::Error(e) => Err(e),
        })
    }

    /// The first record of a table.
    fn head(&mut self) -> Result<Vec<u8>, DataError> {
        let file = self.path.display().to_string();
        let Some(row) = self.next() else { return Err(DataError::Empty { file }) };
        let row = row?;
        match row.body {
            ByteBody::Table(bytes) => Ok([&bytes[..], row.after].concat()),
            ByteBody::TooLarge { limit } => {
                Err(super::bad_row(&self.path, row.line, None, RowFault::TooLarge { limit }))
            }
            ByteBody::Unread(_) | ByteBody::Broken(_) => {
                let (expected, got) = ("a header that names the columns", "a record that does not end".into());
                Err(DataError::BrokenContainer { path: self.path.clone(), expected, got })
            }
            _ => Err(DataError::Empty { file }),
        }
    }
}

fn keep(between: &mut Vec<u8>, parts: [&[u8]; 2]) {
    for part in parts {
        let room = BETWEEN_BYTES_MAX.saturating_sub(between.len()).min(part.len());
        between.extend_from_slice(&part[..room]);
    }
}

fn next_line(
    text: &mut Text,
    line: &mut u64,
    body: fn(Vec<u8>) -> ByteBody,
    limit: u64,
    between: &mut Vec<u8>,
) -> Result<Option<ByteRow>, Stop> {
    loop {
        let Some(next) = lines::next_line(&mut **text, limit).map_err(Stop::Io)? else { return Ok(None) };
        *line += 1;
        match next {
            Line::Whole(bytes, end) if bytes.iter().all(u8::is_ascii_whitespace) => {
                keep(between, [&bytes, end.bytes()]);
            }
            Line::Whole(bytes, end) => return Ok(Some(ByteRow { after: end.bytes(), ..plain(*line, body(bytes)) })),
            Line::TooLong(_) => return Ok(Some(plain(*line, ByteBody::TooLarge { limit }))),
        }
    }
}

fn next_record(
    records: &mut csv_bytes::Records<Text>,
    limit: u64,
    between: &mut Vec<u8>,
) -> Result<Option<ByteRow>, Stop> {
    loop {
        let line = records.lines + 1;
        let mut bytes = match records.next_record().map_err(Stop::Io)? {
            None => return Ok(None),
            Some(Split::Whole(bytes)) => bytes,
            Some(Split::TooLong) => return Ok(Some(plain(line, ByteBody::TooLarge { limit }))),
            Some(Split::Unclosed) => return Ok(Some(plain(line, ByteBody::Unread(UNCLOSED)))),
            Some(Split::Ended) => return Err(Stop::Broken { line, why: UNCLOSED.into() }),
        };
        let record = csv_bytes::record(&bytes).len();
        if record == 0 {
            keep(between, [&bytes, b""]);
            continue;
        }
        let after: &'static [u8] = match &bytes[record..] {
            b"\r\n" => b"\r\n",
            b"\n" => b"\n",
            _ => b"",
        };
        bytes.truncate(record);
        return Ok(Some(ByteRow { after, ..plain(line, ByteBody::Table(bytes)) }));
    }
}

fn next_element(
    splitter: &mut array::Splitter<Text>,
    row: &mut u64,
    limit: u64,
    between: &mut Vec<u8>,
) -> Result<Option<ByteRow>, Stop> {
    let mut broken_before = None;
    loop {
        let body = match splitter.next_mended() {
            Ok(Some(array::Element::Whole(bytes))) => ByteBody::Json(bytes),
            Ok(Some(array::Element::TooLong(_))) => ByteBody::TooLarge { limit },
            Ok(None) => {
                keep(between, [splitter.space(), b""]);
                return match broken_before {
                    Some(why) => Err(Stop::Broken { line: *row + 1, why }),
                    None => Ok(None),
                };
            }
            Err(array::SplitError::Io(e)) => return Err(Stop::Io(e)),
            Err(array::SplitError::Broken(array::Broken { line, column, expected, got })) => {
                let why = format!("line {line}, column {column} of the file: {got}; expected {expected}");
                if splitter.ended() {
                    return Err(Stop::Broken { line: *row + 1, why });
                }
                broken_before.get_or_insert(why);
                continue;
            }
        };
        *row += 1;
        keep(between, [splitter.space(), b""]);
        return Ok(Some(ByteRow { broken_before, ..plain(*row, body) }));
    }
}
