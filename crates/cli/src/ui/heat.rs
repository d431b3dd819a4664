//! Values in a grid, as blocks of a terminal and as a picture.

use super::curve::Curve;
use super::text::COLUMNS;

/// Rows of one length.
pub struct Heat {
    pub title: String,
    /// What a column is.
    pub across: String,
    pub rows: Vec<Row>,
}

pub struct Row {
    pub name: String,
    /// None: nothing there.
    pub values: Vec<Option<f64>>,
}

pub(super) const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns for a row's name.
const NAME: usize = 13;
/// Pixels.
const CELL: usize = 18;
pub(super) const LABEL: usize = 110;
pub(super) const LINE: usize = 22;
/// The widest letters of a caption, which is set in bold.
const LETTER: usize = 8;

impl Heat {
    fn most(&self) -> f64 {
        self.rows.iter().flat_map(|r| r.values.iter().flatten()).copied().fold(0.0, f64::max)
    }

    fn width(&self) -> usize {
        self.rows.iter().map(|r| r.values.len()).max().unwrap_or(0)
    }

    /// A block a value, its height against the largest; where a line is too short for all, neighbours share a block, which
    /// shows the larger.
    pub fn text(&self) -> String {
        let (most, width) = (self.most(), self.width());
        let together = width.div_ceil(COLUMNS - NAME).max(1);
        let each = if together > 1 { format!(", {together} to a block") } else { String::new() };
        let mut text = format!(
            "\n{} by {} 0 to {}{each}; the highest block is {most:.3}\n",
            self.title,
            self.across,
            width.saturating_sub(1)
        );
        for row in &self.rows {
            let blocks = row.values.chunks(together).map(|values| {
                let value =
                    values.iter().flatten().copied().fold(None, |m: Option<f64>, v| Some(m.map_or(v, |m| m.max(v))));
                value.map_or(' ', |v| BLOCKS[level(v, most, BLOCKS.len())])
            });
            text.push_str(&format!("{:<NAME$}{}\n", row.name, blocks.collect::<String>().trim_end()));
        }
        text
    }

    /// Several below one another, each with its scale, and a curve below these.
    pub fn svg(maps: &[Heat], curve: Option<&Curve>) -> String {
        let cells = LABEL + 20 + CELL * maps.iter().map(Heat::width).max().unwrap_or(0).max(16);
        let captions = maps.iter().map(Heat::caption).chain(curve.and_then(Curve::caption));
        let width = captions.map(|text| 20 + LETTER * text.chars().count()).fold(cells, usize::max);
        let heights = maps.iter().map(|m| 3 * LINE + CELL * m.rows.len());
        let height = 20 + heights.clone().sum::<usize>() + curve.map_or(0, Curve::height);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        let mut top = 10;
        for (map, height) in maps.iter().zip(heights) {
            map.draw(top, &mut out);
            top += height;
        }
        if let Some(curve) = curve {
            curve.draw(top, width, &mut out);
        }
        out.push_str("</svg>\n");
        out
    }

    fn caption(&self) -> String {
        format!("{} by {}; darkest: {:.4}", self.title, self.across, self.most())
    }

    fn draw(&self, top: usize, out: &mut String) {
        let most = self.most();
        let caption = escaped(&self.caption());
        out.push_str(&format!("<text x=\"10\" y=\"{}\" font-weight=\"600\">{caption}</text>\n", top + 16));
        let first = top + LINE;
        for (i, row) in self.rows.iter().enumerate() {
            let y = first + i * CELL;
            let name = escaped(&row.name);
            out.push_str(&format!("<text x=\"10\" y=\"{}\">{name}</text>\n", y + CELL - 5));
            for (column, value) in row.values.iter().enumerate().filter_map(|(c, v)| Some((c, (*v)?))) {
                let (x, size) = (LABEL + column * CELL, CELL - 1);
                let share = if most > 0.0 { value / most } else { 0.0 };
                out.push_str(&format!(
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{size}\" height=\"{size}\" fill=\"{}\"><title>{name}, {} {column}: \
                     {value:.4}</title></rect>\n",
                    colour(share),
                    escaped(&self.across),
                ));
            }
        }
        let below = first + self.rows.len() * CELL + 14;
        for column in (0..self.width()).step_by(5) {
            let x = LABEL + column * CELL + CELL / 2;
            out.push_str(&format!(
                "<text x=\"{x}\" y=\"{below}\" text-anchor=\"middle\" fill=\"#666\">{column}</text>\n"
            ));
        }
    }
}

pub(super) fn level(value: f64, most: f64, levels: usize) -> usize {
    if most > 0.0 { ((value / most * levels as f64) as usize).min(levels - 1) } else { 0 }
}

/// From nearly white to a dark blue, darker evenly.
fn colour(share: f64) -> String {
    let between = |from: f64, to: f64| (from + (to - from) * share.clamp(0.0, 1.0)).round() as u8;
    format!("#{:02x}{:02x}{:02x}", between(240.0, 8.0), between(245.0, 48.0), between(252.0, 107.0))
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: usize) -> Heat {
        let values = (0..width).map(|i| Some(i as f64)).collect();
        let none = vec![None; width];
        let row = |name: &str, values| Row { name: name.into(), values };
        Heat { title: "a < b".into(), across: "layer".into(), rows: vec![row("up", values), row("no & ne", none)] }
    }

    #[test]
    fn a_line_fits_the_terminal_whatever_the_depth() {
        for width in [1, 8, 67, 68, 126, 1000] {
            let text = map(width).text();
            assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
            assert!(text.contains('█') || width == 1, "{text}");
        }
        assert!(map(8).text().ends_with("up           ▁▂▃▄▅▆▇█\nno & ne      \n"), "{}", map(8).text());
    }

    #[test]
    fn a_picture_is_as_wide_as_its_captions() {
        let curve =
            Curve { title: "a long name of what is counted in all of the modules".into(), points: vec![(1, 2.0)] };
        let width = |svg: &str| svg.split("width=\"").nth(1)?.split('"').next()?.parse::<usize>().ok();
        let (narrow, wide) = (Heat::svg(&[map(1)], None), Heat::svg(&[map(1)], Some(&curve)));
        assert!(width(&narrow).unwrap() >= LABEL + CELL);
        assert!(width(&wide).unwrap() > LETTER * curve.caption().unwrap().chars().count());
    }

    #[test]
    fn a_picture_is_sound_xml_with_a_cell_for_each_value() {
        let svg = Heat::svg(&[map(8), map(3)], None);
        assert_eq!(svg.matches("<title>").count(), 11);
        assert!(svg.contains("a &lt; b") && svg.contains("no &amp; ne") && !svg.contains("a < b"));
        assert!(svg.contains(&colour(1.0)) && svg.contains(&colour(0.0)));
    }
}
