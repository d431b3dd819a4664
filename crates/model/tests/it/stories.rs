//! A real pretrained model of odd sizes (intermediate 172, head width 8, 5 layers) against two other programs.

use crate::support::*;
use model::adapters::AdapterPlan;
use model::{Batch, Engine, IGNORE, Limits};
use serde_json::Value;

fn golden() -> Value {
    let text = std::fs::read(examples().join("models/stories260K/golden.json")).expect("golden.json");
    serde_json::from_slice(&text).expect("golden.json")
}

fn stories() -> Engine {
    let limits = Limits { tokens_max: 512, seq_len_max: 512, ..limits() };
    Engine::load(&examples().join("models/stories260K"), &AdapterPlan::None, &limits).expect("stories260K")
}

fn ids(v: &Value) -> Vec<u32> {
    v.as_array().expect("ids").iter().map(|i| i.as_u64().expect("an id") as u32).collect()
}

fn last_logits(engine: &mut Engine, ids: &[u32]) -> Vec<f32> {
    let targets = vec![IGNORE; ids.len()];
    let logits = engine.logits(Batch { ids, targets: &targets, cu: &[0, ids.len()] }).expect("logits");
    logits[(ids.len() - 1) * engine.config().vocab..].to_vec()
}

#[test]
fn stories_have_their_known_loss() {
    let (golden, mut engine) = (golden(), stories());
    let mut seen = 0;
    for story in golden["stories"].as_array().expect("stories").iter().filter(|s| !s["ids"].is_null()) {
        let ids = ids(&story["ids"]);
        let mut targets: Vec<i32> = ids[1..].iter().map(|i| *i as i32).collect();
        targets.push(IGNORE);
        let losses = engine.losses(Batch { ids: &ids, targets: &targets, cu: &[0, ids.len()] }).expect("losses");
        let mean = losses.iter().map(|l| f64::from(*l)).sum::<f64>() / losses.len() as f64;
        let want = story["nll_mean"].as_f64().expect("nll_mean");
        assert!((mean - want).abs() < 1e-5, "story {}: {mean}, expected {want}", story["story"]);
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn the_most_likely_story_is_the_known_one() {
    let (golden, mut engine) = (golden(), stories());
    let mut text = ids(&golden["prompt_ids"]);
    let want: Vec<f32> = golden["last_logits_fp32"]
        .as_array()
        .expect("logits")
        .iter()
        .map(|v| v.as_f64().expect("a logit") as f32)
        .collect();
    close("the prompt's last logits", &last_logits(&mut engine, &text), &want, 5e-5);
    let story = ids(&golden["greedy_ids"]);
    while text.len() < story.len() {
        let logits = last_logits(&mut engine, &text);
        let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).expect("a token");
        text.push(best as u32);
    }
    assert_eq!(text, story);
}
