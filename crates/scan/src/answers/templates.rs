//! Long passages that many rows share: prints that are frequent, joined where they follow each other.

use super::Error;
use super::report::{Place, Template, Where};
use super::walk::Walk;
use measures::quality::prints::{Print, WINDOW};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;

/// Rows that share a passage: at least so many, and at least this share of all.
const ROWS_MIN: u64 = 5;
const SHARE_MIN: f64 = 0.01;

/// Counters of the first pass. Two prints may share one: it only says which prints are worth counting one by one.
const COUNTERS: usize = 1 << 22;
const PRINTS_MAX: usize = 2_000_000;
const TEMPLATES_MAX: usize = 1_000;

pub(super) fn find(walk: &Walk) -> Result<Vec<Template>, Error> {
    let rows = walk.rows();
    let least = ROWS_MIN.max((SHARE_MIN * rows as f64).ceil() as u64);
    let counts = frequent(walk, least)?;
    if counts.is_empty() {
        return Ok(Vec::new());
    }
    let mut links: FxHashMap<(u32, u32), u64> = FxHashMap::default();
    walk.each_prints(|_, _, prints| {
        for run in runs(prints, |print| counts.contains_key(&print.hash)) {
            for two in run.windows(2) {
                *links.entry((two[0].1.hash, two[1].1.hash)).or_default() += 1;
            }
        }
    })?;
    let joined = Joined::of(&counts, links.into_iter().filter(|(_, count)| *count >= least).map(|(two, _)| two));
    let longest = longest(walk, &joined)?;
    let mut templates: Vec<Template> = longest
        .into_iter()
        .map(|(root, (_, at))| {
            let rows_with = joined.rows[&root];
            Template { rows: rows_with, share: rows_with as f64 / rows as f64, chars: at.end - at.start, at }
        })
        .collect();
    templates.sort_by(|a, b| (Reverse(a.rows * a.chars), &a.at).cmp(&(Reverse(b.rows * b.chars), &b.at)));
    templates.truncate(TEMPLATES_MAX);
    Ok(templates)
}

/// The prints that at least `least` rows have, and how many have them.
fn frequent(walk: &Walk, least: u64) -> Result<FxHashMap<u32, u64>, Error> {
    let counter = |hash: u32| hash as usize % COUNTERS;
    let mut rough = vec![0u32; COUNTERS];
    walk.each_prints(|_, _, prints| {
        for (_, print) in prints {
            let count = &mut rough[counter(print.hash)];
            *count = count.saturating_add(1);
        }
    })?;
    let mut counts: FxHashMap<u32, u64> = FxHashMap::default();
    walk.each_prints(|_, _, prints| {
        for (_, print) in prints {
            if u64::from(rough[counter(print.hash)]) >= least {
                *counts.entry(print.hash).or_default() += 1;
            }
        }
    })?;
    counts.retain(|_, count| *count >= least);
    if counts.len() > PRINTS_MAX {
        let mut kept: Vec<(u32, u64)> = counts.into_iter().collect();
        kept.sort_unstable_by_key(|&(hash, count)| (Reverse(count), hash));
        kept.truncate(PRINTS_MAX);
        counts = kept.into_iter().collect();
    }
    Ok(counts)
}

/// Prints joined to passages.
struct Joined {
    root: FxHashMap<u32, u32>,
    /// By root: the most rows that a print of the passage has.
    rows: FxHashMap<u32, u64>,
}

impl Joined {
    fn of(counts: &FxHashMap<u32, u64>, links: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut parent: FxHashMap<u32, u32> = counts.keys().map(|&hash| (hash, hash)).collect();
        for (a, b) in links {
            let (a, b) = (root(&mut parent, a), root(&mut parent, b));
            // The lesser is the root, so that roots do not depend on the order of links.
            parent.insert(a.max(b), a.min(b));
        }
        let hashes: Vec<u32> = counts.keys().copied().collect();
        let root: FxHashMap<u32, u32> = hashes.iter().map(|&hash| (hash, root(&mut parent, hash))).collect();
        let mut rows: FxHashMap<u32, u64> = FxHashMap::default();
        for (hash, &count) in counts {
            let most = rows.entry(root[hash]).or_default();
            *most = count.max(*most);
        }
        Self { root, rows }
    }
}

fn root(parent: &mut FxHashMap<u32, u32>, of: u32) -> u32 {
    let mut at = of;
    while let Some(&up) = parent.get(&at).filter(|&&up| up != at) {
        let above = parent.get(&up).copied().unwrap_or(up);
        parent.insert(at, above);
        at = above;
    }
    at
}

/// Of each passage the longest run in a row, and where it is.
fn longest(walk: &Walk, joined: &Joined) -> Result<FxHashMap<u32, (u64, Where)>, Error> {
    let mut best: FxHashMap<u32, (u64, Where)> = FxHashMap::default();
    walk.each_prints(|shard, row, prints| {
        for run in runs(prints, |print| joined.root.contains_key(&print.hash)) {
            for part in run.chunk_by(|a, b| joined.root[&a.1.hash] == joined.root[&b.1.hash]) {
                let (field, first) = &part[0];
                let root = joined.root[&first.hash];
                let (start, end) = (u64::from(first.at.start), u64::from(part[part.len() - 1].1.at.end));
                let place = Place { file: row.file, line: row.line };
                let known = best.get(&root).map(|(chars, at)| (Reverse(*chars), at.place));
                if known.is_none_or(|known| (Reverse(end - start), place) < known) {
                    best.insert(root, (end - start, Where { place, field: shard.name(row, *field), start, end }));
                }
            }
        }
    })?;
    Ok(best)
}

/// The parts of `prints` of which `is` holds, each from one field and without gaps.
fn runs(prints: &[(u8, Print)], is: impl Fn(&Print) -> bool) -> Vec<Vec<&(u8, Print)>> {
    let mut runs: Vec<Vec<&(u8, Print)>> = Vec::new();
    let mut open = false;
    for print in prints {
        if !is(&print.1) {
            open = false;
            continue;
        }
        let follows = |last: &&(u8, Print)| last.0 == print.0 && print.1.at.start <= last.1.at.start + WINDOW as u32;
        match runs.last_mut() {
            Some(run) if open && run.last().is_some_and(follows) => run.push(print),
            _ => runs.push(vec![print]),
        }
        open = true;
    }
    runs
}
