//! One step loop: optimiser, schedule, evaluation, checkpoints.

mod error;
mod plan;
mod run;

pub use error::TrainError;
pub use plan::{EarlyStop, Plan, Precision, RunLength, Schedule, TrainPlan, Warmup};
pub use run::{Event, Preview, Summary, preview, resume, run};
