//! The nearest known word to a mistyped one.

use super::keys::KEYS;

/// Similarity (Jaro–Winkler) below which a word is no help.
const SIMILAR_MIN: f64 = 0.8;

/// The most similar of `known`, if any is similar enough.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(&lower, k), k))
        .filter(|(score, _)| *score >= SIMILAR_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// For a key written in the wrong place (`lr` at the top): the dotted key that ends in exactly this word.
pub fn elsewhere(word: &str) -> Option<&'static str> {
    KEYS.iter().map(|k| k.path).find(|path| path.rsplit('.').next() == Some(word))
}

/// Other programs' names of our keys, so that a plan written from memory is understood well enough to be corrected.
pub fn translated(word: &str) -> Option<&'static str> {
    Some(match word {
        "learning_rate" => "train.lr",
        "num_train_epochs" | "num_epochs" => "train.epochs",
        "max_steps" => "train.steps",
        "per_device_train_batch_size" | "batch_size" | "gradient_accumulation_steps" => "train.batch",
        "optim" | "optimiser" => "train.optimizer",
        "lr_scheduler_type" | "lr_scheduler" => "train.schedule",
        "warmup_ratio" | "warmup_steps" => "train.warmup",
        "max_grad_norm" => "train.clip",
        "cutoff_len" | "max_seq_length" | "max_length" | "sequence_len" => "train.seq_len_max",
        "save_steps" => "train.checkpoint_every",
        "save_total_limit" => "train.checkpoints_keep",
        "eval_steps" => "train.eval_every",
        "lora_rank" | "lora_r" | "rank" => "adapter.r",
        "lora_alpha" => "adapter.alpha",
        "lora_dropout" => "adapter.dropout",
        "lora_target" | "target_modules" | "lora_target_modules" => "adapter.targets",
        "use_rslora" => "adapter.rslora",
        "loraplus_lr_ratio" => "adapter.lr_ratio",
        "finetuning_type" | "peft_type" => "adapter.method",
        "model_name_or_path" | "base_model" => "model",
        "output_dir" => "out",
        "chat_template" => "data.template",
        "train_on_inputs" => "data.loss_on",
        "val_size" | "val_set_size" => "data.valid",
        "datasets" | "dataset" => "data.train",
        "sample_packing" => "data.packing",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_slips_find_their_key() {
        let known = ["schedule", "seq_len_max", "seed", "steps", "epochs"];
        for (word, want) in
            [("shedule", Some("schedule")), ("Steps", Some("steps")), ("seq_len", Some("seq_len_max")), ("qqq", None)]
        {
            assert_eq!(nearest(word, known), want, "{word}");
        }
    }

    #[test]
    fn other_programs_words_lead_to_keys_that_exist() {
        for word in ["learning_rate", "lora_rank", "cutoff_len", "output_dir", "val_size", "max_grad_norm"] {
            let key = translated(word).expect(word);
            assert!(KEYS.iter().any(|k| k.path == key), "{key}");
        }
    }
}
