//! Pairs that share a band, verified, and what hangs together by them.
//!
//! Bands are taken one after the other, each in memory by itself. A pair costs a look at two glances; only what looks alike
//! is read and compared. Work stays about linear in the rows even where most look alike, by three limits, each counted.

use super::spool::{Spool, Texts};
use super::table::{Entry, Nr, Table};
use super::{CONTAINED, CONTAINED_JACCARD, CONTAINED_SHINGLES, Limits, NearError, Settings, Stop};
use measures::near::{BANDS, Overlap, ShingleSet, glance_similarity, numbers, overlap, without_numbers};
use rustc_hash::{FxHashMap, FxHashSet};
use std::rc::Rc;

/// Rows of a bucket up to which all pairs are compared.
const BUCKET_WHOLE: usize = 24;
/// Rows of a larger bucket that others are compared with, unless they are like one before.
const LEADERS: usize = 16;
/// Rows before it, in the order of glances, that each row of a larger bucket is compared with.
const WINDOW: usize = 4;
/// Comparisons that may fail for a row before it is left alone. A row of ordinary text fails two or three.
const FAILURES: u8 = 64;
/// A pair is read and compared if its estimated similarity is above the least that counts minus this: nearly three
/// standard deviations.
pub(super) const GLANCE_SLACK: f32 = 0.17;
/// Repeated shingles count in the length of a text and not in similarity.
const LENGTHS_SLACK: f32 = 0.8;
/// Share of numbers in what differs from which on two texts are two exercises, not one text and its copy, even if less than
/// half of their numbers differ.
const NUMBERS_SHARE: f32 = 1.0 / 3.0;
/// Pairs remembered as compared in vain; beyond them a pair may be compared again, to the same end.
const REMEMBERED: usize = 1 << 21;
/// Prepared texts held, and the longest of them in bytes: 50 MB at most.
const CACHE_SLOTS: usize = 1 << 10;
const CACHE_TEXT_BYTES: usize = 1 << 12;

/// How two rows stand to each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Relation {
    Same,
    Template,
    Unlike,
}

/// What hangs together.
pub(super) struct Links {
    /// By pairs that are the same.
    pub same: Sets,
    /// By pairs that are the same or differ in their numbers.
    pub alike: Sets,
    /// Similarities of the pairs, the earlier row first, that made `same`.
    pub similarity: FxHashMap<(Nr, Nr), f32>,
}

/// Disjoint sets of rows, each known by its earliest row.
pub(super) struct Sets(Vec<Nr>);

impl Sets {
    fn new(rows: usize) -> Self {
        Self((0..rows as Nr).collect())
    }

    pub fn of(&mut self, mut nr: Nr) -> Nr {
        while self.0[nr as usize] != nr {
            let up = self.0[nr as usize];
            self.0[nr as usize] = self.0[up as usize];
            nr = up;
        }
        nr
    }

    fn join(&mut self, a: Nr, b: Nr) {
        let (a, b) = (self.of(a), self.of(b));
        self.0[a.max(b) as usize] = a.min(b);
    }
}

pub(super) fn link(
    table: &Table,
    texts: &Texts,
    stands: &[Nr],
    spools: &[Spool],
    settings: Settings,
    limits: &mut Limits,
    stop: Stop,
) -> Result<Links, NearError> {
    let mut linker = Linker {
        table,
        comparer: Comparer::new(table, texts, settings),
        links: Links { same: Sets::new(table.len()), alike: Sets::new(table.len()), similarity: FxHashMap::default() },
        failures: vec![0; table.len()],
        compared: FxHashSet::default(),
        limits,
    };
    let mut next = load(table, stands, spools, 0);
    for band in 0..BANDS {
        if stop() {
            return Err(NearError::Interrupted);
        }
        let keys = next?;
        // The next band is read and sorted while this one is worked on.
        let (loaded, done) = rayon_join(
            || if band + 1 < BANDS { load(table, stands, spools, band + 1) } else { Ok(Vec::new()) },
            || linker.band(&keys, stop),
        );
        done?;
        next = loaded;
    }
    let Linker { links, failures, limits, .. } = linker;
    limits.rows_given_up = failures.iter().filter(|&&f| f >= FAILURES).count() as u64;
    Ok(links)
}

/// The second on this thread, since it need not be `Send`.
fn rayon_join<A: Send, B>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B) -> (A, B) {
    let mut first = None;
    let second = rayon::in_place_scope(|scope| {
        scope.spawn(|_| first = Some(a()));
        b()
    });
    (first.expect("the scope ends after what it spawned"), second)
}

