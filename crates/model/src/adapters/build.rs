//! Turns a checkpoint and a plan into slots, one module at a time, and notices what was left over.

use super::adalora::{RANK_EPS, START};
use super::base::BaseRecord;
use super::dora::{Magnitude, RowNorms};
use super::embedding::{Embedding, EmbeddingLora, Gain};
use super::estimate::{RANK_MAX, layer_of};
use super::init;
use super::load::plan_from;
use super::params::{Layout, Optimizer, ParamId, Params};
use super::pissa::Principal;
use super::slot::{Lora, Matrix, Slot, SlotScratch, Vector, Widths};
use super::state::{Adapted, AdapterState, Whole};
use super::targets::{Kind, Rules};
use super::{AdapterPlan, BiasTraining, InitWeights, LoraPlan, Targets};
use crate::config::EMBEDDING;
use crate::memory::Holding;
use crate::stored::{self, Mold, Source, check_shape};
use crate::stream::{Sources, streams};
use crate::{ModelError, ParamInfo, Quantize};
use half::{bf16, f16};
use kernels::{Backend, Form, Values};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use weights::{Checkpoint, Dtype, Floats, fingerprint, peft};

/// Every saved tensor's name starts with PEFT's two wrappers.
pub(super) const PREFIX: &str = "base_model.model.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    Absent,
    Present,
}

/// Whether the output head uses the embedding's matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tied {
    Yes,
    No,
}

pub struct Builder<'a, B: Backend> {
    backend: &'a B,
    checkpoint: &'a Checkpoint,
    /// The base that `checkpoint` is a copy of in NF4, if it is one.
    copied: Option<Checkpoint>,
    tied: Tied,
    holding: Holding,
    tokens_max: usize,
    optimizer: Optimizer,
    lora: Option<(&'a LoraPlan, Rules<'a>)>,
    /// The tensors to continue from, and what their folder says of them.
    start: Option<(Checkpoint, LoraPlan)>,
    params: Params<B>,
    embedding: Option<(String, Matrix<B>)>,
    used: BTreeSet<String>,
    quantised: BTreeSet<String>,
    modules: Vec<String>,
    adapted: Vec<Adapted<B>>,
    whole: Vec<Whole>,
    widths: Widths,
    streamed: Sources,
    norms: Vec<RowNorms<B>>,
}

/// What `Builder::finish` hands over.
pub struct Built<B: Backend> {
    pub params: Params<B>,
    pub scratch: SlotScratch<B>,
    pub adapter: AdapterState<B>,
    pub streamed: Sources,
}

