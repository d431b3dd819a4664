//! What `answers` and `quality` say of a real file, to be judged by eye:
//! `judge_answers FILE [role=column …] [shuffled]`.
//!
//! With `shuffled`, each answer is that of the row after next: what an off-topic answer looks like.

use data::{Content, Message, Records, Source};
use measures::Part;
use measures::quality::{Known, LOW_BELOW, Quality, quality};
use scan::answers::{Index, Place, finish, sketch};
use scan::{Field, Row};
use std::collections::BTreeMap;
use std::error::Error;

const SHOWN: usize = 12;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: judge_answers FILE [role=column ...] [shuffled]")?;
    let rest: Vec<String> = args.collect();
    let columns: BTreeMap<String, String> =
        rest.iter().filter_map(|arg| arg.split_once('=')).map(|(role, name)| (role.into(), name.into())).collect();
    let source = Source { path: path.into(), format: None, columns, tags: BTreeMap::new(), task: None };
    let folder = tempfile::tempdir()?;
    let records = Records::open(&source, 1 << 26, folder.path())?;
    println!("{}", records.note);
    let mut rows: Vec<Row> = records.flatten().map(|record| row(record.content, record.origin.line)).collect();
    if rest.iter().any(|arg| arg == "shuffled") {
        shuffle(&mut rows);
    }
    judge_quality(&rows);
    let start = cpu_s();
    let mut index = Index::new(folder.path(), 0)?;
    for row in &rows {
        index.push(&sketch(row))?;
    }
    index.close()?;
    let sketched = cpu_s() - start;
    let report = finish(&[folder.path().to_owned()], &|| false)?;
    let times = (sketched, (cpu_s() - start));
    println!("\nanswers: {:.0} rows/s; sketched in {:.2} s of {:.2} s", rows.len() as f64 / times.1, times.0, times.1);
    println!("{} rows, {} pairs, {} answers, {:?}", report.rows, report.pairs, report.answers, report.set);
    let text = |place: Place, part| {
        cut(&rows
            .iter()
            .find(|row| row.line == place.line)
            .map(|row| row.parts(&[part]).into_owned())
            .unwrap_or_default())
    };
    for found in report.frequent.iter().take(3) {
        println!("  {} rows answer {:?}", found.rows, text(found.first, Part::Response));
    }
    for (name, groups) in [
        ("same_question", &report.same_question),
        ("same_answer", &report.same_answer),
        ("constant", &report.constant_answer),
    ] {
        println!("{name}: {} groups", groups.len());
        for group in groups.iter().take(SHOWN) {
            println!(
                "  {} rows {} questions {} answers, {:.2}",
                group.rows, group.questions, group.answers, group.confidence
            );
            for &place in group.places.iter().take(3) {
                println!(
                    "    {}: {:?} -> {:?}",
                    place.line,
                    text(place, Part::Instruction),
                    text(place, Part::Response)
                );
            }
        }
    }
    println!("triggers: {}", report.triggers.len());
    for trigger in report.triggers.iter().take(SHOWN) {
        println!(
            "  {:?} {} rows, {} other, {} elsewhere, {:.2}",
            trigger.tied, trigger.rows, trigger.rows_other, trigger.answer_elsewhere, trigger.confidence
        );
        for at in trigger.at.iter().take(4) {
            let field = rows
                .iter()
                .find(|row| row.line == at.place.line)
                .and_then(|row| row.fields.iter().find(|field| field.name == at.field));
            let string: String = field
                .map(|field| field.text.chars().skip(at.start as usize).take((at.end - at.start) as usize).collect())
                .unwrap_or_default();
            println!(
                "    {}: {string:?} in {:?} -> {:?}",
                at.place.line,
                text(at.place, Part::Instruction),
                text(at.place, Part::Response)
            );
        }
    }
    println!("templates: {}", report.templates.len());
    for template in report.templates.iter().take(SHOWN) {
        let at = &template.at;
        let field = rows
            .iter()
            .find(|row| row.line == at.place.line)
            .and_then(|row| row.fields.iter().find(|field| field.name == at.field));
        let string: String = field
            .map(|field| field.text.chars().skip(at.start as usize).take((at.end - at.start) as usize).collect())
            .unwrap_or_default();
        println!("  {} rows, {} chars: {:?}", template.rows, template.chars, cut(&string));
    }
    Ok(())
}

