//! Several tasks and a replay, as a user sees them.

use crate::support::{Bench, repository, rows};
use serde_json::Value;
use std::collections::BTreeMap;
use unicode_width::UnicodeWidthStr;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The bench's rows as one task, others in Chinese as another, and a replay.
fn bench() -> Bench {
    let bench = Bench::new("llama");
    let chinese: String = (0..30)
        .map(|i| format!("{{\"prompt\":\"第{i}问\",\"completion\":\"答{}\"}}\n", "是".repeat(1 + i % 5)))
        .collect();
    bench.write("zh.jsonl", &chinese);
    bench.write("general.jsonl", &rows(100..160));
    let plan = std::fs::read_to_string(bench.path("plan.yaml")).expect("the plan");
    let plan = plan
        .replace(
            "train: {path: train.jsonl}",
            "train: [{path: train.jsonl, task: numbers, weight: 1}, {path: zh.jsonl, task: 中文, weight: 1}]",
        )
        .replace("{path: valid.jsonl}", "{path: valid.jsonl, task: numbers}")
        .replace("out: run", "replay: {path: general.jsonl, share: 0.2, choose: diversity, buffer: 20}\nout: run");
    bench.write("plan.yaml", &plan);
    bench
}

#[test]
fn plan_shows_shares_asked_for_and_delivered() {
    let ran = bench().done(&["plan", "plan.yaml"]);
    assert!(ran.stdout.lines().all(|line| line.width() <= 80), "{}", ran.stdout);
    let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "replay 60 examples of 60 rows",
        "note replay: general.jsonl: jsonl, prompt_completion",
        "mixture of an epoch, in supervised tokens",
        "numbers 40.",
        "中文 40.0 % asked",
        "replay 20.0 % asked",
        "20 rows used",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{}", ran.stdout);
    }
}

#[test]
fn train_tells_the_loss_of_each_task_in_one_line() {
    let bench = bench();
    let ran = bench.done(&["train", "plan.yaml"]);
    let line = ran.stderr.lines().find(|l| l.contains("valid loss")).expect("a validation");
    assert!(line.contains("  numbers ") && line.width() <= 80, "{line}");
    let events = bench.done(&["train", "plan.yaml", "--json", "--set", "out=again"]).stdout;
    let events: Vec<Value> = events.lines().map(json).collect();
    let of = |name: &str| events.iter().find(|e| e["event"] == name).expect("an event");
    assert_eq!(of("valid")["tasks"]["numbers"]["loss"], of("valid")["valid_loss"]);
    let tasks: Vec<&String> = of("step")["tasks"].as_object().expect("tasks").keys().collect();
    assert!(
        !tasks.is_empty() && tasks.iter().all(|t| ["numbers", "中文", "replay"].contains(&t.as_str())),
        "{tasks:?}"
    );
}

#[test]
fn mix_writes_an_epoch_with_the_origin_of_each_row() {
    let bench = bench();
    let ran = bench.done(&["mix", "plan.yaml", "mix.jsonl"]);
    let text = std::fs::read_to_string(bench.path("mix.jsonl")).expect("the mixture");
    let rows: Vec<Value> = text.lines().map(json).collect();
    assert_eq!(ran.stdout, format!("{} rows of epoch 1 in mix.jsonl\n", rows.len()));
    let mut tasks: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        *tasks.entry(row["origin"]["task"].as_str().expect("a task")).or_default() += 1;
        assert!(row["origin"]["line"].as_u64().is_some_and(|line| line > 0));
    }
    // Each row of both tasks at least once.
    assert!(tasks["numbers"] >= 40 && tasks["中文"] >= 30 && tasks["replay"] > 10, "{tasks:?}");
    let told = bench.done(&["mix", "plan.yaml", "second.jsonl", "--epoch", "2", "--json"]).stdout;
    let second = json(told.lines().last().unwrap_or_default());
    assert_eq!((&second["event"], &second["epoch"]), (&Value::from("mixed"), &Value::from(2)));
    assert_ne!(text, std::fs::read_to_string(bench.path("second.jsonl")).expect("the second"));
    let again = bench.run(&["mix", "plan.yaml", "mix.jsonl"]);
    assert_eq!(again.code, 10, "{again:?}");
}

