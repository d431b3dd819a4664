//! Faults of texts: each kind found, what resembles it left alone, and the planted rows.

use std::collections::{BTreeMap, BTreeSet};

use measures::faults::{Context, SPOTS_PER_KIND_MAX, cleaned, find, overlong};
use measures::{Part, language};

/// Kinds found in a response with a confidence that makes a finding.
fn kinds_of(instruction: &str, response: &str) -> Vec<&'static str> {
    let spots = find(response, Part::Response, Context::of(instruction));
    let kinds: BTreeSet<_> = spots.iter().filter(|s| s.confidence >= 0.5).map(|s| s.kind).collect();
    kinds.into_iter().collect()
}

fn kinds(response: &str) -> Vec<&'static str> {
    kinds_of("Say more about this.", response)
}

#[track_caller]
fn check(kind: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(kinds(text), if kind.is_empty() { vec![] } else { vec![kind] }, "{text:?}");
    }
}

#[test]
fn control_codes_and_nul() {
    check("nul", &["a\0b", "你\0好"]);
    check(
        "control_code",
        &[
            "red\u{1b}[31m text",
            "bell\u{7}",
            "del\u{7f}",
            "c1 \u{9d} é",
            "page\u{c}break",
            "private \u{e000}",
            "\u{fffe}x",
        ],
    );
    check("", &["tab\tand\r\nline", ""]);
    let spots = find("red\u{1b}[31m text", Part::Text, Context::default());
    assert_eq!((spots[0].rule, spots[0].at.clone()), ("terminal_escape", 3..8));
}

#[test]
fn characters_without_width() {
    check(
        "zero_width",
        &["zero\u{200b}width", "a\u{200d}b", "mid\u{feff}dle", "abc\u{202e}def", "word\u{2060}joiner", "a\u{e0041}b"],
    );
    check(
        "",
        &[
            "\u{feff}at the start",
            "👩\u{200d}💻 and 🏳️\u{200d}🌈 and ❤️",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "שלום \u{200f}(a)",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "葛\u{e0100}城",
            "ภาษา\u{200b}ไทย",
            "hy\u{ad}phen",
        ],
    );
}

#[test]
fn mojibake_in_each_direction() {
    check(
        "mojibake",
        &[
            "We met in a cafÃ© near the river.",
            "It isnâ€™t here.",
            "It isnâ\u{80}\u{99}t here.",
            "Price: 5 â‚¬",
            "20Â°C outside",
            "ä½ å¥½ï¼Œä¸–ç•Œ",
            "ä¸\u{ad}å›½",
            "ÐŸÑ€Ð¸Ð²ÐµÑ‚",
            "РџСЂРёРІРµС‚, РјРёСЂ",
            "ÄãºÃÊÀ½ç",
            "浣犲ソ",
            "浠婂ぉ澶╂皵寰堝ソ",
            "这是锟斤拷文本",
            "It doesn鈥檛 matter.",
            "Well done ðŸ˜€",
        ],
    );
}

#[test]
fn letters_of_other_languages_are_no_mojibake() {
    check(
        "",
        &[
            "Łukasz, Zoë, Núñez, Müller, Çelik, Åse, naïve, Ærø, São Paulo, Größe",
            "NÃO, AMANHÃ, IRMÃ e MAÇÃ. PÂTÉ, ÎLE, ÀÉÈÙ",
            "„Spaß“ und „Größe“, «là», l’été",
            "Привет, мир! Русский язык с ъ и ё. «Съешь»",
            "Xin chào các bạn, hôm nay trời đẹp quá",
            "20 °C ± 2 °C, 5 µm, £5, ½ × ¾ © ® § ¶",
            "彧、翀、堃、赟、淼、犇、骉、麤、媪、妞、淙、浣、漪、涔、淙淙",
            "烫手山芋",
            "Παράδειγμα, пример, 例",
        ],
    );
}

#[test]
fn replacement_characters() {
    check("replacement_char", &["bro\u{fffd}ken", "平均\u{fffd}\u{fffd}值"]);
    let spots = find("a\u{fffd}\u{fffd}\u{fffd}b", Part::Text, Context::default());
    assert!(matches!(spots.as_slice(), [spot] if spot.at == (1..10)));
}

