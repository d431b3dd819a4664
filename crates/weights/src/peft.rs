//! PEFT's adapter folders: `adapter_config.json` and `adapter_model.safetensors`.

use crate::layout::is_pickle;
use crate::read::{CONFIG_BYTES_MAX, read_limited};
use crate::{Checkpoint, WeightsError, python_json};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use std::path::Path;

pub const CONFIG_FILE: &str = "adapter_config.json";
pub const TENSORS_FILE: &str = "adapter_model.safetensors";
const PICKLE_FILE: &str = "adapter_model.bin";

/// The PEFT release whose layout is written.
const PEFT_VERSION: &str = "0.21.2";
const LORA: &str = "LORA";
pub const ADALORA: &str = "ADALORA";

/// Fields that older releases or other programs wrote as null where PEFT now has a value.
const NEVER_NULL: [&str; 16] = [
    "alpha_pattern",
    "bias",
    "ensure_weight_tying",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "lora_alpha",
    "lora_bias",
    "lora_dropout",
    "peft_type",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "use_dora",
    "use_qalora",
    "use_rslora",
];

/// Every field of a LoRA `adapter_config.json` as PEFT 0.21 writes it; fields it does not have are kept in `other`.
/// A field that takes several JSON types stays a `Value`. `Default` is PEFT's for a finished adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdapterConfig {
    pub alora_invocation_tokens: Option<Value>,
    /// Regex → alpha, in the file's order: the first that matches counts.
    pub alpha_pattern: Map<String, Value>,
    pub arrow_config: Option<Value>,
    pub auto_mapping: Option<Value>,
    pub base_model_name_or_path: Option<String>,
    /// `none`, `all` or `lora_only`.
    pub bias: String,
    pub corda_config: Option<Value>,
    pub ensure_weight_tying: bool,
    pub eva_config: Option<Value>,
    /// Names, or one regex.
    pub exclude_modules: Option<Value>,
    pub fan_in_fan_out: bool,
    pub inference_mode: bool,
    /// true, false or a method's name.
    pub init_lora_weights: Value,
    pub kasa_config: Option<Value>,
    pub layer_replication: Option<Value>,
    /// One name or several.
    pub layers_pattern: Option<Value>,
    /// One index or several.
    pub layers_to_transform: Option<Value>,
    pub loftq_config: Option<Value>,
    #[serde(serialize_with = "whole_as_integer")]
    pub lora_alpha: f64,
    pub lora_bias: bool,
    pub lora_dropout: f64,
    pub lora_ga_config: Option<Value>,
    pub megatron_config: Option<Value>,
    pub megatron_core: Option<String>,
    pub modules_to_save: Option<Vec<String>>,
    pub monteclora_config: Option<Value>,
    pub peft_type: String,
    pub peft_version: Option<String>,
    pub qalora_group_size: usize,
    pub r: usize,
    /// Regex → rank, in the file's order: the first that matches counts.
    pub rank_pattern: Map<String, Value>,
    pub revision: Option<String>,
    /// Names, or one regex.
    pub target_modules: Option<Value>,
    pub target_parameters: Option<Value>,
    pub task_type: Option<String>,
    pub trainable_token_indices: Option<Value>,
    pub use_bdlora: Option<Value>,
    pub use_dora: bool,
    pub use_qalora: bool,
    pub use_rslora: bool,
    pub velora_config: Option<Value>,
    #[serde(skip)]
    pub other: Map<String, Value>,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        AdapterConfig {
            alora_invocation_tokens: None,
            alpha_pattern: Map::new(),
            arrow_config: None,
            auto_mapping: None,
            base_model_name_or_path: None,
            bias: "none".to_owned(),
            corda_config: None,
            ensure_weight_tying: false,
            eva_config: None,
            exclude_modules: None,
            fan_in_fan_out: false,
            inference_mode: true,
            init_lora_weights: Value::Bool(true),
            kasa_config: None,
            layer_replication: None,
            layers_pattern: None,
            layers_to_transform: None,
            loftq_config: Some(Value::Object(Map::new())),
            lora_alpha: 8.0,
            lora_bias: false,
            lora_dropout: 0.0,
            lora_ga_config: None,
            megatron_config: None,
            megatron_core: Some("megatron.core".to_owned()),
            modules_to_save: None,
            monteclora_config: None,
            peft_type: LORA.to_owned(),
            peft_version: Some(PEFT_VERSION.to_owned()),
            qalora_group_size: 16,
            r: 8,
            rank_pattern: Map::new(),
            revision: None,
            target_modules: None,
            target_parameters: None,
            task_type: Some("CAUSAL_LM".to_owned()),
            trainable_token_indices: None,
            use_bdlora: None,
            use_dora: false,
            use_qalora: false,
            use_rslora: false,
            velora_config: None,
            other: Map::new(),
        }
    }
}

