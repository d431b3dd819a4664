//! What a run holds on to while it learns: Fishers, measured before its first step or read from a file.
//!
//! Each is kept in the run's folder, `ewc/K.safetensors`, with a key of everything it depends on: a resumed run reads the
//! same bytes and needs nothing else for it, and a later one may name the file. `importance.NAME` or `rows.NAME` and
//! `columns.NAME`; `anchor.NAME` where the weights are not held at the base's own values.

use crate::batch::Segment;
use crate::{Event, EwcOf, EwcPlan, Plan, TrainError, TrainPlan, probe, record, written};
use data::{DataPlan, Dataset, Permutation, Purpose};
use model::adapters::{AdapterPlan, InitWeights, LoraPlan};
use model::{Batch, Engine, Fisher, FisherOf, FisherPart, IGNORE, Importance};
use runfs::Fs;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use weights::Checkpoint;

pub(crate) const FOLDER: &str = "ewc";
const ROWS: &str = "rows.";
const COLUMNS: &str = "columns.";
const IMPORTANCE: &str = "importance.";
const ANCHOR: &str = "anchor.";
/// In the file's metadata.
const KEY: &str = "key";
const BASE: &str = "base_sha256";
const DATA: &str = "data_sha256";
const OF: &str = "of";
const SAMPLES: &str = "samples";

/// What a part of the plan's `ewc` is measured on.
pub(crate) struct General {
    /// None where a file has the Fisher.
    pub data: Option<Dataset>,
    /// sha256 of the data, or of that file.
    pub hash: String,
}

/// Prepares the data of every part of the plan that measures, in `cache`. A resumed run has what it measured in its folder.
///
/// # Errors
/// As [`data::prepare`]; `EwcData` where an earlier run's data are no longer what it was trained on.
pub(crate) fn read(
    plan: &Plan,
    cache: &Path,
    (fs, resumed): (&dyn Fs, bool),
    on: &mut dyn FnMut(u64, u64, u64) -> bool,
) -> Result<Vec<General>, TrainError> {
    let one = |(i, part): (usize, &EwcPlan)| -> Result<General, TrainError> {
        let own = own_file(&plan.out, i);
        // At a run's end the rise is measured on its data.
        if resumed
            && part.lambda.sought().is_none()
            && fs.exists(&own)
            && let Some(hash) = Checkpoint::open_file(&own)?.metadata().get(DATA)
        {
            return Ok(General { data: None, hash: hash.clone() });
        }
        let plan_seed = plan.train.seed;
        let (plan, seed, was) = match &part.of {
            EwcOf::File(path) => {
                return Ok(General { data: None, hash: runfs::sha256_file(path)? });
            }
            EwcOf::Base(sources) => (general_plan(plan, sources), plan.train.seed, None),
            EwcOf::Run { dir, .. } => {
                let of_run = record::read_plan(fs, dir)?;
                (written::data_of_run(of_run.data, dir)?, of_run.train.seed, Some((dir, record::data_hash(fs, dir)?)))
            }
        };
        let prepared = data::prepare(&plan, seed, &cache.join(format!("ewc-{}", i + 1)), on)?;
        if let Some((dir, was)) = was.filter(|(_, was)| *was != prepared.data_hash) {
            return Err(TrainError::EwcData { dir: dir.clone(), was, now: prepared.data_hash });
        }
        if prepared.train.is_empty() {
            let (rows, aside) = (prepared.train_counts.rows, prepared.train_counts.aside);
            return Err(TrainError::NoExamples { what: "general", rows, aside });
        }
        if part.lambda.sought().is_some() {
            probe::rows(&prepared.train, part, plan_seed)?;
        }
        Ok(General { data: Some(prepared.train), hash: prepared.data_hash })
    };
    plan.ewc.iter().enumerate().map(one).collect()
}

fn general_plan(plan: &Plan, sources: &[data::Source]) -> DataPlan {
    let train = sources.to_vec();
    DataPlan { train, valid: None, unseen: Vec::new(), mix: None, replay: None, ..plan.data.clone() }
}

fn own_file(out: &Path, part: usize) -> PathBuf {
    out.join(FOLDER).join(format!("{}.safetensors", part + 1))
}

