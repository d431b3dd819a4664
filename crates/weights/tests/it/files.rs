//! Fixtures, and safetensors files made by hand.

use std::fs;
use std::path::{Path, PathBuf};

pub fn fixtures() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).to_owned()
}

/// Every file below `dir` with this name.
pub fn named(dir: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(named(&path, name));
        } else if path.file_name().unwrap() == name {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file with this header, unpadded, and this data.
pub fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Header entry and data of a tensor.
pub struct Entry<'a> {
    pub name: &'a str,
    pub dtype: &'a str,
    pub shape: &'a [usize],
    pub data: Vec<u8>,
}

pub fn f32s<'a>(name: &'a str, values: &[f32]) -> Entry<'a> {
    Entry { name, dtype: "F32", shape: &[], data: values.iter().flat_map(|x| x.to_le_bytes()).collect() }
}

/// A valid file of these tensors; an empty shape with data is one dimension of f32.
pub fn file(entries: &[Entry]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for e in entries {
        let one = [e.data.len() / 4];
        let shape = if e.shape.is_empty() { &one } else { e.shape };
        let (begin, end) = (data.len(), data.len() + e.data.len());
        data.extend(&e.data);
        header.insert(
            e.name.to_owned(),
            serde_json::json!({"dtype": e.dtype, "shape": shape, "data_offsets": [begin, end]}),
        );
    }
    raw(&serde_json::Value::Object(header).to_string(), &data)
}
