//! The normal form: NFKC, lower case, one space for anything between words, none beside ideographs.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::width;

/// A text without what does not make another text of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Normal {
    pub text: String,
    /// Characters that a careful writer would not have used: full-width letters and digits, invisible ones, and spaces
    /// after spaces. Of equal normal forms the one with the fewest is the one to keep.
    pub untidy: u32,
}

/// NFKC, lower case, and only what is read: letters, digits, and the signs that numbers and code need (`+ = < > $ %`, a
/// minus before a number, a decimal point, the # of C#). All else between words becomes one space; beside an ideograph it
/// becomes nothing. A text of nothing but signs stays as it is, so that two of them differ.
pub fn normalise(text: &str) -> Normal {
    let mut normal = if text.is_ascii() { ascii(text) } else { any(text) };
    if normal.text.is_empty() {
        normal.text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    normal
}

/// The numbers of a normal form, in order: runs of digits, with a decimal point inside.
pub fn numbers(normal: &str) -> impl Iterator<Item = &str> {
    normal.split(|c: char| !(c.is_ascii_digit() || c == '.')).filter(|n| n.bytes().any(|b| b.is_ascii_digit()))
}

/// The same text with one `0` for each number.
pub fn without_numbers(normal: &str) -> String {
    let mut out = String::with_capacity(normal.len());
    let mut rest = normal;
    while let Some(at) = rest.bytes().position(|b| b.is_ascii_digit()) {
        out.push_str(&rest[..at]);
        out.push('0');
        rest = rest[at..].trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    }
    out.push_str(rest);
    out
}

/// What a character does to the normal form.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Word,
    Between,
    /// A sign that is kept, without spaces around it.
    Sign,
    /// Depends on its neighbours.
    Maybe,
    Nothing,
}

const ASCII: [Role; 128] = {
    let mut roles = [Role::Between; 128];
    let mut b = 0;
    while b < 128 {
        roles[b] = match b as u8 {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => Role::Word,
            b'+' | b'<' | b'=' | b'>' | b'$' => Role::Sign,
            b'-' | b'*' | b'/' | b'%' | b'#' | b'.' | b',' | b'\'' => Role::Maybe,
            b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => Role::Between,
            0..=0x1f | 0x7f => Role::Nothing,
            _ => Role::Between,
        };
        b += 1;
    }
    roles
};

fn ascii(text: &str) -> Normal {
    let bytes = text.as_bytes();
    let mut out = Writer::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let b = bytes[i];
        match ASCII[usize::from(b)] {
            Role::Word => {
                // Words with single spaces between them are copied as they are.
                let word = |at: usize| bytes.get(at).is_some_and(|&b| ASCII[usize::from(b)] == Role::Word);
                let mut end = i + 1;
                while word(end) || bytes.get(end) == Some(&b' ') && word(end + 1) {
                    end += 1;
                }
                out.ascii_words(&text[i..end]);
                i = end;
                continue;
            }
            Role::Between => {
                out.untidy += u32::from(b == b' ' && i > 0 && bytes[i - 1] == b' ');
                out.between();
            }
            Role::Sign => out.sign(char::from(b)),
            Role::Nothing => out.untidy += 1,
            Role::Maybe => {
                let before = bytes[..i].iter().rev().map(|&b| char::from(b));
                let after = bytes[i + 1..].iter().map(|&b| char::from(b));
                out.maybe(char::from(b), before, after);
            }
        }
        i += 1;
    }
    out.text.make_ascii_lowercase();
    out.finish()
}

fn any(text: &str) -> Normal {
    if text.chars().all(plain) {
        return any_plain(text, 0);
    }
    let wide = text.chars().filter(|&c| narrow(c) != c && narrow(c).is_ascii_alphanumeric()).count();
    any_plain(&text.nfkc().collect::<String>(), wide as u32)
}

/// Of a text that NFKC leaves alone but for what [`narrow`] does.
fn any_plain(text: &str, untidy: u32) -> Normal {
    let mut out = Writer::with_capacity(text.len());
    out.untidy = untidy;
    let (mut i, mut last) = (0, None);
    while let Some(read) = text[i..].chars().next() {
        let start = i;
        if is_ideograph(read) {
            i = text[i..].find(|c| !is_ideograph(c)).map_or(text.len(), |len| i + len);
            out.ideographs(&text[start..i]);
            last = Some(read);
            continue;
        }
        i += read.len_utf8();
        let c = narrow(read);
        out.untidy += u32::from(c != read && c.is_ascii_alphanumeric());
        match role(c) {
            Role::Word if c.is_ascii() => out.word(c.to_ascii_lowercase()),
            Role::Word if is_wide(c) => out.word(c),
            Role::Word => c.to_lowercase().for_each(|c| out.word(c)),
            Role::Between => {
                out.untidy += u32::from(c == ' ' && last == Some(' '));
                out.between();
            }
            Role::Sign => out.sign(c),
            Role::Nothing => out.untidy += 1,
            Role::Maybe => out.maybe(c, text[..start].chars().rev().map(narrow), text[i..].chars().map(narrow)),
        }
        last = Some(c);
    }
    out.finish()
}

/// The most common ideographs, which nothing changes.
fn is_ideograph(c: char) -> bool {
    matches!(c as u32, 0x4e00..=0x9fff)
}

