//! What data a run uses and how it becomes tokens, as meant. CONTRACT with `cli` and `train`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataPlan {
    pub train: Vec<Source>,
    pub valid: Option<Valid>,
    /// Measured beside `valid`; it neither trains nor chooses anything. Empty: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<Source>,
    pub text: TextPlan,
    pub lengths: LengthPlan,
    /// Set bad rows aside (counted, written to quarantine.jsonl) instead of stopping at the first.
    pub bad_rows: BadRows,
    /// Tasks in shares of their own. None: all rows in one shuffled order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<MixPlan>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayPlan>,
}

/// How tasks are mixed. Shares are of supervised tokens, as packed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MixPlan {
    /// Every task that a training source names, in the order in which they are named first.
    pub tasks: Vec<TaskPlan>,
    pub shares: Shares,
    /// An epoch lasts until the smallest task (in supervised tokens) was used so many times. None: until every task was
    /// used once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskPlan {
    pub name: String,
    /// Most examples in an epoch, which ends before it would need more; a task also counts as no larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shares {
    /// In proportion to its supervised tokens: an epoch goes through everything once.
    Size,
    /// In proportion to these, one a task.
    Weights(Vec<f64>),
    /// In proportion to its supervised tokens to this power: 1 is by size, 0 gives all tasks the same.
    Temperature(f64),
}

/// Older or general data, mixed into every stretch of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayPlan {
    pub sources: Vec<Source>,
    /// Where the sources are those of an earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<EarlierRun>,
    /// Where the base writes the rows itself, before it is trained: `sources` is then empty in a plan as meant, and the file of
    /// what was written where data are prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<WrittenPlan>,
    /// Of an epoch's supervised tokens.
    pub share: f64,
    pub choose: Choose,
    /// Most rows of the sources that are used. None: all with `Choose::Random`, else [`REPLAY_BUFFER`](crate::REPLAY_BUFFER).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer: Option<u64>,
}

/// What an earlier run says of its training sources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlierRun {
    /// Its folder, for messages.
    pub dir: PathBuf,
    /// sha256 of each source's file when it was trained on.
    pub sha256: Vec<String>,
    /// The share of the rows that it held back for validation, and its seed: they are not replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_back: Option<(f64, u64)>,
}

/// Texts that the base writes before it is trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenPlan {
    pub texts: u64,
    /// Most tokens of one. None: of a text without turns as many as training examples have in the median, of a chat
    /// `seq_len_max`; fixed before the first is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
}

/// Which rows of the replay sources are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// Any.
    #[default]
    Random,
    /// Rows whose lengths are spread as the training's.
    Length,
    /// Rows that are as different from each other as there are (MinHash, farthest first).
    Diversity,
    /// At first any; from each validation on the half of them whose loss has risen most since before the first step.
    Forgotten,
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
    /// Which task its rows belong to, in mixtures and in losses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
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
