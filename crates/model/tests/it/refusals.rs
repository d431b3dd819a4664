//! Each refusal of the engine, produced.

use crate::support::*;
use model::adapters::{AdapterPlan, Targets, plan_from};
use model::{Batch, Engine, Held, IGNORE, Limits, LoraPlan, ModelError, Precision, State, outline};
use weights::WeightsError;

fn refused(plan: LoraPlan) -> ModelError {
    match Engine::load(&model_dir("llama"), &lora(plan), &limits()) {
        Err(e) => e,
        Ok(_) => panic!("accepted"),
    }
}

#[test]
fn batches_outside_the_plan_are_refused() {
    let limits = Limits { tokens_max: 8, seq_len_max: 5, ..limits() };
    let mut engine = Engine::load(&model_dir("llama"), &lora(fresh(&[])), &limits).expect("llama");
    let mut refused = |ids: &[u32], targets: &[i32], cu: &[usize]| {
        let batch = Batch { ids, targets, cu };
        let by_loss = engine.losses(batch).expect_err("refused").to_string();
        assert_eq!(by_loss, engine.logits(batch).expect_err("refused").to_string());
        engine.accumulate(batch, 1.0, KEY).expect_err("refused")
    };
    let (ids, none) = ([1, 2, 3, 4], [IGNORE; 4]);
    assert!(matches!(
        refused(&[1; 9], &[IGNORE; 9], &[0, 4, 9]),
        ModelError::TooManyTokens { tokens: 9, tokens_max: 8 }
    ));
    assert!(matches!(refused(&ids, &none[..3], &[0, 4]), ModelError::TargetCount { ids: 4, targets: 3 }));
    assert!(matches!(
        refused(&[1, 512, 3, 4], &none, &[0, 4]),
        ModelError::TokenId { position: 1, id: 512, vocab: 512 }
    ));
    assert!(matches!(refused(&[u32::MAX], &[IGNORE], &[0, 1]), ModelError::TokenId { position: 0, .. }));
    for target in [512, -2, i32::MIN, i32::MAX] {
        match refused(&ids, &[0, 1, target, 3], &[0, 4]) {
            ModelError::TargetId { position: 2, target: got, vocab: 512 } => assert_eq!(got, target),
            e => panic!("{e}"),
        }
    }
    for (cu, at, value) in [
        (vec![], 0, 0),
        (vec![1, 4], 0, 1),
        (vec![0, 3], 1, 3),
        (vec![0, 3, 2, 4], 2, 2),
        (vec![0], 0, 0),
        (vec![0, 9], 1, 9),
    ] {
        match refused(&ids, &none, &cu) {
            ModelError::ExampleBounds { at: a, value: v, tokens: 4 } => assert_eq!((a, v), (at, value), "{cu:?}"),
            e => panic!("{cu:?}: {e}"),
        }
    }
    assert!(matches!(
        refused(&[1; 7], &[IGNORE; 7], &[0, 1, 7]),
        ModelError::ExampleTooLong { example: 1, tokens: 6, seq_len_max: 5 }
    ));
    let empty = Batch { ids: &[], targets: &[], cu: &[0] };
    assert_eq!(engine.accumulate(empty, 1.0, KEY).expect("nothing to do"), 0.0);
    let gaps = Batch { ids: &ids, targets: &[2, 3, 4, IGNORE], cu: &[0, 0, 4, 4] };
    assert_eq!(engine.losses(gaps).expect("empty examples").len(), 3);
}

