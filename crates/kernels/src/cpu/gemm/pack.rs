//! Operands rearranged for the innermost loop: panels of a few rows or columns, k outermost.

use super::Operand;
use super::micro::{Columns, Kernels};
use crate::cpu::Cpu;
use crate::cpu::buf::Rows;
use crate::cpu::unpack::Unpack;
use crate::cpu::weight::Weight;
use crate::{Op, Part};
use half::bf16;
use std::ops::Range;

/// Where an operand's values are.
#[derive(Clone, Copy)]
pub(in crate::cpu) enum Source<'a> {
    F32(Rows<'a>),
    /// A frozen matrix of bf16, `ld` values a row.
    Bf16(&'a [bf16], usize),
    /// Widened, or unpacked, row by row as it is packed.
    Narrow(&'a Weight),
    /// Unpacked to bf16 row by row as it is packed, `ld` values a row.
    Codes(&'a Unpack, usize),
    /// Frozen matrices of one width, one below another. Each but the last has rows for whole panels.
    Stack(&'a [Part<'a, Cpu>]),
}

/// Values of a narrow row, or narrow rows, widened at a time: whole words.
const WIDEN: usize = 64;
/// The widest panel of any instruction set.
const NR_MAX: usize = 32;

/// Panels of up to `mr` rows of op(A), each [words of ks][rows] (by units of the kernels, which come in all forms), one
/// behind the other. `out` has room for the slack.
pub(in crate::cpu) fn rows(kern: &Kernels, a: (Op, Rows), rows: Range<usize>, ks: Range<usize>, out: &mut [f32]) {
    let words = kern.words(ks.len()) * kern.forms.len();
    assert!(out.len() >= rows.len() * words + kern.slack);
    for i in (0..rows.len()).step_by(kern.mr) {
        let m = kern.mr.min(rows.len() - i);
        let first = rows.start + i;
        let to = out[i * words..].as_mut_ptr();
        match a.0 {
            Op::N => {
                let a = a.1.part(first..first + m, ks.clone());
                // SAFETY: `part` holds m rows of k values; `out` m × words and the slack.
                unsafe { (kern.rows_along)(a.as_ptr(), a.ld(), m, ks.len(), to, m) };
            }
            Op::T => {
                let a = a.1.part(ks.clone(), first..first + m);
                // SAFETY: `part` holds k rows of m values; `out` as above.
                unsafe { (kern.rows_across)(a.as_ptr(), a.ld(), ks.len(), m, to, m) };
            }
        }
    }
}

/// The rows of several operands, one behind another in each panel of rows: [words of all, in all forms][rows].
pub(super) fn terms<'a>(
    kern: &Kernels,
    terms: impl Iterator<Item = Rows<'a>> + Clone,
    rows: Range<usize>,
    out: &mut [f32],
) {
    let mut at = 0;
    for i in (0..rows.len()).step_by(kern.mr) {
        let m = kern.mr.min(rows.len() - i);
        let first = rows.start + i;
        for z in terms.clone() {
            // in panels' order: the slack behind each is overwritten by the next
            self::rows(kern, (Op::N, z), first..first + m, 0..z.cols(), &mut out[at..]);
            at += m * kern.words(z.cols()) * kern.forms.len();
        }
    }
}

/// One panel of op(B): [words of ks][nr], from the columns `cols` (at most `nr`). What stands in the columns beyond
/// does not matter.
pub(in crate::cpu) fn columns(kern: &Kernels, b: Operand, cols: Range<usize>, ks: Range<usize>, out: &mut [f32]) {
    assert!(out.len() >= kern.words(ks.len()) * kern.nr && cols.len() <= kern.nr);
    if cols.is_empty() || ks.is_empty() {
        return;
    }
    match (b.op, b.source) {
        (Op::T, Source::F32(b)) => transpose(kern, b.part(cols, ks), out),
        (Op::N, Source::F32(b)) => across(kern, b.part(ks, cols), out),
        (Op::T, Source::Bf16(b, ld)) => {
            let b = &b[cols.start * ld + ks.start..(cols.end - 1) * ld + ks.end];
            // SAFETY: the slice ends with the last row's last value; `out` as above.
            unsafe { (kern.from_bf16.along)(b.as_ptr(), ld, cols.len(), ks.len(), out.as_mut_ptr(), kern.nr) };
        }
        (Op::N, Source::Bf16(b, ld)) => {
            let b = &b[ks.start * ld + cols.start..(ks.end - 1) * ld + cols.end];
            // SAFETY: as above.
            unsafe { (kern.from_bf16.across)(b.as_ptr(), ld, ks.len(), cols.len(), out.as_mut_ptr(), kern.nr) };
        }
        (op, Source::Stack(parts)) => stacked(kern, op, parts, cols, ks, out),
        (Op::T, Source::Narrow(w)) => {
            let mut wide = [0.0; NR_MAX * WIDEN];
            for start in ks.clone().step_by(WIDEN) {
                let len = WIDEN.min(ks.end - start);
                for (wide, r) in wide.chunks_exact_mut(WIDEN).zip(cols.clone()) {
                    w.read(r, start, &mut wide[..len]);
                }
                let wide = Rows::dense(&wide, WIDEN).part(0..cols.len(), 0..len);
                transpose(kern, wide, &mut out[kern.words(start - ks.start) * kern.nr..]);
            }
        }
        (Op::N, Source::Narrow(w)) => {
            let mut wide = [0.0; NR_MAX * WIDEN];
            for start in ks.clone().step_by(WIDEN) {
                let len = WIDEN.min(ks.end - start);
                for (wide, r) in wide.chunks_exact_mut(NR_MAX).zip(start..start + len) {
                    w.read(r, cols.start, &mut wide[..cols.len()]);
                }
                let to = out[kern.words(start - ks.start) * kern.nr..].as_mut_ptr();
                // SAFETY: `wide` holds len rows; `out` as above.
                unsafe { (kern.from_f32.across)(wide.as_ptr(), NR_MAX, len, cols.len(), to, kern.nr) };
            }
        }
        (op, Source::Codes(w, ld)) => codes(kern, op, (w, ld), cols, ks, out),
    }
}

/// [`columns`] of a matrix in NF4, a block's length of k at a time.
fn codes(kern: &Kernels, op: Op, (w, ld): (&Unpack, usize), cols: Range<usize>, ks: Range<usize>, out: &mut [f32]) {
    let mut values = [bf16::ZERO; NR_MAX * WIDEN];
    for start in ks.clone().step_by(WIDEN) {
        let len = WIDEN.min(ks.end - start);
        let to = &mut out[kern.words(start - ks.start) * kern.nr..][..kern.words(len) * kern.nr];
        match op {
            Op::T => {
                let rows = &mut values[..cols.len() * WIDEN];
                w.read_bf16((cols.start * ld + start, ld), len, rows, WIDEN);
                // SAFETY: `values` holds the columns' rows of len values, `to` their words.
                unsafe { (kern.from_bf16.along)(values.as_ptr(), WIDEN, cols.len(), len, to.as_mut_ptr(), kern.nr) };
            }
            Op::N => {
                let rows = &mut values[..len * NR_MAX];
                w.read_bf16((start * ld + cols.start, ld), cols.len(), rows, NR_MAX);
                // SAFETY: `values` holds len rows, `to` their words.
                unsafe { (kern.from_bf16.across)(values.as_ptr(), NR_MAX, len, cols.len(), to.as_mut_ptr(), kern.nr) };
            }
        }
    }
}

/// [`columns`] of matrices one below another: the stack's rows are B's columns for `Op::T`, and its k for `Op::N`.
fn stacked(kern: &Kernels, op: Op, parts: &[Part<Cpu>], cols: Range<usize>, ks: Range<usize>, out: &mut [f32]) {
    let wanted = if op == Op::T { cols.clone() } else { ks.clone() };
    let mut start = 0;
    for part in parts {
        let end = start + part.w.rows();
        let here = wanted.start.max(start)..wanted.end.min(end);
        if !here.is_empty() {
            let local = here.start - start..here.end - start;
            let b = Operand::new(op, part.w.source());
            match op {
                Op::T => columns(kern, b, local, ks.clone(), out),
                Op::N => columns(kern, b, cols.clone(), local, &mut out[kern.words(here.start - ks.start) * kern.nr..]),
            }
        }
        start = end;
    }
}

/// [`columns`] of plain values in one of their forms.
pub(super) fn form(kern: &Kernels, form: Columns<f32>, (op, b): (Op, Rows), cols: Range<usize>, out: &mut [f32]) {
    if cols.is_empty() {
        return;
    }
    match op {
        Op::T => transpose_as(kern, form, b.part(cols, 0..b.cols()), out),
        Op::N => across_as(kern, form, b.part(0..b.rows(), cols), out),
    }
}

/// A panel of the columns that are these rows.
pub(super) fn transpose(kern: &Kernels, rows: Rows, out: &mut [f32]) {
    transpose_as(kern, kern.from_f32, rows, out);
}

fn transpose_as(kern: &Kernels, form: Columns<f32>, rows: Rows, out: &mut [f32]) {
    assert!(rows.rows() <= kern.nr);
    assert!(out.len() >= kern.words(rows.cols()) * kern.nr);
    // SAFETY: `nr` is a multiple of the lanes, so that whole vectors end with the panel's rows.
    unsafe {
        (form.along)(rows.as_ptr(), rows.ld(), rows.rows(), rows.cols(), out.as_mut_ptr(), kern.nr);
    }
}

/// A panel of these columns.
pub(super) fn across(kern: &Kernels, b: Rows, out: &mut [f32]) {
    across_as(kern, kern.from_f32, b, out);
}

fn across_as(kern: &Kernels, form: Columns<f32>, b: Rows, out: &mut [f32]) {
    assert!(b.cols() <= kern.nr && out.len() >= kern.words(b.rows()) * kern.nr);
    // SAFETY: `Rows` holds the rows; `out` the words; `nr` is a multiple of the lanes: whole vectors end with it.
    unsafe { (form.across)(b.as_ptr(), b.ld(), b.rows(), b.cols(), out.as_mut_ptr(), kern.nr) };
}
