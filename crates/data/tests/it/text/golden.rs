//! Every chat template of `fixtures/templates` renders what Jinja2 renders.

use super::{FIXTURES, fixture};
use data::text::{ChatTemplate, Clock};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

fn source(name: &str) -> String {
    let (file, named) = name.split_once('#').map_or((name, None), |(file, named)| (file, Some(named)));
    let text = std::fs::read_to_string(Path::new(FIXTURES).join("templates").join(file)).unwrap();
    if !file.ends_with(".json") {
        return text;
    }
    let config: Value = serde_json::from_str(&text).unwrap();
    match (&config["chat_template"], named) {
        (Value::String(text), None) => text.clone(),
        (Value::Array(list), Some(named)) => {
            list.iter().find(|t| t["name"] == named).unwrap()["template"].as_str().unwrap().to_owned()
        }
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn every_render_equals_jinja2() {
    let conversations = fixture("templates/golden_conversations.json");
    let lines = std::fs::read_to_string(Path::new(FIXTURES).join("templates/golden_renders.jsonl")).unwrap();
    let clock = Clock::at(2025, 1, 2, 3, 4, 5).unwrap();
    let mut templates: BTreeMap<String, Result<ChatTemplate, String>> = BTreeMap::new();
    let (mut equal, mut refused, mut wrong) = (0, 0, Vec::new());
    for line in lines.lines() {
        let golden: Value = serde_json::from_str(line).unwrap();
        let (name, case) = (golden["template"].as_str().unwrap(), golden["case"].as_str().unwrap());
        let compile = || ChatTemplate::compile(&source(name), name, clock).map_err(|e| e.to_string());
        let template = templates.entry(name.to_owned()).or_insert_with(compile);
        let mut context = conversations[case].clone();
        for (token, text) in
            [("bos_token", "<s>"), ("eos_token", "</s>"), ("pad_token", "<pad>"), ("unk_token", "<unk>")]
        {
            context[token] = text.into();
        }
        let rendered =
            template.as_ref().map_err(Clone::clone).and_then(|t| t.render(context).map_err(|e| e.to_string()));
        match (rendered, golden["text"].as_str()) {
            (Ok(text), Some(expected)) if text == expected => equal += 1,
            (Err(_), None) => refused += 1,
            (got, expected) => {
                wrong.push(format!("{name} {case}\n  got      {got:?}\n  expected {expected:?} {}", golden["error"]))
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), equal + refused + wrong.len(), wrong.join("\n"));
    assert_eq!((templates.len(), equal, refused), (72, 337, 23));
}
