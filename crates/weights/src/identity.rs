//! What makes a base model the same one: a hash over its configuration and its weights.

use crate::WeightsError;
use crate::layout::Layout;
use crate::read::open_regular;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

const CONFIG: &str = "config.json";
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes after which the caller is told: some thirty times a second.
const TOLD_BYTES: u64 = 16 << 20;

/// A directory's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Over the names and hashes of `files`, in their order. 64 hex digits.
    pub sha256: String,
    /// `config.json`, then the index if there is one, then the weight files.
    pub files: Vec<FileIdentity>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    pub name: String,
    pub bytes: u64,
    pub modified: Option<SystemTime>,
    pub sha256: String,
}

/// Hashes `config.json` and every byte of every weight file of a model directory, streaming.
///
/// That costs a full read: a second or so per gigabyte, minutes for a model of hundreds of gigabytes on a slow disk.
/// Keep the result where that matters, and hash again only when [`Identity::looks_unchanged`] says no.
pub fn identity(dir: &Path) -> Result<Identity, WeightsError> {
    identity_with(dir, &mut |_, _| true)
}

/// As [`identity`]; `on` is told the bytes read so far and those of all files, and says whether to go on.
///
/// # Errors
/// `Interrupted` where `on` says no.
pub fn identity_with(dir: &Path, on: &mut dyn FnMut(u64, u64) -> bool) -> Result<Identity, WeightsError> {
    let layout = Layout::find(dir)?;
    let config = dir.join(CONFIG);
    let paths: Vec<&Path> = std::iter::once(config.as_path()).chain(layout.files()).collect();
    // What cannot be asked for its length is refused where it is opened.
    let bytes_total = paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|m| m.len()).sum();
    let (mut read, mut told) = (0, 0);
    let mut go_on = |bytes: u64, last: bool| {
        read += bytes;
        if !last && read - told < TOLD_BYTES {
            return Ok(());
        }
        told = read;
        if on(read, bytes_total) { Ok(()) } else { Err(WeightsError::Interrupted) }
    };
    let mut all = Sha256::new();
    let mut files = Vec::new();
    for path in paths {
        let file = hash_file(path, &mut |bytes| go_on(bytes, false))?;
        all.update(format!("{}  {}\n", file.sha256, file.name));
        files.push(file);
    }
    go_on(0, true)?;
    Ok(Identity { sha256: hex(all), files })
}

/// [`identity`]'s hash alone.
pub fn sha256_checkpoint(dir: &Path) -> Result<String, WeightsError> {
    Ok(identity(dir)?.sha256)
}

impl Identity {
    /// Whether each file still has its length and its time of change. Cheap, and no proof: a file can be altered with
    /// its time put back.
    pub fn looks_unchanged(&self, dir: &Path) -> bool {
        self.files.iter().all(|f| {
            let now = fs::metadata(dir.join(&f.name));
            now.is_ok_and(|m| m.len() == f.bytes && f.modified.is_some() && m.modified().ok() == f.modified)
        })
    }
}

fn hash_file(path: &Path, on: &mut dyn FnMut(u64) -> Result<(), WeightsError>) -> Result<FileIdentity, WeightsError> {
    let mut file = open_regular(path)?;
    // A time before 1970 has no form that is written down.
    let modified = file.metadata().and_then(|m| m.modified()).ok().filter(|t| *t >= SystemTime::UNIX_EPOCH);
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => {
                hash.update(&chunk[..n]);
                bytes += n as u64;
                on(n as u64)?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(WeightsError::io("read", path, e)),
        }
    }
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(FileIdentity { name, bytes, modified, sha256: hex(hash) })
}

pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
