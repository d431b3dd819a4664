//! What speaks for and against an answer.
//!
//! Nothing here is trained: each part of the score is a rule that a person can check on the row. Good answers differ so much that
//! only what is plainly wrong costs much; the score ranks rows for a look, it does not grade style.

mod phrases;
pub mod prints;
pub mod tokens;
mod words;

use crate::Spot;
use phrases::{ASKS_FOR_MUCH, ASKS_FOR_MUCH_PAIRS, EMPTY_WORDS, NEVER_LAST, PLACEHOLDERS};
use rustc_hash::FxHashSet;
use tokens::{Class, Token, chained, stem, tokens};
pub use words::{WordList, WordListError};

/// Rows with a lower score are findings of kind `low`.
pub const LOW_BELOW: f32 = 0.4;

/// How good an answer is, from 0 to 1, and why.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Quality {
    /// The product of the parts, each raised to its [`Aspect::weight`].
    pub score: f32,
    pub parts: [(Aspect, f32); Aspect::ALL.len()],
    /// How sure it is, from 0.5 to 0.9, that the answer ignores its question; `None` where nothing speaks for it.
    ///
    /// Judges one row alone, and only long answers to questions that name several things of which the answer takes up none.
    /// Answers that many rows share are found over the whole set, in `scan::answers`.
    pub off_topic: Option<f32>,
}

/// One thing that is asked of an answer. Each is from 0 (wrong) to 1 (nothing to say against it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// There is an answer, and it is not much shorter than what was asked for: a few characters in reply to "write an essay".
    Answered,
    /// It shares content words (by their stems, or pairs of ideographs) with the question. Many good answers share none, so this
    /// part never falls below a half, unless the answer is in another language than it should be.
    Relevant,
    /// It goes on instead of repeating itself: distinct runs of four words among all.
    Varied,
    /// It comes to an end: no sentence, list or code block is cut off.
    Finished,
    /// It is text: mostly letters, digits and ideographs, and none of the faults of encodings, markup or role tokens.
    Clean,
    /// It is not the question over again.
    Own,
    /// It says something: no stand-in ("N/A", 暂无), no refusal, no holes to be filled in.
    Specific,
    /// A long answer has lines or sentences of a length that can be read.
    Structured,
}

/// What other measures have found out about the row, so that it is not measured twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Faults of the answer. Those below a confidence of one half do not count.
    pub faults: &'a [Spot],
}

impl Aspect {
    pub const ALL: [Self; 8] = [
        Self::Answered,
        Self::Relevant,
        Self::Varied,
        Self::Finished,
        Self::Clean,
        Self::Own,
        Self::Specific,
        Self::Structured,
    ];

    /// The name in `scan.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Relevant => "relevant",
            Self::Varied => "varied",
            Self::Finished => "finished",
            Self::Clean => "clean",
            Self::Own => "own",
            Self::Specific => "specific",
            Self::Structured => "structured",
        }
    }

    /// The exponent of this part in the score: how much it counts where it is below 1.
    pub fn weight(self) -> f32 {
        match self {
            Self::Answered | Self::Varied | Self::Clean | Self::Own => 1.0,
            Self::Specific => 0.8,
            Self::Finished => 0.6,
            Self::Relevant | Self::Structured => 0.3,
        }
    }
}

/// Scores an answer to a question.
pub fn quality(instruction: &str, response: &str, known: &Known) -> Quality {
    let question = Read::new(instruction);
    let answer = Read::new(response);
    let part = |aspect| match aspect {
        Aspect::Answered => answered(&question, &answer),
        Aspect::Relevant => relevant(&question, &answer, known),
        Aspect::Varied => varied(&answer, known),
        Aspect::Finished => finished(&answer, known),
        Aspect::Clean => clean(&answer, known),
        Aspect::Own => own(&question, &answer),
        Aspect::Specific => specific(&answer, known),
        Aspect::Structured => structured(&answer),
    };
    let parts = Aspect::ALL.map(|aspect| (aspect, part(aspect)));
    let score = parts.iter().map(|(aspect, value)| value.powf(aspect.weight())).product();
    Quality { score, parts, off_topic: off_topic(&question, &answer, known) }
}

fn off_topic(question: &Read, answer: &Read, known: &Known) -> Option<f32> {
    let comparable = question.is_joined() == answer.is_joined() && !has(known, "language_mismatch");
    if !comparable || answer.looks_like_code() || question.looks_like_code() {
        return None;
    }
    let (asked, said) = (question.stems.len(), answer.stems.len());
    if asked < ASKED_MIN || said < SAID_MIN || question.shared_with(answer) > 0 {
        return None;
    }
    let surplus = (asked - ASKED_MIN) as f32 / 10.0 + (said - SAID_MIN) as f32 / 200.0;
    Some((0.5 + 0.4 * surplus).min(0.9))
}

/// Distinct content words of a question, and of an answer, from which on sharing none says something.
const ASKED_MIN: usize = 16;
const SAID_MIN: usize = 50;

