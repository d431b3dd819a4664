//! Texts drawn from a base until there are as many of use as are wanted.
//!
//! Each begins with the model's beginning token and is cut at its length, or ends where the model ends it. A model with a
//! chat template writes a question, given what stands before the user's first word, and then its answer; both must end by
//! themselves. Tokens are drawn at temperature 1 from the most likely ones.

use crate::written::ToWrite;
use crate::{Event, TrainError};
use data::{Content, Control, Conversation, DataError, Message, TextPipeline, Turns};
use model::{Decoding, Engine};
use runfs::RunFsError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Texts drawn between two looks at which of them are of use.
const ROUND: u64 = 256;
/// For each text that is wanted, so many are drawn at most, and some more where few are wanted.
const DRAWS_PER_TEXT: u64 = 8;
const DRAWS_MORE: u64 = 64;
/// Of the most likely tokens, as many as have this share together are drawn from.
const NUCLEUS: f32 = 0.9;

/// Why a text is of no use.
const EMPTY: &str = "empty";
const ENDLESS: &str = "endless";
const REPEATED: &str = "repeated";
const CONTROL: &str = "with a control token";
const TOO_LONG: &str = "too long";
const NOT_READ: &str = "not as the template takes them";

/// What came of drawing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Drawn {
    pub kept: u64,
    pub drawn: u64,
    pub thrown_away: BTreeMap<String, u64>,
}

/// `20 empty, 3 repeated`
pub(crate) fn thrown(away: &BTreeMap<String, u64>) -> String {
    away.iter().map(|(why, n)| format!("{n} {why}")).collect::<Vec<_>>().join(", ")
}

pub(crate) struct Writer {
    engine: Engine,
    text: TextPipeline,
    /// Of texts; of chats where nothing stands before the user's first word.
    firsts: Vec<u32>,
    chats: Option<Chats>,
    texts: u64,
    tokens: usize,
    seq_len_max: usize,
    seed: u64,
}

struct Chats {
    turns: Turns,
    /// Most tokens of each side.
    side: usize,
}

/// A text, or why there is none.
type Candidate = Result<Content, &'static str>;

/// What is told of a round: texts that are ready.
struct Watch<'a> {
    stop: &'a AtomicBool,
    before: u64,
    of: u64,
    on: &'a mut dyn FnMut(Event),
}

impl Writer {
    /// # Errors
    /// `Plan` where the model's format leaves no room for what is said.
    pub fn new(
        engine: Engine,
        text: TextPipeline,
        firsts: Vec<u32>,
        to_write: &ToWrite,
        (seed, seq_len_max): (u64, usize),
    ) -> Result<Writer, TrainError> {
        let ToWrite { texts, tokens, .. } = *to_write;
        let chats = match text.turns().map_err(DataError::from)? {
            None => None,
            Some(mut turns) => {
                if turns.before_user.is_empty() {
                    turns.before_user.push(firsts[0]);
                }
                let before = turns.before_user.len();
                let side = tokens.saturating_sub(before) / 2;
                if side == 0 {
                    let why =
                        format!("above {} for this model: its format takes {before} before the first word", before + 1);
                    return Err(TrainError::Plan { field: "replay.tokens", why });
                }
                Some(Chats { turns, side })
            }
        };
        Ok(Writer { engine, text, firsts, chats, texts, tokens, seq_len_max, seed })
    }

