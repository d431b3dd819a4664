//! Rotary positions (Su et al. 2021) in the "rotate half" convention: the pair (j, j + half) turns by an
//! angle that grows with the position.

use super::buf::RowsMut;
use super::level::{Fma, per_level};
use super::{Cpu, par};

/// The tables of one call, and which way to turn.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub dim: usize,
    pub half: usize,
    /// [positions, half]
    pub cos: &'a [f32],
    pub sin: &'a [f32],
    /// 1, or −1 for the inverse
    pub sign: f32,
}

per_level! {
    fn turn(x: &mut [f32], dim: usize, half: usize, cos: &[f32], sin: &[f32], sign: f32) = turn_body
}

/// Every head of one token.
#[inline(always)]
fn turn_body<M: Fma>(x: &mut [f32], dim: usize, half: usize, cos: &[f32], sin: &[f32], sign: f32) {
    for head in x.chunks_exact_mut(dim) {
        let (a, b) = head[..2 * half].split_at_mut(half);
        for (((a, b), cos), sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
            let sin = sin * sign;
            let (u, v) = (*a, *b);
            *a = M::fma(u, *cos, -(v * sin));
            *b = M::fma(v, *cos, u * sin);
        }
    }
}

/// `pos[r]` must be a row of the tables.
pub(super) fn rope(cpu: &Cpu, t: Turn, pos: &[i32], x: RowsMut) {
    if t.half == 0 || t.dim == 0 {
        return;
    }
    par::rows(&cpu.pool, x, |r, x| {
        let at = pos[r] as usize * t.half;
        let (cos, sin) = (&t.cos[at..at + t.half], &t.sin[at..at + t.half]);
        turn(cpu.level, x, t.dim, t.half, cos, sin, t.sign);
    });
}
