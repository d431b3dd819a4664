//! From files to token caches: one pass over each file, in bounded memory, with the same result for any number of threads.

use crate::cache::{self, CacheReader, Entry, Index, IndexWriter, Input, Manifest, TokenWriter};
use crate::dataset::{Counts, Dataset, Prepared};
use crate::error::{DataError, RowFault};
use crate::hashing::{HashingWriter, Seen, hash_file, hex_of};
use crate::lengths::{self, Fate};
use crate::mixture::REPLAY;
use crate::order::{Permutation, Purpose};
use crate::plan::{BadRows, DataPlan, LengthPlan, Packing, ReplayPlan, Source, Valid};
use crate::records::{self, Found, RawRow, Shape};
use crate::replay::{self, labels};
use crate::text::{TextError, TextPipeline};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Rows handed to the threads at a time, and the bytes after which no further row is added to them.
const CHUNK_ROWS: usize = 1024;
const CHUNK_BYTES: usize = 4 << 20;
/// How often a run that waits for another's cache looks again.
const LOCK_POLL_MS: u64 = 100;
const TRAIN: &str = "train";
const VALID: &str = "valid";
const UNSEEN: &str = "unseen";

/// Reads, checks, renders and tokenises every row once, in bounded memory, into `cache_dir` (re-used when the identity matches).
/// `progress(rows, bytes_read, bytes_total)` returns false to stop (an interrupt).
///
/// # Errors
/// Everything in [`DataError`]; `Interrupted` when `progress` says so.
pub fn prepare(
    plan: &DataPlan,
    seed: u64,
    cache_dir: &Path,
    progress: &mut dyn FnMut(u64, u64, u64) -> bool,
) -> Result<Prepared, DataError> {
    let text = TextPipeline::open(&plan.text)?;
    std::fs::create_dir_all(cache_dir).map_err(DataError::io("create", cache_dir))?;
    let (share, valid_sources) = match &plan.valid {
        None => (None, &[][..]),
        Some(Valid::Share(share)) => (Some(*share), &[][..]),
        Some(Valid::Source(sources)) => (None, sources.as_slice()),
    };
    let replay_sources = plan.replay.as_ref().map_or(&[][..], |r| &r.sources);
    let progress = Progress::new([&plan.train, valid_sources, replay_sources, &plan.unseen], progress)?;
    let mut job = Job { plan, text: &text, cache_dir, progress };
    let (train_dir, train) = job.cache(&plan.train, share.map(|share| (share, seed)))?;
    let valid = if valid_sources.is_empty() { None } else { Some(job.cache(valid_sources, None)?) };
    let replay = plan.replay.as_ref().map(|replay| job.replay(replay)).transpose()?;
    let unseen = if plan.unseen.is_empty() { None } else { Some(job.cache(&plan.unseen, None)?) };
    let seen = [Some(&train), valid.as_ref().map(|(_, m)| m), replay.as_ref().map(|(_, m)| m)];
    refuse_seen(seen.into_iter().flatten(), unseen.as_ref().map(|(_, m)| m))?;

    let mut identity = String::new();
    let sides = [
        (TRAIN, Some(&train)),
        (VALID, valid.as_ref().map(|(_, m)| m)),
        (REPLAY, replay.as_ref().map(|(_, m)| m)),
        (UNSEEN, unseen.as_ref().map(|(_, m)| m)),
    ];
    for (side, manifest) in sides {
        for input in manifest.iter().flat_map(|m| &m.inputs) {
            identity += &format!("{side} {}\n", input.sha256);
        }
    }
    identity += text.identity();
    let valid_side = match (&valid, share) {
        (Some((dir, manifest)), _) => Some((dir, TRAIN, manifest)),
        (None, Some(_)) => Some((&train_dir, VALID, &train)),
        (None, None) => None,
    };
    let counts = |manifest: &Manifest, side: &str| manifest.sides.get(side).cloned().unwrap_or_default();
    let notes = train
        .notes
        .iter()
        .cloned()
        .chain(valid.iter().flat_map(|(_, m)| m.notes.iter().map(|n| format!("valid: {n}"))))
        .chain(replay.iter().flat_map(|(_, m)| m.notes.iter().map(|n| format!("replay: {n}"))))
        .chain(unseen.iter().flat_map(|(_, m)| m.notes.iter().map(|n| format!("unseen: {n}"))));
    let valid_labels = if valid.is_some() { labels(valid_sources) } else { labels(&plan.train) };
    let replay_reader = replay.as_ref().map(|(dir, manifest)| CacheReader::open(dir, TRAIN, manifest)).transpose()?;
    Ok(Prepared {
        train: replay::mixed(CacheReader::open(&train_dir, TRAIN, &train)?, plan, seed, replay_reader, &text)?,
        valid: valid_side
            .map(|(dir, side, manifest)| CacheReader::open(dir, side, manifest))
            .transpose()?
            .map(|reader| Dataset::new(reader, &valid_labels)),
        unseen: unseen
            .as_ref()
            .map(|(dir, manifest)| CacheReader::open(dir, TRAIN, manifest))
            .transpose()?
            .map(|reader| Dataset::new(reader, &labels(&plan.unseen))),
        train_counts: counts(&train, TRAIN),
        valid_counts: valid_side.map(|(_, side, manifest)| counts(manifest, side)),
        unseen_counts: unseen.as_ref().map(|(_, manifest)| counts(manifest, TRAIN)),
        replay_counts: replay.as_ref().map(|(_, manifest)| counts(manifest, TRAIN)),
        data_hash: hex_of(identity.as_bytes()),
        notes: notes.chain(text.describe().iter().cloned()).collect(),
    })
}

