//! Where the turns of a conversation begin and end, in a model's own format.

use super::chat::{Chat, PROBE_ANSWER, PROBE_QUESTION, Turn};
use super::tokenizer::Tokenizer;
use super::{Message, TextError, marks};
use std::collections::BTreeSet;

/// What a model that writes both sides of a conversation is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turns {
    /// Everything before what the user says first (with a system prompt, where the template has one of its own).
    pub before_user: Vec<u32>,
    /// Each ends the user's turn.
    pub after_user: Vec<u32>,
    /// The same as text, where no control token ends the turn.
    pub after_user_text: Option<String>,
    /// Each ends the assistant's answer.
    pub after_assistant: Vec<u32>,
}

impl Turns {
    pub(super) fn find(chat: &Chat, tokenizer: &Tokenizer) -> Result<Turns, TextError> {
        let question = Message::new("user", PROBE_QUESTION);
        let (before, after) = around(PROBE_QUESTION, chat, tokenizer, std::slice::from_ref(&question))?;
        let answered = [question, Message::new("assistant", PROBE_ANSWER)];
        let (_, after_answer) = around(PROBE_ANSWER, chat, tokenizer, &answered)?;
        let ends = |after: &str| -> Result<Vec<u32>, TextError> {
            let control = tokenizer.encode_bare(after)?.into_iter().find(|id| tokenizer.is_control(*id));
            let stops: BTreeSet<u32> = tokenizer.stop_ids().iter().copied().chain(control).collect();
            Ok(stops.into_iter().collect())
        };
        let said = after.trim();
        let first = tokenizer.encode_bare(said)?.first().copied();
        let in_text = !said.is_empty() && first.is_some_and(|id| !tokenizer.is_control(id));
        Ok(Turns {
            // A space before a word is part of the word's token.
            before_user: tokenizer.encode_marked(before.trim_end_matches(' '))?.ids,
            after_user: ends(&after)?,
            after_user_text: in_text.then(|| said.to_owned()),
            after_assistant: ends(&after_answer)?,
        })
    }
}

/// The rendered text before and after `probe`.
fn around(
    probe: &str,
    chat: &Chat,
    tokenizer: &Tokenizer,
    messages: &[Message],
) -> Result<(String, String), TextError> {
    let prepared = chat.prepare(messages, None, tokenizer)?;
    let text = chat.render(&prepared.messages, &prepared.tools, Turn::Closed)?;
    let (before, after) = text.split_once(probe).ok_or_else(|| TextError::WrongTemplate {
        origin: chat.template(&prepared.tools).origin().to_owned(),
        why: format!("it leaves {:?} out", messages.last().map_or("", |m| m.role.as_str())),
    })?;
    Ok((before.to_owned(), marks::strip(after)))
}
