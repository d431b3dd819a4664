//! The page of `athanor eval` as a reader's browser gets it. `eval.json` is that of a real run: the example of a bank's queries, against
//! stories that its base wrote; only the folders' names were shortened.

use report::Language::{Chinese, English};
use report::eval::page;
use report::text;
use serde_json::{Value, json};

use crate::page::{BOTH, HOSTILE, check_structure, leaves, tags};
use crate::{odd, paths, with_strings};

const SECTIONS: [&str; 8] = ["changes", "task", "general", "skills", "losses", "confusion", "worst", "method"];

fn sample() -> Value {
    serde_json::from_str(include_str!("eval.json")).expect("the sample is JSON")
}

/// The figure that decides a suite's verdict, to be changed.
fn deciding(eval: &mut Value, suite: usize) -> &mut Value {
    let suite = &mut eval["suites"][suite];
    let name = suite["verdict"].clone();
    let figures = suite["figures"].as_array_mut().expect("a list");
    figures.iter_mut().find(|f| f["name"] == name).expect("the figure is there")
}

/// What stands between the header's tags.
fn header(html: &str) -> &str {
    let start = html.find("<header").expect("a header");
    &html[start..start + html[start..].find("</header>").expect("its end")]
}

fn section<'a>(html: &'a str, id: &str) -> &'a str {
    let start = html.find(&format!("<section id=\"{id}\"")).expect("the section");
    &html[start..start + html[start..].find("</section>").expect("its end")]
}

#[test]
fn the_sample_is_shown_whole_in_both_languages() {
    for language in BOTH {
        let html = page(&sample(), language);
        SECTIONS.iter().for_each(|id| assert!(!section(&html, id).contains("class=\"absent\""), "{id}"));
        let eval = sample();
        for suite in eval["suites"].as_array().expect("a list") {
            for figure in suite["figures"].as_array().expect("a list") {
                // Names differ by language; those in conditions do not, and stand beside them.
                let value = figure["tuned"]["value"].as_f64().expect("a number");
                let said = if value < 9.9995 { format!("{value:.3}") } else { format!("{value:.1}") };
                assert!(html.contains(&said), "{} of {}", figure["name"], suite["name"]);
            }
            for row in suite["worst"].as_array().expect("a list") {
                assert!(html.contains(&format!("{}:{}", row["file"].as_str().expect("a path"), row["line"])), "{row}");
            }
        }
        check_structure(&html);
    }
}

#[test]
fn nothing_is_fetched() {
    for language in BOTH {
        let html = page(&sample(), language);
        for reference in ["http:", "https:", "//cdn", " src=", "url(", "@import", "<link", "<iframe", "<img", "fetch("]
        {
            assert!(!html.contains(reference), "{reference}");
        }
        assert!(html.contains("default-src 'none'"));
        // Nor where the data have addresses.
        let address = "https://example.com/a.png url(//example.com/b.css) @import '//example.com/c.css'";
        for html in [html, page(&with_strings(&sample(), address), language)] {
            assert_eq!(leaves(&html), Vec::<&str>::new());
            let style = &html[html.find("<style>").expect("a style")..html.find("</style>").expect("its end")];
            assert!(["//", "url(", "@import", "@font-face"].iter().all(|word| !style.contains(word)));
        }
    }
}

/// Better or worse is what the record says, by the figure that each suite's verdict names, and its role says where.
#[test]
fn the_verdict_follows_from_the_deciding_figures_and_roles() {
    let as_recorded = page(&sample(), English);
    assert!(header(&as_recorded).contains("Better at the task; worse elsewhere."), "{}", header(&as_recorded));
    assert!(header(&as_recorded).starts_with("<header class=\"not-ready\""));
    for (task, general, conditions, said, class) in [
        ("better", "unclear", true, "Better at the task; no loss elsewhere was shown.", "ready"),
        ("better", "better", true, "Better at the task; no loss elsewhere was shown.", "ready"),
        ("better", "better", false, "Better at the task; no loss elsewhere was shown.", "not-ready"),
        ("unclear", "unclear", true, "No change at the task was shown; no loss elsewhere was shown.", "clean-first"),
        ("worse", "unclear", true, "Worse at the task; no loss elsewhere was shown.", "not-ready"),
    ] {
        let mut eval = sample();
        for suite in 0..4 {
            let verdict = if suite < 2 { task } else { general };
            deciding(&mut eval, suite)["change"]["verdict"] = json!(verdict);
        }
        for condition in eval["conditions"].as_array_mut().expect("a list") {
            condition["holds"] = json!(conditions);
        }
        let html = page(&eval, English);
        assert!(header(&html).contains(said), "{task} {general}: {}", header(&html));
        assert!(header(&html).starts_with(&format!("<header class=\"{class}\"")), "{task} {general} {conditions}");
        // What was not shown to be worse is not called kept: the bad end of its interval is named.
        let bound = header(&html).contains("With 97.5% confidence it is worse by no more than");
        assert_eq!(bound, general == "unclear");
    }
    let mut mixed = sample();
    deciding(&mut mixed, 0)["change"]["verdict"] = json!("worse");
    deciding(&mut mixed, 1)["change"]["verdict"] = json!("better");
    assert!(header(&page(&mixed, English)).contains("Better at some tasks and worse at others"));
}

