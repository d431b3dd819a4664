//! Which language a text is in, and how much of it is code.
//!
//! Scripts decide where a script has one language. Between the languages of Latin letters, frequent words, endings and
//! accented letters vote; where the vote is close, `whichlang` (a linear model on hashed n-grams) has one more vote.
//! Code is left out, and what stands in quotation marks counts a quarter, so that an instruction about a foreign sentence
//! is in the language of the instruction.

mod answer;
mod code;
mod script;
mod votes;
mod words;

pub use answer::{answers_in_other_language, mismatch};
pub use code::{Kind, Line, code_share, lines};

use script::{Counts, Script};

macro_rules! languages {
    ($($name:ident $iso:literal),* $(,)?) => {
        /// A language that can be told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum Language {
            $(#[serde(rename = $iso)] $name,)*
        }

        impl Language {
            /// In the order of their declaration, which is also that of the numbers `language as usize`.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// ISO 639-1.
            pub fn iso(self) -> &'static str {
                match self { $(Self::$name => $iso),* }
            }
        }
    };
}

languages! {
    English "en", Chinese "zh", Japanese "ja", Korean "ko", Spanish "es", French "fr", German "de", Portuguese "pt",
    Russian "ru", Arabic "ar", Hindi "hi", Vietnamese "vi", Italian "it", Dutch "nl", Swedish "sv", Turkish "tr",
    Polish "pl", Indonesian "id", Ukrainian "uk", Persian "fa", Urdu "ur", Thai "th", Hebrew "he", Greek "el", Bengali "bn",
    Tamil "ta",
}

/// The number of languages.
const N: usize = Language::ALL.len();

impl Language {
    pub fn from_iso(iso: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|language| language.iso() == iso)
    }
}

/// How Chinese is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Han {
    Simplified,
    Traditional,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identified {
    pub language: Language,
    /// From 0 to 1; below 0.5 it is a guess (a name, two words).
    pub confidence: f32,
    /// Where the text is Chinese and has characters that differ between both forms.
    pub han: Option<Han>,
}

/// What languages a text is made of.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Profile {
    /// The language of most of it; none without letters outside of code.
    pub main: Option<Identified>,
    /// Shares of the text outside of code, largest first, adding up to 1.
    pub shares: Vec<(Language, f32)>,
    /// Share of its characters in code: fenced, or lines that look like it.
    pub code: f32,
    /// How much text was judged: about 2 a word, 1 a Chinese character.
    pub units: f32,
    /// The same by language and with quotations in full; for whether a language occurs at all.
    present: Vec<(Language, f32)>,
    /// Units of whole sentences outside of quotation marks, by language.
    sentences: Vec<(Language, f32)>,
}

/// A second language with this share of the sentences makes a text mixed.
pub const MIXED_SHARE: f32 = 0.2;
/// And with this many units of them, as many as a short sentence.
const MIXED_UNITS: f32 = 8.0;
/// The weight of a sentence in quotation marks.
const QUOTED: f32 = 0.25;

impl Profile {
    /// Whether whole sentences of at least two languages stand beside each other. Foreign terms inside sentences and
    /// quotations do not count.
    pub fn is_mixed(&self) -> bool {
        let all: f32 = self.sentences.iter().map(|s| s.1).sum();
        self.sentences.iter().filter(|(_, units)| *units >= MIXED_UNITS && *units >= MIXED_SHARE * all).count() >= 2
    }

    /// Units of `language` anywhere in the text, quotations in full.
    fn present(&self, language: Language) -> f32 {
        self.present.iter().find(|(l, _)| *l == language).map_or(0.0, |(_, units)| *units)
    }

    fn share(&self, language: Language) -> f32 {
        self.shares.iter().find(|(l, _)| *l == language).map_or(0.0, |(_, share)| *share)
    }
}

/// The language of most of a text. `None` if it has no letters, or only in code.
pub fn identify(text: &str) -> Option<Identified> {
    profile(text).main
}

/// Everything about the languages of a text, in one pass.
pub fn profile(text: &str) -> Profile {
    let (segments, code) = segments(text);
    let sure = votes::sum(&segments, text);
    let mut weighted = [0.0f32; N];
    let mut present = [0.0f32; N];
    let mut sentences = [0.0f32; N];
    let japanese = script::is_japanese(segments.iter().map(|s| &s.counts));
    for segment in &segments {
        let weight = if segment.quoted { QUOTED } else { 1.0 };
        for (language, units) in segment.languages(&sure, japanese) {
            weighted[language as usize] += units * weight;
            present[language as usize] += units;
            if !segment.quoted {
                sentences[language as usize] += units;
            }
        }
    }
    let units: f32 = weighted.iter().sum();
    let mut shares = listed(&weighted);
    shares.iter_mut().for_each(|(_, share)| *share /= units);
    let main = shares.first().map(|&(language, share)| {
        let base = votes::confidence(language, &sure, &segments);
        let han = if language == Language::Chinese { script::han(segments.iter().map(|s| &s.counts)) } else { None };
        Identified { language, confidence: base * (0.4 + 0.6 * share), han }
    });
    Profile { main, shares, code, units, present: listed(&present), sentences: listed(&sentences) }
}

