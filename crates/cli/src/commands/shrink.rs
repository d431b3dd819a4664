//! `athanor shrink`: the same adapter with fewer ranks.

use crate::args::ShrinkArgs;
use crate::exit::Failure;
use crate::ui::text::count;
use crate::ui::{Look, shown_path};
use model::Keep;
use serde_json::json;

/// Modules that are named because they lost the most.
const WORST: usize = 5;

pub fn shrink(args: &ShrinkArgs, look: Look) -> Result<(), Failure> {
    let (adapter, out) = (std::path::absolute(&args.adapter)?, std::path::absolute(&args.out)?);
    let keep = match (args.keep.rank, args.keep.energy) {
        (Some(rank), _) => Keep::Rank(rank as usize),
        (None, energy) => Keep::Energy(energy.unwrap_or(1.0)),
    };
    let done = train::shrink(&adapter, &out, keep, &runfs::RealFs)?;
    if look == Look::Json {
        let mut value = json!(done);
        value["event"] = "done".into();
        value["out"] = json!(out);
        crate::ui::print(&format!("{value}\n"))?;
        return Ok(());
    }
    let mut text = format!(
        "adapter  {}\nrank     {}, before {}; {} values\nlost     {} of ‖ΔW‖ over {} modules\n",
        shown_path(&out),
        range(done.modules.iter().map(|m| m.after)),
        range(done.modules.iter().map(|m| m.before)),
        count(done.elements as u64),
        percent(done.lost),
        done.modules.len(),
    );
    text.push_str(&worst(done.modules.iter().map(|m| (m.module.as_str(), m.lost))));
    crate::ui::print(&text)?;
    Ok(())
}

/// `4`, or `2 to 8`.
pub fn range(ranks: impl Iterator<Item = usize> + Clone) -> String {
    match (ranks.clone().min(), ranks.max()) {
        (Some(low), Some(high)) if low < high => format!("{low} to {high}"),
        (_, high) => high.unwrap_or(0).to_string(),
    }
}

/// The modules that lost the most, a line each.
pub fn worst<'a>(modules: impl Iterator<Item = (&'a str, f64)>) -> String {
    let mut lost: Vec<_> = modules.filter(|(_, lost)| *lost > 0.0).collect();
    lost.sort_by(|x, y| y.1.total_cmp(&x.1));
    let line = |(i, (module, lost)): (usize, &(&str, f64))| {
        let label = if i == 0 { "most" } else { "" };
        format!("{label:<9}{:>7}  {module}\n", percent(*lost))
    };
    lost.iter().take(WORST).enumerate().map(line).collect()
}

pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
