//! Tasks in shares: what an epoch holds, in what order, and what replays in it.

use super::source;
use data::{
    BadRows, Choice, Choose, DataError, DataPlan, Dataset, EarlierRun, Epoch, Leg, LengthPlan, LossOn, MixPlan,
    OverLength, PACK_WINDOW, Packing, Permutation, Piece, Prepared, Purpose, ReplayPlan, Shares, Source, TaskPlan,
    Template, TextPlan, Valid, pack, prepare, source_hashes,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const SEED: u64 = 11;

struct Bench {
    dir: tempfile::TempDir,
    plan: DataPlan,
}

/// A file for each task, with rows of so many words to learn.
fn bench(tasks: &[&[usize]]) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let source = |i: usize, words: &[usize]| task(&dir.path().join(format!("t{i}.jsonl")), &format!("t{i}"), words);
    let plan = DataPlan {
        train: tasks.iter().enumerate().map(|(i, words)| source(i, words)).collect(),
        valid: None,
        unseen: Vec::new(),
        text: TextPlan {
            model_dir: Path::new(REPOSITORY).join("fixtures/models/llama"),
            template: Template::Plain("{prompt} {completion}".into()),
            loss_on: LossOn::Response,
            record_bytes_max: 1 << 16,
        },
        lengths: LengthPlan { seq_len_max: 128, over: OverLength::Truncate, packing: Packing::Examples },
        bad_rows: BadRows::Stop,
        mix: Some(mix(tasks.len(), Shares::Size)),
        replay: None,
    };
    Bench { dir, plan }
}

fn task(path: &Path, name: &str, words: &[usize]) -> Source {
    let row = |(i, n): (usize, &usize)| {
        let words: Vec<String> = (0..*n).map(|k| format!("w{}", (i * 31 + k * 7) % 97)).collect();
        format!("{}\n", serde_json::json!({"prompt": format!("question {i}"), "completion": words.join(" ")}))
    };
    std::fs::write(path, words.iter().enumerate().map(row).collect::<String>()).unwrap();
    Source { task: Some(name.to_owned()), ..source(path) }
}

fn mix(tasks: usize, shares: Shares) -> MixPlan {
    let task = |i: usize| TaskPlan { name: format!("t{i}"), cap: None };
    MixPlan { tasks: (0..tasks).map(task).collect(), shares, uses: None }
}

fn random(share: f64, sources: Vec<Source>) -> ReplayPlan {
    ReplayPlan { sources, earlier: None, written: None, share, choose: Choose::Random, buffer: None }
}

impl Bench {
    fn run(&self) -> Prepared {
        self.try_run().unwrap()
    }

    fn try_run(&self) -> Result<Prepared, DataError> {
        prepare(&self.plan, SEED, &self.dir.path().join("cache"), &mut |_, _, _| true)
    }

    /// A replay of rows of so many words.
    fn replay(&mut self, share: f64, words: &[usize]) {
        let source = task(&self.dir.path().join("replay.jsonl"), "ignored", words);
        self.plan.replay = Some(random(share, vec![Source { task: None, ..source }]));
    }

    fn epoch<'a>(&self, data: &'a Dataset, number: u64) -> Epoch<'a> {
        Epoch::new(data, &self.plan.lengths, SEED, number)
    }
}

fn units(epoch: &Epoch) -> Vec<Vec<Piece>> {
    (0..epoch.len()).map(|i| epoch.unit(i).unwrap()).collect()
}

/// Supervised tokens of each task as a loss counts them, from the masks.
fn tokens_by_task(data: &Dataset, units: &[Vec<Piece>]) -> Vec<u64> {
    let mut out = vec![0; data.tasks().len()];
    for piece in units.iter().flatten() {
        let mask = &data.example(piece.example).unwrap().supervised[piece.tokens.clone()];
        out[data.task_of(piece.example).unwrap()] += mask.iter().skip(1).filter(|on| **on).count() as u64;
    }
    out
}

