//! Findings ranked, findings to look at, and the rows themselves.

use serde_json::Value;

use crate::html::{Kind, Table, bar, column, escape};
use crate::json::{list, number, string, whole};
use crate::kinds;
use crate::number as numbers;
use crate::page::{Body, Context, Harm, Section, lead};
use crate::plot::Tone;
use crate::text::{self, Text};

/// Characters of a row in its summary.
const SUMMARY_MAX: usize = 60;

pub fn ranked(c: &Context) -> Section {
    let items = list(&c.record["verdict"]["items"]);
    let body = if c.record["verdict"]["items"].is_null() {
        Body::NotMeasured(text::NOT_MEASURED)
    } else if items.is_empty() {
        Body::Html(lead(c.t(text::NONE_FOUND)))
    } else {
        Body::Html(lead(c.t(text::FINDINGS_LEAD)) + &ranking(c, items).html())
    };
    Section { id: "findings", title: text::FINDINGS, harm: None, body }
}

fn ranking(c: &Context, items: &[Value]) -> Table {
    let most = items.iter().filter_map(|i| number(&i["share"])).fold(0.0, f64::max);
    let rows = items.iter().map(|item| {
        let (check, kind) = (string(&item["check"]), string(&item["type"]));
        let harm = Harm::of(string(&item["harm"]));
        let known = kinds::find(check, kind);
        let act = known.map_or(String::new(), |k| escape(k.act.of(c.language)));
        let why = known.map_or(String::new(), |k| escape(k.why.of(c.language)));
        let tone = match harm {
            Harm::Blocks => Tone::Blocks,
            Harm::Harmful => Tone::Harmful,
            Harm::Look | Harm::Note => Tone::Data,
        };
        vec![
            harm.badge(c),
            format!("<a href=\"#{}\">{}</a><span class=\"under\">{why}</span>", section_of(check), c.kind(check, kind)),
            c.count(&item["rows"]),
            c.share_cell(&item["share"]),
            bar(if most > 0.0 { number(&item["share"]).unwrap_or(0.0) / most } else { 0.0 }, tone),
            format!("{act}<span class=\"under\">{}</span>", c.t(cleaning(string(&item["clean"])))),
        ]
    });
    Table {
        class: "ranked",
        caption: c.t(text::FINDINGS_LEAD).to_string(),
        columns: vec![
            column(c.t(text::HARM), Kind::Words),
            column(c.t(text::FINDING), Kind::Words),
            column(c.t(text::ROWS), Kind::Number),
            column(c.t(text::SHARE), Kind::Number),
            column("", Kind::Bar),
            column(c.t(text::ACTION), Kind::Words),
        ],
        rows: rows.collect(),
    }
}

/// What `--clean` does about a finding.
fn cleaning(name: &str) -> Text {
    match name {
        "removes" => text::CLEAN_REMOVES,
        "repairs" => text::CLEAN_REPAIRS,
        "redacts" => text::CLEAN_REDACTS,
        _ => text::CLEAN_NOTHING,
    }
}

/// Where the page says more about a check.
fn section_of(check: &str) -> &'static str {
    match check {
        "length" => "lengths",
        "language" => "languages",
        "fault" => "faults",
        "pii" | "secret" => "pii",
        "duplicate" => "duplicates",
        "leak" => "leaks",
        "poison" => "poison",
        "quality" => "quality",
        _ => "look",
    }
}

/// Findings by check, the filter being a matter of the script: without it all are there.
pub fn look(c: &Context) -> Section {
    let shown = list(&c.record["findings"]["shown"]);
    let body = if c.record["findings"].is_null() {
        Body::NotMeasured(text::NOT_MEASURED)
    } else if shown.is_empty() {
        Body::Html(lead(c.t(text::NONE_FOUND)))
    } else {
        Body::Html(all_found(c, shown))
    };
    Section { id: "look", title: text::LOOK, harm: None, body }
}

