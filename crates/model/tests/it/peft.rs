//! PEFT's cases: the adapter at its start, twenty Trainer steps, the files and the merged weights at the end.

use crate::support::*;
use model::adapters::plan_from;
use model::{AdaSchedule, AdamW, AdapterPlan, Allotment, Engine, InitWeights, Limits, LoraPlan, Quantize, State};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const CASES: [(&str, &[&str]); 2] = [
    (
        "llama",
        &[
            "lora_qv",
            "lora_all",
            "lora_rslora",
            "lora_pattern",
            "lora_save",
            "lora_embed",
            "qlora",
            "dora_all",
            "qdora",
            "adalora",
            "adalora_rand",
            "pissa",
        ],
    ),
    (
        "qwen2",
        &[
            "lora_qv",
            "lora_all",
            "lora_rslora",
            "lora_pattern",
            "lora_save",
            "lora_bias",
            "qlora",
            "dora_all",
            "adalora",
            "pissa",
        ],
    ),
];

const STEPS: usize = 20;

/// One case, opened.
struct Case {
    name: String,
    dir: PathBuf,
    file: File,
    json: Value,
    data: File,
    engine: Engine,
    /// AdaLoRA's
    ranks: Option<AdaSchedule>,
}

fn limits_of(case: &str) -> Limits {
    let quantize = if case.starts_with('q') { Quantize::Nf4 { double: true } } else { Quantize::None };
    Limits { quantize, ..limits() }
}

/// The plan that goes on from the adapter in `dir`. PiSSA's files do not say that they are.
fn continued_as(case: &str, dir: &Path) -> AdapterPlan {
    match continued(dir) {
        AdapterPlan::Lora(plan) if case == "pissa" => lora(LoraPlan { init: InitWeights::Pissa, ..*plan }),
        plan => plan,
    }
}

impl Case {
    fn open(model: &str, case: &str) -> Case {
        Case::open_over(&model_dir(model), limits_of(case), model, case)
    }

    fn open_over(base: &Path, limits: Limits, model: &str, case: &str) -> Case {
        let dir = fixtures().join("peft").join(model).join(case);
        let json = std::fs::read(dir.join("case.json")).expect("case.json");
        let plan = continued_as(case, &dir.join("init"));
        let mut engine = Engine::load(base, &plan, &limits).expect("loads");
        let ranks = match &plan {
            AdapterPlan::Lora(l) => l.ada.as_ref().and_then(|ada| ada.schedule(STEPS as u64)),
            AdapterPlan::None => None,
        };
        ranks.into_iter().for_each(|r| engine.set_schedule(r));
        Case {
            name: format!("{model}/{case}"),
            file: File::open(&dir.join("case.safetensors")),
            json: serde_json::from_slice(&json).expect("case.json"),
            data: File::fixture(&format!("peft/{model}/data.safetensors")),
            engine,
            ranks,
            dir,
        }
    }

    /// Logits, mean loss and gradients of the probe batch, against `{when}_…`.
    fn check_probe(&mut self, when: &str) {
        self.check_residual();
        let probe = Packed::all(&self.data, "probe.");
        let vocab = self.engine.config().vocab;
        let logits = self.engine.logits(probe.batch()).expect("logits");
        let want = probe.pick(&self.file.f32(&format!("{when}_logits")), vocab);
        close(&format!("{} {when}_logits", self.name), &logits, &want, 5e-5);
        let n = probe.target_count();
        let mut loss = self.engine.accumulate(probe.batch(), 1.0 / n as f32, KEY).expect("accumulate") / n as f64;
        loss += self.regularise();
        close(&format!("{} {when}_loss", self.name), &[loss as f32], &self.file.f32(&format!("{when}_loss")), 1e-5);
        for (key, grad) in gradients(&self.engine) {
            let want = self.file.f32(&format!("{when}_grad.{key}"));
            close_gradient(&format!("{} {when}_grad.{key}", self.name), &grad, &want);
        }
        self.engine.zero_grad().expect("zero");
    }

