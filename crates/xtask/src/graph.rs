//! The crate graph: edges point one way, and every edge was decided.

use crate::Outcome;
use crate::workspace::Workspace;
use serde_json::Value;

/// Which crates of ours a crate may use. ARCHITECTURE.md explains them.
pub const EDGES: &[(&str, &[&str])] = &[
    ("runfs", &[]),
    ("kernels", &[]),
    ("weights", &[]),
    ("model", &["kernels", "weights"]),
    // The generator of test data knows nothing of what is tested with it; only tests use it.
    ("planted", &[]),
    ("measures", &["planted"]),
    // `measures` for how alike replay rows are.
    ("data", &["measures", "runfs"]),
    ("scan", &["data", "measures", "planted", "runfs"]),
    ("report", &[]),
    // Bytes: the quickstart's model and data.
    ("embedded", &[]),
    // `measures` for the language of an answer.
    ("eval", &["data", "measures", "model", "runfs"]),
    // `weights` for the format of the tensors in a checkpoint and the hash of the base model.
    ("train", &["data", "model", "runfs", "weights"]),
    // The crates below `train` and `model` for their errors, each of which has its exit code here, and `runfs` for
    // the real file system.
    ("cli", &["data", "embedded", "eval", "kernels", "model", "report", "runfs", "scan", "train", "weights"]),
    // `cargo xtask planted` writes the generator's records into files.
    // It also makes what `embedded` holds, out of the generator's random numbers.
    ("xtask", &["planted"]),
];

pub fn edges(workspace: &Workspace) -> Outcome {
    let ours: Vec<&str> = workspace.crates().filter_map(|package| package["name"].as_str()).collect();
    let mut problems = Vec::new();
    for package in workspace.crates() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = EDGES.iter().find(|(from, _)| *from == name) else {
            problems.push(format!("crate {name} is not in the table (crates/xtask/src/graph.rs)"));
            continue;
        };
        let folder = package["manifest_path"].as_str().and_then(|path| path.rsplit(['/', '\\']).nth(1));
        if folder != Some(name) {
            problems.push(format!("crate {name} lies in a folder of another name: {}", folder.unwrap_or("?")));
        }
        for to in dependencies(package).filter(|to| ours.contains(to) && !allowed.contains(to)) {
            problems.push(format!("{name} → {to} is not an edge of the architecture"));
        }
    }
    for (name, _) in EDGES.iter().filter(|(name, _)| !ours.contains(name)) {
        problems.push(format!("crate {name} is in the table and does not exist"));
    }
    Outcome::of(problems)
}

/// Of every kind: a test that needs a forbidden crate is in the wrong place too.
fn dependencies(package: &Value) -> impl Iterator<Item = &str> {
    package["dependencies"].as_array().into_iter().flatten().filter_map(|dependency| dependency["name"].as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(outcome: Outcome) -> Vec<String> {
        match outcome {
            Outcome::Passed => Vec::new(),
            Outcome::Failed(problems) => problems,
            Outcome::NotChecked(why) => panic!("{why}"),
        }
    }

    /// Every crate of the table, `from` also with `to`.
    fn workspace_with(from: &str, to: &str) -> Workspace {
        let package = |name: &str| {
            let dependencies = if name == from { json!([{"name": to}]) } else { json!([]) };
            json!({"name": name, "source": null, "manifest_path": format!("/x/crates/{name}/Cargo.toml"),
                   "dependencies": dependencies})
        };
        let packages: Vec<Value> = EDGES.iter().map(|(name, _)| package(name)).collect();
        Workspace::of_metadata(json!({ "packages": packages }))
    }

    #[test]
    fn this_repository_keeps_to_the_table() {
        assert_eq!(problems(edges(&Workspace::read().unwrap())), [""; 0]);
    }

    #[test]
    fn the_table_has_no_circle() {
        // An edge only goes to a crate that stands above: so following edges comes to an end.
        for (at, (name, to)) in EDGES.iter().enumerate() {
            for to in *to {
                assert!(EDGES[..at].iter().any(|(above, _)| above == to), "{name} → {to}");
            }
        }
    }

    #[test]
    fn a_forbidden_edge_is_found() {
        for (from, to) in [("kernels", "weights"), ("weights", "kernels"), ("data", "model"), ("model", "train")] {
            let expected = format!("{from} → {to} is not an edge of the architecture");
            assert_eq!(problems(edges(&workspace_with(from, to))), [expected]);
        }
        assert_eq!(problems(edges(&workspace_with("model", "kernels"))), [""; 0]);
        assert_eq!(problems(edges(&workspace_with("model", "serde"))), [""; 0]);
    }

    #[test]
    fn an_unknown_and_a_missing_crate_are_found() {
        let package = json!({"name": "new", "source": null, "manifest_path": "/x/crates/new/Cargo.toml"});
        let found = problems(edges(&Workspace::of_metadata(json!({"packages": [package]}))));
        assert!(found[0].starts_with("crate new is not in the table"), "{found:?}");
        assert_eq!(found.len(), 1 + EDGES.len());
    }
}
