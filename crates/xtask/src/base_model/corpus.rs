//! Rows of all skills, and the files of them.

use super::wording::Split;
use super::world::Sides;
use super::{arithmetic, formats, lists, world};
use planted::random::Random;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skill {
    Arithmetic,
    Lists,
    World,
    Formats,
}

impl Skill {
    pub const ALL: [Skill; 4] = [Skill::Arithmetic, Skill::Lists, Skill::World, Skill::Formats];

    pub fn name(self) -> &'static str {
        match self {
            Skill::Arithmetic => "arithmetic",
            Skill::Lists => "lists",
            Skill::World => "world",
            Skill::Formats => "formats",
        }
    }
}

/// A question and the only right answer to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub skill: Skill,
    pub prompt: String,
    pub answer: String,
}

/// A row of this skill.
pub fn row(skill: Skill, split: Split, random: &mut Random) -> Row {
    match skill {
        Skill::Arithmetic => arithmetic::row(split, random),
        Skill::Lists => lists::row(split, random),
        Skill::World => world::row(split, random),
        Skill::Formats => formats::row(split, random),
    }
}

/// Shares of rows, in the order of [`Skill::ALL`].
pub type Shares = [usize; Skill::ALL.len()];

/// Of the first stage: sums take longest to learn.
pub const SUMS_FIRST: Shares = [45, 23, 16, 16];
/// Of the second stage: who has what is learnt last, as a story has one answer and a list many.
pub const WORLD_NEXT: Shares = [10, 26, 44, 20];
/// Of the last stage.
pub const NEARLY_EVEN: Shares = [14, 30, 36, 20];
/// Of general rows: even, as half of the world's are left out.
pub const GENERAL: Shares = [1, 1, 2, 1];

/// Rows of all skills in their shares.
pub fn mixed(rows: usize, shares: Shares, seed: u64) -> impl Iterator<Item = Row> {
    let mut random = Random::new(seed);
    (0..rows).map(move |_| {
        let mut place = random.below(shares.iter().sum());
        let mut skill = Skill::ALL[0];
        for (next, share) in Skill::ALL.into_iter().zip(shares) {
            skill = next;
            if place < share {
                break;
            }
            place -= share;
        }
        row(skill, Split::Learn, &mut random)
    })
}

/// The same as conversations, in which the world is asked about over several turns; the others have one.
pub fn talks(rows: usize, shares: Shares, sides: Sides, seed: u64) -> impl Iterator<Item = Vec<Row>> {
    let mut random = Random::new(!seed);
    mixed(rows, shares, seed).map(move |row| match (row.skill, random.below(5)) {
        (Skill::World, 0 | 1) => world::conversation(sides, &mut random),
        (Skill::World, 2 | 3) => world::table(sides, &mut random),
        _ => vec![row],
    })
}

/// Different rows of a skill's final test.
pub fn tests(skill: Skill, rows: usize, seed: u64) -> Vec<Row> {
    let mut random = Random::new(seed ^ skill as u64);
    let mut found: Vec<Row> = Vec::new();
    let mut prompts = std::collections::HashSet::new();
    while found.len() < rows {
        let row = row(skill, Split::Test, &mut random);
        if prompts.insert(row.prompt.clone()) {
            found.push(row);
        }
    }
    found
}

/// One JSON object a line, `prompt` and `completion`.
///
/// # Errors
/// A sentence with the file.
pub fn write(path: &Path, rows: impl IntoIterator<Item = Row>) -> Result<(), String> {
    write_pairs(path, rows.into_iter().map(|row| (row.prompt, row.answer)))
}

/// The same of prompts and answers.
///
/// # Errors
/// A sentence with the file.
pub fn write_pairs(path: &Path, pairs: impl IntoIterator<Item = (String, String)>) -> Result<(), String> {
    write_lines(path, pairs.into_iter().map(|(prompt, answer)| json!({"prompt": prompt, "completion": answer})))
}

/// One JSON object a line, `messages`.
///
/// # Errors
/// A sentence with the file.
pub fn write_talks(path: &Path, talks: impl IntoIterator<Item = Vec<Row>>) -> Result<(), String> {
    let turn = |row: Row| {
        [json!({"role": "user", "content": row.prompt}), json!({"role": "assistant", "content": row.answer})]
    };
    let lines = talks.into_iter().map(|talk| json!({"messages": talk.into_iter().flat_map(turn).collect::<Vec<_>>()}));
    write_lines(path, lines)
}

fn write_lines(path: &Path, lines: impl Iterator<Item = Value>) -> Result<(), String> {
    let written = || -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for line in lines {
            writeln!(file, "{line}")?;
        }
        file.flush()
    };
    written().map_err(|why| format!("{}: {why}", path.display()))
}
