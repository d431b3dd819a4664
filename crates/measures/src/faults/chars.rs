//! Characters that should not be in a text: control codes, what is not seen, what could not be decoded.

use std::borrow::Cow;

use super::push_near;
use crate::Spot;

/// What a pass over the characters saw, so that later rules need not look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Characters that bytes from 0x80 on become when read as Windows-1252.
    pub western: bool,
    /// Han characters.
    pub han: bool,
    /// Letters that UTF-8 read as Windows-1251 begins with.
    pub cyrillic: bool,
}

/// Nothing but white space and characters that are not seen.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_unseen(c) || c.is_control())
}

fn is_unseen(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{180e}' | '\u{2800}' | '\u{3164}')
}

pub(super) fn find_ascii(text: &str, spots: &mut Vec<Spot>) {
    for (at, byte) in text.bytes().enumerate() {
        if byte < 0x20 || byte == 0x7f {
            control(at, char::from(byte), &text[at..], spots);
        }
    }
}

pub(super) fn find(text: &str, spots: &mut Vec<Spot>) -> Seen {
    let mut seen = Seen::default();
    let mut before = None;
    let right_to_left = std::cell::OnceCell::new();
    for (at, c) in text.char_indices() {
        let code = u32::from(c);
        match code {
            0x20..=0x7e => {}
            0..=0x1f | 0x7f..=0x9f => {
                seen.western |= code >= 0x80;
                control(at, c, &text[at..], spots);
            }
            0xa0..=0xff => {
                seen.western = true;
                if c == '\u{ad}' {
                    // Left by copying from the web; hyphenation, not harm.
                    push(spots, "zero_width", "soft_hyphen", at, c, 0.4);
                }
            }
            0x0420..=0x0421 => seen.cyrillic = true,
            0x4e00..=0x9fff => seen.han = true,
            0xfffd => push(spots, "replacement_char", "u_fffd", at, c, 0.99),
            0xe000..=0xf8ff => push(spots, "control_code", "private_use", at, c, 0.6),
            0xfdd0..=0xfdef | 0xfffe | 0xffff => push(spots, "control_code", "noncharacter", at, c, 0.9),
            _ if is_format(code) => {
                let rule = format_rule(text, at, c, before, || *right_to_left.get_or_init(|| has_right_to_left(text)));
                if let Some((rule, confidence)) = rule {
                    push(spots, "zero_width", rule, at, c, confidence);
                }
            }
            _ => {}
        }
        before = Some(c);
    }
    seen
}

fn push(spots: &mut Vec<Spot>, kind: &'static str, rule: &'static str, at: usize, c: char, confidence: f32) {
    push_near(spots, Spot { kind, rule, at: at..at + c.len_utf8(), confidence });
}

fn control(at: usize, c: char, rest: &str, spots: &mut Vec<Spot>) {
    let (kind, rule, confidence) = match c {
        '\t' | '\n' | '\r' => return,
        '\0' => ("nul", "u_0000", 0.99),
        '\u{1b}' => {
            let end = at + escape_len(rest);
            return push_near(
                spots,
                Spot { kind: "control_code", rule: "terminal_escape", at: at..end, confidence: 0.99 },
            );
        }
        // Page breaks are left by conversions from PDF; old Macs and mainframes leave U+0085.
        '\x0c' | '\x0b' | '\u{85}' => ("control_code", "break", 0.7),
        '\u{80}'..='\u{9f}' => ("control_code", "c1", 0.9),
        _ => ("control_code", "c0", 0.95),
    };
    push(spots, kind, rule, at, c, confidence);
}

/// Bytes of a terminal sequence such as `ESC [ 31 m`; 1 if it is only the escape.
fn escape_len(rest: &str) -> usize {
    const PARAMETERS_MAX: usize = 16;
    let bytes = rest.as_bytes();
    if bytes.get(1) != Some(&b'[') {
        return 1;
    }
    let parameters =
        bytes[2..].iter().take(PARAMETERS_MAX).take_while(|b| matches!(b, b'0'..=b'9' | b';' | b'?')).count();
    match bytes.get(2 + parameters) {
        Some(b) if b.is_ascii_alphabetic() => 3 + parameters,
        _ => 1,
    }
}

fn is_format(code: u32) -> bool {
    matches!(code, 0x180e | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb | 0xe0001..=0xe007f)
        || matches!(code, 0xfe00..=0xfe0f | 0xe0100..=0xe01ef | 0x061c)
}

