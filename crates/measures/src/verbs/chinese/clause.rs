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
    // "max_length: 截断长度": what stands after a name is its definition.
    let named =
        sentence.iter().find(|token| !matches!(token.kind, Kind::Latin | Kind::Quote | Kind::Other | Kind::Number));
    let named = named.is_some_and(|token| token.kind == Kind::Colon) && sentence[0].kind != Kind::Number;
    // "…，好吗？": the question is about a request that stands before it.
    let tag =
        clauses.last().is_some_and(|clause| clause.iter().all(|token| token.is(Classes::PARTICLE.or(Classes::OPENER))));
    if tag && clauses.len() > 1 {
        clauses.pop();
    }
    let last = clauses.len().saturating_sub(1);
    let mut so_far = SoFar { stated: named, requested: false, about: None };
    for (i, clause) in clauses.iter().enumerate() {
        let place =
            Place { asked: question && i == last && !tag, more: i < last, named: ends_in_colon(clause, sentence) };
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

fn ends_in_colon(clause: &[Token], sentence: &[Token]) -> bool {
    let end = clause.last().map_or(0, |token| token.at.end);
    sentence.iter().find(|token| token.at.start >= end).is_some_and(|token| token.kind == Kind::Colon)
}

/// Where a clause is in its sentence.
#[derive(Clone, Copy)]
struct Place {
    /// It ends with a question mark.
    asked: bool,
    /// Other clauses follow.
    more: bool,
    /// A colon follows.
    named: bool,
}

/// What earlier clauses of the sentence leave to later ones.
struct SoFar<'t> {
    /// Something was stated: only a frame makes a request now.
    stated: bool,
    requested: bool,
    /// 针对他的要求，…: the phrase of a preposition without a verb.
    about: Option<&'t [Token<'t>]>,
}

