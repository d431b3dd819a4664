//! Several adapters of one base as one: a weighted sum of what they change, all of it or what TIES and DARE leave of it.
//!
//! All of it acts on ΔW = s·B A and not on A and B alone, whose sums are no sum of changes (PEFT's `cat`, `ties_svd`,
//! `dare_linear_svd` and `dare_ties_svd`; its `linear`, `ties` and so on, without `svd`, mix factors).

use super::base::{BaseRecord, OtherBase};
use super::build::PREFIX;
use super::init::place;
use super::inspect::{Keep, with_sizes};
use super::pairs::{Factors, Pair, pairs};
use super::pissa::Principal;
use super::slot::{mix, product};
use super::spectrum::Svd;
use crate::ModelError;
use kernels::{Backend, Cpu, Op, Precision, mat, mat_mut};
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use weights::Checkpoint;
use weights::peft::{self, AdapterConfig};

/// An adapter's folder, and what its ΔW is multiplied with.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub dir: PathBuf,
    pub weight: f64,
}

/// How the adapters' changes become one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mix {
    /// Σ wᵢ ΔWᵢ. None: with the ranks of all, exact.
    Linear(Option<Keep>),
    /// Of each ΔWᵢ the share `density` of its elements, then their sum, in at most `rank` ranks; None: as many as all
    /// adapters have together.
    Sparse { trim: Trim, density: f64, signs: Signs, rank: Option<usize> },
}

/// Which elements go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trim {
    /// The smallest (TIES, Yadav et al. 2023).
    Smallest,
    /// Each with probability 1 − density, and what stays is divided by the density (DARE, Yu et al. 2023): a function of
    /// seed, module, the adapter's number and the element's place.
    Random { seed: u64 },
}

/// What becomes of elements that disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signs {
    /// They are added up.
    Add,
    /// The sign of Σ ΔWᵢ is elected; the result is the mean of wᵢ ΔWᵢ over those that have it (TIES).
    Elect,
}

/// What came of a module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Combined {
    pub module: String,
    /// How many of the adapters change it.
    pub adapters: usize,
    /// Their ranks together, and the result's.
    pub before: usize,
    pub after: usize,
    /// ‖ΔW‖, and ‖ΔW − ΔW'‖ / ‖ΔW‖, of the wanted change ΔW and the one with fewer ranks.
    pub norm: f64,
    pub lost: f64,
}

/// An open adapter.
struct Source {
    weight: f64,
    tensors: Checkpoint,
    pairs: BTreeMap<String, Pair>,
}

/// A module of the result.
struct Target {
    module: String,
    /// Of A and B.
    names: [String; 2],
    rows: usize,
    cols: usize,
    before: usize,
    after: usize,
}

/// Adapters that can be combined, and what will come of them.
pub struct Combination {
    mix: Mix,
    backend: Cpu,
    sources: Vec<Source>,
    targets: Vec<Target>,
    /// The base's own matrices that are saved beside an adapter, and the adapter that has them.
    copies: Vec<(String, usize)>,
    config: AdapterConfig,
    base: Option<BaseRecord>,
}

impl Combination {
    /// Opens the adapters; of different bases, as far as their folders tell, where `other` allows it.
    ///
    /// # Errors
    /// `NotCombined` for DoRA, for tensors that are trained whole, and for adapters of different bases; what is wrong with a
    /// folder.
    pub fn open(parts: &[Part], mix: Mix, threads: Option<usize>, other: OtherBase) -> Result<Self, ModelError> {
        let backend = Cpu::new(threads, Precision::F32)?;
        let (mut sources, mut configs) = (Vec::new(), Vec::new());
        for part in parts {
            let (config, source) = Source::open(part)?;
            configs.push(config);
            sources.push(source);
        }
        let records = parts.iter().map(|part| BaseRecord::read(&part.dir)).collect::<Result<Vec<_>, _>>()?;
        if other == OtherBase::Refused {
            one_base(parts, &configs, &records)?;
        }
        let copies = copies(parts, &sources)?;
        let targets = targets(parts, &sources, mix)?;
        let config = config(&configs, &sources, &targets);
        Ok(Combination { mix, backend, sources, targets, copies, config, base: base(&records) })
    }

