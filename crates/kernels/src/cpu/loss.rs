//! Cross-entropy over rows of logits, with an optional soft-cap: z = cap · tanh(x / cap).

use super::buf::{Rows, RowsMut};
use super::level::{Fma, per_level};
use super::{Cpu, math, par};

/// Elements summed in f32 before the sum goes on in f64: a vocabulary is too long for f32 alone.
const BLOCK: usize = 1024;

/// A row without a target: no loss, no gradient.
const NONE: i32 = -1;

#[inline(always)]
fn capped<M: Fma>(x: f32, softcap: Option<f32>) -> f32 {
    match softcap {
        None => x,
        Some(cap) => cap * math::tanh::<M>(x / cap),
    }
}

/// max z and Σ exp(z − max)
#[inline(always)]
fn normaliser<M: Fma>(x: &[f32], softcap: Option<f32>) -> (f32, f64) {
    let max = capped::<M>(math::max(x), softcap);
    let mut sum = 0.0;
    for block in x.chunks(BLOCK) {
        sum += f64::from(match softcap {
            None => math::sum1(block, |acc, x| acc + math::exp::<M>(x - max)),
            Some(cap) => math::sum1(block, |acc, x| acc + math::exp::<M>(cap * math::tanh::<M>(x / cap) - max)),
        });
    }
    (max, sum)
}

per_level! {
    fn loss_row(x: &[f32], softcap: Option<f32>, target: usize) -> f32 = loss_row_body
}

#[inline(always)]
fn loss_row_body<M: Fma>(x: &[f32], softcap: Option<f32>, target: usize) -> f32 {
    let (max, sum) = normaliser::<M>(x, softcap);
    (sum.ln() + f64::from(max) - f64::from(capped::<M>(x[target], softcap))) as f32
}

pub(super) fn cross_entropy(cpu: &Cpu, softcap: Option<f32>, targets: &[i32], logits: Rows, loss: RowsMut) {
    par::row_blocks(&cpu.pool, loss, logits.cols(), |r0, mut loss| {
        for i in 0..loss.rows() {
            loss.row(i)[0] = match targets[r0 + i] {
                NONE => 0.0,
                target => loss_row(cpu.level, logits.row(r0 + i), softcap, target as usize),
            };
        }
    });
}

per_level! {
    fn back_row(x: &mut [f32], softcap: Option<f32>, target: usize, scale: f32) -> f32 = back_row_body
}

#[inline(always)]
fn back_row_body<M: Fma>(x: &mut [f32], softcap: Option<f32>, target: usize, scale: f32) -> f32 {
    let (max, sum) = normaliser::<M>(x, softcap);
    let at_target = capped::<M>(x[target], softcap);
    let factor = (f64::from(scale) / sum) as f32;
    match softcap {
        None => {
            for x in x.iter_mut() {
                *x = factor * math::exp::<M>(*x - max);
            }
            x[target] -= scale;
        }
        Some(cap) => {
            let t = at_target / cap;
            for x in x.iter_mut() {
                let t = math::tanh::<M>(*x / cap);
                *x = factor * math::exp::<M>(cap * t - max) * M::fma(-t, t, 1.0);
            }
            x[target] -= scale * M::fma(-t, t, 1.0);
        }
    }
    (sum.ln() + f64::from(max) - f64::from(at_target)) as f32
}

pub(super) fn cross_entropy_back(
    cpu: &Cpu,
    softcap: Option<f32>,
    targets: &[i32],
    scale: f32,
    logits: RowsMut,
    loss: RowsMut,
) {
    par::rows2(&cpu.pool, logits, loss, |r, x, loss| {
        loss[0] = match targets[r] {
            NONE => {
                x.fill(0.0);
                0.0
            }
            target => back_row(cpu.level, x, softcap, target as usize, scale),
        };
    });
}
