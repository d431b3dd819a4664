//! Amounts of pairs: what was, by row, and what was taken for it, by column.

use super::{Canvas, Error, LETTERS, Role, check, fit, open, ratio, rect, text, width_of};
use crate::number;

pub struct Matrix<'a> {
    pub rows: &'a [String],
    pub columns: &'a [String],
    /// [row, column, amount]; what is not named is 0.
    pub cells: &'a [(usize, usize, f64)],
}

const CELL: f64 = 30.0;

/// Colours say the share of the row, numbers the amounts. Columns are numbered, as their names would not fit.
pub fn matrix(m: &Matrix, canvas: &Canvas) -> Result<String, Error> {
    check("amounts", m.cells.iter().map(|c| c.2))?;
    let label = |i: usize, name: &str| format!("{} {name}", i + 1);
    let widest = m.rows.iter().enumerate().map(|(i, n)| width_of(&label(i, n), LETTERS)).fold(0.0, f64::max);
    let left = (widest + 10.0).min(canvas.width * 0.45);
    let wide = ((canvas.width - left) / m.columns.len().max(1) as f64).min(2.0 * CELL);
    let mut out = open(canvas, CELL * (m.rows.len() + 1) as f64, Role::Picture);
    for (j, name) in m.columns.iter().enumerate() {
        let x = left + wide * (j as f64 + 0.5);
        // What has no row of its own is said by a dash.
        let head = if j < m.rows.len() { (j + 1).to_string() } else { name.chars().take(1).collect() };
        out.push_str(&text("tick", x, CELL * 0.65, "middle", &head));
    }
    for (i, name) in m.rows.iter().enumerate() {
        let y = CELL * (i + 1) as f64;
        let words = fit(&label(i, name), left - 10.0, LETTERS);
        out.push_str(&text("label", left - 10.0, y + CELL * 0.65, "end", &words));
        let total: f64 = m.cells.iter().filter(|c| c.0 == i).map(|c| c.2).sum();
        for (j, column) in m.columns.iter().enumerate() {
            let amount: f64 = m.cells.iter().filter(|c| (c.0, c.1) == (i, j)).map(|c| c.2).sum();
            let share = ratio(amount, total);
            let level = (share * 6.0).ceil().clamp(0.0, 6.0) as usize;
            let class = if level == 0 { "ground".to_string() } else { format!("l{}", level - 1) };
            let (x, count) = (left + wide * j as f64, number::count(amount as u64));
            let title = format!("{name} → {column}: {count} ({})", number::share(share));
            out.push_str(&rect(&class, x + 0.5, y + 0.5, wide - 1.0, CELL - 1.0, &title));
            if amount > 0.0 && width_of(&count, LETTERS) <= wide {
                let class = format!("inside {class}");
                out.push_str(&text(&class, x + wide / 2.0, y + CELL * 0.65, "middle", &count));
            }
        }
    }
    out.push_str("</svg>");
    Ok(out)
}
