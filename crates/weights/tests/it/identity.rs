//! Whether a base model is still the same.

use crate::files::{f32s, file, fixtures};
use serde_json::json;
use std::fs;
use std::path::Path;
use tempfile::tempdir;
use weights::{WeightsError, identity, identity_with, sha256_checkpoint};

fn model(dir: &Path) {
    fs::write(dir.join("config.json"), "{}").unwrap();
    fs::write(dir.join("model.safetensors"), file(&[f32s("a", &[1.0, 2.0])])).unwrap();
}

#[test]
fn it_is_a_function_of_the_files_alone() {
    let llama = fixtures().join("models/llama");
    let id = identity(&llama).unwrap();
    assert_eq!(id.files.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["config.json", "model.safetensors"]);
    assert_eq!((id.sha256.len(), &id.sha256), (64, &sha256_checkpoint(&llama).unwrap()));
    assert_eq!(id.files[1].bytes, fs::metadata(llama.join("model.safetensors")).unwrap().len());
    let copy = tempdir().unwrap();
    for f in &id.files {
        fs::copy(llama.join(&f.name), copy.path().join(&f.name)).unwrap();
    }
    assert_eq!(sha256_checkpoint(copy.path()).unwrap(), id.sha256);
    assert_ne!(sha256_checkpoint(&fixtures().join("models/qwen2")).unwrap(), id.sha256);
}

#[test]
fn reading_is_told_and_ends_where_it_is_not_wanted() {
    let dir = tempdir().unwrap();
    model(dir.path());
    // More than is read between two tellings.
    fs::write(dir.path().join("model.safetensors"), vec![1; 40 << 20]).unwrap();
    let mut told = Vec::new();
    let id = identity_with(dir.path(), &mut |bytes, total| {
        told.push((bytes, total));
        true
    });
    assert_eq!(id.unwrap(), identity(dir.path()).unwrap());
    let total = (40 << 20) + 2;
    assert_eq!(told.last(), Some(&(total, total)));
    assert!(told.len() == 3 && told.is_sorted(), "{told:?}");
    let mut asked = 0;
    let stopped = identity_with(dir.path(), &mut |_, _| {
        asked += 1;
        asked < 2
    });
    assert!(matches!(stopped, Err(WeightsError::Interrupted)) && asked == 2, "{stopped:?} {asked}");
}

#[test]
fn every_byte_counts() {
    let dir = tempdir().unwrap();
    model(dir.path());
    let before = identity(dir.path()).unwrap();
    for name in ["config.json", "model.safetensors"] {
        let path = dir.path().join(name);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert_ne!(sha256_checkpoint(dir.path()).unwrap(), before.sha256, "{name} byte {at}");
        }
        fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(sha256_checkpoint(dir.path()).unwrap(), before.sha256);
}

#[test]
fn shards_and_their_index_count() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("config.json"), "{}").unwrap();
    fs::write(dir.path().join("b.safetensors"), file(&[f32s("b", &[1.0])])).unwrap();
    fs::write(dir.path().join("a.safetensors"), file(&[f32s("a", &[1.0])])).unwrap();
    let index = json!({"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}});
    fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    let names: Vec<String> = identity(dir.path()).unwrap().files.into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["config.json", "model.safetensors.index.json", "a.safetensors", "b.safetensors"]);
}

#[test]
fn a_kept_identity_notices_new_files() {
    let dir = tempdir().unwrap();
    model(dir.path());
    let id = identity(dir.path()).unwrap();
    assert!(id.looks_unchanged(dir.path()));
    fs::write(dir.path().join("config.json"), "{ }").unwrap();
    assert!(!id.looks_unchanged(dir.path()));
    fs::remove_file(dir.path().join("config.json")).unwrap();
    assert!(!id.looks_unchanged(dir.path()));
    let e = identity(dir.path()).unwrap_err();
    assert!(matches!(&e, WeightsError::Io { path, .. } if path.ends_with("config.json")), "{e}");
}