/// A file that is trained on or chosen by cannot say how rows do that are neither.
fn refuse_seen<'a>(seen: impl Iterator<Item = &'a Manifest>, unseen: Option<&Manifest>) -> Result<(), DataError> {
    let seen: Vec<&Input> = seen.flat_map(|manifest| &manifest.inputs).collect();
    for input in unseen.iter().flat_map(|manifest| &manifest.inputs) {
        if let Some(same) = seen.iter().find(|other| other.sha256 == input.sha256) {
            return Err(DataError::Unseen { path: input.path.clone(), seen: same.path.clone() });
        }
    }
    Ok(())
}

/// What the user sees of the reading.
struct Progress<'a> {
    rows: u64,
    bytes_before: u64,
    bytes_total: u64,
    report: &'a mut dyn FnMut(u64, u64, u64) -> bool,
}

impl<'a> Progress<'a> {
    fn new(sides: [&[Source]; 4], report: &'a mut dyn FnMut(u64, u64, u64) -> bool) -> Result<Self, DataError> {
        let mut bytes_total = 0;
        for source in sides.into_iter().flatten() {
            bytes_total += stamp(&source.path)?.0;
        }
        Ok(Self { rows: 0, bytes_before: 0, bytes_total, report })
    }

    fn at(&mut self, bytes_of_file: u64) -> Result<(), DataError> {
        let bytes = (self.bytes_before + bytes_of_file).min(self.bytes_total);
        if (self.report)(self.rows, bytes, self.bytes_total) { Ok(()) } else { Err(DataError::Interrupted) }
    }
}

/// Length and time of a file: a cheap sign that it changed while being read.
fn stamp(path: &Path) -> Result<(u64, Option<SystemTime>), DataError> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(DataError::NotAFile { path: path.to_owned() }),
        Ok(meta) => Ok((meta.len(), meta.modified().ok())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(DataError::NoSuchFile { path: path.to_owned() }),
        Err(e) => Err(DataError::io("open", path)(e)),
    }
}

/// sha256 of the training sources' files as a run of this plan and seed read them, from the cache that it keeps in `cache_dir`; None
/// where there is none.
///
/// # Errors
/// `Io`; a tokenizer or template that cannot be read.
pub fn source_hashes(cache_dir: &Path, plan: &DataPlan, seed: u64) -> Result<Option<Vec<String>>, DataError> {
    let split = match plan.valid {
        Some(Valid::Share(share)) => Some((share, seed)),
        _ => None,
    };
    let text = TextPipeline::open(&plan.text)?;
    let dir = cache_dir.join(cache_name(&recipe(plan, &text, &plan.train, split)));
    Ok(cache::manifest(&dir)?.map(|manifest| manifest.inputs.into_iter().map(|input| input.sha256).collect()))
}

