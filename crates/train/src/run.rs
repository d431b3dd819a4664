//! A run from start (or its last checkpoint) to its published adapter. CONTRACT with `cli`.

use crate::base::{self, Making, QuantizedCopy};
use crate::batch::{feed, steps_total};
use crate::checkpoint::{self, Identity, Loaded, Progress};
use crate::evaluate::EvalLimits;
use crate::ewc::{self, General, Measuring};
use crate::forgotten::Rehearsal;
use crate::lambda;
use crate::limits::{self, Fit, Layers};
use crate::metrics::{self, Records, TaskLoss};
use crate::mix::{self, TaskShare};
use crate::overfit::{self, Relief};
use crate::probe::{self, After, Search};
use crate::publish::{self, publish_result, result_name};
use crate::record::{self, Facts};
use crate::steps::{self, Ended, Training};
use crate::unseen::Gap;
use crate::written::{self, ToWrite};
use crate::{Lambda, Plan, Risen, RunLength, Sought, TrainError, Tried};
use data::{DataError, Origin, Prepared, TextPipeline};
use model::adapters::AdapterPlan;
use model::{AdaSchedule, Engine, ModelConfig, ModelError};
use runfs::{Fs, RunFsError, RunLock, SystemClock};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a run tells while it goes; the command line draws it, tests collect it.
pub enum Event<'a> {
    /// A phase begins: "data", "hash", "check", "quantise", "model", "write", "probe", "fisher", "train", "evaluate", "save"; "merge", "compare".
    Phase(&'a str),
    Note(String),
    Preparing {
        rows: u64,
        bytes: u64,
        bytes_total: u64,
    },
    /// Bytes of the model's files that have been read to know them again, or of its copy in NF4.
    Hashing {
        bytes: u64,
        bytes_total: u64,
    },
    /// Bytes of the model's own files that have been quantised.
    Quantising {
        bytes: u64,
        bytes_total: u64,
    },
    /// Texts of its own that the base has written, to be replayed.
    Writing {
        texts: u64,
        of: u64,
    },
    /// A step of a probe that looks for λ.
    Probing {
        lambda: f64,
        step: u64,
        steps: u64,
    },
    /// A probe is finished, or known from an earlier sitting; whether its rise is within what is allowed.
    Probed {
        tried: &'a Tried,
        holds: bool,
    },
    /// Examples whose gradients have been squared for what is held on to.
    Measuring {
        examples: u64,
        of: u64,
    },
    Start {
        steps: u64,
        first_step: u64,
        trainable: u64,
        parameters: u64,
    },
    Step {
        step: u64,
        steps: u64,
        loss: f64,
        lr: f64,
        grad_norm: f64,
        tokens: u64,
        tokens_per_second: f64,
        tasks: &'a [TaskLoss],
    },
    Valid {
        step: u64,
        loss: f64,
        best: bool,
        /// Of the plan's unseen set.
        unseen: Option<f64>,
        tasks: &'a [TaskLoss],
    },
    Checkpoint {
        step: u64,
        path: &'a Path,
    },
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct Summary {
    pub out: PathBuf,
    /// What came out, and the name of its folder in `out`: `adapter` or `model`.
    #[serde(skip)]
    pub result: &'static str,
    /// Optimizer steps done: fewer than planned after an early stop.
    pub steps: u64,
    /// Nats per supervised token of the last step.
    pub final_train_loss: f64,
    /// Of the last validation, at the last step.
    pub final_valid_loss: Option<f64>,
    pub best_step: Option<u64>,
    pub best_valid_loss: Option<f64>,
    /// The unseen set beside the validation set at the best step; with `data.unseen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Gap>,
    /// Whether that gap is beyond what chance explains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen_gap_open: Option<bool>,
    /// Where λ was found on probes: them, and what came of it.
    #[serde(rename = "ewc_rise", skip_serializing_if = "Option::is_none")]
    pub risen: Option<Risen>,
    /// Over all training steps, validation and saving left out.
    pub tokens_per_second: f64,
    /// Of this process; 0 where the system does not tell.
    pub peak_rss_bytes: u64,
    pub stopped_early: bool,
    /// What was done last instead of stopping; with `train.on_overfit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relief: Option<Relief>,
}

/// A fresh run. Refuses a folder that already holds one. `stop` is raised by a signal handler: the step is finished,
/// a checkpoint published and `TrainError::Interrupted` returned; a signal that comes while the result is saved lets that
/// finish and returns `TrainError::InterruptedAtEnd`.
///
/// When a fresh run is refused before its first step (data, memory, disk), the folder holds no run and may be used
/// again; the token cache stays.
pub fn run(plan: &Plan, fs: &dyn Fs, stop: &AtomicBool, on: &mut dyn FnMut(Event)) -> Result<Summary, TrainError> {
    plan.check()?;
    let dir = plan.out.as_path();
    runfs::writable(fs, dir)?;
    runfs::create_dir_durable(fs, dir)?;
    let _lock = RunLock::acquire(dir)?;
    if fs.exists(&dir.join(record::PLAN)) {
        return Err(TrainError::RunExists { dir: dir.to_owned() });
    }
    record::write_plan(fs, dir, plan)?;
    let setting = Setting { fs, stop };
    match set_up(plan.clone(), None, setting, on) {
        Ok(ready) => go(ready, setting, on),
        // The plan stays: `resume` prepares again and begins.
        Err(e @ TrainError::Interrupted { .. }) => Err(e),
        Err(e) => {
            // The first error is the one to tell; a plan that stays only means that the folder is gone on with.
            let _ = fs.remove_file(&dir.join(record::PLAN));
            Err(e)
        }
    }
}

/// Continues the run in `dir` from its newest valid checkpoint, to the same bytes as if never interrupted. A run that
/// was cut before its first checkpoint begins again; a finished one is published again.
pub fn resume(dir: &Path, fs: &dyn Fs, stop: &AtomicBool, on: &mut dyn FnMut(Event)) -> Result<Summary, TrainError> {
    // Read before the lock is taken: taking it would make the folder.
    record::read_plan(fs, dir)?;
    runfs::writable(fs, dir)?;
    let _lock = RunLock::acquire(dir)?;
    let plan = plan_of(dir, fs)?;
    plan.check()?;
    let found = checkpoint::find(&checkpoint::store(dir, plan.train.checkpoints_keep), fs, on)?;
    if found.is_none() {
        // A run that is past its first checkpoint has published one.
        if metrics::last_step(fs, dir)? > plan.train.checkpoint_every {
            return Err(TrainError::NoCheckpoint { dir: dir.to_owned(), skipped: Vec::new() });
        }
        on(Event::Note("no checkpoint was published before the interruption: beginning at step 1".to_owned()));
    }
    let setting = Setting { fs, stop };
    match set_up(plan, found, setting, on) {
        Ok(ready) => go(ready, setting, on),
        Err(e) => {
            // As after `run`: no step was taken, and a changed plan goes on from what was probed.
            if matches!(e, TrainError::NoLambda { .. }) {
                let _ = fs.remove_file(&dir.join(record::PLAN));
            }
            Err(e)
        }
    }
}

/// The plan of the run in `dir`.
///
/// # Errors
/// `NoRun`, and a plan that cannot be read.
pub fn plan_of(dir: &Path, fs: &dyn Fs) -> Result<Plan, TrainError> {
    // The folder may have been moved since.
    Ok(Plan { out: dir.to_owned(), ..record::read_plan(fs, dir)? })
}

/// What `athanor plan` shows.
pub struct Preview {
    pub notes: Vec<String>,
    /// About so many where `to_write` says that a part of the data is yet to come and the plan counts epochs.
    pub steps: u64,
    pub counts: data::Counts,
    pub valid_counts: Option<data::Counts>,
    pub unseen_counts: Option<data::Counts>,
    pub replay_counts: Option<data::Counts>,
    /// A replay that the base will write itself; nothing else here counts it.
    pub to_write: Option<ToWrite>,
    /// Where tasks are mixed or a replay is: what the first epoch holds of each.
    pub tasks: Vec<TaskShare>,
    pub trainable: u64,
    pub parameters: u64,
    pub memory: model::MemoryPlan,
    /// The copy with its layers in NF4 that the base is loaded from.
    pub copy: Option<QuantizedCopy>,
    /// Where layers are read for each pass: how long that takes, and computing; None while there is no copy to read.
    pub pace: Option<model::Pace>,
    /// One example as tokens: (text of the token, supervised)
    pub sample: Vec<(String, bool)>,
    pub sample_origin: Option<data::Origin>,
}

/// Everything but the training: data read and checked, memory planned, one example rendered. Writes nothing to
/// `plan.out` (the token cache goes to a temporary folder). Refuses what `run` would refuse before it loads the model.
pub fn preview(plan: &Plan, fs: &dyn Fs, stop: &AtomicBool, on: &mut dyn FnMut(Event)) -> Result<Preview, TrainError> {
    plan.check()?;
    let temp = std::env::temp_dir();
    let cache = tempfile::tempdir().map_err(|e| RunFsError::io("create", &temp, e))?;
    let setting = Setting { fs, stop };
    let read = read_data(&written::trained_alone(plan), cache.path(), 0, setting, on)?;
    let to_write = written::look(plan, &read.prepared.train)?;
    let mut meant = plan.clone();
    if let Some(to_write) = &to_write {
        written::set_tokens(&mut meant, to_write.tokens);
    }
    let fit = limits::fit(&meant, &read)?;
    limits::require(&fit, &meant, &read)?;
    let prepared = read.prepared;
    let share_to_write = if to_write.is_some() { plan.data.replay.as_ref().map_or(0.0, |r| r.share) } else { 0.0 };
    let steps = match plan.train.length {
        RunLength::Epochs(_) => (steps_of(plan, &prepared) as f64 / (1.0 - share_to_write)).ceil() as u64,
        RunLength::Steps(steps) => steps,
    };
    plan.rank_schedule(steps)?;
    probe::check(plan, steps)?;
    let copy = base::look(plan, fs)?;
    let pace = match (&copy, fit.layers) {
        (Some(copy), Layers::Copied) => {
            copy.require_room()?;
            if copy.there { model::pace(&copy.dir, &fit.limits, &fit.memory)? } else { None }
        }
        _ => model::pace(&plan.model, &fit.limits, &fit.memory)?,
    };
    let example = prepared.train.example(0)?;
    let text = TextPipeline::open(&plan.data.text).map_err(DataError::from)?;
    Ok(Preview {
        notes: prepared.notes.clone(),
        steps,
        counts: prepared.train_counts.clone(),
        valid_counts: prepared.valid_counts.clone(),
        unseen_counts: prepared.unseen_counts.clone(),
        replay_counts: prepared.replay_counts.clone(),
        to_write,
        tasks: mix::shares(&prepared.train, &plan.data.lengths, plan.train.seed)?,
        trainable: fit.trainable,
        parameters: fit.parameters,
        memory: fit.memory,
        copy,
        pace,
        sample: text.pieces(&example.ids).into_iter().zip(example.supervised).collect(),
        sample_origin: Some(example.origin),
    })
}

/// What every stage of a run is given.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub fs: &'a dyn Fs,
    pub stop: &'a AtomicBool,
}

