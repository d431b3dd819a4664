//! Linear layers as blocks see them: slots that read one input and write side by side. Only this folder knows which
//! adapter they carry.
//!
//! A pass forward keeps xa = s·drop(x)Aᵀ of each slot [T, r], side by side, for the pass back. That one has two halves:
//! [`Fan::input_gradient`] needs the output's gradient alone, [`Fan::accumulate`] also the input, which the block may
//! make again in between.

use super::dora::Decomposed;
use super::slot::{Cx, Lora, Matrix, Slot, SlotScratch, Vector, product, reborrow};
use crate::ModelError;
use kernels::{Backend, Gemm, LowRank, Mat, MatMut, Op, PARTS_MAX, Part, Write, mat, mat_mut};

pub struct Fan<B: Backend> {
    slots: Vec<Slot<B>>,
    /// Where its columns begin in what a layer keeps.
    kept_at: usize,
}

/// Where one slot's columns begin: of the output, and of what is kept.
#[derive(Clone, Copy, Default)]
struct At {
    out: usize,
    kept: usize,
}

impl<B: Backend> Fan<B> {
    /// At most [`PARTS_MAX`] slots of one input. `kept_at`: the columns that a layer keeps for others before this one.
    pub fn new(slots: Vec<Slot<B>>, kept_at: usize) -> Self {
        assert!((1..=PARTS_MAX).contains(&slots.len()), "a fan of {} slots", slots.len());
        Fan { slots, kept_at }
    }

    pub fn in_features(&self) -> usize {
        self.slots[0].n_in
    }

    pub fn out_features(&self) -> usize {
        self.slots.iter().map(|s| s.n_out).sum()
    }

    /// Whether a backward pass has anything to accumulate here.
    pub fn trains(&self) -> bool {
        self.slots.iter().any(Slot::trains)
    }

    /// Columns that a pass forward keeps.
    pub fn kept(&self) -> usize {
        self.slots.iter().map(Slot::rank).sum()
    }

    pub fn kept_at(&self) -> usize {
        self.kept_at
    }

    /// y[t, out] = x[t, in] Wᵀ + (s·drop(x) Aᵀ) Bᵀ + b, slot by slot.
    pub fn forward(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        x: Mat<B::Buf>,
        mut kept: MatMut<B::Buf>,
        mut y: MatMut<B::Buf>,
    ) -> Result<(), ModelError> {
        self.keep(cx, t, x, reborrow(&mut kept))?;
        self.products(cx, t, x, Mat { buf: &*kept.buf, off: kept.off, ld: kept.ld }, reborrow(&mut y))?;
        for (slot, at) in self.placed() {
            if let Some(bias) = &slot.bias {
                let y = MatMut { off: y.off + at.out, ..reborrow(&mut y) };
                cx.backend.add_bias(t, slot.n_out, bias.parts(cx.params).0, y)?;
            }
        }
        Ok(())
    }

    /// What [`Fan::forward`] keeps, without its output.
    pub fn keep(&self, cx: &mut Cx<B>, t: usize, x: Mat<B::Buf>, mut kept: MatMut<B::Buf>) -> Result<(), ModelError> {
        for (slot, at) in self.placed() {
            if let Some(l) = &slot.lora {
                let xa = MatMut { off: kept.off + at.kept, ..reborrow(&mut kept) };
                down(cx, l, slot.n_in, t, x, xa)?;
            }
        }
        Ok(())
    }

