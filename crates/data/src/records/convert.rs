//! A row as a JSON value → content, in each format. Every refusal names the field.

use super::look::Found;
use super::roles;
use crate::error::RowFault;
use crate::plan::{Format, Template};
use crate::text::{Content, Conversation, Message, UNFINISHED};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How the plan's template takes fields that have names of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A chat template: instruction and output become a conversation.
    Chat,
    /// A plain template: it names the fields itself.
    Plain,
}

impl Shape {
    pub fn of(template: &Template) -> Shape {
        if matches!(template, Template::Plain(_)) { Shape::Plain } else { Shape::Chat }
    }
}

/// The content of a row.
///
/// # Errors
/// What is wrong with the row; the caller knows where it stands.
pub(crate) fn content(found: &Found, shape: Shape, value: Value) -> Result<Content, RowFault> {
    let mut row = match value {
        Value::String(text) if found.format == Format::Text => return whole_text("text", text).map(Content::Text),
        Value::Object(fields) => Row { found, fields },
        other => return Err(RowFault::NotAnObject { got: kind(&other) }),
    };
    match found.format {
        Format::Text => row.text(),
        Format::PromptCompletion => row.prompt_completion(shape),
        Format::Alpaca => row.alpaca(shape),
        Format::Sharegpt => row.conversation("conversations"),
        Format::Messages => row.conversation("messages"),
    }
}

struct Row<'a> {
    found: &'a Found,
    fields: Map<String, Value>,
}

