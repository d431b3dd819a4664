//! Causal attention over packed sequences with grouped heads, in tiles of queries × keys (Dao et al. 2022):
//! the scores of a whole sequence never exist, and the backward pass makes its tiles again from the
//! log-sum-exp of each row.
//!
//! A tile of scores is as wide as one panel of the kernels, so that it is the right-hand operand of the products that
//! follow: forward it has queries as columns (outᵀ = Vᵀ·Pᵀ), backward keys (dKᵀ = Qᵀ·dS, dVᵀ = dOᵀ·P). The other way
//! round every tile would have to be transposed.
//!
//! Every sum over keys or queries runs in the order of the tiles, which depends on the sequence alone.

mod cached;
mod lanes;

use super::Cpu;
use super::buf::{Rows, RowsMut, size};
use super::gemm::{Kernels, Operand, Product, Source, multiply, pack};
use super::level::Level;
use crate::{Attention, Op, Result, Write};
pub(super) use cached::{attention_cached, cache_rows};
use lanes::{Band, Softmax, Stats};
use std::f32::consts::{LN_2, LOG2_E};
use std::ops::Range;

/// About how many keys are seen at a time forward: with their scores they stay near the first-level cache.
const KEYS: usize = 168;
/// About how many queries and keys a tile has backward.
const QUERIES_BACK: usize = 140;
const KEYS_BACK: usize = 256;
/// With so many sequences and key heads for each thread, none of them is split.
const UNITS_PER_THREAD: usize = 4;

/// The forms of one call.
#[derive(Clone, Copy)]
struct Shape {
    a: Attention,
    kern: &'static Kernels,
    level: Level,
    /// those of f32, which turn a result
    plain: &'static Kernels,
}

impl Shape {
    fn new(cpu: &Cpu, a: &Attention) -> Shape {
        Shape { a: *a, kern: cpu.kernels(), level: cpu.level, plain: cpu.f32_kernels() }
    }

    /// Query heads of each key head.
    fn group(&self) -> usize {
        self.a.q_heads / self.a.kv_heads
    }

    /// Columns of query head `h` in qkv, and of key head `kv`.
    fn q_cols(&self, h: usize) -> Range<usize> {
        columns(self.a.layout.q, h, self.a.head_dim)
    }
    fn k_cols(&self, kv: usize) -> Range<usize> {
        columns(self.a.layout.k, kv, self.a.head_dim)
    }
    fn v_cols(&self, kv: usize) -> Range<usize> {
        columns(self.a.layout.v, kv, self.a.head_dim)
    }
    /// Columns of head `h` in out.
    fn out_cols(&self, h: usize) -> Range<usize> {
        columns(0, h, self.a.head_dim)
    }

    /// How many keys, itself among them, a query sees at most; far from the ends of the integers.
    fn window(&self) -> usize {
        self.a.window.unwrap_or(usize::MAX).min(usize::MAX >> 2)
    }

    /// The first key that query `q` of a sequence sees.
    fn first_seen(&self, q: usize) -> usize {
        (q + 1).saturating_sub(self.window())
    }

    /// Words of a packed row of a head.
    fn head_words(&self) -> usize {
        self.kern.words(self.a.head_dim)
    }

    /// What q·k is multiplied with: scores are in units of ln 2, except where a soft-cap comes first.
    fn score_scale(&self) -> f32 {
        if self.a.softcap.is_some() { self.a.scale } else { self.a.scale * LOG2_E }
    }
}

fn columns(first: usize, head: usize, dim: usize) -> Range<usize> {
    first + head * dim..first + (head + 1) * dim
}

/// Packs all of op(rows) as a right-hand operand and returns it, a panel a row.
fn pack_panels<'a>(kern: &Kernels, (op, rows): (Op, Rows), out: &'a mut [f32]) -> Rows<'a> {
    let (k, n) = if op == Op::N { (rows.rows(), rows.cols()) } else { (rows.cols(), rows.rows()) };
    let panel = kern.words(k) * kern.nr;
    let out = &mut out[..n.div_ceil(kern.nr) * panel];
    for (j, out) in out.chunks_exact_mut(panel.max(1)).enumerate() {
        let cols = j * kern.nr..((j + 1) * kern.nr).min(n);
        pack::columns(kern, Operand::new(op, Source::F32(rows)), cols, 0..k, out);
    }
    Rows::dense(out, panel)
}

/// A tile of `rows` that lies as wide as a panel, as one packed panel: an f32 is a word where it is.
fn as_panel<'a>(kern: &Kernels, tile: &'a [f32], rows: usize, out: &'a mut [f32]) -> Rows<'a> {
    let tile = &tile[..rows * kern.nr];
    if kern.words(2) == 2 {
        return Rows::dense(tile, rows * kern.nr);
    }
    pack_panels(kern, (Op::N, Rows::dense(tile, kern.nr)), out)
}

