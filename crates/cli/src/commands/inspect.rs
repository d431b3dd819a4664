//! `athanor inspect`: what an adapter changes, where, and in how many directions; and how its ranks became fewer.

use crate::args::InspectArgs;
use crate::exit::Failure;
use crate::ui::curve::Curve;
use crate::ui::heat::{Heat, Row};
use crate::ui::{Look, shown_path};
use model::ModuleChange;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ADAPTER_CONFIG: &str = "adapter_config.json";

pub fn inspect(args: &InspectArgs, look: Look) -> Result<(), Failure> {
    let (adapter, run) = places(&std::path::absolute(&args.adapter)?);
    let changes = model::inspect(&adapter, args.base.as_deref(), super::other_base(args.other_base))?;
    let maps = [size_map(&changes), rank_map(&changes)];
    let ranks = match run {
        Some(run) => train::ranks_by_step(&runfs::RealFs, &run)?,
        None => Vec::new(),
    };
    let points: Vec<_> = ranks.iter().map(|(step, ranks)| (*step, *ranks as f64)).collect();
    let curve = (!points.is_empty()).then(|| Curve { title: "ranks kept in all modules".to_owned(), points });
    if let Some(path) = &args.svg {
        runfs::publish_file(&runfs::RealFs, path, Heat::svg(&maps, curve.as_ref()).as_bytes())?;
    }
    let text = match look {
        Look::Json => {
            let page = json!({"event": "inspect", "adapter": adapter, "modules": changes, "ranks_by_step": ranks});
            format!("{page}\n")
        }
        Look::Human | Look::Quiet => {
            as_text(&shown_path(&adapter), &changes, &maps) + &curve.map_or_else(String::new, |curve| curve.text())
        }
    };
    crate::ui::print(&text)?;
    Ok(())
}

/// The adapter's folder and the run's that it may lie in, of either.
pub(super) fn places(path: &Path) -> (PathBuf, Option<PathBuf>) {
    let inside = path.join("adapter");
    match path.join(ADAPTER_CONFIG).exists() || !inside.join(ADAPTER_CONFIG).exists() {
        true => (path.to_owned(), path.parent().map(Path::to_owned)),
        false => (inside, Some(path.to_owned())),
    }
}

/// The part of a module's name behind its layer.
fn leaf(change: &ModuleChange) -> &str {
    change.module.rsplit('.').next().unwrap_or(&change.module)
}

fn as_text(adapter: &str, changes: &[ModuleChange], maps: &[Heat]) -> String {
    let norm = changes.iter().map(|c| c.norm * c.norm).sum::<f64>().sqrt();
    let mut text = format!("adapter  {adapter}\nchange   ‖ΔW‖ = {norm:.4} over {} modules\n\n", changes.len());
    let mut leaves: BTreeMap<&str, Vec<&ModuleChange>> = BTreeMap::new();
    changes.iter().for_each(|c| leaves.entry(leaf(c)).or_default().push(c));
    text.push_str("module         rank   ‖ΔW‖ mean      most   of ‖W‖   effective rank\n");
    for (leaf, changes) in leaves {
        let mean =
            |of: &dyn Fn(&ModuleChange) -> f64| changes.iter().map(|c| of(c)).sum::<f64>() / changes.len() as f64;
        let ranks = || changes.iter().map(|c| c.rank);
        let rank = match (ranks().min().unwrap_or(0), ranks().max().unwrap_or(0)) {
            (low, high) if low < high => format!("{low}–{high}"),
            (_, high) => high.to_string(),
        };
        let most = changes.iter().map(|c| c.norm).fold(0.0, f64::max);
        let relative = match changes.iter().all(|c| c.relative.is_some()) {
            true => format!("{:.2} %", 100.0 * mean(&|c| c.relative.unwrap_or(0.0))),
            false => "–".to_owned(),
        };
        text.push_str(&format!(
            "{leaf:<13}{rank:>6}{:>12.4}{most:>10.4}{relative:>9}{:>17.1}\n",
            mean(&|c| c.norm),
            mean(&|c| c.effective_rank)
        ));
    }
    for map in maps {
        text.push_str(&map.text());
    }
    text
}

fn size_map(changes: &[ModuleChange]) -> Heat {
    let relative = changes.iter().all(|c| c.relative.is_some());
    let title = if relative { "‖ΔW‖ / ‖W‖" } else { "‖ΔW‖" };
    map(title, changes, |c| if relative { c.relative.unwrap_or(0.0) } else { c.norm })
}

fn rank_map(changes: &[ModuleChange]) -> Heat {
    map("effective rank / rank", changes, |c| c.effective_rank / c.rank.max(1) as f64)
}

/// Modules down, layers across; what is in no layer has a column of its own behind them.
fn map(title: &str, changes: &[ModuleChange], value: impl Fn(&ModuleChange) -> f64) -> Heat {
    let layers = changes.iter().filter_map(|c| c.layer).map(|l| l + 1).max().unwrap_or(0);
    let mut rows: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    for change in changes {
        let row = rows.entry(leaf(change)).or_insert_with(|| vec![None; layers.max(1)]);
        row[change.layer.unwrap_or(0)] = Some(value(change));
    }
    let rows = rows.into_iter().map(|(name, values)| Row { name: name.to_owned(), values }).collect();
    Heat { title: title.to_owned(), across: "layer".to_owned(), rows }
}
