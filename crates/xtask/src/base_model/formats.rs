//! Answers in a form that is asked for: JSON with named keys, a list with dashes, capitals, one word.

use super::corpus::{Row, Skill};
use super::lexicon::{
    CITIES_EN, CITIES_ZH, COLOURS_EN, COLOURS_ZH, NAMES_EN, NAMES_ZH, OPPOSITES_EN, OPPOSITES_ZH, THINGS_EN, THINGS_ZH,
    WORDS_EN, WORDS_ZH,
};
use super::wording::{Language, Split, Wording, fill};
use planted::random::Random;
use serde_json::{Map, Value};

const KEYS_MIN: usize = 2;
const ITEMS_MIN: usize = 2;
const ITEMS_MAX: usize = 4;

/// A text, and what is asked of it.
const JSON_EN: Wording = Wording {
    leads: &["", "", "Read this. ", "A note: ", "Now you: ", "One more: ", "Next: ", "Ready? ", "Your turn. "],
    frames: &[
        "{text} Answer as JSON with keys {keys}.",
        "{text} Write it as JSON: {keys}.",
        "{text} Give JSON with {keys}.",
        "{text} Put {keys} into JSON.",
        "Make JSON with keys {keys}: {text}",
        "As JSON ({keys}): {text}",
        "{text} JSON, keys {keys}.",
    ],
    forms: &[""],
};
const JSON_ZH: Wording = Wording {
    leads: &["", "", "请读：", "记录：", "下一题：", "再来：", "轮到你：", "现在：", "接着："],
    frames: &[
        "{text}用JSON回答，键为{keys}。",
        "{text}写成JSON：{keys}。",
        "{text}给出JSON，包含{keys}。",
        "把{keys}写成JSON：{text}",
        "用JSON写出{keys}：{text}",
        "{text}输出JSON（{keys}）。",
        "转成JSON，键{keys}：{text}",
    ],
    forms: &[""],
};
const DASHES_EN: Wording = Wording {
    leads: &["", "", "Please do this. ", "Task: ", "Now you: ", "One more: ", "Next: ", "Ready? ", "Your turn. "],
    frames: &[
        "As a list with dashes: {x}",
        "Write with dashes: {x}",
        "One item a line, with a dash: {x}",
        "Make a dash list of {x}",
        "List with dashes: {x}",
        "Put a dash before each: {x}",
    ],
    forms: &["{list}"],
};
const DASHES_ZH: Wording = Wording {
    leads: &["", "", "请做：", "任务：", "下一题：", "再来：", "轮到你：", "现在：", "接着："],
    frames: &[
        "用短横线列出：{x}",
        "每行一项，前面加短横线：{x}",
        "写成短横线列表：{x}",
        "把{x}列成短横线清单",
        "分行列出，加短横线：{x}",
        "短横线列表：{x}",
    ],
    forms: &["{list}"],
};
const CAPITALS_EN: Wording = Wording {
    leads: &["", "", "Please do this. ", "Task: ", "Now you: ", "One more: ", "Next: ", "Ready? ", "Your turn. "],
    frames: &[
        "In capitals: {x}",
        "Write in capital letters: {x}",
        "Make this upper case: {x}",
        "{x} in capitals",
        "Capitals: {x}",
        "All in capital letters: {x}",
        "Upper case: {x}",
    ],
    forms: &["{list}"],
};
const CAPITALS_ZH: Wording = Wording {
    leads: &["", "", "请做：", "任务：", "下一题：", "再来：", "轮到你：", "现在：", "接着："],
    frames: &["写成大写：{x}", "用大写字母写：{x}", "把{x}改成大写", "全部大写：{x}", "转为大写字母：{x}", "大写：{x}"],
    forms: &["{list}"],
};
const OPPOSITE_EN: Wording = Wording {
    leads: &["", "", "In one word: ", "One word. ", "Now you: ", "One more: ", "Next: ", "Ready? ", "Your turn. "],
    frames: &[
        "What is the opposite of {x}?",
        "Give the opposite of {x}.",
        "The opposite of {x}?",
        "Opposite: {x}",
        "What is not {x}?",
    ],
    forms: &["{w}"],
};
const OPPOSITE_ZH: Wording = Wording {
    leads: &["", "", "用一个词回答：", "一个词：", "下一题：", "再来：", "轮到你：", "现在：", "接着："],
    frames: &["{x}的反义词是什么？", "写出{x}的反义词。", "{x}的反面是？", "反义词：{x}", "与{x}相反的是什么？"],
    forms: &["{w}"],
};
const COLOUR_EN: Wording = Wording {
    leads: &["", "", "Look. ", "A note: ", "Now you: ", "One more: ", "Next: ", "Ready? ", "Your turn. "],
    frames: &[
        "{x} What colour is the {t}? One word.",
        "{x} In one word, what colour is the {t}?",
        "{x} Name the colour of the {t}.",
        "{x} The colour of the {t}?",
        "{x} Which colour has the {t}?",
    ],
    forms: &["The {t} is {c} and the {u} is {d}.", "The {u} is {d} and the {t} is {c}.", "A {c} {t} and a {d} {u}."],
};
const COLOUR_ZH: Wording = Wording {
    leads: &["", "", "请看：", "记录：", "下一题：", "再来：", "轮到你：", "现在：", "接着："],
    frames: &[
        "{x}{t}是什么颜色？",
        "{x}用一个词回答，{t}的颜色？",
        "{x}说出{t}的颜色。",
        "{x}{t}是哪种颜色？",
        "{x}{t}的颜色是？",
    ],
    forms: &["{t}是{c}，{u}是{d}。", "{u}是{d}，{t}是{c}。", "{c}的{t}和{d}的{u}。"],
};

