//! How sure a figure is, and whether two models differ.
//!
//! Rows are what is drawn by chance: every interval is over them. Shares of rows that pass have Wilson's score interval, and
//! their change Newcombe's (1998, method 10), which hold also where all or none pass; a bootstrap says there that it is quite
//! sure. Every other figure has the percentile bootstrap. All of them are at 95 %.

use crate::figures::{Figure, Rows};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Samples with replacement, each as large as the rows.
pub const RESAMPLES: u64 = 1000;
/// Exchanges of base and tuned, under which they would not differ.
pub const EXCHANGES: u64 = 2000;
/// The normal distribution's 97.5 % point.
const Z: f64 = 1.959_963_984_540_054;

/// A figure and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Tuned less base, on the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    #[serde(flatten)]
    pub interval: Interval,
    /// How likely a change as large is where there is none, two-sided.
    pub p: f64,
    pub test: Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Exact: of the rows that only one of both passes, a binomial with ½.
    Mcnemar,
    /// Base and tuned exchanged in rows chosen by chance.
    Randomisation,
}

/// A figure over rows, with its interval. Equal for equal rows and seed, whatever the threads.
pub fn interval(figure: &Figure, rows: Rows, seed: u64) -> Interval {
    let value = figure.of(rows);
    if figure.is_rate() {
        let (low, high) = wilson(value, rows.len() as f64);
        return Interval { value, low, high };
    }
    let mut draws: Vec<f64> = (0..RESAMPLES)
        .into_par_iter()
        .map(|b| {
            let mut picks = Random::of(seed, b);
            figure.over(rows, (0..rows.len()).map(|_| picks.below(rows.len())))
        })
        .collect();
    let (low, high) = percentiles(&mut draws);
    Interval { value, low, high }
}

/// The change of a figure from base to tuned, whose rows answer the same questions in the same order.
pub fn change(figure: &Figure, base: Rows, tuned: Rows, seed: u64) -> Change {
    if figure.is_rate() {
        return change_of_rate(figure, base, tuned);
    }
    let n = base.len().min(tuned.len());
    let value = figure.of(tuned) - figure.of(base);
    let mut draws: Vec<f64> = (0..RESAMPLES)
        .into_par_iter()
        .map(|b| {
            let picks = |b| {
                let mut random = Random::of(seed, b);
                (0..n).map(move |_| random.below(n))
            };
            figure.over(tuned, picks(b)) - figure.over(base, picks(b))
        })
        .collect();
    let (low, high) = percentiles(&mut draws);
    let exchanged = |b| {
        let mut random = Random::of(seed ^ 0x6578_6368, b);
        let sides: Vec<bool> = (0..n).map(|_| random.bits() >> 63 == 1).collect();
        (figure.mixed(base, tuned, &sides) - figure.mixed(tuned, base, &sides)).abs()
    };
    // Sums in another order differ in their last bits.
    let least = value.abs() * (1.0 - 1e-12);
    let as_large = (0..EXCHANGES).into_par_iter().filter(|b| exchanged(*b) >= least).count();
    // Of no number nothing is said.
    let p = if value.is_finite() { (as_large + 1) as f64 / (EXCHANGES + 1) as f64 } else { f64::NAN };
    Change { interval: Interval { value, low, high }, p, test: Test::Randomisation }
}

fn change_of_rate(figure: &Figure, base: Rows, tuned: Rows) -> Change {
    let (mut both, mut only_tuned, mut only_base, mut neither) = (0u64, 0u64, 0u64, 0u64);
    for row in 0..base.len().min(tuned.len()) {
        *match (figure.of_row(base, row) > 0.5, figure.of_row(tuned, row) > 0.5) {
            (true, true) => &mut both,
            (false, true) => &mut only_tuned,
            (true, false) => &mut only_base,
            (false, false) => &mut neither,
        } += 1;
    }
    let interval = newcombe([both, only_tuned, only_base, neither].map(|n| n as f64));
    Change { interval, p: mcnemar(only_tuned, only_base), test: Test::Mcnemar }
}

/// The mean of independent figures: their distances to the ends of their intervals add up as squares do (MOVER, Zou & Donner 2008).
pub fn mean(of: &[Interval]) -> Option<Interval> {
    let n = of.len() as f64;
    let value = of.iter().map(|i| i.value).sum::<f64>() / n;
    let reach = |end: &dyn Fn(&Interval) -> f64| of.iter().map(|i| (i.value - end(i)).powi(2)).sum::<f64>().sqrt() / n;
    (!of.is_empty()).then(|| Interval { value, low: value - reach(&|i| i.low), high: value + reach(&|i| i.high) })
}

/// Wilson's score interval for a share `p` of `n`; from 0 to 1 where there is no row.
pub fn wilson(p: f64, n: f64) -> (f64, f64) {
    if n == 0.0 {
        return (0.0, 1.0);
    }
    let z2 = Z * Z;
    let middle = p + z2 / (2.0 * n);
    let reach = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((middle - reach) / scale).max(0.0), ((middle + reach) / scale).min(1.0))
}

/// Second share less first, of pairs counted as [both, only second, only first, neither]: Newcombe's method 10.
pub fn newcombe([both, second, first, neither]: [f64; 4]) -> Interval {
    let n = both + second + first + neither;
    if n == 0.0 {
        return Interval { value: 0.0, low: -1.0, high: 1.0 };
    }
    let (p1, p2) = ((both + second) / n, (both + first) / n);
    let ((l1, u1), (l2, u2)) = (wilson(p1, n), wilson(p2, n));
    let margins = (both + second) * (first + neither) * (both + first) * (second + neither);
    let product = both * neither - second * first;
    let phi = match margins > 0.0 {
        false => 0.0,
        true if product > 0.0 => (product - n / 2.0).max(0.0) / margins.sqrt(),
        true => product / margins.sqrt(),
    };
    let reach = |a: f64, b: f64| (a * a - 2.0 * phi * a * b + b * b).max(0.0).sqrt();
    let value = p1 - p2;
    Interval { value, low: value - reach(p1 - l1, u2 - p2), high: value + reach(u1 - p1, p2 - l2) }
}

/// McNemar's exact test, two-sided: so many rows that only one, and that only the other passes.
pub fn mcnemar(b: u64, c: u64) -> f64 {
    let (n, few) = (b + c, b.min(c));
    // Terms of the binomial, by logarithm: 2⁻ⁿ alone may be below what an f64 holds.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = term.exp();
    for k in 0..few {
        term += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
        tail += term.exp();
    }
    if b == c { 1.0 } else { (2.0 * tail).min(1.0) }
}

/// The 2.5 % and 97.5 % points, between neighbours where needed.
fn percentiles(draws: &mut [f64]) -> (f64, f64) {
    draws.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = share * (draws.len() - 1) as f64;
        let (below, part) = (place.floor() as usize, place.fract());
        let next = draws[(below + 1).min(draws.len() - 1)];
        // Equal infinities have no difference.
        if draws[below] == next { next } else { draws[below] + part * (next - draws[below]) }
    };
    if draws.is_empty() { (f64::NAN, f64::NAN) } else { (at(0.025), at(0.975)) }
}

/// SplitMix64 (Steele, Lea & Flood 2014).
pub struct Random(u64);

impl Random {
    /// A stream of its own for each place.
    pub fn of(seed: u64, place: u64) -> Random {
        let mut random = Random(seed ^ place.wrapping_mul(0xd1b5_4a32_d192_ed03));
        random.bits();
        Random(random.bits() ^ seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// In 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 to `n` − 1 (Lemire 2019, without rejection: the bias is below n/2⁶⁴).
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }
}
