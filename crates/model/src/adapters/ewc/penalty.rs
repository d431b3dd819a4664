//! (λ/2) Σ F (θ − θ*)² and its gradient, once a step.
//!
//! Of an adapted matrix with F = u vᵀ, ΔW = s·C D with C [out, R] and D [R, in] is held by
//! (λ s²/2) Σ (Cᵀ diag(u) C) ∘ (D diag(v) Dᵀ), which forms nothing of the matrix's size. The factors are made with √u and √v
//! in them, so that both are products of one buffer with itself. For LoRA C = B and D = A; for AdaLoRA E stands between
//! them; for PiSSA, whose start is no change, C = [B − B₀ | B₀] and D = [A | A − A₀], one above the other. Of an embedding
//! [vocab, hidden] ΔW = s·Aᵀ Bᵀ, and both factors are held with their ranks side by side.

use super::super::estimate::layer_of;
use super::super::params::{ParamId, Params};
use super::super::slot::product;
use super::super::state::{Adapted, AdapterState};
use super::super::targets::Kind;
use super::decomposed::Decomposed;
use super::{Fisher, FisherOf, FisherPart};
use crate::ModelError;
use crate::stored::check_shape;
use crate::stream::{Course, Stream};
use kernels::{Backend, Gemm, Op, Write, mat, mat_mut};
use std::collections::BTreeMap;
use weights::Checkpoint;

/// Everything that is held, and how firmly.
pub struct Anchors<B: Backend> {
    tensors: Vec<Tensor<B>>,
    pairs: Vec<Pair<B>>,
    scratch: Option<Scratch<B>>,
}

/// A tensor that is trained itself.
struct Tensor<B: Backend> {
    id: ParamId,
    lambda: f64,
    shape: (usize, usize),
    u: B::Buf,
    v: B::Buf,
    anchor: B::Buf,
}

/// A matrix with a low-rank adapter.
struct Pair<B: Backend> {
    /// Place in the adapter's list.
    at: usize,
    /// Where its matrix may have to be read.
    layer: Option<usize>,
    lambda: f64,
    hold: Hold<B>,
}

enum Hold<B: Backend> {
    Product(Product<B>),
    /// DoRA's rows.
    Rows(Decomposed<B>),
    /// An embedding's: √u [vocab] and √v [hidden].
    Lookup {
        u: B::Buf,
        v: B::Buf,
    },
}

/// A change that is a product.
struct Product<B: Backend> {
    /// √u [out] and √v [in]
    u: B::Buf,
    v: B::Buf,
    /// PiSSA's B₀ and A₀.
    first: Option<(B::Buf, B::Buf)>,
}

/// Large enough for any pair.
pub(super) struct Scratch<B: Backend> {
    /// √u∘C [out, R], and D∘√v [R, in].
    pub c: B::Buf,
    pub d: B::Buf,
    /// A gradient before it is scaled: [out, r] or [r, in].
    pub wide: B::Buf,
    /// CᵀC and DDᵀ [R, R].
    pub m: B::Buf,
    pub n: B::Buf,
}

impl<B: Backend> Default for Anchors<B> {
    fn default() -> Self {
        Anchors { tensors: Vec::new(), pairs: Vec::new(), scratch: None }
    }
}

impl<B: Backend> Anchors<B> {
    /// Holds what `fisher` is of from now on, beside what is held already. `base`: the files of the base, where its tensors
    /// that are trained whole are held.
    ///
    /// # Errors
    /// `MissingTensor` where the Fisher lacks what is trained, `UnknownTensor` and `Shape` where it is another adapter's;
    /// those of reading a layer.
    pub fn hold(
        &mut self,
        backend: &B,
        (fisher, lambda): (&Fisher, f64),
        (adapter, params): (&AdapterState<B>, &Params<B>),
        stream: &mut Stream<B>,
        base: &Checkpoint,
    ) -> Result<(), ModelError> {
        let parts: BTreeMap<&str, &FisherPart> = fisher.parts.iter().map(|part| (part.name.as_str(), part)).collect();
        let part = |name: &str| {
            parts
                .get(name)
                .copied()
                .ok_or_else(|| ModelError::MissingTensor { tensor: format!("{name} of the Fisher") })
        };
        if fisher.of == FisherOf::Adapter {
            for id in params.ids() {
                let part = part(&params.get(id).info.name)?;
                let anchor = part.anchor.clone();
                let anchor =
                    anchor.ok_or_else(|| ModelError::MissingTensor { tensor: format!("{}'s anchor", part.name) })?;
                self.tensors.push(Tensor::new(backend, (id, lambda), params, part, &anchor)?);
            }
            return match parts.keys().find(|name| !params.iter().any(|p| p.info.name == **name)) {
                Some(name) => Err(ModelError::UnknownTensor { tensor: (*name).to_owned() }),
                None => Ok(()),
            };
        }
        for (at, a) in adapter.adapted.iter().enumerate() {
            let hold = Hold::new(backend, a, params, stream, part(&a.tensor())?)?;
            self.pairs.push(Pair { at, layer: layer_of(&a.module), lambda, hold });
        }
        for whole in &adapter.whole {
            let anchor = base.get(&whole.tensor)?.to_f32()?;
            self.tensors.push(Tensor::new(backend, (whole.id, lambda), params, part(&whole.tensor)?, &anchor)?);
        }
        if !self.pairs.is_empty() {
            self.scratch = Some(Scratch::new(backend, adapter, params)?);
        }
        Ok(())
    }

