//! The files of a model folder that say how text becomes tokens.

use super::TextError;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use tokenizers::AddedToken;

/// The largest tokenizer.json that is read; the largest in the field have about 35 MB.
pub const TOKENIZER_BYTES_MAX: u64 = 256 << 20;
/// The largest configuration file that is read.
pub const CONFIG_BYTES_MAX: u64 = 16 << 20;
/// Files looked at in additional_chat_templates.
const TEMPLATES_MAX: usize = 64;

/// The special tokens by role (`bos_token`, `eos_token`, …), and those without one.
#[derive(Clone, Debug, Default)]
pub(super) struct SpecialTokens {
    pub named: BTreeMap<String, String>,
    pub additional: Vec<String>,
}

/// A chat template as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TemplateSource {
    pub name: String,
    pub text: String,
    pub origin: String,
}

/// Everything read once; the digest covers all of it.
pub(super) struct Folder {
    dir: PathBuf,
    pub tokenizer: Vec<u8>,
    tokenizer_config: Map<String, Value>,
    special_tokens_map: Map<String, Value>,
    generation_config: Map<String, Value>,
    config: Map<String, Value>,
    digest: Sha256,
}

impl Folder {
    /// # Errors
    /// `NoTokenizer`, `Io`, `TooLarge`, `BadConfig`.
    pub fn open(dir: &Path) -> Result<Self, TextError> {
        let path = dir.join("tokenizer.json");
        let tokenizer = read(&path, TOKENIZER_BYTES_MAX)?.ok_or(TextError::NoTokenizer { path })?;
        let mut digest = Sha256::new_with_prefix(&tokenizer);
        let mut json = |name: &str| -> Result<Map<String, Value>, TextError> {
            let path = dir.join(name);
            let Some(bytes) = read(&path, CONFIG_BYTES_MAX)? else { return Ok(Map::new()) };
            digest.update(&bytes);
            match serde_json::from_slice(&bytes) {
                Ok(Value::Object(map)) => Ok(map),
                Ok(_) => Err(TextError::BadConfig { path, why: "not a JSON object".into() }),
                Err(e) => Err(TextError::BadConfig { path, why: e.to_string() }),
            }
        };
        let tokenizer_config = json("tokenizer_config.json")?;
        let special_tokens_map = json("special_tokens_map.json")?;
        let generation_config = json("generation_config.json")?;
        let config = json("config.json")?;
        Ok(Self {
            dir: dir.to_owned(),
            tokenizer,
            tokenizer_config,
            special_tokens_map,
            generation_config,
            config,
            digest,
        })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The hash of all files so far, to be extended by the caller.
    pub fn digest(&self) -> Sha256 {
        self.digest.clone()
    }

    /// # Errors
    /// `BadConfig` where a token is neither text nor an object with `content`.
    pub fn special_tokens(&self) -> Result<SpecialTokens, TextError> {
        let mut special = SpecialTokens::default();
        // tokenizer_config.json overrules the older special_tokens_map.json.
        for (file, map) in
            [("special_tokens_map.json", &self.special_tokens_map), ("tokenizer_config.json", &self.tokenizer_config)]
        {
            for (role, value) in
                map.iter().filter(|(role, value)| role.ends_with("_token") && !value.is_boolean() && !value.is_null())
            {
                let token = token_text(value).ok_or_else(|| self.bad(file, format!("{role} is not a token")))?;
                special.named.insert(role.clone(), token.to_owned());
            }
            for role in ["additional_special_tokens", "extra_special_tokens"] {
                match map.get(role) {
                    Some(Value::Array(tokens)) => {
                        special.additional.extend(tokens.iter().filter_map(token_text).map(str::to_owned))
                    }
                    // Names of a model's own tokens, which its template may use (`image_token`).
                    Some(Value::Object(tokens)) => {
                        let tokens = tokens
                            .iter()
                            .filter_map(|(name, token)| Some((name.clone(), token_text(token)?.to_owned())));
                        special.named.extend(tokens);
                    }
                    _ => {}
                }
            }
        }
        Ok(special)
    }

    /// `added_tokens_decoder`, by id.
    ///
    /// # Errors
    /// `BadConfig`.
    pub fn added_tokens(&self) -> Result<BTreeMap<u32, AddedToken>, TextError> {
        let Some(Value::Object(map)) = self.tokenizer_config.get("added_tokens_decoder") else {
            return Ok(BTreeMap::new());
        };
        let entry = |(id, token): (&String, &Value)| {
            let flag = |name| token.get(name).and_then(Value::as_bool);
            let special = flag("special").unwrap_or(false);
            let added = AddedToken::from(token_text(token)?, special)
                .single_word(flag("single_word").unwrap_or(false))
                .lstrip(flag("lstrip").unwrap_or(false))
                .rstrip(flag("rstrip").unwrap_or(false))
                .normalized(flag("normalized").unwrap_or(!special));
            Some((id.parse().ok()?, added))
        };
        let bad = |id: &String| {
            self.bad("tokenizer_config.json", format!("added_tokens_decoder: {id:?} is not an id with a token"))
        };
        map.iter().map(|pair| entry(pair).ok_or_else(|| bad(pair.0))).collect()
    }

    /// A flag of tokenizer_config.json; None where it is absent or null.
    ///
    /// # Errors
    /// `BadConfig` where it is neither.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, TextError> {
        match self.tokenizer_config.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.bad("tokenizer_config.json", format!("{key} is {other}, neither true nor false"))),
        }
    }

    /// `eos_token_id` of generation_config.json, then of config.json: one id or a list, in their order.
    ///
    /// # Errors
    /// `BadConfig`.
    pub fn stop_ids(&self) -> Result<Vec<u32>, TextError> {
        for (file, map) in self.configs() {
            match map.get("eos_token_id") {
                None | Some(Value::Null) => {}
                Some(Value::Array(ids)) => return ids.iter().map(|id| self.id(file, "eos_token_id", id)).collect(),
                Some(id) => return Ok(vec![self.id(file, "eos_token_id", id)?]),
            }
        }
        Ok(Vec::new())
    }

    /// # Errors
    /// `BadConfig`.
    pub fn id_in_configs(&self, key: &str) -> Result<Option<u32>, TextError> {
        let found = self
            .configs()
            .into_iter()
            .find_map(|(file, map)| map.get(key).filter(|v| !v.is_null()).map(|id| (file, id)));
        found.map(|(file, id)| self.id(file, key, id)).transpose()
    }

    fn configs(&self) -> [(&'static str, &Map<String, Value>); 2] {
        [("generation_config.json", &self.generation_config), ("config.json", &self.config)]
    }

    fn id(&self, file: &str, key: &str, value: &Value) -> Result<u32, TextError> {
        value
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| self.bad(file, format!("{key}: {value} is not a token id")))
    }

    /// The chat templates of the folder, by name, `default` among them if there is any; None for a base model.
    ///
    /// A file chat_template.jinja overrules `chat_template` in tokenizer_config.json, which is a text or a list of named ones.
    ///
    /// # Errors
    /// `Io`, `TooLarge`, `BadConfig`, `NoDefaultTemplate`.
    pub fn chat_templates(&self) -> Result<Vec<TemplateSource>, TextError> {
        let mut templates = self.templates_in_config()?;
        let file = self.path("chat_template.jinja");
        if let Some(text) = read_text(&file)? {
            templates.retain(|t| t.name != DEFAULT);
            templates.push(TemplateSource { name: DEFAULT.into(), text, origin: file.display().to_string() });
        }
        for path in self.additional_templates()? {
            let Some(text) = read_text(&path)? else { continue };
            let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            templates.retain(|t| t.name != name);
            templates.push(TemplateSource { name, text, origin: path.display().to_string() });
        }
        if !templates.is_empty() && !templates.iter().any(|t| t.name == DEFAULT) {
            let names = templates.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(TextError::NoDefaultTemplate { origin: self.dir.display().to_string(), names });
        }
        Ok(templates)
    }

    fn templates_in_config(&self) -> Result<Vec<TemplateSource>, TextError> {
        let origin = format!("{}: chat_template", self.path("tokenizer_config.json").display());
        let bad =
            || self.bad("tokenizer_config.json", "chat_template is neither text nor a list of {name, template}".into());
        match self.tokenizer_config.get("chat_template") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![TemplateSource { name: DEFAULT.into(), text: text.clone(), origin }]),
            Some(Value::Array(list)) => {
                let named = |entry: &Value| {
                    let text = |key| entry.get(key).and_then(Value::as_str).map(str::to_owned);
                    let name = text("name")?;
                    Some(TemplateSource { origin: format!("{origin} {name:?}"), name, text: text("template")? })
                };
                list.iter().map(|entry| named(entry).ok_or_else(bad)).collect()
            }
            Some(_) => Err(bad()),
        }
    }

    fn additional_templates(&self) -> Result<Vec<PathBuf>, TextError> {
        let dir = self.path("additional_chat_templates");
        let failed = |source| TextError::Io { path: dir.clone(), source };
        let mut paths = Vec::new();
        match std::fs::read_dir(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(paths),
            Err(e) => return Err(failed(e)),
            Ok(entries) => {
                for entry in entries.take(TEMPLATES_MAX) {
                    let path = entry.map_err(failed)?.path();
                    if path.extension().is_some_and(|e| e == "jinja") {
                        paths.push(path);
                    }
                }
            }
        }
        paths.sort();
        Ok(paths)
    }

    fn bad(&self, file: &str, why: String) -> TextError {
        TextError::BadConfig { path: self.path(file), why }
    }
}

