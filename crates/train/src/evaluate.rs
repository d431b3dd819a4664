//! The validation loss: every example of the set, one weight per supervised token.

use crate::TrainError;
use crate::batch::{Segment, count_targets, passes};
use data::Dataset;
use model::Engine;
use std::sync::atomic::{AtomicBool, Ordering};

/// How validation cuts its set into forward passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EvalLimits {
    /// Most tokens in one pass.
    pub tokens_max: usize,
    /// An example longer than this is read in stretches of it, as packing reads it in training.
    pub seq_len_max: usize,
}

pub(crate) enum Validation {
    /// Nats per supervised token over the whole set.
    Loss(f64),
    /// The stop flag was raised before the end: nothing is known.
    Stopped,
    /// NaN or infinity, and the rows of the pass that gave it.
    Bad { value: f64, segments: Vec<Segment> },
}

/// Every example of `valid` once, without dropout.
pub(crate) fn validate(
    engine: &mut Engine,
    valid: &Dataset,
    limits: EvalLimits,
    stop: &AtomicBool,
) -> Result<Validation, TrainError> {
    let (mut sum, mut count) = (0.0f64, 0u64);
    let mut next = 0;
    while next < valid.len() {
        let mut segments = Vec::new();
        let mut tokens = 0;
        while next < valid.len() && (tokens == 0 || tokens + valid.token_len(next) <= limits.tokens_max) {
            let example = valid.example(next)?;
            tokens += example.ids.len();
            let starts = (0..example.ids.len()).step_by(limits.seq_len_max);
            segments.extend(starts.map(|s| Segment::cut(&example, s..example.ids.len().min(s + limits.seq_len_max))));
            next += 1;
        }
        for pass in passes(&segments, limits.tokens_max) {
            if stop.load(Ordering::Relaxed) {
                return Ok(Validation::Stopped);
            }
            let targets = count_targets(&pass.targets);
            if targets == 0 {
                continue;
            }
            let losses: f64 = engine.losses(pass.batch())?.iter().map(|l| f64::from(*l)).sum();
            if !losses.is_finite() {
                return Ok(Validation::Bad { value: losses, segments });
            }
            sum += losses;
            count += targets;
        }
    }
    if count == 0 {
        return Err(TrainError::NoExamples {
            what: "supervised validation",
            rows: valid.len() as u64,
            aside: Default::default(),
        });
    }
    Ok(Validation::Loss(sum / count as f64))
}
