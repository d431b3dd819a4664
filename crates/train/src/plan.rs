//! A run as meant: what `plan.json` holds and everything after parsing works on. CONTRACT with `cli`.

use crate::TrainError;
use model::{AdaSchedule, AdapterPlan, InitWeights, Optimizer, Precision, Quantize, Span};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// AdamW counts its updates in 32 bits.
const STEPS_MAX: u64 = u32::MAX as u64;
const EPOCHS_MAX: f64 = 1e6;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Absolute.
    pub model: PathBuf,
    #[serde(default)]
    pub quantize: Quantize,
    /// Where bases quantised here are kept for later runs; absolute. None: nowhere.
    #[serde(default)]
    pub quantize_cache: Option<PathBuf>,
    pub data: data::DataPlan,
    pub adapter: model::AdapterPlan,
    /// What is held on to (elastic weight consolidation).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ewc: Vec<EwcPlan>,
    pub train: TrainPlan,
    /// Kept in `plan.json` for the program, which asks the finished run; training looks at none of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval: Option<AskPlan>,
    /// Absolute.
    pub out: PathBuf,
}

/// What the model is asked before and after, and what is required of the answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AskPlan {
    /// Suites of what it is tuned for; absolute.
    pub task: Vec<PathBuf>,
    /// Suites of what it is not to forget; absolute.
    pub general: Vec<PathBuf>,
    /// Conditions as `athanor eval --require` has them.
    pub require: Vec<String>,
    /// Of each suite so many rows, chosen by `train.seed`. None: all.
    pub limit: Option<u64>,
    pub language: PageLanguage,
}

/// Of the page that is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageLanguage {
    #[default]
    En,
    Zh,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainPlan {
    pub length: RunLength,
    /// Units (examples, or packed rows) in an optimiser step.
    pub batch: usize,
    /// Most tokens in one forward pass; a step's batch is cut into as many passes as needed. None: from the memory plan.
    pub micro_tokens: Option<usize>,
    #[serde(default)]
    pub optimizer: Optimizer,
    pub lr: f64,
    pub schedule: Schedule,
    pub warmup: Warmup,
    pub weight_decay: f64,
    pub betas: (f64, f64),
    pub eps: f64,
    /// Largest gradient norm; None: no clipping.
    pub clip: Option<f64>,
    pub seed: u64,
    pub precision: Precision,
    pub checkpoint_every: u64,
    pub checkpoints_keep: usize,
    /// Steps between validations; None: at each checkpoint and at the end.
    pub eval_every: Option<u64>,
    pub early_stop: Option<EarlyStop>,
    /// When its patience has run out.
    #[serde(default, skip_serializing_if = "OnOverfit::stops")]
    pub on_overfit: OnOverfit,
    /// Bytes; None: what is free, less a margin.
    pub memory: Option<u64>,
    pub threads: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunLength {
    Steps(u64),
    Epochs(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    Constant,
    Linear,
    Cosine,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warmup {
    Steps(u64),
    /// Of all steps, rounded up (as Trainer's warmup_ratio).
    Ratio(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStop {
    /// Validations without improvement before the run stops.
    pub patience: u32,
    pub min_delta: f64,
}

/// What a run does when validation gets no better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOverfit {
    #[default]
    Stop,
    /// Goes on from the best adapter with half the ranks, at most so many times; then it stops.
    ShrinkRank { times: u32 },
    /// Goes on from the best adapter with 0.1 more dropout, up to 0.5; then it stops.
    RaiseDropout,
}

impl OnOverfit {
    fn stops(&self) -> bool {
        *self == OnOverfit::Stop
    }
}

/// Adds (λ/2) Σ F (θ − θ*)² to the loss of each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EwcPlan {
    pub of: EwcOf,
    pub lambda: Lambda,
    /// Examples that F is measured on, at most.
    pub examples: usize,
}

/// λ, against the mean loss per supervised token, with F the mean of squared gradients of examples' mean losses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Lambda {
    Given(f64),
    Sought(Sought),
}

/// A λ that is found on short probes before the first step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sought {
    /// By what part of itself the loss on what is held may rise: 0.02 is from 1.50 to 1.53 nats.
    pub rise: f64,
    /// Steps of a probe; None: see [`crate::probe_steps`].
    #[serde(default)]
    pub steps: Option<u64>,
    /// What the run has found; None before.
    #[serde(default)]
    pub found: Option<f64>,
}

impl Lambda {
    /// None while it is still to be found.
    pub fn value(&self) -> Option<f64> {
        match self {
            Lambda::Given(lambda) => Some(*lambda),
            Lambda::Sought(sought) => sought.found,
        }
    }

    pub fn sought(&self) -> Option<&Sought> {
        match self {
            Lambda::Given(_) => None,
            Lambda::Sought(sought) => Some(sought),
        }
    }
}

/// What is held, and what F is measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EwcOf {
    /// The base, on general data: whatever the adapter makes of it.
    Base(Vec<data::Source>),
    /// The adapter that is gone on from, on the training data of an earlier run; what that run held of its own adapter counts
    /// on, `decay` times as much.
    Run { dir: PathBuf, decay: f64 },
    /// As a file of an earlier run has it.
    File(PathBuf),
}

