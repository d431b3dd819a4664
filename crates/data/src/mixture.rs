//! Tasks in shares of supervised tokens, as one endless sequence of examples.
//!
//! Each task is gone through by one permutation after another, so that no example comes again before all of its task came.
//! The next example is of the task that is furthest behind its share: every stretch of the sequence has the mixture, and
//! over an epoch a share is exact to a few examples. Where the sequence stands is two numbers a task ([`Place`]); everything
//! else is a function of (data, plan, seed).

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::order::{Permutation, Purpose};
use crate::packing::PACK_WINDOW;
use crate::plan::{Choose, LengthPlan, MixPlan, Packing, Shares};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// The name under which replay rows stand among the tasks.
pub const REPLAY: &str = "replay";
/// The name of all training rows beside a replay where the plan names no tasks.
pub(crate) const ONE_TASK: &str = "train";
/// Examples of an epoch, at most.
const EXAMPLES_MAX: f64 = 1e9;
/// Examples packed together where replay rows are chosen anew: a choice is in effect from the next such window on.
const CHOSEN_WINDOW: usize = 256;

/// One task of a mixture; the replay is its last.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    pub name: String,
    /// Asked for: of the supervised tokens of an epoch.
    pub share: f64,
    /// What there is of it.
    pub examples: u64,
    pub supervised_tokens: u64,
    rows: Rows,
    /// Examples without which an epoch does not end.
    needed: Option<u64>,
    /// Most examples in an epoch.
    cap: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    pub tasks: Vec<Task>,
    balance: Balance,
    /// Examples packed together.
    pub(crate) window: usize,
    replays: bool,
}

/// Which tokens the shares are counted in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Balance {
    /// Those of whole examples, so that by size everything comes exactly once.
    Whole,
    /// Those that are left where packing cuts examples: a fragment's first token is predicted by nothing.
    Packed,
}

/// Examples of a dataset.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rows {
    Ranges(Vec<Range<usize>>),
    Listed(Arc<Vec<u32>>),
}

/// Replay rows that are used from some place on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// How many choices were made before, from 1 on.
    pub number: u64,
    /// Examples of the dataset, rising.
    pub rows: Vec<u32>,
}

impl Rows {
    fn len(&self) -> u64 {
        match self {
            Rows::Ranges(ranges) => ranges.iter().map(|r| r.len() as u64).sum(),
            Rows::Listed(rows) => rows.len() as u64,
        }
    }

    fn at(&self, index: u64) -> usize {
        match self {
            Rows::Listed(rows) => rows[index as usize] as usize,
            Rows::Ranges(ranges) => {
                let mut left = index as usize;
                for range in ranges {
                    if left < range.len() {
                        return range.start + left;
                    }
                    left -= range.len();
                }
                left
            }
        }
    }

    pub fn iter(&self) -> Box<dyn Iterator<Item = usize> + '_> {
        match self {
            Rows::Ranges(ranges) => Box::new(ranges.iter().cloned().flatten()),
            Rows::Listed(rows) => Box::new(rows.iter().map(|row| *row as usize)),
        }
    }
}

impl Mixture {
    /// `rows` are of each of the plan's tasks, in its order; `replay` its rows, its share and how they were chosen.
    ///
    /// # Errors
    /// `Mixture` where a task has no example, or where the plan contradicts itself.
    pub(crate) fn new(
        data: &Dataset,
        plan: &MixPlan,
        rows: Vec<Rows>,
        replay: Option<(Rows, f64, Choose)>,
    ) -> Result<Mixture, DataError> {
        let mut tasks = Vec::new();
        for (task, rows) in plan.tasks.iter().zip(rows) {
            tasks.push(Task::new(data, &task.name, rows, task.cap)?);
        }
        let sizes: Vec<f64> = tasks.iter().map(Task::size).collect();
        let weights: Vec<f64> = match &plan.shares {
            Shares::Size => sizes.clone(),
            Shares::Weights(weights) => weights.clone(),
            Shares::Temperature(t) => sizes.iter().map(|n| n.powf(*t)).collect(),
        };
        let total: f64 = weights.iter().sum();
        if weights.len() != tasks.len() || !total.is_finite() || weights.iter().any(|w| w.is_nan() || *w <= 0.0) {
            return Err(DataError::Mixture { key: "data.mix", why: "it needs one weight above 0 a task".into() });
        }
        let smallest = (0..sizes.len()).min_by(|a, b| sizes[*a].total_cmp(&sizes[*b]));
        let left = 1.0 - replay.as_ref().map_or(0.0, |(_, share, _)| *share);
        for (i, task) in tasks.iter_mut().enumerate() {
            task.share = left * weights[i] / total;
            task.needed = match plan.uses {
                None => Some(task.examples.min(task.cap.unwrap_or(u64::MAX))),
                Some(uses) => (smallest == Some(i)).then_some(uses.saturating_mul(task.examples)),
            };
        }
        refuse_endless(&tasks)?;
        let chosen_anew = matches!(replay, Some((_, _, Choose::Forgotten)));
        let replays = replay.is_some();
        if let Some((rows, share, _)) = replay {
            tasks.push(Task { share, ..Task::new(data, REPLAY, rows, None)? });
        }
        let balance = if plan.shares == Shares::Size { Balance::Whole } else { Balance::Packed };
        let window = if chosen_anew { CHOSEN_WINDOW } else { PACK_WINDOW };
        Ok(Mixture { tasks, balance, window, replays })
    }

