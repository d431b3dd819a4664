//! Which base an adapter was trained on, in a file of its own beside PEFT's, whose loaders do not look at it.

use super::AdapterPlan;
use crate::{ModelError, Quantize};
use serde::{Deserialize, Serialize};
use std::path::Path;
use weights::{Checkpoint, fingerprint};

/// In an adapter's folder.
pub const BASE_FILE: &str = "athanor_base.json";

/// What an adapter was trained beside. PEFT writes no such file; its `base_model_name_or_path` is a name and no proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRecord {
    /// [`weights::fingerprint`] of the base.
    pub fingerprint: String,
    /// How its layers were held, where not as the base has them.
    #[serde(default)]
    pub quantize: Quantize,
}

/// What becomes of an adapter that was trained on another base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherBase {
    Refused,
    Taken,
}

impl BaseRecord {
    /// Of the adapter in `dir`; None where its folder has none.
    ///
    /// # Errors
    /// A file that is not one of ours.
    pub fn read(dir: &Path) -> Result<Option<BaseRecord>, ModelError> {
        let path = dir.join(BASE_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = weights::read_small(&path)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|e| ModelError::ConfigParse {
            path,
            line: e.line(),
            column: e.column(),
            why: e.to_string(),
        })
    }

    /// The file's content.
    pub fn to_json(&self) -> Vec<u8> {
        // Two plain fields always are JSON.
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Refuses `base` where the adapter in `dir` says that it was trained on another one.
    ///
    /// # Errors
    /// `TrainedElsewhere`.
    pub fn check(dir: &Path, base: &Checkpoint) -> Result<(), ModelError> {
        let Some(record) = BaseRecord::read(dir)? else { return Ok(()) };
        if record.fingerprint == fingerprint(base)? {
            return Ok(());
        }
        Err(ModelError::TrainedElsewhere { adapter: dir.to_owned(), base: base.path().to_owned() })
    }
}

/// Refuses a plan that goes on from an adapter of another base than the model in `model`, unless it says that this is
/// meant.
///
/// # Errors
/// `TrainedElsewhere`, and what opening the two refuses.
pub fn refuse_other_base(model: &Path, plan: &AdapterPlan) -> Result<(), ModelError> {
    let AdapterPlan::Lora(lora) = plan else { return Ok(()) };
    match &lora.start_from {
        Some(dir) if !lora.other_base => BaseRecord::check(dir, &Checkpoint::open(model)?),
        _ => Ok(()),
    }
}
