//! Rows of one question or of one answer, by sorting hashes, some of them at a time.

use super::Error;
use super::report::{CONFIDENCE_MIN, Frequent, Group, Place, Set, Tied};
use super::sketch::{AnswerForm, TEXT_WEIGHT, Turns};
use super::spool::KeptPair;
use super::walk::Walk;
use std::collections::BTreeSet;

/// Rows that a group lists.
pub(super) const PLACES_MAX: usize = 1_000;

/// Rows held at a time; more of them take more passes.
const MEMBERS_MAX: u64 = 2_000_000;
/// Rows that all groups of a kind list together.
const LISTED_MAX: usize = 1_000_000;
const FREQUENT_MAX: usize = 20;

/// Lighter questions are openings ("hi", "continue") that have many answers.
const QUESTION_WEIGHT: u32 = 12;
/// Distinct questions from which on an answer is one to many.
const QUESTIONS_MIN: u64 = 5;
/// The share of rows from which on such an answer is near constant; in a closed set, more than a class may hold.
const CONSTANT_SHARE: f64 = 0.05;
const CONSTANT_SHARE_CLOSED: f64 = 0.6;
/// The share of rows with a shared answer that makes a set closed.
const CLOSED_SHARE: f64 = 0.5;
/// The share of rows with a question of many answers that shows it to be meant.
const MEANT_SHARE: f64 = 0.2;

/// Distinct questions from which on a shared answer may have a trigger.
pub(super) const TIED_MIN: u64 = 4;
/// Rows of a shared answer in which triggers are looked for.
const SAMPLE: usize = 24;
const TIES_MAX: usize = 200_000;

/// All groups, and where triggers may be.
pub(super) struct Groups {
    pub pairs: u64,
    pub answers: u64,
    pub set: Set,
    pub frequent: Vec<Frequent>,
    pub same_question: Vec<Group>,
    pub same_answer: Vec<Group>,
    pub constant_answer: Vec<Group>,
    pub shared: Vec<Shared>,
}

/// An answer, or an end of one, that several questions have.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub tied: Tied,
    pub key: u64,
    pub rows: u64,
    questions: u64,
    /// Some rows, the same ones for any order: those of the least hashes.
    pub sample: Vec<Place>,
    /// The tokens of their questions, all together.
    pub tokens: usize,
}

pub(super) fn find(walk: &Walk) -> Result<Groups, Error> {
    let mut pairs = 0;
    walk.each_pair(|_, _| pairs += 1)?;
    let same_question = same_question(walk, pairs)?;
    let mut groups = Groups {
        pairs,
        answers: 0,
        set: Set::Open,
        frequent: Vec::new(),
        same_question,
        same_answer: Vec::new(),
        constant_answer: Vec::new(),
        shared: Vec::new(),
    };
    answers(walk, &mut groups)?;
    let mut shared = Top::new(std::mem::take(&mut groups.shared), TIES_MAX);
    for tied in [Tied::Head, Tied::Tail] {
        grouped(
            walk,
            pairs,
            |pair| key(pair, tied),
            |members| {
                if let Some(one) = self::shared(members, tied, pairs) {
                    shared.push(one);
                }
            },
        )?;
    }
    groups.shared = shared.finish();
    Ok(groups)
}

/// The hash of what is tied.
pub(super) fn key(pair: &KeptPair, tied: Tied) -> Option<u64> {
    match tied {
        Tied::Whole => Some(pair.answer),
        Tied::Head => pair.head,
        Tied::Tail => pair.tail,
    }
}

/// Spreads places, so that the least hashes are a sample.
pub(super) fn spread(place: Place) -> u64 {
    measures::quality::tokens::chained(u64::from(place.file), place.line)
}

#[derive(Clone, Copy)]
struct Member {
    key: u64,
    place: Place,
    question: u64,
    answer: u64,
    answer_weight: u32,
    tokens: u16,
    turns: Turns,
    form: AnswerForm,
}

