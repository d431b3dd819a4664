//! The arena of trainable tensors. Slots hold ids, so that a tensor can be shared (a tied embedding) and
//! iterated in one fixed order.

use crate::{Held, ModelError, ParamInfo, State, Tensor};
use kernels::eight_bit::BLOCK;
use kernels::{AdamW, Backend, EightBit, Smoothing};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weights::Dtype;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId(usize);

/// How a parameter's elements lie in memory, against its shape in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    AsSaved,
    /// The 2-D tensor is kept transposed: an embedding's A is [r, V] in files and gathered by rows of [V, r] here.
    Transposed,
}

/// Tensors of fewer elements keep their moments in f32, as bitsandbytes has it: they are few, and among them are those of
/// vectors, which need the precision most.
const EIGHT_BIT_MIN: usize = 4096;

/// What AdamW's moments are held in between two steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Optimizer {
    /// f32
    #[default]
    #[serde(rename = "adamw")]
    AdamW,
    /// 8 bits, and a magnitude for every block, in tensors of 4096 elements or more; f32 in the others and in the matrix of
    /// a token embedding, whose rows have gradients of their own rarely (as transformers sets bitsandbytes up).
    #[serde(rename = "adamw_8bit")]
    AdamW8bit,
}

impl Optimizer {
    /// Whether the moments of a tensor of `len` elements are in 8 bits; `embeds`: it is a token embedding's matrix.
    pub(super) fn in_eight_bits(self, len: usize, embeds: bool) -> bool {
        self == Optimizer::AdamW8bit && len >= EIGHT_BIT_MIN && !embeds
    }

    /// Bytes of both moments of such a tensor.
    pub(super) fn moment_bytes(self, len: usize, embeds: bool) -> u64 {
        let one = if self.in_eight_bits(len, embeds) { len + 4 * len.div_ceil(BLOCK) } else { 4 * len };
        2 * one as u64
    }
}

/// AdamW's two moments of a tensor.
pub enum Moments<B: Backend> {
    F32 { m: B::Buf, v: B::Buf },
    EightBit { m: EightBit<B>, v: EightBit<B> },
}

impl<B: Backend> Moments<B> {
    fn new(backend: &B, len: usize, in_eight_bits: bool) -> Result<Self, ModelError> {
        let codes = || -> Result<EightBit<B>, ModelError> {
            Ok(EightBit { codes: backend.alloc_bytes(len)?, absmax: backend.alloc(len.div_ceil(BLOCK))? })
        };
        Ok(match in_eight_bits {
            true => Moments::EightBit { m: codes()?, v: codes()? },
            false => Moments::F32 { m: backend.alloc(len)?, v: backend.alloc(len)? },
        })
    }
}

/// One trainable tensor with its gradient and its AdamW moments, all of `len` elements.
pub struct Param<B: Backend> {
    pub info: ParamInfo,
    pub layout: Layout,
    pub len: usize,
    pub value: B::Buf,
    pub grad: B::Buf,
    pub moments: Moments<B>,
    /// Importance and its uncertainty, of those that are scored.
    pub scores: Option<[B::Buf; 2]>,
}

pub struct Params<B: Backend> {
    list: Vec<Param<B>>,
    /// Indices into `list`, by name: the order of every reduction and export.
    order: Vec<usize>,
    /// How often values have changed.
    changes: u64,
}

impl<B: Backend> Default for Params<B> {
    fn default() -> Self {
        Params { list: Vec::new(), order: Vec::new(), changes: 0 }
    }
}

impl<B: Backend> Params<B> {
    /// Adds a tensor; `values` are in the order of files. `in_eight_bits`: its moments are.
    pub(super) fn add(
        &mut self,
        backend: &B,
        info: ParamInfo,
        layout: Layout,
        values: &[f32],
        in_eight_bits: bool,
    ) -> Result<ParamId, ModelError> {
        let len = values.len();
        let mut value = backend.alloc(len)?;
        backend.upload(&mut value, 0, &to_memory(layout, &info.shape, values))?;
        let (grad, moments) = (backend.alloc(len)?, Moments::new(backend, len, in_eight_bits)?);
        let id = self.list.len();
        let at = self.order.partition_point(|&i| self.list[i].info.name < info.name);
        self.order.insert(at, id);
        self.list.push(Param { info, layout, len, value, grad, moments, scores: None });
        Ok(ParamId(id))
    }

