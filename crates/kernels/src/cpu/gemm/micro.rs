//! The innermost loops, over any vector type, and their instances for each instruction set.

use super::simd::Simd;
use crate::Write;
use crate::cpu::level::{Isa, Level};

/// A block of D that fits the registers: D[m, n] (+)= alpha · A[m, k] · B[k, n].
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub k: usize,
    /// packed [k][m]
    pub a: *const f32,
    /// row l starts at `l * ldb` and has all `nr` columns
    pub b: *const f32,
    pub ldb: usize,
    pub d: *mut f32,
    pub ldd: usize,
    /// columns to write
    pub n: usize,
    pub alpha: f32,
    pub write: Write,
}

/// D[r, c] (+)= alpha · A[r, k] · B[c, k]ᵀ for few rows and columns: both are contiguous along k and are
/// read where they lie.
#[derive(Clone, Copy)]
pub(super) struct Dots {
    pub k: usize,
    pub a: *const f32,
    pub lda: usize,
    pub b: *const f32,
    pub ldb: usize,
    pub d: *mut f32,
    pub ldd: usize,
    pub alpha: f32,
    pub write: Write,
}

/// The kernels of one instruction set.
pub(in crate::cpu) struct Kernels {
    /// Rows and columns of a tile.
    pub mr: usize,
    pub nr: usize,
    /// (rows ≤ mr, tile)
    pub(super) tile: unsafe fn(usize, Tile),
    /// (rows ≤ DOT_ROWS, columns ≤ DOT_COLS, dots)
    pub(super) dots: unsafe fn(usize, usize, Dots),
    /// As [`pack_rows`].
    pub(super) pack_rows: unsafe fn(*const f32, usize, usize, usize, *mut f32, usize),
}

pub(super) const DOT_ROWS: usize = 4;
pub(super) const DOT_COLS: usize = 4;
/// Values behind a packed panel that [`Simd::transpose`] may write.
pub(in crate::cpu) const SLACK: usize = 16;