#[test]
fn limits_outside_the_model_are_refused() {
    let dir = model_dir("llama");
    let with = |limits: &Limits| {
        let outlined = outline(&dir, &AdapterPlan::None, limits).expect_err("refused").to_string();
        let loaded = match Engine::load(&dir, &AdapterPlan::None, limits) {
            Err(e) => e,
            Ok(_) => panic!("accepted"),
        };
        assert_eq!(outlined, loaded.to_string());
        loaded
    };
    let none = with(&Limits { tokens_max: 0, ..limits() });
    assert!(matches!(none, ModelError::Limit { field: "tokens_max", got: 0, .. }));
    let huge = with(&Limits { tokens_max: usize::MAX, ..limits() });
    assert!(matches!(huge, ModelError::Limit { field: "tokens_max", .. }));
    let none = with(&Limits { seq_len_max: 0, ..limits() });
    assert!(matches!(none, ModelError::Limit { field: "seq_len_max", .. }));
    let long = with(&Limits { seq_len_max: 129, ..limits() });
    assert!(matches!(long, ModelError::SequenceLimit { seq_len_max: 129, position_max: 128 }));
}

#[test]
fn adapters_that_mean_nothing_are_refused() {
    let unknown = refused(fresh(&["k_prj"]));
    assert!(matches!(unknown, ModelError::NothingTargeted { ref targets, .. } if targets == "k_prj"), "{unknown}");
    let half = refused(fresh(&["q_proj", "k_prj"]));
    assert!(matches!(half, ModelError::NameMatchesNothing { field: "targets", ref name, .. } if name == "k_prj"));
    let saved = refused(LoraPlan { modules_to_save: vec!["heed".into()], ..fresh(&[]) });
    assert!(matches!(saved, ModelError::NameMatchesNothing { field: "modules_to_save", .. }), "{saved}");
    let pattern = refused(LoraPlan { targets: Targets::Regex("(".into()), ..fresh(&[]) });
    assert!(matches!(pattern, ModelError::Pattern { field: "adapter.targets", .. }));
    for r in [0, (1 << 16) + 1, usize::MAX] {
        let rank = refused(LoraPlan { r, ..fresh(&["v_proj"]) });
        assert!(matches!(rank, ModelError::Rank { r: got, .. } if got == r), "{rank}");
    }
}

#[test]
fn checkpoints_that_do_not_fit_their_config_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = std::fs::read_to_string(model_dir("llama").join("config.json")).expect("config");
    let weights = std::fs::read(model_dir("llama").join("model.safetensors")).expect("weights");
    std::fs::write(dir.path().join("model.safetensors"), &weights).expect("write");
    let with = |from: &str, to: &str| {
        assert!(config.contains(from));
        std::fs::write(dir.path().join("config.json"), config.replace(from, to)).expect("write");
        match Engine::load(dir.path(), &AdapterPlan::None, &limits()) {
            Err(e) => e,
            Ok(_) => panic!("accepted"),
        }
    };
    let shape = with("\"vocab_size\": 512", "\"vocab_size\": 500");
    assert!(matches!(shape, ModelError::Shape { ref tensor, ref expected, ref got }
        if tensor == "model.embed_tokens.weight" && *expected == [500, 64] && *got == [512, 64]));
    let missing = with("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    assert!(matches!(missing, ModelError::Weights(WeightsError::Missing { .. })), "{missing}");
    let left = with("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    assert!(
        matches!(left, ModelError::UnknownTensor { ref tensor } if tensor.starts_with("model.layers.1.")),
        "{left}"
    );
    std::fs::remove_file(dir.path().join("model.safetensors")).expect("remove");
    let none = with("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 2");
    assert!(matches!(none, ModelError::Weights(_)), "{none}");
}

