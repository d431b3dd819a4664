//! Matrix products, D (+)= alpha · op(A) · op(B).
//!
//! Three ways, chosen by the form of the operands and by n and k alone (where A's rows are tokens, m
//! must not matter: a token's result does not depend on the others):
//! - `packed`: both operands are repacked into panels that the innermost loop reads in order (Goto &
//!   van de Geijn 2008); every size.
//! - `thin_dots`: few columns, both contiguous along k (x·Aᵀ of a low-rank adapter): nothing is packed.
//! - `thin_sums`: few rows or columns, the contraction runs over tokens (dyᵀ·x): nothing is packed either.
//!
//! An element's sum always has the same order: blocks of k in turn, within a block one after another, and a low-rank
//! term behind the last.
//!
//! Packed operands are made of 32-bit words along the contraction: an f32, or two bf16 where the processor multiplies
//! them ([`Kernels`]). Values become words as they are packed; lengths of packed memory count words.
//!
//! Where tiles of bf16 are much faster than vectors of f32, an f32 is multiplied by a bf16 in three tiles: it is the sum of
//! three bf16 of 8 bits each, products of two bf16 are exact in f32, and sums are in f32 ([`micro::kernels_of_thirds`]).

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(super) mod held;
mod micro;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(super) mod pack;
mod portable;
mod simd;
mod thin;

use super::buf::{Rows, RowsMut};
use super::{Cpu, par};
use crate::{Op, PARTS_MAX, Result, Write};
#[cfg(target_arch = "x86_64")]
pub(super) use amx::has_tiles;
use held::Stack;
pub(super) use micro::{Kernels, kernels, kernels_of_thirds};
use micro::{Segment, Tile};
pub(super) use pack::Source;
use std::ops::Range;

/// Longest stretch of k in one pass, in words. Measured: 192 to 768 differ little; longer ones write D less often.
const KC: usize = 576;
/// The same where A's words come in three forms, so that B's panel stays in the first-level cache for all of them.
const KC_THIRDS: usize = 288;
/// Rows of A packed at a time: with [`KC`] they take 387 kB of the second-level cache.
const MC: usize = 168;
/// Longest stretch of k, in words, for which B is packed at a time: A is packed again for every such block of B.
const K_BLOCK: usize = 1536;
/// Words of B packed at a time: a good part of what a core has of the last-level cache.
const B_BLOCK: usize = 1 << 20;
/// Tasks a thread when B is held, so that none waits long for the last, and the fewest columns of one: fewer would not
/// be worth packing A's rows for.
const TASKS: usize = 3;
const TASK_COLUMNS: usize = 512;
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

    /// The matrices that hold it packed already.
    fn held(&self) -> Option<Stack<'a>> {
        match self.source {
            Source::Stack(parts) => Stack::new(self.op, parts),
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
    pub b: (Op, Rows<'a>),
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

    /// Packs what stands in a panel of B behind its words of k: in one form after another, each of `each` words.
    fn pack_columns(&self, kern: &Kernels, columns: Range<usize>, each: usize, out: &mut [f32]) {
        for (i, form) in kern.forms.iter().enumerate() {
            let mut out = &mut out[i * each * kern.nr..];
            for e in self.0.iter().filter(|e| e.columns.contains(&columns.start)) {
                let (front, rest) = out.split_at_mut(kern.words(e.z.cols()) * kern.nr);
                let local = columns.start - e.columns.start..columns.end - e.columns.start;
                pack::form(kern, *form, e.b, local, front);
                out = rest;
            }
        }
    }
}

/// What multiplies with B.
pub(super) fn kernels_for(cpu: &Cpu, b: &Source) -> &'static Kernels {
    let in_bf16 = match b {
        Source::Bf16(..) => true,
        Source::Narrow(w) => w.is_bf16(),
        Source::Stack(parts) => parts.iter().all(|part| part.w.is_bf16()),
        Source::F32(_) | Source::Codes(..) => false,
    };
    let thirds = kernels_of_thirds(cpu.level, cpu.precision).filter(|_| in_bf16);
    thirds.unwrap_or_else(|| cpu.kernels())
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
    /// `held`: B is packed already.
    fn new(cpu: &Cpu, kern: &Kernels, (m, n, k): (usize, usize, usize), held: bool) -> Plan {
        let k = kern.words(k).max(1);
        let kc_max = if kern.forms.len() > 1 { KC_THIRDS } else { KC };
        let kc = share(k, k.div_ceil(kc_max), kern.unit.max(2));
        let threads = cpu.threads();
        let all = n.div_ceil(kern.nr);
        let fit = |k: usize| (B_BLOCK / (k * kern.nr)).clamp(1, all);
        if held {
            // Nothing is gained by few blocks. Tasks that run at the same time take the same columns of B, which so come
            // from memory once; rows are cut as seldom as the threads allow.
            let chunks = m.div_ceil(MC);
            let groups = all.div_ceil(fit(k)).max((TASKS * threads).div_ceil(chunks));
            let groups = groups.min(n / TASK_COLUMNS).max(1);
            let task_panels = all.div_ceil(groups);
            let few = chunks * all.div_ceil(task_panels) < 2 * threads;
            let chunks = if few { chunks.next_multiple_of(threads) } else { chunks };
            return Plan { kc, k_block: k, panels: all, mc: share(m, chunks, kern.mr), task_panels };
        }
        let k_block = (K_BLOCK / kc * kc).min(k);
        let panels = all.div_ceil(all.div_ceil(fit(k_block)));
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
    let kern = kernels_for(cpu, &b.source);
    let forms = kern.forms.len();
    let (m, n) = (d.rows(), d.cols());
    let held = b.held();
    let plan = Plan::new(cpu, kern, (m, n, p.k), held.is_some());
    let words = kern.words(p.k);
    let rank = extensions.words(kern);
    let b_each = if held.is_some() { 0 } else { plan.k_block * kern.nr };
    let mut b_memory = cpu.scratch.take(plan.panels * (b_each + forms * rank * kern.nr))?;
    let a_each = forms * plan.mc * (plan.kc + rank) + 2 * kern.slack;
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
            let main = if held.is_some() { 0 } else { ks.len() * kern.nr };
            let behind = extensions.words(kern);
            let shape = (panels.len(), main + forms * behind * kern.nr);
            let out = RowsMut::new("packed b", b_memory.values(), (0, shape.1), shape)?;
            par::rows(&cpu.pool, out, |q, out| {
                let column = (panels.start + q) * kern.nr;
                let columns = column..(column + kern.nr).min(n);
                let (main, terms) = out.split_at_mut(main);
                if held.is_none() {
                    pack::columns(kern, b, columns.clone(), kern.span(ks.clone(), p.k), main);
                }
                extensions.pack_columns(kern, columns, behind, terms);
            });
            let packed = Rows::new("packed b", b_memory.values(), (0, shape.1), shape)?;
            let groups = panels.len().div_ceil(plan.task_panels);
            let row_tasks = m.div_ceil(plan.mc);
            cpu.pool.each(row_tasks * groups, |task| {
                let (g, i) = (task / row_tasks, task % row_tasks);
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
                let b = Right { held, packed, first: group.start, main };
                let stretch = Stretch { ks: ks.clone(), kc: plan.kc, extensions, panel: panels.start + group.start };
                block(kern, p, stretch, (a, rows), b, a_slot.row(0), d);
            });
        }
    }
    Ok(())
}

