//! Groups from what hangs together, and which of their rows cleaning keeps.

use super::pairs::{Comparer, Links, Relation};
use super::spool::Texts;
use super::table::{Nr, Table};
use super::{Group, Kind, Limits, Member, NearError, RowId, Settings, Stop};
use rustc_hash::FxHashMap;

/// Different texts of a group up to which each is compared with each.
const GROUP_WHOLE: usize = 48;
/// Kept rows of a larger group that its other rows are compared with.
const KEPT: usize = 256;

/// A text of a group: the row that stands for it, the text that is kept for it, and how like it is.
#[derive(Clone, Copy)]
struct Place {
    nr: Nr,
    like: Nr,
    similarity: f32,
}

pub(super) fn groups(
    table: &Table,
    texts: &Texts,
    stands: &[Nr],
    links: &mut Links,
    settings: Settings,
    limits: &mut Limits,
    stop: Stop,
) -> Result<Vec<Group>, NearError> {
    let mut comparer = Comparer::new(table, texts, settings);
    let mut roots: Vec<Root> = Vec::with_capacity(table.len());
    for nr in table.rows().filter(|&nr| !table.entry(nr).is_empty()) {
        let stands = stands[nr as usize];
        roots.push(Root { alike: links.alike.of(stands), same: links.same.of(stands), stands, nr });
    }
    roots.sort_unstable();
    let mut found = Vec::new();
    for rows in roots.chunk_by(|a, b| a.alike == b.alike).filter(|rows| rows.len() > 1) {
        if stop() {
            return Err(NearError::Interrupted);
        }
        let mut members = Vec::with_capacity(rows.len());
        for same in rows.chunk_by(|a, b| a.same == b.same) {
            let nrs: Vec<Nr> = same.chunk_by(|a, b| a.stands == b.stands).map(|class| class[0].stands).collect();
            let places = places(&nrs, table, &links.similarity, &mut comparer, limits, stop)?;
            same_members(same, &places, table, &mut members);
        }
        members.sort_unstable_by_key(|m| m.row);
        let removed = members.iter().filter(|m| !m.keep).map(|m| m.kind);
        let kind = removed.max().unwrap_or(Kind::Template);
        found.push(Group { id: 0, kind, set: table.entry(rows[0].nr).set, members });
    }
    found.sort_by_key(|group| group.members[0].row);
    found.iter_mut().zip(1..).for_each(|(group, id)| group.id = id);
    Ok(found)
}

/// A row, by what it hangs together with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Root {
    alike: Nr,
    same: Nr,
    stands: Nr,
    nr: Nr,
}

/// `rows`: of one root `same`, sorted. `places`: one a class, in the same order.
fn same_members(rows: &[Root], places: &[Place], table: &Table, members: &mut Vec<Member>) {
    let exact = |a: Nr, b: Nr| table.entry(a).prints.exact == table.entry(b).prints.exact;
    let row = |nr| table.entry(nr).row;
    let start = members.len();
    for (class, place) in rows.chunk_by(|a, b| a.stands == b.stands).zip(places) {
        for &Root { stands, nr, .. } in class {
            let keep = nr == place.like;
            let kind = match () {
                () if keep => Kind::Template,
                () if stands != place.like => Kind::Near,
                () if exact(nr, place.like) => Kind::Exact,
                () => Kind::Normalised,
            };
            members.push(Member { row: row(nr), kind, keep, like: row(place.like), similarity: place.similarity });
        }
    }
    // A kept row is of the loosest kind that is removed for it.
    let members = &mut members[start..];
    let removed: Vec<(RowId, Kind)> = members.iter().filter(|m| !m.keep).map(|m| (m.like, m.kind)).collect();
    let mut loosest: FxHashMap<RowId, Kind> = FxHashMap::default();
    for (like, kind) in removed {
        let known = loosest.entry(like).or_insert(kind);
        *known = kind.max(*known);
    }
    members.iter_mut().filter(|m| m.keep).for_each(|m| m.kind = loosest.get(&m.row).copied().unwrap_or(Kind::Template));
}

