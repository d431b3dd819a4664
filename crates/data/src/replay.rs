//! Which rows are replayed, and how they are mixed into the training's.

use crate::cache::CacheReader;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::mixture::{Mixture, ONE_TASK, REPLAY, Rows};
use crate::order::{Permutation, Purpose};
use crate::plan::{Choose, DataPlan, MixPlan, ReplayPlan, Shares, Source, TaskPlan};
use crate::text::{Control, TextPipeline};
use measures::near::{BINS, glance, glance_similarity, normalise, shingles, signature};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Rows of a replay that are used where the plan does not say how many, unless any will do.
pub const REPLAY_BUFFER: u64 = 1000;
/// Rows that are looked at for each one that is taken, where some fit better than others.
const CANDIDATES_PER_ROW: u64 = 8;

/// The task that each source names.
pub(crate) fn labels(sources: &[Source]) -> Vec<Option<&str>> {
    sources.iter().map(|s| s.task.as_deref()).collect()
}

/// The training side with its mixture, where the plan asks for one.
pub(crate) fn mixed(
    train: CacheReader,
    plan: &DataPlan,
    seed: u64,
    replay: Option<CacheReader>,
    text: &TextPipeline,
) -> Result<Dataset, DataError> {
    let mut labels = labels(&plan.train);
    let one = MixPlan { tasks: vec![TaskPlan { name: ONE_TASK.into(), cap: None }], shares: Shares::Size, uses: None };
    let mix = match (&plan.mix, &replay) {
        (None, None) => return Ok(Dataset::new(train, &labels)),
        (Some(mix), _) => mix,
        (None, Some(_)) => {
            labels.fill(Some(ONE_TASK));
            &one
        }
    };
    let names: Vec<&str> = mix.tasks.iter().map(|task| task.name.as_str()).collect();
    if let Some(source) = plan.train.iter().zip(&labels).find(|(_, label)| label.is_none_or(|l| !names.contains(&l))) {
        let why = format!("{}: the source needs a `task` of the mixture's", source.0.path.display());
        return Err(DataError::Mixture { key: "data.train", why });
    }
    if names.contains(&REPLAY) && replay.is_some() {
        return Err(DataError::Mixture {
            key: "data.train",
            why: "a task cannot be named \"replay\" beside one".into(),
        });
    }
    let mut data = Dataset::new(train, &labels);
    let rows = data.rows_of(&names);
    let replay = match (replay, &plan.replay) {
        (Some(reader), Some(replay)) => {
            let train = 0..data.len();
            data = data.with_replay(reader);
            let all = train.end..data.len();
            let chosen = Pool { data: &data, train: train.len(), first: all.start, n: all.len() as u64, seed };
            Some((chosen.rows(replay, text)?, replay.share, replay.choose))
        }
        _ => None,
    };
    let mixture = Mixture::new(&data, mix, rows, replay)?;
    Ok(data.with_mixture(mixture))
}

/// The rows that a replay may use.
struct Pool<'a> {
    data: &'a Dataset,
    /// Training examples, which stand first.
    train: usize,
    /// The first replay example, and how many there are.
    first: usize,
    n: u64,
    seed: u64,
}

impl Pool<'_> {
    fn rows(&self, plan: &ReplayPlan, text: &TextPipeline) -> Result<Rows, DataError> {
        let most = match (plan.choose, plan.buffer) {
            (Choose::Random, None) => self.n,
            (_, buffer) => buffer.unwrap_or(REPLAY_BUFFER).min(self.n),
        };
        let mut rows = match plan.choose {
            _ if most == self.n => {
                return Ok(Rows::Ranges(std::iter::once(self.first..self.first + self.n as usize).collect()));
            }
            Choose::Random | Choose::Forgotten => self.any(most),
            Choose::Length => self.lengths_as_trained(most),
            Choose::Diversity => self.farthest_first(most, text)?,
        };
        rows.sort_unstable();
        Ok(Rows::Listed(Arc::new(rows)))
    }

    /// So many, in a random order.
    fn any(&self, most: u64) -> Vec<u32> {
        let order = Permutation::new(self.n, self.seed, 0, Purpose::Pool);
        (0..most.min(self.n)).map(|i| (self.first as u64 + order.at(i)) as u32).collect()
    }

    fn candidates(&self, most: u64) -> Vec<u32> {
        self.any(most.saturating_mul(CANDIDATES_PER_ROW))
    }

    /// For each of as many quantiles of the training's lengths, the candidate that is nearest to it and not yet taken.
    fn lengths_as_trained(&self, most: u64) -> Vec<u32> {
        let mut trained: Vec<u32> = (0..self.train).map(|i| self.data.token_len(i) as u32).collect();
        trained.sort_unstable();
        let candidates = self.candidates(most);
        // Of equal lengths, those that come first at random.
        let mut free: BTreeSet<(u32, u32)> = candidates
            .iter()
            .enumerate()
            .map(|(rank, row)| (self.data.token_len(*row as usize) as u32, rank as u32))
            .collect();
        let quantile =
            |k: u64| trained[((2 * k + 1) as usize * trained.len() / (2 * most as usize)).min(trained.len() - 1)];
        let mut rows = Vec::with_capacity(most as usize);
        for k in 0..most {
            let wanted = quantile(k);
            let above = free.range((wanted, 0)..).next().copied();
            let below = free.range(..(wanted, 0)).next_back().copied();
            let nearest = match (below, above) {
                (Some(b), Some(a)) => Some(if wanted - b.0 < a.0 - wanted { b } else { a }),
                (one, other) => one.or(other),
            };
            let Some(nearest) = nearest else { break };
            free.remove(&nearest);
            rows.push(candidates[nearest.1 as usize]);
        }
        rows
    }

    /// Farthest first: each the candidate that is least like the most similar of those taken before (Gonzalez 1985).
    fn farthest_first(&self, most: u64, text: &TextPipeline) -> Result<Vec<u32>, DataError> {
        let candidates = self.candidates(most);
        let glances: Vec<Option<[u8; 64]>> =
            candidates.par_iter().map(|row| self.glance(*row, text)).collect::<Result<_, _>>()?;
        // Texts without a shingle are like nothing and say nothing: they come last.
        let mut likeness: Vec<f32> = glances.iter().map(|g| if g.is_some() { -1.0 } else { 2.0 }).collect();
        let mut rows = Vec::with_capacity(most as usize);
        for _ in 0..most {
            let free = likeness.iter().enumerate().filter(|(_, l)| l.is_finite());
            let Some((next, _)) = free.min_by(|a, b| a.1.total_cmp(b.1)) else { break };
            rows.push(candidates[next]);
            likeness[next] = f32::INFINITY;
            let Some(taken) = &glances[next] else { continue };
            likeness.par_iter_mut().zip(&glances).for_each(|(likeness, glance)| {
                if let Some(glance) = glance {
                    *likeness = likeness.max(glance_similarity(glance, taken));
                }
            });
        }
        Ok(rows)
    }

    fn glance(&self, row: u32, text: &TextPipeline) -> Result<Option<[u8; 64]>, DataError> {
        let example = self.data.example(row as usize)?;
        let normal = normalise(&text.tokenizer().decode(&example.ids, Control::Skip)?);
        let mut hashes = Vec::new();
        shingles(&normal.text, &mut hashes);
        let mut bins = [0; BINS];
        Ok(signature(&hashes, &mut bins).map(|()| glance(&bins)))
    }
}
