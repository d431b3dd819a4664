//! Where the assistant speaks in a rendered conversation, and whether everything said is there at all.
//!
//! A template with `{% generation %}` says it itself. For the others the conversation is rendered again up to each answer: what
//! is there before it and what is there after it bound the answer, as long as the template writes earlier turns the same way
//! whatever follows. Where it does not (it moves the tools, drops earlier reasoning, or closes the text with a token of its own),
//! the answer is its content, found by marks around it, and the control token that ends it.

use super::chat::{Chat, Prepared, Turn};
use super::tokenizer::Tokenizer;
use super::{Message, TextError, marks};
use minijinja::Value;
use std::ops::Range;

/// Ends the reasoning that reasoning models write before their answer.
const END_OF_REASONING: &str = "</think>";

/// Answers of one conversation that are looked for by rendering: each takes two renders of what comes before it.
const ANSWERS_MAX: usize = 512;

/// `whole`, the conversation as rendered, with START and END around each of the assistant's answers.
///
/// # Errors
/// `SpanNotFound`, `TooManyAnswers`.
pub(super) fn mark(
    chat: &Chat,
    tokenizer: &Tokenizer,
    messages: &[Message],
    prepared: &Prepared,
    whole: &str,
) -> Result<String, TextError> {
    let answers = messages.iter().filter(|m| m.is_assistant()).count();
    if answers > ANSWERS_MAX {
        return Err(TextError::TooManyAnswers { answers, limit: ANSWERS_MAX });
    }
    let Prepared { messages: values, tools } = prepared;
    let rendered = |upto: usize, turn: Turn| {
        let text = if upto == values.len() && turn == Turn::Closed {
            Ok(whole.to_owned())
        } else {
            chat.render(&values[..upto], tools, turn)
        };
        text.ok().filter(|text| whole.starts_with(text.as_str())).map(|text| text.len())
    };
    let mut contents: Option<Vec<Range<usize>>> = None;
    let mut content = |message: usize| {
        let found = contents.get_or_insert_with(|| contents_of_answers(chat, messages, prepared, whole));
        let nth = messages[..message].iter().filter(|m| is_spoken(m)).count();
        found.get(nth).filter(|_| is_spoken(&messages[message])).cloned()
    };
    let mut spans: Vec<Range<usize>> = Vec::new();
    for message in (0..messages.len()).filter(|&i| messages[i].is_assistant()) {
        let lost = || TextError::SpanNotFound { message };
        let after_last = spans.last().map_or(0, |s| s.end);
        let start =
            rendered(message, Turn::AssistantNext).or_else(|| content(message).map(|c| c.start)).ok_or_else(lost)?;
        let end = match rendered(message + 1, Turn::Closed) {
            Some(end) => end,
            None => content(message).and_then(|c| tokenizer.control_end(whole, c.end)).ok_or_else(lost)?,
        };
        if start < after_last || end < start {
            return Err(lost());
        }
        spans.push(start..end);
    }
    let mut out = String::with_capacity(whole.len() + 8 * spans.len());
    let mut from = 0;
    for span in spans {
        out.push_str(&whole[from..span.start]);
        out.push(marks::START);
        out.push_str(&whole[span.clone()]);
        out.push(marks::END);
        from = span.end;
    }
    out.push_str(&whole[from..]);
    Ok(out)
}

/// An answer with text of its own.
fn is_spoken(message: &Message) -> bool {
    message.is_assistant() && message.text().is_some_and(|t| !t.trim().is_empty())
}

/// The places of the spoken answers' contents in `whole`, none of them where the template does not print each once.
fn contents_of_answers(chat: &Chat, messages: &[Message], prepared: &Prepared, whole: &str) -> Vec<Range<usize>> {
    let attempt = |core| {
        let wrapped = wrap(messages, &prepared.messages, core, is_spoken);
        let text = chat.render(&wrapped, &prepared.tools, Turn::Closed).ok()?;
        let (plain, ranges) = unwrap_marks(&text)?;
        (plain == whole && ranges.len() == messages.iter().filter(|m| is_spoken(m)).count()).then_some(ranges)
    };
    // A template that cuts the reasoning off takes the first mark with it.
    attempt(Core::All).or_else(|| attempt(Core::AfterReasoning)).unwrap_or_default()
}

/// The text without content marks and the ranges between them; None where they do not come in pairs.
fn unwrap_marks(text: &str) -> Option<(String, Vec<Range<usize>>)> {
    let mut plain = String::with_capacity(text.len());
    let (mut ranges, mut start) = (Vec::new(), None);
    for c in text.chars() {
        match c {
            marks::CONTENT_START if start.is_none() => start = Some(plain.len()),
            marks::CONTENT_START => return None,
            marks::CONTENT_END => ranges.push(start.take()?..plain.len()),
            c => plain.push(c),
        }
    }
    start.is_none().then_some((plain, ranges))
}

/// Refuses a conversation of which the template leaves a message out: it is not made for it.
///
/// # Errors
/// `Dropped`.
pub(super) fn check_all_there(
    chat: &Chat,
    messages: &[Message],
    prepared: &Prepared,
    whole: &str,
) -> Result<(), TextError> {
    for (i, message) in messages.iter().enumerate() {
        let content = prepared.messages[i].get_attr("content").unwrap_or_default();
        let Some(text) = content.as_str().map(str::trim).filter(|t| !t.is_empty()) else { continue };
        // Templates drop the reasoning of earlier answers on purpose.
        let text =
            if message.is_assistant() { text.rsplit(END_OF_REASONING).next().unwrap_or(text).trim() } else { text };
        if whole.contains(text) {
            continue;
        }
        // It may have been escaped or rewritten: see whether anything of it is left.
        let mut place = 0..messages.len();
        let wrapped = wrap(messages, &prepared.messages, Core::All, |_| place.next() == Some(i));
        let kept = chat
            .render(&wrapped, &prepared.tools, Turn::Closed)
            .map_or(true, |t| t.contains([marks::CONTENT_START, marks::CONTENT_END]));
        if !kept {
            return Err(TextError::Dropped { message: i, role: message.role.clone() });
        }
    }
    Ok(())
}

/// What of a message's content is put between marks, white space around it left out, so that trimming still finds it.
#[derive(Clone, Copy)]
enum Core {
    All,
    AfterReasoning,
}

/// The messages with marks around the content of some.
fn wrap(messages: &[Message], values: &[Value], core: Core, mut chosen: impl FnMut(&Message) -> bool) -> Vec<Value> {
    let wrapped = |value: &Value| {
        let content = value.get_attr("content").ok()?;
        let text = content.as_str()?;
        let from = match core {
            Core::All => 0,
            Core::AfterReasoning => text.rfind(END_OF_REASONING).map_or(0, |at| at + END_OF_REASONING.len()),
        };
        let core = text[from..].trim();
        let at = text.len() - text[from..].trim_start().len();
        let (before, after) = (&text[..at], &text[at + core.len()..]);
        let marked = format!("{before}{}{core}{}{after}", marks::CONTENT_START, marks::CONTENT_END);
        let keys: Vec<Value> = value.try_iter().ok()?.collect();
        let field = |key: Value| {
            let field = if key.as_str() == Some("content") {
                Value::from(marked.as_str())
            } else {
                value.get_item(&key).unwrap_or_default()
            };
            (key, field)
        };
        Some(Value::from_pairs(keys.into_iter().map(field)))
    };
    let choose = |(message, value): (&Message, &Value)| {
        if chosen(message) { wrapped(value).unwrap_or_else(|| value.clone()) } else { value.clone() }
    };
    messages.iter().zip(values).map(choose).collect()
}
