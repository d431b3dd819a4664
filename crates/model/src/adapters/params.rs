//! The arena of trainable tensors. Slots hold ids, so that a tensor can be shared (a tied embedding) and
//! iterated in one fixed order.

use crate::{ModelError, ParamInfo, State, Tensor};
use kernels::{AdamW, Backend, Smoothing};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId(usize);

/// How a parameter's elements lie in memory, against its shape in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    AsSaved,
    /// The 2-D tensor is kept transposed: an embedding's A is [r, V] in files and gathered by rows of [V, r] here.
    Transposed,
}

/// One trainable tensor with its gradient and its AdamW moments, all of `len` elements.
pub struct Param<B: Backend> {
    pub info: ParamInfo,
    pub layout: Layout,
    pub len: usize,
    pub value: B::Buf,
    pub grad: B::Buf,
    pub m: B::Buf,
    pub v: B::Buf,
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
    /// Adds a tensor; `values` are in the order of files.
    pub(super) fn add(
        &mut self,
        backend: &B,
        info: ParamInfo,
        layout: Layout,
        values: &[f32],
    ) -> Result<ParamId, ModelError> {
        let len = values.len();
        let mut value = backend.alloc(len)?;
        backend.upload(&mut value, 0, &to_memory(layout, &info.shape, values))?;
        let (grad, m, v) = (backend.alloc(len)?, backend.alloc(len)?, backend.alloc(len)?);
        let id = self.list.len();
        let at = self.order.partition_point(|&i| self.list[i].info.name < info.name);
        self.order.insert(at, id);
        self.list.push(Param { info, layout, len, value, grad, m, v, scores: None });
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

    /// Bytes of values, gradients and moments.
    pub fn bytes(&self) -> u64 {
        self.list.iter().map(|p| 4 * 4 * p.len as u64).sum()
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
            backend.adamw(p.len, &own, &mut p.value, &p.grad, &mut p.m, &mut p.v)?;
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

    /// Whether the `i`-th parameter by name has such a tensor.
    pub fn has(&self, state: State, i: usize) -> bool {
        self.list[self.order[i]].buf(state).is_ok()
    }

    /// One tensor of the `i`-th parameter by name.
    pub fn tensor(&self, backend: &B, state: State, i: usize) -> Result<Tensor, ModelError> {
        let p = &self.list[self.order[i]];
        let values = read(backend, p, p.buf(state)?)?;
        Ok(Tensor { name: p.info.name.clone(), shape: p.info.shape.clone(), values })
    }

    /// Sets one tensor of the `i`-th parameter by name. Refuses more or fewer values than it has.
    pub fn set(&mut self, backend: &B, state: State, i: usize, values: &[f32]) -> Result<(), ModelError> {
        self.changes += 1;
        let p = &mut self.list[self.order[i]];
        if values.len() != p.len {
            let (tensor, expected, got) = (p.info.name.clone(), p.info.shape.clone(), vec![values.len()]);
            return Err(ModelError::Shape { tensor, expected, got });
        }
        let values = to_memory(p.layout, &p.info.shape, values);
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
        read(backend, self, &self.value)
    }

    fn buf(&self, state: State) -> Result<&B::Buf, ModelError> {
        let scores = self.scores.as_ref();
        let found = match state {
            State::Value => Some(&self.value),
            State::Grad => Some(&self.grad),
            State::MomentM => Some(&self.m),
            State::MomentV => Some(&self.v),
            State::Importance => scores.map(|s| &s[0]),
            State::Uncertainty => scores.map(|s| &s[1]),
        };
        found.ok_or_else(|| ModelError::MissingTensor { tensor: self.info.name.clone() })
    }

    fn buf_mut(&mut self, state: State) -> Result<&mut B::Buf, ModelError> {
        let scores = self.scores.as_mut();
        let found = match state {
            State::Value => Some(&mut self.value),
            State::Grad => Some(&mut self.grad),
            State::MomentM => Some(&mut self.m),
            State::MomentV => Some(&mut self.v),
            State::Importance => scores.map(|s| &mut s[0]),
            State::Uncertainty => scores.map(|s| &mut s[1]),
        };
        found.ok_or_else(|| ModelError::MissingTensor { tensor: self.info.name.clone() })
    }
}

fn read<B: Backend>(backend: &B, p: &Param<B>, buf: &B::Buf) -> Result<Vec<f32>, ModelError> {
    let mut values = vec![0.0; p.len];
    backend.download(buf, 0, &mut values)?;
    Ok(match p.layout {
        Layout::AsSaved => values,
        Layout::Transposed => transpose(p.info.shape[1], p.info.shape[0], &values),
    })
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
