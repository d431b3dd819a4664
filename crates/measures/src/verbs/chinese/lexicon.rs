//! What is known of Chinese words: jieba's dictionary with the verbs of requests added, and classes of our own.

use std::sync::LazyLock;

use jieba_rs::Jieba;
use rustc_hash::FxHashMap;

use super::super::classes::classes;
use super::super::{Level, lexicon};

classes! {
    OPENER = "opener", ASK = "ask", YOU = "you", MODAL = "modal", ME = "me", WISH = "wish", PERSON = "person",
    DOUBLE = "double", PROHIBIT = "prohibit", SETTING = "setting", PREP = "prep", HOLD = "hold", ABOUT = "about",
    MEANS = "means", CLOSING = "closing", LIGHT = "light", QUESTION = "question", PARTICLE = "particle",
    COMPLEMENT = "complement", STOPPER = "stopper", CONJ = "conj", TRAILING = "trailing", CLAUSE = "clause",
    FINITE = "finite", DONE = "done", RELATIVE = "relative", NUMBER = "number", NOUN = "noun", WHOLE = "whole",
    STATING = "stating", PIVOT = "pivot", LABEL = "label", APART = "apart",
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verb {
    pub level: Level,
    /// As often a noun.
    pub ambiguous: bool,
}

pub struct Lexicon {
    pub jieba: Jieba,
    verbs: FxHashMap<&'static str, Verb>,
    classes: FxHashMap<&'static str, Classes>,
}

/// Of verbs that are rare in jieba's dictionary: enough to keep 扩写成 from being cut as 扩 and 写成.
const FREQUENCY_MIN: usize = 3000;

/// Reading jieba's dictionary takes about a fifth of a second, once.
pub static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::read);

impl Lexicon {
    fn read() -> Lexicon {
        let mut all = Lexicon { jieba: Jieba::new(), verbs: FxHashMap::default(), classes: FxHashMap::default() };
        for (key, word) in lexicon(include_str!("verbs.txt")) {
            let Some(level) = Level::of_name(key) else { continue };
            let name = word.trim_end_matches('~');
            all.verbs.insert(name, Verb { level, ambiguous: word.ends_with('~') });
            if name.chars().count() > 1 {
                let frequency = all.jieba.suggest_freq(name).max(FREQUENCY_MIN);
                all.jieba.add_word(name, Some(frequency), Some("v"));
            }
        }
        for (key, word) in lexicon(include_str!("words.txt")) {
            if let Some(class) = Classes::named(key) {
                let classes = all.classes.entry(word).or_default();
                *classes = classes.or(class);
                let joined = word.chars().count() > 1 && !word.is_ascii();
                if joined && [Classes::NOUN, Classes::SETTING, Classes::QUESTION, Classes::MODAL].contains(&class) {
                    all.jieba.add_word(word, None, None);
                }
            }
        }
        all
    }

    pub fn classes(&self, word: &str) -> Classes {
        self.classes.get(word).copied().unwrap_or_default()
    }

    /// 翻译成 → 翻译, 改成 → 改, 提炼出 → 提炼: where the whole is no verb of the lexicon and the stem is one.
    pub fn stem<'w>(&self, word: &'w str) -> Option<&'w str> {
        let endings = [
            "成", "为", "到", "给", "掉", "完", "好", "下", "出", "过来", "下来", "出来", "起来", "上来", "下去",
            "出去", "回来", "回去", "进来", "进去", "一下", "上", "入", "回", "清楚",
        ];
        if self.verbs.contains_key(word) || self.classes(word).has(Classes::WHOLE) {
            return None;
        }
        // 试试, 谈一谈.
        let first = word.char_indices().nth(1).map_or(word, |(at, _)| &word[..at]);
        let doubled =
            word.strip_prefix(first).is_some_and(|rest| rest == first || rest.strip_prefix('一') == Some(first));
        if doubled && self.verbs.contains_key(first) {
            return Some(first);
        }
        let stems = endings.iter().filter_map(|ending| word.strip_suffix(ending));
        stems.into_iter().find(|stem| self.verbs.contains_key(stem))
    }

    pub fn verb(&self, word: &str) -> Option<Verb> {
        self.verbs.get(word).copied()
    }
}
