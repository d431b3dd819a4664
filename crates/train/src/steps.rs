//! The step loop: batch, passes, clip, update, records; then the validation and the checkpoint that are due.
//!
//! Everything a step computes is a function of (plan, data, base, step), and everything it depends on is in
//! [`Progress`] and the engine's tensors. So a run may be cut anywhere: what lies past the last checkpoint is
//! computed again, to the same bytes.

use crate::batch::{Feed, LabelSum, Segment, count_targets, passes};
use crate::checkpoint::{self, Best, Identity, Progress, Unseen};
use crate::evaluate::{EvalLimits, Set, Validation, validate};
use crate::forgotten::Rehearsal;
use crate::metrics::{Reading, Records, StepMetrics, TaskLoss, ValidMetrics, rate};
use crate::publish::publish_result;
use crate::schedule::learning_rate;
use crate::unseen::{Gap, Spread};
use crate::{Event, Plan, TrainError, TrainPlan, overfit};
use data::Dataset;
use model::{AdaSchedule, AdamW, Allotment, Engine, StepKey};
use runfs::{Checkpoints, Fs};
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Added to the norm in the clipping factor, as torch's `clip_grad_norm_` does.
const CLIP_EPS: f64 = 1e-6;

/// What the loop works on.
pub(crate) struct Training<'a> {
    pub plan: &'a Plan,
    pub fs: &'a dyn Fs,
    /// The run folder.
    pub dir: &'a Path,
    pub stop: &'a AtomicBool,
    pub engine: Engine,
    pub feed: &'a mut Feed<'a>,
    /// Of the training's examples.
    pub tasks: &'a [String],
    /// Where the replay is chosen by what is forgotten.
    pub rehearsal: Option<Rehearsal<'a>>,
    pub valid: Option<&'a Dataset>,
    pub unseen: Option<&'a Dataset>,
    pub steps: u64,
    /// AdaLoRA's.
    pub ranks: Option<AdaSchedule>,
    pub limits: EvalLimits,
    pub unseen_limits: EvalLimits,
    pub identity: Identity,
    pub store: Checkpoints,
    pub records: Records<'a>,
    pub progress: Progress,
}

/// How the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Finished,
    /// The engine is to be loaded anew, as the progress's `relief` says, and saved.
    Relieved,
}

/// Trains to the last step, an early stop, or a relief. Whatever ends it sooner leaves a folder that `resume` goes on from.
pub(crate) fn train(t: &mut Training, on: &mut dyn FnMut(Event)) -> Result<Ended, TrainError> {
    if t.rehearsal.is_some() && t.progress.forgotten.is_none() {
        on(Event::Phase("evaluate"));
        let Some(losses) = rehearsed(t)? else { return Err(interrupt(t, on)?) };
        t.progress.forgotten = t.rehearsal.as_ref().map(|rehearsal| rehearsal.begin(&losses));
        on(Event::Phase("train"));
    }
    loop {
        if !t.progress.settled && settle(t, on)? == Settled::Relieved {
            return Ok(Ended::Relieved);
        }
        if t.finished() {
            return Ok(Ended::Finished);
        }
        if t.stopping() {
            return Err(interrupt(t, on)?);
        }
        step(t, on)?;
    }
}

impl Training<'_> {
    fn finished(&self) -> bool {
        self.progress.step >= self.steps || self.progress.stopped_early
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn validation_due(&self) -> bool {
        let every = self.plan.train.eval_every.unwrap_or(self.plan.train.checkpoint_every);
        self.valid.is_some() && (self.progress.step.is_multiple_of(every) || self.progress.step == self.steps)
    }

    fn checkpoint_due(&self) -> bool {
        self.progress.step.is_multiple_of(self.plan.train.checkpoint_every) || self.finished()
    }
}

