//! Fishers against the oracle and against gradients that are written out, penalties against changes that are written out.

use crate::support::*;
use model::adapters::{AdapterPlan, BiasTraining, InitWeights, LoraPlan};
use model::{Batch, Engine, Fisher, FisherOf, FisherPart, Held, IGNORE, Importance, Limits, ModelError, State, Tensor};
use std::collections::BTreeMap;

/// The example's tokens alone.
fn sample(p: &Packed, i: usize) -> Packed {
    let at = p.cu[i]..p.cu[i + 1];
    let (ids, targets) = (p.ids[at.clone()].to_vec(), p.targets[at].to_vec());
    Packed { cu: vec![0, ids.len()], ids, targets, at: Vec::new() }
}

fn measure(engine: &mut Engine, of: FisherOf, data: &Packed) -> Fisher {
    engine.begin_fisher(of).expect("begin");
    for i in 0..data.cu.len() - 1 {
        engine.add_to_fisher(sample(data, i).batch()).expect("a sample");
    }
    engine.end_fisher().expect("end").expect("one was begun")
}

/// Some texts of the fixtures' vocabularies, of several lengths, a few targets left out.
fn texts(vocab: usize) -> Packed {
    let cu = vec![0, 9, 12, 27];
    let ids: Vec<u32> = (0..27).map(|i| ((i * i * 11 + 5 * i + 3) % vocab) as u32).collect();
    let target = |i: usize| if i % 7 == 2 || cu.contains(&(i + 1)) { IGNORE } else { ids[i + 1] as i32 };
    Packed { targets: (0..27).map(target).collect(), ids, cu: cu.clone(), at: Vec::new() }
}

#[test]
fn an_adapters_fisher_is_the_oracles() {
    let plan = continued(&fixtures().join("ewc/adapter_a"));
    let (data, want) = (File::fixture("ewc/data.safetensors"), File::fixture("ewc/fisher.safetensors"));
    let mut engine = load(&model_dir("llama"), &plan);
    let fisher = measure(&mut engine, FisherOf::Adapter, &Packed::all(&data, "A."));
    assert_eq!((fisher.samples, fisher.parts.len()), (16, want.under("mean.").len()));
    for part in &fisher.parts {
        let Importance::Elements { values, .. } = &part.importance else { panic!("{}", part.name) };
        let want = want.f32(&format!("mean.{}", part.name));
        close(&part.name, values, &want, 1e-5 * peak(&want));
    }
}

/// Rows and columns of the base's Fisher, against the squares of gradients of weights that are trained whole.
#[test]
fn a_bases_fisher_adds_up_the_squares_of_whole_gradients() {
    for family in ["llama", "qwen3", "gemma2", "phi3", "gemma3"] {
        let dir = model_dir(family);
        let mut whole = load(&dir, &full());
        let data = texts(whole.config().vocab);
        let squares = squared_gradients(&mut whole, &data);
        let adapted = LoraPlan { modules_to_save: vec!["norm".into()], ..fresh(&[]) };
        for (engine, all) in [(&mut load(&dir, &lora(adapted)), false), (&mut whole, true)] {
            let fisher = measure(engine, FisherOf::Base, &data);
            fisher.parts.iter().for_each(|part| check_part(family, part, &squares));
            assert!(fisher.parts.len() > 10 && (!all || fisher.parts.len() == squares.len()), "{family}");
        }
    }
}

/// Means over the three examples of the squares of every weight's gradient, all being trained whole.
fn squared_gradients(whole: &mut Engine, data: &Packed) -> BTreeMap<String, Vec<f64>> {
    let mut squares: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for i in 0..data.cu.len() - 1 {
        let p = sample(data, i);
        whole.zero_grad().expect("zero");
        whole.accumulate(p.batch(), 1.0 / p.target_count() as f32, KEY).expect("a pass");
        for (name, grad) in gradients(whole) {
            let sums = squares.entry(name).or_insert_with(|| vec![0.0; grad.len()]);
            sums.iter_mut().zip(&grad).for_each(|(sum, g)| *sum += f64::from(*g).powi(2) / 3.0);
        }
    }
    squares
}

#[track_caller]
fn check_part(family: &str, part: &FisherPart, squares: &BTreeMap<String, Vec<f64>>) {
    let want = &squares[&format!("base_model.model.{}", part.name)];
    let at = format!("{family}: {}", part.name);
    match &part.importance {
        Importance::Elements { values, .. } => close_sums(&at, values, want),
        Importance::Outer { rows, columns } => {
            let by_row = want.chunks(columns.len()).map(|row| row.iter().sum()).collect::<Vec<f64>>();
            let by_column: Vec<f64> =
                (0..columns.len()).map(|j| want[j..].iter().step_by(columns.len()).sum()).collect();
            close_sums(&at, rows, &by_row);
            close_sums(&at, columns, &by_column);
        }
    }
}

