//! The search for λ: which one is probed next, as a pure function of those that have been.
//!
//! First none at all (λ = 0), which also tells the scale. Then a ladder in steps of ten until one holds, down as well as up; then
//! halves of the gap below it, on a logarithmic scale, until the largest that does not hold is within a factor of two. The
//! smallest that holds is taken. Every λ has two digits, so that what is printed is what was used.

use serde::{Deserialize, Serialize};

/// From one λ of the ladder to the next.
const RUNG: f64 = 10.0;
/// How near the λ that is taken is to one that does not hold.
const FACTOR: f64 = 2.0;
/// Rungs above the first one, and below it.
const UP_MAX: i32 = 8;
const DOWN_MAX: i32 = 6;
/// Where the run holds by itself, λ is so much smaller than the first rung.
const MILD: f64 = 100.0;
/// However measures come out, there are no more.
const PROBES_MAX: usize = 24;
/// Of a probe, unless the plan says: a quarter of the run, but not fewer and not more than so many.
const STEPS_SHARE: u64 = 4;
const STEPS_MIN: u64 = 20;
const STEPS_MAX: u64 = 50;

/// A probe that is finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    pub lambda: f64,
    /// Nats per supervised token on what is held, after it; None where numbers went bad.
    pub general_loss: Option<f64>,
    /// Of that, from before the first step: 0.02 is 2 % more.
    pub rise: Option<f64>,
    /// Nats per supervised token, over the last quarter of its steps.
    pub train_loss: Option<f64>,
}

