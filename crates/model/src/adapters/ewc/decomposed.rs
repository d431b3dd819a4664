//! The penalty of DoRA's change: rows of g·(W + s·BA) − W, where g = m / ‖W + s·BA‖ is a function of A, B and m here (in a
//! training pass the norm counts as a constant, as its paper has it; a penalty has its own, whole gradient).
//!
//! With w = Σ_j v_j W_ij², x = s·B_i·(A diag(v) W_iᵀ) and y = s² B_i (A diag(v) Aᵀ) B_iᵀ, row i is held by
//! (λ/2) u_i ((g − 1)² w + 2 g (g − 1) x + g² y).

use super::super::params::ParamId;
use super::super::params::Params;
use super::super::slot::product;
use super::super::state::Adapted;
use super::penalty::{Scratch, uploaded};
use crate::ModelError;
use crate::stream::Stream;
use kernels::{Backend, Op, Part, Write, mat, mat_mut};

pub(super) struct Decomposed<B: Backend> {
    magnitude: ParamId,
    /// [out]
    u: Vec<f32>,
    /// [in]
    v: B::Buf,
    /// ‖W_i‖², and Σ_j v_j W_ij².
    squares: Vec<f32>,
    weighted: Vec<f32>,
    /// What A makes of W: [r, out] or [r, in].
    cross: B::Buf,
}

/// What W and the adapter's products say of all rows, [r, out] and [r, r].
struct Products {
    /// A Wᵀ and A diag(v) Wᵀ
    cross: Vec<f32>,
    cross_v: Vec<f32>,
    /// A Aᵀ and A diag(v) Aᵀ
    gram: Vec<f32>,
    gram_v: Vec<f32>,
}

/// Derivatives of one row's share by x, by y, and by ‖W + s·BA‖².
#[derive(Clone, Copy, Default)]
struct Slopes {
    x: f64,
    y: f64,
    norm: f64,
}

impl<B: Backend> Decomposed<B> {
    /// The layer of `a` must have been entered, here and wherever its matrix is asked for.
    pub fn new(
        backend: &B,
        (a, magnitude): (&Adapted<B>, ParamId),
        stream: &Stream<B>,
        u: Vec<f32>,
        v: Vec<f32>,
    ) -> Result<Self, ModelError> {
        let (weight, v) = (frozen(a, stream), uploaded(backend, &v)?);
        let mut sums = backend.alloc(u.len())?;
        let mut squares = |scale| -> Result<Vec<f32>, ModelError> {
            let mut values = vec![0.0; u.len()];
            backend.row_squares(weight, scale, &mut sums)?;
            backend.download(&sums, 0, &mut values)?;
            Ok(values)
        };
        let (squares, weighted) = (squares(None)?, squares(Some(&v))?);
        let cross = backend.alloc(a.r * u.len().max(backend.len(&v)))?;
        Ok(Decomposed { magnitude, v, u, squares, weighted, cross })
    }

    /// Adds the gradients of A, B and m; returns the value.
    pub fn pull(
        &mut self,
        backend: &B,
        (a, lambda): (&Adapted<B>, f64),
        (params, stream): (&mut Params<B>, &Stream<B>),
        s: &mut Scratch<B>,
    ) -> Result<f64, ModelError> {
        let (r, n_out, magnitude) = (a.r, self.u.len(), self.magnitude);
        let weight = frozen(a, stream);
        let p = self.products(backend, (a, weight), params, s)?;
        let (mut b, mut m) = (vec![0.0; n_out * r], vec![0.0; n_out]);
        backend.download(&params.get(a.b).value, 0, &mut b)?;
        backend.download(&params.get(magnitude).value, 0, &mut m)?;

        let (mut value, mut slopes) = (0.0, vec![Slopes::default(); n_out]);
        let (mut db, mut dm) = (vec![0.0; n_out * r], vec![0.0; n_out]);
        for i in 0..n_out {
            let row = i * r..(i + 1) * r;
            value +=
                self.row(&p, (i, a.scale, lambda), &b[row.clone()], m[i], &mut db[row], (&mut dm[i], &mut slopes[i]));
        }
        for (id, grad) in [(a.b, &db), (magnitude, &dm)] {
            backend.upload(&mut s.wide, 0, grad)?;
            backend.add(grad.len(), 1.0, &s.wide, &mut params.get_mut(id).grad)?;
        }
        self.gradient_of_a(backend, (a, weight), params, (&b, &slopes), s)?;
        Ok(value)
    }

    fn products(
        &mut self,
        backend: &B,
        (a, w): (&Adapted<B>, &B::Weight),
        params: &Params<B>,
        s: &mut Scratch<B>,
    ) -> Result<Products, ModelError> {
        let ((n_in, n_out), r) = (a.sides(params), a.r);
        let value = mat(&params.get(a.a).value, 0, n_in);
        backend.scale_columns(r, n_in, &self.v, (1.0, 0.0), value, mat_mut(&mut s.d, 0, n_in), Write::Set)?;
        let mut cross_of = |x| -> Result<Vec<f32>, ModelError> {
            let part = Part { w, low_rank: None };
            backend.linear(r, x, &[part], mat_mut(&mut self.cross, 0, n_out), Write::Set)?;
            let mut out = vec![0.0; r * n_out];
            backend.download(&self.cross, 0, &mut out)?;
            Ok(out)
        };
        let (cross, cross_v) = (cross_of(value)?, cross_of(mat(&s.d, 0, n_in))?);
        let mut gram_of = |x| -> Result<Vec<f32>, ModelError> {
            backend.gemm(product(r, r, n_in, Op::N, Op::T), value, x, mat_mut(&mut s.m, 0, r))?;
            let mut out = vec![0.0; r * r];
            backend.download(&s.m, 0, &mut out)?;
            Ok(out)
        };
        let (gram, gram_v) = (gram_of(value)?, gram_of(mat(&s.d, 0, n_in))?);
        Ok(Products { cross, cross_v, gram, gram_v })
    }

