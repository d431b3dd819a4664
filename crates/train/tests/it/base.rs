//! A base that is quantised once: the copy changes no byte of a result, and nothing that happens to it ends a run that can
//! do without.

use crate::common::{Bench, assert_same, bench, copy_dir, promised, resume};
use runfs::{Fs, FsFile, RealFs, RunFsError, RunLock};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use train::{Event, TrainError, preview};

const DOUBLE: model::Quantize = model::Quantize::Nf4 { double: true };

/// Over NF4, with a cache of its own.
fn quantised() -> Bench {
    let mut b = bench();
    b.plan.quantize = DOUBLE;
    b.plan.quantize_cache = Some(b.temp.path().join("bases"));
    b
}

fn cache(b: &Bench) -> &Path {
    b.plan.quantize_cache.as_deref().unwrap()
}

/// The folders of the copies.
fn copies(b: &Bench) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache(b)).into_iter().flatten();
    entries.map(|e| e.unwrap().path().join("base")).filter(|base| base.exists()).collect()
}

/// What a run told besides its steps.
#[derive(Default)]
struct Told {
    phases: Vec<String>,
    notes: Vec<String>,
}

impl Told {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Phase(name @ ("hash" | "check" | "quantise" | "model")) => self.phases.push((*name).to_owned()),
            Event::Note(text) if text.contains("NF4") || text.contains("quantised") => self.notes.push(text.clone()),
            _ => {}
        }
    }
}

/// Runs into the folder `out`, which is removed when it has been read: checkpoints name no other thing of it.
fn run_on(b: &mut Bench, fs: &dyn Fs) -> (Result<BTreeMap<String, Vec<u8>>, TrainError>, Told) {
    let mut told = Told::default();
    let done = train::run(&b.plan, fs, &AtomicBool::new(false), &mut |e| told.hear(&e));
    let files = done.map(|_| promised(b.out(), 7));
    if b.out().exists() {
        std::fs::remove_dir_all(b.out()).unwrap();
    }
    (files, told)
}

fn run(b: &mut Bench) -> (BTreeMap<String, Vec<u8>>, Told) {
    let (files, told) = run_on(b, &RealFs);
    (files.unwrap(), told)
}

fn without_copy(b: &mut Bench) -> BTreeMap<String, Vec<u8>> {
    let kept = b.plan.quantize_cache.take();
    let (files, told) = run(b);
    assert_eq!(told.phases, ["hash", "model"]);
    b.plan.quantize_cache = kept;
    files
}

const MADE: [&str; 3] = ["hash", "quantise", "model"];
const FOUND: [&str; 3] = ["hash", "check", "model"];
const MADE_AGAIN: [&str; 4] = ["hash", "check", "quantise", "model"];

#[test]
fn a_copy_changes_no_byte() {
    type Edit = fn(&mut Bench);
    let edits: [(&str, Edit); 5] = [
        ("LoRA", |_| {}),
        ("magnitudes of blocks in f32", |b| b.plan.quantize = model::Quantize::Nf4 { double: false }),
        ("DoRA", |b| (b.lora_mut().dora, b.lora_mut().dropout) = (true, 0.1)),
        ("bf16", |b| b.plan.train.precision = train::Precision::Bf16),
        ("whole embedding", |b| b.lora_mut().modules_to_save = vec!["embed_tokens".into()]),
    ];
    for (what, edit) in edits {
        let mut b = quantised();
        edit(&mut b);
        let want = without_copy(&mut b);
        assert!(copies(&b).is_empty());
        for phases in [MADE, FOUND] {
            let (files, told) = run(&mut b);
            assert_eq!(told.phases, phases, "{what}");
            assert!(told.notes.is_empty(), "{:?}", told.notes);
            assert_same(&want, &files, what);
        }
        assert_eq!(copies(&b).len(), 1);
    }
}

/// Settings and models have copies of their own; another plan of the same ones finds them.
#[test]
fn a_copy_is_of_one_model_and_one_setting() {
    let mut b = quantised();
    run(&mut b);
    b.plan.quantize = model::Quantize::Nf4 { double: false };
    assert_eq!(run(&mut b).1.phases, MADE);
    let other = b.temp.path().join("model");
    copy_dir(&b.plan.model, &other);
    (b.plan.model, b.plan.train.lr) = (other.clone(), 1e-3);
    assert_eq!(run(&mut b).1.phases, FOUND, "the same bytes in another folder");
    let weights = other.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&weights, bytes).unwrap();
    assert_eq!(run(&mut b).1.phases, MADE);
    assert_eq!(copies(&b).len(), 3);
}

