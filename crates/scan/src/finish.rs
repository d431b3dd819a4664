//! From what the shards measured to one answer: rows compared with each other, findings in order, a verdict, and what cleaning
//! would do.

use crate::actions::Actions;
use crate::error::ScanError;
use crate::finding::{Check, Finding};
use crate::lengths::Place;
use crate::measure::thousandths;
use crate::pass::{FINDINGS, Progress, Watch};
use crate::plan::Measure;
use crate::policy::Gate;
use crate::record::{self, Parts};
use crate::state::{Asked, ShardState, State};
use crate::tally::Tally;
use crate::verdict::{self, Copying, Of};
use crate::{answers, merged, near, samples};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// A scan that is done.
pub struct Finished {
    /// `scan.json`.
    pub record: Value,
    /// `findings.jsonl`, in the folder that was given.
    pub findings: PathBuf,
    pub actions: Actions,
    pub asked: Asked,
    /// Conditions to fail on that hold, with the number.
    pub failed: Vec<(String, f64)>,
}

/// Puts the shards together: all of them, each with its folder. `folder` takes the findings.
///
/// # Errors
/// Shards that are missing or of different scans, a full disk, an interruption.
pub fn finish(
    mut shards: Vec<(ShardState, PathBuf)>,
    gates: &[Gate],
    copying: Copying,
    folder: &Path,
    watch: &mut Watch,
) -> Result<Finished, ScanError> {
    shards.sort_by_key(|(state, _)| state.shard.index);
    complete(&shards)?;
    let folders: Vec<PathBuf> = shards.iter().map(|(_, folder)| folder.clone()).collect();
    let mut state = State::default();
    let mut asked = None;
    for (shard, _) in shards {
        state.merge(shard.state);
        asked = Some(shard.asked);
    }
    let Some(asked) = asked else { return Err(ScanError::MissingShards { given: 0, of: 1, missing: "1".to_owned() }) };
    let policy = &asked.policy;

    let (near, answers) = compared(&asked, &folders, watch)?;
    (watch.progress)(Progress::Writing);
    let name = |file: u32| asked.files.get(file as usize).map_or(String::new(), |file| file.file.clone());
    let mut whole = Vec::new();
    if let Some(found) = &near {
        whole.extend(duplicates(found, &asked, &name));
        whole.extend(leaks(found, &asked, &name));
    }
    if let Some(report) = &answers {
        let from = near.as_ref().map_or(0, |found| (found.groups.len() + found.leaks.len()) as u64) + 1;
        let index: HashMap<&str, u32> =
            asked.files.iter().zip(0..).map(|(file, at)| (file.file.as_str(), at)).collect();
        let findings = report.findings(from, name).into_iter();
        whole.extend(findings.map(|f| ((index.get(f.file.as_str()).copied().unwrap_or(0), f.line), f)));
    }
    whole.retain(|(_, f)| f.confidence >= policy.confidence && !policy.ignores(f.check, &f.kind));
    whole.sort_by_key(|(place, _)| *place);

    let mut written = write(&asked, &folders, whole, folder, watch)?;
    if let Some(found) = &near {
        written.actions.rescue(&found.groups);
    }
    let of = Of {
        rows: rows(&asked, &state, Side::Train).0,
        understood: rows(&asked, &state, Side::Train).1,
        eval_rows: rows(&asked, &state, Side::Eval).0,
        surplus: written.actions.surplus(),
        removed: written.actions.removed(),
    };
    let all: Vec<Gate> = policy.fail_on.iter().chain(gates).cloned().collect();
    let failed = all.iter().map(|gate| (gate, verdict::gate(gate, &written.tally, of)));
    let failed =
        failed.filter(|(_, (_, passed))| !passed).map(|(gate, (value, _))| (gate.to_string(), value)).collect();
    let largest = near.as_ref().map_or_else(Vec::new, |found| record::largest(found));
    let rows = samples::read(
        &asked,
        &samples::wanted(&written.tally, &largest, answers.as_ref()),
        &written.actions,
        folder,
        watch,
    )?;
    let parts = Parts {
        asked: &asked,
        state: &state,
        tally: &written.tally,
        of,
        gates: &all,
        copying,
        lines: written.lines,
        near: near.as_ref(),
        answers: answers.as_ref(),
        actions: &written.actions,
        rows: &rows,
    };
    let record = record::record(&parts);
    Ok(Finished { record, findings: written.path, actions: written.actions, asked, failed })
}

/// The parts of one scan, each once.
fn complete(shards: &[(ShardState, PathBuf)]) -> Result<(), ScanError> {
    let Some((first, _)) = shards.first() else { return Ok(()) };
    for (shard, path) in shards {
        let what = match () {
            () if shard.version != first.version => "the program's versions",
            () if shard.shard.of != first.shard.of => "the numbers of parts",
            () if !shard.asked.same_files(&first.asked) => "the files",
            () if !shard.asked.same_settings(&first.asked) => "the settings",
            () => continue,
        };
        return Err(ScanError::OtherScan { path: path.clone(), what });
    }
    let given: Vec<u32> = shards.iter().map(|(shard, _)| shard.shard.index).collect();
    if let Some(pair) = given.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ScanError::SameShard { index: pair[0] + 1 });
    }
    let of = first.shard.of;
    let missing: Vec<String> =
        (0..of).filter(|index| !given.contains(index)).map(|index| (index + 1).to_string()).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(ScanError::MissingShards { given: given.len(), of, missing: missing.join(", ") }),
    }
}