/// Tokens of a text beyond these are not looked at.
const TOKENS_MAX: usize = 4_000;

/// A text's tokens, counted.
struct Read<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// What it is about: stems of content words and pairs of ideographs.
    stems: FxHashSet<u64>,
    /// Words and ideographs.
    content: usize,
    /// Weight of all content.
    weight: u32,
    ideographs: usize,
    symbols: u32,
}

impl<'a> Read<'a> {
    fn new(text: &'a str) -> Self {
        let tokens: Vec<Token> = tokens(text).take(TOKENS_MAX).collect();
        let of = |class| tokens.iter().filter(move |token| token.class == class);
        let ideographs = of(Class::Ideograph).count();
        let content = ideographs + of(Class::Word).count();
        let weight = tokens.iter().filter(|token| token.is_content()).map(|token| token.weight).sum();
        let symbols = tokens.iter().filter(|token| !token.is_content()).map(|token| token.weight).sum();
        Self { stems: stems(text, &tokens), text, content, weight, ideographs, symbols, tokens }
    }

    /// Whether most of it is in a script without spaces.
    fn is_joined(&self) -> bool {
        self.ideographs * 2 > self.content
    }

    fn shared_with(&self, other: &Self) -> usize {
        self.stems.iter().filter(|stem| other.stems.contains(*stem)).count()
    }

    /// A fenced block, or lines that end as those of programs, tables and formulas do.
    fn looks_like_code(&self) -> bool {
        const SYMBOLS: f32 = 0.12;
        let ends = |line: &&str| line.trim_end().ends_with(['{', '}', ';', ')', ':', '>', '|', '\\']);
        let dense = self.symbols as f32 > SYMBOLS * (self.weight + self.symbols) as f32;
        self.text.contains("```") || dense && self.text.lines().filter(ends).count() * 3 >= self.text.lines().count()
    }

    fn whole(&self) -> u64 {
        self.tokens.iter().filter(|token| token.is_content()).fold(0, |all, token| chained(all, token.hash))
    }
}

fn stems(text: &str, tokens: &[Token]) -> FxHashSet<u64> {
    let empty = &*EMPTY_WORDS;
    let mut stems = FxHashSet::default();
    let mut before: Option<&Token> = None;
    for token in tokens {
        let says = token.is_content() && !empty.contains(&token.hash);
        match token.class {
            Class::Word if says && token.weight > 1 => {
                stems.insert(stem(text, token));
            }
            Class::Ideograph if says => {
                let joined = before.filter(|b| b.class == Class::Ideograph && b.at.end == token.at.start);
                if let Some(before) = joined {
                    stems.insert(chained(before.hash, token.hash));
                }
            }
            _ => {}
        }
        before = Some(token).filter(|_| says);
    }
    stems
}

fn answered(question: &Read, answer: &Read) -> f32 {
    const MUCH: u32 = 20;
    match answer.weight {
        0 if answer.symbols == 0 => 0.0,
        0 => 0.3,
        short if short < MUCH && asks_for_much(question) => 0.3 + 0.7 * short as f32 / MUCH as f32,
        _ => 1.0,
    }
}

/// Only where the question opens so: further on, such words may be part of what it is about.
fn asks_for_much(question: &Read) -> bool {
    const OPENING: usize = 12;
    let opening = &question.tokens[..question.tokens.len().min(OPENING)];
    let pair = |two: &[Token]| ASKS_FOR_MUCH_PAIRS.contains(&chained(chained(0, two[0].hash), two[1].hash));
    opening.iter().take(2).any(|token| ASKS_FOR_MUCH.contains(&token.hash)) || opening.windows(2).any(pair)
}

fn relevant(question: &Read, answer: &Read, known: &Known) -> f32 {
    const ENOUGH: f32 = 0.15;
    const SAYS_LITTLE: usize = 3;
    if has(known, "language_mismatch") {
        return 0.2;
    }
    if question.stems.len() < SAYS_LITTLE || answer.stems.len() < SAYS_LITTLE {
        return 1.0;
    }
    let share = question.shared_with(answer) as f32 / question.stems.len() as f32;
    0.5 + 0.5 * (share / ENOUGH).min(1.0)
}

fn varied(answer: &Read, known: &Known) -> f32 {
    const RUN: usize = 4;
    const TOO_SHORT: usize = 24;
    let known = if has(known, "repetition") { 0.2 } else { 1.0 };
    let content: Vec<u64> = answer.tokens.iter().filter(|token| token.is_content()).map(|token| token.hash).collect();
    if content.len() < TOO_SHORT {
        return known;
    }
    let runs = content.len() + 1 - RUN;
    let distinct: FxHashSet<u64> =
        content.windows(RUN).map(|run| run.iter().fold(0, |all, &one| chained(all, one))).collect();
    let repeated = 1.0 - distinct.len() as f32 / runs as f32;
    falling(repeated, 0.4, 0.9).min(known)
}