/// Everything before the first step.
struct Ready {
    /// As meant, with nothing left open.
    plan: Plan,
    prepared: Prepared,
    fit: Fit,
    identity: Identity,
    /// What the engine is loaded from.
    base: PathBuf,
    engine: Engine,
    steps: u64,
    ranks: Option<AdaSchedule>,
    progress: Progress,
    /// Where λ was found on probes.
    after: Option<After>,
}

/// Reads the data, plans memory and disk, and only then loads the model; each refusal comes as early as it can.
fn set_up(
    mut plan: Plan,
    found: Option<Loaded>,
    setting: Setting,
    on: &mut dyn FnMut(Event),
) -> Result<Ready, TrainError> {
    let Setting { fs, stop } = setting;
    let dir = plan.out.clone();
    let step_saved = found.as_ref().map_or(0, |f| f.progress.step);
    let (read, model) = written::read_with(&mut plan, found.as_ref(), setting, on)?;
    let fit = limits::fit(&plan, &read)?;
    limits::require(&fit, &plan, &read)?;
    let data_hash = read.hash();
    let Read { prepared, general } = read;
    let steps = steps_of(&plan, &prepared);
    let ranks = plan.rank_schedule(steps)?;
    probe::check(&plan, steps)?;
    // The cut into passes decides the order of sums, and free memory decides the cut: it is fixed here for every
    // later sitting.
    plan.train.micro_tokens = Some(fit.limits.tokens_max);
    record::write_plan(fs, &dir, &plan)?;

    let mut making = Making { fs, stop, step: step_saved, on };
    let model = match model {
        Some(model) => model,
        None => base::identify(&plan, &mut making)?,
    };
    let mut identity = Identity::new(&plan, &data_hash, &model.sha256)?;
    if let Some(found) = &found {
        found.check(&identity)?;
    }
    if stop.load(Ordering::Relaxed) {
        return Err(TrainError::Interrupted { step: step_saved });
    }
    let base = base::folder(&plan, &model, fit.layers == Layers::Copied, &mut making)?;
    on(Event::Phase("model"));
    let model_dir = plan.model.clone();
    let relief = found.as_ref().and_then(|found| found.progress.relief.as_ref());
    let adapter = overfit::adapter_plan(&plan, relief)?;
    let load_with = |adapter: &AdapterPlan| -> Result<Engine, TrainError> {
        let mut engine = Engine::load_copy(&base, &model_dir, adapter, &fit.limits)?;
        ranks.into_iter().for_each(|ranks| engine.set_schedule(ranks));
        Ok(engine)
    };
    let load = || load_with(&adapter);
    let measuring = Measuring { fs, stop, model_sha256: &model.sha256, step: step_saved };
    ewc::measure_before(&plan, &general, &measuring, &load_with, on)?;
    let mut engine = load()?;
    require_disk(&plan, &engine, found.is_some(), fs)?;
    // A run that has begun has its λ in the plan.
    if let (Some((part, sought)), true) = (probe::part(&plan), found.is_none()) {
        let search = Search {
            plan: &plan,
            train: &prepared.train,
            general: &general,
            data_hash: &data_hash,
            measuring: &measuring,
            tokens_max: fit.limits.tokens_max,
            steps: (steps, lambda::probe_steps(sought.steps, steps)),
        };
        let (lambda, as_it_begins) = probe::seek(&search, engine, &load, on)?;
        engine = as_it_begins;
        plan.ewc[part].lambda = Lambda::Sought(Sought { found: Some(lambda), ..sought });
        record::write_plan(fs, &dir, &plan)?;
        identity = Identity::new(&plan, &data_hash, &model.sha256)?;
    }
    ewc::hold(&mut engine, &plan, &general, &measuring, on)?;
    let after = After::of((&plan, steps), general, (&data_hash, &model.sha256), fs, on)?;
    let mut progress = Progress { settled: true, ..Progress::default() };
    if let Some(found) = found {
        found.restore(fs, &mut engine)?;
        progress = found.progress;
    }
    Ok(Ready { plan, prepared, fit, identity, base, engine, steps, ranks, progress, after })
}

