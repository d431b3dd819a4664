//! Records of csv and tsv files as their bytes: where each ends is found here, what it says is understood elsewhere and later.
//!
//! Quotes mean what they mean to the csv crate: a field is quoted when it begins with a quote, two quotes inside are one.

use super::lines::EXCERPT_BYTES;
use super::pushed::Pushed;
use std::borrow::Cow;
use std::io::BufRead;
use std::ops::Range;

/// A record, with the line break that ended it.
pub(crate) enum Split {
    Whole(Vec<u8>),
    /// Longer than the limit.
    TooLong,
    /// Its quotes do not end, in the file or within the limit. The lines after its first are read again.
    Unclosed,
    /// The file ended inside quotes, and is read again no more.
    Ended,
}

/// Records with open quotes after which lines are read again; each costs a pass over at most the limit of a record.
const UNCLOSED_MAX: u32 = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote inside quotes: the end of the field, or the first of two.
    Quote,
}

impl Place {
    fn after(self, byte: u8, delimiter: u8) -> Place {
        match (self, byte) {
            (Place::Quoted, b'"') => Place::Quote,
            (Place::Quoted, _) => Place::Quoted,
            (Place::FieldStart | Place::Quote, b'"') => Place::Quoted,
            (_, byte) if byte == delimiter => Place::FieldStart,
            _ => Place::Plain,
        }
    }
}

pub(crate) struct Records<R> {
    text: Pushed<R>,
    delimiter: u8,
    limit: u64,
    /// Line breaks passed.
    pub lines: u64,
    unclosed: u32,
}

impl<R: BufRead> Records<R> {
    pub fn new(text: R, delimiter: u8, limit: u64) -> Self {
        Self { text: Pushed::new(text), delimiter, limit, lines: 0, unclosed: 0 }
    }

    /// The next record; `None` at the end of the text. Holds little more than the limit.
    pub fn next_record(&mut self) -> std::io::Result<Option<Split>> {
        let (mut record, mut size, mut place) = (Vec::new(), 0u64, Place::FieldStart);
        let first_line = self.lines;
        loop {
            let available = self.text.filled()?;
            let at_end = available.is_empty();
            if at_end && size == 0 {
                return Ok(None);
            }
            let (taken, ended) = pass(&mut place, available, self.delimiter);
            let part = &available[..taken];
            self.lines += memchr::memchr_iter(b'\n', part).count() as u64;
            let whole = size <= self.limit;
            if whole {
                record.extend_from_slice(part);
            }
            size += taken as u64;
            self.text.consume(taken);
            if whole && place == Place::Quoted && (at_end || size > self.limit) && self.unclosed < UNCLOSED_MAX {
                let first = memchr::memchr(b'\n', &record).map_or(record.len(), |at| at + 1);
                if at_end || first < record.len() {
                    self.unclosed += 1;
                    self.text.push_back(record.split_off(first));
                    self.lines = first_line + u64::from(record.ends_with(b"\n"));
                    return Ok(Some(Split::Unclosed));
                }
            }
            if size > self.limit {
                record.truncate(EXCERPT_BYTES);
                record.shrink_to_fit();
            }
            if at_end || ended {
                return Ok(Some(match place {
                    _ if size > self.limit => Split::TooLong,
                    Place::Quoted => Split::Ended,
                    _ => Split::Whole(record),
                }));
            }
        }
    }
}

/// How many of the bytes belong to the record, and whether it ended with them.
fn pass(place: &mut Place, bytes: &[u8], delimiter: u8) -> (usize, bool) {
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let skipped = match place {
            Place::Quoted => memchr::memchr(b'"', rest).unwrap_or(rest.len()),
            Place::Plain => memchr::memchr2(delimiter, b'\n', rest).unwrap_or(rest.len()),
            Place::FieldStart | Place::Quote => 0,
        };
        at += skipped;
        let Some(&byte) = bytes.get(at) else { break };
        at += 1;
        if byte == b'\n' && *place != Place::Quoted {
            return (at, true);
        }
        *place = place.after(byte, delimiter);
    }
    (bytes.len(), false)
}

