//! Which labels are taken for which, before and after.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::html::{Kind, Table, column, escape};
use crate::json::{list, string, whole};
use crate::number as numbers;
use crate::page::{Body, Context, Section, heading, lead, note};
use crate::plot::{Matrix, matrix};
use crate::text::{self, Text};

/// With more labels there is no matrix: its cells could not be read.
const LABELS_MAX: usize = 12;
/// Mistakes of the table.
const MISTAKES_MAX: usize = 15;
/// Pixels of a matrix beside another.
const WIDE: f64 = 420.0;

/// Where a suite classifies.
pub fn section(c: &Context) -> Option<Section> {
    let mut html = String::new();
    for suite in list(&c.record["suites"]).iter().filter(|s| s["confusion"].is_object()) {
        html.push_str(&heading(&escape(string(&suite["name"]))));
        html.push_str(&matrices(c, suite));
        html.push_str(&mistakes(c, suite));
    }
    let body = Body::Html(lead(c.t(text::CONFUSION_LEAD)) + &html);
    (!html.is_empty()).then_some(Section { id: "confusion", title: text::CONFUSION, harm: None, body })
}

const WHO: [(&str, Text); 2] = [("base", text::BEFORE), ("tuned", text::AFTER)];

/// `[label, label named, rows]`; what is not that is left out.
fn cells<'a>(suite: &'a Value, who: &str) -> impl Iterator<Item = (usize, usize, u64)> + 'a {
    list(&suite["confusion"]["cells"][who]).iter().filter_map(|cell| {
        let [label, named, rows] = [0, 1, 2].map(|i| whole(&cell[i]));
        Some((label? as usize, named? as usize, rows?))
    })
}

fn labels(c: &Context, suite: &Value) -> Vec<String> {
    let mut labels: Vec<String> = list(&suite["confusion"]["labels"]).iter().map(|l| string(l).to_string()).collect();
    labels.push(format!("– {}", c.t(text::NO_LABEL)));
    labels
}

fn matrices(c: &Context, suite: &Value) -> String {
    let columns = labels(c, suite);
    let rows = &columns[..columns.len() - 1];
    if rows.is_empty() || rows.len() > LABELS_MAX {
        return String::new();
    }
    let one = |(who, name): (&str, Text)| {
        let cells: Vec<(usize, usize, f64)> = cells(suite, who).map(|(a, b, n)| (a, b, n as f64)).collect();
        if cells.is_empty() {
            return String::new();
        }
        let values = [("suite", string(&suite["name"])), ("who", c.t(name))];
        let title = text::CONFUSION_PLOT.with(c.language, &values);
        let plot =
            c.plot_of(&title, WIDE, &|canvas| matrix(&Matrix { rows, columns: &columns, cells: &cells }, canvas));
        format!("<figure><figcaption>{}</figcaption>{plot}</figure>", c.t(name))
    };
    format!("<div class=\"pair even\">{}</div>{}", WHO.map(one).concat(), note(c.t(text::NO_LABEL_KEY)))
}

fn mistakes(c: &Context, suite: &Value) -> String {
    let labels = labels(c, suite);
    let mut of: BTreeMap<(usize, usize), [u64; 2]> = BTreeMap::new();
    for (i, (who, _)) in WHO.into_iter().enumerate() {
        for (label, named, rows) in cells(suite, who).filter(|(label, named, _)| label != named) {
            of.entry((label, named)).or_default()[i] = rows;
        }
    }
    if of.is_empty() {
        return note(c.t(text::CONFUSION_CLEAN));
    }
    let mut all: Vec<((usize, usize), [u64; 2])> = of.into_iter().collect();
    all.sort_by_key(|(_, [base, tuned])| std::cmp::Reverse((*tuned, *base)));
    let name = |i: usize| labels.get(i).map_or_else(|| numbers::UNKNOWN.to_string(), |l| escape(l));
    let row = |((label, named), [base, tuned]): &((usize, usize), [u64; 2])| {
        vec![name(*label), name(*named), numbers::count(*base), numbers::count(*tuned)]
    };
    let table = Table {
        class: "",
        caption: c.t(text::CONFUSION_TABLE).to_string(),
        columns: vec![
            column(c.t(text::RIGHT_LABEL), Kind::Words),
            column(c.t(text::NAMED_LABEL), Kind::Words),
            column(c.t(text::BEFORE), Kind::Number),
            column(c.t(text::AFTER), Kind::Number),
        ],
        rows: all.iter().take(MISTAKES_MAX).map(row).collect(),
    };
    format!("{}{}", heading(c.t(text::CONFUSION_TABLE)), table.html())
}