/// One optimiser step.
fn step(t: &mut Training, on: &mut dyn FnMut(Event)) -> Result<(), TrainError> {
    let (started, read_before) = (Instant::now(), t.engine.streamed());
    let step = t.progress.step + 1;
    let lr = learning_rate(t.plan.train.schedule, t.plan.train.warmup, t.plan.train.lr, step, t.steps);
    let legs = t.progress.forgotten.as_ref().map_or(&[][..], |forgotten| &forgotten.legs);
    let (segments, cursor) = (t.feed)(t.progress.cursor, legs)?;
    let sums = gradients(&mut t.engine, &segments, t.limits.tokens_max, (t.plan.train.seed, step), t.tasks.len())?;
    if let Some((what, value)) = sums.bad() {
        t.engine.zero_grad()?;
        return Err(went_bad(t, step, what, value, &segments)?);
    }
    // Its moments are as old as the last relief.
    let updates = step - t.progress.relief.as_ref().map_or(0, |relief| relief.step);
    update(&mut t.engine, &adamw(&t.plan.train, lr, updates, sums.grad_norm), t.ranks, step)?;
    let kept_ranks = t.engine.kept_ranks();

    let metrics = StepMetrics {
        step,
        loss: sums.loss,
        lr,
        penalty: sums.penalty,
        grad_norm: sums.grad_norm,
        tokens: sums.tokens,
        supervised_tokens: sums.targets,
        ranks: kept_ranks.as_ref().map(|kept| kept.values().flatten().filter(|k| **k).count()),
        tasks: TaskLoss::of(t.tasks, &sums.by_task),
    };
    let seconds = started.elapsed().as_secs_f64();
    let streams = t.engine.memory().layers_streamed > 0;
    t.records.step(&metrics, seconds, streams.then(|| Reading::between(read_before, t.engine.streamed())))?;
    t.progress = Progress {
        step,
        settled: false,
        cursor,
        tokens: t.progress.tokens + sums.tokens,
        supervised_tokens: t.progress.supervised_tokens + sums.targets,
        train_loss: Some(sums.loss),
        kept_ranks,
        ..t.progress.clone()
    };
    on(Event::Step {
        step,
        steps: t.steps,
        loss: sums.loss,
        lr,
        grad_norm: sums.grad_norm,
        tokens: sums.tokens,
        tokens_per_second: rate(sums.tokens, seconds),
        tasks: &metrics.tasks,
    });
    Ok(())
}

/// What the passes of a step add up to.
pub(crate) struct Sums {
    /// Nats per supervised token of the whole step.
    pub loss: f64,
    /// None where nothing is held.
    penalty: Option<f64>,
    pub grad_norm: f64,
    tokens: u64,
    targets: u64,
    /// [tasks]
    by_task: Vec<LabelSum>,
}

impl Sums {
    /// What is NaN or infinite; nothing may be updated with it.
    pub fn bad(&self) -> Option<(&'static str, f64)> {
        let penalty = ("the penalty", self.penalty.unwrap_or_default());
        let all = [("the loss", self.loss), penalty, ("the gradient norm", self.grad_norm)];
        all.into_iter().find(|(_, value)| !value.is_finite())
    }
}

/// Forward and backward over a step's segments. Every pass is scaled by the targets of the *whole* step, so that
/// gradients and losses add up to the step's mean and never to a mean of means.
pub(crate) fn gradients(
    engine: &mut Engine,
    segments: &[Segment],
    tokens_max: usize,
    (seed, step): (u64, u64),
    tasks: usize,
) -> Result<Sums, TrainError> {
    let targets: u64 = segments.iter().map(|s| count_targets(&s.targets)).sum();
    if targets == 0 {
        let first = segments.first().map(origin).unwrap_or_default();
        return Err(TrainError::NothingSupervised { step, rows: segments.len(), first });
    }
    let scale = (1.0 / targets as f64) as f32;
    let (mut loss, mut tokens) = (0.0, 0);
    let (mut each, mut by_task) = (Vec::new(), vec![LabelSum::default(); tasks]);
    for (micro, pass) in passes(segments, tokens_max).iter().enumerate() {
        let key = StepKey { seed, step, micro: micro as u64 };
        loss += engine.accumulate_each(pass.batch(), scale, key, &mut each)?;
        pass.add_by_label(&each, &mut by_task);
        tokens += pass.ids.len() as u64;
    }
    engine.regularise()?;
    let penalty = engine.holds().then(|| engine.pull()).transpose()?;
    Ok(Sums { loss: loss / targets as f64, penalty, grad_norm: engine.grad_norm()?, tokens, targets, by_task })
}