#[test]
fn an_earlier_run_is_replayed_by_name_or_refused_with_what_changed() {
    let bench = bench();
    bench.done(&["train", "plan.yaml"]);
    let replay = |out: &str| {
        let out = format!("out={out}");
        bench.run(&["train", "plan.yaml", "--set", "replay={run: run, share: 0.1}", "--set", &out])
    };
    assert_eq!(replay("second").code, 0);
    bench.write("zh.jsonl", &rows(0..30));
    let ran = bench.run(&["plan", "plan.yaml", "--set", "replay={run: run}"]);
    assert_eq!(ran.code, 11, "{ran:?}");
    assert!(
        ran.stderr.contains("zh.jsonl: not what the run in") && ran.stderr.contains("replay.path"),
        "{}",
        ran.stderr
    );
    let ran = bench.run(&["plan", "plan.yaml", "--set", "replay={run: nowhere}"]);
    assert_eq!(ran.code, 10, "{ran:?}");
    assert!(ran.stderr.contains("no run here"), "{}", ran.stderr);
}

#[test]
fn a_source_without_its_task_is_refused_where_it_stands() {
    let bench = bench();
    let plan = std::fs::read_to_string(bench.path("plan.yaml")).expect("the plan").replace("task: 中文, ", "");
    bench.write("plan.yaml", &plan);
    let ran = bench.run(&["plan", "plan.yaml"]);
    assert_eq!(ran.code, 10, "{ran:?}");
    assert!(ran.stderr.contains("plan.yaml:4:58: `data.train.1.task` is missing"), "{}", ran.stderr);
}

/// Real rows of the examples, packed: half a percent over an epoch.
#[test]
fn banking77_with_a_replay_has_the_shares_asked_for() {
    let bench = Bench::new("llama");
    let banking = repository("examples/banking77/plan.yaml");
    let replay = "replay={path: test.csv, format: prompt_completion, columns: {prompt: text, completion: category}, share: 0.08}";
    let plan = banking.display().to_string();
    let args = ["plan", &plan, "--json", "--set", "data.packing=bfd", "--set", replay];
    let out = bench.done(&args).stdout;
    let page = json(out.lines().last().expect("a page"));
    for (task, asked) in page["tasks"].as_array().expect("tasks").iter().zip([0.92, 0.08]) {
        let of = |key: &str| task[key].as_f64().expect("a number");
        assert!((of("share_asked") - asked).abs() < 1e-9 && (of("share_delivered") - asked).abs() < 0.005, "{task}");
    }
    assert_eq!(page["tasks"][0]["epoch_examples"], 10003, "each row once");
}

#[test]
fn a_replay_that_the_base_writes_itself() {
    let bench = bench();
    let own = ["--set", "replay={self: 6, tokens: 24, share: 0.2}"];
    let with = |args: &[&str]| bench.run(&[args, &own].concat());
    let ran = with(&["plan", "plan.yaml"]);
    let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("replay 6 texts of at most 24 tokens, which the base writes itself"), "{}", ran.stdout);
    assert!(!bench.path("run").exists());
    let told = with(&["plan", "plan.yaml", "--json"]).stdout;
    assert_eq!(
        json(told.lines().last().expect("a line"))["replay_to_write"],
        serde_json::json!({"texts": 6, "tokens": 24, "chats": false})
    );

    let ran = with(&["mix", "plan.yaml", "mixed.jsonl"]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("replay-self.jsonl: not there; the base writes it"), "{}", ran.stderr);

    let ran = with(&["train", "plan.yaml", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains(r#"{"event":"writing","texts":6,"of":6}"#), "{}", ran.stdout);
    let written = std::fs::read_to_string(bench.path("run/replay-self.jsonl")).expect("texts");
    assert_eq!(written.lines().count(), 6);
    assert_eq!(with(&["mix", "plan.yaml", "mixed.jsonl"]).code, 0);
}
