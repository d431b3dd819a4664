//! Writing safetensors files, byte for byte as the reference's writer does.

use crate::{Dtype, WeightsError};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// Name, shape, row-major values.
type Listed<'a> = (String, Vec<usize>, &'a [f32]);

const METADATA_KEY: &str = "__metadata__";

/// A tensor of a file that is written in pieces.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
}

impl Declared {
    /// Bytes in the file; `usize::MAX` where no memory holds as many.
    pub fn bytes(&self) -> usize {
        elements(&self.shape).unwrap_or(usize::MAX).saturating_mul(self.dtype.bitsize()) / 8
    }
}

/// What stands in a file before its tensors' bytes, which must follow in the order of `tensors`, without a gap. A name that
/// occurs twice is [`WeightsError::NameTaken`].
pub fn safetensors_head(tensors: &[Declared], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>, WeightsError> {
    sorted(tensors.iter().map(|t| &t.name))?;
    Ok(head(tensors.iter(), metadata))
}

/// Writes f32 tensors: length, JSON header padded with spaces to a multiple of 8, data; tensors in order of their names
/// (the reference orders by type first, which is one here) whatever their order in `tensors`. The same tensors give the
/// same bytes. What [`safetensors_bytes`] refuses is an `InvalidInput` here, before the first byte is written.
pub fn write_safetensors(
    out: &mut dyn Write,
    tensors: &[Listed],
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    check_counts(tensors).map_err(invalid)?;
    let names: Vec<_> = tensors.iter().map(|(name, shape, _)| (name.clone(), shape.clone())).collect();
    write_safetensors_with(out, &names, metadata, &mut |i| Ok(tensors[i].2.into()))
}

/// As [`write_safetensors`], from names and shapes; `values(i)` gives tensor i when its turn comes, so that they need not
/// be in memory together.
pub fn write_safetensors_with<'a>(
    out: &mut dyn Write,
    tensors: &[(String, Vec<usize>)],
    metadata: &BTreeMap<String, String>,
    values: &mut dyn FnMut(usize) -> io::Result<Cow<'a, [f32]>>,
) -> io::Result<()> {
    let order = sorted(tensors.iter().map(|(name, _)| name)).map_err(invalid)?;
    let declared: Vec<_> = order.iter().map(|i| &tensors[*i]).map(|(name, shape)| floats(name, shape)).collect();
    out.write_all(&head(declared.iter(), metadata))?;
    for i in order {
        let values = values(i)?;
        if elements(&tensors[i].1) != Some(values.len()) {
            let (tensor, shape) = tensors[i].clone();
            return Err(invalid(WeightsError::ValueCount { tensor, shape, got: values.len() }));
        }
        out.write_all(bytemuck::cast_slice(&values))?;
    }
    Ok(())
}

fn invalid(e: WeightsError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, e)
}

/// [`write_safetensors`] into memory. A name that occurs twice is [`WeightsError::NameTaken`]; values that are not as
/// many as the shape says are [`WeightsError::ValueCount`].
pub fn safetensors_bytes(tensors: &[Listed], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>, WeightsError> {
    check_counts(tensors)?;
    let order = sorted(tensors.iter().map(|(name, ..)| name))?;
    let declared: Vec<_> = order.iter().map(|i| &tensors[*i]).map(|(name, shape, _)| floats(name, shape)).collect();
    let mut bytes = head(declared.iter(), metadata);
    bytes.reserve_exact(tensors.iter().map(|(_, _, values)| size_of_val(*values)).sum());
    for i in order {
        bytes.extend_from_slice(bytemuck::cast_slice(tensors[i].2));
    }
    Ok(bytes)
}

fn floats(name: &str, shape: &[usize]) -> Declared {
    Declared { name: name.to_owned(), dtype: Dtype::F32, shape: shape.to_vec() }
}

fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

fn check_counts(tensors: &[Listed]) -> Result<(), WeightsError> {
    match tensors.iter().find(|(_, shape, values)| elements(shape) != Some(values.len())) {
        None => Ok(()),
        Some((tensor, shape, values)) => {
            Err(WeightsError::ValueCount { tensor: tensor.clone(), shape: shape.clone(), got: values.len() })
        }
    }
}

/// The tensors' places in order of their names.
fn sorted<'a>(names: impl Iterator<Item = &'a String>) -> Result<Vec<usize>, WeightsError> {
    let names: Vec<&String> = names.collect();
    let mut taken = BTreeSet::from([METADATA_KEY]);
    for tensor in &names {
        if !taken.insert(tensor.as_str()) {
            return Err(WeightsError::NameTaken { tensor: (*tensor).clone() });
        }
    }
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by_key(|i| names[*i]);
    Ok(order)
}

/// The length and the header. Its JSON is made here and not by the `safetensors` crate, which takes metadata from a
/// hash map: the order of two entries would be another one in every run.
fn head<'a>(tensors: impl Iterator<Item = &'a Declared>, metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA_KEY.to_owned(), json!(metadata));
    }
    let mut begin = 0usize;
    for t in tensors {
        let end = begin.saturating_add(t.bytes());
        header.insert(t.name.clone(), json!({"dtype": t.dtype, "shape": t.shape, "data_offsets": [begin, end]}));
        begin = end;
    }
    let mut json = Value::Object(header).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut head = (json.len() as u64).to_le_bytes().to_vec();
    head.append(&mut json);
    head
}
