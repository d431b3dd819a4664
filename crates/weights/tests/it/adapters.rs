//! PEFT's configuration files.

use crate::files::{fixtures, named};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::tempdir;
use weights::WeightsError;
use weights::peft::{self, AdapterConfig};

#[test]
fn the_references_configs_are_written_byte_for_byte() {
    let mut files = named(&fixtures().join("peft"), "adapter_config.json");
    files.extend(named(&fixtures().join("forward"), "adapter_config.json"));
    assert!(files.len() >= 33, "{}", files.len());
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let config = AdapterConfig::parse(&path, text.as_bytes()).unwrap();
        assert_eq!(config.to_json(), text, "{}", path.display());
        assert_eq!(config.other.is_empty(), config.peft_type != peft::ADALORA, "{}", path.display());
        assert!(config.beyond_lora().is_none(), "{}", path.display());
    }
}

#[test]
fn a_default_differs_from_the_references_only_where_it_must() {
    let path = fixtures().join("peft/llama/lora_qv/final/adapter_config.json");
    let reference = AdapterConfig::parse(&path, &fs::read(&path).unwrap()).unwrap();
    let ours = AdapterConfig {
        base_model_name_or_path: reference.base_model_name_or_path.clone(),
        r: 4,
        target_modules: Some(json!(["q_proj", "v_proj"])),
        ..AdapterConfig::default()
    };
    assert_eq!(ours, reference);
}

