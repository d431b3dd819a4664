//! Evaluation rows that are in the training set.
//!
//! Equal normal forms are found by their hashes. For the rest, some long shingles of each evaluation text are looked up in
//! every training row, and rows that share enough of them are read and compared. What is asked counts alone, too: a question
//! that training answers in other words has leaked all the same.

use super::pairs::{GLANCE_SLACK, Prepared, Relation, relation};
use super::sketch::compared;
use super::spool::Texts;
use super::table::{Entry, Nr, Table};
use super::{Key, LEAK_CONTAINED, Leak, LeakKind, Limits, NearError, RowId, Settings, Stop};
use measures::near::{LONG_UNITS, ShingleSet, glance_similarity, long_shingles, overlap};
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use std::cell::OnceCell;
use std::cmp::Reverse;

/// Training rows listed for an evaluation row.
const LISTED: usize = 1_024;
/// Evaluation rows looked for in one pass over the training rows, and bytes of their texts.
const BLOCK_ROWS: usize = 1 << 15;
const BLOCK_BYTES: u64 = 64 << 20;
/// Long shingles of an evaluation text that are looked for: those with the lowest hashes, which are a fair sample.
const LOOKED_FOR: usize = 48;
/// Texts of a block that may share a long shingle; one that more have is a phrase of theirs and says nothing.
const COMMON: usize = 48;
/// Share of the shingles looked for that a training row has, where the texts may be near each other: single letters that
/// differ here and there leave half of the long shingles at a similarity of 0.7. Less for texts with few of them, where
/// one edit takes many.
const HITS_NEAR: f32 = 0.33;
const HITS_NEAR_FEW: f32 = 0.2;
const FEW: usize = 24;
/// The same, where one text may be in the other: three standard deviations of the sample below [`LEAK_CONTAINED`].
const HITS_CONTAINED: f32 = 0.6;
/// Evaluation texts compared with a training row: those with most shingles in it.
const CANDIDATES: usize = 64;
/// Long shingles of a text that can be found to be contained.
const CONTAINED_LONG_SHINGLES: usize = 24;

pub(super) fn leaks(
    table: &Table,
    texts: &Texts,
    settings: Settings,
    limits: &mut Limits,
    stop: Stop,
) -> Result<Vec<Leak>, NearError> {
    let rows = |train: bool| {
        let of = move |&nr: &Nr| table.entry(nr).set.is_train() == train && !table.entry(nr).is_empty();
        table.rows().filter(of).collect::<Vec<Nr>>()
    };
    let (train, eval) = (rows(true), rows(false));
    if train.is_empty() || eval.is_empty() {
        return Ok(Vec::new());
    }
    let mut listed: FxHashMap<Nr, Vec<Leak>> = FxHashMap::default();
    let mut cut = FxHashSet::default();
    equal(table, &train, &eval, settings.key, &mut listed, &mut cut);
    let mut rest = &eval[..];
    while !rest.is_empty() {
        let mut bytes = 0;
        let mut fits = |&nr: &Nr| {
            bytes += u64::from(table.entry(nr).text_len);
            bytes <= BLOCK_BYTES
        };
        let rows = rest[..rest.len().min(BLOCK_ROWS)].iter().take_while(|nr| fits(nr)).count().max(1);
        let block = Block::of(&rest[..rows], table, texts, limits)?;
        rest = &rest[rows..];
        for chunk in train.chunks(1 << 12) {
            if stop() {
                return Err(NearError::Interrupted);
            }
            let found: Vec<Vec<(Nr, Leak)>> =
                chunk.par_iter().map(|&nr| block.look(nr, table, texts, settings)).collect::<Result<_, _>>()?;
            found.into_iter().flatten().for_each(|(nr, leak)| list(&mut listed, &mut cut, nr, leak));
        }
    }
    limits.eval_rows_listed_in_part += cut.len() as u64;
    let mut leaks: Vec<Leak> = listed.into_values().flatten().collect();
    leaks.sort_by_key(|leak| (leak.eval, strength(leak)));
    Ok(leaks)
}

/// Strongest first.
fn strength(leak: &Leak) -> impl Ord + use<> {
    (leak.kind, leak.by == Key::Instruction, Reverse((leak.score * 1e6) as u32), leak.train)
}

/// Keeps the strongest of a row's leaks, and one for each training row.
fn list(listed: &mut FxHashMap<Nr, Vec<Leak>>, cut: &mut FxHashSet<Nr>, nr: Nr, leak: Leak) {
    let of_row = listed.entry(nr).or_default();
    match of_row.iter_mut().find(|l| l.train == leak.train) {
        Some(known) if strength(&leak) < strength(known) => *known = leak,
        Some(_) => return,
        None => of_row.push(leak),
    }
    of_row.sort_by_key(strength);
    if of_row.len() > LISTED {
        of_row.truncate(LISTED);
        cut.insert(nr);
    }
}

