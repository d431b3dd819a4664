//! Duplicates and leaks: what is found, and that it does not depend on how.

use measures::Part;
use measures::near::{ShingleSet, normalise, overlap};
use planted::near::{Label, Records, Variant, records, vary};
use planted::random::Random;
use planted::texts::{Language, example, paragraph};
use scan::near::{Count, Found, Index, Key, LeakKind, NearError, RowId, SetId, Settings, Shard, Spool, find, sketch};
use scan::{Field, Row};
use std::path::Path;

fn field(name: &str, part: Part, text: &str) -> Field {
    Field { name: name.to_owned(), part, text: text.to_owned() }
}

fn texts(texts: &[&str]) -> Vec<(Row, SetId)> {
    let row = |(text, line): (&&str, u64)| {
        (Row { file: 0, line, fields: vec![field("text", Part::Text, text)] }, SetId::TRAIN)
    };
    texts.iter().zip(1..).map(row).collect()
}

fn example_row(file: u32, line: u64, instruction: &str, output: &str) -> Row {
    let fields = vec![field("instruction", Part::Instruction, instruction), field("output", Part::Response, output)];
    Row { file, line, fields }
}

fn index(folder: &Path, shard: Shard, rows: &[(Row, SetId)], settings: Settings) -> Result<Spool, NearError> {
    let mut index = Index::create(folder, shard, settings)?;
    for (row, set) in rows {
        index.push(&sketch(row, *set, &settings))?;
    }
    index.close()
}

fn found_with(rows: &[(Row, SetId)], settings: Settings) -> Found {
    let folder = tempfile::tempdir().unwrap();
    find(&[index(folder.path(), Shard::ONLY, rows, settings).unwrap()], &|| false).unwrap()
}

fn found(rows: &[(Row, SetId)]) -> Found {
    found_with(rows, Settings::default())
}

/// Groups as `kind: lines`, with a `*` behind each kept line.
fn said(found: &Found) -> Vec<String> {
    let member = |m: &scan::near::Member| format!(" {}{}", m.row.line, if m.keep { "*" } else { "" });
    let group = |g: &scan::near::Group| format!("{:?}:{}", g.kind, g.members.iter().map(member).collect::<String>());
    found.groups.iter().map(group).collect()
}

const LONG: &str =
    "The committee met on Tuesday to discuss the repair of the old bridge and the money that is still missing.";

#[test]
fn groups_of_each_kind() {
    let near = LONG.replace("discuss", "discus").replace("Tuesday", "a Tuesday");
    let numbers = [LONG.replace("Tuesday", "day 12"), LONG.replace("Tuesday", "day 57")];
    let added = format!("Posted again by popular demand:\n{LONG}\n-- see our page for more news");
    let upper = LONG.to_uppercase();
    let cases: [(&[&str], &[&str]); 15] = [
        (&[], &[]),
        (&["one"], &[]),
        (&["one", "two", "one"], &["Exact: 1* 3"]),
        (&["One!", "one", "ONE", "One!"], &["Normalised: 1* 2 3 4"]),
        // The tidy one is kept.
        (&["ｏｎｅ  two", "one two"], &["Normalised: 1 2*"]),
        (&["", "", " "], &[]),
        (&["?", "!", "?"], &["Exact: 1* 3"]),
        (&["字", "字", "自"], &["Exact: 1* 2"]),
        // The longest is kept, since what was cut off is in it.
        (&[LONG, &near], &["Near: 1 2*"]),
        (&[LONG, &upper, &near, &near], &["Near: 1 2 3* 4"]),
        (&[LONG, &added], &["Near: 1 2*"]),
        (&[&numbers[0], &numbers[1]], &["Template: 1* 2*"]),
        (&[&numbers[0], &numbers[1], &numbers[0]], &["Exact: 1* 2* 3"]),
        // Cut off, and still of the other numbers.
        (&[&numbers[0], &numbers[1][..85]], &["Template: 1* 2*"]),
        (&[LONG, "The committee met on Tuesday."], &[]),
    ];
    for (rows, expected) in cases {
        assert_eq!(said(&found(&texts(rows))), expected, "{rows:?}");
    }
}

