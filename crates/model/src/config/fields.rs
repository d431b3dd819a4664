//! Reading one JSON object field by field: every refusal names the file, the field, what was expected and what was there.

use crate::ModelError;
use serde_json::{Map, Value};
use std::path::Path;

/// Characters of a wrong value that an error repeats.
const GOT_CHARS: usize = 80;

/// An object of `config.json`; `at` is its own path inside the file, with a dot, or empty.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub path: &'a Path,
    pub at: &'a str,
    pub map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// None where the field is missing or null.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    /// Whether the field is written at all, be it as null.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// A whole number in 1..=max.
    pub fn size(&self, key: &str, max: usize) -> Result<Option<usize>, ModelError> {
        self.whole(key, 1, max)
    }

    /// A whole number in min..=max.
    pub fn whole(&self, key: &str, min: usize, max: usize) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let n = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| (min..=max).contains(n));
        n.map(Some).ok_or_else(|| self.wrong(key, &format!("a whole number from {min} to {max}"), value))
    }

    pub fn required_size(&self, key: &str, max: usize) -> Result<usize, ModelError> {
        self.size(key, max)?.ok_or_else(|| ModelError::ConfigMissing { path: self.path.into(), field: self.name(key) })
    }

    /// A finite number in low..=high.
    pub fn number(&self, key: &str, low: f64, high: f64) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let x = value.as_f64().filter(|x| (low..=high).contains(x));
        x.map(Some).ok_or_else(|| self.wrong(key, &format!("a number from {low:e} to {high:e}"), value))
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(key, "true or false", value))
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(key, "a string", value))
    }

    pub fn list(&self, key: &str) -> Result<Option<&'a Vec<Value>>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_array().map(Some).ok_or_else(|| self.wrong(key, "a list", value))
    }

    pub fn object(&self, key: &str) -> Result<Option<&'a Map<String, Value>>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_object().map(Some).ok_or_else(|| self.wrong(key, "an object", value))
    }

    pub fn wrong(&self, key: &str, expected: &str, got: &Value) -> ModelError {
        ModelError::ConfigValue {
            path: self.path.into(),
            field: self.name(key),
            expected: expected.to_owned(),
            got: shown(got),
        }
    }

    /// The field is well formed, but says something that this program has no code for.
    pub fn unsupported(&self, key: &str, got: &Value, supported: &'static str) -> ModelError {
        ModelError::ConfigUnsupported { path: self.path.into(), field: self.name(key), got: shown(got), supported }
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.at)
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(GOT_CHARS) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
