//! `athanor scan` as a user runs it.

use crate::support::{Bench, Ran, is_phase};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::io::{Seek, SeekFrom, Write};

/// Rows with one thing wrong each, and some that are right.
const DIRTY: &str = concat!(
    r#"{"instruction":"Name the capital of France.","input":"","output":"The capital of France is Paris."}"#,
    "\n",
    r#"{"instruction":"Name the capital of France.","input":"","output":"The capital of France is Paris."}"#,
    "\n",
    r#"{"instruction":"How do I reach the support team?","input":"","output":"Write to anna.keller@kontor-nord.de or call 13812345678."}"#,
    "\n",
    r#"{"instruction":"Explain rain in one sentence.","input":"","output":"Water vapour cools and falls.​​ It is rain."}"#,
    "\n",
    r#"{"instruction":"Explain wind in one sentence.","input":"","output":""}"#,
    "\n",
    r#"{"instruction":"Cut","#,
    "\n",
    r#"{"instruction":"列出三种常见的水果。","input":"","output":"苹果、香蕉和橙子都是常见的水果。"}"#,
    "\n",
);

fn findings(bench: &Bench, out: &str) -> Vec<Value> {
    let text = fs::read_to_string(bench.path(out).join("findings.jsonl")).expect("findings");
    text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

fn record(bench: &Bench, out: &str) -> Value {
    serde_json::from_slice(&fs::read(bench.path(out).join("scan.json")).expect("a record")).expect("JSON")
}

fn dirty() -> Bench {
    let bench = Bench::new("llama");
    bench.write("dirty.jsonl", DIRTY);
    bench
}

/// The lines of one kind.
fn lines(findings: &[Value], check: &str, kind: &str) -> Vec<u64> {
    findings.iter().filter(|f| f["check"] == check && f["type"] == kind).filter_map(|f| f["line"].as_u64()).collect()
}

#[test]
fn findings_name_check_type_and_place() {
    let bench = dirty();
    let ran = bench.done(&["scan", "dirty.jsonl", "--out", "health"]);
    assert!(ran.stdout.starts_with("athanor scan · 7 rows in 1 file\n"), "{ran:?}");
    assert!(ran.stdout.lines().count() <= 24 && ran.stdout.contains("health/scan.html"), "{ran:?}");
    let found = findings(&bench, "health");
    for (check, kind, expected) in [
        ("duplicate", "exact", vec![1, 2]),
        ("pii", "email", vec![3]),
        ("pii", "phone", vec![3]),
        ("fault", "zero_width", vec![4]),
        ("fault", "empty_text", vec![5]),
        ("fault", "malformed_json", vec![6]),
    ] {
        assert_eq!(lines(&found, check, kind), expected, "{check}.{kind} in {found:#?}");
    }
    let email = found.iter().find(|f| f["type"] == "email").expect("found above");
    assert_eq!((&email["field"], &email["start"], &email["end"]), (&"output".into(), &9.into(), &35.into()));
    let keep: Vec<_> = found.iter().filter(|f| f["type"] == "exact").map(|f| f["keep"].as_bool()).collect();
    assert_eq!(keep, [Some(true), Some(false)]);
    let record = record(&bench, "health");
    assert_eq!((&record["rows"]["read"], &record["rows"]["understood"]), (&7.into(), &6.into()));
    assert_eq!(record["verdict"]["state"], "clean_first");
}

#[test]
fn personal_data_are_in_no_output() {
    let bench = dirty();
    let ran = bench.done(&["scan", "dirty.jsonl", "--out", "health", "--json"]);
    for text in [
        ran.stdout,
        fs::read_to_string(bench.path("health/scan.json")).expect("a record"),
        fs::read_to_string(bench.path("health/scan.html")).expect("a page"),
        fs::read_to_string(bench.path("health/findings.jsonl")).expect("findings"),
    ] {
        for original in ["anna.keller", "13812345678"] {
            assert!(!text.contains(original), "{original} in {text}");
        }
    }
}

#[test]
fn a_clean_copy_has_no_findings_that_cleaning_takes() {
    let bench = dirty();
    bench.done(&["scan", "dirty.jsonl", "--clean", "clean.jsonl", "--redact", "surrogate"]);
    let clean = fs::read_to_string(bench.path("clean.jsonl")).expect("a copy");
    let rows: Vec<&str> = clean.lines().collect();
    assert_eq!(rows.len(), 4, "{clean}");
    let before: Vec<&str> = DIRTY.lines().collect();
    assert_eq!((rows[0], rows[3]), (before[0], before[6]), "what is right stays byte for byte");
    assert!(!clean.contains("anna.keller") && !clean.contains('\u{200b}'), "{clean}");
    bench.done(&["scan", "clean.jsonl", "--out", "again"]);
    let found = findings(&bench, "again");
    let left: Vec<_> = found.iter().filter(|f| f["check"] != "pii").collect();
    assert!(left.is_empty(), "{left:#?}");
    assert_eq!(fs::read_to_string(bench.path("dirty.jsonl")).expect("the source"), DIRTY);
}

#[test]
fn gates_end_with_40_and_the_report_is_there() {
    let bench = dirty();
    for (gate, code) in [("pii>0", 40), ("pii>1", 0), ("dup_rate>0.05", 40), ("fault.mojibake>0", 0)] {
        let ran = bench.run(&["scan", "dirty.jsonl", "--out", "health", "--fail-on", gate]);
        assert_eq!(ran.code, code, "{gate}: {ran:?}");
        assert_eq!(ran.stderr.contains("the data fail on"), code == 40, "{ran:?}");
        assert!(bench.path("health/scan.html").exists());
    }
    bench.write("policy.yaml", "fail_on: ['pii.email>0']\nignore: [pii.phone]\nharm: {fault.zero_width: note}\n");
    let ran = bench.run(&["scan", "dirty.jsonl", "--out", "health", "--policy", "policy.yaml"]);
    assert_eq!(ran.code, 40, "{ran:?}");
    assert!(lines(&findings(&bench, "health"), "pii", "phone").is_empty());
}

#[test]
fn parts_make_the_report_of_one_process() {
    let bench = Bench::new("llama");
    let row = |i: usize| {
        let text = ["red", "green", "blue", "grey", "pink"][i % 5];
        format!(
            "{{\"instruction\":\"Describe colour number {} in a few words.\",\"output\":\"It is {text}, as {} others are; write to user{i}@kontor-nord.de.\"}}\n",
            i / 3,
            i % 7
        )
    };
    bench.write("rows.jsonl", &(0..2500).map(row).collect::<String>());
    bench.write("eval.jsonl", &(0..20).map(row).collect::<String>());
    let all = ["rows.jsonl", "--eval", "held=eval.jsonl"];
    bench.done(&[&["scan"], &all[..], &["--out", "whole", "--threads", "2"]].concat());
    for part in ["1/3", "2/3", "3/3"] {
        let out = format!("part{}", &part[..1]);
        bench.done(&[&["scan"], &all[..], &["--out", &out, "--shard", part, "--threads", "1"]].concat());
    }
    bench.done(&["scan", "--merge", "part3", "part1", "part2", "--out", "merged"]);
    for file in ["scan.json", "findings.jsonl", "scan.html"] {
        let of = |out: &str| fs::read(bench.path(out).join(file)).expect("a report");
        assert!(of("whole") == of("merged"), "{file} differs");
    }
    let leaked = &record(&bench, "merged")["leaks"]["sets"][0];
    assert_eq!((&leaked["set"], &leaked["leaked"]), (&"held".into(), &20.into()));

    let refused = |args: &[&str], says: &str| {
        let ran = bench.run(args);
        assert!(ran.code == 2 && ran.stderr.contains(says), "{args:?}: {ran:?}");
    };
    refused(&["scan", "--merge", "part1", "part3"], "missing: 2");
    refused(&["scan", "--merge", "part1", "part1", "part2", "part3"], "part 1 is given twice");
    refused(&["scan", "--merge", "whole"], "no shard.json");
    refused(&["scan", "rows.jsonl", "--shard", "4/3", "--out", "x"], "I from 1 to N");
    bench.done(&["scan", "rows.jsonl", "--out", "other", "--shard", "2/3"]);
    refused(&["scan", "--merge", "part1", "other", "part3"], "a part of another scan");
}

#[test]
fn a_part_is_begun_again_where_it_was_left() {
    let bench = dirty();
    fs::create_dir(bench.path("part")).expect("a folder");
    for left in ["rows.jsonl", "near-0-of-2.rows", "answers-1.rows", "shard.json"] {
        bench.write(&format!("part/{left}"), "half");
    }
    bench.done(&["scan", "dirty.jsonl", "--out", "part", "--shard", "1/2"]);
    assert!(!bench.path("part/answers-1.rows").exists());
    bench.write("part/mine.txt", "kept");
    refused(&bench.run(&["scan", "dirty.jsonl", "--out", "part", "--shard", "1/2"]), 2, &["is no report of a scan"]);
    assert_eq!(fs::read_to_string(bench.path("part/mine.txt")).expect("not ours"), "kept");
}

#[test]
fn a_report_replaces_nothing_but_a_report() {
    let bench = dirty();
    bench.done(&["scan", "dirty.jsonl", "--out", "health"]);
    bench.done(&["scan", "dirty.jsonl", "--out", "health/"]);
    bench.write("health/mine.txt", "kept");
    refused(&bench.run(&["scan", "dirty.jsonl", "--out", "health"]), 2, &["is no report of a scan"]);
    assert_eq!(fs::read_to_string(bench.path("health/mine.txt")).expect("not ours"), "kept");
    let inside = ["scan", "dirty.jsonl", "--out", "new", "--clean", "new/clean.jsonl"];
    refused(&bench.run(&inside), 2, &["is replaced as a whole"]);
}

#[test]
fn a_copy_that_fails_leaves_the_report() {
    let bench = dirty();
    let ran = bench.run(&["scan", "dirty.jsonl", "--out", "health", "--clean", "clean.csv"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert_eq!(record(&bench, "health")["clean"]["written"], Value::Null);
}

#[test]
fn a_copy_with_personal_data_in_it_is_not_called_clean() {
    let bench = dirty();
    for (args, state, clean) in [
        (&[][..], "clean_first", "redacts"),
        (&["--clean", "plain.jsonl"], "not_ready", "nothing"),
        (&["--clean", "redacted.jsonl", "--redact", "tag"], "clean_first", "redacts"),
    ] {
        bench.done(&[&["scan", "dirty.jsonl", "--out", "health"], args].concat());
        let verdict = record(&bench, "health")["verdict"].clone();
        let items = verdict["items"].as_array().expect("a list");
        let email = items.iter().find(|item| item["type"] == "email").expect("it was found");
        assert_eq!((&verdict["state"], &email["clean"]), (&state.into(), &clean.into()), "{args:?}");
    }
    let lines = findings(&bench, "health").len();
    assert_eq!(record(&bench, "health")["findings"]["total"], lines);
}

#[test]
fn conditions_that_nothing_could_meet_are_refused() {
    let bench = dirty();
    for (args, says) in [
        (&["--fail-on", "pii.emial>0"][..], "no \"emial\" in pii"),
        (&["--only", "faults", "--fail-on", "pii>0"], "--only leaves pii out"),
        (&["--fail-on", "leak>0"], "name one with --eval"),
        (&["--only", "faults", "--clean", "x.jsonl", "--redact", "tag"], "add pii to --only"),
        (&["--shard", "1/2", "--out", "x", "--fail-on", "pii>0"], "cannot be used with"),
    ] {
        refused(&bench.run(&[&["scan", "dirty.jsonl"], args].concat()), 2, &[says]);
    }
}

#[test]
fn a_scan_does_not_depend_on_threads() {
    let bench = dirty();
    let reports = ["1", "3"].map(|threads| {
        bench.done(&["scan", "dirty.jsonl", "--out", "health", "--threads", threads]);
        ["scan.json", "findings.jsonl"].map(|file| fs::read(bench.path("health").join(file)).expect("a report"))
    });
    assert!(reports[0] == reports[1]);
}

fn refused(ran: &Ran, code: i32, says: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    for part in says {
        assert!(ran.stderr.contains(part), "no {part:?} in {ran:?}");
    }
}

#[test]
fn files_that_cannot_be_scanned_are_refused_with_a_way_out() {
    let bench = dirty();
    fs::create_dir(bench.path("folder")).expect("a folder");
    bench.write("empty.jsonl", "");
    bench.write("bad.jsonl.gz", "no gzip at all\n");
    bench.write("pairs.jsonl", "{\"chosen\":\"a\",\"rejected\":\"b\",\"prompt\":\"c\"}\n");
    for (args, code, says) in [
        (&["absent.jsonl"][..], 11, &["no such data file", "hint:"][..]),
        (&["folder"], 11, &["a folder", "hint:"]),
        (&["*.parquet"], 11, &["no file has such a name", "in quotes"]),
        (&["empty.jsonl"], 11, &["empty"]),
        (&["bad.jsonl.gz"], 11, &["bad.jsonl.gz"]),
        (&["pairs.jsonl"], 11, &["which supervised training does not take"]),
        (&["dirty.jsonl", "--tokenizer", "folder"], 12, &["tokenizer.json", "--tokenizer takes"]),
        #[cfg(not(feature = "ner"))]
        (&["dirty.jsonl", "--names", "folder"], 2, &["cargo feature `ner`", "--features ner"]),
        (&["dirty.jsonl", "--fail-on", "toast>0"], 2, &["toast"]),
        (&["dirty.jsonl", "--policy", "dirty.jsonl"], 10, &["dirty.jsonl"]),
        (&["dirty.jsonl", "--out", "."], 2, &["is no report of a scan"]),
        (&["dirty.jsonl", "--clean", "dirty.jsonl"], 2, &["exists"]),
        (&[], 2, &["Usage:"]),
    ] {
        refused(&bench.run(&[&["scan"], args].concat()), code, says);
    }
    assert_eq!(fs::read_to_string(bench.path("dirty.jsonl")).expect("the source"), DIRTY);
}

#[test]
fn records_beyond_the_limits_and_a_broken_gz_are_findings() {
    let bench = Bench::new("llama");
    let row = |output: &str| format!("{{\"instruction\":\"Say it.\",\"output\":\"{output}\"}}\n");
    let around = |long: &str| row("It is said.") + long + &row("It is said again, in other words.");
    bench.write("long.jsonl", &around(&row(&"x ".repeat(5 << 20))));
    bench.done(&["scan", "long.jsonl", "--out", "long"]);
    assert_eq!(lines(&findings(&bench, "long"), "fault", "overlong"), [2]);
    bench.done(&["scan", "long.jsonl", "--out", "limited", "--record-max", "1"]);
    assert_eq!(lines(&findings(&bench, "limited"), "fault", "too_large"), [2]);

    // One line of a gigabyte, most of it a hole in the file.
    let mut file = fs::File::create(bench.path("huge.jsonl")).expect("a file");
    file.write_all(row("It is said.").as_bytes()).expect("room");
    file.seek(SeekFrom::Start(1 << 30)).expect("a hole");
    file.write_all(format!("\n{}", row("It is said again, in other words.")).as_bytes()).expect("room");
    bench.done(&["scan", "huge.jsonl", "--out", "huge"]);
    assert_eq!(lines(&findings(&bench, "huge"), "fault", "too_large"), [2]);
    assert_eq!(record(&bench, "huge")["rows"]["understood"], 2);

    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    (0..4000).for_each(|i| packed.write_all(row(&format!("Answer {}.", i * i)).as_bytes()).expect("memory"));
    let packed = packed.finish().expect("memory");
    fs::write(bench.path("cut.jsonl.gz"), &packed[..packed.len() / 2]).expect("a file");
    bench.done(&["scan", "cut.jsonl.gz", "--out", "cut"]);
    let found = findings(&bench, "cut");
    assert!(!lines(&found, "fault", "broken_file").is_empty(), "{:?}", &found[..found.len().min(3)]);
}

#[test]
fn a_signal_ends_a_scan_with_130_and_leaves_nothing() {
    let bench = Bench::new("llama");
    let row = |i: usize| {
        format!("{{\"instruction\":\"Say number {i}.\",\"output\":\"It is {i}, and {} after it.\"}}\n", i + 1)
    };
    bench.write("rows.jsonl", &(0..60_000).map(row).collect::<String>());
    let mut scan = bench.watch(&["scan", "rows.jsonl", "--out", "health"]);
    scan.until(|event| event["event"] == "preparing").expect("it reads");
    scan.signal(Signal::INT);
    let ran = scan.end();
    assert_eq!(ran.code, 130, "{ran:?}");
    let mut scan = bench.watch(&["scan", "rows.jsonl", "--out", "health", "--only", "duplicates"]);
    scan.until(is_phase("duplicates")).expect("it compares");
    scan.signal(Signal::TERM);
    let ran = scan.end();
    assert!(ran.code == 143 || ran.code == 0, "{ran:?}");
    let left: Vec<_> = fs::read_dir(bench.path(""))
        .expect("the folder")
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .collect();
    assert_eq!(ran.code == 0, left.contains(&"health".to_owned()), "{left:?}");
    assert!(left.iter().all(|name| !name.starts_with(".tmp")), "{left:?}");
}
