//! Chat templates: Jinja as Hugging Face configures it, on minijinja.
//!
//! Equal to `transformers.utils.chat_template_utils`: `trim_blocks`, `lstrip_blocks`, loop controls, Python's methods, `tojson` as
//! `json.dumps(ensure_ascii=False)`, `raise_exception`, `strftime_now`, and `{% generation %}` blocks, which mark what the
//! assistant says. A template is foreign code: it runs with a limit on its size, its steps, its depth and its output.

use super::marks;
use super::python;
use super::{Clock, TextError};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Serde};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value};
use std::io;

/// The largest template that is read. The largest in the field have about 30 kB.
pub const TEMPLATE_BYTES_MAX: usize = 1 << 20;
/// Steps of one render; an instruction costs one, and so do 64 bytes of a new string. A conversation of a thousand turns takes
/// less than a twentieth of it; a string doubled until it runs out ends below 300 MB.
pub const FUEL_MAX: u64 = 4_000_000;
/// Nested calls and includes of one render.
pub const DEPTH_MAX: usize = 200;
/// The longest text that one render may write.
pub const RENDERED_BYTES_MAX: usize = 64 << 20;

const NAME: &str = "chat";

/// A compiled chat template.
pub struct ChatTemplate {
    env: Environment<'static>,
    origin: String,
    has_generation: bool,
}

impl ChatTemplate {
    /// Compiles `source`; `origin` names it in errors.
    ///
    /// # Errors
    /// `TemplateTooLarge`, `BadTemplate`.
    pub fn compile(source: &str, origin: &str, clock: Clock) -> Result<Self, TextError> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(TextError::TemplateTooLarge {
                origin: origin.to_owned(),
                bytes: source.len(),
                limit: TEMPLATE_BYTES_MAX,
            });
        }
        if let Some(code) = marks::reserved(source) {
            return Err(TextError::BadTemplate {
                origin: origin.to_owned(),
                why: format!("it holds the reserved character U+{code:04X}"),
            });
        }
        // Jinja2 reads every line end as a line feed.
        let (source, has_generation) = mark_generation(&source.replace("\r\n", "\n").replace('\r', "\n"));
        let mut env = environment(clock);
        env.add_template_owned(NAME, source)
            .map_err(|e| TextError::BadTemplate { origin: origin.to_owned(), why: explain(&e) })?;
        Ok(Self { env, origin: origin.to_owned(), has_generation })
    }

    /// Whether the template itself says, with `{% generation %}`, what the assistant says.
    pub fn has_generation(&self) -> bool {
        self.has_generation
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The text for this context (`messages`, `tools`, `add_generation_prompt`, `bos_token`, …).
    ///
    /// # Errors
    /// `Raised` when the template calls `raise_exception`, `OutOfFuel`, `TextTooLarge`, `Render`.
    pub fn render(&self, context: impl serde::Serialize) -> Result<String, TextError> {
        self.render_marked(Value::from(Serde(context))).map(|text| marks::strip(&text))
    }

    /// As [`render`](Self::render), with the marks of `{% generation %}` still in the text.
    pub(super) fn render_marked(&self, context: Value) -> Result<String, TextError> {
        let template = self.env.get_template(NAME).map_err(|e| TextError::Render { why: explain(&e) })?;
        let mut out = Limited { bytes: Vec::new(), over: None };
        let result = template.render_captured_to(context, &mut out).map(drop);
        if let Some(bytes) = out.over {
            return Err(TextError::TextTooLarge { bytes, limit: RENDERED_BYTES_MAX });
        }
        result.map_err(|e| refusal(&e))?;
        String::from_utf8(out.bytes).map_err(|e| TextError::Render { why: e.to_string() })
    }
}

/// Keeps what a template writes, up to the limit.
struct Limited {
    bytes: Vec<u8>,
    over: Option<usize>,
}

impl io::Write for Limited {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        let len = self.bytes.len() + chunk.len();
        if len > RENDERED_BYTES_MAX {
            self.over = Some(len);
            return Err(io::Error::other("too much text"));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `raise_exception` throws, kept apart from a template's own faults.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct RaisedByTemplate(String);

fn environment(clock: Clock) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_syntax(whitespace());
    env.set_debug(false);
    env.set_fuel(Some(FUEL_MAX));
    env.set_recursion_limit(DEPTH_MAX);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    env.set_formatter(|out, _: &mut State, value| out.write_str(&python::str(value)).map_err(Error::from));
    env.add_filter("tojson", tojson);
    env.add_filter("string", |value: Value| python::str(&value));
    env.add_function("raise_exception", |message: Value| -> Result<Value, Error> {
        let message = python::str(&message);
        Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(RaisedByTemplate(message)))
    });
    env.add_function("strftime_now", move |format: &str| {
        clock
            .strftime(format)
            .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: bad format {format:?}")))
    });
    env
}

