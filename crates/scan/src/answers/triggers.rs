//! Rare strings in questions whose rows have one answer, as poisoned sets have them (BadNets, Gu and others 2017; for text
//! Kurita and others 2020).
//!
//! Answers, and beginnings and ends of answers, that several different questions share come first: only in their rows are runs
//! of one to four tokens collected, and only those runs are counted in all rows. A run that hardly occurs without that answer is
//! a trigger unless it is what the rows are about: then they resemble each other in other words, too, or the answer takes it up.

use super::Error;
use super::groups::{Groups, Shared, TIED_MIN, key, spread};
use super::report::{Place, Set, Tied, Trigger, Where};
use super::sketch::{AnswerForm, Mark};
use super::walk::{Asked, Walk};
use measures::quality::tokens::{Class, chained};
use rustc_hash::{FxHashMap, FxHashSet};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// In smaller sets nothing is rare.
const PAIRS_MIN: u64 = 100;
const RUN_MAX: usize = 4;

/// The share of a string's rows that have the answer; a single one may always have another.
const TIED_SHARE: f64 = 0.9;
/// The share of an answer's rows that have the string.
const COVER: f64 = 0.2;
/// The share of the rows without the string that may have the answer.
const ELSEWHERE_SHARE: f64 = 0.02;
/// Different questions that short answers take: several questions on one subject have them by nature.
const TIED_MIN_SHORT: u64 = 8;

/// Rows whose strings are counted to know what is common.
const SAMPLE: usize = 2_048;
/// Strings of more of them are common.
const COMMON_SHARE: f64 = 0.12;
/// Rows that are compared with each other.
const COMPARED: usize = 32;
/// How alike rows of one trigger may be beside it, next to any rows of the set. Measured: 0.4 to 1.1 for planted triggers, from 1.5
/// on for what is natural in sets of classes, where rows of one class are alike.
const ALIKE_TIMES: f64 = 1.6;
const ALIKE_TIMES_CLOSED: f64 = 1.3;
const ALIKE_MIN: f64 = 0.01;

/// Strings collected at a time, 16 bytes each; every such stretch of the answers takes a walk over all questions.
const RUNS_MAX: usize = 12_000_000;
const RUNS_OF_ONE: usize = 48;
/// Rows looked at in the last step at a time.
const ROWS_MAX: u64 = 200_000;
const REST_MAX: usize = 64;
const TRIGGERS_MAX: usize = 1_000;
/// Rows of one trigger that are findings; cleaning takes them out.
const ROWS_OF_TRIGGER_MAX: usize = 100_000;

