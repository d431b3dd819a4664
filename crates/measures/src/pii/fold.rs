//! Full-width and other forms of digits, letters and separators, brought to ASCII with the way back.

use crate::width::narrow;
use std::ops::Range;

/// A text with ASCII in place of its full-width characters.
pub(super) struct Folded {
    pub text: String,
    /// Places of `text` and of the original that belong together; between two of them bytes were copied.
    pairs: Vec<(usize, usize)>,
}

impl Folded {
    /// The bytes of the original that a range of the folded text came from.
    pub fn origin(&self, at: Range<usize>) -> Range<usize> {
        self.place(at.start)..self.place(at.end)
    }

    fn place(&self, at: usize) -> usize {
        let next = self.pairs.partition_point(|(folded, _)| *folded <= at);
        let (folded, original) = next.checked_sub(1).map_or((0, 0), |last| self.pairs[last]);
        original + (at - folded)
    }
}

/// The folded text. Worth it where [`foldable`] is true of a byte.
pub(super) fn fold(s: &str) -> Folded {
    let mut folded = Folded { text: String::with_capacity(s.len()), pairs: Vec::new() };
    let mut done = 0;
    let b = s.as_bytes();
    while let Some(step) = b[done..].iter().position(|c| matches!(c, 0xc2 | 0xe2 | 0xe3 | 0xef)) {
        let at = done + step;
        let c = s[at..].chars().next().unwrap_or_default();
        folded.text.push_str(&s[done..at]);
        done = at + c.len_utf8();
        match ascii(c) {
            Some(same) if same == c => folded.text.push(c),
            to => {
                folded.text.extend(to);
                folded.pairs.push((folded.text.len(), done));
            }
        }
    }
    folded.text.push_str(&s[done..]);
    folded
}

/// What a character is written as in ASCII; none for what is not seen at all.
pub(super) fn ascii(c: char) -> Option<char> {
    Some(match c {
        '\u{ff01}'..='\u{ff5e}' => narrow(c),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{a0}' | '\u{3000}' | '\u{2002}'..='\u{200a}' | '\u{202f}' => ' ',
        '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => return None,
        _ => c,
    })
}

/// Whether a full-width letter, digit or `@` begins at a byte, or a dash, space or nothing beside a digit.
///
/// Full-width commas and colons are in every Chinese text and no reason.
pub(super) fn foldable(b: &[u8], at: usize) -> bool {
    let (second, third) = (b.get(at + 1).copied().unwrap_or(0), b.get(at + 2).copied().unwrap_or(0));
    let beside = |end: usize| {
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        digit(at.checked_sub(1).and_then(|i| b.get(i))) || digit(b.get(end))
    };
    match (b[at], second) {
        // Digits, @ and letters; the plus sign, hyphen and full stop; the low line.
        (0xef, 0xbc) => matches!(third, 0x8b | 0x8d | 0x8e | 0x90..=0x99 | 0xa0..=0xba | 0xbf),
        (0xef, 0xbd) => (0x81..=0x9a).contains(&third),
        (0xef, 0xbb) => third == 0xbf && beside(at + 3),
        (0xe2, 0x80 | 0x81 | 0x88) => beside(at + 3),
        (0xc2, 0xa0) => beside(at + 2),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_and_finds_the_way_back() {
        let text = "电话：１３８\u{200b}１２３４－5678。";
        let folded = fold(text);
        assert_eq!(folded.text, "电话:1381234-5678。");
        let at = folded.text.find("138").expect("there")..folded.text.find('。').expect("there");
        assert_eq!(&text[folded.origin(at)], "１３８\u{200b}１２３４－5678");
    }

    #[test]
    fn leaves_ordinary_text() {
        for text in ["你好，世界：（一）", "a — b “c” 12,5 €", "plain 123-456"] {
            assert!(!(0..text.len()).any(|at| foldable(text.as_bytes(), at)), "{text}");
        }
        for text in ["１", "a＠b", "138–0000", "138\u{a0}0000"] {
            assert!((0..text.len()).any(|at| foldable(text.as_bytes(), at)), "{text}");
        }
    }
}
