mod eval;
mod page;
mod plots;
mod terminal;
mod ways;

use serde_json::{Value, json};

const SAMPLE: &str = include_str!("sample.json");

fn sample() -> Value {
    serde_json::from_str(SAMPLE).expect("the sample is JSON")
}

/// The sample with at most two of each list, for tests that make many pages.
fn small() -> Value {
    fn cut(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.truncate(2);
                items.iter_mut().for_each(cut);
            }
            Value::Object(map) => map.values_mut().for_each(cut),
            _ => {}
        }
    }
    let mut value = sample();
    cut(&mut value);
    // One edge more than counts.
    for part in value["lengths"]["parts"].as_array_mut().expect("a list") {
        part["histogram"] = json!({"edges": [0, 1, 2], "counts": [3, 4]});
    }
    for path in ["/quality/histogram", "/duplicates/overlap/histogram"] {
        *value.pointer_mut(path).expect("a histogram") = json!({"edges": [0, 0.5, 1], "counts": [3, 4]});
    }
    value
}

/// Every value of a record, as the path to it; of a list the first.
fn paths(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, v)| (format!("/{key}"), v)).collect(),
        Value::Array(items) => items.iter().enumerate().take(1).map(|(i, v)| (format!("/{i}"), v)).collect(),
        _ => Vec::new(),
    };
    let below = children.iter().flat_map(|(key, v)| paths(v).into_iter().map(move |path| format!("{key}{path}")));
    std::iter::once(String::new()).chain(below).collect()
}

/// What may stand where this value should.
fn odd(value: &Value) -> Vec<Value> {
    match value {
        Value::Number(_) => vec![Value::Null, json!(-1.5), json!(1e308)],
        Value::String(_) => vec![Value::Null],
        _ => vec![Value::Null, json!([[null]]), json!("x")],
    }
}

/// Every string, keys of thresholds too, replaced.
fn with_strings(value: &Value, text: &str) -> Value {
    match value {
        Value::String(_) => Value::from(text),
        Value::Array(items) => items.iter().map(|v| with_strings(v, text)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, v)| {
                let key = if key == "near" { text } else { key };
                (key.to_string(), with_strings(v, text))
            })
            .collect(),
        other => other.clone(),
    }
}
