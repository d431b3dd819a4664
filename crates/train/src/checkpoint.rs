//! What a checkpoint holds, and whether this run may go on from it.
//!
//! `checkpoints/step-…/`: `params.safetensors` (the trained tensors, exact f32), `adamw.safetensors` (both moments, in f32
//! or as codes in 8 bits with their blocks' magnitudes), `state.json`. Nothing in it depends on the time or on the
//! machine: the same run always writes the same bytes.

use crate::batch::Cursor;
use crate::forgotten::Forgotten;
use crate::overfit::Relief;
use crate::unseen::Gap;
use crate::{Event, Lambda, Plan, TrainError};
use model::{Engine, Held, State};
use runfs::{Checkpoints, Fs, RunFsError};
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use weights::{Declared, HEADER_BYTES_MAX};

/// What each file holds of every parameter, behind which prefix of its name.
const FILES: [(&str, &[(&str, State)]); 3] = [
    ("params.safetensors", &[("", State::Value)]),
    (
        "adamw.safetensors",
        &[
            ("m.", State::MomentM),
            ("v.", State::MomentV),
            // In place of those, where they are in 8 bits.
            ("m.", State::CodesM),
            ("v.", State::CodesV),
            ("m_absmax.", State::MagnitudesM),
            ("v_absmax.", State::MagnitudesV),
        ],
    ),
    // Of AdaLoRA alone.
    ("importance.safetensors", &[("importance.", State::Importance), ("uncertainty.", State::Uncertainty)]),
];
const STATE: &str = "state.json";
const FORMAT: u32 = 1;
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything about a run that changes from step to step, besides tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Optimiser steps done.
    pub step: u64,
    /// Whether the validation and checkpoint due after `step` have been done. False only in a checkpoint of an
    /// interrupt: the resumed run begins with them.
    pub settled: bool,
    pub cursor: Cursor,
    pub tokens: u64,
    pub supervised_tokens: u64,
    pub train_loss: Option<f64>,
    pub valid_loss: Option<f64>,
    pub best: Option<Best>,
    /// Validations since the last improvement.
    pub stale: u32,
    pub stopped_early: bool,
    /// What was done last instead of stopping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relief: Option<Relief>,
    /// Of AdaLoRA, by module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_ranks: Option<BTreeMap<String, Vec<bool>>>,
    /// Where a replay's rows are chosen by what is forgotten: what was measured and chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<Forgotten>,
    /// Where there is an unseen set: what it said so far. Nothing is decided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Unseen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unseen {
    /// At the first validation, and at the best.
    pub first: Gap,
    pub best: Gap,
    /// Whether it has been told that the gap is beyond chance.
    pub told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub step: u64,
    pub valid_loss: f64,
    /// How often the adapter had been given less room before.
    #[serde(default, skip_serializing_if = "never")]
    pub times: u32,
}

fn never(times: &u32) -> bool {
    *times == 0
}

/// What a checkpoint belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The plan as meant, less what has no influence on the numbers (see [`plan_identity`]).
    pub plan: Value,
    pub data_sha256: String,
    pub model_sha256: String,
}

impl Identity {
    pub fn new(plan: &Plan, data_sha256: &str, model_sha256: &str) -> Result<Identity, TrainError> {
        Ok(Identity { plan: plan_identity(plan)?, data_sha256: data_sha256.into(), model_sha256: model_sha256.into() })
    }
}

#[derive(Serialize, Deserialize)]
struct StateFile {
    format: u32,
    /// The version of the program that wrote it.
    athanor: String,
    progress: Progress,
    identity: Identity,
}

/// A checkpoint read and verified, not yet compared with the run.
pub(crate) struct Loaded {
    pub path: PathBuf,
    pub progress: Progress,
    identity: Identity,
}

pub(crate) fn store(dir: &Path, keep: usize) -> Checkpoints {
    Checkpoints { dir: dir.join("checkpoints"), keep }
}

/// Publishes the state after `progress.step` and rotates the older ones, sparing the best validation's.
pub(crate) fn publish(
    store: &Checkpoints,
    fs: &dyn Fs,
    engine: &Engine,
    progress: &Progress,
    identity: &Identity,
) -> Result<PathBuf, TrainError> {
    let state = StateFile {
        format: FORMAT,
        athanor: VERSION.to_owned(),
        progress: progress.clone(),
        identity: identity.clone(),
    };
    let json = to_json(&state, STATE)?;
    let path = store.publish(fs, progress.step, &mut |staged| {
        for (file, states) in files_of(engine) {
            staged.file(file, &mut |out| write_tensors(out, engine, states))?;
        }
        staged.file(STATE, &mut |out| out.write_all(&json))
    })?;
    let spared: Vec<u64> = progress.best.iter().map(|b| b.step).collect();
    store.rotate(fs, &spared)?;
    Ok(path)
}

