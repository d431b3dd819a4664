//! How long rows are, and what that costs.

use serde_json::Value;

use crate::html::{Kind, Table, bar, column, escape};
use crate::json::{list, number, numbers, string, whole};
use crate::number;
use crate::page::{Body, Context, Section, folded, heading, lead, note};
use crate::plot::{self, Histogram, Mark, Scale, Spread, Tone};
use crate::text::{self, Text};

const UNITS: [(&str, Text); 2] = [("tokens", text::TOKENS), ("characters", text::CHARACTERS)];
const QUANTILES: [&str; 8] = ["min", "p5", "p25", "p50", "p75", "p95", "p99", "max"];

pub fn section(c: &Context) -> Section {
    let lengths = &c.record["lengths"];
    let body = if list(&lengths["parts"]).is_empty() {
        Body::NotMeasured(text::NOT_MEASURED)
    } else {
        Body::Html(body(c, lengths))
    };
    let harm = c.harm(&|check, kind| check == "length" || kind == "overlong");
    Section { id: "lengths", title: text::LENGTHS, harm, body }
}

fn body(c: &Context, lengths: &Value) -> String {
    let parts = list(&lengths["parts"]);
    let units: Vec<(&str, Text)> =
        UNITS.into_iter().filter(|(unit, _)| parts.iter().any(|p| p["unit"] == *unit)).collect();
    let mut out = units.first().map_or(String::new(), |(unit, name)| summary(c, parts, unit, *name));
    // Radio buttons ahead of what they switch work without a script.
    if units.len() > 1 {
        for (i, (unit, name)) in units.iter().enumerate() {
            let checked = if i == 0 { " checked" } else { "" };
            out.push_str(&format!(
                "<input type=\"radio\" class=\"switch\" name=\"unit\" id=\"unit-{unit}\"{checked}>\
                 <label for=\"unit-{unit}\">{}</label>",
                c.t(*name)
            ));
        }
    }
    for (unit, name) in &units {
        let of: Vec<&Value> = parts.iter().filter(|p| p["unit"] == *unit).collect();
        let marks: &[Value] = if *unit == "tokens" { list(&lengths["over"]) } else { &[] };
        let single = if units.len() > 1 { "" } else { " single" };
        out.push_str(&format!("<div class=\"unit unit-{unit}{single}\">{}</div>", of_unit(c, &of, *name, marks)));
    }
    out.push_str(&note(c.t(text::LENGTHS_KEY)));
    match lengths["over"].as_array() {
        Some(over) if !over.is_empty() => {
            out.push_str(&heading(c.t(text::OVER)));
            out.push_str(&costs(c, over));
        }
        _ if !parts.iter().any(|p| p["unit"] == "tokens") => out.push_str(&note(c.t(text::NO_TOKENS))),
        _ => {}
    }
    let unit = units.first().map_or("", |(unit, _)| unit);
    let extremes: Vec<&Value> = parts.iter().filter(|p| p["unit"] == unit).collect();
    out.push_str(&folded(c.t(text::EXTREMES), &extreme_rows(c, &extremes)));
    out
}

fn summary(c: &Context, parts: &[Value], unit: &str, name: Text) -> String {
    let Some(whole) = parts.iter().rfind(|p| p["unit"] == unit) else { return String::new() };
    let quantiles = &whole["quantiles"];
    let [p25, p75, max] = ["p25", "p75", "max"].map(|q| c.count(&quantiles[q]));
    lead(&c.with(text::LENGTHS_LEAD, &[("p25", &p25), ("p75", &p75), ("max", &max), ("unit", c.t(name))]))
}

/// Parts below one another on one axis, and their quantiles.
fn of_unit(c: &Context, parts: &[&Value], unit: Text, limits: &[Value]) -> String {
    let mut out = String::new();
    let domain = domain(parts);
    for part in parts {
        let name = c.part(string(&part["part"]));
        let quantiles = &part["quantiles"];
        let [p5, p50, p95, max] = ["p5", "p50", "p95", "max"].map(|q| c.count(&quantiles[q]));
        let values =
            [("part", name.as_str()), ("unit", c.t(unit)), ("p5", &p5), ("p50", &p50), ("p95", &p95), ("max", &max)];
        let title = text::LENGTHS_PLOT.with(c.language, &values);
        let whole_row = part["part"] == "whole";
        let labels: Vec<(f64, String)> = limits
            .iter()
            .filter(|_| whole_row)
            .filter_map(|l| whole(&l["seq_len_max"]).map(|n| (n as f64, n.to_string())))
            .collect();
        let marks: Vec<Mark> = labels.iter().map(|(at, label)| Mark { at: *at, label }).collect();
        let (edges, counts) = (numbers(&part["histogram"]["edges"]), numbers(&part["histogram"]["counts"]));
        let picture = c.plot(&title, &|canvas| {
            let data = Histogram {
                edges: &edges,
                counts: &counts,
                scale: Scale::Log,
                domain,
                marks: &marks,
                spread: spread(quantiles),
                height: if whole_row { 120.0 } else { 76.0 },
            };
            plot::histogram(&data, canvas)
        });
        out.push_str(&format!(
            "<figure><figcaption>{} <span class=\"soft\">{}</span></figcaption>{picture}</figure>",
            escape(&name),
            c.t(unit)
        ));
    }
    out.push_str(&folded(c.t(text::QUANTILES), &quantile_table(c, parts, unit)));
    out
}

