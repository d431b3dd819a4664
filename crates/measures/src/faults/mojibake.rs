//! Text that was decoded with the wrong encoding, found by undoing that.
//!
//! Three ways: UTF-8 read as Windows-1252 or Latin-1 (Ã©, â€™, ä½ å¥½) or as Windows-1251 (РїСЂРё), UTF-8 read as GBK (浣犲ソ, 锟斤拷), and
//! GBK read as Latin-1 (ÄãºÃ). A run of characters is mapped back to the bytes it came from; if these bytes make sense in
//! the right encoding, which for real text they hardly ever do, it was decoded with the wrong one.

use std::sync::LazyLock;

use super::chars::Seen;
use super::push_near;
use crate::Spot;

/// Evidence from which on a run is mojibake: 1 is one sequence that no real text has.
const EVIDENCE: f32 = 1.0;

pub(super) fn find(text: &str, seen: Seen, spots: &mut Vec<Spot>) {
    if seen.western {
        find_as_single_bytes(text, western_byte, western_evidence, "utf8_as_windows_1252", spots);
        find_gbk_as_latin1(text, spots);
    }
    if seen.cyrillic {
        find_as_single_bytes(text, cyrillic_byte, cyrillic_evidence, "utf8_as_windows_1251", spots);
    }
    if seen.han {
        find_as_gbk(text, spots);
    }
}

/// The byte that Windows-1252 (or Latin-1, where that has no character) decodes to `c`.
fn western_byte(c: char) -> Option<u8> {
    const SPECIAL: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match u32::from(c) {
        code @ 0x80..=0xff => Some(code as u8),
        0x152..=0x2122 => SPECIAL.iter().position(|&s| s == c).map(|n| 0x80 + n as u8),
        _ => None,
    }
}

/// The byte that Windows-1251 decodes to `c`.
fn cyrillic_byte(c: char) -> Option<u8> {
    static BYTES: LazyLock<Vec<(char, u8)>> = LazyLock::new(|| {
        (0x80..=0xff)
            .map(|b| (encoding_rs::WINDOWS_1251.decode_without_bom_handling(&[b]).0.chars().next().unwrap_or('\0'), b))
            .collect()
    });
    if c.is_ascii() {
        return None;
    }
    BYTES.iter().find(|(known, _)| *known == c).map(|(_, b)| *b)
}

/// Finds runs whose bytes in a one-byte encoding are UTF-8.
fn find_as_single_bytes(
    text: &str,
    byte_of: fn(char) -> Option<u8>,
    evidence_of: fn(u8, char) -> f32,
    rule: &'static str,
    spots: &mut Vec<Spot>,
) {
    let mut from = 0;
    let mut evidence = 0.0;
    let mut found: Option<std::ops::Range<usize>> = None;
    let flush = |found: &mut Option<std::ops::Range<usize>>, evidence: &mut f32, spots: &mut Vec<Spot>| {
        if let Some(at) = found.take()
            && *evidence >= EVIDENCE
        {
            let confidence = (0.7 + 0.1 * *evidence).min(0.99);
            push_near(spots, Spot { kind: "mojibake", rule, at, confidence });
        }
        *evidence = 0.0;
    };
    /// Sequences this far apart belong to one piece of text.
    const GAP_BYTES: usize = 80;
    while let Some((at, c)) = text[from..].char_indices().find(|(_, c)| !c.is_ascii()).map(|(n, c)| (from + n, c)) {
        from = at + c.len_utf8();
        let Some(lead @ 0xc2..=0xf4) = byte_of(c) else { continue };
        let Some((decoded, end)) = decode(lead, &text[from..], byte_of) else { continue };
        if found.as_ref().is_some_and(|f| at > f.end + GAP_BYTES) {
            flush(&mut found, &mut evidence, spots);
        }
        evidence += evidence_of(lead, decoded);
        let end = from + end;
        found = Some(found.map_or(at, |f| f.start)..end);
        from = end;
    }
    flush(&mut found, &mut evidence, spots);
}

/// The character whose UTF-8 begins with `lead` and goes on with what `rest` was decoded from, and where it ends.
/// U+FFFD stands for a byte that the wrong encoding has no character for.
fn decode(lead: u8, rest: &str, byte_of: fn(char) -> Option<u8>) -> Option<(char, usize)> {
    let len = match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    let mut bytes = [lead, 0, 0, 0];
    let mut lost = false;
    let mut end = 0;
    for (n, c) in rest.chars().take(len - 1).enumerate() {
        bytes[n + 1] = match byte_of(c) {
            Some(byte @ 0x80..=0xbf) => byte,
            _ if c == '\u{fffd}' => {
                lost = true;
                0x8f
            }
            // A no-break space often became a space.
            _ if c == ' ' && n > 0 => 0xa0,
            _ => return None,
        };
        end += c.len_utf8();
    }
    let decoded = std::str::from_utf8(&bytes[..len]).ok()?.chars().next()?;
    (!lost || len > 2).then_some((decoded, end))
}

