//! A replay that the base writes itself.

use crate::common::{Bench, assert_same, bench, json_lines, promised, repository, resume};
use crate::resume::kill_everywhere;
use data::{Choose, ReplayPlan, Valid, WrittenPlan};
use runfs::RealFs;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use train::{Event, RunLength, TrainError};

fn written(texts: u64, tokens: Option<usize>) -> ReplayPlan {
    ReplayPlan {
        sources: Vec::new(),
        earlier: None,
        written: Some(WrittenPlan { texts, tokens }),
        share: 0.3,
        choose: Choose::Random,
        buffer: None,
    }
}

fn writing(texts: u64) -> Bench {
    let mut b = bench();
    b.plan.data.replay = Some(written(texts, None));
    b
}

fn rows(out: &Path) -> Vec<Value> {
    json_lines(&out.join("replay-self.jsonl"))
}

fn record(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("replay-self.json")).unwrap()).unwrap()
}

#[test]
fn killed_anywhere_with_a_replay_that_the_base_writes() {
    kill_everywhere(&writing(12), 7);
}

#[test]
fn the_base_writes_as_many_as_are_wanted_and_no_longer_than_training_rows() {
    let mut b = writing(30);
    let mut notes = Vec::new();
    let mut told = Vec::new();
    b.run_with(&AtomicBool::new(false), &mut |e| match e {
        Event::Note(note) => notes.push(note),
        Event::Writing { texts, of } => told.push((texts, of)),
        _ => {}
    })
    .unwrap();
    let texts = rows(b.out());
    assert_eq!(texts.len(), 30);
    let mut distinct: Vec<&str> = texts.iter().map(|t| t["text"].as_str().unwrap()).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 30);
    assert!(told.last() == Some(&(30, 30)) && told.is_sorted(), "{told:?}");
    assert!(notes.iter().any(|n| n.starts_with("replay: replay-self.jsonl has 30 texts of at most ")), "{notes:?}");
    // Stories are longer than half the training rows: all are cut, and none says that it ends.
    assert!(texts.iter().all(|t| t["unfinished"] == true), "{texts:?}");
    let run: Value = serde_json::from_slice(&fs::read(b.out().join("run.json")).unwrap()).unwrap();
    let (counts, tokens) = (&run["replay_counts"], record(b.out())["tokens"].as_u64().unwrap());
    assert_eq!((counts["examples"].as_u64(), counts["longest"].as_u64()), (Some(30), Some(tokens)));
    assert_eq!(run["plan"]["data"]["replay"]["written"]["tokens"], tokens);
    assert_eq!(run["plan"]["data"]["replay"]["sources"], serde_json::json!([]));

    // Another seed, other texts, but for short ones that both begin with.
    let first = texts;
    b.plan.train.seed = 8;
    b.plan.out = b.temp.path().join("other");
    b.run().unwrap();
    assert!(rows(b.out()).iter().filter(|row| first.contains(row)).count() < 10);
}

/// The texts are the same whatever memory, threads and passes a run is given.
#[test]
fn what_is_written_depends_on_model_plan_and_seed_alone() {
    let b = writing(20);
    b.run().unwrap();
    let mut other = writing(20);
    other.plan.train.threads = Some(2);
    other.plan.train.micro_tokens = Some(25);
    other.plan.train.lr = 1e-3;
    other.run().unwrap();
    assert_eq!(rows(b.out()), rows(other.out()));
    assert_eq!(record(b.out()), record(other.out()));
}

#[test]
fn texts_that_end_say_so() {
    let mut b = bench();
    b.plan.data.lengths.seq_len_max = 512;
    b.plan.train.micro_tokens = Some(512);
    b.plan.train.length = RunLength::Steps(1);
    b.plan.data.replay = Some(written(8, Some(500)));
    b.run().unwrap();
    let ended = rows(b.out()).iter().filter(|row| row.get("unfinished").is_none()).count();
    assert!(ended >= 4, "{ended} of 8 stories end within 500 tokens");
}

/// Sentences as questions, and what the story goes on with as answers: the template ends a question with a full stop.
const SENTENCE_CHAT: &str = "{{ bos_token }}{% for m in messages %}{{ m.content }}\
    {% if m.role == 'user' %}.{% if add_generation_prompt and loop.last %} {% endif %}{% else %}{{ bos_token }}{% endif %}{% endfor %}";

#[test]
fn a_chat_template_gives_questions_with_answers() {
    let mut b = bench();
    let template = b.temp.path().join("chat.jinja");
    fs::write(&template, SENTENCE_CHAT).unwrap();
    b.plan.data.text.template = data::Template::File(template);
    b.plan.data.text.loss_on = data::LossOn::Response;
    b.plan.data.lengths.seq_len_max = 512;
    b.plan.train.micro_tokens = Some(512);
    b.plan.train.length = RunLength::Steps(1);
    b.plan.data.replay = Some(written(3, None));
    b.run().unwrap();
    let record = record(b.out());
    // Nothing but what ends by itself.
    assert!(record["tokens"] == 512 && record["thrown_away"]["endless"].as_u64() > Some(0), "{record}");
    for row in rows(b.out()) {
        let said = |i: usize| row["messages"][i]["content"].as_str().unwrap();
        assert_eq!((&row["messages"][0]["role"], &row["messages"][1]["role"]), (&"user".into(), &"assistant".into()));
        assert!(!said(0).is_empty() && !said(0).contains('.') && !said(1).is_empty(), "{row}");
    }
    assert_eq!(rows(b.out()).len(), 3);
}

