//! The planted crate from outside.

mod texts;