/// What asks for the layers in floats goes on without a copy.
#[test]
fn layers_that_are_wanted_in_floats_are_not_copied() {
    type Edit = fn(&mut Bench);
    let edits: [Edit; 2] = [
        |b| b.lora_mut().init = model::InitWeights::Pissa,
        |b| {
            b.lora_mut().modules_to_save = vec!["layers.1.mlp.up_proj".into()];
            b.lora_mut().targets = model::Targets::Names(vec!["q_proj".into()]);
        },
    ];
    for edit in edits {
        let mut b = quantised();
        edit(&mut b);
        assert_eq!(run(&mut b).1.phases, ["hash", "model"]);
        assert!(copies(&b).is_empty());
    }
    // Nor is a model that is in NF4 already.
    let mut b = quantised();
    let nf4 = b.temp.path().join("nf4");
    train::quantize(&b.plan.model, &nf4, true, &RealFs, &AtomicBool::new(false), &mut |_| {}).unwrap();
    b.plan.model = nf4;
    assert_eq!(run(&mut b).1.phases, ["hash", "model"]);
    assert!(copies(&b).is_empty());
}

/// The least memory that a run over a copy can do with, which is less than one that quantises while loading needs.
fn tight(b: &mut Bench) -> u64 {
    b.plan.train.memory = Some(1);
    let least = |b: &Bench| match preview(&b.plan, &RealFs, &AtomicBool::new(false), &mut |_| {}) {
        Err(TrainError::Memory { needed, fits, .. }) => (needed, fits),
        other => panic!("one byte is enough: {:?}", other.map(|p| p.memory)),
    };
    let (with, fits) = least(b);
    assert!(!fits.contains("quantize_cache"), "{fits}");
    let kept = b.plan.quantize_cache.take();
    let (without, fits) = least(b);
    assert!(fits.contains("with `quantize_cache` set it needs less"), "{fits}");
    b.plan.quantize_cache = kept;
    assert!(with < without, "{with} {without}");
    b.plan.train.memory = Some(with);
    with
}

#[test]
fn a_base_that_does_not_fit_is_read_from_its_copy() {
    let mut b = quantised();
    let want = without_copy(&mut b);
    tight(&mut b);
    let (files, told) = run(&mut b);
    assert_eq!(told.phases, MADE);
    assert_same(&want, &files, "streamed");
    let look = |b: &Bench| preview(&b.plan, &RealFs, &AtomicBool::new(false), &mut |_| {}).unwrap();
    let there = look(&b);
    assert!(there.memory.layers_streamed > 0 && there.pace.is_some());
    assert!(there.copy.as_ref().unwrap().there, "{:?}", there.copy);

    // Cut after a step, the run goes on from the copy, or from a new one.
    for lost in [false, true] {
        b.run_interrupted(|e| matches!(e, Event::Step { step: 4, .. }));
        if lost {
            fs::remove_dir_all(cache(&b)).unwrap();
            let absent = look(&b);
            assert!(absent.pace.is_none() && !absent.copy.as_ref().unwrap().there, "{:?}", absent.copy);
            assert_eq!(absent.memory, there.memory);
            let (expected, made) = (absent.copy.unwrap().bytes as f64, there.copy.as_ref().unwrap().bytes as f64);
            assert!((made / expected - 1.0).abs() < 0.1, "{made} {expected}");
        }
        assert_eq!(resume(b.out()).unwrap().steps, 7);
        assert_same(&want, &promised(b.out(), 7), "resumed");
        fs::remove_dir_all(b.out()).unwrap();
    }
}

/// Whether a copy is there decides neither the size of a pass nor what is held.
#[test]
fn the_memory_plan_is_the_same_with_a_copy() {
    let mut b = quantised();
    b.plan.train.micro_tokens = None;
    // Products in f32 gain nothing from NF4 packed.
    b.plan.train.precision = train::Precision::Bf16;
    let look = |b: &Bench| preview(&b.plan, &RealFs, &AtomicBool::new(false), &mut |_| {}).unwrap().memory;
    b.plan.train.memory = Some(1 << 30);
    let plenty = look(&b);
    assert!(plenty.weights_packed);
    b.plan.train.memory = Some(plenty.total - 1);
    let kept = b.plan.quantize_cache.take();
    let held = look(&b);
    b.plan.quantize_cache = kept;
    assert_eq!((look(&b), held.layers_streamed), (held, 0));
}

