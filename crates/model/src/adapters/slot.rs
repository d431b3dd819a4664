//! A linear layer as blocks see it: y = x Wᵀ + b + what the adapter adds. Only this folder knows which adapter.

use super::params::{ParamId, Params};
use crate::{ModelError, StepKey};
use kernels::{Backend, Gemm, LowRank, Mat, MatMut, Op, Write, mat, mat_mut};
use std::sync::Arc;

/// Whether a forward pass is for training (dropout acts) or for measuring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Train(StepKey),
    Eval,
}

/// What a slot needs around it.
pub struct Cx<'a, B: Backend> {
    pub backend: &'a B,
    pub params: &'a mut Params<B>,
    pub scratch: &'a mut SlotScratch<B>,
    pub mode: Mode,
}

/// Memory shared by all slots: xAᵀ and its gradient [T, r], and the dropped-out input [T, in].
pub struct SlotScratch<B: Backend> {
    pub(super) xa: B::Buf,
    pub(super) dxa: B::Buf,
    dropped: B::Buf,
}

impl<B: Backend> SlotScratch<B> {
    /// For at most `t` rows, rank `r`, and inputs of `width` where dropout is used (else 0).
    pub(super) fn new(backend: &B, t: usize, r: usize, width: usize) -> Result<Self, ModelError> {
        Ok(SlotScratch { xa: backend.alloc(t * r)?, dxa: backend.alloc(t * r)?, dropped: backend.alloc(t * width)? })
    }
}

/// A weight [out, in]: frozen (shared where tied) or trained as a whole.
pub(super) enum Matrix<B: Backend> {
    Frozen(Arc<B::Weight>),
    Trained(ParamId),
}

impl<B: Backend> Clone for Matrix<B> {
    fn clone(&self) -> Self {
        match self {
            Matrix::Frozen(w) => Matrix::Frozen(Arc::clone(w)),
            Matrix::Trained(id) => Matrix::Trained(*id),
        }
    }
}

/// A vector added to every row, or a norm's weight.
pub(super) enum Vector<B: Backend> {
    Frozen(B::Buf),
    Trained(ParamId),
}

impl<B: Backend> Vector<B> {
    /// The value, and the gradient if it is trained.
    pub(super) fn parts<'a>(&'a self, params: &'a mut Params<B>) -> (&'a B::Buf, Option<&'a mut B::Buf>) {
        match self {
            Vector::Frozen(value) => (value, None),
            Vector::Trained(id) => {
                let p = params.get_mut(*id);
                (&p.value, Some(&mut p.grad))
            }
        }
    }
}

/// ΔW = scale · B A with A [r, in] and B [out, r] (Hu et al. 2021).
#[derive(Clone, Copy)]
pub(super) struct Lora {
    pub a: ParamId,
    pub b: ParamId,
    pub r: usize,
    pub scale: f32,
    /// 0: none
    pub dropout: f32,
    /// Tells this slot's dropout masks from another's.
    pub place: u64,
}

impl Lora {
    /// The probability and the key of this pass's dropout mask, where there is one.
    fn dropout(&self, mode: Mode) -> Option<(f32, u64)> {
        match mode {
            Mode::Train(key) if self.dropout > 0.0 => {
                let words = [self.place, key.seed, key.step, key.micro];
                Some((self.dropout, words.iter().fold(0, |h, &w| mix(h ^ w))))
            }
            _ => None,
        }
    }
}

pub struct Slot<B: Backend> {
    pub(super) weight: Matrix<B>,
    pub(super) bias: Option<Vector<B>>,
    pub(super) lora: Option<Lora>,
    pub(super) n_in: usize,
    pub(super) n_out: usize,
}

impl<B: Backend> Slot<B> {
    pub fn in_features(&self) -> usize {
        self.n_in
    }

    pub fn out_features(&self) -> usize {
        self.n_out
    }

    /// Whether a backward pass has anything to accumulate here.
    pub fn trains(&self) -> bool {
        self.lora.is_some()
            || matches!(self.weight, Matrix::Trained(_))
            || matches!(self.bias, Some(Vector::Trained(_)))
    }

