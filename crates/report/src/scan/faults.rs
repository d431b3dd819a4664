//! The files, and what is wrong with their rows.

use serde_json::Value;

use super::head::read_files;
use crate::html::{Kind, Table, bar, column, escape};
use crate::json::{list, number, string, whole};
use crate::number as numbers;
use crate::page::{Body, Context, Section, folded, lead, note};
use crate::plot::Tone;
use crate::text::{self, Text};

/// Files that are seen at once.
const FILES_MAX: usize = 12;

pub fn files(c: &Context) -> Section {
    let files = list(&c.record["files"]);
    let body = if files.is_empty() { Body::NotMeasured(text::NOT_MEASURED) } else { Body::Html(files_body(c, files)) };
    let harm = c.harm(&|_, kind| matches!(kind, "utf16" | "gb18030" | "bom"));
    Section { id: "files", title: text::FILES, harm, body }
}

fn files_body(c: &Context, files: &[Value]) -> String {
    let train: Vec<&Value> = read_files(c.record, "train").collect();
    let bytes = train.iter().filter_map(|f| whole(&f["bytes"])).fold(0, u64::saturating_add);
    let values = [
        ("read", c.rows(&c.record["rows"]["read"])),
        ("understood", c.count(&c.record["rows"]["understood"])),
        ("files", text::files(train.len() as u64, c.language)),
        ("size", numbers::bytes(bytes)),
    ];
    let mut out = lead(&c.with(text::FILES_LEAD, &values.each_ref().map(|(k, v)| (*k, v.as_str()))));
    let mut sets: Vec<&str> = files.iter().map(|f| string(&f["set"])).filter(|s| *s != "train").collect();
    sets.sort_unstable();
    sets.dedup();
    if !sets.is_empty() {
        out.push_str(&format!("<p>{}</p>", c.with(text::FILES_EVAL, &[("sets", &sets.join(c.comma()))])));
    }
    let (first, rest) = files.split_at(files.len().min(FILES_MAX));
    out.push_str(&file_table(c, first));
    if !rest.is_empty() {
        out.push_str(&folded(&c.with(text::MORE, &[("n", &numbers::count(rest.len() as u64))]), &file_table(c, rest)));
    }
    out
}

fn file_table(c: &Context, files: &[Value]) -> String {
    let rows = files.iter().map(|f| {
        let set = match string(&f["set"]) {
            "train" => c.t(text::SET_TRAIN).to_string(),
            other => escape(other),
        };
        let faulty = match (whole(&f["rows"]), whole(&f["understood"])) {
            (Some(rows), Some(understood)) => numbers::count(rows.saturating_sub(understood)),
            _ => numbers::UNKNOWN.to_string(),
        };
        let mut said = vec![set];
        said.extend([&f["format"], &f["note"], &f["encoding"]].into_iter().filter_map(|v| v.as_str()).map(escape));
        let problem =
            f["problem"].as_str().map_or(String::new(), |p| format!("<span class=\"problem\">{}</span>", escape(p)));
        vec![
            format!(
                "<span class=\"path\">{}</span><span class=\"under\">{}</span>{problem}",
                escape(string(&f["file"])),
                said.join(" · ")
            ),
            c.count(&f["rows"]),
            faulty,
            whole(&f["bytes"]).map_or_else(|| numbers::UNKNOWN.to_string(), numbers::bytes),
        ]
    });
    Table {
        class: "",
        caption: c.t(text::FILES).to_string(),
        columns: vec![
            column(c.t(text::FILE), Kind::Words),
            column(c.t(text::ROWS), Kind::Number),
            column(c.t(text::FAULTY), Kind::Number),
            column(c.t(text::SIZE), Kind::Extra),
        ],
        rows: rows.collect(),
    }
    .html()
}

pub fn faults(c: &Context) -> Section {
    let types = list(&c.record["faults"]["types"]);
    let body = if c.record["faults"].is_null() {
        Body::NotMeasured(text::NOT_MEASURED)
    } else {
        Body::Html(faults_body(c, types))
    };
    Section { id: "faults", title: text::FAULTS, harm: c.harm(&|check, _| check == "fault"), body }
}

fn faults_body(c: &Context, types: &[Value]) -> String {
    let (found, absent): (Vec<&Value>, Vec<&Value>) =
        types.iter().partition(|t| whole(&t["findings"]).unwrap_or(0) > 0);
    let findings = found.iter().filter_map(|t| whole(&t["findings"])).fold(0, u64::saturating_add);
    let [kinds, all, findings] = [found.len() as u64, types.len() as u64, findings].map(numbers::count);
    let mut out = lead(&c.with(text::FAULTS_LEAD, &[("kinds", &kinds), ("all", &all), ("findings", &findings)]));
    if !found.is_empty() {
        out.push_str(&fault_table(c, found));
    }
    if !absent.is_empty() {
        let names: Vec<String> =
            absent.iter().map(|t| crate::kinds::name("fault", string(&t["type"]), c.language)).collect();
        out.push_str(&note(&c.with(text::FAULTS_NONE, &[("kinds", &names.join(c.comma()))])));
    }
    out
}

/// What cleaning does, in a word.
fn does(name: &str) -> Text {
    match name {
        "removes" => text::DOES_REMOVE,
        "repairs" => text::DOES_REPAIR,
        "redacts" => text::DOES_REDACT,
        _ => text::DOES_NOTHING,
    }
}

fn fault_table(c: &Context, mut found: Vec<&Value>) -> String {
    found.sort_by_key(|t| std::cmp::Reverse(whole(&t["rows"]).unwrap_or(0)));
    let most = found.iter().filter_map(|t| number(&t["rows"])).fold(0.0, f64::max);
    let rows = found.iter().map(|t| {
        vec![
            c.kind("fault", string(&t["type"])),
            c.count(&t["findings"]),
            c.count(&t["rows"]),
            bar(if most > 0.0 { number(&t["rows"]).unwrap_or(0.0) / most } else { 0.0 }, Tone::Data),
            c.t(does(string(&t["clean"]))).to_string(),
        ]
    });
    Table {
        class: "",
        caption: c.t(text::FAULTS).to_string(),
        columns: vec![
            column(c.t(text::TYPE), Kind::Words),
            column(c.t(text::COUNT), Kind::Number),
            column(c.t(text::ROWS), Kind::Number),
            column("", Kind::Bar),
            column(c.t(text::CLEANING), Kind::Words),
        ],
        rows: rows.collect(),
    }
    .html()
}
