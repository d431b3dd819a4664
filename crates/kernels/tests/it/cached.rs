//! Attention of single rows over a cache, against the definition and against attention of whole sequences.

use crate::support::{Random, attention, buf, check, close, everywhere, everywhere_in, values, wide};
use kernels::cpu::{Buf, Level};
use kernels::{Attention, Backend, CACHE_BLOCK, Cpu, Precision};
use std::ops::Range;

/// softmax over what the last row of `qkv` [n, ld] sees, by the definition.
fn definition(a: &Attention, qkv: &[f64]) -> Vec<f64> {
    let (l, d, n) = (a.layout, a.head_dim, qkv.len() / a.layout.ld);
    let first = a.window.map_or(0, |w| n.saturating_sub(w));
    let row = |t: usize, at: usize| &qkv[t * l.ld + at..][..d];
    let of_head = |h: usize| {
        let kv = h / (a.q_heads / a.kv_heads);
        let scores: Vec<f64> = (first..n)
            .map(|t| {
                let dot: f64 = row(n - 1, l.q + h * d).iter().zip(row(t, l.k + kv * d)).map(|(q, k)| q * k).sum();
                let s = f64::from(a.scale) * dot;
                a.softcap.map_or(s, |c| f64::from(c) * (s / f64::from(c)).tanh())
            })
            .collect();
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|s| (s - top).exp()).sum();
        (0..d).map(move |j| {
            let weighted = scores.iter().enumerate().map(|(i, s)| (s - top).exp() * row(first + i, l.v + kv * d)[j]);
            weighted.sum::<f64>() / sum
        })
    };
    (0..a.q_heads).flat_map(|h| of_head(h).collect::<Vec<f64>>()).collect()
}

/// Sequences one behind another in a cache, from `gap` blocks on; the rows' contexts.
fn cached(cpu: &Cpu, a: &Attention, sequences: &[Vec<f32>], gap: usize) -> (Buf, Vec<Range<usize>>) {
    let mut start = gap * CACHE_BLOCK;
    let contexts: Vec<Range<usize>> = sequences
        .iter()
        .map(|qkv| {
            let context = start..start + qkv.len() / a.layout.ld;
            start = context.end.next_multiple_of(CACHE_BLOCK);
            context
        })
        .collect();
    // What nobody wrote must not be read.
    let mut cache = buf(cpu, &vec![f32::NAN; Cpu::cache_len(a, start)]);
    for (qkv, context) in sequences.iter().zip(&contexts) {
        let places: Vec<usize> = context.clone().collect();
        cpu.cache_rows(a, &places, &buf(cpu, qkv), &mut cache).unwrap();
    }
    (cache, contexts)
}

/// The last row of each sequence, all in one call.
fn decode(cpu: &Cpu, a: &Attention, sequences: &[Vec<f32>], gap: usize) -> Vec<f32> {
    let (cache, contexts) = cached(cpu, a, sequences, gap);
    let last: Vec<f32> = sequences.iter().flat_map(|qkv| qkv[qkv.len() - a.layout.ld..].to_vec()).collect();
    let mut out = cpu.alloc(sequences.len() * a.q_heads * a.head_dim).unwrap();
    cpu.attention_cached(a, &contexts, &buf(cpu, &last), &cache, &mut out).unwrap();
    values(cpu, &out)
}

fn sequences(a: &Attention, lengths: &[usize], seed: u64) -> Vec<Vec<f32>> {
    let mut rng = Random::new(seed);
    lengths.iter().map(|n| rng.values(n * a.layout.ld).iter().map(|v| v * 3.0).collect()).collect()
}

#[track_caller]
fn check_cached(a: &Attention, lengths: &[usize], seed: u64) {
    let sequences = sequences(a, lengths, seed);
    let want: Vec<f64> = sequences.iter().flat_map(|qkv| definition(a, &wide(qkv))).collect();
    check(&format!("attention_cached {a:?} {lengths:?}"), 2e-6, &want, |cpu| decode(cpu, a, &sequences, 1));
}

#[test]
fn heads_of_every_size_and_share() {
    for d in [1, 7, 8, 16, 24, 33, 40, 64, 96, 128, 256] {
        check_cached(&attention(4, 2, d), &[1, 15, 16, 17, 37], d as u64);
    }
    for group in 1..=9 {
        check_cached(&attention(2 * group, 2, 20), &[1, 50], 300 + group as u64);
    }
    check_cached(&attention(9, 3, 64), &[700, 3], 5);
}

#[test]
fn windows_and_caps() {
    for window in [1, 2, 15, 16, 17, 70, 1000] {
        check_cached(&Attention { window: Some(window), ..attention(2, 1, 16) }, &[5, 16, 70, 401], window as u64);
    }
    for softcap in [0.5, 50.0] {
        let a = Attention { softcap: Some(softcap), window: Some(150), ..attention(3, 1, 24) };
        check_cached(&a, &[3, 310], 8);
    }
}