impl<'a, B: Backend> Builder<'a, B> {
    /// `copied`: the base that the checkpoint is a copy of in NF4, if it is one; `tokens_max`: the most rows a slot will be
    /// given at once; `widths`: as estimated.
    pub fn new(
        backend: &'a B,
        plan: &'a AdapterPlan,
        (checkpoint, copied): (&'a Checkpoint, Option<Checkpoint>),
        (tied, holding): (Tied, Holding),
        (tokens_max, widths): (usize, Widths),
        optimizer: Optimizer,
    ) -> Result<Self, ModelError> {
        let lora = match plan {
            AdapterPlan::None => None,
            AdapterPlan::Lora(p) => Some((p.as_ref(), Rules::new(p)?)),
        };
        let start = match lora.as_ref().and_then(|(p, _)| p.start_from.as_ref()) {
            Some(dir) => Some((peft::open(dir)?.1, plan_from(dir, 0)?)),
            None => None,
        };
        if let Some((LoraPlan { start_from: Some(dir), other_base: false, .. }, _)) = &lora {
            BaseRecord::check(dir, copied.as_ref().unwrap_or(checkpoint))?;
        }
        Ok(Builder {
            backend,
            checkpoint,
            copied,
            tied,
            holding,
            tokens_max,
            optimizer,
            lora,
            start,
            params: Params::default(),
            embedding: None,
            used: BTreeSet::new(),
            quantised: BTreeSet::new(),
            modules: Vec::new(),
            adapted: Vec::new(),
            whole: Vec::new(),
            widths,
            streamed: Sources::default(),
            norms: Vec::new(),
        })
    }

    /// A linear layer `module` with weight [n_out, n_in].
    pub fn slot(&mut self, module: &str, n_out: usize, n_in: usize, bias: Bias) -> Result<Slot<B>, ModelError> {
        let layer = layer_of(module).filter(|l| streams(*l, self.holding.streamed, self.holding.layers));
        if let Some((_, r, scale)) = self.principal_plan(module)? {
            let (weight, principal) = self.principal(module, (n_out, n_in), r, scale)?;
            return self.linear(module, weight, n_out, n_in, bias, Kind::Linear, Some(principal));
        }
        let weight = match layer {
            Some(layer) if !self.saved_whole(module) => self.streamed(layer, module, (n_out, n_in))?,
            _ => self.matrix(module, n_out, n_in, self.holding.quantize)?,
        };
        self.linear(module, weight, n_out, n_in, bias, Kind::Linear, None)
    }

    /// The token embedding [vocab, hidden].
    pub fn embedding(&mut self, module: &str, vocab: usize, hidden: usize) -> Result<Embedding<B>, ModelError> {
        let weight = if self.whole_embedding(module) {
            Matrix::Trained(self.train_whole(module, "weight", &[vocab, hidden])?)
        } else {
            // Only a head multiplies with it.
            let shared = self.tied == Tied::Yes && !self.saved_whole("lm_head");
            let form = if shared { self.holding.form } else { Form::Plain };
            self.frozen(module, (vocab, hidden), form, Quantize::None)?
        };
        self.embedding = Some((module.to_owned(), weight.clone()));
        self.modules.push(module.to_owned());
        let lora = match self.rank(module, Kind::Embedding)? {
            None => None,
            Some((plan, r, scale)) => {
                let (a_name, b_name) = (saved(module, "lora_embedding_A"), saved(module, "lora_embedding_B"));
                let a = self.adapter_param(&a_name, vec![r, vocab], Layout::Transposed, || vec![0.0; r * vocab])?;
                let fresh = || init::embedding_b(plan.seed, &b_name, hidden, r);
                let b = self.adapter_param(&b_name, vec![hidden, r], Layout::AsSaved, fresh)?;
                self.remember(module, Kind::Embedding, &weight, (a, b), (None, None), (r, scale));
                Some(EmbeddingLora { a, b, r, scale: scale as f32, place: init::place(module) })
            }
        };
        Ok(Embedding { weight, lora, hidden })
    }

    /// The output head [vocab, hidden]; with a tied embedding, its matrix.
    pub fn head(&mut self, module: &str, vocab: usize, hidden: usize) -> Result<Slot<B>, ModelError> {
        let weight = match (self.tied, self.embedding.clone()) {
            (Tied::Yes, Some((source, shared))) => self.tied_head(module, &source, shared, vocab, hidden)?,
            _ => self.matrix(module, vocab, hidden, Quantize::None)?,
        };
        self.linear(module, weight, vocab, hidden, Bias::Absent, Kind::Head, None)
    }

    /// A norm's weight [dim].
    pub fn gain(&mut self, module: &str, dim: usize) -> Result<Gain<B>, ModelError> {
        self.modules.push(module.to_owned());
        if self.saved_whole(module) {
            return Ok(Gain(Vector::Trained(self.train_whole(module, "weight", &[dim])?)));
        }
        Ok(Gain(self.frozen_vector(&format!("{module}.weight"), dim)?))
    }

    /// Refuses a checkpoint or an adapter with tensors that nothing asked for, and a plan that names nothing.
    pub fn finish(self) -> Result<Built<B>, ModelError> {
        self.refuse_leftovers()?;
        let plan = self.lora.as_ref().map(|(p, _)| *p);
        if let Some(p) = plan {
            self.refuse_empty(p)?;
        }
        let scratch = SlotScratch::new(self.backend, self.tokens_max, self.widths, self.norms)?;
        let as_stored = self.quantised.is_empty() && self.copied.is_none();
        let quantize = if as_stored { Quantize::None } else { self.holding.quantize };
        let base = self.copied.as_ref().unwrap_or(self.checkpoint);
        let record = match plan {
            Some(plan) if !plan.full => Some(BaseRecord { fingerprint: fingerprint(base)?, quantize }),
            _ => None,
        };
        let mut adapter = AdapterState::new(
            plan.cloned(),
            self.tied,
            self.adapted,
            self.whole,
            self.quantised,
            self.holding.quantize,
        );
        adapter.record = record;
        Ok(Built { params: self.params, scratch, adapter, streamed: self.streamed })
    }

    // --- weights ---------------------------------------------------------------------------------

    fn matrix(&mut self, module: &str, n_out: usize, n_in: usize, quantize: Quantize) -> Result<Matrix<B>, ModelError> {
        if self.saved_whole(module) {
            Ok(Matrix::Trained(self.train_whole(module, "weight", &[n_out, n_in])?))
        } else {
            self.frozen(module, (n_out, n_in), self.holding.form, quantize)
        }
    }

    /// This module's plan, rank and scale, if its adapter begins as a part of its matrix.
    fn principal_plan(&self, module: &str) -> Result<Option<(&'a LoraPlan, usize, f64)>, ModelError> {
        Ok(self.rank(module, Kind::Linear)?.filter(|(plan, ..)| plan.init == InitWeights::Pissa))
    }

    /// The matrix without its largest directions, and those.
    fn principal(
        &mut self,
        module: &str,
        shape: (usize, usize),
        r: usize,
        scale: f64,
    ) -> Result<(Matrix<B>, Principal), ModelError> {
        let name = format!("{module}.weight");
        if self.checkpoint.four_bit(&name)?.is_some() {
            return Err(ModelError::PrincipalInFourBits { module: module.to_owned() });
        }
        let seed = self.lora.as_ref().map_or(0, |(plan, _)| plan.seed);
        let view = self.view(&name, &[shape.0, shape.1])?;
        let (dtype, mut values) = (view.dtype, view.to_f32()?);
        let first = match &self.start {
            None => Principal::of(self.backend, &values, shape, r, scale, (seed, &name))?,
            // A start that was made before: the base is what that leaves of it.
            Some((start, _)) => {
                let tensor = |leaf: &str, shape: [usize; 2]| -> Result<Vec<f32>, ModelError> {
                    let name = saved(module, leaf);
                    let view = start.get(&name)?;
                    check_shape(&name, &shape, view.shape)?;
                    Ok(view.to_f32()?)
                };
                let (a, b) = (tensor("lora_A.weight", [r, shape.1])?, tensor("lora_B.weight", [shape.0, r])?);
                Principal { r, a, b }
            }
        };
        first.take_from(self.backend, &mut values, shape, scale)?;
        // What is left is held as the file would hold it.
        let floats = match dtype {
            Dtype::BF16 => Floats::Bf16(values.iter().map(|v| bf16::from_f32(*v)).collect()),
            Dtype::F16 => Floats::F16(values.iter().map(|v| f16::from_f32(*v)).collect()),
            _ => Floats::F32(values.into()),
        };
        let (form, quantize) = (self.holding.form, self.holding.quantize);
        Ok((self.held(name, shape, &floats, form, quantize)?, first))
    }

    fn streamed(&mut self, layer: usize, module: &str, shape: (usize, usize)) -> Result<Matrix<B>, ModelError> {
        let name = format!("{module}.weight");
        let mold = Mold::read(self.checkpoint, &name, shape, self.holding.precision)?;
        let (source, parts) = Source::read(self.checkpoint, &name)?;
        self.used.extend(parts);
        self.used.insert(name);
        Ok(Matrix::Streamed(self.streamed.add(layer, mold, source)))
    }

    fn frozen(
        &mut self,
        module: &str,
        (rows, cols): (usize, usize),
        form: Form,
        quantize: Quantize,
    ) -> Result<Matrix<B>, ModelError> {
        let name = format!("{module}.weight");
        if let Some(stored) = stored::read(self.checkpoint, &name)? {
            check_shape(&name, &[rows, cols], &stored.shape)?;
            let weight = self.backend.weight(rows, cols, Values::Nf4(&stored.nf4), form)?;
            self.checkpoint.release(&name);
            self.used.extend(stored.parts);
            self.used.insert(name);
            return Ok(Matrix::Frozen(Arc::new(weight)));
        }
        let view = self.view(&name, &[rows, cols])?;
        let floats = view.floats()?;
        self.held(name, (rows, cols), &floats, form, quantize)
    }

    /// A frozen matrix of these values, which are those of the file's tensor `name` or were made of them.
    fn held(
        &mut self,
        name: String,
        (rows, cols): (usize, usize),
        floats: &Floats,
        form: Form,
        quantize: Quantize,
    ) -> Result<Matrix<B>, ModelError> {
        let weight = match quantize {
            Quantize::None => self.backend.weight(rows, cols, stored::values(floats), form)?,
            Quantize::Nf4 { double } => {
                let codes = stored::quantise(&name, floats, double)?;
                self.quantised.insert(name.clone());
                self.backend.weight(rows, cols, Values::Nf4(&codes), form)?
            }
        };
        // The copy is what stays: the file's pages need not be resident beside it.
        self.checkpoint.release(&name);
        self.used.insert(name);
        Ok(Matrix::Frozen(Arc::new(weight)))
    }

    fn frozen_vector(&mut self, name: &str, dim: usize) -> Result<Vector<B>, ModelError> {
        let values = self.view(name, &[dim])?.to_f32()?;
        self.used.insert(name.to_owned());
        let mut buf = self.backend.alloc(dim)?;
        self.backend.upload(&mut buf, 0, &values)?;
        Ok(Vector::Frozen(buf))
    }

    fn view(&self, name: &str, shape: &[usize]) -> Result<weights::View<'a>, ModelError> {
        let view = self.checkpoint.get(name)?;
        check_shape(name, shape, view.shape)?;
        Ok(view)
    }