/// The part of k that a task multiplies, in words, how it is cut, the terms behind it, and the task's first panel.
struct Stretch<'a> {
    ks: Range<usize>,
    kc: usize,
    extensions: Extensions<'a>,
    panel: usize,
}

/// The panels of B that a task reads: rows of `packed` from `first` on, which have `main` words of k and then the
/// terms', or only these where k's are held.
#[derive(Clone, Copy)]
struct Right<'a> {
    held: Option<Stack<'a>>,
    packed: Rows<'a>,
    first: usize,
    main: usize,
}

/// D's block of some rows times some panels of B, one stretch of k after another.
fn block(
    kern: &Kernels,
    p: Product,
    s: Stretch,
    (a, rows): ((Op, Rows), Range<usize>),
    b: Right,
    a_memory: &mut [f32],
    mut d: RowsMut,
) {
    let stretches = s.ks.len().div_ceil(s.kc).max(1);
    for i in 0..stretches {
        let start = s.ks.start + i * s.kc;
        let ks = start..(start + s.kc).min(s.ks.end);
        let forms = kern.forms.len();
        let (main, behind) = a_memory.split_at_mut(forms * rows.len() * ks.len() + kern.slack);
        pack::rows(kern, a, rows.clone(), kern.span(ks.clone(), p.k), main);
        let main = Left { packed: main, words: ks.len() };
        let write = if start == 0 { p.write } else { Write::Add };
        let extensions = if i + 1 == stretches { s.extensions } else { Extensions(&[]) };
        pack::terms(kern, extensions.0.iter().map(|e| e.z), rows.clone(), behind);
        let terms = Left { packed: behind, words: extensions.words(kern) };
        let pieces = |j: usize| {
            let (mut pieces, packed) = (Pieces::none(), b.packed.row(b.first + j));
            match b.held {
                None => pieces.push(main, 0..ks.len(), &packed[(start - s.ks.start) * kern.nr..], b.packed.ld()),
                Some(stack) => stack.pieces(kern, s.panel + j, ks.clone(), &mut |words, b, each| {
                    pieces.push(main, words.start - start..words.end - start, b, each);
                }),
            }
            let words = extensions.of_panel(kern, (s.panel + j) * kern.nr);
            for form in 0..forms {
                pieces.push(terms, words.clone(), &packed[b.main + form * terms.words * kern.nr..], b.packed.ld());
            }
            pieces
        };
        tiles(kern, Product { write, ..p }, true, pieces, d.reborrow());
    }
}

