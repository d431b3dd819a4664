//! Amounts beside each other, and parts of a whole.

use super::{Canvas, Error, LETTERS, Role, Tone, check, fit, line, open, ratio, rect, text, width_of};
use crate::number;

pub struct Bar<'a> {
    pub label: &'a str,
    pub value: f64,
    /// What stands behind the bar: the value as it is to be read.
    pub note: &'a str,
    pub tone: Tone,
}

pub struct Stack<'a> {
    pub label: &'a str,
    pub segments: Vec<Segment<'a>>,
}

pub struct Segment<'a> {
    pub label: &'a str,
    pub value: f64,
    pub tone: Tone,
}

const ROW: f64 = 26.0;
const THICK: f64 = 16.0;

/// Horizontal bars from one line, the longest of which takes the room.
pub fn bars(data: &[Bar], canvas: &Canvas) -> Result<String, Error> {
    check("values", data.iter().map(|b| b.value))?;
    let left = label_room(data.iter().map(|b| b.label), canvas.width);
    let right = data.iter().map(|b| width_of(b.note, LETTERS) + 10.0).fold(0.0, f64::max);
    let room = (canvas.width - left - right).max(20.0);
    let most = data.iter().map(|b| b.value).fold(0.0, f64::max);
    let mut out = open(canvas, ROW * data.len() as f64 + 2.0, Role::Picture);
    for (i, bar) in data.iter().enumerate() {
        let y = ROW * i as f64 + (ROW - THICK) / 2.0;
        let long = room * ratio(bar.value, most);
        let long = if bar.value > 0.0 { long.max(1.0) } else { 0.0 };
        out.push_str(&text("label", left - 10.0, y + 12.5, "end", &fit(bar.label, left - 10.0, LETTERS)));
        let title = format!("{}: {}", bar.label, bar.note);
        out.push_str(&rect(bar.tone.class(), left, y, long, THICK, &title));
        out.push_str(&text("note", left + long + 7.0, y + 12.5, "start", bar.note));
    }
    let end = ROW * data.len() as f64;
    out.push_str(&line("axis", (left - 0.5, 2.0), (left - 0.5, end)));
    out.push_str("</svg>");
    Ok(out)
}

/// Each stack is a whole of 100 %, whatever its sum.
pub fn stacked(data: &[Stack], canvas: &Canvas) -> Result<String, Error> {
    check("values", data.iter().flat_map(|s| s.segments.iter().map(|p| p.value)))?;
    let left = label_room(data.iter().map(|s| s.label), canvas.width);
    let room = canvas.width - left;
    let mut out = open(canvas, ROW * data.len() as f64 + 2.0, Role::Picture);
    for (i, stack) in data.iter().enumerate() {
        let y = ROW * i as f64 + (ROW - THICK) / 2.0 - 2.0;
        let total: f64 = stack.segments.iter().map(|s| s.value).sum();
        out.push_str(&text("label", left - 10.0, y + 14.5, "end", &fit(stack.label, left - 10.0, LETTERS)));
        let mut x = left;
        for segment in stack.segments.iter().filter(|s| s.value > 0.0) {
            let share = ratio(segment.value, total);
            let long = room * share;
            let title =
                format!("{}: {} ({})", segment.label, number::count(segment.value as u64), number::share(share));
            out.push_str(&rect(segment.tone.class(), x, y, (long - 1.0).max(0.5), THICK + 4.0, &title));
            let words = format!("{} {}", segment.label, number::share(share));
            let words = if width_of(&words, LETTERS) + 12.0 <= long { words } else { segment.label.to_string() };
            if width_of(&words, LETTERS) + 12.0 <= long {
                let class = format!("inside {}", segment.tone.class());
                out.push_str(&text(&class, x + 6.0, y + 14.5, "start", &words));
            }
            x += long;
        }
        if total <= 0.0 {
            out.push_str(&line("axis", (left, y + THICK), (canvas.width, y + THICK)));
        }
    }
    out.push_str("</svg>");
    Ok(out)
}

/// A bar that fills its share of a table's cell, of any width.
pub fn cell(share: f64, tone: Tone) -> Result<String, Error> {
    check("a share", [share])?;
    let long = if share > 0.0 { (share.min(1.0) * 100.0).max(0.6) } else { 0.0 };
    Ok(format!(
        "<svg class=\"cell\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"ground\" width=\"100\" height=\"8\"/><rect class=\"{}\" width=\"{}\" height=\"8\"/></svg>",
        tone.class(),
        number::decimal(long, 2)
    ))
}

/// Labels take what they need, at most two fifths.
fn label_room<'a>(labels: impl Iterator<Item = &'a str>, width: f64) -> f64 {
    let widest = labels.map(|l| width_of(l, LETTERS)).fold(0.0, f64::max);
    (widest + 10.0).min(width * 0.4)
}
