//! A run as meant: what `plan.json` holds and everything after parsing works on. CONTRACT with `cli`.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Absolute.
    pub model: PathBuf,
    pub data: data::DataPlan,
    pub adapter: model::AdapterPlan,
    pub train: TrainPlan,
    /// Absolute.
    pub out: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainPlan {
    pub length: RunLength,
    /// Units (examples, or packed rows) in an optimiser step.
    pub batch: usize,
    /// Most tokens in one forward pass; a step's batch is cut into as many passes as needed. None: from the memory plan.
    pub micro_tokens: Option<usize>,
    pub lr: f64,
    pub schedule: Schedule,
    pub warmup: Warmup,
    pub weight_decay: f64,
    pub betas: (f64, f64),
    pub eps: f64,
    /// Largest gradient norm; None: no clipping.
    pub clip: Option<f64>,
    pub seed: u64,
    pub precision: Precision,
    pub checkpoint_every: u64,
    pub checkpoints_keep: usize,
    /// Steps between validations; None: at each checkpoint and at the end.
    pub eval_every: Option<u64>,
    pub early_stop: Option<EarlyStop>,
    /// Bytes; None: what is free, less a margin.
    pub memory: Option<u64>,
    pub threads: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunLength {
    Steps(u64),
    Epochs(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    Constant,
    Linear,
    Cosine,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warmup {
    Steps(u64),
    /// Of all steps, rounded up (as Trainer's warmup_ratio).
    Ratio(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    F32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStop {
    /// Validations without improvement before the run stops.
    pub patience: u32,
    pub min_delta: f64,
}
