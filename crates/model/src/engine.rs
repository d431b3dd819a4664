//! The handle that training and evaluation hold. The backend is chosen here, once; nothing above knows it.
//!
//! CONTRACT with `train`, `cli` (bodies by the model's authors).

use crate::{AdapterPlan, ModelError};
use kernels::AdamW;
use std::path::Path;

/// No target at this position.
pub const IGNORE: i32 = -1;

/// Packed rows: examples one after another, no padding.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// [T]
    pub ids: &'a [u32],
    /// [T]: the token that position t must predict (already shifted), or [`IGNORE`].
    pub targets: &'a [i32],
    /// [examples + 1]: example i is tokens cu[i]..cu[i+1]; positions restart there.
    pub cu: &'a [usize],
}

/// What a trainable tensor is, without its values.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamInfo {
    /// As in PEFT's `adapter_model.safetensors`, e.g. `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`.
    pub name: String,
    pub shape: Vec<usize>,
    /// Weight decay applies (Trainer's rule: not to biases and norm weights).
    pub decays: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// Which of a parameter's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Value,
    Grad,
    MomentM,
    MomentV,
}

/// Where randomness of this forward pass comes from: dropout masks are a function of these and of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepKey {
    pub seed: u64,
    pub step: u64,
    pub micro: u64,
}

/// How large a run gets; buffers are planned for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Most tokens in one forward pass.
    pub tokens_max: usize,
    /// Longest single example.
    pub seq_len_max: usize,
    /// Bytes the process may use; None: what is free, less a margin.
    pub memory: Option<u64>,
    pub threads: Option<usize>,
}

/// A loaded model with its adapter, ready to step.
pub struct Engine {
    // private: Box<dyn …> or an enum over backends
}

impl Engine {
    /// Loads the base from `dir`, makes or loads the adapter, allocates everything a step needs.
    pub fn load(dir: &Path, adapter: &AdapterPlan, limits: &Limits) -> Result<Engine, ModelError> {
        let _ = (dir, adapter, limits);
        todo!()
    }
    pub fn config(&self) -> &crate::ModelConfig {
        todo!()
    }
    pub fn params(&self) -> Vec<ParamInfo> {
        todo!()
    }
    /// Forward and backward; gradients of scale · Σ loss accumulate. Returns Σ loss (nats, unscaled) over the targets.
    pub fn accumulate(&mut self, batch: Batch, scale: f32, key: StepKey) -> Result<f64, ModelError> {
        let _ = (batch, scale, key);
        todo!()
    }
    /// Forward only, no dropout: the loss of each target position in order of position.
    pub fn losses(&mut self, batch: Batch) -> Result<Vec<f32>, ModelError> {
        let _ = batch;
        todo!()
    }
    /// Forward only: logits [T, V] (soft-capped), for tests and small probes.
    pub fn logits(&mut self, batch: Batch) -> Result<Vec<f32>, ModelError> {
        let _ = batch;
        todo!()
    }
    /// L2 norm over all gradients; infinite or NaN if any is.
    pub fn grad_norm(&mut self) -> Result<f64, ModelError> {
        todo!()
    }
    /// One AdamW update of every parameter (decay only where it applies), then gradients are zeroed.
    pub fn update(&mut self, a: &AdamW) -> Result<(), ModelError> {
        let _ = a;
        todo!()
    }
    pub fn zero_grad(&mut self) -> Result<(), ModelError> {
        todo!()
    }
    /// Values of every parameter in `params()` order.
    pub fn export(&self, state: State) -> Result<Vec<Tensor>, ModelError> {
        let _ = state;
        todo!()
    }
    /// Refuses other names and shapes (`ModelError::Shape`).
    pub fn import(&mut self, state: State, tensors: &[Tensor]) -> Result<(), ModelError> {
        let _ = (state, tensors);
        todo!()
    }
    /// The adapter folder's files as PEFT writes them: (name, bytes) of adapter_config.json and adapter_model.safetensors.
    pub fn adapter_files(&self) -> Result<Vec<(String, Vec<u8>)>, ModelError> {
        todo!()
    }
    /// Base weights with the adapter folded in, under their Hugging Face names.
    pub fn merged(&self) -> Result<Vec<Tensor>, ModelError> {
        todo!()
    }
    pub fn memory(&self) -> &crate::MemoryPlan {
        todo!()
    }
}
