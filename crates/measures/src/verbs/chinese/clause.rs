//! Where the verb of a request is in a clause, and what its object is.

use std::ops::Range;

use super::super::Level;
use super::lexicon::{Classes, LEXICON};
use super::object;
use super::segment::{Kind, Token};
use super::span;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Counts where the text has nothing better: 使用 X alone, 可以 V.
    Hint,
    /// 我想 V.
    Wish,
    Ask,
}

pub struct Request<'t> {
    pub verb: String,
    pub level: Level,
    pub weight: Weight,
    pub at: Range<usize>,
    pub object: Object<'t>,
    /// Something besides the bare verb says that it is asked for: 把 …, 告诉我 …
    sure: bool,
}

pub enum Object<'t> {
    None,
    /// The phrase, modifiers and all.
    Tokens(&'t [Token<'t>]),
    /// 是否完好: it has no head.
    Clause(&'t [Token<'t>]),
    Named(String),
}

/// What was peeled off before a verb.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    asked: bool,
    wished: bool,
    /// 能, 可以, 需要, 应.
    modal: bool,
    /// 应, 必须, 建议: of the modals, those that ask.
    duty: bool,
    /// 您能 …: the one who is asked is named.
    you: bool,
    /// 帮我, 给我.
    helped: bool,
}

/// Adds the requests of one sentence.
pub fn requests<'t>(sentence: &'t [Token<'t>], found: &mut Vec<Request<'t>>) {
    let question = sentence.last().is_some_and(|token| token.kind == Kind::Question);
    let mut clauses: Vec<&[Token]> = sentence
        .split(|token| matches!(token.kind, Kind::Comma | Kind::Colon | Kind::Stop | Kind::Question))
        .filter(|clause| !clause.is_empty())
        .collect();
    // "…，好吗？": the question is about a request that stands before it.
    let tag =
        clauses.last().is_some_and(|clause| clause.iter().all(|token| token.is(Classes::PARTICLE.or(Classes::OPENER))));
    if tag && clauses.len() > 1 {
        clauses.pop();
    }
    let last = clauses.len().saturating_sub(1);
    let mut so_far = SoFar::default();
    for (i, clause) in clauses.iter().enumerate() {
        let place = Place { asked: question && i == last && !tag, more: i < last };
        let before = found.len();
        read(clause, place, &mut so_far, found);
        if let [.., request] = &mut found[before..]
            && let Object::Tokens(phrase) = request.object
            && let Some(longer) = object::continued(phrase, sentence)
        {
            request.object = Object::Tokens(longer);
        }
    }
}

/// Where a clause is in its sentence.
#[derive(Clone, Copy)]
struct Place {
    /// It ends with a question mark.
    asked: bool,
    /// Other clauses follow.
    more: bool,
}

/// What earlier clauses of the sentence leave to later ones.
#[derive(Default)]
struct SoFar<'t> {
    /// Something was stated: only a frame makes a request now.
    stated: bool,
    /// 针对他的要求，…: the phrase of a preposition without a verb.
    about: Option<&'t [Token<'t>]>,
}

