//! SIGINT and SIGTERM in each phase (RELIABILITY 20): the step is finished, the state published, the code 130 or 143,
//! and what follows is equal to the run that nothing interrupted.

use crate::support::{Bench, assert_same, is_phase, is_step, results, rows};
use rustix::process::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};

const LONG: [&str; 6] =
    ["--set", "train.steps=60", "--set", "train.checkpoint_every=20", "--set", "train.eval_every=10"];

#[test]
fn a_signal_in_each_phase_saves_and_the_rest_is_equal() {
    let args = [&["train", "plan.yaml"], &LONG[..]].concat();
    let whole = Bench::new("llama");
    whole.done(&args);
    let want = results(&whole.path("run"));
    type Wanted = fn(&Value) -> bool;
    let phases: [(&str, Wanted); 4] = [
        ("training", |e| is_step(25)(e)),
        ("evaluation", |e| is_phase("evaluate")(e)),
        ("save", |e| e["event"] == "checkpoint"),
        ("first step", |e| e["event"] == "start"),
    ];
    for (phase, wanted) in phases {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let bench = Bench::new("llama");
            let mut run = bench.watch(&args);
            assert!(run.until(wanted).is_some(), "{phase}: {:?}", run.end());
            run.signal(signal);
            let ran = run.end();
            assert_eq!(ran.code, code, "{phase}: {ran:?}");
            assert!(ran.stderr.contains("stopped: interrupted; state saved at step"), "{phase}: {ran:?}");
            bench.done(&["resume", "run"]);
            assert_same(&results(&bench.path("run")), &want, phase);
        }
    }
}

#[test]
fn a_signal_while_data_are_read_leaves_a_folder_that_trains() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let bench = Bench::new("llama");
        bench.write("train.jsonl", &rows(0..60_000));
        let mut run = bench.watch(&["train", "plan.yaml"]);
        assert!(run.until(is_phase("data")).is_some(), "{:?}", run.end());
        run.signal(signal);
        let ran = run.end();
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(!bench.path("run/adapter").exists());
        bench.write("train.jsonl", &rows(0..40));
        bench.done(&["train", "plan.yaml"]);
    }
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
