//! Who is asked: something with likelihoods and answers, which a model is and a test's own stand-in as well.

use crate::{Decoding, EvalError};
use data::Encoded;
use model::adapters::plan_from;
use model::{
    AdapterPlan, BaseRecord, Batch, Engine, IGNORE, Limits, LoraPlan, ModelConfig, Optimizer, Precision, Quantize,
};
use std::path::PathBuf;

/// Tokens in a pass where memory allows: beyond this nothing is gained.
const PASS_TOKENS: usize = 2048;

pub trait Subject {
    /// The loss of each supervised token of each row, in nats, in order; before each pass `on` says whether to go on, and after a
    /// no there are none.
    ///
    /// # Errors
    /// What the model refuses.
    fn losses(&mut self, rows: &[&Encoded], on: &mut dyn FnMut() -> bool) -> Result<Option<Vec<Vec<f64>>>, EvalError>;

    /// The tokens that follow each prompt; before each token `on` says whether to go on, and after a no there are none.
    ///
    /// # Errors
    /// What the model refuses.
    fn generate(
        &mut self,
        prompts: &[Vec<u32>],
        how: &Decoding,
        on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<Vec<u32>>>, EvalError>;
}

/// A model's folder, and an adapter beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelPlan {
    pub dir: PathBuf,
    pub adapter: Option<PathBuf>,
    /// Also where the adapter was trained on another base.
    pub other_base: bool,
    /// How the base's layers are held; None: as the adapter's folder says that it was trained.
    pub quantize: Option<Quantize>,
    pub precision: Precision,
    pub memory: Option<u64>,
    pub threads: Option<usize>,
}

/// A model in memory.
pub struct Loaded {
    engine: Engine,
    tokens_max: usize,
}

impl ModelPlan {
    /// The longest sequence that the model was made for.
    ///
    /// # Errors
    /// A folder that is no model's.
    pub fn position_max(&self) -> Result<usize, EvalError> {
        Ok(ModelConfig::read(&self.dir)?.position_max)
    }

    /// How the base's layers are held; the same for a base that an adapter is compared with.
    ///
    /// # Errors
    /// An adapter's record that cannot be read.
    pub fn held(&self) -> Result<Quantize, EvalError> {
        Ok(match (self.quantize, &self.adapter) {
            (Some(given), _) => given,
            (None, Some(adapter)) => BaseRecord::read(adapter)?.map_or(Quantize::None, |record| record.quantize),
            (None, None) => Quantize::None,
        })
    }

    /// Loads it for sequences of at most `seq_len_max` tokens, in passes as large as memory allows.
    ///
    /// # Errors
    /// A model or an adapter that is refused, or does not fit.
    pub fn load(&self, seq_len_max: usize) -> Result<Loaded, EvalError> {
        let adapter = match &self.adapter {
            None => AdapterPlan::None,
            Some(dir) => AdapterPlan::Lora(Box::new(LoraPlan { other_base: self.other_base, ..plan_from(dir, 0)? })),
        };
        model::refuse_other_base(&self.dir, &adapter)?;
        let mut limits = Limits {
            tokens_max: PASS_TOKENS.max(seq_len_max),
            seq_len_max,
            memory: self.memory,
            threads: self.threads,
            precision: self.precision,
            quantize: self.held()?,
            optimizer: Optimizer::AdamW,
            beside: 0,
        };
        // A smaller pass rather than no room for what is written.
        let text = ModelConfig::read(&self.dir)?.text_bytes(seq_len_max);
        loop {
            let memory = model::outline(&self.dir, &adapter, &limits)?.memory;
            if memory.total + text <= memory.limit || limits.tokens_max == seq_len_max {
                break;
            }
            limits.tokens_max = (limits.tokens_max / 2).max(seq_len_max);
        }
        let engine = Engine::load(&self.dir, &adapter, &limits)?;
        Ok(Loaded { engine, tokens_max: limits.tokens_max })
    }
}

impl Subject for Loaded {
    fn losses(&mut self, rows: &[&Encoded], on: &mut dyn FnMut() -> bool) -> Result<Option<Vec<Vec<f64>>>, EvalError> {
        let mut out = Vec::with_capacity(rows.len());
        let mut from = 0;
        while from < rows.len() {
            if !on() {
                return Ok(None);
            }
            let (mut ids, mut targets, mut cu, mut counts) = (Vec::new(), Vec::new(), vec![0], Vec::new());
            while let Some(row) = rows.get(from) {
                if !ids.is_empty() && ids.len() + row.ids.len() > self.tokens_max {
                    break;
                }
                let before = targets.len();
                targets.resize(before + row.ids.len(), IGNORE);
                let supervised = (1..row.ids.len()).filter(|t| row.supervised[*t]);
                counts.push(supervised.map(|t| targets[before + t - 1] = row.ids[t] as i32).count());
                ids.extend_from_slice(&row.ids);
                cu.push(ids.len());
                from += 1;
            }
            let losses = self.engine.losses(Batch { ids: &ids, targets: &targets, cu: &cu })?;
            let mut losses = losses.into_iter().map(f64::from);
            out.extend(counts.into_iter().map(|n| losses.by_ref().take(n).collect::<Vec<f64>>()));
        }
        Ok(Some(out))
    }

    fn generate(
        &mut self,
        prompts: &[Vec<u32>],
        how: &Decoding,
        on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Vec<Vec<u32>>>, EvalError> {
        let mut goes_on = true;
        let answers = self.engine.generate(prompts, how, &mut |_| {
            goes_on = on();
            goes_on
        })?;
        Ok(goes_on.then_some(answers))
    }
}
