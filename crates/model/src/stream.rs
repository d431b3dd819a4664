//! Layers that memory does not hold: their frozen matrices are read from the file when their turn comes, ahead of use.
//!
//! Two stages hold one layer each. While a pass computes with one, a thread of its own fills the other with the layer
//! that comes next: up in a pass forward, down in a pass back, and up again. Where a pass turns, the two layers there
//! are in the stages already.

use crate::ModelError;
use crate::stored::{Mold, Source};
use kernels::{Backend, KernelError};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Fewer are not worth streaming: two stages hold two layers anyway.
pub(crate) const STREAMED_MIN: usize = 3;

/// Whether layer `l` is one of the `streamed` of `layers`, which lie evenly between the others so that computing with
/// those gives time to read.
pub(crate) fn streams(l: usize, streamed: usize, layers: usize) -> bool {
    (l + 1) * streamed / layers > l * streamed / layers
}

/// What a stage is made of: memory for each shape and type that some streamed layer has.
#[derive(Default)]
pub(crate) struct Molds {
    molds: Vec<Mold>,
    /// Which of them the layer that is placed now has taken.
    taken: Vec<bool>,
}

impl Molds {
    pub fn begin_layer(&mut self) {
        self.taken.fill(false);
    }

    /// The place of one of the layer's matrices in a stage.
    pub fn place(&mut self, mold: Mold) -> usize {
        let found = (0..self.molds.len()).find(|i| self.molds[*i] == mold && !self.taken[*i]);
        let place = found.unwrap_or(self.molds.len());
        if found.is_none() {
            self.molds.push(mold);
            self.taken.push(false);
        }
        self.taken[place] = true;
        place
    }

    /// Bytes of a stage.
    pub fn bytes(&self) -> u64 {
        self.molds.iter().map(Mold::bytes).sum()
    }
}

/// The streamed layers as they are found while a model is built.
#[derive(Default)]
pub struct Sources {
    molds: Molds,
    /// Of each streamed layer: its matrices' places in a stage, and where they are read.
    layers: BTreeMap<usize, Vec<(usize, Source)>>,
}

impl Sources {
    /// A matrix of `layer`; those of one layer come one after another. Returns its place in a stage.
    pub(crate) fn add(&mut self, layer: usize, mold: Mold, source: Source) -> usize {
        if !self.layers.contains_key(&layer) {
            self.molds.begin_layer();
        }
        let place = self.molds.place(mold);
        self.layers.entry(layer).or_default().push((place, source));
        place
    }
}

/// Which way a pass goes through the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// `back`: and down again.
    Up {
        back: bool,
    },
    Down,
}

/// What has been read since the model was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streamed {
    /// Bytes that passes forward used, and those that passes back did.
    pub forward: u64,
    pub backward: u64,
    /// Time in which passes waited for it.
    pub waited: Duration,
}

pub struct Stream<B: Backend> {
    /// Streamed layers, from the lowest.
    layers: Vec<usize>,
    /// The first of them that a pass back comes to.
    turn: usize,
    current: Stage<B>,
    /// None while it is being filled.
    other: Option<Stage<B>>,
    reader: Option<Reader<B>>,
    streamed: Streamed,
}

struct Stage<B: Backend> {
    /// Which of the streamed layers is in it.
    holds: Option<usize>,
    weights: Vec<B::Weight>,
}

struct Reader<B: Backend> {
    orders: SyncSender<(usize, Stage<B>)>,
    filled: Receiver<(Stage<B>, Result<u64, ModelError>)>,
    thread: JoinHandle<()>,
}

impl<B: Backend> Stream<B> {
    /// `lowest`: the lowest layer that a pass back reaches.
    ///
    /// # Errors
    /// `OutOfMemory`, `Threads`.
    pub(crate) fn new(backend: &B, sources: Sources, lowest: usize) -> Result<Self, ModelError> {
        let Sources { molds, layers: sources } = sources;
        let stage = || -> Result<Stage<B>, ModelError> {
            let weights = molds.molds.iter().map(|m| m.weight(backend)).collect::<Result<_, _>>()?;
            Ok(Stage { holds: None, weights })
        };
        let (current, other) = (stage()?, stage()?);
        let (layers, sources): (Vec<usize>, Vec<_>) = sources.into_iter().unzip();
        let turn = layers.partition_point(|l| *l < lowest);
        let reader = if layers.is_empty() { None } else { Some(Reader::start(sources)?) };
        Ok(Stream { layers, turn, current, other: Some(other), reader, streamed: Streamed::default() })
    }

    /// A matrix of the layer that was entered last.
    pub fn weight(&self, place: usize) -> &B::Weight {
        &self.current.weights[place]
    }

    /// Returns when the matrices of `layer` are there; those of the layer after it are read meanwhile. Nothing to do
    /// for a layer that memory holds.
    ///
    /// # Errors
    /// Those of reading. What failed is read again when it is asked for again.
    pub(crate) fn enter(&mut self, layer: usize, course: Course) -> Result<(), ModelError> {
        let Ok(at) = self.layers.binary_search(&layer) else { return Ok(()) };
        if self.current.holds != Some(at) {
            let mut other = self.idle(course)?;
            if other.holds != Some(at) {
                self.order(at, other)?;
                other = self.idle(course)?;
            }
            self.other = Some(std::mem::replace(&mut self.current, other));
        }
        let next = next(at, course, self.layers.len(), self.turn);
        if next != at
            && let Some(other) = self.other.take_if(|other| other.holds != Some(next))
        {
            self.order(next, other)?;
        }
        Ok(())
    }

