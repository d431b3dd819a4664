//! λ found on probes: short stretches of the run that is planned, each from the run's own start, after which the loss on what is
//! held is measured on rows that F was not measured on.
//!
//! A probe is the run shrunk: the same adapter, seed, order of rows, replay and settings, and the whole schedule (warm-up, decay,
//! AdaLoRA's budget) in its few steps. Each begins with an engine that is loaded anew, one at a time, so that nothing of a probe
//! is left in the run, which is the run with the same λ given by hand. What is finished stands in `ewc/probe.json` with a key of
//! everything it depends on but the rise that is allowed: a search that is cut, or begun again with another rise, goes on from it.

use crate::batch::{Cursor, feed};
use crate::checkpoint::Identity;
use crate::evaluate::{EvalLimits, Set, Validation, validate};
use crate::ewc::{self, General, Measuring};
use crate::forgotten::Rehearsal;
use crate::lambda::{Next, Tried, first_rung, next, probe_steps};
use crate::schedule::{learning_rate, warmup_steps};
use crate::{Event, EwcPlan, Lambda, Plan, RunLength, Sought, TrainError, Warmup, steps};
use data::Dataset;
use model::{AdapterPlan, Engine, Span};
use runfs::{Fs, RunFsError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const RECORD: &str = "probe.json";
/// Changes whenever the same plan would be probed otherwise.
const LAYOUT: u32 = 1;
/// Rows that the rise is measured on.
const ROWS_MAX: u64 = 200;
const ROWS_MIN: u64 = 20;
/// Of a probe's steps, the last, whose mean loss is told.
const TAIL: usize = 4;

/// What `run.json` says of a λ that was found, and of what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Risen {
    /// `ewc.rise`.
    pub rise_allowed: f64,
    pub lambda: f64,
    pub probe_steps: u64,
    /// Held rows that the loss is measured on.
    pub rows: u64,
    /// Nats per supervised token before the first step, and after the last; None where that is no number.
    pub general_loss_before: f64,
    pub general_loss: Option<f64>,
    /// Of the loss before: 0.02 is 2 % more.
    pub rise: Option<f64>,
    pub probes: Vec<Tried>,
}

impl Risen {
    pub fn is_within(&self) -> bool {
        self.rise.is_some_and(|rise| rise <= self.rise_allowed)
    }
}

/// `ewc/probe.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    key: String,
    steps: u64,
    rows: u64,
    general_loss_before: f64,
    /// The ladder's first λ; 1 before the probe without any.
    first: f64,
    probes: Vec<Tried>,
}

/// Rows of `data` that the rise is measured on, in order: none of them is one that F is measured on.
///
/// # Errors
/// `TooFewGeneral`.
pub(crate) fn rows(data: &Dataset, part: &EwcPlan, seed: u64) -> Result<Vec<u32>, TrainError> {
    let examples = data.own_len() as u64;
    let fisher = (part.examples as u64).min(examples);
    let rows = (examples - fisher).min(ROWS_MAX);
    if rows < ROWS_MIN {
        return Err(TrainError::TooFewGeneral { examples, fisher, least: ROWS_MIN });
    }
    let order = ewc::order(data, seed);
    let mut rows: Vec<u32> = (fisher..fisher + rows).map(|i| order.at(i) as u32).collect();
    rows.sort_unstable();
    Ok(rows)
}

/// The part of the plan whose λ is to be found.
pub(crate) fn part(plan: &Plan) -> Option<(usize, Sought)> {
    plan.ewc.iter().enumerate().find_map(|(i, part)| part.lambda.sought().map(|sought| (i, *sought)))
}

/// Refuses probes that are too short for what they have to hold; `steps` are the run's.
///
/// # Errors
/// `Plan`.
pub(crate) fn check(plan: &Plan, steps: u64) -> Result<(), TrainError> {
    let Some((_, sought)) = part(plan) else { return Ok(()) };
    let probe = probe_steps(sought.steps, steps);
    shrunk(plan, 0.0, (steps, probe)).rank_schedule(probe).map(drop).map_err(|_| {
        let why = format!("{probe} are too few for AdaLoRA's schedule, all of which a probe goes through");
        TrainError::Plan { field: "ewc.probe_steps", why }
    })
}

/// What probes are made of and measured on.
pub(crate) struct Search<'a> {
    /// As meant, micro_tokens fixed.
    pub plan: &'a Plan,
    pub train: &'a Dataset,
    pub general: &'a [General],
    pub data_hash: &'a str,
    pub measuring: &'a Measuring<'a>,
    /// Most tokens in a pass.
    pub tokens_max: usize,
    /// Of the run, and of a probe.
    pub steps: (u64, u64),
}

