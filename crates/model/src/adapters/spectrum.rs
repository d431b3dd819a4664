//! The singular values of a low-rank product, without ever forming it: ΔW = L R with L [m, r] and R [r, n] is
//! Q₁ (T₁ T₂ᵀ) Q₂ᵀ, where L = Q₁ T₁ and Rᵀ = Q₂ T₂, and only the r × r matrix between needs a decomposition.
//!
//! In f64: adapters are small, and what a truncation loses is a difference of nearly equal numbers.

/// ΔW = U diag(σ) Vᵀ, σ falling; U [m, r] and V [n, r], row-major.
pub(super) struct Svd {
    pub u: Vec<f64>,
    pub s: Vec<f64>,
    pub v: Vec<f64>,
}

impl Svd {
    /// A [rank, n] and B [m, rank] with s·B A = ΔW's best approximation of that rank; both carry √(σ/|s|).
    pub fn halves(&self, rank: usize, scale: f64) -> (Vec<f32>, Vec<f32>) {
        let width = self.s.len().max(1);
        let (m, n) = (self.u.len() / width, self.v.len() / width);
        let root: Vec<f64> = self.s[..rank].iter().map(|s| (s / scale.abs()).sqrt()).collect();
        let sign = scale.signum();
        let a = (0..rank * n).map(|x| (self.v[x % n * width + x / n] * root[x / n]) as f32).collect();
        let b = (0..m * rank).map(|x| (sign * self.u[x / rank * width + x % rank] * root[x % rank]) as f32).collect();
        (a, b)
    }

    /// Σσ² of all but the first `rank`, and of all.
    pub fn squares(&self, rank: usize) -> (f64, f64) {
        let of = |s: &[f64]| s.iter().map(|s| s * s).sum::<f64>();
        (of(&self.s[rank..]), of(&self.s))
    }
}

/// Of L R; `l` [m, r] and `r` [r, n], row-major. At most min(m, n, r) values are above zero.
pub(super) fn of_product(l: &[f64], right: &[f64], rank: usize) -> Svd {
    if rank == 0 {
        return Svd { u: Vec::new(), s: Vec::new(), v: Vec::new() };
    }
    let (m, n) = (l.len() / rank, right.len() / rank);
    let (q1, t1) = qr(columns(l, m, rank));
    let (q2, t2) = qr((0..rank).map(|i| right[i * n..(i + 1) * n].to_vec()).collect());
    // T₁ T₂ᵀ, by columns: column j is T₁ times row j of T₂.
    let core: Vec<Vec<f64>> =
        (0..rank).map(|j| (0..rank).map(|i| (0..rank).map(|k| t1[k][i] * t2[k][j]).sum()).collect()).collect();
    let (u, s, v) = jacobi(core);
    let spread = |q: &[Vec<f64>], inner: &[Vec<f64>], rows: usize| {
        let mut out = vec![0.0; rows * rank];
        for (c, column) in inner.iter().enumerate() {
            for (q, factor) in q.iter().zip(column) {
                (0..rows).for_each(|i| out[i * rank + c] += q[i] * factor);
            }
        }
        out
    };
    Svd { u: spread(&q1, &u, m), v: spread(&q2, &v, n), s }
}

/// Orthonormal columns that span those of `x` [m, r].
pub(super) fn orthonormal(x: &[f64], rank: usize) -> Vec<f64> {
    let m = x.len() / rank;
    let (q, _) = qr(columns(x, m, rank));
    (0..m * rank).map(|i| q[i % rank][i / rank]).collect()
}

fn columns(x: &[f64], rows: usize, cols: usize) -> Vec<Vec<f64>> {
    (0..cols).map(|c| (0..rows).map(|r| x[r * cols + c]).collect()).collect()
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// Columns → orthonormal columns Q (zero where there are fewer directions), and T by columns with x_j = Σ_i T[j][i] q_i.
/// Gram–Schmidt, twice, which is as good as Householder's.
fn qr(mut x: Vec<Vec<f64>>) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
    let r = x.len();
    let mut t = vec![vec![0.0; r]; r];
    for (j, along_each) in t.iter_mut().enumerate() {
        let (before, rest) = x.split_at_mut(j);
        let column = &mut rest[0];
        let size = dot(column, column).sqrt();
        for _ in 0..2 {
            for (i, q) in before.iter().enumerate() {
                let along = dot(q, column);
                along_each[i] += along;
                column.iter_mut().zip(q).for_each(|(c, q)| *c -= along * q);
            }
        }
        let left = dot(column, column).sqrt();
        // What rounding leaves of a column that the others span is no direction.
        let independent = left > size * 1e-14;
        along_each[j] = if independent { left } else { 0.0 };
        column.iter_mut().for_each(|c| *c = if independent { *c / left } else { 0.0 });
    }
    (x, t)
}