/// How much a sequence says that the text is UTF-8 read as Windows-1252.
fn western_evidence(lead: u8, decoded: char) -> f32 {
    match (lead, u32::from(decoded)) {
        // ã©: a small letter of the Latin-1 half.
        (0xc3, 0xe0..=0xff) => 1.0,
        // A capital: its second half is a quotation mark or dash, which may end a word in Ã.
        (0xc3, _) => 0.4,
        (0xc2, 0xa0 | 0xa3 | 0xa5 | 0xa7 | 0xa9 | 0xae | 0xb0 | 0xb7 | 0xbf | 0xa1 | 0xb1 | 0xb2 | 0xbd) => 1.0,
        (0xc2, _) => 0.5,
        (0xc4 | 0xc5, 0x100..=0x17f) => 0.5,
        (0xd0 | 0xd1, _) => 0.4,
        (0xc2..=0xdf, _) => 0.3,
        // â€™ and its like.
        (0xe2, 0x2010..=0x203f | 0x20ac | 0x2122) => 1.0,
        (0xe3..=0xe9 | 0xef, 0x3000..=0x30ff | 0x4e00..=0x9fff | 0xff01..=0xff5e) => 0.6,
        (0xf0, 0x1f000..=0x1faff) => 1.0,
        _ => 0.5,
    }
}

/// How much a sequence says that the text is UTF-8 read as Windows-1251, in which Russian begins with Р and С.
fn cyrillic_evidence(lead: u8, decoded: char) -> f32 {
    match (lead, u32::from(decoded)) {
        (0xd0 | 0xd1, 0x400..=0x45f) => 0.34,
        (0xe2, 0x2010..=0x203f) => 1.0,
        _ => 0.1,
    }
}

/// GBK's two bytes for each character of the basic plane; 0 for those it lacks.
static GBK: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let mut table = vec![0; 0x1_0000];
    for lead in 0x81..=0xfe_u8 {
        for trail in (0x40..=0xfe_u8).filter(|t| *t != 0x7f) {
            let pair = [lead, trail];
            let (decoded, had_errors) = encoding_rs::GBK.decode_without_bom_handling(&pair);
            let mut chars = decoded.chars();
            if let (false, Some(c), None) = (had_errors, chars.next(), chars.next())
                && let Ok(code) = u16::try_from(u32::from(c))
            {
                table[usize::from(code)] = u16::from_be_bytes(pair);
            }
        }
    }
    table
});

fn gbk_bytes(c: char) -> Option<[u8; 2]> {
    let pair = *GBK.get(u32::from(c) as usize)?;
    (pair != 0).then(|| pair.to_be_bytes())
}

/// So many characters in a row come out by chance in no corpus.
const RECOVERED_MIN: usize = 3;

/// Finds UTF-8 that was read as GBK.
fn find_as_gbk(text: &str, spots: &mut Vec<Spot>) {
    let mut from = 0;
    while let Some((at, c)) = text[from..].char_indices().find(|(_, c)| !c.is_ascii()).map(|(n, c)| (from + n, c)) {
        from = at + c.len_utf8();
        // What U+FFFD in UTF-8 becomes: the text was lost one conversion before.
        if c == '锟' && text[from..].starts_with("斤拷") {
            from += "斤拷".len();
            push_near(spots, Spot { kind: "mojibake", rule: "lost_then_gbk", at: at..from, confidence: 0.99 });
            continue;
        }
        let Some([lead, _]) =
            gbk_bytes(c).filter(|[lead, trail]| matches!(lead, 0xe2..=0xe9 | 0xef) && matches!(trail, 0x80..=0xbf))
        else {
            continue;
        };
        let (recovered, end) = recover(&text[at..]);
        let whole = recovered == 2
            && !text[..at].chars().next_back().is_some_and(is_east)
            && !text[at + end..].chars().next().is_some_and(is_east);
        if recovered >= RECOVERED_MIN || whole && is_rare(&text[at..at + end]) || lead == 0xe2 && quotes(&text[at..]) {
            let end = if recovered == 0 { c.len_utf8() * 2 } else { end };
            push_near(spots, Spot { kind: "mojibake", rule: "utf8_as_gbk", at: at..at + end, confidence: 0.97 });
            from = at + end.max(c.len_utf8());
            while !text.is_char_boundary(from) {
                from += 1;
            }
        }
    }
}

