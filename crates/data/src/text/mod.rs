//! From a record's content to tokens and loss mask: tokenizer, chat template, masks.
//!
//! A record's content is rendered by the model's chat template (or a plain one), tokenised, and masked, so that the tokens and
//! the mask equal those of transformers and TRL. One thing differs on purpose: text that looks like a control token inside what a
//! user, a system prompt or a tool says becomes ordinary tokens, and is counted.

mod answers;
mod chat;
mod clock;
mod content;
mod count;
mod error;
mod folder;
mod jinja;
mod marks;
mod pipeline;
mod plain;
mod python;
mod tokenizer;
mod turns;

pub use chat::Turn;
pub use clock::Clock;
pub(crate) use content::UNFINISHED;
pub use content::{Content, Conversation, Message};
pub use count::TokenCounter;
pub use error::TextError;
pub use jinja::ChatTemplate;
pub use pipeline::{Encoded, Question, TextPipeline};
pub use tokenizer::{Control, Token, Tokenizer};
pub use turns::Turns;