/// Of all parts together; None where an edge is no number, which the plot refuses.
fn domain(parts: &[&Value]) -> Option<(f64, f64)> {
    let mut domain: Option<(f64, f64)> = None;
    for part in parts {
        let (edges, counts) = (numbers(&part["histogram"]["edges"]), numbers(&part["histogram"]["counts"]));
        let occupied = |i: &usize| counts.get(*i).is_some_and(|c| *c > 0.0);
        let (Some(first), Some(last)) = ((0..counts.len()).find(occupied), (0..counts.len()).rfind(occupied)) else {
            continue;
        };
        let (low, high) = (*edges.get(first)?, *edges.get(last + 1)?);
        domain = Some(domain.map_or((low, high), |(a, b)| (a.min(low), b.max(high))));
    }
    domain
}

fn spread(quantiles: &Value) -> Option<Spread> {
    let q = |name: &str| number(&quantiles[name]);
    Some(Spread { p5: q("p5")?, p25: q("p25")?, p50: q("p50")?, p75: q("p75")?, p95: q("p95")? })
}

fn quantile_table(c: &Context, parts: &[&Value], unit: Text) -> String {
    let mut columns = vec![column(c.t(text::PART), Kind::Words), column(c.t(text::MEAN), Kind::Number)];
    columns.extend(
        QUANTILES
            .iter()
            .map(|q| column(q, if matches!(*q, "p5" | "p25" | "p75" | "p99") { Kind::Extra } else { Kind::Number })),
    );
    let rows = parts.iter().map(|part| {
        let mut cells = vec![escape(&c.part(string(&part["part"]))), c.decimal(&part["mean"], 1)];
        cells.extend(QUANTILES.iter().map(|q| c.count(&part["quantiles"][*q])));
        cells
    });
    Table { class: "", caption: format!("{}: {}", c.t(text::QUANTILES), c.t(unit)), columns, rows: rows.collect() }
        .html()
}

fn costs(c: &Context, over: &[Value]) -> String {
    let rows = over.iter().map(|limit| {
        let share = number(&limit["share"]).unwrap_or(0.0);
        vec![
            c.count(&limit["seq_len_max"]),
            c.count(&limit["rows"]),
            c.share_cell(&limit["share"]),
            bar(share, Tone::Data),
            c.share_cell(&limit["cut"]),
            c.share_cell(&limit["padding"]),
            c.share_cell(&limit["padding_in_batch"]),
            whole(&limit["memory"]).map_or_else(|| number::UNKNOWN.to_string(), number::bytes),
        ]
    });
    let table = Table {
        class: "costs",
        caption: c.t(text::OVER).to_string(),
        columns: vec![
            column("seq_len_max", Kind::Words),
            column(c.t(text::OVER_ROWS), Kind::Number),
            column(c.t(text::SHARE), Kind::Number),
            column("", Kind::Bar),
            column(c.t(text::OVER_CUT), Kind::Number),
            column(c.t(text::OVER_PADDING), Kind::Number),
            column(c.t(text::OVER_PADDING_BATCH), Kind::Extra),
            column(c.t(text::OVER_MEMORY), Kind::Extra),
        ],
        rows: rows.collect(),
    };
    let mut out = table.html();
    if let Some(of) = over.iter().find_map(|l| l["memory_of"].as_str()) {
        out.push_str(&note(&c.with(text::OVER_MEMORY_OF, &[("of", of)])));
    }
    out
}

fn extreme_rows(c: &Context, parts: &[&Value]) -> String {
    let list_of = |part: &Value, key: &str| -> String {
        list(&part[key])
            .iter()
            .map(|p| format!("<span class=\"item\">{} <b>{}</b></span>", c.place(p), c.count(&p["length"])))
            .collect()
    };
    let rows = parts
        .iter()
        .map(|part| vec![escape(&c.part(string(&part["part"]))), list_of(part, "shortest"), list_of(part, "longest")]);
    Table {
        class: "",
        caption: c.t(text::EXTREMES).to_string(),
        columns: vec![
            column(c.t(text::PART), Kind::Words),
            column(c.t(text::SHORTEST), Kind::Words),
            column(c.t(text::LONGEST), Kind::Words),
        ],
        rows: rows.collect(),
    }
    .html()
}
