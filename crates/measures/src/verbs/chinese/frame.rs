//! What is peeled off before a verb: politeness, persons, modals, and words that only open a clause.

use super::lexicon::Classes;
use super::segment::{Kind, Token};

/// What was peeled off before a verb.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frame {
    pub asked: bool,
    pub wished: bool,
    /// 能, 可以, 需要, 应.
    pub modal: bool,
    /// 应, 必须, 建议: of the modals, those that ask.
    pub duty: bool,
    /// 您能 …: the one who is asked is named.
    pub you: bool,
    /// 帮我, 给我.
    pub helped: bool,
}

/// Skips openers, politeness, persons and modals from `i` on.
pub fn peel(clause: &[Token], mut i: usize, mut frame: Frame) -> (usize, Frame) {
    while i < clause.len() {
        let taken = framing(clause, i, &mut frame).or_else(|| is_filler(clause, i).then_some(1));
        let Some(taken) = taken else { break };
        i += taken;
    }
    (i, frame)
}

/// How many words of a frame begin at `i`; what they say is noted in `frame`.
fn framing(clause: &[Token], i: usize, frame: &mut Frame) -> Option<usize> {
    let token = &clause[i];
    let next = clause.get(i + 1);
    let next_is = |classes: Classes| next.is_some_and(|next| next.is(classes));
    let modified = |at: usize| clause.get(at).is_some_and(|token| token.is(Classes::RELATIVE));
    match token.word {
        "请问" => return Some(1),
        "就" if next_is(Classes::ASK.or(Classes::MODAL).or(Classes::HOLD).or(Classes::YOU)) => return Some(1),
        "就" if next.is_some_and(|next| is_verb_like(next) || next.word == "给") => return Some(1),
        "给" if next_is(Classes::ME) && clause.get(i + 2).is_some_and(is_verb_like) => {
            (frame.asked, frame.helped) = (true, true);
            return Some(2);
        }
        // 给推荐一家, not 给作文打分.
        "给" if next.is_some_and(|next| next.verb.is_some() && !next.is(Classes::NUMBER.or(Classes::NOUN)))
            && clause.get(i + 2).is_none_or(|after| after.verb.is_none()) =>
        {
            frame.asked = true;
            return Some(1);
        }
        "帮" | "替" | "帮助" | "协助" | "让" | "为" | "代" if next_is(Classes::PERSON) && !modified(i + 2) => {
            (frame.asked, frame.helped) = (true, true);
            return Some(2);
        }
        "求" if next.is_some_and(|next| matches!(next.word, "出" | "解")) => return None,
        // 请个假: half of a verb.
        "请" if next.is_some_and(|next| matches!(next.word, "个" | "了" | "一个")) => return None,
        // 去楼下取.
        "去" | "到"
            if !frame.wished
                && clause.get(i + 2).is_some_and(|after| after.verb.is_some())
                && next.is_some_and(|next| matches!(next.kind, Kind::Noun | Kind::Place) && next.verb.is_none()) =>
        {
            return Some(2);
        }
        "来" | "去" | "让" | "求" | "帮助" | "协助" | "替" | "记得" => {
            let acts = next.is_some_and(|next| next.verb.is_some() || next.is(Classes::HOLD));
            frame.asked |= acts && token.word == "记得";
            return acts.then_some(1);
        }
        "注意" if next.is_some_and(|next| next.verb.is_some()) => return Some(1),
        // 想出 is a verb.
        "想" | "要" if next.is_some_and(|next| matches!(next.word, "出" | "出来" | "到" | "起")) => return None,
        // 推荐使用 X: as 建议.
        "推荐" if next_is(Classes::MEANS) && next.is_some_and(|next| next.verb.is_some()) => {
            (frame.modal, frame.duty) = (true, true);
            return Some(1);
        }
        _ => {}
    }
    if token.is(Classes::ME) && wishes(&clause[i + 1..]) {
        frame.wished = true;
    } else if token.is(Classes::ASK) {
        frame.asked = true;
        frame.helped |= token.word.starts_with('帮');
    } else if token.is(Classes::YOU) && !modified(i + 1) {
        // 我想请您 …, 我希望你 …: asked.
        frame.asked |= frame.wished;
        frame.you = true;
    } else if token.is(Classes::MODAL) && next.is_some() && (token.verb.is_none() || is_modal_here(token, next, frame))
    {
        modal(token, next, frame);
    } else {
        return None;
    }
    Some(1)
}

fn modal(token: &Token, next: Option<&Token>, frame: &mut Frame) {
    let asks = matches!(token.word, "能否" | "能不能" | "可否" | "可不可以" | "是否可以" | "是否能");
    frame.modal = true;
    frame.duty |= matches!(token.word, "应" | "应该" | "应当" | "必须" | "须" | "建议" | "不妨" | "该" | "试")
        || asks && next.is_some_and(|next| is_verb_like(next) || next.is(Classes::PREP));
    frame.wished |= token.is(Classes::WISH) && !frame.asked && !frame.you;
}