    /// Adds the gradients; returns the value.
    ///
    /// # Errors
    /// The kernels'; those of reading a layer, where that is streamed and its rows are held.
    pub fn pull(
        &mut self,
        backend: &B,
        adapter: &AdapterState<B>,
        params: &mut Params<B>,
        stream: &mut Stream<B>,
    ) -> Result<f64, ModelError> {
        let mut value = 0.0;
        for Tensor { id, lambda, shape, u, v, anchor } in &self.tensors {
            let p = params.get_mut(*id);
            let sum = backend.pull(*shape, *lambda as f32, (u, v), anchor, &p.value, &mut p.grad)?;
            value += lambda / 2.0 * sum;
        }
        let Some(scratch) = &mut self.scratch else { return Ok(value) };
        for Pair { at, layer, lambda, hold } in &mut self.pairs {
            let a = &adapter.adapted[*at];
            value += match hold {
                Hold::Product(p) => p.pull(backend, (a, *lambda), params, scratch)?,
                Hold::Rows(d) => {
                    if let Some(layer) = *layer {
                        stream.enter(layer, Course::Up { back: false })?;
                    }
                    d.pull(backend, (a, *lambda), (params, stream), scratch)?
                }
                Hold::Lookup { u, v } => pull_lookup(backend, (a, *lambda), (u, v), params, scratch)?,
            };
        }
        Ok(value)
    }

    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty() && self.pairs.is_empty()
    }
}

impl<B: Backend> Tensor<B> {
    fn new(
        backend: &B,
        (id, lambda): (ParamId, f64),
        params: &Params<B>,
        part: &FisherPart,
        anchor: &[f32],
    ) -> Result<Self, ModelError> {
        let p = params.get(id);
        let (u, v) = part.importance.factors();
        let shape = match p.info.shape[..] {
            [rows, columns] if u.len() == rows && rows != 1 => (rows, columns),
            _ => (1, p.len),
        };
        check_shape(&part.name, &[shape.0, shape.1], &[u.len(), v.len()])?;
        check_shape(&part.name, &[p.len], &[anchor.len()])?;
        // One factor alone has the layout of the tensor.
        let v = if shape.0 == 1 { p.as_in_memory(&v) } else { v.into() };
        let [u, v, anchor] = [&u[..], &v, &p.as_in_memory(anchor)].map(|values| uploaded(backend, values));
        Ok(Tensor { id, lambda, shape, u: u?, v: v?, anchor: anchor? })
    }
}

impl<B: Backend> Hold<B> {
    fn new(
        backend: &B,
        a: &Adapted<B>,
        params: &Params<B>,
        stream: &mut Stream<B>,
        part: &FisherPart,
    ) -> Result<Self, ModelError> {
        let (rows, columns) = a.of_base(params);
        let (u, v) = part.importance.factors();
        check_shape(&part.name, &[rows, columns], &[u.len(), v.len()])?;
        if let Some(magnitude) = a.magnitude {
            if let Some(layer) = layer_of(&a.module) {
                stream.enter(layer, Course::Up { back: false })?;
            }
            return Ok(Hold::Rows(Decomposed::new(backend, (a, magnitude), stream, u, v)?));
        }
        let root = |values: Vec<f32>| uploaded(backend, &values.iter().map(|v| v.max(0.0).sqrt()).collect::<Vec<_>>());
        let (u, v) = (root(u)?, root(v)?);
        if a.kind == Kind::Embedding {
            return Ok(Hold::Lookup { u, v });
        }
        let first = match &a.principal {
            None => None,
            Some(first) => Some((uploaded(backend, &first.b)?, uploaded(backend, &first.a)?)),
        };
        Ok(Hold::Product(Product { u, v, first }))
    }
}

