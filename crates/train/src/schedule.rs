//! The learning rate as a function of the step, and the length of warm-up: as transformers' `get_scheduler` has them
//! (optimization.py), in f64.

use crate::{Schedule, Warmup};
use std::f64::consts::PI;

/// The learning rate of optimiser step `step` (from 1) of `steps`: `peak · λ(step − 1)`, so that with warm-up the
/// first step's rate is 0 (its gradients still enter the moments).
pub fn learning_rate(schedule: Schedule, warmup: Warmup, peak: f64, step: u64, steps: u64) -> f64 {
    let warmup = warmup_steps(warmup, steps);
    let done = step.saturating_sub(1);
    if done < warmup {
        return peak * (done as f64 / warmup as f64);
    }
    let rest = steps.saturating_sub(warmup).max(1) as f64;
    let factor = match schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => (steps.saturating_sub(done) as f64 / rest).max(0.0),
        Schedule::Cosine => (0.5 * (1.0 + (PI * ((done - warmup) as f64 / rest)).cos())).max(0.0),
    };
    peak * factor
}

pub fn warmup_steps(warmup: Warmup, steps: u64) -> u64 {
    match warmup {
        Warmup::Steps(n) => n,
        Warmup::Ratio(r) => (steps as f64 * r).ceil() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schedule: Schedule, warmup: Warmup, steps: u64, expect: &[f64]) {
        for (i, want) in expect.iter().enumerate() {
            let got = learning_rate(schedule, warmup, 1.0, i as u64 + 1, steps);
            assert!((got - want).abs() < 1e-12, "{schedule:?} step {}: {got}, expected {want}", i + 1);
        }
    }

    #[test]
    fn shapes() {
        check(Schedule::Constant, Warmup::Steps(0), 3, &[1.0, 1.0, 1.0]);
        check(Schedule::Constant, Warmup::Steps(2), 4, &[0.0, 0.5, 1.0, 1.0]);
        check(Schedule::Linear, Warmup::Steps(0), 4, &[1.0, 0.75, 0.5, 0.25]);
        check(Schedule::Linear, Warmup::Ratio(0.3), 5, &[0.0, 0.5, 1.0, 2.0 / 3.0, 1.0 / 3.0]);
        check(Schedule::Cosine, Warmup::Steps(0), 2, &[1.0, 0.5]);
        check(Schedule::Cosine, Warmup::Steps(1), 3, &[0.0, 1.0, 0.5]);
    }

    #[test]
    fn a_warmup_longer_than_the_run_never_peaks() {
        check(Schedule::Linear, Warmup::Steps(10), 3, &[0.0, 0.1, 0.2]);
    }
}