fn judge_quality(rows: &[Row]) {
    let start = cpu_s();
    let judged: Vec<(Quality, &Row)> = rows
        .iter()
        .map(|row| (quality(&row.parts(&[Part::Instruction]), &row.parts(&[Part::Response]), &Known::default()), row))
        .collect();
    println!("quality: {:.0} rows/s", rows.len() as f64 / (cpu_s() - start));
    let mut low: Vec<_> = judged.iter().filter(|(quality, _)| quality.score < LOW_BELOW).collect();
    low.sort_by(|a, b| a.0.score.total_cmp(&b.0.score));
    let off: Vec<&(Quality, &Row)> = judged.iter().filter(|(quality, _)| quality.off_topic.is_some()).collect();
    println!(
        "low: {} ({:.4}); off topic: {} ({:.4})",
        low.len(),
        low.len() as f64 / rows.len() as f64,
        off.len(),
        off.len() as f64 / rows.len() as f64
    );
    for (at, (aspect, _)) in judged[0].0.parts.iter().enumerate() {
        let below = judged.iter().filter(|(quality, _)| quality.parts[at].1 < 0.6).count();
        println!("  {} below 0.6: {below}", aspect.name());
    }
    for (quality, row) in low.iter().take(3 * SHOWN).chain(off.iter().take(SHOWN)) {
        let wrong: Vec<String> = quality
            .parts
            .iter()
            .filter(|part| part.1 < 1.0)
            .map(|(aspect, value)| format!("{} {value:.2}", aspect.name()))
            .collect();
        println!(
            "  {}: {:.2} {:?} {}: {:?} -> {:?}",
            row.line,
            quality.score,
            quality.off_topic,
            wrong.join(", "),
            cut(&row.parts(&[Part::Instruction])),
            cut(&row.parts(&[Part::Response]))
        );
    }
}

/// Seconds of processor time of this thread so far, where the system tells (Linux).
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn shuffle(rows: &mut [Row]) {
    let mut answers: Vec<String> = rows.iter().map(|row| row.parts(&[Part::Response]).into_owned()).collect();
    answers.rotate_left(2.min(rows.len()));
    for (row, answer) in rows.iter_mut().zip(answers) {
        row.fields.retain(|field| field.part != Part::Response);
        row.fields.push(Field { name: "output".into(), part: Part::Response, text: answer });
    }
}

fn row(content: Content, line: u64) -> Row {
    let field = |name: String, part, text| Field { name, part, text };
    let messages = |messages: Vec<Message>| {
        let each = messages.into_iter().enumerate().map(|(at, message)| {
            let part = match message.role.as_str() {
                "system" => Part::System,
                "assistant" => Part::Response,
                _ => Part::Instruction,
            };
            let text = message.content.as_ref().and_then(|content| content.as_str()).unwrap_or_default().to_owned();
            field(format!("messages[{at}]"), part, text)
        });
        each.collect::<Vec<_>>()
    };
    let fields = match content {
        Content::Chat(chat) => messages(chat.messages),
        Content::PromptCompletion { prompt, completion } => {
            vec![
                field("prompt".into(), Part::Instruction, prompt),
                field("completion".into(), Part::Response, completion),
            ]
        }
        Content::PromptCompletionChat { prompt, completion, .. } => {
            messages(prompt.into_iter().chain(completion).collect())
        }
        Content::Fields(fields) => fields.into_iter().map(|(name, text)| field(name, Part::Text, text)).collect(),
        Content::Text(text) | Content::Unfinished(text) => vec![field("text".into(), Part::Text, text)],
    };
    Row { file: 0, line, fields }
}

fn cut(text: &str) -> String {
    text.chars().take(110).collect()
}
