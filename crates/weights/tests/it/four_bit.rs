//! Tensors that bitsandbytes saved in 4 bits: read as they lie there, or refused by the name of what is wrong.

use crate::files::{Entry, f32s, file, fixtures};
use std::fs;
use tempfile::tempdir;
use weights::{Absmax, Checkpoint, FourBit, WeightsError, four_bit_owner};

const STATE: &str = r#"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [3, 43]}"#;
const NESTED: &str = r#"{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [3, 43],
    "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.25}"#;

fn u8s<'a>(name: &'a str, shape: &'a [usize], data: &[u8]) -> Entry<'a> {
    Entry { name, dtype: "U8", shape, data: data.to_vec() }
}

/// A weight of 3 × 43 values in three blocks, with magnitudes in f32 or quantised.
fn parts(state: &str) -> Vec<Entry<'_>> {
    let mut entries = vec![
        u8s("w.weight", &[65, 1], &[0x7f; 65]),
        f32s("w.weight.quant_map", &[0.5; 16]),
        Entry { name: "w.weight.quant_state.bitsandbytes__nf4", dtype: "U8", shape: &[], data: state.into() },
    ];
    if state.contains("nested") {
        entries.push(u8s("w.weight.absmax", &[3], &[1, 2, 3]));
        entries.push(f32s("w.weight.nested_absmax", &[2.0]));
        entries.push(f32s("w.weight.nested_quant_map", &[0.125; 256]));
    } else {
        entries.push(f32s("w.weight.absmax", &[1.0, 2.0, 3.0]));
    }
    entries
}

fn with<R>(entries: &[Entry], f: impl FnOnce(Result<Option<FourBit>, WeightsError>) -> R) -> R {
    let dir = tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let lengths: Vec<[usize; 1]> = entries.iter().map(|e| [e.data.len()]).collect();
    let entries: Vec<Entry> = entries
        .iter()
        .zip(&lengths)
        .map(|(e, len)| {
            let shape = if e.dtype == "U8" && e.shape.is_empty() { len } else { e.shape };
            Entry { name: e.name, dtype: e.dtype, shape, data: e.data.clone() }
        })
        .collect();
    fs::write(&path, file(&entries)).unwrap();
    f(Checkpoint::open_file(&path).unwrap().four_bit("w.weight"))
}

#[test]
fn magnitudes_in_f32_and_in_8_bits() {
    with(&parts(STATE), |found| {
        let found = found.unwrap().unwrap();
        assert_eq!((found.shape.as_slice(), found.block, found.map), ([3, 43].as_slice(), 64, [0.5; 16]));
        assert_eq!(found.codes, [0x7f; 65]);
        assert_eq!(found.absmax, Absmax::Single([1.0, 2.0, 3.0].as_slice().into()));
        let parts: Vec<_> = found.parts("w.weight").collect();
        let expect = ["absmax", "quant_map", "quant_state.bitsandbytes__nf4"].map(|p| format!("w.weight.{p}"));
        assert_eq!(parts, expect);
        assert!(parts.iter().all(|p| four_bit_owner(p) == Some("w.weight")));
    });
    with(&parts(NESTED), |found| {
        let found = found.unwrap().unwrap();
        let Absmax::Double { codes, map, absmax, block, offset } = &found.absmax else { panic!("{found:?}") };
        assert_eq!(
            (*codes, map[255], absmax.as_ref(), *block, *offset),
            ([1, 2, 3].as_slice(), 0.125, &[2.0][..], 256, 0.25)
        );
        assert_eq!(found.parts("w.weight").count(), 5);
    });
}

/// Codes may be stored as another type (`bnb_4bit_quant_storage`): their bytes count.
#[test]
fn codes_in_another_types_clothes() {
    let state = STATE.replace("[3, 43]", "[4, 32]");
    let mut entries = parts(&state);
    entries[0] = Entry { name: "w.weight", dtype: "BF16", shape: &[32, 1], data: vec![0x21; 64] };
    entries[3] = f32s("w.weight.absmax", &[1.0, 2.0]);
    with(&entries, |found| assert_eq!(found.unwrap().unwrap().codes, [0x21; 64]));
}

