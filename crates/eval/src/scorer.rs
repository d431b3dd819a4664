//! One row's answer → the numbers that its figures are made of.

use crate::EvalError;
use crate::figures::Figure;
use crate::rows::{Item, Items, RECORD_BYTES_MAX};
use crate::score::command::{About, Said, ask};
use crate::score::schema::{Form, Schema};
use crate::score::style::Reference;
use crate::score::{chrf, classes, exact, instruction, numeric, rouge, style};
use crate::suite::{By, Columns, Style, Suite};
use data::{Source, ValueRows};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// A suite ready to judge answers.
pub struct Scorer<'a> {
    pub suite: &'a Suite,
    pub figures: Vec<Figure>,
    /// Numbers that a row leaves.
    pub width: usize,
    /// Of `measures.classification`.
    pub labels: Vec<String>,
    schema: Option<Schema>,
    regex: Option<fancy_regex::Regex>,
    pub reference: Option<Reference>,
}

/// What was asked of the model for one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    /// What it wrote.
    pub text: Option<String>,
    /// Nats of the expected answer's tokens.
    pub losses: Vec<f64>,
    /// The same of each choice.
    pub choices: Vec<Vec<f64>>,
}

/// One row, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// [width]
    pub values: Vec<f64>,
    /// For people: what was found in the answer.
    pub detail: Map<String, Value>,
}

impl<'a> Scorer<'a> {
    /// `labels`: the answers of all rows, where the suite names no labels itself.
    ///
    /// # Errors
    /// A schema, a reference or a pattern that cannot be used.
    pub fn new(suite: &'a Suite, labels: &BTreeSet<String>, spool: &Path) -> Result<Scorer<'a>, EvalError> {
        let m = &suite.measures;
        let labels = match &m.classification {
            None => Vec::new(),
            Some(c) if c.labels.is_empty() => labels.iter().cloned().collect(),
            Some(c) => c.labels.clone(),
        };
        let (figures, width) = suite.figures(labels.len());
        let regex = match &m.regex {
            None => None,
            Some(r) => {
                let wrong = |e| suite.wrong("measures.regex.pattern", e, "a regular expression");
                Some(fancy_regex::Regex::new(&r.pattern).map_err(wrong)?)
            }
        };
        let reference = match &m.style {
            None => None,
            Some(style) => {
                let texts = reference_texts(suite, style, style::TEXTS_MAX, spool)?;
                let none = || suite.wrong("measures.style.reference", "a file without texts", "at least one text");
                Some(Reference::of(&texts).ok_or_else(none)?)
            }
        };
        Ok(Scorer { suite, figures, width, labels, schema: suite.schema()?, regex, reference })
    }

    /// Judges an answer.
    ///
    /// # Errors
    /// A label that is not among the suite's, a judge that cannot be run, a pattern that gives up.
    pub fn score(&self, item: &Item, answered: &Answered) -> Result<Scored, EvalError> {
        let mut out = Scored { values: Vec::with_capacity(self.width), detail: Map::new() };
        let m = &self.suite.measures;
        let answer = answered.text.as_deref().unwrap_or_default();
        let expected = item.answers.first().map_or("", String::as_str);
        if let Some(c) = &m.classification {
            self.classify(item, answer, c.how, &mut out)?;
        }
        if let Some(choice) = &m.choice {
            choose(item, &answered.choices, choice.by, &mut out)?;
        }
        if let Some(e) = &m.exact {
            out.pass(exact::exact(answer, &item.answers, &e.ignore));
        }
        if let Some(t) = m.numeric {
            let why = || EvalError::Row {
                origin: item.place(),
                why: format!("no number in the answer {expected:?}; `measures.numeric` expects one"),
            };
            let number = numeric::last_number(expected).ok_or_else(why)?;
            out.note("number", json!(numeric::last_number(answer)));
            out.pass(numeric::matches(answer, number, t));
        }
        if let Some(regex) = &self.regex {
            let gave_up = |e: fancy_regex::Error| EvalError::Pattern { origin: item.place(), why: e.to_string() };
            out.pass(regex.is_match(answer).map_err(gave_up)?);
        }
        if let (Some(schema), Some(s)) = (&self.schema, &m.json_schema) {
            let form = schema.check(answer, s.around);
            out.pass(form == Form::Valid);
            out.pass(!matches!(form, Form::NoJson { .. }));
            if let Form::NoJson { why } | Form::Departs { why } = form {
                out.note("schema", json!(why));
            }
        }
        if let Some(i) = &m.instruction {
            out.check(i.checks.iter().chain(&item.checks), answer);
        }
        if let Some(reference) = &self.reference {
            out.values.extend(reference.closeness(answer));
        }
        if let Some(judge) = &m.command {
            let folder = self.suite.path.parent().unwrap_or(Path::new("."));
            let said = ask(judge, folder, answer, About { prompt: &item.prompt, expected }).map_err(|source| {
                EvalError::Command { program: judge.run.first().cloned().unwrap_or_default(), source }
            })?;
            out.pass(said == Said::Yes);
            if said == Said::TooLate {
                out.note("command", json!("too late"));
            }
        }
        if m.rouge.is_some() {
            let of_each = item.answers.iter().map(|a| rouge::rouge(answer, a));
            // Of several accepted answers the nearest, figure by figure.
            out.values.extend(of_each.fold([0.0f64; 3], |best, r| [0, 1, 2].map(|i| best[i].max(r[i]))));
        }
        if m.chrf.is_some() {
            let of_each = item.answers.iter().map(|a| chrf::statistics(answer, a));
            let best = of_each.max_by(|a, b| chrf::score(a).total_cmp(&chrf::score(b)));
            out.values.extend(best.unwrap_or([0.0; chrf::WIDTH]));
        }
        if m.loss.is_some() {
            let sum: f64 = answered.losses.iter().sum();
            if !sum.is_finite() {
                return Err(EvalError::BadLoss { origin: item.place(), value: sum });
            }
            out.values.extend([sum, answered.losses.len() as f64]);
        }
        Ok(out)
    }

    fn classify(&self, item: &Item, answer: &str, how: classes::Match, out: &mut Scored) -> Result<(), EvalError> {
        let expected = item.answers.first().map_or("", String::as_str);
        let truth = classes::named(expected, &self.labels, classes::Match::Whole);
        if truth == self.labels.len() {
            let why = format!("the answer {expected:?} is none of `measures.classification.labels`");
            return Err(EvalError::Row { origin: item.place(), why });
        }
        let given = classes::named(answer, &self.labels, how);
        out.note("label", json!(self.labels.get(given)));
        out.values.extend([truth as f64, given as f64]);
        Ok(())
    }
}

impl Scored {
    fn pass(&mut self, yes: bool) {
        self.values.push(f64::from(yes));
    }