fn finished(answer: &Read, known: &Known) -> f32 {
    let known = if has(known, "truncated") { 0.2 } else { 1.0 };
    let open_fence = if answer.text.matches("```").count() % 2 == 1 { 0.4 } else { 1.0 };
    ending(answer.text.trim_end(), answer).min(open_fence).min(known)
}

fn ending(text: &str, answer: &Read) -> f32 {
    const PROSE_WEIGHT: u32 = 80;
    const LINE_BYTES: usize = 60;
    let (Some(last), Some(token)) = (text.chars().next_back(), answer.tokens.last()) else { return 1.0 };
    if matches!(last, ',' | '，' | '、' | '(' | '（' | '“' | '「') {
        return 0.3;
    }
    if answer.tokens.len() == TOKENS_MAX || !token.is_content() || answer.weight < PROSE_WEIGHT {
        return 1.0;
    }
    // A heading, an item of a list, a line of a poem or of a table ends as it likes; running text does not.
    let line = text.rsplit('\n').next().unwrap_or(text);
    let sentences = line.matches(['.', '!', '?', '。', '！', '？', ';', '；']).count();
    if sentences == 0 && line.len() < text.len().min(LINE_BYTES) {
        return 1.0;
    }
    match NEVER_LAST.contains(&token.hash) {
        true => 0.2,
        false if sentences > 0 && token.class != Class::Word => 0.5,
        false if sentences > 1 && last.is_alphabetic() => 0.6,
        false => 1.0,
    }
}

fn clean(answer: &Read, known: &Known) -> f32 {
    const SHORT: u32 = 12;
    let faults = ["mojibake", "replacement_char", "html", "control_code", "nul", "zero_width", "role_token"];
    let found = faults.iter().filter(|kind| has(known, kind)).count();
    let known = 0.5f32.powi(found.min(4) as i32);
    let all = answer.weight + answer.symbols;
    if all < SHORT || answer.looks_like_code() {
        return known;
    }
    let noise = answer.symbols as f32 / all as f32;
    falling(noise, 0.5, 0.95) * known
}

fn own(question: &Read, answer: &Read) -> f32 {
    // A word may well be its own answer ("Repeat: yes").
    const SHORT: u32 = 16;
    if question.weight < SHORT || answer.weight < SHORT {
        return 1.0;
    }
    // Of texts that are not read to their end, what is read may be the same and the rest not.
    let read = question.tokens.len() < TOKENS_MAX || question.text.trim() == answer.text.trim();
    if read && question.whole() == answer.whole() {
        return 0.1;
    }
    let told = |read: &Read| read.text.trim().trim_end_matches(['.', '?', '!', '。', '？', '！']).len();
    let echo = answer.text.trim().starts_with(question.text.trim());
    // Reading the question out first is a habit of base models; completion tasks do it rightly, with more to follow.
    if echo && told(answer) < told(question) + told(question) / 4 { 0.5 } else { 1.0 }
}

fn specific(answer: &Read, known: &Known) -> f32 {
    const SHORT: usize = 8;
    if answer.content <= SHORT && PLACEHOLDERS.contains(&answer.whole()) && answer.content > 0 {
        return 0.2;
    }
    let known = if has(known, "refusal") { 0.4 } else { 1.0 };
    let holes = ["[insert ", "<insert ", "{{", "[your answer", "[answer]"];
    let is_hole = |(at, _): (usize, &str)| {
        let starts = |hole: &&str| {
            let text = answer.text.as_bytes().get(at..at + hole.len());
            text.is_some_and(|text| text.eq_ignore_ascii_case(hole.as_bytes()))
        };
        holes.iter().any(starts)
    };
    let filled: f32 = if answer.text.match_indices(['[', '<', '{']).any(is_hole) { 0.7 } else { 1.0 };
    filled.min(known)
}

fn structured(answer: &Read) -> f32 {
    const LONG: u32 = 400;
    const LINE_WEIGHT: u32 = 2_000;
    if answer.weight < LONG {
        return 1.0;
    }
    let lines = answer.text.lines().filter(|line| !line.trim().is_empty()).count().max(1) as u32;
    let is_end = |c: &char| matches!(c, '.' | '!' | '?' | ';' | ':' | '\n' | '。' | '！' | '？' | '；' | '：');
    let ends = answer.text.chars().filter(is_end).count().max(1) as u32;
    let line = falling((answer.weight / lines) as f32, LINE_WEIGHT as f32, 4.0 * LINE_WEIGHT as f32);
    let sentence = falling((answer.weight / ends) as f32, LONG as f32, 4.0 * LONG as f32);
    0.3 + 0.7 * line.min(sentence)
}

fn has(known: &Known, kind: &str) -> bool {
    known.faults.iter().any(|fault| fault.kind == kind && fault.confidence >= 0.5)
}

/// 1 up to `from`, 0 from `to` on, straight between.
fn falling(x: f32, from: f32, to: f32) -> f32 {
    (1.0 - (x - from) / (to - from)).clamp(0.0, 1.0)
}
