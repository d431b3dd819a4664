//! Which files of a directory hold the weights.

use crate::WeightsError;
use crate::read::read_limited;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) const SINGLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
const PICKLES: [&str; 2] = ["pytorch_model.bin", "pytorch_model.bin.index.json"];
const PICKLE_ENDINGS: [&str; 6] = ["bin", "pt", "pth", "pkl", "pickle", "ckpt"];

/// Real indexes of the largest models stay below 20 MB.
const INDEX_BYTES_MAX: u64 = 100_000_000;
const SHARDS_MAX: usize = 10_000;

/// A directory's weights, before any of them is opened.
pub(crate) enum Layout {
    Single(PathBuf),
    Sharded(Index),
}

pub(crate) struct Index {
    pub path: PathBuf,
    /// Tensor → shard.
    pub weight_map: BTreeMap<String, PathBuf>,
    /// In order of their names.
    pub shards: Vec<PathBuf>,
}

impl Layout {
    /// A single file wins over an index, as in transformers.
    pub(crate) fn find(dir: &Path) -> Result<Layout, WeightsError> {
        if !std::fs::metadata(dir).map_err(|e| WeightsError::io("open", dir, e))?.is_dir() {
            return Err(WeightsError::NotADirectory { path: dir.to_owned() });
        }
        let (single, index) = (dir.join(SINGLE), dir.join(INDEX));
        if single.exists() {
            return Ok(Layout::Single(single));
        }
        if index.exists() {
            return Ok(Layout::Sharded(Index::read(dir, index)?));
        }
        if let Some(path) = PICKLES.iter().map(|p| dir.join(p)).find(|p| p.exists()) {
            return Err(WeightsError::Pickle { path });
        }
        Err(WeightsError::NoWeights {
            dir: dir.to_owned(),
            expected: "model.safetensors or model.safetensors.index.json",
        })
    }

    /// The weight files, and the index if there is one.
    pub(crate) fn files(&self) -> Vec<&Path> {
        match self {
            Layout::Single(path) => vec![path],
            Layout::Sharded(index) => std::iter::once(&index.path).chain(&index.shards).map(PathBuf::as_path).collect(),
        }
    }
}

impl Index {
    fn read(dir: &Path, path: PathBuf) -> Result<Index, WeightsError> {
        #[derive(Deserialize)]
        struct Raw {
            weight_map: BTreeMap<String, String>,
        }
        let bytes = read_limited(&path, INDEX_BYTES_MAX)?;
        let raw: Raw = serde_json::from_slice(&bytes)
            .map_err(|e| WeightsError::Index { path: path.clone(), why: e.to_string() })?;
        if raw.weight_map.is_empty() {
            return Err(WeightsError::IndexEmpty { path });
        }
        let names: BTreeSet<&str> = raw.weight_map.values().map(String::as_str).collect();
        if names.len() > SHARDS_MAX {
            return Err(WeightsError::IndexShards { path, limit: SHARDS_MAX, got: names.len() });
        }
        if let Some(bad) = names.iter().find(|n| !plain_name(n)) {
            return Err(WeightsError::IndexName { shard: (*bad).to_owned(), path });
        }
        let shards: Vec<PathBuf> = names.iter().map(|n| dir.join(n)).collect();
        if let Some(shard) = shards.iter().find(|s| !s.exists()) {
            return Err(WeightsError::ShardMissing { index: path, shard: shard.clone() });
        }
        let weight_map = raw.weight_map.iter().map(|(t, n)| (t.clone(), dir.join(n))).collect();
        Ok(Index { weight_map, shards, path })
    }
}

/// Whether a shard's name cannot lead out of its directory, on any system.
fn plain_name(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.starts_with('.') && !name.contains(['/', '\\', ':', '\0'])
}

/// Whether a name says that the file is a pickle.
pub(crate) fn is_pickle(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    PICKLE_ENDINGS.iter().any(|p| ending.eq_ignore_ascii_case(p))
}
