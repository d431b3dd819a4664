//! Prepositional phrases before the verb: where 把 …, 从 … 中, 用 …, 向 … end.

use super::frame::is_verb_like;
use super::lexicon::Classes;
use super::object::is_suffix;
use super::segment::{Kind, Token};

/// Where the phrase of the preposition at `p` ends and the verb, or another phrase, begins.
pub fn after_phrase(clause: &[Token], p: usize) -> Option<usize> {
    let end = clause.len();
    let from = p + 1;
    if matches!(clause[p].word, "从" | "在" | "于" | "自" | "当") {
        let closed = (from + 1..end).find(|&j| {
            clause[j].is(Classes::CLOSING)
                && clause.get(j + 1).is_some_and(|next| begins_verb(clause, j + 1) && !next.is(Classes::RELATIVE))
        });
        if let Some(closing) = closed {
            return Some(closing + 1);
        }
    }
    // 向客户解释 …: a person, then the verb.
    let to_person = matches!(clause[p].word, "向" | "给" | "跟" | "和" | "与" | "为" | "替");
    let after_person = (from..end.min(from + 4)).find(|&j| {
        clause[j].is(Classes::PERSON)
            || clause[j].kind == Kind::Name
            || clause[j].kind == Kind::Noun && clause[j].verb.is_none()
    });
    if let Some(j) = after_person.filter(|_| to_person)
        && clause.get(j + 1).is_some_and(|next| {
            next.verb.is_some_and(|verb| !verb.ambiguous || clause[p].word != "为") && next.kind != Kind::Noun
        })
        && !clause.get(j + 2).is_some_and(|next| next.is(Classes::RELATIVE.or(Classes::CLOSING)))
    {
        return Some(j + 1);
    }
    let candidates: Vec<usize> = (from..end).filter(|&j| is_candidate(clause, p, j)).collect();
    // 就如何提高效率提出建议: the verb is the one after the question.
    if clause[p].is(Classes::ABOUT) && clause[from..].iter().take(3).any(|token| token.is(Classes::QUESTION)) {
        let clear = |j: &&usize| clause[**j].verb.is_some_and(|verb| !verb.ambiguous);
        return candidates.iter().rev().find(clear).or(candidates.last()).copied().filter(|&last| last > from);
    }
    let chosen = candidates.iter().copied().enumerate().find(|&(n, j)| {
        let later = &candidates[n + 1..];
        !is_in_relative(clause, j, later) && !is_modifier(clause, from, j, later)
    });
    let last = (from + 1..end).rev().find(|&j| !clause[j].is(Classes::COMPLEMENT.or(Classes::PARTICLE)));
    // 标红: an unknown verb and its result.
    let last = last.map(|j| if clause[j].kind == Kind::Adjective && is_verb_like(&clause[j - 1]) { j - 1 } else { j });
    let verb = chosen.map(|(_, j)| j).or(last.filter(|_| clause[p].is(Classes::HOLD)))?;
    // Adverbs and other phrases stand between the phrase and the verb.
    let mut at = verb;
    while at > from
        && clause[at - 1].verb.is_none()
        && !clause[at - 1].is(Classes::NOUN)
        && (clause[at - 1].kind == Kind::Adverb || clause[at - 1].is(Classes::OPENER.or(Classes::MODAL)))
    {
        at -= 1;
    }
    (at > from).then_some(at)
}

/// A preposition that is the clause's verb: 用 at its end, 拿, 到 with no verb after it.
pub fn is_plain_verb(clause: &[Token], i: usize) -> bool {
    let token = &clause[i];
    token.verb.is_some()
        && !token.is(Classes::MEANS.or(Classes::HOLD).or(Classes::ABOUT))
        && !matches!(token.word, "给" | "到" | "帮")
        && !clause[i + 1..].iter().any(|token| token.verb.is_some())
}

pub fn begins_verb(clause: &[Token], i: usize) -> bool {
    let token = &clause[i];
    is_verb_like(token) || token.kind == Kind::Adverb || token.is(Classes::PREP.or(Classes::MODAL).or(Classes::OPENER))
}

