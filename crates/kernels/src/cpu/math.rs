//! exp, tanh and sigmoid as straight-line code that the compiler can vectorise, and sums in lanes.
//!
//! Errors are measured by the tests below over the whole range against f64. A NaN goes through.

use super::level::Fma;

/// Partial sums kept apart, so that a sum has one order whatever the vector length.
pub(super) const LANES: usize = 16;

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts: the product of the first with a whole number up to 2^8 is exact (Cody & Waite).
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;
/// 1.5 · 2²³: adding it rounds to a whole number and leaves that number in the low bits.
const ROUND: f32 = 12_582_912.0;
/// Below, eˣ is no normal number; above, it is none at all.
const EXP_MIN: f32 = -87.336_54;
const EXP_MAX: f32 = 88.376_26;

/// eˣ, held at its ends: never 0 and never infinite.
#[inline(always)]
pub(super) fn exp<M: Fma>(x: f32) -> f32 {
    // written so that a NaN fails both comparisons and stays
    let x = if x < EXP_MIN { EXP_MIN } else { x };
    let x = if x > EXP_MAX { EXP_MAX } else { x };
    let shifted = M::fma(x, LOG2_E, ROUND);
    let n = shifted - ROUND;
    let f = M::fma(n, -LN2_HI, x);
    let f = M::fma(n, -LN2_LO, f);
    // Cephes' minimax polynomial of (eᶠ − 1 − f)/f² on ±ln2/2
    let mut p = 1.987_569_1e-4;
    p = M::fma(p, f, 1.398_199_9e-3);
    p = M::fma(p, f, 8.333_452e-3);
    p = M::fma(p, f, 4.166_579_6e-2);
    p = M::fma(p, f, 1.666_666_5e-1);
    p = M::fma(p, f, 0.5);
    let e = M::fma(p, f * f, f) + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    e * scale
}

/// Below, 2ˣ is no normal number.
const EXP2_MIN: f32 = -126.0;

/// 2ˣ for x ≤ 127; below the normal numbers it is 0, also of −∞.
#[inline(always)]
pub(super) fn exp2<M: Fma>(x: f32) -> f32 {
    let shifted = x + ROUND;
    let f = x - (shifted - ROUND);
    // Cephes' minimax polynomial of (2ᶠ − 1)/f on ±1/2
    let mut p = 1.535_336_2e-4;
    p = M::fma(p, f, 1.339_887_4e-3);
    p = M::fma(p, f, 9.618_437e-3);
    p = M::fma(p, f, 5.550_332_5e-2);
    p = M::fma(p, f, 2.402_264_8e-1);
    p = M::fma(p, f, 6.931_472e-1);
    p = M::fma(p, f, 1.0);
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    // written so that a NaN stays
    if x < EXP2_MIN { 0.0 } else { p * scale }
}

/// σ(x) = 1 / (1 + e⁻ˣ), and 1 − σ(x) without the cancellation.
#[inline(always)]
pub(super) fn sigmoid<M: Fma>(x: f32) -> (f32, f32) {
    let e = exp::<M>(-x);
    let s = 1.0 / (1.0 + e);
    (s, e * s)
}

#[inline(always)]
pub(super) fn tanh<M: Fma>(x: f32) -> f32 {
    let a = x.abs();
    // near zero: Cephes' odd polynomial, because 1 − 2/(e²ˣ + 1) would cancel
    let z = x * x;
    let mut p = -5.704_988_7e-3;
    p = M::fma(p, z, 2.063_909e-2);
    p = M::fma(p, z, -5.373_971_6e-2);
    p = M::fma(p, z, 1.333_144_2e-1);
    p = M::fma(p, z, -3.333_328e-1);
    let small = M::fma(p * z, x, x);
    let large = (1.0 - 2.0 / (exp::<M>(2.0 * a) + 1.0)).copysign(x);
    if a > 0.625 { large } else { small }
}

