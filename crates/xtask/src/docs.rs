//! The documents match the program. To add a rule, write a function from the workspace to problems and name it in
//! [`RULES`].

use crate::Outcome;
use crate::graph::EDGES;
use crate::workspace::Workspace;

type Rule = fn(&Workspace) -> Result<Vec<String>, String>;

const RULES: &[Rule] = &[links, second_command, map];

pub fn docs(workspace: &Workspace) -> Outcome {
    Outcome::of(RULES.iter().flat_map(|rule| rule(workspace).unwrap_or_else(|why| vec![why])).collect())
}

/// Every link between files of the repository leads somewhere.
fn links(workspace: &Workspace) -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    // The fixtures' notices are other people's texts.
    for file in workspace.ending(".md").filter(|file| !file.starts_with("fixtures/")) {
        let text = workspace.text(file)?;
        let folder = workspace.root.join(file).parent().map_or_else(|| workspace.root.clone(), ToOwned::to_owned);
        for target in targets(&text) {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !folder.join(path).exists() {
                problems.push(format!("{file}: links to {target}, which is not there"));
            }
        }
    }
    Ok(problems)
}

/// What `[text](target)` links to within the repository.
fn targets(markdown: &str) -> impl Iterator<Item = &str> {
    let targets = markdown.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '\n']).next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// CI runs the README's second command and nothing else.
fn second_command(workspace: &Workspace) -> Result<Vec<String>, String> {
    let (readme, ci) = (workspace.text("README.md")?, workspace.text(".ci/run")?);
    let Some(command) = commands(&readme).nth(1) else {
        return Ok(vec!["README.md: no second command in its code blocks".into()]);
    };
    let runs = ci.lines().any(|line| line.trim() == command);
    Ok(if runs { Vec::new() } else { vec![format!(".ci/run: does not run the README's second command, `{command}`")] })
}

/// The commands in the text's code blocks, without their comments.
fn commands(markdown: &str) -> impl Iterator<Item = &str> {
    let blocks = markdown.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(|block| block.lines().skip(1));
    lines
        .map(|line| line.split(" #").next().unwrap_or_default().trim())
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
}

/// ARCHITECTURE.md has a line on every crate and on every library that a crate names.
fn map(workspace: &Workspace) -> Result<Vec<String>, String> {
    let text = workspace.text("ARCHITECTURE.md")?;
    let named = |name: &str| text.contains(&format!("`{name}`"));
    let crates = EDGES.iter().map(|(name, _)| *name);
    let dependencies = workspace.crates().flat_map(|package| package["dependencies"].as_array().into_iter().flatten());
    let mut names: Vec<&str> =
        dependencies.filter_map(|dependency| dependency["name"].as_str()).chain(crates).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| !named(name));
    Ok(names.iter().map(|name| format!("ARCHITECTURE.md: does not say why `{name}` is there")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found() {
        let text = "[a](x.md) ![b](img/y.png) [c](https://z) [d](#here) [e](f.md#part)";
        assert_eq!(targets(text).collect::<Vec<_>>(), ["x.md", "img/y.png", "#here", "f.md#part"]);
    }

    #[test]
    fn commands_are_found_in_order() {
        let text = "# T\n```sh\n# first\ncargo run -- x  # the job\n\ncargo xtask ci\n```\nand\n```\nthird\n```\n";
        assert_eq!(commands(text).collect::<Vec<_>>(), ["cargo run -- x", "cargo xtask ci", "third"]);
    }
}
