//! `config.json`: both styles, the defaults, and what is refused.

use crate::support::*;
use model::adapters::{Bias, Tied};
use model::{FAMILIES, LayerKind, ModelConfig, ModelError};
use serde_json::{Value, json};
use std::path::Path;

fn read(config: &Value) -> Result<ModelConfig, ModelError> {
    ModelConfig::from_json(Path::new("m/config.json"), config.to_string().as_bytes())
}

/// A small model of the family with nothing but the sizes given, and `edit` on top.
fn sized(family: &str, edit: Value) -> Value {
    let mut config = json!({
        "model_type": family, "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 8, "num_attention_heads": 4, "num_key_value_heads": 2,
    });
    let (Value::Object(map), Value::Object(edit)) = (&mut config, edit) else { panic!("objects") };
    map.extend(edit);
    config
}

#[test]
fn both_styles_mean_the_same() {
    for name in ["gemma2", "gemma3", "llama", "llama_rope3", "llama_tied", "mistral", "phi3", "qwen2", "qwen3"] {
        let new = ModelConfig::read(&model_dir(name)).expect(name);
        let path = model_dir(name).join("config_v4.json");
        let old = ModelConfig::from_json(&path, &std::fs::read(&path).expect(name)).expect(name);
        assert_eq!(new, old, "{name}");
    }
}

/// A family's defaults, as its class in `transformers` has them.
#[test]
fn missing_fields_get_the_familys_defaults() {
    // family, tied, epsilon, positions, window of layers 0 and 7, head width
    let all = [
        ("llama", Tied::No, 1e-6, 2048, [None, None], 16),
        ("qwen2", Tied::No, 1e-6, 32768, [None, None], 16),
        ("qwen3", Tied::No, 1e-6, 32768, [None, None], 128),
        ("mistral", Tied::No, 1e-6, 131_072, [Some(4096), Some(4096)], 16),
        ("gemma2", Tied::Yes, 1e-6, 8192, [Some(4096), None], 256),
        ("gemma3_text", Tied::Yes, 1e-6, 131_072, [Some(4096), Some(4096)], 256),
        ("phi3", Tied::No, 1e-5, 4096, [None, None], 16),
    ];
    assert_eq!(all.len(), FAMILIES.len());
    for (family, tied, eps, positions, windows, head_dim) in all {
        let c = read(&sized(family, json!({}))).expect(family);
        assert_eq!((c.tied, c.rms_eps, c.position_max, c.head_dim), (tied, eps, positions, head_dim), "{family}");
        assert_eq!([c.layer[0].window, c.layer[7].window], windows, "{family}");
        let scalar = if family.starts_with("gemma") { 256.0 } else { head_dim as f32 };
        assert!((c.attn_scale * scalar.sqrt() - 1.0).abs() < 1e-6, "{family}");
    }
    let gemma3 = read(&sized("gemma3_text", json!({}))).expect("gemma3");
    assert_eq!(gemma3.layer[5], LayerKind { window: None, rope: 0 });
    assert_eq!(gemma3.layer[4], LayerKind { window: Some(4096), rope: 1 });
    assert!(gemma3.ropes[0].inv_freq[1] < gemma3.ropes[1].inv_freq[1], "base 1e6 turns slower than 1e4");
    let gemma2 = read(&sized("gemma2", json!({}))).expect("gemma2");
    assert_eq!((gemma2.attn_softcap, gemma2.final_softcap), (Some(50.0), Some(30.0)));
    let uncapped = json!({"attn_logit_softcapping": null, "final_logit_softcapping": null});
    let gemma2 = read(&sized("gemma2", uncapped)).expect("gemma2");
    assert_eq!((gemma2.attn_softcap, gemma2.final_softcap), (None, None));
    assert_eq!(read(&sized("qwen2", json!({}))).expect("qwen2").bias_qkv, Bias::Present);
    let heads = json!({"num_key_value_heads": null});
    assert_eq!(read(&sized("llama", heads)).expect("llama").kv_heads, 4);
}

#[test]
fn windows_follow_their_fields() {
    let check = |family: &str, edit: Value, expect: &[usize]| {
        let c = read(&sized(family, edit.clone())).expect(family);
        let got: Vec<usize> = (0..8).filter(|l| c.layer[*l].window.is_some()).collect();
        assert_eq!(got, expect, "{family} {edit}");
    };
    let every: Vec<usize> = (0..8).collect();
    check("mistral", json!({"sliding_window": null}), &[]);
    check("mistral", json!({"sliding_window": 7}), &every);
    check("phi3", json!({"sliding_window": 7}), &every);
    check("qwen2", json!({"sliding_window": 7, "max_window_layers": 5}), &[]);
    check("qwen2", json!({"sliding_window": 7, "use_sliding_window": true, "max_window_layers": 5}), &[5, 6, 7]);
    check("qwen2", json!({"sliding_window": 7, "use_sliding_window": true, "max_window_layers": 0}), &every);
    check("gemma2", json!({}), &[0, 2, 4, 6]);
    check("gemma3_text", json!({"sliding_window_pattern": 3}), &[0, 1, 3, 4, 6, 7]);
    check("gemma3_text", json!({"_sliding_window_pattern": 2}), &[0, 2, 4, 6]);
    let mut types = vec!["full_attention"; 8];
    types[3] = "sliding_attention";
    check("gemma2", json!({"layer_types": types}), &[3]);
    check("qwen3", json!({"layer_types": types, "sliding_window": 9, "use_sliding_window": true}), &[3]);
}