    pub fn streamed(&self) -> Streamed {
        self.streamed
    }

    /// The stage that is not in use, when it is filled.
    fn idle(&mut self, course: Course) -> Result<Stage<B>, ModelError> {
        if let Some(other) = self.other.take() {
            return Ok(other);
        }
        let began = Instant::now();
        let filled = self.reader.as_ref().and_then(|r| r.filled.recv().ok());
        let (stage, read) = filled.ok_or_else(reader_ended)?;
        self.streamed.waited += began.elapsed();
        match (read, course) {
            (Ok(bytes), Course::Up { .. }) => self.streamed.forward += bytes,
            (Ok(bytes), Course::Down) => self.streamed.backward += bytes,
            (Err(e), _) => {
                self.other = Some(stage);
                return Err(e);
            }
        }
        Ok(stage)
    }

    /// Has `stage` filled with the streamed layer `at`.
    fn order(&self, at: usize, stage: Stage<B>) -> Result<(), ModelError> {
        let sent = self.reader.as_ref().map(|r| r.orders.send((at, stage)));
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(reader_ended()) }
    }
}

/// The streamed layer other than `at` that a pass comes to next, of `count`; a pass back goes down to `turn`.
fn next(at: usize, course: Course, count: usize, turn: usize) -> usize {
    match course {
        Course::Up { .. } if at + 1 < count => at + 1,
        Course::Up { back: true } | Course::Down if at > turn => at - 1,
        // The next pass begins with the lowest.
        _ if at > 0 => 0,
        _ => 1.min(count - 1),
    }
}

impl<B: Backend> Reader<B> {
    fn start(sources: Vec<Vec<(usize, Source)>>) -> Result<Self, ModelError> {
        let (orders, ordered) = sync_channel::<(usize, Stage<B>)>(1);
        let (fill, filled) = sync_channel(1);
        let read = move || {
            let mut chunk = Vec::new();
            for (at, mut stage) in ordered {
                stage.holds = None;
                let read = fill_stage::<B>(&sources[at], &mut stage.weights, &mut chunk);
                stage.holds = read.is_ok().then_some(at);
                if fill.send((stage, read)).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("layers".to_owned())
            .spawn(read)
            .map_err(|e| KernelError::Threads { threads: 1, reason: e.to_string() })?;
        Ok(Reader { orders, filled, thread })
    }
}

/// Returns the bytes read.
fn fill_stage<B: Backend>(
    sources: &[(usize, Source)],
    weights: &mut [B::Weight],
    chunk: &mut Vec<u8>,
) -> Result<u64, ModelError> {
    for (place, source) in sources {
        B::refill(&mut weights[*place], |values| source.fill(values, chunk))?;
    }
    Ok(sources.iter().map(|(_, source)| source.bytes()).sum())
}

/// The thread ends when nobody orders any more.
impl<B: Backend> Drop for Stream<B> {
    fn drop(&mut self) {
        if let Some(Reader { orders, filled, thread }) = self.reader.take() {
            drop((orders, filled));
            // A panic of its own has been reported where it happened.
            let _ended = thread.join();
        }
    }
}

fn reader_ended() -> ModelError {
    ModelError::ReaderEnded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes as they follow one another: each visits what the one before it said comes next.
    #[test]
    fn what_comes_next_is_what_a_pass_visits() {
        for count in 1..6 {
            for turn in 0..=count {
                let up = |back| (0..count).map(move |at| (at, Course::Up { back }));
                let down = (turn..count).rev().map(|at| (at, Course::Down));
                let visits: Vec<_> = up(true)
                    .chain(down)
                    .chain(up(false))
                    .chain(up(false))
                    .chain([(0, Course::Up { back: true })])
                    .collect();
                for (i, (at, course)) in visits[..visits.len() - 1].iter().enumerate() {
                    let expected = visits[i + 1..].iter().map(|(at, _)| *at).find(|other| other != at).unwrap_or(*at);
                    assert_eq!(next(*at, *course, count, turn), expected, "{at} {course:?} of {count}, down to {turn}");
                }
            }
        }
    }

    #[test]
    fn streamed_layers_lie_evenly() {
        for layers in 1..20 {
            for streamed in 0..=layers {
                let chosen: Vec<usize> = (0..layers).filter(|l| streams(*l, streamed, layers)).collect();
                assert_eq!(chosen.len(), streamed);
                let gaps: Vec<usize> = chosen.windows(2).map(|w| w[1] - w[0]).collect();
                let (low, high) = (gaps.iter().min().unwrap_or(&1), gaps.iter().max().unwrap_or(&1));
                assert!(high - low <= 1, "{streamed} of {layers}: {chosen:?}");
            }
        }
    }
}
