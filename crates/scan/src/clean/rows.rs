//! What becomes of one row's bytes.

use super::{Action, splice};
use crate::input::{Raw, text_of};
use data::{ByteBody, ByteRow, ByteRows, Kind};

/// A row as the copy has it.
pub(super) enum Outcome {
    Kept(Vec<u8>),
    Changed { bytes: Vec<u8>, fields: Vec<String>, why: Vec<String> },
    Dropped { why: Vec<String> },
    Stopped,
}

/// How the rows of a file are written.
pub(super) struct Form {
    pub kind: Kind,
    pub header: Vec<String>,
}

/// What stands before the rows.
pub(super) fn head(rows: &ByteRows) -> Vec<u8> {
    match rows.kind {
        Kind::JsonArray => b"[".to_vec(),
        // A header in another encoding than the file's was read as well as it can be.
        Kind::Csv | Kind::Tsv => {
            let text = text_of(&rows.head, &mut Vec::new()).map(|text| text.into_owned());
            text.unwrap_or_else(|| String::from_utf8_lossy(&rows.head).into_owned()).into_bytes()
        }
        Kind::JsonLines | Kind::Text | Kind::Parquet => Vec::new(),
    }
}

pub(super) fn outcome(form: &Form, raw: Raw, action: Action) -> Outcome {
    let (fields, mut why) = match action {
        Action::Stop => return Outcome::Stopped,
        Action::Drop { why } => return Outcome::Dropped { why },
        Action::Keep => (Vec::new(), Vec::new()),
        Action::Change { fields, why } => (fields, why),
    };
    let bytes = match bytes(raw.row, &mut why) {
        Ok(bytes) => bytes,
        Err(reason) => return Outcome::Dropped { why: vec![reason.to_owned()] },
    };
    if fields.is_empty() {
        return match why.is_empty() {
            true => Outcome::Kept(bytes),
            false => Outcome::Changed { bytes, fields: Vec::new(), why },
        };
    }
    let names: Vec<String> = fields.iter().map(|(name, _)| name.clone()).collect();
    match String::from_utf8(bytes).ok().and_then(|text| changed(form, text, &fields)) {
        Some(text) => Outcome::Changed { bytes: text.into_bytes(), fields: names, why },
        // A row that was to be changed and cannot be is not passed on as it was.
        None => {
            why.push("a field that was to be changed was not found again".into());
            Outcome::Dropped { why }
        }
    }
}

/// The bytes of a row in UTF-8; what was done to get there is added to `why`.
fn bytes(row: ByteRow, why: &mut Vec<String>) -> Result<Vec<u8>, &'static str> {
    let bytes = match row.body {
        ByteBody::TooLarge { .. } => return Err("too_large"),
        ByteBody::Unread(_) => return Err("malformed_csv"),
        ByteBody::Broken(_) => return Err("broken_file"),
        ByteBody::Value(value) => return Ok(value.to_string().into_bytes()),
        ByteBody::Json(bytes) | ByteBody::Text(bytes) | ByteBody::Table(bytes) => bytes,
    };
    let mut faults = Vec::new();
    let Some(text) = text_of(&bytes, &mut faults) else { return Err("invalid_utf8") };
    if faults.is_empty() {
        return Ok(bytes);
    }
    let done = faults.iter().map(|fault| match fault.kind {
        "bom" => "byte order mark removed",
        _ => "converted from GB18030",
    });
    why.extend(done.map(str::to_owned));
    Ok(text.into_owned().into_bytes())
}

fn changed(form: &Form, mut text: String, fields: &[(String, String)]) -> Option<String> {
    if matches!(form.kind, Kind::JsonLines | Kind::JsonArray)
        && let Some(mended) = data::mended_json(&text)
    {
        text = mended.text;
    }
    for (name, new) in fields {
        text = match form.kind {
            Kind::JsonLines | Kind::JsonArray | Kind::Parquet => splice::json(&text, name, new).or_else(|| {
                // A row that is a bare string has no names; its text is called `text`.
                (name == "text" && text.trim_start().starts_with('"')).then(|| splice::json(&text, "", new))?
            })?,
            Kind::Text => new.replace(['\n', '\r'], " "),
            Kind::Csv | Kind::Tsv => {
                let column = |at: &usize| splice::member(name, &form.header[*at]).is_some();
                // Of `a` and `a.b` the longer name is the one that was meant.
                let column = (0..form.header.len()).filter(column).max_by_key(|at| form.header[*at].len())?;
                let rest = splice::member(name, &form.header[column])?;
                splice::table(&text, form.kind.delimiter()?, column, rest, new)?
            }
        };
    }
    Some(text)
}
