//! LLaMA-Factory's `dataset_info.json`: named data sets, as their users already have them.
//!
//! An entry names a local file and says how to read it. Entries that load from a hub or from a script are refused by name:
//! Athanor downloads nothing. Without `formatting` an entry is alpaca, as there; with only a `prompt` column it is plain text,
//! which is how that program writes its pre-training sets.

use crate::error::DataError;
use crate::plan::{Format, Source};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FILE_BYTES_MAX: u64 = 16 << 20;
const NEAREST_NAMES: usize = 3;
/// Keys that say where an entry comes from when it is not a local file.
const REMOTE_KEYS: [&str; 5] = ["hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name"];
/// Keys that mean something which one local text file cannot give.
const OTHER_TASKS: [(&str, &str); 4] =
    [("images", "pictures"), ("videos", "videos"), ("audios", "sound"), ("kto_tag", "answers judged good or bad")];

/// The source that entry `name` of `file` describes. `file` may be the json file or the folder that holds `dataset_info.json`.
///
/// # Errors
/// `DatasetInfo`, `NoSuchEntry` (with the nearest names), `RemoteEntry`, `EntryField`, `OtherTask` for preference data.
pub fn resolve(file: &Path, name: &str) -> Result<Source, DataError> {
    let file = if file.is_dir() { file.join("dataset_info.json") } else { file.to_owned() };
    let entries = read(&file)?;
    let Some(entry) = entries.get(name) else {
        return Err(DataError::NoSuchEntry { path: file, name: name.into(), nearest: nearest(name, &entries) });
    };
    let entry = Entry {
        file: &file,
        name,
        fields: entry.as_object().ok_or_else(|| broken(&file, format!("entry {name:?} is no object")))?,
    };
    entry.source()
}

/// The names of the entries with a local file, sorted.
///
/// # Errors
/// As [`resolve`].
pub fn names(file: &Path) -> Result<Vec<String>, DataError> {
    let mut names: Vec<_> =
        read(file)?.into_iter().filter(|(_, e)| e.get("file_name").is_some()).map(|(name, _)| name).collect();
    names.sort();
    Ok(names)
}

fn read(file: &Path) -> Result<Map<String, Value>, DataError> {
    let bytes = std::fs::metadata(file).map_err(DataError::io("open", file))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(broken(file, format!("{bytes} bytes, above the limit of {FILE_BYTES_MAX}")));
    }
    let text = std::fs::read(file).map_err(DataError::io("read", file))?;
    serde_json::from_slice(&text).map_err(|e| broken(file, e.to_string()))
}

fn broken(file: &Path, got: String) -> DataError {
    DataError::DatasetInfo { path: file.to_owned(), got }
}

struct Entry<'a> {
    file: &'a Path,
    name: &'a str,
    fields: &'a Map<String, Value>,
}

