use crate::support::{Random, attention, buf, check, close, dot, everywhere_in, gradient, values, wide};
use kernels::cpu::Level;
use kernels::{Attention, Backend, Cpu, Precision};

/// The definition, with the T×T scores.
fn attend(a: &Attention, cu: &[usize], qkv: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (t, d, l) = (cu[cu.len() - 1], a.head_dim, a.layout);
    let mut out = vec![0.0; t * a.q_heads * d];
    let mut lse = vec![0.0; t * a.q_heads];
    let scale = f64::from(a.scale);
    for seq in cu.windows(2) {
        for q in seq[0]..seq[1] {
            for h in 0..a.q_heads {
                let kv = h / (a.q_heads / a.kv_heads);
                let query = &qkv[q * l.ld + l.q + h * d..][..d];
                let seen = (seq[0]..=q).filter(|k| a.window.is_none_or(|w| q - k < w));
                let scores: Vec<(usize, f64)> = seen
                    .map(|k| {
                        let s = scale * dot(query, &qkv[k * l.ld + l.k + kv * d..][..d]);
                        (k, a.softcap.map_or(s, |c| f64::from(c) * (s / f64::from(c)).tanh()))
                    })
                    .collect();
                let max = scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(s.1));
                let sum: f64 = scores.iter().map(|s| (s.1 - max).exp()).sum();
                lse[q * a.q_heads + h] = max + sum.ln();
                for (k, s) in scores {
                    let p = (s - max).exp() / sum;
                    for j in 0..d {
                        out[(q * a.q_heads + h) * d + j] += p * qkv[k * l.ld + l.v + kv * d + j];
                    }
                }
            }
        }
    }
    (out, lse)
}

fn forward(cpu: &Cpu, a: &Attention, cu: &[usize], qkv: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let t = cu[cu.len() - 1];
    let mut out = cpu.alloc(t * a.q_heads * a.head_dim).unwrap();
    let mut lse = cpu.alloc(t * a.q_heads).unwrap();
    cpu.attention(a, cu, &buf(cpu, qkv), &mut out, &mut lse).unwrap();
    (values(cpu, &out), values(cpu, &lse))
}

#[track_caller]
fn check_forward(a: &Attention, cu: &[usize], seed: u64) {
    let qkv: Vec<f32> = Random::new(seed).values(cu[cu.len() - 1] * a.layout.ld).iter().map(|v| v * 3.0).collect();
    let (out, lse) = attend(a, cu, &wide(&qkv));
    check(&format!("attention {a:?} {cu:?}"), 2e-6, &out, |cpu| forward(cpu, a, cu, &qkv).0);
    check(&format!("attention's lse {a:?} {cu:?}"), 2e-6, &lse, |cpu| forward(cpu, a, cu, &qkv).1);
}

#[track_caller]
fn check_backward(a: &Attention, cu: &[usize], seed: u64) {
    let t = cu[cu.len() - 1];
    let mut rng = Random::new(seed);
    let qkv: Vec<f32> = rng.values(t * a.layout.ld).iter().map(|v| v * 2.0).collect();
    let dout = rng.values(t * a.q_heads * a.head_dim);
    let want = gradient(&wide(&qkv), |x| dot(&attend(a, cu, x).0, &wide(&dout)));
    check(&format!("attention_back {a:?} {cu:?}"), 5e-6, &want, |cpu| {
        let mut dqkv = cpu.alloc(qkv.len()).unwrap();
        backward(cpu, a, cu, &qkv, &dout, &mut dqkv);
        values(cpu, &dqkv)
    });
}

fn backward(cpu: &Cpu, a: &Attention, cu: &[usize], qkv: &[f32], dout: &[f32], dqkv: &mut kernels::cpu::Buf) {
    let (out, lse) = forward(cpu, a, cu, qkv);
    let (qkv, out, lse, dout) = (buf(cpu, qkv), buf(cpu, &out), buf(cpu, &lse), buf(cpu, dout));
    cpu.attention_back(a, cu, &qkv, &out, &lse, &dout, dqkv).unwrap();
}

#[test]
fn attention_of_every_head_size() {
    for d in [1, 8, 16, 24, 32, 64, 96, 128, 256] {
        check_forward(&attention(4, 2, d), &[0, 1, 1, 20, 37], d as u64);
    }
    check_forward(&attention(9, 3, 64), &[0, 150, 290, 291], 5);
    check_forward(&attention(2, 1, 8), &[0, 700], 6);
    check_forward(&attention(2, 1, 8), &[0], 6);
    check_forward(&attention(2, 2, 8), &[0, 0, 0], 6);
}

