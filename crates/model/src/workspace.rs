//! Everything a pass writes to, allocated once. What is allocated and what the memory plan counts are the same
//! lists of lengths: [`Acts`] and [`Shared`] hold lengths when they are planned and buffers when they are used.

use crate::{ModelConfig, ModelError};
use kernels::Backend;

/// Floats of logits that exist at a time: the output head works on this many divided by the vocabulary rows.
/// A constant, so that sums over chunks have one order whatever the memory.
const LOGITS_MAX: usize = 1 << 23;
/// Rows of logits even for the largest vocabularies: the head's weights are read from memory for each chunk.
const LOGIT_ROWS_MIN: usize = 256;

/// What a layer's backward pass needs of its forward pass. From `attn_out` on, and in what is kept after attention, the
/// last layer fills a row for each target only.
pub(crate) struct Acts<T> {
    /// [T]
    pub rstd_in: T,
    /// Queries and keys before the heads' norms [T, Q + KV]; empty without such norms.
    pub raw: T,
    /// [T, q_heads]
    pub rstd_q: T,
    /// [T, kv_heads]
    pub rstd_k: T,
    /// Queries | keys | values as attention reads them [T, Q + 2·KV].
    pub qkv: T,
    /// [T, Q]
    pub att: T,
    /// [T, q_heads]
    pub lse: T,
    /// What attention returns, where a norm follows [T, H].
    pub attn_out: T,
    pub rstd_attn_out: T,
    /// The residual stream between attention and feed-forward [T, H].
    pub mid: T,
    pub rstd_mid: T,
    /// gate | up [T, 2F]
    pub gate_up: T,
    /// What the feed-forward returns, where a norm follows [T, H].
    pub mlp_out: T,
    pub rstd_mlp_out: T,
    /// What the fans keep for their adapters [T, kept].
    pub kept: T,
}

/// Memory that all layers and the output head share.
pub(crate) struct Shared<T> {
    /// The gradient of the residual stream [T, H].
    pub d: T,
    /// A norm's output [T, H] and its gradient.
    pub normed: T,
    pub d_normed: T,
    /// The gradient before a norm that follows attention or feed-forward [T, H].
    pub d_out: T,
    /// act(gate) · up [T, F] and its gradient.
    pub h: T,
    pub dh: T,
    /// [T, Q]
    pub d_att: T,
    /// [T, Q + 2·KV]
    pub d_qkv: T,
    /// [T, Q + KV], with norms of heads
    pub d_raw: T,
    /// The output head's rows after the final norm [C, H], and their gradient.
    pub top_normed: T,
    pub d_top_normed: T,
    pub rstd_top: T,
    /// What the head keeps for its adapter [C, kept].
    pub top_kept: T,
    /// [C, V]
    pub logits: T,
    /// [T]
    pub loss: T,
}

impl Acts<usize> {
    /// `kept`: the columns that a layer's fans keep.
    pub fn lengths(c: &ModelConfig, t: usize, kept: usize) -> Self {
        let (q, kv) = (c.q_cols(), c.kv_cols());
        let heads = |n| if c.head_norms { t * n } else { 0 };
        let post = |n| if c.post_norms { t * n } else { 0 };
        Acts {
            rstd_in: t,
            raw: heads(q + kv),
            rstd_q: heads(c.q_heads),
            rstd_k: heads(c.kv_heads),
            qkv: t * (q + 2 * kv),
            att: t * q,
            lse: t * c.q_heads,
            attn_out: post(c.hidden),
            rstd_attn_out: post(1),
            mid: t * c.hidden,
            rstd_mid: t,
            gate_up: t * 2 * c.intermediate,
            mlp_out: post(c.hidden),
            rstd_mlp_out: post(1),
            kept: t.saturating_mul(kept),
        }
    }

    pub fn floats(&self) -> u64 {
        let mut sum = 0;
        self.each(&mut |n| sum += *n as u64);
        sum
    }

    fn each(&self, f: &mut dyn FnMut(&usize)) {
        let Ok(_) = self.map(&mut |n| {
            f(n);
            Ok::<_, std::convert::Infallible>(())
        });
    }
}

impl<T> Acts<T> {
    pub fn map<U, E>(&self, f: &mut dyn FnMut(&T) -> Result<U, E>) -> Result<Acts<U>, E> {
        Ok(Acts {
            rstd_in: f(&self.rstd_in)?,
            raw: f(&self.raw)?,
            rstd_q: f(&self.rstd_q)?,
            rstd_k: f(&self.rstd_k)?,
            qkv: f(&self.qkv)?,
            att: f(&self.att)?,
            lse: f(&self.lse)?,
            attn_out: f(&self.attn_out)?,
            rstd_attn_out: f(&self.rstd_attn_out)?,
            mid: f(&self.mid)?,
            rstd_mid: f(&self.rstd_mid)?,
            gate_up: f(&self.gate_up)?,
            mlp_out: f(&self.mlp_out)?,
            rstd_mlp_out: f(&self.rstd_mlp_out)?,
            kept: f(&self.kept)?,
        })
    }
}

