//! Checkpoints whose weights are packed are recognised, so that nobody reads them as numbers.

use crate::files::{Entry, f32s, file, fixtures};
use serde_json::{Value, json};
use std::fs;
use tempfile::tempdir;
use weights::{Checkpoint, Quantization, WeightsError, quantization};

fn of(config: &Value, tensors: &[&str]) -> Option<Quantization> {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let entries: Vec<Entry> = tensors.iter().map(|name| f32s(name, &[1.0])).collect();
    fs::write(dir.path().join("model.safetensors"), file(&entries)).unwrap();
    quantization(dir.path(), &Checkpoint::open(dir.path()).unwrap()).unwrap()
}

#[test]
fn plain_models_are_plain() {
    for entry in fs::read_dir(fixtures().join("models")).unwrap() {
        let dir = entry.unwrap().path();
        assert_eq!(quantization(&dir, &Checkpoint::open(&dir).unwrap()).unwrap(), None, "{}", dir.display());
    }
    assert_eq!(of(&json!({"quantization_config": null}), &["model.norm.weight"]), None);
}

#[test]
fn announced_ones_by_their_configuration() {
    let four = json!({"quant_method": "bitsandbytes", "load_in_4bit": true, "load_in_8bit": false,
        "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": true});
    for (config, expect, text) in [
        (
            four,
            Quantization::BitsAndBytes4Bit { kind: "nf4".into(), double: true },
            "bitsandbytes 4-bit (nf4 with double quantisation)",
        ),
        (
            json!({"load_in_4bit": true}),
            Quantization::BitsAndBytes4Bit { kind: "fp4".into(), double: false },
            "bitsandbytes 4-bit (fp4)",
        ),
        (
            json!({"quant_method": "bitsandbytes", "load_in_8bit": true}),
            Quantization::BitsAndBytes8Bit,
            "bitsandbytes 8-bit",
        ),
        (json!({"quant_method": "gptq", "bits": 4}), Quantization::Other("gptq".into()), "gptq"),
        (json!({}), Quantization::Other("an unnamed method".into()), "an unnamed method"),
    ] {
        let found = of(&json!({"quantization_config": config}), &["a"]).unwrap();
        assert_eq!((&found, found.to_string().as_str()), (&expect, text));
    }
}

#[test]
fn unannounced_ones_by_their_tensors() {
    for tensor in [
        "model.layers.0.mlp.up_proj.weight.absmax",
        "model.layers.0.mlp.up_proj.weight.quant_map",
        "model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4",
        "model.layers.0.mlp.up_proj.SCB",
        "model.layers.0.mlp.up_proj.qweight",
    ] {
        let expect = Quantization::Unannounced { tensor: tensor.to_owned() };
        assert_eq!(of(&json!({}), &["a.weight", tensor]), Some(expect));
    }
}

#[test]
fn a_broken_configuration_is_no_plain_model() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("model.safetensors"), file(&[f32s("a", &[1.0])])).unwrap();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert!(matches!(quantization(dir.path(), &checkpoint), Err(WeightsError::Io { .. })));
    fs::write(dir.path().join("config.json"), "{").unwrap();
    assert!(matches!(quantization(dir.path(), &checkpoint), Err(WeightsError::Json { .. })));
}
