//! A text as hashed tokens: words, ideographs, runs of symbols and runs of what nobody sees.

use std::ops::Range;
use std::sync::LazyLock;

use crate::hash::mixed;
use crate::width::narrow;

/// What a token is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Letters and digits of a script with spaces.
    Word,
    /// One character of a script without spaces.
    Ideograph,
    /// A sign that may change what is said, as `+`, `=` and `/` in formulas.
    Operator,
    /// Punctuation and other signs; of the same sign several in a row, as `**`.
    Symbol,
    /// Zero-width and other format characters in a row.
    Invisible,
}

/// A piece of a text, folded: letters of either case and of either width are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The same for the same folded token on every machine and in every release that keeps [`SPELLING`].
    pub hash: u64,
    pub class: Class,
    pub at: Range<usize>,
    /// How much it holds: characters, and an ideograph counts as two.
    pub weight: u32,
}

/// Of how tokens are hashed; stored hashes of another number mean nothing.
pub const SPELLING: u32 = 1;

const IDEOGRAPH_WEIGHT: u32 = 2;
const STEM_CHARS: usize = 5;

impl Token {
    /// Whether it is a word, a number or an ideograph.
    pub fn is_content(&self) -> bool {
        matches!(self.class, Class::Word | Class::Ideograph)
    }

    /// Whether a normal form keeps it: without punctuation, but `1 + 2` is not `1 - 2`.
    pub fn is_kept(&self) -> bool {
        self.is_content() || self.class == Class::Operator
    }
}

/// The tokens of `text` in order; white space only parts them.
pub fn tokens(text: &str) -> Tokens<'_> {
    Tokens { text, at: 0 }
}

/// Joins the hash of a sequence with that of the next token.
pub fn chained(sequence: u64, token: u64) -> u64 {
    mixed(sequence.rotate_left(23) ^ token)
}

/// See [`tokens`].
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let (bytes, ascii) = (self.text.as_bytes(), &*ASCII);
        let (class, first) = loop {
            let byte = *bytes.get(self.at)?;
            if byte.is_ascii() {
                if let Some(class) = ascii[usize::from(byte)] {
                    break (class, char::from(byte));
                }
                self.at += 1;
                continue;
            }
            let c = self.text[self.at..].chars().next()?;
            match class(c) {
                Some(class) => break (class, c),
                None => self.at += c.len_utf8(),
            }
        };
        let start = self.at;
        self.at += first.len_utf8();
        let mut hash = spelled(class as u64 + 1, first);
        let mut weight = if class == Class::Ideograph { IDEOGRAPH_WEIGHT } else { 1 };
        match class {
            Class::Ideograph => {}
            Class::Word => self.word(&mut hash, &mut weight),
            Class::Invisible => self.run(&mut hash, &mut weight, |c| self::class(c) == Some(class)),
            Class::Symbol | Class::Operator => self.run(&mut hash, &mut weight, |c| c == first),
        }
        Some(Token { hash: mixed(hash), class, at: start..self.at, weight })
    }
}

impl Tokens<'_> {
    /// The rest of a word; most are ASCII.
    fn word(&mut self, hash: &mut u64, weight: &mut u32) {
        let bytes = self.text.as_bytes();
        loop {
            while let Some(byte) = bytes.get(self.at).filter(|byte| byte.is_ascii_alphanumeric()) {
                *hash = spelled(*hash, char::from(*byte));
                *weight += 1;
                self.at += 1;
            }
            let Some(c) = self.text[self.at..].chars().next().filter(|c| !c.is_ascii()) else { return };
            let mark = is_mark(c);
            if !mark && class(c) != Some(Class::Word) {
                return;
            }
            *hash = spelled(*hash, c);
            *weight += u32::from(!mark);
            self.at += c.len_utf8();
        }
    }

    fn run(&mut self, hash: &mut u64, weight: &mut u32, is: impl Fn(char) -> bool) {
        while let Some(c) = self.text[self.at..].chars().next().filter(|&c| is(c)) {
            *hash = spelled(*hash, c);
            *weight += 1;
            self.at += c.len_utf8();
        }
    }
}

/// Classes of the characters of one byte.
static ASCII: LazyLock<[Option<Class>; 128]> =
    LazyLock::new(|| std::array::from_fn(|byte| class(char::from(byte as u8))));

/// The hash of a token's first [`STEM_CHARS`] characters, so that `explain` and `explanation` are one.
pub fn stem(text: &str, token: &Token) -> u64 {
    if token.class != Class::Word || token.weight <= STEM_CHARS as u32 {
        return token.hash;
    }
    mixed(text[token.at.clone()].chars().take(STEM_CHARS).fold(Class::Word as u64 + 1, spelled))
}

/// Whether `c` is of a script written without spaces between words.
pub fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0e7f            // Thai
        | 0x3005..=0x3007 | 0x3040..=0x30fa | 0x30fc..=0x30ff | 0x3100..=0x312f | 0x31a0..=0x31ff
        | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0xff66..=0xff9d | 0x2_0000..=0x3_ffff)
}

/// Characters that take no room: zero-width spaces and joiners, directions, tags, soft hyphens. Variation selectors count as
/// signs: they come with every other emoji.
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c),
        0x00ad | 0x034f | 0x061c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180e | 0x200b..=0x200f | 0x202a..=0x202e
        | 0x2060..=0x206f | 0x3164 | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0xe_0000..=0xe_0fff)
}

/// Accents that follow their letter.
fn is_mark(c: char) -> bool {
    matches!(u32::from(c), 0x0300..=0x036f)
}

fn class(c: char) -> Option<Class> {
    if c.is_ascii() {
        return if c.is_ascii_alphanumeric() {
            Some(Class::Word)
        } else if c <= ' ' || c == '\x7f' {
            None
        } else {
            Some(sign(c))
        };
    }
    if is_ideograph(c) {
        Some(Class::Ideograph)
    } else if is_invisible(c) {
        Some(Class::Invisible)
    } else if c.is_whitespace() || c.is_control() {
        None
    } else if c.is_alphanumeric() {
        Some(Class::Word)
    } else {
        Some(sign(c))
    }
}

fn sign(c: char) -> Class {
    const OPERATORS: &str = "+-/=<>^%$@&~\\×÷±≤≥≠√";
    if OPERATORS.contains(narrow(c)) { Class::Operator } else { Class::Symbol }
}

fn spelled(hash: u64, c: char) -> u64 {
    let c = if c.is_ascii() { u32::from(c.to_ascii_lowercase()) } else { folded(c) };
    (hash.rotate_left(5) ^ u64::from(c)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn folded(c: char) -> u32 {
    let c = narrow(c);
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => u32::from(one),
        _ => u32::from(c),
    }
}
