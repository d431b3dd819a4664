//! Records with planted faults, duplicates and personal data, and the truth about them, all from seeds.
//!
//! What judges `scan` in this project's tests and benchmarks. Every text is made here: no data set is read.

pub mod faults;
pub mod near;
pub mod pii;
pub mod random;
pub mod texts;