/// Not the first figure, nor any other: that which the record names, and the tables say which it is.
#[test]
fn the_figure_that_the_record_names_decides() {
    let mut eval = sample();
    for suite in [2, 3] {
        deciding(&mut eval, suite)["change"]["verdict"] = json!("unclear");
    }
    assert_eq!(
        (&eval["suites"][2]["verdict"], &eval["suites"][2]["figures"][0]["name"]),
        (&json!("loss"), &json!("rouge1"))
    );
    assert_eq!(eval["suites"][2]["figures"][0]["change"]["verdict"], "worse");
    let html = page(&eval, English);
    assert!(header(&html).contains("no loss elsewhere was shown"), "{}", header(&html));
    eval["suites"][2]["verdict"] = json!("rouge1");
    let by_rouge = page(&eval, English);
    assert!(header(&by_rouge).contains("worse elsewhere"), "{}", header(&by_rouge));
    for (html, code) in [(html, "loss"), (by_rouge, "rouge1")] {
        let marked = section(&html, "general").split("<tr>").filter(|row| row.contains("class=\"under decides\""));
        let marked: Vec<&str> = marked.collect();
        assert_eq!(marked.len(), 2, "one a suite");
        assert!(marked[0].contains(code) && marked[1].contains("loss"), "{marked:?}");
    }
    // A record that names none has no verdict of it, and says so.
    eval["suites"].as_array_mut().expect("a list").iter_mut().for_each(|s| s["verdict"] = Value::Null);
    assert!(header(&page(&eval, English)).contains("The task was not measured"));
}

#[test]
fn what_got_worse_is_listed_with_general_skills_first() {
    let mut eval = sample();
    deciding(&mut eval, 0)["change"]["verdict"] = json!("worse");
    let html = page(&eval, English);
    let list = &header(&html)[header(&html).find("<ol>").expect("a list")..];
    let at = |words: &str| list.find(words).unwrap_or_else(|| panic!("{words} in {list}"));
    assert!(at("<b>stories</b>") < at("<b>endings</b>") && at("<b>endings</b>") < at("<b>categories</b>"));
    assert!(at("loss 1.100 → 3.611") < at("accuracy 0.171 → 0.467"));
    assert!(!list.contains("<b>topics</b>"), "nothing of it got worse");
    for suite in eval["suites"].as_array_mut().expect("a list") {
        for figure in suite["figures"].as_array_mut().expect("a list") {
            figure["change"]["verdict"] = json!("unclear");
        }
    }
    assert!(header(&page(&eval, Chinese)).contains(text::NOTHING_WORSE.chinese));
}

#[test]
fn conditions_are_shown_with_what_was_found() {
    let html = page(&sample(), English);
    let gates = &header(&html)[header(&html).find("class=\"gates\"").expect("gates")..];
    assert_eq!((gates.matches("class=\"passed\"").count(), gates.matches("class=\"failed\"").count()), (1, 2));
    assert!(gates.contains("general.loss_rise.upper&lt;=0.1"));
    assert!(section(&html, "method").contains("--require &#39;general.loss_rise.upper&lt;=0.1&#39;"));
}

#[test]
fn one_model_is_shown_without_a_verdict() {
    let mut eval = sample();
    eval["models"].as_array_mut().expect("a list").remove(0);
    for suite in eval["suites"].as_array_mut().expect("a list") {
        suite["worst"] = json!([]);
        for figure in suite["figures"].as_array_mut().expect("a list") {
            (figure["base"], figure["change"]) = (Value::Null, Value::Null);
        }
    }
    let html = page(&eval, English);
    assert!(header(&html).contains(text::ALONE.english) && !html.contains(text::MANY_FIGURES.english));
    assert!(section(&html, "method").contains("--alone"));
    check_structure(&html);
}

/// Text of the data changes no tag: the same tags in the same order as with harmless text.
#[test]
fn text_of_the_data_is_never_markup() {
    for language in BOTH {
        let hostile = page(&with_strings(&sample(), HOSTILE), language);
        let harmless = HOSTILE.replace(['<', '>', '"', '\'', '&'], "x");
        let harmless = page(&with_strings(&sample(), &harmless), language);
        assert!(tags(&hostile) == tags(&harmless), "the tags differ");
        assert!(!hostile.contains("<script>alert") && !hostile.contains("<img") && !hostile.contains('\0'));
        assert!(!hostile.contains('\u{202e}'), "text could be turned around");
        check_structure(&hostile);
    }
}

/// Nothing a record lacks or has of another type ends in a panic or a broken page.
#[test]
fn any_value_may_be_missing_or_odd() {
    let mut whole = sample();
    whole["suites"].as_array_mut().expect("a list").truncate(2);
    whole["suites"].as_array_mut().expect("a list").reverse();
    for path in paths(&whole) {
        for odd in odd(whole.pointer(&path).expect("a path of it")) {
            let mut eval = whole.clone();
            *eval.pointer_mut(&path).expect("a path of it") = odd;
            check_structure(&page(&eval, English));
        }
    }
    check_structure(&page(&json!({}), Chinese));
}

/// The sample has no key that the schema does not explain.
#[test]
fn the_schema_names_every_key() {
    let schema = include_str!("../../../eval/EVAL.md");
    let words: Vec<&str> = schema.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for path in paths(&sample()) {
        let key = path.rsplit('/').next().unwrap_or_default();
        let meant = ["/template", "/decoding/", "/measures/"].iter().any(|part| path.contains(part));
        assert!(meant || key.is_empty() || key == "0" || words.contains(&key), "{path}");
    }
}