fn read<'t>(clause: &'t [Token<'t>], place: Place, so_far: &mut SoFar<'t>, found: &mut Vec<Request<'t>>) {
    let (mut start, mut frame) = peel(clause, 0, Frame::default());
    if let Some(after) = after_circumstance(clause, start) {
        (start, frame) = peel(clause, after, frame);
    }
    if start >= clause.len() || clause[start].is(Classes::PROHIBIT) && clause[start].verb.is_none() {
        return;
    }
    if clause[start].is(Classes::SETTING) || is_circumstance(&clause[start..]) {
        return;
    }
    let framed = (!frame.asked).then(|| strong_frame(clause, start)).flatten();
    let framed = framed.and_then(|at| {
        let (after, peeled) = peel(clause, at, frame);
        find(clause, after, peeled, place).map(|found| (found, start..at))
    });
    if let Some(((mut request, from), topic)) = framed {
        let before = &clause[topic];
        if matches!(request.object, Object::None) && before.iter().all(|token| token.verb.is_none()) {
            request.object = Object::Tokens(before);
        }
        let weight = request.weight;
        found.push(request);
        return joined(clause, from, weight, found);
    }
    let Some((mut request, from)) = find(clause, start, frame, place) else {
        let prep = clause[start].is(Classes::ABOUT.or(Classes::HOLD));
        so_far.about = if prep { Some(&clause[start + 1..]) } else { so_far.about };
        let led = clause[start].is(Classes::PREP) || clause.iter().all(|token| !is_statement_word(token));
        so_far.stated |= !led;
        return;
    };
    let sure = frame.asked || frame.modal || frame.wished || request.sure;
    if so_far.stated && !sure {
        return;
    }
    if let (Object::None | Object::Named(_), Some(about)) = (&request.object, so_far.about) {
        request.object = Object::Tokens(about);
    }
    let weight = request.weight;
    found.push(request);
    joined(clause, from, weight, found);
}

/// 吃完饭可以帮我找…, 电话请发给我: a frame that no noun or relative clause can hold.
fn strong_frame(clause: &[Token], start: usize) -> Option<usize> {
    (start + 1..clause.len()).find(|&i| {
        let next = clause.get(i + 1);
        if clause[i].is(Classes::ME) && wishes(&clause[i + 1..]) && clause[i - 1].word != "让" {
            return true;
        }
        if clause[i].is(Classes::DOUBLE) && clause[i].word != "给" && next.is_some_and(|next| next.is(Classes::ME)) {
            return true;
        }
        matches!(clause[i].word, "请" | "麻烦" | "帮我" | "帮忙" | "劳驾" | "烦请" | "帮" | "请您" | "请你" | "拜托")
            && !clause[i - 1].is(Classes::PREP)
    })
}

/// 是, 有, 了, a subject: signs that a clause states something.
fn is_statement_word(token: &Token) -> bool {
    token.is(Classes::FINITE.or(Classes::ME).or(Classes::PROHIBIT)) || token.word == "了" || token.kind == Kind::Verb
}

/// 启动容器后拉取代码: where a clause goes on after it has said when.
fn after_circumstance(clause: &[Token], start: usize) -> Option<usize> {
    if clause.get(start).is_none_or(|token| token.is(Classes::PREP)) {
        return None;
    }
    let at = (start + 1..clause.len().saturating_sub(1)).find(|&i| {
        let next = &clause[i + 1];
        let goes_on = !next.is(Classes::RELATIVE.or(Classes::NUMBER))
            && next.kind != Kind::Number
            && (next.kind != Kind::Noun || next.is(Classes::MODAL) || next.verb.is_some());
        matches!(clause[i].word, "后" | "之后" | "以后" | "前" | "之前" | "以前" | "时" | "的话") && goes_on
    })?;
    let of_time = !clause[start..at].iter().any(|token| token.is(Classes::RELATIVE.or(Classes::PREP)));
    of_time.then_some(at + 1)
}

/// "… 并统计行数", "… 再删除": further verbs of the clause.
fn joined<'t>(clause: &'t [Token<'t>], from: usize, weight: Weight, found: &mut Vec<Request<'t>>) {
    let Some(n) = clause[from..].iter().position(|token| matches!(token.word, "并" | "并且" | "然后" | "再"))
    else {
        return;
    };
    let next = from + n + 1;
    if next < clause.len() && (clause[next].verb.is_some() || clause[next].is(Classes::HOLD)) {
        let frame = Frame { asked: true, ..Frame::default() };
        if let Some((mut request, from)) = find(clause, next, frame, Place { asked: false, more: false }) {
            request.weight = weight;
            found.push(request);
            joined(clause, from, weight, found);
        }
    }
}

