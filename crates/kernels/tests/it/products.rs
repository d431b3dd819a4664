use crate::support::{Random, buf, check, everywhere, values};
use half::{bf16, f16};
use kernels::{Backend, Gemm, Op, Values, Write, mat, mat_mut};

/// A matrix inside a larger buffer: what lies around it must neither count nor change.
struct Placed {
    data: Vec<f32>,
    off: usize,
    ld: usize,
}

impl Placed {
    fn new(rng: &mut Random, rows: usize, cols: usize) -> Placed {
        let (off, ld) = (3, cols + 5);
        Placed { data: rng.values(off + rows * ld), off, ld }
    }
    fn at(&self, r: usize, c: usize) -> f64 {
        f64::from(self.data[self.off + r * self.ld + c])
    }
}

fn op(m: &Placed, op: Op, r: usize, c: usize) -> f64 {
    match op {
        Op::N => m.at(r, c),
        Op::T => m.at(c, r),
    }
}

#[track_caller]
fn check_gemm(g: Gemm) {
    let mut rng = Random::new((g.m * 1_000_000 + g.n * 1000 + g.k) as u64);
    let stored = |op, r, c| if op == Op::N { (r, c) } else { (c, r) };
    let (ar, ac) = stored(g.a, g.m, g.k);
    let (br, bc) = stored(g.b, g.k, g.n);
    let a = Placed::new(&mut rng, ar, ac);
    let b = Placed::new(&mut rng, br, bc);
    let d = Placed::new(&mut rng, g.m, g.n);
    let mut want: Vec<f64> = d.data.iter().map(|v| f64::from(*v)).collect();
    for i in 0..g.m {
        for j in 0..g.n {
            let sum: f64 = (0..g.k).map(|l| op(&a, g.a, i, l) * op(&b, g.b, l, j)).sum();
            let at = &mut want[d.off + i * d.ld + j];
            let before = if g.write == Write::Add { *at } else { 0.0 };
            *at = before + f64::from(g.alpha) * sum;
        }
    }
    check(&format!("{g:?}"), 2e-6, &want, |cpu| {
        let mut out = buf(cpu, &d.data);
        cpu.gemm(
            g,
            mat(&buf(cpu, &a.data), a.off, a.ld),
            mat(&buf(cpu, &b.data), b.off, b.ld),
            mat_mut(&mut out, d.off, d.ld),
        )
        .unwrap();
        values(cpu, &out)
    });
}

#[test]
fn products_of_every_form_and_odd_size() {
    let shapes = [
        (1, 1, 1),
        (1, 1, 0),
        (2, 3, 4),
        (1, 33, 7),
        (5, 1, 9),
        (14, 32, 16),
        (15, 33, 17),
        (6, 16, 8),
        (7, 17, 31),
        (13, 31, 257),
        (28, 64, 300),
        (29, 65, 1),
        (33, 8, 64),
        (64, 2, 172),
        (65, 3, 172),
        (40, 4, 528),
        (31, 6, 65),
        (8, 172, 70),
        (2, 300, 41),
        (16, 50, 37),
        (17, 40, 33),
        (172, 64, 64),
        (100, 12, 515),
        (12, 100, 515),
        (48, 48, 520),
        (200, 16, 100),
        (3, 5, 1000),
    ];
    for (m, n, k) in shapes {
        for a in [Op::N, Op::T] {
            for b in [Op::N, Op::T] {
                let (alpha, write) = if (m + n) % 2 == 0 { (1.0, Write::Set) } else { (0.5, Write::Add) };
                check_gemm(Gemm { m, n, k, a, b, alpha, write });
                check_gemm(Gemm { m, n, k, a, b, alpha: -2.0, write: Write::Add });
            }
        }
    }
}

#[test]
fn products_large_enough_for_several_blocks_and_threads() {
    for (m, n, k) in [(400, 300, 530), (700, 8, 576), (8, 700, 576), (350, 700, 8)] {
        for (a, b) in [(Op::N, Op::T), (Op::N, Op::N), (Op::T, Op::N), (Op::T, Op::T)] {
            check_gemm(Gemm { m, n, k, a, b, alpha: 1.0, write: Write::Set });
        }
    }
}

#[test]
fn a_product_of_nothing() {
    check_gemm(Gemm { m: 0, n: 4, k: 3, a: Op::N, b: Op::T, alpha: 1.0, write: Write::Set });
    check_gemm(Gemm { m: 4, n: 0, k: 3, a: Op::N, b: Op::N, alpha: 1.0, write: Write::Set });
    check_gemm(Gemm { m: 4, n: 3, k: 0, a: Op::T, b: Op::N, alpha: 1.0, write: Write::Add });
}