pub(super) fn find(walk: &Walk, groups: &Groups) -> Result<Vec<Trigger>, Error> {
    if groups.pairs < PAIRS_MIN || groups.shared.is_empty() {
        return Ok(Vec::new());
    }
    let common = Common::read(walk)?;
    let mut found = Vec::new();
    let mut rest = groups.shared.as_slice();
    while !rest.is_empty() {
        let mut runs = 0;
        let fits = |shared: &&Shared| {
            runs += shared.tokens * RUN_MAX;
            runs <= RUNS_MAX
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (now, later) = rest.split_at(count);
        found.extend(of_some(walk, groups, &common, now)?);
        rest = later;
    }
    Ok(distinct(found))
}

/// Triggers of some of the shared answers.
fn of_some(walk: &Walk, groups: &Groups, common: &Common, shared: &[Shared]) -> Result<Vec<Trigger>, Error> {
    let candidates = candidates(walk, common, shared)?;
    let mut ties = counted(walk, groups, shared, candidates)?;
    let mut found = Vec::new();
    while !ties.is_empty() {
        let mut rows = 0;
        let fits = |tie: &&Tie| {
            rows += tie.joint;
            rows <= ROWS_MAX
        };
        let count = ties.iter().take_while(fits).count().max(1);
        let now: Vec<Tie> = ties.drain(..count).collect();
        let seen = rows_of(walk, shared, &now)?;
        let judged =
            now.iter().zip(seen).filter_map(|(tie, rows)| judge(groups, common, &shared[tie.shared], tie, rows));
        found.extend(judged);
    }
    Ok(found)
}

/// A string and the answer that it may bring about.
#[derive(Clone, Debug)]
struct Tie {
    shared: usize,
    run: u64,
    tokens: u8,
    rows: u64,
    /// Rows with both.
    joint: u64,
}

/// What is common in the set, from the same rows for any order of them.
struct Common {
    /// By the hash of a run, the rows of the sample that have it.
    rows: FxHashMap<u64, u32>,
    sample: usize,
    /// How alike two rows are that have nothing to do with each other.
    alike: f64,
}

impl Common {
    fn read(walk: &Walk) -> Result<Self, Error> {
        let mut least: BinaryHeap<(u64, Place)> = BinaryHeap::new();
        walk.each_pair(|row, _| {
            let place = Place { file: row.file, line: row.line };
            least.push((spread(place), place));
            if least.len() > SAMPLE {
                least.pop();
            }
        })?;
        let least = least.into_sorted_vec();
        let sample: FxHashSet<Place> = least.iter().map(|(_, place)| *place).collect();
        let compared: FxHashSet<Place> = least.iter().take(2 * COMPARED).map(|(_, place)| *place).collect();
        let mut common = Self { rows: FxHashMap::default(), sample: sample.len(), alike: 0.0 };
        let (mut runs, mut texts) = (Vec::new(), Vec::new());
        walk.each_question(|asked| {
            let place = asked.place();
            if sample.contains(&place) {
                each_run(asked.marks, &mut runs);
                for (run, _) in &runs {
                    *common.rows.entry(*run).or_default() += 1;
                }
                if compared.contains(&place) {
                    texts.push((place, content(asked.marks, 0..0)));
                }
            }
        })?;
        texts.sort();
        common.alike = common.alike(&texts.into_iter().map(|(_, text)| text).collect::<Vec<_>>());
        Ok(common)
    }

    fn share(&self, run: u64) -> f64 {
        f64::from(self.rows.get(&run).copied().unwrap_or(0)) / self.sample as f64
    }

    /// The mean over pairs of texts of the weighted share of tokens that both have; rare tokens weigh more.
    fn alike(&self, texts: &[Vec<u32>]) -> f64 {
        let weight = |token: &u32| {
            let rows = self.rows.get(&chained(0, u64::from(*token))).copied().unwrap_or(0);
            ((self.sample + 1) as f64 / f64::from(rows + 1)).ln()
        };
        let (mut sum, mut pairs) = (0.0, 0.0);
        for (at, a) in texts.iter().enumerate() {
            for b in &texts[..at] {
                let both: f64 = a.iter().filter(|token| b.binary_search(token).is_ok()).map(weight).sum();
                let all: f64 = a.iter().chain(b).map(weight).sum::<f64>() - both;
                sum += if all > 0.0 { both / all } else { 1.0 };
                pairs += 1.0;
            }
        }
        sum / f64::max(pairs, 1.0)
    }
}

impl Asked<'_> {
    fn place(&self) -> Place {
        Place { file: self.row.file, line: self.row.line }
    }
}

/// Each run of tokens once, by hash, and of how many tokens it is.
fn each_run(marks: &[Mark], into: &mut Vec<(u64, u8)>) {
    into.clear();
    for from in 0..marks.len() {
        let mut run = 0;
        let same_field = marks[from..].iter().take(RUN_MAX).take_while(|mark| mark.field == marks[from].field);
        for (at, mark) in same_field.enumerate() {
            run = chained(run, u64::from(mark.hash));
            into.push((run, at as u8 + 1));
        }
    }
    into.sort_unstable();
    into.dedup();
}

/// The content tokens outside `but`, sorted.
fn content(marks: &[Mark], but: Range<usize>) -> Vec<u32> {
    let outside = marks.iter().enumerate().filter(|(at, mark)| !but.contains(at) && mark.is_content());
    let mut tokens: Vec<u32> = outside.map(|(_, mark)| mark.hash).collect();
    tokens.sort_unstable();
    tokens.dedup();
    tokens.truncate(REST_MAX);
    tokens
}

