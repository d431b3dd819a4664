//! Texts with personal data and secrets, and with what only looks like them.
//!
//! Check digits are computed here, by code that shares nothing with what is judged. All values are drawn; none is
//! anybody's on purpose.

mod negatives;
mod values;

use crate::random::Random;
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    En,
    Zh,
}

/// A text and what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Planted {
    pub text: String,
    pub spans: Vec<Truth>,
    /// What looks like personal data or a secret and is none.
    pub hard_negatives: Vec<Truth>,
}

/// Where something stands, in bytes of the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Truth {
    /// As `findings.jsonl` names it; for a hard negative what it is instead: `order_no`, `version`.
    pub kind: &'static str,
    /// The form: `cn_mobile`, `visa`, `github_token`.
    pub form: &'static str,
    pub at: Range<usize>,
}

/// A value with the words around it; `{}` in the words is where it stands.
struct Piece {
    kind: &'static str,
    form: &'static str,
    value: String,
    words: &'static str,
}

/// Of a hundred texts so many hold nothing.
const EMPTY: usize = 30;

/// `n` texts from a seed: 30 % hold nothing, the others one to three values or what looks like them.
pub fn records(language: Language, n: usize, seed: u64) -> Vec<Planted> {
    let mut random = Random::new(seed ^ if language == Language::Zh { 0x7a68 } else { 0x656e });
    (0..n).map(|_| record(language, &mut random)).collect()
}

fn record(language: Language, random: &mut Random) -> Planted {
    let base = match language {
        Language::En => ENGLISH,
        Language::Zh => CHINESE,
    };
    let mut planted = Planted { text: (*random.of(base)).to_owned(), spans: Vec::new(), hard_negatives: Vec::new() };
    if random.below(100) < EMPTY {
        return planted;
    }
    for _ in 0..1 + random.below(3) {
        let (positive, piece) = match (random.below(3), language) {
            (0, Language::En) => (false, negatives::english(random)),
            (0, Language::Zh) => (false, negatives::chinese(random)),
            (_, Language::En) => (true, values::english(random)),
            (_, Language::Zh) => (true, values::chinese(random)),
        };
        let truths = if positive { &mut planted.spans } else { &mut planted.hard_negatives };
        let (before, after) = piece.words.split_once("{}").unwrap_or((piece.words, ""));
        // What ends without a mark would run into what follows.
        let open = planted.text.ends_with(|c: char| c.is_ascii_alphanumeric());
        planted.text.push_str(match language {
            Language::En => " ",
            Language::Zh if open => "，",
            Language::Zh => "",
        });
        planted.text.push_str(before);
        let start = planted.text.len();
        planted.text.push_str(&piece.value);
        truths.push(Truth { kind: piece.kind, form: piece.form, at: start..planted.text.len() });
        planted.text.push_str(after);
    }
    planted
}

const ENGLISH: &[&str] = &[
    "I would like to know what the opening hours are in December.",
    "The parcel came two days late and one of the boxes was open.",
    "Can you explain the difference between these 3 plans?",
    "My last bill was $84.20, which is more than in May 2023.",
    "Please write a short note to the team about the meeting at 10:30.",
    "We moved the stage to version two of the programme last week.",
    "Why does the app ask me to sign in again every time?",
    "There were 12 people in room 204 and nobody had a key.",
    "Summarise the chapter in five sentences.",
    "The train leaves at 7:45 and needs 90 minutes.",
    "It rained on 14 of the 30 days, so the harvest was poor.",
    "How can I cancel the second of my two subscriptions?",
    "Thanks for the quick answer, everything works now.",
    "Translate the following paragraph into plain English.",
];

const CHINESE: &[&str] = &[
    "你好，我想问一下十二月份的营业时间。",
    "包裹晚到了两天，其中一个箱子还是打开的。",
    "请解释一下这3个套餐有什么区别？",
    "上个月的账单是84.20元，比五月份多。",
    "麻烦给团队写一条10:30开会的通知。",
    "为什么每次打开应用都要重新登录？",
    "204房间里有12个人，但是没有人带钥匙。",
    "用五句话总结这一章的内容。",
    "火车7:45出发，大约需要90分钟。",
    "30天里有14天下雨，所以收成不好。",
    "怎样取消我的第二个会员？",
    "谢谢你的回答，现在一切正常了。",
    "请把下面这段话翻译成中文。",
    "我们打算周六去北京路附近吃饭，人均100-150元。",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_records_and_ranges_hold_values() {
        for language in [Language::En, Language::Zh] {
            let records = super::records(language, 500, 11);
            assert_eq!(records, super::records(language, 500, 11));
            let empty = records.iter().filter(|r| r.spans.is_empty() && r.hard_negatives.is_empty()).count();
            assert!((110..190).contains(&empty), "seed 11: {empty}");
            for record in &records {
                for truth in record.spans.iter().chain(&record.hard_negatives) {
                    assert!(!record.text[truth.at.clone()].trim().is_empty(), "seed 11: {record:?}");
                }
            }
        }
    }
}
