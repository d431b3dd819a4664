//! `athanor eval` as a user meets it, on models of random weights and on the example.

use crate::support::{Bench, Ran, fixture, repository};
use serde_json::Value;
use std::fs;
use unicode_width::UnicodeWidthStr;

const SUITE: &str = "name: numbers\nskill: task\ndata: valid.jsonl\ntemplate: '{prompt} => {completion}'\n\
                     decoding: {tokens_max: 4}\nmeasures:\n  exact:\n  rouge:\n  loss:\n";

fn bench() -> Bench {
    let bench = Bench::new("llama");
    bench.write("suite.yaml", SUITE);
    bench
}

fn model() -> String {
    fixture("models/llama").display().to_string()
}

fn eval(bench: &Bench, args: &[&str]) -> Ran {
    let model = model();
    bench.run(&[&["eval", "suite.yaml", "--model", &model, "--threads", "1"], args].concat())
}

fn record(bench: &Bench, out: &str) -> Value {
    serde_json::from_slice(&fs::read(bench.path(out).join("eval.json")).expect("eval.json")).expect("JSON")
}

#[test]
fn base_and_tuned_side_by_side() {
    let bench = bench();
    bench.done(&["train", "plan.yaml", "--quiet"]);
    let ran = eval(&bench, &["--adapter", "run", "--out", "proof"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("numbers, tuned: 8 of 8 rows"), "{ran:?}");
    for part in ["numbers (task, 8 rows)", "base", "tuned", "change", "  loss ", "  exact ", "report   proof/eval.json"]
    {
        assert!(ran.stdout.contains(part), "no {part:?} in {}", ran.stdout);
    }
    assert!(ran.stdout.lines().all(|l| l.width() <= 80), "{}", ran.stdout);
    let record = record(&bench, "proof");
    let figures = record["suites"][0]["figures"].as_array().expect("figures").clone();
    let loss = figures.iter().find(|f| f["name"] == "loss").expect("a loss");
    // Six steps on rows of the same kind.
    assert!(loss["change"]["value"].as_f64() < Some(0.0), "{loss}");
    // A second time nothing is asked again, and the bytes are the same.
    let before = fs::read(bench.path("proof/eval.json")).expect("eval.json");
    let again = eval(&bench, &["--adapter", "run/adapter", "--out", "proof"]);
    assert!(again.stderr.contains("numbers, base: finished before"), "{again:?}");
    assert!(!again.stderr.contains("loading"), "{again:?}");
    assert!(fs::read(bench.path("proof/eval.json")).expect("eval.json") == before);
    let alone = eval(&bench, &["--adapter", "run", "--alone", "--json"]);
    let done: Value = serde_json::from_str(alone.stdout.lines().last().expect("events")).expect("JSON");
    let of_both = figures.iter().find(|f| f["name"] == "loss").map(|f| f["tuned"].clone());
    let of_one = done["eval"]["suites"][0]["figures"].as_array().expect("figures").last().cloned();
    assert!(of_one.is_some_and(|f| f["name"] == "perplexity" && f["base"].is_null()));
    let loss_alone = &done["eval"]["suites"][0]["figures"][4];
    assert_eq!((Some(&loss_alone["tuned"]), loss_alone["name"].as_str()), (of_both.as_ref(), Some("loss")));
}

/// The page is made from the record, whether suites are asked or taken over, and in the language asked for.
#[test]
fn the_page_of_what_was_forgotten() {
    let bench = bench();
    bench.done(&["train", "plan.yaml", "--quiet"]);
    bench.write("general.yaml", &SUITE.replace("numbers", "rest").replace("task", "general"));
    let html = |language: &str| {
        let ran = eval(&bench, &["general.yaml", "--adapter", "run", "--out", "proof", "--language", language]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.contains("page     proof/eval.html"), "{}", ran.stdout);
        fs::read_to_string(bench.path("proof/eval.html")).expect("a page")
    };
    let (english, chinese) = (html("en"), html("zh"));
    assert!(english.contains("<html lang=\"en\">") && english.contains("<section id=\"general\""));
    assert!(chinese.contains("<html lang=\"zh-CN\">") && chinese.contains("通用能力"));
    let suites = &record(&bench, "proof")["suites"];
    assert_eq!((&suites[0]["role"], &suites[1]["role"]), (&Value::from("task"), &Value::from("general")));
    let bytes = fs::read(bench.path("proof/eval.html")).expect("a page");
    assert_eq!(html("zh").as_bytes(), bytes, "the same record, the same page");
}

#[test]
fn the_loss_is_that_of_validation() {
    let bench = bench();
    let trained = bench.done(&["train", "plan.yaml", "--json"]);
    let done: Value = serde_json::from_str(trained.stdout.lines().last().expect("events")).expect("JSON");
    let ran = eval(&bench, &["--adapter", "run", "--alone", "--json", "--precision", "f32"]);
    let record: Value = serde_json::from_str(ran.stdout.lines().last().expect("events")).expect("JSON");
    let (loss, valid) = (&record["eval"]["suites"][0]["figures"][4]["tuned"]["value"], &done["final_valid_loss"]);
    let difference = loss.as_f64().expect("a loss") - valid.as_f64().expect("a loss");
    // bf16 in training where the processor has it.
    assert!(difference.abs() < 0.02, "{loss} and {valid}");
}

#[test]
fn what_is_required_decides_the_exit_code() {
    let bench = bench();
    let ran = eval(&bench, &["--require", "task.loss<=100", "--require", "numbers.exact>=0.5"]);
    assert_eq!(ran.code, 40, "{ran:?}");
    assert!(ran.stderr.contains("what was required does not hold: numbers.exact>=0.5 (0)"), "{ran:?}");
    assert!(
        ran.stdout.contains("holds    task.loss<=100") && ran.stdout.contains("FAILS    numbers.exact>=0.5"),
        "{ran:?}"
    );
    assert_eq!(eval(&bench, &["--require", "task.loss<=100"]).code, 0);
    for (condition, says) in [
        ("task.accuracy>0", "it has exact, loss, perplexity"),
        ("other.loss>0", "there are numbers, task"),
        ("task.loss_rise<1", "there is one model"),
    ] {
        let ran = eval(&bench, &["--require", condition]);
        assert!(ran.code == 2 && ran.stderr.contains(says), "{ran:?}");
        assert!(!ran.stderr.contains("checking"), "before any row is read: {ran:?}");
    }
    let ran = eval(&bench, &["--require", "loss<1"]);
    assert!(ran.code == 2 && ran.stderr.contains("expected NAME.FIGURE"), "{ran:?}");
}

#[test]
fn what_is_refused_says_where_and_what_to_change() {
    let bench = bench();
    let with = |suite: &str, args: &[&str]| {
        bench.write("suite.yaml", suite);
        eval(&bench, args)
    };
    let command = SUITE.replace("  exact:", "  command: {run: [grep, -q, x]}");
    for (ran, code, says) in [
        (with(&SUITE.replace("skill", "skil"), &[]), 10, &["suite.yaml: line 2", "skil"][..]),
        (
            with(&SUITE.replace("tokens_max: 4", "tokens_max: 0"), &[]),
            10,
            &["suite.yaml:5", "change `decoding.tokens_max`"],
        ),
        (with(&SUITE.replace("valid.jsonl", "absent.jsonl"), &[]), 11, &["absent.jsonl: no such data file"]),
        (
            with(&SUITE.replace("tokens_max: 4", "tokens_max: 400"), &[]),
            11,
            &["valid.jsonl:1", "at most", "decoding.tokens_max"],
        ),
        (with(&command, &[]), 2, &["`measures.command` runs \"grep\"", "--allow-commands"]),
        (with(SUITE, &["--adapter", "absent"]), 12, &["absent", "--adapter"]),
        (with(SUITE, &["--base", "absent"]), 12, &["absent", "--base"]),
        (with(SUITE, &["--memory", "1"]), 13, &["--memory"]),
        (bench.run(&["eval", "absent.yaml", "--model", &model()]), 10, &["absent.yaml: cannot be read"]),
        (
            bench.run(&["eval", "suite.yaml", "suite.yaml", "--model", &model()]),
            10,
            &["two suites of the name \"numbers\""],
        ),
        (with(SUITE, &["--limit", "0"]), 2, &["--limit"]),
        (with(SUITE, &["--out", "suite.yaml"]), 21, &["--out"]),
    ] {
        assert_eq!(ran.code, code, "{ran:?}");
        says.iter().for_each(|part| assert!(ran.stderr.contains(part), "no {part:?} in {ran:?}"));
    }
    assert_eq!(with(&command, &["--allow-commands"]).code, 0);
}

#[test]
fn an_interrupted_evaluation_goes_on() {
    let bench = bench();
    let rows: String = (0..600).map(|i| format!("{{\"prompt\":\"say {i}\",\"completion\":\"{i}\"}}\n")).collect();
    bench.write("many.jsonl", &rows);
    let many = SUITE.replace("numbers", "many").replace("valid.jsonl", "many.jsonl").replace("max: 4", "max: 24");
    bench.write("many.yaml", &many);
    let model = model();
    let args = ["eval", "suite.yaml", "many.yaml", "--model", &model, "--threads", "1", "--out", "proof"];
    let mut watched = bench.watch(&args);
    assert!(watched.until(|e| e["event"] == "rows" && e["suite"] == "many" && e["rows"] == 64).is_some());
    watched.signal(rustix::process::Signal::INT);
    let ran = watched.end();
    assert!(ran.code == 130 && ran.stderr.contains("stopped: interrupted; 1 of 2 parts are finished"), "{ran:?}");
    assert!(!bench.path("proof/eval.json").exists());
    let ran = bench.done(&args);
    assert!(
        ran.stderr.contains("numbers, base: finished before") && ran.stderr.contains("many, base: 600 of 600"),
        "{ran:?}"
    );
    bench.done(&[&args[..8], &["whole"]].concat());
    for file in ["eval.json", "answers.jsonl"] {
        let of = |out: &str| fs::read(bench.path(out).join(file)).expect(file);
        assert!(of("proof") == of("whole"), "{file}");
    }
}

/// The example of the README: after forty steps the right category is far likelier.
#[test]
fn the_example_suite() {
    let bench = Bench::new("llama");
    let path = |name: &str| repository(name).display().to_string();
    let plan = path("examples/banking77/plan.yaml");
    let sets = ["--set", "train.steps=40", "--set", "train.checkpoint_every=40", "--set", "out=tuned", "--quiet"];
    bench.done(&[&["train", &plan], &sets[..]].concat());
    let (suite, model) = (path("examples/banking77/suite.yaml"), path("examples/models/stories260K"));
    let args = ["eval", &suite, "--model", &model, "--adapter", "tuned", "--limit", "40", "--out", "proof"];
    let ran = bench.done(&args);
    let record = record(&bench, "proof");
    let of = |name: &str, who: &str| {
        let figures = record["suites"][0]["figures"].as_array().expect("figures");
        figures.iter().find(|f| f["name"] == name).and_then(|f| f[who]["value"].as_f64()).expect(name)
    };
    assert!(of("loss", "tuned") < of("loss", "base") - 1.0, "{}", ran.stdout);
    assert!(of("perplexity", "base") > of("perplexity", "tuned").powi(2), "{}", ran.stdout);
    assert!(ran.stdout.contains("  accuracy "), "{}", ran.stdout);
    assert_eq!((&record["suites"][0]["rows"], &record["suites"][0]["rows_in_files"]), (&40.into(), &3080.into()));
}
