//! Parquet through the crate's own record interface: one row at a time, a page a column in memory.

use super::bytes::{self, Compression, Opened};
use super::{Body, RawRow, RowReader, Use};
use crate::error::{DataError, RowFault};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::FileReader;
use ::parquet::file::serialized_reader::SerializedFileReader;
use ::parquet::record::reader::RowIter;
use ::parquet::record::{Field, Row};
use serde_json::{Map, Number, Value};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Rows decoded at a time and column. The library's 1024 would hold 1024 long conversations.
const BATCH_ROWS: usize = 32;

pub(crate) struct Parquet {
    path: PathBuf,
    rows: RowIter<'static>,
    row: u64,
    rows_total: u64,
    limit: u64,
    ended: bool,
}

impl Parquet {
    /// Parquet needs to seek: a plain file is opened again beside the stream that hashes it, a compressed one is unpacked into an
    /// unnamed file in `spool_dir`.
    pub fn open(
        path: &Path,
        mut opened: Opened,
        purpose: Use,
        spool_dir: &Path,
        limit: u64,
    ) -> Result<Self, DataError> {
        let file = match opened.compression {
            Compression::None => {
                // Only training wants the hash.
                if purpose == Use::Train {
                    bytes::drain(path, &mut *opened.text)?;
                }
                File::open(path).map_err(DataError::io("open", path))?
            }
            Compression::Gzip | Compression::Zstd => {
                let mut spool =
                    tempfile::tempfile_in(spool_dir).map_err(DataError::io("create a file in", spool_dir))?;
                std::io::copy(&mut opened.text, &mut spool).map_err(DataError::io("unpack", path))?;
                spool.seek(SeekFrom::Start(0)).map_err(DataError::io("read", path))?;
                spool
            }
        };
        let reader = guarded(path, || SerializedFileReader::new(file))?;
        let rows_total = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default();
        let rows = RowIter::from_file_into(Box::new(reader)).with_batch_size(BATCH_ROWS);
        Ok(Self { path: path.to_owned(), rows, row: 0, rows_total, limit, ended: false })
    }
}

impl RowReader for Parquet {
    fn next_row(&mut self) -> Option<Result<RawRow, DataError>> {
        if self.ended {
            return None;
        }
        let rows = &mut self.rows;
        let next = guarded(&self.path, || rows.next().transpose());
        self.row += 1;
        match next {
            Ok(Some(row)) => {
                let value = object(row);
                let body = if super::text_bytes(&value) as u64 > self.limit {
                    Body::Fault { fault: RowFault::TooLarge { limit: self.limit }, column: None, excerpt: Vec::new() }
                } else {
                    Body::Value(value)
                };
                Some(Ok(RawRow { line: self.row, body }))
            }
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(e) => {
                self.ended = true;
                Some(Err(e))
            }
        }
    }

    fn share(&self) -> Option<f64> {
        Some(if self.rows_total == 0 { 1.0 } else { (self.row as f64 / self.rows_total as f64).min(1.0) })
    }

    fn drain(&mut self) -> Result<(), DataError> {
        // The whole file has been read, and hashed, when it was opened.
        Ok(())
    }
}

/// The library asserts some of what a file says instead of checking it; a damaged file must not take the program down.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, DataError> {
    let broken =
        |got: String| DataError::BrokenContainer { path: path.to_owned(), expected: "a valid parquet file", got };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|e| broken(e.to_string())),
        Err(_) => Err(broken("contents that contradict each other".into())),
    }
}

fn object(row: Row) -> Value {
    Value::Object(row.into_columns().into_iter().map(|(name, field)| (name, value(field))).collect())
}

fn value(field: Field) -> Value {
    let float = |x: f64| Number::from_f64(x).map_or(Value::Null, Value::Number);
    match field {
        Field::Null => Value::Null,
        Field::Bool(x) => x.into(),
        Field::Byte(x) => x.into(),
        Field::Short(x) => x.into(),
        Field::Int(x) => x.into(),
        Field::Long(x) => x.into(),
        Field::UByte(x) => x.into(),
        Field::UShort(x) => x.into(),
        Field::UInt(x) => x.into(),
        Field::ULong(x) => x.into(),
        Field::Float16(x) => float(x.to_f64()),
        Field::Float(x) => float(x.into()),
        Field::Double(x) => float(x),
        Field::Str(text) => text.into(),
        Field::Bytes(bytes) => bytes.as_utf8().map_or(Value::Null, Value::from),
        Field::Group(row) => object(row),
        Field::ListInternal(list) => list.elements().iter().cloned().map(value).collect(),
        Field::MapInternal(map) => {
            let entries =
                map.entries().iter().map(|(k, v)| (k.to_string().trim_matches('"').to_owned(), value(v.clone())));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        // Dates, times and decimals are not text to train on; they are shown where they stand in the way.
        other => Value::String(other.to_string()),
    }
}
