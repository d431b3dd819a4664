//! `athanor scan`: what is wrong with a data set, and a copy without it.

use crate::args::{MeasureName, RedactHow, ReportLanguage, ScanArgs};
use crate::exit::Failure;
use crate::signals::Signals;
use crate::ui::{Look, Reporter, shown_path};

use scan::{Finished, Input, Measure, Policy, Progress, Redact, ScanError, ScanPlan, Shard, ShardState, Watch};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use train::Event;

/// What a shard leaves in its folder, written last.
const SHARD: &str = "shard.json";
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
    match result.map_err(|failed| failed.told(&signals))? {
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
    if let Some(out) = &out {
        scan::may_publish(out)?;
    }
    // Beside the report, where there must be room for the findings anyway.
    let spool = match out.as_deref().and_then(Path::parent).filter(|parent| parent.is_dir()) {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    };
    let spool = spool.map_err(|e| Failed::Here(e.into()))?;
    let (gates, shards) = match args.merge.is_empty() {
        true => {
            let plan = plan(args, Shard { index: 0, of: 1 })?;
            let state = scan::measure(&plan, spool.path(), watch)?;
            (args.fail_on.clone(), vec![(state, spool.path().to_owned())])
        }
        false => (args.fail_on.clone(), args.merge.iter().map(|dir| shard_in(dir)).collect::<Result<_, _>>()?),
    };
    let mut done = scan::finish(shards, &gates, spool.path(), watch)?;
    let clean_log = match &args.clean {
        Some(to) => Some(clean(&mut done, to, args.redact, spool.path(), watch)?),
        None => None,
    };
    if let Some(out) = &out {
        let language = language(args.language);
        let page = report::scan::page(&done.record, language);
        scan::publish(&runfs::RealFs, out, &done.record, &page, &done.findings)?;
    }
    Ok(Done::Whole(Box::new(Whole { record: done.record, failed: done.failed, out, clean_log })))
}

fn clean(
    done: &mut Finished,
    to: &Path,
    redact: Option<RedactHow>,
    spool: &Path,
    watch: &mut Watch,
) -> Result<PathBuf, Failed> {
    let redact = redact.map(|how| match how {
        RedactHow::Tag => Redact::Tag,
        RedactHow::Mask => Redact::Mask,
        RedactHow::Surrogate => Redact::Surrogate,
    });
    Ok(scan::clean_copy(&runfs::RealFs, done, to, redact, spool, watch)?)
}

fn part(args: &ScanArgs, (i, of): (u32, u32), folder: PathBuf, watch: &mut Watch) -> Result<Done, Failed> {
    let plan = plan(args, Shard { index: i - 1, of })?;
    let file = folder.join(SHARD);
    scan::may_publish(&folder)?;
    std::fs::create_dir_all(&folder).map_err(|e| Failed::Here(e.into()))?;
    // An older part in this folder must not be taken for this one should it not come to an end.
    if file.exists() {
        std::fs::remove_file(&file).map_err(|e| Failed::Here(e.into()))?;
    }
    let state = scan::measure(&plan, &folder, watch)?;
    let rows = state.rows();
    let text = serde_json::to_vec(&state).map_err(|e| Failed::Here(std::io::Error::from(e).into()))?;
    runfs::publish_file(&runfs::RealFs, &file, &text).map_err(ScanError::from)?;
    Ok(Done::Part { folder, rows })
}

fn shard_in(dir: &Path) -> Result<(ShardState, PathBuf), ScanError> {
    let no_shard = |got: String| ScanError::NoShard { path: dir.to_owned(), got };
    let text = std::fs::read(dir.join(SHARD)).map_err(|e| no_shard(format!("no {SHARD} that can be read ({e})")))?;
    let state = serde_json::from_slice(&text).map_err(|e| no_shard(format!("{SHARD}: {e}")))?;
    Ok((state, dir.to_owned()))
}

fn plan(args: &ScanArgs, shard: Shard) -> Result<ScanPlan, Failed> {
    let mut inputs: Vec<Input> = scan::input::files(&args.files)
        .map_err(ScanError::from)?
        .into_iter()
        .map(|file| Input { file, eval: None })
        .collect();
    for eval in &args.evals {
        let (name, pattern) = eval.split_once('=').unwrap_or(("", eval));
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
        measures: measures_of(args),
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
    let policy: Policy = serde_saphyr::from_str(&text)
        .map_err(|e| Failure::plan(&format!("{shown}: {e}"), "`athanor scan --help` names the keys' documentation"))?;
    match policy.unknown_names().first() {
        Some(name) => Err(Failure::plan(
            &format!("{shown}: {name:?} is no check of a scan"),
            "name a check, such as pii, or one of its types, such as pii.address",
        )),
        None => Ok(policy),
    }
}

fn measures_of(args: &ScanArgs) -> BTreeSet<Measure> {
    let one = |name: &MeasureName| match name {
        MeasureName::Faults => Measure::Faults,
        MeasureName::Lengths => Measure::Lengths,
        MeasureName::Languages => Measure::Languages,
        MeasureName::Instructions => Measure::Instructions,
        MeasureName::Duplicates => Measure::Duplicates,
        MeasureName::Leaks => Measure::Leaks,
        MeasureName::Pii => Measure::Pii,
        MeasureName::Answers => Measure::Answers,
        MeasureName::Quality => Measure::Quality,
    };
    match args.only.is_empty() {
        true => Measure::ALL.into(),
        false => args.only.iter().map(one).collect(),
    }
}

fn language(language: ReportLanguage) -> report::Language {
    match language {
        ReportLanguage::En => report::Language::English,
        ReportLanguage::Zh => report::Language::Chinese,
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
            let colour = if std::io::stdout().is_terminal() {
                report::terminal::Colour::Ansi
            } else {
                report::terminal::Colour::Plain
            };
            let width = crate::ui::text::COLUMNS;
            report::terminal(&done.record, page.as_deref(), language(args.language), width, colour)
        }
    };
    crate::ui::print(&text)?;
    match done.failed.as_slice() {
        [] => Ok(()),
        failed => Err(Failure::gates(failed)),
    }
}
