//! A Chinese text as tokens: words with jieba's tags, quotations and brackets whole.

use std::ops::Range;

use super::lexicon::{Classes, LEXICON, Verb};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Noun,
    /// Names of people, places, organisations.
    Name,
    Verb,
    /// Verbs that jieba tags as nouns, too.
    VerbNoun,
    Adjective,
    Adverb,
    /// Numerals and measure words.
    Number,
    Measure,
    Pronoun,
    /// 明天, 上午.
    Time,
    /// 中, 上, 里.
    Place,
    /// Latin letters.
    Latin,
    /// In quotation marks, or code.
    Quote,
    Other,
    /// `，` and the like.
    Comma,
    Colon,
    /// The end of a sentence.
    Stop,
    Question,
}

#[derive(Clone, Debug)]
pub struct Token<'t> {
    pub kind: Kind,
    pub word: &'t str,
    pub at: Range<usize>,
    pub classes: Classes,
    pub verb: Option<Verb>,
    /// The verb without complements, as the lexicon has it.
    pub lemma: &'t str,
}

impl Token<'_> {
    pub fn is(&self, classes: Classes) -> bool {
        self.classes.has(classes)
    }
}

/// The longest quotation and bracket that is taken as one, in bytes.
const ENCLOSED_MAX: usize = 900;

pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut out = Vec::with_capacity(text.len() / 5);
    let mut from = 0;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let Some(end) = enclosed_end(text, at, c) else {
            at += c.len_utf8();
            continue;
        };
        words(text, from..at, &mut out);
        if !matches!(c, '（' | '(' | '[' | '【' | '<' | '〔') {
            out.push(token(Kind::Quote, &text[at..end], at));
        }
        from = end;
        at = end;
    }
    words(text, from..text.len(), &mut out);
    out
}

/// The end of a quotation, title or bracket that opens at `at`.
fn enclosed_end(text: &str, at: usize, open: char) -> Option<usize> {
    let close = match open {
        '“' => '”',
        '"' => '"',
        '‘' => '’',
        '「' => '」',
        '『' => '』',
        '《' => '》',
        '〈' => '〉',
        '`' => '`',
        '（' => '）',
        '(' => ')',
        '[' => ']',
        '【' => '】',
        '{' => '}',
        '<' => '>',
        _ => return None,
    };
    let after = at + open.len_utf8();
    let window = &text[after..text.floor_char_boundary(after + ENCLOSED_MAX)];
    let mut depth = 0;
    for (n, c) in window.char_indices() {
        if c == close || open == '（' && c == ')' || open == '(' && c == '）' {
            if depth == 0 {
                return Some(after + n + c.len_utf8());
            }
            depth -= 1;
        } else if c == open {
            depth += 1;
        } else if c == '\n' && matches!(open, '（' | '(' | '<' | '[' | '【') {
            return None;
        }
    }
    None
}

fn words<'t>(text: &'t str, range: Range<usize>, out: &mut Vec<Token<'t>>) {
    let base = range.start;
    for tag in LEXICON.jieba.tag(&text[range], false) {
        let word = tag.word;
        let Some(first) = word.chars().next() else { continue };
        let kind = match first {
            '\n' | '。' | '！' | '!' | '；' | ';' | '…' => Kind::Stop,
            '？' | '?' => Kind::Question,
            '，' | ',' => Kind::Comma,
            '：' | ':' => Kind::Colon,
            '.' if text[base + tag.byte_end..].starts_with([' ', '\n']) => Kind::Stop,
            _ if first.is_whitespace() => continue,
            _ => kind_of(tag.tag, word),
        };
        split(kind, word, &text[base + tag.byte_end..], base + tag.byte_start, out);
    }
}

/// jieba's dictionary has some phrases as words: 给我发, 告诉您, 这段话, 朗读课文. They are cut again.
fn split<'t>(kind: Kind, word: &'t str, rest: &str, start: usize, out: &mut Vec<Token<'t>>) {
    let Some((at, first, second)) = cut_in(kind, word, rest) else {
        out.push(token(kind, word, start));
        return;
    };
    out.push(token(first, &word[..at], start));
    match second {
        Some(second) => out.push(token(second, &word[at..], start + at)),
        None => {
            for tag in LEXICON.jieba.tag(&word[at..], false) {
                split(kind_of(tag.tag, tag.word), tag.word, rest, start + at + tag.byte_start, out);
            }
        }
    }
}

