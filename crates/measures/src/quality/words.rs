//! A user's list of words that must not occur.

use super::tokens::is_ideograph;
use crate::Spot;
use aho_corasick::{AhoCorasick, BuildError};

const WORDS_MAX: usize = 200_000;
const WORD_BYTES_MAX: usize = 200;
const CONFIDENCE: f32 = 0.9;

/// Words to look for, whatever their case. None are shipped: what is toxic depends on who asks.
#[derive(Clone, Debug)]
pub struct WordList {
    finder: AhoCorasick,
    edges: Vec<Edges>,
}

/// Where a match must not go on: an end that is a letter of a script with spaces has to be the end of a word.
#[derive(Clone, Copy, Debug)]
struct Edges {
    start: bool,
    end: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum WordListError {
    #[error("no words; expected one a line")]
    Empty,
    #[error("{got} words; expected at most {WORDS_MAX}")]
    TooMany { got: usize },
    #[error("line {line}: a word of {bytes} bytes; expected at most {WORD_BYTES_MAX}")]
    TooLong { line: usize, bytes: usize },
    #[error("the words cannot be searched for together: {0}")]
    Build(#[from] BuildError),
}

impl WordList {
    /// From a file's text: one word or phrase a line; empty lines and those that begin with `#` do not count.
    pub fn new(lines: &str) -> Result<Self, WordListError> {
        let mut words = Vec::new();
        for (at, line) in lines.lines().enumerate() {
            let word = line.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
            if word.is_empty() || word.starts_with('#') {
                continue;
            }
            if word.len() > WORD_BYTES_MAX {
                return Err(WordListError::TooLong { line: at + 1, bytes: word.len() });
            }
            words.push(folded(word));
        }
        match words.len() {
            0 => return Err(WordListError::Empty),
            got if got > WORDS_MAX => return Err(WordListError::TooMany { got }),
            _ => {}
        }
        let edges = words.iter().map(|word| Edges {
            start: word.chars().next().is_some_and(is_spaced),
            end: word.chars().next_back().is_some_and(is_spaced),
        });
        Ok(Self { edges: edges.collect(), finder: AhoCorasick::new(&words)? })
    }

    /// Where words of the list stand, in order and apart; of overlapping ones the first and longest.
    pub fn find(&self, text: &str) -> Vec<Spot> {
        let text = folded(text);
        let whole = |found: &aho_corasick::Match| {
            let edges = self.edges[found.pattern().as_usize()];
            let before = text[..found.start()].chars().next_back();
            let after = text[found.end()..].chars().next();
            !(edges.start && before.is_some_and(is_spaced) || edges.end && after.is_some_and(is_spaced))
        };
        let mut found: Vec<_> = self.finder.find_overlapping_iter(&text).filter(whole).map(|m| m.range()).collect();
        found.sort_by_key(|at| (at.start, std::cmp::Reverse(at.end)));
        let mut end = 0;
        found.retain(|at| {
            let apart = at.start >= end;
            end = if apart { at.end } else { end };
            apart
        });
        let spot = |at| Spot { kind: "toxic", rule: "word_list", at, confidence: CONFIDENCE };
        found.into_iter().map(spot).collect()
    }
}

/// In lower case where that takes as many bytes, so that positions stay those of the text.
fn folded(text: &str) -> String {
    let fold = |c: char| {
        let mut lower = c.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(one), None) if one.len_utf8() == c.len_utf8() => one,
            _ => c,
        }
    };
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.chars().map(fold).collect() }
}

fn is_spaced(c: char) -> bool {
    c.is_alphanumeric() && !is_ideograph(c)
}
