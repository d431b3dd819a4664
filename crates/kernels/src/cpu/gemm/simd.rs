//! The vectors that the product kernels are written over: one source, instantiated for each
//! instruction set.

/// One register of f32 lanes.
///
/// # Safety
/// Every method needs the instructions of its type: call them only inside functions compiled with them
/// and reached through a [`Level`](crate::cpu::Level). Pointers need not be aligned.
pub(super) trait Simd: Copy {
    const LANES: usize;

    unsafe fn zero() -> Self;
    unsafe fn splat(x: f32) -> Self;
    unsafe fn load(p: *const f32) -> Self;
    /// The first n < LANES values and zeros; reads nothing beyond.
    unsafe fn load_part(p: *const f32, n: usize) -> Self;
    unsafe fn store(self, p: *mut f32);
    /// Writes the first n < LANES values and nothing beyond.
    unsafe fn store_part(self, p: *mut f32, n: usize);
    /// self · b + c
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    unsafe fn add(self, b: Self) -> Self;
    unsafe fn mul(self, b: Self) -> Self;
    /// The sum of the lanes, in one order.
    unsafe fn sum(self) -> f32;
    /// dst[l · stride + i] = src[i · ld + l] for i < rows ≤ LANES, l < cols ≤ LANES. Each of the `cols`
    /// stores writes LANES values: what lies behind a short row is overwritten by the next, or spare.
    unsafe fn transpose(src: *const f32, ld: usize, rows: usize, cols: usize, dst: *mut f32, stride: usize);
}

/// The plain version of [`Simd::transpose`].
///
/// # Safety
/// `src` holds the rows and `dst` the transposed ones.
pub(super) unsafe fn transpose_plain(
    src: *const f32,
    ld: usize,
    rows: usize,
    cols: usize,
    dst: *mut f32,
    stride: usize,
) {
    for i in 0..rows {
        for l in 0..cols {
            // SAFETY: the caller's promise.
            unsafe { *dst.add(l * stride + i) = *src.add(i * ld + l) };
        }
    }
}
