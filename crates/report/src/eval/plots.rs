//! Every figure from before to after, on one axis for each unit and direction.

use serde_json::Value;

use super::names::{self, Unit};
use super::view::{ROLES, Verdict, confidence, figure_name, paired, point, suites, written};
use crate::Language;
use crate::html::escape;
use crate::json::{list, string};
use crate::page::{Body, Context, Section, legend, note};
use crate::plot::{Dumbbell, Scale, Tone, dumbbells};
use crate::text::{self, Text};

/// A figure as a row of a plot.
struct Row {
    label: String,
    note: String,
    words: String,
}

pub fn section(c: &Context) -> Section {
    let all: Vec<(&Value, &Value)> = ROLES
        .into_iter()
        .flat_map(|role| suites(c.record, role))
        .flat_map(|suite| list(&suite["figures"]).iter().map(move |figure| (suite, figure)))
        .collect();
    let mut html = String::new();
    if paired(c.record) {
        html.push_str(&key(c));
    }
    for unit in Unit::ALL {
        for better in ["higher", "lower"] {
            let of =
                |f: &Value| names::unit(string(&f["name"])) == unit && (f["better"] == "lower") == (better == "lower");
            let panel: Vec<(&Value, &Value)> = all.iter().copied().filter(|(_, f)| of(f)).collect();
            if !panel.is_empty() {
                html.push_str(&figure(c, unit, if better == "lower" { text::LOWER } else { text::HIGHER }, &panel));
            }
        }
    }
    if paired(c.record) {
        html.push_str(&note(&c.with(text::CHANGES_KEY, &[("confidence", &confidence(c))])));
    }
    Section { id: "changes", title: text::CHANGES, harm: None, body: Body::Html(html) }
}

/// What the signs of a plot mean.
pub fn key(c: &Context) -> String {
    let key = [
        ("<circle class=\"ring\" cx=\"5\" cy=\"5\" r=\"3.6\"/>", text::BEFORE),
        ("<circle class=\"t-good\" cx=\"5\" cy=\"5\" r=\"4.5\"/>", text::BETTER),
        ("<rect class=\"t-blocks\" x=\"1\" y=\"1\" width=\"8\" height=\"8\"/>", text::WORSE),
        ("<circle class=\"ring t-data\" cx=\"5\" cy=\"5\" r=\"3.6\"/>", text::UNCLEAR),
    ];
    let after = |words: Text| clauses(c, text::AFTER, words);
    let name = |(i, words): (usize, Text)| if i == 0 { c.t(words).to_string() } else { after(words) };
    let names: Vec<String> = key.iter().map(|(_, words)| *words).enumerate().map(name).collect();
    let entries: Vec<(String, &str)> =
        key.iter().zip(&names).map(|((svg, _), name)| ((*svg).to_string(), name.as_str())).collect();
    legend(&entries)
}

fn figure(c: &Context, unit: Unit, better: Text, panel: &[(&Value, &Value)]) -> String {
    let rows: Vec<Row> = panel.iter().map(|(suite, figure)| row(c, suite, figure)).collect();
    let data: Vec<Dumbbell> = panel
        .iter()
        .zip(&rows)
        .map(|((_, figure), row)| Dumbbell {
            label: &row.label,
            before: point(&figure["base"]),
            after: point(&figure["tuned"]),
            note: &row.note,
            tone: Verdict::of(figure).map_or(Tone::Data, Verdict::tone),
        })
        .collect();
    let name = clauses(c, unit.text(), better);
    let between = if c.language == Language::English { "; " } else { "；" };
    let words: Vec<&str> = rows.iter().map(|r| r.words.as_str()).collect();
    let title = text::CHANGES_PLOT.with(c.language, &[("panel", &name), ("rows", &words.join(between))]);
    let scale = if unit == Unit::Perplexity { Scale::Log } else { Scale::Linear };
    let plot = c.plot(&title, &|canvas| dumbbells(&data, scale, canvas));
    format!("<figure><figcaption>{}</figcaption>{plot}</figure>", escape(&name))
}

/// Not things of a list, which Chinese has another comma for.
fn clauses(c: &Context, first: Text, second: Text) -> String {
    let comma = if c.language == Language::English { ", " } else { "，" };
    format!("{}{comma}{}", c.t(first), c.t(second))
}

fn row(c: &Context, suite: &Value, figure: &Value) -> Row {
    let label = format!("{} · {}", string(&suite["name"]), figure_name(c, figure));
    let [before, after] = ["base", "tuned"].map(|who| point(&figure[who]).map(|_| written(&figure[who]["value"])));
    let note = match (before, after) {
        (Some(before), Some(after)) => format!("{before} → {after}"),
        (before, after) => before.or(after).unwrap_or_default(),
    };
    let verdict = Verdict::of(figure).map_or(String::new(), |v| format!(" ({})", c.t(v.text())));
    let words = format!("{label} {note}{verdict}");
    Row { label, note, words }
}
