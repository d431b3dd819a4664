//! A row as a JSON value → its texts, each with its name in the file and its side of the example.
//!
//! Where training takes the first fault for the row's end, here every fault is said and what can be read is.

use super::meaning::Columns;
use super::{Fault, json};
use crate::Field;
use data::{Format, Found, Speaker, json_kind as kind};
use measures::Part;
use serde_json::{Map, Value};

/// The texts of a row in the order in which its format reads them.
pub(super) fn of(found: &Found, value: Value, columns: &Columns, faults: &mut Vec<Fault>) -> Vec<Field> {
    let mut making = Making { found, columns, fields: Vec::new(), faults, nul: Nul::Unsaid };
    if making.faults.iter().any(|fault| fault.kind == "nul") {
        making.nul = Nul::Said;
    }
    match value {
        Value::String(text) if found.format == Format::Text => {
            let said = making.text("text".into(), Part::Text, Value::String(text));
            making.whole("text", said);
        }
        Value::Object(object) => making.row(object),
        other => {
            let why = format!("the row is {}; expected an object with named fields", kind(&other));
            making.faults.push(Fault::new("wrong_type", why).at(0));
        }
    }
    making.fields
}

struct Making<'a> {
    found: &'a Found,
    columns: &'a Columns<'a>,
    fields: Vec<Field>,
    faults: &'a mut Vec<Fault>,
    nul: Nul,
}

/// Whether a NUL was already said of this row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nul {
    Unsaid,
    Said,
}

/// What a text says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Something,
    Empty,
    /// Only white space.
    Blank,
    /// It was no text, which has been said.
    Faulty,
}

