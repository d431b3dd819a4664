mod answers;
mod clean;
mod fuzz;
mod input;
#[cfg(target_os = "linux")]
mod memory;
//! The scan crate from outside.

mod near;
mod ner;
