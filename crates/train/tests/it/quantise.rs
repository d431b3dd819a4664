//! A model written in NF4: whole or not at all.

use crate::common::{bench, repository};
use runfs::{Fault, FaultyFs, RealFs};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use train::{Event, TrainError, quantize};

fn stories() -> std::path::PathBuf {
    repository("examples/models/stories260K")
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_run_on_the_written_folder_is_one_that_quantises_while_loading() {
    let mut b = bench();
    b.plan.train.length = train::RunLength::Steps(2);
    let out = b.temp.path().join("nf4");
    let (mut last, go) = ((0, 0), AtomicBool::new(false));
    let done = quantize(&stories(), &out, true, &RealFs, &go, &mut |event| {
        if let Event::Quantising { bytes, bytes_total } = event {
            last = (bytes, bytes_total);
        }
    })
    .unwrap();
    assert!(last.0 > 0 && last.0 <= last.1 && done.bytes < done.bytes_before / 2, "{last:?} {done:?}");
    let mut expected = names(&stories());
    expected.push(runfs::MANIFEST.to_owned());
    expected.sort();
    assert_eq!(names(&out), expected, "tokenizer and the rest come along");
    runfs::verify_dir(&RealFs, &out).unwrap();

    b.plan.quantize = model::Quantize::Nf4 { double: true };
    let quantised = train::run(&b.plan, &RealFs, &go, &mut |_| {}).unwrap();
    let adapter = fs::read(b.plan.out.join("adapter/adapter_model.safetensors")).unwrap();
    b.plan.quantize = model::Quantize::None;
    b.plan.out = b.temp.path().join("on-file");
    b.plan.model = out.clone();
    let found = train::run(&b.plan, &RealFs, &go, &mut |_| {}).unwrap();
    assert_eq!(quantised.final_train_loss, found.final_train_loss);
    assert_eq!(adapter, fs::read(b.plan.out.join("adapter/adapter_model.safetensors")).unwrap());

    let again = quantize(&stories(), &out, true, &RealFs, &go, &mut |_| {}).unwrap_err();
    assert!(matches!(again, TrainError::OutExists { .. }), "{again}");
}

#[test]
fn what_is_cut_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("nf4");
    let stop = AtomicBool::new(false);
    let error = quantize(&stories(), &out, true, &RealFs, &stop, &mut |event| {
        if let Event::Quantising { .. } = event {
            stop.store(true, Ordering::Relaxed);
        }
    })
    .unwrap_err();
    assert!(matches!(error, TrainError::InterruptedWriting { .. }), "{error}");
    assert!(names(temp.path()).is_empty(), "{:?}", names(temp.path()));

    let go = AtomicBool::new(false);
    for n in 1.. {
        let fs = FaultyFs::new();
        fs.fail_after(n, Fault::NoSpace);
        if quantize(&stories(), &out, false, &fs, &go, &mut |_| {}).is_ok() {
            assert!(n > 10, "faults came: {n}");
            break;
        }
        // Nothing, or the whole, which could not be made durable.
        let there: Vec<_> = fs.contents().into_keys().filter(|p| p.starts_with(&out)).collect();
        assert!(there.is_empty() || there.contains(&out.join("model.safetensors")), "{n}: {there:?}");
    }
}