    /// The examples that a replay may draw; none where there is no replay.
    pub fn replay_rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.tasks.last().filter(|_| self.replays).into_iter().flat_map(|replay| replay.rows.iter())
    }
}

/// Refuses an epoch of more examples than anyone means: a task of a tiny share that is to be used up makes the others go round
/// and round.
fn refuse_endless(tasks: &[Task]) -> Result<(), DataError> {
    let part = |task: &Task, examples: u64| examples as f64 / task.examples as f64 * task.supervised_tokens as f64;
    let until = |task: &Task, examples: u64| part(task, examples) / task.share;
    let needed = tasks.iter().filter_map(|t| Some(until(t, t.needed?))).fold(0.0, f64::max);
    let tokens = tasks.iter().filter_map(|t| Some(until(t, t.cap?))).fold(needed, f64::min);
    let examples: f64 =
        tasks.iter().map(|t| tokens * t.share * t.examples as f64 / t.supervised_tokens.max(1) as f64).sum();
    if examples <= EXAMPLES_MAX {
        return Ok(());
    }
    let why =
        format!("an epoch would have {examples:.0} examples; lower `uses`, raise the smallest weight, or set a `cap`");
    Err(DataError::Mixture { key: "data.mix", why })
}

impl Task {
    fn new(data: &Dataset, name: &str, rows: Rows, cap: Option<u64>) -> Result<Task, DataError> {
        let examples = rows.len();
        if examples == 0 {
            let (key, why) = match name {
                REPLAY => ("replay", "no row of it is usable".to_owned()),
                name => ("data.train", format!("no row of the task {name:?} is usable")),
            };
            return Err(DataError::Mixture { key, why });
        }
        let supervised_tokens = rows.iter().map(|row| data.supervised_len(row) as u64).sum();
        Ok(Task { name: name.to_owned(), share: 0.0, examples, supervised_tokens, rows, needed: None, cap })
    }

    /// Supervised tokens, no more than its cap's.
    fn size(&self) -> f64 {
        let part = self.cap.map_or(1.0, |cap| (cap as f64 / self.examples as f64).min(1.0));
        part * self.supervised_tokens as f64
    }
}

/// Where the sequence stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Examples drawn in the epoch.
    pub draws: u64,
    /// Of each task, since the first epoch; of the replay, since its rows were chosen last.
    pub drawn: Vec<u64>,
    /// Supervised tokens of each task in the epoch.
    pub used: Vec<u64>,
}

impl Place {
    pub fn start(tasks: usize) -> Place {
        Place { draws: 0, drawn: vec![0; tasks], used: vec![0; tasks] }
    }

    /// The same place as the beginning of an epoch.
    pub fn epoch_start(&self) -> Place {
        Place { draws: 0, drawn: self.drawn.clone(), used: vec![0; self.used.len()] }
    }
}

