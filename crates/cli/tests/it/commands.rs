//! What the other commands print.

use crate::support::{Bench, fixture, is_step, repository};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn plan_shows_the_run_and_trains_nothing() {
    let bench = Bench::new("llama");
    let ran = bench.done(&["plan", "plan.yaml"]);
    for part in [
        "LoRA, r 4, alpha 8",
        "6 of 2 examples",
        "lr 0.001, cosine, warm-up 5 % of the steps",
        "40 examples of 40 rows",
        "8 examples of 8 rows",
        "total",
        "learned tokens in [brackets]",
    ] {
        assert!(ran.stdout.contains(part), "no {part:?} in\n{}", ran.stdout);
    }
    assert!(ran.stdout.lines().all(|line| line.width() <= 80), "{}", ran.stdout);
    assert!(!bench.path("run").exists());
}

/// In the plan's words, and in the file from which PEFT computes the scale: 2 in each module.
#[test]
fn alpha_auto_is_explained_and_saved() {
    let bench = Bench::new("llama");
    let plan = |adapter: &str| {
        let text = bench.done(&["plan", "plan.yaml", "--set", adapter]).stdout;
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let auto = [
        ("r: 8", "scale 2 = alpha / r: alpha is 2 r, so another rank keeps the scale"),
        ("r: 8, rank_pattern: {q_proj: 2, up_proj: 4}", "scale 2 = alpha / r: alpha is 2 r of each module's own rank"),
        (
            "r: 8, rslora: true, rank_pattern: {q_proj: 2}",
            "scale 2 = alpha / √r: alpha is 2 √r of each module's own rank: LoRA's scale with 2 r",
        ),
    ];
    for (i, (adapter, says)) in auto.into_iter().enumerate() {
        let adapter = format!("adapter={{alpha: auto, {adapter}}}");
        let text = plan(&adapter);
        assert!(text.contains(says), "{adapter}: {text}");
        let out = format!("out=auto-{i}");
        bench.done(&["train", "plan.yaml", "--set", &adapter, "--set", "train.steps=1", "--set", &out]);
        let file = bench.path(&format!("auto-{i}/adapter/adapter_config.json"));
        let config = json(&std::fs::read_to_string(file).expect("a file"));
        let scale = |alpha: &Value, r: &Value| {
            let (alpha, r) = (alpha.as_f64().expect("a number"), r.as_f64().expect("a number"));
            alpha / if config["use_rslora"] == true { r.sqrt() } else { r }
        };
        assert_eq!(scale(&config["lora_alpha"], &config["r"]), 2.0, "{config}");
        let (ranks, alphas) = (&config["rank_pattern"], &config["alpha_pattern"]);
        for (key, r) in ranks.as_object().expect("an object") {
            assert_eq!(scale(&alphas[key], r), 2.0, "{key}: {config}");
        }
        assert_eq!(ranks.as_object().map(|o| o.len()), alphas.as_object().map(|o| o.len()), "{config}");
    }
    for (adapter, says) in [
        ("adapter={r: 8, alpha: 4}", "scale 0.5 = alpha / r: with a fixed alpha it falls as the rank grows"),
        ("adapter={r: 8, rslora: true}", "scale 5.657 = alpha / √r: with a fixed alpha it falls with √r"),
        ("adapter={rank_pattern: {q_proj: 2}}", "scale 2 to 8 = alpha / r: patterns give modules scales of their own"),
    ] {
        let text = plan(adapter);
        assert!(text.contains(says), "{adapter}: {text}");
    }
}

#[test]
fn plan_says_what_the_base_is_held_in() {
    let bench = Bench::new("llama");
    bench.add_nf4_model("nf4");
    for (set, says) in [
        ("quantize=none", "frozen, products in f32"),
        ("quantize=nf4", "frozen, its layers in NF4 with double quantisation, products in f32"),
        ("model=nf4", "frozen, its layers in NF4 as the model has them, products in f32"),
    ] {
        let ran = bench.done(&["plan", "plan.yaml", "--set", "train.precision=f32", "--set", set]);
        let words: Vec<&str> = ran.stdout.split_whitespace().collect();
        assert!(words.join(" ").contains(says), "{set}: no {says:?} in\n{}", ran.stdout);
    }
    let ran = bench.done(&["plan", "plan.yaml", "--json", "--set", "quantize=nf4", "--set", "double_quant=false"]);
    let last = json(ran.stdout.lines().last().expect("a line"));
    assert_eq!(last["plan"]["quantize"]["nf4"]["double"], false);
}

/// With memory to spare the values of NF4 are held in 16 bits, which costs what bf16 does: the plan says so.
#[test]
fn plan_says_where_nf4_saves_no_memory() {
    let bench = Bench::new("llama");
    bench.add_nf4_model("nf4");
    for (set, in_nf4) in [("quantize=none", false), ("quantize=nf4", true), ("model=nf4", true)] {
        for memory in ["4GiB", "40MiB"] {
            let memory = format!("train.memory={memory}");
            let args = ["plan", "plan.yaml", "--set", "train.precision=bf16", "--set", set, "--set", &memory];
            let text = bench.done(&args).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
            let last = json(bench.done(&[&args[..], &["--json"]].concat()).stdout.lines().last().expect("a line"));
            let packed = last["memory"]["weights_packed"].as_bool().expect("a flag");
            assert_eq!(text.contains("held twice"), packed, "{set}: {text}");
            assert_eq!(text.contains("in 16 bits with NF4's values"), packed && in_nf4, "{set}: {text}");
        }
    }
}

/// Where a base does not fit, the plan says how many layers are read and what that takes, and the run says what it read.
#[test]
fn plan_and_run_say_what_is_read() {
    let bench = Bench::new("llama");
    let model = format!("model={}", repository("examples/models/stories260K").display());
    let with = |command: &str, memory: &str, json: bool| {
        let memory = format!("train.memory={memory}");
        let args = [command, "plan.yaml", "--set", &model, "--set", &memory, "--json"];
        bench.run(&args[..if json { 7 } else { 6 }])
    };
    let refused = with("plan", "1MiB", false);
    assert_eq!(refused.code, 13, "{refused:?}");
    // "… needs N bytes of memory": the least that the run can do with.
    let words: Vec<&str> = refused.stderr.split_whitespace().collect();
    let least = words.windows(2).find(|w| w[1] == "bytes").expect("a number").first().expect("two")[..].to_owned();
    let last = json(with("plan", &least, true).stdout.lines().last().expect("a line"));
    assert_eq!(last["memory"]["layers_streamed"], 5, "{last}");
    let pace = |key: &str| last["pace"][key].as_f64().expect("a number");
    assert!(pace("bytes") > 0.0 && pace("reading") > 0.0 && pace("computing") > 0.0, "{last}");
    let text = with("plan", &least, false).stdout;
    assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("5 layers are read from the model's files in each pass"), "{text}");
    let ran = with("train", &least, true);
    assert_eq!(ran.code, 0, "{ran:?}");
    let timings = std::fs::read_to_string(bench.path("run/timings.jsonl")).expect("a file");
    let first = json(timings.lines().next().expect("a step"));
    assert!(first["bytes_read_forward"].as_u64() > Some(0) && first["seconds_waited"].is_number(), "{first}");
    let plenty = json(with("plan", "4GiB", true).stdout.lines().last().expect("a line"));
    assert!(plenty["pace"].is_null() && plenty["memory"]["layers_streamed"] == 0, "{plenty}");
}

