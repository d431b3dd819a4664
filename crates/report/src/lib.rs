//! Pages, plots and summaries that work offline, from what a command recorded. Nothing is computed here that a record does not hold.
//!
//! `SCAN.md` says what the record of `athanor scan` is.

mod html;
mod json;
pub mod kinds;
pub mod number;
pub mod plot;
pub mod scan;
pub mod terminal;
pub mod text;

pub use terminal::terminal;

/// The language of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Chinese,
}