#[test]
fn attention_with_windows_and_caps() {
    for window in [1, 2, 6, 70, 200, 1000] {
        check_forward(&Attention { window: Some(window), ..attention(2, 1, 16) }, &[0, 5, 400], 7);
    }
    for softcap in [0.5, 50.0] {
        let a = Attention { softcap: Some(softcap), window: Some(150), ..attention(3, 1, 24) };
        check_forward(&a, &[0, 3, 310], 8);
    }
}

#[test]
fn attention_backward_by_differences() {
    let cu = [0, 1, 1, 6, 17];
    for d in [1, 8, 24] {
        check_backward(&attention(2, 1, d), &cu, d as u64);
    }
    check_backward(&attention(6, 3, 4), &cu, 20);
    check_backward(&Attention { window: Some(3), ..attention(2, 2, 8) }, &cu, 21);
    check_backward(&Attention { softcap: Some(1.5), ..attention(2, 1, 8) }, &cu, 22);
    check_backward(&Attention { window: Some(4), softcap: Some(2.0), ..attention(3, 1, 5) }, &cu, 23);
}

/// dq, dk, dv by the formula, where differences would take too long.
fn derivative(a: &Attention, cu: &[usize], qkv: &[f64], dout: &[f64]) -> Vec<f64> {
    let (d, l) = (a.head_dim, a.layout);
    let (out, lse) = attend(a, cu, qkv);
    let mut grad = vec![0.0; qkv.len()];
    for seq in cu.windows(2) {
        for q in seq[0]..seq[1] {
            for h in 0..a.q_heads {
                let kv = h / (a.q_heads / a.kv_heads);
                let (qa, oa) = (q * l.ld + l.q + h * d, (q * a.q_heads + h) * d);
                let og = dot(&out[oa..oa + d], &dout[oa..oa + d]);
                for k in (seq[0]..=q).filter(|k| a.window.is_none_or(|w| q - k < w)) {
                    let (ka, va) = (k * l.ld + l.k + kv * d, k * l.ld + l.v + kv * d);
                    let s = f64::from(a.scale) * dot(&qkv[qa..qa + d], &qkv[ka..ka + d]);
                    let (z, slope) = match a.softcap.map(f64::from) {
                        None => (s, 1.0),
                        Some(c) => (c * (s / c).tanh(), 1.0 - (s / c).tanh().powi(2)),
                    };
                    let p = (z - lse[q * a.q_heads + h]).exp();
                    let ds = p * (dot(&dout[oa..oa + d], &qkv[va..va + d]) - og) * slope * f64::from(a.scale);
                    for j in 0..d {
                        grad[qa + j] += ds * qkv[ka + j];
                        grad[ka + j] += ds * qkv[qa + j];
                        grad[va + j] += p * dout[oa + j];
                    }
                }
            }
        }
    }
    grad
}

#[test]
fn attention_backward_over_several_tiles() {
    let cases = [
        (attention(4, 2, 8), vec![0, 1, 300, 431]),
        (attention(3, 1, 64), vec![0, 270]),
        (Attention { window: Some(33), ..attention(2, 2, 32) }, vec![0, 400]),
        (Attention { window: Some(200), softcap: Some(3.0), ..attention(2, 1, 24) }, vec![0, 7, 420]),
        (attention(2, 1, 128), vec![0, 140]),
    ];
    for (i, (a, cu)) in cases.into_iter().enumerate() {
        let t = cu[cu.len() - 1];
        let mut rng = Random::new(100 + i as u64);
        let qkv: Vec<f32> = rng.values(t * a.layout.ld).iter().map(|v| v * 2.0).collect();
        let dout = rng.values(t * a.q_heads * a.head_dim);
        let want = derivative(&a, &cu, &wide(&qkv), &wide(&dout));
        if i == 0 {
            // the formula itself, against differences, where that is quick
            let cu = [0, 4, 9];
            let (qkv, dout) = (wide(&qkv[..9 * a.layout.ld]), wide(&dout[..9 * a.q_heads * a.head_dim]));
            let slow = gradient(&qkv, |x| dot(&attend(&a, &cu, x).0, &dout));
            for (a, b) in slow.iter().zip(derivative(&a, &cu, &qkv, &dout)) {
                assert!((a - b).abs() < 1e-7);
            }
        }
        check(&format!("attention_back {a:?} {cu:?}"), 5e-6, &want, |cpu| {
            let mut dqkv = cpu.alloc(qkv.len()).unwrap();
            backward(cpu, &a, &cu, &qkv, &dout, &mut dqkv);
            values(cpu, &dqkv)
        });
    }
}

