//! The run folder's fixed documents: plan.json (as meant, and the mark that a run is here) and run.json (what came
//! of it).

use crate::checkpoint::{Identity, Progress};
use crate::{Plan, Summary, TrainError};
use data::Counts;
use model::MemoryPlan;
use runfs::{Fs, RunFsError};
use serde::Serialize;
use std::path::Path;

pub(crate) const PLAN: &str = "plan.json";
const RUN: &str = "run.json";

/// What is known about a run before its first step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Facts {
    /// Of what is trained and validated on.
    pub data_sha256: String,
    pub notes: Vec<String>,
    pub train_counts: Counts,
    pub valid_counts: Option<Counts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen_counts: Option<Counts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_counts: Option<Counts>,
    pub memory: MemoryPlan,
    pub micro_tokens: usize,
    pub trainable: u64,
    pub parameters: u64,
}

#[derive(Serialize)]
struct RunFile<'a> {
    athanor: &'static str,
    os: &'static str,
    processor: &'static str,
    plan: &'a Plan,
    model_sha256: &'a str,
    #[serde(flatten)]
    facts: &'a Facts,
    #[serde(flatten)]
    summary: &'a Summary,
    tokens: u64,
    supervised_tokens: u64,
    seconds: f64,
}

pub(crate) fn read_plan(fs: &dyn Fs, dir: &Path) -> Result<Plan, TrainError> {
    let path = dir.join(PLAN);
    if !fs.exists(&path) {
        return Err(TrainError::NoRun { dir: dir.to_owned() });
    }
    let bytes = fs.read(&path).map_err(|e| RunFsError::io("read", &path, e))?;
    serde_json::from_slice(&bytes).map_err(|e| TrainError::RunFile { path, why: e.to_string() })
}

/// What a finished run says of the data that it was trained on.
pub(crate) fn data_hash(fs: &dyn Fs, dir: &Path) -> Result<String, TrainError> {
    #[derive(serde::Deserialize)]
    struct Said {
        data_sha256: String,
    }
    let path = dir.join(RUN);
    if !fs.exists(&path) {
        return Err(TrainError::NoRun { dir: dir.to_owned() });
    }
    let bytes = fs.read(&path).map_err(|e| RunFsError::io("read", &path, e))?;
    let said: Said = serde_json::from_slice(&bytes).map_err(|e| TrainError::RunFile { path, why: e.to_string() })?;
    Ok(said.data_sha256)
}

pub(crate) fn write_plan(fs: &dyn Fs, dir: &Path, plan: &Plan) -> Result<(), TrainError> {
    write(fs, &dir.join(PLAN), plan)
}

pub(crate) fn write_run(
    fs: &dyn Fs,
    plan: &Plan,
    identity: &Identity,
    facts: &Facts,
    progress: &Progress,
    summary: &Summary,
    seconds: f64,
) -> Result<(), TrainError> {
    let file = RunFile {
        athanor: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        processor: std::env::consts::ARCH,
        plan,
        model_sha256: &identity.model_sha256,
        facts,
        summary,
        tokens: progress.tokens,
        supervised_tokens: progress.supervised_tokens,
        seconds,
    };
    write(fs, &plan.out.join(RUN), &file)
}

fn write(fs: &dyn Fs, path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|e| TrainError::RunFile { path: path.to_owned(), why: e.to_string() })?;
    bytes.push(b'\n');
    runfs::publish_file(fs, path, &bytes)?;
    Ok(())
}

/// The most memory this process has held, in bytes; 0 where the system does not say (only Linux is asked).
pub(crate) fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
