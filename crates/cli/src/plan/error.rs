//! What a plan file can be refused for, each with the place it was written and what was expected there.

use super::node::Place;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("cannot read the plan {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is longer than {bytes_max} bytes, the most that a plan can have")]
    TooLarge { path: PathBuf, bytes_max: u64 },
    #[error("{path} is not UTF-8 (byte {offset})")]
    NotUtf8 { path: PathBuf, offset: usize },
    #[error("{at}: this is not valid YAML: {why}")]
    Yaml { at: Place, why: String },
    #[error("--set {set}: `{inside}` holds no `{part}`")]
    SetPath { set: Arc<str>, inside: String, part: String },
    #[error("{at}: unknown key `{key}`")]
    UnknownKey { at: Place, key: String, known: &'static [&'static str], nearest: Option<String> },
    #[error("{at}: `{key}` must be {expected}, not {got}")]
    WrongType { at: Place, key: String, expected: String, got: String },
    #[error("{at}: `{key}` must be {expected}, not {got}")]
    OutOfRange { at: Place, key: String, expected: String, got: String },
    #[error("{at}: `{key}` must be one of {}, not \"{got}\"", choices.join(", "))]
    UnknownChoice { at: Place, key: String, got: String, choices: &'static [&'static str], nearest: Option<String> },
    #[error("{at}: `{key}` is missing")]
    Missing { at: Place, key: String },
    #[error("{at}: `{key}` is missing, and so is `{other}`")]
    Neither { at: Place, key: String, other: String },
    #[error("{at}: `{one}` and `{other}` exclude each other")]
    Exclusive { at: Place, one: String, other: String },
    #[error("{at}: `{key}` needs `{needs}`")]
    Needs { at: Place, key: String, needs: String },
    #[error("{at}: the method `{method}` is not there; methods are `lora`, `dora`, `adalora` and `full`")]
    MethodNotYet { at: Place, method: String },
    #[error("{at}: a plan is {expected}, not {got}")]
    NotAPlan { at: Place, expected: String, got: String },
    #[error("{at}: {source}")]
    DatasetInfo { at: Place, source: Box<data::DataError> },
    #[error("{at}: {source}")]
    EarlierRun { at: Place, source: Box<train::TrainError> },
    #[error("the current folder cannot be read: {source}")]
    CurrentDir { source: std::io::Error },
}

impl PlanError {
    /// The exact key or flag to change, where there is one.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            PlanError::Read { .. } => "name a plan file, such as examples/banking77/plan.yaml".into(),
            PlanError::TooLarge { .. } | PlanError::NotUtf8 { .. } => "check that this is the plan and not the data".into(),
            PlanError::Yaml { at: Place::Set(_), .. } => {
                "quote the value so that the shell and YAML read it as one, such as --set 'adapter.targets=[q_proj, v_proj]'".into()
            }
            PlanError::Yaml { .. } => "look for a tab, a missing space after `:` or an open bracket or quote".into(),
            PlanError::SetPath { .. } => "write the key as `athanor plan --keys` lists it".into(),
            PlanError::UnknownKey { nearest: Some(key), .. } => format!("did you mean `{key}`?"),
            PlanError::UnknownKey { known, .. } => format!("known here: {}", known.join(", ")),
            PlanError::UnknownChoice { nearest: Some(choice), key, .. } => {
                format!("did you mean `{}: {choice}`?", last_part(key))
            }
            PlanError::UnknownChoice { key, choices, .. } => {
                format!("set `{key}` to {}", choices.first().unwrap_or(&"a known value"))
            }
            PlanError::WrongType { key, .. } | PlanError::OutOfRange { key, .. } => format!("change `{key}`"),
            PlanError::Missing { key, .. } => format!("add `{key}` to the plan, or pass --set {key}=…"),
            PlanError::Neither { key, other, .. } => format!("add `{key}` or `{other}` to the plan, or pass --set {key}=…"),
            PlanError::Exclusive { one, other, .. } => format!("keep `{one}` or `{other}`, not both"),
            PlanError::Needs { key, needs, .. } => format!("add `{needs}`, or take `{key}` out"),
            PlanError::MethodNotYet { method, .. } if method == "qlora" => {
                "QLoRA is `adapter.method: lora` with `quantize: nf4`".into()
            }
            PlanError::MethodNotYet { .. } => "set `adapter.method` to one of them".into(),
            PlanError::NotAPlan { .. } => "begin with `model:`, `data:` and `out:`; `athanor plan --keys` lists every key".into(),
            PlanError::EarlierRun { .. } => {
                "set `replay.run` to the `out` folder of a run that was trained, or name files in `replay.path`".into()
            }
            PlanError::DatasetInfo { .. } | PlanError::CurrentDir { .. } => return None,
        })
    }
}

fn last_part(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}
