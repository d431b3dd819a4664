//! How many tokens go through the model at once, so that the run fits its memory: decided before the model loads,
//! from the longest row.

use crate::run::Read;
use crate::{Plan, TrainError, TrainPlan, base, ewc, overfit};
use data::{Dataset, Origin, Packing};
use model::{Limits, MemoryPlan, Outline};

/// Tokens in a pass when the plan leaves it open and memory allows: beyond this, matrix products gain nothing more
/// and activations only grow.
const MICRO_TOKENS: usize = 2048;
/// A pass is made smaller so that layers need not be computed again, but not below this. Where weights are held packed,
/// passes of so many tokens are as fast as larger ones, and what they keep stays nearer to the processor.
const MICRO_TOKENS_KEPT: usize = 512;

/// A run's size, as it will be.
#[derive(Clone)]
pub(crate) struct Fit {
    pub limits: Limits,
    pub memory: MemoryPlan,
    /// Elements trained, and in the base.
    pub trainable: u64,
    pub parameters: u64,
    pub layers: Layers,
    /// False where even the smallest pass is over the limit (then [`require`] has the refusal).
    fits: bool,
}

/// What a size is planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layers {
    /// The model's files; what the plan quantises is quantised while loading, and held.
    Own,
    /// A copy with the layers in NF4, which can be read ahead of use.
    Copied,
}

/// The row that sets the smallest possible pass.
struct Longest {
    /// Of a row that is there; None: as long as a text of the base's own may be.
    origin: Option<Origin>,
    tokens: usize,
}

/// Chooses the pass's size: the plan's own; or 512 tokens where weights can be held packed and no layer need be computed
/// again in the backward pass; or the largest of 2048, 1024, … tokens that fits without computing any again; or else that
/// fits; or else that fits with layers read for each pass. Never less than the longest row.
///
/// Layers are planned to be read from a copy in NF4 only where the base does not fit without: whether there is one never
/// decides the pass, and with it the order of sums.
pub(crate) fn fit(plan: &Plan, read: &Read) -> Result<Fit, TrainError> {
    let held = fit_of(plan, read, Layers::Own)?;
    if held.fits || plan.quantize_cache.is_none() || !base::can_be_copied(plan)? {
        return Ok(held);
    }
    fit_of(plan, read, Layers::Copied)
}

fn fit_of(plan: &Plan, read: &Read, layers: Layers) -> Result<Fit, TrainError> {
    let measure = |plan: &Plan, tokens_max, seq_len_max| measure(plan, layers, tokens_max, seq_len_max);
    let longest = longest_row(plan, read)?;
    if let Some(given) = plan.train.micro_tokens {
        if given < longest.tokens {
            return Err(TrainError::RowOverPass {
                origin: longest.name(),
                tokens: longest.tokens,
                micro_tokens: given,
            });
        }
        return measure(plan, given, longest.tokens);
    }
    let unit = match plan.data.lengths.packing {
        Packing::Examples => longest.tokens,
        Packing::Bfd | Packing::BfdSplit | Packing::Wrapped => plan.data.lengths.seq_len_max,
    };
    let most = unit.saturating_mul(plan.train.batch);
    let short = measure(plan, most.min(MICRO_TOKENS_KEPT).max(longest.tokens), longest.tokens)?;
    if short.fits && short.memory.weights_packed {
        return Ok(short);
    }
    let mut tokens = most.min(MICRO_TOKENS).max(longest.tokens);
    // The largest that fits without reading layers anew for each pass, and with that.
    let (mut held, mut streamed) = (None, None);
    loop {
        let fit = measure(plan, tokens, longest.tokens)?;
        let streams = fit.memory.layers_streamed > 0;
        if fit.fits && !streams && fit.memory.layers_recomputed == 0 {
            return Ok(fit);
        }
        if fit.fits {
            let largest = if streams { &mut streamed } else { &mut held };
            largest.get_or_insert_with(|| fit.clone());
        }
        let smaller = (tokens / 2).max(longest.tokens);
        // Still smaller passes would cost more than computing layers again, or reading them.
        if tokens == longest.tokens || (smaller < MICRO_TOKENS_KEPT && (held.is_some() || streamed.is_some())) {
            return Ok(held.or(streamed).unwrap_or(fit));
        }
        tokens = smaller;
    }
}

