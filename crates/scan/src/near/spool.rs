//! Sketches on disk. Four files a shard: one record a row, the texts end to end, the bands' keys, and sampled shingles.
//!
//! Keys are written in blocks of [`BLOCK_ROWS`] rows, band by band inside a block, so that one band of all rows is read
//! without the others. A fifth file, written last, says that the four are whole.

use super::sketch::{Prints, Sketch};
use super::table::Entry;
use super::{NearError, RowId, SetId, Settings, Shard};
use measures::near::BANDS;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BLOCK_ROWS: usize = 4096;
const RECORD_BYTES: usize = 144;
/// A sampled shingle: its hash, and its row's place in the shard.
const SAMPLE_BYTES: usize = 12;
/// Changes with the format of the files and with what a sketch is.
const VERSION: u32 = 1;

/// Takes the sketches of one shard. Its files are deleted when it is dropped unless it was closed.
pub struct Index {
    spool: Spool,
    rows: BufWriter<File>,
    texts: BufWriter<File>,
    bands: BufWriter<File>,
    samples: BufWriter<File>,
    /// Keys of the rows since the last whole block, row by row.
    block: Vec<[u32; BANDS]>,
}

/// A shard's files. They are deleted when this is dropped, unless [`Spool::keep`] was called or they were opened.
#[derive(Debug)]
pub struct Spool {
    files: Files,
    about: About,
    owned: bool,
}

#[derive(Clone, Debug)]
struct Files {
    rows: PathBuf,
    texts: PathBuf,
    bands: PathBuf,
    samples: PathBuf,
    about: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct About {
    version: u32,
    shard: Shard,
    settings: Settings,
    rows: u64,
    text_bytes: u64,
    samples: u64,
}

impl Files {
    fn of(folder: &Path, shard: Shard) -> Self {
        let name = |end| folder.join(format!("near-{}-of-{}.{end}", shard.index, shard.count));
        Self {
            rows: name("rows"),
            texts: name("texts"),
            bands: name("bands"),
            samples: name("samples"),
            about: name("json"),
        }
    }

    fn all(&self) -> [&Path; 5] {
        [&self.about, &self.rows, &self.texts, &self.bands, &self.samples]
    }
}

impl Index {
    /// Files of an earlier scan by the same shard are replaced.
    pub fn create(folder: &Path, shard: Shard, settings: Settings) -> Result<Self, NearError> {
        if !(0.5..=1.0).contains(&settings.jaccard) {
            return Err(NearError::Threshold { got: settings.jaccard });
        }
        let files = Files::of(folder, shard);
        match std::fs::remove_file(&files.about) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(NearError::io("remove", &files.about)(e)),
            _ => {}
        }
        let about = About { version: VERSION, shard, settings, rows: 0, text_bytes: 0, samples: 0 };
        // From here on an error deletes what was made.
        let spool = Spool { files, about, owned: true };
        let create = |path: &Path| {
            let file = File::create(path).map_err(NearError::io("create", path))?;
            Ok(BufWriter::with_capacity(1 << 18, file))
        };
        Ok(Self {
            rows: create(&spool.files.rows)?,
            texts: create(&spool.files.texts)?,
            bands: create(&spool.files.bands)?,
            samples: create(&spool.files.samples)?,
            block: Vec::with_capacity(BLOCK_ROWS),
            spool,
        })
    }

    pub fn push(&mut self, sketch: &Sketch) -> Result<(), NearError> {
        let Spool { files, about, .. } = &mut self.spool;
        self.rows.write_all(&record(sketch, about.text_bytes)).map_err(NearError::io("write", &files.rows))?;
        self.texts.write_all(sketch.text.as_bytes()).map_err(NearError::io("write", &files.texts))?;
        for hash in &sketch.samples {
            let mut bytes = [0; SAMPLE_BYTES];
            bytes[..8].copy_from_slice(&hash.to_le_bytes());
            bytes[8..].copy_from_slice(&(about.rows as u32).to_le_bytes());
            self.samples.write_all(&bytes).map_err(NearError::io("write", &files.samples))?;
        }
        about.samples += sketch.samples.len() as u64;
        about.rows += 1;
        about.text_bytes += sketch.text.len() as u64;
        self.block.push(sketch.bands);
        if self.block.len() == BLOCK_ROWS {
            self.write_block()?;
        }
        Ok(())
    }

