//! What was before and what is after, each with its interval, on one axis.

use super::{Canvas, Error, LETTERS, Role, Scale, Tone, axis, fit, line, open, pixels, ratio, rect, text, width_of};
use crate::number;

/// A value and the ends of its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

pub struct Dumbbell<'a> {
    pub label: &'a str,
    pub before: Option<Point>,
    pub after: Option<Point>,
    /// What stands beside it: the values as they are to be read.
    pub note: &'a str,
    /// `Good` is drawn as a circle, `Blocks` as a square, anything else as a ring: colour alone says nothing.
    pub tone: Tone,
}

/// Of a row whose label stands beside it, and of one whose label stands above.
const ROW: f64 = 34.0;
const ROW_STACKED: f64 = 56.0;
/// Narrower, labels stand above.
const STACKED_BELOW: f64 = 500.0;
const RADIUS: f64 = 5.0;
/// Below the rows: ticks and their labels.
const FOOT: f64 = 24.0;
/// Of the axis, what its ends leave free for circles and labels of ticks.
const MARGIN: f64 = 14.0;

/// Where things stand.
struct Frame {
    left: f64,
    right: f64,
    /// Of the values, in the scale's unit.
    low: f64,
    high: f64,
    scale: Scale,
    stacked: bool,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        let at = axis::position(self.scale, value) - self.low;
        self.left + MARGIN + (self.right - self.left - 2.0 * MARGIN) * ratio(at, self.high - self.low)
    }
}

/// One row each, the axis below. A linear axis begins at 0 unless all values are far from it.
pub fn dumbbells(data: &[Dumbbell], scale: Scale, canvas: &Canvas) -> Result<String, Error> {
    let points = || data.iter().flat_map(|d| [d.before, d.after]).flatten();
    let values: Vec<f64> = points().flat_map(|p| [p.value, p.low, p.high]).collect();
    if values.iter().any(|x| !x.is_finite()) {
        return Err(Error::NotFinite { what: "values and their intervals" });
    }
    let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
    let (low, high) = domain(scale, least, most);
    let stacked = canvas.width < STACKED_BELOW;
    let room = |words: &dyn Fn(&Dumbbell) -> f64, share: f64| {
        data.iter().map(words).fold(0.0, f64::max).min(canvas.width * share)
    };
    let (left, right) = match stacked {
        true => (0.0, canvas.width),
        false => {
            let left = room(&|d| width_of(d.label, LETTERS) + 10.0, 0.3);
            (left, canvas.width - room(&|d| width_of(d.note, LETTERS) + 12.0, 0.28))
        }
    };
    let unit = |x| axis::position(scale, x);
    let frame = Frame { left, right, low: unit(low), high: unit(high), scale, stacked };
    let row = if stacked { ROW_STACKED } else { ROW };
    let end = row * data.len() as f64;
    let mut out = open(canvas, end + FOOT, Role::Picture);
    for tick in axis::ticks(scale, (low, high), if stacked { 4 } else { 7 }) {
        let x = frame.x(tick);
        out.push_str(&line("grid", (x, 0.0), (x, end)));
        out.push_str(&text("tick", x, end + 16.0, "middle", &number::short(tick, canvas.language)));
    }
    for (i, dumbbell) in data.iter().enumerate() {
        out.push_str(&one(dumbbell, row * i as f64, &frame, canvas.width));
    }
    out.push_str("</svg>");
    Ok(out)
}

fn one(d: &Dumbbell, top: f64, frame: &Frame, width: f64) -> String {
    let mut out = String::new();
    let y = match frame.stacked {
        true => {
            let room = width - width_of(d.note, LETTERS) - 10.0;
            out.push_str(&text("label", 0.0, top + 14.0, "start", &fit(d.label, room, LETTERS)));
            out.push_str(&text("note", width, top + 14.0, "end", d.note));
            top + 35.0
        }
        false => {
            let (y, room) = (top + ROW / 2.0, frame.left - 10.0);
            out.push_str(&text("label", room, y + 4.0, "end", &fit(d.label, room, LETTERS)));
            out.push_str(&text("note", frame.right + 12.0, y + 4.0, "start", d.note));
            y
        }
    };
    if let (Some(before), Some(after)) = (d.before, d.after) {
        let (a, b) = (frame.x(before.value), frame.x(after.value));
        let title = format!("{}: {}", d.label, d.note);
        out.push_str(&rect("t-muted", a.min(b), y - 1.5, (b - a).abs(), 3.0, &title));
    }
    if let Some(before) = d.before {
        out.push_str(&whisker("before", before, y - 9.0, frame));
        out.push_str(&circle("ring before", frame.x(before.value), y, RADIUS));
    }
    if let Some(after) = d.after {
        let (class, x) = (d.tone.class(), frame.x(after.value));
        out.push_str(&whisker(class, after, y + 9.0, frame));
        out.push_str(&match d.tone {
            Tone::Good => circle(class, x, y, RADIUS + 1.0),
            Tone::Blocks => rect(class, x - RADIUS, y - RADIUS, 2.0 * RADIUS, 2.0 * RADIUS, ""),
            _ => circle(&format!("ring {class}"), x, y, RADIUS),
        });
    }
    out
}

/// The interval, with ends.
fn whisker(class: &str, p: Point, y: f64, frame: &Frame) -> String {
    let (a, b) = (frame.x(p.low), frame.x(p.high));
    let class = format!("whisker {class}");
    [((a, y), (b, y)), ((a, y - 2.5), (a, y + 2.5)), ((b, y - 2.5), (b, y + 2.5))]
        .map(|(from, to)| line(&class, from, to))
        .concat()
}

fn circle(class: &str, x: f64, y: f64, radius: f64) -> String {
    format!("<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"{}\"/>", pixels(x), pixels(y), pixels(radius))
}

/// From where to where the axis goes.
fn domain(scale: Scale, least: f64, most: f64) -> (f64, f64) {
    let far = (most - least).max(0.0);
    match scale {
        _ if least > most => (0.0, 1.0),
        Scale::Log => (least, if far > 0.0 { most } else { least + 1.0 }),
        Scale::Linear if least >= 0.0 && least <= far.max(1e-9) => (0.0, if most > 0.0 { most } else { 1.0 }),
        Scale::Linear => {
            let pad = if far > 0.0 { far * 0.1 } else { least.abs() * 0.1 };
            (least - pad, most + pad)
        }
    }
}