impl Plan {
    /// When AdaLoRA masks ranks in a run of so many steps; None: ranks stay.
    ///
    /// # Errors
    /// `TooFewSteps`.
    pub(crate) fn rank_schedule(&self, steps: u64) -> Result<Option<AdaSchedule>, TrainError> {
        let AdapterPlan::Lora(lora) = &self.adapter else { return Ok(None) };
        let Some(ada) = &lora.ada else { return Ok(None) };
        let shown = |span: Span| match span {
            Span::Steps(n) => n.to_string(),
            Span::Share(share) => format!("{:.0} %", 100.0 * share),
        };
        let few = || TrainError::TooFewSteps { steps, warmup: shown(ada.warmup), last: shown(ada.last) };
        ada.schedule(steps).ok_or_else(few).map(Some)
    }

    /// Refuses what no run can mean, naming the key. Whether data, model and memory agree with the plan is found later.
    pub fn check(&self) -> Result<(), TrainError> {
        let t = &self.train;
        let require = |holds: bool, field: &'static str, why: &str| match holds {
            true => Ok(()),
            false => Err(TrainError::Plan { field, why: why.to_owned() }),
        };
        require(!matches!(self.adapter, AdapterPlan::None), "adapter.method", "none trains nothing")?;
        require(
            self.data.lengths.seq_len_max >= 2,
            "train.seq_len_max",
            "at least 2: a token and the one it predicts",
        )?;
        match t.length {
            RunLength::Steps(n) => require((1..=STEPS_MAX).contains(&n), "train.steps", "from 1 to 4294967295")?,
            RunLength::Epochs(e) => {
                require(e.is_finite() && e > 0.0 && e <= EPOCHS_MAX, "train.epochs", "above 0, at most 1000000")?
            }
        }
        // How many steps epochs have is known when the data are.
        if let RunLength::Steps(steps) = t.length {
            self.rank_schedule(steps)?;
        }
        require(t.batch >= 1, "train.batch", "at least 1")?;
        require(t.micro_tokens.is_none_or(|n| n >= 2), "train.micro_tokens", "at least 2")?;
        require(t.lr.is_finite() && t.lr >= 0.0, "train.lr", "a number from 0 on")?;
        if let Warmup::Ratio(r) = t.warmup {
            require((0.0..=1.0).contains(&r), "train.warmup", "a share from 0 to 1, or a number of steps")?;
        }
        require(t.weight_decay.is_finite() && t.weight_decay >= 0.0, "train.weight_decay", "a number from 0 on")?;
        require(
            (0.0..1.0).contains(&t.betas.0) && (0.0..1.0).contains(&t.betas.1),
            "train.betas",
            "each from 0 to below 1",
        )?;
        require(t.eps.is_finite() && t.eps > 0.0, "train.eps", "above 0")?;
        require(
            t.clip.is_none_or(|c| c.is_finite() && c > 0.0),
            "train.clip",
            "above 0; leave it out for no clipping",
        )?;
        require(t.checkpoint_every >= 1, "train.checkpoint_every", "at least 1 step")?;
        require(t.eval_every.is_none_or(|n| n >= 1), "train.eval_every", "at least 1 step")?;
        require(t.threads.is_none_or(|n| n >= 1), "train.threads", "at least 1")?;
        for part in &self.ewc {
            let known = part.lambda.value().unwrap_or_default();
            require(known.is_finite() && known >= 0.0, "ewc.lambda", "a number from 0 on")?;
            if let Some(sought) = part.lambda.sought() {
                require(sought.rise > 0.0 && sought.rise < 1.0, "ewc.rise", "a share between 0 and 1")?;
                require(sought.steps.is_none_or(|n| n >= 1), "ewc.probe_steps", "at least 1")?;
                let measurable = !matches!(part.of, EwcOf::File(_));
                require(
                    measurable,
                    "ewc.rise",
                    "a file has no rows to measure it on; name ewc.general, or give ewc.lambda",
                )?;
            }
            require(part.examples >= 1, "ewc.examples", "at least 1")?;
            if let EwcOf::Run { decay, .. } = part.of {
                require((0.0..=1.0).contains(&decay), "ewc.decay", "from 0 to 1")?;
                let goes_on = matches!(&self.adapter, AdapterPlan::Lora(lora) if lora.start_from.is_some());
                require(goes_on, "ewc.run", "holds the adapter that adapter.start_from names; name that run's")?;
            }
        }
        let sought = self.ewc.iter().filter(|part| part.lambda.sought().is_some()).count();
        require(sought <= 1, "ewc.rise", "in one part alone; give the others ewc.lambda")?;
        if let Some(replay) = &self.data.replay {
            require(replay.share > 0.0 && replay.share < 1.0, "replay.share", "a share between 0 and 1")?;
            require(
                replay.sources.is_empty() == replay.written.is_some(),
                "replay",
                "needs sources or texts to write",
            )?;
            if let Some(written) = &replay.written {
                let fits = |n| (2..=self.data.lengths.seq_len_max).contains(&n);
                require(written.texts >= 1, "replay.self", "at least 1 text")?;
                require(written.tokens.is_none_or(fits), "replay.tokens", "from 2 to train.seq_len_max")?;
            }
            require(replay.buffer.is_none_or(|n| n >= 1), "replay.buffer", "at least 1 row")?;
            let measured = replay.choose != data::Choose::Forgotten || self.data.valid.is_some();
            require(measured, "replay.choose", "forgotten needs data.valid: rows are measured at each validation")?;
        }
        require(
            self.data.unseen.is_empty() || self.data.valid.is_some(),
            "data.unseen",
            "needs data.valid, which it is compared with",
        )?;
        if let Some(mix) = &self.data.mix {
            require(mix.uses.is_none_or(|n| n >= 1), "data.mix.uses", "at least 1")?;
            require(mix.tasks.iter().all(|t| t.cap.is_none_or(|n| n >= 1)), "data.train.cap", "at least 1 example")?;
            let power = if let data::Shares::Temperature(t) = mix.shares { t } else { 1.0 };
            require((0.0..=1.0).contains(&power), "data.mix.temperature", "from 0 (all alike) to 1 (by size)")?;
        }
        if let Some(e) = t.early_stop {
            require(self.data.valid.is_some(), "train.early_stop", "needs data.valid")?;
            require(e.patience >= 1, "train.early_stop.patience", "at least 1 validation")?;
            require(e.min_delta.is_finite() && e.min_delta >= 0.0, "train.early_stop.min_delta", "a number from 0 on")?;
        }
        self.check_on_overfit()
    }

    /// Only a plain LoRA is the same adapter with other ranks, or begins anew from its files.
    fn check_on_overfit(&self) -> Result<(), TrainError> {
        let refuse = |why: &str| Err(TrainError::Plan { field: "train.on_overfit", why: why.to_owned() });
        if self.train.on_overfit.stops() {
            return Ok(());
        }
        if self.train.early_stop.is_none() {
            return refuse("needs train.early_stop, whose patience says when");
        }
        if self.train.on_overfit == (OnOverfit::ShrinkRank { times: 0 }) {
            return refuse("train.shrinks is at least 1; set train.on_overfit to stop for none");
        }
        if !self.ewc.is_empty() {
            return refuse(
                "goes on from another adapter than the one that ewc holds; set it to stop, or leave out ewc",
            );
        }
        let AdapterPlan::Lora(lora) = &self.adapter else { return Ok(()) };
        if lora.full || lora.dora || lora.ada.is_some() {
            return refuse("needs adapter.method: lora; set it to stop with other methods");
        }
        if lora.init == InitWeights::Pissa {
            return refuse(
                "goes on from a saved adapter, which is not PiSSA's any more; change adapter.init, or set it to stop",
            );
        }
        Ok(())
    }
}