/// A record without its line break.
pub(crate) fn record(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// Where the fields of a record stand, quotes and all; the line break belongs to none.
pub fn fields(bytes: &[u8], delimiter: u8) -> Vec<Range<usize>> {
    let record = record(bytes);
    let (mut fields, mut start, mut place) = (Vec::new(), 0, Place::FieldStart);
    for (at, &byte) in record.iter().enumerate() {
        if byte == delimiter && place != Place::Quoted {
            fields.push(start..at);
            start = at + 1;
        }
        place = place.after(byte, delimiter);
    }
    fields.push(start..record.len());
    fields
}

/// What a field says, without its quotes.
pub fn text(field: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = field.strip_prefix(b"\"") else { return Cow::Borrowed(field) };
    if let Some(plain) = inner.strip_suffix(b"\"")
        && memchr::memchr(b'"', plain).is_none()
    {
        return Cow::Borrowed(plain);
    }
    let (mut text, mut place) = (Vec::with_capacity(inner.len()), Place::Quoted);
    for &byte in inner {
        let next = match (place, byte) {
            (Place::Quoted, b'"') => Place::Quote,
            (Place::Quote, b'"') => Place::Quoted,
            (Place::Quote, _) => Place::Plain,
            _ => place,
        };
        if next != Place::Quote {
            text.push(byte);
        }
        place = next;
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Table = Vec<(u64, Vec<String>)>;

    fn ours(bytes: &[u8], capacity: usize) -> Table {
        let mut records = Records::new(std::io::BufReader::with_capacity(capacity, bytes), b',', 100);
        let mut out = Vec::new();
        loop {
            let line = records.lines + 1;
            let record = match records.next_record().unwrap() {
                None => return out,
                Some(Split::Whole(record)) => record,
                Some(Split::TooLong) => b"too long".to_vec(),
                Some(Split::Unclosed) => b"unclosed".to_vec(),
                Some(Split::Ended) => b"ended".to_vec(),
            };
            let said = |at: Range<usize>| String::from_utf8_lossy(&text(&record[at])).into_owned();
            out.push((line, fields(&record, b',').into_iter().map(said).collect()));
        }
    }

    fn row(line: u64, fields: &[&str]) -> (u64, Vec<String>) {
        (line, fields.iter().map(|f| (*f).to_owned()).collect())
    }

    #[test]
    fn records() {
        for capacity in [1, 2, 5, 100] {
            let check = |text: &str, expect: &[(u64, Vec<String>)]| {
                assert_eq!(ours(text.as_bytes(), capacity), expect, "{text}")
            };
            check("", &[]);
            check("a,b\r\n,\n", &[row(1, &["a", "b"]), row(2, &["", ""])]);
            check("\"a\nb\",\"c\"\"d\"\ne", &[row(1, &["a\nb", "c\"d"]), row(3, &["e"])]);
            check("\"a,b\"c,d\n", &[row(1, &["a,bc", "d"])]);
            check("a\"b,c\"\n", &[row(1, &["a\"b", "c\""])]);
            check("x\n\"a,b\n", &[row(1, &["x"]), row(2, &["unclosed"])]);
            check("x\n\"a,b\nc\nd", &[row(1, &["x"]), row(2, &["unclosed"]), row(3, &["c"]), row(4, &["d"])]);
            let long = format!("\"a\n{}", "b,c\n".repeat(60));
            assert_eq!(ours(long.as_bytes(), capacity)[..2], [row(1, &["unclosed"]), row(2, &["b", "c"])]);
            assert_eq!(ours(long.as_bytes(), capacity).len(), 61);
            // Over the limit in one line: there is no line to go on with before its end.
            check(&format!("\"{}\ny\n\"\nz", "x".repeat(200)), &[row(1, &["too long"]), row(4, &["z"])]);
            let opened = "\"\n,\"\n".repeat(12) + "\"";
            assert!(ours(opened.as_bytes(), capacity).len() < 30, "{:?}", ours(opened.as_bytes(), capacity));
            check(&format!("{}\ny\n", "x".repeat(200)), &[row(1, &["too long"]), row(2, &["y"])]);
        }
    }

    proptest! {
        #[test]
        fn as_the_csv_crate_reads(text in "([a,\"\n]|\r\n){0,24}") {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true)
                .terminator(csv::Terminator::Any(b'\n')).from_reader(text.as_bytes());
            let theirs: Vec<Vec<String>> = reader.byte_records().map(|record| {
                record.unwrap().iter().map(|f| String::from_utf8_lossy(f).into_owned()).collect()
            }).collect();
            let without_return = |mut fields: Vec<String>| {
                if let Some(last) = fields.last_mut() {
                    *last = last.strip_suffix('\r').unwrap_or(last).to_owned();
                }
                fields
            };
            let blank = |fields: &Vec<String>| fields.len() == 1 && fields[0].is_empty();
            let theirs: Vec<_> = theirs.into_iter().map(without_return).filter(|f| !blank(f)).collect();
            let ours: Vec<_> = ours(text.as_bytes(), 3).into_iter().map(|(_, f)| f).filter(|f| !blank(f)).collect();
            // The csv crate takes a file that ends inside quotes for whole.
            if !ours.iter().any(|f| f == &["unclosed"]) {
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
