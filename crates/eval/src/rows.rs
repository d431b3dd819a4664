//! The rows of a suite's files as questions with what is expected of their answers.

use crate::EvalError;
use crate::score::instruction::{self, Check};
use crate::suite::{OneOrMore, Suite};
use data::{
    Content, Conversation, DataError, Message, Origin, Position, Question, Reading, RowFault, Template, TextPipeline,
    ValueRow, ValueRows, json_kind as kind,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Longest record of a file.
pub const RECORD_BYTES_MAX: u64 = 64 << 20;

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub origin: Origin,
    /// What is asked, for people.
    pub prompt: String,
    /// The question with its first accepted answer, or an empty one.
    pub content: Content,
    /// What is accepted as an answer; empty where the row says nothing of it.
    pub answers: Vec<String>,
    pub choices: Option<Choices>,
    /// Of this row alone.
    pub checks: Vec<Check>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices {
    pub texts: Vec<String>,
    pub right: usize,
}

/// Reads the rows of all files of a suite, one at a time.
pub struct Items<'a> {
    suite: &'a Suite,
    spool: &'a Path,
    next_file: usize,
    open: Option<(ValueRows, How)>,
}

/// How a file's rows become questions.
enum How {
    Named,
    Format(Reading),
}

impl<'a> Items<'a> {
    /// `spool` is a folder for what a compressed parquet file unpacks to.
    pub fn of(suite: &'a Suite, spool: &'a Path) -> Items<'a> {
        Items { suite, spool, next_file: 0, open: None }
    }

    fn open_next(&mut self) -> Result<bool, EvalError> {
        let Some(source) = self.suite.data.get(self.next_file) else { return Ok(false) };
        self.next_file += 1;
        let how = match self.suite.prompt.is_some() || self.suite.columns.prompt.is_some() {
            true => How::Named,
            false => How::Format(Reading::of(source, RECORD_BYTES_MAX, self.spool)?),
        };
        self.open = Some((ValueRows::open(&source.path, RECORD_BYTES_MAX, self.spool)?, how));
        Ok(true)
    }
}

impl Iterator for Items<'_> {
    type Item = Result<Item, EvalError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((rows, how)) = &mut self.open
                && let Some(row) = rows.next()
            {
                return Some(row.map_err(EvalError::from).and_then(|row| item(self.suite, how, row)));
            }
            match self.open_next() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(e) => {
                    self.next_file = self.suite.data.len();
                    self.open = None;
                    return Some(Err(e));
                }
            }
        }
    }
}

impl Item {
    /// What a model is given to answer.
    ///
    /// # Errors
    /// `Row`.
    pub fn question(&self, text: &TextPipeline) -> Result<Question, EvalError> {
        text.question(&self.content).map_err(|e| self.fault(e))
    }

    /// The question with an answer: the first accepted one, or a choice.
    ///
    /// # Errors
    /// `Row`.
    pub fn answered(&self, text: &TextPipeline, with: Option<&str>, suite: &Suite) -> Result<data::Encoded, EvalError> {
        let encoded = match with {
            None => text.encode(&self.content),
            Some(answer) => text.encode(&with_answer(&self.content, answer, suite)),
        };
        encoded.map_err(|e| self.fault(e))
    }

    /// `file:line`
    pub fn place(&self) -> String {
        format!("{}:{}", self.origin.file, self.origin.line)
    }

    fn fault(&self, why: impl ToString) -> EvalError {
        EvalError::Row { origin: self.place(), why: why.to_string() }
    }
}

fn item(suite: &Suite, how: &How, row: ValueRow) -> Result<Item, EvalError> {
    let origin = row.origin.clone();
    let refused = |fault: RowFault| {
        let fault_at = Position { file: origin.file.to_string(), line: origin.line, column: None };
        EvalError::Data(DataError::BadRow { fault_at, fault: Box::new(fault) })
    };
    let checks = checks(suite, &row.value).map_err(refused)?;
    let mut item = match how {
        How::Named => named(suite, &row).map_err(refused)?,
        How::Format(reading) => of_format(reading.content(row.value, &suite.template).map_err(refused)?, row.origin),
    };
    item.checks = checks;
    if let Some(among) = suite.measures.choice.as_ref().map(|c| &c.among).filter(|among| !among.is_empty()) {
        item.choices = among_all(suite, &item, among).map(Some).map_err(refused)?;
    }
    if item.answers.is_empty() && item.choices.is_none() && suite.needs_answers() {
        let field = suite.columns.answer.clone().unwrap_or_else(|| "columns.answer".to_owned());
        return Err(refused(RowFault::MissingField { field, found: "a question without what is right".to_owned() }));
    }
    Ok(item)
}

