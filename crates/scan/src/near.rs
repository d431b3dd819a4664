//! Duplicates and leaks over any number of rows: bands on disk, verified pairs, groups.
//!
//! Each row becomes a [`Sketch`] on any thread; an [`Index`] writes the sketches to spool files in a folder; [`find`] reads
//! one folder or several (`--shard i/n`) and says what is the same. What it says depends on the rows and their places in
//! the files alone: not on threads, not on how rows were spread over shards, not on the order in which they came.
//!
//! What counts as the same, in this order:
//! - `exact`: the same bytes in all fields.
//! - `normalised`: the same [normal form](measures::near::normalise) of all fields but the system's.
//! - `near`: Jaccard similarity of shingles at least [`Settings::jaccard`]; or one text nearly all inside the other
//!   ([`CONTAINED`]) with a similarity of at least [`CONTAINED_JACCARD`]: a copy with something added or cut off.
//! - `template`: as similar as that, but each of the two has numbers that the other has not; and they are half of the
//!   numbers, or a third of all that differs. Those are other exercises, not copies: they are shown, and cleaning keeps
//!   all of them.
//!
//! A group is all that hangs together by such pairs. It may keep several rows, so that neither a chain of small steps nor
//! rows with other numbers throw out what is unlike: each row that cleaning removes is the same, in one of the first three
//! ways, as a row that it keeps.

mod classes;
mod groups;
mod leaks;
mod pairs;
mod shared;
mod sketch;
mod spool;
mod table;

pub use shared::{SAMPLED_ONE_IN, Shared};
pub use sketch::{Sketch, sketch};
pub use spool::{Index, Spool};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How much of one text is in another of which it is a part, more or less.
pub const CONTAINED: f32 = 0.95;
/// The least similarity of a text and a part of it that are taken for the same.
pub const CONTAINED_JACCARD: f32 = 0.5;
/// Shingles that the smaller text has at least, where the pair is the same by containment: a short text is in a longer one
/// by chance, or as a common phrase.
pub const CONTAINED_SHINGLES: usize = 60;
/// Share of an evaluation text's long shingles in one training row from which on it has leaked.
pub const LEAK_CONTAINED: f32 = 0.8;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// All fields but the system's.
    Row,
    /// What is asked, whatever the answer. Rows without an instruction are compared as a whole.
    Instruction,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub key: Key,
    /// Similarity from which on two rows are near duplicates, from 0.5 (below it bands find too few pairs) to 1.
    pub jaccard: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { key: Key::Row, jaccard: 0.7 }
    }
}

/// A row's place; rows are ordered by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowId {
    pub file: u32,
    pub line: u64,
}

/// What a row belongs to: rows are duplicates within a set, and leaks between training and evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SetId(pub u16);

impl SetId {
    pub const TRAIN: Self = Self(0);

    pub fn is_train(self) -> bool {
        self == Self::TRAIN
    }
}

/// One of several processes that scan a data set together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    pub count: u32,
}

impl Shard {
    pub const ONLY: Self = Self { index: 0, count: 1 };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Exact,
    Normalised,
    Near,
    Template,
}

/// Rows that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// From 1, in the order of the groups' first rows.
    pub id: u64,
    /// The loosest kind of its removed rows; `template` if none is removed.
    pub kind: Kind,
    pub set: SetId,
    /// In order; at least two.
    pub members: Vec<Member>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub row: RowId,
    /// How it is the same as `like`. Of a kept row, the loosest kind of those removed for it; `template` if none is, and
    /// the row is in the group for its likeness alone.
    pub kind: Kind,
    pub keep: bool,
    /// The kept row it is most like; of a kept row, itself.
    pub like: RowId,
    /// Jaccard similarity to `like`.
    pub similarity: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakKind {
    Exact,
    Near,
    /// Most of the evaluation text's long shingles are in the training row.
    Contained,
}

/// An evaluation row that training would see.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leak {
    pub kind: LeakKind,
    /// Whether the whole rows are alike or what they ask.
    pub by: Key,
    pub set: SetId,
    pub eval: RowId,
    pub train: RowId,
    /// Jaccard similarity, or containment for [`LeakKind::Contained`].
    pub score: f32,
}

/// Numbers for the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub settings: Settings,
    pub contained: f32,
    pub contained_jaccard: f32,
    pub contained_shingles: usize,
    /// Letters of a shingle; an ideograph counts as two.
    pub shingle_units: u32,
    pub bands: usize,
    pub rows_per_band: usize,
    /// Chance that a pair at the threshold is compared.
    pub recall_at_threshold: f64,
    pub rows: u64,
    /// Rows without text, which are in no group.
    pub empty: u64,
    pub exact: Count,
    pub normalised: Count,
    pub near: Count,
    pub template: Count,
    /// Rows of all sets that cleaning removes.
    pub removed: u64,
    pub leaked: Leaked,
    pub shared: Shared,
    pub limits: Limits,
}

