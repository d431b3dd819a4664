//! Weight files: safetensors checkpoints (one file or shards, mapped into memory) and PEFT adapters.
//!
//! Trusts no byte of a file, and computes nothing but conversions between number formats. Every cause of refusal is
//! a variant of [`WeightsError`] that carries the file, the tensor, what was expected and what was there. Opening a
//! file allocates its header's tables and nothing else; tensors are read from the map when they are asked for.
//!
//! Pickle files (`pytorch_model.bin`, `adapter_model.bin`) can run code when they are opened. They are never opened.

#[cfg(target_endian = "big")]
compile_error!("safetensors files are little-endian and are mapped as they are");

mod checkpoint;
mod error;
mod fingerprint;
mod four_bit;
mod header;
mod identity;
mod layout;
mod map;
pub mod peft;
mod python_json;
mod quantized;
mod read;
mod region;
mod view;
mod write;

pub use checkpoint::Checkpoint;
pub use error::WeightsError;
pub use fingerprint::fingerprint;
pub use four_bit::{Absmax, FourBit, FourBitRegions, NewFourBit, four_bit_owner};
pub use header::{HEADER_BYTES_MAX, RANK_MAX};
pub use identity::{FileIdentity, Identity, identity, identity_with, sha256_checkpoint};
pub use quantized::{Quantization, quantization};
pub use read::read_small;
pub use region::{FloatsMut, Region};
pub use safetensors::Dtype;
pub use view::{Floats, View};
pub use write::{Declared, safetensors_bytes, safetensors_head, write_safetensors, write_safetensors_with};
