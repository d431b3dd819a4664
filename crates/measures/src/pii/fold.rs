//! Full-width and other forms of digits, letters and separators, brought to ASCII with the way back.

use std::ops::Range;

/// A text with ASCII in place of its full-width characters.
pub(super) struct Folded {
    pub text: String,
    /// For each byte of `text`, and its end, the byte of the original.
    origin: Vec<usize>,
}

impl Folded {
    /// The bytes of the original that a range of the folded text came from.
    pub fn origin(&self, at: Range<usize>) -> Range<usize> {
        self.origin[at.start]..self.origin[at.end]
    }
}

/// The folded text, or none where no character would change that could be part of a value.
pub(super) fn fold(s: &str) -> Option<Folded> {
    if !worth_it(s.as_bytes()) {
        return None;
    }
    let mut folded = Folded { text: String::with_capacity(s.len()), origin: Vec::with_capacity(s.len() + 1) };
    for (at, c) in s.char_indices() {
        let Some(to) = ascii(c) else { continue };
        folded.text.push(to);
        folded.origin.resize(folded.text.len(), at);
    }
    folded.origin.push(s.len());
    Some(folded)
}

/// What a character is written as in ASCII; none for what is not seen at all.
fn ascii(c: char) -> Option<char> {
    Some(match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{a0}' | '\u{3000}' | '\u{2002}'..='\u{200a}' | '\u{202f}' => ' ',
        '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => return None,
        _ => c,
    })
}

/// Whether a full-width letter, digit or `@` is there, or a dash, space or nothing beside a digit.
///
/// Full-width commas and colons are in every Chinese text and no reason.
fn worth_it(b: &[u8]) -> bool {
    let mut from = 0;
    while let Some(step) = memchr::memchr3(0xef, 0xe2, 0xc2, &b[from..]) {
        let at = from + step;
        let (second, third) = (b.get(at + 1).copied().unwrap_or(0), b.get(at + 2).copied().unwrap_or(0));
        let beside = |end: usize| {
            let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
            digit(at.checked_sub(1).and_then(|i| b.get(i))) || digit(b.get(end))
        };
        let found = match (b[at], second) {
            // Digits, @ and letters; the plus sign, hyphen and full stop; the low line.
            (0xef, 0xbc) => matches!(third, 0x8b | 0x8d | 0x8e | 0x90..=0x99 | 0xa0..=0xba | 0xbf),
            (0xef, 0xbd) => (0x81..=0x9a).contains(&third),
            (0xef, 0xbb) => third == 0xbf && beside(at + 3),
            (0xe2, 0x80 | 0x81 | 0x88) => beside(at + 3),
            (0xc2, 0xa0) => beside(at + 2),
            _ => false,
        };
        if found {
            return true;
        }
        from = at + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_and_finds_the_way_back() {
        let text = "电话：１３８\u{200b}１２３４－5678。";
        let folded = fold(text).expect("there is something to fold");
        assert_eq!(folded.text, "电话:1381234-5678。");
        let at = folded.text.find("138").expect("there")..folded.text.find('。').expect("there");
        assert_eq!(&text[folded.origin(at)], "１３８\u{200b}１２３４－5678");
    }

    #[test]
    fn leaves_ordinary_text() {
        for text in ["你好，世界：（一）", "a — b “c” 12,5 €", "plain 123-456"] {
            assert!(fold(text).is_none(), "{text}");
        }
        for text in ["１", "a＠b", "138–0000", "138\u{a0}0000"] {
            assert!(fold(text).is_some(), "{text}");
        }
    }
}
