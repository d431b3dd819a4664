//! What an adapter folder changes, module by module, and the same adapter with fewer ranks.

use super::base::{BaseRecord, OtherBase};
use super::estimate::layer_of;
use super::pairs::pairs;
use super::state::number;
use crate::{ModelError, stored};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use weights::Checkpoint;
use weights::peft::{self, AdapterConfig};

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

/// Every adapted module of the adapter in `dir`, in the order of names; `base`: the model it belongs to, for the size of
/// its matrices.
///
/// # Errors
/// What is wrong with the folder; `MissingTensor` and `Shape` where a pair is not one; `TrainedElsewhere`.
pub fn inspect(dir: &Path, base: Option<&Path>, other: OtherBase) -> Result<Vec<ModuleChange>, ModelError> {
    let (config, tensors) = peft::open(dir)?;
    let base = base.map(Checkpoint::open).transpose()?;
    if let (Some(base), OtherBase::Refused) = (&base, other) {
        BaseRecord::check(dir, base)?;
    }
    let mut out = Vec::new();
    for pair in pairs(dir, &config, &tensors)? {
        let singular = pair.read(&tensors)?.svd().s;
        let norm = frobenius(&singular);
        let relative = match &base {
            None => None,
            Some(base) => Some(norm / base_norm(base, &pair.module)?),
        };
        let effective_rank = effective_rank(&singular);
        let (module, rank, scale) = (pair.module, pair.rank, pair.scale);
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

/// How many ranks stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Keep {
    /// At most so many in each module.
    Rank(usize),
    /// In each module as few as hold this share of ‖ΔW‖².
    Energy(f64),
    /// In each module its ranks halved so many times, at least 1; more, though fewer than one halving less leaves, where that holds
    /// this share of ‖ΔW‖² and so few do not.
    Halved { times: u32, share: f64 },
}

impl Keep {
    /// How many of these singular values, which fall.
    pub(super) fn count(self, s: &[f64]) -> usize {
        let square = |s: &[f64]| s.iter().map(|s| s * s).sum::<f64>();
        match self {
            Keep::Rank(most) => most.min(s.len()),
            Keep::Halved { times, share } => {
                let halved = |times: u32| (s.len() >> times.min(usize::BITS - 1)).max(1).min(s.len());
                let (least, most) = (halved(times), halved(times.saturating_sub(1)));
                (least..most).find(|k| square(&s[..*k]) >= share * square(s)).unwrap_or(least)
            }
            Keep::Energy(share) => (1..s.len()).find(|k| square(&s[..*k]) >= share * square(s)).unwrap_or(s.len()),
        }
    }
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
    /// What the adapter was trained beside, where that is known.
    pub base: Option<BaseRecord>,
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
        let svd = pair.read(&file)?.svd();
        let after = keep.count(&svd.s);
        let (lost, all) = svd.squares(after);
        (gone, whole) = (gone + lost, whole + all);
        let (a, b) = svd.halves(after, pair.scale);
        let (rows, cols) = (pair.rows, pair.cols);
        let [a_name, b_name] = pair.plain_names();
        tensors.push((a_name, vec![after, cols], a));
        tensors.push((b_name, vec![rows, after], b));
        sizes.insert(pair.module.clone(), (after, pair.scale * after as f64));
        let lost = if all > 0.0 { (lost / all).sqrt() } else { 0.0 };
        modules.push(Shrunk { module: pair.module.clone(), before: pair.rank, after, lost });
    }
    for name in file.names() {
        if !pairs.iter().any(|p| p.holds(name)) {
            let view = file.get(name)?;
            tensors.push((name.to_owned(), view.shape.to_vec(), view.to_f32()?));
        }
    }
    let config = with_sizes(config, &sizes).to_json();
    let lost = if whole > 0.0 { (gone / whole).sqrt() } else { 0.0 };
    Ok(Smaller { config, tensors, modules, base: BaseRecord::read(dir)?, lost })
}

/// A plain LoRA's, with the rank and alpha that most modules have, and patterns for the others.
pub(super) fn with_sizes(config: AdapterConfig, sizes: &BTreeMap<String, (usize, f64)>) -> AdapterConfig {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_keep_what_share_they_can() {
        let count = |s: &[f64], times| Keep::Halved { times, share: 0.9 }.count(s);
        let steep = [10.0, 5.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1];
        assert_eq!((count(&steep, 1), count(&steep, 2), count(&steep, 3)), (4, 2, 1));
        // 72.25 + 64 + 49 + 36 + 25 of 263.25 are 0.936; with four it is 0.84.
        assert_eq!(count(&[8.5, 8.0, 7.0, 6.0, 5.0, 4.0, 1.0, 0.0], 1), 5);
        // Seven of eight alike are not enough.
        assert_eq!((count(&[1.0; 8], 1), count(&[1.0; 8], 2)), (4, 2));
        // Ten of twelve are enough, but no longer the second time.
        assert_eq!((count(&[1.0; 12], 1), count(&[1.0; 12], 2)), (11, 3));
        assert_eq!((count(&[1.0], 1), count(&[1.0; 3], 9), count(&[0.0; 4], 1), count(&[], 1)), (1, 1, 2, 0));
    }
}
