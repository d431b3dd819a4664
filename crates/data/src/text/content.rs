//! What a record says, before any template: the input of [`TextPipeline::encode`](super::TextPipeline::encode).

use super::TextError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The field of a row that says whether its text would go on.
pub(crate) const UNFINISHED: &str = "unfinished";

/// The content of one record, in the shape its format gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A whole conversation; the loss falls on the assistant's turns.
    Chat(Conversation),
    /// Plain text in two parts; the loss falls on the completion.
    PromptCompletion { prompt: String, completion: String },
    /// A conversation in two parts; the loss falls on the completion.
    PromptCompletionChat { prompt: Vec<Message>, completion: Vec<Message>, tools: Option<Value> },
    /// Named values for a plain template such as `{instruction} {input} => {output}`.
    Fields(BTreeMap<String, String>),
    /// Text to be learned as it is, control tokens included.
    Text(String),
    /// As `Text`, of something that would go on: nothing says that it ends.
    Unfinished(String),
}

impl Content {
    /// The same as a row of a jsonl file that Athanor reads back to it: `text`, `prompt` and `completion`, `messages`, or the fields
    /// under their own names.
    pub fn into_row(self) -> Map<String, Value> {
        let mut row = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                row.insert(name.to_owned(), value);
            }
        };
        match self {
            Content::Text(text) => put("text", text.into()),
            Content::Unfinished(text) => {
                put("text", text.into());
                put(UNFINISHED, true.into());
            }
            Content::PromptCompletion { prompt, completion } => {
                put("prompt", prompt.into());
                put("completion", completion.into());
            }
            Content::PromptCompletionChat { prompt, completion, tools } => {
                put("prompt", list(prompt));
                put("completion", list(completion));
                put("tools", tools.unwrap_or_default());
            }
            Content::Chat(chat) => {
                put("messages", list(chat.messages));
                put("tools", chat.tools.unwrap_or_default());
            }
            Content::Fields(fields) => fields.into_iter().for_each(|(name, value)| put(&name, value.into())),
        }
        row
    }
}

fn list(messages: Vec<Message>) -> Value {
    let message = |m: Message| {
        let mut object = Map::new();
        object.insert("role".into(), m.role.into());
        object.extend(m.content.map(|content| ("content".to_owned(), content)));
        object.extend(m.fields);
        Value::Object(object)
    };
    messages.into_iter().map(message).collect()
}

/// Messages and the tools they may call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    pub messages: Vec<Message>,
    /// A JSON array of tool definitions, handed to the template as it is.
    pub tools: Option<Value>,
}

/// One message as chat templates see it: an object with `role`, `content`, and whatever else the file has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub role: String,
    /// Text, a list of parts (`{"type": "text", "text": …}`), or null. None: the key is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Value>,
    /// `tool_calls`, `name`, `tool_call_id`, `reasoning_content`, …, in the file's order.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl Message {
    /// A message of plain text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: Some(Value::String(content.into())), fields: Map::new() }
    }

    /// Adds or replaces a field such as `tool_calls` or `name`.
    pub fn with(mut self, key: impl Into<String>, value: Value) -> Self {
        self.fields.insert(key.into(), value);
        self
    }

    /// Reads a message of an OpenAI-style file. Fields that are null are dropped, as if absent (columnar files fill them in), and
    /// the arguments of a tool call, which OpenAI writes as a string of JSON, become the object that templates expect.
    ///
    /// # Errors
    /// `BadMessage` when the value is not an object, the role is not a string, or the content is neither text, list nor null.
    pub fn from_value(value: Value) -> Result<Self, TextError> {
        let bad = |why: &str| TextError::BadMessage { why: why.to_owned() };
        let Value::Object(mut fields) = value else {
            return Err(bad("it is not an object with role and content"));
        };
        let role = match fields.shift_remove("role") {
            Some(Value::String(role)) if !role.is_empty() => role,
            Some(_) => return Err(bad("its role is not a non-empty string")),
            None => return Err(bad("it has no role")),
        };
        let content = fields.shift_remove("content");
        if !matches!(content, None | Some(Value::Null | Value::String(_) | Value::Array(_))) {
            return Err(bad("its content is neither text, a list of parts, nor null"));
        }
        fields.retain(|_, v| !v.is_null());
        if let Some(calls) = fields.get_mut("tool_calls") {
            let Value::Array(calls) = calls else {
                return Err(bad("its tool_calls are not a list"));
            };
            calls.iter_mut().for_each(parse_arguments);
        }
        if content.is_none() && fields.is_empty() {
            return Err(bad("it has neither content nor tool_calls"));
        }
        Ok(Self { role, content, fields })
    }

    pub fn is_assistant(&self) -> bool {
        self.role == "assistant"
    }

    /// The content where it is one string.
    pub fn text(&self) -> Option<&str> {
        self.content.as_ref().and_then(Value::as_str)
    }
}

/// `{"function": {"arguments": "{\"a\": 2}"}}` → `{"function": {"arguments": {"a": 2}}}`, where the string holds an object.
fn parse_arguments(call: &mut Value) {
    let function = if call.get("function").is_some() { call.get_mut("function") } else { Some(call) };
    if let Some(arguments) = function.and_then(|f| f.get_mut("arguments"))
        && let Some(text) = arguments.as_str()
        && let Ok(object @ Value::Object(_)) = serde_json::from_str(text)
    {
        *arguments = object;
    }
}
