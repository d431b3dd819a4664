//! DoRA (Liu et al. 2024): a matrix's rows have a trained magnitude m, and a direction that a low-rank adapter turns.
//! V = W + s·BA, g = m / ‖V‖ by rows, and y = x Wᵀ + b + (g − 1)∘(x̃ Wᵀ) + g∘(s·x̃ Aᵀ Bᵀ), where x̃ is what dropout leaves
//! of x. The norm counts as a constant in the pass back, and the bias is not scaled.

use super::params::ParamId;
use super::slot::{Cx, Lora, Slot, SlotScratch, product, reborrow};
use crate::ModelError;
use crate::stream::Stream;
use kernels::{Backend, Gemm, LowRank, Mat, MatMut, Op, Part, Write, mat, mat_mut};

/// A slot's trained magnitude, and where [`RowNorms`] of it are.
#[derive(Clone, Copy)]
pub(super) struct Magnitude {
    /// [out]
    pub m: ParamId,
    pub norms: usize,
}

/// Floats of a row in [`RowNorms`].
pub(super) const WIDTH: usize = 3;

/// What is known of a matrix's rows, [out] each.
pub(super) struct RowNorms<B: Backend> {
    /// ‖W‖²
    squares: B::Buf,
    /// g = m / ‖V‖, and 1 / ‖V‖
    scale: B::Buf,
    inverse: B::Buf,
    /// The state of the parameters that they are of.
    of: Option<u64>,
}

impl<B: Backend> RowNorms<B> {
    pub fn new(backend: &B, w: &B::Weight, n_out: usize) -> Result<Self, ModelError> {
        let mut squares = backend.alloc(n_out)?;
        backend.row_squares(w, None, &mut squares)?;
        Ok(RowNorms { squares, scale: backend.alloc(n_out)?, inverse: backend.alloc(n_out)?, of: None })
    }

    /// ‖W‖, where m begins.
    pub fn of_base(&self, backend: &B) -> Result<Vec<f32>, ModelError> {
        let mut norms = vec![0.0; backend.len(&self.squares)];
        backend.download(&self.squares, 0, &mut norms)?;
        norms.iter_mut().for_each(|v| *v = v.sqrt());
        Ok(norms)
    }
}

/// A slot with a magnitude, its adapter, and where its columns are.
pub(super) struct Decomposed<'a, B: Backend> {
    pub slot: &'a Slot<B>,
    pub lora: Lora,
    pub magnitude: Magnitude,
    /// Of the adapter's columns in the scratch, and how many there are in a row.
    pub at: usize,
    pub ranks: usize,
}

impl<'a, B: Backend> Decomposed<'a, B> {
    /// What `slot` is, if it has a magnitude.
    pub fn of(slot: &'a Slot<B>, at: usize, ranks: usize) -> Option<Self> {
        let lora = slot.lora?;
        Some(Decomposed { slot, lora, magnitude: lora.magnitude?, at, ranks })
    }

    /// y = x Wᵀ + (g − 1)∘(x̃ Wᵀ) + g∘(xa Bᵀ)
    pub fn forward(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        x: Mat<B::Buf>,
        xa: Mat<B::Buf>,
        mut y: MatMut<B::Buf>,
    ) -> Result<(), ModelError> {
        self.refresh(cx)?;
        let (n_in, n_out, r) = (self.slot.n_in, self.slot.n_out, self.lora.r);
        let Cx { backend: be, params, scratch: SlotScratch { wide, dropped, norms, .. }, stream, mode, .. } = cx;
        let (w, b) = (frozen(self.slot, stream), mat(&params.get(self.lora.b).value, 0, r));
        let scale = &norms[self.magnitude.norms].scale;
        let Some((p, key)) = self.lora.dropout(*mode) else {
            let part = Part { w, low_rank: Some(LowRank { r, z: xa, b }) };
            be.linear(t, x, &[part], mat_mut(wide, 0, n_out), Write::Set)?;
            be.scale_columns(t, n_out, scale, (1.0, 0.0), mat(wide, 0, n_out), y, Write::Set)?;
            return Ok(());
        };
        be.linear(t, x, &[Part { w, low_rank: None }], reborrow(&mut y), Write::Set)?;
        be.dropout(t, n_in, p, key, x, mat_mut(dropped, 0, n_in), Write::Set)?;
        let x = mat(&*dropped, 0, n_in);
        be.linear(t, x, &[Part { w, low_rank: None }], mat_mut(wide, 0, n_out), Write::Set)?;
        be.scale_columns(t, n_out, scale, (1.0, -1.0), mat(wide, 0, n_out), reborrow(&mut y), Write::Add)?;
        be.gemm(product(t, n_out, r, Op::N, Op::T), xa, b, mat_mut(wide, 0, n_out))?;
        be.scale_columns(t, n_out, scale, (1.0, 0.0), mat(wide, 0, n_out), y, Write::Add)?;
        Ok(())
    }

