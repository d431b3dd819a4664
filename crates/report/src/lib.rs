//! Pages and plots that work offline, from what a command recorded. Nothing is computed here that a record does not hold.

pub mod plot;
pub mod scan;

/// The language of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Chinese,
}
