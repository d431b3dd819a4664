//! Layers that are read when their turn comes compute what resident ones do, to the bit.

use crate::support::*;
use half::{bf16, f16};
use model::{
    AdamW, AdapterPlan, Allotment, Batch, Engine, FisherOf, Limits, LoraPlan, ModelError, Precision, Quantiser, State,
    needs_floats, outline, outline_quantised,
};
use std::fs;
use std::path::{Path, PathBuf};

const LAYERS: usize = 5;

fn stories() -> PathBuf {
    examples().join("models/stories260K")
}

/// stories260K with its tensors in another type.
fn stored_as(dtype: &str, dir: &Path) {
    let file = File::open(&stories().join("model.safetensors"));
    let bytes = |values: Vec<f32>| -> Vec<u8> {
        match dtype {
            "F64" => values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
            "F32" => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            "F16" => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
        }
    };
    let tensors: Vec<_> =
        file.under("").into_iter().map(|n| (n.clone(), dtype, file.shape(&n), bytes(file.f32(&n)))).collect();
    fs::write(dir.join("model.safetensors"), safetensors(&tensors)).expect("written");
    fs::copy(stories().join("config.json"), dir.join("config.json")).expect("copied");
}

/// stories260K with its layers in NF4.
fn quantised(double: bool, dir: &Path) {
    let quantiser = Quantiser::open(&stories(), double).expect("floats");
    let mut bytes = Vec::new();
    quantiser.write(0, &mut bytes, &mut |_| true).expect("written");
    fs::write(dir.join("model.safetensors"), bytes).expect("written");
    fs::write(dir.join("config.json"), quantiser.config()).expect("written");
}

fn limits_of(precision: Precision, memory: u64) -> Limits {
    Limits { tokens_max: 128, precision, memory: Some(memory), threads: Some(2), ..limits() }
}

/// The most memory with which so many layers are streamed.
fn memory_for(streamed: usize, dir: &Path, plan: &AdapterPlan, precision: Precision) -> u64 {
    let planned = |memory| outline(dir, plan, &limits_of(precision, memory)).expect("outline").memory;
    let mut memory = planned(0).total;
    while planned(memory).layers_streamed > streamed {
        memory += 1 << 10;
    }
    assert_eq!(planned(memory).layers_streamed, streamed);
    memory
}

fn batch() -> Packed {
    let ids: Vec<u32> = (0..100).map(|i| (i * 37 % 512) as u32).collect();
    let targets = ids.iter().map(|id| if id % 3 == 0 { model::IGNORE } else { (id * 7 % 512) as i32 }).collect();
    Packed { at: Vec::new(), ids, targets, cu: vec![0, 30, 61, 100] }
}

/// Everything that passes give, in bits: losses without training, losses and values over a few steps, logits.
fn run(engine: &mut Engine, steps: u32) -> Vec<Vec<u32>> {
    let p = batch();
    let mut out = vec![bits(&engine.losses(p.batch()).expect("losses"))];
    if !engine.export(State::Value).expect("values").is_empty() {
        hold_base(engine);
    }
    for t in 1..=steps {
        let adamw = AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, t, grad_scale: 1.0 };
        let key = |micro| model::StepKey { seed: 1, step: u64::from(t), micro };
        let loss: f64 = (0..2).map(|m| engine.accumulate(p.batch(), 0.1, key(m)).expect("accumulate")).sum();
        out.push(vec![(loss as f32).to_bits()]);
        engine.regularise().expect("regularise");
        out.push(vec![(engine.pull().expect("pull") as f32).to_bits()]);
        engine.update_measured(&adamw).expect("update");
        if let Some((first, target)) = engine.budgets() {
            engine.allot(Allotment::Measure { budget: Some((first + target) / 2) }).expect("masks");
            out.push(engine.kept_ranks().expect("masked").into_values().flatten().map(u32::from).collect());
        }
    }
    out.extend(tensors(engine, State::Value).iter().map(|(_, v)| bits(v)));
    out.push(bits(&engine.logits(p.batch()).expect("logits")));
    out.extend(engine.hidden_states(p.batch()).expect("hidden states").iter().map(|h| bits(h)));
    out
}

