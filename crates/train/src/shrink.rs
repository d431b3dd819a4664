//! `athanor shrink`: an adapter with fewer ranks, in a folder of its own.

use crate::TrainError;
use crate::publish::write_base;
use model::{Keep, Shrunk};
use runfs::Fs;
use std::collections::BTreeMap;
use std::path::Path;
use weights::peft::{CONFIG_FILE, TENSORS_FILE};

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
    let tensors: Vec<_> =
        smaller.tensors.iter().map(|(name, shape, v)| (name.clone(), shape.clone(), v.as_slice())).collect();
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    runfs::publish_dir(fs, out, &mut |staged| {
        staged.file(TENSORS_FILE, &mut |file| weights::write_safetensors(file, &tensors, &metadata))?;
        write_base(staged, smaller.base.as_ref())?;
        staged.file(CONFIG_FILE, &mut |file| file.write_all(smaller.config.as_bytes()))
    })?;
    let elements = smaller.tensors.iter().map(|(_, _, values)| values.len()).sum();
    Ok(Reduced { modules: smaller.modules, lost: smaller.lost, elements })
}