impl Row<'_> {
    fn required(&mut self, role: &'static str) -> Result<Value, RowFault> {
        let column = self.found.column(role).unwrap_or(role);
        match self.fields.get_mut(column).map(Value::take) {
            Some(Value::Null) | None => {
                let found: Vec<&str> = self.fields.keys().map(String::as_str).filter(|name| *name != column).collect();
                Err(RowFault::MissingField { field: column.to_owned(), found: found.join(", ") })
            }
            Some(value) => Ok(value),
        }
    }

    /// A field that need not be there; null is as good as absent. A usual name counts even where the first rows lacked it.
    fn optional(&mut self, role: &'static str) -> Option<Value> {
        let column = match self.found.column(role) {
            Some(column) => column.to_owned(),
            None => self.found.usual(role).find(|name| self.fields.contains_key(*name))?.to_owned(),
        };
        self.fields.get_mut(&column).map(Value::take).filter(|v| !v.is_null())
    }

    fn optional_text(&mut self, role: &'static str) -> Result<Option<String>, RowFault> {
        let text = self.optional(role).map(|v| text(role, v)).transpose()?;
        Ok(text.filter(|t| !is_blank(t)))
    }

    fn text(&mut self) -> Result<Content, RowFault> {
        let text = self.required("text").and_then(|v| text("text", v)).and_then(|t| whole_text("text", t))?;
        Ok(match self.optional(UNFINISHED) {
            Some(Value::Bool(true)) => Content::Unfinished(text),
            _ => Content::Text(text),
        })
    }

    fn prompt_completion(&mut self, shape: Shape) -> Result<Content, RowFault> {
        let mut named = if shape == Shape::Plain { self.texts() } else { BTreeMap::new() };
        let system = self.optional_text("system")?;
        let tools = self.tools()?;
        let (prompt, completion) = (self.required("prompt")?, self.required("completion")?);
        if !prompt.is_array() && !completion.is_array() && system.is_none() && tools.is_none() {
            let prompt = whole_text("prompt", text("prompt", prompt)?)?;
            let completion = whole_text("completion", text("completion", completion)?)?;
            if shape == Shape::Chat {
                return Ok(Content::PromptCompletion { prompt, completion });
            }
            named.insert("prompt".into(), prompt);
            named.insert("completion".into(), completion);
            return Ok(Content::Fields(named));
        }
        let mut prompt = self.side("prompt", "user", prompt)?;
        let completion = self.side("completion", "assistant", completion)?;
        prepend_system(&mut prompt, system);
        must_answer("completion", &completion)?;
        Ok(Content::PromptCompletionChat { prompt, completion, tools })
    }

    /// Every column that holds text, so that a plain template can name it.
    fn texts(&self) -> BTreeMap<String, String> {
        let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        self.fields.iter().filter_map(text).filter(|(_, text)| !text.contains('\0')).collect()
    }

    /// One side of a prompt and completion: messages, or text said by `speaker`.
    fn side(&self, role: &'static str, speaker: &str, value: Value) -> Result<Vec<Message>, RowFault> {
        match value {
            Value::Array(items) => messages(role, &self.found.tags, items),
            other => Ok(vec![Message::new(speaker, whole_text(role, text(role, other)?)?)]),
        }
    }

    fn alpaca(&mut self, shape: Shape) -> Result<Content, RowFault> {
        let instruction = text("instruction", self.required("instruction")?)?;
        let input = self.optional_text("input")?;
        let system = self.optional_text("system")?;
        let history = self.optional("history").map_or(Ok(Vec::new()), history)?;
        let output = whole_text("output", text("output", self.required("output")?)?)?;
        let prompt = match &input {
            Some(input) if is_blank(&instruction) => input.clone(),
            Some(input) => format!("{instruction}\n{input}"),
            None => whole_text("instruction", instruction.clone())?,
        };
        if shape == Shape::Plain && history.is_empty() {
            let mut fields: BTreeMap<String, String> = BTreeMap::new();
            let (input, system) = (input.unwrap_or_default(), system.unwrap_or_default());
            for (name, value) in
                [("instruction", instruction), ("input", input), ("system", system), ("prompt", prompt)]
            {
                fields.insert(name.to_owned(), value);
            }
            for name in ["output", "response", "completion"] {
                fields.insert(name.to_owned(), output.clone());
            }
            return Ok(Content::Fields(fields));
        }
        let mut messages = Vec::new();
        for (asked, answered) in history {
            messages.push(Message::new("user", asked));
            messages.push(Message::new("assistant", answered));
        }
        messages.push(Message::new("user", prompt));
        messages.push(Message::new("assistant", output));
        prepend_system(&mut messages, system);
        Ok(Content::Chat(Conversation { messages, tools: None }))
    }

    fn conversation(&mut self, role: &'static str) -> Result<Content, RowFault> {
        let system = self.optional_text("system")?;
        let tools = self.tools()?;
        let items = list(role, self.required(role)?)?;
        let mut messages = messages(role, &self.found.tags, items)?;
        must_answer(role, &messages)?;
        prepend_system(&mut messages, system);
        Ok(Content::Chat(Conversation { messages, tools }))
    }

    /// Tool definitions as OpenAI writes them: a list, or the same as JSON text; bare functions are wrapped.
    fn tools(&mut self) -> Result<Option<Value>, RowFault> {
        let Some(value) = self.optional("tools") else { return Ok(None) };
        if value.as_str().is_some_and(is_blank) {
            return Ok(None);
        }
        let tools = list("tools", value)?;
        let wrap = |tool: Value| match tool {
            Value::Object(fields) if fields.contains_key("name") && !fields.contains_key("function") => {
                serde_json::json!({"type": "function", "function": fields})
            }
            other => other,
        };
        let tools: Vec<Value> = tools.into_iter().map(wrap).collect();
        for (i, tool) in tools.iter().enumerate() {
            let field = format!("tools[{i}]");
            if !tool.is_object() {
                return Err(RowFault::WrongType { field, expected: "an object", got: kind(tool) });
            }
            no_nul(&field, tool)?;
        }
        Ok((!tools.is_empty()).then_some(Value::Array(tools)))
    }
}

/// Alpaca's history: `[["asked", "answered"], …]`.
fn history(value: Value) -> Result<Vec<(String, String)>, RowFault> {
    let pairs = list("history", value)?;
    let mut out = Vec::new();
    for (i, pair) in pairs.into_iter().enumerate() {
        let field = format!("history[{i}]");
        match pair {
            Value::Array(two) => match <[Value; 2]>::try_from(two) {
                Ok([asked, answered]) => out.push((text(&field, asked)?, whole_text(&field, text(&field, answered)?)?)),
                Err(other) => {
                    return Err(RowFault::Conversation {
                        field,
                        expected: "a question and its answer",
                        got: format!("{} items", other.len()),
                    });
                }
            },
            other => {
                return Err(RowFault::WrongType { field, expected: "a question and its answer", got: kind(&other) });
            }
        }
    }
    Ok(out)
}

fn messages(role: &str, tags: &roles::Tags, items: Vec<Value>) -> Result<Vec<Message>, RowFault> {
    items.into_iter().enumerate().map(|(i, item)| message(&format!("{role}[{i}]"), tags, item)).collect()
}