/// Holds what the adapter changes of the base.
fn hold_base(engine: &mut Engine) {
    let p = batch();
    engine.begin_fisher(FisherOf::Base).expect("begin");
    engine.add_to_fisher(Batch { ids: &p.ids[..30], targets: &p.targets[..30], cu: &[0, 30] }).expect("an example");
    let fisher = engine.end_fisher().expect("end").expect("one was begun");
    engine.hold(&fisher, 10.0).expect("held");
}

fn plans() -> Vec<(&'static str, AdapterPlan)> {
    let saved = |modules: &[&str]| modules.iter().map(|m| (*m).to_owned()).collect();
    vec![
        ("none", AdapterPlan::None),
        ("lora", lora(fresh(&[]))),
        ("dropout", lora(LoraPlan { dropout: 0.2, modules_to_save: saved(&["norm"]), ..fresh(&[]) })),
        ("adalora", lora(LoraPlan { ada: Some(ranks()), dropout: 0.2, ..fresh(&[]) })),
        ("dora", lora(LoraPlan { dora: true, dropout: 0.2, ..fresh(&["v_proj", "o_proj", "up_proj", "down_proj"]) })),
        ("layers", lora(LoraPlan { layers: Some(vec![2, 3]), ..fresh(&[]) })),
        ("top", lora(LoraPlan { layers: Some(vec![4]), ..fresh(&[]) })),
        ("embedding", lora(fresh(&["embed_tokens", "q_proj"]))),
        // A layer that lacks a matrix which the others stream.
        (
            "whole",
            lora(LoraPlan { modules_to_save: saved(&["layers.1.mlp.up_proj"]), ..fresh(&["v_proj", "down_proj"]) }),
        ),
    ]
}

fn compare(dir: &Path, plans: &[(&str, AdapterPlan)], precision: Precision) {
    for (name, plan) in plans {
        let load = |memory| Engine::load(dir, plan, &limits_of(precision, memory)).expect(name);
        let mut resident = load(1 << 30);
        assert_eq!(resident.memory().layers_streamed, 0);
        let expected = run(&mut resident, 2);
        assert_eq!(resident.streamed(), model::Streamed::default());
        for streamed in [3, LAYERS] {
            let mut engine = load(memory_for(streamed, dir, plan, precision));
            assert_eq!(engine.memory().layers_streamed, streamed, "{name}");
            assert!(engine.memory().weights < resident.memory().weights, "{name}");
            assert!(run(&mut engine, 2) == expected, "{} {name} {precision:?}: {streamed} streamed", dir.display());
            assert!(engine.streamed().forward > 0);
        }
    }
}

#[test]
fn streamed_layers_compute_what_resident_ones_do() {
    for precision in [Precision::F32, Precision::Bf16] {
        compare(&stories(), &plans(), precision);
        for dtype in ["F64", "F16", "BF16"] {
            let dir = tempfile::tempdir().expect("a folder");
            stored_as(dtype, dir.path());
            compare(dir.path(), &plans()[2..5], precision);
        }
        for double in [true, false] {
            let dir = tempfile::tempdir().expect("a folder");
            quantised(double, dir.path());
            // Nothing in 4 bits is trained whole.
            compare(dir.path(), &plans()[..8], precision);
        }
    }
}

/// Quantising here keeps the whole file's values in memory until they are codes; a file that has codes streams.
#[test]
fn what_is_quantised_while_loading_is_not_streamed() {
    let limits = Limits { quantize: model::Quantize::Nf4 { double: true }, ..limits_of(Precision::F32, 0) };
    let memory = outline(&stories(), &lora(fresh(&[])), &limits).expect("outline").memory;
    assert_eq!(memory.layers_streamed, 0);
}

/// What is planned for the files that quantising would write is what their own plan says, streamed layers included.
#[test]
fn files_that_are_still_to_be_written_are_planned_for() {
    for double in [true, false] {
        let dir = tempfile::tempdir().expect("a folder");
        quantised(double, dir.path());
        for (name, plan) in &plans()[..8] {
            for precision in [Precision::F32, Precision::Bf16] {
                for streamed in [0, 3, LAYERS] {
                    let memory = memory_for(streamed, dir.path(), plan, precision);
                    let limits = limits_of(precision, memory);
                    let of_file = outline(dir.path(), plan, &limits).expect("outline");
                    let limits = Limits { quantize: model::Quantize::Nf4 { double }, ..limits };
                    assert_eq!(outline_quantised(&stories(), plan, &limits).expect("outline"), of_file, "{name}");
                    assert_eq!(outline(dir.path(), plan, &limits).expect("outline"), of_file, "{name}");
                }
            }
        }
    }
}

