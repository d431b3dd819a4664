//! `athanor combine`: several adapters as one, in a folder of its own.

use crate::publish::{own, write_base};
use crate::{Event, TrainError};
use model::{Combination, Combined, Mix, OtherBase, Part};
use runfs::Fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use weights::peft::{CONFIG_FILE, TENSORS_FILE};

/// What is combined, and how.
#[derive(Clone, Debug)]
pub struct CombinePlan {
    pub adapters: Vec<Part>,
    pub out: PathBuf,
    pub mix: Mix,
    /// What becomes of adapters whose folders name different bases.
    pub other_base: OtherBase,
    pub threads: Option<usize>,
}

/// What came of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Joined {
    pub out: PathBuf,
    pub modules: Vec<Combined>,
    /// ‖ΔW − ΔW'‖ / ‖ΔW‖ over all modules together.
    pub lost: f64,
    /// Elements of the pairs.
    pub elements: usize,
}

/// Writes one adapter that changes the base as those of the plan do together to the new folder `out`, which appears whole
/// or not at all. One module is in memory at a time.
///
/// # Errors
/// `OutExists`, `InterruptedWriting`, and what the adapters and the disk refuse.
pub fn combine(
    plan: &CombinePlan,
    fs: &dyn Fs,
    stop: &AtomicBool,
    on: &mut dyn FnMut(Event),
) -> Result<Joined, TrainError> {
    let out = &plan.out;
    if fs.exists(out) {
        return Err(TrainError::OutExists { dir: out.clone() });
    }
    on(Event::Phase("combine"));
    let combination = Combination::open(&plan.adapters, plan.mix, plan.threads, plan.other_base)?;
    let (mut modules, mut refused) = (Vec::new(), None);
    let published = runfs::publish_dir(fs, out, &mut |staged| {
        staged.file(TENSORS_FILE, &mut |file| {
            let written = combination.write(file, &mut |module| {
                modules.push(module);
                !stop.load(Ordering::Relaxed)
            });
            written.map_err(|e| own(e, &mut refused))
        })?;
        write_base(staged, combination.base())?;
        staged.file(CONFIG_FILE, &mut |file| file.write_all(combination.config().as_bytes()))
    });
    match (published, refused) {
        (Ok(_), _) => {}
        _ if stop.load(Ordering::Relaxed) => return Err(TrainError::InterruptedWriting { dir: out.clone() }),
        (Err(_), Some(refused)) => return Err(refused.into()),
        (Err(e), None) => return Err(e.into()),
    }
    let square = |of: fn(&Combined) -> f64| modules.iter().map(|m| of(m).powi(2)).sum::<f64>();
    let (gone, whole) = (square(|m| m.lost * m.norm), square(|m| m.norm));
    let lost = if whole > 0.0 { (gone / whole).sqrt() } else { 0.0 };
    Ok(Joined { out: out.clone(), modules, lost, elements: combination.elements() })
}