/// A left-hand operand in panels of rows, of which a product takes only some words of the contraction.
#[derive(Clone, Copy)]
struct Left<'a> {
    packed: &'a [f32],
    /// words of a packed row, and the first of them that counts
    depth: usize,
    first: usize,
}

impl Left<'_> {
    /// d (+)= alpha · A · b for all rows of d; the words of b start at `first`.
    fn multiply(self, kern: &Kernels, p: Product, (b, first): (Rows, usize), d: RowsMut) {
        for i in (0..d.rows()).step_by(kern.mr) {
            let rows = i..(i + kern.mr).min(d.rows());
            let a = &self.packed[i * self.depth + self.first * rows.len()..];
            // SAFETY: one part at a time.
            let d = unsafe { d.part(rows, 0..d.cols()) };
            multiply(kern, p, a, (b, first), d);
        }
    }
}

/// out[i, c] = result[c, i] · by(i): a result with panels as columns goes where it belongs. `memory` has a panel² of
/// room.
fn turn(s: &Shape, result: &[f32], by: impl Fn(usize) -> f32, out: &mut RowsMut, memory: &mut [f32]) {
    let nr = s.plain.nr;
    let result = Rows::dense(result, nr).part(0..out.cols(), 0..out.rows());
    for c in (0..out.cols()).step_by(nr) {
        let cols = c..(c + nr).min(out.cols());
        let operand = Operand::new(Op::T, Source::F32(result));
        pack::columns(s.plain, operand, cols.clone(), 0..out.rows(), memory);
        for (i, turned) in memory.chunks_exact(nr).take(out.rows()).enumerate() {
            let by = by(i);
            out.row(i)[cols.clone()].iter_mut().zip(turned).for_each(|(out, v)| *out = v * by);
        }
    }
}

/// Takes the next `len` floats of a thread's memory.
fn carve<'a>(memory: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (front, rest) = std::mem::take(memory).split_at_mut(len);
    *memory = rest;
    front
}

/// Which sequence, and which of its pieces, the `i`-th piece of the batch is.
fn locate(cu: &[usize], pieces: impl Fn(usize) -> usize, mut i: usize) -> (usize, usize) {
    for s in 0..cu.len() - 1 {
        let n = pieces(cu[s + 1] - cu[s]);
        if i < n {
            return (s, i);
        }
        i -= n;
    }
    unreachable!("more pieces than the batch has")
}

fn count(cu: &[usize], pieces: impl Fn(usize) -> usize) -> usize {
    cu.windows(2).map(|c| pieces(c[1] - c[0])).sum()
}

// --- forward ------------------------------------------------------------------------------------

/// Where the packed keys and values of a sequence are, and what a thread needs.
struct Forward {
    s: Shape,
    /// keys of a tile: a multiple of the kernels' rows
    keys: usize,
    /// floats for each token and in front of each sequence
    token: usize,
    gap: usize,
}

impl Forward {
    fn new(s: Shape) -> Forward {
        let kern = s.kern;
        let keys = KEYS / kern.mr * kern.mr;
        // the last word of a column of values may be half full
        Forward { s, keys, token: 2 * s.head_words(), gap: 2 * kern.slack + s.a.head_dim * kern.unit }
    }

    fn place(&self, cu: &[usize], seq: usize) -> usize {
        (cu[seq] - cu[0]) * self.token + seq * self.gap
    }

    /// Floats of a thread.
    fn memory(&self) -> usize {
        let (nr, d) = (self.s.kern.nr, self.s.a.head_dim);
        nr * (self.s.head_words() + 2 * self.keys + d + nr)
    }
}

