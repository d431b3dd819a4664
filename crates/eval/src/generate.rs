//! Answers, token by token.

use crate::stats::Random;
use data::{Control, Question, TextError, TextPipeline};
use model::{Batch, Engine, IGNORE, ModelError};
use serde::Serialize;
use std::collections::BTreeSet;

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decoding {
    /// Of the answer.
    pub tokens_max: usize,
    /// 0: the likeliest token.
    pub temperature: f64,
    /// Only of so many likeliest; 0: of all.
    pub top_k: usize,
    /// Only of the likeliest that have this share together.
    pub top_p: f64,
    /// What the logits of tokens that were there before are divided by, or multiplied where negative; 1: nothing.
    pub repetition_penalty: f64,
    pub seed: u64,
    /// Tokens before which an answer ends.
    #[serde(skip)]
    pub stops: Vec<u32>,
}

/// Most logits of one pass: their bytes stay below a quarter of a gigabyte unless one sequence alone has more.
const LOGITS_MAX: usize = 64 << 20;

/// The tokens that follow each prompt, without the stop. A function of (prompt, place in `prompts`, `how`). Before each token
/// `on` says whether to go on; None after a no.
///
/// Every token costs a pass over all before it: without a cache of keys and values this is the only way, and right for short
/// answers alone.
///
/// # Errors
/// As [`Engine::logits`].
pub fn generate(
    engine: &mut Engine,
    prompts: &[Vec<u32>],
    how: &Decoding,
    tokens_max: usize,
    on: &mut dyn FnMut() -> bool,
) -> Result<Option<Vec<Vec<u32>>>, ModelError> {
    let vocab = engine.config().vocab;
    let mut texts: Vec<Vec<u32>> = prompts.to_vec();
    let mut open: Vec<usize> = (0..texts.len()).collect();
    for position in 0..how.tokens_max {
        if open.is_empty() {
            break;
        }
        if !on() {
            return Ok(None);
        }
        let mut ended = Vec::new();
        for pass in passes(&open, &texts, tokens_max.min((LOGITS_MAX / vocab).max(1))) {
            for (which, logits) in pass.iter().zip(last_logits(engine, pass, &texts)?) {
                let mut random = Random::of(how.seed ^ (*which as u64).wrapping_mul(0x9e37_79b9), position as u64);
                let next = choose(logits, &texts[*which], how, random.unit());
                match how.stops.contains(&next) {
                    true => ended.push(*which),
                    false => texts[*which].push(next),
                }
            }
        }
        open.retain(|which| !ended.contains(which));
    }
    Ok(Some(texts.iter().zip(prompts).map(|(text, prompt)| text[prompt.len()..].to_vec()).collect()))
}

/// Cuts sequences, in their order, into passes; a longer one is a pass of its own.
fn passes<'a>(open: &'a [usize], texts: &[Vec<u32>], tokens_max: usize) -> Vec<&'a [usize]> {
    let (mut out, mut from, mut tokens) = (Vec::new(), 0, 0);
    for (i, which) in open.iter().enumerate() {
        if i > from && tokens + texts[*which].len() > tokens_max {
            out.push(&open[from..i]);
            (from, tokens) = (i, 0);
        }
        tokens += texts[*which].len();
    }
    out.push(&open[from..]);
    out
}

