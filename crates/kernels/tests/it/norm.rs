use crate::support::{Random, buf, check, dot, gradient, idx, values, wide};
use kernels::{Activation, Backend, Norm, NormShape, Write, mat, mat_mut};

fn norm(s: NormShape, n: Norm, x: &[f64], w: &[f64]) -> Vec<f64> {
    x.chunks(s.dim)
        .flat_map(|v| {
            let mean = v.iter().map(|v| v * v).sum::<f64>() / s.dim as f64;
            let rstd = 1.0 / (mean + f64::from(n.eps)).sqrt();
            v.iter().zip(w).map(move |(x, w)| x * rstd * (w + f64::from(n.offset))).collect::<Vec<_>>()
        })
        .collect()
}

/// Rows of `cols` spread to a stride of `ld` after an offset of 2.
fn spread(dense: &[f32], cols: usize, ld: usize) -> Vec<f32> {
    let mut out = vec![7.5; 2 + dense.len() / cols * ld];
    for (r, row) in dense.chunks(cols).enumerate() {
        out[2 + r * ld..][..cols].copy_from_slice(row);
    }
    out
}

fn gathered(spread: &[f32], cols: usize, ld: usize) -> Vec<f32> {
    spread[2..].chunks(ld).flat_map(|r| r[..cols].to_vec()).collect()
}

#[test]
fn rmsnorm_and_its_derivatives() {
    let mut rng = Random::new(1);
    for (rows, groups, dim) in [(1, 1, 2), (3, 1, 64), (5, 4, 8), (2, 3, 17), (70, 2, 33), (0, 1, 8)] {
        for offset in [0.0, 1.0] {
            let s = NormShape { rows, groups, dim };
            let n = Norm { eps: 1e-5, offset };
            let cols = groups * dim;
            let ld = cols + 3;
            let (x, w, dy) = (rng.values(rows * cols), rng.values(dim), rng.values(rows * cols));
            let (dx0, dw0) = (rng.values(rows * cols), rng.values(dim));
            check("rmsnorm", 1e-6, &norm(s, n, &wide(&x), &wide(&w)), |cpu| {
                let x = buf(cpu, &spread(&x, cols, ld));
                let mut y = buf(cpu, &vec![0.0; 2 + rows * ld]);
                let mut rstd = cpu.alloc(rows * groups).unwrap();
                cpu.rmsnorm(s, n, mat(&x, 2, ld), &buf(cpu, &w), mat_mut(&mut y, 2, ld), &mut rstd).unwrap();
                gathered(&values(cpu, &y), cols, ld)
            });
            let sum: Vec<f64> = x.iter().zip(&dx0).map(|(a, b)| f64::from(a + b)).collect();
            check("add_rmsnorm", 1e-6, &[sum.clone(), norm(s, n, &sum, &wide(&w))].concat(), |cpu| {
                let x = buf(cpu, &spread(&x, cols, ld));
                let (mut sum, mut y) = (buf(cpu, &spread(&dx0, cols, ld)), buf(cpu, &vec![0.0; 2 + rows * ld]));
                let (mut rstd, w) = (cpu.alloc(rows * groups).unwrap(), buf(cpu, &w));
                let (summed, normed) = (mat_mut(&mut sum, 2, ld), mat_mut(&mut y, 2, ld));
                cpu.add_rmsnorm(s, n, mat(&x, 2, ld), summed, &w, normed, &mut rstd).unwrap();
                [sum, y].map(|b| gathered(&values(cpu, &b), cols, ld)).concat()
            });
            let loss = |x: &[f64], w: &[f64]| dot(&norm(s, n, x, w), &wide(&dy));
            let dx = gradient(&wide(&x), |x| loss(x, &wide(&w)));
            let dw = gradient(&wide(&w), |w| loss(&wide(&x), w));
            let back = |cpu: &kernels::Cpu, write: Write| {
                let xb = buf(cpu, &spread(&x, cols, ld));
                let (wb, dyb) = (buf(cpu, &w), buf(cpu, &spread(&dy, cols, ld)));
                let mut y = buf(cpu, &vec![0.0; 2 + rows * ld]);
                let mut rstd = cpu.alloc(rows * groups).unwrap();
                cpu.rmsnorm(s, n, mat(&xb, 2, ld), &wb, mat_mut(&mut y, 2, ld), &mut rstd).unwrap();
                let mut dx = buf(cpu, &spread(&dx0, cols, ld));
                let mut dw = buf(cpu, &dw0);
                let dxm = mat_mut(&mut dx, 2, ld);
                cpu.rmsnorm_back(s, n, mat(&dyb, 2, ld), mat(&xb, 2, ld), &wb, &rstd, dxm, write, Some(&mut dw))
                    .unwrap();
                (gathered(&values(cpu, &dx), cols, ld), values(cpu, &dw))
            };
            check("rmsnorm_back dx", 3e-6, &dx, |cpu| back(cpu, Write::Set).0);
            let added: Vec<f64> = dx.iter().zip(&dx0).map(|(a, b)| a + f64::from(*b)).collect();
            check("rmsnorm_back dx added", 3e-6, &added, |cpu| back(cpu, Write::Add).0);
            let dw: Vec<f64> = dw.iter().zip(&dw0).map(|(a, b)| a + f64::from(*b)).collect();
            check("rmsnorm_back dw", 3e-6, &dw, |cpu| back(cpu, Write::Set).1);
        }
    }
}

