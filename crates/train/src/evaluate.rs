//! Losses of sets of examples, one weight per supervised token.

use crate::TrainError;
use crate::batch::{LabelSum, Segment, count_targets, passes};
use crate::unseen::Spread;
use data::Dataset;
use model::Engine;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a set is cut into forward passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EvalLimits {
    /// Most tokens in one pass.
    pub tokens_max: usize,
    /// An example longer than this is read in stretches of it, as packing reads it in training.
    pub seq_len_max: usize,
}

/// What is read.
#[derive(Clone, Copy)]
pub(crate) enum Set<'a> {
    /// Every example, with sums by task.
    Whole(&'a Dataset),
    /// These examples, with a sum for each.
    Rows(&'a Dataset, &'a [u32]),
}

pub(crate) enum Validation {
    Losses {
        /// Nats per supervised token over the whole set.
        loss: f64,
        /// [tasks] or [rows]
        by_label: Vec<LabelSum>,
        /// Of each example's nats per supervised token.
        spread: Spread,
    },
    /// The stop flag was raised before the end: nothing is known.
    Stopped,
    /// NaN or infinity, and the rows of the pass that gave it.
    Bad { value: f64, segments: Vec<Segment> },
}

impl<'a> Set<'a> {
    fn data(&self) -> &'a Dataset {
        match self {
            Set::Whole(data) | Set::Rows(data, _) => data,
        }
    }

    fn len(&self) -> usize {
        match self {
            Set::Whole(data) => data.len(),
            Set::Rows(_, rows) => rows.len(),
        }
    }

    fn labels(&self) -> usize {
        match self {
            Set::Whole(data) => data.tasks().len(),
            Set::Rows(_, rows) => rows.len(),
        }
    }

    /// The example at a place of the set, and which sum is its.
    fn at(&self, place: usize) -> (usize, Option<usize>) {
        match self {
            Set::Whole(data) => (place, data.task_of(place)),
            Set::Rows(_, rows) => (rows[place] as usize, Some(place)),
        }
    }
}

/// Every example of the set once, without dropout.
pub(crate) fn validate(
    engine: &mut Engine,
    set: Set,
    limits: EvalLimits,
    stop: &AtomicBool,
) -> Result<Validation, TrainError> {
    let data = set.data();
    let (mut sum, mut count, mut spread) = (0.0f64, 0u64, Spread::default());
    let mut by_label = vec![LabelSum::default(); set.labels()];
    let mut next = 0;
    while next < set.len() {
        let mut segments = Vec::new();
        // Which sum each of these examples is also part of.
        let mut labels = Vec::new();
        let mut tokens = 0;
        while next < set.len() {
            let (index, label) = set.at(next);
            if tokens > 0 && tokens + data.token_len(index) > limits.tokens_max {
                break;
            }
            let example = data.example(index)?;
            tokens += example.ids.len();
            for start in (0..example.ids.len()).step_by(limits.seq_len_max) {
                let end = example.ids.len().min(start + limits.seq_len_max);
                segments.push(Segment::cut(&example, start..end).labelled(Some(labels.len())));
            }
            labels.push(label);
            next += 1;
        }
        let mut by_example = vec![LabelSum::default(); labels.len()];
        for pass in passes(&segments, limits.tokens_max) {
            if stop.load(Ordering::Relaxed) {
                return Ok(Validation::Stopped);
            }
            let targets = count_targets(&pass.targets);
            if targets == 0 {
                continue;
            }
            let each = engine.losses(pass.batch())?;
            let losses: f64 = each.iter().map(|l| f64::from(*l)).sum();
            if !losses.is_finite() {
                return Ok(Validation::Bad { value: losses, segments });
            }
            pass.add_by_label(&each, &mut by_example);
            sum += losses;
            count += targets;
        }
        for (example, label) in by_example.iter().zip(labels) {
            example.mean().into_iter().for_each(|mean| spread.add(mean));
            if let Some(sum) = label.and_then(|label| by_label.get_mut(label)) {
                sum.loss += example.loss;
                sum.targets += example.targets;
            }
        }
    }
    if count == 0 {
        return Err(TrainError::NoExamples {
            what: "supervised validation",
            rows: set.len() as u64,
            aside: Default::default(),
        });
    }
    Ok(Validation::Losses { loss: sum / count as f64, by_label, spread })
}
