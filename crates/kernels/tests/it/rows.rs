use crate::support::{Random, buf, check, everywhere, idx, values, wide};
use kernels::{Backend, Form, Values, Write, mat, mat_mut};

#[test]
fn embedding_looks_rows_up() {
    let mut rng = Random::new(1);
    let (rows, cols) = (13, 37);
    let w = rng.values(rows * cols);
    for t in [0, 1, 3, 900] {
        let ids: Vec<i32> = (0..t).map(|i| ((i * 5) % rows) as i32).collect();
        let want: Vec<f64> = ids
            .iter()
            .flat_map(|i| w[*i as usize * cols..][..cols].iter().map(|v| f64::from(*v) * 8.0).collect::<Vec<_>>())
            .collect();
        check("embed", 0.0, &want, |cpu| {
            let w = cpu.weight(rows, cols, Values::F32(&w), Form::Plain).unwrap();
            let mut out = cpu.alloc(t * cols).unwrap();
            cpu.embed(t, &idx(cpu, &ids), &w, 8.0, &mut out).unwrap();
            values(cpu, &out)
        });
    }
}

/// scatter is gather's derivative: out = G·table, dtable = Gᵀ·dout.
#[test]
fn rows_are_gathered_and_scattered() {
    let mut rng = Random::new(2);
    let (rows, cols, ld) = (9, 21, 25);
    for (t, write) in [(0, Write::Set), (1, Write::Add), (50, Write::Set), (1200, Write::Add)] {
        let ids: Vec<i32> = (0..t + 2).map(|i| ((i * i) % rows) as i32).collect();
        let table = rng.values(rows * ld);
        let (out0, dout) = (rng.values(t * cols), rng.values(t * cols));
        let mut want: Vec<f64> = out0.iter().map(|v| if write == Write::Add { f64::from(*v) } else { 0.0 }).collect();
        let mut scattered = wide(&table);
        for i in 0..t {
            for c in 0..cols {
                let at = ids[i + 2] as usize * ld + c;
                want[i * cols + c] += 0.5 * f64::from(table[at]);
                scattered[at] += 0.5 * f64::from(dout[i * cols + c]);
            }
        }
        check("gather_rows", 2e-7, &want, |cpu| {
            let (table, mut out) = (buf(cpu, &table), buf(cpu, &out0));
            let ids = idx(cpu, &ids);
            cpu.gather_rows(t, cols, &ids, 2, mat(&table, 0, ld), 0.5, mat_mut(&mut out, 0, cols), write).unwrap();
            values(cpu, &out)
        });
        check("scatter_add_rows", 1e-6, &scattered, |cpu| {
            let (mut table, dout) = (buf(cpu, &table), buf(cpu, &dout));
            let ids = idx(cpu, &ids);
            cpu.scatter_add_rows(t, cols, &ids, 2, mat(&dout, 0, cols), 0.5, mat_mut(&mut table, 0, ld)).unwrap();
            values(cpu, &table)
        });
    }
}

#[test]
fn plain_rows() {
    let mut rng = Random::new(3);
    for (rows, cols) in [(0, 4), (1, 1), (7, 19), (300, 130)] {
        let (src, dst, bias) = (rng.values(rows * (cols + 2) + 1), rng.values(rows * (cols + 1)), rng.values(cols));
        let (mut copied, mut biased) = (wide(&dst), wide(&dst));
        let mut dbias = wide(&bias);
        for r in 0..rows {
            for c in 0..cols {
                copied[r * (cols + 1) + c] = f64::from(src[1 + r * (cols + 2) + c]);
                biased[r * (cols + 1) + c] += f64::from(bias[c]);
                dbias[c] += f64::from(dst[r * (cols + 1) + c]);
            }
        }
        check("copy", 0.0, &copied, |cpu| {
            let (src, mut dst) = (buf(cpu, &src), buf(cpu, &dst));
            cpu.copy(rows, cols, mat(&src, 1, cols + 2), mat_mut(&mut dst, 0, cols + 1)).unwrap();
            values(cpu, &dst)
        });
        check("add_bias", 1e-7, &biased, |cpu| {
            let mut dst = buf(cpu, &dst);
            cpu.add_bias(rows, cols, &buf(cpu, &bias), mat_mut(&mut dst, 0, cols + 1)).unwrap();
            values(cpu, &dst)
        });
        check("bias_back", 1e-6, &dbias, |cpu| {
            let (dst, mut dbias) = (buf(cpu, &dst), buf(cpu, &bias));
            cpu.bias_back(rows, cols, mat(&dst, 0, cols + 1), &mut dbias).unwrap();
            values(cpu, &dbias)
        });
        let sum: Vec<f64> = dst.iter().zip(&src).map(|(d, s)| f64::from(*d) - 0.25 * f64::from(*s)).collect();
        check("add", 1e-7, &sum, |cpu| {
            let mut dst = buf(cpu, &dst);
            cpu.add(rows * (cols + 1), -0.25, &buf(cpu, &src), &mut dst).unwrap();
            values(cpu, &dst)
        });
    }
    check("fill", 0.0, &[1.0, 5.0, 5.0, 1.0], |cpu| {
        let mut b = buf(cpu, &[1.0; 4]);
        cpu.fill(&mut b, 1, 2, 5.0).unwrap();
        values(cpu, &b)
    });
}

