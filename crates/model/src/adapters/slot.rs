//! What a linear layer is made of: its weight, its bias, and what the adapter adds. [`Fan`](super::Fan) computes with it.

use super::dora::{Magnitude, RowNorms};
use super::ewc::Sums;
use super::params::{ParamId, Params};
use crate::stream::Stream;
use crate::{ModelError, StepKey};
use kernels::{Backend, Gemm, MatMut, Op, Write};
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
    pub stream: &'a mut Stream<B>,
    pub mode: Mode,
    /// Where the base's Fisher is being measured.
    pub fisher: Option<&'a mut Sums<B>>,
}

/// Memory shared by all slots.
pub struct SlotScratch<B: Backend> {
    /// Rows of an adapted embedding [T, r].
    pub(super) xa: B::Buf,
    /// Gradients of a fan's xAᵀ side by side [T, Σ r].
    pub(super) dxa: B::Buf,
    /// The dropped-out input [T, in].
    pub(super) dropped: B::Buf,
    /// Of AdaLoRA: a fan's s·E∘(xAᵀ), or s·E∘(dy B), side by side [T, Σ r].
    pub(super) scaled: B::Buf,
    /// Of slots with a magnitude: their outputs, or the gradients of those [T, out]; A Wᵀ [r, out]; A Aᵀ [r, r].
    pub(super) wide: B::Buf,
    pub(super) cross: B::Buf,
    pub(super) gram: B::Buf,
    pub(super) norms: Vec<RowNorms<B>>,
}

impl<B: Backend> SlotScratch<B> {
    pub(super) fn new(backend: &B, t: usize, widths: Widths, norms: Vec<RowNorms<B>>) -> Result<Self, ModelError> {
        let Widths { embedding, fan, dropout, scaled, wide, cross, gram, .. } = widths;
        let alloc = |width: usize| backend.alloc(t.saturating_mul(width));
        Ok(SlotScratch {
            xa: alloc(embedding)?,
            dxa: alloc(fan)?,
            dropped: alloc(dropout)?,
            scaled: alloc(scaled)?,
            wide: alloc(wide)?,
            cross: backend.alloc(cross)?,
            gram: backend.alloc(gram)?,
            norms,
        })
    }
}

/// Columns of [`SlotScratch`]'s buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Widths {
    /// The embedding's rank.
    pub embedding: usize,
    /// The largest sum of ranks in one layer, which no fan exceeds.
    pub fan: usize,
    /// The widest input that is dropped out.
    pub dropout: usize,
    /// As `fan`, with AdaLoRA.
    pub scaled: usize,
    /// The widest output of a slot with a magnitude.
    pub wide: usize,
    /// Floats whatever the tokens are: the largest r·out and r·r of such a slot, and what is known of all their rows.
    pub cross: usize,
    pub gram: usize,
    pub rows: usize,
}

impl Widths {
    /// Floats for passes of `t` tokens.
    pub fn floats(self, t: usize) -> u64 {
        let sum = |list: &[usize]| list.iter().fold(0u64, |sum, w| sum.saturating_add(*w as u64));
        let per_token = sum(&[self.embedding, self.fan, self.dropout, self.scaled, self.wide]);
        per_token.saturating_mul(t as u64).saturating_add(sum(&[self.cross, self.gram, self.rows]))
    }
}

/// A weight [out, in]: frozen (shared where tied), frozen in a layer that is read when its turn comes, or trained as a
/// whole.
pub(super) enum Matrix<B: Backend> {
    Frozen(Arc<B::Weight>),
    /// Its place in a stage.
    Streamed(usize),
    Trained(ParamId),
}

impl<B: Backend> Clone for Matrix<B> {
    fn clone(&self) -> Self {
        match self {
            Matrix::Frozen(w) => Matrix::Frozen(Arc::clone(w)),
            Matrix::Streamed(place) => Matrix::Streamed(*place),
            Matrix::Trained(id) => Matrix::Trained(*id),
        }
    }
}

impl<B: Backend> Matrix<B> {
    /// The frozen matrix of the layer that computes now; or the parameter that it is.
    pub(super) fn held<'a>(&'a self, stream: &'a Stream<B>) -> Result<&'a B::Weight, ParamId> {
        match self {
            Matrix::Frozen(w) => Ok(w),
            Matrix::Streamed(place) => Ok(stream.weight(*place)),
            Matrix::Trained(id) => Err(*id),
        }
    }

    pub(super) fn trains(&self) -> bool {
        matches!(self, Matrix::Trained(_))
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
    /// DoRA
    pub magnitude: Option<Magnitude>,
    /// AdaLoRA's E [r, 1]
    pub e: Option<ParamId>,
}

impl Lora {
    /// What xAᵀ and dy B are multiplied with as they are made: where E is between, s comes with it.
    pub(super) fn inner_scale(&self) -> f32 {
        if self.e.is_some() { 1.0 } else { self.scale }
    }

    /// The probability and the key of this pass's dropout mask, where there is one.
    pub(super) fn dropout(&self, mode: Mode) -> Option<(f32, u64)> {
        match mode {
            Mode::Train(key) if self.dropout > 0.0 => {
                let words = [self.place, key.seed, key.step, key.micro];
                Some((self.dropout, words.iter().fold(0, |h, &w| mix(h ^ w))))
            }
            _ => None,
        }
    }
}

/// y = x Wᵀ + b + what the adapter adds.
pub struct Slot<B: Backend> {
    pub(super) weight: Matrix<B>,
    pub(super) bias: Option<Vector<B>>,
    pub(super) lora: Option<Lora>,
    pub(super) n_in: usize,
    pub(super) n_out: usize,
}

impl<B: Backend> Slot<B> {
    /// Whether a backward pass has anything to accumulate here.
    pub(super) fn trains(&self) -> bool {
        self.lora.is_some() || self.weight.trains() || matches!(self.bias, Some(Vector::Trained(_)))
    }

    /// The adapter's rank, 0 without one.
    pub(super) fn rank(&self) -> usize {
        self.lora.as_ref().map_or(0, |l| l.r)
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
