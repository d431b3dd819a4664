//! `cargo xtask base-model OUT`: the model and the data inside the program (crate `embedded`), from nothing.
//!
//! Corpora are functions of seeds; a tokenizer is trained on them; a Llama with random weights is written; `athanor train` trains it
//! by a plan as a user would write it, and `athanor eval` says what it can do. Nothing here computes with the model.

mod arithmetic;
mod assets;
mod company;
mod corpus;
mod formats;
mod init;
mod lexicon;
mod lists;
mod slice;
#[cfg(test)]
mod tests;
mod tokenizer;
mod wording;
mod world;

pub use slice::slice;

use corpus::Shares;
use init::Shape;
use std::path::{Path, PathBuf};
use std::process::Command;
use world::Sides;

pub const USAGE: &str = "cargo xtask base-model OUT [--athanor PROGRAM] [--threads N]";

/// Each use of the seed has its own.
const SEED: u64 = 20_261_128;
const TEST_SEED: u64 = SEED + 2;
const TOKENIZER_SEED: u64 = SEED + 3;
const GENERAL_SEED: u64 = SEED + 4;
const COMPANY_SEED: u64 = SEED + 5;

const TOKENIZER_ROWS: usize = 30_000;
const VALID_ROWS: usize = 600;
const POSITIONS: usize = 512;

/// What is trained: one shape through stages, each of which goes on from the model before.
struct Recipe {
    vocabulary: usize,
    shape: fn(usize) -> Shape,
    stages: &'static [Stage],
    /// Packed rows in a step.
    batch: usize,
}

/// One run of `athanor train`.
struct Stage {
    rows: usize,
    shares: Shares,
    turns: Turns,
    /// Of its rows; its validation has the next.
    seed: u64,
    steps: usize,
    lr: &'static str,
}

/// Of conversations about the world.
#[derive(Clone, Copy)]
enum Turns {
    One,
    Several(Sides),
}

/// 1.9 million parameters: 3.7 MB in bf16.
const RECIPE: Recipe = Recipe {
    vocabulary: 1_536,
    shape: |vocabulary| Shape {
        vocabulary,
        hidden: 192,
        intermediate: 512,
        layers: 4,
        heads: 6,
        kv_heads: 2,
        positions: POSITIONS,
    },
    stages: &[
        Stage { rows: 500_000, shares: corpus::SUMS_FIRST, turns: Turns::One, seed: SEED, steps: 4_500, lr: "2e-3" },
        Stage {
            rows: 300_000,
            shares: corpus::WORLD_NEXT,
            turns: Turns::Several(Sides::Both),
            seed: SEED + 10,
            steps: 3_000,
            lr: "2e-3",
        },
        Stage {
            rows: 200_000,
            shares: corpus::NEARLY_EVEN,
            turns: Turns::Several(Sides::One),
            seed: SEED + 20,
            steps: 2_000,
            lr: "2e-3",
        },
    ],
    batch: 8,
};

/// # Errors
/// A sentence: arguments that are not understood, a file that cannot be written, a command that failed.
pub fn base_model(arguments: &[&str]) -> Result<String, String> {
    let Some((out, mut rest)) = arguments.split_first() else { return Err(format!("usage: {USAGE}")) };
    let (out, mut program, mut threads) = (absolute(Path::new(out))?, Program::Release, None);
    while let [name, value, after @ ..] = rest {
        match *name {
            "--athanor" => program = Program::At(PathBuf::from(value)),
            "--threads" => {
                threads = Some(value.parse::<usize>().map_err(|_| format!("{name}: {value} is no number"))?);
            }
            _ => return Err(format!("{name} is not known; usage: {USAGE}")),
        }
        rest = after;
    }
    if let [left] = rest {
        return Err(format!("{left} has no value; usage: {USAGE}"));
    }
    let trained = train(&out, &RECIPE, &program, threads)?;
    assets::model(&trained, &out.join("assets/model"))?;
    assets::data(&out.join("assets/data"))?;
    let suites = assets::SUITES.map(|suite| out.join("assets/data").join(suite));
    let mut eval = program.command();
    eval.arg("eval").args(suites).arg("--model").arg(out.join("assets/model")).arg("--out").arg(out.join("proof"));
    run(eval)?;
    Ok(format!("the files for crates/embedded/assets are in {}", out.join("assets").display()))
}

