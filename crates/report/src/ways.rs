//! The page of several ways of tuning, each compared with the same base: from their evaluations' records and nothing else.

use serde_json::Value;

use crate::Language;
use crate::eval::view::{Role, Verdict, confidence, deciding, figure_name, point, signed, written};
use crate::eval::{figures, plots, worst};
use crate::html::{Kind, Table, column, escape};
use crate::json::{list, number, string};
use crate::page::{self, Body, Context, Section, heading, lead, note};
use crate::plot::{Dumbbell, Scale, Tone, dumbbells};
use crate::text;

/// The whole page. `record` has the ways in order, each with a `name` and its `eval`; all of the same suites.
pub fn page(record: &Value, language: Language) -> String {
    let c = Context::new(record, language);
    let sections = [plot(&c), table(&c), forgotten(&c), again(&c)];
    let version = c.string_of(&record["athanor"]);
    let footer = text::WAYS_FOOTER.with(language, &[("version", &version)]);
    page::frame(&c, (text::WAYS_TITLE, &verdict(&c)), &header(&c), &sections, &footer)
}

/// Of a way that this page does not know: the name that the record gives.
fn name<'a>(c: &Context, way: &'a Value) -> std::borrow::Cow<'a, str> {
    let known = match string(&way["name"]) {
        "lora" => text::WAY_LORA,
        "replay" => text::WAY_REPLAY,
        "ewc" => text::WAY_EWC,
        other => return other.into(),
    };
    c.t(known).into()
}

fn ways<'a>(c: &Context<'a>) -> &'a [Value] {
    list(&c.record["ways"])
}

/// The suites, of which every way has the same.
fn suites<'a>(c: &Context<'a>, role: Role) -> impl Iterator<Item = (usize, &'a Value)> {
    let of_first = ways(c).first().map_or(&[][..], |way| list(&way["eval"]["suites"]));
    of_first.iter().enumerate().filter(move |(_, suite)| Role::of(suite) == role)
}

/// The figure that decides suite `i`, as a way has it.
fn decides(way: &Value, i: usize) -> &Value {
    list(&way["eval"]["suites"]).get(i).map_or(&Value::Null, deciding)
}

/// The ways that make any suite of a role worse.
fn worse<'a>(c: &Context<'a>, role: Role) -> Vec<&'a Value> {
    let is_worse = |way: &&Value| suites(c, role).any(|(i, _)| Verdict::of(decides(way, i)) == Some(Verdict::Worse));
    ways(c).iter().filter(is_worse).collect()
}

/// How many ways made every suite of the task better.
fn learnt(c: &Context) -> usize {
    let better =
        |way: &&Value| suites(c, Role::Task).all(|(i, _)| Verdict::of(decides(way, i)) == Some(Verdict::Better));
    ways(c).iter().filter(better).count()
}

/// Green where every way learnt and none forgot, red where none learnt.
fn state(c: &Context) -> &'static str {
    match learnt(c) {
        0 => "not-ready",
        n if n == ways(c).len() && worse(c, Role::General).is_empty() => "ready",
        _ => "clean-first",
    }
}

fn verdict(c: &Context) -> String {
    let learnt = learnt(c);
    // With how much, where the record says it.
    let named = |way: &&Value| match way["lost"].is_number() {
        true => format!("{} {}", name(c, way), c.share(&way["lost"])),
        false => name(c, way).to_string(),
    };
    let names = |ways: &[&Value]| ways.iter().map(named).collect::<Vec<_>>().join(c.comma());
    let task = match learnt == ways(c).len() {
        true => text::WAYS_ALL_LEARNT.of(c.language).to_string(),
        false => {
            text::WAYS_SOME_LEARNT.with(c.language, &[("n", &learnt.to_string()), ("of", &ways(c).len().to_string())])
        }
    };
    let lost = worse(c, Role::General);
    let general = match lost.is_empty() {
        true => text::WAYS_NONE_FORGOT.of(c.language).to_string(),
        false => text::WAYS_FORGOT.with(c.language, &[("ways", &names(&lost))]),
    };
    text::HEADLINE.with(c.language, &[("task", &task), ("general", &general)])
}

fn header(c: &Context) -> String {
    let said: Vec<String> = ways(c).iter().map(|way| format!("<p class=\"why\">{}</p>", sentence(c, way))).collect();
    format!(
        "<header class=\"{}\"><p class=\"brand\">athanor quickstart <span>{}</span></p><h1>{}</h1>{}</header>",
        state(c),
        c.t(text::WAYS_TITLE),
        escape(&verdict(c)),
        said.concat()
    )
}

/// What a way did to each suite: the task first.
fn sentence(c: &Context, way: &Value) -> String {
    let moved = |(i, suite): (usize, &Value)| {
        let figure = decides(way, i);
        let [base, tuned] = ["base", "tuned"].map(|who| written(&figure[who]["value"]));
        let marker = Verdict::of(figure).map_or("", Verdict::marker);
        format!("<span class=\"whole-word\">{marker} {} {base} → {tuned}</span>", escape(string(&suite["name"])))
    };
    let all: Vec<String> = suites(c, Role::Task).chain(suites(c, Role::General)).map(moved).collect();
    format!("<b>{}</b> {}", c.with(text::OF_ROLE, &[("role", &name(c, way))]), all.join(c.comma()))
}

