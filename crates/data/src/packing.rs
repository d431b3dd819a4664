//! How examples share rows. The three strategies are those of TRL 1.16 (`trl/data_utils.py`, `pack_dataset`), and the
//! fixtures in `fixtures/text/trl.json` hold them to it row by row.

use crate::Packing;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// Examples packed together at a time: what TRL sees in one call, since `datasets.map` hands it 1000 rows.
pub const PACK_WINDOW: usize = 1000;

/// A range of one example's tokens, as part of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub example: usize,
    pub tokens: Range<usize>,
}

/// Packs examples, given by their lengths in tokens, into rows of at most `seq_len_max` tokens. Pieces name examples by their
/// place in `lengths`.
///
/// - `Examples`: one row an example, uncut.
/// - `Bfd`: best-fit decreasing. An example longer than a row is cut to it, as TRL does; `prepare` has already dealt with those
///   by the plan's own policy.
/// - `BfdSplit`: longer examples are first cut into fragments of a full row and a rest, each packed on its own.
/// - `Wrapped`: the concatenation, cut every `seq_len_max` tokens.
pub fn pack(lengths: &[usize], seq_len_max: usize, packing: Packing) -> Vec<Vec<Piece>> {
    let limit = seq_len_max.max(1);
    let whole = lengths.iter().enumerate().filter(|(_, len)| **len > 0);
    match packing {
        Packing::Examples => whole.map(|(example, &len)| vec![Piece { example, tokens: 0..len }]).collect(),
        Packing::Bfd => best_fit_decreasing(
            whole.map(|(example, &len)| Piece { example, tokens: 0..len.min(limit) }).collect(),
            limit,
        ),
        Packing::BfdSplit => {
            best_fit_decreasing(whole.flat_map(|(example, &len)| fragments(example, len, limit)).collect(), limit)
        }
        Packing::Wrapped => wrapped(lengths, limit),
    }
}

/// Consecutive pieces of at most `limit` tokens that together are the example.
pub(crate) fn fragments(example: usize, len: usize, limit: usize) -> impl Iterator<Item = Piece> {
    (0..len).step_by(limit).map(move |start| Piece { example, tokens: start..len.min(start + limit) })
}

/// Longest first (equal lengths keep their order), each into the fullest row that still holds it; of equally full rows, the one
/// that reached that fill first.
fn best_fit_decreasing(mut pieces: Vec<Piece>, limit: usize) -> Vec<Vec<Piece>> {
    pieces.sort_by_key(|p| std::cmp::Reverse(p.tokens.len()));
    let mut rows: Vec<Vec<Piece>> = Vec::new();
    let mut by_space: BTreeMap<usize, VecDeque<usize>> = BTreeMap::new();
    for piece in pieces {
        let len = piece.tokens.len();
        let fit = by_space
            .range_mut(len..)
            .next()
            .and_then(|(&space, queue)| Some((space, queue.pop_front()?, queue.is_empty())));
        let (space, row) = match fit {
            Some((space, row, emptied)) => {
                if emptied {
                    by_space.remove(&space);
                }
                (space, row)
            }
            None => {
                rows.push(Vec::new());
                (limit, rows.len() - 1)
            }
        };
        rows[row].push(piece);
        if space > len {
            by_space.entry(space - len).or_default().push_back(row);
        }
    }
    rows
}

fn wrapped(lengths: &[usize], limit: usize) -> Vec<Vec<Piece>> {
    let mut rows = Vec::new();
    let mut row: Vec<Piece> = Vec::new();
    let mut space = limit;
    for (example, &len) in lengths.iter().enumerate() {
        let mut start = 0;
        while start < len {
            let end = len.min(start + space);
            row.push(Piece { example, tokens: start..end });
            space -= end - start;
            start = end;
            if space == 0 {
                rows.push(std::mem::take(&mut row));
                space = limit;
            }
        }
    }
    if !row.is_empty() {
        rows.push(row);
    }
    rows
}
