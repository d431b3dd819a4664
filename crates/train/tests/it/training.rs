//! An uninterrupted run: what it computes and what it leaves behind.

use crate::common::{bench, json_lines, step_losses};
use crate::tfevents;
use std::fs;
use std::sync::atomic::AtomicBool;
use train::{EarlyStop, Event, RunLength, Schedule, Warmup};

#[test]
fn the_loss_falls() {
    let mut b = bench();
    b.plan.train.length = RunLength::Steps(40);
    b.plan.train.checkpoint_every = 20;
    b.plan.train.eval_every = Some(20);
    let summary = b.run().unwrap();
    let losses = step_losses(b.out());
    assert_eq!(losses.len(), 40);
    let mean = |l: &[f64]| l.iter().sum::<f64>() / l.len() as f64;
    assert!(mean(&losses[36..]) < 0.6 * mean(&losses[..4]), "{losses:?}");
    assert_eq!(summary.final_train_loss, losses[39]);
    assert!(summary.tokens_per_second > 0.0);
}

/// Moments in 8 bits learn what those in f32 do, step by step, the model itself as well as an adapter large enough for them.
#[test]
fn moments_in_8_bits_learn_as_those_in_f32() {
    for whole in [true, false] {
        let curve = |optimizer| {
            let mut b = bench();
            if whole {
                b.train_whole();
            } else {
                b.lora_mut().r = 64;
                b.lora_mut().targets = model::Targets::Names(vec!["q_proj".into(), "down_proj".into()]);
            }
            b.plan.train.optimizer = optimizer;
            b.plan.train.length = RunLength::Steps(40);
            b.plan.train.lr = 3e-3;
            b.plan.train.checkpoint_every = 40;
            let summary = b.run().unwrap();
            (step_losses(b.out()), summary.final_valid_loss.unwrap())
        };
        let (wide, wide_valid) = curve(train::Optimizer::AdamW);
        let (narrow, narrow_valid) = curve(train::Optimizer::AdamW8bit);
        assert_ne!(wide, narrow, "nothing was in 8 bits");
        let worst = wide.iter().zip(&narrow).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let mean = |l: &[f64]| l.iter().sum::<f64>() / l.len() as f64;
        assert!(mean(&wide[36..]) < 0.6 * mean(&wide[..4]), "{wide:?}");
        assert!(worst < 0.05, "{whole}: {worst}\n{wide:?}\n{narrow:?}");
        assert!((wide_valid - narrow_valid).abs() < 0.05, "{wide_valid} {narrow_valid}");
    }
}

#[test]
fn the_folder_holds_what_it_should() {
    let b = bench();
    let mut told = Vec::new();
    let summary = b
        .run_with(&AtomicBool::new(false), &mut |e| match e {
            Event::Phase(p) => told.push(p.to_owned()),
            Event::Step { step, steps, .. } => told.push(format!("step {step} of {steps}")),
            Event::Valid { step, .. } => told.push(format!("valid {step}")),
            Event::Checkpoint { step, .. } => told.push(format!("checkpoint {step}")),
            Event::Start { steps, first_step, .. } => told.push(format!("start {first_step} of {steps}")),
            Event::Note(_)
            | Event::Preparing { .. }
            | Event::Hashing { .. }
            | Event::Measuring { .. }
            | Event::Probing { .. }
            | Event::Probed { .. }
            | Event::Writing { .. }
            | Event::Quantising { .. } => {}
        })
        .unwrap();
    let expected = "data, hash, model, start 1 of 7, train, step 1 of 7, step 2 of 7, evaluate, valid 2, train, step 3 of 7, \
        checkpoint 3, step 4 of 7, evaluate, valid 4, train, step 5 of 7, step 6 of 7, evaluate, valid 6, train, \
        checkpoint 6, step 7 of 7, evaluate, valid 7, train, checkpoint 7, save";
    assert_eq!(told.join(", "), expected);

    for name in [
        "plan.json",
        "run.json",
        "metrics.jsonl",
        "timings.jsonl",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "best/adapter_model.safetensors",
        "checkpoints/step-00000007/state.json",
    ] {
        assert!(b.out().join(name).exists(), "{name}");
    }
    let lines = json_lines(&b.out().join("metrics.jsonl"));
    let order: Vec<String> = lines
        .iter()
        .map(|l| format!("{}{}", l["step"], if l.get("valid_loss").is_some() { "v" } else { "" }))
        .collect();
    assert_eq!(order, ["1", "2", "2v", "3", "4", "4v", "5", "6", "6v", "7", "7v"]);
    assert_eq!(
        lines[0].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["step", "loss", "lr", "grad_norm", "tokens", "supervised_tokens"]
    );
    assert_eq!(json_lines(&b.out().join("timings.jsonl")).len(), 7);

    let run: serde_json::Value = serde_json::from_slice(&fs::read(b.out().join("run.json")).unwrap()).unwrap();
    for key in [
        "plan",
        "data_sha256",
        "model_sha256",
        "athanor",
        "tokens_per_second",
        "peak_rss_bytes",
        "best_step",
        "best_valid_loss",
        "final_train_loss",
        "final_valid_loss",
        "train_counts",
        "memory",
        "micro_tokens",
        "trainable",
        "tokens",
    ] {
        assert!(!run[key].is_null(), "run.json has no {key}: {run:#}");
    }
    assert_eq!(run["best_valid_loss"].as_f64(), summary.best_valid_loss);
    let best = lines.iter().filter_map(|l| l["valid_loss"].as_f64()).fold(f64::INFINITY, f64::min);
    assert_eq!(summary.best_valid_loss, Some(best));
}