    /// By name.
    pub(super) fn ids(&self) -> impl Iterator<Item = ParamId> {
        self.order.iter().map(|&i| ParamId(i))
    }

    /// Measures from now on how much the tensor's elements matter.
    pub(super) fn score(&mut self, backend: &B, id: ParamId) -> Result<(), ModelError> {
        let p = &mut self.list[id.0];
        p.scores = Some([backend.alloc(p.len)?, backend.alloc(p.len)?]);
        Ok(())
    }

    pub fn get(&self, id: ParamId) -> &Param<B> {
        &self.list[id.0]
    }

    pub fn get_mut(&mut self, id: ParamId) -> &mut Param<B> {
        &mut self.list[id.0]
    }

    /// How often values have changed: for those who keep what follows from them.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Two different parameters at once, for products that read one and write the other.
    pub(super) fn pair_mut(&mut self, a: ParamId, b: ParamId) -> (&mut Param<B>, &mut Param<B>) {
        assert_ne!(a, b, "a parameter cannot be borrowed twice");
        let (low, high) = (a.0.min(b.0), a.0.max(b.0));
        let (left, right) = self.list.split_at_mut(high);
        if a.0 < b.0 { (&mut left[low], &mut right[0]) } else { (&mut right[0], &mut left[low]) }
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = &Param<B>> {
        self.order.iter().map(|&i| &self.list[i])
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The L2 norm over all gradients, summed in f64 in order of name.
    pub fn grad_norm(&self, backend: &B) -> Result<f64, ModelError> {
        let mut sum = 0.0;
        for p in self.iter() {
            sum += backend.sum_squares(p.len, &p.grad)?;
        }
        Ok(sum.sqrt())
    }

    /// One AdamW update of every parameter, decay only where it applies; gradients become zero.
    /// `smoothing`: and the importance of those that are scored, from the new values and the gradients.
    pub fn update(&mut self, backend: &B, a: &AdamW, smoothing: Option<&Smoothing>) -> Result<(), ModelError> {
        self.changes += 1;
        for p in &mut self.list {
            let weight_decay = if p.info.decays { a.weight_decay } else { 0.0 };
            let own = AdamW { weight_decay, lr: a.lr * p.info.rate, ..*a };
            match &mut p.moments {
                Moments::F32 { m, v } => backend.adamw(p.len, &own, &mut p.value, &p.grad, m, v)?,
                Moments::EightBit { m, v } => backend.adamw_8bit(p.len, &own, &mut p.value, &p.grad, m, v)?,
            }
            if let (Some(s), Some([importance, uncertainty])) = (smoothing, &mut p.scores) {
                backend.smooth_importance(p.len, s, &p.value, &p.grad, importance, uncertainty)?;
            }
            backend.fill(&mut p.grad, 0, p.len, 0.0)?;
        }
        Ok(())
    }

    pub fn zero_grad(&mut self, backend: &B) -> Result<(), ModelError> {
        for p in &mut self.list {
            backend.fill(&mut p.grad, 0, p.len, 0.0)?;
        }
        Ok(())
    }

    /// One of each parameter's tensors, by name, in the order and shape of files.
    pub fn export(&self, backend: &B, state: State) -> Result<Vec<Tensor>, ModelError> {
        (0..self.order.len()).map(|i| self.tensor(backend, state, i)).collect()
    }

    /// Type and shape of a tensor of the `i`-th parameter by name; None where it has no such one.
    pub fn held_as(&self, state: State, i: usize) -> Option<(Dtype, Vec<usize>)> {
        let p = &self.list[self.order[i]];
        match p.codes(state) {
            Some(_) => Some((Dtype::U8, p.shape(state))),
            None => p.buf(state).ok().map(|_| (Dtype::F32, p.shape(state))),
        }
    }

    /// A tensor of the `i`-th parameter by name, to the last bit: f32 in the order of files; codes, and the magnitudes of
    /// their blocks, in that of memory.
    pub fn held(&self, backend: &B, state: State, i: usize) -> Result<Held, ModelError> {
        let p = &self.list[self.order[i]];
        let Some(codes) = p.codes(state) else { return Ok(Held::F32(p.read(backend, state)?)) };
        let mut out = vec![0; p.len];
        backend.download_bytes(codes, &mut out)?;
        Ok(Held::U8(out))
    }

    /// Sets what [`Params::held`] returned. Refuses another type, and more or fewer values.
    pub fn set_held(&mut self, backend: &B, state: State, i: usize, held: &Held) -> Result<(), ModelError> {
        let p = &mut self.list[self.order[i]];
        let (tensor, expected) = (p.info.name.clone(), p.shape(state));
        match (held, p.codes_mut(state)) {
            (Held::F32(values), None) => self.set(backend, state, i, values),
            (Held::U8(codes), Some(held)) if expected == [codes.len()] => Ok(backend.upload_bytes(held, codes)?),
            (Held::F32(_), Some(_)) | (Held::U8(_), None) => Err(ModelError::MissingTensor { tensor }),
            (Held::U8(codes), Some(_)) => Err(ModelError::Shape { tensor, expected, got: vec![codes.len()] }),
        }
    }

    /// One tensor of the `i`-th parameter by name.
    fn tensor(&self, backend: &B, state: State, i: usize) -> Result<Tensor, ModelError> {
        let p = &self.list[self.order[i]];
        Ok(Tensor { name: p.info.name.clone(), shape: p.shape(state), values: p.read(backend, state)? })
    }

    /// Sets one tensor of the `i`-th parameter by name. Refuses more or fewer values than it has.
    pub fn set(&mut self, backend: &B, state: State, i: usize, values: &[f32]) -> Result<(), ModelError> {
        self.changes += 1;
        let p = &mut self.list[self.order[i]];
        let shape = p.shape(state);
        if values.len() != shape.iter().product::<usize>() {
            let (tensor, got) = (p.info.name.clone(), vec![values.len()]);
            return Err(ModelError::Shape { tensor, expected: shape, got });
        }
        let values = to_memory(p.layout_of(state), &shape, values);
        Ok(backend.upload(p.buf_mut(state)?, 0, &values)?)
    }

    /// Sets a parameter's value.
    pub(super) fn set_value(&mut self, backend: &B, id: ParamId, values: &[f32]) -> Result<(), ModelError> {
        let i =
            self.order.iter().position(|o| *o == id.0).unwrap_or_else(|| unreachable!("every parameter has a place"));
        self.set(backend, State::Value, i, values)
    }

    /// Sets one of every parameter's tensors. Refuses a missing, an unknown or a differently shaped one.
    pub fn import(&mut self, backend: &B, state: State, tensors: &[Tensor]) -> Result<(), ModelError> {
        let named: BTreeMap<&str, &Tensor> = tensors.iter().map(|t| (t.name.as_str(), t)).collect();
        if let Some(unknown) = named.keys().find(|name| !self.iter().any(|p| p.info.name == **name)) {
            return Err(ModelError::UnknownTensor { tensor: (*unknown).to_owned() });
        }
        for i in 0..self.order.len() {
            let info = &self.list[self.order[i]].info;
            let t =
                named.get(info.name.as_str()).ok_or_else(|| ModelError::MissingTensor { tensor: info.name.clone() })?;
            if t.shape != info.shape {
                let (tensor, expected, got) = (t.name.clone(), info.shape.clone(), t.shape.clone());
                return Err(ModelError::Shape { tensor, expected, got });
            }
            self.set(backend, state, i, &t.values)?;
        }
        Ok(())
    }
}

impl<B: Backend> Param<B> {
    /// The values in the order of files.
    pub(super) fn values(&self, backend: &B) -> Result<Vec<f32>, ModelError> {
        self.read(backend, State::Value)
    }

    /// Values that lie as this tensor's do, in the order of files.
    pub(super) fn as_in_files(&self, values: Vec<f32>) -> Vec<f32> {
        match self.layout {
            Layout::AsSaved => values,
            Layout::Transposed => transpose(self.info.shape[1], self.info.shape[0], &values),
        }
    }

    /// Values in the order of files, as this tensor's lie in memory.
    pub(super) fn as_in_memory<'a>(&self, values: &'a [f32]) -> std::borrow::Cow<'a, [f32]> {
        to_memory(self.layout, &self.info.shape, values)
    }

