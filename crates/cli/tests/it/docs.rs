//! What the READMEs say is what the program does.

use crate::support::{Bench, repository};
use std::fs;

fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The first command in a code block that begins a line, and the second.
fn commands(readme: &str) -> Vec<&str> {
    readme.split("```").skip(1).step_by(2).map(str::trim).collect()
}

#[test]
fn the_first_two_commands() {
    for readme in ["README.md", "README.zh.md"] {
        let readme = text(readme);
        let commands = commands(&readme);
        assert_eq!(commands[0], "cargo run --release --bin athanor -- quickstart");
        assert_eq!(commands[1], "cargo xtask ci");
        assert!(commands.contains(&"cargo run --release --bin athanor -- train examples/banking77/plan.yaml"));
    }
}

#[test]
fn both_readmes_show_the_example_plan_as_it_is() {
    let uncommented: String = text("examples/banking77/plan.yaml")
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default().trim_end())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    for readme in ["README.md", "README.zh.md"] {
        assert!(text(readme).contains(&uncommented), "{readme} shows another plan than\n{uncommented}");
    }
}

#[test]
fn exit_codes_of_help_and_readmes_are_the_same() {
    let help = Bench::new("llama").done(&["--help"]).stdout;
    let table = help.split("Exit codes:\n").nth(1).expect("a table of codes");
    let codes: Vec<(&str, &str)> = table.lines().filter_map(|l| l.trim().split_once("  ")).collect();
    assert_eq!(codes.len(), 14, "{table}");
    let rows: String = codes.iter().map(|(code, what)| format!("| {code} | {what} |\n")).collect();
    assert!(text("README.md").contains(&rows), "README.md lacks\n{rows}");
    let mut rest = text("README.zh.md");
    for (code, _) in codes {
        let at = rest.find(&format!("\n| {code} | ")).unwrap_or_else(|| panic!("README.zh.md lacks code {code}"));
        rest.drain(..at);
    }
}

#[test]
fn keys_of_the_readmes_are_those_of_the_program() {
    let listed = Bench::new("llama").done(&["plan", "--keys"]).stdout;
    let keys: Vec<&str> =
        listed.lines().filter(|l| !l.starts_with(' ')).filter_map(|l| l.split_whitespace().next()).collect();
    assert!(keys.len() > 50, "{listed}");
    for readme in ["README.md", "README.zh.md"] {
        let readme = text(readme);
        let shown: Vec<&str> = readme
            .lines()
            .skip_while(|l| !l.starts_with("| `model` |"))
            .take_while(|l| l.starts_with("| `"))
            .filter_map(|l| l.split('`').nth(1))
            .collect();
        assert_eq!(shown, keys);
    }
}