    /// Of adapter_config.json.
    pub fn config(&self) -> String {
        self.config.to_json()
    }

    /// What all of the adapters that say so were trained beside.
    pub fn base(&self) -> Option<&BaseRecord> {
        self.base.as_ref()
    }

    /// Elements of the tensors.
    pub fn elements(&self) -> usize {
        self.targets.iter().map(|t| t.after * (t.rows + t.cols)).sum()
    }

    /// Writes adapter_model.safetensors, with one module in memory at a time; `on` is told what came of each, and says
    /// whether to go on.
    ///
    /// # Errors
    /// A [`ModelError`] inside an [`io::Error`] where values are no numbers; `Interrupted` where `on` says no.
    pub fn write(&self, out: &mut dyn Write, on: &mut dyn FnMut(Combined) -> bool) -> io::Result<()> {
        enum Of<'a> {
            Half(&'a Target, usize),
            Copy(&'a str, usize),
        }
        let mut list = Vec::new();
        for t in &self.targets {
            for (half, shape) in [vec![t.after, t.cols], vec![t.rows, t.after]].into_iter().enumerate() {
                list.push(((t.names[half].clone(), shape), Of::Half(t, half)));
            }
        }
        for (name, source) in &self.copies {
            let shape = self.sources[*source].tensors.get(name).map_err(refused)?.shape.to_vec();
            list.push(((name.clone(), shape), Of::Copy(name, *source)));
        }
        let (names, of): (Vec<_>, Vec<_>) = list.into_iter().unzip();
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        // A module's B follows its A, and both are made at once.
        let mut other: Option<(&str, [Vec<f32>; 2])> = None;
        weights::write_safetensors_with(out, &names, &metadata, &mut |i| match &of[i] {
            Of::Copy(name, source) => {
                let view = self.sources[*source].tensors.get(name).map_err(refused)?;
                Ok(Cow::Owned(view.to_f32().map_err(refused)?))
            }
            Of::Half(t, half) => {
                if other.as_ref().is_none_or(|(module, _)| *module != t.module) {
                    let (made, halves) = self.module(t).map_err(refused)?;
                    if !on(made) {
                        return Err(io::ErrorKind::Interrupted.into());
                    }
                    other = Some((&t.module, halves));
                }
                let half = other.as_mut().map(|(_, halves)| std::mem::take(&mut halves[*half]));
                Ok(Cow::Owned(half.unwrap_or_default()))
            }
        })
    }

    /// A and B of a module.
    fn module(&self, t: &Target) -> Result<(Combined, [Vec<f32>; 2]), ModelError> {
        let parts: Vec<(usize, f64, Factors)> = read(&self.sources, &t.module)?;
        let (adapters, (rows, cols)) = (parts.len(), (t.rows, t.cols));
        let (norm, gone, a, b) = match self.mix {
            Mix::Linear(keep) => {
                let all = side_by_side(&parts, (rows, cols));
                let norm = all.norm();
                if keep.is_none() && t.after == t.before {
                    let narrow = |x: &[f64]| x.iter().map(|v| *v as f32).collect::<Vec<f32>>();
                    (norm, 0.0, narrow(&all.right), narrow(&all.left))
                } else {
                    let svd = all.svd();
                    let (a, b) = svd.halves(t.after, 1.0);
                    (norm, svd.squares(t.after).0.sqrt(), a, b)
                }
            }
            Mix::Sparse { trim, density, signs, .. } => {
                let mut changes = Vec::new();
                for (number, weight, factors) in &parts {
                    let mut change = delta(&self.backend, factors, (rows, cols))?;
                    match trim {
                        Trim::Smallest => keep_largest(&mut change, density),
                        Trim::Random { seed } => keep_random(&mut change, density, key(seed, &t.module, *number)),
                    }
                    changes.push((*weight, change));
                }
                let mut wanted = merged(changes, signs);
                let norm = size(&wanted);
                let seed = (0, t.module.as_str());
                let first = Principal::of(&self.backend, &wanted, (rows, cols), t.after, 1.0, seed)?;
                first.take_from(&self.backend, &mut wanted, (rows, cols), 1.0)?;
                (norm, size(&wanted), first.a, first.b)
            }
        };
        let lost = if norm > 0.0 { gone / norm } else { 0.0 };
        let made = Combined { module: t.module.clone(), adapters, before: t.before, after: t.after, norm, lost };
        Ok((made, [a, b]))
    }
}

fn refused(e: impl Into<ModelError>) -> io::Error {
    io::Error::other(e.into())
}

impl Source {
    fn open(part: &Part) -> Result<(AdapterConfig, Source), ModelError> {
        let (config, tensors) = peft::open(&part.dir)?;
        let refuse = |why: String, instead| ModelError::NotCombined { adapter: part.dir.clone(), why, instead };
        if config.use_dora {
            let instead = "merge it into the base (`athanor merge`), and train the other one on the result";
            return Err(refuse("it is a DoRA, whose magnitudes of rows do not add up".to_owned(), instead));
        }
        if let Some((field, value)) = config.beyond_lora() {
            let what = format!("{field} = {value}");
            return Err(ModelError::UnsupportedAdapter { adapter: part.dir.clone(), what });
        }
        let pairs = pairs(&part.dir, &config, &tensors)?;
        let known = |name: &str| pairs.iter().any(|p| p.holds(name)) || name.ends_with(".base_layer.weight");
        if let Some(whole) = tensors.names().find(|name| !known(name)) {
            let name = whole.strip_prefix(PREFIX).unwrap_or(whole);
            let instead = "combine adapters that were trained without `modules_to_save` and without biases, or merge this \
                           one into the base (`athanor merge`) and train the other one on the result";
            return Err(refuse(format!("it holds {name} whole, and not as a change of the base"), instead));
        }
        let pairs = pairs.into_iter().map(|p| (p.module.clone(), p)).collect();
        Ok((config, Source { weight: part.weight, tensors, pairs }))
    }
}

/// Refuses adapters of different bases. Where one of two folders does not say what its base's weights are, their names
/// count, and of those the last part: a base has many paths.
fn one_base(parts: &[Part], configs: &[AdapterConfig], records: &[Option<BaseRecord>]) -> Result<(), ModelError> {
    let name = |c: &AdapterConfig| {
        let path = c.base_model_name_or_path.as_deref()?.trim_end_matches(['/', '\\']);
        path.rsplit(['/', '\\']).next().filter(|n| !n.is_empty()).map(ToOwned::to_owned)
    };
    for (i, part) in parts.iter().enumerate() {
        let why = (0..i).find_map(|first| match (&records[first], &records[i]) {
            (Some(x), Some(y)) if x.fingerprint == y.fingerprint => None,
            (Some(_), Some(_)) => Some(format!("it was trained on other weights than {}", parts[first].dir.display())),
            _ => match (name(&configs[first]), name(&configs[i])) {
                (Some(x), Some(y)) if x != y => Some(format!("it names {y} as its base, and the first one {x}")),
                _ => None,
            },
        });
        if let Some(why) = why {
            return Err(ModelError::NotCombined {
                adapter: part.dir.clone(),
                why,
                instead: "combine adapters of one base; where these are two names or forms of the same, pass --other-base",
            });
        }
    }
    Ok(())
}

/// What they agree on.
fn base(records: &[Option<BaseRecord>]) -> Option<BaseRecord> {
    let mut known = records.iter().flatten();
    let first = known.next()?;
    known.all(|r| r == first).then(|| first.clone())
}

/// The base's matrices that PEFT saves beside an adapted embedding or head: each once, and the same in all adapters.
fn copies(parts: &[Part], sources: &[Source]) -> Result<Vec<(String, usize)>, ModelError> {
    let mut out: Vec<(String, usize)> = Vec::new();
    for (i, source) in sources.iter().enumerate() {
        for name in source.tensors.names().filter(|name| name.ends_with(".base_layer.weight")) {
            let Some((_, first)) = out.iter().find(|(n, _)| n == name) else {
                out.push((name.to_owned(), i));
                continue;
            };
            let (here, there) = (source.tensors.get(name)?, sources[*first].tensors.get(name)?);
            if here.shape != there.shape || here.to_f32()? != there.to_f32()? {
                let tensor = name.strip_prefix(PREFIX).unwrap_or(name).replace(".base_layer", "");
                return Err(ModelError::NotCombined {
                    adapter: parts[i].dir.clone(),
                    why: format!("it was trained on another base: its copy of {tensor} differs"),
                    instead: "combine adapters of one base",
                });
            }
        }
    }
    Ok(out)
}

/// Every module that one of the adapters changes, with the rank of the result.
fn targets(parts: &[Part], sources: &[Source], mix: Mix) -> Result<Vec<Target>, ModelError> {
    let mut found: BTreeMap<&str, (&Pair, usize)> = BTreeMap::new();
    for (part, source) in parts.iter().zip(sources) {
        for (module, pair) in &source.pairs {
            let (first, before) = found.entry(module).or_insert((pair, 0));
            let alike = (first.rows, first.cols, first.looks_up()) == (pair.rows, pair.cols, pair.looks_up());
            if !alike {
                return Err(ModelError::NotCombined {
                    adapter: part.dir.clone(),
                    why: format!(
                        "{module} is {}×{} there and {}×{} in another one",
                        pair.rows, pair.cols, first.rows, first.cols
                    ),
                    instead: "combine adapters of one base",
                });
            }
            *before += pair.rank;
        }
    }
    // Of AdaLoRA's modules some have no rank left, and change nothing.
    let found = found.into_iter().filter(|(_, (_, before))| *before > 0);
    let target = |(module, (pair, before)): (&str, (&Pair, usize))| {
        let (rows, cols) = (pair.rows, pair.cols);
        let most = before.min(rows).min(cols);
        let after = match mix {
            Mix::Linear(None) => most,
            Mix::Linear(Some(keep)) => keep.count(&spectrum(sources, module, (rows, cols))?.s[..most]).max(1),
            Mix::Sparse { rank, .. } => rank.map_or(most, |r| r.min(rows).min(cols)),
        };
        Ok(Target { module: module.to_owned(), names: pair.plain_names(), rows, cols, before, after })
    };
    found.map(target).collect()
}

fn spectrum(sources: &[Source], module: &str, shape: (usize, usize)) -> Result<Svd, ModelError> {
    Ok(side_by_side(&read(sources, module)?, shape).svd())
}

/// Number, weight and factors of the adapters that change `module`.
fn read(sources: &[Source], module: &str) -> Result<Vec<(usize, f64, Factors)>, ModelError> {
    let mut out = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let Some(pair) = source.pairs.get(module) else { continue };
        let factors = pair.read(&source.tensors)?;
        if factors.left.iter().chain(&factors.right).any(|v| !v.is_finite()) {
            return Err(ModelError::NotCombined {
                adapter: source.tensors.path().parent().unwrap_or(Path::new("")).to_owned(),
                why: format!("{module} has values that are no numbers"),
                instead: "leave it out; its training went wrong",
            });
        }
        out.push((number, source.weight, factors));
    }
    Ok(out)
}

