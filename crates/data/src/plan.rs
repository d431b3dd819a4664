//! What data a run uses and how it becomes tokens, as meant. CONTRACT with `cli` and `train`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataPlan {
    pub train: Vec<Source>,
    pub valid: Option<Valid>,
    pub text: TextPlan,
    pub lengths: LengthPlan,
    /// Set bad rows aside (counted, written to quarantine.jsonl) instead of stopping at the first.
    pub bad_rows: BadRows,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Absolute. A `.gz` or `.zst` suffix is unpacked while reading.
    pub path: PathBuf,
    /// None: found by looking.
    pub format: Option<Format>,
    /// Role → column name in the file (prompt, completion, text, instruction, input, output, messages, conversations, …).
    pub columns: BTreeMap<String, String>,
    /// An entry of a LLaMA-Factory dataset_info.json already resolved into path/format/columns/tags by `data::dataset_info`.
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Alpaca,
    Sharegpt,
    Messages,
    PromptCompletion,
    Text,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Valid {
    Source(Vec<Source>),
    /// This share of the training rows, chosen by seed.
    Share(f64),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextPlan {
    pub model_dir: PathBuf,
    pub template: Template,
    pub loss_on: LossOn,
    /// Most bytes in one record of a file (a line, an array element, a csv or parquet row): longer ones are a row fault, and are
    /// never held whole.
    pub record_bytes_max: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// The model's own chat template; for a base model without one, a plain one.
    Auto,
    /// A jinja file given by the user.
    File(PathBuf),
    /// `{prompt} => {completion}`, or with {instruction} {input} {output}; literal text otherwise.
    Plain(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossOn {
    Response,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LengthPlan {
    pub seq_len_max: usize,
    pub over: OverLength,
    pub packing: Packing,
}

/// What happens to an example longer than `seq_len_max`. A supervised end is never cut silently: truncation is counted and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverLength {
    Refuse,
    Drop,
    Truncate,
    Split,
}

/// What one of a step's `batch` units is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// One example.
    Examples,
    /// A row of at most seq_len_max tokens filled best-fit decreasing (TRL's `bfd`), over windows of the shuffled order.
    Bfd,
    /// As above; longer examples are split first (TRL's `bfd_split`).
    BfdSplit,
    /// Concatenated and cut every seq_len_max tokens (TRL's `wrapped`).
    Wrapped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadRows {
    Stop,
    Quarantine,
}
