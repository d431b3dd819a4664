//! `athanor combine`: several adapters of one base as one.

use crate::args::{CombineArgs, CombineMethod};
use crate::commands::other_base;
use crate::commands::shrink::{percent, range, worst};
use crate::exit::Failure;
use crate::signals::Signals;
use crate::ui::text::count;
use crate::ui::{Look, Reporter, shown_path};
use model::{Keep, Mix, Part, Signs, Trim};
use serde_json::json;
use std::io;
use train::CombinePlan;

const DENSITY: f64 = 0.5;

pub fn combine(args: &CombineArgs, look: Look) -> Result<(), Failure> {
    let part = |(dir, weight): &(std::path::PathBuf, f64)| Ok(Part { dir: std::path::absolute(dir)?, weight: *weight });
    let plan = CombinePlan {
        adapters: args.adapters.iter().map(part).collect::<io::Result<_>>()?,
        out: std::path::absolute(&args.out)?,
        mix: mix(args)?,
        other_base: other_base(args.other_base),
        threads: args.threads.map(|n| n as usize),
    };
    let signals = Signals::install()?;
    let mut reporter = Reporter::new(look);
    let result = train::combine(&plan, &runfs::RealFs, signals.stop(), &mut |event| reporter.on(&event));
    reporter.finish();
    let done = result.map_err(|e| Failure::of_run(e, signals))?;
    if look == Look::Json {
        let mut value = json!(done);
        value["event"] = "done".into();
        crate::ui::print(&format!("{value}\n"))?;
        return Ok(());
    }
    let mut text = format!(
        "adapter  {}\nrank     {}, the {} adapters' together {}; {} values\nlost     {} of ‖ΔW‖ over {} modules\n",
        shown_path(&done.out),
        range(done.modules.iter().map(|m| m.after)),
        plan.adapters.len(),
        range(done.modules.iter().map(|m| m.before)),
        count(done.elements as u64),
        percent(done.lost),
        done.modules.len(),
    );
    text.push_str(&worst(done.modules.iter().map(|m| (m.module.as_str(), m.lost))));
    crate::ui::print(&text)?;
    Ok(())
}

/// What the flags mean; those that belong to other methods are refused.
fn mix(args: &CombineArgs) -> Result<Mix, Failure> {
    let refuse = |flag, hint| Err(Failure::usage(&format!("{flag} means nothing with this --method"), hint));
    let rank = args.rank.map(|n| n as usize);
    if args.method == CombineMethod::Linear {
        if args.density.is_some() {
            return refuse("--density", "leave it out, or set --method ties, dare_linear or dare_ties");
        }
        if args.seed.is_some() {
            return refuse("--seed", "leave it out, or set --method dare_linear or dare_ties");
        }
        return Ok(Mix::Linear(rank.map(Keep::Rank).or(args.energy.map(Keep::Energy))));
    }
    if args.energy.is_some() {
        return refuse("--energy", "say how many ranks with --rank; `athanor shrink --energy` can follow");
    }
    let signs = if args.method == CombineMethod::DareLinear { Signs::Add } else { Signs::Elect };
    let trim = match args.method {
        CombineMethod::Ties if args.seed.is_some() => {
            return refuse("--seed", "leave it out, or set --method dare_linear or dare_ties");
        }
        CombineMethod::Ties => Trim::Smallest,
        _ => Trim::Random { seed: args.seed.unwrap_or(0) },
    };
    Ok(Mix::Sparse { trim, density: args.density.unwrap_or(DENSITY), signs, rank })
}
