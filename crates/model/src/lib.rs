//! Decoder families, forward and hand-written backward over linear slots; adapters; the memory plan.

pub mod adapters;
mod batch;
mod cache;
mod choice;
mod config;
mod decoder;
mod engine;
mod error;
mod generate;
mod memory;
mod merged;
mod pace;
mod quantise;
mod sample;
mod shards;
mod stored;
mod stream;
mod workspace;

pub use adapters::ewc::{Fisher, FisherOf, FisherPart, Importance};
pub use adapters::{
    AdaPlan, AdaSchedule, AdapterFile, AdapterPlan, Allotment, BASE_FILE, BaseRecord, BiasTraining, Combination,
    Combined, InitWeights, Keep, LoraPlan, Mix, ModuleChange, Optimizer, OtherBase, Part, Shrunk, Signs, Smaller, Span,
    Targets, Trim, inspect, refuse_other_base, shrink,
};
pub use config::{FAMILIES, Family, LayerKind, ModelConfig, Rope};
pub use engine::{Batch, Engine, Held, IGNORE, Limits, ParamInfo, Quantize, State, StepKey, Tensor};
pub use error::ModelError;
pub use generate::{Decoding, Progress};
pub use kernels::{AdamW, Precision};
pub use memory::{MemoryPlan, Outline, needs_floats, outline, outline_quantised};
pub use merged::MergedFiles;
pub use pace::{Pace, pace};
pub use quantise::Quantiser;
pub use sample::{beginnings, divergence, sample};
pub use stream::Streamed;
