//! Replay of what is forgotten most: the rows whose loss has risen most since before the first step.
//!
//! The rows that may be replayed are measured before the first step, under the base, and again at each validation. The half
//! that has risen most is what is replayed from then on: at once, or with packing from the next window on. What was measured
//! and chosen is part of the checkpoint, so that a resumed run rehearses the same.

use crate::TrainError;
use crate::batch::{Cursor, LabelSum};
use data::{Choice, Choose, DataPlan, Dataset, Epoch, Leg, LengthPlan};
use serde::{Deserialize, Serialize};

/// The rows, and the order that they are drawn in.
pub(crate) struct Rehearsal<'a> {
    pub data: &'a Dataset,
    pub rows: Vec<u32>,
    lengths: LengthPlan,
    seed: u64,
}

/// What a checkpoint knows of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forgotten {
    /// Of each row, nats per supervised token before the first step.
    before: Vec<f64>,
    choices: u64,
    /// From where on which rows are drawn: the last that has begun, and those that are still to come.
    pub legs: Vec<Leg>,
}

impl<'a> Rehearsal<'a> {
    /// None where the plan chooses its replay once and for all.
    pub fn of(plan: &DataPlan, data: &'a Dataset, seed: u64) -> Option<Rehearsal<'a>> {
        plan.replay.as_ref().filter(|replay| replay.choose == Choose::Forgotten)?;
        let rows = data.mixture()?.replay_rows().map(|row| row as u32).collect();
        Some(Rehearsal { data, rows, lengths: plan.lengths, seed })
    }

    /// What is known before the first step.
    pub fn begin(&self, losses: &[LabelSum]) -> Forgotten {
        let legs = self.data.mixture().map(Leg::start).into_iter().collect();
        Forgotten { before: means(losses), choices: 0, legs }
    }

    /// What is replayed after `cursor`, and by how many nats per supervised token a row's loss has risen on average.
    pub fn choose(
        &self,
        known: &Forgotten,
        losses: &[LabelSum],
        cursor: Cursor,
    ) -> Result<(Forgotten, f64), TrainError> {
        let rises: Vec<f64> = means(losses).iter().zip(&known.before).map(|(now, before)| now - before).collect();
        let mut order: Vec<usize> = (0..rises.len()).collect();
        // Of equal rises, the first rows.
        order.sort_by(|a, b| rises[*b].total_cmp(&rises[*a]).then(a.cmp(b)));
        order.truncate(rises.len().div_ceil(2));
        let mut rows: Vec<u32> = order.iter().map(|i| self.rows[*i]).collect();
        rows.sort_unstable();
        let choice = Choice { number: known.choices + 1, rows };
        let epoch = Epoch::along(self.data, &self.lengths, self.seed, cursor.epoch, &known.legs)?;
        let next = epoch.leg(cursor.unit as usize, choice);
        let place = |leg: &Leg| (leg.epoch, leg.unit);
        let begun = known.legs.iter().rposition(|leg| place(leg) <= (cursor.epoch, cursor.unit)).unwrap_or(0);
        let before = |leg: &&Leg| next.as_ref().is_none_or(|next| place(leg) < place(next));
        let legs = known.legs[begun..].iter().filter(before).cloned().chain(next.clone()).collect();
        let mean = rises.iter().sum::<f64>() / rises.len().max(1) as f64;
        Ok((Forgotten { before: known.before.clone(), choices: known.choices + 1, legs }, mean))
    }
}

/// A row without a target, which packing alone can make, has not changed.
fn means(losses: &[LabelSum]) -> Vec<f64> {
    losses.iter().map(|sum| sum.mean().unwrap_or(0.0)).collect()
}
