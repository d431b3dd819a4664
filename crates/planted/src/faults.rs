//! Rows with one fault each, and which.
//!
//! JSON Lines of `instruction`, `input`, `output`. About every eighth row has a fault; of the others one in twelve is a hard row:
//! one that looks like a fault and is none, such as a question about HTML, a chorus that was asked for, or joined emoji.

mod garble;
mod texts;

use serde_json::{Value, json};

use crate::random::Random;
use crate::texts::{Example, Language, example};

/// Rows as bytes, since some are no UTF-8 and some no JSON.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Dirty {
    /// Without line ends.
    pub lines: Vec<Vec<u8>>,
    /// Lines from 1, and one of [`FAULTS`].
    pub truth: Vec<(u64, &'static str)>,
}

/// Names of the faults, in the order in which rows get them.
pub const FAULTS: [&str; 20] = [
    "empty_output",
    "missing_field",
    "wrong_type",
    "mojibake",
    "html",
    "zero_width",
    "control_chars",
    "repetition",
    "refusal",
    "lang_mismatch",
    "truncated_json",
    "invalid_utf8",
    "overlong",
    "leaked_role_tokens",
    "exact_dup",
    "whitespace_only",
    "replacement_char",
    "nul",
    "truncated",
    "mixed_controls",
];

/// Every so many rows one has a fault.
const EVERY: usize = 8;

/// `rows` rows. The same for the same seed on every machine.
pub fn dirty(rows: usize, seed: u64) -> Dirty {
    let mut random = Random::new(seed);
    let mut dirty = Dirty::default();
    for index in 0..rows {
        let language = if random.below(2) == 0 { Language::English } else { Language::Chinese };
        let clean = clean(language, &mut random);
        if index % EVERY != EVERY - 1 {
            dirty.lines.push(row(&clean));
            continue;
        }
        let fault = FAULTS[index / EVERY % FAULTS.len()];
        let line = match fault {
            "exact_dup" => copied(&dirty.lines, &mut random),
            _ => broken(fault, language, base(language, &mut random), &mut random),
        };
        dirty.lines.push(line);
        dirty.truth.push((index as u64 + 1, fault));
    }
    dirty
}

/// A row without a fault.
fn clean(language: Language, random: &mut Random) -> Example {
    if random.below(12) == 0 { texts::hard(language, random) } else { example(language, random) }
}

/// A row to break: its answer is prose, long enough to be broken in the middle.
fn base(language: Language, random: &mut Random) -> Example {
    let (instruction, opening) = texts::question(language, random);
    let sentences = 3 + random.below(4);
    let output = format!("{opening}{}", crate::texts::paragraph(language, random, sentences));
    Example { instruction, input: String::new(), output }
}

fn row(example: &Example) -> Vec<u8> {
    value(example).to_string().into_bytes()
}

fn value(example: &Example) -> Value {
    json!({"instruction": example.instruction, "input": example.input, "output": example.output})
}

/// One of the lines before, again. The first row with a fault has seven before it.
fn copied(lines: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let whole: Vec<_> = lines.iter().filter(|line| serde_json::from_slice::<Value>(line).is_ok()).collect();
    random.of(&whole).to_vec()
}

fn broken(fault: &str, language: Language, mut example: Example, random: &mut Random) -> Vec<u8> {
    let output = std::mem::take(&mut example.output);
    let mut value = value(&example);
    let new: String = match fault {
        "empty_output" => String::new(),
        "missing_field" => {
            let field = if random.below(4) == 0 { "instruction" } else { "output" };
            value["output"] = output.into();
            value.as_object_mut().map(|fields| fields.shift_remove(field));
            return value.to_string().into_bytes();
        }
        "wrong_type" => {
            value["output"] = wrong_type(output, random);
            return value.to_string().into_bytes();
        }
        "truncated_json" => {
            value["output"] = output.into();
            return cut_json(value.to_string(), random);
        }
        "invalid_utf8" => {
            value["output"] = output.into();
            return invalid_utf8(value.to_string(), random);
        }
        "mojibake" => garble::mojibake(&output, random),
        "html" => texts::html(language, &output, random),
        "zero_width" => zero_width(&output, random),
        "control_chars" => inserted(
            &output,
            one_of(random, &["\u{0}\u{7}\u{1b}[31m", "\u{1}\u{2}", "\u{1b}[0m", "\u{8}\u{8}"]),
            random,
        ),
        "mixed_controls" => {
            inserted(&output, one_of(random, &["\u{202e}", "\u{feff}", "\u{e000}", "\u{2066}", "\u{9d}"]), random)
        }
        "nul" => inserted(&output, "\u{0}", random),
        "repetition" => repetition(&output, random),
        "refusal" => texts::refusal(language, random).to_owned(),
        "lang_mismatch" => texts::other_language(language, random),
        "overlong" => overlong(output, random),
        "leaked_role_tokens" => format!("{output}{}", random.of(texts::LEAKS)),
        "whitespace_only" => random.of(&[" \n\t\u{3000}", "   ", "\n\n", "\u{a0}\u{200b} "]).to_string(),
        "replacement_char" => inserted(&output, one_of(random, &["\u{fffd}", "\u{fffd}\u{fffd}\u{fffd}"]), random),
        "truncated" => truncated(language, &output, random),
        _ => output,
    };
    value["output"] = new.into();
    value.to_string().into_bytes()
}