pub(super) fn attention(cpu: &Cpu, a: &Attention, cu: &[usize], qkv: Rows, out: RowsMut, lse: RowsMut) -> Result<()> {
    let sequences = cu.len().saturating_sub(1);
    if sequences == 0 || cu[sequences] == cu[0] || a.q_heads == 0 || a.head_dim == 0 {
        return Ok(());
    }
    let f = Forward::new(Shape::new(cpu, a));
    let s = &f.s;
    let each = f.place(cu, sequences);
    let mut packed_memory = cpu.scratch.take(size(a.kv_heads, each))?;
    let packed = RowsMut::new("packed", packed_memory.values(), (0, each), (a.kv_heads, each))?;
    cpu.pool.each(sequences * a.kv_heads, |i| {
        let (seq, kv) = (i / a.kv_heads, i % a.kv_heads);
        // SAFETY: every sequence and key head has its place.
        let mut place = unsafe { packed.part(kv..kv + 1, f.place(cu, seq)..f.place(cu, seq + 1)) };
        let rows = qkv.part(cu[seq]..cu[seq + 1], 0..qkv.cols());
        pack_sequence(&f, rows, kv, place.row(0));
    });
    let packed = Rows::new("packed", packed_memory.values(), (0, each), (a.kv_heads, each))?;
    let mine = f.memory();
    let mut memory = cpu.scratch.take(cpu.threads() * mine)?;
    let slots = RowsMut::new("tiles", memory.values(), (0, mine), (cpu.threads(), mine))?;
    let panels = |len: usize| len.div_ceil(s.kern.nr);
    cpu.pool.each(count(cu, panels) * a.kv_heads, |i| {
        let (seq, panel) = locate(cu, panels, i / a.kv_heads);
        let kv = i % a.kv_heads;
        let len = cu[seq + 1] - cu[seq];
        let qs = panel * s.kern.nr..((panel + 1) * s.kern.nr).min(len);
        let rows = cu[seq] + qs.start..cu[seq] + qs.end;
        let slot = cpu.pool.slot();
        // SAFETY: tasks share neither rows nor heads, and a thread has its slot alone.
        let (out, lse, mut slot) = unsafe {
            (
                out.part(rows.clone(), 0..out.cols()),
                lse.part(rows.clone(), kv * s.group()..(kv + 1) * s.group()),
                slots.part(slot..slot + 1, 0..mine),
            )
        };
        let packed = &packed.row(kv)[f.place(cu, seq)..f.place(cu, seq + 1)];
        let (keys, values) = packed.split_at(len * s.head_words() + s.kern.slack);
        let job = Job { f: &f, len, keys, values };
        job.query_panel(qs, kv, qkv.part(rows, 0..qkv.cols()), out, lse, slot.row(0));
    });
    Ok(())
}

/// A sequence's keys (in panels of keys), and its values (in panels of their columns, a tile of keys after another).
fn pack_sequence(f: &Forward, rows: Rows, kv: usize, place: &mut [f32]) {
    let (s, len, d) = (&f.s, rows.rows(), f.s.a.head_dim);
    let (keys, values) = place.split_at_mut(len * s.head_words() + s.kern.slack);
    pack::rows(s.kern, (Op::N, rows.part(0..len, s.k_cols(kv))), 0..len, 0..d, keys);
    for start in (0..len).step_by(f.keys) {
        let tile = start..(start + f.keys).min(len);
        let v = (Op::T, rows.part(0..len, s.v_cols(kv)));
        pack::rows(s.kern, v, 0..d, tile, &mut values[d * s.kern.words(start)..]);
    }
}

/// One sequence and key head of the forward pass.
struct Job<'a> {
    f: &'a Forward,
    len: usize,
    keys: &'a [f32],
    values: &'a [f32],
}

impl Job<'_> {
    /// The queries `qs`, at most a panel, of every head that shares the key head.
    fn query_panel(
        &self,
        qs: Range<usize>,
        kv: usize,
        queries: Rows,
        out: RowsMut,
        mut lse: RowsMut,
        mut memory: &mut [f32],
    ) {
        let (s, m) = (&self.f.s, qs.len());
        let (nr, d) = (s.kern.nr, s.a.head_dim);
        let packed_q = carve(&mut memory, nr * s.head_words());
        let sums = carve(&mut memory, nr * d);
        let turned = carve(&mut memory, nr * nr);
        for h in 0..s.group() {
            let head = kv * s.group() + h;
            let q = pack_panels(s.kern, (Op::T, queries.part(0..m, s.q_cols(head))), packed_q);
            let softmax = self.sum(&qs, q, sums, memory);
            // SAFETY: `out` is this task's rows, and its heads are its own.
            let mut out = unsafe { out.part(0..m, s.out_cols(head)) };
            turn(s, sums, |i| 1.0 / softmax.total[i], &mut out, turned);
            for i in 0..m {
                lse.row(i)[h] = softmax.base[i] * LN_2 + softmax.total[i].ln();
            }
        }
    }

    /// sums [head_dim, queries] = Vᵀ·Pᵀ, not yet divided.
    fn sum(&self, qs: &Range<usize>, q: Rows, sums: &mut [f32], memory: &mut [f32]) -> Softmax {
        let (s, kern, tile_keys) = (&self.f.s, self.f.s.kern, self.f.keys);
        let (nr, d) = (kern.nr, s.a.head_dim);
        let (scores, words) = memory.split_at_mut(nr * tile_keys);
        let mut softmax = Softmax::new();
        let first = s.first_seen(qs.start) / kern.mr * kern.mr;
        let mut start = first;
        while start < qs.end {
            let tile = start / tile_keys * tile_keys;
            let end = (tile + tile_keys).min(qs.end);
            let (n, multiplied) = (end - start, end.next_multiple_of(kern.mr).min(self.len) - start);
            let product = Product::new(d, s.score_scale(), Write::Set);
            let keys = &self.keys[start * s.head_words()..];
            multiply(kern, product, keys, (q, 0), RowsMut::dense(scores, nr).corner(multiplied, nr));
            // key start + r is seen by the queries start + r .. start + r + window
            let band = Band { first: start as isize - qs.start as isize, width: s.window() as isize };
            lanes::soften(s.level, nr, &mut scores[..n * nr], band, s.a.softcap, &mut softmax);
            if start > first && softmax.shrinks {
                lanes::shrink(s.level, nr, sums, &softmax.shrink);
            }
            let values = Left {
                packed: &self.values[d * kern.words(tile)..],
                depth: kern.words(tile_keys.min(self.len - tile)),
                first: kern.words(start - tile),
            };
            let write = if start == first { Write::Set } else { Write::Add };
            let p = as_panel(kern, scores, n, words);
            values.multiply(kern, Product::new(n, 1.0, write), (p, 0), RowsMut::dense(sums, nr));
            start = end;
        }
        softmax
    }
}

