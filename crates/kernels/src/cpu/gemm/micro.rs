//! The innermost loops, over any vector type, and their instances for each instruction set.

use super::simd::{Along, One, Read, Simd, Words};
use crate::cpu::level::{Isa, Level};
use crate::{Precision, Write};
use half::bf16;
use std::marker::PhantomData;
use std::ops::Range;

/// One stretch of a contraction, in words.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Segment {
    pub k: usize,
    /// packed [k][m], or [k / unit][forms][m][unit] where the kernels' unit is more than a word
    pub a: *const f32,
    /// from one word of a row to the next, where the unit is a word: m, if it is packed
    pub lda: usize,
    /// row l starts at `l * ldb` and has all `nr` columns
    pub b: *const f32,
    pub ldb: usize,
    /// where to begin fetching what is multiplied next, of a tile that is far: this tile's share of B's next panel
    pub next: *const f32,
}

impl Segment {
    pub(super) const NONE: Segment =
        Segment { k: 0, a: std::ptr::null(), lda: 0, b: std::ptr::null(), ldb: 0, next: std::ptr::null() };
}

/// A block of D that fits the registers: D[m, n] (+)= alpha · A[m, k] · B[k, n], the contraction being the segments, one
/// behind another.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    pub segments: &'a [Segment],
    pub d: *mut f32,
    pub ldd: usize,
    /// columns to write
    pub n: usize,
    pub alpha: f32,
    pub write: Write,
    /// whether D and B's next panel are expected beyond the core's own caches; A is packed then
    pub far: bool,
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

/// (source, its stride, rows or values of k, values of k or columns, words, their stride): see [`along`] and [`across`].
pub(super) type Pack<E> = unsafe fn(*const E, usize, usize, usize, *mut f32, usize);

/// How B's columns are packed from values of one type.
#[derive(Clone, Copy)]
pub(super) struct Columns<E> {
    pub along: Pack<E>,
    pub across: Pack<E>,
}

/// The kernels of one instruction set and one kind of words.
pub(in crate::cpu) struct Kernels {
    /// Rows and columns of a tile.
    pub mr: usize,
    pub nr: usize,
    /// Values of a contraction in one word.
    pub(super) values: usize,
    /// Packed contractions are padded with zeros to a multiple of so many words.
    pub(in crate::cpu) unit: usize,
    /// Words behind packed rows that packing may write and a tile may read.
    pub(in crate::cpu) slack: usize,
    /// Called before and after a thread's tiles.
    pub(super) enter: unsafe fn(),
    pub(super) leave: unsafe fn(),
    /// (rows ≤ mr, tile)
    pub(super) tile: unsafe fn(usize, Tile),
    /// (rows ≤ DOT_ROWS, columns ≤ DOT_COLS, dots)
    pub(super) dots: unsafe fn(usize, usize, Dots),
    /// Of A's rows: every unit of words comes in as many forms, one behind another, as `forms` has.
    pub(super) rows_along: Pack<f32>,
    pub(super) rows_across: Pack<f32>,
    /// Of B's columns.
    pub(super) from_f32: Columns<f32>,
    pub(super) from_bf16: Columns<bf16>,
    /// The forms of an f32 whose sum it is; one where a word can hold it or where it is rounded.
    pub(super) forms: &'static [Columns<f32>],
}

impl Kernels {
    /// Those for products with a matrix that is held packed; `in_bf16`: its values are.
    pub(in crate::cpu) fn holding(level: Level, precision: Precision, in_bf16: bool) -> &'static Kernels {
        kernels_of_thirds(level, precision).filter(|_| in_bf16).unwrap_or_else(|| kernels(level, precision))
    }

    /// Values of a contraction in one word.
    pub(in crate::cpu) fn values(&self) -> usize {
        self.values
    }

    /// Words that hold k values of a contraction, and what pads them.
    pub(in crate::cpu) fn words(&self, k: usize) -> usize {
        k.div_ceil(self.values).next_multiple_of(self.unit)
    }

    /// The values that the words `start..end` of a contraction over `k` values hold.
    pub(in crate::cpu) fn span(&self, words: Range<usize>, k: usize) -> Range<usize> {
        words.start * self.values..(words.end * self.values).min(k)
    }
}

