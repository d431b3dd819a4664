//! The verdict in a few words and two sentences, what got worse, and what was required.

use serde_json::Value;

use super::view::{
    ROLES, Role, Verdict, confidence, confidence_of_end, deciding, figure_name, paired, signed, suites, written,
};
use crate::html::escape;
use crate::json::{list, string};
use crate::number as numbers;
use crate::page::{self, Context, Gate};
use crate::text;

/// Suites of a role that the sentences below the verdict are about.
const SUITES_MAX: usize = 2;
/// Suites that are named because figures of theirs got worse; the tables have all.
const WORSE_MAX: usize = 8;

/// What the deciding figures of a role's suites say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Together {
    Better,
    Mixed,
    Worse,
    Unclear,
    Missing,
}

fn together(record: &Value, role: Role) -> Together {
    let all: Vec<Verdict> = suites(record, role).filter_map(|s| Verdict::of(deciding(s))).collect();
    match (all.contains(&Verdict::Better), all.contains(&Verdict::Worse)) {
        (true, true) => Together::Mixed,
        (true, false) => Together::Better,
        (false, true) => Together::Worse,
        (false, false) if all.is_empty() => Together::Missing,
        (false, false) => Together::Unclear,
    }
}

pub fn verdict(c: &Context) -> String {
    if !paired(c.record) {
        return c.t(text::ALONE).to_string();
    }
    let task = match together(c.record, Role::Task) {
        Together::Better => text::TASK_BETTER,
        Together::Mixed => text::TASK_MIXED,
        Together::Worse => text::TASK_WORSE,
        Together::Unclear => text::TASK_UNCLEAR,
        Together::Missing => text::TASK_MISSING,
    };
    let general = match together(c.record, Role::General) {
        // Gained somewhere, lost elsewhere: something was lost.
        Together::Worse | Together::Mixed => text::GENERAL_WORSE,
        Together::Better | Together::Unclear => text::GENERAL_KEPT,
        Together::Missing => text::GENERAL_MISSING,
    };
    text::HEADLINE.with(c.language, &[("task", c.t(task)), ("general", c.t(general))])
}

pub fn header(c: &Context) -> String {
    let body = match paired(c.record) {
        true => ROLES.map(|role| sentences(c, role)).concat() + &worse(c),
        false => format!("<p class=\"why\">{}</p>", c.t(text::ALONE_WHY)),
    };
    format!(
        "<header class=\"{}\"><p class=\"brand\">athanor eval <span>{}</span></p><h1>{}</h1>{body}{}</header>",
        state(c.record),
        c.t(text::EVAL_TITLE),
        escape(&verdict(c)),
        gates(c)
    )
}

/// Green only where the task is better and nothing is worse; red where what was required does not hold or something got worse.
fn state(record: &Value) -> &'static str {
    let unmet = list(&record["conditions"]).iter().any(|g| g["holds"] != true);
    let [task, general] = ROLES.map(|role| together(record, role));
    let lost = |t| matches!(t, Together::Worse | Together::Mixed);
    match (task, general) {
        _ if unmet || lost(task) || lost(general) => "not-ready",
        (Together::Better, Together::Better | Together::Unclear) => "ready",
        _ => "clean-first",
    }
}

/// What the deciding figures of a role's suites did: a paragraph, or nothing where nothing was compared.
fn sentences(c: &Context, role: Role) -> String {
    let mut said = Vec::new();
    // What got worse first.
    let mut all: Vec<&Value> = suites(c.record, role).filter(|s| Verdict::of(deciding(s)).is_some()).collect();
    all.sort_by_key(|s| Verdict::of(deciding(s)) != Some(Verdict::Worse));
    for suite in all.iter().take(SUITES_MAX) {
        said.push(moved(c, suite, deciding(suite)));
        if role == Role::General && Verdict::of(deciding(suite)) == Some(Verdict::Unclear) {
            said.push(at_most(c, deciding(suite)));
        }
    }
    if let Some(more) = all.len().checked_sub(SUITES_MAX).filter(|n| *n > 0) {
        said.push(c.with(text::MORE_SUITES, &[("n", &numbers::count(more as u64))]));
    }
    match said.is_empty() {
        true => String::new(),
        false => format!(
            "<p class=\"why\"><b>{}</b> {}</p>",
            c.with(text::OF_ROLE, &[("role", c.t(role.text()))]),
            c.sentences(&said)
        ),
    }
}

