//! The command line as typed.

use crate::plan::Set;
use crate::ui::Look;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Fine-tune language models: a plan in, an adapter that PEFT and vLLM load out
#[derive(Debug, Parser)]
#[command(name = "athanor", version, max_term_width = 80, after_help = crate::exit::table())]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// Colour the output
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: clap::ColorChoice,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole way in minutes, on a small model and data inside the program: scan, tune
    /// three ways, measure what each learnt and forgot
    Quickstart {
        #[command(flatten)]
        quickstart: QuickstartArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Train what a plan says, into its `out` folder
    Train {
        #[command(flatten)]
        plan: PlanArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Go on with an interrupted run from its newest valid checkpoint
    Resume {
        /// The run's folder (the plan's `out`)
        run: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Show what a plan would train, on what, with what memory; train nothing
    Plan {
        /// List every key of a plan with its default, and do nothing else
        #[arg(long, exclusive = true)]
        keys: bool,
        #[command(flatten)]
        plan: Option<PlanArgs>,
        #[command(flatten)]
        output: Output,
    },
    /// Write the rows of an epoch in their order, each with the file and line it is from
    Mix {
        #[command(flatten)]
        mix: MixArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Fold an adapter into its base, and measure what that changes
    Merge {
        #[command(flatten)]
        merge: MergeArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Show what an adapter changes: where, how much, in how many directions
    Inspect {
        #[command(flatten)]
        inspect: InspectArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Write an adapter with fewer ranks, the best that these allow
    Shrink {
        #[command(flatten)]
        shrink: ShrinkArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Write one adapter that does what several of the same base do together
    Combine {
        #[command(flatten)]
        combine: CombineArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Write a model with its layers in 4 bits (NF4), as bitsandbytes saves it
    Quantize {
        #[command(flatten)]
        quantize: QuantizeArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Ask a model the questions of suites, and compare it with its base
    Eval {
        #[command(flatten)]
        eval: Box<EvalArgs>,
        #[command(flatten)]
        output: Output,
    },
    /// Check the health of data before training, and write a clean copy
    Scan {
        #[command(flatten)]
        scan: ScanArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Show what this machine offers: processor, memory, disk, GPU
    Doctor {
        #[command(flatten)]
        output: Output,
    },
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

impl Command {
    pub fn look(&self) -> Look {
        match self {
            Command::Quickstart { output, .. }
            | Command::Train { output, .. }
            | Command::Resume { output, .. }
            | Command::Plan { output, .. }
            | Command::Mix { output, .. }
            | Command::Merge { output, .. }
            | Command::Inspect { output, .. }
            | Command::Shrink { output, .. }
            | Command::Combine { output, .. }
            | Command::Quantize { output, .. }
            | Command::Eval { output, .. }
            | Command::Scan { output, .. }
            | Command::Doctor { output } => output.look(),
            Command::Completions { .. } => Look::Human,
        }
    }
}

#[derive(Debug, Args)]
pub struct QuickstartArgs {
    /// Everything goes into this folder; an interrupted quickstart is gone on with there
    #[arg(long, value_name = "DIR", default_value = "quickstart")]
    pub out: PathBuf,

    /// Of the order of the data and of the adapter's start
    #[arg(long, value_name = "N", default_value = "0")]
    pub seed: u64,

    /// Language of the pages
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    pub language: ReportLanguage,

    /// Show the page in the browser at the end
    #[arg(long)]
    pub open: bool,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The plan, a YAML file
    #[arg(value_name = "PLAN")]
    pub path: PathBuf,

    /// Override a key of the plan, such as adapter.r=16 (repeatable; values are YAML)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<Set>,

    /// Set bad rows aside and count them (data.quarantine=true)
    #[arg(long)]
    pub quarantine: bool,

    /// Threads to use (train.threads); results do not depend on it
    #[arg(long, value_name = "N")]
    pub threads: Option<u32>,
}

impl PlanArgs {
    /// Flags that stand for keys come last, so that they win over `--set`.
    pub fn overrides(&self) -> Vec<Set> {
        let mut sets = self.sets.clone();
        if self.quarantine {
            sets.push(Set::new("data.quarantine", "true"));
        }
        if let Some(threads) = self.threads {
            sets.push(Set::new("train.threads", &threads.to_string()));
        }
        sets
    }
}

#[derive(Debug, Args)]
pub struct MixArgs {
    #[command(flatten)]
    pub plan: PlanArgs,

    /// The new file, as jsonl; it appears whole or not at all
    #[arg(value_name = "OUT")]
    pub out: PathBuf,

    /// Which epoch, from 1
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub epoch: u64,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The adapter's folder
    pub adapter: PathBuf,

    /// The new folder; it appears whole or not at all
    pub out: PathBuf,

    /// The model it was trained on
    #[arg(long, value_name = "MODEL")]
    pub base: PathBuf,

    /// Type of the weights; the base's own without it (bf16 for what it has in 4 bits)
    #[arg(long, value_name = "TYPE")]
    pub dtype: Option<MergeType>,

    /// What the base's layers go through first: nf4 for an adapter that was trained
    /// beside them in 4 bits; without it what the adapter's folder says
    #[arg(long, value_name = "FORM")]
    pub quantize: Option<MergeQuantize>,

    /// With --quantize nf4: the blocks' magnitudes stay in f32
    #[arg(long, requires = "quantize")]
    pub no_double_quant: bool,

    /// Threads to use
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: Option<u32>,

    /// Also where it was trained on another base
    #[arg(long)]
    pub other_base: bool,

    /// Do not compare the merged model with the adapter beside its base
    #[arg(long)]
    pub no_check: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum MergeType {
    F32,
    F16,
    Bf16,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum MergeQuantize {
    None,
    Nf4,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The adapter's folder, or the run's that it lies in
    pub adapter: PathBuf,

    /// The model it belongs to: changes are shown against its weights
    #[arg(long, value_name = "MODEL")]
    pub base: Option<PathBuf>,

    /// Also where it was trained on another base
    #[arg(long, requires = "base")]
    pub other_base: bool,

    /// Also draw the maps into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ShrinkArgs {
    /// The adapter's folder
    pub adapter: PathBuf,

    /// The new folder; it appears whole or not at all
    pub out: PathBuf,

    #[command(flatten)]
    pub keep: KeepArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct KeepArgs {
    /// Keep at most N ranks in each module
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub rank: Option<u32>,

    /// Keep in each module as few ranks as hold this share of ‖ΔW‖², such as 0.99
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub energy: Option<f64>,
}

#[derive(Debug, Args)]
pub struct CombineArgs {
    /// The new folder; it appears whole or not at all
    pub out: PathBuf,

    /// An adapter's folder, and what its change is multiplied with; 1 without it
    /// (repeatable)
    #[arg(long = "adapter", value_name = "DIR[=WEIGHT]", required = true, value_parser = weighted)]
    pub adapters: Vec<(PathBuf, f64)>,

    /// How the changes ΔW become one
    #[arg(long, value_name = "METHOD", default_value = "linear")]
    pub method: CombineMethod,

    /// Share of each ΔW's elements that stays, with ties and dare; 0.5 without it
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub density: Option<f64>,

    /// Which elements dare leaves out; 0 without it
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// At most N ranks in each module; without it as many as the adapters have
    /// together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536), conflicts_with = "energy")]
    pub rank: Option<u32>,

    /// With linear: in each module as few ranks as hold this share of ‖ΔW‖²
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub energy: Option<f64>,

    /// Also adapters of different bases
    #[arg(long)]
    pub other_base: bool,

    /// Threads to use; the result does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum CombineMethod {
    /// Their weighted sum: exact, unless --rank or --energy ask for fewer ranks
    Linear,
    /// Of each the largest elements; of these the mean of those with the elected sign
    Ties,
    /// Of each a random choice, scaled up; then their weighted sum
    DareLinear,
    /// Of each a random choice, scaled up; then the mean of those with the elected sign
    DareTies,
}

/// `DIR` or `DIR=WEIGHT`; what stands behind the last `=` is a weight where it is a number.
fn weighted(text: &str) -> Result<(PathBuf, f64), String> {
    let Some((dir, weight)) = text.rsplit_once('=') else { return Ok((text.into(), 1.0)) };
    match weight.trim().parse::<f64>() {
        Ok(x) if x.is_finite() && x != 0.0 => Ok((dir.into(), x)),
        Ok(_) => Err("a weight is a number other than 0".to_owned()),
        Err(_) => Ok((text.into(), 1.0)),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(x) if x > 0.0 && x <= 1.0 => Ok(x),
        _ => Err("a share is above 0 and at most 1".to_owned()),
    }
}

#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// The model's folder
    pub model: PathBuf,

    /// The new folder; it appears whole or not at all
    pub out: PathBuf,

    /// Leave the blocks' magnitudes in f32: 4.5 bits a weight instead of 4.13
    #[arg(long)]
    pub no_double_quant: bool,
}

#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The suites, YAML files
    #[arg(value_name = "SUITE", required = true)]
    pub suites: Vec<PathBuf>,

    /// The model's folder
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,

    /// An adapter of this model, or the run that it lies in: compared with the model
    /// without it
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,

    /// Compare with this model: what a wholly tuned one was before
    #[arg(long, value_name = "DIR", conflicts_with = "adapter")]
    pub base: Option<PathBuf>,

    /// Compare with the model with this adapter: the one that training went on from
    #[arg(long, value_name = "DIR", requires = "adapter", conflicts_with_all = ["base", "alone"])]
    pub base_adapter: Option<PathBuf>,

    /// Do not compare: the adapter's answers alone
    #[arg(long, requires = "adapter")]
    pub alone: bool,

    /// Also where the adapter was trained on another base
    #[arg(long, requires = "adapter")]
    pub other_base: bool,

    /// Write eval.html, eval.json and answers.jsonl into this folder; what is finished
    /// there is not computed again
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Language of eval.html
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    pub language: ReportLanguage,

    /// Ask only N rows of each suite, chosen by the seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,

    /// End with exit code 40 unless this holds, such as 'task.accuracy>=0.9' or
    /// 'general.loss_rise.upper<=0.02' (repeatable)
    #[arg(long, value_name = "CONDITION")]
    pub require: Vec<eval::Condition>,

    /// Run the programs of `measures.command`, which get the answers to judge
    #[arg(long)]
    pub allow_commands: bool,

    /// Of sampled answers, of --limit and of the intervals
    #[arg(long, value_name = "N", default_value = "0")]
    pub seed: u64,

    /// f32, bf16, or auto: bf16 where the processor is faster with it
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    pub precision: EvalPrecision,

    /// How the model's layers are held: nf4 is 4 bits; without it what the adapter's
    /// folder says
    #[arg(long, value_name = "FORM")]
    pub quantize: Option<MergeQuantize>,

    /// Memory to use at most, in MiB; what is free without it
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub memory: Option<u64>,

    /// Threads to use; the result does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EvalPrecision {
    Auto,
    F32,
    Bf16,
}

#[derive(Debug, Args)]
pub struct ScanArgs {
    /// The training files, or patterns such as 'data/*.jsonl'; without any, --merge
    #[arg(value_name = "FILE", required_unless_present = "merge")]
    pub files: Vec<String>,

    /// A file that must not have leaked into training, and its name in the report
    /// (repeatable)
    #[arg(long = "eval", value_name = "[NAME=]FILE", conflicts_with = "merge")]
    pub evals: Vec<String>,

    /// Count tokens with this one: a model's folder or a tokenizer.json
    #[arg(long, value_name = "PATH", conflicts_with = "merge")]
    pub tokenizer: Option<PathBuf>,

    /// Look for names with this model: a folder with model.onnx, tokenizer.json and
    /// config.json (cargo feature `ner`)
    #[arg(long, value_name = "DIR", conflicts_with = "merge")]
    pub names: Option<PathBuf>,

    /// Write scan.json, findings.jsonl and scan.html into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Write a copy without what should not be learnt: a file, or for several a folder
    #[arg(long, value_name = "PATH")]
    pub clean: Option<PathBuf>,

    /// In the clean copy, what stands where personal data and secrets were; without it
    /// their rows stay as they are
    #[arg(long, value_name = "HOW", requires = "clean")]
    pub redact: Option<RedactHow>,

    /// Thresholds, what to ignore, when to fail: a YAML file
    #[arg(long, value_name = "FILE", conflicts_with = "merge")]
    pub policy: Option<PathBuf>,

    /// End with exit code 40 when this holds, such as 'pii>0' or 'dup_rate>0.05'
    /// (repeatable)
    #[arg(long, value_name = "CONDITION")]
    pub fail_on: Vec<scan::Gate>,

    /// Only these measures
    #[arg(long, value_name = "MEASURE", value_delimiter = ',', conflicts_with = "merge", value_parser = measures())]
    pub only: Vec<scan::Measure>,

    /// Words that make a row a finding: a file with one on each line
    #[arg(long, value_name = "FILE", conflicts_with = "merge")]
    pub words: Option<PathBuf>,

    /// Rows of each kind of finding that the report shows
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub sample: u32,

    /// Language of the report
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    pub language: ReportLanguage,

    /// Scan the i-th of n parts, into --out; --merge makes the report of all
    #[arg(long, value_name = "I/N", value_parser = shard, requires = "out", conflicts_with_all = ["clean", "merge", "fail_on"])]
    pub shard: Option<(u32, u32)>,

    /// Make the report of parts that were scanned with --shard: their folders
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with = "files")]
    pub merge: Vec<PathBuf>,

    /// Longest record that is read, in MiB
    #[arg(long, value_name = "MIB", default_value = "64", value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub record_max: u64,

    /// Threads to use; the result does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub threads: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RedactHow {
    /// [email]
    Tag,
    /// *** as long as what it was, at most 24
    Mask,
    /// Made-up values of the same form, the same for the same within a row
    Surrogate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportLanguage {
    En,
    Zh,
}

fn measures() -> impl TypedValueParser<Value = scan::Measure> {
    let names = PossibleValuesParser::new(scan::Measure::ALL.map(scan::Measure::name));
    names.try_map(|name| scan::Measure::from_name(&name).ok_or("no measure"))
}

/// `i/n`, i from 1.
fn shard(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parsed {
        Some((i, n)) if (1..=n).contains(&i) && n <= 4096 => Ok((i, n)),
        _ => Err("expected I/N with I from 1 to N, and N at most 4096".to_owned()),
    }
}

#[derive(Debug, Args)]
pub struct Output {
    /// Print the result alone
    #[arg(long, conflicts_with = "json")]
    quiet: bool,

    /// Print one JSON object a line on stdout
    #[arg(long)]
    json: bool,
}

impl Output {
    pub fn look(&self) -> Look {
        match (self.quiet, self.json) {
            (_, true) => Look::Json,
            (true, false) => Look::Quiet,
            (false, false) => Look::Human,
        }
    }
}
