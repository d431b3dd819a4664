//! Sums and differences of numbers below 100.

use super::corpus::{Row, Skill};
use super::lexicon::{NAMES_EN, NAMES_ZH, THINGS_ZH};
use super::wording::{Language, Split, Wording, fill, fnv};
use planted::random::Random;

/// One pair of operands in so many is of the tests, in either order and for both operations.
const TEST_ONE_IN: u64 = 8;
/// One row in so many has operands of one digit, too.
const SHORT_ONE_IN: usize = 10;
/// One row in so many is a little story.
const STORY_ONE_IN: usize = 8;

const LEADS_EN: &[&str] = &["", "", "Question: ", "Quick: ", "A sum for you: ", "Maths. "];
const FRAMES_EN: &[&str] = &[
    "What is {x}?",
    "Calculate {x}.",
    "Compute {x}.",
    "{x} = ?",
    "How much is {x}?",
    "Work out {x}.",
    "Find {x}.",
    "{x} =",
    "Tell me {x}.",
    "{x}?",
    "Give the result of {x}.",
];
const LEADS_ZH: &[&str] = &["", "", "请问：", "算一算：", "题目：", "数学题。"];
const FRAMES_ZH: &[&str] = &[
    "{x}等于多少？",
    "计算{x}。",
    "{x}是多少？",
    "求{x}。",
    "{x}=？",
    "请算出{x}。",
    "{x}得多少？",
    "{x}=",
    "{x}的结果是？",
];

const ADD_EN: Wording = Wording {
    leads: LEADS_EN,
    frames: FRAMES_EN,
    forms: &[
        "{a} + {b}",
        "{a}+{b}",
        "{a} plus {b}",
        "the sum of {a} and {b}",
        "{a} and {b} together",
        "{a} added to {b}",
    ],
};
const SUBTRACT_EN: Wording = Wording {
    leads: LEADS_EN,
    frames: FRAMES_EN,
    forms: &[
        "{a} - {b}",
        "{a}-{b}",
        "{a} minus {b}",
        "the difference of {a} and {b}",
        "{a} take away {b}",
        "{a} less {b}",
    ],
};
const ADD_ZH: Wording = Wording {
    leads: LEADS_ZH,
    frames: FRAMES_ZH,
    forms: &["{a}加{b}", "{a}+{b}", "{a} + {b}", "{a}加上{b}", "{a}与{b}的和", "{a}和{b}相加"],
};
const SUBTRACT_ZH: Wording = Wording {
    leads: LEADS_ZH,
    frames: FRAMES_ZH,
    forms: &["{a}减{b}", "{a}-{b}", "{a} - {b}", "{a}减去{b}", "{a}与{b}的差", "{a}和{b}相减"],
};

const MORE_EN: Wording = Wording {
    leads: &["", "A story: ", "Question: ", "Read this: "],
    frames: &["{n} has {a} coins and {x}.", "There are {a} coins in the box and {x}."],
    forms: &[
        "gets {b} more. How many are there now?",
        "{b} more are added. How many in all?",
        "finds {b} more. What is the total?",
    ],
};
const FEWER_EN: Wording = Wording {
    leads: &["", "A story: ", "Question: ", "Read this: "],
    frames: &["{n} has {a} coins and {x}", "{n} counts {a} coins and {x}"],
    forms: &["loses {b}. How many are left?", "gives away {b}. How many remain?", "spends {b}. What is left?"],
};
const MORE_ZH: Wording = Wording {
    leads: &["", "读题：", "请问：", "应用题："],
    frames: &["{n}有{a}个{t}，{x}", "{n}数了{a}个{t}，{x}"],
    forms: &["又得到{b}个，现在有几个？", "又买了{b}个，一共有几个？", "又找到{b}个，总共几个？"],
};
const FEWER_ZH: Wording = Wording {
    leads: &["", "读题：", "请问：", "应用题："],
    frames: &["{n}有{a}个{t}，{x}", "{n}数了{a}个{t}，{x}"],
    forms: &["丢了{b}个，还剩几个？", "送出{b}个，还有几个？", "用掉{b}个，剩下几个？"],
};

#[cfg(test)]
pub const WORDINGS: &[&Wording] =
    &[&ADD_EN, &SUBTRACT_EN, &ADD_ZH, &SUBTRACT_ZH, &MORE_EN, &FEWER_EN, &MORE_ZH, &FEWER_ZH];

pub fn row(split: Split, random: &mut Random) -> Row {
    let (a, b) = operands(split, random);
    let adds = random.below(2) == 0;
    let (a, b) = if adds { (a, b) } else { (a.max(b), a.min(b)) };
    let result = if adds { a + b } else { a - b };
    let language = Language::any(random);
    let story = random.below(STORY_ONE_IN) == 0;
    let wording = match (language, adds, story) {
        (Language::English, true, false) => ADD_EN,
        (Language::English, true, true) => MORE_EN,
        (Language::English, false, false) => SUBTRACT_EN,
        (Language::English, false, true) => FEWER_EN,
        (Language::Chinese, true, false) => ADD_ZH,
        (Language::Chinese, true, true) => MORE_ZH,
        (Language::Chinese, false, false) => SUBTRACT_ZH,
        (Language::Chinese, false, true) => FEWER_ZH,
    }
    .pick(split, random);
    let name = random.of(language.of(NAMES_EN, NAMES_ZH));
    let holes = [("a", &*a.to_string()), ("b", &*b.to_string()), ("n", *name), ("t", *random.of(THINGS_ZH))];
    let mut prompt = fill(&wording, &holes);
    if let Some(first) = prompt.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Row { skill: Skill::Arithmetic, prompt, answer: result.to_string() }
}

fn operands(split: Split, random: &mut Random) -> (usize, usize) {
    let least = if split == Split::Learn && random.below(SHORT_ONE_IN) == 0 { 0 } else { 10 };
    loop {
        let (a, b) = (least + random.below(100 - least), least + random.below(100 - least));
        if side(a, b) == split {
            return (a, b);
        }
    }
}

pub fn side(a: usize, b: usize) -> Split {
    let pair = format!("{} {}", a.min(b), a.max(b));
    if fnv(pair.as_bytes()).is_multiple_of(TEST_ONE_IN) { Split::Test } else { Split::Learn }
}
