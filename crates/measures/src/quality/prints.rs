//! Fingerprints by which texts that share a long passage are found.

use std::ops::Range;

use crate::hash::mixed;

/// Of one passage of [`GRAM_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Print {
    pub hash: u32,
    /// Code points of the text.
    pub at: Range<u32>,
}

/// Bytes, not characters: an ideograph has three of them, and says about as much as three letters.
pub const GRAM_BYTES: usize = 50;
/// Of so many passages that begin one after the other, one is taken: two texts that share `GRAM_BYTES + WINDOW - 1` bytes share
/// a print.
pub const WINDOW: usize = 32;

/// Passages of fewer different bytes are rules, blanks and the like.
const DISTINCT_MIN: usize = 12;
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The prints of a text in order, at most `max` of them: winnowing (Schleimer, Wilkerson and Aiken 2003) over a rolling hash.
pub fn prints(text: &str, max: usize) -> Vec<Print> {
    let bytes = text.as_bytes();
    let mut picked = Picked { bytes, prints: Vec::new(), start: Count::default(), end: Count::default() };
    let Some(last) = bytes.len().checked_sub(GRAM_BYTES) else { return picked.prints };
    let first_out = (1..GRAM_BYTES).fold(1u64, |power, _| power.wrapping_mul(BASE));
    let mut rolling = bytes[..GRAM_BYTES].iter().fold(0u64, |all, &byte| step(all, byte));
    let mut ring = [u64::MAX; WINDOW];
    let mut least = (u64::MAX, 0);
    for at in 0..=last {
        if at > 0 {
            let gone = first_out.wrapping_mul(u64::from(bytes[at - 1]) + 1);
            rolling = step(rolling.wrapping_sub(gone), bytes[at + GRAM_BYTES - 1]);
        }
        let hash = mixed(rolling);
        ring[at % WINDOW] = hash;
        if hash <= least.0 {
            least = (hash, at);
        } else if at - least.1 >= WINDOW {
            let from = at + 1 - WINDOW;
            // Of equal ones the last, so that loops give few prints.
            least = (from..=at)
                .map(|at| (ring[at % WINDOW], at))
                .reduce(|a, b| if b.0 <= a.0 { b } else { a })
                .unwrap_or(least);
        } else if at + 1 != WINDOW && at != last {
            continue;
        }
        if at + 1 >= WINDOW.min(last + 1) {
            picked.pick(least.0, least.1);
            if picked.prints.len() >= max {
                break;
            }
        }
    }
    picked.prints
}

struct Picked<'a> {
    bytes: &'a [u8],
    prints: Vec<Print>,
    start: Count,
    end: Count,
}

impl Picked<'_> {
    fn pick(&mut self, hash: u64, at: usize) {
        let start = self.start.chars_before(self.bytes, at);
        let end = self.end.chars_before(self.bytes, at + GRAM_BYTES);
        // An end inside a character leaves it out.
        let cut = self.bytes.get(at + GRAM_BYTES).is_some_and(|&byte| !leads(byte));
        let print = Print { hash: (hash >> 32) as u32, at: start..end - u32::from(cut) };
        if self.prints.last() != Some(&print) && distinct(&self.bytes[at..at + GRAM_BYTES]) >= DISTINCT_MIN {
            self.prints.push(print);
        }
    }
}

/// How many characters begin before a byte that only moves forward.
#[derive(Default)]
struct Count {
    at: usize,
    chars: u32,
}

impl Count {
    fn chars_before(&mut self, bytes: &[u8], at: usize) -> u32 {
        self.chars += bytes[self.at..at].iter().filter(|&&byte| leads(byte)).count() as u32;
        self.at = at;
        self.chars
    }
}

fn leads(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [0u64; 4];
    for &byte in bytes {
        seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
    seen.iter().map(|word| word.count_ones() as usize).sum()
}

fn step(all: u64, byte: u8) -> u64 {
    all.wrapping_mul(BASE).wrapping_add(u64::from(byte) + 1)
}
