//! The low-rank pairs of an adapter folder, whatever its method wrote, one in memory at a time.

use super::adalora::RANK_EPS;
use super::build::PREFIX;
use super::load::plan_from;
use super::spectrum::{self, Svd};
use super::targets::Rules;
use crate::ModelError;
use serde_json::Value;
use std::path::Path;
use weights::Checkpoint;
use weights::peft::{ADALORA, AdapterConfig};

/// One module's pair: ΔW = s·B A, [rows, cols].
pub(super) struct Pair {
    pub module: String,
    /// Of A and B, where they differ: `lora_A.weight`, `lora_A`, `lora_embedding_A`.
    pub names: [String; 2],
    pub rank: usize,
    pub scale: f64,
    pub rows: usize,
    pub cols: usize,
    /// AdaLoRA's E.
    values: Option<String>,
}

/// A pair's factors.
pub(super) struct Factors {
    pub rank: usize,
    /// s·B [rows, rank]
    pub left: Vec<f64>,
    /// A, with AdaLoRA's E, [rank, cols]
    pub right: Vec<f64>,
}

impl Factors {
    pub fn svd(&self) -> Svd {
        spectrum::of_product(&self.left, &self.right, self.rank)
    }

    /// ‖L R‖, of Frobenius: its square is Σᵢⱼ (LᵀL)ᵢⱼ (R Rᵀ)ᵢⱼ.
    pub fn norm(&self) -> f64 {
        let r = self.rank.max(1);
        let mut gram = vec![0.0; r * r];
        for row in self.left.chunks_exact(r) {
            for (x, line) in row.iter().zip(gram.chunks_exact_mut(r)) {
                line.iter_mut().zip(row).for_each(|(g, y)| *g += x * y);
            }
        }
        let cols = (self.right.len() / r).max(1);
        let rows: Vec<&[f64]> = self.right.chunks_exact(cols).collect();
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let each = gram.iter().enumerate().map(|(at, g)| match (rows.get(at / r), rows.get(at % r)) {
            (Some(x), Some(y)) => g * dot(x, y),
            _ => 0.0,
        });
        each.sum::<f64>().max(0.0).sqrt()
    }
}

impl Pair {
    pub fn read(&self, tensors: &Checkpoint) -> Result<Factors, ModelError> {
        let wide = |name: &str| -> Result<Vec<f64>, ModelError> {
            Ok(tensors.get(name)?.to_f32()?.iter().map(|v| f64::from(*v)).collect())
        };
        let (mut right, mut left) = (wide(&self.names[0])?, wide(&self.names[1])?);
        left.iter_mut().for_each(|v| *v *= self.scale);
        if let Some(name) = &self.values {
            let e = wide(name)?;
            let rows = right.chunks_exact_mut(self.cols.max(1)).zip(e);
            rows.for_each(|(row, e)| row.iter_mut().for_each(|v| *v *= e));
        }
        self.names.iter().for_each(|name| tensors.release(name));
        Ok(Factors { rank: self.rank, left, right })
    }

    /// The names under which a plain LoRA has these tensors.
    pub fn plain_names(&self) -> [String; 2] {
        self.names.clone().map(|name| match name.ends_with("lora_A") || name.ends_with("lora_B") {
            true => format!("{name}.weight"),
            false => name,
        })
    }

    /// Whether it is of an embedding, whose A is looked up: ΔW is then that of the matrix's transpose.
    pub fn looks_up(&self) -> bool {
        self.names[0].ends_with("lora_embedding_A")
    }

    pub fn holds(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name) || self.values.as_deref() == Some(name)
    }
}

/// The pairs of the adapter in `dir`, in the order of names.
///
/// # Errors
/// `UnsupportedAdapter` for a method that is none of LoRA's, and where there is no pair; `Shape` and a missing tensor where
/// a pair is not one.
pub(super) fn pairs(dir: &Path, config: &AdapterConfig, tensors: &Checkpoint) -> Result<Vec<Pair>, ModelError> {
    let ada = config.peft_type == ADALORA;
    let unsupported = |what: &str| ModelError::UnsupportedAdapter { adapter: dir.to_owned(), what: what.to_owned() };
    let plan = if ada { None } else { Some(plan_from(dir, 0)?) };
    let rules = plan.as_ref().map(Rules::new).transpose()?;
    let mut out = Vec::new();
    for name in tensors.names() {
        let ends = [".lora_A.weight", ".lora_A", ".lora_embedding_A"];
        let Some((path, end)) = ends.iter().find_map(|end| Some((name.strip_suffix(end)?, *end))) else { continue };
        let module = path.strip_prefix(PREFIX).unwrap_or(path).to_owned();
        let other = format!("{path}{}", end.replace("_A", "_B"));
        let (a, b) = (tensors.get(name)?.shape, tensors.get(&other)?.shape);
        let ([rank, cols], [rows, columns]) = (a, b) else {
            let (tensor, got) = (name.to_owned(), a.to_vec());
            return Err(ModelError::Shape { tensor, expected: vec![config.r, 0], got });
        };
        let refuse = |tensor: &str, expected: Vec<usize>, got: &[usize]| {
            Err(ModelError::Shape { tensor: tensor.to_owned(), expected, got: got.to_vec() })
        };
        if rank != columns {
            return refuse(&other, vec![*rows, *rank], b);
        }
        let values = ada.then(|| format!("{path}.lora_E"));
        if let Some(values) = &values {
            let e = tensors.get(values)?.shape;
            if e.iter().product::<usize>() != *rank {
                return refuse(values, vec![*rank, 1], e);
            }
        }
        let scale = match &rules {
            Some(rules) => rules.rank_and_scale(&module)?.1,
            None => {
                let init = config.other.get("init_r").and_then(Value::as_f64);
                config.lora_alpha / (init.ok_or_else(|| unsupported("a missing init_r"))? + RANK_EPS)
            }
        };
        let (rank, rows, cols) = (*rank, *rows, *cols);
        out.push(Pair { module, names: [name.to_owned(), other], rank, scale, rows, cols, values });
    }
    if out.is_empty() {
        return Err(unsupported("a folder without low-rank pairs"));
    }
    Ok(out)
}
