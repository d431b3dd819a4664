//! `cargo xtask planted OUT`: planted records and the truth about them, as files.
//!
//! A row is a function of (seed, language, number of its text, number of its copy): a million of them need no memory.

use planted::near::{Label, Variant, vary};
use planted::random::Random;
use planted::texts::{Example, Language, example};
use planted::{faults, pii};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// As many rows as the set has on which the speed of tools is compared.
const ENGLISH: usize = 100_271;
const CHINESE: usize = 49_729;
const SEED: u64 = 20_260_601;

/// One text in so many has copies, and up to so many.
const COPIED_ONE_IN: usize = 8;
const COPIES_MAX: usize = 3;
/// Of the texts without copies, one in so many is followed by one that may hold personal data.
const PERSONAL_ONE_IN: usize = 8;
/// Rows with faults stand in a file of their own, as not every program would read them: one for so many records.
const FAULTY_ONE_IN: usize = 50;

pub const USAGE: &str = "cargo xtask planted OUT [--english N] [--chinese N] [--seed S]";

/// # Errors
/// A sentence: arguments that are not understood, a file that cannot be written.
pub fn planted(arguments: &[&str]) -> Result<String, String> {
    let Some((out, mut rest)) = arguments.split_first() else { return Err(format!("usage: {USAGE}")) };
    let (mut english, mut chinese, mut seed) = (ENGLISH, CHINESE, SEED);
    while let [name, value, after @ ..] = rest {
        let number: u64 = value.parse().map_err(|_| format!("{name}: {value} is no number"))?;
        match *name {
            "--english" => english = number as usize,
            "--chinese" => chinese = number as usize,
            "--seed" => seed = number,
            _ => return Err(format!("{name} is not known; usage: {USAGE}")),
        }
        rest = after;
    }
    if let [left] = rest {
        return Err(format!("{left} has no value; usage: {USAGE}"));
    }
    write(Path::new(out), english, chinese, seed).map_err(|e| format!("{out}: {e}"))
}

fn write(out: &Path, english: usize, chinese: usize, seed: u64) -> io::Result<String> {
    std::fs::create_dir_all(out)?;
    let mut places = places(Language::English, english, seed);
    places.extend(self::places(Language::Chinese, chinese, seed));
    Random::new(seed).shuffle(&mut places);
    let [mut records, mut near, mut personal] =
        [lines(out, "records.jsonl")?, lines(out, "near_truth.jsonl")?, lines(out, "pii_truth.jsonl")?];
    let (mut pairs, mut values) = (0, 0);
    for (number, place) in (1..).zip(&places) {
        let row = row(place, seed);
        line(&mut records, &row.value)?;
        if let Some(variant) = row.variant {
            pairs += 1;
            let base = Place { copy: 0, ..*place };
            let label = if variant.label() == Label::Dup { "dup" } else { "borderline" };
            line(&mut near, &json!({"a": base.id(), "b": place.id(), "variant": variant.name(), "label": label}))?;
        }
        for mut truth in row.truths {
            values += 1;
            truth["line"] = json!(number);
            line(&mut personal, &truth)?;
        }
    }
    for mut file in [records, near, personal] {
        file.flush()?;
    }
    let faulty = write_faults(out, places.len() / FAULTY_ONE_IN, seed)?;
    let rows = places.len();
    Ok(format!(
        "{rows} rows, {pairs} of them near copies, {values} values; {faulty} faults apart; in {}",
        out.display()
    ))
}

fn write_faults(out: &Path, rows: usize, seed: u64) -> io::Result<usize> {
    let dirty = faults::dirty(rows, seed);
    let mut file = lines(out, "faults.jsonl")?;
    for row in &dirty.lines {
        file.write_all(row)?;
        file.write_all(b"\n")?;
    }
    file.flush()?;
    let mut truth = lines(out, "faults_truth.jsonl")?;
    for (number, fault) in &dirty.truth {
        line(&mut truth, &json!({"line": number, "fault": fault}))?;
    }
    truth.flush()?;
    Ok(dirty.truth.len())
}

fn lines(out: &Path, name: &str) -> io::Result<BufWriter<File>> {
    File::create(out.join(name)).map(BufWriter::new)
}

fn line(file: &mut BufWriter<File>, value: &Value) -> io::Result<()> {
    writeln!(file, "{value}")
}

/// Which text, and which copy of it: 0 is the text itself.
#[derive(Clone, Copy)]
struct Place {
    language: Language,
    text: u32,
    copy: u32,
    copied: Copied,
}

/// Whether a text has copies.
#[derive(Clone, Copy, PartialEq)]
enum Copied {
    Yes,
    No,
}

impl Place {
    fn id(&self) -> String {
        let language = match self.language {
            Language::English => "en",
            Language::Chinese => "zh",
        };
        format!("{language}{:07}_{}", self.text, self.copy)
    }

    fn random(&self, seed: u64) -> Random {
        let language = u64::from(self.language == Language::Chinese);
        let place = u64::from(self.copy) << 40 | u64::from(self.text) << 1 | language;
        Random::new(Random::new(seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15)).next_u64())
    }
}