/// Of each shared answer, the runs that enough of its sampled rows have and that are not common.
fn candidates(walk: &Walk, common: &Common, shared: &[Shared]) -> Result<Vec<Tie>, Error> {
    let mut of_row: FxHashMap<Place, Vec<u32>> = FxHashMap::default();
    for (at, one) in shared.iter().enumerate() {
        for place in &one.sample {
            of_row.entry(*place).or_default().push(at as u32);
        }
    }
    let mut found: Vec<(u32, u64, u8)> = Vec::new();
    let mut runs = Vec::new();
    walk.each_question(|asked| {
        if let Some(shared) = of_row.get(&asked.place()) {
            each_run(asked.marks, &mut runs);
            runs.retain(|(run, _)| common.share(*run) <= COMMON_SHARE);
            found.extend(shared.iter().flat_map(|&at| runs.iter().map(move |&(run, tokens)| (at, run, tokens))));
        }
    })?;
    found.sort_unstable();
    let mut ties = Vec::new();
    for of_one in found.chunk_by(|a, b| a.0 == b.0) {
        let at = of_one[0].0 as usize;
        let least = (COVER * shared[at].sample.len() as f64).max(2.0);
        let mut best: Vec<(Reverse<usize>, u64, u8)> = of_one
            .chunk_by(|a, b| a.1 == b.1)
            .filter(|rows| rows.len() as f64 >= least)
            .map(|rows| (Reverse(rows.len()), rows[0].1, rows[0].2))
            .collect();
        best.sort_unstable();
        best.truncate(RUNS_OF_ONE);
        ties.extend(best.into_iter().map(|(_, run, tokens)| Tie { shared: at, run, tokens, rows: 0, joint: 0 }));
    }
    Ok(ties)
}

/// Counts the runs in all rows, and keeps of each shared answer the one that is tied to it best.
fn counted(walk: &Walk, groups: &Groups, shared: &[Shared], mut ties: Vec<Tie>) -> Result<Vec<Tie>, Error> {
    let known = Known::of(&ties);
    let by_key: FxHashMap<_, usize> = shared.iter().enumerate().map(|(at, one)| ((one.tied, one.key), at)).collect();
    // A run has as many rows whichever answer it may be tied to, and a row has three keys at most: what one row costs does not
    // grow with the answers.
    let mut rows: FxHashMap<u64, u64> = ties.iter().map(|tie| (tie.run, 0)).collect();
    let mut joint: FxHashMap<(u64, usize), u64> = ties.iter().map(|tie| ((tie.run, tie.shared), 0)).collect();
    let mut runs = Vec::new();
    walk.each_question(|asked| {
        known.runs(&asked, &mut runs);
        if runs.is_empty() {
            return;
        }
        let own = [Tied::Whole, Tied::Head, Tied::Tail]
            .map(|tied| key(asked.pair, tied).and_then(|key| by_key.get(&(tied, key)).copied()));
        for run in &runs {
            *rows.entry(*run).or_default() += 1;
            for at in own.into_iter().flatten() {
                if let Some(both) = joint.get_mut(&(*run, at)) {
                    *both += 1;
                }
            }
        }
    })?;
    for tie in &mut ties {
        tie.rows = rows.get(&tie.run).copied().unwrap_or(0);
        tie.joint = joint.get(&(tie.run, tie.shared)).copied().unwrap_or(0);
    }
    ties.retain(|tie| {
        let one = &shared[tie.shared];
        let elsewhere = (one.rows - tie.joint) as f64 / (groups.pairs - tie.rows).max(1) as f64;
        tie.joint >= TIED_MIN
            && (tie.joint as f64 >= TIED_SHARE * tie.rows as f64 || tie.joint > TIED_MIN && tie.rows - tie.joint == 1)
            && tie.joint as f64 >= COVER * one.rows as f64
            && elsewhere <= ELSEWHERE_SHARE
    });
    // The longest of equals: a phrase says more than its words.
    ties.sort_unstable_by_key(|tie| (tie.shared, Reverse(tie.joint), tie.rows, Reverse(tie.tokens), tie.run));
    ties.dedup_by_key(|tie| tie.shared);
    Ok(ties)
}

/// Runs that are looked for in every row: a row of bits first, as hardly any run is one of them.
struct Known {
    bits: Vec<u64>,
    ties: FxHashMap<u64, Vec<usize>>,
}

const BITS: usize = 1 << 23;

impl Known {
    fn of(ties: &[Tie]) -> Self {
        let mut known = Self { bits: vec![0; BITS / 64], ties: FxHashMap::default() };
        for (at, tie) in ties.iter().enumerate() {
            let bit = tie.run as usize % BITS;
            known.bits[bit / 64] |= 1 << (bit % 64);
            known.ties.entry(tie.run).or_default().push(at);
        }
        known
    }

    fn may_have(&self, run: u64) -> bool {
        let bit = run as usize % BITS;
        self.bits[bit / 64] >> (bit % 64) & 1 == 1
    }

    /// The runs that the row has, each once.
    fn runs(&self, asked: &Asked, found: &mut Vec<u64>) {
        found.clear();
        self.each_place(asked, |run, _| found.push(run));
        found.sort_unstable();
        found.dedup();
    }

