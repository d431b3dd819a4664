//! The whole way of one record: content → text → tokens and loss mask.

use super::chat::{Chat, Prepared, Turn};
use super::folder::{DEFAULT, Folder, TOOL_USE, read_text};
use super::jinja::ChatTemplate;
use super::plain::PlainTemplate;
use super::tokenizer::{Tokenizer, Tokens};
use super::{Clock, Content, Conversation, Message, TextError, Turns, answers, marks};
use crate::{LossOn, Template, TextPlan};
use sha2::Digest;
use std::collections::BTreeMap;

/// How a base model without a template is shown a prompt and its completion.
const BASE_PLAIN: &str = "{prompt}\n{completion}";
/// How it is shown a conversation.
const BASE_CHAT: &str = include_str!("base_chat.jinja");

/// One record as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub ids: Vec<u32>,
    /// The loss mask, one entry a token: true where the token itself is to be learned (not shifted).
    pub supervised: Vec<bool>,
    /// Control-token texts inside contents that became ordinary tokens.
    pub control_text: usize,
}

/// One record as far as a model is given it to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub ids: Vec<u32>,
    /// The end of the prompt's text that is in none of `ids`: a model writes it before its answer. A blank, say, that is one
    /// token with the word behind it.
    pub rest: String,
    /// What the template puts behind an answer.
    pub after: String,
}

/// Beginnings of answers of every kind. What the tokens of a prompt are whichever of them follows, they are before any answer.
const PROBES: [&str; 7] = ["a", "The", "1", "\"", "{", "#", "\u{4e2d}"];

/// Tokenizer, template and mask of one plan. Shared between threads.
pub struct TextPipeline {
    tokenizer: Tokenizer,
    chat: Option<Chat>,
    plain: Option<PlainTemplate>,
    loss_on: LossOn,
    identity: String,
    describe: Vec<String>,
}

impl TextPipeline {
    /// Reads the tokenizer and template of `plan.model_dir` and checks that they fit together.
    ///
    /// # Errors
    /// Whatever is wrong with the model folder or the plan's template; see [`TextError`].
    pub fn open(plan: &TextPlan) -> Result<Self, TextError> {
        Self::open_at(plan, Clock::default())
    }

