//! From units of an epoch to the forward passes of one optimiser step.
//!
//! A step takes the next `batch` units of the epoch; the last step of an epoch takes what is left (Trainer with
//! `dataloader_drop_last=False`), and the next step begins the next epoch. Which units those are is a function of
//! (data, plan, [`Cursor`]) alone.

use crate::{RunLength, TrainError};
use data::{Dataset, Epoch, Example, Leg, LengthPlan, Origin};
use model::IGNORE;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The next unit to train on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub epoch: u64,
    pub unit: u64,
}

/// A stretch of one example: its own attention block, with its own positions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Segment {
    pub ids: Vec<u32>,
    /// The token that each position must predict, or [`IGNORE`].
    pub targets: Vec<i32>,
    pub origin: Origin,
    /// Which of several sums its loss is also part of, such as its task's.
    pub label: Option<usize>,
}

impl Segment {
    /// Tokens `range` of `example`. The first of them has nothing before it in this block, so that it is never a
    /// target: transformers counts `labels[:, 1:]`.
    pub fn cut(example: &Example, range: Range<usize>) -> Segment {
        let ids = example.ids[range.clone()].to_vec();
        let supervised = &example.supervised[range];
        let mut targets = vec![IGNORE; ids.len()];
        for t in 1..ids.len() {
            if supervised[t] {
                targets[t - 1] = ids[t] as i32;
            }
        }
        Segment { ids, targets, origin: example.origin.clone(), label: None }
    }

    pub fn labelled(self, label: Option<usize>) -> Segment {
        Segment { label, ..self }
    }
}

/// One forward pass: segments one after another.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pass {
    /// [T]
    pub ids: Vec<u32>,
    /// [T]
    pub targets: Vec<i32>,
    /// [segments + 1]
    pub cu: Vec<usize>,
    /// [segments]
    pub labels: Vec<Option<usize>>,
}

/// The losses of those segments that have one label.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct LabelSum {
    /// Nats.
    pub loss: f64,
    pub targets: u64,
}

impl LabelSum {
    /// Nats per supervised token; None without one.
    pub fn mean(&self) -> Option<f64> {
        (self.targets > 0).then(|| self.loss / self.targets as f64)
    }
}

impl Pass {
    pub fn batch(&self) -> model::Batch<'_> {
        model::Batch { ids: &self.ids, targets: &self.targets, cu: &self.cu }
    }

    /// Adds the losses of the pass's targets, which are in order of position, to the sums of their segments' labels.
    pub fn add_by_label(&self, losses: &[f32], sums: &mut [LabelSum]) {
        let mut rest = losses;
        for (bounds, label) in self.cu.windows(2).zip(&self.labels) {
            let targets = count_targets(&self.targets[bounds[0]..bounds[1]]);
            let (own, others) = rest.split_at((targets as usize).min(rest.len()));
            rest = others;
            if let Some(sum) = label.and_then(|label| sums.get_mut(label)) {
                sum.loss += own.iter().map(|l| f64::from(*l)).sum::<f64>();
                sum.targets += targets;
            }
        }
    }

    fn push(&mut self, segment: &Segment) {
        if self.cu.is_empty() {
            self.cu.push(0);
        }
        self.ids.extend_from_slice(&segment.ids);
        self.targets.extend_from_slice(&segment.targets);
        self.cu.push(self.ids.len());
        self.labels.push(segment.label);
    }
}

/// Cuts segments, in their order, into passes of at most `tokens_max` tokens; a longer segment is a pass of its own
/// (`limits` has seen to it that there is none). The cut depends on nothing else, so that a step's sums always have
/// one order.
pub(crate) fn passes(segments: &[Segment], tokens_max: usize) -> Vec<Pass> {
    let mut out: Vec<Pass> = Vec::new();
    for segment in segments.iter().filter(|s| !s.ids.is_empty()) {
        match out.last_mut() {
            Some(pass) if pass.ids.len() + segment.ids.len() <= tokens_max => pass.push(segment),
            _ => {
                let mut pass = Pass::default();
                pass.push(segment);
                out.push(pass);
            }
        }
    }
    out
}

pub(crate) fn count_targets(targets: &[i32]) -> u64 {
    targets.iter().filter(|t| **t != IGNORE).count() as u64
}

