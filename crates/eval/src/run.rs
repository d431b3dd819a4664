//! Suites on one model or two: rows are read, asked and judged a chunk at a time, and each suite's results on each model are
//! published as a part, which a later evaluation of the same takes over.

use crate::condition::Condition;
use crate::figures::{Better, Figure, How, Rows};
use crate::record::{self, Part, Recorded};
use crate::rows::{Item, Items};
use crate::score::classes::{self, Match};
use crate::score::numeric;
use crate::score::voice::{self, Voice};
use crate::scorer::{Answered, Scorer, reference_texts};
use crate::stats::Random;
use crate::subject::Subject;
use crate::suite::{Suite, VOICE};
use crate::{EvalError, answer};
use data::{LossOn, Permutation, Purpose, Question, TextPipeline, TextPlan};
use runfs::Fs;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows that are asked at a time.
const CHUNK_ROWS: usize = 64;
/// Most labels that are found in the rows.
const LABELS_MAX: usize = 10_000;
/// Most rows of a suite: for the statistics their numbers are held in memory, 8 bytes each and from one to some forty a row.
const ROWS_MAX: u64 = 1_000_000;
const ROWS_FILE: &str = "rows.jsonl";
const PART_FILE: &str = "part.json";
/// What parts are made of; a change makes older ones void.
const LAYOUT: u32 = 2;

/// Which of two models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    Base,
    Tuned,
}

impl Who {
    pub fn name(self) -> &'static str {
        match self {
            Who::Base => "base",
            Who::Tuned => "tuned",
        }
    }
}

/// One of the models that are evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Entrant {
    pub who: Who,
    /// Whose tokenizer and template are used.
    pub dir: PathBuf,
    pub adapter: Option<PathBuf>,
    /// Equal for equal weights: what makes a finished part one that can be taken over.
    pub identity: String,
    pub position_max: usize,
}

#[derive(Clone, Debug)]
pub struct EvalPlan {
    pub suites: Vec<Suite>,
    /// One, or base and tuned in this order.
    pub entrants: Vec<Entrant>,
    pub conditions: Vec<Condition>,
    /// Of each suite so many rows, chosen by the seed; None: all.
    pub limit: Option<u64>,
    pub seed: u64,
    /// Where parts, answers.jsonl and eval.json go. A scratch folder where nothing is to be kept.
    pub out: PathBuf,
}

/// What a caller is told.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The rows of a suite are being checked.
    Checking {
        suite: &'a str,
    },
    Loading {
        who: Who,
    },
    /// `rows` of `total` are done.
    Rows {
        suite: &'a str,
        who: Who,
        rows: u64,
        total: u64,
    },
    /// A finished part was taken over.
    Kept {
        suite: &'a str,
        who: Who,
    },
    Statistics,
}

/// How an evaluation is watched and stopped.
pub struct Watch<'a> {
    pub stop: &'a AtomicBool,
    pub progress: &'a mut dyn FnMut(Progress),
}

impl Watch<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Loads an entrant for sequences of so many tokens.
pub type Load<'a> = dyn FnMut(&Entrant, usize) -> Result<Box<dyn Subject>, EvalError> + 'a;

/// Evaluates, writes `answers.jsonl` and `eval.json` into the plan's folder, and returns the latter.
///
/// # Errors
/// Everything in [`EvalError`]. After `Interrupted` the finished parts are in the folder.
pub fn run(plan: &EvalPlan, fs: &dyn Fs, load: &mut Load, watch: &mut Watch) -> Result<Value, EvalError> {
    let spool = tempfile::tempdir().map_err(|source| EvalError::Scratch { op: "create", source })?;
    let surveys = survey_all(plan, spool.path(), watch)?;
    let job = Job { plan, fs, spool: spool.path() };
    let mut scorers = Vec::new();
    for (suite, surveys) in plan.suites.iter().zip(&surveys) {
        scorers.push(Scorer::new(suite, &surveys[0].labels, spool.path())?);
    }
    for (e, entrant) in plan.entrants.iter().enumerate() {
        let mut subject: Option<Box<dyn Subject>> = None;
        let longest = surveys.iter().map(|s| s[e].tokens).max().unwrap_or(0);
        for (scorer, surveys) in scorers.iter().zip(&surveys) {
            let identity = job.identity(scorer, entrant)?;
            if job.is_finished(&scorer.suite.name, entrant.who, &identity)? {
                (watch.progress)(Progress::Kept { suite: &scorer.suite.name, who: entrant.who });
                continue;
            }
            let subject = match &mut subject {
                Some(subject) => subject,
                none => {
                    (watch.progress)(Progress::Loading { who: entrant.who });
                    none.insert(load(entrant, longest)?)
                }
            };
            job.part(scorer, entrant, &surveys[e], (subject.as_mut(), &identity), watch)?;
        }
    }
    (watch.progress)(Progress::Statistics);
    let mut suites = Vec::new();
    for (scorer, surveys) in scorers.iter().zip(&surveys) {
        suites.push(job.recorded(scorer, surveys[0].rows)?);
    }
    record::publish(plan, fs, &scorers, &suites)
}

