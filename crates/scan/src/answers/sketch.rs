//! What is kept of a row: hashes of its first question and answer, of their tokens, and of long passages.

use crate::Row;
use measures::Part;
use measures::quality::prints::{self, Print};
use measures::quality::tokens::{Class, Token, chained, tokens};
use rustc_hash::FxHashSet;

/// What of a row is compared with other rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Sketch {
    pub(super) file: u32,
    pub(super) line: u64,
    /// The names of the row's fields, which positions count in.
    pub(super) names: Vec<String>,
    /// The first question and its answer; none where the row has only text, or one side is empty.
    pub(super) pair: Option<Pair>,
    pub(super) prints: Vec<(u8, Print)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    /// Of the system's text, the instruction and the input.
    pub question: u64,
    pub question_weight: u32,
    pub answer: u64,
    /// Of the first and of the last words of an answer that is longer than these.
    pub head: Option<u64>,
    pub tail: Option<u64>,
    pub answer_weight: u32,
    pub form: Form,
    /// Of the instruction and the input.
    pub tokens: Vec<Mark>,
    /// Of the answer, its first content tokens.
    pub echo: Vec<u32>,
}

/// How a row's question and answer are to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub turns: Turns,
    pub answer: AnswerForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turns {
    One,
    /// Questions follow the first answer, so that it need not be about the first question alone.
    Several,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerForm {
    Text,
    /// Short, or one word without a blank: the name of a class, a number, yes.
    Label,
}

/// A token of a question and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The token's hash; its class is in the low bits.
    pub hash: u32,
    pub field: u8,
    /// Code points of the field.
    pub start: u32,
    pub chars: u16,
}

/// Answers of at least this weight are texts; so many letters are a short sentence.
pub(super) const TEXT_WEIGHT: u32 = 32;

/// The weight of the head and of the tail of an answer.
const END_WEIGHT: u32 = 32;
/// Of longer questions the first and the last half of so many tokens.
const TOKENS_MAX: usize = 512;
const ECHO_MAX: usize = 64;
/// About 200,000 bytes of text.
const PRINTS_MAX: usize = 12_000;
const START_MAX: usize = (1 << 24) - 1;
const FIELDS_MAX: usize = 255;

/// A sketch of a row. Pure: call it from any thread.
pub fn sketch(row: &Row) -> Sketch {
    Sketch {
        file: row.file,
        line: row.line,
        names: row.fields.iter().take(FIELDS_MAX).map(|field| field.name.clone()).collect(),
        pair: pair(row),
        prints: row_prints(row),
    }
}

impl Mark {
    pub fn class(self) -> Class {
        match self.hash & 7 {
            0 => Class::Word,
            1 => Class::Ideograph,
            2 => Class::Operator,
            3 => Class::Symbol,
            _ => Class::Invisible,
        }
    }

    pub fn is_content(self) -> bool {
        matches!(self.class(), Class::Word | Class::Ideograph)
    }
}

fn hash_with_class(token: &Token) -> u32 {
    let class = match token.class {
        Class::Word => 0,
        Class::Ideograph => 1,
        Class::Operator => 2,
        Class::Symbol => 3,
        Class::Invisible => 4,
    };
    (token.hash >> 32) as u32 & !7 | class
}

fn pair(row: &Row) -> Option<Pair> {
    let asked = row.fields.iter().position(|field| field.part == Part::Instruction && !field.text.trim().is_empty())?;
    let answered = asked + row.fields[asked..].iter().position(|field| field.part == Part::Response)?;
    let later = row.fields[answered..].iter().any(|field| field.part == Part::Instruction);
    let question = Question::read(&row.fields[..answered.min(FIELDS_MAX)]);
    let answer = Answer::read(&row.fields[answered].text)?;
    let turns = if later { Turns::Several } else { Turns::One };
    Some(Pair {
        question: question.hash,
        question_weight: question.weight,
        answer: answer.hash,
        head: answer.head,
        tail: answer.tail,
        answer_weight: answer.weight,
        form: Form { turns, answer: answer.form },
        tokens: question.marks,
        echo: answer.echo,
    })
}

