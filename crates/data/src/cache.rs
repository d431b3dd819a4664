//! The token cache on disk: what `prepare` writes once and training reads back in any order.
//!
//! A cache is a folder that appears whole or not at all (written beside, synced, renamed):
//!
//! | file | holds |
//! |---|---|
//! | `tokens.bin` | every example's tokens, u32 little endian; the top bit says that the token is supervised |
//! | `train.idx`, `valid.idx` | 40 bytes an example: where its tokens are, and the file, line and row it came from |
//! | `quarantine.jsonl` | rows set aside, with reason and origin |
//! | `manifest.json` | the recipe, the inputs' hashes, the counts, and the hash of every other file |

use crate::dataset::{Counts, Example, Origin};
use crate::error::DataError;
use crate::hashing::{HashingWriter, hash_file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Changes whenever the layout or the meaning of a cache does, so that an older one is never read as a new one.
pub(crate) const LAYOUT_VERSION: u32 = 1;
pub(crate) const TOKENS: &str = "tokens.bin";
pub(crate) const QUARANTINE: &str = "quarantine.jsonl";
const MANIFEST: &str = "manifest.json";
const MANIFEST_BYTES_MAX: u64 = 64 << 20;
const ENTRY_BYTES: usize = 40;
const SUPERVISED: u32 = 1 << 31;

/// Where one example's tokens are and where they came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// First token's place in `tokens.bin`, in tokens.
    pub offset: u64,
    /// Line (or row) of the file; see `Origin`.
    pub line: u64,
    /// Running number of the row over all files: fragments of one row share it.
    pub row: u64,
    pub len: u32,
    /// Supervised tokens that count in the loss, so without position 0.
    pub supervised: u32,
    /// Place in the manifest's `sources`.
    pub file: u32,
}

impl Entry {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut out = [0; ENTRY_BYTES];
        for (i, word) in [self.offset, self.line, self.row].into_iter().enumerate() {
            out[8 * i..8 * i + 8].copy_from_slice(&word.to_le_bytes());
        }
        for (i, word) in [self.len, self.supervised, self.file, 0].into_iter().enumerate() {
            out[24 + 4 * i..28 + 4 * i].copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    fn from_bytes(b: &[u8; ENTRY_BYTES]) -> Self {
        let long = |i: usize| u64::from_le_bytes(std::array::from_fn(|k| b[8 * i + k]));
        let short = |i: usize| u32::from_le_bytes(std::array::from_fn(|k| b[24 + 4 * i + k]));
        Self { offset: long(0), line: long(1), row: long(2), len: short(0), supervised: short(1), file: short(2) }
    }
}

/// What a cache folder says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub layout: u32,
    /// Everything besides the inputs' bytes that the tokens depend on.
    pub recipe: serde_json::Value,
    pub inputs: Vec<Input>,
    /// One index a side: `train`, and `valid` when a share was split off.
    pub sides: BTreeMap<String, Counts>,
    pub notes: Vec<String>,
    pub files: BTreeMap<String, Mark>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Input {
    pub path: PathBuf,
    pub bytes: u64,
    pub sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub bytes: u64,
    pub sha256: String,
}

/// Appends examples to `tokens.bin`.
pub(crate) struct TokenWriter {
    path: PathBuf,
    out: BufWriter<HashingWriter<File>>,
    tokens: u64,
    scratch: Vec<u8>,
}

impl TokenWriter {
    pub fn create(dir: &Path) -> Result<Self, DataError> {
        let path = dir.join(TOKENS);
        let file = File::create(&path).map_err(DataError::io("create", &path))?;
        Ok(Self {
            path,
            out: BufWriter::with_capacity(1 << 20, HashingWriter::new(file)),
            tokens: 0,
            scratch: Vec::new(),
        })
    }

    /// Returns the place of the first token.
    pub fn push(&mut self, ids: &[u32], supervised: &[bool]) -> Result<u64, DataError> {
        let offset = self.tokens;
        self.scratch.clear();
        for (id, on) in ids.iter().zip(supervised) {
            if id & SUPERVISED != 0 {
                return Err(self.broken("token ids below 2^31", format!("token id {id}")));
            }
            let word = if *on { id | SUPERVISED } else { *id };
            self.scratch.extend_from_slice(&word.to_le_bytes());
        }
        self.out.write_all(&self.scratch).map_err(DataError::io("write", &self.path))?;
        self.tokens += ids.len() as u64;
        Ok(offset)
    }

    pub fn finish(self) -> Result<Mark, DataError> {
        finish(self.out, &self.path)
    }