/// Groups of a kind, and rows in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub groups: u64,
    pub rows: u64,
}

/// Evaluation rows by their strongest leak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaked {
    pub exact: u64,
    pub near: u64,
    pub contained: u64,
}

/// Where a limit was reached; all zero means that nothing was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bands' buckets too large for comparing all of their pairs: rows were compared with the bucket's leaders and with
    /// those that look most like them.
    pub buckets_cut: u64,
    /// Rows compared in vain so often that they were not compared any more.
    pub rows_given_up: u64,
    /// Rows of very large groups that were kept because they were too many to be compared with all kept rows.
    pub rows_kept_unseen: u64,
    /// Evaluation rows of which no long shingle is rare enough to look for.
    pub eval_rows_too_common: u64,
    /// Evaluation rows with more training rows alike than are listed.
    pub eval_rows_listed_in_part: u64,
}

/// What [`find`] finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    pub summary: Summary,
    pub groups: Vec<Group>,
    /// In the order of evaluation rows, the strongest first for each.
    pub leaks: Vec<Leak>,
}

#[derive(Debug, thiserror::Error)]
pub enum NearError {
    #[error("{}: cannot {op}: {source}", path.display())]
    Io { op: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{}: {got}; expected a whole spool of near duplicates", path.display())]
    Damaged { path: PathBuf, got: String },
    #[error("{}: made with other settings ({got}) than the first shard ({expected})", path.display())]
    Settings { path: PathBuf, expected: String, got: String },
    #[error("a similarity of {got} as threshold of near duplicates; expected 0.5 to 1")]
    Threshold { got: f32 },
    #[error("more than {} rows to compare", u32::MAX)]
    TooManyRows,
    #[error("interrupted while looking for duplicates")]
    Interrupted,
}

impl NearError {
    fn io(op: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { op, path: path.to_owned(), source }
    }
}

/// Asked again and again while working: true to stop.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// Groups and leaks among all rows of the shards, which may come in any order.
pub fn find(spools: &[Spool], stop: Stop) -> Result<Found, NearError> {
    let settings = spool::agreed_settings(spools)?;
    let table = table::Table::load(spools, stop)?;
    let texts = spool::Texts::open(spools)?;
    let classes = classes::classes(&table);
    let mut limits = Limits::default();
    let mut links = pairs::link(&table, &texts, &classes, spools, settings, &mut limits, stop)?;
    let groups = groups::groups(&table, &texts, &classes, &mut links, settings, &mut limits, stop)?;
    let leaks = leaks::leaks(&table, &texts, settings, &mut limits, stop)?;
    let shared = shared::shared(&table, spools, stop)?;
    Ok(Found { summary: summary(settings, &table, &groups, &leaks, shared, limits), groups, leaks })
}

fn summary(
    settings: Settings,
    table: &table::Table,
    groups: &[Group],
    leaks: &[Leak],
    shared: Shared,
    limits: Limits,
) -> Summary {
    let count = |kind| {
        let of_kind = groups.iter().filter(|g| g.kind == kind);
        of_kind.fold(Count::default(), |c, g| Count { groups: c.groups + 1, rows: c.rows + g.members.len() as u64 })
    };
    let mut leaked = Leaked::default();
    for of_row in leaks.chunk_by(|a, b| a.eval == b.eval) {
        match of_row[0].kind {
            LeakKind::Exact => leaked.exact += 1,
            LeakKind::Near => leaked.near += 1,
            LeakKind::Contained => leaked.contained += 1,
        }
    }
    Summary {
        settings,
        contained: CONTAINED,
        contained_jaccard: CONTAINED_JACCARD,
        contained_shingles: CONTAINED_SHINGLES,
        shingle_units: measures::near::SHINGLE_UNITS,
        bands: measures::near::BANDS,
        rows_per_band: measures::near::ROWS_PER_BAND,
        recall_at_threshold: measures::near::chance(f64::from(settings.jaccard)),
        rows: table.len() as u64,
        empty: table.rows().filter(|&r| table.entry(r).is_empty()).count() as u64,
        exact: count(Kind::Exact),
        normalised: count(Kind::Normalised),
        near: count(Kind::Near),
        template: count(Kind::Template),
        removed: groups.iter().flat_map(|g| &g.members).filter(|m| !m.keep).count() as u64,
        leaked,
        shared,
        limits,
    }
}