/// What is held in 8 bits goes out and in as it is, and as nothing else.
#[test]
fn moments_in_8_bits_are_no_others() {
    use State::{CodesM, CodesV, MagnitudesM, MagnitudesV, MomentM};
    let limits = model::Limits { optimizer: model::Optimizer::AdamW8bit, ..limits() };
    let plan = lora(LoraPlan { r: 64, ..fresh(&["embed_tokens", "down_proj"]) });
    let mut engine = Engine::load(&model_dir("llama"), &plan, &limits).expect("llama");
    for (i, p) in engine.params().into_iter().enumerate() {
        let len = p.shape.iter().product::<usize>();
        assert!(len >= 4096, "{}", p.name);
        let codes = Held::U8((0..len).map(|i| (i * 31 % 256) as u8).collect());
        let magnitudes = Held::F32((0..len.div_ceil(256)).map(|i| 1.0 / (1 + i) as f32).collect());
        for (state, held) in
            [(CodesM, &codes), (CodesV, &codes), (MagnitudesM, &magnitudes), (MagnitudesV, &magnitudes)]
        {
            engine.set_held(state, i, held).expect("set");
            assert_eq!(engine.held(state, i).expect("held"), *held, "{}", p.name);
            let (dtype, shape) = engine.held_as(state, i).expect("there");
            assert_eq!(held.bytes().len(), dtype.bitsize() / 8 * shape[0], "{}", p.name);
        }
        for (state, wrong) in [(CodesM, Held::U8(vec![0; len - 1])), (MagnitudesV, Held::F32(vec![0.0; len]))] {
            let error = engine.set_held(state, i, &wrong).expect_err("refused");
            assert!(matches!(error, ModelError::Shape { ref tensor, .. } if *tensor == p.name), "{error}");
        }
        for (state, wrong) in
            [(CodesM, &magnitudes), (MagnitudesM, &codes), (MomentM, &magnitudes), (State::Value, &codes)]
        {
            let error = engine.set_held(state, i, wrong).expect_err("refused");
            let unlike = matches!(error, ModelError::MissingTensor { .. } | ModelError::Shape { .. });
            assert!(unlike, "{state:?}: {error}");
        }
        assert!(engine.held_as(MomentM, i).is_none() && engine.held_as(State::Value, i).is_some());
    }
    let error = engine.export(MomentM).expect_err("refused");
    assert!(matches!(error, ModelError::MissingTensor { .. }), "{error}");
}

#[test]
fn states_of_another_adapter_are_refused() {
    let mut engine = load(&model_dir("llama"), &lora(fresh(&["v_proj"])));
    for state in [State::Value, State::Grad, State::MomentM, State::MomentV] {
        let good = engine.export(state).expect("export");
        let mut short = good.clone();
        let gone = short.pop().expect("a tensor");
        let missing = engine.import(state, &short).expect_err("refused");
        assert!(matches!(missing, ModelError::MissingTensor { ref tensor } if *tensor == gone.name));
        let mut other = good.clone();
        other[0].name = "x".into();
        let unknown = engine.import(state, &other).expect_err("refused");
        assert!(matches!(unknown, ModelError::UnknownTensor { ref tensor } if tensor == "x"));
        let mut other = good.clone();
        other[0].shape.reverse();
        assert!(matches!(engine.import(state, &other).expect_err("refused"), ModelError::Shape { .. }));
        let mut other = good.clone();
        other[0].values.pop();
        assert!(matches!(engine.import(state, &other).expect_err("refused"), ModelError::Shape { .. }));
        engine.import(state, &good).expect("its own");
    }
}

#[test]
fn bad_numbers_come_back_as_they_are() {
    let mut engine = load(&model_dir("llama"), &lora(fresh(&["v_proj"])));
    let rows = Packed::all(&File::fixture("forward/llama.safetensors"), "right.");
    let mut values = engine.export(State::Value).expect("export");
    values[0].values[0] = f32::NAN;
    values[1].values.fill(1.0);
    engine.import(State::Value, &values).expect("import");
    assert!(engine.accumulate(rows.batch(), 1.0, KEY).expect("accumulate").is_nan());
    assert!(engine.grad_norm().expect("norm").is_nan());
    assert!(engine.losses(rows.batch()).expect("losses").iter().all(|l| l.is_nan()));
}

