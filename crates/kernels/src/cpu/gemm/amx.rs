//! AMX: products of bf16 in tiles of 16 × 16 sums, sixteen words of the contraction an instruction.
//!
//! Rust has no stable intrinsics for it, so the instructions are written out. A thread sets the tiles' shapes before its
//! tiles and gives them back behind them; in between nothing but the assembly below touches them.

use super::avx512::{Pair, Third};
use super::micro::{Columns, Dots, Kernels, Segment, Tile, across, along};
use super::simd::{Read, Simd};
use crate::Write;
use half::bf16;
use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::offset_of;
use std::sync::OnceLock;

/// Rows of a tile, and words of one of its rows.
const SIDE: usize = 16;
/// Rows and columns that are summed at a time: two tiles each.
const BLOCK: usize = 2 * SIDE;
/// Values of the contraction in a tile's row.
const VALUES: usize = 2 * SIDE;

/// Whether the processor has tiles of bf16 and the system lets this process use them.
pub(in crate::cpu) fn has_tiles() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let features = __cpuid_count(7, 0).edx;
        let (bf16, tiles) = (features >> 22 & 1 == 1, features >> 24 & 1 == 1);
        bf16 && tiles && allowed()
    })
}

/// Asks Linux for the tiles' registers, which it saves only for processes that did (arch_prctl, ARCH_REQ_XCOMP_PERM).
#[cfg(target_os = "linux")]
fn allowed() -> bool {
    const ARCH_PRCTL: u64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const TILE_DATA: u64 = 18;
    let result: i64;
    // SAFETY: the call changes nothing but what this process may do.
    unsafe {
        asm!("syscall", inlateout("rax") ARCH_PRCTL => result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") TILE_DATA,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result == 0
}
#[cfg(not(target_os = "linux"))]
fn allowed() -> bool {
    false
}

/// Palette 1: eight tiles, each of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static SHAPES: Shapes = Shapes {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

unsafe fn enter() {
    // SAFETY: called where the processor has tiles and the process may use them.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &SHAPES, options(nostack, readonly)) }
}

unsafe fn leave() {
    // SAFETY: as above.
    unsafe { asm!("tilerelease", options(nostack, nomem)) }
}

/// Sums of a block on their way to D.
#[repr(C, align(64))]
struct Sums([f32; BLOCK * BLOCK]);

/// Where a block's four tiles are stored: rows `stride` bytes apart.
#[derive(Clone, Copy)]
struct Out {
    to: *mut f32,
    stride: usize,
}

impl Out {
    /// Its seventeenth row.
    fn low(self) -> *mut f32 {
        self.to.wrapping_byte_add(SIDE * self.stride)
    }
}

/// The sums over all segments of `product`, which reads tiles from `a` and `b`, then `store`.
macro_rules! sums {
    ($segments:expr, $rows:expr, $out:expr, zero [$($zero:literal)+], product [$($product:literal)+], store [$($store:literal)+]) => {
        asm!(
            "/* rows from the seventeenth on: {low} */",
            $($zero,)+
            "2:",
            "mov {k}, [{segment} + {k_at}]",
            "mov {a}, [{segment} + {a_at}]",
            "mov {b}, [{segment} + {b_at}]",
            "shr {k}, 4",
            "3:",
            $($product,)+
            "add {a}, {a_step}",
            "add {b}, 2048",
            "dec {k}",
            "jnz 3b",
            "add {segment}, {size}",
            "dec {count}",
            "jnz 2b",
            $($store,)+
            segment = inout(reg) $segments.as_ptr() => _,
            count = inout(reg) $segments.len() => _,
            k = out(reg) _, a = out(reg) _, b = out(reg) _,
            line = in(reg) 64usize,
            a_step = in(reg) $rows * 64,
            top = in(reg) $out.to,
            low = in(reg) $out.low(),
            stride = in(reg) $out.stride,
            k_at = const offset_of!(Segment, k), a_at = const offset_of!(Segment, a), b_at = const offset_of!(Segment, b),
            size = const size_of::<Segment>(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// [`sums`] of rows in three forms: `columns` reads B's tiles, and `product` uses them with one form of A's.
macro_rules! thirds {
    ($segments:expr, $rows:expr, $out:expr, zero [$($zero:literal)+], columns [$($columns:literal)+], product [$($product:literal)+], store [$($store:literal)+]) => {
        asm!(
            "/* rows from the seventeenth on: {low} */",
            $($zero,)+
            "2:",
            "mov {k}, [{segment} + {k_at}]",
            "mov {a}, [{segment} + {a_at}]",
            "mov {b}, [{segment} + {b_at}]",
            "shr {k}, 4",
            "3:",
            $($columns,)+
            "mov {form}, 3",
            "4:",
            $($product,)+
            "add {a}, {a_step}",
            "dec {form}",
            "jnz 4b",
            "add {b}, 2048",
            "dec {k}",
            "jnz 3b",
            "add {segment}, {size}",
            "dec {count}",
            "jnz 2b",
            $($store,)+
            segment = inout(reg) $segments.as_ptr() => _,
            count = inout(reg) $segments.len() => _,
            k = out(reg) _, a = out(reg) _, b = out(reg) _, form = out(reg) _,
            line = in(reg) 64usize,
            a_step = in(reg) $rows * 64,
            top = in(reg) $out.to,
            low = in(reg) $out.low(),
            stride = in(reg) $out.stride,
            k_at = const offset_of!(Segment, k), a_at = const offset_of!(Segment, a), b_at = const offset_of!(Segment, b),
            size = const size_of::<Segment>(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// The sums of a whole block that is far, then their store. `product` fetches D's lines, two rows a step and from the first again
/// behind the last, and a fourth of B's next panel, as [`Segment::next`] has it; A's tiles bypass the first-level cache, in which
/// B's panel so stays.
macro_rules! far {
    ($segments:expr, $d:expr, $out:expr, product [$($product:literal)+]) => {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "mov {line}, {d}",
            "2:",
            "mov {k}, [{segment} + {k_at}]",
            "mov {a}, [{segment} + {a_at}]",
            "mov {b}, [{segment} + {b_at}]",
            "mov {next}, [{segment} + {next_at}]",
            "shr {k}, 4",
            "3:",
            $($product,)+
            "add {b}, 2048",
            "dec {k}",
            "jnz 3b",
            "add {segment}, {size}",
            "dec {count}",
            "jnz 2b",
            "tilestored [{out} + {stride}], tmm0",
            "tilestored [{out} + {stride} + 64], tmm1",
            "lea {a}, [{out} + 8*{stride}]",
            "lea {a}, [{a} + 8*{stride}]",
            "tilestored [{a} + {stride}], tmm2",
            "tilestored [{a} + {stride} + 64], tmm3",
            segment = inout(reg) $segments.as_ptr() => _,
            count = inout(reg) $segments.len() => _,
            k = out(reg) _, a = out(reg) _, b = out(reg) _, next = out(reg) _, line = out(reg) _,
            row = in(reg) 64usize,
            d = in(reg) $d.to, d_stride = in(reg) $d.stride, end = in(reg) $d.low().wrapping_byte_add(SIDE * $d.stride),
            out = in(reg) $out.to, stride = in(reg) $out.stride,
            k_at = const offset_of!(Segment, k), a_at = const offset_of!(Segment, a), b_at = const offset_of!(Segment, b),
            next_at = const offset_of!(Segment, next), size = const size_of::<Segment>(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// Sums of a whole block that is far: of rows in one form.
unsafe fn contract_far(segments: &[Segment], d: Out, out: Out) {
    // SAFETY: as for `contract`; fetching cannot fault.
    unsafe {
        far!(segments, d, out, product [
            "prefetcht1 [{next}]"
            "prefetcht1 [{next} + 64]"
            "prefetcht1 [{next} + 128]"
            "prefetcht1 [{next} + 192]"
            "prefetcht1 [{next} + 256]"
            "prefetcht1 [{next} + 320]"
            "prefetcht1 [{next} + 384]"
            "prefetcht1 [{next} + 448]"
            "prefetchw [{line}]"
            "prefetchw [{line} + 64]"
            "prefetchw [{line} + {d_stride}]"
            "prefetchw [{line} + {d_stride} + 64]"
            "lea {line}, [{line} + 2*{d_stride}]"
            "cmp {line}, {end}"
            "cmovae {line}, {d}"
            "tileloadd tmm6, [{b} + 2*{row}]"
            "tileloaddt1 tmm4, [{a} + {row}]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tileloadd tmm7, [{b} + 2*{row} + 64]"
            "tdpbf16ps tmm1, tmm4, tmm7"
            "tileloaddt1 tmm5, [{a} + {row} + 1024]"
            "tdpbf16ps tmm2, tmm5, tmm6"
            "tdpbf16ps tmm3, tmm5, tmm7"
            "add {next}, 512"
            "add {a}, 2048"
        ]);
    }
}

/// Sums of up to two tiles of rows and columns each.
unsafe fn contract(segments: &[Segment], rows: usize, columns: usize, out: Out) {
    // SAFETY: the caller's promise: the segments' operands are packed as `rows_along` and `columns_along` do, with the
    // slack behind A's last panel, and `out` has room for the tiles.
    unsafe {
        match (rows > SIDE, columns > SIDE) {
            (true, true) => sums!(segments, rows, out,
            zero ["tilezero tmm0" "tilezero tmm1" "tilezero tmm2" "tilezero tmm3"],
            product [
                "tileloadd tmm6, [{b} + 2*{line}]"
                "tileloadd tmm4, [{a} + {line}]"
                "tdpbf16ps tmm0, tmm4, tmm6"
                "tileloadd tmm7, [{b} + 2*{line} + 64]"
                "tdpbf16ps tmm1, tmm4, tmm7"
                "tileloadd tmm5, [{a} + {line} + 1024]"
                "tdpbf16ps tmm2, tmm5, tmm6"
                "tdpbf16ps tmm3, tmm5, tmm7"
            ],
            store [
                "tilestored [{top} + {stride}], tmm0"
                "tilestored [{top} + {stride} + 64], tmm1"
                "tilestored [{low} + {stride}], tmm2"
                "tilestored [{low} + {stride} + 64], tmm3"
            ]),
            (true, false) => sums!(segments, rows, out,
                zero ["tilezero tmm0" "tilezero tmm2"],
                product [
                    "tileloadd tmm6, [{b} + 2*{line}]"
                    "tileloadd tmm4, [{a} + {line}]"
                    "tdpbf16ps tmm0, tmm4, tmm6"
                    "tileloadd tmm5, [{a} + {line} + 1024]"
                    "tdpbf16ps tmm2, tmm5, tmm6"
                ],
                store ["tilestored [{top} + {stride}], tmm0" "tilestored [{low} + {stride}], tmm2"]),
            (false, true) => sums!(segments, rows, out,
                zero ["tilezero tmm0" "tilezero tmm1"],
                product [
                    "tileloadd tmm6, [{b} + 2*{line}]"
                    "tileloadd tmm4, [{a} + {line}]"
                    "tdpbf16ps tmm0, tmm4, tmm6"
                    "tileloadd tmm7, [{b} + 2*{line} + 64]"
                    "tdpbf16ps tmm1, tmm4, tmm7"
                ],
                store ["tilestored [{top} + {stride}], tmm0" "tilestored [{top} + {stride} + 64], tmm1"]),
            (false, false) => sums!(segments, rows, out,
                zero ["tilezero tmm0"],
                product [
                    "tileloadd tmm6, [{b} + 2*{line}]"
                    "tileloadd tmm4, [{a} + {line}]"
                    "tdpbf16ps tmm0, tmm4, tmm6"
                ],
                store ["tilestored [{top} + {stride}], tmm0"]),
        }
    }
}

/// [`contract`] of rows in thirds: each tile of B is multiplied with those of all three.
unsafe fn contract_thirds(segments: &[Segment], rows: usize, columns: usize, out: Out) {
    // SAFETY: as for `contract`.
    unsafe {
        match (rows > SIDE, columns > SIDE) {
            (true, true) => thirds!(segments, rows, out,
            zero ["tilezero tmm0" "tilezero tmm1" "tilezero tmm2" "tilezero tmm3"],
            columns ["tileloadd tmm6, [{b} + 2*{line}]" "tileloadd tmm7, [{b} + 2*{line} + 64]"],
            product [
                "tileloadd tmm4, [{a} + {line}]"
                "tdpbf16ps tmm0, tmm4, tmm6"
                "tdpbf16ps tmm1, tmm4, tmm7"
                "tileloadd tmm5, [{a} + {line} + 1024]"
                "tdpbf16ps tmm2, tmm5, tmm6"
                "tdpbf16ps tmm3, tmm5, tmm7"
            ],
            store [
                "tilestored [{top} + {stride}], tmm0"
                "tilestored [{top} + {stride} + 64], tmm1"
                "tilestored [{low} + {stride}], tmm2"
                "tilestored [{low} + {stride} + 64], tmm3"
            ]),
            (true, false) => thirds!(segments, rows, out,
                zero ["tilezero tmm0" "tilezero tmm2"],
                columns ["tileloadd tmm6, [{b} + 2*{line}]"],
                product [
                    "tileloadd tmm4, [{a} + {line}]"
                    "tdpbf16ps tmm0, tmm4, tmm6"
                    "tileloadd tmm5, [{a} + {line} + 1024]"
                    "tdpbf16ps tmm2, tmm5, tmm6"
                ],
                store ["tilestored [{top} + {stride}], tmm0" "tilestored [{low} + {stride}], tmm2"]),
            (false, true) => thirds!(segments, rows, out,
                zero ["tilezero tmm0" "tilezero tmm1"],
                columns ["tileloadd tmm6, [{b} + 2*{line}]" "tileloadd tmm7, [{b} + 2*{line} + 64]"],
                product [
                    "tileloadd tmm4, [{a} + {line}]"
                    "tdpbf16ps tmm0, tmm4, tmm6"
                    "tdpbf16ps tmm1, tmm4, tmm7"
                ],
                store ["tilestored [{top} + {stride}], tmm0" "tilestored [{top} + {stride} + 64], tmm1"]),
            (false, false) => thirds!(segments, rows, out,
                zero ["tilezero tmm0"],
                columns ["tileloadd tmm6, [{b} + 2*{line}]"],
                product ["tileloadd tmm4, [{a} + {line}]" "tdpbf16ps tmm0, tmm4, tmm6"],
                store ["tilestored [{top} + {stride}], tmm0"]),
        }
    }
}

/// [`contract_far`] of rows in thirds.
unsafe fn contract_thirds_far(segments: &[Segment], d: Out, out: Out) {
    // SAFETY: as for `contract`; fetching cannot fault.
    unsafe {
        far!(segments, d, out, product [
            "tileloadd tmm6, [{b} + 2*{row}]"
            "tileloaddt1 tmm4, [{a} + {row}]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tileloadd tmm7, [{b} + 2*{row} + 64]"
            "tdpbf16ps tmm1, tmm4, tmm7"
            "tileloaddt1 tmm5, [{a} + {row} + 1024]"
            "tdpbf16ps tmm2, tmm5, tmm6"
            "tdpbf16ps tmm3, tmm5, tmm7"
            "prefetcht1 [{next}]"
            "prefetcht1 [{next} + 64]"
            "prefetcht1 [{next} + 128]"
            "prefetcht1 [{next} + 192]"
            "tileloaddt1 tmm4, [{a} + {row} + 2048]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm1, tmm4, tmm7"
            "tileloaddt1 tmm5, [{a} + {row} + 3072]"
            "tdpbf16ps tmm2, tmm5, tmm6"
            "tdpbf16ps tmm3, tmm5, tmm7"
            "prefetcht1 [{next} + 256]"
            "prefetcht1 [{next} + 320]"
            "prefetcht1 [{next} + 384]"
            "prefetcht1 [{next} + 448]"
            "tileloaddt1 tmm4, [{a} + {row} + 4096]"
            "tdpbf16ps tmm0, tmm4, tmm6"
            "tdpbf16ps tmm1, tmm4, tmm7"
            "tileloaddt1 tmm5, [{a} + {row} + 5120]"
            "tdpbf16ps tmm2, tmm5, tmm6"
            "tdpbf16ps tmm3, tmm5, tmm7"
            "prefetchw [{line}]"
            "prefetchw [{line} + 64]"
            "prefetchw [{line} + {d_stride}]"
            "prefetchw [{line} + {d_stride} + 64]"
            "lea {line}, [{line} + 2*{d_stride}]"
            "cmp {line}, {end}"
            "cmovae {line}, {d}"
            "add {next}, 512"
            "add {a}, 6144"
        ]);
    }
}

/// How a block's sums are made.
trait Sum {
    /// Of up to two tiles of rows and columns each: the segments' operands are packed as the kernels do, with the slack behind
    /// A's last panel, and `out` has room for the tiles.
    unsafe fn near(segments: &[Segment], rows: usize, columns: usize, out: Out);
    /// Of a whole block that is far. Meanwhile D's lines are fetched, two rows a step and from the first again behind the last,
    /// and a fourth of B's next panel, as [`Segment::next`] has it.
    unsafe fn far(segments: &[Segment], d: Out, out: Out);
}

struct Whole;

impl Sum for Whole {
    unsafe fn near(segments: &[Segment], rows: usize, columns: usize, out: Out) {
        // SAFETY: the caller's promise; here and below.
        unsafe { contract(segments, rows, columns, out) }
    }
    unsafe fn far(segments: &[Segment], d: Out, out: Out) {
        // SAFETY: as above.
        unsafe { contract_far(segments, d, out) }
    }
}

struct Thirds;

impl Sum for Thirds {
    unsafe fn near(segments: &[Segment], rows: usize, columns: usize, out: Out) {
        // SAFETY: the caller's promise; here and below.
        unsafe { contract_thirds(segments, rows, columns, out) }
    }
    unsafe fn far(segments: &[Segment], d: Out, out: Out) {
        // SAFETY: as above.
        unsafe { contract_thirds_far(segments, d, out) }
    }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn tile<S: Sum>(rows: usize, t: Tile) {
    let segments = t.segments;
    debug_assert!(segments.iter().all(|s| s.ldb == BLOCK && s.k > 0 && s.k.is_multiple_of(SIDE)));
    let whole = rows == BLOCK && t.n == BLOCK;
    let d = Out { to: t.d, stride: t.ldd * size_of::<f32>() };
    let sum = |out| {
        // SAFETY: the caller's promise; `out` is D, which has the block's rows and columns, or a block's memory.
        unsafe { if whole && t.far { S::far(segments, d, out) } else { S::near(segments, rows, t.n, out) } }
    };
    if whole && t.alpha == 1.0 && t.write == Write::Set && !segments.is_empty() {
        sum(d);
        return;
    }
    let mut sums = std::mem::MaybeUninit::<Sums>::uninit();
    let out = sums.as_mut_ptr().cast::<f32>();
    // SAFETY: the caller's promise, and the memory is a block's; all that is read of it was stored; D has rows × n values.
    unsafe {
        if segments.is_empty() {
            out.write_bytes(0, BLOCK * BLOCK);
        } else {
            sum(Out { to: out, stride: BLOCK * size_of::<f32>() });
        }
        let alpha = __m512::splat(t.alpha);
        for i in 0..rows {
            for j in (0..t.n).step_by(SIDE) {
                let at = t.d.wrapping_add(i * t.ldd + j);
                let sum = __m512::load(out.add(i * BLOCK + j)).mul(alpha);
                let n = t.n - j;
                match t.write {
                    Write::Set if n >= SIDE => sum.store(at),
                    Write::Add if n >= SIDE => __m512::load(at).add(sum).store(at),
                    Write::Set => sum.store_part(at, n),
                    Write::Add => __m512::load_part(at, n).add(sum).store_part(at, n),
                }
            }
        }
    }
}

/// Panels of rows that are contiguous along k: [tiles of k][forms][m][words of a tile], of which this writes form `at` of
/// `forms`.
#[inline(always)]
unsafe fn rows_along_as<W: Read<__m512, f32>>(
    (src, ld): (*const f32, usize),
    (rows, k): (usize, usize),
    (dst, m): (*mut f32, usize),
    (at, forms): (usize, usize),
) {
    for i in 0..rows {
        for (c, start) in (0..k).step_by(VALUES).enumerate() {
            // SAFETY: the caller's promise: `src` holds rows × k values, `dst` the padded words of m rows.
            unsafe {
                let p = src.add(i * ld + start);
                let words = if k - start >= VALUES { W::load(p) } else { W::load_part(p, k - start) };
                words.store(dst.add(((c * forms + at) * m + i) * SIDE));
            }
        }
    }
}

/// The same of rows that are the columns of src [k, rows].
#[inline(always)]
unsafe fn rows_across_as<W: Read<__m512, f32>>(
    (src, ld): (*const f32, usize),
    (rows, k): (usize, usize),
    (dst, m): (*mut f32, usize),
    (at, forms): (usize, usize),
) {
    for (c, start) in (0..k).step_by(VALUES).enumerate() {
        for i in (0..rows).step_by(SIDE) {
            let n = SIDE.min(rows - i);
            // SAFETY: the caller's promise, as above.
            unsafe {
                let mut words = [_mm512_setzero_ps(); SIDE];
                for (l, word) in words.iter_mut().enumerate().take((k - start).div_ceil(2)) {
                    let at = start + 2 * l;
                    let p = src.add(at * ld + i);
                    let next = if at + 1 < k { p.wrapping_add(ld) } else { std::ptr::null() };
                    *word = if n == SIDE { W::zip(p, next) } else { W::zip_part(p, next, n) };
                }
                for (j, row) in super::avx512::transposed(words).into_iter().enumerate().take(n) {
                    row.store(dst.add(((c * forms + at) * m + i + j) * SIDE));
                }
            }
        }
    }
}

#[target_feature(enable = "avx512bf16,avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn rows_along(src: *const f32, ld: usize, rows: usize, k: usize, dst: *mut f32, m: usize) {
    // SAFETY: the caller's promise.
    unsafe { rows_along_as::<Pair>((src, ld), (rows, k), (dst, m), (0, 1)) }
}

#[target_feature(enable = "avx512bf16,avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn rows_across(src: *const f32, ld: usize, k: usize, rows: usize, dst: *mut f32, m: usize) {
    // SAFETY: the caller's promise.
    unsafe { rows_across_as::<Pair>((src, ld), (rows, k), (dst, m), (0, 1)) }
}

#[target_feature(enable = "avx512bf16,avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn thirds_of_rows_along(src: *const f32, ld: usize, rows: usize, k: usize, dst: *mut f32, m: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        rows_along_as::<Third<0>>((src, ld), (rows, k), (dst, m), (0, 3));
        rows_along_as::<Third<1>>((src, ld), (rows, k), (dst, m), (1, 3));
        rows_along_as::<Third<2>>((src, ld), (rows, k), (dst, m), (2, 3));
    }
}

#[target_feature(enable = "avx512bf16,avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn thirds_of_rows_across(src: *const f32, ld: usize, k: usize, rows: usize, dst: *mut f32, m: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        rows_across_as::<Third<0>>((src, ld), (rows, k), (dst, m), (0, 3));
        rows_across_as::<Third<1>>((src, ld), (rows, k), (dst, m), (1, 3));
        rows_across_as::<Third<2>>((src, ld), (rows, k), (dst, m), (2, 3));
    }
}

/// Zeros behind a panel's words, up to whole tiles.
#[inline(always)]
unsafe fn pad(k: usize, dst: *mut f32) {
    let words = k.div_ceil(2);
    let rest = words.next_multiple_of(SIDE) - words;
    // SAFETY: the caller's promise: `dst` holds the padded words of a panel.
    unsafe { dst.add(words * BLOCK).write_bytes(0, rest * BLOCK) }
}

#[target_feature(enable = "avx512bf16,avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn columns_along<W, E>(src: *const E, ld: usize, columns: usize, k: usize, dst: *mut f32, nr: usize)
where
    W: Read<__m512, E>,
{
    // SAFETY: the caller's promise.
    unsafe {
        along::<__m512, W, E>(src, ld, columns, k, dst, nr);
        pad(k, dst);
    }
}

#[target_feature(enable = "avx512bf16,avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn columns_across<W, E>(src: *const E, ld: usize, k: usize, columns: usize, dst: *mut f32, nr: usize)
where
    W: Read<__m512, E>,
{
    // SAFETY: the caller's promise.
    unsafe {
        across::<__m512, W, E>(src, ld, k, columns, dst, nr);
        pad(k, dst);
    }
}

unsafe fn no_dots(_: usize, _: usize, _: Dots) {
    unreachable!("thin products are made of vectors");
}

const FROM_F32: Columns<f32> = Columns { along: columns_along::<Pair, f32>, across: columns_across::<Pair, f32> };

const fn third<const I: usize>() -> Columns<f32> {
    Columns { along: columns_along::<Third<I>, f32>, across: columns_across::<Third<I>, f32> }
}

const OF_BF16: Kernels = Kernels {
    mr: BLOCK,
    nr: BLOCK,
    values: 2,
    unit: SIDE,
    // a tile has 16 rows, wherever A's end
    slack: SIDE * SIDE,
    enter,
    leave,
    tile: tile::<Whole>,
    dots: no_dots,
    rows_along,
    rows_across,
    from_f32: FROM_F32,
    from_bf16: Columns { along: columns_along::<Pair, bf16>, across: columns_across::<Pair, bf16> },
    forms: &[FROM_F32],
};

pub(super) static KERNELS: Kernels = OF_BF16;

/// A's values in thirds, and B's in bf16 as they are.
pub(super) static OF_THIRDS: Kernels = Kernels {
    tile: tile::<Thirds>,
    rows_along: thirds_of_rows_along,
    rows_across: thirds_of_rows_across,
    forms: &[third::<0>(), third::<1>(), third::<2>()],
    ..OF_BF16
};
