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

#[test]
fn what_is_anchored_is_pulled_back() {
    for (rows, cols) in [(1, 1), (1, 70_001), (301, 333), (5, 0)] {
        let mut rng = Random::new(6);
        let (u, v): (Vec<f32>, Vec<f32>) = (rng.values(rows), rng.values(cols));
        let [p, anchor, g] = [0, 1, 2].map(|_| rng.values(rows * cols));
        let (mut want, mut value) = (wide(&g), 0.0);
        for i in 0..rows * cols {
            let (importance, moved) = (u[i / cols] * v[i % cols], f64::from(p[i]) - f64::from(anchor[i]));
            want[i] += 0.25 * f64::from(importance) * moved;
            value += f64::from(importance) * moved * moved;
        }
        for (level, mut got) in everywhere(|cpu| {
            let [u, v, p, anchor] = [&u, &v, &p, &anchor].map(|x| buf(cpu, x));
            let mut g = buf(cpu, &g);
            let value = cpu.pull((rows, cols), 0.25, (&u, &v), &anchor, &p, &mut g).unwrap();
            // With the gradients, to the last bit of what f32 holds.
            [values(cpu, &g), vec![value as f32]].concat()
        }) {
            let said = got.pop().unwrap_or_default();
            assert!(
                (f64::from(said) - value).abs() < 1e-5 * value.abs().max(1.0),
                "{}: {said} for {value}",
                level.name()
            );
            for (got, want) in got.iter().zip(&want) {
                assert!((f64::from(*got) - want).abs() < 3e-7, "{}: {got} for {want}", level.name());
            }
        }
    }
}
