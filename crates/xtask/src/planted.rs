//! `cargo xtask planted OUT`: planted records and the truth about them, as files.
//!
//! A row is a function of (seed, language, number of its text, number of its copy), so that a million of them need no memory.

use planted::random::Random;
use planted::texts::{Example, Language, example};
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
    let mut records = lines(out, "records.jsonl")?;
    let mut near = lines(out, "near_truth.jsonl")?;
    let mut pairs = 0;
    for place in &places {
        let (row, variant) = row(place, seed);
        line(&mut records, &row)?;
        if let Some((variant, label)) = variant {
            pairs += 1;
            let base = Place { copy: 0, ..*place };
            line(&mut near, &json!({"a": base.id(), "b": place.id(), "variant": variant, "label": label}))?;
        }
    }
    records.flush()?;
    near.flush()?;
    Ok(format!("{} rows, {pairs} of them near copies, in {}", places.len(), out.display()))
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
        places.extend((0..=copies as u32).map(|copy| Place { language, text, copy }));
        if places.len() >= rows {
            places.truncate(rows);
            return places;
        }
    }
    places
}

type Variant = (&'static str, &'static str);

fn row(place: &Place, seed: u64) -> (Value, Option<Variant>) {
    let mut row = example(place.language, &mut Place { copy: 0, ..*place }.random(seed));
    let variant = (place.copy > 0).then(|| vary(&mut row, &mut place.random(seed)));
    (json!({"id": place.id(), "instruction": row.instruction, "input": row.input, "output": row.output}), variant)
}

fn vary(row: &mut Example, random: &mut Random) -> Variant {
    let kind = random.below(3);
    for text in [&mut row.instruction, &mut row.input, &mut row.output] {
        let mut chars: Vec<char> = text.chars().collect();
        if kind == 1 && chars.len() > 40 {
            for _ in 0..2 {
                let at = random.below(chars.len() - 1);
                chars.swap(at, at + 1);
            }
        }
        if kind == 2 {
            chars.retain(|_| random.below(100) > 2);
        }
        *text = chars.into_iter().collect();
    }
    ([("exact", "dup"), ("typo2", "dup"), ("drop3", "dup")])[kind]
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
