//! kill -9 at every step of a run, then `resume`: the end is byte-equal to the uninterrupted run (RELIABILITY 1).

use crate::support::{Bench, Files, assert_same, is_step};

const STEPS: u64 = 60;
const SETTINGS: [&str; 4] = ["--set", "train.steps=60", "--set", "train.checkpoint_every=7"];

fn train_args(threads: &'static str) -> Vec<&'static str> {
    [&["train", "plan.yaml", "--threads", threads], &SETTINGS[..]].concat()
}

fn killed_at_each_step(threads: &'static str) {
    let bench = Bench::new("llama");
    bench.done(&train_args(threads));
    let want = bench.take_results();
    for k in 1..=STEPS {
        let mut run = bench.watch(&train_args(threads));
        assert!(run.until(is_step(k)).is_some(), "step {k}: {:?}", run.end());
        run.kill();
        bench.done(&["resume", "run"]);
        assert_same(&bench.take_results(), &want, &format!("killed at step {k}, {threads} threads"));
    }
}

#[test]
fn killed_at_each_step_with_one_thread() {
    killed_at_each_step("1");
}

#[test]
fn killed_at_each_step_with_two_threads() {
    killed_at_each_step("2");
}

#[test]
fn one_and_two_threads_give_the_same_bytes() {
    let bench = Bench::new("llama");
    let [one, two]: [Files; 2] = ["1", "2"].map(|threads| {
        bench.done(&train_args(threads));
        bench.take_results()
    });
    assert_same(&two, &one, "threads");
}

#[test]
fn killed_before_the_first_step_and_again_later() {
    let bench = Bench::new("llama");
    bench.done(&["train", "plan.yaml"]);
    let want = bench.take_results();
    let mut run = bench.watch(&["train", "plan.yaml"]);
    assert!(run.until(|e| e["event"] == "start").is_some());
    run.kill();
    let mut run = bench.watch(&["resume", "run"]);
    assert!(run.until(is_step(4)).is_some(), "{:?}", run.end());
    run.kill();
    bench.done(&["resume", "run"]);
    // A finished run resumes to itself.
    bench.done(&["resume", "run"]);
    assert_same(&bench.take_results(), &want, "killed at the start, then at step 4");
}
