//! The Fisher as it is measured: a pass forward and back for each example, and the squares of its gradients added up.

use super::super::params::{Param, ParamId, Params};
use super::super::slot::product;
use super::super::state::AdapterState;
use super::super::targets::Kind;
use super::{Fisher, FisherOf, FisherPart, Importance};
use crate::ModelError;
use kernels::{Backend, Mat, Op, mat, mat_mut};
use std::collections::BTreeMap;

/// Floats of one block of a matrix's gradient, which never exists whole.
const BLOCK: usize = 1 << 22;

/// Sums of squares over the examples so far.
pub struct Sums<B: Backend> {
    of: FisherOf,
    samples: u64,
    /// Of adapted matrices, by the place of their slot.
    pairs: BTreeMap<u64, Named<B>>,
    /// Of tensors that are trained themselves.
    params: Vec<(ParamId, Named<B>)>,
    block: B::Buf,
    /// Where the token embedding has an adapter.
    lookup: Option<Lookup<B>>,
}

/// The gradient of the embedding's rows that an example reads; all others are zero.
struct Lookup<B: Backend> {
    /// Of each token, which of them is its.
    at: B::Idx,
    /// The tokens that they are of, and how many there are.
    tokens: B::Idx,
    count: usize,
    /// [count, hidden]
    grads: B::Buf,
    /// Σ of each row's squares.
    squares: B::Buf,
}

struct Named<B: Backend> {
    /// As [`FisherPart`] has it.
    name: String,
    sums: Squares<B>,
}

enum Squares<B: Backend> {
    Elements(B::Buf),
    Outer { rows: B::Buf, columns: B::Buf },
}

impl<B: Backend> Sums<B> {
    pub fn new(backend: &B, of: FisherOf, adapter: &AdapterState<B>, params: &Params<B>) -> Result<Self, ModelError> {
        let named = |name: &str, sums| Named { name: name.to_owned(), sums };
        let outer = |rows: usize, columns: usize| -> Result<Squares<B>, ModelError> {
            Ok(Squares::Outer { rows: backend.alloc(rows)?, columns: backend.alloc(columns)? })
        };
        let mut this =
            Sums { of, samples: 0, pairs: BTreeMap::new(), params: Vec::new(), block: backend.alloc(0)?, lookup: None };
        if of == FisherOf::Adapter {
            for id in params.ids() {
                let p = params.get(id);
                this.params.push((id, named(&p.info.name, Squares::Elements(backend.alloc(p.len)?))));
            }
            return Ok(this);
        }
        let mut largest = 0;
        for a in &adapter.adapted {
            let (rows, columns) = a.of_base(params);
            match a.kind {
                Kind::Embedding => this.lookup = Some(Lookup::new(backend)?),
                Kind::Linear | Kind::Head => largest = largest.max(block_rows(columns, rows) * columns),
            }
            this.pairs.insert(a.place(), named(&a.tensor(), outer(rows, columns)?));
        }
        this.block = backend.alloc(largest)?;
        for whole in &adapter.whole {
            let p = params.get(whole.id);
            let squares = match p.info.shape[..] {
                [rows, columns] => outer(rows, columns)?,
                _ => Squares::Elements(backend.alloc(p.len)?),
            };
            this.params.push((whole.id, named(&whole.tensor, squares)));
        }
        Ok(this)
    }

    /// Begins an example of these tokens.
    pub fn begin_sample(&mut self, backend: &B, ids: &[u32]) -> Result<(), ModelError> {
        match &mut self.lookup {
            Some(lookup) => lookup.begin(backend, ids),
            None => Ok(()),
        }
    }

    /// Adds Σ (dyᵀ x)² of an adapted matrix, by rows and by columns: x [t, in], dy [t, out].
    pub fn add_pair(
        &mut self,
        backend: &B,
        place: u64,
        (t, n_in, n_out): (usize, usize, usize),
        x: Mat<B::Buf>,
        dy: Mat<B::Buf>,
    ) -> Result<(), ModelError> {
        let Some(Named { sums: Squares::Outer { rows, columns }, .. }) = self.pairs.get_mut(&place) else {
            return Ok(());
        };
        let at_once = block_rows(n_in, n_out);
        for first in (0..n_out).step_by(at_once) {
            let n = at_once.min(n_out - first);
            let dy = Mat { off: dy.off + first, ..dy };
            backend.gemm(product(n, n_in, t, Op::T, Op::N), dy, x, mat_mut(&mut self.block, 0, n_in))?;
            let g = mat(&self.block, 0, n_in);
            backend.row_dots(n, n_in, g, g, 1.0, first, rows)?;
            backend.column_dots(n, n_in, g, g, 1.0, None, columns)?;
        }
        Ok(())
    }

