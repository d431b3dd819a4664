use super::keys::KEYS;
use super::resolve::Roots;
use super::{PlanError, Set, parse};
use data::{BadRows, Format, LossOn, OverLength, Packing, Template, Valid};
use model::{AdapterPlan, LoraPlan, Precision, Quantize, Targets};
use std::path::{Path, PathBuf};
use train::{Plan, RunLength, Schedule, Warmup};

const SMALL: &str = "model: m\ndata: {train: {path: a.jsonl}}\nout: runs/x\n";

fn load(text: &str, sets: &[&str]) -> Result<Plan, PlanError> {
    let sets: Vec<Set> = sets.iter().map(|s| s.parse().expect("a well-formed --set")).collect();
    let cache = Some(Path::new("/home/x/.cache/athanor"));
    let roots = Roots { inputs: Path::new("/in"), outputs: Path::new("/cwd"), cache };
    parse(text, Path::new("plan.yaml"), &sets, &roots)
}

fn good(text: &str, sets: &[&str]) -> Plan {
    load(text, sets).unwrap_or_else(|e| panic!("{text}\n{sets:?}\n{e}"))
}

/// The whole message: sentence and hint.
fn refusal(text: &str, sets: &[&str]) -> String {
    match load(text, sets) {
        Ok(plan) => panic!("not refused: {text} {sets:?}\n{plan:?}"),
        Err(e) => e.hint().map_or(e.to_string(), |hint| format!("{e} | {hint}")),
    }
}

fn lora(plan: &Plan) -> &LoraPlan {
    match &plan.adapter {
        AdapterPlan::Lora(lora) => lora,
        AdapterPlan::None => panic!("no adapter"),
    }
}

#[test]
fn the_plan_of_the_readme() {
    let text = r#"
model: ../models/stories260K
data:
  train: [{path: train.csv, format: prompt_completion, columns: {prompt: text, completion: category}}]
  valid: {path: test.csv, format: prompt_completion, columns: {prompt: text, completion: category}}
  template: "{prompt} => {completion}"
  loss_on: all
adapter: {method: lora, r: 8, alpha: 16, dropout: 0.0, targets: all-linear}
train: {steps: 200, batch: 16, lr: 1e-2, schedule: cosine, warmup: 0.1, seq_len_max: 512, checkpoint_every: 50, seed: 0, precision: f32}
out: runs/banking77
"#;
    let plan = good(text, &[]);
    assert_eq!(plan.model, PathBuf::from("/in/../models/stories260K"));
    assert_eq!(plan.out, PathBuf::from("/cwd/runs/banking77"));
    assert_eq!(plan.data.train[0].path, PathBuf::from("/in/train.csv"));
    assert_eq!(plan.data.train[0].format, Some(Format::PromptCompletion));
    assert_eq!(plan.data.train[0].columns["completion"], "category");
    assert!(matches!(&plan.data.valid, Some(Valid::Source(s)) if s[0].path == Path::new("/in/test.csv")));
    assert_eq!(plan.data.text.template, Template::Plain("{prompt} => {completion}".into()));
    assert_eq!(plan.data.text.loss_on, LossOn::All);
    assert_eq!((lora(&plan).r, lora(&plan).alpha), (8, 16.0));
    assert_eq!(plan.train.length, RunLength::Steps(200));
    assert_eq!((plan.train.lr, plan.train.schedule), (1e-2, Schedule::Cosine));
    assert_eq!((plan.train.warmup, plan.data.lengths.seq_len_max), (Warmup::Ratio(0.1), 512));
}

#[test]
fn quantize_is_none_or_nf4_with_or_without_double() {
    let of = |set: &[&str]| good(SMALL, set).quantize;
    assert_eq!(of(&[]), Quantize::None);
    assert_eq!(of(&["quantize=none", "double_quant=true"]), Quantize::None);
    assert_eq!(of(&["quantize=nf4"]), Quantize::Nf4 { double: true });
    assert_eq!(of(&["quantize=nf4", "double_quant=false"]), Quantize::Nf4 { double: false });
}

#[test]
fn quantised_bases_are_kept_in_the_users_cache_or_where_the_plan_says() {
    let of = |set: &[&str]| good(SMALL, set).quantize_cache;
    let path = |path: &str| Some(PathBuf::from(path));
    assert_eq!(of(&[]), None, "nothing is quantised");
    assert_eq!(of(&["quantize=nf4"]), path("/home/x/.cache/athanor"));
    assert_eq!(of(&["quantize=nf4", "quantize_cache=bases"]), path("/cwd/bases"));
    assert_eq!(of(&["quantize=nf4", "quantize_cache=/big/bases"]), path("/big/bases"));
    assert_eq!(of(&["quantize=nf4", "quantize_cache=off"]), None);
    assert_eq!(of(&["quantize_cache=off"]), None);
}