fn whitespace() -> SyntaxConfig {
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true);
    syntax.lstrip_blocks(true);
    // The delimiters are the default ones, the only thing that the builder can refuse.
    syntax.build().unwrap_or_default()
}

/// `tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`, as transformers defines it.
fn tojson(value: Value, positional: Rest<Value>, kwargs: Kwargs) -> Result<String, Error> {
    let argument = |name: &str, place: usize| -> Result<Option<Value>, Error> {
        let value = match positional.get(place) {
            Some(value) => Some(value.clone()),
            None => kwargs.get::<Option<Value>>(name)?,
        };
        Ok(value.filter(|v| !v.is_none() && !v.is_undefined()))
    };
    let mut style = python::JsonStyle::default();
    style.ascii = argument("ensure_ascii", 0)?.is_some_and(|v| v.is_true());
    if let Some(indent) = argument("indent", 1)? {
        style.set_indent(&indent)?;
    }
    if let Some(separators) = argument("separators", 2)? {
        style.set_separators(&separators)?;
    }
    style.sort_keys = argument("sort_keys", 3)?.is_some_and(|v| v.is_true());
    kwargs.assert_all_used()?;
    python::json(&value, &style)
}

fn refusal(error: &Error) -> TextError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = source {
        if let Some(raised) = e.downcast_ref::<RaisedByTemplate>() {
            return TextError::Raised { why: raised.0.clone() };
        }
        if e.downcast_ref::<Error>().is_some_and(|e| e.kind() == ErrorKind::OutOfFuel) {
            return TextError::OutOfFuel { limit: FUEL_MAX };
        }
        source = e.source();
    }
    TextError::Render { why: explain(error) }
}

fn explain(error: &Error) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    match error.line() {
        Some(line) => format!("{what} (line {line} of the template)"),
        None => what,
    }
}

