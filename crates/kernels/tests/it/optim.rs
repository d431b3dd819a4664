use crate::support::{Random, buf, everywhere, values, wide};
use kernels::{AdamW, Backend, Cpu, Precision};

/// torch.optim.AdamW's formula in f64, three updates.
#[test]
fn adamw_is_torchs() {
    let n = 40_001;
    let mut rng = Random::new(1);
    let (p0, grads) = (rng.values(n), [rng.values(n), rng.values(n), rng.values(n)]);
    let a = |t| AdamW { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, t, grad_scale: 0.5 };
    let mut want = wide(&p0);
    let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
    for (t, g) in grads.iter().enumerate() {
        let t = t as i32 + 1;
        for i in 0..n {
            let g = f64::from(g[i]) * 0.5;
            want[i] *= 1.0 - 1e-3 * 0.01;
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.999 * v[i] + 0.001 * g * g;
            let denominator = v[i].sqrt() / (1.0f64 - 0.999f64.powi(t)).sqrt() + 1e-8;
            want[i] -= 1e-3 / (1.0 - 0.9f64.powi(t)) * m[i] / denominator;
        }
    }
    for (level, got) in everywhere(|cpu| {
        let (mut p, mut m, mut v) = (buf(cpu, &p0), cpu.alloc(n).unwrap(), cpu.alloc(n).unwrap());
        for (t, g) in grads.iter().enumerate() {
            cpu.adamw(n, &a(t as u32 + 1), &mut p, &buf(cpu, g), &mut m, &mut v).unwrap();
        }
        values(cpu, &p)
    }) {
        for (got, want) in got.iter().zip(&want) {
            assert!((f64::from(*got) - want).abs() < 3e-7, "{}: {got} for {want}", level.name());
        }
    }
}

#[test]
fn squares_add_up_in_one_order() {
    for n in [0, 1, 7, 1000, 100_003] {
        let x = Random::new(n as u64).values(n);
        let want: f64 = x.iter().map(|v| f64::from(*v).powi(2)).sum();
        let sums: Vec<u64> = kernels::cpu::Level::all()
            .into_iter()
            .flat_map(|level| [1, 2, 3].map(|threads| Cpu::with_level(Some(threads), Precision::F32, level).unwrap()))
            .map(|cpu| cpu.sum_squares(n, &buf(&cpu, &x)).unwrap().to_bits())
            .collect();
        assert!((f64::from_bits(sums[0]) - want).abs() <= 1e-12 * want);
        assert!(sums.iter().all(|s| *s == sums[0]), "{n}");
    }
}
