//! Matrix products, D (+)= alpha · op(A) · op(B).
//!
//! Three ways, chosen by the form of the operands and by n and k alone (where A's rows are tokens, m
//! must not matter: a token's result does not depend on the others):
//! - `packed`: both operands are repacked into panels that the innermost loop reads in order (Goto &
//!   van de Geijn 2008); every size.
//! - `thin_dots`: few columns, both contiguous along k (x·Aᵀ of a low-rank adapter): nothing is packed.
//! - `thin_sums`: few rows or columns, the contraction runs over tokens (dyᵀ·x): the large operand is
//!   read where it lies.
//!
//! An element's sum always has the same order: blocks of k in turn, within a block one after another, and a low-rank
//! term behind the last.
//!
//! Packed operands are made of 32-bit words along the contraction: an f32, or two bf16 where the processor multiplies
//! them ([`Kernels`]). Values become words as they are packed; lengths of packed memory count words.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod micro;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(super) mod pack;
mod portable;
mod simd;
mod thin;

use super::buf::{Rows, RowsMut};
use super::{Cpu, par};
use crate::{Op, Result, Write};
pub(super) use micro::{Kernels, SLACK, kernels};
use micro::{Segment, Tile};
pub(super) use pack::Source;
use std::ops::Range;

/// Longest stretch of k in one pass, in words. Measured: 192 to 768 differ little; longer ones write D less often.
const KC: usize = 576;
/// Rows of A packed at a time: with [`KC`] they take 387 kB of the second-level cache.
const MC: usize = 168;
/// Longest stretch of k, in words, for which B is packed at a time: A is packed again for every such block of B.
const K_BLOCK: usize = 1536;
/// Words of B packed at a time: a good part of what a core has of the last-level cache.
const B_BLOCK: usize = 1 << 20;
/// Up to here a product counts as thin. Measured: with more columns the packed product is faster.
const THIN_DOTS: usize = 8;
const THIN_SUMS: usize = 32;

/// An operand and how it is read.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub op: Op,
    pub source: Source<'a>,
}

impl<'a> Operand<'a> {
    pub(super) fn new(op: Op, source: Source<'a>) -> Operand<'a> {
        Operand { op, source }
    }

    /// The plain matrix, if it is one.
    fn plain(&self) -> Option<(Op, Rows<'a>)> {
        match self.source {
            Source::F32(rows) => Some((self.op, rows)),
            _ => None,
        }
    }
}

/// The contraction's length, its factor, and what happens to D.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub k: usize,
    pub alpha: f32,
    pub write: Write,
}

impl Product {
    pub(super) fn new(k: usize, alpha: f32, write: Write) -> Product {
        Product { k, alpha, write }
    }
}

/// A term z·b that some columns of a product have behind it: z [m, r], op(b) [r, columns].
#[derive(Clone)]
pub(super) struct Extension<'a> {
    pub z: Rows<'a>,
    pub b: Operand<'a>,
    pub columns: Range<usize>,
}

/// The terms of a product, and how they lie in packed memory: one behind another, behind the last of k.
#[derive(Clone, Copy)]
struct Extensions<'a>(&'a [Extension<'a>]);

impl Extensions<'_> {
    /// Words of all of them.
    fn words(&self, kern: &Kernels) -> usize {
        self.0.iter().map(|e| kern.words(e.z.cols())).sum()
    }

    /// Which words the panel of columns from `column` on has. Terms either share a panel's columns or have none of them.
    fn of_panel(&self, kern: &Kernels, column: usize) -> Range<usize> {
        let (mut at, mut found) = (0, 0..0);
        for e in self.0 {
            let end = at + kern.words(e.z.cols());
            if e.columns.contains(&column) {
                found = if found.is_empty() { at..end } else { found.start..end };
            }
            at = end;
        }
        found
    }

    /// Packs what stands in a panel of B behind its words of k.
    fn pack_columns(&self, kern: &Kernels, columns: Range<usize>, mut out: &mut [f32]) {
        for e in self.0.iter().filter(|e| e.columns.contains(&columns.start)) {
            let (front, rest) = out.split_at_mut(kern.words(e.z.cols()) * kern.nr);
            let local = columns.start - e.columns.start..columns.end - e.columns.start;
            pack::columns(kern, e.b, local, 0..e.z.cols(), front);
            out = rest;
        }
    }
}

