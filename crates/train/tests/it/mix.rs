//! Runs over several tasks with a replay: losses by task, resume to the byte, and the mixture as a file.

use crate::common::{Bench, assert_same, bench, json_lines, promised, resume};
use crate::resume::kill_everywhere;
use crate::tfevents;
use data::{Choose, Format, Packing};
use runfs::RealFs;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::AtomicBool;
use train::{Event, RunLength, TrainError};

fn mixed(choose: Choose) -> Bench {
    let mut b = bench();
    b.mix(choose);
    b
}

#[test]
fn killed_anywhere_with_a_replay_of_any_rows() {
    kill_everywhere(&mixed(Choose::Random), 7);
}

#[test]
fn killed_anywhere_with_a_replay_by_length() {
    kill_everywhere(&mixed(Choose::Length), 7);
}

#[test]
fn killed_anywhere_with_a_replay_by_diversity() {
    kill_everywhere(&mixed(Choose::Diversity), 7);
}

/// Cut before the first measure, between two, and inside one; epochs end on the way, too.
#[test]
fn killed_anywhere_with_a_replay_of_what_is_forgotten() {
    let b = mixed(Choose::Forgotten);
    kill_everywhere(&b, 7);
    let lines = json_lines(&b.out().join("metrics.jsonl"));
    let rises: Vec<_> =
        lines.iter().filter(|l| l.get("valid_loss").is_some()).map(|l| l["replay_rise"].as_f64()).collect();
    // The last validation chooses nothing any more.
    assert!(matches!(rises[..], [Some(_), Some(_), Some(_), None]), "{rises:?}");
}

#[test]
fn killed_anywhere_with_a_packed_replay_of_what_is_forgotten() {
    let mut b = mixed(Choose::Forgotten);
    b.plan.data.lengths.packing = Packing::Bfd;
    b.plan.train.batch = 1;
    b.plan.train.micro_tokens = Some(64);
    b.plan.train.length = RunLength::Steps(14);
    kill_everywhere(&b, 14);
}

#[test]
fn stopped_before_or_in_a_measure_of_what_is_forgotten() {
    let whole = mixed(Choose::Forgotten);
    whole.run().unwrap();
    for nth in 0..4 {
        let mut b = bench();
        b.plan.data = whole.plan.data.clone();
        let seen = std::cell::Cell::new(0);
        let step = b.run_interrupted(|e| {
            let here = matches!(e, Event::Phase("evaluate"));
            seen.set(seen.get() + usize::from(here));
            here && seen.get() == nth + 1
        });
        assert_eq!(step, [0, 2, 4, 6][nth]);
        resume(b.out()).unwrap();
        assert_same(&promised(whole.out(), 7), &promised(b.out(), 7), &format!("stopped in measure {nth}"));
    }
}

/// What is replayed after a validation is the half of the rows whose loss rose most, by a measure of this test's own.
#[test]
fn the_half_that_was_forgotten_most_is_replayed() {
    let mut b = mixed(Choose::Forgotten);
    b.plan.train.length = RunLength::Steps(12);
    b.plan.train.checkpoint_every = 1;
    b.plan.train.checkpoints_keep = 20;
    b.plan.train.eval_every = Some(4);
    b.run().unwrap();
    let state = |step: u64| -> Value {
        let path = b.out().join(format!("checkpoints/step-{step:08}/state.json"));
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let rows = |step: u64| -> Vec<u64> {
        let legs = state(step)["progress"]["forgotten"]["legs"].clone();
        let last = legs.as_array().unwrap().last().unwrap().clone();
        last["choice"]["rows"].as_array().map_or(Vec::new(), |rows| rows.iter().map(|r| r.as_u64().unwrap()).collect())
    };
    assert_eq!(rows(3), [0u64; 0], "all rows before the first validation");
    let chosen = rows(4);
    assert_eq!(chosen.len(), 6, "half of twelve");
    assert!(chosen.iter().all(|row| (11..35).contains(row)), "{chosen:?} are examples of the replay");
    // The same from outside: losses of each row under the base and under the adapter of step 4.
    let mut plan = b.plan.clone();
    plan.data.train = plan.data.replay.as_ref().unwrap().sources.clone();
    (plan.data.mix, plan.data.replay, plan.data.valid) = (None, None, None);
    let cache = b.temp.path().join("own");
    let rehearsed = data::prepare(&plan.data, 0, &cache, &mut |_, _, _| true).unwrap().train;
    let limits = model::Limits {
        tokens_max: 64,
        seq_len_max: 64,
        memory: Some(1 << 30),
        threads: Some(1),
        precision: train::Precision::F32,
        quantize: model::Quantize::None,
        optimizer: model::Optimizer::AdamW,
        beside: 0,
    };
    let losses_at = |checkpoint: Option<u64>| -> Vec<f64> {
        let mut engine = model::Engine::load(&plan.model, &plan.adapter, &limits).unwrap();
        if let Some(step) = checkpoint {
            let bytes = fs::read(b.out().join(format!("checkpoints/step-{step:08}/params.safetensors"))).unwrap();
            engine.import(model::State::Value, &tensors(&bytes)).unwrap();
        }
        (0..rehearsed.len())
            .map(|i| {
                let ids = rehearsed.example(i).unwrap().ids;
                let targets: Vec<i32> = ids[1..].iter().map(|id| *id as i32).chain([model::IGNORE]).collect();
                let losses = engine.losses(model::Batch { ids: &ids, targets: &targets, cu: &[0, ids.len()] }).unwrap();
                losses.iter().map(|l| f64::from(*l)).sum::<f64>() / losses.len() as f64
            })
            .collect()
    };
    let (before, after) = (losses_at(None), losses_at(Some(4)));
    let pool: Vec<usize> = {
        // The twelve rows of the buffer.
        let mut plan = b.plan.data.clone();
        plan.replay.as_mut().unwrap().choose = Choose::Random;
        let data = data::prepare(&plan, b.plan.train.seed, &b.out().join("cache"), &mut |_, _, _| true).unwrap().train;
        data.mixture().unwrap().replay_rows().collect()
    };
    let mut rises: Vec<(f64, u64)> = pool.iter().map(|row| (after[row - 11] - before[row - 11], *row as u64)).collect();
    rises.sort_by(|a, b| b.0.total_cmp(&a.0));
    assert!(rises[5].0 - rises[6].0 > 1e-5, "no tie in the middle: {rises:?}");
    let mut most: Vec<u64> = rises[..6].iter().map(|(_, row)| *row).collect();
    most.sort_unstable();
    assert_eq!(chosen, most, "{rises:?}");
}

fn tensors(bytes: &[u8]) -> Vec<model::Tensor> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let data = &bytes[8 + length..];
    let of = |(name, info): (String, Value)| {
        let ints = |key: &str| -> Vec<usize> {
            info[key].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
        };
        let (offsets, shape) = (ints("data_offsets"), ints("shape"));
        let values = data[offsets[0]..offsets[1]].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        model::Tensor { name, shape, values: values.collect() }
    };
    header.into_iter().filter(|(name, _)| name != "__metadata__").map(of).collect()
}

