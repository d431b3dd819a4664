//! `athanor quickstart`: the whole way on a small model and data inside the program, by the commands that a user types.

use crate::args::{Cli, Command, QuickstartArgs, ReportLanguage};
use crate::exit::Failure;
use crate::signals::Signals;
use crate::ui::text::{clock, padded};
use crate::ui::{self, Look, shown_path};
use anstyle::{AnsiColor, Style};
use clap::Parser;
use runfs::{Fs, RealFs};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The ways of tuning, by their plans' names.
const WAYS: [&str; 3] = ["lora", "replay", "ewc"];
const TASK_SUITE: &str = "company.yaml";
const PAGE: &str = "quickstart.html";
const RECORD: &str = "quickstart.json";
/// Columns of the closing table.
const NAME: usize = 24;
const CELL: usize = 11;

struct Quickstart<'a> {
    args: &'a QuickstartArgs,
    /// As the user named it, so that the commands shown can be typed.
    out: PathBuf,
    look: Look,
}

pub fn quickstart(args: &QuickstartArgs, look: Look) -> Result<(), Failure> {
    let begun = Instant::now();
    Signals::install()?;
    let q = Quickstart { args, out: args.out.clone(), look };
    q.lay_out()?;
    q.scan()?;
    q.show_plans()?;
    for way in WAYS {
        q.train(way)?;
    }
    let mut ways = Vec::new();
    for way in WAYS {
        ways.push(q.compared(way)?);
    }
    let record = json!({"version": 1, "athanor": env!("CARGO_PKG_VERSION"), "seed": args.seed, "ways": ways});
    q.publish(&record)?;
    q.close(&record, begun)
}