#[test]
fn what_needs_the_layers_in_floats() {
    let saved = |module: &str| vec![module.to_owned()];
    for (plan, needs) in [
        (AdapterPlan::None, false),
        (lora(fresh(&[])), false),
        (lora(LoraPlan { modules_to_save: saved("lm_head"), ..fresh(&[]) }), false),
        (lora(LoraPlan { modules_to_save: saved("norm"), ..fresh(&[]) }), false),
        (lora(LoraPlan { modules_to_save: saved("layers.1.mlp.up_proj"), ..fresh(&["q_proj"]) }), true),
        (lora(LoraPlan { init: model::InitWeights::Pissa, ..fresh(&[]) }), true),
        (lora(LoraPlan { init: model::InitWeights::Pissa, ..fresh(&["embed_tokens"]) }), false),
    ] {
        assert_eq!(needs_floats(&stories(), &plan).expect("a plan"), needs, "{plan:?}");
    }
}

/// Each layer is read once on the way up and once on the way down, but for the two where a pass turns.
#[test]
fn a_pass_reads_no_layer_that_it_still_has() {
    let plan = lora(fresh(&[]));
    let memory = memory_for(LAYERS, &stories(), &plan, Precision::F32);
    let mut engine = Engine::load(&stories(), &plan, &limits_of(Precision::F32, memory)).expect("loads");
    let layer = engine.memory().streamed / LAYERS as u64;
    let p = batch();
    let read = move |engine: &mut Engine| {
        engine.accumulate(p.batch(), 1.0, KEY).expect("accumulate");
        (engine.streamed().forward / layer, engine.streamed().backward / layer)
    };
    let (up, down) = (LAYERS as u64, LAYERS as u64 - 2);
    assert_eq!(read(&mut engine), (up, down));
    assert_eq!(read(&mut engine), (up + down, 2 * down));
    assert_eq!(read(&mut engine), (up + 2 * down, 3 * down));
}

#[test]
fn a_file_that_is_cut_meanwhile_is_an_error_and_no_end() {
    let dir = tempfile::tempdir().expect("a folder");
    stored_as("F32", dir.path());
    let plan = lora(fresh(&[]));
    let memory = memory_for(LAYERS, dir.path(), &plan, Precision::F32);
    let mut engine = Engine::load(dir.path(), &plan, &limits_of(Precision::F32, memory)).expect("loads");
    let (path, p) = (dir.path().join("model.safetensors"), batch());
    let whole = fs::read(&path).expect("read");
    let expected = engine.losses(p.batch()).expect("losses");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("open");
    file.set_len(whole.len() as u64 / 2).expect("cut");
    for _ in 0..2 {
        let error = engine.losses(p.batch()).expect_err("half of the layers are gone");
        assert!(matches!(error, ModelError::Weights(_)), "{error}");
        let name = path.display().to_string();
        assert!(error.to_string().starts_with(&format!("{name}: cannot read")), "{error}");
    }
    // The engine is as it was: with the file whole again, it goes on.
    fs::write(&path, &whole).expect("written");
    // One layer may have been read ahead while it was gone.
    let _stale = engine.losses(p.batch());
    assert_eq!(engine.losses(p.batch()).expect("losses"), expected);
}

#[test]
fn the_plan_is_what_is_allocated() {
    for (name, plan) in plans() {
        for streamed in [3, LAYERS] {
            let memory = memory_for(streamed, &stories(), &plan, Precision::F32);
            let limits = limits_of(Precision::F32, memory);
            let planned = outline(&stories(), &plan, &limits).expect("outline").memory;
            let mut loaded = None;
            let seen = allocation_counter::measure(|| loaded = Engine::load(&stories(), &plan, &limits).ok());
            assert_eq!(*loaded.expect(name).memory(), planned, "{name}");
            let (got, want) = (seen.bytes_current as f64, (planned.total - planned.program) as f64);
            assert!((got / want - 1.0).abs() < 0.05, "{name}: {got} bytes are held, {want} were planned");
        }
    }
}
