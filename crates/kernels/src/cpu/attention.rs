//! Causal attention over packed sequences with grouped heads, in tiles of queries × keys (Dao et al. 2022):
//! the scores of a whole sequence never exist, and the backward pass makes its tiles again from the
//! log-sum-exp of each row.
//!
//! Every sum over keys or queries runs in the order of the tiles, which depends on the sequence alone.

use super::buf::{Rows, RowsMut, size};
use super::gemm::{Kernels, Operand, Product, SLACK, Source, multiply, pack};
use super::level::{Fma, Level, per_level};
use super::{Cpu, math};
use crate::{Attention, Op, Result, Write};
use std::ops::Range;

/// About how many queries and keys a tile has: its scores stay in the second-level cache.
const QUERIES: usize = 128;
const KEYS: usize = 256;

/// The tiles of one call.
#[derive(Clone, Copy)]
struct Shape {
    a: Attention,
    /// queries and keys of a tile: multiples of the kernels' rows and columns
    queries: usize,
    keys: usize,
    /// words of one packed key, and of a row of packed values
    k_width: usize,
    v_width: usize,
    kern: &'static Kernels,
}

impl Shape {
    fn new(a: &Attention, kern: &'static Kernels) -> Shape {
        Shape {
            a: *a,
            queries: QUERIES / kern.mr * kern.mr,
            keys: KEYS / kern.nr * kern.nr,
            k_width: kern.words(a.head_dim),
            v_width: a.head_dim.next_multiple_of(kern.nr),
            kern,
        }
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

    /// Keys that query `q` of a sequence sees.
    fn seen(&self, q: usize) -> Range<usize> {
        let first = self.a.window.map_or(0, |w| (q + 1).saturating_sub(w));
        first..q + 1
    }

    /// The tiles of keys that the queries `qs` see. They start at multiples of `keys`.
    fn key_tiles(&self, qs: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let (keys, end) = (self.keys, qs.end);
        let first = self.seen(qs.start).start / keys * keys;
        (first..end).step_by(keys).map(move |k| k..(k + keys).min(end))
    }

    /// Words of a sequence's packed keys (panels over keys) and values (panels over head_dim).
    fn packed_keys(&self, len: usize) -> usize {
        len.next_multiple_of(self.kern.nr) * self.k_width
    }
    fn packed_values(&self, len: usize) -> usize {
        self.kern.words(len) * self.v_width
    }
}

fn columns(first: usize, head: usize, dim: usize) -> Range<usize> {
    first + head * dim..first + (head + 1) * dim
}

/// Packs all of `rows`ᵀ (panels over its rows, k along its columns) and returns it, a panel a row.
fn pack_turned<'a>(kern: &Kernels, rows: Rows, out: &'a mut [f32]) -> Rows<'a> {
    pack_panels(kern, Operand::new(Op::T, Source::F32(rows)), (rows.rows(), rows.cols()), out)
}

/// Packs all of `rows` (panels over its columns, k along its rows).
fn pack_plain<'a>(kern: &Kernels, rows: Rows, out: &'a mut [f32]) -> Rows<'a> {
    pack_panels(kern, Operand::new(Op::N, Source::F32(rows)), (rows.cols(), rows.rows()), out)
}

fn pack_panels<'a>(kern: &Kernels, b: Operand, (n, k): (usize, usize), out: &'a mut [f32]) -> Rows<'a> {
    let panel = kern.words(k) * kern.nr;
    let out = &mut out[..n.div_ceil(kern.nr) * panel];
    for (j, out) in out.chunks_exact_mut(panel.max(1)).enumerate() {
        let cols = j * kern.nr..((j + 1) * kern.nr).min(n);
        pack::columns(kern, b, cols, 0..k, out);
    }
    Rows::dense(out, panel)
}

/// Takes the next `len` floats of a thread's memory.
fn carve<'a>(memory: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (front, rest) = std::mem::take(memory).split_at_mut(len);
    *memory = rest;
    front
}

// --- forward ------------------------------------------------------------------------------------

per_level! {
    fn soften(s: &mut [f32], softcap: Option<f32>, max: &mut f32, sum: &mut f32) -> f32 = soften_body
}