/// Reads every row as [`run`] will, so that what is wrong with any is said before there is a model to ask.
///
/// # Errors
/// A row that cannot be asked or judged, `Interrupted`.
pub fn check(plan: &EvalPlan, watch: &mut Watch) -> Result<(), EvalError> {
    let spool = tempfile::tempdir().map_err(|source| EvalError::Scratch { op: "create", source })?;
    survey_all(plan, spool.path(), watch).map(drop)
}

/// What the rows of a suite ask for, of one entrant's tokenizer.
#[derive(Clone)]
struct Survey {
    /// What no row is longer than.
    position_max: usize,
    /// In the files.
    rows: u64,
    /// Of these, asked.
    chosen: u64,
    /// Of the longest sequence.
    tokens: usize,
    /// First accepted answers, where a classification has to find its labels in them.
    labels: BTreeSet<String>,
}

/// Reads every row once, so that what is wrong with any is said before a model is loaded. [suites][entrants]
fn survey_all(plan: &EvalPlan, spool: &Path, watch: &mut Watch) -> Result<Vec<Vec<Survey>>, EvalError> {
    let mut out = Vec::new();
    for suite in &plan.suites {
        (watch.progress)(Progress::Checking { suite: &suite.name });
        let mut of_suite: Vec<Survey> = Vec::new();
        for entrant in &plan.entrants {
            // One tokenizer, one survey.
            let same = plan.entrants.iter().zip(&of_suite).find(|(e, _)| e.dir == entrant.dir).map(|(_, s)| s.clone());
            let new = match same.filter(|s| s.position_max <= entrant.position_max) {
                Some(same) => same,
                None => survey(suite, entrant, plan, spool, watch)?,
            };
            of_suite.push(new);
        }
        out.push(of_suite);
    }
    Ok(out)
}

fn survey(suite: &Suite, entrant: &Entrant, plan: &EvalPlan, spool: &Path, watch: &Watch) -> Result<Survey, EvalError> {
    let text = pipeline(suite, &entrant.dir)?;
    let position_max = entrant.position_max;
    let mut survey = Survey { position_max, rows: 0, chosen: 0, tokens: 0, labels: BTreeSet::new() };
    let wanted = suite.measures.classification.as_ref().is_some_and(|c| c.labels.is_empty());
    let finished = || EvalError::Interrupted { finished: 0, parts: plan.suites.len() * plan.entrants.len() };
    for item in Items::of(suite, spool) {
        let item = item?;
        survey.rows += 1;
        if survey.rows > ROWS_MAX {
            return Err(EvalError::TooManyRows { path: suite.path.clone(), limit: ROWS_MAX });
        }
        if watch.stopped() {
            return Err(finished());
        }
        check_expected(suite, &item)?;
        let tokens = asked(suite, &text, &item)?.tokens(suite);
        if tokens > entrant.position_max {
            return Err(EvalError::TooLong { origin: item.place(), tokens, limit: entrant.position_max });
        }
        survey.tokens = survey.tokens.max(tokens);
        if wanted {
            survey.labels.extend(item.answers.into_iter().take(1));
            if survey.labels.len() > LABELS_MAX {
                let got = format!("more than {LABELS_MAX} different answers in the rows");
                return Err(suite.wrong("measures.classification", got, "answers that are labels, or another measure"));
            }
        }
    }
    if survey.rows == 0 {
        return Err(EvalError::NoRows { path: suite.path.clone() });
    }
    survey.chosen = plan.limit.map_or(survey.rows, |limit| limit.min(survey.rows));
    Ok(survey)
}

