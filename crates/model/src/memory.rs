//! The bytes a run needs, known before it starts: from the config, the checkpoint's headers and the limits alone.

use crate::adapters::{Estimate, ModuleShape, Optimizer, Shape, Tied, Widths, estimate, layer_of};
use crate::config::{EMBEDDING, HEAD};
use crate::engine::{Limits, Quantize};
use crate::stored::Mold;
use crate::stream::{Molds, STREAMED_MIN, streams};
use crate::workspace::{Acts, Keep, Shared, index_bytes};
use crate::{AdapterPlan, ModelConfig, ModelError};
use kernels::{Cpu, Form, Nf4, Precision};
use std::path::Path;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use weights::Checkpoint;

/// Bytes of one f32.
const F32: u64 = 4;
const BF16: u64 = 2;
/// What a run holds besides its tensors, measured: 26 MB in runs of 0.8 to 2.2 GB.
const PROGRAM: u64 = 26 << 20;
/// Where no limit is given: this share of what is free stays free.
const MARGIN: u64 = 20;
/// Most tokens in a pass, and in an example.
const TOKENS_MAX: usize = 1 << 24;

/// Bytes, by what they are for.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MemoryPlan {
    /// The frozen base.
    pub weights: u64,
    /// Its matrices are held twice, as products read them forward and backward, so that short passes lose nothing.
    #[serde(default)]
    pub weights_packed: bool,
    /// Trained tensors and their gradients.
    pub adapter: u64,
    /// AdamW's two moments, and how much each element matters where that is measured.
    pub optimiser: u64,
    /// What trained tensors are held to, and how firmly.
    #[serde(default)]
    pub anchors: u64,
    /// The residual stream between layers, and what layers keep for their backward pass.
    pub activations: u64,
    /// What layers and the output head share.
    pub scratch: u64,
    /// The program around it: its code, threads, the kernels' packed operands, one trained tensor on its way to a file.
    #[serde(default)]
    pub program: u64,
    pub total: u64,
    pub limit: u64,
    /// Layers whose activations are kept until their backward pass.
    #[serde(default)]
    pub layers_kept: usize,
    /// Layers that are computed again, from their input, in the backward pass.
    #[serde(default)]
    pub layers_recomputed: usize,
    /// Layers whose frozen matrices are read from the model's files in each pass, forward and back.
    #[serde(default)]
    pub layers_streamed: usize,
    /// Bytes of those.
    #[serde(default)]
    pub streamed: u64,
}

/// A run's size before anything is loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    pub memory: MemoryPlan,
    /// Elements trained.
    pub trainable: u64,
    /// Elements of the base.
    pub parameters: u64,
    /// Bytes that it takes to hold what low-rank adapters change of the base (elastic weight consolidation).
    pub holding: u64,
}

/// Reads the config and the checkpoint's headers only. Never refuses for memory: where `memory.total` is over
/// `memory.limit`, the total is the least that this pass can do with.
///
/// # Errors
/// Those of the config, the checkpoint and the adapter's patterns; `Limit`, `SequenceLimit`.
pub fn outline(dir: &Path, adapter: &AdapterPlan, limits: &Limits) -> Result<Outline, ModelError> {
    outline_of(dir, Files::Own, adapter, limits)
}

/// As [`outline`], of the files that [`crate::Quantiser`] would make of `dir` as `limits.quantize` says.
pub fn outline_quantised(dir: &Path, adapter: &AdapterPlan, limits: &Limits) -> Result<Outline, ModelError> {
    outline_of(dir, Files::Quantised, adapter, limits)
}

fn outline_of(dir: &Path, files: Files, adapter: &AdapterPlan, limits: &Limits) -> Result<Outline, ModelError> {
    let config = ModelConfig::read(dir)?;
    let needs = Needs::read(&config, &Checkpoint::open(dir)?, files, adapter, limits)?;
    let (memory, ..) = needs.plan(limits.tokens_max, limit(limits)?);
    // √u and √v of every matrix; factors of the largest in two buffers, and a gradient or what A makes of W.
    let holding = F32 * (needs.estimate.sides + 3 * needs.estimate.pair_max);
    Ok(Outline { memory, trainable: needs.estimate.trainable, parameters: needs.parameters, holding })
}