/// Scores of one row and one tile become exp(score − max), max being the largest so far; returns what
/// earlier tiles must be multiplied with.
#[inline(always)]
fn soften_body<M: Fma>(s: &mut [f32], softcap: Option<f32>, max: &mut f32, sum: &mut f32) -> f32 {
    if let Some(cap) = softcap {
        s.iter_mut().for_each(|s| *s = cap * math::tanh::<M>(*s / cap));
    }
    let before = *max;
    let top = math::max(s).max(before);
    s.iter_mut().for_each(|s| *s = math::exp::<M>(*s - top));
    let shrink = if before == top { 1.0 } else { math::exp::<M>(before - top) };
    *sum = M::fma(*sum, shrink, math::sum1(s, |acc, s| acc + s));
    *max = top;
    shrink
}

per_level! {
    fn scale(x: &mut [f32], by: f32) = scale_body
}

#[inline(always)]
fn scale_body<M: Fma>(x: &mut [f32], by: f32) {
    x.iter_mut().for_each(|x| *x *= by);
}

/// Which sequence and which of its query tiles the `i`-th query tile of the batch is.
fn locate(cu: &[usize], queries: usize, mut i: usize) -> (usize, usize) {
    for s in 0..cu.len() - 1 {
        let tiles = (cu[s + 1] - cu[s]).div_ceil(queries);
        if i < tiles {
            return (s, i);
        }
        i -= tiles;
    }
    unreachable!("more tiles than the batch has")
}

pub(super) fn attention(cpu: &Cpu, a: &Attention, cu: &[usize], qkv: Rows, out: RowsMut, lse: RowsMut) -> Result<()> {
    let sequences = cu.len().saturating_sub(1);
    if sequences == 0 || cu[sequences] == cu[0] || a.q_heads == 0 || a.head_dim == 0 {
        return Ok(());
    }
    let kern = cpu.kernels();
    let s = Shape::new(a, kern);
    // every sequence's place, counted as if its keys were padded by one panel
    let place = |seq: usize| cu[seq] - cu[0] + seq * kern.nr;
    let each = place(sequences) * (s.k_width + s.v_width);
    let mut packed_memory = cpu.scratch.take(size(a.kv_heads, each))?;
    let packed = RowsMut::new("packed", packed_memory.values(), (0, each), (a.kv_heads, each))?;
    cpu.pool.each(sequences * a.kv_heads, |i| {
        let (seq, kv) = (i / a.kv_heads, i % a.kv_heads);
        let at = place(seq) * (s.k_width + s.v_width)..place(seq + 1) * (s.k_width + s.v_width);
        // SAFETY: every sequence and key head has its place.
        let mut place = unsafe { packed.part(kv..kv + 1, at) };
        let rows = qkv.part(cu[seq]..cu[seq + 1], 0..qkv.cols());
        let (keys, values) = place.row(0).split_at_mut(s.packed_keys(rows.rows()));
        pack_turned(kern, rows.part(0..rows.rows(), s.k_cols(kv)), keys);
        pack_plain(kern, rows.part(0..rows.rows(), s.v_cols(kv)), values);
    });
    let packed = Rows::new("packed", packed_memory.values(), (0, each), (a.kv_heads, each))?;
    let mine = s.queries * (2 * s.keys + 2 * a.head_dim + 2) + 2 * SLACK;
    let mut memory = cpu.scratch.take(cpu.threads() * mine)?;
    let slots = RowsMut::new("tiles", memory.values(), (0, mine), (cpu.threads(), mine))?;
    let tiles: usize = cu.windows(2).map(|c| (c[1] - c[0]).div_ceil(s.queries)).sum();
    cpu.pool.each(tiles * a.kv_heads, |i| {
        let (seq, tile) = locate(cu, s.queries, i / a.kv_heads);
        let kv = i % a.kv_heads;
        let len = cu[seq + 1] - cu[seq];
        let qs = tile * s.queries..((tile + 1) * s.queries).min(len);
        let rows = cu[seq] + qs.start..cu[seq] + qs.end;
        let heads = kv * s.group()..(kv + 1) * s.group();
        let slot = cpu.pool.slot();
        // SAFETY: tasks share neither rows nor heads, and a thread has its slot alone.
        let (out, lse, mut slot) = unsafe {
            (
                out.part(rows.clone(), 0..out.cols()),
                lse.part(rows.clone(), heads.clone()),
                slots.part(slot..slot + 1, 0..mine),
            )
        };
        let packed = &packed.row(kv)[place(seq) * (s.k_width + s.v_width)..];
        let (keys, values) = packed.split_at(s.packed_keys(len));
        let keys = Rows::dense(keys, s.k_width * kern.nr);
        let values = Rows::dense(&values[..s.packed_values(len)], kern.words(len) * kern.nr);
        let job = Job { s, level: cpu.level, keys, values };
        let queries = qkv.part(rows, 0..qkv.cols());
        job.query_tile(qs, heads, queries, out, lse, slot.row(0));
    });
    Ok(())
}

