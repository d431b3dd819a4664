//! The passes over all shards.

use super::report::Report;
use super::sketch::Mark;
use super::spool::{Kept, KeptPair, Shard};
use super::{Error, groups, templates, triggers};
use measures::quality::prints::Print;
use std::path::PathBuf;

/// Compares the rows of all shards in `folders`. `stopped` is asked every few thousand rows and ends the work.
///
/// # Errors
/// A folder without a closed shard, a shard given twice, a file that is cut, an interruption.
pub fn finish(folders: &[PathBuf], stopped: &dyn Fn() -> bool) -> Result<Report, Error> {
    let walk = Walk { shards: Shard::open(folders)?, stopped };
    let grouped = groups::find(&walk)?;
    let triggers = triggers::find(&walk, &grouped)?;
    let templates = templates::find(&walk)?;
    Ok(Report {
        rows: walk.rows(),
        pairs: grouped.pairs,
        answers: grouped.answers,
        set: grouped.set,
        frequent: grouped.frequent,
        same_question: grouped.same_question,
        same_answer: grouped.same_answer,
        constant_answer: grouped.constant_answer,
        triggers,
        templates,
    })
}

/// All shards, to be read again and again.
pub(super) struct Walk<'a> {
    shards: Vec<Shard>,
    stopped: &'a dyn Fn() -> bool,
}

/// A row's question, token by token.
pub(super) struct Asked<'a> {
    pub shard: &'a Shard,
    pub row: &'a Kept,
    pub pair: &'a KeptPair,
    pub marks: &'a [Mark],
    pub echo: &'a [u32],
}

const ROWS_UNASKED: u64 = 4096;

impl Walk<'_> {
    pub fn rows(&self) -> u64 {
        self.shards.iter().map(|shard| shard.rows).sum()
    }

    pub fn each_pair(&self, mut each: impl FnMut(&Kept, &KeptPair)) -> Result<(), Error> {
        self.each(
            |_| Ok(()),
            |_, (), row| {
                if let Some(pair) = &row.pair {
                    each(row, pair);
                }
                Ok(())
            },
        )
    }

    pub fn each_question(&self, mut each: impl FnMut(Asked)) -> Result<(), Error> {
        let (mut marks, mut echo) = (Vec::new(), Vec::new());
        self.each(Shard::tokens, |shard, tokens, row| {
            if let Some(pair) = &row.pair {
                tokens.marks(pair.tokens, &mut marks)?;
                tokens.hashes(pair.echo, &mut echo)?;
                each(Asked { shard, row, pair, marks: &marks, echo: &echo });
            }
            Ok(())
        })
    }

    pub fn each_prints(&self, mut each: impl FnMut(&Shard, &Kept, &[(u8, Print)])) -> Result<(), Error> {
        let mut prints = Vec::new();
        self.each(Shard::prints, |shard, file, row| {
            file.prints(row.prints, &mut prints)?;
            each(shard, row, &prints);
            Ok(())
        })
    }

    /// Every row, beside a second file of its shard.
    fn each<T>(
        &self,
        open: impl Fn(&Shard) -> Result<T, Error>,
        mut each: impl FnMut(&Shard, &mut T, &Kept) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut seen = 0;
        for shard in &self.shards {
            let mut beside = open(shard)?;
            let mut rows = shard.open_rows()?;
            for _ in 0..shard.rows {
                if seen % ROWS_UNASKED == 0 && (self.stopped)() {
                    return Err(Error::Interrupted);
                }
                seen += 1;
                each(shard, &mut beside, &rows.row()?)?;
            }
        }
        Ok(())
    }
}
