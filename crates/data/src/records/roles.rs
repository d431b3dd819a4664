//! Which columns a format needs and what they are usually called.

use crate::plan::Format;
use crate::text::UNFINISHED;
use std::collections::BTreeMap;

/// One thing a format takes from a row.
pub(crate) struct Role {
    /// Athanor's word for it; what errors and notes say.
    pub name: &'static str,
    /// Other words users may write in `columns` (those of LLaMA-Factory's dataset_info.json).
    pub also: &'static [&'static str],
    /// Columns looked for when the plan names none, first match first.
    pub usual: &'static [&'static str],
    pub need: Need,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    Optional,
}

const fn role(name: &'static str, also: &'static [&'static str], usual: &'static [&'static str], need: Need) -> Role {
    Role { name, also, usual, need }
}

const SYSTEM: Role = role("system", &[], &["system", "system_prompt"], Need::Optional);
const TOOLS: Role = role("tools", &[], &["tools"], Need::Optional);

const ALPACA: &[Role] = &[
    role("instruction", &["prompt"], &["instruction"], Need::Required),
    role("input", &["query"], &["input"], Need::Optional),
    role("output", &["response"], &["output", "response"], Need::Required),
    SYSTEM,
    role("history", &[], &["history"], Need::Optional),
];
const SHAREGPT: &[Role] = &[
    role("conversations", &["messages"], &["conversations", "conversation", "messages"], Need::Required),
    SYSTEM,
    TOOLS,
];
const MESSAGES: &[Role] = &[
    role("messages", &["conversations"], &["messages", "conversations", "conversation"], Need::Required),
    SYSTEM,
    TOOLS,
];
const PROMPT_COMPLETION: &[Role] = &[
    role("prompt", &[], &["prompt", "question", "query", "input"], Need::Required),
    role("completion", &["response"], &["completion", "response", "answer", "output"], Need::Required),
    SYSTEM,
    TOOLS,
];
const TEXT: &[Role] = &[
    role("text", &["prompt"], &["text", "content", "raw_content"], Need::Required),
    role(UNFINISHED, &[], &[UNFINISHED], Need::Optional),
];

/// The formats in the order in which a file is tried against them.
pub(crate) const FORMATS: [Format; 5] =
    [Format::Sharegpt, Format::Messages, Format::Alpaca, Format::PromptCompletion, Format::Text];

pub(crate) fn of(format: Format) -> &'static [Role] {
    match format {
        Format::Alpaca => ALPACA,
        Format::Sharegpt => SHAREGPT,
        Format::Messages => MESSAGES,
        Format::PromptCompletion => PROMPT_COMPLETION,
        Format::Text => TEXT,
    }
}

pub(crate) fn format_name(format: Format) -> &'static str {
    match format {
        Format::Alpaca => "alpaca",
        Format::Sharegpt => "sharegpt",
        Format::Messages => "messages",
        Format::PromptCompletion => "prompt_completion",
        Format::Text => "text",
    }
}

/// The role that a word in `columns` means in this format.
pub(crate) fn named(format: Format, word: &str) -> Option<&'static Role> {
    let roles = of(format);
    roles.iter().find(|r| r.name == word).or_else(|| roles.iter().find(|r| r.also.contains(&word)))
}

/// Every word that `columns` may hold: of one format, or of all.
pub(crate) fn known(format: Option<Format>) -> Vec<&'static str> {
    let mut words: Vec<_> = FORMATS
        .iter()
        .filter(|f| format.is_none_or(|only| only == **f))
        .flat_map(|f| of(*f).iter().flat_map(|r| std::iter::once(r.name).chain(r.also.iter().copied())))
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// What the members and speakers of a conversation are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags {
    pub role: String,
    pub content: String,
    /// Name in the file → the speaker it means.
    pub speakers: BTreeMap<String, Speaker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    System,
    User,
    Assistant,
    /// The assistant's call of a function, as JSON text.
    FunctionCall,
    /// What a tool answered.
    Tool,
}

const USUAL_SPEAKERS: [(&str, Speaker); 11] = [
    ("system", Speaker::System),
    ("developer", Speaker::System),
    ("user", Speaker::User),
    ("human", Speaker::User),
    ("assistant", Speaker::Assistant),
    ("gpt", Speaker::Assistant),
    ("function_call", Speaker::FunctionCall),
    ("tool_call", Speaker::FunctionCall),
    ("tool", Speaker::Tool),
    ("function", Speaker::Tool),
    ("observation", Speaker::Tool),
];

/// LLaMA-Factory's names of the tags.
pub(crate) const TAGS: [&str; 7] =
    ["role_tag", "content_tag", "user_tag", "assistant_tag", "system_tag", "function_tag", "observation_tag"];

impl Tags {
    /// The usual names of the format, with the user's own names added. `tags` has been checked against [`TAGS`].
    pub fn new(format: Format, tags: &BTreeMap<String, String>) -> Self {
        let (role, content) = match format {
            Format::Sharegpt => ("from", "value"),
            _ => ("role", "content"),
        };
        let mut this = Self {
            role: tags.get("role_tag").map_or(role, String::as_str).to_owned(),
            content: tags.get("content_tag").map_or(content, String::as_str).to_owned(),
            speakers: USUAL_SPEAKERS.iter().map(|(name, speaker)| ((*name).to_owned(), *speaker)).collect(),
        };
        for (tag, speaker) in [
            ("user_tag", Speaker::User),
            ("assistant_tag", Speaker::Assistant),
            ("system_tag", Speaker::System),
            ("function_tag", Speaker::FunctionCall),
            ("observation_tag", Speaker::Tool),
        ] {
            if let Some(name) = tags.get(tag) {
                this.speakers.insert(name.clone(), speaker);
            }
        }
        this
    }
}
