//! How many labelled texts `language::identify` gets right: `judge_language FILE` (rows of `lang` and `text`).
//!
//! Prints figures by language and the time it took; with `--errors`, the wrong ones.

use std::collections::BTreeMap;
use std::time::Instant;

use measures::language;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    let errors = paths.iter().position(|p| p == "--errors").map(|at| paths.remove(at)).is_some();
    let [path] = paths.as_slice() else { return Err("judge_language [--errors] FILE".into()) };
    let rows: Vec<(String, String)> = std::fs::read_to_string(path)?
        .lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line)?;
            let of = |key: &str| row[key].as_str().map(str::to_owned).ok_or(format!("a row lacks {key}"));
            Ok((of("lang")?, of("text")?))
        })
        .collect::<Result<_, Box<dyn std::error::Error>>>()?;
    let started = Instant::now();
    language::identify("The first text loads what is loaded lazily.");
    let load = started.elapsed();
    let mut by_language: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let started = Instant::now();
    let found: Vec<_> = rows.iter().map(|(_, text)| language::identify(text)).collect();
    let time = started.elapsed();
    for ((expected, text), found) in rows.iter().zip(&found) {
        let (right, all) = by_language.entry(expected).or_default();
        *all += 1;
        let got = found.map_or("-", |found| found.language.iso());
        if got == expected {
            *right += 1;
        } else if errors {
            println!("{expected} -> {got} {:.2}  {text}", found.map_or(0.0, |f| f.confidence));
        }
    }
    for (language, (right, all)) in &by_language {
        println!("{language}  {right}/{all}");
    }
    let right: usize = by_language.values().map(|(right, _)| right).sum();
    println!(
        "right {right}/{} = {:.4}; load {load:?}, {:?} a text",
        rows.len(),
        right as f64 / rows.len() as f64,
        time / rows.len() as u32
    );
    Ok(())
}