struct Rope {
    t: usize,
    heads: usize,
    dim: usize,
    half: usize,
    pos: Vec<i32>,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

fn rope(r: &Rope, x: &[f64]) -> Vec<f64> {
    let mut y = x.to_vec();
    for t in 0..r.t {
        for h in 0..r.heads {
            for j in 0..r.half {
                let at = (t * r.heads + h) * r.dim;
                let angle = r.pos[t] as usize * r.half + j;
                let (c, s) = (f64::from(r.cos[angle]), f64::from(r.sin[angle]));
                let (a, b) = (x[at + j], x[at + j + r.half]);
                y[at + j] = a * c - b * s;
                y[at + j + r.half] = b * c + a * s;
            }
        }
    }
    y
}

#[test]
fn rope_and_its_inverse() {
    let mut rng = Random::new(2);
    for (t, heads, dim, half) in
        [(1, 1, 2, 1), (5, 3, 8, 4), (7, 2, 32, 12), (90, 4, 64, 32), (3, 2, 8, 0), (0, 1, 4, 2)]
    {
        let positions = 11;
        let r = Rope {
            t,
            heads,
            dim,
            half,
            pos: (0..t).map(|i| ((i * 7) % positions) as i32).collect(),
            cos: rng.values(positions * half),
            sin: rng.values(positions * half),
        };
        let cols = heads * dim;
        let ld = cols + 3;
        let (x, dy) = (rng.values(t * cols), rng.values(t * cols));
        let run = |cpu: &kernels::Cpu, v: &[f32], back: bool| {
            let mut v = buf(cpu, &spread(v, cols, ld));
            let (pos, cos, sin) = (idx(cpu, &r.pos), buf(cpu, &r.cos), buf(cpu, &r.sin));
            let at = mat_mut(&mut v, 2, ld);
            match back {
                false => cpu.rope(t, heads, dim, half, &pos, &cos, &sin, at).unwrap(),
                true => cpu.rope_back(t, heads, dim, half, &pos, &cos, &sin, at).unwrap(),
            }
            gathered(&values(cpu, &v), cols, ld)
        };
        check("rope", 3e-7, &rope(&r, &wide(&x)), |cpu| run(cpu, &x, false));
        let dx = gradient(&wide(&x), |x| dot(&rope(&r, x), &wide(&dy)));
        check("rope_back", 1e-6, &dx, |cpu| run(cpu, &dy, true));
    }
}

fn act(a: Activation, x: f64) -> f64 {
    match a {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + u.tanh())
        }
    }
}

fn glu(a: Activation, f: usize, gu: &[f64]) -> Vec<f64> {
    gu.chunks(2 * f).flat_map(|r| (0..f).map(|j| act(a, r[j]) * r[f + j]).collect::<Vec<_>>()).collect()
}

#[test]
fn gated_activations_and_their_derivatives() {
    let mut rng = Random::new(3);
    for (t, f) in [(1, 9), (3, 172), (40, 65), (200, 128), (0, 3)] {
        for a in [Activation::Silu, Activation::GeluTanh] {
            let gu: Vec<f32> = rng.values(t * 2 * f).iter().map(|v| v * 6.0).collect();
            let dh = rng.values(t * f);
            let h = glu(a, f, &wide(&gu));
            check("glu", 1e-6, &h, |cpu| {
                let mut h = cpu.alloc(t * f).unwrap();
                cpu.glu(t, f, a, &buf(cpu, &gu), &mut h).unwrap();
                values(cpu, &h)
            });
            let back = |cpu: &kernels::Cpu| {
                let (mut g, mut h) = (buf(cpu, &gu), cpu.alloc(t * f).unwrap());
                cpu.glu_back(t, f, a, &buf(cpu, &dh), &mut g, &mut h).unwrap();
                (values(cpu, &g), values(cpu, &h))
            };
            // every h depends on its own two inputs only: differences of each alone
            let mut dgu = vec![0.0; t * 2 * f];
            for (r, row) in gu.chunks(2 * f).enumerate() {
                for j in 0..f {
                    let pair = [f64::from(row[j]), f64::from(row[f + j])];
                    let d = gradient(&pair, |p| f64::from(dh[r * f + j]) * act(a, p[0]) * p[1]);
                    dgu[r * 2 * f + j] = d[0];
                    dgu[r * 2 * f + f + j] = d[1];
                }
            }
            check("glu_back", 1e-6, &dgu, |cpu| back(cpu).0);
            check("glu_back h", 1e-6, &h, |cpu| back(cpu).1);
        }
    }
}

#[test]
fn activations_keep_their_ends_and_let_nan_through() {
    for a in [Activation::Silu, Activation::GeluTanh] {
        for (_, got) in crate::support::everywhere(|cpu| {
            let gu = [-1e4, 1e4, -100.0, f32::NAN, 1.0, 1.0, 1.0, 1.0];
            let mut h = cpu.alloc(4).unwrap();
            cpu.glu(1, 4, a, &buf(cpu, &gu), &mut h).unwrap();
            values(cpu, &h).iter().map(|v| if v.is_nan() { 77.0 } else { *v }).collect()
        }) {
            assert!(got[0].abs() < 1e-30 && got[1] == 1e4 && got[2].abs() < 1e-30 && got[3] == 77.0, "{got:?}");
        }
    }
}