/// Rows whose normal forms are equal, as compared or in what they ask.
fn equal(
    table: &Table,
    train: &[Nr],
    eval: &[Nr],
    key: Key,
    listed: &mut FxHashMap<Nr, Vec<Leak>>,
    cut: &mut FxHashSet<Nr>,
) {
    let whole: fn(&Entry) -> Option<[u64; 2]> = |e| Some(e.prints.normal);
    let asked = |e: &Entry| {
        let long = e.prints.asked != 0 && e.asked_len >= LONG_UNITS;
        long.then_some([e.prints.asked, 0])
    };
    for (by, print) in [(key, whole), (Key::Instruction, asked)] {
        // The first training rows of each normal form that an evaluation row has, and whether there are more.
        let mut rows: FxHashMap<[u64; 2], (Vec<RowId>, bool)> =
            eval.iter().filter_map(|&nr| print(table.entry(nr))).map(|print| (print, (Vec::new(), false))).collect();
        for entry in train.iter().map(|&nr| table.entry(nr)) {
            if let Some((rows, more)) = print(entry).and_then(|print| rows.get_mut(&print)) {
                if rows.len() < LISTED { rows.push(entry.row) } else { *more = true }
            }
        }
        for &nr in eval {
            let entry = table.entry(nr);
            let Some((rows, more)) = print(entry).and_then(|print| rows.get(&print)) else { continue };
            if *more {
                cut.insert(nr);
            }
            for &train in rows {
                let leak = Leak { kind: LeakKind::Exact, by, set: entry.set, eval: entry.row, train, score: 1.0 };
                list(listed, cut, nr, leak);
            }
        }
    }
}

/// Evaluation rows with the long shingles to look for.
struct Block {
    rows: Vec<EvalRow>,
    /// Shingles of all texts, sorted, with the number of the text: twice the row's, and one more for the whole row.
    shingles: Vec<(u64, u32)>,
    /// Where shingles begin that are so much when shifted to the right.
    starts: Vec<u32>,
    shift: u32,
    /// Shingles looked for, by text.
    looked_for: Vec<u32>,
}

/// Its text alone: shingle sets are some twenty times as large, and few rows need theirs.
struct EvalRow {
    nr: Nr,
    whole: String,
    asked_len: u32,
}

impl EvalRow {
    fn asked(&self) -> &str {
        compared(&self.whole, self.asked_len, Key::Instruction)
    }
}

const START_BITS_MAX: u32 = 22;

