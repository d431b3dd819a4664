//! A folder with a small plan, and the program run in it as a user would.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// Relative path → bytes.
pub type Files = BTreeMap<String, Vec<u8>>;

pub const MODELS: [&str; 9] =
    ["llama", "llama_tied", "llama_rope3", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "phi3"];

pub fn fixture(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).join(path)
}

pub fn repository(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

/// A plan with data in a temporary folder.
pub struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    /// A run of a few steps on `fixtures/models/MODEL`.
    pub fn new(model: &str) -> Bench {
        let bench = Bench { dir: tempfile::tempdir().expect("a temporary folder") };
        bench.write("train.jsonl", &rows(0..40));
        bench.write("valid.jsonl", &rows(40..48));
        let plan = format!(
            r#"
model: {}
data:
  train: {{path: train.jsonl}}
  valid: {{path: valid.jsonl}}
  template: "{{prompt}} => {{completion}}"
adapter: {{r: 4, dropout: 0.1}}
train: {{steps: 6, batch: 2, lr: 1e-3, seq_len_max: 128, checkpoint_every: 3, seed: 1, threads: 1}}
out: run
"#,
            fixture("models").join(model).display()
        );
        bench.write("plan.yaml", &plan);
        bench
    }

    /// A model folder `name` of what `fixtures/nf4/llama` holds in 4 bits and its tokenizer.
    pub fn add_nf4_model(&self, name: &str) {
        fs::create_dir(self.path(name)).expect("a folder");
        for (from, files) in [
            ("nf4/llama", ["config.json", "model.safetensors"]),
            ("models/llama", ["tokenizer.json", "tokenizer_config.json"]),
        ] {
            for file in files {
                fs::copy(fixture(from).join(file), self.path(name).join(file)).expect("a copy");
            }
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the run in `run` came to; the folder is removed, so that the next run of the same plan is at the same place
    /// (checkpoints name the plan's files).
    pub fn take_results(&self) -> Files {
        let run = self.path("run");
        let files = results(&run);
        fs::remove_dir_all(run).expect("ours");
        files
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_athanor"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().expect("the program starts"))
    }

    /// Runs and asserts success.
    pub fn done(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran
    }

    /// Starts with `--json`, to be watched and stopped.
    pub fn watch(&self, args: &[&str]) -> Watched {
        Watched::start(&mut self.command(&[args, &["--json"]].concat()))
    }
}

/// A program under way whose events are read one by one.
pub struct Watched {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watched {
    pub fn start(command: &mut Command) -> Watched {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Watched { child, lines }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads on until an event for which `wanted` holds; None when the output ended before.
    pub fn until(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Option<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line).expect("UTF-8 lines") == 0 {
                return None;
            }
            let event: Value = serde_json::from_str(&line).expect("a JSON object a line");
            if wanted(&event) {
                return Some(event);
            }
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("the process is there");
    }

    pub fn kill(mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("the process is ours");
    }

    /// Reads the rest and waits for the end.
    pub fn end(self) -> Ran {
        let Watched { mut child, lines } = self;
        let rest: String = lines.lines().map(|l| l.expect("UTF-8") + "\n").collect();
        let mut stderr = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().expect("piped"), &mut stderr).expect("UTF-8");
        let status = child.wait().expect("the process is ours");
        Ran { stdout: rest, stderr, ..Ran::of(Output { status, stdout: Vec::new(), stderr: Vec::new() }) }
    }
}

/// Short prompts with answers, all different.
pub fn rows(range: std::ops::Range<usize>) -> String {
    range
        .map(|i| format!("{{\"prompt\":\"say {i} and {}\",\"completion\":\"{i} {}\"}}\n", i * 7 % 13, i * 7 % 13))
        .collect()
}

/// How the program ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(output: Output) -> Ran {
        Ran {
            // Killed by a signal: the shell's number.
            code: output.status.code().unwrap_or_else(|| 128 + signal_of(&output)),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

fn signal_of(output: &Output) -> i32 {
    std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap_or(-1)
}

pub fn is_step(k: u64) -> impl FnMut(&Value) -> bool {
    move |event| event["event"] == "step" && event["step"] == k
}

pub fn is_phase(name: &str) -> impl FnMut(&Value) -> bool + '_ {
    move |event| event["event"] == "phase" && event["phase"] == name
}

/// What must be equal between equal runs: adapter, best, every checkpoint (adapter and optimiser state), and
/// metrics.jsonl.
pub fn results(run: &Path) -> Files {
    let mut files = BTreeMap::new();
    for part in ["adapter", "best", "checkpoints", "metrics.jsonl"] {
        collect(run, &run.join(part), &mut files);
    }
    assert!(
        files.contains_key("adapter/adapter_model.safetensors") && files.contains_key("adapter/adapter_config.json")
    );
    assert!(files.contains_key("metrics.jsonl"));
    assert!(files.keys().any(|f| f.starts_with("checkpoints/step-")), "{:?}", files.keys());
    files
}

fn collect(root: &Path, path: &Path, files: &mut Files) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder") {
            collect(root, &entry.expect("an entry").path(), files);
        }
    } else if path.is_file() {
        let name = path.strip_prefix(root).expect("below the root").display().to_string();
        files.insert(name, fs::read(path).expect("a file"));
    }
}

/// Asserts equality without printing the bytes.
pub fn assert_same(got: &Files, want: &Files, what: &str) {
    assert_eq!(got.keys().collect::<Vec<_>>(), want.keys().collect::<Vec<_>>(), "{what}: other files");
    let different: Vec<_> = want.iter().filter(|(name, bytes)| got[*name] != **bytes).map(|(name, _)| name).collect();
    assert!(different.is_empty(), "{what}: these differ: {different:?}");
}
