//! Answers to prompts: prompts pass through the model whole, packed; then each pass has one row of every text that is
//! being written, and attention reads the rest from the cache.
//!
//! A row's result depends on its text alone and chance on (seed, prompt, position), so that an answer is the same
//! whatever else is written beside it, in whatever order and on however many threads.

use crate::cache::{Cache, whole_blocks};
use crate::choice::{chance, choose};
use crate::engine::{Batch, Device, Engine, IGNORE};
use crate::{Limits, ModelConfig, ModelError};
use std::ops::Range;

/// Texts that are written side by side, at most. Measured with 135 million parameters in bf16 on two cores: 1 writes 11
/// tokens a second, 16 together 117, 64 together 170, 128 together 190.
const SIDE_BY_SIDE: usize = 128;

/// How the next token is chosen, and where an answer ends. The choices are transformers', in its order:
/// `repetition_penalty`, `temperature`, `top_k`, `top_p`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Decoding {
    /// Most tokens of an answer.
    pub tokens_max: usize,
    /// Divides logits; 0: always the likeliest token, of equal ones that with the smallest id.
    pub temperature: f32,
    /// Of so many likeliest tokens one is drawn; 0: of all.
    pub top_k: usize,
    /// Of the fewest tokens that have this share; 1: of all.
    pub top_p: f32,
    /// Divides positive logits of the tokens that prompt and answer have, and multiplies negative ones; 1: none.
    pub repetition_penalty: f32,
    pub seed: u64,
    /// An answer ends before one of these.
    #[serde(skip)]
    pub stops: Vec<u32>,
}

/// Where generation is, before a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Answers that are ready.
    pub done: usize,
    /// Texts that are being written.
    pub running: usize,
    /// Prompts whose turn comes later.
    pub waiting: usize,
    /// Tokens written so far, in all answers.
    pub tokens: usize,
}

impl Engine {
    /// The model's answer to each prompt (ids [tokens], not empty), without the prompt and without the stop that ends it.
    /// As many are written side by side as the memory limit leaves room for: keys and values of a text take the same
    /// memory in each layer, for its prompt and `tokens_max` more. Before each pass `on` says whether to go on; after a no
    /// the answers are as long as they are.
    ///
    /// # Errors
    /// Refuses, before it computes: `Decoding` (a setting out of range), `EmptyPrompt`, `PromptToken`, `PromptTooLong`
    /// (over `seq_len_max` less the answer, or over `tokens_max` of a pass), and `DoesNotFit` where the longest text alone
    /// does not. Later: `NoNumber` where the model computes none, and what reading streamed layers refuses.
    pub fn generate(
        &mut self,
        prompts: &[Vec<u32>],
        how: &Decoding,
        on: &mut dyn FnMut(Progress) -> bool,
    ) -> Result<Vec<Vec<u32>>, ModelError> {
        how.check(self.config().vocab)?;
        check_prompts(prompts, how, self.config(), self.limits())?;
        let sizes: Vec<usize> = prompts.iter().map(|p| cached(p, how)).collect();
        self.with_cache(&sizes, SIDE_BY_SIDE.min(self.limits().tokens_max), |engine, cache, side_by_side| {
            let mut desk = Desk::new(prompts, how, cache, side_by_side);
            while !desk.done() && on(desk.progress()) {
                if desk.admit(engine.limits().tokens_max) {
                    desk.read_prompts(engine)?;
                } else {
                    desk.write_tokens(engine)?;
                }
            }
            Ok(desk.answers)
        })
    }
}

/// Tokens of the cache that a text takes: its last token is never read.
fn cached(prompt: &[u32], how: &Decoding) -> usize {
    whole_blocks(prompt.len() + how.tokens_max - 1)
}

fn check_prompts(prompts: &[Vec<u32>], how: &Decoding, c: &ModelConfig, limits: &Limits) -> Result<(), ModelError> {
    let Limits { tokens_max, seq_len_max, .. } = *limits;
    let room = seq_len_max.saturating_sub(how.tokens_max);
    for (prompt, ids) in prompts.iter().enumerate() {
        if ids.is_empty() {
            return Err(ModelError::EmptyPrompt { prompt });
        }
        if let Some(position) = ids.iter().position(|id| *id as usize >= c.vocab) {
            return Err(ModelError::PromptToken { prompt, position, id: ids[position], vocab: c.vocab });
        }
        let tokens = ids.len();
        if tokens > room {
            let change = format!("ask for fewer than {} tokens, or raise seq_len_max ({seq_len_max})", how.tokens_max);
            return Err(ModelError::PromptTooLong { prompt, tokens, room, change });
        }
        if tokens > tokens_max {
            let change = format!("raise the tokens of a pass ({tokens_max})");
            return Err(ModelError::PromptTooLong { prompt, tokens, room: tokens_max, change });
        }
    }
    Ok(())
}

/// A text that is being written.
struct Text {
    prompt: usize,
    /// Its memory in the cache, and what of it is filled.
    span: Range<usize>,
    context: Range<usize>,
}