#[test]
fn html_left_in_prose() {
    check(
        "html",
        &[
            "<p>This is a paragraph.</p>",
            "One sentence.<br/>Another one.<br/>",
            "Fish&nbsp;and chips",
            "Tom &amp; Jerry",
            "<div class=\"post\">text</div>",
            "It&#39;s here",
        ],
    );
    check(
        "",
        &[
            "Use `<br>` for that, or `&nbsp;`.",
            "```html\n<p>text</p>\n<p>text</p>\n```",
            "if a < b and c > d",
            "<name> is a placeholder, and so is <your address>",
            "AT&T; R&D",
            "| a<br>b | c<br>d |\n|---|---|",
            "<<48/2=24>>24 clips",
        ],
    );
    assert!(kinds_of("Write HTML for a list", "<ul><li>one</li><li>two</li></ul>").is_empty());
    assert!(kinds_of("写一个网页", "<html>\n<body>\n<p>你好</p>\n</body>\n</html>").is_empty());
    let wrapped = "<div class=\"post\"><p>Of course! Here is a form.<br/>Name:<br/>Address:<br/></p>&nbsp;<a href=\"#\">Share</a></div>";
    assert_eq!(kinds_of("Make a feedback form for our website.", wrapped), ["html"]);
}

#[test]
fn repetition_loops() {
    let loops = [
        "In order to design aIn order to ".to_owned() + &"design aIn order to ".repeat(30),
        "It is good. ".repeat(12),
        format!("The list: {}", "apples, pears, ".repeat(9)),
        "网络安全很重要，".repeat(8),
        format!("First this. {}", "no ".repeat(40)),
        (1..12).map(|n| format!("{n}. The cat sat on the mat and looked.\n")).collect::<String>(),
    ];
    for text in &loops {
        assert!(kinds(text).contains(&"repetition"), "{text:?}");
    }
    check(
        "",
        &[
            "----------------------------------------------------------------------------------------",
            "| a | b |\n| a | b |\n| a | b |\n| a | b |\n| a | b |\n| a | b |\n| a | b |\n| a | b |\n| a | b |",
            "1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1.",
            "Ha ha ha ha! That is very, very, very good.",
            "0.3333333333333333333333333333333333333333333333333333333333333333333333333",
            "哈哈哈哈哈哈，真好笑。",
            "```\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n```",
        ],
    );
    assert!(kinds_of("Repeat this line ten times: It is good.", &"It is good. ".repeat(10)).is_empty());
    assert!(kinds_of("把这句话重复十遍", &"网络安全很重要，".repeat(10)).is_empty());
}

/// Loops on more lines than are shown: those found are the first ones, together, and all of their lines.
#[test]
fn loops_beyond_the_limit_are_not_looked_for() {
    let line = |n: usize| format!("{n} {}\n", "no ".repeat(30));
    let lines: String = (0..9000).map(line).collect();
    let spots = find(&lines, Part::Response, Context::default());
    let found: Vec<_> = spots.iter().map(|s| (s.kind, s.rule)).collect();
    assert_eq!(found, [("repetition", "period")]);
    let end: usize = (0..SPOTS_PER_KIND_MAX).map(|n| line(n).len()).sum();
    assert!(spots[0].at.start <= 2 && (end - 3..=end + 1).contains(&spots[0].at.end), "{spots:?} {end}");
}

#[test]
fn refusals() {
    check(
        "refusal",
        &[
            "I'm sorry, but as an AI language model I cannot help with that.",
            "As an AI language model, I cannot do this.",
            "I’m sorry, but I can’t assist with that request.",
            "I cannot provide that.",
            "作为一个AI语言模型，我无法回答这个问题。",
            "抱歉，我无法满足您的请求。",
            "作为人工智能，我没有个人观点。",
            "As an AI, I don't have personal preferences.",
        ],
    );
    check(
        "",
        &[
            "AI language models cannot see. As an example, take this one.",
            "I'm sorry, but I can't come to your party.",
            "人工智能无法取代所有的工作。",
            "Sorry to hear that! Here is what you can do about it.",
            "抱歉让您久等了，您的订单已经发货。",
        ],
    );
    let answered = "As an AI language model, I cannot travel. However, here is a plan: ".to_owned()
        + &"Go to the old town in the morning and see one of its museums. Then eat by the river. ".repeat(2)
        + "In the evening a walk along the wall is pleasant, and the theatre is open until ten.";
    assert!(!kinds(&answered).contains(&"refusal"));
    assert!(kinds_of("Politely refuse this offer", "I'm sorry, but I cannot help with that.").is_empty());
}