/// What measuring needs around it.
pub(crate) struct Measuring<'a> {
    pub fs: &'a dyn Fs,
    pub stop: &'a AtomicBool,
    pub model_sha256: &'a str,
    /// The step that a resumed run goes on from.
    pub step: u64,
}

/// Measures what a run that goes on from an earlier adapter holds of the base: of the base as it is, which is where it is held,
/// without that adapter. `load`: an engine with what is to be trained.
///
/// # Errors
/// As [`hold`].
pub(crate) fn measure_before(
    plan: &Plan,
    general: &[General],
    m: &Measuring,
    load: &dyn Fn(&AdapterPlan) -> Result<Engine, TrainError>,
    on: &mut dyn FnMut(Event),
) -> Result<(), TrainError> {
    let AdapterPlan::Lora(lora) = &plan.adapter else { return Ok(()) };
    if lora.start_from.is_none() {
        return Ok(());
    }
    // Whatever the method, a start that changes nothing.
    let unchanged = LoraPlan { start_from: None, init: InitWeights::Kaiming, ..lora.as_ref().clone() };
    let unchanged = AdapterPlan::Lora(Box::new(unchanged));
    let mut engine = None;
    for (i, (part, general)) in plan.ewc.iter().zip(general).enumerate() {
        let (EwcOf::Base(_), Some(data)) = (&part.of, &general.data) else { continue };
        let (own, key) = (own_file(&plan.out, i), key(plan, part, general, m));
        if m.fs.exists(&own) && read_file(&own, m.model_sha256).is_ok_and(|(_, was)| was == key) {
            continue;
        }
        let engine = match &mut engine {
            Some(engine) => engine,
            None => engine.insert(load(&unchanged)?),
        };
        let fisher = measure(engine, plan, (part, data), m, on)?;
        write(m.fs, &own, &fisher, &[(KEY, &key), (BASE, m.model_sha256), (DATA, &general.hash)])?;
    }
    Ok(())
}

/// Measures what is not there yet, with the engine as the run begins, and holds all of it from now on.
///
/// # Errors
/// `EwcBase` where a file is of another base; `Interrupted`; what the engine refuses.
pub(crate) fn hold(
    engine: &mut Engine,
    plan: &Plan,
    general: &[General],
    m: &Measuring,
    on: &mut dyn FnMut(Event),
) -> Result<(), TrainError> {
    for (i, (part, general)) in plan.ewc.iter().zip(general).enumerate() {
        let own = own_file(&plan.out, i);
        let key = key(plan, part, general, m);
        let kept = m.fs.exists(&own).then(|| read_file(&own, m.model_sha256));
        let fisher = match (kept, &part.of, &general.data) {
            (Some(Ok((fisher, was))), ..) if was == key => fisher,
            (_, of, data) => {
                let fisher = match (of, data) {
                    (EwcOf::File(path), _) => read_file(path, m.model_sha256)?.0,
                    (of, Some(data)) => {
                        let mut fisher = measure(engine, plan, (part, data), m, on)?;
                        if let EwcOf::Run { dir, decay } = of {
                            add_earlier(&mut fisher, dir, *decay, m)?;
                        }
                        fisher
                    }
                    // What a resumed run had measured is not what its plan asks for.
                    (_, None) => return Err(TrainError::NoFisher { path: own }),
                };
                write(m.fs, &own, &fisher, &[(KEY, &key), (BASE, m.model_sha256), (DATA, &general.hash)])?;
                fisher
            }
        };
        let unknown = || TrainError::Plan { field: "ewc.rise", why: "λ is still to be found".to_owned() };
        engine.hold(&fisher, part.lambda.value().ok_or_else(unknown)?)?;
    }
    Ok(())
}

/// Everything that the numbers depend on.
fn key(plan: &Plan, part: &EwcPlan, general: &General, m: &Measuring) -> String {
    let data = match &part.of {
        EwcOf::Base(sources) => json!(general_plan(plan, sources)),
        EwcOf::Run { decay, .. } => json!(decay),
        EwcOf::File(_) => json!(null),
    };
    let TrainPlan { seed, precision, .. } = plan.train;
    let what = json!([m.model_sha256, general.hash, data, part.examples, plan.adapter, seed, precision, plan.quantize]);
    runfs::sha256_hex(what.to_string().as_bytes())
}

