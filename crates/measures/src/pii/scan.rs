//! One pass over the bytes that notes what the rules start from, and the edges of values.

use super::{context, fold};
use std::ops::Range;

/// A text and the places in it where a value may be.
pub(super) struct Text<'a> {
    pub s: &'a str,
    pub b: &'a [u8],
    /// Maximal runs of ASCII digits.
    pub groups: Vec<Range<usize>>,
    pub ats: Vec<usize>,
    /// Colons with a hexadecimal digit or a colon on both sides.
    pub colons: Vec<usize>,
    /// ASCII letters right after a character that is not ASCII: the second place of a Chinese number plate.
    pub letters: Vec<usize>,
    /// Whether there is something that `fold` brings to ASCII.
    pub wide: bool,
}

/// Bytes that are looked at together: those without anything of interest are passed over.
const LANE: usize = 32;

// What the bytes of a lane hold.
const MARK: u8 = 1;
const ASCII_LETTER: u8 = 2;
const HIGH: u8 = 4;
const WIDE: u8 = 8;

/// The bits of a byte, without a branch so that a lane of them is a few vector instructions.
fn bits(c: u8) -> u8 {
    // Digits and the colon are neighbours.
    let mark = u8::from(c.wrapping_sub(b'0') < 11) | u8::from(c == b'@');
    let letter = u8::from((c | 0x20).wrapping_sub(b'a') < 26);
    let wide = u8::from(c == 0xc2) | u8::from(c == 0xe2) | u8::from(c == 0xef);
    (mark * MARK) | (letter * ASCII_LETTER) | ((c >> 7) * HIGH) | (wide * WIDE)
}

impl<'a> Text<'a> {
    pub fn survey(s: &'a str) -> Self {
        let mut text = Self {
            s,
            b: s.as_bytes(),
            groups: Vec::new(),
            ats: Vec::new(),
            colons: Vec::new(),
            letters: Vec::new(),
            wide: false,
        };
        let (lanes, rest) = text.b.as_chunks::<LANE>();
        for (index, lane) in lanes.iter().enumerate() {
            let held = lane.iter().fold(0, |held, c| held | bits(*c));
            text.lane(index * LANE, lane, held);
        }
        text.lane(s.len() - rest.len(), rest, rest.iter().fold(0, |held, c| held | bits(*c)));
        text
    }

    fn lane(&mut self, start: usize, lane: &[u8], held: u8) {
        let after_high = start > 0 && self.b[start - 1] >= 0x80;
        let both = held & (ASCII_LETTER | HIGH) == (ASCII_LETTER | HIGH);
        if held & (MARK | WIDE) == 0 && !both && !(after_high && held & ASCII_LETTER != 0) {
            return;
        }
        let mut high = after_high;
        for (at, c) in (start..).zip(lane) {
            match c {
                b'0'..=b'9' => match self.groups.last_mut() {
                    Some(group) if group.end == at => group.end += 1,
                    _ => self.groups.push(at..at + 1),
                },
                b'@' => self.ats.push(at),
                b':' => {
                    let hex = |byte: Option<u8>| byte.is_some_and(|c| c.is_ascii_hexdigit() || c == b':');
                    if hex(self.byte_before(at)) && hex(self.byte(at + 1)) {
                        self.colons.push(at);
                    }
                }
                b'A'..=b'Z' | b'a'..=b'z' if high => self.letters.push(at),
                0xc2 | 0xe2 | 0xef => self.wide |= fold::foldable(self.b, at),
                _ => {}
            }
            high = *c >= 0x80;
        }
    }

