//! What the instructions ask for.

use serde_json::Value;

use crate::html::{Kind, Table, column, escape};
use crate::json::{list, named, number, string, sum, whole};
use crate::page::{Body, Context, Section, folded, heading, lead, note};
use crate::plot::{self, Bar, Slice, Tone};
use crate::text::{self, Text};
use crate::{Language, number as numbers};

/// From recalling to creating.
pub const LEVELS: [(&str, Text); 6] = [
    ("remember", text::REMEMBER),
    ("understand", text::UNDERSTAND),
    ("apply", text::APPLY),
    ("analyse", text::ANALYSE),
    ("evaluate", text::EVALUATE),
    ("create", text::CREATE),
];
/// Pixels.
const SUNBURST: f64 = 520.0;
const BESIDE: f64 = 330.0;

pub fn section(c: &Context) -> Section {
    let instructions = &c.record["instructions"];
    let body =
        if instructions.is_null() { Body::NotMeasured(text::NOT_MEASURED) } else { Body::Html(body(c, instructions)) };
    Section { id: "instructions", title: text::INSTRUCTIONS, harm: None, body }
}

fn body(c: &Context, instructions: &Value) -> String {
    let [verbs, pairs] = ["verbs", "pairs"].map(|k| c.count(&instructions[k]));
    let (entropy, top) = (c.decimal(&instructions["entropy"], 1), c.share(&instructions["top_share"]));
    let mut out = lead(
        &c.with(text::INSTRUCTIONS_LEAD, &[("verbs", &verbs), ("pairs", &pairs), ("entropy", &entropy), ("top", &top)]),
    );
    let with_verb = number(&instructions["with_verb"]).unwrap_or(0.0);
    if with_verb <= 0.0 {
        return lead(c.t(text::NO_VERBS));
    }
    let share = with_verb / number(&instructions["rows"]).unwrap_or(0.0);
    let values = [("rows", c.rows(&instructions["with_verb"])), ("share", numbers::share(share))];
    out.push_str(&format!("<p>{}</p>", c.with(text::WITH_VERB, &values.each_ref().map(|(k, v)| (*k, v.as_str())))));
    out.push_str("<div class=\"pair\">");
    out.push_str(&rings(c, instructions, with_verb));
    out.push_str(&format!(
        "<div>{}{}{}{}{}</div></div>",
        heading(c.t(text::LEVELS)),
        levels(c, instructions),
        missing(c, instructions),
        counts(c, text::STEPS, &instructions["steps"]["counts"]),
        counts(c, text::CONSTRAINTS, &instructions["constraints"]["counts"])
    ));
    out.push_str(&folded(c.t(text::VERBS), &table(c, list(&instructions["top"]))));
    out
}

fn rings(c: &Context, instructions: &Value, with_verb: f64) -> String {
    let mut top: Vec<&Value> = list(&instructions["top"]).iter().collect();
    // By level, so that colours read as an order; the record has them by rows.
    top.sort_by_key(|v| level(string(&v["level"])));
    let picture = c.plot_of(c.t(text::SUNBURST), SUNBURST, &|canvas| {
        let slices: Vec<Slice> = top.iter().map(|v| slice(c, v)).collect();
        plot::sunburst(&slices, (&c.count(&instructions["pairs"]), c.t(text::SUNBURST_MIDDLE)), canvas)
    });
    let covered = sum(&instructions["top"], "rows") as f64 / with_verb;
    let values = [("n", numbers::count(top.len() as u64)), ("share", numbers::share(covered))];
    let key = c.with(text::SUNBURST_KEY, &values.each_ref().map(|(k, v)| (*k, v.as_str())));
    format!(
        "<figure class=\"sunburst\"><figcaption>{}</figcaption>{picture}{}</figure>",
        c.t(text::SUNBURST),
        note(&key)
    )
}

fn slice<'a>(c: &Context, verb: &'a Value) -> Slice<'a> {
    let tone = Tone::Level(level(string(&verb["level"])));
    // What is no number stays one, so that the plot refuses it.
    let rows = |v: &Value| v["rows"].as_f64().unwrap_or(f64::NAN);
    let children = list(&verb["nouns"])
        .iter()
        .map(|n| Slice {
            label: n["noun"].as_str().unwrap_or(c.t(text::NO_NOUN)),
            value: rows(n),
            tone,
            children: Vec::new(),
        })
        .collect();
    Slice { label: string(&verb["verb"]), value: rows(verb), tone, children }
}