    /// The same of an adapted embedding [vocab, hidden], from the gradient of what the tokens read [t, hidden]: a row's is
    /// the sum over all tokens that read it, times `scale`.
    pub fn add_lookup(
        &mut self,
        backend: &B,
        place: u64,
        (t, hidden): (usize, usize),
        dout: Mat<B::Buf>,
        scale: f32,
    ) -> Result<(), ModelError> {
        let (
            Some(Named { sums: Squares::Outer { rows, columns }, .. }),
            Some(Lookup { at, tokens, count, grads, squares }),
        ) = (self.pairs.get_mut(&place), &mut self.lookup)
        else {
            return Ok(());
        };
        if backend.len(grads) < *count * hidden {
            *grads = backend.alloc(*count * hidden)?;
        }
        backend.fill(grads, 0, *count * hidden, 0.0)?;
        backend.fill(squares, 0, *count, 0.0)?;
        backend.scatter_add_rows(t, hidden, at, 0, dout, scale, mat_mut(grads, 0, hidden))?;
        let g = mat(&*grads, 0, hidden);
        backend.row_dots(*count, hidden, g, g, 1.0, 0, squares)?;
        backend.scatter_add_rows(*count, 1, tokens, 0, mat(&*squares, 0, 1), 1.0, mat_mut(rows, 0, 1))?;
        Ok(backend.column_dots(*count, hidden, g, g, 1.0, None, columns)?)
    }

    /// Ends an example: adds the squares of the gradients that have been accumulated.
    pub fn end_sample(&mut self, backend: &B, params: &Params<B>) -> Result<(), ModelError> {
        self.samples += 1;
        for (id, Named { sums, .. }) in &mut self.params {
            let Param { grad, len, info, .. } = params.get(*id);
            match sums {
                Squares::Elements(sums) => {
                    let g = mat(grad, 0, *len);
                    backend.column_dots(1, *len, g, g, 1.0, None, sums)?;
                }
                Squares::Outer { rows, columns } => {
                    let (n, cols) = (info.shape[0], info.shape[1]);
                    let g = mat(grad, 0, cols);
                    backend.row_dots(n, cols, g, g, 1.0, 0, rows)?;
                    backend.column_dots(n, cols, g, g, 1.0, None, columns)?;
                }
            }
        }
        Ok(())
    }

    /// The means.
    pub fn fisher(&self, backend: &B, params: &Params<B>) -> Result<Fisher, ModelError> {
        let over = 1.0 / self.samples.max(1) as f64;
        let mean = |sums: &B::Buf| -> Result<Vec<f32>, ModelError> {
            let mut values = vec![0.0; backend.len(sums)];
            backend.download(sums, 0, &mut values)?;
            values.iter_mut().for_each(|v| *v = (f64::from(*v) * over) as f32);
            Ok(values)
        };
        let mut parts = Vec::new();
        for (id, Named { name, sums }) in &self.params {
            let p = params.get(*id);
            let importance = match sums {
                Squares::Elements(sums) => {
                    Importance::Elements { shape: p.info.shape.clone(), values: p.as_in_files(mean(sums)?) }
                }
                Squares::Outer { rows, columns } => Importance::Outer { rows: mean(rows)?, columns: mean(columns)? },
            };
            let anchor = if self.of == FisherOf::Adapter { Some(p.values(backend)?) } else { None };
            parts.push(FisherPart { name: name.clone(), importance, anchor });
        }
        for Named { name, sums } in self.pairs.values() {
            if let Squares::Outer { rows, columns } = sums {
                let importance = Importance::Outer { rows: mean(rows)?, columns: mean(columns)? };
                parts.push(FisherPart { name: name.clone(), importance, anchor: None });
            }
        }
        parts.sort_by(|x, y| x.name.cmp(&y.name));
        Ok(Fisher { of: self.of, samples: self.samples, parts })
    }

    /// Whether what slots have between them is asked for.
    pub fn of_base(&self) -> bool {
        self.of == FisherOf::Base
    }
}

impl<B: Backend> Lookup<B> {
    fn new(backend: &B) -> Result<Self, ModelError> {
        let (grads, squares) = (backend.alloc(0)?, backend.alloc(0)?);
        Ok(Lookup { at: backend.alloc_idx(0)?, tokens: backend.alloc_idx(0)?, count: 0, grads, squares })
    }

    fn begin(&mut self, backend: &B, ids: &[u32]) -> Result<(), ModelError> {
        let mut tokens = ids.to_vec();
        tokens.sort_unstable();
        tokens.dedup();
        let at = |id| tokens.binary_search(id).unwrap_or_else(|_| unreachable!("one of the tokens")) as i32;
        let index = |values: &[i32]| -> Result<B::Idx, ModelError> {
            let mut index = backend.alloc_idx(values.len())?;
            backend.upload_idx(&mut index, values)?;
            Ok(index)
        };
        self.at = index(&ids.iter().map(at).collect::<Vec<_>>())?;
        self.tokens = index(&tokens.iter().map(|id| *id as i32).collect::<Vec<_>>())?;
        self.count = tokens.len();
        self.squares = backend.alloc(self.count)?;
        Ok(())
    }
}

fn block_rows(n_in: usize, n_out: usize) -> usize {
    (BLOCK / n_in.max(1)).clamp(1, n_out.max(1))
}