struct Question {
    hash: u64,
    weight: u32,
    marks: Vec<Mark>,
}

impl Question {
    fn read(fields: &[crate::Field]) -> Self {
        let mut question = Self { hash: 0, weight: 0, marks: Vec::new() };
        for (at, field) in fields.iter().enumerate() {
            if !matches!(field.part, Part::System | Part::Instruction) {
                continue;
            }
            let mut before = Chars { text: &field.text, byte: 0, chars: 0 };
            for token in tokens(&field.text) {
                if token.is_kept() {
                    question.hash = chained(question.hash, token.hash);
                }
                if field.part == Part::Instruction {
                    question.weight += if token.is_content() { token.weight } else { 0 };
                    let start = before.at(token.at.start);
                    let chars = (before.at(token.at.end) - start).min(usize::from(u16::MAX)) as u16;
                    let mark = Mark { hash: hash_with_class(&token), field: at as u8, start: start as u32, chars };
                    question.keep(mark, start);
                }
            }
        }
        question
    }

    /// Keeps the first half of [`TOKENS_MAX`] and, of what follows, the last half.
    fn keep(&mut self, mark: Mark, start: usize) {
        if start > START_MAX {
            return;
        }
        if self.marks.len() == TOKENS_MAX + TOKENS_MAX / 2 {
            self.marks.drain(TOKENS_MAX / 2..TOKENS_MAX);
        }
        self.marks.push(mark);
    }
}

/// Counts code points up to byte positions that only grow.
struct Chars<'a> {
    text: &'a str,
    byte: usize,
    chars: usize,
}

impl Chars<'_> {
    fn at(&mut self, byte: usize) -> usize {
        self.chars += self.text.as_bytes()[self.byte..byte].iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
        self.byte = byte;
        self.chars
    }
}

struct Answer {
    hash: u64,
    head: Option<u64>,
    tail: Option<u64>,
    weight: u32,
    form: AnswerForm,
    echo: Vec<u32>,
}

impl Answer {
    /// `None` for an answer of white space.
    fn read(text: &str) -> Option<Self> {
        let all: Vec<Token> = tokens(text).collect();
        let kept = |token: &&Token| token.is_kept();
        let mut said: Vec<&Token> = all.iter().filter(kept).collect();
        if said.is_empty() {
            said = all.iter().collect();
        }
        let chain = |tokens: &[&Token]| tokens.iter().fold(0, |hash, token| chained(hash, token.hash));
        let weight = said.iter().map(|token| token.weight).sum();
        let head = enough(said.iter());
        let tail = enough(said.iter().rev());
        let longer = weight > END_WEIGHT;
        let one_word = !text.trim().contains(char::is_whitespace) && text.is_ascii();
        let echo = all.iter().filter(|token| token.is_content()).take(ECHO_MAX);
        (!said.is_empty()).then(|| Self {
            hash: chain(&said),
            head: longer.then(|| chain(&said[..head])),
            tail: longer.then(|| chain(&said[said.len() - tail..])),
            weight,
            form: if weight < TEXT_WEIGHT || one_word { AnswerForm::Label } else { AnswerForm::Text },
            echo: echo.map(hash_with_class).collect(),
        })
    }
}

/// How many of the tokens it takes to weigh [`END_WEIGHT`].
fn enough<'a>(tokens: impl Iterator<Item = &'a &'a Token>) -> usize {
    let mut weight = 0;
    let short = tokens.take_while(|token| {
        let more = weight < END_WEIGHT;
        weight += token.weight;
        more
    });
    short.count()
}

/// Each print once a row, where it stands first. A system's text is the same for all by design.
fn row_prints(row: &Row) -> Vec<(u8, Print)> {
    let mut seen = FxHashSet::default();
    let mut found = Vec::new();
    let fields = row.fields.iter().take(FIELDS_MAX).enumerate();
    for (at, field) in fields.filter(|(_, field)| field.part != Part::System) {
        for print in prints::prints(&field.text, PRINTS_MAX - found.len()) {
            if print.at.end as usize <= START_MAX && seen.insert(print.hash) {
                found.push((at as u8, print));
            }
        }
    }
    found
}
