//! The handle that training and evaluation hold. The backend is chosen here, once; nothing above knows it.

use crate::adapters::ewc::{Anchors, Fisher, FisherOf, Sums};
use crate::adapters::{
    AdaSchedule, AdapterFile, AdapterState, Allotment, BaseRecord, Builder, Built, Cx, MergedShape, Mode, Optimizer,
    Params, SlotScratch,
};
use crate::batch::{self, Rows};
use crate::cache::{Cache, Visit};
use crate::decoder::{Decoder, Pass, Reach, See};
use crate::memory::{Files, Needs};
use crate::stream::{Stream, Streamed};
use crate::workspace::{Keep, Workspace};
use crate::{AdapterPlan, MemoryPlan, MergedFiles, ModelConfig, ModelError};
use kernels::{AdamW, Backend, CACHE_BLOCK, Cpu, Precision};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use weights::{Checkpoint, Dtype};

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
    /// What the learning rate is multiplied with.
    pub rate: f32,
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
    /// AdamW's, in f32.
    MomentM,
    MomentV,
    /// The same in 8 bits, and the largest magnitude of each block of them.
    CodesM,
    CodesV,
    MagnitudesM,
    MagnitudesV,
    /// How much each element matters, smoothed, and how unsure that is: only where it is measured.
    Importance,
    Uncertainty,
}

/// A tensor's values as they are held.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    F32(Vec<f32>),
    U8(Vec<u8>),
}

impl Held {
    /// Little-endian, as a file has them.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Held::F32(values) => bytemuck::cast_slice(values),
            Held::U8(values) => values,
        }
    }
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
    /// What frozen weights are held in and products multiply.
    pub precision: Precision,
    pub quantize: Quantize,
    pub optimizer: Optimizer,
    /// Bytes that a run holds beside the model and what it trains: they count in the plan.
    pub beside: u64,
}

/// How the frozen matrices of the layers are stored, where not in their file's type or in bf16. Embeddings, the output
/// head and what is trained whole stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantize {
    #[default]
    None,
    /// 4 bits (QLoRA, Dettmers et al. 2023); `double`: the blocks' magnitudes are quantised too.
    Nf4 { double: bool },
}

/// What a run computes on.
pub(crate) type Device = Cpu;

/// A loaded model with its adapter, ready to step.
pub struct Engine {
    dir: PathBuf,
    config: ModelConfig,
    limits: Limits,
    memory: MemoryPlan,
    backend: Device,
    decoder: Decoder<Device>,
    params: Params<Device>,
    scratch: SlotScratch<Device>,
    adapter: AdapterState<Device>,
    stream: Stream<Device>,
    work: Workspace<Device>,
    /// While the Fisher is measured.
    fisher: Option<Sums<Device>>,
    anchors: Anchors<Device>,
}

impl Engine {
    /// Loads the base from `dir`, makes or loads the adapter, allocates everything a step needs.
    ///
    /// # Errors
    /// Refuses, before it loads: a config ([`ModelConfig::read`]), a checkpoint or an adapter that is not sound, and
    /// a pass that does not fit the memory limit (`DoesNotFit`, which says what would).
    pub fn load(dir: &Path, adapter: &AdapterPlan, limits: &Limits) -> Result<Engine, ModelError> {
        Engine::load_copy(dir, dir, adapter, limits)
    }

