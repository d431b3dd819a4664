//! `athanor quantize`: a model's layers in NF4, in a folder of its own.

use crate::publish::{beside_the_weights, copy, own};
use crate::{Event, TrainError};
use model::{ModelError, Quantiser};
use runfs::{Fs, RunFsError, Staged};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Debug, serde::Serialize)]
pub struct Quantised {
    pub out: PathBuf,
    /// Of the weight files, before and after.
    pub bytes_before: u64,
    pub bytes: u64,
}

/// Writes `model` with its layers' matrices in NF4 to the new folder `out`, which appears whole or not at all; `double`:
/// the blocks' magnitudes are quantised too. One tensor is in memory at a time.
///
/// # Errors
/// `OutExists`, `DiskSpace`, `Interrupted` (nothing stays), and what the model's files and the disk refuse.
pub fn quantize(
    model: &Path,
    out: &Path,
    double: bool,
    fs: &dyn Fs,
    stop: &AtomicBool,
    on: &mut dyn FnMut(Event),
) -> Result<Quantised, TrainError> {
    if fs.exists(out) {
        return Err(TrainError::OutExists { dir: out.to_owned() });
    }
    let quantiser = Quantiser::open(model, double)?;
    let (needed, bytes_total) = (quantiser.bytes(), quantiser.bytes_before());
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    runfs::create_dir_durable(fs, parent)?;
    let free = fs.free_bytes(parent).map_err(|e| RunFsError::io("ask the free space of", parent, e))?;
    if needed > free {
        return Err(TrainError::DiskSpace { path: out.to_owned(), what: "the quantised weights", needed, free });
    }
    on(Event::Phase("quantise"));
    let mut refused = None;
    let others = beside_the_weights(model)?;
    let published = runfs::publish_dir(fs, out, &mut |staged| {
        write_weights(&quantiser, staged, stop, on, &mut refused)?;
        copy(&others, staged)
    });
    match (published, refused) {
        (Ok(_), _) => Ok(Quantised { out: out.to_owned(), bytes_before: bytes_total, bytes: needed }),
        _ if stop.load(Ordering::Relaxed) => Err(TrainError::InterruptedWriting { dir: out.to_owned() }),
        (Err(_), Some(refused)) => Err(refused.into()),
        (Err(e), None) => Err(e.into()),
    }
}

/// The weight files and config.json. What is refused for another reason than the disk is put into `refused`.
pub(crate) fn write_weights(
    quantiser: &Quantiser,
    staged: &mut Staged,
    stop: &AtomicBool,
    on: &mut dyn FnMut(Event),
    refused: &mut Option<ModelError>,
) -> Result<(), RunFsError> {
    let (mut read, bytes_total) = (0, quantiser.bytes_before());
    for (i, name) in quantiser.files().iter().enumerate() {
        staged.file(name, &mut |file| {
            let written = quantiser.write(i, file, &mut |bytes| {
                read += bytes;
                on(Event::Quantising { bytes: read, bytes_total });
                !stop.load(Ordering::Relaxed)
            });
            written.map_err(|e| own(e, refused))
        })?;
    }
    if let Some(index) = quantiser.index() {
        staged.file("model.safetensors.index.json", &mut |file| file.write_all(&index))?;
    }
    staged.file("config.json", &mut |file| file.write_all(quantiser.config()))
}
