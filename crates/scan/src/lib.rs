//! The health check of a dataset: rows from files, what `measures` says of each and of all together, findings, a verdict, and a
//! clean copy. Measures live in `measures`; here is what drives them.

mod actions;
pub mod answers;
pub mod clean;
mod error;
mod finding;
mod finish;
pub mod input;
mod instructions;
mod languages;
mod lengths;
mod measure;
mod merged;
mod names;
pub mod near;
pub mod ner;
mod pass;
mod plan;
mod policy;
mod publish;
mod quality;
mod record;
mod row;
mod samples;
mod state;
mod tally;
mod verdict;

pub use error::ScanError;
pub use finding::{Check, Finding};
pub use finish::{Finished, finish};
pub use measures::pii::Redact;
pub use pass::{Progress, Watch, measure};
pub use plan::{Input, Measure, ScanPlan, Shard};
pub use policy::{Gate, Harm, Policy};
pub use publish::{begin_part, clean_copy, end_part, may_publish, publish, read_part};
pub use row::{Field, Row};
pub use state::ShardState;
pub use verdict::Copying;
