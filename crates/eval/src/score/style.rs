//! How ordinary an answer would be among the texts of a reference corpus: in length, punctuation, person, politeness, and
//! in the characters that stand beside each other. English and Chinese alike.
//!
//! Each feature of a text is compared with the feature's distribution over the reference: its closeness is the share of
//! reference texts that are at least as far out on the same side, to within what nobody notices, twice, at most 1. A text like
//! them has ½ on average or more, one that none of them is like has 0. No weights are learned, and none could be tuned to please.

use crate::words::{count_sentences, count_words, is_punctuation, words};
use std::collections::HashMap;

/// Of a reference corpus, so many texts are kept, evenly spread over it.
pub const TEXTS_MAX: usize = 20_000;
/// Longest run of characters that is counted.
const GRAM_MAX: usize = 3;
/// Figures of a text: the mean of the aspects, then each of [`ASPECTS`].
pub const WIDTH: usize = 1 + ASPECTS.len();
pub const ASPECTS: [&str; 5] = ["length", "punctuation", "person", "politeness", "characters"];
/// Which aspect each feature belongs to.
const FEATURES: [usize; 11] = [0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 3];
/// By how much a feature may differ unnoticed: logarithms of lengths, marks a sentence, shares of words.
const UNNOTICED: [f64; FEATURES.len()] = [0.15, 0.15, 0.25, 0.25, 0.25, 0.25, 0.25, 0.02, 0.02, 0.02, 0.02];
const UNNOTICED_LIKENESS: f64 = 0.05;

const I: [&str; 5] = ["i", "me", "my", "mine", "myself"];
const WE: [&str; 5] = ["we", "us", "our", "ours", "ourselves"];
const YOU: [&str; 5] = ["you", "your", "yours", "yourself", "yourselves"];
const POLITE: [&str; 17] = [
    "please",
    "thank",
    "thanks",
    "sorry",
    "apologise",
    "apologize",
    "apologies",
    "apology",
    "kindly",
    "appreciate",
    "welcome",
    "regards",
    "sincerely",
    "dear",
    "grateful",
    "pardon",
    "gladly",
];
const POLITE_ZH: [&str; 11] = ["请", "谢谢", "感谢", "多谢", "抱歉", "对不起", "不好意思", "麻烦", "劳驾", "您", "祝"];

/// A reference corpus, measured.
pub struct Reference {
    /// [features][texts], each sorted.
    features: Vec<Vec<f64>>,
    grams: HashMap<u64, f64>,
    norm: f64,
    /// Likeness of each text's characters to those of all others, sorted.
    likeness: Vec<f64>,
    /// What the reference texts have themselves, on average.
    pub own: [f64; WIDTH],
}

impl Reference {
    /// None of an empty corpus.
    pub fn of(texts: &[String]) -> Option<Reference> {
        if texts.is_empty() {
            return None;
        }
        let measured: Vec<_> = texts.iter().map(|text| features(text)).collect();
        let features = (0..FEATURES.len())
            .map(|f| {
                let mut column: Vec<f64> = measured.iter().map(|m| m[f]).collect();
                column.sort_by(f64::total_cmp);
                column
            })
            .collect();
        let mut grams: HashMap<u64, f64> = HashMap::new();
        let each: Vec<Vec<(u64, f64)>> = texts.iter().map(|text| counts(text)).collect();
        each.iter().flatten().for_each(|(gram, n)| *grams.entry(*gram).or_default() += n);
        // Whole numbers: their sum is exact in any order.
        let norm = square(grams.values().copied());
        let mut likeness: Vec<f64> = each.iter().map(|own| cosine(own, &grams, norm, Side::Inside)).collect();
        likeness.sort_by(f64::total_cmp);
        let mut reference = Reference { features, grams, norm, likeness, own: [0.0; WIDTH] };
        let mut sum = [0.0; WIDTH];
        for (measured, own) in measured.iter().zip(&each) {
            let like = cosine(own, &reference.grams, reference.norm, Side::Inside);
            let scores = reference.scores(measured, like);
            sum.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
        }
        reference.own = sum.map(|sum| sum / texts.len() as f64);
        Some(reference)
    }

    /// The mean over the aspects, and each of [`ASPECTS`]; from 0 to 1.
    pub fn closeness(&self, text: &str) -> [f64; WIDTH] {
        self.scores(&features(text), cosine(&counts(text), &self.grams, self.norm, Side::Outside))
    }

    fn scores(&self, measured: &[f64; FEATURES.len()], like: f64) -> [f64; WIDTH] {
        let mut out = [0.0; WIDTH];
        for (f, aspect) in FEATURES.iter().enumerate() {
            let n = FEATURES.iter().filter(|a| *a == aspect).count() as f64;
            out[1 + aspect] += two_sided(&self.features[f], measured[f], UNNOTICED[f]) / n;
        }
        // More alike than the reference's own texts is no fault.
        out[WIDTH - 1] = (2.0 * share_at_most(&self.likeness, like + UNNOTICED_LIKENESS)).min(1.0);
        out[0] = out[1..].iter().sum::<f64>() / ASPECTS.len() as f64;
        out
    }
}