impl Making<'_> {
    fn row(&mut self, mut object: Map<String, Value>) {
        match self.found.format {
            Format::Text => self.whole_text(&mut object, "text", Part::Text),
            Format::PromptCompletion => {
                self.system(&mut object);
                self.side(&mut object, "prompt", Speaker::User);
                self.side(&mut object, "completion", Speaker::Assistant);
            }
            Format::Alpaca => self.alpaca(&mut object),
            Format::Sharegpt => self.conversation(&mut object, "conversations"),
            Format::Messages => self.conversation(&mut object, "messages"),
        }
    }

    fn alpaca(&mut self, object: &mut Map<String, Value>) {
        self.system(object);
        if let Some((column, value)) = self.optional(object, "history") {
            self.history(&column, value);
        }
        let instruction = self.required(object, "instruction");
        let input = self.optional(object, "input");
        let instruction = instruction.map(|(column, value)| {
            let said = self.text(column.clone(), Part::Instruction, value);
            (column, said)
        });
        let input = input.map(|(column, value)| self.text(column, Part::Instruction, value));
        if let Some((column, said)) = instruction
            && input != Some(Said::Something)
        {
            self.whole(&column, said);
        }
        self.whole_text(object, "output", Part::Response);
    }

    /// Alpaca's history: `[["asked", "answered"], …]`.
    fn history(&mut self, column: &str, value: Value) {
        for (i, pair) in self.list(column, value).into_iter().enumerate() {
            let field = format!("{column}[{i}]");
            let pair = match pair {
                Value::Array(pair) if pair.len() == 2 => pair,
                other => {
                    let why = format!("{}; expected a question and its answer", shape(&other));
                    self.fault("wrong_type", &field, why);
                    continue;
                }
            };
            for (k, (text, part)) in pair.into_iter().zip([Part::Instruction, Part::Response]).enumerate() {
                let field = format!("{field}[{k}]");
                let said = self.text(field.clone(), part, text);
                if part == Part::Response {
                    self.whole(&field, said);
                }
            }
        }
    }

    /// One side of a prompt and completion: text, or messages.
    fn side(&mut self, object: &mut Map<String, Value>, role: &'static str, speaker: Speaker) {
        let Some((column, value)) = self.required(object, role) else { return };
        match value {
            Value::Array(items) => {
                let answers = self.messages(&column, items);
                if speaker == Speaker::Assistant && answers == 0 {
                    self.no_answer(&column);
                }
            }
            other => {
                let said = self.text(column.clone(), part_of(speaker), other);
                self.whole(&column, said);
            }
        }
    }

    fn conversation(&mut self, object: &mut Map<String, Value>, role: &'static str) {
        self.system(object);
        let Some((column, value)) = self.required(object, role) else { return };
        let before = self.faults.len();
        let items = self.list(&column, value);
        if self.faults.len() == before && self.messages(&column, items) == 0 {
            self.no_answer(&column);
        }
    }

    fn no_answer(&mut self, column: &str) {
        self.fault("missing_field", column, "no message of the assistant: nothing to learn".into());
    }

    /// The messages' texts; how many are the assistant's.
    fn messages(&mut self, column: &str, items: Vec<Value>) -> usize {
        let mut answers = 0;
        for (i, item) in items.into_iter().enumerate() {
            let field = format!("{column}[{i}]");
            match item {
                Value::Object(message) => answers += usize::from(self.message(&field, message) == Part::Response),
                other => self.fault("wrong_type", &field, format!("{}; expected an object", kind(&other))),
            }
        }
        answers
    }

    fn message(&mut self, field: &str, mut message: Map<String, Value>) -> Part {
        let found = self.found;
        let tags = &found.tags;
        let mut take = |name: &str| message.get_mut(name).map(Value::take).filter(|v| !v.is_null());
        let (named, content) = (take(&tags.role), take(&tags.content));
        let (reasoning, calls) = (take("reasoning_content"), take("tool_calls"));
        let speaker = self.speaker(&format!("{field}.{}", tags.role), named, &message);
        let part = speaker.map_or(Part::Instruction, part_of);
        let content_field = format!("{field}.{}", tags.content);
        if let Some(reasoning) = reasoning {
            self.text(format!("{field}.reasoning_content"), part, reasoning);
        }
        let texts = self.fields.len();
        if let Some(calls) = calls {
            self.calls(&format!("{field}.tool_calls"), calls);
        }
        let called = self.fields.len() > texts;
        match (speaker, content) {
            (Some(Speaker::FunctionCall), Some(call)) => self.leaves(content_field, part, call),
            (Some(Speaker::FunctionCall), None) => self.fault("missing_field", &content_field, "missing".into()),
            (_, Some(Value::Array(parts))) => self.parts(&content_field, part, parts),
            (speaker, content) => {
                let said = content.map_or(Said::Empty, |text| self.text(content_field.clone(), part, text));
                if speaker == Some(Speaker::Assistant) && !called {
                    self.whole(&content_field, said);
                }
            }
        }
        self.weight(field, part, &message);
        part
    }

    fn speaker(&mut self, field: &str, named: Option<Value>, message: &Map<String, Value>) -> Option<Speaker> {
        match named {
            Some(Value::String(name)) => {
                let speaker = self.found.tags.speakers.get(&name).copied();
                if speaker.is_none() {
                    let known: Vec<&str> = self.found.tags.speakers.keys().map(String::as_str).collect();
                    self.fault("wrong_type", field, format!("no known speaker; expected one of {}", known.join(", ")));
                }
                speaker
            }
            Some(other) => {
                self.fault("wrong_type", field, format!("{}; expected text", kind(&other)));
                None
            }
            None => {
                self.fault("missing_field", field, fields_found(message));
                None
            }
        }
    }

    /// Content as a list of parts: `{"type": "text", "text": …}`, or with `value` as LLaMA-Factory writes it.
    fn parts(&mut self, field: &str, part: Part, items: Vec<Value>) {
        let mut said_something = items.is_empty();
        for (i, item) in items.into_iter().enumerate() {
            let field = format!("{field}[{i}]");
            let Value::Object(mut item) = item else {
                said_something |= matches!(self.text(field, part, item), Said::Something | Said::Faulty);
                continue;
            };
            let named = item.get("type").and_then(Value::as_str).unwrap_or("text").to_owned();
            let member = ["text", "value"].into_iter().find(|name| item.contains_key(*name));
            let value = member.and_then(|name| Some((format!("{field}.{name}"), item.get_mut(name)?.take())));
            match (named.as_str(), value) {
                ("text" | "reasoning", Some((field, value))) => {
                    said_something |= matches!(self.text(field, part, value), Said::Something | Said::Faulty);
                }
                ("tool_call", Some((field, value))) => {
                    self.leaves(field, part, value);
                    said_something = true;
                }
                _ => {
                    let why = "a part that is no text, which text training cannot use".to_owned();
                    self.fault("wrong_type", &field, why);
                    said_something = true;
                }
            }
        }
        if part == Part::Response && !said_something {
            self.whole(field, Said::Blank);
        }
    }

    /// Tool calls in OpenAI's form; what they say is in their arguments.
    fn calls(&mut self, field: &str, value: Value) {
        for (i, call) in self.list(field, value).into_iter().enumerate() {
            let field = format!("{field}[{i}]");
            let (field, arguments) = match call {
                Value::Object(mut call) => match call.get_mut("function").map(Value::take) {
                    Some(Value::Object(mut function)) => {
                        (format!("{field}.function.arguments"), function.get_mut("arguments").map(Value::take))
                    }
                    _ => (format!("{field}.arguments"), call.get_mut("arguments").map(Value::take)),
                },
                other => {
                    self.fault("wrong_type", &field, format!("{}; expected a function call", kind(&other)));
                    continue;
                }
            };
            match arguments {
                Some(arguments) => self.leaves(field, Part::Response, arguments),
                None => self.fields.push(Field { name: field, part: Part::Response, text: String::new() }),
            }
        }
    }

    /// Every text inside a value, each a field of its own, so that it can be found and changed alone.
    fn leaves(&mut self, field: String, part: Part, value: Value) {
        match value {
            Value::String(_) => {
                self.text(field, part, value);
            }
            Value::Array(items) => {
                for (i, item) in items.into_iter().enumerate() {
                    self.leaves(format!("{field}[{i}]"), part, item);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    self.leaves(format!("{field}.{name}"), part, member);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// OpenAI's `weight` and LLaMA-Factory's `loss_weight`, where they say something else than what happens anyway:
    /// training refuses such a row.
    fn weight(&mut self, field: &str, part: Part, message: &Map<String, Value>) {
        for name in ["weight", "loss_weight"] {
            let Some(weight) = message.get(name).filter(|w| !w.is_null()) else { continue };
            let usual = if part == Part::Response { 1.0 } else { 0.0 };
            if weight.as_f64() != Some(usual) {
                let why = format!("a weight other than {usual}, which training cannot use here");
                self.fault("wrong_type", &format!("{field}.{name}"), why);
            }
        }
    }

    fn system(&mut self, object: &mut Map<String, Value>) {
        if let Some((column, value)) = self.optional(object, "system") {
            self.text(column, Part::System, value);
        }
    }

    fn whole_text(&mut self, object: &mut Map<String, Value>, role: &'static str, part: Part) {
        if let Some((column, value)) = self.required(object, role) {
            let said = self.text(column.clone(), part, value);
            self.whole(&column, said);
        }
    }

    fn required(&mut self, object: &mut Map<String, Value>, role: &'static str) -> Option<(String, Value)> {
        let column = self.found.column(role).unwrap_or(role).to_owned();
        let value = object.get_mut(&column).map(Value::take).filter(|v| !v.is_null());
        if value.is_none() {
            self.faults.push(Fault::new("missing_field", fields_found(object)).of(column.clone()).at(0));
        }
        Some((column, value?))
    }

    /// A field that need not be there; null is as good as absent.
    fn optional(&mut self, object: &mut Map<String, Value>, role: &'static str) -> Option<(String, Value)> {
        let column = match self.found.column(role) {
            Some(column) => column,
            None => self.found.usual(role).find(|name| object.contains_key(*name))?,
        };
        let value = object.get_mut(column)?.take();
        (!value.is_null()).then(|| (column.to_owned(), value))
    }

    fn text(&mut self, field: String, part: Part, value: Value) -> Said {
        let text = match value {
            Value::String(text) => text,
            other => {
                self.fault("wrong_type", &field, format!("{}; expected text", kind(&other)));
                return Said::Faulty;
            }
        };
        if self.nul == Nul::Unsaid && memchr::memchr(0, text.as_bytes()).is_some() {
            self.fault("nul", &field, "a NUL character".into());
        }
        let said = match text.chars().find(|c| !c.is_whitespace()) {
            Some(_) => Said::Something,
            None if text.is_empty() => Said::Empty,
            None => Said::Blank,
        };
        self.fields.push(Field { name: field, part, text });
        said
    }

    /// A text that must say something.
    fn whole(&mut self, field: &str, said: Said) {
        match said {
            Said::Something | Said::Faulty => {}
            Said::Empty => self.fault("empty_text", field, "empty; expected text".into()),
            Said::Blank => self.fault("blank", field, "only white space; expected text".into()),
        }
    }

    /// A list, or the JSON text of one (csv and parquet files often hold lists so).
    fn list(&mut self, field: &str, value: Value) -> Vec<Value> {
        let value = match value {
            Value::String(said) => match json::parse_inner(field, &said, self.faults) {
                Some(value) => value,
                None => return Vec::new(),
            },
            other => other,
        };
        match value {
            Value::Array(items) => items,
            other => {
                self.fault("wrong_type", field, format!("{}; expected a list", kind(&other)));
                Vec::new()
            }
        }
    }

    fn fault(&mut self, kind: &'static str, field: &str, why: String) {
        let fault = Fault::new(kind, why).of(field);
        self.faults.push(match self.columns.of(field) {
            Some(at) => fault.at(at),
            None => fault,
        });
    }
}

fn part_of(speaker: Speaker) -> Part {
    match speaker {
        Speaker::System => Part::System,
        Speaker::User | Speaker::Tool => Part::Instruction,
        Speaker::Assistant | Speaker::FunctionCall => Part::Response,
    }
}

fn fields_found(object: &Map<String, Value>) -> String {
    const NAMES_SHOWN: usize = 12;
    let names: Vec<&str> = object.keys().map(String::as_str).take(NAMES_SHOWN).collect();
    format!("missing; fields found: {}", names.join(", "))
}

fn shape(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("{} items", items.len()),
        other => kind(other).to_owned(),
    }
}
