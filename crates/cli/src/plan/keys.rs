//! Every key of a plan with its default and meaning: what `athanor plan --keys` and the README show. Tests hold this
//! table equal to what typing accepts and to the defaults that resolving applies.

/// One key.
pub struct Key {
    /// Dotted, `[]` where a list of such things is meant.
    pub path: &'static str,
    /// As it would be written; empty: must be given, or nothing is set without it.
    pub default: &'static str,
    pub what: &'static str,
}

const fn key(path: &'static str, default: &'static str, what: &'static str) -> Key {
    Key { path, default, what }
}

#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("model", "", "folder of a Hugging Face model; required"),
    key("quantize", "none", "none, or nf4: the layers' frozen matrices in 4 bits (QLoRA), a quarter of bf16's memory; packed in 16 bits for speed where `train.memory` allows"),
    key("double_quant", "true", "with quantize: nf4, its blocks' magnitudes are quantised too"),
    key("quantize_cache", "", "with quantize: nf4, folder in which quantised bases are kept for later runs, relative to the current folder, or off; `athanor` in the user's cache folder without it"),
    key("out", "", "run folder, relative to the current folder; required"),
    key("data.train", "", "one or more sources; required"),
    key("data.train[].path", "", "a file: jsonl, json, csv, tsv, parquet, txt; each also .gz, .zst"),
    key("data.train[].format", "", "alpaca, sharegpt, messages, prompt_completion, text; found by looking"),
    key("data.train[].columns", "", "role: column of the file, such as {prompt: text, completion: label}"),
    key("data.train[].dataset_info", "", "a LLaMA-Factory dataset_info.json, instead of path"),
    key("data.train[].name", "", "the entry's name in it"),
    key("data.valid", "", "sources as in data.train, or {share: 0.05} of the training rows"),
    key("data.valid.share", "", "part of the training rows to hold back, chosen by seed"),
    key("data.template", "auto", "auto, a text such as \"{prompt} => {completion}\", or {file: chat.jinja}"),
    key("data.loss_on", "response", "response: the answers alone; all: every token"),
    key("data.over_length", "refuse", "examples over seq_len_max: refuse, drop, truncate, split"),
    key("data.packing", "examples", "what batch counts: examples, or rows by bfd, bfd_split, wrapped"),
    key("data.quarantine", "false", "set bad rows aside and count them instead of stopping"),
    key("data.record_max", "16MiB", "longest record that is read"),
    key(
        "adapter.method",
        "lora",
        "lora; dora: the magnitudes of matrices' rows are trained too; adalora: ranks go to the modules that need them; full: the model itself",
    ),
    key("adapter.r", "8", "rank"),
    key("adapter.alpha", "", "scale is alpha / r; 2 r without it; auto: 2 r of each module's own rank, 2 √r with rslora, which is a scale of 2"),
    key("adapter.dropout", "0.0", "on the adapter's input"),
    key("adapter.targets", "all-linear", "all-linear, [names or suffixes], or {regex: \"…\"} on the whole path"),
    key("adapter.exclude", "[]", "names or suffixes left out"),
    key("adapter.layers", "", "only these layers, from 0"),
    key("adapter.rank_pattern", "{}", "regex: rank of its own; the first that matches"),
    key("adapter.alpha_pattern", "{}", "regex: alpha of its own"),
    key("adapter.rslora", "false", "scale is alpha / √r"),
    key("adapter.bias", "none", "biases trained too: none, all, lora_only"),
    key("adapter.modules_to_save", "[]", "whole modules trained and saved beside the adapter"),
    key("adapter.ensure_weight_tying", "true", "a tied embedding that is trained whole stays one matrix"),
    key("adapter.init", "kaiming", "of A: kaiming, gaussian, with B zero; pissa: both from the matrix's largest directions, or from adapter.start_from"),
    key("adapter.lr_ratio", "1", "B, and vectors, learn so many times as fast as A (LoRA+)"),
    key("adapter.start_from", "", "an adapter folder to go on from; its own settings are then the defaults"),
    key("adapter.other_base", "false", "with adapter.start_from: also an adapter that was trained on another base"),
    key("adapter.ranks.target", "", "adalora: mean rank of a module at the end, from adapter.r; two thirds of that without it"),
    key("adapter.ranks.warmup", "0.1", "first steps, in which every rank stays; below 1: share of the steps"),
    key("adapter.ranks.last", "0.3", "last steps, in which the choice of ranks is final; below 1: share of the steps"),
    key("adapter.ranks.every", "", "steps from one choice to the next; some fifty choices without it"),
    key("adapter.ranks.betas", "[0.85, 0.85]", "smoothing of a rank's importance and of its uncertainty"),
    key("adapter.ranks.orthogonality", "0.5", "weight of ‖AAᵀ − I‖ and ‖BᵀB − I‖, once a step"),
    key("adapter.base_name", "", "base_model_name_or_path in adapter_config.json; the model's folder without it"),
    key("train.steps", "", "optimiser steps; or epochs"),
    key("train.epochs", "1", "passes over the data; or steps"),
    key("train.batch", "16", "examples (or packed rows) in a step"),
    key("train.micro_tokens", "", "most tokens in one forward pass; from the memory plan without it"),
    key("train.seq_len_max", "1024", "longest example in tokens; at most the model's own limit"),
    key("train.optimizer", "adamw", "adamw, or adamw_8bit: its moments in 8 bits, a quarter of their memory (bitsandbytes' blocks and values)"),
    key("train.lr", "2e-4", "highest learning rate"),
    key("train.schedule", "cosine", "constant, linear, cosine"),
    key("train.warmup", "0.05", "below 1: share of the steps; else a number of steps"),
    key("train.weight_decay", "0.0", "not on biases and norms"),
    key("train.betas", "[0.9, 0.999]", "of AdamW"),
    key("train.eps", "1e-8", "of AdamW"),
    key("train.clip", "1.0", "largest gradient norm, or none"),
    key("train.eval_every", "", "steps between validations; at each checkpoint without it"),
    key("train.early_stop.patience", "", "validations without a better loss before the run ends"),
    key("train.early_stop.min_delta", "0.0", "what counts as better"),
    key("train.checkpoint_every", "100", "steps"),
    key("train.checkpoints_keep", "2", "newest checkpoints kept, besides the best"),
    key("train.seed", "0", "of order, dropout and the adapter's start"),
    key("train.precision", "auto", "f32, bf16 (weights and products: faster, less memory), or auto: bf16 where the processor is faster with it"),
    key("train.memory", "", "most memory, such as 8GiB; what is free without it"),
    key("train.threads", "", "threads; every core without it. Results do not depend on it"),
];
