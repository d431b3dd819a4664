//! AdamW with its moments in 8 bits.

use crate::support::{Random, buf, everywhere, values};
use kernels::cpu::{Buf, Bytes, Level};
use kernels::eight_bit::{BLOCK, signed_map, unsigned_map};
use kernels::{AdamW, Backend, Cpu, EightBit, KernelError, Precision};

fn zeroed(cpu: &Cpu, len: usize) -> EightBit<Cpu> {
    let (codes, absmax): (Bytes, Buf) = (cpu.alloc_bytes(len).unwrap(), cpu.alloc(len.div_ceil(BLOCK)).unwrap());
    EightBit { codes, absmax }
}

fn codes(cpu: &Cpu, x: &EightBit<Cpu>, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    cpu.download_bytes(&x.codes, &mut out).unwrap();
    out
}

/// Decimals by hand from the definition: the middles of equal parts of 0.1 to 1, times a power of ten.
#[test]
fn maps_have_the_values_of_their_definition() {
    let (signed, unsigned) = (signed_map(), unsigned_map());
    let near = |got: f32, want: f64| assert!((f64::from(got) - want).abs() <= 1e-7 * want.abs(), "{got} for {want}");
    for (code, want) in [(0, -0.992_968_75), (126, -5.5e-7), (127, 0.0), (128, 5.5e-7), (129, 3.25e-6), (130, 7.75e-6)]
    {
        near(signed[code], want);
    }
    // The 64 parts of the last decade, and 1.
    for (k, code) in (191..255).enumerate() {
        near(signed[code], 0.1 + 0.9 * (k as f64 + 0.5) / 64.0);
    }
    for (code, want) in [(0, 0.0), (1, 3.25e-7), (2, 7.75e-7), (3, 2.125e-6), (4, 4.375e-6), (6, 8.875e-6)] {
        near(unsigned[code], want);
    }
    for (k, code) in (127..255).enumerate() {
        near(unsigned[code], 0.1 + 0.9 * (k as f64 + 0.5) / 128.0);
    }
    for map in [signed, unsigned] {
        assert!(map.is_sorted_by(|a, b| a < b));
        assert_eq!(map[255], 1.0);
    }
    for k in 1..=127 {
        assert_eq!(signed[127 - k], -signed[127 + k]);
    }
}

/// The code of the nearest value by a search through all, and the block's largest magnitude.
fn quantise(map: &[f32; 256], block: &[f32]) -> (Vec<u8>, f32) {
    let absmax = block.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let code = |v: &f32| {
        let x = if absmax > 0.0 { v / absmax } else { 0.0 };
        let next = map.partition_point(|m| *m < x).min(255);
        let before = next.saturating_sub(1);
        // Halfway, the one nearer to 0.
        let up = match ((map[before] + map[next]) / 2.0, x > 0.0) {
            (middle, true) => x > middle,
            (middle, false) => x >= middle,
        };
        let nearest = if up { next } else { before };
        if map[0] == 0.0 && x > 0.0 { nearest.max(1) as u8 } else { nearest as u8 }
    };
    (block.iter().map(code).collect(), absmax)
}

/// One moment of the reference: codes and magnitudes.
struct Held {
    map: [f32; 256],
    codes: Vec<u8>,
    absmax: Vec<f32>,
}

impl Held {
    fn read(&self, i: usize) -> f32 {
        self.map[usize::from(self.codes[i])] * self.absmax[i / BLOCK]
    }

    fn write(&mut self, values: &[f32]) {
        for (b, block) in values.chunks(BLOCK).enumerate() {
            let (codes, absmax) = quantise(&self.map, block);
            self.codes[b * BLOCK..][..block.len()].copy_from_slice(&codes);
            self.absmax[b] = absmax;
        }
    }
}

