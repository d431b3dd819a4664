//! The one place where errors become exit codes, sentences and hints.

use crate::plan::PlanError;
use crate::signals::Signals;
use crate::ui::text::visible;
use crate::ui::{self, Look};
use anstyle::{AnsiColor, Style};
use data::{DataError, RowFault, TextError};
use eval::EvalError;
use kernels::KernelError;
use model::ModelError;
use runfs::RunFsError;
use scan::ScanError;
use scan::clean::CleanError;
use scan::input::InputError;
use scan::near::NearError;
use serde_json::json;
use std::io;
use std::path::Path;
use train::TrainError;
use weights::WeightsError;

/// How the program can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Done,
    OwnFault,
    Usage,
    Plan,
    Data,
    Model,
    Memory,
    NoCheckpoint,
    Disk,
    InUse,
    BadNumbers,
    Gate,
    Interrupted,
    Terminated,
}

pub const CODES: &[(Code, u8, &str)] = &[
    (Code::Done, 0, "done"),
    (Code::OwnFault, 1, "our own fault; please report it"),
    (Code::Usage, 2, "the command line is wrong"),
    (Code::Plan, 10, "the plan is refused"),
    (Code::Data, 11, "the data are refused"),
    (Code::Model, 12, "the model, tokenizer or adapter is refused"),
    (Code::Memory, 13, "it does not fit in memory"),
    (Code::NoCheckpoint, 20, "there is no valid checkpoint"),
    (Code::Disk, 21, "the disk is full, read-only or failing"),
    (Code::InUse, 22, "the run folder is in use"),
    (Code::BadNumbers, 30, "the numbers went bad (NaN or infinity)"),
    (Code::Gate, 40, "a gate failed (scan --fail-on, eval --require; eval.require, ewc.rise)"),
    (Code::Interrupted, 130, "interrupted (SIGINT), state saved"),
    (Code::Terminated, 143, "terminated (SIGTERM), state saved"),
];

impl Code {
    pub fn number(self) -> u8 {
        CODES.iter().find(|(code, ..)| *code == self).map_or(1, |(_, number, _)| *number)
    }
}

/// The table of codes, below `athanor --help`.
pub fn table() -> String {
    let rows: String = CODES.iter().map(|(_, number, what)| format!("  {number:>3}  {what}\n")).collect();
    format!("Exit codes:\n{}", rows.trim_end())
}

/// Why the program ends otherwise than well.
#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    pub sentence: String,
    pub hint: Option<String>,
}