/// Its place in the order; unknown ones come last.
fn level(name: &str) -> usize {
    LEVELS.iter().position(|l| l.0 == name).unwrap_or(LEVELS.len())
}

pub(crate) fn level_name(name: &str, language: Language) -> &str {
    LEVELS.iter().find(|l| l.0 == name).map_or(name, |l| l.1.of(language))
}

fn levels(c: &Context, instructions: &Value) -> String {
    let total = sum(&instructions["levels"], "rows") as f64;
    let bars: Vec<(String, f64, String, Tone)> = LEVELS
        .iter()
        .enumerate()
        .map(|(i, (name, text))| {
            let rows =
                named(&instructions["levels"], "level", name).map_or(0.0, |l| l["rows"].as_f64().unwrap_or(f64::NAN));
            let share = if total > 0.0 { numbers::share(rows / total) } else { numbers::count(0) };
            (c.t(*text).to_string(), rows, share, Tone::Level(i))
        })
        .collect();
    bar_plot(c, c.t(text::LEVELS), &bars) + &note(c.t(text::LEVELS_LEAD))
}

fn bar_plot(c: &Context, title: &str, data: &[(String, f64, String, Tone)]) -> String {
    let picture = c.plot_of(title, BESIDE, &|canvas| {
        let bars: Vec<Bar> =
            data.iter().map(|(label, value, note, tone)| Bar { label, value: *value, note, tone: *tone }).collect();
        plot::bars(&bars, canvas)
    });
    format!("<figure>{picture}</figure>")
}

fn missing(c: &Context, instructions: &Value) -> String {
    let missing = list(&instructions["missing"]);
    if missing.is_empty() {
        return if instructions["missing"].is_null() { String::new() } else { note(c.t(text::MISSING_NONE)) };
    }
    missing
        .iter()
        .map(|m| {
            let verbs: Vec<&str> = list(&m["verbs"]).iter().map(string).collect();
            let level = level_name(string(&m["level"]), c.language);
            let (rows, verbs) = (c.rows(&m["rows"]), verbs.join(c.comma()));
            let text = if verbs.is_empty() { text::MISSING_NO_VERBS } else { text::MISSING };
            format!("<p class=\"gap\">{}</p>", c.with(text, &[("level", level), ("rows", &rows), ("verbs", &verbs)]))
        })
        .collect()
}

/// Rows with 0, 1, 2, … of something.
fn counts(c: &Context, title: Text, values: &Value) -> String {
    let counts = list(values);
    if counts.is_empty() {
        return String::new();
    }
    let bars: Vec<(String, f64, String, Tone)> = counts
        .iter()
        .enumerate()
        .map(|(i, count)| {
            let label = i.to_string();
            let label = if i + 1 == counts.len() { text::OR_MORE.with(c.language, &[("n", &label)]) } else { label };
            (label, count.as_f64().unwrap_or(f64::NAN), c.count(count), Tone::Data)
        })
        .collect();
    heading(c.t(title)) + &bar_plot(c, c.t(title), &bars)
}

fn table(c: &Context, top: &[Value]) -> String {
    let rows = top.iter().map(|verb| {
        let nouns: Vec<String> = list(&verb["nouns"])
            .iter()
            .map(|n| {
                let noun = n["noun"].as_str().unwrap_or(c.t(text::NO_NOUN));
                format!(
                    "{} <span class=\"soft\">{}</span>",
                    escape(noun),
                    numbers::count(whole(&n["rows"]).unwrap_or(0))
                )
            })
            .collect();
        vec![
            escape(string(&verb["verb"])),
            format!("<span class=\"whole-word\">{}</span>", escape(level_name(string(&verb["level"]), c.language))),
            c.count(&verb["rows"]),
            format!("<span class=\"breaks\">{}</span>", nouns.join(" · ")),
        ]
    });
    Table {
        class: "",
        caption: c.t(text::VERBS).to_string(),
        columns: vec![
            column(c.t(text::VERB), Kind::Words),
            column(c.t(text::LEVEL), Kind::Words),
            column(c.t(text::ROWS), Kind::Number),
            column(c.t(text::NOUNS), Kind::Words),
        ],
        rows: rows.collect(),
    }
    .html()
}