/// Refuses a size over the limit, naming the row that asks for it and what would fit.
pub(crate) fn require(fit: &Fit, plan: &Plan, read: &Read) -> Result<(), TrainError> {
    if fit.fits {
        return Ok(());
    }
    let longest = longest_row(plan, read)?;
    Err(TrainError::Memory {
        origin: longest.name(),
        tokens: longest.tokens,
        needed: fit.memory.total,
        limit: fit.memory.limit,
        fits: what_fits(plan, &longest, fit)?,
    })
}

/// What to change so that the run fits: a smaller pass if the row's own size allows one, else shorter rows.
fn what_fits(plan: &Plan, longest: &Longest, fit: &Fit) -> Result<String, TrainError> {
    let fits = which_size_fits(plan, longest, fit)?;
    let less = "; with `quantize_cache` set it needs less, as its layers can be read ahead of use from a copy in NF4";
    Ok(if plan.quantize_cache.is_none() && base::can_be_copied(plan)? { fits + less } else { fits })
}

fn which_size_fits(plan: &Plan, longest: &Longest, fit: &Fit) -> Result<String, TrainError> {
    let largest = |upper: usize, lower: usize, rows: &dyn Fn(usize) -> usize| -> Result<Option<usize>, TrainError> {
        let (mut good, mut bad) = (None, upper);
        let mut low = lower;
        while low < bad {
            let middle = low + (bad - low) / 2;
            if measure(plan, fit.layers, middle, rows(middle))?.fits {
                good = Some(middle);
                low = middle + 1;
            } else {
                bad = middle;
            }
        }
        Ok(good)
    };
    if fit.limits.tokens_max > longest.tokens
        && let Some(tokens) = largest(fit.limits.tokens_max, longest.tokens, &|_| longest.tokens)?
    {
        return Ok(format!("train.micro_tokens up to {tokens} would fit"));
    }
    Ok(match largest(longest.tokens, 1, &|tokens| tokens)? {
        Some(tokens) => format!("rows of at most {tokens} tokens (train.seq_len_max) would fit"),
        None => format!(
            "no row would fit: the weights and the adapter alone need {}",
            fit.memory.total - fit.memory.activations
        ),
    })
}

fn measure(plan: &Plan, layers: Layers, tokens_max: usize, seq_len_max: usize) -> Result<Fit, TrainError> {
    let TrainPlan { memory, threads, precision, optimizer, .. } = plan.train;
    let quantize = plan.quantize;
    let mut limits = Limits { tokens_max, seq_len_max, memory, threads, precision, quantize, optimizer, beside: 0 };
    let adapter = overfit::largest(plan);
    let outline = match layers {
        Layers::Own => model::outline,
        Layers::Copied => model::outline_quantised,
    };
    if !plan.ewc.is_empty() {
        limits.beside = ewc::bytes(plan, &outline(&plan.model, &adapter, &limits)?);
    }
    let Outline { memory, trainable, parameters, .. } = outline(&plan.model, &adapter, &limits)?;
    let fits = memory.total <= memory.limit;
    Ok(Fit { limits, memory, trainable, parameters, layers, fits })
}

fn longest_row(plan: &Plan, read: &Read) -> Result<Longest, TrainError> {
    let mut longest: Option<(&Dataset, usize, usize)> = None;
    let prepared = &read.prepared;
    let general = read.general.iter().filter_map(|general| general.data.as_ref());
    for data in std::iter::once(&prepared.train).chain(&prepared.valid).chain(general) {
        if let Some((index, tokens)) = data.longest()
            && longest.is_none_or(|(_, _, most)| tokens > most)
        {
            longest = Some((data, index, tokens));
        }
    }
    let Some((data, index, tokens)) = longest else {
        return Err(TrainError::NoExamples {
            what: "training",
            rows: prepared.train_counts.rows,
            aside: prepared.train_counts.aside.clone(),
        });
    };
    // Longer examples are split by packing and by validation.
    let tokens = tokens.min(plan.data.lengths.seq_len_max);
    // How long they are is known before they are written.
    match plan.data.replay.as_ref().and_then(|replay| replay.written.as_ref()?.tokens) {
        Some(written) if written > tokens => Ok(Longest { origin: None, tokens: written }),
        _ => Ok(Longest { origin: Some(data.example(index)?.origin), tokens }),
    }
}

impl Longest {
    fn name(&self) -> String {
        match &self.origin {
            Some(origin) => format!("{}:{}", origin.file, origin.line),
            None => "a text that the base writes itself (replay.tokens)".to_owned(),
        }
    }
}