/// Whether `adapter` asks for a layer's matrix in floats, which NF4 does not give back: to train it, or to begin with its
/// largest directions.
///
/// # Errors
/// Those of the config and of the adapter's patterns.
pub fn needs_floats(dir: &Path, adapter: &AdapterPlan) -> Result<bool, ModelError> {
    let config = ModelConfig::read(dir)?;
    let modules = config.modules();
    let estimate = estimate(adapter, config.tied, &modules, Optimizer::AdamW)?;
    let whole = |m: &ModuleShape| matches!(m.shape, Shape::Linear { .. }) && estimate.whole.contains(&m.module);
    Ok(estimate.principal > 0 || modules.iter().any(whole))
}

/// Which files a run is planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    /// The checkpoint's.
    Own,
    /// The same with the layers' matrices in NF4.
    Quantised,
}

/// How a model's frozen matrices are held.
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    /// Of those that products read.
    pub form: Form,
    /// Of the layers'.
    pub quantize: Quantize,
    pub precision: Precision,
    /// So many of the layers are read when their turn comes.
    pub streamed: usize,
    pub layers: usize,
}

/// What the plan is computed from.
pub(crate) struct Needs<'a> {
    config: &'a ModelConfig,
    estimate: Estimate,
    parameters: u64,
    /// Bytes of the frozen base, held plain and held packed.
    plain: u64,
    packed: u64,
    /// The frozen matrices of each layer; none where they cannot be read as they are held.
    layers: Vec<Vec<Mold>>,
    precision: Precision,
    quantize: Quantize,
    /// Packed weights take twice what they take plain or in bf16, and not four times, as those in 16 bits would for
    /// products in f32.
    worth_packing: bool,
    beside: u64,
    positions: usize,
}

