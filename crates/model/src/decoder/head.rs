//! Final norm, output head and cross-entropy, fused in chunks of rows: the last layer's output has only rows with a target,
//! and the whole of the logits never exists. A chunk's backward pass follows its forward pass at once.

use super::{Pass, Reach, See};
use crate::adapters::{Cx, Fan, Gain, Mode};
use crate::workspace::{Shared, Workspace};
use crate::{ModelConfig, ModelError, StepKey};
use kernels::{Backend, Norm, NormShape, Write, mat, mat_mut};

pub(super) struct Head<B: Backend> {
    norm_gain: Gain<B>,
    fan: Fan<B>,
    norm: Norm,
    softcap: Option<f32>,
}

/// Rows first..first + rows of those with a target.
#[derive(Clone, Copy)]
struct Chunk {
    first: usize,
    rows: usize,
}

impl<B: Backend> Head<B> {
    pub fn new(c: &ModelConfig, norm_gain: Gain<B>, fan: Fan<B>) -> Self {
        let norm = Norm { eps: c.rms_eps, offset: c.norm_offset };
        Head { norm_gain, fan, norm, softcap: c.final_softcap }
    }

    pub fn losses(&self, cx: &mut Cx<B>, w: &mut Workspace<B>, pass: Pass) -> Result<(), ModelError> {
        let (size, last) = (w.logit_rows, w.keep.stream(w.keep.layers));
        let Workspace { index, streams, shared: s, .. } = w;
        for chunk in chunks(pass.targets, size) {
            self.forward(cx, chunk, &streams[last], s)?;
            let (v, first) = (self.fan.out_features(), chunk.first);
            cx.backend.cross_entropy(chunk.rows, v, self.softcap, &index.targets, first, &s.logits, &mut s.loss)?;
        }
        Ok(())
    }

    pub fn losses_back(
        &self,
        cx: &mut Cx<B>,
        w: &mut Workspace<B>,
        pass: Pass,
        scale: f32,
        reach: Reach,
    ) -> Result<(), ModelError> {
        let (be, size, last) = (cx.backend, w.logit_rows, w.keep.stream(w.keep.layers));
        let (h, v) = (self.fan.in_features(), self.fan.out_features());
        let Workspace { index, streams, shared: s, .. } = w;
        let mode = cx.mode;
        for (i, chunk) in chunks(pass.targets, size).enumerate() {
            cx.mode = of_chunk(mode, i);
            let Chunk { first, rows } = chunk;
            self.forward(cx, chunk, &streams[last], s)?;
            be.cross_entropy_back(rows, v, self.softcap, &index.targets, first, scale, &mut s.logits, &mut s.loss)?;
            let deeper = reach == Reach::Input || self.norm_gain.trains();
            let dx = deeper.then(|| mat_mut(&mut s.d_top_normed, 0, h));
            let (dy, kept) = (mat(&s.logits, 0, v), mat(&s.top_kept, 0, self.fan.kept()));
            self.fan.input_gradient(cx, rows, dy, dx, Write::Set)?;
            self.fan.accumulate(cx, rows, mat(&s.top_normed, 0, h), kept, dy)?;
            if !deeper {
                continue;
            }
            let (dy, x) = (mat(&s.d_top_normed, 0, h), mat(&streams[last], first * h, h));
            let dx = mat_mut(&mut s.d, first * h, h);
            let (gain, d_gain) = self.norm_gain.parts(cx.params);
            be.rmsnorm_back(self.shape(rows), self.norm, dy, x, gain, &s.rstd_top, dx, Write::Set, d_gain)?;
        }
        cx.mode = mode;
        Ok(())
    }