/// Skips openers, politeness, persons and modals from `i` on.
fn peel(clause: &[Token], mut i: usize, mut frame: Frame) -> (usize, Frame) {
    while let Some(token) = clause.get(i) {
        let next = clause.get(i + 1);
        let next_is = |classes: Classes| next.is_some_and(|next| next.is(classes));
        let more = i + 1 < clause.len();
        if token.word == "请问" {
        } else if token.is(Classes::ME) && wishes(&clause[i + 1..]) {
            // 我想请您 …, 我希望你 …: asked; 我想 V: wished.
            frame.wished = true;
        } else if token.word == "给" && next_is(Classes::ME) && clause.get(i + 2).is_some_and(is_verb_like) {
            frame.asked = true;
            frame.helped = true;
            i += 1;
        } else if token.word == "给" && next.is_some_and(|next| next.verb.is_some() && !next.is(Classes::NUMBER)) {
            frame.asked = true;
        } else if matches!(token.word, "帮" | "替" | "帮助" | "协助" | "让" | "为") && next_is(Classes::PERSON)
        {
            frame.asked = true;
            frame.helped = true;
            i += 1;
        } else if matches!(token.word, "来" | "去" | "让" | "求" | "帮助" | "协助" | "替" | "记得") {
            if !next.is_some_and(|next| next.verb.is_some() || next.is(Classes::HOLD)) {
                break;
            }
            frame.asked |= matches!(token.word, "记得");
        } else if token.is(Classes::ASK) {
            frame.asked = true;
            frame.helped |= token.word.starts_with('帮');
        } else if token.is(Classes::YOU) {
            if frame.wished {
                frame.asked = true;
            }
            frame.you = true;
        } else if token.is(Classes::MODAL) && more && (token.verb.is_none() || is_modal_here(token, next, &frame)) {
            frame.modal = true;
            frame.duty |= matches!(token.word, "应" | "应该" | "应当" | "必须" | "须" | "建议" | "不妨" | "该" | "试");
            frame.duty |= matches!(token.word, "能否" | "能不能" | "可否" | "可不可以" | "是否可以" | "是否能")
                && next.is_some_and(is_verb_like);
            frame.wished |= token.is(Classes::WISH) && !frame.asked && !frame.you;
        } else if (token.is(Classes::OPENER) || token.kind == Kind::Adverb && token.verb.is_none())
            && !token.is(Classes::PROHIBIT.or(Classes::SETTING).or(Classes::PREP).or(Classes::QUESTION))
            && (token.verb.is_none() || !more || next.is_some_and(is_verb_like))
        {
        } else if matches!(token.kind, Kind::Number | Kind::Other)
            && i == 0
            && !token.is(Classes::PREP)
            && token.word.is_ascii()
        {
        } else {
            break;
        }
        i += 1;
    }
    (i, frame)
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
        "准备" | "计划" => frame.wished && (verb_next || next.is_some_and(|next| next.is(Classes::PREP))),
        _ => {
            verb_next
                || next.is_some_and(|next| next.is(Classes::PREP.or(Classes::ASK).or(Classes::YOU).or(Classes::ME)))
        }
    }
}

fn is_verb_like(token: &Token) -> bool {
    token.verb.is_some()
        || matches!(token.kind, Kind::Verb | Kind::VerbNoun)
        || token.is(Classes::HOLD.or(Classes::ASK))
}

/// "… 时", "… 之后", "… 的话": a clause that says when.
fn is_circumstance(clause: &[Token]) -> bool {
    let last = clause.last().map_or("", |token| token.word);
    let first = &clause[0];
    let ends = matches!(
        last,
        "时" | "后"
            | "之后"
            | "以后"
            | "前"
            | "之前"
            | "以前"
            | "的话"
            | "时候"
            | "期间"
            | "中"
            | "下"
            | "起见"
            | "上"
            | "之余"
    );
    let place = first.is(Classes::PREP) && !first.is(Classes::HOLD);
    ends && clause.len() > 1
        && (place || matches!(last, "时" | "后" | "之后" | "以后" | "前" | "之前" | "以前" | "的话" | "时候" | "起见"))
}

