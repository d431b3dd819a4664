//! A suite as its YAML file has it, and as it is meant.

use crate::EvalError;
use crate::figures::{Better, Figure, How};
use crate::score::classes::Match;
use crate::score::command::Judge;
use crate::score::exact::Ignore;
use crate::score::instruction::{self, Check};
use crate::score::numeric::Tolerance;
use crate::score::schema::{Around, Schema};
use crate::score::{chrf, style};
use data::{Source, Template};
use model::Decoding;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Largest suite or schema file.
const FILE_BYTES_MAX: u64 = 4 << 20;
const TOKENS_MAX: usize = 128;
const JUDGE_SECONDS_MAX: f64 = 3600.0;

/// Questions, and what is measured of the answers.
#[derive(Clone, Debug)]
pub struct Suite {
    pub path: PathBuf,
    pub name: String,
    pub skill: String,
    pub role: Role,
    /// The figure that decides whether the suite got better or worse.
    pub verdict: String,
    pub data: Vec<Source>,
    pub columns: Columns,
    /// The prompt with `{column}` in it, where it is more than a column.
    pub prompt: Option<String>,
    pub system: Option<String>,
    pub template: Template,
    pub decoding: Decoding,
    /// Texts before which an answer ends.
    pub stop: Vec<String>,
    pub measures: Measures,
    /// Everything above but the role and the verdict as JSON: what decides the answers and the scores, besides the bytes of the files that it names.
    pub meant: Value,
    /// Files besides the data whose bytes decide the scores.
    pub files: Vec<PathBuf>,
}

/// What a suite is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// What the model was tuned for.
    Task,
    /// What it is not to forget.
    General,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Task => "task",
            Role::General => "general",
        }
    }

    /// Of a suite that does not say it: `general` where its name or its skill is that word or begins with it.
    fn by_name(name: &str, skill: &str) -> Role {
        let general = |text: &str| {
            text.strip_prefix("general").is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
        };
        if general(name) || general(skill) { Role::General } else { Role::Task }
    }
}

/// Which columns of a row are what. None: found by the format of the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    pub prompt: Option<String>,
    pub system: Option<String>,
    /// Text, a number, or a list of texts of which any is accepted.
    pub answer: Option<String>,
    /// A list of texts, or several columns.
    pub choices: Option<OneOrMore>,
    /// Instruction checks of this row, besides the suite's own.
    pub checks: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// What is measured; the order of the fields is the order of the figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Measures {
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub classification: Option<Classification>,
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub exact: Option<Exact>,
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub numeric: Option<Tolerance>,
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub regex: Option<Regex>,
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub json_schema: Option<JsonSchema>,
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub instruction: Option<Instruction>,
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub style: Option<Style>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Judge>,
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub rouge: Option<Plain>,
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub chrf: Option<Plain>,
    #[serde(deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    pub loss: Option<Plain>,
}

/// A measure that is named alone has its defaults.
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<Option<T>, D::Error> {
    Ok(Some(Option::<T>::deserialize(d)?.unwrap_or_default()))
}

/// A measure without settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plain {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Classification {
    /// Empty: every answer that the rows have.
    pub labels: Vec<String>,
    #[serde(rename = "match")]
    pub how: Match,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Choice {
    pub by: By,
    /// The choices of every row, where they are not a row's own.
    pub among: Vec<String>,
    /// Where the answer is a number: that of the first choice.
    pub first: u64,
}

