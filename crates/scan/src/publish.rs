//! The report's folder, and the clean copy.

use crate::clean::{self, Action};
use crate::error::ScanError;
use crate::finish::Finished;
use crate::input::{File, Limits};
use crate::pass::{Progress, Watch};
use crate::state::ShardState;
use data::DataError;
use measures::pii::Redact;
use runfs::Fs;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

const RECORD: &str = "scan.json";
const FINDINGS: &str = "findings.jsonl";
const PAGE: &str = "scan.html";
/// What a part leaves in its folder, written last.
const SHARD: &str = "shard.json";
/// What a part's other files begin with.
const PART_FILES: [&str; 3] = ["near-", "answers-", "rows.jsonl"];

/// Whether a report may be written to this folder: it is not there, or holds nothing but an older report, which is replaced.
///
/// # Errors
/// `OutExists`.
pub fn may_publish(out: &Path) -> Result<(), ScanError> {
    let ours = |name: &str| [RECORD, FINDINGS, PAGE, runfs::MANIFEST].contains(&name);
    names_in(out, &ours).map(|_| ())
}

/// The names of a folder's entries, all of which must be ours; none where it is not there.
fn names_in(out: &Path, ours: &dyn Fn(&str) -> bool) -> Result<Vec<OsString>, ScanError> {
    let not_ours = || ScanError::OutExists { path: out.to_owned() };
    let entries = match std::fs::read_dir(out) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Err(not_ours()),
        Err(e) => return Err(ScanError::disk("read", out)(e)),
    };
    let names: Vec<OsString> = entries
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()
        .map_err(ScanError::disk("read", out))?;
    match names.iter().all(|name| name.to_str().is_some_and(ours)) {
        true => Ok(names),
        false => Err(not_ours()),
    }
}

/// Makes the folder of a part ready. What an earlier part, whole or interrupted, has left there is removed.
///
/// # Errors
/// `OutExists` where there is anything else, or a folder that cannot be written.
pub fn begin_part(folder: &Path) -> Result<(), ScanError> {
    let ours = |name: &str| name == SHARD || PART_FILES.iter().any(|begins| name.starts_with(begins));
    for name in names_in(folder, &ours)? {
        let path = folder.join(name);
        std::fs::remove_file(&path).map_err(ScanError::disk("remove", &path))?;
    }
    std::fs::create_dir_all(folder).map_err(ScanError::disk("create", folder))
}

/// Ends a part: without this, `--merge` does not take its folder.
///
/// # Errors
/// A full disk.
pub fn end_part(fs: &dyn Fs, folder: &Path, state: &ShardState) -> Result<(), ScanError> {
    let path = folder.join(SHARD);
    let text = serde_json::to_vec(state).map_err(|e| ScanError::disk("write", &path)(e.into()))?;
    Ok(runfs::publish_file(fs, &path, &text)?)
}

/// The state of a part.
///
/// # Errors
/// `NoShard`.
pub fn read_part(folder: &Path) -> Result<ShardState, ScanError> {
    let no_shard = |got: String| ScanError::NoShard { path: folder.to_owned(), got };
    let text = std::fs::read(folder.join(SHARD)).map_err(|e| no_shard(format!("no {SHARD} that can be read ({e})")))?;
    serde_json::from_slice(&text).map_err(|e| no_shard(format!("{SHARD}: {e}")))
}

/// Writes `scan.json`, `findings.jsonl` and `scan.html`; the folder appears whole, in the place of an older report.
///
/// # Errors
/// A full disk, a folder that cannot be written.
pub fn publish(fs: &dyn Fs, out: &Path, record: &Value, page: &str, findings: &Path) -> Result<(), ScanError> {
    runfs::publish_dir(fs, out, &mut |staged| {
        staged.file(RECORD, &mut |to| {
            serde_json::to_writer_pretty(&mut *to, record)?;
            to.write_all(b"\n")
        })?;
        staged.file(PAGE, &mut |to| to.write_all(page.as_bytes()))?;
        staged.file(FINDINGS, &mut |to| io::copy(&mut std::fs::File::open(findings)?, to).map(|_| ()))
    })?;
    Ok(())
}

/// Writes the clean copy of the training files and says in the record what was done. Returns its log.
///
/// # Errors
/// See [`clean::clean`].
pub fn clean_copy(
    fs: &dyn Fs,
    done: &mut Finished,
    to: &Path,
    redact: Option<Redact>,
    spool: &Path,
    watch: &mut Watch,
) -> Result<PathBuf, ScanError> {
    (watch.progress)(Progress::Writing);
    let limits = Limits { record_bytes_max: done.asked.record_bytes_max, spool_dir: spool.to_owned() };
    let mut files = Vec::new();
    for (index, file) in done.asked.files.iter().enumerate().filter(|(_, file)| file.eval.is_none()) {
        let found = File::new(index as u32, &file.path, None)?;
        // Rows are known by their lines.
        if found.bytes != file.bytes || file.modified.is_some() && found.modified != file.modified {
            return Err(DataError::ChangedWhileReading { path: file.path.clone() }.into());
        }
        files.push(File { shown: file.file.clone(), ..found });
    }
    if redact == Some(Redact::Surrogate) {
        done.actions.seed = secret(files.iter().map(|file| file.source.path.as_path()))?;
    }
    let summary = clean::clean(fs, &files, &limits, to, &|file, line, understood| {
        if watch.stop.load(Ordering::Relaxed) {
            return Action::Stop;
        }
        done.actions.of((file, line), understood, redact)
    })?;
    let how = redact.map(|redact| match redact {
        Redact::Mask => "mask",
        Redact::Tag => "tag",
        Redact::Surrogate => "surrogate",
    });
    done.record["clean"] = json!({
        "kept": summary.kept + summary.changed,
        "removed": summary.dropped,
        "changed": summary.changed,
        "redact": how,
        "written": to.display().to_string(),
    });
    Ok(summary.log)
}

/// A number that the same files give again, and that nobody can know who does not have them.
fn secret<'a>(files: impl Iterator<Item = &'a Path>) -> Result<u64, ScanError> {
    let all = files.map(runfs::sha256_file).collect::<Result<Vec<String>, _>>()?.concat();
    let hash = runfs::sha256_hex(all.as_bytes());
    Ok(u64::from_str_radix(&hash[..16], 16).unwrap_or_else(|_| unreachable!("hexadecimal digits")))
}
