//! `config.json` → the numbers and choices that a decoder needs, for each family, 4.x and 5.x style.
//!
//! What families differ in becomes data here; the blocks know no family. Fields that are missing get the default of
//! the family's class in `transformers`; sizes that shape the weights have none.

mod fields;
mod rope;

pub use rope::Rope;

use crate::ModelError;
use crate::adapters::{Bias, ModuleShape, Shape, Tied};
use fields::Fields;
use kernels::Activation;
use serde_json::{Map, Value};
use std::io::Read;
use std::path::{Path, PathBuf};
use weights::Quantization;

/// Limits on what a config may ask for. They keep every product of sizes far inside 64 bits.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
const WIDTH_MAX: usize = 1 << 20;
const VOCAB_MAX: usize = 1 << 24;
const LAYERS_MAX: usize = 1 << 12;
const HEADS_MAX: usize = 1 << 12;
const HEAD_DIM_MAX: usize = 1 << 12;
const POSITION_MAX: usize = 1 << 31;

/// A decoder family, by its `model_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Llama,
    Qwen2,
    Qwen3,
    Mistral,
    Gemma2,
    Gemma3,
    Phi3,
}

/// The `model_type`s that have code.
pub const FAMILIES: &[(&str, Family)] = &[
    ("gemma2", Family::Gemma2),
    ("gemma3_text", Family::Gemma3),
    ("llama", Family::Llama),
    ("mistral", Family::Mistral),
    ("phi3", Family::Phi3),
    ("qwen2", Family::Qwen2),
    ("qwen3", Family::Qwen3),
];

/// A decoder, as meant.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    pub family: Family,
    pub vocab: usize,
    pub hidden: usize,
    pub layers: usize,
    /// Longest sequence the model was made for.
    pub position_max: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    pub q_heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub rms_eps: f32,
    /// Norm weights are used as w + offset.
    pub norm_offset: f32,
    pub activation: Activation,
    /// Multiplies the token embedding.
    pub embed_scale: f32,
    /// Multiplies q·k.
    pub attn_scale: f32,
    pub attn_softcap: Option<f32>,
    pub final_softcap: Option<f32>,
    pub tied: Tied,
    /// Norms of each head's queries and keys.
    pub head_norms: bool,
    /// Norms of what attention and feed-forward return, before it joins the residual stream.
    pub post_norms: bool,
    /// q, k, v in one projection, and gate, up in one.
    pub fused: bool,
    pub bias_qkv: Bias,
    pub bias_o: Bias,
    pub bias_mlp: Bias,
    /// The checkpoint has its layers' matrices in NF4, as bitsandbytes saves them.
    pub saved_in_nf4: bool,
    /// [layers]
    pub layer: Vec<LayerKind>,
    /// One or two, indexed by `LayerKind::rope`.
    pub ropes: Vec<Rope>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerKind {
    /// A token sees itself and window − 1 before it; None: all before it.
    pub window: Option<usize>,
    pub rope: usize,
}

impl ModelConfig {
    /// Reads `dir/config.json`.
    ///
    /// # Errors
    /// `ConfigRead`, `ConfigTooLarge`, `ConfigParse`, and those of [`ModelConfig::from_json`].
    pub fn read(dir: &Path) -> Result<ModelConfig, ModelError> {
        let (path, text) = read_text(dir, CONFIG)?;
        ModelConfig::from_json(&path, &text)
    }

    /// `path` is for error messages.
    ///
    /// # Errors
    /// `ConfigParse`, `Architecture` (a family without code, by name), `ConfigMissing`, `ConfigValue`,
    /// `ConfigUnsupported`.
    pub fn from_json(path: &Path, text: &[u8]) -> Result<ModelConfig, ModelError> {
        let map = parse(path, text)?;
        let f = Fields { path, at: "", map: &map };
        resolve(family(f)?, f)
    }

    /// q heads · head width
    pub fn q_cols(&self) -> usize {
        self.q_heads * self.head_dim
    }