#[test]
fn dropout_keeps_its_share_and_its_mean() {
    let (rows, cols, p) = (200, 333, 0.3f32);
    let run = |cpu: &kernels::Cpu, key: u64, first: f32, write: Write| {
        let x = buf(cpu, &vec![1.0; rows * cols]);
        let mut y = buf(cpu, &vec![first; rows * cols]);
        cpu.dropout(rows, cols, p, key, mat(&x, 0, cols), mat_mut(&mut y, 0, cols), write).unwrap();
        values(cpu, &y)
    };
    let mut all = everywhere(|cpu| run(cpu, 5, 9.0, Write::Set));
    let (_, mask) = all.remove(0);
    for (level, other) in all {
        assert_eq!(mask, other, "the mask at {} differs", level.name());
    }
    let scale = 1.0 / (1.0 - p);
    assert!(mask.iter().all(|v| *v == 0.0 || (*v - scale).abs() < 1e-6));
    let kept = mask.iter().filter(|v| **v != 0.0).count() as f64 / mask.len() as f64;
    assert!((kept - 0.7).abs() < 0.006, "kept {kept}"); // 3 standard deviations
    // neither rows nor columns nor keys repeat
    assert_ne!(mask[..cols], mask[cols..2 * cols]);
    let cpu = kernels::Cpu::new(Some(1), kernels::Precision::F32).unwrap();
    let other = run(&cpu, 6, 0.0, Write::Set);
    let same = mask.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / mask.len() as f64;
    assert!((same - 0.58).abs() < 0.01, "keys agree on {same}, expected 0.7² + 0.3²");
    let added = run(&cpu, 5, 2.0, Write::Add);
    assert!(added.iter().zip(&mask).all(|(a, m)| (a - m - 2.0).abs() < 1e-6));
}

#[test]
fn dropout_of_nothing_is_a_copy() {
    let x = Random::new(4).values(60);
    check("dropout", 0.0, &wide(&x), |cpu| {
        let mut y = cpu.alloc(60).unwrap();
        cpu.dropout(4, 15, 0.0, 1, mat(&buf(cpu, &x), 0, 15), mat_mut(&mut y, 0, 15), Write::Set).unwrap();
        values(cpu, &y)
    });
}

#[test]
fn columns_are_scaled_and_their_dots_are_the_scales_gradients() {
    let mut rng = Random::new(4);
    for (rows, cols) in [(0, 3), (1, 1), (7, 19), (300, 130)] {
        for write in [Write::Set, Write::Add] {
            let (x, y, scale) = (rng.values(rows * (cols + 2)), rng.values(rows * (cols + 1)), rng.values(cols));
            let before = rng.values(cols);
            let (mut scaled, mut dots) = (wide(&y), wide(&before));
            for r in 0..rows {
                for c in 0..cols {
                    let (x, at) = (f64::from(x[r * (cols + 2) + c]), r * (cols + 1) + c);
                    let kept = if write == Write::Add { scaled[at] } else { 0.0 };
                    scaled[at] = kept + 0.5 * (f64::from(scale[c]) - 1.0) * x;
                    dots[c] += 0.5 * f64::from(scale[c]) * x * f64::from(y[at]);
                }
            }
            check("scale_columns", 3e-7, &scaled, |cpu| {
                let (x, mut y, scale) = (buf(cpu, &x), buf(cpu, &y), buf(cpu, &scale));
                let (from, to) = (mat(&x, 0, cols + 2), mat_mut(&mut y, 0, cols + 1));
                cpu.scale_columns(rows, cols, &scale, (0.5, -1.0), from, to, write).unwrap();
                values(cpu, &y)
            });
            let scale_of_rows = rng.values(rows);
            let behind = rng.values(rows + 3);
            let (mut by_row, mut of_rows) = (wide(&y), wide(&behind));
            for r in 0..rows {
                for c in 0..cols {
                    let (x, at) = (f64::from(x[r * (cols + 2) + c]), r * (cols + 1) + c);
                    let kept = if write == Write::Add { by_row[at] } else { 0.0 };
                    by_row[at] = kept + 0.5 * f64::from(scale_of_rows[r]) * x;
                    of_rows[r + 3] += 0.5 * x * f64::from(y[at]);
                }
            }
            check("scale_rows", 3e-7, &by_row, |cpu| {
                let (x, mut y, scale) = (buf(cpu, &x), buf(cpu, &y), buf(cpu, &scale_of_rows));
                let (from, to) = (mat(&x, 0, cols + 2), mat_mut(&mut y, 0, cols + 1));
                cpu.scale_rows(rows, cols, &scale, 0.5, from, to, write).unwrap();
                values(cpu, &y)
            });
            check("row_dots", 1e-6, &of_rows, |cpu| {
                let (x, y, mut out) = (buf(cpu, &x), buf(cpu, &y), buf(cpu, &behind));
                cpu.row_dots(rows, cols, mat(&x, 0, cols + 2), mat(&y, 0, cols + 1), 0.5, 3, &mut out).unwrap();
                values(cpu, &out)
            });
            check("column_dots", 1e-6, &dots, |cpu| {
                let (x, y, scale, mut out) = (buf(cpu, &x), buf(cpu, &y), buf(cpu, &scale), buf(cpu, &before));
                let (x, y) = (mat(&x, 0, cols + 2), mat(&y, 0, cols + 1));
                cpu.column_dots(rows, cols, x, y, 0.5, Some(&scale), &mut out).unwrap();
                values(cpu, &out)
            });
        }
    }
}

