//! Whether two folders hold the same weights, for the price of a few pages of each tensor.

use crate::identity::hex;
use crate::{Checkpoint, WeightsError};
use sha2::{Digest, Sha256};

/// Of each tensor so many pieces of so many bytes, evenly spread from its first byte to its last.
const PIECES: usize = 8;
const PIECE_BYTES: usize = 64;

/// sha256 over the name, type and shape of each tensor, in the order of names, and samples of its bytes. 64 hex digits.
///
/// The same for one file and for shards, under any name of the folder, and whatever config.json says: weights decide.
/// Another training of the same shapes is told apart, as it changes nearly every element; a change of a few elements may not
/// be. [`crate::identity`] is the proof, at the price of reading everything.
pub fn fingerprint(checkpoint: &Checkpoint) -> Result<String, WeightsError> {
    let mut hash = Sha256::new();
    let mut bytes = [0; PIECE_BYTES];
    for name in checkpoint.names() {
        let view = checkpoint.get(name)?;
        hash.update(format!("{name} {:?} {:?} ", view.dtype, view.shape));
        // read, not looked at: the system maps many pages around each byte of a map that is touched
        let region = checkpoint.region(name)?;
        let (last, len) = (region.bytes().saturating_sub(PIECE_BYTES), region.bytes().min(PIECE_BYTES));
        for piece in 0..PIECES {
            let at = last / (PIECES - 1) * piece + last % (PIECES - 1) * piece / (PIECES - 1);
            region.read_at(at, &mut bytes[..len])?;
            hash.update(&bytes[..len]);
        }
        hash.update("\n");
    }
    Ok(hex(hash))
}
