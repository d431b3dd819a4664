//! A plan file as a tree that remembers where each value was written, with `--set` laid over it.
//!
//! Typing works on this tree and not on the text, so that an override counts exactly like a line of the file and an
//! error still names the line, or the `--set`, that it comes from.

use super::error::PlanError;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File {
        path: Arc<str>,
        line: u32,
        column: u32,
    },
    /// The argument of a `--set`, as typed.
    Set(Arc<str>),
}

impl Place {
    /// A plan is far shorter than u32 counts.
    fn file(path: &Arc<str>, line: u64, column: u64) -> Place {
        let narrow = |n| u32::try_from(n).unwrap_or(u32::MAX);
        Place::File { path: path.clone(), line: narrow(line), column: narrow(column) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Place::Set(text) => write!(f, "--set {text}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub at: Place,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub at: Place,
    pub value: Node,
}

impl Node {
    /// The tree of a YAML document. `path` is how errors call it.
    pub fn parse(text: &str, path: &Path) -> Result<Node, PlanError> {
        let name: Arc<str> = path.display().to_string().into();
        let raw: Raw = serde_saphyr::from_str_with_options(text, options()).map_err(|e| {
            let (line, column) = e.location().map_or((1, 1), |l| (l.line(), l.column()));
            PlanError::Yaml { at: Place::file(&name, line, column), why: reason(&e) }
        })?;
        Ok(raw.into_node(&|line, column| Place::file(&name, line, column)))
    }

    /// Lays `key=value` over the tree. Numbers in the dotted key index lists; missing maps are made.
    pub fn set(&mut self, set: &Set) -> Result<(), PlanError> {
        let at = Place::Set(set.text.clone());
        let raw: Raw = serde_saphyr::from_str_with_options(&set.value, options())
            .map_err(|e| PlanError::Yaml { at: at.clone(), why: reason(&e) })?;
        let value = raw.into_node(&|_, _| at.clone());
        let mut node = self;
        let mut walked = String::new();
        for part in set.key.split('.') {
            node = match node.child_or_new(part, &at) {
                Some(child) => child,
                None => {
                    return Err(PlanError::SetPath { set: set.text.clone(), inside: walked, part: part.to_owned() });
                }
            };
            if !walked.is_empty() {
                walked.push('.');
            }
            walked.push_str(part);
        }
        *node = value;
        Ok(())
    }

    /// Where the value under a dotted key was written; for an absent key, its nearest written parent.
    pub fn place(&self, key: &str) -> Place {
        let mut node = self;
        for part in key.split('.') {
            match node.child(part) {
                Some(child) => node = child,
                None => break,
            }
        }
        node.at.clone()
    }

    pub fn has(&self, key: &str) -> bool {
        key.split('.').try_fold(self, Node::child).is_some_and(|n| n.value != Value::Null)
    }

    fn child<'a>(&'a self, part: &str) -> Option<&'a Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|e| e.key == part).map(|e| &e.value),
            Value::List(items) => part.parse::<usize>().ok().and_then(|i| items.get(i)),
            _ => None,
        }
    }

    fn child_or_new(&mut self, part: &str, at: &Place) -> Option<&mut Node> {
        if self.value == Value::Null {
            self.value = Value::Map(Vec::new());
        }
        match &mut self.value {
            Value::Map(entries) => {
                let index = match entries.iter().position(|e| e.key == part) {
                    Some(index) => index,
                    None => {
                        let value = Node { at: at.clone(), value: Value::Null };
                        entries.push(Entry { key: part.to_owned(), at: at.clone(), value });
                        entries.len() - 1
                    }
                };
                Some(&mut entries[index].value)
            }
            Value::List(items) => part.parse::<usize>().ok().and_then(|i| items.get_mut(i)),
            _ => None,
        }
    }
}

impl Value {
    /// The value as an error shows it.
    pub fn show(&self) -> String {
        match self {
            Value::Null => "nothing".into(),
            Value::Bool(b) => b.to_string(),
            Value::Int(i) => i.to_string(),
            Value::Float(x) => x.to_string(),
            Value::Text(s) => format!("\"{}\"", crate::ui::text::visible(&crate::ui::text::shortened(s, 40))),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "keys and values".into(),
        }
    }
}

