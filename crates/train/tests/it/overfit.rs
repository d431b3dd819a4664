//! What a run does besides stopping when validation gets no better.

use crate::common::{Bench, bench, json_lines};
use crate::resume::kill_everywhere;
use model::{InitWeights, OtherBase};
use safetensors::SafeTensors;
use serde_json::Value;
use std::fs;
use std::path::Path;
use train::{EarlyStop, Event, OnOverfit, RunLength, TrainError};

/// Validates after each step and is never content: patience runs out after steps 3, where a checkpoint is due, and 5.
fn overfitting(on_overfit: OnOverfit) -> Bench {
    let mut b = bench();
    b.plan.train.eval_every = Some(1);
    b.plan.train.early_stop = Some(EarlyStop { patience: 2, min_delta: 100.0 });
    b.plan.train.on_overfit = on_overfit;
    b
}

fn config(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("adapter_config.json")).unwrap()).unwrap()
}

/// (step, times, rank, dropout) of each time.
fn reliefs(b: &Bench) -> Vec<(u64, u64, Option<u64>, f64)> {
    let of = |line: Value| {
        let relief = line.get("relief")?;
        Some((
            line["step"].as_u64()?,
            relief["times"].as_u64()?,
            relief.get("rank").and_then(Value::as_u64),
            relief["dropout"].as_f64()?,
        ))
    };
    json_lines(&b.out().join("metrics.jsonl")).into_iter().filter_map(of).collect()
}

#[test]
fn killed_anywhere_while_ranks_shrink() {
    let mut b = overfitting(OnOverfit::ShrinkRank { times: 2 });
    b.lora_mut().dropout = 0.1;
    kill_everywhere(&b, 7);
    let seen = reliefs(&b);
    assert_eq!(seen.iter().map(|r| (r.0, r.1)).collect::<Vec<_>>(), [(3, 1), (5, 2)]);
    let (Some(first), Some(second)) = (seen[0].2, seen[1].2) else { panic!("{seen:?}") };
    assert!(second < first && first < 4, "{seen:?}");
    // The adapter says what it has.
    let config = config(&b.out().join("adapter"));
    let patterns = config["rank_pattern"].as_object().unwrap().values();
    let largest = patterns.chain([&config["r"]]).filter_map(Value::as_u64).max();
    assert_eq!(largest, Some(second), "{config}");
    let made = fs::read(b.out().join("adapter/adapter_model.safetensors")).unwrap();
    let made = SafeTensors::deserialize(&made).unwrap();
    let ranks = made.iter().filter(|(name, _)| name.contains("lora_A")).map(|(_, tensor)| tensor.shape()[0] as u64);
    assert_eq!(ranks.max(), Some(second));
    assert_eq!(config["lora_dropout"].as_f64(), Some(0.1));
    let run: Value = serde_json::from_slice(&fs::read(b.out().join("run.json")).unwrap()).unwrap();
    assert_eq!((&run["relief"]["rank"], &run["stopped_early"]), (&second.into(), &false.into()));
}

#[test]
fn killed_anywhere_while_dropout_rises() {
    let b = overfitting(OnOverfit::RaiseDropout);
    kill_everywhere(&b, 7);
    assert_eq!(reliefs(&b), [(3, 1, None, 0.1), (5, 2, None, 0.2)]);
    let config = config(&b.out().join("adapter"));
    assert_eq!((config["r"].as_u64(), config["lora_dropout"].as_f64()), (Some(4), Some(0.2)));
}

/// Of ΔW = s·BA the largest directions stay, with either scale; the optimiser knows nothing any more.
#[test]
fn it_goes_on_from_the_best_adapters_largest_directions() {
    for rslora in [false, true] {
        let mut b = overfitting(OnOverfit::ShrinkRank { times: 1 });
        b.lora_mut().rslora = rslora;
        let image = b.run_imaged(|e| matches!(e, Event::Checkpoint { step: 3, .. }).then(String::new)).remove(0).1;
        let of = |dir: &str| model::inspect(&image.join(dir), None, OtherBase::Refused).unwrap();
        for (whole, left) in of("best").iter().zip(of("restarts/1")) {
            assert!(left.rank < whole.rank && left.rank >= 2, "{}", left.module);
            for (a, b) in whole.singular.iter().zip(&left.singular) {
                assert!((a - b).abs() <= 1e-5 * whole.singular[0], "{}: {a} {b}", left.module);
            }
        }
        let read = |path: &str| fs::read(image.join(path)).unwrap();
        let (held, made) =
            (read("checkpoints/step-00000003/params.safetensors"), read("restarts/1/adapter_model.safetensors"));
        let (held, made) = (SafeTensors::deserialize(&held).unwrap(), SafeTensors::deserialize(&made).unwrap());
        assert_eq!(held.len(), made.len());
        for (name, tensor) in held.iter() {
            assert_eq!(tensor.data(), made.tensor(name).unwrap().data(), "{name}");
        }
        let moments = read("checkpoints/step-00000003/adamw.safetensors");
        let moments = SafeTensors::deserialize(&moments).unwrap();
        assert!(moments.iter().all(|(_, t)| t.data().iter().all(|byte| *byte == 0)));
    }
}

#[test]
fn it_stops_where_there_is_nothing_left_to_take_away() {
    for (on_overfit, rank, dropout, steps, times) in [
        (OnOverfit::Stop, 4, 0.0, 3, None),
        (OnOverfit::ShrinkRank { times: 1 }, 4, 0.0, 5, Some(1)),
        // From 2 to 1, and no further.
        (OnOverfit::ShrinkRank { times: 9 }, 2, 0.0, 5, Some(1)),
        (OnOverfit::ShrinkRank { times: 9 }, 1, 0.0, 3, None),
        (OnOverfit::RaiseDropout, 4, 0.45, 5, Some(1)),
        (OnOverfit::RaiseDropout, 4, 0.5, 3, None),
    ] {
        let mut b = overfitting(on_overfit);
        b.plan.train.length = RunLength::Steps(50);
        (b.lora_mut().r, b.lora_mut().dropout) = (rank, dropout);
        let summary = b.run().unwrap();
        let seen = (summary.steps, summary.stopped_early, summary.relief.as_ref().map(|relief| relief.times));
        assert_eq!(seen, (steps, true, times), "{on_overfit:?}, rank {rank}, dropout {dropout}");
        assert!(summary.relief.is_none_or(|relief| relief.dropout <= 0.5));
    }
}

#[test]
fn what_cannot_go_on_so_is_refused() {
    type Change = fn(&mut Bench);
    let changes: [(Change, &str); 6] = [
        (|b| b.plan.train.early_stop = None, "needs train.early_stop"),
        (|b| b.plan.train.on_overfit = OnOverfit::ShrinkRank { times: 0 }, "train.shrinks is at least 1"),
        (|b| b.lora_mut().dora = true, "needs adapter.method: lora"),
        (|b| b.train_whole(), "needs adapter.method: lora"),
        (|b| b.lora_mut().init = InitWeights::Pissa, "change adapter.init"),
        (
            |b| {
                let of = train::EwcOf::Base(b.plan.data.train.clone());
                b.plan.ewc = vec![train::EwcPlan { of, lambda: train::Lambda::Given(1.0), examples: 4 }];
            },
            "leave out ewc",
        ),
    ];
    for (change, expected) in changes {
        let mut b = overfitting(OnOverfit::ShrinkRank { times: 2 });
        change(&mut b);
        match b.run() {
            Err(TrainError::Plan { field: "train.on_overfit", why }) => assert!(why.contains(expected), "{why}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
}
