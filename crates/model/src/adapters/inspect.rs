//! What an adapter folder changes, module by module, and the same adapter with fewer ranks.

use super::adalora::RANK_EPS;
use super::build::PREFIX;
use super::estimate::layer_of;
use super::load::plan_from;
use super::spectrum::{self, Svd};
use super::state::number;
use super::targets::Rules;
use crate::{ModelError, stored};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use weights::Checkpoint;
use weights::peft::{self, ADALORA, AdapterConfig};

/// One module's ΔW.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModuleChange {
    pub module: String,
    pub layer: Option<usize>,
    pub rank: usize,
    /// What B A is multiplied with.
    pub scale: f64,
    /// Singular values of ΔW, falling.
    pub singular: Vec<f64>,
    /// ‖ΔW‖, of Frobenius.
    pub norm: f64,
    /// e to the entropy of the singular values' shares (Roy & Vetterli 2007): how many directions there are to speak of.
    pub effective_rank: f64,
    /// ‖ΔW‖ / ‖W‖, where the base is there.
    pub relative: Option<f64>,
}

/// A low-rank pair as an adapter folder has it.
struct Pair {
    module: String,
    /// Where its tensors' names differ: `lora_A.weight`, `lora_A`, `lora_embedding_A`.
    names: [String; 2],
    rank: usize,
    scale: f64,
    /// s·B [rows, rank] and A (with AdaLoRA's E) [rank, cols]
    left: Vec<f64>,
    right: Vec<f64>,
}

impl Pair {
    fn svd(&self) -> Svd {
        spectrum::of_product(&self.left, &self.right, self.rank)
    }
}

/// Every adapted module of the adapter in `dir`, in the order of names; `base`: the model it belongs to, for the size of
/// its matrices.
///
/// # Errors
/// What is wrong with the folder; `MissingTensor` and `Shape` where a pair is not one.
pub fn inspect(dir: &Path, base: Option<&Path>) -> Result<Vec<ModuleChange>, ModelError> {
    let (config, tensors) = peft::open(dir)?;
    let base = base.map(Checkpoint::open).transpose()?;
    let mut out = Vec::new();
    for pair in pairs(dir, &config, &tensors)? {
        let singular = pair.svd().s;
        let norm = frobenius(&singular);
        let relative = match &base {
            None => None,
            Some(base) => Some(norm / base_norm(base, &pair.module)?),
        };
        let effective_rank = effective_rank(&singular);
        let Pair { module, rank, scale, .. } = pair;
        out.push(ModuleChange {
            layer: layer_of(&module),
            module,
            rank,
            scale,
            singular,
            norm,
            effective_rank,
            relative,
        });
    }
    Ok(out)
}

fn frobenius(singular: &[f64]) -> f64 {
    singular.iter().map(|s| s * s).sum::<f64>().sqrt()
}

fn effective_rank(singular: &[f64]) -> f64 {
    let sum: f64 = singular.iter().sum();
    if sum == 0.0 {
        return 0.0;
    }
    let shares = singular.iter().map(|s| s / sum).filter(|p| *p > 0.0);
    shares.map(|p| -p * p.ln()).sum::<f64>().exp()
}

fn base_norm(base: &Checkpoint, module: &str) -> Result<f64, ModelError> {
    let name = format!("{module}.weight");
    let tied = module == "lm_head" && !base.contains(&name);
    let name = if tied { "model.embed_tokens.weight".to_owned() } else { name };
    let values = match stored::read(base, &name)? {
        Some(stored) => {
            let mut values = vec![0.0; stored.nf4.len()];
            stored.nf4.read(0, &mut values);
            values
        }
        None => base.get(&name)?.to_f32()?,
    };
    base.release(&name);
    Ok(values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt())
}

fn pairs(dir: &Path, config: &AdapterConfig, tensors: &Checkpoint) -> Result<Vec<Pair>, ModelError> {
    let ada = config.peft_type == ADALORA;
    let unsupported = |what: &str| ModelError::UnsupportedAdapter { adapter: dir.to_owned(), what: what.to_owned() };
    let plan = if ada { None } else { Some(plan_from(dir, 0)?) };
    let rules = plan.as_ref().map(Rules::new).transpose()?;
    let mut out = Vec::new();
    for name in tensors.names() {
        let ends = [".lora_A.weight", ".lora_A", ".lora_embedding_A"];
        let Some((path, end)) = ends.iter().find_map(|end| Some((name.strip_suffix(end)?, *end))) else { continue };
        let module = path.strip_prefix(PREFIX).unwrap_or(path).to_owned();
        let other = format!("{path}{}", end.replace("_A", "_B"));
        let (a, b) = (tensors.get(name)?, tensors.get(&other)?);
        let ([rank, _], [_, columns]) = (a.shape, b.shape) else {
            let (tensor, got) = (name.to_owned(), a.shape.to_vec());
            return Err(ModelError::Shape { tensor, expected: vec![config.r, 0], got });
        };
        if rank != columns {
            return Err(ModelError::Shape { tensor: other, expected: vec![b.shape[0], *rank], got: b.shape.to_vec() });
        }
        let scale = match &rules {
            Some(rules) => rules.rank_and_scale(&module)?.1,
            None => {
                let init = config.other.get("init_r").and_then(Value::as_f64);
                config.lora_alpha / (init.ok_or_else(|| unsupported("a missing init_r"))? + RANK_EPS)
            }
        };
        let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<f64>>();
        let (mut right, mut left) = (wide(a.to_f32()?), wide(b.to_f32()?));
        left.iter_mut().for_each(|v| *v *= scale);
        if ada {
            let e = tensors.get(&format!("{path}.lora_E"))?.to_f32()?;
            let cols = right.len() / e.len().max(1);
            let rows = right.chunks_exact_mut(cols.max(1)).zip(e);
            rows.for_each(|(row, e)| row.iter_mut().for_each(|v| *v *= f64::from(e)));
        }
        out.push(Pair { module, names: [name.to_owned(), other], rank: *rank, scale, left, right });
    }
    if out.is_empty() {
        return Err(unsupported("a folder without low-rank pairs"));
    }
    Ok(out)
}

