//! Values in 8 bits: each divided by the largest magnitude of its block and rounded to one of 256 values, which lie the
//! denser the nearer they are to 0 (dynamic quantisation, Dettmers 2016; in blocks, Dettmers et al. 2022, "8-bit Optimizers
//! via Block-wise Quantization"). The values are those of bitsandbytes' `create_dynamic_map`.

use std::sync::LazyLock;

/// Values that share a magnitude.
pub const BLOCK: usize = 256;

/// Decades of magnitudes below 1.
const DECADES: i32 = 7;

/// For values of both signs: of each, decade d from below in 2ᵈ parts, of which every one stands for its middle; 0 and 1.
pub fn signed_map() -> [f32; 256] {
    dynamic_map(|decade| 1 << decade, &[1.0, -1.0])
}

/// For values from 0 on: decade d from below in 2·2ᵈ parts, 0 and 1.
pub fn unsigned_map() -> [f32; 256] {
    dynamic_map(|decade| 2 << decade, &[1.0])
}

fn dynamic_map(parts: impl Fn(i32) -> usize, signs: &[f32]) -> [f32; 256] {
    let mut values = vec![0.0f32, 1.0];
    for decade in 0..DECADES {
        let parts = parts(decade);
        let step = (1.0f32 - 0.1) / parts as f32;
        // from both ends and rounded once, as PyTorch cuts a linear space
        let bound = |i: usize| match i < parts.div_ceil(2) {
            true => step.mul_add(i as f32, 0.1),
            false => (-step).mul_add((parts - i) as f32, 1.0),
        };
        for i in 0..parts {
            let mean = (bound(i) + bound(i + 1)) / 2.0;
            let value = 10f64.powi(decade + 1 - DECADES) as f32 * mean;
            values.extend(signs.iter().map(|sign| sign * value));
        }
    }
    values.sort_by(f32::total_cmp);
    let mut map = [0.0; 256];
    map.copy_from_slice(&values);
    map
}

/// Magnitudes below this one are the lowest bucket's.
const LOWEST: f32 = 1.0 / (1 << 22) as f32;
/// A bucket is what a magnitude's exponent and so many bits of its mantissa say.
const BUCKET_SHIFT: u32 = f32::MANTISSA_DIGITS - 1 - 7;
/// More than there are between [`LOWEST`] and 1, and a power of two.
const BUCKETS: usize = 1 << 12;
const MAGNITUDE: u32 = u32::MAX >> 1;

/// A map, and how to find the code of a value in it without a search.
pub(crate) struct Codebook {
    values: [f32; 256],
    /// The code of 0: codes above are of values above.
    zero: u8,
    /// Of the magnitudes of `values`, counted from 0: where the k-th ends, halfway to the next; without end for the last.
    ends: [f32; 256],
    /// Which magnitude is the nearest where a bucket begins; an end or none lies in it.
    first: [u8; BUCKETS],
}

/// For AdamW's first moment.
pub(crate) static SIGNED: LazyLock<Codebook> = LazyLock::new(|| Codebook::new(signed_map(), 127, None));
/// For its second. A value above 0 never becomes 0: an update divides by its root. bitsandbytes rounds such values to the
/// nearest as all others; the step after a gradient of 0 then divides by epsilon alone.
pub(crate) static UNSIGNED: LazyLock<Codebook> = LazyLock::new(|| Codebook::new(unsigned_map(), 0, Some(0.0)));

impl Codebook {
    /// `zero_ends`: where 0 ends, if not halfway to the next.
    fn new(values: [f32; 256], zero: u8, zero_ends: Option<f32>) -> Codebook {
        let magnitudes = &values[usize::from(zero)..];
        let mut ends = [f32::INFINITY; 256];
        for (end, pair) in ends.iter_mut().zip(magnitudes.windows(2)) {
            *end = (pair[0] + pair[1]) / 2.0;
        }
        ends[0] = zero_ends.unwrap_or(ends[0]);
        let mut first = [0; BUCKETS];
        for (bucket, first) in first.iter_mut().enumerate().skip(1) {
            let begins = f32::from_bits(LOWEST.to_bits() + ((bucket as u32) << BUCKET_SHIFT));
            *first = ends.partition_point(|end| *end < begins) as u8;
        }
        Codebook { values, zero, ends, first }
    }

