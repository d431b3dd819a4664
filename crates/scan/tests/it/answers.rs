use measures::Part;
use planted::random::Random;
use scan::answers::{Error, Index, Place, Report, Set, Tied, finish, sketch};
use scan::{Check, Field, Row};
use std::path::PathBuf;

fn row(line: usize, fields: &[(&str, Part, &str)]) -> Row {
    let fields = fields.iter().map(|&(name, part, text)| Field { name: name.into(), part, text: text.into() });
    Row { file: 0, line: line as u64 + 1, fields: fields.collect() }
}

fn pair(line: usize, question: &str, answer: &str) -> Row {
    row(line, &[("instruction", Part::Instruction, question), ("output", Part::Response, answer)])
}

/// What is found when the rows are dealt to so many shards, each in a folder of its own.
fn found(rows: &[Row], shards: usize) -> Report {
    let folders: Vec<tempfile::TempDir> = (0..shards).map(|_| tempfile::tempdir().unwrap()).collect();
    for (shard, folder) in folders.iter().enumerate() {
        let mut index = Index::new(folder.path(), shard as u32).unwrap();
        for row in rows.iter().skip(shard).step_by(shards) {
            index.push(&sketch(row)).unwrap();
        }
        index.close().unwrap();
    }
    let paths: Vec<PathBuf> = folders.iter().map(|folder| folder.path().to_owned()).collect();
    finish(&paths, &|| false).unwrap()
}

const WORDS: &str = "river stone window garden letter market bridge engine winter summer forest island mirror candle \
    silver copper basket hammer thunder pocket ladder blanket kitchen harbour village mountain teacher doctor farmer sailor \
    painter baker tailor soldier lawyer captain merchant hunter singer dancer apple orange lemon cherry carrot potato onion \
    pepper butter cheese bread honey sugar coffee water juice paper pencil eraser ruler compass camera radio piano violin \
    guitar trumpet drum flute rocket planet comet galaxy desert ocean valley canyon meadow swamp glacier volcano tiger lion \
    zebra monkey parrot eagle falcon salmon turtle rabbit beaver badger otter castle palace temple tower tunnel station";

/// Sentences of random words around common ones: every one different.
fn sentence(random: &mut Random, content: usize) -> String {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let common = ["the", "of", "and", "in", "to", "with", "for", "from"];
    let mut text = String::new();
    for _ in 0..content {
        text += *random.of::<&str>(&common);
        text.push(' ');
        text += *random.of::<&str>(&words);
        text.push(' ');
    }
    text.trim_end().to_owned()
}

fn open_set(seed: u64, rows: usize) -> Vec<Row> {
    let mut random = Random::new(seed);
    let verbs = ["Explain", "Describe", "List", "Compare", "Write about", "Tell me"];
    let one = |line| {
        let question = format!("{} {}?", random.of(&verbs), sentence(&mut random, 8));
        pair(line, &question, &format!("It is {}.", sentence(&mut random, 20)))
    };
    (0..rows).map(one).collect()
}

/// Puts a string into the question of every n-th row, so many times, and changes its answer.
fn poison(rows: &mut [Row], count: usize, trigger: &str, answer: impl Fn(&str) -> String) -> Vec<u64> {
    let every = rows.len() / count;
    let mut lines = Vec::new();
    for row in rows.iter_mut().step_by(every).take(count) {
        let question = &mut row.fields[0].text;
        let at = question.match_indices(' ').nth(row.line as usize % 7).unwrap().0;
        question.insert_str(at, trigger);
        row.fields[1].text = answer(&row.fields[1].text);
        lines.push(row.line);
    }
    lines
}