fn steps_of(plan: &Plan, prepared: &Prepared) -> u64 {
    steps_total(plan.train.length, &prepared.train, &plan.data.lengths, plan.train.seed, plan.train.batch)
}

pub(crate) fn read_data(
    plan: &Plan,
    cache: &Path,
    step_saved: u64,
    setting: Setting,
    on: &mut dyn FnMut(Event),
) -> Result<Read, TrainError> {
    // Reading may take an hour; what the model's config alone can refuse is refused before.
    let (seq_len_max, position_max) = (plan.data.lengths.seq_len_max, ModelConfig::read(&plan.model)?.position_max);
    if seq_len_max > position_max {
        return Err(ModelError::SequenceLimit { seq_len_max, position_max }.into());
    }
    model::refuse_other_base(&plan.model, &plan.adapter)?;
    on(Event::Phase("data"));
    let mut progress = |rows, bytes, bytes_total| {
        on(Event::Preparing { rows, bytes, bytes_total });
        !setting.stop.load(Ordering::Relaxed)
    };
    let prepared = match data::prepare(&plan.data, plan.train.seed, cache, &mut progress) {
        Err(DataError::Interrupted) => return Err(TrainError::Interrupted { step: step_saved }),
        other => other?,
    };
    for note in &prepared.notes {
        on(Event::Note(note.clone()));
    }
    let none =
        |what, counts: &data::Counts| TrainError::NoExamples { what, rows: counts.rows, aside: counts.aside.clone() };
    if prepared.train.is_empty() {
        return Err(none("training", &prepared.train_counts));
    }
    if let (Some(valid), Some(counts)) = (&prepared.valid, &prepared.valid_counts)
        && valid.is_empty()
    {
        return Err(none("validation", counts));
    }
    if let Some(counts) = prepared.unseen_counts.as_ref().filter(|counts| counts.supervised_tokens == 0) {
        return Err(none("supervised unseen", counts));
    }
    let mut progress = |rows, bytes, bytes_total| {
        on(Event::Preparing { rows, bytes, bytes_total });
        !setting.stop.load(Ordering::Relaxed)
    };
    let general = match ewc::read(plan, cache, (setting.fs, step_saved > 0), &mut progress) {
        Err(TrainError::Data(DataError::Interrupted)) => return Err(TrainError::Interrupted { step: step_saved }),
        other => other?,
    };
    Ok(Read { prepared, general })
}