// --- backward -----------------------------------------------------------------------------------

/// What the backward pass reads.
#[derive(Clone, Copy)]
pub(super) struct Saved<'a> {
    pub qkv: Rows<'a>,
    pub out: Rows<'a>,
    pub lse: Rows<'a>,
    pub dout: Rows<'a>,
}

/// How the backward pass is cut. A pair of a tile of keys and a tile of queries gives dk and dv of the one and dq of
/// the other. Round t of a sequence takes of every tile of keys the t-th tile of queries that sees it: no two pairs of a
/// round have a tile in common, so they run side by side, and every gradient is summed in the order of the rounds.
struct Backward {
    s: Shape,
    /// a multiple of the kernels' rows
    queries: usize,
    /// a multiple of the panels, and no fewer than `queries`
    keys: usize,
    /// floats of packed keys and values for each token, sequences being padded by a panel, and of dkᵀ and dvᵀ
    token: usize,
    grads: usize,
}

impl Backward {
    fn new(s: Shape) -> Backward {
        let (kern, d) = (s.kern, s.a.head_dim);
        let keys = KEYS_BACK / kern.nr * kern.nr;
        let queries = QUERIES_BACK.min(keys) / kern.mr * kern.mr;
        let token = 2 * s.head_words() + kern.words(d.next_multiple_of(kern.nr));
        Backward { s, queries, keys, token, grads: 2 * d }
    }

    /// Where a sequence begins, counted in padded tokens.
    fn place(&self, cu: &[usize], seq: usize) -> usize {
        cu[seq] - cu[0] + seq * self.s.kern.nr
    }

    /// Tiles of keys of a sequence that have a `round`-th tile of queries.
    fn pairs(&self, round: usize, len: usize) -> usize {
        if round >= self.rounds(len) {
            return 0;
        }
        let tiles = len.div_ceil(self.queries);
        let starts = tiles.saturating_sub(round) * self.queries;
        starts.min(len).div_ceil(self.keys)
    }

    /// The tile of queries that goes with the tile of keys `j` in a round.
    fn query_tile(&self, round: usize, j: usize) -> usize {
        j * self.keys / self.queries + round
    }

    /// Rounds until the last queries that see a tile of keys.
    fn rounds(&self, len: usize) -> usize {
        let seen = (self.keys + self.s.window()).div_ceil(self.queries) + 1;
        len.div_ceil(self.queries).min(seen)
    }

    /// Floats of a thread.
    fn memory(&self) -> usize {
        let (kern, nr) = (self.s.kern, self.s.kern.nr);
        let packed = 2 * self.packed_queries().iter().sum::<usize>();
        packed + 4 * self.queries * nr + self.queries.div_ceil(kern.mr) * self.block(self.keys) + kern.slack
    }

    /// Floats of a packed tile of queries: its rows, and its columns.
    fn packed_queries(&self) -> [usize; 2] {
        let (kern, d) = (self.s.kern, self.s.a.head_dim);
        [self.queries * self.s.head_words() + kern.slack, d * kern.words(self.queries) + kern.slack]
    }

    /// Floats of a packed block of rows of ds with so many keys.
    fn block(&self, keys: usize) -> usize {
        self.s.kern.mr * self.s.kern.words(keys) + self.s.kern.slack
    }
}

