//! Whether two folders hold the same weights.

use crate::files::{f32s, file, fixtures};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tempfile::tempdir;
use weights::{Checkpoint, fingerprint};

fn of(dir: &Path) -> String {
    fingerprint(&Checkpoint::open(dir).unwrap()).unwrap()
}

fn single(dir: &Path, tensors: &[(&str, &[f32])]) -> String {
    let tensors: Vec<_> = tensors.iter().map(|(name, values)| f32s(name, values)).collect();
    fs::write(dir.join("model.safetensors"), file(&tensors)).unwrap();
    of(dir)
}

#[test]
fn every_model_has_its_own() {
    let names = ["llama", "llama_tied", "llama_rope3", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "phi3"];
    let found: BTreeSet<String> = names.iter().map(|name| of(&fixtures().join("models").join(name))).collect();
    assert_eq!(found.len(), names.len());
    assert!(found.iter().all(|f| f.len() == 64));
}

#[test]
fn it_is_that_of_the_tensors_and_not_of_the_files() {
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    let before = single(one.path(), &[("a", &[1.0, 2.0]), ("b", &[3.0])]);
    for (name, tensor) in [("x", f32s("b", &[3.0])), ("y", f32s("a", &[1.0, 2.0]))] {
        fs::write(two.path().join(format!("{name}.safetensors")), file(&[tensor])).unwrap();
    }
    let index = r#"{"weight_map": {"a": "y.safetensors", "b": "x.safetensors"}}"#;
    fs::write(two.path().join("model.safetensors.index.json"), index).unwrap();
    fs::write(two.path().join("config.json"), "{}").unwrap();
    assert_eq!(of(two.path()), before);
    for other in [&[("a", &[1.0, 2.0][..])][..], &[("a", &[1.0, 2.0]), ("c", &[3.0])], &[("a", &[1.0]), ("b", &[3.0])]]
    {
        assert_ne!(single(one.path(), other), before, "{other:?}");
    }
}

/// Small tensors are read whole; of large ones the ends and pieces between.
#[test]
fn other_values_are_noticed() {
    let dir = tempdir().unwrap();
    let small: Vec<f32> = (0..100).map(|i| i as f32).collect();
    let before = single(dir.path(), &[("a", &small)]);
    for at in 0..small.len() {
        let mut other = small.clone();
        other[at] += 0.5;
        assert_ne!(single(dir.path(), &[("a", &other)]), before, "{at}");
    }
    let large: Vec<f32> = (0..100_000).map(|i| i as f32).collect();
    let before = single(dir.path(), &[("a", &large)]);
    for at in [0, 15, 99_999, 99_984] {
        let mut other = large.clone();
        other[at] += 0.5;
        assert_ne!(single(dir.path(), &[("a", &other)]), before, "{at}");
    }
    let trained: Vec<f32> = large.iter().map(|v| v * 1.001).collect();
    assert_ne!(single(dir.path(), &[("a", &trained)]), before);
    assert_eq!(single(dir.path(), &[("a", &large)]), before);
}