/// `auto` asks the processor, here against what the system says of it.
#[test]
fn precision_auto_is_bf16_where_the_processor_multiplies_it() {
    let of = |set: &str| good(SMALL, &[set]).train.precision;
    assert_eq!(of("train.precision=f32"), Precision::F32);
    assert_eq!(of("train.precision=bf16"), Precision::Bf16);
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let flags = text.lines().find(|l| l.starts_with("flags")).unwrap();
        // on Intel's it is worth while in tiles alone
        let wanted = if text.contains("GenuineIntel") { "amx_bf16" } else { "avx512_bf16" };
        let has = flags.split_whitespace().any(|f| f == wanted);
        assert_eq!(of("train.precision=auto"), if has { Precision::Bf16 } else { Precision::F32 });
    }
}

#[test]
fn a_key_left_out_means_its_documented_default() {
    let without = good(SMALL, &[]);
    for key in KEYS.iter().filter(|k| !k.default.is_empty()) {
        let set = format!("{}={}", key.path, key.default);
        let extra: &[&str] = match key.path {
            "train.shrinks" => &["data.valid={path: v}", "train.early_stop.patience=3", "train.on_overfit=shrink_rank"],
            "train.early_stop.min_delta" => &["data.valid={path: v}", "train.early_stop.patience=3"],
            path if path.starts_with("adapter.ranks.") => &["adapter.method=adalora"],
            path if path.starts_with("replay.") => &["replay.path=g.jsonl"],
            path if path.starts_with("eval.") => &["eval.task=suite.yaml"],
            "data.mix.temperature" => &["data.mix.by=temperature", "data.train.task=a"],
            _ => &[],
        };
        let with = good(SMALL, &[extra, &[&set]].concat());
        assert_eq!(with, good(SMALL, extra), "{set}");
    }
    assert_eq!(lora(&without).alpha, 16.0, "alpha is 2 r");
    assert_eq!(lora(&good(SMALL, &["adapter.r=5"])).alpha, 10.0, "alpha is 2 r");
}

/// As if alpha had been typed for every rank; what is typed stays, and comes first.
#[test]
fn alpha_auto_follows_each_rank() {
    let at = |set: &str| good(SMALL, &[set]).adapter;
    let root = |r: f64| 2.0 * r.sqrt();
    for (auto, typed) in [
        ("{r: 5, alpha: auto}".to_owned(), "{r: 5, alpha: 10}".to_owned()),
        ("{alpha: auto, method: dora}".into(), "{alpha: 16, method: dora}".into()),
        ("{r: 12, alpha: auto, method: adalora}".into(), "{r: 12, alpha: 24, method: adalora}".into()),
        ("{r: 9, alpha: auto, rslora: true}".into(), "{r: 9, alpha: 6, rslora: true}".into()),
        (
            "{alpha: auto, rank_pattern: {q_proj: 2, '.*_proj': 16}}".into(),
            "{alpha: 16, rank_pattern: {q_proj: 2, '.*_proj': 16}, alpha_pattern: {q_proj: 4, '.*_proj': 32}}".into(),
        ),
        (
            "{alpha: auto, rslora: true, rank_pattern: {q_proj: 2}}".into(),
            format!(
                "{{alpha: {}, rslora: true, rank_pattern: {{q_proj: 2}}, alpha_pattern: {{q_proj: {}}}}}",
                root(8.0),
                root(2.0)
            ),
        ),
        (
            "{alpha: auto, rank_pattern: {q_proj: 2, k_proj: 3}, alpha_pattern: {q_proj: 7}}".into(),
            "{alpha: 16, rank_pattern: {q_proj: 2, k_proj: 3}, alpha_pattern: {q_proj: 7, k_proj: 6}}".into(),
        ),
    ] {
        assert_eq!(at(&format!("adapter={auto}")), at(&format!("adapter={typed}")), "{auto}");
    }
    // Without it alpha stays that of adapter.r, as in PEFT.
    assert_eq!(lora(&good(SMALL, &["adapter={rank_pattern: {q_proj: 2}}"])).alpha_pattern, []);
    let wrong = refusal(SMALL, &["adapter.alpha=half"]);
    assert!(wrong.contains("`adapter.alpha` must be a number above 0, or auto, not \"half\""), "{wrong}");
    let wrong = refusal(SMALL, &["adapter.alpha=0"]);
    assert!(wrong.contains("`adapter.alpha` must be a number above 0, not 0"), "{wrong}");
}

