//! A replay that the base writes itself, before it is trained: `replay-self.jsonl` in the run's folder.
//!
//! What is written is a function of (model, plan, seed). Beside it `replay-self.json` says what it depends on and what was
//! thrown away: a resumed run, or one that was killed, reads the same bytes or writes them again.

use crate::base::{self, Making};
use crate::checkpoint::Loaded;
use crate::drawn::{Drawn, Writer, thrown};
use crate::limits::{self, Fit, Layers};
use crate::run::{Read, Setting, read_data};
use crate::{Event, Plan, TrainError, record};
use data::{DataError, DataPlan, Dataset, Format, Source, TextPipeline, WrittenPlan};
use model::{AdapterPlan, Engine, Limits, ModelConfig, beginnings};
use runfs::{Fs, RunFsError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use weights::Identity;

const ROWS: &str = "replay-self.jsonl";
const RECORD: &str = "replay-self.json";
/// Changes whenever the same plan would write other texts.
const LAYOUT: u32 = 1;
/// Beginnings that a model without a beginning token is given in turn.
const BEGINNINGS: usize = 1024;

/// What `athanor plan` says of the texts that a run would write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToWrite {
    pub texts: u64,
    /// Most tokens of one.
    pub tokens: usize,
    /// A question and its answer in the model's own format, not a text without turns.
    pub chats: bool,
}

/// What stands beside the texts.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// Of everything that they depend on.
    key: String,
    /// Of the file.
    sha256: String,
    #[serde(flatten)]
    drawn: Drawn,
    tokens: usize,
}

/// Everything that a run of `plan` trains on, the base's own texts included. They are written where they are not there yet,
/// once the other data are known to be usable and to fit; their length is fixed in `plan`. Where the model's files had to be
/// read, also what they are.
///
/// # Errors
/// What the data, the base and memory refuse; `ModelChanged`; `TooFewWritten`; `Interrupted`.
pub(crate) fn read_with(
    plan: &mut Plan,
    found: Option<&Loaded>,
    setting: Setting,
    on: &mut dyn FnMut(Event),
) -> Result<(Read, Option<Identity>), TrainError> {
    let (dir, cache) = (plan.out.clone(), plan.out.join("cache"));
    let step = found.map_or(0, |f| f.progress.step);
    let Some(wanted) = wanted(&plan.data).cloned() else {
        return Ok((read_data(plan, &cache, step, setting, on)?, None));
    };
    let text = open_text(&plan.data)?;
    let first = if wanted.tokens.is_none() { Some(without(plan, &cache, step, setting, on)?) } else { None };
    let to_write = to_write(plan, &wanted, &text, first.as_ref().map(|read| &read.prepared.train))?;
    set_tokens(plan, to_write.tokens);
    record::write_plan(setting.fs, &dir, plan)?;

    let mut making = Making { fs: setting.fs, stop: setting.stop, step, on };
    let model = base::identify(plan, &mut making)?;
    if let Some(found) = found {
        found.check_model(&model.sha256)?;
    }
    let key = key(plan, &to_write, &text, &model.sha256)?;
    let record = match find(setting.fs, &dir, &key)? {
        Some(record) => record,
        None => {
            let read = match first {
                Some(read) => read,
                None => without(plan, &cache, step, setting, on)?,
            };
            let fit = limits::fit(plan, &read)?;
            limits::require(&fit, plan, &read)?;
            write(plan, &to_write, text, (&model, &fit, key), (step, setting), on)?
        }
    };
    on(Event::Note(record.told()));
    let with_texts = Plan { data: with_source(&plan.data, &dir, to_write.chats), ..plan.clone() };
    Ok((read_data(&with_texts, &cache, step, setting, on)?, Some(model)))
}

/// What a run of `plan` would write, from the data without it; None where it writes nothing.
///
/// # Errors
/// What is wrong with the tokenizer or the template; `Plan` where there is no room for a word.
pub(crate) fn look(plan: &Plan, train: &Dataset) -> Result<Option<ToWrite>, TrainError> {
    let Some(wanted) = wanted(&plan.data) else { return Ok(None) };
    to_write(plan, wanted, &open_text(&plan.data)?, Some(train)).map(Some)
}

