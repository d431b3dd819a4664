//! What every page has: its frame, its sections, and how they say what a record holds.

use std::collections::HashMap;

use serde_json::Value;

use crate::html::escape;
use crate::json::{list, number, string, whole};
use crate::number::{self as numbers, UNKNOWN};
use crate::plot::{self, Canvas};
use crate::text::{self, Text};
use crate::{Language, kinds};

const STYLE: &str = include_str!("assets/page.css");
const SCRIPT: &str = include_str!("assets/page.js");
/// Of `SCRIPT`, so that nothing else runs, whatever stands in the data. A test computes it anew.
const SCRIPT_HASH: &str = "sha256-JuRhjHHbTrBNhM4ScCPyn3D8JIMGO3dvX15Fm6W5/rs=";

pub struct Context<'a> {
    pub record: &'a Value,
    pub language: Language,
    /// Rows that the page can show, by place: their number among the samples.
    samples: HashMap<(&'a str, u64), usize>,
}

/// A part of the page.
pub struct Section {
    pub id: &'static str,
    pub title: Text,
    /// The worst of what was found; None: nothing.
    pub harm: Option<Harm>,
    pub body: Body,
}

pub enum Body {
    Html(String),
    /// Says why.
    NotMeasured(Text),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    Note,
    Look,
    Harmful,
    Blocks,
}

/// Characters of an excerpt in a summary.
const START_MAX: usize = 80;
/// Pixels of plots: of a wide page, and of a narrow one.
pub const WIDE: f64 = 820.0;
pub const NARROW: f64 = 340.0;

/// A file that needs no network; `title` and what is to be known at once, as they are in a browser's list of tabs.
pub fn frame(c: &Context, (title, verdict): (Text, &str), header: &str, sections: &[Section], footer: &str) -> String {
    let mut out = open(c, title, verdict);
    out.push_str(header);
    out.push_str(&format!("<div class=\"columns\">{}<main id=\"main\">", navigation(c, sections)));
    for section in sections {
        out.push_str(&section.html(c));
    }
    out.push_str(&format!("<footer>{}</footer></main></div><script>{SCRIPT}</script></body></html>\n", escape(footer)));
    out
}

fn open(c: &Context, title: Text, verdict: &str) -> String {
    let code = if c.language == Language::English { "en" } else { "zh-CN" };
    format!(
        "<!doctype html>\n<html lang=\"{code}\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src '{SCRIPT_HASH}'; base-uri 'none'; form-action 'none'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"referrer\" content=\"no-referrer\">\
         <title>{title} · {verdict}</title><style>{STYLE}</style></head><body>\
         <a class=\"skip\" href=\"#main\">{skip}</a>",
        title = c.t(title),
        verdict = escape(verdict),
        skip = c.t(text::SKIP),
    )
}

fn navigation(c: &Context, sections: &[Section]) -> String {
    let links: String = sections
        .iter()
        .map(|s| {
            let marker = s.harm.map_or(String::new(), |h| h.marker());
            format!("<li><a href=\"#{}\">{}{marker}</a></li>", s.id, c.t(s.title))
        })
        .collect();
    format!("<nav aria-label=\"{0}\"><ol>{links}</ol></nav>", c.t(text::CONTENTS))
}

impl<'a> Context<'a> {
    pub fn new(record: &'a Value, language: Language) -> Context<'a> {
        let mut samples = HashMap::new();
        for (i, sample) in list(&record["samples"]).iter().enumerate() {
            if let Some(line) = whole(&sample["line"]) {
                samples.entry((string(&sample["file"]), line)).or_insert(i);
            }
        }
        Context { record, language, samples }
    }

    pub fn t(&self, text: Text) -> &'static str {
        text.of(self.language)
    }