/// Opens an adapter folder. Only safetensors: a folder with `adapter_model.bin` alone is refused by that name.
pub fn open(dir: &Path) -> Result<(AdapterConfig, Checkpoint), WeightsError> {
    let config = AdapterConfig::read(dir)?;
    let (tensors, pickle) = (dir.join(TENSORS_FILE), dir.join(PICKLE_FILE));
    if tensors.exists() {
        return Ok((config, Checkpoint::open_file(&tensors)?));
    }
    if pickle.exists() && is_pickle(&pickle) {
        return Err(WeightsError::Pickle { path: pickle });
    }
    Err(WeightsError::NoWeights { dir: dir.to_owned(), expected: TENSORS_FILE })
}

impl AdapterConfig {
    /// Reads `adapter_config.json` of an adapter folder; AdaLoRA's own fields are in `other`. Another method is
    /// [`WeightsError::PeftType`]; a value of the wrong type or out of range is [`WeightsError::AdapterField`].
    pub fn read(dir: &Path) -> Result<AdapterConfig, WeightsError> {
        let path = dir.join(CONFIG_FILE);
        AdapterConfig::parse(&path, &read_limited(&path, CONFIG_BYTES_MAX)?)
    }

    /// [`AdapterConfig::read`] for bytes at hand; `path` is for messages.
    pub fn parse(path: &Path, json: &[u8]) -> Result<AdapterConfig, WeightsError> {
        let given: Map<String, Value> = serde_json::from_slice(json)
            .map_err(|e| WeightsError::Json { path: path.to_owned(), why: e.to_string() })?;
        match given.get("peft_type") {
            Some(Value::String(t)) if t == LORA || t == ADALORA => {}
            Some(other) => {
                return Err(WeightsError::PeftType { path: path.to_owned(), got: bare(other) });
            }
            None => return Err(field_error(path, "peft_type", "LORA", &Value::Null)),
        }
        let ada = given.get("peft_type").is_some_and(|t| t == ADALORA);
        let known = fields(&AdapterConfig::default());
        let (mut ours, mut other) = (Map::new(), Map::new());
        for (key, value) in given {
            // AdaLoRA's is null before its ranks are pruned.
            let unpruned = key == "rank_pattern" && value.is_null() && ada;
            if unpruned || !known.contains_key(&key) {
                other.insert(key, value);
            } else if !(value.is_null() && NEVER_NULL.contains(&key.as_str())) {
                ours.insert(key, value);
            }
        }
        let mut config: AdapterConfig =
            serde_json::from_value(Value::Object(ours.clone())).map_err(|e| culprit(path, &ours, &e))?;
        config.other = other;
        config.refuse_nonsense(path)?;
        Ok(config)
    }

    /// As PEFT writes it: indent 2, keys sorted, also those of the patterns.
    pub fn to_json(&self) -> String {
        let mut all = fields(self);
        all.extend(self.other.clone());
        python_json::dumps(&Value::Object(all))
    }

