//! Text that repeats itself as a model does that cannot stop.

use std::cell::OnceCell;
use std::hash::Hasher;
use std::ops::Range;

use rustc_hash::FxHasher;

use super::context::{Context, Subject};
use super::{SPOTS_PER_KIND_MAX, push_near};
use crate::Spot;
use crate::language::lines;

pub(super) fn find(text: &str, context: Context, spots: &mut Vec<Spot>) {
    /// Shorter texts cannot hold what is called a loop here.
    const TEXT_BYTES_MIN: usize = 60;
    if text.len() < TEXT_BYTES_MIN {
        return;
    }
    let before = spots.len();
    find_periods(text, spots);
    if spots.len() == before {
        find_sentences(text, spots);
    }
    if context.is_about(Subject::Repeating) {
        // What was asked for ends at some time.
        const ASKED_BYTES_MAX: usize = 1000;
        let mut at = 0;
        spots.retain(|spot| {
            at += 1;
            at <= before || spot.at.len() > ASKED_BYTES_MAX
        });
    }
}

/// Bytes that a window of the search has.
const WINDOW: usize = 8;
/// Slots for the last place of each window.
const SLOTS: usize = 1 << 12;

/// Finds stretches that repeat with a period: each window of bytes remembers where it last stood, and where the distance to
/// that place stays the same for long, the stretch is periodic.
///
/// A budget bounds the work: texts that nearly repeat with many periods at once are given up. Gives the bytes that were
/// compared.
fn find_periods(text: &str, spots: &mut Vec<Spot>) -> usize {
    let bytes = text.as_bytes();
    let code = Code(OnceCell::new());
    let budget = BUDGET_A_BYTE * bytes.len();
    let mut compared = 0;
    let mut loops = 0;
    let mut last = [u32::MAX; SLOTS];
    // The last stretch that was measured and was no loop: its period and end.
    let mut known = (0, 0);
    let mut at = 0;
    while let Some(window) = bytes.get(at..at + WINDOW)
        && compared < budget
        && loops < SPOTS_PER_KIND_MAX
    {
        let window = u64::from_le_bytes(window.try_into().unwrap_or_default());
        let slot = (window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS.trailing_zeros())) as usize;
        let previous = last[slot] as usize;
        // Positions past 4 GiB are not remembered; no text of a record is so long.
        last[slot] = u32::try_from(at).unwrap_or(u32::MAX);
        if previous >= at || bytes[previous..previous + WINDOW] != bytes[at..at + WINDOW] {
            at += 1;
            continue;
        }
        let period = at - previous;
        if known.0 == period && at < known.1 {
            at += 1;
            continue;
        }
        let same =
            WINDOW + bytes[at + WINDOW..].iter().zip(&bytes[previous + WINDOW..]).take_while(|(a, b)| a == b).count();
        compared += same;
        if is_loop(period, period + same) && is_text(text, previous..at) && !code.is_at(text, previous) {
            let stretch = inner(text, previous..at + same);
            let copies = (period + same) as f32 / period as f32;
            let confidence = (0.75 + 0.02 * copies).min(0.99);
            push_near(spots, Spot { kind: "repetition", rule: "period", at: stretch, confidence });
            at += same;
            loops += 1;
        } else {
            known = (period, at + same);
            at += 1;
        }
    }
    compared
}

/// Bytes that may be compared for each byte of a text.
const BUDGET_A_BYTE: usize = 16;

/// Whether a stretch of `span` bytes with a period is too long for rhetoric. Short units need more copies: "ha ha ha".
fn is_loop(period: usize, span: usize) -> bool {
    let copies = span / period;
    match period {
        0..12 => copies >= 10 && span >= 60,
        12..40 => copies >= 5,
        40..100 => copies >= 4,
        _ => copies >= 3,
    }
}

/// Rules, dots and empty tables repeat by nature; words do not.
fn is_text(text: &str, unit: Range<usize>) -> bool {
    let unit = &text[inner(text, unit)];
    let letters = unit.chars().filter(|c| c.is_alphabetic()).count();
    letters > 0 && 3 * letters >= unit.chars().count() && !unit.contains('|')
}