/// Whether NFKC leaves the character alone whatever stands beside it, or [`narrow`] does all that it would do. What is not
/// listed takes the slow way, which is right for everything.
fn plain(c: char) -> bool {
    match c as u32 {
        0..=0xa0 | 0xa2..=0xa7 | 0xa9 | 0xab..=0xae | 0xb0 | 0xb1 | 0xb7 | 0xbb => true,
        0xc0..=0x131 | 0x134..=0x13e | 0x141..=0x148 | 0x14a..=0x17e => true,
        0x391..=0x3a1 | 0x3a3..=0x3c9 | 0x410..=0x44f => true,
        // Punctuation: what NFKC would make of it is between words, too.
        0x2010 | 0x2013..=0x2016 | 0x2018..=0x2022 => true,
        0x2026 | 0x20ac | 0x2190..=0x21ff | 0x2600..=0x27bf | 0x1f300..=0x1faff => true,
        0x200b..=0x200f | 0xfe00..=0xfe0f | 0xfeff => true,
        0x3000..=0x3029 | 0x3041..=0x3096 | 0x30a1..=0x30fa | 0x30fc => true,
        0x4e00..=0x9fff => true,
        0xff01..=0xff5e => true,
        _ => false,
    }
}

/// Full-width forms of ASCII and the ideographic space, as NFKC has them.
fn narrow(c: char) -> char {
    if c == '\u{3000}' { ' ' } else { width::narrow(c) }
}

fn role(c: char) -> Role {
    if c.is_ascii() {
        return ASCII[c as usize];
    }
    match c as u32 {
        0x4e00..=0x9fff => Role::Word,
        0x2019 => Role::Maybe,
        // Invisible: soft hyphen, joiners, marks of direction, variation selectors, the byte order mark.
        0xad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x2064 | 0xfe00..=0xfe0f | 0xfeff => Role::Nothing,
        0x80..=0x9f => Role::Nothing,
        // Signs of money, mathematics and measure.
        0xa2..=0xa5 | 0xac | 0xb0 | 0xb1 | 0xb5 | 0xd7 | 0xf7 | 0x20a0..=0x20cf | 0x2200..=0x22ff => Role::Sign,
        _ if c.is_alphanumeric() || is_combining_mark(c) => Role::Word,
        _ => Role::Between,
    }
}

/// Ideographs, kana and hangul: written without spaces, and each worth two letters.
pub(super) fn is_wide(c: char) -> bool {
    matches!(c as u32, 0x2e80..=0x2fff | 0x3005..=0x3007 | 0x3040..=0x31ff | 0x3400..=0x9fff | 0xac00..=0xd7a3
        | 0xf900..=0xfaff | 0x20000..=0x3ffff)
}

/// The normal form as it grows.
struct Writer {
    text: String,
    untidy: u32,
    /// Something between words has been read since the last character written.
    gap: bool,
    /// The last character written takes no space after it.
    closed: bool,
}

impl Writer {
    fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), untidy: 0, gap: false, closed: true }
    }

    fn between(&mut self) {
        self.gap = true;
    }

    fn word(&mut self, c: char) {
        let wide = !c.is_ascii() && is_wide(c);
        if self.gap && !self.closed && !wide {
            self.text.push(' ');
        }
        self.text.push(c);
        self.gap = false;
        self.closed = wide;
    }

    fn ideographs(&mut self, run: &str) {
        self.text.push_str(run);
        self.gap = false;
        self.closed = true;
    }

    /// As they are: the caller turns capitals into small letters at the end.
    fn ascii_words(&mut self, words: &str) {
        if self.gap && !self.closed {
            self.text.push(' ');
        }
        self.text.push_str(words);
        self.gap = false;
        self.closed = false;
    }

    fn sign(&mut self, c: char) {
        self.text.push(c);
        self.gap = false;
        self.closed = true;
    }

    /// `before` runs backwards from the character, `after` forwards.
    fn maybe(
        &mut self,
        c: char,
        mut before: impl Iterator<Item = char> + Clone,
        mut after: impl Iterator<Item = char> + Clone,
    ) {
        let (last, next) = (before.clone().next(), after.clone().next());
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let letter = |c: Option<char>| c.is_some_and(char::is_alphabetic);
        match c {
            '\'' | '’' if letter(last) && letter(next) => {}
            ',' if digit(last) && groups_thousands(after.clone()) => {}
            '.' if digit(last) && digit(next) => self.sign(c),
            '%' if digit(last) => self.text.push(c),
            '#' if last.is_some_and(|c| c.is_ascii_alphabetic()) && !last.is_some_and(is_wide) => self.text.push(c),
            '-' if digit(next)
                && !last.is_some_and(char::is_alphanumeric)
                && !digit(before.clone().find(|&c| c != ' ')) =>
            {
                self.gap_then(c);
            }
            '-' | '*' | '/' if digit(before.find(|&c| c != ' ')) && digit(after.find(|&c| c != ' ')) => {
                self.sign(c);
            }
            _ => self.between(),
        }
    }

    /// A minus: it belongs to what follows, not to what stands before.
    fn gap_then(&mut self, c: char) {
        if !self.closed {
            self.text.push(' ');
        }
        self.sign(c);
    }

    fn finish(self) -> Normal {
        Normal { text: self.text, untidy: self.untidy }
    }
}

/// Three digits and no fourth.
fn groups_thousands(mut after: impl Iterator<Item = char>) -> bool {
    let three = (0..3).all(|_| after.next().is_some_and(|c| c.is_ascii_digit()));
    three && !after.next().is_some_and(|c| c.is_ascii_digit())
}