    /// As [`Engine::load`], where `dir` may be what [`crate::Quantiser`] made of the model in `base` as `limits.quantize`
    /// says: the adapter's is `base`.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn load_copy(dir: &Path, base: &Path, adapter: &AdapterPlan, limits: &Limits) -> Result<Engine, ModelError> {
        let config = ModelConfig::read(dir)?;
        let checkpoint = Checkpoint::open(dir)?;
        let copied = if dir == base { None } else { Some(Checkpoint::open(base)?) };
        let needs = Needs::read(&config, &checkpoint, Files::Own, adapter, limits)?;
        let (memory, keep, holding) = needs.require(limits)?;
        let (widths, kept) = needs.adapter();
        let backend = Device::new(limits.threads, limits.precision)?;
        let sizes = (limits.tokens_max, widths);
        let mut builder =
            Builder::new(&backend, adapter, (&checkpoint, copied), (config.tied, holding), sizes, limits.optimizer)?;
        let decoder = Decoder::build(&mut builder, &config)?;
        let Built { params, scratch, adapter, streamed } = builder.finish()?;
        drop(checkpoint);
        let keep = Keep { lowest: decoder.lowest(), ..keep };
        let stream = Stream::new(&backend, streamed, keep.lowest)?;
        let work = Workspace::new(&backend, &config, (limits.tokens_max, limits.seq_len_max), keep, kept)?;
        let (dir, limits) = (dir.to_owned(), *limits);
        let (fisher, anchors) = (None, Anchors::default());
        Ok(Engine {
            dir,
            config,
            limits,
            memory,
            backend,
            decoder,
            params,
            scratch,
            adapter,
            stream,
            work,
            fisher,
            anchors,
        })
    }

    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Every trainable tensor, by name.
    pub fn params(&self) -> Vec<ParamInfo> {
        self.params.iter().map(|p| p.info.clone()).collect()
    }

    pub fn memory(&self) -> &MemoryPlan {
        &self.memory
    }

    /// What has been read of layers that memory does not hold.
    pub fn streamed(&self) -> Streamed {
        self.stream.streamed()
    }

    // --- passes ----------------------------------------------------------------------------------

    /// Forward and backward; gradients of scale · Σ loss accumulate. Returns Σ loss (nats, unscaled) over the targets,
    /// summed in f64 in order of position; 0 without a target. NaN and infinities come back as they are.
    ///
    /// # Errors
    /// A batch outside what was planned: `TooManyTokens`, `TargetCount`, `ExampleBounds`, `ExampleTooLong`,
    /// `TokenId`, `TargetId`.
    pub fn accumulate(&mut self, batch: Batch, scale: f32, key: StepKey) -> Result<f64, ModelError> {
        self.accumulate_seen(batch, scale, key, |_| ())
    }

    /// As [`Engine::accumulate`]; the loss of each target, in order of position, takes the place of what `each` holds.
    ///
    /// # Errors
    /// As [`Engine::accumulate`].
    pub fn accumulate_each(
        &mut self,
        batch: Batch,
        scale: f32,
        key: StepKey,
        each: &mut Vec<f32>,
    ) -> Result<f64, ModelError> {
        self.accumulate_seen(batch, scale, key, |losses| {
            each.clear();
            each.extend_from_slice(losses);
        })
    }

    fn accumulate_seen(
        &mut self,
        batch: Batch,
        scale: f32,
        key: StepKey,
        see: impl FnOnce(&[f32]),
    ) -> Result<f64, ModelError> {
        let reach = self.decoder.reach();
        self.pass(batch, Rows::Targets, Mode::Train(key), |decoder, cx, work, pass| {
            back(decoder, cx, work, pass, scale, reach)?;
            let losses = download(cx, work, pass)?;
            see(losses);
            Ok(losses.iter().map(|l| f64::from(*l)).sum())
        })
    }

    /// Forward only, no dropout: the loss of each target position in order of position.
    ///
    /// # Errors
    /// As [`Engine::accumulate`].
    pub fn losses(&mut self, batch: Batch) -> Result<Vec<f32>, ModelError> {
        self.pass(batch, Rows::Targets, Mode::Eval, |decoder, cx, work, pass| {
            decoder.forward(cx, work, pass, &mut |_| Ok(()))?;
            decoder.losses(cx, work, pass)?;
            Ok(download(cx, work, pass)?.to_vec())
        })
    }

    /// Forward only: logits [T, V] (soft-capped), for tests and small probes.
    ///
    /// # Errors
    /// As [`Engine::accumulate`].
    pub fn logits(&mut self, batch: Batch) -> Result<Vec<f32>, ModelError> {
        self.pass(batch, Rows::All, Mode::Eval, |decoder, cx, work, pass| {
            decoder.forward(cx, work, pass, &mut |_| Ok(()))?;
            let mut out = Vec::new();
            decoder.logits(cx, work, pass, &mut |_, row| {
                out.extend_from_slice(row);
                Ok(())
            })?;
            Ok(out)
        })
    }

    /// Forward only: [T, H] of the embedding, of each layer but the last, and of the last after the final norm.
    ///
    /// # Errors
    /// As [`Engine::accumulate`].
    pub fn hidden_states(&mut self, batch: Batch) -> Result<Vec<Vec<f32>>, ModelError> {
        let (hidden, tokens) = (self.config.hidden, batch.ids.len());
        self.pass(batch, Rows::All, Mode::Eval, |decoder, cx, work, pass| {
            let (mut states, backend) = (Vec::new(), cx.backend);
            decoder.forward(cx, work, pass, &mut |x| {
                let mut state = vec![0.0; tokens * hidden];
                backend.download(x, 0, &mut state)?;
                states.push(state);
                Ok(())
            })?;
            let mut last = Vec::new();
            decoder.top(cx, work, pass, &mut last)?;
            states.push(last);
            Ok(states)
        })
    }

    /// Forward and backward without dropout: the gradient of scale · Σ loss by the (scaled) embedding's output [T, H].
    /// Parameters accumulate their gradients as in [`Engine::accumulate`].
    ///
    /// # Errors
    /// As [`Engine::accumulate`]; `GradientStops` where nothing in the first layer or the embedding is trained.
    pub fn input_gradient(&mut self, batch: Batch, scale: f32) -> Result<Vec<f32>, ModelError> {
        if self.work.keep.lowest > 0 {
            return Err(ModelError::GradientStops { layer: self.work.keep.lowest });
        }
        let mut out = vec![0.0; batch.ids.len() * self.config.hidden];
        self.pass(batch, Rows::Targets, Mode::Eval, |decoder, cx, work, pass| {
            back(decoder, cx, work, pass, scale, Reach::Input)?;
            if pass.targets > 0 {
                cx.backend.download(&work.shared.d, 0, &mut out)?;
            }
            Ok(out)
        })
    }

    // --- texts -----------------------------------------------------------------------------------

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Calls `f` with memory for the keys and values of as many texts, each with its tokens of the cache in `sizes`, as
    /// `side_by_side` says or memory allows. Where it must, activations that layers keep for passes back make way meanwhile.
    ///
    /// # Errors
    /// `DoesNotFit` where the largest does not; `OutOfMemory`; those of `f`.
    pub(crate) fn with_cache<R>(
        &mut self,
        sizes: &[usize],
        side_by_side: usize,
        f: impl FnOnce(&mut Engine, &mut Cache<Device>, usize) -> Result<R, ModelError>,
    ) -> Result<R, ModelError> {
        let mut largest = sizes.to_vec();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        let (least, wanted) = (largest.first().copied().unwrap_or(0), largest.iter().take(side_by_side).sum::<usize>());
        let token = Cache::token_bytes(&self.decoder).max(1);
        let bytes = |tokens: usize| token.saturating_mul(tokens as u64);
        let mut free = self.memory.limit.saturating_sub(self.memory.total);
        let lends = free < bytes(wanted);
        free += if lends { self.work.lendable() } else { 0 };
        let room = usize::try_from(free / token).unwrap_or(usize::MAX) / CACHE_BLOCK * CACHE_BLOCK;
        if room < least {
            let (need, limit) = (self.memory.limit - free + bytes(least), self.memory.limit);
            let fits = format!("a text of at most {room} tokens, with its prompt, would fit");
            return Err(ModelError::DoesNotFit { need, limit, fits });
        }
        if lends {
            self.work.lend();
        }
        let done = Cache::new(&self.backend, &self.decoder, wanted.min(room))
            .and_then(|mut cache| f(self, &mut cache, side_by_side));
        let back = self.work.take_back(&self.backend);
        let done = done?;
        back.map(|()| done)
    }

    /// Passes prompts, whose keys and values go to `places` of the cache, and shows the logits of each row with a target.
    ///
    /// # Errors
    /// As [`Engine::accumulate`].
    pub(crate) fn read_prompts(
        &mut self,
        batch: Batch,
        cache: &mut [<Device as Backend>::Buf],
        places: &[usize],
        see: &mut See,
    ) -> Result<(), ModelError> {
        self.pass(batch, Rows::Targets, Mode::Eval, |decoder, cx, work, pass| {
            decoder.forward_cached(cx, work, pass, (cache, Visit { places, contexts: None }))?;
            decoder.logits(cx, work, pass, see)
        })
    }

    /// Passes one token of each text, which sees its context in the cache and is the last of it, and shows its logits.
    /// The ids are of the vocabulary, and contexts no longer than examples may be.
    pub(crate) fn write_tokens(
        &mut self,
        ids: &[u32],
        cache: &mut [<Device as Backend>::Buf],
        contexts: &[Range<usize>],
        see: &mut See,
    ) -> Result<(), ModelError> {
        let Engine { backend, decoder, params, scratch, stream, work, .. } = self;
        let pass = batch::stage_tokens(backend, &mut work.index, ids, contexts)?;
        let places: Vec<usize> = contexts.iter().map(|context| context.end - 1).collect();
        let cx = &mut Cx { backend, params, scratch, stream, mode: Mode::Eval, fisher: None };
        decoder.forward_cached(cx, work, pass, (cache, Visit { places: &places, contexts: Some(contexts) }))?;
        decoder.logits(cx, work, pass, see)
    }

    /// Checks and uploads the batch, then runs `f`.
    fn pass<R>(
        &mut self,
        batch: Batch,
        rows: Rows,
        mode: Mode,
        f: impl FnOnce(&Decoder<Device>, &mut Cx<Device>, &mut Workspace<Device>, Pass) -> Result<R, ModelError>,
    ) -> Result<R, ModelError> {
        batch::check(batch, &self.config, &self.limits)?;
        let Engine { backend, decoder, params, scratch, stream, work, fisher, .. } = self;
        let pass = batch::stage(backend, &mut work.index, batch, rows)?;
        let fisher = fisher.as_mut().filter(|sums| sums.of_base());
        f(decoder, &mut Cx { backend, params, scratch, stream, mode, fisher }, work, pass)
    }

    // --- parameters ------------------------------------------------------------------------------

    /// L2 norm over all gradients; infinite or NaN if any is.
    pub fn grad_norm(&mut self) -> Result<f64, ModelError> {
        self.params.grad_norm(&self.backend)
    }

    /// One AdamW update of every parameter (decay only where it applies), then gradients are zeroed.
    pub fn update(&mut self, a: &AdamW) -> Result<(), ModelError> {
        self.params.update(&self.backend, a, None)
    }

    /// As [`Engine::update`], and how much each element matters is measured by the way, where the method asks for it.
    pub fn update_measured(&mut self, a: &AdamW) -> Result<(), ModelError> {
        let smoothing = self.adapter.smoothing(a.grad_scale);
        self.params.update(&self.backend, a, smoothing.as_ref())
    }

    // --- what is not to change -------------------------------------------------------------------

    /// Begins to measure a Fisher; gradients become zero.
    ///
    /// # Errors
    /// The kernels'.
    pub fn begin_fisher(&mut self, of: FisherOf) -> Result<(), ModelError> {
        self.zero_grad()?;
        self.fisher = Some(Sums::new(&self.backend, of, &self.adapter, &self.params)?);
        Ok(())
    }

    /// Adds one example, without dropout: forward and back, and the squares of the gradients of its mean loss per target.
    /// Returns that loss; an example without a target adds nothing. Two examples in one batch would be squared together.
    ///
    /// # Errors
    /// As [`Engine::accumulate`]; `FisherTargets` where there are more than [`Engine::fisher_targets_max`].
    pub fn add_to_fisher(&mut self, batch: Batch) -> Result<f64, ModelError> {
        let targets = batch.targets.iter().filter(|t| **t != IGNORE).count();
        if targets == 0 {
            return Ok(0.0);
        }
        if let Some(max) = self.fisher_targets_max().filter(|max| targets > *max) {
            return Err(ModelError::FisherTargets { targets, max });
        }
        if let Some(sums) = &mut self.fisher {
            sums.begin_sample(&self.backend, batch.ids)?;
        }
        let (reach, scale) = (self.decoder.reach(), (1.0 / targets as f64) as f32);
        let loss = self.pass(batch, Rows::Targets, Mode::Eval, |decoder, cx, work, pass| {
            back(decoder, cx, work, pass, scale, reach)?;
            let losses = download(cx, work, pass)?;
            Ok(losses.iter().map(|l| f64::from(*l)).sum::<f64>() / targets as f64)
        })?;
        if let Some(sums) = &mut self.fisher {
            sums.end_sample(&self.backend, &self.params)?;
        }
        self.zero_grad()?;
        Ok(loss)
    }

    /// The most targets of an example whose base's Fisher is measured: where the head has a low-rank adapter, what it changes
    /// is squared of one chunk of logits. None: any number.
    pub fn fisher_targets_max(&self) -> Option<usize> {
        let of_base = self.fisher.as_ref().is_some_and(Sums::of_base);
        (of_base && self.adapter.adapts_head()).then_some(self.work.logit_rows)
    }

    /// What has been measured since [`Engine::begin_fisher`]; None without it.
    ///
    /// # Errors
    /// The kernels'.
    pub fn end_fisher(&mut self) -> Result<Option<Fisher>, ModelError> {
        self.fisher.take().map(|sums| sums.fisher(&self.backend, &self.params)).transpose()
    }

    /// From now on [`Engine::pull`] holds what `fisher` is of with strength λ, beside what is held already.
    ///
    /// # Errors
    /// `MissingTensor`, `UnknownTensor`, `Shape` where the Fisher is not of what is trained here; those of reading a
    /// layer.
    pub fn hold(&mut self, fisher: &Fisher, lambda: f64) -> Result<(), ModelError> {
        let base = Checkpoint::open(&self.dir)?;
        let Engine { backend, adapter, params, stream, anchors, .. } = self;
        anchors.hold(backend, (fisher, lambda), (adapter, params), stream, &base)
    }

    /// Whether anything is held.
    pub fn holds(&self) -> bool {
        !self.anchors.is_empty()
    }

    /// Nothing is held any more.
    pub fn let_go(&mut self) {
        self.anchors = Anchors::default();
    }

    /// Adds the gradient of (λ/2) Σ F (θ − θ*)² over all that is held, once a step, before [`Engine::grad_norm`]; returns
    /// its value, 0 where nothing is held.
    ///
    /// # Errors
    /// The kernels'; those of reading a layer.
    pub fn pull(&mut self) -> Result<f64, ModelError> {
        self.anchors.pull(&self.backend, &self.adapter, &mut self.params, &mut self.stream)
    }

    // --- ranks -----------------------------------------------------------------------------------

    /// Ranks of all modules at the start, and at the end of a schedule; None where ranks stay.
    pub fn budgets(&self) -> Option<(usize, usize)> {
        self.adapter.budgets()
    }

    /// Adds the gradient of the regulariser that the plan asks for, once a step, before [`Engine::grad_norm`]; returns its
    /// value, less its weight. 0 where there is none.
    pub fn regularise(&mut self) -> Result<f64, ModelError> {
        self.adapter.regularise(&self.backend, &mut self.params)
    }

    /// After [`Engine::update`]: masks ranks as the schedule says. What is masked may grow back before the choice is
    /// settled.
    pub fn allot(&mut self, what: Allotment) -> Result<(), ModelError> {
        self.adapter.allot(&self.backend, &mut self.params, what)
    }

    /// Which ranks of each module the last masking kept; by module. None before the first.
    pub fn kept_ranks(&self) -> Option<BTreeMap<String, Vec<bool>>> {
        self.adapter.kept_ranks()
    }

    /// Goes on from a masking that [`Engine::kept_ranks`] told.
    ///
    /// # Errors
    /// `UnknownTensor`, `Shape` where it is of other modules or ranks.
    pub fn set_kept_ranks(&mut self, kept: &BTreeMap<String, Vec<bool>>) -> Result<(), ModelError> {
        self.adapter.set_kept_ranks(kept)
    }

    /// What adapter_config.json says of the schedule.
    pub fn set_schedule(&mut self, schedule: AdaSchedule) {
        self.adapter.set_schedule(schedule);
    }

    pub fn zero_grad(&mut self) -> Result<(), ModelError> {
        self.params.zero_grad(&self.backend)
    }

    /// Values of every parameter in `params()` order.
    pub fn export(&self, state: State) -> Result<Vec<Tensor>, ModelError> {
        self.params.export(&self.backend, state)
    }

    /// Type and shape of a tensor of the `i`-th parameter in `params()` order; None where it has no such one.
    pub fn held_as(&self, state: State, i: usize) -> Option<(Dtype, Vec<usize>)> {
        self.params.held_as(state, i)
    }

    /// A tensor of the `i`-th parameter in `params()` order, to the last bit.
    ///
    /// # Errors
    /// `MissingTensor` where it has no such one.
    pub fn held(&self, state: State, i: usize) -> Result<Held, ModelError> {
        self.params.held(&self.backend, state, i)
    }

    /// Sets what [`Engine::held`] returned.
    ///
    /// # Errors
    /// `MissingTensor` where it has no such one of this type, `Shape` where the values are not as many as it has.
    pub fn set_held(&mut self, state: State, i: usize, held: &Held) -> Result<(), ModelError> {
        self.params.set_held(&self.backend, state, i, held)
    }

    /// Sets one tensor of every parameter.
    ///
    /// # Errors
    /// Refuses other names and shapes: `UnknownTensor`, `MissingTensor`, `Shape`.
    pub fn import(&mut self, state: State, tensors: &[Tensor]) -> Result<(), ModelError> {
        self.params.import(&self.backend, state, tensors)
    }

    // --- files -----------------------------------------------------------------------------------

    /// The adapter folder's files as PEFT writes them: adapter_config.json and adapter_model.safetensors.
    pub fn adapter_files(&self) -> Vec<AdapterFile<'_>> {
        self.adapter.files(&self.backend, &self.params)
    }

    /// The same adapter as a plain LoRA, exact in every loader, where the method has a form of its own that it can be told
    /// from; else nothing.
    pub fn plain_adapter_files(&self) -> Result<Vec<AdapterFile<'_>>, ModelError> {
        self.adapter.plain_files(&self.backend, &self.params)
    }

    /// What the adapter's folder says of its base; None without an adapter.
    pub fn base_record(&self) -> Option<&BaseRecord> {
        self.adapter.record()
    }

    /// Whether the model itself is trained: what comes out is [`Engine::merged_files`], not an adapter.
    pub fn is_full(&self) -> bool {
        self.adapter.full()
    }

    /// The merged model as files, in the types that the base has, or in `dtype`. Reads the base's files again.
    pub fn merged_files(&self, dtype: Option<Dtype>) -> Result<MergedFiles<'_>, ModelError> {
        MergedFiles::new(self, &self.dir, dtype)
    }

    pub(crate) fn merged_shapes(&self, base: &Checkpoint) -> Result<Vec<MergedShape>, ModelError> {
        self.adapter.merged_shapes(base)
    }

    pub(crate) fn merged_tensor(&self, base: &Checkpoint, name: &str) -> Result<Tensor, ModelError> {
        self.adapter.merged_tensor(&self.backend, &self.params, base, name)
    }

    pub(crate) fn unties(&self) -> bool {
        self.adapter.unties()
    }

    /// Base weights with the adapter folded in, under their Hugging Face names, in f32. Reads the base's files again.
    pub fn merged(&self) -> Result<Vec<Tensor>, ModelError> {
        let mut out = Vec::new();
        self.merge(&mut |tensor| {
            out.push(tensor);
            Ok(())
        })?;
        Ok(out)
    }

    /// As [`Engine::merged`], one tensor at a time.
    pub fn merge(&self, visit: &mut dyn FnMut(Tensor) -> Result<(), ModelError>) -> Result<(), ModelError> {
        let base = Checkpoint::open(&self.dir)?;
        self.merged_shapes(&base)?.iter().try_for_each(|(name, ..)| visit(self.merged_tensor(&base, name)?))
    }
}

