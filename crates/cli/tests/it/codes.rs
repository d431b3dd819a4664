//! Every exit code is produced through the program, with the sentence and the hint that belong to it.

use crate::support::{Bench, Ran, fixture, is_step, rows};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

fn refused(ran: &Ran, code: i32, says: &[&str]) {
    assert_eq!(ran.code, code, "{ran:?}");
    for part in says {
        assert!(ran.stderr.contains(part), "no {part:?} in {ran:?}");
    }
}

#[test]
fn done_is_0_and_quiet_prints_the_result_alone() {
    let bench = Bench::new("llama");
    let ran = bench.done(&["train", "plan.yaml", "--quiet"]);
    assert!(ran.stdout.starts_with("adapter  run/adapter\n"), "{ran:?}");
    assert!(ran.stdout.contains("valid at step"), "{ran:?}");
    assert_eq!(ran.stderr, "");
}

#[test]
fn usage_is_2() {
    let bench = Bench::new("llama");
    for args in
        [&["trian"][..], &["train"], &["train", "plan.yaml", "--set", "adapter.r"], &["plan", "--keys", "plan.yaml"]]
    {
        refused(&bench.run(args), 2, &["error:", "For more information"]);
    }
    refused(&bench.run(&[]), 2, &["Usage:", "Exit codes:"]);
    refused(&bench.run(&["train", "plan.yaml", "--quiet", "--json"]), 2, &["cannot be used with"]);
}

#[test]
fn a_refused_plan_is_10() {
    let bench = Bench::new("llama");
    for (set, says) in [
        ("adapter.rr=4", "hint: did you mean `adapter.r`?"),
        ("adapter.r=0", "--set adapter.r=0: `adapter.r` must be from 1 to 4096, not 0"),
        ("adapter.method=qlora", "QLoRA is `adapter.method: lora` with `quantize: nf4`"),
    ] {
        refused(&bench.run(&["train", "plan.yaml", "--set", set]), 10, &["error:", says]);
    }
    refused(&bench.run(&["train", "absent.yaml"]), 10, &["cannot read the plan absent.yaml", "hint:"]);
    assert!(!bench.path("run").exists(), "a refused plan leaves no folder");
    // What only the model can judge: the folder holds no run afterwards and may be used again.
    for (set, says) in [
        ("adapter={method: adalora, ranks: {warmup: 4}}", "hint: train longer, or lower `adapter.ranks.warmup`"),
        ("adapter={method: dora, targets: [lm_head]}", "hint: leave it out of `adapter.targets`"),
        ("adapter.targets=[nowhere]", "hint: change `adapter.targets`"),
        ("adapter.layers=[9]", "hint: change `adapter.targets`, or `adapter.layers`"),
        ("adapter.rank_pattern={'(': 2}", "hint: change `adapter.rank_pattern`"),
    ] {
        refused(&bench.run(&["train", "plan.yaml", "--set", set]), 10, &["error:", says]);
    }
    let long = format!("{{\"prompt\": \"{}\", \"completion\": \"x\"}}\n", "word ".repeat(100));
    bench.write("long.jsonl", &long);
    let sets = ["--set", "data.train={path: long.jsonl}", "--set", "train.seq_len_max=4096"];
    let ran = bench.run(&[&["train", "plan.yaml"], &sets[..]].concat());
    refused(&ran, 10, &["max_position_embeddings", "hint: lower `train.seq_len_max`"]);
    bench.done(&["train", "plan.yaml"]);
}

#[test]
fn a_folder_that_holds_a_run_is_10() {
    let bench = Bench::new("llama");
    bench.done(&["train", "plan.yaml"]);
    refused(&bench.run(&["train", "plan.yaml"]), 10, &["already holds a run", "athanor resume"]);
}

