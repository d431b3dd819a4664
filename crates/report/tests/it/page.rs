//! The page as a reader's browser gets it.

use report::Language::{self, Chinese, English};
use report::scan::page;
use report::text;
use serde_json::{Value, json};

use crate::{odd, paths, sample, small, with_strings};

pub const BOTH: [Language; 2] = [English, Chinese];
const SECTIONS: [&str; 14] = [
    "findings",
    "files",
    "lengths",
    "languages",
    "instructions",
    "duplicates",
    "leaks",
    "pii",
    "poison",
    "quality",
    "faults",
    "look",
    "rows",
    "method",
];
pub const HOSTILE: &str =
    "</td></script><script>alert(1)</script><img src=x onerror=alert(2)>\" onclick=\"x' &\u{202e}\0";

#[test]
fn the_sample_is_shown_whole_in_both_languages() {
    for language in BOTH {
        let html = page(&sample(), language);
        for section in SECTIONS {
            assert!(html.contains(&format!("<section id=\"{section}\"")), "{section}");
        }
        assert!(!html.contains(text::NOT_MEASURED.of(language)));
        let (refused, _) = text::NOT_DRAWN.of(language).split_once('{').expect("the reason is filled in");
        assert!(!html.contains(refused), "a plot was refused");
        for said in
            ["12,514", "89.9%", "data/banking_test.csv:12", "cn_mobile", "0.93", "27,660", "seq_len_max", "生成"]
        {
            assert!(html.contains(said), "{said}");
        }
        check_structure(&html);
    }
    assert!(page(&sample(), English).contains(text::CLEAN_FIRST.english));
    assert!(page(&sample(), Chinese).contains(text::CLEAN_FIRST.chinese));
}

#[test]
fn every_type_of_the_record_has_a_name() {
    let scan = sample();
    for item in scan["verdict"]["items"].as_array().expect("a list") {
        let (check, kind) = (item["check"].as_str().expect("text"), item["type"].as_str().expect("text"));
        assert!(report::kinds::find(check, kind).is_some(), "{check} {kind}");
    }
}

/// The sample has no key that the schema does not explain.
#[test]
fn the_schema_names_every_key() {
    let schema = include_str!("../../SCAN.md");
    let words: Vec<&str> = schema.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for path in paths(&sample()) {
        let key = path.rsplit('/').next().unwrap_or_default();
        let named = path.starts_with("/policy/thresholds/") || path.starts_with("/duplicates/limits/");
        assert!(named || key.is_empty() || key == "0" || words.contains(&key), "{path}");
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
    }
}

/// Text of the data changes no tag: the same tags in the same order as with harmless text.
#[test]
fn text_of_the_data_is_never_markup() {
    for language in BOTH {
        let hostile = page(&with_strings(&sample(), HOSTILE), language);
        // As wide as the other, as labels are left out where they do not fit.
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
    let whole = small();
    for path in paths(&whole) {
        for odd in odd(whole.pointer(&path).expect("a path of it")) {
            let mut scan = whole.clone();
            *scan.pointer_mut(&path).expect("a path of it") = odd;
            tags(&page(&scan, English));
        }
    }
}

#[test]
fn what_was_not_measured_is_said() {
    let measured = ["lengths", "languages", "instructions", "duplicates", "pii", "poison", "quality", "faults"];
    for section in measured {
        let mut scan = sample();
        scan[section] = Value::Null;
        for language in BOTH {
            let html = page(&scan, language);
            let start = html.find(&format!("<section id=\"{section}\"")).expect("the section");
            let end = start + html[start..].find("</section>").expect("its end");
            assert!(html[start..end].contains(text::NOT_MEASURED.of(language)), "{section}");
        }
    }
    let nothing = page(&json!({}), English);
    assert!(nothing.contains(text::UNKNOWN_STATE.english) && nothing.contains(text::LEAKS_NONE_GIVEN.english));
    check_structure(&nothing);
}

#[test]
fn a_plot_that_cannot_be_drawn_says_why() {
    let mut scan = sample();
    scan["quality"]["histogram"]["edges"] = json!([0, 1]);
    assert!(page(&scan, English).contains("20 counts need 21 edges, got 2"));
}

#[test]
fn the_verdict_is_one_sentence() {
    for (state, english) in [
        ("ready", "12,500\u{a0}rows were checked and none has to go."),
        ("clean_first", "Cleaning keeps 11,248 of 12,514\u{a0}rows (89.9%), removes 1,266 and changes 488."),
        ("not_ready", "it would keep 11,248 of 12,514\u{a0}rows, but a person has to decide first."),
        ("empty", "None of 12,514\u{a0}rows in 2\u{a0}files could be understood."),
    ] {
        let mut scan = sample();
        scan["verdict"]["state"] = json!(state);
        let html = page(&scan, English);
        assert!(html.contains(english), "{state}");
    }
}

/// What a browser would fetch or follow outside of the page. Quotes of the data are escaped, so that these are the page's own.
pub fn leaves(html: &str) -> Vec<&str> {
    const FETCHED: [&str; 10] =
        ["href", "xlink:href", "src", "srcset", "action", "formaction", "poster", "data", "background", "ping"];
    let values = |name: &str| {
        let attribute = format!(" {name}=\"");
        let starts: Vec<usize> = html.match_indices(&attribute).map(|(at, found)| at + found.len()).collect();
        starts.into_iter().map(|at| &html[at..at + html[at..].find('"').expect("a value ends")])
    };
    let styles = values("style").filter(|style| style.contains("url("));
    FETCHED.iter().flat_map(|name| values(name)).filter(|value| !value.starts_with('#')).chain(styles).collect()
}

/// Names of tags, in order; panics where they do not nest.
pub fn tags(html: &str) -> Vec<&str> {
    const VOID: [&str; 4] = ["meta", "input", "br", "!doctype"];
    let mut all = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let end = rest.find('>').expect("a tag ends");
        let tag = &rest[..end];
        let name = tag.split([' ', '/']).find(|n| !n.is_empty()).expect("a name");
        all.push(name);
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "after {:?}", &all[all.len().saturating_sub(8)..]);
        } else if !(tag.ends_with('/') || VOID.contains(&name)) {
            open.push(name);
        }
        // What stands in these is no markup.
        if matches!(name, "style" | "script") && !tag.starts_with('/') {
            rest = &rest[rest.find(&format!("</{name}>")).expect("its end")..];
        } else {
            rest = &rest[end + 1..];
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
    all
}

/// Tags nest, names are given once, and every link leads somewhere on the page.
pub fn check_structure(html: &str) {
    check_structure_beside(html, &[]);
}

/// The same where files beside the page may be linked.
pub fn check_structure_beside(html: &str, files: &[String]) {
    tags(html);
    let values = |attribute: &str| -> Vec<String> {
        let start = format!(" {attribute}=\"");
        html.split(&start).skip(1).map(|rest| rest.split_once('"').expect("closed").0.to_string()).collect()
    };
    let mut ids = values("id");
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "an id is given twice");
    for link in values("href").into_iter().filter(|link| !files.contains(link)) {
        let target = link.strip_prefix('#').expect("links stay on the page");
        assert!(ids.iter().any(|id| id == target), "{link} leads nowhere");
    }
}