impl<'a> Needs<'a> {
    pub fn read(
        config: &'a ModelConfig,
        checkpoint: &Checkpoint,
        files: Files,
        adapter: &AdapterPlan,
        limits: &Limits,
    ) -> Result<Needs<'a>, ModelError> {
        check(config, limits)?;
        let modules = config.modules();
        let estimate = estimate(adapter, config.tied, &modules, limits.optimizer)?;
        let (mut parameters, mut held, mut plain, mut packed, mut close) = (0, 0, 0, 0, 0);
        let shared = config.tied == Tied::Yes && !estimate.whole.contains(HEAD);
        let (mut layers, mut as_held) = (vec![Vec::new(); config.layers], true);
        for m in &modules {
            let tied_head = m.module == HEAD && config.tied == Tied::Yes;
            let source = if tied_head { EMBEDDING } else { &m.module };
            let size = weight_size(checkpoint, files, source, m.shape, limits)?;
            let in_four_bits = size.mold.is_some_and(|m| m.in_four_bits());
            if in_four_bits && estimate.whole.contains(&m.module) {
                return Err(ModelError::WholeInFourBits { module: m.module.clone() });
            }
            parameters += if tied_head { 0 } else { size.elements };
            // A tied head has a frozen matrix of its own where the embedding's is trained without it.
            let frozen = !estimate.whole.contains(&m.module) && (!tied_head || estimate.whole.contains(EMBEDDING));
            if frozen {
                held += size.elements;
                close += size.close;
                plain += size.plain;
                // An embedding that is only looked up stays as it is.
                packed += if m.module == EMBEDDING && !shared { size.plain } else { size.packed };
                if let (Shape::Linear { .. }, Some(mold), Some(layer)) = (m.shape, size.mold, layer_of(&m.module)) {
                    as_held &= in_four_bits || limits.quantize == Quantize::None;
                    layers[layer].push(mold);
                }
            }
        }
        let worth_packing = close <= 2 * plain.max(BF16 * held);
        // Nor can what an adapter's start was taken from.
        let layers = if as_held && estimate.principal == 0 { layers } else { Vec::new() };
        let Limits { precision, quantize, seq_len_max: positions, beside, .. } = *limits;
        Ok(Needs {
            config,
            estimate,
            parameters,
            plain,
            packed,
            layers,
            precision,
            quantize,
            worth_packing,
            positions,
            beside,
        })
    }

    /// The widths of the slots' scratch, and the columns that adapters keep of a layer and of the head.
    pub fn adapter(&self) -> (Widths, (usize, usize)) {
        (self.estimate.widths, (self.estimate.kept_max(), self.estimate.head_kept))
    }

    /// The plan that holds weights packed and keeps all layers' activations where that fits the limit; or else holds them
    /// plain and keeps as many layers' as fit; or else keeps none and streams as few layers as must be.
    pub fn plan(&self, tokens_max: usize, limit: u64) -> (MemoryPlan, Keep, Holding) {
        let packed = self.plan_in(Form::Packed, 0, tokens_max, limit);
        if self.worth_packing && packed.0.total <= limit && packed.0.layers_recomputed == 0 {
            return packed;
        }
        let mut least = self.plan_in(Form::Plain, 0, tokens_max, limit);
        for streamed in STREAMED_MIN..=self.layers.len() {
            if least.0.total <= limit {
                break;
            }
            let plan = self.plan_in(Form::Plain, streamed, tokens_max, limit);
            if plan.0.total < least.0.total {
                least = plan;
            }
        }
        least
    }

    fn plan_in(&self, form: Form, streamed: usize, tokens_max: usize, limit: u64) -> (MemoryPlan, Keep, Holding) {
        let (c, t) = (self.config, tokens_max);
        let holding = Holding { form, quantize: self.quantize, precision: self.precision, streamed, layers: c.layers };
        let (read, stages) = self.streamed(streamed);
        let lowest = if self.estimate.embedding { 0 } else { self.estimate.lowest_layer.unwrap_or(c.layers) };
        let streams = F32 * (t * c.hidden) as u64 * Keep { layers: c.layers, lowest, sets: 1 }.streams() as u64;
        let set = F32 * Acts::lengths(c, t, self.estimate.kept_max()).floats();
        let trained = F32 * self.estimate.trainable;
        let mut plan = MemoryPlan {
            weights: if form == Form::Packed { self.packed } else { self.plain - read + stages },
            weights_packed: form == Form::Packed,
            adapter: 2 * trained + F32 * self.estimate.principal,
            optimiser: self.estimate.moments + 2 * F32 * self.estimate.scored,
            scratch: F32 * self.scratch_floats(t) + index_bytes(t),
            anchors: self.beside,
            program: PROGRAM + F32 * self.estimate.tensor_max,
            limit,
            layers_streamed: streamed,
            streamed: read,
            ..MemoryPlan::default()
        };
        let fixed = plan.weights + plan.adapter + plan.optimiser + plan.anchors + plan.scratch + plan.program + streams;
        let fitting = limit.saturating_sub(fixed).checked_div(set).unwrap_or(0);
        let sets = usize::try_from(fitting).unwrap_or(usize::MAX).clamp(1, Keep::sets_max(c.layers, lowest));
        plan.activations = streams + set * sets as u64;
        plan.total = fixed - streams + plan.activations;
        plan.layers_kept = sets.min(c.layers - lowest);
        plan.layers_recomputed = c.layers - lowest - plan.layers_kept;
        (plan, Keep { layers: c.layers, lowest, sets }, holding)
    }

    /// Bytes of the layers that are streamed where `count` are, and of the two stages for them.
    fn streamed(&self, count: usize) -> (u64, u64) {
        let (mut stage, mut read) = (Molds::default(), 0);
        let chosen = self.layers.iter().enumerate().filter(|(l, _)| streams(*l, count, self.layers.len()));
        for (_, matrices) in chosen {
            stage.begin_layer();
            for mold in matrices {
                stage.place(*mold);
                read += mold.bytes();
            }
        }
        (read, 2 * stage.bytes())
    }

    /// The plan, or the refusal that says what would fit.
    pub fn require(&self, limits: &Limits) -> Result<(MemoryPlan, Keep, Holding), ModelError> {
        let limit = limit(limits)?;
        let (plan, keep, holding) = self.plan(limits.tokens_max, limit);
        if plan.total <= limit {
            return Ok((plan, keep, holding));
        }
        let fits = match self.largest(limits.tokens_max, limit) {
            Some(tokens) => format!("a pass of at most {tokens} tokens would fit"),
            None => format!(
                "no pass would fit: the weights and what is trained alone need {}",
                plan.total - plan.activations - plan.scratch
            ),
        };
        Err(ModelError::DoesNotFit { need: plan.total, limit, fits })
    }

    /// The largest pass below `tokens_max` that fits.
    fn largest(&self, tokens_max: usize, limit: u64) -> Option<usize> {
        let (mut low, mut high) = (0, tokens_max);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if self.plan(middle, limit).0.total <= limit { low = middle } else { high = middle }
        }
        (low > 0).then_some(low)
    }

    /// Shared buffers, rope tables, and the slots' own scratch.
    fn scratch_floats(&self, t: usize) -> u64 {
        let turned: usize = self.config.ropes.iter().map(|r| 2 * r.inv_freq.len()).sum();
        let tables = turned as u64 * self.positions as u64;
        let slots = self.estimate.widths.floats(t);
        Shared::lengths(self.config, t, self.estimate.head_kept).floats().saturating_add(tables).saturating_add(slots)
    }
}

