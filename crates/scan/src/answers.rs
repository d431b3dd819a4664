//! Answers against their questions over the whole set: one question with many answers, one answer to many questions, triggers,
//! templates.
//!
//! Three steps: [`sketch`] of a row, on any thread; [`Index::push`] of the sketches into files of a folder; [`finish`] over the
//! folders of all shards. Only hashes and positions are kept. What `finish` says depends on which rows there are, not on how
//! they were dealt out to shards or in which order they came; its memory does not grow with the rows.

mod groups;
mod report;
mod sketch;
mod spool;
mod templates;
mod triggers;
mod walk;

pub use report::{Frequent, Group, Place, Report, Set, Template, Tied, Trigger, Where};
pub use sketch::{Sketch, sketch};
pub use spool::Index;
pub use walk::finish;

use std::path::PathBuf;

/// What stops the work on a set's answers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("interrupted while comparing answers")]
    Interrupted,
    #[error("{}: cannot {op}: {source}", path.display())]
    Io { op: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{}: no state of a shard; expected answers-*.names", folder.display())]
    NoState { folder: PathBuf },
    #[error("shard {shard} twice: {} and {}", first.display(), second.display())]
    SameShard { shard: u32, first: PathBuf, second: PathBuf },
    #[error("{}: {got}; expected {expected}", path.display())]
    Damaged { path: PathBuf, expected: String, got: String },
}
