//! The pass over the rows: files are read in pieces, each piece is measured by all threads, and the results are added up in the
//! order of the rows.

use crate::error::ScanError;
use crate::finding::{Check, Finding};
use crate::input::{Fault, Limits, Meaning, Raw, Reader};
use crate::lengths::Lengths;
use crate::measure::{Measured, Measures};
use crate::merged;
use crate::names::Names;
use crate::plan::{Input, Measure, ScanPlan};
use crate::state::{Asked, FileState, RowCounts, ShardState, State, TokenizerName};
use crate::verdict::Remedy;
use crate::{answers, near};
use data::text::TokenCounter;
use measures::quality::WordList;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The row findings of a shard, in its folder.
pub const FINDINGS: &str = "rows.jsonl";

/// How far a scan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Reading { rows: u64, bytes: u64, bytes_total: u64 },
    Comparing,
    Answers,
    Writing,
}

/// Who watches a scan, and may end it.
pub struct Watch<'a> {
    pub stop: &'a AtomicBool,
    pub progress: &'a mut dyn FnMut(Progress),
}

impl Watch<'_> {
    pub fn go_on(&self) -> Result<(), ScanError> {
        if self.stop.load(Ordering::Relaxed) { Err(ScanError::Interrupted) } else { Ok(()) }
    }
}

/// Measures this shard's rows. What later steps need of single rows goes to files in `folder`.
///
/// # Errors
/// Files that cannot be read, a tokenizer that is none, a full disk, an interruption.
pub fn measure(plan: &ScanPlan, folder: &Path, watch: &mut Watch) -> Result<ShardState, ScanError> {
    let tokens = plan.tokenizer.as_deref().map(TokenCounter::open).transpose()?;
    let tokenizer =
        tokens.as_ref().map(|t| TokenizerName { name: t.name().to_owned(), vocabulary: t.vocabulary() as u64 });
    let words = if plan.words.is_empty() { None } else { Some(WordList::new(&plan.words)?) };
    let names = plan.names.as_deref().map(Names::open).transpose()?;
    let settings = near_settings(plan);
    let (wanted, policy) = (plan.measures.clone(), plan.policy.clone());
    let measures = Measures { wanted, policy, tokens, words, near: settings, names };
    let (compares, answers) = (measures.compares(), measures.wants(Measure::Answers));
    let shard = near::Shard { index: plan.shard.index, count: plan.shard.of };
    let path = folder.join(FINDINGS);
    let mut sink = Sink {
        state: State { rows: vec![RowCounts::default(); plan.inputs.len()], ..State::default() },
        findings: merged::Writer::create(&path).map_err(ScanError::disk("create", &path))?,
        near: compares.then(|| near::Index::create(folder, shard, settings)).transpose()?,
        answers: answers.then(|| answers::Index::new(folder, plan.shard.index)).transpose()?,
        quality_min: plan.policy.quality_min,
    };
    // A file that cannot be scanned is told before the hour of reading the others.
    for input in &plan.inputs {
        Reader::open(&input.file, &Limits { record_bytes_max: plan.record_bytes_max, spool_dir: folder.to_owned() })?;
    }
    let mut walk = Walk { plan, measures: &measures, chunk: 0, rows: 0, bytes_before: 0, sets: sets(&plan.inputs) };
    let mut files = Vec::new();
    for (at, input) in plan.inputs.iter().enumerate() {
        files.push(walk.file(at, input, folder, &mut sink, watch)?);
    }
    sink.findings.finish().map_err(ScanError::disk("write", &path))?;
    if let Some(index) = sink.near {
        index.close()?.keep();
    }
    sink.answers.map(answers::Index::close).transpose()?;
    let asked = Asked {
        measures: plan.measures.clone(),
        files,
        tokenizer,
        words: (!plan.words.is_empty()).then(|| runfs::sha256_hex(plan.words.as_bytes())),
        names: plan.names.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()),
        policy: plan.policy.clone(),
        policy_name: plan.policy_name.clone(),
        sample: plan.sample,
        record_bytes_max: plan.record_bytes_max,
    };
    Ok(ShardState { version: env!("CARGO_PKG_VERSION").to_owned(), shard: plan.shard, asked, state: sink.state })
}

fn near_settings(plan: &ScanPlan) -> near::Settings {
    let default = near::Settings::default();
    near::Settings { jaccard: plan.policy.near_threshold.map_or(default.jaccard, |t| t as f32), ..default }
}

/// Evaluation sets are numbered from 1, in the order of their first files.
fn sets(inputs: &[Input]) -> Vec<near::SetId> {
    let mut names: Vec<&str> = Vec::new();
    let mut sets = Vec::with_capacity(inputs.len());
    for input in inputs {
        let Some(name) = input.eval.as_deref() else {
            sets.push(near::SetId::TRAIN);
            continue;
        };
        let at = names.iter().position(|known| *known == name).unwrap_or(names.len());
        if at == names.len() {
            names.push(name);
        }
        sets.push(near::SetId(at as u16 + 1));
    }
    sets
}

/// Where the results of rows go, in the order of the rows.
struct Sink {
    state: State,
    findings: merged::Writer,
    near: Option<near::Index>,
    answers: Option<answers::Index>,
    quality_min: f32,
}

/// A row of a piece, measured.
struct Done {
    line: u64,
    understood: bool,
    findings: Vec<Finding>,
    measured: Option<Measured>,
}

