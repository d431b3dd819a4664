//! NEON: 4 lanes, 32 registers.

use super::simd::{Along, Simd, transpose_plain};
use half::bf16;
use std::arch::aarch64::*;

impl Simd for float32x4_t {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the trait's contract, here and below: the instructions exist and pointers are valid.
        unsafe { vdupq_n_f32(0.0) }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: as above.
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { vld1q_f32(p) }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, n: usize) -> Self {
        let mut lanes = [0.0; 4];
        // SAFETY: as above, for n values.
        unsafe {
            std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n);
            vld1q_f32(lanes.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn widen(p: *const bf16) -> Self {
        // SAFETY: as above.
        unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(p.cast()))) }
    }
    #[inline(always)]
    unsafe fn widen_part(p: *const bf16, n: usize) -> Self {
        let mut lanes = [bf16::ZERO; 4];
        // SAFETY: as above, for n values.
        unsafe {
            std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n);
            Self::widen(lanes.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: as above.
        unsafe { vst1q_f32(p, self) }
    }
    #[inline(always)]
    unsafe fn store_part(self, p: *mut f32, n: usize) {
        let mut lanes = [0.0; 4];
        // SAFETY: as above, for n values.
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), self);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n);
        }
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: as above.
        unsafe { vfmaq_f32(c, self, b) }
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { vaddq_f32(self, b) }
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        // SAFETY: as above.
        unsafe { vmulq_f32(self, b) }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: as above.
        unsafe { vaddvq_f32(self) }
    }
    #[inline(always)]
    unsafe fn transpose<R: Along<Self>>(source: R, rows: usize, values: usize, dst: *mut f32, stride: usize) {
        if rows < 4 || values < 4 * R::VALUES {
            // SAFETY: the trait's contract.
            return unsafe { transpose_plain(source, rows, values, dst, stride) };
        }
        // SAFETY: the trait's contract.
        unsafe {
            let (a, b, c, d) = (source.load(0), source.load(1), source.load(2), source.load(3));
            let (ab, cd) = (vtrnq_f32(a, b), vtrnq_f32(c, d));
            vst1q_f32(dst, vcombine_f32(vget_low_f32(ab.0), vget_low_f32(cd.0)));
            vst1q_f32(dst.add(stride), vcombine_f32(vget_low_f32(ab.1), vget_low_f32(cd.1)));
            vst1q_f32(dst.add(2 * stride), vcombine_f32(vget_high_f32(ab.0), vget_high_f32(cd.0)));
            vst1q_f32(dst.add(3 * stride), vcombine_f32(vget_high_f32(ab.1), vget_high_f32(cd.1)));
        }
    }
}
