//! Texts that are almost the same: normal forms, shingles, signatures, and how much two texts share.
//!
//! What is compared is the *normal form* of a text ([`normalise`]): width, case, punctuation and white space do not count.
//! Its *shingles* are the runs of characters that hold [`SHINGLE_UNITS`] units, where a letter or a digit is one unit and an
//! ideograph, kana or hangul syllable two: four letters, or two Chinese characters. So one measure serves both scripts and
//! texts that mix them, and a few typos or dropped words leave most shingles as they were.

mod normal;
mod shingles;
mod signature;

pub use normal::{Normal, normalise, numbers, without_numbers};
pub use shingles::{LONG_UNITS, Overlap, SHINGLE_UNITS, ShingleSet, long_shingles, overlap, shingles};
pub use signature::{BANDS, BINS, BinValues, ROWS_PER_BAND, bands, chance, glance, glance_similarity, signature};

/// 128 bits that stand for some bytes: equal for equal bytes, and for others only by an accident nobody will see.
pub fn fingerprint(bytes: &[u8]) -> u128 {
    twox_hash::XxHash3_128::oneshot(bytes)
}
