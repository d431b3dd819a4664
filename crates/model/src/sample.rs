//! Texts that a model writes itself: side by side, token by token.

use crate::{Batch, Engine, IGNORE, ModelError, config};
use serde_json::Value;
use std::path::Path;

/// Of the most likely tokens, as many as have this share together are drawn from.
const NUCLEUS: f64 = 0.9;

/// A sequence of at most `tokens` tokens from each of `firsts`, which ends before one of `stops`, drawn at temperature 1
/// from the most likely tokens; the same for the same seed. The engine's passes must allow all of them. Before each pass `on`
/// says whether to go on; after a no the sequences are as long as they are.
///
/// # Errors
/// As [`Engine::logits`].
pub fn sample(
    engine: &mut Engine,
    firsts: &[u32],
    stops: &[u32],
    tokens: usize,
    seed: u64,
    on: &mut dyn FnMut() -> bool,
) -> Result<Vec<Vec<u32>>, ModelError> {
    let (vocab, mut random) = (engine.config().vocab, Random(seed));
    let mut texts: Vec<Vec<u32>> = firsts.iter().map(|first| vec![*first]).collect();
    for length in 1..tokens {
        let open: Vec<usize> = (0..texts.len()).filter(|s| texts[*s].len() == length).collect();
        if open.is_empty() || !on() {
            break;
        }
        let ids: Vec<u32> = open.iter().flat_map(|s| texts[*s].iter().copied()).collect();
        let cu: Vec<usize> = (0..=open.len()).map(|i| i * length).collect();
        let logits = engine.logits(Batch { ids: &ids, targets: &vec![IGNORE; ids.len()], cu: &cu })?;
        for (i, s) in open.into_iter().enumerate() {
            let last = ((i + 1) * length - 1) * vocab;
            let next = draw(&logits[last..last + vocab], random.next()) as u32;
            if !stops.contains(&next) {
                texts[s].push(next);
            }
        }
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

/// A token by its probability among the likely ones; `at` is in 0..1.
fn draw(logits: &[f32], at: f64) -> usize {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    let mut likely: Vec<(usize, f64)> = logits.iter().map(|z| f64::from(z - top).exp()).enumerate().collect();
    likely.sort_by(|x, y| y.1.total_cmp(&x.1));
    let all: f64 = likely.iter().map(|(_, p)| p).sum();
    let mut sum = 0.0;
    let kept = likely.iter().take_while(|(_, p)| {
        let before = sum;
        sum += p / all;
        before < NUCLEUS
    });
    let kept: Vec<(usize, f64)> = kept.copied().collect();
    let mut left = at * kept.iter().map(|(_, p)| p).sum::<f64>();
    for (token, p) in &kept {
        left -= p;
        if left <= 0.0 {
            return *token;
        }
    }
    kept.last().map_or(0, |(token, _)| *token)
}

/// SplitMix64 (Steele, Lea & Flood 2014).
struct Random(u64);

impl Random {
    /// In 0..1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
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
    fn likely_tokens_are_drawn_by_their_share() {
        // e³ : e² : e⁰ : e⁻⁹, of which the first two have over nine tenths.
        let logits = [0.0, 3.0, -9.0, 2.0];
        let mut random = Random(1);
        let mut counts = [0usize; 4];
        (0..20_000).for_each(|_| counts[draw(&logits, random.next())] += 1);
        assert_eq!((counts[0], counts[2]), (0, 0), "{counts:?}");
        let share = counts[1] as f64 / 20_000.0;
        assert!((share - 3f64.exp() / (3f64.exp() + 2f64.exp())).abs() < 0.01, "{share}");
        assert_eq!((draw(&logits, 0.0), draw(&logits, 1.0)), (1, 3));
    }

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