/// The plan as data are prepared by it, with the texts that a run in its folder has written.
///
/// # Errors
/// `NotWritten` where they are not there.
pub(crate) fn found(
    plan: &Plan,
    cache: &Path,
    setting: Setting,
    on: &mut dyn FnMut(Event),
) -> Result<Plan, TrainError> {
    let Some(wanted) = wanted(&plan.data) else { return Ok(plan.clone()) };
    let text = open_text(&plan.data)?;
    let read = without(plan, cache, 0, setting, on)?;
    let to_write = to_write(plan, wanted, &text, Some(&read.prepared.train))?;
    let mut making = Making { fs: setting.fs, stop: setting.stop, step: 0, on };
    let model = base::identify(plan, &mut making)?;
    let key = key(plan, &to_write, &text, &model.sha256)?;
    match find(setting.fs, &plan.out, &key)? {
        Some(_) => Ok(Plan { data: with_source(&plan.data, &plan.out, to_write.chats), ..plan.clone() }),
        None => Err(TrainError::NotWritten { path: plan.out.join(ROWS) }),
    }
}

/// The data of the run in `dir`, whose plan has them so.
///
/// # Errors
/// What is wrong with the tokenizer or the template.
pub(crate) fn data_of_run(data: DataPlan, dir: &Path) -> Result<DataPlan, TrainError> {
    if wanted(&data).is_none() {
        return Ok(data);
    }
    let chats = open_text(&data)?.turns().map_err(DataError::from)?.is_some();
    Ok(with_source(&data, dir, chats))
}

/// The plan without a replay that is not written yet.
pub(crate) fn trained_alone(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.data.replay = plan.data.replay.filter(|replay| replay.written.is_none());
    plan
}

/// Fixes the length of the texts.
pub(crate) fn set_tokens(plan: &mut Plan, tokens: usize) {
    if let Some(written) = plan.data.replay.as_mut().and_then(|replay| replay.written.as_mut()) {
        written.tokens = Some(tokens);
    }
}

fn wanted(data: &DataPlan) -> Option<&WrittenPlan> {
    data.replay.as_ref()?.written.as_ref()
}

fn open_text(data: &DataPlan) -> Result<TextPipeline, TrainError> {
    Ok(TextPipeline::open(&data.text).map_err(DataError::from)?)
}

fn with_source(data: &DataPlan, dir: &Path, chats: bool) -> DataPlan {
    let mut data = data.clone();
    let format = Some(if chats { Format::Messages } else { Format::Text });
    let (columns, tags) = (BTreeMap::new(), BTreeMap::new());
    if let Some(replay) = &mut data.replay {
        replay.sources = vec![Source { path: dir.join(ROWS), format, columns, tags, task: None }];
    }
    data
}

/// The data without the replay. What they note is noted when all are read.
fn without(
    plan: &Plan,
    cache: &Path,
    step: u64,
    setting: Setting,
    on: &mut dyn FnMut(Event),
) -> Result<Read, TrainError> {
    read_data(&trained_alone(plan), cache, step, setting, &mut |event| quiet(event, on))
}

fn quiet(event: Event, on: &mut dyn FnMut(Event)) {
    if !matches!(event, Event::Note(_)) {
        on(event);
    }
}

/// `train` is needed where the plan leaves the length open.
fn to_write(
    plan: &Plan,
    wanted: &WrittenPlan,
    text: &TextPipeline,
    train: Option<&Dataset>,
) -> Result<ToWrite, TrainError> {
    let chats = text.turns().map_err(DataError::from)?.is_some();
    let most = plan.data.lengths.seq_len_max.min(plan.train.micro_tokens.unwrap_or(usize::MAX));
    let tokens = match (wanted.tokens, train) {
        (Some(tokens), _) => tokens,
        // An answer that must end by itself needs the room that the model wants for it.
        (None, None) => most,
        (None, Some(_)) if chats => most,
        (None, Some(train)) => median_tokens(train).clamp(2, most),
    };
    Ok(ToWrite { texts: wanted.texts, tokens, chats })
}

fn median_tokens(data: &Dataset) -> usize {
    let mut lengths: Vec<u32> = (0..data.len()).map(|i| data.token_len(i) as u32).collect();
    let middle = lengths.len() / 2;
    *lengths.select_nth_unstable(middle).1 as usize
}

