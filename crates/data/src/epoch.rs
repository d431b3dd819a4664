//! One epoch: the units that training takes, in their order.

use crate::error::DataError;
use crate::mixture::{Choice, Mixture, Place, Sequence};
use crate::order::{Permutation, Purpose};
use crate::packing::{PACK_WINDOW, Piece, pack};
use crate::{Dataset, LengthPlan, Packing};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// The units (see [`Packing`]) of one epoch: a pure function of (dataset, packing, seed, epoch), and where replay rows are chosen
/// anew under way, of the [`Leg`]s.
///
/// Without tasks the order is a shuffle; with `Examples`, a unit is then looked up in O(1). Otherwise the order is cut into
/// windows of [`PACK_WINDOW`] examples, each packed for itself: eight bytes a window (with tasks, sixteen a task more) and one
/// window are held. Inside a packed window the rows are shuffled again, because best-fit decreasing would serve the long
/// examples first; with tasks, so that each stretch of rows has the mixture, because it packs examples of one length, which are
/// often of one task, together.
pub struct Epoch<'a> {
    data: &'a Dataset,
    lengths: LengthPlan,
    seed: u64,
    epoch: u64,
    order: Order<'a>,
    /// Units before each window, then their total. Empty for shuffled examples.
    units_before: Vec<usize>,
    last: Mutex<Option<Window>>,
}

enum Order<'a> {
    Shuffled(Permutation),
    Mixed(Mixed<'a>),
}

struct Mixed<'a> {
    mixture: &'a Mixture,
    /// Of each task, examples drawn before the epoch.
    begun: Vec<u64>,
    /// Where each window begins, and where the last ends.
    places: Vec<Place>,
    /// From which window on which replay rows are used; the first from 0.
    choices: Vec<(usize, Option<Choice>)>,
}

/// From where on the sequence of examples draws which replay rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    pub epoch: u64,
    /// The first unit of it.
    pub unit: u64,
    begun: Vec<u64>,
    place: Place,
    choice: Option<Choice>,
}

/// What an epoch holds of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Delivered {
    /// An example that packing cuts counts once.
    pub examples: u64,
    /// Those that count in the loss, as packed.
    pub supervised_tokens: u64,
}

/// One window's units, held because they are mostly asked for in order.
struct Window {
    number: usize,
    units: Arc<Vec<Vec<Piece>>>,
}

impl<'a> Epoch<'a> {
    /// For the packed strategies and for mixtures this goes through every window once to know their sizes: O(n) time on the
    /// lengths in memory. In a mixture an epoch begins where the one before ended, which [`Epoch::following`] knows.
    pub fn new(data: &'a Dataset, lengths: &LengthPlan, seed: u64, epoch: u64) -> Self {
        match data.mixture() {
            None => Self::shuffled(data, lengths, seed, epoch),
            Some(mixture) => Self::walk(data, (*lengths, seed), mixture, &Leg::start(mixture), &[], epoch),
        }
    }

    /// The same where replay rows were chosen under way: `legs` in their order, the first at or before what is asked for.
    ///
    /// # Errors
    /// `OutOfRange` when the first leg begins after `epoch`.
    pub fn along(
        data: &'a Dataset,
        lengths: &LengthPlan,
        seed: u64,
        epoch: u64,
        legs: &[Leg],
    ) -> Result<Self, DataError> {
        let (Some(mixture), [first, later @ ..]) = (data.mixture(), legs) else {
            return Ok(Self::new(data, lengths, seed, epoch));
        };
        if first.epoch > epoch || first.begun.len() != mixture.tasks.len() {
            return Err(DataError::OutOfRange { what: "epoch", index: epoch as usize, len: first.epoch as usize });
        }
        Ok(Self::walk(data, (*lengths, seed), mixture, first, later, epoch))
    }

    /// The epoch after this one.
    pub fn following(&self, legs: &[Leg]) -> Self {
        match &self.order {
            Order::Shuffled(_) => Self::shuffled(self.data, &self.lengths, self.seed, self.epoch + 1),
            Order::Mixed(mixed) => {
                let leg = Leg::of_next_epoch(self.epoch, mixed, mixed.choice(usize::MAX).cloned());
                Self::mixed(self.data, (self.lengths, self.seed), mixed.mixture, &leg, legs)
            }
        }
    }

