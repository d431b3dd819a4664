//! Tensors that are read from their file again and again, into memory that stays: a base that is larger than memory.
//!
//! Pages of a map count as a process's memory and come when the processor asks for them; a region is read when its
//! reader says so, and what the system keeps of the file it can take back.

use crate::{Dtype, WeightsError};
use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes converted at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// Values converted at a time.
const GROUP: usize = 64;

/// Where a tensor's bytes lie. The file stays open, so replacing it by renaming changes nothing.
#[derive(Clone, Debug)]
pub struct Region {
    pub(crate) file: Arc<File>,
    pub(crate) path: PathBuf,
    pub(crate) tensor: String,
    pub(crate) dtype: Dtype,
    pub(crate) at: u64,
    pub(crate) len: usize,
}

/// Floating-point memory to be filled.
#[derive(Debug)]
pub enum FloatsMut<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [f16]),
    Bf16(&'a mut [bf16]),
}

impl Region {
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Bytes in the file.
    pub fn bytes(&self) -> usize {
        self.len
    }

    /// Lets the system drop what it keeps of the bytes in memory: the next reading comes from the disk. Advice, given
    /// on Linux.
    pub fn forget(&self) {
        #[cfg(target_os = "linux")]
        if let Some(len) = std::num::NonZeroU64::new(self.len as u64) {
            let _advice = rustix::fs::fadvise(&*self.file, self.at, Some(len), rustix::fs::Advice::DontNeed);
        }
    }

    /// Fills `out` with the bytes as they are.
    ///
    /// # Errors
    /// `ReadLength` where the tensor is not as long as `out`, `Io` where the file no longer has it.
    pub fn read<T: Pod>(&self, out: &mut [T]) -> Result<(), WeightsError> {
        let out: &mut [u8] = bytemuck::cast_slice_mut(out);
        self.require(out.len())?;
        self.read_at(0, out)
    }

    /// Fills `out` with the values, rounded to nearest where its type is narrower than the file's. `chunk` is working
    /// memory that grows once.
    ///
    /// # Errors
    /// As [`Region::read`]; `NotFloat`.
    pub fn read_floats(&self, out: FloatsMut, chunk: &mut Vec<u8>) -> Result<(), WeightsError> {
        match (self.dtype, out) {
            (Dtype::F32, FloatsMut::F32(out)) => self.read(out),
            (Dtype::F16, FloatsMut::F16(out)) => self.read(out),
            (Dtype::BF16, FloatsMut::Bf16(out)) => self.read(out),
            (_, FloatsMut::F32(out)) => self.converted(out, chunk, |v| v),
            (_, FloatsMut::F16(out)) => self.converted(out, chunk, f16::from_f32),
            (_, FloatsMut::Bf16(out)) => self.converted(out, chunk, bf16::from_f32),
        }
    }

    fn converted<T>(&self, out: &mut [T], chunk: &mut Vec<u8>, to: impl Fn(f32) -> T) -> Result<(), WeightsError> {
        let width = match self.dtype {
            Dtype::F64 => 8,
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            got => return Err(WeightsError::NotFloat { path: self.path.clone(), tensor: self.tensor.clone(), got }),
        };
        self.require(out.len() * width)?;
        chunk.resize(CHUNK_BYTES, 0);
        for (i, out) in out.chunks_mut(CHUNK_BYTES / width).enumerate() {
            let bytes = &mut chunk[..out.len() * width];
            self.read_at(i * CHUNK_BYTES, bytes)?;
            let mut values = [0.0f32; GROUP];
            for (out, bytes) in out.chunks_mut(GROUP).zip(bytes.chunks(GROUP * width)) {
                widened(self.dtype, bytes, &mut values[..out.len()]);
                out.iter_mut().zip(&values).for_each(|(out, v)| *out = to(*v));
            }
        }
        Ok(())
    }

    fn require(&self, got: usize) -> Result<(), WeightsError> {
        if got == self.len {
            return Ok(());
        }
        let (path, tensor, expected) = (self.path.clone(), self.tensor.clone(), self.len);
        Err(WeightsError::ReadLength { path, tensor, expected, got })
    }

    pub(crate) fn read_at(&self, from: usize, out: &mut [u8]) -> Result<(), WeightsError> {
        read_exact_at(&self.file, self.at + from as u64, out).map_err(|e| WeightsError::io("read", &self.path, e))
    }
}

/// At most [`GROUP`] values of `dtype`, which is a floating-point type.
fn widened(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::F64 => aligned(bytes, |values: &[f64]| out.iter_mut().zip(values).for_each(|(o, v)| *o = *v as f32)),
        Dtype::F32 => aligned(bytes, |values| out.copy_from_slice(values)),
        Dtype::F16 => aligned(bytes, |values: &[f16]| values.convert_to_f32_slice(out)),
        _ => aligned(bytes, |values: &[bf16]| values.convert_to_f32_slice(out)),
    }
}

/// Calls `f` with a copy that is aligned as its type asks.
fn aligned<T: Pod>(bytes: &[u8], f: impl FnOnce(&[T])) {
    let mut values = [T::zeroed(); GROUP];
    let values = &mut values[..bytes.len() / size_of::<T>()];
    bytemuck::cast_slice_mut(values).copy_from_slice(bytes);
    f(values);
}

#[cfg(unix)]
fn read_exact_at(file: &File, at: u64, out: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut at: u64, mut out: &mut [u8]) -> io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => (at, out) = (at + n as u64, &mut out[n..]),
        }
    }
    Ok(())
}
