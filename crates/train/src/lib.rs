//! One step loop: optimiser, schedule, evaluation, checkpoints.
//!
//! A run is a function of (plan, data, base model): the same three give the same adapter, optimiser state and
//! `metrics.jsonl`, byte for byte, however often the run was cut and resumed and with any number of threads.

mod base;
mod batch;
mod checkpoint;
mod combine;
mod drawn;
mod error;
mod evaluate;
mod ewc;
mod forgotten;
mod lambda;
mod limits;
mod merge;
mod metrics;
mod mix;
#[cfg(test)]
mod oracle_tests;
mod overfit;
mod plan;
mod probe;
mod publish;
mod quantise;
mod record;
mod run;
mod schedule;
mod shrink;
mod steps;
mod tensorboard;
mod unseen;
mod written;

pub use base::QuantizedCopy;
pub use combine::{CombinePlan, Joined, combine};
pub use error::TrainError;
pub use lambda::{Tried, probe_steps};
pub use merge::{MergePlan, Merged, merge};
pub use metrics::{TaskLoss, ranks_by_step};
pub use mix::{Mixed, TaskShare, earlier_run, mix};
pub use model::{Optimizer, Precision};
pub use overfit::Relief;
pub use plan::{
    AskPlan, EarlyStop, EwcOf, EwcPlan, Lambda, OnOverfit, PageLanguage, Plan, RunLength, Schedule, Sought, TrainPlan,
    Warmup,
};
pub use probe::{Risen, lambda_text};
pub use quantise::{Quantised, quantize};
pub use run::{Event, Preview, Summary, plan_of, preview, resume, run};
pub use schedule::{learning_rate, warmup_steps};
pub use shrink::{Reduced, shrink};
pub use unseen::Gap;
pub use written::ToWrite;
