//! Files and folders that appear whole or not at all.

use crate::RunFsError;
use crate::fs::{Fs, create_dir_durable, parent_of, with_suffix};
use crate::hash::Hashing;
use crate::manifest::{Entry, MANIFEST, Manifest};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

/// What is being written, or what is about to be removed. Never read.
pub(crate) const TMP: &str = ".tmp";
/// The previous folder while it is replaced, where two folders cannot change places in one step.
pub(crate) const OLD: &str = ".old";
const BUFFER_BYTES: usize = 1 << 20;

/// Replaces the file at `path` (or creates it, with the folders above). A reader, also after a power cut, finds the
/// previous content or `bytes`.
///
/// On an error nothing temporary stays, and the previous content is there unless only making the new one durable
/// failed.
pub fn publish_file(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(), RunFsError> {
    replace_file(fs, path, bytes.len() as u64, &mut |out| out.write_all(bytes))
}

/// As [`publish_file`], for files that need not fit in memory. Buffered and synced; `write` may write in pieces of any
/// size. An error that `write` makes itself comes back as the source of [`RunFsError::Io`].
pub fn publish_file_with(
    fs: &dyn Fs,
    path: &Path,
    write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> Result<(), RunFsError> {
    replace_file(fs, path, 0, write)
}

/// `least` bytes are known to be needed.
fn replace_file(
    fs: &dyn Fs,
    path: &Path,
    least: u64,
    write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> Result<(), RunFsError> {
    let parent = parent_of(path);
    create_dir_durable(fs, parent)?;
    let tmp = with_suffix(path, TMP);
    let failed = |op, needed: u64| move |e| RunFsError::writing(fs, op, path, needed.max(least), e);
    remove_if_there(fs, &tmp)?;
    let mut replace = || {
        let file = fs.create(&tmp).map_err(failed("create", 0))?;
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, Hashing::new(file));
        let written = write(&mut out).and_then(|()| out.flush());
        let (hashing, _unwritten) = out.into_parts();
        written.map_err(failed("write", hashing.offered()))?;
        let (mut file, bytes, _) = hashing.finish();
        file.sync_all().map_err(failed("sync", bytes))?;
        drop(file);
        fs.rename(&tmp, path).map_err(failed("rename", bytes))?;
        fs.sync_dir(parent).map_err(|e| RunFsError::writing(fs, "sync", parent, 0, e))
    };
    replace().map_err(|error: RunFsError| {
        // The first error is the one to tell; what could not be removed goes with the next publish.
        let _ = remove_if_there(fs, &tmp);
        error.with_free_now(fs)
    })
}

/// Replaces the folder `dir` (or creates it, with the folders above) by what `fill` stages. A reader, also after a
/// power cut, finds the previous folder or the new one, whole.
///
/// Where the file system can swap two folders in one step there is no moment without `dir`. Elsewhere there is one
/// between two renames; [`recover_dir`] ends it, and this function calls it first.
///
/// On an error nothing temporary stays, and the previous folder is there unless only making the new one durable
/// failed.
pub fn publish_dir(
    fs: &dyn Fs,
    dir: &Path,
    fill: &mut dyn FnMut(&mut Staged) -> Result<(), RunFsError>,
) -> Result<Manifest, RunFsError> {
    create_dir_durable(fs, parent_of(dir))?;
    recover_dir(fs, dir)?;
    stage(fs, dir, fill).and_then(|manifest| swap_in(fs, dir).map(|()| manifest)).map_err(|error| {
        // The first error is the one to tell; what could not be removed goes with the next publish.
        let _ = recover_dir(fs, dir);
        error.with_free_now(fs)
    })
}

/// Ends what an interrupted [`publish_dir`] of `dir` has left: a folder that had been set aside returns to its place,
/// leftovers are removed. Whoever may find such a state calls it before looking, holding the folder's lock.
pub fn recover_dir(fs: &dyn Fs, dir: &Path) -> Result<(), RunFsError> {
    let (tmp, old) = (with_suffix(dir, TMP), with_suffix(dir, OLD));
    let parent = parent_of(dir);
    if !fs.exists(dir) && fs.exists(&old) {
        fs.rename(&old, dir).map_err(|e| RunFsError::writing(fs, "rename", &old, 0, e))?;
    }
    for leftover in [&tmp, &old] {
        if fs.exists(leftover) {
            // What takes its place must be durable before its files go: a power cut could bring the name back.
            fs.sync_dir(parent).map_err(|e| RunFsError::writing(fs, "sync", parent, 0, e))?;
            fs.remove_dir_all(leftover).map_err(|e| RunFsError::writing(fs, "remove", leftover, 0, e))?;
        }
    }
    Ok(())
}

/// A folder being filled.
pub struct Staged<'a> {
    fs: &'a dyn Fs,
    /// Where it will be, for errors.
    dir: &'a Path,
    tmp: PathBuf,
    files: BTreeMap<String, Entry>,
    bytes: u64,
}

impl Staged<'_> {
    /// Writes a file; `name` may have folders (`a/b/c.json`). Buffered, hashed on the way and synced; `write` may
    /// write in pieces of any size. An error that `write` makes itself comes back as the source of
    /// [`RunFsError::Io`].
    pub fn file(
        &mut self,
        name: &str,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), RunFsError> {
        self.check_name(name)?;
        let path = self.tmp.join(name);
        let parent = parent_of(&path);
        let (fs, dir, before) = (self.fs, self.dir, self.bytes);
        let failed =
            |op, taken| move |e| with_path(RunFsError::writing(fs, op, dir, before + taken, e), &dir.join(name));
        self.fs.create_dir_all(parent).map_err(failed("create the folder of", 0))?;
        let file = self.fs.create(&path).map_err(failed("create", 0))?;
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, Hashing::new(file));
        let written = write(&mut out).and_then(|()| out.flush());
        let (hashing, _unwritten) = out.into_parts();
        written.map_err(failed("write", hashing.offered()))?;
        let (mut file, bytes, sha256) = hashing.finish();
        file.sync_all().map_err(failed("sync", bytes))?;
        self.bytes += bytes;
        self.files.insert(name.to_owned(), Entry { bytes, sha256 });
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), RunFsError> {
        let plain = !name.is_empty()
            && name.split('/').all(|part| {
                let mut parts = Path::new(part).components();
                matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
            });
        let why = if !plain {
            "not a plain relative path"
        } else if name == MANIFEST {
            "the manifest's"
        } else if self.files.contains_key(name) {
            "used before"
        } else {
            return Ok(());
        };
        Err(RunFsError::Name { dir: self.dir.to_owned(), name: name.to_owned(), why })
    }

    /// Makes the folders durable, deepest first, and the manifest before its own folder.
    fn finish(self) -> Result<Manifest, RunFsError> {
        let Staged { fs, dir, tmp, files, bytes } = self;
        let folders: BTreeSet<PathBuf> = files
            .keys()
            .flat_map(|name| Path::new(name).ancestors().skip(1))
            .chain([Path::new("")])
            .map(|d| tmp.join(d))
            .collect();
        let manifest = Manifest::new(files);
        let content = manifest.to_bytes();
        let failed = |op| {
            let needed = bytes + content.len() as u64;
            move |e| with_path(RunFsError::writing(fs, op, dir, needed, e), &dir.join(MANIFEST))
        };
        let mut file = fs.create(&tmp.join(MANIFEST)).map_err(failed("create"))?;
        file.write_all(&content).map_err(failed("write"))?;
        file.sync_all().map_err(failed("sync"))?;
        // In this order a folder stands before those in it.
        for folder in folders.iter().rev() {
            fs.sync_dir(folder).map_err(failed("sync the folder of"))?;
        }
        Ok(manifest)
    }
}

