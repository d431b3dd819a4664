//! The step loop against `transformers.Trainer`: 20 steps of every LoRA case in `fixtures/peft`, from the reference's
//! own initial adapter, fed with its tokens. Tolerances are those of the oracle.

use crate::batch::{Cursor, Segment};
use crate::checkpoint::{self, Identity, Progress};
use crate::evaluate::EvalLimits;
use crate::metrics::Records;
use crate::steps::{self, Training};
use crate::{Plan, Precision, RunLength, Schedule, TrainPlan, Warmup};
use data::{BadRows, DataPlan, LengthPlan, LossOn, Origin, OverLength, Packing, Template, TextPlan};
use model::{AdapterPlan, BiasTraining, Engine, IGNORE, InitWeights, Limits, LoraPlan, Quantize, Targets};
use runfs::{FixedClock, RealFs};
use safetensors::SafeTensors;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const ROWS_PER_STEP: usize = 4;
const STEPS: u64 = 20;
const HALF: u64 = 10;
/// Of AdaLoRA's cases.
const ORTHOGONALITY: f64 = 0.1;
const LOSS: f64 = 1e-5;
const GRAD_NORM: f64 = 3e-5;

fn fixtures() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).to_owned()
}

#[test]
fn every_case_of_both_models() {
    let mut cases = 0;
    for model in ["llama", "qwen2"] {
        let mut dirs: Vec<PathBuf> = fs::read_dir(fixtures().join("peft").join(model))
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.is_dir())
            .collect();
        dirs.sort();
        for dir in dirs {
            let over_nf4 = dir.ends_with("qlora") || dir.ends_with("qdora");
            let quantize = if over_nf4 { Quantize::Nf4 { double: true } } else { Quantize::None };
            train_case(model, &fixtures().join("models").join(model), quantize, &dir);
            cases += 1;
        }
    }
    assert_eq!(cases, 22);
}

/// Over the checkpoint that bitsandbytes saved.
#[test]
fn qlora_over_a_base_saved_in_four_bits() {
    for model in ["llama", "qwen2"] {
        let (base, dir) = (fixtures().join("nf4").join(model), fixtures().join("peft").join(model).join("qlora"));
        train_case(model, &base, Quantize::None, &dir);
    }
}

fn train_case(model: &str, base: &Path, quantize: Quantize, dir: &Path) {
    let case: Value = serde_json::from_slice(&fs::read(dir.join("case.json")).unwrap()).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let plan = plan_of(base, quantize, dir, &case, temp.path());
    let rows = rows_of(&fixtures().join("peft").join(model).join("data.safetensors"));
    let limits = Limits {
        tokens_max: 40,
        seq_len_max: 20,
        memory: None,
        threads: Some(1),
        precision: Precision::F32,
        quantize: plan.quantize,
        optimizer: plan.train.optimizer,
        beside: 0,
    };
    let AdapterPlan::Lora(lora) = &plan.adapter else { panic!("a LoRA") };
    let ranks = lora.ada.as_ref().map(|ada| ada.schedule(STEPS).unwrap());
    let identity = Identity::new(&plan, "data", "model").unwrap();
    let clock = FixedClock::default();
    // Half-way the run is interrupted, and goes on in an engine of its own.
    for (from, to) in [(0, HALF), (HALF, STEPS)] {
        let mut engine = Engine::load(&plan.model, &plan.adapter, &limits).unwrap();
        let mut progress = Progress { settled: true, ..Progress::default() };
        let store = checkpoint::store(temp.path(), 2);
        if from > 0 {
            let found = checkpoint::find(&store, &RealFs, &mut |_| {}).unwrap().expect("a checkpoint");
            found.check(&identity).unwrap();
            found.restore(&RealFs, &mut engine).unwrap();
            progress = found.progress;
            assert_eq!(progress.step, from);
        }
        let mut feed = |cursor: Cursor, _: &[data::Leg]| {
            let first = cursor.unit as usize;
            Ok((rows[first..first + ROWS_PER_STEP].to_vec(), Cursor { epoch: 0, unit: (first + ROWS_PER_STEP) as u64 }))
        };
        let stop = AtomicBool::new(false);
        let mut training = Training {
            plan: &plan,
            fs: &RealFs,
            dir: temp.path(),
            stop: &stop,
            engine,
            feed: &mut feed,
            tasks: &[],
            rehearsal: None,
            valid: None,
            unseen: None,
            steps: STEPS,
            ranks,
            limits: EvalLimits { tokens_max: 40, seq_len_max: 20 },
            unseen_limits: EvalLimits { tokens_max: 40, seq_len_max: 20 },
            identity: identity.clone(),
            store,
            records: Records::open(&RealFs, temp.path(), &clock, &progress).unwrap(),
            progress,
        };
        let ended = steps::train(&mut training, &mut |event| {
            if let crate::Event::Step { step, .. } = event {
                stop.store(step == to && to < STEPS, Ordering::Relaxed);
            }
        });
        if to < STEPS {
            assert!(matches!(ended, Err(crate::TrainError::Interrupted { step }) if step == to));
            continue;
        }
        ended.unwrap();
        let name = format!("{model}/{}", dir.file_name().unwrap().display());
        compare_steps(&name, &temp.path().join("metrics.jsonl"), case["train"].as_array().unwrap());
        let mut ours = Vec::new();
        let files = training.engine.adapter_files();
        files.iter().find(|f| f.name == "adapter_model.safetensors").unwrap().write(&mut ours).unwrap();
        // Of PiSSA the signs are free, and products are compared where the engine is tested.
        if !dir.ends_with("pissa") {
            compare_adapters(&name, &ours, &fs::read(dir.join("final/adapter_model.safetensors")).unwrap());
        }
    }
}