impl<B: Backend> Scratch<B> {
    fn new(backend: &B, adapter: &AdapterState<B>, params: &Params<B>) -> Result<Self, ModelError> {
        let most = |f: &dyn Fn(&Adapted<B>, usize, usize) -> usize| {
            let of = adapter.adapted.iter().map(|a| {
                let (rows, columns) = a.of_base(params);
                f(a, columns, rows)
            });
            of.max().unwrap_or(0)
        };
        let stacked = |a: &Adapted<B>| if a.principal.is_some() { 2 * a.r } else { a.r };
        Ok(Scratch {
            c: backend.alloc(most(&|a, _, n_out| n_out * stacked(a)))?,
            d: backend.alloc(most(&|a, n_in, _| n_in * stacked(a)))?,
            wide: backend.alloc(most(&|a, n_in, n_out| n_in.max(n_out) * a.r))?,
            m: backend.alloc(most(&|a, _, _| stacked(a).pow(2)))?,
            n: backend.alloc(most(&|a, _, _| stacked(a).pow(2)))?,
        })
    }
}

impl<B: Backend> Product<B> {
    /// Adds the gradients of A, B and E; returns the value.
    fn pull(
        &self,
        backend: &B,
        (a, lambda): (&Adapted<B>, f64),
        params: &mut Params<B>,
        s: &mut Scratch<B>,
    ) -> Result<f64, ModelError> {
        let ((n_in, n_out), r) = (a.sides(params), a.r);
        let wide = if self.first.is_some() { 2 * r } else { r };
        self.factors(backend, params, a, wide, s)?;
        let (c, d) = (mat(&s.c, 0, wide), mat(&s.d, 0, n_in));
        backend.gemm(product(wide, wide, n_out, Op::T, Op::N), c, c, mat_mut(&mut s.m, 0, wide))?;
        backend.gemm(product(wide, wide, n_in, Op::N, Op::T), d, d, mat_mut(&mut s.n, 0, wide))?;
        let (mut m, mut n) = (vec![0.0; wide * wide], vec![0.0; wide * wide]);
        backend.download(&s.m, 0, &mut m)?;
        backend.download(&s.n, 0, &mut n)?;

        let strength = lambda * a.scale * a.scale;
        let between = match a.e {
            None => vec![1.0; wide],
            Some(e) => gradient_between(backend, params, e, strength, (&m, &n))?,
        };
        scale_both_sides(&mut n, &between);
        let value = strength / 2.0 * m.iter().zip(&n).map(|(m, n)| f64::from(*m) * f64::from(*n)).sum::<f64>();
        scale_both_sides(&mut m, &between);
        if self.first.is_some() {
            // D has A in it twice.
            let (upper, lower) = m.split_at_mut(r * wide);
            upper.iter_mut().zip(lower).for_each(|(upper, lower)| *upper += *lower);
        }
        backend.upload(&mut s.n, 0, &n)?;
        backend.upload(&mut s.m, 0, &m)?;

        let g = Gemm { alpha: strength as f32, ..product(n_out, r, wide, Op::N, Op::N) };
        backend.gemm(g, mat(&s.c, 0, wide), mat(&s.n, 0, wide), mat_mut(&mut s.wide, 0, r))?;
        let db = mat_mut(&mut params.get_mut(a.b).grad, 0, r);
        backend.scale_rows(n_out, r, &self.u, 1.0, mat(&s.wide, 0, r), db, Write::Add)?;
        let g = Gemm { alpha: strength as f32, ..product(r, n_in, wide, Op::N, Op::N) };
        backend.gemm(g, mat(&s.m, 0, wide), mat(&s.d, 0, n_in), mat_mut(&mut s.wide, 0, n_in))?;
        let da = mat_mut(&mut params.get_mut(a.a).grad, 0, n_in);
        backend.scale_columns(r, n_in, &self.v, (1.0, 0.0), mat(&s.wide, 0, n_in), da, Write::Add)?;
        Ok(value)
    }

