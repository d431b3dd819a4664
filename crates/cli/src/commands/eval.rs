//! `athanor eval`: suites on a model, side by side with its base.

use crate::args::{EvalArgs, EvalPrecision, MergeQuantize};
use crate::exit::Failure;
use crate::signals::Signals;
use crate::ui::text::{padded, shortened, visible};
use crate::ui::{Look, Reporter, shown_path};
use eval::{Condition, Entrant, EvalError, EvalPlan, ModelPlan, Progress, Subject, Suite, Watch, Who, check_together};
use model::{ModelError, Precision, Quantize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use train::Event;
use unicode_width::UnicodeWidthStr;

const MIB: u64 = 1 << 20;
/// Columns of the table: a figure's name, and each of base, tuned and change.
const NAME: usize = 19;
const CELL: usize = 19;
/// Suites' rows that got worst and are named.
const WORST: usize = 3;

pub fn eval(args: &EvalArgs, look: Look) -> Result<(), Failure> {
    let record = evaluate(args, look)?;
    let text = match look {
        Look::Json => format!("{}\n", json!({"event": "done", "out": args.out, "eval": record})),
        Look::Human | Look::Quiet => table(&record, args.out.as_deref()),
    };
    crate::ui::print(&text)?;
    required(&record)
}

/// The record; on the way only progress is told.
pub(super) fn evaluate(args: &EvalArgs, look: Look) -> Result<Value, Failure> {
    let signals = Signals::install()?;
    let suites = suites(args)?;
    let models = models(args)?;
    for condition in &args.require {
        condition.check(&suites, models.len())?;
    }
    let mut reporter = Reporter::new(look);
    let work = Work {
        suites,
        models,
        conditions: args.require.clone(),
        limit: args.limit,
        seed: args.seed,
        language: super::language(args.language),
        out: args.out.as_deref(),
    };
    let result = work.done(signals, &mut reporter);
    reporter.finish();
    result.map_err(|e| Failure::of_eval(e, signals))
}

/// What was required and does not hold.
pub(super) fn required(record: &Value) -> Result<(), Failure> {
    let unmet: Vec<(String, Option<f64>)> = list(&record["conditions"])
        .filter(|c| c["holds"] == false)
        .map(|c| (string(&c["condition"]).to_owned(), c["found"].as_f64()))
        .collect();
    if unmet.is_empty() { Ok(()) } else { Err(Failure::unmet(&unmet)) }
}

fn suites(args: &EvalArgs) -> Result<Vec<Suite>, EvalError> {
    let read = |path: &PathBuf| {
        let absolute = std::path::absolute(path);
        Suite::read(&absolute.map_err(|source| EvalError::SuiteRead { path: path.clone(), source })?)
    };
    let suites: Vec<Suite> = args.suites.iter().map(read).collect::<Result<_, _>>()?;
    check_suites(&suites)?;
    if !args.allow_commands {
        refuse_commands(&suites)?;
    }
    Ok(suites)
}

/// Their names and schemas.
pub(super) fn check_suites(suites: &[Suite]) -> Result<(), EvalError> {
    check_together(suites)?;
    suites.iter().try_for_each(|suite| suite.schema().map(drop))
}

pub(super) fn refuse_commands(suites: &[Suite]) -> Result<(), EvalError> {
    let judge = |suite: &Suite| Some((suite.path.clone(), suite.measures.command.as_ref()?.run.first().cloned()));
    match suites.iter().find_map(judge) {
        Some((path, program)) => Err(EvalError::CommandNotAllowed { path, program: program.unwrap_or_default() }),
        None => Ok(()),
    }
}

/// The tuned model, and before it what it is compared with.
fn models(args: &EvalArgs) -> Result<Vec<(Who, ModelPlan)>, Failure> {
    let absolute = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
    let quantize = args.quantize.map(|form| match form {
        MergeQuantize::None => Quantize::None,
        MergeQuantize::Nf4 => Quantize::Nf4 { double: true },
    });
    let plain = ModelPlan {
        dir: std::path::absolute(&args.model)?,
        adapter: None,
        other_base: args.other_base,
        quantize,
        precision: match args.precision {
            EvalPrecision::Auto => Precision::fastest(),
            EvalPrecision::F32 => Precision::F32,
            EvalPrecision::Bf16 => Precision::Bf16,
        },
        memory: args.memory.map(|mib| mib * MIB),
        threads: args.threads.map(|n| n as usize),
    };
    if let Some(base) = absolute(&args.base)? {
        return Ok(vec![(Who::Base, ModelPlan { dir: base, ..plain.clone() }), (Who::Tuned, plain)]);
    }
    let Some(adapter) = absolute(&args.adapter)? else { return Ok(vec![(Who::Base, plain)]) };
    let (adapter, _) = super::inspect::places(&adapter);
    let tuned = ModelPlan { adapter: Some(adapter), ..plain.clone() };
    // What an adapter is compared with is held as that is which it was trained beside.
    let before = absolute(&args.base_adapter)?.map(|dir| super::inspect::places(&dir).0);
    let base = ModelPlan { quantize: Some(tuned.held()?), adapter: before, ..plain };
    Ok(if args.alone { vec![(Who::Tuned, tuned)] } else { vec![(Who::Base, base), (Who::Tuned, tuned)] })
}

/// What is asked of whom, and where it goes.
pub(super) struct Work<'a> {
    pub suites: Vec<Suite>,
    /// One, or base and tuned.
    pub models: Vec<(Who, ModelPlan)>,
    pub conditions: Vec<Condition>,
    pub limit: Option<u64>,
    pub seed: u64,
    pub language: report::Language,
    /// None: nothing is kept.
    pub out: Option<&'a Path>,
}