/// L | L' | … with the weights in, and R over R' over …: their product is the weighted sum of products.
fn side_by_side(parts: &[(usize, f64, Factors)], (rows, _): (usize, usize)) -> Factors {
    let rank = parts.iter().map(|(_, _, f)| f.rank).sum();
    let mut left = Vec::with_capacity(rows * rank);
    for row in 0..rows {
        for (_, weight, f) in parts {
            left.extend(f.left[row * f.rank..][..f.rank].iter().map(|v| weight * v));
        }
    }
    Factors { rank, left, right: parts.iter().flat_map(|(_, _, f)| f.right.iter().copied()).collect() }
}

/// ΔW [rows, cols]
fn delta(backend: &Cpu, f: &Factors, (rows, cols): (usize, usize)) -> Result<Vec<f32>, ModelError> {
    if f.rank == 0 {
        return Ok(vec![0.0; rows * cols]);
    }
    let narrow = |x: &[f64]| x.iter().map(|v| *v as f32).collect::<Vec<f32>>();
    let (mut l, mut r, mut out) =
        (backend.alloc(f.left.len())?, backend.alloc(f.right.len())?, backend.alloc(rows * cols)?);
    backend.upload(&mut l, 0, &narrow(&f.left))?;
    backend.upload(&mut r, 0, &narrow(&f.right))?;
    let g = product(rows, cols, f.rank, Op::N, Op::N);
    backend.gemm(g, mat(&l, 0, f.rank), mat(&r, 0, cols), mat_mut(&mut out, 0, cols))?;
    let mut values = vec![0.0; rows * cols];
    backend.download(&out, 0, &mut values)?;
    Ok(values)
}

