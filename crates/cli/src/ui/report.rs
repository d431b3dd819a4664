//! Draws the events of a run: a bar on a terminal, plain lines elsewhere, JSON lines on request, or nothing.

use super::text::{COLUMNS, bytes, clock, count, figure, rate, visible, wrapped};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};
use train::{Event, Risen, Summary, TaskLoss, Tried, lambda_text};
use unicode_width::UnicodeWidthStr;

/// How a command tells what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Progress on stderr, the result on stdout.
    Human,
    /// The result alone.
    Quiet,
    /// One JSON object a line on stdout.
    Json,
}

/// Plain lines come at most this often.
const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR_HZ: u8 = 8;

pub struct Reporter {
    out: Out,
    /// The first failure to write, reported at the end: a run is not thrown away for a closed log.
    failed: Option<io::Error>,
}

enum Out {
    Bar(Bar),
    Lines(Lines),
    Quiet,
    Json,
}

impl Reporter {
    pub fn new(look: Look) -> Reporter {
        let out = match look {
            Look::Quiet => Out::Quiet,
            Look::Json => Out::Json,
            Look::Human if io::stderr().is_terminal() => Out::Bar(Bar { bar: None }),
            Look::Human => Out::Lines(Lines { started: Instant::now(), first_step: 0, told: Instant::now() }),
        };
        Reporter { out, failed: None }
    }

    pub fn on(&mut self, event: &Event<'_>) {
        let result = match &mut self.out {
            Out::Quiet => Ok(()),
            Out::Json => line_json(&super::events::json(event)),
            Out::Bar(bar) => bar.on(event),
            Out::Lines(lines) => lines.on(event),
        };
        if let Err(e) = result {
            self.failed.get_or_insert(e);
        }
    }

    /// How far an evaluation is.
    pub fn evaluation(&mut self, at: &eval::Progress) {
        let event = super::events::evaluation(at);
        let result = match (&mut self.out, at) {
            (Out::Quiet, _) => Ok(()),
            (Out::Json, _) => line_json(&event),
            (out, eval::Progress::Rows { suite, who, rows, total }) => {
                let what = format!("{suite}, {}", who.name());
                match out {
                    Out::Bar(bar) => {
                        bar.count(&what, *rows, *total);
                        Ok(())
                    }
                    Out::Lines(lines) => lines.count(&what, *rows, *total),
                    Out::Quiet | Out::Json => Ok(()),
                }
            }
            (Out::Bar(bar), at) => {
                bar.replace(ProgressBar::new_spinner(), "{spinner} {msg}", &stage(at));
                Ok(())
            }
            (Out::Lines(_), at) => super::eprint(&format!("{}\n", stage(at))),
        };
        if let Err(e) = result {
            self.failed.get_or_insert(e);
        }
    }

    /// Ends the drawing (an error message must not land beside a bar).
    pub fn finish(&mut self) {
        if let Out::Bar(bar) = &mut self.out {
            bar.clear();
        }
    }

    /// The result of a whole run.
    pub fn summary(mut self, summary: &Summary) -> io::Result<()> {
        self.finish();
        match self.out {
            Out::Json => {
                let mut value = serde_json::to_value(summary).map_err(io::Error::other)?;
                if let Value::Object(fields) = &mut value {
                    fields.insert(summary.result.into(), json!(summary.out.join(summary.result)));
                    fields.shift_insert(0, "event".into(), json!("done"));
                }
                line_json(&value)?;
            }
            Out::Bar(_) | Out::Lines(_) | Out::Quiet => super::print(&summary_text(summary))?,
        }
        self.failed.map_or(Ok(()), Err)
    }
}

fn line_json(value: &Value) -> io::Result<()> {
    super::print(&format!("{value}\n"))
}