/// The name under which transformers looks for a template when there are several.
pub(super) const DEFAULT: &str = "default";
/// The one it prefers when there are tools.
pub(super) const TOOL_USE: &str = "tool_use";

/// A token as text or as an AddedToken object.
fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str()).filter(|t| !t.is_empty())
}

/// # Errors
/// `Io`, `TooLarge`, and `BadConfig` where it is not UTF-8.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, TextError> {
    let bytes = read(path, super::jinja::TEMPLATE_BYTES_MAX as u64)?;
    let text = |bytes| {
        String::from_utf8(bytes).map_err(|e| TextError::BadConfig { path: path.to_owned(), why: e.to_string() })
    };
    bytes.map(text).transpose()
}

/// The bytes of a file, None if there is none. Never more than `limit` is held.
pub(super) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, TextError> {
    let failed = |source| TextError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    let bytes = file.metadata().map_err(failed)?.len();
    let too_large = |bytes| TextError::TooLarge { path: path.to_owned(), bytes, limit };
    if bytes > limit {
        return Err(too_large(bytes));
    }
    let mut out = Vec::with_capacity(bytes as usize);
    file.take(limit + 1).read_to_end(&mut out).map_err(failed)?;
    if out.len() as u64 > limit {
        return Err(too_large(out.len() as u64));
    }
    Ok(Some(out))
}
