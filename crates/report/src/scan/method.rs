//! By what all of it was decided.

use crate::html::{Kind, Table, column, escape};
use crate::json::{list, string};
use crate::page::{Body, Context, Section, lead};
use crate::text;

pub fn section(c: &Context) -> Section {
    let mut said = Vec::new();
    let tokenizer = &c.record["tokenizer"];
    if tokenizer.is_null() {
        said.push(c.t(text::NO_TOKENS).to_string());
    } else {
        let (name, entries) = (string(&tokenizer["name"]), c.count(&tokenizer["vocabulary"]));
        said.push(c.with(text::TOKENIZER, &[("name", name), ("entries", &entries)]));
    }
    let sampled = list(&c.record["sampled"]);
    if sampled.is_empty() {
        said.push(c.t(text::SAMPLED_NONE).to_string());
    }
    for sample in sampled {
        let what = string(&sample["what"]);
        let (rows, of) = (c.count(&sample["rows"]), c.rows(&sample["of"]));
        said.push(c.with(text::SAMPLED, &[("what", what), ("rows", &rows), ("of", &of)]));
    }
    said.push(match c.record["clean"]["written"].as_str() {
        Some(path) => c.with(text::CLEAN_WRITTEN, &[("path", path)]),
        None => c.t(text::CLEAN_NOT_WRITTEN).to_string(),
    });
    let html = lead(&c.sentences(&said)) + &policy(c);
    Section { id: "method", title: text::HOW, harm: None, body: Body::Html(html) }
}

fn policy(c: &Context) -> String {
    let policy = &c.record["policy"];
    let Some(thresholds) = policy["thresholds"].as_object().filter(|t| !t.is_empty()) else { return String::new() };
    let rows =
        thresholds.iter().map(|(name, value)| vec![format!("<code>{}</code>", escape(name)), c.decimal(value, 4)]);
    let title = format!("{}: {}", c.t(text::POLICY), string(&policy["name"]));
    let table = Table {
        class: "",
        caption: title.clone(),
        columns: vec![column(c.t(text::THRESHOLD), Kind::Words), column(c.t(text::VALUE), Kind::Number)],
        rows: rows.collect(),
    };
    format!("<h3>{}</h3><div class=\"short\">{}</div>", escape(&title), table.html())
}