/// Everything besides the bytes of the inputs that decides what a cache holds.
fn recipe(plan: &DataPlan, text: &TextPipeline, sources: &[Source], split: Option<(f64, u64)>) -> serde_json::Value {
    let LengthPlan { seq_len_max, over, packing } = plan.lengths;
    let lengths = match packing {
        Packing::Examples | Packing::Bfd => serde_json::json!({"seq_len_max": seq_len_max, "over": over}),
        Packing::BfdSplit | Packing::Wrapped => serde_json::json!("whole"),
    };
    serde_json::json!({
        "layout": cache::LAYOUT_VERSION,
        "sources": sources.iter().map(|s| Source { task: None, ..s.clone() }).collect::<Vec<_>>(),
        "text": text.identity(),
        "record_bytes_max": plan.text.record_bytes_max,
        "lengths": lengths,
        "bad_rows": plan.bad_rows,
        "split": split.map(|(share, seed)| serde_json::json!({"share": share.to_string(), "seed": seed})),
    })
}

struct Job<'a> {
    plan: &'a DataPlan,
    text: &'a TextPipeline,
    cache_dir: &'a Path,
    progress: Progress<'a>,
}

impl Job<'_> {
    /// The cache of some sources: an existing one when recipe and inputs are the same, otherwise a new one.
    fn cache(&mut self, sources: &[Source], split: Option<(f64, u64)>) -> Result<(PathBuf, Manifest), DataError> {
        let recipe = recipe(self.plan, self.text, sources, split);
        let name = cache_name(&recipe);
        let dir = self.cache_dir.join(&name);
        let _lock = self.lock(&self.cache_dir.join(format!("{name}.lock")))?;
        if let Some(manifest) = cache::verified(&dir)?
            && manifest.recipe == recipe
            && self.inputs_unchanged(&manifest.inputs)?
        {
            return Ok((dir, manifest));
        }
        let staged = Staged(self.cache_dir.join(format!("{name}.tmp")));
        cache::remove_if_there(&staged.0)?;
        std::fs::create_dir(&staged.0).map_err(DataError::io("create", &staged.0))?;
        let mut build = Build::new(self.plan, self.text, &staged.0)?;
        for source in sources {
            build.source(source, self.cache_dir, &mut self.progress)?;
        }
        let manifest = build.finish(&dir, recipe, split)?;
        cache::publish(&staged.0, &dir, &manifest)?;
        Ok((dir, manifest))
    }

    /// The cache of the replay's rows; those of an earlier run only as it had them.
    fn replay(&mut self, replay: &ReplayPlan) -> Result<(PathBuf, Manifest), DataError> {
        let earlier = replay.earlier.as_ref();
        if let Some(run) = earlier.filter(|run| run.held_back.is_some()) {
            // Which rows those are follows from which rows gave an example.
            let as_it_was = cache_name(&recipe(self.plan, self.text, &replay.sources, run.held_back));
            if !run.dir.join("cache").join(as_it_was).exists() {
                let why = "the rows that it held back for validation can only be left out with its own template, loss_on, lengths, \
                    quarantine and record limit";
                return Err(DataError::Mixture { key: "replay.run", why: why.to_owned() });
            }
        }
        let (dir, manifest) = self.cache(&replay.sources, earlier.and_then(|e| e.held_back))?;
        for (input, expected) in manifest.inputs.iter().zip(earlier.iter().flat_map(|e| &e.sha256)) {
            if input.sha256 != *expected {
                return Err(DataError::ReplayChanged {
                    path: input.path.clone(),
                    run: earlier.map(|e| e.dir.clone()).unwrap_or_default(),
                    expected: expected.clone(),
                    got: input.sha256.clone(),
                });
            }
        }
        Ok((dir, manifest))
    }

    fn inputs_unchanged(&mut self, inputs: &[Input]) -> Result<bool, DataError> {
        let before = self.progress.bytes_before;
        for input in inputs {
            if stamp(&input.path)?.0 != input.bytes {
                self.progress.bytes_before = before;
                return Ok(false);
            }
            let mut go_on = Ok(());
            let progress = &mut self.progress;
            let hashed = hash_file(&input.path, &mut |bytes| {
                go_on = progress.at(bytes);
                go_on.is_ok()
            });
            go_on?;
            if hashed?.1 != input.sha256 {
                self.progress.bytes_before = before;
                return Ok(false);
            }
            self.progress.bytes_before += input.bytes;
        }
        Ok(true)
    }

    /// Two runs that want the same cache: the second waits, then uses what the first made. The system frees the lock of a dead run.
    fn lock(&mut self, path: &Path) -> Result<File, DataError> {
        let file = File::options().create(true).append(true).open(path).map_err(DataError::io("create", path))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(e)) => return Err(DataError::io("lock", path)(e)),
                Err(TryLockError::WouldBlock) => {
                    self.progress.at(0)?;
                    std::thread::sleep(Duration::from_millis(LOCK_POLL_MS));
                }
            }
        }
    }
}