/// One sequence and key head of the forward pass.
struct Job<'a> {
    s: Shape,
    level: Level,
    keys: Rows<'a>,
    values: Rows<'a>,
}

impl Job<'_> {
    /// The queries `qs` of every head that shares the key head.
    fn query_tile(
        &self,
        qs: Range<usize>,
        heads: Range<usize>,
        queries: Rows,
        out: RowsMut,
        mut lse: RowsMut,
        mut memory: &mut [f32],
    ) {
        let (s, d, m) = (&self.s, self.s.a.head_dim, qs.len());
        let kern = s.kern;
        let packed_q = carve(&mut memory, m * d + SLACK);
        let packed = carve(&mut memory, m * s.keys + SLACK);
        let scores = carve(&mut memory, m * s.keys);
        let sums = carve(&mut memory, m * d);
        let maxima = carve(&mut memory, m);
        let totals = carve(&mut memory, m);
        for h in heads.clone() {
            maxima.fill(f32::NEG_INFINITY);
            totals.fill(0.0);
            sums.fill(0.0);
            pack::rows(kern, (Op::N, queries.part(0..m, s.q_cols(h))), 0..m, 0..d, packed_q);
            for ks in s.key_tiles(&qs) {
                let panels = ks.start / kern.nr..ks.end.div_ceil(kern.nr);
                let keys = self.keys.part(panels, 0..self.keys.cols());
                let product = Product::new(d, s.a.scale, Write::Set);
                let tile = RowsMut::dense(scores, s.keys).corner(m, ks.len());
                multiply(kern, product, packed_q, (keys, 0), tile);
                for (i, row) in scores.chunks_exact_mut(s.keys).enumerate() {
                    let seen = within(s.seen(qs.start + i), &ks);
                    let row = &mut row[..ks.len()];
                    row[..seen.start].fill(0.0);
                    row[seen.end..].fill(0.0);
                    if seen.is_empty() {
                        continue;
                    }
                    let shrink = soften(self.level, &mut row[seen], s.a.softcap, &mut maxima[i], &mut totals[i]);
                    if shrink != 1.0 {
                        scale(self.level, &mut sums[i * d..(i + 1) * d], shrink);
                    }
                }
                let p = (Op::N, Rows::dense(scores, s.keys).part(0..m, 0..ks.len()));
                pack::rows(kern, p, 0..m, 0..ks.len(), packed);
                let product = Product::new(ks.len(), 1.0, Write::Add);
                multiply(kern, product, packed, (self.values, kern.words(ks.start)), RowsMut::dense(sums, d));
            }
            // SAFETY: `out` is this task's rows, and its heads are its own.
            let mut out = unsafe { out.part(0..m, s.out_cols(h)) };
            for (i, sums) in sums.chunks_exact(d).enumerate() {
                let by = 1.0 / totals[i];
                out.row(i).iter_mut().zip(sums).for_each(|(out, sum)| *out = sum * by);
                lse.row(i)[h - heads.start] = maxima[i] + totals[i].ln();
            }
        }
    }
}