pub(crate) fn adamw(plan: &TrainPlan, lr: f64, updates: u64, grad_norm: f64) -> AdamW {
    let grad_scale = plan.clip.map_or(1.0, |max| (max / (grad_norm + CLIP_EPS)).min(1.0));
    AdamW {
        lr: lr as f32,
        beta1: plan.betas.0 as f32,
        beta2: plan.betas.1 as f32,
        eps: plan.eps as f32,
        weight_decay: plan.weight_decay as f32,
        t: u32::try_from(updates).unwrap_or(u32::MAX),
        grad_scale: grad_scale as f32,
    }
}

/// The optimiser's step, and what AdaLoRA's schedule does after it.
pub(crate) fn update(
    engine: &mut Engine,
    adamw: &AdamW,
    ranks: Option<AdaSchedule>,
    step: u64,
) -> Result<(), TrainError> {
    let budgets = ranks.and_then(|schedule| Some((schedule, engine.budgets()?)));
    let what = budgets.map(|(schedule, (first, target))| schedule.after(step, first, target));
    match what {
        Some(Allotment::Measure { .. }) => engine.update_measured(adamw)?,
        _ => engine.update(adamw)?,
    }
    Ok(what.map_or(Ok(()), |what| engine.allot(what))?)
}

fn origin(segment: &Segment) -> String {
    format!("{}:{}", segment.origin.file, segment.origin.line)
}

/// Writes the batch's rows down and makes the error. The checkpoint before stays the newest.
fn went_bad(
    t: &mut Training,
    step: u64,
    what: &'static str,
    value: f64,
    segments: &[Segment],
) -> Result<TrainError, TrainError> {
    bad_batch(t.fs, t.dir, (step, what, value), segments)
}