/// What the likelihoods of choices are compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Sum,
    Token,
    /// The sum over the bytes of the choice's text: does not depend on the tokenizer.
    #[default]
    Byte,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exact {
    pub ignore: Vec<Ignore>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regex {
    /// Found anywhere in the answer.
    pub pattern: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonSchema {
    /// A file with the schema, beside the suite.
    pub file: PathBuf,
    #[serde(default)]
    pub around: Around,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Instruction {
    pub checks: Vec<Check>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Style {
    /// A file of texts in the wanted style.
    pub reference: PathBuf,
    /// The column with the text. Without it: the answers of the file's format, or its lines.
    #[serde(default)]
    pub column: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    name: String,
    #[serde(default)]
    skill: Option<String>,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    verdict: Option<String>,
    data: TypedSources,
    #[serde(default)]
    columns: Columns,
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    system: Option<String>,
    #[serde(default)]
    template: Option<TypedTemplate>,
    #[serde(default)]
    decoding: TypedDecoding,
    #[serde(default)]
    measures: Option<Measures>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TypedSources {
    Path(PathBuf),
    One(TypedSource),
    More(Vec<TypedSource>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedSource {
    path: PathBuf,
    #[serde(default)]
    format: Option<data::Format>,
    #[serde(default)]
    columns: BTreeMap<String, String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TypedTemplate {
    /// `auto`, or a plain template.
    Text(String),
    File {
        file: PathBuf,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TypedDecoding {
    tokens_max: usize,
    temperature: f64,
    top_k: usize,
    top_p: f64,
    repetition_penalty: f64,
    /// Texts before which an answer ends.
    stop: Vec<String>,
}

impl Default for TypedDecoding {
    fn default() -> Self {
        TypedDecoding {
            tokens_max: TOKENS_MAX,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            stop: Vec::new(),
        }
    }
}

impl Suite {
    /// Reads a suite; paths in it are relative to its folder.
    ///
    /// # Errors
    /// `SuiteRead`, `SuiteParse` and `SuiteKey`, with the line and what was expected.
    pub fn read(path: &Path) -> Result<Suite, EvalError> {
        Suite::read_as(path, None)
    }

    /// The same; `role`: of a suite that does not say it.
    ///
    /// # Errors
    /// As `read`, and `SuiteKey` where it says another.
    pub fn read_as(path: &Path, role: Option<Role>) -> Result<Suite, EvalError> {
        let text = read_text(path)?;
        let typed: Typed = serde_saphyr::from_str(&text).map_err(|e| {
            // The first line says where and what; the rest draws the file.
            let said = e.to_string();
            let why = said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            EvalError::SuiteParse { path: path.to_owned(), why }
        })?;
        Meaning { path, text: &text }.of(typed, role)
    }

    /// Whether answers are written, or only likelihoods asked for.
    pub fn writes(&self) -> bool {
        let m = &self.measures;
        m.classification.is_some()
            || m.exact.is_some()
            || m.numeric.is_some()
            || m.regex.is_some()
            || m.json_schema.is_some()
            || m.instruction.is_some()
            || m.style.is_some()
            || m.command.is_some()
            || m.rouge.is_some()
            || m.chrf.is_some()
    }

    /// Whether rows must say what is right.
    pub fn needs_answers(&self) -> bool {
        let m = &self.measures;
        m.classification.is_some()
            || m.choice.is_some()
            || m.exact.is_some()
            || m.numeric.is_some()
            || m.rouge.is_some()
            || m.chrf.is_some()
            || m.loss.is_some()
    }

    /// Where `key` (such as `measures.regex.pattern`) stands in the suite's file, as an error.
    pub fn wrong(&self, key: &str, got: impl ToString, expected: impl ToString) -> EvalError {
        // The file was read before; should it be gone, its first line stands for it.
        let text = read_text(&self.path).unwrap_or_default();
        Meaning { path: &self.path, text: &text }.wrong(key, got, expected)
    }

    /// The schema of `measures.json_schema`.
    ///
    /// # Errors
    /// A file that is no JSON or no schema.
    pub fn schema(&self) -> Result<Option<Schema>, EvalError> {
        let Some(JsonSchema { file, .. }) = &self.measures.json_schema else { return Ok(None) };
        let text = read_text(file)?;
        let wrong = |why: String| self.wrong("measures.json_schema.file", why, "a file with a JSON schema");
        let value: Value = serde_json::from_str(&text).map_err(|e| wrong(format!("{}: {e}", file.display())))?;
        Schema::compile(&value).map(Some).map_err(|why| wrong(format!("{}: {why}", file.display())))
    }

    /// The figures, and how many numbers each row leaves for them; `labels` of `measures.classification`.
    pub fn figures(&self, labels: usize) -> (Vec<Figure>, usize) {
        let mut list = List::default();
        let m = &self.measures;
        let high = Better::Higher;
        if m.classification.is_some() {
            let at = list.columns(2);
            list.add("accuracy", "classification", high, How::Agree(at));
            list.add("macro_f1", "classification", high, How::MacroF1(at, labels));
            list.add("micro_f1", "classification", high, How::MicroF1(at, labels));
            list.add("no_label", "classification", Better::Lower, How::RateOf(at + 1, labels));
        }
        let rates = [
            ("accuracy", "choice", m.choice.is_some()),
            ("exact", "exact", m.exact.is_some()),
            ("numeric", "numeric", m.numeric.is_some()),
            ("regex", "regex", m.regex.is_some()),
            ("schema_valid", "json_schema", m.json_schema.is_some()),
            ("json_valid", "json_schema", m.json_schema.is_some()),
            ("instruction", "instruction", m.instruction.is_some()),
        ];
        for (name, measure, _) in rates.into_iter().filter(|(.., asked)| *asked) {
            let at = list.columns(1);
            list.add(name, measure, high, How::Rate(at));
        }
        if m.instruction.is_some() {
            let at = list.columns(2);
            list.add("instruction_checks", "instruction", high, How::Ratio(at, at + 1));
        }
        if m.style.is_some() {
            let at = list.columns(style::WIDTH);
            for (i, name) in STYLE_FIGURES.into_iter().enumerate() {
                list.add(name, "style", high, How::Mean(at + i));
            }
        }
        if m.command.is_some() {
            let at = list.columns(1);
            list.add("command", "command", high, How::Rate(at));
        }
        if m.rouge.is_some() {
            for name in ["rouge1", "rouge2", "rougeL"] {
                let at = list.columns(1);
                list.add(name, "rouge", high, How::Mean(at));
            }
        }
        if m.chrf.is_some() {
            let at = list.columns(chrf::WIDTH);
            list.add("chrf", "chrf", high, How::Chrf(at));
        }
        if m.loss.is_some() {
            let at = list.columns(2);
            list.add("loss", "loss", Better::Lower, How::Ratio(at, at + 1));
            list.add("perplexity", "loss", Better::Lower, How::ExpRatio(at, at + 1));
        }
        (list.figures, list.width)
    }

    /// Names of the figures that `models` models give it.
    pub fn figure_names(&self, models: usize) -> Vec<&'static str> {
        let mut names: Vec<&str> = self.figures(0).0.iter().map(|f| f.name).collect();
        if self.measures.style.is_some() && models > 1 {
            names.push(VOICE);
        }
        names
    }
}

/// The figure that two models add to a style.
pub const VOICE: &str = "style_voice";
/// What decides a suite that does not say it: the first of these that it measures. The user's own program before all, what is right
/// or wrong before what is near, and of several figures of one measure that which the others detail.
const DECIDING: [&str; 11] = [
    "command",
    "accuracy",
    "exact",
    "numeric",
    "schema_valid",
    "instruction",
    "regex",
    "style",
    "rougeL",
    "chrf",
    "loss",
];

const STYLE_FIGURES: [&str; style::WIDTH] =
    ["style", "style_length", "style_punctuation", "style_person", "style_politeness", "style_characters"];

/// Figures and the columns that they read, as they are added.
#[derive(Default)]
struct List {
    figures: Vec<Figure>,
    width: usize,
}

impl List {
    fn columns(&mut self, n: usize) -> usize {
        self.width += n;
        self.width - n
    }

    fn add(&mut self, name: &'static str, measure: &'static str, better: Better, how: How) {
        self.figures.push(Figure { name, measure, better, how });
    }
}

fn read_text(path: &Path) -> Result<String, EvalError> {
    let failed = |source| EvalError::SuiteRead { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        let why = format!("{bytes} bytes; a suite or a schema has at most {FILE_BYTES_MAX}");
        return Err(EvalError::SuiteParse { path: path.to_owned(), why });
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// From what was typed to what is meant.
struct Meaning<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Meaning<'_> {
    fn of(&self, typed: Typed, given: Option<Role>) -> Result<Suite, EvalError> {
        self.check_name("name", &typed.name)?;
        let skill = typed.skill.unwrap_or_else(|| typed.name.clone());
        self.check_name("skill", &skill)?;
        if let (Some(typed), Some(given)) = (typed.role, given)
            && typed != given
        {
            return Err(self.wrong("role", typed.name(), format!("{}, as it is asked for", given.name())));
        }
        let role = typed.role.or(given).unwrap_or_else(|| Role::by_name(&typed.name, &skill));
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let template = match typed.template {
            None => Template::Auto,
            Some(TypedTemplate::Text(text)) if text == "auto" => Template::Auto,
            Some(TypedTemplate::Text(text)) => Template::Plain(text),
            Some(TypedTemplate::File { file }) => Template::File(folder.join(file)),
        };
        let mut measures = typed.measures.unwrap_or_default();
        let mut files = Vec::new();
        for path in
            [measures.json_schema.as_mut().map(|m| &mut m.file), measures.style.as_mut().map(|m| &mut m.reference)]
                .into_iter()
                .flatten()
        {
            *path = folder.join(&path);
            files.push(path.clone());
        }
        let data = self.sources(typed.data, folder)?;
        self.check_prompt(&typed.columns, typed.prompt.as_deref(), &data)?;
        self.check_measures(&measures, &typed.columns)?;
        let stop = typed.decoding.stop.clone();
        let decoding = self.decoding(typed.decoding)?;
        if let Template::File(path) = &template {
            files.push(path.clone());
        }
        // A judge is what its program and its arguments are, as far as they are files beside the suite.
        let judge = measures.command.iter().flat_map(|judge| &judge.run);
        files.extend(judge.map(|word| folder.join(word)).filter(|path| path.is_file()));
        let meant = serde_json::json!({
            "name": typed.name, "skill": skill, "data": data, "columns": typed.columns, "prompt": typed.prompt,
            "system": typed.system, "template": template, "decoding": decoding, "stop": stop, "measures": measures,
        });
        let mut suite = Suite {
            path: self.path.to_owned(),
            name: typed.name,
            skill,
            role,
            verdict: String::new(),
            data,
            columns: typed.columns,
            prompt: typed.prompt,
            system: typed.system,
            template,
            decoding,
            stop,
            measures,
            meant,
            files,
        };
        suite.verdict = self.verdict(&suite, typed.verdict)?;
        Ok(suite)
    }

    /// Of what a model is not to forget, the loss says most: it moves before answers do.
    fn verdict(&self, suite: &Suite, typed: Option<String>) -> Result<String, EvalError> {
        let known = suite.figure_names(2);
        let decides = |name: &&&str| known.contains(*name);
        match typed {
            Some(name) if known.contains(&name.as_str()) => Ok(name),
            Some(name) => {
                let expected = format!("a figure of this suite: {}", known.join(", "));
                Err(self.wrong("verdict", format!("{name:?}"), expected))
            }
            None if suite.role == Role::General && suite.measures.loss.is_some() => Ok("loss".to_owned()),
            None => Ok(DECIDING.iter().find(decides).map_or_else(String::new, |name| (*name).to_owned())),
        }
    }

    fn wrong(&self, key: &str, got: impl ToString, expected: impl ToString) -> EvalError {
        EvalError::SuiteKey {
            path: self.path.to_owned(),
            line: line_of(self.text, key),
            key: key.to_owned(),
            got: got.to_string(),
            expected: expected.to_string(),
        }
    }

    /// Conditions name suites and skills, and so do folders.
    fn check_name(&self, key: &str, name: &str) -> Result<(), EvalError> {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        match !name.is_empty() && name.chars().count() <= 64 && name.chars().all(plain) {
            true => Ok(()),
            false => Err(self.wrong(key, format!("{name:?}"), "letters, digits, `_` and `-`, at most 64")),
        }
    }

    fn sources(&self, typed: TypedSources, folder: &Path) -> Result<Vec<Source>, EvalError> {
        let list = match typed {
            TypedSources::Path(path) => {
                vec![TypedSource { path, format: None, columns: BTreeMap::new(), tags: BTreeMap::new() }]
            }
            TypedSources::One(source) => vec![source],
            TypedSources::More(list) => list,
        };
        if list.is_empty() {
            return Err(self.wrong("data", "an empty list", "at least one file"));
        }
        let source = |s: TypedSource| Source {
            path: folder.join(s.path),
            format: s.format,
            columns: s.columns,
            tags: s.tags,
            task: None,
        };
        Ok(list.into_iter().map(source).collect())
    }

    /// A prompt is made of named columns, or found as the format of the file says; not both.
    fn check_prompt(&self, columns: &Columns, prompt: Option<&str>, data: &[Source]) -> Result<(), EvalError> {
        if prompt.is_some() && columns.prompt.is_some() {
            let expected = "either a text with {column} in it, or a column in `columns.prompt`";
            return Err(self.wrong("prompt", "both are given", expected));
        }
        let by_name = prompt.is_some() || columns.prompt.is_some();
        let by_format = data.iter().any(|s| s.format.is_some() || !s.columns.is_empty() || !s.tags.is_empty());
        if by_name && by_format {
            let expected = "no format, columns or tags of a file where `prompt` or `columns.prompt` says what is asked";
            return Err(self.wrong("data", "a format, columns or tags", expected));
        }
        if !by_name && (columns.answer.is_some() || columns.choices.is_some() || columns.system.is_some()) {
            let expected = "`columns.prompt` (or `prompt`) as well; without any of them the file's format says it";
            return Err(self.wrong("columns", "no prompt", expected));
        }
        Ok(())
    }

    fn check_measures(&self, m: &Measures, columns: &Columns) -> Result<(), EvalError> {
        if *m == Measures::default() {
            let known = "at least one of classification, choice, exact, numeric, regex, json_schema, instruction, style, \
                         command, rouge, chrf, loss";
            return Err(self.wrong("measures", "none", known));
        }
        if m.choice.is_some() && m.classification.is_some() {
            let got = "choice and classification in one suite, whose `accuracy` could not be told apart";
            return Err(self.wrong("measures", got, "a suite for each"));
        }
        if let Some(among) = m.choice.as_ref().map(|c| &c.among).filter(|among| !among.is_empty()) {
            self.check_among(among, columns)?;
        } else if m.choice.is_some() && columns.choices.is_none() {
            return Err(self.wrong(
                "measures.choice",
                "no choices",
                "`columns.choices`: a column with a list, or a list of columns; or `among`",
            ));
        }
        if m.choice.is_none() && columns.choices.is_some() {
            return Err(self.wrong("columns.choices", "choices that nothing measures", "`measures.choice`"));
        }
        if let Some(c) = &m.classification {
            let mut seen = std::collections::BTreeSet::new();
            if let Some(twice) = c.labels.iter().find(|label| !seen.insert(label.to_lowercase())) {
                return Err(self.wrong(
                    "measures.classification.labels",
                    format!("{twice:?} twice"),
                    "each label once",
                ));
            }
        }
        if let Some(t) = &m.numeric
            && ![t.tolerance, t.relative].iter().all(|x| x.is_finite() && *x >= 0.0)
        {
            return Err(self.wrong("measures.numeric", "a tolerance below 0 or infinite", "numbers from 0 on"));
        }
        if let Some(r) = &m.regex {
            fancy_regex::Regex::new(&r.pattern)
                .map_err(|e| self.wrong("measures.regex.pattern", e, "a regular expression"))?;
        }
        if let Some(i) = &m.instruction {
            if i.checks.is_empty() && columns.checks.is_none() {
                return Err(self.wrong(
                    "measures.instruction",
                    "no checks",
                    "`checks`, or `columns.checks` with those of each row",
                ));
            }
            for check in &i.checks {
                if let Some(why) = instruction::unsound(check) {
                    return Err(self.wrong("measures.instruction.checks", why, "a check that can hold and fail"));
                }
            }
        } else if columns.checks.is_some() {
            return Err(self.wrong("columns.checks", "checks that nothing measures", "`measures.instruction`"));
        }
        if let Some(judge) = &m.command {
            if judge.run.first().is_none_or(|program| program.is_empty()) {
                return Err(self.wrong("measures.command.run", "no program", "a list: the program and its arguments"));
            }
            if !(judge.seconds > 0.0 && judge.seconds <= JUDGE_SECONDS_MAX) {
                let expected = format!("above 0, at most {JUDGE_SECONDS_MAX}");
                return Err(self.wrong("measures.command.seconds", judge.seconds, expected));
            }
        }
        Ok(())
    }

    fn check_among(&self, among: &[String], columns: &Columns) -> Result<(), EvalError> {
        let key = "measures.choice.among";
        if columns.choices.is_some() {
            return Err(self.wrong(key, "choices beside those of `columns.choices`", "one of the two"));
        }
        let mut seen = std::collections::BTreeSet::new();
        match among.iter().find(|text| text.trim().is_empty() || !seen.insert(text.trim())) {
            Some(text) => Err(self.wrong(key, format!("{text:?} twice or empty"), "each text once")),
            None if among.len() < 2 => Err(self.wrong(key, "one choice", "at least two")),
            None => Ok(()),
        }
    }

    fn decoding(&self, d: TypedDecoding) -> Result<Decoding, EvalError> {
        let require = |holds: bool, key: &str, got: String, expected: &str| match holds {
            true => Ok(()),
            false => Err(self.wrong(&format!("decoding.{key}"), got, expected)),
        };
        require((1..=1 << 20).contains(&d.tokens_max), "tokens_max", d.tokens_max.to_string(), "from 1 to 1048576")?;
        let in_range = d.temperature.is_finite() && (0.0..=100.0).contains(&d.temperature);
        require(in_range, "temperature", d.temperature.to_string(), "from 0 (the likeliest token) to 100")?;
        require(d.top_p > 0.0 && d.top_p <= 1.0, "top_p", d.top_p.to_string(), "above 0, at most 1")?;
        let penalty = d.repetition_penalty;
        require(penalty.is_finite() && penalty >= 1.0, "repetition_penalty", penalty.to_string(), "from 1 on")?;
        require(
            d.stop.iter().all(|s| !s.is_empty()),
            "stop",
            "an empty text".into(),
            "texts before which answers end",
        )?;
        if d.temperature == 0.0 && (d.top_k != 0 || d.top_p != 1.0) {
            let expected = "a `temperature` above 0 with `top_k` or `top_p`: without one the likeliest token is taken";
            return Err(self.wrong("decoding", "temperature 0", expected));
        }
        Ok(Decoding {
            tokens_max: d.tokens_max,
            temperature: d.temperature as f32,
            top_k: d.top_k,
            top_p: d.top_p as f32,
            repetition_penalty: penalty as f32,
            seed: 0,
            stops: Vec::new(),
        })
    }
}

/// The line on which a key stands: its parts are looked for one after another. The last that is found where not all are there.
fn line_of(text: &str, key: &str) -> usize {
    let mut at = 0;
    for part in key.split('.') {
        let pattern = format!("{part}:");
        let free = |i: usize| !text[..i].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-'));
        let Some((i, _)) = text[at..].match_indices(&pattern).find(|(i, _)| free(at + i)) else { break };
        at += i;
    }
    text[..at].matches('\n').count() + 1
}

/// Refuses suites that conditions and folders could not tell apart: each has a name of its own, which is no skill of others.
///
/// # Errors
/// `SameName`, `NameOfBoth`.
pub fn check_together(suites: &[Suite]) -> Result<(), EvalError> {
    for (i, suite) in suites.iter().enumerate() {
        if let Some(first) = suites[..i].iter().find(|s| s.name == suite.name) {
            let (first, second) = (first.path.clone(), suite.path.clone());
            return Err(EvalError::SameName { name: suite.name.clone(), first, second });
        }
        if suites.iter().any(|s| s.name != suite.name && s.skill == suite.name) {
            return Err(EvalError::NameOfBoth { path: suite.path.clone(), name: suite.name.clone() });
        }
    }
    Ok(())
}
