use half::bf16;
use kernels::cpu::{Buf, Level};
use kernels::{Attention, Backend, Cpu, Precision, QkvLayout};

/// SplitMix64, so that a failure repeats.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In −1..1, exact in f32.
    pub fn value(&mut self) -> f32 {
        (self.word() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.value()).collect()
    }
}

pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|v| f64::from(*v)).collect()
}

pub fn buf(cpu: &Cpu, values: &[f32]) -> Buf {
    let mut b = cpu.alloc(values.len()).unwrap();
    cpu.upload(&mut b, 0, values).unwrap();
    b
}

pub fn values(cpu: &Cpu, b: &Buf) -> Vec<f32> {
    let mut out = vec![0.0; cpu.len(b)];
    cpu.download(b, 0, &mut out).unwrap();
    out
}

pub fn idx(cpu: &Cpu, ids: &[i32]) -> kernels::cpu::Idx {
    let mut i = cpu.alloc_idx(ids.len()).unwrap();
    cpu.upload_idx(&mut i, ids).unwrap();
    i
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

/// Runs `f` at every level with products in f32; the number of threads must not change a bit. One result a level.
pub fn everywhere(f: impl Fn(&Cpu) -> Vec<f32>) -> Vec<(Level, Vec<f32>)> {
    everywhere_in(Precision::F32, f)
}

/// As [`everywhere`], with products in `precision`.
pub fn everywhere_in(precision: Precision, f: impl Fn(&Cpu) -> Vec<f32>) -> Vec<(Level, Vec<f32>)> {
    Level::all()
        .into_iter()
        .map(|level| {
            let one = f(&Cpu::with_level(Some(1), precision, level).unwrap());
            for threads in [2, 3] {
                let many = f(&Cpu::with_level(Some(threads), precision, level).unwrap());
                assert_eq!(bits(&one), bits(&many), "{}: {threads} threads differ from one", level.name());
            }
            (level, one)
        })
        .collect()
}

/// What a product in bf16 makes of a value: on a level that multiplies f32, only frozen weights are rounded.
pub fn as_multiplied(level: Level, v: f32) -> f64 {
    if level.multiplies_bf16() { f64::from(bf16::from_f32(v)) } else { f64::from(v) }
}

/// `f` at every level and number of threads is within `tolerance` of the largest |want|.
#[track_caller]
pub fn check(what: &str, tolerance: f64, want: &[f64], f: impl Fn(&Cpu) -> Vec<f32>) {
    for (level, got) in everywhere(f) {
        close(what, level, tolerance, want, &got);
    }
}

/// `got` is within `tolerance` of the largest |want|.
#[track_caller]
pub fn close(what: &str, level: Level, tolerance: f64, want: &[f64], got: &[f32]) {
    let peak = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    assert_eq!(got.len(), want.len(), "{what} at {}", level.name());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(
            error <= tolerance * peak.max(1e-30),
            "{what} at {}: element {i} is {got}, expected {want} (peak {peak})",
            level.name()
        );
    }
}

/// d f / d x by central differences. f is smooth and in f64: the error is about 1e-9 of the peak.
pub fn gradient(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    const H: f64 = 1e-5;
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let at = x[i];
            x[i] = at + H;
            let up = f(&x);
            x[i] = at - H;
            let down = f(&x);
            x[i] = at;
            (up - down) / (2.0 * H)
        })
        .collect()
}

/// Σ a·b
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Attention whose queries, keys and values have gaps between them.
pub fn attention(q_heads: usize, kv_heads: usize, head_dim: usize) -> Attention {
    let (q, kv) = (q_heads * head_dim, kv_heads * head_dim);
    Attention {
        q_heads,
        kv_heads,
        head_dim,
        scale: 1.0 / (head_dim as f32).sqrt(),
        window: None,
        softcap: None,
        // a gap in front, and one between keys and values
        layout: QkvLayout { ld: q + 2 * kv + 5, q: 1, k: 1 + q, v: 4 + q + kv },
    }
}
