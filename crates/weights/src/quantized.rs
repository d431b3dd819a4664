//! Recognising checkpoints whose weights are not plain floating-point tensors.

use crate::read::{CONFIG_BYTES_MAX, read_limited};
use crate::{Checkpoint, WeightsError};
use serde_json::Value;
use std::fmt;
use std::path::Path;

/// How the weights of a checkpoint are stored, when not plainly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quantization {
    /// bitsandbytes: packed `weight` (u8) beside `.absmax`, `.quant_map`, `.quant_state.bitsandbytes__nf4`.
    BitsAndBytes4Bit {
        /// `nf4` or `fp4`.
        kind: String,
        /// Whether the block maxima are quantised too.
        double: bool,
    },
    BitsAndBytes8Bit,
    /// Another method, by the name it has in `config.json` (`gptq`, `awq`, `fp8`, …).
    Other(String),
    /// The configuration says nothing, but this tensor's name does.
    Unannounced {
        tensor: String,
    },
}

/// How `checkpoint`, opened from `dir`, is quantised: what `config.json` says, else what its tensors' names say.
/// `None`: plain weights.
pub fn quantization(dir: &Path, checkpoint: &Checkpoint) -> Result<Option<Quantization>, WeightsError> {
    let path = dir.join("config.json");
    let bytes = read_limited(&path, CONFIG_BYTES_MAX)?;
    let config: Value = serde_json::from_slice(&bytes).map_err(|e| WeightsError::Json { path, why: e.to_string() })?;
    Ok(match config.get("quantization_config") {
        Some(q) if !q.is_null() => Some(Quantization::announced(q)),
        _ => marked(checkpoint).map(|tensor| Quantization::Unannounced { tensor }),
    })
}

impl Quantization {
    /// What a configuration's `quantization_config` says.
    pub fn announced(q: &Value) -> Quantization {
        let flag = |key: &str| q.get(key).and_then(Value::as_bool).unwrap_or_default();
        let text = |key: &str| q.get(key).and_then(Value::as_str);
        match text("quant_method") {
            Some("bitsandbytes") | None if flag("load_in_4bit") => Quantization::BitsAndBytes4Bit {
                kind: text("bnb_4bit_quant_type").unwrap_or("fp4").to_owned(),
                double: flag("bnb_4bit_use_double_quant"),
            },
            Some("bitsandbytes") | None if flag("load_in_8bit") => Quantization::BitsAndBytes8Bit,
            Some(method) => Quantization::Other(method.to_owned()),
            None => Quantization::Other("an unnamed method".to_owned()),
        }
    }
}

/// A tensor that only quantised checkpoints have: bitsandbytes 4 bit, its 8 bit, GPTQ and AWQ.
fn marked(checkpoint: &Checkpoint) -> Option<String> {
    let endings = [".absmax", ".quant_map", ".SCB", ".qweight", ".weight_scale_inv"];
    let is = |name: &&str| endings.iter().any(|e| name.ends_with(e)) || name.contains(".quant_state.bitsandbytes__");
    checkpoint.names().find(is).map(ToOwned::to_owned)
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Quantization::BitsAndBytes4Bit { kind, double } => {
                let double = if *double { " with double quantisation" } else { "" };
                write!(f, "bitsandbytes 4-bit ({kind}{double})")
            }
            Quantization::BitsAndBytes8Bit => f.write_str("bitsandbytes 8-bit"),
            Quantization::Other(method) => f.write_str(method),
            Quantization::Unannounced { tensor } => write!(f, "quantised (it has a tensor {tensor})"),
        }
    }
}