/// Texts that are being written, and what waits.
struct Desk<'a> {
    prompts: &'a [Vec<u32>],
    how: &'a Decoding,
    cache: &'a mut Cache<Device>,
    side_by_side: usize,
    /// The first prompt whose turn has not come.
    next: usize,
    /// Of `running`, the first so many have been read.
    read: usize,
    running: Vec<Text>,
    answers: Vec<Vec<u32>>,
    /// Of all answers.
    tokens: usize,
}

impl<'a> Desk<'a> {
    fn new(prompts: &'a [Vec<u32>], how: &'a Decoding, cache: &'a mut Cache<Device>, side_by_side: usize) -> Desk<'a> {
        let answers = vec![Vec::new(); prompts.len()];
        Desk { prompts, how, cache, side_by_side, next: 0, read: 0, running: Vec::new(), answers, tokens: 0 }
    }

    fn done(&self) -> bool {
        self.running.is_empty() && self.next == self.prompts.len()
    }

    fn progress(&self) -> Progress {
        let (running, waiting) = (self.running.len(), self.prompts.len() - self.next);
        Progress { done: self.next - running, running, waiting, tokens: self.tokens }
    }

    /// Gives the next prompts their memory, as many as one pass takes. Whether there are any.
    fn admit(&mut self, tokens_max: usize) -> bool {
        let mut tokens = 0;
        while let Some(prompt) = self.prompts.get(self.next) {
            tokens += prompt.len();
            if tokens > tokens_max || self.running.len() == self.side_by_side {
                break;
            }
            let Some(span) = self.cache.spans.take(cached(prompt, self.how)) else { break };
            let context = span.start..span.start + prompt.len();
            self.running.push(Text { prompt: self.next, span, context });
            self.next += 1;
        }
        self.read < self.running.len()
    }

    /// Passes the prompts that were admitted last, and chooses the first token of each answer.
    fn read_prompts(&mut self, engine: &mut Engine) -> Result<(), ModelError> {
        let (mut ids, mut targets, mut cu, mut places) = (Vec::new(), Vec::new(), vec![0], Vec::new());
        for text in &self.running[self.read..] {
            ids.extend_from_slice(&self.prompts[text.prompt]);
            targets.resize(ids.len(), IGNORE);
            // Of the rows only those with a target get logits; which target does not matter.
            targets[ids.len() - 1] = 0;
            cu.push(ids.len());
            places.extend(text.context.clone());
        }
        let Desk { prompts, how, cache, read, running, answers, .. } = self;
        let texts = &running[*read..];
        let batch = Batch { ids: &ids, targets: &targets, cu: &cu };
        let mut ended = Vec::new();
        engine.read_prompts(batch, &mut cache.layers, &places, &mut |i, logits| {
            ended.push(write(&texts[i], logits, prompts, how, answers)?);
            Ok(())
        })?;
        let first = *read;
        self.clear(first, &ended);
        Ok(())
    }

    /// One more token for each text.
    fn write_tokens(&mut self, engine: &mut Engine) -> Result<(), ModelError> {
        let Desk { prompts, how, cache, running, answers, .. } = self;
        let last = |text: &Text| *answers[text.prompt].last().expect("a text that was read has a token");
        let ids: Vec<u32> = running.iter().map(last).collect();
        running.iter_mut().for_each(|text| text.context.end += 1);
        let contexts: Vec<Range<usize>> = running.iter().map(|text| text.context.clone()).collect();
        let mut ended = Vec::new();
        engine.write_tokens(&ids, &mut cache.layers, &contexts, &mut |i, logits| {
            ended.push(write(&running[i], logits, prompts, how, answers)?);
            Ok(())
        })?;
        self.clear(0, &ended);
        Ok(())
    }

    /// Of the texts from `first` on, which all have a new token, those that `ended` make room for others.
    fn clear(&mut self, first: usize, ended: &[bool]) {
        let mut ended = ended.iter();
        let texts = self.running.split_off(first);
        for text in texts {
            if ended.next() == Some(&true) {
                self.cache.spans.give(text.span);
            } else {
                self.running.push(text);
            }
        }
        self.read = self.running.len();
        self.tokens = self.answers.iter().map(Vec::len).sum();
    }
}

/// Adds a token to the text's answer; whether the answer has ended.
fn write(
    text: &Text,
    logits: &mut [f32],
    prompts: &[Vec<u32>],
    how: &Decoding,
    answers: &mut [Vec<u32>],
) -> Result<bool, ModelError> {
    let (prompt, answer) = (text.prompt, &mut answers[text.prompt]);
    let position = answer.len();
    let chosen = choose(logits, &[&prompts[prompt], answer], how, chance(how.seed, prompt, position));
    let id = chosen.ok_or(ModelError::NoNumber { prompt, position })?;
    if how.stops.contains(&id) {
        return Ok(true);
    }
    answer.push(id);
    Ok(answer.len() == how.tokens_max)
}