/// y = xWᵀ and dx = dyW for every storage of W, whose values are first rounded to what it can hold.
#[test]
fn a_frozen_weight_multiplies_as_its_values_say() {
    let mut rng = Random::new(9);
    for (t, rows, cols) in [(1, 5, 7), (3, 172, 64), (50, 64, 172), (20, 528, 33), (130, 300, 270)] {
        let exact = rng.values(rows * cols);
        let f16s: Vec<f16> = exact.iter().map(|v| f16::from_f32(*v)).collect();
        let bf16s: Vec<bf16> = exact.iter().map(|v| bf16::from_f32(*v)).collect();
        let (x, dy) = (rng.values(t * (cols + 1)), rng.values(t * rows));
        let (y0, dx0) = (rng.values(t * rows), rng.values(t * cols));
        for source in [Values::F32(&exact), Values::F16(&f16s), Values::Bf16(&bf16s)] {
            let w: Vec<f64> = match source {
                Values::F32(v) => v.iter().map(|v| f64::from(*v)).collect(),
                Values::F16(v) => v.iter().map(|v| f64::from(*v)).collect(),
                Values::Bf16(v) => v.iter().map(|v| f64::from(*v)).collect(),
            };
            for write in [Write::Set, Write::Add] {
                let before = |v: f32| if write == Write::Add { f64::from(v) } else { 0.0 };
                let mut y: Vec<f64> = y0.iter().map(|v| before(*v)).collect();
                let mut dx: Vec<f64> = dx0.iter().map(|v| before(*v)).collect();
                for i in 0..t {
                    for o in 0..rows {
                        for c in 0..cols {
                            y[i * rows + o] += f64::from(x[i * (cols + 1) + c]) * w[o * cols + c];
                            dx[i * cols + c] += f64::from(dy[i * rows + o]) * w[o * cols + c];
                        }
                    }
                }
                check("linear", 2e-6, &y, |cpu| {
                    let w = cpu.weight(rows, cols, source).unwrap();
                    let mut y = buf(cpu, &y0);
                    let x = buf(cpu, &x);
                    cpu.linear(t, mat(&x, 0, cols + 1), &w, mat_mut(&mut y, 0, rows), write).unwrap();
                    values(cpu, &y)
                });
                check("linear_back", 2e-6, &dx, |cpu| {
                    let w = cpu.weight(rows, cols, source).unwrap();
                    let mut dx = buf(cpu, &dx0);
                    let dy = buf(cpu, &dy);
                    cpu.linear_back(t, mat(&dy, 0, rows), &w, mat_mut(&mut dx, 0, cols), write).unwrap();
                    values(cpu, &dx)
                });
            }
            for (_, got) in everywhere(|cpu| {
                let weight = cpu.weight(rows, cols, source).unwrap();
                assert!(cpu.weight_bytes(&weight) <= rows * cols * 4);
                cpu.weight_values(&weight).unwrap()
            }) {
                assert_eq!(crate::support::wide(&got), w);
            }
        }
    }
}

/// A row's product does not depend on the rows it is computed with.
#[test]
fn a_row_is_the_same_alone_and_in_a_batch() {
    let mut rng = Random::new(11);
    for (t, rows, cols) in [(40, 70, 300), (40, 8, 300), (40, 300, 8), (40, 24, 600)] {
        let (x, w) = (rng.values(t * cols), rng.values(rows * cols));
        let product = |cpu: &kernels::Cpu, first: usize, t: usize| {
            let (x, w) = (buf(cpu, &x), buf(cpu, &w));
            let mut y = cpu.alloc(t * rows).unwrap();
            let g = Gemm { m: t, n: rows, k: cols, a: Op::N, b: Op::T, alpha: 1.0, write: Write::Set };
            cpu.gemm(g, mat(&x, first * cols, cols), mat(&w, 0, cols), mat_mut(&mut y, 0, rows)).unwrap();
            values(cpu, &y)
        };
        let whole = everywhere(|cpu| product(cpu, 0, t));
        for (first, len) in [(0, 1), (7, 1), (5, 13), (39, 1), (10, 30)] {
            let part = everywhere(|cpu| product(cpu, first, len));
            for ((level, whole), (_, part)) in whole.iter().zip(&part) {
                assert_eq!(&whole[first * rows..(first + len) * rows], part, "{} n {rows}", level.name());
            }
        }
    }
}