#[test]
fn a_plain_tensor_is_not_in_four_bits() {
    with(&[f32s("w.weight", &[1.0])], |found| assert_eq!(found.unwrap(), None));
    for name in ["w.weight", "model.absmax", "w.weight.scale"] {
        assert_eq!(four_bit_owner(name), None, "{name}");
    }
}

#[test]
fn the_references_checkpoints() {
    for (model, linears) in [("llama", 14), ("qwen2", 14)] {
        let checkpoint = Checkpoint::open(&fixtures().join("nf4").join(model)).unwrap();
        let all: Vec<_> = checkpoint.names().filter_map(|n| checkpoint.four_bit(n).unwrap()).collect();
        assert_eq!(all.len(), linears, "{model}");
        assert!(all.iter().all(|f| f.block == 64 && matches!(f.absmax, Absmax::Double { block: 256, .. })));
    }
}

#[test]
fn what_does_not_agree_is_named() {
    let edit = |state: &str, from: &str, to: &str| {
        assert!(state.contains(from));
        state.replace(from, to)
    };
    for (state, says) in [
        (edit(STATE, "nf4", "fp4"), "quant_type is fp4, expected nf4"),
        (edit(STATE, "64", "48"), "blocksize is 48, expected one of 32, 64, 128, 256, 512, 1024, 2048, 4096"),
        (edit(STATE, "64", "128"), "weight.absmax, in 4 bits: its length is 3, expected 2 values"),
        (edit(STATE, "64", "0"), "blocksize is 0"),
        (edit(STATE, "64", "-1"), "its JSON is invalid value: integer `-1`"),
        (edit(STATE, "\"blocksize\": 64, ", ""), "its JSON is missing field `blocksize`"),
        (edit(STATE, "[3, 43]", "[3, 44]"), "weight, in 4 bits: its length is 65, expected 66 bytes"),
        (edit(STATE, "[3, 43]", "[4294967296, 4294967296]"), "expected one that memory holds"),
        (edit(STATE, "{", ""), "its JSON is"),
        (edit(NESTED, "256", "100"), "nested_blocksize is 100"),
        (edit(NESTED, "256", "-1"), "its JSON is"),
        (edit(NESTED, ", \"nested_offset\": 0.25", ""), "expected nested_blocksize and nested_offset, or neither"),
        (edit(NESTED, "0.25", "1e999"), "its JSON is"),
    ] {
        let error = with(&parts(&state), |found| found.unwrap_err().to_string());
        assert!(error.contains(says) && error.contains("model.safetensors: tensor w.weight"), "{error}\n{says}");
    }
    let tensor = |i: usize, entry: Entry<'static>, says: &str| {
        let mut entries = parts(NESTED);
        entries[i] = entry;
        let error = with(&entries, |found| found.unwrap_err().to_string());
        assert!(error.contains(says), "{error}\n{says}");
    };
    tensor(0, u8s("w.weight", &[64], &[0; 64]), "its length is 64, expected 65 bytes");
    tensor(1, f32s("w.weight.quant_map", &[0.0; 15]), "its length is 15, expected 16 values");
    tensor(1, u8s("w.weight.quant_map", &[64], &[0; 64]), "its type is U8, expected F32");
    tensor(1, f32s("other", &[0.0]), "tensor w.weight.quant_map is missing");
    tensor(3, u8s("w.weight.absmax", &[2], &[0; 2]), "its length is 2, expected 3 values");
    tensor(3, f32s("w.weight.absmax", &[0.0; 3]), "its type is F32, expected U8");
    tensor(4, f32s("w.weight.nested_absmax", &[]), "its length is 0, expected 1 values");
    tensor(4, f32s("other", &[0.0]), "tensor w.weight.nested_absmax is missing");
    tensor(5, f32s("w.weight.nested_quant_map", &[0.0; 255]), "its length is 255, expected 256 values");

    let large = format!("{STATE}{}", " ".repeat(1 << 16));
    with(&parts(&large), |found| {
        let error = found.unwrap_err().to_string();
        assert!(error.contains("its JSON is 65"), "{error}");
    });
    let mut fp4 = parts(STATE);
    fp4[2].name = "w.weight.quant_state.bitsandbytes__fp4";
    with(&fp4, |found| {
        let error = found.unwrap_err().to_string();
        assert!(error.ends_with("its type is fp4, expected nf4"), "{error}");
    });
}
