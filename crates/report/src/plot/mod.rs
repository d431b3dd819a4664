//! Plots as SVG: data in, a string out. They take their colours from the page they stand in, by the classes of `Tone`, and hold no
//! scripts, styles or references outside themselves.

mod axis;
mod bars;
mod clusters;
mod dumbbells;
mod histogram;
mod matrix;
mod spark;
mod sunburst;

pub use bars::{Bar, Segment, Stack, bars, cell, stacked};
pub use clusters::{Cluster, clusters};
pub use dumbbells::{Dumbbell, Point, dumbbells};
pub use histogram::{Histogram, Mark, Scale, Spread, histogram};
pub use matrix::{Matrix, matrix};
pub use spark::sparkline;
pub use sunburst::{Slice, sunburst};

use std::fmt;

use crate::Language;
use crate::html::escape;
use unicode_width::UnicodeWidthStr;

/// Where a plot is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Canvas<'a> {
    /// Pixels; the height follows from the data. A page that is narrower draws a plot anew, as scaled letters are too small.
    pub width: f64,
    /// What the plot shows, in words, for those who cannot see it.
    pub title: &'a str,
    pub language: Language,
}

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Data,
    /// Data that is less than what it stands beside.
    Soft,
    Muted,
    Good,
    Blocks,
    Harmful,
    /// Of things without an order: 0 to 5, from then on muted.
    Series(usize),
    /// Of six things in an order, from 0.
    Level(usize),
}

impl Tone {
    pub fn class(self) -> &'static str {
        const SERIES: [&str; 6] = ["s0", "s1", "s2", "s3", "s4", "s5"];
        const LEVELS: [&str; 6] = ["l0", "l1", "l2", "l3", "l4", "l5"];
        match self {
            Tone::Data => "t-data",
            Tone::Soft => "t-soft",
            Tone::Muted => "t-muted",
            Tone::Good => "t-good",
            Tone::Blocks => "t-blocks",
            Tone::Harmful => "t-harmful",
            Tone::Series(i) => SERIES.get(i).copied().unwrap_or("t-muted"),
            Tone::Level(i) => LEVELS.get(i).copied().unwrap_or("t-muted"),
        }
    }
}

/// Why there is no plot.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// NaN or infinity would move everything else off the picture.
    NotFinite {
        what: &'static str,
    },
    Negative {
        what: &'static str,
    },
    /// Edges that do not ascend.
    EdgesUnordered,
    /// There is one edge more than counts.
    EdgesUnmatched {
        edges: usize,
        counts: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotFinite { what } => write!(f, "{what} must be finite numbers"),
            Error::Negative { what } => write!(f, "{what} must not be negative"),
            Error::EdgesUnordered => write!(f, "edges must ascend"),
            Error::EdgesUnmatched { edges, counts } => {
                write!(f, "{counts} counts need {} edges, got {edges}", counts.saturating_add(1))
            }
        }
    }
}

impl std::error::Error for Error {}

/// Pixels of the letters of labels.
pub(crate) const LETTERS: f64 = 12.0;

/// Amounts: finite, not negative.
fn check(what: &'static str, values: impl IntoIterator<Item = f64>) -> Result<(), Error> {
    for value in values {
        if !value.is_finite() {
            return Err(Error::NotFinite { what });
        }
        if value < 0.0 {
            return Err(Error::Negative { what });
        }
    }
    Ok(())
}

/// How a picture is read aloud.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// As a whole, by its title.
    Picture,
    /// Its parts are links.
    Group,
}

fn open(canvas: &Canvas, height: f64, role: Role) -> String {
    let role = if role == Role::Picture { "img" } else { "group" };
    format!(
        "<svg class=\"plot\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"{role}\" aria-label=\"{title}\">",
        w = pixels(canvas.width),
        h = pixels(height),
        title = escape(canvas.title)
    )
}

/// Coordinates need no more than tenths of a pixel.
fn pixels(x: f64) -> String {
    crate::number::decimal(x, 1)
}

fn text(class: &str, x: f64, y: f64, anchor: &str, words: &str) -> String {
    format!(
        "<text class=\"{class}\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
        pixels(x),
        pixels(y),
        escape(words)
    )
}

fn rect(class: &str, x: f64, y: f64, width: f64, height: f64, title: &str) -> String {
    let title = if title.is_empty() { String::new() } else { format!("<title>{}</title>", escape(title)) };
    format!(
        "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\">{title}</rect>",
        pixels(x),
        pixels(y),
        pixels(width.max(0.0)),
        pixels(height.max(0.0))
    )
}

fn line(class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> String {
    let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(pixels);
    format!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>")
}

/// Pixels that a label takes: an estimate on the large side, as the reader's fonts are not known.
fn width_of(words: &str, letters: f64) -> f64 {
    words.width() as f64 * letters * 0.56
}

/// As much of a label as fits, with a mark that there was more; nothing where not even two letters fit.
fn fit(words: &str, room: f64, letters: f64) -> String {
    if width_of(words, letters) <= room {
        return words.to_string();
    }
    let mut kept = String::new();
    for c in words.chars() {
        kept.push(c);
        if width_of(&kept, letters) + letters * 0.56 > room {
            kept.pop();
            break;
        }
    }
    let kept = kept.trim_end();
    if kept.chars().count() < 2 { String::new() } else { format!("{kept}…") }
}

/// `part` of `whole`, 0 of nothing.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 }
}