    /// dxa = s·dy B of each slot, which [`Fan::accumulate`] needs, into the scratch; dx (+)= dy W + drop(dxa A).
    pub fn input_gradient(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        dy: Mat<B::Buf>,
        dx: Option<MatMut<B::Buf>>,
        write: Write,
    ) -> Result<(), ModelError> {
        let ranks = self.kept();
        for (slot, at) in self.placed() {
            if let Some(d) = Decomposed::of(slot, at.kept, ranks) {
                d.gradient_of_xa(cx, t, Mat { off: dy.off + at.out, ..dy })?;
            } else if let Some(l) = &slot.lora {
                let g = Gemm { alpha: l.inner_scale(), ..product(t, l.r, slot.n_out, Op::N, Op::N) };
                let (dy, b) = (Mat { off: dy.off + at.out, ..dy }, mat(&cx.params.get(l.b).value, 0, l.r));
                cx.backend.gemm(g, dy, b, mat_mut(&mut cx.scratch.dxa, at.kept, ranks))?;
                if let Some(e) = l.e {
                    let SlotScratch { dxa, scaled, .. } = &mut *cx.scratch;
                    let (from, to) = (mat(&*dxa, at.kept, ranks), mat_mut(scaled, at.kept, ranks));
                    let e = &cx.params.get(e).value;
                    cx.backend.scale_columns(t, l.r, e, (l.scale, 0.0), from, to, Write::Set)?;
                }
            }
        }
        let Some(mut dx) = dx else { return Ok(()) };
        self.products_back(cx, t, dy, reborrow(&mut dx), write)?;
        let SlotScratch { dxa, scaled, dropped, .. } = &mut *cx.scratch;
        for (slot, at) in self.placed() {
            // Where dropout acts, the term goes through its mask.
            let plain = slot.lora.as_ref().filter(|l| l.magnitude.is_none());
            let Some((l, (p, key))) = plain.and_then(|l| Some((l, l.dropout(cx.mode)?))) else { continue };
            let (a, g) = (mat(&cx.params.get(l.a).value, 0, slot.n_in), product(t, slot.n_in, l.r, Op::N, Op::N));
            let dxa = if l.e.is_some() { &*scaled } else { &*dxa };
            cx.backend.gemm(g, mat(dxa, at.kept, ranks), a, mat_mut(dropped, 0, slot.n_in))?;
            let dropped = mat(&*dropped, 0, slot.n_in);
            cx.backend.dropout(t, slot.n_in, p, key, dropped, reborrow(&mut dx), Write::Add)?;
        }
        Ok(())
    }

    /// Gradients of what is trained here: dB += dyᵀ xa, dA += dxaᵀ drop(x), and those of whole weights and biases. Comes
    /// after [`Fan::input_gradient`] with the same dy.
    pub fn accumulate(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        x: Mat<B::Buf>,
        kept: Mat<B::Buf>,
        dy: Mat<B::Buf>,
    ) -> Result<(), ModelError> {
        let (backend, ranks) = (cx.backend, self.kept());
        for (slot, at) in self.placed() {
            let (dy, n_in, n_out) = (Mat { off: dy.off + at.out, ..dy }, slot.n_in, slot.n_out);
            if let Some(Vector::Trained(id)) = &slot.bias {
                backend.bias_back(t, n_out, dy, &mut cx.params.get_mut(*id).grad)?;
            }
            if let Matrix::Trained(id) = &slot.weight {
                let g = Gemm { write: Write::Add, ..product(n_out, n_in, t, Op::T, Op::N) };
                backend.gemm(g, dy, x, mat_mut(&mut cx.params.get_mut(*id).grad, 0, n_in))?;
            }
            let Some(l) = &slot.lora else { continue };
            if let Some(sums) = &mut cx.fisher {
                sums.add_pair(backend, l.place, (t, n_in, n_out), x, dy)?;
            }
            let xa = Mat { off: kept.off + at.kept, ..kept };
            let decomposed = Decomposed::of(slot, at.kept, ranks);
            if let Some(d) = &decomposed {
                d.gradient_of_b(cx, t, xa, dy)?;
            } else if l.e.is_none() {
                let db = Gemm { write: Write::Add, ..product(n_out, l.r, t, Op::T, Op::N) };
                backend.gemm(db, dy, xa, mat_mut(&mut cx.params.get_mut(l.b).grad, 0, l.r))?;
            }
            let SlotScratch { dxa, scaled, dropped, .. } = &mut *cx.scratch;
            let dropped_x = match l.dropout(cx.mode) {
                None => x,
                Some((p, key)) => {
                    backend.dropout(t, n_in, p, key, x, mat_mut(dropped, 0, n_in), Write::Set)?;
                    mat(&*dropped, 0, n_in)
                }
            };
            let da = Gemm { write: Write::Add, ..product(l.r, n_in, t, Op::T, Op::N) };
            let a = &mut cx.params.get_mut(l.a).grad;
            let outer = if l.e.is_some() { &*scaled } else { &*dxa };
            backend.gemm(da, mat(outer, at.kept, ranks), dropped_x, mat_mut(a, 0, n_in))?;
            if let Some(e) = l.e {
                // dE += s·Σ (dy B)∘(x̃ Aᵀ), and dB += dyᵀ (s·E∘(x̃ Aᵀ)), for which the scratch is free now.
                let de = &mut cx.params.get_mut(e).grad;
                backend.column_dots(t, l.r, mat(&*dxa, at.kept, ranks), xa, l.scale, None, de)?;
                let to = mat_mut(scaled, at.kept, ranks);
                backend.scale_columns(t, l.r, &cx.params.get(e).value, (l.scale, 0.0), xa, to, Write::Set)?;
                let db = Gemm { write: Write::Add, ..product(n_out, l.r, t, Op::T, Op::N) };
                let xa = mat(&*scaled, at.kept, ranks);
                backend.gemm(db, dy, xa, mat_mut(&mut cx.params.get_mut(l.b).grad, 0, l.r))?;
            }
            if let Some(d) = &decomposed {
                d.gradient_of_m(cx, t, x, xa, dy)?;
            }
        }
        Ok(())
    }

