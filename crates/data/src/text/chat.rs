//! A model's chat template with what has to be known about it: how it wants tools' arguments and content in parts, and that it
//! fits the tokenizer.

use super::jinja::ChatTemplate;
use super::tokenizer::Tokenizer;
use super::{Message, TextError, marks};
use minijinja::Value;
use minijinja::value::Serde;
use serde_json::Value as Json;
use std::borrow::Cow;

/// Whether a text ends where the assistant would begin to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The conversation as it stands.
    Closed,
    /// Followed by the header of an assistant's answer (`add_generation_prompt`).
    AssistantNext,
}

/// The templates of one model with the tokens they may print.
pub(super) struct Chat {
    default: ChatTemplate,
    tool_use: Option<ChatTemplate>,
    special: Vec<(String, Value)>,
    arguments: Arguments,
    parts: Parts,
}

/// How the template wants the arguments of a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arguments {
    Object,
    /// It adds them to a string, as DeepSeek's does.
    Text,
}

/// What the template does with content that is a list of parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    Handled,
    /// It would print the list: the parts are joined first.
    Joined,
}

/// Messages as the template sees them.
pub(super) struct Prepared {
    pub messages: Vec<Value>,
    pub tools: Value,
}

pub(super) const PROBE_QUESTION: &str = "qprobe7f3a";
pub(super) const PROBE_ANSWER: &str = "aprobe91c5";

impl Chat {
    /// # Errors
    /// `WrongTemplate` when it fails on a question and its answer or leaves one of them out, `MissingEos` when the answer has no end.
    pub fn new(
        default: ChatTemplate,
        tool_use: Option<ChatTemplate>,
        tokenizer: &Tokenizer,
        bos: Option<&str>,
    ) -> Result<Self, TextError> {
        let special = tokenizer.special();
        let mut names: Vec<(String, Value)> =
            special.named.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
        if let Some(bos) = bos {
            names.retain(|(name, _)| name != "bos_token");
            names.push(("bos_token".into(), Value::from(bos)));
        }
        if !special.additional.is_empty() {
            names.push(("additional_special_tokens".into(), special.additional.iter().map(String::as_str).collect()));
        }
        let mut chat = Self { default, tool_use, special: names, arguments: Arguments::Object, parts: Parts::Handled };
        chat.check(tokenizer)?;
        chat.parts = chat.find_parts(tokenizer);
        chat.arguments = chat.find_arguments(tokenizer);
        Ok(chat)
    }

    pub fn template(&self, tools: &Value) -> &ChatTemplate {
        match &self.tool_use {
            Some(template) if !tools.is_none() => template,
            _ => &self.default,
        }
    }

