//! A set that nothing is chosen by: it tells something and changes nothing.

use crate::common::{Bench, bench, json_lines, promised, resume, source};
use crate::resume::kill_everywhere;
use crate::tfevents;
use data::{DataError, Packing};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use train::{Event, Summary, TrainError};

/// Rows of another kind than the training's.
const STRANGE: &str = "{\"prompt\":\"zq xv 77\",\"completion\":\"## kpw qqj 0x9f\"}\n\
    {\"prompt\":\"== ++\",\"completion\":\"vv zz 3141 qx jjk\"}\n\
    {\"prompt\":\"%% 41\",\"completion\":\"wxq 99 zzz kk\"}\n\
    {\"prompt\":\"qq\",\"completion\":\"jx 12 vvq ## zp\"}\n";
/// As the training's, word for word in part.
const ALIKE: &str = "{\"prompt\":\"The dog\",\"completion\":\"sat on the mat\"}\n\
    {\"prompt\":\"Tom and Mom\",\"completion\":\"went to the park\"}\n\
    {\"prompt\":\"It was\",\"completion\":\"a big red bird\"}\n";

fn add(b: &mut Bench, rows: &str) {
    let path = b.temp.path().join("unseen.jsonl");
    fs::write(&path, rows).unwrap();
    b.plan.data.unseen = vec![source(&path)];
}

/// The end of a run, and what it noted.
fn noted(b: &Bench) -> (Summary, Vec<String>) {
    let mut notes = Vec::new();
    let summary = b
        .run_with(&AtomicBool::new(false), &mut |e| {
            if let Event::Note(note) = e {
                notes.push(note);
            }
        })
        .unwrap();
    (summary, notes)
}

/// What was trained: metrics without the unseen losses, adapters, and tensors of the last checkpoint.
fn trained(b: &Bench) -> BTreeMap<String, Vec<u8>> {
    let mut files = promised(b.out(), 7);
    files.retain(|name, _| !name.ends_with("state.json") && !name.ends_with("manifest.json"));
    let lines = json_lines(&b.out().join("metrics.jsonl")).into_iter().map(|mut line| {
        line.as_object_mut().unwrap().remove("unseen_loss");
        line.to_string() + "\n"
    });
    files.insert("metrics.jsonl".into(), lines.collect::<String>().into_bytes());
    files
}

/// Also where the pass's size is left to the memory plan and the unseen rows are the longest, and where early stops are counted.
#[test]
fn it_changes_no_byte_of_what_is_trained() {
    let long = format!("{}{{\"prompt\":\"a\",\"completion\":\"{}\"}}\n", STRANGE, "dog cat ".repeat(14));
    for (packing, micro) in [(Packing::Examples, None), (Packing::Examples, Some(40)), (Packing::Bfd, Some(64))] {
        let mut without = bench();
        without.lora_mut().dropout = 0.1;
        without.plan.data.lengths.packing = packing;
        without.plan.train.micro_tokens = micro;
        without.plan.train.early_stop = Some(train::EarlyStop { patience: 9, min_delta: 0.0 });
        let mut with = bench();
        with.plan = train::Plan { out: with.plan.out.clone(), ..without.plan.clone() };
        add(&mut with, &long);
        without.run().unwrap();
        let (_, notes) = noted(&with);
        assert!(packing != Packing::Examples || notes.iter().any(|n| n.contains("in stretches")), "{notes:?}");
        let (a, b) = (trained(&without), trained(&with));
        assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
        assert!(a.contains_key("adapter/adapter_model.safetensors") && a.len() > 6, "{:?}", a.keys());
        a.iter().for_each(|(name, bytes)| assert!(bytes == &b[name], "{packing:?} {micro:?}: {name} differs"));
    }
}

