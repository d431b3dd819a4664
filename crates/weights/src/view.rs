//! One tensor of a mapped file.

use crate::WeightsError;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::Dtype;
use std::borrow::Cow;
use std::path::Path;

/// A tensor as it lies in its file: row-major, little-endian.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub name: &'a str,
    pub dtype: Dtype,
    pub shape: &'a [usize],
    pub bytes: &'a [u8],
    pub(crate) path: &'a Path,
}

/// Floating-point values in the type they are stored in; borrowed from the file where its bytes are aligned.
#[derive(Clone, Debug, PartialEq)]
pub enum Floats<'a> {
    F32(Cow<'a, [f32]>),
    F16(Cow<'a, [f16]>),
    Bf16(Cow<'a, [bf16]>),
}

impl<'a> View<'a> {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The values as they are stored; f64 is rounded to f32. Other types: [`WeightsError::NotFloat`].
    pub fn floats(&self) -> Result<Floats<'a>, WeightsError> {
        Ok(match self.dtype {
            Dtype::F32 => Floats::F32(cast(self.bytes)),
            Dtype::F16 => Floats::F16(cast(self.bytes)),
            Dtype::BF16 => Floats::Bf16(cast(self.bytes)),
            Dtype::F64 => Floats::F32(cast::<f64>(self.bytes).iter().map(|&x| x as f32).collect::<Vec<_>>().into()),
            got => {
                return Err(WeightsError::NotFloat { path: self.path.to_owned(), tensor: self.name.to_owned(), got });
            }
        })
    }

    /// The values as f32: exact for f32, f16 and bf16, rounded to nearest for f64. Other types: [`WeightsError::NotFloat`].
    pub fn to_f32(&self) -> Result<Vec<f32>, WeightsError> {
        Ok(match self.floats()? {
            Floats::F32(x) => x.into_owned(),
            Floats::F16(x) => x.to_f32_vec(),
            Floats::Bf16(x) => x.to_f32_vec(),
        })
    }
}

/// Borrows when the bytes are aligned for `T`, copies when they are not: old writers did not pad their headers.
/// The byte length is a multiple of `T`'s, as the header's check made sure.
pub(crate) fn cast<T: bytemuck::Pod>(bytes: &[u8]) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(aligned) => Cow::Borrowed(aligned),
        Err(_) => Cow::Owned(bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()),
    }
}