/// Logits [V] behind the last token of each sequence of a pass.
fn last_logits(engine: &mut Engine, pass: &[usize], texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, ModelError> {
    let vocab = engine.config().vocab;
    let mut cu = vec![0];
    let mut ids = Vec::new();
    for which in pass {
        ids.extend_from_slice(&texts[*which]);
        cu.push(ids.len());
    }
    let logits = engine.logits(Batch { ids: &ids, targets: &vec![IGNORE; ids.len()], cu: &cu })?;
    Ok(cu[1..].iter().map(|end| logits[(end - 1) * vocab..end * vocab].to_vec()).collect())
}

/// The next token; `at` is in 0..1. Of equally likely ones the lower id comes first.
fn choose(mut logits: Vec<f32>, before: &[u32], how: &Decoding, at: f64) -> u32 {
    if how.repetition_penalty != 1.0 {
        let seen: BTreeSet<u32> = before.iter().copied().collect();
        for id in seen {
            let logit = &mut logits[id as usize];
            let penalty = how.repetition_penalty as f32;
            *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        }
    }
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let likelier = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    if how.temperature == 0.0 {
        return order.into_iter().min_by(likelier).unwrap_or(0);
    }
    order.sort_by(likelier);
    if how.top_k > 0 {
        order.truncate(how.top_k);
    }
    let top = f64::from(logits[order[0] as usize]);
    let share = |id: &u32| ((f64::from(logits[*id as usize]) - top) / how.temperature).exp();
    let all: f64 = order.iter().map(share).sum();
    let mut sum = 0.0;
    let within = |id: &&u32| {
        let before = sum;
        sum += share(id) / all;
        before < how.top_p
    };
    let kept: Vec<u32> = order.iter().take_while(within).copied().collect();
    let mut left = at * kept.iter().map(share).sum::<f64>();
    let drawn = kept.iter().find(|id| {
        left -= share(id);
        left <= 0.0
    });
    drawn.or(kept.last()).copied().unwrap_or(0)
}

/// The answer in the tokens of one: without what the template still puts before and after it, up to a stop, and without white
/// space at its ends.
pub fn answer(text: &TextPipeline, question: &Question, ids: &[u32], stops: &[String]) -> Result<String, TextError> {
    let whole = text.tokenizer().decode(ids, Control::Skip)?;
    let rest = question.rest.trim();
    let said = whole.trim_start();
    let said = said.strip_prefix(rest).unwrap_or(said).trim_start();
    let end = stops.iter().filter_map(|stop| said.find(stop.as_str())).min().unwrap_or(said.len());
    let said = said[..end].trim_end();
    let after = question.after.trim();
    Ok(if after.is_empty() { said } else { said.strip_suffix(after).unwrap_or(said) }.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn how(temperature: f64, top_k: usize, top_p: f64, repetition_penalty: f64) -> Decoding {
        Decoding { tokens_max: 1, temperature, top_k, top_p, repetition_penalty, seed: 0, stops: Vec::new() }
    }

    #[test]
    fn tokens_are_chosen_as_told() {
        let logits = vec![1.0f32, 3.0, 2.0, 3.0];
        let of = |how: Decoding, before: &[u32], at| choose(logits.clone(), before, &how, at);
        assert_eq!(of(how(0.0, 0, 1.0, 1.0), &[], 0.9), 1, "the likeliest, and of equal ones the first");
        assert_eq!(of(how(0.0, 0, 1.0, 2.0), &[1], 0.9), 3, "1 was there before");
        let mut counts = [0; 4];
        for i in 0..1000 {
            counts[of(how(1.0, 0, 1.0, 1.0), &[], (f64::from(i) + 0.5) / 1000.0) as usize] += 1;
        }
        // e¹ : e³ : e² : e³ of 50.3.
        assert_eq!(counts, [54, 399, 147, 400]);
        assert_eq!(of(how(1.0, 2, 1.0, 1.0), &[], 1.0), 3, "top_k");
        assert_eq!(of(how(1.0, 0, 0.5, 1.0), &[], 1.0), 3, "top_p: the two likeliest reach a half");
        assert_eq!(of(how(1.0, 0, 0.3, 1.0), &[], 1.0), 1, "top_p: the likeliest is enough");
    }

    #[test]
    fn passes_hold_the_limit() {
        let texts: Vec<Vec<u32>> = [3, 2, 9, 1].map(|n| vec![0; n]).into();
        assert_eq!(passes(&[0, 1, 2, 3], &texts, 5), [&[0, 1][..], &[2], &[3]]);
    }
}
