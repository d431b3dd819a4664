//! Chats of every fixture model, against `fixtures/text/chat.json`.

use super::{fixture, ids, messages, pipeline};
use data::text::Turn;
use data::{Content, Conversation, LossOn, Template, TextError};
use serde_json::Value;

#[test]
fn text_ids_and_mask_equal_transformers() {
    let fixture = fixture("text/chat.json");
    let mut cases = 0;
    for (model, entry) in fixture.as_object().unwrap() {
        let pipeline = pipeline(model, Template::Auto, LossOn::Response);
        for case in entry["chats"].as_array().unwrap() {
            let name = format!("{model} {}", case["id"]);
            let tools = case.get("tools").cloned();
            let conversation = Conversation { messages: messages(&case["messages"]), tools };
            let rendered = pipeline.render(&conversation, Turn::Closed);
            let encoded = pipeline.encode(&Content::Chat(conversation.clone()));
            cases += 1;
            if let Some(error) = case["error"].as_str() {
                for error_here in [rendered.unwrap_err(), encoded.unwrap_err()] {
                    let TextError::Raised { why } = &error_here else { panic!("{name}: {error_here}") };
                    assert!(error.ends_with(why), "{name}: {why:?}, expected {error:?}");
                }
                continue;
            }
            assert_eq!(rendered.unwrap(), case["rendered"].as_str().unwrap(), "{name}");
            let prompt = pipeline.render(&conversation, Turn::AssistantNext).unwrap();
            assert_eq!(prompt, case["rendered_generation_prompt"].as_str().unwrap(), "{name}");
            if case["id"] == "control_in_user" {
                check_control(&pipeline, &encoded.unwrap(), case, &name);
                continue;
            }
            let mask: Vec<bool> = ids(&case["assistant_mask"]).into_iter().map(|m| m == 1).collect();
            if !mask.contains(&true) {
                assert!(matches!(encoded, Err(TextError::NothingSupervised { .. })), "{name}: {encoded:?}");
                continue;
            }
            let encoded = encoded.unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(encoded.ids, ids(&case["ids"]), "{name}");
            assert_eq!(encoded.supervised, mask, "{name}");
            assert_eq!(encoded.control_text, 0, "{name}");
        }
    }
    assert_eq!(cases, 101);
}

/// The one deliberate difference: the same text, the same answer, but no control token of the user's making.
fn check_control(pipeline: &data::TextPipeline, encoded: &data::Encoded, case: &Value, name: &str) {
    let reference = ids(&case["ids"]);
    let tokenizer = pipeline.tokenizer();
    let control = |ids: &[u32]| ids.iter().filter(|id| tokenizer.is_control(**id)).copied().collect::<Vec<_>>();
    let user = case["messages"][0]["content"].as_str().unwrap();
    let in_user = control(&tokenizer.encode_bare(user).unwrap());
    assert_eq!(encoded.control_text, in_user.len(), "{name}");
    assert_eq!(control(&encoded.ids).len() + in_user.len(), control(&reference).len(), "{name}");
    if in_user.is_empty() {
        assert_eq!(encoded.ids, reference, "{name}");
    }
    let answer =
        |ids: &[u32], mask: &[bool]| ids.iter().zip(mask).filter(|(_, m)| **m).map(|(id, _)| *id).collect::<Vec<_>>();
    let mask: Vec<bool> = ids(&case["assistant_mask"]).into_iter().map(|m| m == 1).collect();
    assert_eq!(answer(&encoded.ids, &encoded.supervised), answer(&reference, &mask), "{name}");
    let text: String = tokenizer.pieces(&encoded.ids).concat();
    assert!(text.contains(user), "{name}: {text:?}");
}
