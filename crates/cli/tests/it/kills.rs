//! kill -9 at every step of a run, then `resume`: the end is byte-equal to the uninterrupted run (RELIABILITY 1).

use crate::support::{Bench, assert_same, is_step, results};
use std::collections::BTreeMap;

const STEPS: u64 = 60;
const SETTINGS: [&str; 4] = ["--set", "train.steps=60", "--set", "train.checkpoint_every=7"];

fn train_args(threads: &'static str) -> Vec<&'static str> {
    [&["train", "plan.yaml", "--threads", threads], &SETTINGS[..]].concat()
}

fn uninterrupted(threads: &'static str) -> BTreeMap<String, Vec<u8>> {
    let bench = Bench::new("llama");
    bench.done(&train_args(threads));
    results(&bench.path("run"))
}

/// Kills after each step in `steps`, resumes, compares.
fn killed_at(steps: impl Iterator<Item = u64>, threads: &'static str, want: &BTreeMap<String, Vec<u8>>) {
    for k in steps {
        let bench = Bench::new("llama");
        let mut run = bench.watch(&train_args(threads));
        assert!(run.until(is_step(k)).is_some(), "step {k}: {:?}", run.end());
        run.kill();
        bench.done(&["resume", "run"]);
        assert_same(&results(&bench.path("run")), want, &format!("killed at step {k}, {threads} threads"));
    }
}

#[test]
fn killed_at_each_step_with_one_thread() {
    killed_at(1..=STEPS, "1", &uninterrupted("1"));
}

#[test]
fn killed_at_each_step_with_two_threads() {
    killed_at(1..=STEPS, "2", &uninterrupted("2"));
}

#[test]
fn one_and_two_threads_give_the_same_bytes() {
    let strip = |mut files: BTreeMap<String, Vec<u8>>| {
        // A checkpoint's manifest and identity hold the plan, which names the number of threads.
        files.retain(|name, _| {
            name.ends_with(".safetensors") || name.ends_with(".jsonl") || name.ends_with("_config.json")
        });
        files
    };
    assert_same(&strip(uninterrupted("2")), &strip(uninterrupted("1")), "threads");
}

#[test]
fn killed_twice_and_before_the_first_step() {
    let whole = Bench::new("llama");
    whole.done(&["train", "plan.yaml"]);
    let bench = Bench::new("llama");
    let mut run = bench.watch(&["train", "plan.yaml"]);
    assert!(run.until(|e| e["event"] == "start").is_some());
    run.kill();
    let mut run = bench.watch(&["resume", "run"]);
    assert!(run.until(is_step(4)).is_some(), "{:?}", run.end());
    run.kill();
    bench.done(&["resume", "run"]);
    assert_same(&results(&bench.path("run")), &results(&whole.path("run")), "killed at the start, then at step 4");
    // A finished run resumes to itself.
    bench.done(&["resume", "run"]);
    assert_same(&results(&bench.path("run")), &results(&whole.path("run")), "resumed when finished");
}