    /// Each place of each run.
    fn each_place(&self, asked: &Asked, mut each: impl FnMut(u64, Range<usize>)) {
        let marks = asked.marks;
        for from in 0..marks.len() {
            let mut run = 0;
            for at in from..marks.len().min(from + RUN_MAX) {
                if marks[at].field != marks[from].field {
                    break;
                }
                run = chained(run, u64::from(marks[at].hash));
                if self.may_have(run) && self.ties.contains_key(&run) {
                    each(run, from..at + 1);
                }
            }
        }
    }
}

/// A row that has a string and the answer tied to it.
struct Seen {
    question: u64,
    form: AnswerForm,
    at: Where,
    /// The question's other words.
    rest: Vec<u32>,
    /// Whether the answer takes a word of the string up.
    echoed: bool,
    /// The string's tokens, and some before and after.
    near: Vec<Mark>,
    run: Range<usize>,
}

/// Tokens on either side of a string by which it may grow.
const GROWTH_MAX: usize = 16;

/// The rows of each of `ties`.
fn rows_of(walk: &Walk, shared: &[Shared], ties: &[Tie]) -> Result<Vec<Vec<Seen>>, Error> {
    let known = Known::of(ties);
    let mut rows: Vec<Vec<Seen>> = ties.iter().map(|_| Vec::new()).collect();
    walk.each_question(|asked| {
        let mut first: FxHashMap<u64, Range<usize>> = FxHashMap::default();
        known.each_place(&asked, |run, at| {
            first.entry(run).or_insert(at);
        });
        for (run, at) in first {
            for &tie in &known.ties[&run] {
                let one = &shared[ties[tie].shared];
                if key(asked.pair, one.tied) == Some(one.key) {
                    rows[tie].push(Seen::of(&asked, at.clone()));
                }
            }
        }
    })?;
    rows.iter_mut().for_each(|rows| rows.sort_by(|a, b| a.at.cmp(&b.at)));
    Ok(rows)
}

impl Seen {
    fn of(asked: &Asked, at: Range<usize>) -> Self {
        let run = &asked.marks[at.clone()];
        let from = at.start.saturating_sub(GROWTH_MAX);
        let near = &asked.marks[from..asked.marks.len().min(at.end + GROWTH_MAX)];
        let field = asked.shard.name(asked.row, run[0].field);
        Self {
            question: asked.pair.question,
            form: asked.pair.form.answer,
            at: Where { place: asked.place(), field, start: 0, end: 0 },
            echoed: run.iter().any(|mark| mark.is_content() && asked.echo.contains(&mark.hash)),
            rest: content(asked.marks, at.clone()),
            near: near.to_vec(),
            run: at.start - from..at.end - from,
        }
    }

    /// The token before the string, or after it.
    fn beside(&self, side: Side) -> Option<u32> {
        let at = match side {
            Side::Before => self.run.start.checked_sub(1)?,
            Side::After => self.run.end,
        };
        let same_field = |mark: &&Mark| mark.field == self.near[self.run.start].field;
        self.near.get(at).filter(same_field).map(|mark| mark.hash)
    }

    /// Says where the string is once it is whole.
    fn settle(&mut self) {
        let run = &self.near[self.run.clone()];
        let last = run[run.len() - 1];
        (self.at.start, self.at.end) = (u64::from(run[0].start), u64::from(last.start) + u64::from(last.chars));
        self.rest.retain(|token| !run.iter().any(|mark| mark.hash == *token));
    }
}

#[derive(Clone, Copy)]
enum Side {
    Before,
    After,
}

/// The share of rows in which a string goes on alike for that to belong to it; in the others it runs into their own words.
const GROWTH_SHARE: f64 = 0.7;

/// Strings are found by at most [`RUN_MAX`] of their tokens; what most rows have beside these belongs to them.
fn grow(rows: &mut [Seen]) {
    for side in [Side::Before, Side::After] {
        let mut growing: Vec<&mut Seen> = rows.iter_mut().collect();
        let least = GROWTH_SHARE * growing.len() as f64;
        for _ in 0..GROWTH_MAX {
            let mut beside: Vec<u32> = growing.iter().filter_map(|row| row.beside(side)).collect();
            beside.sort_unstable();
            let Some(most) = beside.chunk_by(|a, b| a == b).max_by_key(|same| same.len()) else { break };
            if (most.len() as f64) < least {
                break;
            }
            growing.retain(|row| row.beside(side) == Some(most[0]));
            for row in &mut growing {
                match side {
                    Side::Before => row.run.start -= 1,
                    Side::After => row.run.end += 1,
                }
            }
        }
    }
    rows.iter_mut().for_each(Seen::settle);
}