/// A panel for each suite, a row for each way.
fn plot(c: &Context) -> Section {
    let mut html = lead(c.t(text::WAYS_PLOT_LEAD)) + &plots::key(c);
    for (i, suite) in suites(c, Role::Task).chain(suites(c, Role::General)) {
        let names: Vec<_> = ways(c).iter().map(|way| name(c, way)).collect();
        let figures: Vec<&Value> = ways(c).iter().map(|way| decides(way, i)).collect();
        let moved = |f: &&Value| format!("{} → {}", written(&f["base"]["value"]), written(&f["tuned"]["value"]));
        let notes: Vec<String> = figures.iter().map(moved).collect();
        let data: Vec<Dumbbell> = figures
            .iter()
            .zip(names.iter().zip(&notes))
            .map(|(figure, (label, note))| Dumbbell {
                label,
                before: point(&figure["base"]),
                after: point(&figure["tuned"]),
                note,
                tone: Verdict::of(figure).map_or(Tone::Data, Verdict::tone),
            })
            .collect();
        let panel = format!("{} · {}", string(&suite["name"]), figure_name(c, deciding(suite)));
        let rows: Vec<String> = names.iter().zip(&notes).map(|(name, note)| format!("{name} {note}")).collect();
        let title = text::CHANGES_PLOT.with(c.language, &[("panel", &panel), ("rows", &rows.join("; "))]);
        let picture = c.plot(&title, &|canvas| dumbbells(&data, Scale::Linear, canvas));
        html.push_str(&format!("<figure><figcaption>{}</figcaption>{picture}</figure>", escape(&panel)));
    }
    Section { id: "ways", title: text::WAYS_PLOT, harm: None, body: Body::Html(html) }
}

/// The same as numbers: the base once, then each way with what it changed.
fn table(c: &Context) -> Section {
    let mut columns = vec![column(c.t(text::SUITE), Kind::Words), column(c.t(text::BEFORE), Kind::Number)];
    let names: Vec<_> = ways(c).iter().map(|way| name(c, way)).collect();
    columns.extend(names.iter().map(|name| column(name, Kind::Number)));
    let row = |(i, suite): (usize, &Value)| {
        let figure = deciding(suite);
        let first = format!(
            "{} <span class=\"soft\">{}</span><span class=\"under\">{}</span>",
            escape(string(&suite["name"])),
            c.t(Role::of(suite).text()),
            escape(&figure_name(c, figure))
        );
        let mut row = vec![first, figures::cell(&figure["base"])];
        row.extend(ways(c).iter().map(|way| moved(decides(way, i))));
        row
    };
    let rows = suites(c, Role::Task).chain(suites(c, Role::General)).map(row).collect();
    let table = Table { class: "figures", caption: c.t(text::WAYS_TABLE).to_string(), columns, rows };
    let first = ways(c).first().map_or(&Value::Null, |way| &way["eval"]);
    let key = c.with(text::WAYS_TABLE_LEAD, &[("confidence", &confidence(&Context::new(first, c.language)))]);
    Section { id: "figures", title: text::WAYS_TABLE, harm: None, body: Body::Html(lead(&key) + &table.html()) }
}

/// A value, and below it its change with the interval.
fn moved(figure: &Value) -> String {
    let change = &figure["change"];
    if number(&change["value"]).is_none() {
        return figures::cell(&figure["tuned"]);
    }
    let marker = Verdict::of(figure).map_or("", Verdict::marker);
    let interval = format!("{} [{}, {}]", signed(&change["value"]), signed(&change["low"]), signed(&change["high"]));
    let value = escape(&written(&figure["tuned"]["value"]));
    format!("{marker} {value}<span class=\"under\">{}</span>", escape(&interval))
}

/// Answers of the ways that forgot: general suites alone.
fn forgotten(c: &Context) -> Section {
    let mut html = String::new();
    for way in worse(c, Role::General) {
        let with_rows = |suite: &&Value| Role::of(suite) == Role::General && !list(&suite["worst"]).is_empty();
        for suite in list(&way["eval"]["suites"]).iter().filter(with_rows) {
            html.push_str(&heading(&format!(
                "{} <span class=\"soft\">{}</span>",
                escape(&name(c, way)),
                escape(string(&suite["name"]))
            )));
            html.push_str(&worst::rows(c, suite, SHOWN_MAX));
        }
    }
    let body = match html.is_empty() {
        true => Body::NotMeasured(text::WAYS_NONE_WORST),
        false => Body::Html(lead(c.t(text::WORST_LEAD)) + &html),
    };
    Section { id: "worst", title: text::WORST, harm: None, body }
}

/// Rows of a suite and a way that are shown; each way's own page has more.
const SHOWN_MAX: usize = 3;

/// Where each way's own page is, and the plan that made it.
fn again(c: &Context) -> Section {
    let item = |way: &Value| {
        let own = string(&way["page"]);
        let link = match beside(own) {
            true => format!("<a href=\"{own}\">{own}</a>"),
            false => escape(own),
        };
        format!(
            "<li>{}: {link} <code class=\"soft\">{}</code></li>",
            escape(&name(c, way)),
            escape(string(&way["plan"]))
        )
    };
    let items: String = ways(c).iter().map(item).collect();
    let html = format!(
        "{}<ul>{items}</ul>{}",
        lead(c.t(text::WAYS_AGAIN_LEAD)),
        note(&c.with(text::WAYS_SEED, &[("seed", &c.string_of(&c.record["seed"]))]))
    );
    Section { id: "again", title: text::WAYS_AGAIN, harm: None, body: Body::Html(html) }
}

/// A file in the page's own folder or below it: no other address, whatever the record says.
fn beside(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    !path.is_empty() && !path.starts_with('/') && path.chars().all(plain)
}