/// The losses of the tasks are parts of the whole, in metrics.jsonl, in TensorBoard and in events.
#[test]
fn losses_of_tasks_add_up_to_the_whole() {
    let b = mixed(Choose::Random);
    let mut told = 0;
    b.run_with(&AtomicBool::new(false), &mut |e| match e {
        Event::Valid { tasks, loss, .. } => {
            told += 1;
            assert_eq!((tasks.len(), &*tasks[0].task), (1, "short"));
            assert!((tasks[0].loss - loss).abs() < 1e-12);
        }
        Event::Step { tasks, loss, .. } => {
            let (sum, count) = tasks.iter().fold((0.0, 0), |(sum, count), t| {
                (sum + t.loss * t.supervised_tokens as f64, count + t.supervised_tokens)
            });
            assert!((sum / count as f64 - loss).abs() < 1e-9, "{tasks:?} {loss}");
        }
        _ => {}
    })
    .unwrap();
    assert_eq!(told, 4);
    let lines = json_lines(&b.out().join("metrics.jsonl"));
    let mut tokens: BTreeMap<String, u64> = BTreeMap::new();
    for line in lines.iter().filter(|l| l.get("loss").is_some()) {
        let tasks = line["tasks"].as_object().unwrap();
        let counts = tasks.iter().map(|(name, t)| (name, t["supervised_tokens"].as_u64().unwrap()));
        assert_eq!(counts.clone().map(|(_, n)| n).sum::<u64>(), line["supervised_tokens"].as_u64().unwrap());
        counts.for_each(|(name, n)| *tokens.entry(name.clone()).or_default() += n);
    }
    assert_eq!(tokens.keys().collect::<Vec<_>>(), ["long", "replay", "short"]);
    let valid = lines.iter().find(|l| l.get("valid_loss").is_some()).unwrap();
    assert_eq!(valid["tasks"]["short"]["loss"].as_f64().unwrap(), valid["valid_loss"].as_f64().unwrap());
    let events: Vec<_> = fs::read_dir(b.out().join("tensorboard")).unwrap().map(|e| e.unwrap().path()).collect();
    let scalars = tfevents::read(&events[0]);
    let tags = |tag: &str| scalars.iter().filter(|(t, ..)| t == tag).count();
    assert_eq!((tags("train/loss/long"), tags("valid/loss/short"), tags("valid/loss")), (7, 4, 4));
}

/// Without tasks nothing of it is in the records.
#[test]
fn a_run_without_tasks_says_nothing_of_them() {
    let b = bench();
    b.run().unwrap();
    let text = fs::read_to_string(b.out().join("metrics.jsonl")).unwrap();
    let plan = fs::read_to_string(b.out().join("plan.json")).unwrap();
    for word in ["\"tasks\"", "\"mix\"", "\"replay\"", "\"task\""] {
        assert!(!text.contains(word) && !plan.contains(word), "{word}");
    }
}