    /// dxa = s·(g∘dy) B
    pub fn gradient_of_xa(&self, cx: &mut Cx<B>, t: usize, dy: Mat<B::Buf>) -> Result<(), ModelError> {
        let (n_out, Lora { r, scale, b, .. }) = (self.slot.n_out, self.lora);
        let Cx { backend: be, params, scratch: SlotScratch { wide, dxa, norms, .. }, .. } = cx;
        let g = &norms[self.magnitude.norms].scale;
        be.scale_columns(t, n_out, g, (1.0, 0.0), dy, mat_mut(wide, 0, n_out), Write::Set)?;
        let product = Gemm { alpha: scale, ..product(t, r, n_out, Op::N, Op::N) };
        let (dy, b) = (mat(&*wide, 0, n_out), mat(&params.get(b).value, 0, r));
        Ok(be.gemm(product, dy, b, mat_mut(dxa, self.at, self.ranks))?)
    }

    /// dx (+)= (g∘dy) W + dxa A where no dropout acts; else dx (+)= dy W + drop(((g − 1)∘dy) W + dxa A).
    pub fn input_gradient(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        dy: Mat<B::Buf>,
        mut dx: MatMut<B::Buf>,
        write: Write,
    ) -> Result<(), ModelError> {
        let (n_in, n_out, r) = (self.slot.n_in, self.slot.n_out, self.lora.r);
        let Cx { backend: be, params, scratch, stream, mode, .. } = cx;
        let SlotScratch { wide, dropped, dxa, norms, .. } = &mut **scratch;
        let (w, a) = (frozen(self.slot, stream), mat(&params.get(self.lora.a).value, 0, n_in));
        let (g, dxa) = (&norms[self.magnitude.norms].scale, mat(&*dxa, self.at, self.ranks));
        let Some((p, key)) = self.lora.dropout(*mode) else {
            be.scale_columns(t, n_out, g, (1.0, 0.0), dy, mat_mut(wide, 0, n_out), Write::Set)?;
            let part = Part { w, low_rank: Some(LowRank { r, z: dxa, b: a }) };
            return Ok(be.linear_back(t, mat(&*wide, 0, n_out), &[part], dx, write)?);
        };
        be.linear_back(t, dy, &[Part { w, low_rank: None }], reborrow(&mut dx), write)?;
        be.scale_columns(t, n_out, g, (1.0, -1.0), dy, mat_mut(wide, 0, n_out), Write::Set)?;
        be.gemm(product(t, n_in, r, Op::N, Op::N), dxa, a, mat_mut(dropped, 0, n_in))?;
        let (dy, part) = (mat(&*wide, 0, n_out), Part { w, low_rank: None });
        be.linear_back(t, dy, &[part], mat_mut(dropped, 0, n_in), Write::Add)?;
        Ok(be.dropout(t, n_in, p, key, mat(&*dropped, 0, n_in), dx, Write::Add)?)
    }

