//! Matrix products.

use super::buf::{Rows, RowsMut};
use super::{Cpu, par};
use crate::{Op, Write};

/// D[m,n] = alpha · op(A) · op(B) (+ D); k is the contracted length.
pub(super) fn gemm(cpu: &Cpu, k: usize, alpha: f32, a: (Op, Rows), b: (Op, Rows), d: RowsMut, write: Write) {
    par::row_blocks(&cpu.pool, d, k * 64, |r0, mut d| {
        for i in 0..d.rows() {
            let d = d.row(i);
            if write == Write::Set {
                d.fill(0.0);
            }
            for l in 0..k {
                let a = alpha
                    * match a.0 {
                        Op::N => a.1.row(r0 + i)[l],
                        Op::T => a.1.row(l)[r0 + i],
                    };
                match b.0 {
                    Op::N => d.iter_mut().zip(b.1.row(l)).for_each(|(d, b)| *d += a * b),
                    Op::T => d.iter_mut().enumerate().for_each(|(j, d)| *d += a * b.1.row(j)[l]),
                }
            }
        }
    });
}
