//! The mixture before it is trained on: what an epoch holds of each task, and the epoch written to a file.

use crate::record;
use crate::run::{Setting, read_data};
use crate::{Event, Plan, TrainError, written};
use data::{DataError, Dataset, EarlierRun, Epoch, LengthPlan, Origin, Records, Source, Valid};
use runfs::{Fs, RunFsError};
use serde::Serialize;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows written between two looks at the stop flag.
const ROWS_PER_LOOK: u64 = 1024;
/// In place of the offset of an example that is a later part of its row.
const SAME_ROW: u64 = u64::MAX;

/// One task, the replay included, in the first epoch. Shares are of supervised tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskShare {
    pub task: String,
    /// What there is.
    pub examples: u64,
    pub supervised_tokens: u64,
    pub share_asked: f64,
    pub share_delivered: f64,
    pub epoch_examples: u64,
    pub epoch_supervised_tokens: u64,
}

/// What [`mix`] wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mixed {
    pub rows: u64,
    pub epoch: u64,
}

/// What the first epoch holds of each task; nothing without a mixture.
pub(crate) fn shares(data: &Dataset, lengths: &LengthPlan, seed: u64) -> Result<Vec<TaskShare>, TrainError> {
    let Some(mixture) = data.mixture() else { return Ok(Vec::new()) };
    let delivered = Epoch::new(data, lengths, seed, 0).delivered()?;
    let total: u64 = delivered.iter().map(|d| d.supervised_tokens).sum();
    let of = |task: &data::Task| {
        let place = data.tasks().iter().position(|name| *name == task.name);
        let got = place.and_then(|i| delivered.get(i)).copied().unwrap_or_default();
        TaskShare {
            task: task.name.clone(),
            examples: task.examples,
            supervised_tokens: task.supervised_tokens,
            share_asked: task.share,
            share_delivered: got.supervised_tokens as f64 / total.max(1) as f64,
            epoch_examples: got.examples,
            epoch_supervised_tokens: got.supervised_tokens,
        }
    };
    Ok(mixture.tasks.iter().map(of).collect())
}

/// Writes an epoch's rows (the first is 0) in the order in which a run of `plan` takes them, each as its source has it and with its
/// `origin`: file, line and task. A row that packing or the length limit divides stands where its first part does.
///
/// # Errors
/// What [`crate::preview`] refuses about the data; `OutExists`; a row that has a field `origin` of its own.
pub fn mix(
    plan: &Plan,
    epoch: u64,
    out: &Path,
    fs: &dyn Fs,
    stop: &AtomicBool,
    on: &mut dyn FnMut(Event),
) -> Result<Mixed, TrainError> {
    plan.check()?;
    if fs.exists(out) {
        return Err(TrainError::OutExists { dir: out.to_owned() });
    }
    let temp = std::env::temp_dir();
    let cache = tempfile::tempdir().map_err(|e| RunFsError::io("create", &temp, e))?;
    let setting = Setting { fs, stop };
    let read = written::found(plan, cache.path(), setting, on)
        .and_then(|plan| Ok((read_data(&plan, cache.path(), 0, setting, on)?.prepared, plan)));
    let (prepared, plan) = match read {
        Err(TrainError::Interrupted { .. }) => return Err(TrainError::InterruptedWriting { dir: out.to_owned() }),
        other => other?,
    };
    on(Event::Phase("mix"));
    let rows = Spool::read(&plan, &prepared.train, cache.path(), (out, stop))?;
    let epoch = Epoch::new(&prepared.train, &plan.data.lengths, plan.train.seed, epoch);
    rows.write(&epoch, out, stop)
}

/// The training sources of the run in `dir`, as they were.
///
/// # Errors
/// `NoRun`; `EarlierRun` where it does not say which bytes it was trained on.
pub fn earlier_run(dir: &Path, fs: &dyn Fs) -> Result<(Vec<Source>, EarlierRun), TrainError> {
    let plan = record::read_plan(fs, dir)?;
    let seed = plan.train.seed;
    let held_back = match plan.data.valid {
        Some(Valid::Share(share)) => Some((share, seed)),
        _ => None,
    };
    let Some(sha256) = data::source_hashes(&dir.join("cache"), &plan.data, seed)? else {
        let why = "its token cache is gone, and with it what it was trained on; name its files in `replay.path`";
        return Err(TrainError::EarlierRun { dir: dir.to_owned(), why });
    };
    let sources: Vec<Source> = plan.data.train.into_iter().map(|s| Source { task: None, ..s }).collect();
    Ok((sources, EarlierRun { dir: dir.to_owned(), sha256, held_back }))
}

