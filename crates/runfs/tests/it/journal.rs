use crate::{text, with_every_fault};
use runfs::{Fault, FaultyFs, Fs, Journal, RunFsError};
use serde_json::{Value, json};
use std::path::Path;

const PATH: &str = "run/metrics.jsonl";

fn disk() -> FaultyFs {
    let fs = FaultyFs::new();
    runfs::create_dir_durable(&fs, Path::new("run")).unwrap();
    fs
}

/// The lines of the journal after it has been cut back to whole ones.
fn lines(fs: &FaultyFs) -> Vec<(u64, String)> {
    Journal::cut_back(fs, Path::new(PATH), &|_| true).unwrap();
    let content = text(fs, Path::new(PATH)).unwrap_or_default();
    let parse = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        (value["step"].as_u64().unwrap(), value["by"].as_str().unwrap().to_owned())
    };
    content.lines().map(parse).collect()
}

fn steps(fs: &FaultyFs) -> Vec<u64> {
    lines(fs).into_iter().map(|(step, _)| step).collect()
}

fn append(journal: &mut Journal, steps: std::ops::RangeInclusive<u64>, by: &str) -> Result<(), RunFsError> {
    steps.into_iter().try_for_each(|step| journal.append(&json!({"step": step, "by": by})))
}

fn up_to(step: u64) -> impl Fn(&Value) -> bool {
    move |line| line["step"].as_u64().is_some_and(|s| s <= step)
}

#[test]
fn a_power_cut_leaves_whole_lines_and_all_that_were_synced() {
    for write_max in [5, usize::MAX] {
        let fs = disk();
        fs.shorten_writes(write_max);
        fs.record_crashes();
        let mut journal = Journal::open(&fs, Path::new(PATH)).unwrap();
        append(&mut journal, 1..=3, "a").unwrap();
        journal.sync().unwrap();
        let (before, synced) = (fs.take_crashes(), fs.crash_images());
        fs.record_crashes();
        append(&mut journal, 4..=5, "a").unwrap();
        for image in &before {
            assert!([1, 2, 3].starts_with(&steps(&image.fs)), "{}", image.after);
        }
        for image in synced.iter().chain(&fs.take_crashes()) {
            let found = steps(&image.fs);
            assert!(found.len() >= 3 && [1, 2, 3, 4, 5].starts_with(&found), "{}: {found:?}", image.after);
        }
    }
}

#[test]
fn lines_cut_back_and_written_again_do_not_mix_with_the_old() {
    let fs = disk();
    let mut journal = Journal::open(&fs, Path::new(PATH)).unwrap();
    append(&mut journal, 1..=6, "first").unwrap();
    journal.sync().unwrap();
    fs.record_crashes();
    Journal::cut_back(&fs, Path::new(PATH), &up_to(3)).unwrap();
    let mut journal = Journal::open(&fs, Path::new(PATH)).unwrap();
    append(&mut journal, 4..=6, "again").unwrap();
    journal.sync().unwrap();
    for image in fs.take_crashes() {
        let found = lines(&image.fs);
        let expected: Vec<u64> = (1..=found.len() as u64).collect();
        assert_eq!(found.iter().map(|(step, _)| *step).collect::<Vec<_>>(), expected, "{}", image.after);
        let mut late: Vec<&str> = found.iter().skip(3).map(|(_, by)| by.as_str()).collect();
        late.dedup();
        assert!(found.len() >= 3 && late.len() <= 1, "{}: {found:?}", image.after);
    }
    assert_eq!(lines(&fs)[3..].iter().map(|(_, by)| by.as_str()).collect::<Vec<_>>(), ["again"; 3]);
}

#[test]
fn every_fault_leaves_the_lines_that_were_appended() {
    for fault in [Fault::Io, Fault::NoSpace] {
        for write_max in [5, usize::MAX] {
            let base = disk();
            append(&mut Journal::open(&base, Path::new(PATH)).unwrap(), 1..=2, "a").unwrap();
            let attempt = |fs: &FaultyFs| {
                fs.shorten_writes(write_max);
                let mut journal = Journal::open(fs, Path::new(PATH))?;
                append(&mut journal, 3..=4, "a")?;
                journal.sync()
            };
            with_every_fault(&base, fault, attempt, |fs, result| {
                assert!(result.is_err());
                let content = text(fs, Path::new(PATH)).unwrap();
                assert!(content.ends_with('\n'), "{result:?}: {content:?}");
                let found = steps(fs);
                assert!(found.len() >= 2 && [1, 2, 3, 4].starts_with(&found), "{result:?}: {found:?}");
            });
        }
    }
}

#[test]
fn a_journal_goes_on_after_a_full_disk() {
    let fs = disk();
    fs.set_capacity(60);
    let mut journal = Journal::open(&fs, Path::new(PATH)).unwrap();
    append(&mut journal, 1..=2, "a").unwrap();
    let error = append(&mut journal, 3..=3, &"b".repeat(60)).unwrap_err();
    assert!(matches!(error, RunFsError::DiskFull { needed: 79, free: 20, .. }), "{error:?}");
    append(&mut journal, 3..=3, "c").unwrap();
    assert_eq!(lines(&fs), [(1, "a".into()), (2, "a".into()), (3, "c".into())]);
}

#[test]
fn cut_back_keeps_the_longest_run_of_whole_kept_lines() {
    let long = format!("{{\"step\":2,\"by\":\"{}\"}}\n", "x".repeat(2 << 20));
    for (content, kept) in [
        ("", ""),
        ("{\"step\":1}\n", "{\"step\":1}\n"),
        ("{\"step\":1}\n{\"step\":2}", "{\"step\":1}\n"),
        ("{\"step\":1}\n{\"st", "{\"step\":1}\n"),
        ("{\"step\":1}\n{\"step\":9}\n{\"step\":2}\n", "{\"step\":1}\n"),
        ("{\"step\":1}\n\0\0\0\n{\"step\":2}\n", "{\"step\":1}\n"),
        ("{\"step\":1}\n\n{\"step\":2}\n", "{\"step\":1}\n"),
        ("{\"step\":9}\n", ""),
        (&format!("{{\"step\":1}}\n{long}"), "{\"step\":1}\n"),
    ] {
        let fs = disk();
        fs.create(Path::new(PATH)).unwrap().write_all(content.as_bytes()).unwrap();
        Journal::cut_back(&fs, Path::new(PATH), &up_to(3)).unwrap();
        assert_eq!(text(&fs, Path::new(PATH)).unwrap(), kept);
    }
    let fs = disk();
    Journal::cut_back(&fs, Path::new(PATH), &up_to(3)).unwrap();
    assert_eq!(text(&fs, Path::new(PATH)), None, "a file that is not there stays so");
}

#[test]
fn what_json_cannot_hold_is_refused() {
    let fs = disk();
    let mut journal = Journal::open(&fs, Path::new(PATH)).unwrap();
    let keys_that_are_not_text = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = journal.append(&keys_that_are_not_text).unwrap_err();
    assert!(matches!(error, RunFsError::Json { .. }), "{error:?}");
    assert_eq!(text(&fs, Path::new(PATH)).unwrap(), "");
}