    /// key heads · head width
    pub fn kv_cols(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Every module with weights, in the order of a forward pass. A tied head is listed too.
    pub fn modules(&self) -> Vec<ModuleShape> {
        let mut list = Vec::new();
        let mut add = |module: String, shape| list.push(ModuleShape { module, shape });
        let (h, q, f) = (self.hidden, self.q_cols(), self.intermediate);
        let linear = |n_out, n_in, bias| Shape::Linear { n_out, n_in, bias };
        add(EMBEDDING.into(), Shape::Embedding { vocab: self.vocab, hidden: h });
        for l in 0..self.layers {
            let at = |leaf: &str| layer_module(l, leaf);
            add(at("input_layernorm"), Shape::Gain { dim: h });
            for (leaf, cols, _) in self.qkv_parts() {
                add(at(leaf), linear(cols, h, self.bias_qkv));
            }
            if self.head_norms {
                add(at("self_attn.q_norm"), Shape::Gain { dim: self.head_dim });
                add(at("self_attn.k_norm"), Shape::Gain { dim: self.head_dim });
            }
            add(at("self_attn.o_proj"), linear(h, q, self.bias_o));
            add(at("post_attention_layernorm"), Shape::Gain { dim: h });
            if self.post_norms {
                add(at("pre_feedforward_layernorm"), Shape::Gain { dim: h });
                add(at("post_feedforward_layernorm"), Shape::Gain { dim: h });
            }
            for (leaf, cols, _) in self.gate_up_parts() {
                add(at(leaf), linear(cols, h, self.bias_mlp));
            }
            add(at("mlp.down_proj"), linear(h, f, self.bias_mlp));
        }
        add(FINAL_NORM.into(), Shape::Gain { dim: h });
        add(HEAD.into(), Shape::Head { vocab: self.vocab, hidden: h });
        list
    }

    /// (module, columns, first column) of the projections that fill queries | keys | values.
    pub(crate) fn qkv_parts(&self) -> Vec<(&'static str, usize, usize)> {
        let (q, kv) = (self.q_cols(), self.kv_cols());
        if self.fused {
            return vec![("self_attn.qkv_proj", q + 2 * kv, 0)];
        }
        vec![("self_attn.q_proj", q, 0), ("self_attn.k_proj", kv, q), ("self_attn.v_proj", kv, q + kv)]
    }

    /// (module, columns, first column) of the projections that fill gate | up.
    pub(crate) fn gate_up_parts(&self) -> Vec<(&'static str, usize, usize)> {
        let f = self.intermediate;
        if self.fused {
            return vec![("mlp.gate_up_proj", 2 * f, 0)];
        }
        vec![("mlp.gate_proj", f, 0), ("mlp.up_proj", f, f)]
    }
}

/// `dir/config.json` as it stands, for a model made from this one.
///
/// # Errors
/// `ConfigRead`, `ConfigTooLarge`, `ConfigParse`.
pub(crate) fn read_fields(dir: &Path) -> Result<Map<String, Value>, ModelError> {
    let (path, text) = read_text(dir, CONFIG)?;
    parse(&path, &text)
}

const CONFIG: &str = "config.json";

/// `dir/generation_config.json`; empty where there is none.
pub(crate) fn read_generation_fields(dir: &Path) -> Result<Map<String, Value>, ModelError> {
    const NAME: &str = "generation_config.json";
    if !dir.join(NAME).exists() {
        return Ok(Map::new());
    }
    let (path, text) = read_text(dir, NAME)?;
    parse(&path, &text)
}

fn read_text(dir: &Path, name: &str) -> Result<(PathBuf, Vec<u8>), ModelError> {
    let path = dir.join(name);
    let read = |source| ModelError::ConfigRead { path: path.clone(), source };
    let mut text = Vec::new();
    let file = std::fs::File::open(&path).map_err(read)?;
    file.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut text).map_err(read)?;
    if text.len() as u64 > CONFIG_BYTES_MAX {
        return Err(ModelError::ConfigTooLarge { path, limit: CONFIG_BYTES_MAX });
    }
    Ok((path, text))
}

