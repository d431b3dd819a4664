//! How examples share rows. The three strategies are those of TRL 1.16 (`trl/data_utils.py`, `pack_dataset`), and the
//! fixtures in `fixtures/text/trl.json` hold them to it row by row.

use crate::order::{Permutation, Purpose};
use crate::{DataError, Dataset, LengthPlan, Packing};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

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

/// The units (see [`Packing`]) of one epoch in shuffled order: a pure function of (dataset, packing, seed, epoch).
///
/// With `Examples`, a unit is looked up in O(1). Otherwise the shuffled order is packed in windows of [`PACK_WINDOW`] examples:
/// eight bytes a window and one packed window are held. Inside a window the rows are shuffled again, because best-fit
/// decreasing would serve the long examples first.
pub struct Epoch<'a> {
    data: &'a Dataset,
    lengths: LengthPlan,
    seed: u64,
    epoch: u64,
    order: Permutation,
    /// Units before each window, then their total. Empty with `Packing::Examples`.
    units_before: Vec<usize>,
    last: Mutex<Option<Window>>,
}

/// One packed window, held because units are mostly asked for in order.
struct Window {
    number: usize,
    units: Arc<Vec<Vec<Piece>>>,
}

impl<'a> Epoch<'a> {
    /// For the packed strategies this packs every window once to know their sizes: O(n) time on the lengths in memory.
    pub fn new(data: &'a Dataset, lengths: &LengthPlan, seed: u64, epoch: u64) -> Self {
        let order = Permutation::new(data.len() as u64, seed, epoch, Purpose::Shuffle);
        let mut this =
            Self { data, lengths: *lengths, seed, epoch, order, units_before: Vec::new(), last: Mutex::new(None) };
        if lengths.packing != Packing::Examples {
            let mut total = 0;
            this.units_before.push(0);
            for window in 0..data.len().div_ceil(PACK_WINDOW) {
                total += this.packed(window).len();
                this.units_before.push(total);
            }
        }
        this
    }

    /// Units in this epoch (for `Examples`, the number of examples).
    pub fn len(&self) -> usize {
        self.units_before.last().copied().unwrap_or(self.data.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The unit at place `index` of the epoch.
    ///
    /// # Errors
    /// `OutOfRange` when `index` is not below `len()`.
    pub fn unit(&self, index: usize) -> Result<Vec<Piece>, DataError> {
        if index >= self.len() {
            return Err(DataError::OutOfRange { what: "unit", index, len: self.len() });
        }
        if self.lengths.packing == Packing::Examples {
            let example = self.order.at(index as u64) as usize;
            return Ok(vec![Piece { example, tokens: 0..self.data.token_len(example) }]);
        }
        let window = self.units_before.partition_point(|&before| before <= index) - 1;
        let units = self.window(window);
        let (first, len) = (self.units_before[window], units.len());
        let place = Permutation::new(len as u64, self.seed, self.epoch, Purpose::Window(window as u64))
            .at((index - first) as u64);
        Ok(units[place as usize].clone())
    }

    fn window(&self, number: usize) -> Arc<Vec<Vec<Piece>>> {
        // A poisoned lock holds a complete window or none: the value is only ever replaced whole.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(held) if held.number == number => held.units.clone(),
            _ => {
                let units = Arc::new(self.packed(number));
                *last = Some(Window { number, units: units.clone() });
                units
            }
        }
    }

    fn packed(&self, window: usize) -> Vec<Vec<Piece>> {
        let start = window * PACK_WINDOW;
        let end = self.data.len().min(start + PACK_WINDOW);
        let examples: Vec<usize> = (start..end).map(|i| self.order.at(i as u64) as usize).collect();
        let lengths: Vec<usize> = examples.iter().map(|&e| self.data.token_len(e)).collect();
        let mut units = pack(&lengths, self.lengths.seq_len_max, self.lengths.packing);
        for piece in units.iter_mut().flatten() {
            piece.example = examples[piece.example];
        }
        units
    }
}
