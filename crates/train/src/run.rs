//! A run from start (or its last checkpoint) to its published adapter. CONTRACT with `cli`.

use crate::{Plan, TrainError};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// What a run tells while it goes; the command line draws it, tests collect it.
pub enum Event<'a> {
    /// A phase begins: "data", "model", "train", "evaluate", "save".
    Phase(&'a str),
    Note(String),
    Preparing { rows: u64, bytes: u64, bytes_total: u64 },
    Start { steps: u64, first_step: u64, trainable: u64, parameters: u64 },
    Step { step: u64, steps: u64, loss: f64, lr: f64, grad_norm: f64, tokens: u64, tokens_per_second: f64 },
    Valid { step: u64, loss: f64, best: bool },
    Checkpoint { step: u64, path: &'a Path },
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct Summary {
    pub out: PathBuf,
    pub steps: u64,
    pub final_train_loss: f64,
    pub final_valid_loss: Option<f64>,
    pub best_step: Option<u64>,
    pub best_valid_loss: Option<f64>,
    pub tokens_per_second: f64,
    pub peak_rss_bytes: u64,
    pub stopped_early: bool,
}

/// A fresh run. Refuses a folder that already holds one. `stop` is raised by a signal handler: the step is finished,
/// a checkpoint published and `TrainError::Interrupted` returned.
pub fn run(plan: &Plan, fs: &dyn runfs::Fs, stop: &AtomicBool, on: &mut dyn FnMut(Event)) -> Result<Summary, TrainError> {
    let _ = (plan, fs, stop, on);
    todo!()
}

/// Continues the run in `dir` from its newest valid checkpoint, to the same bytes as if never interrupted.
pub fn resume(dir: &Path, fs: &dyn runfs::Fs, stop: &AtomicBool, on: &mut dyn FnMut(Event)) -> Result<Summary, TrainError> {
    let _ = (dir, fs, stop, on);
    todo!()
}

/// What `athanor plan` shows.
pub struct Preview {
    pub notes: Vec<String>,
    pub steps: u64,
    pub counts: data::Counts,
    pub valid_counts: Option<data::Counts>,
    pub trainable: u64,
    pub parameters: u64,
    pub memory: model::MemoryPlan,
    /// One example as tokens: (text of the token, supervised)
    pub sample: Vec<(String, bool)>,
    pub sample_origin: Option<data::Origin>,
}

/// Everything but the training: data read and checked, memory planned, one example rendered. Writes nothing to `plan.out`.
pub fn preview(plan: &Plan, fs: &dyn runfs::Fs, stop: &AtomicBool, on: &mut dyn FnMut(Event)) -> Result<Preview, TrainError> {
    let _ = (plan, fs, stop, on);
    todo!()
}
