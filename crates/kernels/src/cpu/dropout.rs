//! Dropout whose mask is a function of (key, row, column): nothing is stored, and the backward pass is
//! the same call on the gradient.

use super::buf::{Rows, RowsMut};
use super::level::{Fma, per_level};
use super::{Cpu, par};
use crate::Write;

/// SplitMix64's finaliser (Steele, Lea & Flood 2014).
fn mix64(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// MurmurHash3's 32-bit finaliser: 32-bit products are vector instructions everywhere.
#[inline(always)]
fn mix32(mut h: u32) -> u32 {
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

per_level! {
    fn mask_row(x: &[f32], y: &mut [f32], row_key: u64, drop_below: u32, scale: f32, write: Write) = mask_row_body
}

#[inline(always)]
fn mask_row_body<M: Fma>(x: &[f32], y: &mut [f32], row_key: u64, drop_below: u32, scale: f32, write: Write) {
    let (k0, k1) = (row_key as u32, (row_key >> 32) as u32);
    let keep = |c: usize| {
        let word = mix32(mix32((c as u32).wrapping_mul(0x9e37_79b9) ^ k0) ^ k1);
        if word >= drop_below { scale } else { 0.0 }
    };
    match write {
        Write::Set => {
            for (c, (y, x)) in y.iter_mut().zip(x).enumerate() {
                *y = x * keep(c);
            }
        }
        Write::Add => {
            for (c, (y, x)) in y.iter_mut().zip(x).enumerate() {
                *y = M::fma(*x, keep(c), *y);
            }
        }
    }
}

/// 0 ≤ p < 1
pub(super) fn dropout(cpu: &Cpu, p: f32, key: u64, x: Rows, y: RowsMut, write: Write) {
    let drop_below = (f64::from(p) * 2.0f64.powi(32)) as u32;
    let scale = (1.0 / (1.0 - f64::from(p))) as f32;
    par::rows(&cpu.pool, y, |r, y| {
        let row_key = mix64(key ^ mix64(r as u64));
        mask_row(cpu.level, x.row(r), y, row_key, drop_below, scale, write);
    });
}
