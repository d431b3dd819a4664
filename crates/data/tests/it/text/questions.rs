//! What a model is given to answer is what training showed it before the answer, whatever the answer is.

use super::{chat, pipeline, plan};
use data::{Content, LossOn, Message, Template, TextPipeline};
use std::path::Path;

const ANSWERS: [&str; 7] = ["card_arrival", "The end.", "12", "{\"a\": 1}", "微调", "\"quoted\"", "- list"];
const MODELS: [&str; 9] =
    ["llama", "llama_tied", "llama_rope3", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "phi3"];

fn pair(completion: &str) -> Content {
    Content::PromptCompletion { prompt: "Where is my card?".to_owned(), completion: completion.to_owned() }
}

fn begins(text: &TextPipeline, of: &dyn Fn(&str) -> Content, what: &str) {
    let question = text.question(&of("")).unwrap_or_else(|e| panic!("{what}: {e}"));
    for answer in ANSWERS {
        let whole = text.encode(&of(answer)).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(whole.ids.starts_with(&question.ids), "{what} {answer}: {:?} {:?}", whole.ids, question.ids);
        assert!(!whole.supervised[..question.ids.len()].contains(&true), "{what} {answer}");
        assert_eq!(text.question(&of(answer)).unwrap(), question, "{what}: the answer shows through");
    }
}

#[test]
fn plain_questions() {
    let stories = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/models/stories260K"));
    for template in ["{prompt} => {completion}", "{prompt}\n{completion}", "Q: {prompt}\nA:{completion} !\n"] {
        let of = |completion: &str| pair(completion);
        for model in MODELS {
            begins(&pipeline(model, Template::Plain(template.to_owned()), LossOn::Response), &of, model);
        }
        let text = TextPipeline::open(&plan(stories, Template::Plain(template.to_owned()), LossOn::Response)).unwrap();
        begins(&text, &of, "stories260K");
        let question = text.question(&pair("")).unwrap();
        assert_eq!(question.after, if template.ends_with('\n') { " !\n" } else { "" });
        let shown = text.pieces(&question.ids).concat() + &question.rest;
        assert!(
            shown.ends_with(template.split("{completion}").next().unwrap().rsplit('}').next().unwrap()),
            "{shown:?}"
        );
    }
}

#[test]
fn chat_questions() {
    for model in ["llama", "mistral", "gemma2", "gemma3"] {
        let text = pipeline(model, Template::Auto, LossOn::Response);
        begins(&text, &|completion| pair(completion), model);
        let question = text.question(&pair("")).unwrap();
        let asked = chat(&[("user", "Where is my card?"), ("assistant", "Here.")]);
        assert_eq!(text.question(&asked).unwrap(), question, "{model}");
        let parts = Content::PromptCompletionChat {
            prompt: vec![Message::new("user", "Where is my card?")],
            completion: vec![Message::new("assistant", "Here.")],
            tools: None,
        };
        assert_eq!(text.question(&parts).unwrap(), question, "{model}");
    }
}

#[test]
fn what_asks_nothing_is_refused() {
    let text = pipeline("llama", Template::Auto, LossOn::Response);
    assert!(text.question(&Content::Text("once".to_owned())).unwrap_err().to_string().contains("asks nothing"));
    let alone = chat(&[("assistant", "Here.")]);
    assert!(text.question(&alone).unwrap_err().to_string().contains("no messages"));
}
