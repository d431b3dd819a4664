//! A model's tokenizer: `tokenizer.json` and what the files beside it say about its special tokens.

use super::folder::{Folder, SpecialTokens};
use super::{TextError, marks};
use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::OnceLock;
use tokenizers::{AddedToken, Tokenizer as HfTokenizer};

/// A token with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: u32,
    pub text: String,
}

/// A tokenised text. `marked[i]`: token i lies between a START and an END mark.
pub(super) struct Tokens {
    pub ids: Vec<u32>,
    pub marked: Vec<bool>,
    pub control_text: usize,
}

pub struct Tokenizer {
    main: HfTokenizer,
    /// Built when the first look-alike is met.
    literal: OnceLock<Result<Literal, String>>,
    control: ControlTokens,
    special: SpecialTokens,
    bos: Option<Token>,
    eos: Token,
    /// What the tokenizer puts before and after a text of its own accord.
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    /// Every token that ends generation: eos and those named by generation_config.json and config.json.
    stop_ids: BTreeSet<u32>,
    vocab_size: usize,
}

impl Tokenizer {
    /// # Errors
    /// `NoTokenizer`, `BadTokenizer`, `BadConfig`, `TooLarge`, `Io`, `NoEos`, `UnknownSpecialToken`.
    pub(super) fn open(folder: &Folder) -> Result<Self, TextError> {
        let path = folder.path("tokenizer.json");
        let bad = |why: String| TextError::BadTokenizer { path: path.clone(), why };
        serde_json::from_slice::<serde::de::IgnoredAny>(&folder.tokenizer).map_err(|e| bad(e.to_string()))?;
        let mut main = shielded(|| HfTokenizer::from_bytes(&folder.tokenizer)).map_err(bad)?;
        main.with_truncation(None).map_err(|e| bad(e.to_string()))?;
        main.with_padding(None);

        let mut special = folder.special_tokens()?;
        add_declared(&mut main, folder)?;
        let stop_ids = folder.stop_ids()?;
        for (role, id) in
            [("eos_token", stop_ids.first().copied()), ("bos_token", folder.id_in_configs("bos_token_id")?)]
        {
            if let Some(text) = id.and_then(|id| main.id_to_token(id)) {
                special.named.entry(role.to_owned()).or_insert(text);
            }
        }
        add_special(&mut main, &special).map_err(bad)?;

        let token = |role: &str| -> Result<Option<Token>, TextError> {
            let Some(text) = special.named.get(role) else { return Ok(None) };
            match main.token_to_id(text) {
                Some(id) => Ok(Some(Token { id, text: text.clone() })),
                None => Err(TextError::UnknownSpecialToken {
                    path: folder.path("tokenizer_config.json"),
                    role: role.into(),
                    token: text.clone(),
                }),
            }
        };
        let bos = token("bos_token")?;
        let eos = token("eos_token")?.ok_or_else(|| TextError::NoEos { path: folder.path("tokenizer_config.json") })?;
        let (prefix, suffix) = surroundings(&main).map_err(|why| bad(why.to_owned()))?;
        let prefix = obey(folder, "add_bos_token", prefix, bos.as_ref())?;
        let suffix = obey(folder, "add_eos_token", suffix, Some(&eos))?;
        let control = ControlTokens::of(&main).map_err(bad)?;
        let vocab_size = main.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        let stop_ids = stop_ids.into_iter().chain([eos.id]).collect();
        Ok(Self { main, literal: OnceLock::new(), control, special, bos, eos, prefix, suffix, stop_ids, vocab_size })
    }

    pub fn bos(&self) -> Option<&Token> {
        self.bos.as_ref()
    }

    pub fn eos(&self) -> &Token {
        &self.eos
    }

    /// The ids that end an answer, eos among them.
    pub fn stop_ids(&self) -> &BTreeSet<u32> {
        &self.stop_ids
    }

