//! MinHash in one pass: Fast Similarity Sketching (Dahlgaard, Knudsen, Thorup 2017).
//!
//! As in MinHash, each of [`BINS`] values of two texts is equal with a chance that is their Jaccard similarity. A shingle
//! falls into one bin a round, and rounds end when no bin is empty: some thousand steps and one for each shingle, where
//! MinHash takes its number of shingles times its number of permutations. One-permutation hashing is as fast, but needs
//! bins filled from others for short texts, which instructions mostly are.

/// Values that make one band: texts are compared if all values of a band agree.
pub const ROWS_PER_BAND: usize = 6;
pub const BANDS: usize = 72;
/// Each value is part of two bands, and two bands share one value at most: half the work for all but the same recall.
pub const BINS: usize = BANDS * ROWS_PER_BAND / 2;
/// Shingles from which on a bin is left empty by the first round once in a hundred million texts.
const MANY: usize = 24 * BINS;
/// Bytes of a [`glance`].
const GLANCE: usize = 64;

/// One value a bin: the round it was filled in and 32 bits of the hash.
pub type BinValues = [u64; BINS];

/// The chance that two texts of this similarity share a band, and so are compared.
pub fn chance(jaccard: f64) -> f64 {
    1.0 - (1.0 - jaccard.powi(ROWS_PER_BAND as i32)).powi(BANDS as i32)
}

/// Nothing for a text without shingles.
pub fn signature(shingles: &[u64], bins: &mut BinValues) -> Option<()> {
    bins.fill(u64::MAX);
    if shingles.is_empty() {
        return None;
    }
    for round in 0..BINS as u64 {
        let seed = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for &shingle in shingles {
            let hash = fold(shingle ^ seed, 0xd6e8_feb8_6659_fd93);
            let bin = (((hash >> 32) * BINS as u64) >> 32) as usize;
            // Values of an earlier round are smaller and stay.
            bins[bin] = bins[bin].min(round << 32 | hash & 0xffff_ffff);
        }
        if !bins.contains(&u64::MAX) {
            return Some(());
        }
        // Of so many, one round fills the bins unless they are the same few over and over.
        if round == 0 && shingles.len() >= MANY {
            let mut distinct = shingles.to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            if distinct.len() < shingles.len() {
                return signature(&distinct, bins);
            }
        }
    }
    // What chance left empty, which happens to very short texts alone, is filled bin by bin.
    for (bin, value) in bins.iter_mut().enumerate().filter(|(_, value)| **value == u64::MAX) {
        let seed = (BINS + bin + 1) as u64;
        let least = shingles.iter().map(|&s| fold(s ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0xd6e8_feb8_6659_fd93));
        *value = (BINS as u64) << 32 | least.map(|hash| hash & 0xffff_ffff).min().unwrap_or(0);
    }
    Some(())
}

/// A key for each band.
pub fn bands(bins: &BinValues) -> [u32; BANDS] {
    const HALF: usize = BANDS / 2;
    std::array::from_fn(|band| {
        // The first half takes values side by side, the second takes one of each sixth.
        let value = |i: usize| if band < HALF { bins[band * ROWS_PER_BAND + i] } else { bins[i * HALF + band - HALF] };
        let values = (0..ROWS_PER_BAND).map(value);
        let key = values.fold(band as u64, |key, v| fold(key ^ v, 0xa076_1d64_78bd_642f).wrapping_add(v));
        (key >> 32) as u32
    })
}

/// A byte of each of the first bins: enough to see that two texts that share a band have little else in common.
pub fn glance(bins: &BinValues) -> [u8; GLANCE] {
    std::array::from_fn(|i| bins[i] as u8)
}

/// An estimate of the Jaccard similarity; its standard deviation is 0.0625 at most.
pub fn glance_similarity(a: &[u8; GLANCE], b: &[u8; GLANCE]) -> f32 {
    let equal = a.iter().zip(b).filter(|(a, b)| a == b).count() as f32 / GLANCE as f32;
    // Bytes that agree by chance.
    (equal - 1.0 / 256.0) / (1.0 - 1.0 / 256.0)
}

/// Both halves of a 128-bit product, folded.
fn fold(x: u64, k: u64) -> u64 {
    let product = u128::from(x) * u128::from(k);
    product as u64 ^ (product >> 64) as u64
}
