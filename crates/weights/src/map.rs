//! The one place of this crate with `unsafe`: a file mapped read-only into memory.
//!
//! A map is not a copy. While it lives, **the file must not be truncated or rewritten in place** by anybody: reading a
//! page that a shorter file no longer has ends the process with SIGBUS, and rewritten bytes would change under the
//! reader. Checkpoints are published by renaming a finished file over the old name, which is safe (the map keeps the
//! old file), and so is deleting it; `cp new model.safetensors` over a mapped file is not. The header is checked once,
//! on opening; shapes and offsets are copied out of it then, so later changes of the file can alter values, never
//! memory safety within the length that was mapped.
#![allow(unsafe_code)]

use crate::WeightsError;
use crate::read::open_regular;
use memmap2::Mmap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub(crate) struct Map {
    map: Mmap,
    file: Arc<File>,
}

impl Map {
    pub(crate) fn open(path: &Path) -> Result<Map, WeightsError> {
        let file = open_regular(path)?;
        // SAFETY: the map is read-only and private to this process's view of a regular file. That nobody truncates or
        // rewrites the file meanwhile cannot be enforced by any program; it is the documented condition above.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| WeightsError::io("map", path, e))?;
        Ok(Map { map, file: Arc::new(file) })
    }

    /// The file, for those who read it otherwise.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Lets the kernel take the pages of `range` back; the next access reads them from the file again. Advice: where a
    /// system does not take it, the pages stay until memory is short.
    #[cfg(unix)]
    pub(crate) fn release(&self, range: Range<usize>) {
        if range.is_empty() || range.end > self.map.len() {
            return;
        }
        // SAFETY: `DontNeed` is unchecked because it drops the contents of anonymous or private pages. This is a
        // shared, read-only map of a file: no page of it can be dirty, so a page dropped is a page read again with the
        // same bytes, and references into the map stay valid.
        let _advice =
            unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
    }

    #[cfg(not(unix))]
    pub(crate) fn release(&self, _range: Range<usize>) {}
}