#[test]
fn a_changed_plan_data_or_model_is_10() {
    let bench = Bench::new("llama");
    for entry in fs::read_dir(fixture("models/llama")).expect("the fixture") {
        let entry = entry.expect("an entry");
        fs::create_dir_all(bench.path("model")).expect("a folder");
        fs::copy(entry.path(), bench.path("model").join(entry.file_name())).expect("a copy");
    }
    let mut run = bench.watch(&["train", "plan.yaml", "--set", "model=model", "--set", "train.steps=300"]);
    assert!(run.until(is_step(4)).is_some(), "{:?}", run.end());
    run.kill();
    let original = fs::read_to_string(bench.path("train.jsonl")).expect("a file");
    bench.write("train.jsonl", &original.replacen("say 3", "say 4", 1));
    refused(&bench.run(&["resume", "run"]), 10, &["data", "hint:"]);
    bench.write("train.jsonl", &original);

    let weights = bench.path("model/model.safetensors");
    let mut bytes = fs::read(&weights).expect("a file");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&weights, &bytes).expect("a file");
    refused(&bench.run(&["resume", "run"]), 10, &["model", "hint:"]);
    bytes[last] ^= 1;
    fs::write(&weights, &bytes).expect("a file");

    let plan = fs::read_to_string(bench.path("run/plan.json")).expect("a file");
    let other = plan.replacen("0.001", "0.002", 1);
    assert_ne!(plan, other);
    fs::write(bench.path("run/plan.json"), other).expect("a file");
    refused(&bench.run(&["resume", "run"]), 10, &["lr", "hint:"]);
    fs::write(bench.path("run/plan.json"), plan).expect("a file");
    bench.done(&["resume", "run"]);
}

#[test]
fn refused_data_are_11_before_the_model_is_read() {
    let bench = Bench::new("llama");
    let good = rows(0..8);
    for (name, text, says) in [
        ("empty.jsonl", String::new(), "empty"),
        ("cut.jsonl", format!("{good}{{\"prompt\": \"a\", \"compl"), "cut.jsonl:9"),
        ("other.jsonl", "{\"x\": 1}\n".into(), "hint:"),
    ] {
        bench.write(name, &text);
        // With no weights to read, the data are judged all the same.
        let set = format!("data.train={{path: {name}}}");
        refused(&bench.run(&["train", "plan.yaml", "--set", &set]), 11, &["error:", says]);
    }
    refused(
        &bench.run(&["train", "plan.yaml", "--set", "data.train.path=absent.jsonl"]),
        11,
        &["absent.jsonl", "hint: change `path`"],
    );
    refused(
        &bench.run(&["train", "plan.yaml", "--set", "train.seq_len_max=4"]),
        11,
        &["seq_len_max", "data.over_length"],
    );
}

#[test]
fn quarantine_sets_bad_rows_aside_and_says_so() {
    let bench = Bench::new("llama");
    bench.write("cut.jsonl", &format!("{}{{\"prompt\": \"a\"\n", rows(0..8)));
    let args = ["train", "plan.yaml", "--set", "data.train={path: cut.jsonl}"];
    assert_eq!(bench.run(&args).code, 11);
    bench.done(&[&args[..], &["--quarantine"]].concat());
    let run: serde_json::Value =
        serde_json::from_slice(&fs::read(bench.path("run/run.json")).expect("a file")).expect("JSON");
    let aside = run["train_counts"]["aside"].as_object().expect("counts");
    assert_eq!(aside.values().filter_map(serde_json::Value::as_u64).sum::<u64>(), 1, "{aside:?}");
}

