//! Answers that end in the middle.
//!
//! Most texts without a full stop are whole: names, lists, titles, code. So an answer is called cut only where it shows
//! otherwise how it ends its sentences, or stops at a word after which something must come.

use super::context::{Context, Subject};
use crate::Spot;
use crate::language::{Kind, Line, lines};

pub(super) fn find(text: &str, context: Context, spots: &mut Vec<Spot>) {
    let whole = text.trim_end();
    let mut last: Option<Line> = None;
    let mut fence = None;
    let (mut fences, mut ended, mut prose) = (0usize, 0usize, 0usize);
    for line in lines(whole) {
        match line.kind {
            Kind::Fence => {
                fences += 1;
                fence = Some(line.start);
            }
            Kind::Prose if !line.text.trim().is_empty() => {
                prose += 1;
                ended += usize::from(ends_sentence(line.text.trim_end()));
            }
            _ => {}
        }
        last = Some(line);
    }
    let Some(last) = last else { return };
    if last.kind == Kind::Fenced
        && let Some(start) = fence
        && fences % 2 == 1
    {
        spots.push(Spot { kind: "truncated", rule: "open_fence", at: start..whole.len(), confidence: 0.8 });
        return;
    }
    let line = last.text.trim();
    if last.is_code() || context.is_about(Subject::Cutting) || ends_sentence(line) {
        return;
    }
    let Some((rule, confidence)) = judge(whole, line, ended, prose) else { return };
    let at = whole.len() - line.len()..whole.len();
    spots.push(Spot { kind: "truncated", rule, at, confidence });
}

/// Below this an answer may be a phrase.
const TEXT_SIZE_MIN: usize = 80;
/// A last line of this size is a sentence rather than a name, a title or an item.
const LINE_SIZE_MIN: usize = 60;
/// Texts this long show how they end their lines.
const LONG_SIZE_MIN: usize = 240;
/// Of the other lines, so many must end as sentences do.
const ENDED_SHARE: f32 = 0.8;

/// What speaks for a last line being cut. `ended` of the text's `prose` lines end as sentences.
fn judge(text: &str, line: &str, ended: usize, prose: usize) -> Option<(&'static str, f32)> {
    let text_size = size(text);
    if text_size < TEXT_SIZE_MIN {
        return None;
    }
    let line_size = size(line);
    let sentences = ended + inner_ends(text);
    if let Some(confidence) = dangling(line)
        && line_size >= 12
        && sentences >= 1
    {
        return Some(("dangling_word", confidence));
    }
    match line.chars().next_back() {
        // "Kind regards," is whole.
        Some(',' | '，' | '、') if line_size >= LINE_SIZE_MIN && sentences >= 1 => return Some(("comma", 0.75)),
        Some(c) if c.is_alphanumeric() => {}
        _ => return None,
    }
    let others = prose.saturating_sub(1);
    let regular = others == 0 || ended as f32 >= ENDED_SHARE * others as f32;
    if text_size < LONG_SIZE_MIN || line_size < LINE_SIZE_MIN || sentences < 3 || !regular || is_address(line) {
        return None;
    }
    let open = opened(line);
    Some(if open { ("open_bracket", 0.75) } else { ("no_full_stop", 0.55) })
}

/// Characters, those of Chinese and its neighbours double.
fn size(text: &str) -> usize {
    text.chars().map(|c| if c > '\u{2e7f}' { 2 } else { 1 }).sum()
}

/// Whether a line ends as whole ones do.
fn ends_sentence(line: &str) -> bool {
    let line =
        line.trim_end_matches(['"', '\'', '”', '’', '」', '』', ')', '）', ']', '】', '*', '_', '`', '»', '》', ' ']);
    match line.chars().next_back() {
        None => true,
        Some(c) => matches!(
            c,
            '.' | '!' | '?' | '。' | '！' | '？' | '…' | ':' | '：' | ';' | '；' | '।' | '~' | '～' | '؟' | '۔'
        ),
    }
}

/// Ends of sentences inside of lines.
fn inner_ends(text: &str) -> usize {
    text.as_bytes().windows(2).filter(|w| matches!(w, [b'.' | b'!' | b'?', b' '])).count()
        + text.chars().filter(|c| matches!(c, '。' | '！' | '？')).count()
}

/// The confidence that something must come after the last word.
fn dangling(line: &str) -> Option<f32> {
    let word = line.rsplit([' ', '\u{a0}']).next()?;
    if word.len() < line.len() && word.is_ascii() {
        const ARTICLES: [&str; 17] = [
            "the", "a", "an", "and", "or", "their", "your", "our", "its", "my", "because", "than", "every", "which",
            "who", "whose", "although",
        ];
        const OTHERS: [&str; 10] = ["of", "with", "from", "into", "such", "is", "are", "was", "to", "for"];
        // Letters and variables: "vitamin A", "option a".
        if ARTICLES.contains(&word) && !(word == "a" && line.len() < 40) {
            return Some(0.9);
        }
        return OTHERS.contains(&word).then_some(if line.len() >= 60 { 0.6 } else { 0.45 });
    }
    const CHINESE: [&str; 12] = ["以及", "并且", "因为", "但是", "和", "与", "及", "或", "把", "被", "对于", "关于"];
    CHINESE.iter().any(|w| line.ends_with(w)).then_some(0.85)
}

/// Whether the line opens a bracket that it does not close.
fn opened(line: &str) -> bool {
    let count =
        |open: char, close: char| line.chars().fold(0i32, |n, c| n + i32::from(c == open) - i32::from(c == close)) > 0;
    count('(', ')') || count('（', '）') || count('“', '”') || count('《', '》') || count('「', '」')
}

fn is_address(line: &str) -> bool {
    let word = line.rsplit(' ').next().unwrap_or(line);
    word.starts_with(['#', '@'])
        || word.contains("://")
        || word.contains("www.")
        || word.contains('@')
        || word.contains('/') && word.contains('.')
}
