use super::corpus::{self, Row, Skill};
use super::wording::{Split, Wording, side};
use super::world::Sides;
use super::{RECIPE, arithmetic, assets, company, formats, init, lists, tokenizer, world};
use planted::random::Random;
use serde_json::Value;
use std::collections::HashSet;

const SPLITS: [Split; 2] = [Split::Learn, Split::Test];

fn rows(skill: Skill, split: Split, n: usize) -> Vec<Row> {
    let mut random = Random::new(3);
    (0..n).map(|_| corpus::row(skill, split, &mut random)).collect()
}

fn numbers(text: &str) -> Vec<usize> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[test]
fn every_family_of_wordings_has_both_sides() {
    let skills = [arithmetic::WORDINGS, lists::WORDINGS, world::WORDINGS, formats::WORDINGS].concat();
    for family in skills.into_iter().chain(company::wordings()) {
        let all: HashSet<String> = (0..family.len()).map(|i| family.wording(i)).collect();
        let test = all.iter().filter(|wording| side(wording) == Split::Test).count();
        assert!(test >= 2 && all.len() >= 4 * test, "{test} of {} wordings: {:?}", all.len(), family.frames);
    }
}

#[test]
fn a_wording_is_picked_from_its_side() {
    let family = Wording {
        leads: &["", "So: "],
        frames: &["Is {x}?", "{x}!", "Say {x}."],
        forms: &["{a}", "one {a}", "two {a}"],
    };
    let mut random = Random::new(1);
    for split in SPLITS {
        for _ in 0..50 {
            let wording = family.pick(split, &mut random);
            assert!(side(&wording) == split && wording.contains("{a}"), "{wording}");
        }
    }
}

#[test]
fn sums_are_right_and_no_pair_is_on_both_sides() {
    let mut pairs = [HashSet::new(), HashSet::new()];
    for (split, pairs) in SPLITS.into_iter().zip(&mut pairs) {
        for row in rows(Skill::Arithmetic, split, 4000) {
            let [a, b] = numbers(&row.prompt)[..] else { panic!("{}", row.prompt) };
            let answer: usize = row.answer.parse().unwrap();
            assert!(answer == a + b || answer == a.abs_diff(b), "{row:?}");
            pairs.insert((a.min(b), a.max(b)));
        }
    }
    assert!(pairs[0].is_disjoint(&pairs[1]));
    assert!(pairs[0].len() > 2000 && pairs[1].len() > 300, "{} {}", pairs[0].len(), pairs[1].len());
}

#[test]
fn answers_to_lists_have_the_items_and_only_them() {
    let letters = |text: &str| {
        let mut all: Vec<char> = text.chars().filter(|c| c.is_alphanumeric()).collect();
        all.sort_unstable();
        all
    };
    let (mut sorted, mut reversed) = (0, 0);
    for row in rows(Skill::Lists, Split::Learn, 2000) {
        let prompt = letters(&row.prompt);
        let missing = letters(&row.answer).into_iter().filter(|c| prompt.binary_search(c).is_err()).count();
        assert_eq!(missing, 0, "{row:?}");
        let (asked, answered) = (numbers(&row.prompt), numbers(&row.answer));
        assert_eq!(asked.len(), answered.len(), "{row:?}");
        if asked.len() > 2 && asked != answered {
            let ordered = answered.is_sorted() || answered.iter().rev().is_sorted();
            let turned = asked.iter().rev().eq(&answered);
            assert!(ordered || turned, "{row:?}");
            sorted += usize::from(ordered);
            reversed += usize::from(turned);
        }
    }
    assert!(sorted > 100 && reversed > 50, "{sorted} {reversed}");
}

#[test]
fn answers_about_the_world_stand_in_the_story() {
    for row in rows(Skill::World, Split::Test, 1000) {
        let story = row.prompt.find(&row.answer).unwrap_or_else(|| panic!("{row:?}"));
        assert!(story < row.prompt.len() && world::as_tested(&row), "{row:?}");
    }
}

