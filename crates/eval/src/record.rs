//! What an evaluation came to: `answers.jsonl`, and `eval.json` as EVAL.md describes it.

use crate::EvalError;
use crate::condition::{Condition, End, Of};
use crate::figures::Figure;
use crate::run::{EvalPlan, PartRow, Who, part_rows};
use crate::score::style;
use crate::scorer::Scorer;
use crate::stats::{self, Change, Interval, RESAMPLES};
use crate::suite::Suite;
use runfs::{Fs, RunFsError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// Of eval.json.
pub const VERSION: u32 = 1;
/// Rows that are shown because they got worst.
const WORST: usize = 10;
/// Characters of a text that is shown.
const SHOWN_CHARS: usize = 2000;

/// A suite's numbers, read back.
pub struct Recorded<'a> {
    pub scorer: &'a Scorer<'a>,
    pub rows_in_files: u64,
    pub figures: Vec<Figure>,
    pub width: usize,
    /// As the plan's entrants.
    pub parts: Vec<Part>,
}

/// Of one model.
pub struct Part {
    pub who: Who,
    /// Its rows.jsonl.
    pub rows: PathBuf,
    /// [rows, width]
    pub values: Vec<f64>,
}

/// A figure of one suite or skill on one model or two.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub figure: Figure,
    pub base: Option<Interval>,
    pub tuned: Option<Interval>,
    pub change: Option<Compared>,
    /// Suites that it is the mean of.
    pub suites: usize,
}

/// The change of a figure; means over suites have no test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    pub interval: Interval,
    pub test: Option<Change>,
}

/// All figures, by suite, by skill and by role.
#[derive(Clone, Debug, Default)]
pub struct Results {
    pub suites: Vec<(String, Vec<Outcome>)>,
    pub skills: Vec<(String, Vec<Outcome>)>,
    pub roles: Vec<(String, Vec<Outcome>)>,
}

impl Results {
    /// Computes every figure of every suite, and the means of skills and roles. Intervals are drawn by the seed and the suite's name.
    pub fn of(suites: &[Recorded], seed: u64) -> Results {
        let mut out = Results::default();
        for recorded in suites {
            let seed = seed ^ name_seed(&recorded.scorer.suite.name);
            let outcome = |figure: &Figure| outcome(figure, recorded, seed);
            out.suites.push((recorded.scorer.suite.name.clone(), recorded.figures.iter().map(outcome).collect()));
        }
        out.skills = out.means_by(suites, |suite| &suite.skill);
        out.roles = out.means_by(suites, |suite| suite.role.name());
        out
    }

    /// The means of the suites that have one `name`, by name in the order of suites.
    fn means_by(&self, suites: &[Recorded], name: impl Fn(&Suite) -> &str) -> Vec<(String, Vec<Outcome>)> {
        let mut by_name: Vec<(&str, Vec<&Vec<Outcome>>)> = Vec::new();
        for (recorded, (_, figures)) in suites.iter().zip(&self.suites) {
            let name = name(recorded.scorer.suite);
            match by_name.iter_mut().find(|(known, _)| *known == name) {
                Some((_, lists)) => lists.push(figures),
                None => by_name.push((name, vec![figures])),
            }
        }
        by_name.into_iter().map(|(name, lists)| (name.to_owned(), means(&lists))).collect()
    }

    /// The number that a condition is about.
    pub fn find(&self, condition: &Condition) -> Option<f64> {
        let list =
            self.suites.iter().chain(&self.skills).chain(&self.roles).find(|(name, _)| *name == condition.name)?;
        let outcome = list.1.iter().find(|o| o.figure.name == condition.figure)?;
        let interval = match condition.of {
            Of::Value => outcome.tuned.or(outcome.base)?,
            Of::Rise => outcome.change?.interval,
            Of::Fall => {
                let Interval { value, low, high } = outcome.change?.interval;
                Interval { value: -value, low: -high, high: -low }
            }
        };
        Some(match condition.end {
            End::Value => interval.value,
            End::Lower => interval.low,
            End::Upper => interval.high,
        })
    }
}

fn outcome(figure: &Figure, recorded: &Recorded, seed: u64) -> Outcome {
    let table = |who| recorded.parts.iter().find(|p| p.who == who).map(|p| p.table(recorded.width));
    let (base, tuned) = (table(Who::Base), table(Who::Tuned));
    let change = match (base, tuned) {
        (Some(base), Some(tuned)) => {
            let change = stats::change(figure, base, tuned, seed);
            Some(Compared { interval: change.interval, test: Some(change) })
        }
        _ => None,
    };
    let interval = |rows| stats::interval(figure, rows, seed);
    Outcome { figure: figure.clone(), base: base.map(interval), tuned: tuned.map(interval), change, suites: 1 }
}