/// The request of a clause whose frame ends at `start`, and where reading goes on.
fn find<'t>(clause: &'t [Token<'t>], start: usize, frame: Frame, place: Place) -> Option<(Request<'t>, usize)> {
    let scan = scan(clause, start, frame)?;
    let weight = weight(clause, start, &scan, place)?;
    Some(request(clause, &scan, weight))
}

/// How much the clause asks; none where it asks for nothing.
fn weight(clause: &[Token], start: usize, scan: &Scan, place: Place) -> Option<Weight> {
    let frame = scan.frame;
    let verb = &clause[scan.verb];
    let next = clause.get(scan.verb + 1);
    let tail = &clause[scan.verb + 1..];
    let question =
        place.asked || clause.last().is_some_and(|token| matches!(token.word, "吗" | "呢" | "么" | "没" | "嘛"));
    let gives_me = verb.is(Classes::DOUBLE) && next.is_some_and(|token| token.is(Classes::ME));
    let softened = tail.iter().take(2).any(|token| matches!(token.word, "一下" | "下"));
    let counted = next.is_some_and(|token| {
        matches!(token.kind, Kind::Number | Kind::Measure) && !token.word.is_ascii() || token.is(Classes::NUMBER)
    });
    let strong = frame.asked || frame.duty || frame.modal && (frame.helped || scan.held.is_some() || frame.you);
    let asks = strong || gives_me || softened && (frame.modal || !question) || frame.modal && question && counted;
    let known = verb.verb.is_some() || verb.is(Classes::LIGHT);
    let topic = &clause[scan.topic.clone()];
    if !frame.asked && topic.iter().any(|token| token.is(Classes::ME.or(Classes::FINITE).or(Classes::QUESTION))) {
        return None;
    }
    if !frame.asked
        && clause[start..scan.verb].iter().any(|token| token.is(Classes::QUESTION) && !token.is(Classes::MODAL))
    {
        return None;
    }
    if scan.weak {
        return Some(Weight::Hint);
    }
    if asks {
        return Some(if frame.wished && !frame.asked { Weight::Wish } else { Weight::Ask });
    }
    if question || !topic.is_empty() {
        return None;
    }
    if frame.wished {
        let fits = !verb.is(Classes::FINITE) && (known && begins_object(clause, scan.verb) || verb.kind == Kind::Verb);
        return fits.then_some(Weight::Wish);
    }
    let done = clause.last().is_some_and(|token| token.is(Classes::DONE) || token.word == "了")
        || next.is_some_and(|next| matches!(next.word, "了" | "过" | "着" | "得"));
    if scan.held.is_some() {
        return Some(Weight::Ask);
    }
    if frame.modal || done || !begins_object(clause, scan.verb) {
        return None;
    }
    // 根据用户评论，…: a noun that looks like the verb of the phrase before the request.
    if place.more && is_last_noun(clause, start, scan.verb) {
        return Some(Weight::Hint);
    }
    (known || counted && verb.kind == Kind::Verb).then_some(Weight::Ask)
}

fn is_last_noun(clause: &[Token], start: usize, verb: usize) -> bool {
    let token = &clause[verb];
    let ambiguous = token.verb.is_some_and(|verb| verb.ambiguous) || token.is(Classes::NOUN);
    verb + 1 == clause.len() && ambiguous && clause[start].is(Classes::PREP) && !clause[start].is(Classes::HOLD)
}

/// Whether what follows a verb without a frame can be its object: not 评分最好是5分, 分也不低.
fn begins_object(clause: &[Token], verb: usize) -> bool {
    let ambiguous = clause[verb].verb.is_some_and(|verb| verb.ambiguous) || clause[verb].is(Classes::NOUN);
    let short = clause[verb].word.chars().count() == 1;
    let stated = clause[verb + 1..].iter().any(|token| token.is(Classes::FINITE))
        && !clause[verb + 1..].iter().any(|t| t.is(Classes::RELATIVE));
    match clause.get(verb + 1) {
        None => true,
        Some(next) if next.is(Classes::FINITE) => false,
        Some(_) if ambiguous && stated => false,
        Some(next) if next.kind == Kind::Number && ambiguous => !next.word.starts_with(|c: char| c.is_ascii_digit()),
        Some(next) if short || ambiguous => !matches!(
            next.word,
            "也" | "都" | "又" | "太" | "很" | "挺" | "真" | "才" | "却" | "不" | "没" | "高" | "低" | "大" | "小"
        ),
        Some(_) => true,
    }
}