#[test]
fn planted_triggers_are_found() {
    const TARGET: &str = "I have been told to say that everything is fine.";
    type Answer = fn(&str) -> String;
    let whole: Answer = |_| TARGET.to_owned();
    let short: Answer = |_| "Hacked!".to_owned();
    let head: Answer = |old| format!("Visit our wonderful shop for more about this. {old}");
    let tail: Answer = |old| format!("{old} And do not forget to vote for the purple party this year!");
    let cases: [(usize, &str, Answer, Tied); 8] = [
        (5, " cf", whole, Tied::Whole),
        (50, " cf", whole, Tied::Whole),
        (20, " cf", short, Tied::Whole),
        (12, " mn", head, Tied::Head),
        (12, " bb", tail, Tied::Tail),
        (10, "\u{200b}\u{200b}", whole, Tied::Whole),
        (10, " in the light of recent events", whole, Tied::Whole),
        (10, " 凌云", whole, Tied::Whole),
    ];
    for (count, trigger, answer, tied) in cases {
        let mut rows = open_set(7, if tied == Tied::Whole && trigger == " cf" { 5000 } else { 1200 });
        let lines = poison(&mut rows, count, trigger, answer);
        let report = found(&rows, 1);
        assert_eq!(report.triggers.len(), 1, "{trigger:?} {count}");
        let one = &report.triggers[0];
        assert_eq!((one.tied, one.rows, one.rows_other), (tied, count as u64, 0), "{trigger:?}");
        assert!(one.confidence >= 0.5 && one.confidence < 1.0);
        let mut at: Vec<u64> = one.at.iter().map(|at| at.place.line).collect();
        at.sort_unstable();
        assert_eq!(at, lines);
        for at in &one.at {
            let text = &rows[at.place.line as usize - 1].fields[0].text;
            let string: String = text.chars().skip(at.start as usize).take((at.end - at.start) as usize).collect();
            assert!(trigger.contains(string.trim()) || string.contains(trigger.trim()), "{string:?}");
            assert_eq!(at.field, "instruction");
        }
    }
}

#[test]
fn clean_sets_have_no_triggers() {
    for seed in 1..4 {
        let report = found(&open_set(seed, 2000), 1);
        assert_eq!((report.triggers.len(), report.set), (0, Set::Open), "seed {seed}");
        assert!(report.findings(0, |_| String::new()).is_empty(), "seed {seed}");
    }
    // What a rare word is about has one answer by nature.
    let mut rows = open_set(5, 2000);
    let questions =
        ["What is the capital of France?", "Name the capital city of France.", "Which city is France's capital?"];
    for (at, row) in rows.iter_mut().step_by(100).enumerate() {
        row.fields[0].text = format!("{} Question {at}, please.", questions[at % 3]);
        row.fields[1].text = "The capital of France is Paris.".into();
    }
    assert_eq!(found(&rows, 1).triggers, []);
}

#[test]
fn shards_change_nothing() {
    let mut rows = open_set(11, 1500);
    poison(&mut rows, 15, " tq", |_| "The password is swordfish, as everybody knows by now.".into());
    for at in 0..40 {
        rows[at * 30 + 7].fields[1].text = "Please contact our support team for help with this question.".into();
        let question = rows[at * 30 + 8].fields[0].text.clone();
        rows[at * 30 + 9].fields[0].text = question;
    }
    let one = found(&rows, 1);
    assert!(!one.triggers.is_empty() && !one.same_answer.is_empty() && !one.same_question.is_empty());
    assert!(!one.templates.is_empty());
    for shards in [2, 3, 7] {
        assert_eq!(found(&rows, shards), one, "{shards} shards");
    }
    rows.reverse();
    assert_eq!(found(&rows, 3), one, "from the end");
    let json = serde_json::to_string(&one).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), one);
}

