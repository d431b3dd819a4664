//! Reading a record of any origin: what is missing or of another type is nothing, never a panic.

use serde_json::Value;

/// Whole numbers; a float is rounded down, a negative one is nothing.
pub fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|x| *x >= 0.0).map(|x| x as u64))
}

pub fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|x| x.is_finite())
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn numbers(value: &Value) -> Vec<f64> {
    // What is no number stays in its place, so that a plot refuses it instead of showing it elsewhere.
    list(value).iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
}

pub fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Of a list of objects, the one whose `key` is `name`.
pub fn named<'a>(values: &'a Value, key: &str, name: &str) -> Option<&'a Value> {
    list(values).iter().find(|v| v[key] == name)
}

/// Rows and the like over a list.
pub fn sum(values: &Value, key: &str) -> u64 {
    list(values).iter().filter_map(|v| whole(&v[key])).fold(0, u64::saturating_add)
}