    /// One past the largest id.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    pub fn is_control(&self, id: u32) -> bool {
        self.control.ids.contains(&id)
    }

    pub(super) fn special(&self) -> &SpecialTokens {
        &self.special
    }

    pub(super) fn prefix(&self) -> &[u32] {
        &self.prefix
    }

    pub(super) fn suffix(&self) -> &[u32] {
        &self.suffix
    }

    /// The tokens of a text as it is, control tokens included, with what the tokenizer puts around it.
    ///
    /// # Errors
    /// `Tokenize`.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        Ok([self.prefix.as_slice(), &self.encode_bare(text)?, &self.suffix].concat())
    }

    /// As [`encode`](Self::encode), without anything around it.
    ///
    /// # Errors
    /// `Tokenize`.
    pub fn encode_bare(&self, text: &str) -> Result<Vec<u32>, TextError> {
        shielded(|| self.main.encode_fast(text, false)).map(|e| e.get_ids().to_vec()).map_err(failed)
    }

    /// The text of some tokens.
    ///
    /// # Errors
    /// `Tokenize`, for an id that does not exist or a decoder that fails.
    pub fn decode(&self, ids: &[u32], control: Control) -> Result<String, TextError> {
        shielded(|| self.main.decode(ids, control == Control::Skip)).map_err(failed)
    }

    /// The text that each token adds; together they are the decoded text. A character of several tokens stands with the last.
    pub fn pieces(&self, ids: &[u32]) -> Vec<String> {
        let mut pieces = Vec::with_capacity(ids.len());
        // Decoders look at their neighbours (the first space, bytes of one character), so each token is decoded with those
        // since the last whole character before it.
        let (mut from, mut read) = (0, 0);
        for end in 1..=ids.len() {
            let text = |range: Range<usize>| self.decode(&ids[range], Control::Show).unwrap_or_default();
            let (before, now) = (text(from..read), text(from..end));
            if now.ends_with('\u{FFFD}') && end - read < BYTES_OF_A_CHARACTER && end < ids.len() {
                pieces.push(String::new());
                continue;
            }
            pieces.push(match now.strip_prefix(before.as_str()) {
                Some(new) => new.to_owned(),
                None => self.token(ids[end - 1]).unwrap_or_default(),
            });
            (from, read) = (read, end);
        }
        pieces
    }

    /// The entry of the vocabulary, None for an id beyond it.
    pub fn token(&self, id: u32) -> Option<String> {
        let added = self.main.get_added_vocabulary().get_added_tokens_decoder().get(&id).map(|t| t.content.clone());
        added.or_else(|| self.main.id_to_token(id))
    }

    /// Puts a BREAK mark into everything that would be taken for a control token.
    pub(super) fn guard(&self, text: &str) -> Option<String> {
        let mut at: Vec<usize> = self.control.overlapping.find_overlapping_iter(text).map(|m| m.start()).collect();
        if at.is_empty() {
            return None;
        }
        at.sort_unstable();
        at.dedup();
        let mut out = String::with_capacity(text.len() + at.len() * marks::BREAK.len_utf8());
        let mut from = 0;
        for start in at {
            let end = start + text[start..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&text[from..end]);
            out.push(marks::BREAK);
            from = end;
        }
        out.push_str(&text[from..]);
        Some(out)
    }

    /// The end of the first control token at or after `from`.
    pub(super) fn control_end(&self, text: &str, from: usize) -> Option<usize> {
        self.control.leftmost.find(text.get(from..)?).map(|m| from + m.end())
    }

    /// Tokenises rendered text. Marks leave no trace in the tokens, and text broken by a BREAK becomes ordinary tokens.
    ///
    /// # Errors
    /// `Tokenize`; `ControlText` when the model itself would make a control token of broken text.
    pub(super) fn encode_marked(&self, rendered: &str) -> Result<Tokens, TextError> {
        let control_text = rendered.matches(marks::BREAK).count();
        if control_text == 0 {
            let (text, spans) = unmark(rendered);
            let encoding = shielded(|| self.main.encode(text.as_str(), false)).map_err(failed)?;
            let marked = within(encoding.get_offsets(), &spans, &text);
            return Ok(Tokens { ids: encoding.get_ids().to_vec(), marked, control_text });
        }
        let literal = self.literal.get_or_init(|| Literal::of(&self.main, &self.control));
        let literal = literal.as_ref().map_err(|why| TextError::Tokenize { why: why.clone() })?;
        let (text, spans) = unmark(&self.control.alias(rendered));
        let encoding = shielded(|| literal.tokenizer.encode(text.as_str(), false)).map_err(failed)?;
        let mut ids = Vec::with_capacity(encoding.len());
        for (&id, &(start, end)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            match literal.alias_ids.get(&id) {
                Some(&real) => ids.push(real),
                None if self.is_control(id) && Some(id) != self.unk_id() => {
                    return Err(TextError::ControlText { text: text.get(start..end).unwrap_or_default().to_owned() });
                }
                None => ids.push(id),
            }
        }
        Ok(Tokens { ids, marked: within(encoding.get_offsets(), &spans, &text), control_text })
    }

    fn unk_id(&self) -> Option<u32> {
        self.special.named.get("unk_token").and_then(|t| self.main.token_to_id(t))
    }
}