/// What of `seen` lies in the tile `ks`, counted from the tile's start.
fn within(seen: Range<usize>, ks: &Range<usize>) -> Range<usize> {
    let start = seen.start.clamp(ks.start, ks.end) - ks.start;
    let end = seen.end.clamp(ks.start, ks.end) - ks.start;
    start..end.max(start)
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

impl<'a> Saved<'a> {
    fn rows(&self, at: Range<usize>) -> Saved<'a> {
        let cut = |r: Rows<'a>| r.part(at.clone(), 0..r.cols());
        Saved { qkv: cut(self.qkv), out: cut(self.out), lse: cut(self.lse), dout: cut(self.dout) }
    }
}

per_level! {
    fn scores_back(p: &mut [f32], dp: &mut [f32], softcap: Option<f32>, lse: f32, mean: f32, scale: f32)
        = scores_back_body
}

/// Scores become probabilities, and their gradients those of q·k: ds = p · (dp − Σ p·dp) · scale, through the
/// soft-cap. Σ p·dp = out·dout is `mean`.
#[inline(always)]
fn scores_back_body<M: Fma>(p: &mut [f32], dp: &mut [f32], softcap: Option<f32>, lse: f32, mean: f32, scale: f32) {
    match softcap {
        None => {
            for (p, dp) in p.iter_mut().zip(dp) {
                *p = math::exp::<M>(*p - lse);
                *dp = *p * (*dp - mean) * scale;
            }
        }
        Some(cap) => {
            for (p, dp) in p.iter_mut().zip(dp) {
                let t = math::tanh::<M>(*p / cap);
                *p = math::exp::<M>(M::fma(cap, t, -lse));
                *dp = *p * (*dp - mean) * M::fma(-t, t, 1.0) * scale;
            }
        }
    }
}

per_level! {
    fn dot(a: &[f32], b: &[f32]) -> f32 = dot_body
}

#[inline(always)]
fn dot_body<M: Fma>(a: &[f32], b: &[f32]) -> f32 {
    math::sum2(a, b, |acc, a, b| M::fma(a, b, acc))
}

pub(super) fn attention_back(cpu: &Cpu, a: &Attention, cu: &[usize], saved: Saved, dqkv: RowsMut) -> Result<()> {
    let sequences = cu.len().saturating_sub(1);
    if sequences == 0 || a.q_heads == 0 || a.head_dim == 0 {
        return Ok(());
    }
    let s = Shape::new(a, cpu.kernels());
    let longest = cu.windows(2).map(|c| c[1] - c[0]).max().unwrap_or(0);
    let packed_sequence = 2 * s.packed_keys(longest) + s.packed_values(longest);
    let tiles = s.queries * (2 * s.keys + s.keys.max(a.head_dim) + 2 * s.v_width) + SLACK;
    let mine = packed_sequence + tiles;
    let mut memory = cpu.scratch.take(size(cpu.threads(), mine))?;
    let slots = RowsMut::new("tiles", memory.values(), (0, mine), (cpu.threads(), mine))?;
    cpu.pool.each(sequences * a.kv_heads, |i| {
        let (seq, kv) = (i / a.kv_heads, i % a.kv_heads);
        let rows = cu[seq]..cu[seq + 1];
        let group = kv * s.group()..(kv + 1) * s.group();
        let q_cols = s.q_cols(group.start).start..s.q_cols(group.end - 1).end;
        let slot = cpu.pool.slot();
        // SAFETY: tasks share neither sequences nor heads, the layout's columns do not overlap, and a thread has
        // its slot alone.
        let (dq, dk, dv, mut slot) = unsafe {
            (
                dqkv.part(rows.clone(), q_cols),
                dqkv.part(rows.clone(), s.k_cols(kv)),
                dqkv.part(rows.clone(), s.v_cols(kv)),
                slots.part(slot..slot + 1, 0..mine),
            )
        };
        sequence_back(cpu.level, &s, kv, saved.rows(rows), Grads { dq, dk, dv }, slot.row(0));
    });
    Ok(())
}

/// The gradients of one sequence and key head: dq has the columns of all heads of the group.
struct Grads<'a> {
    dq: RowsMut<'a>,
    dk: RowsMut<'a>,
    dv: RowsMut<'a>,
}