fn same_question(walk: &Walk, pairs: u64) -> Result<Vec<Group>, Error> {
    let mut found = Top::new(Vec::new(), LISTED_MAX);
    let mut rows = 0;
    let key = |pair: &KeptPair| {
        let asks = pair.form.turns == Turns::One && pair.question_weight >= QUESTION_WEIGHT;
        asks.then_some(pair.question)
    };
    grouped(walk, pairs, key, |members| {
        let answers = distinct(members.iter().map(|member| member.answer));
        if answers > 1 {
            rows += members.len() as u64;
            // Two names of classes for one text contradict each other; two texts may both be right.
            let contradict = members.iter().all(|member| member.answer_weight < TEXT_WEIGHT);
            found.push(group(members, if contradict { 0.9 } else { 0.6 }));
        }
    })?;
    let mut found = found.finish();
    if rows as f64 >= MEANT_SHARE * pairs as f64 {
        found.iter_mut().for_each(|group| group.confidence = group.confidence.min(CONFIDENCE_MIN - 0.1));
    }
    Ok(found)
}

fn answers(walk: &Walk, groups: &mut Groups) -> Result<(), Error> {
    let pairs = groups.pairs;
    let mut many = Top::new(Vec::new(), LISTED_MAX);
    let mut constant: Vec<Group> = Vec::new();
    let mut frequent = Top::new(Vec::new(), FREQUENT_MAX);
    let mut shared = Top::new(Vec::new(), TIES_MAX);
    let (mut answers, mut rows_closed) = (0, 0);
    grouped(
        walk,
        pairs,
        |pair| Some(pair.answer),
        |members| {
            answers += 1;
            let rows = members.len() as u64;
            let questions = distinct(members.iter().map(|member| member.question));
            let share = rows as f64 / pairs as f64;
            frequent.push(Frequent { rows, share, questions, first: members[0].place });
            if questions < QUESTIONS_MIN {
                shared.extend(self::shared(members, Tied::Whole, pairs));
                return;
            }
            rows_closed += rows;
            shared.extend(self::shared(members, Tied::Whole, pairs));
            let text = members[0].form == AnswerForm::Text && members.iter().any(|member| member.turns == Turns::One);
            if text && share >= CONSTANT_SHARE {
                constant.push(group(members, 0.9));
            } else if text {
                many.push(group(members, (0.5 + (questions as f32).log10() / 5.0).min(0.9)));
            }
        },
    )?;
    groups.set = if rows_closed as f64 >= CLOSED_SHARE * pairs as f64 { Set::Closed } else { Set::Open };
    groups.answers = answers;
    groups.same_answer = many.finish();
    if groups.set == Set::Closed {
        groups.same_answer.iter_mut().for_each(|group| group.confidence = CONFIDENCE_MIN - 0.2);
        constant.retain(|group| group.rows as f64 >= CONSTANT_SHARE_CLOSED * pairs as f64);
    }
    constant.sort_by_key(Ranked::rank);
    groups.constant_answer = constant;
    groups.frequent = frequent.finish();
    groups.shared = shared.finish();
    Ok(())
}

fn group(members: &[Member], confidence: f32) -> Group {
    Group {
        rows: members.len() as u64,
        questions: distinct(members.iter().map(|member| member.question)),
        answers: distinct(members.iter().map(|member| member.answer)),
        confidence,
        places: members.iter().take(PLACES_MAX).map(|member| member.place).collect(),
    }
}

fn shared(members: &[Member], tied: Tied, pairs: u64) -> Option<Shared> {
    // What a tenth of all rows answer is no secret.
    const SHARE_MAX: f64 = 0.1;
    let rows = members.len() as u64;
    let questions = distinct(members.iter().map(|member| member.question));
    if questions < TIED_MIN || rows as f64 > SHARE_MAX * pairs as f64 {
        return None;
    }
    let mut sample: Vec<&Member> = members.iter().collect();
    if sample.len() > SAMPLE {
        sample.select_nth_unstable_by_key(SAMPLE, |member| (spread(member.place), member.place));
        sample.truncate(SAMPLE);
    }
    let tokens = sample.iter().map(|member| usize::from(member.tokens)).sum();
    let sample = sample.iter().map(|member| member.place).collect();
    Some(Shared { tied, key: members[0].key, rows, questions, sample, tokens })
}

