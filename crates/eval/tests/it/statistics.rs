//! Intervals against published values, and against what they promise.

use eval::figures::{Better, Figure, How, Rows};
use eval::stats::{Interval, Random, Test, change, interval, mean, newcombe, wilson};

fn figure(how: How) -> Figure {
    Figure { name: "f", measure: "m", better: Better::Higher, how }
}

fn near(got: (f64, f64), want: (f64, f64), tolerance: f64) {
    assert!((got.0 - want.0).abs() < tolerance && (got.1 - want.1).abs() < tolerance, "{got:?}, not {want:?}");
}

/// scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
#[test]
fn wilsons_interval() {
    near(wilson(0.0, 10.0), (0.0, 0.277_532_8), 1e-6);
    near(wilson(0.3, 50.0), (0.191_035_5, 0.437_503_5), 1e-6);
    near(wilson(1.0, 20.0), (0.838_874_8, 1.0), 1e-6);
}

/// Airway hyper-responsiveness before and after stem cell transplantation (Fagerland, Lydersen & Laake 2014, table 2 and
/// section 7): 1, 1, 7 and 12 pairs, Newcombe's interval −0.507 to −0.026.
#[test]
fn newcombes_interval() {
    let Interval { value, low, high } = newcombe([1.0, 1.0, 7.0, 12.0]);
    assert!((value + 2.0 / 7.0).abs() < 1e-12);
    near((low, high), (-0.507, -0.026), 5e-4);
    // Turned round, it is turned round.
    let turned = newcombe([1.0, 7.0, 1.0, 12.0]);
    near((turned.low, turned.high), (-high, -low), 1e-12);
    // Nothing differs, and still nothing is certain.
    let same = newcombe([20.0, 0.0, 0.0, 0.0]);
    assert!(same.value == 0.0 && same.low < -0.1 && same.high > 0.1, "{same:?}");
}

fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
}

#[test]
fn the_bootstrap_covers_the_mean_as_often_as_it_says() {
    let mut covered = 0;
    for trial in 0..200 {
        let mut random = Random::of(7, trial);
        let values: Vec<f64> = (0..60).map(|_| normal(&mut random)).collect();
        let i = interval(&figure(How::Mean(0)), Rows { values: &values, width: 1 }, trial);
        covered += usize::from(i.low <= 0.0 && 0.0 <= i.high);
    }
    // 95 % of 200 is 190; three standard deviations are 9.
    assert!((181..=199).contains(&covered), "{covered}");
}

#[test]
fn equal_seeds_give_equal_bits_on_any_number_of_threads() {
    let values: Vec<f64> = (0..500).map(|i| f64::from(i % 17)).collect();
    let rows = Rows { values: &values, width: 1 };
    let of = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| interval(&figure(How::Mean(0)), rows, 3))
    };
    assert_eq!(of(1), of(3));
    assert_ne!(of(1), interval(&figure(How::Mean(0)), rows, 4));
}

#[test]
fn a_change_is_told_from_none() {
    let mut random = Random::of(1, 1);
    let base: Vec<f64> = (0..200).map(|_| normal(&mut random)).collect();
    let worse: Vec<f64> = base.iter().map(|x| x - 0.2 + 0.3 * normal(&mut random)).collect();
    let other: Vec<f64> = base.iter().map(|x| x + 0.3 * normal(&mut random)).collect();
    let rows = |values| Rows { values, width: 1 };
    let f = figure(How::Mean(0));
    let down = change(&f, rows(&base), rows(&worse), 0);
    assert!(down.interval.high < 0.0 && down.p < 0.01 && down.test == Test::Randomisation, "{down:?}");
    // Without the pairing the spread of 1 would hide it.
    assert!((down.interval.value + 0.2).abs() < 0.08);
    let none = change(&f, rows(&base), rows(&other), 0);
    assert!(none.interval.low < 0.0 && none.interval.high > 0.0 && none.p > 0.05, "{none:?}");
    let same = change(&f, rows(&base), rows(&base), 0);
    assert_eq!((same.interval, same.p), (Interval { value: 0.0, low: 0.0, high: 0.0 }, 1.0));
}

#[test]
fn under_no_difference_the_paired_test_cries_wolf_as_often_as_it_says() {
    let mut cries = 0;
    for trial in 0..100 {
        let mut random = Random::of(11, trial);
        let rows: Vec<(f64, f64)> = (0..40).map(|_| (normal(&mut random), normal(&mut random))).collect();
        let (base, tuned): (Vec<f64>, Vec<f64>) = rows.into_iter().unzip();
        let (base, tuned) = (Rows { values: &base, width: 1 }, Rows { values: &tuned, width: 1 });
        cries += usize::from(change(&figure(How::Mean(0)), base, tuned, trial).p <= 0.05);
    }
    assert!(cries <= 12, "{cries} of 100 at 5 %");
}

#[test]
fn rates_are_compared_pair_by_pair() {
    let base: Vec<f64> = (0..100).map(|i| f64::from(i < 50)).collect();
    let tuned: Vec<f64> = (0..100).map(|i| f64::from((2..72).contains(&i))).collect();
    let rows = |values| Rows { values, width: 1 };
    let c = change(&figure(How::Rate(0)), rows(&base), rows(&tuned), 0);
    assert_eq!((c.interval.value, c.test), (0.7 - 0.5, Test::Mcnemar));
    assert!(c.p < 1e-4 && c.interval.low > 0.1, "{c:?}");
}

#[test]
fn ratios_weigh_tokens_not_rows() {
    // 10 nats over 10 tokens, 6 over 2: 16/12 a token and not the mean of 1 and 3.
    let values = [10.0, 10.0, 6.0, 2.0];
    let rows = Rows { values: &values, width: 2 };
    assert_eq!(figure(How::Ratio(0, 1)).of(rows), 16.0 / 12.0);
    assert_eq!(figure(How::ExpRatio(0, 1)).of(rows), (16.0f64 / 12.0).exp());
}

#[test]
fn means_of_independent_figures() {
    let i = |value, reach| Interval { value, low: value - reach, high: value + 2.0 * reach };
    // √(3² + 4²)/2 below, twice that above.
    assert_eq!(mean(&[i(1.0, 3.0), i(3.0, 4.0)]), Some(Interval { value: 2.0, low: -0.5, high: 7.0 }));
    assert_eq!(mean(&[]), None);
}
