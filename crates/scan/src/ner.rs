//! Names of persons, organisations and places, by a model for token classification that the user has.
//!
//! What a model's numbers mean is here in any build; running one takes the feature `ner`.

#[cfg(feature = "ner")]
mod model;
mod tags;
mod windows;

#[cfg(feature = "ner")]
pub use model::{Ner, NerError};
pub use tags::{Labels, LabelsError, Piece, Tag, spots};
pub use windows::{Window, windows};
