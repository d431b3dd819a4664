//! What a run refuses, when, and in which words.

use crate::common::{Bench, assert_same, bench, copy_dir, promised, repository, resume};
use model::{AdaPlan, Span};
use runfs::{RealFs, RunFsError, RunLock};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use train::{EarlyStop, Event, RunLength, TrainError, Warmup};

/// Runs and expects a refusal before the model is loaded, leaving a folder that may be used again.
#[track_caller]
fn refused_early(b: &Bench) -> TrainError {
    let mut loaded = false;
    let result = b.run_with(&AtomicBool::new(false), &mut |e| loaded |= matches!(e, Event::Phase("model")));
    let error = result.expect_err("a refusal");
    assert!(!loaded, "refused only after the model was loaded: {error}");
    assert!(!b.out().join("plan.json").exists());
    error
}

#[test]
fn plans_that_mean_nothing() {
    type Edit = fn(&mut train::Plan);
    let cases: &[(&str, Edit)] = &[
        ("adapter.method", |p| p.adapter = model::AdapterPlan::None),
        ("train.steps", |p| p.train.length = RunLength::Steps(0)),
        ("train.epochs", |p| p.train.length = RunLength::Epochs(f64::NAN)),
        ("train.batch", |p| p.train.batch = 0),
        ("train.micro_tokens", |p| p.train.micro_tokens = Some(0)),
        ("train.seq_len_max", |p| p.data.lengths.seq_len_max = 1),
        ("train.lr", |p| p.train.lr = f64::INFINITY),
        ("train.warmup", |p| p.train.warmup = Warmup::Ratio(1.5)),
        ("train.weight_decay", |p| p.train.weight_decay = -1.0),
        ("train.betas", |p| p.train.betas = (0.9, 1.0)),
        ("train.eps", |p| p.train.eps = 0.0),
        ("train.clip", |p| p.train.clip = Some(0.0)),
        ("train.checkpoint_every", |p| p.train.checkpoint_every = 0),
        ("train.eval_every", |p| p.train.eval_every = Some(0)),
        ("train.threads", |p| p.train.threads = Some(0)),
        ("train.early_stop.patience", |p| p.train.early_stop = Some(EarlyStop { patience: 0, min_delta: 0.0 })),
        ("train.early_stop", |p| {
            p.data.valid = None;
            p.train.early_stop = Some(EarlyStop { patience: 1, min_delta: 0.0 });
        }),
    ];
    for (expected, edit) in cases {
        let mut b = bench();
        edit(&mut b.plan);
        match b.run() {
            Err(TrainError::Plan { field, .. }) => assert_eq!(field, *expected),
            other => panic!("{expected}: {other:?}"),
        }
        assert!(!b.out().exists());
    }
}

#[test]
fn a_folder_with_a_run() {
    let b = bench();
    b.run().unwrap();
    assert!(matches!(b.run(), Err(TrainError::RunExists { dir }) if dir == b.out()));
    assert!(matches!(resume(b.temp.path()), Err(TrainError::NoRun { .. })));
    assert!(matches!(resume(&b.temp.path().join("nowhere")), Err(TrainError::NoRun { .. })));
    assert!(!b.temp.path().join("nowhere").exists());
}

