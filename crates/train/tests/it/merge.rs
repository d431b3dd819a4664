//! An adapter folded into its base: which base, in which form, and what an interruption or a small disk leaves.

use crate::common::{bench, repository};
use model::{BaseRecord, ModelError, Quantize};
use runfs::{FaultyFs, RealFs};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use train::{Event, MergePlan, TrainError, merge};

const NF4: Quantize = Quantize::Nf4 { double: true };

fn stories() -> PathBuf {
    repository("examples/models/stories260K")
}

/// A short run's adapter, in a folder that goes with the first.
fn trained(quantize: Quantize) -> (crate::common::Bench, PathBuf) {
    let mut b = bench();
    b.plan.train.length = train::RunLength::Steps(4);
    b.plan.train.lr = 1e-1;
    b.plan.quantize = quantize;
    train::run(&b.plan, &RealFs, &AtomicBool::new(false), &mut |_| {}).unwrap();
    let adapter = b.plan.out.join("adapter");
    (b, adapter)
}

fn plan(adapter: &Path, base: &Path, out: &Path) -> MergePlan {
    let (adapter, base, out) = (adapter.to_owned(), base.to_owned(), out.to_owned());
    let dtype = Some(weights::Dtype::F32);
    MergePlan { adapter, base, out, dtype, quantize: None, threads: Some(1), other_base: false, check: false }
}

