//! Decoder families, forward and hand-written backward over linear slots; adapters; the memory plan.

pub mod adapters;
mod config;
mod engine;
mod error;
mod memory;

pub use adapters::{AdapterPlan, BiasTraining, InitWeights, LoraPlan, Targets};
pub use config::ModelConfig;
pub use engine::{Batch, Engine, IGNORE, Limits, ParamInfo, State, StepKey, Tensor};
pub use error::ModelError;
pub use memory::MemoryPlan;
