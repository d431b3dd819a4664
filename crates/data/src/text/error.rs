//! What text can be refused for.

use std::path::PathBuf;

/// One variant per cause. [`TextError::is_row`] tells a fault of one row from a fault of the model folder or the plan.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    #[error("{}: cannot be read: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: {bytes} bytes, over the limit of {limit}", path.display())]
    TooLarge { path: PathBuf, bytes: u64, limit: u64 },
    #[error("{}: not found; a model folder needs a tokenizer.json (a slow tokenizer must be converted first)", path.display())]
    NoTokenizer { path: PathBuf },
    #[error("{}: not a tokenizer: {why}", path.display())]
    BadTokenizer { path: PathBuf, why: String },
    #[error("{}: {why}", path.display())]
    BadConfig { path: PathBuf, why: String },
    #[error("{}: {role} is {token:?}, which the tokenizer does not know", path.display())]
    UnknownSpecialToken { path: PathBuf, role: String, token: String },
    #[error("{}: no eos_token, so that the end of an answer cannot be learned", path.display())]
    NoEos { path: PathBuf },

    #[error("{origin}: the template does not compile: {why}")]
    BadTemplate { origin: String, why: String },
    #[error("{origin}: {bytes} bytes of template, over the limit of {limit}")]
    TemplateTooLarge { origin: String, bytes: usize, limit: usize },
    #[error("{origin}: several templates ({names}) and none is called \"default\"")]
    NoDefaultTemplate { origin: String, names: String },
    #[error("plain template {template:?}: {why}")]
    BadPlainTemplate { template: String, why: String },
    #[error("{origin}: wrong chat template: {why}")]
    WrongTemplate { origin: String, why: String },
    #[error(
        "{origin}: the template ends an assistant's turn without {eos:?} or any other control token, so that the model would never learn to stop"
    )]
    MissingEos { origin: String, eos: String },

    #[error("a message is malformed: {why}")]
    BadMessage { why: String },
    #[error("no messages")]
    NoMessages,
    #[error("the template refuses this conversation: {why}")]
    Raised { why: String },
    #[error("the template fails on this conversation: {why}")]
    Render { why: String },
    #[error("the template used more than {limit} steps")]
    OutOfFuel { limit: u64 },
    #[error("{bytes} bytes of rendered text, over the limit of {limit}")]
    TextTooLarge { bytes: usize, limit: usize },
    #[error("message {message} (role {role}) does not appear in the rendered text: the template drops it")]
    Dropped { message: usize, role: String },
    #[error(
        "where the assistant's answer {message} lies in the rendered text cannot be told: the template rewrites earlier turns"
    )]
    SpanNotFound { message: usize },
    #[error("{answers} answers in one conversation, over the limit of {limit} for a template without generation tags")]
    TooManyAnswers { answers: usize, limit: usize },
    #[error("the text holds the reserved character U+{code:04X}, which stands for no text")]
    ReservedCharacter { code: u32 },
    #[error("control-token text {text:?} inside the content cannot be written in ordinary tokens")]
    ControlText { text: String },
    #[error("the plain template needs {{{field}}}, which the row does not have")]
    MissingField { field: String },
    #[error("the plain template cannot hold this conversation: {why}")]
    NotPlain { why: &'static str },
    #[error("the text starts with two {bos:?}: the template writes one and so does the text")]
    DoubledBos { bos: String },
    #[error("no supervised token: {why}")]
    NothingSupervised { why: &'static str },
    #[error("the tokenizer fails: {why}")]
    Tokenize { why: String },
}

impl TextError {
    /// True where only the row is at fault, so that it can be set aside.
    pub fn is_row(&self) -> bool {
        use TextError::*;
        match self {
            Io { .. }
            | TooLarge { .. }
            | NoTokenizer { .. }
            | BadTokenizer { .. }
            | BadConfig { .. }
            | UnknownSpecialToken { .. }
            | NoEos { .. } => false,
            BadTemplate { .. }
            | TemplateTooLarge { .. }
            | NoDefaultTemplate { .. }
            | BadPlainTemplate { .. }
            | WrongTemplate { .. }
            | MissingEos { .. } => false,
            BadMessage { .. }
            | NoMessages
            | Raised { .. }
            | Render { .. }
            | OutOfFuel { .. }
            | TextTooLarge { .. }
            | Dropped { .. }
            | SpanNotFound { .. } => true,
            ReservedCharacter { .. }
            | ControlText { .. }
            | MissingField { .. }
            | NotPlain { .. }
            | DoubledBos { .. }
            | NothingSupervised { .. }
            | Tokenize { .. }
            | TooManyAnswers { .. } => true,
        }
    }

    /// A short name for counting rejected rows by reason.
    pub fn reason(&self) -> &'static str {
        use TextError::*;
        match self {
            Io { .. } => "unreadable",
            TooLarge { .. } => "too large",
            NoTokenizer { .. } => "no tokenizer",
            BadTokenizer { .. } => "bad tokenizer",
            BadConfig { .. } => "bad configuration",
            UnknownSpecialToken { .. } => "unknown special token",
            NoEos { .. } => "no eos token",
            BadTemplate { .. } => "bad template",
            TemplateTooLarge { .. } => "template too large",
            NoDefaultTemplate { .. } => "no default template",
            BadPlainTemplate { .. } => "bad plain template",
            WrongTemplate { .. } => "wrong template",
            MissingEos { .. } => "missing eos",
            BadMessage { .. } => "malformed message",
            NoMessages => "no messages",
            Raised { .. } => "refused by the template",
            Render { .. } => "template failed",
            OutOfFuel { .. } => "template out of fuel",
            TextTooLarge { .. } => "text too large",
            Dropped { .. } => "message dropped by the template",
            SpanNotFound { .. } => "assistant span not found",
            TooManyAnswers { .. } => "too many answers",
            ReservedCharacter { .. } => "reserved character",
            ControlText { .. } => "control-token text",
            MissingField { .. } => "missing field",
            NotPlain { .. } => "not plain",
            DoubledBos { .. } => "doubled bos",
            NothingSupervised { .. } => "no supervised token",
            Tokenize { .. } => "not tokenisable",
        }
    }
}
