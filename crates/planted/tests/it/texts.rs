use planted::random::Random;
use planted::texts::{Example, Language, example, paragraph, sentence};
use std::collections::HashSet;

const LANGUAGES: [Language; 2] = [Language::English, Language::Chinese];

fn examples(language: Language, n: usize, seed: u64) -> Vec<Example> {
    let mut random = Random::new(seed);
    (0..n).map(|_| example(language, &mut random)).collect()
}

fn whole(e: &Example) -> String {
    format!("{}\n{}\n{}", e.instruction, e.input, e.output)
}

/// Hashes of five characters in a row, sorted, each once.
fn shingles(text: &str) -> Vec<u64> {
    let text: Vec<char> = text.chars().collect();
    let hash = |w: &[char]| w.iter().fold(0, |hash: u64, c| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*c));
    let mut all: Vec<u64> = text.windows(5).map(hash).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let (mut i, mut j, mut both) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        both += usize::from(a[i] == b[j]);
        (i, j) = (i + usize::from(a[i] <= b[j]), j + usize::from(b[j] <= a[i]));
    }
    both as f64 / (a.len() + b.len() - both) as f64
}

#[test]
fn a_seed_gives_the_same_texts() {
    for language in LANGUAGES {
        assert_eq!(examples(language, 50, 3), examples(language, 50, 3));
        assert_ne!(examples(language, 50, 3), examples(language, 50, 4));
    }
}

/// All pairs of 300 rows a language.
#[test]
fn unrelated_rows_are_unlike() {
    for language in LANGUAGES {
        let rows = examples(language, 300, 11);
        let sets: Vec<_> = rows.iter().map(|e| shingles(&whole(e))).collect();
        let mut most = (0.0, 0, 0);
        for i in 0..sets.len() {
            for j in 0..i {
                let value = jaccard(&sets[i], &sets[j]);
                if value > most.0 {
                    most = (value, i, j);
                }
            }
        }
        let (value, i, j) = most;
        assert!(value < 0.3, "{language:?}: {value}\n{:?}\n\n{:?}", rows[i], rows[j]);
    }
}

#[test]
fn no_instruction_comes_twice() {
    for language in LANGUAGES {
        let rows = examples(language, 3000, 5);
        let distinct: HashSet<_> = rows.iter().map(|e| (&e.instruction, &e.input)).collect();
        assert_eq!(distinct.len(), rows.len(), "{language:?}");
    }
}

#[test]
fn lengths_are_those_of_real_sets() {
    for language in LANGUAGES {
        let rows = examples(language, 2000, 8);
        let mut outputs: Vec<usize> = rows.iter().map(|e| e.output.len()).collect();
        outputs.sort_unstable();
        let at = |share: f64| outputs[(share * 2000.0) as usize];
        // Of answers in GSM8K (2,000), alpaca_en_demo and alpaca_zh_demo together: 30 bytes at 2 %, 296 in the middle, 1,548 at 96 %,
        // 2,725 at 99.9 %.
        assert!((250..420).contains(&at(0.5)), "{language:?}: median {}", at(0.5));
        assert!(at(0.02) < 60 && at(0.96) > 1300 && at(0.999) < 4500, "{language:?}: {} to {}", at(0.02), at(0.98));
        for e in &rows {
            let length = match language {
                Language::English => e.instruction.split_whitespace().count(),
                Language::Chinese => e.instruction.chars().count() / 2,
            };
            assert!((4..=90).contains(&length), "{length}: {}", e.instruction);
            assert!(!e.output.is_empty());
        }
    }
}

#[test]
fn texts_are_well_formed() {
    for language in LANGUAGES {
        for e in examples(language, 2000, 21) {
            let text = whole(&e);
            for bad in ["{", "}", "  ", " .", " ,", "..", ">", "。。", "，，", "，。", "的的", "\u{fffd}"] {
                let is_code = e.output.contains("```");
                assert!(is_code || !text.contains(bad), "{bad:?} in {text}");
            }
        }
        for text in (0..500).map(|seed| sentence(language, &mut Random::new(seed))) {
            let ends = match language {
                Language::English => text.ends_with('.') && text.starts_with(|c: char| !c.is_lowercase()),
                Language::Chinese => text.ends_with('。') && !text.contains(' '),
            };
            assert!(ends, "{text}");
        }
    }
}

#[test]
fn paragraphs_have_the_sentences_that_were_asked_for() {
    let mut random = Random::new(2);
    assert_eq!(paragraph(Language::Chinese, &mut random, 7).matches('。').count(), 7);
    assert_eq!(paragraph(Language::English, &mut random, 7).matches(". ").count(), 6);
}
