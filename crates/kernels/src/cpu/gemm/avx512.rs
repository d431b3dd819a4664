//! AVX-512: 16 lanes, 32 registers, masks for tails.

use super::simd::Simd;
use std::arch::x86_64::*;

impl Simd for __m512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the trait's contract, here and below: the instructions exist and pointers are valid.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, n: usize) -> Self {
        // SAFETY: as above; masked lanes are not read.
        unsafe { _mm512_maskz_loadu_ps(mask(n), p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(p, self) }
    }
    #[inline(always)]
    unsafe fn store_part(self, p: *mut f32, n: usize) {
        // SAFETY: as above; masked lanes are not written.
        unsafe { _mm512_mask_storeu_ps(p, mask(n), self) }
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_fmadd_ps(self, b, c) }
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_add_ps(self, b) }
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(self, b) }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: as above.
        unsafe { _mm512_reduce_add_ps(self) }
    }

    #[inline(always)]
    unsafe fn transpose(src: *const f32, ld: usize, rows: usize, cols: usize, dst: *mut f32, stride: usize) {
        // SAFETY: the trait's contract.
        unsafe {
            // arrays, constant bounds and no closures: only so does all of it stay in registers
            let mut r = [Self::zero(); 16];
            if cols == 16 {
                for (i, r) in r.iter_mut().enumerate() {
                    if i < rows {
                        *r = Self::load(src.add(i * ld));
                    }
                }
                let turned = transposed(r);
                for (l, t) in turned.iter().enumerate() {
                    t.store(dst.add(l * stride));
                }
            } else {
                for (i, r) in r.iter_mut().enumerate() {
                    if i < rows {
                        *r = Self::load_part(src.add(i * ld), cols);
                    }
                }
                let turned = transposed(r);
                for (l, t) in turned.iter().enumerate() {
                    if l < cols {
                        t.store(dst.add(l * stride));
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn mask(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

#[inline(always)]
unsafe fn join_low(a: __m512, b: __m512) -> __m512 {
    // SAFETY: called where AVX-512 is enabled.
    unsafe { _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b))) }
}

#[inline(always)]
unsafe fn join_high(a: __m512, b: __m512) -> __m512 {
    // SAFETY: called where AVX-512 is enabled.
    unsafe { _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b))) }
}

/// A 16×16 transpose in registers: pairs of rows, then fours, then halves of the register.
#[inline(always)]
unsafe fn transposed(r: [__m512; 16]) -> [__m512; 16] {
    // SAFETY: called where AVX-512 is enabled.
    unsafe {
        let mut pairs = r;
        for i in 0..8 {
            pairs[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        let mut fours = r;
        for i in 0..4 {
            fours[4 * i] = join_low(pairs[4 * i], pairs[4 * i + 2]);
            fours[4 * i + 1] = join_high(pairs[4 * i], pairs[4 * i + 2]);
            fours[4 * i + 2] = join_low(pairs[4 * i + 1], pairs[4 * i + 3]);
            fours[4 * i + 3] = join_high(pairs[4 * i + 1], pairs[4 * i + 3]);
        }
        let mut eights = r;
        for i in 0..4 {
            eights[i] = _mm512_shuffle_f32x4::<0x88>(fours[i], fours[4 + i]);
            eights[4 + i] = _mm512_shuffle_f32x4::<0xdd>(fours[i], fours[4 + i]);
            eights[8 + i] = _mm512_shuffle_f32x4::<0x88>(fours[8 + i], fours[12 + i]);
            eights[12 + i] = _mm512_shuffle_f32x4::<0xdd>(fours[8 + i], fours[12 + i]);
        }
        let mut out = r;
        for i in 0..8 {
            out[i] = _mm512_shuffle_f32x4::<0x88>(eights[i], eights[8 + i]);
            out[8 + i] = _mm512_shuffle_f32x4::<0xdd>(eights[i], eights[8 + i]);
        }
        out
    }
}