    /// The value of row i; writes the gradients of its B and m, and the derivatives that A's gradient needs.
    fn row(
        &self,
        p: &Products,
        (i, s, lambda): (usize, f64, f64),
        b: &[f32],
        m: f32,
        db: &mut [f32],
        (dm, slopes): (&mut f32, &mut Slopes),
    ) -> f64 {
        let (r, n_out) = (b.len(), self.u.len());
        let column = |cross: &[f32], k: usize| f64::from(cross[k * n_out + i]);
        let times_b = |k: usize, gram: &[f32]| -> f64 {
            gram[k * r..(k + 1) * r].iter().zip(b).map(|(g, b)| f64::from(*g) * f64::from(*b)).sum()
        };
        let along_b = |f: &dyn Fn(usize) -> f64| (0..r).map(|k| f64::from(b[k]) * f(k)).sum::<f64>();
        let square = f64::from(self.squares[i])
            + 2.0 * s * along_b(&|k| column(&p.cross, k))
            + s * s * along_b(&|k| times_b(k, &p.gram));
        if square <= 0.0 {
            return 0.0;
        }
        let x = s * along_b(&|k| column(&p.cross_v, k));
        let y = s * s * along_b(&|k| times_b(k, &p.gram_v));
        let (w, norm, strength) = (f64::from(self.weighted[i]), square.sqrt(), lambda * f64::from(self.u[i]));
        let g = f64::from(m) / norm;
        let by_g = strength * ((g - 1.0) * w + (2.0 * g - 1.0) * x + g * y);
        *dm = (by_g / norm) as f32;
        *slopes = Slopes { x: strength * g * (g - 1.0), y: strength * g * g / 2.0, norm: -by_g * g / (2.0 * square) };
        for (k, db) in db.iter_mut().enumerate() {
            let of_norm = 2.0 * s * column(&p.cross, k) + 2.0 * s * s * times_b(k, &p.gram);
            let of_y = 2.0 * s * s * times_b(k, &p.gram_v);
            *db = (slopes.x * s * column(&p.cross_v, k) + slopes.y * of_y + slopes.norm * of_norm) as f32;
        }
        strength / 2.0 * ((g - 1.0).powi(2) * w + 2.0 * g * (g - 1.0) * x + g * g * y)
    }

    /// dA += s (Bᵀ diag(∂x) W + 2s Bᵀ diag(∂y) B A) diag(v) + 2s (Bᵀ diag(∂n) W + s Bᵀ diag(∂n) B A)
    fn gradient_of_a(
        &mut self,
        backend: &B,
        (a, w): (&Adapted<B>, &B::Weight),
        params: &mut Params<B>,
        (b, slopes): (&[f32], &[Slopes]),
        s: &mut Scratch<B>,
    ) -> Result<(), ModelError> {
        let ((n_in, n_out), r, scale) = (a.sides(params), a.r, a.scale);
        for (weighted, by_w, by_a) in [
            (
                true,
                &(|d: &Slopes| scale * d.x) as &dyn Fn(&Slopes) -> f64,
                &(|d: &Slopes| 2.0 * scale * scale * d.y) as &dyn Fn(&Slopes) -> f64,
            ),
            (false, &|d: &Slopes| 2.0 * scale * d.norm, &|d: &Slopes| 2.0 * scale * scale * d.norm),
        ] {
            // (diag(by_w) B)ᵀ [r, out] and Bᵀ diag(by_a) B [r, r]
            let (mut outer, mut inner) = (vec![0.0; r * n_out], vec![0.0f64; r * r]);
            for (i, (row, d)) in b.chunks_exact(r).zip(slopes).enumerate() {
                let (by_w, by_a) = (by_w(d), by_a(d));
                for (k, bk) in row.iter().enumerate() {
                    outer[k * n_out + i] = (by_w * f64::from(*bk)) as f32;
                    let bk = by_a * f64::from(*bk);
                    inner[k * r..(k + 1) * r].iter_mut().zip(row).for_each(|(sum, bl)| *sum += bk * f64::from(*bl));
                }
            }
            let inner: Vec<f32> = inner.iter().map(|v| *v as f32).collect();
            backend.upload(&mut self.cross, 0, &outer)?;
            backend.upload(&mut s.m, 0, &inner)?;
            let now = mat(&params.get(a.a).value, 0, n_in);
            let g = product(r, n_in, r, Op::N, Op::N);
            backend.gemm(g, mat(&s.m, 0, r), now, mat_mut(&mut s.wide, 0, n_in))?;
            let part = Part { w, low_rank: None };
            backend.linear_back(r, mat(&self.cross, 0, n_out), &[part], mat_mut(&mut s.wide, 0, n_in), Write::Add)?;
            let grad = &mut params.get_mut(a.a).grad;
            match weighted {
                true => backend.scale_columns(
                    r,
                    n_in,
                    &self.v,
                    (1.0, 0.0),
                    mat(&s.wide, 0, n_in),
                    mat_mut(grad, 0, n_in),
                    Write::Add,
                )?,
                false => backend.add(r * n_in, 1.0, &s.wide, grad)?,
            }
        }
        Ok(())
    }
}

fn frozen<'a, B: Backend>(a: &'a Adapted<B>, stream: &'a Stream<B>) -> &'a B::Weight {
    a.matrix.held(stream).unwrap_or_else(|_| unreachable!("a magnitude is of a frozen matrix"))
}
