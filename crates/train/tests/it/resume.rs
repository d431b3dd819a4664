//! However a run is cut, it ends in the same bytes.

use crate::common::{Bench, assert_same, bench, json_lines, promised, resume};
use crate::ewc::{after_an_earlier_task, base_held};
use crate::tfevents;
use data::Packing;
use model::Span;
use std::fs;
use train::{EarlyStop, Event, RunLength, TrainError};

/// An image of the folder at each event that a kill could follow.
fn every_event(e: &Event) -> Option<String> {
    match e {
        Event::Step { step, .. } => Some(format!("killed in step {step}")),
        Event::Valid { step, .. } => Some(format!("killed after validation {step}")),
        Event::Checkpoint { step, .. } => Some(format!("killed after checkpoint {step}")),
        Event::Phase(p) => Some(format!("killed as {p} begins")),
        _ => None,
    }
}

pub fn kill_everywhere(b: &Bench, last_step: u64) {
    let images = b.run_imaged(every_event);
    let whole = promised(b.out(), last_step);
    assert!(images.len() > 15);
    for (what, image) in images {
        let summary = resume(&image).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(summary.steps, last_step, "{what}");
        assert_same(&whole, &promised(&image, last_step), &what);
    }
}

#[test]
fn killed_anywhere() {
    kill_everywhere(&bench(), 7);
}

#[test]
fn killed_anywhere_with_dropout_and_packing() {
    let mut b = bench();
    b.lora_mut().dropout = 0.1;
    b.plan.data.lengths.packing = Packing::Bfd;
    b.plan.train.batch = 1;
    b.plan.train.micro_tokens = Some(64);
    kill_everywhere(&b, 7);
}

#[test]
fn killed_anywhere_while_the_base_is_held() {
    kill_everywhere(&base_held(1e3), 7);
}

#[test]
fn killed_anywhere_while_an_earlier_task_is_held() {
    kill_everywhere(&after_an_earlier_task(), 7);
}

#[test]
fn killed_anywhere_over_a_quantised_base() {
    let mut b = bench();
    b.plan.quantize = model::Quantize::Nf4 { double: true };
    kill_everywhere(&b, 7);
}

#[test]
fn killed_anywhere_with_magnitudes() {
    let mut b = bench();
    (b.lora_mut().dora, b.lora_mut().dropout) = (true, 0.1);
    kill_everywhere(&b, 7);
}

#[test]
fn killed_anywhere_from_singular_directions() {
    let mut b = bench();
    b.lora_mut().init = model::InitWeights::Pissa;
    kill_everywhere(&b, 7);
}

