//! Tensors that bitsandbytes saved in 4 bits: packed codes under the weight's own name, and beside them what they stand
//! for (`Params4bit` and `QuantState.as_dict(packed=True)` in its sources).

use crate::view::cast;
use crate::{Checkpoint, Declared, Dtype, Region, View, WeightsError};
use serde::Deserialize;
use serde_json::json;
use std::borrow::Cow;
use std::io::{self, Write};

/// What stands behind the weight's name in those of its other tensors.
const PARTS: [&str; 5] =
    [".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", ".quant_state.bitsandbytes__nf4"];
const OTHER_STATE: &str = ".quant_state.bitsandbytes__fp4";
/// A `quant_state` is one line of JSON.
const STATE_BYTES_MAX: usize = 1 << 16;
/// Lengths of blocks that bitsandbytes has.
const BLOCKS: [usize; 8] = [32, 64, 128, 256, 512, 1024, 2048, 4096];

/// A tensor in NF4 as it lies in its file, in the order of its values; numbers of everything agree.
#[derive(Clone, Debug, PartialEq)]
pub struct FourBit<'a> {
    pub shape: Vec<usize>,
    /// Two a byte, the earlier in the high half; whatever type they are stored as (`bnb_4bit_quant_storage`).
    pub codes: &'a [u8],
    /// What the sixteen codes stand for.
    pub map: [f32; 16],
    /// Values that share a magnitude.
    pub block: usize,
    pub absmax: Absmax<'a>,
}

/// The largest magnitude of each block.
#[derive(Clone, Debug, PartialEq)]
pub enum Absmax<'a> {
    Single(Cow<'a, [f32]>),
    /// map[code] · absmax[block of magnitudes] + offset
    Double {
        codes: &'a [u8],
        map: Box<[f32; 256]>,
        absmax: Cow<'a, [f32]>,
        block: usize,
        offset: f32,
    },
}

/// Where such a tensor lies, but for what is small.
#[derive(Clone, Debug)]
pub struct FourBitRegions {
    pub codes: Region,
    /// In f32, or in 8 bits where there are nested ones.
    pub absmax: Region,
    pub nested_absmax: Option<Region>,
}

/// The JSON beside a tensor, less what changes nothing here: the types that values had and are dequantised to.
#[derive(Deserialize)]
struct State {
    quant_type: String,
    blocksize: usize,
    shape: Vec<usize>,
    nested_blocksize: Option<usize>,
    nested_offset: Option<f64>,
}

/// The weight that the tensor `name` belongs to, if that is part of one in 4 bits.
pub fn four_bit_owner(name: &str) -> Option<&str> {
    PARTS.iter().find_map(|part| name.strip_suffix(part)).filter(|owner| owner.ends_with(".weight"))
}

impl Checkpoint {
    /// The tensor `name`, if the checkpoint has it in 4 bits.
    ///
    /// # Errors
    /// `Missing` and `FourBit` where what belongs to it is not there, not NF4 or not sound.
    pub fn four_bit(&self, name: &str) -> Result<Option<FourBit<'_>>, WeightsError> {
        let [absmax, map, nested, nested_map, state] = PARTS.map(|part| format!("{name}{part}"));
        if self.contains(&format!("{name}{OTHER_STATE}")) {
            return Err(wrong(self.get(name)?, "its type", "nf4", "fp4"));
        }
        if !self.contains(&state) {
            return Ok(None);
        }
        let state = self.state(&state)?;
        let weight = self.get(name)?;
        let len = state.shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side));
        let len =
            len.ok_or_else(|| wrong(weight, "the shape", "one that memory holds", &format!("{:?}", state.shape)))?;
        count(weight, weight.bytes.len(), len.div_ceil(2), "bytes")?;
        let block = block(weight, "blocksize", state.blocksize)?;
        let blocks = len.div_ceil(block);
        let absmax = self.get(&absmax)?;
        let absmax = match (state.nested_blocksize, state.nested_offset) {
            (None, None) => Absmax::Single(floats(absmax, blocks)?),
            (Some(nested_block), Some(offset)) => {
                let nested_block = self::block(weight, "nested_blocksize", nested_block)?;
                let codes = typed(absmax, Dtype::U8)?.bytes;
                count(absmax, codes.len(), blocks, "values")?;
                let map = array(floats(self.get(&nested_map)?, 256)?);
                let outer = floats(self.get(&nested)?, blocks.div_ceil(nested_block))?;
                Absmax::Double { codes, map: Box::new(map), absmax: outer, block: nested_block, offset: offset as f32 }
            }
            _ => return Err(wrong(weight, "quant_state", "nested_blocksize and nested_offset, or neither", "one")),
        };
        let map = array(floats(self.get(&map)?, 16)?);
        Ok(Some(FourBit { shape: state.shape, codes: weight.bytes, map, block, absmax }))
    }

    /// Where a tensor lies that [`Checkpoint::four_bit`] found.
    ///
    /// # Errors
    /// `Missing`.
    pub fn four_bit_regions(&self, name: &str) -> Result<FourBitRegions, WeightsError> {
        let [absmax, _, nested, ..] = PARTS.map(|part| format!("{name}{part}"));
        let nested_absmax = if self.contains(&nested) { Some(self.region(&nested)?) } else { None };
        Ok(FourBitRegions { codes: self.region(name)?, absmax: self.region(&absmax)?, nested_absmax })
    }

    fn state(&self, name: &str) -> Result<State, WeightsError> {
        let view = typed(self.get(name)?, Dtype::U8)?;
        if view.bytes.len() > STATE_BYTES_MAX {
            let got = format!("{} bytes", view.bytes.len());
            return Err(wrong(view, "its JSON", &format!("at most {STATE_BYTES_MAX} bytes"), &got));
        }
        let state: State = serde_json::from_slice(view.bytes)
            .map_err(|e| wrong(view, "its JSON", "the state of a tensor in 4 bits", &e.to_string()))?;
        match state.quant_type.as_str() {
            "nf4" => Ok(state),
            other => Err(wrong(view, "quant_type", "nf4", other)),
        }
    }
}