/// Adds lanes pairwise: one order.
#[inline(always)]
pub(super) fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Σ f over the elements of three slices of one length, in lanes: element i goes to lane i mod [`LANES`].
#[inline(always)]
pub(super) fn sum3(a: &[f32], b: &[f32], c: &[f32], f: impl Fn(f32, f32, f32, f32) -> f32) -> f32 {
    let mut acc = [0.0; LANES];
    let (a, b, c) = (a.chunks_exact(LANES), b.chunks_exact(LANES), c.chunks_exact(LANES));
    let (ra, rb, rc) = (a.remainder(), b.remainder(), c.remainder());
    for ((a, b), c) in a.zip(b).zip(c) {
        for l in 0..LANES {
            acc[l] = f(acc[l], a[l], b[l], c[l]);
        }
    }
    for (((l, a), b), c) in acc.iter_mut().zip(ra).zip(rb).zip(rc) {
        *l = f(*l, *a, *b, *c);
    }
    fold(acc)
}

/// Σ f(acc, a, b): as [`sum3`].
#[inline(always)]
pub(super) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32, f32) -> f32) -> f32 {
    sum3(a, b, b, |acc, a, b, _| f(acc, a, b))
}

/// Σ f(acc, a): as [`sum3`].
#[inline(always)]
pub(super) fn sum1(a: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    sum3(a, a, a, |acc, a, _, _| f(acc, a))
}

/// The largest element; a NaN may be passed over.
#[inline(always)]
pub(super) fn max(a: &[f32]) -> f32 {
    let mut acc = [f32::NEG_INFINITY; LANES];
    let chunks = a.chunks_exact(LANES);
    let rest = chunks.remainder();
    for c in chunks {
        for l in 0..LANES {
            acc[l] = if c[l] > acc[l] { c[l] } else { acc[l] };
        }
    }
    for (l, a) in acc.iter_mut().zip(rest) {
        *l = if *a > *l { *a } else { *l };
    }
    acc.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use super::super::level::{Fused, Split};
    use super::*;

    /// The largest error over −90..90 and close to zero, in units of the last place of the f32 result.
    fn worst(f: fn(f32) -> f32, exact: fn(f64) -> f64, range: f32) -> f64 {
        let steps = 400_000;
        let dense = (0..=steps).map(|i| range * (2.0 * i as f32 / steps as f32 - 1.0));
        let tiny = (-120..0).map(|e| 1.3 * 2.0f32.powi(e));
        dense
            .chain(tiny)
            .map(|x| {
                let want = exact(f64::from(x));
                let unit = f64::from((want as f32).abs().max(f32::MIN_POSITIVE)) * f64::from(f32::EPSILON) / 2.0;
                (f64::from(f(x)) - want).abs() / unit
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn errors_in_units_of_the_last_place() {
        for (name, f, exact, range, limit) in [
            ("exp", exp::<Fused> as fn(f32) -> f32, f64::exp as fn(f64) -> f64, 87.0, 2.5),
            ("exp, split", exp::<Split>, f64::exp, 87.0, 2.5),
            ("exp2", exp2::<Fused>, f64::exp2, 126.0, 2.5),
            ("exp2, split", exp2::<Split>, f64::exp2, 126.0, 2.5),
            ("tanh", tanh::<Fused>, f64::tanh, 20.0, 4.0),
            ("tanh, split", tanh::<Split>, f64::tanh, 20.0, 4.0),
            ("sigmoid", |x| sigmoid::<Fused>(x).0, |x| 1.0 / (1.0 + (-x).exp()), 80.0, 5.0),
            ("1 − sigmoid", |x| sigmoid::<Fused>(x).1, |x| 1.0 / (1.0 + x.exp()), 80.0, 5.0),
        ] {
            let worst = worst(f, exact, range);
            assert!(worst <= limit, "{name}: {worst}");
        }
    }

    #[test]
    fn ends_are_finite_and_nan_stays() {
        assert!(exp::<Fused>(1e9).is_finite() && exp::<Fused>(-1e9) > 0.0);
        assert_eq!((tanh::<Fused>(50.0), tanh::<Fused>(-50.0)), (1.0, -1.0));
        assert_eq!((exp2::<Fused>(-127.0), exp2::<Fused>(f32::NEG_INFINITY)), (0.0, 0.0));
        assert!(exp2::<Fused>(f32::NAN).is_nan());
        assert!(exp::<Fused>(f32::NAN).is_nan() && tanh::<Fused>(f32::NAN).is_nan());
        assert!(sigmoid::<Split>(f32::NAN).0.is_nan());
    }
}