    /// Between the things of a list.
    pub fn comma(&self) -> &'static str {
        if self.language == Language::English { ", " } else { "、" }
    }

    /// Sentences one after the other.
    pub fn sentences(&self, said: &[String]) -> String {
        said.join(if self.language == Language::English { " " } else { "" })
    }

    /// A text with values, as HTML.
    pub fn with(&self, text: Text, values: &[(&str, &str)]) -> String {
        escape(&text.with(self.language, values))
    }

    pub fn rows(&self, value: &Value) -> String {
        whole(value).map_or_else(|| UNKNOWN.to_string(), |n| text::rows(n, self.language))
    }

    pub fn count(&self, value: &Value) -> String {
        whole(value).map_or_else(|| UNKNOWN.to_string(), numbers::count)
    }

    pub fn share(&self, value: &Value) -> String {
        number(value).map_or_else(|| UNKNOWN.to_string(), numbers::share)
    }

    pub fn decimal(&self, value: &Value, places: usize) -> String {
        number(value).map_or_else(|| UNKNOWN.to_string(), |x| numbers::decimal(x, places))
    }

    /// The same as a cell of a table.
    pub fn share_cell(&self, value: &Value) -> String {
        escape(&self.share(value))
    }

    /// Two places, for numbers below one another.
    pub fn fixed(&self, value: &Value) -> String {
        number(value).map_or_else(|| UNKNOWN.to_string(), |x| format!("{x:.2}"))
    }

    /// Of anything that is one word.
    pub fn string_of(&self, value: &Value) -> String {
        match value {
            Value::String(s) => s.clone(),
            Value::Number(n) => n.to_string(),
            _ => UNKNOWN.to_string(),
        }
    }

    pub fn kind(&self, check: &str, kind: &str) -> String {
        escape(&kinds::name(check, kind, self.language))
    }

    pub fn part(&self, name: &str) -> String {
        match name {
            "instruction" => self.t(text::INSTRUCTION).to_string(),
            "response" => self.t(text::RESPONSE).to_string(),
            "whole" => self.t(text::WHOLE).to_string(),
            other => other.to_string(),
        }
    }

    /// `file:line`: a link where the row is on the page, else a text to copy.
    pub fn place(&self, place: &Value) -> String {
        let (file, line) = (string(&place["file"]), whole(&place["line"]).unwrap_or(0));
        self.place_as(file, line, &format!("{file}:{line}"))
    }

    /// The same, as `words`.
    pub fn place_as(&self, file: &str, line: u64, words: &str) -> String {
        let (words, whole) = (escape(words), escape(&format!("{file}:{line}")));
        match self.samples.get(&(file, line)) {
            Some(i) => format!("<a class=\"place\" href=\"#row-{i}\">{words}</a>"),
            None => format!("<span class=\"place\" data-copy=\"{whole}\">{words}</span>"),
        }
    }

    /// Places of one file together: its name once. What `mark` says of a place stands behind it.
    pub fn places(&self, places: &[Value], mark: &dyn Fn(&Value) -> Option<Text>) -> String {
        let mut out = String::new();
        let mut last = None;
        for place in places {
            let (file, line) = (string(&place["file"]), whole(&place["line"]).unwrap_or(0));
            if last != Some(file) {
                out.push_str(if last.is_some() { "</span>" } else { "" });
                out.push_str(&format!("<span class=\"places\"><span class=\"path\">{}</span>", escape(file)));
                last = Some(file);
            }
            out.push_str(&format!(" {}", self.place_as(file, line, &format!(":{line}"))));
            if let Some(words) = mark(place) {
                out.push_str(&format!(" <span class=\"kept\">{}</span>", self.t(words)));
            }
        }
        out.push_str(if last.is_some() { "</span>" } else { "" });
        out
    }

    /// A masked text of the data; nothing where the record has none.
    pub fn excerpt(&self, value: &Value) -> String {
        match value.as_str() {
            Some(text) if !text.is_empty() => format!("<q class=\"excerpt\">{}</q>", escape(text)),
            _ => String::new(),
        }
    }

    /// The start of an excerpt, where one line has to do; and the whole, if that was cut.
    pub fn excerpts(&self, value: &Value) -> (String, String) {
        let text = value.as_str().unwrap_or_default();
        match text.char_indices().nth(START_MAX) {
            None => (self.excerpt(value), String::new()),
            Some((end, _)) => (format!("<q class=\"excerpt\">{}…</q>", escape(&text[..end])), self.excerpt(value)),
        }
    }

    /// The worst harm of some checks among the verdict's items.
    pub fn harm(&self, of: &dyn Fn(&str, &str) -> bool) -> Option<Harm> {
        list(&self.record["verdict"]["items"])
            .iter()
            .filter(|item| of(string(&item["check"]), string(&item["type"])))
            .filter(|item| whole(&item["findings"]) != Some(0))
            .map(|item| Harm::of(string(&item["harm"])))
            .max()
    }

    /// A plot for wide pages and one for narrow ones, of which a page shows one.
    pub fn plot(&self, title: &str, draw: &dyn Fn(&Canvas) -> Result<String, plot::Error>) -> String {
        self.plot_of(title, WIDE, draw)
    }

    pub fn plot_of(&self, title: &str, wide: f64, draw: &dyn Fn(&Canvas) -> Result<String, plot::Error>) -> String {
        let one = |width| draw(&Canvas { width, title, language: self.language });
        match (one(wide), one(NARROW)) {
            (Ok(wide), Ok(narrow)) => format!("<div class=\"wide\">{wide}</div><div class=\"narrow\">{narrow}</div>"),
            (Err(e), _) | (_, Err(e)) => {
                format!("<p class=\"absent\">{}</p>", self.with(text::NOT_DRAWN, &[("why", &e.to_string())]))
            }
        }
    }
}

