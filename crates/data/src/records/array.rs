//! A JSON array read one element at a time: only the element at hand is held, so a file of any size passes.
//!
//! The splitter follows strings and nesting just far enough to find where an element ends; whether the element itself is
//! well formed is the JSON parser's matter.

use super::lines::EXCERPT_BYTES;
use std::io::BufRead;

/// One element of the array, or why the array itself is broken.
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

pub(crate) struct Splitter<R> {
    text: R,
    limit: u64,
    line: u64,
    column: u64,
    place: Place,
}

impl<R: BufRead> Splitter<R> {
    pub fn new(text: R, limit: u64) -> Self {
        Self { text, limit, line: 1, column: 1, place: Place::Start }
    }

    /// The next element; `None` after the closing bracket.
    pub fn next_element(&mut self) -> Result<Option<Element>, SplitError> {
        if self.place == Place::Start {
            match self.skip_space()? {
                Some(b'[') => self.advance(b'['),
                got => return Err(self.broken("[", got)),
            }
            self.place = Place::First;
        }
        if self.place == Place::End {
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
            Some(_) => self.element().map(Some),
        }
    }

    /// What follows the array, if only white space does.
    fn close(&mut self) -> Result<Option<Element>, SplitError> {
        self.place = Place::End;
        match self.skip_space()? {
            None => Ok(None),
            got => Err(self.broken("the end of the file after ]", got)),
        }
    }

    fn element(&mut self) -> Result<Element, SplitError> {
        let mut held = Vec::new();
        let mut too_long = false;
        let (mut depth, mut in_string, mut escaped) = (0u64, false, false);
        loop {
            let Some(byte) = self.peek()? else {
                return Err(self.broken("the rest of an element, then ]", None));
            };
            if in_string {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => in_string = true,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' if depth > 0 => depth -= 1,
                    b',' | b']' | b'}' if depth == 0 => break,
                    _ => {}
                }
            }
            self.advance(byte);
            if held.len() as u64 >= self.limit && !too_long {
                too_long = true;
                held.truncate(EXCERPT_BYTES);
                held.shrink_to_fit();
            }
            if !too_long {
                held.push(byte);
            }
            // An object or array ends with its own bracket; a bare value ends before a comma or the closing bracket.
            if depth == 0 && !in_string && matches!(byte, b'}' | b']' | b'"') {
                break;
            }
        }
        while held.last().is_some_and(u8::is_ascii_whitespace) {
            held.pop();
        }
        Ok(if too_long { Element::TooLong(held) } else { Element::Whole(held) })
    }

    fn skip_space(&mut self) -> Result<Option<u8>, SplitError> {
        loop {
            match self.peek()? {
                Some(byte) if byte.is_ascii_whitespace() => self.advance(byte),
                other => return Ok(other),
            }
        }
    }

    fn peek(&mut self) -> std::io::Result<Option<u8>> {
        loop {
            match self.text.fill_buf() {
                Ok(bytes) => return Ok(bytes.first().copied()),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn advance(&mut self, byte: u8) {
        self.text.consume(1);
        if byte == b'\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
    }

    fn broken(&self, expected: &'static str, got: Option<u8>) -> SplitError {
        let got = match got {
            None => "the end of the file".to_owned(),
            Some(byte) if byte.is_ascii_graphic() => format!("`{}`", char::from(byte)),
            Some(byte) => format!("byte 0x{byte:02x}"),
        };
        SplitError::Broken(Broken { line: self.line, column: self.column, expected, got })
    }
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

    #[test]
    fn over_long_elements_are_passed_by() {
        let long = format!("[{{\"a\":\"{}\"}}, {{}}]", "x".repeat(5000));
        assert_eq!(split(&long, 1000), "long:200 | {}");
        assert_eq!(split("[1234, 12345]", 4), "1234 | long:4");
    }
}
