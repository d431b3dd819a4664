//! How a frozen matrix lies in its file, and how it is held in memory as it is: in a floating-point type, or in the NF4
//! that bitsandbytes saved.

use crate::ModelError;
use kernels::nf4::{BLOCK, CODE, NESTED_BLOCK, Scales, ScalesMut};
use kernels::{Backend, Form, KernelError, Nf4, Precision, Values, ValuesMut};
use weights::{Absmax, Checkpoint, Dtype, Floats, FloatsMut, FourBit, FourBitRegions, Region};

/// A matrix in NF4 and its shape.
pub(crate) struct Stored {
    pub shape: Vec<usize>,
    pub nf4: Nf4,
    /// The tensors beside it that it was read from.
    pub parts: Vec<String>,
}

/// The tensor `name`, if the checkpoint has it in NF4.
///
/// # Errors
/// Those of [`Checkpoint::four_bit`]; `Damaged` where what it says cannot be computed with.
pub(crate) fn read(checkpoint: &Checkpoint, name: &str) -> Result<Option<Stored>, ModelError> {
    let Some(found) = find(checkpoint, name)? else { return Ok(None) };
    let parts = found.parts(name).collect();
    let scales = match found.absmax {
        Absmax::Single(absmax) => Scales::Single(absmax.into_owned()),
        Absmax::Double { codes, map, absmax, block, offset } => {
            Scales::Double { codes: codes.to_vec(), map, absmax: absmax.into_owned(), block, offset }
        }
    };
    let len = found.shape.iter().product();
    let nf4 = Nf4::new(len, found.codes.to_vec(), found.block, scales).map_err(|e| damaged(name, e.to_string()))?;
    Ok(Some(Stored { shape: found.shape, nf4, parts }))
}

fn find<'a>(checkpoint: &'a Checkpoint, name: &str) -> Result<Option<FourBit<'a>>, ModelError> {
    let found = checkpoint.four_bit(name)?;
    match &found {
        Some(found) if found.map != CODE => Err(damaged(name, "its quant_map is not that of NF4".to_owned())),
        _ => Ok(found),
    }
}

fn damaged(tensor: &str, why: String) -> ModelError {
    ModelError::Damaged { tensor: tensor.to_owned(), why }
}

/// The tensor `name`, quantised.
///
/// # Errors
/// `NotQuantised` where a value is infinite or none.
pub(crate) fn quantise(name: &str, floats: &Floats, double: bool) -> Result<Nf4, ModelError> {
    let refused = |e: KernelError| ModelError::NotQuantised { tensor: name.to_owned(), why: e.to_string() };
    Nf4::quantise(values(floats), double).map_err(refused)
}

pub(crate) fn values<'a>(floats: &'a Floats) -> Values<'a> {
    match floats {
        Floats::F32(x) => Values::F32(x),
        Floats::F16(x) => Values::F16(x),
        Floats::Bf16(x) => Values::Bf16(x),
    }
}

/// A shape, and the type that values of it are held in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mold {
    rows: usize,
    cols: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F32,
    F16,
    Bf16,
    /// Values in a block, and magnitudes in a block of those where they are in 8 bits.
    Nf4 {
        block: usize,
        nested: Option<usize>,
    },
}

impl Mold {
    /// Of the tensor `name`, as it is held for products in `precision` where nothing quantises or packs it.
    ///
    /// # Errors
    /// Those of the file; `Shape`.
    pub fn read(
        checkpoint: &Checkpoint,
        name: &str,
        (rows, cols): (usize, usize),
        precision: Precision,
    ) -> Result<Mold, ModelError> {
        if let Some(found) = find(checkpoint, name)? {
            check_shape(name, &[rows, cols], &found.shape)?;
            let nested = match found.absmax {
                Absmax::Single(_) => None,
                Absmax::Double { block, .. } => Some(block),
            };
            return Ok(Mold { rows, cols, kind: Kind::Nf4 { block: found.block, nested } });
        }
        let view = checkpoint.get(name)?;
        check_shape(name, &[rows, cols], view.shape)?;
        let kind = match (view.dtype, precision) {
            (Dtype::BF16, _) | (_, Precision::Bf16) => Kind::Bf16,
            (Dtype::F16, Precision::F32) => Kind::F16,
            (_, Precision::F32) => Kind::F32,
        };
        Ok(Mold { rows, cols, kind })
    }

    /// The same shape as [`quantise`] makes it.
    pub fn quantised(self, double: bool) -> Mold {
        Mold { kind: Kind::Nf4 { block: BLOCK, nested: double.then_some(NESTED_BLOCK) }, ..self }
    }