#[test]
fn which_of_equal_rows_is_kept_can_be_said() {
    let settings = Settings::default();
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::create(folder.path(), Shard::ONLY, settings).unwrap();
    for (rank, (row, set)) in [1, 0, 0].into_iter().zip(texts(&["one", "One", "one"])) {
        let mut sketch = sketch(&row, set, &settings);
        sketch.rank = rank;
        index.push(&sketch).unwrap();
    }
    assert_eq!(said(&find(&[index.close().unwrap()], &|| false).unwrap()), ["Normalised: 1 2* 3"]);
}

#[test]
fn a_chain_keeps_more_than_one_row() {
    // Each text shares enough with the next, and too little with the one after that.
    let words: Vec<String> =
        (0..400).map(|i| format!("{}{}", ["ka", "lo", "mi", "su"][i % 4], i * 7919 % 1009)).collect();
    let chain: Vec<String> = (0..5).map(|i| letters(&words[i * 12..i * 12 + 100])).collect();
    let rows: Vec<&str> = chain.iter().map(String::as_str).collect();
    let found = found(&texts(&rows));
    assert_eq!(found.groups.len(), 1, "{:?}", said(&found));
    let group = &found.groups[0];
    assert_eq!(group.members.len(), 5);
    assert!(group.members.iter().filter(|m| m.keep).count() > 1, "{:?}", said(&found));
    for removed in group.members.iter().filter(|m| !m.keep) {
        assert!(removed.similarity >= 0.7, "{removed:?}");
        assert!(group.members.iter().any(|m| m.keep && m.row == removed.like), "{removed:?}");
    }
}

/// Words without digits, which would make templates.
fn letters(words: &[String]) -> String {
    let letter = |c: char| c.to_digit(10).map_or(c, |d| char::from(b'a' + d as u8));
    words.join(" ").chars().map(letter).collect()
}

#[test]
fn the_key_says_what_is_compared() {
    let rows = [
        (example_row(0, 1, "What is the capital of France?", "Paris."), SetId::TRAIN),
        (
            example_row(0, 2, "What is the capital of France?", "It is Lyon, as everybody knows who has been there."),
            SetId::TRAIN,
        ),
    ];
    assert_eq!(said(&found(&rows)), Vec::<String>::new());
    let settings = Settings { key: Key::Instruction, ..Settings::default() };
    assert_eq!(said(&found_with(&rows, settings)), ["Normalised: 1* 2"]);
}

#[test]
fn a_system_text_makes_rows_differ_in_bytes_alone() {
    let mut rows = texts(&["one", "one"]);
    rows[0].0.fields.push(field("system", Part::System, "Be brief."));
    assert_eq!(said(&found(&rows)), ["Normalised: 1* 2"]);
}

#[test]
fn sets_are_not_mixed() {
    let mut rows = texts(&["one and the same", "one and the same", "one and the same", "one and the same"]);
    rows[1].1 = SetId(1);
    rows[3].1 = SetId(1);
    let found = found(&rows);
    assert_eq!(said(&found), ["Exact: 1* 3", "Exact: 2* 4"]);
    assert_eq!((found.leaks.len(), found.summary.leaked.exact), (4, 2));
}

fn planted_rows(made: &Records) -> Vec<(Row, SetId)> {
    texts(&made.records.iter().map(|r| r.text.as_str()).collect::<Vec<_>>())
}

/// The group of each row, by line.
fn group_of(found: &Found, rows: usize) -> Vec<u64> {
    let mut groups = vec![0; rows];
    for group in &found.groups {
        group.members.iter().for_each(|m| groups[m.row.line as usize - 1] = group.id);
    }
    groups
}