fn summary_text(s: &Summary) -> String {
    let mut rows = vec![(s.result, shown_path(&s.out.join(s.result)))];
    let mut loss = format!("{} on the last step", figure(s.final_train_loss));
    if let Some(valid) = s.final_valid_loss {
        loss = format!("{} valid, {loss}", figure(valid));
    }
    rows.push(("loss", loss));
    if let (Some(step), Some(best)) = (s.best_step, s.best_valid_loss) {
        rows.push(("best", format!("{} valid at step {step}, in {}", figure(best), shown_path(&s.out.join("best")))));
    }
    if let (Some(gap), Some(open)) = (&s.unseen, s.unseen_gap_open) {
        let means = format!(
            "{} at step {}, an example {:+.4} against valid",
            figure(gap.unseen_loss),
            gap.step,
            gap.unseen_mean - gap.valid_mean
        );
        let judged = if open { "worse beyond chance: see the note" } else { "no worse than chance explains" };
        rows.push(("unseen", format!("{means} ({judged})")));
    }
    if let Some(risen) = &s.risen {
        rows.push(("ewc", risen_line(risen)));
    }
    let steps = match s.stopped_early {
        true => format!("{} (stopped early: no better for train.early_stop.patience validations)", count(s.steps)),
        false => count(s.steps),
    };
    rows.push(("steps", steps));
    if let Some(relief) = &s.relief {
        let what = match relief.rank {
            Some(rank) => format!("rank at most {rank}"),
            None => format!("dropout {:.1}", relief.dropout),
        };
        let times = if relief.times == 1 { "once".to_owned() } else { format!("{} times", relief.times) };
        rows.push(("overfit", format!("{what} since step {} ({times}, train.on_overfit)", count(relief.step))));
    }
    rows.push(("speed", format!("{} tokens/s, peak memory {}", rate(s.tokens_per_second), bytes(s.peak_rss_bytes))));
    rows.iter().map(|(name, value)| format!("{name:<9}{value}\n")).collect()
}

/// Relative to the current folder where it lies below it.
pub fn shown_path(path: &std::path::Path) -> String {
    let shown = std::env::current_dir().ok().and_then(|cwd| path.strip_prefix(cwd).ok().map(|p| p.to_owned()));
    visible(&shown.as_deref().unwrap_or(path).display().to_string())
}

/// What the phases are called while they run.
fn phase_name(phase: &str) -> &str {
    match phase {
        "data" => "reading the data",
        "hash" => "checking the model",
        "check" => "checking the base in NF4",
        "model" => "loading the model",
        "train" => "training",
        "evaluate" => "validating",
        "save" => "saving",
        "quantise" => "quantising",
        "write" => "the base writes its replay",
        "probe" => "probing for λ",
        "fisher" => "measuring what is to be kept",
        "merge" => "merging",
        "mix" => "writing the mixture",
        "combine" => "combining the adapters",
        "duplicates" => "comparing the rows",
        "answers" => "comparing the answers",
        "report" => "writing the report",
        "compare" => "comparing it with the adapter beside its base",
        other => other,
    }
}

/// A part of an evaluation that is not counted.
fn stage(at: &eval::Progress) -> String {
    match at {
        eval::Progress::Checking { suite } => format!("checking the rows of {suite}"),
        eval::Progress::Loading { who } => format!("loading the {} model", who.name()),
        eval::Progress::Kept { suite, who } => format!("{suite}, {}: finished before", who.name()),
        eval::Progress::Rows { suite, who, .. } => format!("{suite}, {}", who.name()),
        eval::Progress::Statistics => "computing the intervals".to_owned(),
    }
}

struct Bar {
    bar: Option<ProgressBar>,
}

impl Bar {
    fn on(&mut self, event: &Event<'_>) -> io::Result<()> {
        match event {
            Event::Phase("train" | "save") => {}
            Event::Phase("evaluate") => self.message("validating"),
            Event::Phase(name) => self.replace(ProgressBar::new_spinner(), "{spinner} {msg}", phase_name(name)),
            Event::Note(text) => self.above(&wrapped(&format!("note: {}", visible(text)), COLUMNS, 2))?,
            Event::Preparing { rows, bytes: done, bytes_total } => {
                let percent = (100 * done).checked_div(*bytes_total).unwrap_or(100);
                self.message(&format!("reading the data: {percent}%, {} rows", count(*rows)));
            }
            Event::Hashing { bytes, bytes_total } | Event::Quantising { bytes, bytes_total } => {
                self.fill(*bytes, *bytes_total);
            }
            Event::Writing { texts, of } => {
                self.message(&format!("the base writes its replay: {} of {} texts", count(*texts), count(*of)))
            }
            Event::Measuring { examples, of } => {
                self.message(&format!("measuring what is to be kept: {} of {} examples", count(*examples), count(*of)))
            }
            Event::Probing { lambda, step, steps } => {
                let done = format!("step {} of {}", count(*step), count(*steps));
                self.message(&format!("probing λ = {}: {done}", lambda_text(*lambda)));
            }
            Event::Probed { tried, holds } => self.above(&probed_line(tried, *holds))?,
            Event::Start { steps, first_step, trainable, parameters } => {
                self.above(&start_line(*steps, *first_step, *trainable, *parameters))?;
                let bar = ProgressBar::new(*steps).with_position(first_step.saturating_sub(1));
                self.replace(bar, "{pos}/{len} [{bar:22}] {msg}  {eta} left", "");
                if let Some(bar) = &self.bar {
                    bar.reset_eta();
                }
            }
            Event::Step { step, loss, tokens_per_second, .. } => {
                self.message(&format!("loss {}  {} tok/s", figure(*loss), rate(*tokens_per_second)));
                if let Some(bar) = &self.bar {
                    bar.set_position(*step);
                }
            }
            Event::Valid { step, loss, best, unseen, tasks } => {
                self.above(&valid_line(*step, *loss, *best, *unseen, tasks))?
            }
            // A checkpoint is told where nothing else shows that the run is alive and safe: not under a moving bar.
            Event::Checkpoint { .. } => {}
        }
        Ok(())
    }

