//! A file system in memory that loses power, fills up and fails on demand.
//!
//! It keeps two states apart: what a running program sees (the page cache) and what is on the device. The content of
//! a file reaches the device with its fsync, an entry of a folder (created, renamed, removed) with the fsync of that
//! folder, and nothing before that is certain: [`FaultyFs::crash_images`] gives the states in which a power cut could
//! leave the device, with any of the unsynced entries and with unsynced content missing, torn or zeroed. Real file
//! systems are kinder; code that survives this one survives them.

use crate::fs::{Fs, FsFile};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod crash;
mod disk;

pub use crash::CrashImage;
use disk::{Access, Disk, ROOT};

/// What an operation fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// EIO, in any operation.
    Io,
    /// ENOSPC, in the operations that take space.
    NoSpace,
}

/// See the module. Clones share the same disk.
#[derive(Clone, Debug, Default)]
pub struct FaultyFs {
    disk: Arc<Mutex<Disk>>,
}

impl FaultyFs {
    /// An empty disk without limit that does not fail.
    pub fn new() -> FaultyFs {
        FaultyFs::default()
    }

    /// The `n`th operation from now (from 1) that `fault` can happen to fails with it, once.
    pub fn fail_after(&self, n: u64, fault: Fault) {
        self.disk().countdown = Some((n, fault));
    }

    /// Whether the fault of the last [`FaultyFs::fail_after`] has happened.
    pub fn fired(&self) -> bool {
        self.disk().countdown.is_none()
    }

    /// The disk holds this many bytes of file content.
    pub fn set_capacity(&self, bytes: u64) {
        self.disk().capacity = Some(bytes);
    }

    /// A write takes at most this many bytes.
    pub fn shorten_writes(&self, bytes_max: usize) {
        self.disk().write_max = bytes_max.max(1);
    }

    /// From now on the file system is mounted read-only.
    pub fn make_read_only(&self) {
        self.disk().read_only = true;
    }

    /// Makes [`Fs::exchange`] unsupported, as on many network file systems.
    pub fn without_exchange(self) -> FaultyFs {
        self.disk().exchanges = false;
        self
    }

    /// Operations so far, without [`Fs::exists`] and [`Fs::is_dir`].
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// From now on every operation adds the states that a power cut right after it could leave.
    pub fn record_crashes(&self) {
        self.disk().recorded = Some(Vec::new());
    }

    /// The recorded states, each once; recording ends.
    pub fn take_crashes(&self) -> Vec<CrashImage> {
        let mut seen = BTreeSet::new();
        let mut images = self.disk().recorded.take().unwrap_or_default();
        images.retain(|image| seen.insert(image.fs.contents()));
        images
    }

    /// The states in which a power cut now could leave the device.
    pub fn crash_images(&self) -> Vec<CrashImage> {
        crash::images(&self.disk(), "now")
    }

    /// Every file and what it holds, every folder with nothing: for comparing two disks.
    pub fn contents(&self) -> BTreeMap<PathBuf, Option<Arc<Vec<u8>>>> {
        self.disk().contents()
    }

    /// An independent disk with the same content, all of it durable, and no faults.
    pub fn copy(&self) -> FaultyFs {
        FaultyFs::from_disk(self.disk().settled())
    }

    /// Changes a file behind the program's back, as a failing disk does.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.disk().damage(path, change)
    }

    fn from_disk(disk: Disk) -> FaultyFs {
        FaultyFs { disk: Arc::new(Mutex::new(disk)) }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // A test that panicked elsewhere must not hide its message behind a second one here.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one operation: counts it, lets it fail if it is its turn, records the crash states after it.
    fn operate<T>(
        &self,
        access: Access,
        name: &str,
        path: &Path,
        op: impl FnOnce(&mut Disk) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut disk = self.disk();
        disk.admit(access)?;
        let result = op(&mut disk);
        if access != Access::Read && disk.recorded.is_some() {
            let images = crash::images(&disk, &format!("{}: {name} {}", disk.operations, path.display()));
            if let Some(recorded) = &mut disk.recorded {
                recorded.extend(images);
            }
        }
        result
    }

    fn open(&self, path: &Path, ino: usize) -> Box<dyn FsFile> {
        Box::new(FaultyFile { fs: self.clone(), path: path.to_owned(), ino })
    }
}

impl Fs for FaultyFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.operate(Access::Grow, "create_dir_all", dir, |disk| {
            let mut at = ROOT;
            for name in names(dir) {
                at = match disk.child(at, &name)? {
                    Some(ino) => ino,
                    None => disk.new_dir(at, name)?,
                };
            }
            disk.entries(at).map(|_| ())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let ino = self.operate(Access::Grow, "create", path, |disk| {
            let (dir, name) = disk.parent(path)?;
            if disk.child(dir, &name)?.is_some() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            disk.new_file(dir, name)
        })?;
        Ok(self.open(path, ino))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        let ino = self.operate(Access::Grow, "append", path, |disk| {
            let (dir, name) = disk.parent(path)?;
            match disk.child(dir, &name)? {
                Some(ino) => disk.content(ino).map(|_| ino),
                None => disk.new_file(dir, name),
            }
        })?;
        Ok(self.open(path, ino))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.operate(Access::Read, "read", path, |disk| Ok(disk.content(disk.find(path)?)?.to_vec()))
    }

    fn reader(&self, path: &Path) -> io::Result<Box<dyn io::Read>> {
        self.read(path).map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn io::Read>)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        self.operate(Access::Read, "len", path, |disk| Ok(disk.content(disk.find(path)?)?.len() as u64))
    }

    fn exists(&self, path: &Path) -> bool {
        self.disk().find(path).is_ok()
    }

    fn is_dir(&self, path: &Path) -> bool {
        let disk = self.disk();
        disk.find(path).is_ok_and(|ino| disk.entries(ino).is_ok())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.operate(Access::Read, "list", dir, |disk| {
            Ok(disk.entries(disk.find(dir)?)?.keys().map(PathBuf::from).collect())
        })
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.operate(Access::Change, "truncate", path, |disk| {
            let ino = disk.find(path)?;
            disk.resize(ino, len)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(Access::Change, "rename", from, |disk| disk.rename(from, to))
    }

    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        self.operate(Access::Change, "exchange", a, |disk| disk.exchange(a, b))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.operate(Access::Change, "remove_file", path, |disk| {
            disk.content(disk.find(path)?)?;
            disk.unlink(path)
        })
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.operate(Access::Change, "remove_dir_all", dir, |disk| disk.remove_tree(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.operate(Access::Change, "sync_dir", dir, |disk| {
            let ino = disk.find(dir)?;
            disk.sync_entries(ino)
        })
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.disk().free_bytes())
    }
}

struct FaultyFile {
    fs: FaultyFs,
    path: PathBuf,
    ino: usize,
}

impl io::Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let ino = self.ino;
        self.fs.operate(Access::Grow, "write", &self.path, |disk| disk.write(ino, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FsFile for FaultyFile {
    fn sync_all(&mut self) -> io::Result<()> {
        let ino = self.ino;
        // Space is often only taken when the content is written out.
        self.fs.operate(Access::Grow, "sync_all", &self.path, |disk| disk.sync_content(ino))
    }
}

/// The names on the way to `path`. There is one root, and `.` is it.
fn names(path: &Path) -> Vec<OsString> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::ParentDir => drop(names.pop()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    names
}
