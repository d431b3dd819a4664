//! Every family trains, is killed, resumes and saves through the command line.

use crate::support::{Bench, MODELS, assert_same, is_step};

#[test]
fn every_family_trains_is_killed_resumes_and_saves() {
    for model in MODELS {
        let bench = Bench::new(model);
        bench.done(&["train", "plan.yaml", "--quiet"]);
        let want = bench.take_results();

        let mut run = bench.watch(&["train", "plan.yaml"]);
        assert!(run.until(is_step(4)).is_some(), "{model}: {:?}", run.end());
        run.kill();
        bench.done(&["resume", "run", "--quiet"]);
        assert_same(&bench.take_results(), &want, model);
    }
}
