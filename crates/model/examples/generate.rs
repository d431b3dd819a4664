//! How fast a model answers, greedily: tokens a second of reading prompts and of writing answers, apart.
//!
//! `cargo run --release -p model --example generate -- MODEL_DIR PROMPT_TOKENS ANSWER_TOKENS PROMPTS [f32|bf16]`
//!
//! Prompts are random ids, and nothing ends an answer early. For comparison it also writes one answer by whole passes,
//! as without a cache.

use model::{
    AdapterPlan, Batch, Decoding, Engine, IGNORE, Limits, ModelConfig, Optimizer, Precision, Progress, Quantize,
};
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Tokens of a pass.
const PASS: usize = 2048;

/// Time of passes, by whether they read prompts or wrote tokens.
struct Spent {
    reading: Duration,
    writing: Duration,
    /// When the pass that runs began, and what waited before it and the one before.
    began: Instant,
    waiting: usize,
    read: bool,
}

impl Spent {
    fn new(waiting: usize) -> Spent {
        let (reading, writing) = (Duration::ZERO, Duration::ZERO);
        Spent { reading, writing, began: Instant::now(), waiting, read: true }
    }

    /// A pass has ended, if it is not the first, and another begins. Which of the two it was shows in what waits now.
    fn note(&mut self, p: Progress) {
        self.read = p.waiting < self.waiting;
        self.waiting = p.waiting;
        self.end();
    }

    fn end(&mut self) {
        *(if self.read { &mut self.reading } else { &mut self.writing }) += self.began.elapsed();
        (self.began, self.read) = (Instant::now(), false);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (model, numbers, precision) = match args.as_slice() {
        [model, numbers @ .., precision] if numbers.len() == 3 && precision == "f32" => {
            (model, numbers, Precision::F32)
        }
        [model, numbers @ .., precision] if numbers.len() == 3 && precision == "bf16" => {
            (model, numbers, Precision::Bf16)
        }
        [model, numbers @ ..] if numbers.len() == 3 => (model, numbers, Precision::F32),
        _ => {
            eprintln!("usage: generate MODEL_DIR PROMPT_TOKENS ANSWER_TOKENS PROMPTS [f32|bf16]");
            std::process::exit(2);
        }
    };
    let model = PathBuf::from(model);
    let numbers: Vec<usize> = numbers.iter().map(|n| n.parse()).collect::<Result<_, _>>()?;
    let (prompt, answer, count) = (numbers[0], numbers[1], numbers[2]);
    let limits = Limits {
        tokens_max: PASS.max(prompt + answer),
        seq_len_max: prompt + answer,
        memory: None,
        threads: None,
        precision,
        quantize: Quantize::None,
        optimizer: Optimizer::AdamW,
        beside: 0,
    };
    let vocab = ModelConfig::read(&model)?.vocab;
    let mut engine = Engine::load(&model, &AdapterPlan::None, &limits)?;
    let prompts: Vec<Vec<u32>> = (0..count)
        .map(|i| (0..prompt).map(|t| ((7919 * t * t + 104_729 * i + 31 * t) % vocab) as u32).collect())
        .collect();
    let how = Decoding::greedy(answer, Vec::new());
    engine.generate(&prompts[..1], &Decoding::greedy(2.min(answer), Vec::new()), &mut |_| true)?;
    let mut spent = Spent::new(count);
    engine.generate(&prompts, &how, &mut |p| {
        spent.note(p);
        true
    })?;
    spent.end();
    println!(
        "{count} prompts of {prompt}, answers of {answer}, {precision:?}: read {:.0} tokens/s, wrote {:.1} tokens/s",
        (prompt * count) as f64 / spent.reading.as_secs_f64(),
        ((answer - 1) * count) as f64 / spent.writing.as_secs_f64()
    );
    let mut text = prompts[0].clone();
    let (began, few) = (Instant::now(), answer.min(16));
    for _ in 0..few {
        let logits = engine.logits(Batch { ids: &text, targets: &vec![IGNORE; text.len()], cu: &[0, text.len()] })?;
        let last = &logits[(text.len() - 1) * vocab..];
        let best = (0..vocab).max_by(|a, b| last[*a].total_cmp(&last[*b])).unwrap_or(0);
        text.push(best as u32);
    }
    println!("without a cache, one prompt: wrote {:.1} tokens/s", few as f64 / began.elapsed().as_secs_f64());
    Ok(())
}
