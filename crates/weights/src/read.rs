//! Opening files without being held up or flooded by them.

use crate::WeightsError;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// config.json, adapter_config.json: real ones are a few kilobytes.
pub(crate) const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// Opens `path` for reading if it is a regular file: opening a FIFO would wait for a writer, perhaps for ever.
pub(crate) fn open_regular(path: &Path) -> Result<File, WeightsError> {
    let is_file = fs::metadata(path).map_err(|e| WeightsError::io("open", path, e))?.is_file();
    if !is_file {
        return Err(WeightsError::NotAFile { path: path.to_owned() });
    }
    File::open(path).map_err(|e| WeightsError::io("open", path, e))
}

/// The whole of a small JSON file: a configuration, or what stands beside one.
///
/// # Errors
/// `FileTooLarge` above 16 MiB, `NotAFile`, `Io`.
pub fn read_small(path: &Path) -> Result<Vec<u8>, WeightsError> {
    read_limited(path, CONFIG_BYTES_MAX)
}

/// The whole of a small file.
pub(crate) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, WeightsError> {
    let file = open_regular(path)?;
    let mut bytes = Vec::new();
    // The length that the file system reports may change or be zero (procfs), so what is read is counted.
    let got = file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| WeightsError::io("read", path, e))? as u64;
    if got > limit {
        return Err(WeightsError::FileTooLarge { path: path.to_owned(), limit, got });
    }
    Ok(bytes)
}