    /// One optimiser step: two micro-batches of two rows.
    fn step(&mut self, step: usize) {
        let record = self.json["train"][step - 1].clone();
        let micro: Vec<Packed> =
            (0..2).map(|m| 4 * step - 4 + 2 * m).map(|r| Packed::read(&self.data, "train.", r..r + 2)).collect();
        let items: usize = micro.iter().map(Packed::target_count).sum();
        assert_eq!(items as u64, record["num_items_in_batch"].as_u64().expect("items"), "{} step {step}", self.name);
        let mut loss = 0.0;
        for (m, rows) in micro.iter().enumerate() {
            let key = model::StepKey { micro: m as u64, ..KEY };
            // The reference adds its regulariser once a micro-batch.
            let sum = self.engine.accumulate(rows.batch(), 1.0 / items as f32, key).expect("accumulate")
                + items as f64 * self.regularise();
            let want = number(&record["micro_losses"][m]);
            assert!((sum / items as f64 - want).abs() <= 1e-5, "{} step {step} micro {m}: {sum} {want}", self.name);
            loss += sum / items as f64;
        }
        let want = number(&record["loss"]);
        assert!((loss - want).abs() <= 1e-5, "{} step {step}: loss {loss}, expected {want}", self.name);
        let norm = self.engine.grad_norm().expect("norm");
        let want = number(&record["grad_norm"]);
        assert!((norm / want - 1.0).abs() <= 3e-5, "{} step {step}: norm {norm}, expected {want}", self.name);
        let hyper = &self.json["hyper"];
        let clip = (number(&hyper["max_grad_norm"]) / (norm + 1e-6)).min(1.0);
        self.check_clipped(step, clip as f32);
        let lr = learning_rate(hyper, step);
        assert!((lr - number(&record["lr"])).abs() <= 1e-12, "{} step {step}: lr {lr}", self.name);
        let adamw = AdamW {
            lr: lr as f32,
            beta1: number(&hyper["adam_beta1"]) as f32,
            beta2: number(&hyper["adam_beta2"]) as f32,
            eps: number(&hyper["adam_epsilon"]) as f32,
            weight_decay: number(&hyper["weight_decay"]) as f32,
            t: step as u32,
            grad_scale: clip as f32,
        };
        let what = self.allotment(step);
        match what {
            Some(Allotment::Measure { .. }) => self.engine.update_measured(&adamw).expect("update"),
            _ => self.engine.update(&adamw).expect("update"),
        }
        self.check_ranks(step, &record["adalora"]);
        assert_eq!(self.engine.grad_norm().expect("norm"), 0.0, "gradients are zeroed");
    }

    /// What PiSSA leaves of each matrix: an adapter of zeros shows it.
    fn check_residual(&self) {
        for key in self.file.under("base_residual.") {
            let base = model_dir(self.name.split('/').next().expect("a model"));
            let plan = continued_as("pissa", &self.dir.join("init"));
            let mut bare = Engine::load(&base, &plan, &limits()).expect("loads");
            let mut values = bare.export(State::Value).expect("export");
            values.iter_mut().for_each(|t| t.values.fill(0.0));
            bare.import(State::Value, &values).expect("import");
            let rest = bare.merged().expect("merged").into_iter().find(|t| t.name == key).expect("a tensor");
            let want = self.file.f32(&format!("base_residual.{key}"));
            close(&format!("{} base_residual.{key}", self.name), &rest.values, &want, 2e-6);
        }
    }

    /// The weighted regulariser, whose gradient is added.
    fn regularise(&mut self) -> f64 {
        let weight = self.json["peft_config_input"]["orth_reg_weight"].as_f64().unwrap_or(0.0);
        weight * self.engine.regularise().expect("regularise")
    }

    fn allotment(&self, step: usize) -> Option<Allotment> {
        let (first, target) = self.engine.budgets()?;
        Some(self.ranks?.after(step as u64, first, target))
    }

    /// Masks as the schedule says: budget and choice are the reference's.
    fn check_ranks(&mut self, step: usize, record: &Value) {
        let (Some(schedule), Some((first, target))) = (self.ranks, self.engine.budgets()) else { return };
        let step = step as u64;
        assert_eq!(schedule.budget(step, first, target) as u64, record["budget"].as_u64().expect("a budget"), "{step}");
        let what = schedule.after(step, first, target);
        let masks = !matches!(what, Allotment::Measure { budget: None });
        assert_eq!(masks, record["masked"].as_bool().expect("a flag"), "{} step {step}", self.name);
        self.engine.allot(what).expect("masks");
        let kept = self.engine.kept_ranks();
        for (module, rank) in record["ranks"].as_object().expect("ranks") {
            let count = |kept: &Vec<bool>| kept.iter().filter(|k| **k).count() as u64;
            let got = kept.as_ref().map_or(6, |kept| count(&kept[module]));
            assert_eq!(got, rank.as_u64().expect("a rank"), "{} step {step} {module}", self.name);
        }
        for (module, mask) in record["mask"].as_object().into_iter().flatten() {
            let want: Vec<bool> = mask.as_array().expect("a mask").iter().map(|m| m.as_u64() == Some(1)).collect();
            assert_eq!(kept.as_ref().map(|kept| &kept[module]), Some(&want), "{} step {step} {module}", self.name);
        }
    }

