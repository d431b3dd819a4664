//! A model of a folder, run by ONNX Runtime. Nothing is downloaded.

use super::tags::{Labels, LabelsError, Piece, spots};
use super::windows::{Window, windows};
use measures::Spot;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use tokenizers::{Encoding, Tokenizer};

/// A model that is ready.
pub struct Ner {
    session: Session,
    tokenizer: Tokenizer,
    labels: Labels,
    /// Tokens that the model takes at a time, without those put around a text.
    size: usize,
    inputs: Vec<Input>,
}

/// Why there are no names.
#[derive(Debug, thiserror::Error)]
pub enum NerError {
    #[error("{}: no such file; expected a folder with model.onnx, tokenizer.json and config.json", path.display())]
    NoSuchFile { path: PathBuf },
    #[error("{}: cannot read: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "ONNX Runtime: {why}; expected its library (libonnxruntime.so of 1.17 or later) at the path in ORT_DYLIB_PATH, \
         or where the system looks for libraries"
    )]
    Library { why: String },
    #[error("{}: {source}", path.display())]
    Labels { path: PathBuf, source: LabelsError },
    #[error("{}: not a tokenizer: {why}", path.display())]
    Tokenizer { path: PathBuf, why: String },
    #[error("{}: ONNX Runtime does not take this model: {why}", path.display())]
    Model { path: PathBuf, why: String },
    #[error("the model has an input {got:?}; expected input_ids, attention_mask and token_type_ids at most")]
    Input { got: String },
    #[error("the model gives {got:?} numbers; expected {expected:?} (texts, tokens, labels)")]
    Shape { expected: [usize; 3], got: Vec<i64> },
    #[error("the model failed: {why}")]
    Run { why: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Ids,
    Mask,
    Types,
}

const LIBRARY: &str = "ORT_DYLIB_PATH";
/// Tokens at a time, of which those of models that take more would cost more than they give.
const SIZE_MAX: usize = 510;
/// Windows that the model sees at a time.
const BATCH: usize = 8;

impl Ner {
    /// Opens `model.onnx` with its `tokenizer.json` and `config.json`.
    ///
    /// # Errors
    /// A missing or broken file, or no ONNX Runtime library.
    pub fn open(folder: &Path) -> Result<Self, NerError> {
        let [model, tokenizer, config] = ["model.onnx", "tokenizer.json", "config.json"].map(|name| folder.join(name));
        if let Some(path) = [&model, &tokenizer, &config].into_iter().find(|path| !path.is_file()) {
            return Err(NerError::NoSuchFile { path: path.clone() });
        }
        let json = std::fs::read_to_string(&config).map_err(|source| NerError::Io { path: config.clone(), source })?;
        let labels = Labels::from_config(&json).map_err(|source| NerError::Labels { path: config, source })?;
        let tokenizer = read_tokenizer(&tokenizer)?;
        let session = open_session(&model)?;
        let inputs = session.inputs().iter().map(|input| Input::named(input.name())).collect::<Result<_, _>>()?;
        Ok(Self { session, tokenizer, labels, size: size(&json), inputs })
    }

    /// The names in each text, in order.
    ///
    /// # Errors
    /// The model does not fit its configuration, or fails.
    pub fn find(&mut self, texts: &[&str]) -> Result<Vec<Vec<Spot>>, NerError> {
        texts.iter().map(|text| self.find_in(text)).collect()
    }

    fn find_in(&mut self, text: &str) -> Result<Vec<Spot>, NerError> {
        let bare = self.encoded(text, false)?;
        let words = bare.get_word_ids().iter();
        let pieces: Vec<Piece> =
            bare.get_offsets().iter().zip(words).map(|(&(start, end), &word)| Piece { at: start..end, word }).collect();
        if pieces.is_empty() {
            return Ok(Vec::new());
        }
        let windows = windows(pieces.len(), self.size, self.size / 4);
        let mut logits = Vec::with_capacity(pieces.len() * self.labels.count());
        for batch in windows.chunks(BATCH) {
            self.run(bare.get_ids(), batch, &mut logits)?;
        }
        Ok(spots(text, &self.labels, &pieces, &logits))
    }

