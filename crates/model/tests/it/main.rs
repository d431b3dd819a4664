//! The model against what `transformers` and PEFT compute, and against itself.

mod bf16;
mod combine;
mod config;
mod ewc;
mod forward;
mod generate;
mod inspect;
mod memory;
mod nf4;
mod numerics;
mod packing;
mod peft;
mod refusals;
mod stories;
mod stream;
mod support;
mod walls;