#[test]
fn norms_of_rows_with_a_low_rank_term_need_no_product() {
    let mut rng = Random::new(5);
    for (rows, cols, r) in [(1, 1, 1), (9, 700, 4), (130, 33, 16)] {
        let (w, a, b, s) = (rng.values(rows * cols), rng.values(r * cols), rng.values(rows * r), 0.75f32);
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        let row = |m: &[f32], i: usize| m[i * cols..(i + 1) * cols].to_vec();
        let squares: Vec<f64> = (0..rows).map(|j| dot(&row(&w, j), &row(&w, j))).collect();
        let norms: Vec<f64> = (0..rows)
            .map(|j| {
                let changed = |c: usize| {
                    let term: f64 = (0..r).map(|p| f64::from(b[j * r + p]) * f64::from(a[p * cols + c])).sum();
                    f64::from(w[j * cols + c]) + f64::from(s) * term
                };
                (0..cols).map(|c| changed(c).powi(2)).sum::<f64>().sqrt()
            })
            .collect();
        let narrow = |x: Vec<f64>| x.into_iter().map(|v| v as f32).collect::<Vec<f32>>();
        let each = |n: usize, m: usize, x: &[f32], y: &[f32]| -> Vec<f32> {
            narrow((0..n * m).map(|i| dot(&row(x, i / m), &row(y, i % m))).collect())
        };
        let (cross, gram) = (each(r, rows, &a, &w), each(r, r, &a, &a));
        check("row_squares", 1e-6, &squares, |cpu| {
            let w = cpu.weight(rows, cols, Values::F32(&w), Form::Plain).unwrap();
            let mut out = cpu.alloc(rows).unwrap();
            cpu.row_squares(&w, None, &mut out).unwrap();
            values(cpu, &out)
        });
        let factors = rng.values(cols);
        let weighted: Vec<f64> = (0..rows)
            .map(|j| row(&w, j).iter().zip(&factors).map(|(w, s)| f64::from(*s) * f64::from(*w).powi(2)).sum())
            .collect();
        check("row_squares, scaled", 3e-6, &weighted, |cpu| {
            let w = cpu.weight(rows, cols, Values::F32(&w), Form::Plain).unwrap();
            let mut out = cpu.alloc(rows).unwrap();
            cpu.row_squares(&w, Some(&buf(cpu, &factors)), &mut out).unwrap();
            values(cpu, &out)
        });
        let (m, inverse): (Vec<f32>, Vec<f64>) = (rng.values(rows), norms.iter().map(|n| 1.0 / n).collect());
        let want: Vec<f64> = m.iter().zip(&inverse).map(|(m, i)| f64::from(*m) * i).chain(inverse.clone()).collect();
        check("low_rank_scales", 3e-6, &want, |cpu| {
            let squares = buf(cpu, &narrow(squares.clone()));
            let (cross, gram, b, m) = (buf(cpu, &cross), buf(cpu, &gram), buf(cpu, &b), buf(cpu, &m));
            let (mut scale, mut inverse) = (cpu.alloc(rows).unwrap(), cpu.alloc(rows).unwrap());
            let (cross, gram, b) = (mat(&cross, 0, rows), mat(&gram, 0, r), mat(&b, 0, r));
            cpu.low_rank_scales(rows, r, s, &squares, cross, gram, b, &m, &mut scale, &mut inverse).unwrap();
            [values(cpu, &scale), values(cpu, &inverse)].concat()
        });
    }
}
