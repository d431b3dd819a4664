//! The phrase of an object and its head: the last dictionary word.

use std::ops::Range;

use super::lexicon::{Classes, LEXICON};
use super::segment::{Kind, Token};

/// The object phrase after the verb at `verb`.
pub fn after(clause: &[Token], verb: usize) -> Range<usize> {
    let mut i = verb + 1;
    let double = clause[verb].is(Classes::DOUBLE);
    while let Some(token) = clause.get(i) {
        let next = clause.get(i + 1);
        let same = |token: &Token| token.word == clause[verb].word;
        let repeated = same(token) || token.word == "一" && next.is_some_and(same);
        let counts = token.is(Classes::NUMBER) && !matches!(token.word, "一下" | "下" | "点");
        let completes = token.is(Classes::COMPLEMENT) && !counts;
        let receives = token.is(Classes::PERSON)
            && (double || token.is(Classes::ME))
            && !next.is_some_and(|next| next.is(Classes::RELATIVE));
        if !(completes || repeated || receives) {
            break;
        }
        i += 1;
    }
    // 翻译成英文, 发到邮箱, 交给客户: what it becomes, where it goes, who gets it.
    let into = clause[verb].word.strip_prefix(clause[verb].lemma).unwrap_or("");
    let into = if into.is_empty() { clause.get(verb + 1).map_or("", |token| token.word) } else { into };
    let found =
        matches!(clause[verb].lemma, "找" | "看" | "拿" | "收" | "买" | "查" | "搜" | "学" | "听" | "想" | "寻");
    if matches!(into, "成" | "为" | "至") || into == "到" && !found {
        return i..i;
    }
    if into == "给" && clause.get(i).is_some_and(|token| is_noun(token) || token.is(Classes::PERSON)) {
        i += 1;
    }
    let mut end = i;
    let mut nouns = 0;
    while let Some(token) = clause.get(end) {
        let modified = end > 0 && clause[end - 1].is(Classes::RELATIVE);
        let stops = token.is(Classes::STOPPER) && nouns > 0 && !modified && !relative_follows(clause, end);
        if stops || token.is(Classes::PARTICLE) && !modified && is_final(clause, end) {
            break;
        }
        if nouns > 0 && begins_next(clause, verb, i, end) {
            break;
        }
        nouns += usize::from(is_noun(token) || is_suffix(token));
        end += 1;
    }
    i..end
}

/// 说服客户续签合同, 运行命令启动服务: another verb after the object. Not 营销 in 牙医营销活动.
fn begins_next(clause: &[Token], verb: usize, from: usize, i: usize) -> bool {
    let token = &clause[i];
    if relative_follows(clause, i) {
        return false;
    }
    let pivot = clause[verb].is(Classes::PIVOT);
    let modified = clause[from..i].iter().any(|token| token.is(Classes::RELATIVE));
    let acts = token.verb.is_some_and(|verb| !verb.ambiguous) && token.kind != Kind::Noun && !token.is(Classes::NOUN);
    let plain = token.kind == Kind::Verb && !token.is(Classes::NOUN);
    token.is(Classes::LIGHT) || acts && !modified && i + 1 < clause.len() || pivot && (acts || plain)
}

/// Particles alone are left.
fn is_final(clause: &[Token], i: usize) -> bool {
    clause[i..].iter().all(|token| token.is(Classes::PARTICLE.or(Classes::COMPLEMENT)))
}

/// "一份用于测试的 表": the words up to 的 belong to what follows, unless they tell what the thing is about.
fn relative_follows(clause: &[Token], i: usize) -> bool {
    let telling = matches!(
        clause[i].word,
        "来" | "以"
            | "用来"
            | "讲述"
            | "描述"
            | "说明"
            | "解释"
            | "介绍"
            | "表达"
            | "并"
            | "并且"
            | "然后"
            | "包括"
            | "给"
            | "以便"
            | "连接"
            | "询问"
    );
    !telling
        && clause[i + 1..].iter().enumerate().any(|(n, token)| token.is(Classes::RELATIVE) && i + n + 2 < clause.len())
}

