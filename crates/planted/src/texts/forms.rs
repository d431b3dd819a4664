//! The kinds of rows: what is asked, and answers of the kind and length that fit.

use super::{Example, Focus, Language, focus, grammar, line, paragraph_on};
use crate::random::Random;
use std::fmt::Write;

/// Of answers, in bytes. Longer ones would hold most words of a subject and so be alike.
const OUTPUT_BYTES_MAX: f64 = 2600.0;
const OUTPUT_BYTES_MEDIAN: f64 = 240.0;
/// Of the logarithm.
const OUTPUT_DEVIATION: f64 = 1.1;
/// Below it an answer is a word or a number.
const WORD_BYTES: usize = 36;
const SENTENCE_BYTES: usize = 150;

#[derive(Clone, Copy)]
enum Task {
    Explain,
    List,
    Write,
    Rewrite,
    Compare,
    Translate,
    Code,
    Data,
    Count,
    Classify,
    Short,
}

/// With how often each is asked, for answers of a word, of about a sentence, and of more.
const WORDS: &[(Task, usize)] = &[(Task::Classify, 5), (Task::Short, 4), (Task::Count, 2)];
const SENTENCES: &[(Task, usize)] = &[
    (Task::Explain, 6),
    (Task::Rewrite, 5),
    (Task::Translate, 2),
    (Task::Count, 2),
    (Task::Compare, 2),
    (Task::Data, 1),
];
const LONGER: &[(Task, usize)] = &[
    (Task::Explain, 30),
    (Task::List, 22),
    (Task::Write, 18),
    (Task::Rewrite, 12),
    (Task::Compare, 8),
    (Task::Translate, 3),
    (Task::Code, 4),
    (Task::Data, 3),
];

/// What the functions below write about.
struct Writer<'a> {
    language: Language,
    focus: Focus,
    random: &'a mut Random,
    /// Of the answer.
    bytes: usize,
}

pub fn example(language: Language, random: &mut Random) -> Example {
    let bytes = (OUTPUT_BYTES_MEDIAN * exp(normal(random) * OUTPUT_DEVIATION)).clamp(1.0, OUTPUT_BYTES_MAX) as usize;
    let task = weighted(
        if bytes < WORD_BYTES {
            WORDS
        } else if bytes < SENTENCE_BYTES {
            SENTENCES
        } else {
            LONGER
        },
        random,
    );
    let focus = focus(language, 8 + bytes / 300, random);
    let mut writer = Writer { language, focus, random, bytes };
    let (x, y) = (3 + writer.random.below(190) as u32, 3 + writer.random.below(28) as u32);
    writer.focus.values = [x, y, x * y];
    let (list, input) = writer.question(task);
    let instruction = writer.instruction(list);
    Example { instruction, input, output: writer.answer(task) }
}

