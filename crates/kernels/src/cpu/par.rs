//! Splitting work over threads. A task owns its part of the output alone and runs the same code
//! whatever thread it lands on, so results do not depend on how many there are.

use super::buf::RowsMut;
use crate::{KernelError, Result};
use std::ops::Range;

/// Elements that a task should touch, at least: below that, handing it over costs more than it saves.
pub(super) const GRAIN: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Pool {
    threads: usize,
    workers: Option<rayon::ThreadPool>,
}

impl Pool {
    pub(super) fn new(threads: usize) -> Result<Pool> {
        let workers = match threads {
            1 => None,
            _ => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|i| format!("kernels-{i}"))
                    .build()
                    .map_err(|e| KernelError::Threads { threads, reason: e.to_string() })?,
            ),
        };
        Ok(Pool { threads, workers })
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `f` on one of the workers, from which further splits start without a hand-over.
    pub(super) fn within<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        match &self.workers {
            None => f(),
            Some(w) => w.install(f),
        }
    }

    /// A number below `threads()` that no other thread of this pool has: for memory of its own. Tasks never wait for
    /// other tasks, so a thread is in one task at a time.
    pub(super) fn slot(&self) -> usize {
        let inside = |w: &rayon::ThreadPool| w.current_thread_index();
        self.workers.as_ref().and_then(inside).unwrap_or(0)
    }

    /// f(0), …, f(tasks − 1), each once, in any order.
    pub(super) fn each(&self, tasks: usize, f: impl Fn(usize) + Sync) {
        match &self.workers {
            Some(w) if tasks > 1 => w.install(|| halve(0..tasks, &f)),
            _ => (0..tasks).for_each(f),
        }
    }
}

/// Work stealing by halves: nothing is allocated.
fn halve(tasks: Range<usize>, f: &(impl Fn(usize) + Sync)) {
    if tasks.len() <= 1 {
        tasks.for_each(f);
        return;
    }
    let middle = tasks.start + tasks.len() / 2;
    rayon::join(|| halve(tasks.start..middle, f), || halve(middle..tasks.end, f));
}

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
    assert_eq!(a.rows(), b.rows());
    let step = (GRAIN / a.cols().max(b.cols()).max(1)).max(1);
    pool.each(a.rows().div_ceil(step), |i| {
        let at = piece(i, step, a.rows());
        // SAFETY: the pieces of different tasks share no row.
        let (mut a, mut b) = unsafe { (a.part(at.clone(), 0..a.cols()), b.part(at.clone(), 0..b.cols())) };
        for i in 0..at.len() {
            f(at.start + i, a.row(i), b.row(i));
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
