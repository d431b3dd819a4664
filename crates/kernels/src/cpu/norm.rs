//! RMS norm (Zhang & Sennrich 2019): y = x / rms(x) · (w + offset).

use super::buf::{Rows, RowsMut};
use super::level::{Fma, per_level};
use super::{Cpu, math, par};
use crate::{Norm, NormShape, Write};

per_level! {
    fn forward(s: NormShape, n: Norm, x: &[f32], w: &[f32], y: &mut [f32], rstd: &mut [f32]) = forward_body
}

/// One row of `groups` vectors.
#[inline(always)]
fn forward_body<M: Fma>(s: NormShape, n: Norm, x: &[f32], w: &[f32], y: &mut [f32], rstd: &mut [f32]) {
    let vectors = x.chunks_exact(s.dim).zip(y.chunks_exact_mut(s.dim));
    for ((x, y), rstd) in vectors.zip(rstd) {
        let square = math::sum1(x, |acc, x| M::fma(x, x, acc));
        *rstd = 1.0 / (square / s.dim as f32 + n.eps).sqrt();
        for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
            *y = x * *rstd * (w + n.offset);
        }
    }
}

pub(super) fn rmsnorm(cpu: &Cpu, s: NormShape, n: Norm, x: Rows, w: &[f32], y: RowsMut, rstd: RowsMut) {
    par::rows2(&cpu.pool, y, rstd, |r, y, rstd| {
        forward(cpu.level, s, n, x.row(r), w, y, rstd);
    });
}

/// The same of sum + x, which sum becomes.
pub(super) fn add_rmsnorm(
    cpu: &Cpu,
    s: NormShape,
    n: Norm,
    x: Rows,
    sum: RowsMut,
    w: &[f32],
    y: RowsMut,
    rstd: RowsMut,
) {
    par::row_sets(&cpu.pool, [sum, y, rstd], |r, [sum, y, rstd]| {
        sum.iter_mut().zip(x.row(r)).for_each(|(sum, x)| *sum += x);
        forward(cpu.level, s, n, sum, w, y, rstd);
    });
}

per_level! {
    fn backward(s: NormShape, n: Norm, dy: &[f32], x: &[f32], w: &[f32], rstd: &[f32], dx: &mut [f32], write: Write)
        = backward_body
}

/// With x̂ = x·rstd and g = dy·(w + offset): dx = rstd · (g − x̂ · mean(g·x̂)).
#[inline(always)]
fn backward_body<M: Fma>(
    s: NormShape,
    n: Norm,
    dy: &[f32],
    x: &[f32],
    w: &[f32],
    rstd: &[f32],
    dx: &mut [f32],
    write: Write,
) {
    let vectors = dy.chunks_exact(s.dim).zip(x.chunks_exact(s.dim));
    for (((dy, x), rstd), dx) in vectors.zip(rstd).zip(dx.chunks_exact_mut(s.dim)) {
        let gx = math::sum3(dy, x, w, |acc, dy, x, w| M::fma(dy * (w + n.offset), x, acc));
        let mean = gx * rstd * rstd / s.dim as f32;
        let keep = match write {
            Write::Set => 0.0,
            Write::Add => 1.0,
        };
        for (((dx, dy), x), w) in dx.iter_mut().zip(dy).zip(x).zip(w) {
            let d = rstd * M::fma(-mean, *x, dy * (w + n.offset));
            // not keep · dx: what was there may be NaN
            *dx = if keep == 0.0 { d } else { *dx + d };
        }
    }
}

pub(super) fn rmsnorm_back(
    cpu: &Cpu,
    s: NormShape,
    n: Norm,
    dy: Rows,
    x: Rows,
    w: &[f32],
    rstd: Rows,
    dx: RowsMut,
    write: Write,
) {
    par::rows(&cpu.pool, dx, |r, dx| {
        backward(cpu.level, s, n, dy.row(r), x.row(r), w, rstd.row(r), dx, write);
    });
}

/// dw[j] += Σ over rows, then groups, of dy · x̂; f64, because a row's share vanishes in a long sum.
pub(super) fn weight_back(cpu: &Cpu, s: NormShape, dy: Rows, x: Rows, rstd: Rows, dw: RowsMut) {
    par::stripes(&cpu.pool, dw, |cols, mut dw| {
        let mut sum = [0.0f64; par::STRIPE];
        for r in 0..s.rows {
            for g in 0..s.groups {
                let at = g * s.dim + cols.start..g * s.dim + cols.end;
                let rstd = rstd.row(r)[g];
                for ((sum, dy), x) in sum.iter_mut().zip(&dy.row(r)[at.clone()]).zip(&x.row(r)[at]) {
                    *sum += f64::from(dy * (x * rstd));
                }
            }
        }
        for (dw, sum) in dw.row(0).iter_mut().zip(sum) {
            *dw += sum as f32;
        }
    });
}