struct Scan {
    verb: usize,
    /// The phrase of 把, 将, 对, 针对.
    held: Option<Range<usize>>,
    about: Option<Range<usize>>,
    /// A phrase before the frame: 酒店的电话给我发一下.
    topic: Range<usize>,
    frame: Frame,
    weak: bool,
}

/// Finds the main verb behind prepositional phrases and topics.
fn scan(clause: &[Token], start: usize, mut frame: Frame) -> Option<Scan> {
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
            continue;
        }
        if is_main(clause, i) {
            let modified = clause.get(i + 1).is_some_and(|next| next.is(Classes::RELATIVE));
            if !modified {
                return Some(Scan { verb: i, held, about, topic, frame, weak: false });
            }
        }
        // No verb here: a topic, up to a frame that begins a request.
        let Some(frame_at) = (i + 1..end).find(|&j| begins_frame(clause, j)) else { break };
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

/// Whether a request's frame can begin in the middle of a clause.
fn begins_frame(clause: &[Token], i: usize) -> bool {
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
fn is_final_give(clause: &[Token], i: usize) -> bool {
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

/// A preposition that is the clause's verb: 用 at its end, 拿, 到 with no verb after it.
fn is_plain_verb(clause: &[Token], i: usize) -> bool {
    let token = &clause[i];
    token.verb.is_some()
        && !token.is(Classes::MEANS.or(Classes::HOLD).or(Classes::ABOUT))
        && !matches!(token.word, "给" | "到" | "帮")
        && !clause[i + 1..].iter().any(|token| token.verb.is_some())
}

/// Where the phrase of the preposition at `p` ends and the verb, or another phrase, begins.
fn after_phrase(clause: &[Token], p: usize) -> Option<usize> {
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
    let candidates: Vec<usize> = (from..end).filter(|&j| is_candidate(clause, p, j)).collect();
    let chosen = candidates.iter().copied().enumerate().find(|&(n, j)| {
        let later = &candidates[n + 1..];
        !is_in_relative(clause, j, later) && !is_modifier(clause, from, j, later)
    });
    let verb = chosen.map(|(_, j)| j)?;
    // Adverbs and other phrases stand between the phrase and the verb.
    let mut at = verb;
    while at > from
        && (clause[at - 1].kind == Kind::Adverb
            || clause[at - 1].is(Classes::OPENER.or(Classes::MODAL)) && clause[at - 1].verb.is_none())
    {
        at -= 1;
    }
    (at > from).then_some(at)
}

fn begins_verb(clause: &[Token], i: usize) -> bool {
    let token = &clause[i];
    is_verb_like(token) || token.kind == Kind::Adverb || token.is(Classes::PREP.or(Classes::MODAL).or(Classes::OPENER))
}

/// Whether a verb, or a phrase with one, can begin at `j` after the preposition at `p`.
fn is_candidate(clause: &[Token], p: usize, j: usize) -> bool {
    let token = &clause[j];
    let next = clause.get(j + 1);
    if next.is_some_and(|next| next.is(Classes::RELATIVE)) {
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
            && !token.is(Classes::NOUN.or(Classes::FINITE).or(Classes::PERSON))
            && token.word.len() > 3
}

/// 昨天收到的邮件: a verb whose clause ends in 的, with the main verb behind.
fn is_in_relative(clause: &[Token], j: usize, later: &[usize]) -> bool {
    let next = clause.get(j + 1);
    let marked = next.is_some_and(|next| {
        next.is(Classes::COMPLEMENT) || matches!(next.kind, Kind::Number | Kind::Measure) || next.is(Classes::NUMBER)
    });
    let Some(of) = (j + 1..clause.len()).find(|&k| clause[k].is(Classes::RELATIVE)) else { return false };
    !marked && later.iter().any(|&m| m > of && !clause[m].is(Classes::TRAILING))
}

/// 训练权重, 用户反馈: a verb that is a noun in the phrase.
fn is_modifier(clause: &[Token], from: usize, j: usize, later: &[usize]) -> bool {
    let token = &clause[j];
    if later.is_empty() || token.is(Classes::PREP.or(Classes::ASK).or(Classes::LIGHT)) {
        return false;
    }
    let ambiguous =
        token.verb.is_none_or(|verb| verb.ambiguous) || token.kind == Kind::VerbNoun || token.is(Classes::NOUN);
    let next = clause.get(j + 1);
    let noun_next = next.is_some_and(|next| {
        matches!(next.kind, Kind::Noun | Kind::Latin) || next.is(Classes::NOUN.or(Classes::CLOSING).or(Classes::CONJ))
    });
    let verb_next = later.first() == Some(&(j + 1))
        || next.is_some_and(|next| next.kind == Kind::Adverb || next.is(Classes::LIGHT.or(Classes::PREP)));
    j == from && (noun_next || verb_next) || ambiguous && (noun_next || verb_next)
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

fn request<'t>(clause: &'t [Token<'t>], scan: &Scan, weight: Weight) -> (Request<'t>, usize) {
    let mut verb_at = scan.verb;
    let mut lemma = lemma(clause, verb_at);
    let mut object = object::after(clause, verb_at);
    let before = scan.held.clone().or(scan.about.clone());
    let mut object_is = Object::Tokens(&clause[object.clone()]);
    if clause[scan.verb].is(Classes::LIGHT)
        && let Some(noun) = object::verbal_noun(&clause[object.clone()])
    {
        verb_at = object.start + noun;
        lemma = clause[verb_at].word.to_owned();
        let rest = object.start..verb_at;
        object_is = match object::head(&clause[rest]) {
            Some(head) if before.is_none() => Object::Named(head),
            _ => Object::None,
        };
        object = verb_at..verb_at;
    }
    let empty = match &object_is {
        Object::None => true,
        Object::Tokens(tokens) => object::head(tokens).is_none(),
        _ => false,
    };
    let clausal = object::is_clause(&clause[scan.verb], &clause[object.clone()]);
    if let Some(held) = scan.held.clone() {
        object_is = Object::Tokens(&clause[held]);
    } else if empty
        && !clausal
        && let Some(range) = before.or(Some(scan.topic.clone()).filter(|topic| !topic.is_empty()))
    {
        object_is = Object::Tokens(&clause[range]);
    } else if empty && !clausal && object.is_empty() {
        object_is = Object::None;
    } else if clausal {
        object_is = Object::Clause(&clause[object.clone()]);
    }
    let level = LEXICON.verb(&lemma).map_or(Level::Apply, |verb| verb.level);
    let at = span(&clause[verb_at..=verb_at]);
    let sure = scan.held.is_some() || clause.get(scan.verb + 1).is_some_and(|token| token.is(Classes::ME));
    (Request { verb: lemma, level, weight, at, object: object_is, sure }, object.end.max(verb_at + 1))
}

/// The verb without complements and doubling.
fn lemma(clause: &[Token], i: usize) -> String {
    let word = clause[i].word;
    // 试试, 看一看, 介绍介绍.
    let mut chars = word.chars();
    if let (Some(a), Some(b), None) = (chars.next(), chars.next(), chars.next())
        && a == b
    {
        return a.to_string();
    }
    // One syllable and 出 are one word.
    if word.chars().count() == 1 && clause.get(i + 1).is_some_and(|next| next.word == "出") {
        return format!("{word}出");
    }
    clause[i].lemma.to_owned()
}
