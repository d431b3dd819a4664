//! Where a run loads its base from: the model's own folder, or a copy of it with the layers in NF4 that the first such run
//! has made and later ones find.
//!
//! A copy is `nf4-HASH` in the cache, named by the hash of the model's files and by how they are quantised:
//!
//! | in it | what it is |
//! |---|---|
//! | `base/` | config.json and the weights as `athanor quantize` writes them, `made-of.json`, a manifest with hashes |
//! | `lock`, `lock.gate` | held while the copy is made or checked |

use crate::quantise::write_weights;
use crate::{Event, Plan, TrainError};
use model::{ModelError, Quantiser, Quantize, needs_floats};
use runfs::{Fs, Manifest, RunFsError, RunLock};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use weights::{Identity, WeightsError};

/// Changes whenever the same model would be written otherwise, so that an older copy is never read as a new one.
const LAYOUT: u32 = 1;
const PREFIX: &str = "nf4-";
const BASE: &str = "base";
const RECORD: &str = "made-of.json";
/// How often a run that waits for another's copy looks again.
const LOCK_POLL_MS: u64 = 100;
/// Bytes after which progress is told.
const TOLD_BYTES: u64 = 16 << 20;

/// What a copy was made of, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    layout: u32,
    double: bool,
    model: Identity,
}

impl Record {
    /// Whether both are of the same bytes, whatever the times of their files.
    fn equals(&self, other: &Record) -> bool {
        (self.layout, self.double, &self.model.sha256) == (other.layout, other.double, &other.model.sha256)
    }

    fn name(&self) -> String {
        let key = serde_json::json!([self.layout, self.double, self.model.sha256]).to_string();
        format!("{PREFIX}{}", &runfs::sha256_hex(key.as_bytes())[..16])
    }
}

/// What `athanor plan` says of the copy that a run would load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuantizedCopy {
    /// Its folder where it is there, else that of all copies.
    pub dir: PathBuf,
    pub bytes: u64,
    pub there: bool,
    /// Where the copy would be.
    pub free: u64,
}

impl QuantizedCopy {
    /// Whether the disk has room for what has to be written.
    pub fn fits(&self) -> bool {
        self.there || self.bytes <= self.free
    }

    pub(crate) fn require_room(&self) -> Result<(), TrainError> {
        let QuantizedCopy { dir, bytes, free, .. } = self;
        match self.fits() {
            true => Ok(()),
            false => Err(TrainError::QuantizedCopy { source: Box::new(no_room(dir, *bytes, *free)) }),
        }
    }
}

fn no_room(path: &Path, needed: u64, free: u64) -> TrainError {
    TrainError::DiskSpace { path: path.to_owned(), what: "the base's layers in NF4", needed, free }
}

/// What making or checking a copy is given.
pub(crate) struct Making<'a> {
    pub fs: &'a dyn Fs,
    pub stop: &'a AtomicBool,
    /// The last one saved.
    pub step: u64,
    pub on: &'a mut dyn FnMut(Event),
}

impl Making<'_> {
    fn note(&mut self, text: String) {
        (self.on)(Event::Note(text));
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn interrupted(&self) -> TrainError {
        TrainError::Interrupted { step: self.step }
    }
}

/// Reads the model's files to know them again.
///
/// # Errors
/// `Interrupted`, and what reading refuses.
pub(crate) fn identify(plan: &Plan, making: &mut Making) -> Result<Identity, TrainError> {
    (making.on)(Event::Phase("hash"));
    let (stop, on) = (making.stop, &mut *making.on);
    let found = weights::identity_with(&plan.model, &mut |bytes, bytes_total| {
        on(Event::Hashing { bytes, bytes_total });
        !stop.load(Ordering::Relaxed)
    });
    match found {
        Err(WeightsError::Interrupted) => Err(making.interrupted()),
        other => Ok(other?),
    }
}

/// Whether the layers of the plan's model can be read from a copy of it in NF4: nothing asks for them in floats, and they
/// are no codes already.
pub(crate) fn can_be_copied(plan: &Plan) -> Result<bool, TrainError> {
    Ok(quantiser(plan)?.is_some())
}

