//! Groups as heaps of dots, a dot a row.

use super::{Canvas, Error, LETTERS, Role, fit, open, pixels, text};
use crate::html::escape;

pub struct Cluster<'a> {
    pub label: &'a str,
    pub note: &'a str,
    /// Dots.
    pub rows: u64,
    /// So many of them stay; None: there is no question of that.
    pub kept: Option<u64>,
    /// Where on the page its rows are: the name of an anchor, without `#`.
    pub anchor: &'a str,
}

/// More would be a blot.
const DOTS_MAX: u64 = 140;
const DOT: f64 = 3.0;
/// Of a heap, whose radius is this times the root of its dots.
const SPACING: f64 = 4.1;
/// The angle at which seeds of a sunflower follow each other: no gaps at any number.
const GOLDEN: f64 = 2.399_963_229_728_653;
const CELL: f64 = 112.0;

/// In the order given, in rows.
pub fn clusters(data: &[Cluster], canvas: &Canvas) -> Result<String, Error> {
    let across = ((canvas.width / CELL) as usize).max(1);
    let cell = canvas.width / across as f64;
    let heights: Vec<f64> =
        data.chunks(across).map(|row| heap(row.iter().map(|c| c.rows).max().unwrap_or(1)) * 2.0).collect();
    let labels = 46.0;
    let height = heights.iter().map(|h| h + labels).sum::<f64>().max(1.0);
    let mut out = open(canvas, height, Role::Group);
    let mut top = 0.0;
    for (row, tall) in data.chunks(across).zip(&heights) {
        for (i, cluster) in row.iter().enumerate() {
            let x = cell * (i as f64 + 0.5);
            // Heaps stand on one line.
            let y = top + tall - heap(cluster.rows);
            let title = format!("{}: {}", cluster.label, cluster.note);
            out.push_str(&format!("<a href=\"#{}\"><title>{}</title>", escape(cluster.anchor), escape(&title)));
            draw(cluster, x, y, &mut out);
            let room = cell - 4.0;
            out.push_str(&text("label", x, top + tall + 16.0, "middle", &fit(cluster.label, room, LETTERS)));
            out.push_str(&text("tick", x, top + tall + 31.0, "middle", &fit(cluster.note, room, LETTERS)));
            out.push_str("</a>");
        }
        top += tall + labels;
    }
    out.push_str("</svg>");
    Ok(out)
}

fn draw(cluster: &Cluster, x: f64, y: f64, out: &mut String) {
    let shown = cluster.rows.min(DOTS_MAX);
    for i in 0..shown {
        let (radius, angle) = (SPACING * (i as f64).sqrt(), GOLDEN * i as f64);
        let class = match cluster.kept {
            None => "whole",
            Some(kept) if i < kept => "keep",
            Some(_) => "drop",
        };
        out.push_str(&format!(
            "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"{DOT}\"/>",
            pixels(x + radius * angle.cos()),
            pixels(y + radius * angle.sin())
        ));
    }
}

/// Radius of a heap.
fn heap(rows: u64) -> f64 {
    SPACING * (rows.clamp(1, DOTS_MAX) as f64).sqrt() + DOT + 1.0
}