    /// Rows so far.
    pub fn len(&self) -> u64 {
        self.spool.about.rows
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn close(mut self) -> Result<Spool, NearError> {
        self.write_block()?;
        let Self { spool, rows, texts, bands, samples, .. } = self;
        let Files { rows: rows_path, texts: texts_path, bands: bands_path, samples: samples_path, .. } = &spool.files;
        let files = [(rows, rows_path), (texts, texts_path), (bands, bands_path), (samples, samples_path)];
        for (file, path) in files {
            file.into_inner().map_err(|e| NearError::io("write", path)(e.into_error()))?;
        }
        let about =
            serde_json::to_vec(&spool.about).map_err(|e| NearError::io("write", &spool.files.about)(e.into()))?;
        std::fs::write(&spool.files.about, about).map_err(NearError::io("write", &spool.files.about))?;
        Ok(spool)
    }

    fn write_block(&mut self) -> Result<(), NearError> {
        let mut column = Vec::with_capacity(4 * self.block.len());
        for band in 0..BANDS {
            column.clear();
            self.block.iter().for_each(|keys| column.extend_from_slice(&keys[band].to_le_bytes()));
            self.bands.write_all(&column).map_err(NearError::io("write", &self.spool.files.bands))?;
        }
        self.block.clear();
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if self.owned {
            for path in self.files.all() {
                // A file that is left is no harm: the next scan replaces it.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

impl Spool {
    /// What another process closed and kept.
    pub fn open(folder: &Path, shard: Shard) -> Result<Self, NearError> {
        let files = Files::of(folder, shard);
        let text = std::fs::read(&files.about).map_err(NearError::io("read", &files.about))?;
        let damaged = |path: &Path, got: String| NearError::Damaged { path: path.to_owned(), got };
        let about: About = serde_json::from_slice(&text).map_err(|e| damaged(&files.about, e.to_string()))?;
        if about.version != VERSION || about.shard != shard {
            return Err(damaged(&files.about, "a spool of another version or shard".to_owned()));
        }
        let wanted = [
            (&files.rows, about.rows.saturating_mul(RECORD_BYTES as u64)),
            (&files.texts, about.text_bytes),
            (&files.bands, about.rows.saturating_mul(4 * BANDS as u64)),
            (&files.samples, about.samples.saturating_mul(SAMPLE_BYTES as u64)),
        ];
        for (path, bytes) in wanted {
            let len = std::fs::metadata(path).map_err(NearError::io("read", path))?.len();
            if len != bytes {
                return Err(damaged(path, format!("{len} bytes of {bytes}")));
            }
        }
        Ok(Self { files, about, owned: false })
    }

    /// Leaves the files for a later [`Spool::open`].
    pub fn keep(mut self) {
        self.owned = false;
    }

    pub(super) fn rows(&self) -> usize {
        self.about.rows as usize
    }

    /// Reads the row records in the order they were pushed.
    pub(super) fn each_row(&self, mut take: impl FnMut(Entry, [u8; 64])) -> Result<(), NearError> {
        let path = &self.files.rows;
        let file = File::open(path).map_err(NearError::io("open", path))?;
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut bytes = [0; RECORD_BYTES];
        for _ in 0..self.about.rows {
            file.read_exact(&mut bytes).map_err(NearError::io("read", path))?;
            let (entry, glance) = parse(&bytes);
            let end = entry.text_at.checked_add(u64::from(entry.text_len));
            if end.is_none_or(|end| end > self.about.text_bytes) || entry.asked_len > entry.text_len {
                return Err(NearError::Damaged { path: path.clone(), got: "a text beyond the end".to_owned() });
            }
            take(entry, glance);
        }
        Ok(())
    }

    pub(super) fn samples(&self) -> u64 {
        self.about.samples
    }

    /// Place of the row, and hash, of each sampled shingle.
    pub(super) fn each_sample(&self, mut take: impl FnMut(u32, u64)) -> Result<(), NearError> {
        let path = &self.files.samples;
        let file = File::open(path).map_err(NearError::io("open", path))?;
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut bytes = [0; SAMPLE_BYTES];
        for _ in 0..self.about.samples {
            file.read_exact(&mut bytes).map_err(NearError::io("read", path))?;
            let [a, b, c, d, e, f, g, h, row @ ..] = bytes;
            take(u32::from_le_bytes(row), u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        }
        Ok(())
    }

    /// The keys of one band, in the order the rows were pushed.
    pub(super) fn band(&self, band: usize, mut take: impl FnMut(usize, u32)) -> Result<(), NearError> {
        let path = &self.files.bands;
        let file = File::open(path).map_err(NearError::io("open", path))?;
        let mut bytes = vec![0; 4 * BLOCK_ROWS];
        let rows = self.rows();
        for start in (0..rows).step_by(BLOCK_ROWS) {
            let len = BLOCK_ROWS.min(rows - start);
            let at = 4 * (start * BANDS + band * len) as u64;
            let column = &mut bytes[..4 * len];
            file.read_exact_at(column, at).map_err(NearError::io("read", path))?;
            for (i, key) in column.chunks_exact(4).enumerate() {
                take(start + i, u32::from_le_bytes([key[0], key[1], key[2], key[3]]));
            }
        }
        Ok(())
    }
}

/// The settings that all shards were made with.
pub(super) fn agreed_settings(spools: &[Spool]) -> Result<Settings, NearError> {
    let Some(first) = spools.first() else { return Ok(Settings::default()) };
    let expected = first.about.settings;
    match spools.iter().find(|s| s.about.settings != expected) {
        Some(other) => Err(NearError::Settings {
            path: other.files.about.clone(),
            expected: format!("{expected:?}"),
            got: format!("{:?}", other.about.settings),
        }),
        None => Ok(expected),
    }
}

/// The normal forms of all shards.
pub(super) struct Texts {
    files: Vec<(PathBuf, File)>,
}

impl Texts {
    pub fn open(spools: &[Spool]) -> Result<Self, NearError> {
        let open = |spool: &Spool| {
            let path = spool.files.texts.clone();
            let file = File::open(&path).map_err(NearError::io("open", &path))?;
            Ok((path, file))
        };
        Ok(Self { files: spools.iter().map(open).collect::<Result<_, _>>()? })
    }

    pub fn read(&self, entry: &Entry) -> Result<String, NearError> {
        let (path, file) = &self.files[usize::from(entry.shard)];
        let mut bytes = vec![0; entry.text_len as usize];
        file.read_exact_at(&mut bytes, entry.text_at).map_err(NearError::io("read", path))?;
        let text = String::from_utf8(bytes).ok().filter(|t| t.is_char_boundary(entry.asked_len as usize));
        text.ok_or_else(|| NearError::Damaged { path: path.clone(), got: "bytes that are no text".to_owned() })
    }
}

fn record(sketch: &Sketch, text_at: u64) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    let mut at = 0;
    let mut put = |field: &[u8]| {
        bytes[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    };
    put(&sketch.row.line.to_le_bytes());
    put(&text_at.to_le_bytes());
    let Prints { exact, normal, bare, asked } = sketch.prints;
    [exact, normal[0], normal[1], bare, asked].iter().for_each(|print| put(&print.to_le_bytes()));
    put(&sketch.row.file.to_le_bytes());
    put(&(sketch.text.len() as u32).to_le_bytes());
    put(&sketch.asked_len.to_le_bytes());
    put(&sketch.set.0.to_le_bytes());
    put(&sketch.rank.to_le_bytes());
    put(&sketch.untidy.to_le_bytes());
    put(&[0; 2]);
    put(&sketch.shingles.to_le_bytes());
    put(&sketch.glance);
    bytes
}

fn parse(bytes: &[u8; RECORD_BYTES]) -> (Entry, [u8; 64]) {
    let mut at = 0;
    let mut take = |len: usize| {
        at += len;
        let mut word = [0; 8];
        word[..len].copy_from_slice(&bytes[at - len..at]);
        u64::from_le_bytes(word)
    };
    let line = take(8);
    let text_at = take(8);
    let prints = Prints { exact: take(8), normal: [take(8), take(8)], bare: take(8), asked: take(8) };
    let row = RowId { file: take(4) as u32, line };
    let (text_len, asked_len) = (take(4) as u32, take(4) as u32);
    let (set, rank, untidy) = (SetId(take(2) as u16), take(2) as u16, take(2) as u16);
    take(2);
    let shingles = take(4) as u32;
    let mut glance = [0; 64];
    glance.copy_from_slice(&bytes[RECORD_BYTES - 64..]);
    (Entry { row, set, rank, untidy, text_at, text_len, asked_len, shingles, prints, shard: 0 }, glance)
}
