//! The memory plan against what is really allocated, and a steady state that allocates nothing.

use crate::support::*;
use model::adapters::AdapterPlan;
use model::{Engine, IGNORE, Limits, LoraPlan, ModelError, Optimizer, Precision, State, outline};
use std::path::PathBuf;

fn stories() -> PathBuf {
    examples().join("models/stories260K")
}

fn sized(tokens_max: usize, memory: u64) -> Limits {
    Limits {
        tokens_max,
        seq_len_max: 512,
        memory: Some(memory),
        threads: Some(1),
        precision: Precision::F32,
        quantize: model::Quantize::None,
        optimizer: Optimizer::AdamW,
        beside: 0,
    }
}

/// Whole rows of the model's longest length.
fn rows(tokens: usize) -> Packed {
    let ids: Vec<u32> = (0..tokens).map(|i| (i * 37 % 512) as u32).collect();
    let mut targets: Vec<i32> = ids[1..].iter().map(|i| *i as i32).collect();
    targets.push(IGNORE);
    let cu = (0..tokens).step_by(512).chain([tokens]).collect();
    Packed { at: Vec::new(), ids, targets, cu }
}

#[test]
fn the_plan_is_what_is_allocated() {
    let plans = [
        ("none", AdapterPlan::None),
        ("all", lora(fresh(&[]))),
        ("dropout", lora(LoraPlan { dropout: 0.1, ..fresh(&[]) })),
        ("embedding", lora(fresh(&["embed_tokens", "q_proj"]))),
        ("head", lora(LoraPlan { modules_to_save: vec!["lm_head".into()], ..fresh(&["q_proj"]) })),
        ("untied", lora(LoraPlan { modules_to_save: vec!["embed_tokens".into()], ..fresh(&["q_proj"]) })),
        ("tied", lora(LoraPlan { ensure_weight_tying: true, modules_to_save: vec!["lm_head".into()], ..fresh(&[]) })),
        ("norms", lora(LoraPlan { modules_to_save: vec!["norm".into()], ..fresh(&["lm_head"]) })),
        ("top", lora(LoraPlan { layers: Some(vec![4]), ..fresh(&[]) })),
        ("pissa", lora(LoraPlan { init: model::InitWeights::Pissa, ..fresh(&[]) })),
        (
            "full",
            lora(LoraPlan {
                full: true,
                ensure_weight_tying: true,
                modules_to_save: vec![String::new()],
                ..fresh(&[])
            }),
        ),
        ("large", lora(LoraPlan { r: 64, ..fresh(&["embed_tokens", "q_proj", "down_proj"]) })),
        ("adalora", lora(LoraPlan { ada: Some(ranks()), dropout: 0.1, ..fresh(&[]) })),
        ("dora", lora(LoraPlan { dora: true, dropout: 0.1, ..fresh(&["q_proj", "down_proj"]) })),
    ];
    for (name, plan) in plans {
        for (memory, optimizer) in [1 << 30, 46 << 20]
            .into_iter()
            .flat_map(|m| [Optimizer::AdamW, Optimizer::AdamW8bit].map(|optimizer| (m, optimizer)))
        {
            let limits = Limits { optimizer, ..sized(1024, memory) };
            let outlined = outline(&stories(), &plan, &limits).expect("outline");
            let mut loaded = None;
            let seen = allocation_counter::measure(|| loaded = Engine::load(&stories(), &plan, &limits).ok());
            let engine = loaded.expect(name);
            let trained: usize = engine.params().iter().map(|p| p.shape.iter().product::<usize>()).sum();
            assert_eq!(outlined.trainable, trained as u64, "{name}");
            assert_eq!(*engine.memory(), outlined.memory, "{name}");
            assert_eq!(outlined.parameters, 260_032, "{name}");
            let m = engine.memory();
            let trained_bytes = 8 * trained as u64;
            // PiSSA remembers its start.
            let starts = if name == "pissa" { trained_bytes / 2 } else { 0 };
            let moments = moment_bytes(&engine);
            // With AdaLoRA importance and uncertainty, too.
            let scores = if name == "adalora" { trained_bytes } else { 0 };
            assert_eq!((m.adapter, m.optimiser), (trained_bytes + starts, moments + scores), "{name}");
            match (optimizer, name) {
                (Optimizer::AdamW, _) => assert_eq!(moments, trained_bytes, "{name}"),
                // A byte each and 4 a block of 256, but of the embedding and small tensors.
                (Optimizer::AdamW8bit, "full") => {
                    assert!(moments < 7 * trained_bytes / 16, "{moments} of {trained_bytes}")
                }
                (Optimizer::AdamW8bit, "large") => assert_eq!(256 * moments, 65 * trained_bytes, "{name}"),
                (Optimizer::AdamW8bit, _) => assert!(moments <= trained_bytes, "{name}"),
            }
            assert_eq!(m.total, m.weights + m.adapter + m.optimiser + m.activations + m.scratch + m.program);
            // Names, configurations and the slots themselves are the small rest.
            let (got, want) = (seen.bytes_current as f64, (m.total - m.program) as f64);
            assert!((got / want - 1.0).abs() < 0.01, "{name}: {got} bytes are held, {want} were planned");
        }
    }
}

