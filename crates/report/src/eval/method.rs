//! By what all of it was measured, and how to do it again.

use serde_json::{Value, json};

use super::view::{Role, confidence};
use crate::html::{Kind, Table, column, escape};
use crate::json::{list, string, whole};
use crate::number as numbers;
use crate::page::{Body, Context, Section, folded, heading, lead, note};
use crate::text;

/// Characters of a hash that are shown: enough to compare with another by eye.
const HASH_CHARS: usize = 16;

pub fn section(c: &Context) -> Section {
    let limit = match whole(&c.record["limit"]) {
        None => c.t(text::LIMIT_NONE).to_string(),
        Some(n) => text::LIMIT.with(c.language, &[("n", &numbers::count(n))]),
    };
    let values = [
        ("seed", c.string_of(&c.record["seed"])),
        ("limit", limit),
        ("confidence", confidence(c)),
        ("resamples", c.count(&c.record["resamples"])),
    ];
    let said = [
        c.with(text::SEED, &values.each_ref().map(|(key, value)| (*key, value.as_str()))),
        c.t(if list(&c.record["conditions"]).is_empty() { text::REQUIRED_NONE } else { text::REQUIRED }).to_string(),
    ];
    let command = escape(&command(c.record));
    let html = [
        lead(&c.sentences(&said)),
        heading(c.t(text::REPEAT)),
        format!("<p><code class=\"place command\" data-copy=\"{command}\">{command}</code></p>"),
        note(c.t(text::REPEAT_NOTE)),
        heading(c.t(text::MODELS)),
        models(c),
        heading(c.t(text::SUITES)),
        suites(c),
    ];
    Section { id: "method", title: text::SETTINGS, harm: None, body: Body::Html(html.concat()) }
}

/// The command line that the record is of, as far as it holds it.
fn command(record: &Value) -> String {
    let mut words = vec!["athanor".to_string(), "eval".to_string()];
    words.extend(list(&record["suites"]).iter().map(|s| quoted(string(&s["file"]))));
    let models = list(&record["models"]);
    if let Some(last) = models.last() {
        words.extend(["--model".to_string(), quoted(string(&last["model"]))]);
        match last["adapter"].as_str() {
            Some(adapter) => words.extend(["--adapter".to_string(), quoted(adapter)]),
            None if models.len() > 1 => words.extend(["--base".to_string(), quoted(string(&models[0]["model"]))]),
            None => {}
        }
        if let (2, Some(before)) = (models.len(), models[0]["adapter"].as_str()) {
            words.extend(["--base-adapter".to_string(), quoted(before)]);
        }
        if models.len() == 1 && last["adapter"].is_string() {
            words.push("--alone".to_string());
        }
    }
    if let Some(limit) = whole(&record["limit"]) {
        words.extend(["--limit".to_string(), limit.to_string()]);
    }
    if let Some(seed) = whole(&record["seed"]).filter(|seed| *seed != 0) {
        words.extend(["--seed".to_string(), seed.to_string()]);
    }
    for condition in list(&record["conditions"]) {
        words.extend(["--require".to_string(), quoted(string(&condition["condition"]))]);
    }
    words.extend(["--out".to_string(), "DIR".to_string()]);
    words.join(" ")
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

fn models(c: &Context) -> String {
    let row = |model: &Value| {
        let who = if model["who"] == "tuned" { text::AFTER } else { text::BEFORE };
        let hash: String = string(&model["identity"]).chars().take(HASH_CHARS).collect();
        let path = |value: &Value| match value.as_str() {
            Some(path) => format!("<span class=\"path\">{}</span>", escape(path)),
            None => numbers::UNKNOWN.to_string(),
        };
        let under = match hash.is_empty() {
            true => String::new(),
            false => format!("<span class=\"under\">{}: <code>{}</code></span>", c.t(text::IDENTITY), escape(&hash)),
        };
        vec![c.t(who).to_string(), format!("{}{under}", path(&model["model"])), path(&model["adapter"])]
    };
    let table = Table {
        class: "",
        caption: c.t(text::MODELS).to_string(),
        columns: vec![
            column("", Kind::Words),
            column(c.t(text::MODEL), Kind::Words),
            column(c.t(text::ADAPTER), Kind::Words),
        ],
        rows: list(&c.record["models"]).iter().map(row).collect(),
    };
    table.html()
}

/// What each suite asks and how, as it is meant.
fn suites(c: &Context) -> String {
    let one = |suite: &Value| {
        let meant = json!({
            "verdict": suite["verdict"], "data": suite["data"], "template": suite["template"], "decoding": suite["decoding"],
            "measures": suite["measures"],
        });
        let meant = serde_json::to_string_pretty(&meant).unwrap_or_default();
        let summary = format!(
            "{} <span class=\"soft\">{}{comma}{}: {}{comma}{}</span>",
            escape(string(&suite["name"])),
            c.t(Role::of(suite).text()),
            c.t(text::SKILL),
            escape(string(&suite["skill"])),
            escape(&c.rows(&suite["rows"])),
            comma = c.comma(),
        );
        let html = format!(
            "<p class=\"path\">{}</p><code class=\"excerpt\">{}</code>",
            escape(string(&suite["file"])),
            escape(&meant)
        );
        folded(&summary, &html)
    };
    list(&c.record["suites"]).iter().map(one).collect()
}
