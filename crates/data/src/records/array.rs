//! A JSON array read one element at a time: only the element at hand is held, so a file of any size passes.
//!
//! The splitter follows strings and nesting just far enough to find where an element ends; whether the element itself is
//! well formed is the JSON parser's matter.

use super::lines::EXCERPT_BYTES;
use super::pushed::Pushed;
use std::io::BufRead;

/// One element of the array.
pub(crate) enum Element {
    Whole(Vec<u8>),
    /// Longer than the limit: its first bytes.
    TooLong(Vec<u8>),
}

/// What broke the array between its elements. Line and column count from 1.
#[derive(Debug)]
pub(crate) struct Broken {
    pub line: u64,
    pub column: u64,
    pub expected: &'static str,
    pub got: String,
}

pub(crate) enum SplitError {
    Io(std::io::Error),
    Broken(Broken),
}

impl From<std::io::Error> for SplitError {
    fn from(e: std::io::Error) -> Self {
        SplitError::Io(e)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    First,
    Next,
    End,
}

/// White space kept from between two elements, for a copy that looks like the original.
const SPACE_BYTES_MAX: usize = 1024;
/// Elements without an end for which the file is looked through again; each costs a pass over at most the limit of a record.
const UNENDED_MAX: u32 = 16;

pub(crate) struct Splitter<R> {
    text: Pushed<R>,
    limit: u64,
    at: At,
    place: Place,
    /// White space before what comes next; of the last gap, its first bytes.
    space: Vec<u8>,
    unended: u32,
}

impl<R: BufRead> Splitter<R> {
    pub fn new(text: R, limit: u64) -> Self {
        let text = Pushed::new(text);
        Self { text, limit, at: At { line: 1, column: 1 }, place: Place::Start, space: Vec::new(), unended: 0 }
    }

    /// The next element; `None` after the closing bracket. After `Broken` there is nothing more to be had.
    pub fn next_element(&mut self) -> Result<Option<Element>, SplitError> {
        if self.open()? == Place::End {
            return Ok(None);
        }
        let mut next = self.skip_space()?;
        if next == Some(b']') {
            self.advance(b']');
            return self.close();
        }
        if self.place == Place::Next {
            match next {
                Some(b',') => self.advance(b','),
                got => return Err(self.broken(", or ] after an element", got)),
            }
            next = self.skip_space()?;
        }
        self.place = Place::Next;
        match next {
            Some(b',' | b']' | b'}' | b':') | None => Err(self.broken("an element", next)),
            Some(_) => self.element(Unended::Broken),
        }
    }

    /// As [`next_element`](Self::next_element) for those who only look: `Broken` can be followed by more. What stands between
    /// elements and should not is passed by, and an element without an end ends where a line begins as elements do.
    pub fn next_mended(&mut self) -> Result<Option<Element>, SplitError> {
        if self.open()? == Place::End {
            return Ok(None);
        }
        let next = self.skip_space()?;
        match next {
            Some(b']') => {
                self.advance(b']');
                self.close()
            }
            Some(b',') if self.place == Place::Next => {
                self.advance(b',');
                self.place = Place::First;
                match self.skip_space()? {
                    // `[1,]`: what is wrong is said, and the bracket read the next time.
                    got @ (Some(b',' | b']' | b'}' | b':') | None) => Err(self.stray("an element", got)?),
                    Some(_) => {
                        self.place = Place::Next;
                        self.element(Unended::ByLines)
                    }
                }
            }
            Some(b',' | b'}' | b':') | None => Err(self.stray("an element", next)?),
            Some(_) if self.place == Place::Next => {
                let broken = self.broken(", or ] after an element", next);
                self.place = Place::First;
                Err(broken)
            }
            Some(_) => {
                self.place = Place::Next;
                self.element(Unended::ByLines)
            }
        }
    }

    /// Passes the opening bracket, if it was not yet.
    fn open(&mut self) -> Result<Place, SplitError> {
        if self.place == Place::Start {
            match self.skip_space()? {
                Some(b'[') => self.advance(b'['),
                got => {
                    self.place = Place::End;
                    return Err(self.broken("[", got));
                }
            }
            self.place = Place::First;
        }
        Ok(self.place)
    }

    /// White space that stood before the last element, or before the closing bracket.
    pub fn space(&self) -> &[u8] {
        &self.space
    }

    /// Whether there is nothing more to be had, of `next_mended` too.
    pub fn ended(&self) -> bool {
        self.place == Place::End
    }

