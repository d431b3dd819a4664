//! `athanor merge`: an adapter folded into its base, and how far the result computes what the two did.

use crate::publish::publish_model;
use crate::{Event, TrainError};
use model::adapters::plan_from;
use model::{
    AdapterPlan, BaseRecord, Batch, Engine, IGNORE, Limits, LoraPlan, ModelConfig, Optimizer, Precision, Quantize,
    beginnings, divergence, sample,
};
use runfs::{Fs, RunFsError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What both are compared on: texts that the tuned model itself writes.
const TEXTS: usize = 8;
const TOKENS: usize = 32;

/// What is merged, and how.
#[derive(Clone, Debug)]
pub struct MergePlan {
    pub adapter: PathBuf,
    pub base: PathBuf,
    pub out: PathBuf,
    /// Of every tensor; None: the base's own types.
    pub dtype: Option<weights::Dtype>,
    /// What the base's layers go through before the adapter is added to them: an adapter was trained beside the values
    /// that they have in 4 bits. None: as the adapter's folder says, and as they are where it does not.
    pub quantize: Option<Quantize>,
    pub threads: Option<usize>,
    /// Also where the adapter was trained on another base.
    pub other_base: bool,
    /// Whether to measure what merging changed.
    pub check: bool,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct Merged {
    pub out: PathBuf,
    pub bytes: u64,
    /// What the base's layers went through.
    pub quantize: Quantize,
    /// KL(adapter beside the base ‖ merged) in nats a token, of the merged weights in f32 and as they are written.
    pub kl_before_rounding: Option<f64>,
    pub kl: Option<f64>,
}

/// Writes the model with the adapter folded in to the new folder `out`, which appears whole or not at all.
///
/// # Errors
/// `OutExists`, `DiskSpace`, `InterruptedWriting` (nothing stays), `InterruptedComparing` (the model stays), and what the
/// model, the adapter and the disk refuse.
pub fn merge(
    plan: &MergePlan,
    fs: &dyn Fs,
    stop: &AtomicBool,
    on: &mut dyn FnMut(Event),
) -> Result<Merged, TrainError> {
    let MergePlan { adapter, base, out, dtype, .. } = plan;
    if fs.exists(out) {
        return Err(TrainError::OutExists { dir: out.clone() });
    }
    on(Event::Phase("model"));
    let quantize = match plan.quantize {
        Some(given) => given,
        None => BaseRecord::read(adapter)?.map_or(Quantize::None, |record| record.quantize),
    };
    let lora = AdapterPlan::Lora(Box::new(LoraPlan { other_base: plan.other_base, ..plan_from(adapter, 0)? }));
    let engine = Engine::load(base, &lora, &limits(base, plan, quantize)?)?;
    let files = engine.merged_files(*dtype)?;
    let bytes = files.bytes();
    // The comparison also needs the weights before they are rounded, on the same disk.
    let exact = if plan.check && files.rounds() { engine.merged_files(Some(weights::Dtype::F32))?.bytes() } else { 0 };
    require(fs, out, bytes, exact)?;
    on(Event::Phase("merge"));
    publish_model(&files, fs, base, out, stop)?;
    drop(files);
    let mut merged = Merged { out: out.clone(), bytes, quantize, kl_before_rounding: None, kl: None };
    if plan.check {
        on(Event::Phase("compare"));
        let (before, after) =
            compare(engine, plan, exact > 0, fs, stop).map_err(|e| match stop.load(Ordering::Relaxed) {
                true => TrainError::InterruptedComparing { dir: out.clone() },
                false => e,
            })?;
        (merged.kl_before_rounding, merged.kl) = (Some(before), Some(after));
    }
    Ok(merged)
}

/// Room for the merged weights and, while they are compared, for those before rounding.
fn require(fs: &dyn Fs, out: &Path, bytes: u64, exact: u64) -> Result<(), TrainError> {
    let parent = parent(out);
    runfs::create_dir_durable(fs, parent)?;
    let free = fs.free_bytes(parent).map_err(|e| RunFsError::io("ask the free space of", parent, e))?;
    let needed = bytes.saturating_add(exact);
    if needed <= free {
        return Ok(());
    }
    let what = match exact {
        0 => "the merged weights",
        _ => "the merged weights, and those before rounding to compare them with,",
    };
    Err(TrainError::DiskSpace { path: out.to_owned(), what, needed, free })
}

/// The divergence of the merged weights before rounding, and as they are in `plan.out`. Where a signal came, an error.
fn compare(
    mut engine: Engine,
    plan: &MergePlan,
    rounded: bool,
    fs: &dyn Fs,
    stop: &AtomicBool,
) -> Result<(f64, f64), TrainError> {
    let MergePlan { base, out, .. } = plan;
    let go_on = || match stop.load(Ordering::Relaxed) {
        true => Err(TrainError::InterruptedComparing { dir: out.clone() }),
        false => Ok(()),
    };
    let vocab = engine.config().vocab;
    let firsts = beginnings(base, vocab, TEXTS)?;
    let tokens = limits(base, plan, Quantize::None)?.seq_len_max;
    let ids = sample(&mut engine, &firsts, &[], tokens, 0, &mut || !stop.load(Ordering::Relaxed))?;
    go_on()?;
    let beside = logits(&mut engine, &ids)?;
    let parent = parent(out);
    // Exact merged weights, for as long as it takes to compute with them.
    let scratch = tempfile::tempdir_in(parent).map_err(|e| RunFsError::io("create a folder in", parent, e))?;
    let whole = scratch.path().join("f32");
    if rounded {
        publish_model(&engine.merged_files(Some(weights::Dtype::F32))?, fs, base, &whole, stop)?;
    }
    drop(engine);
    let of = |dir: &Path| -> Result<f64, TrainError> {
        go_on()?;
        let mut engine = Engine::load(dir, &AdapterPlan::None, &limits(dir, plan, Quantize::None)?)?;
        go_on()?;
        Ok(divergence(&beside, &logits(&mut engine, &ids)?, vocab))
    };
    let after = of(out)?;
    Ok((if rounded { of(&whole)? } else { after }, after))
}

fn parent(out: &Path) -> &Path {
    out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn limits(model: &Path, plan: &MergePlan, quantize: Quantize) -> Result<Limits, TrainError> {
    let tokens = TOKENS.min(ModelConfig::read(model)?.position_max);
    Ok(Limits {
        tokens_max: TEXTS * tokens,
        seq_len_max: tokens,
        memory: None,
        threads: plan.threads,
        precision: Precision::F32,
        quantize,
        optimizer: Optimizer::AdamW,
        beside: 0,
    })
}

fn logits(engine: &mut Engine, texts: &[Vec<u32>]) -> Result<Vec<f32>, TrainError> {
    let ids = texts.concat();
    let cu: Vec<usize> = std::iter::once(0)
        .chain(texts.iter().scan(0, |at, t| {
            *at += t.len();
            Some(*at)
        }))
        .collect();
    Ok(engine.logits(Batch { ids: &ids, targets: &vec![IGNORE; ids.len()], cu: &cu })?)
}
