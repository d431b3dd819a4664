//! Products in bf16 against the same in f32: close, and as reproducible.

use crate::support::*;
use model::adapters::AdapterPlan;
use model::{Engine, IGNORE, Limits, Precision, State};
use std::path::Path;

const MODELS: [&str; 9] =
    ["llama", "llama_tied", "llama_rope3", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "phi3"];

/// Σ loss and all gradients of one pass, as one vector.
fn gradient(dir: &Path, plan: &AdapterPlan, limits: &Limits, rows: &Packed) -> (f64, Vec<f32>) {
    let mut engine = Engine::load(dir, plan, limits).expect("a model");
    // B starts as zero: A would have no gradient.
    let mut values = engine.export(State::Value).expect("export");
    for (i, t) in values.iter_mut().enumerate().filter(|(_, t)| t.name.contains("lora_B")) {
        t.values.iter_mut().enumerate().for_each(|(j, v)| *v = ((i * 31 + j * 17) % 13) as f32 / 260.0 - 0.02);
    }
    engine.import(State::Value, &values).expect("import");
    let loss = engine.accumulate(rows.batch(), 1.0, KEY).expect("accumulate");
    (loss, gradients(&engine).into_iter().flat_map(|(_, g)| g).collect())
}

fn rows(vocab: usize, cu: &[usize]) -> Packed {
    let tokens = cu[cu.len() - 1];
    let ids: Vec<u32> = (0..tokens).map(|i| ((i * i * 7 + 3 * i + 5) % vocab) as u32).collect();
    let last = |i: usize| cu.contains(&(i + 1));
    let targets = (0..tokens).map(|i| if last(i) { IGNORE } else { ids[i + 1] as i32 }).collect();
    Packed { at: (0..tokens).collect(), ids, targets, cu: cu.to_vec() }
}

/// A product's operands are off by 2⁻⁹ at most each; a few layers add that up to a percent or two.
#[test]
fn gradients_are_those_of_f32_within_rounding() {
    for model in MODELS {
        let (dir, plan, rows) = (model_dir(model), lora(fresh(&[])), rows(500, &[0, 19, 20, 51]));
        let of = |precision| gradient(&dir, &plan, &Limits { precision, ..limits() }, &rows);
        let ((loss, exact), (rounded_loss, rounded)) = (of(Precision::F32), of(Precision::Bf16));
        assert!((rounded_loss / loss - 1.0).abs() < 5e-3, "{model}: loss {rounded_loss}, in f32 {loss}");
        let norm = |x: &[f32]| x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let difference: Vec<f32> = exact.iter().zip(&rounded).map(|(a, b)| a - b).collect();
        let off = norm(&difference) / norm(&exact);
        assert!(off > 0.0 && off < 0.03, "{model}: gradients are off by {off}");
    }
}

#[test]
fn neither_threads_nor_recomputation_change_a_bit() {
    let dir = examples().join("models/stories260K");
    let rows = rows(512, &[0, 300, 301, 520]);
    let plan = lora(fresh(&[]));
    let of = |threads, memory| {
        let memory = Some(memory);
        let limits = Limits {
            tokens_max: 520,
            seq_len_max: 300,
            memory,
            threads: Some(threads),
            precision: Precision::Bf16,
            quantize: model::Quantize::None,
            optimizer: model::Optimizer::AdamW,
            beside: 0,
        };
        let (loss, gradient) = gradient(&dir, &plan, &limits, &rows);
        (loss.to_bits(), bits(&gradient))
    };
    let want = of(1, 1 << 30);
    assert!(of(2, 1 << 30) == want && of(3, 1 << 30) == want, "threads");
    let outlined = |memory| {
        let precision = Precision::Bf16;
        let limits = Limits { tokens_max: 520, seq_len_max: 300, memory: Some(memory), precision, ..limits() };
        model::outline(&dir, &plan, &limits).expect("outline").memory
    };
    let all = outlined(1 << 30);
    let tight = all.total - all.activations / 2;
    assert!(all.layers_recomputed == 0 && outlined(tight).layers_recomputed > 0);
    assert!(of(2, tight) == want, "recomputation");
}
