//! What can end a run: one variant per cause. The command line maps each to a sentence, a hint and an exit code.

use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(transparent)]
    Data(#[from] data::DataError),
    #[error(transparent)]
    Model(#[from] model::ModelError),
    #[error(transparent)]
    Weights(#[from] weights::WeightsError),
    /// The run folder: full disk, read-only, corrupt, in use.
    #[error(transparent)]
    Folder(#[from] runfs::RunFsError),

    /// A value that no run can have; `field` is the plan's key, e.g. `train.batch`.
    #[error("{field}: {why}")]
    Plan { field: &'static str, why: String },
    #[error("{}: already holds a run; resume it, or choose another out folder", dir.display())]
    RunExists { dir: PathBuf },
    #[error("{}: no run here (no plan.json)", dir.display())]
    NoRun { dir: PathBuf },
    /// A JSON file of the run folder that is not what this program writes.
    #[error("{}: {why}", path.display())]
    RunFile { path: PathBuf, why: String },

    /// An earlier run whose data cannot be known to be what it was trained on.
    #[error("{}: {why}", dir.display())]
    EarlierRun { dir: PathBuf, why: &'static str },

    /// The base has ended, or repeated, nearly everything too early or not at all.
    #[error(
        "replay.self: of {drawn} texts that the base wrote, {kept} are of use, {wanted} are wanted (the others: {})",
        crate::drawn::thrown(thrown_away)
    )]
    TooFewWritten { wanted: u64, kept: u64, drawn: u64, thrown_away: BTreeMap<String, u64> },
    #[error("{}: not there; the base writes it when this plan's run begins", path.display())]
    NotWritten { path: PathBuf },

    #[error("no {what} example is left of {rows} rows{}", list_aside(aside))]
    NoExamples { what: &'static str, rows: u64, aside: BTreeMap<String, u64> },
    #[error(
        "step {step}: none of the batch's {rows} rows has a supervised token (the first is {first}); raise train.batch or pack the rows"
    )]
    NothingSupervised { step: u64, rows: usize, first: String },
    #[error("{origin} has {tokens} tokens, more than train.micro_tokens = {micro_tokens}")]
    RowOverPass { origin: String, tokens: usize, micro_tokens: usize },

    #[error(
        "{steps} steps are too few for AdaLoRA's schedule: {warmup} and {last} of them are its first and last ones"
    )]
    TooFewSteps { steps: u64, warmup: String, last: String },

    /// The smallest pass that holds the longest row does not fit.
    #[error(
        "{origin} has {tokens} tokens: training on it needs {needed} bytes of memory, the limit is {limit}; {fits}"
    )]
    Memory { origin: String, tokens: usize, needed: u64, limit: u64, fits: String },
    #[error("{}: {what} need {needed} bytes, {free} are free", path.display())]
    DiskSpace { path: PathBuf, what: &'static str, needed: u64, free: u64 },
    /// The base's layers could be read ahead of use, were they in NF4 on the disk.
    #[error("{source}; the base fits in memory only with its layers read from there")]
    QuantizedCopy { source: Box<TrainError> },
    #[error("{}: there already", dir.display())]
    OutExists { dir: PathBuf },

    #[error(
        "ewc: of {examples} general examples, F is measured on {fisher}; the rise of their loss is measured on others, at least {least}"
    )]
    TooFewGeneral { examples: u64, fisher: u64, least: u64 },
    /// However much is held.
    #[error(
        "ewc: no λ up to {} keeps the rise of the general loss within {}: in {probes} probes of {steps} steps the least was {}",
        crate::probe::lambda_text(*largest), crate::probe::percent(*rise), least.map_or("no number".to_owned(), crate::probe::percent)
    )]
    NoLambda { probes: usize, steps: u64, largest: f64, rise: f64, least: Option<f64> },
    #[error("{}: holds no Fisher", path.display())]
    NoFisher { path: PathBuf },
    #[error("{}: measured on another base (sha256 {was}, this one's is {now})", path.display())]
    EwcBase { path: PathBuf, was: String, now: String },
    #[error("{}: {tensor} is another adapter's", path.display())]
    EwcShape { path: PathBuf, tensor: String },
    #[error("{}: its training data are not what they were (sha256 {was}, now {now})", dir.display())]
    EwcData { dir: PathBuf, was: String, now: String },

    #[error("the plan has changed since {}: {field} was {was}, is {now}", checkpoint.display())]
    PlanChanged { checkpoint: PathBuf, field: String, was: String, now: String },
    #[error("the data has changed since {}: its sha256 was {was}, is {now}", checkpoint.display())]
    DataChanged { checkpoint: PathBuf, was: String, now: String },
    #[error("the base model has changed since {}: its sha256 was {was}, is {now}", checkpoint.display())]
    ModelChanged { checkpoint: PathBuf, was: String, now: String },
    #[error("{}: {tensor} has shape {got:?}, this run's has {expected:?}", path.display())]
    StateShape { path: PathBuf, tensor: String, expected: Vec<usize>, got: Vec<usize> },
    #[error("{}: {tensor} is {problem}", path.display())]
    StateTensor { path: PathBuf, tensor: String, problem: &'static str },
    #[error("{}: no valid checkpoint{}", dir.display(), list_skipped(skipped))]
    NoCheckpoint { dir: PathBuf, skipped: Vec<String> },

    #[error("step {step}: {what} is {value}; nothing was updated or saved; the batch's rows are in {}", rows.display())]
    NumbersWentBad { step: u64, what: &'static str, value: f64, rows: PathBuf },
    /// The run can be resumed; `step` is the last one saved, 0 if none was taken yet.
    #[error("interrupted; {}", saved(*step))]
    Interrupted { step: u64 },
    #[error("interrupted; {} was not written", dir.display())]
    InterruptedWriting { dir: PathBuf },
    /// The model is written; what merging changed was not measured.
    #[error("interrupted; {} is complete, but was not compared with the adapter beside its base", dir.display())]
    InterruptedComparing { dir: PathBuf },
    /// The signal came too late to stop anything: adapter and record are published.
    #[error("interrupted, but the run is complete: {steps} steps, its result is in {}", result.display())]
    InterruptedAtEnd { steps: u64, result: PathBuf },
}

fn saved(step: u64) -> String {
    match step {
        0 => "no step was taken yet".to_owned(),
        _ => format!("state saved at step {step}"),
    }
}

fn list_aside(aside: &BTreeMap<String, u64>) -> String {
    if aside.is_empty() {
        return String::new();
    }
    let parts: Vec<String> = aside.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
    format!(" ({})", parts.join(", "))
}

fn list_skipped(skipped: &[String]) -> String {
    if skipped.is_empty() { String::new() } else { format!("; skipped: {}", skipped.join("; ")) }
}