/// Whether decoding shows control tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    Show,
    Skip,
}

const BYTES_OF_A_CHARACTER: usize = 4;

pub(super) fn failed(why: String) -> TextError {
    TextError::Tokenize { why }
}

/// Calls into `tokenizers`, which trusts its files: a malformed one can make it index beyond its own tables or unwrap an error.
pub(super) fn shielded<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("tokenizer.json contradicts itself".into()),
    }
}

/// The control tokens of a tokenizer, and how to find their text.
struct ControlTokens {
    tokens: Vec<(u32, AddedToken)>,
    ids: BTreeSet<u32>,
    leftmost: AhoCorasick,
    overlapping: AhoCorasick,
}

impl ControlTokens {
    fn of(tokenizer: &HfTokenizer) -> Result<Self, String> {
        let mut tokens: Vec<(u32, AddedToken)> =
            tokenizer.get_added_tokens_decoder().into_iter().filter(|(_, t)| t.special).collect();
        tokens.sort_by_key(|(id, _)| *id);
        let leftmost = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|(_, t)| &t.content))
            .map_err(|e| e.to_string())?;
        // A token of one character has no inside for a BREAK, and no look-alike but itself.
        let breakable = tokens.iter().map(|(_, t)| t.content.as_str()).filter(|t| t.chars().nth(1).is_some());
        let overlapping = AhoCorasick::new(breakable).map_err(|e| e.to_string())?;
        Ok(Self { ids: tokens.iter().map(|(id, _)| *id).collect(), tokens, leftmost, overlapping })
    }

    /// Replaces the control tokens that are not broken by their aliases.
    fn alias(&self, rendered: &str) -> String {
        let mut out = String::with_capacity(rendered.len());
        self.leftmost.replace_all_with(rendered, &mut out, |found, _, out| {
            out.push_str(&alias(found.pattern().as_usize()));
            true
        });
        out
    }
}

fn alias(number: usize) -> String {
    format!("{0}{number}{0}", marks::ALIAS)
}

/// The same tokenizer, to which the text of a control token is ordinary text, and which knows the true ones by their aliases.
///
/// One tokenizer for the whole text, not one for each stretch between control tokens: what a tokenizer does at the beginning of a
/// text (a prefix space) and around a control token (stripping) stays as it is.
struct Literal {
    tokenizer: HfTokenizer,
    alias_ids: BTreeMap<u32, u32>,
}

impl Literal {
    fn of(main: &HfTokenizer, control: &ControlTokens) -> Result<Self, String> {
        let mut tokenizer = main.clone();
        tokenizer.set_encode_special_tokens(true);
        let aliases = control.tokens.iter().enumerate().map(|(i, (_, token))| {
            let mut token = token.clone();
            token.content = alias(i);
            token.special = false;
            token
        });
        tokenizer.add_tokens(aliases).map_err(|e| e.to_string())?;
        let mut alias_ids = BTreeMap::new();
        for (i, (id, _)) in control.tokens.iter().enumerate() {
            let alias = tokenizer.token_to_id(&alias(i)).ok_or("an alias of a control token got no id")?;
            alias_ids.insert(alias, *id);
        }
        Ok(Self { tokenizer, alias_ids })
    }
}

/// The text without marks, and the byte ranges between START and END in it.
fn unmark(rendered: &str) -> (String, Vec<Range<usize>>) {
    let mut text = String::with_capacity(rendered.len());
    let mut spans: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for c in rendered.chars() {
        match c {
            marks::START => start = text.len(),
            marks::END if start < text.len() => spans.push(start..text.len()),
            marks::ALIAS => text.push(c),
            c if marks::is_mark(c) => {}
            c => text.push(c),
        }
    }
    (text, spans)
}