/// 做一次调查: the position of the verbal noun that ends the phrase.
pub fn verbal_noun(phrase: &[Token]) -> Option<usize> {
    let last = phrase.iter().rposition(|token| !token.is(Classes::PARTICLE.or(Classes::TRAILING)))?;
    let token = &phrase[last];
    // 单元测试 is a word of the dictionary.
    let verbal = token.verb.is_some() || token.kind == Kind::VerbNoun || LEXICON.verb(&last_word(token.word)).is_some();
    (verbal && !matches!(token.word, "给" | "表" | "行")).then_some(last)
}

/// 确认是否已验证, 说明如何关闭: a clause, which has no head.
pub fn is_clause(verb: &Token, phrase: &[Token]) -> bool {
    let asks = phrase.iter().enumerate().any(|(n, token)| {
        token.is(Classes::QUESTION) && !(phrase.get(n + 1).is_some_and(|next| next.is(Classes::RELATIVE)))
    });
    let stated = verb.is(Classes::CLAUSE)
        && phrase.iter().enumerate().any(|(n, token)| {
            n > 0 && token.is(Classes::FINITE) && !phrase[n..].iter().any(|token| token.is(Classes::RELATIVE))
        });
    // 教我做菜: what to do.
    let acts = verb.is(Classes::DOUBLE)
        && phrase
            .first()
            .is_some_and(|token| token.verb.is_some_and(|verb| !verb.ambiguous) && token.kind == Kind::Verb)
        && !phrase.iter().any(|token| token.is(Classes::RELATIVE));
    asks || stated || acts
}