fn measure(
    engine: &mut Engine,
    plan: &Plan,
    (part, data): (&EwcPlan, &Dataset),
    m: &Measuring,
    on: &mut dyn FnMut(Event),
) -> Result<Fisher, TrainError> {
    on(Event::Phase("fisher"));
    engine.begin_fisher(if matches!(part.of, EwcOf::Base(_)) { FisherOf::Base } else { FisherOf::Adapter })?;
    // What a run itself was to learn, not what it rehearsed.
    let rows = data.own_len() as u64;
    let order = order(data, plan.train.seed);
    let wanted = (part.examples as u64).min(rows);
    for i in 0..wanted {
        if m.stop.load(Ordering::Relaxed) {
            return Err(TrainError::Interrupted { step: m.step });
        }
        let example = data.example(order.at(i) as usize)?;
        let n = example.ids.len().min(plan.data.lengths.seq_len_max);
        let Segment { ids, targets, .. } = Segment::cut(&example, 0..n);
        let n = up_to(&targets, engine.fisher_targets_max());
        let (ids, targets) = (&ids[..n], &targets[..n]);
        engine.add_to_fisher(Batch { ids, targets, cu: &[0, n] })?;
        on(Event::Measuring { examples: i + 1, of: wanted });
    }
    let fisher = engine.end_fisher()?.unwrap_or_else(|| unreachable!("a Fisher was begun"));
    match fisher.samples {
        0 => {
            let aside = BTreeMap::new();
            Err(TrainError::NoExamples { what: "supervised general", rows, aside })
        }
        _ => Ok(fisher),
    }
}

/// Tokens up to the last of `most` targets.
fn up_to(targets: &[i32], most: Option<usize>) -> usize {
    let supervised = targets.iter().enumerate().filter(|(_, t)| **t != IGNORE);
    most.and_then(|most| supervised.skip(most).map(|(i, _)| i).next()).unwrap_or(targets.len())
}

/// Its first rows are those that F is measured on.
pub(crate) fn order(data: &Dataset, seed: u64) -> Permutation {
    Permutation::new(data.own_len() as u64, seed, 0, Purpose::Shuffle)
}

/// What the engine's weights would cost now with λ = 1 for this part alone. It is held alone from then on.
///
/// # Errors
/// What reading its Fisher and the engine refuse.
pub(crate) fn penalty(engine: &mut Engine, plan: &Plan, part: usize, model_sha256: &str) -> Result<f64, TrainError> {
    let (fisher, _) = read_file(&own_file(&plan.out, part), model_sha256)?;
    engine.let_go();
    engine.hold(&fisher, 1.0)?;
    Ok(engine.pull()?)
}

/// Online EWC (Schwarz et al. 2018): what the earlier run itself held of its adapter counts on, `decay` times as much; all
/// is held where the adapter is now.
fn add_earlier(fisher: &mut Fisher, dir: &Path, decay: f64, m: &Measuring) -> Result<(), TrainError> {
    if decay == 0.0 {
        return Ok(());
    }
    for i in 0..record::read_plan(m.fs, dir)?.ewc.len() {
        let path = own_file(dir, i);
        let (earlier, _) = read_file(&path, m.model_sha256)?;
        let values: BTreeMap<&str, &Importance> =
            earlier.parts.iter().map(|part| (part.name.as_str(), &part.importance)).collect();
        for part in fisher.parts.iter_mut().filter(|_| earlier.of == FisherOf::Adapter) {
            match (&mut part.importance, values.get(part.name.as_str())) {
                (Importance::Elements { values, shape }, Some(Importance::Elements { values: before, shape: of }))
                    if shape == of =>
                {
                    values.iter_mut().zip(before).for_each(|(now, was)| *now += (decay * f64::from(*was)) as f32);
                }
                _ => return Err(TrainError::EwcShape { path, tensor: part.name.clone() }),
            }
        }
    }
    Ok(())
}

// --- files -------------------------------------------------------------------------------------------