    /// Twenty steps, and what they came to.
    fn train(mut self) {
        for step in 1..=STEPS {
            self.step(step);
            if step == 3 {
                self.check_step3();
            }
        }
        self.check_probe("final");
        self.check_files();
        self.check_plain();
        self.check_merged();
    }

    /// What AdamW sees, where the fixture has it.
    fn check_clipped(&self, step: usize, clip: f32) {
        let prefix = format!("clipped_grad{step}.");
        let keys = self.file.under(&prefix);
        for (key, grad) in gradients(&self.engine).iter().filter(|_| !keys.is_empty()) {
            let clipped: Vec<f32> = grad.iter().map(|g| g * clip).collect();
            close_gradient(
                &format!("{} {prefix}{key}", self.name),
                &clipped,
                &self.file.f32(&format!("{prefix}{key}")),
            );
        }
    }

    /// The adapter after step 3, where the fixture has it.
    fn check_step3(&self) {
        let got = tensors(&self.engine, State::Value);
        let keys = self.file.under("step3.");
        let value = |key: &String| got.iter().find(|(k, _)| k == key).expect("a parameter").1.clone();
        let pairs: Vec<_> = keys.iter().map(|k| (value(k), self.file.f32(&format!("step3.{k}")))).collect();
        close_adapter(&format!("{} after step 3", self.name), &pairs);
    }

    /// The saved files: PEFT's names, tensors and values.
    fn check_files(&self) {
        // They stay there, so that PEFT itself can be asked (LOG.md has the command).
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&self.name);
        std::fs::create_dir_all(&out).expect("a folder");
        let files = self.engine.adapter_files();
        let names: Vec<&str> = files.iter().map(|f| f.name).collect();
        assert_eq!(names, ["adapter_config.json", "adapter_model.safetensors"]);
        for file in &files {
            let mut bytes = Vec::new();
            file.write(&mut bytes).expect("written");
            std::fs::write(out.join(file.name), bytes).expect("write");
        }
        let got = File::open(&out.join("adapter_model.safetensors"));
        // PiSSA's is the one of the base as it was.
        let pissa = self.name.ends_with("pissa");
        let last = self.dir.join(if pissa { "final_converted" } else { "final" });
        let want = File::open(&last.join("adapter_model.safetensors"));
        assert_eq!(got.under(""), want.under(""), "{}: saved tensors", self.name);
        for key in want.under("") {
            assert_eq!(got.shape(&key), want.shape(&key), "{} {key}", self.name);
        }
        let pairs: Vec<_> = match pissa {
            false => want.under("").iter().map(|k| (got.f32(k), want.f32(k))).collect(),
            // The signs of singular directions are free, those of the products are not.
            true => products(&got).into_iter().zip(products(&want)).collect(),
        };
        close_adapter(&format!("{} final adapter", self.name), &pairs);
        let values = tensors(&self.engine, State::Value);
        let full = self.file.under("final_full.");
        let value = |key: &String| values.iter().find(|(k, _)| k == key).expect("a parameter").1.clone();
        let pairs: Vec<_> = full.iter().map(|k| (value(k), self.file.f32(&format!("final_full.{k}")))).collect();
        close_adapter(&format!("{} final_full", self.name), &pairs);
        let [got, want] = [out, last].map(|d| {
            let text = std::fs::read(d.join("adapter_config.json")).expect("adapter_config.json");
            let mut config = sorted_lists(serde_json::from_slice(&text).expect("JSON"));
            // That case alone began with random values of E, which no plan asks for.
            if self.name.ends_with("adalora_rand") {
                config.as_object_mut().expect("an object").remove("init_lora_weights");
            }
            config
        });
        assert_eq!(got, want, "{}: adapter_config.json", self.name);
    }

    /// The same adapter as a plain LoRA, in a fresh engine.
    fn check_plain(&self) {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-plain", self.name));
        let files = self.engine.plain_adapter_files().expect("files");
        assert_eq!(files.len(), if self.ranks.is_some() { 2 } else { 0 }, "{}", self.name);
        if files.is_empty() {
            return;
        }
        std::fs::create_dir_all(&out).expect("a folder");
        for file in &files {
            let mut bytes = Vec::new();
            file.write(&mut bytes).expect("written");
            std::fs::write(out.join(file.name), bytes).expect("write");
        }
        let plan = plan_from(&out, 0).expect("a plan");
        assert_eq!((plan.r, plan.alpha, plan.ada, plan.rank_pattern.len()), (8, 8.0, None, 0), "{}", self.name);
        let model = self.name.split('/').next().expect("a model");
        let mut engine = load(&model_dir(model), &lora(plan));
        let probe = Packed::all(&self.data, "probe.");
        let logits = engine.logits(probe.batch()).expect("logits");
        let want = probe.pick(&self.file.f32("final_logits"), engine.config().vocab);
        close(&format!("{} plain", self.name), &logits, &want, 5e-5);
    }

    fn check_merged(&mut self) {
        let merged = self.engine.merged().expect("merged");
        let names: BTreeSet<&str> = merged.iter().map(|t| t.name.as_str()).collect();
        for key in self.file.under("merged.") {
            assert!(names.contains(key.as_str()), "{}: {key} is not among the merged", self.name);
        }
        for t in &merged {
            if self.file.has(&format!("merged.{}", t.name)) {
                close(
                    &format!("{} merged.{}", self.name, t.name),
                    &t.values,
                    &self.file.f32(&format!("merged.{}", t.name)),
                    2e-6,
                );
            }
        }
    }
}