#[test]
fn a_copy_that_is_not_whole_is_made_again() {
    let mut b = quantised();
    let (want, _) = run(&mut b);
    let base = copies(&b).remove(0);
    let weights = base.join("model.safetensors");
    let damages: [&dyn Fn(); 5] = [
        &|| {
            let mut bytes = fs::read(&weights).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&weights, bytes).unwrap();
        },
        &|| {
            let bytes = fs::read(&weights).unwrap();
            fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
        },
        &|| fs::remove_file(base.join("config.json")).unwrap(),
        &|| fs::remove_file(base.join("manifest.json")).unwrap(),
        // Whole, but of another setting.
        &|| {
            let mut other = quantised();
            other.plan.quantize = model::Quantize::Nf4 { double: false };
            run(&mut other);
            fs::remove_dir_all(&base).unwrap();
            copy_dir(&copies(&other)[0], &base);
        },
    ];
    for (i, damage) in damages.iter().enumerate() {
        damage();
        let (files, told) = run(&mut b);
        assert_eq!(told.phases, MADE_AGAIN, "damage {i}");
        let [note] = &told.notes[..] else { panic!("damage {i}: {:?}", told.notes) };
        assert!(note.contains("is not whole") && note.ends_with("made again"), "{note}");
        assert_same(&want, &files, note);
        assert_eq!(run(&mut b).1.phases, FOUND);
    }
}

/// What a kill leaves at any tensor is swept away by the next run.
#[test]
fn killed_while_the_copy_is_made() {
    let mut b = quantised();
    let want = without_copy(&mut b);
    let mut images = Vec::new();
    b.run_with(&AtomicBool::new(false), &mut |e| {
        if let Event::Quantising { .. } = e {
            let image = b.temp.path().join(format!("bases-{}", images.len()));
            copy_dir(cache(&b), &image);
            images.push(image);
        }
    })
    .unwrap();
    fs::remove_dir_all(b.out()).unwrap();
    assert!(images.len() > 10, "{}", images.len());
    for image in images.into_iter().step_by(7) {
        let entry = fs::read_dir(&image).unwrap().next().unwrap().unwrap().path();
        assert!(entry.join("base.tmp").exists() && !entry.join("base").exists());
        b.plan.quantize_cache = Some(image);
        let (files, told) = run(&mut b);
        assert_eq!(told.phases, MADE);
        assert_same(&want, &files, "after a kill");
        assert!(entry.join("base").exists() && !entry.join("base.tmp").exists());
    }
}

#[test]
fn interrupted_before_the_model_is_loaded() {
    let mut b = quantised();
    let want = without_copy(&mut b);
    type At = fn(&Event) -> bool;
    let moments: [(At, &str, usize); 4] = [
        (|e| matches!(e, Event::Hashing { .. }), "hashing", 0),
        (|e| matches!(e, Event::Quantising { .. }), "quantising", 0),
        (|e| matches!(e, Event::Phase("model")), "loading", 1),
        (|e| matches!(e, Event::Phase("check")), "checking", 1),
    ];
    for (at, what, there) in moments {
        if what == "checking" {
            run(&mut b);
        }
        assert_eq!(b.run_interrupted(at), 0, "{what}");
        assert_eq!(copies(&b).len(), there, "{what}");
        let entries = fs::read_dir(cache(&b)).into_iter().flatten();
        assert!(entries.into_iter().all(|e| !e.unwrap().path().join("base.tmp").exists()), "{what}");
        resume(b.out()).unwrap();
        assert_same(&want, &promised(b.out(), 7), what);
        fs::remove_dir_all(cache(&b)).unwrap();
        fs::remove_dir_all(b.out()).unwrap();
    }
}

#[test]
fn two_runs_at_once_make_one_copy() {
    let b = quantised();
    let outs = ["one", "two"].map(|name| b.temp.path().join(name));
    outs.iter().for_each(|out| fs::create_dir(out).unwrap());
    let told = std::thread::scope(|scope| {
        let runs = outs.each_ref().map(|out| {
            let plan = train::Plan { out: out.clone(), ..b.plan.clone() };
            scope.spawn(move || {
                let mut told = Told::default();
                train::run(&plan, &RealFs, &AtomicBool::new(false), &mut |e| told.hear(&e)).unwrap();
                told
            })
        });
        runs.map(|run| run.join().unwrap())
    });
    let made = told.iter().flat_map(|t| &t.phases).filter(|p| *p == "quantise").count();
    assert_eq!(made, 1, "{:?}", told.each_ref().map(|t| &t.phases));
    assert_same(&promised(&outs[0], 7), &promised(&outs[1], 7), "at once");
}

#[test]
fn a_run_waits_for_another_that_makes_the_copy_and_can_be_stopped() {
    let mut b = quantised();
    run(&mut b);
    let entry = copies(&b).remove(0).parent().unwrap().to_owned();
    let mut lock = Some(RunLock::acquire(&entry).unwrap());
    let mut notes = Vec::new();
    b.run_with(&AtomicBool::new(false), &mut |e| match e {
        Event::Note(text) if text.contains("waiting") => {
            notes.push(text);
            lock = None;
        }
        _ => {}
    })
    .unwrap();
    assert!(notes.len() == 1 && notes[0].contains(&std::process::id().to_string()), "{notes:?}");
    fs::remove_dir_all(b.out()).unwrap();
    let _lock = RunLock::acquire(&entry).unwrap();
    assert_eq!(b.run_interrupted(|e| matches!(e, Event::Note(text) if text.contains("waiting"))), 0);
}

