//! Rows that are alike.

use serde_json::Value;

use crate::html::{Kind, Table, bar, column, escape};
use crate::json::{list, number as as_number, numbers, string, sum, whole};
use crate::page::{Body, Context, Section, heading, lead, legend, note};
use crate::plot::{self, Bar, Cluster, Histogram, Scale, Tone};
use crate::text;
use crate::{kinds, number};

/// Pixels of two plots side by side.
const HALF: f64 = 420.0;
/// Group sizes that are shown together, from the first to the last of each.
const SIZES: [(u64, u64); 8] = [(2, 2), (3, 3), (4, 4), (5, 9), (10, 19), (20, 49), (50, 99), (100, u64::MAX)];

pub fn section(c: &Context) -> Section {
    let duplicates = &c.record["duplicates"];
    let body =
        if duplicates.is_null() { Body::NotMeasured(text::NOT_MEASURED) } else { Body::Html(body(c, duplicates)) };
    Section { id: "duplicates", title: text::DUPLICATES, harm: c.harm(&|check, _| check == "duplicate"), body }
}

fn body(c: &Context, duplicates: &Value) -> String {
    let removed = text::rows(sum(&duplicates["kinds"], "removed"), c.language);
    let rate = c.share(&duplicates["rate"]);
    let mut out = lead(&c.with(text::DUPLICATES_LEAD, &[("removed", &removed), ("rate", &rate)]));
    out.push_str(&kinds_table(c, duplicates));
    out.push_str(&how(c, duplicates));
    let largest = list(&duplicates["largest"]);
    if !largest.is_empty() {
        out.push_str(&heading(c.t(text::LARGEST)));
        out.push_str(&heaps(c, largest));
        out.push_str(&legend(
            &[("keep", text::DOT_STAYS), ("drop", text::DOT_REMOVED), ("whole", text::DOT_LEFT)]
                .map(|(class, words)| (format!("<circle class=\"{class}\" cx=\"5\" cy=\"5\" r=\"3.5\"/>"), c.t(words))),
        ));
        out.extend(largest.iter().enumerate().map(|(i, group)| members(c, i, group)));
    }
    let plots = sizes(c, list(&duplicates["sizes"])) + &overlap(c, &duplicates["overlap"]);
    out.push_str(&format!("<div class=\"pair even\">{plots}</div>"));
    out.push_str(&passages(c, list(&duplicates["passages"])));
    out
}

fn how(c: &Context, duplicates: &Value) -> String {
    let key = if duplicates["key"] == "instruction" { text::KEY_INSTRUCTION } else { text::KEY_ROW };
    let letters = whole(&duplicates["shingle"]);
    let ideographs = letters.map_or_else(|| number::UNKNOWN.to_string(), |n| number::count(n.div_ceil(2)));
    let mut out = note(&c.with(
        text::DUPLICATES_HOW,
        &[
            ("key", c.t(key)),
            ("threshold", &c.decimal(&duplicates["threshold"], 3)),
            ("letters", &c.count(&duplicates["shingle"])),
            ("ideographs", &ideographs),
            ("bands", &c.count(&duplicates["bands"])),
            ("values", &c.count(&duplicates["rows_per_band"])),
            ("recall", &c.share(&duplicates["recall_at_threshold"])),
        ],
    ));
    let reached =
        duplicates["limits"].as_object().into_iter().flatten().filter(|(_, n)| whole(n).is_some_and(|n| n > 0));
    let reached: Vec<String> = reached.map(|(name, n)| format!("{name} {}", c.count(n))).collect();
    if !reached.is_empty() {
        out.push_str(&note(&c.with(text::LIMITS, &[("limits", &reached.join(c.comma()))])));
    }
    out
}

/// Long passages: shared, though the rows are not.
fn passages(c: &Context, passages: &[Value]) -> String {
    if passages.is_empty() {
        return String::new();
    }
    let rows = passages.iter().map(|p| {
        let at = format!("{}<span class=\"under\">{}</span>", c.place(&p["at"]), escape(string(&p["at"]["field"])));
        let passage = format!("{}{at}", c.excerpt(&p["excerpt"]));
        vec![passage, c.count(&p["characters"]), c.count(&p["rows"]), c.share_cell(&p["share"])]
    });
    let table = Table {
        class: "",
        caption: c.t(text::PASSAGES).to_string(),
        columns: vec![
            column(c.t(text::PASSAGE), Kind::Words),
            column(c.t(text::PASSAGE_LENGTH), Kind::Number),
            column(c.t(text::ROWS), Kind::Number),
            column(c.t(text::SHARE), Kind::Number),
        ],
        rows: rows.collect(),
    };
    heading(c.t(text::PASSAGES)) + &table.html()
}

