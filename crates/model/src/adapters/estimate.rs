//! How large an adapter will be, before anything is allocated.

use super::dora::WIDTH as ROW_NORMS;
use super::params::Optimizer;
use super::targets::{Kind, Rules};
use super::{AdapterPlan, Bias, BiasTraining, InitWeights, Tied, Widths};
use crate::{ModelConfig, ModelError};
use std::collections::BTreeSet;
use std::path::Path;

/// No matrix has a rank beyond this; it keeps what a hostile adapter asks for countable.
pub(super) const RANK_MAX: usize = 1 << 16;

/// A module of the base as the memory plan lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleShape {
    /// As `model.layers.0.self_attn.q_proj`.
    pub module: String,
    pub shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Linear { n_out: usize, n_in: usize, bias: Bias },
    Embedding { vocab: usize, hidden: usize },
    Head { vocab: usize, hidden: usize },
    Gain { dim: usize },
}

/// Elements, where not bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    pub trainable: u64,
    /// Bytes of AdamW's moments.
    pub moments: u64,
    /// Elements whose importance is measured.
    pub scored: u64,
    /// Of starts that are remembered.
    pub principal: u64,
    /// Of the largest tensor among them, at most.
    pub tensor_max: u64,
    /// Of the largest pair of low-rank factors, and rows and columns of all matrices that have one.
    pub pair_max: u64,
    pub sides: u64,
    pub widths: Widths,
    /// The sum of the ranks of each layer's slots, and the head's rank: columns that a pass forward keeps.
    pub kept: Vec<usize>,
    pub head_kept: usize,
    /// Whether anything in a layer (`Some(lowest index)`) or the embedding itself is trained.
    pub lowest_layer: Option<usize>,
    pub embedding: bool,
    /// Modules whose own weight is trained, so that none is held frozen.
    pub whole: BTreeSet<String>,
}

/// What `plan` would train on these modules, in the order of a forward pass.
pub fn estimate(
    plan: &AdapterPlan,
    tied: Tied,
    modules: &[ModuleShape],
    optimizer: Optimizer,
) -> Result<Estimate, ModelError> {
    let mut e = Estimate::default();
    let AdapterPlan::Lora(plan) = plan else { return Ok(e) };
    let rules = Rules::new(plan)?;
    let mut embedding_whole = false;
    let one_matrix = tied == Tied::Yes && plan.ensure_weight_tying;
    let head_whole = modules.iter().any(|m| matches!(m.shape, Shape::Head { .. }) && rules.saved_whole(&m.module));
    for m in modules {
        let (kind, rows, cols, bias) = match m.shape {
            Shape::Linear { n_out, n_in, bias } => (Kind::Linear, n_out, n_in, bias),
            Shape::Embedding { vocab, hidden } => (Kind::Embedding, vocab, hidden, Bias::Absent),
            Shape::Head { vocab, hidden } => (Kind::Head, vocab, hidden, Bias::Absent),
            Shape::Gain { dim } => {
                if rules.saved_whole(&m.module) {
                    e.whole.insert(m.module.clone());
                    e.count(&m.module, &[dim], |len| optimizer.moment_bytes(len, false));
                }
                continue;
            }
        };
        let targeted = rules.targeted(&m.module, kind)?;
        let mut trained = Vec::new();
        if targeted {
            let (r, _) = rules.rank_and_scale(&m.module)?;
            let max = rows.min(cols).min(RANK_MAX);
            if r == 0 || r > max {
                return Err(ModelError::Rank { module: m.module.clone(), r, max });
            }
            trained.extend([r * rows, r * cols]);
            e.tensor_max = e.tensor_max.max((r * rows.max(cols)) as u64);
            e.pair_max = e.pair_max.max((r * (rows + cols)) as u64);
            e.sides += (rows + cols) as u64;
            e.keep(&m.module, kind, r);
            if (plan.dora || plan.ada.is_some()) && kind != Kind::Linear {
                return Err(ModelError::LinearOnly { module: m.module.clone() });
            }
            if plan.init == InitWeights::Pissa && kind == Kind::Linear {
                e.principal += (r * (rows + cols)) as u64;
            }
            if plan.ada.is_some() {
                trained.push(r);
                e.scored += trained.iter().sum::<usize>() as u64;
                e.widths.scaled = e.widths.fan;
            }
            if plan.dora {
                trained.push(rows);
                e.widths.wide = e.widths.wide.max(rows);
                e.widths.cross = e.widths.cross.max(r.saturating_mul(rows));
                e.widths.gram = e.widths.gram.max(r.saturating_mul(r));
                e.widths.rows = e.widths.rows.saturating_add(ROW_NORMS * rows);
            }
            if plan.dropout > 0.0 && kind != Kind::Embedding {
                e.widths.dropout = e.widths.dropout.max(cols);
            }
        }
        let mut whole = rules.saved_whole(&m.module);
        // A tied matrix that stays one is trained, and counted, as the embedding's.
        if one_matrix && kind == Kind::Embedding {
            whole |= head_whole;
        }
        let shared = one_matrix && kind == Kind::Head && embedding_whole;
        e.tensor_max = e.tensor_max.max(if whole { (rows * cols) as u64 } else { 0 });
        if whole || shared {
            e.whole.insert(m.module.clone());
        }
        let bias_trained = whole || plan.bias == BiasTraining::All || (plan.bias == BiasTraining::LoraOnly && targeted);
        trained.extend((bias == Bias::Present && bias_trained).then_some(rows));
        e.count(&m.module, &trained, |len| optimizer.moment_bytes(len, false));
        if whole && !shared {
            let embeds = kind == Kind::Embedding;
            e.count(&m.module, &[rows * cols], |len| optimizer.moment_bytes(len, embeds));
        }
        e.embedding |= kind == Kind::Embedding && (whole || !trained.is_empty());
        embedding_whole |= kind == Kind::Embedding && whole;
    }
    Ok(e)
}

