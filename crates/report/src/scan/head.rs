//! The verdict, what to do, and the numbers that everyone asks for.

use serde_json::Value;

use crate::html::escape;
use crate::json::{list, named, number, string, sum, whole};
use crate::number::{self as numbers, UNKNOWN};
use crate::page::{self, Context, Gate, Harm};
use crate::text;
use crate::{Language, kinds};

/// More would not be read: the ranked table has all.
const ACTIONS_MAX: usize = 6;
/// Findings that are named with an action.
const NAMES_MAX: usize = 6;

/// In a few words, and in one sentence.
pub(crate) fn verdict(scan: &Value, language: Language) -> (&'static str, String) {
    let rows = |value: &Value| whole(value).map_or_else(|| UNKNOWN.to_string(), |n| text::rows(n, language));
    let (read, understood) = (rows(&scan["rows"]["read"]), rows(&scan["rows"]["understood"]));
    let clean = &scan["clean"];
    let [kept, removed, changed] = ["kept", "removed", "changed"]
        .map(|key| whole(&clean[key]).map_or_else(|| UNKNOWN.to_string(), numbers::count));
    let share = match (number(&clean["kept"]), number(&scan["rows"]["read"])) {
        (Some(kept), Some(read)) if read > 0.0 => numbers::share(kept / read),
        _ => UNKNOWN.to_string(),
    };
    let files = text::files(read_files(scan, "train").count() as u64, language);
    let (short, long) = match string(&scan["verdict"]["state"]) {
        "ready" => (text::READY, text::READY_WHY),
        "clean_first" => (text::CLEAN_FIRST, text::CLEAN_FIRST_WHY),
        "not_ready" => (text::NOT_READY, text::NOT_READY_WHY),
        "empty" => (text::EMPTY, text::EMPTY_WHY),
        _ => return (text::UNKNOWN_STATE.of(language), String::new()),
    };
    let values = [
        ("read", read.as_str()),
        ("understood", &understood),
        ("kept", &kept),
        ("removed", &removed),
        ("changed", &changed),
        ("share", &share),
        ("files", &files),
    ];
    (short.of(language), long.with(language, &values))
}

/// The files of a set.
pub(crate) fn read_files<'a>(scan: &'a Value, set: &'static str) -> impl Iterator<Item = &'a Value> {
    list(&scan["files"]).iter().filter(move |f| f["set"] == set)
}

pub fn header(c: &Context) -> String {
    let (short, long) = verdict(c.record, c.language);
    let state = match string(&c.record["verdict"]["state"]) {
        "ready" => "ready",
        "clean_first" => "clean-first",
        _ => "not-ready",
    };
    format!(
        "<header class=\"{state}\"><p class=\"brand\">athanor scan <span>{}</span></p><h1>{}</h1>\
         <p class=\"why\">{}</p>{}{}{}</header>",
        c.t(text::TITLE),
        escape(short),
        escape(&long),
        actions(c),
        gates(c),
        tiles(c)
    )
}

/// Findings that are settled by the same act.
struct Action<'a> {
    harm: Harm,
    act: &'a str,
    why: &'a str,
    of: Vec<String>,
}

/// The most harmful findings, as things to do.
fn actions(c: &Context) -> String {
    let mut out = format!("<div class=\"todo\"><h2>{}</h2>", c.t(text::WHAT_TO_DO));
    let actions = serious(c);
    if actions.is_empty() {
        out.push_str(&format!("<p>{}</p>", c.t(text::NOTHING_TO_DO)));
    }
    out.push_str("<ol>");
    for action in actions.iter().take(ACTIONS_MAX) {
        let shown = action.of.len().min(NAMES_MAX);
        let mut of = action.of[..shown].join(c.comma());
        if shown < action.of.len() {
            let more = numbers::count((action.of.len() - shown) as u64);
            of.push_str(&format!("{}{}", c.comma(), c.with(text::MORE, &[("n", &more)])));
        }
        out.push_str(&format!(
            "<li>{}<span><b>{}</b> <span class=\"of\">{of}</span><br><span class=\"soft\">{}</span></span></li>",
            action.harm.marker(),
            escape(action.act),
            escape(action.why),
        ));
    }
    out.push_str("</ol>");
    if !list(&c.record["verdict"]["items"]).is_empty() {
        out.push_str(&format!("<p class=\"all\"><a href=\"#findings\">{}</a></p>", c.t(text::ALL_FINDINGS)));
    }
    out.push_str("</div>");
    out
}

fn serious<'a>(c: &Context<'a>) -> Vec<Action<'a>> {
    let mut actions: Vec<Action> = Vec::new();
    for item in list(&c.record["verdict"]["items"]) {
        let (check, kind) = (string(&item["check"]), string(&item["type"]));
        let harm = Harm::of(string(&item["harm"]));
        if harm < Harm::Harmful || whole(&item["findings"]) == Some(0) {
            continue;
        }
        let known = kinds::find(check, kind);
        let act = known.map_or("", |k| k.act.of(c.language));
        let why = known.map_or("", |k| k.why.of(c.language));
        let of = format!("{} <span class=\"soft\">{}</span>", c.kind(check, kind), c.count(&item["rows"]));
        match actions.iter_mut().find(|a| a.act == act && a.why == why) {
            Some(action) => action.of.push(of),
            None => actions.push(Action { harm, act, why, of: vec![of] }),
        }
    }
    actions
}

