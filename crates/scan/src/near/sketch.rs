//! What is kept of a row. Pure, and most of the work: called from many threads.

use super::{Key, RowId, SetId, Settings};
use crate::row::Row;
use measures::Part;
use measures::near::{BANDS, BINS, bands, fingerprint, glance, normalise, shingles, signature, without_numbers};
use std::cell::RefCell;

/// A row as the index takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sketch {
    pub row: RowId,
    pub set: SetId,
    /// Of rows with equal rights to be kept, the one with the lowest rank is. 0 unless the caller has a reason.
    pub rank: u16,
    pub(super) untidy: u16,
    /// Normal form: what is asked, then all else.
    pub(super) text: String,
    /// Bytes of `text` that are asked.
    pub(super) asked_len: u32,
    /// Of what is compared, repeated ones too.
    pub(super) shingles: u32,
    pub(super) prints: Prints,
    pub(super) glance: [u8; 64],
    pub(super) bands: [u32; BANDS],
    pub(super) samples: Vec<u64>,
}

/// Hashes that are equal where the texts are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prints {
    /// Bytes of all fields.
    pub exact: u64,
    /// What is compared, in its normal form.
    pub normal: [u64; 2],
    /// The same without its numbers.
    pub bare: u64,
    /// What is asked, in its normal form; 0 if nothing is.
    pub asked: u64,
}

/// Shingles for which a thread keeps memory.
const SCRATCH_SHINGLES: usize = 1 << 16;

thread_local! {
    static SCRATCH: RefCell<(Vec<u64>, Box<[u64; BINS]>)> = RefCell::new((Vec::new(), Box::new([0; BINS])));
}

pub fn sketch(row: &Row, set: SetId, settings: &Settings) -> Sketch {
    let (mut text, mut untidy) = (String::new(), 0u32);
    let mut append = |wanted: fn(Part) -> bool| {
        for field in row.fields.iter().filter(|f| wanted(f.part)) {
            let normal = normalise(&field.text);
            untidy = untidy.saturating_add(normal.untidy);
            if !text.is_empty() && !normal.text.is_empty() {
                text.push('\n');
            }
            text.push_str(&normal.text);
        }
        text.len() as u32
    };
    let asked_len = append(|part| part == Part::Instruction);
    append(|part| matches!(part, Part::Response | Part::Text));
    let compared = compared(&text, asked_len, settings.key);
    let mut sketch = Sketch {
        row: RowId { file: row.file, line: row.line },
        set,
        rank: 0,
        untidy: untidy.min(u32::from(u16::MAX)) as u16,
        prints: prints(row, &text, asked_len, compared),
        glance: [0; 64],
        bands: [0; BANDS],
        samples: super::shared::sample(&text),
        asked_len,
        shingles: 0,
        text: String::new(),
    };
    SCRATCH.with_borrow_mut(|(hashes, bins)| {
        hashes.clear();
        shingles(compared, hashes);
        sketch.shingles = hashes.len() as u32;
        if signature(hashes, bins).is_some() {
            sketch.glance = glance(bins);
            sketch.bands = bands(bins);
        }
        // One very long row is no reason to hold its memory.
        hashes.shrink_to(SCRATCH_SHINGLES);
    });
    sketch.text = text;
    sketch
}

/// The part of a row's text that is compared.
pub(super) fn compared(text: &str, asked_len: u32, key: Key) -> &str {
    match key {
        Key::Instruction if asked_len > 0 => &text[..asked_len as usize],
        _ => text,
    }
}

fn prints(row: &Row, text: &str, asked_len: u32, compared: &str) -> Prints {
    let normal = fingerprint(compared.as_bytes());
    let bare = if compared.bytes().any(|b| b.is_ascii_digit()) {
        fingerprint(without_numbers(compared).as_bytes()) as u64
    } else {
        normal as u64
    };
    let asked = if asked_len == 0 { 0 } else { fingerprint(&text.as_bytes()[..asked_len as usize]) as u64 };
    Prints { exact: exact(row), normal: [normal as u64, (normal >> 64) as u64], bare, asked }
}

/// Names count: a text in `input` is not the same row as that text in `output`.
fn exact(row: &Row) -> u64 {
    let mut bytes = Vec::with_capacity(row.fields.iter().map(|f| f.name.len() + f.text.len() + 16).sum());
    for field in &row.fields {
        bytes.extend_from_slice(&(field.name.len() as u64).to_le_bytes());
        bytes.extend_from_slice(field.name.as_bytes());
        bytes.extend_from_slice(&(field.text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(field.text.as_bytes());
    }
    fingerprint(&bytes) as u64
}
