//! Whatever a text is made of: nothing panics, nothing takes forever, and spots stand on characters.

use std::collections::HashSet;

use measures::faults::{self, Context};
use measures::near::{self, ShingleSet};
use measures::pii::{self, Redact, Surrogates};
use measures::quality::tokens::{self, tokens};
use measures::quality::{Known, WordList, prints, quality};
use measures::verbs::{self, Diversity, Tongue};
use measures::{Part, Spot, language};

/// What rules start from or stumble over: words, marks, scripts, widths, codes.
const PIECES: &[&str] = &[
    "etc",
    "etc.",
    "e.g",
    "Dr",
    "can you",
    "Can you ",
    "please",
    "really ",
    "help me",
    "I'd like you to ",
    "write a ",
    "and ",
    "not ",
    "don't ",
    "a'",
    "l'",
    "’",
    "'",
    "\"",
    "“",
    "”",
    "`",
    "```",
    "import ",
    "(",
    ")",
    "[",
    "<",
    ">",
    ".",
    ",",
    "!",
    "?",
    "…",
    " ",
    "\n",
    "\t",
    ":",
    ";",
    "-",
    "–",
    "/",
    "$",
    "$5",
    "1",
    "42",
    "13912340987",
    "010-63553377",
    "１３９",
    "０",
    "Ａｂｃ",
    "＠",
    "，",
    "。",
    "：",
    "！",
    "？",
    "（",
    "）",
    "请",
    "帮我",
    "写一首诗",
    "把",
    "在",
    "的",
    "不超过",
    "密码是",
    "密码",
    "password: ",
    "微信",
    "家住",
    "和",
    "天津市和平区",
    "南京路128号",
    "5号楼",
    "路",
    "at 12 Oak St.",
    "P.O. Box 12",
    "@",
    "a@b.co",
    "://",
    "postgres://u:",
    "ghp_",
    "sk-",
    "eyJ",
    "-----BEGIN ",
    "KEY-----",
    "\\n",
    "::",
    "1.2.3.4",
    "<|",
    "|>",
    "<|im_end|>",
    "User:",
    "</s>",
    "<br>",
    "&nbsp;",
    "Ã©",
    "â€™",
    "锟斤拷",
    "\u{fffd}",
    "\u{0}",
    "\u{1b}[",
    "\u{9d}",
    "\u{ad}",
    "\u{200b}",
    "\u{200d}",
    "\u{202e}",
    "\u{feff}",
    "\u{3000}",
    "\u{a0}",
    "👩",
    "🏳️",
    "é",
    "e\u{301}",
    "İ",
    "ß",
    "ﬁ",
    "ｱ",
    "か",
    "カ",
    "한",
    "ж",
    "ع",
    "ไ",
    "我无法回答",
    "as an ai",
    "=",
    "{",
    "}",
    "_",
    "京A",
];

/// Spots stand on characters, and hold some.
fn on_characters(text: &str, spots: &[Spot]) {
    for spot in spots {
        assert!(text.get(spot.at.clone()).is_some_and(|value| !value.is_empty()), "{spot:?} in {:?}", head(text));
        assert!((0.0..=1.0).contains(&spot.confidence), "{spot:?} in {:?}", head(text));
    }
}

/// What a failure shows of a text.
fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(400)]
}

/// Every public function on one text.
fn take(text: &str) {
    take_faults(text);
    take_languages(text);
    take_verbs(text);
    take_personal_data(text);
    take_quality(text);
    take_near(text);
}

fn take_faults(text: &str) {
    let context = Context::of(text);
    for part in [Part::System, Part::Instruction, Part::Response, Part::Text] {
        on_characters(text, &faults::find(text, part, Context::default()));
        on_characters(text, &faults::find(text, part, context));
    }
    let cleaned = faults::cleaned(text);
    assert!(cleaned.len() <= text.len());
    on_characters(text, faults::overlong(text, 3).as_slice());
}

