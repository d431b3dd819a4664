//! Whether answers sound like the reference or like the base: a small classifier that learns the one from the other, and judges
//! the tuned model's answers.
//!
//! Logistic regression on hashed runs of one to four characters. No answer is judged by a classifier that has seen an answer to
//! the same question: rows are halved, and each half is judged by what was learned on the other.

use crate::score::style::hash;

/// Of each kind, so many texts are learned from.
pub const TEXTS_MAX: usize = 4_000;
const WEIGHTS: usize = 1 << 15;
const GRAM_MAX: usize = 4;
const EPOCHS: usize = 8;
const RATE: f64 = 2.0;

/// Tells the reference's voice from the base's.
pub struct Voice {
    weights: Vec<f64>,
    bias: f64,
}

impl Voice {
    /// Learns from texts of both kinds, in turn.
    pub fn learn(reference: &[String], base: &[String]) -> Voice {
        let mut voice = Voice { weights: vec![0.0; WEIGHTS], bias: 0.0 };
        let of = |texts: &[String]| texts.iter().take(TEXTS_MAX).map(|text| features(text)).collect::<Vec<_>>();
        let (yes, no) = (of(reference), of(base));
        if yes.is_empty() || no.is_empty() {
            return voice;
        }
        // As many of either, so that neither is likelier from the start.
        let steps = yes.len().max(no.len());
        for epoch in 0..EPOCHS {
            let rate = RATE / (1.0 + epoch as f64);
            for i in 0..steps {
                voice.step(&yes[i % yes.len()], 1.0, rate);
                voice.step(&no[i % no.len()], 0.0, rate);
            }
        }
        voice
    }

    /// Whether a text sounds like the reference.
    pub fn is_reference(&self, text: &str) -> bool {
        self.margin(&features(text)) > 0.0
    }

    fn margin(&self, features: &[(usize, f64)]) -> f64 {
        self.bias + features.iter().map(|(at, x)| self.weights[*at] * x).sum::<f64>()
    }

    fn step(&mut self, features: &[(usize, f64)], label: f64, rate: f64) {
        let p = 1.0 / (1.0 + (-self.margin(features)).exp());
        let push = rate * (label - p);
        self.bias += 0.1 * push;
        features.iter().for_each(|(at, x)| self.weights[*at] += push * x);
    }
}

/// Of length 1.
fn features(text: &str) -> Vec<(usize, f64)> {
    let letters: Vec<char> = std::iter::once('\u{2}').chain(text.trim().chars()).chain(['\u{3}']).collect();
    let mut at: Vec<usize> =
        (1..=GRAM_MAX).flat_map(|n| letters.windows(n).map(|gram| (hash(gram) % WEIGHTS as u64) as usize)).collect();
    at.sort_unstable();
    let counts: Vec<(usize, f64)> =
        at.chunk_by(|a, b| a == b).map(|same| (same[0], (same.len() as f64).sqrt())).collect();
    let length = counts.iter().map(|(_, n)| n * n).sum::<f64>().sqrt();
    counts.into_iter().map(|(at, n)| (at, n / length)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unseen_texts_are_told_apart() {
        let of = |words: [&str; 2], range: std::ops::Range<usize>| -> Vec<String> {
            range.map(|i| format!("{} {} {}", words[0], ["card", "loan", "cash"][i % 3], words[1])).collect()
        };
        let (polite, blunt) = (["Dear customer, your", "is on its way."], ["yeah the", "thing is somewhere lol"]);
        let voice = Voice::learn(&of(polite, 0..30), &of(blunt, 0..9));
        assert!(voice.is_reference("Dear customer, your parcel is on its way."));
        assert!(!voice.is_reference("yeah the parcel thing is somewhere lol"));
        let chinese = Voice::learn(&["尊敬的客户，您好。".to_owned()], &["不知道啊".to_owned()]);
        assert!(chinese.is_reference("尊敬的客户，请稍等。") && !chinese.is_reference("我不知道"));
    }
}