impl Shared<usize> {
    /// `kept`: the columns that the head keeps.
    pub fn lengths(c: &ModelConfig, t: usize, kept: usize) -> Self {
        let (q, kv, rows) = (c.q_cols(), c.kv_cols(), logit_rows(c.vocab, t));
        Shared {
            d: t * c.hidden,
            normed: t * c.hidden,
            d_normed: t * c.hidden,
            d_out: if c.post_norms { t * c.hidden } else { 0 },
            h: t * c.intermediate,
            dh: t * c.intermediate,
            d_att: t * q,
            d_qkv: t * (q + 2 * kv),
            d_raw: if c.head_norms { t * (q + kv) } else { 0 },
            top_normed: rows * c.hidden,
            d_top_normed: rows * c.hidden,
            rstd_top: rows,
            top_kept: rows.saturating_mul(kept),
            logits: rows * c.vocab,
            loss: t,
        }
    }

    pub fn floats(&self) -> u64 {
        let mut sum = 0;
        let Ok(_) = self.map(&mut |n| {
            sum += *n as u64;
            Ok::<_, std::convert::Infallible>(())
        });
        sum
    }
}

impl<T> Shared<T> {
    pub fn map<U, E>(&self, f: &mut dyn FnMut(&T) -> Result<U, E>) -> Result<Shared<U>, E> {
        Ok(Shared {
            d: f(&self.d)?,
            normed: f(&self.normed)?,
            d_normed: f(&self.d_normed)?,
            d_out: f(&self.d_out)?,
            h: f(&self.h)?,
            dh: f(&self.dh)?,
            d_att: f(&self.d_att)?,
            d_qkv: f(&self.d_qkv)?,
            d_raw: f(&self.d_raw)?,
            top_normed: f(&self.top_normed)?,
            d_top_normed: f(&self.d_top_normed)?,
            rstd_top: f(&self.rstd_top)?,
            top_kept: f(&self.top_kept)?,
            logits: f(&self.logits)?,
            loss: f(&self.loss)?,
        })
    }
}

/// Rows of logits that exist at a time.
pub(crate) fn logit_rows(vocab: usize, tokens_max: usize) -> usize {
    (LOGITS_MAX / vocab).max(LOGIT_ROWS_MIN).min(tokens_max)
}

/// Which layers keep their activations. Layers below `lowest` have no backward pass. Of the others the last ones
/// own a set of activations each; those before them share the first set with the untrained layers and are computed
/// again, from their input, when the backward pass comes to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    pub layers: usize,
    pub lowest: usize,
    /// Sets of activations, 1..=max(1, layers − lowest).
    pub sets: usize,
}

impl Keep {
    pub fn sets_max(layers: usize, lowest: usize) -> usize {
        (layers - lowest).max(1)
    }

    /// The set that layer `l` writes to.
    pub fn set(&self, l: usize) -> usize {
        l.saturating_sub(self.layers - self.sets)
    }

    /// Whether layer `l`'s activations were overwritten by a later layer when its backward pass comes. The last
    /// layer that writes the first set still finds its own there.
    pub fn recomputes(&self, l: usize) -> bool {
        l < self.layers - self.sets
    }

    /// Buffers of the residual stream: two that alternate where nothing is trained, then one each.
    pub fn streams(&self) -> usize {
        self.lowest.min(2) + self.layers - self.lowest + 1
    }

    /// The buffer of layer `l`'s input; `layers` is the last output.
    pub fn stream(&self, l: usize) -> usize {
        if l < self.lowest { l % 2 } else { self.lowest.min(2) + l - self.lowest }
    }
}

/// Integers of a pass, here and on the device.
pub(crate) struct Indices<B: Backend> {
    pub ids: B::Idx,
    /// Position of each token in its example.
    pub positions: B::Idx,
    /// Positions that have a target, and the targets there.
    pub rows: B::Idx,
    pub targets: B::Idx,
    pub staged: Vec<i32>,
    pub staged_targets: Vec<i32>,
    /// Losses on their way out.
    pub losses: Vec<f32>,
}

/// Bytes of [`Indices`] for `t` tokens.
pub(crate) fn index_bytes(t: usize) -> u64 {
    7 * 4 * t as u64
}

/// cos and sin [positions, half] of one rope.
pub(crate) struct RopeTable<B: Backend> {
    pub half: usize,
    pub cos: B::Buf,
    pub sin: B::Buf,
}

pub(crate) struct Workspace<B: Backend> {
    pub index: Indices<B>,
    pub streams: Vec<B::Buf>,
    pub acts: Vec<Acts<B::Buf>>,
    /// Of one set of them, and how many there are when none are lent.
    act_lens: Acts<usize>,
    sets: usize,
    pub shared: Shared<B::Buf>,
    pub ropes: Vec<RopeTable<B>>,
    pub keep: Keep,
    pub logit_rows: usize,
}