pub(super) fn attention_back(cpu: &Cpu, a: &Attention, cu: &[usize], saved: Saved, dqkv: RowsMut) -> Result<()> {
    let sequences = cu.len().saturating_sub(1);
    if sequences == 0 || cu[sequences] == cu[0] || a.q_heads == 0 || a.head_dim == 0 {
        return Ok(());
    }
    let b = Backward::new(Shape::new(cpu, a));
    let padded = b.place(cu, sequences);
    let tokens = saved.qkv.rows();
    let mut stats_memory = cpu.scratch.take(size(2 * a.q_heads, tokens))?;
    let stats = RowsMut::new("stats", stats_memory.values(), (0, tokens), (2 * a.q_heads, tokens))?;
    row_stats(cpu, &b.s, &saved, stats);
    let stats = Rows::new("stats", stats_memory.values(), (0, tokens), (2 * a.q_heads, tokens))?;
    let each = padded * b.token;
    let mut packed_memory = cpu.scratch.take(size(a.kv_heads, each))?;
    let packed = RowsMut::new("packed", packed_memory.values(), (0, each), (a.kv_heads, each))?;
    let each = padded * b.grads;
    let mut grads_memory = cpu.scratch.take(size(a.kv_heads, each))?;
    let grads = RowsMut::new("dk, dv", grads_memory.values(), (0, each), (a.kv_heads, each))?;
    let mine = b.memory();
    let mut memory = cpu.scratch.take(cpu.threads() * mine)?;
    let slots = RowsMut::new("tiles", memory.values(), (0, mine), (cpu.threads(), mine))?;
    let units = sequences * a.kv_heads;
    let heads = a.kv_heads;
    let at = |seq: usize| cu[seq]..cu[seq + 1];
    let place = |seq: usize, floats: usize| b.place(cu, seq) * floats..b.place(cu, seq + 1) * floats;
    cpu.pool.each(units, |i| {
        let (seq, kv) = (i / heads, i % heads);
        // SAFETY: every sequence and key head has its place.
        let mut packed = unsafe { packed.part(kv..kv + 1, place(seq, b.token)) };
        Packed::pack(&b, kv, saved.rows(at(seq)).qkv, packed.row(0));
    });
    let packed = Rows::new("packed", packed_memory.values(), (0, padded * b.token), (heads, padded * b.token))?;
    let with = |seq: usize, kv: usize, f: &dyn Fn(Unit, &Targets)| {
        // SAFETY: every sequence and key head has its places and its rows and columns; tasks of one are told apart below.
        let (grads, dqkv) =
            unsafe { (grads.part(kv..kv + 1, place(seq, b.grads)), dqkv.part(at(seq), 0..dqkv.cols())) };
        let packed = Packed::of(&b, cu[seq + 1] - cu[seq], &packed.row(kv)[place(seq, b.token)]);
        let stats = stats.part(0..stats.rows(), at(seq));
        let unit = Unit { cpu, b: &b, kv, saved: saved.rows(at(seq)), stats, packed };
        f(unit, &Targets { dqkv, grads, slots: &slots });
    };
    // side by side, sequences share nothing and keep their tiles in the caches
    if cpu.threads() == 1 || units >= UNITS_PER_THREAD * cpu.threads() {
        cpu.pool.each(units, |i| with(i / heads, i % heads, &|unit, out| unit.in_turn(out)));
        return Ok(());
    }
    // few ones go round after round, the pairs of all side by side
    let rounds = (0..sequences).map(|seq| b.rounds(at(seq).len())).max().unwrap_or(0);
    for round in 0..rounds {
        let pairs = |len: usize| b.pairs(round, len);
        cpu.pool.each(count(cu, pairs) * heads, |i| {
            let (seq, j) = locate(cu, pairs, i / heads);
            with(seq, i % heads, &|unit, out| unit.pair(round, j, out));
        });
    }
    let tiles = |len: usize| len.div_ceil(b.keys);
    cpu.pool.each(count(cu, tiles) * heads, |i| {
        let (seq, j) = locate(cu, tiles, i / heads);
        with(seq, i % heads, &|unit, out| unit.turn(j, out));
    });
    Ok(())
}

impl<'a> Saved<'a> {
    fn rows(&self, at: Range<usize>) -> Saved<'a> {
        let cut = |r: Rows<'a>| r.part(at.clone(), 0..r.cols());
        Saved { qkv: cut(self.qkv), out: cut(self.out), lse: cut(self.lse), dout: cut(self.dout) }
    }
}

/// Rows of a task that only reads what lies there.
const ROWS: usize = 64;

/// What [`lanes::soften_back`] needs of every head and query: first the log-sum-exps of all heads, then the means.
fn row_stats(cpu: &Cpu, s: &Shape, saved: &Saved, stats: RowsMut) {
    let tokens = stats.cols();
    cpu.pool.each(tokens.div_ceil(ROWS), |i| {
        let at = i * ROWS..((i + 1) * ROWS).min(tokens);
        // SAFETY: tasks share no columns.
        let mut stats = unsafe { stats.part(0..stats.rows(), at.clone()) };
        for h in 0..s.a.q_heads {
            for (lse, r) in stats.row(h).iter_mut().zip(at.clone()) {
                *lse = saved.lse.row(r)[h] * LOG2_E;
            }
            for (mean, r) in stats.row(s.a.q_heads + h).iter_mut().zip(at.clone()) {
                *mean = lanes::dot(s.level, &saved.out.row(r)[s.out_cols(h)], &saved.dout.row(r)[s.out_cols(h)]);
            }
        }
    });
}

