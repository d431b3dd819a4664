//! Opening what is right, in every form that the field writes.

use crate::files::{Entry, f32s, file, fixtures, raw};
use half::{bf16, f16};
use serde_json::json;
use std::borrow::Cow;
use std::fs;
use std::path::Path;
use tempfile::tempdir;
use weights::{Checkpoint, Dtype, Floats, View, WeightsError};

#[test]
fn every_fixture_model_opens() {
    let mut models = 0;
    for entry in fs::read_dir(fixtures().join("models")).unwrap() {
        let dir = entry.unwrap().path();
        let c = Checkpoint::open(&dir).unwrap();
        assert!(c.names().is_sorted() && c.names().count() == c.len() && !c.is_empty(), "{}", dir.display());
        let embedding = c.get("model.embed_tokens.weight").unwrap();
        assert_eq!((embedding.shape.len(), embedding.shape[1], embedding.dtype), (2, 64, Dtype::F32));
        assert_eq!(embedding.to_f32().unwrap().len(), embedding.elements());
        assert_eq!(c.metadata()["format"], "pt");
        assert_eq!(c.bytes_total(), fs::metadata(dir.join("model.safetensors")).unwrap().len());
        models += 1;
    }
    assert!(models >= 9, "{models} models");
}

/// Float types, and their values as f32.
#[test]
fn every_float_type_is_read() {
    let values = [0.0f32, -1.5, 65504.0, 0.1, 1e-7];
    let le = |bytes: Vec<[u8; 2]>| bytes.concat();
    let entries = [
        ("F32", values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>(), values.to_vec()),
        ("F64", values.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect(), values.to_vec()),
        (
            "F16",
            le(values.iter().map(|x| f16::from_f32(*x).to_le_bytes()).collect()),
            values.iter().map(|x| f16::from_f32(*x).to_f32()).collect(),
        ),
        (
            "BF16",
            le(values.iter().map(|x| bf16::from_f32(*x).to_le_bytes()).collect()),
            values.iter().map(|x| bf16::from_f32(*x).to_f32()).collect(),
        ),
    ];
    let dir = tempdir().unwrap();
    for (dtype, data, expect) in entries {
        let path = dir.path().join(format!("{dtype}.safetensors"));
        fs::write(&path, file(&[Entry { name: "x", dtype, shape: &[5], data }])).unwrap();
        let c = Checkpoint::open_file(&path).unwrap();
        assert_eq!(c.get("x").unwrap().to_f32().unwrap(), expect, "{dtype}");
    }
}

#[test]
fn f64_beyond_f32_becomes_the_nearest() {
    let data = [0.1f64, 1e300, 1e-300].iter().flat_map(|x| x.to_le_bytes()).collect();
    let (dir, path) = one(&[Entry { name: "x", dtype: "F64", shape: &[3], data }]);
    let x = Checkpoint::open_file(&path).unwrap().get("x").unwrap().to_f32().unwrap();
    assert_eq!(x, [0.1f32, f32::INFINITY, 0.0]);
    drop(dir);
}

