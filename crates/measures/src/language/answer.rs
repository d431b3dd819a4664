//! Answers in another language than the question.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::words::LATIN;
use super::{Language, Profile, profile};

/// A shorter answer (about six words) may be a name, a title or a term.
const ANSWER_UNITS: f32 = 12.0;
/// A language with this many units in the question may be that of the answer.
const PRESENT_UNITS: f32 = 6.0;
/// More code than this, and its words say nothing: what surrounds code is often written for its comments' sake.
const CODE_SHARE: f32 = 0.3;
/// A shorter question (some four words) that has a second script in it asks about a word.
const WORD_UNITS: f32 = 8.0;
/// An answer with this share of the question's language is in both.
const BOTH_SHARE: f32 = 0.2;
/// Less sure readings make no finding.
const SURE: f32 = 0.6;
/// Within Latin letters, where names and terms look like other languages, more is asked for.
const SURE_LATIN: f32 = 0.85;
const ANSWER_UNITS_LATIN: f32 = 24.0;
/// A shorter answer may be an example for a word that the question has in its language.
const EXAMPLE_UNITS: f32 = 60.0;

/// The confidence that `response` should have been in the language of `instruction` and is not.
pub fn answers_in_other_language(instruction: &str, response: &str) -> Option<f32> {
    mismatch(instruction, &profile(instruction), &profile(response))
}

/// The same, for texts whose profiles are known.
pub fn mismatch(instruction: &str, asked: &Profile, answered: &Profile) -> Option<f32> {
    let (question, answer) = (asked.main?, answered.main?);
    if question.language == answer.language
        || answered.code > CODE_SHARE
        || answered.units < ANSWER_UNITS
        || question.confidence < SURE
        || answer.confidence < SURE
        || answered.share(question.language) >= BOTH_SHARE
        || asked.present(answer.language) >= PRESENT_UNITS
        || asked.present(answer.language) > 0.0 && answered.units < EXAMPLE_UNITS
        || asked.units < WORD_UNITS
            && instruction.chars().any(|c| c.is_ascii_alphabetic())
            && !LATIN.contains(&question.language)
        || related(question.language, answer.language)
    {
        return None;
    }
    let latin = LATIN.contains(&question.language) && LATIN.contains(&answer.language);
    if latin && (question.confidence.min(answer.confidence) < SURE_LATIN || answered.units < ANSWER_UNITS_LATIN) {
        return None;
    }
    let mentions = mentions(instruction);
    if mentions.translation || mentions.languages.contains(&answer.language) {
        return None;
    }
    Some(if latin { 0.95 } else { 1.0 } * question.confidence * answer.confidence)
}

/// Languages that short texts do not tell apart for certain.
fn related(a: Language, b: Language) -> bool {
    use Language::{Arabic, Persian, Russian, Ukrainian, Urdu};
    matches!((a, b), (Russian, Ukrainian) | (Ukrainian, Russian))
        || matches!(a, Arabic | Persian | Urdu) && matches!(b, Arabic | Persian | Urdu)
}

struct Mentions {
    /// It is about translating, or asks for a language without its name.
    translation: bool,
    languages: Vec<Language>,
}

fn mentions(instruction: &str) -> Mentions {
    let mut mentions = Mentions { translation: false, languages: Vec::new() };
    for found in NAMES.find_iter(instruction) {
        match WORDS.get(found.pattern().as_usize()) {
            Some((_, Some(language))) => mentions.languages.push(*language),
            Some((_, None)) => mentions.translation = true,
            // Beyond the words are the unnamed languages: "in another language", but not "explain another language".
            None => {
                let before = instruction.as_bytes()[..found.start()].last();
                mentions.translation |= !before.is_some_and(u8::is_ascii_alphabetic);
            }
        }
    }
    mentions
}

static NAMES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(WORDS.iter().map(|(word, _)| (*word).to_owned()).chain(unnamed()))
        .expect("fixed words make an automaton")
});

/// A language that is asked for without its name: "in another language", 用外国语言. Not every language is one of people:
/// programs have theirs, and so has good style.
fn unnamed() -> impl Iterator<Item = String> {
    const INTO: [&str; 3] = ["in", "into", "to"];
    const WHICH: [&str; 44] = [
        "a different",
        "a foreign",
        "a second",
        "all",
        "another",
        "any",
        "any other",
        "both",
        "different",
        "each",
        "every",
        "five",
        "foreign",
        "four",
        "her",
        "his",
        "its",
        "its native",
        "its original",
        "many",
        "more than one",
        "multiple",
        "my",
        "other",
        "our",
        "several",
        "some other",
        "that",
        "the corresponding",
        "the following",
        "the local",
        "the native",
        "the original",
        "the other",
        "the same",
        "the target",
        "their",
        "their native",
        "three",
        "two",
        "various",
        "your",
        "your native",
        "your own",
    ];
    const BY: [&str; 7] = ["用", "成", "为", "以", "使用", "换", "到"];
    const EASTERN: [&str; 21] = [
        "另一种",
        "另外一种",
        "另一门",
        "其他",
        "其它",
        "其他的",
        "别的",
        "外国",
        "不同",
        "不同的",
        "多种",
        "两种",
        "三种",
        "各种",
        "目标",
        "任意",
        "任何",
        "任意一种",
        "任何一种",
        "某种",
        "当地",
    ];
    let western = WHICH.iter().flat_map(|which| INTO.map(|into| format!("{into} {which} language")));
    let eastern = EASTERN
        .iter()
        .flat_map(|which| BY.iter().flat_map(move |by| ["语言", "語言"].map(|noun| format!("{by}{which}{noun}"))));
    western.chain(eastern)
}

