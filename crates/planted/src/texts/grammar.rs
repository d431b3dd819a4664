//! Lists of words and patterns, and texts expanded from them.

use crate::random::Random;
use std::collections::HashMap;

/// Lists by subject. Patterns refer to lists of their own subject first, then to those that all subjects share.
pub struct Grammar {
    names: Vec<String>,
    common: Lists,
    subjects: Vec<Lists>,
    numerals: &'static [&'static str],
}

/// By the index of the list's name.
type Lists = Vec<Vec<Item>>;

/// An alternative of a list.
#[derive(Default)]
struct Item {
    tokens: Vec<Token>,
    /// Of a verb: base, past, -ing, third person.
    forms: Option<[String; 4]>,
}

enum Token {
    Text(String),
    List(usize, Form),
    /// Small, in words.
    Numeral,
    Number,
    Percent,
    /// One of the values that are handed in.
    Value(usize),
}

#[derive(Clone, Copy)]
enum Form {
    Base,
    Past,
    Ing,
    Third,
}

/// What one example is about: a subject and some of its words, so that question and answer speak of the same things.
pub struct Focus {
    pub subject: usize,
    /// Indices into each list of the subject.
    chosen: Vec<Vec<u16>>,
    /// What `{x}`, `{y}` and `{z}` stand for.
    pub values: [u32; 3],
    /// Items, each with its list, that are not to be used again soon: words in one sentence, patterns in one text.
    words: Vec<(usize, usize)>,
    patterns: Vec<(usize, usize)>,
}

const COMMON: &str = "common";
const VALUES: [&str; 3] = ["x", "y", "z"];
/// Patterns lead to words in fewer steps than this.
const DEPTH_MAX: usize = 12;
/// Draws of an item that is not used already.
const DRAWS_MAX: usize = 4;
/// So many patterns are remembered.
const PATTERNS_MAX: usize = 20;

impl Grammar {
    /// # Panics
    /// Where the text, which is part of the program, refers to a list that it lacks.
    pub fn new(text: &str, numerals: &'static [&'static str]) -> Self {
        let sections = sections(text);
        let mut names: Vec<String> = Vec::new();
        let mut index = HashMap::new();
        for (name, _) in sections.iter().flat_map(|(_, lists)| lists) {
            index.entry(*name).or_insert_with(|| {
                names.push((*name).to_owned());
                names.len() - 1
            });
        }
        let compiled = |lists: &[(&str, Vec<&str>)]| {
            let mut all: Lists = names.iter().map(|_| Vec::new()).collect();
            for (name, items) in lists {
                all[index[name]].extend(items.iter().map(|item| parse(item, *name == "verb", &index)));
            }
            all
        };
        let common = sections.iter().find(|(name, _)| *name == COMMON).map(|(_, lists)| compiled(lists));
        let subjects = sections.iter().filter(|(name, _)| *name != COMMON).map(|(_, lists)| compiled(lists)).collect();
        Self { common: common.unwrap_or_default(), subjects, names, numerals }
    }

    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// A focus on one subject with about `words` of each of its lists.
    pub fn focus(&self, subject: usize, words: usize, random: &mut Random) -> Focus {
        let mut chosen = Vec::with_capacity(self.names.len());
        for list in &self.subjects[subject] {
            let mut all: Vec<u16> = (0..list.len() as u16).collect();
            random.shuffle(&mut all);
            all.truncate((words * list.len() / 24).max(2));
            chosen.push(all);
        }
        Focus { subject, chosen, values: [0; 3], words: Vec::new(), patterns: Vec::new() }
    }

    /// An item of a list, without what its patterns leave open.
    ///
    /// # Panics
    /// Where there is no such list.
    pub fn expand(&self, list: &str, focus: &mut Focus, random: &mut Random) -> String {
        let list = self.names.iter().position(|name| name == list).expect("a list of the grammar");
        focus.words.clear();
        let mut out = String::new();
        self.list(list, Form::Base, focus, random, &mut out, 0);
        out
    }

    fn list(&self, list: usize, form: Form, focus: &mut Focus, random: &mut Random, out: &mut String, depth: usize) {
        assert!(depth < DEPTH_MAX, "{} refers to itself", self.names[list]);
        let item = self.draw(list, focus, random, depth);
        if let Some(forms) = &item.forms {
            out.push_str(&forms[form as usize]);
            return;
        }
        for token in &item.tokens {
            match token {
                Token::Text(text) => out.push_str(text),
                Token::List(inner, form) => self.list(*inner, *form, focus, random, out, depth + 1),
                Token::Numeral => out.push_str(random.of::<&str>(self.numerals)),
                Token::Number => out.push_str(&(13 + random.below(968)).to_string()),
                Token::Percent => out.push_str(&(3 + random.below(95)).to_string()),
                Token::Value(at) => out.push_str(&focus.values[*at].to_string()),
            }
        }
    }
}

