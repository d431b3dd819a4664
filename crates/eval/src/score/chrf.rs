//! chrF: how many character n-grams two texts share (Popović 2015), as sacreBLEU computes it: n from 1 to 6, β = 2, white
//! space left out, case kept, orders that one of the texts is too short for left out.

use std::collections::HashMap;

const ORDER: usize = 6;
const BETA: f64 = 2.0;
/// Statistics of one pair: for each order the n-grams of the answer, of the reference, and those matched.
pub const WIDTH: usize = 3 * ORDER;

/// Statistics that add up over rows.
pub fn statistics(answer: &str, reference: &str) -> [f64; WIDTH] {
    let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<Vec<char>>();
    let (answer, reference) = (letters(answer), letters(reference));
    let mut out = [0.0; WIDTH];
    for n in 1..=ORDER {
        let (given, wanted) = (counts(&answer, n), counts(&reference, n));
        let matched: usize =
            given.iter().map(|(gram, count)| (*count).min(wanted.get(gram).copied().unwrap_or(0))).sum();
        let total = |counts: &HashMap<&[char], usize>| counts.values().sum::<usize>() as f64;
        // As sacreBLEU: what cannot be matched by any reference is not held against the answer.
        let of_answer = if wanted.is_empty() { 0.0 } else { total(&given) };
        out[3 * (n - 1)..3 * n].copy_from_slice(&[of_answer, total(&wanted), matched as f64]);
    }
    out
}

/// From 0 to 100, of statistics of one pair or summed over many.
pub fn score(statistics: &[f64]) -> f64 {
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for order in statistics.chunks_exact(3) {
        if order[0] > 0.0 && order[1] > 0.0 {
            precision += order[2] / order[0];
            recall += order[2] / order[1];
            orders += 1.0;
        }
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (precision / orders, recall / orders);
    let factor = BETA * BETA;
    100.0 * (1.0 + factor) * precision * recall / (factor * precision + recall)
}

fn counts(letters: &[char], n: usize) -> HashMap<&[char], usize> {
    let mut out = HashMap::new();
    letters.windows(n).for_each(|gram| *out.entry(gram).or_default() += 1);
    out
}