impl Entry<'_> {
    fn source(&self) -> Result<Source, DataError> {
        let columns = self.words("columns")?;
        let tags = self.words("tags")?;
        self.refuse_other_tasks(&columns)?;
        let path = self.path()?;
        let format = match self.text("formatting")?.as_deref() {
            None | Some("alpaca") if columns.contains_key("prompt") && !columns.contains_key("response") => {
                Format::Text
            }
            None | Some("alpaca") => Format::Alpaca,
            Some("sharegpt") => Format::Sharegpt,
            Some("openai") => Format::Messages,
            Some(other) => return Err(self.field("formatting", "alpaca, sharegpt or openai", other)),
        };
        // An entry that says nothing may be alpaca or a txt file; looking decides better than the name of a default.
        let format = (self.fields.contains_key("formatting") || !columns.is_empty()).then_some(format);
        Ok(Source { path, format, columns, tags, task: None })
    }

    fn path(&self) -> Result<PathBuf, DataError> {
        let Some(file_name) = self.text("file_name")? else {
            let from = REMOTE_KEYS.iter().find_map(|key| Some(format!("{key} {}", self.fields.get(*key)?)));
            let from = from.unwrap_or_else(|| "nowhere (it has no file_name)".into());
            return Err(DataError::RemoteEntry { path: self.file.to_owned(), name: self.name.into(), from });
        };
        if file_name.contains("://") {
            return Err(DataError::RemoteEntry { path: self.file.to_owned(), name: self.name.into(), from: file_name });
        }
        let folder = self.file.parent().unwrap_or(Path::new("."));
        Ok(folder.join(file_name))
    }

    fn refuse_other_tasks(&self, columns: &BTreeMap<String, String>) -> Result<(), DataError> {
        if self.fields.get("ranking").and_then(Value::as_bool) == Some(true) {
            return Err(self.field("ranking", "an entry for supervised training", "true (preference pairs)"));
        }
        for (column, what) in OTHER_TASKS {
            if columns.contains_key(column) {
                return Err(self.field(&format!("columns.{column}"), "an entry for supervised training on text", what));
            }
        }
        Ok(())
    }

    fn text(&self, key: &str) -> Result<Option<String>, DataError> {
        match self.fields.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(self.field(key, "a string", &other.to_string())),
        }
    }

    fn words(&self, key: &str) -> Result<BTreeMap<String, String>, DataError> {
        let fields = match self.fields.get(key) {
            None | Some(Value::Null) => return Ok(BTreeMap::new()),
            Some(Value::Object(fields)) => fields,
            Some(other) => return Err(self.field(key, "an object", &other.to_string())),
        };
        fields
            .iter()
            .map(|(word, value)| match value {
                Value::String(text) => Ok((word.clone(), text.clone())),
                other => Err(self.field(&format!("{key}.{word}"), "a string", &other.to_string())),
            })
            .collect()
    }

    fn field(&self, field: &str, expected: &'static str, got: &str) -> DataError {
        DataError::EntryField {
            path: self.file.to_owned(),
            name: self.name.into(),
            field: field.into(),
            expected,
            got: got.into(),
        }
    }
}

/// The names that share most letter pairs with `name`.
fn nearest(name: &str, entries: &Map<String, Value>) -> Vec<String> {
    let pairs = |s: &str| s.as_bytes().windows(2).map(<[u8]>::to_vec).collect::<std::collections::BTreeSet<_>>();
    let wanted = pairs(name);
    let mut scored: Vec<_> = entries.keys().map(|key| (pairs(key).intersection(&wanted).count(), key)).collect();
    scored.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(NEAREST_NAMES).map(|(_, key)| key.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dataset_info.json");
        std::fs::write(&file, text).unwrap();
        (dir, file)
    }

    #[test]
    fn entries_become_sources() {
        let (dir, file) = info(
            r#"{"plain": {"file_name": "a.json"},
                "wiki": {"file_name": "wiki.txt", "columns": {"prompt": "text"}},
                "chat": {"file_name": "sub/c.json", "formatting": "sharegpt", "columns": {"messages": "conversations"}, "tags": {"role_tag": "role"}},
                "hub": {"hf_hub_url": "who/what"}, "dpo": {"file_name": "d.json", "ranking": true},
                "odd": {"file_name": "d.json", "formatting": "xml"}, "pics": {"file_name": "d.json", "columns": {"images": "i"}}}"#,
        );
        let plain = resolve(&file, "plain").unwrap();
        assert_eq!((plain.path, plain.format), (dir.path().join("a.json"), None));
        assert_eq!(resolve(dir.path(), "wiki").unwrap().format, Some(Format::Text));
        let chat = resolve(&file, "chat").unwrap();
        assert_eq!(chat.format, Some(Format::Sharegpt));
        assert_eq!(chat.columns["messages"], "conversations");
        assert_eq!(chat.tags["role_tag"], "role");
        for (name, said) in [
            ("hub", "loads from hf_hub_url \"who/what\""),
            ("dpo", "ranking is true (preference pairs)"),
            ("odd", "formatting is xml; expected alpaca, sharegpt or openai"),
            ("pics", "columns.images is pictures"),
            ("wikki", "no entry \"wikki\"; nearest: wiki"),
        ] {
            let error = resolve(&file, name).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(names(&file).unwrap(), ["chat", "dpo", "odd", "pics", "plain", "wiki"]);
    }

    #[test]
    fn broken_files_are_named() {
        let (_dir, file) = info("[1]");
        assert!(matches!(resolve(&file, "a"), Err(DataError::DatasetInfo { .. })));
    }
}