/// A row whose columns the suite names.
fn named(suite: &Suite, row: &ValueRow) -> Result<Item, RowFault> {
    let Value::Object(fields) = &row.value else { return Err(RowFault::NotAnObject { got: kind(&row.value) }) };
    let columns = &suite.columns;
    let prompt = match (&suite.prompt, &columns.prompt) {
        (Some(pattern), _) => filled(pattern, fields)?,
        (None, Some(column)) => text(column, required(fields, column)?)?,
        (None, None) => String::new(),
    };
    if prompt.trim().is_empty() {
        return Err(RowFault::EmptyText { field: columns.prompt.clone().unwrap_or_else(|| "prompt".to_owned()) });
    }
    let system = match &columns.system {
        Some(column) => Some(text(column, required(fields, column)?)?),
        None => suite.system.clone(),
    };
    let choices = match &columns.choices {
        Some(which) => Some(choices(suite, fields, which)?),
        None => None,
    };
    let answers = match (&columns.answer, &choices) {
        (_, Some(choices)) => vec![choices.texts[choices.right].clone()],
        (Some(column), None) => accepted(column, required(fields, column)?)?,
        (None, None) => Vec::new(),
    };
    let answer = answers.first().cloned().unwrap_or_default();
    let content = match &suite.template {
        Template::Plain(_) => {
            let mut named: BTreeMap<String, String> =
                fields.iter().filter_map(|(name, value)| Some((name.clone(), scalar(value)?))).collect();
            named.insert("system".into(), system.unwrap_or_default());
            named.insert("prompt".into(), prompt.clone());
            named.insert("completion".into(), answer);
            Content::Fields(named)
        }
        _ => match system.filter(|s| !s.trim().is_empty()) {
            None => Content::PromptCompletion { prompt: prompt.clone(), completion: answer },
            Some(system) => Content::PromptCompletionChat {
                prompt: vec![Message::new("system", system), Message::new("user", prompt.clone())],
                completion: vec![Message::new("assistant", answer)],
                tools: None,
            },
        },
    };
    Ok(Item { origin: row.origin.clone(), prompt, content, answers, choices, checks: Vec::new() })
}

/// A row as its format has it: the last answer is what is expected.
fn of_format(content: Content, origin: Origin) -> Item {
    let last = |messages: &[Message]| messages.last().and_then(Message::text).map(str::to_owned);
    let asked = |messages: &[Message]| {
        let user = messages.iter().rev().find(|m| m.role == "user");
        user.and_then(Message::text).unwrap_or_default().to_owned()
    };
    let (prompt, answer) = match &content {
        Content::Chat(c) => (asked(&c.messages), last(&c.messages)),
        Content::PromptCompletion { prompt, completion } => (prompt.clone(), Some(completion.clone())),
        Content::PromptCompletionChat { prompt, completion, .. } => (asked(prompt), last(completion)),
        Content::Fields(fields) => {
            (fields.get("prompt").cloned().unwrap_or_default(), fields.get("completion").cloned())
        }
        Content::Text(text) | Content::Unfinished(text) => (String::new(), Some(text.clone())),
    };
    Item { origin, prompt, content, answers: answer.into_iter().collect(), choices: None, checks: Vec::new() }
}

/// The content with another answer.
fn with_answer(content: &Content, answer: &str, suite: &Suite) -> Content {
    let said = || vec![Message::new("assistant", answer)];
    match content.clone() {
        Content::PromptCompletion { prompt, .. } => Content::PromptCompletion { prompt, completion: answer.to_owned() },
        Content::PromptCompletionChat { prompt, tools, .. } => {
            Content::PromptCompletionChat { prompt, completion: said(), tools }
        }
        Content::Fields(mut fields) => {
            fields.insert("completion".into(), answer.to_owned());
            if let Some(column) = &suite.columns.answer {
                fields.insert(column.clone(), answer.to_owned());
            }
            Content::Fields(fields)
        }
        Content::Chat(Conversation { mut messages, tools }) => {
            while messages.last().is_some_and(Message::is_assistant) {
                messages.pop();
            }
            Content::PromptCompletionChat { prompt: messages, completion: said(), tools }
        }
        text @ (Content::Text(_) | Content::Unfinished(_)) => text,
    }
}

/// `{column}` becomes the column's text, `{{` and `}}` braces.
fn filled(pattern: &str, fields: &Map<String, Value>) -> Result<String, RowFault> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        if let Some(after) = after.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        let Some((name, after)) = after.split_once('}').filter(|_| brace == "{") else {
            let got = format!("a lone {brace:?}");
            return Err(RowFault::Conversation { field: "prompt".into(), expected: "{column}, or {{ and }}", got });
        };
        out.push_str(&text(name, required(fields, name)?)?);
        rest = after;
    }
    Ok(out + rest)
}