    /// y[t, out] = x[t, in] Wᵀ + (s·drop(x) Aᵀ) Bᵀ + b
    pub fn forward(&self, cx: &mut Cx<B>, t: usize, x: Mat<B::Buf>, mut y: MatMut<B::Buf>) -> Result<(), ModelError> {
        let low_rank = match &self.lora {
            None => None,
            Some(l) => {
                self.down(cx, l, t, x)?;
                Some(LowRank { r: l.r, z: mat(&cx.scratch.xa, 0, l.r), b: mat(&cx.params.get(l.b).value, 0, l.r) })
            }
        };
        self.weight.product(cx, t, (self.n_out, self.n_in), x, low_rank, reborrow(&mut y))?;
        if let Some(bias) = &self.bias {
            cx.backend.add_bias(t, self.n_out, bias.parts(cx.params).0, y)?;
        }
        Ok(())
    }

    /// Accumulates the gradients of what is trained here; dx (+)= dy W + drop((s·dy B) A).
    pub fn backward(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        x: Mat<B::Buf>,
        dy: Mat<B::Buf>,
        dx: Option<MatMut<B::Buf>>,
        write: Write,
    ) -> Result<(), ModelError> {
        if let Some(Vector::Trained(id)) = &self.bias {
            cx.backend.bias_back(t, self.n_out, dy, &mut cx.params.get_mut(*id).grad)?;
        }
        if let Matrix::Trained(id) = &self.weight {
            let g = Gemm { write: Write::Add, ..product(self.n_out, self.n_in, t, Op::T, Op::N) };
            cx.backend.gemm(g, dy, x, mat_mut(&mut cx.params.get_mut(*id).grad, 0, self.n_in))?;
        }
        if let Some(l) = &self.lora {
            self.lora_backward(cx, l, t, x, dy)?;
        }
        let Some(mut dx) = dx else { return Ok(()) };
        let (shape, dropout) = ((self.n_out, self.n_in), self.lora.as_ref().and_then(|l| l.dropout(cx.mode)));
        let low_rank = self.lora.as_ref().map(|l| LowRank {
            r: l.r,
            z: mat(&cx.scratch.dxa, 0, l.r),
            b: mat(&cx.params.get(l.a).value, 0, self.n_in),
        });
        let Some((p, key)) = dropout else { return self.weight.product_back(cx, t, shape, dy, low_rank, dx, write) };
        // The term goes through its own mask.
        self.weight.product_back(cx, t, shape, dy, None, reborrow(&mut dx), write)?;
        let Some(LowRank { r, z, b }) = low_rank else { return Ok(()) };
        let dropped = &mut cx.scratch.dropped;
        cx.backend.gemm(product(t, self.n_in, r, Op::N, Op::N), z, b, mat_mut(dropped, 0, self.n_in))?;
        cx.backend.dropout(t, self.n_in, p, key, mat(dropped, 0, self.n_in), dx, Write::Add)?;
        Ok(())
    }

    /// xa = s·drop(x) Aᵀ into the scratch; the dropped input stays in `scratch.dropped`.
    fn down(&self, cx: &mut Cx<B>, l: &Lora, t: usize, x: Mat<B::Buf>) -> Result<(), ModelError> {
        let SlotScratch { xa, dropped, .. } = &mut *cx.scratch;
        let g = Gemm { alpha: l.scale, ..product(t, l.r, self.n_in, Op::N, Op::T) };
        let a = mat(&cx.params.get(l.a).value, 0, self.n_in);
        match l.dropout(cx.mode) {
            None => cx.backend.gemm(g, x, a, mat_mut(xa, 0, l.r))?,
            Some((p, key)) => {
                cx.backend.dropout(t, self.n_in, p, key, x, mat_mut(dropped, 0, self.n_in), Write::Set)?;
                cx.backend.gemm(g, mat(dropped, 0, self.n_in), a, mat_mut(xa, 0, l.r))?;
            }
        }
        Ok(())
    }