    fn broken(&self, expected: &str, got: String) -> DataError {
        DataError::Cache { path: self.path.clone(), expected: expected.into(), got }
    }
}

/// A finished index.
pub(crate) struct Index {
    pub mark: Mark,
    pub counts: Counts,
}

/// Appends entries to an index and counts what they hold.
pub(crate) struct IndexWriter {
    path: PathBuf,
    out: BufWriter<HashingWriter<File>>,
    pub counts: Counts,
}

impl IndexWriter {
    pub fn create(dir: &Path, side: &str) -> Result<Self, DataError> {
        let path = dir.join(index_name(side));
        let file = File::create(&path).map_err(DataError::io("create", &path))?;
        Ok(Self { path, out: BufWriter::new(HashingWriter::new(file)), counts: Counts::default() })
    }

    pub fn push(&mut self, entry: Entry) -> Result<(), DataError> {
        self.out.write_all(&entry.to_bytes()).map_err(DataError::io("write", &self.path))?;
        self.counts.examples += 1;
        self.counts.tokens += u64::from(entry.len);
        self.counts.supervised_tokens += u64::from(entry.supervised);
        self.counts.longest = self.counts.longest.max(u64::from(entry.len));
        Ok(())
    }

    pub fn finish(self) -> Result<Index, DataError> {
        Ok(Index { mark: finish(self.out, &self.path)?, counts: self.counts })
    }
}

pub(crate) fn index_name(side: &str) -> String {
    format!("{side}.idx")
}

/// The entries of an index, one at a time.
pub(crate) fn entries(dir: &Path, side: &str) -> Result<impl Iterator<Item = Result<Entry, DataError>>, DataError> {
    let path = dir.join(index_name(side));
    let mut reader = BufReader::with_capacity(1 << 18, File::open(&path).map_err(DataError::io("open", &path))?);
    let mut left = entry_count(&path)?;
    Ok(std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let mut bytes = [0; ENTRY_BYTES];
        Some(reader.read_exact(&mut bytes).map(|()| Entry::from_bytes(&bytes)).map_err(DataError::io("read", &path)))
    }))
}

fn entry_count(path: &Path) -> Result<u64, DataError> {
    let bytes = std::fs::metadata(path).map_err(DataError::io("read", path))?.len();
    match bytes % ENTRY_BYTES as u64 {
        0 => Ok(bytes / ENTRY_BYTES as u64),
        _ => {
            let expected = format!("a whole number of entries of {ENTRY_BYTES} bytes");
            Err(DataError::Cache { path: path.to_owned(), expected, got: format!("{bytes} bytes") })
        }
    }
}

/// Flushes, syncs and closes a file of the cache.
pub(crate) fn finish(out: BufWriter<HashingWriter<File>>, path: &Path) -> Result<Mark, DataError> {
    let writer = out.into_inner().map_err(|e| DataError::io("write", path)(e.into_error()))?;
    let (file, bytes, sha256) = writer.finish();
    file.sync_all().map_err(DataError::io("sync", path))?;
    Ok(Mark { bytes, sha256 })
}

/// Writes the manifest into the staged folder and puts the folder in its place, replacing an older cache.
pub(crate) fn publish(staged: &Path, dir: &Path, manifest: &Manifest) -> Result<(), DataError> {
    let path = staged.join(MANIFEST);
    let bytes = serde_json::to_vec_pretty(manifest).map_err(|e| DataError::io("encode", &path)(e.into()))?;
    let mut file = File::create(&path).map_err(DataError::io("create", &path))?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(DataError::io("write", &path))?;
    sync_dir(staged)?;
    remove_if_there(dir)?;
    std::fs::rename(staged, dir).map_err(DataError::io("rename into place", dir))?;
    dir.parent().map_or(Ok(()), sync_dir)
}

pub(crate) fn remove_if_there(dir: &Path) -> Result<(), DataError> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(DataError::io("remove", dir)(e)),
        _ => Ok(()),
    }
}

fn sync_dir(dir: &Path) -> Result<(), DataError> {
    // Windows cannot open a folder as a file; its rename is durable by itself.
    if cfg!(unix) {
        File::open(dir).and_then(|d| d.sync_all()).map_err(DataError::io("sync", dir))?;
    }
    Ok(())
}

/// The manifest of a cache whose every file has the length and hash it names; `None` when there is no valid cache.
pub(crate) fn verified(dir: &Path) -> Result<Option<Manifest>, DataError> {
    let Some(manifest) = manifest(dir)? else { return Ok(None) };
    for (name, mark) in &manifest.files {
        match hash_file(&dir.join(name), &mut |_| true) {
            Ok((bytes, sha256)) if bytes == mark.bytes && sha256 == mark.sha256 => {}
            Ok(_) | Err(DataError::Io { .. }) => return Ok(None),
            Err(e) => return Err(e),
        }
    }
    Ok(Some(manifest))
}

