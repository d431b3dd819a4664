//! Frozen matrices. With products in f32 they are kept as their file has them: 16-bit values are exact in 16 bits and
//! are widened where a product packs them, which costs less than reading twice the memory; bf16 stay so where tiles
//! multiply them. With products in bf16 they are rounded to it. What is in NF4 stays so, and is unpacked where a product
//! packs it. Where there is memory for it they are held packed ([`Form::Packed`]).

use super::Cpu;
use super::buf::{Buf, Rows};
use super::gemm::held::Held;
use super::gemm::{Kernels, Source};
use super::unpack::Unpack;
use crate::{Form, KernelError, Nf4, Precision, Result, Values, ValuesMut};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// A frozen matrix [rows, cols], row-major.
#[derive(Debug)]
pub struct Weight {
    rows: usize,
    cols: usize,
    store: Store,
}

#[derive(Debug)]
enum Store {
    F32(Buf),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    Nf4(Unpack),
    Packed(Held),
}

impl Weight {
    pub(super) fn new(cpu: &Cpu, rows: usize, cols: usize, values: Values<'_>, form: Form) -> Result<Weight> {
        let expected = rows.saturating_mul(cols);
        let got = values.len();
        let what = "weight";
        if got != expected {
            return Err(KernelError::Length { what, expected, got });
        }
        let nf4 = |v: &Nf4| Unpack::new(cpu, v.clone());
        if form == Form::Packed {
            let nf4 = if let Values::Nf4(v) = values { Some(nf4(v)) } else { None };
            let read = |r: usize, out: &mut [f32]| match &nf4 {
                Some(nf4) => nf4.read(r * cols, out),
                None => read_row(values, cpu.precision, r, out),
            };
            let kern = Kernels::holding(cpu.level, cpu.precision, matches!(values, Values::Bf16(_)));
            return Ok(Weight { rows, cols, store: Store::Packed(Held::new(cpu, kern, (rows, cols), read)?) });
        }
        let store = match (values, cpu.precision) {
            (Values::F32(v), Precision::Bf16) => Store::Bf16(rounded(v, bf16::from_f32)?),
            (Values::F16(v), Precision::Bf16) => Store::Bf16(rounded(v, |v| bf16::from_f32(v.to_f32()))?),
            (Values::F32(v), Precision::F32) => {
                let mut buf = Buf::new(what, v.len())?;
                buf.values_mut().copy_from_slice(v);
                Store::F32(buf)
            }
            (Values::F16(v), Precision::F32) => Store::F16(rounded(v, |v| v)?),
            (Values::Bf16(v), _) => Store::Bf16(rounded(v, |v| v)?),
            (Values::Nf4(v), _) => Store::Nf4(nf4(v)),
        };
        Ok(Weight { rows, cols, store })
    }

    pub(super) fn refill<E: From<KernelError>>(
        &mut self,
        fill: impl FnOnce(ValuesMut<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        match &mut self.store {
            Store::F32(buf) => fill(ValuesMut::F32(buf.values_mut())),
            Store::F16(values) => fill(ValuesMut::F16(values)),
            Store::Bf16(values) => fill(ValuesMut::Bf16(values)),
            Store::Nf4(held) => {
                fill(ValuesMut::Nf4(held.nf4_mut()))?;
                Ok(held.nf4_mut().check()?)
            }
            Store::Packed(_) => Err(KernelError::HeldPacked.into()),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    pub(super) fn bytes(&self) -> usize {
        let width = match &self.store {
            Store::F32(_) => 4,
            Store::F16(_) | Store::Bf16(_) => 2,
            Store::Nf4(nf4) => return nf4.bytes(),
            Store::Packed(held) => return held.bytes(),
        };
        self.rows * self.cols * width
    }

    /// out = the values of row `r` from column `c` on.
    #[inline]
    pub(super) fn read(&self, r: usize, c: usize, out: &mut [f32]) {
        let all = r * self.cols + c..r * self.cols + c + out.len();
        match &self.store {
            Store::F32(v) => out.copy_from_slice(&v.values()[all]),
            Store::F16(v) => v[all].convert_to_f32_slice(out),
            Store::Bf16(v) => Values::Bf16(v).read(all.start, out),
            Store::Nf4(nf4) => nf4.read(all.start, out),
            Store::Packed(held) => held.read(r, c, out),
        }
    }

    /// How products read it; where it is held packed, they read it by [`Weight::held`] if they can.
    pub(super) fn source(&self) -> Source<'_> {
        match &self.store {
            Store::F32(buf) => Source::F32(Rows::dense(buf.values(), self.cols)),
            Store::Bf16(values) => Source::Bf16(values, self.cols),
            Store::Nf4(nf4) if nf4.in_bf16() => Source::Codes(nf4, self.cols),
            Store::F16(_) | Store::Nf4(_) | Store::Packed(_) => Source::Narrow(self),
        }
    }

    /// Whether every value is one of bf16.
    pub(super) fn is_bf16(&self) -> bool {
        match &self.store {
            Store::Bf16(_) => true,
            Store::Packed(held) => held.is_bf16(),
            Store::F32(_) | Store::F16(_) | Store::Nf4(_) => false,
        }
    }

    /// Its panels, where it is held packed.
    pub(super) fn held(&self) -> Option<&Held> {
        match &self.store {
            Store::Packed(held) => Some(held),
            _ => None,
        }
    }

    pub(super) fn values(&self) -> Result<Vec<f32>> {
        let mut out = Vec::new();
        out.try_reserve_exact(self.rows * self.cols).map_err(|_| KernelError::OutOfMemory {
            what: "weight",
            bytes: self.rows * self.cols * size_of::<f32>(),
        })?;
        out.resize(self.rows * self.cols, 0.0);
        for (r, out) in out.chunks_exact_mut(self.cols.max(1)).enumerate() {
            self.read(r, 0, out);
        }
        Ok(out)
    }
}

/// Row `r` of the values, rounded to bf16 where products are in it.
fn read_row(values: Values, precision: Precision, r: usize, out: &mut [f32]) {
    values.read(r * out.len(), out);
    if precision == Precision::Bf16 && !matches!(values, Values::Bf16(_)) {
        out.iter_mut().for_each(|v| *v = bf16::from_f32(*v).to_f32());
    }
}

/// A copy in another type.
fn rounded<T: Copy, U>(v: &[T], to: impl Fn(T) -> U) -> Result<Vec<U>> {
    let mut out = Vec::new();
    out.try_reserve_exact(v.len())
        .map_err(|_| KernelError::OutOfMemory { what: "weight", bytes: size_of::<U>() * v.len() })?;
    out.extend(v.iter().map(|v| to(*v)));
    Ok(out)
}