    /// As [`open`](Self::open), for templates that print the date.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_at(plan: &TextPlan, clock: Clock) -> Result<Self, TextError> {
        let folder = Folder::open(&plan.model_dir)?;
        let tokenizer = Tokenizer::open(&folder)?;
        let mut digest = folder.digest();
        digest.update(format!("{:?} {:?}", plan.loss_on, clock));
        let (chat, plain, about) = match &plan.template {
            Template::Plain(source) => {
                digest.update(source);
                let plain = PlainTemplate::parse(source)?;
                (None, Some(plain), format!("template: {source:?} (from the plan)"))
            }
            Template::File(path) => {
                let missing = || TextError::Io { path: path.clone(), source: std::io::ErrorKind::NotFound.into() };
                let source = read_text(path)?.ok_or_else(missing)?;
                digest.update(&source);
                let template = ChatTemplate::compile(&source, &path.display().to_string(), clock)?;
                let chat = Chat::new(template, None, &tokenizer, None)?;
                (Some(chat), None, format!("template: {} (from the plan)", path.display()))
            }
            Template::Auto => {
                let sources = folder.chat_templates()?;
                sources.iter().for_each(|t| digest.update(&t.text));
                let compiled = |name: &str| {
                    let source = sources.iter().find(|t| t.name == name);
                    source.map(|t| ChatTemplate::compile(&t.text, &t.origin, clock)).transpose()
                };
                match compiled(DEFAULT)? {
                    Some(default) => {
                        let chat = Chat::new(default, compiled(TOOL_USE)?, &tokenizer, None)?;
                        let about = format!("template: {}", chat.origins().collect::<Vec<_>>().join(", "));
                        (Some(chat), None, about)
                    }
                    None => {
                        digest.update(BASE_CHAT);
                        let template = ChatTemplate::compile(BASE_CHAT, "the plain chat of a base model", clock)?;
                        let bos = tokenizer
                            .bos()
                            .filter(|bos| tokenizer.prefix().contains(&bos.id))
                            .map_or("", |bos| &bos.text);
                        let chat = Chat::new(template, None, &tokenizer, Some(bos))?;
                        let about = format!(
                            "template: {BASE_PLAIN:?} or \"User: … Assistant: …\" (the model has no chat template)"
                        );
                        (Some(chat), Some(PlainTemplate::parse(BASE_PLAIN)?), about)
                    }
                }
            }
        };
        let describe =
            vec![about, describe_tokens(&tokenizer), describe_loss(plan.loss_on, chat.as_ref(), plain.as_ref())];
        let identity = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { tokenizer, chat, plain, loss_on: plan.loss_on, identity, describe })
    }

    /// Renders, tokenises and masks one record.
    ///
    /// # Errors
    /// A fault of the row (`TextError::is_row`): malformed, refused by the template, or without a supervised token.
    pub fn encode(&self, content: &Content) -> Result<Encoded, TextError> {
        let encoded = match (content, &self.chat, &self.plain) {
            (Content::Text(text), ..) => self.text(text)?,
            (Content::Unfinished(text), ..) => self.unfinished(text)?,
            (Content::Chat(conversation), Some(chat), _) => self.conversation(chat, conversation)?,
            (Content::Chat(conversation), None, Some(plain)) => {
                self.fill(plain, &single_turn(&conversation.messages)?)?
            }
            (Content::PromptCompletionChat { prompt, completion, tools }, Some(chat), _) => {
                self.prompt_completion(chat, prompt, completion, tools.as_ref())?
            }
            (Content::PromptCompletionChat { prompt, completion, .. }, None, Some(plain)) => {
                self.fill(plain, &single_turn(&[prompt.as_slice(), completion].concat())?)?
            }
            (Content::PromptCompletion { prompt, completion }, _, Some(plain)) => {
                self.fill(plain, &fields(prompt, completion))?
            }
            (Content::PromptCompletion { prompt, completion }, Some(chat), None) => self.prompt_completion(
                chat,
                &[Message::new("user", prompt)],
                &[Message::new("assistant", completion)],
                None,
            )?,
            (Content::Fields(fields), _, Some(plain)) => self.fill(plain, &with_names_of(plain, fields))?,
            (Content::Fields(fields), Some(chat), None) => {
                let (prompt, completion) = turns(fields)?;
                self.prompt_completion(chat, &prompt, &completion, None)?
            }
            (_, None, None) => return Err(TextError::NotPlain { why: "there is no template" }),
        };
        self.check(encoded)
    }

    /// The text of a conversation as the model reads it, control tokens written out.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); `NotPlain` where the plan's template is a plain one.
    pub fn render(&self, conversation: &Conversation, turn: Turn) -> Result<String, TextError> {
        let (chat, prepared) = self.prepared(conversation)?;
        Ok(marks::strip(&chat.render(&prepared.messages, &prepared.tools, turn)?))
    }

    /// The tokens of a conversation up to where the assistant would answer.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn prompt_ids(&self, conversation: &Conversation) -> Result<Vec<u32>, TextError> {
        let (chat, prepared) = self.prepared(conversation)?;
        let text = chat.render(&prepared.messages, &prepared.tools, Turn::AssistantNext)?;
        Ok(self.tokenizer.encode_marked(&text)?.ids)
    }

    /// The tokens of a record up to where its answer would begin, as [`encode`](Self::encode) has them; what the record says of
    /// an answer is left out.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); `NotPlain` where there is nothing before the answer.
    pub fn question(&self, content: &Content) -> Result<Question, TextError> {
        match (content, &self.chat, &self.plain) {
            (Content::Text(_) | Content::Unfinished(_), ..) => Err(TextError::NotPlain { why: "a text asks nothing" }),
            (Content::Chat(conversation), Some(chat), _) => {
                let answers = conversation.messages.iter().rev().take_while(|m| m.is_assistant()).count();
                let asked = &conversation.messages[..conversation.messages.len() - answers];
                self.asked(chat, asked, conversation.tools.as_ref())
            }
            (Content::Chat(conversation), None, Some(plain)) => {
                self.begun(plain, &single_turn(&conversation.messages)?)
            }
            (Content::PromptCompletionChat { prompt, tools, .. }, Some(chat), _) => {
                self.asked(chat, prompt, tools.as_ref())
            }
            (Content::PromptCompletionChat { prompt, completion, .. }, None, Some(plain)) => {
                self.begun(plain, &single_turn(&[prompt.as_slice(), completion].concat())?)
            }
            (Content::PromptCompletion { prompt, completion }, _, Some(plain)) => {
                self.begun(plain, &fields(prompt, completion))
            }
            (Content::PromptCompletion { prompt, .. }, Some(chat), None) => {
                self.asked(chat, &[Message::new("user", prompt)], None)
            }
            (Content::Fields(fields), _, Some(plain)) => self.begun(plain, &with_names_of(plain, fields)),
            (Content::Fields(fields), Some(chat), None) => self.asked(chat, &turns(fields)?.0, None),
            (_, None, None) => Err(TextError::NotPlain { why: "there is no template" }),
        }
    }

    /// How the model's conversations are built, for one that writes both sides itself; None where the plan's template has no turns
    /// of the model's own: a plain one, or that of a base model.
    ///
    /// # Errors
    /// As [`render`](Self::render).
    pub fn turns(&self) -> Result<Option<Turns>, TextError> {
        match (&self.chat, &self.plain) {
            (Some(chat), None) => Turns::find(chat, &self.tokenizer).map(Some),
            _ => Ok(None),
        }
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// sha256 (hex) of everything that decides how content becomes tokens: tokenizer, template, mask.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Lines for people: which template is used and where it comes from, which tokens begin and end a text, what is learned.
    pub fn describe(&self) -> &[String] {
        &self.describe
    }

    /// See [`Tokenizer::pieces`].
    pub fn pieces(&self, ids: &[u32]) -> Vec<String> {
        self.tokenizer.pieces(ids)
    }

    /// The text of one token on its own.
    pub fn decode_token(&self, id: u32) -> String {
        self.tokenizer.pieces(&[id]).concat()
    }

    /// One past the largest token id of the tokenizer.
    pub fn vocab_size(&self) -> usize {
        self.tokenizer.vocab_size()
    }

    pub fn bos_id(&self) -> Option<u32> {
        self.tokenizer.bos().map(|bos| bos.id)
    }

    pub fn eos_id(&self) -> u32 {
        self.tokenizer.eos().id
    }

    fn prepared(&self, conversation: &Conversation) -> Result<(&Chat, Prepared), TextError> {
        let chat = self
            .chat
            .as_ref()
            .ok_or(TextError::NotPlain { why: "the plan's template is plain text, not a chat template" })?;
        let prepared = chat.prepare(&conversation.messages, conversation.tools.as_ref(), &self.tokenizer)?;
        Ok((chat, prepared))
    }

    fn conversation(&self, chat: &Chat, conversation: &Conversation) -> Result<Encoded, TextError> {
        if conversation.messages.is_empty() {
            return Err(TextError::NoMessages);
        }
        let (_, prepared) = self.prepared(conversation)?;
        let whole = self.whole(chat, &conversation.messages, &prepared)?;
        Ok(self.masked(self.tokenizer.encode_marked(&whole)?))
    }

    /// The rendered conversation with the assistant's answers marked.
    fn whole(&self, chat: &Chat, messages: &[Message], prepared: &Prepared) -> Result<String, TextError> {
        let whole = chat.render(&prepared.messages, &prepared.tools, Turn::Closed)?;
        answers::check_all_there(chat, messages, prepared, &whole)?;
        if self.loss_on == LossOn::All || chat.template(&prepared.tools).has_generation() {
            return Ok(whole);
        }
        answers::mark(chat, &self.tokenizer, messages, prepared, &whole)
    }

    fn prompt_completion(
        &self,
        chat: &Chat,
        prompt: &[Message],
        completion: &[Message],
        tools: Option<&serde_json::Value>,
    ) -> Result<Encoded, TextError> {
        if prompt.is_empty() || completion.is_empty() {
            return Err(TextError::NoMessages);
        }
        let messages = [prompt, completion].concat();
        let prepared = chat.prepare(&messages, tools, &self.tokenizer)?;
        let turn = if prompt.last().is_some_and(Message::is_assistant) { Turn::Closed } else { Turn::AssistantNext };
        let before = chat.render(&prepared.messages[..prompt.len()], &prepared.tools, turn)?;
        let before = self.tokenizer.encode_marked(&before)?.ids;
        // A completion that is more than an answer, such as a call, its result and an answer: the result is not learned.
        let answers_only = completion.iter().any(|m| !m.is_assistant());
        let whole = if answers_only {
            self.whole(chat, &messages, &prepared)?
        } else {
            let whole = chat.render(&prepared.messages, &prepared.tools, Turn::Closed)?;
            answers::check_all_there(chat, &messages, &prepared, &whole)?;
            whole
        };
        let whole = self.tokenizer.encode_marked(&whole)?;
        let marked = if answers_only { whole.marked.clone() } else { vec![true; whole.ids.len()] };
        Ok(self.after_prefix(whole, &before, |i| marked[i]))
    }

    /// Text in two parts, with what the tokenizer puts around a text and an eos at the end. Neither is ever doubled.
    fn fill(&self, plain: &PlainTemplate, fields: &BTreeMap<String, String>) -> Result<Encoded, TextError> {
        for value in fields.values() {
            marks::check(value)?;
        }
        let (prompt, response) = plain.fill(fields, |text| self.tokenizer.guard(text))?;
        let before = self.surrounded(&prompt)?;
        let whole = self.surrounded(&self.with_eos(prompt + &response))?;
        let before = before.ids[..before.ids.len() - before.suffix].to_vec();
        Ok(self.after_prefix(whole.into_tokens(), &before, |_| true))
    }

    fn asked(
        &self,
        chat: &Chat,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
    ) -> Result<Question, TextError> {
        if messages.is_empty() {
            return Err(TextError::NoMessages);
        }
        let prepared = chat.prepare(messages, tools, &self.tokenizer)?;
        let turn = if messages.last().is_some_and(Message::is_assistant) { Turn::Closed } else { Turn::AssistantNext };
        let text = chat.render(&prepared.messages, &prepared.tools, turn)?;
        let ids = self.tokenizer.encode_marked(&text)?.ids;
        Ok(Question { ids, rest: String::new(), after: String::new() })
    }

    /// What of a plain prompt's tokens stays the same whatever follows, as [`fill`](Self::fill) counts them.
    fn begun(&self, plain: &PlainTemplate, fields: &BTreeMap<String, String>) -> Result<Question, TextError> {
        for value in fields.values() {
            marks::check(value)?;
        }
        let (prompt, _) = plain.fill(fields, |text| self.tokenizer.guard(text))?;
        let before = self.surrounded(&prompt)?;
        let before = &before.ids[..before.ids.len() - before.suffix];
        let mut common = before.len();
        for probe in PROBES {
            let whole = self.surrounded(&(prompt.clone() + probe))?;
            common = before[..common].iter().zip(&whole.ids).take_while(|(a, b)| a == b).count();
        }
        if common == 0 {
            return Err(TextError::NotPlain { why: "there is nothing before the answer" });
        }
        let rest = self.tokenizer.pieces(before)[common..].concat();
        Ok(Question { ids: before[..common].to_vec(), rest, after: plain.after() })
    }

    fn text(&self, text: &str) -> Result<Encoded, TextError> {
        if text.is_empty() {
            return Err(TextError::NothingSupervised { why: "the text is empty" });
        }
        marks::check(text)?;
        let tokens = self.surrounded(&self.with_eos(text.to_owned()))?.into_tokens();
        Ok(self.after_prefix(tokens, &[], |_| true))
    }

    fn unfinished(&self, text: &str) -> Result<Encoded, TextError> {
        marks::check(text)?;
        let Tokens { ids, control_text, .. } = self.tokenizer.encode_marked(text)?;
        let prefix = self.tokenizer.prefix();
        let prefix = if ids.starts_with(prefix) { &[] } else { prefix };
        let ids = [prefix, &ids].concat();
        Ok(self.after_prefix(Tokens { marked: vec![false; ids.len()], ids, control_text }, &[], |_| true))
    }

    fn with_eos(&self, mut text: String) -> String {
        let eos = &self.tokenizer.eos().text;
        if !text.ends_with(eos.as_str()) {
            text.push_str(eos);
        }
        text
    }

    fn surrounded(&self, text: &str) -> Result<Surrounded, TextError> {
        let Tokens { ids, control_text, .. } = self.tokenizer.encode_marked(text)?;
        let (prefix, suffix) = (self.tokenizer.prefix(), self.tokenizer.suffix());
        let prefix = if ids.starts_with(prefix) { &[] } else { prefix };
        let suffix = if ids.ends_with(suffix) { &[] } else { suffix };
        Ok(Surrounded { ids: [prefix, &ids, suffix].concat(), suffix: suffix.len(), control_text })
    }

    fn masked(&self, tokens: Tokens) -> Encoded {
        let Tokens { ids, marked, control_text } = tokens;
        let supervised = if self.loss_on == LossOn::All { vec![true; ids.len()] } else { marked };
        Encoded { ids, supervised, control_text }
    }

    /// Supervises what comes after the tokens common to `before` and the whole: a token that lies across the boundary belongs to
    /// the completion, as without it there would be another one.
    fn after_prefix(&self, whole: Tokens, before: &[u32], also: impl Fn(usize) -> bool) -> Encoded {
        let common = before.iter().zip(&whole.ids).take_while(|(a, b)| a == b).count();
        let supervised =
            (0..whole.ids.len()).map(|i| self.loss_on == LossOn::All || (i >= common && also(i))).collect();
        Encoded { ids: whole.ids, supervised, control_text: whole.control_text }
    }

    fn check(&self, encoded: Encoded) -> Result<Encoded, TextError> {
        if let (Some(bos), [first, second, ..]) = (self.tokenizer.bos(), encoded.ids.as_slice())
            && *first == bos.id
            && *second == bos.id
        {
            return Err(TextError::DoubledBos { bos: bos.text.clone() });
        }
        // The first token has nothing before it to be learned from.
        if !encoded.supervised.iter().skip(1).any(|s| *s) {
            let why = if encoded.ids.len() < 2 { "the text is a single token" } else { "the row has no answer" };
            return Err(TextError::NothingSupervised { why });
        }
        Ok(encoded)
    }
}

