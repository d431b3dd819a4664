//! The file system as the durability code sees it.

use crate::RunFsError;
use std::io;
use std::path::{Path, PathBuf};

/// A file system. Object-safe on purpose: a run holds `&dyn Fs`.
///
/// What is written is safe from a power cut only after [`FsFile::sync_all`] of the file, and its name only after
/// [`Fs::sync_dir`] of the folder it is in.
pub trait Fs: Send + Sync {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// A new file for writing; fails if it exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;
    /// Opens for appending, creating it if absent.
    fn append(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// For files that need not fit in memory.
    fn reader(&self, path: &Path) -> io::Result<Box<dyn io::Read>>;
    fn len(&self, path: &Path) -> io::Result<u64>;
    fn exists(&self, path: &Path) -> bool;
    fn is_dir(&self, path: &Path) -> bool;
    /// Sorted names of the folder's entries, without the folder's own path.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;
    /// Replaces a file at `to`. Both in the same folder.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Swaps two entries of the same folder in one step; [`io::ErrorKind::Unsupported`] where that does not exist.
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes free on the file system that holds `path` (or would, if it does not exist yet).
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file. Writes may be short; use `write_all`.
pub trait FsFile: io::Write + Send {
    /// Returns when the content and the length are on the device.
    fn sync_all(&mut self) -> io::Result<()>;
}

/// Creates `dir` and what is missing above it, such that the whole chain survives a power cut.
pub fn create_dir_durable(fs: &dyn Fs, dir: &Path) -> Result<(), RunFsError> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|d| *d != Path::new("") && !fs.exists(d)).collect();
    for new in missing.into_iter().rev() {
        fs.create_dir_all(new).map_err(|e| RunFsError::writing(fs, "create the folder", new, 0, e))?;
        let parent = parent_of(new);
        fs.sync_dir(parent).map_err(|e| RunFsError::writing(fs, "sync", parent, 0, e))?;
    }
    Ok(())
}

/// Tries whether files can be written in `dir`, by creating and removing one. If `dir` does not exist, the nearest
/// folder above it is tried and nothing is created. For a refusal before hours of work.
pub fn writable(fs: &dyn Fs, dir: &Path) -> Result<(), RunFsError> {
    const PROBE: &[u8] = b"probe\n";
    let exists = |d: &&Path| *d == Path::new("") || fs.exists(d);
    let nearest = dir.ancestors().find(exists).unwrap_or(Path::new(""));
    let nearest = if nearest == Path::new("") { Path::new(".") } else { nearest };
    let probe = nearest.join(format!(".writable-{}.tmp", std::process::id()));
    let failed = |e| RunFsError::writing(fs, "write", &probe, PROBE.len() as u64, e);
    if fs.exists(&probe) {
        fs.remove_file(&probe).map_err(failed)?;
    }
    let mut file = fs.create(&probe).map_err(failed)?;
    let written = file.write_all(PROBE).and_then(|()| file.sync_all());
    drop(file);
    // The probe goes in any case; the first error is the one to tell.
    let removed = fs.remove_file(&probe);
    written.and(removed).map_err(failed)
}

/// The folder a path is in; `.` for a bare name.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// `path` with `suffix` after its last component: `a/b` → `a/b.tmp`.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    // By its components: appending to the text of `a/b/` would give a name inside the folder.
    let mut name: std::ffi::OsString = path.components().as_path().into();
    name.push(suffix);
    name.into()
}
