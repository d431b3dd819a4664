//! Which languages, how mixed, and whether answers keep to them.

use serde_json::Value;

use crate::html::{Kind, Table, column, escape};
use crate::json::{list, named, number, string, whole};
use crate::page::{Body, Context, Section, folded, lead, legend, note};
use crate::plot::{self, Segment, Stack, Tone};
use crate::{kinds, number as numbers, text};

/// Languages with a colour of their own; the rest are shown together.
const COLOURS: usize = 5;

pub fn section(c: &Context) -> Section {
    let languages = &c.record["languages"];
    let body = if list(&languages["parts"]).is_empty() {
        Body::NotMeasured(text::NOT_MEASURED)
    } else {
        Body::Html(body(c, languages))
    };
    let harm = c.harm(&|check, kind| check == "language" || kind == "language_mismatch");
    Section { id: "languages", title: text::LANGUAGES, harm, body }
}

fn body(c: &Context, languages: &Value) -> String {
    let parts = list(&languages["parts"]);
    let codes = by_rows(parts);
    let mut out = named(&languages["parts"], "part", "whole").or(parts.last()).map_or(String::new(), |p| summary(c, p));
    let names: Vec<String> = codes.iter().map(|code| kinds::language_name(code, c.language)).collect();
    let labels: Vec<String> = parts.iter().map(|p| c.part(string(&p["part"]))).collect();
    let picture = c.plot(c.t(text::LANGUAGES_PLOT), &|canvas| {
        let stacks: Vec<Stack> = parts
            .iter()
            .zip(&labels)
            .map(|(part, label)| Stack { label, segments: segments(c, part, &codes, &names) })
            .collect();
        plot::stacked(&stacks, canvas)
    });
    out.push_str(&format!("<figure>{picture}</figure>{}", key(c, parts, &codes, &names)));
    if let Some(rows) = whole(&languages["other_language"]["rows"]) {
        let words = if rows == 0 {
            c.t(text::OTHER_LANGUAGE_NONE).to_string()
        } else {
            c.with(text::OTHER_LANGUAGE, &[("rows", &text::rows(rows, c.language))])
        };
        out.push_str(&format!("<p>{words}</p><p>{}</p>", pairs(c, list(&languages["other_language"]["pairs"]))));
    }
    if !languages["han"].is_null() {
        let [simplified, traditional] = ["simplified", "traditional"].map(|key| c.rows(&languages["han"][key]));
        let values = [("simplified", simplified.as_str()), ("traditional", &traditional)];
        out.push_str(&format!("<p>{}</p>", c.with(text::HAN, &values)));
    }
    if !languages["code"].is_null() {
        let (rows, share) = (c.rows(&languages["code"]["rows"]), c.share(&languages["code"]["share"]));
        out.push_str(&format!("<p>{}</p>", c.with(text::CODE, &[("rows", &rows), ("share", &share)])));
    }
    out.push_str(&folded(c.t(text::BY_PART), &table(c, parts, &codes, &names)));
    out
}

fn summary(c: &Context, part: &Value) -> String {
    let Some(top) = list(&part["counts"]).first() else { return note(c.t(text::NONE_FOUND)) };
    let share = number(&top["rows"]).unwrap_or(0.0) / number(&part["rows"]).unwrap_or(0.0);
    let language = kinds::language_name(string(&top["language"]), c.language);
    let entropy = c.decimal(&part["entropy"], 2);
    let values = [("share", numbers::share(share)), ("language", language), ("entropy", entropy)];
    lead(&c.with(text::LANGUAGES_LEAD, &values.each_ref().map(|(k, v)| (*k, v.as_str()))))
}

/// Codes of all languages, most rows over all parts first.
fn by_rows(parts: &[Value]) -> Vec<&str> {
    let mut totals: Vec<(&str, u64)> = Vec::new();
    for count in parts.iter().flat_map(|p| list(&p["counts"])) {
        let (code, rows) = (string(&count["language"]), whole(&count["rows"]).unwrap_or(0));
        match totals.iter_mut().find(|t| t.0 == code) {
            Some(total) => total.1 = total.1.saturating_add(rows),
            None => totals.push((code, rows)),
        }
    }
    totals.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    totals.into_iter().map(|t| t.0).collect()
}

fn rows_of(part: &Value, code: &str) -> u64 {
    named(&part["counts"], "language", code).and_then(|count| whole(&count["rows"])).unwrap_or(0)
}

fn segments<'a>(c: &Context, part: &Value, codes: &[&str], names: &'a [String]) -> Vec<Segment<'a>> {
    let mut segments: Vec<Segment> = codes
        .iter()
        .zip(names)
        .take(COLOURS)
        .enumerate()
        .map(|(i, (code, name))| Segment { label: name, value: rows_of(part, code) as f64, tone: Tone::Series(i) })
        .collect();
    let rest: u64 = codes.iter().skip(COLOURS).map(|code| rows_of(part, code)).sum();
    segments.push(Segment { label: c.t(text::OTHERS), value: rest as f64, tone: Tone::Series(COLOURS) });
    let unsure = whole(&part["unsure"]).unwrap_or(0);
    segments.push(Segment { label: c.t(text::UNSURE), value: unsure as f64, tone: Tone::Muted });
    segments
}

fn key(c: &Context, parts: &[Value], codes: &[&str], names: &[String]) -> String {
    let square = |tone: Tone| format!("<rect class=\"{}\" width=\"10\" height=\"10\"/>", tone.class());
    let mut entries: Vec<(String, &str)> =
        names.iter().take(COLOURS).enumerate().map(|(i, name)| (square(Tone::Series(i)), name.as_str())).collect();
    if codes.len() > COLOURS {
        entries.push((square(Tone::Series(COLOURS)), c.t(text::OTHERS)));
    }
    if parts.iter().any(|p| whole(&p["unsure"]).unwrap_or(0) > 0) {
        entries.push((square(Tone::Muted), c.t(text::UNSURE)));
    }
    legend(&entries)
}

fn pairs(c: &Context, pairs: &[Value]) -> String {
    let items: Vec<String> = pairs
        .iter()
        .map(|p| {
            let [from, to] = ["instruction", "response"].map(|k| kinds::language_name(string(&p[k]), c.language));
            format!(
                "<span class=\"chip\">{}</span>",
                c.with(text::ARROW_TO, &[("from", &from), ("to", &to), ("rows", &c.rows(&p["rows"]))])
            )
        })
        .collect();
    items.join(" ")
}

fn table(c: &Context, parts: &[Value], codes: &[&str], names: &[String]) -> String {
    let mut columns = vec![column(c.t(text::LANGUAGE), Kind::Words)];
    columns.extend(parts.iter().map(|p| column(&c.part(string(&p["part"])), Kind::Number)));
    let mut rows: Vec<Vec<String>> = codes
        .iter()
        .zip(names)
        .map(|(code, name)| {
            let mut cells = vec![escape(name)];
            cells.extend(parts.iter().map(|p| numbers::count(rows_of(p, code))));
            cells
        })
        .collect();
    for (name, key) in [(text::UNSURE, "unsure"), (text::MIXED, "mixed")] {
        let mut cells = vec![format!("<i>{}</i>", c.t(name))];
        cells.extend(parts.iter().map(|p| c.count(&p[key])));
        rows.push(cells);
    }
    let mut cells = vec![format!("<i>{}</i>", c.t(text::ENTROPY))];
    cells.extend(parts.iter().map(|p| c.decimal(&p["entropy"], 2)));
    rows.push(cells);
    Table { class: "", caption: c.t(text::LANGUAGES_PLOT).to_string(), columns, rows }.html()
}
