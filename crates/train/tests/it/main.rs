//! Whole runs, with the small real model of `examples/` and with the random ones of `fixtures/`.

mod base;
mod common;
mod ewc;
mod faults;
mod merge;
mod mix;
mod overfit;
mod probe;
mod quantise;
mod refusals;
mod resume;
mod tfevents;
mod training;
mod unseen;
mod written;