    fn note(&mut self, name: &str, value: Value) {
        self.detail.insert(name.to_owned(), value);
    }

    /// Whether all checks hold, how many do, and of how many.
    fn check<'c>(&mut self, checks: impl Iterator<Item = &'c instruction::Check>, answer: &str) {
        let (mut held, mut all, mut failed) = (0.0, 0.0, Vec::new());
        for check in checks {
            all += 1.0;
            match instruction::holds(check, answer) {
                true => held += 1.0,
                false => failed.push(json!(check)),
            }
        }
        self.pass(held == all);
        self.values.extend([held, all]);
        if !failed.is_empty() {
            self.note("failed", Value::Array(failed));
        }
    }
}

/// Passes where the right choice is the likeliest; of equally likely ones the first counts as chosen.
///
/// # Errors
/// `BadLoss` where the model computes no number for one of them.
fn choose(item: &Item, losses: &[Vec<f64>], by: By, out: &mut Scored) -> Result<(), EvalError> {
    if let Some(value) = losses.iter().flatten().copied().find(|loss| !loss.is_finite()) {
        return Err(EvalError::BadLoss { origin: item.place(), value });
    }
    let Some(choices) = &item.choices else {
        out.pass(false);
        return Ok(());
    };
    let cost = |i: usize| {
        let sum: f64 = losses[i].iter().sum();
        match by {
            By::Sum => sum,
            By::Token => sum / losses[i].len() as f64,
            By::Byte => sum / choices.texts[i].len() as f64,
        }
    };
    let chosen = (0..losses.len().min(choices.texts.len())).min_by(|a, b| cost(*a).total_cmp(&cost(*b)));
    out.note("chosen", json!(chosen));
    out.note("choice", json!(chosen.map(|i| &choices.texts[i])));
    out.pass(chosen == Some(choices.right));
    Ok(())
}

/// Texts of the style's reference: at most `most`, evenly spread over the file.
///
/// # Errors
/// A file that cannot be read, or a row without the text.
pub fn reference_texts(suite: &Suite, style: &Style, most: usize, spool: &Path) -> Result<Vec<String>, EvalError> {
    let mut total = 0u64;
    each_text(suite, style, spool, &mut |_| total += 1)?;
    let most = most as u64;
    let (mut kept, mut i) = (Vec::new(), 0u64);
    each_text(suite, style, spool, &mut |text| {
        if total <= most || i * most / total != (i + 1) * most / total {
            kept.push(text);
        }
        i += 1;
    })?;
    Ok(kept)
}

/// The column, or without one the answers of rows of a format.
fn each_text(suite: &Suite, style: &Style, spool: &Path, on: &mut dyn FnMut(String)) -> Result<(), EvalError> {
    let path = style.reference.clone();
    let Some(column) = &style.column else {
        let source = Source { path, format: None, columns: Default::default(), tags: Default::default(), task: None };
        let suite = Suite { data: vec![source], columns: Columns::default(), prompt: None, ..suite.clone() };
        return Items::of(&suite, spool).try_for_each(|item| {
            on(item?.answers.into_iter().next().unwrap_or_default());
            Ok(())
        });
    };
    ValueRows::open(&path, RECORD_BYTES_MAX, spool)?.try_for_each(|row| {
        let row = row?;
        let missing = || EvalError::Row {
            origin: format!("{}:{}", row.origin.file, row.origin.line),
            why: format!("no text in the column {column:?} of `measures.style.column`"),
        };
        on(row.value.get(column).and_then(Value::as_str).map(str::to_owned).ok_or_else(missing)?);
        Ok(())
    })
}
