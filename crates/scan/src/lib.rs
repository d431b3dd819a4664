//! The health check of a dataset: rows from files, what `measures` says of each and of all together, findings, a verdict, and a
//! clean copy. Measures live in `measures`; here is what drives them.

pub mod answers;
pub mod clean;
pub mod finding;
pub mod input;
pub mod near;
pub mod row;

pub use finding::{Check, Finding};
pub use row::{Field, Row};