/// B A of every pair.
fn products(file: &File) -> Vec<Vec<f32>> {
    let pairs = file.under("").into_iter().filter(|k| k.ends_with("lora_A.weight"));
    pairs
        .map(|key| {
            let (a, b) = (file.f32(&key), file.f32(&key.replace("lora_A", "lora_B")));
            let (r, cols) = (file.shape(&key)[0], file.shape(&key)[1]);
            let cell = |x: usize| {
                (0..r).map(|k| f64::from(b[x / cols * r + k]) * f64::from(a[k * cols + x % cols])).sum::<f64>()
            };
            (0..b.len() / r * cols).map(|x| cell(x) as f32).collect()
        })
        .collect()
}

/// Sets come out of Python in any order.
fn sorted_lists(mut config: Value) -> Value {
    for value in config.as_object_mut().expect("an object").values_mut() {
        if let Some(list) = value.as_array_mut() {
            list.sort_by_key(ToString::to_string);
        }
    }
    config
}

/// After training: 5e-6 for 99.9 % of the adapter's elements, 5e-5 for the rest (elements whose gradient is near
/// AdamW's epsilon). Pairs of got and wanted tensors.
#[track_caller]
fn close_adapter(what: &str, pairs: &[(Vec<f32>, Vec<f32>)]) {
    let (mut off, mut elements) = (0, 0);
    for (got, want) in pairs {
        close(what, got, want, 5e-5);
        off += got.iter().zip(want).filter(|(g, w)| (*g - *w).abs() > 5e-6).count();
        elements += got.len();
    }
    assert!(off * 1000 <= elements, "{what}: {off} of {elements} elements are off by more than 5e-6");
}

/// Cosine with warm-up; step s uses the factor at s − 1.
fn learning_rate(hyper: &Value, step: usize) -> f64 {
    let (s, warmup, last) = ((step - 1) as f64, number(&hyper["warmup_steps"]), number(&hyper["max_steps"]));
    let factor = if s < warmup {
        s / warmup
    } else {
        0.5 * (1.0 + (std::f64::consts::PI * (s - warmup) / (last - warmup)).cos())
    };
    number(&hyper["learning_rate"]) * factor
}

fn number(v: &Value) -> f64 {
    v.as_f64().expect("a number")
}

#[test]
fn adapters_start_as_pefts() {
    for (model, cases) in CASES {
        for case in cases {
            Case::open(model, case).check_probe("init");
        }
    }
}