/// Probes until λ is found. Returns it with an engine as the run begins: `engine`, where no probe had to be made, or one more
/// of `load`.
///
/// # Errors
/// `NoLambda`; `Interrupted`; what training and the disk refuse.
pub(crate) fn seek(
    s: &Search,
    engine: Engine,
    load: &dyn Fn() -> Result<Engine, TrainError>,
    on: &mut dyn FnMut(Event),
) -> Result<(f64, Engine), TrainError> {
    let Some((_, Sought { rise, .. })) = part(s.plan) else {
        return Err(TrainError::Plan { field: "ewc.rise", why: "is not in the plan".to_owned() });
    };
    on(Event::Phase("probe"));
    let (rows, key) = (s.rows()?, key(s.plan, s.data_hash, s.measuring.model_sha256, s.steps.1)?);
    let mut unused = Some(engine);
    let mut record = match (read(s.measuring.fs, &s.plan.out, &key)?, &mut unused) {
        (None, Some(engine)) => {
            let general_loss_before = s.before(engine, &rows)?;
            Record {
                key,
                steps: s.steps.1,
                rows: rows.len() as u64,
                general_loss_before,
                first: 1.0,
                probes: Vec::new(),
            }
        }
        (found, _) => found.unwrap_or_else(|| unreachable!("an engine is there before the first probe")),
    };
    on(Event::Note(record.begun(rise)));
    record.probes.iter().for_each(|tried| on(Event::Probed { tried, holds: tried.holds(rise) }));
    let lambda = loop {
        match next(&record.probes, rise, record.first) {
            Next::Take(lambda) => break lambda,
            Next::Nothing => return Err(record.nothing_holds(rise)),
            Next::Probe(lambda) => {
                let engine = unused.take().map_or_else(load, Ok)?;
                let (tried, first) = s.probe(engine, lambda, (record.general_loss_before, &rows), on)?;
                record.first = first.unwrap_or(record.first);
                on(Event::Probed { tried: &tried, holds: tried.holds(rise) });
                record.probes.push(tried);
                write(s.measuring.fs, &s.plan.out, &record)?;
            }
        }
    };
    on(Event::Note(record.taken(lambda, rise)));
    on(Event::Phase("model"));
    Ok((lambda, unused.map_or_else(load, Ok)?))
}

impl Search<'_> {
    fn rows(&self) -> Result<Vec<u32>, TrainError> {
        let (data, part) = self.held()?;
        rows(data, part, self.plan.train.seed)
    }

    fn held(&self) -> Result<(&Dataset, &EwcPlan), TrainError> {
        let held = part(self.plan).and_then(|(i, _)| Some((self.general.get(i)?.data.as_ref()?, &self.plan.ewc[i])));
        held.ok_or_else(|| TrainError::Plan { field: "ewc.rise", why: "needs ewc.general".to_owned() })
    }

    fn limits(&self) -> EvalLimits {
        EvalLimits { tokens_max: self.tokens_max, seq_len_max: self.plan.data.lengths.seq_len_max }
    }

    fn before(&self, engine: &mut Engine, rows: &[u32]) -> Result<f64, TrainError> {
        let (data, Measuring { fs, stop, step, .. }) = (self.held()?.0, self.measuring);
        let measured = validate(engine, Set::Rows(data, rows), self.limits(), stop).map_err(|e| match e {
            TrainError::NoExamples { rows, aside, .. } => {
                TrainError::NoExamples { what: "supervised general", rows, aside }
            }
            other => other,
        });
        match measured? {
            Validation::Losses { loss, .. } => Ok(loss),
            Validation::Stopped => Err(TrainError::Interrupted { step: *step }),
            Validation::Bad { value, segments } => {
                Err(steps::bad_batch(*fs, &self.plan.out, (*step, "the general loss", value), &segments)?)
            }
        }
    }

    /// One probe; where it is the one without a penalty, also the ladder's first λ.
    fn probe(
        &self,
        mut engine: Engine,
        lambda: f64,
        (before, rows): (f64, &[u32]),
        on: &mut dyn FnMut(Event),
    ) -> Result<(Tried, Option<f64>), TrainError> {
        let Measuring { stop, step, model_sha256, .. } = *self.measuring;
        let plan = shrunk(self.plan, lambda, self.steps);
        if let Some(ranks) = plan.rank_schedule(self.steps.1)? {
            engine.set_schedule(ranks);
        }
        ewc::hold(&mut engine, &plan, self.general, self.measuring, on)?;
        if lambda == 0.0 {
            // The Fisher has just been measured.
            on(Event::Phase("probe"));
        }
        let losses = self.train(&mut engine, &plan, lambda, on)?;
        let general = match losses {
            Some(_) => loss_of(&mut engine, (self.held()?.0, rows), self.limits(), stop, step)?,
            None => None,
        };
        let tail = losses.as_ref().map(|losses| mean(&losses[losses.len() - losses.len().div_ceil(TAIL)..]));
        let first = match (&losses, tail, part(self.plan)) {
            (Some(losses), Some(tail), Some((i, _))) if lambda == 0.0 => {
                Some(first_rung(losses[0] - tail, ewc::penalty(&mut engine, &plan, i, model_sha256)?))
            }
            _ => None,
        };
        let rise = general.map(|loss| loss / before - 1.0);
        Ok((Tried { lambda, general_loss: general, rise, train_loss: tail }, first))
    }

    /// The losses of its steps; None where numbers went bad.
    fn train(
        &self,
        engine: &mut Engine,
        plan: &Plan,
        lambda: f64,
        on: &mut dyn FnMut(Event),
    ) -> Result<Option<Vec<f64>>, TrainError> {
        let (t, Measuring { stop, step: saved, .. }) = (&plan.train, self.measuring);
        let mut feed = feed(self.train, &plan.data.lengths, t.seed, t.batch);
        // As they are before the first choice.
        let legs = Rehearsal::of(&plan.data, self.train, t.seed).map(|rehearsal| rehearsal.begin(&[]).legs);
        let (legs, ranks) = (legs.unwrap_or_default(), plan.rank_schedule(self.steps.1)?);
        let (mut cursor, mut losses) = (Cursor::default(), Vec::new());
        for step in 1..=self.steps.1 {
            if stop.load(Ordering::Relaxed) {
                return Err(TrainError::Interrupted { step: *saved });
            }
            let (segments, following) = feed(cursor, &legs)?;
            let tasks = self.train.tasks().len();
            let sums = steps::gradients(engine, &segments, self.tokens_max, (t.seed, step), tasks)?;
            if sums.bad().is_some() {
                return Ok(None);
            }
            let lr = learning_rate(t.schedule, t.warmup, t.lr, step, self.steps.1);
            steps::update(engine, &steps::adamw(t, lr, step, sums.grad_norm), ranks, step)?;
            losses.push(sums.loss);
            cursor = following;
            on(Event::Probing { lambda, step, steps: self.steps.1 });
        }
        Ok(Some(losses))
    }
}

