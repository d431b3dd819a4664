//! Limits on what the repository holds: a file must be readable, a clone quick.

use crate::Outcome;
use crate::workspace::Workspace;

const REPOSITORY_BYTES_MAX: u64 = 50_000_000;
const FILE_BYTES_MAX: u64 = 2 << 20;
const SOURCE_LINES_MAX: usize = 800;

/// Files that may be larger, and why.
const LARGE: &[(&str, &str)] =
    &[("crates/embedded/assets/model/model.safetensors", "the model inside the program; at most 8 MB")];

pub fn sizes(workspace: &Workspace) -> Outcome {
    too_large(workspace, LARGE)
}

fn too_large(workspace: &Workspace, may_be: &[(&str, &str)]) -> Outcome {
    let mut problems = Vec::new();
    let mut total = 0;
    for file in &workspace.files {
        match workspace.bytes(file) {
            Ok(bytes) => {
                total += bytes;
                if bytes > FILE_BYTES_MAX && !may_be.iter().any(|(large, _)| large == file) {
                    problems.push(format!("{file}: {bytes} bytes, more than {FILE_BYTES_MAX}"));
                }
            }
            Err(why) => problems.push(why),
        }
    }
    if total > REPOSITORY_BYTES_MAX {
        problems.push(format!("all files together: {total} bytes, more than {REPOSITORY_BYTES_MAX}"));
    }
    for (file, _) in may_be.iter().filter(|(large, _)| !workspace.files.iter().any(|file| file == large)) {
        problems.push(format!("{file}: may be large and does not exist"));
    }
    for file in workspace.ending(".rs") {
        match workspace.text(file).map(|text| text.lines().count()) {
            Ok(lines) if lines > SOURCE_LINES_MAX => {
                problems.push(format!("{file}: {lines} lines, more than {SOURCE_LINES_MAX}"));
            }
            Ok(_) => {}
            Err(why) => problems.push(why),
        }
    }
    Outcome::of(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_found() {
        let root = tempfile::tempdir().unwrap();
        let (most, long) = ("\n".repeat(SOURCE_LINES_MAX), "\n".repeat(SOURCE_LINES_MAX + 1));
        let large = "x".repeat(FILE_BYTES_MAX as usize + 1);
        let files = [("a.rs", most.as_str()), ("b/b.rs", &long), ("c.bin", &large)];
        let workspace = Workspace::of_files(root.path(), &files);
        let problems = |may_be: &[(&str, &str)]| match too_large(&workspace, may_be) {
            Outcome::Failed(problems) => problems,
            Outcome::Passed | Outcome::NotChecked(_) => panic!("nothing was found"),
        };
        let long = "b/b.rs: 801 lines, more than 800";
        assert_eq!(problems(&[]), ["c.bin: 2097153 bytes, more than 2097152", long]);
        let listed = [("c.bin", "it may"), ("d.bin", "it may")];
        assert_eq!(problems(&listed), ["d.bin: may be large and does not exist", long]);
    }
}