/// Forward, losses, and backward as far as `reach` says; nothing at all without a target.
fn back<B: Backend>(
    decoder: &Decoder<B>,
    cx: &mut Cx<B>,
    work: &mut Workspace<B>,
    pass: Pass,
    scale: f32,
    reach: Reach,
) -> Result<(), ModelError> {
    if pass.targets == 0 {
        return Ok(());
    }
    let pass = Pass { back: true, ..pass };
    decoder.forward(cx, work, pass, &mut |_| Ok(()))?;
    decoder.losses_back(cx, work, pass, scale, reach)?;
    decoder.backward(cx, work, pass, reach)
}

/// The losses of a pass's targets.
fn download<'a, B: Backend>(cx: &Cx<B>, work: &'a mut Workspace<B>, pass: Pass) -> Result<&'a [f32], ModelError> {
    let losses = &mut work.index.losses[..pass.targets];
    cx.backend.download(&work.shared.loss, 0, losses)?;
    Ok(losses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::tests::adapters_and_norms;
    use crate::workspace::Acts;

    type Buf = <Device as Backend>::Buf;

    const TOKENS: usize = 11;
    const CU: [usize; 3] = [0, 7, TOKENS];
    /// Of the pass's positions two have a target.
    const TARGETS: usize = 2;

    /// Puts `value` everywhere in what passes write to.
    fn fill(engine: &mut Engine, value: f32) -> Result<(), ModelError> {
        let Engine { backend, work, .. } = engine;
        let filled = &mut |buf: &Buf| -> Result<Buf, ModelError> {
            let len = backend.len(buf);
            let mut new = backend.alloc(len)?;
            backend.fill(&mut new, 0, len, value)?;
            Ok(new)
        };
        work.streams = work.streams.iter().map(&mut *filled).collect::<Result<_, _>>()?;
        work.acts = work.acts.iter().map(|a| a.map(filled)).collect::<Result<_, _>>()?;
        work.shared = work.shared.map(filled)?;
        Ok(())
    }

    /// How many rows differ from `value`, in each buffer that the last layer writes after attention.
    fn written(engine: &Engine, value: f32) -> Vec<usize> {
        let Engine { backend, work, limits, .. } = engine;
        let keep = work.keep;
        let Acts { attn_out, rstd_attn_out, mid, rstd_mid, gate_up, mlp_out, rstd_mlp_out, .. } =
            &work.acts[keep.set(keep.layers - 1)];
        let out = &work.streams[keep.stream(keep.layers)];
        [attn_out, rstd_attn_out, mid, rstd_mid, gate_up, mlp_out, rstd_mlp_out, out]
            .into_iter()
            .filter(|buf| backend.len(buf) > 0)
            .map(|buf| {
                let mut values = vec![0.0; backend.len(buf)];
                backend.download(buf, 0, &mut values).expect("download");
                values.chunks(values.len() / limits.tokens_max).filter(|row| row.iter().any(|v| *v != value)).count()
            })
            .collect()
    }

    /// After attention the last layer writes no row without a target, and no pass reads what another left behind.
    #[test]
    fn rows_without_a_target_end_at_the_last_attention() {
        let limits = Limits {
            tokens_max: 2 * TOKENS,
            seq_len_max: TOKENS,
            memory: Some(1 << 30),
            threads: Some(1),
            precision: Precision::F32,
            quantize: Quantize::None,
            optimizer: Optimizer::AdamW,
            beside: 0,
        };
        let ids: Vec<u32> = (3..).take(TOKENS).collect();
        let mut targets = [IGNORE; TOKENS];
        (targets[4], targets[9]) = (1, 2);
        let (batch, key) = (Batch { ids: &ids, targets: &targets, cu: &CU }, StepKey { seed: 0, step: 1, micro: 0 });
        for family in ["llama", "gemma2", "qwen3"] {
            let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/models")).join(family);
            let mut engine = Engine::load(&dir, &adapters_and_norms(), &limits).expect(family);
            let step = |engine: &mut Engine| {
                engine.zero_grad().expect("zero");
                let loss = engine.accumulate(batch, 1.0, key).expect("accumulate");
                (loss, engine.grad_norm().expect("norm"))
            };
            let (losses, stepped) = (engine.losses(batch).expect("losses"), step(&mut engine));
            // NaN shows what is read; what is computed from it is NaN too, so another value shows what is written.
            for value in [f32::NAN, 7.0] {
                fill(&mut engine, value).expect("memory");
                assert_eq!(engine.losses(batch).expect("losses"), losses, "{family}");
                let forward = written(&engine, value);
                fill(&mut engine, value).expect("memory");
                assert_eq!(step(&mut engine), stepped, "{family}");
                let both = written(&engine, value);
                if value.is_finite() {
                    assert!(forward.iter().chain(&both).all(|n| *n == TARGETS), "{family}: {forward:?} {both:?}");
                }
            }
        }
    }
}