#[test]
fn the_readme_shows_the_table() {
    let row = |k: &super::keys::Key| {
        let default = if k.default.is_empty() { String::new() } else { format!("`{}`", k.default) };
        format!("| `{}` | {default} | {} |\n", k.path, k.what)
    };
    let table: String = KEYS.iter().map(row).collect();
    let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md"));
    assert!(readme.contains(&table), "README.md lacks the table of keys as it is:\n{table}");
}

#[test]
fn every_key_of_the_table_is_known_and_every_known_key_is_in_the_table() {
    // A value of no type that any key takes: known keys complain about the value, unknown ones about the key.
    for key in KEYS {
        let path = key.path.replace("[]", "");
        let message = refusal(SMALL, &[&format!("{path}={{zz: [{{}}]}}")]);
        assert!(!message.contains(&format!("unknown key `{path}`")), "{message}");
    }
    // serde lists what it knows in the refusal of an unknown key.
    for (section, inside) in [
        ("", ""),
        ("data", "data."),
        ("adapter", "adapter."),
        ("train", "train."),
        ("data.train", "data.train[]."),
        ("data.mix", "data.mix."),
        ("replay", "replay."),
        ("ewc", "ewc[]."),
        ("eval", "eval."),
    ] {
        let set = if section.is_empty() { "zzzz=1".to_owned() } else { format!("{section}.zzzz=1") };
        let Err(PlanError::UnknownKey { known, .. }) = load(SMALL, &[&set]) else { panic!("{set} is known") };
        for name in known {
            let path = format!("{inside}{name}");
            let documented = KEYS.iter().any(|k| k.path == path || k.path.starts_with(&format!("{path}.")));
            assert!(documented, "`{path}` is not in the table");
        }
    }
}

#[test]
fn forms_that_a_key_takes() {
    let at = |set: &str| good(SMALL, &[set]);
    assert_eq!(at("train.epochs=2.5").train.length, RunLength::Epochs(2.5));
    assert_eq!(at("train.warmup=10").train.warmup, Warmup::Steps(10));
    assert_eq!(at("train.warmup=0").train.warmup, Warmup::Ratio(0.0));
    assert_eq!(at("train.clip=none").train.clip, None);
    assert_eq!(at("train.clip=2").train.clip, Some(2.0));
    assert_eq!(at("train.memory=8GiB").train.memory, Some(8 << 30));
    assert_eq!(at("train.memory=1000000").train.memory, Some(1_000_000));
    assert_eq!(at("train.betas=[0.8, 0.95]").train.betas, (0.8, 0.95));
    assert_eq!(lora(&at("adapter.alpha=32")).alpha, 32.0);
    assert_eq!(
        lora(&at("adapter.targets=[q_proj, v_proj]")).targets,
        Targets::Names(vec!["q_proj".into(), "v_proj".into()])
    );
    assert_eq!(lora(&at("adapter.targets={regex: '.*q_proj'}")).targets, Targets::Regex(".*q_proj".into()));
    assert_eq!(
        lora(&at("adapter.rank_pattern={b: 2, a: 1}")).rank_pattern,
        [("b".to_owned(), 2), ("a".to_owned(), 1)],
        "patterns keep their order"
    );
    assert_eq!(lora(&at("adapter.layers=[0, 2]")).layers, Some(vec![0, 2]));
    assert_eq!(lora(&at("adapter.start_from=old/adapter")).start_from, Some("/in/old/adapter".into()));
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/peft/llama/lora_pattern/final");
    let going_on = at(&format!("adapter.start_from={old}"));
    let (was, now) = (model::adapters::plan_from(Path::new(old), 0).expect("the fixture"), lora(&going_on));
    assert_eq!((now.r, now.alpha, &now.targets, &now.exclude), (was.r, was.alpha, &was.targets, &was.exclude));
    assert_eq!((&now.rank_pattern, &now.alpha_pattern), (&was.rank_pattern, &was.alpha_pattern));
    assert_eq!(lora(&at("adapter.base_name=org/model")).base_name, "org/model");
    assert_eq!(lora(&at("train.seed=7")).seed, 7);
    assert_eq!(at("data.valid={share: 0.05}").data.valid, Some(Valid::Share(0.05)));
    assert_eq!(at("data.template={file: chat.jinja}").data.text.template, Template::File("/in/chat.jinja".into()));
    assert_eq!(at("data.template=auto").data.text.template, Template::Auto);
    assert_eq!(at("data.quarantine=true").data.bad_rows, BadRows::Quarantine);
    assert_eq!(at("data.packing=wrapped").data.lengths.packing, Packing::Wrapped);
    assert_eq!(at("data.packing=wrapped").data.lengths.over, OverLength::Split);
    assert_eq!(at("data.over_length=drop").data.lengths.over, OverLength::Drop);
    assert_eq!(at("data.train=[{path: a}, {path: /b}]").data.train[1].path, PathBuf::from("/b"));
    assert_eq!(at("data.train.path=c.json").data.train[0].path, PathBuf::from("/in/c.json"));
    let listed = "model: m\ndata: {train: [{path: a}, {path: b}]}\nout: x\n";
    assert_eq!(good(listed, &["data.train.1.path=c"]).data.train[1].path, PathBuf::from("/in/c"));
    assert_eq!(good(SMALL, &["adapter.r=4", "adapter.r=2"]).adapter, at("adapter.r=2").adapter, "the last --set wins");
}

