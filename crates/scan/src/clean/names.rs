//! Where the copies go and what they are called.

use super::CleanError;
use crate::input::File;
use data::Kind;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// Where the copies go.
pub(super) enum Place {
    /// One file, and its log beside it.
    File { log: PathBuf },
    /// A folder with the copies, by the names they have in it, and the log.
    Folder { copies: Vec<String>, log: String },
}

/// How a copy is packed; its name says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

pub(super) fn packing(name: &str) -> Packing {
    match extension(Path::new(name)).as_str() {
        "gz" => Packing::Gzip,
        "zst" => Packing::Zstd,
        _ => Packing::Plain,
    }
}

/// The place that `out` means for so many files.
pub(super) fn place(files: &[File], out: &Path) -> Place {
    let folder = files.len() != 1 || out.to_string_lossy().ends_with(['/', std::path::MAIN_SEPARATOR]);
    if !folder {
        return Place::File { log: log_beside(out) };
    }
    let paths: Vec<PathBuf> = files.iter().map(|file| plain(&file.source.path)).collect();
    let common = common_folder(&paths);
    let within = |path: &PathBuf| {
        let path = path.strip_prefix(&common).unwrap_or(path);
        path.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")
    };
    let names: Vec<String> = paths.iter().map(within).collect();
    let mut copies: Vec<String> = Vec::new();
    for name in &names {
        let mut copy = without_parquet(name);
        // `a.parquet` beside `a.jsonl`.
        while copy != *name && (names.contains(&copy) || copies.contains(&copy)) {
            copy.insert_str(copy.rfind(".jsonl").unwrap_or(copy.len()), ".parquet");
        }
        copies.push(copy);
    }
    let mut log = LOG.to_owned();
    while copies.contains(&log) {
        log.insert_str(0, "log.");
    }
    Place::Folder { copies, log }
}

const LOG: &str = "clean.jsonl";

/// `a/b.jsonl.gz` → `a/b.clean.jsonl`.
fn log_beside(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(&name);
    out.with_file_name(format!("{stem}.{LOG}"))
}

/// The deepest folder that all files are in.
fn common_folder(paths: &[PathBuf]) -> PathBuf {
    let mut folders = paths.iter().filter_map(|path| path.parent());
    let mut common = folders.next().map(Path::to_owned).unwrap_or_default();
    for folder in folders {
        while !folder.starts_with(&common) && common.pop() {}
    }
    common
}

/// A path without `..`, for names; which file is read does not depend on it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// Rows of parquet files become JSON lines.
fn without_parquet(name: &str) -> String {
    let packed = ["", ".gz", ".zst"].into_iter().find_map(|end| {
        let stem = name.strip_suffix(&format!(".parquet{end}"))?;
        Some(format!("{stem}.jsonl{end}"))
    });
    packed.unwrap_or_else(|| name.to_owned())
}

/// A copy is read by its name again, so the name must fit what is in it.
pub(super) fn check(out: &Path, kind: Kind) -> Result<(), CleanError> {
    let inner = match packing(&out.to_string_lossy()) {
        Packing::Plain => extension(out),
        Packing::Gzip | Packing::Zstd => extension(Path::new(out.file_stem().unwrap_or(OsStr::new("")))),
    };
    let (rows, names): (_, &[&str]) = match kind {
        Kind::JsonLines | Kind::Parquet => ("lines of JSON", &["jsonl", "ndjson", "json"]),
        Kind::JsonArray => ("a JSON array", &["json", "jsonl", "ndjson"]),
        Kind::Csv => ("csv", &["csv"]),
        Kind::Tsv => ("tsv", &["tsv", "tab"]),
        Kind::Text => ("lines of text", &["txt", "text"]),
    };
    if names.contains(&inner.as_str()) {
        return Ok(());
    }
    Err(CleanError::Name { path: out.to_owned(), rows, expected: format!(".{}", names[0]) })
}

fn extension(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}