#[test]
fn quantize_writes_a_model_that_a_run_trains_on() {
    let bench = Bench::new("llama");
    let model = fixture("models/llama").display().to_string();
    let ran = bench.done(&["quantize", &model, "nf4", "--json"]);
    let last = json(ran.stdout.lines().last().expect("a line"));
    assert_eq!(last["event"], "done");
    assert!(last["bytes"].as_u64() < last["bytes_before"].as_u64(), "{last}");
    let plan = bench.done(&["plan", "plan.yaml", "--set", "model=nf4"]).stdout;
    assert!(plan.contains("its layers in NF4 as the model has them"), "{plan}");
    bench.done(&["train", "plan.yaml", "--set", "model=nf4"]);
    let again = bench.run(&["quantize", &model, "nf4"]);
    assert!(again.code == 10 && again.stderr.contains("there already") && again.stderr.contains("hint:"), "{again:?}");
    let twice = bench.run(&["quantize", "nf4", "nf4-again"]);
    assert!(twice.code == 12 && twice.stderr.contains("in 4 bits already"), "{twice:?}");
    assert!(!bench.path("nf4-again").exists());
    let single = bench.done(&["quantize", &model, "single", "--no-double-quant", "--quiet"]).stdout;
    assert!(single.starts_with("model    single\n") && single.lines().all(|line| line.width() <= 80), "{single}");
}

