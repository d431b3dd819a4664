//! Keys and values of the texts that are being written, so that each new token is one row of a pass.

use crate::decoder::Decoder;
use crate::{ModelConfig, ModelError};
use kernels::{Backend, CACHE_BLOCK};
use std::ops::Range;

/// What the rows of a pass do with the cache.
#[derive(Clone, Copy)]
pub(crate) struct Visit<'a> {
    /// Where each row's key and value go.
    pub places: &'a [usize],
    /// What each row sees, the last of it its own place. None: the rows are whole sequences, which see themselves.
    pub contexts: Option<&'a [Range<usize>]>,
}

/// Memory for the keys and values of all layers, and which of it is free.
pub(crate) struct Cache<B: Backend> {
    pub layers: Vec<B::Buf>,
    pub spans: Spans,
}

impl<B: Backend> Cache<B> {
    /// For `tokens`, a multiple of [`CACHE_BLOCK`].
    ///
    /// # Errors
    /// `OutOfMemory`
    pub fn new(backend: &B, decoder: &Decoder<B>, tokens: usize) -> Result<Self, ModelError> {
        let layers = decoder.cache_lens(tokens).map(|len| backend.alloc(len)).collect::<Result<_, _>>()?;
        Ok(Cache { layers, spans: Spans::new(tokens) })
    }

    /// Bytes of one token.
    pub fn token_bytes(decoder: &Decoder<B>) -> u64 {
        let block: u64 = decoder.cache_lens(CACHE_BLOCK).map(|len| (len * size_of::<f32>()) as u64).sum();
        block / CACHE_BLOCK as u64
    }
}

impl ModelConfig {
    /// Bytes of the keys and values of one text of so many tokens, its prompt among them: what a memory limit must leave beside
    /// the plan for it to be written.
    pub fn text_bytes(&self, tokens: usize) -> u64 {
        (self.layers * 2 * self.kv_cols() * whole_blocks(tokens) * size_of::<f32>()) as u64
    }
}

/// Tokens of the cache that a sequence of so many takes.
pub(crate) fn whole_blocks(tokens: usize) -> usize {
    tokens.next_multiple_of(CACHE_BLOCK)
}

/// Free stretches of the cache, whole blocks each, in order and never side by side.
pub(crate) struct Spans(Vec<Range<usize>>);

impl Spans {
    pub fn new(tokens: usize) -> Spans {
        Spans((tokens > 0).then_some(0..tokens).into_iter().collect())
    }

    /// The front of the first stretch with room for `tokens`, a multiple of [`CACHE_BLOCK`].
    pub fn take(&mut self, tokens: usize) -> Option<Range<usize>> {
        let i = self.0.iter().position(|free| free.len() >= tokens)?;
        let taken = self.0[i].start..self.0[i].start + tokens;
        self.0[i].start = taken.end;
        if self.0[i].is_empty() {
            self.0.remove(i);
        }
        Some(taken)
    }

    /// Gives back what [`Spans::take`] gave.
    pub fn give(&mut self, span: Range<usize>) {
        let i = self.0.partition_point(|free| free.end <= span.start);
        self.0.insert(i, span);
        if i + 1 < self.0.len() && self.0[i].end == self.0[i + 1].start {
            self.0[i].end = self.0.remove(i + 1).end;
        }
        if i > 0 && self.0[i - 1].end == self.0[i].start {
            self.0[i - 1].end = self.0.remove(i).end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_never_overlap_and_join_again() {
        let (mut spans, mut taken, mut word) = (Spans::new(640), Vec::<Range<usize>>::new(), 1u64);
        for _ in 0..2000 {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (choice, size) = ((word >> 40) as usize, ((word >> 33) % 12 + 1) as usize * CACHE_BLOCK);
            match if choice.is_multiple_of(2) { spans.take(size) } else { None } {
                Some(span) => taken.push(span),
                None if taken.is_empty() => {}
                None => spans.give(taken.swap_remove(choice % taken.len())),
            }
            let mut all: Vec<Range<usize>> = taken.iter().chain(&spans.0).cloned().collect();
            all.sort_by_key(|span| span.start);
            assert!(all.windows(2).all(|w| w[0].end == w[1].start) && all[0].start == 0, "{all:?}");
            assert_eq!(all[all.len() - 1].end, 640);
            assert!(spans.0.windows(2).all(|w| w[0].end < w[1].start), "{:?}", spans.0);
        }
        taken.into_iter().for_each(|span| spans.give(span));
        assert_eq!((spans.0.len(), spans.take(641)), (1, None));
        assert_eq!(spans.take(640), Some(0..640));
    }
}