#[test]
fn a_refused_model_is_12() {
    let bench = Bench::new("llama");
    refused(&bench.run(&["train", "plan.yaml", "--set", "model=absent"]), 12, &["absent", "hint:"]);
    fs::create_dir(bench.path("odd")).expect("a folder");
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(fixture("models/llama").join(file), bench.path("odd").join(file)).expect("a copy");
    }
    bench.write("odd/config.json", r#"{"architectures": ["MixtralForCausalLM"], "model_type": "mixtral"}"#);
    refused(&bench.run(&["train", "plan.yaml", "--set", "model=odd"]), 12, &["ixtral", "hint:"]);

    bench.add_nf4_model("nf4");
    let config = fs::read_to_string(bench.path("nf4/config.json")).expect("a file");
    bench.write("nf4/config.json", &config.replace("\"nf4\"", "\"fp4\""));
    let says = ["bitsandbytes 4-bit (fp4", "supported: ", "(nf4)", "hint:", "quantize: nf4"];
    refused(&bench.run(&["train", "plan.yaml", "--set", "model=nf4"]), 12, &says);
    bench.write("nf4/config.json", &config);
    let mut bytes = fs::read(bench.path("nf4/model.safetensors")).expect("a file");
    let at = bytes.windows(15).position(|w| w == b"\"blocksize\": 64").expect("a quant_state");
    bytes[at + 13..at + 15].copy_from_slice(b"48");
    fs::write(bench.path("nf4/model.safetensors"), bytes).expect("a file");
    let says = ["_proj.weight, in 4 bits: blocksize is 48, expected one of 32, 64", "hint:"];
    refused(&bench.run(&["train", "plan.yaml", "--set", "model=nf4"]), 12, &says);
}

#[test]
fn too_little_memory_is_13() {
    let bench = Bench::new("llama");
    let limited = |memory: &str| bench.run(&["train", "plan.yaml", "--set", &format!("train.memory={memory}")]);
    refused(&limited("64KiB"), 13, &["limit", "hint:", "train.memory"]);
    // Enough for the model and short rows, too little for the longest, which is named.
    let long = "word ".repeat(30);
    bench.write("train.jsonl", &format!("{}{{\"prompt\": \"{long}\", \"completion\": \"x\"}}\n", rows(0..8)));
    let ran = bench.run(&["train", "plan.yaml", "--set", "train.memory=1100KiB"]);
    refused(&ran, 13, &["train.jsonl:9", "hint:", "train.memory"]);
}

/// Without `train.memory`, the process's own limit counts (RELIABILITY 19).
#[cfg(target_os = "linux")]
#[test]
fn a_limit_on_the_process_is_the_memory_limit() {
    let bench = Bench::new("llama");
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"ulimit -d 200000; exec "$0" "$@""#, env!("CARGO_BIN_EXE_athanor")]);
    limited.current_dir(bench.path("."));
    limited.args(["train", "plan.yaml", "--set", "train.micro_tokens=500000"]);
    let ran = Ran::of(limited.output().expect("a shell"));
    refused(&ran, 13, &["train.jsonl:", "the limit is", "would fit", "hint:"]);
}

#[test]
fn no_valid_checkpoint_is_20_and_names_each() {
    let bench = Bench::new("llama");
    refused(&bench.run(&["resume", "."]), 20, &["no run here"]);
    let mut run = bench.watch(&["train", "plan.yaml", "--set", "train.steps=500"]);
    assert!(run.until(is_step(8)).is_some(), "{:?}", run.end());
    run.kill();
    let mut torn = 0;
    for entry in fs::read_dir(bench.path("run/checkpoints")).expect("checkpoints") {
        for file in fs::read_dir(entry.expect("an entry").path()).expect("a folder") {
            let path = file.expect("an entry").path();
            if path.extension().is_some_and(|e| e == "safetensors") {
                let bytes = fs::read(&path).expect("a file");
                fs::write(&path, &bytes[..bytes.len() / 2]).expect("a file");
                torn += 1;
            }
        }
    }
    assert!(torn > 0);
    refused(&bench.run(&["resume", "run"]), 20, &["no valid checkpoint", "step-", "hint:"]);
}

