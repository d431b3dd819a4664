//! SIGINT and SIGTERM in each phase (RELIABILITY 20): the step is finished, the state published, the code 130 or 143,
//! and what follows is equal to the run that nothing interrupted.

use crate::support::{Bench, assert_same, is_phase, is_step, rows};
use rustix::process::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Long enough that a slow test still interrupts it before its end.
const LONG: [&str; 6] =
    ["--set", "train.steps=600", "--set", "train.checkpoint_every=200", "--set", "train.eval_every=100"];

#[test]
fn a_signal_in_each_phase_saves_and_the_rest_is_equal() {
    let args = [&["train", "plan.yaml"], &LONG[..]].concat();
    let bench = Bench::new("llama");
    bench.done(&args);
    let want = bench.take_results();
    type Wanted = fn(&Value) -> bool;
    let phases: [(&str, Wanted); 6] = [
        ("reading the data", |e| is_phase("data")(e)),
        ("loading the model", |e| is_phase("model")(e)),
        ("before the first step", |e| e["event"] == "start"),
        ("training", |e| is_step(150)(e)),
        ("validating", |e| is_phase("evaluate")(e)),
        ("saving a checkpoint", |e| e["event"] == "checkpoint"),
    ];
    for (phase, wanted) in phases {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let mut run = bench.watch(&args);
            assert!(run.until(wanted).is_some(), "{phase}: {:?}", run.end());
            run.signal(signal);
            let ran = run.end();
            assert_eq!(ran.code, code, "{phase}: {ran:?}");
            assert!(ran.stderr.contains("stopped: interrupted"), "{phase}: {ran:?}");
            bench.done(&["resume", "run"]);
            assert_same(&bench.take_results(), &want, phase);
        }
    }
}

/// What comes before the first step over a base in NF4: its model is read, then its copy made or checked.
#[test]
fn a_signal_before_the_base_is_loaded_is_heard() {
    let args = [&["train", "plan.yaml", "--set", "quantize=nf4"], &LONG[..]].concat();
    let bench = Bench::new("llama");
    bench.done(&args);
    let want = bench.take_results();
    for phase in ["hash", "check", "quantise"] {
        if phase == "quantise" {
            std::fs::remove_dir_all(bench.path("cache")).expect("ours");
        }
        let mut run = bench.watch(&args);
        assert!(run.until(is_phase(phase)).is_some(), "{phase}: {:?}", run.end());
        run.signal(Signal::INT);
        let ran = run.end();
        assert_eq!(ran.code, 130, "{phase}: {ran:?}");
        bench.done(&["resume", "run"]);
        assert_same(&bench.take_results(), &want, phase);
    }
}

/// The steps are done and the result is being published: that is finished, and the code still tells of the signal.
/// The rank makes saving long; on a busy machine the signal may come too late all the same, and is sent to another run.
#[test]
fn a_signal_while_the_result_is_saved_lets_it_finish() {
    let bench = Bench::new("llama");
    let args = [
        "train",
        "plan.yaml",
        "--set",
        "adapter={r: 32, modules_to_save: [lm_head, embed_tokens]}",
        "--set",
        "train.steps=2",
    ];
    bench.done(&args);
    let want = bench.take_results();
    let signalled = |signal| {
        let mut run = bench.watch(&args);
        assert!(run.until(is_phase("save")).is_some(), "{:?}", run.end());
        run.signal(signal);
        run.end()
    };
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut ran = signalled(signal);
        for _ in 0..9 {
            if ran.code != 0 {
                break;
            }
            assert_same(&bench.take_results(), &want, "saved before the signal");
            ran = signalled(signal);
        }
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stderr.contains("the run is complete: 2 steps"), "{ran:?}");
        bench.done(&["resume", "run"]);
        assert_same(&bench.take_results(), &want, "saving");
    }
}

/// Sixty thousand rows take seconds to read; the signal is not made to wait for them.
#[test]
fn a_signal_interrupts_the_reading_of_a_large_file() {
    let bench = Bench::new("llama");
    bench.write("train.jsonl", &rows(0..60_000));
    let mut run = bench.watch(&["train", "plan.yaml"]);
    assert!(run.until(|e| e["event"] == "preparing").is_some(), "{:?}", run.end());
    run.signal(Signal::INT);
    let ran = run.end();
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(!ran.stdout.contains(r#""phase":"model""#), "{ran:?}");
    // Nothing was trained yet, so the data may still change.
    bench.write("train.jsonl", &rows(0..40));
    bench.done(&["resume", "run"]);
}

/// A step of a thousand rows takes long; a second signal does not wait for it.
#[test]
fn a_second_signal_quits_at_once() {
    let bench = Bench::new("llama");
    bench.write("train.jsonl", &rows(0..4_000));
    let sets = ["--set", "train.batch=4000", "--set", "train.steps=3", "--set", "train.micro_tokens=128"];
    let mut run = bench.watch(&[&["train", "plan.yaml"], &sets[..]].concat());
    assert!(run.until(|e| e["event"] == "start").is_some(), "{:?}", run.end());
    run.signal(Signal::INT);
    let asked = Instant::now();
    run.signal(Signal::TERM);
    let ran = run.end();
    assert!(matches!(ran.code, 130 | 143), "{ran:?}");
    assert!(!ran.stderr.contains("state saved"), "{ran:?}");
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

/// A merge is there whole or not at all, and nothing that it needed meanwhile stays.
#[test]
fn a_signal_ends_a_merge_without_leftovers() {
    let bench = Bench::new("llama");
    bench.done(&["train", "plan.yaml"]);
    let base = crate::support::fixture("models/llama").display().to_string();
    for phase in ["model", "merge", "compare"] {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let mut run = bench.watch(&["merge", "run/adapter", "into/whole", "--base", &base, "--dtype", "bf16"]);
            assert!(run.until(is_phase(phase)).is_some(), "{phase}: {:?}", run.end());
            run.signal(signal);
            let ran = run.end();
            assert_eq!(ran.code, code, "{phase}: {ran:?}");
            assert!(ran.stderr.contains("stopped: interrupted"), "{phase}: {ran:?}");
            let Ok(folder) = std::fs::read_dir(bench.path("into")) else { continue };
            let names: Vec<_> = folder.map(|e| e.expect("an entry").file_name()).collect();
            assert!(names.iter().all(|n| n == "whole"), "{phase}: {names:?}");
            if !names.is_empty() {
                assert!(ran.stderr.contains("is complete, but was not compared"), "{phase}: {ran:?}");
                runfs::verify_dir(&runfs::RealFs, &bench.path("into/whole")).expect("whole");
                std::fs::remove_dir_all(bench.path("into")).expect("ours");
            }
        }
    }
}
