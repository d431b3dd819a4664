//! Causal attention over packed sequences with grouped heads.

use super::Cpu;
use super::buf::{Rows, RowsMut};
use crate::Attention;

/// The sequences and heads of one call: task i is one sequence and one key head.
fn task(a: &Attention, cu: &[usize], i: usize) -> (std::ops::Range<usize>, usize) {
    let (s, kv) = (i / a.kv_heads, i % a.kv_heads);
    (cu[s]..cu[s + 1], kv)
}

fn first_key(a: &Attention, q: usize) -> usize {
    a.window.map_or(0, |w| (q + 1).saturating_sub(w))
}

pub(super) fn attention(cpu: &Cpu, a: &Attention, cu: &[usize], qkv: Rows, out: RowsMut, lse: RowsMut) {
    let d = a.head_dim;
    let group = a.q_heads / a.kv_heads;
    cpu.pool.each((cu.len() - 1) * a.kv_heads, |i| {
        let (seq, kv) = task(a, cu, i);
        let heads = kv * group..(kv + 1) * group;
        // SAFETY: tasks share neither sequences nor heads.
        let (mut out, mut lse) =
            unsafe { (out.part(seq.clone(), heads.start * d..heads.end * d), lse.part(seq.clone(), heads.clone())) };
        let key = |t: usize| &qkv.row(seq.start + t)[a.layout.k + kv * d..][..d];
        let value = |t: usize| &qkv.row(seq.start + t)[a.layout.v + kv * d..][..d];
        for q in 0..seq.len() {
            for h in 0..group {
                let query = &qkv.row(seq.start + q)[a.layout.q + (heads.start + h) * d..][..d];
                let s: Vec<f32> = (first_key(a, q)..=q)
                    .map(|t| {
                        let s = a.scale * query.iter().zip(key(t)).map(|(q, k)| q * k).sum::<f32>();
                        a.softcap.map_or(s, |c| c * (s / c).tanh())
                    })
                    .collect();
                let max = s.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f32 = s.iter().map(|s| (s - max).exp()).sum();
                lse.row(q)[h] = max + sum.ln();
                let o = &mut out.row(q)[h * d..][..d];
                o.fill(0.0);
                for (t, s) in (first_key(a, q)..).zip(&s) {
                    let p = (s - max).exp() / sum;
                    o.iter_mut().zip(value(t)).for_each(|(o, v)| *o += p * v);
                }
            }
        }
    });
}

/// What the backward pass reads.
#[derive(Clone, Copy)]
pub(super) struct Saved<'a> {
    pub qkv: Rows<'a>,
    pub out: Rows<'a>,
    pub lse: Rows<'a>,
    pub dout: Rows<'a>,
}

pub(super) fn attention_back(cpu: &Cpu, a: &Attention, cu: &[usize], s: Saved, dqkv: RowsMut) {
    let d = a.head_dim;
    let group = a.q_heads / a.kv_heads;
    let l = a.layout;
    cpu.pool.each((cu.len() - 1) * a.kv_heads, |i| {
        let (seq, kv) = task(a, cu, i);
        let at = |first: usize, heads: usize| first..first + heads * d;
        // SAFETY: tasks share neither sequences nor heads, and the three column ranges do not overlap.
        let (mut dq, mut dk, mut dv) = unsafe {
            (
                dqkv.part(seq.clone(), at(l.q + kv * group * d, group)),
                dqkv.part(seq.clone(), at(l.k + kv * d, 1)),
                dqkv.part(seq.clone(), at(l.v + kv * d, 1)),
            )
        };
        for t in 0..seq.len() {
            dq.row(t).fill(0.0);
            dk.row(t).fill(0.0);
            dv.row(t).fill(0.0);
        }
        for q in 0..seq.len() {
            for h in 0..group {
                let head = kv * group + h;
                let row = seq.start + q;
                let query = &s.qkv.row(row)[l.q + head * d..][..d];
                let o = &s.out.row(row)[head * d..][..d];
                let g = &s.dout.row(row)[head * d..][..d];
                let lse = s.lse.row(row)[head];
                let og: f32 = o.iter().zip(g).map(|(o, g)| o * g).sum();
                for t in first_key(a, q)..=q {
                    let key = &s.qkv.row(seq.start + t)[l.k + kv * d..][..d];
                    let value = &s.qkv.row(seq.start + t)[l.v + kv * d..][..d];
                    let raw = a.scale * query.iter().zip(key).map(|(q, k)| q * k).sum::<f32>();
                    let (z, slope) = match a.softcap {
                        None => (raw, 1.0),
                        Some(c) => {
                            let t = (raw / c).tanh();
                            (c * t, 1.0 - t * t)
                        }
                    };
                    let p = (z - lse).exp();
                    let gv: f32 = g.iter().zip(value).map(|(g, v)| g * v).sum();
                    let ds = p * (gv - og) * slope * a.scale;
                    for j in 0..d {
                        dv.row(t)[j] += p * g[j];
                        dk.row(t)[j] += ds * query[j];
                        dq.row(q)[h * d + j] += ds * key[j];
                    }
                }
            }
        }
    });
}
