//! Attention of single rows over keys and values that earlier passes left: what decoding does, one row a sequence.
//!
//! A row reads its whole context once and computes little with it, so the cache lies as it is read. Of each head, keys
//! are in blocks of [`CACHE_BLOCK`] tokens, the tokens of a block side by side for each of the head's dimensions: their
//! scores grow in the lanes of a vector, without a sum across them. Values are row-major.
//!
//! Scores are sums over a head's dimensions in their order; a result is one over every other token in their order, and
//! the rest. Both depend on the context alone: not on where in the cache it lies, what other rows there are, or the
//! number of threads.

use super::super::buf::{Rows, RowsMut, size};
use super::super::level::{Fma, per_level};
use super::super::{Cpu, math};
use super::{Shape, columns};
use crate::{Attention, CACHE_BLOCK, KernelError, Result};
use std::f32::consts::LOG2_E;
use std::ops::Range;

/// Query heads that read a context at a time.
const HEADS_MAX: usize = 4;

/// Tokens for which a cache of `len` floats has room: whole blocks.
pub(super) fn cache_tokens(a: &Attention, len: usize) -> usize {
    let token = 2 * size(a.kv_heads, a.head_dim);
    len.checked_div(token).unwrap_or(0) / CACHE_BLOCK * CACHE_BLOCK
}

/// A row of keys for each key head, then a row of values for each.
fn shape(a: &Attention, tokens: usize) -> (usize, usize) {
    (2 * a.kv_heads, tokens * a.head_dim)
}

pub(in crate::cpu) fn cache_rows(
    cpu: &Cpu,
    a: &Attention,
    places: &[usize],
    qkv: Rows,
    cache: &mut [f32],
) -> Result<()> {
    let tokens = cache_tokens(a, cache.len());
    if let Some(place) = places.iter().find(|place| **place >= tokens) {
        return Err(KernelError::Index { what: "cache_rows: places", index: *place as i64, limit: tokens });
    }
    let (heads, each) = shape(a, tokens);
    let cache = RowsMut::new("cache", cache, (0, each), (heads, each))?;
    let s = Shape::new(cpu, a);
    let d = a.head_dim;
    cpu.pool.each(a.kv_heads, |kv| {
        // SAFETY: every head has its two rows alone.
        let (mut keys, mut values) =
            unsafe { (cache.part(kv..kv + 1, 0..each), cache.part(a.kv_heads + kv..a.kv_heads + kv + 1, 0..each)) };
        let (keys, values) = (keys.row(0), values.row(0));
        for (r, place) in places.iter().enumerate() {
            let row = qkv.row(r);
            values[place * d..][..d].copy_from_slice(&row[s.v_cols(kv)]);
            let block = &mut keys[place / CACHE_BLOCK * CACHE_BLOCK * d..][..CACHE_BLOCK * d];
            let lane = place % CACHE_BLOCK;
            for (column, k) in block.chunks_exact_mut(CACHE_BLOCK).zip(&row[s.k_cols(kv)]) {
                column[lane] = *k;
            }
        }
    });
    Ok(())
}

pub(in crate::cpu) fn attention_cached(
    cpu: &Cpu,
    a: &Attention,
    contexts: &[Range<usize>],
    qkv: Rows,
    cache: &[f32],
    out: RowsMut,
) -> Result<()> {
    let tokens = cache_tokens(a, cache.len());
    check(contexts, tokens)?;
    let (heads, each) = shape(a, tokens);
    let cache = Rows::new("cache", cache, (0, each), (heads, each))?;
    let s = Shape::new(cpu, a);
    let (group, d) = (s.group(), a.head_dim);
    if group == 0 || d == 0 {
        return Ok(());
    }
    let longest = contexts.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    let mine = HEADS_MAX.min(group) * longest.next_multiple_of(CACHE_BLOCK);
    let mut memory = cpu.scratch.take(size(cpu.threads(), mine))?;
    let slots = RowsMut::new("scores", memory.values(), (0, mine), (cpu.threads(), mine))?;
    cpu.pool.each(contexts.len() * a.kv_heads, |i| {
        let (r, kv) = (i / a.kv_heads, i % a.kv_heads);
        let (context, slot) = (&contexts[r], cpu.pool.slot());
        let places = context.start * d..context.end.next_multiple_of(CACHE_BLOCK) * d;
        let head = Head {
            keys: &cache.row(kv)[places.clone()],
            values: &cache.row(a.kv_heads + kv)[places],
            dim: d,
            seen: s.first_seen(context.len() - 1)..context.len(),
            scale: s.score_scale(),
            softcap: a.softcap,
        };
        let heads = kv * group * d..(kv + 1) * group * d;
        let queries = &qkv.row(r)[a.layout.q + heads.start..a.layout.q + heads.end];
        // SAFETY: tasks share neither rows nor heads, and a thread has its slot alone.
        let (mut out, mut slot) = unsafe { (out.part(r..r + 1, heads), slots.part(slot..slot + 1, 0..mine)) };
        look_back(cpu.level, &head, queries, slot.row(0), out.row(0));
    });
    Ok(())
}

/// A context begins with a block, has at least its own token, and lies within the cache.
fn check(contexts: &[Range<usize>], tokens: usize) -> Result<()> {
    for context in contexts {
        if context.end > tokens {
            return Err(KernelError::Index { what: "contexts", index: context.end as i64 - 1, limit: tokens });
        }
        if context.is_empty() || !context.start.is_multiple_of(CACHE_BLOCK) {
            return Err(KernelError::Context { start: context.start, end: context.end });
        }
    }
    Ok(())
}