/// The last rows of whole sequences, in either precision: rounding to bf16 is what the two may differ by.
#[test]
fn it_is_attention_of_the_last_row() {
    let a = Attention { window: Some(40), softcap: Some(5.0), ..attention(6, 2, 33) };
    let sequences: Vec<Vec<f32>> =
        sequences(&a, &[1, 39, 41, 333], 9).iter().map(|s| s.iter().map(|v| v / 3.0).collect()).collect();
    let whole = |cpu: &Cpu| -> Vec<f32> {
        let each = a.q_heads * a.head_dim;
        let last = |qkv: &Vec<f32>| {
            let n = qkv.len() / a.layout.ld;
            let (mut out, mut lse) = (cpu.alloc(n * each).unwrap(), cpu.alloc(n * a.q_heads).unwrap());
            cpu.attention(&a, &[0, n], &buf(cpu, qkv), &mut out, &mut lse).unwrap();
            values(cpu, &out)[(n - 1) * each..].to_vec()
        };
        sequences.iter().flat_map(last).collect()
    };
    let compare = |precision, tolerance: &dyn Fn(Level) -> f64| {
        let wholes = everywhere_in(precision, whole);
        for ((level, want), (_, got)) in
            wholes.into_iter().zip(everywhere_in(precision, |cpu| decode(cpu, &a, &sequences, 0)))
        {
            close("the last row", level, tolerance(level), &wide(&want), &got);
        }
    };
    compare(Precision::F32, &|_| 4e-6);
    compare(Precision::Bf16, &|level| if level.multiplies_bf16() { 0.012 } else { 4e-6 });
}

/// Neither the other rows of a call nor the place in the cache change a bit; nor does what lies behind a context.
#[test]
fn a_row_depends_on_its_context_alone() {
    let a = Attention { window: Some(90), ..attention(10, 2, 40) };
    let sequences = sequences(&a, &[5, 130, 16, 77], 10);
    for (_, together) in everywhere(|cpu| decode(cpu, &a, &sequences, 0)) {
        assert!(together.iter().all(|v| v.is_finite()));
    }
    let together = everywhere(|cpu| decode(cpu, &a, &sequences, 0));
    let apart = everywhere(|cpu| sequences.iter().flat_map(|s| decode(cpu, &a, std::slice::from_ref(s), 3)).collect());
    for ((level, together), (_, apart)) in together.iter().zip(&apart) {
        assert!(together.iter().map(|v| v.to_bits()).eq(apart.iter().map(|v| v.to_bits())), "{}", level.name());
    }
}

#[test]
fn contexts_and_places_that_cannot_be() {
    let a = attention(2, 1, 8);
    let cpu = Cpu::new(Some(1), Precision::F32).unwrap();
    let qkv = buf(&cpu, &vec![0.0; 2 * a.layout.ld]);
    let mut cache = buf(&cpu, &vec![0.0; Cpu::cache_len(&a, 32) + 9]);
    let mut out = buf(&cpu, &[0.0; 47]);
    let places = |places: &[usize], cache: &mut Buf| cpu.cache_rows(&a, places, &qkv, cache).unwrap_err().to_string();
    assert_eq!(places(&[31, 32], &mut cache), "cache_rows: places: index 32 is outside 0..32");
    assert_eq!(places(&[0, 1, 2], &mut cache), "cache_rows: qkv: needs 111 elements, the buffer holds 74");
    let mut attend =
        |contexts: &[Range<usize>]| cpu.attention_cached(&a, contexts, &qkv, &cache, &mut out).unwrap_err().to_string();
    let context = "a context has at least one token and begins with a block of the cache:";
    assert_eq!(attend(&[16..20, 16..33]), "contexts: index 32 is outside 0..32");
    assert_eq!(attend(&[0..1, 8..12]), format!("{context} 8..12"));
    assert_eq!(attend(&[0..1, 16..16]), format!("{context} 16..16"));
    assert_eq!(attend(&[0..1, 0..1, 0..1]), "attention_cached: qkv: needs 111 elements, the buffer holds 74");
    let (mut short, contexts) = (buf(&cpu, &[0.0; 16]), [0..1, 0..1]);
    let error = cpu.attention_cached(&a, &contexts, &qkv, &cache, &mut short).unwrap_err();
    assert_eq!(error.to_string(), "attention_cached: out: needs 32 elements, the buffer holds 16");
    let wrong = Attention { kv_heads: 3, ..a };
    let error = cpu.attention_cached(&wrong, &[0..1, 0..1], &qkv, &cache, &mut out).unwrap_err();
    assert_eq!(error.to_string(), "2 query heads cannot share 3 key heads");
}
