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

/// jieba's dictionary has some phrases as words: 给我发, 告诉您, 这段话. They are cut again.
fn split<'t>(kind: Kind, word: &'t str, rest: &str, start: usize, out: &mut Vec<Token<'t>>) {
    let mut ends = word.char_indices().map(|(at, _)| at).skip(1);
    let (one, two) = (ends.next(), ends.next());
    let last = word.char_indices().next_back().map_or(0, |(at, _)| at);
    let known = |part: &str| LEXICON.jieba.has_word(part);
    let cut = match (one, two) {
        (Some(one), Some(two)) if word.starts_with(['给', '让']) && matches!(&word[one..two], "我" | "你" | "您") =>
        {
            out.push(token(kind_of("p", &word[..one]), &word[..one], start));
            out.push(token(Kind::Pronoun, &word[one..two], start + one));
            split(Kind::Verb, &word[two..], rest, start + two, out);
            return;
        }
        (Some(_), Some(two))
            if word.chars().count() == 4 && word.is_char_boundary(word.len() / 2) && is_pair(word, two, kind) =>
        {
            out.push(token(Kind::Adverb, &word[..two], start));
            out.push(token(Kind::Verb, &word[two..], start + two));
            return;
        }
        (Some(_), Some(_)) if word.ends_with("一下") => Some((word.len() - "一下".len(), Kind::Number)),
        (Some(_), Some(_)) if word.ends_with(['我', '你', '您']) && known(&word[..last]) => {
            Some((last, Kind::Pronoun))
        }
        (Some(_), Some(_))
            if word.starts_with(['这', '那', '一']) && LEXICON.classes(&word[last..]).has(Classes::NOUN) =>
        {
            Some((last, Kind::Noun))
        }
        (Some(one), None) if word == "请教" && rest.starts_with('我') => Some((one, Kind::Verb)),
        _ => None,
    };
    match cut {
        Some((at, second)) => {
            let first = if second == Kind::Noun { Kind::Pronoun } else { Kind::Verb };
            out.push(token(first, &word[..at], start));
            out.push(token(second, &word[at..], start + at));
        }
        None => out.push(token(kind, word, start)),
    }
}

/// 重新排列, 顺序排列: a word and a verb.
fn is_pair(word: &str, middle: usize, kind: Kind) -> bool {
    let (first, second) = word.split_at(middle);
    let verb = LEXICON.verb(second).is_some_and(|verb| !verb.ambiguous);
    verb && LEXICON.verb(word).is_none()
        && (LEXICON.classes(first).has(Classes::OPENER) || kind == Kind::Noun && first == "顺序")
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