/// The data of a run.
pub(crate) struct Read {
    pub prepared: Prepared,
    /// What Fishers are measured on, one for each part of the plan's `ewc`.
    pub general: Vec<General>,
}

impl Read {
    /// The identity of all of it.
    fn hash(&self) -> String {
        let own = &self.prepared.data_hash;
        let general: Vec<&str> = self.general.iter().map(|general| general.hash.as_str()).collect();
        match general.is_empty() {
            true => own.clone(),
            false => runfs::sha256_hex([&[own.as_str()], &general[..]].concat().join(" ").as_bytes()),
        }
    }
}

/// Refuses a run whose checkpoints and results would not fit on the disk: better now than at the first of them.
fn require_disk(plan: &Plan, engine: &Engine, resumed: bool, fs: &dyn Fs) -> Result<(), TrainError> {
    let one = checkpoint::bytes(engine);
    // Those kept, the best's, and the one that is being written; a resumed run has all but one of them already.
    let many = if resumed { 2 } else { plan.train.checkpoints_keep.max(2) as u64 + 2 };
    // The best so far and the one that takes its place, or the last one; of these a resumed run may have the best.
    let best = plan.data.valid.is_some() && !(resumed && fs.exists(&plan.out.join("best")));
    let results = publish::bytes(engine, &plan.model)?.saturating_mul(if best { 2 } else { 1 } + overfit::most(plan));
    let needed = one.saturating_mul(many).saturating_add(results);
    let free = fs.free_bytes(&plan.out).map_err(|e| RunFsError::io("ask the free space of", &plan.out, e))?;
    if needed > free {
        let (path, what) = (plan.out.clone(), "the run's checkpoints and results");
        return Err(TrainError::DiskSpace { path, what, needed, free });
    }
    Ok(())
}