fn sequence_back(level: Level, s: &Shape, kv: usize, saved: Saved, mut g: Grads, mut memory: &mut [f32]) {
    let (kern, len, d) = (s.kern, saved.qkv.rows(), s.a.head_dim);
    for grad in [&mut g.dq, &mut g.dk, &mut g.dv] {
        (0..len).for_each(|r| grad.row(r).fill(0.0));
    }
    let (k, v) = (saved.qkv.part(0..len, s.k_cols(kv)), saved.qkv.part(0..len, s.v_cols(kv)));
    let keys_turned = pack_turned(kern, k, carve(&mut memory, s.packed_keys(len)));
    let values_turned = pack_turned(kern, v, carve(&mut memory, s.packed_keys(len)));
    let keys = pack_plain(kern, k, carve(&mut memory, s.packed_values(len)));
    let scores = carve(&mut memory, s.queries * s.keys);
    let grads = carve(&mut memory, s.queries * s.keys);
    let packed = carve(&mut memory, s.queries * s.keys.max(d) + SLACK);
    let (packed_q, packed_dout) = memory.split_at_mut(s.queries * s.v_width);
    for h in 0..s.group() {
        let head = kv * s.group() + h;
        for start in (0..len).step_by(s.queries) {
            let qs = start..(start + s.queries).min(len);
            let m = qs.len();
            let q = saved.qkv.part(qs.clone(), s.q_cols(head));
            let dout = saved.dout.part(qs.clone(), s.out_cols(head));
            let out = saved.out.part(qs.clone(), s.out_cols(head));
            let queries = pack_plain(kern, q, packed_q);
            let douts = pack_plain(kern, dout, packed_dout);
            for ks in s.key_tiles(&qs) {
                let n = ks.len();
                let panels = ks.start / kern.nr..ks.end.div_ceil(kern.nr);
                let set = Product::new(d, 1.0, Write::Set);
                for (x, turned, alpha, tile) in
                    [(q, keys_turned, s.a.scale, &mut *scores), (dout, values_turned, 1.0, &mut *grads)]
                {
                    pack::rows(kern, (Op::N, x), 0..m, 0..d, packed);
                    let turned = turned.part(panels.clone(), 0..turned.cols());
                    let tile = RowsMut::dense(tile, s.keys).corner(m, n);
                    multiply(kern, Product { alpha, ..set }, packed, (turned, 0), tile);
                }
                let rows = scores.chunks_exact_mut(s.keys).zip(grads.chunks_exact_mut(s.keys));
                for (i, (p, dp)) in rows.take(m).enumerate() {
                    let seen = within(s.seen(qs.start + i), &ks);
                    for x in [&mut *p, &mut *dp] {
                        x[..seen.start].fill(0.0);
                        x[seen.end..n].fill(0.0);
                    }
                    let lse = saved.lse.row(qs.start + i)[head];
                    let mean = dot(level, out.row(i), dout.row(i));
                    scores_back(level, &mut p[seen.clone()], &mut dp[seen], s.a.softcap, lse, mean, s.a.scale);
                }
                let p = Rows::dense(scores, s.keys).part(0..m, 0..n);
                let ds = Rows::dense(grads, s.keys).part(0..m, 0..n);
                // SAFETY: one product at a time writes to the gradients of this task.
                let (dq, dk, dv) = unsafe {
                    (g.dq.part(qs.clone(), columns(0, h, d)), g.dk.part(ks.clone(), 0..d), g.dv.part(ks.clone(), 0..d))
                };
                pack::rows(kern, (Op::N, ds), 0..m, 0..n, packed);
                multiply(kern, Product::new(n, 1.0, Write::Add), packed, (keys, kern.words(ks.start)), dq);
                let add = Product::new(m, 1.0, Write::Add);
                pack::rows(kern, (Op::T, ds), 0..n, 0..m, packed);
                multiply(kern, add, packed, (queries, 0), dk);
                pack::rows(kern, (Op::T, p), 0..n, 0..m, packed);
                multiply(kern, add, packed, (douts, 0), dv);
            }
        }
    }
}