/// Chooses the kept texts of a group, so that each other text is the same as one of them, and for each text the kept one.
fn places(
    nrs: &[Nr],
    table: &Table,
    known: &FxHashMap<(Nr, Nr), f32>,
    comparer: &mut Comparer,
    limits: &mut Limits,
    stop: Stop,
) -> Result<Vec<Place>, NearError> {
    match nrs.len() {
        1 => Ok(vec![Place { nr: nrs[0], like: nrs[0], similarity: 1.0 }]),
        2 => {
            let like = *nrs.iter().min_by_key(|&&nr| preference(table, nr)).unwrap_or(&nrs[0]);
            let similarity = known.get(&(nrs[0], nrs[1])).copied().unwrap_or(0.0);
            let similarity = |nr| if nr == like { 1.0 } else { similarity };
            Ok(nrs.iter().map(|&nr| Place { nr, like, similarity: similarity(nr) }).collect())
        }
        3..=GROUP_WHOLE => places_of_all_pairs(nrs, table, comparer),
        _ => places_in_order(nrs, table, comparer, limits, stop),
    }
}

/// Lower is kept first: lowest rank, then the longest (what was cut off is in it), then the earliest.
fn preference(table: &Table, nr: Nr) -> impl Ord + use<> {
    let entry = table.entry(nr);
    (entry.rank, std::cmp::Reverse(entry.text_len), nr)
}

/// First the text that most others are the same as, so that a group of one original and its copies keeps the original.
fn places_of_all_pairs(nrs: &[Nr], table: &Table, comparer: &mut Comparer) -> Result<Vec<Place>, NearError> {
    let n = nrs.len();
    let mut similarity = vec![None; n * n];
    for i in 0..n {
        for j in 0..i {
            if let (Relation::Same, jaccard) = comparer.compare(nrs[i], nrs[j])? {
                similarity[i * n + j] = Some(jaccard);
                similarity[j * n + i] = Some(jaccard);
            }
        }
    }
    let mut like: Vec<Option<usize>> = vec![None; n];
    let mut kept = Vec::new();
    while let Some(best) = (0..n).filter(|&i| like[i].is_none()).min_by_key(|&i| {
        let others = (0..n).filter(|&j| like[j].is_none() && similarity[i * n + j].is_some()).count();
        (std::cmp::Reverse(others), preference(table, nrs[i]))
    }) {
        like[best] = Some(best);
        kept.push(best);
        for j in 0..n {
            if like[j].is_none() && similarity[best * n + j].is_some() {
                like[j] = Some(best);
            }
        }
    }
    let nearest = |i: usize| {
        let of_kept = kept.iter().filter_map(|&k| Some((k, similarity[i * n + k]?)));
        of_kept.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
    };
    Ok((0..n)
        .map(|i| match nearest(i).filter(|_| !kept.contains(&i)) {
            Some((k, similarity)) => Place { nr: nrs[i], like: nrs[k], similarity },
            None => Place { nr: nrs[i], like: nrs[i], similarity: 1.0 },
        })
        .collect())
}

/// Each text, in the order of preference, goes to the first kept one that it is the same as, or is kept.
fn places_in_order(
    nrs: &[Nr],
    table: &Table,
    comparer: &mut Comparer,
    limits: &mut Limits,
    stop: Stop,
) -> Result<Vec<Place>, NearError> {
    let mut order = nrs.to_vec();
    order.sort_by_key(|&nr| preference(table, nr));
    let mut kept: Vec<Nr> = Vec::new();
    let mut places = Vec::with_capacity(nrs.len());
    for nr in order {
        if stop() {
            return Err(NearError::Interrupted);
        }
        let mut place = Place { nr, like: nr, similarity: 1.0 };
        for &k in &kept {
            if let (Relation::Same, similarity) = comparer.compare(k, nr)? {
                place = Place { nr, like: k, similarity };
                break;
            }
        }
        if place.like == nr {
            if kept.len() < KEPT {
                kept.push(nr);
            } else {
                limits.rows_kept_unseen += 1;
            }
        }
        places.push(place);
    }
    places.sort_unstable_by_key(|p| p.nr);
    Ok(places)
}
