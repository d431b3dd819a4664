//! Pure functions from an answer, and what was expected, to figures.

pub mod chrf;
pub mod classes;
pub mod command;
pub mod exact;
pub mod instruction;
pub mod numeric;
pub mod rouge;
pub mod schema;
pub mod style;
pub mod voice;