impl<B: Backend> Workspace<B> {
    /// For at most `t` tokens in a pass and `positions` in an example; adapters keep `kept` columns of a layer and of
    /// the head.
    pub fn new(
        backend: &B,
        c: &ModelConfig,
        (t, positions): (usize, usize),
        keep: Keep,
        kept: (usize, usize),
    ) -> Result<Self, ModelError> {
        let alloc = &mut |n: &usize| Ok::<_, ModelError>(backend.alloc(*n)?);
        let lengths = Acts::lengths(c, t, kept.0);
        Ok(Workspace {
            index: Indices {
                ids: backend.alloc_idx(t)?,
                positions: backend.alloc_idx(t)?,
                rows: backend.alloc_idx(t)?,
                targets: backend.alloc_idx(t)?,
                staged: Vec::with_capacity(t),
                staged_targets: Vec::with_capacity(t),
                losses: vec![0.0; t],
            },
            streams: (0..keep.streams()).map(|_| alloc(&(t * c.hidden))).collect::<Result<_, _>>()?,
            acts: (0..keep.sets).map(|_| lengths.map(alloc)).collect::<Result<_, _>>()?,
            act_lens: lengths,
            sets: keep.sets,
            shared: Shared::lengths(c, t, kept.1).map(alloc)?,
            ropes: c.ropes.iter().map(|r| rope_table(backend, &r.inv_freq, positions)).collect::<Result<_, _>>()?,
            keep,
            logit_rows: logit_rows(c.vocab, t),
        })
    }
}

/// Between two passes activations hold nothing that anyone needs: all sets but one can make way for something else.
impl<B: Backend> Workspace<B> {
    /// Bytes that [`Workspace::lend`] frees.
    pub fn lendable(&self) -> u64 {
        (self.sets as u64 - 1) * self.act_lens.floats() * size_of::<f32>() as u64
    }

    /// Frees all sets of activations but one.
    pub fn lend(&mut self) {
        self.acts.truncate(1);
        self.keep.sets = 1;
    }

    /// Allocates what was lent. Where the system refuses, passes go on with the sets that there are, to the same bits.
    ///
    /// # Errors
    /// `OutOfMemory`
    pub fn take_back(&mut self, backend: &B) -> Result<(), ModelError> {
        while self.acts.len() < self.sets {
            self.acts.push(self.act_lens.map(&mut |n| backend.alloc(*n))?);
            self.keep.sets = self.acts.len();
        }
        Ok(())
    }
}

/// The angle is a product in f32, as the reference computes it; its cosine is exact.
fn rope_table<B: Backend>(backend: &B, inv_freq: &[f32], positions: usize) -> Result<RopeTable<B>, ModelError> {
    let half = inv_freq.len();
    let (mut cos, mut sin) = (backend.alloc(positions * half)?, backend.alloc(positions * half)?);
    let mut row = vec![(0.0f32, 0.0f32); half];
    for p in 0..positions {
        for (v, w) in row.iter_mut().zip(inv_freq) {
            let angle = f64::from(p as f32 * w);
            *v = (angle.cos() as f32, angle.sin() as f32);
        }
        let (c, s): (Vec<f32>, Vec<f32>) = row.iter().copied().unzip();
        backend.upload(&mut cos, p * half, &c)?;
        backend.upload(&mut sin, p * half, &s)?;
    }
    Ok(RopeTable { half, cos, sin })
}

/// A buffer to read and another to write.
pub(crate) fn two<T>(list: &mut [T], read: usize, write: usize) -> (&T, &mut T) {
    assert_ne!(read, write, "the two buffers differ");
    if read < write {
        let (low, high) = list.split_at_mut(write);
        (&low[read], &mut high[0])
    } else {
        let (low, high) = list.split_at_mut(read);
        (&high[0], &mut low[write])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_finds_its_buffers() {
        for layers in 1..6 {
            for lowest in 0..=layers {
                for sets in 1..=Keep::sets_max(layers, lowest) {
                    let k = Keep { layers, lowest, sets };
                    for l in 0..layers {
                        assert!(k.set(l) < k.sets && k.stream(l) < k.streams());
                        assert_ne!(k.stream(l), k.stream(l + 1), "{k:?} layer {l}");
                        // A layer that is not recomputed is the last to write its set.
                        let overwritten = (l + 1..layers).any(|m| k.set(m) == k.set(l));
                        assert_eq!(k.recomputes(l), overwritten, "{k:?} layer {l}");
                        // Inputs that a backward pass reads are never overwritten.
                        let reused = (l + 1..=layers).any(|m| k.stream(m) == k.stream(l));
                        assert!(l < lowest || !reused, "{k:?} layer {l}");
                    }
                }
            }
        }
    }
}
