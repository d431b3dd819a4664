//! Where the copies go and what they are called.

use super::CleanError;
use crate::input::File;
use data::Kind;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

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
    let common = common_folder(files);
    let mut copies: Vec<String> = Vec::new();
    for file in files {
        let path = &file.source.path;
        let within = path.strip_prefix(&common).unwrap_or(path);
        let name = within.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
        let mut copy = without_parquet(&name);
        // `a.parquet` beside `a.jsonl`.
        while copies.contains(&copy) {
            copy = format!("{name}.jsonl");
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
fn common_folder(files: &[File]) -> PathBuf {
    let mut folders = files.iter().filter_map(|file| file.source.path.parent());
    let mut common = folders.next().map(Path::to_owned).unwrap_or_default();
    for folder in folders {
        while !folder.starts_with(&common) && common.pop() {}
    }
    common
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
