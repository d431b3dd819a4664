//! Figures as tables: of suites, of skills, and the losses of all suites.

use serde_json::Value;

use super::view::{Role, Verdict, figure_name, paired, signed, suites, written};
use crate::html::{Kind, Table, column, escape};
use crate::json::{list, named, number, string, whole};
use crate::number::UNKNOWN;
use crate::page::{Body, Context, Section, heading, lead};
use crate::text;

pub fn of_role(c: &Context, role: Role) -> Section {
    let (id, title, opening, none) = match role {
        Role::Task => ("task", text::ROLE_TASK, text::ROLE_TASK_LEAD, text::ROLE_TASK_NONE),
        Role::General => ("general", text::ROLE_GENERAL, text::ROLE_GENERAL_LEAD, text::ROLE_GENERAL_NONE),
    };
    let mut html = String::new();
    for suite in suites(c.record, role) {
        let name = string(&suite["name"]);
        let of = match whole(&suite["rows"]) == whole(&suite["rows_in_files"]) {
            true => c.rows(&suite["rows"]),
            false => {
                let (rows, all) = (c.rows(&suite["rows"]), c.count(&suite["rows_in_files"]));
                text::SUITE_ROWS.with(c.language, &[("rows", &rows), ("all", &all)])
            }
        };
        html.push_str(&heading(&format!("{} <span class=\"soft\">{}</span>", escape(name), escape(&of))));
        let figures: Vec<&Value> = list(&suite["figures"]).iter().collect();
        html.push_str(&table(c, name, &figures, string(&suite["verdict"])));
    }
    let body = if html.is_empty() { Body::NotMeasured(none) } else { Body::Html(lead(c.t(opening)) + &html) };
    Section { id, title, harm: None, body }
}

/// Means over the suites of a skill, where one has several.
pub fn skills(c: &Context) -> Option<Section> {
    let several = |figure: &&Value| whole(&figure["suites"]) > Some(1);
    let mut html = String::new();
    for skill in list(&c.record["skills"]) {
        let means: Vec<&Value> = list(&skill["figures"]).iter().filter(several).collect();
        if !means.is_empty() {
            let name = string(&skill["name"]);
            html.push_str(&heading(&escape(name)));
            html.push_str(&table(c, name, &means, ""));
        }
    }
    let body = Body::Html(lead(c.t(text::SKILLS_LEAD)) + &html);
    (!html.is_empty()).then_some(Section { id: "skills", title: text::SKILLS, harm: None, body })
}

/// The losses of all suites below one another.
pub fn losses(c: &Context) -> Section {
    let with = |suite: &&Value| named(&suite["figures"], "name", "loss").is_some();
    let mut rows = Vec::new();
    for suite in list(&c.record["suites"]).iter().filter(with) {
        let figure = |name: &str| named(&suite["figures"], "name", name).unwrap_or(&Value::Null);
        let (loss, perplexity) = (figure("loss"), figure("perplexity"));
        let first = format!(
            "{} <span class=\"soft\">{}</span>{}",
            escape(string(&suite["name"])),
            c.t(Role::of(suite).text()),
            badge(c, loss)
        );
        let moved = format!("{} → {}", written(&perplexity["base"]["value"]), written(&perplexity["tuned"]["value"]));
        rows.push(vec![first, cell(&loss["base"]), cell(&loss["tuned"]), change(loss), escape(&moved)]);
    }
    let table = Table {
        class: "figures",
        caption: c.t(text::LOSSES).to_string(),
        columns: vec![
            column(c.t(text::SUITE), Kind::Words),
            column(c.t(text::BEFORE), Kind::Number),
            column(c.t(text::AFTER), Kind::Number),
            column(c.t(text::CHANGE), Kind::Number),
            column(c.t(text::PERPLEXITY), Kind::Extra),
        ],
        rows,
    };
    let body = match table.rows.is_empty() {
        true => Body::NotMeasured(text::LOSSES_NONE),
        false => Body::Html(lead(c.t(text::LOSSES_LEAD)) + &table.html()),
    };
    Section { id: "losses", title: text::LOSSES, harm: None, body }
}

/// `deciding`: the name of the figure that decides the verdict; empty where none does.
fn table(c: &Context, caption: &str, figures: &[&Value], deciding: &str) -> String {
    let both = paired(c.record);
    // Means have no test.
    let tested = both && figures.iter().any(|f| f["change"]["p"].is_number());
    let mut columns = vec![column(c.t(text::FIGURE), Kind::Words), column(c.t(text::BEFORE), Kind::Number)];
    columns.push(column(c.t(text::AFTER), Kind::Number));
    if both {
        columns.push(column(c.t(text::CHANGE), Kind::Number));
        columns.push(column(c.t(text::NO_WORSE_BY), Kind::Extra));
    }
    if tested {
        columns.push(column(c.t(text::P_VALUE), Kind::Extra));
    }
    let deciding = if both { deciding } else { "" };
    let row = |figure: &&Value| {
        let mut row = vec![first(c, figure, deciding), cell(&figure["base"]), cell(&figure["tuned"])];
        if both {
            row.extend([change(figure), escape(&written(&figure["change"]["no_worse_by"]))]);
        }
        if tested {
            row.push(p_value(&figure["change"]["p"]));
        }
        row
    };
    let rows = figures.iter().map(row).collect();
    Table { class: "figures", caption: caption.to_string(), columns, rows }.html()
}

/// The figure's name, its name in conditions where that is another, whether it decides, and what is said of its change.
fn first(c: &Context, figure: &Value, deciding: &str) -> String {
    let (name, of) = (figure_name(c, figure), string(&figure["name"]));
    let key = if name == of { String::new() } else { format!(" <code class=\"soft\">{}</code>", escape(of)) };
    let mean = match whole(&figure["suites"]) {
        Some(n) if n > 1 => {
            format!("<span class=\"under\">{}</span>", c.with(text::MEAN_OF, &[("n", &n.to_string())]))
        }
        _ => String::new(),
    };
    let decides = match !of.is_empty() && of == deciding {
        true => format!("<span class=\"under decides\">{}</span>", c.t(text::DECIDES)),
        false => String::new(),
    };
    format!("{}{key}{decides}{}{mean}", escape(&name), badge(c, figure))
}

/// On a line of its own.
fn badge(c: &Context, figure: &Value) -> String {
    Verdict::of(figure).map_or(String::new(), |v| format!("<span class=\"item\">{}</span>", v.badge(c)))
}

/// A value, and below it its interval.
pub fn cell(value: &Value) -> String {
    match number(&value["value"]) {
        None => UNKNOWN.to_string(),
        Some(_) => format!(
            "{}<span class=\"under\">{}</span>",
            escape(&written(&value["value"])),
            escape(&format!("[{}, {}]", written(&value["low"]), written(&value["high"])))
        ),
    }
}

fn change(figure: &Value) -> String {
    let change = &figure["change"];
    match number(&change["value"]) {
        None => UNKNOWN.to_string(),
        Some(_) => format!(
            "{}<span class=\"under\">{}</span>",
            escape(&signed(&change["value"])),
            escape(&format!("[{}, {}]", signed(&change["low"]), signed(&change["high"])))
        ),
    }
}

fn p_value(p: &Value) -> String {
    match number(p) {
        None => UNKNOWN.to_string(),
        Some(p) if p < 0.001 => "&lt;0.001".to_string(),
        Some(p) => format!("{p:.3}"),
    }
}