/// Which tokens lie in a span: from the first that holds the span's first character to the first that holds its last, as
/// transformers counts. (A character that is several tokens at the very end of a span counts by its first.)
fn within(offsets: &[(usize, usize)], spans: &[Range<usize>], text: &str) -> Vec<bool> {
    let mut marked = vec![false; offsets.len()];
    let mut from = 0;
    for span in spans {
        let last = text[span.clone()].char_indices().next_back().map_or(span.start, |(at, _)| span.start + at);
        let Some(first) = (from..offsets.len()).find(|&i| offsets[i].1 > span.start) else { break };
        let Some(end) = (first..offsets.len()).find(|&i| offsets[i].1 > last || offsets[i].0 >= span.end) else {
            marked[first..].fill(true);
            break;
        };
        // The last character may have become no token at all.
        let end = if offsets[end].0 < span.end { end + 1 } else { end };
        marked[first..end].fill(true);
        from = first;
    }
    marked
}

/// Tokens that tokenizer_config.json adds to those of tokenizer.json.
fn add_declared(main: &mut HfTokenizer, folder: &Folder) -> Result<(), TextError> {
    let bad = |why| TextError::BadConfig { path: folder.path("tokenizer_config.json"), why };
    let mut declared = folder.added_tokens()?;
    declared.retain(|_, token| main.token_to_id(&token.content).is_none());
    main.add_tokens(declared.values().cloned()).map_err(|e| bad(e.to_string()))?;
    for (id, token) in &declared {
        let got = main.token_to_id(&token.content);
        if got != Some(*id) {
            let after = got.map_or("not added".into(), |got| format!("{got} after those of tokenizer.json"));
            return Err(bad(format!("added_tokens_decoder gives {:?} the id {id}, but it is {after}", token.content)));
        }
    }
    Ok(())
}

/// Makes control tokens of those that the configuration names, where the vocabulary has them. One that it does not have is left
/// out: the model has no row for it.
fn add_special(main: &mut HfTokenizer, special: &SpecialTokens) -> Result<(), String> {
    let known = main.get_added_vocabulary().get_added_tokens_decoder();
    let promoted = |text: &String| {
        let token = match known.get(&main.token_to_id(text)?) {
            Some(token) if token.special => return None,
            Some(token) => token.clone(),
            None => AddedToken::from(text.clone(), true).normalized(false),
        };
        Some(token.special(true))
    };
    let promoted: Vec<AddedToken> = special.named.values().chain(&special.additional).filter_map(promoted).collect();
    main.add_special_tokens(promoted).map_err(|e| e.to_string()).map(drop)
}

/// What the post-processor puts before and after a text.
fn surroundings(main: &HfTokenizer) -> Result<(Vec<u32>, Vec<u32>), &'static str> {
    const PROBE: &str = "a";
    let ids = |add| {
        shielded(|| main.encode_fast(PROBE, add)).map(|e| e.get_ids().to_vec()).map_err(|_| "it cannot encode \"a\"")
    };
    let (bare, full) = (ids(false)?, ids(true)?);
    let at = (0..=full.len().saturating_sub(bare.len())).find(|&at| full[at..].starts_with(&bare));
    let at = at.ok_or("its post-processor rewrites the text")?;
    Ok((full[..at].to_vec(), full[at + bare.len()..].to_vec()))
}

/// `add_bos_token` and `add_eos_token` overrule the post-processor.
fn obey(folder: &Folder, key: &str, mut found: Vec<u32>, token: Option<&Token>) -> Result<Vec<u32>, TextError> {
    match (folder.flag(key)?, token) {
        (Some(true), None) => {
            let why = format!("{key} is true, but no such token is named");
            return Err(TextError::BadConfig { path: folder.path("tokenizer_config.json"), why });
        }
        (Some(true), Some(token)) if !found.contains(&token.id) => found.push(token.id),
        (Some(false), Some(token)) => found.retain(|id| *id != token.id),
        _ => {}
    }
    Ok(found)
}
