//! A file of JSON lines that only grows, until a resume cuts it back.

use crate::RunFsError;
use crate::fs::{Fs, FsFile, parent_of};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A longer line is not one that this crate's callers write; the file ends before it.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// An open journal. A line is handed to the operating system whole, so that kill -9 loses none that was appended;
/// after [`Journal::sync`] neither does a power cut.
pub struct Journal<'a> {
    fs: &'a dyn Fs,
    path: PathBuf,
    file: Box<dyn FsFile>,
    /// End of the last whole line.
    len: u64,
}

impl<'a> Journal<'a> {
    /// Opens for appending, creating the file if absent. A torn last line is cut off.
    pub fn open(fs: &'a dyn Fs, path: &Path) -> Result<Journal<'a>, RunFsError> {
        let failed = |op| move |e| RunFsError::writing(fs, op, path, 0, e);
        let new = !fs.exists(path);
        if !new {
            Journal::cut_back(fs, path, &|_| true)?;
        }
        let file = fs.append(path).map_err(failed("open"))?;
        if new {
            fs.sync_dir(parent_of(path)).map_err(failed("sync the folder of"))?;
        }
        let len = fs.len(path).map_err(failed("read the length of"))?;
        Ok(Journal { fs, path: path.to_owned(), file, len })
    }

    /// Adds a line, without fsync. If that fails, no part of the line stays.
    pub fn append(&mut self, line: &(impl Serialize + ?Sized)) -> Result<(), RunFsError> {
        let json = |source| RunFsError::Json { path: self.path.clone(), source };
        let mut bytes = serde_json::to_vec(line).map_err(json)?;
        bytes.push(b'\n');
        if let Err(e) = self.file.write_all(&bytes).and_then(|()| self.file.flush()) {
            // The first error is the one to tell; a part that stays is cut off when the journal is opened again.
            let _ = self.fs.truncate(&self.path, self.len);
            return Err(RunFsError::writing(self.fs, "write", &self.path, bytes.len() as u64, e));
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Returns when every line so far would survive a power cut.
    pub fn sync(&mut self) -> Result<(), RunFsError> {
        self.file.sync_all().map_err(|e| RunFsError::writing(self.fs, "sync", &self.path, 0, e))
    }

    /// Cuts the file after its longest run of whole lines for which `keep` holds, durably. A file that does not exist
    /// stays so.
    pub fn cut_back(fs: &dyn Fs, path: &Path, keep: &dyn Fn(&Value) -> bool) -> Result<(), RunFsError> {
        if !fs.exists(path) {
            return Ok(());
        }
        let end = kept_bytes(fs, path, keep).map_err(|e| RunFsError::io("read", path, e))?;
        let len = fs.len(path).map_err(|e| RunFsError::io("read the length of", path, e))?;
        if end == len {
            return Ok(());
        }
        let cut = fs.truncate(path, end).and_then(|()| fs.append(path)?.sync_all());
        // Synced at once: lines appended over a cut that a power cut undoes would mix with what had been there.
        cut.map_err(|e| RunFsError::writing(fs, "truncate", path, 0, e))
    }
}

fn kept_bytes(fs: &dyn Fs, path: &Path, keep: &dyn Fn(&Value) -> bool) -> io::Result<u64> {
    let mut lines = BufReader::new(fs.reader(path)?);
    let mut line = Vec::new();
    let mut end = 0;
    loop {
        line.clear();
        let len = lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(end);
        }
        match serde_json::from_slice(&line) {
            Ok(value) if keep(&value) => end += len as u64,
            _ => return Ok(end),
        }
    }
}
