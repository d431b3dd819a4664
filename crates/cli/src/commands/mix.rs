//! `athanor mix`: an epoch's rows as a file.

use crate::args::MixArgs;
use crate::exit::Failure;
use crate::signals::Signals;
use crate::ui::text::count;
use crate::ui::{Look, Reporter, shown_path};
use serde_json::json;

pub fn mix(args: &MixArgs, look: Look) -> Result<(), Failure> {
    let plan = crate::plan::load(&args.plan.path, &args.plan.overrides())?;
    let out = std::path::absolute(&args.out)?;
    let signals = Signals::install()?;
    let mut reporter = Reporter::new(look);
    // Users count from 1.
    let epoch = args.epoch.saturating_sub(1);
    let result = train::mix(&plan, epoch, &out, &runfs::RealFs, signals.stop(), &mut |event| reporter.on(&event));
    reporter.finish();
    let mixed = result.map_err(|e| Failure::of_run(e, signals))?;
    crate::ui::print(&match look {
        Look::Json => format!("{}\n", json!({"event": "mixed", "out": out, "rows": mixed.rows, "epoch": args.epoch})),
        Look::Human | Look::Quiet => {
            format!("{} rows of epoch {} in {}\n", count(mixed.rows), args.epoch, shown_path(&out))
        }
    })?;
    Ok(())
}
