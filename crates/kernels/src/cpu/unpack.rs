//! NF4 codes become values: a block's sixteen values are computed once, and its codes look them up, as many at a time as
//! a vector has.

use super::Cpu;
#[cfg(target_arch = "x86_64")]
use super::level::Isa;
use super::level::Level;
use crate::nf4::{CODE, code};
use crate::{Nf4, Precision};
use half::bf16;

/// A matrix in NF4 that products read.
#[derive(Debug)]
pub(super) struct Unpack {
    nf4: Nf4,
    level: Level,
    /// Values are rounded to it.
    precision: Precision,
}

impl Unpack {
    pub(super) fn new(cpu: &Cpu, nf4: Nf4) -> Unpack {
        Unpack { nf4, level: cpu.level, precision: cpu.precision }
    }

    pub(super) fn bytes(&self) -> usize {
        self.nf4.bytes()
    }

    pub(super) fn nf4_mut(&mut self) -> &mut Nf4 {
        &mut self.nf4
    }

    /// Whether products read it as bf16.
    pub(super) fn in_bf16(&self) -> bool {
        self.precision == Precision::Bf16 && self.level.multiplies_bf16()
    }

    /// out = the values from `at` on, as products use them.
    pub(super) fn read(&self, at: usize, out: &mut [f32]) {
        match self.level.isa() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level is proof of AVX-512.
            Isa::Amx | Isa::Avx512Bf16 | Isa::Avx512 => unsafe { avx512::floats(&self.nf4, self.precision, at, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level is proof of AVX2.
            Isa::Avx2 => unsafe { avx2::floats(&self.nf4, self.precision, at, out) },
            _ => self.nf4.each_block(at, out, |at, scale, out| {
                let values = CODE.map(|c| match self.precision {
                    Precision::F32 => c * scale,
                    Precision::Bf16 => bf16::from_f32(c * scale).to_f32(),
                });
                (at..).zip(out).for_each(|(i, out)| *out = values[code(self.nf4.codes(), i)]);
            }),
        }
    }

    /// Row i of `out`, `stride` apart, = the `len` values from `at` + i · `ld` on, in bf16, which they are rounded to.
    pub(super) fn read_bf16(&self, (at, ld): (usize, usize), len: usize, out: &mut [bf16], stride: usize) {
        match self.level.isa() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level is proof of AVX-512 and its bf16.
            Isa::Amx | Isa::Avx512Bf16 => unsafe { avx512::halves(&self.nf4, (at, ld), len, out, stride) },
            _ => {
                for (r, out) in out.chunks_mut(stride).enumerate() {
                    self.nf4.each_block(at + r * ld, &mut out[..len], |at, scale, out| {
                        let values = CODE.map(|c| bf16::from_f32(c * scale));
                        (at..).zip(out).for_each(|(i, out)| *out = values[code(self.nf4.codes(), i)]);
                    });
                }
            }
        }
    }
}