    /// dB += (g∘dy)ᵀ xa
    pub fn gradient_of_b(&self, cx: &mut Cx<B>, t: usize, xa: Mat<B::Buf>, dy: Mat<B::Buf>) -> Result<(), ModelError> {
        let (n_out, r) = (self.slot.n_out, self.lora.r);
        let Cx { backend: be, params, scratch: SlotScratch { wide, norms, .. }, .. } = cx;
        let g = &norms[self.magnitude.norms].scale;
        be.scale_columns(t, n_out, g, (1.0, 0.0), dy, mat_mut(wide, 0, n_out), Write::Set)?;
        let product = Gemm { write: Write::Add, ..product(n_out, r, t, Op::T, Op::N) };
        Ok(be.gemm(product, mat(&*wide, 0, n_out), xa, mat_mut(&mut params.get_mut(self.lora.b).grad, 0, r))?)
    }

    /// dm += Σ dy∘(x̃ Wᵀ + xa Bᵀ) / ‖V‖. Where dropout acts, x̃ is in the scratch.
    pub fn gradient_of_m(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        x: Mat<B::Buf>,
        xa: Mat<B::Buf>,
        dy: Mat<B::Buf>,
    ) -> Result<(), ModelError> {
        let (n_in, n_out, r) = (self.slot.n_in, self.slot.n_out, self.lora.r);
        let Cx { backend: be, params, scratch: SlotScratch { wide, dropped, norms, .. }, stream, mode, .. } = cx;
        let (w, b) = (frozen(self.slot, stream), mat(&params.get(self.lora.b).value, 0, r));
        let x = if self.lora.dropout(*mode).is_some() { mat(&*dropped, 0, n_in) } else { x };
        let part = Part { w, low_rank: Some(LowRank { r, z: xa, b }) };
        be.linear(t, x, &[part], mat_mut(wide, 0, n_out), Write::Set)?;
        let inverse = Some(&norms[self.magnitude.norms].inverse);
        let dm = &mut params.get_mut(self.magnitude.m).grad;
        Ok(be.column_dots(t, n_out, dy, mat(&*wide, 0, n_out), 1.0, inverse, dm)?)
    }

    /// Computes g and 1 / ‖V‖ where the parameters have changed since.
    fn refresh(&self, cx: &mut Cx<B>) -> Result<(), ModelError> {
        let Cx { backend: be, params, scratch: SlotScratch { cross, gram, norms, .. }, stream, .. } = cx;
        let RowNorms { squares, scale, inverse, of } = &mut norms[self.magnitude.norms];
        if *of == Some(params.changes()) {
            return Ok(());
        }
        let (n_in, n_out, Lora { a, b, r, scale: s, .. }) = (self.slot.n_in, self.slot.n_out, self.lora);
        let (a, b) = (mat(&params.get(a).value, 0, n_in), mat(&params.get(b).value, 0, r));
        let part = Part { w: frozen(self.slot, stream), low_rank: None };
        be.linear(r, a, &[part], mat_mut(cross, 0, n_out), Write::Set)?;
        be.gemm(product(r, r, n_in, Op::N, Op::T), a, a, mat_mut(gram, 0, r))?;
        let (cross, gram, m) = (mat(&*cross, 0, n_out), mat(&*gram, 0, r), &params.get(self.magnitude.m).value);
        be.low_rank_scales(n_out, r, s, squares, cross, gram, b, m, scale, inverse)?;
        *of = Some(params.changes());
        Ok(())
    }
}

fn frozen<'a, B: Backend>(slot: &'a Slot<B>, stream: &'a Stream<B>) -> &'a B::Weight {
    slot.weight.held(stream).unwrap_or_else(|_| unreachable!("a magnitude is of a frozen matrix"))
}

/// Rows of g·(W + ΔW), from those of W + ΔW [out, in]: what merging makes of a matrix.
pub(super) fn scaled_rows(m: &[f32], rows: &mut [f32]) {
    let cols = rows.len() / m.len().max(1);
    for (row, m) in rows.chunks_exact_mut(cols.max(1)).zip(m) {
        let norm = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
        let g = (f64::from(*m) / norm) as f32;
        row.iter_mut().for_each(|v| *v *= g);
    }
}
