//! A reader that takes bytes back.

use std::io::{BufRead, ErrorKind};

pub(crate) struct Pushed<R> {
    rest: R,
    /// Read before `rest`, from `at` on.
    front: Vec<u8>,
    at: usize,
}

impl<R: BufRead> Pushed<R> {
    pub fn new(rest: R) -> Self {
        Self { rest, front: Vec::new(), at: 0 }
    }

    /// `bytes` are what is read next.
    pub fn push_back(&mut self, mut bytes: Vec<u8>) {
        bytes.extend_from_slice(&self.front[self.at..]);
        (self.front, self.at) = (bytes, 0);
    }

    /// Bytes to go on with; empty only at the end.
    pub fn filled(&mut self) -> std::io::Result<&[u8]> {
        if self.at < self.front.len() {
            return Ok(&self.front[self.at..]);
        }
        self.front = Vec::new();
        self.at = 0;
        loop {
            match self.rest.fill_buf() {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
                Ok(_) => break,
            }
        }
        // Once more, because a borrow cannot leave the loop above; nothing is read again.
        self.rest.fill_buf()
    }

    /// Takes `n` of the bytes that [`filled`](Self::filled) gave.
    pub fn consume(&mut self, n: usize) {
        if self.at < self.front.len() {
            self.at += n;
        } else {
            self.rest.consume(n);
        }
    }
}
