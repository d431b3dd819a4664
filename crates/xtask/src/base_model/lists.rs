//! Short lists: copied, reversed, sorted.

use super::corpus::{Row, Skill};
use super::lexicon::{WORDS_EN, WORDS_ZH};
use super::wording::{Language, Split, Wording, fill};
use planted::random::Random;

const ITEMS_MIN: usize = 2;
const ITEMS_MAX: usize = 5;
/// Sentences without sense are copied, too; so many words.
const SENTENCE_MAX: usize = 10;

const LEADS_EN: &[&str] =
    &["", "", "Please do this. ", "A list. ", "Task: ", "Now you: ", "One more: ", "Next: ", "Ready? ", "Your turn. "];
const LEADS_ZH: &[&str] = &["", "", "请做：", "列表。", "任务：", "下一题：", "再来：", "轮到你：", "现在：", "接着："];
const X: &[&str] = &["{list}"];

const COPY_EN: Wording = Wording {
    leads: LEADS_EN,
    frames: &[
        "Repeat: {x}",
        "Copy this: {x}",
        "Say this again: {x}",
        "Write this once more: {x}",
        "Echo {x}",
        "Copy {x}",
        "Repeat after me: {x}",
        "The same again: {x}",
    ],
    forms: X,
};
const COPY_ZH: Wording = Wording {
    leads: LEADS_ZH,
    frames: &[
        "重复：{x}",
        "抄写：{x}",
        "照写一遍：{x}",
        "再说一次：{x}",
        "复制{x}",
        "跟我说：{x}",
        "原样写出：{x}",
        "请重复{x}",
    ],
    forms: X,
};
const REVERSE_EN: Wording = Wording {
    leads: LEADS_EN,
    frames: &[
        "Reverse: {x}",
        "Reverse this list: {x}",
        "Write this backwards: {x}",
        "From last to first: {x}",
        "Turn this around: {x}",
        "In reverse order: {x}",
        "Reverse {x}",
        "Write {x} backwards",
    ],
    forms: X,
};
const REVERSE_ZH: Wording = Wording {
    leads: LEADS_ZH,
    frames: &[
        "倒序：{x}",
        "反过来写：{x}",
        "从后往前写：{x}",
        "颠倒顺序：{x}",
        "把{x}倒过来",
        "逆序输出：{x}",
        "倒着写{x}",
        "反转：{x}",
    ],
    forms: X,
};
const UP_EN: Wording = Wording {
    leads: LEADS_EN,
    frames: &[
        "Sort: {x}",
        "Sort this list: {x}",
        "Put in order: {x}",
        "Arrange in order: {x}",
        "Sort {x}",
        "In rising order: {x}",
        "Smallest first: {x}",
        "Sort upwards: {x}",
    ],
    forms: X,
};
const UP_ZH: Wording = Wording {
    leads: LEADS_ZH,
    frames: &[
        "排序：{x}",
        "从小到大排列：{x}",
        "按顺序排：{x}",
        "升序：{x}",
        "把{x}排序",
        "由小到大：{x}",
        "整理顺序：{x}",
        "请排序{x}",
    ],
    forms: X,
};
const DOWN_EN: Wording = Wording {
    leads: LEADS_EN,
    frames: &[
        "Sort downwards: {x}",
        "Largest first: {x}",
        "In falling order: {x}",
        "From large to small: {x}",
        "Sort with the largest first: {x}",
        "Arrange downwards: {x}",
    ],
    forms: X,
};
const DOWN_ZH: Wording = Wording {
    leads: LEADS_ZH,
    frames: &["从大到小排列：{x}", "降序：{x}", "由大到小：{x}", "最大的在前：{x}", "从大到小写：{x}", "按降序排：{x}"],
    forms: X,
};

#[cfg(test)]
pub const WORDINGS: &[&Wording] = &[&COPY_EN, &COPY_ZH, &REVERSE_EN, &REVERSE_ZH, &UP_EN, &UP_ZH, &DOWN_EN, &DOWN_ZH];

/// A kind of item. Only what has an order that needs no dictionary is sorted.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Words,
    Letters,
    Numbers,
    Codes,
    Sentence,
}

/// Puts the items of an answer in order.
type Order = fn(&mut [String]);

pub fn row(split: Split, random: &mut Random) -> Row {
    let language = Language::any(random);
    let (wording, order, kinds): (Wording, Order, &[Kind]) = match random.below(10) {
        0..3 => (
            language.of(COPY_EN, COPY_ZH),
            |_| {},
            &[Kind::Words, Kind::Letters, Kind::Numbers, Kind::Codes, Kind::Sentence, Kind::Sentence, Kind::Sentence],
        ),
        3..6 => {
            (language.of(REVERSE_EN, REVERSE_ZH), <[String]>::reverse, &[Kind::Words, Kind::Letters, Kind::Numbers])
        }
        6..9 => (language.of(UP_EN, UP_ZH), ascending, &[Kind::Letters, Kind::Numbers]),
        _ => (language.of(DOWN_EN, DOWN_ZH), descending, &[Kind::Numbers]),
    };
    let kind = *random.of(kinds);
    let mut items = items(kind, language, random);
    let between = match (kind, language) {
        (Kind::Sentence, Language::English) => " ",
        (Kind::Sentence, Language::Chinese) => "",
        (Kind::Words, Language::Chinese) => "、",
        _ => *random.of(&[", ", " "]),
    };
    let prompt = fill(&wording.pick(split, random), &[("list", &items.join(between))]);
    order(&mut items);
    Row { skill: Skill::Lists, prompt, answer: items.join(between) }
}

fn items(kind: Kind, language: Language, random: &mut Random) -> Vec<String> {
    let n = match kind {
        Kind::Sentence => ITEMS_MIN + random.below(SENTENCE_MAX - ITEMS_MIN + 1),
        _ => ITEMS_MIN + random.below(ITEMS_MAX - ITEMS_MIN + 1),
    };
    let mut items: Vec<String> = Vec::new();
    while items.len() < n {
        let item = match kind {
            Kind::Words | Kind::Sentence => (*random.of(language.of(WORDS_EN, WORDS_ZH))).to_owned(),
            Kind::Letters => char::from(b'a' + random.below(26) as u8).to_string(),
            Kind::Numbers => random.below(100).to_string(),
            Kind::Codes => format!("{}{}", char::from(b'A' + random.below(26) as u8), random.digits(4)),
        };
        if kind == Kind::Sentence || !items.contains(&item) {
            items.push(item);
        }
    }
    items
}

/// Numbers by value, letters by the alphabet: all are of one kind.
fn ascending(items: &mut [String]) {
    items.sort_by_key(|item| (item.parse::<usize>().unwrap_or(0), item.clone()));
}

fn descending(items: &mut [String]) {
    ascending(items);
    items.reverse();
}