    pub fn in_bf16(&self) -> bool {
        self.kind == Kind::Bf16
    }

    pub fn in_four_bits(&self) -> bool {
        matches!(self.kind, Kind::Nf4 { .. })
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        let len = self.rows * self.cols;
        let bytes = match self.kind {
            Kind::F32 => 4 * len,
            Kind::F16 | Kind::Bf16 => 2 * len,
            Kind::Nf4 { block, nested } => Nf4::bytes_in_blocks(len, block, nested),
        };
        bytes as u64
    }

    /// Memory for such a matrix, with nothing in it.
    pub fn weight<B: Backend>(&self, backend: &B) -> Result<B::Weight, ModelError> {
        let &Mold { rows, cols, kind } = self;
        let len = rows * cols;
        let new = |values: Values| Ok(backend.weight(rows, cols, values, Form::Plain)?);
        match kind {
            Kind::F32 => new(Values::F32(&vec![0.0; len])),
            Kind::F16 => new(Values::F16(bytemuck::cast_slice(&vec![0u16; len]))),
            Kind::Bf16 => new(Values::Bf16(bytemuck::cast_slice(&vec![0u16; len]))),
            Kind::Nf4 { block, nested } => new(Values::Nf4(&Nf4::zeroed(len, block, nested)?)),
        }
    }
}

/// Where a matrix's values are read from, again and again.
pub(crate) enum Source {
    Floats(Region),
    Nf4 { regions: FourBitRegions, nested: Option<Nested> },
}

/// What is small of doubly quantised magnitudes.
pub(crate) struct Nested {
    map: Box<[f32; 256]>,
    offset: f32,
}

impl Source {
    /// Of a tensor that has a [`Mold`]; and the tensors beside it that belong to it.
    pub fn read(checkpoint: &Checkpoint, name: &str) -> Result<(Source, Vec<String>), ModelError> {
        let Some(found) = find(checkpoint, name)? else {
            return Ok((Source::Floats(checkpoint.region(name)?), Vec::new()));
        };
        let parts = found.parts(name).collect();
        let nested = match found.absmax {
            Absmax::Single(_) => None,
            Absmax::Double { map, offset, .. } => Some(Nested { map, offset }),
        };
        Ok((Source::Nf4 { regions: checkpoint.four_bit_regions(name)?, nested }, parts))
    }

    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        let bytes = match self {
            Source::Floats(region) => region.bytes(),
            Source::Nf4 { regions: FourBitRegions { codes, absmax, nested_absmax }, .. } => {
                codes.bytes() + absmax.bytes() + nested_absmax.as_ref().map_or(0, Region::bytes)
            }
        };
        bytes as u64
    }

    /// Lets the system drop what it keeps of them, so that the next reading comes from the disk.
    pub fn forget(&self) {
        match self {
            Source::Floats(region) => region.forget(),
            Source::Nf4 { regions, .. } => {
                regions.codes.forget();
                regions.absmax.forget();
            }
        }
    }

    /// Reads the values into memory that the mold made. `chunk` is working memory.
    pub fn fill(&self, values: ValuesMut, chunk: &mut Vec<u8>) -> Result<(), ModelError> {
        match (self, values) {
            (Source::Floats(region), ValuesMut::F32(out)) => region.read_floats(FloatsMut::F32(out), chunk)?,
            (Source::Floats(region), ValuesMut::F16(out)) => region.read_floats(FloatsMut::F16(out), chunk)?,
            (Source::Floats(region), ValuesMut::Bf16(out)) => region.read_floats(FloatsMut::Bf16(out), chunk)?,
            (Source::Nf4 { regions, nested }, ValuesMut::Nf4(nf4)) => {
                let (codes, scales) = nf4.parts_mut();
                regions.codes.read(codes)?;
                match (scales, nested, &regions.nested_absmax) {
                    (ScalesMut::Single(out), ..) => regions.absmax.read(out)?,
                    (ScalesMut::Double { codes, map, absmax, offset }, Some(nested), Some(outer)) => {
                        regions.absmax.read(codes)?;
                        outer.read(absmax)?;
                        (*map, *offset) = (*nested.map, nested.offset);
                    }
                    _ => unreachable!("a mold with two quantisations is of a tensor that has them"),
                }
            }
            _ => unreachable!("the mold is of the tensor's own type"),
        }
        Ok(())
    }
}

pub(crate) fn check_shape(tensor: &str, expected: &[usize], got: &[usize]) -> Result<(), ModelError> {
    if expected == got {
        return Ok(());
    }
    let (expected, got) = (expected.to_vec(), got.to_vec());
    Err(ModelError::Shape { tensor: tensor.to_owned(), expected, got })
}
