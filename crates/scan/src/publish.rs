//! The report's folder, and the clean copy.

use crate::clean::{self, Action};
use crate::error::ScanError;
use crate::finish::Finished;
use crate::input::{File, Limits};
use crate::pass::{Progress, Watch};
use measures::pii::Redact;
use runfs::Fs;
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

const RECORD: &str = "scan.json";
const FINDINGS: &str = "findings.jsonl";
const PAGE: &str = "scan.html";
const SHARD: &str = "shard.json";

/// Whether a report may be written to this folder: it is not there, is empty, or holds an older report.
///
/// # Errors
/// `OutExists`.
pub fn may_publish(out: &Path) -> Result<(), ScanError> {
    let Ok(mut entries) = std::fs::read_dir(out) else {
        return if out.exists() { Err(ScanError::OutExists { path: out.to_owned() }) } else { Ok(()) };
    };
    let ours = [RECORD, SHARD].iter().any(|name| out.join(name).exists());
    if ours || entries.next().is_none() { Ok(()) } else { Err(ScanError::OutExists { path: out.to_owned() }) }
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
        files.push(File { shown: file.file.clone(), ..found });
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
