//! Runs that hold on to what was there before them.

use crate::common::{Bench, bench, json_lines, promised, source};
use std::fs;
use std::path::PathBuf;
use train::{EwcOf, EwcPlan, Lambda, RunLength, Schedule, TrainError, Warmup};

/// Stories of the kind that the base was trained on.
const GENERAL: [&str; 6] = [
    "Once upon a time, there was a little girl named Lily. She loved to play outside.",
    "One day, Tom went to the park with his mom. They saw a big dog.",
    "The little bird was very happy. It could fly high in the sky.",
    "Ben and Mia are friends. They like to play with the ball in the park.",
    "The sun was hot and the boy was tired. He sat under a big tree.",
    "Lily was sad because she lost her toy. Her mom helped her find it.",
];

/// A file of texts beside the bench's own.
fn general(b: &Bench) -> PathBuf {
    let path = b.temp.path().join("general.jsonl");
    let lines = GENERAL.map(|text| {
        let (prompt, completion) = text.split_at(text.find(' ').unwrap());
        format!("{}\n", serde_json::json!({"prompt": prompt, "completion": completion.trim_start()}))
    });
    fs::write(&path, lines.concat()).unwrap();
    path
}

/// The bench, with the base held on general texts.
pub fn base_held(lambda: f64) -> Bench {
    let mut b = bench();
    let sources = vec![source(&general(&b))];
    b.plan.ewc = vec![EwcPlan { of: EwcOf::Base(sources), lambda: Lambda::Given(lambda), examples: 4 }];
    b
}

/// The bench's run, and one that goes on from its adapter with other rows and holds it.
pub fn after_an_earlier_task() -> Bench {
    let mut b = bench();
    b.run().unwrap();
    let first = b.temp.path().join("first");
    fs::rename(b.out(), &first).unwrap();
    b.plan.data.train = vec![source(&general(&b))];
    b.lora_mut().start_from = Some(first.join("adapter"));
    b.plan.ewc = vec![EwcPlan { of: EwcOf::Run { dir: first, decay: 0.5 }, lambda: Lambda::Given(1e3), examples: 100 }];
    b
}

fn adapter(b: &Bench) -> Vec<u8> {
    fs::read(b.out().join("adapter/adapter_model.safetensors")).unwrap()
}

#[test]
fn the_base_is_held_while_a_task_is_learnt() {
    let run = |lambda: Option<f64>| {
        let mut b = base_held(lambda.unwrap_or_default());
        if lambda.is_none() {
            b.plan.ewc.clear();
        }
        b.plan.data.valid = Some(data::Valid::Source(vec![source(&general(&b))]));
        b.plan.train.length = RunLength::Steps(30);
        (b.plan.train.schedule, b.plan.train.warmup) = (Schedule::Constant, Warmup::Steps(0));
        (b.plan.train.eval_every, b.plan.train.checkpoint_every) = (Some(30), 30);
        let summary = b.run().unwrap();
        (summary.final_valid_loss.unwrap(), summary.final_train_loss, json_lines(&b.out().join("metrics.jsonl")))
    };
    let ((free, free_task, metrics), (held, held_task, with_penalty)) = (run(None), run(Some(3e4)));
    assert!(held < free - 0.2, "general loss {held} held, {free} free");
    assert!(held_task < 3.0 && free_task < 3.0, "task loss {held_task} held, {free_task} free");
    assert!(metrics.iter().all(|line| line.get("penalty").is_none()));
    let penalties: Vec<f64> = with_penalty.iter().filter_map(|line| line["penalty"].as_f64()).collect();
    assert!(penalties.len() == 30 && penalties[0] == 0.0 && penalties[29] > 0.0, "{penalties:?}");
}

/// What matters to general data is the base's, whatever adapter a run goes on from: that is where the base is held.
#[test]
fn a_run_that_goes_on_measures_the_base_without_its_adapter() {
    let mut b = base_held(1e3);
    b.run().unwrap();
    let first = b.temp.path().join("first");
    fs::rename(b.out(), &first).unwrap();
    b.lora_mut().start_from = Some(first.join("adapter"));
    b.run().unwrap();
    let fishers = [first, b.out().to_path_buf()]
        .map(|run| weights::Checkpoint::open_file(&run.join("ewc/1.safetensors")).unwrap());
    let names: Vec<&str> = fishers[0].names().collect();
    assert!(!names.is_empty() && names == fishers[1].names().collect::<Vec<_>>());
    for name in names {
        let [of_first, of_second] = [0, 1].map(|i| fishers[i].get(name).unwrap().to_f32().unwrap());
        assert!(of_first == of_second, "{name}");
    }
    // It is held from the first step on: the adapter has changed the base already.
    let penalties = json_lines(&b.out().join("metrics.jsonl"));
    assert!(penalties[0]["penalty"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_file_of_an_earlier_run_holds_the_same() {
    let mut b = base_held(1e3);
    b.run().unwrap();
    let measured = b.temp.path().join("measured.safetensors");
    fs::copy(b.out().join("ewc/1.safetensors"), &measured).unwrap();
    let first = adapter(&b);
    b.plan.out = b.temp.path().join("again");
    b.plan.ewc[0].of = EwcOf::File(measured.clone());
    b.run().unwrap();
    assert!(first == adapter(&b));

    // Not of another base, and nothing else.
    b.plan.out = b.temp.path().join("refused");
    let other = crate::common::repository("fixtures/models/llama");
    (b.plan.model, b.plan.data.text.model_dir) = (other.clone(), other);
    let refused = b.run();
    assert!(matches!(refused, Err(TrainError::EwcBase { .. })), "{refused:?}");
    fs::copy(b.temp.path().join("again/adapter/adapter_model.safetensors"), &measured).unwrap();
    let refused = b.run();
    assert!(matches!(refused, Err(TrainError::NoFisher { .. })), "{refused:?}");
}

#[test]
fn an_earlier_task_is_held_and_counts_on() {
    let b = after_an_earlier_task();
    b.run().unwrap();
    let penalties: Vec<f64> =
        json_lines(&b.out().join("metrics.jsonl")).iter().filter_map(|line| line["penalty"].as_f64()).collect();
    assert!(penalties.len() == 7 && penalties[0] == 0.0 && penalties[6] > 0.0, "{penalties:?}");

    // A third task: what the second held counts half.
    let second = b.temp.path().join("second");
    fs::rename(b.out(), &second).unwrap();
    let mut third = b;
    third.lora_mut().start_from = Some(second.join("adapter"));
    let EwcOf::Run { dir, .. } = &mut third.plan.ewc[0].of else { panic!("a run") };
    *dir = second.clone();
    third.run().unwrap();
    let counted = promised(third.out(), 7);
    let EwcOf::Run { decay, .. } = &mut third.plan.ewc[0].of else { panic!("a run") };
    *decay = 0.0;
    third.plan.out = third.temp.path().join("forgetful");
    third.run().unwrap();
    assert!(counted["metrics.jsonl"] != promised(third.out(), 7)["metrics.jsonl"]);

    // Its data are looked at again.
    fs::write(third.temp.path().join("general.jsonl"), "{\"prompt\": \"Other\", \"completion\": \"words\"}\n").unwrap();
    third.plan.data.train = vec![source(&third.temp.path().join("train.jsonl"))];
    third.plan.out = third.temp.path().join("changed");
    let refused = third.run();
    assert!(matches!(refused, Err(TrainError::EwcData { .. })), "{refused:?}");
}
