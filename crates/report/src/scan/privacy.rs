//! Personal data and secrets: how many, never which.

use serde_json::Value;

use crate::html::{Kind, Table, bar, column, escape};
use crate::json::{list, number, string};
use crate::page::{Body, Context, Section, heading, lead, note};
use crate::plot::Tone;
use crate::text::{self, Text};

pub fn section(c: &Context) -> Section {
    let pii = &c.record["pii"];
    let body = if pii.is_null() { Body::NotMeasured(text::NOT_MEASURED) } else { Body::Html(body(c, pii)) };
    Section { id: "pii", title: text::PII, harm: c.harm(&|check, _| matches!(check, "pii" | "secret")), body }
}

fn body(c: &Context, pii: &Value) -> String {
    let (rows, secrets) = (c.rows(&pii["rows"]), c.rows(&pii["secrets"]["rows"]));
    let mut out = lead(&c.with(text::PII_LEAD, &[("rows", &rows), ("secrets", &secrets)]));
    out.push_str(&table(c, "secret", text::SECRETS, &pii["secrets"]["types"], Tone::Blocks));
    out.push_str(&table(c, "pii", text::PERSONAL, &pii["types"], Tone::Harmful));
    let entities = match pii["entities"].as_str() {
        Some(model) => c.with(text::PII_ENTITIES, &[("model", model)]),
        None => c.t(text::PII_NO_ENTITIES).to_string(),
    };
    out.push_str(&note(&c.sentences(&[c.t(text::PII_NOTE).to_string(), entities])));
    out
}

fn table(c: &Context, check: &str, title: Text, types: &Value, tone: Tone) -> String {
    let types = list(types);
    if types.is_empty() {
        return String::new();
    }
    let most = types.iter().filter_map(|t| number(&t["rows"])).fold(0.0, f64::max);
    let rows = types.iter().map(|t| {
        vec![
            format!(
                "{}<span class=\"under\"><code>{}</code></span>",
                c.kind(check, string(&t["type"])),
                escape(string(&t["rule"]))
            ),
            c.count(&t["findings"]),
            c.count(&t["rows"]),
            bar(if most > 0.0 { number(&t["rows"]).unwrap_or(0.0) / most } else { 0.0 }, tone),
            c.fixed(&t["confidence"]),
        ]
    });
    let table = Table {
        class: "",
        caption: c.t(title).to_string(),
        columns: vec![
            column(c.t(text::TYPE), Kind::Words),
            column(c.t(text::COUNT), Kind::Number),
            column(c.t(text::ROWS), Kind::Number),
            column("", Kind::Bar),
            column(c.t(text::CONFIDENCE), Kind::Number),
        ],
        rows: rows.collect(),
    };
    heading(c.t(title)) + &table.html()
}
