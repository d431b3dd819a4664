//! Splitting work over threads. A task owns its part of the output alone and runs the same code
//! whatever thread it lands on, so results do not depend on how many there are.

use super::buf::RowsMut;
use super::pool::Pool;
use std::ops::Range;

/// Elements that a task should touch, at least: below that, handing it over costs more than it saves.
pub(super) const GRAIN: usize = 16 * 1024;

/// The `i`-th piece of `0..len` when cut every `step`.
fn piece(i: usize, step: usize, len: usize) -> Range<usize> {
    i * step..((i + 1) * step).min(len)
}

/// f(r, row r) for every row.
pub(super) fn rows(pool: &Pool, out: RowsMut, f: impl Fn(usize, &mut [f32]) + Sync) {
    let cols = out.cols();
    row_blocks(pool, out, cols, |r0, mut part| {
        for i in 0..part.rows() {
            f(r0 + i, part.row(i));
        }
    });
}

/// f(r, row r of a, row r of b) for every row; both have the same number.
pub(super) fn rows2(pool: &Pool, a: RowsMut, b: RowsMut, f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync) {
    row_sets(pool, [a, b], |r, [a, b]| f(r, a, b));
}

/// f(r, row r of each) for every row; all have the same number.
pub(super) fn row_sets<const N: usize>(pool: &Pool, sets: [RowsMut; N], f: impl Fn(usize, [&mut [f32]; N]) + Sync) {
    let rows = sets.first().map_or(0, RowsMut::rows);
    assert!(sets.iter().all(|set| set.rows() == rows));
    let cols = sets.iter().map(RowsMut::cols).max().unwrap_or(0);
    let step = (GRAIN / cols.max(1)).max(1);
    pool.each(rows.div_ceil(step), |i| {
        let at = piece(i, step, rows);
        // SAFETY: the pieces of different tasks share no row.
        let mut parts = sets.each_ref().map(|set| unsafe { set.part(at.clone(), 0..set.cols()) });
        for i in 0..at.len() {
            f(at.start + i, parts.each_mut().map(|part| part.row(i)));
        }
    });
}

/// f(first row, a block of rows): for work that costs `cost` elements a row.
pub(super) fn row_blocks(pool: &Pool, out: RowsMut, cost: usize, f: impl Fn(usize, RowsMut) + Sync) {
    let step = (GRAIN / cost.max(1)).max(1);
    pool.each(out.rows().div_ceil(step), |i| {
        let at = piece(i, step, out.rows());
        // SAFETY: the pieces of different tasks share no row.
        f(at.start, unsafe { out.part(at, 0..out.cols()) });
    });
}

/// Columns of one task of [`stripes`]; a multiple of every vector length.
pub(super) const STRIPE: usize = 64;

/// f(columns, those columns of every row): for sums over rows.
pub(super) fn stripes(pool: &Pool, out: RowsMut, f: impl Fn(Range<usize>, RowsMut) + Sync) {
    pool.each(out.cols().div_ceil(STRIPE), |i| {
        let at = piece(i, STRIPE, out.cols());
        // SAFETY: the pieces of different tasks share no column.
        f(at.clone(), unsafe { out.part(0..out.rows(), at) });
    });
}

/// f(range, that part of x): for work on single elements.
pub(super) fn elements(pool: &Pool, x: &mut [f32], f: impl Fn(Range<usize>, &mut [f32]) + Sync) {
    elements_by(pool, GRAIN, x, f);
}

/// As [`elements`], in ranges of `step`, the last of what is left.
pub(super) fn elements_by(pool: &Pool, step: usize, x: &mut [f32], f: impl Fn(Range<usize>, &mut [f32]) + Sync) {
    let len = x.len();
    let x = RowsMut::dense(x, len);
    pool.each(len.div_ceil(step.max(1)), |i| {
        let at = piece(i, step, len);
        // SAFETY: the pieces of different tasks share no element.
        f(at.clone(), unsafe { x.part(0..1, at) }.row(0));
    });
}

/// As [`elements`], over three slices of one length.
pub(super) fn elements3(
    pool: &Pool,
    xs: [&mut [f32]; 3],
    f: impl Fn(Range<usize>, &mut [f32], &mut [f32], &mut [f32]) + Sync,
) {
    let len = xs[0].len();
    assert!(xs.iter().all(|x| x.len() == len));
    let [a, b, c] = xs.map(|x| RowsMut::dense(x, len));
    pool.each(len.div_ceil(GRAIN), |i| {
        let at = piece(i, GRAIN, len);
        // SAFETY: the pieces of different tasks share no element.
        let (mut a, mut b, mut c) =
            unsafe { (a.part(0..1, at.clone()), b.part(0..1, at.clone()), c.part(0..1, at.clone())) };
        f(at, a.row(0), b.row(0), c.row(0));
    });
}

/// Codes of one byte, and what each block of them shares.
pub(super) struct Blocks<'a> {
    pub codes: &'a mut [u8],
    pub shared: &'a mut [f32],
}

/// f(range, that part of x, those of each set): for work on whole blocks of `block` values, as many as x has.
pub(super) fn blocks2(
    pool: &Pool,
    block: usize,
    x: &mut [f32],
    sets: [Blocks; 2],
    f: impl Fn(Range<usize>, &mut [f32], [Blocks; 2]) + Sync,
) {
    let (len, blocks) = (x.len(), x.len().div_ceil(block));
    assert!(sets.iter().all(|set| set.codes.len() == len && set.shared.len() == blocks));
    let x = RowsMut::dense(x, len);
    let sets = sets.map(|set| (RowsMut::dense(set.codes, len), RowsMut::dense(set.shared, blocks)));
    let step = (GRAIN / block).max(1);
    pool.each(blocks.div_ceil(step), |i| {
        let at = piece(i, step, blocks);
        let values = at.start * block..(at.end * block).min(len);
        // SAFETY: the pieces of different tasks share no block.
        let mut x = unsafe { x.part(0..1, values.clone()) };
        // SAFETY: as above.
        let mut sets = sets
            .each_ref()
            .map(|(codes, shared)| unsafe { (codes.part(0..1, values.clone()), shared.part(0..1, at.clone())) });
        let sets = sets.each_mut().map(|(codes, shared)| Blocks { codes: codes.row(0), shared: shared.row(0) });
        f(values, x.row(0), sets);
    });
}