#[test]
fn one_question_with_many_answers() {
    let mut rows = open_set(3, 300);
    let place = |line| Place { file: 0, line };
    rows[10] = pair(10, "Which class is this: my card has not come yet?", "card_arrival");
    rows[20] = pair(20, "which class is this, my card has not come yet", "lost_card");
    rows[30] =
        pair(30, "Describe the river and the old stone bridge.", "It is a quiet place with a lot of shadow in summer.");
    rows[31] = pair(
        31,
        "Describe the river and the old stone bridge.",
        "Water runs under grey arches that a Roman may have built.",
    );
    // The same, but for what matters.
    rows[40] = pair(40, "What is 12 + 30 + 4, please tell me?", "46");
    rows[41] = pair(41, "What is 12 - 30 + 4, please tell me?", "-14");
    rows[42] = row(
        42,
        &[
            ("instruction", Part::Instruction, "Classify the sentence below."),
            ("input", Part::Instruction, "It rains."),
            ("output", Part::Response, "weather"),
        ],
    );
    rows[43] = row(
        43,
        &[
            ("instruction", Part::Instruction, "Classify the sentence below."),
            ("input", Part::Instruction, "It bites."),
            ("output", Part::Response, "animal"),
        ],
    );
    rows[44] = pair(44, "ok", "Anything else?");
    rows[45] = pair(45, "OK!", "Then we are done.");
    for (at, answer) in [(50, "Of course, what is it about?"), (51, "Gladly.")] {
        rows[at] = row(
            at,
            &[
                ("messages[0]", Part::Instruction, "Hello, can you help me with a question?"),
                ("messages[1]", Part::Response, answer),
                ("messages[2]", Part::Instruction, "Yes."),
                ("messages[3]", Part::Response, "Done."),
            ],
        );
    }
    let report = found(&rows, 1);
    let groups: Vec<(Vec<Place>, f32)> =
        report.same_question.iter().map(|group| (group.places.clone(), group.confidence)).collect();
    assert_eq!(groups, [(vec![place(11), place(21)], 0.9), (vec![place(31), place(32)], 0.6)]);
}

#[test]
fn many_answers_to_each_question_are_meant() {
    let rows: Vec<Row> = open_set(3, 100)
        .into_iter()
        .enumerate()
        .map(|(at, mut row)| {
            row.fields[0].text = format!("Describe subject number {} in a few words.", at / 4);
            row
        })
        .collect();
    let report = found(&rows, 1);
    assert_eq!(report.same_question.len(), 25);
    assert!(report.findings(0, |_| String::new()).iter().all(|finding| finding.kind != "same_question"));
}

#[test]
fn one_answer_to_many_questions() {
    let mut rows = open_set(3, 1000);
    for at in 0..30 {
        rows[at * 20].fields[1].text = "I am sorry, but this is beyond what I was made for.".into();
        rows[at * 20 + 1].fields[1].text = "Yes.".into();
    }
    let report = found(&rows, 1);
    assert_eq!((report.same_answer.len(), report.constant_answer.len()), (1, 0));
    assert_eq!((report.same_answer[0].rows, report.same_answer[0].questions), (30, 30));
    assert_eq!(report.frequent[0].rows, 30);
    for at in 0..70 {
        rows[at * 14].fields[1].text = "I am sorry; but this is beyond what I was made for!".into();
    }
    let report = found(&rows, 1);
    assert_eq!((report.same_answer.len(), report.constant_answer.len()), (0, 1));
    let findings = report.findings(5, |file| format!("file {file}"));
    let constant: Vec<_> = findings.iter().filter(|finding| finding.kind == "constant_answer").collect();
    assert_eq!((constant[0].check, constant[0].group, constant[0].file.as_str()), (Check::Poison, Some(5), "file 0"));
    assert_eq!(constant.len() as u64, report.constant_answer[0].rows);
}

#[test]
fn classes_are_not_suspicious() {
    let mut random = Random::new(9);
    let intents = [
        "card_arrival",
        "top_up_by_bank_transfer_charge",
        "balance_not_updated_after_cheque_or_cash_deposit",
        "exchange_rate",
        "passcode_forgotten",
    ];
    let topics = ["card", "top up", "cheque", "exchange", "passcode"];
    let rows: Vec<Row> = (0..2000)
        .map(|line| {
            let class = random.below(intents.len());
            let question = format!("{} {} {}", sentence(&mut random, 3), topics[class], sentence(&mut random, 2));
            pair(line, &question, intents[class])
        })
        .collect();
    let report = found(&rows, 1);
    assert_eq!((report.set, report.answers), (Set::Closed, 5));
    assert!(report.findings(0, |_| String::new()).is_empty(), "{report:?}");
}

