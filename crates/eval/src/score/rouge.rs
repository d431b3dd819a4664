//! ROUGE (Lin 2004): F1 of shared words, pairs of words, and the longest common subsequence, as google-research's `rouge_score`
//! computes them without a stemmer. Ideographs are words.

use crate::words::words;
use std::collections::HashMap;

/// ROUGE-1, ROUGE-2 and ROUGE-L, each from 0 to 1.
pub fn rouge(answer: &str, reference: &str) -> [f64; 3] {
    let (answer, reference) = (words(answer), words(reference));
    [shared(&answer, &reference, 1), shared(&answer, &reference, 2), longest(&answer, &reference)]
}

fn shared(answer: &[String], reference: &[String], n: usize) -> f64 {
    let (given, wanted) = (counts(answer, n), counts(reference, n));
    let matched: usize = given.iter().map(|(gram, count)| (*count).min(wanted.get(gram).copied().unwrap_or(0))).sum();
    let of = |words: &[String]| (words.len() + 1).saturating_sub(n);
    f1(matched, of(answer), of(reference))
}

fn counts(words: &[String], n: usize) -> HashMap<&[String], usize> {
    let mut out = HashMap::new();
    words.windows(n).for_each(|gram| *out.entry(gram).or_default() += 1);
    out
}

/// Of the longest common subsequence.
fn longest(answer: &[String], reference: &[String]) -> f64 {
    let mut row = vec![0usize; reference.len() + 1];
    for word in answer {
        let mut diagonal = 0;
        for (j, other) in reference.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if word == other { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    f1(row[reference.len()], answer.len(), reference.len())
}

fn f1(matched: usize, given: usize, wanted: usize) -> f64 {
    if matched == 0 {
        return 0.0;
    }
    2.0 * matched as f64 / (given + wanted) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 请您稍等 against 请稍等您: 4 characters each, all shared; pairs 请您 您稍 稍等 against 请稍 稍等 等您, one
    /// shared; longest common subsequence 请稍等.
    #[test]
    fn chinese_by_hand() {
        assert_eq!(rouge("请您稍等", "请稍等，您"), [1.0, 1.0 / 3.0, 0.75]);
    }
}