/// Zeroes all but the ⌊density · n⌋ largest; of equal ones the first stay.
fn keep_largest(values: &mut [f32], density: f64) {
    let keep = (density * values.len() as f64) as usize;
    if keep >= values.len() {
        return;
    }
    let mut sizes: Vec<f32> = values.iter().map(|v| v.abs()).collect();
    let at = sizes.len() - keep - 1;
    // The largest of those that go.
    let (_, most, above) = sizes.select_nth_unstable_by(at, f32::total_cmp);
    let most = *most;
    let mut equal = above.iter().filter(|v| **v == most).count();
    for v in values {
        if v.abs() == most && equal > 0 {
            equal -= 1;
        } else if v.abs() <= most {
            *v = 0.0;
        }
    }
}

/// Each stays with probability `density`, divided by it.
fn keep_random(values: &mut [f32], density: f64, key: u64) {
    for (at, v) in values.iter_mut().enumerate() {
        *v = if stays(key, at, density) { (f64::from(*v) / density) as f32 } else { 0.0 };
    }
}

fn key(seed: u64, module: &str, adapter: usize) -> u64 {
    mix(mix(seed ^ place(module)) ^ adapter as u64)
}

fn stays(key: u64, at: usize, density: f64) -> bool {
    (mix(key ^ at as u64) >> 11) as f64 / ((1u64 << 53) as f64) < density
}

