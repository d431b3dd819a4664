//! Durable run folders. Everything that must survive a crash is written through [`Fs`], which has two
//! implementations: the real one and a faulty one that loses power, fills up and fails on demand.

use std::io;
use std::path::{Path, PathBuf};

/// A file system as the durability code sees it. Object-safe on purpose: a run holds `&dyn Fs`.
pub trait Fs: Send + Sync {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// A new file for writing; fails if it exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;
    /// Opens for appending, creating it if absent.
    fn append(&self, path: &Path) -> io::Result<Box<dyn FsFile>>;
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    fn len(&self, path: &Path) -> io::Result<u64>;
    fn exists(&self, path: &Path) -> bool;
    /// Sorted names of the folder's entries.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes free on the file system that holds `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

pub trait FsFile: io::Write + Send {
    fn sync_all(&mut self) -> io::Result<()>;
}

// ---- CONTRACT (bodies to come; may move into modules, keep the paths) ---------------------------
// pub struct RealFs;                       impl Fs
// pub struct FaultyFs                      impl Fs: in memory; crash images at every fsync, fail the Nth operation, disk of N bytes
// pub fn publish_file(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(), RunFsError>
//     temporary name in the same folder, fsync, rename over, fsync the parent
// pub struct Staged<'a> { fn file(&mut self, name: &str, write: &mut dyn FnMut(&mut dyn io::Write) -> io::Result<()>) -> Result<(), RunFsError> }   // sub/dir/name allowed
// pub fn publish_dir(fs: &dyn Fs, dir: &Path, fill: &mut dyn FnMut(&mut Staged) -> Result<(), RunFsError>) -> Result<Manifest, RunFsError>
//     `<dir>.tmp` (an old one removed), files fsynced, manifest.json {files: name -> {bytes, sha256}} last, fsync, rename (an existing dir is replaced
//     with no moment without a valid one: rename old aside to `<dir>.old`, rename new, remove old; recovery understands both), fsync parent
// pub fn verify_dir(fs: &dyn Fs, dir: &Path) -> Result<Manifest, RunFsError>   // every hash and length; no extra or missing file
// pub struct Checkpoints { pub dir: PathBuf, pub keep: usize }   step-00000050 folders
//     fn publish(&self, fs, step: u64, fill) -> Result<PathBuf>;  fn newest_valid(&self, fs) -> Result<Found { step, path, skipped: Vec<Skipped{path, why}> } | None>;  fn rotate(&self, fs, protect: &[u64])
// pub struct RunLock; RunLock::acquire(dir: &Path) -> Result<RunLock, RunFsError::InUse{pid, dir}>   (advisory OS file lock + pid inside; freed on kill -9)
// pub struct Journal: an append-only JSONL file. Journal::open(fs, path); append(&serde_json::Value or impl Serialize) (no fsync); sync(); 
//     pub fn cut_back(fs, path, keep: impl Fn(&serde_json::Value)->bool): keeps the longest prefix of whole lines for which keep holds
// pub trait Clock { fn now_unix_ms(&self)->u64; fn monotonic(&self)->Duration }  SystemClock, FixedClock
// pub fn sha256_file(path) / sha256_hex(bytes)
// pub fn writable(fs, dir) -> Result<(), RunFsError>   // probe: creates and removes a file; RELIABILITY 5
// RunFsError: one variant per cause with path; DiskFull{path, needed, free}, ReadOnly, Corrupt{path,...}, InUse{pid,..}, Io{op,path,source}
