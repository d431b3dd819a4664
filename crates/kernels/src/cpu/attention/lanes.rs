//! What happens to a tile of scores between the products. A row of the tile is one panel wide, and its lanes are the
//! queries (forward) or the keys (backward): everything that belongs to a lane stays in registers.

use super::super::level::{Fma, per_level};
use super::super::math;
use std::f32::consts::LOG2_E;
use std::ops::Range;

/// The widest panel of any instruction set.
pub(super) const WIDTH_MAX: usize = 32;

/// Which lanes of a tile a query and a key share: row r has `first + r ..  first + r + width`.
#[derive(Clone, Copy)]
pub(super) struct Band {
    pub first: isize,
    pub width: isize,
}

impl Band {
    #[inline(always)]
    fn lanes(self, r: usize, n: usize) -> Range<i32> {
        let first = self.first + r as isize;
        let cut = |x: isize| x.clamp(0, n as isize) as i32;
        cut(first)..cut(first + self.width)
    }
}

/// Runs the body for the width of a panel, which is one of four.
macro_rules! by_width {
    ($width:expr, $m:ident, $body:ident($($arg:expr),*)) => {
        match $width {
            8 => $body::<$m, 8>($($arg),*),
            12 => $body::<$m, 12>($($arg),*),
            16 => $body::<$m, 16>($($arg),*),
            WIDTH_MAX => $body::<$m, WIDTH_MAX>($($arg),*),
            width => unreachable!("a panel of {width} columns"),
        }
    };
}

// --- forward: a row is a key, a lane a query ----------------------------------------------------

/// How far scores may lie above what is subtracted from them, in units of ln 2: results so far are seldom rescaled.
const SLACK: f32 = 8.0;

/// Of each query: what is subtracted from its scores, nearly the largest so far, the sum of 2^(score − base), and
/// what earlier results must be multiplied with.
pub(super) struct Softmax {
    pub base: [f32; WIDTH_MAX],
    pub total: [f32; WIDTH_MAX],
    pub shrink: [f32; WIDTH_MAX],
    /// whether one of them is not 1
    pub shrinks: bool,
}

impl Softmax {
    pub(super) fn new() -> Softmax {
        Softmax {
            base: [f32::NEG_INFINITY; WIDTH_MAX],
            total: [0.0; WIDTH_MAX],
            shrink: [0.0; WIDTH_MAX],
            shrinks: false,
        }
    }
}

per_level! {
    /// Scores become 2^(score − base), and 0 outside the band. They come in units of ln 2, or, with a soft-cap,
    /// in natural ones.
    pub(super) fn soften(width: usize, s: &mut [f32], band: Band, softcap: Option<f32>, state: &mut Softmax)
        = soften_body
}

#[inline(always)]
fn soften_body<M: Fma>(width: usize, s: &mut [f32], band: Band, softcap: Option<f32>, state: &mut Softmax) {
    by_width!(width, M, soften_lanes(s, band, softcap, state));
}

#[inline(always)]
fn soften_lanes<M: Fma, const N: usize>(s: &mut [f32], band: Band, softcap: Option<f32>, state: &mut Softmax) {
    let rows = s.as_chunks_mut::<N>().0;
    if let Some(cap) = softcap {
        let (inner, outer) = (1.0 / cap, cap * LOG2_E);
        rows.as_flattened_mut().iter_mut().for_each(|s| *s = outer * math::tanh::<M>(*s * inner));
    }
    let before: [f32; N] = std::array::from_fn(|j| state.base[j]);
    let mut top = [f32::NEG_INFINITY; N];
    for (r, row) in rows.iter_mut().enumerate() {
        let seen = band.lanes(r, N);
        if seen != (0..N as i32) {
            for (j, s) in row.iter_mut().enumerate() {
                let unseen = (j as i32) < seen.start || j as i32 >= seen.end;
                *s = if unseen { f32::NEG_INFINITY } else { *s };
            }
        }
        for j in 0..N {
            top[j] = if row[j] > top[j] { row[j] } else { top[j] };
        }
    }
    let base: [f32; N] = std::array::from_fn(|j| if top[j] > before[j] + SLACK { top[j] } else { before[j] });
    // a query that has seen no key yet
    let finite: [f32; N] = std::array::from_fn(|j| if base[j] == f32::NEG_INFINITY { 0.0 } else { base[j] });
    let mut sum = [0.0; N];
    for row in rows {
        for j in 0..N {
            row[j] = math::exp2::<M>(row[j] - finite[j]);
            sum[j] += row[j];
        }
    }
    state.shrinks = before != base;
    for j in 0..N {
        let shrink = math::exp2::<M>(before[j] - finite[j]);
        state.shrink[j] = shrink;
        state.total[j] = M::fma(state.total[j], shrink, sum[j]);
        state.base[j] = base[j];
    }
}

