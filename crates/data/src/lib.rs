//! From files to packed rows: records with their origin, chat templates, tokens and loss masks, order and packing.

mod dataset;
mod error;
mod plan;

pub use dataset::{Counts, Dataset, Epoch, Example, Origin, Piece, Prepared, prepare};
pub use error::DataError;
pub use plan::{BadRows, DataPlan, Format, LengthPlan, LossOn, OverLength, Packing, Source, Template, TextPlan, Valid};
