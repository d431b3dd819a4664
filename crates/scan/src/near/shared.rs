//! How much of each row is in other rows of its set, word for word.
//!
//! Counted on long shingles, of which those are taken whose hash falls below a bound: the same ones in every row, so that a
//! sixteenth of the work gives the same shares. Rows are counted by how much of theirs is shared; a row with none of the
//! sample is not counted.

use super::spool::Spool;
use super::table::{Nr, Table};
use super::{NearError, Stop};
use measures::near::{LONG_UNITS, long_shingles};
use serde::{Deserialize, Serialize};

/// One in so many long shingles is looked at.
pub const SAMPLED_ONE_IN: u64 = 16;
/// Shingles sorted at a time: 128 MB.
const PASS: usize = 1 << 23;
/// Tenths: none shared, up to a tenth, …, more than nine tenths.
const BARS: usize = 11;

/// What rows share with other rows of their set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// Letters of a long shingle; an ideograph counts as two.
    pub shingle_units: u32,
    pub sampled_one_in: u64,
    /// Shingles looked at, each once a row, and how many of them are in another row, too.
    pub shingles: u64,
    pub shared: u64,
    /// Rows by their share: none, up to a tenth, up to two tenths, …, above nine tenths.
    pub rows_by_tenths: [u64; BARS],
}

/// The distinct sampled shingles of a text.
pub(super) fn sample(normal: &str) -> Vec<u64> {
    let mut hashes = Vec::new();
    long_shingles(normal, &mut hashes);
    hashes.retain(|&hash| hash < u64::MAX / SAMPLED_ONE_IN);
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

pub(super) fn shared(table: &Table, spools: &[Spool], stop: Stop) -> Result<Shared, NearError> {
    // Of each row: shingles looked at, and shared ones.
    let mut rows = vec![(0u32, 0u32); table.len()];
    let all: u64 = spools.iter().map(Spool::samples).sum();
    let passes = all.div_ceil(PASS as u64).max(1);
    let mut found: Vec<(u64, Nr)> = Vec::new();
    for pass in 0..passes {
        if stop() {
            return Err(NearError::Interrupted);
        }
        found.clear();
        for (shard, spool) in spools.iter().enumerate() {
            let numbers = table.numbers(shard);
            spool.each_sample(|row, hash| {
                // Samples lie below the bound; spread over all 32 bits, their upper half says whose turn it is.
                let turn = ((hash.wrapping_mul(SAMPLED_ONE_IN) >> 32) * passes) >> 32;
                if turn == pass && (row as usize) < numbers.len() {
                    let nr = numbers[row as usize];
                    let set = u64::from(table.entry(nr).set.0);
                    found.push((hash ^ set.wrapping_mul(0x9e37_79b9_7f4a_7c15), nr));
                }
            })?;
        }
        found.sort_unstable();
        for same in found.chunk_by(|a, b| a.0 == b.0) {
            for &(_, nr) in same {
                let (looked_at, shared) = &mut rows[nr as usize];
                *looked_at += 1;
                *shared += u32::from(same.len() > 1);
            }
        }
    }
    let mut sum = Shared { shingle_units: LONG_UNITS, sampled_one_in: SAMPLED_ONE_IN, ..Shared::default() };
    for (looked_at, shared) in rows.into_iter().filter(|row| row.0 > 0) {
        sum.shingles += u64::from(looked_at);
        sum.shared += u64::from(shared);
        sum.rows_by_tenths[(u64::from(shared) * 10).div_ceil(u64::from(looked_at)) as usize] += 1;
    }
    Ok(sum)
}
