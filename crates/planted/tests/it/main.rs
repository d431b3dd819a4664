//! The planted crate from outside.

mod faults;
mod texts;