    /// In files.
    fn shape(&self, state: State) -> Vec<usize> {
        match state {
            State::CodesM | State::CodesV => vec![self.len],
            State::MagnitudesM | State::MagnitudesV => vec![self.len.div_ceil(BLOCK)],
            _ => self.info.shape.clone(),
        }
    }

    fn layout_of(&self, state: State) -> Layout {
        match state {
            State::MagnitudesM | State::MagnitudesV => Layout::AsSaved,
            _ => self.layout,
        }
    }

    /// In the order of files.
    fn read(&self, backend: &B, state: State) -> Result<Vec<f32>, ModelError> {
        let shape = self.shape(state);
        let mut values = vec![0.0; shape.iter().product()];
        backend.download(self.buf(state)?, 0, &mut values)?;
        Ok(match self.layout_of(state) {
            Layout::AsSaved => values,
            Layout::Transposed => transpose(shape[1], shape[0], &values),
        })
    }

    fn codes(&self, state: State) -> Option<&B::Bytes> {
        match (state, &self.moments) {
            (State::CodesM, Moments::EightBit { m, .. }) => Some(&m.codes),
            (State::CodesV, Moments::EightBit { v, .. }) => Some(&v.codes),
            _ => None,
        }
    }

    fn codes_mut(&mut self, state: State) -> Option<&mut B::Bytes> {
        match (state, &mut self.moments) {
            (State::CodesM, Moments::EightBit { m, .. }) => Some(&mut m.codes),
            (State::CodesV, Moments::EightBit { v, .. }) => Some(&mut v.codes),
            _ => None,
        }
    }

