use measures::Spot;
use measures::quality::prints::prints;
use measures::quality::tokens::{Class, tokens};
use measures::quality::{Aspect, Known, LOW_BELOW, WordList, WordListError, quality};

const QUESTION: &str = "Explain to a child why the sky over the sea is blue in the morning.";
const ANSWER: &str = "Sunlight is made of many colours. The air of the sky sends blue light into every direction, so blue \
    reaches your eyes from everywhere, over the sea as over the land.";

fn part(question: &str, answer: &str, aspect: Aspect) -> f32 {
    let quality = quality(question, answer, &Known::default());
    quality.parts.iter().find(|(one, _)| *one == aspect).unwrap().1
}

#[test]
fn good_answers_have_nothing_against_them() {
    let pairs = [
        (QUESTION, ANSWER),
        ("Is water wet?", "Yes"),
        ("What is 2 + 3?", "5"),
        ("I am still waiting on my card?", "card_arrival"),
        ("为什么天空是蓝色的？", "因为空气把太阳光里的蓝光散射到四面八方，所以我们看到的天空是蓝色的。"),
        ("法国的首都是哪里？", "巴黎"),
        ("Write a loop over ten numbers.", "```python\nfor i in range(10):\n    print(i)\n```"),
        ("List three colours.", "1. Red\n2. Green\n3. Blue"),
        ("Translate into French: good morning", "Bonjour"),
        ("Correct the grammar: He go to school by bus each day.", "He goes to school by bus each day."),
        (
            "Write a poem about rain.",
            "Rain on the roof\nand rain on the sea,\nit sings to the gutter\nand drums for me",
        ),
        ("Give me a table of two rows.", "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |"),
    ];
    for (question, answer) in pairs {
        let quality = quality(question, answer, &Known::default());
        assert!(quality.score >= 0.75, "{answer}: {quality:?}");
        assert_eq!(quality.off_topic, None, "{answer}");
    }
}

#[test]
fn each_part_has_its_fault() {
    use Aspect::*;
    let loops = "I think that it is blue because it is blue. ".repeat(12);
    let endless = "and then the light goes on to the sea where it meets more light ".repeat(60);
    let cases = [
        (Answered, QUESTION, ""),
        (Answered, QUESTION, " \n\t"),
        (Answered, QUESTION, "Ok"),
        (Answered, "请写一篇关于春天的文章", "好"),
        (Varied, QUESTION, &loops),
        (Finished, QUESTION, &ANSWER[..ANSWER.len() - " over the sea as over the land.".len()]),
        (Finished, QUESTION, &ANSWER[..ANSWER.len() - " land.".len()]),
        (Finished, QUESTION, "```python\nprint(1)\n"),
        (Clean, QUESTION, "@#$%^&*()_+ {}|:<>? ~!@#$%^ blue *&^%$#@ (*&^%$#@!~ sky +_)(*&^%"),
        (Own, QUESTION, QUESTION),
        (Own, QUESTION, "explain to a child why the sky over the sea is blue in the morning"),
        (Specific, QUESTION, "N/A"),
        (Specific, QUESTION, "待补充"),
        (Structured, QUESTION, &endless),
    ];
    for (aspect, question, answer) in cases {
        let found = part(question, answer, aspect);
        assert!(found < 0.65, "{aspect:?} {found}: {answer:?}");
    }
}

/// Only the start of a long text is read; an answer that begins with a long question is not all of it.
#[test]
fn a_long_beginning_in_common_is_no_echo() {
    let document: String = (0..4200).map(|n| format!("word{n} ")).collect();
    let answer = document.clone() + &(0..2000).map(|n| format!("other{n} ")).collect::<String>();
    assert_eq!(part(&document, &document, Aspect::Own), 0.1);
    assert_eq!(part(&document, &answer, Aspect::Own), 1.0);
}

#[test]
fn what_is_known_counts() {
    let with = |kind: &'static str, confidence| {
        let faults = [Spot { kind, rule: "", at: 0..1, confidence }];
        quality(QUESTION, ANSWER, &Known { faults: &faults }).score
    };
    let without = quality(QUESTION, ANSWER, &Known::default()).score;
    for kind in ["repetition", "truncated", "mojibake", "html", "role_token", "refusal", "language_mismatch"] {
        assert!(with(kind, 0.9) < 0.8 * without, "{kind}");
        assert_eq!(with(kind, 0.4), without, "{kind} unsure");
    }
    assert_eq!(with("email", 0.9), without);
}

#[test]
fn scores_are_products_of_their_parts() {
    for answer in ["", "blue", ANSWER, "N/A", QUESTION] {
        let quality = quality(QUESTION, answer, &Known::default());
        let product: f32 = quality.parts.iter().map(|(aspect, value)| value.powf(aspect.weight())).product();
        assert_eq!(quality.score, product);
        assert!((0.0..=1.0).contains(&quality.score) && quality.parts.iter().all(|part| (0.0..=1.0).contains(&part.1)));
    }
    assert!(quality(QUESTION, "", &Known::default()).score < LOW_BELOW);
    assert_eq!(serde_json::to_value(Aspect::ALL).unwrap()[3], Aspect::Finished.name());
}

