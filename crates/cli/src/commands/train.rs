//! `athanor train` and `athanor resume`.

use crate::args::PlanArgs;
use crate::exit::Failure;
use crate::signals::Signals;
use crate::ui::{Look, Reporter};
use std::path::Path;
use train::{Event, Summary, TrainError};

pub fn train(args: &PlanArgs, look: Look) -> Result<(), Failure> {
    let plan = crate::plan::load(&args.path, &args.overrides())?;
    run(look, |signals, on| train::run(&plan, &runfs::RealFs, signals.stop(), on))
}

pub fn resume(dir: &Path, look: Look) -> Result<(), Failure> {
    let dir = std::path::absolute(dir)?;
    run(look, |signals, on| train::resume(&dir, &runfs::RealFs, signals.stop(), on))
}

fn run(
    look: Look,
    body: impl FnOnce(&Signals, &mut dyn FnMut(Event<'_>)) -> Result<Summary, TrainError>,
) -> Result<(), Failure> {
    let signals = Signals::install()?;
    let mut reporter = Reporter::new(look);
    let result = body(&signals, &mut |event| reporter.on(&event));
    reporter.finish();
    let summary = result.map_err(|e| Failure::of_run(e, &signals))?;
    reporter.summary(&summary)?;
    Ok(())
}