impl Writer<'_> {
    fn line(&mut self, list: &str) -> String {
        line(self.language, list, &mut self.focus, self.random)
    }

    /// Without a capital.
    fn words(&mut self, list: &str) -> String {
        grammar(self.language).expand(list, &mut self.focus, self.random)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.random.below(n) == 0
    }

    fn sentences(&mut self, n: usize) -> String {
        paragraph_on(self.language, &mut self.focus, self.random, n)
    }

    fn space(&self) -> &'static str {
        if self.language == Language::English { " " } else { "" }
    }

    /// The list of questions that ask for it, and the input.
    fn question(&mut self, task: Task) -> (&'static str, String) {
        let sentences = 2 + self.random.below(4);
        match task {
            Task::Explain => ("explain", self.sometimes_input()),
            Task::List => ("list", self.sometimes_input()),
            Task::Write => ("write", self.sometimes_input()),
            Task::Rewrite => ("rewrite", self.sentences(sentences)),
            Task::Compare => ("compare", String::new()),
            Task::Translate => ("translate", self.sentences(2 + self.bytes / 150)),
            Task::Code => ("code", String::new()),
            Task::Data => ("data", self.sentences(1)),
            Task::Count => ("count", String::new()),
            Task::Classify => ("classify", self.sentences(sentences)),
            Task::Short => ("short", self.sentences(sentences)),
        }
    }

    fn sometimes_input(&mut self) -> String {
        if self.one_in(8) { self.sentences(1) } else { String::new() }
    }

    fn instruction(&mut self, list: &str) -> String {
        let space = self.space();
        let mut out = String::new();
        if self.one_in(3) {
            out = self.line("context") + space;
        }
        out += &self.line(list);
        for _ in 0..self.random.below(3) {
            let extra = self.line("extra");
            let begins: String = extra.chars().take(4).collect();
            if !out.contains(&begins) {
                let _ = write!(out, "{space}{extra}");
            }
        }
        out
    }

    fn answer(&mut self, task: Task) -> String {
        match task {
            Task::Explain | Task::Rewrite => self.prose(),
            Task::List => self.list(),
            Task::Write if self.one_in(3) => {
                format!("{}\n\n{}\n\n{}", self.line("email"), self.prose(), self.line("bye"))
            }
            Task::Write => self.titled(),
            Task::Compare if self.one_in(2) => self.table(),
            Task::Compare => self.prose(),
            Task::Translate => self.translation(),
            Task::Code => self.code(),
            Task::Data => self.data(),
            Task::Count if self.bytes < WORD_BYTES => self.focus.values[2].to_string(),
            Task::Count => self.line("counting"),
            Task::Classify => self.words("label"),
            Task::Short => {
                let list = *self.random.of(&["object", "tool", "place", "outcome"]);
                self.line(list)
            }
        }
    }

    /// Paragraphs of a few sentences.
    fn prose(&mut self) -> String {
        let mut out = String::new();
        if self.bytes > 250 && self.random.below(5) < 2 {
            out = self.line("open") + self.space();
        }
        let mut left = 3 + self.random.below(5);
        loop {
            out += &self.sentences(1);
            if out.len() >= self.bytes {
                break;
            }
            left -= 1;
            out += if left == 0 { "\n\n" } else { self.space() };
            if left == 0 {
                left = 3 + self.random.below(5);
            }
        }
        if self.bytes > 250 && self.one_in(4) {
            let _ = write!(out, "{}{}", self.space(), self.line("close"));
        }
        out
    }

    fn titled(&mut self) -> String {
        match self.random.below(4) {
            0 => format!("{}\n\n{}", self.line("title"), self.prose()),
            1 => format!("# {}\n\n{}", self.line("title"), self.prose()),
            _ => self.prose(),
        }
    }

    fn list(&mut self) -> String {
        let style = self.random.below(5);
        let mut out = String::new();
        if self.one_in(2) {
            out = self.line("open") + "\n\n";
        }
        for n in 1.. {
            let item = self.line("item");
            let _ = match (style, self.language) {
                (0, _) => write!(out, "- {item}"),
                (1, Language::English) => write!(out, "{n}) {item}"),
                (1, Language::Chinese) => write!(out, "{n}、{item}"),
                (2, Language::English) => write!(out, "{n}. **{}**: {item}", self.line("object")),
                (2, Language::Chinese) => write!(out, "{n}. **{}**：{item}", self.line("object")),
                _ => write!(out, "{n}. {item}"),
            };
            if style > 2 && self.one_in(2) {
                let _ = write!(out, "{}{}", self.space(), self.sentences(1));
            }
            if n > 1 && out.len() >= self.bytes {
                break;
            }
            out.push('\n');
        }
        if self.one_in(4) {
            let _ = write!(out, "\n\n{}", self.line("close"));
        }
        out
    }

    fn table(&mut self) -> String {
        let heads = match self.language {
            Language::English => "| Kind | Number | Use |\n|---|---:|---|\n",
            Language::Chinese => "| 种类 | 数量 | 用途 |\n|---|---:|---|\n",
        };
        let mut out = heads.to_owned();
        while out.len() < self.bytes.clamp(200, 900) {
            let number = 2 + self.random.below(980);
            let _ = writeln!(out, "| {} | {number} | {} |", self.line("np"), self.words("do"));
        }
        let _ = write!(out, "\n{}", self.sentences(1));
        out
    }

    /// What the same subject's sentences are in the other language: not the same ones.
    fn translation(&mut self) -> String {
        let other = match self.language {
            Language::English => Language::Chinese,
            Language::Chinese => Language::English,
        };
        let mut focus = grammar(other).focus(self.focus.subject, 8, self.random);
        paragraph_on(other, &mut focus, self.random, 2 + self.bytes / 150)
    }

    fn data(&mut self) -> String {
        let mut keys = Vec::new();
        while keys.len() < 3 {
            let key = self.words("key");
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let mut rows = Vec::new();
        let mut bytes = 0;
        while rows.is_empty() || bytes < self.bytes {
            let mut row = serde_json::Map::new();
            row.insert(keys[0].clone(), self.words("np").into());
            row.insert(keys[1].clone(), (self.random.below(9000) + 100).into());
            row.insert(keys[2].clone(), self.words("how").into());
            let row = format!("  {}", serde_json::Value::Object(row));
            bytes += row.len();
            rows.push(row);
        }
        format!("```json\n[\n{}\n]\n```", rows.join(",\n"))
    }

    fn code(&mut self) -> String {
        let english = grammar(Language::English);
        let mut focus = english.focus(self.focus.subject, 12, self.random);
        let mut name = |list: &str| {
            let words = english.expand(list, &mut focus, self.random);
            words.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
        };
        let (verb, all, other, flag) = (name("verb"), name("object"), name("object"), name("own"));
        let (key, second, each) = (name("key"), name("key"), name("problem"));
        let says = self.sentences(1);
        let n = 2 + self.random.below(90);
        let mut steps = steps([&verb, &all, &other, &flag, &key, &second, &each], n);
        self.random.shuffle(&mut steps);
        let count = 2 + self.random.below(4);
        let mut out = format!("```python\ndef {verb}_{all}({all}, {each}={n}):\n    \"\"\"{says}\"\"\"\n");
        for step in &steps[..count] {
            for line in step.lines() {
                let _ = writeln!(out, "    {line}");
            }
        }
        let _ = write!(out, "    return {flag}_{all}\n```");
        if !self.one_in(3) {
            let n = 1 + self.random.below(3);
            let _ = write!(out, "\n\n{}", self.sentences(n));
        }
        out
    }
}

