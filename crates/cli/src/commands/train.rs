//! `athanor train` and `athanor resume`.

use super::ask::{self, Ask};
use crate::args::PlanArgs;
use crate::exit::Failure;
use crate::signals::Signals;
use crate::ui::{Look, Reporter};
use eval::EvalError;
use serde_json::Value;
use std::path::Path;
use train::{Event, Plan, Summary, TrainError};

pub fn train(args: &PlanArgs, look: Look) -> Result<(), Failure> {
    let plan = crate::plan::load(&args.path, &args.overrides())?;
    run(&plan, look, |signals, on| train::run(&plan, &runfs::RealFs, signals.stop(), on))
}

pub fn resume(dir: &Path, look: Look) -> Result<(), Failure> {
    let dir = std::path::absolute(dir)?;
    let plan = train::plan_of(&dir, &runfs::RealFs)?;
    run(&plan, look, |signals, on| train::resume(&dir, &runfs::RealFs, signals.stop(), on))
}

fn run(
    plan: &Plan,
    look: Look,
    body: impl FnOnce(&Signals, &mut dyn FnMut(Event<'_>)) -> Result<Summary, TrainError>,
) -> Result<(), Failure> {
    let signals = Signals::install()?;
    let mut reporter = Reporter::new(look);
    let result = trained_and_asked(plan, signals, &mut reporter, body);
    reporter.finish();
    let (summary, asked) = result?;
    let told = match asked {
        None => Ok(()),
        Some((ask, Ok(record))) => ask.tell(&record, look),
        Some((_, Err(e))) => Err(Failure::of_asked_late(e, signals, &plan.out)),
    };
    // What is trained is told, whatever the answers are.
    reporter.summary(&summary)?;
    told
}

type Asked<'a> = Option<(Ask<'a>, Result<Value, EvalError>)>;

fn trained_and_asked<'a>(
    plan: &'a Plan,
    signals: &Signals,
    reporter: &mut Reporter,
    body: impl FnOnce(&Signals, &mut dyn FnMut(Event<'_>)) -> Result<Summary, TrainError>,
) -> Result<(Summary, Asked<'a>), Failure> {
    let ask = ask::check(plan, signals, reporter)?;
    let summary = body(signals, &mut |event| reporter.on(&event)).map_err(|e| Failure::of_run(e, signals))?;
    let asked = ask.map(|ask| {
        let record = ask.done(summary.result, signals, reporter);
        (ask, record)
    });
    Ok((summary, asked))
}