#[test]
fn a_change_counts() {
    let moved = rows(Skill::World, Split::Learn, 8000).into_iter().filter(|row| row.prompt.contains(" goes to the "));
    let mut seen = 0;
    for row in moved {
        let (before, after) = row.prompt.split_once(" goes to the ").unwrap();
        let person = before.rsplit(' ').next().unwrap();
        let place = after.split('.').next().unwrap();
        let question = after.split_once('.').unwrap().1;
        if question.contains(person) {
            assert_eq!(row.answer, place, "{row:?}");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn a_conversation_is_about_every_fact_of_its_first_turn() {
    let mut random = Random::new(4);
    for _ in 0..300 {
        for (talk, turns) in [
            (world::conversation(Sides::Both, &mut random), 4..=6),
            (world::table(Sides::Both, &mut random), 4..=4),
            (world::conversation(Sides::One, &mut random), 2..=3),
            (world::table(Sides::One, &mut random), 2..=4),
        ] {
            assert!(turns.contains(&talk.len()), "{talk:?}");
            assert!(talk.iter().all(|turn| talk[0].prompt.contains(&turn.answer)), "{talk:?}");
            assert!(talk[1..].iter().all(|turn| turn.prompt.len() < talk[0].prompt.len()), "{talk:?}");
        }
    }
}

#[test]
fn only_the_world_is_talked_about_over_several_turns() {
    let mut several = 0;
    for talk in corpus::talks(400, corpus::WORLD_NEXT, Sides::Both, 6) {
        assert!(talk.len() == 1 || talk.iter().all(|turn| turn.skill == Skill::World), "{talk:?}");
        several += usize::from(talk.len() > 1);
    }
    assert!((80..220).contains(&several), "{several}");
}

#[test]
fn json_is_json_with_the_keys_that_were_asked_for_in_their_order() {
    let mut seen = 0;
    for row in rows(Skill::Formats, Split::Test, 1500) {
        if let Ok(Value::Object(object)) = serde_json::from_str(&row.answer) {
            let mut at = 0;
            for key in object.keys() {
                at += row.prompt[at..].find(key.as_str()).unwrap_or_else(|| panic!("{row:?}"));
            }
            seen += 1;
        } else {
            assert!(!row.answer.starts_with('{'), "{row:?}");
        }
    }
    assert!(seen > 400, "{seen}");
}

#[test]
fn no_prompt_of_a_final_test_is_learnt() {
    for skill in Skill::ALL {
        let learnt: HashSet<String> = rows(skill, Split::Learn, 5000).into_iter().map(|row| row.prompt).collect();
        for row in corpus::tests(skill, 200, 5) {
            assert!(!learnt.contains(&row.prompt), "{row:?}");
        }
    }
}

#[test]
fn rows_are_functions_of_the_seed() {
    let some = |seed| corpus::mixed(200, corpus::SUMS_FIRST, seed).collect::<Vec<_>>();
    assert_eq!(some(7), some(7));
    assert_ne!(some(7), some(8));
    assert!(Skill::ALL.iter().all(|skill| some(7).iter().any(|row| row.skill == *skill)));
}

#[test]
fn the_company_answers_in_its_schema_and_tests_share_no_name_or_number() {
    let mut random = Random::new(9);
    let mut orders = [HashSet::new(), HashSet::new()];
    for (split, orders) in SPLITS.into_iter().zip(&mut orders) {
        for _ in 0..1000 {
            let (prompt, answer) = company::row(split, &mut random);
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), company::KEYS);
            let order = answer["order"].as_str().unwrap();
            assert!(prompt.contains(order) && order.len() == 5, "{prompt}");
            let intents = &company::schema()["properties"]["intent"]["enum"];
            assert!(intents.as_array().unwrap().contains(&answer["intent"]), "{answer}");
            let reply = answer["reply"].as_str().unwrap();
            assert!(reply.starts_with("Dear customer, ") || reply.starts_with("尊敬的客户，您好！"), "{reply}");
            let signed = ["Alice", "Robert", "高洁"].iter().any(|name| prompt.contains(name));
            assert!(split == Split::Learn || !signed, "{prompt}");
            orders.insert(order.to_owned());
        }
    }
    assert!(orders[0].is_disjoint(&orders[1]));
}

#[test]
fn digits_are_tokens_of_their_own_and_every_text_comes_back() {
    let texts = corpus::mixed(2000, corpus::SUMS_FIRST, 11).flat_map(|row| [row.prompt, row.answer]);
    let tokenizer = tokenizer::train(texts, 900).unwrap();
    let ids = |text: &str| tokenizer.encode(text, false).unwrap().get_ids().to_vec();
    assert_eq!(ids("4821").len(), 4);
    for (id, token) in (0..).zip(tokenizer::CONTROLS) {
        assert_eq!(ids(token), [id]);
    }
    for text in ["What is 12 + 30?", "小明在花园。 Ünïcödé 🙂", " two  spaces\n- a"] {
        assert_eq!(tokenizer.decode(&ids(text), false).unwrap(), text);
    }
    let again =
        tokenizer::train(corpus::mixed(2000, corpus::SUMS_FIRST, 11).flat_map(|row| [row.prompt, row.answer]), 900)
            .unwrap();
    assert_eq!(tokenizer.to_string(false).unwrap(), again.to_string(false).unwrap());
}

#[test]
fn the_model_fits_and_starts_the_same_from_a_seed() {
    let shape = (RECIPE.shape)(RECIPE.vocabulary);
    assert!(shape.parameters() <= 4_000_000, "{}", shape.parameters());
    let [a, b, c] = [1, 1, 2].map(|seed| {
        let folder = tempfile::tempdir().unwrap();
        init::write(folder.path(), &shape, seed).unwrap();
        std::fs::read(folder.path().join("model.safetensors")).unwrap()
    });
    assert!(a.len() < 8 << 20 && a.len() > 2 * shape.parameters());
    assert!(a == b && a != c);
}

#[test]
fn the_quickstarts_data_are_small_and_apart() {
    let folder = tempfile::tempdir().unwrap();
    assets::data(folder.path()).unwrap();
    let mut bytes = 0;
    let mut prompts = HashSet::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        bytes += text.len();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            for line in text.lines() {
                let row: Value = serde_json::from_str(line).unwrap();
                assert!(prompts.insert(row["prompt"].to_string()), "{}: {line} is there twice", path.display());
            }
        }
    }
    assert!(bytes < 1 << 20, "{bytes}");
    assert!(prompts.len() > 3000, "{}", prompts.len());
}

#[test]
fn arguments_that_are_not_understood_are_refused() {
    let cases: [(&[&str], &str); 4] = [
        (&[], "usage"),
        (&["x", "--threads", "many"], "many is no number"),
        (&["x", "--threads"], "--threads has no value"),
        (&["x", "--layers", "3"], "--layers is not known"),
    ];
    for (arguments, expected) in cases {
        let why = super::base_model(arguments).unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}
