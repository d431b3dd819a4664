//! What a run does besides stopping when validation gets no better: it goes back to its best adapter, gives it less room (fewer
//! ranks, or more dropout), and goes on.
//!
//! What it goes on from is written to a folder of its own before anything else changes, named by how often that was done, so
//! that a run which is cut afterwards finds it again even where a better `best/` has replaced the one it was made of.

use crate::checkpoint::{Identity, Progress};
use crate::publish::{beside_the_weights, copy, write_smaller};
use crate::{OnOverfit, Plan, TrainError};
use model::adapters::plan_from;
use model::{AdapterPlan, Keep, LoraPlan, Shrunk};
use runfs::{Fs, RunFsError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use weights::peft::CONFIG_FILE;

const FOLDER: &str = "restarts";
const RECORD: &str = "athanor_restart.json";
/// Of a module's ‖ΔW‖²: more than half the ranks stay where that holds so much and half do not.
const KEPT: f64 = 0.9;
const DROPOUT_STEP: f64 = 0.1;
const DROPOUT_MAX: f64 = 0.5;

/// What was done last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Relief {
    /// How often, this one counted.
    pub times: u32,
    /// The step after which; the optimiser's moments begin there.
    pub step: u64,
    /// The step whose adapter is gone on from.
    pub from_step: u64,
    /// The largest rank of a module, where ranks have been taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    pub dropout: f64,
    /// ‖ΔW − ΔW'‖² / ‖ΔW‖² over all modules together.
    pub lost: f64,
    /// Modules that kept less than nine tenths of their ‖ΔW‖².
    pub modules_over: usize,
}

/// With what a restart was made, and as what.
#[derive(PartialEq, Serialize, Deserialize)]
struct Record {
    key: String,
    relief: Relief,
}

/// Writes down what the run goes on from after `progress.step`; None: there is nothing left to take away, and it stops.
///
/// # Errors
/// What the best adapter's files and the disk refuse.
pub(crate) fn relieve(
    plan: &Plan,
    fs: &dyn Fs,
    identity: &Identity,
    progress: &Progress,
) -> Result<Option<Relief>, TrainError> {
    let (Some(best), AdapterPlan::Lora(lora)) = (progress.best, &plan.adapter) else { return Ok(None) };
    let before = progress.relief.as_ref();
    let times = before.map_or(0, |relief| relief.times) + 1;
    let dropout = |times: u32| (lora.dropout + DROPOUT_STEP * f64::from(times)).min(DROPOUT_MAX);
    let exhausted = match plan.train.on_overfit {
        OnOverfit::Stop => true,
        OnOverfit::ShrinkRank { times: most } => times > most || before.and_then(|relief| relief.rank) == Some(1),
        OnOverfit::RaiseDropout => before.map_or(lora.dropout, |relief| relief.dropout) >= DROPOUT_MAX,
    };
    if exhausted {
        return Ok(None);
    }
    let (dir, from) = (folder(&plan.out, times), plan.out.join("best"));
    let key = key(identity, progress, times)?;
    if let Some(record) = read(fs, &dir)?.filter(|record| record.key == key) {
        return Ok(Some(record.relief));
    }
    let mut relief = Relief {
        times,
        step: progress.step,
        from_step: best.step,
        rank: None,
        dropout: lora.dropout,
        lost: 0.0,
        modules_over: 0,
    };
    if plan.train.on_overfit == OnOverfit::RaiseDropout {
        relief.dropout = dropout(times);
        let (record, files) = (json(&Record { key, relief: relief.clone() })?, beside_weights_too(&from)?);
        runfs::publish_dir(fs, &dir, &mut |staged| {
            copy(&files, staged)?;
            staged.file(RECORD, &mut |file| file.write_all(&record))
        })?;
        return Ok(Some(relief));
    }
    // The best adapter may be from before the last time; its ranks are halved for each since.
    let halvings = times - best.times;
    let smaller = model::shrink(&from, Keep::Halved { times: halvings, share: KEPT })?;
    if smaller.modules.iter().all(|module| module.before == 1) {
        return Ok(None);
    }
    relief.rank = smaller.modules.iter().map(|module| module.after).max();
    relief.lost = smaller.lost * smaller.lost;
    relief.modules_over = smaller.modules.iter().filter(|module| over(module)).count();
    let record = json(&Record { key, relief: relief.clone() })?;
    write_smaller(&smaller, fs, &dir, &[(RECORD, &record)])?;
    Ok(Some(relief))
}