#[test]
fn planted_copies_are_found_and_nothing_else() {
    for seed in 1..4 {
        let made = records(150, 150, seed);
        let found = found(&planted_rows(&made));
        let group = group_of(&found, made.records.len());
        let same = |a: usize, b: usize| group[a] != 0 && group[a] == group[b];
        for language in [Language::English, Language::Chinese] {
            let dups: Vec<_> = made
                .pairs
                .iter()
                .filter(|p| {
                    let copy = &made.records[p.copy];
                    copy.language == language && copy.variant.label() == Label::Dup
                })
                .collect();
            let missed: Vec<Variant> =
                dups.iter().filter(|p| !same(p.base, p.copy)).map(|p| made.records[p.copy].variant).collect();
            assert!(missed.len() * 20 <= dups.len(), "seed {seed} {language:?}: {missed:?} of {}", dups.len());
        }
        let (mut pairs, mut wrong) = (0, 0);
        for a in 0..group.len() {
            for b in (0..a).filter(|&b| same(a, b)) {
                pairs += 1;
                wrong += usize::from(made.records[a].group != made.records[b].group);
            }
        }
        assert!(wrong * 100 <= pairs, "seed {seed}: {wrong} of {pairs}");
        brute_force(&made, &found, seed);
    }
}

/// All pairs at or above the threshold are in one group.
fn brute_force(made: &Records, found: &Found, seed: u64) {
    let sets: Vec<ShingleSet> = made.records.iter().map(|r| ShingleSet::of(&normalise(&r.text).text)).collect();
    let group = group_of(found, sets.len());
    let (mut pairs, mut missed) = (0, 0);
    for a in 0..sets.len() {
        for b in 0..a {
            if made.records[a].language != made.records[b].language {
                continue;
            }
            if overlap(&sets[a], &sets[b]).jaccard() >= found.summary.settings.jaccard {
                pairs += 1;
                missed += usize::from(group[a] == 0 || group[a] != group[b]);
            }
        }
    }
    assert!(pairs > 60 && missed * 100 <= 3 * pairs, "seed {seed}: {missed} of {pairs}");
}

