//! serde over the located tree: the same derives as for any format, with errors that know their key and place.

use super::node::{Entry, Node, Place, Value};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use std::fmt;

/// Types a tree.
pub fn typed<'de, T: de::Deserialize<'de>>(node: &'de Node) -> Result<T, DeError> {
    T::deserialize(node).map_err(|e| e.located(node))
}

/// Why a value does not fit, and where.
#[derive(Debug)]
pub struct DeError {
    pub cause: Cause,
    /// The innermost value; set on the way out.
    pub at: Option<Place>,
    /// The value itself, for the message.
    pub got: String,
    /// Path from the innermost key outwards.
    path: Vec<String>,
}

#[derive(Debug)]
pub enum Cause {
    UnknownKey {
        key: Box<str>,
        known: &'static [&'static str],
    },
    UnknownChoice {
        got: Box<str>,
        choices: &'static [&'static str],
    },
    Missing {
        key: &'static str,
    },
    /// The value is of another type or form; what would have been right.
    Expected(String),
}

impl DeError {
    /// The dotted key of the value.
    pub fn key(&self) -> String {
        self.path.iter().rev().map(String::as_str).collect::<Vec<_>>().join(".")
    }

    fn new(cause: Cause) -> DeError {
        DeError { cause, at: None, got: String::new(), path: Vec::new() }
    }

    fn located(mut self, node: &Node) -> DeError {
        if self.at.is_none() {
            self.at = Some(node.at.clone());
            self.got = node.value.show();
        }
        self
    }

    fn within(mut self, key: &str, node: &Node) -> DeError {
        self = self.located(node);
        self.path.push(key.to_owned());
        self
    }
}

impl fmt::Display for DeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.cause)
    }
}

impl std::error::Error for DeError {}

impl de::Error for DeError {
    fn custom<T: fmt::Display>(msg: T) -> DeError {
        DeError::new(Cause::Expected(msg.to_string()))
    }
    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> DeError {
        DeError::new(Cause::Expected(in_words(&expected.to_string())))
    }
    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> DeError {
        DeError::new(Cause::Expected(in_words(&expected.to_string())))
    }
    fn invalid_length(_: usize, expected: &dyn de::Expected) -> DeError {
        DeError::new(Cause::Expected(in_words(&expected.to_string())))
    }
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> DeError {
        DeError::new(Cause::UnknownKey { key: field.into(), known: expected })
    }
    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> DeError {
        DeError::new(Cause::UnknownChoice { got: variant.into(), choices: expected })
    }
    fn missing_field(field: &'static str) -> DeError {
        DeError::new(Cause::Missing { key: field })
    }
}

/// Rust's names of types in a user's words.
fn in_words(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "a string or path" | "path string" => "text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "keys and values",
        other => other,
    }
    .to_owned()
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = DeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Int(i) => visitor.visit_i64(*i),
            Value::Float(x) => visitor.visit_f64(*x),
            Value::Text(s) => visitor.visit_borrowed_str(s),
            Value::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Map(entries) => visitor.visit_map(Entries { entries, next: 0 }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// Derived visitors also take a list, field by field; in a plan each value is named.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        match &self.value {
            Value::Map(entries) => visitor.visit_map(Entries { entries, next: 0 }),
            _ => Err(de::Error::invalid_type(de::Unexpected::Other("another form"), &visitor)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, DeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        choices: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        match &self.value {
            Value::Text(name) => visitor.visit_enum(Choice(name)),
            _ => Err(DeError::new(Cause::Expected(format!("one of {}", choices.join(", "))))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'de> {
    items: &'de [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = DeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DeError> {
        let Some(node) = self.items.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(node).map(Some).map_err(|e| e.within(&index.to_string(), node))
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Entries<'de> {
    entries: &'de [Entry],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = DeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DeError> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        let key: de::value::StrDeserializer<'_, DeError> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|mut e| {
            e.at = Some(entry.at.clone());
            e
        })
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DeError> {
        let entry = &self.entries[self.next];
        self.next += 1;
        seed.deserialize(&entry.value).map_err(|e| e.within(&entry.key, &entry.value))
    }
}

/// A choice by its name.
struct Choice<'de>(&'de str);

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = DeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), DeError> {
        let name: de::value::BorrowedStrDeserializer<'de, DeError> = de::value::BorrowedStrDeserializer::new(self.0);
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = DeError;

    fn unit_variant(self) -> Result<(), DeError> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, DeError> {
        Err(DeError::new(Cause::Expected("a name alone".into())))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, DeError> {
        Err(DeError::new(Cause::Expected("a name alone".into())))
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, DeError> {
        Err(DeError::new(Cause::Expected("a name alone".into())))
    }
}
