//! What the checks look at: the repository's files and what cargo says about its crates.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that are not part of the project, where git is not there to say so.
const NOT_OURS: [&str; 4] = [".git", "target", "runs", ".venv"];

pub struct Workspace {
    pub root: PathBuf,
    /// Every file of the project, relative to `root` with `/`, sorted.
    pub files: Vec<String>,
    /// `cargo metadata`: all packages, ours and those they depend on.
    pub metadata: Value,
}

impl Workspace {
    pub fn read() -> Result<Workspace, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().map_err(|e| format!("{}: {e}", root.display()))?;
        let metadata = metadata(&root)?;
        // In an archive of the sources there is no git; then what lies in the folder is the project.
        let mut files = git_files(&root).map_or_else(|| walk(&root), Ok)?;
        files.sort();
        Ok(Workspace { root, files, metadata })
    }

    /// Packages with what `cargo metadata` says of them.
    pub fn packages(&self) -> impl Iterator<Item = &Value> {
        self.metadata["packages"].as_array().into_iter().flatten()
    }

    /// The crates of this repository.
    pub fn crates(&self) -> impl Iterator<Item = &Value> {
        self.packages().filter(|package| package["source"].is_null())
    }

    pub fn text(&self, file: &str) -> Result<String, String> {
        std::fs::read_to_string(self.root.join(file)).map_err(|e| format!("{file}: {e}"))
    }

    pub fn bytes(&self, file: &str) -> Result<u64, String> {
        std::fs::symlink_metadata(self.root.join(file)).map(|m| m.len()).map_err(|e| format!("{file}: {e}"))
    }

    /// Files whose name ends so.
    pub fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = &'a str> {
        self.files.iter().map(String::as_str).filter(move |file| file.ends_with(end))
    }
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn metadata(root: &Path) -> Result<Value, String> {
    let output = cargo().args(["metadata", "--format-version", "1"]).current_dir(root).output();
    let output = output.map_err(|e| format!("cargo metadata: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))
}

/// Tracked files and new ones that are not ignored. None: this is no git checkout.
fn git_files(root: &Path) -> Option<Vec<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
    let listed = output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())?;
    // A file that was removed and not yet committed is still listed.
    let there = |file: &&str| !file.is_empty() && root.join(file).symlink_metadata().is_ok();
    Some(listed.split('\0').filter(there).map(str::to_owned).collect())
}

fn walk(root: &Path) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |e| format!("{}: {e}", folder.display());
        for entry in folder.read_dir().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if !entry.file_type().map_err(failed)?.is_dir() {
                let relative = path.strip_prefix(root).map_err(|e| e.to_string())?;
                files.push(relative.to_string_lossy().replace('\\', "/"));
            } else if !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
                folders.push(path);
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
impl Workspace {
    /// A workspace of a test, of crates without files.
    pub fn of_metadata(metadata: Value) -> Workspace {
        Workspace { root: PathBuf::new(), files: Vec::new(), metadata }
    }

    /// A workspace of these files, which are written below `root`.
    pub fn of_files(root: &Path, files: &[(&str, &str)]) -> Workspace {
        for (name, text) in files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let files = walk(root).unwrap();
        Workspace { root: root.to_owned(), files, metadata: Value::Null }
    }
}
