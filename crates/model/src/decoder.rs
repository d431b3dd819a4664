//! A decoder: embedding, layers, output head; one pass forward, and one backward down to the lowest trained layer.

mod block;
mod head;

use crate::adapters::{Builder, Cx, Embedding, Fan};
use crate::cache::Visit;
use crate::config::{EMBEDDING, FINAL_NORM, HEAD};
use crate::stream::Course;
use crate::workspace::{Indices, RopeTable, Workspace, two};
use crate::{ModelConfig, ModelError};
use block::{Block, Rows};
use head::Head;
use kernels::Backend;

pub(crate) use block::Reach;

pub(crate) struct Decoder<B: Backend> {
    embedding: Embedding<B>,
    embed_scale: f32,
    blocks: Vec<Block<B>>,
    head: Head<B>,
}

/// What one pass works on, besides the workspace: its examples, and how many of its positions have a target: those alone
/// go on after the last layer's attention.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub cu: &'a [usize],
    pub tokens: usize,
    pub targets: usize,
    /// A pass back follows the one forward.
    pub back: bool,
}

/// Is shown a row's number among those with a target, and its soft-capped logits [V], which it may change.
pub(crate) type See<'a> = dyn FnMut(usize, &mut [f32]) -> Result<(), ModelError> + 'a;

impl<B: Backend> Decoder<B> {
    pub fn build(b: &mut Builder<B>, c: &ModelConfig) -> Result<Self, ModelError> {
        let embedding = b.embedding(EMBEDDING, c.vocab, c.hidden)?;
        let blocks = (0..c.layers).map(|l| Block::build(b, c, l)).collect::<Result<_, _>>()?;
        let norm = b.gain(FINAL_NORM, c.hidden)?;
        let head = Head::new(c, norm, Fan::new(vec![b.head(HEAD, c.vocab, c.hidden)?], 0));
        Ok(Decoder { embedding, embed_scale: c.embed_scale, blocks, head })
    }

    /// The lowest layer that a backward pass must reach; the number of layers if it need not reach any.
    pub fn lowest(&self) -> usize {
        if self.embedding.trains() {
            return 0;
        }
        self.blocks.iter().position(Block::trains).unwrap_or(self.blocks.len())
    }

    /// Token ids → the last layer's output [targets, H], in the last stream. `see` is shown the embedding and each layer's
    /// output but the last.
    pub fn forward(
        &self,
        cx: &mut Cx<B>,
        w: &mut Workspace<B>,
        pass: Pass,
        see: &mut dyn FnMut(&B::Buf) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let Workspace { index, streams, acts, shared, ropes, keep, .. } = w;
        self.embedding.forward(cx, pass.tokens, &index.ids, self.embed_scale, &mut streams[keep.stream(0)])?;
        for (l, block) in self.blocks.iter().enumerate() {
            let (x, out) = two(streams, keep.stream(l), keep.stream(l + 1));
            see(x)?;
            cx.stream.enter(l, Course::Up { back: pass.back })?;
            block.forward(cx, &self.rows(l, pass, index, ropes), x, &mut acts[keep.set(l)], shared, out)?;
        }
        Ok(())
    }

    /// As [`Decoder::forward`], where the cache takes the rows' keys and values, and what rows see is what `visit` says.
    pub fn forward_cached(
        &self,
        cx: &mut Cx<B>,
        w: &mut Workspace<B>,
        pass: Pass,
        (cache, visit): (&mut [B::Buf], Visit),
    ) -> Result<(), ModelError> {
        let Workspace { index, streams, acts, shared, ropes, keep, .. } = w;
        self.embedding.forward(cx, pass.tokens, &index.ids, self.embed_scale, &mut streams[keep.stream(0)])?;
        for (l, (block, cache)) in self.blocks.iter().zip(cache).enumerate() {
            let (x, out) = two(streams, keep.stream(l), keep.stream(l + 1));
            cx.stream.enter(l, Course::Up { back: false })?;
            let rows = self.rows(l, pass, index, ropes);
            block.forward_cached(cx, &rows, (cache, visit), x, &mut acts[keep.set(l)], shared, out)?;
        }
        Ok(())
    }

    /// Floats of each layer's keys and values of so many tokens.
    pub fn cache_lens(&self, tokens: usize) -> impl Iterator<Item = usize> {
        self.blocks.iter().map(move |block| block.cache_len(tokens))
    }

    /// The gradient in `shared.d`, of the last layer's output [targets, H], goes down and parameters accumulate theirs.
    /// With [`Reach::Input`] it ends as the gradient of the embedding's output.
    pub fn backward(&self, cx: &mut Cx<B>, w: &mut Workspace<B>, pass: Pass, reach: Reach) -> Result<(), ModelError> {
        let Workspace { index, streams, acts, shared, ropes, keep, .. } = w;
        for (l, block) in self.blocks.iter().enumerate().skip(keep.lowest).rev() {
            let (x, out) = two(streams, keep.stream(l), keep.stream(l + 1));
            let (rows, a) = (self.rows(l, pass, index, ropes), &mut acts[keep.set(l)]);
            cx.stream.enter(l, Course::Down)?;
            if keep.recomputes(l) {
                block.recompute(cx, &rows, x, a, shared, out)?;
            }
            let reach = if l > keep.lowest { Reach::Input } else { reach };
            block.backward(cx, &rows, x, a, shared, reach)?;
        }
        if self.embedding.trains() {
            self.embedding.backward(cx, pass.tokens, &index.ids, self.embed_scale, &shared.d)?;
        }
        Ok(())
    }

    /// The rows of layer `l`.
    fn rows<'a>(&self, l: usize, pass: Pass<'a>, index: &'a Indices<B>, ropes: &'a [RopeTable<B>]) -> Rows<'a, B> {
        let fewer = l + 1 == self.blocks.len() && pass.targets < pass.tokens;
        let after = fewer.then_some((&index.rows, pass.targets));
        Rows { t: pass.tokens, cu: pass.cu, positions: &index.positions, ropes, after }
    }

    /// How far down the lowest layer's own backward pass must go for what is trained.
    pub fn reach(&self) -> Reach {
        if self.embedding.trains() { Reach::Input } else { Reach::Parameters }
    }

    /// Losses of the target rows, into `shared.loss`.
    pub fn losses(&self, cx: &mut Cx<B>, w: &mut Workspace<B>, pass: Pass) -> Result<(), ModelError> {
        self.head.losses(cx, w, pass)
    }

    /// As [`Decoder::losses`], and `shared.d` becomes scale · dΣloss / d(the last layer's output) [targets, H].
    pub fn losses_back(
        &self,
        cx: &mut Cx<B>,
        w: &mut Workspace<B>,
        pass: Pass,
        scale: f32,
        reach: Reach,
    ) -> Result<(), ModelError> {
        let below = reach == Reach::Input || w.keep.lowest < self.blocks.len();
        self.head.losses_back(cx, w, pass, scale, if below { Reach::Input } else { Reach::Parameters })
    }

    /// Shows the logits of each target row in turn.
    pub fn logits(&self, cx: &mut Cx<B>, w: &mut Workspace<B>, pass: Pass, see: &mut See) -> Result<(), ModelError> {
        self.head.logits(cx, w, pass, see)
    }

    /// The last layer's output after the final norm, of the target rows [targets, H], onto the end of `out`.
    pub fn top(&self, cx: &mut Cx<B>, w: &mut Workspace<B>, pass: Pass, out: &mut Vec<f32>) -> Result<(), ModelError> {
        self.head.top(cx, w, pass, out)
    }
}
