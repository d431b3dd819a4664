//! Lines of bounded length: jsonl and txt.

use std::io::BufRead;

/// One line, without its line ending.
pub(crate) enum Line {
    Whole(Vec<u8>, End),
    /// Longer than the limit: its first bytes. The rest was read past, never held.
    TooLong(Vec<u8>),
}

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Lf,
    CrLf,
    /// The last line of a file that does not end with one.
    File,
}

impl End {
    pub fn bytes(self) -> &'static [u8] {
        match self {
            End::Lf => b"\n",
            End::CrLf => b"\r\n",
            End::File => b"",
        }
    }
}

/// What is kept of an over-long line, to show in the quarantine.
pub(crate) const EXCERPT_BYTES: usize = 200;

/// Reads the next line; `None` at the end of the text. Holds at most `limit` bytes.
pub(crate) fn next_line(text: &mut dyn BufRead, limit: u64) -> std::io::Result<Option<Line>> {
    let mut line = Vec::new();
    let mut too_long = false;
    let mut any = false;
    let mut ending = End::File;
    loop {
        let available = match text.fill_buf() {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if available.is_empty() {
            break;
        }
        any = true;
        let end = memchr::memchr(b'\n', available);
        let part = &available[..end.unwrap_or(available.len())];
        if !too_long {
            // One byte of grace for the carriage return of a CRLF ending.
            if line.len() as u64 + part.len() as u64 > limit.saturating_add(1) {
                too_long = true;
                let room = EXCERPT_BYTES.saturating_sub(line.len()).min(part.len());
                line.extend_from_slice(&part[..room]);
                line.truncate(EXCERPT_BYTES);
                line.shrink_to_fit();
            } else {
                line.extend_from_slice(part);
            }
        }
        let taken = part.len() + usize::from(end.is_some());
        text.consume(taken);
        if end.is_some() {
            ending = End::Lf;
            break;
        }
    }
    if !any {
        return Ok(None);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
        if ending == End::Lf {
            ending = End::CrLf;
        }
    }
    if !too_long && line.len() as u64 > limit {
        line.truncate(EXCERPT_BYTES);
        too_long = true;
    }
    Ok(Some(if too_long { Line::TooLong(line) } else { Line::Whole(line, ending) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn lines(text: &[u8], limit: u64, capacity: usize) -> Vec<String> {
        let mut reader = BufReader::with_capacity(capacity, text);
        std::iter::from_fn(|| next_line(&mut reader, limit).unwrap())
            .map(|line| match line {
                Line::Whole(l, _) => String::from_utf8(l).unwrap(),
                Line::TooLong(l) => format!("long:{}", l.len()),
            })
            .collect()
    }

    #[test]
    fn endings_and_limits() {
        for capacity in [1, 2, 3, 7, 64] {
            assert_eq!(lines(b"", 4, capacity), Vec::<String>::new());
            assert_eq!(lines(b"a\r\n\nbc", 4, capacity), ["a", "", "bc"]);
            assert_eq!(lines(b"abcd\n", 4, capacity), ["abcd"]);
            assert_eq!(lines(b"abcd\r\nx\n", 4, capacity), ["abcd", "x"]);
            assert_eq!(lines(b"abcde\nx\n", 4, capacity), ["long:5", "x"]);
            assert_eq!(lines(&[b"y".repeat(5000), b"\nx".to_vec()].concat(), 1000, capacity), ["long:200", "x"]);
        }
    }
}