/// (weight, ΔW) of each adapter → one.
fn merged(changes: Vec<(f64, Vec<f32>)>, signs: Signs) -> Vec<f32> {
    let len = changes.first().map_or(0, |(_, change)| change.len());
    let one = |at: usize| {
        let all = changes.iter().map(|(weight, change)| (*weight, f64::from(change[at])));
        match signs {
            Signs::Add => all.map(|(weight, v)| weight * v).sum::<f64>() as f32,
            Signs::Elect => {
                let up = all.clone().map(|(_, v)| v).sum::<f64>() >= 0.0;
                let agree = |v: f64| v != 0.0 && (v > 0.0) == up;
                let (sum, count) =
                    all.filter(|(_, v)| agree(*v)).fold((0.0, 0.0), |(s, n), (w, v)| (s + w * v, n + 1.0));
                if count > 0.0 { (sum / count) as f32 } else { 0.0 }
            }
        }
    };
    (0..len).map(one).collect()
}

/// ‖x‖
fn size(x: &[f32]) -> f64 {
    x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

/// The first one's, as a plain LoRA of the result's modules and ranks; α = r, so that the scale is 1.
fn config(configs: &[AdapterConfig], sources: &[Source], targets: &[Target]) -> AdapterConfig {
    let sizes: BTreeMap<String, (usize, f64)> =
        targets.iter().map(|t| (t.module.clone(), (t.after, t.after as f64))).collect();
    let first = &configs[0];
    let named = |c: &AdapterConfig| {
        let mut names = c.target_modules.clone();
        if let Some(Value::Array(list)) = &mut names {
            list.sort_by_key(ToString::to_string);
        }
        (names, c.exclude_modules.clone(), c.layers_to_transform.clone(), c.layers_pattern.clone())
    };
    let same_names = configs.iter().all(|c| named(c) == named(first));
    let same_modules = sources.iter().all(|s| s.pairs.keys().eq(targets.iter().map(|t| &t.module)));
    let mut config = AdapterConfig { modules_to_save: None, ..with_sizes(first.clone(), &sizes) };
    if !(same_names && same_modules) {
        // Each by its full name: what the adapters' own rules choose together is no rule.
        let modules: Vec<&str> = targets.iter().map(|t| t.module.as_str()).collect();
        config.target_modules = Some(modules.into());
        (config.exclude_modules, config.layers_to_transform, config.layers_pattern) = (None, None, None);
    }
    config
}