#[test]
fn refusals_name_the_place_the_key_and_the_way_out() {
    let file = |from: &str, to: &str| {
        let text = "model: m\ndata:\n  train: [{path: a.jsonl}]\nadapter: {r: 8}\ntrain: {lr: 1e-3}\nout: x\n";
        assert!(text.contains(from));
        refusal(&text.replacen(from, to, 1), &[])
    };
    let mut wrong = Vec::new();
    for (from, to, want) in [
        ("r: 8", "rr: 8", "plan.yaml:4:11: unknown key `adapter.rr` | did you mean `adapter.r`?"),
        ("lr: 1e-3", "shedule: cosine", "plan.yaml:5:9: unknown key `train.shedule` | did you mean `train.schedule`?"),
        ("lr: 1e-3", "learning_rate: 1", "plan.yaml:5:9: unknown key `train.learning_rate` | did you mean `train.lr`?"),
        ("out: x", "out: x\nlr: 1", "plan.yaml:7:1: unknown key `lr` | did you mean `train.lr`?"),
        (
            "out: x",
            "out: x\nzzz: 1",
            "plan.yaml:7:1: unknown key `zzz` | known here: model, quantize, double_quant, quantize_cache, data, replay, adapter, ewc, train, eval, out",
        ),
        ("path:", "pth:", "plan.yaml:3:12: unknown key `data.train.0.pth` | did you mean `data.train.0.path`?"),
        (
            "r: 8",
            "r: eight",
            "plan.yaml:4:14: `adapter.r` must be a whole number, 0 or more, not \"eight\" | change `adapter.r`",
        ),
        ("r: 8", "r: -1", "plan.yaml:4:14: `adapter.r` must be a whole number, 0 or more, not -1 | change `adapter.r`"),
        ("r: 8", "r: 0", "plan.yaml:4:14: `adapter.r` must be from 1 to 4096, not 0 | change `adapter.r`"),
        (
            "r: 8",
            "dropout: 1",
            "plan.yaml:4:20: `adapter.dropout` must be from 0 to below 1, not 1 | change `adapter.dropout`",
        ),
        (
            "r: 8",
            "rslora: 1",
            "plan.yaml:4:19: `adapter.rslora` must be true or false, not 1 | change `adapter.rslora`",
        ),
        (
            "r: 8",
            "targets: q_proj",
            "plan.yaml:4:20: `adapter.targets` must be all-linear, a list of names such as [q_proj, v_proj], or {regex: \"…\"}, \
             not \"q_proj\" | change `adapter.targets`",
        ),
        ("r: 8", "method: qlora", "`adalora` and `full` | QLoRA is `adapter.method: lora` with `quantize: nf4`"),
        ("r: 8", "method: full, r: 8", "keep `adapter.method: full` or `adapter.r`, not both"),
        (
            "r: 8",
            "method: lorra",
            "plan.yaml:4:19: `adapter.method` must be one of lora, dora, adalora, full, not \"lorra\" | did you mean `method: lora`?",
        ),
        ("lr: 1e-3", "lr: .nan", "plan.yaml:5:13: this is not valid YAML: non-finite float `.nan`"),
        ("lr: 1e-3", "lr: fast", "plan.yaml:5:13: `train.lr` must be a number, not \"fast\" | change `train.lr`"),
        (
            "lr: 1e-3",
            "checkpoints_keep: 1",
            "plan.yaml:5:27: `train.checkpoints_keep` must be from 2 to 10000, not 1 | change `train.checkpoints_keep`",
        ),
        (
            "lr: 1e-3",
            "schedule: cosin",
            "plan.yaml:5:19: `train.schedule` must be one of constant, linear, cosine, not \"cosin\" | did you mean `schedule: cosine`?",
        ),
        (
            "lr: 1e-3",
            "precision: fp8",
            "plan.yaml:5:20: `train.precision` must be one of f32, bf16, auto, not \"fp8\" | set `train.precision` to f32",
        ),
        ("lr: 1e-3", "{steps: 5, epochs: 1}", "plan.yaml:5:9: this is not valid YAML"),
        (
            "lr: 1e-3",
            "steps: 5, epochs: 1",
            "plan.yaml:5:27: `train.steps` and `train.epochs` exclude each other | keep `train.steps` or `train.epochs`, not both",
        ),
        (
            "lr: 1e-3",
            "warmup: 1.5",
            "plan.yaml:5:17: `train.warmup` must be a share below 1 or a whole number of steps, not 1.5 | change `train.warmup`",
        ),
        (
            "lr: 1e-3",
            "eval_every: 5",
            "plan.yaml:5:21: `train.eval_every` needs `data.valid` | add `data.valid`, or take `train.eval_every` out",
        ),
        (
            "lr: 1e-3",
            "early_stop: {patience: 2}",
            "plan.yaml:5:21: `train.early_stop` needs `data.valid` | add `data.valid`, or take `train.early_stop` out",
        ),
        ("lr: 1e-3", "early_stop: {}", "plan.yaml:5:21: `train.early_stop.patience` is missing"),
        (
            "lr: 1e-3",
            "memory: lots",
            "plan.yaml:5:17: `train.memory` must be a size such as 8GiB or 512MiB, not \"lots\" | change `train.memory`",
        ),
        (
            "lr: 1e-3",
            "micro_tokens: 8",
            "plan.yaml:5:23: `train.micro_tokens` must be at least train.seq_len_max (1024), not 8",
        ),
        ("out: x\n", "", "plan.yaml:1:1: `out` is missing | add `out` to the plan, or pass --set out=…"),
        ("[{path: a.jsonl}]", "[]", "plan.yaml:3:10: `data.train` must be at least one source, not an empty list"),
        ("[{path: a.jsonl}]", "[{}]", "plan.yaml:3:11: `data.train.0.path` is missing"),
        (
            "[{path: a.jsonl}]",
            "a.jsonl",
            "plan.yaml:3:10: `data.train` must be a list such as [{path: train.jsonl}], not \"a.jsonl\"",
        ),
        ("path: a.jsonl", "path: a, name: b", "plan.yaml:3:27: `data.train.0.name` needs `data.train.0.dataset_info`"),
        (
            "path: a.jsonl",
            "path: a, dataset_info: b",
            "`data.train.0.path` and `data.train.0.dataset_info` exclude each other",
        ),
        ("path: a.jsonl", "dataset_info: b", "`data.train.0.name` is missing"),
        (
            "path: a.jsonl",
            "path: a, format: alpacca",
            "`data.train.0.format` must be one of alpaca, sharegpt, messages, prompt_completion, text, not \"alpacca\" | did you mean `format: alpaca`?",
        ),
        (
            "data:\n",
            "data:\n  valid: {share: 1.5}\n",
            "plan.yaml:3:18: `data.valid.share` must be a share between 0 and 1, not 1.5",
        ),
        (
            "data:\n",
            "data:\n  valid: {share: 0.5, path: v}\n",
            "`data.valid.share` and `data.valid.path` exclude each other",
        ),
        ("data:\n", "data:\n  template: chatml\n", "`data.template` must be auto, a text with roles"),
        (
            "data:\n",
            "data:\n  packing: wrapped\n  over_length: drop\n",
            "`data.over_length` and `data.packing` exclude each other",
        ),
        (
            "data:\n",
            "data:\n  record_max: 1B\n",
            "plan.yaml:3:15: `data.record_max` must be from 1024 to 1073741824, not 1",
        ),
        (
            "model: m",
            "model: m\nquantize: nf5",
            "plan.yaml:2:11: `quantize` must be one of none, nf4, not \"nf5\" | did you mean `quantize: nf4`?",
        ),
        ("model: m", "model: m\ndouble_quant: false", "plan.yaml:2:15: `double_quant` needs `quantize: nf4` | add"),
        ("model: m", "model: m\nquantize_cache: bases", "plan.yaml:2:17: `quantize_cache` needs `quantize: nf4` | add"),
        ("model: m", "model: m\nquantize_cache: 7", "plan.yaml:2:17: `quantize_cache` must be a folder, or off"),
        ("model: m", "model: [", "plan.yaml:"),
        ("model: m", "model: m\nmodel: n", "plan.yaml:2:"),
    ] {
        let got = file(from, to);
        if !got.contains(want) {
            wrong.push(format!("{to}\n want {want}\n got  {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (text, got) in [("- a\n- b\n", "a list"), ("", "nothing"), ("just words", "\"just words\"")] {
        let message = refusal(text, &[]);
        let want = format!("plan.yaml:1:1: a plan is keys and values, not {got} | begin with");
        assert!(message.starts_with(&want), "want {want}\n got {message}");
    }
}

#[test]
fn refusals_of_overrides_name_the_flag() {
    for (set, want) in [
        ("adapter.r=eight", "--set adapter.r=eight: `adapter.r` must be a whole number, 0 or more, not \"eight\""),
        ("adapter.rr=8", "--set adapter.rr=8: unknown key `adapter.rr` | did you mean `adapter.r`?"),
        ("model.x=1", "--set model.x=1: `model` holds no `x` | write the key as `athanor plan --keys` lists it"),
        ("adapter.targets=[q", "--set adapter.targets=[q: this is not valid YAML"),
        ("train.lr=-1", "--set train.lr=-1: `train.lr` must be a number above 0, not -1"),
    ] {
        let got = refusal(SMALL, &[set]);
        assert!(got.starts_with(want), "{set}\n want {want}\n got  {got}");
    }
    for bad in ["adapter.r", "=1", "a..b=1", ".=1"] {
        assert!(bad.parse::<Set>().is_err(), "{bad}");
    }
}

#[test]
fn hostile_yaml_is_refused_in_bounded_time() {
    let bomb = format!(
        "a: &a [x]\n{}",
        (1..40)
            .map(|i| format!("b{i}: &b{i} [*{p}, *{p}]\n", p = if i == 1 { "a".into() } else { format!("b{}", i - 1) }))
            .collect::<String>()
    );
    for text in
        [bomb, "[".repeat(100_000), format!("{}x", "a: {".repeat(5_000)), "\u{0}".into(), "a: !!binary x".into()]
    {
        assert!(load(&text, &[]).is_err());
    }
}

#[test]
fn control_characters_of_a_plan_are_shown_and_not_sent() {
    let got = refusal(SMALL, &["train.schedule=\"\\e[31mred\""]);
    assert!(got.contains("\\u{1b}[31mred") && !got.contains('\u{1b}'), "{got}");
}

const TASKS: &str = "model: m
data:
  train:
    - {path: a.jsonl, task: bank, weight: 2}
    - {path: b.jsonl, task: math, weight: 1, cap: 500}
    - {path: c.jsonl, task: bank}
  valid: {path: v.jsonl, task: bank}
out: runs/x
replay: {path: g.jsonl, share: 0.1, choose: forgotten, buffer: 64}
";

#[test]
fn tasks_and_replays_as_typed() {
    let plan = good(TASKS, &[]).data;
    let labels: Vec<_> = plan.train.iter().map(|s| s.task.as_deref()).collect();
    assert_eq!(labels, [Some("bank"), Some("math"), Some("bank")]);
    let Some(Valid::Source(valid)) = &plan.valid else { panic!("{:?}", plan.valid) };
    assert_eq!(valid[0].task.as_deref(), Some("bank"));
    let mix = plan.mix.unwrap();
    assert_eq!(mix.tasks.iter().map(|t| (&*t.name, t.cap)).collect::<Vec<_>>(), [("bank", None), ("math", Some(500))]);
    assert_eq!((&mix.shares, mix.uses), (&data::Shares::Weights(vec![2.0, 1.0]), None));
    let replay = plan.replay.unwrap();
    assert_eq!(replay.sources[0].path, Path::new("/in/g.jsonl"));
    assert_eq!((replay.share, replay.choose, replay.buffer), (0.1, data::Choose::Forgotten, Some(64)));

    let of = |sets: &[&str]| good(SMALL, &[&["data.train.task=a"], sets].concat()).data.mix.unwrap().shares;
    assert_eq!(of(&[]), data::Shares::Size);
    assert_eq!(of(&["data.mix.by=temperature"]), data::Shares::Temperature(0.5));
    assert_eq!(of(&["data.mix.temperature=0"]), data::Shares::Temperature(0.0));
    assert_eq!(of(&["data.train.weight=3"]), data::Shares::Weights(vec![3.0]));
    assert_eq!(good(SMALL, &[]).data.mix, None);
    let own = |sets: &[&str]| good(SMALL, sets).data.replay.unwrap();
    let written = |texts, tokens| Some(data::WrittenPlan { texts, tokens });
    assert_eq!(
        (own(&["replay.self=500"]).written, own(&["replay.self=500"]).sources),
        (written(500, None), Vec::new())
    );
    assert_eq!(own(&["replay={self: 5, tokens: 99}"]).written, written(5, Some(99)));
    assert_eq!(good(SMALL, &["replay.path=g.jsonl"]).data.replay.unwrap().share, 0.08);
}

#[test]
fn wrong_mixtures_and_replays_are_refused_where_they_stand() {
    let changed = |from: &str, to: &str| {
        assert!(TASKS.contains(from), "{from}");
        refusal(&TASKS.replace(from, to), &[])
    };
    let mut wrong = Vec::new();
    for (from, to, expected) in [
        (", task: math, weight: 1, cap: 500", "", "plan.yaml:5:7: `data.train.1.task` is missing"),
        ("weight: 1, ", "", "plan.yaml:5:7: `data.train.1.weight` is missing"),
        ("cap: 500", "cap: 0", "plan.yaml:5:51: `data.train.1.cap` must be from 1 to"),
        ("weight: 2", "weight: -2", "plan.yaml:4:43: `data.train.0.weight` must be a number above 0, not -2"),
        (
            "task: bank}\n  valid",
            "task: bank, weight: 1}\n  valid",
            "plan.yaml:6:43: `data.train.0.weight` and `data.train.2.weight` exclude each other",
        ),
        ("task: math", "task: my math", "`data.train.1.task` must be of letters, digits, `_` and `-`, not \"my math\""),
        ("task: math", "task: replay", "`data.train.1.task` must be another name: replay rows have this one"),
        ("out:", "  mix: {by: size}\nout:", "`data.mix.by: size` and `data.train.0.weight` exclude each other"),
        ("out:", "  mix: {by: sizes}\nout:", "plan.yaml:8:13: `data.mix.by` must be one of size, weights, temperature"),
        ("out:", "  mix: {uses: 0}\nout:", "plan.yaml:8:15: `data.mix.uses` must be from 1 to 1000000, not 0"),
        (
            "out:",
            "  mix: {temperature: 1, by: weights}\nout:",
            "plan.yaml:8:22: `data.mix.temperature` needs `data.mix.by: temperature`",
        ),
        ("share: 0.1", "share: 1", "plan.yaml:9:32: `replay.share` must be a share between 0 and 1, not 1"),
        ("choose: forgotten", "choose: best", "`replay.choose` must be one of random, length, diversity, forgotten"),
        ("buffer: 64", "buffer: 0", "`replay.buffer` must be from 1 to 100000, not 0"),
        ("path: g.jsonl", "run: runs/none", "plan.yaml:9:15: /cwd/runs/none: no run here (no plan.json)"),
        ("path: g.jsonl", "path: g.jsonl, run: runs/a", "`replay.run` and `replay.path` exclude each other"),
        ("path: g.jsonl, ", "", "`replay.path` is missing"),
        ("path: g.jsonl", "self: 0", "plan.yaml:9:16: `replay.self` must be from 1 to 100000, not 0"),
        (
            "path: g.jsonl",
            "self: 500, path: g.jsonl",
            "plan.yaml:9:27: `replay.self` and `replay.path` exclude each other",
        ),
        ("path: g.jsonl", "self: 500, run: a", "plan.yaml:9:26: `replay.self` and `replay.run` exclude each other"),
        (
            "path: g.jsonl",
            "self: 500, tokens: 1025",
            "plan.yaml:9:29: `replay.tokens` must be from 2 to 1024, not 1025",
        ),
        ("path: g.jsonl", "path: g.jsonl, tokens: 9", "plan.yaml:9:33: `replay.tokens` needs `replay.self`"),
        ("  valid: {path: v.jsonl, task: bank}\n", "", "plan.yaml:8:45: `replay.choose: forgotten` needs `data.valid`"),
        ("out:", "  unseen: []\nout:", "plan.yaml:8:11: `data.unseen` must be at least one source"),
        ("out:", "  unseen: {share: 0.1}\nout:", "plan.yaml:8:12: unknown key `data.unseen.share`"),
        (
            "{path: v.jsonl, task: bank}",
            "{share: 0.1, task: bank}",
            "plan.yaml:7:29: `data.valid.share` and `data.valid.task` exclude each other",
        ),
    ] {
        let message = changed(from, to);
        if !message.contains(expected) {
            wrong.push(format!("{to}\n want {expected}\n got  {message}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let message = refusal(SMALL, &["data.unseen={path: u.jsonl}"]);
    let expected = "`data.unseen` needs `data.valid` | add `data.valid`, or take `data.unseen` out";
    assert!(message.contains(expected), "{message}");
    let message = refusal(SMALL, &["data.train.task=a", "data.mix.temperature=1.5"]);
    assert!(
        message.contains("`data.mix.temperature` must be from 0 (all tasks alike) to 1 (by size), not 1.5"),
        "{message}"
    );
}

#[test]
fn what_is_held_on_to() {
    use train::{EwcOf, Lambda, Sought};
    let of = |set: &str| good(SMALL, &[set]).ewc;
    let base = of("ewc={general: {path: g.jsonl}, lambda: 1e3}");
    assert!(matches!(&base[..], [part] if part.lambda == Lambda::Given(1e3) && part.examples == 200));
    assert!(matches!(&base[0].of, EwcOf::Base(sources) if sources.len() == 1));
    let two = of("ewc=[{general: {path: g.jsonl}, lambda: 1}, {fisher: f.safetensors, lambda: 2, examples: 5}]");
    assert!(matches!(&two[1].of, EwcOf::File(_)) && two.len() == 2);
    let sought = of("ewc=[{general: {path: g.jsonl}, rise: 0.02, probe_steps: 30}, {fisher: f, lambda: 2}]");
    assert_eq!(sought[0].lambda, Lambda::Sought(Sought { rise: 0.02, steps: Some(30), found: None }));
    for (set, says) in [
        ("ewc={lambda: 1}", "`ewc.general` is missing"),
        ("ewc={general: {path: g}}", "`ewc.lambda` is missing, and so is `ewc.rise` | add `ewc.lambda` or `ewc.rise`"),
        ("ewc={general: {path: g}, lambda: 1, rise: 0.1}", "`ewc.lambda` and `ewc.rise` exclude each other"),
        ("ewc={general: {path: g}, rise: 2}", "`ewc.rise` must be a share between 0 and 1, such as 0.02, not 2"),
        ("ewc={general: {path: g}, rise: 0}", "`ewc.rise` must be a share between 0 and 1"),
        ("ewc={general: {path: g}, lambda: 1, probe_steps: 9}", "`ewc.probe_steps` needs `ewc.rise`"),
        ("ewc={general: {path: g}, rise: 0.1, probe_steps: 0}", "`ewc.probe_steps` must be from 1 to"),
        ("ewc={fisher: f, rise: 0.1}", "`ewc.rise` needs `ewc.general`"),
        (
            "ewc=[{general: {path: g}, rise: 0.1}, {general: {path: h}, rise: 0.2}]",
            "`ewc.0.rise` and `ewc.1.rise` exclude each other",
        ),
        ("ewc={general: {path: g}, lambda: -1}", "`ewc.lambda` must be 0 or more"),
        ("ewc={general: {path: g}, fisher: f, lambda: 1}", "`ewc.fisher`"),
        ("ewc={general: {path: g, weight: 2}, lambda: 1}", "task, weight and cap"),
        ("ewc={general: {path: g}, decay: 0.5, lambda: 1}", "needs `ewc.run`"),
        ("ewc={run: runs/a, lambda: 1}", "needs `adapter.start_from`"),
    ] {
        let refused = refusal(SMALL, &[set]);
        assert!(refused.contains(says), "{set}: {refused}");
    }
}

#[test]
fn what_is_done_about_overfitting_as_typed() {
    let early: &[&str] = &["data.valid={path: v}", "train.early_stop.patience=3"];
    let of = |sets: &[&str]| good(SMALL, &[early, sets].concat()).train.on_overfit;
    assert_eq!(of(&[]), train::OnOverfit::Stop);
    assert_eq!(of(&["train.on_overfit=shrink_rank"]), train::OnOverfit::ShrinkRank { times: 2 });
    assert_eq!(of(&["train.on_overfit=shrink_rank", "train.shrinks=4"]), train::OnOverfit::ShrinkRank { times: 4 });
    assert_eq!(of(&["train.on_overfit=raise_dropout"]), train::OnOverfit::RaiseDropout);
    let refused = |sets: &[&str]| refusal(SMALL, &[early, sets].concat());
    for (sets, expected) in [
        (&["train.on_overfit=shrink"][..], "`train.on_overfit` must be one of stop, shrink_rank, raise_dropout"),
        (&["train.shrinks=2"], "`train.shrinks` needs `train.on_overfit: shrink_rank`"),
        (&["train.on_overfit=shrink_rank", "train.shrinks=0"], "`train.shrinks` must be from 1 to"),
        (&["train.on_overfit=shrink_rank", "adapter.method=dora"], "`train.on_overfit` needs `adapter.method: lora`"),
        (&["train.on_overfit=raise_dropout", "adapter.method=full"], "`train.on_overfit` needs `adapter.method: lora`"),
        (
            &["train.on_overfit=shrink_rank", "adapter.method=adalora"],
            "`train.on_overfit` needs `adapter.method: lora`",
        ),
        (
            &["train.on_overfit=shrink_rank", "adapter.init=pissa"],
            "`train.on_overfit` and `adapter.init: pissa` exclude",
        ),
        (
            &["train.on_overfit=shrink_rank", "ewc={general: {path: g}, lambda: 1}"],
            "`train.on_overfit` and `ewc` exclude each other",
        ),
    ] {
        let got = refused(sets);
        assert!(got.contains(expected), "{sets:?}: {got}");
    }
    let got = refusal(SMALL, &["data.valid={path: v}", "train.on_overfit=shrink_rank"]);
    assert!(got.contains("`train.on_overfit` needs `train.early_stop`"), "{got}");
}