#[test]
fn stopped_while_writing_and_with_what_was_written_damaged() {
    let whole = writing(12);
    whole.run().unwrap();
    let mut b = writing(12);
    b.plan.data = whole.plan.data.clone();
    let step = b.run_interrupted(|e| matches!(e, Event::Writing { .. }));
    assert_eq!((step, b.out().join("replay-self.jsonl").exists()), (0, false));
    resume(b.out()).unwrap();
    assert_same(&promised(whole.out(), 7), &promised(b.out(), 7), "stopped while writing");

    // A finished run whose texts were lost, or changed, writes the same again.
    for damage in [(|path| fs::remove_file(path).unwrap()) as fn(&Path), |path| {
        fs::write(path, "{\"text\": \"other\"}\n").unwrap()
    }] {
        let texts = fs::read(b.out().join("replay-self.jsonl")).unwrap();
        damage(&b.out().join("replay-self.jsonl"));
        resume(b.out()).unwrap();
        assert_eq!(fs::read(b.out().join("replay-self.jsonl")).unwrap(), texts);
    }
}

#[test]
fn a_plan_says_what_would_be_written_and_writes_nothing() {
    let mut b = writing(40);
    b.plan.train.length = RunLength::Epochs(1.0);
    let preview = train::preview(&b.plan, &RealFs, &AtomicBool::new(false), &mut |_| {}).unwrap();
    let to_write = preview.to_write.unwrap();
    assert_eq!((to_write.texts, to_write.chats), (40, false));
    assert!((5..20).contains(&to_write.tokens), "{to_write:?}");
    // 11 rows in steps of 3 are 70 % of an epoch.
    assert_eq!(preview.steps, 6);
    assert!(!b.out().exists());
    b.plan.data.replay = Some(written(40, Some(33)));
    let preview = train::preview(&b.plan, &RealFs, &AtomicBool::new(false), &mut |_| {}).unwrap();
    assert_eq!(preview.to_write.unwrap().tokens, 33);
}

#[test]
fn a_mixture_has_the_texts_once_they_are_written() {
    let b = writing(12);
    let mix = |name: &str| {
        let out = b.temp.path().join(name);
        train::mix(&b.plan, 0, &out, &RealFs, &AtomicBool::new(false), &mut |_| {}).map(|_| json_lines(&out))
    };
    let refused = mix("early.jsonl").unwrap_err();
    assert!(matches!(&refused, TrainError::NotWritten { path } if path.ends_with("replay-self.jsonl")), "{refused}");
    b.run().unwrap();
    let mixed = mix("mixed.jsonl").unwrap();
    let own: Vec<&Value> = mixed.iter().filter(|row| row["origin"]["task"] == "replay").collect();
    let written = rows(b.out());
    assert!(own.len() > 3);
    assert!(own.iter().all(|row| written.iter().any(|w| w["text"] == row["text"])), "{own:?}");
}

#[test]
fn what_nobody_can_write_is_refused() {
    // Of two tokens, the first is always the same: there are not so many texts.
    let mut b = bench();
    b.plan.data.replay = Some(written(3000, Some(2)));
    match b.run().unwrap_err() {
        TrainError::TooFewWritten { wanted: 3000, kept, drawn, thrown_away } => {
            assert!(kept < 512 && drawn == 8 * 3000 + 64, "{kept} of {drawn}");
            assert!(thrown_away["repeated"] > 10_000, "{thrown_away:?}");
        }
        e => panic!("{e}"),
    }
    assert!(!b.out().join("replay-self.jsonl").exists() && !b.out().join("plan.json").exists());
    // A pass that could not hold them is refused before one is written.
    b.plan.data.replay = Some(written(4, Some(60)));
    let refused = b.run().unwrap_err().to_string();
    assert_eq!(
        refused,
        "a text that the base writes itself (replay.tokens) has 60 tokens, more than train.micro_tokens = 40"
    );
    for (replay, want) in [
        (ReplayPlan { written: None, ..written(1, None) }, "replay: needs sources or texts to write"),
        (written(0, None), "replay.self: at least 1 text"),
        (written(1, Some(65)), "replay.tokens: from 2 to train.seq_len_max"),
    ] {
        b.plan.data.replay = Some(replay);
        assert_eq!(b.run().unwrap_err().to_string(), want);
    }
}

/// Stories that the base wrote with another seed are forgotten less.
#[test]
fn what_the_base_knew_is_forgotten_less() {
    let stories = writing(48);
    let mut plan = stories.plan.clone();
    (plan.train.seed, plan.data.replay) = (99, Some(written(48, Some(64))));
    plan.train.micro_tokens = Some(64);
    train::run(&plan, &RealFs, &AtomicBool::new(false), &mut |_| {}).unwrap();
    let general = stories.out().join("replay-self.jsonl");
    let loss = |replay: Option<ReplayPlan>| -> Vec<f64> {
        let mut b = bench();
        let csv = crate::common::source(&repository("examples/banking77/train.csv"));
        let columns = [("prompt", "text"), ("completion", "category")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let format = Some(data::Format::PromptCompletion);
        b.plan.data.train = vec![data::Source { format, columns: columns.into(), ..csv }];
        b.plan.data.valid = Some(Valid::Source(vec![crate::common::source(&general)]));
        b.plan.data.lengths.over = data::OverLength::Drop;
        b.plan.data.replay = replay;
        (b.plan.train.batch, b.plan.train.micro_tokens) = (8, Some(512));
        (b.plan.train.length, b.plan.train.eval_every) = (RunLength::Steps(30), Some(10));
        b.run().unwrap();
        json_lines(&b.out().join("metrics.jsonl")).iter().filter_map(|l| l["valid_loss"].as_f64()).collect()
    };
    let (without, with) = (loss(None), loss(Some(ReplayPlan { share: 0.1, ..written(200, None) })));
    eprintln!("general loss without {without:?}, with {with:?}");
    assert!(without.iter().zip(&with).all(|(without, with)| with < without), "{without:?} {with:?}");
}