fn read<'t>(clause: &'t [Token<'t>], place: Place, so_far: &mut SoFar<'t>, found: &mut Vec<Request<'t>>) {
    // "要求：", "评论：": what follows is named, not asked for.
    if let [label] = clause
        && label.is(Classes::LABEL)
        && place.named
    {
        return;
    }
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
        let acts = clause[start].kind == Kind::Verb
            && !clause[start + 1..].iter().any(|token| token.is(Classes::FINITE) || token.word == "了");
        let led = clause[start].is(Classes::PREP) || acts || clause.iter().all(|token| !is_statement_word(token));
        so_far.stated |= !led;
        return;
    };
    let sure = frame.asked || frame.modal || frame.wished || request.sure && !place.asked;
    // "写一首诗，必须押韵": a demand on what is asked for already.
    let demanded = so_far.requested && frame.duty && !frame.asked && !frame.you;
    if so_far.stated && !sure || demanded {
        return;
    }
    so_far.requested = true;
    if let (Object::None | Object::Named(_), Some(about)) = (&request.object, so_far.about) {
        request.object = Object::Tokens(about);
    }
    let weight = request.weight;
    if weight == Weight::Hint && clause[start].is(Classes::ABOUT) {
        so_far.about = Some(&clause[start + 1..]);
    }
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
        let goes_on = begins_verb(clause, i + 1) || next.is(Classes::ASK.or(Classes::MODAL));
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
        if let Some((mut request, from)) = find(clause, next, frame, Place { asked: false, more: false, named: false })
        {
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
        let plain_so = token.word == "就"
            && next.is_some_and(|next| {
                next.is(Classes::ASK.or(Classes::MODAL).or(Classes::HOLD).or(Classes::YOU))
                    || is_verb_like(next)
                    || next.word == "给"
            });
        if token.word == "请问" || plain_so {
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
            // 想出: a verb.
            if matches!(token.word, "想" | "要")
                && next.is_some_and(|next| matches!(next.word, "出" | "出来" | "到" | "起"))
            {
                break;
            }
            frame.modal = true;
            frame.duty |= matches!(token.word, "应" | "应该" | "应当" | "必须" | "须" | "建议" | "不妨" | "该" | "试");
            frame.duty |= matches!(token.word, "能否" | "能不能" | "可否" | "可不可以" | "是否可以" | "是否能")
                && next.is_some_and(|next| is_verb_like(next) || next.is(Classes::PREP));
            frame.wished |= token.is(Classes::WISH) && !frame.asked && !frame.you;
        } else if token.kind == Kind::Adjective && token.verb.is_none() && next.is_some_and(|next| next.verb.is_some())
        {
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
    let softened = tail.iter().take(2).any(|token| token.word == "一下") || next.is_some_and(|next| next.word == "下");
    let counted = next.is_some_and(|token| {
        matches!(token.kind, Kind::Number | Kind::Measure) && !token.word.is_ascii() || token.is(Classes::NUMBER)
    });
    let strong = frame.asked || frame.duty || frame.modal && (frame.helped || scan.held.is_some() || frame.you);
    let asks = strong || gives_me || softened && (frame.modal || !question) || frame.modal && question && counted;
    let known = verb.verb.is_some() || verb.is(Classes::LIGHT);
    let topic = &clause[scan.topic.clone()];
    let led = clause[start].verb.is_some() && scan.topic.start == start;
    if !frame.asked && topic.iter().any(|token| token.is(Classes::ME.or(Classes::FINITE).or(Classes::QUESTION))) {
        return None;
    }
    if !frame.asked
        && clause[start..scan.verb].iter().any(|token| token.is(Classes::QUESTION) && !token.is(Classes::MODAL))
    {
        return None;
    }
    let asks_what =
        clause.iter().any(|token| token.is(Classes::QUESTION) && !token.is(Classes::PARTICLE.or(Classes::MODAL)));
    if scan.weak {
        return (!asks_what && !question).then_some(Weight::Hint);
    }
    // 您能提供哪些服务？
    if question && asks_what && !(frame.asked || frame.helped || gives_me || softened) {
        return None;
    }
    if !known && !topic.is_empty() && !frame.asked {
        return None;
    }
    if asks {
        let may = !(frame.asked || frame.duty || frame.helped || gives_me || softened || question);
        return Some(match () {
            () if frame.wished && !frame.asked => Weight::Wish,
            () if may && scan.held.is_none() => Weight::Hint,
            () => Weight::Ask,
        });
    }
    let plain = !asks_what && (scan.held.is_some() || known && counted && scan.verb == start);
    if question && !plain || !topic.is_empty() && !led {
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
    if is_heading(clause, scan.verb) {
        return None;
    }
    if frame.modal
        || done
        || (verb.is(Classes::STATING) || verb.word == "说" && !counted) && !clause[start].is(Classes::PREP)
        || !begins_object(clause, scan.verb)
    {
        return None;
    }
    // 根据用户评论，…: a noun that looks like the verb of the phrase before the request.
    if place.more && is_last_noun(clause, start, scan.verb) {
        return Some(Weight::Hint);
    }
    (known || counted && verb.kind == Kind::Verb && !verb.is(Classes::STATING)).then_some(Weight::Ask)
}

/// 减少浪费的三个步骤: a heading, whose verb is in its relative clause.
fn is_heading(clause: &[Token], verb: usize) -> bool {
    let last = clause.last().is_some_and(|token| {
        matches!(
            token.word,
            "步骤" | "方法" | "措施" | "重要性" | "策略" | "原因" | "优点" | "缺点" | "好处" | "技巧" | "意义"
        )
    });
    let does = clause[verb].verb.is_some_and(|verb| verb.level == Level::Apply);
    last && does && clause[verb..].iter().any(|token| token.is(Classes::RELATIVE))
}

fn is_last_noun(clause: &[Token], start: usize, verb: usize) -> bool {
    let token = &clause[verb];
    let ambiguous = token.verb.is_some_and(|verb| verb.ambiguous) || token.is(Classes::NOUN);
    verb + 1 == clause.len() && ambiguous && clause[start].is(Classes::PREP) && !clause[start].is(Classes::HOLD)
}

/// Whether what follows a verb without a frame can be its object: not 评分最好是5分, 分也不低.
fn begins_object(clause: &[Token], verb: usize) -> bool {
    let rest = &clause[verb + 1..];
    let Some(next) = rest.first() else { return true };
    let nominal = clause[verb].kind != Kind::Verb || clause[verb].is(Classes::NOUN);
    let relative = rest.iter().any(|token| token.is(Classes::RELATIVE.or(Classes::QUESTION)));
    let stated = rest[..rest.len() - 1]
        .iter()
        .any(|token| matches!(token.word, "是" | "也" | "都" | "有" | "会" | "能" | "可以" | "应该" | "没有"));
    if next.is(Classes::FINITE) && (nominal || !relative) || nominal && stated && !relative {
        return false;
    }
    let degree = matches!(next.word, "高" | "低" | "大" | "小" | "好" | "多" | "少" | "快" | "慢") && rest.len() <= 2;
    let scored =
        matches!(clause[verb].word, "评分" | "打分" | "分") && (next.word.is_ascii() || next.is(Classes::PREP));
    let adverb = matches!(next.word, "也" | "都" | "又" | "太" | "很" | "挺" | "真" | "才" | "却" | "不" | "没");
    !(degree || scored || adverb && !relative)
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
            let verb = (i + 1..end).filter(|_| frame.asked).find(acts);
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
    let chosen = candidates.iter().copied().enumerate().find(|&(n, j)| {
        let later = &candidates[n + 1..];
        !is_in_relative(clause, j, later) && !is_modifier(clause, from, j, later)
    });
    let verb = chosen.map(|(_, j)| j)?;
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

fn begins_verb(clause: &[Token], i: usize) -> bool {
    let token = &clause[i];
    is_verb_like(token) || token.kind == Kind::Adverb || token.is(Classes::PREP.or(Classes::MODAL).or(Classes::OPENER))
}

/// Whether a verb, or a phrase with one, can begin at `j` after the preposition at `p`.
fn is_candidate(clause: &[Token], p: usize, j: usize) -> bool {
    let token = &clause[j];
    let next = clause.get(j + 1);
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
            && !token.is(Classes::NOUN.or(Classes::FINITE).or(Classes::PERSON))
            && token.word.len() > 3
}

/// 昨天收到的邮件: a verb whose clause ends in 的, with the main verb behind.
fn is_in_relative(clause: &[Token], j: usize, later: &[usize]) -> bool {
    let next = clause.get(j + 1);
    let marked = next.is_some_and(|next| {
        next.is(Classes::COMPLEMENT) || matches!(next.kind, Kind::Number | Kind::Measure) || next.is(Classes::NUMBER)
    });
    if matches!(clause[j].word, "按" | "按照" | "根据" | "用" | "以") {
        return false;
    }
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
    let ambiguous = token.verb.is_none_or(|verb| verb.ambiguous)
        || matches!(token.kind, Kind::VerbNoun | Kind::Noun)
        || token.is(Classes::NOUN)
        || j > from && clause[j - 1].is(Classes::RELATIVE);
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
    let product = clause[object.clone()].iter().any(|token| {
        matches!(token.kind, Kind::Number | Kind::Measure)
            && token.word.ends_with(['份', '张', '套', '篇', '本', '款', '幅', '首', '页'])
    });
    if clause[scan.verb].is(Classes::LIGHT)
        && !product
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
    let next = clause.get(scan.verb + 1);
    let counted =
        next.is_some_and(|next| next.is(Classes::NUMBER) || next.kind == Kind::Number && !next.word.is_ascii());
    let sure = scan.held.is_some() || counted || next.is_some_and(|token| token.is(Classes::ME));
    (Request { verb: lemma, level, weight, at, object: object_is, sure }, object.end.max(verb_at + 1))
}

/// The verb without complements and doubling.
fn lemma(clause: &[Token], i: usize) -> String {
    let word = clause[i].word;
    // One syllable and 出 are one word.
    if word.chars().count() == 1 && clause.get(i + 1).is_some_and(|next| next.word == "出") {
        return format!("{word}出");
    }
    // 走走, 尝尝, of verbs that the lexicon lacks.
    let half = word.len() / 2;
    let doubled = word.is_char_boundary(half) && word[..half] == word[half..];
    if doubled { word[..half].to_owned() } else { clause[i].lemma.to_owned() }
}