fn distinct(hashes: impl Iterator<Item = u64> + Clone) -> u64 {
    let first = hashes.clone().next();
    match hashes.clone().all(|hash| Some(hash) == first) {
        true => u64::from(first.is_some()),
        false => hashes.collect::<BTreeSet<u64>>().len() as u64,
    }
}

/// The rows of each key in the order of places, group after group. Groups of one row are among them.
fn grouped(
    walk: &Walk,
    pairs: u64,
    key: impl Fn(&KeptPair) -> Option<u64>,
    mut each: impl FnMut(&[Member]),
) -> Result<(), Error> {
    let passes = pairs.div_ceil(MEMBERS_MAX).max(1);
    for pass in 0..passes {
        let mut members = Vec::new();
        walk.each_pair(|row, pair| {
            if let Some(key) = key(pair).filter(|key| key % passes == pass) {
                members.push(Member {
                    key,
                    place: Place { file: row.file, line: row.line },
                    question: pair.question,
                    answer: pair.answer,
                    answer_weight: pair.answer_weight,
                    tokens: pair.tokens,
                    turns: pair.form.turns,
                    form: pair.form.answer,
                });
            }
        })?;
        members.sort_unstable_by_key(|member| (member.key, member.place, member.question, member.answer));
        members.chunk_by(|a, b| a.key == b.key).for_each(&mut each);
    }
    Ok(())
}

/// What has an order of importance, and a size.
pub(super) trait Ranked {
    type Rank: Ord;
    /// The most important first; no two items have the same.
    fn rank(&self) -> Self::Rank;
    fn size(&self) -> usize;
}

/// The most important items up to a sum of sizes, whatever order they come in.
struct Top<T> {
    items: Vec<T>,
    size: usize,
    size_max: usize,
}

impl<T: Ranked> Top<T> {
    fn new(items: Vec<T>, size_max: usize) -> Self {
        let size = items.iter().map(Ranked::size).sum();
        Self { items, size, size_max }
    }

    fn push(&mut self, item: T) {
        self.size += item.size();
        self.items.push(item);
        if self.size > 2 * self.size_max {
            self.cut();
        }
    }

    fn extend(&mut self, item: Option<T>) {
        item.into_iter().for_each(|item| self.push(item));
    }

    fn cut(&mut self) {
        self.items.sort_by_key(Ranked::rank);
        let mut size = 0;
        let mut fits = |item: &T| {
            size += item.size();
            size <= self.size_max
        };
        let kept = self.items.iter().take_while(|item| fits(item)).count();
        self.items.truncate(kept);
        self.size = self.items.iter().map(Ranked::size).sum();
    }

    fn finish(mut self) -> Vec<T> {
        self.cut();
        self.items
    }
}

impl Ranked for Group {
    type Rank = (std::cmp::Reverse<u64>, Option<Place>);

    fn rank(&self) -> Self::Rank {
        (std::cmp::Reverse(self.rows), self.places.first().copied())
    }

    fn size(&self) -> usize {
        self.places.len()
    }
}

impl Ranked for Frequent {
    type Rank = (std::cmp::Reverse<u64>, Place);

    fn rank(&self) -> Self::Rank {
        (std::cmp::Reverse(self.rows), self.first)
    }

    fn size(&self) -> usize {
        1
    }
}

impl Ranked for Shared {
    type Rank = (std::cmp::Reverse<u64>, Tied, u64);

    fn rank(&self) -> Self::Rank {
        (std::cmp::Reverse(self.questions), self.tied, self.key)
    }

    fn size(&self) -> usize {
        1
    }
}
