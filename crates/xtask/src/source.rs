//! Rules on the source text that the compiler does not hold.

use crate::Outcome;
use crate::workspace::Workspace;

/// Crates in which the compiler's ban may be lifted: vector instructions, and the memory map of weight files.
const MAY_BE_UNSAFE: [&str; 3] = ["kernels", "kernels-cuda", "weights"];
const UNSAFE_LINT: &str = "unsafe_code";

/// The workspace denies unsafe code; only [`MAY_BE_UNSAFE`] lift that, and no crate leaves the workspace's lints out.
pub fn unsafe_code(workspace: &Workspace) -> Outcome {
    let lifted = |file: &str, line: &str| {
        line.trim_start().starts_with('#') && line.contains(UNSAFE_LINT) && !in_crates(file, &MAY_BE_UNSAFE)
    };
    let mut problems = find(workspace, lifted, "only kernels and the memory map of weights have unsafe code");
    match workspace.text("Cargo.toml") {
        Ok(text) if text.contains(&format!("{UNSAFE_LINT} = \"deny\"")) => {}
        Ok(_) => problems.push(format!("Cargo.toml: the workspace's lints do not deny {UNSAFE_LINT}")),
        Err(why) => problems.push(why),
    }
    // `fuzz` is a workspace of its own, whose targets libFuzzer's macro makes.
    for manifest in workspace.ending("/Cargo.toml").filter(|manifest| manifest.starts_with("crates/")) {
        match workspace.text(manifest) {
            Ok(text) if text.contains("[lints]\nworkspace = true") => {}
            Ok(_) => problems.push(format!("{manifest}: does not take the workspace's lints")),
            Err(why) => problems.push(why),
        }
    }
    Outcome::of(problems)
}

/// What only one place knows (in `model`, the adapter's method) or does (print and exit).
pub fn walls(workspace: &Workspace) -> Outcome {
    let names_method = |file: &str, line: &str| {
        let words = line.to_lowercase();
        file.starts_with("crates/model/src/")
            && !file.starts_with("crates/model/src/adapters")
            && file != "crates/model/src/lib.rs"
            && ["lora", "dora"].iter().any(|method| words.contains(method))
    };
    let talks = |file: &str, line: &str| {
        let words = ["println!", "print!(", "dbg!(", "process::exit"];
        file.contains("/src/") && !in_crates(file, &["cli", "xtask"]) && words.iter().any(|word| line.contains(word))
    };
    let mut problems = find(workspace, names_method, "in model, only adapters know the method");
    problems.extend(find(workspace, talks, "only cli prints and exits"));
    Outcome::of(problems)
}

/// Work that was put off, and tests that do not run.
pub fn unfinished(workspace: &Workspace) -> Outcome {
    // In two parts, so that this check does not find itself.
    let put_off = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimple", "mented!(")];
    let is = |line: &str| line.trim_start().starts_with("#[ignore") || put_off.iter().any(|word| line.contains(word));
    let found = lines(workspace).into_iter().filter(|(_, _, line)| is(line));
    Outcome::of(found.map(|(file, at, line)| format!("{file}:{at}: {}", line.trim())).collect())
}

fn in_crates(file: &str, names: &[&str]) -> bool {
    let name = file.strip_prefix("crates/").and_then(|rest| rest.split('/').next());
    name.is_some_and(|name| names.contains(&name))
}

/// The lines of code, without comments, for which `is` holds.
fn find(workspace: &Workspace, is: impl Fn(&str, &str) -> bool, rule: &str) -> Vec<String> {
    let found = lines(workspace).into_iter().filter(|(file, _, line)| is(file, code(line)));
    found.map(|(file, at, line)| format!("{file}:{at}: {} ({rule})", line.trim())).collect()
}

/// Every line of Rust: file, number from 1, text.
fn lines(workspace: &Workspace) -> Vec<(&str, usize, String)> {
    let mut found = Vec::new();
    for file in workspace.ending(".rs") {
        // A file that cannot be read is reported by the check of sizes.
        let text = workspace.text(file).unwrap_or_default();
        found.extend(text.lines().enumerate().map(|(at, line)| (file, at + 1, line.to_owned())));
    }
    found
}

/// The line up to its comment. A `//` behind a colon is taken for an address in a text.
fn code(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many problems `check` has with a file of this text, and with nothing else.
    fn count(check: fn(&Workspace) -> Outcome, file: &str, text: &str) -> usize {
        let root = tempfile::tempdir().unwrap();
        let manifest = format!("[workspace.lints.rust]\n{UNSAFE_LINT} = \"deny\"\n");
        let workspace = Workspace::of_files(root.path(), &[("Cargo.toml", &manifest), (file, text)]);
        match check(&workspace) {
            Outcome::Passed => 0,
            Outcome::Failed(problems) => problems.len(),
            Outcome::NotChecked(why) => panic!("{why}"),
        }
    }

    #[test]
    fn a_lifted_ban_is_found() {
        let lift = format!("#![allow(dead_code, {UNSAFE_LINT})]\n");
        assert_eq!(count(unsafe_code, "crates/kernels/src/a.rs", &lift), 0);
        assert_eq!(count(unsafe_code, "crates/weights/src/map.rs", &lift), 0);
        assert_eq!(count(unsafe_code, "crates/train/src/a.rs", &lift), 1);
        assert_eq!(count(unsafe_code, "benches/a.rs", &format!("  #[allow({UNSAFE_LINT})]\n")), 1);
        assert_eq!(count(unsafe_code, "crates/x/Cargo.toml", "[package]\n"), 1);
        assert_eq!(count(unsafe_code, "crates/x/Cargo.toml", "[lints]\nworkspace = true\n"), 0);
    }

    #[test]
    fn a_breach_of_a_wall_is_found() {
        assert_eq!(count(walls, "crates/model/src/decoder/block.rs", "let lora_a = 1;\n"), 1);
        assert_eq!(count(walls, "crates/model/src/decoder/block.rs", "// not LoRA's business\n"), 0);
        assert_eq!(count(walls, "crates/model/src/adapters/slot.rs", "let lora_a = 1;\n"), 0);
        assert_eq!(count(walls, "crates/train/src/run.rs", "println!(\"x\");\neprintln!();\n"), 2);
        assert_eq!(count(walls, "crates/train/tests/it/main.rs", "println!(\"x\");\n"), 0);
        assert_eq!(count(walls, "crates/cli/src/main.rs", "println!(\"x\");\n"), 0);
    }

    #[test]
    fn open_ends_are_found() {
        for text in [concat!("// TO", "DO later"), concat!("todo", "!()"), "#[ignore]", "    #[ignore = \"slow\"]"] {
            assert_eq!(count(unfinished, "crates/x/src/a.rs", text), 1, "{text}");
        }
        assert_eq!(count(unfinished, "crates/x/src/a.rs", "done"), 0);
    }

    #[test]
    fn comments_are_not_code() {
        for (line, expected) in [
            ("let a = 1; // LoRA", "let a = 1; "),
            ("//! LoRA", ""),
            ("\"https://x\" // y", "\"https://x\" "),
            ("plain", "plain"),
        ] {
            assert_eq!(code(line), expected);
        }
    }

    #[test]
    fn a_crate_is_known_by_its_folder() {
        assert!(in_crates("crates/kernels/src/lib.rs", &MAY_BE_UNSAFE));
        assert!(!in_crates("crates/kernels2/src/lib.rs", &MAY_BE_UNSAFE));
        assert!(!in_crates("benches/kernels/x.rs", &MAY_BE_UNSAFE));
    }
}
