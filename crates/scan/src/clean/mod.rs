//! A copy without what the findings remove.
//!
//! Rows that stay are the same byte for byte (in UTF-8, without a byte order mark), a changed row differs in the changed
//! field alone, and a log says what became of every other row. Nothing is published before all of it is written.

mod names;
mod rows;
mod splice;

use crate::input::{File, Limits, Raw, Reader, Understood};
use data::{DataError, Encoding, Kind};
use names::{Packing, Place};
use rayon::prelude::*;
use rows::{Form, Outcome};
use runfs::{Fs, RunFsError};
use serde::Serialize;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Keep,
    Drop {
        why: Vec<String>,
    },
    Change {
        /// The names of fields, as `Row` has them, and their new texts.
        fields: Vec<(String, String)>,
        why: Vec<String>,
    },
    /// Ends the work; nothing is published.
    Stop,
}

/// Says what becomes of the row `line` of a file, by the file's index; asked from many threads, for each row once.
pub type Decide<'a> = dyn Fn(u32, u64, &Understood) -> Action + Sync + 'a;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub kept: u64,
    pub changed: u64,
    pub dropped: u64,
    /// The copies, in the order of the files.
    pub copies: Vec<PathBuf>,
    /// A line for each row that is not as it was: `{"file":…,"line":…,"action":…,"fields":[…],"why":[…]}`.
    pub log: PathBuf,
}

/// Why there is no clean copy.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    #[error("interrupted while writing the clean copy")]
    Interrupted,
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    RunFs(#[from] RunFsError),
    #[error("{}: exists; a clean copy never replaces anything", path.display())]
    Exists { path: PathBuf },
    #[error("{}: the rows are {rows}, which a file of that name would not hold; expected a name that ends in {expected}", path.display())]
    Name { path: PathBuf, rows: &'static str, expected: String },
}

/// Writes what is left of the files after `decide`. One file goes to the file `out`, with `NAME.clean.jsonl` beside it as the log;
/// several, or one where `out` ends with a slash, go to a folder of that name with `clean.jsonl` in it. Copies are packed as their
/// names say (`.gz`, `.zst`); rows of parquet files become JSON lines.
///
/// # Errors
/// Anything that keeps the copy from being whole; then nothing is published.
pub fn clean(fs: &dyn Fs, files: &[File], limits: &Limits, out: &Path, decide: &Decide) -> Result<Summary, CleanError> {
    let place = names::place(files, out);
    refuse_existing(fs, out)?;
    let needed = files.iter().map(|file| file.bytes).sum();
    let free = fs.free_bytes(out).map_err(|e| RunFsError::io("ask the free space of", out, e))?;
    if free < needed {
        return Err(RunFsError::DiskFull { path: out.to_owned(), needed, free }.into());
    }
    let failed = |op| move |e| RunFsError::io(op, &limits.spool_dir, e);
    let spool = tempfile::tempfile_in(&limits.spool_dir).map_err(failed("create a file in"))?;
    let mut work = Work { limits, decide, log: BufWriter::new(spool), summary: Summary::default() };
    match place {
        Place::File { log } => work.one(fs, &files[0], out, log)?,
        Place::Folder { copies, log } => work.folder(fs, files, out, &copies, &log)?,
    }
    Ok(work.summary)
}

fn refuse_existing(fs: &dyn Fs, path: &Path) -> Result<(), CleanError> {
    if fs.exists(path) { Err(CleanError::Exists { path: path.to_owned() }) } else { Ok(()) }
}

struct Work<'a> {
    limits: &'a Limits,
    decide: &'a Decide<'a>,
    /// Kept aside until the copies are written.
    log: BufWriter<std::fs::File>,
    summary: Summary,
}

/// A line of the log; without a line number it is about the file.
#[derive(Serialize)]
struct Entry<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    action: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    fields: &'a [String],
    why: &'a [String],
}

/// Why a copy was not written to its end.
enum Failure {
    Io(io::Error),
    Refused(CleanError),
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Failure::Io(e)
    }
}

impl From<CleanError> for Failure {
    fn from(e: CleanError) -> Self {
        Failure::Refused(e)
    }
}

impl Failure {
    /// For those who publish and know errors of writing only: what else it was is kept in `refused`.
    fn into_io(self, refused: &mut Option<CleanError>) -> io::Error {
        match self {
            Failure::Io(e) => e,
            Failure::Refused(e) => {
                *refused = Some(e);
                io::Error::other("not all could be written")
            }
        }
    }
}

