//! Values written as Python writes them: `str()`, `repr()` and `json.dumps`, which chat templates were made with.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};
use std::fmt::Write;

/// Containers inside containers; deeper values cannot come from JSON that was read with a limit.
const DEPTH_MAX: usize = 200;

/// `str(value)`; undefined is empty, as in Jinja.
pub(super) fn str(value: &Value) -> String {
    match value.kind() {
        ValueKind::String => value.as_str().map(str::to_owned).unwrap_or_default(),
        ValueKind::Undefined => String::new(),
        _ => {
            let mut out = String::new();
            repr(value, &mut out, 0);
            out
        }
    }
}

fn repr(value: &Value, out: &mut String, depth: usize) {
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::String => quote(value.as_str().unwrap_or_default(), out),
        _ if depth >= DEPTH_MAX => out.push_str("..."),
        ValueKind::Seq => {
            out.push('[');
            for (i, item) in value.try_iter().into_iter().flatten().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr(&item, out, depth + 1);
            }
            out.push(']');
        }
        ValueKind::Map if !is_namespace(value) => {
            out.push('{');
            for (i, key) in value.try_iter().into_iter().flatten().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr(&key, out, depth + 1);
                out.push_str(": ");
                repr(&value.get_item(&key).unwrap_or_default(), out, depth + 1);
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
}

/// Objects such as macros and namespaces count as maps; they print in their own way.
fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|o| o.repr() == minijinja::value::ObjectRepr::Plain)
}

/// Python's choice of quotes: single ones, unless only double ones avoid an escape.
fn quote(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(x) => float(x),
        Err(_) => value.to_string(),
    }
}

/// `repr(float)`: the shortest digits that read back, with an exponent from 1e16 and below 1e-4.
fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let magnitude = x.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{x:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{x:?}")
}

/// The arguments of `json.dumps`.
pub(super) struct JsonStyle {
    pub ascii: bool,
    pub sort_keys: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
}

impl Default for JsonStyle {
    fn default() -> Self {
        Self { ascii: false, sort_keys: false, indent: None, item_separator: ", ".into(), key_separator: ": ".into() }
    }
}

impl JsonStyle {
    /// A count of spaces or the indent itself. The space after the comma goes, as the line ends there.
    pub fn set_indent(&mut self, indent: &Value) -> Result<(), Error> {
        const SPACES_MAX: usize = 64;
        self.indent = Some(match indent.as_str() {
            Some(text) => text.to_owned(),
            None => {
                let spaces = usize::try_from(indent.clone())?;
                if spaces > SPACES_MAX {
                    return Err(Error::new(
                        ErrorKind::InvalidOperation,
                        format!("tojson: an indent of {spaces} is over {SPACES_MAX}"),
                    ));
                }
                " ".repeat(spaces)
            }
        });
        self.item_separator = ",".into();
        Ok(())
    }

    pub fn set_separators(&mut self, separators: &Value) -> Result<(), Error> {
        let pair: Vec<Value> = separators.try_iter()?.collect();
        match pair.as_slice() {
            [item, key] => {
                self.item_separator = str(item);
                self.key_separator = str(key);
                Ok(())
            }
            _ => Err(Error::new(ErrorKind::InvalidOperation, "tojson: separators are a pair")),
        }
    }

    fn line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
    }
}

/// `json.dumps(value, …)`.
pub(super) fn json(value: &Value, style: &JsonStyle) -> Result<String, Error> {
    let mut out = String::new();
    json_into(value, style, 0, &mut out)?;
    Ok(out)
}

fn json_into(value: &Value, style: &JsonStyle, depth: usize, out: &mut String) -> Result<(), Error> {
    let not_json = || Error::new(ErrorKind::InvalidOperation, format!("tojson: {} is not JSON", value.kind()));
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&json_number(value)),
        ValueKind::String => json_string(value.as_str().unwrap_or_default(), style.ascii, out),
        _ if depth >= DEPTH_MAX => return Err(not_json()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            let write = |item: &Value, out: &mut String| json_into(item, style, depth + 1, out);
            container(('[', ']'), &items, style, depth, out, write)?;
        }
        ValueKind::Map if !is_namespace(value) => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if style.sort_keys {
                keys.sort_by_key(str);
            }
            let write = |key: &Value, out: &mut String| {
                json_string(&json_key(key), style.ascii, out);
                out.push_str(&style.key_separator);
                json_into(&value.get_item(key)?, style, depth + 1, out)
            };
            container(('{', '}'), &keys, style, depth, out, write)?;
        }
        _ => return Err(not_json()),
    }
    Ok(())
}

fn container(
    brackets: (char, char),
    items: &[Value],
    style: &JsonStyle,
    depth: usize,
    out: &mut String,
    write: impl Fn(&Value, &mut String) -> Result<(), Error>,
) -> Result<(), Error> {
    out.push(brackets.0);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(&style.item_separator);
        }
        style.line(depth + 1, out);
        write(item, out)?;
    }
    if !items.is_empty() {
        style.line(depth, out);
    }
    out.push(brackets.1);
    Ok(())
}

fn json_key(key: &Value) -> String {
    match key.kind() {
        ValueKind::None => "null".into(),
        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.into(),
        ValueKind::Number => json_number(key),
        _ => str(key),
    }
}

fn json_number(value: &Value) -> String {
    match number(value).as_str() {
        "nan" => "NaN".into(),
        "inf" => "Infinity".into(),
        "-inf" => "-Infinity".into(),
        finite => finite.into(),
    }
}

fn json_string(text: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || (ascii && c > '~') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #[test]
    fn floats_as_python_prints_them() {
        for (x, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (123456789.125, "123456789.125"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(super::float(x), expected);
        }
    }
}
