//! What an adapter is besides its tensors: the files that PEFT reads, and its sum with the base.

use super::adalora::{self, AdaSchedule, Allotment};
use super::build::{PREFIX, Tied};
use super::dora::scaled_rows;
use super::params::{Param, ParamId, Params};
use super::slot::product;
use super::targets::{Kind, Rules, written_targets};
use super::{AdaPlan, BiasTraining, InitWeights, LoraPlan};
use crate::{ModelError, Quantize, Tensor, stored};
use kernels::{Backend, Gemm, Nf4, Op, Smoothing, Values, mat, mat_mut};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;
use weights::{Checkpoint, Dtype, peft::AdapterConfig};

/// Regex → value, in order.
type Patterns<T> = Vec<(String, T)>;

/// A module with a low-rank adapter.
pub(super) struct Adapted<B: Backend> {
    pub module: String,
    pub kind: Kind,
    pub a: ParamId,
    pub b: ParamId,
    pub r: usize,
    pub scale: f64,
    /// DoRA's
    pub magnitude: Option<ParamId>,
    /// AdaLoRA's
    pub e: Option<ParamId>,
    /// The frozen base of an embedding or head, which is saved too.
    pub base: Option<Arc<B::Weight>>,
}

/// A base tensor that is trained as a whole.
pub(super) struct Whole {
    pub id: ParamId,
    /// Under which names it is saved (two for a tied matrix).
    pub names: Vec<String>,
    /// The base tensor it replaces.
    pub tensor: String,
}

type Writing<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + 'a;

/// One file of an adapter's folder, as PEFT writes it.
pub struct AdapterFile<'a> {
    pub name: &'static str,
    content: Box<Writing<'a>>,
}

impl AdapterFile<'_> {
    /// Writes it, with one tensor in memory at a time.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        (self.content)(out)
    }
}

/// Ranks that vLLM has kernels for.
const LOADED_RANKS: [usize; 9] = [1, 8, 16, 32, 64, 128, 256, 320, 512];

/// Where a tensor has its ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Rows = 0,
    Columns = 1,
}

impl Side {
    /// Without the ranks that are not kept.
    fn pruned(self, values: &[f32], kept: &[bool]) -> Vec<f32> {
        match self {
            Side::Rows => {
                let rows = values.chunks_exact((values.len() / kept.len().max(1)).max(1));
                rows.zip(kept).filter(|(_, kept)| **kept).flat_map(|(row, _)| row.iter().copied()).collect()
            }
            Side::Columns => {
                let row = |row: &[f32]| row.iter().zip(kept).filter(|(_, k)| **k).map(|(v, _)| *v).collect::<Vec<_>>();
                values.chunks_exact(kept.len()).flat_map(row).collect()
            }
        }
    }
}

/// Name, shape, and type where the base has it in one, of a merged model's tensor.
pub type MergedShape = (String, Vec<usize>, Option<Dtype>);

/// Where a saved tensor's values are.
enum Saved<'a, B: Backend> {
    Param(ParamId),
    Base(&'a B::Weight),
}

pub struct AdapterState<B: Backend> {
    plan: Option<LoraPlan>,
    tied: Tied,
    adapted: Vec<Adapted<B>>,
    whole: Vec<Whole>,
    /// The base's tensors that are held quantised, and how.
    quantised: BTreeSet<String>,
    quantize: Quantize,
    /// AdaLoRA's ranks that the last masking kept, of each adapted module, and its schedule.
    kept: Option<Vec<Vec<bool>>>,
    schedule: Option<AdaSchedule>,
}

impl<B: Backend> AdapterState<B> {
    pub(super) fn new(
        plan: Option<LoraPlan>,
        tied: Tied,
        adapted: Vec<Adapted<B>>,
        whole: Vec<Whole>,
        quantised: BTreeSet<String>,
        quantize: Quantize,
    ) -> Self {
        AdapterState { plan, tied, adapted, whole, quantised, quantize, kept: None, schedule: None }
    }

