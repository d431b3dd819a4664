//! Checks that cargo does.

use crate::Outcome;
use crate::workspace::{Workspace, cargo};

pub fn fmt(workspace: &Workspace) -> Outcome {
    run(workspace, &["fmt", "--all", "--check"])
}

pub fn clippy(workspace: &Workspace) -> Outcome {
    run(workspace, &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

pub fn test(workspace: &Workspace) -> Outcome {
    run(workspace, &["test", "--workspace"])
}

/// Runs cargo with its output going where ours goes.
fn run(workspace: &Workspace, arguments: &[&str]) -> Outcome {
    let command = format!("cargo {}", arguments.join(" "));
    match cargo().args(arguments).current_dir(&workspace.root).status() {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(status) => Outcome::Failed(vec![format!("`{command}` ended with {status}")]),
        Err(e) => Outcome::Failed(vec![format!("`{command}` could not be run: {e}")]),
    }
}
