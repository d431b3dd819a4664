//! The JSON text of a row as a value, and what is wrong with it.

use super::Fault;
use serde_json::Value;

/// Parses a row. What can be read in spite of a fault is read, with the fault said: control characters that were not escaped, and
/// halves of surrogate pairs, which other programs write without complaint.
pub(super) fn parse(text: &str, faults: &mut Vec<Fault>) -> Option<Value> {
    // Counting brackets is cheaper than following them, and nearly every row has few.
    let opening = memchr::memchr2_iter(b'{', b'[', text.as_bytes());
    if opening.take(data::DEPTH_MAX + 1).count() > data::DEPTH_MAX
        && let Some(column) = data::too_deep(text.as_bytes())
    {
        let why = format!("nested deeper than {} levels", data::DEPTH_MAX);
        faults.push(Fault::new("too_deep", why).at(column as usize - 1));
        return None;
    }
    let error = match serde_json::from_str(text) {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    if let Some((mended, found)) = mend(text)
        && let Ok(value) = serde_json::from_str(&mended)
    {
        faults.push(found);
        return Some(value);
    }
    faults.push(malformed(text, &error));
    None
}

/// The JSON text that stands in a field of its own.
pub(super) fn parse_inner(field: &str, text: &str, faults: &mut Vec<Fault>) -> Option<Value> {
    let mut inner = Vec::new();
    let value = parse(text, &mut inner);
    faults.extend(inner.into_iter().map(|fault| {
        let why = format!("in the text of {field}: {}", fault.why);
        Fault { column: None, field: Some(field.to_owned()), why, ..fault }
    }));
    value
}

fn malformed(text: &str, error: &serde_json::Error) -> Fault {
    // Its own text ends with "at line 1 column 7", counted from the start of the record.
    let said = error.to_string();
    let what = said.split(" at line ").next().unwrap_or(&said);
    let why = if error.is_eof() { format!("cut short: {what}") } else { what.to_owned() };
    Fault::new("malformed_json", why).at(offset(text, error.line(), error.column()).saturating_sub(1))
}

/// Where line and column of a record with line breaks lie in its bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    (before + column).min(text.len())
}

/// JSON text that can be read once its control characters are escaped and its halves of surrogate pairs replaced; None where nothing
/// had to be done, or it was not enough.
pub(crate) fn mended(text: &str) -> Option<String> {
    mend(text).map(|(mended, _)| mended).filter(|text| serde_json::from_str::<Value>(text).is_ok())
}

/// The text with control characters escaped and halves of surrogate pairs replaced, and the first such fault; None where there is
/// none.
fn mend(text: &str) -> Option<(String, Fault)> {
    let bytes = text.as_bytes();
    let (mut mended, mut copied, mut first) = (String::new(), 0, None);
    let (mut at, mut in_string) = (0, false);
    while at < bytes.len() {
        let (taken, instead, fault) = match bytes[at] {
            b'"' => {
                in_string = !in_string;
                (1, None, None)
            }
            b'\\' if in_string && surrogate(bytes, at).is_some_and(|s| s != Surrogate::None) => {
                match surrogate(bytes, at) {
                    Some(Surrogate::Pair) => (12, None, None),
                    _ => (6, Some("\\ufffd".to_owned()), Some(("malformed_json", "half of a surrogate pair"))),
                }
            }
            b'\\' if in_string => (2, None, None),
            0 if in_string => (1, Some("\\u0000".to_owned()), Some(("nul", "a NUL byte"))),
            0 => (1, Some(String::new()), Some(("nul", "a NUL byte between the fields"))),
            control if in_string && control < 0x20 => {
                let why = "a control character that is not escaped";
                (1, Some(format!("\\u{control:04x}")), Some(("malformed_json", why)))
            }
            _ => (1, None, None),
        };
        if let Some(instead) = instead {
            mended.push_str(&text[copied..at]);
            mended.push_str(&instead);
            copied = at + taken;
        }
        if let Some((kind, why)) = fault {
            // A NUL is the graver fault and the one that is looked for.
            let replaces = first.as_ref().is_none_or(|f: &Fault| kind == "nul" && f.kind != "nul");
            if replaces {
                first = Some(Fault::new(kind, why).at(at));
            }
        }
        at += taken;
    }
    let first = first?;
    mended.push_str(&text[copied..]);
    Some((mended, first))
}

#[derive(PartialEq, Eq)]
enum Surrogate {
    None,
    Pair,
    Half,
}

/// What the escape at `at` is; None where it is no `\u` escape.
fn surrogate(bytes: &[u8], at: usize) -> Option<Surrogate> {
    Some(match unit(bytes, at)? {
        0xd800..=0xdbff if matches!(unit(bytes, at + 6), Some(0xdc00..=0xdfff)) => Surrogate::Pair,
        0xd800..=0xdfff => Surrogate::Half,
        _ => Surrogate::None,
    })
}

fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
}
