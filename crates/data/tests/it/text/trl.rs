//! Rows as TRL's SFTTrainer prepares them, against `fixtures/text/trl.json`. Packing has its own test; the rows that are packed
//! are encoded here.

use super::{fixture, ids, messages, pipeline};
use data::{Content, Conversation, LossOn, Template};
use serde_json::Value;

const CONCATENATED: &str = "{prompt}{completion}";

fn content(row: &Value) -> Content {
    let text = |key: &str| row[key].as_str().unwrap().to_owned();
    if row.get("messages").is_some() {
        Content::Chat(Conversation { messages: messages(&row["messages"]), tools: None })
    } else if row.get("text").is_some() {
        Content::Text(text("text"))
    } else if row["prompt"].is_string() {
        Content::PromptCompletion { prompt: text("prompt"), completion: text("completion") }
    } else {
        Content::PromptCompletionChat {
            prompt: messages(&row["prompt"]),
            completion: messages(&row["completion"]),
            tools: None,
        }
    }
}

/// Input ids and labels of a row, cut to `max_length`.
fn prepared(pipeline: &data::TextPipeline, row: &Value, max_length: usize) -> (Vec<u32>, Vec<i64>) {
    let encoded = pipeline.encode(&content(row)).unwrap();
    let labels = encoded.ids.iter().zip(&encoded.supervised).map(|(id, s)| if *s { i64::from(*id) } else { -100 });
    (encoded.ids.iter().copied().take(max_length).collect(), labels.take(max_length).collect())
}

#[test]
fn rows_equal_those_of_sft_trainer() {
    let fixture = fixture("text/trl.json");
    let mut modes = 0;
    for (model, all) in fixture.as_object().unwrap() {
        for (mode, entry) in all.as_object().unwrap().iter().filter(|(mode, _)| !mode.starts_with("pack_")) {
            let loss_on = if mode.ends_with("all_tokens") { LossOn::All } else { LossOn::Response };
            let template =
                if mode == "prompt_completion_text" { Template::Plain(CONCATENATED.into()) } else { Template::Auto };
            let pipeline = pipeline(model, template, loss_on);
            let max_length = entry["args"]["max_length"].as_u64().unwrap() as usize;
            let rows = entry["input_rows"].as_array().unwrap();
            let expected = entry["prepared"].as_array().unwrap();
            assert_eq!(rows.len(), expected.len(), "{model} {mode}");
            for (row, expected) in rows.iter().zip(expected) {
                let (got_ids, got_labels) = prepared(&pipeline, row, max_length);
                let labels: Vec<i64> =
                    expected["labels"].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
                assert_eq!(got_ids, ids(&expected["input_ids"]), "{model} {mode} {row}");
                assert_eq!(got_labels, labels, "{model} {mode} {row}");
            }
            modes += 1;
        }
    }
    assert_eq!(modes, 3 * 7);
}

/// What goes into the packed modes: their pieces, in any order, are the pieces of these rows.
#[test]
fn packed_rows_hold_the_same_tokens() {
    let fixture = fixture("text/trl.json");
    for (model, all) in fixture.as_object().unwrap() {
        let entry = &all["pack_bfd"];
        let pipeline = pipeline(model, Template::Auto, LossOn::Response);
        let rows = entry["input_rows"].as_array().unwrap();
        let mut here: Vec<_> = rows.iter().map(|row| prepared(&pipeline, row, usize::MAX)).collect();
        let mut there = Vec::new();
        for packed in entry["prepared"].as_array().unwrap() {
            let (tokens, labels) = (ids(&packed["input_ids"]), packed["labels"].as_array().unwrap());
            let mut from = 0;
            for len in ids(&packed["seq_lengths"]) {
                let to = from + len as usize;
                there.push((
                    tokens[from..to].to_vec(),
                    labels[from..to].iter().map(|v| v.as_i64().unwrap()).collect::<Vec<_>>(),
                ));
                from = to;
            }
        }
        here.sort();
        there.sort();
        assert_eq!(here, there, "{model}");
    }
}
