//! The record as the page's sections read it.

use serde_json::Value;

use super::names;
use crate::json::{list, named, number, string};
use crate::number::{self as numbers, UNKNOWN};
use crate::page::Context;
use crate::plot::{Point, Tone};
use crate::text::{self, Text};

pub const ROLES: [Role; 2] = [Role::Task, Role::General];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Task,
    General,
}

impl Role {
    /// Records of before there were roles have suites of tasks alone.
    pub fn of(suite: &Value) -> Role {
        if suite["role"] == "general" { Role::General } else { Role::Task }
    }

    pub fn text(self) -> Text {
        if self == Role::Task { text::ROLE_TASK } else { text::ROLE_GENERAL }
    }
}

/// What the record says of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Better,
    Worse,
    Unclear,
}

impl Verdict {
    /// None where there is nothing to compare.
    pub fn of(figure: &Value) -> Option<Verdict> {
        match string(&figure["change"]["verdict"]) {
            "better" => Some(Verdict::Better),
            "worse" => Some(Verdict::Worse),
            "unclear" => Some(Verdict::Unclear),
            _ => None,
        }
    }

    pub fn text(self) -> Text {
        match self {
            Verdict::Better => text::BETTER,
            Verdict::Worse => text::WORSE,
            Verdict::Unclear => text::UNCLEAR,
        }
    }

    pub fn tone(self) -> Tone {
        match self {
            Verdict::Better => Tone::Good,
            Verdict::Worse => Tone::Blocks,
            Verdict::Unclear => Tone::Data,
        }
    }

    /// The sign that the plots have.
    pub fn marker(self) -> &'static str {
        match self {
            Verdict::Better => {
                "<svg class=\"marker good\" viewBox=\"0 0 10 10\" width=\"10\" height=\"10\" aria-hidden=\"true\"><circle cx=\"5\" cy=\"5\" r=\"4.5\"/></svg>"
            }
            Verdict::Worse => {
                "<svg class=\"marker blocks\" viewBox=\"0 0 10 10\" width=\"10\" height=\"10\" aria-hidden=\"true\"><rect x=\"1\" y=\"1\" width=\"8\" height=\"8\"/></svg>"
            }
            Verdict::Unclear => {
                "<svg class=\"marker note\" viewBox=\"0 0 10 10\" width=\"10\" height=\"10\" aria-hidden=\"true\"><circle cx=\"5\" cy=\"5\" r=\"3.6\"/></svg>"
            }
        }
    }

    pub fn badge(self, c: &Context) -> String {
        format!("<span class=\"harm\">{}<span>{}</span></span>", self.marker(), c.t(self.text()))
    }
}

pub fn paired(record: &Value) -> bool {
    list(&record["models"]).len() > 1
}

pub fn suites(record: &Value, role: Role) -> impl Iterator<Item = &Value> {
    list(&record["suites"]).iter().filter(move |s| Role::of(s) == role)
}

/// Of a suite: the figure that decides its verdict. Null where the record names none that it has.
pub fn deciding(suite: &Value) -> &Value {
    named(&suite["figures"], "name", string(&suite["verdict"])).unwrap_or(&Value::Null)
}

pub fn figure_name(c: &Context, figure: &Value) -> String {
    called(c, string(&figure["name"]))
}

/// A figure by its name in conditions, as it is to be read.
pub fn called(c: &Context, figure: &str) -> String {
    names::name(figure).map_or_else(|| figure.to_string(), |text| c.t(text).to_string())
}

/// None where a model was not asked, or where no interval can be drawn.
pub fn point(value: &Value) -> Option<Point> {
    let [value, low, high] = ["value", "low", "high"].map(|key| number(&value[key]));
    Some(Point { value: value?, low: low?, high: high? })
}

/// A figure to three digits behind the point, as the summary in the terminal has it.
pub fn written(value: &Value) -> String {
    number(value).map_or_else(|| UNKNOWN.to_string(), digits)
}

/// With its sign.
pub fn signed(value: &Value) -> String {
    match number(value) {
        Some(x) if x > 0.0 => format!("+{}", digits(x)),
        _ => written(value),
    }
}

fn digits(x: f64) -> String {
    match x.abs() {
        size if size < 9.9995 => format!("{x:.3}"),
        size if size < 99.95 => format!("{x:.1}"),
        size if size < 99_999.5 => format!("{x:.0}"),
        _ => format!("{x:.1e}"),
    }
}

/// Of both sides of an interval.
pub fn confidence(c: &Context) -> String {
    c.share(&c.record["confidence"]).replace(".0%", "%")
}

/// Of one of its sides: what may be claimed of the bad end alone.
pub fn confidence_of_end(c: &Context) -> String {
    let both = number(&c.record["confidence"]);
    both.map_or_else(|| UNKNOWN.to_string(), |x| numbers::share((1.0 + x) / 2.0))
}