/// Refuses a row whose expected answer its measures cannot use.
fn check_expected(suite: &Suite, item: &Item) -> Result<(), EvalError> {
    let expected = item.answers.first().map_or("", String::as_str);
    let refused = |why: String| Err(EvalError::Row { origin: item.place(), why });
    if suite.measures.numeric.is_some() && numeric::last_number(expected).is_none() {
        return refused(format!("no number in the answer {expected:?}; `measures.numeric` expects one"));
    }
    let labels = suite.measures.classification.as_ref().map_or(&[][..], |c| &c.labels);
    if !labels.is_empty() && classes::named(expected, labels, Match::Whole) == labels.len() {
        return refused(format!("the answer {expected:?} is none of `measures.classification.labels`"));
    }
    Ok(())
}

fn pipeline(suite: &Suite, dir: &Path) -> Result<TextPipeline, EvalError> {
    Ok(TextPipeline::open(&TextPlan {
        model_dir: dir.to_owned(),
        template: suite.template.clone(),
        loss_on: LossOn::Response,
        record_bytes_max: crate::rows::RECORD_BYTES_MAX,
    })?)
}

/// What a suite asks a model about one row.
struct Asked {
    question: Option<Question>,
    whole: Option<data::Encoded>,
    choices: Vec<data::Encoded>,
}

fn asked(suite: &Suite, text: &TextPipeline, item: &Item) -> Result<Asked, EvalError> {
    let question = suite.writes().then(|| item.question(text)).transpose()?;
    let whole = suite.measures.loss.is_some().then(|| item.answered(text, None, suite)).transpose()?;
    let choices = item.choices.iter().flat_map(|c| &c.texts);
    let choices = choices.map(|choice| item.answered(text, Some(choice), suite)).collect::<Result<_, _>>()?;
    Ok(Asked { question, whole, choices })
}

impl Asked {
    /// Of the longest sequence.
    fn tokens(&self, suite: &Suite) -> usize {
        let written = self.question.as_ref().map(|q| q.ids.len() + suite.decoding.tokens_max);
        let read = self.whole.iter().chain(&self.choices).map(|e| e.ids.len());
        written.into_iter().chain(read).max().unwrap_or(0)
    }

    /// Over the tokens that the model is given: equal hashes, equal questions.
    fn sha256(&self) -> String {
        let ids = self.question.as_ref().map(|q| &q.ids);
        let ids = ids.or(self.choices.first().or(self.whole.as_ref()).map(|e| &e.ids));
        let bytes: Vec<u8> = ids.into_iter().flatten().flat_map(|id| id.to_le_bytes()).collect();
        Sha256::digest(&bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// One row of a part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartRow {
    pub file: String,
    pub line: u64,
    /// The first 16 hex digits.
    pub prompt_sha256: String,
    pub prompt: String,
    #[serde(default)]
    pub expected: Option<String>,
    #[serde(default)]
    pub answer: Option<String>,
    pub values: Vec<f64>,
    #[serde(default)]
    pub detail: Map<String, Value>,
}

impl PartRow {
    /// What the model answered: what it wrote, or the choice that it finds likeliest. None: a loss alone was asked for.
    pub fn said(&self) -> Option<&str> {
        self.answer.as_deref().or_else(|| self.detail.get("choice").and_then(Value::as_str))
    }
}

struct Job<'a> {
    plan: &'a EvalPlan,
    fs: &'a dyn Fs,
    spool: &'a Path,
}

impl Job<'_> {
    fn dir(&self, suite: &str, who: Who) -> PathBuf {
        self.plan.out.join("parts").join(format!("{suite}.{}", who.name()))
    }

    /// Over everything that decides a part's bytes.
    fn identity(&self, scorer: &Scorer, entrant: &Entrant) -> Result<String, EvalError> {
        let suite = scorer.suite;
        let mut files = Vec::new();
        for path in suite.data.iter().map(|s| &s.path).chain(&suite.files) {
            files.push(runfs::sha256_file(path)?);
        }
        let recipe = json!({
            "layout": LAYOUT, "version": env!("CARGO_PKG_VERSION"), "suite": suite.meant, "labels": scorer.labels,
            "files": files, "text": pipeline(suite, &entrant.dir)?.identity(), "model": entrant.identity,
            "limit": self.plan.limit, "seed": self.plan.seed,
        });
        Ok(runfs::sha256_hex(recipe.to_string().as_bytes()))
    }