fn compare_steps(case: &str, metrics: &Path, expected: &[Value]) {
    let text = fs::read_to_string(metrics).unwrap();
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), expected.len(), "{case}");
    for (ours, theirs) in lines.iter().zip(expected) {
        let number = |v: &Value, key: &str| v[key].as_f64().unwrap();
        let at = format!("{case} step {}", theirs["step"]);
        assert_eq!(ours["step"], theirs["step"], "{at}");
        assert_eq!(ours["supervised_tokens"], theirs["num_items_in_batch"], "{at}");
        let (lr, lr_theirs) = (number(ours, "lr"), number(theirs, "lr"));
        assert!((lr - lr_theirs).abs() <= 1e-15, "{at}: lr {lr}, expected {lr_theirs}");
        // Theirs has the regulariser in it, twice.
        let orth = theirs["orth"].as_f64().unwrap_or(0.0);
        let (loss, loss_theirs) = (number(ours, "loss"), number(theirs, "loss") - 2.0 * ORTHOGONALITY * orth);
        assert!((loss - loss_theirs).abs() <= LOSS, "{at}: loss {loss}, expected {loss_theirs}");
        let (norm, norm_theirs) = (number(ours, "grad_norm"), number(theirs, "grad_norm"));
        assert!(
            (norm - norm_theirs).abs() <= GRAD_NORM * norm_theirs,
            "{at}: grad_norm {norm}, expected {norm_theirs}"
        );
    }
}

/// After 20 steps: within 5e-6 for 99.9 % of the elements, 5e-5 for the rest; the same names and shapes.
fn compare_adapters(case: &str, ours: &[u8], theirs: &[u8]) {
    let (ours, theirs) = (SafeTensors::deserialize(ours).unwrap(), SafeTensors::deserialize(theirs).unwrap());
    let mut names: (Vec<_>, Vec<_>) = (ours.names(), theirs.names());
    names.0.sort();
    names.1.sort();
    assert_eq!(names.0, names.1, "{case}");
    let (mut count, mut off) = (0usize, 0usize);
    for name in names.0 {
        let (a, b) = (ours.tensor(name).unwrap(), theirs.tensor(name).unwrap());
        assert_eq!(a.shape(), b.shape(), "{case} {name}");
        for (x, y) in floats(a.data()).zip(floats(b.data())) {
            let difference = (x - y).abs();
            assert!(difference <= 5e-5, "{case} {name}: {x}, expected {y}");
            count += 1;
            off += usize::from(difference > 5e-6);
        }
    }
    assert!(off * 1000 <= count, "{case}: {off} of {count} elements are off by more than 5e-6");
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()))
}

/// The reference's training rows without their padding.
fn rows_of(path: &Path) -> Vec<Segment> {
    rows_under(path, "train.")
}