/// Statements of Python.
fn steps([verb, all, other, flag, key, second, each]: [&str; 7], n: usize) -> Vec<String> {
    vec![
        format!("{flag}_{all} = [x for x in {all} if x[\"{key}\"] > {each}]"),
        format!("{all}.sort(key=lambda {other}: {other}.{key}, reverse=True)"),
        format!("{key}_total = sum({other}.get(\"{key}\", 0) for {other} in {all})"),
        format!("if not {all}:\n    raise ValueError(\"no {all}\")"),
        format!("by_{second} = {{}}\nfor {other} in {all}:\n    by_{second}[{other}.{second}] = {other}"),
        format!("while {flag} < {n}:\n    {flag} += {verb}({all}.pop())"),
        format!("{second}_max = max(({other}.{second} for {other} in {all}), default={n})"),
        format!(
            "with open(\"{other}.csv\") as {other}_lines:\n    {other} = [line.split(\",\") for line in {other}_lines]"
        ),
        format!("print(f\"{{len({all})}} {flag} {all} after {verb}\")"),
        format!("assert {each} != \"{flag}\", {key}"),
        format!("{other} = dict(zip({all}, range({n})))"),
        format!("{verb}ing = {all}[::{each}] or [\"{other}\"]"),
        format!("try:\n    {verb}({other}, {key}={n})\nexcept KeyError:\n    {each} -= 1"),
        format!("{second} = {{{key}: {all}.count({key}) for {key} in set({all})}}"),
        format!("{flag}_{all} = list(filter({verb}_{other}, {all}))[-{n}:]"),
        format!("for {key}, {second} in enumerate({all}, start={n}):\n    yield {second}.{each}"),
    ]
}

fn weighted(tasks: &[(Task, usize)], random: &mut Random) -> Task {
    let mut at = random.below(tasks.iter().map(|(_, weight)| weight).sum());
    for &(task, weight) in tasks {
        if at < weight {
            return task;
        }
        at -= weight;
    }
    Task::Explain
}

/// Nearly normal, of mean 0 and deviation 1, from sums alone: the same bits on every machine.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
}

/// (1 + x/1024)^1024: products alone, for the same reason.
fn exp(x: f64) -> f64 {
    (0..10).fold(1.0 + x / 1024.0, |power, _| power * power)
}