/// Tokenizer and random weights in `out/start`, then stage after stage in folders of their own; what is there already is not made
/// again, and a run that was cut off goes on. Gives the folder of the last model.
fn train(out: &Path, recipe: &Recipe, program: &Program, threads: Option<usize>) -> Result<PathBuf, String> {
    let mut model = out.join("start");
    if !model.join("model.safetensors").exists() {
        start(&model, recipe)?;
    }
    for (number, stage) in (1..).zip(recipe.stages) {
        let folder = out.join(format!("stage-{number}"));
        let trained = folder.join("run/model");
        if !trained.exists() {
            let mut command = program.command();
            if folder.join("run/plan.json").exists() {
                command.arg("resume").arg(folder.join("run"));
            } else {
                prepare(&folder, &model, recipe, stage, threads)?;
                command.arg("train").arg(folder.join("plan.yaml"));
            }
            run(command)?;
        }
        model = trained;
    }
    Ok(model)
}

fn start(folder: &Path, recipe: &Recipe) -> Result<(), String> {
    make(folder)?;
    let texts =
        corpus::mixed(TOKENIZER_ROWS, corpus::SUMS_FIRST, TOKENIZER_SEED).flat_map(|row| [row.prompt, row.answer]);
    let tokenizer = tokenizer::train(texts, recipe.vocabulary)?;
    tokenizer::save(&tokenizer, folder)?;
    init::write(folder, &(recipe.shape)(tokenizer.get_vocab_size(true)), SEED)
}

/// Data and plan of a stage.
fn prepare(folder: &Path, model: &Path, recipe: &Recipe, stage: &Stage, threads: Option<usize>) -> Result<(), String> {
    make(folder)?;
    let train = folder.join("train.jsonl");
    match stage.turns {
        Turns::One => corpus::write(&train, corpus::mixed(stage.rows, stage.shares, stage.seed))?,
        Turns::Several(sides) => {
            corpus::write_talks(&train, corpus::talks(stage.rows, stage.shares, sides, stage.seed))?
        }
    }
    corpus::write(&folder.join("valid.jsonl"), corpus::mixed(VALID_ROWS, stage.shares, stage.seed + 1))?;
    write_text(&folder.join("plan.yaml"), &plan(folder, model, recipe, stage, threads))
}

fn plan(folder: &Path, model: &Path, recipe: &Recipe, stage: &Stage, threads: Option<usize>) -> String {
    let Stage { steps, lr, .. } = stage;
    let batch = recipe.batch;
    let every = (steps / 15).max(1);
    let threads = threads.map_or_else(String::new, |n| format!("  threads: {n}\n"));
    let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy());
    format!(
        "# A small model from nothing: every weight is trained.\n\
         model: {}\n\
         data:\n  train: [{{path: train.jsonl}}]\n  valid: [{{path: valid.jsonl}}]\n  packing: bfd\n\
         adapter: {{method: full}}\n\
         train:\n  steps: {steps}\n  batch: {batch}\n  lr: {lr}\n  schedule: cosine\n  warmup: 0.04\n  weight_decay: 0.1\n  \
         betas: [0.9, 0.95]\n  seq_len_max: {POSITIONS}\n  checkpoint_every: {every}\n  eval_every: {every}\n  precision: bf16\n  \
         seed: 0\n{threads}\
         out: {}\n",
        quoted(model),
        quoted(&folder.join("run"))
    )
}

/// Which athanor trains and evaluates.
enum Program {
    At(PathBuf),
    /// Built from this workspace for speed.
    Release,
    /// As tests build it: quicker to have.
    Dev,
}

impl Program {
    fn command(&self) -> Command {
        let profile = match self {
            Program::At(path) => return Command::new(path),
            Program::Release => "release",
            Program::Dev => "dev",
        };
        let mut command = crate::workspace::cargo();
        command.args(["run", "--quiet", "--profile", profile, "--package", "cli", "--bin", "athanor", "--"]);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command
    }
}

/// Runs it with its output going where ours goes.
fn run(mut command: Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown} ended with {status}")),
        Err(why) => Err(format!("{shown} could not be run: {why}")),
    }
}

fn write_text(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|why| format!("{}: {why}", path.display()))
}

/// Plans take paths relative to where the program runs.
fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|why| format!("{}: {why}", path.display()))
}

fn make(folder: &Path) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|why| format!("{}: {why}", folder.display()))
}