/// Where a word of the dictionary is two words, and what they are; none for the second where it is to be looked up.
fn cut_in(kind: Kind, word: &str, rest: &str) -> Option<(usize, Kind, Option<Kind>)> {
    let mut starts = [0; 5];
    let mut length = 0;
    for (at, _) in word.char_indices() {
        *starts.get_mut(length)? = at;
        length += 1;
    }
    if length < 2 || LEXICON.verb(word).is_some() && !(word == "请教" && rest.starts_with('我')) {
        return None;
    }
    let (one, two, last) = (starts[1], starts[2], starts[length - 1]);
    let known = |part: &str| LEXICON.jieba.has_word(part);
    let classes = LEXICON.classes(word);
    let noun_like = matches!(kind, Kind::Noun | Kind::Name);
    let person = |part: &str| matches!(part, "我" | "你" | "您");
    if person(&word[..one]) && classes == Classes::default() {
        return Some((one, Kind::Pronoun, None));
    }
    // 在文件中将…, 对模型进行…: jieba reads a general, a noun.
    if matches!(word, "中将" | "上将" | "后将" | "前将") {
        return Some((one, Kind::Place, None));
    }
    if word.starts_with(['对', '把', '将']) && noun_like && LEXICON.classes(&word[one..]).has(Classes::NOUN) {
        return Some((one, Kind::Other, None));
    }
    if length == 2 && classes.has(Classes::APART) {
        return Some((one, Kind::Verb, Some(Kind::Noun)));
    }
    if length == 2 {
        let goes = word.starts_with(['去', '来']) && LEXICON.verb(&word[one..]).is_some();
        let please =
            goes || word.starts_with('请') && classes == Classes::default() && !matches!(word, "请问" | "请勿");
        return please.then_some((one, Kind::Verb, None));
    }
    if word.starts_with(['给', '让']) && person(&word[one..two]) {
        return Some((one, Kind::Other, None));
    }
    if ["一下", "一遍", "一次", "一番"].iter().any(|end| word.ends_with(end)) {
        return Some((starts[length - 2], Kind::Verb, Some(Kind::Number)));
    }
    if length == 3 && word.starts_with(['再', '先', '请', '勿', '需']) && LEXICON.verb(&word[one..]).is_some() {
        return Some((one, Kind::Adverb, Some(Kind::Verb)));
    }
    if person(&word[last..]) && known(&word[..last]) {
        return Some((last, Kind::Verb, Some(Kind::Pronoun)));
    }
    let of_this = word.starts_with(['这', '那']) && LEXICON.classes(&word[last..]).has(Classes::NOUN);
    if of_this || length == 3 && word.starts_with(['一', '两', '三', '几']) && noun_like {
        return Some((last, Kind::Pronoun, Some(Kind::Noun)));
    }
    if classes.has(Classes::APART) {
        return Some((one, Kind::Verb, None));
    }
    if length == 3 && kind == Kind::Name && LEXICON.verb(&word[..one]).is_some() && known(&word[one..]) {
        return Some((one, Kind::Verb, None));
    }
    if length == 3
        && noun_like
        && LEXICON.verb(&word[..one]).is_some()
        && "封张首篇个份本条道".contains(&word[one..two])
    {
        return Some((one, Kind::Verb, None));
    }
    if length == 4 && (noun_like || kind == Kind::Other) && !classes.has(Classes::NOUN) {
        let (first, second) = word.split_at(two);
        let acts = LEXICON.verb(first).is_some() || LEXICON.classes(first).has(Classes::LIGHT);
        let verb = LEXICON.verb(second);
        if acts && known(second) && verb.is_none_or(|verb| verb.ambiguous) {
            return Some((two, Kind::Verb, None));
        }
        if verb.is_some() && LEXICON.classes(first).has(Classes::OPENER)
            || verb.is_some_and(|verb| !verb.ambiguous) && first == "顺序"
        {
            return Some((two, Kind::Adverb, Some(Kind::Verb)));
        }
    }
    None
}

fn token(kind: Kind, word: &str, start: usize) -> Token<'_> {
    let known = !matches!(kind, Kind::Quote | Kind::Comma | Kind::Stop);
    let classes = if known { LEXICON.classes(word) } else { Classes::default() };
    let lemma = if known { LEXICON.stem(word).unwrap_or(word) } else { word };
    let verb = if known { LEXICON.verb(lemma) } else { None };
    Token { kind, word, at: start..start + word.len(), classes, verb, lemma }
}

fn kind_of(tag: &str, word: &str) -> Kind {
    if word.bytes().all(|b| b.is_ascii()) {
        let digits = word.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'%' | b'-'));
        let letters = word.bytes().any(|b| b.is_ascii_alphanumeric());
        return match (digits, letters) {
            (true, true) => Kind::Number,
            (false, true) => Kind::Latin,
            _ => Kind::Other,
        };
    }
    match tag {
        "t" | "tg" => Kind::Time,
        "n" | "l" | "i" | "j" | "s" | "an" | "ng" | "nz" | "nrfg" | "g" => Kind::Noun,
        "nr" | "ns" | "nt" | "nrt" => Kind::Name,
        "v" | "vg" | "vi" | "vq" | "vd" => Kind::Verb,
        "vn" => Kind::VerbNoun,
        "a" | "ad" | "ag" | "b" | "z" => Kind::Adjective,
        "d" | "df" | "dg" => Kind::Adverb,
        "m" | "mg" | "mq" => Kind::Number,
        "q" => Kind::Measure,
        "r" | "rr" | "rz" | "rg" => Kind::Pronoun,
        "f" => Kind::Place,
        _ => Kind::Other,
    }
}
