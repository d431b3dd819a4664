//! Scales of columns and what their gradients need, and the norms of a matrix's rows with a low-rank term.

use super::buf::{Rows, RowsMut};
use super::{Cpu, Weight, par};
use crate::Write;

pub(super) fn scale(cpu: &Cpu, scale: &[f32], (alpha, shift): (f32, f32), x: Rows, y: RowsMut, write: Write) {
    par::rows(&cpu.pool, y, |r, y| {
        let terms = y.iter_mut().zip(x.row(r)).zip(scale);
        match write {
            Write::Set => terms.for_each(|((y, x), s)| *y = alpha * (s + shift) * x),
            Write::Add => terms.for_each(|((y, x), s)| *y += alpha * (s + shift) * x),
        }
    });
}

pub(super) fn scale_rows(cpu: &Cpu, scale: &[f32], alpha: f32, x: Rows, y: RowsMut, write: Write) {
    par::rows(&cpu.pool, y, |r, y| {
        let s = alpha * scale[r];
        let terms = y.iter_mut().zip(x.row(r));
        match write {
            Write::Set => terms.for_each(|(y, x)| *y = s * x),
            Write::Add => terms.for_each(|(y, x)| *y += s * x),
        }
    });
}

pub(super) fn row_dots(cpu: &Cpu, x: Rows, y: Rows, alpha: f32, out: &mut [f32]) {
    par::row_blocks(&cpu.pool, RowsMut::dense(out, 1), x.cols(), |first, mut out| {
        for i in 0..out.rows() {
            let terms = x.row(first + i).iter().zip(y.row(first + i));
            let sum: f64 = terms.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            out.row(i)[0] += (f64::from(alpha) * sum) as f32;
        }
    });
}

/// In f64: a row's share vanishes in a long sum.
pub(super) fn dots(cpu: &Cpu, x: Rows, y: Rows, alpha: f32, scale: Option<&[f32]>, out: RowsMut) {
    par::stripes(&cpu.pool, out, |cols, mut out| {
        let mut sum = [0.0f64; par::STRIPE];
        for r in 0..x.rows() {
            let (x, y) = (&x.row(r)[cols.clone()], &y.row(r)[cols.clone()]);
            for ((sum, x), y) in sum.iter_mut().zip(x).zip(y) {
                *sum += f64::from(x * y);
            }
        }
        for (i, (out, sum)) in out.row(0).iter_mut().zip(sum).enumerate() {
            let s = f64::from(alpha) * scale.map_or(1.0, |s| f64::from(s[cols.start + i]));
            *out += (s * sum) as f32;
        }
    });
}

/// Values read at a time.
const PIECE: usize = 512;

pub(super) fn row_squares(cpu: &Cpu, w: &Weight, scale: Option<&[f32]>, out: &mut [f32]) {
    let len = out.len();
    par::row_blocks(&cpu.pool, RowsMut::dense(out, 1), w.cols(), |first, mut out| {
        let mut piece = [0.0; PIECE];
        for i in 0..out.rows() {
            let mut sum = 0.0f64;
            for at in (0..w.cols()).step_by(PIECE) {
                let piece = &mut piece[..PIECE.min(w.cols() - at)];
                w.read(first + i, at, piece);
                sum += match scale {
                    None => piece.iter().map(|v| f64::from(v * v)).sum::<f64>(),
                    Some(s) => piece.iter().zip(&s[at..]).map(|(v, s)| f64::from(*s) * f64::from(*v).powi(2)).sum(),
                };
            }
            out.row(i)[0] = sum as f32;
        }
    });
    debug_assert_eq!(len, w.rows());
}

/// From ‖W_j‖², A Wᵀ and A Aᵀ: ‖W_j + s·b_j A‖² = ‖W_j‖² + 2s (A W_jᵀ)·b_j + s² b_j (A Aᵀ) b_jᵀ. In f64, as the terms may
/// cancel.
pub(super) fn low_rank_scales(
    cpu: &Cpu,
    s: f32,
    (squares, cross, gram): (&[f32], Rows, Rows),
    b: Rows,
    m: &[f32],
    scale: &mut [f32],
    inverse: &mut [f32],
) {
    let s = f64::from(s);
    let (scale, inverse) = (RowsMut::dense(scale, 1), RowsMut::dense(inverse, 1));
    par::rows2(&cpu.pool, scale, inverse, |j, scale, inverse| {
        let (mut mixed, mut own) = (0.0f64, 0.0f64);
        for (p, bp) in b.row(j).iter().enumerate() {
            mixed += f64::from(cross.row(p)[j]) * f64::from(*bp);
            let row: f64 = gram.row(p).iter().zip(b.row(j)).map(|(g, b)| f64::from(*g) * f64::from(*b)).sum();
            own += row * f64::from(*bp);
        }
        let square = f64::from(squares[j]) + 2.0 * s * mixed + s * s * own;
        // A row of zeros stays one, whatever its scale.
        let one_over = if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 };
        (scale[0], inverse[0]) = ((f64::from(m[j]) * one_over) as f32, one_over as f32);
    });
}