impl Quickstart<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    /// Writes what is inside the program into the folder; what a user changed there is not written over.
    fn lay_out(&self) -> Result<(), Failure> {
        runfs::writable(&RealFs, &std::path::absolute(&self.out)?)?;
        for (folder, files) in [("model", embedded::MODEL), ("data", embedded::DATA), ("", embedded::PLANS)] {
            let folder = std::path::absolute(self.path(folder))?;
            runfs::create_dir_durable(&RealFs, &folder)?;
            for file in files {
                lay_down(&folder.join(file.name), file.bytes)?;
            }
        }
        Ok(())
    }

    fn scan(&self) -> Result<(), Failure> {
        self.heading(("The data, before anything is trained on them", "训练之前：先看数据"))?;
        self.run(vec![
            "scan".into(),
            self.path("data/company_train.jsonl").into(),
            "--eval".into(),
            labelled("test=", &self.path("data/company_test.jsonl")),
            "--tokenizer".into(),
            self.path("model").into(),
            "--out".into(),
            self.path("health").into(),
            "--language".into(),
            self.language().into(),
        ])
    }

    /// The three ways differ in a line.
    fn show_plans(&self) -> Result<(), Failure> {
        self.heading(("The plan, and what the other two ways add to it", "训练计划，以及另外两种方式多出的几行"))?;
        if self.look == Look::Human {
            let plain = plan(WAYS[0]);
            let said = |line: &&str| !line.is_empty() && !line.starts_with('#');
            let mut shown: String = plain.lines().filter(said).map(|line| format!("{line}\n")).collect();
            for way in &WAYS[1..] {
                let own = |line: &&str| said(line) && !line.starts_with("out:") && !plain.lines().any(|l| l == *line);
                plan(way).lines().filter(own).for_each(|line| shown.push_str(&format!("+ {line}\n")));
            }
            ui::print(&indented(&shown))?;
        }
        Ok(())
    }

    /// A run that is there is gone on with, or published again.
    fn train(&self, way: &str) -> Result<(), Failure> {
        let title = match way {
            "replay" => {
                ("LoRA with replay: 8 % of what is learnt is general data", "LoRA + 回放：8 % 的训练内容来自通用数据")
            }
            "ewc" => ("LoRA with EWC: what general data rest on is held", "LoRA + EWC：守住通用能力所依赖的权重"),
            _ => ("LoRA alone", "只用 LoRA"),
        };
        self.heading(title)?;
        let run = self.path("runs").join(way);
        if run.join("plan.json").exists() {
            let seed = train::plan_of(&std::path::absolute(&run)?, &RealFs)?.train.seed;
            if seed != self.args.seed {
                let sentence = format!("{}: was begun with --seed {seed}", shown_path(&std::path::absolute(&run)?));
                return Err(Failure::usage(&sentence, "give that seed, or choose another folder with --out"));
            }
            return self.run(vec!["resume".into(), run.into()]);
        }
        let seed = format!("train.seed={}", self.args.seed);
        self.run(vec![
            "train".into(),
            self.path(&format!("{way}.yaml")).into(),
            "--set".into(),
            labelled("out=", &run),
            "--set".into(),
            seed.into(),
        ])
    }

    fn evaluate(&self, way: &str) -> Result<Value, Failure> {
        if way == WAYS[0] {
            self.heading(("What was learnt, and what was forgotten", "学会了什么，忘了什么"))?;
        }
        let out = self.path("runs").join(way).join("eval");
        self.share_base(way)?;
        let mut line: Vec<OsString> = vec!["eval".into()];
        line.extend(suites().map(|suite| self.path(&suite).into()));
        line.extend(["--model".into(), self.path("model").into(), "--adapter".into()]);
        line.extend([self.path("runs").join(way).into(), "--out".into(), out.into()]);
        line.extend(["--language".into(), self.language().into()]);
        self.show(&line)?;
        match parsed(&line)? {
            Command::Eval { eval, .. } => super::eval::evaluate(&eval, self.look),
            _ => Err(Failure::usage("not an evaluation", "report this")),
        }
    }

    /// A way as the closing page has it; paths there are relative to the page.
    fn compared(&self, way: &str) -> Result<Value, Failure> {
        let eval = self.evaluate(way)?;
        let (plan, page) = (format!("{way}.yaml"), format!("runs/{way}/eval/eval.html"));
        Ok(json!({"name": way, "plan": plan, "page": page, "lost": lost(&eval), "eval": eval}))
    }

    /// The base's answers are the same whichever way is compared with it: `eval` takes finished parts over.
    fn share_base(&self, way: &str) -> Result<(), Failure> {
        let parts = |way: &str| self.path("runs").join(way).join("eval/parts");
        let (from, to) = (parts(WAYS[0]), std::path::absolute(parts(way))?);
        if way == WAYS[0] || to.exists() || !from.exists() {
            return Ok(());
        }
        // Whole or not at all: half a part would pass for one.
        let staged = to.with_extension("copied");
        if staged.exists() {
            std::fs::remove_dir_all(&staged)?;
        }
        for part in std::fs::read_dir(from)? {
            let part = part?.path();
            let name = part.file_name().unwrap_or_default();
            if part.extension().is_some_and(|e| e == "base") {
                copy_folder(&part, &staged.join(name))?;
            }
        }
        if staged.exists() {
            std::fs::rename(staged, to)?;
        }
        Ok(())
    }

    fn publish(&self, record: &Value) -> Result<(), Failure> {
        let page = report::ways::page(record, super::language(self.args.language));
        let text = serde_json::to_vec_pretty(record).map_err(std::io::Error::other)?;
        runfs::publish_file(&RealFs, &std::path::absolute(self.path(RECORD))?, &text)?;
        runfs::publish_file(&RealFs, &std::path::absolute(self.path(PAGE))?, page.as_bytes())?;
        Ok(())
    }

    fn close(&self, record: &Value, begun: Instant) -> Result<(), Failure> {
        let page = self.path(PAGE);
        if self.look == Look::Json {
            let done = json!({"event": "done", "out": self.out, "page": page, "quickstart": record});
            return Ok(ui::print(&format!("{done}\n"))?);
        }
        let opened = self.args.open && open(&page);
        let how = if opened { "opened" } else { "open" };
        let took = clock(begun.elapsed());
        ui::print(&format!("\n{}{how:<9}{}\ntook     {took}\n", table(record), shown_path(&page)))?;
        Ok(())
    }

    fn run(&self, mut line: Vec<OsString>) -> Result<(), Failure> {
        self.show(&line)?;
        match self.look {
            Look::Human => {}
            Look::Quiet => line.push("--quiet".into()),
            Look::Json => line.push("--json".into()),
        }
        crate::run(&parsed(&line)?)
    }

    /// A command as a user would type it.
    fn show(&self, line: &[OsString]) -> Result<(), Failure> {
        if self.look == Look::Human {
            let words: Vec<String> = line.iter().map(|word| quoted(&word.to_string_lossy())).collect();
            ui::eprint(&format!("$ athanor {}\n", words.join(" ")))?;
        }
        Ok(())
    }

    fn heading(&self, (english, chinese): (&str, &str)) -> Result<(), Failure> {
        if self.look == Look::Human {
            let bold = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
            let title = if self.args.language == ReportLanguage::En { english } else { chinese };
            ui::eprint(&format!("\n{bold}{title}{bold:#}\n"))?;
        }
        Ok(())
    }

    fn language(&self) -> &'static str {
        if self.args.language == ReportLanguage::En { "en" } else { "zh" }
    }
}

