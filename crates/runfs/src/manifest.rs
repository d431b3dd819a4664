//! `manifest.json`: every file of a published folder with its length and hash.

use crate::fs::Fs;
use crate::hash::{hash_file, sha256_hex};
use crate::{Damage, RunFsError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// Name of the manifest in a published folder.
pub const MANIFEST: &str = "manifest.json";
/// Folders in a published folder; more is not something this crate has written.
const DEPTH_MAX: usize = 16;

/// The files of a published folder by their name relative to it, with `/` between folders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub files: BTreeMap<String, Entry>,
    /// Hash of `files` as compact JSON, so that damage to the manifest is not taken for damage to a file.
    sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub bytes: u64,
    pub sha256: String,
}

/// Checks a published folder: every file of the manifest is there with its length and hash, and no other.
///
/// # Errors
/// [`RunFsError::Corrupt`] with the file at fault, [`RunFsError::Io`] if one cannot be read.
pub fn verify_dir(fs: &dyn Fs, dir: &Path) -> Result<Manifest, RunFsError> {
    verify_dir_with(fs, dir, &mut |_, _| true)
}

/// As [`verify_dir`]; `on` is told the bytes read so far and those of all files, and says whether to go on. Where it says
/// no, reading ends with an [`RunFsError::Io`].
pub fn verify_dir_with(fs: &dyn Fs, dir: &Path, on: &mut dyn FnMut(u64, u64) -> bool) -> Result<Manifest, RunFsError> {
    let manifest = Manifest::read(fs, dir)?;
    let (mut read, bytes_total) = (0, manifest.bytes());
    let mut on = |bytes: u64| {
        read += bytes;
        on(read, bytes_total)
    };
    let mut extra = files_below(fs, dir)?;
    for (name, entry) in &manifest.files {
        let path = dir.join(name);
        let corrupt = |damage| RunFsError::Corrupt { path: path.clone(), damage };
        if !extra.remove(name) {
            return Err(corrupt(Damage::Missing));
        }
        let (bytes, sha256) = hash_file(fs, &path, &mut on).map_err(|e| RunFsError::io("read", &path, e))?;
        if bytes != entry.bytes {
            return Err(corrupt(Damage::Length { expected: entry.bytes, got: bytes }));
        }
        if sha256 != entry.sha256 {
            return Err(corrupt(Damage::Hash { expected: entry.sha256.clone(), got: sha256 }));
        }
    }
    match extra.iter().find(|name| *name != MANIFEST) {
        Some(name) => Err(RunFsError::Corrupt { path: dir.join(name), damage: Damage::Extra }),
        None => Ok(manifest),
    }
}

impl Manifest {
    pub(crate) fn new(files: BTreeMap<String, Entry>) -> Manifest {
        let sha256 = hash_of(&files);
        Manifest { files, sha256 }
    }

    /// Of all files together, as they should be.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|entry| entry.bytes).fold(0, u64::saturating_add)
    }

    /// The bytes of the file. There is only one way to write a manifest: [`Manifest::read`] accepts no other.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let value = serde_json::json!(self);
        format!("{value:#}\n").into_bytes()
    }

    /// Reads the manifest of `dir` without looking at the files.
    pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Manifest, RunFsError> {
        let path = dir.join(MANIFEST);
        let bytes = match fs.read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(RunFsError::Corrupt { path, damage: Damage::Missing });
            }
            Err(e) => return Err(RunFsError::io("read", &path, e)),
        };
        let bad = |why: String| RunFsError::Corrupt { path: path.clone(), damage: Damage::Manifest { why } };
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        if manifest.to_bytes() != bytes {
            return Err(bad("not written as this program writes it".into()));
        }
        let got = hash_of(&manifest.files);
        if got != manifest.sha256 {
            return Err(bad(format!("its list has sha256 {got}, should be {}", manifest.sha256)));
        }
        Ok(manifest)
    }
}

fn hash_of(files: &BTreeMap<String, Entry>) -> String {
    sha256_hex(serde_json::json!(files).to_string().as_bytes())
}

/// Names of all files below `dir`, relative to it.
fn files_below(fs: &dyn Fs, dir: &Path) -> Result<BTreeSet<String>, RunFsError> {
    let mut files = BTreeSet::new();
    let mut folders = vec![(String::new(), dir.to_owned(), 0)];
    while let Some((prefix, folder, depth)) = folders.pop() {
        for name in fs.list(&folder).map_err(|e| RunFsError::io("list", &folder, e))? {
            let path: PathBuf = folder.join(&name);
            // A name that is not Unicode is none of ours; it is shown as best it can be.
            let name = format!("{prefix}{}", name.to_string_lossy());
            if !fs.is_dir(&path) {
                files.insert(name);
            } else if depth < DEPTH_MAX {
                folders.push((format!("{name}/"), path, depth + 1));
            } else {
                return Err(RunFsError::Corrupt { path, damage: Damage::Extra });
            }
        }
    }
    Ok(files)
}