/// As root, permissions stop nobody: the program is run as the unprivileged user `nobody`.
#[test]
fn a_read_only_out_is_21_before_the_model_loads() {
    let bench = Bench::new("llama");
    let program = bench.path("athanor");
    fs::copy(env!("CARGO_BIN_EXE_athanor"), &program).expect("a copy");
    fs::create_dir(bench.path("locked")).expect("a folder");
    let mode =
        |path, mode| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("ours");
    mode(bench.path(""), 0o755);
    mode(bench.path("locked"), 0o555);
    let mut command = Command::new(&program);
    command
        .args(["train", "plan.yaml", "--set", "out=locked/run", "--set", "model=absent"])
        .current_dir(bench.path(""));
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = command.output().expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(21), "{stderr}");
    assert!(stderr.contains("locked") && stderr.contains("hint: set `out`"), "{stderr}");
}

/// Found before the data are read, which may take an hour: the data named here do not even exist.
#[test]
fn rows_longer_than_the_model_was_made_for_are_10_before_the_data_are_read() {
    let bench = Bench::new("llama");
    let sets = ["--set", "train.seq_len_max=129", "--set", "data.train={path: none.jsonl}"];
    refused(&bench.run(&[&["train", "plan.yaml"], &sets[..]].concat()), 10, &["129", "128", "train.seq_len_max"]);
}

/// A limit on the size of any file stands in for a full disk where nothing may be mounted.
#[test]
fn a_disk_that_takes_no_more_is_21_and_leaves_no_half_checkpoint() {
    let bench = Bench::new("llama");
    let script = "trap '' XFSZ; ulimit -f 24; exec \"$0\" train plan.yaml --set adapter.r=32";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_athanor")])
        .current_dir(bench.path(""))
        .output()
        .expect("a shell");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(21), "{stderr}");
    let left: Vec<_> = fs::read_dir(bench.path("run/checkpoints"))
        .map_or(Vec::new(), |d| d.flatten().map(|e| e.file_name()).collect());
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_folder_in_use_is_22_and_names_the_process() {
    let bench = Bench::new("llama");
    let mut run = bench.watch(&["train", "plan.yaml", "--set", "train.steps=100000"]);
    assert!(run.until(is_step(1)).is_some(), "{:?}", run.end());
    let pid = run.pid().to_string();
    refused(&bench.run(&["resume", "run"]), 22, &[&pid, "hint:"]);
    refused(&bench.run(&["train", "plan.yaml"]), 22, &[&pid]);
    run.kill();
    // The lock of a killed process is free at once.
    let mut again = bench.watch(&["resume", "run"]);
    // Which step is its first depends on how far the killed one came.
    assert!(again.until(|e| e["event"] == "step").is_some(), "{:?}", again.end());
    again.kill();
}

#[test]
fn of_two_runs_that_race_for_a_folder_one_wins() {
    let bench = Bench::new("llama");
    for round in 0..50 {
        let out = format!("out=race{round}");
        let args = ["train", "plan.yaml", "--quiet", "--set", "train.steps=1", "--set", &out];
        let start =
            || bench.command(&args).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn();
        let (first, second) = (start().expect("starts"), start().expect("starts"));
        let mut codes: Vec<_> = [first, second]
            .into_iter()
            .map(|child| {
                let output = child.wait_with_output().expect("ends");
                (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
            })
            .collect();
        codes.sort();
        // The loser finds the folder in use, or (had it slept through the whole run) a finished run in it.
        assert_eq!(codes[0].0, Some(0), "{codes:?}");
        assert!(matches!(codes[1].0, Some(22 | 10)), "{codes:?}");
    }
}

#[test]
fn numbers_that_go_bad_are_30_and_the_rows_are_named() {
    let bench = Bench::new("llama");
    let sets = ["--set", "train.lr=1e30", "--set", "train.clip=none", "--set", "train.warmup=0"];
    let ran = bench.run(&[&["train", "plan.yaml"], &sets[..]].concat());
    refused(&ran, 30, &["hint: lower `train.lr`"]);
}
