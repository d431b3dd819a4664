//! From files to the token cache and back: counts, shares, lengths, re-use, interruption, and the order of an epoch.

use super::{source, words};
use data::{
    BadRows, Counts, DataError, DataPlan, Dataset, Epoch, Format, LengthPlan, LossOn, OverLength, Packing, Prepared,
    Template, TextPlan, Valid, prepare,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

pub struct Case {
    dir: tempfile::TempDir,
    plan: DataPlan,
}

impl Case {
    /// A file of these bytes, for the example model; rows longer than 64 tokens are refused.
    fn new(name: &str, bytes: &[u8]) -> Self {
        let mut case = Self::of(Path::new(""));
        let path = case.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        case.plan.train = vec![source(&path)];
        case.plan.text.model_dir = Path::new(REPOSITORY).join("examples/models/stories260K");
        case.plan.lengths = LengthPlan { seq_len_max: 64, over: OverLength::Refuse, packing: Packing::Examples };
        case
    }

    /// An existing file, prepared for a small model with a byte-level tokenizer.
    pub fn of(path: &Path) -> Self {
        let plan = DataPlan {
            train: vec![source(path)],
            valid: None,
            unseen: Vec::new(),
            text: TextPlan {
                model_dir: Path::new(REPOSITORY).join("fixtures/models/llama"),
                template: Template::Plain("{prompt} => {completion}".into()),
                loss_on: LossOn::Response,
                record_bytes_max: 1 << 16,
            },
            lengths: LengthPlan { seq_len_max: 1024, over: OverLength::Truncate, packing: Packing::Examples },
            bad_rows: BadRows::Stop,
            mix: None,
            replay: None,
        };
        Self { dir: tempfile::tempdir().unwrap(), plan }
    }

    /// `n` rows, each of its own length.
    fn rows(n: usize) -> Self {
        let row = |i: usize| format!("{{\"prompt\":\"p{i}\",\"completion\":\"{}\"}}\n", "a b ".repeat(i % 7 + 1));
        Self::new("rows.jsonl", (0..n).map(row).collect::<String>().as_bytes())
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    pub fn run(&self) -> Result<Prepared, DataError> {
        self.run_seen().map(|(prepared, _)| prepared)
    }

    /// Also the rows read: none when a cache was re-used.
    fn run_seen(&self) -> Result<(Prepared, u64), DataError> {
        let mut read = 0;
        let prepared = prepare(&self.plan, 7, &self.cache(), &mut |rows, bytes, total| {
            assert!(bytes <= total, "{bytes} of {total}");
            read = rows;
            true
        })?;
        Ok((prepared, read))
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.plan.train[0].path).unwrap()
    }
}

fn lines(data: &Dataset) -> Vec<u64> {
    (0..data.len()).map(|i| data.example(i).unwrap().origin.line).collect()
}

fn refusal(case: &Case) -> String {
    let error = case.run().err().expect("a refusal").to_string();
    error.replace(&format!("{}/", case.dir.path().display()), "")
}

#[test]
fn banking77() {
    let folder = Path::new(REPOSITORY).join("examples/banking77");
    let mut case = Case::new("unused", b"");
    let banking = |name: &str| data::Source {
        format: Some(Format::PromptCompletion),
        columns: words(&[("prompt", "text"), ("completion", "category")]),
        ..source(&folder.join(name))
    };
    case.plan.train = vec![banking("train.csv")];
    case.plan.valid = Some(Valid::Source(vec![banking("test.csv")]));
    case.plan.text.loss_on = LossOn::All;
    case.plan.lengths.seq_len_max = 512;
    let prepared = case.run().unwrap();
    let Counts { rows, examples, longest, aside, .. } = prepared.train_counts.clone();
    assert_eq!((rows, examples), (10003, 10003));
    assert!(aside.is_empty() && longest < 512, "{:?}", prepared.train_counts);
    assert_eq!(prepared.valid_counts.as_ref().unwrap().rows, 3080);
    assert_eq!(prepared.notes[0], "train.csv: csv, prompt_completion (as told: prompt=text, completion=category)");
    assert_eq!(
        prepared.notes[1],
        "valid: test.csv: csv, prompt_completion (as told: prompt=text, completion=category)"
    );

    let first = prepared.train.example(0).unwrap();
    let text = data::TextPipeline::open(&case.plan.text).unwrap();
    assert_eq!(
        text.pieces(&first.ids).concat().trim_start_matches("<s>").trim(),
        "I am still waiting on my card? => card_arrival</s>"
    );
    assert_eq!(first.origin.line, 2);
    assert!(first.origin.file.ends_with("banking77/train.csv"));
    assert!(first.supervised.iter().all(|on| *on));
    let (index, len) = prepared.train.longest().unwrap();
    assert_eq!((prepared.train.token_len(index), len as u64), (len, longest));
    assert_eq!(prepared.train_counts.tokens, (0..10003).map(|i| prepared.train.token_len(i) as u64).sum::<u64>());
    assert_eq!(prepared.train_counts.supervised_tokens, prepared.train_counts.tokens - 10003);
}

#[test]
fn a_cache_is_used_again_only_for_the_same_inputs_and_recipe() {
    let mut case = Case::rows(50);
    let (first, read) = case.run_seen().unwrap();
    assert_eq!(read, 50);
    let (again, read) = case.run_seen().unwrap();
    assert_eq!(read, 0);
    assert_eq!((&again.train_counts, &again.data_hash), (&first.train_counts, &first.data_hash));
    assert_eq!(again.notes, first.notes);
    assert_eq!(again.train.example(3).unwrap(), first.train.example(3).unwrap());

    // The same length and other bytes.
    let changed = case.text().replace("p7", "q7");
    std::fs::write(&case.plan.train[0].path, changed).unwrap();
    let (other, read) = case.run_seen().unwrap();
    assert_eq!(read, 50);
    assert_ne!(other.data_hash, first.data_hash);
    case.plan.lengths.seq_len_max = 63;
    assert_eq!(case.run_seen().unwrap().1, 50);
    assert_eq!(case.run_seen().unwrap().1, 0);
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let case = Case::rows(20);
    let whole = case.run().unwrap().train.example(5).unwrap();
    let dir = cache_folder(&case);
    for name in ["tokens.bin", "train.idx", "manifest.json", "quarantine.jsonl"] {
        let path = dir.join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        match bytes.len() / 2 {
            0 => bytes.push(b'x'),
            middle => bytes[middle] ^= 0x10,
        }
        std::fs::write(&path, bytes).unwrap();
        let (prepared, read) = case.run_seen().unwrap();
        assert_eq!(read, 20, "{name} was flipped");
        assert_eq!(prepared.train.example(5).unwrap(), whole);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(case.run_seen().unwrap().1, 20, "{name} was removed");
    }
    // Cut while it is open: an error, not a panic.
    let prepared = case.run().unwrap();
    std::fs::write(dir.join("tokens.bin"), b"").unwrap();
    assert!(matches!(prepared.train.example(5), Err(DataError::Io { .. })));
    assert!(matches!(prepared.train.example(20), Err(DataError::OutOfRange { index: 20, len: 20, .. })));
}

fn cache_folder(case: &Case) -> PathBuf {
    let entries = std::fs::read_dir(case.cache()).unwrap().map(|e| e.unwrap().path());
    entries.filter(|p| p.is_dir()).min().expect("a cache folder")
}

#[test]
fn a_share_is_a_function_of_the_seed() {
    let mut case = Case::rows(200);
    case.plan.valid = Some(Valid::Share(0.05));
    let prepared = case.run().unwrap();
    let (train, valid) = (lines(&prepared.train), lines(prepared.valid.as_ref().unwrap()));
    assert_eq!((train.len(), valid.len()), (190, 10));
    assert!(train.is_sorted() && valid.is_sorted());
    assert_eq!(train.iter().chain(&valid).collect::<BTreeSet<_>>().len(), 200);
    assert_eq!((prepared.train_counts.rows, prepared.valid_counts.unwrap().rows), (190, 10));
    let other = prepare(&case.plan, 8, &case.cache(), &mut |_, _, _| true).unwrap();
    assert_ne!(lines(other.valid.as_ref().unwrap()), valid);
    let same = prepare(&case.plan, 7, &case.dir.path().join("elsewhere"), &mut |_, _, _| true).unwrap();
    assert_eq!(lines(same.valid.as_ref().unwrap()), valid);

    for (rows, share, expect) in [(2, 0.001, (1, 1)), (2, 0.999, (1, 1)), (3, 0.5, (1, 2))] {
        let mut case = Case::rows(rows);
        case.plan.valid = Some(Valid::Share(share));
        let prepared = case.run().unwrap();
        assert_eq!((prepared.train.len(), prepared.valid.unwrap().len()), expect, "{rows} rows, {share}");
    }
    for (rows, share) in [(1, 0.5), (9, 0.0), (9, 1.0), (9, -1.0), (9, f64::NAN)] {
        let mut case = Case::rows(rows);
        case.plan.valid = Some(Valid::Share(share));
        assert!(matches!(case.run(), Err(DataError::Share { .. })), "{rows} rows, {share}");
    }
}

#[test]
fn the_pieces_of_a_row_stay_on_one_side_of_a_share() {
    let mut case = Case::rows(100);
    case.plan.valid = Some(Valid::Share(0.3));
    case.plan.lengths = LengthPlan { seq_len_max: 8, over: OverLength::Split, packing: Packing::Examples };
    let prepared = case.run().unwrap();
    let (train, valid) = (lines(&prepared.train), lines(prepared.valid.as_ref().unwrap()));
    assert!(train.len() + valid.len() > 100, "some rows are split");
    let sides: Vec<BTreeSet<u64>> = [train, valid].map(|side| side.into_iter().collect()).into();
    assert!(sides[0].is_disjoint(&sides[1]));
    assert_eq!(sides[1].len(), 30);
}

const DIRTY: &str = "{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"prompt\":\"a\",\"completion\":3}\n{\"prompt\":\"a\"\n\n{\"prompt\":\"c\",\"completion\":\"d\"}\n";

#[test]
fn bad_rows_stop_or_are_set_aside() {
    let mut case = Case::new("d.jsonl", DIRTY.as_bytes());
    assert_eq!(refusal(&case), "d.jsonl:2:15: completion is a number; expected text");
    assert_eq!(std::fs::read_dir(case.cache()).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count(), 0);
    case.plan.bad_rows = BadRows::Quarantine;
    let prepared = case.run().unwrap();
    assert_eq!(lines(&prepared.train), [1, 5]);
    let expect: BTreeMap<String, u64> = [("malformed JSON".to_owned(), 1), ("wrong type".to_owned(), 1)].into();
    assert_eq!((prepared.train_counts.rows, &prepared.train_counts.aside), (4, &expect));
    let path = cache_folder(&case).join("quarantine.jsonl");
    assert!(prepared.notes.contains(&format!("2 rows set aside in {}", path.display())), "{:?}", prepared.notes);
    let rows: Vec<serde_json::Value> =
        std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["line"], 2);
    assert_eq!(rows[0]["reason"], "wrong type");
    assert_eq!(rows[0]["row"], "{\"prompt\":\"a\",\"completion\":3}");
    assert_eq!((&rows[1]["line"], &rows[1]["column"]), (&3.into(), &13.into()));
}