/// The part of `out`, a value or none, that is a byte's second code; then where the rest begins, and the rest.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn after_odd<T>(at: usize, out: &mut [T]) -> (&mut [T], usize, &mut [T]) {
    let (odd, rest) = out.split_at_mut(at % 2);
    let at = at + odd.len();
    (odd, at, rest)
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{CODE, Nf4, Precision, after_odd, bf16, code};
    use std::arch::x86_64::*;

    /// out = the values from `at` on, rounded to `precision`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma")]
    pub(super) unsafe fn floats(nf4: &Nf4, precision: Precision, at: usize, out: &mut [f32]) {
        // SAFETY: the table has a vector's length; of bytes and of `out` only what there is is read and written.
        unsafe {
            let codes = _mm512_loadu_ps(CODE.as_ptr());
            nf4.each_block(at, out, |at, scale, out| {
                let mut values = _mm512_mul_ps(codes, _mm512_set1_ps(scale));
                if precision == Precision::Bf16 {
                    values = rounded(values);
                }
                let (odd, at, out) = after_odd(at, out);
                if let [odd] = odd {
                    let i = _mm512_set1_epi32(code(nf4.codes(), at - 1) as i32);
                    *odd = _mm512_cvtss_f32(_mm512_permutexvar_ps(i, values));
                }
                let look_up = |bytes: __m128i| {
                    // A byte's first code goes to an even place and its second behind it; look-ups take the low four
                    // bits.
                    let wide = _mm512_cvtepu8_epi64(bytes);
                    let i = _mm512_or_si512(_mm512_srli_epi64::<4>(wide), _mm512_slli_epi64::<32>(wide));
                    _mm512_permutexvar_ps(i, values)
                };
                let (chunks, rest) = out.as_chunks_mut::<16>();
                let (bytes, last) = nf4.codes()[at / 2..].split_at(8 * chunks.len());
                for (bytes, out) in bytes.as_chunks::<8>().0.iter().zip(chunks) {
                    _mm512_storeu_ps(out.as_mut_ptr(), look_up(_mm_loadl_epi64(bytes.as_ptr().cast())));
                }
                if !rest.is_empty() {
                    let bytes = _mm_maskz_loadu_epi8(mask(rest.len().div_ceil(2)) as u16, last.as_ptr().cast());
                    _mm512_mask_storeu_ps(rest.as_mut_ptr(), mask(rest.len()) as u16, look_up(bytes));
                }
            });
        }
    }

    /// Row i of `out`, `stride` apart, = the `len` values from `at` + i · `ld` on, in bf16.
    #[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512vl,avx2,fma")]
    pub(super) unsafe fn halves(nf4: &Nf4, (at, ld): (usize, usize), len: usize, out: &mut [bf16], stride: usize) {
        // SAFETY: as above.
        unsafe {
            let codes = _mm512_loadu_ps(CODE.as_ptr());
            for (r, out) in out.chunks_mut(stride).enumerate() {
                nf4.each_block(at + r * ld, &mut out[..len], |at, scale, out| {
                    let values = _mm512_cvtneps_pbh(_mm512_mul_ps(codes, _mm512_set1_ps(scale)));
                    // Twice: of the five bits that a look-up takes, the highest does not count.
                    let values: __m256i = std::mem::transmute(values);
                    let values = _mm512_broadcast_i64x4(values);
                    let (odd, at, out) = after_odd(at, out);
                    if let [odd] = odd {
                        let i = _mm512_set1_epi16(code(nf4.codes(), at - 1) as i16);
                        let found = _mm512_permutexvar_epi16(i, values);
                        *odd = bf16::from_bits(_mm_extract_epi16::<0>(_mm512_castsi512_si128(found)) as u16);
                    }
                    let look_up = |bytes: __m128i| {
                        let wide = _mm512_cvtepu8_epi32(bytes);
                        let i = _mm512_or_si512(_mm512_srli_epi32::<4>(wide), _mm512_slli_epi32::<16>(wide));
                        _mm512_permutexvar_epi16(i, values)
                    };
                    // Stores under a mask take far longer: only for what is left.
                    let (chunks, rest) = out.as_chunks_mut::<32>();
                    let (bytes, last) = nf4.codes()[at / 2..].split_at(16 * chunks.len());
                    for (bytes, out) in bytes.as_chunks::<16>().0.iter().zip(chunks) {
                        _mm512_storeu_si512(out.as_mut_ptr().cast(), look_up(_mm_loadu_si128(bytes.as_ptr().cast())));
                    }
                    if !rest.is_empty() {
                        let bytes = _mm_maskz_loadu_epi8(mask(rest.len().div_ceil(2)) as u16, last.as_ptr().cast());
                        _mm512_mask_storeu_epi16(rest.as_mut_ptr().cast(), mask(rest.len()), look_up(bytes));
                    }
                });
            }
        }
    }

    /// To bf16 and back, ties to even; values are finite, or the infinity of a product.
    #[inline(always)]
    unsafe fn rounded(x: __m512) -> __m512 {
        // SAFETY: called where AVX-512 is enabled.
        unsafe {
            let bits = _mm512_castps_si512(x);
            let even = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), even);
            _mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32(!0xffff)))
        }
    }

    /// The first n lanes, at most 32.
    #[inline(always)]
    fn mask(n: usize) -> u32 {
        ((1u64 << n) - 1) as u32
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{CODE, Nf4, Precision, after_odd, bf16, code};
    use std::arch::x86_64::*;

    /// Where the codes of four bytes begin, the earlier of two in the high half.
    const SHIFTS: [i32; 8] = [4, 0, 12, 8, 20, 16, 28, 24];

    /// out = the values from `at` on, rounded to `precision`.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn floats(nf4: &Nf4, precision: Precision, at: usize, out: &mut [f32]) {
        // SAFETY: tables have two vectors' length, and each chunk of `out` has one.
        unsafe {
            let shifts = _mm256_loadu_si256(SHIFTS.as_ptr().cast());
            nf4.each_block(at, out, |at, scale, out| {
                let mut values = CODE;
                for v in &mut values {
                    *v *= scale;
                    if precision == Precision::Bf16 {
                        *v = bf16::from_f32(*v).to_f32();
                    }
                }
                let [low, high] = [0, 8].map(|i| _mm256_loadu_ps(values[i..i + 8].as_ptr()));
                let (odd, at, out) = after_odd(at, out);
                if let [odd] = odd {
                    *odd = values[code(nf4.codes(), at - 1)];
                }
                let whole = out.len() / 8 * 8;
                let (out, rest) = out.split_at_mut(whole);
                for (bytes, out) in nf4.codes()[at / 2..].chunks_exact(4).zip(out.chunks_exact_mut(8)) {
                    let four = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                    let i = _mm256_srlv_epi32(_mm256_set1_epi32(four), shifts);
                    let [low, high] = [low, high].map(|half| _mm256_permutevar8x32_ps(half, i));
                    // the fourth bit, where a blend looks
                    let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(i));
                    _mm256_storeu_ps(out.as_mut_ptr(), _mm256_blendv_ps(low, high, upper));
                }
                (at + whole..).zip(rest).for_each(|(i, out)| *out = values[code(nf4.codes(), i)]);
            });
        }
    }
}