    /// Writes as many rows as are wanted, one a line.
    ///
    /// # Errors
    /// `TooFewWritten`; `Interrupted`; what the engine refuses; `Folder` where `out` does.
    pub fn write(
        &mut self,
        out: &mut dyn Write,
        step: u64,
        stop: &AtomicBool,
        on: &mut dyn FnMut(Event),
    ) -> Result<Drawn, TrainError> {
        let most = self.texts.saturating_mul(DRAWS_PER_TEXT).saturating_add(DRAWS_MORE);
        let (mut drawn, mut seen) = (Drawn::default(), HashSet::new());
        for round in 0.. {
            let n = (self.texts - drawn.kept).min(ROUND).min(most - drawn.drawn);
            if drawn.kept == self.texts {
                break;
            }
            if n == 0 {
                let Drawn { kept, drawn, thrown_away } = drawn;
                return Err(TrainError::TooFewWritten { wanted: self.texts, kept, drawn, thrown_away });
            }
            let mut watch = Watch { stop, before: drawn.kept, of: self.texts, on };
            let candidates = self.round(round, drawn.drawn, n as usize, &mut watch)?;
            if stop.load(Ordering::Relaxed) {
                return Err(TrainError::Interrupted { step });
            }
            drawn.drawn += n;
            for candidate in candidates {
                match candidate.and_then(|content| fresh(content, &mut seen)) {
                    Ok(line) => {
                        writeln!(out, "{line}")
                            .map_err(|e| RunFsError::io("write", Path::new("replay-self.jsonl"), e))?;
                        drawn.kept += 1;
                    }
                    Err(why) => *drawn.thrown_away.entry(why.to_owned()).or_default() += 1,
                }
            }
            on(Event::Writing { texts: drawn.kept, of: self.texts });
        }
        Ok(drawn)
    }

    fn round(&mut self, round: u64, before: u64, n: usize, watch: &mut Watch) -> Result<Vec<Candidate>, TrainError> {
        let candidates = match self.chats.take() {
            None => self.texts(round, before, n, watch)?,
            Some(chats) => {
                let candidates = self.conversations(&chats, round, n, watch);
                self.chats = Some(chats);
                candidates?
            }
        };
        candidates
            .into_iter()
            .map(|candidate| candidate.map_or_else(|why| Ok(Err(why)), |c| self.readable(c)))
            .collect()
    }

    fn texts(&mut self, round: u64, before: u64, n: usize, watch: &mut Watch) -> Result<Vec<Candidate>, TrainError> {
        let first = |i: usize| self.firsts[(before as usize + i) % self.firsts.len()];
        let prompts: Vec<Vec<u32>> = (0..n).map(|i| vec![first(i)]).collect();
        let control = |id: u32| self.text.tokenizer().is_control(id);
        // A text ends where the next one would begin.
        let begins = prompts.iter().flatten().copied().filter(|id| control(*id));
        let stops = self.text.tokenizer().stop_ids().iter().copied().chain(begins).collect();
        let tokens = self.tokens - 1;
        let answers = self.generate(&prompts, tokens, stops, (round, "text"), watch)?;
        let mut candidates = Vec::with_capacity(n);
        for (prompt, answer) in prompts.iter().zip(&answers) {
            let whole = answer.len() < tokens;
            // A beginning that is no control token is the first of the text's own.
            let ids = if self.text.tokenizer().is_control(prompt[0]) {
                answer.clone()
            } else {
                [&prompt[..], answer].concat()
            };
            candidates.push(self.said(&ids)?.map(|text| match whole {
                true => Content::Text(text),
                // A character may be cut, too.
                false => Content::Unfinished(text.trim_end_matches('\u{FFFD}').to_owned()),
            }));
        }
        Ok(candidates)
    }

    fn conversations(
        &mut self,
        chats: &Chats,
        round: u64,
        n: usize,
        watch: &mut Watch,
    ) -> Result<Vec<Candidate>, TrainError> {
        let Chats { turns, side } = chats;
        let before = vec![turns.before_user.clone(); n];
        // Nothing is ready before it is answered.
        let mut unready = Watch { stop: watch.stop, before: watch.before, of: watch.of, on: &mut |_| {} };
        let asked = self.generate(&before, *side, turns.after_user.clone(), (round, "user"), &mut unready)?;
        let (mut questions, mut prompts) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for ids in &asked {
            questions.push(self.question(ids, chats)?.map(|(question, prompt)| {
                prompts.push(prompt);
                question
            }));
        }
        let answers = self.generate(&prompts, *side, turns.after_assistant.clone(), (round, "assistant"), watch)?;
        let mut answers = answers.iter();
        let mut candidates = Vec::with_capacity(n);
        for question in questions {
            candidates.push(match question {
                Err(why) => Err(why),
                Ok(question) => {
                    let ids = answers.next().map_or(&[][..], Vec::as_slice);
                    let said = if ids.len() < *side { self.said(ids)? } else { Err(ENDLESS) };
                    said.map(|answer| {
                        let messages = vec![Message::new("user", question), Message::new("assistant", answer.trim())];
                        Content::Chat(Conversation { messages, tools: None })
                    })
                }
            });
        }
        Ok(candidates)
    }

