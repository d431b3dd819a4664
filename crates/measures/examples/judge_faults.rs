//! What `faults::find` and `language::mismatch` say of files of examples: `judge_faults FILE [TRUTH]`.
//!
//! `FILE` is JSON Lines or a JSON array. `TRUTH` has rows of `line` (from 1) and `fault`. Prints how many of each fault's rows
//! were found and by which kinds, each row that was flagged beyond the truth, and the speed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use measures::{Part, faults, language};
use serde_json::Value;

/// Characters from which on a row is overlong here.
const CHARACTERS_MAX: usize = 20_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let (path, truth_path) = match paths.as_slice() {
        [path] => (path, None),
        [path, truth] => (path, Some(truth)),
        _ => return Err("judge_faults FILE [TRUTH]".into()),
    };
    let bytes = std::fs::read(path)?;
    let rows: Vec<Option<Value>> = match serde_json::from_slice::<Vec<Value>>(&bytes) {
        Ok(rows) => rows.into_iter().map(Some).collect(),
        Err(_) => bytes.split(|b| *b == b'\n').map(|line| serde_json::from_slice(line).ok()).collect(),
    };
    let mut truth: BTreeMap<usize, String> = BTreeMap::new();
    if let Some(path) = truth_path {
        for line in std::fs::read_to_string(path)?.lines() {
            let row: Value = serde_json::from_str(line)?;
            let line = row["line"].as_u64().ok_or("a row lacks line")? as usize;
            truth.insert(line, row["fault"].as_str().ok_or("a row lacks fault")?.to_owned());
        }
    }
    let texts: Vec<Vec<(Part, String)>> = rows.iter().map(|row| row.as_ref().map_or_else(Vec::new, texts)).collect();
    let started = Instant::now();
    let found: Vec<Vec<String>> = texts.iter().map(|texts| judge(texts)).collect();
    let time = started.elapsed();
    report(&found, &truth, &texts);
    let size: usize = texts.iter().flatten().map(|(_, text)| text.len()).sum();
    let fields = texts.iter().flatten().count();
    println!("{} rows, {fields} texts, {size} bytes in {time:?}", texts.len());
    Ok(())
}

/// What was found in a row, one line each.
fn judge(texts: &[(Part, String)]) -> Vec<String> {
    let of = |part: Part| {
        let texts: Vec<&str> = texts.iter().filter(|(p, _)| *p == part).map(|(_, text)| text.as_str()).collect();
        texts.join("\n")
    };
    let (instruction, response) = (of(Part::Instruction), of(Part::Response));
    let context = faults::Context::of(&instruction);
    let mut lines = Vec::new();
    for (part, text) in texts {
        let mut spots = faults::find(text, *part, context);
        spots.extend(faults::overlong(text, CHARACTERS_MAX));
        for spot in spots.iter().filter(|s| s.confidence >= 0.5) {
            let near = if spot.kind == "truncated" { text.len().saturating_sub(90) } else { spot.at.start };
            let mut start = near.saturating_sub(30);
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            let excerpt: String = text[start..].chars().take(140).collect();
            lines.push(format!("{} {} {:.2} {:?}", spot.kind, spot.rule, spot.confidence, excerpt));
        }
    }
    let (asked, answered) = (language::profile(&instruction), language::profile(&response));
    if let Some(confidence) = language::mismatch(&instruction, &asked, &answered)
        && confidence >= 0.5
    {
        let excerpt: String = response.chars().take(100).collect();
        lines.push(format!("language_mismatch {confidence:.2} {excerpt:?}"));
    }
    lines
}

fn report(found: &[Vec<String>], truth: &BTreeMap<usize, String>, texts: &[Vec<(Part, String)>]) {
    let mut by_fault: BTreeMap<&str, (usize, usize, BTreeSet<&str>)> = BTreeMap::new();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut beyond = 0;
    for (at, lines) in found.iter().enumerate() {
        let row_kinds: BTreeSet<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
        match truth.get(&(at + 1)) {
            Some(fault) => {
                let entry = by_fault.entry(fault).or_default();
                entry.0 += usize::from(!lines.is_empty());
                entry.1 += 1;
                entry.2.extend(row_kinds);
            }
            None if lines.is_empty() => {}
            None => {
                beyond += 1;
                for kind in row_kinds {
                    *kinds.entry(kind).or_default() += 1;
                }
                let asked: String =
                    texts[at].first().map_or_else(String::new, |(_, text)| text.chars().take(100).collect());
                println!("row {} {asked:?}", at + 1);
                lines.iter().take(4).for_each(|line| println!("    {line}"));
            }
        }
    }
    for (fault, (hit, all, kinds)) in &by_fault {
        println!("{fault}: {hit}/{all} {kinds:?}");
    }
    println!("flagged beyond the truth: {beyond} of {} rows, {kinds:?}", found.len());
}

/// The texts of a row in the usual formats, each with its side.
fn texts(row: &Value) -> Vec<(Part, String)> {
    let mut out = Vec::new();
    let Value::Object(fields) = row else { return out };
    for (key, value) in fields {
        let part = match key.as_str() {
            "instruction" | "input" | "prompt" | "question" | "query" => Part::Instruction,
            "output" | "response" | "completion" | "answer" | "predictions" => Part::Response,
            "system" | "tools" => Part::System,
            _ => Part::Text,
        };
        match value {
            Value::String(text) => out.push((part, text.clone())),
            Value::Array(turns) => turns.iter().for_each(|turn| out.extend(turn_text(turn))),
            _ => {}
        }
    }
    out
}

fn turn_text(turn: &Value) -> Option<(Part, String)> {
    let role = ["role", "from"].iter().find_map(|key| turn[*key].as_str());
    let text = ["content", "value", "output"].iter().find_map(|key| turn[*key].as_str())?;
    let part = match role {
        Some("user" | "human") => Part::Instruction,
        Some("assistant" | "gpt") => Part::Response,
        Some(_) => Part::System,
        None => Part::Response,
    };
    Some((part, text.to_owned()))
}