fn is_east(c: char) -> bool {
    matches!(u32::from(c), 0x2e80..=0x9fff | 0xff00..=0xffef)
}

/// How many characters of three bytes the GBK bytes of `text` begin with, and how many bytes of it they were read from.
fn recover(text: &str) -> (usize, usize) {
    let (mut bytes, mut len) = ([0u8; 4], 0usize);
    let (mut recovered, mut end, mut recovered_end) = (0, 0, 0);
    for c in text.chars() {
        let pair = if c.is_ascii() { None } else { gbk_bytes(c) };
        let (one, two) = match pair {
            Some([one, two]) => (one, Some(two)),
            None if c.is_ascii() && len == 0 => (c as u8, None),
            None => break,
        };
        end += c.len_utf8();
        for byte in std::iter::once(one).chain(two) {
            if byte < 0x80 && len == 0 {
                continue;
            }
            bytes[len] = byte;
            len += 1;
            if len == 3 {
                match std::str::from_utf8(&bytes[..3]).ok().and_then(|s| s.chars().next()) {
                    Some(c) if matches!(u32::from(c), 0x2010..=0x203f | 0x3000..=0x30ff | 0x4e00..=0x9fff | 0xff01..=0xff5e) =>
                    {
                        recovered += 1;
                        recovered_end = end;
                        len = 0;
                    }
                    _ => return (recovered, recovered_end),
                }
            }
        }
        if len > 0 && !matches!(bytes[0], 0xe2..=0xe9 | 0xef) {
            break;
        }
    }
    (recovered, recovered_end)
}

/// Whether most characters are outside of GB2312's first level, where all frequent ones are.
fn is_rare(text: &str) -> bool {
    let common = text
        .chars()
        .filter(|c| gbk_bytes(*c).is_some_and(|[lead, trail]| matches!(lead, 0xb0..=0xd7) && trail >= 0xa1))
        .count();
    2 * common < text.chars().count()
}

/// Whether a text begins with a quotation mark or dash (E2 80 xx) read as GBK before a letter: 鈥檚 for ’s.
fn quotes(text: &str) -> bool {
    let mut pairs = text.chars().map(gbk_bytes);
    let (Some(Some([0xe2, 0x80])), Some(Some([third, fourth]))) = (pairs.next(), pairs.next()) else { return false };
    matches!(third, 0x90..=0xbf) && (fourth.is_ascii() || fourth == 0xe2)
}

/// Finds GBK that was read as Latin-1: runs of accented letters whose bytes are frequent Chinese characters.
fn find_gbk_as_latin1(text: &str, spots: &mut Vec<Spot>) {
    const CHARACTERS_MIN: usize = 2;
    let mut run: Vec<u8> = Vec::new();
    let mut start = 0;
    for (at, c) in text.char_indices().chain(std::iter::once((text.len(), ' '))) {
        match u32::from(c) {
            code @ 0xa1..=0xfe => {
                if run.is_empty() {
                    start = at;
                }
                run.push(code as u8);
            }
            _ if run.is_empty() => {}
            _ => {
                if run.len() >= 2 * CHARACTERS_MIN && run.len().is_multiple_of(2) && is_frequent_chinese(&run) {
                    push_near(spots, Spot { kind: "mojibake", rule: "gbk_as_latin1", at: start..at, confidence: 0.9 });
                }
                run.clear();
            }
        }
    }
}

fn is_frequent_chinese(bytes: &[u8]) -> bool {
    if !bytes.chunks_exact(2).all(|p| matches!(p[0], 0xa1..=0xa3 | 0xb0..=0xd7)) {
        return false;
    }
    let (text, had_errors) = encoding_rs::GBK.decode_without_bom_handling(bytes);
    let frequent = text.chars().filter(|c| FREQUENT.contains(*c)).count();
    !had_errors && 2 * frequent >= text.chars().count()
}

/// The most frequent characters of Chinese, and its punctuation.
const FREQUENT: &str = "的一是不了在人有我他这中大来上个国和也子时道出而要于就下得可你年生自会那后能对着事其里所去行过家十用发天如然作方成者多日都三小军二\
    无同么经法当起与好看学进种将还分此心前面又定见只主没公从知全点实相合样什问应数关长手做给很新名本高真信你好吗谢请么第情想间最力重外明把回何老被向\
    其理体些口物头动机气部安加体产业工务使由表现电市系接总制入水解决建立社员民运东政战已代通量题党期论性治指几根思位组命路院计特别提活，。！？：；、（）";