impl Grammar {
    fn draw(&self, list: usize, focus: &mut Focus, random: &mut Random, depth: usize) -> &Item {
        let (items, chosen) = match focus.chosen[list].as_slice() {
            [] => (&self.common[list], None),
            chosen => (&self.subjects[focus.subject][list], Some(chosen)),
        };
        let used = if depth == 0 { &mut focus.patterns } else { &mut focus.words };
        let mut at = 0;
        for _ in 0..DRAWS_MAX {
            at = match chosen {
                Some(chosen) => usize::from(*random.of(chosen)),
                None => random.below(items.len()),
            };
            if !used.contains(&(list, at)) {
                break;
            }
        }
        used.push((list, at));
        if depth == 0 && used.len() > PATTERNS_MAX {
            used.remove(0);
        }
        &items[at]
    }
}

type Section<'a> = (&'a str, Vec<(&'a str, Vec<&'a str>)>);

fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push((name, Vec::new()));
            continue;
        }
        let Some((_, lists)) = sections.last_mut() else { continue };
        let items = match line.split_once(": ") {
            Some((name, items)) if !line.starts_with(' ') => {
                lists.push((name, Vec::new()));
                items
            }
            _ => line,
        };
        if let Some((_, list)) = lists.last_mut() {
            list.extend(items.split(';').map(str::trim).filter(|item| !item.is_empty()));
        }
    }
    sections
}

fn parse(item: &str, is_verb: bool, index: &HashMap<&str, usize>) -> Item {
    if is_verb {
        return Item { tokens: Vec::new(), forms: Some(forms(item)) };
    }
    let mut tokens = Vec::new();
    let mut rest = item;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').expect("a closing brace");
        if !before.is_empty() {
            tokens.push(Token::Text(before.replace("\\n", "\n")));
        }
        tokens.push(reference(name, index));
        rest = after;
    }
    if !rest.is_empty() {
        tokens.push(Token::Text(rest.replace("\\n", "\n")));
    }
    Item { tokens, forms: None }
}

fn reference(name: &str, index: &HashMap<&str, usize>) -> Token {
    if let Some(at) = VALUES.iter().position(|value| *value == name) {
        return Token::Value(at);
    }
    match name {
        "n" => return Token::Number,
        "n2" => return Token::Numeral,
        "pct" => return Token::Percent,
        _ => {}
    }
    let (list, form) = match name.split_once('.') {
        Some((list, "ed")) => (list, Form::Past),
        Some((list, "ing")) => (list, Form::Ing),
        Some((list, "s")) => (list, Form::Third),
        _ => (name, Form::Base),
    };
    match index.get(list) {
        Some(at) => Token::List(*at, form),
        None => panic!("no list {list}"),
    }
}

/// The forms of `base` or `base>past>ing`.
fn forms(verb: &str) -> [String; 4] {
    let mut given = verb.split('>');
    let base = given.next().unwrap_or_default();
    let stem = base.strip_suffix('e').unwrap_or(base);
    let y = base.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    let past = match (given.next(), y) {
        (Some(past), _) => past.to_owned(),
        (None, Some(stem)) => format!("{stem}ied"),
        (None, None) => format!("{stem}ed"),
    };
    let ing = given.next().map_or_else(|| format!("{stem}ing"), str::to_owned);
    let hisses = ["s", "x", "z", "ch", "sh"].iter().any(|end| base.ends_with(end));
    let third = match y {
        Some(stem) => format!("{stem}ies"),
        None if hisses => format!("{base}es"),
        None => format!("{base}s"),
    };
    [base.to_owned(), past, ing, third]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_inflected() {
        let expected = [
            ("water", "watered watering waters"),
            ("prune", "pruned pruning prunes"),
            ("dry", "dried drying dries"),
            ("play", "played playing plays"),
            ("switch", "switched switching switches"),
            ("chop>chopped>chopping", "chopped chopping chops"),
            ("freeze>froze>freezing", "froze freezing freezes"),
        ];
        for (verb, expected) in expected {
            let [_, past, ing, third] = forms(verb);
            assert_eq!(format!("{past} {ing} {third}"), expected);
        }
    }

    #[test]
    fn patterns_are_expanded_with_the_words_of_their_subject() {
        let grammar =
            Grammar::new("[common]\ns: {verb.ing} {object}: {x}, {n2}\n[a]\nverb: knead\nobject: dough\n", &["two"]);
        let mut random = Random::new(1);
        let mut focus = grammar.focus(0, 24, &mut random);
        focus.values = [7, 0, 0];
        assert_eq!(grammar.expand("s", &mut focus, &mut random), "kneading dough: 7, two");
    }
}
