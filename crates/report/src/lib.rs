//! Pages, plots and summaries that work offline, from what a command recorded. Nothing is computed here that a record does not hold.
//!
//! `SCAN.md` says what the record of `athanor scan` is, and EVAL.md of the crate `eval` what that of `athanor eval` is.

pub mod eval;
mod html;
mod json;
pub mod kinds;
pub mod number;
mod page;
pub mod plot;
pub mod scan;
pub mod terminal;
pub mod text;
pub mod ways;

pub use terminal::terminal;

/// The language of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Chinese,
}