    /// The error at a byte that has no place here, which is passed by with those of its kind.
    fn stray(&mut self, expected: &'static str, got: Option<u8>) -> std::io::Result<SplitError> {
        let error = self.broken(expected, got);
        match got {
            None => self.place = Place::End,
            Some(b']') => {}
            Some(_) => {
                while let Some(byte @ (b',' | b'}' | b':' | b' ' | b'\t' | b'\r' | b'\n')) = self.peek()? {
                    self.advance(byte);
                }
                self.place = Place::First;
            }
        }
        Ok(error)
    }

    /// What follows the array, if only white space does.
    fn close(&mut self) -> Result<Option<Element>, SplitError> {
        self.place = Place::End;
        let before = std::mem::take(&mut self.space);
        let got = self.skip_space()?;
        self.space = before;
        match got {
            None => Ok(None),
            got => Err(self.broken("the end of the file after ]", got)),
        }
    }

    fn element(&mut self, unended: Unended) -> Result<Option<Element>, SplitError> {
        let mut held = Vec::new();
        let mut too_long = false;
        let mut scan = Scan::default();
        loop {
            let available = self.text.filled()?;
            if available.is_empty() {
                return self.unended(unended, held, too_long);
            }
            let (taken, end) = scan.pass(available, unended);
            let part = &available[..taken];
            let room = (self.limit as usize).saturating_sub(held.len());
            if !too_long && part.len() > room {
                too_long = true;
                held.extend_from_slice(&part[..room.min(EXCERPT_BYTES)]);
                held.truncate(EXCERPT_BYTES);
                held.shrink_to_fit();
            } else if !too_long {
                held.extend_from_slice(part);
            }
            self.at.pass(part);
            self.text.consume(taken);
            match end {
                Some(Ended::Whole) => break,
                Some(Ended::Damaged) => return self.unended(unended, held, too_long),
                None => {}
            }
        }
        while held.last().is_some_and(u8::is_ascii_whitespace) {
            held.pop();
        }
        Ok(Some(if too_long { Element::TooLong(held) } else { Element::Whole(held) }))
    }

    /// An element whose end was not found. By lines, it ends before the next line that begins as an element of this file does.
    fn unended(
        &mut self,
        unended: Unended,
        mut held: Vec<u8>,
        mut too_long: bool,
    ) -> Result<Option<Element>, SplitError> {
        let at_end = self.peek()?.is_none();
        if unended == Unended::Broken || at_end && (too_long || self.unended >= UNENDED_MAX) {
            self.place = Place::End;
            return Err(self.broken("the rest of an element, then ]", None));
        }
        self.unended += u32::from(at_end);
        let start = Start::of(&self.space);
        match start.next_after(&held) {
            Some(cut) if !too_long => self.push_back(held.split_off(cut)),
            _ => self.pass_lines(&start, &mut held, &mut too_long)?,
        }
        self.place = Place::First;
        while held.last().is_some_and(|b| b.is_ascii_whitespace() || *b == b',') {
            held.pop();
        }
        Ok(Some(if too_long { Element::TooLong(held) } else { Element::Whole(held) }))
    }

    /// Moves lines into `held`, as far as the limit allows, up to one that begins as elements do.
    fn pass_lines(&mut self, start: &Start, held: &mut Vec<u8>, too_long: &mut bool) -> std::io::Result<()> {
        loop {
            let mut line = Vec::new();
            while line.last() != Some(&b'\n') && (line.len() as u64) < self.limit {
                let available = self.text.filled()?;
                let end = memchr::memchr(b'\n', available).map_or(available.len(), |at| at + 1);
                let part = &available[..end.min(self.limit as usize - line.len())];
                if part.is_empty() {
                    break;
                }
                line.extend_from_slice(part);
                self.at.pass(part);
                let taken = part.len();
                self.text.consume(taken);
            }
            if line.is_empty() {
                return Ok(());
            }
            if start.begins(&line) {
                self.push_back(line);
                return Ok(());
            }
            if !*too_long && (held.len() + line.len()) as u64 > self.limit {
                *too_long = true;
                held.truncate(EXCERPT_BYTES);
            }
            if !*too_long {
                held.extend_from_slice(&line);
            }
        }
    }

    fn push_back(&mut self, bytes: Vec<u8>) {
        self.at.line = self.at.line.saturating_sub(memchr::memchr_iter(b'\n', &bytes).count() as u64);
        self.at.column = 1;
        self.text.push_back(bytes);
    }

    fn skip_space(&mut self) -> Result<Option<u8>, SplitError> {
        self.space.clear();
        loop {
            match self.peek()? {
                Some(byte) if byte.is_ascii_whitespace() => {
                    if self.space.len() < SPACE_BYTES_MAX {
                        self.space.push(byte);
                    }
                    self.advance(byte);
                }
                other => return Ok(other),
            }
        }
    }

    fn peek(&mut self) -> std::io::Result<Option<u8>> {
        Ok(self.text.filled()?.first().copied())
    }

