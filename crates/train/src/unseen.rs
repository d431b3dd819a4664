//! The gap between the validation set and one that nothing was chosen by.
//!
//! The best step is the one with the lowest validation loss, so that this loss is a little too good: it was chosen for being low.
//! A set that neither trains nor chooses says how much too good. Whether the two differ by more than chance explains is asked of
//! the examples' mean losses with Welch's test (B. L. Welch, The generalization of "Student's" problem, 1947): two samples of
//! unequal size and spread.

use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_PI_2;

/// Above this probability a gap is taken for chance: the test is made at 99 %.
const CHANCE: f64 = 0.01;
/// Pieces of an integral by Simpson's rule; even. The integrands are smooth: five digits are right with far fewer.
const PIECES: usize = 512;
/// Standard deviations beyond which nothing is left of a t distribution with many degrees of freedom.
const FAR: f64 = 12.0;

/// Number, mean and spread of values, one after another (Welford).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub n: u64,
    pub mean: f64,
    /// Of squared distances from the mean.
    sum: f64,
}

impl Spread {
    pub fn add(&mut self, value: f64) {
        self.n += 1;
        let from_old = value - self.mean;
        self.mean += from_old / self.n as f64;
        self.sum += from_old * (value - self.mean);
    }

    /// The variance of the mean; None below two values.
    fn of_mean(&self) -> Option<f64> {
        (self.n >= 2).then(|| self.sum / (self.n - 1) as f64 / self.n as f64)
    }
}

/// The unseen set beside the validation set, at one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    pub step: u64,
    /// Nats per supervised token.
    pub valid_loss: f64,
    pub unseen_loss: f64,
    /// Means over examples of each example's nats per supervised token: what the test compares.
    pub valid_mean: f64,
    pub unseen_mean: f64,
    pub valid_examples: u64,
    pub unseen_examples: u64,
    /// How often chance alone would make means differ so much; None where a set has fewer than two examples.
    pub p: Option<f64>,
}

impl Gap {
    pub(crate) fn of(step: u64, valid: (f64, &Spread), unseen: (f64, &Spread)) -> Gap {
        Gap {
            step,
            valid_loss: valid.0,
            unseen_loss: unseen.0,
            valid_mean: valid.1.mean,
            unseen_mean: unseen.1.mean,
            valid_examples: valid.1.n,
            unseen_examples: unseen.1.n,
            p: welch(valid.1, unseen.1),
        }
    }

    /// Whether unseen rows are worse than validation's, beyond what chance explains.
    pub fn is_open(&self) -> bool {
        self.unseen_mean > self.valid_mean && self.p.is_some_and(|p| p < CHANCE)
    }

    /// What the test says, for a reader who has not heard of it.
    pub(crate) fn verdict(&self) -> String {
        let Gap { step, valid_mean, unseen_mean, valid_examples, unseen_examples, .. } = self;
        let means = format!(
            "step {step}: mean loss of an example {unseen_mean:.4} unseen ({unseen_examples} examples), {valid_mean:.4} in \
             validation ({valid_examples})"
        );
        match self.p {
            None => format!("{means}; a set of one example cannot say whether that is chance"),
            Some(p) if self.is_open() => {
                format!("{means}; chance alone makes such a gap in {} of cases (Welch's test)", percent(p))
            }
            Some(_) if unseen_mean > valid_mean => format!("{means}; chance may explain that (Welch's test at 99 %)"),
            Some(_) => format!("{means}; no worse on unseen rows"),
        }
    }
}

fn percent(p: f64) -> String {
    if p < 1e-4 { "less than 0.01 %".to_owned() } else { format!("{:.2} %", 100.0 * p) }
}

/// The probability of means at least so different if both samples had one mean; None below two values in either.
fn welch(a: &Spread, b: &Spread) -> Option<f64> {
    let (of_a, of_b) = (a.of_mean()?, b.of_mean()?);
    let (both, difference) = (of_a + of_b, (a.mean - b.mean).abs());
    if both == 0.0 {
        return Some(if difference == 0.0 { 1.0 } else { 0.0 });
    }
    // Welch's and Satterthwaite's degrees of freedom: at least those of the smaller sample.
    let freedom = both * both / (of_a * of_a / (a.n - 1) as f64 + of_b * of_b / (b.n - 1) as f64);
    Some(two_sided(difference / both.sqrt(), freedom))
}

