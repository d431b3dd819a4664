//! Every family trains, is killed, resumes and saves through the command line.

use crate::support::{Bench, Files, MODELS, assert_same, is_step};

/// The results of `train` with `args`, which a kill in the middle and `resume` must give too.
fn trained_and_killed(bench: &Bench, what: &str, args: &[&str]) -> Files {
    let train = [&["train", "plan.yaml"], args].concat();
    bench.done(&[&train[..], &["--quiet"]].concat());
    let want = bench.take_results();
    let mut run = bench.watch(&train);
    assert!(run.until(is_step(4)).is_some(), "{what}: {:?}", run.end());
    run.kill();
    bench.done(&["resume", "run", "--quiet"]);
    assert_same(&bench.take_results(), &want, what);
    want
}

#[test]
fn every_family_trains_is_killed_resumes_and_saves() {
    for model in MODELS {
        trained_and_killed(&Bench::new(model), model, &[]);
    }
}

/// Quantised while loading and saved so by bitsandbytes, by every number of threads.
#[test]
fn a_base_in_four_bits_trains_is_killed_resumes_and_saves() {
    let bench = Bench::new("llama");
    bench.add_nf4_model("nf4");
    for set in ["quantize=nf4", "model=nf4"] {
        let [one, two, three] =
            ["1", "2", "3"].map(|n| trained_and_killed(&bench, set, &["--set", set, "--threads", n]));
        assert_same(&two, &one, "two threads");
        assert_same(&three, &one, "three threads");
    }
}
