//! Text to tokens and masks, against what transformers, TRL and Jinja2 computed.

mod chat;
mod golden;
mod masks;
mod questions;
mod refusals;
mod tokenize;
mod trl;

use data::{Content, LossOn, Message, Template, TextPipeline, TextPlan};
use serde_json::Value;
use std::path::{Path, PathBuf};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");

fn fixture(name: &str) -> Value {
    let path = Path::new(FIXTURES).join(name);
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

fn model_dir(name: &str) -> PathBuf {
    Path::new(FIXTURES).join("models").join(name)
}

fn plan(model_dir: &Path, template: Template, loss_on: LossOn) -> TextPlan {
    TextPlan { model_dir: model_dir.to_owned(), template, loss_on, record_bytes_max: 1 << 20 }
}

fn pipeline(model: &str, template: Template, loss_on: LossOn) -> TextPipeline {
    TextPipeline::open(&plan(&model_dir(model), template, loss_on)).unwrap_or_else(|e| panic!("{model}: {e}"))
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect()
}

fn messages(value: &Value) -> Vec<Message> {
    value.as_array().unwrap().iter().map(|m| Message::from_value(m.clone()).unwrap()).collect()
}

fn chat(turns: &[(&str, &str)]) -> Content {
    let messages = turns.iter().map(|(role, content)| Message::new(*role, *content)).collect();
    Content::Chat(data::Conversation { messages, tools: None })
}

/// A copy of a fixture model's text files in which one file is changed.
fn changed(model: &str, file: &str, change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let dir = copy(model);
    let path = dir.path().join(file);
    let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(&path, value.to_string()).unwrap();
    dir
}

fn copy(model: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in
        ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "config.json", "chat_template.jinja"]
    {
        if let Ok(bytes) = std::fs::read(model_dir(model).join(file)) {
            std::fs::write(dir.path().join(file), bytes).unwrap();
        }
    }
    dir
}