/// What a folder's manifest says; `None` where there is none of this layout.
pub(crate) fn manifest(dir: &Path) -> Result<Option<Manifest>, DataError> {
    let path = dir.join(MANIFEST);
    match std::fs::metadata(&path) {
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(DataError::io("read", &path)(e)),
        Ok(meta) if meta.len() > MANIFEST_BYTES_MAX => return Ok(None),
        Ok(_) => {}
    }
    let bytes = std::fs::read(&path).map_err(DataError::io("read", &path))?;
    let manifest = serde_json::from_slice::<Manifest>(&bytes).ok();
    Ok(manifest.filter(|m| m.layout == LAYOUT_VERSION))
}

/// Reads one side of a cache. Holds eight bytes an example (its tokens and how many are supervised); everything else stays on
/// disk.
pub(crate) struct CacheReader {
    dir: PathBuf,
    tokens: File,
    index: File,
    pub lengths: Vec<u32>,
    /// Supervised tokens that count in the loss of the whole example.
    pub supervised: Vec<u32>,
    /// The first example of each source that has one, and the source's place in the plan.
    pub files: Vec<(usize, usize)>,
    pub longest: Option<(usize, usize)>,
    sources: Vec<Arc<str>>,
}

impl CacheReader {
    pub fn open(dir: &Path, side: &str, manifest: &Manifest) -> Result<Self, DataError> {
        let open = |name: &str| File::open(dir.join(name)).map_err(DataError::io("open", &dir.join(name)));
        let (tokens, index) = (open(TOKENS)?, open(&index_name(side))?);
        let sources: Vec<Arc<str>> = manifest.inputs.iter().map(|i| Arc::from(i.path.to_string_lossy())).collect();
        let token_count = tokens.metadata().map_err(DataError::io("read", dir))?.len() / 4;
        let count = entry_count(&dir.join(index_name(side)))? as usize;
        let (mut lengths, mut supervised) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut files: Vec<(usize, usize)> = Vec::new();
        let mut longest: Option<(usize, usize)> = None;
        for (i, entry) in entries(dir, side)?.enumerate() {
            let entry = entry?;
            let end = entry.offset.checked_add(u64::from(entry.len));
            if end.is_none_or(|end| end > token_count) || entry.file as usize >= sources.len() {
                let expected = format!("tokens within {token_count} and a file below {}", sources.len());
                return Err(DataError::Cache { path: dir.join(index_name(side)), expected, got: format!("{entry:?}") });
            }
            if longest.is_none_or(|(_, len)| entry.len as usize > len) {
                longest = Some((i, entry.len as usize));
            }
            if files.last().is_none_or(|(_, file)| *file != entry.file as usize) {
                files.push((i, entry.file as usize));
            }
            lengths.push(entry.len);
            supervised.push(entry.supervised);
        }
        Ok(Self { dir: dir.to_owned(), tokens, index, lengths, supervised, files, longest, sources })
    }

    pub fn example(&self, index: usize) -> Result<Example, DataError> {
        let entry = self.entry(index)?;
        // The length held in memory was checked against the file when it was opened.
        let mut words = vec![0; self.lengths[index] as usize * 4];
        read_exact_at(&self.tokens, &mut words, entry.offset * 4).map_err(DataError::io("read", &self.dir))?;
        let words = words.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        let (ids, supervised) = words.map(|w| (w & !SUPERVISED, w & SUPERVISED != 0)).unzip();
        Ok(Example { ids, supervised, origin: self.origin_of(entry)? })
    }

    pub fn origin(&self, index: usize) -> Result<Origin, DataError> {
        self.origin_of(self.entry(index)?)
    }

    fn entry(&self, index: usize) -> Result<Entry, DataError> {
        if index >= self.lengths.len() {
            return Err(DataError::OutOfRange { what: "example", index, len: self.lengths.len() });
        }
        let mut bytes = [0; ENTRY_BYTES];
        read_exact_at(&self.index, &mut bytes, (index * ENTRY_BYTES) as u64)
            .map_err(DataError::io("read", &self.dir))?;
        Ok(Entry::from_bytes(&bytes))
    }

    fn origin_of(&self, entry: Entry) -> Result<Origin, DataError> {
        let file = self.sources.get(entry.file as usize).cloned().ok_or_else(|| DataError::Cache {
            path: self.dir.clone(),
            expected: format!("a file below {}", self.sources.len()),
            got: format!("{entry:?}"),
        })?;
        Ok(Origin { file, line: entry.line })
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buf, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buf: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !buf.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buf, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => (buf, offset) = (&mut buf[n..], offset + n as u64),
        }
    }
    Ok(())
}
