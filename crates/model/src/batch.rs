//! What a pass is given, checked and laid out as integers.

use crate::decoder::Pass;
use crate::engine::{Batch, IGNORE, Limits};
use crate::workspace::Indices;
use crate::{ModelConfig, ModelError};
use kernels::Backend;
use std::ops::Range;

/// Which positions go on after the last layer's attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Those with a target.
    Targets,
    All,
}

/// Refuses a batch that the workspace was not made for.
pub(crate) fn check(batch: Batch, c: &ModelConfig, limits: &Limits) -> Result<(), ModelError> {
    let tokens = batch.ids.len();
    if tokens > limits.tokens_max {
        return Err(ModelError::TooManyTokens { tokens, tokens_max: limits.tokens_max });
    }
    if batch.targets.len() != tokens {
        return Err(ModelError::TargetCount { ids: tokens, targets: batch.targets.len() });
    }
    check_bounds(batch.cu, tokens, limits.seq_len_max)?;
    if let Some(position) = batch.ids.iter().position(|id| *id as usize >= c.vocab) {
        return Err(ModelError::TokenId { position, id: batch.ids[position], vocab: c.vocab });
    }
    let outside = |t: &i32| *t != IGNORE && usize::try_from(*t).is_ok_and(|t| t < c.vocab).eq(&false);
    if let Some(position) = batch.targets.iter().position(outside) {
        return Err(ModelError::TargetId { position, target: batch.targets[position], vocab: c.vocab });
    }
    Ok(())
}

fn check_bounds(cu: &[usize], tokens: usize, seq_len_max: usize) -> Result<(), ModelError> {
    let wrong = |at: usize, value: usize| Err(ModelError::ExampleBounds { at, value, tokens });
    match (cu.first(), cu.last()) {
        (Some(0), Some(&end)) if end == tokens => {}
        (Some(0), Some(&end)) => return wrong(cu.len() - 1, end),
        (first, _) => return wrong(0, first.copied().unwrap_or(0)),
    }
    for (example, pair) in cu.windows(2).enumerate() {
        if pair[1] < pair[0] {
            return wrong(example + 1, pair[1]);
        }
        if pair[1] - pair[0] > seq_len_max {
            return Err(ModelError::ExampleTooLong { example, tokens: pair[1] - pair[0], seq_len_max });
        }
    }
    Ok(())
}

/// Uploads a checked batch; allocates nothing.
pub(crate) fn stage<'a, B: Backend>(
    backend: &B,
    index: &mut Indices<B>,
    batch: Batch<'a>,
    rows: Rows,
) -> Result<Pass<'a>, ModelError> {
    let staged = &mut index.staged;
    // Ids are below the vocabulary, whose limit is far inside an i32.
    staged.clear();
    staged.extend(batch.ids.iter().map(|id| *id as i32));
    backend.upload_idx(&mut index.ids, staged)?;
    staged.clear();
    for pair in batch.cu.windows(2) {
        staged.extend(0..(pair[1] - pair[0]) as i32);
    }
    backend.upload_idx(&mut index.positions, staged)?;
    staged.clear();
    index.staged_targets.clear();
    for (position, target) in batch.targets.iter().enumerate() {
        if rows == Rows::All || *target != IGNORE {
            staged.push(position as i32);
            index.staged_targets.push(*target);
        }
    }
    backend.upload_idx(&mut index.rows, staged)?;
    backend.upload_idx(&mut index.targets, &index.staged_targets)?;
    Ok(Pass { cu: batch.cu, tokens: batch.ids.len(), targets: staged.len(), back: false })
}

/// Uploads one token of each text, the last of its context.
pub(crate) fn stage_tokens<B: Backend>(
    backend: &B,
    index: &mut Indices<B>,
    ids: &[u32],
    contexts: &[Range<usize>],
) -> Result<Pass<'static>, ModelError> {
    let staged = &mut index.staged;
    staged.clear();
    staged.extend(ids.iter().map(|id| *id as i32));
    backend.upload_idx(&mut index.ids, staged)?;
    staged.clear();
    staged.extend(contexts.iter().map(|context| (context.len() - 1) as i32));
    backend.upload_idx(&mut index.positions, staged)?;
    Ok(Pass { cu: &[], tokens: ids.len(), targets: ids.len(), back: false })
}
