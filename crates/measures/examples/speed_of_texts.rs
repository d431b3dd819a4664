//! How many records a second faults and languages together take on one core: `speed_of_texts`.
//!
//! Records are made here, about 500 characters each, English and Chinese. Prints each measure apart.

use std::time::{Duration, Instant};

use measures::{Part, faults, language};
use planted::random::Random;
use planted::texts::{Language, example};

fn main() {
    const RECORDS: usize = 4000;
    let started = Instant::now();
    let context = faults::Context::of("Explain this.");
    faults::find("A text in which all is there: 你好，é, С and ä.", Part::Response, context);
    language::mismatch(
        "Explain this.",
        &language::profile("你好吗"),
        &language::profile("all is there, also for you and for me"),
    );
    println!("first use: {:?}", started.elapsed());
    for spoken in [Language::English, Language::Chinese] {
        let mut random = Random::new(5);
        let records: Vec<(String, String)> = (0..RECORDS)
            .map(|_| {
                let example = example(spoken, &mut random);
                (format!("{}\n{}", example.instruction, example.input), example.output)
            })
            .collect();
        let characters: usize = records.iter().map(|(a, b)| a.chars().count() + b.chars().count()).sum();
        println!("{spoken:?}, {} characters a record", characters / RECORDS);
        time("context", &records, |(asked, _)| usize::from(faults::Context::of(asked) == faults::Context::default()));
        time("faults", &records, |(asked, answered)| {
            let context = faults::Context::of(asked);
            faults::find(asked, Part::Instruction, context).len()
                + faults::find(answered, Part::Response, context).len()
        });
        time("languages", &records, |(asked, answered)| {
            let (a, b) = (language::profile(asked), language::profile(answered));
            usize::from(language::mismatch(asked, &a, &b).is_some())
        });
        time("code", &records, |(_, answered)| language::code_share(answered) as usize);
        time("both", &records, |(asked, answered)| {
            let context = faults::Context::of(asked);
            let (a, b) = (language::profile(asked), language::profile(answered));
            faults::find(asked, Part::Instruction, context).len()
                + faults::find(answered, Part::Response, context).len()
                + usize::from(language::mismatch(asked, &a, &b).is_some())
        });
    }
}

/// Each block takes the best of its runs: other work on the machine only adds.
fn time(name: &str, records: &[(String, String)], run: impl Fn(&(String, String)) -> usize) {
    const RUNS: usize = 9;
    const BLOCK: usize = 50;
    let mut all = Duration::ZERO;
    let mut sum = 0;
    for block in records.chunks(BLOCK) {
        let mut best = Duration::MAX;
        for _ in 0..RUNS {
            let started = Instant::now();
            sum += block.iter().map(&run).sum::<usize>();
            best = best.min(started.elapsed());
        }
        all += best;
    }
    let each = all / records.len() as u32;
    println!("  {name}: {each:?} a record, {:.0} a second ({})", 1.0 / each.as_secs_f64(), sum / RUNS);
}
