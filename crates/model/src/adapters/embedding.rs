//! The token embedding, and a norm's weight: the other two places where something can be trained.

use super::params::{ParamId, Params};
use super::slot::{Cx, Matrix, SlotScratch, Vector, product};
use crate::ModelError;
use kernels::{Backend, Gemm, Op, Write, mat, mat_mut};

/// A lookup W[ids] + s·Aᵀ[ids] Bᵀ, with A [r, V] (kept [V, r]) and B [H, r].
pub struct Embedding<B: Backend> {
    pub(super) weight: Matrix<B>,
    pub(super) lora: Option<EmbeddingLora>,
    pub(super) hidden: usize,
}

/// PEFT applies no dropout here, so there is none.
#[derive(Clone, Copy)]
pub(super) struct EmbeddingLora {
    pub a: ParamId,
    pub b: ParamId,
    pub r: usize,
    pub scale: f32,
    /// As a slot's.
    pub place: u64,
}

impl<B: Backend> Embedding<B> {
    pub fn trains(&self) -> bool {
        self.lora.is_some() || self.weight.trains()
    }

    /// out[t, H] = scale · (W[ids] + s·Aᵀ[ids] Bᵀ)
    pub fn forward(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        ids: &B::Idx,
        scale: f32,
        out: &mut B::Buf,
    ) -> Result<(), ModelError> {
        let (h, be) = (self.hidden, cx.backend);
        match self.weight.held(cx.stream) {
            Ok(w) => be.embed(t, ids, w, scale, out)?,
            Err(id) => {
                let table = mat(&cx.params.get(id).value, 0, h);
                be.gather_rows(t, h, ids, 0, table, scale, mat_mut(out, 0, h), Write::Set)?;
            }
        }
        let Some(l) = &self.lora else { return Ok(()) };
        let SlotScratch { xa, .. } = &mut *cx.scratch;
        let (a, b) = (cx.params.get(l.a), cx.params.get(l.b));
        be.gather_rows(t, l.r, ids, 0, mat(&a.value, 0, l.r), 1.0, mat_mut(xa, 0, l.r), Write::Set)?;
        let up = Gemm { alpha: l.scale * scale, write: Write::Add, ..product(t, h, l.r, Op::N, Op::T) };
        be.gemm(up, mat(xa, 0, l.r), mat(&b.value, 0, l.r), mat_mut(out, 0, h))?;
        Ok(())
    }

    /// Accumulates the gradients of what is trained here, from the gradient of the scaled output [t, H].
    pub fn backward(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        ids: &B::Idx,
        scale: f32,
        dout: &B::Buf,
    ) -> Result<(), ModelError> {
        let (h, be) = (self.hidden, cx.backend);
        if let Matrix::Trained(id) = &self.weight {
            let grad = mat_mut(&mut cx.params.get_mut(*id).grad, 0, h);
            be.scatter_add_rows(t, h, ids, 0, mat(dout, 0, h), scale, grad)?;
        }
        let Some(l) = &self.lora else { return Ok(()) };
        if let Some(sums) = &mut cx.fisher {
            sums.add_lookup(be, l.place, (t, h), mat(dout, 0, h), scale)?;
        }
        let SlotScratch { xa, dxa, .. } = &mut *cx.scratch;
        let (a, b) = cx.params.pair_mut(l.a, l.b);
        be.gather_rows(t, l.r, ids, 0, mat(&a.value, 0, l.r), 1.0, mat_mut(xa, 0, l.r), Write::Set)?;
        let db = Gemm { alpha: l.scale * scale, write: Write::Add, ..product(h, l.r, t, Op::T, Op::N) };
        be.gemm(db, mat(dout, 0, h), mat(xa, 0, l.r), mat_mut(&mut b.grad, 0, l.r))?;
        let down = Gemm { alpha: l.scale * scale, ..product(t, l.r, h, Op::N, Op::N) };
        be.gemm(down, mat(dout, 0, h), mat(&b.value, 0, l.r), mat_mut(dxa, 0, l.r))?;
        be.scatter_add_rows(t, l.r, ids, 0, mat(dxa, 0, l.r), 1.0, mat_mut(&mut a.grad, 0, l.r))?;
        Ok(())
    }
}

/// A norm's weight.
pub struct Gain<B: Backend>(pub(super) Vector<B>);

impl<B: Backend> Gain<B> {
    /// The value, and the gradient if it is trained.
    pub fn parts<'a>(&'a self, params: &'a mut Params<B>) -> (&'a B::Buf, Option<&'a mut B::Buf>) {
        self.0.parts(params)
    }

    pub fn trains(&self) -> bool {
        matches!(self.0, Vector::Trained(_))
    }
}
