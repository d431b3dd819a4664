//! The files that go into the crate `embedded`: the trained model, and the data of the quickstart.

use super::corpus::{self, Skill};
use super::wording::Split;
use super::{COMPANY_SEED, GENERAL_SEED, TEST_SEED, company, world, write_text};
use planted::random::Random;
use serde_json::json;
use std::collections::HashSet;
use std::path::Path;

/// Rows of the company's task: to learn, to choose by, to judge by.
const COMPANY_ROWS: [(&str, Split, usize); 3] =
    [("train", Split::Learn, 800), ("valid", Split::Learn, 100), ("test", Split::Test, 200)];
/// Rows of the skills: for replay and Fishers, and to validate by.
const GENERAL_ROWS: [(&str, usize); 2] = [("train", 3000), ("valid", 300)];
/// Rows of each skill's final test.
const TEST_ROWS: usize = 300;

const TASK_TOKENS_MAX: usize = 96;
const SKILL_TOKENS_MAX: usize = 64;

/// A suite for each skill, and one for the company's task.
pub const SUITES: [&str; 5] = ["arithmetic.yaml", "lists.yaml", "world.yaml", "formats.yaml", "company.yaml"];

/// Weights are in the type of those that training began with, bf16.
const COPIED: [&str; 5] =
    ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];

/// The model's folder as it is shipped.
///
/// # Errors
/// A sentence with the file.
pub fn model(trained: &Path, out: &Path) -> Result<(), String> {
    std::fs::create_dir_all(out).map_err(|why| format!("{}: {why}", out.display()))?;
    for name in COPIED {
        std::fs::copy(trained.join(name), out.join(name))
            .map_err(|why| format!("{}: {why}", trained.join(name).display()))?;
    }
    Ok(())
}

/// Everything but the model: the company's rows, general rows, final tests, and a suite for each.
///
/// # Errors
/// A sentence with the file.
pub fn data(out: &Path) -> Result<(), String> {
    std::fs::create_dir_all(out).map_err(|why| format!("{}: {why}", out.display()))?;
    let mut random = Random::new(COMPANY_SEED);
    let mut seen = HashSet::new();
    for (name, split, rows) in COMPANY_ROWS {
        let rows = different(rows, &mut seen, || company::row(split, &mut random));
        corpus::write_pairs(&out.join(format!("company_{name}.jsonl")), rows)?;
    }
    let general = corpus::mixed(usize::MAX, corpus::GENERAL, GENERAL_SEED);
    let general = general.filter(|row| row.skill != Skill::World || world::as_tested(row));
    let mut general = general.map(|row| (row.prompt, row.answer));
    for (name, rows) in GENERAL_ROWS {
        let mut next = || general.next().unwrap_or_default();
        let rows = different(rows, &mut seen, &mut next);
        corpus::write_pairs(&out.join(format!("general_{name}.jsonl")), rows)?;
    }
    for skill in Skill::ALL {
        corpus::write(&out.join(format!("{}_test.jsonl", skill.name())), corpus::tests(skill, TEST_ROWS, TEST_SEED))?;
        write_text(&out.join(format!("{}.yaml", skill.name())), &skill_suite(skill))?;
    }
    write_text(&out.join("company.yaml"), &company_suite())?;
    write_text(&out.join("company.schema.json"), &format!("{:#}\n", company::schema()))
}

/// So many rows whose prompts nobody has seen.
fn different(
    rows: usize,
    seen: &mut HashSet<String>,
    mut next: impl FnMut() -> (String, String),
) -> Vec<(String, String)> {
    let mut found = Vec::with_capacity(rows);
    while found.len() < rows {
        let row = next();
        if seen.insert(row.0.clone()) {
            found.push(row);
        }
    }
    found
}

fn skill_suite(skill: Skill) -> String {
    let name = skill.name();
    format!(
        "# A skill of the base model, in wordings that no row to learn from has. Only the whole answer counts.\n\
         name: {name}\nskill: {name}\nrole: general\ndata: {name}_test.jsonl\ndecoding: {{tokens_max: {SKILL_TOKENS_MAX}}}\n\
         measures:\n  exact:\n"
    )
}

fn company_suite() -> String {
    format!(
        "# The company's task: the whole JSON as the company writes it, and whether it satisfies the schema.\n\
         name: company\nskill: task\ndata: company_test.jsonl\ndecoding: {{tokens_max: {TASK_TOKENS_MAX}}}\n\
         measures:\n  exact:\n  json_schema: {}\n",
        json!({"file": "company.schema.json"})
    )
}
