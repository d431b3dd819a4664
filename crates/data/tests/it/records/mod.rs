//! Files, formats, the token cache, order and packing.

mod faults;
mod formats;
mod fuzz;
#[cfg(target_os = "linux")]
mod memory;
mod mixture;
mod packing;
mod prepare;

use data::{Content, DataError, Format, Message, Records, Source};
use std::collections::BTreeMap;
use std::path::Path;

pub const RECORD_BYTES_MAX: u64 = 1 << 16;

pub fn source(path: &Path) -> Source {
    Source { path: path.to_owned(), format: None, columns: BTreeMap::new(), tags: BTreeMap::new(), task: None }
}

pub fn words(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

/// A file of these bytes, read as it stands; then as the caller changes the source.
pub fn read_with(
    name: &str,
    bytes: &[u8],
    change: impl FnOnce(&mut Source),
) -> Result<(String, Vec<String>), DataError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let mut source = source(&path);
    change(&mut source);
    let records = Records::open(&source, RECORD_BYTES_MAX, dir.path())?;
    let note = records.note.clone();
    let strip = |text: String| text.replace(&format!("{}/", dir.path().display()), "");
    let mut out = Vec::new();
    for record in records {
        match record {
            Ok(record) => out.push(format!("{} {}", record.origin.line, shown(&record.content))),
            Err(e @ DataError::BadRow { .. }) => out.push(strip(e.to_string())),
            Err(e) => return Err(e),
        }
    }
    Ok((note, out))
}

pub fn read(name: &str, bytes: &[u8]) -> Result<(String, Vec<String>), DataError> {
    read_with(name, bytes, |_| {})
}

/// What a refusal says, without the folder.
pub fn refusal(name: &str, bytes: &[u8], change: impl FnOnce(&mut Source)) -> String {
    let error = read_with(name, bytes, change).expect_err("a refusal").to_string();
    let start = error.find(name).unwrap_or(0);
    error[start..].to_owned()
}

pub fn told(format: Format) -> impl FnOnce(&mut Source) {
    move |source| source.format = Some(format)
}

fn shown(content: &Content) -> String {
    match content {
        Content::Text(text) => format!("text:{text}"),
        Content::Unfinished(text) => format!("unfinished:{text}"),
        Content::PromptCompletion { prompt, completion } => format!("{prompt} => {completion}"),
        Content::PromptCompletionChat { prompt, completion, tools } => {
            format!("{} => {}{}", messages(prompt), messages(completion), tools_shown(tools))
        }
        Content::Chat(chat) => format!("{}{}", messages(&chat.messages), tools_shown(&chat.tools)),
        Content::Fields(fields) => format!("{fields:?}"),
    }
}

fn tools_shown(tools: &Option<serde_json::Value>) -> String {
    tools.as_ref().map(|t| format!(" tools:{t}")).unwrap_or_default()
}

fn messages(list: &[Message]) -> String {
    list.iter().map(message).collect::<Vec<_>>().join(" | ")
}

fn message(m: &Message) -> String {
    let fields = if m.fields.is_empty() { String::new() } else { serde_json::to_string(&m.fields).unwrap() };
    format!("{}:{}{fields}", m.role, m.text().unwrap_or("-"))
}