/// A sequence's keys and values as right-hand operands: panels over keys, and of the keys also over their columns.
#[derive(Clone, Copy)]
struct Packed<'a> {
    keys_turned: Rows<'a>,
    values_turned: Rows<'a>,
    keys: Rows<'a>,
}

impl<'a> Packed<'a> {
    /// Packs them into `memory`.
    fn pack(b: &Backward, kv: usize, qkv: Rows, memory: &mut [f32]) {
        let (s, len) = (&b.s, qkv.rows());
        let (k, v) = (qkv.part(0..len, s.k_cols(kv)), qkv.part(0..len, s.v_cols(kv)));
        let (keys_turned, rest) = memory.split_at_mut(Packed::turned(b, len));
        let (values_turned, keys) = rest.split_at_mut(Packed::turned(b, len));
        pack_panels(s.kern, (Op::T, k), keys_turned);
        pack_panels(s.kern, (Op::T, v), values_turned);
        pack_panels(s.kern, (Op::N, k), keys);
    }

    /// Those of `len` tokens that lie in `memory`.
    fn of(b: &Backward, len: usize, memory: &'a [f32]) -> Packed<'a> {
        let (kern, words) = (b.s.kern, b.s.head_words());
        let (keys_turned, rest) = memory.split_at(Packed::turned(b, len));
        let (values_turned, keys) = rest.split_at(Packed::turned(b, len));
        let over = |panels: &'a [f32]| Rows::dense(panels, words * kern.nr);
        Packed {
            keys_turned: over(keys_turned),
            values_turned: over(values_turned),
            keys: Rows::dense(keys, kern.words(len) * kern.nr),
        }
    }

    /// Words of the panels over keys.
    fn turned(b: &Backward, len: usize) -> usize {
        len.next_multiple_of(b.s.kern.nr) * b.s.head_words()
    }
}

/// One sequence and key head.
struct Unit<'a> {
    cpu: &'a Cpu,
    b: &'a Backward,
    kv: usize,
    saved: Saved<'a>,
    stats: Rows<'a>,
    packed: Packed<'a>,
}

/// Where its results go: dqkv of the sequence, dkᵀ and dvᵀ while they are summed, and the memory of every thread.
struct Targets<'a> {
    dqkv: RowsMut<'a>,
    grads: RowsMut<'a>,
    slots: &'a RowsMut<'a>,
}

impl Unit<'_> {
    fn len(&self) -> usize {
        self.saved.qkv.rows()
    }

    /// One tile of keys after another, from the last: the queries of every tile meet them in the order of the rounds.
    fn in_turn(&self, out: &Targets) {
        let rounds = self.b.rounds(self.len());
        for j in (0..self.len().div_ceil(self.b.keys)).rev() {
            (0..rounds).filter(|r| j < self.b.pairs(*r, self.len())).for_each(|r| self.pair(r, j, out));
            self.turn(j, out);
        }
    }

    fn keys(&self, j: usize) -> Range<usize> {
        j * self.b.keys..((j + 1) * self.b.keys).min(self.len())
    }

    /// The tile of keys `j` and the tile of queries that goes with it in a round.
    fn pair(&self, round: usize, j: usize, out: &Targets) {
        let (b, s, ks) = (self.b, &self.b.s, self.keys(j));
        let start = b.query_tile(round, j) * b.queries;
        let qs = start..(start + b.queries).min(self.len());
        let heads = self.kv * s.group()..(self.kv + 1) * s.group();
        let q_cols = s.q_cols(heads.start).start..s.q_cols(heads.end - 1).end;
        let padded = ks.start..ks.end.next_multiple_of(s.kern.nr);
        let slot = self.cpu.pool.slot();
        // SAFETY: pairs of a round share neither keys nor queries, and a thread has its slot alone.
        let (dq, mut grads, mut slot) = unsafe {
            (
                out.dqkv.part(qs.clone(), q_cols),
                out.grads.part(0..1, padded.start * b.grads..padded.end * b.grads),
                out.slots.part(slot..slot + 1, 0..out.slots.cols()),
            )
        };
        let pair = Pair { b, packed: self.packed, qs, ks, first: round == 0 };
        pair.run(heads, self.saved, self.stats, dq, grads.row(0), slot.row(0));
    }

    /// The sums dkᵀ and dvᵀ of a tile of keys, a panel after another, go to their columns.
    fn turn(&self, j: usize, out: &Targets) {
        let (b, s, ks) = (self.b, &self.b.s, self.keys(j));
        let (nr, d, slot) = (s.kern.nr, s.a.head_dim, self.cpu.pool.slot());
        // SAFETY: no two tiles share keys, and a thread has its slot alone.
        let mut slot = unsafe { out.slots.part(slot..slot + 1, 0..out.slots.cols()) };
        for start in ks.clone().step_by(nr) {
            let rows = start..(start + nr).min(ks.end);
            // SAFETY: as above; keys and values have different columns.
            let (mut dk, mut dv, mut grads) = unsafe {
                (
                    out.dqkv.part(rows.clone(), s.k_cols(self.kv)),
                    out.dqkv.part(rows, s.v_cols(self.kv)),
                    out.grads.part(0..1, start * b.grads..(start + nr) * b.grads),
                )
            };
            let (dk_turned, dv_turned) = grads.row(0).split_at(nr * d);
            turn(s, dk_turned, |_| s.a.scale, &mut dk, slot.row(0));
            turn(s, dv_turned, |_| 1.0, &mut dv, slot.row(0));
        }
    }
}

