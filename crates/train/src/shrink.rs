//! `athanor shrink`: an adapter with fewer ranks, in a folder of its own.

use crate::TrainError;
use crate::publish::write_smaller;
use model::{Keep, Shrunk};
use runfs::Fs;
use std::path::Path;

/// What a smaller adapter lost.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Reduced {
    pub modules: Vec<Shrunk>,
    /// ‖ΔW − ΔW'‖ / ‖ΔW‖ over all modules together.
    pub lost: f64,
    /// Elements of the tensors, after.
    pub elements: usize,
}

/// Writes the adapter in `dir` with the ranks that `keep` leaves to the new folder `out`, whole or not at all.
///
/// # Errors
/// `OutExists`, and what the adapter's files and the disk refuse.
pub fn shrink(dir: &Path, out: &Path, keep: Keep, fs: &dyn Fs) -> Result<Reduced, TrainError> {
    if fs.exists(out) {
        return Err(TrainError::OutExists { dir: out.to_owned() });
    }
    let smaller = model::shrink(dir, keep)?;
    write_smaller(&smaller, fs, out, &[])?;
    let elements = smaller.tensors.iter().map(|(_, _, values)| values.len()).sum();
    Ok(Reduced { modules: smaller.modules, lost: smaller.lost, elements })
}