    fn is_finished(&self, suite: &str, who: Who, identity: &str) -> Result<bool, EvalError> {
        let dir = self.dir(suite, who);
        runfs::recover_dir(self.fs, &dir)?;
        if !self.fs.exists(&dir) || runfs::verify_dir(self.fs, &dir).is_err() {
            return Ok(false);
        }
        let read = std::fs::read(dir.join(PART_FILE)).ok().and_then(|b| serde_json::from_slice::<Value>(&b).ok());
        Ok(read.is_some_and(|part| part["identity"] == identity))
    }

    fn parts_finished(&self) -> usize {
        let suites = self.plan.suites.iter();
        suites.flat_map(|s| self.plan.entrants.iter().map(|e| self.dir(&s.name, e.who))).filter(|d| d.exists()).count()
    }

    /// Asks and judges the chosen rows of a suite, and publishes what came of it.
    fn part(
        &self,
        scorer: &Scorer,
        entrant: &Entrant,
        survey: &Survey,
        (subject, identity): (&mut dyn Subject, &str),
        watch: &mut Watch,
    ) -> Result<(), EvalError> {
        let scratch = |op| move |source| EvalError::Scratch { op, source };
        let suite = scorer.suite;
        let text = pipeline(suite, &entrant.dir)?;
        let order = Permutation::new(survey.rows, self.plan.seed, 0, Purpose::Split);
        let mut file = BufWriter::new(tempfile::tempfile_in(self.spool).map_err(scratch("create"))?);
        let mut items = Items::of(suite, self.spool).zip(0u64..).filter(|(_, i)| order.inverse(*i) < survey.chosen);
        let mut done = 0;
        let tell = |watch: &mut Watch, rows| {
            (watch.progress)(Progress::Rows { suite: &suite.name, who: entrant.who, rows, total: survey.chosen });
        };
        tell(watch, 0);
        loop {
            let chunk = items.by_ref().take(CHUNK_ROWS).map(|(item, _)| item).collect::<Result<Vec<Item>, _>>()?;
            if chunk.is_empty() {
                break;
            }
            let rows = self.chunk(scorer, &text, &chunk, (subject, done), watch)?;
            for row in rows {
                let line = serde_json::to_vec(&row).map_err(|e| scratch("write")(e.into()))?;
                file.write_all(&line).and_then(|()| file.write_all(b"\n")).map_err(scratch("write"))?;
            }
            done += chunk.len() as u64;
            tell(watch, done);
        }
        let mut file = file.into_inner().map_err(|e| scratch("write")(e.into_error()))?;
        let about = json!({"identity": identity, "suite": suite.name, "who": entrant.who, "rows": done});
        runfs::publish_dir(self.fs, &self.dir(&suite.name, entrant.who), &mut |staged| {
            staged.file(ROWS_FILE, &mut |out| {
                file.rewind()?;
                std::io::copy(&mut file, out).map(drop)
            })?;
            staged.file(PART_FILE, &mut |out| writeln!(out, "{about}"))
        })?;
        Ok(())
    }

    /// `first`: rows before this chunk.
    fn chunk(
        &self,
        scorer: &Scorer,
        text: &TextPipeline,
        items: &[Item],
        (subject, first): (&mut dyn Subject, u64),
        watch: &mut Watch,
    ) -> Result<Vec<PartRow>, EvalError> {
        let suite = scorer.suite;
        let stopped = || EvalError::Interrupted {
            finished: self.parts_finished(),
            parts: self.plan.suites.len() * self.plan.entrants.len(),
        };
        let all: Vec<Asked> = items.iter().map(|item| asked(suite, text, item)).collect::<Result<_, _>>()?;
        let mut answers = vec![Answered::default(); items.len()];
        let read: Vec<&data::Encoded> = all.iter().flat_map(|a| a.whole.iter().chain(&a.choices)).collect();
        let stop = watch.stop;
        let mut goes_on = || !stop.load(Ordering::Relaxed);
        let mut losses = subject.losses(&read, &mut goes_on)?.ok_or_else(stopped)?.into_iter();
        for (asked, answered) in all.iter().zip(&mut answers) {
            answered.losses = losses.by_ref().take(usize::from(asked.whole.is_some())).flatten().collect();
            answered.choices = losses.by_ref().take(asked.choices.len()).collect();
        }
        if suite.writes() {
            let prompts: Vec<Vec<u32>> = all.iter().filter_map(|a| Some(a.question.as_ref()?.ids.clone())).collect();
            let mut how = suite.decoding.clone();
            how.seed = Random::of(self.plan.seed, first).bits();
            how.stops = text.tokenizer().stop_ids().iter().copied().collect();
            let written = subject.generate(&prompts, &how, &mut goes_on)?.ok_or_else(stopped)?;
            let questions = all.iter().filter_map(|a| a.question.as_ref());
            for ((answered, ids), question) in answers.iter_mut().zip(written).zip(questions) {
                answered.text = Some(answer::answer(text, question, &ids, &suite.stop)?);
            }
        }
        let mut rows = Vec::new();
        for ((item, asked), answered) in items.iter().zip(&all).zip(answers) {
            // A judge may take its time.
            if !goes_on() {
                return Err(stopped());
            }
            let scored = scorer.score(item, &answered)?;
            rows.push(PartRow {
                file: item.origin.file.to_string(),
                line: item.origin.line,
                prompt_sha256: asked.sha256(),
                prompt: item.prompt.clone(),
                expected: item.answers.first().cloned(),
                answer: answered.text,
                values: scored.values,
                detail: scored.detail,
            });
        }
        Ok(rows)
    }