#[inline(always)]
unsafe fn tile<V: Simd, const M: usize, const N: usize>(t: Tile) {
    // SAFETY: the caller's promise: `a` holds k × M values, `b` k rows of N vectors, `d` M rows of n values.
    unsafe {
        let mut acc = [[V::zero(); N]; M];
        let (mut a, mut b) = (t.a, t.b);
        for _ in 0..t.k / 2 {
            step(&mut acc, a, b);
            step(&mut acc, a.add(M), b.add(t.ldb));
            a = a.add(2 * M);
            b = b.wrapping_add(2 * t.ldb);
        }
        if t.k % 2 == 1 {
            step(&mut acc, a, b);
        }
        let alpha = V::splat(t.alpha);
        // by value: indices would keep the sums in memory all along
        for (i, row) in acc.into_iter().enumerate() {
            for (j, sum) in row.into_iter().enumerate() {
                let sum = sum.mul(alpha);
                let at = t.d.wrapping_add(i * t.ldd + j * V::LANES);
                let n = t.n.saturating_sub(j * V::LANES);
                match t.write {
                    Write::Set if n >= V::LANES => sum.store(at),
                    Write::Add if n >= V::LANES => V::load(at).add(sum).store(at),
                    _ if n == 0 => {}
                    Write::Set => sum.store_part(at, n),
                    Write::Add => V::load_part(at, n).add(sum).store_part(at, n),
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn step<V: Simd, const M: usize, const N: usize>(acc: &mut [[V; N]; M], a: *const f32, b: *const f32) {
    // SAFETY: as for `tile`.
    unsafe {
        let b: [V; N] = std::array::from_fn(|j| V::load(b.add(j * V::LANES)));
        for (i, acc) in acc.iter_mut().enumerate() {
            let a = V::splat(*a.add(i));
            for (acc, b) in acc.iter_mut().zip(b) {
                *acc = a.fma(b, *acc);
            }
        }
    }
}

#[inline(always)]
unsafe fn dots<V: Simd, const R: usize, const C: usize>(t: Dots) {
    // SAFETY: the caller's promise: R rows of k values in `a`, C in `b`, R rows of C in `d`.
    unsafe {
        // [column][row]
        let mut acc = [[V::zero(); R]; C];
        let whole = t.k - t.k % V::LANES;
        let mut l = 0;
        while l < whole {
            let a: [V; R] = std::array::from_fn(|i| V::load(t.a.add(i * t.lda + l)));
            for (j, acc) in acc.iter_mut().enumerate() {
                let b = V::load(t.b.add(j * t.ldb + l));
                for (acc, a) in acc.iter_mut().zip(a) {
                    *acc = a.fma(b, *acc);
                }
            }
            l += V::LANES;
        }
        let rest = t.k - whole;
        if rest > 0 {
            let a: [V; R] = std::array::from_fn(|i| V::load_part(t.a.add(i * t.lda + l), rest));
            for (j, acc) in acc.iter_mut().enumerate() {
                let b = V::load_part(t.b.add(j * t.ldb + l), rest);
                for (acc, a) in acc.iter_mut().zip(a) {
                    *acc = a.fma(b, *acc);
                }
            }
        }
        for (j, column) in acc.into_iter().enumerate() {
            for (i, sum) in column.into_iter().enumerate() {
                let at = t.d.wrapping_add(i * t.ldd + j);
                let sum = sum.sum() * t.alpha;
                *at = match t.write {
                    Write::Set => sum,
                    Write::Add => *at + sum,
                };
            }
        }
    }
}

/// dst[l · stride + i] = src[i · ld + l], i < rows, l < k: rows that are contiguous along k become a panel.
/// Up to [`SLACK`] values behind the panel are overwritten when `stride` is no multiple of the lanes.
#[inline(always)]
unsafe fn pack_rows<V: Simd>(src: *const f32, ld: usize, rows: usize, k: usize, dst: *mut f32, stride: usize) {
    let mut l = 0;
    while l < k {
        let cols = V::LANES.min(k - l);
        let mut i = 0;
        while i < rows {
            let n = V::LANES.min(rows - i);
            // SAFETY: the caller's promise: `src` holds rows × k values, `dst` k × stride and the slack.
            unsafe { V::transpose(src.add(i * ld + l), ld, n, cols, dst.add(l * stride + i), stride) };
            i += V::LANES;
        }
        l += V::LANES;
    }
}

macro_rules! instances {
    ($name:ident, $vector:ty, $(features $features:literal,)? rows [$($m:literal)+], vectors $n:literal) => {
        mod $name {
            use super::*;

            $(#[target_feature(enable = $features)])?
            unsafe fn tile_rows<const M: usize>(t: Tile) {
                // SAFETY: the caller's promise.
                unsafe { tile::<$vector, M, $n>(t) }
            }

            unsafe fn tile_any(m: usize, t: Tile) {
                match m {
                    // SAFETY: the caller's promise.
                    $($m => unsafe { tile_rows::<$m>(t) },)+
                    _ => unreachable!("a tile of {m} rows"),
                }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn dots_any(r: usize, c: usize, t: Dots) {
                // SAFETY: the caller's promise.
                unsafe {
                    match (r, c) {
                        (4, 4) => dots::<$vector, 4, 4>(t),
                        (4, 3) => dots::<$vector, 4, 3>(t),
                        (4, 2) => dots::<$vector, 4, 2>(t),
                        (4, 1) => dots::<$vector, 4, 1>(t),
                        (1, 4) => dots::<$vector, 1, 4>(t),
                        (1, 3) => dots::<$vector, 1, 3>(t),
                        (1, 2) => dots::<$vector, 1, 2>(t),
                        (1, 1) => dots::<$vector, 1, 1>(t),
                        _ => unreachable!("{r} × {c} dots"),
                    }
                }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn pack(src: *const f32, ld: usize, rows: usize, k: usize, dst: *mut f32, stride: usize) {
                // SAFETY: the caller's promise.
                unsafe { pack_rows::<$vector>(src, ld, rows, k, dst, stride) }
            }

            pub(super) static KERNELS: Kernels = Kernels {
                mr: { const ROWS: &[usize] = &[$($m),+]; ROWS.len() },
                nr: $n * <$vector as Simd>::LANES,
                tile: tile_any,
                dots: dots_any,
                pack_rows: pack,
            };
        }
    };
}

// The tile's accumulators, one row of B and one value of A fill the registers.
#[cfg(target_arch = "x86_64")]
instances!(avx512, std::arch::x86_64::__m512, features "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma",
    rows [1 2 3 4 5 6 7 8 9 10 11 12 13 14], vectors 2);
#[cfg(target_arch = "x86_64")]
instances!(avx2, std::arch::x86_64::__m256, features "avx2,fma", rows [1 2 3 4 5 6], vectors 2);
#[cfg(target_arch = "aarch64")]
instances!(neon, std::arch::aarch64::float32x4_t, rows [1 2 3 4 5 6 7 8], vectors 3);
instances!(portable, super::super::portable::Four, rows [1 2 3 4], vectors 2);

pub(in crate::cpu) fn kernels(level: Level) -> &'static Kernels {
    match level.isa() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => &avx512::KERNELS,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => &avx2::KERNELS,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => &neon::KERNELS,
        Isa::Portable => &portable::KERNELS,
    }
}
