//! `athanor shrink`: the same adapter with fewer ranks.

use crate::args::ShrinkArgs;
use crate::exit::Failure;
use crate::ui::text::count;
use crate::ui::{Look, shown_path};
use model::{Keep, Shrunk};
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
    let ranks = |of: fn(&Shrunk) -> usize| -> String {
        let all = || done.modules.iter().map(of);
        match (all().min(), all().max()) {
            (Some(low), Some(high)) if low < high => format!("{low} to {high}"),
            (_, high) => high.unwrap_or(0).to_string(),
        }
    };
    let mut text = format!(
        "adapter  {}\nrank     {}, before {}; {} values\nlost     {} of ‖ΔW‖ over {} modules\n",
        shown_path(&out),
        ranks(|m| m.after),
        ranks(|m| m.before),
        count(done.elements as u64),
        percent(done.lost),
        done.modules.len(),
    );
    let mut worst: Vec<&Shrunk> = done.modules.iter().filter(|m| m.lost > 0.0).collect();
    worst.sort_by(|x, y| y.lost.total_cmp(&x.lost));
    for (i, m) in worst.iter().take(WORST).enumerate() {
        let label = if i == 0 { "most" } else { "" };
        text.push_str(&format!("{label:<9}{:>7}  {}\n", percent(m.lost), m.module));
    }
    crate::ui::print(&text)?;
    Ok(())
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