    /// Reads a suite's parts back: the same numbers whether they were computed now or before.
    fn recorded<'s>(&self, scorer: &'s Scorer, rows_in_files: u64) -> Result<Recorded<'s>, EvalError> {
        let mut parts = Vec::new();
        for entrant in &self.plan.entrants {
            let path = self.dir(&scorer.suite.name, entrant.who).join(ROWS_FILE);
            let mut values = Vec::new();
            for row in part_rows(&path)? {
                values.extend(row?.values);
            }
            parts.push(Part { who: entrant.who, rows: path, values });
        }
        let mut recorded =
            Recorded { scorer, rows_in_files, figures: scorer.figures.clone(), width: scorer.width, parts };
        self.hear(scorer, &mut recorded)?;
        Ok(recorded)
    }

    /// Adds whose voice the answers have, where there are two models to tell apart.
    fn hear(&self, scorer: &Scorer, recorded: &mut Recorded) -> Result<(), EvalError> {
        let (Some(style), [base, _]) = (&scorer.suite.measures.style, recorded.parts.as_slice()) else { return Ok(()) };
        let reference = reference_texts(scorer.suite, style, voice::TEXTS_MAX, self.spool)?;
        let mut halves: [Vec<String>; 2] = Default::default();
        for (i, row) in part_rows(&base.rows)?.enumerate() {
            if halves[i % 2].len() < voice::TEXTS_MAX {
                halves[i % 2].push(row?.answer.unwrap_or_default());
            }
        }
        // A half is judged by what was learned on the other.
        let voices = [Voice::learn(&reference, &halves[1]), Voice::learn(&reference, &halves[0])];
        let width = recorded.width;
        for part in &mut recorded.parts {
            let mut values = Vec::with_capacity(part.values.len() + part.values.len() / width);
            for (i, row) in part_rows(&part.rows)?.enumerate() {
                values.extend_from_slice(&part.values[i * width..(i + 1) * width]);
                values.push(f64::from(voices[i % 2].is_reference(row?.answer.as_deref().unwrap_or_default())));
            }
            part.values = values;
        }
        recorded.width += 1;
        recorded.figures.push(voice_figure(width));
        Ok(())
    }
}

/// Of suites with `measures.style`, where there are two models.
pub fn voice_figure(column: usize) -> Figure {
    Figure { name: VOICE, measure: "style", better: Better::Higher, how: How::Rate(column) }
}

/// The rows of a published part.
///
/// # Errors
/// A file that cannot be read or is damaged.
pub fn part_rows(path: &Path) -> Result<impl Iterator<Item = Result<PartRow, EvalError>> + use<>, EvalError> {
    let scratch = |source| EvalError::Scratch { op: "read", source };
    let file = BufReader::new(File::open(path).map_err(scratch)?);
    Ok(file.lines().map(move |line| {
        let line = line.map_err(scratch)?;
        serde_json::from_str(&line).map_err(|e| scratch(e.into()))
    }))
}

impl Part {
    pub fn table(&self, width: usize) -> Rows<'_> {
        Rows { values: &self.values, width }
    }
}
