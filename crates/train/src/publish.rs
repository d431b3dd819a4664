//! What a run leaves: an adapter, or a model where that is what was trained; whole or not at all.

use crate::TrainError;
use model::{BASE_FILE, BaseRecord, Engine, MergedFiles, ModelError, Smaller};
use runfs::{Fs, RunFsError, Staged};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use weights::peft::{CONFIG_FILE, TENSORS_FILE};

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

/// The folder in a run's own that holds its result.
pub(crate) fn result_name(engine: &Engine) -> &'static str {
    if engine.is_full() { "model" } else { "adapter" }
}

/// The engine's adapter, or its model, in `dir`; `base` is the model that was trained on.
pub(crate) fn publish_result(engine: &Engine, fs: &dyn Fs, base: &Path, dir: &Path) -> Result<(), TrainError> {
    match engine.is_full() {
        // A signal while the result is saved lets that finish.
        true => publish_model(&engine.merged_files(None)?, fs, base, dir, &AtomicBool::new(false)),
        false => publish_adapter(engine, fs, dir),
    }
}

/// Bytes that [`publish_result`] writes at most, before ranks are masked or after.
pub(crate) fn bytes(engine: &Engine, base: &Path) -> Result<u64, TrainError> {
    /// The manifest, and what folders take.
    const SMALL_FILES: u64 = 64 << 10;
    /// A rank's place in AdaLoRA's `rank_pattern`.
    const MASK: u64 = 128;
    if engine.is_full() {
        let merged = engine.merged_files(None)?;
        let mut bytes = merged.bytes() + merged.config().len() as u64 + merged.index().map_or(0, |i| i.len() as u64);
        for (_, path) in beside_the_weights(base)? {
            bytes += fs::metadata(&path).map_err(|e| RunFsError::io("ask the size of", &path, e))?.len();
        }
        return Ok(bytes + SMALL_FILES);
    }
    let mut counter = Counter(0);
    for file in engine.adapter_files().iter().chain(&engine.plain_adapter_files()?) {
        file.write(&mut counter).map_err(|e| RunFsError::io("count the bytes of", Path::new(file.name), e))?;
    }
    Ok(counter.0 + engine.budgets().map_or(0, |(first, _)| MASK * first as u64) + SMALL_FILES)
}

/// Keeps nothing of what is written but its length.
struct Counter(u64);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As PEFT reads it.
fn publish_adapter(engine: &Engine, fs: &dyn Fs, dir: &Path) -> Result<(), TrainError> {
    let files = engine.adapter_files();
    let base = engine.base_record();
    runfs::publish_dir(fs, dir, &mut |staged: &mut Staged| {
        files.iter().try_for_each(|file| staged.file(file.name, &mut |out| file.write(out)))?;
        write_base(staged, base)
    })?;
    // The same for loaders that do not know the method, where there is such a form.
    let plain = engine.plain_adapter_files()?;
    if !plain.is_empty() {
        let mut name = dir.file_name().unwrap_or_default().to_owned();
        name.push("-plain");
        runfs::publish_dir(fs, &dir.with_file_name(name), &mut |staged: &mut Staged| {
            plain.iter().try_for_each(|file| staged.file(file.name, &mut |out| file.write(out)))?;
            write_base(staged, base)
        })?;
    }
    Ok(())
}

/// A smaller adapter in `dir`, with other files beside it (name, bytes).
pub(crate) fn write_smaller(
    smaller: &Smaller,
    fs: &dyn Fs,
    dir: &Path,
    beside: &[(&str, &[u8])],
) -> Result<(), TrainError> {
    let tensors: Vec<_> =
        smaller.tensors.iter().map(|(name, shape, v)| (name.clone(), shape.clone(), v.as_slice())).collect();
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    runfs::publish_dir(fs, dir, &mut |staged| {
        staged.file(TENSORS_FILE, &mut |file| weights::write_safetensors(file, &tensors, &metadata))?;
        write_base(staged, smaller.base.as_ref())?;
        beside.iter().try_for_each(|(name, bytes)| staged.file(name, &mut |file| file.write_all(bytes)))?;
        staged.file(CONFIG_FILE, &mut |file| file.write_all(smaller.config.as_bytes()))
    })?;
    Ok(())
}

/// What an adapter was trained beside, where that is known.
pub(crate) fn write_base(staged: &mut Staged, base: Option<&BaseRecord>) -> Result<(), RunFsError> {
    base.map_or(Ok(()), |base| staged.file(BASE_FILE, &mut |out| out.write_all(&base.to_json())))
}

/// As transformers reads it, with the base's tokenizer.
pub(crate) fn publish_model(
    merged: &MergedFiles,
    fs: &dyn Fs,
    base: &Path,
    dir: &Path,
    stop: &AtomicBool,
) -> Result<(), TrainError> {
    let others = beside_the_weights(base)?;
    let mut refused = None;
    let published = runfs::publish_dir(fs, dir, &mut |staged: &mut Staged| {
        for (i, name) in merged.names().iter().enumerate() {
            let on = &mut || !stop.load(Ordering::Relaxed);
            staged.file(name, &mut |out| merged.write(i, out, on).map_err(|e| own(e, &mut refused)))?;
        }
        if let Some(index) = merged.index() {
            staged.file("model.safetensors.index.json", &mut |out| out.write_all(&index))?;
        }
        staged.file("config.json", &mut |out| out.write_all(merged.config()))?;
        copy(&others, staged)
    });
    match (published, refused) {
        (Ok(_), _) => Ok(()),
        _ if stop.load(Ordering::Relaxed) => Err(TrainError::InterruptedWriting { dir: dir.to_owned() }),
        (Err(_), Some(refused)) => Err(refused.into()),
        (Err(e), None) => Err(e.into()),
    }
}

/// An error that is not the disk's is kept aside, where its type is not lost.
pub(crate) fn own(e: io::Error, refused: &mut Option<ModelError>) -> io::Error {
    match e.downcast::<ModelError>() {
        Ok(error) => {
            *refused = Some(error);
            io::ErrorKind::InvalidData.into()
        }
        Err(e) => e,
    }
}

/// (name, path) of the tokenizer, the template, the licence and the like.
pub(crate) fn beside_the_weights(model: &Path) -> Result<Vec<(String, PathBuf)>, RunFsError> {
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

pub(crate) fn copy(files: &[(String, PathBuf)], staged: &mut Staged) -> Result<(), RunFsError> {
    files
        .iter()
        .try_for_each(|(name, path)| staged.file(name, &mut |out| io::copy(&mut fs::File::open(path)?, out).map(drop)))
}
