//! Scalars for TensorBoard: an event file is a row of TFRecords, each a `tensorflow.Event` protobuf with one scalar.
//!
//! Event times are wall-clock times, so that these files are outside the promise of byte equality. A resumed run
//! first cuts what lies past its checkpoint from the older files and then goes on in a new one.

use crate::TrainError;
use runfs::{Fs, FsFile, RunFsError};
use std::path::{Path, PathBuf};

const PREFIX: &str = "events.out.tfevents.";
/// TFRecord: u64 length, u32 crc of it, the data, u32 crc of that.
const HEADER_BYTES: usize = 12;
const FOOTER_BYTES: usize = 4;

pub(crate) struct EventFile<'a> {
    fs: &'a dyn Fs,
    path: PathBuf,
    file: Box<dyn FsFile>,
}

impl<'a> EventFile<'a> {
    /// A new file in `dir` that sorts after all that are there (TensorBoard reads them in that order).
    pub fn create(fs: &'a dyn Fs, dir: &Path, unix_ms: u64) -> Result<EventFile<'a>, TrainError> {
        runfs::create_dir_durable(fs, dir)?;
        let newest = event_files(fs, dir)?.iter().filter_map(|p| seconds_of(p)).max();
        let seconds = newest.map_or(0, |s| s + 1).max(unix_ms / 1000);
        let path = dir.join(format!("{PREFIX}{seconds:010}.athanor"));
        let file = fs.create(&path).map_err(|e| RunFsError::writing(fs, "create", &path, 0, e))?;
        let mut events = EventFile { fs, path, file };
        events.write(&version_event(unix_ms))?;
        Ok(events)
    }

    pub fn scalar(&mut self, tag: &str, value: f64, step: u64, unix_ms: u64) -> Result<(), TrainError> {
        self.write(&scalar_event(tag, value as f32, step, unix_ms))
    }

    fn write(&mut self, event: &[u8]) -> Result<(), TrainError> {
        let record = record(event);
        let failed = |e| RunFsError::writing(self.fs, "write", &self.path, record.len() as u64, e);
        self.file.write_all(&record).map_err(failed)?;
        Ok(())
    }
}

/// Cuts each event file in `dir` after its longest run of whole records for which `keep(tag, step)` holds.
pub(crate) fn cut_back(fs: &dyn Fs, dir: &Path, keep: impl Fn(&str, u64) -> bool) -> Result<(), TrainError> {
    for path in event_files(fs, dir)? {
        let bytes = fs.read(&path).map_err(|e| RunFsError::io("read", &path, e))?;
        let mut end = 0;
        while let Some((event, next)) = read_record(&bytes, end) {
            if let Some(scalar) = parse_scalar(event)
                && !keep(&scalar.tag, scalar.step)
            {
                break;
            }
            end = next;
        }
        if end < bytes.len() {
            fs.truncate(&path, end as u64).map_err(|e| RunFsError::writing(fs, "truncate", &path, 0, e))?;
        }
    }
    Ok(())
}

fn event_files(fs: &dyn Fs, dir: &Path) -> Result<Vec<PathBuf>, TrainError> {
    if !fs.exists(dir) {
        return Ok(Vec::new());
    }
    let names = fs.list(dir).map_err(|e| RunFsError::io("list", dir, e))?;
    Ok(names
        .into_iter()
        .filter(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(PREFIX)))
        .map(|p| dir.join(p))
        .collect())
}

fn seconds_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)?.split('.').next()?.parse().ok()
}

// --- tensorflow.Event (event.proto, summary.proto) -----------------------------------------------------

fn version_event(unix_ms: u64) -> Vec<u8> {
    let mut event = wall_time(unix_ms);
    bytes_field(&mut event, 3, b"brain.Event:2");
    event
}

/// Event { 1: wall_time double, 2: step int64, 5: Summary { 1: Value { 1: tag, 2: simple_value float } } }
fn scalar_event(tag: &str, value: f32, step: u64, unix_ms: u64) -> Vec<u8> {
    let mut scalar = Vec::new();
    bytes_field(&mut scalar, 1, tag.as_bytes());
    scalar.push(2 << 3 | 5);
    scalar.extend_from_slice(&value.to_le_bytes());
    let mut summary = Vec::new();
    bytes_field(&mut summary, 1, &scalar);
    let mut event = wall_time(unix_ms);
    event.push(2 << 3);
    varint(&mut event, step);
    bytes_field(&mut event, 5, &summary);
    event
}

fn wall_time(unix_ms: u64) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend_from_slice(&(unix_ms as f64 / 1000.0).to_le_bytes());
    event
}

