//! NF4: weights in 4 bits (QLoRA, Dettmers et al. 2023), to the bits that bitsandbytes stores.
//!
//! A matrix is read row by row as one sequence, in blocks whose values are divided by the largest magnitude of each and
//! rounded to one of sixteen quantiles of the normal distribution. With double quantisation these magnitudes, less their
//! mean, are themselves in 8 bits: about 4.13 bits a weight instead of 4.5.

use crate::eight_bit::signed_map;
use crate::{KernelError, Result, Values};

/// Weights in a block.
pub const BLOCK: usize = 64;
/// Magnitudes in a block of the second quantisation.
pub const NESTED_BLOCK: usize = 256;

/// What the sixteen codes stand for.
pub const CODE: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// A matrix in NF4, in the order of its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Nf4 {
    /// values
    len: usize,
    /// Two codes a byte, the earlier in the high half.
    codes: Vec<u8>,
    /// Values of a block.
    block: usize,
    scales: Scales,
}

/// The largest magnitude of each block.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    Single(Vec<f32>),
    /// map[code] · absmax[block of magnitudes] + offset
    Double {
        codes: Vec<u8>,
        /// The 256 values of the codes: [`signed_map`] unless a file has another.
        map: Box<[f32; 256]>,
        absmax: Vec<f32>,
        /// Magnitudes of a block.
        block: usize,
        offset: f32,
    },
}

/// [`Scales`] to be overwritten.
#[derive(Debug)]
pub enum ScalesMut<'a> {
    Single(&'a mut [f32]),
    Double { codes: &'a mut [u8], map: &'a mut [f32; 256], absmax: &'a mut [f32], offset: &'a mut f32 },
}

impl Nf4 {
    /// Quantises; `double`: the magnitudes too.
    ///
    /// # Errors
    /// `NotFinite` where a value is infinite or none.
    pub fn quantise(values: Values<'_>, double: bool) -> Result<Nf4> {
        let len = values.len();
        let (mut codes, mut absmax) = (Vec::with_capacity(len.div_ceil(2)), Vec::with_capacity(len.div_ceil(BLOCK)));
        let midpoints = midpoints(&CODE);
        let mut block = [0.0; BLOCK];
        for start in (0..len).step_by(BLOCK) {
            let block = &mut block[..BLOCK.min(len - start)];
            values.read(start, block);
            if let Some(at) = block.iter().position(|v| !v.is_finite()) {
                return Err(KernelError::NotFinite { what: "a weight to be quantised", at: start + at });
            }
            let (largest, scale) = scale(block, BLOCK);
            absmax.push(largest);
            let code = |v: &f32| nearest(&midpoints, scale(*v));
            // an odd number of values ends with the code of 0
            codes.extend(block.chunks(2).map(|pair| code(&pair[0]) << 4 | pair.get(1).map_or(7, code)));
        }
        let scales = if double { Scales::double(&absmax) } else { Scales::Single(absmax) };
        Ok(Nf4 { len, codes, block: BLOCK, scales })
    }

    /// As a file has it: `block` values share a magnitude.
    ///
    /// # Errors
    /// `Length` where codes or magnitudes are not as many as `len` values have, `Block` where a block's length is no
    /// power of two or below 2, `NotFinite` where a magnitude is infinite or none.
    pub fn new(len: usize, codes: Vec<u8>, block: usize, scales: Scales) -> Result<Nf4> {
        check_block("NF4 blocks", block)?;
        check_length("NF4 codes (bytes)", len.div_ceil(2), codes.len())?;
        scales.check(len.div_ceil(block))?;
        Ok(Nf4 { len, codes, block, scales })
    }

    /// Codes and magnitudes of nothing yet, as many as `len` values have in blocks of `block`; `nested`: the magnitudes
    /// are in 8 bits, in blocks of so many.
    ///
    /// # Errors
    /// `Block`.
    pub fn zeroed(len: usize, block: usize, nested: Option<usize>) -> Result<Nf4> {
        check_block("NF4 blocks", block)?;
        let blocks = len.div_ceil(block);
        let scales = match nested {
            None => Scales::Single(vec![0.0; blocks]),
            Some(block) => {
                check_block("blocks of NF4 magnitudes", block)?;
                let (map, absmax) = (Box::new([0.0; 256]), vec![0.0; blocks.div_ceil(block)]);
                Scales::Double { codes: vec![0; blocks], map, absmax, block, offset: 0.0 }
            }
        };
        Nf4::new(len, vec![0; len.div_ceil(2)], block, scales)
    }