    pub fn number(&self) -> u64 {
        self.epoch
    }

    /// Units in this epoch (for `Examples`, the number of examples).
    pub fn len(&self) -> usize {
        self.units_before.last().copied().unwrap_or(self.data.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The unit at place `index` of the epoch.
    ///
    /// # Errors
    /// `OutOfRange` when `index` is not below `len()`, or lies before the first leg.
    pub fn unit(&self, index: usize) -> Result<Vec<Piece>, DataError> {
        if index >= self.len() || self.units_before.first().is_some_and(|first| index < *first) {
            return Err(DataError::OutOfRange { what: "unit", index, len: self.len() });
        }
        if let (Order::Shuffled(order), Packing::Examples) = (&self.order, self.lengths.packing) {
            let example = order.at(index as u64) as usize;
            return Ok(vec![Piece { example, tokens: 0..self.data.token_len(example) }]);
        }
        let window = self.units_before.partition_point(|&before| before <= index) - 1;
        let units = self.window(window);
        let place = index - self.units_before[window];
        let place = match self.order {
            Order::Shuffled(_) => self.shuffle(window, units.len()).at(place as u64) as usize,
            Order::Mixed(_) => place,
        };
        Ok(units[place].clone())
    }

    /// What the epoch holds of each task of the dataset, as packed. Reads the examples that packing cuts.
    ///
    /// # Errors
    /// Of the cache.
    pub fn delivered(&self) -> Result<Vec<Delivered>, DataError> {
        let mut out = vec![Delivered::default(); self.data.tasks().len()];
        for unit in self.units_before.first().copied().unwrap_or(0)..self.len() {
            for piece in self.unit(unit)? {
                let Some(task) = self.data.task_of(piece.example) else { continue };
                let whole = piece.tokens == (0..self.data.token_len(piece.example));
                let supervised = match whole {
                    true => self.data.supervised_len(piece.example),
                    false => {
                        let example = self.data.example(piece.example)?;
                        crate::lengths::supervised_in(&example.supervised, piece.tokens.clone())
                    }
                };
                out[task].examples += u64::from(piece.tokens.start == 0);
                out[task].supervised_tokens += supervised as u64;
            }
        }
        Ok(out)
    }

    /// From where on `choice` can be drawn instead, if units before `unit` stay as they are: at once for unpacked examples, else
    /// from the next window on. None without a mixture.
    pub fn leg(&self, unit: usize, choice: Choice) -> Option<Leg> {
        let Order::Mixed(mixed) = &self.order else { return None };
        let window = match self.lengths.packing {
            Packing::Examples => self.units_before.partition_point(|&before| before <= unit).max(1) - 1,
            _ => self.units_before.partition_point(|&before| before < unit),
        };
        if unit >= self.len() || window + 1 >= mixed.places.len() {
            return Some(Leg::of_next_epoch(self.epoch, mixed, Some(choice)));
        }
        let mut sequence = self.sequence(mixed, window);
        if self.lengths.packing == Packing::Examples {
            sequence.window(unit.saturating_sub(self.units_before[window]));
        }
        let mut place = sequence.place;
        restart_replay(&mut place);
        let unit = unit.max(self.units_before[window]) as u64;
        Some(Leg { epoch: self.epoch, unit, begun: mixed.begun.clone(), place, choice: Some(choice) })
    }

    fn shuffled(data: &'a Dataset, lengths: &LengthPlan, seed: u64, epoch: u64) -> Self {
        let order = Order::Shuffled(Permutation::new(data.len() as u64, seed, epoch, Purpose::Shuffle));
        let (units_before, last) = (Vec::new(), Mutex::new(None));
        let mut this = Self { data, lengths: *lengths, seed, epoch, order, units_before, last };
        if lengths.packing != Packing::Examples {
            let mut total = 0;
            this.units_before.push(0);
            for window in 0..data.len().div_ceil(PACK_WINDOW) {
                total += this.packed(window).len();
                this.units_before.push(total);
            }
        }
        this
    }

    /// From a leg's epoch on to `epoch`.
    fn walk(
        data: &'a Dataset,
        with: (LengthPlan, u64),
        mixture: &'a Mixture,
        leg: &Leg,
        later: &[Leg],
        epoch: u64,
    ) -> Self {
        let mut this = Self::mixed(data, with, mixture, leg, later);
        while this.epoch < epoch {
            this = this.following(later);
        }
        this
    }

    /// The epoch of a leg from there on, and along the later legs that begin in it.
    fn mixed(
        data: &'a Dataset,
        (lengths, seed): (LengthPlan, u64),
        mixture: &'a Mixture,
        leg: &Leg,
        later: &[Leg],
    ) -> Self {
        let mut place = leg.place.clone();
        let mut mixed =
            Mixed { mixture, begun: leg.begun.clone(), places: Vec::new(), choices: vec![(0, leg.choice.clone())] };
        let mut later = later.iter().filter(|l| l.epoch == leg.epoch && l.place.draws >= leg.place.draws).peekable();
        let mut units_before = vec![leg.unit as usize];
        loop {
            while let Some(next) = later.next_if(|l| l.place.draws == place.draws) {
                place = next.place.clone();
                mixed.choices.push((mixed.places.len(), next.choice.clone()));
            }
            mixed.places.push(place.clone());
            let until = later.peek().map_or(u64::MAX, |l| l.place.draws.saturating_sub(place.draws));
            let most = mixture.window.min(usize::try_from(until).unwrap_or(usize::MAX));
            let choice = mixed.choice(mixed.places.len() - 1);
            let mut sequence = Sequence::new(data, mixture, (lengths, seed), choice, &mixed.begun, place);
            let examples = sequence.window(most);
            place = sequence.place;
            if examples.is_empty() {
                break;
            }
            let units = pack(&lengths_of(data, &examples), lengths.seq_len_max, lengths.packing).len();
            units_before.push(units_before[units_before.len() - 1] + units);
        }
        Self { data, lengths, seed, epoch: leg.epoch, order: Order::Mixed(mixed), units_before, last: Mutex::new(None) }
    }

    fn window(&self, number: usize) -> Arc<Vec<Vec<Piece>>> {
        // A poisoned lock holds a complete window or none: the value is only ever replaced whole.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(held) if held.number == number => held.units.clone(),
            _ => {
                let units = match (&self.order, self.lengths.packing) {
                    (Order::Shuffled(_), _) | (_, Packing::Examples) => self.packed(number),
                    (Order::Mixed(_), _) => self.spread(self.packed(number), number),
                };
                let units = Arc::new(units);
                *last = Some(Window { number, units: units.clone() });
                units
            }
        }
    }

    /// The rows of a window in an order of which every stretch has the window's mixture: always the one that brings the tokens of
    /// the tasks so far nearest to it; of equally near ones, the first of a random order.
    fn spread(&self, units: Vec<Vec<Piece>>, window: usize) -> Vec<Vec<Piece>> {
        let tasks = self.data.tasks().len();
        let weights: Vec<Vec<f64>> = units.iter().map(|unit| self.tokens_by_task(unit, tasks)).collect();
        let sums = |t: usize| weights.iter().map(|w| w[t]).sum::<f64>();
        let totals: Vec<f64> = (0..tasks).map(sums).collect();
        let total: f64 = totals.iter().sum::<f64>().max(1.0);
        let shuffle = self.shuffle(window, units.len());
        let mut left: Vec<usize> = (0..units.len()).map(|i| shuffle.at(i as u64) as usize).collect();
        let (mut used, mut order) = (vec![0.0; tasks], Vec::with_capacity(units.len()));
        while !left.is_empty() {
            let used_sum: f64 = used.iter().sum();
            let off = |unit: usize| -> f64 {
                let part = (used_sum + weights[unit].iter().sum::<f64>()) / total;
                (0..tasks).map(|t| (used[t] + weights[unit][t] - totals[t] * part).powi(2)).sum()
            };
            let nearest = (1..left.len()).fold((0, off(left[0])), |best, i| {
                let here = off(left[i]);
                if here < best.1 { (i, here) } else { best }
            });
            let next = left.remove(nearest.0);
            used.iter_mut().zip(&weights[next]).for_each(|(used, w)| *used += w);
            order.push(next);
        }
        order.into_iter().map(|i| units[i].clone()).collect()
    }

    /// Supervised tokens of each task in a row; where packing cuts an example, in proportion.
    fn tokens_by_task(&self, unit: &[Piece], tasks: usize) -> Vec<f64> {
        let mut tokens = vec![0.0; tasks];
        for piece in unit {
            if let Some(task) = self.data.task_of(piece.example) {
                let part = piece.tokens.len() as f64 / self.data.token_len(piece.example).max(1) as f64;
                tokens[task] += part * self.data.supervised_len(piece.example) as f64;
            }
        }
        tokens
    }

    fn shuffle(&self, window: usize, units: usize) -> Permutation {
        Permutation::new(units as u64, self.seed, self.epoch, Purpose::Window(self.window_name(window)))
    }

    fn packed(&self, window: usize) -> Vec<Vec<Piece>> {
        let examples: Vec<usize> = match &self.order {
            Order::Shuffled(order) => {
                let start = window * PACK_WINDOW;
                let end = self.data.len().min(start + PACK_WINDOW);
                (start..end).map(|i| order.at(i as u64) as usize).collect()
            }
            Order::Mixed(mixed) => {
                let draws = mixed.places[window + 1].draws - mixed.places[window].draws;
                self.sequence(mixed, window).window(draws as usize)
            }
        };
        let mut units = pack(&lengths_of(self.data, &examples), self.lengths.seq_len_max, self.lengths.packing);
        for piece in units.iter_mut().flatten() {
            piece.example = examples[piece.example];
        }
        units
    }

    fn sequence<'s>(&'s self, mixed: &'s Mixed<'a>, window: usize) -> Sequence<'s> {
        let place = mixed.places[window].clone();
        let with = (self.lengths, self.seed);
        Sequence::new(self.data, mixed.mixture, with, mixed.choice(window), &mixed.begun, place)
    }

    /// The same number whichever leg the epoch was entered by.
    fn window_name(&self, window: usize) -> u64 {
        match &self.order {
            Order::Shuffled(_) => window as u64,
            Order::Mixed(mixed) => mixed.places[window].draws,
        }
    }
}

