//! The speed of the kernels at the sizes of a model with 135 million parameters (hidden 576, feed-forward 1536,
//! 9 heads over 3 of 64, vocabulary 49152) on 2048 tokens, beside what the core can do at most:
//! `cargo bench -p kernels [-- f32|bf16 THREADS... NAME...]`. With one thread the time is the processor's, where the
//! system tells it, so that other programs disturb less.

#![allow(unsafe_code)]

use half::bf16;
use kernels::cpu::{Buf, Weight};
use kernels::eight_bit::BLOCK;
use kernels::{
    Activation, AdamW, Attention, Backend, Cpu, EightBit, Form, Gemm, LowRank, Nf4, Norm, NormShape, Op, Part,
    Precision, QkvLayout, Values, Write, mat, mat_mut,
};
use std::hint::black_box;
use std::time::Instant;

const T: usize = 2048;
const H: usize = 576;
const F: usize = 1536;
const V: usize = 49152;
/// Of a model with 0.5 billion parameters, whose products are timed too.
const H5: usize = 896;
const F5: usize = 4864;
const RANKS: [usize; 4] = [8, 16, 32, 64];
/// Tokens of a pass where weights are held packed.
const SHORT: usize = 512;
/// Rows of logits at a time.
const HEAD_ROWS: usize = 512;
/// The system counts a thread's time in steps of some milliseconds.
const BATCH_SECONDS: f64 = 0.1;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let asked: Vec<usize> = args.iter().filter_map(|a| a.parse().ok()).collect();
    let precisions = [("f32", Precision::F32), ("bf16", Precision::Bf16)];
    let chosen = |name: &str| args.iter().any(|a| a == name);
    let any = precisions.iter().any(|(name, _)| chosen(name));
    let is_name = |a: &String| a.parse::<usize>().is_err() && !precisions.iter().any(|(name, _)| a == name);
    let names: Vec<String> = args.iter().filter(|a| is_name(a)).cloned().collect();
    let counts = if asked.is_empty() { vec![1, 2] } else { asked };
    for (name, precision) in precisions.into_iter().filter(|(name, _)| !any || chosen(name)) {
        run(name, precision, &counts, &names);
    }
}

fn run(name: &str, precision: Precision, counts: &[usize], names: &[String]) {
    for &threads in counts {
        let cpu = Cpu::new(Some(threads), precision).expect("threads");
        let peak = peak::gflops(precision, threads);
        println!("\n{name} · {} · {threads} threads · peak {peak:.0} GFLOP/s", cpu.level().name());
        let bench = Bench { cpu, peak, names: names.to_vec() };
        bench.products();
        bench.adapter();
        bench.attention();
        bench.rows();
        bench.updates();
    }
}

/// What a file has of a weight.
#[derive(Clone, Copy)]
enum Stored {
    F32,
    Bf16,
    Nf4,
}

struct Bench {
    cpu: Cpu,
    peak: f64,
    names: Vec<String>,
}

/// Seconds that this thread has run, or since the start where the system does not say.
fn thread_seconds(start: Instant) -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    nanos.map_or_else(|| start.elapsed().as_secs_f64(), |n| n / 1e9)
}