    /// Values.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    pub fn scales(&self) -> &Scales {
        &self.scales
    }

    /// Codes and magnitudes to be overwritten; their numbers stay, and [`Nf4::check`] looks at them afterwards.
    pub fn parts_mut(&mut self) -> (&mut [u8], ScalesMut<'_>) {
        let scales = match &mut self.scales {
            Scales::Single(absmax) => ScalesMut::Single(absmax),
            Scales::Double { codes, map, absmax, offset, .. } => ScalesMut::Double { codes, map, absmax, offset },
        };
        (&mut self.codes, scales)
    }

    /// # Errors
    /// `NotFinite` where a magnitude is infinite or none.
    pub fn check(&self) -> Result<()> {
        self.scales.check(self.len.div_ceil(self.block))
    }

    /// Bytes of `len` values that [`Nf4::quantise`] makes.
    pub fn bytes_of(len: usize, double: bool) -> usize {
        Nf4::bytes_in_blocks(len, BLOCK, double.then_some(NESTED_BLOCK))
    }

    /// Bytes of `len` values in blocks of `block`; `nested`: the magnitudes are in 8 bits, in blocks of so many.
    pub fn bytes_in_blocks(len: usize, block: usize, nested: Option<usize>) -> usize {
        let blocks = len.div_ceil(block);
        let scales = nested.map_or(4 * blocks, |nested| blocks + 4 * blocks.div_ceil(nested) + 4 * 256);
        len.div_ceil(2) + scales
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let nested = match &self.scales {
            Scales::Single(_) => None,
            Scales::Double { block, .. } => Some(*block),
        };
        Nf4::bytes_in_blocks(self.len, self.block, nested)
    }

    /// out = the values from `at` on.
    pub fn read(&self, at: usize, out: &mut [f32]) {
        self.each_block(at, out, |at, scale, out| {
            for (i, out) in (at..).zip(out) {
                *out = CODE[code(&self.codes, i)] * scale;
            }
        });
    }

    /// Calls `f` with where each block's part of `out` begins, the block's magnitude, and the part.
    #[inline(always)]
    pub(crate) fn each_block<T>(&self, mut at: usize, mut out: &mut [T], mut f: impl FnMut(usize, f32, &mut [T])) {
        // a power of two, which division by a variable would not know
        let (mask, shift) = (self.block - 1, self.block.trailing_zeros());
        while !out.is_empty() {
            let here = (self.block - (at & mask)).min(out.len());
            let (front, rest) = std::mem::take(&mut out).split_at_mut(here);
            f(at, self.scales.of(at >> shift), front);
            (at, out) = (at + here, rest);
        }
    }
}

/// Code `i`.
#[inline]
pub(crate) fn code(codes: &[u8], i: usize) -> usize {
    usize::from(codes[i / 2] >> (4 * (1 - i % 2)) & 15)
}

fn check_length(what: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(KernelError::Length { what, expected, got }) }
}

/// Blocks begin on a whole byte, and their number is found by a shift.
fn check_block(what: &'static str, got: usize) -> Result<()> {
    if got.is_power_of_two() && got > 1 { Ok(()) } else { Err(KernelError::Block { what, got }) }
}

fn check_finite(what: &'static str, values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => Err(KernelError::NotFinite { what, at }),
    }
}

impl Scales {
    /// Whether they are finite and those of so many blocks.
    fn check(&self, blocks: usize) -> Result<()> {
        match self {
            Scales::Single(absmax) => {
                check_length("NF4 magnitudes", blocks, absmax.len())?;
                check_finite("NF4 magnitudes", absmax)
            }
            Scales::Double { codes, map, absmax, block, offset } => {
                check_block("blocks of NF4 magnitudes", *block)?;
                check_length("NF4 magnitudes in 8 bits", blocks, codes.len())?;
                check_length("NF4 magnitudes of magnitudes", blocks.div_ceil(*block), absmax.len())?;
                check_finite("NF4 magnitudes of magnitudes", absmax)?;
                check_finite("the map of NF4 magnitudes", map.as_slice())?;
                check_finite("the mean of NF4 magnitudes", &[*offset])
            }
        }
    }

    fn double(absmax: &[f32]) -> Scales {
        let offset = (absmax.iter().map(|v| f64::from(*v)).sum::<f64>() / absmax.len().max(1) as f64) as f32;
        Scales::nested(absmax, offset)
    }

    fn nested(absmax: &[f32], offset: f32) -> Scales {
        let map = signed_map();
        let midpoints = midpoints(&map);
        let (mut codes, mut outer) = (Vec::with_capacity(absmax.len()), Vec::new());
        for block in absmax.chunks(NESTED_BLOCK) {
            let block: Vec<f32> = block.iter().map(|v| v - offset).collect();
            // the reference pads the last block, so that none is short
            let (largest, scale) = scale(&block, block.len());
            outer.push(largest);
            codes.extend(block.iter().map(|v| nearest(&midpoints, scale(*v))));
        }
        Scales::Double { codes, map: Box::new(map), absmax: outer, block: NESTED_BLOCK, offset }
    }

    #[inline]
    fn of(&self, block: usize) -> f32 {
        match self {
            Scales::Single(absmax) => absmax[block],
            Scales::Double { codes, map, absmax, block: nested, offset } => {
                map[usize::from(codes[block])] * absmax[block >> nested.trailing_zeros()] + offset
            }
        }
    }
}

/// The largest magnitude of a block, and what divides by it: the reference multiplies with the reciprocal, but divides
/// where a block is shorter than `whole`.
fn scale(block: &[f32], whole: usize) -> (f32, impl Fn(f32) -> f32 + use<>) {
    let largest = block.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let (by, short) = (largest.max(1e-38), block.len() < whole);
    (largest, move |v: f32| if short { v / by } else { v * (1.0 / by) }.clamp(-1.0, 1.0))
}

/// The code of the nearest value; the lower one's at a midpoint.
fn nearest(midpoints: &[f32], v: f32) -> u8 {
    midpoints.partition_point(|m| *m < v) as u8
}

fn midpoints<const N: usize>(code: &[f32; N]) -> Vec<f32> {
    code.windows(2).map(|w| (w[0] + w[1]) / 2.0).collect()
}