fn parse(path: &Path, text: &[u8]) -> Result<Map<String, Value>, ModelError> {
    let refuse = |line, column, why| ModelError::ConfigParse { path: path.into(), line, column, why };
    match serde_json::from_slice(text).map_err(|e| refuse(e.line(), e.column(), e.to_string()))? {
        Value::Object(fields) => Ok(fields),
        _ => Err(refuse(1, 1, "expected an object".to_owned())),
    }
}

pub(crate) const EMBEDDING: &str = "model.embed_tokens";
pub(crate) const FINAL_NORM: &str = "model.norm";
pub(crate) const HEAD: &str = "lm_head";

pub(crate) fn layer_module(layer: usize, leaf: &str) -> String {
    format!("model.layers.{layer}.{leaf}")
}

impl Family {
    fn gemma(self) -> bool {
        matches!(self, Family::Gemma2 | Family::Gemma3)
    }

    /// The class's default number of key heads; None: as many as query heads.
    fn kv_heads(self) -> Option<usize> {
        match self {
            Family::Llama | Family::Phi3 => None,
            Family::Mistral => Some(8),
            Family::Qwen2 | Family::Qwen3 => Some(32),
            Family::Gemma2 | Family::Gemma3 => Some(4),
        }
    }

    /// The class's default head width; None: hidden / heads.
    fn head_dim(self) -> Option<usize> {
        match self {
            Family::Llama | Family::Mistral | Family::Qwen2 | Family::Phi3 => None,
            Family::Qwen3 => Some(128),
            Family::Gemma2 | Family::Gemma3 => Some(256),
        }
    }

    fn position_max(self) -> usize {
        match self {
            Family::Llama => 2048,
            Family::Phi3 => 4096,
            Family::Gemma2 => 8192,
            Family::Qwen2 | Family::Qwen3 => 32768,
            Family::Mistral | Family::Gemma3 => 131_072,
        }
    }

    /// The class's default window, where the field is missing (null means none).
    fn window(self) -> Option<usize> {
        match self {
            Family::Llama | Family::Phi3 => None,
            Family::Mistral | Family::Qwen2 | Family::Qwen3 | Family::Gemma2 | Family::Gemma3 => Some(4096),
        }
    }

    fn rms_eps(self) -> f64 {
        if self == Family::Phi3 { 1e-5 } else { 1e-6 }
    }

    fn theta(self) -> f64 {
        if self == Family::Gemma3 { 1e6 } else { 1e4 }
    }

    fn theta_local(self) -> f64 {
        1e4
    }
}

/// The family, or its refusal by name.
fn family(f: Fields) -> Result<Family, ModelError> {
    let Some(name) = f.text("model_type")? else {
        return Err(ModelError::ConfigMissing { path: f.path.into(), field: "model_type".into() });
    };
    if let Some((_, family)) = FAMILIES.iter().find(|(n, _)| *n == name) {
        return Ok(*family);
    }
    let experts = ["num_local_experts", "num_experts", "n_routed_experts", "moe_intermediate_size"];
    let vision = ["vision_config", "text_config", "audio_config"];
    let why = if name.contains("moe") || name == "mixtral" || experts.iter().any(|k| f.has(k)) {
        "a mixture of experts"
    } else if vision.iter().any(|k| f.has(k)) {
        "a model of more than text"
    } else {
        "an architecture that this program has no code for"
    };
    let supported = FAMILIES.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(", ");
    Err(ModelError::Architecture { path: f.path.into(), name: name.chars().take(64).collect(), why, supported })
}