fn required<'a>(fields: &'a Map<String, Value>, column: &str) -> Result<&'a Value, RowFault> {
    let missing = || {
        let found = fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        RowFault::MissingField { field: column.to_owned(), found }
    };
    fields.get(column).filter(|v| !v.is_null()).ok_or_else(missing)
}

fn text(field: &str, value: &Value) -> Result<String, RowFault> {
    let wrong = || RowFault::WrongType { field: field.to_owned(), expected: "text or a number", got: kind(value) };
    scalar(value).ok_or_else(wrong)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// One answer, or a list of which any will do.
fn accepted(field: &str, value: &Value) -> Result<Vec<String>, RowFault> {
    let list = match value {
        Value::Array(items) => items.iter().map(|item| text(field, item)).collect::<Result<Vec<_>, _>>()?,
        one => vec![text(field, one)?],
    };
    match list.is_empty() || list.iter().any(|answer| answer.trim().is_empty()) {
        true => Err(RowFault::EmptyText { field: field.to_owned() }),
        false => Ok(list),
    }
}

fn choices(suite: &Suite, fields: &Map<String, Value>, which: &OneOrMore) -> Result<Choices, RowFault> {
    let (field, texts) = match which {
        OneOrMore::One(column) => match required(fields, column)? {
            Value::Array(items) => {
                (column.clone(), items.iter().map(|i| text(column, i)).collect::<Result<Vec<_>, _>>()?)
            }
            Value::String(said) => match serde_json::from_str::<Vec<String>>(said) {
                Ok(list) => (column.clone(), list),
                Err(_) => {
                    return Err(RowFault::WrongType {
                        field: column.clone(),
                        expected: "a list of texts",
                        got: "text",
                    });
                }
            },
            other => {
                return Err(RowFault::WrongType {
                    field: column.clone(),
                    expected: "a list of texts",
                    got: kind(other),
                });
            }
        },
        OneOrMore::More(columns) => {
            let texts = columns.iter().map(|c| text(c, required(fields, c)?)).collect::<Result<Vec<_>, _>>()?;
            (columns.join(", "), texts)
        }
    };
    if texts.len() < 2 || texts.iter().any(|t| t.trim().is_empty()) {
        let got = format!("{} choices, or an empty one", texts.len());
        return Err(RowFault::Conversation { field, expected: "at least two choices with a text each", got });
    }
    let answer = suite.columns.answer.as_deref().unwrap_or("answer");
    let said = text(answer, required(fields, answer)?)?;
    let first = suite.measures.choice.as_ref().map_or(0, |c| c.first);
    let right = right(&said, &texts, first).ok_or_else(|| RowFault::Conversation {
        field: answer.to_owned(),
        expected: "the text of a choice, its letter, or its number (`measures.choice.first` is that of the first)",
        got: format!("{said:?}"),
    })?;
    Ok(Choices { texts, right })
}

/// The choices of every row, of which the answer is one.
fn among_all(suite: &Suite, item: &Item, among: &[String]) -> Result<Choices, RowFault> {
    let said = item.answers.first().map_or("", |answer| answer.trim());
    let right = among.iter().position(|text| text.trim() == said).ok_or_else(|| RowFault::Conversation {
        field: suite.columns.answer.clone().unwrap_or_else(|| "the answer".to_owned()),
        expected: "one of `measures.choice.among`",
        got: format!("{said:?}"),
    })?;
    Ok(Choices { texts: among.to_vec(), right })
}

/// Which choice an answer means: by its text, its number, or its letter.
fn right(said: &str, texts: &[String], first: u64) -> Option<usize> {
    let said = said.trim();
    let by_text = texts.iter().position(|t| t.trim() == said);
    let by_number = || said.parse::<u64>().ok()?.checked_sub(first).and_then(|i| usize::try_from(i).ok());
    let by_letter = || match said.as_bytes() {
        [letter @ b'A'..=b'Z'] => Some(usize::from(letter - b'A')),
        _ => None,
    };
    by_text.or_else(by_number).or_else(by_letter).filter(|i| *i < texts.len())
}

/// The checks that the row brings.
fn checks(suite: &Suite, row: &Value) -> Result<Vec<Check>, RowFault> {
    let Some(column) = &suite.columns.checks else { return Ok(Vec::new()) };
    let value = match row.get(column) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        // csv files hold lists as text.
        Some(Value::String(said)) => serde_json::from_str(said)
            .map_err(|e| RowFault::MalformedJson { why: format!("in the text of {column}: {e}") })?,
        Some(value) => value.clone(),
    };
    let wrong = |got: String| RowFault::Conversation {
        field: column.clone(),
        expected: "a list of checks such as {\"words\": {\"max\": 20}}",
        got,
    };
    let checks: Vec<Check> = serde_json::from_value(value).map_err(|e| wrong(e.to_string()))?;
    match checks.iter().find_map(instruction::unsound) {
        Some(why) => Err(wrong(why)),
        None => Ok(checks),
    }
}