per_level! {
    /// Every row times `by`, lane by lane.
    pub(super) fn shrink(width: usize, rows: &mut [f32], by: &[f32; WIDTH_MAX]) = shrink_body
}

#[inline(always)]
fn shrink_body<M: Fma>(width: usize, rows: &mut [f32], by: &[f32; WIDTH_MAX]) {
    by_width!(width, M, shrink_lanes(rows, by));
}

#[inline(always)]
fn shrink_lanes<M: Fma, const N: usize>(rows: &mut [f32], by: &[f32; WIDTH_MAX]) {
    let by: [f32; N] = std::array::from_fn(|j| by[j]);
    for row in rows.as_chunks_mut::<N>().0 {
        for j in 0..N {
            row[j] *= by[j];
        }
    }
}

// --- backward: a row is a query, a lane a key ---------------------------------------------------

/// Of each query of a tile: the log-sum-exp of its scores in units of ln 2, and Σ p·dp = out·dout.
#[derive(Clone, Copy)]
pub(super) struct Stats<'a> {
    pub lse: &'a [f32],
    pub mean: &'a [f32],
}

per_level! {
    /// Scores become probabilities, and their gradients dp those of the scores, p · (dp − Σ p·dp), through the
    /// soft-cap. The scores are as in [`soften`].
    pub(super) fn soften_back(width: usize, p: &mut [f32], dp: &mut [f32], band: Band, softcap: Option<f32>, of: Stats)
        = soften_back_body
}

#[inline(always)]
fn soften_back_body<M: Fma>(width: usize, p: &mut [f32], dp: &mut [f32], band: Band, softcap: Option<f32>, of: Stats) {
    by_width!(width, M, soften_back_lanes(p, dp, band, softcap, of));
}

#[inline(always)]
fn soften_back_lanes<M: Fma, const N: usize>(
    p: &mut [f32],
    dp: &mut [f32],
    band: Band,
    softcap: Option<f32>,
    of: Stats,
) {
    let rows = p.as_chunks_mut::<N>().0.iter_mut().zip(dp.as_chunks_mut::<N>().0);
    for (r, ((p, dp), (lse, mean))) in rows.zip(of.lse.iter().zip(of.mean)).enumerate() {
        match softcap {
            None => {
                for j in 0..N {
                    p[j] = math::exp2::<M>(p[j] - lse);
                    dp[j] = p[j] * (dp[j] - mean);
                }
            }
            Some(cap) => {
                for j in 0..N {
                    let t = math::tanh::<M>(p[j] / cap);
                    p[j] = math::exp2::<M>(M::fma(cap * LOG2_E, t, -lse));
                    dp[j] = p[j] * (dp[j] - mean) * M::fma(-t, t, 1.0);
                }
            }
        }
        let seen = band.lanes(r, N);
        if seen != (0..N as i32) {
            for j in 0..N {
                let unseen = (j as i32) < seen.start || j as i32 >= seen.end;
                p[j] = if unseen { 0.0 } else { p[j] };
                dp[j] = if unseen { 0.0 } else { dp[j] };
            }
        }
    }
}

per_level! {
    pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 = dot_body
}

#[inline(always)]
fn dot_body<M: Fma>(a: &[f32], b: &[f32]) -> f32 {
    math::sum2(a, b, |acc, a, b| M::fma(a, b, acc))
}
