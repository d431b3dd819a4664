//! Known weaknesses of dependencies, as far as that can be told without the network.

use crate::Outcome;
use crate::workspace::{Workspace, cargo};
use std::path::PathBuf;
use std::process::Stdio;

/// Asks cargo-audit with the database it has; a build must not depend on what another server says today.
pub fn advisories(workspace: &Workspace) -> Outcome {
    let version = cargo().args(["audit", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        return Outcome::NotChecked("cargo-audit is not installed (cargo install cargo-audit)".into());
    }
    let database = cargo_home().map(|home| home.join("advisory-db"));
    if !database.is_some_and(|folder| folder.is_dir()) {
        return Outcome::NotChecked("cargo-audit has no database yet (run cargo audit once)".into());
    }
    match cargo().args(["audit", "--no-fetch", "--quiet"]).current_dir(&workspace.root).status() {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(status) => Outcome::Failed(vec![format!("`cargo audit --no-fetch` ended with {status}")]),
        Err(e) => Outcome::Failed(vec![format!("`cargo audit` could not be run: {e}")]),
    }
}

fn cargo_home() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}