/// A text with what the tokenizer puts around it; `suffix` tokens at the end are the tokenizer's.
struct Surrounded {
    ids: Vec<u32>,
    suffix: usize,
    control_text: usize,
}

impl Surrounded {
    fn into_tokens(self) -> Tokens {
        Tokens { marked: vec![false; self.ids.len()], ids: self.ids, control_text: self.control_text }
    }
}

/// The names under which formats keep the two sides of a plain example.
const PROMPT_FIELDS: [&str; 4] = ["prompt", "instruction", "question", "query"];
const COMPLETION_FIELDS: [&str; 5] = ["completion", "output", "response", "answer", "chosen"];

fn fields(prompt: &str, completion: &str) -> BTreeMap<String, String> {
    [("prompt", prompt), ("completion", completion)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

/// Adds `prompt` and `completion` from fields of other names where the template asks for those and the row has them not.
fn with_names_of(plain: &PlainTemplate, row: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut row = row.clone();
    let asked =
        |name: &str, row: &BTreeMap<String, String>| plain.fields().any(|f| f == name) && !row.contains_key(name);
    if asked("prompt", &row)
        && let Some(prompt) = prompt_of(&row)
    {
        row.insert("prompt".into(), prompt);
    }
    if asked("completion", &row)
        && let Some(completion) = first_of(&row, &COMPLETION_FIELDS)
    {
        row.insert("completion".into(), completion);
    }
    row
}

fn first_of(row: &BTreeMap<String, String>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| row.get(*name)).cloned()
}

/// Alpaca's instruction and, where there is one, its input on the next line.
fn prompt_of(row: &BTreeMap<String, String>) -> Option<String> {
    let prompt = first_of(row, &PROMPT_FIELDS)?;
    Some(match row.get("input").filter(|input| !input.is_empty()) {
        Some(input) => format!("{prompt}\n{input}"),
        None => prompt,
    })
}

/// Fields as a question and its answer.
fn turns(row: &BTreeMap<String, String>) -> Result<(Vec<Message>, Vec<Message>), TextError> {
    let missing = |field: &str| TextError::MissingField { field: field.to_owned() };
    let question = prompt_of(row).ok_or_else(|| missing(PROMPT_FIELDS[0]))?;
    let answer = first_of(row, &COMPLETION_FIELDS).ok_or_else(|| missing(COMPLETION_FIELDS[0]))?;
    let system = row.get("system").filter(|s| !s.is_empty()).map(|s| Message::new("system", s));
    Ok((system.into_iter().chain([Message::new("user", question)]).collect(), vec![Message::new("assistant", answer)]))
}

/// A question and its answer as fields `system`, `prompt` and `completion`.
fn single_turn(messages: &[Message]) -> Result<BTreeMap<String, String>, TextError> {
    let not_plain = |why| TextError::NotPlain { why };
    let (system, turns) = match messages {
        [first, rest @ ..] if first.role == "system" => (Some(first), rest),
        all => (None, all),
    };
    let [question, answer] = turns else { return Err(not_plain("it is not one question and its answer")) };
    if question.role != "user" || !answer.is_assistant() {
        return Err(not_plain("it is not a user's question and the assistant's answer"));
    }
    let text = |message: &Message| message.text().map(str::to_owned).ok_or(not_plain("a message is not plain text"));
    let mut fields = fields(&text(question)?, &text(answer)?);
    fields.insert("system".into(), system.map(text).transpose()?.unwrap_or_default());
    Ok(fields)
}

fn describe_tokens(tokenizer: &Tokenizer) -> String {
    let quoted = |ids: &[u32]| {
        ids.iter().map(|id| format!("{:?}", tokenizer.token(*id).unwrap_or_default())).collect::<Vec<_>>().join(" ")
    };
    let before = if tokenizer.prefix().is_empty() { "nothing".into() } else { quoted(tokenizer.prefix()) };
    format!(
        "tokenizer: {} tokens; before a plain text {before}, after it {:?}",
        tokenizer.vocab_size(),
        tokenizer.eos().text
    )
}

fn describe_loss(loss_on: LossOn, chat: Option<&Chat>, plain: Option<&PlainTemplate>) -> String {
    let how = match (loss_on, chat, plain) {
        (LossOn::All, ..) => "every token",
        (LossOn::Response, Some(chat), None) if !chat.template(&minijinja::Value::from(())).has_generation() => {
            "the assistant's answers, found by rendering the conversation up to each"
        }
        (LossOn::Response, Some(_), None) => "the assistant's answers, as the template's generation tags mark them",
        (LossOn::Response, ..) => "the response, its eos included",
    };
    format!("loss on: {how}")
}