fn compared(
    asked: &Asked,
    folders: &[PathBuf],
    watch: &mut Watch,
) -> Result<(Option<near::Found>, Option<answers::Report>), ScanError> {
    let stop = watch.stop;
    let stopped = || stop.load(Ordering::Relaxed);
    let mut found = None;
    if asked.measures.contains(&Measure::Duplicates) || asked.measures.contains(&Measure::Leaks) {
        (watch.progress)(Progress::Comparing);
        let count = folders.len() as u32;
        let open =
            |(index, folder): (usize, &PathBuf)| near::Spool::open(folder, near::Shard { index: index as u32, count });
        let spools = folders.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
        let result = near::find(&spools, &stopped);
        spools.into_iter().for_each(near::Spool::keep);
        found = Some(result?);
    }
    let mut report = None;
    if asked.measures.contains(&Measure::Answers) {
        watch.go_on()?;
        (watch.progress)(Progress::Answers);
        report = Some(answers::finish(folders, &stopped)?);
    }
    Ok((found, report))
}

fn duplicates(found: &near::Found, asked: &Asked, name: &dyn Fn(u32) -> String) -> Vec<(Place, Finding)> {
    if !asked.measures.contains(&Measure::Duplicates) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for group in found.groups.iter().filter(|group| group.set.is_train()) {
        for member in &group.members {
            let place = (member.row.file, member.row.line);
            let why = match member.keep {
                true => String::new(),
                false => format!("{:.2} like {}:{}", member.similarity, name(member.like.file), member.like.line),
            };
            let finding = Finding {
                file: name(place.0),
                confidence: thousandths(member.similarity.max(0.5)),
                group: Some(group.id),
                keep: Some(member.keep),
                why,
                ..Finding::new(Check::Duplicate, record::near_kind(member.kind), place.1)
            };
            findings.push((place, finding));
        }
    }
    findings
}

/// A leak is two findings of one group: the evaluation row, which stays, and the training row, which goes.
fn leaks(found: &near::Found, asked: &Asked, name: &dyn Fn(u32) -> String) -> Vec<(Place, Finding)> {
    if !asked.measures.contains(&Measure::Leaks) {
        return Vec::new();
    }
    let first = found.groups.len() as u64 + 1;
    let mut findings = Vec::new();
    for (at, leak) in found.leaks.iter().enumerate() {
        for (row, other, keep) in [(leak.train, leak.eval, false), (leak.eval, leak.train, true)] {
            let by = match leak.by {
                near::Key::Row => "",
                near::Key::Instruction => " in what is asked",
            };
            let finding = Finding {
                file: name(row.file),
                confidence: thousandths(leak.score.max(0.5)),
                group: Some(first + at as u64),
                keep: Some(keep),
                why: format!("{:.2} like {}:{}{by}", leak.score, name(other.file), other.line),
                ..Finding::new(Check::Leak, record::leak_kind(leak.kind), row.line)
            };
            findings.push(((row.file, row.line), finding));
        }
    }
    findings
}

/// What came of writing `findings.jsonl`.
struct Written {
    path: PathBuf,
    /// In the file.
    lines: u64,
    tally: Tally,
    actions: Actions,
}

fn write(
    asked: &Asked,
    folders: &[PathBuf],
    whole: Vec<(Place, Finding)>,
    folder: &Path,
    watch: &Watch,
) -> Result<Written, ScanError> {
    let path = folder.join("findings.jsonl");
    let failed = |op| ScanError::disk(op, &path);
    let rows: Vec<PathBuf> = folders.iter().map(|folder| folder.join(FINDINGS)).collect();
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&path).map_err(failed("create"))?);
    let (mut tally, mut actions, mut lines) = (Tally::default(), Actions::default(), 0);
    for row in merged::Merged::open(&rows, whole).map_err(failed("merge"))? {
        watch.go_on()?;
        let (place, findings) = row.map_err(failed("merge"))?;
        lines += findings.len() as u64;
        for finding in &findings {
            serde_json::to_writer(&mut out, finding).map_err(|e| failed("write")(e.into()))?;
            out.write_all(b"\n").map_err(failed("write"))?;
        }
        let trains = asked.files.get(place.0 as usize).is_some_and(|file| file.eval.is_none());
        let counted: Vec<Finding> = findings.iter().filter(|finding| counts(finding, trains)).cloned().collect();
        tally.add(place, &counted, asked.sample);
        if trains {
            actions.add(place, &findings);
        }
    }
    out.into_inner().map_err(|e| failed("write")(e.into_error()))?;
    Ok(Written { path, lines, tally, actions })
}

/// Training rows are what is judged; a leak is counted where it does harm, in the evaluation; of rows that are the same, those
/// that are too many.
fn counts(finding: &Finding, trains: bool) -> bool {
    match finding.check {
        Check::Leak => !trains,
        Check::Duplicate if matches!(finding.kind.as_str(), "exact" | "normalised" | "near") => {
            finding.keep != Some(true)
        }
        _ => trains,
    }
}

enum Side {
    Train,
    Eval,
}

/// Rows read and understood.
fn rows(asked: &Asked, state: &State, side: Side) -> (u64, u64) {
    let counted = asked.files.iter().zip(&state.rows).filter(|(file, _)| match side {
        Side::Train => file.eval.is_none(),
        Side::Eval => file.eval.is_some(),
    });
    counted.fold((0, 0), |(read, understood), (_, rows)| (read + rows.read, understood + rows.understood))
}