fn resolve(family: Family, f: Fields) -> Result<ModelConfig, ModelError> {
    refuse_what_changes_results(f)?;
    let hidden = f.required_size("hidden_size", WIDTH_MAX)?;
    let layers = f.required_size("num_hidden_layers", LAYERS_MAX)?;
    let q_heads = f.required_size("num_attention_heads", HEADS_MAX)?;
    let (kv_heads, head_dim) = heads(family, f, hidden, q_heads)?;
    let window = window(family, f)?;
    let [full, sliding] = rope::resolve(family, f, head_dim)?;
    let two = full != sliding;
    let kind = |slides: bool| LayerKind { window: window.filter(|_| slides), rope: usize::from(slides && two) };
    let layer = sliding_layers(family, f, layers)?.into_iter().map(kind);
    let scalar =
        if family.gemma() { f.number("query_pre_attn_scalar", 1e-3, 1e6)?.unwrap_or(256.0) } else { head_dim as f64 };
    let cap = |key, default: Option<f64>| -> Result<Option<f32>, ModelError> {
        if family != Family::Gemma2 && !(family == Family::Gemma3 && f.has(key)) {
            return Ok(None);
        }
        let given = f.number(key, 1e-3, 1e6)?;
        Ok(if f.has(key) { given } else { default }.map(|x| x as f32))
    };
    let bias = |key| Ok::<_, ModelError>(if f.flag(key)?.unwrap_or(false) { Bias::Present } else { Bias::Absent });
    let attention_bias = match family {
        Family::Llama | Family::Qwen3 | Family::Gemma2 | Family::Gemma3 => bias("attention_bias")?,
        Family::Qwen2 | Family::Mistral | Family::Phi3 => Bias::Absent,
    };
    Ok(ModelConfig {
        family,
        vocab: f.required_size("vocab_size", VOCAB_MAX)?,
        hidden,
        layers,
        position_max: f.size("max_position_embeddings", POSITION_MAX)?.unwrap_or(family.position_max()),
        intermediate: f.required_size("intermediate_size", WIDTH_MAX)?,
        q_heads,
        kv_heads,
        head_dim,
        rms_eps: f.number("rms_norm_eps", 1e-12, 1.0)?.unwrap_or(family.rms_eps()) as f32,
        norm_offset: if family.gemma() { 1.0 } else { 0.0 },
        activation: activation(family, f)?,
        embed_scale: if family.gemma() { (hidden as f64).sqrt() as f32 } else { 1.0 },
        attn_scale: (1.0 / scalar.sqrt()) as f32,
        attn_softcap: cap("attn_logit_softcapping", Some(50.0))?,
        final_softcap: cap("final_logit_softcapping", Some(30.0))?,
        tied: if f.flag("tie_word_embeddings")?.unwrap_or(family.gemma()) { Tied::Yes } else { Tied::No },
        head_norms: matches!(family, Family::Qwen3 | Family::Gemma3),
        post_norms: family.gemma(),
        fused: family == Family::Phi3,
        bias_qkv: if family == Family::Qwen2 { Bias::Present } else { attention_bias },
        bias_o: attention_bias,
        bias_mlp: if family == Family::Llama { bias("mlp_bias")? } else { Bias::Absent },
        // Any other value was refused.
        saved_in_nf4: f.get("quantization_config").is_some(),
        layer: layer.collect(),
        ropes: if two { vec![full, sliding] } else { vec![full] },
    })
}

/// Settings that would change every number and that no code here follows.
fn refuse_what_changes_results(f: Fields) -> Result<(), ModelError> {
    if let Some(value) = f.get("quantization_config") {
        match Quantization::announced(value) {
            Quantization::BitsAndBytes4Bit { kind, .. } if kind == "nf4" => {}
            other => {
                let supported = "weights in f32, f16 or bf16, and bitsandbytes 4-bit (nf4)";
                return Err(f.unsupported("quantization_config", &other.to_string().into(), supported));
            }
        }
    }
    if f.flag("use_bidirectional_attention")? == Some(true) {
        return Err(f.unsupported("use_bidirectional_attention", &Value::Bool(true), "causal attention"));
    }
    for key in ["attention_dropout", "resid_pdrop", "embd_pdrop"] {
        if let Some(p) = f.number(key, 0.0, 1.0)?
            && p > 0.0
        {
            return Err(f.unsupported(key, &Value::from(p), "0; the adapter has its own dropout"));
        }
    }
    Ok(())
}