/// A folder in the making; it goes away unless it was renamed into place.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        // Whatever cannot be removed now is removed before the next attempt.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A cache in the making.
struct Build<'a> {
    plan: &'a DataPlan,
    text: &'a TextPipeline,
    shape: Shape,
    dir: &'a Path,
    tokens: TokenWriter,
    index: IndexWriter,
    quarantine: BufWriter<HashingWriter<File>>,
    counts: Counts,
    /// Rows that gave at least one example.
    rows_used: u64,
    rows_quarantined: u64,
    inputs: Vec<Input>,
    notes: Vec<String>,
}

/// What became of one row.
enum Outcome {
    Used {
        pieces: Vec<Piece>,
        counted: Option<&'static str>,
        control_text: u64,
    },
    /// Not used by the plan's own rule.
    Dropped(&'static str),
    Faulty {
        fault: RowFault,
        column: Option<u64>,
    },
    /// The plan refuses such a row, whatever it says of bad ones.
    Refused(RowFault),
    Fatal(DataError),
}

struct Piece {
    ids: Vec<u32>,
    supervised: Vec<bool>,
    counting: usize,
}

impl<'a> Build<'a> {
    fn new(plan: &'a DataPlan, text: &'a TextPipeline, dir: &'a Path) -> Result<Self, DataError> {
        let path = dir.join(cache::QUARANTINE);
        let quarantine = File::create(&path).map_err(DataError::io("create", &path))?;
        let shape = Shape::of(&plan.text.template);
        Ok(Self {
            plan,
            text,
            shape,
            dir,
            tokens: TokenWriter::create(dir)?,
            index: IndexWriter::create(dir, TRAIN)?,
            quarantine: BufWriter::new(HashingWriter::new(quarantine)),
            counts: Counts::default(),
            rows_used: 0,
            rows_quarantined: 0,
            inputs: Vec::new(),
            notes: Vec::new(),
        })
    }

    fn source(&mut self, source: &Source, spool_dir: &Path, progress: &mut Progress) -> Result<(), DataError> {
        let path = source.path.as_path();
        let limit = self.plan.text.record_bytes_max;
        let before = stamp(path)?;
        let mut first = records::open(path, limit, spool_dir, &Seen::default())?;
        let found = records::look(source, first.container, records::Use::Train, &mut *first.reader)?;
        drop(first);
        self.notes.push(format!("{}: {}", path.file_name().unwrap_or(path.as_os_str()).to_string_lossy(), found.note));

        let seen = Seen::default();
        let mut rows = records::open(path, limit, spool_dir, &seen)?;
        let (mut chunk, mut bytes) = (Vec::with_capacity(CHUNK_ROWS), 0);
        while let Some(row) = rows.reader.next_row() {
            let row = row?;
            bytes += row.body.bytes();
            chunk.push(row);
            if chunk.len() == CHUNK_ROWS || bytes >= CHUNK_BYTES {
                self.chunk(path, &found, &chunk)?;
                progress.rows += chunk.len() as u64;
                progress.at(seen.bytes())?;
                chunk.clear();
                bytes = 0;
            }
        }
        self.chunk(path, &found, &chunk)?;
        progress.rows += chunk.len() as u64;
        rows.reader.drain()?;
        progress.at(seen.bytes())?;
        if stamp(path)? != before || seen.bytes() != before.0 {
            return Err(DataError::ChangedWhileReading { path: path.to_owned() });
        }
        progress.bytes_before += before.0;
        self.inputs.push(Input { path: path.to_owned(), bytes: before.0, sha256: seen.sha256() });
        Ok(())
    }