/// Of each figure, its mean over the suites that have it.
fn means(lists: &[&Vec<Outcome>]) -> Vec<Outcome> {
    let mut by_name: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    let mut order = Vec::new();
    for outcome in lists.iter().flat_map(|list| list.iter()) {
        let name = outcome.figure.name;
        by_name.entry(name).or_insert_with(|| {
            order.push(name);
            Vec::new()
        });
        by_name.entry(name).and_modify(|list| list.push(outcome));
    }
    let mean = |list: &[&Outcome], of: &dyn Fn(&Outcome) -> Option<Interval>| {
        let each: Option<Vec<Interval>> = list.iter().map(|o| of(o)).collect();
        each.and_then(|each| stats::mean(&each))
    };
    let of = |name: &str| {
        let list = &by_name[name];
        if let [only] = list.as_slice() {
            return (*only).clone();
        }
        Outcome {
            figure: list[0].figure.clone(),
            base: mean(list, &|o| o.base),
            tuned: mean(list, &|o| o.tuned),
            change: mean(list, &|o| Some(o.change?.interval)).map(|interval| Compared { interval, test: None }),
            suites: list.len(),
        }
    };
    order.into_iter().map(of).collect()
}

/// Writes both files and returns eval.json.
///
/// # Errors
/// What the disk refuses.
pub fn publish(plan: &EvalPlan, fs: &dyn Fs, scorers: &[Scorer], suites: &[Recorded]) -> Result<Value, EvalError> {
    let results = Results::of(suites, plan.seed);
    write_answers(plan, fs, suites)?;
    let mut recorded = Vec::new();
    for ((recorded_suite, scorer), (_, outcomes)) in suites.iter().zip(scorers).zip(&results.suites) {
        recorded.push(suite_json(recorded_suite, scorer, outcomes)?);
    }
    let conditions: Vec<Value> = plan
        .conditions
        .iter()
        .map(|c| {
            let (found, holds) = c.judge(&results);
            json!({"condition": c.text, "found": found, "holds": holds})
        })
        .collect();
    let models: Vec<Value> = plan
        .entrants
        .iter()
        .map(|e| json!({"who": e.who, "model": e.dir, "adapter": e.adapter, "identity": e.identity}))
        .collect();
    let skills: Vec<Value> = results
        .skills
        .iter()
        .map(|(name, list)| json!({"name": name, "figures": list.iter().map(figure_json).collect::<Vec<_>>()}))
        .collect();
    let record = json!({
        "version": VERSION, "athanor": env!("CARGO_PKG_VERSION"), "seed": plan.seed, "limit": plan.limit,
        "confidence": 0.95, "resamples": RESAMPLES, "models": models, "suites": recorded, "skills": skills,
        "conditions": conditions,
    });
    let mut bytes =
        serde_json::to_vec_pretty(&record).map_err(|e| EvalError::Scratch { op: "write", source: e.into() })?;
    bytes.push(b'\n');
    runfs::publish_file(fs, &plan.out.join("eval.json"), &bytes)?;
    Ok(record)
}

fn suite_json(recorded: &Recorded, scorer: &Scorer, outcomes: &[Outcome]) -> Result<Value, EvalError> {
    let suite = scorer.suite;
    let rows = recorded.parts.first().map_or(0, |p| p.table(recorded.width).len());
    let mut out = json!({
        "name": suite.name, "skill": suite.skill, "role": suite.role,
        "verdict": suite.verdict, "file": suite.path,
        "data": suite.data.iter().map(|s| &s.path).collect::<Vec<_>>(), "rows": rows,
        "rows_in_files": recorded.rows_in_files, "template": suite.template, "decoding": suite.decoding,
        "measures": suite.measures, "figures": outcomes.iter().map(figure_json).collect::<Vec<_>>(),
        "worst": worst(recorded)?,
    });
    if let Some(reference) = &scorer.reference {
        let names = std::iter::once("style").chain(style::ASPECTS);
        let own: serde_json::Map<String, Value> =
            names.map(str::to_owned).zip(reference.own.map(|x| json!(x))).collect();
        out["style_of_reference"] = Value::Object(own);
    }
    if suite.measures.classification.is_some() {
        let each = recorded.parts.iter().map(|part| (part.who.name().to_owned(), confusion(part, recorded.width)));
        out["confusion"] = json!({"labels": scorer.labels, "cells": each.collect::<serde_json::Map<_, _>>()});
    }
    Ok(out)
}