    /// Whether the model itself is trained, and what comes out is one.
    pub fn full(&self) -> bool {
        self.plan.as_ref().is_some_and(|p| p.full)
    }

    /// Modules with a low-rank adapter, in the order they were built.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.adapted.iter().map(|a| a.module.as_str())
    }

    // --- ranks -----------------------------------------------------------------------------------

    fn ada(&self) -> Option<&AdaPlan> {
        self.plan.as_ref().and_then(|p| p.ada.as_ref())
    }

    pub fn set_schedule(&mut self, schedule: AdaSchedule) {
        self.schedule = Some(schedule);
    }

    /// How importance is smoothed in an update.
    pub fn smoothing(&self, grad_scale: f32) -> Option<Smoothing> {
        let ada = self.ada()?;
        Some(Smoothing { beta1: ada.beta1 as f32, beta2: ada.beta2 as f32, grad_scale })
    }

    pub fn budgets(&self) -> Option<(usize, usize)> {
        let ada = self.ada()?;
        let ranks = self.adapted.iter().filter(|a| a.e.is_some());
        Some((ranks.clone().map(|a| a.r).sum(), ranks.count() * ada.target_r))
    }

    pub fn regularise(&self, backend: &B, params: &mut Params<B>) -> Result<f64, ModelError> {
        match self.ada() {
            None => Ok(0.0),
            Some(ada) => adalora::regularise(backend, params, &self.adapted, ada.orthogonality),
        }
    }

    pub fn allot(&mut self, backend: &B, params: &mut Params<B>, what: Allotment) -> Result<(), ModelError> {
        let budget = match what {
            Allotment::Measure { budget } => budget,
            Allotment::Settle { budget } => Some(budget),
            Allotment::Keep => None,
        };
        if let Some(budget) = budget {
            self.kept = Some(adalora::choose(&adalora::scores(backend, params, &self.adapted)?, budget));
        } else if what != Allotment::Keep {
            return Ok(());
        }
        match &self.kept {
            Some(kept) => adalora::mask(backend, params, &self.adapted, kept),
            None => Ok(()),
        }
    }

    pub fn kept_ranks(&self) -> Option<BTreeMap<String, Vec<bool>>> {
        let kept = self.kept.as_ref()?;
        Some(self.budgeted().map(|a| a.module.clone()).zip(kept.iter().cloned()).collect())
    }

    pub fn set_kept_ranks(&mut self, kept: &BTreeMap<String, Vec<bool>>) -> Result<(), ModelError> {
        let of = |a: &Adapted<B>| match kept.get(&a.module) {
            None => Err(ModelError::MissingTensor { tensor: a.module.clone() }),
            Some(k) if k.len() != a.r => {
                Err(ModelError::Shape { tensor: a.module.clone(), expected: vec![a.r], got: vec![k.len()] })
            }
            Some(k) => Ok(k.clone()),
        };
        self.kept = Some(self.budgeted().map(of).collect::<Result<_, _>>()?);
        Ok(())
    }

    /// The modules whose ranks are masked.
    fn budgeted(&self) -> impl Iterator<Item = &Adapted<B>> {
        self.adapted.iter().filter(|a| a.e.is_some())
    }

    /// Of a saved tensor of such a module: its side, and the ranks that are saved. None: all.
    fn pruned(&self, id: ParamId) -> Option<(Side, &[bool])> {
        let kept = self.kept.as_ref()?;
        self.budgeted().zip(kept).find_map(|(a, kept)| match id {
            _ if id == a.a || Some(id) == a.e => Some((Side::Rows, kept.as_slice())),
            _ if id == a.b => Some((Side::Columns, kept.as_slice())),
            _ => None,
        })
    }

    // --- files -----------------------------------------------------------------------------------

    /// `adapter_config.json` and `adapter_model.safetensors`; nothing without an adapter.
    pub fn files<'a>(&'a self, backend: &'a B, params: &'a Params<B>) -> Vec<AdapterFile<'a>> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let config = move |out: &mut dyn Write| out.write_all(self.config(plan).to_json().as_bytes());
        let tensors = move |out: &mut dyn Write| {
            let tensors = self.tensors(params);
            let names: Vec<_> = tensors.iter().map(|(name, shape, _)| (name.clone(), shape.clone())).collect();
            let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
            weights::write_safetensors_with(out, &names, &metadata, &mut |i| {
                let values = match &tensors[i].2 {
                    Saved::Param(id) => params.get(*id).values(backend).map(|v| match self.pruned(*id) {
                        None => v,
                        Some((side, kept)) => side.pruned(&v, kept),
                    }),
                    Saved::Base(weight) => Ok(backend.weight_values(weight).map_err(io::Error::other)?),
                };
                Ok(values.map_err(io::Error::other)?.into())
            })
        };
        vec![
            AdapterFile { name: weights::peft::CONFIG_FILE, content: Box::new(config) },
            AdapterFile { name: weights::peft::TENSORS_FILE, content: Box::new(tensors) },
        ]
    }

    /// AdaLoRA's adapter as a LoRA with E and the scale in B: each module has the same rank, the smallest that loaders
    /// take, filled up with zeros, and alpha is that rank.
    pub fn plain_files<'a>(
        &'a self,
        backend: &'a B,
        params: &'a Params<B>,
    ) -> Result<Vec<AdapterFile<'a>>, ModelError> {
        let Some(plan) = self.plan.as_ref().filter(|p| p.ada.is_some()) else { return Ok(Vec::new()) };
        let mut ranks = Vec::new();
        for (i, a) in self.budgeted().enumerate() {
            let e = a.e.map(|e| params.get(e).values(backend)).transpose()?.unwrap_or_default();
            let kept = |p: usize| self.kept.as_ref().is_none_or(|kept| kept[i][p]);
            ranks.push((a, (0..a.r).filter(|p| kept(*p)).map(|p| (p, e[p] * a.scale as f32)).collect::<Vec<_>>()));
        }
        let most = ranks.iter().map(|(_, r)| r.len()).max().unwrap_or(0);
        let r = LOADED_RANKS.into_iter().find(|r| *r >= most).unwrap_or(most);
        let config = move |out: &mut dyn Write| {
            let plain = LoraPlan { r, alpha: r as f64, rslora: false, ada: None, ..plan.clone() };
            out.write_all(self.config(&plain).to_json().as_bytes())
        };
        let tensors = move |out: &mut dyn Write| {
            let mut list = Vec::new();
            for (name, shape, saved) in self.tensors(params) {
                let Saved::Param(id) = saved else { continue };
                match ranks.iter().position(|(a, _)| id == a.a || id == a.b || Some(id) == a.e) {
                    None => list.push((name, shape, (id, None))),
                    Some(i) if id == ranks[i].0.a => {
                        list.push((format!("{name}.weight"), vec![r, shape[1]], (id, Some(i))))
                    }
                    Some(i) if id == ranks[i].0.b => {
                        list.push((format!("{name}.weight"), vec![shape[0], r], (id, Some(i))))
                    }
                    Some(_) => {}
                }
            }
            let names: Vec<_> = list.iter().map(|(name, shape, _)| (name.clone(), shape.clone())).collect();
            let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
            weights::write_safetensors_with(out, &names, &metadata, &mut |n| {
                let (_, shape, (id, module)) = &list[n];
                let values = params.get(*id).values(backend).map_err(io::Error::other)?;
                let Some((a, kept)) = module.map(|i| &ranks[i]) else { return Ok(values.into()) };
                let mut plain = vec![0.0; shape[0] * shape[1]];
                for (q, (p, scale)) in kept.iter().enumerate() {
                    if *id == a.a {
                        plain[q * shape[1]..][..shape[1]].copy_from_slice(&values[p * shape[1]..][..shape[1]]);
                    } else {
                        (0..shape[0]).for_each(|j| plain[j * r + q] = scale * values[j * a.r + p]);
                    }
                }
                Ok(plain.into())
            })
        };
        Ok(vec![
            AdapterFile { name: weights::peft::CONFIG_FILE, content: Box::new(config) },
            AdapterFile { name: weights::peft::TENSORS_FILE, content: Box::new(tensors) },
        ])
    }

    /// Every tensor that PEFT saves, with its shape: parameters, a tied matrix's second name, the base of an adapted
    /// embedding or head.
    fn tensors(&self, params: &Params<B>) -> Vec<(String, Vec<usize>, Saved<'_, B>)> {
        let mut out: Vec<_> = params
            .ids()
            .map(|id| {
                let info = &params.get(id).info;
                let mut shape = info.shape.clone();
                if let Some((side, kept)) = self.pruned(id) {
                    shape[side as usize] = kept.iter().filter(|k| **k).count();
                }
                (info.name.clone(), shape, Saved::Param(id))
            })
            .collect();
        for w in &self.whole {
            let shape = &params.get(w.id).info.shape;
            out.extend(w.names[1..].iter().map(|name| (name.clone(), shape.clone(), Saved::Param(w.id))));
        }
        for a in &self.adapted {
            let Some(base) = &a.base else { continue };
            let name = format!("{PREFIX}{}.base_layer.weight", a.module);
            out.push((name, base_shape(a, params).to_vec(), Saved::Base(base.as_ref())));
        }
        out
    }

    fn config(&self, plan: &LoraPlan) -> AdapterConfig {
        let chosen: Vec<String> = self.adapted.iter().map(|a| a.module.clone()).collect();
        let mut saved = plan.modules_to_save.clone();
        let one_matrix = self.whole.iter().any(|w| w.names.len() > 1);
        if one_matrix {
            saved.push("model.embed_tokens".to_owned());
            saved.sort();
            saved.dedup();
        }
        let list = |names: &[String]| (!names.is_empty()).then(|| names.to_vec());
        let budgeted = self.budgeted().next().is_some();
        let (ranks, alphas) = if budgeted { Default::default() } else { self.written_patterns(plan) };
        let (peft_type, r, other) = match &plan.ada {
            None => (AdapterConfig::default().peft_type, plan.r, serde_json::Map::new()),
            // Its rank has a name of its own there.
            Some(ada) => (weights::peft::ADALORA.to_owned(), AdapterConfig::default().r, self.ada_fields(plan, ada)),
        };
        AdapterConfig {
            peft_type,
            other,
            base_model_name_or_path: Some(plan.base_name.clone()),
            r,
            lora_alpha: plan.alpha,
            lora_dropout: plan.dropout,
            target_modules: Some(written_targets(plan, &chosen)),
            exclude_modules: list(&plan.exclude).map(Into::into),
            modules_to_save: list(&saved),
            bias: match plan.bias {
                BiasTraining::None => "none",
                BiasTraining::All => "all",
                BiasTraining::LoraOnly => "lora_only",
            }
            .to_owned(),
            init_lora_weights: match plan.init {
                InitWeights::Kaiming => true.into(),
                InitWeights::Gaussian => "gaussian".into(),
            },
            layers_to_transform: plan.layers.clone().map(Into::into),
            rank_pattern: ranks.into_iter().map(|(k, v)| (k, v.into())).collect(),
            alpha_pattern: alphas.into_iter().map(|(k, v)| (k, number(v))).collect(),
            use_rslora: plan.rslora,
            use_dora: plan.dora,
            // Written only where it acts, as PEFT has it.
            ensure_weight_tying: one_matrix,
            ..AdapterConfig::default()
        }
    }

    /// What AdaLoRA's adapter_config.json has beside LoRA's.
    fn ada_fields(&self, plan: &LoraPlan, ada: &AdaPlan) -> serde_json::Map<String, serde_json::Value> {
        let pattern = self.kept_ranks().map(|kept| {
            kept.into_iter()
                .map(|(module, kept)| (format!("{module}.lora_E"), kept.into()))
                .collect::<serde_json::Map<_, _>>()
        });
        let schedule = self.schedule;
        let steps = |of: fn(&AdaSchedule) -> u64| schedule.as_ref().map_or(0, of).into();
        [
            ("rank_pattern", pattern.map_or(serde_json::Value::Null, Into::into)),
            ("target_r", ada.target_r.into()),
            ("init_r", plan.r.into()),
            ("tinit", steps(|s| s.warmup)),
            ("tfinal", steps(|s| s.last)),
            ("deltaT", steps(|s| s.every)),
            ("total_step", steps(|s| s.steps)),
            ("beta1", number(ada.beta1)),
            ("beta2", number(ada.beta2)),
            ("orth_reg_weight", number(ada.orthogonality)),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// The patterns as they can be written. PEFT's files sort their keys, and the first match counts: where sorting
    /// would change a module's rank or scale, every module is named in full instead.
    fn written_patterns(&self, plan: &LoraPlan) -> (Patterns<usize>, Patterns<f64>) {
        let mut by_key = plan.clone();
        by_key.rank_pattern.sort_by(|x, y| x.0.cmp(&y.0));
        by_key.alpha_pattern.sort_by(|x, y| x.0.cmp(&y.0));
        let same = Rules::new(&by_key).is_ok_and(|rules| {
            self.adapted.iter().all(|a| rules.rank_and_scale(&a.module).is_ok_and(|(r, s)| (r, s) == (a.r, a.scale)))
        });
        if same {
            return (by_key.rank_pattern, by_key.alpha_pattern);
        }
        let name = |a: &Adapted<B>| a.module.replace('.', r"\.");
        let alpha = |a: &Adapted<B>| a.scale * if plan.rslora { (a.r as f64).sqrt() } else { a.r as f64 };
        (
            self.adapted.iter().map(|a| (name(a), a.r)).collect(),
            self.adapted.iter().map(|a| (name(a), alpha(a))).collect(),
        )
    }

    /// Every tensor of the base under its Hugging Face name, with its shape and, where it is not in 4 bits, its type; and a
    /// head that merging makes.
    pub fn merged_shapes(&self, base: &Checkpoint) -> Result<Vec<MergedShape>, ModelError> {
        let part = |name: &&str| weights::four_bit_owner(name).is_some_and(|owner| base.contains(owner));
        let mut names: Vec<String> = base.names().filter(|name| !part(name)).map(ToOwned::to_owned).collect();
        if self.unties() && !base.contains("lm_head.weight") {
            names.push("lm_head.weight".to_owned());
        }
        let of = |name: String| {
            let source = source_of(base, &name);
            let (shape, dtype) = match base.four_bit(source)? {
                Some(found) => (found.shape, None),
                None => base.get(source).map(|view| (view.shape.to_vec(), Some(view.dtype)))?,
            };
            Ok((name, shape, dtype))
        };
        names.into_iter().map(of).collect()
    }

    /// One of [`AdapterState::merged_shapes`] with the adapter folded in, in f32. Of a quantised tensor the values are those
    /// that the adapter was trained on.
    pub fn merged_tensor(
        &self,
        backend: &B,
        params: &Params<B>,
        base: &Checkpoint,
        name: &str,
    ) -> Result<Tensor, ModelError> {
        let (shape, held) = self.held(base, source_of(base, name))?;
        let values = match self.whole.iter().find(|w| self.replaces(w, name)) {
            Some(w) => params.get(w.id).values(backend)?,
            None => self.folded(backend, params, name, held)?,
        };
        Ok(Tensor { name: name.to_owned(), shape, values })
    }

    /// A tensor's shape, and its values as they are after it was quantised, if it was.
    fn held(&self, base: &Checkpoint, name: &str) -> Result<(Vec<usize>, Vec<f32>), ModelError> {
        if let Some(stored) = stored::read(base, name)? {
            let mut values = vec![0.0; stored.nf4.len()];
            stored.nf4.read(0, &mut values);
            return Ok((stored.shape, values));
        }
        let view = base.get(name)?;
        let mut values = view.to_f32()?;
        if let Quantize::Nf4 { double } = self.quantize
            && self.quantised.contains(name)
        {
            Nf4::quantise(Values::F32(&values), double)?.read(0, &mut values);
        }
        Ok((view.shape.to_vec(), values))
    }

    /// Whether a base with a tied head needs one of its own after merging.
    pub fn unties(&self) -> bool {
        let touched = |module: &str| {
            let tensor = format!("{module}.weight");
            self.adapted.iter().any(|a| a.module == module) || self.whole.iter().any(|w| w.tensor == tensor)
        };
        let shared = self.whole.iter().any(|w| w.names.len() > 1);
        self.tied == Tied::Yes && !shared && (touched("lm_head") || touched("model.embed_tokens"))
    }

    fn replaces(&self, w: &Whole, name: &str) -> bool {
        w.tensor == name || w.names.iter().any(|n| n.strip_prefix(PREFIX) == Some(name))
    }

    /// W + s·B A, or W + s·Aᵀ Bᵀ for an embedding; with E, that of E∘A; with a magnitude, its rows scaled to that.
    fn folded(&self, backend: &B, params: &Params<B>, name: &str, mut w: Vec<f32>) -> Result<Vec<f32>, ModelError> {
        let Some(a) = self.adapted.iter().find(|a| name.strip_suffix(".weight") == Some(a.module.as_str())) else {
            return Ok(w);
        };
        let (pa, pb) = (params.get(a.a), params.get(a.b));
        let r = pa.info.shape[0];
        let inner = match a.e {
            None => None,
            Some(e) => Some(scaled_ranks(backend, pa, &params.get(e).values(backend)?)?),
        };
        let inner = inner.as_ref().unwrap_or(&pa.value);
        let (n_in, n_out) = (pa.info.shape[1], pb.info.shape[0]);
        let mut delta = backend.alloc(w.len())?;
        let alpha = a.scale as f32;
        if a.kind == Kind::Embedding {
            let g = Gemm { alpha, ..product(n_in, n_out, r, Op::N, Op::T) };
            backend.gemm(g, mat(&pa.value, 0, r), mat(&pb.value, 0, r), mat_mut(&mut delta, 0, n_out))?;
        } else {
            let g = Gemm { alpha, ..product(n_out, n_in, r, Op::N, Op::N) };
            backend.gemm(g, mat(&pb.value, 0, r), mat(inner, 0, n_in), mat_mut(&mut delta, 0, n_in))?;
        }
        let mut values = vec![0.0; w.len()];
        backend.download(&delta, 0, &mut values)?;
        for (w, d) in w.iter_mut().zip(&values) {
            *w += d;
        }
        if let Some(m) = a.magnitude {
            scaled_rows(&params.get(m).values(backend)?, &mut w);
        }
        Ok(w)
    }
}

/// The base's tensor that a merged one is made of.
fn source_of<'a>(base: &Checkpoint, name: &'a str) -> &'a str {
    if base.contains(name) { name } else { "model.embed_tokens.weight" }
}

/// E∘A
fn scaled_ranks<B: Backend>(backend: &B, a: &Param<B>, e: &[f32]) -> Result<B::Buf, ModelError> {
    let mut rows = a.values(backend)?;
    let cols = rows.len() / e.len().max(1);
    rows.chunks_exact_mut(cols.max(1)).zip(e).for_each(|(row, e)| row.iter_mut().for_each(|v| *v *= e));
    let mut scaled = backend.alloc(rows.len())?;
    backend.upload(&mut scaled, 0, &rows)?;
    Ok(scaled)
}

/// Of the base matrix, which an embedding has as [vocabulary, hidden] and a head as [outputs, inputs].
fn base_shape<B: Backend>(a: &Adapted<B>, params: &Params<B>) -> [usize; 2] {
    let (inner, outer) = (params.get(a.a).info.shape[1], params.get(a.b).info.shape[0]);
    match a.kind {
        Kind::Embedding => [inner, outer],
        Kind::Linear | Kind::Head => [outer, inner],
    }
}

/// As Python writes it: 8 rather than 8.0 for a whole number.
fn number(x: f64) -> serde_json::Value {
    if x.fract() == 0.0 && x.abs() < 1e15 { (x as i64).into() } else { x.into() }
}
