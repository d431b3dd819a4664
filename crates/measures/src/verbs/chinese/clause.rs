//! Where the verb of a request is in a clause, and what its object is.

use std::ops::Range;

use super::super::Level;
use super::frame::{Frame, peel, strong_frame};
use super::lexicon::{Classes, LEXICON};
use super::object;
use super::phrase::begins_verb;
use super::scan::{Scan, scan};
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
    if clause[start].is(Classes::SETTING) || is_circumstance(&clause[start..]) {
        return;
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
    let of_time = !clause[start..at]
        .iter()
        .any(|token| token.is(Classes::RELATIVE) || token.is(Classes::PREP) && token.verb.is_none());
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
    // 说说, 数一数, where they are more than one word.
    let doubled = next.is_some_and(|next| next.word == verb.word || next.word.strip_prefix('一') == Some(verb.word));
    let softened =
        doubled || tail.iter().take(2).any(|token| token.word == "一下") || next.is_some_and(|next| next.word == "下");
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
    let wondered =
        clause[start..scan.verb].iter().any(|token| token.is(Classes::QUESTION) && !token.is(Classes::MODAL));
    let about_what = clause[start].is(Classes::ABOUT) && !place.asked;
    if wondered && !frame.asked && !about_what {
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
    let done = clause.last().is_some_and(|token| token.is(Classes::DONE) || matches!(token.word, "了" | "是" | "如下"))
        && !matches!(verb.word, "等待" | "等")
        || next.is_some_and(|next| matches!(next.word, "了" | "过" | "着" | "得"));
    if scan.held.is_some() {
        return Some(Weight::Ask);
    }
    let states = LEXICON.classes(verb.lemma).has(Classes::STATING) || verb.word == "说";
    // 可以用以下命令启动: where nothing is asked, what can be done.
    if frame.modal && known && !done && !states && begins_object(clause, scan.verb) {
        return Some(Weight::Hint);
    }
    if is_heading(clause, scan.verb) {
        return None;
    }
    if frame.modal
        || done
        || (verb.is(Classes::STATING) || verb.word == "说")
            && !(counted && matches!(verb.word, "说" | "来"))
            && !clause[start].is(Classes::PREP)
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
    let predicate = nominal && matches!(next.word, "是" | "也" | "都" | "会" | "没有" | "不");
    if predicate || next.is(Classes::FINITE) && !relative || nominal && stated && !relative {
        return false;
    }
    let degree = matches!(next.word, "高" | "低" | "大" | "小" | "好" | "多" | "少" | "快" | "慢") && rest.len() <= 2;
    let scored =
        matches!(clause[verb].word, "评分" | "打分" | "分") && (next.word.is_ascii() || next.is(Classes::PREP));
    let adverb = matches!(next.word, "也" | "都" | "又" | "太" | "很" | "挺" | "真" | "才" | "却" | "不" | "没");
    !(degree || scored || adverb && !relative)
}

fn request<'t>(clause: &'t [Token<'t>], scan: &Scan, weight: Weight) -> (Request<'t>, usize) {
    let mut verb_at = scan.verb;
    let mut lemma = lemma(clause, verb_at);
    let mut object = object::after(clause, verb_at);
    if let Some(joined) = separable(clause, verb_at, object.clone()) {
        lemma = joined;
        object = object.end..object.end;
    }
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
        lemma = object::last_word(clause[verb_at].word);
        let rest = object.start..verb_at;
        object_is = match object::head(&clause[rest]) {
            Some(head) if before.is_none() && !clause[verb_at - 1].is(Classes::RELATIVE) => Object::Named(head),
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

/// 请个假, 签个名: the halves of one verb, of which the second is no word of its own.
fn separable(clause: &[Token], verb: usize, object: Range<usize>) -> Option<String> {
    let last = clause[object.clone()].last()?;
    let counts = clause[object.start..object.end - 1]
        .iter()
        .all(|token| matches!(token.kind, Kind::Number | Kind::Measure) || token.is(Classes::NUMBER));
    let bound = matches!(last.word, "假" | "名" | "照" | "折" | "澡" | "觉" | "忙" | "班" | "操" | "架" | "号")
        || clause[object.start].word == "个" && last.word.chars().count() == 1;
    let joined = format!("{}{}", clause[verb].word, last.word);
    (counts && bound && LEXICON.verb(&joined).is_some()).then_some(joined)
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
