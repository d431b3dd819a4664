//! Judges the verbs against a file of labels, or lists what is read from other texts.
//!
//! ```text
//! judge_verbs en LABELS.jsonl           figures, and the rows that differ
//! judge_verbs en LABELS.jsonl quiet     figures alone
//! judge_verbs en TEXTS.txt list         verb, noun, level, steps, constraints of each line
//! judge_verbs en TEXTS.txt speed        texts a second of one thread
//! ```

use std::time::Instant;

use measures::verbs::{Analysis, Diversity, Tongue, analyse};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [tongue, path, mode @ ..] = args.as_slice() else {
        eprintln!("judge_verbs en|zh FILE [quiet|list|speed]");
        std::process::exit(2);
    };
    let tongue = if tongue == "zh" { Tongue::Chinese } else { Tongue::English };
    let file = match std::fs::read_to_string(path) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("{path}: {error}");
            std::process::exit(2);
        }
    };
    match mode.first().map(String::as_str) {
        Some("list") => list(&file, tongue),
        Some("speed") => speed(&file, tongue),
        mode => judge(&file, tongue, mode == Some("quiet")),
    }
}

#[derive(Default)]
struct Score {
    rows: u32,
    wanted: u32,
    answered: u32,
    given: u32,
    verbs: u32,
    nouns: u32,
    levels: u32,
}

fn judge(file: &str, tongue: Tongue, quiet: bool) {
    let mut score = Score::default();
    for line in file.lines() {
        let Ok(label) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let field = |name: &str| label[name].as_str();
        let text = field("text").unwrap_or_default();
        let root = analyse(text, tongue).root;
        let verb = root.as_ref().map(|root| root.verb.as_str());
        let noun = root.as_ref().and_then(|root| root.noun.as_deref());
        let level = root.as_ref().map(|root| root.level.name());
        let right = verb.is_some() && verb == field("verb");
        score.rows += 1;
        score.wanted += u32::from(field("verb").is_some());
        score.answered += u32::from(field("verb").is_some() && verb.is_some());
        score.given += u32::from(verb.is_some());
        score.verbs += u32::from(right);
        score.nouns += u32::from(right && noun == field("noun"));
        score.levels += u32::from(right && level == field("level"));
        let differs = verb != field("verb") || noun != field("noun") || level != field("level");
        if differs && !quiet {
            let mark = if verb != field("verb") {
                "VERB"
            } else if noun != field("noun") {
                "noun"
            } else {
                "level"
            };
            let start: String = text.chars().take(160).collect();
            println!("{mark:5} {verb:?}/{noun:?}/{level:?} for {}/{}/{}", label["verb"], label["noun"], label["level"]);
            println!("      {}", start.replace('\n', " | "));
        }
    }
    let share = |n: u32, of: u32| f64::from(n) / f64::from(of.max(1));
    println!(
        "{} rows: verb precision {:.3} of {} given, {:.3} of {} answered; of right verbs: noun {:.3}, level {:.3}",
        score.rows,
        share(score.verbs, score.given),
        score.given,
        share(score.answered, score.wanted),
        score.wanted,
        share(score.nouns, score.verbs),
        share(score.levels, score.verbs)
    );
}

fn list(file: &str, tongue: Tongue) {
    for line in file.lines() {
        let Analysis { root, steps, constraints } = analyse(line, tongue);
        let start: String = line.chars().take(140).collect();
        match root {
            Some(root) => {
                let noun = root.noun.as_deref().unwrap_or("-");
                println!("{} / {noun} / {} / {steps} / {constraints}\t{start}", root.verb, root.level.name());
            }
            None => println!("-\t{start}"),
        }
    }
}

fn speed(file: &str, tongue: Tongue) {
    let texts: Vec<&str> = file.lines().collect();
    analyse("warm up", tongue);
    let start = Instant::now();
    let mut diversity = Diversity::default();
    let mut times = 0;
    while start.elapsed().as_secs_f64() < 2.0 {
        for text in &texts {
            diversity.add(&analyse(text, tongue));
        }
        times += 1;
    }
    let texts_per_s = f64::from(times) * texts.len() as f64 / start.elapsed().as_secs_f64();
    println!(
        "{texts_per_s:.0} texts a second, {} pairs, {:.2} bits",
        diversity.distinct_pairs(),
        diversity.entropy_bits()
    );
}