/// Entropy of a distribution in bits: 0 for one language alone, log2 of n for n equally frequent ones.
pub fn entropy(counts: impl IntoIterator<Item = u64>) -> f64 {
    let counts: Vec<u64> = counts.into_iter().filter(|&n| n > 0).collect();
    let all = counts.iter().sum::<u64>() as f64;
    let sum: f64 = counts.iter().map(|&n| n as f64 / all).map(|p| -p * p.log2()).sum();
    sum.max(0.0)
}

/// Those above 0, largest first; equal ones in the order of the languages.
fn listed(units: &[f32; N]) -> Vec<(Language, f32)> {
    let mut list: Vec<_> =
        Language::ALL.iter().copied().zip(units.iter().copied()).filter(|(_, units)| *units > 0.0).collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1));
    list
}

/// A sentence, or a piece of one in quotation marks.
struct Segment {
    quoted: bool,
    counts: Counts,
    /// Of the languages in [`words::LATIN`].
    votes: votes::Votes,
}

/// Units of a word of Latin letters, when a Chinese character is 1.
const UNITS_WORD: f32 = 2.0;
/// From this share of Han and kana on, Latin words of a sentence are terms in it.
const TERMS_SHARE: f32 = 0.25;

impl Segment {
    fn new(quoted: bool) -> Self {
        Self { quoted, counts: Counts::default(), votes: votes::Votes::default() }
    }

    /// The languages of the segment with their units: one, except where scripts are mixed evenly.
    fn languages(&self, sure: &votes::Sum, japanese: bool) -> impl Iterator<Item = (Language, f32)> + use<> {
        /// Han without kana are Japanese in a Japanese text, unless they make up whole sentences.
        const HAN_ALONE_MAX: u32 = 12;
        let words = self.counts.words as f32 * UNITS_WORD;
        let characters = self.counts.han as f32 + 0.7 * self.counts.kana as f32;
        let (east, latin) = match () {
            () if characters > 0.0 && characters >= TERMS_SHARE * (characters + words) => (characters + words, 0.0),
            () if words > 0.0 && characters < 2.0 => (0.0, words + characters),
            () => (characters, words),
        };
        let is_japanese = japanese && (self.counts.kana > 0 || self.counts.han < HAN_ALONE_MAX);
        let east_language = if is_japanese { Language::Japanese } else { Language::Chinese };
        let found = [
            (east > 0.0).then_some((east_language, east)),
            (latin > 0.0).then(|| (sure.of(&self.votes), latin)),
            self.counts.main_script().map(|(script, letters)| (script.language(&self.counts), letters)),
        ];
        found.into_iter().flatten()
    }
}

/// The segments of a text outside of code, and the share of code.
fn segments(text: &str) -> (Vec<Segment>, f32) {
    let mut segments = Vec::new();
    let mut share = code::Share::default();
    let mut word = String::with_capacity(32);
    for line in lines(text) {
        share.add(&line);
        if !line.is_code() {
            split_line(line.text, &mut segments, &mut word);
        }
    }
    (segments, share.of_code())
}

/// Splits a line at ends of sentences and at quotation marks, counts scripts, and lets words vote.
fn split_line(line: &str, segments: &mut Vec<Segment>, word: &mut String) {
    let mut segment = Segment::new(false);
    let mut digits = false;
    word.clear();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let script = Script::of(c);
        let apostrophe =
            matches!(c, '\'' | '’') && !word.is_empty() && chars.peek().is_some_and(|next| next.is_alphabetic());
        if script == Script::Latin || apostrophe {
            word.push(if apostrophe { '\'' } else { c });
            continue;
        }
        if c.is_ascii_digit() || c == '_' || c == '@' {
            digits = true;
            continue;
        }
        if !word.is_empty() || digits {
            // Names of files, numbers of parts and addresses are in no language.
            if !digits {
                segment.counts.words += 1;
                segment.votes.add_word(word);
            }
            word.clear();
            digits = false;
        }
        if script != Script::None {
            segment.counts.add(script, c);
            continue;
        }
        segment.votes.add_mark(c);
        let (ends, quoted) = boundary(c, chars.peek().copied(), segment.quoted);
        if ends {
            finish(segment, segments);
            segment = Segment::new(quoted);
        }
    }
    if !word.is_empty() && !digits {
        segment.counts.words += 1;
        segment.votes.add_word(word);
    }
    finish(segment, segments);
}

fn finish(segment: Segment, segments: &mut Vec<Segment>) {
    if !segment.counts.is_empty() {
        segments.push(segment);
    }
}

/// Whether a segment ends at `c`, and whether the next one stands in quotation marks.
fn boundary(c: char, next: Option<char>, quoted: bool) -> (bool, bool) {
    match c {
        '"' | '`' => (true, !quoted),
        '“' | '「' | '『' | '«' | '„' => (true, true),
        '”' | '」' | '』' | '»' => (true, false),
        '。' | '！' | '？' | '…' | '।' => (true, quoted),
        '.' | '!' | '?' if next.is_none_or(char::is_whitespace) => (true, quoted),
        _ => (false, quoted),
    }
}