fn places(language: Language, rows: usize, seed: u64) -> Vec<Place> {
    let mut random = Random::new(seed ^ language as u64);
    let mut places = Vec::with_capacity(rows);
    for text in 0.. {
        let copies = if random.below(COPIED_ONE_IN) == 0 { 1 + random.below(COPIES_MAX) } else { 0 };
        let copied = if copies > 0 { Copied::Yes } else { Copied::No };
        places.extend((0..=copies as u32).map(|copy| Place { language, text, copy, copied }));
        if places.len() >= rows {
            places.truncate(rows);
            return places;
        }
    }
    places
}

struct Row {
    value: Value,
    variant: Option<Variant>,
    /// Personal data and what looks like it, with all but the line.
    truths: Vec<Value>,
}

fn row(place: &Place, seed: u64) -> Row {
    let mut random = Place { copy: 0, ..*place }.random(seed);
    let mut row = example(place.language, &mut random);
    let mut truths = Vec::new();
    if place.copied == Copied::No && random.below(PERSONAL_ONE_IN) == 0 {
        truths = personal(&mut row.input, place.language, &mut random);
    }
    let variant = (place.copy > 0).then(|| copied(&mut row, place.language, &mut place.random(seed)));
    let value = json!({"id": place.id(), "instruction": row.instruction, "input": row.input, "output": row.output});
    Row { value, variant, truths }
}

/// Changes a row in one way, in all fields that have something to change. What cuts or adds does so to the answer only.
fn copied(row: &mut Example, language: Language, random: &mut Random) -> Variant {
    loop {
        let variant = *random.of(&Variant::ALL);
        let only_answer = [Variant::Trunc80, Variant::Boilerplate].contains(&variant);
        let mut changed = 0;
        for text in
            [&mut row.output, &mut row.instruction, &mut row.input].into_iter().take(if only_answer { 1 } else { 3 })
        {
            if let Some(varied) = vary(text, language, variant, random) {
                *text = varied;
                changed += 1;
            }
        }
        if changed > 0 {
            return variant;
        }
    }
}

/// Adds a text that may hold personal data; says what is where, in code points.
fn personal(input: &mut String, language: Language, random: &mut Random) -> Vec<Value> {
    let its = match language {
        Language::English => pii::Language::En,
        Language::Chinese => pii::Language::Zh,
    };
    if !input.is_empty() {
        input.push('\n');
    }
    let mut truths = Vec::new();
    for planted in pii::records(its, 1, random.next_u64()) {
        let before = input.chars().count();
        let place = |byte| before + planted.text[..byte].chars().count();
        for (spans, hard_negative) in [(&planted.spans, false), (&planted.hard_negatives, true)] {
            truths.extend(spans.iter().map(|truth| {
                let (start, end) = (place(truth.at.start), place(truth.at.end));
                let value = &planted.text[truth.at.clone()];
                json!({"field": "input", "start": start, "end": end, "kind": truth.kind, "type": truth.form,
                    "value": value, "hard_negative": hard_negative})
            }));
        }
        input.push_str(&planted.text);
    }
    truths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for name in ["a", "b"] {
            let out = folder.path().join(name);
            let said = planted(&[out.to_str().unwrap(), "--english", "60", "--chinese", "40", "--seed", "7"]).unwrap();
            assert!(said.starts_with("100 rows"), "{said}");
            files.push(
                ["records.jsonl", "near_truth.jsonl"].map(|name| std::fs::read_to_string(out.join(name)).unwrap()),
            );
        }
        assert_eq!(files[0], files[1]);
        assert_eq!(files[0][0].lines().count(), 100);
    }

    #[test]
    fn truths_name_what_stands_there() {
        let place = |text| Place { language: Language::Chinese, text, copy: 0, copied: Copied::No };
        let mut count = 0;
        for row in (0..400).map(|text| row(&place(text), 5)) {
            for truth in row.truths {
                let at = |name: &str| truth[name].as_u64().unwrap() as usize;
                let input = row.value["input"].as_str().unwrap().chars();
                let there: String = input.skip(at("start")).take(at("end") - at("start")).collect();
                assert_eq!(there, truth["value"].as_str().unwrap());
                count += 1;
            }
        }
        assert!(count > 20, "{count}");
    }

    #[test]
    fn copies_are_varied_in_every_way() {
        let mut seen = std::collections::BTreeSet::new();
        for text in 0..300 {
            let place = Place { language: Language::English, text, copy: 1, copied: Copied::Yes };
            seen.insert(row(&place, 9).variant.unwrap());
        }
        assert_eq!(seen.len(), Variant::ALL.len() - 1, "{seen:?}");
    }

    #[test]
    fn arguments_that_are_not_understood_are_refused() {
        let cases: [(&[&str], &str); 4] = [
            (&[], "usage"),
            (&["x", "--english", "many"], "many is no number"),
            (&["x", "--seed"], "--seed has no value"),
            (&["x", "--french", "3"], "--french is not known"),
        ];
        for (arguments, expected) in cases {
            let why = planted(arguments).unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
    }
}