    /// Adds the numbers of the tokens that the windows keep.
    fn run(&mut self, ids: &[u32], windows: &[Window], logits: &mut Vec<f32>) -> Result<(), NerError> {
        let (before, after) = self.around()?;
        let longest = windows.iter().map(|window| window.at.len()).max().unwrap_or(0);
        let length = before.len() + longest + after.len();
        let shape = [windows.len(), length];
        let mut tensors = [vec![0i64; shape[0] * length], vec![0i64; shape[0] * length], vec![0i64; shape[0] * length]];
        for (row, window) in windows.iter().enumerate() {
            let tokens = before.iter().chain(&ids[window.at.clone()]).chain(&after);
            for (at, &token) in tokens.enumerate() {
                tensors[Input::Ids as usize][row * length + at] = i64::from(token);
                tensors[Input::Mask as usize][row * length + at] = 1;
            }
        }
        let failed = |e: ort::Error| NerError::Run { why: e.to_string() };
        let mut named: Vec<(Cow<str>, SessionInputValue)> = Vec::new();
        for input in &self.inputs {
            let values = std::mem::take(&mut tensors[*input as usize]);
            let tensor = Tensor::from_array((shape, values)).map_err(failed)?;
            named.push((Cow::Borrowed(input.name()), tensor.into()));
        }
        let outputs = self.session.run(named).map_err(failed)?;
        let (got, values) = outputs[0].try_extract_tensor::<f32>().map_err(failed)?;
        let labels = self.labels.count();
        let expected = [windows.len(), length, labels];
        if !got.iter().map(|&size| usize::try_from(size).ok()).eq(expected.map(Some)) {
            return Err(NerError::Shape { expected, got: got.to_vec() });
        }
        for (row, window) in windows.iter().enumerate() {
            let first = row * length + before.len() + (window.keep.start - window.at.start);
            logits.extend_from_slice(&values[first * labels..(first + window.keep.len()) * labels]);
        }
        Ok(())
    }

    /// The tokens that the tokenizer puts before and after a text.
    fn around(&self) -> Result<(Vec<u32>, Vec<u32>), NerError> {
        let encoding = self.encoded("a", true)?;
        let special = encoding.get_special_tokens_mask();
        let first = special.iter().position(|&mask| mask == 0).unwrap_or(0);
        let last = special.iter().rposition(|&mask| mask == 0).map_or(first, |at| at + 1);
        let ids = encoding.get_ids();
        Ok((ids[..first].to_vec(), ids[last..].to_vec()))
    }

    fn encoded(&self, text: &str, with_special: bool) -> Result<Encoding, NerError> {
        self.tokenizer.encode(text, with_special).map_err(|e| NerError::Run { why: e.to_string() })
    }
}

impl Input {
    fn named(name: &str) -> Result<Self, NerError> {
        let known = [Self::Ids, Self::Mask, Self::Types].into_iter().find(|input| input.name() == name);
        known.ok_or_else(|| NerError::Input { got: name.to_owned() })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ids => "input_ids",
            Self::Mask => "attention_mask",
            Self::Types => "token_type_ids",
        }
    }
}

fn read_tokenizer(path: &Path) -> Result<Tokenizer, NerError> {
    let failed = |e: tokenizers::Error| NerError::Tokenizer { path: path.to_owned(), why: e.to_string() };
    let mut tokenizer = Tokenizer::from_file(path).map_err(failed)?;
    // Windows are cut here, and padding is ours too.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(failed)?;
    Ok(tokenizer)
}

fn open_session(path: &Path) -> Result<Session, NerError> {
    let library = match std::env::var_os(LIBRARY) {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX).into(),
    };
    let environment = ort::init_from(&library).map_err(|e| NerError::Library { why: e.to_string() })?;
    let environment = environment.build().map_err(|e| NerError::Library { why: e.to_string() })?;
    let failed = |e: ort::Error| NerError::Model { path: path.to_owned(), why: e.to_string() };
    Session::builder(&environment).map_err(failed)?.commit_from_file(path).map_err(failed)
}

/// As many tokens as the model has positions for, less those around a text and the two that some leave unused.
fn size(config: &str) -> usize {
    #[derive(serde::Deserialize)]
    struct Config {
        max_position_embeddings: Option<usize>,
    }
    const SPARE: usize = 4;
    let config = serde_json::from_str::<Config>(config).ok();
    let positions = config.and_then(|config| config.max_position_embeddings).unwrap_or(SIZE_MAX + SPARE);
    positions.saturating_sub(SPARE).clamp(1, SIZE_MAX)
}