/// Bytes that one checkpoint of this engine takes, rounded up generously for headers and state.json.
pub(crate) fn bytes(engine: &Engine) -> u64 {
    const SMALL_FILES: u64 = 64 << 10;
    const HEADER_PER_TENSOR: u64 = 512;
    let tensors = FILES.iter().flat_map(|(_, states)| entries(engine, states));
    tensors.map(|(t, ..)| t.bytes() as u64 + HEADER_PER_TENSOR).sum::<u64>() + SMALL_FILES
}

/// The newest valid checkpoint; torn or altered ones are skipped with a note. None: none was ever published.
pub(crate) fn find(store: &Checkpoints, fs: &dyn Fs, on: &mut dyn FnMut(Event)) -> Result<Option<Loaded>, TrainError> {
    let search = store.newest_valid(fs)?;
    let skipped: Vec<String> = search.skipped.iter().map(|s| s.why.to_string()).collect();
    for skip in &skipped {
        on(Event::Note(format!("skipped a checkpoint that is not whole: {skip}")));
    }
    match search.found {
        Some(found) => load(fs, &found.path, on).map(Some),
        None if skipped.is_empty() => Ok(None),
        None => Err(TrainError::NoCheckpoint { dir: store.dir.clone(), skipped }),
    }
}

fn load(fs: &dyn Fs, path: &Path, on: &mut dyn FnMut(Event)) -> Result<Loaded, TrainError> {
    let file = path.join(STATE);
    let bytes = fs.read(&file).map_err(|e| RunFsError::io("read", &file, e))?;
    let state: StateFile =
        serde_json::from_slice(&bytes).map_err(|e| TrainError::RunFile { path: file.clone(), why: e.to_string() })?;
    if state.format != FORMAT {
        return Err(TrainError::RunFile {
            path: file,
            why: format!("format {}, this program reads {FORMAT}", state.format),
        });
    }
    if state.athanor != VERSION {
        let was = &state.athanor;
        on(Event::Note(format!(
            "the run began with version {was}, this is {VERSION}: the bytes may differ from a run of one version"
        )));
    }
    Ok(Loaded { path: path.to_owned(), progress: state.progress, identity: state.identity })
}

impl Loaded {
    /// Refuses a run whose plan, data or base model is not the checkpoint's.
    pub fn check(&self, now: &Identity) -> Result<(), TrainError> {
        let checkpoint = self.path.clone();
        if let Some((field, was, is)) = first_difference("", &self.identity.plan, &now.plan) {
            return Err(TrainError::PlanChanged { checkpoint, field, was, now: is });
        }
        let (was, now_is) = (self.identity.data_sha256.clone(), now.data_sha256.clone());
        if was != now_is {
            return Err(TrainError::DataChanged { checkpoint, was, now: now_is });
        }
        self.check_model(&now.model_sha256)
    }

    /// Refuses another base model alone, for what is done with it before all is known.
    pub fn check_model(&self, now: &str) -> Result<(), TrainError> {
        let was = self.identity.model_sha256.clone();
        match was == now {
            true => Ok(()),
            false => Err(TrainError::ModelChanged { checkpoint: self.path.clone(), was, now: now.to_owned() }),
        }
    }

    /// Puts the trained tensors and the optimiser's moments into the engine, one of them in memory at a time.
    pub fn restore(&self, fs: &dyn Fs, engine: &mut Engine) -> Result<(), TrainError> {
        for (file, states) in files_of(engine) {
            let path = self.path.join(file);
            let mut reader = fs.reader(&path).map_err(|e| RunFsError::io("read", &path, e))?;
            read_tensors(&path, &mut *reader, engine, states)?;
        }
        if let Some(kept) = &self.progress.kept_ranks {
            engine.set_kept_ranks(kept)?;
        }
        Ok(())
    }
}