/// The first run over NF4 leaves a copy of the base that the next one finds, and the plan says which of the two it will be.
#[test]
fn plan_says_whether_the_base_in_nf4_is_there() {
    let bench = Bench::new("llama");
    let plan = |sets: &[&str]| {
        let args: Vec<&str> = ["plan", "plan.yaml"].into_iter().chain(sets.iter().flat_map(|s| ["--set", s])).collect();
        let text = bench.done(&args).stdout;
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        let last = json(bench.done(&[&args[..], &["--json"]].concat()).stdout.lines().last().expect("a line"));
        (text.split_whitespace().collect::<Vec<_>>().join(" "), last["quantized_copy"].clone())
    };
    let (text, copy) = plan(&["quantize=nf4"]);
    assert!(text.contains("the base in NF4 will be written for this run and later ones"), "{text}");
    assert!(text.contains("in cache/athanor"), "{text}");
    assert_eq!(copy["there"], false, "{copy}");
    let expected = copy["bytes"].as_f64().expect("a number");
    let ran = bench.done(&["train", "plan.yaml", "--set", "quantize=nf4", "--json"]);
    assert!(ran.stdout.contains(r#""phase":"quantise""#) && ran.stdout.contains(r#""event":"hashing""#), "{ran:?}");
    let (text, copy) = plan(&["quantize=nf4"]);
    assert!(text.contains("the base in NF4 is there,"), "{text}");
    assert_eq!(copy["there"], true, "{copy}");
    assert!((copy["bytes"].as_f64().expect("a number") / expected - 1.0).abs() < 0.1, "{copy} {expected}");
    let again = ["train", "plan.yaml", "--set", "quantize=nf4", "--set", "out=again", "--set", "adapter.r=2", "--json"];
    let ran = bench.done(&again);
    assert!(ran.stdout.contains(r#""phase":"check""#) && !ran.stdout.contains("quantis"), "{ran:?}");
    for sets in [&["quantize=none"][..], &["quantize=nf4", "quantize_cache=off"]] {
        let (text, copy) = plan(sets);
        assert!(copy.is_null() && !text.contains("in NF4 is there"), "{copy} {text}");
    }
    // Another folder, and another setting, have none yet.
    for set in ["quantize_cache=bases", "double_quant=false"] {
        assert_eq!(plan(&["quantize=nf4", set]).1["there"], false);
    }
    bench.done(&["train", "plan.yaml", "--set", "quantize=nf4", "--set", "out=third", "--set", "quantize_cache=bases"]);
    assert_eq!(plan(&["quantize=nf4", "quantize_cache=bases"]).1["there"], true);
}

#[test]
fn an_adapter_is_merged_and_compared() {
    let bench = Bench::new("llama");
    bench.add_nf4_model("nf4");
    for (base, set, dtype, most) in [
        (fixture("models/llama").display().to_string(), None, None, 1e-9),
        (fixture("models/llama").display().to_string(), None, Some("bf16"), 1e-3),
        ("nf4".to_owned(), Some("model=nf4"), Some("f32"), 1e-9),
    ] {
        let set = set.map_or(Vec::new(), |s| vec!["--set", s]);
        bench.done(&[&["train", "plan.yaml", "--set", "train.lr=1e-1"][..], &set].concat());
        let dtype = dtype.map_or(Vec::new(), |d| vec!["--dtype", d]);
        let ran = bench.done(&[&["merge", "run/adapter", "whole", "--base", &base, "--json"][..], &dtype].concat());
        let last = json(ran.stdout.lines().last().expect("a line"));
        let (before, after) = (last["kl_before_rounding"].as_f64(), last["kl"].as_f64());
        assert!(before.is_some_and(|kl| kl.abs() < 1e-9), "{last}");
        assert!(after.is_some_and(|kl| kl.abs() < most && (most < 1e-6 || kl > 1e-9)), "{last}");
        // It is a model like any other.
        bench.done(&["train", "plan.yaml", "--set", "model=whole", "--set", "out=again"]);
        for dir in ["run", "whole", "again"] {
            std::fs::remove_dir_all(bench.path(dir)).expect("ours");
        }
    }
    bench.done(&["train", "plan.yaml"]);
    let base = fixture("models/llama").display().to_string();
    let text = bench.done(&["merge", "run/adapter", "whole", "--base", &base]).stdout;
    assert!(text.contains("nats a token") && text.lines().all(|line| line.width() <= 80), "{text}");
    let again = bench.run(&["merge", "run/adapter", "whole", "--base", &base]);
    assert!(again.code == 10 && again.stderr.contains("there already"), "{again:?}");
    let other = fixture("models/phi3").display().to_string();
    let wrong = bench.run(&["merge", "run/adapter", "other", "--base", &other]);
    assert!(wrong.code == 12 && !bench.path("other").exists(), "{wrong:?}");
}

/// Of a run whose ranks are masked: the run's folder and its adapter's say how many were kept when.
#[test]
fn ranks_over_time_are_shown() {
    let bench = Bench::new("llama");
    let adapter = "adapter={method: adalora, r: 4, ranks: {target: 2, warmup: 1, last: 2, every: 1}}";
    bench.done(&["train", "plan.yaml", "--set", adapter]);
    let metrics = std::fs::read_to_string(bench.path("run/metrics.jsonl")).expect("a file");
    let lines: Vec<Value> = metrics.lines().map(json).filter(|line| line["ranks"].is_u64()).collect();
    let told: Vec<Value> = lines.iter().map(|line| serde_json::json!([line["step"], line["ranks"]])).collect();
    assert!(told.len() >= 3, "{metrics}");
    let (first, last) = (&lines[0], &lines[lines.len() - 1]);
    let says = format!(
        "ranks kept in all modules: {} after step {}, {} after step {}",
        first["ranks"], first["step"], last["ranks"], last["step"]
    );
    for of in ["run", "run/adapter"] {
        let text = bench.done(&["inspect", of, "--svg", "ranks.svg"]).stdout;
        assert!(text.contains(&says) && text.lines().all(|line| line.width() <= 80), "no {says:?} in {text}");
        let svg = std::fs::read_to_string(bench.path("ranks.svg")).expect("a file");
        assert!(svg.contains(&says) && svg.contains("<polyline"), "{svg}");
        let one = json(&bench.done(&["inspect", of, "--json"]).stdout);
        assert_eq!(one["ranks_by_step"], Value::Array(told.clone()));
    }
}

#[test]
fn an_adapter_is_inspected_and_shrunk() {
    let bench = Bench::new("llama");
    bench.done(&["train", "plan.yaml"]);
    let model = fixture("models/llama").display().to_string();
    let text = bench.done(&["inspect", "run/adapter", "--base", &model, "--svg", "map.svg"]).stdout;
    for part in ["‖ΔW‖ / ‖W‖ by layer 0 to 1", "effective rank / rank", "q_proj", "down_proj", "14 modules"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    let svg = std::fs::read_to_string(bench.path("map.svg")).expect("a picture");
    assert!(svg.starts_with("<svg ") && svg.matches("<title>").count() == 28, "{svg}");
    let one = json(&bench.done(&["inspect", "run/adapter", "--json"]).stdout);
    assert_eq!(one["modules"].as_array().expect("modules").len(), 14);
    assert_eq!(one["modules"][0]["singular"].as_array().expect("values").len(), 4);

    let shrunk = bench.done(&["shrink", "run/adapter", "small", "--rank", "2"]).stdout;
    assert!(shrunk.contains("rank     2, before 4") && shrunk.contains("lost     "), "{shrunk}");
    assert!(shrunk.lines().all(|line| line.width() <= 80), "{shrunk}");
    let small = json(&bench.done(&["inspect", "small", "--json"]).stdout);
    assert!(small["modules"].as_array().expect("modules").iter().all(|m| m["rank"] == 2), "{small}");
    bench.done(&["train", "plan.yaml", "--set", "out=again", "--set", "adapter={start_from: small}"]);
    let again = bench.run(&["shrink", "run/adapter", "small", "--energy", "0.9"]);
    assert!(again.code == 10 && again.stderr.contains("there already"), "{again:?}");
    for wrong in [&["--rank", "2", "--energy", "0.9"][..], &["--energy", "1.5"], &["--rank", "0"], &[]] {
        assert_eq!(bench.run(&[&["shrink", "run/adapter", "other"], wrong].concat()).code, 2, "{wrong:?}");
    }
    let absent = bench.run(&["inspect", "nothing"]);
    assert!(absent.code == 12 && absent.stderr.contains("hint:"), "{absent:?}");
}

#[test]
fn plan_marks_learned_tokens_in_colour_or_in_brackets() {
    let bench = Bench::new("llama");
    bench.write("train.jsonl", "{\"prompt\":\"ask\",\"completion\":\"ANSWER\"}\n");
    let plain = bench.done(&["plan", "plan.yaml", "--color", "never"]).stdout;
    let sample = plain.lines().last().expect("a sample");
    let learned = sample.split_once('[').and_then(|(_, rest)| rest.split_once(']')).expect("brackets").0;
    assert!(learned.contains("ANSWER") && sample.contains("ask") && !learned.contains("ask"), "{sample}");
    let colored = bench.done(&["plan", "plan.yaml", "--color", "always"]).stdout;
    let sample = colored.lines().last().expect("a sample");
    let learned =
        sample.split_once("\u{1b}[1m\u{1b}[32m").and_then(|(_, rest)| rest.split_once("\u{1b}[0m")).expect("colour").0;
    assert!(learned.contains("ANSWER") && !learned.contains("ask"), "{sample:?}");
}

#[test]
fn text_from_data_cannot_reach_the_terminal_as_control() {
    let bench = Bench::new("llama");
    bench.write("train.jsonl", "{\"prompt\":\"a\\u001b]0;x\\u0007b\",\"completion\":\"c\\u202ed\"}\n");
    let ran = bench.done(&["plan", "plan.yaml"]);
    let bad = ran.stdout.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
    assert_eq!(bad, None, "{:?}", ran.stdout);
}

#[test]
fn plan_as_json_is_one_object() {
    let bench = Bench::new("llama");
    let ran = bench.done(&["plan", "plan.yaml", "--json"]);
    let last = json(ran.stdout.lines().last().expect("a line"));
    assert_eq!(last["event"], "plan");
    assert_eq!(last["steps"], 6);
    assert_eq!(last["train"]["examples"], 40);
    assert!(last["memory"]["total"].as_u64() > Some(0));
}

#[test]
fn train_as_json_tells_every_step_and_the_result() {
    let bench = Bench::new("llama");
    let mut run = bench.watch(&["train", "plan.yaml"]);
    for step in 1..=6 {
        let event = run.until(is_step(step)).unwrap_or_else(|| panic!("step {step}"));
        assert!(event["loss"].as_f64() > Some(0.0) && event["steps"] == 6, "{event}");
    }
    let ran = run.end();
    let last = json(ran.stdout.lines().last().expect("a line"));
    assert_eq!((last["event"].as_str(), last["steps"].as_u64()), (Some("done"), Some(6)));
    assert!(last["adapter"].as_str().is_some_and(|a| a.ends_with("run/adapter")));
    assert_eq!(ran.stderr, "");
}

#[test]
fn errors_as_json_carry_code_message_and_hint() {
    let bench = Bench::new("llama");
    let ran = bench.run(&["train", "plan.yaml", "--json", "--set", "adapter.rr=1"]);
    let event = json(&ran.stdout);
    assert_eq!((event["event"].as_str(), event["code"].as_i64()), (Some("error"), Some(10)));
    assert!(event["hint"].as_str().is_some_and(|h| h.contains("`adapter.r`")), "{event}");
}

#[test]
fn progress_is_plain_lines_of_at_most_80_columns_when_stderr_is_no_terminal() {
    let bench = Bench::new("llama");
    let ran = bench.done(&["train", "plan.yaml"]);
    assert!(ran.stderr.contains("step 6/6  loss "), "{ran:?}");
    assert!(ran.stderr.contains("valid loss"), "{ran:?}");
    assert!(ran.stderr.lines().all(|line| line.width() <= 80) && !ran.stderr.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn doctor_and_completions() {
    let bench = Bench::new("llama");
    let ran = bench.done(&["doctor"]);
    for part in ["athanor", "processor", "features", "memory", "disk", "GPU"] {
        assert!(ran.stdout.contains(part), "{ran:?}");
    }
    let report = json(&bench.done(&["doctor", "--json"]).stdout);
    assert!(report["memory_total"].as_u64() > Some(0) && report["threads"].as_u64() > Some(0), "{report}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = bench.done(&["completions", shell]).stdout;
        assert!(script.contains("athanor") && script.contains("resume"), "{shell}");
    }
}

#[test]
fn adapters_are_combined_and_merged_as_one() {
    let bench = Bench::new("llama");
    let model = fixture("models/llama").display().to_string();
    for (out, sets) in [
        ("one", ["--set", "adapter={r: 4, alpha: 32}", "--set", "train.lr=1e-2"]),
        ("two", ["--set", "adapter={r: 2, targets: [q_proj, v_proj], rslora: true}", "--set", "train.lr=1e-1"]),
    ] {
        let out = format!("out={out}");
        bench.done(&[&["train", "plan.yaml", "--set", &out][..], &sets].concat());
    }
    let both = ["--adapter", "one/adapter=0.5", "--adapter", "two/adapter"];
    let text = bench.done(&[&["combine", "sum"][..], &both].concat()).stdout;
    assert!(text.contains("rank     4 to 6, the 2 adapters' together 4 to 6"), "{text}");
    assert!(text.contains("lost     0.00 % of ‖ΔW‖ over 14 modules"), "{text}");
    assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    // It is an adapter like any other.
    let merged = bench.done(&["merge", "sum", "whole", "--base", &model, "--json"]).stdout;
    let merged = json(merged.lines().last().expect("a line"));
    assert!(merged["kl"].as_f64().is_some_and(|kl| kl.abs() < 1e-9), "{merged}");
    bench.done(&["train", "plan.yaml", "--set", "out=again", "--set", "adapter={start_from: sum}"]);

    for (method, flags) in [
        ("ties", &["--density", "0.3", "--rank", "2"][..]),
        ("dare_linear", &["--seed", "5"]),
        ("dare_ties", &["--seed", "5", "--density", "0.9"]),
        ("linear", &["--energy", "0.9"]),
    ] {
        let args = [&["combine", method, "--method", method, "--threads", "2", "--json"][..], &both, flags].concat();
        let done = json(bench.done(&args).stdout.lines().last().expect("a line"));
        assert_eq!((done["event"].as_str(), done["modules"].as_array().map(Vec::len)), (Some("done"), Some(14)));
        assert!(done["lost"].as_f64().is_some_and(|lost| lost > 0.0 && lost < 1.0), "{done}");
        bench.done(&["merge", method, "merged", "--base", &model, "--no-check"]);
        std::fs::remove_dir_all(bench.path("merged")).expect("ours");
        // The same bytes again, with any number of threads.
        let tensors = |dir: &str| std::fs::read(bench.path(dir).join("adapter_model.safetensors")).expect("a file");
        bench.done(&[&["combine", "again2", "--method", method, "--threads", "1"][..], &both, flags].concat());
        assert_eq!(tensors(method), tensors("again2"), "{method}");
        std::fs::remove_dir_all(bench.path("again2")).expect("ours");
    }
}

#[test]
fn what_cannot_be_combined_is_refused_with_what_to_do() {
    let bench = Bench::new("llama");
    let folder = |case: &str| fixture("peft").join(case).join("final").display().to_string();
    let [all, dora, save, other] =
        ["llama/lora_all", "llama/dora_all", "llama/lora_save", "qwen2/lora_all"].map(folder);
    for (adapter, says, hint) in [
        (&dora, "magnitudes of rows do not add up", "athanor merge"),
        (&save, "whole, and not as a change of the base", "modules_to_save"),
        (&other, "it names qwen2 as its base", "--other-base"),
        (&"absent".to_owned(), "absent", "hint:"),
    ] {
        let ran = bench.run(&["combine", "out", "--adapter", &all, "--adapter", adapter]);
        assert!(ran.code == 12 && ran.stderr.contains(says) && ran.stderr.contains(hint), "{ran:?}");
        assert!(!bench.path("out").exists() && !bench.path("out.tmp").exists());
    }
    for wrong in [
        &["--method", "linear", "--density", "0.5"][..],
        &["--seed", "1"],
        &["--method", "ties", "--seed", "1"],
        &["--method", "ties", "--energy", "0.5"],
        &["--rank", "2", "--energy", "0.5"],
        &["--method", "ties", "--density", "0"],
        &["--adapter", "x=0"],
    ] {
        let ran = bench.run(&[&["combine", "out2", "--adapter", &all], wrong].concat());
        assert!(ran.code == 2 && !bench.path("out2").exists(), "{wrong:?} {ran:?}");
    }
    assert_eq!(bench.run(&["combine", "out2"]).code, 2);
    bench.done(&["combine", "one", "--adapter", &all]);
    let again = bench.run(&["combine", "one", "--adapter", &all]);
    assert!(again.code == 10 && again.stderr.contains("there already"), "{again:?}");
}

/// An adapter knows the weights it was trained beside, whatever their folder is called.
#[test]
fn an_adapter_of_another_base_is_refused() {
    let bench = Bench::new("llama");
    bench.done(&["train", "plan.yaml"]);
    let model = fixture("models/llama").display().to_string();
    std::fs::create_dir(bench.path("other")).expect("a folder");
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(fixture("models/llama").join(file), bench.path("other").join(file)).expect("a copy");
    }
    let mut bytes = std::fs::read(fixture("models/llama/model.safetensors")).expect("weights");
    let begin = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight")) as usize;
    bytes[begin..].chunks_exact_mut(4).for_each(|v| v[0] ^= 1);
    std::fs::write(bench.path("other/model.safetensors"), bytes).expect("weights");

    let on = "adapter={start_from: run/adapter}";
    let on_it = ["--set", "model=other", "--set", on, "--set", "out=on"];
    for (args, flag) in [
        (&["merge", "run/adapter", "whole", "--base", "other"][..], &["--other-base"][..]),
        (&["inspect", "run/adapter", "--base", "other"], &["--other-base"]),
        (&[&["plan", "plan.yaml"][..], &on_it].concat(), &["--set", "adapter.other_base=true"]),
        (&[&["train", "plan.yaml"][..], &on_it].concat(), &["--set", "adapter.other_base=true"]),
    ] {
        let ran = bench.run(args);
        assert!(ran.code == 12 && ran.stderr.contains("was trained on another base"), "{ran:?}");
        assert!(ran.stderr.contains("hint: name the base it was trained on"), "{ran:?}");
        bench.done(&[args, flag].concat());
    }
    bench.done(&["inspect", "run/adapter", "--base", &model]);
    // A smaller adapter, and one that is made of it, know it too.
    bench.done(&["shrink", "run/adapter", "small", "--rank", "1"]);
    bench.done(&["combine", "sum", "--adapter", "small", "--adapter", "run/adapter"]);
    for adapter in ["small", "sum"] {
        assert_eq!(bench.run(&["inspect", adapter, "--base", "other"]).code, 12, "{adapter}");
    }
    // The two were trained on different bases, whatever they are called.
    let mixed = ["combine", "mixed", "--adapter", "run/adapter", "--adapter", "on/adapter"];
    let ran = bench.run(&mixed);
    assert!(ran.code == 12 && ran.stderr.contains("it was trained on other weights than"), "{ran:?}");
    bench.done(&[&mixed[..], &["--other-base"]].concat());
    bench.done(&["inspect", "mixed", "--base", "other"]);
    // PEFT's folders say nothing.
    let peft = fixture("peft/llama/lora_all/final").display().to_string();
    bench.done(&["inspect", &peft, "--base", "other"]);
}

#[test]
fn a_merge_says_where_it_added_the_adapter_to_nf4_values() {
    let bench = Bench::new("llama");
    bench.done(&["train", "plan.yaml", "--set", "quantize=nf4", "--set", "train.lr=1e-1"]);
    let model = fixture("models/llama").display().to_string();
    let weights = |dir: &str| std::fs::read(bench.path(dir).join("model.safetensors")).expect("weights");
    let text = bench.done(&["merge", "run/adapter", "nf4", "--base", &model]).stdout;
    assert!(text.contains("with their values in NF4"), "{text}");
    assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    let text = bench.done(&["merge", "run/adapter", "floats", "--base", &model, "--quantize", "none"]).stdout;
    assert!(!text.contains("NF4"), "{text}");
    bench.done(&["merge", "run/adapter", "told", "--base", &model, "--quantize", "nf4", "--no-check"]);
    let single = ["--quantize", "nf4", "--no-double-quant", "--no-check"];
    bench.done(&[&["merge", "run/adapter", "single", "--base", &model][..], &single].concat());
    assert!(weights("nf4") == weights("told") && weights("nf4") != weights("floats"));
    assert!(weights("single") != weights("told"));
}

/// A third set is told beside validation's, in the plan, in one line of the run and in its summary.
#[test]
fn an_unseen_set_is_shown_and_changes_no_adapter() {
    let bench = Bench::new("llama");
    let strange: String =
        (0..8).map(|i| format!("{{\"prompt\":\"第{i}问\",\"completion\":\"%%{}\"}}\n", "是".repeat(2 + i))).collect();
    bench.write("unseen.jsonl", &strange);
    let unseen = ["--set", "data.unseen={path: unseen.jsonl}"];
    let plan = bench.done(&[&["plan", "plan.yaml"], &unseen[..]].concat()).stdout;
    assert!(plan.lines().any(|l| l.starts_with("unseen") && l.contains("8 examples")), "{plan}");
    let ran = bench.done(&[&["train", "plan.yaml"], &unseen[..]].concat());
    let line = ran.stderr.lines().find(|l| l.contains("valid loss")).expect("a validation");
    assert!(line.contains("  unseen "), "{line}");
    assert!(ran.stdout.lines().any(|l| l.starts_with("unseen   ") && l.contains(" at step ")), "{}", ran.stdout);
    bench.done(&["train", "plan.yaml", "--set", "out=without"]);
    let adapter = |run: &str| std::fs::read(bench.path(run).join("adapter/adapter_model.safetensors")).expect("it");
    assert!(adapter("run") == adapter("without"));
    let again = bench.run(&["train", "plan.yaml", "--set", "out=again", "--set", "data.unseen={path: train.jsonl}"]);
    assert_eq!(again.code, 11, "{again:?}");
    assert!(again.stderr.contains("so its rows are not unseen") && again.stderr.contains("`data.unseen`"), "{again:?}");
}

/// Where validation gets no better, the run goes on with fewer ranks, and says so.
#[test]
fn a_run_that_overfits_goes_on_with_fewer_ranks() {
    let bench = Bench::new("llama");
    let set = [
        "--set",
        "train.eval_every=1",
        "--set",
        "train.early_stop={patience: 2, min_delta: 100}",
        "--set",
        "train.on_overfit=shrink_rank",
        "--set",
        "train.shrinks=1",
    ];
    let ran = bench.done(&[&["train", "plan.yaml"], &set[..]].concat());
    let text = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("step 3: no better for 2 validations; going on from step "), "{}", ran.stderr);
    let line = ran.stdout.lines().find(|l| l.starts_with("overfit  rank at most ")).expect("a line of the summary");
    assert!(line.contains("since step 3 (once, train.on_overfit)"), "{line}");
    assert!(ran.stdout.contains("stopped early"), "{}", ran.stdout);
    let refused = bench.run(&["plan", "plan.yaml", "--set", "train.on_overfit=shrink_rank"]);
    assert_eq!(refused.code, 10, "{refused:?}");
    assert!(refused.stderr.contains("`train.on_overfit` needs `train.early_stop`"), "{refused:?}");
}
