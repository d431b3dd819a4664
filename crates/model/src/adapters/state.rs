//! What an adapter is besides its tensors, and the files that PEFT reads. Its sum with the base is in `merge`.

use super::adalora::AdaSchedule;
use super::base::BaseRecord;
use super::build::{PREFIX, Tied};
use super::init;
use super::params::{ParamId, Params};
use super::pissa::Principal;
use super::slot::Matrix;
use super::targets::{Kind, Rules, written_targets};
use super::{BiasTraining, InitWeights, LoraPlan};
use crate::Quantize;
use kernels::Backend;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;
use weights::peft::AdapterConfig;

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
    /// PiSSA's start, without which the base is held.
    pub principal: Option<Principal>,
    /// The frozen base of an embedding or head, which is saved too.
    pub base: Option<Arc<B::Weight>>,
    /// Its matrix.
    pub matrix: Matrix<B>,
}

impl<B: Backend> Adapted<B> {
    /// The base tensor that it changes.
    pub(super) fn tensor(&self) -> String {
        format!("{}.weight", self.module)
    }

    /// As its slot has it.
    pub(super) fn place(&self) -> u64 {
        init::place(&self.module)
    }

    /// Rows and columns of that tensor: outputs by inputs, or tokens by hidden features.
    pub(super) fn of_base(&self, params: &Params<B>) -> (usize, usize) {
        let (n_in, n_out) = self.sides(params);
        if self.kind == Kind::Embedding { (n_in, n_out) } else { (n_out, n_in) }
    }

    /// Inputs and outputs.
    pub(super) fn sides(&self, params: &Params<B>) -> (usize, usize) {
        (params.get(self.a).info.shape[1], params.get(self.b).info.shape[0])
    }
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
    pub(super) content: Box<Writing<'a>>,
}

impl AdapterFile<'_> {
    /// Writes it, with one tensor in memory at a time.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        (self.content)(out)
    }
}

impl Principal {
    fn beside(&self, values: &[f32], side: Side) -> Vec<f32> {
        match side {
            Side::Rows => [values, &self.a].concat(),
            Side::Columns => {
                let pairs = values.chunks_exact(self.r).zip(self.b.chunks_exact(self.r));
                pairs.flat_map(|(now, first)| now.iter().copied().chain(first.iter().map(|v| -v))).collect()
            }
        }
    }
}

/// Where a tensor has its ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Rows = 0,
    Columns = 1,
}

impl Side {
    /// Without the ranks that are not kept.
    pub(super) fn pruned(self, values: &[f32], kept: &[bool]) -> Vec<f32> {
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

/// Where a saved tensor's values are.
pub(super) enum Saved<'a, B: Backend> {
    Param(ParamId),
    /// PiSSA's A or B beside its own start: A over A₀ and B | −B₀, which is an adapter of the base as it was.
    Principal(ParamId, &'a Principal, Side),
    Base(&'a B::Weight),
}

pub struct AdapterState<B: Backend> {
    pub(super) plan: Option<LoraPlan>,
    pub(super) tied: Tied,
    pub(super) adapted: Vec<Adapted<B>>,
    pub(super) whole: Vec<Whole>,
    /// The base's tensors that are held quantised, and how.
    pub(super) quantised: BTreeSet<String>,
    pub(super) quantize: Quantize,
    /// AdaLoRA's ranks that the last masking kept, of each adapted module, and its schedule.
    pub(super) kept: Option<Vec<Vec<bool>>>,
    pub(super) schedule: Option<AdaSchedule>,
    /// What an adapter is trained beside.
    pub(super) record: Option<BaseRecord>,
}

impl<B: Backend> AdapterState<B> {
    pub(crate) fn adapts_head(&self) -> bool {
        self.adapted.iter().any(|a| a.kind == Kind::Head)
    }

    pub(super) fn new(
        plan: Option<LoraPlan>,
        tied: Tied,
        adapted: Vec<Adapted<B>>,
        whole: Vec<Whole>,
        quantised: BTreeSet<String>,
        quantize: Quantize,
    ) -> Self {
        AdapterState { plan, tied, adapted, whole, quantised, quantize, kept: None, schedule: None, record: None }
    }

    /// Whether the model itself is trained, and what comes out is one.
    pub fn full(&self) -> bool {
        self.plan.as_ref().is_some_and(|p| p.full)
    }

    /// What the adapter's folder says of its base; None without an adapter.
    pub fn record(&self) -> Option<&BaseRecord> {
        self.record.as_ref()
    }

    /// Modules with a low-rank adapter, in the order they were built.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.adapted.iter().map(|a| a.module.as_str())
    }

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
                    Saved::Principal(id, first, side) => {
                        params.get(*id).values(backend).map(|v| first.beside(&v, *side))
                    }
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

    /// Every tensor that PEFT saves, with its shape: parameters, a tied matrix's second name, the base of an adapted
    /// embedding or head.
    pub(super) fn tensors(&self, params: &Params<B>) -> Vec<(String, Vec<usize>, Saved<'_, B>)> {
        let mut out: Vec<_> = params
            .ids()
            .map(|id| {
                let info = &params.get(id).info;
                let mut shape = info.shape.clone();
                let side = |a: &&Adapted<B>| a.principal.is_some() && (id == a.a || id == a.b);
                if let Some((a, first)) = self.adapted.iter().find(side).and_then(|a| Some((a, a.principal.as_ref()?)))
                {
                    let side = if id == a.a { Side::Rows } else { Side::Columns };
                    shape[side as usize] *= 2;
                    return (info.name.clone(), shape, Saved::Principal(id, first, side));
                }
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

    pub(super) fn config(&self, plan: &LoraPlan) -> AdapterConfig {
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
        // Twice the rank at the same scale.
        let twice = if plan.init == InitWeights::Pissa { 2 } else { 1 };
        let louder = if plan.rslora { f64::from(twice).sqrt() } else { f64::from(twice) };
        let ranks = ranks.into_iter().map(|(key, r)| (key, twice as usize * r));
        let alphas = alphas.into_iter().map(|(key, alpha)| (key, louder * alpha));
        let (peft_type, r, other) = match &plan.ada {
            None => (AdapterConfig::default().peft_type, twice as usize * plan.r, serde_json::Map::new()),
            // Its rank has a name of its own there.
            Some(ada) => (weights::peft::ADALORA.to_owned(), AdapterConfig::default().r, self.ada_fields(plan, ada)),
        };
        AdapterConfig {
            peft_type,
            other,
            base_model_name_or_path: Some(plan.base_name.clone()),
            r,
            lora_alpha: plan.alpha * louder,
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
                // Files hold the difference to the start: see `Saved::Principal`.
                InitWeights::Kaiming | InitWeights::Pissa => true.into(),
                InitWeights::Gaussian => "gaussian".into(),
            },
            layers_to_transform: plan.layers.clone().map(Into::into),
            rank_pattern: ranks.map(|(k, v)| (k, v.into())).collect(),
            alpha_pattern: alphas.map(|(k, v)| (k, number(v))).collect(),
            use_rslora: plan.rslora,
            use_dora: plan.dora,
            // Written only where it acts, as PEFT has it.
            ensure_weight_tying: one_matrix,
            ..AdapterConfig::default()
        }
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
pub(super) fn number(x: f64) -> serde_json::Value {
    if x.fract() == 0.0 && x.abs() < 1e15 { (x as i64).into() } else { x.into() }
}
