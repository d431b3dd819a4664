//! The next token of a text, from the logits of the last.

use crate::{Decoding, ModelError};

/// Of the candidates that are put in order of probability, the first so many: they nearly always have the share wanted.
const SORTED_FIRST: usize = 64;

/// The token that follows `seen`, the text so far, whose last has these `logits` [V]; `at` in 0..1 is what chance says.
/// None where a logit is no number.
///
/// In the order of transformers' processors: the repetition penalty, the temperature, the k likeliest tokens (with those
/// that tie with the last), and of these the fewest that have a share of p.
pub(crate) fn choose(logits: &mut [f32], seen: &[&[u32]], how: &Decoding, at: f64) -> Option<u32> {
    if how.repetition_penalty != 1.0 {
        penalise(logits, seen, how.repetition_penalty);
    }
    if logits.iter().any(|z| z.is_nan()) {
        return None;
    }
    let (best, top) = largest(logits);
    if how.temperature == 0.0 {
        return Some(best);
    }
    if !top.is_finite() {
        return None;
    }
    let least = match how.top_k {
        k if k == 0 || k >= logits.len() => f32::NEG_INFINITY,
        k => *logits.to_vec().select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1,
    };
    let weight = |z: f32| (f64::from(z - top) / f64::from(how.temperature)).exp();
    let all = logits.iter().enumerate().filter(|(_, z)| **z >= least);
    let mut candidates: Vec<(u32, f64)> = all.map(|(id, z)| (id as u32, weight(*z))).collect();
    if how.top_p < 1.0 {
        nucleus(&mut candidates, f64::from(how.top_p));
    }
    Some(draw(&candidates, at))
}

/// The index of the first of the largest, and that.
fn largest(logits: &[f32]) -> (u32, f32) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (logits.iter().position(|z| *z == top).unwrap_or(0) as u32, top)
}

/// Makes tokens that there were less likely (Keskar et al. 2019), each once.
fn penalise(logits: &mut [f32], seen: &[&[u32]], penalty: f32) {
    let mut ids: Vec<u32> = seen.concat();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let z = &mut logits[id as usize];
        *z = if *z < 0.0 { *z * penalty } else { *z / penalty };
    }
}

/// Leaves the likeliest candidates, in order, up to the one with which they have the share `p` of all (Holtzman et al.
/// 2020). Of equal ones the smaller id comes first.
fn nucleus(candidates: &mut Vec<(u32, f64)>, p: f64) {
    let order = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let wanted = p * candidates.iter().map(|(_, w)| w).sum::<f64>();
    let mut sorted = SORTED_FIRST.min(candidates.len());
    loop {
        if sorted < candidates.len() {
            candidates.select_nth_unstable_by(sorted - 1, order);
        }
        candidates[..sorted].sort_unstable_by(order);
        let mut sum = 0.0;
        let before = |(_, w): &(u32, f64)| {
            sum += w;
            sum < wanted
        };
        let kept = candidates[..sorted].iter().map(before).position(|goes_on| !goes_on);
        match kept {
            Some(last) => return candidates.truncate(last + 1),
            None if sorted == candidates.len() => return,
            None => sorted = (4 * sorted).min(candidates.len()),
        }
    }
}

/// A candidate by its share of the weights.
fn draw(candidates: &[(u32, f64)], at: f64) -> u32 {
    let mut left = at * candidates.iter().map(|(_, w)| w).sum::<f64>();
    for (id, w) in candidates {
        left -= w;
        if left < 0.0 {
            return *id;
        }
    }
    // Rounding: `at` is below 1, so what is left is none.
    candidates.iter().rev().find(|(_, w)| *w > 0.0).map_or(0, |(id, _)| *id)
}