    /// A tied head shares the embedding's matrix unless PEFT would untie the two: one of them is trained whole
    /// and `ensure_weight_tying` is off.
    fn tied_head(
        &mut self,
        module: &str,
        source: &str,
        shared: Matrix<B>,
        vocab: usize,
        hidden: usize,
    ) -> Result<Matrix<B>, ModelError> {
        let (head_whole, source_whole) = (self.saved_whole(module), self.saved_whole(source));
        match &shared {
            Matrix::Trained(id) if self.ensure_tying() => {
                let id = *id;
                if let Some(w) = self.whole.iter_mut().find(|w| w.id == id) {
                    w.names.push(saved(module, "weight"));
                }
                Ok(shared)
            }
            _ if head_whole => {
                let values = self.view(&format!("{source}.weight"), &[vocab, hidden])?.to_f32()?;
                Ok(Matrix::Trained(self.train(module, "weight", &[vocab, hidden], values.into())?))
            }
            _ if source_whole => self.frozen(source, (vocab, hidden), self.holding.form, Quantize::None),
            _ => Ok(shared),
        }
    }

    // --- what is trained -------------------------------------------------------------------------

    fn linear(
        &mut self,
        module: &str,
        weight: Matrix<B>,
        n_out: usize,
        n_in: usize,
        bias: Bias,
        kind: Kind,
        principal: Option<Principal>,
    ) -> Result<Slot<B>, ModelError> {
        self.modules.push(module.to_owned());
        let rank = self.rank(module, kind)?;
        let bias = match bias {
            Bias::Absent => None,
            Bias::Present => Some(self.bias(module, n_out, rank.is_some())?),
        };
        let lora = match rank {
            None => None,
            Some((plan, r, scale)) if plan.ada.is_some() => {
                Some(self.budgeted(module, kind, &weight, plan, (r, scale), (n_out, n_in))?)
            }
            Some((plan, r, scale)) => {
                let (a_name, b_name) = (saved(module, "lora_A.weight"), saved(module, "lora_B.weight"));
                let first = principal.as_ref();
                let fresh =
                    || first.map_or_else(|| init::linear_a(plan.init, plan.seed, &a_name, r, n_in), |p| p.a.clone());
                let a = self.adapter_param(&a_name, vec![r, n_in], Layout::AsSaved, fresh)?;
                let fresh = || first.map_or_else(|| vec![0.0; n_out * r], |p| p.b.clone());
                let b = self.adapter_param(&b_name, vec![n_out, r], Layout::AsSaved, fresh)?;
                let magnitude = if plan.dora { Some(self.magnitude(module, &weight, (n_out, n_in))?) } else { None };
                self.remember(module, kind, &weight, (a, b), (magnitude.map(|m| m.m), None), (r, scale));
                if let Some(adapted) = self.adapted.last_mut() {
                    adapted.principal = principal;
                }
                let dropout = plan.dropout as f32;
                Some(Lora { a, b, r, scale: scale as f32, dropout, place: init::place(module), magnitude, e: None })
            }
        };
        Ok(Slot { weight, bias, lora, n_in, n_out })
    }

