//! Writing safetensors files, byte for byte as the reference's writer does.

use crate::WeightsError;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// Name, shape, row-major values.
type Listed<'a> = (String, Vec<usize>, &'a [f32]);

const METADATA_KEY: &str = "__metadata__";

/// Writes f32 tensors: length, JSON header padded with spaces to a multiple of 8, data; tensors in order of their names
/// (the reference orders by type first, which is one here) whatever their order in `tensors`. The same tensors give the
/// same bytes. What [`safetensors_bytes`] refuses is an `InvalidInput` here, before the first byte is written.
pub fn write_safetensors(
    out: &mut dyn Write,
    tensors: &[Listed],
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let sorted = sorted(tensors).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    out.write_all(&head(&sorted, metadata))?;
    for (_, _, values) in sorted {
        out.write_all(bytemuck::cast_slice(values))?;
    }
    Ok(())
}

/// [`write_safetensors`] into memory. A name that occurs twice is [`WeightsError::NameTaken`]; values that are not as
/// many as the shape says are [`WeightsError::ValueCount`].
pub fn safetensors_bytes(tensors: &[Listed], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>, WeightsError> {
    let sorted = sorted(tensors)?;
    let mut bytes = head(&sorted, metadata);
    bytes.reserve_exact(sorted.iter().map(|(_, _, values)| size_of_val(*values)).sum());
    for (_, _, values) in sorted {
        bytes.extend_from_slice(bytemuck::cast_slice(values));
    }
    Ok(bytes)
}

fn sorted<'a, 'v>(tensors: &'a [Listed<'v>]) -> Result<Vec<&'a Listed<'v>>, WeightsError> {
    let mut taken = BTreeSet::from([METADATA_KEY]);
    for (tensor, shape, values) in tensors {
        if !taken.insert(tensor) {
            return Err(WeightsError::NameTaken { tensor: tensor.clone() });
        }
        let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if elements != Some(values.len()) {
            let (tensor, shape) = (tensor.clone(), shape.clone());
            return Err(WeightsError::ValueCount { tensor, shape, got: values.len() });
        }
    }
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(sorted)
}

/// The length and the header. Its JSON is made here and not by the `safetensors` crate, which takes metadata from a
/// hash map: the order of two entries would be another one in every run.
fn head(sorted: &[&Listed], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA_KEY.to_owned(), json!(metadata));
    }
    let mut begin = 0;
    for (name, shape, values) in sorted {
        let end = begin + size_of_val(*values);
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}));
        begin = end;
    }
    let mut json = Value::Object(header).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut head = (json.len() as u64).to_le_bytes().to_vec();
    head.append(&mut json);
    head
}