/// Element by element as torch writes the update; products and sums are rounded once where the level's are.
fn reference(level: Level, a: &AdamW, p: &mut [f32], g: &[f32], m: &mut Held, v: &mut Held) {
    let fma = |x: f32, y: f32, z: f32| if level.name() == "portable" { x * y + z } else { x.mul_add(y, z) };
    let (lr, b1, b2, t) = (f64::from(a.lr), f64::from(a.beta1), f64::from(a.beta2), f64::from(a.t));
    let (mut wide_m, mut wide_v) = (vec![0.0; p.len()], vec![0.0; p.len()]);
    for i in 0..p.len() {
        let g = g[i] * a.grad_scale;
        wide_m[i] = fma((1.0 - b1) as f32, g - m.read(i), m.read(i));
        wide_v[i] = fma((1.0 - b2) as f32 * g, g, v.read(i) * a.beta2);
        let denominator = wide_v[i].sqrt() / (1.0 - b2.powf(t)).sqrt() as f32 + a.eps;
        let shrunk = p[i] * (1.0 - lr * f64::from(a.weight_decay)) as f32;
        p[i] = shrunk - (lr / (1.0 - b1.powf(t))) as f32 * (wide_m[i] / denominator);
    }
    m.write(&wide_m);
    v.write(&wide_v);
}

/// Five updates with gradients of many magnitudes, some of them 0, over blocks that are whole, torn and of zeros: every
/// bit of parameters, codes and magnitudes.
#[test]
fn an_update_is_the_references_to_the_last_bit() {
    let n = 40_000 + 77;
    let mut rng = Random::new(5);
    let p0 = rng.values(n);
    let mut gradient = |step: usize| -> Vec<f32> {
        let value = |i: usize, v: f32| match i / BLOCK {
            3 => 0.0,
            _ if i % 7 == step => 0.0,
            _ => v * 10f32.powi(-(i as i32 * 31 % 9)),
        };
        rng.values(n).into_iter().enumerate().map(|(i, v)| value(i, v)).collect()
    };
    let grads: Vec<_> = (0..5).map(&mut gradient).collect();
    let a = |t| AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, t, grad_scale: 0.7 };
    let byte = |b: &u8| f32::from(*b);
    for (level, got) in everywhere(|cpu| {
        let (mut p, mut m, mut v) = (buf(cpu, &p0), zeroed(cpu, n), zeroed(cpu, n));
        for (t, g) in grads.iter().enumerate() {
            cpu.adamw_8bit(n, &a(t as u32 + 1), &mut p, &buf(cpu, g), &mut m, &mut v).unwrap();
        }
        let (m_codes, v_codes): (Vec<f32>, Vec<f32>) =
            (codes(cpu, &m, n).iter().map(byte).collect(), codes(cpu, &v, n).iter().map(byte).collect());
        [values(cpu, &p), values(cpu, &m.absmax), values(cpu, &v.absmax), m_codes, v_codes].concat()
    }) {
        let held = |map| Held { map, codes: vec![0; n], absmax: vec![0.0; n.div_ceil(BLOCK)] };
        let (mut p, mut m, mut v) = (p0.clone(), held(signed_map()), held(unsigned_map()));
        for (t, g) in grads.iter().enumerate() {
            reference(level, &a(t as u32 + 1), &mut p, g, &mut m, &mut v);
        }
        let (m_codes, v_codes) = (m.codes.iter().map(byte).collect(), v.codes.iter().map(byte).collect());
        let want: Vec<f32> = [p, m.absmax, v.absmax, m_codes, v_codes].concat();
        let differs = got.iter().zip(&want).position(|(g, w)| g.to_bits() != w.to_bits());
        assert_eq!(differs, None, "{}: {:?}", level.name(), differs.map(|i| (got[i], want[i])));
    }
}