/// One `--set key.path=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    key: String,
    value: String,
    text: Arc<str>,
}

impl Set {
    /// The same from parts, for a flag that stands for a key (`--threads 2`); errors show `text`.
    pub fn new(key: &str, value: &str) -> Set {
        Set { key: key.to_owned(), value: value.to_owned(), text: format!("{key}={value}").into() }
    }
}

impl std::str::FromStr for Set {
    type Err = String;

    fn from_str(text: &str) -> Result<Set, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() && key.split('.').all(|part| !part.is_empty()) => {
                Ok(Set { key: key.to_owned(), value: value.to_owned(), text: text.into() })
            }
            _ => Err("expected key.path=value, such as adapter.r=16".into()),
        }
    }
}

/// A plan nests five levels deep; what nests deeper is refused before it can exhaust the stack.
const DEPTH_MAX: usize = 32;

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, flow_nesting_limit: DEPTH_MAX },
        strict_booleans: true,
        with_snippet: false,
    }
}

/// The parser's reason without the position, which stands in front of the whole message.
fn reason(e: &serde_saphyr::Error) -> String {
    let text = e.to_string();
    let first = text.lines().next().unwrap_or_default();
    let cut = first.find(" at line ").unwrap_or(first.len());
    first[..cut].trim_end_matches([',', ':']).to_owned()
}

/// What the YAML reader hands over: values with positions, no file name yet.
struct Raw(Spanned<RawValue>);

enum RawValue {
    Leaf(Value),
    List(Vec<Raw>),
    Map(Vec<(Spanned<String>, Raw)>),
}

impl Raw {
    fn into_node(self, place: &dyn Fn(u64, u64) -> Place) -> Node {
        let spanned = self.0;
        let at = place(spanned.referenced.line(), spanned.referenced.column());
        let value = match spanned.value {
            RawValue::Leaf(value) => value,
            RawValue::List(items) => Value::List(items.into_iter().map(|r| r.into_node(place)).collect()),
            RawValue::Map(pairs) => Value::Map(
                pairs
                    .into_iter()
                    .map(|(key, value)| Entry {
                        at: place(key.referenced.line(), key.referenced.column()),
                        key: key.value,
                        value: value.into_node(place),
                    })
                    .collect(),
            ),
        };
        Node { at, value }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Raw, D::Error> {
        Spanned::<RawValue>::deserialize(d).map(Raw)
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<RawValue, D::Error> {
        d.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E: de::Error>(self) -> Result<RawValue, E> {
        Ok(RawValue::Leaf(Value::Null))
    }
    fn visit_none<E: de::Error>(self) -> Result<RawValue, E> {
        Ok(RawValue::Leaf(Value::Null))
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<RawValue, D::Error> {
        d.deserialize_any(self)
    }
    fn visit_bool<E: de::Error>(self, b: bool) -> Result<RawValue, E> {
        Ok(RawValue::Leaf(Value::Bool(b)))
    }
    fn visit_i64<E: de::Error>(self, i: i64) -> Result<RawValue, E> {
        Ok(RawValue::Leaf(Value::Int(i)))
    }
    fn visit_u64<E: de::Error>(self, u: u64) -> Result<RawValue, E> {
        // A whole number beyond i64 is beyond every range of a plan: as a float it is refused with its value shown.
        Ok(RawValue::Leaf(i64::try_from(u).map_or(Value::Float(u as f64), Value::Int)))
    }
    fn visit_f64<E: de::Error>(self, x: f64) -> Result<RawValue, E> {
        Ok(RawValue::Leaf(Value::Float(x)))
    }
    fn visit_str<E: de::Error>(self, s: &str) -> Result<RawValue, E> {
        Ok(RawValue::Leaf(Value::Text(s.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(RawValue::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawValue, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(RawValue::Map(pairs))
    }
}