    /// Shows the soft-capped logits of each row in turn.
    pub fn logits(&self, cx: &mut Cx<B>, w: &mut Workspace<B>, pass: Pass, see: &mut See) -> Result<(), ModelError> {
        let (size, last, v) = (w.logit_rows, w.keep.stream(w.keep.layers), self.fan.out_features());
        let mut row = vec![0.0; v];
        for chunk in chunks(pass.targets, size) {
            self.forward(cx, chunk, &w.streams[last], &mut w.shared)?;
            for r in 0..chunk.rows {
                cx.backend.download(&w.shared.logits, r * v, &mut row)?;
                if let Some(cap) = self.softcap {
                    row.iter_mut().for_each(|z| *z = cap * (*z / cap).tanh());
                }
                see(chunk.first + r, &mut row)?;
            }
        }
        Ok(())
    }

    pub fn top(&self, cx: &mut Cx<B>, w: &mut Workspace<B>, pass: Pass, out: &mut Vec<f32>) -> Result<(), ModelError> {
        let (size, last, h) = (w.logit_rows, w.keep.stream(w.keep.layers), self.fan.in_features());
        for chunk in chunks(pass.targets, size) {
            self.normalise(cx, chunk, &w.streams[last], &mut w.shared)?;
            append(cx.backend, &w.shared.top_normed, chunk.rows * h, out)?;
        }
        Ok(())
    }

    /// A chunk's logits, before the soft-cap.
    fn forward(&self, cx: &mut Cx<B>, chunk: Chunk, x: &B::Buf, s: &mut Shared<B::Buf>) -> Result<(), ModelError> {
        self.normalise(cx, chunk, x, s)?;
        let (h, v) = (self.fan.in_features(), self.fan.out_features());
        let kept = mat_mut(&mut s.top_kept, 0, self.fan.kept());
        self.fan.forward(cx, chunk.rows, mat(&s.top_normed, 0, h), kept, mat_mut(&mut s.logits, 0, v))
    }

    fn normalise(&self, cx: &mut Cx<B>, chunk: Chunk, x: &B::Buf, s: &mut Shared<B::Buf>) -> Result<(), ModelError> {
        let (be, h) = (cx.backend, self.fan.in_features());
        let (from, to, gain) =
            (mat(x, chunk.first * h, h), mat_mut(&mut s.top_normed, 0, h), self.norm_gain.parts(cx.params).0);
        be.rmsnorm(self.shape(chunk.rows), self.norm, from, gain, to, &mut s.rstd_top)?;
        Ok(())
    }

    fn shape(&self, rows: usize) -> NormShape {
        NormShape { rows, groups: 1, dim: self.fan.in_features() }
    }
}

/// As few chunks of at most `size` rows as there must be, of nearly equal sizes: the weights are read for each.
fn chunks(rows: usize, size: usize) -> impl Iterator<Item = Chunk> {
    let count = rows.div_ceil(size);
    let start = move |i: usize| i * rows / count;
    (0..count).map(move |i| Chunk { first: start(i), rows: start(i + 1) - start(i) })
}

/// Each chunk draws its own dropout mask: a slot's mask depends on the rows' places within one call alone.
fn of_chunk(mode: Mode, i: usize) -> Mode {
    match mode {
        Mode::Eval => Mode::Eval,
        Mode::Train(key) => Mode::Train(StepKey { micro: key.micro ^ ((i as u64) << 32), ..key }),
    }
}

fn append<B: Backend>(backend: &B, src: &B::Buf, len: usize, out: &mut Vec<f32>) -> Result<(), ModelError> {
    let start = out.len();
    out.resize(start + len, 0.0);
    backend.download(src, 0, &mut out[start..])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_the_rows_evenly() {
        for size in 1..9 {
            for rows in 0..40 {
                let all: Vec<Chunk> = chunks(rows, size).collect();
                assert_eq!(all.len(), rows.div_ceil(size));
                let mut next = 0;
                for c in &all {
                    assert!(c.first == next && c.rows <= size && c.rows >= rows / all.len());
                    next += c.rows;
                }
                assert_eq!(next, rows);
            }
        }
    }
}