    pub fn origins(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.default).chain(&self.tool_use).map(ChatTemplate::origin)
    }

    /// The rendered text, marks included.
    pub fn render(&self, messages: &[Value], tools: &Value, turn: Turn) -> Result<String, TextError> {
        let context = [
            ("messages", messages.iter().cloned().collect::<Value>()),
            ("tools", tools.clone()),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(turn == Turn::AssistantNext)),
        ];
        let special = self.special.iter().map(|(name, token)| (name.as_str(), token.clone()));
        self.template(tools).render_marked(Value::from_pairs(special.chain(context)))
    }

    /// Breaks what looks like a control token in everything that is not the assistant's, and gives tool calls and content in
    /// parts the form that the template takes.
    ///
    /// # Errors
    /// `ReservedCharacter`, `BadMessage` (parts that are not text).
    pub fn prepare(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
        tokenizer: &Tokenizer,
    ) -> Result<Prepared, TextError> {
        let messages = messages.iter().map(|m| self.prepare_message(m, tokenizer)).collect::<Result<_, _>>()?;
        let tools = match tools.filter(|t| t.as_array().is_some_and(|list| !list.is_empty())) {
            Some(tools) => Value::from(Serde(map_text(tools, Voice::Other(tokenizer))?)),
            None => Value::from(()),
        };
        Ok(Prepared { messages, tools })
    }

    fn prepare_message(&self, message: &Message, tokenizer: &Tokenizer) -> Result<Value, TextError> {
        let voice = if message.is_assistant() { Voice::Assistant } else { Voice::Other(tokenizer) };
        let mut fields = vec![("role".to_owned(), Json::String(voice.text(&message.role)?.into_owned()))];
        if let Some(content) = &message.content {
            let content = match (content, self.parts) {
                (Json::Array(parts), Parts::Joined) => Json::String(join(parts)?),
                (Json::Array(parts), Parts::Handled) => {
                    join(parts)?;
                    content.clone()
                }
                _ => content.clone(),
            };
            fields.push(("content".into(), map_text(&content, voice)?));
        }
        for (name, value) in &message.fields {
            let mut value = map_text(value, voice)?;
            if name == "tool_calls" && self.arguments == Arguments::Text {
                value.as_array_mut().into_iter().flatten().for_each(arguments_to_text);
            }
            fields.push((name.clone(), value));
        }
        Ok(Value::from_pairs(fields.into_iter().map(|(name, value)| (name, Value::from(Serde(value))))))
    }

    /// Tries the template on a question and its answer.
    fn check(&self, tokenizer: &Tokenizer) -> Result<(), TextError> {
        let wrong = |why: String| TextError::WrongTemplate { origin: self.default.origin().to_owned(), why };
        let text =
            self.probe(tokenizer, &[Message::new("user", PROBE_QUESTION), Message::new("assistant", PROBE_ANSWER)]);
        let text = text.map_err(|e| wrong(format!("it fails on a question and its answer: {e}")))?;
        if !text.contains(PROBE_QUESTION) {
            return Err(wrong("it leaves the user's message out".into()));
        }
        let Some(answer) = text.find(PROBE_ANSWER) else {
            return Err(wrong("it leaves the assistant's answer out".into()));
        };
        let after = marks::strip(&text[answer + PROBE_ANSWER.len()..]);
        let ends = tokenizer
            .encode_bare(&after)?
            .iter()
            .any(|id| tokenizer.is_control(*id) || tokenizer.stop_ids().contains(id));
        if !ends {
            return Err(TextError::MissingEos {
                origin: self.default.origin().to_owned(),
                eos: tokenizer.eos().text.clone(),
            });
        }
        Ok(())
    }

    fn find_parts(&self, tokenizer: &Tokenizer) -> Parts {
        let mut question = Message::new("user", "");
        question.content = Some(serde_json::json!([{"type": "text", "text": PROBE_QUESTION}]));
        match self.probe(tokenizer, &[question, Message::new("assistant", PROBE_ANSWER)]) {
            Ok(text) if text.contains(PROBE_QUESTION) && !text.contains("'type'") && !text.contains("\"type\"") => {
                Parts::Handled
            }
            _ => Parts::Joined,
        }
    }

    /// Text only where objects fail and text does not.
    fn find_arguments(&self, tokenizer: &Tokenizer) -> Arguments {
        let tried = |arguments: Json| {
            let call = serde_json::json!([{"type": "function", "id": "call00000", "function": {"name": "f", "arguments": arguments}}]);
            let mut answer = Message::new("assistant", "").with("tool_calls", call);
            answer.content = Some(Json::Null);
            self.probe(tokenizer, &[Message::new("user", PROBE_QUESTION), answer])
        };
        match tried(serde_json::json!({"x": 1})) {
            Err(_) if tried(Json::String("{\"x\": 1}".into())).is_ok() => Arguments::Text,
            _ => Arguments::Object,
        }
    }

    fn probe(&self, tokenizer: &Tokenizer, messages: &[Message]) -> Result<String, TextError> {
        let prepared = self.prepare(messages, None, tokenizer)?;
        self.render(&prepared.messages, &prepared.tools, Turn::Closed)
    }
}

/// The text of parts that are all text, one a line.
fn join(parts: &[Json]) -> Result<String, TextError> {
    let text = |part: &Json| match part {
        Json::String(text) => Some(text.clone()),
        _ => part.get("text")?.as_str().map(str::to_owned),
    };
    let texts: Option<Vec<String>> = parts.iter().map(text).collect();
    texts
        .map(|t| t.join("\n"))
        .ok_or_else(|| TextError::BadMessage { why: "its content has a part that is not text".into() })
}

fn arguments_to_text(call: &mut Json) {
    let function = if call.get("function").is_some() { call.get_mut("function") } else { Some(call) };
    if let Some(arguments) = function.and_then(|f| f.get_mut("arguments")).filter(|a| !a.is_string()) {
        *arguments = Json::String(arguments.to_string());
    }
}

/// Whose text it is: only the assistant may say control tokens.
#[derive(Clone, Copy)]
enum Voice<'t> {
    Assistant,
    Other(&'t Tokenizer),
}

impl Voice<'_> {
    fn text<'s>(&self, text: &'s str) -> Result<Cow<'s, str>, TextError> {
        marks::check(text)?;
        Ok(match self {
            Voice::Assistant => Cow::Borrowed(text),
            Voice::Other(tokenizer) => tokenizer.guard(text).map_or(Cow::Borrowed(text), Cow::Owned),
        })
    }
}

/// The same value with every text in it as its voice has it, keys included.
fn map_text(value: &Json, voice: Voice) -> Result<Json, TextError> {
    Ok(match value {
        Json::String(text) => Json::String(voice.text(text)?.into_owned()),
        Json::Array(items) => Json::Array(items.iter().map(|v| map_text(v, voice)).collect::<Result<_, _>>()?),
        Json::Object(map) => {
            let entry = |(k, v): (&String, &Json)| Ok((voice.text(k)?.into_owned(), map_text(v, voice)?));
            Json::Object(map.iter().map(entry).collect::<Result<_, TextError>>()?)
        }
        other => other.clone(),
    })
}
