//! How many there are of each size.

use super::axis::{position, round_steps, ticks};
use super::{Canvas, Error, LETTERS, Role, Tone, check, line, open, ratio, rect, text, width_of};
use crate::number;

pub struct Histogram<'a> {
    /// Ascending; one more than counts.
    pub edges: &'a [f64],
    pub counts: &'a [f64],
    pub scale: Scale,
    /// The part of the axis that is drawn; None: where something is.
    pub domain: Option<(f64, f64)>,
    pub marks: &'a [Mark<'a>],
    pub spread: Option<Spread>,
    /// Pixels of the highest bar.
    pub height: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    Linear,
    /// Of whole numbers; 0 has a place.
    Log,
}

/// A line at a value.
pub struct Mark<'a> {
    pub at: f64,
    pub label: &'a str,
}

/// Quantiles, drawn below the axis.
#[derive(Clone, Copy)]
pub struct Spread {
    pub p5: f64,
    pub p25: f64,
    pub p50: f64,
    pub p75: f64,
    pub p95: f64,
}

const LEFT: f64 = 44.0;
const RIGHT: f64 = 12.0;
const SPREAD: f64 = 14.0;
const LABELS: f64 = 22.0;

/// A bar's height is its count over its width, as the width of bins differs (whole numbers on a log scale), times the usual width; so
/// areas tell the truth. Exact counts are in the titles.
pub fn histogram(data: &Histogram, canvas: &Canvas) -> Result<String, Error> {
    validate(data)?;
    let (low, high) = data.domain.unwrap_or_else(|| occupied(data));
    let (from, to) = (position(data.scale, low), position(data.scale, high));
    let room = canvas.width - LEFT - RIGHT;
    let x = |value: f64| LEFT + room * ratio(position(data.scale, value) - from, to - from);
    let top = if data.marks.is_empty() { 8.0 } else { 20.0 };
    let base = top + data.height;
    let below = if data.spread.is_some() { SPREAD } else { 0.0 };
    let mut out = open(canvas, base + below + LABELS, Role::Picture);

    let bins = densities(data);
    let most = bins.iter().copied().fold(0.0, f64::max);
    let steps = round_steps(most, if data.height < 100.0 { 3 } else { 4 });
    let highest = steps.last().copied().unwrap_or(0.0).min(most * 1.15);
    for step in steps.iter().filter(|s| **s <= highest) {
        let y = base - data.height * ratio(*step, highest);
        out.push_str(&line(if *step > 0.0 { "grid" } else { "axis" }, (LEFT, y), (LEFT + room, y)));
        out.push_str(&text("tick", LEFT - 6.0, y + 4.0, "end", &number::short(*step, canvas.language)));
    }
    let total: f64 = data.counts.iter().sum();
    for ((pair, count), density) in data.edges.windows(2).zip(data.counts).zip(&bins) {
        if *count > 0.0 {
            let (left, right) = (x(pair[0]), x(pair[1]));
            let gap = if right - left > 4.0 { 1.0 } else { 0.0 };
            // A single row among thousands is still to be seen.
            let height = (data.height * ratio(*density, highest)).max(1.0);
            let title = bin_title(data.scale, pair, *count, total);
            out.push_str(&rect(Tone::Data.class(), left, base - height, right - left - gap, height, &title));
        }
    }
    draw_marks(data, top, base, &x, LEFT + room, (low, high), &mut out);
    if let Some(spread) = &data.spread {
        draw_spread(spread, base + 8.0, &x, &mut out);
    }
    let mut free = f64::NEG_INFINITY;
    for tick in ticks(data.scale, (low, high), (room / 64.0) as usize) {
        let words = number::short(tick, canvas.language);
        let half = width_of(&words, LETTERS) / 2.0;
        if x(tick) - half > free {
            out.push_str(&text("tick", x(tick), base + below + 16.0, "middle", &words));
            free = x(tick) + half + 6.0;
        }
    }
    out.push_str("</svg>");
    Ok(out)
}

fn validate(data: &Histogram) -> Result<(), Error> {
    let (edges, counts) = (data.edges.len(), data.counts.len());
    // No bins at all is an empty plot.
    if edges != counts + 1 && (edges, counts) != (0, 0) {
        return Err(Error::EdgesUnmatched { edges, counts });
    }
    check("edges", data.edges.iter().copied())?;
    check("counts", data.counts.iter().copied())?;
    check("marks", data.marks.iter().map(|m| m.at))?;
    check("the domain", data.domain.iter().flat_map(|d| [d.0, d.1]))?;
    let spread = data.spread.iter().flat_map(|s| [s.p5, s.p25, s.p50, s.p75, s.p95]);
    check("quantiles", spread)?;
    if data.edges.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(Error::EdgesUnordered);
    }
    Ok(())
}

/// From the first bin that holds something to the last.
fn occupied(data: &Histogram) -> (f64, f64) {
    let first = data.counts.iter().position(|c| *c > 0.0);
    let last = data.counts.iter().rposition(|c| *c > 0.0);
    match (first, last) {
        (Some(first), Some(last)) => (data.edges[first], data.edges[last + 1]),
        _ => (0.0, 1.0),
    }
}

fn densities(data: &Histogram) -> Vec<f64> {
    let widths: Vec<f64> =
        data.edges.windows(2).map(|e| position(data.scale, e[1]) - position(data.scale, e[0])).collect();
    let usual = match data.scale {
        // Bins grow by a quarter of a doubling each.
        Scale::Log => 0.25,
        Scale::Linear => widths.iter().copied().fold(f64::INFINITY, f64::min),
    };
    data.counts.iter().zip(&widths).map(|(count, width)| count * (usual / width)).collect()
}

fn bin_title(scale: Scale, edges: &[f64], count: f64, total: f64) -> String {
    let range = match scale {
        Scale::Log if edges[1] - edges[0] <= 1.0 => number::decimal(edges[0], 0),
        Scale::Log => format!("{:.0}–{:.0}", edges[0], edges[1] - 1.0),
        Scale::Linear => format!("{}–{}", number::decimal(edges[0], 2), number::decimal(edges[1], 2)),
    };
    format!("{range}: {} ({})", number::count(count as u64), number::share(ratio(count, total)))
}

fn draw_marks(
    data: &Histogram,
    top: f64,
    base: f64,
    x: &dyn Fn(f64) -> f64,
    right: f64,
    (low, high): (f64, f64),
    out: &mut String,
) {
    let mut free = f64::NEG_INFINITY;
    for mark in data.marks.iter().filter(|m| m.at >= low && m.at <= high) {
        let at = x(mark.at);
        out.push_str(&line("mark", (at, top - 4.0), (at, base)));
        let width = width_of(mark.label, LETTERS);
        // At the right edge there is no room to the right of the middle.
        let middle = at.min(right - width / 2.0 + 8.0);
        if middle - width / 2.0 > free {
            out.push_str(&text("mark-label", middle, top - 8.0, "middle", mark.label));
            free = middle + width / 2.0 + 4.0;
        }
    }
}

fn draw_spread(spread: &Spread, y: f64, x: &dyn Fn(f64) -> f64, out: &mut String) {
    out.push_str(&line("spread", (x(spread.p5), y), (x(spread.p95), y)));
    out.push_str(&line("spread wide", (x(spread.p25), y), (x(spread.p75), y)));
    out.push_str(&format!("<circle class=\"spread-middle\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\"/>", x(spread.p50)));
}
