//! Patterns of words that stand around a request.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::lexicon::{Classes, LEXICON};
use super::tokens::Token;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// "I am trying to": counts where the text has nothing better.
    Hint,
    /// "I want to".
    Wish,
    Ask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Base,
    Gerund,
    Past,
}

/// A frame that was found; the verb is at or soon after `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed {
    pub next: usize,
    pub weight: Weight,
    pub form: Form,
}

enum Item {
    One(Vec<&'static str>),
    Maybe(Vec<&'static str>),
    Gap,
}

struct Frame {
    weight: Weight,
    form: Form,
    items: Vec<Item>,
}

/// Words that a gap of a frame may have.
const GAP_MAX: usize = 5;

struct Frames {
    all: Vec<Frame>,
    /// By each word that can begin it.
    by_first: FxHashMap<&'static str, Vec<usize>>,
}

static FRAMES: LazyLock<Frames> = LazyLock::new(read);

/// Every way a frame can be read at `at`, the longest first.
pub fn frames(tokens: &[Token], at: usize, end: usize) -> Vec<Framed> {
    let Frames { all, by_first } = &*FRAMES;
    let Some(first) = by_first.get(tokens[at].low) else { return Vec::new() };
    let mut found = Vec::new();
    let mut ends = Vec::new();
    for &i in first {
        let frame = &all[i];
        ends.clear();
        follow(&frame.items, &tokens[..end], at, &mut ends);
        found.extend(ends.iter().map(|&next| Framed { next, weight: frame.weight, form: frame.form }));
    }
    found.sort_by_key(|framed| (std::cmp::Reverse(framed.next), std::cmp::Reverse(framed.weight)));
    found.dedup();
    found
}

fn read() -> Frames {
    let mut all = Vec::new();
    let mut by_first: FxHashMap<&'static str, Vec<usize>> = FxHashMap::default();
    for line in include_str!("frames.txt").lines().filter(|line| !line.starts_with('#')) {
        let Some((kind, pattern)) = line.split_once(": ") else { continue };
        let weight = match kind.split(' ').next() {
            Some("ask") => Weight::Ask,
            Some("wish") => Weight::Wish,
            _ => Weight::Hint,
        };
        let form = match kind.rsplit(' ').next() {
            Some("gerund") => Form::Gerund,
            Some("past") => Form::Past,
            _ => Form::Base,
        };
        let items: Vec<Item> = pattern.split(' ').map(item).collect();
        for item in &items {
            let (words, goes_on) = match item {
                Item::One(words) => (words, false),
                Item::Maybe(words) => (words, true),
                Item::Gap => break,
            };
            for &word in words {
                by_first.entry(word).or_default().push(all.len());
            }
            if !goes_on {
                break;
            }
        }
        all.push(Frame { weight, form, items });
    }
    Frames { all, by_first }
}

fn item(text: &'static str) -> Item {
    if text == "..." || text == "?..." {
        return Item::Gap;
    }
    match text.strip_prefix('?') {
        Some(words) => Item::Maybe(words.split('|').collect()),
        None => Item::One(text.split('|').collect()),
    }
}

fn follow(items: &[Item], tokens: &[Token], at: usize, ends: &mut Vec<usize>) {
    let Some((item, rest)) = items.split_first() else {
        if !ends.contains(&at) {
            ends.push(at);
        }
        return;
    };
    let here = tokens.get(at);
    match item {
        Item::One(words) => match here {
            Some(token) if words.contains(&token.low) => follow(rest, tokens, at + 1, ends),
            Some(token) if is_filler(token) => follow(items, tokens, at + 1, ends),
            _ => {}
        },
        Item::Maybe(words) => {
            follow(rest, tokens, at, ends);
            match here {
                Some(token) if words.contains(&token.low) => follow(rest, tokens, at + 1, ends),
                Some(token) if is_filler(token) => follow(items, tokens, at + 1, ends),
                _ => {}
            }
        }
        Item::Gap => {
            for n in 0..=GAP_MAX {
                follow(rest, tokens, at + n, ends);
                if !tokens.get(at + n).is_some_and(Token::is_word) {
                    break;
                }
            }
        }
    }
}

/// Adverbs and "please" may stand between the words of a frame.
fn is_filler(token: &Token) -> bool {
    let class = LEXICON.classes(token.low);
    token.is_word()
        && token.low != "not"
        && (class.has(Classes::ADVERB) && !class.has(Classes::PREP) || token.low.ends_with("ly") && token.low.len() > 4)
}
