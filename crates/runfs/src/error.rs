//! What can go wrong with a run folder: one variant per cause.

use crate::Fs;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum RunFsError {
    /// `needed` is what the file or folder had come to when the space ended, so it needs at least that; `free` is
    /// measured after what was written of it had been removed.
    #[error("the disk is full: {} needs at least {needed} bytes, {free} are free", path.display())]
    DiskFull { path: PathBuf, needed: u64, free: u64 },
    #[error("{} cannot be written: {source}", path.display())]
    ReadOnly { path: PathBuf, source: io::Error },
    /// A published folder that is not what was published; `path` is the file at fault.
    #[error("{}: {damage}", path.display())]
    Corrupt { path: PathBuf, damage: Damage },
    /// Another process, or another part of this one, holds the folder's lock. `pid` is unknown only if the lock file
    /// was altered by others.
    #[error("{} is in use by {}", dir.display(), holder(*pid))]
    InUse { dir: PathBuf, pid: Option<u32> },
    /// Of a staged file: absolute, leaving the folder, reserved for the manifest, or used before.
    #[error("{name:?} cannot be the name of a file in {}: {why}", dir.display())]
    Name { dir: PathBuf, name: String, why: &'static str },
    /// A value that JSON cannot hold, like a map with keys that are not text.
    #[error("{}: cannot be written as JSON: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("cannot {op} {}: {source}", path.display())]
    Io { op: &'static str, path: PathBuf, source: io::Error },
}

/// How a published folder differs from its manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("missing")]
    Missing,
    #[error("not in the manifest")]
    Extra,
    #[error("{got} bytes long, should be {expected}")]
    Length { expected: u64, got: u64 },
    #[error("its sha256 is {got}, should be {expected}")]
    Hash { expected: String, got: String },
    #[error("not a whole manifest: {why}")]
    Manifest { why: String },
}

impl RunFsError {
    /// `op` is a verb that stands before the path: "read", "create".
    pub fn io(op: &'static str, path: &Path, source: io::Error) -> RunFsError {
        match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => RunFsError::ReadOnly { path: path.to_owned(), source },
            _ => RunFsError::Io { op, path: path.to_owned(), source },
        }
    }

    /// Of an operation that writes: tells a full disk (`needed` bytes or more) and a read-only place from the rest.
    pub fn writing(fs: &dyn Fs, op: &'static str, path: &Path, needed: u64, source: io::Error) -> RunFsError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => match fs.free_bytes(path) {
                Ok(free) => RunFsError::DiskFull { path: path.to_owned(), needed, free },
                // Then that the disk is full is still the better thing to tell.
                Err(_) => RunFsError::Io { op, path: path.to_owned(), source },
            },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                RunFsError::ReadOnly { path: path.to_owned(), source }
            }
            _ => RunFsError::Io { op, path: path.to_owned(), source },
        }
    }

    /// The same error with `free` measured again, once partial files are gone.
    pub(crate) fn with_free_now(self, fs: &dyn Fs) -> RunFsError {
        match self {
            RunFsError::DiskFull { path, needed, free } => {
                let free = fs.free_bytes(&path).unwrap_or(free);
                RunFsError::DiskFull { path, needed, free }
            }
            other => other,
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