fn moved(c: &Context, of: &Value, figure: &Value) -> String {
    let change = &figure["change"];
    let values = [
        ("suite", string(&of["name"])),
        ("figure", &figure_name(c, figure)),
        ("base", &written(&figure["base"]["value"])),
        ("tuned", &written(&figure["tuned"]["value"])),
        ("confidence", &confidence(c)),
        ("low", &signed(&change["low"])),
        ("high", &signed(&change["high"])),
    ];
    c.with(text::MOVED, &values)
}

fn at_most(c: &Context, figure: &Value) -> String {
    let margin = written(&figure["change"]["no_worse_by"]);
    c.with(text::AT_MOST, &[("confidence", &confidence_of_end(c)), ("margin", &margin)])
}

/// Suites with figures that got worse, general skills first.
fn worse(c: &Context) -> String {
    let all = || suites(c.record, Role::General).chain(suites(c.record, Role::Task));
    let compared = all().flat_map(|s| list(&s["figures"])).filter(|f| Verdict::of(f).is_some()).count();
    let is_worse = |figure: &&Value| Verdict::of(figure) == Some(Verdict::Worse);
    let worse: Vec<(&Value, Vec<&Value>)> = all()
        .map(|suite| (suite, list(&suite["figures"]).iter().filter(is_worse).collect()))
        .filter(|(_, figures): &(&Value, Vec<&Value>)| !figures.is_empty())
        .collect();
    let mut out = format!("<div class=\"todo\"><h2>{}</h2>", c.t(text::GOT_WORSE));
    if worse.is_empty() {
        out.push_str(&format!("<p>{}</p>", c.t(text::NOTHING_WORSE)));
    }
    out.push_str("<ol>");
    for (suite, figures) in worse.iter().take(WORSE_MAX) {
        let moved: Vec<String> = figures.iter().map(|f| in_short(c, f)).collect();
        out.push_str(&format!(
            "<li>{}<span><b>{}</b> <span class=\"of soft\">{}</span><br><span class=\"soft\">{}</span></span></li>",
            Verdict::Worse.marker(),
            escape(string(&suite["name"])),
            c.t(Role::of(suite).text()),
            moved.join(c.comma()),
        ));
    }
    out.push_str("</ol>");
    if let Some(more) = worse.len().checked_sub(WORSE_MAX).filter(|n| *n > 0) {
        out.push_str(&format!(
            "<p class=\"all\">{}</p>",
            c.with(text::MORE_SUITES, &[("n", &numbers::count(more as u64))])
        ));
    }
    let n = numbers::count(compared as u64);
    let many = c.with(text::MANY_FIGURES, &[("n", &n), ("confidence", &confidence(c))]);
    out.push_str(&format!("<p class=\"all soft\">{many}</p></div>"));
    out
}

fn in_short(c: &Context, figure: &Value) -> String {
    let [base, tuned] = ["base", "tuned"].map(|who| escape(&written(&figure[who]["value"])));
    format!("<span class=\"whole-word\">{} {base} → {tuned}</span>", escape(&figure_name(c, figure)))
}

fn gates(c: &Context) -> String {
    let gate = |gate| {
        let gate: &Value = gate;
        Gate {
            expression: string(&gate["condition"]),
            passed: gate["holds"] == true,
            found: c.decimal(&gate["found"], 4),
        }
    };
    let gates: Vec<Gate> = list(&c.record["conditions"]).iter().map(gate).collect();
    page::gates(c, &gates)
}