/// A tile of queries and one of keys, of a key head.
struct Pair<'a> {
    b: &'a Backward,
    packed: Packed<'a>,
    qs: Range<usize>,
    ks: Range<usize>,
    /// whether dk and dv begin here
    first: bool,
}

/// The tile's queries and the gradients of their results as left-hand operands: in panels of rows, and of columns.
struct Queries<'a> {
    q: &'a [f32],
    q_turned: &'a [f32],
    dout: &'a [f32],
    dout_turned: &'a [f32],
}

impl<'a> Queries<'a> {
    fn pack(b: &Backward, q: Rows, dout: Rows, memory: &'a mut [f32]) -> Queries<'a> {
        let (kern, m, d) = (b.s.kern, q.rows(), q.cols());
        let [along, across] = b.packed_queries();
        let (of_q, of_dout) = memory.split_at_mut(along + across);
        for (x, memory) in [(q, &mut *of_q), (dout, &mut *of_dout)] {
            let (plain, turned) = memory.split_at_mut(along);
            pack::rows(kern, (Op::N, x), 0..m, 0..d, plain);
            pack::rows(kern, (Op::T, x), 0..d, 0..m, turned);
        }
        let ((q, q_turned), (dout, dout_turned)) = (of_q.split_at(along), of_dout.split_at(along));
        Queries { q, q_turned, dout, dout_turned }
    }
}

/// Memory for the scores of a panel of keys and their gradients, also as packed words.
struct Scores<'a> {
    p: &'a mut [f32],
    ds: &'a mut [f32],
    p_words: &'a mut [f32],
    ds_words: &'a mut [f32],
}

