use std::path::PathBuf;

/// What an evaluation can refuse.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    #[error("interrupted; {finished} of {parts} parts are finished")]
    Interrupted { finished: usize, parts: usize },
    #[error(transparent)]
    Data(#[from] data::DataError),
    #[error(transparent)]
    Text(#[from] data::TextError),
    #[error(transparent)]
    Model(#[from] model::ModelError),
    #[error(transparent)]
    Folder(#[from] runfs::RunFsError),
    #[error("cannot {op} a scratch file: {source}")]
    Scratch { op: &'static str, source: std::io::Error },

    // --- suites
    #[error("{}: cannot be read: {source}", path.display())]
    SuiteRead { path: PathBuf, source: std::io::Error },
    #[error("{}: {why}", path.display())]
    SuiteParse { path: PathBuf, why: String },
    /// `key`: what to change.
    #[error("{}:{line}: `{key}`: {got}; expected {expected}", path.display())]
    SuiteKey { path: PathBuf, line: usize, key: String, got: String, expected: String },
    #[error("{} and {}: two suites of the name {name:?}", first.display(), second.display())]
    SameName { name: String, first: PathBuf, second: PathBuf },
    #[error("{}: {name:?} is a suite and the skill of others", path.display())]
    NameOfBoth { path: PathBuf, name: String },
    #[error("{}: `measures.command` runs {program:?}, and commands are run only where that is allowed", path.display())]
    CommandNotAllowed { path: PathBuf, program: String },

    // --- rows
    #[error("{}: no rows", path.display())]
    NoRows { path: PathBuf },
    #[error("{}: more than {limit} rows", path.display())]
    TooManyRows { path: PathBuf, limit: u64 },
    #[error(
        "{origin}: {tokens} tokens with the answer's; the model was made for at most {limit} (max_position_embeddings)"
    )]
    TooLong { origin: String, tokens: usize, limit: usize },
    #[error("{origin}: {why}")]
    Row { origin: String, why: String },
    #[error("{origin}: the loss is {value}")]
    BadLoss { origin: String, value: f64 },
    #[error("{origin}: the pattern of `measures.regex` gave up: {why}")]
    Pattern { origin: String, why: String },
    #[error("{program}: cannot be run: {source}")]
    Command { program: String, source: std::io::Error },

    // --- conditions
    #[error("condition {condition:?}: {why}")]
    Condition { condition: String, why: String },
}

impl EvalError {
    pub fn is_interrupt(&self) -> bool {
        matches!(self, EvalError::Interrupted { .. } | EvalError::Data(data::DataError::Interrupted))
    }
}