impl Mixed<'_> {
    fn choice(&self, window: usize) -> Option<&Choice> {
        self.choices.iter().rev().find(|(from, _)| *from <= window).and_then(|(_, choice)| choice.as_ref())
    }
}

impl Leg {
    /// The beginning of the first epoch, with all rows that the replay may use.
    pub fn start(mixture: &Mixture) -> Leg {
        let place = Place::start(mixture.tasks.len());
        Leg { epoch: 0, unit: 0, begun: place.drawn.clone(), place, choice: None }
    }

    /// Where the epoch after `epoch` begins, with the rows that were drawn before or with others.
    fn of_next_epoch(epoch: u64, mixed: &Mixed, choice: Option<Choice>) -> Leg {
        let same = mixed.choice(usize::MAX).map(|c| c.number) == choice.as_ref().map(|c| c.number);
        let mut place = mixed.places.last().map(Place::epoch_start).unwrap_or_default();
        if !same {
            restart_replay(&mut place);
        }
        Leg { epoch: epoch + 1, unit: 0, begun: place.drawn.clone(), place, choice }
    }
}

/// Other rows are gone through from their beginning.
fn restart_replay(place: &mut Place) {
    if let Some(drawn) = place.drawn.last_mut() {
        *drawn = 0;
    }
}

fn lengths_of(data: &Dataset, examples: &[usize]) -> Vec<usize> {
    examples.iter().map(|&e| data.token_len(e)).collect()
}