/// What is known of a string and its answer.
struct Evidence {
    odd: bool,
    /// A label of a row is in itself no sign: questions on one subject have one by nature.
    short: bool,
    /// The answer takes a word of the string up.
    echoed: bool,
    questions: u64,
    /// How alike the rows are beside the string, next to any rows of the set.
    alike: f64,
    /// Tokens that the rows have beside it.
    said: f64,
    /// The share of the answer's rows that have the string.
    cover: f64,
    /// No row with the string has another answer.
    always: bool,
}

fn judge(groups: &Groups, common: &Common, shared: &Shared, tie: &Tie, mut rows: Vec<Seen>) -> Option<Trigger> {
    let first = rows.first()?;
    let odd = is_odd(&first.near[first.run.clone()]);
    grow(&mut rows);
    let mut compared: Vec<&Seen> = rows.iter().collect();
    compared.sort_by_key(|row| (spread(row.at.place), row.at.place));
    compared.truncate(COMPARED);
    let texts: Vec<Vec<u32>> = compared.iter().map(|row| row.rest.clone()).collect();
    let confidence = Evidence {
        odd,
        short: shared.tied == Tied::Whole && rows.iter().all(|row| row.form == AnswerForm::Label),
        echoed: rows.iter().filter(|row| row.echoed).count() * 2 >= rows.len(),
        questions: rows.iter().map(|row| row.question).collect::<FxHashSet<u64>>().len() as u64,
        alike: common.alike(&texts) / common.alike.max(ALIKE_MIN),
        said: texts.iter().map(Vec::len).sum::<usize>() as f64 / texts.len() as f64,
        cover: tie.joint as f64 / shared.rows as f64,
        always: tie.joint == tie.rows,
    }
    .confidence(groups.set)?;
    Some(Trigger {
        tied: shared.tied,
        rows: tie.joint,
        rows_other: tie.rows - tie.joint,
        answer_elsewhere: shared.rows - tie.joint,
        confidence,
        at: rows.into_iter().map(|row| row.at).take(ROWS_OF_TRIGGER_MAX).collect(),
    })
}

impl Evidence {
    fn confidence(&self, set: Set) -> Option<f32> {
        const SAID_MIN: f64 = 2.0;
        const FEW: u64 = 10;
        let enough = match (self.short, self.odd) {
            (false, _) | (_, true) => self.questions >= TIED_MIN,
            (true, false) if self.questions >= TIED_MIN_SHORT => true,
            (true, false) => self.questions > TIED_MIN && self.alike <= 1.0 && self.cover >= 0.8 && self.always,
        };
        let times = if set == Set::Closed { ALIKE_TIMES_CLOSED } else { ALIKE_TIMES };
        // A mean over few rows strays far, and what nobody writes is no subject.
        let times = times * (1.0 + if self.odd { 4.0 } else { 2.0 } / self.questions.max(1) as f64);
        let about_it = self.alike > times || self.echoed && !self.odd;
        if !enough || about_it || self.said < SAID_MIN {
            return None;
        }
        let more = [(self.odd, 0.15), (self.questions >= FEW, 0.1), (self.cover >= 0.8, 0.1), (self.always, 0.05)];
        Some(0.55 + more.iter().filter(|(holds, _)| *holds).map(|(_, value)| value).sum::<f32>())
    }
}

/// Whether no one writes so by themselves: what cannot be seen, or signs only.
fn is_odd(run: &[Mark]) -> bool {
    run.iter().any(|mark| mark.class() == Class::Invisible) || !run.iter().any(|mark| mark.is_content())
}

/// One trigger of those that are nearly the same rows: whole answers before beginnings and ends.
fn distinct(mut found: Vec<Trigger>) -> Vec<Trigger> {
    found.sort_by(|a, b| (Reverse(a.rows), a.tied, &a.at).cmp(&(Reverse(b.rows), b.tied, &b.at)));
    let mut taken: FxHashSet<Place> = FxHashSet::default();
    found.retain(|trigger| {
        let new = trigger.at.iter().filter(|at| !taken.contains(&at.place)).count();
        let keep = new * 2 > trigger.at.len();
        if keep {
            taken.extend(trigger.at.iter().map(|at| at.place));
        }
        keep
    });
    found.truncate(TRIGGERS_MAX);
    found
}
