//! The bytes of a row as named texts, with every fault on the way.

use super::{Fault, Raw, fields, json};
use crate::Row;
use data::{ByteBody, ByteRows, Found, Kind};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// How the rows of one file are to be understood.
pub struct Meaning {
    file: u32,
    found: Found,
    kind: Kind,
    header: Vec<String>,
}

/// What a row says, and what is wrong with it. Both may be there: a field that is blank leaves the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Understood {
    pub row: Option<Row>,
    pub faults: Vec<Fault>,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Meaning {
    pub(super) fn new(file: u32, rows: &ByteRows) -> Self {
        Self { file, found: rows.found.clone(), kind: rows.kind, header: rows.header.clone() }
    }

    /// Understands a row. A pure function, for any thread.
    pub fn understand(&self, raw: &Raw) -> Understood {
        let mut faults = raw.of_file.clone();
        if let Some(why) = &raw.row.broken_before {
            faults.push(Fault::new("broken_file", why.clone()));
        }
        let value = self.value(&raw.row.body, &mut faults);
        let columns = Columns { body: &raw.row.body, header: &self.header, kind: self.kind };
        let fields = value.map(|value| fields::of(&self.found, value, &columns, &mut faults)).unwrap_or_default();
        let row = (!fields.is_empty()).then_some(Row { file: self.file, line: raw.row.line, fields });
        Understood { row, faults }
    }

    fn value(&self, body: &ByteBody, faults: &mut Vec<Fault>) -> Option<Value> {
        match body {
            ByteBody::Json(bytes) => json::parse(&text(bytes, faults)?, faults),
            ByteBody::Text(bytes) => Some(Value::String(text(bytes, faults)?.into_owned())),
            ByteBody::Table(bytes) => self.record(&text(bytes, faults)?, faults),
            ByteBody::Value(value) => Some(value.clone()),
            ByteBody::TooLarge { limit } => {
                faults.push(Fault::new("too_large", format!("longer than the limit of {limit} bytes")));
                None
            }
            ByteBody::Unread(why) => {
                faults.push(Fault::new("malformed_csv", *why));
                None
            }
            ByteBody::Broken(why) => {
                faults.push(Fault::new("broken_file", why.clone()));
                None
            }
        }
    }

    fn record(&self, record: &str, faults: &mut Vec<Fault>) -> Option<Value> {
        let places = data::table_fields(record.as_bytes(), self.kind.delimiter()?);
        if places.len() != self.header.len() {
            let why = format!("{} fields; the header has {}", places.len(), self.header.len());
            faults.push(Fault::new("malformed_csv", why));
            return None;
        }
        let said = |at: std::ops::Range<usize>| {
            // Fields end at ASCII characters, so what was whole stays whole.
            let text = data::table_text(&record.as_bytes()[at]);
            Value::String(String::from_utf8_lossy(&text).into_owned())
        };
        let object: Map<String, Value> = self.header.iter().cloned().zip(places.into_iter().map(said)).collect();
        Some(Value::Object(object))
    }
}

/// The text of a row: past a byte order mark, and from GB18030 where a single line is that in a UTF-8 file.
pub(crate) fn text<'a>(bytes: &'a [u8], faults: &mut Vec<Fault>) -> Option<Cow<'a, str>> {
    let rest = match bytes.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => {
            faults.push(Fault::new("bom", "a byte order mark inside the file, as where files were joined").at(0));
            rest
        }
        None => bytes,
    };
    let error = match std::str::from_utf8(rest) {
        Ok(text) => return Some(Cow::Borrowed(text)),
        Err(error) => error,
    };
    let at = bytes.len() - rest.len() + error.valid_up_to();
    let converted = data::gb18030(rest);
    let looks = if converted.is_some() { "; the row looks like GB18030 (GBK)" } else { "" };
    faults.push(Fault::new("invalid_utf8", format!("byte 0x{:02x}{looks}", bytes[at])).at(at));
    converted.map(Cow::Owned)
}

/// Where the fields of a row stand in it.
pub(super) struct Columns<'a> {
    body: &'a ByteBody,
    header: &'a [String],
    kind: Kind,
}

impl Columns<'_> {
    /// The byte, from 0, where the column of a field begins: its key in JSON, the field itself in a table.
    pub fn of(&self, field: &str) -> Option<usize> {
        match self.body {
            ByteBody::Json(bytes) => {
                let name = field.split(['.', '[']).next().unwrap_or(field);
                memchr::memmem::find(bytes, format!("\"{name}\"").as_bytes())
            }
            ByteBody::Text(_) => Some(0),
            ByteBody::Table(bytes) => {
                let places = data::table_fields(bytes, self.kind.delimiter()?);
                let whole = |name: &String| field.strip_prefix(name.as_str()).is_some_and(ends_name);
                let at = self.header.iter().position(whole)?;
                places.get(at).map(|place| place.start)
            }
            ByteBody::Value(_) | ByteBody::TooLarge { .. } | ByteBody::Unread(_) | ByteBody::Broken(_) => None,
        }
    }
}

/// Whether what follows a column's name in the name of a field leaves the column.
fn ends_name(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['.', '['])
}
