//! The CPU backend.
#[derive(Debug)]
pub struct Cpu;