/// Words about translating (no language) and names of languages, in the languages that are asked in.
const WORDS: &[(&str, Option<Language>)] = &[
    ("translat", None),
    ("bilingual", None),
    ("foreign word", None),
    ("foreign phrase", None),
    ("翻译", None),
    ("翻譯", None),
    ("译成", None),
    ("译为", None),
    ("直译", None),
    ("用外语", None),
    ("用外文", None),
    ("成外语", None),
    ("成外文", None),
    ("双语", None),
    ("翻訳", None),
    ("訳し", None),
    ("번역", None),
    ("перевед", None),
    ("перевод", None),
    ("ترجم", None),
    ("अनुवाद", None),
    ("traduc", None),
    ("traduz", None),
    ("traduis", None),
    ("traduire", None),
    ("tradu", None),
    ("übersetz", None),
    ("vertaal", None),
    ("översätt", None),
    ("çevir", None),
    ("dịch", None),
    ("terjemah", None),
    ("przetłumacz", None),
    ("english", Some(Language::English)),
    ("英语", Some(Language::English)),
    ("英語", Some(Language::English)),
    ("英文", Some(Language::English)),
    ("inglés", Some(Language::English)),
    ("inglês", Some(Language::English)),
    ("anglais", Some(Language::English)),
    ("englisch", Some(Language::English)),
    ("inglese", Some(Language::English)),
    ("английск", Some(Language::English)),
    ("영어", Some(Language::English)),
    ("tiếng anh", Some(Language::English)),
    ("अंग्रेज", Some(Language::English)),
    ("الإنجليزية", Some(Language::English)),
    ("chinese", Some(Language::Chinese)),
    ("mandarin", Some(Language::Chinese)),
    ("中文", Some(Language::Chinese)),
    ("汉语", Some(Language::Chinese)),
    ("中国語", Some(Language::Chinese)),
    ("chinois", Some(Language::Chinese)),
    ("chino", Some(Language::Chinese)),
    ("chinês", Some(Language::Chinese)),
    ("chinesisch", Some(Language::Chinese)),
    ("китайск", Some(Language::Chinese)),
    ("중국어", Some(Language::Chinese)),
    ("japanese", Some(Language::Japanese)),
    ("日语", Some(Language::Japanese)),
    ("日文", Some(Language::Japanese)),
    ("日本語", Some(Language::Japanese)),
    ("korean", Some(Language::Korean)),
    ("韩语", Some(Language::Korean)),
    ("韩文", Some(Language::Korean)),
    ("한국어", Some(Language::Korean)),
    ("spanish", Some(Language::Spanish)),
    ("西班牙语", Some(Language::Spanish)),
    ("西语", Some(Language::Spanish)),
    ("español", Some(Language::Spanish)),
    ("espagnol", Some(Language::Spanish)),
    ("spanisch", Some(Language::Spanish)),
    ("french", Some(Language::French)),
    ("法语", Some(Language::French)),
    ("法文", Some(Language::French)),
    ("français", Some(Language::French)),
    ("francés", Some(Language::French)),
    ("französisch", Some(Language::French)),
    ("german", Some(Language::German)),
    ("德语", Some(Language::German)),
    ("德文", Some(Language::German)),
    ("deutsch", Some(Language::German)),
    ("alemán", Some(Language::German)),
    ("allemand", Some(Language::German)),
    ("portuguese", Some(Language::Portuguese)),
    ("葡萄牙语", Some(Language::Portuguese)),
    ("português", Some(Language::Portuguese)),
    ("russian", Some(Language::Russian)),
    ("俄语", Some(Language::Russian)),
    ("俄文", Some(Language::Russian)),
    ("русск", Some(Language::Russian)),
    ("arabic", Some(Language::Arabic)),
    ("阿拉伯语", Some(Language::Arabic)),
    ("العربية", Some(Language::Arabic)),
    ("hindi", Some(Language::Hindi)),
    ("印地语", Some(Language::Hindi)),
    ("हिन्दी", Some(Language::Hindi)),
    ("हिंदी", Some(Language::Hindi)),
    ("vietnamese", Some(Language::Vietnamese)),
    ("越南语", Some(Language::Vietnamese)),
    ("tiếng việt", Some(Language::Vietnamese)),
    ("italian", Some(Language::Italian)),
    ("意大利语", Some(Language::Italian)),
    ("italien", Some(Language::Italian)),
    ("dutch", Some(Language::Dutch)),
    ("荷兰语", Some(Language::Dutch)),
    ("swedish", Some(Language::Swedish)),
    ("瑞典语", Some(Language::Swedish)),
    ("turkish", Some(Language::Turkish)),
    ("土耳其语", Some(Language::Turkish)),
    ("polish", Some(Language::Polish)),
    ("波兰语", Some(Language::Polish)),
    ("indonesian", Some(Language::Indonesian)),
    ("印尼语", Some(Language::Indonesian)),
    ("ukrainian", Some(Language::Ukrainian)),
    ("persian", Some(Language::Persian)),
    ("farsi", Some(Language::Persian)),
    ("urdu", Some(Language::Urdu)),
    ("thai", Some(Language::Thai)),
    ("泰语", Some(Language::Thai)),
    ("hebrew", Some(Language::Hebrew)),
    ("希伯来语", Some(Language::Hebrew)),
    ("greek", Some(Language::Greek)),
    ("希腊语", Some(Language::Greek)),
    ("bengali", Some(Language::Bengali)),
    ("tamil", Some(Language::Tamil)),
];