impl Work<'_> {
    fn one(&mut self, fs: &dyn Fs, file: &File, out: &Path, log: PathBuf) -> Result<(), CleanError> {
        refuse_existing(fs, &log)?;
        let mut refused = None;
        let published = runfs::publish_file_with(fs, out, &mut |to| {
            let packing = names::packing(&out.to_string_lossy());
            self.copy(file, packing, Some(out), to).map_err(|e| e.into_io(&mut refused))
        });
        refused.map_or(Ok(()), Err)?;
        let logged = published.and_then(|()| runfs::publish_file_with(fs, &log, &mut |to| self.pass_log(to)));
        if let Err(error) = logged {
            // A copy without its log would hide what was removed. There was none before, so it is ours; the first error is the one
            // to tell.
            for path in [out, &log] {
                let _ = fs.exists(path).then(|| fs.remove_file(path));
            }
            return Err(error.into());
        }
        self.summary.copies.push(out.to_owned());
        self.summary.log = log;
        Ok(())
    }

    fn folder(
        &mut self,
        fs: &dyn Fs,
        files: &[File],
        out: &Path,
        copies: &[String],
        log: &str,
    ) -> Result<(), CleanError> {
        let mut refused = None;
        let published = runfs::publish_dir(fs, out, &mut |staged| {
            for (file, name) in files.iter().zip(copies) {
                staged.file(name, &mut |to| {
                    self.copy(file, names::packing(name), None, to).map_err(|e| e.into_io(&mut refused))
                })?;
            }
            staged.file(log, &mut |to| self.pass_log(to))
        });
        refused.map_or(Ok(()), Err)?;
        published?;
        self.summary.copies = copies.iter().map(|name| out.join(name)).collect();
        self.summary.log = out.join(log);
        Ok(())
    }

    fn pass_log(&mut self, to: &mut dyn Write) -> io::Result<()> {
        self.log.flush()?;
        let spool = self.log.get_mut();
        spool.seek(SeekFrom::Start(0))?;
        io::copy(spool, to).map(|_| ())
    }

    /// Writes what is left of a file. `named` is checked to be a name for such rows.
    fn copy(&mut self, file: &File, packing: Packing, named: Option<&Path>, to: &mut dyn Write) -> Result<(), Failure> {
        let reader = Reader::open(file, self.limits).map_err(CleanError::from)?;
        if let Some(path) = named {
            names::check(path, reader.rows.kind)?;
        }
        match packing {
            Packing::Plain => self.rows(file, reader, to)?,
            Packing::Gzip => {
                let mut packed = flate2::write::GzEncoder::new(to, flate2::Compression::default());
                self.rows(file, reader, &mut packed)?;
                packed.finish()?;
            }
            Packing::Zstd => {
                let mut packed = zstd::Encoder::new(to, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                self.rows(file, reader, &mut packed)?;
                packed.finish()?;
            }
        }
        if file.unchanged() {
            return Ok(());
        }
        Err(CleanError::from(DataError::ChangedWhileReading { path: file.source.path.clone() }).into())
    }

    fn rows(&mut self, file: &File, mut reader: Reader, to: &mut dyn Write) -> Result<(), Failure> {
        let form = Form { kind: reader.rows.kind, header: reader.rows.header.clone() };
        self.log_file(file, &reader)?;
        let meaning = reader.meaning();
        to.write_all(&rows::head(&reader.rows))?;
        let mut written = Written::default();
        while let Some(chunk) = reader.next_chunk() {
            let chunk = chunk.map_err(CleanError::from)?;
            let decide = self.decide;
            let outcome = |mut raw: Raw| {
                let understood = meaning.understand(&raw);
                let (line, action) = (raw.line(), decide(file.index, raw.line(), &understood));
                let between = (std::mem::take(&mut raw.row.before), raw.row.after);
                (line, between, rows::outcome(&form, raw, action))
            };
            let done: Vec<_> = chunk.into_par_iter().map(outcome).collect();
            for (line, (before, after), outcome) in done {
                let entry = |action, fields, why| Entry { file: &file.shown, line: Some(line), action, fields, why };
                let bytes = match &outcome {
                    Outcome::Stopped => return Err(CleanError::Interrupted.into()),
                    Outcome::Kept(bytes) => {
                        self.summary.kept += 1;
                        bytes
                    }
                    Outcome::Changed { bytes, fields, why } => {
                        self.summary.changed += 1;
                        self.log(&entry("change", fields, why))?;
                        bytes
                    }
                    Outcome::Dropped { why } => {
                        self.summary.dropped += 1;
                        self.log(&entry("drop", &[], why))?;
                        continue;
                    }
                };
                written.row(form.kind, &before, bytes, after, to)?;
            }
        }
        Ok(written.end(form.kind, reader.rows.tail(), to)?)
    }

    /// What happens to all of a file.
    fn log_file(&mut self, file: &File, reader: &Reader) -> io::Result<()> {
        let mut why = Vec::new();
        if reader.rows.encoding != Encoding::Utf8 {
            why.push(format!("from {} to UTF-8", reader.rows.encoding.name()));
        }
        if reader.rows.marked {
            why.push("byte order mark removed".to_owned());
        }
        if reader.rows.kind == Kind::Parquet {
            why.push("from parquet to lines of JSON".to_owned());
        }
        match why.is_empty() {
            true => Ok(()),
            false => self.log(&Entry { file: &file.shown, line: None, action: "convert", fields: &[], why: &why }),
        }
    }

    fn log(&mut self, entry: &Entry) -> io::Result<()> {
        serde_json::to_writer(&mut self.log, entry)?;
        self.log.write_all(b"\n")
    }
}

/// How far a copy is written.
#[derive(Default)]
struct Written {
    rows: u64,
}

impl Written {
    fn row(&mut self, kind: Kind, before: &[u8], row: &[u8], after: &[u8], to: &mut dyn Write) -> io::Result<()> {
        if kind == Kind::JsonArray && self.rows > 0 {
            to.write_all(b",")?;
        }
        self.rows += 1;
        to.write_all(before)?;
        to.write_all(row)?;
        to.write_all(if kind == Kind::Parquet { b"\n" } else { after })
    }

    fn end(&self, kind: Kind, tail: &[u8], to: &mut dyn Write) -> io::Result<()> {
        to.write_all(tail)?;
        if kind == Kind::JsonArray { to.write_all(b"]\n") } else { Ok(()) }
    }
}