/// Key and row of each row that stands for its class, sorted: equal keys side by side, rows in order.
fn load(table: &Table, stands: &[Nr], spools: &[Spool], band: usize) -> Result<Vec<u64>, NearError> {
    let mut keys = Vec::with_capacity(stands.len());
    for (shard, spool) in spools.iter().enumerate() {
        let numbers = table.numbers(shard);
        spool.band(band, |i, key| {
            let nr = numbers[i];
            let entry = table.entry(nr);
            if stands[nr as usize] == nr && !entry.is_empty() {
                // Rows of another set never meet.
                let key = key.wrapping_add(u32::from(entry.set.0).wrapping_mul(0x9e37_79b9));
                keys.push(u64::from(key) << 32 | u64::from(nr));
            }
        })?;
    }
    keys.sort_unstable();
    Ok(keys)
}

struct Linker<'a> {
    table: &'a Table,
    comparer: Comparer<'a>,
    links: Links,
    /// Comparisons that failed, by row.
    failures: Vec<u8>,
    /// Pairs that were compared in vain.
    compared: FxHashSet<u64>,
    limits: &'a mut Limits,
}

/// What came of looking at a pair.
#[derive(PartialEq)]
enum Outcome {
    Linked,
    Apart,
}

impl Linker<'_> {
    fn band(&mut self, keys: &[u64], stop: Stop) -> Result<(), NearError> {
        let mut rows = Vec::new();
        for (i, bucket) in keys.chunk_by(|a, b| a >> 32 == b >> 32).enumerate() {
            if i % 4096 == 0 && stop() {
                return Err(NearError::Interrupted);
            }
            if bucket.len() < 2 {
                continue;
            }
            rows.clear();
            rows.extend(bucket.iter().map(|&key| key as Nr));
            if rows.len() <= BUCKET_WHOLE {
                self.all_pairs(&rows)?;
            } else {
                self.limits.buckets_cut += 1;
                self.leaders(&rows, stop)?;
                self.window(&mut rows, stop)?;
            }
        }
        Ok(())
    }

    fn all_pairs(&mut self, rows: &[Nr]) -> Result<(), NearError> {
        for (j, &b) in rows.iter().enumerate() {
            for &a in &rows[..j] {
                self.look(a, b)?;
            }
        }
        Ok(())
    }

    fn leaders(&mut self, rows: &[Nr], stop: Stop) -> Result<(), NearError> {
        let mut leaders: Vec<Nr> = Vec::with_capacity(LEADERS);
        for (i, &row) in rows.iter().enumerate() {
            if i % 1024 == 0 && stop() {
                return Err(NearError::Interrupted);
            }
            let mut linked = false;
            for &leader in &leaders {
                linked = self.links.alike.of(leader) == self.links.alike.of(row)
                    || self.look(leader, row)? == Outcome::Linked;
                if linked {
                    break;
                }
            }
            if !linked && leaders.len() < LEADERS {
                leaders.push(row);
            }
        }
        Ok(())
    }

    fn window(&mut self, rows: &mut [Nr], stop: Stop) -> Result<(), NearError> {
        rows.sort_unstable_by_key(|&nr| (self.table.glance(nr), nr));
        for i in 1..rows.len() {
            if i % 1024 == 0 && stop() {
                return Err(NearError::Interrupted);
            }
            for &before in &rows[i.saturating_sub(WINDOW)..i] {
                self.look(before.min(rows[i]), before.max(rows[i]))?;
            }
        }
        Ok(())
    }

    /// `a` before `b`.
    fn look(&mut self, a: Nr, b: Nr) -> Result<Outcome, NearError> {
        if self.links.same.of(a) == self.links.same.of(b) {
            return Ok(Outcome::Linked);
        }
        let (ea, eb) = (self.table.entry(a), self.table.entry(b));
        // The bands' keys of two sets may still meet, once in four thousand million.
        if ea.set != eb.set || self.failures[a as usize] >= FAILURES || self.failures[b as usize] >= FAILURES {
            return Ok(Outcome::Apart);
        }
        if ea.prints.bare == eb.prints.bare {
            self.links.alike.join(a, b);
            return Ok(Outcome::Linked);
        }
        let least = least_similarity(ea, eb, self.comparer.settings.jaccard) - GLANCE_SLACK;
        if glance_similarity(self.table.glance(a), self.table.glance(b)) < least {
            return Ok(Outcome::Apart);
        }
        let pair = u64::from(a) << 32 | u64::from(b);
        if self.compared.contains(&pair) {
            return Ok(Outcome::Apart);
        }
        match self.comparer.compare(a, b)? {
            (Relation::Same, jaccard) => {
                self.links.similarity.insert((a, b), jaccard);
                self.links.same.join(a, b);
                self.links.alike.join(a, b);
            }
            (Relation::Template, _) => {
                self.links.alike.join(a, b);
                self.remember(pair);
            }
            (Relation::Unlike, _) => {
                self.failures[a as usize] += 1;
                self.failures[b as usize] += 1;
                self.remember(pair);
                return Ok(Outcome::Apart);
            }
        }
        Ok(Outcome::Linked)
    }

    fn remember(&mut self, pair: u64) {
        if self.compared.len() < REMEMBERED {
            self.compared.insert(pair);
        }
    }
}