pub(super) fn gemm(
    cpu: &Cpu,
    p: Product,
    a: (Op, Rows),
    b: Operand,
    extensions: &[Extension],
    mut d: RowsMut,
) -> Result<()> {
    let (m, n) = (d.rows(), d.cols());
    if m == 0 || n == 0 {
        return Ok(());
    }
    if !extensions.is_empty() {
        return packed(cpu, p, a, b, Extensions(extensions), d);
    }
    if p.k == 0 {
        if p.write == Write::Set {
            (0..m).for_each(|r| d.row(r).fill(0.0));
        }
        return Ok(());
    }
    match (a.0, b.plain()) {
        (Op::N, Some(b)) if n <= THIN_DOTS => thin::dots(cpu, p, a.1, b, d),
        (Op::T, Some((Op::N, b))) if m.min(n) <= THIN_SUMS => thin::sums(cpu, p, a.1, b, d),
        _ => packed(cpu, p, a, b, Extensions(&[]), d),
    }
}

/// Cuts `len` into `parts` nearly equal pieces that are multiples of `unit`; the piece's length.
fn share(len: usize, parts: usize, unit: usize) -> usize {
    len.div_ceil(parts).next_multiple_of(unit)
}

/// How a packed product is cut; lengths along k count words.
struct Plan {
    /// length of a block of k, and how much of k is packed at a time: a multiple of it
    kc: usize,
    k_block: usize,
    /// panels of B in a block
    panels: usize,
    /// rows of a task
    mc: usize,
    /// panels of a task
    task_panels: usize,
}

impl Plan {
    fn new(cpu: &Cpu, kern: &Kernels, (m, n, k): (usize, usize, usize)) -> Plan {
        let k = kern.words(k).max(1);
        let kc = share(k, k.div_ceil(KC), 2);
        let k_block = (K_BLOCK / kc * kc).min(k);
        let all = n.div_ceil(kern.nr);
        let fit = (B_BLOCK / (k_block * kern.nr)).clamp(1, all);
        let panels = all.div_ceil(all.div_ceil(fit));
        let threads = cpu.threads();
        let chunks = m.div_ceil(MC).next_multiple_of(threads);
        let mc = share(m, chunks, kern.mr);
        // too few rows for the threads: cut the columns too
        let groups = (2 * threads).div_ceil(m.div_ceil(mc)).clamp(1, panels);
        let groups = if threads == 1 { 1 } else { groups };
        let task_panels = panels.div_ceil(groups);
        Plan { kc, k_block, panels, mc, task_panels }
    }
}

fn packed(cpu: &Cpu, p: Product, a: (Op, Rows), b: Operand, extensions: Extensions, d: RowsMut) -> Result<()> {
    let kern = cpu.kernels();
    let (m, n) = (d.rows(), d.cols());
    let plan = Plan::new(cpu, kern, (m, n, p.k));
    let words = kern.words(p.k);
    let rank = extensions.words(kern);
    let mut b_memory = cpu.scratch.take(plan.panels * (plan.k_block + rank) * kern.nr)?;
    let a_each = plan.mc * (plan.kc + rank) + 2 * SLACK;
    let mut a_memory = cpu.scratch.take(cpu.threads() * a_each)?;
    let a_shape = (cpu.threads(), a_each);
    let a_slots = RowsMut::new("packed a", a_memory.values(), (0, a_each), a_shape)?;
    let all = n.div_ceil(kern.nr);
    for first in (0..all).step_by(plan.panels) {
        let panels = first..(first + plan.panels).min(all);
        for start in (0..words.max(1)).step_by(plan.k_block) {
            let ks = start..(start + plan.k_block).min(words);
            // the terms go with the last of k
            let extensions = if ks.end == words { extensions } else { Extensions(&[]) };
            let depth = ks.len() + extensions.words(kern);
            let shape = (panels.len(), depth * kern.nr);
            let out = RowsMut::new("packed b", b_memory.values(), (0, shape.1), shape)?;
            par::rows(&cpu.pool, out, |q, out| {
                let column = (panels.start + q) * kern.nr;
                let columns = column..(column + kern.nr).min(n);
                let (main, behind) = out.split_at_mut(ks.len() * kern.nr);
                pack::columns(kern, b, columns.clone(), kern.span(ks.clone(), p.k), main);
                extensions.pack_columns(kern, columns, behind);
            });
            let packed_b = Rows::new("packed b", b_memory.values(), (0, shape.1), shape)?;
            let groups = panels.len().div_ceil(plan.task_panels);
            cpu.pool.each(m.div_ceil(plan.mc) * groups, |task| {
                let (i, g) = (task / groups, task % groups);
                let rows = i * plan.mc..((i + 1) * plan.mc).min(m);
                let group = g * plan.task_panels..((g + 1) * plan.task_panels).min(panels.len());
                let column = |q: usize| ((panels.start + q) * kern.nr).min(n);
                let slot = cpu.pool.slot();
                // SAFETY: tasks share neither rows nor columns of D, and a thread has its slot alone.
                let (d, mut a_slot) = unsafe {
                    (
                        d.part(rows.clone(), column(group.start)..column(group.end)),
                        a_slots.part(slot..slot + 1, 0..a_each),
                    )
                };
                let first = column(group.start);
                let b = packed_b.part(group, 0..shape.1);
                let stretch = Stretch { ks: ks.clone(), kc: plan.kc, extensions, column: first };
                block(kern, p, stretch, (a, rows), b, a_slot.row(0), d);
            });
        }
    }
    Ok(())
}

