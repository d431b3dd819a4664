use crate::support::{Random, buf, check, everywhere, gradient, idx, values, wide};
use kernels::{Backend, Cpu};

fn loss(x: &[f64], cap: Option<f32>, target: usize) -> f64 {
    let z: Vec<f64> = x.iter().map(|x| cap.map_or(*x, |c| f64::from(c) * (x / f64::from(c)).tanh())).collect();
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln() - z[target]
}

#[test]
fn cross_entropy_and_its_derivative() {
    let mut rng = Random::new(1);
    for (rows, vocab, cap) in [
        (1, 1, None),
        (3, 512, None),
        (7, 33, None),
        (2, 528, Some(3.0)),
        (5, 17, Some(30.0)),
        (40, 3001, None),
        (0, 5, None),
    ] {
        let first = 2;
        let logits: Vec<f32> = rng.values(rows * vocab).iter().map(|v| v * 8.0).collect();
        let mut targets: Vec<i32> = (0..rows + first).map(|i| ((i * 31) % vocab) as i32).collect();
        if rows > 2 {
            targets[first + 1] = -1;
        }
        let mut want = vec![0.5; rows + first];
        let mut grad = vec![0.0; rows * vocab];
        for r in 0..rows {
            let x = wide(&logits[r * vocab..(r + 1) * vocab]);
            want[first + r] = 0.0;
            if let Ok(target) = usize::try_from(targets[first + r]) {
                want[first + r] = loss(&x, cap, target);
                let g = gradient(&x, |x| 0.25 * loss(x, cap, target));
                grad[r * vocab..(r + 1) * vocab].copy_from_slice(&g);
            }
        }
        let run = |cpu: &Cpu, back: bool| {
            let (mut l, mut out) = (buf(cpu, &logits), buf(cpu, &vec![0.5; rows + first]));
            let targets = idx(cpu, &targets);
            match back {
                false => cpu.cross_entropy(rows, vocab, cap, &targets, first, &l, &mut out).unwrap(),
                true => cpu.cross_entropy_back(rows, vocab, cap, &targets, first, 0.25, &mut l, &mut out).unwrap(),
            }
            (values(cpu, &l), values(cpu, &out))
        };
        check("cross_entropy", 5e-7, &want, |cpu| run(cpu, false).1);
        check("cross_entropy leaves the logits", 0.0, &wide(&logits), |cpu| run(cpu, false).0);
        check("cross_entropy_back's loss", 5e-7, &want, |cpu| run(cpu, true).1);
        check("cross_entropy_back", 1e-6, &grad, |cpu| run(cpu, true).0);
    }
}

#[test]
fn a_nan_logit_is_a_nan_loss() {
    for (level, loss) in everywhere(|cpu| {
        let mut logits = vec![0.5; 300];
        logits[77] = f32::NAN;
        let mut loss = cpu.alloc(1).unwrap();
        cpu.cross_entropy(1, 300, None, &idx(cpu, &[3]), 0, &buf(cpu, &logits), &mut loss).unwrap();
        vec![if values(cpu, &loss)[0].is_nan() { 1.0 } else { 0.0 }]
    }) {
        assert_eq!(loss, [1.0], "{}", level.name());
    }
}