fn two_sided(sorted: &[f64], x: f64, unnoticed: f64) -> f64 {
    let at_least = (sorted.len() - sorted.partition_point(|v| *v < x - unnoticed)) as f64 / sorted.len() as f64;
    (2.0 * share_at_most(sorted, x + unnoticed).min(at_least)).min(1.0)
}

fn share_at_most(sorted: &[f64], x: f64) -> f64 {
    sorted.partition_point(|v| *v <= x) as f64 / sorted.len() as f64
}

/// In the order of [`FEATURES`].
fn features(text: &str) -> [f64; FEATURES.len()] {
    let all = (count_words(text).max(1)) as f64;
    let sentences = count_sentences(text).max(1) as f64;
    let marks = |set: &str| text.chars().filter(|c| set.contains(*c)).count() as f64 / sentences;
    let others =
        text.chars().filter(|c| is_punctuation(*c) && !",，、.。!！?？".contains(*c)).count() as f64 / sentences;
    let words = words(text);
    let of = |list: &[&str]| words.iter().filter(|w| list.contains(&w.as_str())).count() as f64;
    let occurs = |list: &[&str]| list.iter().map(|w| text.matches(w).count()).sum::<usize>() as f64;
    let (we, i) = (occurs(&["我们", "咱们"]), occurs(&["我"]));
    [
        all.ln(),
        (all / sentences).ln(),
        marks(",，、"),
        marks(".。"),
        marks("!！"),
        marks("?？"),
        others,
        (of(&I) + (i - occurs(&["我们"])).max(0.0)) / all,
        (of(&WE) + we) / all,
        (of(&YOU) + occurs(&["你", "您"])) / all,
        (of(&POLITE) + occurs(&POLITE_ZH)) / all,
    ]
}

/// Whether a text's own counts are in those it is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Inside,
    Outside,
}

/// Likeness of a text's counts to all others'.
fn cosine(own: &[(u64, f64)], all: &HashMap<u64, f64>, norm: f64, side: Side) -> f64 {
    let (mut dot, mut rest) = (0.0, norm);
    for (gram, n) in own {
        let whole = all.get(gram).copied().unwrap_or(0.0);
        let others = if side == Side::Inside { whole - n } else { whole };
        rest += others * others - whole * whole;
        dot += n * others;
    }
    let length = (square(own.iter().map(|(_, n)| *n)) * rest.max(0.0)).sqrt();
    if length > 0.0 { dot / length } else { 0.0 }
}

fn square(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum()
}

/// Runs of one to three characters, and how often each stands in a text; by hash, in its order.
fn counts(text: &str) -> Vec<(u64, f64)> {
    let letters: Vec<char> = text.to_lowercase().chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    let mut grams: Vec<u64> = (1..=GRAM_MAX).flat_map(|n| letters.windows(n).map(hash)).collect();
    grams.sort_unstable();
    grams.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as f64)).collect()
}

/// FNV-1a over code points: the same on every machine.
pub(super) fn hash(letters: &[char]) -> u64 {
    letters.iter().fold(0xcbf2_9ce4_8422_2325, |h, c| (h ^ u64::from(*c)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(n: usize) -> Vec<String> {
        (0..n)
            .map(|i| {
                let thing = ["card", "parcel", "refund", "account"][i % 4];
                let more = ["We will write to you today.", "Please wait until Monday, and thank you."][i / 4 % 2];
                format!("Dear customer, thank you for asking about your {thing}. {more}")
            })
            .collect()
    }

    #[test]
    fn texts_of_the_reference_are_near_and_others_are_not() {
        let reference = Reference::of(&letters(40)).expect("texts");
        let near =
            reference.closeness("Dear customer, thank you for asking about your letter. We will write to you today.");
        let blunt = reference.closeness("no");
        let chinese = reference.closeness("我不知道！！！你自己看吧！！！");
        assert!(near[0] > 0.6 && near[0] > reference.own[0] - 0.2, "{near:?} {:?}", reference.own);
        assert!(blunt[0] < 0.3 && chinese[0] < 0.3, "{blunt:?} {chinese:?}");
        assert_eq!(chinese[1 + 4], 0.0, "no run of characters is shared");
        assert_eq!(blunt[1], 0.0, "shorter than all of them");
    }

    #[test]
    fn person_and_politeness_in_chinese() {
        let f = features("我们会尽快为您处理，请您放心。我也谢谢你。");
        let words = count_words("我们会尽快为您处理，请您放心。我也谢谢你。") as f64;
        assert_eq!(f[7..], [1.0 / words, 1.0 / words, 3.0 / words, 4.0 / words]);
    }

    #[test]
    fn a_share_of_a_distribution_by_hand() {
        let sorted = [0.0, 0.0, 0.0, 1.0, 4.0];
        // Twice 3/5 is over 1; 2/5 are at least 1; only one reaches 4; none 5.
        assert_eq!([0.0, 1.0, 4.0, 5.0].map(|x| two_sided(&sorted, x, 0.0)), [1.0, 0.8, 0.4, 0.0]);
        assert_eq!([4.5, 5.0].map(|x| two_sided(&sorted, x, 0.5)), [0.4, 0.0]);
    }
}