#[test]
fn nothing_to_train_on() {
    let mut case = Case::new("e.jsonl", b"\n");
    assert_eq!(refusal(&case), "e.jsonl: empty; expected at least one row");
    case = Case::new("e.jsonl", b"{\"prompt\":\"a\",\"completion\":\"\"}\n{\"prompt\":\"\",\"completion\":\"a\"}\n");
    case.plan.bad_rows = BadRows::Quarantine;
    assert_eq!(refusal(&case), "e.jsonl: 2 rows and none of them is usable (empty text: 2)");
    case.plan.train[0].path = case.dir.path().join("missing.jsonl");
    assert_eq!(refusal(&case), "missing.jsonl: no such data file");
}

/// Rows around the limit: one token under, at it, one over, far over.
fn lengths(over: OverLength, packing: Packing) -> Result<(Vec<usize>, Counts), DataError> {
    let mut case = Case::rows(7);
    let limit = case.run()?.train.token_len(3);
    case.plan.lengths = LengthPlan { seq_len_max: limit, over, packing };
    let prepared = case.run()?;
    let relative = |i| prepared.train.token_len(i) + 100 - limit;
    Ok(((0..prepared.train.len()).map(relative).collect(), prepared.train_counts))
}

#[test]
fn over_long_examples() {
    let all = lengths(OverLength::Refuse, Packing::Wrapped).unwrap().0;
    assert_eq!(all.len(), 7);
    assert!(all.contains(&100) && *all.last().unwrap() > 101, "{all:?}");
    let kept = |over| lengths(over, Packing::Examples).unwrap();
    let short: Vec<usize> = all.iter().copied().filter(|n| *n <= 100).collect();
    let long = (all.len() - short.len()) as u64;
    let (drop, counts) = kept(OverLength::Drop);
    assert_eq!((drop, counts.aside["dropped: over seq_len_max"]), (short.clone(), long));
    let (truncated, counts) = kept(OverLength::Truncate);
    assert_eq!(
        (truncated.len(), counts.aside["truncated to seq_len_max"], counts.longest + 100),
        (7, long, 100 + counts.longest)
    );
    assert!(truncated.iter().all(|n| *n <= 100));
    let (split, counts) = kept(OverLength::Split);
    assert_eq!(counts.aside["split at seq_len_max"], long);
    assert!(split.len() > 7 && split.iter().all(|n| *n <= 100));
    let error = lengths(OverLength::Refuse, Packing::Bfd).unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:5: ") && error.contains("; seq_len_max is "), "{error}");
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let case = Case::rows(5000);
    let result = prepare(&case.plan, 7, &case.cache(), &mut |rows, _, _| rows < 2000);
    assert!(matches!(result.err(), Some(DataError::Interrupted)));
    assert_eq!(std::fs::read_dir(case.cache()).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count(), 0);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_refused() {
    let case = Case::rows(3000);
    let path = &case.plan.train[0].path;
    let longer = case.text() + "{\"prompt\":\"late\",\"completion\":\"x\"}\n";
    let result = prepare(&case.plan, 7, &case.cache(), &mut |rows, _, _| {
        if rows == 1024 {
            std::fs::write(path, &longer).unwrap();
        }
        true
    });
    assert!(matches!(result.err(), Some(DataError::ChangedWhileReading { .. })));
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let manifest = |threads: usize| {
        let case = Case::rows(3000);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| case.run().unwrap());
        let bytes = std::fs::read(cache_folder(&case).join("manifest.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["files"].clone()
    };
    assert_eq!(manifest(1), manifest(3));
}

#[test]
fn two_runs_may_want_one_cache() {
    let case = Case::rows(2000);
    let read: u64 = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| case.run_seen().unwrap().1)).collect();
        runs.into_iter().map(|run| run.join().unwrap()).sum()
    });
    assert_eq!(read, 2000, "one of them reads");
}