impl Tried {
    /// Whether it keeps within `rise`.
    pub fn holds(&self, rise: f64) -> bool {
        self.rise.is_some_and(|risen| risen <= rise)
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    Probe(f64),
    Take(f64),
    /// Not even the largest holds.
    Nothing,
}

/// Steps of a probe of a run of `steps`: as many as the plan says, or a quarter of the run's within 20 and 50; at most the run's.
pub fn probe_steps(typed: Option<u64>, steps: u64) -> u64 {
    typed.unwrap_or((steps / STEPS_SHARE).clamp(STEPS_MIN, STEPS_MAX)).min(steps)
}

/// Goes on from `tried`, in whatever order they were; `first` is the ladder's first rung, known after λ = 0.
pub(crate) fn next(tried: &[Tried], rise: f64, first: f64) -> Next {
    let Some(free) = tried.iter().find(|t| t.lambda == 0.0) else { return Next::Probe(0.0) };
    let held = || tried.iter().filter(|t| t.lambda > 0.0);
    let smallest = held().filter(|t| t.holds(rise)).map(|t| t.lambda).reduce(f64::min);
    if tried.len() >= PROBES_MAX {
        return smallest.map_or(Next::Nothing, Next::Take);
    }
    let Some(holding) = smallest else {
        let most = first * RUNG.powi(UP_MAX);
        return match held().map(|t| t.lambda).reduce(f64::max) {
            None if free.holds(rise) => Next::Probe(two_digits(first / MILD)),
            None => Next::Probe(two_digits(first)),
            Some(largest) if RUNG * largest > most * FACTOR => Next::Nothing,
            Some(largest) => Next::Probe(two_digits(RUNG * largest)),
        };
    };
    let below = tried.iter().map(|t| t.lambda).filter(|lambda| *lambda < holding).reduce(f64::max).unwrap_or_default();
    if below > 0.0 {
        return match holding / below <= FACTOR {
            true => Next::Take(holding),
            false => Next::Probe(two_digits((holding * below).sqrt())),
        };
    }
    let least = first * RUNG.powi(-DOWN_MAX);
    match free.holds(rise) || holding / RUNG < least / FACTOR {
        true => Next::Take(holding),
        false => Next::Probe(two_digits(holding / RUNG)),
    }
}

/// The first rung: where the penalty for how far the weights went without any is as large as what the task gained by it. `gain`
/// is in nats, `penalty` that of λ = 1. 1 where that says nothing.
pub(crate) fn first_rung(gain: f64, penalty: f64) -> f64 {
    let lambda = gain / penalty;
    match lambda.is_finite() && lambda > 0.0 {
        true => 10f64.powi(lambda.log10().round() as i32),
        false => 1.0,
    }
}

/// Rounded, as it is printed.
fn two_digits(lambda: f64) -> f64 {
    format!("{lambda:.1e}").parse().unwrap_or(lambda)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches with a measure; what is taken, and what was probed on the way.
    fn search(rise: f64, first: f64, measure: impl Fn(f64) -> Option<f64>) -> (Option<f64>, Vec<Tried>) {
        let mut tried = Vec::new();
        loop {
            match next(&tried, rise, first) {
                Next::Take(lambda) => return (Some(lambda), tried),
                Next::Nothing => return (None, tried),
                Next::Probe(lambda) => {
                    assert!(tried.iter().all(|t: &Tried| t.lambda != lambda), "{lambda} twice: {tried:?}");
                    let rise = measure(lambda);
                    tried.push(Tried { lambda, general_loss: rise, rise, train_loss: None });
                }
            }
        }
    }

    #[test]
    fn the_smallest_that_holds_is_found_within_a_factor_of_two() {
        for first in [1e-3, 1.0, 1e6] {
            for threshold in (-50..=78).map(|i| first * 10f64.powf(f64::from(i) / 10.0)) {
                let (taken, tried) = search(0.1, first, |lambda| Some(if lambda < threshold { 0.2 } else { 0.1 }));
                let taken = taken.unwrap();
                assert!((threshold..=2.0 * threshold).contains(&taken), "{taken}, first {first}: {tried:?}");
                assert!(tried.len() <= 13, "{} probes", tried.len());
            }
        }
    }

    #[test]
    fn the_ladder_ends() {
        let (taken, tried) = search(0.1, 1e3, |_| Some(0.2));
        assert_eq!(taken, None);
        assert_eq!(tried.iter().map(|t| t.lambda).fold(0.0, f64::max), 1e11);
        assert_eq!(tried.len(), 10);
        // Numbers that go bad do not hold.
        assert_eq!(search(0.1, 1.0, |_| None).0, None);
        // Whatever is above 0 holds.
        let (taken, tried) = search(0.1, 1e3, |lambda| Some(if lambda > 0.0 { 0.0 } else { 0.2 }));
        assert_eq!((taken, tried.len()), (Some(1e-3), 8));
    }

    /// Noise: what is taken has held, and the search ends.
    #[test]
    fn measures_without_an_order_end_too() {
        for seed in 0..200u64 {
            let noise = |lambda: f64| {
                let x = (lambda.to_bits() ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                Some(if x >> 62 == 0 { 0.0 } else { 0.2 })
            };
            let (taken, tried) = search(0.1, 1.0, noise);
            assert!(tried.len() <= PROBES_MAX);
            assert!(taken.is_none_or(|taken| tried.iter().any(|t| t.lambda == taken && t.holds(0.1))), "{tried:?}");
        }
    }

    #[test]
    fn a_run_that_holds_by_itself_is_held_mildly() {
        let (taken, tried) = search(0.1, 1e4, |_| Some(0.05));
        assert_eq!(taken, Some(1e2));
        assert_eq!(tried.iter().map(|t| t.lambda).collect::<Vec<_>>(), [0.0, 1e2]);
    }

    #[test]
    fn what_was_tried_serves_another_rise() {
        let measure = |lambda: f64| Some(1.0 / (1.0 + lambda));
        let (_, tried) = search(0.1, 1.0, measure);
        let Next::Probe(lambda) = next(&tried, 0.01, 1.0) else { panic!("one that holds less is not there yet") };
        assert_eq!(lambda, 100.0);
        assert!(matches!(next(&tried, 0.09, 1.0), Next::Take(_) | Next::Probe(_)));
    }

    #[test]
    fn scale_and_length() {
        assert_eq!(first_rung(2.0, 1e-4), 1e4);
        assert_eq!((first_rung(-1.0, 1e-4), first_rung(1.0, 0.0), first_rung(f64::NAN, 1.0)), (1.0, 1.0, 1.0));
        assert_eq!([1, 7, 60, 120, 5_000].map(|steps| probe_steps(None, steps)), [1, 7, 20, 30, 50]);
        assert_eq!((probe_steps(Some(80), 100), probe_steps(Some(800), 100)), (80, 100));
        assert_eq!([1234.0, 3.162_277, 0.000_999].map(two_digits), [1200.0, 3.2, 0.001]);
    }
}
