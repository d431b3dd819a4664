//! Everything that knows an adaptation method by name.

mod adalora;
mod base;
mod build;
mod combine;
mod dora;
mod embedding;
mod estimate;
pub mod ewc;
mod fan;
mod init;
mod inspect;
mod load;
mod merge;
mod pairs;
mod params;
mod pissa;
mod ranks;
mod slot;
mod spectrum;
mod state;
mod targets;

pub use adalora::{AdaSchedule, Allotment, Span};
pub use base::{BASE_FILE, BaseRecord, OtherBase, refuse_other_base};
pub use build::{Bias, Builder, Built, Tied};
pub use combine::{Combination, Combined, Mix, Part, Signs, Trim};
pub use embedding::{Embedding, Gain};
pub(crate) use estimate::layer_of;
pub use estimate::{Estimate, ModuleShape, Shape, estimate, scales};
pub use fan::Fan;
pub use inspect::{Keep, ModuleChange, Shrunk, Smaller, inspect, shrink};
pub use load::plan_from;
pub use merge::MergedShape;
pub use params::{Optimizer, Param, ParamId, Params};
pub use slot::{Cx, Mode, Slot, SlotScratch, Widths};
pub use state::{AdapterFile, AdapterState};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is trained, as meant (a run's plan.json holds it).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "lowercase")]
pub enum AdapterPlan {
    /// Nothing: the base as it is (evaluation).
    None,
    Lora(Box<LoraPlan>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraPlan {
    pub r: usize,
    pub alpha: f64,
    pub dropout: f64,
    pub rslora: bool,
    /// DoRA: rows' magnitudes are trained too.
    #[serde(default)]
    pub dora: bool,
    /// AdaLoRA: `r` is where each module begins.
    #[serde(default)]
    pub ada: Option<AdaPlan>,
    /// Full fine-tuning: `modules_to_save` are trained whole (an empty name is all), there are no pairs, and a model comes
    /// out instead of an adapter.
    #[serde(default)]
    pub full: bool,
    pub targets: Targets,
    /// Module names or suffixes left out.
    pub exclude: Vec<String>,
    /// Only these layers; None: all.
    pub layers: Option<Vec<usize>>,
    /// Regex → rank, matched as `(.*\.)?(key)$`; the first key wins. Order matters, so a list.
    pub rank_pattern: Vec<(String, usize)>,
    pub alpha_pattern: Vec<(String, f64)>,
    /// Whole modules trained and saved beside the adapter.
    pub modules_to_save: Vec<String>,
    /// PEFT's `ensure_weight_tying`: a tied embedding in modules_to_save stays one tensor.
    pub ensure_weight_tying: bool,
    pub bias: BiasTraining,
    pub init: InitWeights,
    /// B learns so many times as fast as A (LoRA+).
    #[serde(default = "one")]
    pub lr_ratio: f64,
    /// Continue from this adapter folder instead of a fresh start.
    pub start_from: Option<PathBuf>,
    /// Also where that was trained on another base.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other_base: bool,
    pub seed: u64,
    /// Written to adapter_config.json as base_model_name_or_path.
    pub base_name: String,
}

/// How AdaLoRA spends its ranks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdaPlan {
    /// The mean rank of a module at the end.
    pub target_r: usize,
    /// The first steps, in which every rank stays, and the last ones, in which the choice is final.
    pub warmup: Span,
    pub last: Span,
    /// Steps from one masking to the next; None: some fifty in the run.
    pub every: Option<u64>,
    /// How importance and its uncertainty are smoothed.
    pub beta1: f64,
    pub beta2: f64,
    /// The weight of the mean of ‖A Aᵀ − I‖ and ‖Bᵀ B − I‖, once a step.
    pub orthogonality: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// Every linear layer but the output embedding.
    AllLinear,
    /// Names or dotted suffixes (`q_proj`, `layers.0.mlp.up_proj`); `embed_tokens` and `lm_head` may be named.
    Names(Vec<String>),
    /// A regex that must match the whole module path (`re.fullmatch`).
    Regex(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BiasTraining {
    None,
    All,
    LoraOnly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitWeights {
    /// A: U(±1/√in), B: 0 (PEFT's default)
    Kaiming,
    /// A: N(0, 1/r), B: 0
    Gaussian,
    /// The largest singular directions of the matrix, which is frozen without them (PiSSA).
    Pissa,
}

fn one() -> f64 {
    1.0
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Something trained in every part of every layer, with dropout.
    pub(crate) fn adapters_and_norms() -> AdapterPlan {
        let plan = LoraPlan { dropout: 0.3, modules_to_save: vec!["norm".into()], ..plan(Targets::AllLinear) };
        AdapterPlan::Lora(Box::new(plan))
    }

    /// A plan as the tests of this folder start from.
    pub(super) fn plan(targets: Targets) -> LoraPlan {
        LoraPlan {
            r: 4,
            alpha: 8.0,
            dropout: 0.0,
            rslora: false,
            dora: false,
            ada: None,
            full: false,
            targets,
            exclude: Vec::new(),
            layers: None,
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            modules_to_save: Vec::new(),
            ensure_weight_tying: false,
            bias: BiasTraining::None,
            init: InitWeights::Kaiming,
            lr_ratio: 1.0,
            start_from: None,
            other_base: false,
            seed: 0,
            base_name: "base".into(),
        }
    }
}