/// Aligned data is borrowed; a header of any length, and so data at any address, gives the same values.
#[test]
fn misaligned_data_is_copied() {
    let mut borrowed = 0;
    for pad in 0..8 {
        let header =
            json!({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).to_string() + &" ".repeat(pad);
        let dir = tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        fs::write(&path, raw(&header, &[1.5f32.to_le_bytes(), (-2.0f32).to_le_bytes()].concat())).unwrap();
        let c = Checkpoint::open_file(&path).unwrap();
        let x = c.get("x").unwrap();
        let Floats::F32(values) = x.floats().unwrap() else { panic!("{x:?}") };
        assert_eq!(*values, [1.5, -2.0]);
        borrowed += u32::from(matches!(values, Cow::Borrowed(_)));
    }
    assert_eq!(borrowed, 2, "of 8 paddings, 2 put f32 on its boundary");
}

#[test]
fn scalars_and_empty_tensors_are_tensors() {
    let header = json!({
        "none": {"dtype": "F32", "shape": [0, 7], "data_offsets": [0, 0]},
        "scalar": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
    });
    let dir = tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    fs::write(&path, raw(&header.to_string(), &2.5f32.to_le_bytes())).unwrap();
    let c = Checkpoint::open_file(&path).unwrap();
    assert_eq!(c.get("scalar").unwrap().to_f32().unwrap(), [2.5]);
    assert_eq!(c.get("scalar").unwrap().elements(), 1);
    assert!(c.get("none").unwrap().to_f32().unwrap().is_empty());
    c.release("none");
}

#[test]
fn integers_are_views_but_no_floats() {
    let (_dir, path) = one(&[Entry { name: "ids", dtype: "I64", shape: &[1], data: 7i64.to_le_bytes().to_vec() }]);
    let c = Checkpoint::open_file(&path).unwrap();
    let ids = c.get("ids").unwrap();
    assert_eq!((ids.dtype, ids.bytes), (Dtype::I64, 7i64.to_le_bytes().as_slice()));
    let e = ids.to_f32().unwrap_err();
    assert!(matches!(&e, WeightsError::NotFloat { tensor, got: Dtype::I64, .. } if tensor == "ids"), "{e}");
}

#[test]
fn a_missing_tensor_is_named() {
    let (_dir, path) = one(&[f32s("a", &[1.0])]);
    let c = Checkpoint::open_file(&path).unwrap();
    assert!(c.contains("a") && !c.contains("b"));
    let e = c.get("b").unwrap_err();
    assert!(matches!(&e, WeightsError::Missing { tensor, path: p } if tensor == "b" && *p == path), "{e}");
}

#[test]
fn released_tensors_read_the_same() {
    let c = Checkpoint::open(&fixtures().join("models/llama")).unwrap();
    let all = |c: &Checkpoint| -> Vec<Vec<f32>> { c.names().map(|n| c.get(n).unwrap().to_f32().unwrap()).collect() };
    let before = all(&c);
    let kept: View = c.get("model.embed_tokens.weight").unwrap();
    for name in c.names() {
        c.release(name);
    }
    c.release("no such tensor");
    assert_eq!(all(&c), before);
    assert_eq!(kept.to_f32().unwrap(), c.get("model.embed_tokens.weight").unwrap().to_f32().unwrap());
}

#[test]
fn shards_are_one_checkpoint() {
    let dir = tempdir().unwrap();
    shards(dir.path(), json!({"a": A, "b": A, "c": B}));
    let c = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(c.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(c.get("c").unwrap().to_f32().unwrap(), [3.0, 4.0]);
    assert_eq!(c.files().map(|f| f.file_name().unwrap().to_str().unwrap()).collect::<Vec<_>>(), [A, B]);
}

/// As in transformers: exporters that leave an old index beside the single file are common.
#[test]
fn a_single_file_wins_over_an_index() {
    let dir = tempdir().unwrap();
    shards(dir.path(), json!({"a": A}));
    fs::write(dir.path().join("model.safetensors"), file(&[f32s("only", &[1.0])])).unwrap();
    assert_eq!(Checkpoint::open(dir.path()).unwrap().names().collect::<Vec<_>>(), ["only"]);
}

#[test]
fn what_an_index_may_not_say() {
    let refused = |map: serde_json::Value| {
        let dir = tempdir().unwrap();
        shards(dir.path(), map);
        Checkpoint::open(dir.path()).unwrap_err()
    };
    let e = refused(json!({"a": A, "b": A, "c": A}));
    assert!(matches!(&e, WeightsError::NotInShard { tensor, shard, .. } if tensor == "c" && shard.ends_with(A)), "{e}");
    let e = refused(json!({"a": A, "zz": B}));
    assert!(matches!(&e, WeightsError::NotInShard { tensor, .. } if tensor == "zz"), "{e}");
    let e = refused(json!({"a": "model-00003-of-00002.safetensors"}));
    assert!(
        matches!(&e, WeightsError::ShardMissing { shard, .. } if shard.ends_with("model-00003-of-00002.safetensors"))
    );
    let e = refused(json!({}));
    assert!(matches!(e, WeightsError::IndexEmpty { .. }), "{e}");
    let e = refused(json!({"a": 3}));
    assert!(matches!(e, WeightsError::Index { .. }), "{e}");
    let many = (0..10_001).map(|i| (format!("t{i}"), format!("{i}.safetensors").into())).collect();
    let e = refused(serde_json::Value::Object(many));
    assert!(matches!(e, WeightsError::IndexShards { limit: 10_000, got: 10_001, .. }), "{e}");
    for name in [
        "../../etc/passwd",
        "/etc/passwd",
        "../x.safetensors",
        "sub/x.safetensors",
        "..\\x.safetensors",
        "C:x.safetensors",
        ".safetensors",
        "..",
        "",
        "x.bin",
        "x\0.safetensors",
    ] {
        let e = refused(json!({"a": name}));
        assert!(matches!(&e, WeightsError::IndexName { shard, .. } if shard == name), "{name:?}: {e}");
    }
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let dir = tempdir().unwrap();
    shards(dir.path(), json!({"a": A, "c": B}));
    fs::write(dir.path().join(B), file(&[f32s("a", &[9.0]), f32s("c", &[3.0])])).unwrap();
    let e = Checkpoint::open(dir.path()).unwrap_err();
    let WeightsError::InTwoShards { tensor, first, second } = &e else { panic!("{e}") };
    assert!(tensor == "a" && first.ends_with(A) && second.ends_with(B));
}

#[test]
fn a_broken_shard_is_named() {
    let dir = tempdir().unwrap();
    shards(dir.path(), json!({"a": A, "c": B}));
    fs::write(dir.path().join(B), [0; 3]).unwrap();
    let e = Checkpoint::open(dir.path()).unwrap_err();
    assert!(matches!(&e, WeightsError::TooShort { path, got: 3 } if path.ends_with(B)), "{e}");
}

#[test]
fn directories_without_safetensors() {
    let dir = tempdir().unwrap();
    let open = || Checkpoint::open(dir.path()).unwrap_err();
    assert!(matches!(open(), WeightsError::NoWeights { .. }));
    for pickle in ["pytorch_model.bin.index.json", "pytorch_model.bin"] {
        fs::write(dir.path().join(pickle), "cos\nsystem\n(S'true'\ntR.").unwrap();
        let e = open();
        assert!(matches!(&e, WeightsError::Pickle { path } if path.ends_with(pickle)), "{e}");
        assert!(e.to_string().contains("convert it to safetensors"));
    }
    let e = Checkpoint::open_file(&dir.path().join("pytorch_model.bin")).unwrap_err();
    assert!(matches!(e, WeightsError::Pickle { .. }));
    let e = Checkpoint::open(&dir.path().join("pytorch_model.bin")).unwrap_err();
    assert!(matches!(e, WeightsError::NotADirectory { .. }));
    let e = Checkpoint::open(&dir.path().join("absent")).unwrap_err();
    assert!(matches!(e, WeightsError::Io { op: "open", .. }), "{e}");
    fs::create_dir(dir.path().join("model.safetensors")).unwrap();
    assert!(matches!(open(), WeightsError::NotAFile { .. }));
}

const A: &str = "model-00001-of-00002.safetensors";
const B: &str = "model-00002-of-00002.safetensors";

/// Two shards, a and b in the first and c in the second, and an index with this map.
fn shards(dir: &Path, weight_map: serde_json::Value) {
    fs::write(dir.join(A), file(&[f32s("a", &[1.0]), f32s("b", &[2.0])])).unwrap();
    fs::write(dir.join(B), file(&[f32s("c", &[3.0, 4.0])])).unwrap();
    let index = json!({"metadata": {"total_size": 16}, "weight_map": weight_map});
    fs::write(dir.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

fn one(entries: &[Entry]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    fs::write(&path, file(entries)).unwrap();
    (dir, path)
}