/// An adapter of the embedding carries a copy of its base's matrix.
#[test]
fn an_adapter_of_another_base_is_refused() {
    let dir = fixtures().join("peft/llama/lora_embed/final");
    for precision in [Precision::F32, Precision::Bf16] {
        let limits = Limits { precision, ..limits() };
        Engine::load(&model_dir("llama"), &continued(&dir), &limits).expect("its own base");
        match Engine::load(&model_dir("mistral"), &continued(&dir), &limits) {
            Err(ModelError::OtherBase { adapter, tensor }) => {
                assert_eq!((&adapter, tensor.as_str()), (&dir, "lm_head.weight"));
            }
            Err(e) => panic!("{e}"),
            Ok(_) => panic!("accepted"),
        }
    }
}

#[test]
fn other_variants_of_lora_are_refused_by_name() {
    let from = fixtures().join("peft/llama/lora_qv/final");
    let text = std::fs::read_to_string(from.join("adapter_config.json")).expect("config");
    let dir = tempfile::tempdir().expect("a folder");
    for field in ["use_qalora", "fan_in_fan_out", "lora_bias"] {
        let edited = text.replace(&format!("\"{field}\": false"), &format!("\"{field}\": true"));
        assert_ne!(edited, text, "{field}");
        std::fs::write(dir.path().join("adapter_config.json"), edited).expect("write");
        let e = plan_from(dir.path(), 0).expect_err("refused");
        assert!(matches!(e, ModelError::UnsupportedAdapter { ref what, .. } if what.starts_with(field)), "{e}");
    }
    let edited = text.replace("\"init_lora_weights\": true", "\"init_lora_weights\": \"pissa\"");
    std::fs::write(dir.path().join("adapter_config.json"), edited).expect("write");
    let e = plan_from(dir.path(), 0).expect_err("refused");
    assert!(e.to_string().contains("init_lora_weights = pissa"), "{e}");
}

/// The same tensors under another alpha are another adapter.
#[test]
fn an_adapter_goes_on_with_its_own_scale() {
    let dir = fixtures().join("peft/llama/lora_qv/final");
    for edit in [|p: &mut LoraPlan| p.alpha *= 2.0, |p: &mut LoraPlan| p.rslora = true] {
        let mut plan = plan_from(&dir, 0).expect("a plan");
        edit(&mut plan);
        match Engine::load(&model_dir("llama"), &lora(plan), &limits()) {
            Err(ModelError::UnsupportedAdapter { what, .. }) => assert!(what.contains("scale"), "{what}"),
            Err(e) => panic!("{e}"),
            Ok(_) => panic!("accepted"),
        }
    }
}

/// A magnitude, and ranks with values of their own, belong to a matrix that only one layer has.
#[test]
fn dora_and_adalora_are_for_linear_layers() {
    for (model, target) in [("llama_tied", "embed_tokens"), ("llama", "lm_head")] {
        for method in [LoraPlan { dora: true, ..fresh(&[]) }, LoraPlan { ada: Some(ranks()), ..fresh(&[]) }] {
            let plan = lora(LoraPlan { targets: fresh(&["q_proj", target]).targets, ..method });
            let error = model::outline(&model_dir(model), &plan, &limits()).expect_err("refused");
            assert!(matches!(&error, ModelError::LinearOnly { module } if module.ends_with(target)), "{error}");
            let loaded = Engine::load(&model_dir(model), &plan, &limits());
            assert_eq!(loaded.err().map(|e| e.to_string()), Some(error.to_string()));
        }
    }
}

#[test]
fn a_pruned_adalora_adapter_is_refused_by_what_it_is() {
    let error = plan_from(&fixtures().join("peft/llama/adalora/final"), 0).expect_err("pruned");
    assert!(error.to_string().contains("an AdaLoRA adapter that is pruned already"), "{error}");
}

#[test]
fn a_rank_beyond_the_matrix_is_refused() {
    // Keys and values of this model have 32 rows.
    let plan = |r| lora(LoraPlan { r, ..fresh(&["k_proj"]) });
    let error = model::outline(&model_dir("llama"), &plan(33), &limits()).expect_err("refused");
    assert_eq!(error.to_string(), "rank 33 for model.layers.0.self_attn.k_proj: a rank is from 1 to 32");
    load(&model_dir("llama"), &plan(32));
}