/// P(|T| ≥ t) of Student's t with `freedom` ≥ 1. With T = √ν tan θ the density of θ is proportional to cos^(ν−1) θ, so that the
/// probability is one integral divided by another and no gamma function is needed.
fn two_sided(t: f64, freedom: f64) -> f64 {
    let density = |angle: f64| angle.cos().max(0.0).powf(freedom - 1.0);
    let end = FRAC_PI_2.min(FAR / freedom.sqrt());
    let angle = (t / freedom.sqrt()).atan().min(end);
    let (near, far) = (integral(&density, 0.0, angle), integral(&density, angle, end));
    far / (near + far)
}

/// Simpson's rule.
fn integral(f: &dyn Fn(f64) -> f64, from: f64, to: f64) -> f64 {
    let width = (to - from) / PIECES as f64;
    let weight = |i: usize| match i {
        0 | PIECES => 1.0,
        i if i.is_multiple_of(2) => 2.0,
        _ => 4.0,
    };
    (0..=PIECES).map(|i| weight(i) * f(from + i as f64 * width)).sum::<f64>() * width / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(values: &[f64]) -> Spread {
        let mut spread = Spread::default();
        values.iter().for_each(|v| spread.add(*v));
        spread
    }

    /// The two-sided quantiles that every table of Student's t has.
    #[test]
    fn tails_of_t_are_the_tables() {
        for (t, freedom, p) in [
            (63.657, 1.0, 0.01),
            (9.925, 2.0, 0.01),
            (3.169, 10.0, 0.01),
            (2.228, 10.0, 0.05),
            (2.750, 30.0, 0.01),
            (2.626, 100.0, 0.01),
            (2.57583, 1e7, 0.01),
            (0.0, 5.0, 1.0),
        ] {
            let got = two_sided(t, freedom);
            assert!((got - p).abs() < 2e-4 * p.max(0.02) + 2e-6, "t {t}, {freedom} degrees of freedom: {got}, not {p}");
        }
        assert!(two_sided(100.0, 1e6) < 1e-12);
    }

    /// By hand: means 2 and 5, variances 1 and 8/3; t = 3 / √(1/3 + 2/3) = 3, ν = 1 / ((1/3)²/2 + (2/3)²/3) = 4.909….
    #[test]
    fn welchs_t_is_what_the_formula_gives() {
        let (a, b) = (spread(&[1.0, 2.0, 3.0]), spread(&[3.0, 5.0, 5.0, 7.0]));
        let variance_b = 8.0 / 3.0;
        let (va, vb) = (1.0 / 3.0, variance_b / 4.0);
        let freedom: f64 = (va + vb) * (va + vb) / (va * va / 2.0 + vb * vb / 3.0);
        assert!((freedom - 54.0 / 11.0).abs() < 1e-12, "{freedom}");
        assert_eq!(welch(&a, &b), Some(two_sided(3.0 / f64::sqrt(va + vb), freedom)));
        assert_eq!(welch(&a, &spread(&[4.0])), None);
        assert_eq!(welch(&spread(&[1.0, 1.0]), &spread(&[1.0, 1.0])), Some(1.0));
        assert_eq!(welch(&spread(&[1.0, 1.0]), &spread(&[2.0, 2.0])), Some(0.0));
    }

    #[test]
    fn a_gap_is_open_only_where_unseen_rows_are_worse() {
        let (low, high) = (spread(&[1.0, 1.1, 0.9, 1.0, 1.05]), spread(&[2.0, 2.1, 1.9, 2.0, 2.05]));
        let gap = |valid: &Spread, unseen: &Spread| Gap::of(4, (valid.mean, valid), (unseen.mean, unseen));
        assert!(gap(&low, &high).is_open(), "{:?}", gap(&low, &high));
        assert!(!gap(&high, &low).is_open() && gap(&high, &low).p.unwrap() < CHANCE);
        assert!(!gap(&low, &low).is_open());
        assert!(gap(&high, &low).verdict().ends_with("no worse on unseen rows"));
        let says = gap(&low, &high).verdict();
        assert!(says.contains("2.0100 unseen (5 examples), 1.0100 in validation (5)"), "{says}");
        assert!(gap(&low, &spread(&[9.0])).verdict().contains("one example"));
    }
}
