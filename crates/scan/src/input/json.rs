//! The JSON text of a row as a value, and what is wrong with it.

use super::Fault;
use data::BrokenJson as Broken;
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
    if let Some(mended) = data::mended_json(text)
        && let Ok(value) = serde_json::from_str(&mended.text)
    {
        let (kind, why) = match mended.broken {
            Broken::Nul => ("nul", "a NUL byte"),
            Broken::Control => ("malformed_json", "a control character that is not escaped"),
            Broken::Surrogate => ("malformed_json", "half of a surrogate pair, which is no character"),
        };
        faults.push(Fault::new(kind, why).at(mended.at));
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