impl Bench {
    fn chosen(&self, what: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|n| what.contains(n.as_str()))
    }

    /// Seconds for one run, the best of several batches: what the machine does when nothing else disturbs it.
    fn best(&self, mut f: impl FnMut()) -> f64 {
        let start = Instant::now();
        f();
        let runs = (BATCH_SECONDS / start.elapsed().as_secs_f64()).ceil().clamp(1.0, 1e4);
        let now = || match self.cpu.threads() {
            1 => thread_seconds(start),
            _ => start.elapsed().as_secs_f64(),
        };
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let t = now();
            (0..runs as usize).for_each(|_| f());
            best = best.min((now() - t) / runs);
        }
        best
    }

    fn buf(&self, len: usize) -> Buf {
        let values: Vec<f32> = (0..len).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
        let mut buf = self.cpu.alloc(len).expect("memory");
        self.cpu.upload(&mut buf, 0, &values).expect("upload");
        buf
    }

    fn weight(&self, rows: usize, cols: usize, form: Form, stored: Stored) -> Weight {
        let values: Vec<f32> = (0..rows * cols).map(|i| ((i * 31) % 997) as f32 / 5e4 - 0.01).collect();
        let weight = |values| self.cpu.weight(rows, cols, values, form).expect("weight");
        match stored {
            Stored::F32 => weight(Values::F32(&values)),
            Stored::Bf16 => weight(Values::Bf16(&values.iter().map(|v| bf16::from_f32(*v)).collect::<Vec<_>>())),
            Stored::Nf4 => weight(Values::Nf4(&Nf4::quantise(Values::F32(&values), true).expect("finite values"))),
        }
    }

    fn line(&self, what: &str, flops: f64, f: impl FnMut()) {
        if !self.chosen(what) {
            return;
        }
        let s = self.best(f);
        let rate = flops / s / 1e9;
        println!("{what:44} {:8.3} ms {rate:7.1} GFLOP/s {:4.0} %", s * 1e3, 100.0 * rate / self.peak);
    }

    fn memory_line(&self, what: &str, floats: usize, f: impl FnMut()) {
        if !self.chosen(what) {
            return;
        }
        let s = self.best(f);
        println!("{what:44} {:8.3} ms {:7.1} GB/s", s * 1e3, (floats * 4) as f64 / s / 1e9);
    }

    fn products(&self) {
        let shapes = [
            ("qkv", T, 960, H),
            ("o", T, H, H),
            ("gate up", T, 2 * F, H),
            ("down", T, H, F),
            ("gate", T, F, H),
            ("gate up, a short pass", SHORT, 2 * F, H),
            ("down, a short pass", SHORT, H, F),
            ("head", HEAD_ROWS, V, H),
            ("head, a short chunk", HEAD_ROWS / 4, V, H),
            ("qkv of 0.5B", T, 1152, H5),
            ("o of 0.5B", T, H5, H5),
            ("gate up of 0.5B", T, 2 * F5, H5),
            ("down of 0.5B", T, H5, F5),
        ];
        for (name, t, out, inner) in shapes {
            for (held, form, stored) in [
                (", of f32", Form::Plain, Stored::F32),
                (", of f32 held packed", Form::Packed, Stored::F32),
                (", of bf16", Form::Plain, Stored::Bf16),
                (", of bf16 held packed", Form::Packed, Stored::Bf16),
                (", of NF4", Form::Plain, Stored::Nf4),
            ] {
                self.product(&format!("{name}{held}"), (t, out, inner), form, stored);
            }
        }
    }

    fn product(&self, name: &str, (t, out, inner): (usize, usize, usize), form: Form, stored: Stored) {
        let what = format!("linear {name} {t}x{inner}x{out}");
        if !self.chosen(&what) && !self.chosen(&format!("linear_back {name}")) {
            return;
        }
        let (x, w, mut y) = (self.buf(t * inner), self.weight(out, inner, form, stored), self.buf(t * out));
        let flops = (2 * t * out * inner) as f64;
        let part = || Part { w: &w, low_rank: None };
        self.line(&what, flops, || {
            let y = mat_mut(&mut y, 0, out);
            self.cpu.linear(t, mat(&x, 0, inner), &[part()], y, Write::Set).expect("linear");
        });
        let r = 16;
        let (z, b) = (self.buf(t * r), self.buf(out * r));
        let with = (2 * t * out * (inner + r)) as f64;
        self.line(&format!("linear {name} and a term of rank {r}"), with, || {
            let low_rank = Some(LowRank { r, z: mat(&z, 0, r), b: mat(&b, 0, r) });
            let y = mat_mut(&mut y, 0, out);
            self.cpu.linear(t, mat(&x, 0, inner), &[Part { w: &w, low_rank }], y, Write::Set).expect("linear");
        });
        let mut dx = x;
        self.line(&format!("linear_back {name}"), flops, || {
            let dx = mat_mut(&mut dx, 0, inner);
            self.cpu.linear_back(t, mat(&y, 0, out), &[part()], dx, Write::Set).expect("linear");
        });
    }

    fn adapter(&self) {
        let one = |name: &str, g: Gemm| {
            let stored = |op: Op, rows: usize, cols: usize| if op == Op::N { cols } else { rows };
            let (lda, ldb) = (stored(g.a, g.m, g.k), stored(g.b, g.k, g.n));
            let (a, b, mut d) = (self.buf(g.m * g.k), self.buf(g.k * g.n), self.buf(g.m * g.n));
            let what = format!("{name} {}x{}x{}", g.m, g.n, g.k);
            self.line(&what, (2 * g.m * g.n * g.k) as f64, || {
                self.cpu.gemm(g, mat(&a, 0, lda), mat(&b, 0, ldb), mat_mut(&mut d, 0, g.n)).expect("gemm");
            });
        };
        let g = |m, n, k, a, b, write| Gemm { m, n, k, a, b, alpha: 1.0, write };
        for r in RANKS {
            one("xa = x At", g(T, r, H, Op::N, Op::T, Write::Set));
            one("y += xa Bt", g(T, F, r, Op::N, Op::T, Write::Add));
            one("dxa = dy B", g(T, r, F, Op::N, Op::N, Write::Set));
            one("dB += dyt xa", g(F, r, T, Op::T, Op::N, Write::Add));
            one("dA += dxat x", g(r, H, T, Op::T, Op::N, Write::Add));
            one("dx += dxa A", g(T, H, r, Op::N, Op::N, Write::Add));
        }
    }

    fn attention(&self) {
        let a = Attention {
            q_heads: 9,
            kv_heads: 3,
            head_dim: 64,
            scale: 0.125,
            window: None,
            softcap: None,
            layout: QkvLayout { ld: 960, q: 0, k: 576, v: 768 },
        };
        let qkv = self.buf(T * 960);
        let (mut out, mut lse, mut dqkv) = (self.buf(T * H), self.buf(T * 9), self.buf(T * 960));
        for (sequences, len) in [(16, T / 16), (4, T / 4), (1, SHORT), (1, T)] {
            let cu: Vec<usize> = (0..=sequences).map(|i| i * len).collect();
            let flops = (sequences * len * (len + 1) / 2 * 9 * 64 * 4) as f64;
            self.line(&format!("attention {sequences} of {len}"), flops, || {
                self.cpu.attention(&a, &cu, &qkv, &mut out, &mut lse).expect("attention");
            });
            let dout = self.buf(T * H);
            self.line(&format!("attention_back {sequences} of {len}"), 2.5 * flops, || {
                self.cpu.attention_back(&a, &cu, &qkv, &out, &lse, &dout, &mut dqkv).expect("attention");
            });
        }
    }

    fn rows(&self) {
        let cpu = &self.cpu;
        let s = NormShape { rows: T, groups: 1, dim: H };
        let n = Norm { eps: 1e-5, offset: 0.0 };
        let (x, w, mut y, mut rstd) = (self.buf(T * H), self.buf(H), self.buf(T * H), self.buf(T));
        self.memory_line("rmsnorm", 2 * T * H, || {
            cpu.rmsnorm(s, n, mat(&x, 0, H), &w, mat_mut(&mut y, 0, H), &mut rstd).expect("norm");
        });
        let dy = self.buf(T * H);
        self.memory_line("rmsnorm_back", 3 * T * H, || {
            let dx = mat_mut(&mut y, 0, H);
            cpu.rmsnorm_back(s, n, mat(&dy, 0, H), mat(&x, 0, H), &w, &rstd, dx, Write::Set, None).expect("norm");
        });
        let (mut gu, mut h, dh) = (self.buf(T * 2 * F), self.buf(T * F), self.buf(T * F));
        for act in [Activation::Silu, Activation::GeluTanh] {
            self.memory_line(&format!("glu {act:?}"), 3 * T * F, || {
                cpu.glu(T, F, act, &gu, &mut h).expect("glu");
            });
            self.memory_line(&format!("glu_back {act:?}"), 6 * T * F, || {
                cpu.glu_back(T, F, act, &dh, &mut gu, &mut h).expect("glu");
            });
        }
        let mut logits = self.buf(HEAD_ROWS * V);
        let (mut loss, mut ids) = (self.buf(HEAD_ROWS), cpu.alloc_idx(HEAD_ROWS).expect("memory"));
        cpu.upload_idx(&mut ids, &vec![5; HEAD_ROWS]).expect("upload");
        for softcap in [None, Some(30.0)] {
            self.memory_line(&format!("cross_entropy_back cap {softcap:?}"), 2 * HEAD_ROWS * V, || {
                cpu.cross_entropy_back(HEAD_ROWS, V, softcap, &ids, 0, 1.0, &mut logits, &mut loss).expect("loss");
            });
        }
        let mut dropped = self.buf(T * H);
        self.memory_line("dropout", 2 * T * H, || {
            let y = mat_mut(&mut dropped, 0, H);
            cpu.dropout(T, H, 0.1, 7, mat(&x, 0, H), y, Write::Set).expect("dropout");
        });
        let (cos, sin, mut pos) = (self.buf(T * 32), self.buf(T * 32), cpu.alloc_idx(T).expect("memory"));
        cpu.upload_idx(&mut pos, &(0..T as i32).collect::<Vec<_>>()).expect("upload");
        self.memory_line("rope 12 heads", 2 * T * 12 * 64, || {
            let x = mat_mut(&mut gu, 0, 960);
            cpu.rope(T, 12, 64, 32, &pos, &cos, &sin, x).expect("rope");
        });
        black_box(values(cpu, &loss));
    }

    /// Of as many elements as some layers have.
    fn updates(&self) {
        let (cpu, len) = (&self.cpu, 8 * F * H);
        let a = AdamW { lr: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, t: 10, grad_scale: 1.0 };
        let (mut p, g) = (self.buf(len), self.buf(len));
        let zeros = |len| cpu.alloc(len).expect("memory");
        let (mut m, mut v) = (zeros(len), zeros(len));
        self.memory_line("adamw", 7 * len, || cpu.adamw(len, &a, &mut p, &g, &mut m, &mut v).expect("update"));
        let codes = || EightBit { codes: cpu.alloc_bytes(len).expect("memory"), absmax: zeros(len.div_ceil(BLOCK)) };
        let (mut m, mut v) = (codes(), codes());
        self.memory_line("adamw_8bit", 4 * len, || {
            cpu.adamw_8bit(len, &a, &mut p, &g, &mut m, &mut v).expect("update")
        });
        black_box(values(cpu, &p));
    }
}

