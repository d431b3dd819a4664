//! Gated activations (Shazeer 2020): h = act(gate) · up.

use super::buf::{Rows, RowsMut};
use super::level::{Fma, per_level};
use super::{Cpu, math, par};
use crate::Activation;

/// act(x) and act′(x)
#[inline(always)]
fn silu<M: Fma>(x: f32) -> (f32, f32) {
    let (s, rest) = math::sigmoid::<M>(x);
    (x * s, s * M::fma(x, rest, 1.0))
}

/// x/2 · (1 + tanh u) = x · sigmoid(2u), u = √(2/π) (x + 0.044715 x³) (Hendrycks & Gimpel 2016).
#[inline(always)]
fn gelu<M: Fma>(x: f32) -> (f32, f32) {
    const C: f32 = 0.797_884_6;
    const CUBIC: f32 = 0.044_715;
    let x2 = x * x;
    let u = C * x * M::fma(CUBIC, x2, 1.0);
    let du = C * M::fma(3.0 * CUBIC, x2, 1.0);
    let (s, rest) = math::sigmoid::<M>(2.0 * u);
    (x * s, M::fma(2.0 * x * s * rest, du, s))
}

per_level! {
    fn forward(act: Activation, gate: &[f32], up: &[f32], h: &mut [f32]) = forward_body
}

#[inline(always)]
fn forward_body<M: Fma>(act: Activation, gate: &[f32], up: &[f32], h: &mut [f32]) {
    #[inline(always)]
    fn each(gate: &[f32], up: &[f32], h: &mut [f32], act: impl Fn(f32) -> (f32, f32)) {
        for ((h, gate), up) in h.iter_mut().zip(gate).zip(up) {
            *h = act(*gate).0 * up;
        }
    }
    match act {
        Activation::Silu => each(gate, up, h, silu::<M>),
        Activation::GeluTanh => each(gate, up, h, gelu::<M>),
    }
}

pub(super) fn glu(cpu: &Cpu, f: usize, act: Activation, gu: Rows, h: RowsMut) {
    par::rows(&cpu.pool, h, |r, h| {
        let (gate, up) = gu.row(r).split_at(f);
        forward(cpu.level, act, gate, up, h);
    });
}

per_level! {
    fn backward(act: Activation, dh: &[f32], gate: &mut [f32], up: &mut [f32], h: &mut [f32]) = backward_body
}

#[inline(always)]
fn backward_body<M: Fma>(act: Activation, dh: &[f32], gate: &mut [f32], up: &mut [f32], h: &mut [f32]) {
    #[inline(always)]
    fn each(dh: &[f32], gate: &mut [f32], up: &mut [f32], h: &mut [f32], act: impl Fn(f32) -> (f32, f32)) {
        for (((h, gate), up), dh) in h.iter_mut().zip(gate).zip(up).zip(dh) {
            let (a, slope) = act(*gate);
            *h = a * *up;
            *gate = dh * *up * slope;
            *up = dh * a;
        }
    }
    match act {
        Activation::Silu => each(dh, gate, up, h, silu::<M>),
        Activation::GeluTanh => each(dh, gate, up, h, gelu::<M>),
    }
}

pub(super) fn glu_back(cpu: &Cpu, f: usize, act: Activation, dh: Rows, gu: RowsMut, h: RowsMut) {
    par::rows2(&cpu.pool, gu, h, |r, gu, h| {
        let (gate, up) = gu.split_at_mut(f);
        backward(cpu.level, act, dh.row(r), gate, up, h);
    });
}