fn wrong_type(output: String, random: &mut Random) -> Value {
    match random.below(4) {
        0 => json!([output]),
        1 => json!({ "text": output }),
        2 => json!(random.below(1000)),
        _ => Value::Null,
    }
}

/// Ends inside of the last text, as a file does whose writer was killed.
fn cut_json(line: String, random: &mut Random) -> Vec<u8> {
    let mut end = line.len() - 2 - random.below(line.len() / 3);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.as_bytes()[..end].to_vec()
}

fn invalid_utf8(line: String, random: &mut Random) -> Vec<u8> {
    let mut bytes = line.into_bytes();
    let before_end = bytes.len() - 2;
    // A cut character, bytes that UTF-8 never has, a surrogate, an overlong form.
    const BROKEN: [&[u8]; 4] = [b"\xe4\xbd", b"\xff\xfe\xc3", b"\xed\xa0\x80", b"\xc0\xaf"];
    let broken = *random.of(&BROKEN);
    bytes.splice(before_end..before_end, broken.iter().copied());
    bytes
}

fn one_of(random: &mut Random, items: &[&'static str]) -> &'static str {
    let item: &&str = random.of(items);
    item
}

/// Puts `what` between two characters, not at the ends.
fn inserted(text: &str, what: &str, random: &mut Random) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = 1 + random.below(chars.len() - 1);
    chars[..at].iter().chain(what.chars().collect::<Vec<_>>().iter()).chain(&chars[at..]).collect()
}

fn zero_width(text: &str, random: &mut Random) -> String {
    let mark = *random.of(&['\u{200b}', '\u{2060}', '\u{feff}', '\u{200c}']);
    match random.below(3) {
        // One alone, as copied from a page.
        0 => inserted(text, &mark.to_string(), random),
        1 => text.char_indices().flat_map(|(n, c)| if n > 0 && n < 120 { vec![mark, c] } else { vec![c] }).collect(),
        _ => (0..5).fold(text.to_owned(), |text, _| inserted(&text, &mark.to_string(), random)),
    }
}

fn repetition(text: &str, random: &mut Random) -> String {
    let chars: Vec<char> = text.chars().collect();
    match random.below(3) {
        // The beginning and nothing else.
        0 => chars[..20.min(chars.len())].iter().collect::<String>().repeat(30 + random.below(40)),
        // The last sentence again and again.
        1 => {
            let last = text.trim_end().split_inclusive(['.', '。']).next_back().unwrap_or(text);
            format!("{text} {}", format!("{} ", last.trim()).repeat(8 + random.below(20)))
        }
        // Stuck in the middle of a sentence.
        _ => {
            let (at, len) = (chars.len() / 2, 10 + random.below(20));
            let unit: String = chars[at.saturating_sub(len)..at].iter().collect();
            format!("{}{}", chars[..at].iter().collect::<String>(), unit.repeat(12 + random.below(20)))
        }
    }
}

/// Characters that an overlong row has at least.
pub const OVERLONG_CHARACTERS: usize = 25_000;

fn overlong(mut output: String, random: &mut Random) -> String {
    let more = OVERLONG_CHARACTERS + random.below(OVERLONG_CHARACTERS);
    let filler = random.of(&["\nLorem ipsum dolor sit amet.", "\nSee the next page. ", "\n详见下一页的说明。"]);
    for _ in 0..more / filler.chars().count() + 1 {
        output.push_str(filler);
    }
    output
}

/// Ends in the middle of the last sentence, at a word.
fn truncated(language: Language, text: &str, random: &mut Random) -> String {
    let end = match language {
        Language::English => {
            let words: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).collect();
            words[words.len() - 2 - random.below(2)]
        }
        Language::Chinese => {
            let chars: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            chars[chars.len() - 4 - random.below(3)]
        }
    };
    text[..end].trim_end_matches([',', '，', '.', '。', '、', ';', '；']).to_owned()
}