    // --- products with the base ------------------------------------------------------------------

    /// y = x Wᵀ + xa Bᵀ
    fn products(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        x: Mat<B::Buf>,
        kept: Mat<B::Buf>,
        mut y: MatMut<B::Buf>,
    ) -> Result<(), ModelError> {
        self.scale_kept(cx, t, kept)?;
        let ranks = self.kept();
        if self.together() {
            let cx = &*cx;
            let term = |slot: &'_ Slot<B>, at: At| forward_term(cx, slot, at, (kept, ranks));
            return self.with_parts(cx, &term, |parts| Ok(cx.backend.linear(t, x, parts, y, Write::Set)?));
        }
        for (slot, at) in self.placed() {
            let mut y = MatMut { off: y.off + at.out, ..reborrow(&mut y) };
            if let Some(d) = Decomposed::of(slot, at.kept, ranks) {
                d.forward(cx, t, x, Mat { off: kept.off + at.kept, ..kept }, y)?;
                continue;
            }
            let low_rank = forward_term(cx, slot, at, (kept, ranks));
            match slot.weight.held(cx.stream) {
                Ok(w) => cx.backend.linear(t, x, &[Part { w, low_rank }], y, Write::Set)?,
                Err(id) => {
                    let w = mat(&cx.params.get(id).value, 0, slot.n_in);
                    let g = product(t, slot.n_out, slot.n_in, Op::N, Op::T);
                    cx.backend.gemm(g, x, w, reborrow(&mut y))?;
                    if let Some(LowRank { r, z, b }) = low_rank {
                        cx.backend.gemm(Gemm { write: Write::Add, k: r, ..g }, z, b, y)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// dx (+)= dy W + dxa A, the latter where no dropout acts.
    fn products_back(
        &self,
        cx: &mut Cx<B>,
        t: usize,
        dy: Mat<B::Buf>,
        mut dx: MatMut<B::Buf>,
        write: Write,
    ) -> Result<(), ModelError> {
        let ranks = self.kept();
        if self.together() {
            let cx = &*cx;
            let term = |slot: &'_ Slot<B>, at: At| backward_term(cx, slot, at, ranks);
            return self.with_parts(cx, &term, |parts| Ok(cx.backend.linear_back(t, dy, parts, dx, write)?));
        }
        for (i, (slot, at)) in self.placed().enumerate() {
            let dy = Mat { off: dy.off + at.out, ..dy };
            let write = if i == 0 { write } else { Write::Add };
            let mut dx = reborrow(&mut dx);
            if let Some(d) = Decomposed::of(slot, at.kept, ranks) {
                d.input_gradient(cx, t, dy, dx, write)?;
                continue;
            }
            let low_rank = backward_term(cx, slot, at, ranks);
            match slot.weight.held(cx.stream) {
                Ok(w) => cx.backend.linear_back(t, dy, &[Part { w, low_rank }], dx, write)?,
                Err(id) => {
                    let w = mat(&cx.params.get(id).value, 0, slot.n_in);
                    let g = Gemm { write, ..product(t, slot.n_in, slot.n_out, Op::N, Op::N) };
                    cx.backend.gemm(g, dy, w, reborrow(&mut dx))?;
                    if let Some(LowRank { r, z, b }) = low_rank {
                        cx.backend.gemm(Gemm { write: Write::Add, k: r, ..g }, z, b, dx)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// s·E∘(x̃ Aᵀ) of AdaLoRA's slots, into the scratch.
    fn scale_kept(&self, cx: &mut Cx<B>, t: usize, kept: Mat<B::Buf>) -> Result<(), ModelError> {
        let ranks = self.kept();
        for (slot, at) in self.placed() {
            let Some((l, e)) = slot.lora.as_ref().and_then(|l| Some((l, l.e?))) else { continue };
            let (from, to) = (Mat { off: kept.off + at.kept, ..kept }, mat_mut(&mut cx.scratch.scaled, at.kept, ranks));
            cx.backend.scale_columns(t, l.r, &cx.params.get(e).value, (l.scale, 0.0), from, to, Write::Set)?;
        }
        Ok(())
    }

    /// Whether one product does for all slots.
    fn together(&self) -> bool {
        self.slots.iter().all(|s| !s.weight.trains() && s.lora.as_ref().is_none_or(|l| l.magnitude.is_none()))
    }

    /// Calls `f` with every slot's weight and term.
    fn with_parts<'a, R>(
        &'a self,
        cx: &'a Cx<B>,
        term: &dyn Fn(&'a Slot<B>, At) -> Option<LowRank<'a, B::Buf>>,
        f: impl FnOnce(&[Part<'a, B>]) -> Result<R, ModelError>,
    ) -> Result<R, ModelError> {
        let part = |(slot, at): (&'a Slot<B>, At)| {
            let w = slot.weight.held(cx.stream).ok()?;
            Some(Part { w, low_rank: term(slot, at) })
        };
        let mut parts = self.placed().filter_map(part);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(a), None, _) => f(&[a]),
            (Some(a), Some(b), None) => f(&[a, b]),
            (Some(a), Some(b), Some(c)) => f(&[a, b, c]),
            (None, ..) => f(&[]),
        }
    }

    fn placed(&self) -> impl Iterator<Item = (&Slot<B>, At)> {
        self.slots.iter().scan(At::default(), |next, slot| {
            let at = *next;
            *next = At { out: at.out + slot.n_out, kept: at.kept + slot.rank() };
            Some((slot, at))
        })
    }
}

/// xa Bᵀ of one slot
fn forward_term<'a, B: Backend>(
    cx: &'a Cx<B>,
    slot: &Slot<B>,
    at: At,
    (kept, ranks): (Mat<'a, B::Buf>, usize),
) -> Option<LowRank<'a, B::Buf>> {
    slot.lora.as_ref().map(|l| LowRank {
        r: l.r,
        z: match l.e {
            None => Mat { off: kept.off + at.kept, ..kept },
            Some(_) => mat(&cx.scratch.scaled, at.kept, ranks),
        },
        b: mat(&cx.params.get(l.b).value, 0, l.r),
    })
}

/// dxa A of one slot, where no dropout acts.
fn backward_term<'a, B: Backend>(cx: &'a Cx<B>, slot: &Slot<B>, at: At, ranks: usize) -> Option<LowRank<'a, B::Buf>> {
    let l = slot.lora.as_ref().filter(|l| l.dropout(cx.mode).is_none())?;
    let a = mat(&cx.params.get(l.a).value, 0, slot.n_in);
    let dxa = if l.e.is_some() { &cx.scratch.scaled } else { &cx.scratch.dxa };
    Some(LowRank { r: l.r, z: mat(dxa, at.kept, ranks), b: a })
}

/// xa = s·drop(x) Aᵀ
fn down<B: Backend>(
    cx: &mut Cx<B>,
    l: &Lora,
    n_in: usize,
    t: usize,
    x: Mat<B::Buf>,
    xa: MatMut<B::Buf>,
) -> Result<(), ModelError> {
    let g = Gemm { alpha: l.inner_scale(), ..product(t, l.r, n_in, Op::N, Op::T) };
    let a = mat(&cx.params.get(l.a).value, 0, n_in);
    let dropped = &mut cx.scratch.dropped;
    match l.dropout(cx.mode) {
        None => cx.backend.gemm(g, x, a, xa)?,
        Some((p, key)) => {
            cx.backend.dropout(t, n_in, p, key, x, mat_mut(dropped, 0, n_in), Write::Set)?;
            cx.backend.gemm(g, mat(dropped, 0, n_in), a, xa)?;
        }
    }
    Ok(())
}