#[test]
fn killed_anywhere_while_the_model_itself_is_trained() {
    let mut b = bench();
    b.train_whole();
    kill_everywhere(&b, 7);
    // What comes out is a model that runs like any other.
    let mut names: Vec<_> = fs::read_dir(b.out().join("model")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert!(names.contains(&"tokenizer.json".into()) && names.contains(&"config.json".into()), "{names:?}");
    b.plan.model = b.out().join("model");
    b.plan.data.text.model_dir = b.plan.model.clone();
    b.plan.out = b.temp.path().join("again");
    let again = b.run().unwrap();
    assert_eq!(again.steps, 7);
}

/// Moments in 8 bits and, of small tensors and the embedding, in f32.
#[test]
fn killed_anywhere_with_moments_in_8_bits() {
    let mut b = bench();
    b.train_whole();
    b.plan.train.optimizer = train::Optimizer::AdamW8bit;
    kill_everywhere(&b, 7);
    let state = fs::read(b.out().join("checkpoints/step-00000007/adamw.safetensors")).unwrap();
    let length = u64::from_le_bytes(state[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&state[8..8 + length]).unwrap();
    let held = |name: &str| (header[name]["dtype"].clone(), header[name]["shape"].clone());
    let full = "base_model.model.model.";
    for moment in ["m", "v"] {
        let name = |rest: &str| held(&format!("{moment}{rest}"));
        let up = format!("{full}layers.0.mlp.up_proj.weight");
        assert_eq!(name(&format!(".{up}")), ("U8".into(), serde_json::json!([172 * 64])));
        assert_eq!(name(&format!("_absmax.{up}")), ("F32".into(), serde_json::json!([43])));
        let small = format!(".{full}layers.0.self_attn.k_proj.weight");
        assert_eq!(name(&small), ("F32".into(), serde_json::json!([32, 64])));
        assert_eq!(name(&format!(".{full}embed_tokens.weight")), ("F32".into(), serde_json::json!([512, 64])));
    }
}

/// Cut before the first masking, between two, and after the last.
#[test]
fn killed_anywhere_while_ranks_are_masked() {
    let mut b = bench();
    b.lora_mut().dropout = 0.1;
    b.lora_mut().ada = Some(model::AdaPlan {
        target_r: 2,
        warmup: Span::Steps(1),
        last: Span::Steps(2),
        every: Some(2),
        beta1: 0.85,
        beta2: 0.85,
        orthogonality: 0.5,
    });
    kill_everywhere(&b, 7);
    let metrics = json_lines(&b.out().join("metrics.jsonl"));
    let ranks: Vec<_> = metrics.iter().filter(|m| m.get("loss").is_some()).map(|m| m["ranks"].as_u64()).collect();
    // 5 layers of 7 modules, from 4 to 2 each.
    assert_eq!((ranks[0], ranks[6]), (None, Some(70)), "{ranks:?}");
    assert!(ranks[1].is_some_and(|r| r < 140 && r > 70), "{ranks:?}");
}

#[test]
fn killed_anywhere_with_layers_on_the_disk() {
    let mut b = bench();
    b.plan.train.micro_tokens = Some(64);
    let mut limits = model::Limits {
        tokens_max: 64,
        seq_len_max: 64,
        memory: Some(1),
        threads: Some(1),
        precision: train::Precision::F32,
        quantize: model::Quantize::None,
        optimizer: model::Optimizer::AdamW,
        beside: 0,
    };
    let mut memory = model::outline(&b.plan.model, &b.plan.adapter, &limits).unwrap().memory;
    // Rows are shorter than 64 tokens, so the run may need less than that.
    limits.memory = Some(memory.total);
    memory = model::outline(&b.plan.model, &b.plan.adapter, &limits).unwrap().memory;
    assert_eq!(memory.layers_streamed, 5);
    b.plan.train.memory = Some(memory.total);
    kill_everywhere(&b, 7);
    let timings = json_lines(&b.out().join("timings.jsonl"));
    assert!(timings[0].get("bytes_read_forward").is_some(), "{}", timings[0]);
}

#[test]
fn killed_anywhere_before_an_early_stop() {
    let mut b = bench();
    b.plan.train.length = RunLength::Steps(50);
    b.plan.train.eval_every = Some(1);
    b.plan.train.early_stop = Some(EarlyStop { patience: 4, min_delta: 100.0 });
    kill_everywhere(&b, 5);
}

#[test]
fn less_memory_on_resume_changes_no_byte() {
    let mut b = bench();
    let limits = model::Limits {
        tokens_max: 40,
        seq_len_max: 30,
        memory: Some(1),
        threads: Some(1),
        precision: train::Precision::F32,
        quantize: model::Quantize::None,
        optimizer: model::Optimizer::AdamW,
        beside: 0,
    };
    let least = model::outline(&b.plan.model, &b.plan.adapter, &limits).unwrap().memory;
    assert!(least.layers_recomputed > 0);
    b.plan.train.memory = Some(1 << 30);
    let images = b.run_imaged(|e| matches!(e, Event::Checkpoint { step: 3, .. }).then(|| "checkpoint".to_owned()));
    let path = images[0].1.join("plan.json");
    let plan = fs::read_to_string(&path).unwrap();
    let tight = plan.replace(&format!("\"memory\": {}", 1 << 30), &format!("\"memory\": {}", least.total));
    assert_ne!(plan, tight);
    fs::write(&path, tight).unwrap();
    resume(&images[0].1).unwrap();
    assert_same(&promised(b.out(), 7), &promised(&images[0].1, 7), "layers computed again");
}

#[test]
fn killed_and_resumed_with_another_number_of_threads() {
    let b = bench();
    let images = b.run_imaged(|e| matches!(e, Event::Checkpoint { .. }).then(|| "checkpoint".to_owned()));
    let whole = promised(b.out(), 7);
    for (what, image) in images {
        let path = image.join("plan.json");
        let plan = fs::read_to_string(&path).unwrap();
        let two = plan.replace("\"threads\": 1", "\"threads\": 2");
        assert_ne!(plan, two);
        fs::write(&path, two).unwrap();
        resume(&image).unwrap();
        assert_same(&whole, &promised(&image, 7), &what);
    }
}

#[test]
fn two_threads_write_the_same_bytes_as_one() {
    let one = bench();
    let mut two = bench();
    two.plan.train.threads = Some(2);
    // The same files: the data's identity is their content, the plan holds their paths.
    two.plan.data = one.plan.data.clone();
    one.run().unwrap();
    two.run().unwrap();
    assert_same(&promised(one.out(), 7), &promised(two.out(), 7), "threads");
}

#[test]
fn interrupted_anywhere() {
    let whole = bench();
    whole.run().unwrap();
    type Cut = Box<dyn Fn(&Event) -> bool>;
    let mut cuts: Vec<Cut> = vec![
        Box::new(|e| matches!(e, Event::Preparing { .. } | Event::Phase("data"))),
        Box::new(|e| matches!(e, Event::Phase("model"))),
    ];
    for at in 1..=7 {
        cuts.push(Box::new(move |e| matches!(e, Event::Step { step, .. } if *step == at)));
    }
    for (i, cut) in cuts.iter().enumerate() {
        let mut b = bench();
        b.plan.data = whole.plan.data.clone();
        let step = b.run_interrupted(cut);
        assert_eq!(step, (i as u64).saturating_sub(1), "cut {i}");
        assert_eq!(b.out().join(format!("checkpoints/step-{step:08}")).exists(), step > 0, "cut {i}");
        resume(b.out()).unwrap_or_else(|e| panic!("cut {i}: {e}"));
        assert_same(&promised(whole.out(), 7), &promised(b.out(), 7), &format!("cut {i}"));
    }
}

#[test]
fn interrupted_in_validation_writes_no_half_a_result() {
    let whole = bench();
    whole.run().unwrap();
    let mut b = bench();
    b.plan.data = whole.plan.data.clone();
    let step = b.run_interrupted(|e| matches!(e, Event::Phase("evaluate")));
    assert_eq!(step, 2);
    let lines = json_lines(&b.out().join("metrics.jsonl"));
    assert!(lines.iter().all(|l| l.get("valid_loss").is_none()));
    resume(b.out()).unwrap();
    assert_same(&promised(whole.out(), 7), &promised(b.out(), 7), "validation");
}

#[test]
fn a_run_cut_again_and_again() {
    let whole = bench();
    whole.run().unwrap();
    let mut b = bench();
    b.plan.data = whole.plan.data.clone();
    b.run_interrupted(|e| matches!(e, Event::Step { step: 1, .. }));
    for next in 2..=7u64 {
        let stop = std::sync::atomic::AtomicBool::new(false);
        let result = train::resume(b.out(), &runfs::RealFs, &stop, &mut |e| {
            if matches!(e, Event::Step { step, .. } if step == next) {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        });
        assert!(matches!(result, Err(train::TrainError::Interrupted { step }) if step == next), "{result:?}");
    }
    resume(b.out()).unwrap();
    assert_same(&promised(whole.out(), 7), &promised(b.out(), 7), "every step its own sitting");
    let mut events: Vec<_> = fs::read_dir(b.out().join("tensorboard")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(events.len(), 8, "one event file a sitting");
    events.sort();
    let scalars = events.iter().flat_map(|path| tfevents::read(path));
    let steps: Vec<u64> = scalars.filter(|(tag, ..)| tag == "train/loss").map(|(_, step, _)| step).collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6, 7], "no step twice");
}

#[test]
fn a_finished_run_is_published_again() {
    let b = bench();
    let first = b.run().unwrap();
    let files = promised(b.out(), 7);
    fs::remove_dir_all(b.out().join("adapter")).unwrap();
    let second = resume(b.out()).unwrap();
    assert_same(&files, &promised(b.out(), 7), "again");
    assert_eq!(first.tokens_per_second, second.tokens_per_second);
}

#[test]
fn a_moved_folder_goes_on() {
    let mut b = bench();
    b.plan.train.length = RunLength::Steps(7);
    b.run_interrupted(|e| matches!(e, Event::Step { step: 4, .. }));
    let moved = b.temp.path().join("elsewhere");
    fs::rename(b.out(), &moved).unwrap();
    assert_eq!(resume(&moved).unwrap().out, moved);
    assert!(!b.out().exists());
}

#[test]
fn a_signal_while_the_adapter_is_saved_lets_it_finish() {
    let b = bench();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let result = b.run_with(&stop, &mut |e| {
        if matches!(e, Event::Phase("save")) {
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    });
    assert!(matches!(result, Err(TrainError::InterruptedAtEnd { steps: 7, .. })), "{result:?}");
    assert!(b.out().join("run.json").exists());
    let published = promised(b.out(), 7);
    assert_eq!(resume(b.out()).unwrap().steps, 7);
    assert_same(&promised(b.out(), 7), &published, "resumed after its end");
}