fn message(field: &str, tags: &roles::Tags, item: Value) -> Result<Message, RowFault> {
    let mut fields = match item {
        Value::Object(fields) => fields,
        other => return Err(RowFault::WrongType { field: field.to_owned(), expected: "an object", got: kind(&other) }),
    };
    let mut take = |name: &str| fields.shift_remove(name).filter(|v| !v.is_null());
    let speaker_field = format!("{field}.{}", tags.role);
    let named = match take(&tags.role) {
        Some(value) => text(&speaker_field, value)?,
        None => return Err(RowFault::MissingField { field: speaker_field, found: names(&fields) }),
    };
    let Some(speaker) = tags.speakers.get(&named) else {
        let expected = tags.speakers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(RowFault::UnknownName { field: speaker_field, expected, got: named });
    };
    let content_field = format!("{field}.{}", tags.content);
    let content = take(&tags.content);
    weight(field, *speaker, &mut fields)?;
    let mut out = Map::new();
    out.insert("role".into(), Value::String(role_of(*speaker).into()));
    match speaker {
        roles::Speaker::FunctionCall => {
            let calls = content
                .ok_or_else(|| RowFault::MissingField { field: content_field.clone(), found: names(&fields) })?;
            out.insert("content".into(), Value::Null);
            out.insert("tool_calls".into(), Value::Array(tool_calls(&content_field, calls)?));
        }
        _ => {
            let parts = parts(&content_field, content)?;
            out.insert("content".into(), parts.text.map_or(Value::Null, Value::String));
            if !parts.calls.is_empty() {
                out.insert("tool_calls".into(), Value::Array(parts.calls));
            }
            if let Some(reasoning) = parts.reasoning {
                out.insert("reasoning_content".into(), Value::String(reasoning));
            }
        }
    }
    for (name, mut value) in fields {
        no_nul(&format!("{field}.{name}"), &value)?;
        if name == "tool_calls" && !value.is_null() {
            value = Value::Array(list(&format!("{field}.tool_calls"), value)?);
        }
        out.entry(name).or_insert(value);
    }
    Message::from_value(Value::Object(out)).map_err(|e| RowFault::Conversation {
        field: field.to_owned(),
        expected: "a message",
        got: e.to_string(),
    })
}

fn role_of(speaker: roles::Speaker) -> &'static str {
    match speaker {
        roles::Speaker::System => "system",
        roles::Speaker::User => "user",
        roles::Speaker::Assistant | roles::Speaker::FunctionCall => "assistant",
        roles::Speaker::Tool => "tool",
    }
}

/// OpenAI's `weight` and LLaMA-Factory's `loss_weight`. Weights that say what happens anyway are taken off; others would quietly
/// train on what the file says not to, so they are refused.
fn weight(field: &str, speaker: roles::Speaker, fields: &mut Map<String, Value>) -> Result<(), RowFault> {
    let learned = role_of(speaker) == "assistant";
    for name in ["weight", "loss_weight"] {
        let Some(weight) = fields.shift_remove(name).filter(|w| !w.is_null()) else { continue };
        let usual = if learned { 1.0 } else { 0.0 };
        if weight.as_f64() != Some(usual) {
            let got = format!("{name} {weight} on a message of the {}; only {usual} is", role_of(speaker));
            return Err(RowFault::Unsupported { field: field.to_owned(), got });
        }
    }
    Ok(())
}

/// A message's content taken apart.
#[derive(Default)]
struct Parts {
    text: Option<String>,
    reasoning: Option<String>,
    calls: Vec<Value>,
}

/// Content is text, or a list of parts: `{"type": "text", "text": …}`, or with `value` as LLaMA-Factory writes it, where parts may
/// also be reasoning and tool calls. Text parts are joined: many templates print a list as code.
fn parts(field: &str, content: Option<Value>) -> Result<Parts, RowFault> {
    let mut parts = Parts::default();
    let items = match content {
        None => return Ok(parts),
        Some(Value::Array(items)) => items,
        Some(other) => {
            parts.text = Some(text(field, other)?);
            return Ok(parts);
        }
    };
    for (i, item) in items.into_iter().enumerate() {
        let field = format!("{field}[{i}]");
        let Value::Object(mut part) = item else {
            parts.text.get_or_insert_default().push_str(&text(&field, item)?);
            continue;
        };
        let kind_of_part = part.get("type").and_then(Value::as_str).unwrap_or("text").to_owned();
        let value = ["text", "value"].iter().find_map(|name| part.shift_remove(*name));
        let Some(value) = value else {
            return Err(RowFault::Unsupported { field, got: format!("a part of type {kind_of_part:?}") });
        };
        match kind_of_part.as_str() {
            "text" => parts.text.get_or_insert_default().push_str(&text(&field, value)?),
            "reasoning" => parts.reasoning.get_or_insert_default().push_str(&text(&field, value)?),
            "tool_call" => parts.calls.extend(tool_calls(&field, value)?),
            other => return Err(RowFault::Unsupported { field, got: format!("a part of type {other:?}") }),
        }
    }
    Ok(parts)
}