/// Rows of A in panels of `words` each, in all forms.
#[derive(Clone, Copy)]
struct Left<'a> {
    packed: &'a [f32],
    words: usize,
}

/// Words of A's panels times B's panel from the first of them on, and how far behind it B's next panel lies.
#[derive(Clone, Copy)]
struct Piece<'a> {
    a: Left<'a>,
    first: usize,
    words: usize,
    b: &'a [f32],
    each: usize,
}

/// What a panel of D is the sum of.
struct Pieces<'a> {
    list: [Piece<'a>; PIECES_MAX],
    len: usize,
}

/// Matrices one below another, and their terms in up to three forms.
const PIECES_MAX: usize = PARTS_MAX + 3;
/// Into so many shares B's next panel is cut: a tile fetches one of them.
const SHARES: usize = 4;

impl<'a> Pieces<'a> {
    fn none() -> Pieces<'a> {
        let none = Piece { a: Left { packed: &[], words: 0 }, first: 0, words: 0, b: &[], each: 0 };
        Pieces { list: [none; PIECES_MAX], len: 0 }
    }

    fn push(&mut self, a: Left<'a>, words: Range<usize>, b: &'a [f32], each: usize) {
        if !words.is_empty() {
            self.list[self.len] = Piece { a, first: words.start, words: words.len(), b, each };
            self.len += 1;
        }
    }

    /// The segments of the tile whose first row is `i`.
    fn segments<'s>(&self, kern: &Kernels, i: usize, rows: usize, out: &'s mut [Segment; PIECES_MAX]) -> &'s [Segment] {
        let forms = kern.forms.len();
        for (segment, p) in out.iter_mut().zip(&self.list[..self.len]) {
            let panel = p.words * kern.nr;
            let a = p.a.packed[forms * (i * p.a.words + p.first * rows)..][..forms * rows * p.words].as_ptr();
            let b = p.b[..panel].as_ptr();
            let next = b.wrapping_add(p.each + i / kern.mr % SHARES * (panel / SHARES));
            *segment = Segment { k: p.words, a, lda: rows, b, ldb: kern.nr, next };
        }
        &out[..self.len]
    }
}

/// D (+)= alpha · A · B from packed operands that lie near: A in panels of rows, B a panel a row of which the contraction
/// starts at the given word. The contraction has p.k values.
pub(super) fn multiply(kern: &Kernels, p: Product, a: &[f32], (b, first): (Rows, usize), d: RowsMut) {
    let words = kern.words(p.k);
    let pieces = |j: usize| {
        let mut pieces = Pieces::none();
        pieces.push(Left { packed: a, words }, 0..words, &b.row(j)[first * kern.nr..], 0);
        pieces
    };
    tiles(kern, p, false, pieces, d);
}

/// `pieces` of each panel; `far`: see [`Tile`].
fn tiles<'a>(kern: &Kernels, p: Product, far: bool, pieces: impl Fn(usize) -> Pieces<'a>, d: RowsMut) {
    let (m, n) = (d.rows(), d.cols());
    let mut segments = [Segment::NONE; PIECES_MAX];
    // SAFETY: the kernels are this processor's.
    unsafe { (kern.enter)() };
    for j in 0..n.div_ceil(kern.nr) {
        let pieces = pieces(j);
        for i in (0..m).step_by(kern.mr) {
            let rows = kern.mr.min(m - i);
            let tile = Tile {
                segments: pieces.segments(kern, i, rows, &mut segments),
                d: d.as_ptr().wrapping_add(i * d.ld() + j * kern.nr),
                ldd: d.ld(),
                n: kern.nr.min(n - j * kern.nr),
                alpha: p.alpha,
                write: p.write,
                far,
            };
            // SAFETY: the slices above have the segments' lengths, A's with the slack behind its last panel, and rows × n
            // values from there on are D's.
            unsafe { (kern.tile)(rows, tile) };
        }
    }
    // SAFETY: as above.
    unsafe { (kern.leave)() };
}
