//! Sentences, instructions and answers in English and Chinese.
//!
//! Texts are expanded from lists of words and patterns in sixteen subjects. They need not be true; they read like text that
//! people write, and two of them share no more than texts of their length and subject do.

mod forms;
mod grammar;

use crate::random::Random;
use grammar::{Focus, Grammar};
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    English,
    Chinese,
}

/// A row of instruction data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub instruction: String,
    /// What the instruction is about, often empty.
    pub input: String,
    pub output: String,
}

/// A row like those of real sets: mostly prose and lists, some tables, code, JSON, sums, labels and translations. Answers have
/// a median of about 400 bytes and a long tail; a row with a short answer has a long question.
pub fn example(language: Language, random: &mut Random) -> Example {
    forms::example(language, random)
}

/// `sentences` sentences on one subject.
pub fn paragraph(language: Language, random: &mut Random, sentences: usize) -> String {
    let mut focus = focus(language, 6 + sentences, random);
    paragraph_on(language, &mut focus, random, sentences)
}

/// A sentence of about 5 to 40 words, or 10 to 60 Chinese characters.
pub fn sentence(language: Language, random: &mut Random) -> String {
    paragraph(language, random, 1)
}

static ENGLISH: LazyLock<Grammar> = LazyLock::new(|| {
    let numerals = &["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    Grammar::new(include_str!("texts/english.txt"), numerals)
});
static CHINESE: LazyLock<Grammar> = LazyLock::new(|| {
    let numerals = &["两", "三", "四", "五", "六", "七", "八", "九", "十", "十二", "3", "5", "6", "8"];
    Grammar::new(include_str!("texts/chinese.txt"), numerals)
});

fn grammar(language: Language) -> &'static Grammar {
    match language {
        Language::English => &ENGLISH,
        Language::Chinese => &CHINESE,
    }
}

fn focus(language: Language, words: usize, random: &mut Random) -> Focus {
    let grammar = grammar(language);
    let subject = random.below(grammar.subjects());
    grammar.focus(subject, words, random)
}

fn paragraph_on(language: Language, focus: &mut Focus, random: &mut Random, sentences: usize) -> String {
    let mut out = String::new();
    for i in 0..sentences {
        if i > 0 && language == Language::English {
            out.push(' ');
        }
        out.push_str(&line(language, "s", focus, random));
    }
    out
}

/// An item of a list with a capital at its beginning.
fn line(language: Language, list: &str, focus: &mut Focus, random: &mut Random) -> String {
    let mut text = grammar(language).expand(list, focus, random);
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}
