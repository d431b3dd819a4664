//! What a plan asks of its model before and after the training (`eval`).

use crate::support::{Bench, Ran};
use serde_json::Value;
use std::fs;

const NUMBERS: &str = "name: numbers\ndata: valid.jsonl\ntemplate: '{prompt} => {completion}'\n\
                       decoding: {tokens_max: 4}\nmeasures:\n  exact:\n  loss:\n";

fn bench() -> Bench {
    let bench = Bench::new("llama");
    bench.write("numbers.yaml", NUMBERS);
    bench.write("rest.yaml", &NUMBERS.replace("numbers", "rest"));
    bench
}

/// The plan with something asked.
fn asking(bench: &Bench, eval: &str) {
    let plan = fs::read_to_string(bench.path("plan.yaml")).expect("a plan");
    bench.write("asking.yaml", &format!("{plan}eval: {eval}\n"));
}

fn record(bench: &Bench) -> Value {
    serde_json::from_slice(&fs::read(bench.path("run/eval/eval.json")).expect("eval.json")).expect("JSON")
}

fn bytes(bench: &Bench, file: &str) -> Vec<u8> {
    fs::read(bench.path("run").join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The training is the same with it as without; what does not hold decides the exit code and nothing else.
#[test]
fn a_run_is_asked_before_and_after() {
    let bench = bench();
    bench.done(&["train", "plan.yaml", "--quiet"]);
    let unasked = ["adapter/adapter_model.safetensors", "metrics.jsonl"].map(|file| bytes(&bench, file));
    fs::remove_dir_all(bench.path("run")).expect("ours");
    asking(
        &bench,
        "{task: numbers.yaml, general: [rest.yaml], require: [task.loss_fall>0, rest.exact>=2], language: zh}",
    );
    let ran = bench.run(&["train", "asking.yaml"]);
    assert_eq!(ran.code, 40, "{ran:?}");
    assert!(ran.stderr.contains("rest.exact>=2") && !ran.stderr.contains("task.loss_fall"), "{ran:?}");
    for part in ["page     run/eval/eval.html", "adapter  run/adapter", "numbers (8 rows)", "holds    task.loss_fall>0"]
    {
        assert!(ran.stdout.contains(part), "no {part:?} in {}", ran.stdout);
    }
    let asked = ["adapter/adapter_model.safetensors", "metrics.jsonl"].map(|file| bytes(&bench, file));
    assert!(unasked == asked, "another training");
    let record = record(&bench);
    let of = |key: &str| [0, 1].map(|i| record["suites"][i][key].as_str().expect(key).to_owned());
    // The role is that which the plan asks it as, and the verdict follows.
    assert_eq!((of("role"), of("verdict")), (["task", "general"].map(Into::into), ["exact", "loss"].map(Into::into)));
    assert_eq!((&record["models"][0]["adapter"], record["seed"].as_u64()), (&Value::Null, Some(1)));
    let page = String::from_utf8(bytes(&bench, "eval/eval.html")).expect("UTF-8");
    assert!(page.contains("<html lang=\"zh-CN\">"));
    // A finished run asks nothing twice.
    let files = ["eval/eval.json", "eval/eval.html", "eval/answers.jsonl"];
    let before = files.map(|file| bytes(&bench, file));
    let again = bench.run(&["resume", "run"]);
    assert!(again.code == 40 && again.stderr.contains("numbers, tuned: finished before"), "{again:?}");
    assert!(before == files.map(|file| bytes(&bench, file)));
}

/// Stopped at any point, a run goes on to the same.
#[test]
fn an_interrupted_run_is_asked_when_it_is_finished() {
    let bench = bench();
    let rows: String = (0..400).map(|i| format!("{{\"prompt\":\"say {i}\",\"completion\":\"{i}\"}}\n")).collect();
    bench.write("many.jsonl", &rows);
    bench.write("many.yaml", &NUMBERS.replace("numbers", "many").replace("valid.jsonl", "many.jsonl"));
    asking(&bench, "{task: numbers.yaml, general: many.yaml, limit: 256}");
    let stop = |wanted: &dyn Fn(&Value) -> bool, args: &[&str]| -> Ran {
        let mut watched = bench.watch(args);
        assert!(watched.until(wanted).is_some(), "{args:?}");
        watched.signal(rustix::process::Signal::INT);
        watched.end()
    };
    let ran = stop(&|e| e["event"] == "step" && e["step"] == 2, &["train", "asking.yaml"]);
    assert!(ran.code == 130 && !bench.path("run/eval").exists(), "{ran:?}");
    let ran = stop(&|e| e["event"] == "rows" && e["suite"] == "many" && e["rows"] == 64, &["resume", "run"]);
    assert!(ran.code == 130 && ran.stderr.contains("`athanor resume run` goes on"), "{ran:?}");
    assert!(bench.path("run/adapter").exists() && !bench.path("run/eval/eval.json").exists());
    let ran = bench.done(&["resume", "run"]);
    assert!(ran.stderr.contains("numbers, base: finished before"), "{ran:?}");
    let files = ["eval/eval.json", "eval/eval.html", "eval/answers.jsonl"];
    let resumed = files.map(|file| bytes(&bench, file));
    fs::remove_dir_all(bench.path("run")).expect("ours");
    bench.done(&["train", "asking.yaml", "--quiet"]);
    assert!(resumed == files.map(|file| bytes(&bench, file)));
    assert_eq!(record(&bench)["suites"][1]["rows"], 256);
}

/// Before is what the training began with; after, what came of it.
#[test]
fn before_is_what_the_training_began_with() {
    let bench = bench();
    bench.done(&["train", "plan.yaml", "--quiet", "--set", "out=first"]);
    asking(&bench, "{task: numbers.yaml}");
    bench.done(&["train", "asking.yaml", "--quiet", "--set", "adapter={start_from: first/adapter}"]);
    let asked = record(&bench);
    assert!(asked["models"][0]["adapter"].as_str().is_some_and(|dir| dir.ends_with("first/adapter")), "{asked}");
    let model = asked["models"][0]["model"].as_str().expect("a model");
    let page = String::from_utf8(bytes(&bench, "eval/eval.html")).expect("UTF-8");
    assert!(page.contains("--base-adapter"));
    let args = ["eval", "numbers.yaml", "--model", model, "--adapter", "run", "--base-adapter", "first", "--seed", "1"];
    bench.done(&[&args[..], &["--out", "proof", "--threads", "1"]].concat());
    let proof: Value =
        serde_json::from_slice(&fs::read(bench.path("proof/eval.json")).expect("eval.json")).expect("JSON");
    assert_eq!(proof["suites"][0]["figures"], asked["suites"][0]["figures"]);
    assert_eq!(proof["models"], asked["models"], "the same adapters of the same bytes");
    fs::remove_dir_all(bench.path("run")).expect("ours");
    bench.done(&["train", "asking.yaml", "--quiet", "--set", "adapter={method: full}"]);
    let whole = record(&bench);
    assert!(whole["models"][1]["model"].as_str().is_some_and(|dir| dir.ends_with("run/model")), "{whole}");
}

/// What could be known before the training is said before it.
#[test]
fn what_cannot_be_asked_is_refused_first() {
    let bench = bench();
    bench.write("bad.jsonl", "{\"prompt\": \"x\", \"completion\": \"y\"}\n{\"prompt\": \"x\"}\n");
    bench.write("bad.yaml", &NUMBERS.replace("numbers", "bad").replace("valid.jsonl", "bad.jsonl"));
    bench.write("judged.yaml", &NUMBERS.replace("  exact:", "  command: {run: [judge]}"));
    bench.write("is-task.yaml", &NUMBERS.replace("data:", "role: task\ndata:"));
    for (eval, code, parts) in [
        ("{task: none.yaml}", 10, &["none.yaml", "`eval.task`"][..]),
        ("{general: is-task.yaml}", 10, &["is-task.yaml:2:", "`role`", "general"]),
        ("{task: numbers.yaml, require: [rest.loss<1]}", 10, &["rest", "numbers", "`eval.require`"]),
        ("{task: numbers.yaml, require: [numbers.loss]}", 10, &["asking.yaml:10:", "`eval.require`", "NAME.FIGURE"]),
        ("{task: []}", 10, &["asking.yaml:10:", "`eval.task`", "at least one suite"]),
        ("{limit: 3}", 10, &["`eval.task`"]),
        ("{task: judged.yaml}", 10, &["judge", "`eval`", "--allow-commands"]),
        ("{task: bad.yaml}", 11, &["bad.jsonl:2", "suite"]),
    ] {
        asking(&bench, eval);
        for command in ["train", "plan"] {
            let ran = bench.run(&[command, "asking.yaml"]);
            assert_eq!(ran.code, code, "{eval}: {ran:?}");
            parts.iter().for_each(|part| assert!(ran.stderr.contains(part), "{eval}: no {part:?} in {ran:?}"));
        }
        assert!(!bench.path("run").exists(), "{eval}: nothing was begun");
    }
}
