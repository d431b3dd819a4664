//! Each reason to refuse, produced once.

use super::{changed, chat, copy, plan};
use data::{Content, LossOn, Message, Template, TextError, TextPipeline};
use serde_json::{Value, json};
use std::path::Path;

fn refused(dir: &Path, template: Template) -> TextError {
    let error = TextPipeline::open(&plan(dir, template, LossOn::Response)).err().expect("it opens");
    assert!(!error.is_row(), "{error}");
    assert!(!error.reason().is_empty());
    error
}

/// What opening says about a model in which one file is changed.
fn open_error(file: &str, change: impl FnOnce(&mut Value)) -> TextError {
    refused(changed("mistral", file, change).path(), Template::Auto)
}

fn with_jinja(template: &str) -> Result<TextPipeline, TextError> {
    let dir = copy("mistral");
    let path = dir.path().join("given.jinja");
    std::fs::write(&path, template).unwrap();
    TextPipeline::open(&plan(dir.path(), Template::File(path), LossOn::Response))
}

fn row_error(template: &str, content: Content) -> TextError {
    let error = with_jinja(template).unwrap().encode(&content).unwrap_err();
    assert!(error.is_row(), "{error}");
    assert!(!error.reason().is_empty());
    error
}

macro_rules! assert_is {
    ($error:expr, $pattern:pat, $says:expr) => {
        let error = $error;
        assert!(matches!(error, $pattern), "{error:?}");
        assert!(error.to_string().contains($says), "{error}");
    };
}

#[test]
fn model_folders() {
    let empty = tempfile::tempdir().unwrap();
    assert_is!(refused(empty.path(), Template::Auto), TextError::NoTokenizer { .. }, "tokenizer.json");
    let file = empty.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_is!(refused(&file, Template::Auto), TextError::Io { .. }, "cannot be read");

    let dir = copy("mistral");
    std::fs::write(dir.path().join("tokenizer.json"), "{\"model\": 3}").unwrap();
    assert_is!(refused(dir.path(), Template::Auto), TextError::BadTokenizer { .. }, "not a tokenizer");
    let dir = copy("mistral");
    std::fs::File::create(dir.path().join("tokenizer_config.json")).unwrap().set_len((16 << 20) + 1).unwrap();
    assert_is!(refused(dir.path(), Template::Auto), TextError::TooLarge { .. }, "over the limit");

    let config = "tokenizer_config.json";
    assert_is!(open_error(config, |c| *c = json!([])), TextError::BadConfig { .. }, "not a JSON object");
    assert_is!(open_error(config, |c| c["add_bos_token"] = 1.into()), TextError::BadConfig { .. }, "add_bos_token");
    assert_is!(open_error(config, |c| c["bos_token"] = 1.into()), TextError::BadConfig { .. }, "bos_token");
    assert_is!(open_error(config, |c| c["chat_template"] = 1.into()), TextError::BadConfig { .. }, "chat_template");
    assert_is!(
        open_error(config, |c| c["added_tokens_decoder"] = json!({"x": {}})),
        TextError::BadConfig { .. },
        "added_tokens_decoder"
    );
    let gap = json!({"600": {"content": "<new>", "special": true}});
    assert_is!(open_error(config, |c| c["added_tokens_decoder"] = gap), TextError::BadConfig { .. }, "600");
    assert_is!(
        open_error("generation_config.json", |c| c["eos_token_id"] = "2".into()),
        TextError::BadConfig { .. },
        "eos_token_id"
    );
    assert_is!(open_error(config, |c| c["eos_token"] = "<no>".into()), TextError::UnknownSpecialToken { .. }, "<no>");
    let dir = changed("mistral", config, |c| {
        c.as_object_mut().unwrap().remove("eos_token");
    });
    for file in ["generation_config.json", "config.json"] {
        std::fs::remove_file(dir.path().join(file)).unwrap();
    }
    assert_is!(refused(dir.path(), Template::Auto), TextError::NoEos { .. }, "no eos_token");
}

