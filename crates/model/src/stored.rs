//! Matrices that their file holds in NF4 already.

use crate::ModelError;
use kernels::Nf4;
use kernels::nf4::{CODE, Scales};
use weights::{Absmax, Checkpoint, FourBit};

/// A matrix and its shape.
pub(crate) struct Stored {
    pub shape: Vec<usize>,
    pub nf4: Nf4,
    /// The tensors beside it that it was read from.
    pub parts: Vec<String>,
}

/// The tensor `name`, if the checkpoint has it in NF4.
///
/// # Errors
/// Those of [`Checkpoint::four_bit`]; `Damaged` where what it says cannot be computed with.
pub(crate) fn read(checkpoint: &Checkpoint, name: &str) -> Result<Option<Stored>, ModelError> {
    let Some(found) = checkpoint.four_bit(name)? else { return Ok(None) };
    let damaged = |why: String| ModelError::Damaged { tensor: name.to_owned(), why };
    if found.map != CODE {
        return Err(damaged("its quant_map is not that of NF4".to_owned()));
    }
    let parts = found.parts(name).collect();
    let scales = match found.absmax {
        Absmax::Single(absmax) => Scales::Single(absmax.into_owned()),
        Absmax::Double { codes, map, absmax, block, offset } => {
            Scales::Double { codes: codes.to_vec(), map, absmax: absmax.into_owned(), block, offset }
        }
    };
    let len = found.shape.iter().product();
    let nf4 = Nf4::new(len, found.codes.to_vec(), found.block, scales).map_err(|e| damaged(e.to_string()))?;
    Ok(Some(Stored { shape: found.shape, nf4, parts }))
}

/// Bytes that such a tensor takes when it is loaded.
pub(crate) fn bytes(found: &FourBit) -> usize {
    let absmax = match &found.absmax {
        Absmax::Single(absmax) => size_of_val(absmax.as_ref()),
        Absmax::Double { codes, map, absmax, .. } => {
            codes.len() + size_of_val(map.as_slice()) + size_of_val(absmax.as_ref())
        }
    };
    found.codes.len() + absmax
}
