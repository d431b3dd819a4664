//! Groups from what hangs together, and which of their rows cleaning keeps.

use super::pairs::{Comparer, Links, Relation};
use super::spool::Texts;
use super::table::{Nr, Table};
use super::{Group, Kind, Limits, Member, NearError, Settings, Stop};
use measures::near::{ShingleSet, overlap, without_numbers};

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
    let rows = || table.rows().filter(|&nr| !table.entry(nr).is_empty());
    let mut found = Vec::new();
    let mut by_root: Vec<(Nr, Nr, Nr)> =
        rows().map(|nr| (links.same.of(stands[nr as usize]), stands[nr as usize], nr)).collect();
    by_root.sort_unstable();
    for rows in by_root.chunk_by(|a, b| a.0 == b.0).filter(|rows| rows.len() > 1) {
        if stop() {
            return Err(NearError::Interrupted);
        }
        let nrs: Vec<Nr> = rows.chunk_by(|a, b| a.1 == b.1).map(|class| class[0].1).collect();
        let places = places(&nrs, table, &mut comparer, limits, stop)?;
        found.push(group(rows, &places, table));
    }
    let mut by_root: Vec<(Nr, Nr)> =
        rows().filter(|&nr| stands[nr as usize] == nr).map(|nr| (links.template.of(nr), nr)).collect();
    by_root.sort_unstable();
    for rows in by_root.chunk_by(|a, b| a.0 == b.0).filter(|rows| rows.len() > 1) {
        if stop() {
            return Err(NearError::Interrupted);
        }
        found.push(template(rows, table, &mut comparer)?);
    }
    found.sort_by_key(|group| (group.members[0].row, group.kind));
    found.iter_mut().zip(1..).for_each(|(group, id)| group.id = id);
    Ok(found)
}

/// `rows`: root, the row that stands for the class, the row; sorted. `places`: one a class, in the same order.
fn group(rows: &[(Nr, Nr, Nr)], places: &[Place], table: &Table) -> Group {
    let exact = |a: Nr, b: Nr| table.entry(a).prints.exact == table.entry(b).prints.exact;
    let kind = if places.len() > 1 {
        Kind::Near
    } else if rows.iter().all(|&(_, stands, nr)| exact(stands, nr)) {
        Kind::Exact
    } else {
        Kind::Normalised
    };
    let mut members = Vec::with_capacity(rows.len());
    for (class, place) in rows.chunk_by(|a, b| a.1 == b.1).zip(places) {
        for &(_, stands, nr) in class {
            let keep = nr == place.like;
            let kind = match () {
                () if keep => kind,
                () if stands != place.like => Kind::Near,
                () if exact(nr, place.like) => Kind::Exact,
                () => Kind::Normalised,
            };
            let row = |nr| table.entry(nr).row;
            members.push(Member { row: row(nr), kind, keep, like: row(place.like), similarity: place.similarity });
        }
    }
    members.sort_unstable_by_key(|m| m.row);
    Group { id: 0, kind, set: table.entry(rows[0].2).set, members }
}

/// Chooses the kept texts of a group, so that each other text is the same as one of them, and for each text the kept one.
fn places(
    nrs: &[Nr],
    table: &Table,
    comparer: &mut Comparer,
    limits: &mut Limits,
    stop: Stop,
) -> Result<Vec<Place>, NearError> {
    match nrs.len() {
        1 => Ok(vec![Place { nr: nrs[0], like: nrs[0], similarity: 1.0 }]),
        2..=GROUP_WHOLE => places_of_all_pairs(nrs, table, comparer),
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
            if comparer.relation(nrs[i], nrs[j])? == Relation::Same {
                let jaccard = comparer.jaccard(nrs[i], nrs[j])?;
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
            if comparer.relation(k, nr)? == Relation::Same {
                place = Place { nr, like: k, similarity: comparer.jaccard(k, nr)? };
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

fn template(rows: &[(Nr, Nr)], table: &Table, comparer: &mut Comparer) -> Result<Group, NearError> {
    let first = table.entry(rows[0].1);
    let bare = |comparer: &mut Comparer, nr| Ok(ShingleSet::of(&without_numbers(&comparer.prepared(nr)?.text)));
    let set: ShingleSet = bare(comparer, rows[0].1)?;
    let mut members = Vec::with_capacity(rows.len());
    for &(_, nr) in rows {
        let entry = table.entry(nr);
        let same = entry.prints.bare == first.prints.bare;
        let similarity = if same { 1.0 } else { overlap(&set, &bare(comparer, nr)?).jaccard() };
        members.push(Member { row: entry.row, kind: Kind::Template, keep: true, like: entry.row, similarity });
    }
    Ok(Group { id: 0, kind: Kind::Template, set: first.set, members })
}
