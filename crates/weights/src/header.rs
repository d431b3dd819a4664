//! A safetensors header, checked completely before anything of the file is used.
//!
//! Layout: u64 length n, n bytes of JSON, data. The format's own rules (github.com/huggingface/safetensors) are: the
//! header is at most 100 MB, tensors lie one after another without hole or overlap, and the last one ends the file.
//!
//! The types are the `safetensors` crate's; the check is ours, because the crate's does not name the tensor it
//! refuses, accepts a name listed twice, and adds the file's parts up without looking for overflow.

use crate::WeightsError;
use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor, value};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

/// The format's limit.
pub const HEADER_BYTES_MAX: u64 = 100_000_000;
/// Most dimensions of a tensor. Without a limit a header could make tables several times its own size.
pub const RANK_MAX: usize = 16;

const LENGTH_BYTES: u64 = 8;
const METADATA_KEY: &str = "__metadata__";
const LFS_MAGIC: &[u8] = b"version https://git-lfs";

pub(crate) struct Header {
    pub metadata: BTreeMap<String, String>,
    pub tensors: Vec<TensorInfo>,
}

pub(crate) struct TensorInfo {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Within the file.
    pub range: Range<usize>,
}

/// The header of the file with these bytes. Everything it says about places is true of `bytes` afterwards.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Header, WeightsError> {
    let (json, data_start) = header_text(path, bytes)?;
    let raw: RawHeader = serde_json::from_str(json)
        .map_err(|e| WeightsError::HeaderJson { path: path.to_owned(), why: e.to_string() })?;
    refuse_listed_twice(path, &raw.tensors)?;
    let mut tensors = raw.tensors;
    tensors.sort_by_key(|(_, t)| t.data_offsets);

    let mut end = 0;
    let mut checked = Vec::with_capacity(tensors.len());
    for (name, raw) in tensors {
        checked.push(check_tensor(path, name, raw, data_start, &mut end)?);
    }
    // u128: the sum of two u64 cannot overflow it.
    let expected = u128::from(data_start) + u128::from(end);
    if expected != bytes.len() as u128 {
        let expected = u64::try_from(expected).unwrap_or(u64::MAX);
        return Err(WeightsError::FileBytes { path: path.to_owned(), expected, got: bytes.len() as u64 });
    }
    Ok(Header { metadata: raw.metadata, tensors: checked })
}

/// The JSON text, and where the data starts.
fn header_text<'a>(path: &Path, bytes: &'a [u8]) -> Result<(&'a str, u64), WeightsError> {
    let got = bytes.len() as u64;
    if bytes.starts_with(LFS_MAGIC) {
        return Err(WeightsError::LfsPointer { path: path.to_owned() });
    }
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(WeightsError::TooShort { path: path.to_owned(), got });
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_BYTES_MAX {
        return Err(WeightsError::HeaderLength { path: path.to_owned(), limit: HEADER_BYTES_MAX, got: length });
    }
    let expected = LENGTH_BYTES + length;
    let Some(header) = rest.get(..length as usize) else {
        return Err(WeightsError::HeaderTruncated { path: path.to_owned(), expected, got });
    };
    let text = std::str::from_utf8(header)
        .map_err(|e| WeightsError::HeaderUtf8 { path: path.to_owned(), at: e.valid_up_to() })?;
    Ok((text, expected))
}

fn refuse_listed_twice(path: &Path, tensors: &[(String, RawTensor)]) -> Result<(), WeightsError> {
    let mut names: Vec<&str> = tensors.iter().map(|(n, _)| n.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|w| w[0] == w[1]) {
        Some(w) => Err(WeightsError::ListedTwice { path: path.to_owned(), tensor: w[0].to_owned() }),
        None => Ok(()),
    }
}

/// `end`: where the tensor before it ended, and then where this one does, within the data.
fn check_tensor(
    path: &Path,
    tensor: String,
    raw: RawTensor,
    data_start: u64,
    end: &mut u64,
) -> Result<TensorInfo, WeightsError> {
    let path = || path.to_owned();
    let named: Result<Dtype, value::Error> = Dtype::deserialize(raw.dtype.as_str().into_deserializer());
    let Ok(dtype) = named else {
        return Err(WeightsError::UnknownDtype { path: path(), tensor, got: raw.dtype });
    };
    if raw.shape.rank > RANK_MAX {
        return Err(WeightsError::Rank { path: path(), tensor, limit: RANK_MAX, got: raw.shape.rank });
    }
    let bits = raw.shape.dims.iter().try_fold(dtype.bitsize() as u64, |n, &d| n.checked_mul(d));
    let shape: Option<Vec<usize>> = raw.shape.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let (Some(bits), Some(shape)) = (bits, shape) else {
        let shape = raw.shape.dims.iter().map(|&d| usize::try_from(d).unwrap_or(usize::MAX)).collect();
        return Err(WeightsError::ShapeOverflow { path: path(), tensor, dtype, shape });
    };
    if bits % 8 != 0 {
        return Err(WeightsError::PartialByte { path: path(), tensor, dtype, shape });
    }
    let (expected, (begin, stop)) = (bits / 8, raw.data_offsets);
    if begin != *end {
        return Err(WeightsError::Offset { path: path(), tensor, expected: *end, got: begin });
    }
    if stop.checked_sub(begin) != Some(expected) {
        return Err(WeightsError::TensorBytes { path: path(), tensor, dtype, shape, expected, begin, end: stop });
    }
    *end = stop;
    // Both fit when the file's length turns out to be what the header says, which `parse` checks before it returns.
    let at = |offset: u64| data_start.saturating_add(offset) as usize;
    Ok(TensorInfo { name: tensor, dtype, shape, range: at(begin)..at(stop) })
}

// --- the JSON ------------------------------------------------------------------------------------

struct RawHeader {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, RawTensor)>,
}

#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: RawShape,
    data_offsets: (u64, u64),
}

struct RawShape {
    /// At most [`RANK_MAX`].
    dims: Vec<u64>,
    rank: usize,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawHeader;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut header = RawHeader { metadata: BTreeMap::new(), tensors: Vec::new() };
                while let Some(key) = map.next_key::<String>()? {
                    if key == METADATA_KEY {
                        header.metadata = map.next_value()?;
                    } else {
                        header.tensors.push((key, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }
        d.deserialize_map(Entries)
    }
}

impl<'de> Deserialize<'de> for RawShape {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Dims;
        impl<'de> Visitor<'de> for Dims {
            type Value = RawShape;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an array of dimensions")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawShape, A::Error> {
                let mut shape = RawShape { dims: Vec::new(), rank: 0 };
                while shape.rank < RANK_MAX {
                    let Some(dim) = seq.next_element()? else {
                        return Ok(shape);
                    };
                    shape.dims.push(dim);
                    shape.rank += 1;
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    shape.rank += 1;
                }
                Ok(shape)
            }
        }
        d.deserialize_seq(Dims)
    }
}