impl Pair<'_> {
    /// For every head of the group: dq (the columns of all its heads) and grads (dkᵀ and dvᵀ of each panel of keys).
    fn run(
        &self,
        heads: Range<usize>,
        saved: Saved,
        stats: Rows,
        dq: RowsMut,
        grads: &mut [f32],
        mut memory: &mut [f32],
    ) {
        let (b, s) = (self.b, &self.b.s);
        let (d, nr, qs, m) = (s.a.head_dim, s.kern.nr, &self.qs, self.qs.len());
        let packed = carve(&mut memory, 2 * b.packed_queries().iter().sum::<usize>());
        let [p, ds, p_words, ds_words] = [(); 4].map(|()| carve(&mut memory, b.queries * nr));
        let mut scores = Scores { p, ds, p_words, ds_words };
        let blocks = memory;
        for (h, head) in heads.clone().enumerate() {
            let q = saved.qkv.part(qs.clone(), s.q_cols(head));
            let queries = Queries::pack(b, q, saved.dout.part(qs.clone(), s.out_cols(head)), packed);
            let stats = Stats { lse: &stats.row(head)[qs.clone()], mean: &stats.row(s.a.q_heads + head)[qs.clone()] };
            let write = if self.first && h == 0 { Write::Set } else { Write::Add };
            for (panel, grads) in grads.chunks_exact_mut(nr * b.grads).enumerate() {
                self.panel(panel, &queries, stats, &mut scores, write, grads);
                let rows = self.seeing(panel);
                self.pack_blocks(panel, rows, scores.ds, blocks);
            }
            // SAFETY: one head at a time.
            self.dq(blocks, unsafe { dq.part(0..m, columns(0, h, d)) });
        }
    }

    /// The keys of a panel of the tile.
    fn keys(&self, panel: usize) -> Range<usize> {
        let first = self.ks.start + panel * self.b.s.kern.nr;
        first..(first + self.b.s.kern.nr).min(self.ks.end)
    }

    /// The rows of the tile that see a key of the panel, in whole blocks; none, or some.
    fn seeing(&self, panel: usize) -> Range<usize> {
        let (mr, keys, m) = (self.b.s.kern.mr, self.keys(panel), self.qs.len());
        let start = keys.start.saturating_sub(self.qs.start) / mr * mr;
        let end = (keys.end - 1 + self.b.s.window()).saturating_sub(self.qs.start).next_multiple_of(mr).min(m);
        start..end.max(start)
    }

    /// Probabilities and the gradients of scores of one panel of keys, and what dkᵀ and dvᵀ get from them.
    fn panel(&self, panel: usize, of: &Queries, stats: Stats, t: &mut Scores, write: Write, grads: &mut [f32]) {
        let (s, kern, d) = (&self.b.s, self.b.s.kern, self.b.s.a.head_dim);
        let (nr, rows, keys) = (kern.nr, self.seeing(panel), self.keys(panel));
        let n = rows.len();
        if n > 0 {
            let at = keys.start / nr..keys.start / nr + 1;
            let product = Product::new(d, 1.0, Write::Set);
            for (x, turned, alpha, tile) in [
                (of.q, self.packed.keys_turned, s.score_scale(), &mut *t.p),
                (of.dout, self.packed.values_turned, 1.0, &mut *t.ds),
            ] {
                let turned = turned.part(at.clone(), 0..turned.cols());
                let x = &x[rows.start * s.head_words()..];
                let tile = RowsMut::dense(tile, nr).corner(n, nr);
                multiply(kern, Product { alpha, ..product }, x, (turned, 0), tile);
            }
            // query q sees the keys q − window + 1 ..= q
            let first = (self.qs.start + rows.start + 1) as isize - s.window() as isize - keys.start as isize;
            let band = Band { first, width: s.window() as isize };
            let stats = Stats { lse: &stats.lse[rows.clone()], mean: &stats.mean[rows.clone()] };
            lanes::soften_back(s.level, nr, &mut t.p[..n * nr], &mut t.ds[..n * nr], band, s.a.softcap, stats);
        }
        let (dk, dv) = grads.split_at_mut(nr * d);
        for (turned, tile, words, grad) in
            [(of.q_turned, &*t.ds, &mut *t.ds_words, dk), (of.dout_turned, &*t.p, &mut *t.p_words, dv)]
        {
            if n > 0 {
                let depth = kern.words(self.qs.len());
                let left = Left { packed: turned, depth, first: kern.words(rows.start) };
                let right = as_panel(kern, tile, n, words);
                left.multiply(kern, Product::new(n, 1.0, write), (right, 0), RowsMut::dense(grad, nr));
            } else if write == Write::Set {
                grad.fill(0.0);
            }
        }
    }

    /// The gradients of a panel's scores as a left-hand operand: each block of rows has the panels one behind the
    /// other.
    fn pack_blocks(&self, panel: usize, rows: Range<usize>, ds: &[f32], blocks: &mut [f32]) {
        let kern = self.b.s.kern;
        let (mr, nr, n) = (kern.mr, kern.nr, self.keys(panel).len());
        let ds = Rows::dense(ds, nr);
        for i in rows.clone().step_by(mr) {
            let block = i - rows.start..(i + mr).min(rows.end) - rows.start;
            let to = i / mr * self.b.block(self.ks.len()) + panel * kern.words(nr) * block.len();
            pack::rows(kern, (Op::N, ds), block, 0..n, &mut blocks[to..]);
        }
    }

    /// dq (+)= dS·K, each block of rows with the panels that it sees.
    fn dq(&self, blocks: &[f32], dq: RowsMut) {
        let (s, kern) = (&self.b.s, self.b.s.kern);
        let (mr, nr) = (kern.mr, kern.nr);
        let newest = (self.qs.end - 1) / self.b.keys * self.b.keys == self.ks.start;
        let write = if newest { Write::Set } else { Write::Add };
        for i in (0..self.qs.len()).step_by(mr) {
            let rows = i..(i + mr).min(self.qs.len());
            // SAFETY: one block at a time.
            let mut dq = unsafe { dq.part(rows.clone(), 0..dq.cols()) };
            let first = s.first_seen(self.qs.start + i).max(self.ks.start) / nr * nr;
            let end = ((self.qs.start + rows.end).next_multiple_of(nr)).min(self.ks.end);
            if first < end {
                let to = i / mr * self.b.block(self.ks.len()) + kern.words(first - self.ks.start) * rows.len();
                let product = Product::new(end - first, s.a.scale, write);
                multiply(kern, product, &blocks[to..], (self.packed.keys, kern.words(first)), dq);
            } else if write == Write::Set {
                (0..rows.len()).for_each(|r| dq.row(r).fill(0.0));
            }
        }
    }
}
