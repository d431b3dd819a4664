//! Whatever a text is made of: nothing panics, nothing takes forever, and spots stand on characters.

use measures::faults::{self, Context};
use measures::pii::{self, Redact, Surrogates};
use measures::quality::{Known, quality, tokens::tokens};
use measures::verbs::{self, Tongue};
use measures::{Part, Spot, language, near};

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

fn on_characters(text: &str, spots: &[Spot]) {
    for spot in spots {
        assert!(text.get(spot.at.clone()).is_some(), "{spot:?} in {text:?}");
    }
}

/// Every measure of one text.
fn take(text: &str) {
    let context = Context::of(text);
    for part in [Part::System, Part::Instruction, Part::Response, Part::Text] {
        on_characters(text, &faults::find(text, part, Context::default()));
        on_characters(text, &faults::find(text, part, context));
    }
    faults::cleaned(text);
    on_characters(text, faults::overlong(text, 3).as_slice());
    let profile = language::profile(text);
    language::mismatch(
        text,
        &profile,
        &language::profile("Ein Satz, der lang genug für eine Antwort ist, und noch einer."),
    );
    language::code_share(text);
    for tongue in [Tongue::English, Tongue::Chinese] {
        let analysis = verbs::analyse(text, tongue);
        assert!(analysis.root.is_none_or(|root| text.get(root.at.clone()).is_some()), "{text:?}");
    }
    let spots = pii::find(text);
    on_characters(text, &spots);
    for mode in [Redact::Mask, Redact::Tag, Redact::Surrogate] {
        pii::redact(text, &spots, mode, &mut Surrogates::new(1));
    }
    quality(text, text, &Known::default());
    quality("Write an essay.", text, &Known::default());
    assert!(tokens(text).all(|token| text.get(token.at).is_some()), "{text:?}");
    let normal = near::normalise(text);
    let mut shingles = Vec::new();
    near::shingles(&normal.text, &mut shingles);
    near::signature(&shingles, &mut [0; near::BINS]);
    near::without_numbers(&normal.text);
    near::numbers(&normal.text).count();
}

/// The dot of an abbreviation was cut off where there was none: a panic at the end of a text and inside "，".
#[test]
fn abbreviations_without_their_dot_are_taken() {
    for text in ["Buy milk, bread, etc", "Buy milk, etc，then go", "etc", "Write about cats etc\u{301}", "etc…"] {
        take(text);
    }
}

/// Each apostrophe was a call deeper: the stack ended before the word did.
#[test]
fn words_of_many_apostrophes_are_taken() {
    for piece in ["a'", "l'", "n’", "can'", "dell'"] {
        language::profile(&format!("{}a", piece.repeat(40_000)));
    }
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
}
