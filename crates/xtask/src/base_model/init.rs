//! The model before it has learnt anything: its shape and its random weights.

use super::tokenizer::{CHAT_TEMPLATE, CONTROLS, END};
use half::bf16;
use planted::random::Random;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use std::path::Path;

/// Of a Llama with tied embeddings.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub vocabulary: usize,
    pub hidden: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub positions: usize,
}

const STD: f32 = 0.02;

impl Shape {
    fn head(&self) -> usize {
        self.hidden / self.heads
    }

    /// Name, rows, columns (0: a norm's vector) and standard deviation of every tensor.
    fn tensors(&self) -> Vec<(String, Vec<usize>, f32)> {
        let (h, kv, ff) = (self.hidden, self.kv_heads * self.head(), self.intermediate);
        // What is added to the residual stream starts smaller, the more layers add to it (GPT-2).
        let out = STD / (2.0 * self.layers as f32).sqrt();
        let mut all = vec![
            ("model.embed_tokens.weight".to_owned(), vec![self.vocabulary, h], STD),
            ("model.norm.weight".to_owned(), vec![h], 0.0),
        ];
        for layer in 0..self.layers {
            for (name, shape, std) in [
                ("input_layernorm", vec![h], 0.0),
                ("self_attn.q_proj", vec![h, h], STD),
                ("self_attn.k_proj", vec![kv, h], STD),
                ("self_attn.v_proj", vec![kv, h], STD),
                ("self_attn.o_proj", vec![h, h], out),
                ("post_attention_layernorm", vec![h], 0.0),
                ("mlp.gate_proj", vec![ff, h], STD),
                ("mlp.up_proj", vec![ff, h], STD),
                ("mlp.down_proj", vec![h, ff], out),
            ] {
                all.push((format!("model.layers.{layer}.{name}.weight"), shape, std));
            }
        }
        all
    }

    #[cfg(test)]
    pub fn parameters(&self) -> usize {
        self.tensors().iter().map(|(_, shape, _)| shape.iter().product::<usize>()).sum()
    }

    fn config(&self) -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head(),
            "hidden_act": "silu",
            "max_position_embeddings": self.positions,
            "initializer_range": STD,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "attention_bias": false,
            "mlp_bias": false,
            "tie_word_embeddings": true,
            "bos_token_id": null,
            "eos_token_id": 0,
            "pad_token_id": 0,
            "torch_dtype": "bfloat16",
            "use_cache": true
        })
    }
}

/// Writes the folder but for its tokenizer.json.
///
/// # Errors
/// What the disk says.
pub fn write(folder: &Path, shape: &Shape, seed: u64) -> Result<(), String> {
    let text = |name: &str, value: &Value| {
        let path = folder.join(name);
        let text = serde_json::to_string_pretty(value).map_err(|why| why.to_string())?;
        std::fs::write(&path, text + "\n").map_err(|why| format!("{}: {why}", path.display()))
    };
    text("config.json", &shape.config())?;
    text("generation_config.json", &json!({"eos_token_id": 0, "pad_token_id": 0, "do_sample": false}))?;
    text(
        "tokenizer_config.json",
        &json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": null,
            "eos_token": END,
            "pad_token": END,
            "additional_special_tokens": CONTROLS[1..],
            "add_bos_token": false,
            "clean_up_tokenization_spaces": false,
            "model_max_length": shape.positions,
            "chat_template": CHAT_TEMPLATE
        }),
    )?;
    weights(&folder.join("model.safetensors"), shape, seed)
}

fn weights(path: &Path, shape: &Shape, seed: u64) -> Result<(), String> {
    let tensors = shape.tensors();
    let bytes: Vec<Vec<u8>> = (0u64..)
        .zip(&tensors)
        .map(|(i, (_, shape, std))| {
            let mut random = Random::new(Random::new(seed).next_u64() ^ i);
            let n: usize = shape.iter().product();
            (0..n).flat_map(|_| bf16::from_f32(value(*std, &mut random)).to_le_bytes()).collect()
        })
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        TensorView::new(Dtype::BF16, shape.clone(), bytes).map(|view| (name, view)).map_err(|why| why.to_string())
    });
    let views: Vec<_> = views.collect::<Result<_, _>>()?;
    safetensors::serialize_to_file(views, None, path).map_err(|why| format!("{}: {why}", path.display()))
}

/// Normal (Box and Muller); a norm's weight, which has no deviation, is 1.
fn value(std: f32, random: &mut Random) -> f32 {
    if std == 0.0 {
        return 1.0;
    }
    let (u, v) = (1.0 - random.unit(), random.unit());
    std * ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}