/// What a tensor becomes when it is written in NF4: known before its values are.
#[derive(Clone, Debug)]
pub struct NewFourBit {
    pub name: String,
    pub shape: Vec<usize>,
    /// That values had, and are dequantised to by others: F32, F16 or BF16.
    pub dtype: Dtype,
    pub block: usize,
    /// Magnitudes of a block, where they are in 8 bits.
    pub nested_block: Option<usize>,
}

/// Bytes for the JSON, whose number may be written with few digits or with many; spaces fill them.
const STATE_BYTES: usize = 320;

impl NewFourBit {
    /// The tensors beside one another in a file. Together they take a multiple of 8 bytes, so that what follows them is
    /// aligned, and those in f32 come first.
    pub fn tensors(&self) -> Vec<Declared> {
        let len: usize = self.shape.iter().product();
        let (blocks, codes) = (len.div_ceil(self.block), len.div_ceil(2));
        let declared = |part: &str, dtype, shape| Declared { name: format!("{}{part}", self.name), dtype, shape };
        let [absmax, map, nested, nested_map, state] = PARTS;
        let mut list = vec![declared(map, Dtype::F32, vec![16])];
        match self.nested_block {
            None => list.push(declared(absmax, Dtype::F32, vec![blocks])),
            Some(block) => {
                list.push(declared(nested_map, Dtype::F32, vec![256]));
                list.push(declared(nested, Dtype::F32, vec![blocks.div_ceil(block)]));
            }
        }
        list.push(declared("", Dtype::U8, vec![codes, 1]));
        if self.nested_block.is_some() {
            list.push(declared(absmax, Dtype::U8, vec![blocks]));
        }
        let before: usize = list.iter().map(Declared::bytes).sum();
        let filled = (before + STATE_BYTES).next_multiple_of(8) - before;
        list.push(declared(state, Dtype::U8, vec![filled]));
        list
    }

    /// Writes them, in that order. What `values` holds must be as many as the shape asks for.
    pub fn write(&self, values: &FourBit, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(bytemuck::cast_slice(&values.map))?;
        let (mut nested_block, mut nested_offset) = (None, None);
        match &values.absmax {
            Absmax::Single(absmax) => {
                out.write_all(bytemuck::cast_slice(absmax))?;
                out.write_all(values.codes)?;
            }
            Absmax::Double { codes, map, absmax, block, offset } => {
                (nested_block, nested_offset) = (Some(*block), Some(f64::from(*offset)));
                out.write_all(bytemuck::cast_slice(map.as_slice()))?;
                out.write_all(bytemuck::cast_slice(absmax))?;
                out.write_all(values.codes)?;
                out.write_all(codes)?;
            }
        }
        let dtype = match self.dtype {
            Dtype::F16 => "float16",
            Dtype::BF16 => "bfloat16",
            _ => "float32",
        };
        let mut state = json!({"quant_type": "nf4", "blocksize": values.block, "dtype": dtype, "shape": self.shape});
        if let (Some(block), Some(offset)) = (nested_block, nested_offset) {
            state["nested_blocksize"] = block.into();
            state["nested_dtype"] = "float32".into();
            state["nested_offset"] = offset.into();
        }
        let filled = self.tensors().last().map_or(0, Declared::bytes);
        let mut state = state.to_string().into_bytes();
        state.resize(filled, b' ');
        out.write_all(&state)
    }
}

impl FourBit<'_> {
    /// The other tensors that it was read from, of the weight `name`.
    pub fn parts(&self, name: &str) -> impl Iterator<Item = String> {
        let double = matches!(self.absmax, Absmax::Double { .. });
        let parts = PARTS.iter().filter(move |p| double || !p.starts_with(".nested"));
        parts.map(|part| format!("{name}{part}")).collect::<Vec<_>>().into_iter()
    }
}

fn floats(view: View<'_>, expected: usize) -> Result<Cow<'_, [f32]>, WeightsError> {
    count(typed(view, Dtype::F32)?, view.elements(), expected, "values")?;
    Ok(cast(view.bytes))
}

fn typed(view: View, expected: Dtype) -> Result<View, WeightsError> {
    if view.dtype == expected {
        return Ok(view);
    }
    Err(wrong(view, "its type", &expected.to_string(), &view.dtype.to_string()))
}

fn count(view: View, got: usize, expected: usize, what: &str) -> Result<(), WeightsError> {
    if got == expected {
        return Ok(());
    }
    Err(wrong(view, "its length", &format!("{expected} {what}"), &got.to_string()))
}

fn block(view: View, field: &'static str, got: usize) -> Result<usize, WeightsError> {
    if BLOCKS.contains(&got) {
        return Ok(got);
    }
    Err(wrong(view, field, &format!("one of {}", BLOCKS.map(|b| b.to_string()).join(", ")), &got.to_string()))
}

/// Of values that were counted.
fn array<const N: usize>(values: Cow<[f32]>) -> [f32; N] {
    std::array::from_fn(|i| values[i])
}

fn wrong(view: View, field: &'static str, expected: &str, got: &str) -> WeightsError {
    WeightsError::FourBit {
        path: view.path.to_owned(),
        tensor: view.name.to_owned(),
        field,
        expected: expected.to_owned(),
        got: got.to_owned(),
    }
}