impl Work<'_> {
    /// Reads all rows, and asks nothing.
    pub(super) fn check(&self, signals: &Signals, reporter: &mut Reporter) -> Result<(), EvalError> {
        let plan = self.plan(Path::new(""), &mut |_| Ok(String::new()))?;
        let mut progress = |at: Progress| reporter.evaluation(&at);
        eval::check(&plan, &mut Watch { stop: signals.stop(), progress: &mut progress })
    }

    /// Asks, judges and writes.
    pub(super) fn done(&self, signals: &Signals, reporter: &mut Reporter) -> Result<Value, EvalError> {
        let scratch = |source| EvalError::Scratch { op: "create", source };
        // Removed at the end, with all that is in it.
        let temporary = tempfile::tempdir().map_err(scratch)?;
        let out = match self.out {
            Some(out) => std::path::absolute(out).map_err(scratch)?,
            None => temporary.path().to_owned(),
        };
        let _lock = runfs::RunLock::acquire(&out)?;
        let plan = self.plan(&out, &mut |model| match self.out {
            Some(_) => identity(model, signals, reporter),
            None => Ok(String::new()),
        })?;
        let mut load = |entrant: &Entrant, longest: usize| -> Result<Box<dyn Subject>, EvalError> {
            let (_, model) = self.models.iter().find(|(who, _)| *who == entrant.who).unwrap_or(&self.models[0]);
            Ok(Box::new(model.load(longest)?))
        };
        let mut progress = |at: Progress| reporter.evaluation(&at);
        let mut watch = Watch { stop: signals.stop(), progress: &mut progress };
        let record = eval::run(&plan, &runfs::RealFs, &mut load, &mut watch)?;
        if self.out.is_some() {
            let page = report::eval::page(&record, self.language);
            runfs::publish_file(&runfs::RealFs, &out.join("eval.html"), page.as_bytes())?;
        }
        Ok(record)
    }

    fn plan(
        &self,
        out: &Path,
        identity: &mut dyn FnMut(&ModelPlan) -> Result<String, EvalError>,
    ) -> Result<EvalPlan, EvalError> {
        let entrant = |(who, model): &(Who, ModelPlan)| {
            let (dir, adapter) = (model.dir.clone(), model.adapter.clone());
            Ok(Entrant { who: *who, dir, adapter, identity: identity(model)?, position_max: model.position_max()? })
        };
        Ok(EvalPlan {
            suites: self.suites.clone(),
            entrants: self.models.iter().map(entrant).collect::<Result<_, EvalError>>()?,
            conditions: self.conditions.clone(),
            limit: self.limit,
            seed: self.seed,
            out: out.to_owned(),
        })
    }
}

/// Over every byte that decides a model's answers.
fn identity(model: &ModelPlan, signals: &Signals, reporter: &mut Reporter) -> Result<String, EvalError> {
    reporter.on(&Event::Phase("hash"));
    let base = weights::identity_with(&model.dir, &mut |bytes, bytes_total| {
        reporter.on(&Event::Hashing { bytes, bytes_total });
        !signals.stop().load(Ordering::Relaxed)
    });
    let base = base.map_err(|e| match e {
        weights::WeightsError::Interrupted => EvalError::Interrupted { finished: 0, parts: 0 },
        other => EvalError::Model(ModelError::Weights(other)),
    })?;
    let mut files = BTreeMap::new();
    if let Some(adapter) = &model.adapter {
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            files.insert(name, runfs::sha256_file(&adapter.join(name))?);
        }
    }
    let what = json!([base.sha256, files, format!("{:?} {:?}", model.held()?, model.precision)]);
    Ok(runfs::sha256_hex(what.to_string().as_bytes()))
}