/// What one key head's queries of a row read.
struct Head<'a> {
    /// From the context's first token on, to the end of its last block.
    keys: &'a [f32],
    values: &'a [f32],
    dim: usize,
    /// Which of the context's tokens.
    seen: Range<usize>,
    scale: f32,
    softcap: Option<f32>,
}

per_level! {
    /// out [heads, D] = softmax(queries [heads, D] · keysᵀ) · values
    fn look_back(head: &Head, queries: &[f32], scores: &mut [f32], out: &mut [f32]) = look_back_body
}

#[inline(always)]
fn look_back_body<M: Fma>(head: &Head, queries: &[f32], scores: &mut [f32], out: &mut [f32]) {
    let some = HEADS_MAX * head.dim;
    for (queries, out) in queries.chunks(some).zip(out.chunks_mut(some)) {
        match queries.len() / head.dim {
            4 => heads::<M, 4>(head, queries, scores, out),
            3 => heads::<M, 3>(head, queries, scores, out),
            2 => heads::<M, 2>(head, queries, scores, out),
            _ => heads::<M, 1>(head, queries, scores, out),
        }
    }
}

#[inline(always)]
fn heads<M: Fma, const G: usize>(head: &Head, queries: &[f32], scores: &mut [f32], out: &mut [f32]) {
    let each = head.seen.end.next_multiple_of(CACHE_BLOCK);
    let scores = &mut scores[..G * each];
    let queries: [&[f32]; G] = std::array::from_fn(|g| &queries[g * head.dim..][..head.dim]);
    score::<M, G>(head, queries, scores);
    // A loop: what `from_fn` calls would not be compiled for the level.
    let mut totals = [0.0; G];
    for g in 0..G {
        totals[g] = soften::<M>(head, &mut scores[g * each..][..each]);
    }
    let weights: [&[f32]; G] = std::array::from_fn(|g| &scores[g * each..][..head.seen.end]);
    let mut at = 0;
    while at + 32 <= head.dim {
        average::<M, G, 32>(head, weights, totals, at, out);
        at += 32;
    }
    while at + 8 <= head.dim {
        average::<M, G, 8>(head, weights, totals, at, out);
        at += 8;
    }
    while at < head.dim {
        average::<M, G, 1>(head, weights, totals, at, out);
        at += 1;
    }
}

/// q·k of the blocks that are seen.
#[inline(always)]
fn score<M: Fma, const G: usize>(head: &Head, queries: [&[f32]; G], scores: &mut [f32]) {
    let each = scores.len() / G;
    let first = head.seen.start / CACHE_BLOCK;
    for (b, keys) in head.keys.chunks_exact(CACHE_BLOCK * head.dim).enumerate().skip(first) {
        let mut acc = [[0.0f32; CACHE_BLOCK]; G];
        for (d, keys) in keys.as_chunks::<CACHE_BLOCK>().0.iter().enumerate() {
            for g in 0..G {
                let q = queries[g][d];
                for l in 0..CACHE_BLOCK {
                    acc[g][l] = M::fma(q, keys[l], acc[g][l]);
                }
            }
        }
        for g in 0..G {
            scores[g * each + b * CACHE_BLOCK..][..CACHE_BLOCK].copy_from_slice(&acc[g]);
        }
    }
}

/// Scores of seen tokens become 2^(score − the largest); returns their sum. What the last block has beyond the context
/// may be anything.
#[inline(always)]
fn soften<M: Fma>(head: &Head, scores: &mut [f32]) -> f32 {
    let seen = &mut scores[head.seen.clone()];
    match head.softcap {
        None => seen.iter_mut().for_each(|s| *s *= head.scale),
        Some(cap) => {
            let (inner, outer) = (head.scale / cap, cap * LOG2_E);
            seen.iter_mut().for_each(|s| *s = outer * math::tanh::<M>(*s * inner));
        }
    }
    let top = math::max(seen);
    seen.iter_mut().for_each(|s| *s = math::exp2::<M>(*s - top));
    math::sum1(seen, |acc, s| acc + s)
}

/// N columns from `at` on of Σ weight · value / total.
#[inline(always)]
fn average<M: Fma, const G: usize, const N: usize>(
    head: &Head,
    weights: [&[f32]; G],
    totals: [f32; G],
    at: usize,
    out: &mut [f32],
) {
    let (dim, seen) = (head.dim, head.seen.clone());
    let values = &head.values[seen.start * dim..seen.end * dim];
    let weights: [&[f32]; G] = std::array::from_fn(|g| &weights[g][seen.clone()]);
    // Every other token's, so that one sum need not wait for the other.
    let (mut even, mut odd) = ([[0.0f32; N]; G], [[0.0f32; N]; G]);
    let pairs = values.chunks_exact(2 * dim);
    let last = pairs.remainder();
    for (i, pair) in pairs.enumerate() {
        let (first, second) = pair.split_at(dim);
        weigh::<M, G, N>(weights, 2 * i, &first[at..], &mut even);
        weigh::<M, G, N>(weights, 2 * i + 1, &second[at..], &mut odd);
    }
    if !last.is_empty() {
        weigh::<M, G, N>(weights, seen.len() - 1, &last[at..], &mut even);
    }
    for g in 0..G {
        let by = 1.0 / totals[g];
        let out = &mut out[columns(0, g, dim)][at..at + N];
        for n in 0..N {
            out[n] = (even[g][n] + odd[g][n]) * by;
        }
    }
}

/// acc += the i-th weight · value of each query head
#[inline(always)]
fn weigh<M: Fma, const G: usize, const N: usize>(
    weights: [&[f32]; G],
    i: usize,
    value: &[f32],
    acc: &mut [[f32; N]; G],
) {
    let value = &value[..N];
    for g in 0..G {
        let w = weights[g][i];
        for n in 0..N {
            acc[g][n] = M::fma(w, value[n], acc[g][n]);
        }
    }
}
