//! A model's layers in NF4, as files that bitsandbytes and this program read: tensor by tensor, so that a model larger than
//! memory can be quantised.

use crate::adapters::Shape;
use crate::stored::{self, Mold};
use crate::{ModelConfig, ModelError, config, shards};
use kernels::nf4::{BLOCK, CODE, NESTED_BLOCK, Scales};
use kernels::{Nf4, Precision};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;
use weights::{Absmax, Checkpoint, Declared, Dtype, FourBit, NewFourBit};

/// What a model's files become.
pub struct Quantiser {
    checkpoint: Checkpoint,
    config: Vec<u8>,
    double: bool,
    files: Vec<Vec<Part>>,
}

/// A tensor of the model.
enum Part {
    Kept(Declared),
    Quantised(NewFourBit),
}

impl Part {
    fn name(&self) -> &str {
        match self {
            Part::Kept(t) => &t.name,
            Part::Quantised(t) => &t.name,
        }
    }

    fn tensors(&self) -> Vec<Declared> {
        match self {
            Part::Kept(t) => vec![t.clone()],
            Part::Quantised(t) => t.tensors(),
        }
    }

    fn bytes(&self) -> usize {
        self.tensors().iter().map(Declared::bytes).sum()
    }
}

impl Quantiser {
    /// Reads the config and the headers. Quantised are the linear layers between embedding and output head; `double`: the
    /// blocks' magnitudes too.
    ///
    /// # Errors
    /// Those of the config and of the checkpoint; `QuantisedAlready`.
    pub fn open(dir: &Path, double: bool) -> Result<Quantiser, ModelError> {
        let config = ModelConfig::read(dir)?;
        let checkpoint = Checkpoint::open(dir)?;
        let mut linear = BTreeSet::new();
        for m in config.modules() {
            let Shape::Linear { n_out, n_in, .. } = m.shape else { continue };
            let name = format!("{}.weight", m.module);
            if Mold::read(&checkpoint, &name, (n_out, n_in), Precision::F32)?.in_four_bits() {
                return Err(ModelError::QuantisedAlready { dir: dir.to_owned() });
            }
            linear.insert(name);
        }
        let (mut parts, mut first) = (Vec::new(), None);
        for name in checkpoint.names() {
            let view = checkpoint.get(name)?;
            let (name, dtype, shape) = (name.to_owned(), view.dtype, view.shape.to_vec());
            first.get_or_insert(dtype);
            let nested_block = double.then_some(NESTED_BLOCK);
            parts.push(if linear.contains(&name) {
                Part::Quantised(NewFourBit { name, shape, dtype, block: BLOCK, nested_block })
            } else {
                Part::Kept(Declared { name, dtype, shape })
            });
        }
        let files = shards::split(parts, Part::bytes);
        let config = quantised_config(dir, double, first.unwrap_or(Dtype::F32))?;
        Ok(Quantiser { checkpoint, config, double, files })
    }

    /// The weight files, by the names that a Hugging Face folder gives them.
    pub fn files(&self) -> Vec<String> {
        shards::names(self.files.len())
    }

    /// The index of several files.
    pub fn index(&self) -> Option<Vec<u8>> {
        let tensors = |file: &Vec<Part>| file.iter().flat_map(Part::tensors).collect();
        shards::index(&self.files.iter().map(tensors).collect::<Vec<_>>())
    }

    /// config.json with what bitsandbytes' loader looks for.
    pub fn config(&self) -> &[u8] {
        &self.config
    }

    /// Bytes of all tensors when they are written, and in the model's own files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().flatten().map(|part| part.bytes() as u64).sum()
    }

    pub fn bytes_before(&self) -> u64 {
        self.checkpoint.bytes_total()
    }

    /// Writes file `i` of [`Quantiser::files`]; `on` is told the bytes of the model's own files behind each tensor, and
    /// says whether to go on.
    ///
    /// # Errors
    /// `NotQuantised` and what reading refuses, inside an [`io::Error`]; `Interrupted` where `on` says no.
    pub fn write(&self, i: usize, out: &mut dyn Write, on: &mut dyn FnMut(u64) -> bool) -> io::Result<()> {
        let tensors: Vec<Declared> = self.files[i].iter().flat_map(Part::tensors).collect();
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        out.write_all(&weights::safetensors_head(&tensors, &metadata).map_err(io::Error::other)?)?;
        for part in &self.files[i] {
            let view = self.checkpoint.get(part.name()).map_err(io::Error::other)?;
            match part {
                Part::Kept(_) => out.write_all(view.bytes)?,
                Part::Quantised(new) => {
                    let floats = view.floats().map_err(io::Error::other)?;
                    let nf4 = stored::quantise(part.name(), &floats, self.double).map_err(io::Error::other)?;
                    new.write(&as_stored(&nf4, new), out)?;
                }
            }
            let read = view.bytes.len() as u64;
            self.checkpoint.release(part.name());
            if !on(read) {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(())
    }
}

fn as_stored<'a>(nf4: &'a Nf4, new: &NewFourBit) -> FourBit<'a> {
    let absmax = match nf4.scales() {
        Scales::Single(absmax) => Absmax::Single(Cow::Borrowed(absmax)),
        Scales::Double { codes, map, absmax, block, offset } => {
            let absmax = Cow::Borrowed(absmax.as_slice());
            Absmax::Double { codes, map: map.clone(), absmax, block: *block, offset: *offset }
        }
    };
    FourBit { shape: new.shape.clone(), codes: nf4.codes(), map: CODE, block: BLOCK, absmax }
}

fn quantised_config(dir: &Path, double: bool, dtype: Dtype) -> Result<Vec<u8>, ModelError> {
    let mut fields = config::read_fields(dir)?;
    let quantization = json!({
        "quant_method": "bitsandbytes",
        "load_in_4bit": true,
        "load_in_8bit": false,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": double,
        "bnb_4bit_compute_dtype": if dtype == Dtype::F32 { "float32" } else { "bfloat16" },
        "bnb_4bit_quant_storage": "uint8",
    });
    fields.insert("quantization_config".to_owned(), quantization);
    let mut text = format!("{:#}", Value::Object(fields)).into_bytes();
    text.push(b'\n');
    Ok(text)
}
