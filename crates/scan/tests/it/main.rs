//! The scan crate from outside.

mod answers;
mod clean;
mod fuzz;
mod input;
#[cfg(target_os = "linux")]
mod memory;
mod near;
mod ner;
