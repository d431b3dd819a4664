//! NF4 codes become values, as many at a time as a vector has.

use super::Cpu;
#[cfg(target_arch = "x86_64")]
use super::level::Isa;
use super::level::Level;
use crate::{Nf4, Precision};
use half::bf16;

/// A matrix in NF4 that products read.
#[derive(Debug)]
pub(super) struct Unpack {
    nf4: Nf4,
    level: Level,
    /// Values are rounded to bf16, as products are in it.
    rounded: bool,
}

impl Unpack {
    pub(super) fn new(cpu: &Cpu, nf4: Nf4) -> Unpack {
        Unpack { nf4, level: cpu.level, rounded: cpu.precision == Precision::Bf16 }
    }

    pub(super) fn bytes(&self) -> usize {
        self.nf4.bytes()
    }

    /// out = the values from `at` on, as products use them.
    pub(super) fn read(&self, at: usize, out: &mut [f32]) {
        self.read_unrounded(at, out);
        if self.rounded {
            out.iter_mut().for_each(|v| *v = bf16::from_f32(*v).to_f32());
        }
    }

    /// The same where packing rounds them.
    pub(super) fn read_to_pack(&self, at: usize, out: &mut [f32]) {
        if self.level.multiplies_bf16() { self.read_unrounded(at, out) } else { self.read(at, out) }
    }

    fn read_unrounded(&self, at: usize, out: &mut [f32]) {
        match self.level.isa() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 | Isa::Avx512 => self.nf4.each_block(at, out, &mut |at, scale, out| {
                // SAFETY: the level is proof of AVX-512.
                unsafe { x86::sixteens(self.nf4.codes(), at, scale, out) }
            }),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => self.nf4.each_block(at, out, &mut |at, scale, out| {
                // SAFETY: the level is proof of AVX2.
                unsafe { x86::eights(self.nf4.codes(), at, scale, out) }
            }),
            _ => self.nf4.read(at, out),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use crate::nf4::{CODE, code};
    use std::arch::x86_64::*;

    /// Where the codes of four bytes begin, the earlier of two in the high half.
    const SHIFTS: [i32; 8] = [4, 0, 12, 8, 20, 16, 28, 24];

    /// out = the values of a block from `at` on.
    #[target_feature(enable = "avx512f,avx2")]
    pub(super) unsafe fn sixteens(codes: &[u8], at: usize, scale: f32, out: &mut [f32]) {
        // SAFETY: tables have a vector's length, and chunks of `out` too.
        unsafe {
            let (table, by) = (_mm512_loadu_ps(CODE.as_ptr()), _mm512_set1_ps(scale));
            let shifts = _mm512_broadcast_i64x4(_mm256_loadu_si256(SHIFTS.as_ptr().cast()));
            vectors::<16>(codes, at, scale, out, |bytes, to| {
                let [low, high] =
                    [0, 4].map(|i| i32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]));
                let both =
                    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(_mm256_set1_epi32(low)), _mm256_set1_epi32(high));
                // the table has sixteen entries: higher bits do not count
                let values = _mm512_permutexvar_ps(_mm512_srlv_epi32(both, shifts), table);
                _mm512_storeu_ps(to, _mm512_mul_ps(values, by));
            });
        }
    }

    /// The same, eight at a time.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn eights(codes: &[u8], at: usize, scale: f32, out: &mut [f32]) {
        // SAFETY: as above.
        unsafe {
            let [low, high] = [0, 8].map(|i| _mm256_loadu_ps(CODE[i..i + 8].as_ptr()));
            let (by, shifts) = (_mm256_set1_ps(scale), _mm256_loadu_si256(SHIFTS.as_ptr().cast()));
            vectors::<8>(codes, at, scale, out, |bytes, to| {
                let four = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                let codes = _mm256_srlv_epi32(_mm256_set1_epi32(four), shifts);
                let [low, high] = [low, high].map(|half| _mm256_permutevar8x32_ps(half, codes));
                // the fourth bit, where a blend looks
                let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(codes));
                _mm256_storeu_ps(to, _mm256_mul_ps(_mm256_blendv_ps(low, high, upper), by));
            });
        }
    }

    /// Calls `f` with the bytes of N codes and where their values go; what does not fill a vector is done one by one.
    #[inline(always)]
    fn vectors<const N: usize>(codes: &[u8], at: usize, scale: f32, out: &mut [f32], f: impl Fn(&[u8], *mut f32)) {
        let one = |i: usize| CODE[code(codes, i)] * scale;
        // a byte's second code
        let (odd, rest) = out.split_at_mut((at % 2).min(out.len()));
        odd.iter_mut().for_each(|v| *v = one(at));
        let at = at + odd.len();
        let mut chunks = rest.chunks_exact_mut(N);
        let mut next = at;
        for to in &mut chunks {
            f(&codes[next / 2..][..N / 2], to.as_mut_ptr());
            next += N;
        }
        for (i, v) in (next..).zip(chunks.into_remainder()) {
            *v = one(i);
        }
    }
}