fn values(cpu: &Cpu, b: &Buf) -> Vec<f32> {
    let mut out = vec![0.0; cpu.len(b)];
    cpu.download(b, 0, &mut out).expect("download");
    out
}

/// Fused multiply-adds in registers alone: no product can be faster.
mod peak {
    use kernels::Precision;
    use kernels::cpu::Level;
    use std::time::Instant;

    const STEPS: usize = 16_000_000;
    const TILE_STEPS: usize = STEPS / 8;

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn avx512() -> f64 {
        use std::arch::x86_64::*;
        let (a, b) = (_mm512_set1_ps(1.000_1), _mm512_set1_ps(1e-9));
        let mut acc = [_mm512_setzero_ps(); 24];
        for _ in 0..STEPS {
            acc.iter_mut().for_each(|x| *x = _mm512_fmadd_ps(a, b, *x));
            // SAFETY: no instruction; it keeps the compiler from merging the steps.
            unsafe { std::arch::asm!("", options(nomem, nostack)) };
        }
        std::hint::black_box(acc);
        (24 * 32 * STEPS) as f64
    }

    /// Tiles of 16 rows of 64 bytes; only where [`Level`] has them.
    #[cfg(target_arch = "x86_64")]
    fn amx_bf16() -> f64 {
        #[repr(align(64))]
        struct Shapes([u8; 64]);
        let mut shapes = Shapes([0; 64]);
        shapes.0[0] = 1;
        for tile in 0..8 {
            shapes.0[16 + 2 * tile] = 64;
            shapes.0[48 + tile] = 16;
        }
        // SAFETY: the caller's promise; the tiles are set before, and given back after.
        unsafe {
            std::arch::asm!(
                "ldtilecfg [{shapes}]",
                "2:",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "dec {steps}",
                "jnz 2b",
                "tilerelease",
                shapes = in(reg) &shapes,
                steps = inout(reg) TILE_STEPS => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly),
            );
        }
        (4 * 16 * 16 * 64 * TILE_STEPS) as f64
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn avx512_bf16() -> f64 {
        use std::arch::x86_64::*;
        let one = _mm512_set1_ps(1.0);
        let (a, b) = (_mm512_cvtne2ps_pbh(one, one), _mm512_cvtne2ps_pbh(one, one));
        let mut acc = [_mm512_setzero_ps(); 24];
        for _ in 0..STEPS {
            acc.iter_mut().for_each(|x| *x = _mm512_dpbf16_ps(*x, a, b));
            // SAFETY: as above.
            unsafe { std::arch::asm!("", options(nomem, nostack)) };
        }
        std::hint::black_box(acc);
        (24 * 64 * STEPS) as f64
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2() -> f64 {
        use std::arch::x86_64::*;
        let (a, b) = (_mm256_set1_ps(1.000_1), _mm256_set1_ps(1e-9));
        let mut acc = [_mm256_setzero_ps(); 12];
        for _ in 0..STEPS {
            acc.iter_mut().for_each(|x| *x = _mm256_fmadd_ps(a, b, *x));
            // SAFETY: as above.
            unsafe { std::arch::asm!("", options(nomem, nostack)) };
        }
        std::hint::black_box(acc);
        (12 * 16 * STEPS) as f64
    }

    fn portable() -> f64 {
        let mut acc = [[0.0f32; 4]; 24];
        for _ in 0..STEPS {
            for x in acc.iter_mut().flatten() {
                *x = 1.000_1 * *x + 1e-9;
            }
            acc = std::hint::black_box(acc);
        }
        (24 * 8 * STEPS) as f64
    }

    /// Of as many cores at once, the best of five.
    pub fn gflops(precision: Precision, threads: usize) -> f64 {
        let one = || {
            let start = Instant::now();
            let before = super::thread_seconds(start);
            let flops = once(precision);
            flops / (super::thread_seconds(start) - before) / 1e9
        };
        let together = || {
            std::thread::scope(|s| {
                let all: Vec<_> = (0..threads).map(|_| s.spawn(one)).collect();
                all.into_iter().map(|t| t.join().expect("no panic")).sum()
            })
        };
        (0..5).map(|_| together()).fold(0.0, f64::max)
    }

    fn once(precision: Precision) -> f64 {
        #[cfg(target_arch = "x86_64")]
        {
            if precision == Precision::Bf16 && Level::best().name() == "amx_bf16" {
                return amx_bf16();
            }
            if precision == Precision::Bf16 && is_x86_feature_detected!("avx512bf16") {
                // SAFETY: just detected.
                return unsafe { avx512_bf16() };
            }
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: just detected.
                return unsafe { avx512() };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: just detected.
                return unsafe { avx2() };
            }
        }
        portable()
    }
}
