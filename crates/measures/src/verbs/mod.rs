//! What an instruction asks for: the verb of its first request, that verb's object and its level in Bloom's taxonomy,
//! how many things are asked for, and how many constraints come with them.
//!
//! Rules and lexicons, no model: a text is cut into sentences and clauses, frames ("could you", 麻烦帮我) are peeled
//! off, and what stands where a request's verb stands is looked up. The definitions are those of
//! `fixtures/labels/README.md`, which also judges it.

mod chinese;
mod classes;
mod diversity;
mod english;

use std::ops::Range;

pub use diversity::{Diversity, PAIRS_MAX, Petal, Sector, Sunburst};

/// The language whose rules read the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tongue {
    English,
    Chinese,
}

/// Bloom's levels as revised by Anderson and Krathwohl (2001), lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Remember,
    Understand,
    Apply,
    Analyse,
    Evaluate,
    Create,
}

impl Level {
    pub const ALL: [Level; 6] =
        [Level::Remember, Level::Understand, Level::Apply, Level::Analyse, Level::Evaluate, Level::Create];

    pub fn name(self) -> &'static str {
        match self {
            Level::Remember => "remember",
            Level::Understand => "understand",
            Level::Apply => "apply",
            Level::Analyse => "analyse",
            Level::Evaluate => "evaluate",
            Level::Create => "create",
        }
    }

    fn of_name(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// The first request of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    /// Lemma in lower case; Chinese verbs without complements.
    pub verb: String,
    /// Head of the direct object; none for clauses, pronouns, names, quotations and code.
    pub noun: Option<String>,
    pub level: Level,
    /// Where the verb stands in the text, in bytes.
    pub at: Range<usize>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analysis {
    /// None for questions, greetings, facts, titles and code.
    pub root: Option<Root>,
    /// Distinct requests: joined verbs and sentences that each ask for something. 0 exactly when there is no root.
    pub steps: u32,
    /// Limits of length, forms, bans and demands on how it is done.
    pub constraints: u32,
}

/// Bytes from the start of a text that are read, and from its end where the start asks for nothing:
/// a pasted document is no instruction.
const HEAD_MAX: usize = 4096;
const TAIL_MAX: usize = 1024;

pub fn analyse(text: &str, tongue: Tongue) -> Analysis {
    let read = match tongue {
        Tongue::English => english::analyse,
        Tongue::Chinese => chinese::analyse,
    };
    let head = read(&text[..text.floor_char_boundary(HEAD_MAX)]);
    if head.root.is_some() || text.len() <= HEAD_MAX {
        return head;
    }
    let start = text.ceil_char_boundary(HEAD_MAX.max(text.len() - TAIL_MAX));
    let mut tail = read(&text[start..]);
    if let Some(root) = &mut tail.root {
        root.at = root.at.start + start..root.at.end + start;
    }
    tail.constraints += head.constraints;
    tail
}

/// A lexicon file: lines of `key: word word`, `#` for remarks.
fn lexicon(file: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(':'))
        .flat_map(|(key, words)| words.split_whitespace().map(move |word| (key.trim(), word)))
}
