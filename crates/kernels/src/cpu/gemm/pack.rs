//! Operands rearranged for the innermost loop: panels of a few rows or columns, k outermost.

use super::Operand;
use super::micro::Kernels;
use crate::Op;
use crate::cpu::buf::Rows;
use crate::cpu::weight::Weight;
use std::ops::Range;

/// Where an operand's values are.
#[derive(Clone, Copy)]
pub(in crate::cpu) enum Source<'a> {
    F32(Rows<'a>),
    /// Widened as it is packed.
    Narrow(&'a Weight),
}

/// Values of a narrow row widened at a time.
const WIDEN: usize = 64;
/// The widest panel of any instruction set.
const NR_MAX: usize = 32;

/// Panels of up to `mr` rows of op(A), each [k][rows], one behind the other. `out` has room for the slack.
pub(in crate::cpu) fn rows(kern: &Kernels, a: (Op, Rows), rows: Range<usize>, ks: Range<usize>, out: &mut [f32]) {
    assert!(out.len() >= rows.len() * ks.len() + super::SLACK);
    for i in (0..rows.len()).step_by(kern.mr) {
        let m = kern.mr.min(rows.len() - i);
        let first = rows.start + i;
        let out = &mut out[i * ks.len()..];
        match a.0 {
            Op::N => {
                let a = a.1.part(first..first + m, ks.clone());
                // SAFETY: `part` holds m rows of k values; `out` m × k and the slack.
                unsafe { (kern.pack_rows)(a.as_ptr(), a.ld(), m, ks.len(), out.as_mut_ptr(), m) };
            }
            Op::T => copy(a.1.part(ks.clone(), first..first + m), m, out),
        }
    }
}

/// One panel of op(B): [k][nr], from the columns `cols` (at most `nr`). What stands in the columns beyond
/// does not matter.
pub(in crate::cpu) fn columns(kern: &Kernels, b: Operand, cols: Range<usize>, ks: Range<usize>, out: &mut [f32]) {
    assert!(out.len() >= ks.len() * kern.nr && cols.len() <= kern.nr);
    match (b.op, b.source) {
        (Op::T, Source::F32(b)) => transpose(kern, b.part(cols, ks), out),
        (Op::N, Source::F32(b)) => copy(b.part(ks, cols), kern.nr, out),
        (Op::T, Source::Narrow(w)) => {
            let mut wide = [0.0; NR_MAX * WIDEN];
            for start in ks.clone().step_by(WIDEN) {
                let len = WIDEN.min(ks.end - start);
                for (wide, r) in wide.chunks_exact_mut(WIDEN).zip(cols.clone()) {
                    w.read(r, start, &mut wide[..len]);
                }
                let wide = Rows::dense(&wide, WIDEN).part(0..cols.len(), 0..len);
                transpose(kern, wide, &mut out[(start - ks.start) * kern.nr..]);
            }
        }
        (Op::N, Source::Narrow(w)) => {
            for (out, r) in out.chunks_exact_mut(kern.nr).zip(ks) {
                w.read(r, cols.start, &mut out[..cols.len()]);
            }
        }
    }
}

fn transpose(kern: &Kernels, rows: Rows, out: &mut [f32]) {
    assert!(out.len() >= rows.cols() * kern.nr);
    // SAFETY: `nr` is a multiple of the lanes, so that whole vectors end with the panel's rows.
    unsafe {
        (kern.pack_rows)(rows.as_ptr(), rows.ld(), rows.rows(), rows.cols(), out.as_mut_ptr(), kern.nr);
    }
}

/// Rows to a stride of `stride`.
fn copy(rows: Rows, stride: usize, out: &mut [f32]) {
    for (l, out) in (0..rows.rows()).zip(out.chunks_exact_mut(stride)) {
        out[..rows.cols()].copy_from_slice(rows.row(l));
    }
}
