//! Products with frozen matrices, one or several that share an input, and the low-rank terms behind them.
//!
//! Several are multiplied as one whose rows are those of all: the shared operand is packed once, and a gradient is
//! written once. Where a boundary between two would cut a panel of columns they are multiplied one after another.

use super::buf::{Rows, RowsMut};
use super::gemm::{self, Extension, Operand, Product, Source};
use super::{Buf, Cpu, rows};
use crate::{LowRank, Op, PARTS_MAX, Part, Result, Write};
use std::ops::Range;

/// y (+)= x · [W₁; W₂; …]ᵀ, part i's columns with z_i · b_iᵀ.
pub(super) fn forward(cpu: &Cpu, x: Rows, parts: &[Part<Cpu>], y: RowsMut, write: Write) -> Result<()> {
    if apart(cpu, parts) {
        for (part, columns) in parts.iter().zip(spans(parts)) {
            // SAFETY: one product at a time writes to y.
            let y = unsafe { y.part(0..y.rows(), columns) };
            forward(cpu, x, std::slice::from_ref(part), y, write)?;
        }
        return Ok(());
    }
    let mut terms = [const { None }; PARTS_MAX];
    for ((term, part), columns) in terms.iter_mut().zip(parts).zip(spans(parts)) {
        *term = extension(part.low_rank.as_ref(), x.rows(), Op::T, columns)?;
    }
    let (product, b) = (Product::new(x.cols(), 1.0, write), Operand::new(Op::T, source(parts)));
    with(&terms, |terms| gemm::gemm(cpu, product, (Op::N, x), b, terms, y))
}

/// dx (+)= dy · [W₁; W₂; …] + Σ z_i · a_i
pub(super) fn backward(cpu: &Cpu, dy: Rows, parts: &[Part<Cpu>], mut dx: RowsMut, write: Write) -> Result<()> {
    if apart(cpu, parts) {
        for (i, columns) in spans(parts).enumerate() {
            let (dy, write) = (dy.part(0..dy.rows(), columns), if i == 0 { write } else { Write::Add });
            backward(cpu, dy, &parts[i..i + 1], dx.reborrow(), write)?;
        }
        return Ok(());
    }
    let width = dx.cols();
    let mut terms = [const { None }; PARTS_MAX];
    for (term, part) in terms.iter_mut().zip(parts) {
        *term = extension(part.low_rank.as_ref(), dy.rows(), Op::N, 0..width)?;
    }
    let (product, b) = (Product::new(dy.cols(), 1.0, write), Operand::new(Op::N, source(parts)));
    with(&terms, |terms| gemm::gemm(cpu, product, (Op::N, dy), b, terms, dx))
}

/// The rows of each part among those of all.
fn spans(parts: &[Part<Cpu>]) -> impl Iterator<Item = Range<usize>> {
    parts.iter().scan(0, |start, part| {
        let span = *start..*start + part.w.rows();
        *start = span.end;
        Some(span)
    })
}

/// Whether parts must be multiplied one after another: a boundary is within a panel.
fn apart(cpu: &Cpu, parts: &[Part<Cpu>]) -> bool {
    let (_, inner) = parts.split_last().unwrap_or_else(|| unreachable!("a product has parts"));
    let nr = gemm::kernels_for(cpu, &source(parts)).nr;
    inner.iter().any(|part| !part.w.rows().is_multiple_of(nr))
}

fn source<'a>(parts: &'a [Part<'a, Cpu>]) -> Source<'a> {
    match parts {
        [one] if one.w.held().is_none() => one.w.source(),
        several => Source::Stack(several),
    }
}

fn extension<'a>(
    low_rank: Option<&LowRank<'a, Buf>>,
    t: usize,
    op: Op,
    columns: Range<usize>,
) -> Result<Option<Extension<'a>>> {
    let Some(l) = low_rank else { return Ok(None) };
    let shape = if op == Op::T { (columns.len(), l.r) } else { (l.r, columns.len()) };
    let (z, b) = (rows("a low-rank term: z", l.z, (t, l.r))?, rows("a low-rank term: b", l.b, shape)?);
    Ok(Some(Extension { z, b: (op, b), columns }))
}

/// Calls `f` with the terms that there are.
fn with<'a, R>(terms: &[Option<Extension<'a>>; PARTS_MAX], f: impl FnOnce(&[Extension<'a>]) -> R) -> R {
    let some = |i: usize| terms.iter().flatten().nth(i).cloned();
    match (some(0), some(1), some(2)) {
        (None, ..) => f(&[]),
        (Some(a), None, _) => f(&[a]),
        (Some(a), Some(b), None) => f(&[a, b]),
        (Some(a), Some(b), Some(c)) => f(&[a, b, c]),
    }
}
