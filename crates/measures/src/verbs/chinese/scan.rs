//! The main verb of a clause, behind its phrases and topics.

use std::ops::Range;

use super::frame::{Frame, begins_frame, is_final_give, peel};
use super::lexicon::Classes;
use super::phrase::{after_phrase, is_plain_verb};
use super::segment::{Kind, Token};

pub struct Scan {
    pub verb: usize,
    /// The phrase of 把, 将, 对, 针对.
    pub held: Option<Range<usize>>,
    pub about: Option<Range<usize>>,
    /// A phrase before the frame: 酒店的电话给我发一下.
    pub topic: Range<usize>,
    pub frame: Frame,
    pub weak: bool,
}

/// Finds the main verb behind prepositional phrases and topics.
pub fn scan(clause: &[Token], start: usize, mut frame: Frame) -> Option<Scan> {
    let end = clause.len();
    let (mut held, mut about, mut topic) = (None, None, start..start);
    let mut i = start;
    let mut means: Option<usize> = None;
    while i < end {
        let token = &clause[i];
        let is_given = token.word == "给" && (i + 1 >= end || is_final_give(clause, i));
        if is_given {
            return Some(Scan { verb: i, held, about, topic, frame, weak: false });
        }
        if token.is(Classes::PREP) && !is_plain_verb(clause, i) {
            let Some(next) = after_phrase(clause, i) else {
                if token.word == "给" || token.verb.is_some() && token.is(Classes::MEANS) {
                    means.get_or_insert(i);
                }
                break;
            };
            if token.is(Classes::HOLD) {
                held = Some(i + 1..next);
            } else if token.is(Classes::ABOUT) {
                about = Some(i + 1..next);
            } else if token.is(Classes::MEANS) && token.verb.is_some() || token.word == "给" {
                means.get_or_insert(i);
            }
            let (after, peeled) = peel(clause, next, frame);
            frame = peeled;
            i = after;
            // 把人像抠出来: after 把 comes a verb, known or not.
            if token.is(Classes::HOLD) && i < end && !clause[i].is(Classes::PREP) && !is_main(clause, i) {
                return Some(Scan { verb: i, held, about, topic, frame, weak: false });
            }
            continue;
        }
        if is_main(clause, i) {
            let next = clause.get(i + 1);
            let timed = next.is_some_and(|next| {
                matches!(next.word, "时" | "后" | "前" | "中" | "阶段" | "过程" | "期间" | "之后" | "之前")
            });
            let modified = next.is_some_and(|next| next.is(Classes::RELATIVE)) || timed && !frame.asked;
            if let Some(second) = later_verb(clause, i, frame) {
                return Some(Scan { verb: second, held, about, topic: i..second, frame, weak: false });
            }
            if !modified {
                return Some(Scan { verb: i, held, about, topic, frame, weak: false });
            }
        }
        // No verb here: a topic, up to a frame that begins a request.
        let Some(frame_at) = (i + 1..end).find(|&j| begins_frame(clause, j)) else {
            // 请所有人提前入场: who is asked stands before the verb.
            let acts = |j: &usize| {
                clause[*j].verb.is_some_and(|verb| !verb.ambiguous)
                    && !clause[*j].is(Classes::NOUN)
                    && is_main(clause, *j)
            };
            let any = |j: &usize| clause[*j].verb.is_some() && clause[*j].kind != Kind::Noun && is_main(clause, *j);
            let asked = || (i + 1..end).filter(|_| frame.asked);
            let verb = asked().find(acts).or_else(|| asked().find(any));
            return verb.filter(|_| means.is_none()).map(|verb| Scan { verb, held, about, topic, frame, weak: false });
        };
        if topic.is_empty() {
            topic = i..frame_at;
        }
        let (after, peeled) = peel(clause, frame_at, frame);
        frame = peeled;
        if after == frame_at {
            i = frame_at;
            if !clause[i].is(Classes::PREP) {
                break;
            }
        } else {
            i = after;
        }
    }
    means.map(|verb| Scan {
        verb,
        held: None,
        about: None,
        topic: start..start,
        frame,
        weak: clause[verb].word != "给",
    })
}

/// 训练脚本参考这里: a noun that looks like a verb, its noun, and a verb that is nothing else.
fn later_verb(clause: &[Token], i: usize, frame: Frame) -> Option<usize> {
    let ambiguous = clause[i].verb.is_some_and(|verb| verb.ambiguous);
    if !ambiguous || frame.asked || frame.wished || frame.modal {
        return None;
    }
    let verb =
        i + 1 + clause[i + 1..].iter().take_while(|token| token.kind == Kind::Noun && token.verb.is_none()).count();
    let later = clause.get(verb)?;
    let clear = later.verb.is_some_and(|verb| !verb.ambiguous)
        && later.kind == Kind::Verb
        && !later.is(Classes::NOUN.or(Classes::TRAILING));
    let relative = clause[verb..].iter().any(|token| token.is(Classes::RELATIVE));
    (verb > i + 1 && clear && !relative).then_some(verb)
}

/// Whether the token at `i` can be the main verb where no phrase is open.
fn is_main(clause: &[Token], i: usize) -> bool {
    let token = &clause[i];
    if token.is(Classes::FINITE.or(Classes::PROHIBIT)) || token.is(Classes::QUESTION) {
        return false;
    }
    token.verb.is_some()
        || token.is(Classes::LIGHT)
        || matches!(token.kind, Kind::Verb | Kind::VerbNoun) && !token.is(Classes::NOUN)
}
