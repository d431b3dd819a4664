//! Measures `pii::find` on sets with truth: recall and precision of every type, and hard negatives that are flagged.
//!
//! Takes the paths of pii_zh.jsonl, pii_en.jsonl, crosswoz_*_phones.jsonl and presidio's synth_dataset_v2.json, in any
//! number and order. `--plain` before a path takes any text file and lists what is found in it, shortened.

use measures::pii::{self, FINDING};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

/// Counts of one type.
#[derive(Default)]
struct Score {
    truths: usize,
    hit: usize,
    exact: usize,
    found: usize,
    right: usize,
}

/// A text and where in it what stands, in bytes.
struct Case {
    text: String,
    truths: Vec<(String, Range<usize>)>,
    hard: Vec<(String, Range<usize>)>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut plain = false;
    for argument in std::env::args().skip(1) {
        if argument == "--plain" {
            plain = true;
            continue;
        }
        let content = String::from_utf8_lossy(&std::fs::read(&argument)?).into_owned();
        println!("== {argument}");
        if plain {
            list(&content);
        } else {
            judge(&cases(&content)?);
        }
    }
    Ok(())
}

fn cases(content: &str) -> Result<Vec<Case>, serde_json::Error> {
    if content.trim_start().starts_with('[') {
        let all: Vec<Value> = serde_json::from_str(content)?;
        return Ok(all.iter().map(|row| case(row, "full_text", "spans", "start_position", "end_position")).collect());
    }
    let rows = content.lines().filter(|line| !line.is_empty()).map(serde_json::from_str);
    let rows: Vec<Value> = rows.collect::<Result<_, _>>()?;
    Ok(rows
        .iter()
        .map(|row| {
            let spans = if row.get("phone_spans").is_some() { "phone_spans" } else { "spans" };
            case(row, "text", spans, "start", "end")
        })
        .collect())
}

fn case(row: &Value, text: &str, spans: &str, start: &str, end: &str) -> Case {
    let text = row[text].as_str().unwrap_or_default().to_owned();
    let mut bytes: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    bytes.push(text.len());
    let place = |span: &Value, key: &str| bytes[span[key].as_u64().unwrap_or(0) as usize];
    let ranges = |key: &str| {
        let list = row[key].as_array().into_iter().flatten();
        list.map(|span| {
            let kind = span.get("entity_type").or(span.get("type")).and_then(Value::as_str).unwrap_or("PHONE");
            (kind.to_owned(), place(span, start)..place(span, end))
        })
        .collect()
    };
    let (truths, hard) = (ranges(spans), ranges("hard_negatives"));
    Case { text, truths, hard }
}

/// The kind that a type of these sets is for us; none for those that need a model of the language.
fn kind(name: &str) -> Option<&'static str> {
    Some(match name {
        "PHONE" | "CN_MOBILE" | "CN_LANDLINE" | "US_PHONE" | "INTL_PHONE" | "PHONE_NUMBER" => "phone",
        "EMAIL" | "EMAIL_ADDRESS" => "email",
        "CN_ID" => "cn_id",
        "PASSPORT" => "passport",
        "CN_BANK_CARD" | "CREDIT_CARD" => "bank_card",
        "IBAN" | "IBAN_CODE" => "iban",
        "US_SSN" => "us_ssn",
        "IPV4" | "IPV6" | "IP_ADDRESS" => "ip",
        "CN_PLATE" => "plate",
        "WECHAT" => "wechat",
        "STREET_ADDRESS" => "address",
        "PRIVATE_KEY" => "private_key",
        "AWS_KEY" | "AWS_SECRET" | "OPENAI_KEY" => "api_key",
        "GITHUB_TOKEN" | "SLACK_TOKEN" | "JWT" => "token",
        "PASSWORD_URL" => "url_password",
        _ => return None,
    })
}

fn judge(cases: &[Case]) {
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let mut kinds: BTreeMap<&str, Score> = BTreeMap::new();
    let mut flagged: BTreeMap<String, usize> = BTreeMap::new();
    let started = Instant::now();
    let found: Vec<_> = cases.iter().map(|case| pii::find(&case.text)).collect();
    let seconds = started.elapsed().as_secs_f64();
    let overlap = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
    for (case, spots) in cases.iter().zip(&found) {
        let spots: Vec<_> = spots.iter().filter(|spot| spot.confidence >= FINDING).collect();
        for (name, at) in &case.truths {
            let score = scores.entry(name.clone()).or_default();
            let of_kind = spots.iter().filter(|spot| Some(spot.kind) == kind(name));
            score.truths += 1;
            let hit = of_kind.clone().any(|spot| overlap(&spot.at, at));
            score.hit += usize::from(hit);
            score.exact += usize::from(of_kind.clone().any(|spot| spot.at == *at));
            if !hit && kind(name).is_some_and(|kind| kind != "address") {
                println!("  missed {name}: {}", around(&case.text, at));
            }
        }
        for spot in &spots {
            let score = kinds.entry(spot.kind).or_default();
            score.found += 1;
            let mut same = case.truths.iter().filter(|(name, _)| kind(name) == Some(spot.kind));
            if same.any(|(_, at)| overlap(&spot.at, at)) {
                score.right += 1;
            } else {
                println!("  false {} ({}): {}", spot.rule, spot.confidence, around(&case.text, &spot.at));
            }
        }
        for (name, at) in &case.hard {
            if let Some(spot) = spots.iter().find(|spot| overlap(&spot.at, at)) {
                *flagged.entry(name.clone()).or_default() += 1;
                println!("  flagged {name} as {}: {}", spot.rule, around(&case.text, at));
            }
        }
    }
    for (name, score) in &scores {
        let share = |n: usize| n as f64 / score.truths.max(1) as f64;
        println!("{name:16} {:5} recall {:.4} exact {:.4}", score.truths, share(score.hit), share(score.exact));
    }
    for (name, score) in &kinds {
        println!("{name:16} {:5} precision {:.4}", score.found, score.right as f64 / score.found as f64);
    }
    let hard: usize = cases.iter().map(|case| case.hard.len()).sum();
    println!("hard negatives flagged: {} of {hard} {flagged:?}", flagged.values().sum::<usize>());
    let bytes: usize = cases.iter().map(|case| case.text.len()).sum();
    println!("{:.1} MB/s, {:.0} texts/s", bytes as f64 / seconds / 1e6, cases.len() as f64 / seconds);
}

fn around(text: &str, at: &Range<usize>) -> String {
    let start = text.floor_char_boundary(at.start.saturating_sub(45));
    let end = text.ceil_char_boundary((at.end + 20).min(text.len()));
    format!("{:?} [{}] {:?}", &text[start..at.start], &text[at.clone()], &text[at.end..end])
}

fn list(content: &str) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let started = Instant::now();
    let lines: Vec<&str> = content.lines().collect();
    let found: Vec<_> = lines.iter().map(|line| pii::find(line)).collect();
    let seconds = started.elapsed().as_secs_f64();
    for (line, spots) in lines.iter().zip(found) {
        for spot in spots.iter().filter(|spot| spot.confidence >= FINDING) {
            *counts.entry(spot.rule).or_default() += 1;
            println!("  {} ({}): {}", spot.rule, spot.confidence, around(line, &spot.at));
        }
    }
    println!("{counts:?} in {} lines, {:.1} MB/s", lines.len(), content.len() as f64 / seconds / 1e6);
}