#[test]
fn templates() {
    let dir =
        changed("llama", "tokenizer_config.json", |c| c["chat_template"] = json!([{"name": "rag", "template": "x"}]));
    assert_is!(refused(dir.path(), Template::Auto), TextError::NoDefaultTemplate { .. }, "rag");
    let missing = Template::File(dir.path().join("missing.jinja"));
    assert_is!(refused(dir.path(), missing), TextError::Io { .. }, "missing.jinja");
    assert_is!(refused(dir.path(), Template::Plain("{".into())), TextError::BadPlainTemplate { .. }, "brace");

    let refused = |template: &str| with_jinja(template).err().expect("it opens");
    assert_is!(refused("{% if %}"), TextError::BadTemplate { .. }, "does not compile");
    assert_is!(refused(&"x".repeat((1 << 20) + 1)), TextError::TooLarge { .. }, "over the limit");
    assert_is!(refused("{{ raise_exception('not for you') }}"), TextError::WrongTemplate { .. }, "not for you");
    assert_is!(
        refused("{{ messages[0].content }}"),
        TextError::WrongTemplate { .. },
        "leaves the assistant's answer out"
    );
    assert_is!(refused("{{ messages[1].content }}"), TextError::WrongTemplate { .. }, "leaves the user's message out");
    assert_is!(
        refused("{% for m in messages %}{{ m.content }}\n{% endfor %}"),
        TextError::MissingEos { .. },
        "never learn to stop"
    );
    // ChatML in a model that does not know it: its tokens would be ordinary text.
    let chatml =
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}";
    assert_is!(refused(chatml), TextError::MissingEos { .. }, "without \"</s>\"");
}

const SIMPLE: &str = "{% for m in messages %}{{ m.content + eos_token }}{% endfor %}";

#[test]
fn rows() {
    let turns = || chat(&[("user", "Q"), ("assistant", "A")]);
    let raising = "{% if messages|length > 2 %}{{ raise_exception('two at most') }}{% endif %}";
    let long = || chat(&[("user", "Q"), ("assistant", "A"), ("user", "R"), ("assistant", "B")]);
    assert_is!(row_error(&format!("{raising}{SIMPLE}"), long()), TextError::Raised { .. }, "two at most");
    let failing = raising.replace("raise_exception('two at most')", "messages + 1");
    assert_is!(
        row_error(&format!("{failing}{SIMPLE}"), long()),
        TextError::Render { .. },
        "fails on this conversation"
    );
    let endless = raising.replace(
        "{{ raise_exception('two at most') }}",
        "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
    );
    assert_is!(row_error(&format!("{endless}{SIMPLE}"), long()), TextError::OutOfFuel { .. }, "steps");
    let wordy = raising.replace(
        "{{ raise_exception('two at most') }}",
        "{% set s = 'x' * 1000000 %}{% for i in range(100) %}{{ s }}{% endfor %}",
    );
    assert_is!(row_error(&format!("{wordy}{SIMPLE}"), long()), TextError::TextTooLarge { .. }, "over the limit");

    assert_is!(row_error(SIMPLE, chat(&[])), TextError::NoMessages, "no messages");
    assert_is!(
        row_error(SIMPLE, chat(&[("user", "\u{FDD0}"), ("assistant", "A")])),
        TextError::ReservedCharacter { .. },
        "U+FDD0"
    );
    assert_is!(row_error(SIMPLE, chat(&[("user", "Q")])), TextError::NothingSupervised { .. }, "no answer");
    assert_is!(row_error(SIMPLE, Content::Text(String::new())), TextError::NothingSupervised { .. }, "empty");
    assert_is!(row_error(&format!("<s><s>{SIMPLE}"), turns()), TextError::DoubledBos { .. }, "<s>");
    assert_is!(
        row_error(SIMPLE, Content::Fields([("x".to_owned(), String::new())].into())),
        TextError::MissingField { .. },
        "{prompt}"
    );

    let no_tools = "{% for m in messages if m.role != 'tool' %}{{ m.content + eos_token }}{% endfor %}";
    let with_tool = chat(&[("user", "Q"), ("tool", "5"), ("assistant", "A")]);
    assert_is!(row_error(no_tools, with_tool), TextError::Dropped { message: 1, .. }, "role tool");
    // Earlier turns in capitals once others follow, and each of them twice: no way to say where an answer is.
    let rewriting = "{% for m in messages %}{% if loop.last %}{{ m.content + eos_token }}{% else %}{{ m.content|upper + m.content + eos_token }}{% endif %}{% endfor %}";
    assert_is!(
        row_error(rewriting, chat(&[("user", "q"), ("assistant", "a"), ("user", "b")])),
        TextError::SpanNotFound { message: 1 },
        "answer 1"
    );

    let many = chat(&[("user", "q"), ("assistant", "a")].repeat(600));
    assert_is!(row_error(SIMPLE, many), TextError::TooManyAnswers { answers: 600, limit: 512 }, "600");

    let mut picture = Message::new("user", "");
    picture.content = Some(json!([{"type": "image", "url": "x"}]));
    let content =
        Content::Chat(data::Conversation { messages: vec![picture, Message::new("assistant", "A")], tools: None });
    assert_is!(row_error(SIMPLE, content), TextError::BadMessage { .. }, "not text");
}

