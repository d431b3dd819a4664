//! What is known of single words: classes, verbs with their levels, and how forms lead back to lemmas.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::super::classes::classes;
use super::super::{Level, lexicon};

classes! {
    DET = "det", ARTICLE = "articles", OBJECT = "object", SUBJECT = "subject", WH = "wh", QUESTION = "question",
    AUX = "aux", PREP = "prep", CONJ = "conj", ADVERB = "adverb", OPENER = "opener", GREETING = "greeting",
    VOCATIVE = "vocative", LEADING = "leading", SETTING = "setting", LABEL = "label", PARTICLE = "particle",
    DOUBLE = "double", ADJECTIVE = "adjective", ING = "ing", NOUN = "noun", PREPOSITIONAL = "prepositional",
}

impl Classes {
    /// Words that are no verbs, nouns or adjectives.
    pub const CLOSED: Classes = Classes::DET
        .or(Classes::OBJECT)
        .or(Classes::SUBJECT)
        .or(Classes::WH)
        .or(Classes::AUX)
        .or(Classes::PREP)
        .or(Classes::CONJ)
        .or(Classes::ADVERB);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verb {
    pub level: Level,
    /// As often a noun or an adjective.
    pub ambiguous: bool,
    /// Hardly ever the start of a request, unless an object follows plainly.
    pub rare: bool,
}

pub struct Lexicon {
    verbs: FxHashMap<&'static str, Verb>,
    classes: FxHashMap<&'static str, Classes>,
    irregular: FxHashMap<&'static str, &'static str>,
    singular: FxHashMap<&'static str, &'static str>,
    noun_levels: FxHashMap<&'static str, Level>,
}

pub static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::read);

impl Lexicon {
    fn read() -> Lexicon {
        let mut all = Lexicon {
            verbs: FxHashMap::default(),
            classes: FxHashMap::default(),
            irregular: FxHashMap::default(),
            singular: FxHashMap::default(),
            noun_levels: FxHashMap::default(),
        };
        for (key, word) in lexicon(include_str!("verbs.txt")) {
            if let Some(level) = Level::of_name(key) {
                let rare = word.ends_with('^');
                let ambiguous = rare || word.ends_with('~');
                all.verbs.insert(word.trim_end_matches(['~', '^']), Verb { level, ambiguous, rare });
            }
        }
        for (key, word) in lexicon(include_str!("words.txt")) {
            let parts = word.split_once('=');
            if let (Some((form, lemma)), "irregular" | "plural") = (parts, key) {
                let into = if key == "plural" { &mut all.singular } else { &mut all.irregular };
                into.insert(form, lemma);
            } else if let Some(level) = key.strip_suffix("-noun").and_then(Level::of_name) {
                all.noun_levels.insert(word, level);
            } else if let Some(class) = Classes::named(key) {
                let classes = all.classes.entry(word).or_default();
                *classes = classes.or(class);
            }
        }
        all
    }

    pub fn classes(&self, low: &str) -> Classes {
        self.classes.get(low).copied().unwrap_or_default()
    }

    /// British spellings are found under the American ones.
    pub fn verb(&self, low: &str) -> Option<Verb> {
        let found = self.verbs.get(low).copied();
        found.or_else(|| {
            let stem = low.strip_suffix("ise").or_else(|| low.strip_suffix("yse"))?;
            let ending = if low.ends_with("yse") { "yze" } else { "ize" };
            self.verbs.get(format!("{stem}{ending}").as_str()).copied()
        })
    }

