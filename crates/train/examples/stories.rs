//! Lets a model write texts of its own, all of them side by side, and prints them as jsonl rows {"text"}:
//! `cargo run --release -p train --example stories -- MODEL_DIR COUNT TOKENS SEED`. Used by `benches/methods`, for what a
//! base knew before it was tuned.

use data::{Control, LossOn, Template, TextPipeline, TextPlan};
use model::{AdapterPlan, Engine, Limits, Optimizer, Precision, Quantize, sample};
use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, count, tokens, seed] = args.as_slice() else {
        eprintln!("usage: stories MODEL_DIR COUNT TOKENS SEED");
        std::process::exit(2);
    };
    let (model, count, tokens) = (PathBuf::from(model), count.parse::<usize>()?, tokens.parse::<usize>()?);
    let (template, loss_on) = (Template::Plain("{prompt}{completion}".into()), LossOn::All);
    let text =
        TextPipeline::open(&TextPlan { model_dir: model.clone(), template, loss_on, record_bytes_max: 1 << 20 })?;
    let limits = Limits {
        tokens_max: count * tokens,
        seq_len_max: tokens,
        memory: None,
        threads: None,
        precision: Precision::F32,
        quantize: Quantize::None,
        optimizer: Optimizer::AdamW,
        beside: 0,
    };
    let mut engine = Engine::load(&model, &AdapterPlan::None, &limits)?;
    let first = text.bos_id().unwrap_or(text.eos_id());
    // A text ends where the next one would begin.
    let stops = [text.eos_id(), first];
    for ids in sample(&mut engine, &vec![first; count], &stops, tokens, seed.parse()?, &mut || true)? {
        let written = text.tokenizer().decode(&ids, Control::Skip)?;
        println!("{}", serde_json::json!({"text": written.trim()}));
    }
    Ok(())
}