fn write(fs: &dyn Fs, path: &Path, fisher: &Fisher, more: &[(&str, &str)]) -> Result<(), TrainError> {
    if let Some(folder) = path.parent() {
        runfs::create_dir_durable(fs, folder)?;
    }
    let mut list: Vec<(String, Vec<usize>, &[f32])> = Vec::new();
    for FisherPart { name, importance, anchor } in &fisher.parts {
        let shape = match importance {
            Importance::Elements { shape, values } => {
                list.push((format!("{IMPORTANCE}{name}"), shape.clone(), values));
                shape.clone()
            }
            Importance::Outer { rows, columns } => {
                list.push((format!("{ROWS}{name}"), vec![rows.len()], rows));
                list.push((format!("{COLUMNS}{name}"), vec![columns.len()], columns));
                vec![rows.len(), columns.len()]
            }
        };
        if let Some(anchor) = anchor {
            list.push((format!("{ANCHOR}{name}"), shape, anchor));
        }
    }
    let of = match fisher.of {
        FisherOf::Adapter => "adapter",
        FisherOf::Base => "base",
    };
    let (of, samples) = ((OF.to_owned(), of.to_owned()), (SAMPLES.to_owned(), fisher.samples.to_string()));
    let more = more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let metadata = [of, samples].into_iter().chain(more).collect();
    let bytes = weights::safetensors_bytes(&list, &metadata)?;
    Ok(runfs::publish_file(fs, path, &bytes)?)
}

/// The Fisher and its key.
fn read_file(path: &Path, model_sha256: &str) -> Result<(Fisher, String), TrainError> {
    let file = Checkpoint::open_file(path)?;
    let said = |key: &str| file.metadata().get(key).cloned().unwrap_or_default();
    let no_fisher = || TrainError::NoFisher { path: path.to_owned() };
    let of = match said(OF).as_str() {
        "adapter" => FisherOf::Adapter,
        "base" => FisherOf::Base,
        _ => return Err(no_fisher()),
    };
    if said(BASE) != model_sha256 {
        return Err(TrainError::EwcBase { path: path.to_owned(), was: said(BASE), now: model_sha256.to_owned() });
    }
    let samples = said(SAMPLES).parse().map_err(|_| no_fisher())?;
    let values = |name: String| -> Result<Option<Vec<f32>>, TrainError> {
        if file.contains(&name) { Ok(Some(file.get(&name)?.to_f32()?)) } else { Ok(None) }
    };
    let names: BTreeSet<&str> =
        file.names().filter_map(|name| name.strip_prefix(ROWS).or(name.strip_prefix(IMPORTANCE))).collect();
    let part = |name: &str| -> Result<FisherPart, TrainError> {
        let whole = format!("{IMPORTANCE}{name}");
        let outer = (values(format!("{ROWS}{name}"))?, values(format!("{COLUMNS}{name}"))?);
        let importance = match (values(whole.clone())?, outer) {
            (Some(values), _) => Importance::Elements { shape: file.get(&whole)?.shape.to_vec(), values },
            (None, (Some(rows), Some(columns))) => Importance::Outer { rows, columns },
            _ => return Err(no_fisher()),
        };
        Ok(FisherPart { name: name.to_owned(), importance, anchor: values(format!("{ANCHOR}{name}"))? })
    };
    let parts = names.into_iter().map(part).collect::<Result<_, _>>()?;
    Ok((Fisher { of, samples, parts }, said(KEY)))
}

/// Bytes that what is held takes beside the model: the anchors and importances of tensors that are trained, and what holding
/// a low-rank adapter's change needs.
pub(crate) fn bytes(plan: &Plan, outline: &model::Outline) -> u64 {
    let model::Outline { trainable, holding, .. } = *outline;
    let (whole, beside) = match &plan.adapter {
        model::AdapterPlan::Lora(lora) => {
            (lora.full, !lora.modules_to_save.is_empty() || lora.bias != model::BiasTraining::None)
        }
        model::AdapterPlan::None => (false, false),
    };
    let floats = |part: &EwcPlan| match part.of {
        EwcOf::Run { .. } => 2 * trainable,
        EwcOf::Base(_) if whole => trainable,
        // Which of the two a file is of is not known yet: the larger.
        EwcOf::File(_) => 2 * trainable,
        // Pairs have no anchors; what is trained whole beside them has.
        EwcOf::Base(_) if beside => trainable,
        EwcOf::Base(_) => 0,
    };
    let of_pairs = plan.ewc.iter().filter(|part| !matches!(part.of, EwcOf::Run { .. })).count() as u64;
    4 * plan.ewc.iter().map(floats).sum::<u64>() + of_pairs * holding
}
