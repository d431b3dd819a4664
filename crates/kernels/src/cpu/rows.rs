//! Moving rows: look-ups, scattered sums, copies, biases.

use super::buf::{Rows, RowsMut};
use super::level::{Fma, per_level};
use super::{Cpu, Weight, par};
use crate::Write;

per_level! {
    fn scaled(scale: f32, x: &[f32], y: &mut [f32], write: Write) = scaled_body
}

/// y = scale · x (+ y)
#[inline(always)]
fn scaled_body<M: Fma>(scale: f32, x: &[f32], y: &mut [f32], write: Write) {
    match write {
        Write::Set => y.iter_mut().zip(x).for_each(|(y, x)| *y = scale * x),
        Write::Add => y.iter_mut().zip(x).for_each(|(y, x)| *y = M::fma(scale, *x, *y)),
    }
}

/// `ids[i]` must be a row of `w`.
pub(super) fn embed(cpu: &Cpu, ids: &[i32], w: &Weight, scale: f32, out: RowsMut) {
    par::rows(&cpu.pool, out, |r, out| {
        w.read(ids[r] as usize, 0, out);
        if scale != 1.0 {
            out.iter_mut().for_each(|v| *v *= scale);
        }
    });
}

/// `ids[r]` must be a row of `table`.
pub(super) fn gather(cpu: &Cpu, ids: &[i32], table: Rows, scale: f32, out: RowsMut, write: Write) {
    par::rows(&cpu.pool, out, |r, out| {
        scaled(cpu.level, scale, table.row(ids[r] as usize), out, write);
    });
}

/// Threads share the columns, so that rows that meet in one place are added in order.
pub(super) fn scatter_add(cpu: &Cpu, ids: &[i32], rows: Rows, scale: f32, table: RowsMut) {
    par::stripes(&cpu.pool, table, |cols, mut table| {
        for (r, id) in ids.iter().enumerate() {
            let row = &rows.row(r)[cols.clone()];
            scaled(cpu.level, scale, row, table.row(*id as usize), Write::Add);
        }
    });
}

pub(super) fn copy(cpu: &Cpu, src: Rows, dst: RowsMut) {
    par::rows(&cpu.pool, dst, |r, dst| dst.copy_from_slice(src.row(r)));
}

pub(super) fn fill(cpu: &Cpu, dst: &mut [f32], value: f32) {
    par::elements(&cpu.pool, dst, |_, dst| dst.fill(value));
}

pub(super) fn add(cpu: &Cpu, alpha: f32, x: &[f32], y: &mut [f32]) {
    par::elements(&cpu.pool, y, |at, y| scaled(cpu.level, alpha, &x[at], y, Write::Add));
}

pub(super) fn add_bias(cpu: &Cpu, bias: &[f32], y: RowsMut) {
    par::rows(&cpu.pool, y, |_, y| scaled(cpu.level, 1.0, bias, y, Write::Add));
}

/// In f64: a row's share vanishes in a long sum.
pub(super) fn bias_back(cpu: &Cpu, dy: Rows, dbias: RowsMut) {
    par::stripes(&cpu.pool, dbias, |cols, mut dbias| {
        let mut sum = [0.0f64; par::STRIPE];
        for r in 0..dy.rows() {
            for (sum, dy) in sum.iter_mut().zip(&dy.row(r)[cols.clone()]) {
                *sum += f64::from(*dy);
            }
        }
        for (dbias, sum) in dbias.row(0).iter_mut().zip(sum) {
            *dbias += sum as f32;
        }
    });
}