    fn buf(&self, state: State) -> Result<&B::Buf, ModelError> {
        let scores = self.scores.as_ref();
        let found = match (state, &self.moments) {
            (State::Value, _) => Some(&self.value),
            (State::Grad, _) => Some(&self.grad),
            (State::MomentM, Moments::F32 { m, .. }) => Some(m),
            (State::MomentV, Moments::F32 { v, .. }) => Some(v),
            (State::MagnitudesM, Moments::EightBit { m, .. }) => Some(&m.absmax),
            (State::MagnitudesV, Moments::EightBit { v, .. }) => Some(&v.absmax),
            (State::Importance, _) => scores.map(|s| &s[0]),
            (State::Uncertainty, _) => scores.map(|s| &s[1]),
            _ => None,
        };
        found.ok_or_else(|| ModelError::MissingTensor { tensor: self.info.name.clone() })
    }

    fn buf_mut(&mut self, state: State) -> Result<&mut B::Buf, ModelError> {
        let scores = self.scores.as_mut();
        let found = match (state, &mut self.moments) {
            (State::Value, _) => Some(&mut self.value),
            (State::Grad, _) => Some(&mut self.grad),
            (State::MomentM, Moments::F32 { m, .. }) => Some(m),
            (State::MomentV, Moments::F32 { v, .. }) => Some(v),
            (State::MagnitudesM, Moments::EightBit { m, .. }) => Some(&mut m.absmax),
            (State::MagnitudesV, Moments::EightBit { v, .. }) => Some(&mut v.absmax),
            (State::Importance, _) => scores.map(|s| &mut s[0]),
            (State::Uncertainty, _) => scores.map(|s| &mut s[1]),
            _ => None,
        };
        found.ok_or_else(|| ModelError::MissingTensor { tensor: self.info.name.clone() })
    }
}

fn to_memory<'a>(layout: Layout, shape: &[usize], values: &'a [f32]) -> std::borrow::Cow<'a, [f32]> {
    match layout {
        Layout::AsSaved => values.into(),
        Layout::Transposed => transpose(shape[0], shape[1], values).into(),
    }
}

/// [rows, cols] → [cols, rows]
fn transpose(rows: usize, cols: usize, x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    for r in 0..rows {
        for c in 0..cols {
            out[c * rows + r] = x[r * cols + c];
        }
    }
    out
}