fn kinds_table(c: &Context, duplicates: &Value) -> String {
    let kinds = list(&duplicates["kinds"]);
    let most = kinds.iter().filter_map(|k| as_number(&k["rows"])).fold(0.0, f64::max);
    let rows = kinds.iter().map(|kind| {
        vec![
            c.kind("duplicate", string(&kind["type"])),
            c.count(&kind["groups"]),
            c.count(&kind["rows"]),
            bar(if most > 0.0 { as_number(&kind["rows"]).unwrap_or(0.0) / most } else { 0.0 }, Tone::Data),
            c.count(&kind["removed"]),
        ]
    });
    Table {
        class: "",
        caption: c.t(text::DUPLICATES).to_string(),
        columns: vec![
            column(c.t(text::KIND), Kind::Words),
            column(c.t(text::GROUPS), Kind::Number),
            column(c.t(text::ROWS), Kind::Number),
            column("", Kind::Bar),
            column(c.t(text::REMOVED), Kind::Number),
        ],
        rows: rows.collect(),
    }
    .html()
}

fn heaps(c: &Context, groups: &[Value]) -> String {
    let words: Vec<(String, String, String)> = groups
        .iter()
        .enumerate()
        .map(|(i, g)| (kinds::short(string(&g["type"]), c.language).to_string(), c.rows(&g["rows"]), anchor(i)))
        .collect();
    let picture = c.plot(c.t(text::LARGEST_PLOT), &|canvas| {
        let data: Vec<Cluster> = groups
            .iter()
            .zip(&words)
            .map(|(group, (label, note, anchor))| {
                let rows = whole(&group["rows"]).unwrap_or(0);
                // Where all rows stay, there is nothing to tell apart.
                let kept = whole(&group["kept"]).filter(|kept| *kept < rows);
                Cluster { label, note, rows, kept, anchor }
            })
            .collect();
        plot::clusters(&data, canvas)
    });
    format!("<figure>{picture}</figure>")
}

/// Of the group at a place of the list: numbers are the record's to give, and may come twice.
fn anchor(i: usize) -> String {
    format!("group-{i}")
}

fn members(c: &Context, i: usize, group: &Value) -> String {
    let members = list(&group["members"]);
    let rows = whole(&group["rows"]).unwrap_or(0);
    let number = whole(&group["group"]).unwrap_or(0).to_string();
    let places = c.places(members, &|place| (place["keep"] == true).then_some(text::KEPT));
    let more = match rows.saturating_sub(members.len() as u64) {
        0 => String::new(),
        n => format!("<p class=\"soft\">{}</p>", c.with(text::MORE, &[("n", &number::count(n))])),
    };
    let (start, whole_excerpt) = c.excerpts(&group["excerpt"]);
    format!(
        "<details class=\"group\" id=\"{}\"><summary><b>{}</b> <span class=\"soft\">{} · {}</span> {}</summary>\
         {whole_excerpt}<p>{places}</p>{more}</details>",
        anchor(i),
        c.with(text::GROUP, &[("n", &number)]),
        c.kind("duplicate", string(&group["type"])),
        c.rows(&group["rows"]),
        start,
    )
}

/// Groups by their number of rows.
fn sizes(c: &Context, sizes: &[Value]) -> String {
    if sizes.is_empty() {
        return String::new();
    }
    let mut bars: Vec<(String, u64)> = Vec::new();
    for (low, high) in SIZES {
        let within = sizes.iter().filter(|s| whole(&s["size"]).is_some_and(|n| n >= low && n <= high));
        let groups = within.filter_map(|s| whole(&s["groups"])).fold(0, u64::saturating_add);
        let label = match high {
            u64::MAX => text::OR_MORE.with(c.language, &[("n", &low.to_string())]),
            _ if low == high => low.to_string(),
            _ => format!("{low}–{high}"),
        };
        bars.push((label, groups));
    }
    while bars.last().is_some_and(|b| b.1 == 0) {
        bars.pop();
    }
    let notes: Vec<String> = bars.iter().map(|b| text::groups(b.1, c.language)).collect();
    let picture = c.plot_of(c.t(text::SIZES), HALF, &|canvas| {
        let bars: Vec<Bar> = bars
            .iter()
            .zip(&notes)
            .map(|((label, groups), note)| Bar { label, value: *groups as f64, note, tone: Tone::Data })
            .collect();
        plot::bars(&bars, canvas)
    });
    format!("<figure><figcaption>{}</figcaption>{picture}</figure>", c.t(text::SIZES))
}

fn overlap(c: &Context, overlap: &Value) -> String {
    if overlap.is_null() {
        return String::new();
    }
    let n = c.string_of(&overlap["n"]);
    let (edges, counts) = (numbers(&overlap["histogram"]["edges"]), numbers(&overlap["histogram"]["counts"]));
    let picture = c.plot_of(&text::OVERLAP_PLOT.with(c.language, &[("n", &n)]), HALF, &|canvas| {
        let data = Histogram {
            edges: &edges,
            counts: &counts,
            scale: Scale::Linear,
            domain: Some((0.0, 1.0)),
            marks: &[],
            spread: None,
            height: 130.0,
        };
        plot::histogram(&data, canvas)
    });
    format!(
        "<figure><figcaption>{}</figcaption>{picture}{}</figure>",
        escape(&text::OVERLAP.with(c.language, &[("n", &n)])),
        note(&text::OVERLAP_KEY.with(c.language, &[("sampled", &c.count(&overlap["sampled_one_in"]))]))
    )
}
