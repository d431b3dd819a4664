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
    /// # Errors
    /// `LinearOnly` where the base's embedding or head has a low-rank adapter: what it changes is not measured.
    pub fn new(backend: &B, of: FisherOf, adapter: &AdapterState<B>, params: &Params<B>) -> Result<Self, ModelError> {
        let named = |name: &str, sums| Named { name: name.to_owned(), sums };
        let outer = |rows: usize, columns: usize| -> Result<Squares<B>, ModelError> {
            Ok(Squares::Outer { rows: backend.alloc(rows)?, columns: backend.alloc(columns)? })
        };
        let mut this = Sums { of, samples: 0, pairs: BTreeMap::new(), params: Vec::new(), block: backend.alloc(0)? };
        if of == FisherOf::Adapter {
            for id in params.ids() {
                let p = params.get(id);
                this.params.push((id, named(&p.info.name, Squares::Elements(backend.alloc(p.len)?))));
            }
            return Ok(this);
        }
        let mut largest = 0;
        for a in &adapter.adapted {
            if a.kind != Kind::Linear {
                return Err(ModelError::NotAnchored { module: a.module.clone() });
            }
            let (n_in, n_out) = a.sides(params);
            largest = largest.max(block_rows(n_in, n_out) * n_in);
            this.pairs.insert(a.place(), named(&a.tensor(), outer(n_out, n_in)?));
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

fn block_rows(n_in: usize, n_out: usize) -> usize {
    (BLOCK / n_in.max(1)).clamp(1, n_out.max(1))
}
