//! `athanor quantize`: a model's layers in NF4, in a folder of its own.

use crate::{Event, TrainError};
use model::{ModelError, Quantiser};
use runfs::{Fs, RunFsError};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a model folder holds besides its weights is copied, unless its name ends so: weights again, in whatever form.
const WEIGHTS: [&str; 11] = [
    ".safetensors",
    ".safetensors.index.json",
    ".bin",
    ".bin.index.json",
    ".pt",
    ".pth",
    ".gguf",
    ".h5",
    ".msgpack",
    ".onnx",
    ".onnx_data",
];

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
    let (mut read, mut refused) = (0, None);
    let others = beside_the_weights(model)?;
    let published = runfs::publish_dir(fs, out, &mut |staged| {
        for (i, name) in quantiser.files().iter().enumerate() {
            staged.file(name, &mut |file| {
                let written = quantiser.write(i, file, &mut |bytes| {
                    read += bytes;
                    on(Event::Quantising { bytes: read, bytes_total });
                    !stop.load(Ordering::Relaxed)
                });
                written.map_err(|e| own(e, &mut refused))
            })?;
        }
        if let Some(index) = quantiser.index() {
            staged.file("model.safetensors.index.json", &mut |file| file.write_all(&index))?;
        }
        staged.file("config.json", &mut |file| file.write_all(quantiser.config()))?;
        for (name, path) in &others {
            staged.file(name, &mut |file| io::copy(&mut fs::File::open(path)?, file).map(drop))?;
        }
        Ok(())
    });
    match (published, refused) {
        (Ok(_), _) => Ok(Quantised { out: out.to_owned(), bytes_before: bytes_total, bytes: needed }),
        _ if stop.load(Ordering::Relaxed) => Err(TrainError::InterruptedWriting { dir: out.to_owned() }),
        (Err(_), Some(refused)) => Err(refused.into()),
        (Err(e), None) => Err(e.into()),
    }
}

/// An error that is not the disk's is kept aside, where its type is not lost.
fn own(e: io::Error, refused: &mut Option<ModelError>) -> io::Error {
    match e.downcast::<ModelError>() {
        Ok(error) => {
            *refused = Some(error);
            io::ErrorKind::InvalidData.into()
        }
        Err(e) => e,
    }
}

/// (name, path) of the tokenizer, the template, the licence and the like.
fn beside_the_weights(model: &Path) -> Result<Vec<(String, PathBuf)>, RunFsError> {
    let failed = |e| RunFsError::io("list", model, e);
    let mut list = Vec::new();
    for entry in fs::read_dir(model).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        let ours = name == "config.json" || name == runfs::MANIFEST;
        if path.is_file() && !name.starts_with('.') && !ours && !WEIGHTS.iter().any(|end| name.ends_with(end)) {
            list.push((name.to_owned(), path.clone()));
        }
    }
    list.sort();
    Ok(list)
}