    /// Fills c [out, R] and d [R, in].
    fn factors(
        &self,
        backend: &B,
        params: &Params<B>,
        a: &Adapted<B>,
        wide: usize,
        s: &mut Scratch<B>,
    ) -> Result<(), ModelError> {
        let ((n_in, n_out), r, Product { u, v, first }) = (a.sides(params), a.r, self);
        let (now_b, now_a) = (mat(&params.get(a.b).value, 0, r), mat(&params.get(a.a).value, 0, n_in));
        backend.scale_rows(n_out, r, u, 1.0, now_b, mat_mut(&mut s.c, 0, wide), Write::Set)?;
        backend.scale_columns(r, n_in, v, (1.0, 0.0), now_a, mat_mut(&mut s.d, 0, n_in), Write::Set)?;
        let Some((first_b, first_a)) = first else { return Ok(()) };
        let (first_b, first_a) = (mat(first_b, 0, r), mat(first_a, 0, n_in));
        backend.scale_rows(n_out, r, u, -1.0, first_b, mat_mut(&mut s.c, 0, wide), Write::Add)?;
        backend.scale_rows(n_out, r, u, 1.0, first_b, mat_mut(&mut s.c, r, wide), Write::Set)?;
        for (sign, a, write) in [(1.0, now_a, Write::Set), (-1.0, first_a, Write::Add)] {
            backend.scale_columns(r, n_in, v, (sign, 0.0), a, mat_mut(&mut s.d, r * n_in, n_in), write)?;
        }
        Ok(())
    }
}

/// As [`Product::pull`], of an embedding: C = √u∘Aᵀ [vocab, r] and D = √v∘B [hidden, r] lie alike in memory.
fn pull_lookup<B: Backend>(
    backend: &B,
    (a, lambda): (&Adapted<B>, f64),
    (u, v): (&B::Buf, &B::Buf),
    params: &mut Params<B>,
    s: &mut Scratch<B>,
) -> Result<f64, ModelError> {
    let ((vocab, hidden), r) = (a.of_base(params), a.r);
    let strength = lambda * a.scale * a.scale;
    let sides = [(a.a, vocab, u), (a.b, hidden, v)];
    let mut grams = [vec![0.0; r * r], vec![0.0; r * r]];
    for (((id, n, root), scaled), gram) in sides.into_iter().zip([&mut s.c, &mut s.d]).zip(&mut grams) {
        backend.scale_rows(n, r, root, 1.0, mat(&params.get(id).value, 0, r), mat_mut(scaled, 0, r), Write::Set)?;
        let scaled = mat(&*scaled, 0, r);
        backend.gemm(product(r, r, n, Op::T, Op::N), scaled, scaled, mat_mut(&mut s.m, 0, r))?;
        backend.download(&s.m, 0, gram)?;
    }
    // dAᵀ += λ s² √u∘(C DᵀD), and dB += λ s² √v∘(D CᵀC)
    for (((id, n, root), scaled), other) in sides.into_iter().zip([&s.c, &s.d]).zip([&grams[1], &grams[0]]) {
        backend.upload(&mut s.m, 0, other)?;
        let g = Gemm { alpha: strength as f32, ..product(n, r, r, Op::N, Op::N) };
        backend.gemm(g, mat(scaled, 0, r), mat(&s.m, 0, r), mat_mut(&mut s.wide, 0, r))?;
        let grad = mat_mut(&mut params.get_mut(id).grad, 0, r);
        backend.scale_rows(n, r, root, 1.0, mat(&s.wide, 0, r), grad, Write::Add)?;
    }
    let [m, n] = grams;
    Ok(strength / 2.0 * m.iter().zip(&n).map(|(m, n)| f64::from(*m) * f64::from(*n)).sum::<f64>())
}

/// Adds dE_k = λ s² Σ_l E_l M_kl N_kl; returns E.
fn gradient_between<B: Backend>(
    backend: &B,
    params: &mut Params<B>,
    e: ParamId,
    strength: f64,
    (m, n): (&[f32], &[f32]),
) -> Result<Vec<f32>, ModelError> {
    let p = params.get_mut(e);
    let mut values = vec![0.0; p.len];
    let mut grad = vec![0.0; p.len];
    backend.download(&p.value, 0, &mut values)?;
    backend.download(&p.grad, 0, &mut grad)?;
    for (k, grad) in grad.iter_mut().enumerate() {
        let row = k * values.len()..(k + 1) * values.len();
        let terms = values.iter().zip(&m[row.clone()]).zip(&n[row]);
        let sum: f64 = terms.map(|((e, m), n)| f64::from(*e) * f64::from(*m) * f64::from(*n)).sum();
        *grad += (strength * sum) as f32;
    }
    backend.upload(&mut p.grad, 0, &grad)?;
    Ok(values)
}

/// x_kl ← e_k x_kl e_l
fn scale_both_sides(x: &mut [f32], e: &[f32]) {
    for (row, at_row) in x.chunks_exact_mut(e.len().max(1)).zip(e) {
        row.iter_mut().zip(e).for_each(|(x, at_column)| *x *= at_row * at_column);
    }
}

pub(super) fn uploaded<B: Backend>(backend: &B, values: &[f32]) -> Result<B::Buf, ModelError> {
    let mut buf = backend.alloc(values.len())?;
    backend.upload(&mut buf, 0, values)?;
    Ok(buf)
}
