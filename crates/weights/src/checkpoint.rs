//! A set of named tensors in one or more mapped files.

use crate::header::{self, TensorInfo};
use crate::layout::{Index, Layout, is_pickle};
use crate::map::Map;
use crate::{Region, View, WeightsError};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// An open checkpoint. Every header has been checked; no tensor has been read yet.
///
/// The files are mapped: while a checkpoint is open they must not be truncated or rewritten in place (replacing them
/// by renaming is safe). A process that reads a page which a truncated file no longer has is ended by the system.
pub struct Checkpoint {
    /// The directory or the file it was opened from, for messages.
    path: PathBuf,
    files: Vec<Mapped>,
    tensors: BTreeMap<String, Place>,
    metadata: BTreeMap<String, String>,
}

struct Mapped {
    path: PathBuf,
    map: Map,
}

struct Place {
    file: usize,
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    range: Range<usize>,
}

impl Checkpoint {
    /// Opens a Hugging Face model directory: `model.safetensors`, or the shards that `model.safetensors.index.json`
    /// names. Each shard must exist, each tensor must be in the shard that the index names, and none in two.
    pub fn open(dir: &Path) -> Result<Checkpoint, WeightsError> {
        match Layout::find(dir)? {
            Layout::Single(file) => Checkpoint::open_file(&file),
            Layout::Sharded(index) => Checkpoint::open_shards(dir, &index),
        }
    }

    /// Opens one safetensors file. A file that is a pickle by its name is refused unopened.
    pub fn open_file(path: &Path) -> Result<Checkpoint, WeightsError> {
        if is_pickle(path) {
            return Err(WeightsError::Pickle { path: path.to_owned() });
        }
        let mut checkpoint = Checkpoint::empty(path);
        checkpoint.add(path)?;
        Ok(checkpoint)
    }

    fn open_shards(dir: &Path, index: &Index) -> Result<Checkpoint, WeightsError> {
        let mut checkpoint = Checkpoint::empty(dir);
        for shard in &index.shards {
            checkpoint.add(shard)?;
        }
        for (tensor, shard) in &index.weight_map {
            let found = checkpoint.tensors.get(tensor).map(|p| &checkpoint.files[p.file].path);
            if found != Some(shard) {
                let (index, shard) = (index.path.clone(), shard.clone());
                return Err(WeightsError::NotInShard { index, tensor: tensor.clone(), shard });
            }
        }
        Ok(checkpoint)
    }

    fn empty(path: &Path) -> Checkpoint {
        let path = path.to_owned();
        Checkpoint { path, files: Vec::new(), tensors: BTreeMap::new(), metadata: BTreeMap::new() }
    }

    fn add(&mut self, path: &Path) -> Result<(), WeightsError> {
        let map = Map::open(path)?;
        let header = header::parse(path, map.bytes())?;
        let file = self.files.len();
        for TensorInfo { name, dtype, shape, range } in header.tensors {
            if let Some(other) = self.tensors.get(&name) {
                let first = self.files[other.file].path.clone();
                return Err(WeightsError::InTwoShards { tensor: name, first, second: path.to_owned() });
            }
            self.tensors.insert(name, Place { file, dtype, shape, range });
        }
        if file == 0 {
            self.metadata = header.metadata;
        }
        self.files.push(Mapped { path: path.to_owned(), map });
        Ok(())
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The tensor `name`, or [`WeightsError::Missing`].
    pub fn get(&self, name: &str) -> Result<View<'_>, WeightsError> {
        let (name, place) = self.place(name)?;
        let file = &self.files[place.file];
        let bytes = &file.map.bytes()[place.range.clone()];
        Ok(View { name, dtype: place.dtype, shape: &place.shape, bytes, path: &file.path })
    }

    /// Where the tensor `name` lies, for reading it when this checkpoint is closed; or [`WeightsError::Missing`].
    pub fn region(&self, name: &str) -> Result<Region, WeightsError> {
        let (name, place) = self.place(name)?;
        let Mapped { path, map } = &self.files[place.file];
        let (at, len) = (place.range.start as u64, place.range.len());
        Ok(Region { file: map.file(), path: path.clone(), tensor: name.to_owned(), dtype: place.dtype, at, len })
    }

    fn place(&self, name: &str) -> Result<(&str, &Place), WeightsError> {
        match self.tensors.get_key_value(name) {
            Some((name, place)) => Ok((name, place)),
            None => Err(WeightsError::Missing { path: self.path.clone(), tensor: name.to_owned() }),
        }
    }

    /// Lets the system take back the memory in which `name`'s bytes were mapped, for a reader that has its own copy
    /// now; an unknown name is nothing to release. The tensor can still be read: its pages come from the file again.
    pub fn release(&self, name: &str) {
        if let Some(place) = self.tensors.get(name) {
            self.files[place.file].map.release(place.range.clone());
        }
    }

    /// The `__metadata__` of the file, of the first shard if there are several.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Bytes of all files together.
    pub fn bytes_total(&self) -> u64 {
        self.files.iter().map(|f| f.map.bytes().len() as u64).sum()
    }

    /// The safetensors files, in order of their names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|f| f.path.as_path())
    }

    /// The directory or file that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Checkpoint").field("path", &self.path).field("tensors", &self.tensors.len()).finish()
    }
}