/// Everything that the texts depend on.
fn key(plan: &Plan, to_write: &ToWrite, text: &TextPipeline, model_sha256: &str) -> Result<String, TrainError> {
    let what = json!([
        LAYOUT,
        model_sha256,
        to_write,
        plan.train.seed,
        plan.train.precision,
        plan.quantize,
        plan.data.lengths.seq_len_max,
        text.identity(),
        beginnings_of(plan)?,
    ]);
    Ok(runfs::sha256_hex(what.to_string().as_bytes()))
}

fn beginnings_of(plan: &Plan) -> Result<Vec<u32>, TrainError> {
    let vocab = ModelConfig::read(&plan.model)?.vocab;
    Ok(beginnings(&plan.model, vocab, BEGINNINGS.min(vocab))?)
}

/// What is said of the texts in `dir`, where they are those of this key, whole.
fn find(fs: &dyn Fs, dir: &Path, key: &str) -> Result<Option<Record>, TrainError> {
    let (path, rows) = (dir.join(RECORD), dir.join(ROWS));
    if !fs.exists(&path) || !fs.exists(&rows) {
        return Ok(None);
    }
    let bytes = fs.read(&path).map_err(|e| RunFsError::io("read", &path, e))?;
    // Whatever cannot be read is written anew.
    let Ok(record) = serde_json::from_slice::<Record>(&bytes) else { return Ok(None) };
    let is = record.key == key && record.sha256 == runfs::sha256_file(&rows)?;
    Ok(is.then_some(record))
}

/// Lets the base alone write the texts, and publishes them, then what is said of them.
fn write(
    plan: &Plan,
    to_write: &ToWrite,
    text: TextPipeline,
    (model, fit, key): (&Identity, &Fit, String),
    (step, setting): (u64, Setting),
    on: &mut dyn FnMut(Event),
) -> Result<Record, TrainError> {
    let Setting { fs, stop } = setting;
    let mut making = Making { fs, stop, step, on };
    let base = base::folder(plan, model, fit.layers == Layers::Copied, &mut making)?;
    on(Event::Phase("write"));
    // Of a pass, what training's were planned with: without an adapter it takes less.
    let tokens_max = fit.limits.tokens_max.max(if to_write.chats { to_write.tokens } else { 1 });
    let limits = Limits { tokens_max, seq_len_max: to_write.tokens, beside: 0, ..fit.limits };
    let engine = Engine::load_copy(&base, &plan.model, &AdapterPlan::None, &limits)?;
    let mut writer =
        Writer::new(engine, text, beginnings_of(plan)?, to_write, (plan.train.seed, plan.data.lengths.seq_len_max))?;
    let (rows, mut refused, mut drawn) = (plan.out.join(ROWS), None, Drawn::default());
    let published = runfs::publish_file_with(fs, &rows, &mut |out| match writer.write(out, step, stop, on) {
        Ok(all) => {
            drawn = all;
            Ok(())
        }
        Err(TrainError::Folder(RunFsError::Io { source, .. })) => Err(source),
        Err(e) => {
            refused = Some(e);
            Err(io::Error::other("refused"))
        }
    });
    match (published, refused) {
        (Err(_), Some(refused)) => return Err(refused),
        (published, _) => published?,
    }
    let record = Record { key, sha256: runfs::sha256_file(&rows)?, drawn, tokens: to_write.tokens };
    let path = plan.out.join(RECORD);
    let mut json = serde_json::to_vec_pretty(&record)
        .map_err(|e| TrainError::RunFile { path: path.clone(), why: e.to_string() })?;
    json.push(b'\n');
    runfs::publish_file(fs, &path, &json)?;
    Ok(record)
}

impl Record {
    fn told(&self) -> String {
        let Drawn { kept, drawn, thrown_away } = &self.drawn;
        let thrown = if thrown_away.is_empty() { String::new() } else { format!(", {}", thrown(thrown_away)) };
        format!(
            "replay: {ROWS} has {kept} texts of at most {} tokens that the base wrote itself ({drawn} drawn{thrown})",
            self.tokens
        )
    }
}