#[test]
fn a_folder_in_use_names_the_process() {
    let b = bench();
    fs::create_dir_all(b.out()).unwrap();
    let _lock = RunLock::acquire(b.out()).unwrap();
    match b.run() {
        Err(TrainError::Folder(RunFsError::InUse { pid, .. })) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
}

/// Before the data are read where steps are counted, which leaves no folder; before the model is where epochs are.
#[test]
fn too_few_steps_for_ranks_to_be_masked() {
    let ranks = |b: &mut Bench, warmup| {
        let last = Span::Steps(2);
        let (beta1, beta2, orthogonality) = (0.85, 0.85, 0.5);
        b.lora_mut().ada = Some(AdaPlan { target_r: 2, warmup, last, every: Some(2), beta1, beta2, orthogonality });
    };
    let mut b = bench();
    ranks(&mut b, Span::Steps(3));
    let mut phases = Vec::new();
    let result = b.run_with(&AtomicBool::new(false), &mut |e| {
        if let Event::Phase(phase) = e {
            phases.push(phase.to_owned());
        }
    });
    match result {
        Err(TrainError::TooFewSteps { steps: 7, warmup, last }) => assert_eq!((&*warmup, &*last), ("3", "2")),
        other => panic!("{other:?}"),
    }
    assert!(phases.is_empty() && !b.out().exists(), "{phases:?}");

    // 11 rows in batches of 3, twice.
    let mut b = bench();
    b.plan.train.length = RunLength::Epochs(2.0);
    ranks(&mut b, Span::Share(0.5));
    match refused_early(&b) {
        TrainError::TooFewSteps { steps: 8, warmup, .. } => assert_eq!(warmup, "50 %"),
        other => panic!("{other}"),
    }
    ranks(&mut b, Span::Share(0.1));
    b.run().unwrap();
}

#[test]
fn no_data_or_none_left() {
    let b = bench();
    b.write_train("");
    refused_early(&b);

    let mut b = bench();
    b.plan.data.lengths.seq_len_max = 3;
    b.plan.data.lengths.over = data::OverLength::Drop;
    let error = refused_early(&b).to_string();
    assert!(error.contains("11"), "the count of the rows dropped: {error}");

    // The folder may be used again.
    let b = Bench { plan: train::Plan { out: b.plan.out.clone(), ..bench_plan(&b) }, ..b };
    b.run().unwrap();
}

fn bench_plan(b: &Bench) -> train::Plan {
    let mut plan = b.plan.clone();
    plan.data.lengths.seq_len_max = 64;
    plan
}

#[test]
fn a_row_longer_than_a_pass() {
    let mut b = bench();
    b.plan.train.micro_tokens = Some(8);
    match refused_early(&b) {
        TrainError::RowOverPass { origin, tokens, micro_tokens: 8 } => {
            assert!(tokens > 8 && origin.contains("train.jsonl:6"), "{origin}")
        }
        other => panic!("{other}"),
    }
}

#[test]
fn more_memory_than_there_is() {
    let mut b = bench();
    b.plan.train.micro_tokens = None;
    b.plan.train.memory = Some(1 << 20);
    match refused_early(&b) {
        TrainError::Memory { origin, needed, limit, fits, .. } => {
            assert!(origin.contains("train.jsonl:"), "{origin}");
            assert!(needed > limit && limit <= 1 << 20);
            assert!(fits.starts_with("no row would fit"), "{fits}");
        }
        other => panic!("{other}"),
    }

    // Just under what the longest row needs at the least: shorter rows are offered.
    let mut b = bench();
    let preview = |b: &Bench| train::preview(&b.plan, &RealFs, &AtomicBool::new(false), &mut |_| {});
    b.plan.train.micro_tokens = None;
    b.plan.train.batch = 1;
    b.plan.train.memory = Some(1);
    let Err(TrainError::Memory { needed, .. }) = preview(&b) else { panic!("one byte is enough") };
    b.plan.train.memory = Some(needed - 1);
    match preview(&b) {
        Err(TrainError::Memory { fits, .. }) => assert!(fits.starts_with("rows of at most"), "{fits}"),
        other => panic!("{:?}", other.map(|p| p.memory)),
    }
    b.plan.train.memory = Some(needed);
    preview(&b).unwrap();

    // A pass as the plan gives it, larger than it need be: a smaller one is offered.
    b.plan.train.micro_tokens = Some(1000);
    match preview(&b) {
        Err(TrainError::Memory { fits, .. }) => assert!(fits.starts_with("train.micro_tokens up to"), "{fits}"),
        other => panic!("{:?}", other.map(|p| p.memory)),
    }
}

#[test]
fn a_smaller_pass_when_the_larger_does_not_fit() {
    let mut b = bench();
    b.plan.train.micro_tokens = None;
    b.plan.train.batch = 200;
    let preview = |b: &Bench| train::preview(&b.plan, &RealFs, &AtomicBool::new(false), &mut |_| {}).unwrap().memory;
    let large = preview(&b);
    b.plan.train.memory = Some(large.total - 1);
    let small = preview(&b);
    assert!(small.total <= small.limit);
    // Held packed, weights need no large pass; held plain, they would have one if it fitted.
    assert_eq!((large.weights_packed, small.weights_packed), (true, false));
    // Layers are not computed again where a smaller pass will do.
    assert_eq!((large.layers_recomputed, small.layers_recomputed), (0, 0));
    assert_eq!(small.scratch, large.scratch);
}

/// A run cut at step 4, whose newest checkpoint is of step 4 and the one before of step 3.
fn cut_run() -> Bench {
    let b = bench();
    b.run_interrupted(|e| matches!(e, Event::Step { step: 4, .. }));
    b
}

#[test]
fn a_changed_plan_is_named_by_its_field() {
    for (from, to, expected) in [
        ("\"lr\": 0.01", "\"lr\": 0.02", "train.lr"),
        ("\"r\": 4", "\"r\": 8", "adapter.r"),
        ("\"batch\": 3", "\"batch\": 4", "train.batch"),
        ("\"optimizer\": \"adamw\"", "\"optimizer\": \"adamw_8bit\"", "train.optimizer"),
        ("\"quantize\": \"none\"", "\"quantize\": {\"nf4\":{\"double\":true}}", "quantize"),
    ] {
        let b = cut_run();
        edit(&b.out().join("plan.json"), from, to);
        match resume(b.out()) {
            Err(TrainError::PlanChanged { field, was, now, .. }) => {
                assert_eq!(field, expected);
                assert!(from.ends_with(&was) && to.ends_with(&now), "{was} → {now}");
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn changed_data() {
    let b = cut_run();
    let path = b.temp.path().join("train.jsonl");
    edit(&path, "to the park", "to the pond");
    match resume(b.out()) {
        Err(TrainError::DataChanged { was, now, .. }) => assert!(was != now && was.len() == 64),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_changed_base_model() {
    let mut b = bench();
    let copy = b.temp.path().join("base");
    copy_dir(&repository("examples/models/stories260K"), &copy);
    b.plan.model = copy.clone();
    b.plan.data.text.model_dir = copy.clone();
    b.run_interrupted(|e| matches!(e, Event::Step { step: 4, .. }));
    let weights = copy.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&weights, bytes).unwrap();
    assert!(matches!(resume(b.out()), Err(TrainError::ModelChanged { .. })));
}

#[test]
fn a_torn_checkpoint_is_skipped_by_name() {
    let whole = cut_run();
    let mut expected = None;
    let newest = whole.out().join("checkpoints/step-00000004");
    let files: Vec<_> = fs::read_dir(&newest).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(files.len(), 4);
    for file in &files {
        for damage in [flip as fn(&Path), halve, remove] {
            let image = whole.temp.path().join("image");
            copy_dir(whole.out(), &image);
            damage(&image.join("checkpoints/step-00000004").join(file));
            let mut notes = Vec::new();
            let mut first = 0;
            train::resume(&image, &RealFs, &AtomicBool::new(false), &mut |e| match e {
                Event::Note(n) => notes.push(n),
                Event::Start { first_step, .. } => first = first_step,
                _ => {}
            })
            .unwrap();
            assert_eq!(first, 4, "goes on after step 3");
            let skip = notes.iter().find(|n| n.contains("skipped")).expect("a note");
            assert!(skip.contains("step-00000004"), "{skip}");
            let now = promised(&image, 7);
            assert_same(expected.get_or_insert_with(|| now.clone()), &now, skip);
            fs::remove_dir_all(&image).unwrap();
        }
    }
}

#[test]
fn no_checkpoint_is_whole() {
    let b = cut_run();
    for step in [3, 4] {
        flip(&b.out().join(format!("checkpoints/step-0000000{step}/adamw.safetensors")));
    }
    match resume(b.out()) {
        Err(TrainError::NoCheckpoint { skipped, .. }) => {
            assert_eq!(skipped.len(), 2);
            assert!(skipped.iter().all(|s| s.contains("adamw.safetensors")), "{skipped:?}");
        }
        other => panic!("{other:?}"),
    }
    fs::remove_dir_all(b.out().join("checkpoints")).unwrap();
    assert!(matches!(resume(b.out()), Err(TrainError::NoCheckpoint { .. })), "the metrics know of a checkpoint");
}

#[test]
fn an_optimiser_state_of_another_shape() {
    let b = cut_run();
    let dir = b.out().join("checkpoints/step-00000004");
    let path = dir.join("adamw.safetensors");
    // [4,64] becomes [64,4]: as many bytes, another tensor; and a manifest that vouches for it.
    let mut altered = fs::read(&path).unwrap();
    let at = altered.windows(6).position(|w| w == b"[4,64]").expect("a tensor of rank 4");
    altered[at..at + 6].copy_from_slice(b"[64,4]");
    let kept = ["params.safetensors", "state.json"].map(|name| (name, fs::read(dir.join(name)).unwrap()));
    runfs::publish_dir(&RealFs, &dir, &mut |staged| {
        staged.file("adamw.safetensors", &mut |out| out.write_all(&altered))?;
        kept.iter().try_for_each(|(name, bytes)| staged.file(name, &mut |out| out.write_all(bytes)))
    })
    .unwrap();
    match resume(b.out()) {
        Err(TrainError::StateShape { tensor, expected, got, .. }) => {
            assert!(tensor.starts_with("m.base_model.model.model.layers."), "{tensor}");
            assert_eq!((expected, got), (vec![4, 64], vec![64, 4]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn bad_numbers_update_nothing() {
    let mut b = bench();
    b.plan.train.lr = 1e30;
    b.plan.train.clip = None;
    b.plan.train.warmup = Warmup::Steps(3);
    b.plan.train.eval_every = Some(100);
    let before = b.plan.data.train[0].path.display().to_string();
    match b.run() {
        Err(TrainError::NumbersWentBad { step, value, rows, .. }) => {
            assert!(!value.is_finite());
            let report: Value = serde_json::from_slice(&fs::read(&rows).unwrap()).unwrap();
            assert_eq!(report["step"].as_u64(), Some(step));
            let list = report["rows"].as_array().unwrap();
            assert!(!list.is_empty() && list.len() <= 3);
            assert!(before.ends_with(list[0]["file"].as_str().unwrap().rsplit('/').next().unwrap()));
            assert!(list[0]["line"].as_u64().unwrap() >= 1);
            // The step left no line, and the newest checkpoint is older than it.
            let steps = crate::common::json_lines(&b.out().join("metrics.jsonl"));
            assert_eq!(steps.last().unwrap()["step"].as_u64(), Some(step - 1));
            assert!(!b.out().join(format!("checkpoints/step-{step:08}")).exists());
            assert!(!b.out().join("adapter").exists());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_step_without_a_supervised_token() {
    let mut b = bench();
    // Only the last token of each long row is supervised, and wrapped rows of 8 tokens cut most of them off.
    b.plan.data.text.loss_on = data::LossOn::Response;
    b.plan.data.lengths.packing = data::Packing::Wrapped;
    b.plan.data.lengths.seq_len_max = 4;
    b.plan.train.batch = 1;
    b.plan.train.micro_tokens = Some(4);
    b.plan.train.length = RunLength::Steps(50);
    let row = |n: usize| {
        format!("{}\n", serde_json::json!({"prompt": "the dog and the cat ".repeat(n), "completion": "ran"}))
    };
    b.write_train(&(1..6).map(row).collect::<String>());
    b.plan.data.valid = None;
    match b.run() {
        Err(TrainError::NothingSupervised { first, .. }) => assert!(first.contains("train.jsonl"), "{first}"),
        other => panic!("{other:?}"),
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{} does not hold {from}: {text}", path.display());
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn halve(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}
