//! The base's tensors with an adapter folded in.

use super::Tied;
use super::build::PREFIX;
use super::dora::scaled_rows;
use super::params::{Param, Params};
use super::slot::product;
use super::state::{AdapterState, Whole};
use super::targets::Kind;
use crate::{ModelError, Quantize, Tensor, stored};
use half::{bf16, f16};
use kernels::{Backend, Gemm, Nf4, Op, Values, mat, mat_mut};
use weights::{Checkpoint, Dtype};

/// Name, shape, and type where the base has it in one, of a merged model's tensor.
pub type MergedShape = (String, Vec<usize>, Option<Dtype>);

impl<B: Backend> AdapterState<B> {
    /// Every tensor of the base under its Hugging Face name, with its shape and, where it is not in 4 bits, its type; and a
    /// head that merging makes.
    pub fn merged_shapes(&self, base: &Checkpoint) -> Result<Vec<MergedShape>, ModelError> {
        let part = |name: &&str| weights::four_bit_owner(name).is_some_and(|owner| base.contains(owner));
        let mut names: Vec<String> = base.names().filter(|name| !part(name)).map(ToOwned::to_owned).collect();
        if self.unties() && !base.contains("lm_head.weight") {
            names.push("lm_head.weight".to_owned());
        }
        let of = |name: String| {
            let source = source_of(base, &name);
            let (shape, dtype) = match base.four_bit(source)? {
                Some(found) => (found.shape, None),
                None => base.get(source).map(|view| (view.shape.to_vec(), Some(view.dtype)))?,
            };
            Ok((name, shape, dtype))
        };
        names.into_iter().map(of).collect()
    }

    /// One of [`AdapterState::merged_shapes`] with the adapter folded in, in f32. Of a quantised tensor the values are those
    /// that the adapter was trained on.
    pub fn merged_tensor(
        &self,
        backend: &B,
        params: &Params<B>,
        base: &Checkpoint,
        name: &str,
    ) -> Result<Tensor, ModelError> {
        let (shape, held) = self.held(backend, base, source_of(base, name))?;
        let values = match self.whole.iter().find(|w| self.replaces(w, name)) {
            Some(w) => params.get(w.id).values(backend)?,
            None => self.folded(backend, params, name, held)?,
        };
        Ok(Tensor { name: name.to_owned(), shape, values })
    }

    /// A tensor's shape, and its values as they are after it was quantised, if it was.
    fn held(&self, backend: &B, base: &Checkpoint, name: &str) -> Result<(Vec<usize>, Vec<f32>), ModelError> {
        if let Some(stored) = stored::read(base, name)? {
            let mut values = vec![0.0; stored.nf4.len()];
            stored.nf4.read(0, &mut values);
            return Ok((stored.shape, values));
        }
        let view = base.get(name)?;
        let mut values = view.to_f32()?;
        if let Some(first) = self.adapted.iter().find(|a| name.strip_suffix(".weight") == Some(a.module.as_str()))
            && let Some(principal) = &first.principal
        {
            principal.take_from(backend, &mut values, (view.shape[0], view.shape[1]), first.scale)?;
            match view.dtype {
                Dtype::BF16 => values.iter_mut().for_each(|v| *v = bf16::from_f32(*v).to_f32()),
                Dtype::F16 => values.iter_mut().for_each(|v| *v = f16::from_f32(*v).to_f32()),
                _ => {}
            }
        }
        if let Quantize::Nf4 { double } = self.quantize
            && self.quantised.contains(name)
        {
            Nf4::quantise(Values::F32(&values), double)?.read(0, &mut values);
        }
        Ok((view.shape.to_vec(), values))
    }

    /// Whether a base with a tied head needs one of its own after merging.
    pub fn unties(&self) -> bool {
        let touched = |module: &str| {
            let tensor = format!("{module}.weight");
            self.adapted.iter().any(|a| a.module == module) || self.whole.iter().any(|w| w.tensor == tensor)
        };
        let shared = self.whole.iter().any(|w| w.names.len() > 1);
        self.tied == Tied::Yes && !shared && (touched("lm_head") || touched("model.embed_tokens"))
    }

    fn replaces(&self, w: &Whole, name: &str) -> bool {
        w.tensor == name || w.names.iter().any(|n| n.strip_prefix(PREFIX) == Some(name))
    }

    /// W + s·B A, or W + s·Aᵀ Bᵀ for an embedding; with E, that of E∘A; with a magnitude, its rows scaled to that.
    fn folded(&self, backend: &B, params: &Params<B>, name: &str, mut w: Vec<f32>) -> Result<Vec<f32>, ModelError> {
        let Some(a) = self.adapted.iter().find(|a| name.strip_suffix(".weight") == Some(a.module.as_str())) else {
            return Ok(w);
        };
        let (pa, pb) = (params.get(a.a), params.get(a.b));
        let r = pa.info.shape[0];
        let inner = match a.e {
            None => None,
            Some(e) => Some(scaled_ranks(backend, pa, &params.get(e).values(backend)?)?),
        };
        let inner = inner.as_ref().unwrap_or(&pa.value);
        let (n_in, n_out) = (pa.info.shape[1], pb.info.shape[0]);
        let mut delta = backend.alloc(w.len())?;
        let alpha = a.scale as f32;
        if a.kind == Kind::Embedding {
            let g = Gemm { alpha, ..product(n_in, n_out, r, Op::N, Op::T) };
            backend.gemm(g, mat(&pa.value, 0, r), mat(&pb.value, 0, r), mat_mut(&mut delta, 0, n_out))?;
        } else {
            let g = Gemm { alpha, ..product(n_out, n_in, r, Op::N, Op::N) };
            backend.gemm(g, mat(&pb.value, 0, r), mat(inner, 0, n_in), mat_mut(&mut delta, 0, n_in))?;
        }
        let mut values = vec![0.0; w.len()];
        backend.download(&delta, 0, &mut values)?;
        for (w, d) in w.iter_mut().zip(&values) {
            *w += d;
        }
        if let Some(m) = a.magnitude {
            scaled_rows(&params.get(m).values(backend)?, &mut w);
        }
        Ok(w)
    }
}

/// The base's tensor that a merged one is made of.
fn source_of<'a>(base: &Checkpoint, name: &'a str) -> &'a str {
    if base.contains(name) { name } else { "model.embed_tokens.weight" }
}

/// E∘A
fn scaled_ranks<B: Backend>(backend: &B, a: &Param<B>, e: &[f32]) -> Result<B::Buf, ModelError> {
    let mut rows = a.values(backend)?;
    let cols = rows.len() / e.len().max(1);
    rows.chunks_exact_mut(cols.max(1)).zip(e).for_each(|(row, e)| row.iter_mut().for_each(|v| *v *= e));
    let mut scaled = backend.alloc(rows.len())?;
    backend.upload(&mut scaled, 0, &rows)?;
    Ok(scaled)
}
