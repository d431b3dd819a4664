//! Suites of questions, scores of answers, and statements about them with a confidence.
//!
//! [`Suite`] says what is asked and measured, a [`Subject`] answers, [`score`] has the pure functions that judge, [`figures`]
//! make numbers of many rows and [`stats`] say how sure they are; [`run()`] does all of it in order, and may not change a weight.

mod answer;
pub mod condition;
mod error;
pub mod figures;
pub mod record;
pub mod rows;
mod run;
pub mod score;
pub mod scorer;
pub mod stats;
mod subject;
mod suite;
pub mod words;

pub use condition::Condition;
pub use error::EvalError;
pub use model::Decoding;
pub use run::{Entrant, EvalPlan, Load, PartRow, Progress, Watch, Who, check, part_rows, run};
pub use subject::{Loaded, ModelPlan, Subject};
pub use suite::{Columns, Role, Suite, check_together};