fn rows_under(path: &Path, prefix: &str) -> Vec<Segment> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let integers = |name: &str| -> Vec<i64> {
        file.tensor(name).unwrap().data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let [ids, labels, mask] =
        ["input_ids", "labels", "attention_mask"].map(|name| integers(&format!("{prefix}{name}")));
    let width = file.tensor(&format!("{prefix}input_ids")).unwrap().shape()[1];
    let rows = ids.chunks(width).zip(labels.chunks(width)).zip(mask.chunks(width));
    rows.enumerate()
        .map(|(row, ((ids, labels), mask))| {
            let kept: Vec<usize> = (0..width).filter(|t| mask[*t] == 1).collect();
            let mut targets: Vec<i32> =
                kept.iter().skip(1).map(|t| if labels[*t] < 0 { IGNORE } else { labels[*t] as i32 }).collect();
            targets.push(IGNORE);
            let ids = kept.iter().map(|t| ids[*t] as u32).collect();
            Segment {
                ids,
                targets,
                origin: Origin { file: "data.safetensors".into(), line: row as u64 + 1 },
                label: None,
            }
        })
        .collect()
}

/// Task B after task A, held to A's adapter by its Fisher.
#[test]
fn ewc_after_an_earlier_task() {
    let dir = fixtures().join("ewc");
    let case: Value = serde_json::from_slice(&fs::read(dir.join("ewc.json")).unwrap()).unwrap();
    let base = fixtures().join("models/llama");
    let adapter = model::adapters::plan_from(&dir.join("adapter_a"), 0).unwrap();
    let (adamw, steps) = (&case["adamw"], case["steps"].as_u64().unwrap());
    let hyper = serde_json::json!({
        "learning_rate": adamw["lr"], "warmup_steps": 0, "weight_decay": adamw["weight_decay"],
        "adam_beta1": adamw["betas"][0], "adam_beta2": adamw["betas"][1], "adam_epsilon": adamw["eps"],
        "max_grad_norm": case["clip"],
    });
    let temp = tempfile::tempdir().unwrap();
    let mut plan = plan_with(&base, Quantize::None, AdapterPlan::Lora(Box::new(adapter)), &hyper, temp.path());
    plan.train = TrainPlan { length: RunLength::Steps(steps), schedule: Schedule::Constant, ..plan.train };
    let limits = Limits {
        tokens_max: 80,
        seq_len_max: 20,
        memory: None,
        threads: Some(1),
        precision: Precision::F32,
        quantize: Quantize::None,
        optimizer: plan.train.optimizer,
        beside: 0,
    };
    let mut engine = Engine::load(&base, &plan.adapter, &limits).unwrap();
    engine.begin_fisher(model::FisherOf::Adapter).unwrap();
    for row in rows_under(&dir.join("data.safetensors"), "A.") {
        let cu = [0, row.ids.len()];
        engine.add_to_fisher(model::Batch { ids: &row.ids, targets: &row.targets, cu: &cu }).unwrap();
    }
    let fisher = engine.end_fisher().unwrap().unwrap();
    engine.hold(&fisher, case["lambda"].as_f64().unwrap()).unwrap();

    let rows = rows_under(&dir.join("data.safetensors"), "B.");
    let mut feed = |cursor: Cursor, _: &[data::Leg]| {
        let first = cursor.unit as usize;
        Ok((rows[first..first + ROWS_PER_STEP].to_vec(), Cursor { epoch: 0, unit: (first + ROWS_PER_STEP) as u64 }))
    };
    let (progress, clock) = (Progress { settled: true, ..Progress::default() }, FixedClock::default());
    let mut training = Training {
        plan: &plan,
        fs: &RealFs,
        dir: temp.path(),
        stop: &AtomicBool::new(false),
        engine,
        feed: &mut feed,
        tasks: &[],
        rehearsal: None,
        valid: None,
        unseen: None,
        steps,
        ranks: None,
        limits: EvalLimits { tokens_max: 80, seq_len_max: 20 },
        unseen_limits: EvalLimits { tokens_max: 80, seq_len_max: 20 },
        identity: Identity::new(&plan, "data", "model").unwrap(),
        store: checkpoint::store(temp.path(), 2),
        records: Records::open(&RealFs, temp.path(), &clock, &progress).unwrap(),
        progress,
    };
    steps::train(&mut training, &mut |_| {}).unwrap();
    let metrics = fs::read_to_string(temp.path().join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> = metrics.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let expected = case["train"].as_array().unwrap();
    assert_eq!(lines.len(), expected.len());
    for (ours, theirs) in lines.iter().zip(expected) {
        let of = |v: &Value, key: &str| v[key].as_f64().unwrap();
        let (penalty, want) = (of(ours, "penalty"), of(theirs, "penalty"));
        assert!((of(ours, "loss") - of(theirs, "ce")).abs() <= LOSS, "{ours} {theirs}");
        assert!((penalty - want).abs() <= 1e-4 * want, "{ours} {theirs}");
        assert!((of(ours, "grad_norm") / of(theirs, "grad_norm") - 1.0).abs() <= GRAD_NORM, "{ours} {theirs}");
    }
    let mut ours = Vec::new();
    let files = training.engine.adapter_files();
    files.iter().find(|f| f.name == "adapter_model.safetensors").unwrap().write(&mut ours).unwrap();
    compare_adapters("ewc", &ours, &fs::read(dir.join("adapter_b/adapter_model.safetensors")).unwrap());
}

fn plan_of(base: &Path, quantize: Quantize, dir: &Path, case: &Value, out: &Path) -> Plan {
    let adapter = AdapterPlan::Lora(Box::new(lora_of(dir, &case["peft_config_input"])));
    plan_with(base, quantize, adapter, &case["hyper"], out)
}

fn plan_with(base: &Path, quantize: Quantize, adapter: AdapterPlan, hyper: &Value, out: &Path) -> Plan {
    let number = |key: &str| hyper[key].as_f64().unwrap();
    Plan {
        quantize,
        quantize_cache: None,
        eval: None,
        data: DataPlan {
            train: Vec::new(),
            valid: None,
            unseen: Vec::new(),
            text: TextPlan {
                model_dir: base.to_owned(),
                template: Template::Auto,
                loss_on: LossOn::All,
                record_bytes_max: 1,
            },
            lengths: LengthPlan { seq_len_max: 20, over: OverLength::Refuse, packing: Packing::Examples },
            bad_rows: BadRows::Stop,
            mix: None,
            replay: None,
        },
        ewc: Vec::new(),
        adapter,
        train: TrainPlan {
            length: RunLength::Steps(20),
            batch: ROWS_PER_STEP,
            micro_tokens: Some(40),
            lr: number("learning_rate"),
            optimizer: model::Optimizer::AdamW,
            schedule: Schedule::Cosine,
            warmup: Warmup::Steps(hyper["warmup_steps"].as_u64().unwrap()),
            weight_decay: number("weight_decay"),
            betas: (number("adam_beta1"), number("adam_beta2")),
            eps: number("adam_epsilon"),
            clip: Some(number("max_grad_norm")),
            seed: 0,
            precision: Precision::F32,
            checkpoint_every: 20,
            checkpoints_keep: 2,
            eval_every: None,
            early_stop: None,
            on_overfit: Default::default(),
            memory: None,
            threads: Some(1),
        },
        out: out.to_owned(),
        model: base.to_owned(),
    }
}

fn lora_of(dir: &Path, config: &Value) -> LoraPlan {
    let names = |key: &str| -> Vec<String> {
        config[key].as_array().into_iter().flatten().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let pattern = |key: &str| -> Vec<(String, f64)> {
        config[key].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.as_f64().unwrap())).collect()
    };
    if config.get("init_r").is_some() {
        let plan = model::adapters::plan_from(&dir.join("init"), 0).unwrap();
        // The reference adds its regulariser once a micro-batch, of which a step has two.
        let ada = plan.ada.map(|ada| model::AdaPlan { orthogonality: 2.0 * ada.orthogonality, ..ada });
        return LoraPlan { ada, base_name: "base".into(), ..plan };
    }
    LoraPlan {
        r: config["r"].as_u64().unwrap() as usize,
        alpha: config["lora_alpha"].as_f64().unwrap(),
        dropout: 0.0,
        rslora: config["use_rslora"].as_bool().unwrap(),
        dora: config["use_dora"].as_bool().unwrap(),
        ada: None,
        full: false,
        targets: if config["target_modules"] == "all-linear" {
            Targets::AllLinear
        } else {
            Targets::Names(names("target_modules"))
        },
        exclude: names("exclude_modules"),
        layers: None,
        rank_pattern: pattern("rank_pattern").into_iter().map(|(k, r)| (k, r as usize)).collect(),
        alpha_pattern: pattern("alpha_pattern"),
        modules_to_save: names("modules_to_save"),
        ensure_weight_tying: config["ensure_weight_tying"].as_bool().unwrap(),
        bias: if config["bias"] == "lora_only" { BiasTraining::LoraOnly } else { BiasTraining::None },
        init: if dir.ends_with("pissa") { InitWeights::Pissa } else { InitWeights::Kaiming },
        lr_ratio: 1.0,
        start_from: Some(dir.join("init")),
        other_base: false,
        seed: 0,
        base_name: "base".into(),
    }
}