fn all_found(c: &Context, shown: &[Value]) -> String {
    let total = c.count(&c.record["findings"]["total"]);
    let count = numbers::count(shown.len() as u64);
    let mut out = lead(&c.with(text::LOOK_LEAD, &[("shown", &count), ("total", &total)]));
    out.push_str(&format!(
        "<p class=\"filter\" hidden><label>{} <input type=\"search\" placeholder=\"{}\"></label>\
         <output aria-live=\"polite\" data-none=\"{}\"></output></p>",
        c.t(text::FILTER),
        c.t(text::FILTER_HINT),
        c.t(text::FILTER_NONE)
    ));
    let mut checks: Vec<&str> = Vec::new();
    for finding in shown {
        let check = string(&finding["check"]);
        if !checks.contains(&check) {
            checks.push(check);
        }
    }
    for check in checks {
        let of: Vec<&Value> = shown.iter().filter(|f| f["check"] == check).collect();
        let name = escape(&kinds::check_name(check, c.language));
        let table = Table {
            class: "finds",
            caption: kinds::check_name(check, c.language),
            columns: vec![
                column(c.t(text::TYPE), Kind::Words),
                column(c.t(text::WHERE), Kind::Words),
                column(c.t(text::WHY), Kind::Words),
            ],
            rows: of.iter().map(|f| found(c, f)).collect(),
        };
        out.push_str(&format!(
            "<details class=\"found\" open><summary>{name} <span class=\"soft\">{}</span></summary>{}</details>",
            numbers::count(of.len() as u64),
            table.html()
        ));
    }
    out
}

fn found(c: &Context, finding: &Value) -> Vec<String> {
    let mut at = escape(string(&finding["field"]));
    if let (Some(start), Some(end)) = (whole(&finding["start"]), whole(&finding["end"])) {
        at.push_str(&format!(" {start}–{end}"));
    }
    if let Some(column) = whole(&finding["column"]) {
        at.push_str(&c.with(text::COLUMN, &[("n", &numbers::count(column))]));
    }
    let confidence = c.fixed(&finding["confidence"]);
    let mut why = escape(string(&finding["why"]));
    if let Some(group) = whole(&finding["group"]) {
        let words = if finding["keep"] == true { text::KEPT_OF_GROUP } else { text::IN_GROUP };
        why.push_str(&c.with(words, &[("n", &group.to_string())]));
    }
    vec![
        format!(
            "{}<span class=\"under\">{} {confidence}</span>",
            c.kind(string(&finding["check"]), string(&finding["type"])),
            c.t(text::CONFIDENCE)
        ),
        format!("{}<span class=\"under\">{at}</span>", c.place(finding)),
        format!("<span class=\"why\">{why}</span>{}", c.excerpt(&finding["excerpt"])),
    ]
}

pub fn samples(c: &Context) -> Section {
    let samples = list(&c.record["samples"]);
    let body = if samples.is_empty() {
        Body::NotMeasured(text::NONE_SHOWN)
    } else {
        let rows: String = samples.iter().enumerate().map(|(i, sample)| row(c, i, sample)).collect();
        Body::Html(lead(c.t(text::SAMPLES_LEAD)) + &rows)
    };
    Section { id: "rows", title: text::SAMPLES, harm: None, body }
}

fn row(c: &Context, i: usize, sample: &Value) -> String {
    let fields = list(&sample["fields"]);
    let first = fields.first().map_or("", |f| string(&f["text"]));
    let start: String = first.chars().take(SUMMARY_MAX).collect();
    let place = escape(&format!("{}:{}", string(&sample["file"]), whole(&sample["line"]).unwrap_or(0)));
    let texts: String = fields.iter().map(|f| field(c, f)).collect();
    format!(
        "<details class=\"row\" id=\"row-{i}\"><summary><span class=\"place\" data-copy=\"{place}\">{place}</span> \
         <span class=\"soft start\">{}</span></summary><dl>{texts}</dl></details>",
        escape(&start)
    )
}

fn field(c: &Context, field: &Value) -> String {
    let text = match string(&field["text"]) {
        "" => format!("<span class=\"soft\">{}</span>", c.t(text::EMPTY_FIELD)),
        text => escape(text),
    };
    let cut = match whole(&field["cut"]) {
        Some(n) if n > 0 => {
            format!(" <span class=\"soft\">… {}</span>", c.with(text::CUT, &[("n", &numbers::count(n))]))
        }
        _ => String::new(),
    };
    format!("<dt>{}</dt><dd>{text}{cut}</dd>", escape(string(&field["name"])))
}