#[test]
fn its_gap_is_measured_told_and_written() {
    let mut b = bench();
    add(&mut b, STRANGE);
    let mut events = Vec::new();
    let mut notes = Vec::new();
    let summary = b
        .run_with(&AtomicBool::new(false), &mut |e| match e {
            Event::Valid { step, unseen, .. } => events.push((step, unseen.unwrap())),
            Event::Note(note) => notes.push(note),
            _ => {}
        })
        .unwrap();
    let lines = json_lines(&b.out().join("metrics.jsonl"));
    let lines: Vec<&Value> = lines.iter().filter(|l| l.get("valid_loss").is_some()).collect();
    assert_eq!(events.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [2, 4, 6, 7]);
    for (line, (step, loss)) in lines.iter().zip(&events) {
        assert_eq!((line["step"].as_u64(), line["unseen_loss"].as_f64()), (Some(*step), Some(*loss)));
    }
    let gap = summary.unseen.unwrap();
    assert_eq!((Some(gap.step), Some(gap.valid_loss)), (summary.best_step, summary.best_valid_loss));
    assert_eq!((gap.valid_examples, gap.unseen_examples), (3, 4));
    assert!(gap.is_open() && gap.unseen_mean > gap.valid_mean + 1.0, "{gap:?}");
    let open: Vec<_> =
        notes.iter().filter(|n| n.starts_with("worse on unseen rows than in validation: step 2:")).collect();
    assert_eq!(open.len(), 1, "once: {notes:?}");
    let last = notes.last().unwrap();
    for part in ["warning: the best step is worse on data.unseen than on data.valid", "Welch's test", "step 2", "+"] {
        assert!(last.contains(part), "no {part:?} in {last}");
    }
    let run: Value = serde_json::from_slice(&fs::read(b.out().join("run.json")).unwrap()).unwrap();
    assert_eq!(run["unseen"]["unseen_loss"].as_f64(), Some(gap.unseen_loss));
    assert_eq!((&run["unseen_gap_open"], &run["unseen_counts"]["examples"]), (&true.into(), &4.into()));
    let board = fs::read_dir(b.out().join("tensorboard")).unwrap().map(|e| e.unwrap().path());
    let scalars: Vec<_> = board.flat_map(|path| tfevents::read(&path)).filter(|s| s.0 == "valid/unseen_loss").collect();
    assert_eq!(scalars.len(), 4);
}

#[test]
fn rows_like_the_validations_are_no_reason_to_warn() {
    let mut b = bench();
    add(&mut b, ALIKE);
    let (summary, notes) = noted(&b);
    assert!(!summary.unseen.unwrap().is_open(), "{summary:?}");
    assert!(!notes.iter().any(|n| n.contains("worse")), "{notes:?}");
}

#[test]
fn killed_anywhere_with_an_unseen_set() {
    let mut b = bench();
    add(&mut b, STRANGE);
    kill_everywhere(&b, 7);
}

/// It is opened once, however often the run is cut.
#[test]
fn a_resumed_run_does_not_tell_again_when_the_gap_opened() {
    let mut b = bench();
    add(&mut b, STRANGE);
    b.run_interrupted(|e| matches!(e, Event::Step { step: 3, .. }));
    let mut notes = Vec::new();
    let stop = AtomicBool::new(false);
    train::resume(b.out(), &runfs::RealFs, &stop, &mut |e| {
        if let Event::Note(note) = e {
            notes.push(note);
        }
    })
    .unwrap();
    assert!(!stop.load(Ordering::Relaxed));
    assert!(!notes.iter().any(|n| n.starts_with("worse on unseen")), "{notes:?}");
    assert!(notes.iter().any(|n| n.starts_with("warning: the best step")), "{notes:?}");
}

#[test]
fn what_cannot_be_unseen_is_refused() {
    let mut b = bench();
    add(&mut b, STRANGE);
    b.plan.data.valid = None;
    let refused = b.run().unwrap_err().to_string();
    assert!(refused.contains("data.unseen") && refused.contains("needs data.valid"), "{refused}");

    for file in ["train.jsonl", "valid.jsonl"] {
        let mut b = bench();
        let bytes = fs::read_to_string(b.temp.path().join(file)).unwrap();
        add(&mut b, &bytes);
        let refused = b.run().unwrap_err();
        let expected = b.temp.path().join(file);
        assert!(matches!(&refused, TrainError::Data(DataError::Unseen { seen, .. }) if *seen == expected), "{refused}");
    }

    let mut b = bench();
    add(&mut b, STRANGE);
    b.run_interrupted(|e| matches!(e, Event::Step { step: 3, .. }));
    add(&mut b, ALIKE);
    assert!(matches!(resume(b.out()), Err(TrainError::DataChanged { .. })));
}