    /// dB += dyᵀ xa;  dxa = s·dy B, which stays in the scratch;  dA += dxaᵀ drop(x)
    fn lora_backward(
        &self,
        cx: &mut Cx<B>,
        l: &Lora,
        t: usize,
        x: Mat<B::Buf>,
        dy: Mat<B::Buf>,
    ) -> Result<(), ModelError> {
        self.down(cx, l, t, x)?;
        let (backend, n_in) = (cx.backend, self.n_in);
        let SlotScratch { xa, dxa, dropped } = &mut *cx.scratch;
        let (a, b) = cx.params.pair_mut(l.a, l.b);
        let db = Gemm { write: Write::Add, ..product(self.n_out, l.r, t, Op::T, Op::N) };
        backend.gemm(db, dy, mat(xa, 0, l.r), mat_mut(&mut b.grad, 0, l.r))?;
        let down = Gemm { alpha: l.scale, ..product(t, l.r, self.n_out, Op::N, Op::N) };
        backend.gemm(down, dy, mat(&b.value, 0, l.r), mat_mut(dxa, 0, l.r))?;
        let da = Gemm { write: Write::Add, ..product(l.r, n_in, t, Op::T, Op::N) };
        let x = if l.dropout(cx.mode).is_some() { mat(&*dropped, 0, n_in) } else { x };
        backend.gemm(da, mat(dxa, 0, l.r), x, mat_mut(&mut a.grad, 0, n_in))?;
        Ok(())
    }
}

impl<B: Backend> Matrix<B> {
    /// y = x Wᵀ + z bᵀ; shape is (out, in)
    fn product(
        &self,
        cx: &Cx<B>,
        t: usize,
        shape: (usize, usize),
        x: Mat<B::Buf>,
        low_rank: Option<LowRank<B::Buf>>,
        mut y: MatMut<B::Buf>,
    ) -> Result<(), ModelError> {
        match self {
            Matrix::Frozen(w) => cx.backend.linear(t, x, w, low_rank, y, Write::Set)?,
            Matrix::Trained(id) => {
                let w = mat(&cx.params.get(*id).value, 0, shape.1);
                cx.backend.gemm(product(t, shape.0, shape.1, Op::N, Op::T), x, w, reborrow(&mut y))?;
                if let Some(LowRank { r, z, b }) = low_rank {
                    let up = Gemm { write: Write::Add, ..product(t, shape.0, r, Op::N, Op::T) };
                    cx.backend.gemm(up, z, b, y)?;
                }
            }
        }
        Ok(())
    }

    /// dx (+)= dy W + z a
    fn product_back(
        &self,
        cx: &Cx<B>,
        t: usize,
        shape: (usize, usize),
        dy: Mat<B::Buf>,
        low_rank: Option<LowRank<B::Buf>>,
        mut dx: MatMut<B::Buf>,
        write: Write,
    ) -> Result<(), ModelError> {
        match self {
            Matrix::Frozen(w) => cx.backend.linear_back(t, dy, w, low_rank, dx, write)?,
            Matrix::Trained(id) => {
                let w = mat(&cx.params.get(*id).value, 0, shape.1);
                let g = Gemm { write, ..product(t, shape.1, shape.0, Op::N, Op::N) };
                cx.backend.gemm(g, dy, w, reborrow(&mut dx))?;
                if let Some(LowRank { r, z, b }) = low_rank {
                    let up = Gemm { write: Write::Add, ..product(t, shape.1, r, Op::N, Op::N) };
                    cx.backend.gemm(up, z, b, dx)?;
                }
            }
        }
        Ok(())
    }
}

/// D[m,n] = op(A) op(B), alpha 1, overwriting.
pub(super) fn product(m: usize, n: usize, k: usize, a: Op, b: Op) -> Gemm {
    Gemm { m, n, k, a, b, alpha: 1.0, write: Write::Set }
}

pub(super) fn reborrow<'a, T>(m: &'a mut MatMut<'_, T>) -> MatMut<'a, T> {
    MatMut { buf: m.buf, off: m.off, ld: m.ld }
}

/// SplitMix64's finaliser (Steele, Lea & Flood 2014): every bit of the input reaches every bit of the output.
pub(super) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