/// The same of an adapted embedding, whose rows some tokens read several times, and of an adapted head.
#[test]
fn a_fisher_of_embedding_and_head_adds_up_the_squares_of_whole_gradients() {
    for family in ["llama", "gemma2"] {
        let dir = tempfile::tempdir().expect("a folder");
        write_model(dir.path(), family, serde_json::json!({}));
        let (mut whole, adapted) = (load(dir.path(), &full()), fresh(&["embed_tokens", "lm_head"]));
        let data = texts(whole.config().vocab);
        let squares = squared_gradients(&mut whole, &data);
        let fisher = measure(&mut load(dir.path(), &lora(adapted)), FisherOf::Base, &data);
        assert_eq!(
            fisher.parts.iter().map(|p| &p.name[..]).collect::<Vec<_>>(),
            ["lm_head.weight", "model.embed_tokens.weight"]
        );
        fisher.parts.iter().for_each(|part| check_part(family, part, &squares));
    }
}

/// A head's gradient is squared of one chunk of its rows.
#[test]
fn more_targets_than_a_chunk_of_logits_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    write_model(
        dir.path(),
        "llama",
        serde_json::json!({"vocab_size": 1 << 17, "hidden_size": 4, "max_position_embeddings": 512}),
    );
    let plan = lora(fresh(&["lm_head"]));
    let wide = Limits { tokens_max: 512, seq_len_max: 512, memory: Some(4 << 30), ..limits() };
    let mut engine = Engine::load(dir.path(), &plan, &wide).expect("loaded");
    assert_eq!(engine.fisher_targets_max(), None);
    engine.begin_fisher(FisherOf::Base).expect("begin");
    let max = engine.fisher_targets_max().expect("of the base, with an adapted head");
    let (ids, targets) = (vec![1; 400], vec![2; 400]);
    let refused = engine.add_to_fisher(Batch { ids: &ids, targets: &targets, cu: &[0, 400] });
    assert!(matches!(refused, Err(ModelError::FisherTargets { targets: 400, max: most }) if most == max && max < 400));
    engine.add_to_fisher(Batch { ids: &ids[..max], targets: &targets[..max], cu: &[0, max] }).expect("as many as fit");
}

#[track_caller]
fn close_sums(what: &str, got: &[f32], want: &[f64]) {
    let want: Vec<f32> = want.iter().map(|v| *v as f32).collect();
    close(what, got, &want, 2e-5 * peak(&want) + 1e-12);
}

fn full() -> AdapterPlan {
    lora(LoraPlan { full: true, modules_to_save: vec![String::new()], bias: BiasTraining::None, ..fresh(&[]) })
}

/// Every method, with a few steps behind it.
fn methods() -> Vec<(&'static str, AdapterPlan)> {
    let some = || fresh(&["q_proj", "down_proj"]);
    vec![
        ("lora", lora(some())),
        ("lora beside a norm", lora(LoraPlan { modules_to_save: vec!["norm".into()], ..some() })),
        ("rslora", lora(LoraPlan { rslora: true, ..some() })),
        ("dora", lora(LoraPlan { dora: true, ..some() })),
        ("adalora", lora(LoraPlan { ada: Some(ranks()), ..some() })),
        ("pissa", lora(LoraPlan { init: InitWeights::Pissa, ..some() })),
        ("embedding and head", lora(fresh(&["embed_tokens", "lm_head", "v_proj"]))),
        ("full", full()),
    ]
}

/// A base's Fisher of random sizes, of everything that a plan can train.
fn made_up(base: &BTreeMap<String, Tensor>) -> Fisher {
    let importance = |seed: usize, n: usize| (0..n).map(|i| ((i * 37 + seed * 11) % 17) as f32 / 16.0).collect();
    let part = |(i, t): (usize, &Tensor)| {
        let importance = match t.shape[..] {
            [rows, columns] => Importance::Outer { rows: importance(i, rows), columns: importance(i + 3, columns) },
            _ => Importance::Elements { shape: t.shape.clone(), values: importance(i, t.values.len()) },
        };
        FisherPart { name: t.name.clone(), importance, anchor: None }
    };
    Fisher { of: FisherOf::Base, samples: 1, parts: base.values().enumerate().map(part).collect() }
}

fn merged(engine: &Engine) -> BTreeMap<String, Tensor> {
    engine.merged().expect("merged").into_iter().map(|t| (t.name.clone(), t)).collect()
}