/// Where steps get their segments: the batch at a cursor and the cursor after it, along the legs of a replay whose rows are
/// chosen under way. A pure function to its callers; `FnMut` because it keeps the current epoch's order.
pub(crate) type Feed<'a> = dyn FnMut(Cursor, &[Leg]) -> Result<(Vec<Segment>, Cursor), TrainError> + 'a;

/// The feed of a prepared dataset.
pub(crate) fn feed<'a>(
    data: &'a Dataset,
    lengths: &'a LengthPlan,
    seed: u64,
    batch: usize,
) -> impl FnMut(Cursor, &[Leg]) -> Result<(Vec<Segment>, Cursor), TrainError> + 'a {
    let mut held: Option<(Vec<Leg>, Epoch<'a>)> = None;
    move |mut cursor, legs| {
        loop {
            let epoch = match held.take() {
                Some((old, epoch)) if old == legs && epoch.number() == cursor.epoch => epoch,
                Some((old, epoch)) if old == legs && epoch.number() + 1 == cursor.epoch => epoch.following(legs),
                _ => Epoch::along(data, lengths, seed, cursor.epoch, legs)?,
            };
            let (_, epoch) = held.insert((legs.to_vec(), epoch));
            if epoch.is_empty() {
                return Err(TrainError::NoExamples {
                    what: "training",
                    rows: data.len() as u64,
                    aside: Default::default(),
                });
            }
            if cursor.unit as usize >= epoch.len() {
                cursor = Cursor { epoch: cursor.epoch + 1, unit: 0 };
                continue;
            }
            let first = cursor.unit as usize;
            let last = first.saturating_add(batch).min(epoch.len());
            let mut segments = Vec::new();
            for unit in first..last {
                for piece in epoch.unit(unit)? {
                    let segment = Segment::cut(&data.example(piece.example)?, piece.tokens);
                    segments.push(segment.labelled(data.task_of(piece.example)));
                }
            }
            return Ok((segments, Cursor { epoch: cursor.epoch, unit: last as u64 }));
        }
    }
}

/// Optimizer steps of a run: as given, or ⌈epochs · steps of an epoch⌉. With packing and in mixtures, epochs differ in their
/// number of rows, so that each whole epoch is counted for itself; where a replay's rows are chosen under way, as if all of
/// them stayed.
pub(crate) fn steps_total(length: RunLength, data: &Dataset, lengths: &LengthPlan, seed: u64, batch: usize) -> u64 {
    let epochs = match length {
        RunLength::Steps(n) => return n,
        RunLength::Epochs(epochs) => epochs,
    };
    let mut epoch = Epoch::new(data, lengths, seed, 0);
    let mut steps = 0;
    loop {
        let of_epoch = epoch.len().div_ceil(batch) as u64;
        let left = epochs - epoch.number() as f64;
        if left <= 1.0 {
            return steps + (left.max(0.0) * of_epoch as f64).ceil() as u64;
        }
        steps += of_epoch;
        epoch = epoch.following(&[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(ids: &[u32], supervised: &[bool]) -> Example {
        Example {
            ids: ids.to_vec(),
            supervised: supervised.to_vec(),
            origin: Origin { file: "a.jsonl".into(), line: 1 },
        }
    }

    #[test]
    fn targets_are_shifted_and_the_first_token_never_counts() {
        let e = example(&[7, 8, 9, 10], &[true, false, true, true]);
        assert_eq!(Segment::cut(&e, 0..4).targets, [IGNORE, 9, 10, IGNORE]);
        // A piece that starts inside the example: its first token has no context left.
        assert_eq!(Segment::cut(&e, 2..4).targets, [10, IGNORE]);
        assert_eq!(count_targets(&Segment::cut(&e, 0..4).targets), 2);
    }

    #[test]
    fn passes_keep_the_order_and_the_limit() {
        let segments: Vec<Segment> =
            [3, 2, 4, 1, 9].iter().map(|n| Segment::cut(&example(&vec![5; *n], &vec![true; *n]), 0..*n)).collect();
        let cut = passes(&segments, 5);
        assert_eq!(cut.iter().map(|p| p.cu.clone()).collect::<Vec<_>>(), [vec![0, 3, 5], vec![0, 4, 5], vec![0, 9]]);
        assert!(cut.iter().all(|p| p.ids.len() == p.targets.len()));
    }
}