/// The scale of every module that gets a pair, in the order of a forward pass.
pub fn scales(dir: &Path, plan: &AdapterPlan) -> Result<Vec<f64>, ModelError> {
    let AdapterPlan::Lora(plan) = plan else { return Ok(Vec::new()) };
    let rules = Rules::new(plan)?;
    let mut scales = Vec::new();
    for m in ModelConfig::read(dir)?.modules() {
        let kind = match m.shape {
            Shape::Linear { .. } => Kind::Linear,
            Shape::Embedding { .. } => Kind::Embedding,
            Shape::Head { .. } => Kind::Head,
            Shape::Gain { .. } => continue,
        };
        if rules.targeted(&m.module, kind)? {
            scales.push(rules.rank_and_scale(&m.module)?.1);
        }
    }
    Ok(scales)
}

impl Estimate {
    /// The columns that layers keep at most.
    pub fn kept_max(&self) -> usize {
        self.kept.iter().copied().max().unwrap_or(0)
    }

    fn keep(&mut self, module: &str, kind: Kind, r: usize) {
        match kind {
            Kind::Embedding => self.widths.embedding = r,
            Kind::Head => self.head_kept = r,
            Kind::Linear => {
                let layer = layer_of(module).unwrap_or(0);
                self.kept.resize(self.kept.len().max(layer + 1), 0);
                self.kept[layer] = self.kept[layer].saturating_add(r);
            }
        }
        self.widths.fan = self.kept_max().max(self.head_kept).max(self.widths.embedding);
    }

    /// Tensors of so many elements, with the bytes of each one's moments.
    fn count(&mut self, module: &str, trained: &[usize], moments: impl Fn(usize) -> u64) {
        self.trainable += trained.iter().sum::<usize>() as u64;
        self.moments += trained.iter().map(|len| moments(*len)).sum::<u64>();
        if let (Some(layer), false) = (layer_of(module), trained.is_empty()) {
            self.lowest_layer = Some(self.lowest_layer.map_or(layer, |l| l.min(layer)));
        }
    }
}

/// The layer that a module belongs to.
pub(crate) fn layer_of(module: &str) -> Option<usize> {
    module.split('.').find_map(|part| part.parse().ok())
}
