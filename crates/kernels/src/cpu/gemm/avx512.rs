//! AVX-512: 16 lanes, 32 registers, masks for tails; and words of two bf16 where the processor multiplies them.

use super::simd::{Along, Read, Simd, Words};
use half::bf16;
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
    unsafe fn widen(p: *const bf16) -> Self {
        // SAFETY: as above.
        unsafe { widened(_mm256_loadu_si256(p.cast())) }
    }
    #[inline(always)]
    unsafe fn widen_part(p: *const bf16, n: usize) -> Self {
        // SAFETY: as above; masked lanes are not read.
        unsafe { widened(_mm256_maskz_loadu_epi16(mask(n), p.cast())) }
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
    unsafe fn expect(p: *const f32) {
        // SAFETY: a hint, which cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }
    #[inline(always)]
    unsafe fn expect_write(p: *const f32) {
        // SAFETY: a hint, which cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(p.cast()) }
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
    unsafe fn transpose<R: Along<Self>>(source: R, rows: usize, values: usize, dst: *mut f32, stride: usize) {
        // SAFETY: the trait's contract.
        unsafe {
            // arrays, constant bounds and no closures: only so does all of it stay in registers
            let mut r = [Self::zero(); 16];
            if values >= 16 * R::VALUES {
                for (i, r) in r.iter_mut().enumerate() {
                    if i < rows {
                        *r = source.load(i);
                    }
                }
                let turned = transposed(r);
                for (l, t) in turned.iter().enumerate() {
                    t.store(dst.add(l * stride));
                }
            } else {
                for (i, r) in r.iter_mut().enumerate() {
                    if i < rows {
                        *r = source.load_part(i, values);
                    }
                }
                let turned = transposed(r);
                for (l, t) in turned.iter().enumerate() {
                    if l < values.div_ceil(R::VALUES) {
                        t.store(dst.add(l * stride));
                    }
                }
            }
        }
    }
}

/// A word is two bf16, the earlier one in its low half; products and sums are in f32 (`vdpbf16ps`).
#[derive(Clone, Copy)]
pub(super) struct Pair;

impl Words<__m512> for Pair {
    const VALUES: usize = 2;

    #[inline(always)]
    unsafe fn mac(a: __m512, b: __m512, acc: __m512) -> __m512 {
        // SAFETY: called where AVX512-BF16 is enabled; here and below all three types are 64 bytes of plain data.
        unsafe { _mm512_dpbf16_ps(acc, bits(a), bits(b)) }
    }
}

impl Read<__m512, f32> for Pair {
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        // SAFETY: the trait's contract, here and below.
        unsafe { floats(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(p.add(16)), _mm512_loadu_ps(p))) }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, n: usize) -> __m512 {
        // SAFETY: as above; masked lanes are not read.
        unsafe {
            let low = _mm512_maskz_loadu_ps(mask(n.min(16)), p);
            let high = _mm512_maskz_loadu_ps(mask(n.saturating_sub(16)), p.wrapping_add(16));
            floats(_mm512_cvtne2ps_pbh(high, low))
        }
    }
    #[inline(always)]
    unsafe fn zip(p: *const f32, next: *const f32) -> __m512 {
        // SAFETY: as above.
        unsafe {
            let next = if next.is_null() { _mm512_setzero_ps() } else { _mm512_loadu_ps(next) };
            zipped(narrowed(_mm512_loadu_ps(p)), narrowed(next))
        }
    }
    #[inline(always)]
    unsafe fn zip_part(p: *const f32, next: *const f32, n: usize) -> __m512 {
        // SAFETY: as above; masked lanes are not read.
        unsafe {
            let next = if next.is_null() { _mm512_setzero_ps() } else { _mm512_maskz_loadu_ps(mask(n), next) };
            zipped(narrowed(_mm512_maskz_loadu_ps(mask(n), p)), narrowed(next))
        }
    }
}