    fn replace(&mut self, bar: ProgressBar, template: &str, message: &str) {
        self.clear();
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(BAR_HZ));
        // The templates are ours and fixed; should one not parse, indicatif's own default still shows the run.
        bar.set_style(
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> "),
        );
        bar.set_message(message.to_owned());
        bar.tick();
        self.bar = Some(bar);
    }

    /// The phase's spinner becomes a bar once it is known how much there is to do.
    fn fill(&mut self, done: u64, total: u64) {
        if let Some(spinner) = self.bar.as_ref().filter(|bar| bar.length() != Some(total)) {
            let message = spinner.message();
            self.replace(ProgressBar::new(total), "{msg} [{bar:22}] {bytes}/{total_bytes}  {eta} left", &message);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// A bar of its own for each thing that is counted.
    fn count(&mut self, what: &str, done: u64, total: u64) {
        if self.bar.as_ref().is_none_or(|bar| bar.length() != Some(total) || bar.message() != what) {
            self.replace(ProgressBar::new(total), "{msg} [{bar:22}] {pos}/{len}  {eta} left", what);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    fn message(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    fn above(&self, line: &str) -> io::Result<()> {
        match &self.bar {
            Some(bar) => bar.suspend(|| super::eprint(&format!("{line}\n"))),
            None => super::eprint(&format!("{line}\n")),
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

struct Lines {
    started: Instant,
    first_step: u64,
    told: Instant,
}

impl Lines {
    fn on(&mut self, event: &Event<'_>) -> io::Result<()> {
        let line = match event {
            Event::Phase("train" | "evaluate" | "save") => return Ok(()),
            Event::Phase(name) => phase_name(name).to_owned(),
            Event::Note(text) => format!("note: {}", visible(text)),
            Event::Preparing { rows, bytes: done, bytes_total } => {
                if !self.due() {
                    return Ok(());
                }
                format!("read {} rows, {} of {}", count(*rows), bytes(*done), bytes(*bytes_total))
            }
            Event::Hashing { bytes: done, bytes_total } => {
                if !self.due() {
                    return Ok(());
                }
                format!("checked {} of {}", bytes(*done), bytes(*bytes_total))
            }
            Event::Quantising { bytes: done, bytes_total } => {
                if !self.due() {
                    return Ok(());
                }
                format!("quantised {} of {}", bytes(*done), bytes(*bytes_total))
            }
            Event::Writing { texts, of } => {
                if !self.due() {
                    return Ok(());
                }
                format!("the base has written {} of {} texts", count(*texts), count(*of))
            }
            Event::Measuring { examples, of } => {
                if !self.due() {
                    return Ok(());
                }
                format!("measured {} of {} examples", count(*examples), count(*of))
            }
            Event::Probing { lambda, step, steps } => {
                if !self.due() {
                    return Ok(());
                }
                format!("probing λ = {}: step {} of {}", lambda_text(*lambda), count(*step), count(*steps))
            }
            Event::Probed { tried, holds } => probed_line(tried, *holds),
            Event::Start { steps, first_step, trainable, parameters } => {
                self.started = Instant::now();
                self.first_step = *first_step;
                start_line(*steps, *first_step, *trainable, *parameters)
            }
            Event::Step { step, steps, loss, lr, tokens_per_second, .. } => {
                if *step != self.first_step && step != steps && !self.due() {
                    return Ok(());
                }
                self.told = Instant::now();
                format!(
                    "step {step}/{steps}  loss {}  lr {lr:.2e}  {} tok/s  {} left",
                    figure(*loss),
                    rate(*tokens_per_second),
                    clock(self.left(*step, *steps)),
                )
            }
            Event::Valid { step, loss, best, unseen, tasks } => valid_line(*step, *loss, *best, *unseen, tasks),
            Event::Checkpoint { step, .. } => format!("checkpoint at step {step}"),
        };
        super::eprint(&format!("{}\n", wrapped(&line, COLUMNS, 2)))
    }

    fn count(&mut self, what: &str, done: u64, total: u64) -> io::Result<()> {
        if done != total && !self.due() {
            return Ok(());
        }
        super::eprint(&format!("{what}: {} of {} rows\n", count(done), count(total)))
    }

    fn due(&mut self) -> bool {
        let due = self.told.elapsed() >= LINE_EVERY;
        if due {
            self.told = Instant::now();
        }
        due
    }

    fn left(&self, step: u64, steps: u64) -> Duration {
        let done = step.saturating_sub(self.first_step) + 1;
        self.started.elapsed().mul_f64(steps.saturating_sub(step) as f64 / done as f64)
    }
}

fn start_line(steps: u64, first_step: u64, trainable: u64, parameters: u64) -> String {
    let from = if first_step > 1 { format!(" from step {}", count(first_step)) } else { String::new() };
    format!("training {} of {} parameters for {} steps{from}", count(trainable), count(parameters), count(steps))
}

/// One row of the table of probes.
fn probed_line(tried: &Tried, holds: bool) -> String {
    let loss = |loss: Option<f64>| loss.map_or_else(|| "no number".to_owned(), figure);
    let (lambda, rise) = (lambda_text(tried.lambda), tried.rise.map(change).unwrap_or_default());
    let mark = if holds { "  holds" } else { "" };
    let (general, train) = (loss(tried.general_loss), loss(tried.train_loss));
    format!("λ {lambda:<8}  general loss {general:<9} {rise:>8}  training loss {train:<9}{mark}").trim_end().to_owned()
}

/// 0.0512 → `+5.1 %`.
fn change(share: f64) -> String {
    format!("{:+.1} %", 100.0 * share)
}

/// What came of a λ that was found.
fn risen_line(r: &Risen) -> String {
    let (after, rise) = (r.general_loss.map_or_else(|| "no number".to_owned(), figure), r.rise.map(change));
    let judged = if r.is_within() { "within" } else { "above" };
    format!(
        "λ {}; general loss {} to {after}, {} ({judged} {:.1} %)",
        lambda_text(r.lambda),
        figure(r.general_loss_before),
        rise.unwrap_or_default(),
        100.0 * r.rise_allowed
    )
}

/// One line: tasks that do not fit are in metrics.jsonl.
fn valid_line(step: u64, loss: f64, best: bool, unseen: Option<f64>, tasks: &[TaskLoss]) -> String {
    let mark = if best { "  (best so far)" } else { "" };
    let unseen = unseen.map(|loss| format!("  unseen {}", figure(loss))).unwrap_or_default();
    let mut line = format!("step {step}  valid loss {}{unseen}{mark}", figure(loss));
    for task in tasks {
        let more = format!("  {} {}", visible(&task.task), figure(task.loss));
        if line.width() + more.width() + 3 > COLUMNS {
            line.push_str("  …");
            break;
        }
        line.push_str(&more);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_and_what_came_of_them_fit_the_terminal() {
        let tried =
            |lambda, loss: Option<f64>| Tried { lambda, general_loss: loss, rise: loss, train_loss: Some(123.45678) };
        assert_eq!(
            probed_line(&Tried { rise: Some(0.0512), ..tried(5600.0, Some(1.625)) }, true),
            "λ 5600      general loss 1.6250      +5.1 %  training loss 123.4568   holds"
        );
        for line in [probed_line(&tried(1.8e-11, Some(123.45678)), true), probed_line(&tried(1.8e11, None), false)] {
            assert!(line.width() <= COLUMNS, "{line}");
        }
        let mut risen = Risen {
            rise_allowed: 0.1,
            lambda: 5.6e7,
            probe_steps: 50,
            rows: 200,
            general_loss_before: 12.5,
            general_loss: Some(13.5),
            rise: Some(0.08),
            probes: Vec::new(),
        };
        assert_eq!(risen_line(&risen), "λ 5.6e7; general loss 12.5000 to 13.5000, +8.0 % (within 10.0 %)");
        risen.rise = Some(0.12);
        assert!(risen_line(&risen).ends_with("+12.0 % (above 10.0 %)"));
        assert!(risen_line(&risen).width() + 9 <= COLUMNS);
    }

    #[test]
    fn a_validation_of_many_tasks_is_one_line() {
        let task = |i: usize| TaskLoss { task: format!("任务-{i}"), loss: 1.5, supervised_tokens: 9 };
        let few: Vec<TaskLoss> = (0..2).map(task).collect();
        assert_eq!(
            valid_line(50, 1.25, true, None, &few),
            "step 50  valid loss 1.2500  (best so far)  任务-0 1.5000  任务-1 1.5000"
        );
        assert_eq!(
            valid_line(50, 1.25, true, Some(1.5), &few[..1]),
            "step 50  valid loss 1.2500  unseen 1.5000  (best so far)  任务-0 1.5000"
        );
        let many = valid_line(50, 1.25, true, None, &(0..20).map(task).collect::<Vec<_>>());
        assert!(many.width() <= COLUMNS && many.ends_with("  …"), "{many}");
    }
}
