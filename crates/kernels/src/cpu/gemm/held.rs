//! Frozen matrices that are held as products read them: packed once, for the pass forward and for the pass back.

use super::micro::Kernels;
use crate::cpu::Cpu;
use crate::cpu::buf::{Buf, Rows, RowsMut};
use crate::{Op, Part, Result};
use half::bf16;
use std::ops::Range;

/// A matrix of some rows, twice: as op(B) of x·Wᵀ and of dy·W.
#[derive(Debug)]
pub(in crate::cpu) struct Held {
    rows: usize,
    /// Values in a word.
    values: usize,
    /// Panels of W's rows, [words of cols][nr] each.
    forward: Panels,
    /// Panels of its columns, [words of rows][nr] each.
    back: Panels,
}

/// Panels of `nr` columns, one behind another; what stands in the columns beyond the last does not matter.
#[derive(Debug)]
struct Panels {
    words: Buf,
    depth: usize,
    nr: usize,
}

impl Panels {
    fn len(kern: &Kernels, columns: usize, k: usize) -> usize {
        columns.div_ceil(kern.nr) * kern.nr * kern.words(k)
    }

    fn new(kern: &Kernels, columns: usize, k: usize) -> Result<Panels> {
        let words = Buf::new("weight", Panels::len(kern, columns, k))?;
        Ok(Panels { words, depth: kern.words(k), nr: kern.nr })
    }

    /// Words of a panel.
    fn each(&self) -> usize {
        self.depth * self.nr
    }

    /// Panel `q` from one word of the contraction to another.
    fn panel(&self, q: usize, ks: Range<usize>) -> &[f32] {
        &self.words.values()[(q * self.depth + ks.start) * self.nr..][..ks.len() * self.nr]
    }

    /// All of them, one a row.
    fn rows_mut(&mut self) -> RowsMut<'_> {
        let each = self.each();
        RowsMut::dense(self.words.values_mut(), each)
    }
}

impl Held {
    /// Words that [`Held::new`] holds.
    pub(in crate::cpu) fn words(kern: &Kernels, rows: usize, cols: usize) -> usize {
        Panels::len(kern, rows, cols) + Panels::len(kern, cols, rows)
    }

    /// For products that `kern` makes; `read(row, out)`: a row's values.
    pub(in crate::cpu) fn new(
        cpu: &Cpu,
        kern: &Kernels,
        (rows, cols): (usize, usize),
        read: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<Held> {
        let (mut forward, mut back) = (Panels::new(kern, rows, cols)?, Panels::new(kern, cols, rows)?);
        let wide_each = kern.nr * cols;
        let mut wide = cpu.scratch.take(cpu.threads() * wide_each)?;
        let wide = RowsMut::dense(&mut wide.values()[..cpu.threads() * wide_each], wide_each.max(1));
        let (forward_rows, back_rows) = (forward.rows_mut(), back.rows_mut());
        // a panel of rows is whole words of the columns' contraction
        assert!(kern.nr.is_multiple_of(kern.values()));
        cpu.pool.each(if cols == 0 { 0 } else { rows.div_ceil(kern.nr) }, |q| {
            let here = q * kern.nr..((q + 1) * kern.nr).min(rows);
            let slot = cpu.pool.slot();
            let words = kern.words(here.start)..kern.words(here.end);
            // SAFETY: a thread has its slot alone, and tasks share neither panels of rows nor words of columns.
            let (mut wide, mut forward, mut back) = unsafe {
                (
                    wide.part(slot..slot + 1, 0..wide_each),
                    forward_rows.part(q..q + 1, 0..kern.words(cols) * kern.nr),
                    back_rows.part(0..back_rows.rows(), words.start * kern.nr..words.end * kern.nr),
                )
            };
            let wide = &mut wide.row(0)[..here.len() * cols];
            wide.chunks_exact_mut(cols).zip(here.clone()).for_each(|(out, r)| read(r, out));
            let wide = Rows::dense(wide, cols);
            super::pack::transpose(kern, wide, forward.row(0));
            for (p, first) in (0..cols).step_by(kern.nr).enumerate() {
                let wide = wide.part(0..here.len(), first..(first + kern.nr).min(cols));
                super::pack::across(kern, wide, back.row(p));
            }
        });
        Ok(Held { rows, values: kern.values(), forward, back })
    }

    /// out = the values of row `r` from column `c` on.
    pub(in crate::cpu) fn read(&self, r: usize, c: usize, out: &mut [f32]) {
        let Panels { nr, depth, .. } = self.forward;
        let panel = self.forward.panel(r / nr, 0..depth);
        for (k, out) in (c..).zip(out) {
            let word = panel[k / self.values * nr + r % nr];
            *out = match (self.values, k % self.values) {
                (1, _) => word,
                (_, half) => bf16::from_bits((word.to_bits() >> (16 * half)) as u16).to_f32(),
            };
        }
    }

    /// Whether its words are two bf16.
    pub(in crate::cpu) fn is_bf16(&self) -> bool {
        self.values == 2
    }

    pub(in crate::cpu) fn bytes(&self) -> usize {
        (self.forward.words.len() + self.back.words.len()) * size_of::<f32>()
    }
}

/// Held matrices of one width, one below another, as the right-hand operand of a product.
#[derive(Clone, Copy)]
pub(super) struct Stack<'a> {
    op: Op,
    parts: &'a [Part<'a, Cpu>],
}

impl<'a> Stack<'a> {
    /// None where one of them is not held, or not in the same words.
    pub(super) fn new(op: Op, parts: &'a [Part<'a, Cpu>]) -> Option<Stack<'a>> {
        let mut words = parts.iter().map(|part| part.w.held().map(|held| held.values));
        let first = words.next()??;
        words.all(|values| values == Some(first)).then_some(Stack { op, parts })
    }

    /// Calls `f` with the words that a matrix has among the words `ks` of panel `q`, the panel from there on, and how far
    /// behind it the next panel lies.
    pub(super) fn pieces(
        &self,
        kern: &Kernels,
        q: usize,
        ks: Range<usize>,
        f: &mut impl FnMut(Range<usize>, &'a [f32], usize),
    ) {
        let mut start = 0;
        for held in self.parts.iter().filter_map(|part| part.w.held()) {
            match self.op {
                // one of them has the panel
                Op::T => {
                    let end = start + held.rows.div_ceil(kern.nr);
                    if (start..end).contains(&q) {
                        f(ks.clone(), held.forward.panel(q - start, ks.clone()), held.forward.each());
                    }
                    start = end;
                }
                // each has some of k
                Op::N => {
                    let end = start + kern.words(held.rows);
                    let here = ks.start.max(start)..ks.end.min(end);
                    if !here.is_empty() {
                        f(here.clone(), held.back.panel(q, here.start - start..here.end - start), held.back.each());
                    }
                    start = end;
                }
            }
        }
    }
}