#[test]
fn twenty_steps_are_the_trainers() {
    for (model, cases) in CASES {
        for case in cases {
            Case::open(model, case).train();
        }
    }
}

/// QLoRA over the checkpoint that bitsandbytes itself saved. Asking for NF4 as well changes nothing.
#[test]
fn a_base_saved_in_four_bits_trains_as_the_reference_does() {
    for (model, _) in CASES {
        for quantize in [Quantize::None, Quantize::Nf4 { double: false }] {
            let base = fixtures().join("nf4").join(model);
            let mut c = Case::open_over(&base, Limits { quantize, ..limits() }, model, "qlora");
            c.check_probe("init");
            c.train();
        }
    }
}

#[test]
fn merged_weights_give_the_adapters_logits() {
    for (model, cases) in CASES {
        // A pruned AdaLoRA is not gone on with, its plain form is tested above; PiSSA's files are those of a plain LoRA.
        for case in cases.iter().filter(|c| !c.starts_with("adalora") && **c != "pissa") {
            let dir = fixtures().join("peft").join(model).join(case);
            let limits = limits_of(case);
            let engine = Engine::load(&model_dir(model), &continued(&dir.join("final")), &limits).expect("loads");
            let out = tempfile::tempdir().expect("a folder");
            let merged = engine.merged().expect("merged");
            let untied = merged.iter().any(|t| t.name == "lm_head.weight");
            let config = std::fs::read_to_string(model_dir(model).join("config.json")).expect("config");
            let config = if untied {
                config.replace("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false")
            } else {
                config
            };
            std::fs::write(out.path().join("config.json"), config).expect("write");
            let list: Vec<_> = merged.iter().map(|t| (t.name.clone(), t.shape.clone(), t.values.as_slice())).collect();
            let mut bytes = Vec::new();
            weights::write_safetensors(&mut bytes, &list, &Default::default()).expect("bytes");
            std::fs::write(out.path().join("model.safetensors"), bytes).expect("write");

            let mut alone = load(out.path(), &model::AdapterPlan::None);
            let file = File::open(&dir.join("case.safetensors"));
            let probe = Packed::all(&File::fixture(&format!("peft/{model}/data.safetensors")), "probe.");
            let got = alone.logits(probe.batch()).expect("logits");
            // PEFT quantises a merged matrix again; here it stays what the adapter was trained on.
            let want = if limits.quantize == Quantize::None { "merged_logits" } else { "final_logits" };
            let want = probe.pick(&file.f32(want), alone.config().vocab);
            close(&format!("{model}/{case} merged_logits"), &got, &want, 5e-5);
        }
    }
}

/// A start from singular directions is the base again, and its product is the reference's.
#[test]
fn a_fresh_start_from_singular_directions_changes_nothing() {
    for model in ["llama", "qwen2"] {
        let plan = |init| lora(LoraPlan { init, ..fresh(&[]) });
        let mut engine = load(&model_dir(model), &plan(InitWeights::Pissa));
        let mut plain = load(&model_dir(model), &plan(InitWeights::Kaiming));
        let probe = Packed::all(&File::fixture(&format!("peft/{model}/data.safetensors")), "probe.");
        let logits = engine.logits(probe.batch()).expect("logits");
        close(model, &logits, &plain.logits(probe.batch()).expect("logits"), 5e-5);
        for (t, base) in engine.merged().expect("merged").iter().zip(plain.merged().expect("merged")) {
            close(&format!("{model} {}", t.name), &t.values, &base.values, 2e-6);
        }
        // The reference decomposes in f32.
        let out = tempfile::tempdir().expect("a folder");
        let start = tensors(&engine, State::Value);
        let list: Vec<_> = start
            .iter()
            .map(|(name, values)| {
                let shape = engine.params().iter().find(|p| p.name == *name).expect("a parameter").shape.clone();
                (name.clone(), shape, values.as_slice())
            })
            .collect();
        let path = out.path().join("start.safetensors");
        std::fs::write(&path, weights::safetensors_bytes(&list, &Default::default()).expect("bytes")).expect("write");
        let want = File::fixture(&format!("peft/{model}/pissa/init/adapter_model.safetensors"));
        for (got, want) in products(&File::open(&path)).into_iter().zip(products(&want)) {
            close(model, &got, &want, 2e-5);
        }
    }
}