#[test]
fn a_mixture_as_a_file_is_what_a_run_would_train_on() {
    for packing in [Packing::Examples, Packing::Bfd] {
        let mut b = mixed(Choose::Random);
        b.plan.data.lengths.packing = packing;
        b.plan.train.micro_tokens = Some(64);
        let out = b.temp.path().join("mix.jsonl");
        let stop = AtomicBool::new(false);
        let mixed = train::mix(&b.plan, 1, &out, &RealFs, &stop, &mut |_| {}).unwrap();
        let rows = json_lines(&out);
        assert_eq!((mixed.rows, mixed.epoch), (rows.len() as u64, 1));
        // The prompt stands in the line that its origin names.
        let mut by_task: BTreeMap<String, usize> = BTreeMap::new();
        for row in &rows {
            let origin = &row["origin"];
            let text = fs::read_to_string(origin["file"].as_str().unwrap()).unwrap();
            let line = text.lines().nth(origin["line"].as_u64().unwrap() as usize - 1).unwrap();
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!((&row["prompt"], &row["completion"]), (&line["prompt"], &line["completion"]));
            *by_task.entry(origin["task"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        assert_eq!(by_task.keys().collect::<Vec<_>>(), ["long", "replay", "short"]);
        let preview = train::preview(&b.plan, &RealFs, &stop, &mut |_| {}).unwrap();
        let shares: Vec<_> = preview.tasks.iter().map(|t| (&*t.task, t.examples, t.share_asked)).collect();
        assert_eq!(shares, [("short", 5, 0.35), ("long", 6, 0.35), ("replay", 12, 0.3)]);
        assert!((preview.tasks.iter().map(|t| t.share_delivered).sum::<f64>() - 1.0).abs() < 1e-12);
        // It can be trained on as any file, and is never written over.
        assert!(matches!(train::mix(&b.plan, 0, &out, &RealFs, &stop, &mut |_| {}), Err(TrainError::OutExists { .. })));
        (b.plan.data.mix, b.plan.data.replay) = (None, None);
        b.plan.data.train =
            vec![data::Source { format: Some(Format::PromptCompletion), ..crate::common::source(&out) }];
        b.plan.train.length = RunLength::Steps(1);
        b.run().unwrap();
    }
}

#[test]
fn an_earlier_run_is_replayed_by_its_name() {
    let first = mixed(Choose::Random);
    first.run().unwrap();
    let (sources, earlier) = train::earlier_run(first.out(), &RealFs).unwrap();
    assert_eq!((sources.len(), earlier.sha256.len()), (2, 2));
    assert!(sources.iter().all(|s| s.task.is_none()));
    let mut b = bench();
    let replay = first.plan.data.replay.clone().unwrap();
    b.plan.data.replay = Some(data::ReplayPlan { sources: sources.clone(), earlier: Some(earlier), ..replay });
    b.run().unwrap();
    let run: Value = serde_json::from_slice(&fs::read(b.out().join("run.json")).unwrap()).unwrap();
    assert_eq!(run["replay_counts"]["rows"], json!(11));
    // Another row, and it is other data.
    let mut text = fs::read_to_string(&sources[0].path).unwrap();
    text.push_str("{\"prompt\": \"new\", \"completion\": \"row\"}\n");
    fs::write(&sources[0].path, text).unwrap();
    b.plan.out = b.temp.path().join("again");
    let error = b.run().unwrap_err().to_string();
    assert!(error.contains("short.jsonl: not what the run in"), "{error}");
    fs::remove_dir_all(first.out().join("cache")).unwrap();
    let error = train::earlier_run(first.out(), &RealFs).unwrap_err().to_string();
    assert!(error.contains("its token cache is gone"), "{error}");
    assert!(matches!(train::earlier_run(b.temp.path(), &RealFs), Err(TrainError::NoRun { .. })));
}

#[test]
fn wrong_plans_of_mixtures_and_replays() {
    type Change = fn(&mut data::DataPlan);
    let cases: [(Change, &str); 5] = [
        (|d| d.replay.as_mut().unwrap().share = 1.0, "replay.share: a share between 0 and 1"),
        (|d| d.replay.as_mut().unwrap().buffer = Some(0), "replay.buffer: at least 1 row"),
        (|d| d.valid = None, "replay.choose: forgotten needs data.valid: rows are measured at each validation"),
        (|d| d.mix.as_mut().unwrap().uses = Some(0), "data.mix.uses: at least 1"),
        (
            |d| d.mix.as_mut().unwrap().shares = data::Shares::Temperature(2.0),
            "data.mix.temperature: from 0 (all alike) to 1 (by size)",
        ),
    ];
    for (change, expected) in cases {
        let mut b = mixed(Choose::Forgotten);
        change(&mut b.plan.data);
        assert_eq!(b.run().unwrap_err().to_string(), expected);
        assert!(!b.out().exists());
    }
    let mut b = mixed(Choose::Random);
    b.plan.data.train[0].task = Some("replay".into());
    b.plan.data.mix.as_mut().unwrap().tasks[0].name = "replay".into();
    assert_eq!(b.run().unwrap_err().to_string(), "`data.train`: a task cannot be named \"replay\" beside one");
}
