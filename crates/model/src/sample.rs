//! Texts that a model writes itself.

use crate::{Decoding, Engine, ModelError, config};
use serde_json::Value;
use std::path::Path;

/// Of the most likely tokens, as many as have this share together are drawn from.
const NUCLEUS: f32 = 0.9;

/// A sequence of at most `tokens` tokens from each of `firsts`, which ends before one of `stops`, drawn at temperature 1
/// from the most likely tokens; the same for the same seed, and whatever the others are. The engine's sequences must be
/// allowed `tokens`. Before each pass `on` says whether to go on; after a no the sequences are as long as they are.
///
/// # Errors
/// As [`Engine::generate`].
pub fn sample(
    engine: &mut Engine,
    firsts: &[u32],
    stops: &[u32],
    tokens: usize,
    seed: u64,
    on: &mut dyn FnMut() -> bool,
) -> Result<Vec<Vec<u32>>, ModelError> {
    let mut texts: Vec<Vec<u32>> = firsts.iter().map(|first| vec![*first]).collect();
    if tokens > 1 {
        let greedy = Decoding::greedy(tokens - 1, stops.to_vec());
        let how = Decoding { temperature: 1.0, top_p: NUCLEUS, seed, ..greedy };
        let answers = engine.generate(&texts, &how, &mut |_| on())?;
        texts.iter_mut().zip(answers).for_each(|(text, answer)| text.extend(answer));
    }
    Ok(texts)
}

/// Where `count` texts of the model in `dir` begin: each with the token that its configuration says texts begin with
/// (`bos_token_id` of generation_config.json, or of config.json); where there is none, with another token each, evenly
/// spread over the `vocab`.
///
/// # Errors
/// What is wrong with one of the files.
pub fn beginnings(dir: &Path, vocab: usize, count: usize) -> Result<Vec<u32>, ModelError> {
    for fields in [config::read_generation_fields(dir)?, config::read_fields(dir)?] {
        let bos = fields.get("bos_token_id").and_then(Value::as_u64).filter(|id| *id < vocab as u64);
        if let Some(bos) = bos.and_then(|id| u32::try_from(id).ok()) {
            return Ok(vec![bos; count]);
        }
    }
    Ok((1..=count).map(|i| (vocab * i / (count + 1)) as u32).collect())
}

/// Mean over positions of KL(p ‖ q) in nats, of two sets of logits [T, V].
pub fn divergence(p: &[f32], q: &[f32], vocab: usize) -> f64 {
    let log_softmax = |row: &[f32]| -> Vec<f64> {
        let top = row.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = row.iter().map(|z| f64::from(z - top).exp()).sum();
        row.iter().map(|z| f64::from(z - top) - sum.ln()).collect()
    };
    let rows = p
        .chunks_exact(vocab)
        .zip(q.chunks_exact(vocab))
        .map(|(p, q)| log_softmax(p).iter().zip(log_softmax(q)).map(|(p, q)| p.exp() * (p - q)).sum::<f64>());
    let (count, sum) = rows.fold((0usize, 0.0), |(n, sum), kl| (n + 1, sum + kl));
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_begin_where_the_configuration_says() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("write");
        let of = |count| beginnings(dir.path(), 100, count).expect("beginnings");
        write("config.json", r#"{"bos_token_id": null}"#);
        assert_eq!(of(4), [20, 40, 60, 80]);
        write("config.json", r#"{"bos_token_id": 7}"#);
        assert_eq!(of(3), [7; 3]);
        write("generation_config.json", r#"{"bos_token_id": 9}"#);
        assert_eq!(of(2), [9; 2]);
        // No token of this vocabulary, and no file at all.
        write("generation_config.json", r#"{"bos_token_id": 100}"#);
        assert_eq!(of(2), [7; 2]);
        write("generation_config.json", "[]");
        assert!(matches!(beginnings(dir.path(), 100, 1), Err(ModelError::ConfigParse { .. })));
    }

    #[test]
    fn divergence_is_that_of_the_distributions() {
        let (p, q) = ([0.0f32, 3f32.ln(), 5.0, 5.0], [0.0f32, 0.0, 7.0, 7.0]);
        // (¼, ¾) against (½, ½), then equal ones.
        let first = 0.25 * 0.5f64.ln() + 0.75 * 1.5f64.ln();
        assert!((divergence(&p, &q, 2) - first / 2.0).abs() < 1e-7);
        assert_eq!(divergence(&p, &p, 2), 0.0);
    }
}
