//! Writes a model's logits with an adapter on, for another program to check:
//!
//! `cargo run -p model --example logits -- BASE ADAPTER INPUTS PREFIX OUT`
//!
//! INPUTS is a safetensors file with `{PREFIX}input_ids` and, where rows are padded, `{PREFIX}attention_mask`, both
//! I64 [B, T]. OUT gets `logits` f32 [B, T, V]; padding stays zero.

use model::adapters::{AdapterPlan, plan_from};
use model::{Batch, Engine, IGNORE, Limits};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use weights::Checkpoint;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [base, adapter, inputs, prefix, out] = args.as_slice() else {
        return Err("usage: logits BASE ADAPTER INPUTS PREFIX OUT".into());
    };
    let inputs = Checkpoint::open_file(Path::new(inputs))?;
    let (ids, shape) = integers(&inputs, &format!("{prefix}input_ids"))?;
    let &[rows, width] = shape.as_slice() else { return Err("input_ids: expected [B, T]".into()) };
    let mask_name = format!("{prefix}attention_mask");
    let mask = if inputs.contains(&mask_name) { integers(&inputs, &mask_name)?.0 } else { vec![1; ids.len()] };

    let places: Vec<usize> = (0..rows * width).filter(|&i| mask[i] != 0).collect();
    let tokens: Vec<u32> = places.iter().map(|&i| u32::try_from(ids[i])).collect::<Result<_, _>>()?;
    let cu: Vec<usize> = (0..=rows).map(|r| places.partition_point(|&i| i < r * width)).collect();
    let limits = Limits {
        tokens_max: tokens.len(),
        seq_len_max: width,
        memory: None,
        threads: None,
        precision: model::Precision::F32,
        quantize: model::Quantize::None,
        optimizer: model::Optimizer::AdamW,
        beside: 0,
    };
    let plan = AdapterPlan::Lora(Box::new(plan_from(Path::new(adapter), 0)?));
    let mut engine = Engine::load(Path::new(base), &plan, &limits)?;
    let targets = vec![IGNORE; tokens.len()];
    let packed = engine.logits(Batch { ids: &tokens, targets: &targets, cu: &cu })?;

    let vocab = engine.config().vocab;
    let mut logits = vec![0.0; rows * width * vocab];
    for (from, &to) in packed.chunks_exact(vocab).zip(&places) {
        logits[to * vocab..(to + 1) * vocab].copy_from_slice(from);
    }
    let tensor = ("logits".to_owned(), vec![rows, width, vocab], logits.as_slice());
    std::fs::write(out, weights::safetensors_bytes(&[tensor], &BTreeMap::new())?)?;
    Ok(())
}

/// An I64 tensor and its shape.
fn integers(file: &Checkpoint, name: &str) -> Result<(Vec<i64>, Vec<usize>), Box<dyn Error>> {
    let view = file.get(name)?;
    let values = view.bytes.chunks_exact(8).map(|b| Ok(i64::from_le_bytes(b.try_into()?)));
    Ok((values.collect::<Result<_, Box<dyn Error>>>()?, view.shape.to_vec()))
}
