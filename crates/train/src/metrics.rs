//! The records that grow with every step: `metrics.jsonl` (what was computed), `timings.jsonl` (how long it took)
//! and TensorBoard's event files. Times never stand in metrics.jsonl, which is the same bytes for the same run.

use crate::TrainError;
use crate::batch::LabelSum;
use crate::checkpoint::Progress;
use crate::overfit::Relief;
use crate::tensorboard::{self, EventFile};
use model::Streamed;
use runfs::{Clock, Fs, Journal, RunFsError};
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::path::Path;

const METRICS: &str = "metrics.jsonl";
const TIMINGS: &str = "timings.jsonl";
const TENSORBOARD: &str = "tensorboard";
/// What the tags of everything begin with that a validation writes.
const VALID_TAGS: &str = "valid/";

/// The loss of one task's examples, where the plan names tasks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskLoss {
    #[serde(skip)]
    pub task: String,
    /// Nats per supervised token of the task.
    pub loss: f64,
    pub supervised_tokens: u64,
}

impl TaskLoss {
    /// Of those tasks that have a supervised token; `sums` are one a name.
    pub(crate) fn of(names: &[String], sums: &[LabelSum]) -> Vec<TaskLoss> {
        let of = |(name, sum): (&String, &LabelSum)| {
            Some(TaskLoss { task: name.clone(), loss: sum.mean()?, supervised_tokens: sum.targets })
        };
        names.iter().zip(sums).filter_map(of).collect()
    }
}

/// As an object by the tasks' names.
fn by_name<S: Serializer>(tasks: &[TaskLoss], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(tasks.iter().map(|t| (&t.task, t)))
}

/// One optimiser step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct StepMetrics {
    pub step: u64,
    /// Nats per supervised token over the whole step.
    pub loss: f64,
    pub lr: f64,
    /// What is held on to adds to the loss (λ/2 Σ F (θ − θ*)²), which is not in `loss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// Of all that is added up, before clipping.
    pub grad_norm: f64,
    pub tokens: u64,
    pub supervised_tokens: u64,
    /// AdaLoRA's ranks that the last masking kept, of all modules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "by_name")]
    pub tasks: Vec<TaskLoss>,
}

/// One validation.
#[derive(Debug, Serialize)]
pub(crate) struct ValidMetrics {
    pub step: u64,
    /// Nats per supervised token.
    pub valid_loss: f64,
    /// Of the unseen set, where there is one and its loss is a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen_loss: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "by_name")]
    pub tasks: Vec<TaskLoss>,
    /// By how much the loss of the rows that may be replayed has risen since before the first step, on average, where they are
    /// chosen by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_rise: Option<f64>,
    /// What is done instead of stopping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relief: Option<Relief>,
}

#[derive(Serialize)]
struct StepTiming {
    step: u64,
    unix_ms: u64,
    seconds: f64,
    tokens_per_second: f64,
    /// Where layers are read for each pass.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    reading: Option<Reading>,
}

/// Of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Reading {
    pub bytes_read_forward: u64,
    pub bytes_read_backward: u64,
    /// How long the step waited for them.
    pub seconds_waited: f64,
}

impl Reading {
    pub fn between(before: Streamed, after: Streamed) -> Reading {
        let seconds_waited = after.waited.saturating_sub(before.waited).as_secs_f64();
        Reading {
            bytes_read_forward: after.forward - before.forward,
            bytes_read_backward: after.backward - before.backward,
            seconds_waited,
        }
    }
}

/// The open records of a run.
pub(crate) struct Records<'a> {
    metrics: Journal<'a>,
    timings: Journal<'a>,
    events: EventFile<'a>,
    clock: &'a dyn Clock,
}