    fn advance(&mut self, byte: u8) {
        self.text.consume(1);
        self.at.pass(&[byte]);
    }

    fn broken(&self, expected: &'static str, got: Option<u8>) -> SplitError {
        let got = match got {
            None => "the end of the file".to_owned(),
            Some(byte) if byte.is_ascii_graphic() => format!("`{}`", char::from(byte)),
            Some(byte) => format!("byte 0x{byte:02x}"),
        };
        SplitError::Broken(Broken { line: self.at.line, column: self.at.column, expected, got })
    }
}

/// How far reading is; both count from 1.
struct At {
    line: u64,
    column: u64,
}

impl At {
    fn pass(&mut self, bytes: &[u8]) {
        match memchr::memrchr(b'\n', bytes) {
            Some(last) => {
                self.line += memchr::memchr_iter(b'\n', bytes).count() as u64;
                self.column = (bytes.len() - last) as u64;
            }
            None => self.column += bytes.len() as u64,
        }
    }
}

/// What becomes of an element whose end is not found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unended {
    Broken,
    ByLines,
}

enum Ended {
    Whole,
    /// At a line break inside a string or at a bracket of the wrong kind: something is missing before, so that nesting cannot be
    /// followed further.
    Damaged,
}

/// How deep inside an element reading is.
struct Scan {
    depth: u64,
    /// A bit for each open bracket, the innermost lowest: set for `[`. None once there were more than it has bits.
    lists: Option<u128>,
    in_string: bool,
    escaped: bool,
}

impl Default for Scan {
    fn default() -> Self {
        Self { depth: 0, lists: Some(0), in_string: false, escaped: false }
    }
}

impl Scan {
    /// Follows `bytes`: how many belong to the element, and whether it ended with them.
    fn pass(&mut self, bytes: &[u8], unended: Unended) -> (usize, Option<Ended>) {
        let mut at = 0;
        while at < bytes.len() {
            if self.escaped {
                self.escaped = false;
                at += 1;
                continue;
            }
            if self.in_string {
                let rest = &bytes[at..];
                let found = match unended {
                    Unended::Broken => memchr::memchr2(b'"', b'\\', rest),
                    Unended::ByLines => memchr::memchr3(b'"', b'\\', b'\n', rest),
                };
                let Some(found) = found else { return (bytes.len(), None) };
                at += found + 1;
                match rest[found] {
                    b'\\' => self.escaped = true,
                    b'\n' => return (at, Some(Ended::Damaged)),
                    _ => self.in_string = false,
                }
                if self.in_string || self.depth > 0 {
                    continue;
                }
                return (at, Some(Ended::Whole));
            }
            match bytes[at] {
                b'"' => self.in_string = true,
                open @ (b'{' | b'[') => {
                    self.depth += 1;
                    let known = self.lists.filter(|_| self.depth <= u64::from(u128::BITS));
                    self.lists = known.map(|lists| lists << 1 | u128::from(open == b'['));
                }
                // A bare value ends before a comma or the closing bracket.
                b',' | b']' | b'}' if self.depth == 0 => return (at, Some(Ended::Whole)),
                shut @ (b'}' | b']') => {
                    let fits = self.lists.is_none_or(|lists| (lists & 1 == 1) == (shut == b']'));
                    if unended == Unended::ByLines && !fits {
                        return (at + 1, Some(Ended::Damaged));
                    }
                    self.depth -= 1;
                    self.lists = self.lists.map(|lists| lists >> 1);
                    if self.depth == 0 {
                        return (at + 1, Some(Ended::Whole));
                    }
                }
                _ => {}
            }
            at += 1;
        }
        (at, None)
    }
}

/// How elements begin in this file: the white space at the start of their line. None where they do not begin lines.
struct Start(Option<Vec<u8>>);

impl Start {
    fn of(space: &[u8]) -> Self {
        Self(memchr::memrchr(b'\n', space).map(|at| space[at + 1..].to_vec()))
    }

    fn begins(&self, line: &[u8]) -> bool {
        let element = |indent: &Vec<u8>| line.strip_prefix(&indent[..]).is_some_and(|rest| rest.starts_with(b"{"));
        self.0.as_ref().is_some_and(element) || line.trim_ascii() == b"]"
    }

    /// Where in `bytes` the first line after the first one begins as elements do.
    fn next_after(&self, bytes: &[u8]) -> Option<usize> {
        memchr::memchr_iter(b'\n', bytes).map(|at| at + 1).find(|at| self.begins(first_line(&bytes[*at..])))
    }
}

