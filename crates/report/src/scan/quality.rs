//! What looks planted, and how good rows are.

use serde_json::Value;

use crate::html::{Kind, Table, bar, column, escape};
use crate::json::{list, number as as_number, numbers, string, whole};
use crate::number;
use crate::page::{Body, Context, Section, heading, lead};
use crate::plot::{self, Histogram, Mark, Scale, Tone};
use crate::text::{self, Text};

/// Parts of the score.
const ASPECTS: [(&str, Text); 8] = [
    ("answered", text::ASPECT_ANSWERED),
    ("relevant", text::ASPECT_RELEVANT),
    ("varied", text::ASPECT_VARIED),
    ("finished", text::ASPECT_FINISHED),
    ("clean", text::ASPECT_CLEAN),
    ("own", text::ASPECT_OWN),
    ("specific", text::ASPECT_SPECIFIC),
    ("structured", text::ASPECT_STRUCTURED),
];

pub fn poison(c: &Context) -> Section {
    let poison = &c.record["poison"];
    let body =
        if poison.is_null() { Body::NotMeasured(text::NOT_MEASURED) } else { Body::Html(poison_body(c, poison)) };
    Section { id: "poison", title: text::POISON, harm: c.harm(&|check, _| check == "poison"), body }
}

fn poison_body(c: &Context, poison: &Value) -> String {
    let (triggers, constant) = (list(&poison["triggers"]), list(&poison["constant_answers"]));
    let mut out = String::new();
    if triggers.is_empty() && constant.is_empty() {
        out.push_str(&lead(c.t(text::POISON_NONE)));
    } else {
        out.push_str(&lead(c.t(text::POISON_LEAD)));
    }
    if !triggers.is_empty() {
        out.push_str(&heading(c.t(text::TRIGGERS)));
        out.push_str(&trigger_table(c, triggers));
    }
    if !constant.is_empty() {
        out.push_str(&heading(c.t(text::CONSTANT)));
        out.push_str(&constant_table(c, constant));
    }
    if let Some(n) = whole(&poison["answers"]["distinct"]) {
        let said = if poison["answers"]["set"] == "closed" { text::ANSWERS_CLOSED } else { text::ANSWERS_OPEN };
        out.push_str(&format!("<p>{}</p>", c.with(said, &[("n", &number::count(n))])));
    }
    for (key, said) in [("off_topic", text::OFF_TOPIC), ("toxic", text::TOXIC)] {
        let found = &poison[key];
        if !found.is_null() {
            let (rows, share) = (c.rows(&found["rows"]), c.share(&found["share"]));
            out.push_str(&format!("<p>{}</p>", c.with(said, &[("rows", &rows), ("share", &share)])));
        }
    }
    if poison["toxic"].is_null() {
        out.push_str(&format!("<p class=\"note\">{}</p>", c.t(text::NO_TOXIC)));
    }
    out
}

fn trigger_table(c: &Context, triggers: &[Value]) -> String {
    let rows = triggers.iter().map(|t| {
        let places = c.places(list(&t["at"]), &|_| None);
        let others = match whole(&t["rows_other"]) {
            Some(n) if n > 0 => c.with(text::TRIGGER_OTHER, &[("n", &number::count(n))]),
            _ => String::new(),
        };
        vec![
            format!("{}<span class=\"under\">{places}</span>", c.excerpt(&t["excerpt"])),
            format!("{}<span class=\"under\">{others}</span>", c.excerpt(&t["answer"])),
            c.count(&t["rows"]),
            c.fixed(&t["confidence"]),
        ]
    });
    Table {
        class: "",
        caption: c.t(text::TRIGGERS).to_string(),
        columns: vec![
            column(c.t(text::TRIGGER), Kind::Words),
            column(c.t(text::ITS_ANSWER), Kind::Words),
            column(c.t(text::ROWS), Kind::Number),
            column(c.t(text::CONFIDENCE), Kind::Number),
        ],
        rows: rows.collect(),
    }
    .html()
}

fn constant_table(c: &Context, answers: &[Value]) -> String {
    let rows = answers.iter().map(|a| {
        let first = if a["first"].is_null() { String::new() } else { c.place(&a["first"]) };
        vec![
            format!("{}<span class=\"under\">{first}</span>", c.excerpt(&a["excerpt"])),
            c.count(&a["questions"]),
            c.count(&a["rows"]),
            c.share_cell(&a["share"]),
        ]
    });
    Table {
        class: "",
        caption: c.t(text::CONSTANT).to_string(),
        columns: vec![
            column(c.t(text::ANSWER), Kind::Words),
            column(c.t(text::QUESTIONS), Kind::Number),
            column(c.t(text::ROWS), Kind::Number),
            column(c.t(text::SHARE), Kind::Number),
        ],
        rows: rows.collect(),
    }
    .html()
}

pub fn quality(c: &Context) -> Section {
    let quality = &c.record["quality"];
    let body =
        if quality.is_null() { Body::NotMeasured(text::NOT_MEASURED) } else { Body::Html(quality_body(c, quality)) };
    Section { id: "quality", title: text::QUALITY, harm: c.harm(&|check, _| check == "quality"), body }
}

fn quality_body(c: &Context, quality: &Value) -> String {
    let low = &quality["low"];
    let (mean, rows) = (c.decimal(&quality["mean"], 2), c.rows(&low["rows"]));
    let (threshold, share) = (c.decimal(&low["threshold"], 2), c.share(&low["share"]));
    let values = [("mean", mean.as_str()), ("rows", &rows), ("threshold", &threshold), ("share", &share)];
    let mut out = lead(&c.with(text::QUALITY_LEAD, &values));
    let (edges, counts) = (numbers(&quality["histogram"]["edges"]), numbers(&quality["histogram"]["counts"]));
    let marks: Vec<Mark> = as_number(&low["threshold"]).map(|at| Mark { at, label: &threshold }).into_iter().collect();
    let picture = c.plot(&text::QUALITY_PLOT.with(c.language, &values), &|canvas| {
        let data = Histogram {
            edges: &edges,
            counts: &counts,
            scale: Scale::Linear,
            domain: Some((0.0, 1.0)),
            marks: &marks,
            spread: None,
            height: 120.0,
        };
        plot::histogram(&data, canvas)
    });
    out.push_str(&format!("<figure>{picture}</figure>"));
    let parts = list(&quality["parts"]);
    if !parts.is_empty() {
        out.push_str(&heading(c.t(text::QUALITY_PARTS)));
        out.push_str(&parts_table(c, parts));
    }
    out
}

fn aspect(c: &Context, name: &str) -> String {
    match ASPECTS.iter().find(|a| a.0 == name) {
        Some((_, said)) => c.t(*said).to_string(),
        None => escape(&name.replace('_', " ")),
    }
}

fn parts_table(c: &Context, parts: &[Value]) -> String {
    let rows = parts.iter().map(|part| {
        vec![
            aspect(c, string(&part["part"])),
            c.fixed(&part["mean"]),
            bar(as_number(&part["mean"]).unwrap_or(0.0), Tone::Data),
            c.count(&part["low"]),
        ]
    });
    Table {
        class: "",
        caption: c.t(text::QUALITY_PARTS).to_string(),
        columns: vec![
            column(c.t(text::QUALITY_PART), Kind::Words),
            column(c.t(text::MEAN), Kind::Number),
            column("", Kind::Bar),
            column(c.t(text::QUALITY_LOW), Kind::Number),
        ],
        rows: rows.collect(),
    }
    .html()
}