/// 103 real configurations: each of LoRA and AdaLoRA is read, each other one refused by its method's name.
#[test]
fn real_configs_of_every_method() {
    let (mut lora, mut ada, mut other) = (0, 0, 0);
    for entry in fs::read_dir(fixtures().join("peft_configs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        let method = json["peft_type"].as_str().unwrap();
        match AdapterConfig::parse(&path, &bytes) {
            Ok(config) => {
                assert!(matches!(method, "LORA" | peft::ADALORA), "{}", path.display());
                assert_eq!(config.r as u64, json["r"].as_u64().unwrap());
                assert_eq!(config.lora_alpha, json["lora_alpha"].as_f64().unwrap());
                let again = AdapterConfig::parse(&path, config.to_json().as_bytes()).unwrap();
                assert_eq!(again, config, "{}", path.display());
                *(if method == "LORA" { &mut lora } else { &mut ada }) += 1;
            }
            Err(WeightsError::PeftType { got, .. }) => {
                assert!(got == method && got != "LORA", "{}", path.display());
                other += 1;
            }
            Err(e) => panic!("{e}"),
        }
    }
    assert_eq!((lora, ada, other), (15, 2, 86));
}

#[test]
fn methods_that_only_look_like_lora_are_noticed() {
    let beyond = |file: &str| {
        let path = fixtures().join("peft_configs").join(file);
        AdapterConfig::parse(&path, &fs::read(&path).unwrap()).unwrap().beyond_lora().map(|(field, _)| field)
    };
    assert_eq!(beyond("MetaMathQA__lora__llama-3.2-3B-rank32.json"), None);
    assert_eq!(beyond("MetaMathQA__lora__llama-3.2-3B-rank64-rslora.json"), None);
    assert_eq!(beyond("MetaMathQA__lora__llama-3.2-3B-rank32-dora.json"), None);
    assert_eq!(beyond("MetaMathQA__lora__llama-3.2-3B-rank32-kasa.json"), Some("kasa_config"));
    assert_eq!(beyond("MetaMathQA__lora__llama-3.2-3B-rank14-target-mlp-bdlora.json"), Some("use_bdlora"));
    let with = |extra: Value| parse(extra).unwrap().beyond_lora();
    assert_eq!(
        with(json!({"init_lora_weights": "pissa_niter_4"})),
        Some(("init_lora_weights", "pissa_niter_4".into()))
    );
    assert_eq!(with(json!({"init_lora_weights": "gaussian"})), None);
    assert_eq!(with(json!({"fan_in_fan_out": true})), Some(("fan_in_fan_out", "true".into())));
    assert_eq!(with(json!({"layer_replication": [[0, 4], [2, 5]]})).unwrap().0, "layer_replication");
    assert_eq!(with(json!({"target_parameters": []})), None);
}

#[test]
fn patterns_keep_their_order_when_read() {
    let text = r#"{"peft_type": "LORA", "r": 4, "rank_pattern": {"z": 1, "a": 2, "m": 3}, "alpha_pattern": {"q": 16.5, "b": 8}}"#;
    let config = AdapterConfig::parse(Path::new("x"), text.as_bytes()).unwrap();
    assert_eq!(config.rank_pattern.keys().collect::<Vec<_>>(), ["z", "a", "m"]);
    assert_eq!(config.alpha_pattern.keys().collect::<Vec<_>>(), ["q", "b"]);
    let written = config.to_json();
    assert!(written.contains("\"alpha_pattern\": {\n    \"b\": 8,\n    \"q\": 16.5\n  }"), "{written}");
    assert!(written.contains("\"rank_pattern\": {\n    \"a\": 2,\n    \"m\": 3,\n    \"z\": 1\n  }"), "{written}");
}

#[test]
fn numbers_are_written_as_python_writes_them() {
    for (alpha, dropout, expect) in [
        (8.0, 0.0, ["\"lora_alpha\": 8,", "\"lora_dropout\": 0.0,"]),
        (16.5, 0.05, ["\"lora_alpha\": 16.5,", "\"lora_dropout\": 0.05,"]),
        (1e20, 1e-5, ["\"lora_alpha\": 1e+20,", "\"lora_dropout\": 1e-05,"]),
    ] {
        let written = AdapterConfig { lora_alpha: alpha, lora_dropout: dropout, ..AdapterConfig::default() }.to_json();
        assert!(expect.iter().all(|e| written.contains(e)), "{written}");
    }
}

/// A configuration of PEFT 0.3: fields that are gone are kept, fields that did not exist have their defaults, null
/// stands where PEFT has a value now.
#[test]
fn old_configs_are_read() {
    let text = r#"{"base_model_name_or_path": "decapoda-research/llama-7b-hf", "bias": "none", "enable_lora": null,
        "fan_in_fan_out": null, "inference_mode": true, "lora_alpha": 16, "lora_dropout": 0.05, "merge_weights": false,
        "modules_to_save": null, "peft_type": "LORA", "r": 8, "rank_pattern": null,
        "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}"#;
    let config = AdapterConfig::parse(Path::new("x"), text.as_bytes()).unwrap();
    assert_eq!((config.r, config.lora_alpha, config.lora_dropout, config.use_rslora), (8, 16.0, 0.05, false));
    assert!(config.rank_pattern.is_empty() && !config.fan_in_fan_out);
    let written: Value = serde_json::from_str(&config.to_json()).unwrap();
    assert_eq!((&written["enable_lora"], &written["merge_weights"]), (&Value::Null, &Value::Bool(false)));
}

#[test]
fn wrong_values_are_named() {
    for (field, value) in [
        ("r", json!(0)),
        ("r", json!("8")),
        ("r", json!(-1)),
        ("bias", json!("some")),
        ("lora_alpha", json!("16")),
        ("lora_dropout", json!(1.0)),
        ("lora_dropout", json!(-0.1)),
        ("use_rslora", json!("true")),
        ("init_lora_weights", json!([])),
        ("target_modules", json!([1])),
        ("exclude_modules", json!({"a": 1})),
        ("modules_to_save", json!("lm_head")),
        ("rank_pattern", json!({"a": 0})),
        ("rank_pattern", json!({"a": 2.5})),
        ("rank_pattern", json!([])),
        ("alpha_pattern", json!({"a": "x"})),
        ("alpha_pattern", json!({"a": 0})),
    ] {
        let e = parse(json!({field: value.clone()})).unwrap_err();
        let WeightsError::AdapterField { field: named, got, .. } = &e else { panic!("{field}: {e}") };
        assert!(named == field, "{field}: {e}");
        assert!(value.to_string().contains(got.as_str()), "{field}: {e}");
    }
    let e = AdapterConfig::parse(Path::new("x"), b"{\"r\": 8}").unwrap_err();
    assert!(matches!(&e, WeightsError::AdapterField { field, .. } if field == "peft_type"), "{e}");
    for broken in [&b"{"[..], b"[]", b"", b"\xff", b"{\"peft_type\": \"LORA\", \"r\": 1e999}"] {
        let e = AdapterConfig::parse(Path::new("x"), broken).unwrap_err();
        assert!(matches!(e, WeightsError::Json { .. }), "{e}");
    }
}

#[test]
fn adapter_folders() {
    let (config, tensors) = peft::open(&fixtures().join("peft/llama/lora_qv/final")).unwrap();
    assert_eq!((config.r, tensors.len()), (4, 8));
    assert!(tensors.contains("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"));

    let dir = tempdir().unwrap();
    let e = peft::open(dir.path()).unwrap_err();
    assert!(matches!(&e, WeightsError::Io { path, .. } if path.ends_with(peft::CONFIG_FILE)), "{e}");
    fs::write(dir.path().join(peft::CONFIG_FILE), config.to_json()).unwrap();
    let e = peft::open(dir.path()).unwrap_err();
    assert!(matches!(e, WeightsError::NoWeights { expected: peft::TENSORS_FILE, .. }), "{e}");
    fs::write(dir.path().join("adapter_model.bin"), b"\x80\x02.").unwrap();
    let e = peft::open(dir.path()).unwrap_err();
    assert!(matches!(&e, WeightsError::Pickle { path } if path.ends_with("adapter_model.bin")), "{e}");
    let huge = vec![b' '; (16 << 20) + 1];
    fs::write(dir.path().join(peft::CONFIG_FILE), huge).unwrap();
    let e = peft::open(dir.path()).unwrap_err();
    assert!(matches!(e, WeightsError::FileTooLarge { .. }), "{e}");
}

/// A small LoRA configuration with these fields replaced.
fn parse(fields: Value) -> Result<AdapterConfig, WeightsError> {
    let mut config = json!({"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]});
    config.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    AdapterConfig::parse(Path::new("adapter_config.json"), config.to_string().as_bytes())
}