fn first_line(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, limit: u64) -> String {
        let mut splitter = Splitter::new(std::io::BufReader::with_capacity(3, text.as_bytes()), limit);
        let mut out = Vec::new();
        loop {
            match splitter.next_element() {
                Ok(Some(Element::Whole(e))) => out.push(String::from_utf8(e).unwrap()),
                Ok(Some(Element::TooLong(e))) => out.push(format!("long:{}", e.len())),
                Ok(None) => return out.join(" | "),
                Err(SplitError::Broken(b)) => {
                    return format!(
                        "{} !{}:{} expected {} got {}",
                        out.join(" | "),
                        b.line,
                        b.column,
                        b.expected,
                        b.got
                    );
                }
                Err(SplitError::Io(e)) => return e.to_string(),
            }
        }
    }

    #[test]
    fn elements() {
        for (text, expect) in [
            (" [ ] ", ""),
            ("[1, \"a,]\\\"b\" ,null]", "1 | \"a,]\\\"b\" | null"),
            ("[{\"a\":[1,{\"}\":2}]},\n{}]\n", "{\"a\":[1,{\"}\":2}]} | {}"),
            ("[1,]", "1 !1:4 expected an element got `]`"),
            ("[{} {}]", "{} !1:5 expected , or ] after an element got `{`"),
            ("[{}\n,{\"a\":", "{} !2:7 expected the rest of an element, then ] got the end of the file"),
            ("[] x", " !1:4 expected the end of the file after ] got `x`"),
            ("{}", " !1:1 expected [ got `{`"),
            ("", " !1:1 expected [ got the end of the file"),
        ] {
            assert_eq!(split(text, 100), expect, "{text}");
        }
    }

    /// As `split`, mended: what is broken is said between `!` and the elements after it follow.
    fn mended(text: &str, limit: u64) -> String {
        let mut splitter = Splitter::new(std::io::BufReader::with_capacity(3, text.as_bytes()), limit);
        let mut out = Vec::new();
        loop {
            assert!(out.len() < 100, "{out:?}");
            match splitter.next_mended() {
                Ok(Some(Element::Whole(e))) => out.push(String::from_utf8(e).unwrap()),
                Ok(Some(Element::TooLong(e))) => out.push(format!("long:{}", e.len())),
                Ok(None) => return out.join(" | "),
                Err(SplitError::Broken(b)) => out.push(format!("!{}:{} {}", b.line, b.column, b.got)),
                Err(SplitError::Io(e)) => return e.to_string(),
            }
        }
    }

    #[test]
    fn reading_goes_on_after_what_is_broken() {
        for (text, expect) in [
            ("[1, {} ]\n", "1 | {}"),
            ("[]", ""),
            ("[{} {}]", "{} | !1:5 `{` | {}"),
            ("[{},,{}]", "{} | !1:5 `,` | {}"),
            ("[{},]", "{} | !1:5 `]`"),
            ("[,{}", "!1:2 `,` | {} | !1:5 the end of the file"),
            ("[{}} , {}]", "{} | !1:4 `}` | {}"),
            ("[{}] x", "{} | !1:6 `x`"),
            ("{}", "!1:1 `{` "),
            // A quote is missing: the element ends where the next line begins as the first did.
            ("[\n{\"a\": \"b},\n{\"c\": 1},\n{}\n]", "{\"a\": \"b} | {\"c\": 1} | {}"),
            (
                "[\n  {\n    \"a\": \"b\n  },\n  {\n    \"c\": {}\n  }\n]",
                "{\n    \"a\": \"b\n  } | {\n    \"c\": {}\n  }",
            ),
            ("[\n{\"a\": \"b},\n]\n", "{\"a\": \"b}"),
            // A bracket is missing: found out at the end.
            ("[\n{\"a\": 1,\n{\"c\": 1},\n{}\n]", "{\"a\": 1 | {\"c\": 1} | {}"),
            ("[\n{},\n{\"a\": 1", "{} | {\"a\": 1 | !3:8 the end of the file"),
            // On one line there is nothing to go by.
            ("[{\"a\": \"b}, {}]", "{\"a\": \"b}, {}] | !1:16 the end of the file"),
        ] {
            assert_eq!(mended(text, 100), expect.trim_end(), "{text}");
        }
        // Deeper than brackets are told apart.
        let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
        assert_eq!(mended(&format!("[{deep},1]"), 1000), format!("{deep} | 1"));
        let long = format!("[\n{{\"a\": \"{}\n\"}},\n{{}}\n]", "x".repeat(5000));
        assert_eq!(mended(&long, 1000), "long:200 | {}");
    }

    #[test]
    fn over_long_elements_are_passed_by() {
        let long = format!("[{{\"a\":\"{}\"}}, {{}}]", "x".repeat(5000));
        assert_eq!(split(&long, 1000), "long:200 | {}");
        assert_eq!(split("[1234, 12345]", 4), "1234 | long:4");
    }
}