/// The rule that a character without width breaks where it stands, if it does.
fn format_rule(
    text: &str,
    at: usize,
    c: char,
    before: Option<char>,
    right_to_left: impl Fn() -> bool,
) -> Option<(&'static str, f32)> {
    let after = text[at + c.len_utf8()..].chars().next();
    match u32::from(c) {
        0xfeff if at == 0 => None,
        0xfeff => Some(("bom_inside", 0.95)),
        // Scripts without spaces mark words with it.
        0x200b => (!before.is_some_and(is_spaceless)).then_some(("zero_width_space", 0.95)),
        0x200c | 0x200d => (!before.is_some_and(takes_joiners)).then_some(("zero_width_joiner", 0.9)),
        0x200e | 0x200f | 0x061c | 0x202a..=0x202e | 0x2066..=0x2069 => {
            (!right_to_left()).then_some(("bidi_control", 0.9))
        }
        0xfe00..=0xfe0f => {
            // One after a character chooses its look; after another one it carries something hidden.
            let hidden = before.is_none_or(|b| is_format(u32::from(b)) && !matches!(b, '\u{200d}'));
            (hidden && after.is_some()).then_some(("variation_selector", 0.8))
        }
        0xe0100..=0xe01ef => (!before.is_some_and(is_han)).then_some(("variation_selector", 0.9)),
        // The flags of England, Scotland and Wales are spelt with tags.
        0xe0001..=0xe007f => {
            let flag = before == Some('\u{1f3f4}') || before.is_some_and(|b| matches!(u32::from(b), 0xe0020..=0xe007e));
            (!flag).then_some(("tag", 0.95))
        }
        _ => Some(("invisible", 0.9)),
    }
}

/// Thai, Lao, Burmese, Khmer.
fn is_spaceless(c: char) -> bool {
    matches!(u32::from(c), 0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff)
}

/// Joiners have a meaning after emoji and in scripts whose letters join.
fn takes_joiners(c: char) -> bool {
    matches!(u32::from(c),
        0x0600..=0x08ff | 0x0900..=0x109f | 0x1780..=0x18af | 0xfb50..=0xfdff | 0xfe0f | 0x20e3 | 0x1f000..=0x1faff | 0x2190..=0x2bff | 0xa840..=0xabff)
}

fn is_han(c: char) -> bool {
    matches!(u32::from(c), 0x3400..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3134f)
}

fn has_right_to_left(text: &str) -> bool {
    text.chars().any(|c| matches!(u32::from(c), 0x0590..=0x08ff | 0xfb1d..=0xfdff | 0xfe70..=0xfefc))
}

/// A text that is longer than a limit, in characters.
pub fn overlong(text: &str, characters_max: usize) -> Option<Spot> {
    if text.len() <= characters_max {
        return None;
    }
    let (over, _) = text.char_indices().nth(characters_max)?;
    Some(Spot { kind: "overlong", rule: "characters_max", at: over..text.len(), confidence: 0.99 })
}

/// The text without NUL, control codes, terminal sequences and characters without width that have no meaning where they
/// stand: what can be repaired without a guess. U+FFFD and what only looks wrong stay.
pub fn cleaned(text: &str) -> Cow<'_, str> {
    let mut out: Option<String> = None;
    let mut kept = 0;
    let mut before = None;
    let right_to_left = std::cell::OnceCell::new();
    for (at, c) in text.char_indices() {
        if at < kept {
            continue;
        }
        let code = u32::from(c);
        let drop = match code {
            0x09 | 0x0a | 0x0d => 0,
            0x1b => escape_len(&text[at..]),
            0..=0x1f | 0x7f..=0x9f => c.len_utf8(),
            0xfdd0..=0xfdef | 0xfffe | 0xffff => c.len_utf8(),
            _ if is_format(code) => {
                let right_to_left = || *right_to_left.get_or_init(|| has_right_to_left(text));
                format_rule(text, at, c, before, right_to_left).map_or(0, |_| c.len_utf8())
            }
            _ => 0,
        };
        if drop > 0 {
            out.get_or_insert_with(|| String::with_capacity(text.len())).push_str(&text[kept..at]);
            kept = at + drop;
        } else {
            before = Some(c);
        }
    }
    match out {
        None => Cow::Borrowed(text),
        Some(mut out) => {
            out.push_str(&text[kept..]);
            Cow::Owned(out)
        }
    }
}