    /// A verb that differs by one letter added, left out, changed or swapped, if there is exactly one.
    pub fn nearest_verb(&self, low: &str) -> Option<&'static str> {
        let mut near = self.verbs.keys().filter(|verb| is_one_edit(low.as_bytes(), verb.as_bytes()));
        let found = *near.next()?;
        near.next().is_none().then_some(found)
    }

    pub fn noun_level(&self, lemma: &str) -> Option<Level> {
        self.noun_levels.get(lemma).copied()
    }

    /// The base of a participle ("changed", "written").
    pub fn base_of_participle(&self, low: &str) -> Option<String> {
        if let Some(base) = self.irregular.get(low) {
            return Some((*base).to_owned());
        }
        let stem = low.strip_suffix("ed").filter(|stem| stem.len() > 1 && !stem.ends_with("e"))?;
        if let Some(stem) = stem.strip_suffix('i') {
            return Some(format!("{stem}y"));
        }
        Some(self.base_of_stem(stem))
    }

    /// The base of a gerund ("labelling", "making").
    pub fn base_of_gerund(&self, low: &str) -> Option<String> {
        let stem = low.strip_suffix("ing").filter(|stem| stem.len() > 1 || *stem == "do" || *stem == "go")?;
        Some(self.base_of_stem(stem))
    }

    fn base_of_stem(&self, stem: &str) -> String {
        let with_e = format!("{stem}e");
        let single = undoubled(stem);
        let known = |base: &str| self.verb(base).is_some();
        if known(stem) || stem == "do" {
            return stem.to_owned();
        }
        if known(&with_e) {
            return with_e;
        }
        match single {
            Some(single) if known(single) || !stem.ends_with(['l', 's', 'z', 'f']) => single.to_owned(),
            _ if takes_e(stem) => with_e,
            _ => stem.to_owned(),
        }
    }

    pub fn is_participle(&self, low: &str) -> bool {
        (low.len() > 4 && low.ends_with("ed") && !self.classes(low).has(Classes::NOUN))
            || self.irregular.contains_key(low)
    }

    pub fn singular(&self, low: &str) -> String {
        if let Some(lemma) = self.singular.get(low) {
            return (*lemma).to_owned();
        }
        // Of a compound joined by a hyphen, the last part is inflected.
        let s = low;
        if let Some(stem) = s.strip_suffix("ies").filter(|stem| stem.len() > 1) {
            return format!("{stem}y");
        }
        let hissing = ["sses", "shes", "ches", "xes", "zzes", "oes"];
        if hissing.iter().any(|end| s.ends_with(end)) {
            return s[..s.len() - 2].to_owned();
        }
        let stays = ["ss", "us", "is", "'s"];
        match s.strip_suffix('s') {
            Some(stem) if stem.len() > 1 && !stays.iter().any(|end| s.ends_with(end)) => stem.to_owned(),
            _ => s.to_owned(),
        }
    }

    /// "short", "creative", "unusual": no head of a noun phrase that goes on.
    pub fn is_adjective(&self, low: &str) -> bool {
        let classes = self.classes(low);
        if classes.has(Classes::ADJECTIVE) {
            return true;
        }
        let endings = ["al", "ive", "ous", "ful", "less", "able", "ible", "ic", "ary", "ish"];
        let superlative = low.len() > 5 && low.ends_with("est");
        low.len() > 4 && !classes.has(Classes::NOUN) && (superlative || endings.iter().any(|end| low.ends_with(end)))
    }
}

/// Whether two words that begin alike differ by one edit.
fn is_one_edit(a: &[u8], b: &[u8]) -> bool {
    if a.first() != b.first() || a.len().abs_diff(b.len()) > 1 || a == b {
        return false;
    }
    let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[start..], &b[start..]);
    match (a, b) {
        ([x, y, rest_a @ ..], [z, w, rest_b @ ..]) if x == w && y == z && rest_a == rest_b => true,
        ([_, rest_a @ ..], [_, rest_b @ ..]) if rest_a == rest_b => true,
        ([_, rest_a @ ..], b) if rest_a == b => true,
        (a, [_, rest_b @ ..]) => a == rest_b,
        _ => false,
    }
}

/// "plann" → "plan".
fn undoubled(stem: &str) -> Option<&str> {
    let bytes = stem.as_bytes();
    let twice =
        bytes.len() > 2 && bytes[bytes.len() - 1] == bytes[bytes.len() - 2] && bytes[bytes.len() - 1].is_ascii();
    twice.then(|| &stem[..stem.len() - 1])
}

/// Whether the base of an unknown stem ends in a silent e: "localiz", "produc", "involv", "terminat".
fn takes_e(stem: &str) -> bool {
    let endings =
        ["iz", "is", "uc", "v", "at", "rg", "dg", "ng", "ut", "ir", "ur", "as", "os", "us", "u", "c", "pl", "bl", "tl"];
    endings.iter().any(|end| stem.ends_with(end)) && !stem.ends_with("eat") && !stem.ends_with("ing")
}
