//! Plain Rust, for processors without one of the sets above. The compiler makes what it can of it.

use super::simd::{Along, Simd, transpose_plain};
use half::bf16;

#[derive(Clone, Copy)]
pub(super) struct Four([f32; 4]);

impl Simd for Four {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Four([0.0; 4])
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Four([x; 4])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the trait's contract, here and below: pointers are valid.
        Four(unsafe { p.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, n: usize) -> Self {
        let mut lanes = [0.0; 4];
        // SAFETY: as above, for n values.
        unsafe { std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n) };
        Four(lanes)
    }
    #[inline(always)]
    unsafe fn widen(p: *const bf16) -> Self {
        // SAFETY: as above.
        Four(unsafe { p.cast::<[bf16; 4]>().read_unaligned() }.map(f32::from))
    }
    #[inline(always)]
    unsafe fn widen_part(p: *const bf16, n: usize) -> Self {
        let mut lanes = [bf16::ZERO; 4];
        // SAFETY: as above, for n values.
        unsafe { std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n) };
        Four(lanes.map(f32::from))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: as above.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(self.0) };
    }
    #[inline(always)]
    unsafe fn store_part(self, p: *mut f32, n: usize) {
        // SAFETY: as above, for n values.
        unsafe { std::ptr::copy_nonoverlapping(self.0.as_ptr(), p, n) };
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        Four(std::array::from_fn(|i| self.0[i] * b.0[i] + c.0[i]))
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Four(std::array::from_fn(|i| self.0[i] + b.0[i]))
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        Four(std::array::from_fn(|i| self.0[i] * b.0[i]))
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let [a, b, c, d] = self.0;
        (a + c) + (b + d)
    }
    #[inline(always)]
    unsafe fn transpose<R: Along<Self>>(source: R, rows: usize, values: usize, dst: *mut f32, stride: usize) {
        // SAFETY: the trait's contract.
        unsafe { transpose_plain(source, rows, values, dst, stride) }
    }
}