#[test]
fn an_epoch_holds_every_token_once() {
    let mut case = Case::rows(2500);
    case.plan.lengths.seq_len_max = 40;
    for packing in [Packing::Examples, Packing::Bfd, Packing::BfdSplit, Packing::Wrapped] {
        case.plan.lengths.packing = packing;
        let prepared = case.run().unwrap();
        let epoch = |number| {
            let epoch = Epoch::new(&prepared.train, &case.plan.lengths, 1, number);
            (0..epoch.len()).map(|i| epoch.unit(i).unwrap()).collect::<Vec<_>>()
        };
        let units = epoch(0);
        let mut tokens = 0;
        let mut seen = BTreeSet::new();
        for unit in &units {
            let row: usize = unit.iter().map(|p| p.tokens.len()).sum();
            assert!(row <= 40, "{packing:?}: a row of {row}");
            tokens += row as u64;
            for piece in unit {
                assert!(seen.insert((piece.example, piece.tokens.start)), "{packing:?}: {piece:?} twice");
            }
        }
        assert_eq!(tokens, prepared.train_counts.tokens, "{packing:?}");
        assert_eq!(units, epoch(0));
        assert_ne!(units, epoch(1));
        if packing != Packing::Examples {
            assert!(tokens as f64 > 0.8 * 40.0 * units.len() as f64, "{packing:?}: rows are well filled");
        }
        let epoch = Epoch::new(&prepared.train, &case.plan.lengths, 1, 0);
        assert!(matches!(epoch.unit(epoch.len()), Err(DataError::OutOfRange { what: "unit", .. })));
    }
}

#[test]
fn a_plain_template_may_name_any_column() {
    let mut case = Case::new("r.jsonl", br#"{"instruction":"add","input":"1 2","output":"3"}"#);
    let shown = |case: &Case| {
        let example = case.run().unwrap().train.example(0).unwrap();
        let text = data::TextPipeline::open(&case.plan.text).unwrap();
        text.pieces(&example.ids).concat().trim_start_matches("<s>").trim().to_owned()
    };
    case.plan.text.template = Template::Plain("{instruction}: {input} = {output}".into());
    assert_eq!(shown(&case), "add: 1 2 = 3</s>");
    case.plan.text.template = Template::Plain("{prompt} -> {completion}".into());
    assert_eq!(shown(&case), "add\n1 2 -> 3</s>");
    case = Case::new("q.jsonl", br#"{"question":"why","topic":"life","answer":"so"}"#);
    case.plan.text.template = Template::Plain("{topic}, {prompt}? {completion}".into());
    assert_eq!(shown(&case), "life, why? so</s>");
}