pub(super) const DOT_ROWS: usize = 4;
pub(super) const DOT_COLS: usize = 4;
/// Words behind a packed panel that packing may write, where the unit is one word.
pub(in crate::cpu) const SLACK: usize = 16;

#[inline(always)]
unsafe fn tile<V: Simd, W: Words<V>, const M: usize, const N: usize>(t: Tile) {
    // SAFETY: the caller's promise: `a` holds k × M words, `b` k rows of N vectors, `d` M rows of n values.
    unsafe {
        // D comes from memory while the products are summed.
        for i in 0..M {
            for j in 0..N {
                V::expect_write(t.d.wrapping_add(i * t.ldd + j * V::LANES));
            }
        }
        let mut acc = [[V::zero(); N]; M];
        for segment in t.segments {
            contract::<V, W, M, N>(&mut acc, *segment);
        }
        write_sums::<V, M, N>(acc, t);
    }
}

/// [`tile`] of a whole block that is far: instead of all at once, D's lines come row after row while the products are
/// summed, and with them this tile's share of B's next panel.
#[inline(always)]
unsafe fn tile_far<V: Simd, W: Words<V>, const M: usize, const N: usize>(t: Tile) {
    // SAFETY: as for `tile`.
    unsafe {
        let mut acc = [[V::zero(); N]; M];
        let mut line = t.d;
        for segment in t.segments {
            line = contract_far::<V, W, M, N>(&mut acc, *segment, t, line);
        }
        write_sums::<V, M, N>(acc, t);
    }
}