/// Of what AdamW keeps, as checkpoints have it.
fn moment_bytes(engine: &Engine) -> u64 {
    use State::{CodesM, CodesV, MagnitudesM, MagnitudesV, MomentM, MomentV};
    let states = [MomentM, MomentV, CodesM, CodesV, MagnitudesM, MagnitudesV];
    let all = (0..engine.params().len()).flat_map(|i| states.map(|state| engine.held_as(state, i)));
    all.flatten().map(|(dtype, shape)| (dtype.bitsize() / 8 * shape.iter().product::<usize>()) as u64).sum()
}

#[test]
fn a_step_allocates_nothing() {
    let large = LoraPlan { r: 64, ..fresh(&["q_proj", "down_proj"]) };
    for (plan, optimizer) in [(fresh(&[]), Optimizer::AdamW), (large, Optimizer::AdamW8bit)] {
        steady_state(&lora(plan), &Limits { optimizer, ..sized(600, 1 << 30) });
    }
}

fn steady_state(plan: &AdapterPlan, limits: &Limits) {
    let mut engine = Engine::load(&stories(), plan, limits).expect("stories260K");
    let rows = rows(600);
    let adamw =
        model::AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, t: 1, grad_scale: 1.0 };
    let mut step = || {
        engine.accumulate(rows.batch(), 1.0, KEY).expect("accumulate");
        engine.grad_norm().expect("norm");
        engine.update(&adamw).expect("update");
    };
    step();
    let seen = allocation_counter::measure(&mut step);
    assert_eq!(seen.count_total, 0, "{seen:?}");
}

#[test]
fn what_does_not_fit_says_what_would() {
    let plan = lora(fresh(&[]));
    let load = |limits: &Limits| Engine::load(&stories(), &plan, limits);
    let limit = 34 << 20;
    let (need, fits) = match load(&sized(4096, limit)) {
        Err(ModelError::DoesNotFit { need, limit: l, fits }) if l == limit => (need, fits),
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("accepted"),
    };
    let outlined = outline(&stories(), &plan, &sized(4096, limit)).expect("outline never refuses");
    assert_eq!(outlined.memory.total, need);
    assert!(need > limit);
    let tokens: usize = fits.split_whitespace().find_map(|w| w.parse().ok()).expect("a number of tokens");
    load(&sized(tokens, limit)).expect("what it said");
    assert!(matches!(load(&sized(tokens + 1, limit)), Err(ModelError::DoesNotFit { .. })));
    // What a pass needs at least grows with its tokens.
    let mut before = 0;
    for tokens in [1, 2, 100, 101, 1000, 4096] {
        let least = outline(&stories(), &plan, &sized(tokens, 0)).expect("outline").memory.total;
        assert!(least > before, "{tokens} tokens");
        before = least;
    }
    match load(&sized(64, 1000)) {
        Err(ModelError::DoesNotFit { fits, .. }) => assert!(fits.starts_with("no pass would fit"), "{fits}"),
        _ => panic!("accepted"),
    }
}

#[test]
fn without_a_limit_the_free_memory_is_one() {
    let limits = Limits { memory: None, ..sized(64, 0) };
    let memory = outline(&stories(), &AdapterPlan::None, &limits).expect("outline").memory;
    assert!(memory.limit > memory.total);
}
