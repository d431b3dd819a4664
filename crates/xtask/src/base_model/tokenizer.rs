//! A tokenizer from the corpus: byte-level BPE in which every digit is a token of its own.

use std::path::Path;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, NormalizerWrapper, PostProcessorWrapper, Tokenizer, TokenizerImpl};

/// Control tokens; their ids are their places, as they are trained first.
pub const END: &str = "<|end|>";
pub const CONTROLS: [&str; 4] = [END, "<|system|>", "<|user|>", "<|assistant|>"];

/// Every turn opens with its role and closes with the end token, which also ends an answer.
pub const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

/// # Errors
/// What the trainer says.
pub fn train(texts: impl Iterator<Item = String> + Send, vocabulary: usize) -> Result<Tokenizer, String> {
    let controls = CONTROLS.map(|token| AddedToken::from(token, true));
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(vocabulary)
        .show_progress(false)
        .special_tokens(controls.to_vec())
        .initial_alphabet(tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect())
        .build();
    let bytes = tokenizers::pre_tokenizers::byte_level::ByteLevel::default().add_prefix_space(false);
    let parts = vec![PreTokenizerWrapper::Digits(Digits::new(true)), PreTokenizerWrapper::ByteLevel(bytes)];
    let mut tokenizer =
        TokenizerImpl::<BPE, NormalizerWrapper, Sequence, PostProcessorWrapper, ByteLevel>::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(Sequence::new(parts))).with_decoder(Some(ByteLevel::default()));
    tokenizer.train(&mut trainer, texts).map_err(|why| format!("tokenizer: {why}"))?;
    let text = tokenizer.to_string(true).map_err(|why| format!("tokenizer: {why}"))?;
    text.parse().map_err(|why| format!("tokenizer: {why}"))
}

/// # Errors
/// What the disk says.
pub fn save(tokenizer: &Tokenizer, folder: &Path) -> Result<(), String> {
    let path = folder.join("tokenizer.json");
    tokenizer.save(&path, false).map_err(|why| format!("{}: {why}", path.display()))
}