fn merged(plan: &MergePlan) -> Vec<u8> {
    merge(plan, &RealFs, &AtomicBool::new(false), &mut |_| {}).unwrap();
    fs::read(plan.out.join("model.safetensors")).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// An adapter that was trained beside a base in 4 bits is added to the values that this has there, as its folder says; the
/// same as on the base that was written in 4 bits.
#[test]
fn an_adapter_is_added_to_the_values_it_was_trained_beside() {
    let (b, adapter) = trained(NF4);
    let at = |name: &str| b.temp.path().join(name);
    assert_eq!(BaseRecord::read(&adapter).unwrap().unwrap().quantize, NF4);
    let by_default = merged(&plan(&adapter, &stories(), &at("default")));
    train::quantize(&stories(), &at("nf4"), true, &RealFs, &AtomicBool::new(false), &mut |_| {}).unwrap();
    // Its weights are other ones, so that it must be asked for.
    let on_nf4 =
        MergePlan { other_base: true, quantize: Some(Quantize::None), ..plan(&adapter, &at("nf4"), &at("file")) };
    assert!(merged(&on_nf4) == by_default, "NF4 from the file and while loading");
    let floats = MergePlan { quantize: Some(Quantize::None), ..plan(&adapter, &stories(), &at("floats")) };
    assert!(merged(&floats) != by_default, "as they were before");
    // A folder that says nothing is taken as PEFT's are; the plan says it instead.
    fs::remove_file(adapter.join(model::BASE_FILE)).unwrap();
    assert!(merged(&plan(&adapter, &stories(), &at("silent"))) == fs::read(at("floats/model.safetensors")).unwrap());
    let told = MergePlan { quantize: Some(NF4), check: true, ..plan(&adapter, &stories(), &at("told")) };
    let done = merge(&told, &RealFs, &AtomicBool::new(false), &mut |_| {}).unwrap();
    assert!(fs::read(at("told/model.safetensors")).unwrap() == by_default, "told");
    assert!(done.kl.unwrap().abs() < 1e-9 && done.kl == done.kl_before_rounding && done.quantize == NF4, "{done:?}");
}

#[test]
fn another_base_is_refused_by_merging_and_by_going_on() {
    let (mut b, adapter) = trained(Quantize::None);
    let other = b.temp.path().join("other");
    fs::create_dir(&other).unwrap();
    for name in names(&stories()) {
        fs::copy(stories().join(&name), other.join(&name)).unwrap();
    }
    // The same shapes, trained on: every element a little different.
    let path = other.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let begin = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[begin..].chunks_exact_mut(4).for_each(|v| v[0] ^= 1);
    fs::write(&path, bytes).unwrap();

    let out = b.temp.path().join("merged");
    let refused = merge(&plan(&adapter, &other, &out), &RealFs, &AtomicBool::new(false), &mut |_| {}).unwrap_err();
    assert!(matches!(&refused, TrainError::Model(ModelError::TrainedElsewhere { .. })), "{refused}");
    assert!(!out.exists());
    merged(&MergePlan { other_base: true, ..plan(&adapter, &other, &out) });
    // The copy as it was is the same base, wherever it lies.
    fs::copy(stories().join("model.safetensors"), &path).unwrap();
    merged(&plan(&adapter, &other, &b.temp.path().join("copied")));

    let mut bytes = fs::read(&path).unwrap();
    bytes[begin..].chunks_exact_mut(4).for_each(|v| v[0] ^= 1);
    fs::write(&path, bytes).unwrap();
    b.plan.model = other;
    b.plan.out = b.temp.path().join("on");
    let go_on = |b: &mut crate::common::Bench, other_base: bool| {
        let from = model::adapters::plan_from(&adapter, 0).unwrap();
        b.plan.adapter = model::AdapterPlan::Lora(Box::new(model::LoraPlan { other_base, ..from }));
        let mut read = false;
        let ran =
            train::run(&b.plan, &RealFs, &AtomicBool::new(false), &mut |e| read |= matches!(e, Event::Phase("data")));
        (ran, read)
    };
    let (refused, read) = go_on(&mut b, false);
    assert!(matches!(refused, Err(TrainError::Model(ModelError::TrainedElsewhere { .. }))), "{refused:?}");
    assert!(!read, "before the data are read");
    go_on(&mut b, true).0.unwrap();
    // What comes out names the base that it was trained on last.
    let [was, now] = [&adapter, &b.plan.out.join("adapter")].map(|d| BaseRecord::read(d).unwrap().unwrap());
    assert_ne!(was.fingerprint, now.fingerprint);
    fs::write(adapter.join(model::BASE_FILE), "{").unwrap();
    let broken = BaseRecord::read(&adapter).unwrap_err();
    assert!(broken.to_string().contains("athanor_base.json:1:"), "{broken}");
}

#[test]
fn an_interrupted_merge_leaves_nothing_or_the_whole() {
    let (b, adapter) = trained(Quantize::None);
    let there =
        |dir: &Path| names(dir).into_iter().filter(|n| n != "train.jsonl" && n != "valid.jsonl").collect::<Vec<_>>();
    let before = there(b.temp.path());
    let out = b.temp.path().join("merged");
    let stopped_at = |phase: &str| {
        let stop = AtomicBool::new(false);
        let plan = MergePlan { check: true, dtype: Some(weights::Dtype::BF16), ..plan(&adapter, &stories(), &out) };
        let error = merge(&plan, &RealFs, &stop, &mut |e| match e {
            Event::Phase(name) if name == phase => stop.store(true, Ordering::Relaxed),
            _ => {}
        });
        error.unwrap_err()
    };
    for phase in ["model", "merge"] {
        let error = stopped_at(phase);
        assert!(matches!(error, TrainError::InterruptedWriting { .. }), "{phase}: {error}");
        assert_eq!(there(b.temp.path()), before, "{phase}");
    }
    let error = stopped_at("compare");
    assert!(matches!(&error, TrainError::InterruptedComparing { dir } if *dir == out), "{error}");
    runfs::verify_dir(&RealFs, &out).unwrap();
    let mut after = before;
    after.push("merged".to_owned());
    after.sort();
    assert_eq!(there(b.temp.path()), after);
}

/// The comparison needs the weights in f32 beside the merged ones: that is asked for before anything is written.
#[test]
fn room_for_the_comparison_is_asked_for_first() {
    let (b, adapter) = trained(Quantize::None);
    let out = b.temp.path().join("merged");
    let base = fs::metadata(stories().join("model.safetensors")).unwrap().len();
    let (half, whole) = (base / 2, base);
    let tried = |check: bool, dtype, capacity: u64| {
        let fs = FaultyFs::new();
        fs.set_capacity(capacity);
        let plan = MergePlan { check, dtype: Some(dtype), ..plan(&adapter, &stories(), &out) };
        let mut merging = false;
        let result = merge(&plan, &fs, &AtomicBool::new(false), &mut |e| merging |= matches!(e, Event::Phase("merge")));
        (result, merging, fs.contents().values().flatten().count())
    };
    // In bf16 half as large, and the f32 beside it.
    match tried(true, weights::Dtype::BF16, half + whole / 2) {
        (Err(TrainError::DiskSpace { needed, what, .. }), false, 0) => {
            assert!(needed > half + whole * 9 / 10 && what.contains("before rounding"), "{needed} {what}");
        }
        other => panic!("{other:?}"),
    }
    // Without the comparison that is enough. In f32 the merged weights are those before rounding.
    assert!(tried(false, weights::Dtype::BF16, half + whole / 2).0.is_ok());
    match tried(true, weights::Dtype::F32, whole / 2) {
        (Err(TrainError::DiskSpace { needed, .. }), false, 0) => assert!(needed <= whole, "{needed}"),
        other => panic!("{other:?}"),
    }
}
