//! What data can be refused for: one variant per cause, with file, line, expected and got.

use std::path::PathBuf;

/// A refusal that stops the whole run. What is wrong with one row is a [`RowFault`] inside `BadRow`.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("interrupted while preparing data")]
    Interrupted,
    #[error(transparent)]
    Text(#[from] crate::text::TextError),
    #[error("{}: cannot {op}: {source}", path.display())]
    Io { op: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{}: no such data file", path.display())]
    NoSuchFile { path: PathBuf },
    #[error("{}: a folder; expected a data file (jsonl, json, csv, tsv, parquet, txt; .gz or .zst of each)", path.display())]
    NotAFile { path: PathBuf },
    #[error("{}: the kind of file is not known from its name or its first bytes; expected jsonl, json, csv, tsv, parquet or txt, or .gz or .zst of one", path.display())]
    UnknownFileKind { path: PathBuf },
    #[error("{}: text in {encoding}; expected UTF-8", path.display())]
    Encoding { path: PathBuf, encoding: &'static str },
    #[error("{}: {got}; expected {expected}", path.display())]
    BrokenContainer { path: PathBuf, expected: &'static str, got: String },
    #[error("{file}:{line}:{column}: {got}; expected {expected}")]
    BrokenArray { file: String, line: u64, column: u64, expected: &'static str, got: String },
    #[error("{}: parquet is not built into this program (cargo feature `parquet`)", path.display())]
    ParquetNotBuilt { path: PathBuf },
    #[error("{}: no format is recognised; columns found: {}; expected {expected}", path.display(), found.join(", "))]
    UnknownFormat { path: PathBuf, found: Vec<String>, expected: String },
    #[error("{}: {kind}, which supervised training does not take; expected alpaca, sharegpt, messages, prompt_completion or text", path.display())]
    OtherTask { path: PathBuf, kind: &'static str },
    #[error("{}: columns: unknown role {role:?}; expected one of {}", path.display(), known.join(", "))]
    UnknownRole { path: PathBuf, role: String, known: Vec<&'static str> },
    #[error("{}: tags: unknown tag {tag:?}; expected one of {}", path.display(), known.join(", "))]
    UnknownTag { path: PathBuf, tag: String, known: Vec<&'static str> },
    #[error("{}: column {column:?}, named for {role}, is not in the file; columns found: {}", path.display(), found.join(", "))]
    NoSuchColumn { path: PathBuf, role: String, column: String, found: Vec<String> },
    #[error("{fault_at}: {fault}")]
    BadRow { fault_at: Position, fault: Box<RowFault> },
    #[error("{file}: {rows} rows and none of them is usable ({why})")]
    NothingLeft { file: String, rows: u64, why: String },
    #[error("{file}: empty; expected at least one row")]
    Empty { file: String },
    #[error(
        "a validation share of {share} leaves one side empty: {rows} rows; expected at least 2 rows and a share above 0 and below 1"
    )]
    Share { share: f64, rows: u64 },
    #[error("{}: the same bytes as {}, so its rows are not unseen", path.display(), seen.display())]
    Unseen { path: PathBuf, seen: PathBuf },
    #[error("`{key}`: {why}")]
    Mixture { key: &'static str, why: String },
    #[error("{}: not what the run in {} was trained on (sha256 {got}, then {expected}), so replaying it would rehearse something else", path.display(), run.display())]
    ReplayChanged { path: PathBuf, run: PathBuf, expected: String, got: String },
    #[error("{}: changed while it was being read", path.display())]
    ChangedWhileReading { path: PathBuf },
    #[error("{}: token cache: {got}; expected {expected}", path.display())]
    Cache { path: PathBuf, expected: String, got: String },
    #[error("{what} {index} asked for; there are {len}")]
    OutOfRange { what: &'static str, index: usize, len: usize },
    #[error("{}: {got}; expected a LLaMA-Factory dataset_info.json: an object of named entries", path.display())]
    DatasetInfo { path: PathBuf, got: String },
    #[error("{}: no entry {name:?}; nearest: {}", path.display(), nearest.join(", "))]
    NoSuchEntry { path: PathBuf, name: String, nearest: Vec<String> },
    #[error("{}: entry {name:?} loads from {from}; expected a local file_name (Athanor downloads nothing)", path.display())]
    RemoteEntry { path: PathBuf, name: String, from: String },
    #[error("{}: entry {name:?}: {field} is {got}; expected {expected}", path.display())]
    EntryField { path: PathBuf, name: String, field: String, expected: &'static str, got: String },
}

/// Where in a file a fault lies. Lines and columns count from 1; the column is in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub file: String,
    pub line: u64,
    pub column: Option<u64>,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.column {
            Some(column) => write!(f, "{}:{}:{column}", self.file, self.line),
            None => write!(f, "{}:{}", self.file, self.line),
        }
    }
}

/// What is wrong with one row: it stops the run, or with `BadRows::Quarantine` the row is set aside and counted under `reason()`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    #[error("invalid UTF-8: byte 0x{byte:02x}")]
    InvalidUtf8 { byte: u8 },
    #[error("malformed JSON: {why}")]
    MalformedJson { why: String },
    #[error("nested too deep; the limit is {limit} levels")]
    TooDeep { limit: usize },
    #[error("the record is longer than record_bytes_max, {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("{field}: a NUL character; expected text")]
    Nul { field: String },
    #[error("the record is {got}; expected an object with named fields")]
    NotAnObject { got: &'static str },
    #[error("missing field {field:?}; fields found: {found}")]
    MissingField { field: String, found: String },
    #[error("{field} is {got}; expected {expected}")]
    WrongType { field: String, expected: &'static str, got: &'static str },
    #[error("{field} is empty or blank; expected text")]
    EmptyText { field: String },
    #[error("{field} is {got:?}; expected one of {expected}")]
    UnknownName { field: String, expected: String, got: String },
    #[error("{field}: {got}; expected {expected}")]
    Conversation { field: String, expected: &'static str, got: String },
    #[error("{got} fields; the header has {expected}")]
    UnequalFields { expected: usize, got: usize },
    #[error("malformed table: {why}")]
    MalformedTable { why: &'static str },
    #[error("{field} holds {got}, which text training cannot use")]
    Unsupported { field: String, got: String },
    /// What the template or the tokenizer says of the row; `reason` is `TextError::reason`.
    #[error("{why}")]
    Text { reason: &'static str, why: String },
    #[error("{tokens} tokens; seq_len_max is {limit}")]
    TooLong { tokens: usize, limit: usize },
}

impl RowFault {
    /// The key under which rows set aside for this fault are counted.
    pub fn reason(&self) -> &'static str {
        match self {
            RowFault::InvalidUtf8 { .. } => "invalid UTF-8",
            RowFault::MalformedJson { .. } => "malformed JSON",
            RowFault::TooDeep { .. } => "too deep",
            RowFault::TooLarge { .. } => "too large",
            RowFault::Nul { .. } => "NUL character",
            RowFault::NotAnObject { .. } => "not an object",
            RowFault::MissingField { .. } => "missing field",
            RowFault::WrongType { .. } => "wrong type",
            RowFault::EmptyText { .. } => "empty text",
            RowFault::UnknownName { .. } => "unknown name",
            RowFault::Conversation { .. } => "malformed conversation",
            RowFault::UnequalFields { .. } => "wrong number of fields",
            RowFault::MalformedTable { .. } => "malformed table",
            RowFault::Unsupported { .. } => "unsupported",
            RowFault::Text { reason, .. } => reason,
            RowFault::TooLong { .. } => "too long",
        }
    }
}

impl DataError {
    pub(crate) fn io(op: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> DataError {
        let path = path.to_owned();
        move |source| DataError::Io { op, path, source }
    }
}