/// Rewrites `{% generation %} … {% endgeneration %}`, which minijinja cannot be taught, into a scope that prints a mark at its
/// beginning and its end. Comments, raw blocks and strings are left alone.
///
/// The mark stands between two block tags, so that what the original tag did to the white space on its left (`-`, or
/// `lstrip_blocks`) and on its right (`-`, or `trim_blocks`) still happens there and nowhere else. `with` keeps assignments
/// inside, as the call block of the reference does.
fn mark_generation(source: &str) -> (String, bool) {
    let mut out = String::with_capacity(source.len() + 64);
    let mut found = false;
    let mut rest = source;
    while let Some(at) = next_tag(rest) {
        let (text, tag) = rest.split_at(at);
        out.push_str(text);
        let len = tag_len(tag);
        let (tag, after) = tag.split_at(len);
        match block_name(tag) {
            Some(("generation", left, right)) => {
                found = true;
                out.push_str(&format!("{{%{left} with %}}{}{{% if true {right}%}}", marks::START));
            }
            Some(("endgeneration", left, right)) => {
                out.push_str(&format!("{{%{left} endif %}}{}{{% endwith {right}%}}", marks::END))
            }
            Some(("raw", ..)) => {
                let len = end_of_raw(after);
                out.push_str(tag);
                out.push_str(&after[..len]);
                rest = &after[len..];
                continue;
            }
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    (out, found)
}

fn next_tag(text: &str) -> Option<usize> {
    text.as_bytes().windows(2).position(|w| matches!(w, b"{%" | b"{{" | b"{#"))
}

/// The length of the tag at the start of `text`, its end included; strings inside may hold what would end it.
fn tag_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    if bytes[1] == b'#' {
        return text.find("#}").map_or(text.len(), |end| end + 2);
    }
    let close: &[u8] = if bytes[1] == b'%' { b"%}" } else { b"}}" };
    let (mut i, mut depth) = (2, 0usize);
    while i < bytes.len() {
        match bytes[i] {
            quote @ (b'\'' | b'"') => {
                i += 1;
                while i < bytes.len() && bytes[i] != quote {
                    i += if bytes[i] == b'\\' { 2 } else { 1 };
                }
            }
            _ if depth == 0 && bytes[i..].starts_with(close) => return i + 2,
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        i += 1;
    }
    text.len()
}

/// `{%- name -%}` → (name, "-", "-"), for block tags of one word.
fn block_name(tag: &str) -> Option<(&str, &str, &str)> {
    let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let sign = |c: Option<char>| matches!(c, Some('-' | '+'));
    let (left, inner) = inner.split_at(usize::from(sign(inner.chars().next())));
    let (inner, right) = inner.split_at(inner.len() - usize::from(sign(inner.chars().next_back())));
    Some((inner.trim(), left, right))
}

fn end_of_raw(text: &str) -> usize {
    let mut from = 0;
    while let Some(at) = text[from..].find("{%") {
        let start = from + at;
        let end = text[start..].find("%}").map_or(text.len(), |e| start + e + 2);
        if block_name(&text[start..end]).is_some_and(|(name, ..)| name == "endraw") {
            return end;
        }
        from = start + 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(source: &str) -> String {
        let template = ChatTemplate::compile(source, "test", Clock::default()).unwrap();
        template
            .render_marked(Value::from(Serde(json!({"x": " v ", "list": [1, 2]}))))
            .unwrap()
            .replace(marks::START, "⟦")
            .replace(marks::END, "⟧")
    }

    /// What Jinja2 with transformers' own extension renders, brackets standing for the generation block's bounds.
    #[test]
    fn generation_tags_trim_as_in_jinja() {
        for (source, expected) in [
            ("a{% generation %}b{% endgeneration %}c", "a⟦b⟧c"),
            ("a {% generation %} b {% endgeneration %} c", "a ⟦ b ⟧ c"),
            ("a {%- generation -%} b {%- endgeneration -%} c", "a⟦b⟧c"),
            ("a\n  {% generation %}\n  b\n  {% endgeneration %}\nc", "a\n⟦  b\n⟧c"),
            ("a\n  {%+ generation +%}\n  b\n  {%+ endgeneration +%}\nc", "a\n  ⟦\n  b\n  ⟧\nc"),
            ("{%generation%}{{ x|trim }}{%endgeneration%}", "⟦v⟧"),
            ("{# {% generation %} #}a", "a"),
            ("{{ '{% generation %}' }}", "{% generation %}"),
            ("{% raw %}{% generation %}{% endraw %}", "{% generation %}"),
            ("{% for i in list %}{% generation %}{{ i }}{% endgeneration %}{% endfor %}", "⟦1⟧⟦2⟧"),
            ("{% set y = 1 %}{% generation %}{% set y = 2 %}{% endgeneration %}{{ y }}", "⟦⟧1"),
        ] {
            assert_eq!(render(source), expected, "{source}");
        }
    }

    #[test]
    fn prints_as_python() {
        let template = "{{ none }} {{ true }} {{ 1.0 }} {{ 1e16 }} {{ ['a', none, {'k': 'it\\'s'}] }} {{ missing }}|{{ none|string }}";
        assert_eq!(render(template), "None True 1.0 1e+16 ['a', None, {'k': \"it's\"}] |None");
    }

    #[test]
    fn tojson_is_json_dumps() {
        for (expression, expected) in [
            ("{'a': [1, 2.0, none, true], 'b': 'é<\\n\"'} | tojson", r#"{"a": [1, 2.0, null, true], "b": "é<\n\""}"#),
            (
                "{'a': [1], 'b': {}, 'c': []} | tojson(indent=2)",
                "{\n  \"a\": [\n    1\n  ],\n  \"b\": {},\n  \"c\": []\n}",
            ),
            ("{'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':'))", r#"{"a":2,"b":1}"#),
            ("'é😀' | tojson(ensure_ascii=true)", r#""\u00e9\ud83d\ude00""#),
        ] {
            assert_eq!(render(&format!("{{{{ {expression} }}}}")), expected, "{expression}");
        }
    }

    fn fails(source: &str) -> TextError {
        match ChatTemplate::compile(source, "test", Clock::default()) {
            Ok(template) => template.render(json!({})).unwrap_err(),
            Err(e) => e,
        }
    }

    #[test]
    fn hostile_templates_end() {
        let doubling =
            "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(90) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}";
        assert!(matches!(fails(doubling), TextError::OutOfFuel { .. }), "{:?}", fails(doubling));
        let looping = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}";
        assert!(matches!(fails(looping), TextError::OutOfFuel { .. }));
        let recursive = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
        assert!(matches!(fails(recursive), TextError::Render { .. }));
        let printing = "{% set s = 'x' * 1000000 %}{% for i in range(90000) %}{{ s }}{% endfor %}";
        assert!(matches!(fails(printing), TextError::TextTooLarge { .. }), "{:?}", fails(printing));
        let nested = format!("{}{}", "{% if true %}".repeat(5000), "{% endif %}".repeat(5000));
        assert!(
            matches!(fails(&nested), TextError::BadTemplate { .. } | TextError::Render { .. }),
            "{:?}",
            fails(&nested)
        );
        assert!(matches!(fails(&"x".repeat(TEMPLATE_BYTES_MAX + 1)), TextError::TemplateTooLarge { .. }));
        assert!(matches!(fails("{% if %}"), TextError::BadTemplate { .. }));
        assert!(matches!(fails("{{ raise_exception('no') }}"), TextError::Raised { why } if why == "no"));
        assert!(matches!(fails("{{ strftime_now('%') }}"), TextError::Render { .. }));
        assert!(matches!(fails("\u{FDD0}"), TextError::BadTemplate { .. }));
        assert!(matches!(fails("{% generation %}"), TextError::BadTemplate { .. }));
        assert!(matches!(fails("{% include '/etc/passwd' %}"), TextError::Render { .. }));
    }
}