fn over(module: &Shrunk) -> bool {
    module.lost * module.lost > 1.0 - KEPT
}

/// What the engine is loaded with.
///
/// # Errors
/// What is wrong with a restart's folder.
pub(crate) fn adapter_plan(plan: &Plan, relief: Option<&Relief>) -> Result<AdapterPlan, TrainError> {
    let (Some(relief), AdapterPlan::Lora(lora)) = (relief, &plan.adapter) else { return Ok(plan.adapter.clone()) };
    let from = plan_from(&folder(&plan.out, relief.times), lora.seed)?;
    Ok(AdapterPlan::Lora(Box::new(LoraPlan {
        dropout: relief.dropout,
        lr_ratio: lora.lr_ratio,
        other_base: lora.other_base,
        base_name: lora.base_name.clone(),
        ..from
    })))
}

/// The adapter as large as it can become: where dropout may be raised, there is room for its masks from the start.
pub(crate) fn largest(plan: &Plan) -> AdapterPlan {
    match (&plan.adapter, plan.train.on_overfit) {
        (AdapterPlan::Lora(lora), OnOverfit::RaiseDropout) => {
            AdapterPlan::Lora(Box::new(LoraPlan { dropout: lora.dropout.max(DROPOUT_STEP), ..(**lora).clone() }))
        }
        (adapter, _) => adapter.clone(),
    }
}

/// How many restarts a run may write.
pub(crate) fn most(plan: &Plan) -> u64 {
    match plan.train.on_overfit {
        OnOverfit::Stop => 0,
        OnOverfit::ShrinkRank { times } => u64::from(times),
        OnOverfit::RaiseDropout => (DROPOUT_MAX / DROPOUT_STEP) as u64,
    }
}

impl Relief {
    /// For a reader: what is done, and what it costs.
    pub(crate) fn told(&self, patience: u32) -> String {
        let Relief { step, from_step, dropout, modules_over, .. } = self;
        let since =
            format!("step {step}: no better for {patience} validations; going on from step {from_step}'s adapter");
        match self.rank {
            None => format!("{since} with a dropout of {dropout:.1}"),
            Some(rank) => {
                let few = match modules_over {
                    0 => String::new(),
                    n => format!("; {n} modules kept less than {:.0} % of their own", 100.0 * KEPT),
                };
                format!("{since} with a rank of at most {rank}: {:.2} % of ‖ΔW‖² went{few}", 100.0 * self.lost)
            }
        }
    }
}

fn folder(out: &Path, times: u32) -> PathBuf {
    out.join(FOLDER).join(times.to_string())
}

fn key(identity: &Identity, progress: &Progress, times: u32) -> Result<String, TrainError> {
    let of = serde_json::json!([identity, progress.step, progress.best, times]);
    Ok(runfs::sha256_hex(of.to_string().as_bytes()))
}

fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<Record>, TrainError> {
    runfs::recover_dir(fs, dir)?;
    let path = dir.join(RECORD);
    if !fs.exists(&path) {
        return Ok(None);
    }
    let bytes = fs.read(&path).map_err(|e| RunFsError::io("read", &path, e))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|e| TrainError::RunFile { path, why: e.to_string() })
}

fn json(record: &Record) -> Result<Vec<u8>, TrainError> {
    serde_json::to_vec(record).map_err(|e| TrainError::RunFile { path: RECORD.into(), why: e.to_string() })
}

/// All files of an adapter's folder but its manifest.
fn beside_weights_too(dir: &Path) -> Result<Vec<(String, PathBuf)>, RunFsError> {
    let mut files = beside_the_weights(dir)?;
    for name in [weights::peft::TENSORS_FILE, CONFIG_FILE] {
        if !files.iter().any(|(held, _)| held == name) {
            files.push((name.to_owned(), dir.join(name)));
        }
    }
    Ok(files)
}
