//! Two rings: what there is, and what it is made of.

use std::f64::consts::{PI, TAU};

use super::{Canvas, Error, Role, Tone, check, fit, open, pixels, ratio, text};
use crate::html::escape;
use crate::number;

#[derive(Clone, Debug)]
pub struct Slice<'a> {
    pub label: &'a str,
    pub value: f64,
    pub tone: Tone,
    /// The parts that are named; what they lack of `value` stays an empty arc.
    pub children: Vec<Slice<'a>>,
}

const LETTERS_INNER: f64 = 12.5;
const LETTERS_OUTER: f64 = 11.0;
/// Of the radius.
const HOLE: f64 = 0.27;
const RING: f64 = 0.62;

/// Clockwise from the top in the order given; children have their parent's tone. `middle` is a large and a small line in the hole.
pub fn sunburst(slices: &[Slice], middle: (&str, &str), canvas: &Canvas) -> Result<String, Error> {
    let children = slices.iter().flat_map(|s| s.children.iter().map(|c| c.value));
    check("values", slices.iter().map(|s| s.value).chain(children))?;
    let total: f64 = slices.iter().map(|s| s.value).sum();
    let radius = canvas.width / 2.0;
    let mut out = open(canvas, canvas.width, Role::Picture);
    let mut from = 0.0;
    for slice in slices.iter().filter(|s| s.value > 0.0) {
        let to = from + TAU * ratio(slice.value, total);
        let title = format!("{}: {}", slice.label, number::count(slice.value as u64));
        let inner = Arc { from, to, near: HOLE * radius, far: RING * radius, center: radius };
        inner.draw(slice.tone.class(), &title, &mut out);
        inner.label(&format!("inside {}", slice.tone.class()), slice.label, LETTERS_INNER, &mut out);
        // Where children sum to more than their parent, they share what it has.
        let named: f64 = slice.children.iter().map(|c| c.value).sum();
        let whole = slice.value.max(named);
        let mut start = from;
        for child in slice.children.iter().filter(|c| c.value > 0.0) {
            let end = start + (to - from) * ratio(child.value, whole);
            let title = format!("{} · {}: {}", slice.label, child.label, number::count(child.value as u64));
            let outer = Arc { from: start, to: end, near: RING * radius, far: radius - 1.0, center: radius };
            outer.draw(&format!("outer {}", slice.tone.class()), &title, &mut out);
            outer.label("outer-label", child.label, LETTERS_OUTER, &mut out);
            start = end;
        }
        if start < to - 1e-9 {
            let rest = Arc { from: start, to, near: RING * radius, far: radius - 1.0, center: radius };
            let title = format!("{} · …: {}", slice.label, number::count((slice.value - named).max(0.0) as u64));
            rest.draw("rest", &title, &mut out);
        }
        from = to;
    }
    if total <= 0.0 {
        let r = pixels(radius * RING);
        out.push_str(&format!("<circle class=\"empty\" cx=\"{0}\" cy=\"{0}\" r=\"{r}\"/>", pixels(radius)));
    }
    out.push_str(&text("middle", radius, radius + 2.0, "middle", middle.0));
    out.push_str(&text("middle-note", radius, radius + 18.0, "middle", middle.1));
    out.push_str("</svg>");
    Ok(out)
}

/// Angles clockwise from the top.
struct Arc {
    from: f64,
    to: f64,
    near: f64,
    far: f64,
    center: f64,
}

impl Arc {
    fn draw(&self, class: &str, title: &str, out: &mut String) {
        // An arc whose ends meet would be drawn as nothing.
        let to = self.to.min(self.from + TAU * 0.9999);
        let large = u8::from(to - self.from > PI);
        let [a, b, c, d] = [(self.near, self.from), (self.far, self.from), (self.far, to), (self.near, to)]
            .map(|(r, at)| self.at(r, at));
        out.push_str(&format!(
            "<path class=\"{class}\" d=\"M{a}L{b}A{far} {far} 0 {large} 1 {c}L{d}A{near} {near} 0 {large} 0 {a}Z\">\
             <title>{title}</title></path>",
            far = pixels(self.far),
            near = pixels(self.near),
            title = escape(title)
        ));
    }

    /// Along the radius, read from the left; left out where the arc is thinner than its letters.
    fn label(&self, class: &str, words: &str, letters: f64, out: &mut String) {
        let radius = (self.near + self.far) / 2.0;
        if (self.to - self.from) * (self.near + (self.far - self.near) * 0.3) < letters * 1.05 {
            return;
        }
        let words = fit(words, self.far - self.near - 8.0, letters);
        if words.is_empty() {
            return;
        }
        let angle = (self.from + self.to) / 2.0;
        let turned = angle.to_degrees() - 90.0;
        let turned = if angle > PI { turned + 180.0 } else { turned };
        let (x, y) = self.point(radius, angle);
        out.push_str(&format!(
            "<text class=\"{class}\" transform=\"translate({} {}) rotate({})\" text-anchor=\"middle\" dy=\"0.36em\" \
             font-size=\"{letters}\">{}</text>",
            pixels(x),
            pixels(y),
            pixels(turned),
            escape(&words)
        ));
    }

    fn point(&self, radius: f64, angle: f64) -> (f64, f64) {
        (self.center + radius * angle.sin(), self.center - radius * angle.cos())
    }

    fn at(&self, radius: f64, angle: f64) -> String {
        let (x, y) = self.point(radius, angle);
        format!("{x:.2} {y:.2}")
    }
}
