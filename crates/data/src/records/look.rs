//! Finding out by looking at the first rows which format a file has and which column plays which role.

use super::roles::{self, Need, Tags, format_name};
use super::{Body, RowReader, bad_row};
use crate::error::DataError;
use crate::plan::{Format, Source};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Rows looked at. A file whose first rows are all alike in this many is taken to be alike.
const ROWS_LOOKED_AT: usize = 16;
/// Faulty rows passed by in search of these.
const FAULTS_PASSED: usize = 1000;

/// What a file's rows are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Train,
    /// Only looked at: what could be meant in two ways to train on is still text.
    Look,
}

/// How the rows of one file are to be read.
#[derive(Clone, Debug)]
pub struct Found {
    pub format: Format,
    /// Role → column, for the roles that the file has.
    pub columns: BTreeMap<&'static str, String>,
    pub tags: Tags,
    /// For the user: `csv, prompt_completion (prompt: text, completion: category)`.
    pub note: String,
}

impl Found {
    pub fn column(&self, role: &str) -> Option<&str> {
        self.columns.get(role).map(String::as_str)
    }

    /// The usual columns of a role that no other role has taken: for rows with a field that the first rows lacked.
    pub fn usual(&self, role: &str) -> impl Iterator<Item = &'static str> {
        let usual = roles::named(self.format, role).map_or(&[][..], |role| role.usual);
        usual.iter().copied().filter(|name| !self.columns.values().any(|used| used == name))
    }
}

/// What the first rows show.
struct Sample {
    /// Field names in the order of their first appearance.
    columns: Vec<String>,
    rows: Vec<Value>,
}

/// Decides on a format, by the plan's own word or by looking.
///
/// # Errors
/// The file's own faults; an unknown role, tag or column; no format that fits.
pub(crate) fn look(
    source: &Source,
    container: &'static str,
    purpose: Use,
    reader: &mut dyn RowReader,
) -> Result<Found, DataError> {
    let path = source.path.as_path();
    check_words(source)?;
    let sample = sample(path, reader)?;
    let (format, how) = match source.format {
        Some(format) => (format, "as told"),
        None => (find(source, purpose, &sample)?, "found"),
    };
    let columns = assign(source, format, &sample).map_err(|e| e.into_error(path, &sample))?;
    let unused: Vec<&str> =
        sample.columns.iter().map(String::as_str).filter(|c| !columns.values().any(|used| used == c)).collect();
    let mut note = format!("{container}, {} ({how}", format_name(format));
    let mut separator = ": ";
    for (role, column) in roles::of(format).iter().filter_map(|role| Some((role.name, columns.get(role.name)?))) {
        note += separator;
        note += &if role == column { role.to_owned() } else { format!("{role}={column}") };
        separator = ", ";
    }
    if !unused.is_empty() {
        note += &format!("; not used: {}", unused.join(", "));
    }
    note.push(')');
    Ok(Found { format, columns, tags: Tags::new(format, &source.tags), note })
}

fn check_words(source: &Source) -> Result<(), DataError> {
    let known = roles::known(source.format);
    if let Some(role) = source.columns.keys().find(|role| !known.contains(&role.as_str())) {
        return Err(DataError::UnknownRole { path: source.path.clone(), role: role.clone(), known });
    }
    if let Some(tag) = source.tags.keys().find(|tag| !roles::TAGS.contains(&tag.as_str())) {
        return Err(DataError::UnknownTag { path: source.path.clone(), tag: tag.clone(), known: roles::TAGS.to_vec() });
    }
    Ok(())
}

/// The first rows that can be read. Faulty ones are left for the reading proper, unless there is nothing else.
fn sample(path: &Path, reader: &mut dyn RowReader) -> Result<Sample, DataError> {
    let mut sample = Sample { columns: Vec::new(), rows: Vec::new() };
    let mut first_fault = None;
    let mut faults = 0;
    while sample.rows.len() < ROWS_LOOKED_AT && faults < FAULTS_PASSED {
        let Some(row) = reader.next_row() else { break };
        let row = match row {
            Ok(row) if row.line == 1 && one_object(path, &row.body) => {
                let expected = "a JSON array, or one JSON object a line";
                let got = "one object over several lines".into();
                return Err(DataError::BrokenContainer { path: path.to_owned(), expected, got });
            }
            Ok(row) => row,
            // The reading proper will meet it again, after the rows before it.
            Err(_) if !sample.rows.is_empty() => break,
            Err(e) => return Err(e),
        };
        match row.body.value() {
            Ok(value) => {
                if let Value::Object(fields) = &value {
                    for name in fields.keys() {
                        if !sample.columns.contains(name) {
                            sample.columns.push(name.clone());
                        }
                    }
                }
                sample.rows.push(value);
            }
            Err((fault, column)) => {
                faults += 1;
                first_fault.get_or_insert_with(|| bad_row(path, row.line, column, fault));
            }
        }
    }
    match first_fault {
        _ if !sample.rows.is_empty() => Ok(sample),
        Some(fault) => Err(fault),
        None => Err(DataError::Empty { file: path.display().to_string() }),
    }
}

/// Whether a `.json` file (where jsonl is only a guess) begins an object that goes on in the next line.
fn one_object(path: &Path, first: &Body) -> bool {
    let unfinished = |bytes: &Vec<u8>| serde_json::from_slice::<Value>(bytes).is_err_and(|e| e.is_eof());
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) && matches!(first, Body::Json(b) if unfinished(b))
}