/// Every row that examples are made of, in a file of its own, and where each example's is. Holds eight bytes an example.
struct Spool {
    file: File,
    offsets: Vec<u64>,
    at: std::path::PathBuf,
}

impl Spool {
    fn read(
        plan: &Plan,
        data: &Dataset,
        dir: &Path,
        (out_path, stop): (&Path, &AtomicBool),
    ) -> Result<Spool, TrainError> {
        let at = dir.join("rows.jsonl");
        let failed = |e| RunFsError::io("write", &at, e);
        let file = File::options().read(true).write(true).create_new(true).open(&at).map_err(failed)?;
        let mut out = BufWriter::new(file);
        let (mut offsets, mut offset) = (Vec::with_capacity(data.len()), 0u64);
        let replayed = plan.data.replay.iter().flat_map(|replay| &replay.sources);
        for source in plan.data.train.iter().chain(replayed) {
            let records = Records::open(source, plan.data.text.record_bytes_max, dir)?;
            for record in records.for_template(&plan.data.text.template) {
                let record = match record {
                    Ok(record) => record,
                    // Set aside, or the data would have been refused before.
                    Err(DataError::BadRow { .. }) => continue,
                    Err(e) => return Err(e.into()),
                };
                let first = offsets.len();
                if first == data.len() || data.origin(first)? != record.origin {
                    continue;
                }
                let task = data.task_of(first).and_then(|task| data.tasks().get(task));
                let line = line_of(record, task.map(String::as_str))?;
                out.write_all(&line).map_err(failed)?;
                offsets.push(offset);
                offset += line.len() as u64;
                while offsets.len() < data.len() && data.origin(offsets.len())? == data.origin(first)? {
                    offsets.push(SAME_ROW);
                }
                if (first as u64).is_multiple_of(ROWS_PER_LOOK) {
                    look(stop, out_path)?;
                }
            }
        }
        if offsets.len() < data.len() {
            let path = std::path::PathBuf::from(&*data.origin(offsets.len())?.file);
            return Err(DataError::ChangedWhileReading { path }.into());
        }
        let file = out.into_inner().map_err(|e| failed(e.into_error()))?;
        Ok(Spool { file, offsets, at })
    }

    /// The file appears whole or not at all.
    fn write(&self, epoch: &Epoch, out: &Path, stop: &AtomicBool) -> Result<Mixed, TrainError> {
        let failed = |e| RunFsError::io("write", out, e);
        let staged = beside(out).map_err(failed)?;
        let mut writer = BufWriter::new(staged);
        let mut reader = BufReader::new(&self.file);
        let mut mixed = Mixed { rows: 0, epoch: epoch.number() };
        let mut line = Vec::new();
        for unit in 0..epoch.len() {
            for piece in epoch.unit(unit)?.into_iter().filter(|piece| piece.tokens.start == 0) {
                let offset = self.offsets[piece.example];
                if offset == SAME_ROW {
                    continue;
                }
                line.clear();
                let read = reader.seek(SeekFrom::Start(offset)).and_then(|_| reader.read_until(b'\n', &mut line));
                read.map_err(|e| RunFsError::io("read", &self.at, e))?;
                writer.write_all(&line).map_err(failed)?;
                mixed.rows += 1;
                if mixed.rows.is_multiple_of(ROWS_PER_LOOK) {
                    look(stop, out)?;
                }
            }
        }
        let staged = writer.into_inner().map_err(|e| failed(e.into_error()))?;
        staged.as_file().sync_all().map_err(failed)?;
        staged.persist_noclobber(out).map_err(|e| failed(e.error))?;
        Ok(mixed)
    }
}

fn line_of(record: data::Record, task: Option<&str>) -> Result<Vec<u8>, TrainError> {
    let Origin { file, line } = record.origin;
    let mut row = record.content.into_row();
    if row.contains_key("origin") {
        let why = format!("{file}:{line}: a field `origin` of its own stands where the row's file and line would");
        return Err(DataError::Mixture { key: "data.train", why }.into());
    }
    row.insert("origin".into(), json!({"file": &*file, "line": line, "task": task}));
    let mut bytes = Value::Object(row).to_string().into_bytes();
    bytes.push(b'\n');
    Ok(bytes)
}

fn look(stop: &AtomicBool, out: &Path) -> Result<(), TrainError> {
    if stop.load(Ordering::Relaxed) { Err(TrainError::InterruptedWriting { dir: out.to_owned() }) } else { Ok(()) }
}

/// As readable as any new file: temporary files are their owner's alone.
fn beside(out: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(parent)
}