pub(crate) fn bad_batch(
    fs: &dyn Fs,
    dir: &Path,
    (step, what, value): (u64, &'static str, f64),
    segments: &[Segment],
) -> Result<TrainError, TrainError> {
    let rows = dir.join("bad_batch.json");
    let list: Vec<_> = segments
        .iter()
        .map(|s| json!({"file": &*s.origin.file, "line": s.origin.line, "tokens": s.ids.len()}))
        .collect();
    // JSON has no NaN: the value is written as text.
    let report = json!({"step": step, "what": what, "value": value.to_string(), "rows": list});
    runfs::publish_file(fs, &rows, format!("{report:#}\n").as_bytes())?;
    Ok(TrainError::NumbersWentBad { step, what, value, rows })
}

/// The validation and the checkpoint that are due after the step just done. A stop signal before or inside the
/// validation leaves both to the resumed run: the step is saved as not settled.
fn settle(t: &mut Training, on: &mut dyn FnMut(Event)) -> Result<Settled, TrainError> {
    let before = t.progress.relief.as_ref().map(|relief| relief.times);
    if t.validation_due() {
        if t.stopping() {
            return Err(interrupt(t, on)?);
        }
        on(Event::Phase("evaluate"));
        let Some(valid) = t.valid else { return Ok(Settled::Kept) };
        match validate(&mut t.engine, Set::Whole(valid), t.limits, t.stop)? {
            Validation::Losses { loss, by_label, spread } => {
                // Everything that a signal may cut short comes before anything is recorded.
                let rehearsed = if t.finished() { Some(Vec::new()) } else { rehearsed(t)? };
                let Some(rehearsed) = rehearsed else { return Err(interrupt(t, on)?) };
                let Some(unseen) = unseen(t, on)? else { return Err(interrupt(t, on)?) };
                let gap = unseen.map(|unseen| Gap::of(t.progress.step, (loss, &spread), (unseen.0, &unseen.1)));
                let rise = rehearse(t, &rehearsed)?;
                judge(t, loss, TaskLoss::of(valid.tasks(), &by_label), (rise, gap), on)?;
            }
            Validation::Stopped => return Err(interrupt(t, on)?),
            Validation::Bad { value, segments } => {
                return Err(went_bad(t, t.progress.step, "the validation loss", value, &segments)?);
            }
        }
        on(Event::Phase("train"));
    }
    t.progress.settled = true;
    // The checkpoint that is due then is of the engine that is loaded next.
    if t.progress.relief.as_ref().map(|relief| relief.times) != before {
        return Ok(Settled::Relieved);
    }
    if t.checkpoint_due() {
        save(t, on)?;
    }
    Ok(Settled::Kept)
}

#[derive(PartialEq, Eq)]
enum Settled {
    Kept,
    Relieved,
}

/// The losses of the rows that may be replayed, where that decides which of them are; None after a stop signal.
fn rehearsed(t: &mut Training) -> Result<Option<Vec<LabelSum>>, TrainError> {
    let Some(rehearsal) = &t.rehearsal else { return Ok(Some(Vec::new())) };
    match validate(&mut t.engine, Set::Rows(rehearsal.data, &rehearsal.rows), t.limits, t.stop)? {
        Validation::Losses { by_label, .. } => Ok(Some(by_label)),
        Validation::Stopped => Ok(None),
        Validation::Bad { value, segments } => {
            Err(went_bad(t, t.progress.step, "the loss of replay rows", value, &segments)?)
        }
    }
}

/// Chooses what is replayed next; returns how much the losses have risen.
fn rehearse(t: &mut Training, losses: &[LabelSum]) -> Result<Option<f64>, TrainError> {
    let (Some(rehearsal), Some(known), false) = (&t.rehearsal, &t.progress.forgotten, losses.is_empty()) else {
        return Ok(None);
    };
    let (forgotten, rise) = rehearsal.choose(known, losses, t.progress.cursor)?;
    t.progress.forgotten = Some(forgotten);
    Ok(Some(rise))
}

/// Records a validation, keeps the adapter if it is the best so far, and counts towards the early stop.
/// The best is the lowest loss; patience is only renewed by an improvement of more than `min_delta`.
fn judge(
    t: &mut Training,
    loss: f64,
    tasks: Vec<TaskLoss>,
    (replay_rise, gap): (Option<f64>, Option<Gap>),
    on: &mut dyn FnMut(Event),
) -> Result<(), TrainError> {
    let step = t.progress.step;
    let before = t.progress.best;
    let best = before.is_none_or(|b| loss < b.valid_loss);
    if best {
        publish_result(&t.engine, t.fs, &t.plan.model, &t.dir.join("best"))?;
        t.progress.best =
            Some(Best { step, valid_loss: loss, times: t.progress.relief.as_ref().map_or(0, |r| r.times) });
    }
    let min_delta = t.plan.train.early_stop.map_or(0.0, |e| e.min_delta);
    let renewed = before.is_none_or(|b| loss < b.valid_loss - min_delta);
    t.progress.stale = if renewed { 0 } else { t.progress.stale + 1 };
    let patience = t.plan.train.early_stop.map(|e| e.patience);
    let ends = step < t.steps && patience.is_some_and(|patience| t.progress.stale >= patience);
    let relief = if ends { overfit::relieve(t.plan, t.fs, &t.identity, &t.progress)? } else { None };
    t.progress.stopped_early = ends && relief.is_none();
    if relief.is_some() {
        t.progress.stale = 0;
        t.progress.relief.clone_from(&relief);
    }
    t.progress.valid_loss = Some(loss);
    let unseen_loss = gap.map(|gap| gap.unseen_loss);
    let metrics = ValidMetrics { step, valid_loss: loss, unseen_loss, tasks, replay_rise, relief };
    t.records.valid(&metrics)?;
    on(Event::Valid { step, loss, best, unseen: unseen_loss, tasks: &metrics.tasks });
    if let Some(gap) = gap {
        compare(t, gap, best, on);
    }
    if let Some(relief) = metrics.relief {
        on(Event::Note(relief.told(patience.unwrap_or_default())));
    }
    Ok(())
}

/// The unseen set's loss and spread: nothing in it where there is no such set, or none of its losses can be used; None after a
/// stop signal. Only `metrics`, records and notes ever depend on it.
#[expect(clippy::option_option, reason = "a stop is not the same as no number")]
fn unseen(t: &mut Training, on: &mut dyn FnMut(Event)) -> Result<Option<Option<(f64, Spread)>>, TrainError> {
    let Some(data) = t.unseen else { return Ok(Some(None)) };
    match validate(&mut t.engine, Set::Whole(data), t.unseen_limits, t.stop)? {
        Validation::Losses { loss, spread, .. } => Ok(Some(Some((loss, spread)))),
        Validation::Stopped => Ok(None),
        // It stops nothing: training and validation have losses of their own that do.
        Validation::Bad { value, segments } => {
            let (step, from) = (t.progress.step, segments.first().map(origin).unwrap_or_default());
            on(Event::Note(format!("step {step}: the unseen loss is {value}, in rows from {from} on; it is left out")));
            Ok(Some(None))
        }
    }
}

/// Keeps what is to be told of the gap, and tells when it opens.
fn compare(t: &mut Training, gap: Gap, best: bool, on: &mut dyn FnMut(Event)) {
    let before = t.progress.unseen.unwrap_or(Unseen { first: gap, best: gap, told: false });
    let opens = gap.is_open() && !before.told;
    if opens {
        on(Event::Note(format!("worse on unseen rows than in validation: {}", gap.verdict())));
    }
    let best = if best { gap } else { before.best };
    t.progress.unseen = Some(Unseen { best, told: before.told || opens, ..before });
}

/// What the gap at the best step means, at a run's end.
pub(crate) fn tell_unseen(best: &Gap, first: &Gap, on: &mut dyn FnMut(Event)) {
    if !best.is_open() {
        return;
    }
    let since = match first.step == best.step {
        true => "it was so at the first validation".to_owned(),
        false => {
            format!("at the first validation, step {}, it was {:+.4}", first.step, first.unseen_mean - first.valid_mean)
        }
    };
    on(Event::Note(format!(
        "warning: the best step is worse on data.unseen than on data.valid, beyond chance. {}. The gap is {:+.4}; {since}. A gap that \
         grew is overfitting that validation does not show: its rows are too like the training's, or the step was chosen by them. A \
         gap that was there from the start means that unseen rows are harder or of another kind.",
        best.verdict(),
        best.unseen_mean - best.valid_mean,
    )));
}

/// Publishes what has been done so far; the error that ends the loop.
fn interrupt(t: &mut Training, on: &mut dyn FnMut(Event)) -> Result<TrainError, TrainError> {
    let step = t.progress.step;
    // Before the first step there is nothing to save (the plan alone says how to begin), and after a step whose own
    // checkpoint was due it has just been saved.
    let saved = t.progress.settled && t.checkpoint_due();
    if step > 0 && !saved {
        save(t, on)?;
    }
    Ok(TrainError::Interrupted { step })
}

pub(crate) fn save(t: &mut Training, on: &mut dyn FnMut(Event)) -> Result<(), TrainError> {
    t.records.sync()?;
    let path = checkpoint::publish(&t.store, t.fs, &t.engine, &t.progress, &t.identity)?;
    on(Event::Checkpoint { step: t.progress.step, path: &path });
    Ok(())
}