/// A file of the program; one that is there and has other bytes is the user's.
fn lay_down(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    match RealFs.read(path) {
        Ok(found) if found == bytes => Ok(()),
        Ok(_) => {
            let sentence = format!("{}: is not as this program writes it", shown_path(path));
            Err(Failure::usage(&sentence, "choose another folder with --out"))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(runfs::publish_file(&RealFs, path, bytes)?),
        Err(e) => Err(e.into()),
    }
}

/// The suites inside the program: the task's first.
fn suites() -> impl Iterator<Item = String> {
    let mut names: Vec<&str> =
        embedded::DATA.iter().map(|file| file.name).filter(|name| name.ends_with(".yaml")).collect();
    names.sort_by_key(|name| *name != TASK_SUITE);
    names.into_iter().map(|name| format!("data/{name}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The figure that decides a suite.
fn deciding(suite: &Value) -> &Value {
    list(&suite["figures"]).iter().find(|f| f["name"] == suite["verdict"]).unwrap_or(&Value::Null)
}

/// Mean over the general suites of how far the figure that decides has fallen.
fn lost(eval: &Value) -> Option<f64> {
    let value = |suite, who: &str| deciding(suite)[who]["value"].as_f64();
    let fell = |suite| Some(value(suite, "base")? - value(suite, "tuned")?);
    let general: Vec<f64> = list(&eval["suites"]).iter().filter(|s| s["role"] == "general").filter_map(fell).collect();
    (!general.is_empty()).then(|| general.iter().sum::<f64>() / general.len() as f64)
}

/// A plan's text.
fn plan(way: &str) -> &'static str {
    let file = embedded::PLANS.iter().find(|file| file.name.strip_suffix(".yaml") == Some(way));
    file.and_then(|file| std::str::from_utf8(file.bytes).ok()).unwrap_or_default()
}

fn parsed(line: &[OsString]) -> Result<Command, Failure> {
    let words = std::iter::once(OsString::from("athanor")).chain(line.iter().cloned());
    let cli = Cli::try_parse_from(words).map_err(|e| Failure::usage(&e.to_string(), "report this"))?;
    Ok(cli.command)
}

fn labelled(label: &str, path: &Path) -> OsString {
    let mut word = OsString::from(label);
    word.push(path);
    word
}

/// For a shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,%+@".contains(c);
    match word.chars().all(plain) && !word.is_empty() {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

/// Where a person sits before a screen; whether the page was handed over.
fn open(page: &Path) -> bool {
    let screen =
        cfg!(target_os = "macos") || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|v| std::env::var_os(v).is_some());
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = std::process::Command::new(program);
    let silent = std::process::Stdio::null;
    screen && command.arg(page).stdin(silent()).stdout(silent()).stderr(silent()).spawn().is_ok()
}

/// The figure that decides each suite, of the base and of each way; 80 columns wide.
fn table(record: &Value) -> String {
    let ways = list(&record["ways"]);
    let name = |way: &Value| way["name"].as_str().unwrap_or_default().to_owned();
    let mut text = format!("{}{}", padded("", NAME), padded("base", CELL));
    ways.iter().for_each(|way| text.push_str(&padded(&name(way), CELL)));
    text.truncate(text.trim_end().len());
    text.push('\n');
    for (i, suite) in list(&ways[0]["eval"]["suites"]).iter().enumerate() {
        let [suite_name, figure] = ["name", "verdict"].map(|key| suite[key].as_str().unwrap_or_default());
        let percent = |x: &Value| x["value"].as_f64().map_or_else(|| "?".to_owned(), |x| format!("{:.1} %", 100.0 * x));
        let mut row = format!(
            "{}{}",
            padded(&format!("{suite_name}, {figure}"), NAME),
            padded(&percent(&deciding(suite)["base"]), CELL)
        );
        ways.iter()
            .for_each(|way| row.push_str(&padded(&percent(&deciding(&way["eval"]["suites"][i])["tuned"]), CELL)));
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}
