//! A number by step, as blocks of a terminal and as a line of a picture.

use super::heat::{BLOCKS, LABEL, LINE, escaped, level};
use super::text::COLUMNS;

pub struct Curve {
    pub title: String,
    /// Step and value, in order of steps.
    pub points: Vec<(u64, f64)>,
}

/// Pixels.
const HEIGHT: usize = 90;

impl Curve {
    fn most(&self) -> f64 {
        self.points.iter().map(|(_, value)| *value).fold(0.0, f64::max)
    }

    /// From where to where it goes; nothing without a point.
    pub fn caption(&self) -> Option<String> {
        let ((first, from), (last, to)) = (self.points.first()?, self.points.last()?);
        Some(format!("{}: {from} after step {first}, {to} after step {last}", self.title))
    }

    /// A block a point, its height against the highest; where a line is too short for all, neighbours share a block, which
    /// shows the last.
    pub fn text(&self) -> String {
        let Some(caption) = self.caption() else { return String::new() };
        let together = self.points.len().div_ceil(COLUMNS).max(1);
        let shown = self.points.chunks(together).filter_map(<[_]>::last);
        let blocks: String = shown.map(|(_, value)| BLOCKS[level(*value, self.most(), BLOCKS.len())]).collect();
        format!("\n{caption}\n{blocks}\n")
    }

    /// Pixels that [`Curve::draw`] takes.
    pub fn height(&self) -> usize {
        HEIGHT + 3 * LINE
    }

    /// A line above 0, `width` pixels wide.
    pub fn draw(&self, top: usize, width: usize, out: &mut String) {
        let Some(caption) = self.caption() else { return };
        out.push_str(&format!("<text x=\"10\" y=\"{}\" font-weight=\"600\">{}</text>\n", top + 16, escaped(&caption)));
        let (first, last) = (self.points[0].0, self.points[self.points.len() - 1].0);
        let along = |step: u64| (step - first) as f64 / (last - first).max(1) as f64;
        let (left, bottom) = (LABEL as f64, (top + LINE + HEIGHT) as f64);
        let place = |(step, value): &(u64, f64)| {
            let share = if self.most() > 0.0 { value / self.most() } else { 0.0 };
            let x = left + along(*step) * (width as f64 - left - 20.0);
            format!("{x:.1},{:.1}", bottom - share * HEIGHT as f64)
        };
        let places = self.points.iter().map(place).collect::<Vec<_>>().join(" ");
        out.push_str(&format!(
            "<polyline points=\"{places}\" fill=\"none\" stroke=\"#08306b\" stroke-width=\"2\"/>\n\
             <text x=\"10\" y=\"{}\">{}</text>\n<text x=\"10\" y=\"{bottom}\">0</text>\n",
            top + LINE + 10,
            self.most()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn falling(n: u64) -> Curve {
        Curve { title: "a < b".into(), points: (1..=n).map(|step| (step, (2 * n - step) as f64)).collect() }
    }

    #[test]
    fn a_line_fits_the_terminal_however_long_the_run() {
        for n in [1, 2, 80, 81, 5000] {
            let text = falling(n).text();
            assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        }
        assert_eq!(falling(4).text(), "\na < b: 7 after step 1, 4 after step 4\n█▇▆▅\n");
        assert_eq!(Curve { title: "none".into(), points: Vec::new() }.text(), "");
    }

    #[test]
    fn the_line_stays_in_its_frame() {
        let (curve, mut out) = (falling(9), String::new());
        curve.draw(100, 400, &mut out);
        assert!(out.contains("a &lt; b"), "{out}");
        let points = out.split("points=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("points");
        let points: Vec<f64> = points.split([' ', ',']).map(|n| n.parse().expect("a number")).collect();
        assert_eq!(points.len(), 18);
        for pair in points.chunks(2) {
            assert!((110.0..=380.0).contains(&pair[0]) && (122.0..=212.0).contains(&pair[1]), "{pair:?}");
        }
        assert!(points[0] == 110.0 && points[16] == 380.0 && points[1] == 122.0, "{points:?}");
    }
}
