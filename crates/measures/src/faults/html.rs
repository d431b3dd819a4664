//! Tags and entities that a conversion from the web left in prose.

use memchr::memchr2;

use super::context::{Context, Markup};
use super::push_near;
use crate::Spot;
use crate::language::{Kind, lines};

/// What a left-over weighs; from 1 on a text is at fault.
const FAULT: f32 = 1.0;
/// Beside code the same must be plainer.
const FAULT_BESIDE_CODE: f32 = 2.5;

pub(super) fn find(text: &str, context: Context, spots: &mut Vec<Spot>) {
    if context.markup() == Markup::Yes || memchr2(b'<', b'&', text.as_bytes()).is_none() {
        return;
    }
    let mut found = Vec::new();
    let (mut prose, mut markup_lines) = (0usize, 0usize);
    for line in lines(text) {
        let trimmed = line.text.trim();
        match line.kind {
            Kind::Fence | Kind::Fenced => continue,
            // A row of a table in Markdown breaks its lines with <br>.
            _ if trimmed.starts_with('|') => continue,
            Kind::Prose | Kind::Code => {}
        }
        let before = found.len();
        scan(line.text, line.start, &mut found);
        if found.len() > before && is_markup_line(trimmed) {
            markup_lines += 1;
        } else if line.kind == Kind::Prose {
            prose += usize::from(!trimmed.is_empty());
        }
    }
    let weight: f32 = found.iter().map(|f| f.1).sum();
    // Documents are written in lines of tags; left-overs stand in lines of prose.
    let document = markup_lines >= 3 && markup_lines >= prose || is_document(text);
    let fault = if context.markup() == Markup::Perhaps { FAULT_BESIDE_CODE } else { FAULT };
    if document || weight < fault {
        return;
    }
    let confidence = (0.5 + 0.15 * weight / fault).min(0.97);
    for (at, _, rule) in found {
        push_near(spots, Spot { kind: "html", rule, at, confidence });
    }
}

/// A page says at its start what it is.
fn is_document(text: &str) -> bool {
    let start = text.trim_start().as_bytes();
    [&b"<!doctype"[..], b"<html", b"<?xml", b"<svg", b"<head"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|s| s.eq_ignore_ascii_case(tag)))
}

/// Short, and nothing but tags with little text in them.
fn is_markup_line(line: &str) -> bool {
    const TEXT_MAX: usize = 60;
    let mut text = 0;
    let mut inside = false;
    for c in line.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            _ if !inside => text += 1,
            _ => {}
        }
    }
    line.starts_with('<') && text <= TEXT_MAX
}

type Found = (std::ops::Range<usize>, f32, &'static str);

/// Tags and entities of a line that stand outside of `inline code`.
fn scan(line: &str, start: usize, found: &mut Vec<Found>) {
    let bytes = line.as_bytes();
    let mut from = 0;
    let mut quoted = false;
    while let Some(n) = bytes[from..].iter().position(|b| matches!(b, b'<' | b'&' | b'`')) {
        let at = from + n;
        from = at + 1;
        match bytes[at] {
            b'`' => quoted = !quoted && bytes[from..].contains(&b'`'),
            _ if quoted => {}
            b'<' => {
                if let Some((len, weight)) = tag(&bytes[at..]) {
                    found.push((start + at..start + at + len, weight, "tag"));
                    from = at + len;
                }
            }
            _ => {
                if let Some((len, weight)) = entity(&bytes[at..]) {
                    found.push((start + at..start + at + len, weight, "entity"));
                    from = at + len;
                }
            }
        }
    }
}

const TAGS: [(&str, f32); 47] = [
    ("div", 0.7),
    ("p", 0.6),
    ("br", 0.6),
    ("span", 0.7),
    ("a", 0.6),
    ("img", 0.8),
    ("ul", 0.5),
    ("ol", 0.5),
    ("li", 0.4),
    ("table", 0.5),
    ("tr", 0.4),
    ("td", 0.4),
    ("th", 0.4),
    ("tbody", 0.4),
    ("thead", 0.4),
    ("h1", 0.5),
    ("h2", 0.5),
    ("h3", 0.5),
    ("h4", 0.5),
    ("h5", 0.5),
    ("h6", 0.5),
    ("hr", 0.5),
    ("b", 0.4),
    ("i", 0.4),
    ("em", 0.4),
    ("strong", 0.4),
    ("u", 0.4),
    ("sup", 0.2),
    ("sub", 0.2),
    ("font", 0.8),
    ("center", 0.6),
    ("blockquote", 0.5),
    ("pre", 0.4),
    ("code", 0.4),
    ("script", 0.8),
    ("style", 0.6),
    ("html", 0.6),
    ("head", 0.5),
    ("body", 0.6),
    ("section", 0.6),
    ("article", 0.6),
    ("footer", 0.6),
    ("header", 0.6),
    ("iframe", 1.0),
    ("figure", 0.6),
    ("nav", 0.5),
    ("noscript", 1.0),
];

/// The length and weight of a known tag at the start of `bytes`.
fn tag(bytes: &[u8]) -> Option<(usize, f32)> {
    const TAG_BYTES_MAX: usize = 400;
    let closing = bytes.get(1) == Some(&b'/');
    let name_at = 1 + usize::from(closing);
    let name_len = bytes[name_at..].iter().take(10).take_while(|b| b.is_ascii_alphanumeric()).count();
    let name = &bytes[name_at..name_at + name_len];
    let weight = TAGS.iter().find(|(tag, _)| name.eq_ignore_ascii_case(tag.as_bytes()))?.1;
    let after = *bytes.get(name_at + name_len)?;
    if !matches!(after, b'>' | b' ' | b'/') {
        return None;
    }
    let close = bytes.iter().take(TAG_BYTES_MAX).position(|&b| b == b'>')?;
    let attributes = &bytes[name_at + name_len..close];
    // "if a <b and c> d" is arithmetic.
    let plain = attributes.iter().all(|b| matches!(b, b' ' | b'/'));
    (plain || attributes.contains(&b'=') && !attributes.contains(&b'<')).then_some((close + 1, weight))
}

const ENTITIES: [(&str, f32); 20] = [
    ("nbsp", 1.0),
    ("amp", 1.0),
    ("quot", 1.0),
    ("apos", 1.0),
    ("lt", 0.7),
    ("gt", 0.7),
    ("ldquo", 1.0),
    ("rdquo", 1.0),
    ("lsquo", 1.0),
    ("rsquo", 1.0),
    ("mdash", 1.0),
    ("ndash", 1.0),
    ("hellip", 1.0),
    ("middot", 1.0),
    ("bull", 1.0),
    ("eacute", 1.0),
    ("ensp", 1.0),
    ("emsp", 1.0),
    ("copy", 0.6),
    ("times", 0.6),
];

fn entity(bytes: &[u8]) -> Option<(usize, f32)> {
    const ENTITY_BYTES_MAX: usize = 10;
    let end = bytes.iter().take(ENTITY_BYTES_MAX).position(|&b| b == b';')?;
    let name = &bytes[1..end];
    if let [b'#', digits @ ..] = name {
        let digits = digits.strip_prefix(b"x").unwrap_or(digits);
        return (digits.len() >= 2 && digits.iter().all(u8::is_ascii_hexdigit)).then_some((end + 1, 1.0));
    }
    ENTITIES.iter().find(|(entity, _)| name == entity.as_bytes()).map(|(_, weight)| (end + 1, *weight))
}
