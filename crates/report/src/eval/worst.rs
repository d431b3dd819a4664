//! The rows that got worst: what was asked, what was expected, and both answers side by side.

use serde_json::Value;

use super::view::{called, written};
use crate::html::{escape, one_line};
use crate::json::{list, string, whole};
use crate::number as numbers;
use crate::page::{Body, Context, Section, heading, lead, note};
use crate::text::{self, Text};

/// Characters of a prompt in a summary.
const SUMMARY_MAX: usize = 60;

pub fn section(c: &Context) -> Section {
    let mut html = String::new();
    for suite in list(&c.record["suites"]).iter().filter(|s| !list(&s["worst"]).is_empty()) {
        html.push_str(&heading(&escape(string(&suite["name"]))));
        html.push_str(&rows(c, suite, usize::MAX));
    }
    let body = match html.is_empty() {
        true => Body::NotMeasured(text::WORST_NONE),
        false => Body::Html(lead(c.t(text::WORST_LEAD)) + &html),
    };
    Section { id: "worst", title: text::WORST, harm: None, body }
}

/// The first `most` of a suite.
pub fn rows(c: &Context, suite: &Value, most: usize) -> String {
    list(&suite["worst"]).iter().take(most).enumerate().map(|(i, row)| one(c, row, i == 0)).collect()
}

fn one(c: &Context, row: &Value, first: bool) -> String {
    let (file, line) = (string(&row["file"]), whole(&row["line"]).unwrap_or(0));
    // The folder is in the record, and copied with the place; here it would only be long.
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let start: String = one_line(string(&row["prompt"])).chars().take(SUMMARY_MAX).collect();
    let (before, after) = (written(&row["base_value"]), written(&row["tuned_value"]));
    format!(
        "<details class=\"row\"{open}><summary><span class=\"place\" data-copy=\"{place}\">{name}:{line}</span> \
         <span class=\"moved\">{figure} {before} → {after}</span> <span class=\"soft start\">{start}</span></summary>\
         <dl>{prompt}{expected}</dl>{answers}</details>",
        open = if first { " open" } else { "" },
        place = escape(&format!("{file}:{line}")),
        name = escape(name),
        figure = escape(&called(c, string(&row["figure"]))),
        before = escape(&before),
        after = escape(&after),
        start = escape(&start),
        prompt = field(c, text::PROMPT, &row["prompt"]),
        expected = field(c, text::EXPECTED, &row["expected"]),
        answers = answers(c, row, [&before, &after]),
    )
}

fn field(c: &Context, name: Text, value: &Value) -> String {
    match value.as_str() {
        Some(text) => format!("<dt>{}</dt><dd>{}</dd>", c.t(name), or_empty(c, text)),
        None => String::new(),
    }
}

/// Side by side, each with its score.
fn answers(c: &Context, row: &Value, scores: [&str; 2]) -> String {
    if row["base"].is_null() && row["tuned"].is_null() {
        return note(c.t(text::NOT_WRITTEN));
    }
    let one = |who: Text, value: &Value, score: &str| {
        let text = value.as_str().map_or_else(|| numbers::UNKNOWN.to_string(), |text| or_empty(c, text));
        format!("<dl><dt>{} <b>{}</b></dt><dd>{text}</dd></dl>", c.t(who), escape(score))
    };
    format!(
        "<div class=\"pair even answers\">{}{}</div>",
        one(text::BEFORE, &row["base"], scores[0]),
        one(text::AFTER, &row["tuned"], scores[1])
    )
}

fn or_empty(c: &Context, text: &str) -> String {
    match text {
        "" => format!("<span class=\"soft\">{}</span>", c.t(text::NOTHING_WRITTEN)),
        text => escape(text),
    }
}