impl<'a> Records<'a> {
    /// Opens the records after cutting them back to `progress`: what a run wrote past its last checkpoint is done
    /// again, and must not stand there twice.
    pub fn open(
        fs: &'a dyn Fs,
        dir: &Path,
        clock: &'a dyn Clock,
        progress: &Progress,
    ) -> Result<Records<'a>, TrainError> {
        let keeps_valid = |step: u64| step < progress.step || (step == progress.step && progress.settled);
        for name in [METRICS, TIMINGS] {
            Journal::cut_back(fs, &dir.join(name), &|line: &Value| match line.get("step").and_then(Value::as_u64) {
                Some(step) if line.get("valid_loss").is_some() => keeps_valid(step),
                Some(step) => step <= progress.step,
                None => false,
            })?;
        }
        let board = dir.join(TENSORBOARD);
        tensorboard::cut_back(fs, &board, |tag, step| {
            if tag.starts_with(VALID_TAGS) { keeps_valid(step) } else { step <= progress.step }
        })?;
        Ok(Records {
            metrics: Journal::open(fs, &dir.join(METRICS))?,
            timings: Journal::open(fs, &dir.join(TIMINGS))?,
            events: EventFile::create(fs, &board, clock.now_unix_ms())?,
            clock,
        })
    }

    pub fn step(&mut self, m: &StepMetrics, seconds: f64, reading: Option<Reading>) -> Result<(), TrainError> {
        let unix_ms = self.clock.now_unix_ms();
        self.metrics.append(m)?;
        self.timings.append(&StepTiming {
            step: m.step,
            unix_ms,
            seconds,
            tokens_per_second: rate(m.tokens, seconds),
            reading,
        })?;
        for (tag, value) in [("train/loss", m.loss), ("train/lr", m.lr), ("train/grad_norm", m.grad_norm)] {
            self.events.scalar(tag, value, m.step, unix_ms)?;
        }
        if let Some(penalty) = m.penalty {
            self.events.scalar("train/penalty", penalty, m.step, unix_ms)?;
        }
        for TaskLoss { task, loss, .. } in &m.tasks {
            self.events.scalar(&format!("train/loss/{task}"), *loss, m.step, unix_ms)?;
        }
        Ok(())
    }

    pub fn valid(&mut self, m: &ValidMetrics) -> Result<(), TrainError> {
        let unix_ms = self.clock.now_unix_ms();
        self.metrics.append(m)?;
        self.events.scalar(&format!("{VALID_TAGS}loss"), m.valid_loss, m.step, unix_ms)?;
        for TaskLoss { task, loss, .. } in &m.tasks {
            self.events.scalar(&format!("{VALID_TAGS}loss/{task}"), *loss, m.step, unix_ms)?;
        }
        if let Some(loss) = m.unseen_loss {
            self.events.scalar(&format!("{VALID_TAGS}unseen_loss"), loss, m.step, unix_ms)?;
        }
        match m.replay_rise {
            Some(rise) => self.events.scalar(&format!("{VALID_TAGS}replay_rise"), rise, m.step, unix_ms),
            None => Ok(()),
        }
    }

    /// Everything so far is on the disk: a checkpoint may refer to it.
    pub fn sync(&mut self) -> Result<(), TrainError> {
        self.metrics.sync()?;
        self.timings.sync()?;
        Ok(())
    }
}

/// Seconds of training steps, over all sittings of the run, as timings.jsonl has them.
pub(crate) fn seconds_trained(fs: &dyn Fs, dir: &Path) -> Result<f64, TrainError> {
    let path = dir.join(TIMINGS);
    let bytes = fs.read(&path).map_err(|e| RunFsError::io("read", &path, e))?;
    let seconds = bytes
        .split(|b| *b == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter_map(|line| line.get("seconds").and_then(Value::as_f64))
        .sum();
    Ok(seconds)
}

/// What an AdaLoRA run's metrics.jsonl in `dir` says of the ranks that each step kept, of all modules together, from the
/// first masking on: (step, ranks). Nothing where ranks stay, or where there is no such file.
pub fn ranks_by_step(fs: &dyn Fs, dir: &Path) -> Result<Vec<(u64, u64)>, TrainError> {
    let path = dir.join(METRICS);
    if !fs.exists(&path) {
        return Ok(Vec::new());
    }
    let bytes = fs.read(&path).map_err(|e| RunFsError::io("read", &path, e))?;
    let of = |line: &[u8]| {
        let line: Value = serde_json::from_slice(line).ok()?;
        Some((line.get("step")?.as_u64()?, line.get("ranks")?.as_u64()?))
    };
    Ok(bytes.split(|b| *b == b'\n').filter_map(of).collect())
}

/// The last step that metrics.jsonl knows; 0 if there is none.
pub(crate) fn last_step(fs: &dyn Fs, dir: &Path) -> Result<u64, TrainError> {
    let path = dir.join(METRICS);
    if !fs.exists(&path) {
        return Ok(0);
    }
    let bytes = fs.read(&path).map_err(|e| RunFsError::io("read", &path, e))?;
    let steps = bytes
        .split(|b| *b == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter_map(|line| line.get("step").and_then(Value::as_u64));
    Ok(steps.max().unwrap_or(0))
}

pub(crate) fn rate(tokens: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 }
}