#[cfg(test)]
pub const WORDINGS: &[&Wording] = &[
    &JSON_EN,
    &JSON_ZH,
    &DASHES_EN,
    &DASHES_ZH,
    &CAPITALS_EN,
    &CAPITALS_ZH,
    &OPPOSITE_EN,
    &OPPOSITE_ZH,
    &COLOUR_EN,
    &COLOUR_ZH,
];

pub fn row(split: Split, random: &mut Random) -> Row {
    let language = Language::any(random);
    let (prompt, answer) = match random.below(10) {
        0..4 => json(language, split, random),
        4..6 => dashes(language, split, random),
        6..8 => capitals(language, split, random),
        8 => opposite(language, split, random),
        _ => colour(language, split, random),
    };
    Row { skill: Skill::Formats, prompt, answer }
}

/// Three facts about a person or two about a thing; some of them are asked for, in any order.
fn json(language: Language, split: Split, random: &mut Random) -> (String, String) {
    let (text, mut facts) = facts(language, random);
    random.shuffle(&mut facts);
    facts.truncate(KEYS_MIN + random.below(facts.len() - KEYS_MIN + 1));
    let keys: Vec<&str> = facts.iter().map(|(key, _)| *key).collect();
    let keys = keys.join(language.of(", ", "、"));
    let prompt = fill(&language.of(JSON_EN, JSON_ZH).pick(split, random), &[("text", &text), ("keys", &keys)]);
    let object: Map<String, Value> = facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    (prompt, line(&object))
}

fn facts(language: Language, random: &mut Random) -> (String, Vec<(&'static str, Value)>) {
    let name = *random.of(language.of(NAMES_EN, NAMES_ZH));
    let thing = *random.of(language.of(THINGS_EN, THINGS_ZH));
    let city = *random.of(language.of(CITIES_EN, CITIES_ZH));
    let colour = *random.of(language.of(COLOURS_EN, COLOURS_ZH));
    let number = (10 + random.below(90)).to_string();
    let code = format!("{}{}", char::from(b'A' + random.below(26) as u8), random.digits(4));
    let word = |text: &str| Value::from(text);
    let (text, facts) = match random.below(3) {
        0 => (
            language.of("{n} is {i} years old and lives in {c}.", "{n}今年{i}岁，住在{c}。"),
            vec![("name", word(name)), ("age", Value::from(number.parse::<u32>().unwrap_or(0))), ("city", word(city))],
        ),
        1 => (
            language.of("{n} buys the {f} {t} in {c}.", "{n}在{c}买了{f}的{t}。"),
            vec![("buyer", word(name)), ("item", word(thing)), ("colour", word(colour)), ("city", word(city))],
        ),
        _ => (
            language.of("The {t} with number {o} is for {n}.", "编号{o}的{t}是给{n}的。"),
            vec![("number", word(&code)), ("item", word(thing)), ("person", word(name))],
        ),
    };
    let holes = [("n", name), ("t", thing), ("c", city), ("f", colour), ("i", &number), ("o", &code)];
    (fill(text, &holes), facts)
}

/// JSON on one line, with a space after commas and colons as people write it.
pub fn line(object: &Map<String, Value>) -> String {
    let pairs: Vec<String> =
        object.iter().map(|(key, value)| format!("{}: {value}", Value::from(key.as_str()))).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn dashes(language: Language, split: Split, random: &mut Random) -> (String, String) {
    let items = words(language.of(WORDS_EN, WORDS_ZH), random);
    let wording = language.of(DASHES_EN, DASHES_ZH).pick(split, random);
    let prompt = fill(&wording, &[("list", &items.join(language.of(", ", "、")))]);
    (prompt, items.iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n"))
}

fn capitals(language: Language, split: Split, random: &mut Random) -> (String, String) {
    let text = words(WORDS_EN, random).join(" ");
    (fill(&language.of(CAPITALS_EN, CAPITALS_ZH).pick(split, random), &[("list", &text)]), text.to_uppercase())
}

fn words(among: &[&'static str], random: &mut Random) -> Vec<&'static str> {
    (0..ITEMS_MIN + random.below(ITEMS_MAX - ITEMS_MIN + 1)).map(|_| *random.of(among)).collect()
}

fn opposite(language: Language, split: Split, random: &mut Random) -> (String, String) {
    let (mut word, mut answer) = *random.of(language.of(OPPOSITES_EN, OPPOSITES_ZH));
    if random.below(2) == 0 {
        (word, answer) = (answer, word);
    }
    (fill(&language.of(OPPOSITE_EN, OPPOSITE_ZH).pick(split, random), &[("w", word)]), answer.to_owned())
}

fn colour(language: Language, split: Split, random: &mut Random) -> (String, String) {
    let things = language.of(THINGS_EN, THINGS_ZH);
    let (t, u) = two(things, random);
    let (c, d) = two(language.of(COLOURS_EN, COLOURS_ZH), random);
    let wording = language.of(COLOUR_EN, COLOUR_ZH).pick(split, random);
    (fill(&wording, &[("t", t), ("u", u), ("c", c), ("d", d)]), c.to_owned())
}

fn two(among: &[&'static str], random: &mut Random) -> (&'static str, &'static str) {
    let first = random.below(among.len());
    let second = (first + 1 + random.below(among.len() - 1)) % among.len();
    (among[first], among[second])
}