#[test]
fn rows_with_other_numbers_are_kept() {
    let mut random = Random::new(9);
    let mut rows = Vec::new();
    while rows.len() < 200 {
        let language = if rows.len() % 4 == 0 { Language::English } else { Language::Chinese };
        let text = paragraph(language, &mut random, 3);
        if let Some(copy) = vary(&text, language, Variant::NumericEdit, &mut random) {
            rows.extend([text, copy]);
        }
    }
    let found = found(&texts(&rows.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!((found.summary.removed, found.summary.template), (0, Count { groups: 100, rows: 200 }));
}

#[test]
fn shards_and_orders_give_the_same() {
    let made = records(80, 80, 5);
    let mut rows = planted_rows(&made);
    rows.iter_mut().step_by(7).for_each(|(_, set)| *set = SetId(1));
    let settings = Settings::default();
    let expected = serde_json::to_string(&found(&rows)).unwrap();
    for (seed, count) in [(1, 3), (2, 5), (3, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let mut shards: Vec<Vec<(Row, SetId)>> = vec![Vec::new(); count as usize];
        rows.iter().for_each(|row| shards[row.0.line as usize % count as usize].push(row.clone()));
        for (rows, index_nr) in shards.iter_mut().zip(0..) {
            Random::new(seed).shuffle(rows);
            index(folder.path(), Shard { index: index_nr, count }, rows, settings).unwrap().keep();
        }
        let mut numbers: Vec<u32> = (0..count).collect();
        Random::new(seed).shuffle(&mut numbers);
        let open = |&index| Spool::open(folder.path(), Shard { index, count }).unwrap();
        let spools: Vec<Spool> = numbers.iter().map(open).collect();
        assert_eq!(serde_json::to_string(&find(&spools, &|| false).unwrap()).unwrap(), expected, "{count} shards");
    }
}

/// Ten thousand rows of which each two could be compared: the number of comparisons has to stay far below.
#[test]
fn rows_that_are_all_alike_are_no_harm() {
    let equal = vec![LONG; 10_000];
    let found_equal = found(&texts(&equal));
    assert_eq!((found_equal.groups.len(), found_equal.summary.removed), (1, 9_999));

    let numbered: Vec<String> = (0..10_000).map(|i| LONG.replace("Tuesday", &format!("day {i}"))).collect();
    let found_numbered = found(&texts(&numbered.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!(found_numbered.summary.template, Count { groups: 1, rows: 10_000 });
    assert_eq!(found_numbered.summary.removed, 0);

    // So many words of twenty are others in each row: rows are near each other with one, and with three just not.
    for (changes, seed) in [(1, 3), (3, 4)] {
        let varied = varied(1_500, changes, seed);
        let found = found(&texts(&varied.iter().map(String::as_str).collect::<Vec<_>>()));
        let (near, limits) = (found.summary.near, found.summary.limits);
        assert!(limits.buckets_cut > 0, "{changes}: {limits:?}");
        assert_eq!(
            (near.rows > 1_000, limits.rows_given_up > 100),
            (changes == 1, changes == 3),
            "{near:?} {limits:?}"
        );
        for m in found.groups.iter().flat_map(|g| &g.members).filter(|m| !m.keep) {
            assert!(m.similarity >= 0.7, "{changes}: {m:?}");
        }
    }
}

fn varied(rows: usize, changes: usize, seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    let words: Vec<&str> = LONG.split(' ').collect();
    let row = |_| {
        let mut row: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        for _ in 0..changes {
            let at = random.below(row.len());
            row[at] = (0..6).map(|_| char::from(b'a' + random.below(26) as u8)).collect();
        }
        row.join(" ")
    };
    (0..rows).map(row).collect()
}

#[test]
fn very_long_rows_are_compared_too() {
    let mut random = Random::new(11);
    let long = paragraph(Language::English, &mut random, 4_000);
    let copy = long.replace(" the ", " teh ");
    let rows = texts(&[&long, &copy, "short"]);
    assert_eq!(said(&found(&rows)), ["Near: 1* 2"]);
}

#[test]
fn evaluation_rows_in_the_training_set() {
    let mut random = Random::new(21);
    let mut rows = Vec::new();
    for line in 1..300 {
        let e = example(Language::English, &mut random);
        rows.push((example_row(0, line, &e.instruction, &e.output), SetId::TRAIN));
    }
    let question =
        "How many ships were in the harbour of the old town when the storm broke the long wall in the north?";
    let answer = "There were nine of them, and two more came in on the next morning with broken masts.";
    let article =
        format!("A reader asks: {question} We looked into the books of that year. {answer} So much for that.");
    rows.push((example_row(0, 300, question, answer), SetId::TRAIN));
    rows.push((example_row(0, 301, "Write a page for our paper about ships.", &article.repeat(3)), SetId::TRAIN));
    let near = question.replace("town", "twon");
    let cases = [
        (question, answer, Some((LeakKind::Exact, Key::Row, 300))),
        (&question.to_uppercase(), "Nine.", Some((LeakKind::Exact, Key::Instruction, 300))),
        (&near, answer, Some((LeakKind::Near, Key::Row, 300))),
        (&near, "Nobody knows that.", Some((LeakKind::Near, Key::Instruction, 300))),
        ("Who wrote the first letter to the editor of that newspaper?", "A baker.", None),
        ("Yes", "No", None),
    ];
    for ((question, answer, _), line) in cases.iter().zip(1..) {
        rows.push((example_row(1, line, question, answer), SetId(1)));
    }
    let found = found(&rows);
    for ((question, _, expected), line) in cases.iter().zip(1..) {
        let eval = RowId { file: 1, line };
        let strongest = found.leaks.iter().find(|l| l.eval == eval).map(|l| (l.kind, l.by, l.train.line));
        assert_eq!(strongest, *expected, "{question}");
    }
    // The article holds the question among other words.
    let contained = found.leaks.iter().filter(|l| l.kind == LeakKind::Contained && l.train.line == 301);
    assert!(contained.clone().count() >= 2, "{:?}", found.leaks);
    assert!(contained.clone().all(|l| l.score >= 0.8));
    assert_eq!((found.summary.leaked.exact, found.summary.leaked.near), (2, 2));
}

#[test]
fn what_rows_share_word_for_word() {
    let mut random = Random::new(31);
    let words = |random: &mut Random| letters(&(0..400).map(|_| random.digits(7)).collect::<Vec<_>>());
    let (a, b, c) = (words(&mut random), words(&mut random), words(&mut random));
    let rows = texts(&[&a, &b, &format!("{a} {c}"), "short"]);
    let shared = found(&rows).summary.shared;
    // Of the four, one is all in the third, which has half of its own; one has nothing, and one no long shingle.
    assert_eq!((shared.rows_by_tenths[0], shared.rows_by_tenths[10]), (1, 1), "{shared:?}");
    assert_eq!(shared.rows_by_tenths[4..=7].iter().sum::<u64>(), 1, "{shared:?}");
    assert_eq!(shared.rows_by_tenths.iter().sum::<u64>(), 3);
    assert!(shared.shared * 10 > shared.shingles * 4 && shared.shared * 10 < shared.shingles * 6, "{shared:?}");
}

#[test]
fn many_equal_rows_on_both_sides_are_listed_in_part() {
    let mut rows = texts(&vec![LONG; 1_300]);
    rows.iter_mut().skip(1_100).for_each(|(_, set)| *set = SetId(2));
    let found = found(&rows);
    assert_eq!(found.leaks.len(), 200 * 1_024);
    assert_eq!((found.summary.leaked.exact, found.summary.limits.eval_rows_listed_in_part), (200, 200));
}

#[test]
fn spools_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let left = || std::fs::read_dir(folder.path()).unwrap().count();
    let rows = texts(&["one", "two"]);
    let spool = index(folder.path(), Shard::ONLY, &rows, Settings::default()).unwrap();
    assert_eq!(left(), 5);
    assert!(matches!(find(std::slice::from_ref(&spool), &|| true), Err(NearError::Interrupted)));
    drop(spool);
    assert_eq!(left(), 0);
    drop(Index::create(folder.path(), Shard::ONLY, Settings::default()).unwrap());
    assert_eq!(left(), 0);
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rows) = (folder.path(), texts(&["one", "two"]));
    let low = Settings { jaccard: 0.3, ..Settings::default() };
    assert!(matches!(Index::create(path, Shard::ONLY, low), Err(NearError::Threshold { .. })));
    let nowhere = path.join("nowhere");
    assert!(matches!(
        Index::create(&nowhere, Shard::ONLY, Settings::default()),
        Err(NearError::Io { op: "create", .. })
    ));
    assert!(matches!(Spool::open(&nowhere, Shard::ONLY), Err(NearError::Io { op: "read", .. })));

    let shard = |index| Shard { index, count: 2 };
    index(path, shard(0), &rows, Settings::default()).unwrap().keep();
    let strict = Settings { jaccard: 0.9, ..Settings::default() };
    index(path, shard(1), &rows, strict).unwrap().keep();
    let spools = [0, 1].map(|i| Spool::open(path, shard(i)).unwrap());
    assert!(matches!(find(&spools, &|| false), Err(NearError::Settings { .. })));

    let texts_file = path.join("near-0-of-2.texts");
    std::fs::write(&texts_file, [0xff; 6]).unwrap();
    let spool = Spool::open(path, shard(0)).unwrap();
    let eval =
        texts(&["one", "two"]).into_iter().map(|(row, _)| (Row { file: 1, ..row }, SetId(1))).collect::<Vec<_>>();
    let eval = index(path, Shard { index: 1, count: 3 }, &eval, Settings::default()).unwrap();
    assert!(matches!(find(&[spool, eval], &|| false), Err(NearError::Damaged { .. })));
    std::fs::write(&texts_file, "one").unwrap();
    assert!(matches!(Spool::open(path, shard(0)), Err(NearError::Damaged { .. })));
    std::fs::write(path.join("near-0-of-2.json"), "{").unwrap();
    assert!(matches!(Spool::open(path, shard(0)), Err(NearError::Damaged { .. })));
}