// --- what a person sees --------------------------------------------------------------------------

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Figures with their intervals, 80 columns wide; what got worst; what was required.
pub(super) fn table(record: &Value, out: Option<&Path>) -> String {
    let paired = list(&record["models"]).count() == 2;
    let mut text = String::new();
    let many = |skill: &Value| list(&skill["figures"]).any(|f| f["suites"].as_u64() > Some(1));
    for suite in list(&record["suites"]) {
        let skill = Some(string(&suite["skill"])).filter(|skill| *skill != string(&suite["name"]));
        let of = skill.map_or_else(String::new, |skill| format!("{skill}, "));
        let rows = crate::ui::text::count(suite["rows"].as_u64().unwrap_or(0));
        text.push_str(&block(&format!("{} ({of}{rows} rows)", string(&suite["name"])), &suite["figures"], paired));
        for row in list(&suite["worst"]).take(WORST) {
            text.push_str(&worst(row));
        }
    }
    for skill in list(&record["skills"]).filter(|skill| many(skill)) {
        text.push_str(&block(&format!("{} (mean of its suites)", string(&skill["name"])), &skill["figures"], paired));
    }
    for condition in list(&record["conditions"]) {
        let held = if condition["holds"] == true { "holds" } else { "FAILS" };
        let found = condition["found"].as_f64().map_or_else(|| "no number".to_owned(), number);
        text.push_str(&format!("{held}    {} ({found})\n", string(&condition["condition"])));
    }
    if paired {
        text.push_str("[95 % interval; of the change, over pairs]  + better  - worse, else not shown\n");
    }
    if let Some(out) = out {
        text.push_str(&format!("report   {}\n", shown_path(&out.join("eval.json"))));
        text.push_str(&format!("page     {}\n", shown_path(&out.join("eval.html"))));
    }
    text
}

fn block(title: &str, figures: &Value, paired: bool) -> String {
    let title = visible(title);
    let mut text = match paired {
        true => format!("{}{}{}{}\n", padded(&title, NAME + 2), padded("base", CELL), padded("tuned", CELL), "change"),
        false => format!("{title}\n"),
    };
    // A long title has a line of its own.
    if paired && title.width() > NAME + 1 {
        text = format!("{title}\n{}{}{}change\n", " ".repeat(NAME + 2), padded("base", CELL), padded("tuned", CELL));
    }
    for figure in list(figures) {
        let cells = ["base", "tuned", "change"].map(|of| interval(&figure[of]));
        let verdict = match string(&figure["change"]["verdict"]) {
            "better" => "+",
            "worse" => "-",
            _ => "",
        };
        let name = padded(string(&figure["name"]), NAME);
        let line = match paired {
            true => format!(
                "  {name}{}{}{} {verdict}",
                padded(&cells[0], CELL),
                padded(&cells[1], CELL),
                padded(&cells[2], CELL)
            ),
            false => format!("  {name}{}{}", cells[0], cells[1]),
        };
        text.push_str(&format!("{}\n", line.trim_end()));
    }
    text
}

fn worst(row: &Value) -> String {
    let file = Path::new(string(&row["file"])).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let short = |key: &str, columns| shortened(&visible(string(&row[key])), columns);
    let answers = match row["tuned"].is_null() {
        true => format!("{} → {}", number_of(&row["base_value"]), number_of(&row["tuned_value"])),
        false => format!("{} → {}", short("base", 18), short("tuned", 18)),
    };
    let place = shortened(&visible(&format!("{file}:{}", row["line"])), 22);
    format!("  worse: {place}  {answers}\n")
}

/// `0.312 [.28, .34]`, at most [`CELL`] − 1 wide.
fn interval(value: &Value) -> String {
    let of = |key: &str| value[key].as_f64();
    match (of("value"), of("low"), of("high")) {
        (Some(value), Some(low), Some(high)) => format!("{} [{} {}]", number(value), brief(low), brief(high)),
        (Some(value), ..) => number(value),
        _ => String::new(),
    }
}

fn number_of(value: &Value) -> String {
    value.as_f64().map_or_else(|| "–".to_owned(), number)
}

/// Three digits behind the point, less for what is large.
fn number(x: f64) -> String {
    match x.abs() {
        a if a < 9.9995 => format!("{x:.3}"),
        a if a < 99.95 => format!("{x:.1}"),
        a if a < 9999.5 => format!("{x:.0}"),
        _ => format!("{x:.0e}"),
    }
}

/// Two digits behind the point, and no nought before it.
fn brief(x: f64) -> String {
    match x.abs() {
        a if a < 0.995 => format!("{x:.2}").replacen("0.", ".", 1).replace("-.00", ".00"),
        a if a < 9.95 => format!("{x:.1}"),
        a if a < 999.5 => format!("{x:.0}"),
        _ => format!("{x:.0e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_narrow() {
        let i = |value: f64, low: f64, high: f64| interval(&json!({"value": value, "low": low, "high": high}));
        assert_eq!(i(0.3121, 0.281, 0.344), "0.312 [.28 .34]");
        assert_eq!(i(-0.0201, -0.051, -0.001), "-0.020 [-.05 .00]");
        assert_eq!(i(1.0, 0.84, 1.0), "1.000 [.84 1.0]");
        assert_eq!(i(52.53, 48.04, 60.0), "52.5 [48 60]");
        assert_eq!(i(123456.0, 9999.6, 2e6), "1e5 [1e4 2e6]");
        for (value, low, high) in [(-0.5, -0.61, -0.39), (-12.3, -14.0, -9.0), (0.0, -0.1, 0.1), (1e-5, 0.0, 1e-4)] {
            assert!(i(value, low, high).len() < CELL, "{}", i(value, low, high));
        }
    }
}