/// Key heads and the width of a head.
fn heads(family: Family, f: Fields, hidden: usize, q_heads: usize) -> Result<(usize, usize), ModelError> {
    // A null means the old class's meaning: as many as query heads.
    let default = if f.has("num_key_value_heads") { None } else { family.kv_heads() };
    let kv_heads = f.size("num_key_value_heads", HEADS_MAX)?.or(default).unwrap_or(q_heads);
    if !q_heads.is_multiple_of(kv_heads) {
        let expected = format!("a multiple of num_key_value_heads = {kv_heads}");
        return Err(f.wrong("num_attention_heads", &expected, &Value::from(q_heads)));
    }
    let default = if f.has("head_dim") { None } else { family.head_dim() };
    let head_dim = match f.size("head_dim", HEAD_DIM_MAX)?.or(default) {
        Some(d) => d,
        None if hidden.is_multiple_of(q_heads) => hidden / q_heads,
        None => {
            let expected = format!("a multiple of num_attention_heads = {q_heads}");
            return Err(f.wrong("hidden_size", &expected, &Value::from(hidden)));
        }
    };
    if head_dim > HEAD_DIM_MAX || !head_dim.is_multiple_of(2) {
        return Err(f.wrong("head_dim", &format!("an even number up to {HEAD_DIM_MAX}"), &Value::from(head_dim)));
    }
    if q_heads * head_dim > WIDTH_MAX {
        let expected = format!("at most {} with {q_heads} heads", WIDTH_MAX / q_heads);
        return Err(f.wrong("head_dim", &expected, &Value::from(head_dim)));
    }
    Ok((kv_heads, head_dim))
}

/// The window of sliding layers.
fn window(family: Family, f: Fields) -> Result<Option<usize>, ModelError> {
    let default = if f.has("sliding_window") { None } else { family.window() };
    let window = f.size("sliding_window", POSITION_MAX)?.or(default);
    let switched = matches!(family, Family::Qwen2 | Family::Qwen3);
    Ok(if switched && f.flag("use_sliding_window")? != Some(true) { None } else { window })
}

/// Which layers are sliding ones, by the list of them or by the family's pattern.
fn sliding_layers(family: Family, f: Fields, layers: usize) -> Result<Vec<bool>, ModelError> {
    match family {
        Family::Llama => return Ok(vec![false; layers]),
        Family::Mistral | Family::Phi3 => return Ok(vec![true; layers]),
        Family::Qwen2 | Family::Qwen3 | Family::Gemma2 | Family::Gemma3 => {}
    }
    if let Some(types) = f.list("layer_types")? {
        if types.len() != layers {
            let expected = format!("num_hidden_layers = {layers} entries");
            return Err(f.wrong("layer_types", &expected, &Value::from(types.len())));
        }
        let one = |kind: &Value| match kind.as_str() {
            Some("full_attention") => Ok(false),
            Some("sliding_attention") => Ok(true),
            _ => Err(f.unsupported("layer_types", kind, "full_attention, sliding_attention")),
        };
        return types.iter().map(one).collect();
    }
    let full_first = f.whole("max_window_layers", 0, LAYERS_MAX)?.unwrap_or(28);
    let pattern = match f.size("sliding_window_pattern", LAYERS_MAX)? {
        Some(p) => p,
        None => f.size("_sliding_window_pattern", LAYERS_MAX)?.unwrap_or(6),
    };
    let slides = |l: usize| match family {
        Family::Gemma2 => l.is_multiple_of(2),
        Family::Gemma3 => !(l + 1).is_multiple_of(pattern),
        _ => l >= full_first,
    };
    Ok((0..layers).map(slides).collect())
}

fn activation(family: Family, f: Fields) -> Result<Activation, ModelError> {
    let key = if family.gemma() { "hidden_activation" } else { "hidden_act" };
    match f.text(key)? {
        None if family.gemma() => Ok(Activation::GeluTanh),
        None | Some("silu" | "swish") => Ok(Activation::Silu),
        Some("gelu_pytorch_tanh") => Ok(Activation::GeluTanh),
        Some(other) => Err(f.unsupported(key, &Value::from(other), "silu, gelu_pytorch_tanh")),
    }
}