    /// out = map[code] · absmax, of one block.
    #[inline(always)]
    pub(crate) fn read(&self, codes: &[u8], absmax: f32, out: &mut [f32]) {
        for (out, code) in out.iter_mut().zip(codes) {
            *out = self.values[usize::from(*code)] * absmax;
        }
    }

    /// Codes of one block; returns its largest magnitude.
    #[inline(always)]
    pub(crate) fn write(&self, values: &[f32], codes: &mut [u8]) -> f32 {
        // Of magnitudes bits are ordered as values are. An infinite one would leave no number of the block's others.
        let largest = values.iter().fold(0, |most, v| most.max(v.to_bits() & MAGNITUDE)).min(f32::MAX.to_bits());
        let absmax = f32::from_bits(largest);
        let by = if absmax > 0.0 { absmax } else { 1.0 };
        for (code, v) in codes.iter_mut().zip(values) {
            *code = self.code(v / by);
        }
        absmax
    }

    /// Of a value from −1 to 1: the nearest; halfway, the one nearer to 0.
    #[inline(always)]
    fn code(&self, x: f32) -> u8 {
        let magnitude = x.to_bits() & MAGNITUDE;
        let bits = magnitude.clamp(LOWEST.to_bits(), 1f32.to_bits());
        let bucket = (bits - LOWEST.to_bits()) >> BUCKET_SHIFT;
        let first = self.first[bucket as usize % BUCKETS];
        let steps = first + u8::from(f32::from_bits(magnitude) > self.ends[usize::from(first)]);
        // The map has 1, but not −1.
        if x < 0.0 { self.zero - steps.min(self.zero) } else { self.zero + steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At every end and every bucket's beginning, and beside them: the code that a search through all values finds.
    #[test]
    fn codes_are_those_of_the_nearest_values() {
        for (book, never_zero) in [(&*SIGNED, false), (&*UNSIGNED, true)] {
            let begins = (0..BUCKETS as u32).map(|b| f32::from_bits(LOWEST.to_bits() + (b << BUCKET_SHIFT)));
            let near = book.ends.into_iter().chain(begins).chain(book.values).filter(|v| v.abs() <= 1.0);
            let beside = near.flat_map(|v| [v, v.next_up(), v.next_down()]).flat_map(|v| [v, -v]);
            let signed = book.zero > 0;
            let mut seen = [false; 256];
            for x in beside.filter(|x| x.abs() <= 1.0 && (signed || *x >= 0.0)) {
                let far = |code: &u8| (f64::from(book.values[usize::from(*code)]) - f64::from(x)).abs();
                let (code, least) = (book.code(x), (0..=255).map(|c| far(&c)).fold(f64::INFINITY, f64::min));
                if never_zero && x > 0.0 && far(&0) == least {
                    assert_eq!(code, 1, "{x:e}");
                } else {
                    // Ends are rounded themselves.
                    assert!(far(&code) <= least + f64::from(f32::EPSILON * x.abs()), "{x:e} became code {code}");
                }
                seen[usize::from(code)] = true;
            }
            assert!(seen.iter().all(|seen| *seen), "some code is never used");
            assert_eq!((book.code(0.0), book.code(1.0)), (book.zero, 255));
        }
        assert_eq!((SIGNED.code(-1.0), SIGNED.code(-0.0), SIGNED.code(-1e-30)), (0, 127, 127));
        assert_eq!((UNSIGNED.code(1e-30), UNSIGNED.code(f32::from_bits(1))), (1, 1));
    }
}
