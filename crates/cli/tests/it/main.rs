//! Whole-command tests: what a user sees, through the binary.

mod ask;
mod codes;
mod commands;
mod docs;
mod eval;
mod families;
mod interrupts;
mod kills;
mod mix;
#[cfg(target_os = "linux")]
mod mounts;
mod probe;
mod quickstart;
mod scan;
mod support;
