//! Logits, hidden states, losses and gradients of all nine families.

use crate::support::*;
use model::adapters::AdapterPlan;
use model::{IGNORE, ModelConfig};

const FAMILIES: [&str; 9] =
    ["gemma2", "gemma3", "llama", "llama_rope3", "llama_tied", "mistral", "phi3", "qwen2", "qwen3"];

const LOGITS: f32 = 5e-5;
const LOSS: f32 = 1e-5;

fn mean(losses: &[f32]) -> f32 {
    (losses.iter().map(|l| f64::from(*l)).sum::<f64>() / losses.len() as f64) as f32
}

#[test]
fn logits_hidden_states_and_losses_are_the_references() {
    for name in FAMILIES {
        let f = File::fixture(&format!("forward/{name}.safetensors"));
        let mut engine = load(&model_dir(name), &AdapterPlan::None);
        let (vocab, hidden) = (engine.config().vocab, engine.config().hidden);
        for side in ["right.", "left."] {
            let rows = Packed::all(&f, side);
            let logits = engine.logits(rows.batch()).expect("logits");
            let want = rows.pick(&f.f32(&format!("{side}logits")), vocab);
            close(&format!("{name} {side}logits"), &logits, &want, LOGITS);
            let losses = engine.losses(rows.batch()).expect("losses");
            assert_eq!(losses.len(), rows.target_count());
            close(&format!("{name} {side}loss"), &[mean(&losses)], &f.f32(&format!("{side}loss")), LOSS);
        }
        let rows = Packed::all(&f, "right.");
        let states = engine.hidden_states(rows.batch()).expect("hidden states");
        assert_eq!(states.len(), 3);
        for (i, state) in states.iter().enumerate() {
            let want = rows.pick(&f.f32(&format!("right.hidden.{i}")), hidden);
            close(&format!("{name} hidden state {i}"), state, &want, LOGITS);
        }
    }
}

#[test]
fn adapters_gradients_are_the_references() {
    for name in FAMILIES {
        let f = File::fixture(&format!("forward/{name}.safetensors"));
        let mut engine = load(&model_dir(name), &continued(&fixtures().join(format!("forward/{name}_lora"))));
        let (vocab, hidden) = (engine.config().vocab, engine.config().hidden);
        let rows = Packed::all(&f, "right.");
        let logits = engine.logits(rows.batch()).expect("logits");
        close(&format!("{name} lora.logits"), &logits, &rows.pick(&f.f32("lora.logits"), vocab), LOGITS);

        let n = rows.target_count();
        let loss = engine.accumulate(rows.batch(), 1.0 / n as f32, KEY).expect("accumulate") / n as f64;
        close(&format!("{name} lora.loss"), &[loss as f32], &f.f32("lora.loss"), LOSS);
        let got = gradients(&engine);
        assert_eq!(got.len(), f.under("lora.grad.base_model").len(), "{name}: parameters");
        for (key, grad) in got {
            close_gradient(&format!("{name} {key}"), &grad, &f.f32(&format!("lora.grad.{key}")));
        }

        let inputs = engine.input_gradient(rows.batch(), 1.0 / n as f32).expect("input gradient");
        let want = rows.pick(&f.f32("lora.grad.inputs_embeds"), hidden);
        close_gradient(&format!("{name} inputs_embeds"), &inputs, &want);
    }
}

#[test]
fn rope_frequencies_are_the_references() {
    for name in FAMILIES {
        let f = File::fixture(&format!("forward/{name}.safetensors"));
        let config = ModelConfig::read(&model_dir(name)).expect("config");
        let names = ["inv_freq", "full_attention_inv_freq", "sliding_attention_inv_freq"];
        let mut ropes = config.ropes.iter();
        for rope in names.iter().filter(|n| f.has(&format!("rope.{n}"))) {
            let got = ropes.next().expect("a rope");
            let want = f.f32(&format!("rope.{rope}"));
            assert_eq!(got.inv_freq.len(), want.len(), "{name} {rope}");
            for (g, w) in got.inv_freq.iter().zip(&want) {
                assert!((g - w).abs() <= 5e-7 * w.abs(), "{name} {rope}: {g} is not {w}");
            }
        }
        assert!(ropes.next().is_none(), "{name}: a rope too many");
    }
}

#[test]
fn rows_without_a_target_cost_nothing_and_change_nothing() {
    let f = File::fixture("forward/gemma2.safetensors");
    let mut engine = load(&model_dir("gemma2"), &lora(fresh(&[])));
    let rows = Packed::all(&f, "right.");
    let all = engine.losses(rows.batch()).expect("losses");
    // One target at a time: each loss is the same bits as among the others.
    let places: Vec<usize> = (0..rows.ids.len()).filter(|i| rows.targets[*i] != IGNORE).collect();
    for (n, &place) in places.iter().enumerate().step_by(7) {
        let mut one = rows.clone();
        one.targets.iter_mut().enumerate().filter(|(i, _)| *i != place).for_each(|(_, t)| *t = IGNORE);
        assert_eq!(engine.losses(one.batch()).expect("losses"), [all[n]]);
    }
    let mut none = rows.clone();
    none.targets.fill(IGNORE);
    assert_eq!(engine.accumulate(none.batch(), 1.0, KEY).expect("accumulate"), 0.0);
    assert_eq!(engine.grad_norm().expect("norm"), 0.0);
    assert_eq!(engine.losses(none.batch()).expect("losses"), [0.0; 0]);
}