fn shares(tokens: &[u64]) -> Vec<f64> {
    let total: u64 = tokens.iter().sum();
    tokens.iter().map(|n| *n as f64 / total as f64).collect()
}

fn longest(data: &Dataset) -> usize {
    (0..data.len()).map(|i| data.supervised_len(i)).max().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever lengths, weights, replay and packing: each epoch holds the shares asked for, to half a percent (or, where an
    /// epoch is shorter than that many examples, to an example a task), and says itself what it holds.
    #[test]
    fn shares_asked_for_are_shares_delivered(
        tasks in prop::collection::vec((60usize..400, 1usize..20, 1usize..60), 2..5),
        weights in prop::collection::vec(0.1f64..4.0, 5),
        temperature in prop::option::of(0.0f64..1.0),
        replay in prop::option::of(0.03f64..0.5),
        loss_on_all in any::<bool>(),
    ) {
        let words = |&(rows, least, more): &(usize, usize, usize)| (0..rows).map(|i| least + i * 37 % more).collect::<Vec<_>>();
        let words: Vec<Vec<usize>> = tasks.iter().map(words).collect();
        let mut b = bench(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let of = temperature.map_or(Shares::Weights(weights[..tasks.len()].to_vec()), Shares::Temperature);
        b.plan.mix = Some(mix(tasks.len(), of));
        if loss_on_all {
            b.plan.text.loss_on = LossOn::All;
        }
        if let Some(share) = replay {
            b.replay(share, &(0..150).map(|i| 3 + i % 40).collect::<Vec<_>>());
        }
        for packing in [Packing::Examples, Packing::Bfd, Packing::BfdSplit, Packing::Wrapped] {
            b.plan.lengths.packing = packing;
            let prepared = b.run();
            let data = &prepared.train;
            for number in [0, 1] {
                let epoch = b.epoch(data, number);
                let tokens = tokens_by_task(data, &units(&epoch));
                let told: Vec<u64> = epoch.delivered().unwrap().iter().map(|d| d.supervised_tokens).collect();
                prop_assert_eq!(&told, &tokens);
                let grain = longest(data) as f64 / tokens.iter().sum::<u64>() as f64;
                for (task, got) in data.mixture().unwrap().tasks.iter().zip(shares(&tokens)) {
                    let off = (got - task.share).abs();
                    prop_assert!(off <= f64::max(0.005, grain), "{packing:?} {number} {}: {got} of {}", task.name, task.share);
                }
            }
        }
    }
}

/// Nothing hides behind the length of an example here: two thousand rows, so half a percent it is.
#[test]
fn shares_are_exact_over_packed_epochs() {
    let mut b = bench(&[&[3; 300], &(0..500).map(|i| 5 + i % 90).collect::<Vec<_>>(), &[40; 120]]);
    b.plan.mix = Some(mix(3, Shares::Weights(vec![5.0, 3.0, 2.0])));
    b.replay(0.08, &(0..400).map(|i| 2 + i % 30).collect::<Vec<_>>());
    for packing in [Packing::Examples, Packing::Bfd, Packing::BfdSplit, Packing::Wrapped] {
        b.plan.lengths = LengthPlan { seq_len_max: 64, over: OverLength::Split, packing };
        let prepared = b.run();
        for number in 0..3 {
            let got = shares(&tokens_by_task(&prepared.train, &units(&b.epoch(&prepared.train, number))));
            for (got, asked) in got.iter().zip([0.46, 0.276, 0.184, 0.08]) {
                assert!((got - asked).abs() < 0.005, "{packing:?} epoch {number}: {got} of {asked}");
            }
        }
    }
}

#[test]
fn every_stretch_has_the_mixture() {
    let mut b = bench(&[&[10; 400], &[20; 300]]);
    b.plan.mix = Some(mix(2, Shares::Weights(vec![3.0, 1.0])));
    b.replay(0.1, &[15; 50]);
    let prepared = b.run();
    let all = units(&b.epoch(&prepared.train, 0));
    for stretch in all.chunks_exact(100) {
        let got = shares(&tokens_by_task(&prepared.train, stretch));
        for (got, asked) in got.iter().zip([0.675, 0.225, 0.1]) {
            assert!((got - asked).abs() < 0.03, "{got} of {asked}");
        }
    }
    // Packed, where best-fit decreasing puts the short examples of one task into rows of their own.
    let mut b = bench(&[&[3; 900], &[70; 200]]);
    b.plan.mix = Some(mix(2, Shares::Weights(vec![1.0, 1.0])));
    b.replay(0.1, &[15; 50]);
    for packing in [Packing::Bfd, Packing::BfdSplit] {
        b.plan.lengths.packing = packing;
        let prepared = b.run();
        let all = units(&b.epoch(&prepared.train, 0));
        assert!(all.len() > 60, "{}", all.len());
        for stretch in all.chunks_exact(20) {
            let got = shares(&tokens_by_task(&prepared.train, stretch));
            for (got, asked) in got.iter().zip([0.45, 0.45, 0.1]) {
                assert!((got - asked).abs() < 0.07, "{packing:?}: {got} of {asked}");
            }
        }
    }
}

#[test]
fn by_size_everything_comes_once() {
    let mut b = bench(&[&[3; 700], &(0..900).map(|i| 1 + i % 150).collect::<Vec<_>>(), &[9]]);
    for packing in [Packing::Examples, Packing::Bfd, Packing::BfdSplit, Packing::Wrapped] {
        b.plan.lengths.packing = packing;
        let prepared = b.run();
        let data = &prepared.train;
        let mut tokens = vec![0; data.len()];
        for piece in units(&b.epoch(data, 0)).iter().flatten() {
            tokens[piece.example] += piece.tokens.len();
        }
        for (example, tokens) in tokens.iter().enumerate() {
            assert_eq!(*tokens, data.token_len(example), "{packing:?}: example {example}");
        }
    }
}

/// Over epochs, and also where a task ends in the middle of one.
#[test]
fn no_example_comes_again_before_all_of_its_task_came() {
    let mut b = bench(&[&[7; 40], &(0..130).map(|i| 2 + i % 11).collect::<Vec<_>>()]);
    b.plan.mix = Some(mix(2, Shares::Weights(vec![1.0, 1.0])));
    b.replay(0.2, &[5; 33]);
    let prepared = b.run();
    let data = &prepared.train;
    let drawn: Vec<usize> = (0..6).flat_map(|e| units(&b.epoch(data, e))).map(|unit| unit[0].example).collect();
    for (task, n) in [(0, 40), (1, 130), (2, 33)] {
        let own: Vec<usize> = drawn.iter().copied().filter(|e| data.task_of(*e) == Some(task)).collect();
        assert!(own.len() > 2 * n);
        let mut passes = BTreeSet::new();
        for pass in own.chunks_exact(n) {
            assert_eq!(pass.iter().collect::<BTreeSet<_>>().len(), n, "task {task}");
            assert!(passes.insert(pass), "a fresh order each time");
        }
    }
}

#[test]
fn an_epoch_ends_by_its_rule() {
    let examples = |b: &Bench| -> Vec<u64> {
        let prepared = b.run();
        b.epoch(&prepared.train, 0).delivered().unwrap().iter().map(|d| d.examples).collect()
    };
    // 100 and 1000 rows of the same length.
    let mut b = bench(&[&[10; 100], &[10; 1000]]);
    b.plan.mix = Some(mix(2, Shares::Temperature(0.0)));
    // Until the last row of the larger came.
    let got = examples(&b);
    assert!(got[1] == 1000 && got[0].abs_diff(1000) <= 20, "{got:?}");
    b.plan.mix.as_mut().unwrap().uses = Some(3);
    let got = examples(&b);
    assert!(got[0] == 300 && got[1].abs_diff(300) <= 10, "{got:?}");
    // A cap is never passed, and is the size that counts.
    let mut capped = mix(2, Shares::Size);
    capped.tasks[1].cap = Some(50);
    b.plan.mix = Some(capped);
    let got = examples(&b);
    assert!(got[1] <= 50 && got[0].abs_diff(100) <= 5 && got[1] >= 47, "{got:?}");
    let mut both = mix(2, Shares::Weights(vec![1.0, 3.0]));
    both.tasks[1].cap = Some(90);
    b.plan.mix = Some(both);
    let got = examples(&b);
    assert!(got[1] == 90 && got[0].abs_diff(30) <= 3, "{got:?}");
}

#[test]
fn an_epoch_is_a_function_of_its_number() {
    let mut b = bench(&[&[3; 900], &(0..1500).map(|i| 1 + i % 70).collect::<Vec<_>>()]);
    b.plan.mix = Some(mix(2, Shares::Weights(vec![2.0, 1.0])));
    b.replay(0.1, &[12; 70]);
    for packing in [Packing::Examples, Packing::Bfd, Packing::Wrapped] {
        b.plan.lengths.packing = packing;
        let prepared = b.run();
        let third = b.epoch(&prepared.train, 2);
        let by_steps = b.epoch(&prepared.train, 0).following(&[]).following(&[]);
        assert_eq!(units(&third), units(&by_steps));
        assert_ne!(units(&third), units(&b.epoch(&prepared.train, 1)));
        // From any place, and backwards.
        let fresh = b.epoch(&prepared.train, 2);
        for i in (0..fresh.len()).rev().step_by(97) {
            assert_eq!(fresh.unit(i).unwrap(), third.unit(i).unwrap());
        }
    }
}

/// Rows chosen under way: what came before stays, what comes after has the new rows in the same share, and whoever enters at the
/// choice sees the same.
#[test]
fn legs_join() {
    let mut b = bench(&[&(0..900).map(|i| 3 + i % 30).collect::<Vec<_>>()]);
    b.plan.mix = None;
    b.plan.train[0].task = None;
    b.replay(0.25, &(0..60).map(|i| 5 + i % 20).collect::<Vec<_>>());
    for packing in [Packing::Examples, Packing::Bfd, Packing::Wrapped] {
        b.plan.lengths.packing = packing;
        b.plan.replay.as_mut().unwrap().choose = Choose::Forgotten;
        let prepared = b.run();
        let data = &prepared.train;
        assert_eq!(data.tasks(), ["train", "replay"]);
        let along = |epoch, legs: &[Leg]| Epoch::along(data, &b.plan.lengths, SEED, epoch, legs).unwrap();
        let whole = b.epoch(data, 0);
        let pool: Vec<u32> = data.mixture().unwrap().replay_rows().map(|row| row as u32).collect();
        assert_eq!(pool, (900..960).collect::<Vec<u32>>());
        let choice = |number, rows: &[u32]| Choice { number, rows: rows.to_vec() };
        let first = whole.leg(whole.len() / 3, choice(1, &pool[..20])).unwrap();
        assert!(first.epoch == 0 && first.unit as usize >= whole.len() / 3);
        let start = Leg::start(data.mixture().unwrap());
        let one = along(0, &[start.clone(), first.clone()]);
        let second = one.leg(2 * one.len() / 3, choice(2, &pool[40..])).unwrap();
        let two = along(0, &[start.clone(), first.clone(), second.clone()]);
        let seen = |epoch: &Epoch, from: u64, to: u64| -> BTreeSet<u32> {
            let pieces = (from..to).flat_map(|i| epoch.unit(i as usize).unwrap());
            pieces.map(|p| p.example as u32).filter(|e| *e >= 900).collect()
        };
        let end = two.len() as u64;
        assert_eq!(seen(&two, first.unit, second.unit), pool[..20].iter().copied().collect(), "{packing:?}");
        assert_eq!(seen(&two, second.unit, end), pool[40..].iter().copied().collect(), "{packing:?}");
        let entered = along(0, std::slice::from_ref(&second));
        assert_eq!(entered.len(), two.len());
        for i in second.unit..end {
            assert_eq!(entered.unit(i as usize).unwrap(), two.unit(i as usize).unwrap(), "{packing:?}: unit {i}");
        }
        assert!(matches!(entered.unit(0), Err(DataError::OutOfRange { .. })));
        let next = along(1, std::slice::from_ref(&second));
        assert_eq!(units(&next), units(&two.following(&[])), "{packing:?}");
        assert!(shares(&tokens_by_task(data, &units(&next)))[1] - 0.25 < 0.005);
        // At the end of an epoch the choice begins with the next.
        let third = two.leg(two.len(), choice(3, &pool[..5])).unwrap();
        assert_eq!((third.epoch, third.unit), (1, 0));
        let next = along(1, &[second.clone(), third.clone()]);
        assert_eq!(seen(&next, 0, next.len() as u64), pool[..5].iter().copied().collect(), "{packing:?}");
        assert_eq!(units(&next), units(&along(1, std::slice::from_ref(&third))));
        assert!(Epoch::along(data, &b.plan.lengths, SEED, 0, &[third]).is_err());
    }
}

#[test]
fn rows_are_chosen_by_length_or_for_their_variety() {
    let mut b = bench(&[&[30; 200]]);
    b.replay(0.1, &(0..900).map(|i| 1 + i % 60).collect::<Vec<_>>());
    let chosen = |b: &mut Bench, choose| {
        let replay = b.plan.replay.as_mut().unwrap();
        (replay.choose, replay.buffer) = (choose, Some(12));
        let prepared = b.run();
        let rows: Vec<usize> = prepared.train.mixture().unwrap().replay_rows().collect();
        assert_eq!(rows.len(), 12);
        let lengths: Vec<usize> = rows.iter().map(|r| prepared.train.token_len(*r)).collect();
        (rows, lengths, prepared.train.token_len(0))
    };
    let (any, spread, trained) = chosen(&mut b, Choose::Random);
    let (_, lengths, _) = chosen(&mut b, Choose::Length);
    // All training rows are about as long: so are the nearest of eight times as many as are taken.
    let off = |lengths: &[usize]| lengths.iter().map(|n| n.abs_diff(trained)).sum::<usize>();
    assert!(4 * off(&lengths) < off(&spread), "{lengths:?} and {spread:?} for {trained}");
    assert_eq!(any, chosen(&mut b, Choose::Random).0, "the same seed");

    // Ten texts, each many times with another number at its end, and one in three rows of the last.
    let text = |i: usize| {
        let topic = if i.is_multiple_of(3) { 9 } else { i % 10 };
        let words: Vec<String> = (0..25)
            .map(|k| {
                format!(
                    "{}{}",
                    ["al", "be", "co", "du", "ex", "fo", "gi", "ho", "ja", "ku"][topic],
                    (k * 13 + topic * 7) % 89
                )
            })
            .collect();
        (topic, format!("{}\n", serde_json::json!({"prompt": words.join(" "), "completion": format!("row {i}")})))
    };
    let path = b.plan.replay.as_ref().unwrap().sources[0].path.clone();
    std::fs::write(&path, (0..300).map(|i| text(i).1).collect::<String>()).unwrap();
    let topics = |rows: &[usize]| rows.iter().map(|r| text(*r - 200).0).collect::<BTreeSet<_>>().len();
    let (varied, ..) = chosen(&mut b, Choose::Diversity);
    assert_eq!(topics(&varied), 10, "{varied:?}");
    assert!(topics(&chosen(&mut b, Choose::Random).0) < 10);
}

#[test]
fn weights_and_tasks_read_no_row_again_and_change_no_hash() {
    let mut b = bench(&[&[5; 20], &[6; 30]]);
    let first = b.run();
    b.plan.mix = None;
    b.plan.train.iter_mut().for_each(|s| s.task = None);
    let mut read = 0;
    let plain = prepare(&b.plan, SEED, &b.dir.path().join("cache"), &mut |rows, _, _| {
        read = rows;
        true
    })
    .unwrap();
    assert_eq!((read, &plain.data_hash), (0, &first.data_hash));
    assert!(plain.train.mixture().is_none() && plain.train.tasks().is_empty());
}

#[test]
fn an_earlier_runs_rows_are_replayed_only_as_they_were() {
    let mut b = bench(&[&[5; 20]]);
    b.replay(0.1, &[8; 40]);
    let cache = b.dir.path().join("cache");
    assert_eq!(source_hashes(&b.dir.path().join("none"), &b.plan, SEED).unwrap(), None);
    b.run();
    // The run as it was, with its own cache.
    let run = b.dir.path().join("a");
    let sources = b.plan.replay.as_ref().unwrap().sources.clone();
    let valid = Some(Valid::Share(0.25));
    let earlier = DataPlan { train: sources, valid, mix: None, replay: None, ..b.plan.clone() };
    prepare(&earlier, 3, &run.join("cache"), &mut |_, _, _| true).unwrap();
    let replay = b.plan.replay.as_mut().unwrap();
    let sha256 = source_hashes(&run.join("cache"), &earlier, 3).unwrap().expect("the cache that was just made");
    replay.earlier = Some(EarlierRun { dir: run, sha256, held_back: Some((0.25, 3)) });
    let path = replay.sources[0].path.clone();
    let prepared = b.run();
    // A quarter was held back then.
    assert_eq!(prepared.replay_counts.unwrap().examples, 30);
    // With other lengths another quarter might be.
    let mut other = b.plan.clone();
    other.lengths.seq_len_max += 1;
    let error = prepare(&other, SEED, &cache, &mut |_, _, _| true).err().expect("refused").to_string();
    assert!(error.contains("held back for validation"), "{error}");
    task(&path, "x", &[9; 40]);
    let error = b.try_run().err().expect("refused").to_string();
    assert!(error.contains("not what the run in"), "{error}");
}

/// One shuffle of all rows, packed in windows of a thousand whose rows are shuffled again: what runs were trained on before there
/// were tasks, and are resumed on.
#[test]
fn without_tasks_the_order_is_the_shuffle_that_it_was() {
    let mut b = bench(&[&[4; 700], &(0..800).map(|i| 1 + i % 40).collect::<Vec<_>>()]);
    b.plan.mix = None;
    for packing in [Packing::Examples, Packing::Bfd, Packing::Wrapped] {
        b.plan.lengths.packing = packing;
        let data = b.run().train;
        let order = Permutation::new(1500, SEED, 1, Purpose::Shuffle);
        let examples: Vec<usize> = (0..1500).map(|i| order.at(i) as usize).collect();
        let mut expected = Vec::new();
        let window = if packing == Packing::Examples { 1500 } else { PACK_WINDOW };
        for (number, window) in examples.chunks(window).enumerate() {
            let lengths: Vec<usize> = window.iter().map(|e| data.token_len(*e)).collect();
            let rows = pack(&lengths, b.plan.lengths.seq_len_max, packing);
            let shuffle = Permutation::new(rows.len() as u64, SEED, 1, Purpose::Window(number as u64));
            for i in 0..rows.len() {
                let place = if packing == Packing::Examples { i } else { shuffle.at(i as u64) as usize };
                let named = rows[place].iter().map(|p| Piece { example: window[p.example], tokens: p.tokens.clone() });
                expected.push(named.collect::<Vec<_>>());
            }
        }
        assert_eq!(units(&b.epoch(&data, 1)), expected, "{packing:?}");
    }
}

#[test]
fn what_no_mixture_can_be_made_of_is_refused() {
    let refusal = |b: &Bench| b.try_run().err().expect("a refusal").to_string();
    let mut b = bench(&[&[5; 20], &[6; 30]]);
    b.plan.mix = Some(mix(3, Shares::Size));
    assert_eq!(refusal(&b), "`data.train`: no row of the task \"t2\" is usable");
    b.plan.mix = Some(mix(2, Shares::Weights(vec![1.0])));
    assert_eq!(refusal(&b), "`data.mix`: it needs one weight above 0 a task");
    b.plan.mix = Some(mix(1, Shares::Size));
    assert!(refusal(&b).ends_with("t1.jsonl: the source needs a `task` of the mixture's"), "{}", refusal(&b));
}