fn find(source: &Source, purpose: Use, sample: &Sample) -> Result<Format, DataError> {
    let path = &source.path;
    if sample.rows.iter().all(Value::is_string) {
        return Ok(Format::Text);
    }
    if let Some(kind) = other_task(sample) {
        return Err(DataError::OtherTask { path: path.clone(), kind });
    }
    for format in roles::FORMATS {
        let words_fit = source.columns.keys().all(|word| roles::named(format, word).is_some());
        if !words_fit {
            continue;
        }
        if let Ok(columns) = assign(source, format, sample)
            && holds(format, &columns, &source.tags, sample)
        {
            if format == Format::Text && source.columns.is_empty() && purpose == Use::Train {
                not_an_answer(path, sample)?;
            }
            return Ok(format);
        }
    }
    let expected = "a `format:`, or `columns:` that say which column is what (prompt and completion, instruction and output, messages, text)";
    Err(DataError::UnknownFormat { path: path.clone(), found: sample.columns.clone(), expected: expected.into() })
}

/// Columns that may well be what is to be learned from the text beside them.
const ANSWER_COLUMNS: [&str; 8] =
    ["label", "category", "intent", "class", "target", "summary", "sentiment", "translation"];

/// A text with a label beside it is more likely a task than a text to learn as it is, so the user must say which.
fn not_an_answer(path: &Path, sample: &Sample) -> Result<(), DataError> {
    match sample.columns.iter().find(|c| ANSWER_COLUMNS.contains(&c.to_ascii_lowercase().as_str())) {
        None => Ok(()),
        Some(answer) => {
            let expected = format!(
                "`format: text` to learn the text alone, or `columns: {{prompt: text, completion: {answer}}}` to learn {answer} from it"
            );
            Err(DataError::UnknownFormat { path: path.to_owned(), found: sample.columns.clone(), expected })
        }
    }
}

/// Files that hold something else than examples to imitate; training on them as if they did would be silently wrong.
fn other_task(sample: &Sample) -> Option<&'static str> {
    let has = |name: &str| sample.columns.iter().any(|c| c == name);
    if has("chosen") && has("rejected") {
        return Some("preference pairs (columns chosen and rejected)");
    }
    let judged = |row: &Value| row.get("label").or_else(|| row.get("kto_tag")).is_some_and(Value::is_boolean);
    sample.rows.iter().all(judged).then_some("answers judged good or bad (a true/false label)")
}

/// Whether the columns hold what the format says: conversations tell sharegpt and messages apart by their members' names.
fn holds(
    format: Format,
    columns: &BTreeMap<&'static str, String>,
    tags: &BTreeMap<String, String>,
    sample: &Sample,
) -> bool {
    let list = match format {
        Format::Sharegpt => "conversations",
        Format::Messages => "messages",
        _ => return true,
    };
    let Some(column) = columns.get(list) else { return false };
    let member = Tags::new(format, tags).role;
    let first_has_member = |list: &Value| match list {
        // csv and parquet files hold the list as text.
        Value::String(said) => serde_json::from_str::<Value>(said).is_ok_and(|list| list[0].get(&member).is_some()),
        list => list.get(0).is_some_and(|first| first.get(&member).is_some()),
    };
    sample.rows.iter().filter_map(|row| row.get(column)).any(first_has_member)
}

/// Why a role has no column.
enum Unassigned {
    NoSuchColumn { role: String, column: String },
    Missing { format: Format, role: &'static str, usual: &'static [&'static str] },
}

impl Unassigned {
    fn into_error(self, path: &Path, sample: &Sample) -> DataError {
        let (path, found) = (path.to_owned(), sample.columns.clone());
        match self {
            Unassigned::NoSuchColumn { role, column } => DataError::NoSuchColumn { path, role, column, found },
            Unassigned::Missing { format, role, usual } => {
                let expected = format!(
                    "{}'s {role} in a column named {}, or named in `columns: {{{role}: ...}}`",
                    format_name(format),
                    usual.join(" or ")
                );
                DataError::UnknownFormat { path, found, expected }
            }
        }
    }
}

fn assign(source: &Source, format: Format, sample: &Sample) -> Result<BTreeMap<&'static str, String>, Unassigned> {
    let mut columns = BTreeMap::new();
    // Rows that are bare strings have no columns; only plain text is written so.
    if sample.columns.is_empty() && format == Format::Text {
        return Ok(columns);
    }
    for (word, column) in &source.columns {
        if !sample.columns.contains(column) {
            return Err(Unassigned::NoSuchColumn { role: word.clone(), column: column.clone() });
        }
        if let Some(role) = roles::named(format, word) {
            columns.insert(role.name, column.clone());
        }
    }
    for role in roles::of(format) {
        if columns.contains_key(role.name) {
            continue;
        }
        let usual = role
            .usual
            .iter()
            .find(|name| sample.columns.iter().any(|c| c == **name) && !columns.values().any(|used| used == **name));
        match usual {
            Some(name) => {
                columns.insert(role.name, (*name).to_owned());
            }
            None if role.need == Need::Required => {
                return Err(Unassigned::Missing { format, role: role.name, usual: role.usual });
            }
            None => {}
        }
    }
    Ok(columns)
}