/// In 0..1, a function of its arguments alone: SplitMix64's finalizer (Steele, Lea & Flood 2014) over each in turn.
pub(crate) fn chance(seed: u64, prompt: usize, position: usize) -> f64 {
    let mix = |x: u64| {
        let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let x = mix(mix(mix(seed) ^ prompt as u64) ^ position as u64);
    (x >> 11) as f64 / (1u64 << 53) as f64
}

impl Decoding {
    /// The likeliest token each time, at most `tokens_max` of them.
    pub fn greedy(tokens_max: usize, stops: Vec<u32>) -> Decoding {
        Decoding { tokens_max, temperature: 0.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0, seed: 0, stops }
    }

    /// Refuses what is no way to choose among `vocab` tokens.
    pub(crate) fn check(&self, vocab: usize) -> Result<(), ModelError> {
        let refuse = |field, expected: &str, got: String| {
            Err(ModelError::Decoding { field, expected: expected.to_owned(), got })
        };
        if self.tokens_max == 0 {
            return refuse("tokens_max", "at least 1", "0".to_owned());
        }
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return refuse("temperature", "0 or more", self.temperature.to_string());
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse("top_p", "above 0 and at most 1", self.top_p.to_string());
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            return refuse("repetition_penalty", "above 0", self.repetition_penalty.to_string());
        }
        match self.stops.iter().find(|id| **id as usize >= vocab) {
            Some(id) => refuse("stops", &format!("ids below {vocab}, the size of the vocabulary"), id.to_string()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(top_k: usize, top_p: f32) -> Decoding {
        Decoding { temperature: 1.0, top_k, top_p, ..Decoding::greedy(1, Vec::new()) }
    }

    fn pick(logits: &[f32], how: &Decoding, at: f64) -> u32 {
        choose(&mut logits.to_vec(), &[], how, at).expect("numbers")
    }

    /// How often each of `logits`' tokens is drawn in `n` draws.
    fn counts(logits: &[f32], how: &Decoding, n: usize) -> Vec<usize> {
        let mut counts = vec![0; logits.len()];
        (0..n).for_each(|i| counts[pick(logits, how, chance(1, i, 0)) as usize] += 1);
        counts
    }

    #[test]
    fn likely_tokens_are_drawn_by_their_share() {
        // e³ : e² : e⁰ : e⁻⁹, of which the first two have over nine tenths.
        let logits = [0.0, 3.0, -9.0, 2.0];
        let how = sampling(0, 0.9);
        let counts = counts(&logits, &how, 20_000);
        assert_eq!((counts[0], counts[2]), (0, 0), "{counts:?}");
        let share = counts[1] as f64 / 20_000.0;
        assert!((share - 3f64.exp() / (3f64.exp() + 2f64.exp())).abs() < 0.01, "{share}");
        assert_eq!((pick(&logits, &how, 0.0), pick(&logits, &how, 1.0)), (1, 3));
    }

    #[test]
    fn temperature_sharpens() {
        let logits = [1.0, 2.0, 0.0];
        let of = |temperature| {
            let counts = counts(&logits, &Decoding { temperature, ..sampling(0, 1.0) }, 20_000);
            counts[1] as f64 / 20_000.0
        };
        for t in [0.5f32, 1.0, 2.0] {
            let weight = |z: f32| f64::from(z / t).exp();
            let want = weight(2.0) / (weight(1.0) + weight(2.0) + weight(0.0));
            assert!((of(t) - want).abs() < 0.012, "temperature {t}: {} instead of {want}", of(t));
        }
    }

    /// `top_k` keeps ties with the last, `top_p` the first token with which the share is reached; of both, top_p counts
    /// shares among what top_k left.
    #[test]
    fn filters_keep_what_they_say() {
        let kept = |logits: &[f32], top_k, top_p| -> Vec<usize> {
            let counts = counts(logits, &sampling(top_k, top_p), 2000);
            (0..logits.len()).filter(|i| counts[*i] > 0).collect()
        };
        // Shares of an eighth, a half, an eighth and a quarter.
        let eighths = [0.0, 4f32.ln(), 0.0, 2f32.ln()];
        assert_eq!(kept(&eighths, 1, 1.0), [1]);
        assert_eq!(kept(&eighths, 2, 1.0), [1, 3]);
        assert_eq!(kept(&eighths, 3, 1.0), [0, 1, 2, 3]);
        assert_eq!(kept(&eighths, 9, 1.0), [0, 1, 2, 3]);
        assert_eq!(kept(&eighths, 0, 0.49), [1]);
        assert_eq!(kept(&eighths, 0, 0.51), [1, 3]);
        assert_eq!(kept(&eighths, 0, 0.76), [0, 1, 3]);
        assert_eq!(kept(&eighths, 2, 0.6), [1]);
        assert_eq!(kept(&eighths, 0, 1e-6), [1]);
        // More candidates than are put in order at first.
        let flat: Vec<f32> = (0..1000).map(|i| if i % 2 == 0 { 1.0 } else { 0.0 }).collect();
        let half = std::f32::consts::E / (1.0 + std::f32::consts::E);
        assert!(kept(&flat, 0, 0.9 * half).iter().all(|i| i % 2 == 0 && *i < 902));
        assert_eq!(kept(&flat, 0, 0.001 * half), [0]);
    }

    #[test]
    fn tokens_that_there_were_are_less_likely() {
        let greedy = |penalty| Decoding { repetition_penalty: penalty, ..Decoding::greedy(1, Vec::new()) };
        let next = |seen: &[&[u32]], penalty| choose(&mut [2.0, 1.9, -1.0, -1.1], seen, &greedy(penalty), 0.0);
        assert_eq!(next(&[&[0, 0], &[3]], 1.0), Some(0));
        assert_eq!(next(&[&[0, 0], &[3]], 1.1), Some(1));
        assert_eq!(next(&[&[3], &[]], 1.1), Some(0));
        // Once for each token, and away from zero where the logit is negative.
        let mut logits = [2.0, 1.9, -1.0, -1.1];
        choose(&mut logits, &[&[0, 2], &[2, 0]], &greedy(2.0), 0.0);
        assert_eq!(logits, [1.0, 1.9, -2.0, -1.1]);
    }

    #[test]
    fn the_likeliest_is_the_first_of_equal_ones_and_no_number_is_none() {
        let greedy = Decoding::greedy(1, Vec::new());
        assert_eq!(pick(&[0.0, 7.0, 7.0, f32::NEG_INFINITY], &greedy, 0.9), 1);
        for how in [greedy, sampling(2, 0.5)] {
            assert_eq!(choose(&mut [0.0, f32::NAN], &[], &how, 0.0), None);
        }
        assert_eq!(choose(&mut [0.0, f32::INFINITY], &[], &sampling(0, 1.0), 0.0), None);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let good = Decoding::greedy(1, vec![9]);
        good.check(10).expect("a way to choose");
        let refused = |how: Decoding| how.check(10).expect_err("out of range").to_string();
        let of = |change: &dyn Fn(&mut Decoding)| {
            let mut how = good.clone();
            change(&mut how);
            refused(how)
        };
        assert_eq!(of(&|h| h.tokens_max = 0), "tokens_max must be at least 1, got 0");
        assert_eq!(of(&|h| h.temperature = -0.5), "temperature must be 0 or more, got -0.5");
        assert_eq!(of(&|h| h.temperature = f32::NAN), "temperature must be 0 or more, got NaN");
        assert_eq!(of(&|h| h.top_p = 0.0), "top_p must be above 0 and at most 1, got 0");
        assert_eq!(of(&|h| h.top_p = 1.5), "top_p must be above 0 and at most 1, got 1.5");
        assert_eq!(of(&|h| h.repetition_penalty = 0.0), "repetition_penalty must be above 0, got 0");
        assert_eq!(of(&|h| h.stops = vec![10]), "stops must be ids below 10, the size of the vocabulary, got 10");
    }

    #[test]
    fn chance_is_even_and_each_place_has_its_own() {
        let n = 20_000;
        for of in [|i| chance(i as u64, 0, 0), |i| chance(0, i, 3), |i| chance(7, 2, i)] {
            let mut bins = [0usize; 20];
            (0..n).for_each(|i| bins[(of(i) * 20.0) as usize] += 1);
            let even = n as f64 / 20.0;
            let square: f64 = bins.iter().map(|b| (*b as f64 - even).powi(2) / even).sum();
            // χ² of 19 degrees: above 43.8 once in a thousand.
            assert!(square < 43.8, "χ² of {square}");
        }
        assert_ne!(chance(1, 2, 3), chance(1, 3, 2));
    }
}