/// D (+)= alpha · the sums.
#[inline(always)]
unsafe fn write_sums<V: Simd, const M: usize, const N: usize>(acc: [[V; N]; M], t: Tile) {
    // SAFETY: as for `tile`.
    unsafe {
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
unsafe fn contract<V: Simd, W: Words<V>, const M: usize, const N: usize>(acc: &mut [[V; N]; M], s: Segment) {
    // SAFETY: as for `tile`.
    unsafe {
        let (mut a, mut b) = (s.a, s.b);
        for _ in 0..s.k / 2 {
            step::<V, W, M, N>(acc, a, b);
            step::<V, W, M, N>(acc, a.add(s.lda), b.add(s.ldb));
            a = a.wrapping_add(2 * s.lda);
            b = b.wrapping_add(2 * s.ldb);
        }
        if s.k % 2 == 1 {
            step::<V, W, M, N>(acc, a, b);
        }
    }
}

/// [`contract`], which every other word fetches a row of D, from `line` on and from the first again behind the last, and a
/// vector of the share. Returns the row that is next.
#[inline(always)]
unsafe fn contract_far<V: Simd, W: Words<V>, const M: usize, const N: usize>(
    acc: &mut [[V; N]; M],
    s: Segment,
    t: Tile,
    mut line: *mut f32,
) -> *mut f32 {
    // SAFETY: as for `tile`; fetching cannot fault.
    unsafe {
        debug_assert_eq!(s.lda, M, "A of a tile that is far is packed");
        let end = t.d.wrapping_add(M * t.ldd);
        let (mut a, mut b, mut next) = (s.a, s.b, s.next);
        for _ in 0..s.k / 2 {
            V::expect(next);
            for j in 0..N {
                V::expect_write(line.wrapping_add(j * V::LANES));
            }
            next = next.wrapping_add(V::LANES);
            line = line.wrapping_add(t.ldd);
            line = if line >= end { t.d } else { line };
            step::<V, W, M, N>(acc, a, b);
            step::<V, W, M, N>(acc, a.add(M), b.add(s.ldb));
            a = a.add(2 * M);
            b = b.wrapping_add(2 * s.ldb);
        }
        if s.k % 2 == 1 {
            step::<V, W, M, N>(acc, a, b);
        }
        line
    }
}

#[inline(always)]
unsafe fn step<V: Simd, W: Words<V>, const M: usize, const N: usize>(
    acc: &mut [[V; N]; M],
    a: *const f32,
    b: *const f32,
) {
    // SAFETY: as for `tile`.
    unsafe {
        let b: [V; N] = std::array::from_fn(|j| V::load(b.add(j * V::LANES)));
        for (i, acc) in acc.iter_mut().enumerate() {
            let a = V::splat(*a.add(i));
            for (acc, b) in acc.iter_mut().zip(b) {
                *acc = W::mac(a, b, *acc);
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

/// Rows of values from `p` on, `ld` apart, as words of W.
struct Rows<W, E> {
    p: *const E,
    ld: usize,
    words: PhantomData<W>,
}

impl<W, E> Clone for Rows<W, E> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W, E> Copy for Rows<W, E> {}

impl<V: Simd, W: Read<V, E>, E> Along<V> for Rows<W, E> {
    const VALUES: usize = W::VALUES;

    #[inline(always)]
    unsafe fn load(self, row: usize) -> V {
        // SAFETY: the trait's contract, here and below.
        unsafe { W::load(self.p.add(row * self.ld)) }
    }
    #[inline(always)]
    unsafe fn load_part(self, row: usize, n: usize) -> V {
        // SAFETY: as above.
        unsafe { W::load_part(self.p.add(row * self.ld), n) }
    }
}

/// dst[l · stride + i] = word l of src[i · ld ..][..k], i < rows: rows that are contiguous along k become a panel.
/// Up to [`SLACK`] words behind the panel are overwritten when `stride` is no multiple of the lanes.
#[inline(always)]
pub(super) unsafe fn along<V: Simd, W: Read<V, E>, E>(
    src: *const E,
    ld: usize,
    rows: usize,
    k: usize,
    dst: *mut f32,
    stride: usize,
) {
    let mut l = 0;
    while l < k {
        let mut i = 0;
        while i < rows {
            // SAFETY: the caller's promise: `src` holds rows × k values, `dst` the words × stride and the slack.
            unsafe {
                let source = Rows::<W, E> { p: src.add(i * ld + l), ld, words: PhantomData };
                let at = dst.add(l / W::VALUES * stride + i);
                V::transpose(source, V::LANES.min(rows - i), k - l, at, stride);
            }
            i += V::LANES;
        }
        l += V::LANES * W::VALUES;
    }
}

/// dst[l · stride + j] = the word of rows l · VALUES … of src [k, cols] in column j: rows that follow each other along k
/// become a panel. Writes behind it as [`along`] does.
#[inline(always)]
pub(super) unsafe fn across<V: Simd, W: Read<V, E>, E>(
    src: *const E,
    ld: usize,
    k: usize,
    cols: usize,
    dst: *mut f32,
    stride: usize,
) {
    let mut l = 0;
    while l < k {
        // SAFETY: the caller's promise, as for `along`.
        unsafe {
            let (p, to) = (src.add(l * ld), dst.add(l / W::VALUES * stride));
            let mut j = 0;
            while j < cols {
                let p = p.add(j);
                let next = if l + 1 < k { p.wrapping_add(ld) } else { std::ptr::null() };
                let n = cols - j;
                let words = if n >= V::LANES { W::zip(p, next) } else { W::zip_part(p, next, n) };
                words.store(to.add(j));
                j += V::LANES;
            }
        }
        l += W::VALUES;
    }
}

unsafe fn nothing() {}

macro_rules! instances {
    ($name:ident, $vector:ty, $words:ty, $(features $features:literal,)? rows [$($m:literal)+], vectors $n:literal) => {
        mod $name {
            use super::*;

            /// Rows of a tile.
            const MR: usize = { const ROWS: &[usize] = &[$($m),+]; ROWS.len() };

            $(#[target_feature(enable = $features)])?
            unsafe fn tile_rows<const M: usize, const N: usize>(t: Tile) {
                // SAFETY: the caller's promise.
                unsafe { tile::<$vector, $words, M, N>(t) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn whole_far(t: Tile) {
                // SAFETY: the caller's promise.
                unsafe { tile_far::<$vector, $words, MR, $n>(t) }
            }

            /// A low-rank adapter's few columns need one vector of a panel, not all.
            unsafe fn tile_any(m: usize, t: Tile) {
                let narrow = t.n <= <$vector as Simd>::LANES;
                if t.far && m == MR && !narrow {
                    // SAFETY: the caller's promise.
                    return unsafe { whole_far(t) };
                }
                match m {
                    // SAFETY: the caller's promise.
                    $($m if narrow => unsafe { tile_rows::<$m, 1>(t) },)+
                    $($m => unsafe { tile_rows::<$m, $n>(t) },)+
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
            unsafe fn rows<E>(src: *const E, ld: usize, rows: usize, k: usize, dst: *mut f32, stride: usize)
            where
                $words: Read<$vector, E>,
            {
                // SAFETY: the caller's promise.
                unsafe { along::<$vector, $words, E>(src, ld, rows, k, dst, stride) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn columns<E>(src: *const E, ld: usize, k: usize, cols: usize, dst: *mut f32, stride: usize)
            where
                $words: Read<$vector, E>,
            {
                // SAFETY: the caller's promise.
                unsafe { across::<$vector, $words, E>(src, ld, k, cols, dst, stride) }
            }

            const FROM_F32: Columns<f32> = Columns { along: rows::<f32>, across: columns::<f32> };

            pub(super) static KERNELS: Kernels = Kernels {
                mr: MR,
                nr: $n * <$vector as Simd>::LANES,
                values: <$words as Words<$vector>>::VALUES,
                unit: 1,
                slack: SLACK,
                enter: nothing,
                leave: nothing,
                tile: tile_any,
                dots: dots_any,
                rows_along: rows::<f32>,
                rows_across: columns::<f32>,
                from_f32: FROM_F32,
                from_bf16: Columns { along: rows::<bf16>, across: columns::<bf16> },
                forms: &[FROM_F32],
            };
        }
    };
}

// The tile's accumulators, one row of B and one value of A fill the registers.
#[cfg(target_arch = "x86_64")]
instances!(avx512_bf16, std::arch::x86_64::__m512, super::super::avx512::Pair,
    features "avx512bf16,avx512f,avx512vl,avx512bw,avx512dq,avx2,fma",
    rows [1 2 3 4 5 6 7 8 9 10 11 12 13 14], vectors 2);
#[cfg(target_arch = "x86_64")]
instances!(avx512, std::arch::x86_64::__m512, One, features "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma",
    rows [1 2 3 4 5 6 7 8 9 10 11 12 13 14], vectors 2);
#[cfg(target_arch = "x86_64")]
instances!(avx2, std::arch::x86_64::__m256, One, features "avx2,fma", rows [1 2 3 4 5 6], vectors 2);
#[cfg(target_arch = "aarch64")]
instances!(neon, std::arch::aarch64::float32x4_t, One, rows [1 2 3 4 5 6 7 8], vectors 3);
instances!(portable, super::super::portable::Four, One, rows [1 2 3 4], vectors 2);

/// What multiplies f32 with matrices whose values are bf16, in f32, where that is faster than in vectors: on a processor
/// with tiles.
pub(in crate::cpu) fn kernels_of_thirds(level: Level, precision: Precision) -> Option<&'static Kernels> {
    match (level.isa(), precision) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Amx, Precision::F32) => Some(&super::amx::OF_THIRDS),
        _ => None,
    }
}

/// What multiplies at a level: in bf16 where that is asked for and the processor can, otherwise in f32.
pub(in crate::cpu) fn kernels(level: Level, precision: Precision) -> &'static Kernels {
    match (level.isa(), precision) {
        #[cfg(target_arch = "x86_64")]
        (Isa::Amx, Precision::Bf16) => &super::amx::KERNELS,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512Bf16, Precision::Bf16) => &avx512_bf16::KERNELS,
        #[cfg(target_arch = "x86_64")]
        (Isa::Amx | Isa::Avx512Bf16 | Isa::Avx512, _) => &avx512::KERNELS,
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, _) => &avx2::KERNELS,
        #[cfg(target_arch = "aarch64")]
        (Isa::Neon, _) => &neon::KERNELS,
        (Isa::Portable, _) => &portable::KERNELS,
    }
}