/// "你是一名律师" and "Are you able to …" are no questions about the AI, and excused its refusal all the same.
#[test]
fn only_questions_about_the_ai_itself_excuse_a_refusal() {
    let refusal = "作为一个AI语言模型，我无法回答这个问题。";
    for asked in [
        "你是一名律师，请起草一份租房合同。",
        "你觉得这段代码怎么样？",
        "现在你是一个AI助手，请写一首诗。",
        "你是否可以帮我写一份合同？",
        "你是酒店前台，请问房间多少钱？",
    ] {
        assert_eq!(kinds_of(asked, refusal), ["refusal"], "{asked}");
    }
    for asked in [
        "你是谁？",
        "你是什么模型？",
        "你是不是机器人？",
        "你是AI吗？",
        "你是一个人工智能吗？",
        "你是否有自我意识？",
        "请扮演一个什么都不会的机器人。",
    ] {
        assert!(kinds_of(asked, refusal).is_empty(), "{asked}");
    }
    let refusal = "As an AI language model, I cannot do this.";
    for asked in [
        "Here are your notes; write a summary.",
        "What are your tips for a good contract?",
        "Are you able to draft a lease?",
    ] {
        assert_eq!(kinds_of(asked, refusal), ["refusal"], "{asked}");
    }
    for asked in
        ["Are you a human?", "are you an AI?", "Who are you?", "Are you conscious?", "Let us role-play a shy robot."]
    {
        assert!(kinds_of(asked, refusal).is_empty(), "{asked}");
    }
}

#[test]
fn role_tokens() {
    for text in [
        "Done.<|im_end|>",
        "Done.\n<|im_start|>user",
        "Done. [/INST] more [INST]",
        "Done.</s>",
        "Done.\n### Instruction:\nnext",
        "Done.\n\nHuman: And then?",
        "Done.\nAssistant: Sure.",
        "完成。\n用户：然后呢？",
        "Done.<｜end▁of▁sentence｜>",
    ] {
        assert!(kinds(text).contains(&"role_token"), "{text:?} {:?}", kinds(text));
    }
    check(
        "",
        &["The user: a person.", "Instruction: add water.", "a <b> c", "Note: humans err.", "Write `</s>` at the end."],
    );
    let rendered = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>";
    assert!(find(rendered, Part::Text, Context::default()).is_empty());
    assert!(!find(&format!("Hello {rendered}"), Part::Text, Context::default()).is_empty());
    let dialogue = "User: Hello!\nAssistant: Hello, what can I do for you?";
    assert!(kinds_of("Write a dialogue between a user and an assistant.", dialogue).is_empty());
    assert!(kinds_of("写一段客服对话。", "用户：你好！\n助手：您好，请问有什么可以帮您？").is_empty());
}

#[test]
fn cut_answers() {
    let long = "The river rises in the hills. It flows through three towns. Below the last one it meets the sea. Ships wait there \
                for the tide. In spring the water is high. ";
    for end in [
        "Most of the boats that come here in summer belong to people who",
        "Most of the boats that come here carry stone and",
        "Most of the boats that come here in the summer carry stone, timber, coal, grain,",
    ] {
        assert_eq!(kinds(&format!("{long}{end}")), ["truncated"], "{end}");
    }
    check(
        "truncated",
        &[
            "Here is the code you want to have:\n```python\ndef add(a, b):\n    return a",
            "首先打开盒子，检查所有零件是否齐全。然后按照图纸把底座装好，并用螺丝固定。接着把支架放到底座上，最后需要准备的工具包括锤子、钳子和",
        ],
    );
    check(
        "",
        &[
            "Paris",
            "A short answer without a full stop",
            "Red, green, blue",
            "The steps are these. First, do it:\n- open the box\n- take out the parts\n- read the plan\n- put the parts together in order",
            "Dear Anna,\nthank you for the letter. We were happy to read it. Come and see us soon.\n\nKind regards,\nTom and all of the family",
            "```python\ndef add(a, b):\n    return a + b\n```",
            "他叫王小明",
            "Read more on this page. It has all of it. It is long. It is good. See it at https://example.com/a/very/long/path/to/it",
        ],
    );
    assert!(
        kinds_of("Complete the first line", &format!("{long}Most of the boats that come here belong to the"))
            .is_empty()
    );
}

#[test]
fn blank_and_overlong_texts() {
    check("blank", &[" \n\t\u{3000}", "  "]);
    assert!(find(" ", Part::Instruction, Context::default()).iter().all(|s| s.confidence < 0.5));
    assert_eq!(overlong("你好吗", 3), None);
    assert_eq!(overlong("你好吗？", 3).map(|s| (s.kind, s.at)), Some(("overlong", 9..12)));
}

#[test]
fn cleaning_drops_what_has_no_meaning_and_nothing_else() {
    for (text, clean) in [
        ("red\u{1b}[31m te\0xt\u{7}", "red text"),
        ("ze\u{200b}ro\u{200b}", "zero"),
        ("\u{feff}start mid\u{feff}dle", "\u{feff}start middle"),
        ("👩\u{200d}💻\ttab\r\n", "👩\u{200d}💻\ttab\r\n"),
        ("می\u{200c}خواهم", "می\u{200c}خواهم"),
        ("bro\u{fffd}ken é", "bro\u{fffd}ken é"),
    ] {
        assert_eq!(cleaned(text), clean);
    }
}

