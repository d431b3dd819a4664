//! The model and the data inside the program: a small bilingual instruct model, and what `athanor quickstart` teaches it.
//!
//! All of it is made by `cargo xtask base-model OUT` from seeds (`crates/xtask/src/base_model/`); [EMBEDDED.md](../EMBEDDED.md) says
//! what each file is. Nothing is read from disk: `athanor quickstart` puts the files where other parts of the program read them as a user's.

/// A file as it lies in the program.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Its name, without folders.
    pub name: &'static str,
    pub bytes: &'static [u8],
}

macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        &[$(File { name: $name, bytes: include_bytes!(concat!("../assets/", $folder, "/", $name)) }),+]
    };
}

/// A Hugging Face model folder: weights in bf16, tokenizer, chat template.
pub const MODEL: &[File] = files!("model":
    "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
);

/// The company's task, general rows, final tests, and suites whose paths are relative to this folder.
pub const DATA: &[File] = files!("data":
    "company_train.jsonl", "company_valid.jsonl", "company_test.jsonl", "company.schema.json", "company.yaml",
    "general_train.jsonl", "general_valid.jsonl",
    "arithmetic_test.jsonl", "arithmetic.yaml", "lists_test.jsonl", "lists.yaml",
    "world_test.jsonl", "world.yaml", "formats_test.jsonl", "formats.yaml",
);

/// Three plans of one training, which differ in what is done against forgetting. Paths in them are relative to the folder that
/// `model/` and `data/` lie in.
pub const PLANS: &[File] = files!("plans": "lora.yaml", "replay.yaml", "ewc.yaml");

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const MODEL_BYTES_MAX: usize = 8_000_000;
    const DATA_BYTES_MAX: usize = 1_000_000;

    fn text(files: &[File], name: &str) -> &'static str {
        let file = files.iter().find(|file| file.name == name).unwrap_or_else(|| panic!("{name} is not there"));
        std::str::from_utf8(file.bytes).unwrap()
    }

    #[test]
    fn the_files_are_as_small_as_they_have_to_be() {
        let bytes = |files: &[File]| files.iter().map(|file| file.bytes.len()).sum::<usize>();
        assert!(bytes(MODEL) <= MODEL_BYTES_MAX, "{}", bytes(MODEL));
        assert!(bytes(DATA) <= DATA_BYTES_MAX, "{}", bytes(DATA));
    }

    #[test]
    fn weights_are_bf16_and_of_the_shape_that_the_config_gives() {
        let config: Value = serde_json::from_str(text(MODEL, "config.json")).unwrap();
        let weights = MODEL.iter().find(|file| file.name == "model.safetensors").unwrap();
        let tensors = safetensors::SafeTensors::deserialize(weights.bytes).unwrap();
        assert!(tensors.tensors().iter().all(|(_, tensor)| tensor.dtype() == safetensors::Dtype::BF16));
        let embedding = tensors.tensor("model.embed_tokens.weight").unwrap();
        let expected = ["vocab_size", "hidden_size"].map(|key| config[key].as_u64().unwrap() as usize);
        assert_eq!(embedding.shape(), expected);
        assert!(tensors.tensor("lm_head.weight").is_err(), "embeddings are tied");
    }

    #[test]
    fn every_row_has_a_prompt_and_a_completion_and_no_prompt_is_there_twice() {
        let mut prompts = std::collections::HashSet::new();
        for file in DATA.iter().filter(|file| file.name.ends_with(".jsonl")) {
            for line in text(DATA, file.name).lines() {
                let row: Value = serde_json::from_str(line).unwrap();
                assert!(!row["completion"].as_str().unwrap().is_empty(), "{}: {line}", file.name);
                assert!(prompts.insert(row["prompt"].as_str().unwrap().to_owned()), "{}: {line}", file.name);
            }
        }
        assert!(prompts.len() > 3000, "{}", prompts.len());
    }
}
