//! `athanor merge`: an adapter folded into its base, and how far the result computes what the two did.

use crate::publish::publish_model;
use crate::{Event, TrainError};
use model::adapters::plan_from;
use model::{
    AdapterPlan, Batch, Engine, IGNORE, Limits, LoraPlan, ModelConfig, Optimizer, Precision, Quantize, divergence,
    sample,
};
use runfs::{Fs, RunFsError};
use std::path::{Path, PathBuf};

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
    /// KL(adapter beside the base ‖ merged) in nats a token, of the merged weights in f32 and as they are written.
    pub kl_before_rounding: Option<f64>,
    pub kl: Option<f64>,
}

/// Writes the model with the adapter folded in to the new folder `out`, which appears whole or not at all.
///
/// # Errors
/// `OutExists`, `DiskSpace`, and what the model, the adapter and the disk refuse.
pub fn merge(plan: &MergePlan, fs: &dyn Fs, on: &mut dyn FnMut(Event)) -> Result<Merged, TrainError> {
    let MergePlan { adapter, base, out, dtype, .. } = plan;
    if fs.exists(out) {
        return Err(TrainError::OutExists { dir: out.clone() });
    }
    on(Event::Phase("model"));
    let lora = AdapterPlan::Lora(Box::new(LoraPlan { other_base: plan.other_base, ..plan_from(adapter, 0)? }));
    let mut engine = Engine::load(base, &lora, &limits(base, plan)?)?;
    let files = engine.merged_files(*dtype)?;
    let bytes = files.bytes();
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    runfs::create_dir_durable(fs, parent)?;
    let free = fs.free_bytes(parent).map_err(|e| RunFsError::io("ask the free space of", parent, e))?;
    if bytes > free {
        let (path, what) = (out.clone(), "the merged weights");
        return Err(TrainError::DiskSpace { path, what, needed: bytes, free });
    }
    on(Event::Phase("merge"));
    publish_model(&files, fs, base, out)?;
    drop(files);
    let mut merged = Merged { out: out.clone(), bytes, kl_before_rounding: None, kl: None };
    if !plan.check {
        return Ok(merged);
    }
    on(Event::Phase("compare"));
    let first = 1.min(engine.config().vocab as u32 - 1);
    let ids = sample(&mut engine, first, &[], (TEXTS, limits(base, plan)?.seq_len_max), 0)?;
    let (vocab, beside) = (engine.config().vocab, logits(&mut engine, &ids)?);
    // Exact merged weights, for as long as it takes to compute with them.
    let exact = tempfile::tempdir_in(parent).map_err(|e| RunFsError::io("create a folder in", parent, e))?;
    let whole = exact.path().join("f32");
    publish_model(&engine.merged_files(Some(weights::Dtype::F32))?, fs, base, &whole)?;
    drop(engine);
    for (dir, kl) in [(&whole, &mut merged.kl_before_rounding), (out, &mut merged.kl)] {
        let mut engine = Engine::load(dir, &AdapterPlan::None, &limits(dir, plan)?)?;
        *kl = Some(divergence(&beside, &logits(&mut engine, &ids)?, vocab));
    }
    Ok(merged)
}

fn limits(model: &Path, plan: &MergePlan) -> Result<Limits, TrainError> {
    let tokens = TOKENS.min(ModelConfig::read(model)?.position_max);
    Ok(Limits {
        tokens_max: TEXTS * tokens,
        seq_len_max: tokens,
        memory: None,
        threads: plan.threads,
        precision: Precision::F32,
        quantize: Quantize::None,
        optimizer: Optimizer::AdamW,
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