/// Where the lines of a text are code; read when it is first asked for.
struct Code(OnceCell<Vec<(usize, bool)>>);

impl Code {
    fn is_at(&self, text: &str, at: usize) -> bool {
        let lines = self.0.get_or_init(|| lines(text).map(|line| (line.start, line.is_code())).collect());
        lines[..lines.partition_point(|(start, _)| *start <= at)].last().is_some_and(|(_, code)| *code)
    }
}

/// A range made smaller until it stands on characters.
fn inner(text: &str, mut range: Range<usize>) -> Range<usize> {
    while range.start < range.end && !text.is_char_boundary(range.start) {
        range.start += 1;
    }
    while range.end > range.start && !text.is_char_boundary(range.end) {
        range.end -= 1;
    }
    range
}

/// A sentence that comes so often is a loop,
const SENTENCE_COPIES: usize = 5;
/// if all of its copies make up this share of the text.
const SENTENCE_SHARE: f32 = 0.4;
/// Shorter ones repeat in lists and forms.
const SENTENCE_BYTES_MIN: usize = 20;

/// Finds sentences that come again and again with others, or numbers, between them.
fn find_sentences(text: &str, spots: &mut Vec<Spot>) {
    const TEXT_BYTES_MIN: usize = 200;
    if text.len() < TEXT_BYTES_MIN {
        return;
    }
    let mut sentences: Vec<(u64, Range<usize>)> = Vec::new();
    let mut bytes = 0;
    for line in lines(text).filter(|line| !line.is_code()) {
        let mut start = 0;
        for end in ends(line.text) {
            let sentence = &line.text[start..end];
            let body = sentence.trim_start_matches(|c: char| !c.is_alphabetic()).trim_end();
            bytes += sentence.len();
            if body.len() >= SENTENCE_BYTES_MIN && !body.contains('|') {
                let mut hasher = FxHasher::default();
                hasher.write(body.as_bytes());
                sentences.push((hasher.finish(), line.start + start..line.start + end));
            }
            start = end;
        }
    }
    if sentences.len() < SENTENCE_COPIES {
        return;
    }
    sentences.sort_by_key(|(hash, at)| (*hash, at.start));
    for copies in sentences.chunk_by(|a, b| a.0 == b.0) {
        let covered: usize = copies.iter().map(|(_, at)| at.len()).sum();
        if copies.len() >= SENTENCE_COPIES && covered as f32 >= SENTENCE_SHARE * bytes as f32 {
            let at = copies[0].1.start..copies[copies.len() - 1].1.end;
            spots.push(Spot { kind: "repetition", rule: "sentence", at, confidence: 0.7 });
        }
    }
}

/// Where sentences of a line end, the end of the line included.
fn ends(line: &str) -> impl Iterator<Item = usize> {
    let marks = line.char_indices().filter(|(at, c)| match c {
        '.' | '!' | '?' => line.as_bytes().get(at + 1) == Some(&b' '),
        '。' | '！' | '？' | '；' => true,
        _ => false,
    });
    marks.map(|(at, c)| at + c.len_utf8()).filter(|&end| end < line.len()).chain(std::iter::once(line.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fibonacci words repeat with many periods at once.
    fn fibonacci(bytes: usize) -> String {
        let (mut one, mut two) = ("a".to_owned(), "ab".to_owned());
        while two.len() < bytes {
            (one, two) = (two.clone(), two + &one);
        }
        two
    }

    /// A stretch that was no loop is not compared again from each of its bytes on.
    #[test]
    fn the_work_on_texts_that_nearly_repeat_is_linear() {
        let twice = |bytes: usize| {
            let half: String = (0..bytes / 16).map(|n| format!("{:x} ", n * 0x9e37_79b9 % 0xfff_fff1)).collect();
            half.clone() + &half
        };
        for bytes in [1 << 12, 1 << 16, 1 << 20] {
            for text in [fibonacci(bytes), twice(bytes)] {
                let compared = find_periods(&text, &mut Vec::new());
                assert!(compared <= 5 * text.len(), "{}: {compared}", text.len());
            }
        }
    }
}
