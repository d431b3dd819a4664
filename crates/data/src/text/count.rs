//! How many tokens a text has, for those who only want the number: any `tokenizer.json` will do.

use super::TextError;
use super::folder::{TOKENIZER_BYTES_MAX, read};
use super::tokenizer::{failed, shielded};
use std::path::{Path, PathBuf};
use tokenizers::Tokenizer as HfTokenizer;

/// Words whose tokens each thread remembers; the library's own limit, 10,000, is full after a few thousand rows.
const CACHED_WORDS: usize = 1 << 16;

/// A tokenizer without templates and special tokens.
pub struct TokenCounter {
    tokenizer: HfTokenizer,
    vocabulary: usize,
    /// The folder's name.
    name: String,
}

impl TokenCounter {
    /// Opens a model's folder, or a `tokenizer.json` itself.
    ///
    /// # Errors
    /// `NoTokenizer`, `BadTokenizer`, `TooLarge`, `Io`.
    pub fn open(path: &Path) -> Result<Self, TextError> {
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        let bytes = read(&file, TOKENIZER_BYTES_MAX)?.ok_or_else(|| TextError::NoTokenizer { path: file.clone() })?;
        let bad = |why: String| TextError::BadTokenizer { path: file.clone(), why };
        serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).map_err(|e| bad(e.to_string()))?;
        let mut tokenizer = shielded(|| HfTokenizer::from_bytes(&bytes)).map_err(bad)?;
        tokenizer.with_truncation(None).map_err(|e| bad(e.to_string()))?;
        tokenizer.with_padding(None);
        let mut model = tokenizer.get_model().clone();
        model.resize_cache(CACHED_WORDS);
        tokenizer.with_model(model);
        let vocabulary = tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        let folder = std::path::absolute(&file).unwrap_or(file).parent().map(Path::to_owned);
        Ok(Self { tokenizer, vocabulary, name: name_of(folder) })
    }

    /// Tokens of the text alone, nothing put around it.
    ///
    /// # Errors
    /// `Tokenize`.
    pub fn count(&self, text: &str) -> Result<u64, TextError> {
        shielded(|| self.tokenizer.encode_fast(text, false)).map(|e| e.len() as u64).map_err(failed)
    }

    /// One past the largest id.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

fn name_of(folder: Option<PathBuf>) -> String {
    folder.and_then(|f| f.file_name().map(|name| name.to_string_lossy().into_owned())).unwrap_or_default()
}