fn take_languages(text: &str) {
    let profile = language::profile(text);
    let german = "Ein Satz, der lang genug für eine Antwort ist, und noch einer.";
    language::mismatch(text, &profile, &language::profile(german));
    language::answers_in_other_language(german, text);
    assert_eq!(language::identify(text), profile.main);
    assert_eq!(language::code_share(text), profile.code);
    assert!((0.0..=1.0).contains(&profile.code) && profile.units.is_finite(), "{profile:?}");
    let shares: f32 = profile.shares.iter().map(|(_, share)| share).sum();
    assert!(profile.shares.is_empty() || (shares - 1.0).abs() < 1e-3, "{profile:?}");
    profile.is_mixed();
    language::Language::from_iso(text);
    let lines: Vec<_> = language::lines(text).collect();
    assert!(lines.iter().all(|line| text[line.start..].starts_with(line.text)));
    assert!(language::entropy(lines.iter().map(|line| line.text.len() as u64)) >= 0.0);
}

fn take_verbs(text: &str) {
    let mut all = Diversity::default();
    for tongue in [Tongue::English, Tongue::Chinese] {
        let analysis = verbs::analyse(text, tongue);
        assert_eq!(analysis.root.is_none(), analysis.steps == 0, "{analysis:?} of {:?}", head(text));
        let at = analysis.root.as_ref().map(|root| root.at.clone());
        assert!(at.is_none_or(|at| text.get(at).is_some_and(|verb| !verb.is_empty())), "{:?}", head(text));
        all.add(&analysis);
    }
    all.merge(all.clone());
    all.sunburst(2, 2);
}

fn take_personal_data(text: &str) {
    let spots = pii::find(text);
    on_characters(text, &spots);
    assert!(spots.windows(2).all(|two| two[0].at.end <= two[1].at.start), "{spots:?}");
    for mode in [Redact::Mask, Redact::Tag, Redact::Surrogate] {
        let out = pii::redact(text, &spots, mode, &mut Surrogates::new(1));
        assert!(spots.is_empty() == (out == text) || spots.iter().all(|spot| text[spot.at.clone()].contains('*')));
    }
}

fn take_quality(text: &str) {
    for (asked, answered) in [(text, text), ("Write an essay.", text), (text, "An answer.")] {
        let spots = faults::find(answered, Part::Response, Context::default());
        let quality = quality(asked, answered, &Known { faults: &spots });
        assert!((0.0..=1.0).contains(&quality.score), "{quality:?}");
    }
    for token in tokens(text) {
        assert!(text.get(token.at.clone()).is_some_and(|token| !token.is_empty()), "{token:?}");
        tokens::chained(tokens::stem(text, &token), token.hash);
    }
    let characters = text.chars().count() as u32;
    for print in prints::prints(text, 1000) {
        assert!(print.at.start < print.at.end && print.at.end <= characters, "{print:?} of {characters}");
    }
    if let Ok(words) = WordList::new(head(text)) {
        on_characters(text, &words.find(text));
    }
}

fn take_near(text: &str) {
    near::fingerprint(text.as_bytes());
    let normal = near::normalise(text);
    let mut shingles = Vec::new();
    near::shingles(&normal.text, &mut shingles);
    let mut long = Vec::new();
    near::long_shingles(&normal.text, &mut long);
    let mut bins = [0; near::BINS];
    if near::signature(&shingles, &mut bins).is_some() {
        near::bands(&bins);
        assert_eq!(near::glance_similarity(&near::glance(&bins), &near::glance(&bins)), 1.0);
    }
    let set = ShingleSet::of(&normal.text);
    assert!(set.len() <= shingles.iter().collect::<HashSet<_>>().len());
    assert_eq!(near::overlap(&set, &set).jaccard(), 1.0);
    near::overlap(&set, &ShingleSet::of_long(&normal.text));
    near::numbers(&near::without_numbers(&normal.text)).count();
}

/// The dot of an abbreviation was cut off where there was none: a panic at the end of a text and inside "，".
#[test]
fn abbreviations_without_their_dot_are_taken() {
    for text in ["Buy milk, bread, etc", "Buy milk, etc，then go", "etc", "Write about cats etc\u{301}", "etc…"] {
        take(text);
    }
}