struct Walk<'a> {
    plan: &'a ScanPlan,
    measures: &'a Measures,
    /// Pieces of all files so far: every n-th is this shard's.
    chunk: u64,
    rows: u64,
    bytes_before: u64,
    sets: Vec<near::SetId>,
}

impl Walk<'_> {
    fn file(
        &mut self,
        at: usize,
        input: &Input,
        folder: &Path,
        sink: &mut Sink,
        watch: &mut Watch,
    ) -> Result<FileState, ScanError> {
        let limits = Limits { record_bytes_max: self.plan.record_bytes_max, spool_dir: folder.to_owned() };
        let mut state = FileState {
            file: input.file.shown.clone(),
            path: input.file.source.path.clone(),
            eval: input.eval.clone(),
            bytes: input.file.bytes,
            modified: input.file.modified,
            ..FileState::default()
        };
        let bytes_total = self.plan.inputs.iter().map(|input| input.file.bytes).sum();
        let mut reader = Reader::open(&input.file, &limits)?;
        state.note = reader.note().to_owned();
        state.encoding = reader.encoding().to_owned();
        let meaning = reader.meaning();
        let mut next = reader.next_chunk();
        while let Some(chunk) = next {
            watch.go_on()?;
            let chunk = chunk?;
            state.rows += chunk.len() as u64;
            let broken = chunk.iter().find_map(|raw| raw.broken());
            state.problem = state.problem.or_else(|| broken.map(str::to_owned));
            self.rows += chunk.len() as u64;
            let ours = self.chunk % u64::from(self.plan.shard.of) == u64::from(self.plan.shard.index);
            self.chunk += 1;
            // The next piece is read while this one is measured.
            let (read, done) = rayon::join(
                || reader.next_chunk(),
                || if ours { self.measured(at, &meaning, &chunk) } else { Ok(Vec::new()) },
            );
            for row in done? {
                sink.row(at as u32, row)?;
            }
            next = read;
            let bytes = (self.bytes_before + reader.bytes_read()).min(bytes_total);
            (watch.progress)(Progress::Reading { rows: self.rows, bytes, bytes_total });
        }
        self.bytes_before += input.file.bytes;
        Ok(state)
    }

    fn measured(&self, at: usize, meaning: &Meaning, chunk: &[Raw]) -> Result<Vec<Done>, ScanError> {
        let (set, name) = (self.sets[at], &self.plan.inputs[at].file.shown);
        let one = |raw: &Raw| {
            let understood = meaning.understand(raw);
            let faults = understood.faults.iter().filter(|_| self.measures.wants(Measure::Faults));
            let mut findings: Vec<Finding> = faults.filter_map(|fault| self.fault(fault, raw.line())).collect();
            let mut measured = None;
            if let Some(row) = &understood.row {
                let mut of_row = self.measures.row(row, set)?;
                findings.append(&mut of_row.findings);
                if let Some(sketch) = &mut of_row.near {
                    // Of rows that are the same, one that cleaning leaves alone is kept.
                    let removes = |finding: &&Finding| Remedy::of_finding(finding) == Remedy::Removes;
                    sketch.rank = findings.iter().filter(removes).count() as u16;
                }
                measured = Some(of_row);
            }
            findings.iter_mut().for_each(|finding| finding.file.clone_from(name));
            Ok(Done { line: raw.line(), understood: understood.row.is_some(), findings, measured })
        };
        chunk.par_iter().map(one).collect()
    }

    fn fault(&self, fault: &Fault, line: u64) -> Option<Finding> {
        let policy = &self.plan.policy;
        let counts = fault.confidence >= policy.confidence && !policy.ignores(Check::Fault, fault.kind);
        counts.then(|| Finding {
            column: fault.column,
            field: fault.field.clone(),
            confidence: fault.confidence,
            why: fault.why.clone(),
            ..Finding::new(Check::Fault, fault.kind, line)
        })
    }
}

impl Sink {
    fn row(&mut self, file: u32, row: Done) -> Result<(), ScanError> {
        let place = (file, row.line);
        let counts = &mut self.state.rows[file as usize];
        counts.read += 1;
        counts.understood += u64::from(row.understood);
        self.findings.push(file, row.findings).map_err(ScanError::disk("write", Path::new(FINDINGS)))?;
        let Some(measured) = row.measured else { return Ok(()) };
        if let (Some(index), Some(sketch)) = (&mut self.near, &measured.near) {
            index.push(sketch)?;
        }
        if let (Some(index), Some(sketch)) = (&mut self.answers, &measured.answers) {
            index.push(sketch)?;
        }
        for (name, length) in measured.lengths {
            entry(&mut self.state.lengths, name).add(length, place);
        }
        if let Some((sides, other)) = &measured.languages {
            self.state.languages.add(sides, *other);
        }
        if let Some(analysis) = &measured.analysis {
            self.state.instructions.add(analysis);
        }
        if let Some(quality) = &measured.quality {
            self.state.qualities.add(quality, self.quality_min);
        }
        Ok(())
    }
}

fn entry<'a>(lengths: &'a mut BTreeMap<String, Lengths>, name: &str) -> &'a mut Lengths {
    if !lengths.contains_key(name) {
        lengths.insert(name.to_owned(), Lengths::default());
    }
    lengths.entry(name.to_owned()).or_default()
}