    /// What the user asks, and the tokens up to where it is answered.
    fn question(&self, ids: &[u32], chats: &Chats) -> Result<Result<(String, Vec<u32>), &'static str>, TrainError> {
        let said = match self.said(ids)? {
            Ok(said) => said,
            Err(why) => return Ok(Err(why)),
        };
        let at = chats.turns.after_user_text.as_ref().and_then(|end| said.find(end.as_str()));
        let question = match at {
            Some(at) => said[..at].trim(),
            None if ids.len() == chats.side => return Ok(Err(ENDLESS)),
            None => said.trim(),
        };
        if question.is_empty() {
            return Ok(Err(EMPTY));
        }
        let asked = Conversation { messages: vec![Message::new("user", question)], tools: None };
        Ok(match self.text.prompt_ids(&asked) {
            Ok(prompt) if prompt.len() + chats.side > self.tokens => Err(TOO_LONG),
            Ok(prompt) => Ok((question.to_owned(), prompt)),
            Err(e) if e.is_row() => Err(NOT_READ),
            Err(e) => return Err(DataError::from(e).into()),
        })
    }

    fn generate(
        &mut self,
        prompts: &[Vec<u32>],
        tokens_max: usize,
        mut stops: Vec<u32>,
        part: (u64, &str),
        watch: &mut Watch,
    ) -> Result<Vec<Vec<u32>>, TrainError> {
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let vocab = self.engine.config().vocab;
        stops.retain(|id| (*id as usize) < vocab);
        let greedy = Decoding::greedy(tokens_max, stops);
        let how = Decoding { temperature: 1.0, top_p: NUCLEUS, seed: seed_of(self.seed, part), ..greedy };
        Ok(self.engine.generate(prompts, &how, &mut |progress| {
            (watch.on)(Event::Writing { texts: watch.before + progress.done as u64, of: watch.of });
            !watch.stop.load(Ordering::Relaxed)
        })?)
    }

    fn said(&self, ids: &[u32]) -> Result<Result<String, &'static str>, TrainError> {
        let tokenizer = self.text.tokenizer();
        if ids.iter().any(|id| tokenizer.is_control(*id) || *id as usize >= tokenizer.vocab_size()) {
            return Ok(Err(CONTROL));
        }
        let text = tokenizer.decode(ids, Control::Skip).map_err(DataError::from)?;
        Ok(if text.trim().trim_end_matches('\u{FFFD}').is_empty() { Err(EMPTY) } else { Ok(text) })
    }

    /// Whether it is read back as a row that fits.
    fn readable(&self, content: Content) -> Result<Candidate, TrainError> {
        match self.text.encode(&content) {
            Ok(encoded) if encoded.ids.len() > self.seq_len_max => Ok(Err(TOO_LONG)),
            Ok(_) => Ok(Ok(content)),
            Err(e) if e.is_row() => Ok(Err(NOT_READ)),
            Err(e) => Err(DataError::from(e).into()),
        }
    }
}

/// The row, where it is not there yet.
fn fresh(content: Content, seen: &mut HashSet<u64>) -> Result<String, &'static str> {
    let line = Value::Object(content.into_row()).to_string();
    if seen.insert(first_64_bits(&line)) { Ok(line) } else { Err(REPEATED) }
}

fn seed_of(seed: u64, (round, part): (u64, &str)) -> u64 {
    first_64_bits(&json!([seed, round, part]).to_string())
}

fn first_64_bits(text: &str) -> u64 {
    let hash = runfs::sha256_hex(text.as_bytes());
    u64::from_str_radix(&hash[..16], 16).unwrap_or_else(|_| unreachable!("a hash is hexadecimal"))
}