/// Whether a verb, or a phrase with one, can begin at `j` after the preposition at `p`.
fn is_candidate(clause: &[Token], p: usize, j: usize) -> bool {
    let token = &clause[j];
    let next = clause.get(j + 1);
    // 这起事故: a measure word.
    let counts =
        matches!(clause[j - 1].word, "这" | "那" | "该" | "几" | "每" | "两" | "一" | "三" | "四" | "五" | "十");
    if token.word.chars().count() == 1 && counts {
        return false;
    }
    // 学习率: the start of a noun.
    if next.is_some_and(is_suffix) {
        return false;
    }
    let joined = next.is_some_and(|next| next.is(Classes::CONJ)) && !clause.get(j + 2).is_some_and(is_verb_like);
    if next.is_some_and(|next| next.is(Classes::RELATIVE)) || joined && !token.is(Classes::PREP) {
        return false;
    }
    if token.is(Classes::HOLD)
        || token.is(Classes::PREP) && j > p + 1 && !token.is(Classes::CONJ) && token.word != "到" && token.word != "以"
    {
        return j + 1 < clause.len() && !matches!(token.word, "于" | "自" | "为" | "由" | "至" | "与" | "同");
    }
    if token.is(Classes::ASK) && token.verb.is_none() && j > p + 1 {
        return true;
    }
    let light = token.is(Classes::LIGHT);
    if token.is(Classes::COMPLEMENT) && is_verb_like(&clause[j - 1]) {
        return false;
    }
    token.verb.is_some()
        || light
        || token.kind == Kind::Verb
            && !token.is(Classes::NOUN.or(Classes::FINITE).or(Classes::PERSON).or(Classes::QUESTION))
            && token.word.len() > 3
}

/// 昨天收到的邮件: a verb whose clause ends in 的, with the main verb behind.
fn is_in_relative(clause: &[Token], j: usize, later: &[usize]) -> bool {
    let next = clause.get(j + 1);
    let marked = next.is_some_and(|next| {
        next.is(Classes::COMPLEMENT) || matches!(next.kind, Kind::Number | Kind::Measure) || next.is(Classes::NUMBER)
    });
    // 表达对母亲的感谢: the phrase with 的 is the verb's object.
    let aims = clause.get(j + 1).is_some_and(|next| matches!(next.word, "对" | "对于" | "关于"));
    if aims || matches!(clause[j].word, "按" | "按照" | "根据" | "用" | "以") {
        return false;
    }
    // 训练好的模型: a complement and 的.
    let done = next.is_some_and(|next| next.is(Classes::COMPLEMENT));
    let marked = marked && !(done && clause.get(j + 2).is_some_and(|after| after.is(Classes::RELATIVE)));
    let Some(of) = (j + 1..clause.len()).find(|&k| clause[k].is(Classes::RELATIVE)) else { return false };
    !marked && later.iter().any(|&m| m > of && !clause[m].is(Classes::TRAILING))
}

/// 训练权重, 用户反馈: a verb that is a noun in the phrase.
fn is_modifier(clause: &[Token], from: usize, j: usize, later: &[usize]) -> bool {
    let token = &clause[j];
    let clear = later.iter().any(|&m| {
        let verb = &clause[m];
        let last = clause[m + 1..].iter().all(|token| token.is(Classes::PARTICLE.or(Classes::COMPLEMENT)));
        verb.verb.is_some_and(|verb| !verb.ambiguous) || verb.is(Classes::LIGHT.or(Classes::PREP)) || last
    });
    if !clear || token.is(Classes::PREP.or(Classes::ASK).or(Classes::LIGHT)) {
        return false;
    }
    // 标记为已读: only verbs have complements.
    let next = clause.get(j + 1);
    let completed = ["成", "为", "到", "给", "出", "掉", "至", "入", "一下", "完"];
    if next.is_some_and(|next| completed.contains(&next.word)) {
        return false;
    }
    let ambiguous = token.verb.is_none_or(|verb| verb.ambiguous)
        || token.kind == Kind::Noun
        || token.is(Classes::NOUN)
        || j > from && clause[j - 1].is(Classes::RELATIVE);
    let noun_next = next.is_some_and(|next| {
        matches!(next.kind, Kind::Noun | Kind::Latin) || next.is(Classes::NOUN.or(Classes::CLOSING).or(Classes::CONJ))
    });
    let verb_next = later.first() == Some(&(j + 1))
        || next.is_some_and(|next| next.kind == Kind::Adverb || next.is(Classes::LIGHT.or(Classes::PREP)));
    (j == from || ambiguous) && (noun_next || verb_next)
}