impl Block {
    fn of(nrs: &[Nr], table: &Table, texts: &Texts, limits: &mut Limits) -> Result<Self, NearError> {
        let row = |&nr: &Nr| {
            let entry = table.entry(nr);
            Ok(EvalRow { nr, whole: texts.read(entry)?, asked_len: entry.asked_len })
        };
        let rows: Vec<EvalRow> = nrs.par_iter().map(row).collect::<Result<_, NearError>>()?;
        let mut shingles: Vec<(u64, u32)> = Vec::new();
        for (i, row) in rows.iter().enumerate() {
            for (text, number) in [(row.asked(), 2 * i), (row.whole.as_str(), 2 * i + 1)] {
                // Where nothing but a question is, it is looked for once.
                if number % 2 == 0 && text.len() == row.whole.len() {
                    continue;
                }
                let mut long = Vec::new();
                long_shingles(text, &mut long);
                long.sort_unstable();
                long.dedup();
                shingles.extend(long.iter().take(LOOKED_FOR).map(|&hash| (hash, number as u32)));
            }
        }
        shingles.sort_unstable();
        let mut wanted = vec![0u32; 2 * rows.len()];
        shingles.iter().for_each(|&(_, text)| wanted[text as usize] += 1);
        let rare: Vec<(u64, u32)> =
            shingles.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() <= COMMON).flatten().copied().collect();
        let mut looked_for = vec![0u32; 2 * rows.len()];
        rare.iter().for_each(|&(_, text)| looked_for[text as usize] += 1);
        let lost = |i: &usize| wanted[2 * i + 1] > 0 && looked_for[2 * i] + looked_for[2 * i + 1] == 0;
        limits.eval_rows_too_common += (0..rows.len()).filter(lost).count() as u64;
        // About one shingle between two starts.
        let shift = 64 - rare.len().max(2).ilog2().min(START_BITS_MAX);
        let mut starts = vec![0u32; (1 << (64 - shift)) + 1];
        rare.iter().for_each(|&(hash, _)| starts[(hash >> shift) as usize + 1] += 1);
        (1..starts.len()).for_each(|i| starts[i] += starts[i - 1]);
        Ok(Self { rows, shingles: rare, shift, starts, looked_for })
    }

    /// Evaluation rows that are in the training row.
    fn look(&self, nr: Nr, table: &Table, texts: &Texts, settings: Settings) -> Result<Vec<(Nr, Leak)>, NearError> {
        let entry = table.entry(nr);
        let text = texts.read(entry)?;
        let mut long = Vec::new();
        long_shingles(&text, &mut long);
        let candidates = self.candidates(&long);
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let train = TrainRow {
            asked: Prepared::new(compared(&text, entry.asked_len, Key::Instruction).to_owned()),
            whole: Prepared::new(text),
            long: OnceCell::new(),
        };
        let leaks = candidates.into_iter().filter_map(|candidate| {
            let row = &self.rows[candidate.row];
            let glances = glance_similarity(table.glance(row.nr), table.glance(nr));
            let unlike = (glances < settings.jaccard - GLANCE_SLACK).then_some(settings.key);
            let (kind, by, score) = strongest(row, candidate, &train, unlike, settings.jaccard)?;
            let eval = table.entry(row.nr);
            Some((row.nr, Leak { kind, by, set: eval.set, eval: eval.row, train: entry.row, score }))
        });
        Ok(leaks.collect())
    }

    /// Rows of which enough shingles are among these.
    fn candidates(&self, long: &[u64]) -> Vec<Candidate> {
        let mut hits: Vec<(u32, u64)> = Vec::new();
        for &hash in long {
            let top = (hash >> self.shift) as usize;
            let bucket = &self.shingles[self.starts[top] as usize..self.starts[top + 1] as usize];
            let from = bucket.partition_point(|&(h, _)| h < hash);
            hits.extend(bucket[from..].iter().take_while(|&&(h, _)| h == hash).map(|&(_, text)| (text, hash)));
        }
        hits.sort_unstable();
        hits.dedup();
        let mut candidates: Vec<Candidate> = Vec::new();
        for of_text in hits.chunk_by(|a, b| a.0 == b.0) {
            let (row, whole) = (of_text[0].0 as usize / 2, of_text[0].0 % 2 == 1);
            let looked_for = self.looked_for[of_text[0].0 as usize] as usize;
            let share = of_text.len() as f32 / looked_for as f32;
            if share < if looked_for < FEW { HITS_NEAR_FEW } else { HITS_NEAR } {
                continue;
            }
            if candidates.last().is_none_or(|last| last.row != row) {
                candidates.push(Candidate { row, asked: 0.0, whole: 0.0 });
            }
            if let Some(last) = candidates.last_mut() {
                if whole { last.whole = share } else { last.asked = share }
            }
        }
        candidates.sort_by(|a, b| b.most().total_cmp(&a.most()).then(a.row.cmp(&b.row)));
        candidates.truncate(CANDIDATES);
        candidates
    }
}

/// An evaluation row with the shares of its shingles that a training row has; 0 where they are too few.
#[derive(Clone, Copy)]
struct Candidate {
    row: usize,
    asked: f32,
    whole: f32,
}

impl Candidate {
    fn most(self) -> f32 {
        self.asked.max(self.whole)
    }
}

struct TrainRow {
    whole: Prepared,
    asked: Prepared,
    /// Long shingles, once they are needed.
    long: OnceCell<ShingleSet>,
}

/// `unlike`: what needs no comparison, since the glances say that it is not alike.
fn strongest(
    eval: &EvalRow,
    candidate: Candidate,
    train: &TrainRow,
    unlike: Option<Key>,
    threshold: f32,
) -> Option<(LeakKind, Key, f32)> {
    // A row that is a question alone was looked for as a whole.
    let alone = eval.asked().len() == eval.whole.len();
    let asked_share = if alone { candidate.whole } else { candidate.asked };
    let ways = [
        (candidate.whole, eval.whole.as_str(), &train.whole, Key::Row),
        (asked_share, eval.asked(), &train.asked, Key::Instruction),
    ];
    let mut template = false;
    for (_, text, train, by) in ways.iter().filter(|way| way.0 > 0.0 && unlike != Some(way.3)) {
        match relation(&Prepared::new((*text).to_owned()), train, threshold) {
            (Relation::Same, jaccard) => return Some((LeakKind::Near, *by, jaccard)),
            (Relation::Template, _) => template = true,
            (Relation::Unlike, _) => {}
        }
    }
    ways.iter().filter(|way| !template && way.0 >= HITS_CONTAINED).find_map(|(_, text, _, by)| {
        let of_eval = ShingleSet::of_long(text);
        let long = train.long.get_or_init(|| ShingleSet::of_long(&train.whole.text));
        let score = overlap(&of_eval, long).of_a();
        let contained = of_eval.len() >= CONTAINED_LONG_SHINGLES && score >= LEAK_CONTAINED;
        contained.then_some((LeakKind::Contained, *by, score))
    })
}