fn figure_json(o: &Outcome) -> Value {
    let change = o.change.map(|c| {
        let Interval { value, low, high } = c.interval;
        let harms = [o.figure.harm(low), o.figure.harm(high)];
        let verdict = match (harms[0].max(harms[1]), harms[0].min(harms[1])) {
            (most, _) if most < 0.0 => "better",
            (_, least) if least > 0.0 => "worse",
            _ => "unclear",
        };
        json!({
            "value": value, "low": low, "high": high, "p": c.test.map(|t| t.p), "test": c.test.map(|t| t.test),
            "no_worse_by": harms[0].max(harms[1]).max(0.0), "verdict": verdict,
        })
    });
    json!({
        "name": o.figure.name, "measure": o.figure.measure, "better": o.figure.better, "base": o.base, "tuned": o.tuned,
        "change": change, "suites": o.suites,
    })
}

/// [label, label named, rows], where there are any; a label named that is none has the number of labels.
fn confusion(part: &Part, width: usize) -> Value {
    let mut cells: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    // Classification's columns are the first.
    part.values.chunks_exact(width).for_each(|row| *cells.entry((row[0] as u64, row[1] as u64)).or_default() += 1);
    cells.into_iter().map(|((truth, given), n)| json!([truth, given, n])).collect()
}

/// The rows whose deciding figure got worst, worst first, in the order of the file among equals.
fn worst(recorded: &Recorded) -> Result<Vec<Value>, EvalError> {
    let figure = recorded.figures.iter().find(|f| f.name == recorded.scorer.suite.verdict);
    let ([base, tuned], Some(figure)) = (recorded.parts.as_slice(), figure) else {
        return Ok(Vec::new());
    };
    let (a, b) = (base.table(recorded.width), tuned.table(recorded.width));
    let mut fell: Vec<(f64, usize)> = Vec::new();
    for row in 0..a.len().min(b.len()) {
        let harm = figure.harm(figure.of_row(b, row) - figure.of_row(a, row));
        if harm > 0.0 {
            fell.push((harm, row));
            if fell.len() > 64 * WORST {
                keep_worst(&mut fell);
            }
        }
    }
    keep_worst(&mut fell);
    let mut shown: BTreeMap<usize, Value> = BTreeMap::new();
    for (i, (base, tuned)) in part_rows(&base.rows)?.zip(part_rows(&tuned.rows)?).enumerate() {
        if let Some((harm, _)) = fell.iter().find(|(_, row)| *row == i) {
            let (base, tuned) = (base?, tuned?);
            shown.insert(
                i,
                json!({
                    "file": base.file, "line": base.line, "figure": figure.name, "harm": harm,
                    "base_value": figure.of_row(a, i), "tuned_value": figure.of_row(b, i),
                    "prompt": short(&base.prompt), "expected": base.expected.as_deref().map(short),
                    "base": base.said().map(short), "tuned": tuned.said().map(short),
                }),
            );
        }
    }
    Ok(fell.iter().filter_map(|(_, row)| shown.remove(row)).collect())
}

fn keep_worst(fell: &mut Vec<(f64, usize)>) {
    fell.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
    fell.truncate(WORST);
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// One line a row: where it stands, the hash of what the model was given, and the answers and figures of each model.
fn write_answers(plan: &EvalPlan, fs: &dyn Fs, suites: &[Recorded]) -> Result<(), EvalError> {
    let mut failed = None;
    let published = runfs::publish_file_with(fs, &plan.out.join("answers.jsonl"), &mut |out| {
        suites.iter().try_for_each(|recorded| write_suite(recorded, out)).map_err(|e| {
            let said = std::io::Error::other(e.to_string());
            match e {
                EvalError::Scratch { source, .. } => source,
                other => {
                    failed = Some(other);
                    said
                }
            }
        })
    });
    match (failed, published) {
        (Some(e), Err(_)) => Err(e),
        (_, published) => published.map_err(|e: RunFsError| e.into()),
    }
}

fn write_suite(recorded: &Recorded, out: &mut dyn Write) -> Result<(), EvalError> {
    let mut each = recorded.parts.iter().map(|p| part_rows(&p.rows)).collect::<Result<Vec<_>, _>>()?;
    let write = |source| EvalError::Scratch { op: "write", source };
    let mut i = 0;
    loop {
        let rows = each.iter_mut().filter_map(Iterator::next).collect::<Result<Vec<PartRow>, _>>()?;
        let Some(first) = rows.first() else { return Ok(()) };
        let mut line = json!({
            "suite": recorded.scorer.suite.name, "file": first.file, "line": first.line,
            "prompt_sha256": first.prompt_sha256, "expected": first.expected,
        });
        for (part, row) in recorded.parts.iter().zip(&rows) {
            let table = part.table(recorded.width);
            let figures = recorded.figures.iter().map(|f| (f.name.to_owned(), json!(f.of_row(table, i))));
            let figures: serde_json::Map<String, Value> = figures.collect();
            line[part.who.name()] = json!({"answer": row.answer, "figures": figures, "detail": row.detail});
        }
        writeln!(out, "{line}").map_err(write)?;
        i += 1;
    }
}

/// So that suites do not share their draws.
fn name_seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}