/// What was in the gradient before does not count, and neither do the gaps of the layout change.
#[test]
fn attention_back_overwrites_its_columns_only() {
    let a = attention(2, 1, 8);
    let cu = [0, 12];
    let mut rng = Random::new(3);
    let (qkv, dout) = (rng.values(12 * a.layout.ld), rng.values(12 * 16));
    let cpu = Cpu::new(Some(1), Precision::F32).unwrap();
    let mut clean = cpu.alloc(qkv.len()).unwrap();
    let mut dirty = buf(&cpu, &vec![9.0; qkv.len()]);
    backward(&cpu, &a, &cu, &qkv, &dout, &mut clean);
    backward(&cpu, &a, &cu, &qkv, &dout, &mut dirty);
    let (l, clean, dirty) = (a.layout, values(&cpu, &clean), values(&cpu, &dirty));
    for (i, (c, d)) in clean.iter().zip(&dirty).enumerate() {
        let col = i % l.ld;
        let inside = (l.q..l.q + 16).contains(&col) || (l.k..l.k + 8).contains(&col) || (l.v..l.v + 8).contains(&col);
        assert_eq!(*d, if inside { *c } else { 9.0 }, "column {col}");
    }
}

/// With values below 1 and at most 64 of them, rounding q and k to bf16 (2⁻⁹ each) changes a score by less than
/// 2 · 2⁻⁹ · √64/4 = 0.8 %, and so each probability; p and v add 0.2 % each. The largest result is about 1: a query
/// that sees only itself. Backward, dout, ds and the other probabilities of the sum are rounded too.
fn tolerance(level: Level, bf16: f64) -> f64 {
    if level.multiplies_bf16() { bf16 } else { 5e-6 }
}

#[test]
fn attention_in_bf16() {
    let cases = [
        (attention(4, 2, 64), vec![0, 1, 1, 20, 37, 166]),
        (attention(9, 3, 33), vec![0, 151, 290, 291]),
        (attention(2, 1, 8), vec![0, 701]),
        (Attention { window: Some(1), ..attention(2, 1, 16) }, vec![0, 5, 101]),
        (Attention { window: Some(71), ..attention(2, 2, 16) }, vec![0, 3, 625]),
        (Attention { window: Some(150), softcap: Some(0.5), ..attention(3, 1, 24) }, vec![0, 3, 313]),
        (Attention { softcap: Some(50.0), ..attention(3, 3, 7) }, vec![0, 333]),
    ];
    for (i, (a, cu)) in cases.into_iter().enumerate() {
        let t = cu[cu.len() - 1];
        let mut rng = Random::new(200 + i as u64);
        let (qkv, dout) = (rng.values(t * a.layout.ld), rng.values(t * a.q_heads * a.head_dim));
        let (out, lse) = attend(&a, &cu, &wide(&qkv));
        for (what, want) in [("out", out), ("lse", lse)] {
            let run = |cpu: &Cpu| {
                let (out, lse) = forward(cpu, &a, &cu, &qkv);
                if what == "out" { out } else { lse }
            };
            for (level, got) in everywhere_in(Precision::Bf16, run) {
                close(&format!("{what} in bf16 {a:?} {cu:?}"), level, tolerance(level, 0.012), &want, &got);
            }
        }
        let want = derivative(&a, &cu, &wide(&qkv), &wide(&dout));
        let run = |cpu: &Cpu| {
            let mut dqkv = cpu.alloc(qkv.len()).unwrap();
            backward(cpu, &a, &cu, &qkv, &dout, &mut dqkv);
            values(cpu, &dqkv)
        };
        for (level, got) in everywhere_in(Precision::Bf16, run) {
            close(&format!("dqkv in bf16 {a:?} {cu:?}"), level, tolerance(level, 0.02), &want, &got);
        }
    }
}

/// One sequence and one key head: what a round of the backward pass has side by side is all there is to split.
#[test]
fn attention_back_of_one_long_sequence() {
    for window in [None, Some(300)] {
        let (a, cu) = (Attention { window, ..attention(2, 1, 8) }, [0, 1100]);
        let mut rng = Random::new(300);
        let (qkv, dout) = (rng.values(1100 * a.layout.ld), rng.values(1100 * 16));
        let want = derivative(&a, &cu, &wide(&qkv), &wide(&dout));
        check(&format!("attention_back {a:?}"), 5e-6, &want, |cpu| {
            let mut dqkv = cpu.alloc(qkv.len()).unwrap();
            backward(cpu, &a, &cu, &qkv, &dout, &mut dqkv);
            values(cpu, &dqkv)
        });
    }
}
