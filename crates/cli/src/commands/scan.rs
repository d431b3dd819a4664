//! `athanor scan`: what is wrong with a data set, and a copy without it.

use crate::args::{RedactHow, ScanArgs};
use crate::exit::Failure;
use crate::signals::Signals;
use crate::ui::{Look, Reporter, shown_path};

use scan::{
    Check, Copying, Gate, Input, Measure, Policy, Progress, Redact, ScanError, ScanPlan, Shard, ShardState, Watch,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use train::Event;

const MIB: u64 = 1 << 20;

pub fn scan(args: &ScanArgs, look: Look) -> Result<(), Failure> {
    let signals = Signals::install()?;
    if let Some(threads) = args.threads {
        // A second pool in one process cannot be had, and none was made before.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global();
        pool.map_err(|e| Failure::usage(&format!("--threads {threads}: {e}"), "ask for fewer"))?;
    }
    let mut reporter = Reporter::new(look);
    let result = {
        let mut progress = |at: Progress| tell(&mut reporter, at);
        let mut watch = Watch { stop: signals.stop(), progress: &mut progress };
        work(args, &mut watch)
    };
    reporter.finish();
    match result.map_err(|failed| failed.told(signals))? {
        Done::Part { folder, rows } => part_done(&folder, rows, look),
        Done::Whole(done) => whole_done(&done, args, look),
    }
}

fn tell(reporter: &mut Reporter, at: Progress) {
    match at {
        Progress::Reading { rows, bytes, bytes_total } => {
            reporter.on(&Event::Preparing { rows, bytes, bytes_total });
        }
        Progress::Comparing => reporter.on(&Event::Phase("duplicates")),
        Progress::Answers => reporter.on(&Event::Phase("answers")),
        Progress::Writing => reporter.on(&Event::Phase("report")),
    }
}

/// A failure of the scan, or of what is around it.
enum Failed {
    Scan(ScanError),
    Here(Failure),
}

impl Failed {
    fn told(self, signals: &Signals) -> Failure {
        match self {
            Failed::Here(failure) => failure,
            Failed::Scan(e) => Failure::of_scan(e, signals),
        }
    }
}

impl<E: Into<ScanError>> From<E> for Failed {
    fn from(e: E) -> Self {
        Failed::Scan(e.into())
    }
}

enum Done {
    Part { folder: PathBuf, rows: u64 },
    Whole(Box<Whole>),
}

struct Whole {
    record: Value,
    failed: Vec<(String, f64)>,
    out: Option<PathBuf>,
    clean_log: Option<PathBuf>,
}

fn work(args: &ScanArgs, watch: &mut Watch) -> Result<Done, Failed> {
    let out = args.out.as_deref().map(std::path::absolute).transpose().map_err(|e| Failed::Here(e.into()))?;
    if let Some(shard) = args.shard {
        let Some(folder) = out else {
            return Err(Failed::Here(Failure::usage("--shard needs --out", "name a folder")));
        };
        return part(args, shard, folder, watch);
    }
    let out = out.map(|out| no_end_slash(&out));
    if let Some(out) = &out {
        scan::may_publish(out)?;
    }
    if let Some(to) = &args.clean {
        may_clean(to, out.as_deref()).map_err(Failed::Here)?;
    }
    // Beside the report, where there must be room for the findings anyway.
    let spool = match out.as_deref().and_then(Path::parent).filter(|parent| parent.is_dir()) {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    };
    let spool = spool.map_err(|e| Failed::Here(e.into()))?;
    let shards = match args.merge.is_empty() {
        true => {
            let plan = plan(args, Shard { index: 0, of: 1 })?;
            if args.redact.is_some() && !plan.measures.contains(&Measure::Pii) {
                let hint = "add pii to --only, or leave --redact out";
                return Err(Failed::Here(Failure::usage(
                    "--redact replaces what is found, and --only leaves pii out",
                    hint,
                )));
            }
            measured(&args.fail_on, &plan.measures, &plan.inputs).map_err(Failed::Here)?;
            vec![(scan::measure(&plan, spool.path(), watch)?, spool.path().to_owned())]
        }
        false => args.merge.iter().map(|dir| part_in(dir, args)).collect::<Result<_, _>>()?,
    };
    let redact = redaction(args.redact);
    let copying = match (&args.clean, redact) {
        (None, _) => Copying::NotAsked,
        (Some(_), None) => Copying::Plain,
        (Some(_), Some(how)) => Copying::Redacted(how),
    };
    let mut done = scan::finish(shards, &args.fail_on, copying, spool.path(), watch)?;
    let copied =
        args.clean.as_ref().map(|to| scan::clean_copy(&runfs::RealFs, &mut done, to, redact, spool.path(), watch));
    // Also where the copy failed: the findings took the time.
    if let Some(out) = &out {
        let page = report::scan::page(&done.record, super::language(args.language));
        scan::publish(&runfs::RealFs, out, &done.record, &page, &done.findings)?;
    }
    let clean_log = copied.transpose()?;
    Ok(Done::Whole(Box::new(Whole { record: done.record, failed: done.failed, out, clean_log })))
}

/// `health/` is the folder `health`.
fn no_end_slash(path: &Path) -> PathBuf {
    path.components().collect()
}

/// What would be found out only after the scan.
fn may_clean(to: &Path, out: Option<&Path>) -> Result<(), Failure> {
    let to = std::path::absolute(to)?;
    if to.exists() {
        let sentence = format!("{}: exists; a clean copy never replaces anything", to.display());
        return Err(Failure::usage(&sentence, "name another path for --clean"));
    }
    if out.is_some_and(|out| to.starts_with(out)) {
        return Err(Failure::usage(
            "--clean lies in the folder of --out, which is replaced as a whole",
            "name another path",
        ));
    }
    Ok(())
}

/// A condition on what is not measured would always hold or never.
fn measured(gates: &[Gate], measures: &BTreeSet<Measure>, inputs: &[Input]) -> Result<(), Failure> {
    for gate in gates {
        let needs = match gate.metric.check() {
            None => continue,
            Some(Check::Length) => Measure::Lengths,
            Some(Check::Language) => Measure::Languages,
            Some(Check::Fault) => Measure::Faults,
            Some(Check::Pii | Check::Secret) => Measure::Pii,
            Some(Check::Duplicate) => Measure::Duplicates,
            Some(Check::Leak) => Measure::Leaks,
            Some(Check::Poison) => Measure::Answers,
            Some(Check::Quality) => Measure::Quality,
        };
        if !measures.contains(&needs) {
            let sentence = format!("--fail-on {gate}: --only leaves {} out", needs.name());
            return Err(Failure::usage(&sentence, "measure it, or leave the condition out"));
        }
        if needs == Measure::Leaks && inputs.iter().all(|input| input.eval.is_none()) {
            let sentence = format!("--fail-on {gate}: there is no evaluation file that could have leaked");
            return Err(Failure::usage(&sentence, "name one with --eval"));
        }
    }
    Ok(())
}

fn redaction(how: Option<RedactHow>) -> Option<Redact> {
    how.map(|how| match how {
        RedactHow::Tag => Redact::Tag,
        RedactHow::Mask => Redact::Mask,
        RedactHow::Surrogate => Redact::Surrogate,
    })
}

fn part(args: &ScanArgs, (i, of): (u32, u32), folder: PathBuf, watch: &mut Watch) -> Result<Done, Failed> {
    let plan = plan(args, Shard { index: i - 1, of })?;
    scan::begin_part(&folder)?;
    let state = scan::measure(&plan, &folder, watch)?;
    let rows = state.rows();
    scan::end_part(&runfs::RealFs, &folder, &state)?;
    Ok(Done::Part { folder, rows })
}

/// A part; how many rows are shown is asked when the report is made.
fn part_in(dir: &Path, args: &ScanArgs) -> Result<(ShardState, PathBuf), ScanError> {
    let mut state = scan::read_part(dir)?;
    state.asked.sample = args.sample as usize;
    Ok((state, dir.to_owned()))
}

fn plan(args: &ScanArgs, shard: Shard) -> Result<ScanPlan, Failed> {
    let mut inputs: Vec<Input> = scan::input::files(&args.files)
        .map_err(ScanError::from)?
        .into_iter()
        .map(|file| Input { file, eval: None })
        .collect();
    for eval in &args.evals {
        // `split=test/x.jsonl` may be a path.
        let named = eval.split_once('=').filter(|_| !Path::new(eval).exists());
        let (name, pattern) = named.unwrap_or(("", eval));
        for file in scan::input::files(&[pattern.to_owned()]).map_err(ScanError::from)? {
            let of_file =
                file.source.path.file_stem().map_or(String::new(), |stem| stem.to_string_lossy().into_owned());
            let name = if name.is_empty() { of_file } else { name.to_owned() };
            inputs.push(Input { file, eval: Some(name) });
        }
    }
    for (index, input) in inputs.iter_mut().enumerate() {
        input.file.index = index as u32;
    }
    let (policy, policy_name) = match &args.policy {
        Some(path) => (policy(path).map_err(Failed::Here)?, path.display().to_string()),
        None => (Policy::default(), "default".to_owned()),
    };
    let words = match &args.words {
        Some(path) => std::fs::read_to_string(path).map_err(|e| {
            Failed::Here(Failure::usage(&format!("{}: {e}", path.display()), "--words takes a UTF-8 text file"))
        })?,
        None => String::new(),
    };
    Ok(ScanPlan {
        inputs,
        measures: match args.only.is_empty() {
            true => Measure::ALL.into(),
            false => args.only.iter().copied().collect(),
        },
        tokenizer: args.tokenizer.clone(),
        names: args.names.clone(),
        words,
        policy,
        policy_name,
        shard,
        record_bytes_max: args.record_max * MIB,
        sample: args.sample as usize,
    })
}

fn policy(path: &Path) -> Result<Policy, Failure> {
    let shown = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|e| Failure::plan(&format!("{shown}: {e}"), "name a policy file"))?;
    let policy: Policy = serde_saphyr::from_str(&text).map_err(|e| {
        // The first line says where and what; the rest draws the file.
        let said = e.to_string();
        let said = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
        Failure::plan(&format!("{shown}: {said}"), "README.md lists the keys of a policy")
    })?;
    match policy.unknown_names().first() {
        Some(name) => Err(Failure::plan(
            &format!("{shown}: {name:?} is no check of a scan"),
            "name a check, such as pii, or one of its types, such as pii.address",
        )),
        None => Ok(policy),
    }
}

fn part_done(folder: &Path, rows: u64, look: Look) -> Result<(), Failure> {
    let text = match look {
        Look::Json => format!("{}\n", json!({"event": "done", "part": folder, "rows": rows})),
        Look::Human | Look::Quiet => format!("part     {} ({rows} rows)\n", shown_path(folder)),
    };
    crate::ui::print(&text)?;
    Ok(())
}

fn whole_done(done: &Whole, args: &ScanArgs, look: Look) -> Result<(), Failure> {
    let page = done.out.as_ref().map(|out| shown_path(&out.join("scan.html")));
    let text = match look {
        Look::Json => {
            let event = json!({"event": "done", "out": done.out, "clean_log": done.clean_log, "scan": done.record});
            format!("{event}\n")
        }
        Look::Human | Look::Quiet => {
            // Colours are taken out again where they are not wanted.
            let width = crate::ui::text::COLUMNS;
            report::terminal(
                &done.record,
                page.as_deref(),
                super::language(args.language),
                width,
                report::terminal::Colour::Ansi,
            )
        }
    };
    crate::ui::print(&text)?;
    match done.failed.as_slice() {
        [] => Ok(()),
        failed => Err(Failure::gates(failed)),
    }
}
