use crate::support::{Random, as_multiplied, buf, check, close, everywhere, everywhere_in, values};
use half::{bf16, f16};
use kernels::cpu::Level;
use kernels::{Backend, Cpu, Form, Gemm, LowRank, Nf4, Op, Part, Precision, Values, Write, mat, mat_mut};

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
    fn at(&self, r: usize, c: usize) -> f32 {
        self.data[self.off + r * self.ld + c]
    }
}

fn op(m: &Placed, op: Op, r: usize, c: usize) -> f32 {
    match op {
        Op::N => m.at(r, c),
        Op::T => m.at(c, r),
    }
}

/// Checks a product at every level, in f32 and in bf16, against sums in f64.
#[track_caller]
fn check_gemm(g: Gemm) {
    let mut rng = Random::new((g.m * 1_000_000 + g.n * 1000 + g.k) as u64);
    let stored = |op, r, c| if op == Op::N { (r, c) } else { (c, r) };
    let (ar, ac) = stored(g.a, g.m, g.k);
    let (br, bc) = stored(g.b, g.k, g.n);
    let a = Placed::new(&mut rng, ar, ac);
    let b = Placed::new(&mut rng, br, bc);
    let d = Placed::new(&mut rng, g.m, g.n);
    let want = |value: &dyn Fn(f32) -> f64| {
        let mut want: Vec<f64> = d.data.iter().map(|v| f64::from(*v)).collect();
        for i in 0..g.m {
            for j in 0..g.n {
                let sum: f64 = (0..g.k).map(|l| value(op(&a, g.a, i, l)) * value(op(&b, g.b, l, j))).sum();
                let at = &mut want[d.off + i * d.ld + j];
                let before = if g.write == Write::Add { *at } else { 0.0 };
                *at = before + f64::from(g.alpha) * sum;
            }
        }
        want
    };
    let product = |cpu: &Cpu| {
        let mut out = buf(cpu, &d.data);
        cpu.gemm(
            g,
            mat(&buf(cpu, &a.data), a.off, a.ld),
            mat(&buf(cpu, &b.data), b.off, b.ld),
            mat_mut(&mut out, d.off, d.ld),
        )
        .unwrap();
        values(cpu, &out)
    };
    check(&format!("{g:?}"), 2e-6, &want(&f64::from), product);
    for (level, got) in everywhere_in(Precision::Bf16, product) {
        // thin products stay in f32 at any precision
        let close_to = |want: &[f64]| {
            let peak = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            want.iter().zip(&got).all(|(w, g)| (w - f64::from(*g)).abs() <= 4e-6 * peak)
        };
        let (exact, rounded) = (want(&f64::from), want(&|v| as_multiplied(level, v)));
        assert!(close_to(&rounded) || close_to(&exact), "{g:?} in bf16 at {}", level.name());
    }
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
        let nf4 = Nf4::quantise(Values::F32(&exact), true).unwrap();
        for source in [Values::F32(&exact), Values::F16(&f16s), Values::Bf16(&bf16s), Values::Nf4(&nf4)] {
            let mut w = vec![0.0; rows * cols];
            source.read(0, &mut w);
            let w = crate::support::wide(&w);
            let each = [Form::Plain, Form::Packed].map(|form| [(form, Write::Set), (form, Write::Add)]);
            for (form, write) in each.into_iter().flatten() {
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
                    let w = cpu.weight(rows, cols, source, form).unwrap();
                    let mut y = buf(cpu, &y0);
                    let x = buf(cpu, &x);
                    cpu.linear(
                        t,
                        mat(&x, 0, cols + 1),
                        &[Part { w: &w, low_rank: None }],
                        mat_mut(&mut y, 0, rows),
                        write,
                    )
                    .unwrap();
                    values(cpu, &y)
                });
                check("linear_back", 2e-6, &dx, |cpu| {
                    let w = cpu.weight(rows, cols, source, form).unwrap();
                    let mut dx = buf(cpu, &dx0);
                    let dy = buf(cpu, &dy);
                    cpu.linear_back(
                        t,
                        mat(&dy, 0, rows),
                        &[Part { w: &w, low_rank: None }],
                        mat_mut(&mut dx, 0, cols),
                        write,
                    )
                    .unwrap();
                    values(cpu, &dx)
                });
            }
            for form in [Form::Plain, Form::Packed] {
                for (_, got) in everywhere(|cpu| {
                    let weight = cpu.weight(rows, cols, source, form).unwrap();
                    let most = match form {
                        Form::Plain if matches!(source, Values::Nf4(_)) => Nf4::bytes_of(rows * cols, true),
                        Form::Plain => rows * cols * 4,
                        Form::Packed if cpu.level() == Level::best() => {
                            Cpu::packed_bytes(Precision::F32, matches!(source, Values::Bf16(_)), rows, cols)
                        }
                        Form::Packed => usize::MAX,
                    };
                    assert!(cpu.weight_bytes(&weight) <= most);
                    cpu.weight_values(&weight).unwrap()
                }) {
                    assert_eq!(crate::support::wide(&got), w);
                }
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

/// y (+)= xWᵀ + z·bᵀ and dx (+)= dyW + z·a, for each storage of W, in f32 and in bf16; to the same bits whether W is
/// packed for the call or held so.
#[test]
fn a_frozen_product_has_a_low_rank_term_behind_it() {
    let mut rng = Random::new(12);
    for (t, rows, cols, r) in [(1, 5, 7, 1), (20, 172, 64, 3), (50, 64, 172, 8), (9, 33, 1300, 16), (40, 270, 130, 5)] {
        let w = rng.values(rows * cols);
        let f16s: Vec<f16> = w.iter().map(|v| f16::from_f32(*v)).collect();
        let bf16s: Vec<bf16> = w.iter().map(|v| bf16::from_f32(*v)).collect();
        let (x, dy) = (rng.values(t * cols), rng.values(t * rows));
        let nf4 = Nf4::quantise(Values::F32(&w), r % 2 == 0).unwrap();
        let (z, b, a) = (rng.values(t * r), rng.values(rows * r), rng.values(r * cols));
        let (y0, dx0) = (rng.values(t * rows), rng.values(t * cols));
        for (source, write) in [
            (Values::F32(&w), Write::Set),
            (Values::F16(&f16s), Write::Add),
            (Values::Bf16(&bf16s), Write::Add),
            (Values::Nf4(&nf4), Write::Set),
        ] {
            for precision in [Precision::F32, Precision::Bf16] {
                let run = |cpu: &Cpu, form: Form| {
                    let w = cpu.weight(rows, cols, source, form).unwrap();
                    let (x, dy, z) = (buf(cpu, &x), buf(cpu, &dy), buf(cpu, &z));
                    let (b, a) = (buf(cpu, &b), buf(cpu, &a));
                    let (mut y, mut dx) = (buf(cpu, &y0), buf(cpu, &dx0));
                    let up = LowRank { r, z: mat(&z, 0, r), b: mat(&b, 0, r) };
                    cpu.linear(
                        t,
                        mat(&x, 0, cols),
                        &[Part { w: &w, low_rank: Some(up) }],
                        mat_mut(&mut y, 0, rows),
                        write,
                    )
                    .unwrap();
                    let down = LowRank { r, z: mat(&z, 0, r), b: mat(&a, 0, cols) };
                    cpu.linear_back(
                        t,
                        mat(&dy, 0, rows),
                        &[Part { w: &w, low_rank: Some(down) }],
                        mat_mut(&mut dx, 0, cols),
                        write,
                    )
                    .unwrap();
                    [values(cpu, &y), values(cpu, &dx)].concat()
                };
                let packed = everywhere_in(precision, |cpu| run(cpu, Form::Packed));
                for ((level, got), (_, packed)) in
                    everywhere_in(precision, |cpu| run(cpu, Form::Plain)).iter().zip(packed)
                {
                    let (level, got) = (*level, got);
                    assert_eq!(*got, packed, "{t} {rows} {cols} {r} {precision:?} {}", level.name());
                    let value =
                        |v: f32| if precision == Precision::Bf16 { as_multiplied(level, v) } else { f64::from(v) };
                    let cpu = Cpu::with_level(Some(1), precision, level).unwrap();
                    let held = cpu.weight_values(&cpu.weight(rows, cols, source, Form::Packed).unwrap()).unwrap();
                    let before = |v: f32| if write == Write::Add { f64::from(v) } else { 0.0 };
                    let sum = |n: usize, f: &dyn Fn(usize) -> (f32, f32)| -> f64 {
                        (0..n).map(f).map(|(p, q)| value(p) * value(q)).sum()
                    };
                    let mut want = Vec::new();
                    for i in 0..t {
                        for o in 0..rows {
                            let main = sum(cols, &|c| (x[i * cols + c], held[o * cols + c]));
                            let low = sum(r, &|l| (z[i * r + l], b[o * r + l]));
                            want.push(before(y0[i * rows + o]) + main + low);
                        }
                    }
                    for i in 0..t {
                        for c in 0..cols {
                            let main = sum(rows, &|o| (dy[i * rows + o], held[o * cols + c]));
                            let low = sum(r, &|l| (z[i * r + l], a[l * cols + c]));
                            want.push(before(dx0[i * cols + c]) + main + low);
                        }
                    }
                    close(&format!("{t} {rows} {cols} {r} {precision:?}"), level, 4e-6, &want, got);
                }
            }
        }
    }
}

/// Several matrices multiply as each would alone, whether or not a boundary between them cuts a panel, and with a term
/// behind some of them.
#[test]
fn parts_of_one_product_are_the_products_of_each() {
    let mut rng = Random::new(13);
    for (t, heights, cols) in
        [(30, vec![64, 32, 20], 70), (200, vec![96, 96], 33), (17, vec![20, 12, 7], 64), (5, vec![8], 9)]
    {
        let out: usize = heights.iter().sum();
        let weights: Vec<Vec<f32>> = heights.iter().map(|h| rng.values(h * cols)).collect();
        let bf16s: Vec<bf16> = weights[0].iter().map(|v| bf16::from_f32(*v)).collect();
        let ranks = [3, 0, 8];
        let zs: Vec<Vec<f32>> = ranks.iter().map(|r| rng.values(t * r)).collect();
        let ups: Vec<Vec<f32>> = heights.iter().zip(ranks).map(|(h, r)| rng.values(h * r)).collect();
        let downs: Vec<Vec<f32>> = ranks.iter().map(|r| rng.values(r * cols)).collect();
        let (x, dy) = (rng.values(t * cols), rng.values(t * out));
        let (y0, dx0) = (rng.values(t * out), rng.values(t * cols));
        for precision in [Precision::F32, Precision::Bf16] {
            let run = |cpu: &Cpu, together: bool, form: Form| {
                let held: Vec<_> = heights
                    .iter()
                    .enumerate()
                    .map(|(i, h)| {
                        let values = if i == 0 { Values::Bf16(&bf16s) } else { Values::F32(&weights[i]) };
                        cpu.weight(*h, cols, values, form).unwrap()
                    })
                    .collect();
                let bufs = |all: &[Vec<f32>]| all.iter().map(|v| buf(cpu, v)).collect::<Vec<_>>();
                let (zs, ups, downs) = (bufs(&zs), bufs(&ups), bufs(&downs));
                let (x, dy) = (buf(cpu, &x), buf(cpu, &dy));
                let (mut y, mut dx) = (buf(cpu, &y0), buf(cpu, &dx0));
                let term = |i: usize, b, ld| {
                    (ranks[i] > 0).then(|| LowRank { r: ranks[i], z: mat(&zs[i], 0, ranks[i]), b: mat(b, 0, ld) })
                };
                let forward: Vec<Part<Cpu>> =
                    held.iter().enumerate().map(|(i, w)| Part { w, low_rank: term(i, &ups[i], ranks[i]) }).collect();
                let back: Vec<Part<Cpu>> =
                    held.iter().enumerate().map(|(i, w)| Part { w, low_rank: term(i, &downs[i], cols) }).collect();
                if together {
                    cpu.linear(t, mat(&x, 0, cols), &forward, mat_mut(&mut y, 0, out), Write::Add).unwrap();
                    cpu.linear_back(t, mat(&dy, 0, out), &back, mat_mut(&mut dx, 0, cols), Write::Add).unwrap();
                } else {
                    let mut col = 0;
                    for i in 0..heights.len() {
                        let (one, height) = (&forward[i..i + 1], heights[i]);
                        cpu.linear(t, mat(&x, 0, cols), one, mat_mut(&mut y, col, out), Write::Add).unwrap();
                        let dy = mat(&dy, col, out);
                        cpu.linear_back(t, dy, &back[i..i + 1], mat_mut(&mut dx, 0, cols), Write::Add).unwrap();
                        col += height;
                    }
                }
                [values(cpu, &y), values(cpu, &dx)].concat()
            };
            let alone = everywhere_in(precision, |cpu| run(cpu, false, Form::Plain));
            let together = everywhere_in(precision, |cpu| run(cpu, true, Form::Plain));
            for ((_, plain), (_, packed)) in
                together.iter().zip(everywhere_in(precision, |cpu| run(cpu, true, Form::Packed)))
            {
                assert_eq!(*plain, packed, "{heights:?} {precision:?}");
            }
            for ((level, want), (_, got)) in alone.iter().zip(together) {
                let want: Vec<f64> = want.iter().map(|v| f64::from(*v)).collect();
                close(&format!("{heights:?} {precision:?}"), *level, 2e-6, &want, &got);
            }
        }
    }
}

/// In f32 a product with a matrix of bf16 is one of f32, whatever multiplies it: its error against the sum of all terms'
/// magnitudes is that of f32's rounding, with values of many magnitudes, long sums and a low-rank term.
#[test]
fn a_matrix_of_bf16_is_multiplied_in_f32() {
    let mut rng = Random::new(23);
    let (t, rows, cols, r) = (33, 70, 4864, 16);
    let spread = |rng: &mut Random, n: usize| -> Vec<f32> {
        (0..n).map(|_| rng.value() * (2f32).powi((rng.word() % 24) as i32 - 12)).collect()
    };
    let w: Vec<bf16> = rng.values(rows * cols).into_iter().map(bf16::from_f32).collect();
    let (x, z, b) = (spread(&mut rng, t * cols), spread(&mut rng, t * r), spread(&mut rng, rows * r));
    for form in [Form::Plain, Form::Packed] {
        for (level, got) in everywhere(|cpu| {
            let weight = cpu.weight(rows, cols, Values::Bf16(&w), form).unwrap();
            let (x, z, b, mut y) = (buf(cpu, &x), buf(cpu, &z), buf(cpu, &b), cpu.alloc(t * rows).unwrap());
            let low_rank = Some(LowRank { r, z: mat(&z, 0, r), b: mat(&b, 0, r) });
            let (x, y_out) = (mat(&x, 0, cols), mat_mut(&mut y, 0, rows));
            cpu.linear(t, x, &[Part { w: &weight, low_rank }], y_out, Write::Set).unwrap();
            values(cpu, &y)
        }) {
            let mut worst = 0.0f64;
            for (at, got) in got.iter().enumerate() {
                let (i, o) = (at / rows, at % rows);
                let of_w = (0..cols).map(|c| (x[i * cols + c], w[o * cols + c].to_f32()));
                let of_term = (0..r).map(|c| (z[i * r + c], b[o * r + c]));
                let (mut sum, mut size) = (0.0, 0.0);
                for (x, w) in of_w.chain(of_term) {
                    let product = f64::from(x) * f64::from(w);
                    (sum, size) = (sum + product, size + product.abs());
                }
                worst = worst.max((f64::from(*got) - sum).abs() / size);
            }
            assert!(worst < 4e-7, "{} {form:?}: {worst:e}", level.name());
        }
    }
}