/// The least similarity at which the pair can be the same: below the threshold by containment alone, and then it is about
/// the ratio of lengths.
fn least_similarity(a: &Entry, b: &Entry, threshold: f32) -> f32 {
    let (a, b) = (a.shingles as f32, b.shingles as f32);
    let contained = LENGTHS_SLACK * a.min(b) / a.max(b).max(1.0);
    threshold.min(contained.max(CONTAINED_JACCARD))
}

/// Reads and compares rows; keeps what it prepared for a while.
pub(super) struct Comparer<'a> {
    table: &'a Table,
    texts: &'a Texts,
    settings: Settings,
    cache: Vec<Option<(Nr, Rc<Prepared>)>>,
}

pub(super) struct Prepared {
    pub text: String,
    pub set: ShingleSet,
}

impl Prepared {
    pub fn new(text: String) -> Self {
        Self { set: ShingleSet::of(&text), text }
    }
}

impl<'a> Comparer<'a> {
    pub fn new(table: &'a Table, texts: &'a Texts, settings: Settings) -> Self {
        Self { table, texts, settings, cache: vec![None; CACHE_SLOTS] }
    }

    /// How they stand to each other, and their Jaccard similarity.
    pub fn compare(&mut self, a: Nr, b: Nr) -> Result<(Relation, f32), NearError> {
        let (a, b) = (self.prepared(a)?, self.prepared(b)?);
        Ok(relation(&a, &b, self.settings.jaccard))
    }

    /// What of the row's text is compared.
    fn prepared(&mut self, nr: Nr) -> Result<Rc<Prepared>, NearError> {
        let slot = nr as usize % CACHE_SLOTS;
        if let Some((_, prepared)) = self.cache[slot].as_ref().filter(|(cached, _)| *cached == nr) {
            return Ok(prepared.clone());
        }
        let prepared = Rc::new(Prepared::new(read(self.texts, self.table.entry(nr), self.settings)?));
        if prepared.text.len() <= CACHE_TEXT_BYTES {
            self.cache[slot] = Some((nr, prepared.clone()));
        }
        Ok(prepared)
    }
}

fn read(texts: &Texts, entry: &Entry, settings: Settings) -> Result<String, NearError> {
    let mut text = texts.read(entry)?;
    let compared = super::sketch::compared(&text, entry.asked_len, settings.key).len();
    text.truncate(compared);
    Ok(text)
}

pub(super) fn relation(a: &Prepared, b: &Prepared, threshold: f32) -> (Relation, f32) {
    let shared = overlap(&a.set, &b.set);
    let jaccard = shared.jaccard();
    if !alike(shared, threshold) {
        return (Relation::Unlike, jaccard);
    }
    let numbers = compare_numbers(&a.text, &b.text);
    if numbers.differ == 0 {
        return (Relation::Same, jaccard);
    }
    if 2 * numbers.differ >= numbers.fewer {
        return (Relation::Template, jaccard);
    }
    let bare = overlap(&ShingleSet::of(&without_numbers(&a.text)), &ShingleSet::of(&without_numbers(&b.text)));
    if 1.0 - bare.jaccard() <= (1.0 - NUMBERS_SHARE) * (1.0 - jaccard) {
        return (Relation::Template, jaccard);
    }
    (Relation::Same, jaccard)
}

fn alike(shared: Overlap, threshold: f32) -> bool {
    let jaccard = shared.jaccard();
    let part = shared.a.min(shared.b) >= CONTAINED_SHINGLES && shared.containment() >= CONTAINED;
    jaccard >= threshold || part && jaccard >= CONTAINED_JACCARD
}

struct Numbers {
    /// Numbers that each of the two has and the other has not, or has less often.
    differ: usize,
    /// Numbers of the text that has fewer.
    fewer: usize,
}

fn compare_numbers(a: &str, b: &str) -> Numbers {
    if numbers(a).eq(numbers(b)) {
        return Numbers { differ: 0, fewer: 0 };
    }
    let sorted = |text| {
        let mut numbers: Vec<&str> = numbers(text).collect();
        numbers.sort_unstable();
        numbers
    };
    let (a, b) = (sorted(a), sorted(b));
    let (mut i, mut j, mut both) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        both += usize::from(a[i] == b[j]);
        (i, j) = (i + usize::from(a[i] <= b[j]), j + usize::from(b[j] <= a[i]));
    }
    let fewer = a.len().min(b.len());
    Numbers { differ: fewer - both, fewer }
}
