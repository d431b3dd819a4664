//! Failing disks and power cuts under a whole run, with the file system of `runfs` that does such things.

use crate::common::{Bench, bench};
use runfs::{Fault, FaultyFs, RunFsError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use train::{Event, RunLength, Summary, TrainError};

/// Short, with two validations and two checkpoints.
fn short() -> Bench {
    let mut b = bench();
    b.plan.train.length = RunLength::Steps(3);
    b.plan.train.checkpoint_every = 2;
    b.plan.train.eval_every = Some(2);
    b
}

fn run_on(b: &Bench, fs: &FaultyFs) -> Result<Summary, TrainError> {
    train::run(&b.plan, fs, &AtomicBool::new(false), &mut |_| {})
}

/// What a user does after a failure: resume if a run is there, begin it if not.
fn go_on(b: &Bench, fs: &FaultyFs) -> Result<Summary, TrainError> {
    let on = &mut |_: Event| {};
    match train::resume(b.out(), fs, &AtomicBool::new(false), on) {
        Err(TrainError::NoRun { .. }) => run_on(b, fs),
        other => other,
    }
}

type Files = BTreeMap<PathBuf, Arc<Vec<u8>>>;

/// Every file under its absolute path.
fn files(fs: &FaultyFs) -> impl Iterator<Item = (PathBuf, Arc<Vec<u8>>)> {
    fs.contents().into_iter().filter_map(|(path, bytes)| Some((Path::new("/").join(path), bytes?)))
}

/// The files that the promise covers.
fn promised(b: &Bench, fs: &FaultyFs) -> Files {
    let covered = ["metrics.jsonl", "adapter", "best", "checkpoints/step-00000003"].map(|p| b.out().join(p));
    files(fs).filter(|(path, _)| covered.iter().any(|c| path.starts_with(c))).collect()
}

#[track_caller]
fn assert_promised(expected: &Files, b: &Bench, fs: &FaultyFs, what: &str) {
    let got = promised(b, fs);
    assert!(!expected.is_empty(), "{what}: nothing to compare with");
    assert_eq!(expected.keys().collect::<Vec<_>>(), got.keys().collect::<Vec<_>>(), "{what}");
    for (path, bytes) in expected {
        assert!(bytes == &got[path], "{what}: {} differs", path.display());
    }
}

#[test]
fn every_operation_fails_once() {
    let b = short();
    let healthy = FaultyFs::new();
    run_on(&b, &healthy).unwrap();
    let expected = promised(&b, &healthy);
    for fault in [Fault::Io, Fault::NoSpace] {
        for n in 1.. {
            let fs = FaultyFs::new();
            fs.fail_after(n, fault);
            let result = run_on(&b, &fs);
            if !fs.fired() {
                result.unwrap();
                break;
            }
            let what = format!("{fault:?} at operation {n}");
            if let Err(error) = result {
                check_error(fault, &error, &what);
                go_on(&b, &fs).unwrap_or_else(|e| panic!("{what}, then: {e}"));
            }
            assert_promised(&expected, &b, &fs, &what);
        }
    }
}

#[track_caller]
fn check_error(fault: Fault, error: &TrainError, what: &str) {
    match (fault, error) {
        (Fault::Io, TrainError::Folder(RunFsError::Io { .. }))
        | (Fault::NoSpace, TrainError::Folder(RunFsError::DiskFull { .. })) => {}
        _ => panic!("{what}: {error:?}"),
    }
}

#[test]
fn a_power_cut_at_any_moment() {
    let b = short();
    let fs = FaultyFs::new();
    fs.record_crashes();
    run_on(&b, &fs).unwrap();
    let expected = promised(&b, &fs);
    let images = fs.take_crashes();
    assert!(images.len() > 100, "{}", images.len());
    // Each image costs a run: a fixed share of them, spread over the whole run, is tried.
    for image in images.iter().step_by(images.len().div_ceil(150)) {
        go_on(&b, &image.fs).unwrap_or_else(|e| panic!("{}: {e}", image.after));
        assert_promised(&expected, &b, &image.fs, &image.after);
    }
}

#[test]
fn too_small_a_disk_is_refused_before_the_first_step() {
    let b = short();
    let fs = FaultyFs::new();
    fs.set_capacity(100_000);
    let mut stepped = false;
    let result = train::run(&b.plan, &fs, &AtomicBool::new(false), &mut |e| stepped |= matches!(e, Event::Step { .. }));
    match result {
        Err(TrainError::DiskSpace { needed, free, .. }) => assert!(needed > free && free <= 100_000),
        other => panic!("{other:?}"),
    }
    assert!(!stepped);
    assert!(promised(&b, &fs).is_empty());
}

/// What is asked for is enough for the whole run, and no more than what that may hold at once: four checkpoints and two
/// results, within what headers, small files and ranks that are masked later make of it.
#[test]
fn as_much_disk_as_is_asked_for_is_enough() {
    for method in ["lora", "full", "adalora"] {
        let mut b = bench();
        b.lora_mut().r = 32;
        b.lora_mut().targets = model::Targets::Names(vec!["q_proj".into(), "down_proj".into()]);
        b.plan.train.eval_every = Some(1);
        match method {
            "full" => b.train_whole(),
            "adalora" => {
                let (warmup, last) = (model::Span::Steps(1), model::Span::Steps(2));
                let (beta1, beta2, orthogonality) = (0.85, 0.85, 0.5);
                let ranks = model::AdaPlan { target_r: 24, warmup, last, every: Some(2), beta1, beta2, orthogonality };
                b.lora_mut().ada = Some(ranks);
            }
            _ => {}
        }
        let tight = FaultyFs::new();
        tight.set_capacity(100_000);
        let (needed, free) = match run_on(&b, &tight) {
            Err(TrainError::DiskSpace { needed, free, .. }) => (needed, free),
            other => panic!("{method}: {other:?}"),
        };
        let fs = FaultyFs::new();
        fs.set_capacity(100_000 - free + needed);
        run_on(&b, &fs).unwrap_or_else(|e| panic!("{method}: {e}"));
        let under = |folder: &str| -> u64 {
            let folder = b.out().join(folder);
            files(&fs).filter(|(path, _)| path.starts_with(&folder)).map(|(_, bytes)| bytes.len() as u64).sum()
        };
        let results = ["adapter", "adapter-plain", "model", "best", "best-plain"];
        let (checkpoints, results) = (under("checkpoints"), results.map(under).iter().sum::<u64>());
        let last = under("checkpoints/step-00000007");
        let held = checkpoints.div_ceil(last);
        assert!(held <= 3 && last > 100_000 && results > 0, "{method}: {checkpoints} {last} {results}");
        let most = 4 * last + results;
        assert!(needed >= most, "{method}: {needed} asked for, {most} are there at most");
        // Six times 64 KiB for small files, half a kilobyte a tensor for headers, and ranks that are masked later.
        let margin = (6 << 16) + 4 * 512 * 200 + if method == "adalora" { results } else { 0 };
        assert!(needed <= most + margin, "{method}: {needed} asked for, {most} are there at most");
    }
}

#[test]
fn a_read_only_folder_is_refused_before_anything_is_read() {
    let b = short();
    let fs = FaultyFs::new();
    fs.make_read_only();
    let mut phases = 0;
    let result =
        train::run(&b.plan, &fs, &AtomicBool::new(false), &mut |e| phases += usize::from(matches!(e, Event::Phase(_))));
    assert!(matches!(result, Err(TrainError::Folder(RunFsError::ReadOnly { .. }))), "{result:?}");
    assert_eq!(phases, 0);
}