fn quantiser(plan: &Plan) -> Result<Option<Quantiser>, TrainError> {
    let Quantize::Nf4 { double } = plan.quantize else { return Ok(None) };
    if needs_floats(&plan.model, &plan.adapter)? {
        return Ok(None);
    }
    match Quantiser::open(&plan.model, double) {
        Ok(quantiser) => Ok(Some(quantiser)),
        Err(ModelError::QuantisedAlready { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The copy that a run of this plan would load, found by the lengths and times of the model's files, which is no proof: a
/// run reads them. None where it would load the model's own files.
pub(crate) fn look(plan: &Plan, fs: &dyn Fs) -> Result<Option<QuantizedCopy>, TrainError> {
    let (Some(cache), Some(quantiser)) = (&plan.quantize_cache, quantiser(plan)?) else { return Ok(None) };
    let free = fs.free_bytes(cache).map_err(|e| RunFsError::io("ask the free space of", cache, e))?;
    let bytes = quantiser.bytes();
    let names = fs.list(cache).unwrap_or_default();
    let found = names.iter().filter(|name| name.to_string_lossy().starts_with(PREFIX)).find_map(|name| {
        let dir = cache.join(name).join(BASE);
        let record: Record = serde_json::from_slice(&fs.read(&dir.join(RECORD)).ok()?).ok()?;
        let double = plan.quantize == Quantize::Nf4 { double: record.double };
        let manifest = Manifest::read(fs, &dir).ok()?;
        let whole = manifest.files.iter().all(|(name, file)| fs.len(&dir.join(name)).is_ok_and(|n| n == file.bytes));
        let is = record.layout == LAYOUT && double && whole && record.model.looks_unchanged(&plan.model);
        is.then(|| QuantizedCopy { dir, bytes: manifest.bytes(), there: true, free })
    });
    Ok(Some(found.unwrap_or_else(|| QuantizedCopy { dir: cache.clone(), bytes, there: false, free })))
}

/// The folder that the base is loaded from; a copy is made where there is none that is whole. `must`: the base fits in
/// memory from a copy alone. Elsewhere a copy that cannot be written is done without, which is told.
///
/// # Errors
/// `QuantizedCopy` where there must be a copy and none can be written; `Interrupted`; what the model refuses.
pub(crate) fn folder(plan: &Plan, model: &Identity, must: bool, making: &mut Making) -> Result<PathBuf, TrainError> {
    let (Some(cache), Some(quantiser)) = (&plan.quantize_cache, quantiser(plan)?) else {
        return Ok(plan.model.clone());
    };
    let double = plan.quantize == Quantize::Nf4 { double: true };
    let record = Record { layout: LAYOUT, double, model: model.clone() };
    match obtain(&cache.join(record.name()), &quantiser, &record, making) {
        Err(e @ (TrainError::DiskSpace { .. } | TrainError::Folder(_))) if must => {
            Err(TrainError::QuantizedCopy { source: Box::new(e) })
        }
        Err(e @ (TrainError::DiskSpace { .. } | TrainError::Folder(_))) => {
            making.note(format!("the base is quantised while loading, and no copy of it kept: {e}"));
            Ok(plan.model.clone())
        }
        other => other,
    }
}

/// The copy in `entry`: found whole, or made.
fn obtain(entry: &Path, quantiser: &Quantiser, record: &Record, making: &mut Making) -> Result<PathBuf, TrainError> {
    let base = entry.join(BASE);
    // A copy that can only be read, because its disk is, serves as well.
    let lock = lock(entry, making);
    if let Err(e @ TrainError::Interrupted { .. }) = lock {
        return Err(e);
    }
    if lock.is_ok() {
        runfs::recover_dir(making.fs, &base)?;
    }
    if making.fs.exists(&base) {
        match check(&base, record, making)? {
            None => return Ok(base),
            Some(why) => making.note(format!("the base in NF4 in {} is not whole: {why}; made again", entry.display())),
        }
    }
    let _lock = lock?;
    make(&base, quantiser, record, making)?;
    Ok(base)
}

/// Two runs that want the same copy: the second waits, then uses what the first made. The system frees the lock of a dead run.
fn lock(entry: &Path, making: &mut Making) -> Result<RunLock, TrainError> {
    runfs::create_dir_durable(making.fs, entry)?;
    let mut told = false;
    loop {
        match RunLock::acquire(entry) {
            Err(RunFsError::InUse { .. }) if making.stopped() => return Err(making.interrupted()),
            Err(e @ RunFsError::InUse { .. }) => {
                if !std::mem::replace(&mut told, true) {
                    making.note(format!("{e}, which makes or checks the base in NF4: waiting for it"));
                }
                std::thread::sleep(Duration::from_millis(LOCK_POLL_MS));
            }
            other => return Ok(other?),
        }
    }
}

/// Why a copy cannot be used, from every byte of it; None where it can.
fn check(base: &Path, record: &Record, making: &mut Making) -> Result<Option<String>, TrainError> {
    (making.on)(Event::Phase("check"));
    let (fs, stop, on) = (making.fs, making.stop, &mut *making.on);
    let mut told = 0;
    let verified = runfs::verify_dir_with(fs, base, &mut |bytes, bytes_total| {
        if bytes == bytes_total || bytes - told >= TOLD_BYTES {
            told = bytes;
            on(Event::Hashing { bytes, bytes_total });
        }
        !stop.load(Ordering::Relaxed)
    });
    match verified {
        _ if making.stopped() => return Err(making.interrupted()),
        Err(e @ RunFsError::Corrupt { .. }) => return Ok(Some(e.to_string())),
        other => other?,
    };
    let path = base.join(RECORD);
    let bytes = making.fs.read(&path).map_err(|e| RunFsError::io("read", &path, e))?;
    match serde_json::from_slice::<Record>(&bytes) {
        Ok(found) if found.equals(record) => Ok(None),
        Ok(_) => Ok(Some(format!("{RECORD} names another model"))),
        Err(e) => Ok(Some(format!("{RECORD}: {e}"))),
    }
}

fn make(base: &Path, quantiser: &Quantiser, record: &Record, making: &mut Making) -> Result<(), TrainError> {
    let fs = making.fs;
    if fs.exists(base) {
        // It is of no use, and its place is wanted.
        fs.remove_dir_all(base).map_err(|e| RunFsError::writing(fs, "remove", base, 0, e))?;
    }
    let needed = quantiser.bytes();
    let free = fs.free_bytes(base).map_err(|e| RunFsError::io("ask the free space of", base, e))?;
    if needed > free {
        return Err(no_room(base, needed, free));
    }
    (making.on)(Event::Phase("quantise"));
    let json = serde_json::to_vec_pretty(record)
        .map_err(|e| TrainError::RunFile { path: base.join(RECORD), why: e.to_string() })?;
    let (stop, on, mut refused) = (making.stop, &mut *making.on, None);
    let published = runfs::publish_dir(fs, base, &mut |staged| {
        write_weights(quantiser, staged, stop, on, &mut refused)?;
        staged.file(RECORD, &mut |file| file.write_all(&json))
    });
    match (published, refused) {
        (Ok(_), _) => Ok(()),
        _ if making.stopped() => Err(making.interrupted()),
        (Err(_), Some(refused)) => Err(refused.into()),
        (Err(e), None) => Err(e.into()),
    }
}