/// A function call as ShareGPT files write it, `{"name": …, "arguments": …}` or a list of them, as OpenAI's tool calls.
fn tool_calls(field: &str, value: Value) -> Result<Vec<Value>, RowFault> {
    let value = match value {
        Value::String(said) => json_text(field, &said)?,
        other => other,
    };
    let calls = match value {
        Value::Array(calls) => calls,
        other => vec![other],
    };
    let mut out = Vec::new();
    for call in calls {
        no_nul(field, &call)?;
        match call {
            Value::Object(function) if function.contains_key("function") => out.push(Value::Object(function)),
            Value::Object(function) if function.get("name").is_some_and(Value::is_string) => {
                out.push(serde_json::json!({"type": "function", "function": function}));
            }
            other => {
                let got = kind(&other).to_owned();
                return Err(RowFault::Conversation {
                    field: field.to_owned(),
                    expected: "a function call with name and arguments",
                    got,
                });
            }
        }
    }
    Ok(out)
}

fn prepend_system(messages: &mut Vec<Message>, system: Option<String>) {
    if let Some(system) = system
        && messages.first().is_none_or(|m| m.role != "system")
    {
        messages.insert(0, Message::new("system", system));
    }
}

/// A conversation must hold an answer to learn, and no answer may be empty: that would teach the model to say nothing.
fn must_answer(field: &str, messages: &[Message]) -> Result<(), RowFault> {
    let mut answers = messages.iter().enumerate().filter(|(_, m)| m.is_assistant()).peekable();
    if answers.peek().is_none() {
        let got = format!("{} messages and none of the assistant", messages.len());
        return Err(RowFault::Conversation {
            field: field.to_owned(),
            expected: "at least one answer of the assistant",
            got,
        });
    }
    let called = |m: &Message| m.fields.get("tool_calls").and_then(Value::as_array).is_some_and(|c| !c.is_empty());
    match answers.find(|(_, m)| m.text().is_none_or(is_blank) && !called(m)) {
        Some((i, _)) => Err(RowFault::EmptyText { field: format!("{field}[{i}]") }),
        None => Ok(()),
    }
}

/// A list, or the JSON text of one (csv and parquet files often hold lists so).
fn list(field: &str, value: Value) -> Result<Vec<Value>, RowFault> {
    let value = match value {
        Value::String(said) => json_text(field, &said)?,
        other => other,
    };
    match value {
        Value::Array(items) => Ok(items),
        other => Err(RowFault::WrongType { field: field.to_owned(), expected: "a list", got: kind(&other) }),
    }
}

fn json_text(field: &str, said: &str) -> Result<Value, RowFault> {
    super::parse(said.as_bytes()).map_err(|(fault, _)| match fault {
        RowFault::MalformedJson { why } => RowFault::MalformedJson { why: format!("in the text of {field}: {why}") },
        other => other,
    })
}

fn text(field: &str, value: Value) -> Result<String, RowFault> {
    match value {
        Value::String(text) if text.contains('\0') => Err(RowFault::Nul { field: field.to_owned() }),
        Value::String(text) => Ok(text),
        other => Err(RowFault::WrongType { field: field.to_owned(), expected: "text", got: kind(&other) }),
    }
}

/// Text that says something.
fn whole_text(field: &str, text: String) -> Result<String, RowFault> {
    match text {
        text if text.contains('\0') => Err(RowFault::Nul { field: field.to_owned() }),
        text if is_blank(&text) => Err(RowFault::EmptyText { field: field.to_owned() }),
        text => Ok(text),
    }
}

fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

fn no_nul(field: &str, value: &Value) -> Result<(), RowFault> {
    let clean = match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => return items.iter().try_for_each(|v| no_nul(field, v)),
        Value::Object(fields) => return fields.values().try_for_each(|v| no_nul(field, v)),
        _ => true,
    };
    if clean { Ok(()) } else { Err(RowFault::Nul { field: field.to_owned() }) }
}

fn names(fields: &Map<String, Value>) -> String {
    fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// What a JSON value is, in words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
