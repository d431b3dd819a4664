//! λ found on probes before the first step.

use crate::common::{Bench, bench, json_lines, promised, resume, source};
use runfs::RealFs;
use serde_json::Value;
use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use train::{Event, EwcOf, EwcPlan, Lambda, RunLength, Schedule, Sought, TrainError, Warmup};

const STEPS: u64 = 24;
const EXAMPLES: usize = 20;

/// So many short stories of the kind that the base was trained on, all different.
fn stories(b: &Bench, n: usize) -> PathBuf {
    let path = b.temp.path().join("stories.jsonl");
    let line = |i: usize| {
        let of = |list: [&'static str; 4], at: usize| list[at % 4];
        let (size, who) = (of(["little", "big", "happy", "sad"], i), of(["girl", "boy", "dog", "cat"], i / 4));
        let what = of(["play outside", "eat cake", "run fast", "sing songs"], i / 16);
        let completion = format!("there was a {size} {who}. It loved to {what}.");
        format!("{}\n", serde_json::json!({"prompt": "One day,", "completion": completion}))
    };
    fs::write(&path, (0..n).map(line).collect::<String>()).unwrap();
    path
}

/// A run that forgets, held so that general loss rises by at most `rise`.
fn sought(rise: f64) -> Bench {
    let mut b = bench();
    let of = EwcOf::Base(vec![source(&stories(&b, 64))]);
    let lambda = Lambda::Sought(Sought { rise, steps: Some(8), found: None });
    b.plan.ewc = vec![EwcPlan { of, lambda, examples: EXAMPLES }];
    b.plan.train.length = RunLength::Steps(STEPS);
    (b.plan.train.schedule, b.plan.train.warmup) = (Schedule::Cosine, Warmup::Steps(3));
    (b.plan.train.eval_every, b.plan.train.checkpoint_every) = (Some(12), 12);
    b
}

fn json(b: &Bench, name: &str) -> Value {
    serde_json::from_slice(&fs::read(b.out().join(name)).unwrap()).unwrap()
}

/// The same with what was found given by hand, at the same place.
fn by_hand(mut b: Bench, found: f64) -> Bench {
    fs::rename(b.out(), b.temp.path().join("searched")).unwrap();
    b.plan.ewc[0].lambda = Lambda::Given(found);
    b.run().unwrap();
    b
}

#[test]
fn what_is_found_is_the_smallest_that_holds_and_the_run_is_that_with_it_given() {
    let b = sought(0.05);
    let (probed, noted) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let summary = b.run_with(&AtomicBool::new(false), &mut |e| match e {
        Event::Probed { tried, holds } => probed.borrow_mut().push((tried.clone(), holds)),
        Event::Note(text) => noted.borrow_mut().push(text),
        _ => {}
    });
    let (summary, probed, noted) = (summary.unwrap(), probed.into_inner(), noted.into_inner());
    let risen = summary.risen.as_ref().unwrap();

    assert_eq!(risen.probes, probed.iter().map(|(tried, _)| tried.clone()).collect::<Vec<_>>());
    assert!(probed[0].0.lambda == 0.0 && !probed[0].1, "without a penalty it forgets: {probed:?}");
    let held = probed.iter().filter(|(_, holds)| *holds).map(|(tried, _)| tried.lambda);
    assert_eq!(held.reduce(f64::min), Some(risen.lambda), "{probed:?}");
    let below = probed.iter().map(|(tried, _)| tried.lambda).filter(|lambda| *lambda < risen.lambda);
    assert!(risen.lambda <= 2.0 * below.fold(0.0, f64::max), "{probed:?}");
    assert_eq!((risen.rows, risen.probe_steps), (44, 8));
    assert!(noted.iter().any(|note| note.starts_with("λ is found on probes of 8 steps")), "{noted:?}");

    // Measured when all is done, and told where it is more.
    let rise = risen.general_loss.unwrap() / risen.general_loss_before - 1.0;
    assert_eq!(risen.rise, Some(rise));
    assert_eq!(
        noted.iter().any(|note| note.starts_with("warning: the general loss has risen")),
        rise > 0.05,
        "{noted:?}"
    );
    let said = json(&b, "run.json");
    assert_eq!(said["ewc_rise"]["lambda"].as_f64(), Some(risen.lambda));
    assert_eq!(said["ewc_rise"]["probes"].as_array().unwrap().len(), probed.len());
    assert_eq!(said["plan"]["ewc"][0]["lambda"]["found"].as_f64(), Some(risen.lambda));

    let (lambda, searched) = (risen.lambda, promised(b.out(), STEPS));
    let b = by_hand(b, lambda);
    assert!(promised(b.out(), STEPS) == searched);
    assert!(json(&b, "run.json").get("ewc_rise").is_none());
}

/// Masks, replay and dropout begin again with each probe and with the run.
#[test]
fn nothing_of_a_probe_is_left_in_the_run() {
    let mut b = sought(0.2);
    b.mix(data::Choose::Forgotten);
    adaptive(&mut b);
    let summary = b.run().unwrap();
    let (lambda, searched) = (summary.risen.unwrap().lambda, promised(b.out(), STEPS));
    let b = by_hand(b, lambda);
    assert!(promised(b.out(), STEPS) == searched);
}

/// AdaLoRA with dropout.
fn adaptive(b: &mut Bench) {
    let lora = b.lora_mut();
    (lora.dropout, lora.init) = (0.1, model::InitWeights::Gaussian);
    lora.ada = Some(model::AdaPlan {
        target_r: 2,
        warmup: model::Span::Steps(3),
        last: model::Span::Steps(6),
        every: Some(2),
        beta1: 0.85,
        beta2: 0.85,
        orthogonality: 0.5,
    });
}

#[test]
fn a_search_that_is_cut_goes_on_where_it_was() {
    let b = sought(0.05);
    let whole = b.run().unwrap();
    let (want, said) = (promised(b.out(), STEPS), json(&b, "run.json")["ewc_rise"].clone());
    let probes = whole.risen.unwrap().probes.len();
    assert!(probes >= 4, "{probes}");
    type At = fn(&Event, usize) -> bool;
    let cuts: [(&str, At, usize); 5] = [
        ("in the Fisher", |e, _| matches!(e, Event::Measuring { examples: 3, .. }), 0),
        ("in the first probe", |e, n| matches!(e, Event::Probing { step: 5, .. }) && n == 0, 0),
        ("between probes", |e, n| matches!(e, Event::Probed { .. }) && n == 1, 1),
        ("in a later probe", |e, n| matches!(e, Event::Probing { step: 2, .. }) && n == 2, 2),
        ("while training", |e, _| matches!(e, Event::Step { step: 14, .. }), usize::MAX),
    ];
    for (what, at, known) in cuts {
        fs::remove_dir_all(b.out()).unwrap();
        let finished = RefCell::new(0);
        b.run_interrupted(|e| {
            if matches!(e, Event::Probed { .. }) {
                *finished.borrow_mut() += 1;
            }
            at(e, *finished.borrow())
        });
        let begun = RefCell::new(0);
        train::resume(b.out(), &RealFs, &AtomicBool::new(false), &mut |e| {
            if matches!(e, Event::Probing { step: 1, .. }) {
                *begun.borrow_mut() += 1;
            }
        })
        .unwrap();
        assert_eq!(begun.into_inner(), probes.saturating_sub(known), "{what}");
        assert!(promised(b.out(), STEPS) == want, "{what}");
        assert_eq!(json(&b, "run.json")["ewc_rise"], said, "{what}");
    }

    // A signal while the end is measured: every step is done and saved.
    fs::remove_dir_all(b.out()).unwrap();
    let (stop, done) = (AtomicBool::new(false), RefCell::new(false));
    let cut = b.run_with(&stop, &mut |e| match e {
        Event::Checkpoint { step: STEPS, .. } => *done.borrow_mut() = true,
        Event::Phase("evaluate") if *done.borrow() => stop.store(true, Ordering::Relaxed),
        _ => {}
    });
    assert!(matches!(cut, Err(TrainError::Interrupted { step: STEPS })), "{cut:?}");
    resume(b.out()).unwrap();
    assert!(promised(b.out(), STEPS) == want);
    assert_eq!(json(&b, "run.json")["ewc_rise"], said);
}

#[test]
fn what_nothing_holds_is_refused_and_what_was_probed_serves_again() {
    let mut b = sought(1e-7);
    // Steps so long that no penalty calms them.
    (b.plan.train.lr, b.plan.train.schedule) = (0.03, Schedule::Constant);
    let refused = b.run();
    let Err(TrainError::NoLambda { probes, rise, least, largest, .. }) = refused else { panic!("{refused:?}") };
    assert!(rise == 1e-7 && least.unwrap() > rise && largest > 1e6, "{refused:?}");
    assert!(!b.out().join("plan.json").exists(), "the folder holds no run");

    let Lambda::Sought(sought) = &mut b.plan.ewc[0].lambda else { panic!("it is sought") };
    sought.rise = 0.9;
    let (told, begun) = (RefCell::new(0), RefCell::new(0));
    let summary = b.run_with(&AtomicBool::new(false), &mut |e| match e {
        Event::Probed { .. } => *told.borrow_mut() += 1,
        Event::Probing { step: 1, .. } => *begun.borrow_mut() += 1,
        _ => {}
    });
    let (told, begun) = (told.into_inner(), begun.into_inner());
    assert_eq!(told - begun, probes, "all that was probed is known");
    assert!(begun < told, "{begun} of {told}");
    assert!(summary.unwrap().risen.unwrap().lambda > 0.0);
}

#[test]
fn a_run_that_forgets_nothing_is_held_all_the_same() {
    let mut b = sought(0.5);
    b.plan.train.lr = 1e-5;
    let notes = RefCell::new(Vec::new());
    let summary = b.run_with(&AtomicBool::new(false), &mut |e| {
        if let Event::Note(text) = e {
            notes.borrow_mut().push(text);
        }
    });
    let risen = summary.unwrap().risen.unwrap();
    assert!(risen.lambda > 0.0 && risen.probes.len() == 2 && risen.is_within(), "{risen:?}");
    assert!(notes.into_inner().iter().any(|note| note.contains("a probe holds without any")));
    let penalties = json_lines(&b.out().join("metrics.jsonl"));
    assert!(penalties.iter().filter_map(|line| line["penalty"].as_f64()).any(|p| p > 0.0));
}

/// The rise is that of the earlier task's loss, on rows of its training data.
#[test]
fn an_earlier_task_is_held_within_a_rise() {
    let mut b = bench();
    let rows = b.temp.path().join("stories.jsonl");
    b.plan.data.train = vec![source(&stories(&b, 64))];
    assert!(rows.exists());
    b.run().unwrap();
    let first = b.temp.path().join("first");
    fs::rename(b.out(), &first).unwrap();
    b.plan.data.train = vec![source(&b.temp.path().join("train.jsonl"))];
    b.lora_mut().start_from = Some(first.join("adapter"));
    let lambda = Lambda::Sought(Sought { rise: 0.1, steps: None, found: None });
    b.plan.ewc = vec![EwcPlan { of: EwcOf::Run { dir: first, decay: 0.5 }, lambda, examples: EXAMPLES }];
    b.plan.train.length = RunLength::Steps(STEPS);
    let risen = b.run().unwrap().risen.unwrap();
    assert!(risen.probes.iter().any(|tried| tried.lambda == risen.lambda && tried.holds(0.1)), "{risen:?}");
    assert_eq!((risen.probe_steps, risen.rows), (20, 44));
    let (lambda, searched) = (risen.lambda, promised(b.out(), STEPS));
    let b = by_hand(b, lambda);
    assert!(promised(b.out(), STEPS) == searched);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let mut b = sought(0.05);
    b.plan.ewc[0].examples = 45;
    let refused = b.run();
    assert!(matches!(refused, Err(TrainError::TooFewGeneral { examples: 64, fisher: 45, least: 20 })), "{refused:?}");
    let previewed = train::preview(&b.plan, &RealFs, &AtomicBool::new(false), &mut |_| {});
    assert!(matches!(previewed, Err(TrainError::TooFewGeneral { .. })));

    let refuse = |b: &Bench, key: &str| match b.run() {
        Err(TrainError::Plan { field, .. }) => assert_eq!(field, key),
        other => panic!("{other:?}"),
    };
    let file = b.temp.path().join("fisher.safetensors");
    let of = std::mem::replace(&mut b.plan.ewc[0].of, EwcOf::File(file));
    refuse(&b, "ewc.rise");
    b.plan.ewc[0].of = of;
    let twice = b.plan.ewc[0].clone();
    b.plan.ewc.push(twice);
    refuse(&b, "ewc.rise");
    b.plan.ewc.pop();
    b.plan.ewc[0].lambda = Lambda::Sought(Sought { rise: 2.0, steps: None, found: None });
    refuse(&b, "ewc.rise");
    b.plan.ewc[0].lambda = Lambda::Sought(Sought { rise: 0.1, steps: Some(0), found: None });
    refuse(&b, "ewc.probe_steps");

    // A probe goes through the whole schedule.
    let mut short = sought(0.05);
    adaptive(&mut short);
    short.plan.ewc[0].lambda = Lambda::Sought(Sought { rise: 0.1, steps: Some(2), found: None });
    refuse(&short, "ewc.probe_steps");

    // As everything that a run depends on: its general rows are looked at again.
    let b = sought(0.05);
    b.run_interrupted(|e| matches!(e, Event::Step { step: 14, .. }));
    stories(&b, 60);
    let refused = resume(b.out());
    assert!(matches!(refused, Err(TrainError::DataChanged { .. })), "{refused:?}");
    stories(&b, 64);
    resume(b.out()).unwrap();
}
