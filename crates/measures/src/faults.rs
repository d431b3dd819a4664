//! What is broken in a text: encodings gone wrong, markup, control codes, loops, refusals, role tokens, cut answers.
//!
//! Kinds, as `findings.jsonl` names them: `nul control_code zero_width replacement_char mojibake html repetition refusal
//! role_token truncated blank overlong`. Whether a text is at fault can depend on what was asked for: see [`Context`].

mod chars;
mod context;
mod cut;
mod html;
mod loops;
mod mojibake;
mod phrases;

pub use chars::{cleaned, overlong};
pub use context::Context;

use crate::{Part, Spot};

/// No more spots of one kind than this in a text: a row is looked at once, however broken it is.
pub const SPOTS_PER_KIND_MAX: usize = 16;

/// Everything that is wrong with a text, in order of place.
///
/// An empty text has no fault here: whether a field may be empty is for those to say who know the format.
pub fn find(text: &str, part: Part, context: Context) -> Vec<Spot> {
    let mut spots = Vec::new();
    if text.is_empty() {
        return spots;
    }
    if chars::is_blank(text) {
        spots.push(blank(text, part));
    }
    if text.is_ascii() {
        chars::find_ascii(text, &mut spots);
    } else {
        let seen = chars::find(text, &mut spots);
        mojibake::find(text, seen, &mut spots);
        // What became of bytes that could not be decoded is part of the mojibake around it.
        let garbled: Vec<_> = spots.iter().filter(|s| s.kind == "mojibake").map(|s| s.at.clone()).collect();
        spots.retain(|s| {
            !matches!(s.kind, "replacement_char" | "control_code" | "zero_width")
                || !garbled.iter().any(|g| g.start <= s.at.start && s.at.start < g.end)
        });
    }
    html::find(text, context, &mut spots);
    loops::find(text, context, &mut spots);
    phrases::find(text, part, context, &mut spots);
    if part == Part::Response {
        cut::find(text, context, &mut spots);
    }
    spots.sort_by(|a, b| (a.at.start, a.kind).cmp(&(b.at.start, b.kind)));
    spots
}

/// A text of nothing but spaces and what is not seen. As an optional input it is harmless.
fn blank(text: &str, part: Part) -> Spot {
    let confidence = match part {
        Part::Response | Part::Text => 0.99,
        Part::System | Part::Instruction => 0.4,
    };
    Spot { kind: "blank", rule: "only_white_space", at: 0..text.len(), confidence }
}

/// Adds a spot, or widens the last one of its kind and rule if it is near.
fn push_near(spots: &mut Vec<Spot>, spot: Spot) {
    const NEAR_BYTES: usize = 12;
    let mut same = spots.iter_mut().filter(|s| s.kind == spot.kind);
    if let Some(last) = same.next_back() {
        if last.rule == spot.rule && spot.at.start <= last.at.end + NEAR_BYTES {
            last.at.end = last.at.end.max(spot.at.end);
            last.confidence = last.confidence.max(spot.confidence);
            return;
        }
        if same.count() + 1 >= SPOTS_PER_KIND_MAX {
            return;
        }
    }
    spots.push(spot);
}
