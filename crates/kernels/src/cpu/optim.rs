//! AdamW and the gradient's norm.

use super::buf::RowsMut;
use super::level::{Fma, per_level};
use super::par::Blocks;
use super::{Cpu, par};
use crate::eight_bit::{BLOCK, SIGNED, UNSIGNED};
use crate::{AdamW, Smoothing};
use std::sync::atomic::{AtomicU64, Ordering};

/// A sum's pieces: their number does not depend on the threads, so the sum's order does not either.
const PIECES: usize = 64;
const F64_LANES: usize = 8;

per_level! {
    fn squares(x: &[f32]) -> f64 = squares_body
}

#[inline(always)]
fn squares_body<M: Fma>(x: &[f32]) -> f64 {
    let mut acc = [0.0f64; F64_LANES];
    let chunks = x.chunks_exact(F64_LANES);
    let rest = chunks.remainder();
    for c in chunks {
        for l in 0..F64_LANES {
            let v = f64::from(c[l]);
            acc[l] += v * v; // exact product: 24 + 24 bits
        }
    }
    for (acc, v) in acc.iter_mut().zip(rest) {
        *acc += f64::from(*v) * f64::from(*v);
    }
    acc.iter().sum()
}

/// Σ x² in one fixed order.
pub(super) fn sum_squares(cpu: &Cpu, x: &[f32]) -> f64 {
    let step = x.len().div_ceil(PIECES).next_multiple_of(1024);
    let sums = [const { AtomicU64::new(0) }; PIECES];
    cpu.pool.each(x.len().div_ceil(step.max(1)), |i| {
        let piece = &x[i * step..((i + 1) * step).min(x.len())];
        sums[i].store(squares(cpu.level, piece).to_bits(), Ordering::Relaxed);
    });
    let sums = sums.map(|s| f64::from_bits(s.into_inner()));
    sums.iter().sum()
}

/// Row i of what is anchored is p[i · v.len()..], as long as v.
pub(super) fn pull(cpu: &Cpu, lambda: f32, (u, v): (&[f32], &[f32]), anchor: &[f32], p: &[f32], g: &mut [f32]) -> f64 {
    let (len, cols) = (g.len(), v.len().max(1));
    let step = len.div_ceil(PIECES).next_multiple_of(1024);
    let sums = [const { AtomicU64::new(0) }; PIECES];
    par::elements_by(&cpu.pool, step, g, |at, g| {
        let (mut sum, mut done) = (0.0f64, 0);
        // A row at a time, or what of it lies in this piece.
        while done < g.len() {
            let (row, col) = ((at.start + done) / cols, (at.start + done) % cols);
            let n = (cols - col).min(g.len() - done);
            let from = at.start + done;
            let terms = p[from..from + n].iter().zip(&anchor[from..from + n]).zip(&v[col..col + n]);
            for (g, ((p, anchor), v)) in g[done..done + n].iter_mut().zip(terms) {
                let (importance, moved) = (u[row] * v, p - anchor);
                *g += lambda * importance * moved;
                sum += f64::from(importance) * f64::from(moved) * f64::from(moved);
            }
            done += n;
        }
        sums[at.start / step].store(sum.to_bits(), Ordering::Relaxed);
    });
    let sums = sums.map(|s| f64::from_bits(s.into_inner()));
    sums.iter().sum()
}

/// The factors of one update, as torch forms them: in f64, then used in f32.
#[derive(Clone, Copy)]
struct Factors {
    grad_scale: f32,
    /// 1 − lr·decay
    shrink: f32,
    /// 1 − β1
    blend1: f32,
    beta2: f32,
    /// 1 − β2
    blend2: f32,
    /// √(1 − β2ᵗ)
    root2: f32,
    eps: f32,
    /// lr / (1 − β1ᵗ)
    step: f32,
}

impl Factors {
    fn new(a: &AdamW) -> Factors {
        let (lr, beta1, beta2) = (f64::from(a.lr), f64::from(a.beta1), f64::from(a.beta2));
        let t = f64::from(a.t);
        Factors {
            grad_scale: a.grad_scale,
            shrink: (1.0 - lr * f64::from(a.weight_decay)) as f32,
            blend1: (1.0 - beta1) as f32,
            beta2: a.beta2,
            blend2: (1.0 - beta2) as f32,
            root2: (1.0 - beta2.powf(t)).sqrt() as f32,
            eps: a.eps,
            step: (lr / (1.0 - beta1.powf(t))) as f32,
        }
    }
}

per_level! {
    fn update(f: Factors, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) = update_body
}

#[inline(always)]
fn update_body<M: Fma>(f: Factors, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        let g = g * f.grad_scale;
        *m = M::fma(f.blend1, g - *m, *m);
        *v = M::fma(f.blend2 * g, g, *v * f.beta2);
        let denominator = v.sqrt() / f.root2 + f.eps;
        *p = *p * f.shrink - f.step * (*m / denominator);
    }
}

/// All slices have one length.
pub(super) fn adamw(cpu: &Cpu, a: &AdamW, p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]) {
    let f = Factors::new(a);
    par::elements3(&cpu.pool, [p, m, v], |at, p, m, v| update(cpu.level, f, p, &g[at], m, v));
}

per_level! {
    fn update_blocks(f: Factors, p: &mut [f32], g: &[f32], m: Blocks, v: Blocks) = update_blocks_body
}

#[inline(always)]
fn update_blocks_body<M: Fma>(f: Factors, p: &mut [f32], g: &[f32], m: Blocks, v: Blocks) {
    let (signed, unsigned) = (&*SIGNED, &*UNSIGNED);
    let (mut wide_m, mut wide_v) = ([0.0; BLOCK], [0.0; BLOCK]);
    let m = m.codes.chunks_mut(BLOCK).zip(m.shared);
    let v = v.codes.chunks_mut(BLOCK).zip(v.shared);
    let blocks = p.chunks_mut(BLOCK).zip(g.chunks(BLOCK)).zip(m.zip(v));
    for ((p, g), ((m, m_max), (v, v_max))) in blocks {
        let (wide_m, wide_v) = (&mut wide_m[..p.len()], &mut wide_v[..p.len()]);
        signed.read(m, *m_max, wide_m);
        unsigned.read(v, *v_max, wide_v);
        update_body::<M>(f, p, g, wide_m, wide_v);
        *m_max = signed.write(wide_m, m);
        *v_max = unsigned.write(wide_v, v);
    }
}

/// Values and codes are of one length, and there is a magnitude for each block of them.
pub(super) fn adamw_8bit(cpu: &Cpu, a: &AdamW, p: &mut [f32], g: &[f32], m: Blocks, v: Blocks) {
    let f = Factors::new(a);
    par::blocks2(&cpu.pool, BLOCK, p, [m, v], |at, p, [m, v]| update_blocks(cpu.level, f, p, &g[at], m, v));
}

pub(super) fn smooth_importance(
    cpu: &Cpu,
    s: &Smoothing,
    p: &[f32],
    g: &[f32],
    importance: &mut [f32],
    uncertainty: &mut [f32],
) {
    let &Smoothing { beta1, beta2, grad_scale } = s;
    let (importance, uncertainty) = (RowsMut::dense(importance, 1), RowsMut::dense(uncertainty, 1));
    par::rows2(&cpu.pool, importance, uncertainty, |i, importance, uncertainty| {
        let now = (p[i] * (g[i] * grad_scale)).abs();
        importance[0] = beta1 * importance[0] + (1.0 - beta1) * now;
        uncertainty[0] = beta2 * uncertainty[0] + (1.0 - beta2) * (now - importance[0]).abs();
    });
}