    /// Tokenises rows in parallel and writes them in their order.
    fn chunk(&mut self, path: &Path, found: &Found, rows: &[RawRow]) -> Result<(), DataError> {
        let maker = Maker { text: self.text, lengths: &self.plan.lengths, shape: self.shape, found };
        let outcomes: Vec<Outcome> = rows.par_iter().map(|row| maker.outcome(row)).collect();
        for (row, outcome) in rows.iter().zip(outcomes) {
            self.counts.rows += 1;
            match outcome {
                Outcome::Used { pieces, counted, control_text } => {
                    self.counts.control_text += control_text;
                    self.count(counted);
                    self.write(row.line, &pieces)?;
                }
                Outcome::Dropped(why) => self.count(Some(why)),
                Outcome::Faulty { fault, column } => match self.plan.bad_rows {
                    BadRows::Stop => return Err(records::bad_row(path, row.line, column, fault)),
                    BadRows::Quarantine => self.set_aside(path, row, column, &fault)?,
                },
                Outcome::Refused(fault) => return Err(records::bad_row(path, row.line, None, fault)),
                Outcome::Fatal(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn count(&mut self, reason: Option<&'static str>) {
        if let Some(reason) = reason {
            *self.counts.aside.entry(reason.to_owned()).or_default() += 1;
        }
    }

    fn write(&mut self, line: u64, pieces: &[Piece]) -> Result<(), DataError> {
        let row = self.rows_used;
        self.rows_used += 1;
        for piece in pieces {
            let offset = self.tokens.push(&piece.ids, &piece.supervised)?;
            let short = |n: usize| {
                u32::try_from(n).map_err(|_| DataError::Cache {
                    path: self.dir.to_owned(),
                    expected: "an example below 2^32 tokens".into(),
                    got: format!("{n}"),
                })
            };
            let (len, supervised, file) = (short(piece.ids.len())?, short(piece.counting)?, short(self.inputs.len())?);
            self.index.push(Entry { offset, line, row, len, supervised, file })?;
        }
        Ok(())
    }

    fn set_aside(&mut self, path: &Path, row: &RawRow, column: Option<u64>, fault: &RowFault) -> Result<(), DataError> {
        self.count(Some(fault.reason()));
        self.rows_quarantined += 1;
        let entry = serde_json::json!({
            "file": path.to_string_lossy(), "line": row.line, "column": column,
            "reason": fault.reason(), "why": fault.to_string(), "row": row.body.shown(),
        });
        writeln!(self.quarantine, "{entry}").map_err(DataError::io("write", &self.dir.join(cache::QUARANTINE)))
    }

    /// Closes the files, splits off the validation share, and says what there is. `dir` is where the cache will stand.
    fn finish(self, dir: &Path, recipe: serde_json::Value, split: Option<(f64, u64)>) -> Result<Manifest, DataError> {
        let file = self.inputs.iter().map(|i| i.path.display().to_string()).collect::<Vec<_>>().join(", ");
        if self.counts.rows == 0 {
            return Err(DataError::Empty { file });
        }
        let mut index = self.index.finish()?;
        if index.counts.examples == 0 {
            let why =
                self.counts.aside.iter().map(|(reason, n)| format!("{reason}: {n}")).collect::<Vec<_>>().join(", ");
            return Err(DataError::NothingLeft { file, rows: self.counts.rows, why });
        }
        let mut files = BTreeMap::new();
        files.insert(cache::TOKENS.to_owned(), self.tokens.finish()?);
        let quarantine = cache::finish(self.quarantine, &self.dir.join(cache::QUARANTINE))?;
        files.insert(cache::QUARANTINE.to_owned(), quarantine);
        let mut sides = BTreeMap::new();
        let mut rows = self.counts.rows;
        if let Some((share, seed)) = split {
            let (train, valid) = split_off(self.dir, share, seed, self.rows_used)?;
            rows -= valid.counts.rows;
            files.insert(cache::index_name(VALID), valid.mark);
            sides.insert(VALID.to_owned(), valid.counts);
            index = train;
        }
        files.insert(cache::index_name(TRAIN), index.mark);
        let Counts { aside, control_text, .. } = self.counts;
        let train = Counts { rows, aside, control_text, ..index.counts };
        sides.insert(TRAIN.to_owned(), train);
        let mut notes = self.notes;
        if self.rows_quarantined > 0 {
            notes.push(format!(
                "{} rows set aside in {}",
                self.rows_quarantined,
                dir.join(cache::QUARANTINE).display()
            ));
        }
        Ok(Manifest { layout: cache::LAYOUT_VERSION, recipe, inputs: self.inputs, sides, notes, files })
    }
}

fn cache_name(recipe: &serde_json::Value) -> String {
    format!("tokens-{}", &hex_of(recipe.to_string().as_bytes())[..16])
}

/// Divides the index between training and validation by row, so that the fragments of one row stay on one side, in file
/// order. Returns the two in that order.
fn split_off(dir: &Path, share: f64, seed: u64, rows: u64) -> Result<(Index, Index), DataError> {
    if !(share > 0.0 && share < 1.0) || rows < 2 {
        return Err(DataError::Share { share, rows });
    }
    let valid_rows = ((share * rows as f64).round() as u64).clamp(1, rows - 1);
    let order = Permutation::new(rows, seed, 0, Purpose::Split);
    let all = dir.join("all.idx");
    std::fs::rename(dir.join(cache::index_name(TRAIN)), &all).map_err(DataError::io("rename", &all))?;
    let (mut train, mut valid) = (IndexWriter::create(dir, TRAIN)?, IndexWriter::create(dir, VALID)?);
    for entry in cache::entries(dir, "all")? {
        let entry = entry?;
        let side = if order.inverse(entry.row) < valid_rows { &mut valid } else { &mut train };
        side.push(entry)?;
    }
    std::fs::remove_file(&all).map_err(DataError::io("remove", &all))?;
    valid.counts.rows = valid_rows;
    Ok((train.finish()?, valid.finish()?))
}

/// What one row needs to become an example; shared by the threads.
struct Maker<'a> {
    text: &'a TextPipeline,
    lengths: &'a LengthPlan,
    shape: Shape,
    found: &'a Found,
}

impl Maker<'_> {
    fn outcome(&self, row: &RawRow) -> Outcome {
        let value = match row.body.value() {
            Ok(value) => value,
            Err((fault, column)) => return Outcome::Faulty { fault, column },
        };
        let content = match records::content(self.found, self.shape, value) {
            Ok(content) => content,
            Err(fault) => return Outcome::Faulty { column: row.body.column_of(&fault), fault },
        };
        let encoded = match self.text.encode(&content) {
            Ok(encoded) => encoded,
            Err(TextError::NothingSupervised { .. }) => return Outcome::Dropped(lengths::NO_SUPERVISED),
            Err(e) if e.is_row() => {
                let fault = RowFault::Text { reason: e.reason(), why: e.to_string() };
                return Outcome::Faulty { fault, column: None };
            }
            Err(e) => return Outcome::Fatal(e.into()),
        };
        match lengths::fate(&encoded.supervised, self.lengths) {
            Fate::Drop(why) => Outcome::Dropped(why),
            Fate::Refuse => {
                Outcome::Refused(RowFault::TooLong { tokens: encoded.ids.len(), limit: self.lengths.seq_len_max })
            }
            Fate::Keep { pieces, counted } => {
                let piece = |range: Range<usize>| Piece {
                    counting: lengths::supervised_in(&encoded.supervised, range.clone()),
                    ids: encoded.ids[range.clone()].to_vec(),
                    supervised: encoded.supervised[range].to_vec(),
                };
                Outcome::Used {
                    pieces: pieces.into_iter().map(piece).collect(),
                    counted,
                    control_text: encoded.control_text as u64,
                }
            }
        }
    }
}
