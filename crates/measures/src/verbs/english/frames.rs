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
    for &i in first {
        let frame = &all[i];
        let ends = follow(&frame.items, &tokens[..end], at);
        found.extend(ends.into_iter().map(|next| Framed { next, weight: frame.weight, form: frame.form }));
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

/// Every token at which the items can have ended, in order. All ways are followed at once, item by item: one after the
/// other they double with every filler.
fn follow(items: &[Item], tokens: &[Token], at: usize) -> Vec<usize> {
    let mut places = vec![at];
    for item in items {
        let mut next = Vec::new();
        // Fillers that another place has already passed over lead where they led it.
        let mut passed = 0;
        for &place in &places {
            match item {
                Item::Gap => {
                    let words = tokens[place..].iter().take(GAP_MAX).take_while(|token| token.is_word()).count();
                    next.extend(place..=place + words);
                }
                Item::One(words) | Item::Maybe(words) => {
                    let maybe = matches!(item, Item::Maybe(_));
                    if place < passed {
                        continue;
                    }
                    for here in place..=tokens.len() {
                        passed = here + 1;
                        if maybe {
                            next.push(here);
                        }
                        match tokens.get(here) {
                            Some(token) if words.contains(&token.low) => next.push(here + 1),
                            Some(token) if is_filler(token) => continue,
                            _ => {}
                        }
                        break;
                    }
                }
            }
        }
        next.sort_unstable();
        next.dedup();
        places = next;
    }
    places
}

/// Adverbs and "please" may stand between the words of a frame.
fn is_filler(token: &Token) -> bool {
    let class = LEXICON.classes(token.low);
    token.is_word()
        && token.low != "not"
        && (class.has(Classes::ADVERB) && !class.has(Classes::PREP) || token.low.ends_with("ly") && token.low.len() > 4)
}
