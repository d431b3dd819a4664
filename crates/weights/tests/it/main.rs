//! The crate as its users see it: the reference's files in, typed refusals for everything hostile.

mod adapters;
mod checkpoints;
mod files;
mod fingerprint;
mod four_bit;
mod fuzz;
mod hostile;
mod identity;
mod quantized;
mod writing;