fn bytes_field(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[derive(Debug, PartialEq)]
struct Scalar {
    tag: String,
    step: u64,
    value: f32,
}

/// The scalar in an event that this module wrote; None for any other event.
fn parse_scalar(event: &[u8]) -> Option<Scalar> {
    let mut step = 0;
    let mut summary = None;
    for field in Fields(event) {
        match field? {
            (2, Field::Varint(v)) => step = v,
            (5, Field::Bytes(b)) => summary = Some(b),
            _ => {}
        }
    }
    let (_, Field::Bytes(value)) = Fields(summary?).next()?? else { return None };
    let (mut tag, mut number) = (None, None);
    for field in Fields(value) {
        match field? {
            (1, Field::Bytes(b)) => tag = String::from_utf8(b.to_vec()).ok(),
            (2, Field::Fixed32(v)) => number = Some(f32::from_bits(v)),
            _ => {}
        }
    }
    Some(Scalar { tag: tag?, step, value: number? })
}

enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    Fixed64,
}

/// Fields of a protobuf message; an item is None where the bytes are not one.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Field<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Field<'a>)> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => self.take(8).map(|_| Field::Fixed64)?,
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Field::Bytes(self.take(len)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some((key >> 3, field))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }
}

// --- TFRecord ------------------------------------------------------------------------------------------

fn record(data: &[u8]) -> Vec<u8> {
    let len = (data.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(HEADER_BYTES + data.len() + FOOTER_BYTES);
    out.extend_from_slice(&len);
    out.extend_from_slice(&masked_crc(&len).to_le_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(&masked_crc(data).to_le_bytes());
    out
}

/// The record at `at` and where the next begins; None at the end and where a record is torn or its sums are wrong.
fn read_record(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let header = rest.get(..HEADER_BYTES)?;
    let (len, sum) = header.split_at(8);
    let len_bytes: [u8; 8] = len.try_into().ok()?;
    if masked_crc(len) != u32::from_le_bytes(sum.try_into().ok()?) {
        return None;
    }
    let len = usize::try_from(u64::from_le_bytes(len_bytes)).ok()?;
    let end = HEADER_BYTES.checked_add(len)?;
    let data = rest.get(HEADER_BYTES..end)?;
    let sum = rest.get(end..end.checked_add(FOOTER_BYTES)?)?;
    (masked_crc(data) == u32::from_le_bytes(sum.try_into().ok()?)).then_some((data, at + end + FOOTER_BYTES))
}

/// CRC-32C, turned and offset, as TFRecord stores it (a checksum of data that holds checksums is weak).
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected. A crate was rejected: a few hundred bytes a step need no speed.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, b| {
        (0..8).fold(crc ^ u32::from(*b), |c, _| if c & 1 == 1 { c >> 1 ^ 0x82f6_3b78 } else { c >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_check_value() {
        // The check value of CRC-32C in the catalogue of parametrised CRC algorithms, and RFC 3720 B.4's zeros.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_scalar_reads_back() {
        let bytes = record(&scalar_event("train/loss", 1.5, 300, 1_700_000_000_123));
        let (event, next) = read_record(&bytes, 0).unwrap();
        assert_eq!(next, bytes.len());
        assert_eq!(parse_scalar(event).unwrap(), Scalar { tag: "train/loss".into(), step: 300, value: 1.5 });
        assert!(parse_scalar(&version_event(0)).is_none());
    }

    #[test]
    fn torn_and_flipped_records_end_the_file() {
        let bytes = record(&scalar_event("train/lr", 0.1, 1, 0));
        for cut in 0..bytes.len() {
            assert!(read_record(&bytes[..cut], 0).is_none(), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(read_record(&flipped, 0).is_none(), "flipped at {at}");
        }
    }

    /// Every scalar in the folder's files, in the order in which TensorBoard reads them.
    fn scalars(fs: &dyn Fs, dir: &Path) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        for path in event_files(fs, dir).unwrap() {
            let bytes = fs.read(&path).unwrap();
            let mut at = 0;
            while let Some((event, next)) = read_record(&bytes, at) {
                all.extend(parse_scalar(event).map(|s| (s.tag, s.step)));
                at = next;
            }
            assert_eq!(at, bytes.len(), "{} is whole", path.display());
        }
        all
    }

    #[test]
    fn a_resumed_run_writes_no_step_twice() {
        let fs = runfs::FaultyFs::new();
        let dir = Path::new("/run/tensorboard");
        let sitting = |from: u64, to: u64| {
            cut_back(&fs, dir, |_, step| step < from).unwrap();
            let mut events = EventFile::create(&fs, dir, 1_700_000_000_000).unwrap();
            for step in from..=to {
                events.scalar("train/loss", 0.5, step, 0).unwrap();
            }
        };
        sitting(1, 5);
        // Killed at 5, back to the checkpoint of 3, killed again at once, and once more.
        sitting(4, 4);
        sitting(3, 3);
        sitting(3, 6);
        let steps: Vec<u64> = scalars(&fs, dir).into_iter().map(|(_, step)| step).collect();
        assert_eq!(steps, [1, 2, 3, 4, 5, 6]);
        assert_eq!(event_files(&fs, dir).unwrap().len(), 4);
    }
}