impl Section {
    pub fn html(&self, c: &Context) -> String {
        let marker = self.harm.map_or(String::new(), |h| format!(" {}", h.badge(c)));
        let body = match &self.body {
            Body::Html(html) => html.clone(),
            Body::NotMeasured(why) => format!("<p class=\"absent\">{}</p>", c.t(*why)),
        };
        format!(
            "<section id=\"{0}\" aria-labelledby=\"{0}-title\"><h2 id=\"{0}-title\">{1}{marker}</h2>{body}</section>",
            self.id,
            c.t(self.title)
        )
    }
}

impl Harm {
    pub fn of(name: &str) -> Harm {
        match name {
            "blocks" => Harm::Blocks,
            "harmful" => Harm::Harmful,
            "look" => Harm::Look,
            _ => Harm::Note,
        }
    }

    pub fn text(self) -> Text {
        match self {
            Harm::Blocks => text::HARM_BLOCKS,
            Harm::Harmful => text::HARM_HARMFUL,
            Harm::Look => text::HARM_LOOK,
            Harm::Note => text::HARM_NOTE,
        }
    }

    /// A sign that differs in shape as well as in colour.
    pub fn marker(self) -> String {
        let (class, shape) = match self {
            Harm::Blocks => ("blocks", "<rect x=\"1\" y=\"1\" width=\"8\" height=\"8\"/>"),
            Harm::Harmful => ("harmful", "<path d=\"M5 .8 9.6 9.2H.4Z\"/>"),
            Harm::Look => ("look", "<circle cx=\"5\" cy=\"5\" r=\"4\"/>"),
            Harm::Note => ("note", "<circle cx=\"5\" cy=\"5\" r=\"3.4\"/>"),
        };
        format!(
            "<svg class=\"marker {class}\" viewBox=\"0 0 10 10\" width=\"10\" height=\"10\" aria-hidden=\"true\">{shape}</svg>"
        )
    }

    pub fn badge(self, c: &Context) -> String {
        format!("<span class=\"harm\">{}<span>{}</span></span>", self.marker(), c.t(self.text()))
    }
}

/// What was required of a record, and whether it holds.
pub struct Gate<'a> {
    pub expression: &'a str,
    pub passed: bool,
    /// As it is to be read.
    pub found: String,
}

pub fn gates(c: &Context, gates: &[Gate]) -> String {
    if gates.is_empty() {
        return String::new();
    }
    let item = |gate: &Gate| {
        let (class, sign, words) = match gate.passed {
            true => ("passed", "✓", text::GATE_PASSED),
            false => ("failed", "✗", text::GATE_FAILED),
        };
        format!(
            "<li class=\"{class}\"><span aria-hidden=\"true\">{sign}</span> <code>{}</code> {} <span class=\"soft\">({})</span></li>",
            escape(gate.expression),
            c.t(words),
            escape(&gate.found)
        )
    };
    let items: String = gates.iter().map(item).collect();
    format!("<div class=\"gates\"><h2>{}</h2><ul>{items}</ul></div>", c.t(text::GATES))
}

/// A sentence that opens a section.
pub fn lead(html: &str) -> String {
    format!("<p class=\"lead\">{html}</p>")
}

pub fn heading(words: &str) -> String {
    format!("<h3>{words}</h3>")
}

pub fn note(html: &str) -> String {
    format!("<p class=\"note\">{html}</p>")
}

/// What colours and signs mean: an SVG of 10 by 10 each, and words.
pub fn legend(entries: &[(String, &str)]) -> String {
    let items: String = entries
        .iter()
        .map(|(picture, words)| {
            let words = escape(words);
            format!("<li><svg class=\"key\" viewBox=\"0 0 10 10\" aria-hidden=\"true\">{picture}</svg>{words}</li>")
        })
        .collect();
    format!("<ul class=\"legend\">{items}</ul>")
}

/// What is worth having but not seeing at first.
pub fn folded(summary: &str, html: &str) -> String {
    format!("<details><summary>{summary}</summary>{html}</details>")
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    #[test]
    fn only_this_script_may_run() {
        let expected = format!("sha256-{}", base64(&sha2::Sha256::digest(super::SCRIPT)));
        assert_eq!(super::SCRIPT_HASH, expected, "page.js has changed: write its hash to SCRIPT_HASH");
    }

    fn base64(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for three in bytes.chunks(3) {
            let word = (0..3).fold(0u32, |w, i| w << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
            for i in 0..4 {
                let letter = LETTERS[(word >> (18 - 6 * i) & 63) as usize] as char;
                out.push(if i <= three.len() { letter } else { '=' });
            }
        }
        out
    }
}