/// Openers, adverbs, adjectives before a verb, list marks.
fn is_filler(clause: &[Token], i: usize) -> bool {
    let token = &clause[i];
    let next = clause.get(i + 1);
    let manner = token.kind == Kind::Adjective && token.verb.is_none() && next.is_some_and(|next| next.verb.is_some());
    let opens = (token.is(Classes::OPENER) || token.kind == Kind::Adverb && token.verb.is_none())
        && !token.is(Classes::PROHIBIT.or(Classes::SETTING).or(Classes::PREP).or(Classes::QUESTION))
        && (token.verb.is_none() || next.is_none_or(is_verb_like));
    let mark = i == 0 && matches!(token.kind, Kind::Number | Kind::Other) && token.word.is_ascii();
    manner || opens || mark && !token.is(Classes::PREP) && next.is_none_or(|next| next.kind != Kind::Measure)
}

/// 想, 还要, 现在打算: a wish soon after 我.
fn wishes(after: &[Token]) -> bool {
    let wish = after.iter().take(4).position(|token| token.is(Classes::WISH));
    wish.is_some_and(|at| after[..at].iter().all(|token| token.is(Classes::OPENER) || token.kind == Kind::Adverb))
}

/// 想, 准备, 希望, 建议, 打算 before another verb are modals.
fn is_modal_here(token: &Token, next: Option<&Token>, frame: &Frame) -> bool {
    let verb_next =
        next.is_some_and(|next| is_verb_like(next) || next.is(Classes::MODAL.or(Classes::YOU).or(Classes::OPENER)));
    match token.word {
        "建议" | "推荐您" => next.is_some_and(|next| {
            is_verb_like(next)
                || next.is(Classes::PREP.or(Classes::YOU))
                || next.is(Classes::OPENER) && !next.is(Classes::NUMBER) && next.word != "另外"
        }),
        "准备" | "计划" => frame.wished && (verb_next || next.is_some_and(|next| next.is(Classes::PREP))),
        _ => {
            verb_next
                || next.is_some_and(|next| next.is(Classes::PREP.or(Classes::ASK).or(Classes::YOU).or(Classes::ME)))
        }
    }
}

pub fn is_verb_like(token: &Token) -> bool {
    token.verb.is_some()
        || matches!(token.kind, Kind::Verb | Kind::VerbNoun)
        || token.is(Classes::HOLD.or(Classes::ASK))
}

/// 吃完饭可以帮我找…, 电话请发给我: a frame that no noun or relative clause can hold.
pub fn strong_frame(clause: &[Token], start: usize) -> Option<usize> {
    (start + 1..clause.len()).find(|&i| {
        let next = clause.get(i + 1);
        if clause[i].is(Classes::ME) && wishes(&clause[i + 1..]) && clause[i - 1].word != "让" {
            return true;
        }
        let held = clause[start..i].iter().any(|token| token.is(Classes::HOLD));
        if clause[i].is(Classes::DOUBLE)
            && clause[i].word != "给"
            && !held
            && next.is_some_and(|next| next.is(Classes::ME))
        {
            return true;
        }
        matches!(clause[i].word, "请" | "麻烦" | "帮我" | "帮忙" | "劳驾" | "烦请" | "帮" | "请您" | "请你" | "拜托")
            && !clause[i - 1].is(Classes::PREP)
    })
}

/// Whether a request's frame can begin in the middle of a clause.
pub fn begins_frame(clause: &[Token], i: usize) -> bool {
    let token = &clause[i];
    let next = clause.get(i + 1);
    match token.word {
        "给" => next.is_some_and(|next| next.is(Classes::ME)) || is_final_give(clause, i),
        "能" | "可以" | "能否" | "可否" | "能不能" | "可不可以" | "需" | "需要" | "应" | "应该" | "必须" | "要"
        | "也" => {
            next.is_some_and(|next| is_verb_like(next) || next.is(Classes::ASK.or(Classes::MODAL).or(Classes::HOLD)))
                || next.is_some_and(|next| next.word == "给")
        }
        "把" | "将" => true,
        _ => token.is(Classes::ASK) && !matches!(token.word, "来" | "去" | "让" | "求" | "替" | "要求"),
    }
}

/// 给 with nothing but a person and particles, or a counted thing, after it.
pub fn is_final_give(clause: &[Token], i: usize) -> bool {
    let mut j = i + 1;
    if clause.get(j).is_some_and(|token| token.is(Classes::PERSON)) {
        j += 1;
    }
    let rest = &clause[j.min(clause.len())..];
    let bare = rest.iter().all(|token| token.is(Classes::PARTICLE.or(Classes::COMPLEMENT)));
    let counted = rest.first().is_some_and(|token| token.kind == Kind::Number || token.is(Classes::NUMBER));
    let other = rest.iter().enumerate().any(|(n, token)| {
        token.verb.is_some_and(|verb| !verb.ambiguous)
            && !rest.get(n + 1).is_some_and(|next| next.is(Classes::RELATIVE))
    });
    bare || counted && !other
}
