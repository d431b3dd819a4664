//! `ewc: {rise: …}`: λ found on probes, as a user sees it.

use crate::support::{Bench, Ran, assert_same, repository};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use unicode_width::UnicodeWidthStr;

/// A run on the real small model that forgets, with general rows beside it.
fn bench() -> Bench {
    let bench = Bench::new("llama");
    let general: String = (0..64)
        .map(|i| {
            let (size, who) = (["little", "big", "happy", "sad"][i % 4], ["girl", "boy", "dog", "cat"][i / 4 % 4]);
            let what = ["play outside", "eat cake", "run fast", "sing songs"][i / 16];
            format!("{{\"text\":\"One day, there was a {size} {who}. It loved to {what}.\"}}\n")
        })
        .collect();
    bench.write("general.jsonl", &general);
    bench.write(
        "probe.yaml",
        &format!(
            r#"
model: {}
data:
  train: {{path: train.jsonl}}
  valid: {{path: valid.jsonl}}
  template: "{{prompt}} => {{completion}}"
  loss_on: all
ewc: {{general: {{path: general.jsonl}}, rise: 0.05, probe_steps: 10, examples: 20}}
train: {{steps: 30, batch: 4, lr: 1e-2, seq_len_max: 64, checkpoint_every: 10, precision: f32, threads: 1}}
out: run
"#,
            repository("examples/models/stories260K").display()
        ),
    );
    bench
}

fn run_json(bench: &Bench) -> Value {
    serde_json::from_slice(&fs::read(bench.path("run/run.json")).expect("a file")).expect("JSON")
}

fn refused(ran: &Ran, code: i32, says: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    for part in says {
        assert!(ran.stderr.contains(part), "no {part:?} in {ran:?}");
    }
}

#[test]
fn lambda_is_found_shown_and_the_run_is_that_with_it_given() {
    let bench = bench();
    let planned = bench.done(&["plan", "probe.yaml"]);
    assert!(planned.stdout.contains("λ") && planned.stdout.contains("at most 5.0 %"), "{planned:?}");
    let ran = bench.done(&["train", "probe.yaml"]);
    let said = run_json(&bench)["ewc_rise"].clone();
    let lambda = said["lambda"].as_f64().expect("a number");
    let rows: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("λ ") && line.contains("loss")).collect();
    assert_eq!(rows.len(), said["probes"].as_array().expect("a list").len(), "{ran:?}");
    assert!(rows[0].starts_with("λ 0 ") && !rows[0].ends_with("holds"), "{rows:?}");
    assert!(rows.iter().any(|row| row.ends_with("holds")), "{rows:?}");
    assert!(ran.stderr.contains("note: λ is found on probes of 10 steps"), "{ran:?}");
    assert!(ran.stdout.lines().any(|line| line.starts_with("ewc      λ ")), "{ran:?}");
    for line in ran.stderr.lines().chain(planned.stdout.lines()).filter(|line| !line.contains('/')) {
        assert!(line.width() <= 80, "{line}");
    }
    let searched = bench.take_results();
    let given = format!("ewc={{general: {{path: general.jsonl}}, lambda: {lambda}, examples: 20}}");
    bench.done(&["train", "probe.yaml", "--set", &given]);
    assert_same(&bench.take_results(), &searched, "given by hand");
}

#[test]
fn a_signal_in_the_search_saves_and_the_rest_is_equal() {
    let bench = bench();
    bench.done(&["train", "probe.yaml"]);
    let (want, said) = (bench_results(&bench), run_json(&bench)["ewc_rise"].clone());
    fs::remove_dir_all(bench.path("run")).expect("ours");
    type Wanted = fn(&Value) -> bool;
    let places: [(&str, Wanted); 3] = [
        ("in the first probe", |e| e["event"] == "probing" && e["step"] == 4),
        ("between probes", |e| e["event"] == "probed" && e["lambda"] != 0.0),
        ("in a later one", |e| e["event"] == "probing" && e["lambda"] != 0.0 && e["step"] == 7),
    ];
    for (place, wanted) in places {
        for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let mut run = bench.watch(&["train", "probe.yaml"]);
            assert!(run.until(wanted).is_some(), "{place}: {:?}", run.end());
            run.signal(signal);
            refused(&run.end(), code, &["stopped: interrupted"]);
            bench.done(&["resume", "run"]);
            assert_eq!(run_json(&bench)["ewc_rise"], said, "{place}");
            assert_same(&bench.take_results(), &want, place);
        }
    }
}

fn bench_results(bench: &Bench) -> crate::support::Files {
    crate::support::results(&bench.path("run"))
}

#[test]
fn what_cannot_be_held_is_said_with_what_to_change() {
    let bench = bench();
    let train = |ewc: &str| bench.run(&["train", "probe.yaml", "--set", ewc]);
    for (ewc, says) in [
        ("ewc.lambda=3", "`ewc.lambda` and `ewc.rise` exclude each other"),
        ("ewc={general: {path: general.jsonl}}", "hint: add `ewc.lambda` or `ewc.rise`"),
        ("ewc={fisher: f.safetensors, rise: 0.1}", "`ewc.rise` needs `ewc.general`"),
    ] {
        refused(&train(ewc), 10, &[says]);
    }
    let few = train("ewc.examples=50");
    refused(&few, 11, &["of 64 general examples, F is measured on 50", "hint: lower `ewc.examples` to 32"]);
    // The requirement does not hold, whatever λ is: as with conditions on answers.
    // Steps so long that no penalty calms them.
    let wild = ["train", "probe.yaml", "--set", "train.lr=0.5", "--set", "train.schedule=constant"];
    let unmet = bench.run(&[&wild[..], &["--set", "ewc.rise=1e-7"]].concat());
    refused(&unmet, 40, &["keeps the rise of the general loss within", "hint: raise `ewc.rise`"]);
    // Nothing is lost, and the folder is no run: all that was probed is known to the next.
    let again = bench.run(&[&wild[..], &["--set", "ewc.rise=2e-7", "--json"]].concat());
    assert_eq!(again.code, 40, "{again:?}");
    let events =
        |name: &str| again.stdout.lines().filter(|line| line.contains(&format!(r#""event":"{name}""#))).count();
    assert!(events("probed") >= 10 && events("probing") == 0, "{again:?}");
    bench.done(&["train", "probe.yaml"]);
}