/// 找一家评分在4分以上，有早餐的酒店: a counted phrase whose head comes after commas. `phrase` is a part of `sentence`.
pub fn continued<'t>(phrase: &'t [Token<'t>], sentence: &'t [Token<'t>]) -> Option<&'t [Token<'t>]> {
    let first = phrase.first()?;
    let counted = matches!(first.kind, Kind::Number | Kind::Measure) || first.is(Classes::NUMBER);
    let open = phrase.iter().any(|token| token.is(Classes::FINITE.or(Classes::PREP)) || token.kind == Kind::Verb);
    let last = phrase.last()?.at.end;
    let goes_on = sentence.iter().find(|token| token.at.start >= last);
    let open = open || goes_on.is_some_and(|token| token.is(Classes::FINITE.or(Classes::PREP)) && token.word != "给");
    if !counted || !open || phrase.iter().any(|token| token.is(Classes::RELATIVE)) {
        return None;
    }
    let from = sentence.iter().position(|token| token.at == first.at)?;
    let of = (from..sentence.len()).find(|&i| {
        sentence[i].is(Classes::RELATIVE)
            && sentence.get(i + 1).is_some_and(|next| is_noun(next) || next.kind == Kind::Adjective)
    })?;
    // A request of its own ends the phrase.
    if sentence[from..of]
        .iter()
        .any(|token| token.is(Classes::ASK.or(Classes::ME).or(Classes::HOLD)) && token.verb.is_none())
    {
        return None;
    }
    let end = (of..sentence.len())
        .find(|&i| matches!(sentence[i].kind, Kind::Comma | Kind::Colon | Kind::Stop | Kind::Question));
    Some(&sentence[from..end.unwrap_or(sentence.len())])
}

pub fn head(phrase: &[Token]) -> Option<String> {
    if phrase.iter().any(|token| token.is(Classes::QUESTION)) {
        return None;
    }
    let end = phrase.iter().rposition(|token| !is_trailing(token)).map_or(0, |n| n + 1);
    let phrase = &phrase[..end];
    // What stands before the last 的 modifies.
    let of = phrase[..end.saturating_sub(1)].iter().rposition(|token| token.is(Classes::RELATIVE));
    let region = &phrase[of.map_or(0, |n| n + 1)..];
    let first = region.iter().enumerate().position(|(n, token)| n > 0 && token.is(Classes::CONJ));
    let region = &region[..first.unwrap_or(region.len())];
    let last = region.iter().rposition(|token| {
        let passes = matches!(token.kind, Kind::Quote | Kind::Place | Kind::Time)
            || token.kind == Kind::Other && !is_noun(token) && token.word.chars().count() < 2;
        !passes || is_suffix(token)
    })?;
    let token = &region[last];
    // 快递员: a suffix that is no word.
    let suffix = is_suffix(token);
    if suffix && last > 0 && token.at.start == region[last - 1].at.end && region[last - 1].kind != Kind::Latin {
        return Some(format!("{}{}", region[last - 1].word, token.word));
    }
    let ends_in_verb = matches!(token.kind, Kind::Verb | Kind::VerbNoun) && !token.is(Classes::NOUN);
    if ends_in_verb {
        let nominal = token.kind == Kind::VerbNoun || token.verb.is_some_and(|verb| verb.ambiguous);
        let before = region[..last].iter().rposition(is_noun);
        return match before {
            Some(_) if nominal => Some(last_word(token.word)),
            Some(n) => Some(last_word(region[n].word)),
            None if nominal
                || of.is_some()
                || last > 0 && matches!(region[last - 1].kind, Kind::Number | Kind::Measure) =>
            {
                Some(last_word(token.word))
            }
            None => None,
        };
    }
    // 第二列: a numeral with what it counts.
    let counted = token.kind == Kind::Number && token.word.starts_with('第') && token.word.chars().count() > 1;
    let last_char = token.word.char_indices().next_back().map_or(token.word, |(at, _)| &token.word[at..]);
    if counted
        && LEXICON.classes(last_char).has(Classes::NOUN)
        && !matches!(last_char, "个" | "人" | "点" | "号" | "步" | "次")
    {
        return Some(last_char.to_owned());
    }
    // What a 的 alone precedes is a noun here, whatever its tag: 它的未知.
    let counted = last > 0 && matches!(region[last - 1].kind, Kind::Number | Kind::Measure);
    let nominal = of.is_some()
        && last == 0
        && matches!(token.kind, Kind::Adjective | Kind::Adverb | Kind::Time | Kind::Name | Kind::Other)
        || counted && matches!(token.kind, Kind::Adjective | Kind::Name);
    (is_noun(token) || nominal).then(|| last_word(token.word))
}

/// The end of a noun, no word of its own.
pub fn is_suffix(token: &Token) -> bool {
    matches!(token.word, "员" | "师" | "者" | "家" | "性" | "率" | "机" | "器" | "费" | "们" | "卡" | "名")
}

fn is_trailing(token: &Token) -> bool {
    token.is(Classes::TRAILING.or(Classes::PARTICLE)) && !token.is(Classes::NOUN)
}

fn is_noun(token: &Token) -> bool {
    token.kind == Kind::Noun && !token.is(Classes::NUMBER)
        || token.is(Classes::NOUN)
        || token.kind == Kind::Name && token.word.chars().count() == 2 && token.classes == Classes::default()
}

/// 件物品 → 物品, 营业时间 → 时间: of four characters that are two dictionary words, the second.
pub fn last_word(word: &str) -> String {
    let counted = word.strip_prefix(['封', '首', '篇', '张', '本']);
    if let Some(noun) = counted.filter(|noun| LEXICON.classes(noun).has(Classes::NOUN)) {
        return noun.to_owned();
    }
    let rest = word.char_indices().nth(1).map_or("", |(at, _)| &word[at..]);
    if word.starts_with(['件', '个', '条', '份', '篇', '首', '张'])
        && rest.chars().count() > 1
        && LEXICON.jieba.has_word(rest)
    {
        return rest.to_owned();
    }
    let middle = word.char_indices().nth(2).map(|(at, _)| at);
    if let Some(at) = middle
        && word.chars().count() == 4
        && LEXICON.jieba.has_word(&word[..at])
        && LEXICON.jieba.has_word(&word[at..])
    {
        return word[at..].to_owned();
    }
    word.to_owned()
}