    /// AdaLoRA's A, E and B of a module.
    fn budgeted(
        &mut self,
        module: &str,
        kind: Kind,
        weight: &Matrix<B>,
        plan: &LoraPlan,
        (r, scale): (usize, f64),
        (n_out, n_in): (usize, usize),
    ) -> Result<Lora, ModelError> {
        let [a_name, e_name, b_name] = ["lora_A", "lora_E", "lora_B"].map(|leaf| saved(module, leaf));
        let normal = |name: &str, len: usize| init::normal(plan.seed, name, len, START);
        let a = self.adapter_param(&a_name, vec![r, n_in], Layout::AsSaved, || normal(&a_name, r * n_in))?;
        let e = self.adapter_param(&e_name, vec![r, 1], Layout::AsSaved, || vec![0.0; r])?;
        let b = self.adapter_param(&b_name, vec![n_out, r], Layout::AsSaved, || normal(&b_name, n_out * r))?;
        for id in [a, e, b] {
            self.params.score(self.backend, id)?;
        }
        let scale = scale * r as f64 / (r as f64 + RANK_EPS);
        self.remember(module, kind, weight, (a, b), (None, Some(e)), (r, scale));
        let (dropout, place) = (plan.dropout as f32, init::place(module));
        Ok(Lora { a, b, r, scale: scale as f32, dropout, place, magnitude: None, e: Some(e) })
    }