fn check(config: &ModelConfig, limits: &Limits) -> Result<(), ModelError> {
    for (field, got) in [("tokens_max", limits.tokens_max), ("seq_len_max", limits.seq_len_max)] {
        if got == 0 || got > TOKENS_MAX {
            return Err(ModelError::Limit { field, max: TOKENS_MAX, got });
        }
    }
    if limits.seq_len_max > config.position_max {
        let (seq_len_max, position_max) = (limits.seq_len_max, config.position_max);
        return Err(ModelError::SequenceLimit { seq_len_max, position_max });
    }
    Ok(())
}

/// Elements of a module, and the bytes it takes when it is loaded.
struct Size {
    elements: u64,
    plain: u64,
    packed: u64,
    /// As packed, without what panels are padded with.
    close: u64,
    /// Of its matrix, as its file has that.
    mold: Option<Mold>,
}

/// Matrices keep their file's type or its NF4, are rounded to bf16 or quantised, or are packed; vectors are f32.
fn weight_size(
    checkpoint: &Checkpoint,
    files: Files,
    module: &str,
    shape: Shape,
    limits: &Limits,
) -> Result<Size, ModelError> {
    let (matrix, vector) = match shape {
        Shape::Linear { n_out, n_in, bias } => {
            (Some((n_out, n_in)), if bias == crate::adapters::Bias::Present { n_out } else { 0 })
        }
        Shape::Embedding { vocab, hidden } | Shape::Head { vocab, hidden } => (Some((vocab, hidden)), 0),
        Shape::Gain { dim } => (None, dim),
    };
    let vector_bytes = F32 * vector as u64;
    let Some((rows, cols)) = matrix else {
        let (elements, bytes) = (vector as u64, vector_bytes);
        return Ok(Size { elements, plain: bytes, packed: bytes, close: bytes, mold: None });
    };
    let mut mold = Mold::read(checkpoint, &format!("{module}.weight"), (rows, cols), limits.precision)?;
    if let (Files::Quantised, Shape::Linear { .. }, Quantize::Nf4 { double }) = (files, shape, limits.quantize)
        && !mold.in_four_bits()
    {
        mold = mold.quantised(double);
    }
    let (plain, in_bf16) = match (shape, limits.quantize) {
        (Shape::Linear { .. }, Quantize::Nf4 { double }) if !mold.in_four_bits() => {
            (Nf4::bytes_of(rows * cols, double) as u64, false)
        }
        _ => (mold.bytes(), mold.in_bf16()),
    };
    let packed = |rows, cols| Cpu::packed_bytes(limits.precision, in_bf16, rows, cols) as u64;
    let close = (packed(1 << 10, 1 << 10) >> 20) * (rows * cols) as u64;
    Ok(Size {
        elements: (rows * cols + vector) as u64,
        plain: plain + vector_bytes,
        packed: packed(rows, cols) + vector_bytes,
        close: close + vector_bytes,
        mold: Some(mold),
    })
}

/// The bytes that the process may use.
fn limit(limits: &Limits) -> Result<u64, ModelError> {
    match limits.memory {
        Some(bytes) => Ok(bytes),
        None => free_bytes().map(|free| free - free / MARGIN),
    }
}

/// What the system has free; inside a container, what its limit leaves; never more than the process's own limits
/// (`ulimit -d`, `ulimit -v`) leave it.
fn free_bytes() -> Result<u64, ModelError> {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory).map_err(|e| ModelError::FreeMemory { why: e.to_string() })?;
    let free = system.available_memory();
    let free = system.cgroup_limits().map_or(free, |c| free.min(c.free_memory));
    Ok(own_limits().into_iter().fold(free, u64::min))
}

/// What the process's limits on data and on address space leave of themselves.
#[cfg(target_os = "linux")]
fn own_limits() -> Vec<u64> {
    use rustix::process::{Resource, getrlimit};
    // Pages of address space first, of data and stack sixth (proc_pid_statm(5)).
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Vec<u64> = statm.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let used = |field: usize| pages.get(field).copied().unwrap_or(0) * rustix::param::page_size() as u64;
    [(Resource::As, used(0)), (Resource::Data, used(5))]
        .into_iter()
        .filter_map(|(resource, used)| Some(getrlimit(resource).current?.saturating_sub(used)))
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn own_limits() -> Vec<u64> {
    Vec::new()
}