/// The steps, and at their end the adapter and run.json.
fn go(ready: Ready, setting: Setting, on: &mut dyn FnMut(Event)) -> Result<Summary, TrainError> {
    let Setting { fs, stop } = setting;
    let Ready { plan, prepared, fit, identity, base, engine, steps, ranks, progress, after } = ready;
    let dir = plan.out.as_path();
    on(Event::Start { steps, first_step: progress.step + 1, trainable: fit.trainable, parameters: fit.parameters });
    note_long_unseen(&prepared, fit.limits.seq_len_max, &plan, on)?;
    on(Event::Phase("train"));
    let clock = SystemClock::new();
    let mut feed = feed(&prepared.train, &plan.data.lengths, plan.train.seed, plan.train.batch);
    let mut training = Training {
        plan: &plan,
        fs,
        dir,
        stop,
        engine,
        feed: &mut feed,
        tasks: prepared.train.tasks(),
        rehearsal: Rehearsal::of(&plan.data, &prepared.train, plan.train.seed),
        valid: prepared.valid.as_ref(),
        unseen: prepared.unseen.as_ref(),
        steps,
        ranks,
        limits: EvalLimits { tokens_max: fit.limits.tokens_max, seq_len_max: plan.data.lengths.seq_len_max },
        // What nothing depends on has no say in the engine's size either.
        unseen_limits: EvalLimits { tokens_max: fit.limits.tokens_max, seq_len_max: fit.limits.seq_len_max },
        identity,
        store: checkpoint::store(dir, plan.train.checkpoints_keep),
        records: Records::open(fs, dir, &clock, &progress)?,
        progress,
    };
    while steps::train(&mut training, on)? == Ended::Relieved {
        on(Event::Phase("model"));
        let adapter = overfit::adapter_plan(&plan, training.progress.relief.as_ref())?;
        // One engine is in memory at a time.
        drop(training.engine);
        training.engine = Engine::load_copy(&base, &plan.model, &adapter, &fit.limits)?;
        steps::save(&mut training, on)?;
        on(Event::Phase("train"));
    }
    if let Some(unseen) = &training.progress.unseen {
        steps::tell_unseen(&unseen.best, &unseen.first, on);
    }

    let (step, limits) = (training.progress.step, training.limits);
    let risen = after.map(|after| after.measure(&mut training.engine, limits, (stop, step), on)).transpose()?;

    on(Event::Phase("save"));
    let result = result_name(&training.engine);
    publish_result(&training.engine, fs, &plan.model, &dir.join(result))?;
    let seconds = metrics::seconds_trained(fs, dir)?;
    let summary = summarise(&plan, &training.progress, (result, risen), seconds);
    let facts = Facts {
        data_sha256: prepared.data_hash.clone(),
        notes: prepared.notes.clone(),
        train_counts: prepared.train_counts.clone(),
        valid_counts: prepared.valid_counts.clone(),
        unseen_counts: prepared.unseen_counts.clone(),
        replay_counts: prepared.replay_counts.clone(),
        memory: fit.memory,
        micro_tokens: fit.limits.tokens_max,
        trainable: fit.trainable,
        parameters: fit.parameters,
    };
    record::write_run(fs, &plan, &training.identity, &facts, &training.progress, &summary, seconds)?;
    if stop.load(Ordering::Relaxed) {
        return Err(TrainError::InterruptedAtEnd { steps: summary.steps, result: summary.out.join(result) });
    }
    Ok(summary)
}