    /// What of this configuration changes the function beyond LoRA, rsLoRA, patterns, biases and saved modules: the
    /// first such field and its value. A loader without support for it must refuse, or it would compute something else.
    pub fn beyond_lora(&self) -> Option<(&'static str, String)> {
        let given = [
            ("alora_invocation_tokens", &self.alora_invocation_tokens),
            ("arrow_config", &self.arrow_config),
            ("kasa_config", &self.kasa_config),
            ("layer_replication", &self.layer_replication),
            ("megatron_config", &self.megatron_config),
            ("monteclora_config", &self.monteclora_config),
            ("target_parameters", &self.target_parameters),
            ("trainable_token_indices", &self.trainable_token_indices),
            ("use_bdlora", &self.use_bdlora),
            ("velora_config", &self.velora_config),
        ];
        if let Some((field, Some(value))) = given.into_iter().find(|(_, v)| v.as_ref().is_some_and(is_set)) {
            return Some((field, bare(value)));
        }
        let flags =
            [("fan_in_fan_out", self.fan_in_fan_out), ("lora_bias", self.lora_bias), ("use_qalora", self.use_qalora)];
        if let Some((field, _)) = flags.into_iter().find(|(_, on)| *on) {
            return Some((field, "true".to_owned()));
        }
        // These start from parts of the base's own weight and leave the rest of it as the base.
        let residual = ["pissa", "olora", "corda", "loftq", "lora_ga"];
        let init = self.init_lora_weights.as_str().unwrap_or_default().to_lowercase();
        residual.iter().any(|r| init.starts_with(r)).then_some(("init_lora_weights", init))
    }

    fn refuse_nonsense(&self, path: &Path) -> Result<(), WeightsError> {
        let refuse = |field, expected, got: Value| Err(field_error(path, field, expected, &got));
        let names = |v: &Value| v.as_array().is_some_and(|a| a.iter().all(Value::is_string));
        let names_or_regex = |v: &Option<Value>| v.as_ref().is_none_or(|v| v.is_string() || names(v));
        let positive = |v: &Value| v.as_f64().is_some_and(|x| x.is_finite() && x > 0.0);
        if self.r == 0 {
            return refuse("r", "at least 1", self.r.into());
        }
        if !matches!(self.bias.as_str(), "none" | "all" | "lora_only") {
            return refuse("bias", "none, all or lora_only", self.bias.clone().into());
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            return refuse("lora_dropout", "at least 0 and below 1", self.lora_dropout.into());
        }
        if !(self.init_lora_weights.is_boolean() || self.init_lora_weights.is_string()) {
            return refuse("init_lora_weights", "true, false or a name", self.init_lora_weights.clone());
        }
        for (field, value) in [("target_modules", &self.target_modules), ("exclude_modules", &self.exclude_modules)] {
            if !names_or_regex(value) {
                return refuse(field, "a list of names or one regular expression", value.clone().unwrap_or_default());
            }
        }
        // AdaLoRA's says which ranks are left.
        let mut ranks = self.rank_pattern.values().filter(|_| self.peft_type == LORA);
        if let Some(bad) = ranks.find(|v| matches!(v.as_u64(), None | Some(0))) {
            return refuse("rank_pattern", "ranks of at least 1", bad.clone());
        }
        match self.alpha_pattern.values().find(|v| !positive(v)) {
            Some(bad) => refuse("alpha_pattern", "numbers above 0", bad.clone()),
            None => Ok(()),
        }
    }
}

fn fields(config: &AdapterConfig) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map,
        // A struct of JSON values serialises to an object of them.
        _ => Map::new(),
    }
}

/// serde's error does not say which field it stumbled over, so each is tried alone.
fn culprit(path: &Path, fields: &Map<String, Value>, error: &serde_json::Error) -> WeightsError {
    for (key, value) in fields {
        let alone = Map::from_iter([(key.clone(), value.clone())]);
        if let Err(e) = serde_json::from_value::<AdapterConfig>(Value::Object(alone)) {
            let why = e.to_string();
            let expected = why.rsplit_once("expected ").map_or(why.as_str(), |(_, expected)| expected);
            return field_error(path, key, expected, value);
        }
    }
    WeightsError::Json { path: path.to_owned(), why: error.to_string() }
}

fn field_error(path: &Path, field: &str, expected: &str, got: &Value) -> WeightsError {
    WeightsError::AdapterField {
        path: path.to_owned(),
        field: field.to_owned(),
        expected: expected.to_owned(),
        got: got.to_string(),
    }
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        _ => true,
    }
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// Python keeps an integer an integer: 8, and 16.5, but not 8.0.
fn whole_as_integer<S: Serializer>(x: &f64, s: S) -> Result<S::Ok, S::Error> {
    if x.fract() == 0.0 && x.abs() < 1e15 { s.serialize_i64(*x as i64) } else { s.serialize_f64(*x) }
}
