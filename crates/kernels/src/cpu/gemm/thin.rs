//! Products with one short side, as low-rank adapters have them. They wait for memory rather than for arithmetic, so
//! they are always in f32 and read the large operand where it lies.

use super::micro::{DOT_COLS, DOT_ROWS, Dots, Kernels, Segment, Tile};
use super::{Operand, Product, Source, pack, share};
use crate::cpu::buf::{Rows, RowsMut};
use crate::cpu::{Cpu, par};
use crate::{Op, Result, Write};

/// Tokens summed before D is written back: their rows stay in the translation look-aside buffer.
const TOKENS: usize = 64;

/// D[m, n] of few columns, the rows of A being contiguous along k.
pub(super) fn dots(cpu: &Cpu, p: Product, a: Rows, (op, b): (Op, Rows), d: RowsMut) -> Result<()> {
    let n = d.cols();
    let mut turned;
    let b = match op {
        Op::T => b,
        Op::N => {
            turned = cpu.scratch.take(n * p.k)?;
            let out = turned.values();
            for l in 0..p.k {
                for (j, v) in b.row(l).iter().enumerate() {
                    out[j * p.k + l] = *v;
                }
            }
            Rows::new("turned b", out, (0, p.k), (n, p.k))?
        }
    };
    let kern = cpu.f32_kernels();
    par::row_blocks(&cpu.pool, d, p.k * n.div_ceil(DOT_COLS), |first, d| {
        let mut i = 0;
        while i < d.rows() {
            let r = if d.rows() - i >= DOT_ROWS { DOT_ROWS } else { 1 };
            for j in (0..n).step_by(DOT_COLS) {
                let c = DOT_COLS.min(n - j);
                let (a, b) = (a.part(first + i..first + i + r, 0..p.k), b.part(j..j + c, 0..p.k));
                let t = Dots {
                    k: p.k,
                    a: a.as_ptr(),
                    lda: a.ld(),
                    b: b.as_ptr(),
                    ldb: b.ld(),
                    d: d.as_ptr().wrapping_add(i * d.ld() + j),
                    ldd: d.ld(),
                    alpha: p.alpha,
                    write: p.write,
                };
                // SAFETY: the parts have r and c rows of k values, and D r rows of c from there on.
                unsafe { (kern.dots)(r, c, t) };
            }
            i += r;
        }
    });
    Ok(())
}

/// D[m, n] = Aᵀ·B with A [k, m] and B [k, n], one of m and n small.
pub(super) fn sums(cpu: &Cpu, p: Product, a: Rows, b: Rows, mut d: RowsMut) -> Result<()> {
    let (m, n) = (d.rows(), d.cols());
    if m <= n {
        return wide_sums(cpu, p, a, b, d);
    }
    let mut turned = cpu.scratch.take(n * m)?;
    let set = Product { write: Write::Set, ..p };
    wide_sums(cpu, set, b, a, RowsMut::new("turned d", turned.values(), (0, m), (n, m))?)?;
    let turned = Rows::new("turned d", turned.values(), (0, m), (n, m))?;
    for i in 0..m {
        for (j, d) in d.row(i).iter_mut().enumerate() {
            let sum = turned.row(j)[i];
            *d = match p.write {
                Write::Set => sum,
                Write::Add => *d + sum,
            };
        }
    }
    Ok(())
}

/// [`sums`] where m is the small one: both are read row by row where they lie.
fn wide_sums(cpu: &Cpu, p: Product, a: Rows, b: Rows, d: RowsMut) -> Result<()> {
    let kern = cpu.f32_kernels();
    let (m, n) = (d.rows(), d.cols());
    let width = share(n, 2 * cpu.threads(), kern.nr);
    let tasks = n.div_ceil(width);
    let edges = tasks * TOKENS * kern.nr;
    let mut edge_memory = cpu.scratch.take(edges)?;
    let edge = RowsMut::new("edges", edge_memory.values(), (0, TOKENS * kern.nr), (tasks, TOKENS * kern.nr))?;
    cpu.pool.each(tasks, |task| {
        let cols = task * width..((task + 1) * width).min(n);
        // SAFETY: tasks share no columns, and each has its row of the edges.
        let (d, mut edge) = unsafe { (d.part(0..m, cols.clone()), edge.part(task..task + 1, 0..TOKENS * kern.nr)) };
        stripe(kern, p, a, b.part(0..p.k, cols), edge.row(0), d);
    });
    Ok(())
}

fn stripe(kern: &Kernels, p: Product, a: Rows, b: Rows, edge: &mut [f32], d: RowsMut) {
    let m = d.rows();
    let mr = share(m, m.div_ceil(kern.mr), 1);
    for start in (0..p.k).step_by(TOKENS) {
        let ks = start..(start + TOKENS).min(p.k);
        let write = if start == 0 { p.write } else { Write::Add };
        for j in (0..d.cols()).step_by(kern.nr) {
            let cols = j..(j + kern.nr).min(d.cols());
            let n = cols.len();
            // the kernel reads whole panels: the last one, when it is narrow, is copied out
            let (b, ldb) = if n == kern.nr {
                let b = b.part(ks.clone(), cols);
                (b.as_ptr(), b.ld())
            } else {
                let narrow = Operand::new(Op::N, Source::F32(b));
                pack::columns(kern, narrow, cols, ks.clone(), edge);
                (edge.as_ptr(), kern.nr)
            };
            for i in (0..m).step_by(mr) {
                let rows = mr.min(m - i);
                let a = a.part(ks.clone(), i..i + rows);
                let tile = Tile {
                    segments: &[Segment { k: ks.len(), a: a.as_ptr(), lda: a.ld(), b, ldb, next: b }],
                    d: d.as_ptr().wrapping_add(i * d.ld() + j),
                    ldd: d.ld(),
                    n,
                    alpha: p.alpha,
                    write,
                    far: false,
                };
                // SAFETY: the part of A has k rows of `rows` values, B k rows of nr, D `rows` rows of n from there on.
                unsafe { (kern.tile)(rows, tile) };
            }
        }
    }
}