/// (λ/2) Σ F ΔW² with ΔW written out.
fn by_hand(engine: &Engine, base: &BTreeMap<String, Tensor>, fisher: &Fisher, lambda: f64) -> f64 {
    let now = merged(engine);
    let mut sum = 0.0;
    for part in &fisher.parts {
        let (now, base) = (&now[&part.name].values, &base[&part.name].values);
        let (u, v, all) = match &part.importance {
            Importance::Elements { values, .. } => (vec![1.0], values.clone(), 1.0),
            Importance::Outer { rows, columns } => {
                (rows.clone(), columns.clone(), rows.iter().map(|r| f64::from(*r)).sum::<f64>())
            }
        };
        for (i, (now, base)) in now.iter().zip(base).enumerate() {
            let f = f64::from(u[i / v.len()]) * f64::from(v[i % v.len()]) / all;
            sum += f * (f64::from(*now) - f64::from(*base)).powi(2);
        }
    }
    lambda / 2.0 * sum
}

#[test]
fn the_penalty_is_that_of_the_change_written_out() {
    const LAMBDA: f64 = 3.0;
    let dir = model_dir("llama");
    let base = merged(&load(&dir, &full()));
    let fisher = made_up(&base);
    for (method, plan) in methods() {
        let mut engine = load(&dir, &plan);
        engine.hold(&fisher, LAMBDA).expect(method);
        // Nothing has changed yet. PiSSA's start is found anew from its file's numbers; DoRA's g is 1 to the last bit of f32.
        let first = engine.pull().expect(method);
        assert!(first.abs() < 1e-9, "{method}: {first} at the start");
        engine.zero_grad().expect("zero");
        shake(&mut engine);

        let value = engine.pull().expect(method);
        let want = by_hand(&engine, &base, &fisher, LAMBDA);
        assert!((value - want).abs() < 2e-4 * want && want > 1e-6, "{method}: {value} for {want}");
        let grads = engine.export(State::Grad).expect("gradients");
        let values = engine.export(State::Value).expect("values");
        for (i, (grad, now)) in grads.iter().zip(&values).enumerate() {
            // Along the gradient, and along a direction that has nothing to do with it.
            let other: Vec<f32> = (0..now.values.len()).map(|j| ((j * 29 + i * 13) % 23) as f32 / 11.0 - 1.0).collect();
            for direction in [&grad.values, &other] {
                let step = 1e-2 * f64::from(peak(&now.values).max(0.1)) / f64::from(peak(direction)).max(1e-30);
                let mut at = |sign: f64| {
                    let moved = |(v, d): (&f32, &f32)| (f64::from(*v) + sign * step * f64::from(*d)) as f32;
                    let moved = now.values.iter().zip(direction).map(moved).collect();
                    engine.set_held(State::Value, i, &Held::F32(moved)).expect("set");
                    engine.pull().expect(method)
                };
                // Fourth order: the penalty is a polynomial of degree four but for DoRA's norms.
                let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * step);
                let dot =
                    |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
                let (want, scale) =
                    (dot(&grad.values, direction), dot(&grad.values, &grad.values) * dot(direction, direction));
                let tolerance = 1e-3 * scale.sqrt() + 1e-6 * value / step;
                assert!((slope - want).abs() < tolerance, "{method}: {}: {slope} for {want}", now.name);
            }
            engine.set_held(State::Value, i, &Held::F32(now.values.clone())).expect("back");
        }
    }
}

/// Moves every trained tensor, so that nothing of the change is zero.
fn shake(engine: &mut Engine) {
    for (i, t) in engine.export(State::Value).expect("values").into_iter().enumerate() {
        let moved = t.values.iter().enumerate().map(|(j, v)| v + 0.05 * (((j * 31 + i * 7) % 19) as f32 / 9.0 - 1.0));
        engine.set_held(State::Value, i, &Held::F32(moved.collect())).expect("set");
    }
}

#[test]
fn what_a_fisher_lacks_is_named() {
    let dir = model_dir("llama");
    let data = texts(load(&dir, &AdapterPlan::None).config().vocab);
    let of_some = measure(&mut load(&dir, &lora(fresh(&["q_proj"]))), FisherOf::Base, &data);
    let mut engine = load(&dir, &lora(fresh(&["q_proj", "v_proj"])));
    let refused = engine.hold(&of_some, 1.0).expect_err("v_proj was not measured");
    assert!(matches!(&refused, ModelError::MissingTensor { tensor } if tensor.contains("v_proj")), "{refused}");

    let other = measure(&mut load(&dir, &lora(LoraPlan { r: 2, ..fresh(&["q_proj"]) })), FisherOf::Adapter, &data);
    let mut engine = load(&dir, &lora(fresh(&["q_proj"])));
    assert!(matches!(engine.hold(&other, 1.0), Err(ModelError::Shape { .. })));
    assert!(matches!(engine.end_fisher(), Ok(None)));
    // Without targets there is nothing to square.
    let mut engine = load(&dir, &lora(fresh(&["q_proj"])));
    engine.begin_fisher(FisherOf::Base).expect("begin");
    engine.add_to_fisher(Batch { ids: &[1, 2], targets: &[IGNORE; 2], cu: &[0, 2] }).expect("nothing");
    assert_eq!(engine.end_fisher().expect("end").expect("one").samples, 0);
}
