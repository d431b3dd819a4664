//! Every family trains, is killed, resumes and saves through the command line.

use crate::support::{Bench, MODELS, assert_same, is_step, results};

#[test]
fn every_family_trains_is_killed_resumes_and_saves() {
    for model in MODELS {
        let whole = Bench::new(model);
        whole.done(&["train", "plan.yaml", "--quiet"]);

        let cut = Bench::new(model);
        let mut run = cut.watch(&["train", "plan.yaml"]);
        assert!(run.until(is_step(4)).is_some(), "{model}: {:?}", run.end());
        run.kill();
        cut.done(&["resume", "run", "--quiet"]);
        assert_same(&results(&cut.path("run")), &results(&whole.path("run")), model);
    }
}
