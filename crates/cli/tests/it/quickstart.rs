//! The whole way on the model and data inside the program: what a new user runs first.

use crate::support::{Bench, is_step};
use rustix::process::Signal;
use serde_json::Value;

/// The value that decides a suite's verdict, of `who`.
fn decides(way: &Value, suite: &str, who: &str) -> f64 {
    let suites = way["eval"]["suites"].as_array().expect("suites");
    let suite = suites.iter().find(|s| s["name"] == suite).expect("the suite");
    let figure = suite["figures"].as_array().expect("figures").iter().find(|f| f["name"] == suite["verdict"]);
    figure.expect("the figure that decides")[who]["value"].as_f64().expect("a number")
}

/// Bounds have room for other processors, whose bf16 sums in another order; benches/quickstart has the figures themselves.
#[test]
fn three_ways_learn_and_one_forgets_also_when_interrupted() {
    let bench = Bench::new("llama");
    let mut run = bench.watch(&["quickstart", "--out", "q"]);
    assert!(run.until(is_step(30)).is_some(), "{:?}", run.end());
    run.signal(Signal::INT);
    let ran = run.end();
    assert_eq!(ran.code, 130, "{ran:?}");

    let other = bench.run(&["quickstart", "--out", "q", "--seed", "1"]);
    assert_eq!(other.code, 2, "{other:?}");
    assert!(other.stderr.contains("was begun with --seed 0"), "{other:?}");

    let ran = bench.done(&["quickstart", "--out", "q", "--language", "zh"]);
    assert!(ran.stdout.contains("company, exact") && ran.stdout.contains("q/quickstart.html"), "{}", ran.stdout);
    let record = std::fs::read_to_string(bench.path("q/quickstart.json")).expect("the record");
    let record: Value = serde_json::from_str(&record).expect("JSON");
    let ways = record["ways"].as_array().expect("ways");
    assert_eq!(ways.len(), 3);
    for way in ways {
        let name = way["name"].as_str().expect("a name");
        let of = |suite, who| decides(way, suite, who);
        assert!(of("company", "base") < 0.05 && of("company", "tuned") >= 0.85, "{name}: {}", of("company", "tuned"));
        let fell = of("arithmetic", "base") - of("arithmetic", "tuned");
        assert!(if name == "lora" { fell >= 0.3 } else { fell <= 0.15 }, "{name}: arithmetic fell by {fell}");
        let page = bench.path("q").join(way["page"].as_str().expect("a path"));
        assert!(page.exists(), "{}", page.display());
    }
    let page = std::fs::read_to_string(bench.path("q/quickstart.html")).expect("the page");
    assert!(
        page.contains("lang=\"zh-CN\"") && !["http:", "https:", " src="].iter().any(|a| page.contains(a)),
        "a page that needs no network"
    );
    assert!(bench.path("q/health/scan.html").exists());
}

#[test]
fn what_a_user_changed_is_not_written_over() {
    let bench = Bench::new("llama");
    std::fs::create_dir(bench.path("q")).expect("a folder");
    bench.write("q/lora.yaml", "mine");
    let ran = bench.run(&["quickstart", "--out", "q"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("q/lora.yaml") && ran.stderr.contains("--out"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(bench.path("q/lora.yaml")).expect("it stays"), "mine");
}