/// One-sided Jacobi (Hestenes 1958) on the columns of a square matrix: U's columns, σ, V's columns.
fn jacobi(mut a: Vec<Vec<f64>>) -> (Vec<Vec<f64>>, Vec<f64>, Vec<Vec<f64>>) {
    const SWEEPS: usize = 60;
    let r = a.len();
    let mut v: Vec<Vec<f64>> = (0..r).map(|j| (0..r).map(|i| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..SWEEPS {
        let mut turned = false;
        for p in 0..r {
            for q in p + 1..r {
                let (pp, qq, pq) = (dot(&a[p], &a[p]), dot(&a[q], &a[q]), dot(&a[p], &a[q]));
                if pq.abs() <= 1e-15 * (pp * qq).sqrt() || pq == 0.0 {
                    continue;
                }
                turned = true;
                let zeta = (qq - pp) / (2.0 * pq);
                let tan = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let cos = 1.0 / (1.0 + tan * tan).sqrt();
                let sin = cos * tan;
                for m in [&mut a, &mut v] {
                    let (low, high) = m.split_at_mut(q);
                    for (x, y) in low[p].iter_mut().zip(&mut high[0]) {
                        (*x, *y) = (cos * *x - sin * *y, sin * *x + cos * *y);
                    }
                }
            }
        }
        if !turned {
            break;
        }
    }
    let mut order: Vec<(f64, usize)> = a.iter().map(|c| dot(c, c).sqrt()).zip(0..).collect();
    order.sort_by(|x, y| y.0.total_cmp(&x.0));
    let unit = |(s, j): &(f64, usize)| a[*j].iter().map(|x| if *s > 0.0 { x / s } else { 0.0 }).collect();
    let u = order.iter().map(unit).collect();
    let right = order.iter().map(|(_, j)| v[*j].clone()).collect();
    (u, order.iter().map(|(s, _)| *s).collect(), right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mix = |i: usize| super::super::slot::mix(seed ^ (i as u64) << 20);
        (0..n).map(|i| (mix(i) >> 11) as f64 / (1u64 << 52) as f64 - 1.0).collect()
    }

    fn product(l: &[f64], right: &[f64], rank: usize) -> Vec<f64> {
        let (m, n) = (l.len() / rank, right.len() / rank);
        (0..m * n).map(|x| (0..rank).map(|k| l[x / n * rank + k] * right[k * n + x % n]).sum()).collect()
    }

    fn check(l: &[f64], right: &[f64], rank: usize) -> Vec<f64> {
        let (m, n, svd) = (l.len() / rank, right.len() / rank, of_product(l, right, rank));
        let whole = product(l, right, rank);
        let size = dot(&whole, &whole).sqrt();
        // It is the product again, its values fall, and their squares are its own.
        for (at, w) in whole.iter().enumerate() {
            let back: f64 = (0..rank).map(|k| svd.u[at / n * rank + k] * svd.s[k] * svd.v[at % n * rank + k]).sum();
            assert!((back - w).abs() <= 1e-12 * size.max(1.0), "{at}: {back} {w}");
        }
        assert!(svd.s.windows(2).all(|w| w[0] >= w[1]), "{:?}", svd.s);
        assert!((dot(&svd.s, &svd.s).sqrt() - size).abs() <= 1e-12 * size.max(1.0));
        for (x, rows) in [(&svd.u, m), (&svd.v, n)] {
            for p in 0..rank {
                for q in 0..rank {
                    let inner: f64 = (0..rows).map(|i| x[i * rank + p] * x[i * rank + q]).sum();
                    let there = svd.s[p] > 1e-12 * size && svd.s[q] > 1e-12 * size;
                    let want = f64::from(u8::from(p == q));
                    assert!(!there || (inner - want).abs() < 1e-9, "{p} {q}: {inner}");
                }
            }
        }
        svd.s
    }

    #[test]
    fn products_come_back_whole() {
        for (m, n, rank) in [(1, 1, 1), (7, 5, 3), (40, 64, 8), (3, 50, 4), (16, 16, 16), (300, 20, 32)] {
            check(&noise(m * rank, 1), &noise(rank * n, 2), rank);
        }
    }

    #[test]
    fn directions_that_are_not_there_have_no_value() {
        // B as at LoRA's start, and a column that is twice another.
        assert_eq!(check(&vec![0.0; 30], &noise(30, 3), 3), [0.0; 3]);
        let mut l = noise(40, 4);
        for row in l.chunks_mut(4) {
            row[2] = 2.0 * row[0];
        }
        let s = check(&l, &noise(44, 5), 4);
        assert!(s[3] < 1e-12 * s[0] && s[2] > 1e-3 * s[0], "{s:?}");
    }

    #[test]
    fn known_values_are_found() {
        // diag(3, 2) between two rotations.
        let (c, s) = (0.6, 0.8);
        let l = [c * 3.0, -s * 2.0, s * 3.0, c * 2.0];
        let right = [c, s, -s, c];
        let found = check(&l, &right, 2);
        assert!((found[0] - 3.0).abs() < 1e-12 && (found[1] - 2.0).abs() < 1e-12, "{found:?}");
    }
}