#[test]
fn the_schedule_is_in_the_metrics() {
    let b = bench();
    b.run().unwrap();
    let rates: Vec<f64> = json_lines(&b.out().join("metrics.jsonl")).iter().filter_map(|l| l["lr"].as_f64()).collect();
    let expected: Vec<f64> =
        (1..=7).map(|s| train::learning_rate(Schedule::Cosine, Warmup::Steps(2), 1e-2, s, 7)).collect();
    assert_eq!(rates, expected);
    assert_eq!(rates[0], 0.0);
}

#[test]
fn epochs_end_with_a_smaller_step() {
    let mut b = bench();
    b.plan.train.length = RunLength::Epochs(1.5);
    let summary = b.run().unwrap();
    // 11 rows in batches of 3 are 4 steps; one and a half epochs are 6.
    assert_eq!(summary.steps, 6);
    let lines = json_lines(&b.out().join("metrics.jsonl"));
    let tokens: Vec<u64> = lines.iter().filter_map(|l| l["tokens"].as_u64()).collect();
    let run: serde_json::Value = serde_json::from_slice(&fs::read(b.out().join("run.json")).unwrap()).unwrap();
    assert_eq!(
        tokens[..4].iter().sum::<u64>(),
        run["train_counts"]["tokens"].as_u64().unwrap(),
        "an epoch sees each token once"
    );
}

#[test]
fn the_size_of_a_pass_does_not_change_the_loss() {
    let losses: Vec<Vec<f64>> = [30, 64, 500]
        .into_iter()
        .map(|micro_tokens| {
            let mut b = bench();
            b.plan.train.micro_tokens = Some(micro_tokens);
            b.run().unwrap();
            step_losses(b.out())
        })
        .collect();
    for other in &losses[1..] {
        for (a, b) in losses[0].iter().zip(other) {
            assert!((a - b).abs() < 1e-5, "{losses:?}");
        }
    }
}

#[test]
fn patience_ends_the_run() {
    let mut b = bench();
    b.plan.train.length = RunLength::Steps(50);
    b.plan.train.eval_every = Some(1);
    // No improvement is ever large enough.
    b.plan.train.early_stop = Some(EarlyStop { patience: 3, min_delta: 100.0 });
    let summary = b.run().unwrap();
    assert!(summary.stopped_early);
    assert_eq!(summary.steps, 4);
    assert!(b.out().join("checkpoints/step-00000004/state.json").exists());
    assert!(b.out().join("adapter/adapter_model.safetensors").exists());
}

#[test]
fn validation_goes_with_the_checkpoints_unless_told_otherwise() {
    let mut b = bench();
    b.plan.train.eval_every = None;
    b.run().unwrap();
    let lines = json_lines(&b.out().join("metrics.jsonl"));
    let steps: Vec<u64> =
        lines.iter().filter(|l| l.get("valid_loss").is_some()).map(|l| l["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [3, 6, 7]);
}

#[test]
fn without_validation_there_is_no_best() {
    let mut b = bench();
    b.plan.data.valid = None;
    let summary = b.run().unwrap();
    assert_eq!((summary.best_step, summary.final_valid_loss), (None, None));
    assert!(!b.out().join("best").exists());
}

#[test]
fn a_preview_tells_and_leaves_nothing() {
    let b = bench();
    let p = train::preview(&b.plan, &runfs::RealFs, &AtomicBool::new(false), &mut |_| {}).unwrap();
    assert!(!b.out().exists());
    assert_eq!((p.steps, p.counts.rows), (7, 11));
    assert!(p.trainable > 0 && p.parameters > p.trainable);
    assert!(p.memory.total > 0);
    assert!(p.sample.len() > 4 && p.sample.iter().any(|(_, supervised)| *supervised));
    b.run().unwrap();
}

#[test]
fn event_files_hold_what_the_metrics_do() {
    let b = bench();
    b.run().unwrap();
    let files: Vec<_> = fs::read_dir(b.out().join("tensorboard")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let mut expected = Vec::new();
    for line in json_lines(&b.out().join("metrics.jsonl")) {
        for (key, tag) in
            [("loss", "train/loss"), ("lr", "train/lr"), ("grad_norm", "train/grad_norm"), ("valid_loss", "valid/loss")]
        {
            if let Some(value) = line[key].as_f64() {
                expected.push((tag.to_owned(), line["step"].as_u64().unwrap(), value as f32));
            }
        }
    }
    assert_eq!(tfevents::read(&files[0]), expected);
}
