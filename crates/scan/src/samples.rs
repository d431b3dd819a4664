//! The rows that a report shows, read once more, and texts from them without personal data.

use crate::actions::{Actions, apart};
use crate::error::ScanError;
use crate::input::{File, Limits, Reader};
use crate::lengths::Place;
use crate::pass::Watch;
use crate::record::GROUPS_MAX;
use crate::row::{Field, Row};
use crate::state::Asked;
use crate::tally::Tally;
use crate::{answers, near};
use measures::{Part, Spot, pii};
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
        for of_kind in [&report.constant_answer, &report.same_question, &report.same_answer] {
            places.extend(of_kind.iter().take(GROUPS_MAX).filter_map(|group| first(&group.places)));
        }
        let at = |at: &answers::Where| (at.place.file, at.place.line);
        places.extend(report.triggers.iter().take(GROUPS_MAX).filter_map(|trigger| trigger.at.first().map(at)));
        places.extend(report.templates.iter().take(GROUPS_MAX).map(|template| at(&template.at)));
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
    actions: &Actions,
    spool: &Path,
    watch: &Watch,
) -> Result<BTreeMap<Place, Sample>, ScanError> {
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
                    let place = (index, raw.line());
                    rows.insert(place, Sample::of(row, place, actions, asked.policy.confidence));
                }
            }
            if chunk.last().is_none_or(|raw| raw.line() >= last) {
                break;
            }
        }
    }
    Ok(rows)
}

/// A row that is shown, and what of it never is.
pub struct Sample {
    row: Row,
    /// Personal data of each field: what the scan found, and what the rules find whether they were asked for or not.
    personal: Vec<Vec<Spot>>,
}

impl Sample {
    fn of(row: Row, place: Place, actions: &Actions, confidence: f32) -> Self {
        let of_field = |field: &Field| {
            let mut spots = pii::find(&field.text);
            spots.retain(|spot| spot.confidence >= confidence.min(pii::FINDING));
            spots.extend(actions.personal(place, &field.name, &field.text));
            apart(spots)
        };
        Self { personal: row.fields.iter().map(of_field).collect(), row }
    }

    /// The text around a passage (code points of the field), personal data replaced by their names.
    pub fn excerpt(&self, field: &str, passage: Range<u64>) -> Option<String> {
        let at = self.row.fields.iter().position(|f| f.name == field)?;
        let text = &self.row.fields[at].text;
        let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
        let from = (passage.start as usize).saturating_sub(AROUND);
        let to = (passage.end as usize).min(passage.start as usize + 2 * AROUND) + AROUND;
        Some(one_line(&masked(text, &self.personal[at], byte(from)..byte(to))))
    }

    /// The beginning of the row's answer, or of what it has.
    pub fn answer(&self) -> Option<String> {
        let fields = &self.row.fields;
        let at = fields.iter().rposition(|f| f.part == Part::Response).or(fields.len().checked_sub(1))?;
        Some(one_line(&self.beginning(at, ANSWER_MAX).0))
    }

    /// The row as `samples` has it.
    pub fn shown(&self, file: &str) -> Value {
        let fields = self.row.fields.iter().enumerate().map(|(at, field)| {
            let (text, cut) = self.beginning(at, FIELD_MAX);
            json!({"name": field.name, "part": field.part, "text": text, "cut": cut})
        });
        json!({"file": file, "line": self.row.line, "fields": fields.collect::<Vec<_>>()})
    }

    /// The first characters of a field, and how many were left out.
    fn beginning(&self, at: usize, max: usize) -> (String, usize) {
        let text = &self.row.fields[at].text;
        let end = text.char_indices().nth(max).map_or(text.len(), |(byte, _)| byte);
        let cut = text[end..].chars().count();
        let shown = masked(text, &self.personal[at], 0..end);
        (if cut > 0 { shown.trim_end_matches('…').to_owned() } else { shown }, cut)
    }
}

/// Excerpts stand in lists and tables.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A stretch of a text on character boundaries. Personal data are those of the whole text, so that the stretch does not cut
/// them into something that is not recognised.
fn masked(text: &str, personal: &[Spot], stretch: Range<usize>) -> String {
    let mut out = String::new();
    if stretch.start > 0 {
        out.push('…');
    }
    let mut at = stretch.start;
    for spot in personal.iter().filter(|s| s.at.end > stretch.start && s.at.start < stretch.end) {
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