impl Failure {
    fn new(code: Code, sentence: impl ToString) -> Failure {
        Failure { code, sentence: sentence.to_string(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// Flags that do not belong together, where the parser cannot know it.
    pub fn usage(sentence: &str, hint: &str) -> Failure {
        Failure::new(Code::Usage, sentence).hint(hint)
    }

    /// A file of settings that is refused.
    pub fn plan(sentence: &str, hint: &str) -> Failure {
        Failure::new(Code::Plan, sentence).hint(hint)
    }

    /// Conditions that a scan was to fail on, with what was found.
    pub fn gates(failed: &[(String, f64)]) -> Failure {
        let all: Vec<String> = failed.iter().map(|(condition, found)| format!("{condition} ({found})")).collect();
        Failure::new(Code::Gate, format!("the data fail on {}", all.join(", ")))
    }

    /// Conditions that an evaluation was to meet, with what was found.
    pub fn unmet(unmet: &[(String, Option<f64>)]) -> Failure {
        let found = |x: &Option<f64>| x.map_or_else(|| "no number".to_owned(), |x| x.to_string());
        let all: Vec<String> = unmet.iter().map(|(condition, x)| format!("{condition} ({})", found(x))).collect();
        Failure::new(Code::Gate, format!("what was required does not hold: {}", all.join(", ")))
    }

    /// An error of an evaluation.
    pub fn of_eval(e: EvalError, signals: &Signals) -> Failure {
        let failure = Failure::from(e);
        match failure.code {
            Code::Interrupted if signals.came_sigterm() => Failure { code: Code::Terminated, ..failure },
            _ => failure,
        }
    }

    /// The same of what a plan asks of its run in `run`.
    pub fn of_asked(e: EvalError, signals: &Signals, run: &Path) -> Failure {
        let run = ui::shown_path(run);
        let hint = match &e {
            EvalError::Interrupted { .. } => Some(format!("`athanor resume {run}` goes on with what is finished")),
            EvalError::SuiteRead { .. } => Some("name a suite's YAML file in `eval.task` or `eval.general`".to_owned()),
            EvalError::Condition { .. } => Some("change `eval.require`".to_owned()),
            EvalError::CommandNotAllowed { .. } => Some(format!(
                "leave it out of `eval`; `athanor eval` asks it of {run} if you trust it, with --allow-commands"
            )),
            EvalError::Scratch { .. } => Some(format!("free space where temporary files and {run} lie")),
            EvalError::BadLoss { .. } => Some("look at the model's weights, or set `train.precision: f32`".to_owned()),
            _ => None,
        };
        let in_plan = matches!(e, EvalError::Condition { .. } | EvalError::CommandNotAllowed { .. });
        let failure = Failure::of_eval(e, signals);
        let hint = match failure.code {
            Code::Memory => Some("raise `train.memory`, or lower `decoding.tokens_max` of the suite".to_owned()),
            Code::Model => Some(format!("check the folders of `model` and {run}")),
            _ => hint,
        };
        Failure { code: if in_plan { Code::Plan } else { failure.code }, hint: hint.or(failure.hint), ..failure }
    }

    /// The same after the training: what was trained stays.
    pub fn of_asked_late(e: EvalError, signals: &Signals, run: &Path) -> Failure {
        let failure = Failure::of_asked(e, signals, run);
        let again = format!("the run is finished and kept: `athanor resume {}` asks again", ui::shown_path(run));
        match (failure.code, &failure.hint) {
            (Code::Interrupted | Code::Terminated, _) => failure,
            (_, Some(hint)) => Failure { hint: Some(format!("{hint}; {again}")), ..failure },
            (_, None) => failure.hint(again),
        }
    }

    /// An error of a scan.
    pub fn of_scan(e: ScanError, signals: &Signals) -> Failure {
        let interrupted = e.is_interrupt();
        let failure = Failure::from(e);
        match interrupted {
            true if signals.came_sigterm() => Failure { code: Code::Terminated, ..failure },
            true => Failure { code: Code::Interrupted, ..failure },
            false => failure,
        }
    }

    /// An error of a run, with the code of the signal that interrupted it where one did.
    pub fn of_run(e: TrainError, signals: &Signals) -> Failure {
        let failure = Failure::from(e);
        match failure.code {
            Code::Interrupted if signals.came_sigterm() => Failure { code: Code::Terminated, ..failure },
            _ => failure,
        }
    }

    /// Says it on stderr, and with `--json` also as an event on stdout; returns the code.
    pub fn tell(&self, look: Look) -> Code {
        let bold = Style::new().bold();
        let red = bold.fg_color(Some(AnsiColor::Red.into()));
        let (word, word_style) = match self.code {
            Code::Interrupted | Code::Terminated => ("stopped", bold),
            _ => ("error", red),
        };
        let mut text = format!("{word_style}{word}:{word_style:#} {}\n", visible(&self.sentence));
        if let Some(hint) = &self.hint {
            text.push_str(&format!("{bold}hint:{bold:#} {}\n", visible(hint)));
        }
        let mut told = ui::eprint(&text);
        if look == Look::Json {
            let event = json!({
                "event": "error", "code": self.code.number(), "message": self.sentence, "hint": self.hint,
            });
            told = told.and(ui::print(&format!("{event}\n")));
        }
        // With both streams closed the exit code is all that is left to tell with.
        drop(told);
        self.code
    }
}

impl From<PlanError> for Failure {
    fn from(e: PlanError) -> Failure {
        let hint = e.hint();
        let sentence = e.to_string();
        match e {
            PlanError::DatasetInfo { source, .. } => Failure { sentence, ..Failure::from(*source) },
            PlanError::CurrentDir { .. } => Failure::new(Code::Disk, sentence),
            _ => Failure { code: Code::Plan, sentence, hint },
        }
    }
}

/// Of our own output: a full disk behind a redirected stdout, say.
impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Failure {
        Failure::new(Code::Disk, format!("cannot read or write: {e}"))
    }
}

impl From<TrainError> for Failure {
    fn from(e: TrainError) -> Failure {
        let sentence = e.to_string();
        let say = |code| Failure::new(code, &sentence);
        match e {
            TrainError::Data(e) => e.into(),
            TrainError::Model(e) => e.into(),
            TrainError::Weights(e) => e.into(),
            TrainError::Folder(e) => e.into(),
            TrainError::Plan { field, .. } => say(Code::Plan).hint(format!("change `{field}`")),
            TrainError::RunExists { dir } => say(Code::Plan).hint(format!(
                "go on with `athanor resume {}`, or train anew with another `out` (--set out=…)",
                dir.display()
            )),
            TrainError::TooFewSteps { .. } => say(Code::Plan)
                .hint("train longer, or lower `adapter.ranks.warmup`, `adapter.ranks.last` or `adapter.ranks.every`"),
            TrainError::NoRun { .. } => {
                say(Code::NoCheckpoint).hint("name the `out` folder of a plan that was trained")
            }
            TrainError::RunFile { .. } => say(Code::NoCheckpoint).hint("train anew with another `out` (--set out=…)"),
            TrainError::NoExamples { .. } => say(Code::Data)
                .hint("look at the counts above; `data.over_length`, `data.quarantine` and `data.columns` decide them"),
            TrainError::NothingSupervised { .. } => {
                say(Code::Data).hint("raise `train.batch`, or set `data.loss_on: all`")
            }
            TrainError::RowOverPass { .. } => say(Code::Plan).hint("raise `train.micro_tokens`, or take it out"),
            TrainError::Memory { .. } => {
                say(Code::Memory).hint("lower `train.seq_len_max` or `train.micro_tokens`, or raise `train.memory`")
            }
            TrainError::DiskSpace { .. } => say(Code::Disk).hint(
                "free space, write to another disk, (for a run) lower `train.checkpoints_keep`, or (for a merge) pass \
                 --no-check",
            ),
            TrainError::QuantizedCopy { source } => Failure::new(Failure::from(*source).code, &sentence)
                .hint("set `quantize_cache` to a folder that can be written and has room, or raise `train.memory`"),
            TrainError::EarlierRun { .. } => say(Code::Plan).hint("change `replay.run`, or use `replay.path`"),
            TrainError::TooFewWritten { .. } => {
                say(Code::Plan).hint("lower `replay.self`, raise `replay.tokens`, or name rows in `replay.path`")
            }
            TrainError::NotWritten { .. } => {
                say(Code::Plan).hint("train first, with the same plan, and mix then; or name rows in `replay.path`")
            }
            TrainError::OutExists { .. } => say(Code::Plan).hint("name a new one, or remove what is there"),
            TrainError::NoFisher { .. } | TrainError::EwcShape { .. } => {
                say(Code::Model).hint("name what `athanor train` has written to a run's folder `ewc`")
            }
            TrainError::TooFewGeneral { examples, least, .. } => say(Code::Data).hint(if examples >= 2 * least {
                format!("lower `ewc.examples` to {}, or add rows to what `ewc.general` names", examples / 2)
            } else {
                format!("name at least {} rows in `ewc.general`, or set `ewc.lambda`", 2 * least)
            }),
            TrainError::NoLambda { .. } => say(Code::Gate).hint(
                "raise `ewc.rise`, lower `train.lr`, or add a `replay`; with the same `out`, what was probed is not probed again",
            ),
            TrainError::EwcBase { .. } => say(Code::Model).hint("measure it on this base: name `ewc.general`"),
            TrainError::EwcData { .. } => say(Code::Data)
                .hint("bring the run's data back, or name a Fisher that was measured on them (`ewc.fisher`)"),
            TrainError::PlanChanged { .. } | TrainError::DataChanged { .. } | TrainError::ModelChanged { .. } => {
                say(Code::Plan).hint("put it back as it was, or train anew with another `out` (--set out=…)")
            }
            TrainError::StateShape { .. } | TrainError::StateTensor { .. } => {
                say(Code::NoCheckpoint).hint("train anew with another `out` (--set out=…)")
            }
            TrainError::NoCheckpoint { .. } => {
                say(Code::NoCheckpoint).hint("train anew with another `out` (--set out=…)")
            }
            TrainError::NumbersWentBad { .. } => say(Code::BadNumbers).hint("lower `train.lr`, or look at those rows"),
            TrainError::Interrupted { .. }
            | TrainError::InterruptedAtEnd { .. }
            | TrainError::InterruptedComparing { .. }
            | TrainError::InterruptedWriting { .. } => say(Code::Interrupted),
        }
    }
}

impl From<DataError> for Failure {
    fn from(e: DataError) -> Failure {
        let sentence = e.to_string();
        let say = |code| Failure::new(code, &sentence);
        match e {
            DataError::Text(e) => e.into(),
            DataError::Interrupted => say(Code::Interrupted),
            DataError::Io { .. } => say(Code::Disk),
            DataError::NoSuchFile { .. } | DataError::NotAFile { .. } => say(Code::Data)
                .hint("change `path` in `data.train`, `data.valid`, `data.unseen` or `replay`; it is relative to the plan's file"),
            DataError::Unseen { .. } => say(Code::Data).hint("name rows in `data.unseen` that nothing else of the plan reads"),
            DataError::Mixture { key, .. } => say(Code::Plan).hint(format!("change `{key}`")),
            DataError::ReplayChanged { .. } => {
                say(Code::Data).hint("put the file back as it was, or name what is to be replayed in `replay.path`")
            }
            DataError::UnknownFileKind { .. } => say(Code::Data).hint("rename the file by its kind"),
            DataError::Encoding { .. } => say(Code::Data).hint("convert the file, such as with iconv -t UTF-8"),
            DataError::BrokenContainer { .. } | DataError::BrokenArray { .. } => say(Code::Data).hint("mend the file"),
            DataError::ParquetNotBuilt { .. } => say(Code::Data).hint("build with `--features parquet`"),
            DataError::UnknownFormat { .. } => say(Code::Data).hint("set `format` and `columns` of this source"),
            DataError::OtherTask { .. } => {
                say(Code::Data).hint("set `format` and `columns` of this source to what is to be learned")
            }
            DataError::UnknownRole { .. } | DataError::NoSuchColumn { .. } => {
                say(Code::Data).hint("change `columns` of this source")
            }
            DataError::UnknownTag { .. }
            | DataError::DatasetInfo { .. }
            | DataError::NoSuchEntry { .. }
            | DataError::RemoteEntry { .. }
            | DataError::EntryField { .. } => {
                say(Code::Data).hint("change `name` of this source, or the entry in `dataset_info`")
            }
            DataError::BadRow { fault, .. } => say(Code::Data).hint(row_hint(&fault)),
            DataError::NothingLeft { .. } | DataError::Empty { .. } => {
                say(Code::Data).hint("change `data.train`, `data.valid` or `data.unseen`")
            }
            DataError::Share { .. } => say(Code::Data).hint("change `data.valid.share`"),
            DataError::ChangedWhileReading { .. } => say(Code::Data).hint("start again when nothing writes to it"),
            DataError::Cache { .. } => say(Code::Disk).hint("start again; the cache is rebuilt"),
            DataError::OutOfRange { .. } => say(Code::OwnFault),
        }
    }
}

fn row_hint(fault: &RowFault) -> &'static str {
    match fault {
        RowFault::TooLong { .. } => "raise `train.seq_len_max`, or set `data.over_length` to drop, truncate or split",
        RowFault::TooLarge { .. } => "raise `data.record_max`, or pass --quarantine to set such rows aside",
        RowFault::Text { .. } => "set `data.template`, or pass --quarantine to set such rows aside",
        RowFault::MissingField { .. } => "set `columns` of this source, or pass --quarantine to set such rows aside",
        _ => "mend the row, or pass --quarantine to set such rows aside and count them",
    }
}

impl From<EvalError> for Failure {
    fn from(e: EvalError) -> Failure {
        let sentence = e.to_string();
        let say = |code| Failure::new(code, &sentence);
        match e {
            EvalError::Interrupted { .. } => say(Code::Interrupted)
                .hint("the same command goes on with what is finished, where --out names a folder"),
            EvalError::Data(e) => of_suite(e.into()),
            EvalError::Text(e) => of_suite(e.into()),
            EvalError::Model(e) => of_suite(e.into()),
            EvalError::Folder(e) => Failure { hint: None, ..e.into() }.hint("check the folder of --out"),
            EvalError::Scratch { .. } => say(Code::Disk).hint("free space where temporary files and --out lie"),
            EvalError::SuiteRead { .. } => say(Code::Plan).hint("name a suite's YAML file"),
            EvalError::SuiteParse { .. } => say(Code::Plan).hint("README.md lists the keys of a suite"),
            EvalError::SuiteKey { key, .. } => say(Code::Plan).hint(format!("change `{key}` of the suite")),
            EvalError::SameName { .. } | EvalError::NameOfBoth { .. } => {
                say(Code::Plan).hint("change `name` or `skill` of one of them")
            }
            EvalError::CommandNotAllowed { .. } => {
                say(Code::Usage).hint("pass --allow-commands if you trust the suite, or leave the suite out")
            }
            EvalError::NoRows { .. } => say(Code::Data).hint("name files with rows in `data` of the suite"),
            EvalError::TooManyRows { .. } => say(Code::Data).hint("split the file"),
            EvalError::TooLong { .. } => {
                say(Code::Data).hint("shorten the row, or lower `decoding.tokens_max` of the suite")
            }
            EvalError::Row { .. } => {
                say(Code::Data).hint("mend the row, or change `columns` or `template` of the suite")
            }
            EvalError::BadLoss { .. } => {
                say(Code::BadNumbers).hint("look at the model's weights; with --precision f32 they hold larger numbers")
            }
            EvalError::Pattern { .. } => {
                say(Code::Plan).hint("change `measures.regex.pattern`: it backtracks too much")
            }
            EvalError::Command { .. } => say(Code::Plan).hint("change `measures.command.run` of the suite"),
            EvalError::Condition { .. } => say(Code::Usage).hint("change --require"),
        }
    }
}

/// Hints of an evaluation name the suite's keys and its own flags, and no plan's.
fn of_suite(failure: Failure) -> Failure {
    let hint = match failure.code {
        Code::Plan => "change `template` of the suite, or --adapter",
        Code::Data => "mend the row, or change `data` or `columns` of the suite",
        Code::Model => "check the folders of --model, --base and --adapter: they must belong together",
        Code::Memory => "raise --memory, pass --quantize nf4, or lower `decoding.tokens_max` of the suite",
        _ => return failure,
    };
    failure.hint(hint)
}

impl From<ScanError> for Failure {
    fn from(e: ScanError) -> Failure {
        let sentence = e.to_string();
        let say = |code| Failure::new(code, &sentence);
        let elsewhere = "free space, or put --out on a disk with room: what a scan keeps meanwhile lies beside it";
        match e {
            ScanError::Interrupted => say(Code::Interrupted),
            ScanError::Input(InputError::Data(e)) | ScanError::Data(e) | ScanError::Clean(CleanError::Data(e)) => {
                of_scanned(e)
            }
            ScanError::Input(_) => say(Code::Data).hint("name files, or a pattern in quotes such as 'data/*.jsonl'"),
            ScanError::Tokenizer(_) => {
                say(Code::Model).hint("--tokenizer takes a model's folder, or its tokenizer.json")
            }
            #[cfg(feature = "ner")]
            ScanError::Names(_) => {
                say(Code::Model).hint("--names takes a model's folder; ORT_DYLIB_PATH names the library")
            }
            ScanError::NamesNotBuilt => say(Code::Usage).hint("build with `--features ner`, or leave --names out"),
            ScanError::Words(_) => say(Code::Usage).hint("--words takes a file with one word on each line"),
            ScanError::Near(NearError::Threshold { .. }) => {
                say(Code::Plan).hint("change `near_threshold` of the policy")
            }
            ScanError::Near(NearError::TooManyRows) => say(Code::Data).hint("scan fewer files at a time"),
            ScanError::Near(_) | ScanError::Answers(_) | ScanError::Io { .. } => say(Code::Disk).hint(elsewhere),
            ScanError::Clean(CleanError::RunFs(e)) | ScanError::RunFs(e) => e.into(),
            ScanError::Clean(_) => say(Code::Usage).hint("name another path for --clean"),
            ScanError::NoShard { .. } | ScanError::OtherScan { .. } | ScanError::MissingShards { .. } => {
                say(Code::Usage).hint("--merge takes the --out folders of all parts of one scan")
            }
            ScanError::SameShard { .. } => say(Code::Usage).hint("name each part's folder once"),
            ScanError::OutExists { .. } => say(Code::Usage).hint("name a new folder for --out"),
        }
    }
}

/// Hints of a scan name no plan's keys.
fn of_scanned(e: DataError) -> Failure {
    let failure = Failure::from(e);
    let hint = match failure.code {
        Code::Data => {
            Some("name a file with rows that training takes: alpaca, sharegpt, messages, prompt_completion, text")
        }
        _ => None,
    };
    Failure { hint: hint.map(str::to_owned).or(failure.hint.filter(|_| failure.code != Code::Data)), ..failure }
}

impl From<RunFsError> for Failure {
    fn from(e: RunFsError) -> Failure {
        let sentence = e.to_string();
        let say = |code| Failure::new(code, &sentence);
        match e {
            RunFsError::DiskFull { .. } => {
                say(Code::Disk).hint("free space, lower `train.checkpoints_keep`, or move `out`")
            }
            RunFsError::ReadOnly { .. } => say(Code::Disk).hint("set `out` to a folder that can be written"),
            RunFsError::Io { .. } => say(Code::Disk),
            RunFsError::Corrupt { .. } => say(Code::NoCheckpoint).hint("train anew with another `out` (--set out=…)"),
            RunFsError::InUse { .. } => say(Code::InUse).hint("wait for it to end, or set another `out` (--set out=…)"),
            RunFsError::Name { .. } | RunFsError::Json { .. } => say(Code::OwnFault),
        }
    }
}

impl From<WeightsError> for Failure {
    fn from(e: WeightsError) -> Failure {
        let failure = Failure::new(Code::Model, &e);
        match e {
            WeightsError::Interrupted => Failure { code: Code::Interrupted, ..failure },
            WeightsError::PeftType { .. } | WeightsError::AdapterField { .. } => {
                failure.hint("take another adapter (in a plan, `adapter.start_from`)")
            }
            WeightsError::FourBit { .. } => failure.hint(
                "set `model` to an intact bitsandbytes NF4 checkpoint, or to the model it was made of (`quantize: nf4` \
                 holds that in 4 bits)",
            ),
            WeightsError::NotFloat { .. } => failure.hint("set `model` to weights in f32, f16 or bf16"),
            _ => failure.hint("check the folder that is named (in a plan by `model` or `adapter.start_from`)"),
        }
    }
}

impl From<KernelError> for Failure {
    fn from(e: KernelError) -> Failure {
        let sentence = e.to_string();
        let say = |code| Failure::new(code, &sentence);
        match e {
            KernelError::OutOfMemory { .. } => {
                say(Code::Memory).hint("lower `train.micro_tokens` or `train.seq_len_max`")
            }
            KernelError::Threads { .. } => say(Code::Plan).hint("lower `train.threads`"),
            _ => say(Code::OwnFault),
        }
    }
}

impl From<ModelError> for Failure {
    fn from(e: ModelError) -> Failure {
        let sentence = e.to_string();
        let say = |code| Failure::new(code, &sentence);
        match e {
            ModelError::Kernel(e) => e.into(),
            ModelError::Weights(e) => e.into(),
            ModelError::ConfigRead { .. }
            | ModelError::ConfigTooLarge { .. }
            | ModelError::ConfigParse { .. }
            | ModelError::ConfigMissing { .. }
            | ModelError::ConfigValue { .. } => {
                say(Code::Model).hint("set `model` to the folder of a Hugging Face model, relative to the plan's file")
            }
            ModelError::ConfigUnsupported { field, .. } if field == "quantization_config" => say(Code::Model)
                .hint("set `model` to the model before it was quantised; with `quantize: nf4` it is held in 4 bits here"),
            ModelError::Architecture { .. } | ModelError::ConfigUnsupported { .. } => {
                say(Code::Model).hint("set `model` to one of the supported families")
            }
            ModelError::Limit { field, .. } => say(Code::Plan).hint(format!("change `{field}`")),
            ModelError::SequenceLimit { .. } => say(Code::Plan).hint("lower `train.seq_len_max`"),
            ModelError::FreeMemory { .. } => say(Code::Memory).hint("set `train.memory`, such as train.memory: 8GiB"),
            ModelError::DoesNotFit { .. } => {
                say(Code::Memory).hint("lower `train.seq_len_max` or `train.micro_tokens`, or raise `train.memory`")
            }
            ModelError::TokenId { .. } | ModelError::TargetId { .. } => say(Code::Model)
                .hint("`model` has a tokenizer with more tokens than its weights; take both from the same model"),
            ModelError::Shape { .. } | ModelError::MissingTensor { .. } | ModelError::UnknownTensor { .. } => {
                say(Code::Model).hint("check `model` and `adapter.start_from`: they must belong together")
            }
            ModelError::NotQuantised { .. } => {
                say(Code::Model).hint("take a base whose weights are all numbers; this one's file is damaged")
            }
            ModelError::QuantisedAlready { .. } => say(Code::Model).hint("train on it as it is; `quantize` takes floats"),
            ModelError::Damaged { .. } => {
                say(Code::Model).hint("save the quantised model again with transformers, or take the one it was made of")
            }
            ModelError::WholeInFourBits { .. } => say(Code::Plan).hint(
                "change `adapter.modules_to_save`, or set `model` to the model before it was quantised and `quantize: nf4`",
            ),
            ModelError::PrincipalInFourBits { .. } => say(Code::Plan).hint(
                "set `adapter.init: kaiming`, or `model` to the model before it was quantised and `quantize: nf4`",
            ),
            ModelError::OtherBase { .. } | ModelError::UnsupportedAdapter { .. } => {
                say(Code::Model).hint("change `adapter.start_from`, or set `model` to the base it was trained on")
            }
            ModelError::TrainedElsewhere { .. } => say(Code::Model).hint(
                "name the base it was trained on (`model`, or --base); to take this one all the same, set \
                 `adapter.other_base: true`, or pass --other-base",
            ),
            ModelError::NotCombined { instead, .. } => say(Code::Model).hint(instead),
            ModelError::Pattern { field, .. } => say(Code::Plan).hint(format!("change `{}`", adapter_key(field))),
            ModelError::NothingTargeted { .. } => say(Code::Plan)
                .hint("change `adapter.targets`, or `adapter.layers` and `adapter.exclude`, which narrow it"),
            ModelError::NameMatchesNothing { field, .. } => say(Code::Plan).hint(format!("change `adapter.{field}`")),
            ModelError::LinearOnly { .. } => {
                say(Code::Plan).hint("leave it out of `adapter.targets`, or set `adapter.method: lora`")
            }
            ModelError::FisherTargets { .. } => say(Code::Plan),
            ModelError::Rank { .. } => say(Code::Plan).hint("change `adapter.r` or `adapter.rank_pattern`"),
            ModelError::Decoding { field, .. } => say(Code::Plan).hint(format!("change `{field}`")),
            ModelError::EmptyPrompt { .. } => say(Code::Data).hint("give each prompt at least one token"),
            ModelError::PromptToken { .. } => say(Code::Model)
                .hint("`model` has a tokenizer with more tokens than its weights; take both from the same model"),
            ModelError::PromptTooLong { .. } => {
                say(Code::Data).hint("shorten the prompt, ask for shorter answers, or raise `train.seq_len_max`")
            }
            ModelError::NoNumber { .. } => {
                say(Code::Model).hint("the weights or the adapter are damaged: take an earlier checkpoint")
            }
            ModelError::TargetCount { .. }
            | ModelError::TooManyTokens { .. }
            | ModelError::ExampleBounds { .. }
            | ModelError::ExampleTooLong { .. }
            | ModelError::GradientStops { .. }
            | ModelError::ReaderEnded => say(Code::OwnFault),
        }
    }
}

/// The model says `rank_pattern` or `adapter.rank_pattern`; a plan says the latter.
fn adapter_key(field: &str) -> String {
    if field.starts_with("adapter.") { field.to_owned() } else { format!("adapter.{field}") }
}

impl From<TextError> for Failure {
    fn from(e: TextError) -> Failure {
        let sentence = e.to_string();
        let say = |code| Failure::new(code, &sentence);
        match &e {
            TextError::NoTokenizer { .. }
            | TextError::BadTokenizer { .. }
            | TextError::BadConfig { .. }
            | TextError::Io { .. }
            | TextError::TooLarge { .. }
            | TextError::UnknownSpecialToken { .. }
            | TextError::NoEos { .. }
            | TextError::Tokenize { .. } => {
                say(Code::Model).hint("check the tokenizer's files in the folder that `model` names")
            }
            TextError::BadPlainTemplate { .. } | TextError::MissingField { .. } | TextError::NotPlain { .. } => {
                say(Code::Plan).hint("change `data.template`")
            }
            TextError::BadTemplate { .. }
            | TextError::TemplateTooLarge { .. }
            | TextError::NoDefaultTemplate { .. }
            | TextError::WrongTemplate { .. }
            | TextError::MissingEos { .. }
            | TextError::Raised { .. }
            | TextError::Render { .. }
            | TextError::OutOfFuel { .. }
            | TextError::Dropped { .. }
            | TextError::SpanNotFound { .. }
            | TextError::DoubledBos { .. } => say(Code::Model)
                .hint("set `data.template` to {file: …} with a template that fits the model, or to a plain text"),
            TextError::BadMessage { .. }
            | TextError::NoMessages
            | TextError::TooManyAnswers { .. }
            | TextError::TextTooLarge { .. }
            | TextError::ReservedCharacter { .. }
            | TextError::ControlText { .. }
            | TextError::NothingSupervised { .. } => {
                say(Code::Data).hint("mend the row, or pass --quarantine to set such rows aside")
            }
        }
    }
}