#[test]
fn ropes_follow_their_fields() {
    let second = |family: &str, edit: Value| read(&sized(family, edit)).expect(family).ropes[0].inv_freq[1];
    let plain = second("llama", json!({}));
    assert_eq!(plain, (1e4f64.powf(-2.0 / 16.0)) as f32);
    assert_eq!(second("llama", json!({"rope_theta": 10000})), plain);
    assert_eq!(second("llama", json!({"rope_scaling": {"type": "linear", "factor": 2.0}})), plain / 2.0);
    assert_eq!(second("llama", json!({"rope_parameters": {"rope_type": "linear", "factor": 2}})), plain / 2.0);
    assert_eq!(read(&sized("phi3", json!({"partial_rotary_factor": 0.5}))).expect("phi3").ropes[0].inv_freq.len(), 4);
}

#[test]
fn other_architectures_are_refused_by_name() {
    for (name, extra, reason) in [
        ("mixtral", json!({"num_local_experts": 8}), "a mixture of experts"),
        ("qwen2_moe", json!({}), "a mixture of experts"),
        ("deepseek_v3", json!({"n_routed_experts": 256}), "a mixture of experts"),
        ("gemma3", json!({"text_config": {}, "vision_config": {}}), "a model of more than text"),
        ("llava", json!({"text_config": {}}), "a model of more than text"),
        ("gpt2", json!({}), "an architecture that this program has no code for"),
    ] {
        match read(&sized(name, extra)) {
            Err(ModelError::Architecture { name: got, why, supported, .. }) => {
                assert_eq!((got.as_str(), why), (name, reason));
                assert_eq!(supported, "gemma2, gemma3_text, llama, mistral, phi3, qwen2, qwen3");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn wrong_values_are_refused_by_field() {
    let long = json!({"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]});
    let llama3 = |low: f64, high: f64| {
        json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": low, "high_freq_factor": high, "original_max_position_embeddings": 32}})
    };
    let cases = [
        ("llama", json!({"hidden_size": 0}), "hidden_size"),
        ("llama", json!({"hidden_size": -3}), "hidden_size"),
        ("llama", json!({"hidden_size": 6.5}), "hidden_size"),
        ("llama", json!({"hidden_size": "64"}), "hidden_size"),
        ("llama", json!({"hidden_size": null}), "hidden_size"),
        ("llama", json!({"hidden_size": 63}), "hidden_size"),
        ("llama", json!({"vocab_size": 1u64 << 40}), "vocab_size"),
        ("llama", json!({"num_hidden_layers": 1_000_000}), "num_hidden_layers"),
        ("llama", json!({"num_attention_heads": 5}), "num_attention_heads"),
        ("llama", json!({"num_key_value_heads": 3}), "num_attention_heads"),
        ("llama", json!({"head_dim": 15}), "head_dim"),
        ("llama", json!({"num_attention_heads": 4096, "num_key_value_heads": 1, "head_dim": 4096}), "head_dim"),
        ("llama", json!({"intermediate_size": [1, 2]}), "intermediate_size"),
        ("llama", json!({"max_position_embeddings": 0}), "max_position_embeddings"),
        ("llama", json!({"rms_norm_eps": 0.0}), "rms_norm_eps"),
        ("llama", json!({"rms_norm_eps": -1.0}), "rms_norm_eps"),
        ("llama", json!({"rope_theta": 0}), "rope_theta"),
        ("llama", json!({"rope_theta": "big"}), "rope_theta"),
        ("llama", json!({"tie_word_embeddings": 1}), "tie_word_embeddings"),
        ("llama", json!({"hidden_act": "relu"}), "hidden_act"),
        ("llama", json!({"rope_scaling": 3}), "rope_scaling"),
        ("llama", json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}), "rope_scaling.rope_type"),
        ("llama", json!({"rope_scaling": {"type": "dynamic", "factor": 4.0}}), "rope_scaling.type"),
        ("phi3", json!({"rope_scaling": long}), "rope_scaling.type"),
        ("llama", json!({"rope_parameters": {"rope_type": "linear"}}), "rope_parameters.factor"),
        ("llama", llama3(4.0, 1.0), "rope_scaling.high_freq_factor"),
        ("llama", llama3(1.0, 1.0), "rope_scaling.high_freq_factor"),
        ("gemma3_text", json!({"rope_parameters": {"full_attention": {}}}), "rope_parameters.sliding_attention"),
        ("phi3", json!({"partial_rotary_factor": 0.01}), "partial_rotary_factor"),
        ("phi3", json!({"partial_rotary_factor": 2.0}), "partial_rotary_factor"),
        ("gemma2", json!({"layer_types": ["full_attention"]}), "layer_types"),
        ("gemma2", json!({"layer_types": vec!["chunked_attention"; 8]}), "layer_types"),
        ("gemma2", json!({"query_pre_attn_scalar": 0}), "query_pre_attn_scalar"),
        ("gemma2", json!({"final_logit_softcapping": -1}), "final_logit_softcapping"),
        ("mistral", json!({"sliding_window": 0}), "sliding_window"),
        ("llama", json!({"quantization_config": {"quant_method": "bitsandbytes"}}), "quantization_config"),
        ("llama", json!({"quantization_config": {"load_in_8bit": true}}), "quantization_config"),
        (
            "llama",
            json!({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "fp4"}}),
            "quantization_config",
        ),
        ("llama", json!({"quantization_config": {"quant_method": "gptq", "bits": 4}}), "quantization_config"),
        ("gemma3_text", json!({"use_bidirectional_attention": true}), "use_bidirectional_attention"),
        ("llama", json!({"attention_dropout": 0.1}), "attention_dropout"),
        ("llama", json!({"model_type": null}), "model_type"),
    ];
    for (family, edit, field) in cases {
        match read(&sized(family, edit.clone())) {
            Err(
                ModelError::ConfigMissing { path, field: got }
                | ModelError::ConfigValue { path, field: got, .. }
                | ModelError::ConfigUnsupported { path, field: got, .. },
            ) => assert_eq!((got.as_str(), path.as_path()), (field, Path::new("m/config.json")), "{edit}"),
            other => panic!("{family} {edit}: {other:?}"),
        }
    }
}

/// Whatever stands in a field, the answer is a config or an error; and a config's sizes never overflow later.
#[test]
fn a_hostile_config_never_panics() {
    let nasty = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1),
        json!(2),
        json!(3),
        json!(1 << 12),
        json!(1 << 20),
        json!(1 << 24),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(1e-308),
        json!(-0.0),
        json!(0.3),
        json!(true),
        json!(""),
        json!("x".repeat(5000)),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"rope_type": "llama3"}),
        json!({"rope_type": "llama3", "factor": 1e308, "low_freq_factor": 1, "high_freq_factor": 2, "original_max_position_embeddings": 1}),
        json!({"full_attention": 3, "sliding_attention": {}}),
        json!(vec!["sliding_attention"; 4096]),
    ];
    for (name, _) in FAMILIES {
        let dir = match *name {
            "gemma3_text" => "gemma3",
            other => other,
        };
        for file in ["config.json", "config_v4.json"] {
            let text = std::fs::read(model_dir(dir).join(file)).expect(name);
            let config: Value = serde_json::from_slice(&text).expect(name);
            let fields: Vec<String> = config.as_object().expect("an object").keys().cloned().collect();
            for field in &fields {
                for value in &nasty {
                    let mut edited = config.clone();
                    edited[field] = value.clone();
                    if let Ok(c) = read(&edited) {
                        assert!(!c.modules().is_empty());
                    }
                }
            }
            for cut in 0..text.trim_ascii_end().len() {
                assert!(ModelConfig::from_json(Path::new("c"), &text[..cut]).is_err(), "{name} cut at {cut}");
            }
        }
    }
}

#[test]
fn a_file_that_is_no_config_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("config.json");
    let read = || ModelConfig::read(dir.path());
    assert!(matches!(read(), Err(ModelError::ConfigRead { path, .. }) if path == file));
    for (text, line, column) in [("{", 1, 1), ("[1]", 1, 1), ("{\"a\": NaN}", 1, 7), ("{\n\"a\": 1,\n}", 3, 1)] {
        std::fs::write(&file, text).expect("write");
        match read() {
            Err(ModelError::ConfigParse { path, line: l, column: c, .. }) => {
                assert_eq!((path, l, c), (file.clone(), line, column), "{text}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    std::fs::write(&file, vec![b' '; (1 << 20) + 1]).expect("write");
    assert!(matches!(read(), Err(ModelError::ConfigTooLarge { limit, .. }) if limit == 1 << 20));
    std::fs::write(&file, "[".repeat(100_000)).expect("write");
    assert!(matches!(read(), Err(ModelError::ConfigParse { .. })), "deep nesting");
}