/// Fills `<dir>.tmp` until it is whole and durable.
fn stage(
    fs: &dyn Fs,
    dir: &Path,
    fill: &mut dyn FnMut(&mut Staged) -> Result<(), RunFsError>,
) -> Result<Manifest, RunFsError> {
    let tmp = with_suffix(dir, TMP);
    fs.create_dir_all(&tmp).map_err(|e| RunFsError::writing(fs, "create the folder", dir, 0, e))?;
    let mut staged = Staged { fs, dir, tmp, files: BTreeMap::new(), bytes: 0 };
    fill(&mut staged)?;
    staged.finish()
}

/// Puts `<dir>.tmp` in the place of `dir` and removes what was there.
fn swap_in(fs: &dyn Fs, dir: &Path) -> Result<(), RunFsError> {
    let (tmp, old, parent) = (with_suffix(dir, TMP), with_suffix(dir, OLD), parent_of(dir));
    let rename = |from: &Path, to: &Path| {
        fs.rename(from, to).map_err(|e| RunFsError::writing(fs, "rename", from, 0, e))?;
        fs.sync_dir(parent).map_err(|e| RunFsError::writing(fs, "sync", parent, 0, e))
    };
    if !fs.exists(dir) {
        return rename(&tmp, dir);
    }
    match fs.exchange(&tmp, dir) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::Unsupported => {
            rename(dir, &old)?;
            rename(&tmp, dir)?;
        }
        Err(e) => return Err(RunFsError::writing(fs, "exchange", dir, 0, e)),
    }
    recover_dir(fs, dir)
}

fn remove_if_there(fs: &dyn Fs, path: &Path) -> Result<(), RunFsError> {
    if fs.exists(path) {
        fs.remove_file(path).map_err(|e| RunFsError::writing(fs, "remove", path, 0, e))?;
    }
    Ok(())
}

/// A full disk names the folder that is published, whose bytes it counts; other errors name the file.
fn with_path(error: RunFsError, path: &Path) -> RunFsError {
    match error {
        RunFsError::Io { op, source, .. } => RunFsError::Io { op, path: path.to_owned(), source },
        RunFsError::ReadOnly { source, .. } => RunFsError::ReadOnly { path: path.to_owned(), source },
        other => other,
    }
}
