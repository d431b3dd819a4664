//! A model with what was trained folded in, as files of a Hugging Face folder, tensor by tensor.

use crate::{Engine, ModelError, Tensor, config, shards};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use weights::{Checkpoint, Declared, Dtype};

/// The files of a merged model; values are those of [`Engine::merge`], rounded to the type that the base has them in.
pub struct MergedFiles<'a> {
    engine: &'a Engine,
    base: Checkpoint,
    files: Vec<Vec<Declared>>,
    config: Vec<u8>,
}

impl<'a> MergedFiles<'a> {
    /// `dtype`: of every tensor; None: its own, and bf16 for what the base has in 4 bits.
    pub(crate) fn new(engine: &'a Engine, dir: &Path, dtype: Option<Dtype>) -> Result<Self, ModelError> {
        let base = Checkpoint::open(dir)?;
        let mut tensors = Vec::new();
        for (name, shape, own) in engine.merged_shapes(&base)? {
            let dtype = dtype.unwrap_or(match own {
                Some(Dtype::F16) => Dtype::F16,
                Some(Dtype::F32 | Dtype::F64) => Dtype::F32,
                _ => Dtype::BF16,
            });
            tensors.push(Declared { name, dtype, shape });
        }
        let config = merged_config(dir, engine.unties(), tensors.first().map_or(Dtype::F32, |t| t.dtype))?;
        Ok(MergedFiles { engine, base, files: shards::split(tensors, Declared::bytes), config })
    }

    /// The weight files.
    pub fn names(&self) -> Vec<String> {
        shards::names(self.files.len())
    }

    /// The index of several files.
    pub fn index(&self) -> Option<Vec<u8>> {
        shards::index(&self.files)
    }

    /// config.json.
    pub fn config(&self) -> &[u8] {
        &self.config
    }

    /// Of all weight files.
    pub fn bytes(&self) -> u64 {
        let file = |tensors: &Vec<Declared>| {
            let head = weights::safetensors_head(tensors, &metadata()).map_or(0, |head| head.len() as u64);
            head + tensors.iter().map(|t| t.bytes() as u64).sum::<u64>()
        };
        self.files.iter().map(file).sum()
    }

    /// Whether a type that is written cannot hold the values as they are.
    pub fn rounds(&self) -> bool {
        self.files.iter().flatten().any(|t| t.dtype != Dtype::F32)
    }

    /// Writes file `i` of [`MergedFiles::names`], with one tensor in memory at a time; after each, `on` says whether to go
    /// on, and a no is `Interrupted`. What is no error of `out` is a [`ModelError`] in it.
    pub fn write(&self, i: usize, out: &mut dyn Write, on: &mut dyn FnMut() -> bool) -> io::Result<()> {
        out.write_all(&weights::safetensors_head(&self.files[i], &metadata()).map_err(io::Error::other)?)?;
        for t in &self.files[i] {
            let Tensor { values, .. } = self.engine.merged_tensor(&self.base, &t.name).map_err(io::Error::other)?;
            match t.dtype {
                Dtype::BF16 => {
                    let mut narrow = vec![bf16::ZERO; values.len()];
                    narrow.convert_from_f32_slice(&values);
                    out.write_all(bytemuck::cast_slice(&narrow))?;
                }
                Dtype::F16 => {
                    let mut narrow = vec![f16::ZERO; values.len()];
                    narrow.convert_from_f32_slice(&values);
                    out.write_all(bytemuck::cast_slice(&narrow))?;
                }
                _ => out.write_all(bytemuck::cast_slice(&values))?,
            }
            if !on() {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(())
    }
}

fn metadata() -> BTreeMap<String, String> {
    BTreeMap::from([("format".to_owned(), "pt".to_owned())])
}

/// The base's, without what it says of being quantised; a head of its own where merging made one.
fn merged_config(dir: &Path, unties: bool, dtype: Dtype) -> Result<Vec<u8>, ModelError> {
    let mut fields = config::read_fields(dir)?;
    fields.remove("quantization_config");
    if unties {
        fields.insert("tie_word_embeddings".to_owned(), false.into());
    }
    let name = match dtype {
        Dtype::BF16 => "bfloat16",
        Dtype::F16 => "float16",
        _ => "float32",
    };
    for key in ["dtype", "torch_dtype"] {
        if fields.contains_key(key) {
            fields.insert(key.to_owned(), name.into());
        }
    }
    let mut text = format!("{:#}", Value::Object(fields)).into_bytes();
    text.push(b'\n');
    Ok(text)
}
