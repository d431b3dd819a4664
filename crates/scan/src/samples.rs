//! The rows that a report shows, read once more, and texts from them without personal data.

use crate::actions::found;
use crate::error::ScanError;
use crate::input::{File, Limits, Reader};
use crate::lengths::Place;
use crate::pass::Watch;
use crate::row::Row;
use crate::state::Asked;
use crate::tally::Tally;
use crate::{answers, near};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

/// Characters shown on each side of a finding, and of one field of a row.
const AROUND: usize = 40;
const FIELD_MAX: usize = 600;
const ANSWER_MAX: usize = 120;

/// The places that a report shows rows of: `groups` are the duplicates of which it tells how they begin.
pub fn wanted(tally: &Tally, groups: &[&near::Group], answers: Option<&answers::Report>) -> BTreeSet<Place> {
    let shown = tally.kinds().flat_map(|(_, _, kind)| kind.shown.iter().map(|shown| shown.place));
    let mut places: BTreeSet<Place> = shown.collect();
    let members = groups.iter().filter_map(|group| group.members.first());
    places.extend(members.map(|member| (member.row.file, member.row.line)));
    if let Some(report) = answers {
        let first = |places: &[answers::Place]| places.first().map(|at| (at.file, at.line));
        let groups = report.constant_answer.iter().chain(&report.same_question).chain(&report.same_answer);
        places.extend(groups.filter_map(|group| first(&group.places)));
        places.extend(report.triggers.iter().filter_map(|t| t.at.first().map(|at| (at.place.file, at.place.line))));
    }
    places
}

/// Those rows, as far as they can still be read: files may lie on another machine than where parts are merged.
///
/// # Errors
/// An interruption.
pub fn read(
    asked: &Asked,
    places: &BTreeSet<Place>,
    spool: &Path,
    watch: &Watch,
) -> Result<BTreeMap<Place, Row>, ScanError> {
    let mut rows = BTreeMap::new();
    let limits = Limits { record_bytes_max: asked.record_bytes_max, spool_dir: spool.to_owned() };
    for (index, state) in asked.files.iter().enumerate() {
        let index = index as u32;
        let Some(&(_, last)) = places.range((index, 0)..=(index, u64::MAX)).next_back() else { continue };
        let opened = File::new(index, &state.path, None).ok().and_then(|file| Reader::open(&file, &limits).ok());
        let Some(mut reader) = opened else { continue };
        let meaning = reader.meaning();
        while let Some(Ok(chunk)) = reader.next_chunk() {
            watch.go_on()?;
            for raw in chunk.iter().filter(|raw| places.contains(&(index, raw.line()))) {
                if let Some(row) = meaning.understand(raw).row {
                    rows.insert((index, raw.line()), row);
                }
            }
            if chunk.last().is_none_or(|raw| raw.line() >= last) {
                break;
            }
        }
    }
    Ok(rows)
}

/// The text around a passage (code points of the field), personal data replaced by their names.
pub fn excerpt(row: &Row, field: &str, passage: Range<u64>) -> Option<String> {
    let text = &row.fields.iter().find(|f| f.name == field)?.text;
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    let from = (passage.start as usize).saturating_sub(AROUND);
    let to = (passage.end as usize).min(passage.start as usize + 2 * AROUND) + AROUND;
    Some(one_line(&masked(text, byte(from)..byte(to))))
}

/// The beginning of a row's answer, or of what it has.
pub fn answer(row: &Row) -> Option<String> {
    let field = row.fields.iter().rfind(|f| f.part == measures::Part::Response).or(row.fields.last())?;
    Some(one_line(&beginning(&field.text, ANSWER_MAX).0))
}

/// Excerpts stand in lists and tables.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The row as `samples` has it.
pub fn shown(row: &Row, file: &str) -> Value {
    let field = |field: &crate::row::Field| {
        let (text, cut) = beginning(&field.text, FIELD_MAX);
        json!({"name": field.name, "part": field.part, "text": text, "cut": cut})
    };
    json!({"file": file, "line": row.line, "fields": row.fields.iter().map(field).collect::<Vec<_>>()})
}

/// The first characters, and how many were left out.
fn beginning(text: &str, max: usize) -> (String, usize) {
    let end = text.char_indices().nth(max).map_or(text.len(), |(byte, _)| byte);
    let cut = text[end..].chars().count();
    let shown = masked(text, 0..end);
    (if cut > 0 { shown.trim_end_matches('…').to_owned() } else { shown }, cut)
}

/// A stretch of a text on character boundaries. Personal data are looked for in the whole text, so that the stretch does
/// not cut them into something that is not recognised.
fn masked(text: &str, stretch: Range<usize>) -> String {
    let mut out = String::new();
    if stretch.start > 0 {
        out.push('…');
    }
    let mut at = stretch.start;
    for spot in found(text).iter().filter(|s| s.at.end > stretch.start && s.at.start < stretch.end) {
        out.push_str(&text[at..spot.at.start.max(at)]);
        out.push_str(&format!("[{}]", spot.kind));
        at = spot.at.end.max(at);
    }
    if at < stretch.end {
        out.push_str(&text[at..stretch.end]);
    }
    if stretch.end < text.len() {
        out.push('…');
    }
    out
}