    /// Rows' norms of a matrix, where its magnitude begins.
    fn magnitude(
        &mut self,
        module: &str,
        weight: &Matrix<B>,
        (n_out, n_in): (usize, usize),
    ) -> Result<Magnitude, ModelError> {
        let norms = match weight {
            Matrix::Frozen(w) => RowNorms::new(self.backend, w, n_out)?,
            // Read once more when its turn comes.
            _ => match self.frozen(module, (n_out, n_in), Form::Plain, Quantize::None)? {
                Matrix::Frozen(w) => RowNorms::new(self.backend, &w, n_out)?,
                _ => unreachable!("a matrix is frozen where it has an adapter"),
            },
        };
        let name = saved(module, "lora_magnitude_vector");
        let backend = self.backend;
        let fresh = norms.of_base(backend)?;
        let m = self.adapter_param(&name, vec![n_out], Layout::AsSaved, || fresh)?;
        self.norms.push(norms);
        Ok(Magnitude { m, norms: self.norms.len() - 1 })
    }

    fn bias(&mut self, module: &str, dim: usize, adapted: bool) -> Result<Vector<B>, ModelError> {
        let trained = self.saved_whole(module)
            || match self.lora.as_ref().map_or(BiasTraining::None, |(p, _)| p.bias) {
                BiasTraining::None => false,
                BiasTraining::All => true,
                BiasTraining::LoraOnly => adapted,
            };
        if !trained {
            return self.frozen_vector(&format!("{module}.bias"), dim);
        }
        let leaf = if adapted { "base_layer.bias" } else { "bias" };
        let values = self.view(&format!("{module}.bias"), &[dim])?.to_f32()?;
        self.used.insert(format!("{module}.bias"));
        Ok(Vector::Trained(self.train(module, leaf, &[dim], values.into())?))
    }

    /// This module's plan, rank and scale, if it gets an adapter.
    fn rank(&self, module: &str, kind: Kind) -> Result<Option<(&'a LoraPlan, usize, f64)>, ModelError> {
        let Some((plan, rules)) = &self.lora else { return Ok(None) };
        if !rules.targeted(module, kind)? {
            return Ok(None);
        }
        let (r, scale) = rules.rank_and_scale(module)?;
        if r == 0 || r > RANK_MAX {
            return Err(ModelError::Rank { module: module.to_owned(), r, max: RANK_MAX });
        }
        Ok(Some((*plan, r, scale)))
    }

    fn saved_whole(&self, module: &str) -> bool {
        self.lora.as_ref().is_some_and(|(_, rules)| rules.saved_whole(module))
    }

    fn ensure_tying(&self) -> bool {
        self.tied == Tied::Yes && self.lora.as_ref().is_some_and(|(p, _)| p.ensure_weight_tying)
    }

    fn whole_embedding(&self, module: &str) -> bool {
        self.saved_whole(module) || (self.ensure_tying() && self.saved_whole("lm_head"))
    }

