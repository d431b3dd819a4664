//! From what the user typed to the files that are meant.

use super::InputError;
use data::{DataError, Format, Source};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file to be scanned.
#[derive(Clone, Debug)]
pub struct File {
    /// Its place among the scanned files: `Row::file`.
    pub index: u32,
    pub source: Source,
    /// As the user named it.
    pub shown: String,
    /// On disk.
    pub bytes: u64,
    /// With `bytes`, tells whether the file is still the same.
    pub modified: Option<SystemTime>,
}

impl File {
    /// A file whose kind of rows is found by looking, or told.
    ///
    /// # Errors
    /// A file that is missing, or a folder.
    pub fn new(index: u32, path: &Path, format: Option<Format>) -> Result<Self, DataError> {
        let io = |source| DataError::Io { op: "open", path: path.to_owned(), source };
        let meta = match std::fs::metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(DataError::NoSuchFile { path: path.to_owned() });
            }
            other => other.map_err(io)?,
        };
        if meta.is_dir() {
            return Err(DataError::NotAFile { path: path.to_owned() });
        }
        let absolute = std::path::absolute(path).map_err(io)?;
        let source = Source { path: absolute, format, columns: BTreeMap::new(), tags: BTreeMap::new(), task: None };
        let shown = path.display().to_string();
        Ok(Self { index, source, shown, bytes: meta.len(), modified: meta.modified().ok() })
    }

    /// Whether the file is as it was when it was found.
    pub(crate) fn unchanged(&self) -> bool {
        let meta = std::fs::metadata(&self.source.path);
        meta.is_ok_and(|meta| meta.len() == self.bytes && meta.modified().ok() == self.modified)
    }
}

/// The files that the patterns mean, in the order of the patterns, those of one pattern sorted, and each once. A pattern that
/// is the name of a file means that file, whatever characters it has.
///
/// # Errors
/// A missing file, a folder, a pattern that fits nothing.
pub fn files(patterns: &[String]) -> Result<Vec<File>, InputError> {
    let mut found: Vec<File> = Vec::new();
    let mut known: HashSet<PathBuf> = HashSet::new();
    for pattern in patterns {
        for path in matches(pattern)? {
            let file = File::new(found.len() as u32, &path, None)?;
            let real = std::fs::canonicalize(&path).unwrap_or_else(|_| file.source.path.clone());
            if known.insert(real) {
                found.push(file);
            }
        }
    }
    if found.is_empty() { Err(InputError::NoFiles) } else { Ok(found) }
}

fn matches(pattern: &str) -> Result<Vec<PathBuf>, InputError> {
    if Path::new(pattern).exists() || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![pattern.into()]);
    }
    let bad = |e: glob::PatternError| InputError::Pattern { pattern: pattern.to_owned(), why: e.msg.to_owned() };
    let mut paths = Vec::new();
    for path in glob::glob(pattern).map_err(bad)? {
        let unread = |e: glob::GlobError| {
            let path = e.path().to_owned();
            DataError::Io { op: "read", path, source: e.into() }
        };
        let path = path.map_err(unread)?;
        // `data/*` means the files there.
        if !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() { Err(InputError::NoMatch { pattern: pattern.to_owned() }) } else { Ok(paths) }
}
