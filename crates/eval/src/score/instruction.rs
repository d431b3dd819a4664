//! What an answer was told to be like, where a program can tell whether it is (after IFEval, Zhou et al. 2023).

use crate::score::schema::{Around, bare};
use crate::words::{count_characters, count_sentences, count_words};
use measures::language::{Language, identify};
use serde::{Deserialize, Serialize};

/// One thing that must hold of an answer. Keywords are compared without case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// Each ideograph is a word.
    Words(Span),
    /// Without white space.
    Characters(Span),
    Sentences(Span),
    /// Paragraphs: runs of lines that are not blank.
    Paragraphs(Span),
    /// All of them.
    Contains(Vec<String>),
    /// At least one of them.
    ContainsAny(Vec<String>),
    ContainsNone(Vec<String>),
    StartsWith(String),
    EndsWith(String),
    Format(Form),
    /// ISO 639-1: `en`, `zh`.
    Language(Language),
}

/// A number of things, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    #[serde(default)]
    pub min: usize,
    #[serde(default = "unbounded")]
    pub max: usize,
}

fn unbounded() -> usize {
    usize::MAX
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The whole answer, or what its one fence holds.
    Json,
    /// Every line that is not blank begins with `-`, `*`, `•` or a number with `.`, `)` or `、`.
    List,
    /// A Markdown table: a head, a line of dashes, and at least one row of as many cells.
    Table,
    /// One line.
    Line,
}

/// Whether a check holds.
pub fn holds(check: &Check, answer: &str) -> bool {
    let answer = answer.trim();
    let lower = answer.to_lowercase();
    let has = |word: &String| lower.contains(&word.to_lowercase());
    let within = |n: usize, span: &Span| (span.min..=span.max).contains(&n);
    match check {
        Check::Words(span) => within(count_words(answer), span),
        Check::Characters(span) => within(count_characters(answer), span),
        Check::Sentences(span) => within(count_sentences(answer), span),
        Check::Paragraphs(span) => within(paragraphs(answer), span),
        Check::Contains(words) => words.iter().all(has),
        Check::ContainsAny(words) => words.iter().any(has),
        Check::ContainsNone(words) => !words.iter().any(has),
        Check::StartsWith(text) => lower.starts_with(&text.to_lowercase()),
        Check::EndsWith(text) => lower.ends_with(&text.to_lowercase()),
        Check::Format(form) => is_form(*form, answer),
        Check::Language(language) => identify(answer).is_some_and(|found| found.language == *language),
    }
}

/// Why a check could never hold or never fail; None for a sound one.
pub fn unsound(check: &Check) -> Option<String> {
    let span = |s: &Span| (s.min > s.max).then(|| format!("min {} is above max {}", s.min, s.max));
    let words = |w: &[String]| w.iter().any(|w| w.trim().is_empty()).then(|| "an empty keyword".to_owned());
    match check {
        Check::Words(s) | Check::Characters(s) | Check::Sentences(s) | Check::Paragraphs(s) => span(s),
        Check::Contains(w) | Check::ContainsAny(w) | Check::ContainsNone(w) if w.is_empty() => {
            Some("no keywords".to_owned())
        }
        Check::Contains(w) | Check::ContainsAny(w) | Check::ContainsNone(w) => words(w),
        Check::StartsWith(text) | Check::EndsWith(text) => words(std::slice::from_ref(text)),
        Check::Format(_) | Check::Language(_) => None,
    }
}

fn paragraphs(answer: &str) -> usize {
    let blank = |line: &str| line.trim().is_empty();
    let lines: Vec<&str> = answer.lines().collect();
    (0..lines.len()).filter(|i| !blank(lines[*i]) && (*i == 0 || blank(lines[i - 1]))).count()
}

fn is_form(form: Form, answer: &str) -> bool {
    let mut lines = answer.lines().map(str::trim).filter(|line| !line.is_empty());
    match form {
        Form::Json => serde_json::from_str::<serde::de::IgnoredAny>(bare(answer, Around::Fence)).is_ok(),
        Form::List => !answer.is_empty() && lines.all(is_item),
        Form::Table => is_table(&lines.collect::<Vec<_>>()),
        Form::Line => lines.count() == 1,
    }
}

fn is_item(line: &str) -> bool {
    if ["- ", "* ", "• ", "•"].iter().any(|mark| line.starts_with(mark)) {
        return true;
    }
    let digits = line.chars().take_while(char::is_ascii_digit).count();
    digits > 0 && line[digits..].starts_with(['.', ')', '、', '）'])
}

fn is_table(lines: &[&str]) -> bool {
    let cells = |line: &str| -> Option<usize> { line.contains('|').then(|| line.trim_matches('|').split('|').count()) };
    let dashes = |line: &str| {
        line.trim_matches('|').split('|').all(|cell| {
            let cell = cell.trim();
            cell.contains('-') && cell.chars().all(|c| matches!(c, '-' | ':'))
        })
    };
    let [head, rule, rows @ ..] = lines else { return false };
    let wide = cells(head);
    wide.is_some()
        && dashes(rule)
        && cells(rule) == wide
        && !rows.is_empty()
        && rows.iter().all(|row| cells(row) == wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str) -> Check {
        serde_saphyr::from_str(yaml).unwrap_or_else(|e| panic!("{yaml}: {e}"))
    }

    #[test]
    fn checks_hold_where_they_should() {
        let table = "| a | b |\n|---|:-:|\n| 1 | 2 |";
        for (yaml, yes, no) in [
            ("words: {min: 2, max: 3}", "two words", "one"),
            ("words: {max: 4}", "您好世界", "您好，世界！啊"),
            ("characters: {max: 3}", "a b c", "abcd"),
            ("sentences: {min: 2}", "One. Two.", "One"),
            ("paragraphs: {min: 2, max: 2}", "a\nb\n\nc", "a\nb"),
            ("contains: [Refund, 退款]", "a refund: 退款", "a refund"),
            ("contains_any: [yes, no]", "No.", "perhaps"),
            ("contains_none: [sorry]", "fine", "SORRY"),
            ("starts_with: Dear", " dear Ms Li", "Hello dear"),
            ("ends_with: '。'", "好的。", "好的"),
            ("format: json", "```json\n{\"a\": [1]}\n```", "{a: 1}"),
            ("format: list", "- a\n- b", "Here:\n- a"),
            ("format: list", "1. a\n2. b", ""),
            ("format: table", table, "| a | b |\n| 1 | 2 |"),
            ("format: line", "one\n", "one\ntwo"),
            ("language: zh", "我们马上为您处理这个问题。", "We will look into this right away."),
            ("language: en", "We will look into this right away.", "我们马上为您处理这个问题。"),
        ] {
            let check = check(yaml);
            assert!(holds(&check, yes), "{yaml}: {yes}");
            assert!(!holds(&check, no), "{yaml}: {no}");
            assert_eq!(unsound(&check), None, "{yaml}");
        }
    }

    #[test]
    fn what_can_never_hold_is_no_check() {
        for yaml in ["words: {min: 3, max: 2}", "contains: []", "contains_none: ['']", "starts_with: ' '"] {
            assert!(unsound(&check(yaml)).is_some(), "{yaml}");
        }
    }
}