/// The sequence from one place on, within an epoch.
pub(crate) struct Sequence<'a> {
    data: &'a Dataset,
    mixture: &'a Mixture,
    lengths: LengthPlan,
    seed: u64,
    choice: Option<&'a Choice>,
    /// Of each task, examples drawn before the epoch.
    begun: &'a [u64],
    pub place: Place,
    /// Of each task: how often it was gone through, and this time's order.
    orders: Vec<Option<(u64, Permutation)>>,
    used_sum: u64,
    /// Tokens since the packing window began.
    offset: usize,
}

impl<'a> Sequence<'a> {
    pub fn new(
        data: &'a Dataset,
        mixture: &'a Mixture,
        (lengths, seed): (LengthPlan, u64),
        choice: Option<&'a Choice>,
        begun: &'a [u64],
        place: Place,
    ) -> Self {
        let used_sum = place.used.iter().sum();
        let orders = vec![None; mixture.tasks.len()];
        Self { data, mixture, lengths, seed, choice, begun, place, orders, used_sum, offset: 0 }
    }

    /// The examples of the next packing window, at most `most`; none where the epoch is over.
    pub fn window(&mut self, most: usize) -> Vec<usize> {
        self.offset = 0;
        let mut examples = Vec::with_capacity(most);
        while examples.len() < most
            && let Some(example) = self.draw()
        {
            examples.push(example);
        }
        examples
    }

    fn draw(&mut self) -> Option<usize> {
        let next = self.furthest_behind();
        if self.over(next) {
            return None;
        }
        let example = self.example(next);
        self.place.draws += 1;
        self.place.drawn[next] += 1;
        // A token at least, so that a task of which packing leaves nothing does not hold up the others.
        let tokens = self.counted(example).max(1);
        self.place.used[next] += tokens;
        self.used_sum += tokens;
        Some(example)
    }

    /// The first of those whose used tokens are furthest below what they should be one token later.
    fn furthest_behind(&self) -> usize {
        let later = (self.used_sum + 1) as f64;
        let mut most = (0, f64::NEG_INFINITY);
        for (i, (task, used)) in self.mixture.tasks.iter().zip(&self.place.used).enumerate() {
            let behind = task.share * later - *used as f64;
            if behind > most.1 {
                most = (i, behind);
            }
        }
        most.0
    }

    fn over(&self, next: usize) -> bool {
        let tasks = &self.mixture.tasks;
        let drawn = |i: usize| self.place.drawn[i].saturating_sub(self.begun[i]);
        let capped = tasks[next].cap.is_some_and(|cap| drawn(next) >= cap);
        capped || (0..tasks.len()).all(|i| tasks[i].needed.is_none_or(|needed| drawn(i) >= needed))
    }

    fn example(&mut self, task: usize) -> usize {
        let replay = self.mixture.replays && task + 1 == self.mixture.tasks.len();
        let choice = self.choice.filter(|_| replay);
        let rows = &self.mixture.tasks[task].rows;
        let n = choice.map_or(rows.len(), |c| c.rows.len() as u64);
        let (pass, at) = (self.place.drawn[task] / n, self.place.drawn[task] % n);
        if self.orders[task].as_ref().is_none_or(|(held, _)| *held != pass) {
            let purpose = match replay {
                true => Purpose::Replay(choice.map_or(0, |c| c.number)),
                false => Purpose::Task(task as u64),
            };
            self.orders[task] = Some((pass, Permutation::new(n, self.seed, pass, purpose)));
        }
        let index = self.orders[task].as_ref().map_or(at, |(_, order)| order.at(at));
        choice.map_or_else(|| rows.at(index), |c| c.rows[index as usize] as usize)
    }

    /// Supervised tokens of the next example. Where packing cuts it, those are taken to stand at its end, as answers do.
    fn counted(&mut self, example: usize) -> u64 {
        let (len, supervised) = (self.data.token_len(example), self.data.supervised_len(example));
        let start = self.offset;
        self.offset += len;
        let cut_from = match (self.mixture.balance, self.lengths.packing) {
            (Balance::Whole, _) | (_, Packing::Examples | Packing::Bfd) => return supervised as u64,
            (Balance::Packed, Packing::BfdSplit) => 0,
            (Balance::Packed, Packing::Wrapped) => start,
        };
        let limit = self.lengths.seq_len_max.max(1);
        let first = len.saturating_sub(supervised).max(1);
        let cuts = (cut_from + len.max(1) - 1) / limit - (cut_from + first - 1) / limit;
        supervised.saturating_sub(cuts) as u64
    }
}
