//! PiSSA (Meng et al. 2024): the adapter begins as the largest singular directions of W, A₀ = √(S/s) Vᵀ and
//! B₀ = U √(S/s), and the frozen base is what they leave, W − s·B₀A₀.

use super::init::normal;
use super::slot::product;
use super::spectrum;
use crate::ModelError;
use kernels::{Backend, Gemm, Op, Write, mat, mat_mut};

/// Directions beside those that are wanted, and rounds of the power iteration: where the spectrum is flat more would be
/// needed for each direction to be exact, but what they hold together changes little.
const SPARE: usize = 16;
const ROUNDS: usize = 8;
/// Up to so many rows or columns all singular values are computed.
const EXACT_MAX: usize = 128;

/// A₀ [r, in] and B₀ [out, r].
pub(super) struct Principal {
    pub r: usize,
    pub a: Vec<f32>,
    pub b: Vec<f32>,
}

impl Principal {
    /// Of W [out, in]; where that is large, by a randomised subspace iteration (Halko, Martinsson & Tropp 2011) that is
    /// seeded by the matrix's name.
    pub fn of<B: Backend>(
        backend: &B,
        w: &[f32],
        (n_out, n_in): (usize, usize),
        r: usize,
        scale: f64,
        (seed, name): (u64, &str),
    ) -> Result<Principal, ModelError> {
        let svd = if n_out.min(n_in) <= EXACT_MAX {
            let wide: Vec<f64> = w.iter().map(|v| f64::from(*v)).collect();
            let unit = |n: usize| (0..n * n).map(|x| f64::from(u8::from(x / n == x % n))).collect::<Vec<f64>>();
            match n_in <= n_out {
                true => spectrum::of_product(&wide, &unit(n_in), n_in),
                false => spectrum::of_product(&unit(n_out), &wide, n_out),
            }
        } else {
            let rank = (r + SPARE).min(n_out.min(n_in));
            let (q, qw) = subspace(backend, w, (n_out, n_in), rank, (seed, name))?;
            spectrum::of_product(&q, &qw, rank)
        };
        let (a, b) = svd.halves(r, scale);
        Ok(Principal { r, a, b })
    }

    /// W ← W − s·B₀A₀
    pub fn take_from<B: Backend>(
        &self,
        backend: &B,
        w: &mut [f32],
        (n_out, n_in): (usize, usize),
        scale: f64,
    ) -> Result<(), ModelError> {
        let r = self.r;
        let (mut a, mut b, mut out) =
            (backend.alloc(self.a.len())?, backend.alloc(self.b.len())?, backend.alloc(w.len())?);
        backend.upload(&mut a, 0, &self.a)?;
        backend.upload(&mut b, 0, &self.b)?;
        let g = Gemm { alpha: scale as f32, ..product(n_out, n_in, r, Op::N, Op::N) };
        backend.gemm(g, mat(&b, 0, r), mat(&a, 0, n_in), mat_mut(&mut out, 0, n_in))?;
        let mut part = vec![0.0; w.len()];
        backend.download(&out, 0, &mut part)?;
        w.iter_mut().zip(&part).for_each(|(w, p)| *w -= p);
        Ok(())
    }
}

/// Q [out, rank] with orthonormal columns that span the largest directions of W, and Qᵀ W [rank, in].
fn subspace<B: Backend>(
    backend: &B,
    w: &[f32],
    (n_out, n_in): (usize, usize),
    rank: usize,
    (seed, name): (u64, &str),
) -> Result<(Vec<f64>, Vec<f64>), ModelError> {
    let mut matrix = backend.alloc(w.len())?;
    backend.upload(&mut matrix, 0, w)?;
    let (mut x, mut y) = (backend.alloc(n_in * rank)?, backend.alloc(n_out * rank)?);
    backend.upload(&mut x, 0, &normal(seed, name, n_in * rank, 1.0))?;
    let set = Write::Set;
    let mut q = Vec::new();
    for _ in 0..ROUNDS {
        // Y = W X, made orthonormal; X = Wᵀ Y
        let g = Gemm { write: set, ..product(n_out, rank, n_in, Op::N, Op::N) };
        backend.gemm(g, mat(&matrix, 0, n_in), mat(&x, 0, rank), mat_mut(&mut y, 0, rank))?;
        let mut values = vec![0.0; n_out * rank];
        backend.download(&y, 0, &mut values)?;
        q = spectrum::orthonormal(&values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>(), rank);
        backend.upload(&mut y, 0, &q.iter().map(|v| *v as f32).collect::<Vec<f32>>())?;
        let g = Gemm { write: set, ..product(n_in, rank, n_out, Op::T, Op::N) };
        backend.gemm(g, mat(&matrix, 0, n_in), mat(&y, 0, rank), mat_mut(&mut x, 0, rank))?;
    }
    let mut back = vec![0.0; n_in * rank];
    backend.download(&x, 0, &mut back)?;
    let qw = (0..rank * n_in).map(|i| f64::from(back[i % n_in * rank + i / n_in])).collect();
    Ok((q, qw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::{Cpu, Precision};

    /// What the randomised iteration finds of a large matrix, against all of its singular values.
    #[test]
    fn large_matrices_give_their_largest_directions() {
        let (n_out, n_in, r) = (300, 140, 8);
        // A spectrum as trained matrices have: a few large directions over a slowly falling floor.
        let (left, right) = (normal(1, "l", n_out * n_in, 1.0), normal(2, "r", n_in * n_in, 1.0));
        let fall = |k: usize| 10.0 / (1.0 + k as f32).powf(0.7);
        let w: Vec<f32> = (0..n_out * n_in)
            .map(|x| (0..n_in).map(|k| left[x / n_in * n_in + k] * fall(k) * right[k * n_in + x % n_in]).sum())
            .collect();
        let backend = Cpu::new(Some(1), Precision::F32).expect("threads");
        let found = Principal::of(&backend, &w, (n_out, n_in), r, 2.0, (0, "w")).expect("found");
        let wide: Vec<f64> = w.iter().map(|v| f64::from(*v)).collect();
        let unit: Vec<f64> = (0..n_in * n_in).map(|x| f64::from(u8::from(x / n_in == x % n_in))).collect();
        let exact = spectrum::of_product(&wide, &unit, n_in).s;
        let mut rest = w.clone();
        found.take_from(&backend, &mut rest, (n_out, n_in), 2.0).expect("taken");
        let left: f64 = rest.iter().map(|v| f64::from(*v).powi(2)).sum();
        let least: f64 = exact[r..].iter().map(|s| s * s).sum();
        assert!(left >= least * (1.0 - 1e-4) && left < least * 1.01, "{left} {least}");
    }
}