/// Each apostrophe was a call deeper, unless the compiler made a loop of it, and all of the rest was hashed at each: these
/// eight megabytes took longer than anyone waits.
#[test]
fn words_of_many_apostrophes_are_taken() {
    for piece in ["a'", "l'", "n’", "can'", "dell'"] {
        language::profile(&format!("{}a", piece.repeat(40_000)));
    }
    language::profile(&"l'a".repeat((8 << 20) / 3));
    take(&format!("{}a", "a'".repeat(3000)));
}

/// Each filler doubled the ways to read a frame: these took longer than anyone waits.
#[test]
fn frames_with_many_fillers_come_to_an_end() {
    for text in [
        format!("Can you {}help me?", "really ".repeat(100)),
        format!("Can you {}help me?", "please ".repeat(500)),
        format!("{}write a poem", "please ".repeat(500)),
        "can you help me to ".repeat(200),
        "::can you".repeat(450),
        "I would like you to help me ".repeat(140),
        "could you please, ".repeat(220),
        format!("I {}want you to {}write a poem.", "really ".repeat(200), "please ".repeat(200)),
        format!("{}.", "can you really ".repeat(270)),
    ] {
        verbs::analyse(&text, Tongue::English);
    }
    let found = verbs::analyse(&format!("Can you {}sort these names?", "really ".repeat(100)), Tongue::English);
    assert_eq!(found.root.map(|root| root.verb).as_deref(), Some("sort"));
}

/// The rest of the text was trimmed again for each token.
#[test]
fn many_tokens_before_white_space_take_no_longer_than_others() {
    let text = format!("{}{}", "<s> ".repeat(60_000), " ".repeat(400_000));
    let context = Context::of("What is a special token?");
    assert!(faults::find(&text, Part::Response, context).len() <= faults::SPOTS_PER_KIND_MAX);
}

/// A megabyte of each: what is not linear in the length of a text does not come to an end here.
#[test]
fn long_hostile_texts_come_to_an_end() {
    const BYTES: usize = 1 << 20;
    let (some, others) = LONG.split_at(LONG.len() / 2);
    let take_all = |pieces: &[&str]| pieces.iter().for_each(|piece| take_once(&piece.repeat(BYTES / piece.len())));
    std::thread::scope(|scope| {
        scope.spawn(|| take_all(some));
        take_all(others);
    });
}

/// Every measure that walks a text, once.
fn take_once(text: &str) {
    let spots = faults::find(text, Part::Response, Context::of(text));
    faults::cleaned(text);
    language::answers_in_other_language("Ein Satz, der lang genug für eine Antwort ist.", text);
    verbs::analyse(text, Tongue::English);
    verbs::analyse(text, Tongue::Chinese);
    take_personal_data(text);
    quality("Write an essay.", text, &Known { faults: &spots });
    assert!(tokens(text).count() <= text.len());
    prints::prints(text, usize::MAX);
    take_near(text);
}

/// What a search may begin again and again, or walk to the end of from everywhere.
const LONG: &[&str] = &[
    "a",
    " ",
    "1",
    "中",
    "l'",
    "<a ",
    "</s> ",
    "&",
    "`",
    "```\n",
    "\n",
    "(",
    "“",
    "{{",
    "-----BEGIN ",
    "eyJ.",
    "GB82 ",
    "::",
    "a@",
    "://",
    "a:b@",
    "1.",
    "12 ",
    "１",
    "[at]",
    "\u{200b}",
    "\u{1b}[",
    "Ã©",
    "浣犲ソ",
    "password: ",
    "密码是",
    "家住和1号",
    "please ",
    "can you ",
    "请帮我把",
    "ha ",
    "。",
    "\u{301}",
    "İ",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1500))]
    #[test]
    fn texts_of_any_pieces_are_taken(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..24)) {
        take(&pieces.concat());
    }

    #[test]
    fn texts_of_any_characters_are_taken(text in "(?s).{0,60}") {
        take(&text);
    }

    #[test]
    fn texts_of_signs_are_taken(text in "[!-/:-@\\[-`{-~ \n\t0-9a-cA-C，。：（）“”‘’]{0,160}") {
        take(&text);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(150))]
    #[test]
    fn texts_that_repeat_pieces_are_taken(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 1..4),
        copies in 1..2000usize,
        end in proptest::sample::select(PIECES),
    ) {
        take(&(pieces.concat().repeat(copies) + end));
    }
}