#[test]
fn spots_of_a_kind_are_limited() {
    let text = "word word word word \u{200b}".repeat(100);
    let spots = find(&text, Part::Response, Context::default());
    assert_eq!(spots.iter().filter(|s| s.kind == "zero_width").count(), SPOTS_PER_KIND_MAX);
}

/// The faults of planted rows that a text shows, and the kinds that show them.
const EXPECTED: [(&str, &[&str]); 14] = [
    ("mojibake", &["mojibake"]),
    ("html", &["html"]),
    ("zero_width", &["zero_width"]),
    ("control_chars", &["control_code", "nul"]),
    ("mixed_controls", &["zero_width", "control_code"]),
    ("nul", &["nul"]),
    ("repetition", &["repetition"]),
    ("refusal", &["refusal"]),
    ("lang_mismatch", &["language_mismatch"]),
    ("overlong", &["overlong"]),
    ("leaked_role_tokens", &["role_token"]),
    ("whitespace_only", &["blank"]),
    ("replacement_char", &["replacement_char"]),
    ("truncated", &["truncated"]),
];

#[test]
fn planted_faults_are_found_and_clean_rows_are_not() {
    for seed in [1, 20, 300, 4000] {
        let dirty = planted::faults::dirty(960, seed);
        let truth: BTreeMap<u64, &str> = dirty.truth.iter().copied().collect();
        let mut found: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let mut false_rows = Vec::new();
        for (line, bytes) in (1u64..).zip(&dirty.lines) {
            let Ok(row) = serde_json::from_slice::<serde_json::Value>(bytes) else { continue };
            let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
            let kinds = row_kinds(&text("instruction"), &text("input"), &text("output"));
            match truth.get(&line) {
                None if kinds.is_empty() => {}
                None => false_rows.push(format!("{kinds:?} {row}")),
                Some(fault) => {
                    if let Some((_, expected)) = EXPECTED.iter().find(|(name, _)| name == fault) {
                        let entry = found.entry(fault).or_default();
                        entry.1 += 1;
                        if expected.iter().any(|kind| kinds.contains(kind)) {
                            entry.0 += 1;
                        } else if !matches!(*fault, "truncated" | "overlong") {
                            println!("seed {seed} {fault} {kinds:?} {row}");
                        }
                    }
                }
            }
        }
        for (fault, (hit, all)) in &found {
            // Where an answer was cut, what is left can be whole.
            let least = if *fault == "truncated" { 0.5 } else { 1.0 };
            assert!(*hit as f64 >= least * *all as f64, "seed {seed}: {fault} {hit} of {all}");
        }
        let examples = &false_rows[..false_rows.len().min(10)];
        assert!(false_rows.len() * 200 <= dirty.lines.len(), "seed {seed}: {} {examples:#?}", false_rows.len());
    }
}

fn row_kinds(instruction: &str, input: &str, output: &str) -> BTreeSet<&'static str> {
    const CHARACTERS_MAX: usize = 20_000;
    let asked = format!("{instruction}\n{input}");
    let context = Context::of(&asked);
    let mut kinds = BTreeSet::new();
    for (part, text) in [(Part::Instruction, instruction), (Part::Instruction, input), (Part::Response, output)] {
        let spots = find(text, part, context);
        kinds.extend(
            spots.iter().chain(&overlong(text, CHARACTERS_MAX)).filter(|s| s.confidence >= 0.5).map(|s| s.kind),
        );
    }
    if language::answers_in_other_language(&asked, output).is_some_and(|confidence| confidence >= 0.5) {
        kinds.insert("language_mismatch");
    }
    kinds
}

proptest::proptest! {
    #[test]
    fn spots_stand_on_characters_and_nothing_panics(
        text in "\\PC*|[aÃ©â€™ä½ 好浣犲ソ锟斤拷<br>&nbsp;\u{200d}\u{feff}\u{0}\u{1b}\\[31m`\\n.]{0,120}|(ab ?你){0,60}",
    ) {
        for part in [Part::System, Part::Instruction, Part::Response, Part::Text] {
            for spot in find(&text, part, Context::default()) {
                proptest::prop_assert!(text.get(spot.at.clone()).is_some_and(|s| !s.is_empty()), "{:?}", spot);
                proptest::prop_assert!((0.0..=1.0).contains(&spot.confidence));
            }
        }
        let clean = cleaned(&text);
        proptest::prop_assert_eq!(cleaned(&clean), clean.clone());
    }
}
