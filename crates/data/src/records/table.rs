//! csv and tsv: a header row, then one row a record. Quoted fields may hold line breaks.

use super::lines::EXCERPT_BYTES;
use super::{Body, RawRow, RowReader};
use crate::error::{DataError, RowFault};
use serde_json::{Map, Value};
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The csv reader's own buffer; a record may overrun the limit by this much before it is noticed.
const BUFFER_BYTES: usize = 1 << 16;

pub(crate) struct Table {
    path: PathBuf,
    reader: csv::Reader<Budgeted>,
    header: Vec<String>,
    budget: Arc<AtomicU64>,
    limit: u64,
    ended: bool,
}

impl Table {
    pub fn open(path: &Path, text: Box<dyn BufRead + Send>, delimiter: u8, limit: u64) -> Result<Self, DataError> {
        let budget = Arc::new(AtomicU64::new(limit.saturating_add(BUFFER_BYTES as u64)));
        let source = Budgeted { text, budget: budget.clone() };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            // The library's own CRLF mode counts lines one short after each CRLF; the carriage return is taken off here.
            .terminator(csv::Terminator::Any(b'\n'))
            .flexible(true)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(source);
        let header = reader.byte_headers().cloned().map_err(|e| file_error(path, limit, 1, e))?;
        let header = header.iter().map(|h| String::from_utf8_lossy(h).trim().to_owned()).collect();
        Ok(Self { path: path.to_owned(), reader, header, budget, limit, ended: false })
    }

    fn row(&self, record: &csv::ByteRecord, line: u64) -> RawRow {
        if record.as_slice().len() as u64 > self.limit {
            let excerpt = record.as_slice()[..EXCERPT_BYTES.min(record.as_slice().len())].to_vec();
            return RawRow {
                line,
                body: Body::Fault { fault: RowFault::TooLarge { limit: self.limit }, column: None, excerpt },
            };
        }
        if record.len() != self.header.len() {
            let fault = RowFault::UnequalFields { expected: self.header.len(), got: record.len() };
            return RawRow { line, body: Body::Fault { fault, column: None, excerpt: joined(record) } };
        }
        let mut fields = Map::new();
        let last = self.header.len().saturating_sub(1);
        for (i, (name, bytes)) in self.header.iter().zip(record.iter()).enumerate() {
            let bytes = if i == last { without_return(bytes) } else { bytes };
            match std::str::from_utf8(bytes) {
                Ok(text) => fields.insert(name.clone(), Value::String(text.to_owned())),
                Err(e) => {
                    let fault = RowFault::InvalidUtf8 { byte: bytes[e.valid_up_to()] };
                    return RawRow { line, body: Body::Fault { fault, column: None, excerpt: joined(record) } };
                }
            };
        }
        RawRow { line, body: Body::Value(Value::Object(fields)) }
    }
}

impl RowReader for Table {
    fn next_row(&mut self) -> Option<Result<RawRow, DataError>> {
        if self.ended {
            return None;
        }
        let mut record = csv::ByteRecord::new();
        loop {
            self.budget.store(self.limit.saturating_add(BUFFER_BYTES as u64), Ordering::Relaxed);
            let line = self.reader.position().line();
            match self.reader.read_byte_record(&mut record) {
                Ok(false) => return None,
                Ok(true) if record.len() == 1 && without_return(&record[0]).is_empty() => {}
                Ok(true) => return Some(Ok(self.row(&record, record.position().map_or(line, csv::Position::line)))),
                Err(e) => {
                    // An unclosed quote swallows the rest of the file: there is no next record to go on with.
                    self.ended = true;
                    return Some(Err(file_error(&self.path, self.limit, line, e)));
                }
            }
        }
    }

    fn drain(&mut self) -> Result<(), DataError> {
        self.budget.store(u64::MAX, Ordering::Relaxed);
        super::bytes::drain(&self.path, &mut *self.reader.get_mut().text)
    }
}

fn without_return(field: &[u8]) -> &[u8] {
    field.strip_suffix(b"\r").unwrap_or(field)
}

fn joined(record: &csv::ByteRecord) -> Vec<u8> {
    record.iter().collect::<Vec<_>>().join(&b","[..])
}

fn file_error(path: &Path, limit: u64, line: u64, error: csv::Error) -> DataError {
    match error.into_kind() {
        csv::ErrorKind::Io(e) if e.get_ref().is_some_and(|inner| inner.is::<OverBudget>()) => {
            let fault_at = crate::error::Position { file: path.display().to_string(), line, column: None };
            DataError::BadRow { fault_at, fault: Box::new(RowFault::TooLarge { limit }) }
        }
        csv::ErrorKind::Io(e) => DataError::io("read", path)(e),
        other => DataError::BrokenContainer {
            path: path.to_owned(),
            expected: "rows of comma- or tab-separated fields",
            got: format!("{other:?}"),
        },
    }
}

/// Hands out at most `budget` bytes until the budget is renewed: the csv reader has no limit of its own on a record.
struct Budgeted {
    text: Box<dyn BufRead + Send>,
    budget: Arc<AtomicU64>,
}

#[derive(Debug, thiserror::Error)]
#[error("a csv record is longer than the limit")]
struct OverBudget;

impl Read for Budgeted {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let left = self.budget.load(Ordering::Relaxed);
        if left == 0 && !self.text.fill_buf()?.is_empty() {
            return Err(std::io::Error::other(OverBudget));
        }
        let room = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let n = self.text.read(&mut buf[..room])?;
        self.budget.fetch_sub(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
