//! A course at the size of a word.

use super::{Canvas, Error, Role, open, pixels};

const HEIGHT: f64 = 28.0;

/// Equally spaced values between their least and greatest, the last one dotted. Values may be negative, as losses in logarithms are.
pub fn sparkline(values: &[f64], canvas: &Canvas) -> Result<String, Error> {
    if values.iter().any(|v| !v.is_finite()) {
        return Err(Error::NotFinite { what: "values" });
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut out = open(canvas, HEIGHT, Role::Picture);
    let points: Vec<(String, String)> = values
        .iter()
        .enumerate()
        .map(|(i, value)| {
            let x =
                4.0 + (canvas.width - 8.0) * if values.len() > 1 { i as f64 / (values.len() - 1) as f64 } else { 0.5 };
            // Halves, as the distance of the greatest doubles is not finite.
            let part = (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
            let part = if part.is_finite() { part } else { 0.5 };
            (pixels(x), pixels(4.0 + (HEIGHT - 8.0) * (1.0 - part)))
        })
        .collect();
    if points.len() > 1 {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
        out.push_str(&format!("<polyline class=\"course\" points=\"{}\"/>", path.join(" ")));
    }
    if let Some((x, y)) = points.last() {
        out.push_str(&format!("<circle class=\"course-end\" cx=\"{x}\" cy=\"{y}\" r=\"3\"/>"));
    }
    out.push_str("</svg>");
    Ok(out)
}
