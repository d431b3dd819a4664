//! The vectors that the product kernels are written over: one source, instantiated for each
//! instruction set.

use half::bf16;

/// One register of f32 lanes, or of as many 32-bit words.
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
    /// LANES bf16, widened.
    unsafe fn widen(p: *const bf16) -> Self;
    /// The first n < LANES of them and zeros; reads nothing beyond.
    unsafe fn widen_part(p: *const bf16, n: usize) -> Self;
    unsafe fn store(self, p: *mut f32);
    /// Writes the first n < LANES values and nothing beyond.
    unsafe fn store_part(self, p: *mut f32, n: usize);
    /// Fetches the line that holds `p`, which need not be valid, into the second-level cache.
    #[inline(always)]
    unsafe fn expect(_p: *const f32) {}
    /// Fetches the line that holds `p`, which need not be valid, before it is written.
    #[inline(always)]
    unsafe fn expect_write(_p: *const f32) {}
    /// self · b + c
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    unsafe fn add(self, b: Self) -> Self;
    unsafe fn mul(self, b: Self) -> Self;
    /// The sum of the lanes, in one order.
    unsafe fn sum(self) -> f32;
    /// dst[l · stride + i] = word l of row i, for i < rows ≤ LANES and the words that hold `values` values, LANES at
    /// most. Each of the stores writes LANES words: what lies behind a short row is overwritten by the next, or spare.
    unsafe fn transpose<R: Along<Self>>(source: R, rows: usize, values: usize, dst: *mut f32, stride: usize);
}

/// Rows that are contiguous along the contraction, read as words.
pub(super) trait Along<V: Simd>: Copy {
    /// Values in a word.
    const VALUES: usize;

    /// LANES words from the row's start.
    unsafe fn load(self, row: usize) -> V;
    /// The words of its first n values, fewer than LANES words hold, then zeros; reads nothing beyond.
    unsafe fn load_part(self, row: usize, n: usize) -> V;
}

/// What a word of a contraction holds: one f32 or two bf16.
///
/// # Safety
/// As for [`Simd`].
pub(super) trait Words<V: Simd>: Copy {
    const VALUES: usize;

    /// acc + the products of the values of each pair of words
    unsafe fn mac(a: V, b: V, acc: V) -> V;
}

/// How the words of a contraction come from values of type E.
///
/// # Safety
/// As for [`Simd`].
pub(super) trait Read<V: Simd, E>: Words<V> {
    /// LANES words from values that are contiguous along the contraction.
    unsafe fn load(p: *const E) -> V;
    /// The words of the first n values, then zeros; reads nothing beyond.
    unsafe fn load_part(p: *const E, n: usize) -> V;
    /// One word of each of LANES columns, from a row and the next one, which is null where the contraction ends.
    unsafe fn zip(p: *const E, next: *const E) -> V;
    /// The same of n < LANES columns.
    unsafe fn zip_part(p: *const E, next: *const E, n: usize) -> V;
}

/// A word is an f32.
#[derive(Clone, Copy)]
pub(super) struct One;

impl<V: Simd> Words<V> for One {
    const VALUES: usize = 1;

    #[inline(always)]
    unsafe fn mac(a: V, b: V, acc: V) -> V {
        // SAFETY: the trait's contract, here and below.
        unsafe { a.fma(b, acc) }
    }
}

impl<V: Simd> Read<V, f32> for One {
    #[inline(always)]
    unsafe fn load(p: *const f32) -> V {
        // SAFETY: as above.
        unsafe { V::load(p) }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, n: usize) -> V {
        // SAFETY: as above.
        unsafe { V::load_part(p, n) }
    }
    #[inline(always)]
    unsafe fn zip(p: *const f32, _: *const f32) -> V {
        // SAFETY: as above.
        unsafe { V::load(p) }
    }
    #[inline(always)]
    unsafe fn zip_part(p: *const f32, _: *const f32, n: usize) -> V {
        // SAFETY: as above.
        unsafe { V::load_part(p, n) }
    }
}

impl<V: Simd> Read<V, bf16> for One {
    #[inline(always)]
    unsafe fn load(p: *const bf16) -> V {
        // SAFETY: as above.
        unsafe { V::widen(p) }
    }
    #[inline(always)]
    unsafe fn load_part(p: *const bf16, n: usize) -> V {
        // SAFETY: as above.
        unsafe { V::widen_part(p, n) }
    }
    #[inline(always)]
    unsafe fn zip(p: *const bf16, _: *const bf16) -> V {
        // SAFETY: as above.
        unsafe { V::widen(p) }
    }
    #[inline(always)]
    unsafe fn zip_part(p: *const bf16, _: *const bf16, n: usize) -> V {
        // SAFETY: as above.
        unsafe { V::widen_part(p, n) }
    }
}

/// The plain version of [`Simd::transpose`].
///
/// # Safety
/// `source` has the rows, and `dst` room for the transposed ones.
#[cfg_attr(target_arch = "aarch64", allow(dead_code))]
pub(super) unsafe fn transpose_plain<V: Simd, R: Along<V>>(
    source: R,
    rows: usize,
    values: usize,
    dst: *mut f32,
    stride: usize,
) {
    let words = values.div_ceil(R::VALUES).min(V::LANES);
    let mut row = [0.0f32; 16];
    assert!(V::LANES <= row.len());
    for i in 0..rows {
        // SAFETY: the caller's promise; `row` holds a vector.
        unsafe {
            let v = if values >= V::LANES * R::VALUES { source.load(i) } else { source.load_part(i, values) };
            v.store(row.as_mut_ptr());
            for (l, word) in row[..words].iter().enumerate() {
                *dst.add(l * stride + i) = *word;
            }
        }
    }
}