/// How many ranks stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keep {
    /// At most so many in each module.
    Rank(usize),
    /// In each module as few as hold this share of ‖ΔW‖².
    Energy(f64),
}

/// A module's ranks before and after, and what went: ‖ΔW − ΔW'‖ / ‖ΔW‖.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shrunk {
    pub module: String,
    pub before: usize,
    pub after: usize,
    pub lost: f64,
}

/// A smaller adapter, ready to be written.
pub struct Smaller {
    /// Of adapter_config.json.
    pub config: String,
    /// Of adapter_model.safetensors: name, shape, values.
    pub tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    pub modules: Vec<Shrunk>,
    /// ‖ΔW − ΔW'‖ / ‖ΔW‖ over all modules together.
    pub lost: f64,
}

/// The adapter in `dir` with the best approximation of each ΔW that fewer ranks allow, by its singular values; a plain LoRA,
/// whatever it was. Everything else of it stays.
///
/// # Errors
/// As [`inspect`].
pub fn shrink(dir: &Path, keep: Keep) -> Result<Smaller, ModelError> {
    let (config, file) = peft::open(dir)?;
    let (mut tensors, mut modules, mut sizes) = (Vec::new(), Vec::new(), BTreeMap::new());
    let (mut gone, mut whole) = (0.0, 0.0);
    let pairs = pairs(dir, &config, &file)?;
    for pair in &pairs {
        let Svd { u, s, v } = pair.svd();
        let square = |s: &[f64]| s.iter().map(|s| s * s).sum::<f64>();
        let all = square(&s);
        let after = match keep {
            Keep::Rank(most) => most.min(pair.rank),
            Keep::Energy(share) => (1..pair.rank).find(|k| square(&s[..*k]) >= share * all).unwrap_or(pair.rank),
        };
        let lost = square(&s[after..]);
        (gone, whole) = (gone + lost, whole + all);
        let root: Vec<f64> = s[..after].iter().map(|s| (s / pair.scale.abs()).sqrt()).collect();
        let (rows, cols) = (u.len() / pair.rank, v.len() / pair.rank);
        let sign = pair.scale.signum();
        let b =
            (0..rows * after).map(|x| (sign * u[x / after * pair.rank + x % after] * root[x % after]) as f32).collect();
        let a = (0..after * cols).map(|x| (v[x % cols * pair.rank + x / cols] * root[x / cols]) as f32).collect();
        let plain = |name: &str| match name.ends_with("lora_A") || name.ends_with("lora_B") {
            true => format!("{name}.weight"),
            false => name.to_owned(),
        };
        tensors.push((plain(&pair.names[0]), vec![after, cols], a));
        tensors.push((plain(&pair.names[1]), vec![rows, after], b));
        sizes.insert(pair.module.clone(), (after, pair.scale * after as f64));
        let lost = if all > 0.0 { (lost / all).sqrt() } else { 0.0 };
        modules.push(Shrunk { module: pair.module.clone(), before: pair.rank, after, lost });
    }
    for name in file.names() {
        let pair = pairs.iter().any(|p| p.names.iter().any(|n| n == name)) || name.ends_with(".lora_E");
        if !pair {
            let view = file.get(name)?;
            tensors.push((name.to_owned(), view.shape.to_vec(), view.to_f32()?));
        }
    }
    let config = smaller_config(config, &sizes).to_json();
    let lost = if whole > 0.0 { (gone / whole).sqrt() } else { 0.0 };
    Ok(Smaller { config, tensors, modules, lost })
}

/// With the rank and alpha that most modules have, and patterns for the others.
fn smaller_config(config: AdapterConfig, sizes: &BTreeMap<String, (usize, f64)>) -> AdapterConfig {
    let mut counts: Vec<((usize, f64), usize)> = Vec::new();
    for size in sizes.values() {
        match counts.iter_mut().find(|(s, _)| s == size) {
            Some((_, n)) => *n += 1,
            None => counts.push((*size, 1)),
        }
    }
    let ((r, alpha), _) = counts.into_iter().max_by_key(|(_, n)| *n).unwrap_or(((config.r, config.lora_alpha), 0));
    let others = |value: fn(&(usize, f64)) -> Value, usual: Value| -> Map<String, Value> {
        let differ = sizes.iter().filter(|(_, size)| value(size) != usual);
        differ.map(|(module, size)| (module.replace('.', r"\."), value(size))).collect()
    };
    AdapterConfig {
        peft_type: AdapterConfig::default().peft_type,
        r,
        lora_alpha: alpha,
        rank_pattern: others(|s| s.0.into(), r.into()),
        alpha_pattern: others(|s| number(s.1), number(alpha)),
        use_rslora: false,
        init_lora_weights: true.into(),
        other: Map::new(),
        ..config
    }
}