    fn train_whole(&mut self, module: &str, leaf: &str, shape: &[usize]) -> Result<ParamId, ModelError> {
        let name = format!("{module}.{leaf}");
        let values = self.view(&name, shape)?.to_f32()?;
        self.used.insert(name);
        self.train(module, leaf, shape, values.into())
    }

    /// A base tensor that is trained itself; it continues from the start adapter's copy where there is one.
    fn train(
        &mut self,
        module: &str,
        leaf: &str,
        shape: &[usize],
        base: Cow<'_, [f32]>,
    ) -> Result<ParamId, ModelError> {
        let name = saved(module, leaf);
        let id = self.adapter_param(&name, shape.to_vec(), Layout::AsSaved, || base.into_owned())?;
        let tensor = format!("{module}.{}", leaf.trim_start_matches("base_layer."));
        self.whole.push(Whole { id, names: vec![name], tensor });
        Ok(id)
    }

    fn adapter_param(
        &mut self,
        name: &str,
        shape: Vec<usize>,
        layout: Layout,
        fresh: impl FnOnce() -> Vec<f32>,
    ) -> Result<ParamId, ModelError> {
        let values = match &self.start {
            None => fresh(),
            Some((start, _)) => {
                let view = start.get(name)?;
                check_shape(name, &shape, view.shape)?;
                view.to_f32()?
            }
        };
        // LoRA+ (Hayou et al. 2024), as PEFT applies it: B and vectors.
        let faster = name.contains("lora_B") || shape.len() == 1;
        let ratio = self.lora.as_ref().map_or(1.0, |(plan, _)| plan.lr_ratio);
        let rate = if faster { ratio as f32 } else { 1.0 };
        let info = ParamInfo { name: name.to_owned(), shape, decays: decays(name), rate };
        let in_eight_bits = self.optimizer.in_eight_bits(values.len(), name == saved(EMBEDDING, "weight"));
        self.params.add(self.backend, info, layout, &values, in_eight_bits)
    }

    fn remember(
        &mut self,
        module: &str,
        kind: Kind,
        weight: &Matrix<B>,
        (a, b): (ParamId, ParamId),
        (magnitude, e): (Option<ParamId>, Option<ParamId>),
        (r, scale): (usize, f64),
    ) {
        let base = match (kind, weight) {
            // PEFT saves the base of an adapted embedding or head beside the adapter.
            (Kind::Embedding | Kind::Head, Matrix::Frozen(w)) => Some(Arc::clone(w)),
            _ => None,
        };
        let module = module.to_owned();
        self.adapted.push(Adapted {
            module,
            kind,
            a,
            b,
            r,
            scale,
            magnitude,
            e,
            principal: None,
            base,
            matrix: weight.clone(),
        });
    }

    // --- refusals --------------------------------------------------------------------------------

    fn refuse_leftovers(&self) -> Result<(), ModelError> {
        for name in self.checkpoint.names() {
            // Buffers that old exporters wrote, and the second name of a tied matrix.
            let known = name.ends_with("rotary_emb.inv_freq") || (self.tied == Tied::Yes && name == "lm_head.weight");
            if !known && !self.used.contains(name) {
                return Err(ModelError::UnknownTensor { tensor: name.to_owned() });
            }
        }
        let (Some((start, was)), Some((plan, _))) = (&self.start, &self.lora) else { return Ok(()) };
        let adapter = plan.start_from.clone().unwrap_or_default();
        self.refuse_other_scale(was, &adapter)?;
        for name in start.names() {
            if self.params.iter().any(|p| p.info.name == *name)
                || self.whole.iter().any(|w| w.names.iter().any(|n| n == name))
            {
                continue;
            }
            let Some(module) = name.strip_prefix(PREFIX).and_then(|n| n.strip_suffix(".base_layer.weight")) else {
                return Err(ModelError::UnknownTensor { tensor: name.to_owned() });
            };
            self.refuse_other_base(start, name, module, &adapter)?;
        }
        Ok(())
    }

