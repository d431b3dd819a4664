//! Why a scan ends otherwise than well.

use crate::clean::CleanError;
use crate::input::InputError;
use crate::near::NearError;
use crate::{answers, clean};
use data::{DataError, TextError};
use measures::quality::WordListError;
use runfs::RunFsError;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("interrupted while scanning")]
    Interrupted,
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Tokenizer(#[from] TextError),
    #[error("the list of words: {0}")]
    Words(#[from] WordListError),
    #[cfg(feature = "ner")]
    #[error(transparent)]
    Names(#[from] crate::ner::NerError),
    #[error("models for names are not built into this program (cargo feature `ner`)")]
    NamesNotBuilt,
    #[error(transparent)]
    Near(#[from] NearError),
    #[error(transparent)]
    Answers(#[from] answers::Error),
    #[error(transparent)]
    Clean(#[from] clean::CleanError),
    #[error(transparent)]
    RunFs(#[from] RunFsError),
    #[error("{}: cannot {op}: {source}", path.display())]
    Io { op: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{}: {got}; expected the folder of a part, as --shard leaves it", path.display())]
    NoShard { path: PathBuf, got: String },
    #[error("{}: a part of another scan ({what} differ)", path.display())]
    OtherScan { path: PathBuf, what: &'static str },
    #[error("{given} parts of {of}; missing: {missing}")]
    MissingShards { given: usize, of: u32, missing: String },
    #[error("part {index} is given twice")]
    SameShard { index: u32 },
    #[error("{}: exists and is no report of a scan", path.display())]
    OutExists { path: PathBuf },
}

impl ScanError {
    pub(crate) fn disk(op: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ScanError {
        let path = path.to_owned();
        move |source| ScanError::Io { op, path, source }
    }

    /// Whether it is a signal that ended the scan.
    pub fn is_interrupt(&self) -> bool {
        matches!(
            self,
            ScanError::Interrupted
                | ScanError::Near(NearError::Interrupted)
                | ScanError::Answers(answers::Error::Interrupted)
                | ScanError::Clean(CleanError::Interrupted)
                | ScanError::Data(DataError::Interrupted)
        )
    }
}