#[test]
fn a_full_disk_ends_only_a_run_that_needs_the_copy() {
    let mut b = quantised();
    let want = without_copy(&mut b);
    let narrow = Narrow { below: cache(&b).to_owned(), free: 100_000 };
    let (files, told) = run_on(&mut b, &narrow);
    assert_same(&want, &files.unwrap(), "quantised while loading");
    let [note] = &told.notes[..] else { panic!("{:?}", told.notes) };
    assert!(note.contains("quantised while loading") && note.contains("100000 are free"), "{note}");
    assert!(copies(&b).is_empty());
    let shown = preview(&b.plan, &narrow, &AtomicBool::new(false), &mut |_| {}).unwrap().copy.unwrap();
    assert!(!shown.fits() && !shown.there);

    tight(&mut b);
    let refused = |error: TrainError| match error {
        TrainError::QuantizedCopy { source } => match *source {
            TrainError::DiskSpace { needed, free: 100_000, .. } => assert!(needed > 100_000),
            other => panic!("{other}"),
        },
        other => panic!("{other}"),
    };
    refused(run_on(&mut b, &narrow).0.unwrap_err());
    refused(preview(&b.plan, &narrow, &AtomicBool::new(false), &mut |_| {}).err().unwrap());
}

#[test]
fn a_cache_that_cannot_be_written_ends_only_a_run_that_needs_it() {
    let mut b = quantised();
    let want = without_copy(&mut b);
    // No folder can be made below a file.
    let file = b.temp.path().join("file");
    fs::write(&file, "").unwrap();
    b.plan.quantize_cache = Some(file.join("bases"));
    let (files, told) = run(&mut b);
    assert_same(&want, &files, "quantised while loading");
    assert!(told.notes.len() == 1 && told.notes[0].contains("no copy of it kept"), "{:?}", told.notes);
    tight(&mut b);
    match run_on(&mut b, &RealFs).0 {
        Err(TrainError::QuantizedCopy { source }) => {
            assert!(matches!(*source, TrainError::Folder(RunFsError::Io { .. })), "{source}");
        }
        other => panic!("{:?}", other.map(|files| files.len())),
    }
}

#[test]
fn hashing_is_told_to_its_end() {
    let mut b = quantised();
    for phase in ["hash", "check"] {
        let (mut in_phase, mut last) = (false, None);
        b.run_with(&AtomicBool::new(false), &mut |e| match e {
            Event::Phase(name) => in_phase = name == phase,
            Event::Hashing { bytes, bytes_total } if in_phase => last = Some((bytes, bytes_total)),
            _ => {}
        })
        .unwrap();
        fs::remove_dir_all(b.out()).unwrap();
        match (phase, last) {
            // The first run finds nothing to check.
            ("hash", Some((bytes, total))) => assert!(bytes == total && total > 1_000_000),
            ("check", Some((bytes, total))) => assert!(bytes == total && total > 100_000),
            other => panic!("{other:?}"),
        }
    }
    b.plan.quantize_cache = None;
    let stop = AtomicBool::new(false);
    let mut phases = Vec::new();
    let error = b.run_with(&stop, &mut |e| match e {
        Event::Hashing { .. } => stop.store(true, Ordering::Relaxed),
        Event::Phase(name) => phases.push(name.to_owned()),
        _ => {}
    });
    assert!(matches!(error, Err(TrainError::Interrupted { step: 0 })), "{error:?}");
    assert_eq!(phases, ["data", "hash"]);
}

/// The real file system with so many bytes free below one folder.
struct Narrow {
    below: PathBuf,
    free: u64,
}

impl Fs for Narrow {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealFs.create_dir_all(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        RealFs.create(path)
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        RealFs.append(path)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealFs.read(path)
    }
    fn reader(&self, path: &Path) -> io::Result<Box<dyn io::Read>> {
        RealFs.reader(path)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        Fs::len(&RealFs, path)
    }
    fn exists(&self, path: &Path) -> bool {
        RealFs.exists(path)
    }
    fn is_dir(&self, path: &Path) -> bool {
        RealFs.is_dir(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        RealFs.list(dir)
    }
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        RealFs.truncate(path, len)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(from, to)
    }
    fn exchange(&self, a: &Path, b: &Path) -> io::Result<()> {
        RealFs.exchange(a, b)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_file(path)
    }
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealFs.remove_dir_all(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealFs.sync_dir(dir)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        if path.starts_with(&self.below) { Ok(self.free) } else { RealFs.free_bytes(path) }
    }
}