/// With both factors 0 the moments are the gradient and its square, rounded: within half of what lies between two of the
/// map's values, which in the decade d below 1 is 0.9 · 10⁻ᵈ / parts.
#[test]
fn what_rounding_loses() {
    let n = 4096;
    let a = AdamW { lr: 0.0, beta1: 0.0, beta2: 0.0, eps: 1e-8, weight_decay: 0.0, t: 1, grad_scale: 1.0 };
    let mut rng = Random::new(8);
    let g: Vec<f32> = (0..n).map(|i| rng.value() * 10f32.powi(-(i as i32 % 5))).collect();
    for level in Level::all() {
        let cpu = Cpu::with_level(Some(1), Precision::F32, level).unwrap();
        let (mut p, mut m, mut v) = (cpu.alloc(n).unwrap(), zeroed(&cpu, n), zeroed(&cpu, n));
        cpu.adamw_8bit(n, &a, &mut p, &buf(&cpu, &g), &mut m, &mut v).unwrap();
        let squares: Vec<f32> = g.iter().map(|g| g * g).collect();
        for (x, map, held, parts) in [(&g, signed_map(), &m, 64.0), (&squares, unsigned_map(), &v, 128.0)] {
            let (codes, absmax) = (codes(&cpu, held, n), values(&cpu, &held.absmax));
            for (i, x) in x.iter().enumerate() {
                let most = absmax[i / BLOCK];
                let share = f64::from(x.abs() / most);
                let decade = (-share.log10()).floor().clamp(0.0, 6.0) as i32;
                // The widest step that touches the decade; at its end, the smallest value above 0.
                let step = 0.9 * 10f64.powi(-decade) / (parts / f64::from(1 << decade));
                let off = (f64::from(map[usize::from(codes[i])] * most) - f64::from(*x)).abs();
                let least = f64::from(map.into_iter().find(|v| *v > 0.0).unwrap());
                assert!(
                    off <= (0.56 * step).max(least) * f64::from(most),
                    "{}: {x} of {most} is off by {off}",
                    level.name()
                );
                assert!(x.abs() < most || codes[i] == 255 || codes[i] == 0, "the largest is exact");
            }
        }
        let sent = codes(&cpu, &v, n);
        assert!(squares.iter().zip(sent).all(|(x, code)| (*x > 0.0) == (code > 0)), "nothing above 0 became 0");
    }
}

/// An infinite square (a gradient beyond 1.8e19) leaves the rest of its block numbers.
#[test]
fn an_infinite_moment_is_held_as_the_largest_number() {
    let cpu = Cpu::new(Some(1), Precision::F32).unwrap();
    let a = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, t: 1, grad_scale: 1.0 };
    let mut g = vec![1.0; 2 * BLOCK];
    g[0] = 1e30;
    let (mut p, mut m, mut v) = (cpu.alloc(g.len()).unwrap(), zeroed(&cpu, g.len()), zeroed(&cpu, g.len()));
    for _ in 0..3 {
        cpu.adamw_8bit(g.len(), &a, &mut p, &buf(&cpu, &g), &mut m, &mut v).unwrap();
    }
    assert!(values(&cpu, &v.absmax)[0] == f32::MAX);
    assert!(values(&cpu, &p).iter().all(|p| p.is_finite()));
}

#[test]
fn memory_that_is_too_small_is_refused() {
    let cpu = Cpu::new(Some(1), Precision::F32).unwrap();
    let a = AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, t: 1, grad_scale: 1.0 };
    let (mut p, g) = (cpu.alloc(300).unwrap(), cpu.alloc(300).unwrap());
    let mut update = |m_len: usize, v_len: usize| {
        let (mut m, mut v) = (zeroed(&cpu, m_len), zeroed(&cpu, v_len));
        cpu.adamw_8bit(300, &a, &mut p, &g, &mut m, &mut v).map_err(|e| e.to_string())
    };
    update(300, 300).unwrap();
    assert_eq!(update(299, 300).unwrap_err(), "adamw_8bit: m: needs 300 elements, the buffer holds 299");
    assert_eq!(update(300, 256).unwrap_err(), "adamw_8bit: v: needs 300 elements, the buffer holds 256");
    let mut short = cpu.alloc_bytes(2).unwrap();
    let error = cpu.upload_bytes(&mut short, &[0; 3]).unwrap_err();
    assert_eq!(error.to_string(), "upload_bytes: needs 3 elements, the buffer holds 2");
    let error = cpu.download_bytes(&short, &mut [0; 3]).unwrap_err();
    assert_eq!(error.to_string(), "download_bytes: needs 3 elements, the buffer holds 2");
    let error = cpu.alloc_bytes(1 << 62).unwrap_err();
    assert!(matches!(error, KernelError::OutOfMemory { what: "bytes", .. }), "{error}");
}