/// The part of k for which B is packed, in words, how it is cut, the terms behind it, and the first column of the task.
struct Stretch<'a> {
    ks: Range<usize>,
    kc: usize,
    extensions: Extensions<'a>,
    column: usize,
}

/// D's block of some rows times some panels of B, one stretch of k after another.
fn block(
    kern: &Kernels,
    p: Product,
    s: Stretch,
    (a, rows): ((Op, Rows), Range<usize>),
    b: Rows,
    a_memory: &mut [f32],
    mut d: RowsMut,
) {
    let stretches = s.ks.len().div_ceil(s.kc).max(1);
    for i in 0..stretches {
        let start = s.ks.start + i * s.kc;
        let ks = start..(start + s.kc).min(s.ks.end);
        let (main, behind) = a_memory.split_at_mut(rows.len() * ks.len() + SLACK);
        pack::rows(kern, a, rows.clone(), kern.span(ks.clone(), p.k), main);
        let write = if start == 0 { p.write } else { Write::Add };
        let p = Product { write, ..p };
        let main = Packed { a: main, words: ks.len(), used: 0..ks.len(), b_first: start - s.ks.start };
        let extensions = if i + 1 == stretches { s.extensions } else { Extensions(&[]) };
        pack::terms(kern, extensions.0.iter().map(|e| e.z), rows.clone(), behind);
        let words = extensions.words(kern);
        let low_rank = |j: usize| {
            let used = extensions.of_panel(kern, s.column + j * kern.nr);
            Packed { a: &*behind, words, used, b_first: s.ks.len() }
        };
        tiles(kern, p, main, low_rank, b, d.reborrow());
    }
}

/// Packed rows of A in panels, each of `words`, those of them that are used, and where these begin in B's panels.
#[derive(Clone)]
struct Packed<'a> {
    a: &'a [f32],
    words: usize,
    used: Range<usize>,
    b_first: usize,
}

impl Packed<'_> {
    fn none() -> Packed<'static> {
        Packed { a: &[], words: 0, used: 0..0, b_first: 0 }
    }

    fn segment(&self, kern: &Kernels, b: &[f32], i: usize, rows: usize) -> Segment {
        let k = self.used.len();
        if k == 0 {
            return Segment::NONE;
        }
        Segment {
            k,
            a: self.a[i * self.words + self.used.start * rows..][..rows * k].as_ptr(),
            b: b[self.b_first * kern.nr..][..k * kern.nr].as_ptr(),
            ldb: kern.nr,
        }
    }
}

/// D (+)= alpha · A · B from packed operands: A in panels of rows, B a panel a row of which the contraction
/// starts at the given word. The contraction has p.k values.
pub(super) fn multiply(kern: &Kernels, p: Product, a: &[f32], (b, first): (Rows, usize), d: RowsMut) {
    let words = kern.words(p.k);
    tiles(kern, p, Packed { a, words, used: 0..words, b_first: first }, |_| Packed::none(), b, d);
}

/// `low_rank` of a panel of B: what is multiplied behind `main`.
fn tiles<'a>(kern: &Kernels, p: Product, main: Packed, low_rank: impl Fn(usize) -> Packed<'a>, b: Rows, d: RowsMut) {
    let (m, n) = (d.rows(), d.cols());
    for j in 0..n.div_ceil(kern.nr) {
        let (b, low_rank) = (b.row(j), low_rank(j));
        for i in (0..m).step_by(kern.mr) {
            let rows = kern.mr.min(m - i);
            let tile = Tile {
                main: main.segment(kern, b, i, rows),
                low_rank: low_rank.segment(kern, b, i, rows),
                d: d.as_ptr().wrapping_add(i * d.ld() + j * kern.nr),
                ldd: d.ld(),
                n: kern.nr.min(n - j * kern.nr),
                alpha: p.alpha,
                write: p.write,
            };
            // SAFETY: the slices above have the segments' lengths, and rows × n values from there on are D's.
            unsafe { (kern.tile)(rows, tile) };
        }
    }
}
