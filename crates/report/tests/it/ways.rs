//! The page that compares ways of tuning, each with the record of an evaluation.

use report::Language::English;
use report::ways::page;
use serde_json::{Value, json};

use crate::page::{BOTH, HOSTILE, check_structure_beside, leaves};
use crate::{odd, paths, with_strings};

/// One evaluation three times: as it is, with its general suites no worse, and with its task no better.
fn sample() -> Value {
    let eval: Value = serde_json::from_str(include_str!("eval.json")).expect("the sample is JSON");
    let with = |role: &str, verdict: &str| {
        let mut eval = eval.clone();
        for suite in eval["suites"].as_array_mut().expect("a list").iter_mut().filter(|s| s["role"] == role) {
            for figure in suite["figures"].as_array_mut().expect("a list") {
                figure["change"]["verdict"] = verdict.into();
            }
        }
        eval
    };
    let way = |name: &str, eval: Value| json!({"name": name, "plan": format!("{name}.yaml"), "page": format!("runs/{name}/eval/eval.html"), "eval": eval});
    let ways = [
        way("lora", with("general", "worse")),
        way("replay", with("general", "unclear")),
        way("mine", with("task", "unclear")),
    ];
    json!({"version": 1, "athanor": "0.1.0", "seed": 3, "ways": ways})
}

/// The pages of its ways.
fn own_pages() -> Vec<String> {
    ["lora", "replay", "mine"].map(|name| format!("runs/{name}/eval/eval.html")).into()
}

/// Without tags.
fn headline(html: &str) -> &str {
    let start = html.find("<h1>").expect("a headline") + 4;
    &html[start..start + html[start..].find("</h1>").expect("its end")]
}

#[test]
fn the_headline_names_the_ways_that_forgot_and_counts_those_that_learnt() {
    let mut record = sample();
    for way in record["ways"].as_array_mut().expect("a list").iter_mut().skip(2) {
        for suite in way["eval"]["suites"].as_array_mut().expect("a list") {
            for figure in suite["figures"].as_array_mut().expect("a list") {
                figure["change"]["verdict"] = "unclear".into();
            }
        }
    }
    record["ways"][0]["lost"] = 0.925.into();
    let found = page(&record, English);
    assert_eq!(headline(&found), "2 of 3 ways learnt the task; general skills lost: LoRA alone 92.5%.");
    record["ways"].as_array_mut().expect("a list").pop();
    record["ways"][0]["name"] = "<i>".into();
    record["ways"][0]["lost"] = Value::Null;
    let found = page(&record, English);
    assert_eq!(headline(&found), "Every way learnt the task; general skills lost: &lt;i&gt;.");
    record["ways"].as_array_mut().expect("a list").remove(0);
    let found = page(&record, English);
    assert_eq!(headline(&found), "Every way learnt the task; none was shown to forget.");
    assert!(found.contains("<header class=\"ready\">"));
}

#[test]
fn every_way_is_shown_with_its_figures_and_its_own_page() {
    let record = sample();
    for language in BOTH {
        let html = page(&record, language);
        check_structure_beside(&html, &own_pages());
        for way in record["ways"].as_array().expect("a list") {
            let own = way["page"].as_str().expect("a path");
            assert!(html.contains(&format!("<a href=\"{own}\">")), "{own}");
            for suite in way["eval"]["suites"].as_array().expect("a list") {
                let figure =
                    suite["figures"].as_array().expect("a list").iter().find(|f| f["name"] == suite["verdict"]);
                let value = figure.expect("the figure that decides")["tuned"]["value"].as_f64().expect("a number");
                assert!(html.contains(&format!("{value:.3}")), "{} {value}", suite["name"]);
            }
        }
        // The base stands once a row, and each row has one cell for each way.
        let table = &html[html.find("<section id=\"figures\"").expect("the table")..];
        let table = &table[..table.find("</section>").expect("its end")];
        let columns = 2 + record["ways"].as_array().expect("a list").len();
        let suites = record["ways"][0]["eval"]["suites"].as_array().expect("a list").len();
        assert_eq!(table.matches("<th scope=\"col\"").count(), columns);
        assert_eq!(table.matches("<tr>").count(), suites + 1);
    }
}

#[test]
fn no_address_of_the_record_becomes_a_link() {
    for hostile in [HOSTILE, "https://example.com/a", "//example.com", "javascript:alert(1)", "/etc"] {
        for language in BOTH {
            let html = page(&with_strings(&sample(), hostile), language);
            check_structure_beside(&html, &own_pages());
            assert_eq!(leaves(&html), Vec::<&str>::new(), "{hostile}");
        }
    }
}

#[test]
fn odd_records_leave_the_page_whole() {
    let record = sample();
    for path in paths(&record) {
        for value in odd(record.pointer(&path).expect("it is there")) {
            let mut changed = record.clone();
            *changed.pointer_mut(&path).expect("it is there") = value;
            check_structure_beside(&page(&changed, English), &own_pages());
        }
    }
}
