//! The data crate from outside.

mod records;
mod text;
