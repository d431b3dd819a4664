//! The project's own checks: `cargo xtask ci` is what CI runs, `cargo xtask fast` the same without the tests.
//! `cargo xtask planted OUT` writes the records on which the health check of data is judged and timed,
//! `cargo xtask base-model OUT` makes the model inside the program.
//!
//! A check is a function from the [`Workspace`] to an [`Outcome`]; to add one, write it and name it in [`CHECKS`].

mod advisories;
mod base_model;
mod cargo;
mod docs;
mod graph;
mod licences;
mod planted;
mod sizes;
mod source;
mod workspace;

use std::process::ExitCode;
use std::time::Instant;
use workspace::Workspace;

/// What a check came to.
pub enum Outcome {
    Passed,
    /// What is wrong, a line each.
    Failed(Vec<String>),
    /// Nothing was found wrong because nothing was looked at; says why.
    NotChecked(String),
}

impl Outcome {
    pub fn of(problems: Vec<String>) -> Outcome {
        if problems.is_empty() { Outcome::Passed } else { Outcome::Failed(problems) }
    }
}

struct Check {
    name: &'static str,
    what: &'static str,
    run: fn(&Workspace) -> Outcome,
}

/// In the order in which they run: what is quick first, what is named last only in `ci`.
const CHECKS: &[Check] = &[
    Check { name: "graph", what: "crates depend on each other as the architecture says", run: graph::edges },
    Check { name: "unsafe", what: "unsafe code only where it may be", run: source::unsafe_code },
    Check { name: "walls", what: "what only one place may know or do", run: source::walls },
    Check { name: "unfinished", what: "no open ends in the source", run: source::unfinished },
    Check { name: "sizes", what: "no file and no repository that is too large", run: sizes::sizes },
    Check { name: "licences", what: "every dependency's licence lets a user do as ours does", run: licences::licences },
    Check { name: "advisories", what: "no dependency with a known weakness", run: advisories::advisories },
    Check { name: "docs", what: "the documents match the program", run: docs::docs },
    Check { name: "fmt", what: "cargo fmt", run: cargo::fmt },
    Check { name: "clippy", what: "cargo clippy, warnings denied", run: cargo::clippy },
    Check { name: "test", what: "cargo test", run: cargo::test },
    Check { name: "slice", what: "a slice of the base model's training learns", run: base_model::slice },
];

/// Left out by `fast`.
const SLOW: [&str; 2] = ["test", "slice"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["planted", rest @ ..] = &arguments[..] {
        return said(planted::planted(rest));
    }
    if let ["base-model", rest @ ..] = &arguments[..] {
        return said(base_model::base_model(rest));
    }
    let chosen: Vec<&Check> = match arguments[..] {
        ["ci"] => CHECKS.iter().collect(),
        ["fast"] => CHECKS.iter().filter(|check| !SLOW.contains(&check.name)).collect(),
        [name] => CHECKS.iter().filter(|check| check.name == name).collect(),
        _ => Vec::new(),
    };
    if chosen.is_empty() {
        eprintln!("usage: cargo xtask ci | fast | CHECK\n\nci runs all of these, fast all but {}:", SLOW.join(" and "));
        for check in CHECKS {
            eprintln!("  {:<12}{}", check.name, check.what);
        }
        eprintln!("\n{}\n{}", planted::USAGE, base_model::USAGE);
        return ExitCode::from(2);
    }
    match Workspace::read() {
        Ok(workspace) => run(&chosen, &workspace),
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn said(outcome: Result<String, String>) -> ExitCode {
    match outcome {
        Ok(what) => {
            println!("{what}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all of them, also after one has failed: a person wants to see everything at once.
fn run(chosen: &[&Check], workspace: &Workspace) -> ExitCode {
    let mut failed = Vec::new();
    for check in chosen {
        let start = Instant::now();
        println!("{:<12}{}", check.name, check.what);
        let outcome = (check.run)(workspace);
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Outcome::Passed => println!("{:<12}passed in {seconds:.1} s", ""),
            Outcome::NotChecked(why) => println!("{:<12}NOT CHECKED: {why}", ""),
            Outcome::Failed(problems) => {
                for problem in &problems {
                    println!("{:<12}  {problem}", "");
                }
                println!("{:<12}FAILED in {seconds:.1} s", "");
                failed.push(check.name);
            }
        }
    }
    if failed.is_empty() {
        println!("everything passed");
        ExitCode::SUCCESS
    } else {
        println!("failed: {}", failed.join(", "));
        ExitCode::FAILURE
    }
}