/// Unseen rows may be longer than what the engine was sized for, which they have no say in.
fn note_long_unseen(
    prepared: &Prepared,
    seq_len_max: usize,
    plan: &Plan,
    on: &mut dyn FnMut(Event),
) -> Result<(), TrainError> {
    let longest = prepared.unseen.as_ref().and_then(|unseen| Some((unseen, unseen.longest()?)));
    if let Some((unseen, (index, tokens))) = longest
        && tokens.min(plan.data.lengths.seq_len_max) > seq_len_max
    {
        let Origin { file, line } = unseen.example(index)?.origin;
        on(Event::Note(format!(
            "{file}:{line}: {tokens} tokens, longer than any row of data.train and data.valid ({seq_len_max}): such unseen rows \
             are measured in stretches of that length"
        )));
    }
    Ok(())
}

fn summarise(
    plan: &Plan,
    progress: &Progress,
    (result, risen): (&'static str, Option<Risen>),
    seconds: f64,
) -> Summary {
    Summary {
        out: plan.out.clone(),
        result,
        steps: progress.step,
        final_train_loss: progress.train_loss.unwrap_or(f64::NAN),
        final_valid_loss: progress.valid_loss,
        best_step: progress.best.map(|b| b.step),
        best_valid_loss: progress.best.map(|b| b.valid_loss),
        unseen: progress.unseen.map(|u| u.best),
        unseen_gap_open: progress.unseen.map(|u| u.best.is_open()),
        risen,
        tokens_per_second: metrics::rate(progress.tokens, seconds),
        peak_rss_bytes: record::peak_rss_bytes(),
        stopped_early: progress.stopped_early,
        relief: progress.relief.clone(),
    }
}
