//! Rows to evaluate with that are in the training data.

use serde_json::Value;

use crate::html::{Kind, Table, bar, column, escape};
use crate::json::{list, number, string, sum};
use crate::page::{Body, Context, Section, folded, lead, note};
use crate::plot::Tone;
use crate::{kinds, number as numbers, text};

pub fn section(c: &Context) -> Section {
    let leaks = &c.record["leaks"];
    let body = if leaks.is_null() { Body::NotMeasured(text::LEAKS_NONE_GIVEN) } else { Body::Html(body(c, leaks)) };
    Section { id: "leaks", title: text::LEAKS, harm: c.harm(&|check, _| check == "leak"), body }
}

fn body(c: &Context, leaks: &Value) -> String {
    let sets = list(&leaks["sets"]);
    let leaked = sum(&leaks["sets"], "leaked");
    let all = numbers::count(sum(&leaks["sets"], "rows"));
    let mut out = match leaked {
        0 => lead(c.t(text::LEAKS_CLEAN)),
        n => lead(&c.with(text::LEAKS_LEAD, &[("leaked", &numbers::count(n)), ("rows", &all)])),
    };
    out.push_str(&sets_table(c, sets));
    let threshold = c.share(&leaks["threshold"]);
    out.push_str(&note(&c.with(text::LEAKS_HOW, &[("n", &c.string_of(&leaks["n"])), ("threshold", &threshold)])));
    for set in sets.iter().filter(|s| !list(&s["pairs"]).is_empty()) {
        let title = format!("{}: {}", c.t(text::PAIRS), escape(string(&set["set"])));
        out.push_str(&folded(&title, &pairs(c, list(&set["pairs"]))));
    }
    out
}

fn sets_table(c: &Context, sets: &[Value]) -> String {
    let rows = sets.iter().map(|set| {
        let kinds: Vec<String> = list(&set["kinds"])
            .iter()
            .map(|k| format!("{} {}", short(c, string(&k["type"])), c.count(&k["rows"])))
            .collect();
        vec![
            format!(
                "<span class=\"path\">{}</span><span class=\"under\">{}</span>",
                escape(string(&set["set"])),
                kinds.join(" · ")
            ),
            c.count(&set["rows"]),
            c.count(&set["leaked"]),
            c.share_cell(&set["share"]),
            bar(number(&set["share"]).unwrap_or(0.0), Tone::Blocks),
        ]
    });
    Table {
        class: "",
        caption: c.t(text::LEAKS).to_string(),
        columns: vec![
            column(c.t(text::SET), Kind::Words),
            column(c.t(text::ROWS), Kind::Number),
            column(c.t(text::LEAKED), Kind::Number),
            column(c.t(text::SHARE), Kind::Number),
            column("", Kind::Bar),
        ],
        rows: rows.collect(),
    }
    .html()
}

fn short(c: &Context, kind: &str) -> String {
    escape(kinds::short(kind, c.language))
}

fn by(c: &Context, name: &str) -> String {
    match name {
        "row" => c.t(text::LEAK_BY_ROW).to_string(),
        "instruction" => c.t(text::LEAK_BY_INSTRUCTION).to_string(),
        other => escape(other),
    }
}

fn pairs(c: &Context, pairs: &[Value]) -> String {
    let rows = pairs.iter().map(|pair| {
        vec![
            format!("{}<span class=\"under\">{}</span>", short(c, string(&pair["type"])), by(c, string(&pair["by"]))),
            c.place(&pair["train"]),
            c.place(&pair["eval"]),
            c.fixed(&pair["similarity"]),
        ]
    });
    Table {
        class: "",
        caption: c.t(text::PAIRS).to_string(),
        columns: vec![
            column(c.t(text::KIND), Kind::Words),
            column(c.t(text::TRAIN_ROW), Kind::Words),
            column(c.t(text::EVAL_ROW), Kind::Words),
            column(c.t(text::SIMILARITY), Kind::Number),
        ],
        rows: rows.collect(),
    }
    .html()
}