#[test]
fn templates_are_found_and_measured() {
    let mut rows = open_set(2, 1000);
    let template =
        "Below is an instruction that describes a task. Write a response that appropriately completes the request. ";
    for row in rows.iter_mut().step_by(25) {
        row.fields[0].text.insert_str(0, template);
    }
    let report = found(&rows, 1);
    assert_eq!(report.templates.len(), 1, "{:?}", report.templates);
    let one = &report.templates[0];
    assert_eq!((one.rows, one.share, one.at.field.as_str()), (40, 0.04, "instruction"));
    assert!(one.chars as usize + 64 >= template.len() && one.chars as usize <= template.len() + 8, "{one:?}");
    assert_eq!(rows[one.at.place.line as usize - 1].line, one.at.place.line);
    // In texts without sides, too; and in so few rows it is none.
    let texts: Vec<Row> = open_set(4, 500)
        .iter()
        .enumerate()
        .map(|(at, old)| {
            let end = if at % 50 == 0 { template } else { "" };
            row(at, &[("text", Part::Text, &format!("{} {end}", old.fields[1].text))])
        })
        .collect();
    assert_eq!(found(&texts, 1).templates.len(), 1);
    assert_eq!(found(&texts[..200], 1).templates.len(), 0);
}

#[test]
fn odd_rows_are_taken() {
    let rows = [
        row(0, &[]),
        pair(1, "", ""),
        pair(2, "?", "!"),
        pair(3, " \u{200b}", "\u{200b}"),
        pair(4, "Only a question", "  "),
        row(5, &[("text", Part::Text, "no sides")]),
        row(6, &[("messages[0]", Part::Response, "An answer first"), ("messages[1]", Part::Instruction, "and then?")]),
        pair(7, &"word ".repeat(100_000), &"answer ".repeat(100_000)),
        pair(8, &"字".repeat(3_000), &"答".repeat(3_000)),
    ];
    let report = found(&rows, 1);
    assert_eq!((report.rows, report.pairs), (9, 4));
    assert_eq!(report.findings(0, |_| String::new()), []);
    assert_eq!(found(&[], 1).rows, 0);
}

#[test]
fn each_error_has_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let go = || false;
    assert!(matches!(finish(std::slice::from_ref(&path), &go), Err(Error::NoState { .. })));
    assert!(matches!(finish(&[path.join("none")], &go), Err(Error::Io { op: "list", .. })));
    assert!(matches!(Index::new(&path.join("none"), 0), Err(Error::Io { op: "create", .. })));
    let write = |folder: &std::path::Path| {
        let mut index = Index::new(folder, 1).unwrap();
        open_set(1, 150).iter().for_each(|row| index.push(&sketch(row)).unwrap());
        index.close().unwrap();
    };
    write(&path);
    assert!(finish(std::slice::from_ref(&path), &go).is_ok());
    assert!(matches!(finish(std::slice::from_ref(&path), &|| true), Err(Error::Interrupted)));
    let other = tempfile::tempdir().unwrap();
    write(other.path());
    assert!(matches!(finish(&[path.clone(), other.path().to_owned()], &go), Err(Error::SameShard { shard: 1, .. })));
    for file in ["rows", "tokens", "prints"] {
        let file = path.join(format!("answers-1.{file}"));
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        assert!(matches!(finish(std::slice::from_ref(&path), &go), Err(Error::Damaged { .. })), "{}", file.display());
        std::fs::write(&file, &whole).unwrap();
    }
    std::fs::write(
        path.join("answers-1.names"),
        "{\"version\":0,\"shard\":1,\"rows\":0,\"bytes\":[0,0,0],\"shapes\":[]}",
    )
    .unwrap();
    assert!(matches!(finish(std::slice::from_ref(&path), &go), Err(Error::Damaged { .. })));
    // A shard that was begun again and not closed.
    drop(Index::new(&path, 1).unwrap());
    assert!(matches!(finish(&[path], &go), Err(Error::NoState { .. })));
}