/// The run with this λ in a probe's steps: what it counts in steps is as much of them.
fn shrunk(plan: &Plan, lambda: f64, (steps, probe): (u64, u64)) -> Plan {
    let mut plan = plan.clone();
    let share = |n: u64| n as f64 / steps as f64;
    plan.train.length = RunLength::Steps(probe);
    plan.train.warmup = Warmup::Ratio(share(warmup_steps(plan.train.warmup, steps)).min(1.0));
    if let AdapterPlan::Lora(lora) = &mut plan.adapter
        && let Some(ada) = &mut lora.ada
    {
        for span in [&mut ada.warmup, &mut ada.last] {
            if let Span::Steps(n) = *span {
                *span = Span::Share(share(n));
            }
        }
        ada.every = ada.every.map(|n| ((share(n) * probe as f64) as u64).max(1));
    }
    for part in plan.ewc.iter_mut().filter(|part| part.lambda.sought().is_some()) {
        part.lambda = Lambda::Given(lambda);
    }
    plan
}

/// None where it is no number.
fn loss_of(
    engine: &mut Engine,
    (data, rows): (&Dataset, &[u32]),
    limits: EvalLimits,
    stop: &AtomicBool,
    step: u64,
) -> Result<Option<f64>, TrainError> {
    match validate(engine, Set::Rows(data, rows), limits, stop)? {
        Validation::Losses { loss, .. } => Ok(Some(loss)),
        Validation::Stopped => Err(TrainError::Interrupted { step }),
        Validation::Bad { .. } => Ok(None),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

// --- after the run -----------------------------------------------------------------------------------

/// What the rise is measured on when all steps are done.
pub(crate) struct After {
    data: Dataset,
    rows: Vec<u32>,
    record: Record,
    rise: f64,
    lambda: f64,
}

impl After {
    /// None where the plan gives λ; also, with a note, where the search's record is gone.
    ///
    /// # Errors
    /// What reading the record refuses.
    pub fn of(
        (plan, steps): (&Plan, u64),
        general: Vec<General>,
        (data_hash, model_sha256): (&str, &str),
        fs: &dyn Fs,
        on: &mut dyn FnMut(Event),
    ) -> Result<Option<After>, TrainError> {
        let Some((i, Sought { rise, found: Some(lambda), steps: typed })) = part(plan) else { return Ok(None) };
        let Some(data) = general.into_iter().nth(i).and_then(|general| general.data) else { return Ok(None) };
        let key = key(plan, data_hash, model_sha256, probe_steps(typed, steps))?;
        let Some(record) = read(fs, &plan.out, &key)? else {
            let path = path(&plan.out);
            on(Event::Note(format!("{}: not what was found there; the rise is not measured", path.display())));
            return Ok(None);
        };
        let rows = rows(&data, &plan.ewc[i], plan.train.seed)?;
        Ok(Some(After { data, rows, record, rise, lambda }))
    }

    /// Measures it, and tells where it is more than was allowed.
    ///
    /// # Errors
    /// `Interrupted`; what the engine refuses.
    pub fn measure(
        self,
        engine: &mut Engine,
        limits: EvalLimits,
        (stop, step): (&AtomicBool, u64),
        on: &mut dyn FnMut(Event),
    ) -> Result<Risen, TrainError> {
        on(Event::Phase("evaluate"));
        let loss = loss_of(engine, (&self.data, &self.rows), limits, stop, step)?;
        let Record { steps, rows, general_loss_before, probes, .. } = self.record;
        let risen = Risen {
            rise_allowed: self.rise,
            lambda: self.lambda,
            probe_steps: steps,
            rows,
            general_loss_before,
            general_loss: loss,
            rise: loss.map(|loss| loss / general_loss_before - 1.0),
            probes,
        };
        if !risen.is_within() {
            let rise =
                risen.rise.map_or_else(|| "is no number".to_owned(), |rise| format!("has risen by {}", percent(rise)));
            on(Event::Note(format!(
                "warning: the general loss {rise}, of {} allowed (ewc.rise): a probe of {steps} steps shows less than the whole run. \
                 Raise ewc.probe_steps, lower ewc.rise, or set ewc.lambda above {}",
                percent(self.rise),
                lambda_text(self.lambda)
            )));
        }
        Ok(risen)
    }
}

// --- the record --------------------------------------------------------------------------------------

/// Everything that probes depend on; not what is allowed, which only decides what is made of them.
fn key(plan: &Plan, data_hash: &str, model_sha256: &str, steps: u64) -> Result<String, TrainError> {
    let mut plan = plan.clone();
    for part in plan.ewc.iter_mut().filter(|part| part.lambda.sought().is_some()) {
        part.lambda = Lambda::Given(-1.0);
    }
    let identity = Identity::new(&plan, data_hash, model_sha256)?;
    let what = serde_json::json!([LAYOUT, identity, steps]);
    Ok(runfs::sha256_hex(what.to_string().as_bytes()))
}

fn path(out: &Path) -> PathBuf {
    out.join(ewc::FOLDER).join(RECORD)
}

/// None where there is none of this key; one that cannot be read is made anew.
fn read(fs: &dyn Fs, out: &Path, key: &str) -> Result<Option<Record>, TrainError> {
    let path = path(out);
    if !fs.exists(&path) {
        return Ok(None);
    }
    let bytes = fs.read(&path).map_err(|e| RunFsError::io("read", &path, e))?;
    Ok(serde_json::from_slice::<Record>(&bytes).ok().filter(|record| record.key == key))
}

fn write(fs: &dyn Fs, out: &Path, record: &Record) -> Result<(), TrainError> {
    let path = path(out);
    if let Some(folder) = path.parent() {
        runfs::create_dir_durable(fs, folder)?;
    }
    let mut json = serde_json::to_vec_pretty(record)
        .map_err(|e| TrainError::RunFile { path: path.clone(), why: e.to_string() })?;
    json.push(b'\n');
    Ok(runfs::publish_file(fs, &path, &json)?)
}

impl Record {
    fn begun(&self, rise: f64) -> String {
        format!(
            "λ is found on probes of {} steps: general loss {:.4} on {} rows may rise by {}",
            self.steps,
            self.general_loss_before,
            self.rows,
            percent(rise)
        )
    }

    fn taken(&self, lambda: f64, rise: f64) -> String {
        let free = self.probes.iter().find(|t| t.lambda == 0.0).is_some_and(|t| t.holds(rise));
        let why = if free {
            "a probe holds without any; so mild a one is taken because the whole run goes further"
        } else {
            "the smallest that holds; the rise is measured again when the run is done"
        };
        format!("λ = {}: {why}", lambda_text(lambda))
    }

    fn nothing_holds(&self, rise: f64) -> TrainError {
        let least = self.probes.iter().filter_map(|t| t.rise).reduce(f64::min);
        let largest = self.probes.iter().map(|t| t.lambda).fold(0.0, f64::max);
        TrainError::NoLambda { probes: self.probes.len(), steps: self.steps, largest, rise, least }
    }
}

/// λ as a plan takes it.
pub fn lambda_text(lambda: f64) -> String {
    if (1e-3..1e5).contains(&lambda) || lambda == 0.0 { lambda.to_string() } else { format!("{lambda:e}") }
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