    pub fn digits(&self, g: usize) -> &'a str {
        &self.s[self.groups[g].clone()]
    }

    /// Digits of group `g`, 0 beyond the last one.
    pub fn len(&self, g: usize) -> usize {
        self.groups.get(g).map_or(0, |group| group.len())
    }

    /// What stands between group `g` and the next, if they are near enough to be one number.
    pub fn gap(&self, g: usize) -> Option<&'a str> {
        let (this, next) = (self.groups.get(g)?, self.groups.get(g + 1)?);
        (next.start - this.end <= 6).then(|| &self.s[this.end..next.start])
    }

    /// What stands between group `g` and the one before.
    pub fn gap_before(&self, g: usize) -> Option<&'a str> {
        g.checked_sub(1).and_then(|before| self.gap(before))
    }

    pub fn byte(&self, at: usize) -> Option<u8> {
        self.b.get(at).copied()
    }

    pub fn byte_before(&self, at: usize) -> Option<u8> {
        at.checked_sub(1).and_then(|before| self.byte(before))
    }

    /// The text that follows, at most `bytes` of it.
    pub fn after(&self, at: usize, bytes: usize) -> &'a str {
        &self.s[at..self.s.floor_char_boundary((at + bytes).min(self.s.len()))]
    }

    /// The text before, at most `bytes` of it.
    pub fn before(&self, at: usize, bytes: usize) -> &'a str {
        &self.s[self.s.ceil_char_boundary(at.saturating_sub(bytes))..at]
    }

    /// The last of the groups from `g` on that have these lengths with one separator of `gaps` between all of them.
    pub fn shape(&self, g: usize, lengths: &[usize], gaps: &[&str]) -> Option<usize> {
        if self.len(g) != lengths[0] {
            return None;
        }
        let last = g + lengths.len() - 1;
        if lengths.len() == 1 {
            return Some(last);
        }
        let gap = self.gap(g)?;
        let alike = (g..last).all(|i| self.gap(i) == Some(gap)) && gaps.contains(&gap);
        (alike && lengths.iter().enumerate().all(|(i, len)| self.len(g + i) == *len)).then_some(last)
    }

    /// The digits of several groups as one string.
    pub fn joined(&self, first: usize, last: usize) -> String {
        (first..=last).map(|g| self.digits(g)).collect()
    }

    pub fn span(&self, first: usize, last: usize) -> Range<usize> {
        self.groups[first].start..self.groups[last].end
    }

    /// Digits from group `g` on that may belong to one number, counted no further than needed: most numbers in
    /// ordinary text are short and alone, and no rule has to look at them.
    pub fn reach(&self, g: usize) -> usize {
        let mut digits = self.groups[g].len();
        let mut last = g;
        while digits < Self::ENOUGH {
            let Some(next) = self.groups.get(last + 1) else { break };
            let gap = &self.b[self.groups[last].end..next.start];
            let joined = gap.iter().all(|c| b" -.()/".contains(c)) || gap == "\u{ff09}".as_bytes();
            if gap.len() > 4 || !joined {
                break;
            }
            digits += next.len();
            last += 1;
        }
        digits
    }

    /// As many digits as the shortest value of any rule has.
    pub const ENOUGH: usize = 6;

    /// Whether a letter stands right before group `g`.
    pub fn lettered(&self, g: usize) -> bool {
        self.byte_before(self.groups[g].start).is_some_and(|c| c.is_ascii_alphabetic())
    }

    /// Whether a value may start here: nothing before it makes it the rest of something longer.
    ///
    /// `at` is the first byte of a digit group or of what belongs to it.
    pub fn opens(&self, at: usize) -> bool {
        let Some(before) = self.byte_before(at) else { return true };
        let further = at.checked_sub(2).and_then(|i| self.byte(i));
        let word = |byte: Option<u8>| byte.is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_');
        match before {
            b'_' | b'$' | b'\\' => false,
            c if c.is_ascii_alphanumeric() => context::ends_with_word(self.before(at, 24)),
            // €, £, ¥ and their full-width form: an amount.
            0xac if further == Some(0x82) => false,
            0xa3 | 0xa5 if matches!(further, Some(0xc2 | 0xbf)) => false,
            // A number below zero.
            b'-' if matches!(further, Some(b' ' | b'=' | b'(')) && self.negative(at) => false,
            b'-' | b'/' | b'.' if word(further) => {
                let long = |digits: &str| digits.len() - digits.trim_end_matches(|c: char| c.is_ascii_digit()).len();
                let head = self.before(at - 1, 24);
                // One number of a list may follow another; a code's last part may not stand alone.
                (before == b'/' && long(head) >= 7) || context::ends_with_word(head)
            }
            _ => true,
        }
    }

    /// Whether a value may end here.
    pub fn closes(&self, at: usize) -> bool {
        let Some(after) = self.byte(at) else { return true };
        let further = self.byte(at + 1);
        match after {
            b'_' | b'%' | b'@' => false,
            c if c.is_ascii_alphanumeric() => false,
            b'.' | b'-' => !further.is_some_and(|c| c.is_ascii_alphanumeric()),
            b',' => !self.thousands(at),
            b'/' => {
                let digits = self.b[at + 1..].iter().take(8).take_while(|c| c.is_ascii_digit()).count();
                digits == 0 || digits >= 7
            }
            _ => true,
        }
    }

    /// Whether the minus sign before `at` stands in a sum.
    fn negative(&self, at: usize) -> bool {
        let head = self.before(at - 1, 24).trim_end();
        head.ends_with(|c: char| "=+-*/(<>~".contains(c) || c.is_ascii_digit())
    }

    /// Whether three digits and no more follow a comma.
    fn thousands(&self, comma: usize) -> bool {
        let digits = self.b[comma + 1..].iter().take(4).take_while(|c| c.is_ascii_digit()).count();
        digits == 3
    }
}

/// Whether the bytes beside a token are neither ASCII letters nor digits.
pub(super) fn alone(b: &[u8], at: &Range<usize>) -> bool {
    let word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    !word(at.start.checked_sub(1).and_then(|i| b.get(i))) && !word(b.get(at.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survey_notes_where_rules_start() {
        let text = Text::survey("a@b 12-345, 京A1::f 10:20 x:y");
        assert_eq!((text.ats.len(), text.groups.len(), text.letters.len()), (1, 5, 1));
        assert_eq!(text.colons.len(), 3, "both of :: and the one of the time");
    }

    #[test]
    fn shapes_want_one_separator() {
        let text = Text::survey("138-0000-1690 138 0000-1690");
        assert_eq!(text.shape(0, &[3, 4, 4], &["-", " "]), Some(2));
        assert_eq!(text.shape(3, &[3, 4, 4], &["-", " "]), None);
    }

    #[test]
    fn edges() {
        for (text, opens, closes) in [
            ("号13812345678，", true, true),
            ("a13812345678b", false, false),
            ("tel13812345678", true, true),
            ("SN-13812345678-01", false, false),
            ("$13812345678", false, true),
            ("€13812345678%", false, false),
            ("0.13812345678.", false, true),
            ("13812345678.5", true, false),
            ("13912345678/13812345678", true, true),
        ] {
            let t = Text::survey(text);
            let group = t.groups.iter().rfind(|g| g.len() == 11).expect("a long group").clone();
            assert_eq!((t.opens(group.start), t.closes(group.end)), (opens, closes), "{text}");
        }
    }
}