/// Those of [`FILES`] that hold something.
fn files_of(engine: &Engine) -> Vec<(&'static str, &'static [(&'static str, State)])> {
    FILES.into_iter().filter(|(_, states)| !entries(engine, states).is_empty()).collect()
}

/// The tensors of a file, and where each one's values are: type by type, the widest first, so that each begins where its
/// type may; then by name.
fn entries(engine: &Engine, states: &[(&str, State)]) -> Vec<(Declared, State, usize)> {
    let mut all = Vec::new();
    for (i, p) in engine.params().iter().enumerate() {
        for (prefix, state) in states {
            let Some((dtype, shape)) = engine.held_as(*state, i) else { continue };
            all.push((Declared { name: format!("{prefix}{}", p.name), dtype, shape }, *state, i));
        }
    }
    all.sort_by(|(a, ..), (b, ..)| (b.dtype.bitsize(), &a.name).cmp(&(a.dtype.bitsize(), &b.name)));
    all
}

/// `prefix + name` of every parameter's tensors, one of them in memory at a time.
fn write_tensors(out: &mut dyn std::io::Write, engine: &Engine, states: &[(&str, State)]) -> std::io::Result<()> {
    let (declared, places): (Vec<Declared>, Vec<(State, usize)>) =
        entries(engine, states).into_iter().map(|(t, state, i)| (t, (state, i))).unzip();
    out.write_all(&weights::safetensors_head(&declared, &BTreeMap::new()).map_err(std::io::Error::other)?)?;
    places.into_iter().try_for_each(|(state, i)| {
        let held = engine.held(state, i).map_err(std::io::Error::other)?;
        out.write_all(held.bytes())
    })
}

/// Sets the engine's tensors to those of a file that [`write_tensors`] made, refusing others, other shapes and types.
fn read_tensors(
    path: &Path,
    file: &mut dyn std::io::Read,
    engine: &mut Engine,
    states: &[(&str, State)],
) -> Result<(), TrainError> {
    let refuse =
        |tensor: &str, problem| TrainError::StateTensor { path: path.to_owned(), tensor: tensor.to_owned(), problem };
    let damaged = |why: String| TrainError::RunFile { path: path.to_owned(), why };
    let mut read = |bytes: usize| -> Result<Vec<u8>, TrainError> {
        let mut out = vec![0; bytes];
        file.read_exact(&mut out).map_err(|e| RunFsError::io("read", path, e))?;
        Ok(out)
    };
    let length = read(8)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
    if length > HEADER_BYTES_MAX {
        return Err(damaged(format!("a header of {length} bytes")));
    }
    let header: Metadata = serde_json::from_slice(&read(length as usize)?).map_err(|e| damaged(e.to_string()))?;
    let mut awaited: BTreeMap<String, (Declared, State, usize)> =
        entries(engine, states).into_iter().map(|entry| (entry.0.name.clone(), entry)).collect();
    // In the order of their bytes.
    for name in header.offset_keys() {
        let (expected, state, i) =
            awaited.remove(&name).ok_or_else(|| refuse(&name, "not one of this run's tensors"))?;
        let found = header.info(&name).ok_or_else(|| refuse(&name, "missing"))?;
        if found.shape != expected.shape {
            let (path, expected, got) = (path.to_owned(), expected.shape, found.shape.clone());
            return Err(TrainError::StateShape { path, tensor: name, expected, got });
        }
        if found.dtype != expected.dtype {
            return Err(refuse(&name, if expected.dtype == Dtype::U8 { "not of type U8" } else { "not of type F32" }));
        }
        let bytes = read(expected.bytes())?;
        let held = match expected.dtype {
            Dtype::U8 => Held::U8(bytes),
            _ => Held::F32(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()),
        };
        engine.set_held(state, i, &held)?;
    }
    match awaited.into_keys().next() {
        None => Ok(()),
        Some(missing) => Err(refuse(&missing, "missing")),
    }
}

/// The plan as a value without the fields that may change between an interruption and its resume: where the folder
/// and copies of the base lie, what is asked when all is done, and what a machine gives the run (threads, memory, how many old checkpoints it has room for).
fn plan_identity(plan: &Plan) -> Result<Value, TrainError> {
    let mut meant = plan.clone();
    // A λ that was found is as good as one that was given.
    for part in &mut meant.ewc {
        part.lambda = part.lambda.value().map_or(part.lambda, Lambda::Given);
    }
    let mut value = serde_json::to_value(&meant)
        .map_err(|e| TrainError::RunFile { path: plan.out.join("plan.json"), why: e.to_string() })?;
    if let Value::Object(top) = &mut value {
        top.remove("out");
        top.remove("quantize_cache");
        top.remove("eval");
        if let Some(Value::Object(train)) = top.get_mut("train") {
            for key in ["threads", "memory", "checkpoints_keep"] {
                train.remove(key);
            }
        }
    }
    Ok(value)
}

/// The dotted path of the first place where two values differ, and both there.
fn first_difference(at: &str, was: &Value, now: &Value) -> Option<(String, String, String)> {
    let join = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    match (was, now) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
            keys.into_iter().find_map(|k| {
                first_difference(&join(k), a.get(k).unwrap_or(&Value::Null), b.get(k).unwrap_or(&Value::Null))
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(i, (x, y))| first_difference(&join(&i.to_string()), x, y))
        }
        _ if was == now => None,
        _ => Some((at.to_owned(), was.to_string(), now.to_string())),
    }
}

fn to_json(value: &impl Serialize, name: &str) -> Result<Vec<u8>, TrainError> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|e| TrainError::RunFile { path: name.into(), why: e.to_string() })?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_named_by_their_path() {
        let was = json!({"train": {"lr": 0.1, "seed": 1}, "data": {"train": [{"path": "a"}]}});
        for (now, field) in [
            (json!({"train": {"lr": 0.2, "seed": 1}, "data": {"train": [{"path": "a"}]}}), "train.lr"),
            (json!({"train": {"lr": 0.1, "seed": 1}, "data": {"train": [{"path": "b"}]}}), "data.train.0.path"),
            (json!({"train": {"lr": 0.1, "seed": 1}, "data": {"train": []}}), "data.train"),
            (json!({"train": {"lr": 0.1, "seed": 1, "clip": 1}, "data": {"train": [{"path": "a"}]}}), "train.clip"),
        ] {
            assert_eq!(first_difference("", &was, &now).unwrap().0, field);
        }
        assert_eq!(first_difference("", &was, &was), None);
    }

    /// A checkpoint of a large model's adapter is larger than what memory is left.
    #[test]
    fn one_tensor_is_in_memory_at_a_time() {
        let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/models/stories260K"));
        let plan: model::AdapterPlan = serde_json::from_value(json!({
            "method": "lora", "r": 32, "alpha": 8.0, "dropout": 0.0, "rslora": false, "targets": "all-linear",
            "exclude": [], "layers": null, "rank_pattern": [], "alpha_pattern": [], "modules_to_save": [],
            "ensure_weight_tying": false, "bias": "none", "init": "kaiming", "start_from": null, "seed": 0,
            "base_name": "",
        }))
        .unwrap();
        let limits = model::Limits {
            tokens_max: 8,
            seq_len_max: 8,
            memory: Some(1 << 30),
            threads: Some(1),
            precision: model::Precision::F32,
            quantize: model::Quantize::None,
            optimizer: model::Optimizer::AdamW,
            beside: 0,
        };
        let mut engine = Engine::load(dir, &plan, &limits).unwrap();
        let temp = tempfile::tempdir().unwrap();
        let identity = Identity { plan: json!({}), data_sha256: String::new(), model_sha256: String::new() };
        let path = publish(&store(temp.path(), 2), &runfs::RealFs, &engine, &Progress::default(), &identity).unwrap();
        let loaded = load(&runfs::RealFs, &path, &mut |_| {}).unwrap();
        let seen = allocation_counter::measure(|| loaded.restore(&runfs::RealFs, &mut engine).unwrap());
        let written = allocation_counter::measure(|| {
            engine.adapter_files().iter().for_each(|f| f.write(&mut std::io::sink()).unwrap());
        });
        let params = engine.params();
        let elements = params.iter().map(|p| p.shape.iter().product::<usize>());
        let largest = 4 * elements.clone().max().unwrap() as u64;
        let names = 400 * params.len() as u64;
        let all = 4 * elements.sum::<usize>() as u64;
        for seen in [seen, written] {
            assert!(seen.bytes_max < 2 * largest + 5 * names, "{seen:?}, the largest tensor has {largest} bytes");
            assert!(seen.bytes_max < all / 2, "{seen:?}");
        }
    }

    /// serde_json reads floats inexactly unless its `float_roundtrip` is on: a resumed run then wrote other bytes.
    #[test]
    fn losses_read_back_to_the_last_bit() {
        for valid_loss in [3.801917195755855, 0.0009549150281252633, 1.0 / 3.0, f64::MIN_POSITIVE] {
            let progress = Progress { best: Some(Best { step: 1, valid_loss, times: 0 }), ..Progress::default() };
            let text = serde_json::to_string(&progress).unwrap();
            assert_eq!(serde_json::from_str::<Progress>(&text).unwrap(), progress);
        }
    }
}