    /// The same tensors under another alpha would be another adapter.
    fn refuse_other_scale(&self, was: &LoraPlan, adapter: &std::path::Path) -> Result<(), ModelError> {
        let rules = Rules::new(was)?;
        for a in &self.adapted {
            let (r, mut old) = rules.rank_and_scale(&a.module)?;
            if a.e.is_some() {
                old *= r as f64 / (r as f64 + RANK_EPS);
            }
            if old != a.scale {
                let what = format!(
                    "going on with scale {} where its files say {old} ({}; leave out adapter.alpha, alpha_pattern and rslora)",
                    a.scale, a.module
                );
                return Err(ModelError::UnsupportedAdapter { adapter: adapter.to_owned(), what });
            }
        }
        Ok(())
    }

    /// An adapter that carries a copy of its base's matrix must have been trained on this base.
    fn refuse_other_base(
        &self,
        start: &Checkpoint,
        name: &str,
        module: &str,
        adapter: &std::path::Path,
    ) -> Result<(), ModelError> {
        let other = || ModelError::OtherBase { adapter: adapter.to_owned(), tensor: format!("{module}.weight") };
        let a = self.adapted.iter().find(|a| a.module == module).ok_or_else(other)?;
        let base = a.base.as_ref().ok_or_else(other)?;
        // Held in bf16, this base is a rounded one: the copy is compared as it would be held.
        let (copy, held) = (start.get(name)?.to_f32()?, self.backend.weight_values(base)?);
        let copy = self.backend.weight(1, copy.len(), Values::F32(&copy), Form::Plain)?;
        if self.backend.weight_values(&copy)? == held { Ok(()) } else { Err(other()) }
    }

    fn refuse_empty(&self, plan: &LoraPlan) -> Result<(), ModelError> {
        let listed =
            || self.modules.iter().map(|m| leaf(m)).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ");
        if self.adapted.is_empty() && self.whole.is_empty() {
            let targets = match &plan.targets {
                Targets::AllLinear => "all-linear".to_owned(),
                Targets::Names(n) => n.join(", "),
                Targets::Regex(r) => format!("the regular expression `{r}`"),
            };
            return Err(ModelError::NothingTargeted { targets, modules: listed() });
        }
        let nothing =
            |field, name: &str| ModelError::NameMatchesNothing { field, name: name.to_owned(), modules: listed() };
        for m in &plan.modules_to_save {
            let hit = self.modules.iter().any(|module| ancestors(module).any(|path| path.ends_with(m.as_str())));
            if !hit {
                return Err(nothing("modules_to_save", m));
            }
        }
        if let Targets::Names(names) = &plan.targets {
            for n in names {
                let means = |name: &str, m: &str| m == name || m.ends_with(&format!(".{name}"));
                let excluded = |m: &str| plan.exclude.iter().any(|e| means(e, m));
                let hit = |m: &str| means(n, m) && (self.adapted.iter().any(|a| a.module == m) || excluded(m));
                if !self.modules.iter().any(|m| hit(m)) {
                    return Err(nothing("targets", n));
                }
            }
        }
        Ok(())
    }
}

/// PEFT's name of a module's tensor.
fn saved(module: &str, leaf: &str) -> String {
    format!("{PREFIX}{module}.{leaf}")
}

fn leaf(module: &str) -> &str {
    module.rsplit_once('.').map_or(module, |(_, name)| name)
}

/// `a.b.c`, `a.b`, `a`
fn ancestors(module: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(module), |p| p.rsplit_once('.').map(|(parent, _)| parent))
}

/// Trainer's rule (`get_decay_parameter_names`): no decay for biases and norm weights, told by their names.
fn decays(name: &str) -> bool {
    let name = name.to_lowercase();
    let is_norm = |part: &str| part == "norm" || part.ends_with("_norm");
    !(name.contains("bias") || name.contains("layernorm") || name.contains("rmsnorm") || name.split('.').any(is_norm))
}

#[cfg(test)]
mod tests {
    use super::decays;

    #[test]
    fn decay_follows_the_trainers_names() {
        for (name, expect) in [
            ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", true),
            ("base_model.model.model.embed_tokens.lora_embedding_A", true),
            ("base_model.model.model.layers.0.self_attn.q_proj.base_layer.bias", false),
            ("base_model.model.model.layers.0.input_layernorm.weight", false),
            ("base_model.model.model.layers.0.self_attn.q_norm.weight", false),
            ("base_model.model.model.norm.weight", false),
            ("base_model.model.model.embed_tokens.weight", true),
        ] {
            assert_eq!(decays(name), expect, "{name}");
        }
    }
}
