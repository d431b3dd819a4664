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
pub fn scan(clause: &[Token], start: usize, frame: Frame) -> Option<Scan> {
    let mut read = Scan { verb: start, held: None, about: None, topic: start..start, frame, weak: false };
    let mut means: Option<usize> = None;
    let mut i = start;
    while let Some(token) = clause.get(i) {
        if token.word == "给" && (i + 1 >= clause.len() || is_final_give(clause, i)) {
            return Some(Scan { verb: i, ..read });
        }
        if token.is(Classes::PREP) && !is_plain_verb(clause, i) {
            if token.word == "给" || token.verb.is_some() && token.is(Classes::MEANS) {
                means.get_or_insert(i);
            }
            let Some(next) = after_phrase(clause, i) else { break };
            if token.is(Classes::HOLD) {
                read.held = Some(i + 1..next);
            } else if token.is(Classes::ABOUT) {
                read.about = Some(i + 1..next);
            }
            (i, read.frame) = peel(clause, next, read.frame);
            // 把人像抠出来: after 把 comes a verb, known or not.
            let unknown = clause.get(i).is_some_and(|token| !token.is(Classes::PREP)) && !is_main(clause, i);
            if token.is(Classes::HOLD) && unknown {
                return Some(Scan { verb: i, ..read });
            }
            continue;
        }
        if is_main(clause, i) {
            if let Some(second) = later_verb(clause, i, read.frame) {
                return Some(Scan { verb: second, topic: i..second, ..read });
            }
            if !is_modifying(clause, i, read.frame) {
                return Some(Scan { verb: i, ..read });
            }
        }
        // No verb here: a topic, up to a frame that begins a request.
        let Some(frame_at) = (i + 1..clause.len()).find(|&j| begins_frame(clause, j)) else {
            let verb = verb_of_asked(clause, i, read.frame).filter(|_| means.is_none())?;
            return Some(Scan { verb, ..read });
        };
        if read.topic.is_empty() {
            read.topic = i..frame_at;
        }
        (i, read.frame) = peel(clause, frame_at, read.frame);
        if i == frame_at && !clause[i].is(Classes::PREP) {
            break;
        }
    }
    let verb = means?;
    let weak = clause[verb].word != "给";
    Some(Scan { verb, held: None, about: None, topic: start..start, frame: read.frame, weak })
}

/// 推荐的酒店, 训练时: a verb that belongs to what follows.
fn is_modifying(clause: &[Token], i: usize, frame: Frame) -> bool {
    let Some(next) = clause.get(i + 1) else { return false };
    let timed = matches!(next.word, "时" | "后" | "前" | "中" | "阶段" | "过程" | "期间" | "之后" | "之前");
    next.is(Classes::RELATIVE) || timed && !frame.asked
}

/// 请所有人提前入场: who is asked stands before the verb.
fn verb_of_asked(clause: &[Token], i: usize, frame: Frame) -> Option<usize> {
    let known = |j: &usize| clause[*j].verb.is_some() && is_main(clause, *j);
    let clear =
        |j: &usize| known(j) && clause[*j].verb.is_some_and(|verb| !verb.ambiguous) && !clause[*j].is(Classes::NOUN);
    let asked = || (i + 1..clause.len()).filter(|_| frame.asked);
    asked().find(clear).or_else(|| asked().find(|j| known(j) && clause[*j].kind != Kind::Noun))
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