#[test]
fn answers_to_other_questions_are_off_topic() {
    let asked = "Describe how the Roman Senate chose Caesar's successor after 44 BC, naming Octavian, Antony and Lepidus, \
        and what the legions in Gaul, Spain and Africa made of it.";
    let other = "To bake sourdough bread, mix flour with water and salt, fold the dough every half hour, let it rest \
        overnight in a cold place, heat the oven with a heavy pot inside, slash the loaf, bake it covered for twenty minutes, \
        take the lid off and wait until the crust is dark brown. Cool it on a rack before cutting thin slices, and keep \
        leftovers wrapped in cotton cloth. Flat loaves rise poorly when starter smells sour, \
        kitchen temperature drops, or yeast lacks sugar, so feed it daily, weigh every ingredient, note hours.";
    let found = quality(asked, other, &Known::default());
    assert!(found.off_topic.is_some_and(|confidence| (0.5..1.0).contains(&confidence)), "{found:?}");
    let about = format!("{other} Octavian would have liked it.");
    assert_eq!(quality(asked, &about, &Known::default()).off_topic, None);
    assert_eq!(
        quality("Translate into Chinese: Octavian, Antony", "屋大维，安东尼", &Known::default()).off_topic,
        None
    );
}

#[test]
fn words_of_a_list_are_found_whole() {
    let list = WordList::new("# house list\nGrmpf\n坏词\r\n\nvery Bad thing\nÄrger\n").unwrap();
    let found = |text: &str| list.find(text).into_iter().map(|spot| text[spot.at].to_owned()).collect::<Vec<_>>();
    let cases: [(&str, &[&str]); 8] = [
        ("what a grmpf!", &["grmpf"]),
        ("GRMPF grmpfs agrmpf grmpf1", &["GRMPF"]),
        ("这是坏词吗", &["坏词"]),
        ("手机grmpf号", &["grmpf"]),
        ("a VERY BAD THING, a very bad thin", &["VERY BAD THING"]),
        ("so viel ÄRGER", &["ÄRGER"]),
        ("house list", &[]),
        ("", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(found(text), expected, "{text}");
    }
    assert_eq!(list.find("grmpf")[0].kind, "toxic");
    let overlapping = WordList::new("bad word\nword\nbad\n").unwrap();
    assert_eq!(
        overlapping.find("a bad word, word").iter().map(|spot| spot.at.clone()).collect::<Vec<_>>(),
        [2..10, 12..16]
    );
}

#[test]
fn lists_that_are_none_are_refused() {
    assert!(matches!(WordList::new("\n# nothing\n"), Err(WordListError::Empty)));
    assert!(matches!(
        WordList::new(&format!("a\n{}", "x".repeat(201))),
        Err(WordListError::TooLong { line: 2, bytes: 201 })
    ));
    assert!(matches!(WordList::new(&"word\n".repeat(200_001)), Err(WordListError::TooMany { got: 200_001 })));
}

#[test]
fn tokens_cover_what_they_name() {
    use Class::*;
    let cases: [(&str, &[(&str, Class)]); 5] = [
        ("Hello, world!", &[("Hello", Word), (",", Symbol), ("world", Word), ("!", Symbol)]),
        ("手机138号", &[("手", Ideograph), ("机", Ideograph), ("138", Word), ("号", Ideograph)]),
        ("1+2", &[("1", Word), ("+", Operator), ("2", Word)]),
        ("a\u{200b}\u{200b}b", &[("a", Word), ("\u{200b}\u{200b}", Invisible), ("b", Word)]),
        ("cafe\u{301}  …", &[("cafe\u{301}", Word), ("…", Symbol)]),
    ];
    for (text, expected) in cases {
        let found: Vec<(&str, Class)> = tokens(text).map(|token| (&text[token.at], token.class)).collect();
        assert_eq!(found, expected, "{text:?}");
    }
    let hash = |text| tokens(text).map(|token| token.hash).collect::<Vec<_>>();
    assert_eq!(hash("ＡＢＣ abc"), hash("abc ABC"));
    assert_ne!(hash("1+2"), hash("1-2"));
}

#[test]
fn texts_that_share_a_passage_share_a_print() {
    let passage = "Below is an instruction that describes a task, paired with an input that gives context for it.";
    let hashes = |text: &str| prints(text, 1000).into_iter().map(|print| print.hash).collect::<Vec<_>>();
    let bare = hashes(passage);
    assert!(!bare.is_empty());
    for before in ["", "x", "Something else comes first here, of any length and kind. ", "前面的中文"] {
        let text = format!("{before}{passage} And what comes then is different, too: {before}!");
        let shared: Vec<_> = prints(&text, 1000).into_iter().filter(|print| bare.contains(&print.hash)).collect();
        assert!(!shared.is_empty(), "{before:?}");
        for print in shared {
            let at: String = text.chars().skip(print.at.start as usize).take(print.at.len()).collect();
            assert!(passage.contains(&at), "{at:?}");
        }
    }
    assert!(hashes(&"-".repeat(500)).is_empty());
    assert!(hashes("too short").is_empty());
    assert_eq!(prints(&passage.repeat(100), 7).len(), 7);
}