impl Read<__m512, bf16> for Pair {
    #[inline(always)]
    unsafe fn load(p: *const bf16) -> __m512 {
        // SAFETY: the trait's contract, here and below.
        unsafe { _mm512_loadu_ps(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const bf16, n: usize) -> __m512 {
        // SAFETY: as above; masked lanes are not read.
        unsafe { _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(((1u64 << n) - 1) as __mmask32, p.cast())) }
    }
    #[inline(always)]
    unsafe fn zip(p: *const bf16, next: *const bf16) -> __m512 {
        // SAFETY: as above.
        unsafe {
            let next = if next.is_null() { _mm256_setzero_si256() } else { _mm256_loadu_si256(next.cast()) };
            zipped(_mm256_loadu_si256(p.cast()), next)
        }
    }
    #[inline(always)]
    unsafe fn zip_part(p: *const bf16, next: *const bf16, n: usize) -> __m512 {
        // SAFETY: as above; masked lanes are not read.
        unsafe {
            let part = |p: *const bf16| _mm256_maskz_loadu_epi16(mask(n), p.cast());
            zipped(part(p), if next.is_null() { _mm256_setzero_si256() } else { part(next) })
        }
    }
}

/// As [`Pair`], of one third of each value: the highest (0), middle or lowest (2) eight bits of its significand. The three are
/// bf16 and add up to it, but for parts below 2⁻¹²⁶.
#[derive(Clone, Copy)]
pub(super) struct Third<const I: usize>;

impl<const I: usize> Third<I> {
    #[inline(always)]
    unsafe fn of(x: __m512) -> __m512 {
        // SAFETY: called where AVX-512 is enabled; here and below.
        unsafe {
            let mut rest = x;
            for _ in 0..I {
                rest = _mm512_sub_ps(rest, high(rest));
            }
            high(rest)
        }
    }
}

/// x cut to bf16.
#[inline(always)]
unsafe fn high(x: __m512) -> __m512 {
    // SAFETY: as above.
    unsafe { _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0xffff_0000_u32 as i32))) }
}

impl<const I: usize> Words<__m512> for Third<I> {
    const VALUES: usize = 2;

    #[inline(always)]
    unsafe fn mac(_: __m512, _: __m512, _: __m512) -> __m512 {
        unreachable!("thirds are multiplied in tiles")
    }
}

impl<const I: usize> Read<__m512, f32> for Third<I> {
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        // SAFETY: the trait's contract, here and below.
        unsafe { paired(Self::of(_mm512_loadu_ps(p)), Self::of(_mm512_loadu_ps(p.add(16)))) }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, n: usize) -> __m512 {
        // SAFETY: as above; masked lanes are not read.
        unsafe {
            let low = _mm512_maskz_loadu_ps(mask(n.min(16)), p);
            let high = _mm512_maskz_loadu_ps(mask(n.saturating_sub(16)), p.wrapping_add(16));
            paired(Self::of(low), Self::of(high))
        }
    }
    #[inline(always)]
    unsafe fn zip(p: *const f32, next: *const f32) -> __m512 {
        // SAFETY: as above.
        unsafe {
            let next = if next.is_null() { _mm512_setzero_ps() } else { _mm512_loadu_ps(next) };
            zipped(narrowed(Self::of(_mm512_loadu_ps(p))), narrowed(Self::of(next)))
        }
    }
    #[inline(always)]
    unsafe fn zip_part(p: *const f32, next: *const f32, n: usize) -> __m512 {
        // SAFETY: as above; masked lanes are not read.
        unsafe {
            let next = if next.is_null() { _mm512_setzero_ps() } else { _mm512_maskz_loadu_ps(mask(n), next) };
            zipped(narrowed(Self::of(_mm512_maskz_loadu_ps(mask(n), p))), narrowed(Self::of(next)))
        }
    }
}

/// Words of values that follow each other: of `low`, then of `high`.
#[inline(always)]
unsafe fn paired(low: __m512, high: __m512) -> __m512 {
    // SAFETY: called where AVX512-BF16 is enabled.
    unsafe { floats(_mm512_cvtne2ps_pbh(high, low)) }
}

#[inline(always)]
unsafe fn bits(x: __m512) -> __m512bh {
    // SAFETY: 64 bytes of plain data on both sides.
    unsafe { std::mem::transmute(x) }
}

#[inline(always)]
unsafe fn floats(x: __m512bh) -> __m512 {
    // SAFETY: 64 bytes of plain data on both sides.
    unsafe { std::mem::transmute(x) }
}

/// Sixteen floats rounded to bf16.
#[inline(always)]
unsafe fn narrowed(x: __m512) -> __m256i {
    // SAFETY: called where AVX512-BF16 is enabled; 32 bytes of plain data on both sides.
    unsafe { std::mem::transmute(_mm512_cvtneps_pbh(x)) }
}

/// Words of a value of `low` and one of `high`.
#[inline(always)]
unsafe fn zipped(low: __m256i, high: __m256i) -> __m512 {
    // SAFETY: called where AVX-512 is enabled.
    unsafe {
        let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high));
        _mm512_castsi512_ps(_mm512_or_si512(_mm512_cvtepu16_epi32(low), high))
    }
}

#[inline(always)]
unsafe fn widened(x: __m256i) -> __m512 {
    // SAFETY: called where AVX-512 is enabled.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(x))) }
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
pub(super) unsafe fn transposed(r: [__m512; 16]) -> [__m512; 16] {
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