fn gates(c: &Context) -> String {
    let gate = |gate| {
        let gate: &Value = gate;
        let passed = gate["passed"].as_bool() == Some(true);
        Gate { expression: string(&gate["expr"]), passed, found: c.decimal(&gate["value"], 4) }
    };
    let gates: Vec<Gate> = list(&c.record["gates"]).iter().map(gate).collect();
    page::gates(c, &gates)
}

struct Tile {
    value: String,
    label: String,
    note: String,
    section: &'static str,
}

fn tiles(c: &Context) -> String {
    let tiles = [rows(c), kept(c), duplicates(c), personal(c), leaked(c), length(c), language(c), quality(c)];
    let items: String = tiles
        .iter()
        .map(|t| {
            format!(
                "<li><a href=\"#{}\"><span class=\"value\">{}</span><span class=\"name\">{}</span>\
                 <span class=\"soft\">{}</span></a></li>",
                t.section,
                escape(&t.value),
                escape(&t.label),
                escape(&t.note)
            )
        })
        .collect();
    format!("<ul class=\"tiles\">{items}</ul>")
}

fn tile(c: &Context, section: &'static str, label: text::Text, measured: Option<(String, String)>) -> Tile {
    let (value, note) = measured.unwrap_or_else(|| (UNKNOWN.to_string(), c.t(text::NOT_MEASURED).to_string()));
    Tile { value, label: c.t(label).to_string(), note, section }
}

fn rows(c: &Context) -> Tile {
    let faulty = c.count(&c.record["rows"]["faulty"]);
    let note = text::TILE_ROWS_NOTE.with(c.language, &[("faulty", &faulty)]);
    let measured = whole(&c.record["rows"]["read"]).map(|n| (numbers::count(n), note));
    tile(c, "files", text::TILE_ROWS, measured)
}

fn kept(c: &Context) -> Tile {
    let read = number(&c.record["rows"]["read"]).unwrap_or(0.0);
    let measured = number(&c.record["clean"]["kept"]).filter(|_| read > 0.0);
    let measured = measured.map(|n| (numbers::share(n / read), c.rows(&c.record["clean"]["kept"])));
    tile(c, "findings", text::TILE_KEPT, measured)
}

fn duplicates(c: &Context) -> Tile {
    let section = &c.record["duplicates"];
    let removed = text::rows(sum(&section["kinds"], "removed"), c.language);
    let measured = number(&section["rate"]).map(|rate| (numbers::share(rate), removed));
    tile(c, "duplicates", text::TILE_DUPLICATES, measured)
}

fn personal(c: &Context) -> Tile {
    let section = &c.record["pii"];
    let secrets = c.rows(&section["secrets"]["rows"]);
    let note = text::TILE_PII_NOTE.with(c.language, &[("secrets", &secrets)]);
    tile(c, "pii", text::TILE_PII, whole(&section["rows"]).map(|n| (numbers::count(n), note)))
}

fn leaked(c: &Context) -> Tile {
    let sets = &c.record["leaks"]["sets"];
    let (leaked, all) = (sum(sets, "leaked"), sum(sets, "rows"));
    let note = if all > 0 { numbers::share(leaked as f64 / all as f64) } else { String::new() };
    tile(c, "leaks", text::TILE_LEAKS, sets.as_array().map(|_| (numbers::count(leaked), note)))
}

fn length(c: &Context) -> Tile {
    let parts = list(&c.record["lengths"]["parts"]);
    let of = |unit: &str| parts.iter().find(|p| p["part"] == "whole" && p["unit"] == unit);
    let (part, note) = match (of("tokens"), of("characters")) {
        (Some(part), _) => (part, text::TILE_TOKENS),
        (None, Some(part)) => (part, text::TILE_CHARACTERS),
        (None, None) => return tile(c, "lengths", text::TILE_LENGTH, None),
    };
    let p95 = c.count(&part["quantiles"]["p95"]);
    let note = note.with(c.language, &[("p95", &p95)]);
    tile(c, "lengths", text::TILE_LENGTH, Some((c.count(&part["quantiles"]["p50"]), note)))
}

fn language(c: &Context) -> Tile {
    let part =
        named(&c.record["languages"]["parts"], "part", "whole").or(list(&c.record["languages"]["parts"]).first());
    let first = part.and_then(|p| list(&p["counts"]).first().map(|top| (p, top)));
    let measured = first.map(|(part, top)| {
        let share = number(&top["rows"]).unwrap_or(0.0) / number(&part["rows"]).unwrap_or(0.0);
        let note = text::TILE_LANGUAGE_NOTE.with(c.language, &[("share", &numbers::share(share))]);
        (kinds::language_name(string(&top["language"]), c.language), note)
    });
    tile(c, "languages", text::TILE_LANGUAGE, measured)
}

fn quality(c: &Context) -> Tile {
    let section = &c.record["quality"];
    let (rows, threshold) = (c.rows(&section["low"]["rows"]), c.decimal(&section["low"]["threshold"], 2));
    let note = text::TILE_QUALITY_NOTE.with(c.language, &[("rows", &rows), ("threshold", &threshold)]);
    tile(c, "quality", text::TILE_QUALITY, number(&section["mean"]).map(|x| (numbers::decimal(x, 2), note)))
}