#[test]
fn rows_under_a_plain_template() {
    let dir = copy("mistral");
    let template = Template::Plain("{prompt} => {completion}".into());
    let pipeline = TextPipeline::open(&plan(dir.path(), template, LossOn::Response)).unwrap();
    let refused = |content| pipeline.encode(&content).unwrap_err();
    let long = chat(&[("user", "Q"), ("assistant", "A"), ("user", "R"), ("assistant", "B")]);
    assert_is!(refused(long), TextError::NotPlain { .. }, "not one question");
    assert_is!(
        refused(Content::Fields([("x".to_owned(), String::new())].into())),
        TextError::MissingField { .. },
        "{prompt}"
    );
    let reserved = Content::PromptCompletion { prompt: "\u{FDE0}".into(), completion: "A".into() };
    assert_is!(refused(reserved), TextError::ReservedCharacter { .. }, "U+FDE0");
}

#[test]
fn messages() {
    for (value, says) in [
        (json!("text"), "not an object"),
        (json!({"content": "x"}), "no role"),
        (json!({"role": 1, "content": "x"}), "its role"),
        (json!({"role": "", "content": "x"}), "its role"),
        (json!({"role": "user", "content": 1}), "its content"),
        (json!({"role": "user"}), "neither content nor"),
        (json!({"role": "assistant", "content": null, "tool_calls": {}}), "not a list"),
    ] {
        assert_is!(Message::from_value(value).unwrap_err(), TextError::BadMessage { .. }, says);
    }
    let message = Message::from_value(json!({"role": "user", "content": "x", "name": null, "weight": 1})).unwrap();
    assert_eq!(message.fields, *json!({"weight": 1}).as_object().unwrap());
}

/// A vocabulary of whole words: it holds the control tokens' own text, and has no answer to a new word.
#[test]
fn tokenizers_that_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null, "decoder": null,
        "added_tokens": [{"id": 0, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "unk_token": "<unk>", "vocab": {"</s>": 0, "a": 1, "b": 2}},
    });
    std::fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(dir.path().join("tokenizer_config.json"), json!({"eos_token": "</s>"}).to_string()).unwrap();
    let pipeline =
        TextPipeline::open(&plan(dir.path(), Template::Plain("{prompt} {completion}".into()), LossOn::Response))
            .unwrap();
    let encode =
        |prompt: &str| pipeline.encode(&Content::PromptCompletion { prompt: prompt.into(), completion: "b".into() });
    assert_eq!(encode("a").unwrap().ids, [1, 2, 0]);
    assert_is!(encode("a </s>").unwrap_err(), TextError::ControlText { .. }, "\"</s>\"");
    assert_is!(encode("new").unwrap_err(), TextError::Tokenize { .. }, "tokenizer fails");
    assert!(encode("new").unwrap_err().is_row());
}

/// Damaged tokenizers and configurations are refused or work; none panics, here or while encoding.
#[test]
fn damaged_files_never_panic() {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for model in ["llama", "gemma2"] {
        for file in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
            let whole = std::fs::read(copy(model).path().join(file)).unwrap();
            let dir = copy(model);
            for round in 0..60 {
                let mut bytes = whole.clone();
                for _ in 0..=random(4) {
                    let at = random(bytes.len());
                    match random(4) {
                        0 => bytes[at] = random(256) as u8,
                        1 => bytes.truncate(at.max(1)),
                        2 => drop(bytes.drain(at..(at + random(64)).min(bytes.len()))),
                        _ => bytes[at] = b"0[]{}\",:-9"[random(10)],
                    }
                    if bytes.is_empty() {
                        bytes.push(b' ');
                    }
                }
                std::fs::write(dir.path().join(file), &bytes).unwrap();
                let opened = std::panic::catch_unwind(|| {
                    if let Ok(pipeline) = TextPipeline::open(&plan(dir.path(), Template::Auto, LossOn::Response)) {
                        let _ = pipeline.encode(&chat(&[("user", "Hi </s> caf\u{e9}"), ("assistant", "\u{1F600} 42")]));
                    }
                });
                assert!(
                    opened.is_ok(),
                    "{model} {file} round {round}: {}",
                    String::from_utf8_lossy(&bytes[..bytes.len().min(2000)])
                );
            }
        }
    }
}
