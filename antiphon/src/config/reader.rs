//! Reads typed structs from a [`Node`] and says where the value stands that they refuse.

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::ConfigError;
use super::document::{Node, Origin, Value, unset};

/// A refusal on its way up: the innermost origin it passed is kept.
#[derive(Debug)]
pub(super) struct ReadError {
    origin: Option<Origin>,
    message: String,
}

impl ReadError {
    fn at(mut self, origin: &Origin) -> Self {
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl serde::de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { origin: None, message: message.to_string() }
    }
}

impl From<ReadError> for ConfigError {
    fn from(error: ReadError) -> Self {
        Self::at(&error.origin.unwrap_or(Origin::Default), error.message)
    }
}

/// The struct that `node` describes.
pub(super) fn read<T: serde::de::DeserializeOwned>(node: Node) -> Result<T, ConfigError> {
    Ok(T::deserialize(Reader(node))?)
}

struct Reader(Node);

impl Reader {
    /// The text of a scalar, or what stands there instead of one.
    fn text(self, expected: &str) -> Result<(Origin, String), ReadError> {
        let Node { origin, value } = self.0;
        let message = match value {
            Value::Scalar(text) => return Ok((origin, text)),
            Value::Unset(name) => unset(&name),
            Value::Null => format!("a value is missing: expected {expected}"),
            Value::List(_) => format!("found a list, expected {expected}"),
            Value::Map(_) => format!("found a section, expected {expected}"),
        };
        Err(ReadError { origin: Some(origin), message })
    }

    /// Parses the text of a scalar. The text itself is not repeated: it may be a secret.
    fn parse<T: std::str::FromStr>(self, expected: &str) -> Result<(Origin, T), ReadError> {
        let (origin, text) = self.text(expected)?;
        match text.trim().parse() {
            Ok(value) => Ok((origin, value)),
            Err(_) => Err(ReadError { origin: Some(origin), message: format!("expected {expected}") }),
        }
    }
}

macro_rules! parsed {
    ($($method:ident => $visit:ident : $type:ty, $expected:literal;)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            let (origin, value) = self.parse::<$type>($expected)?;
            visitor.$visit(value).map_err(|error: ReadError| error.at(&origin))
        }
    )+};
}

impl<'de> Deserializer<'de> for Reader {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let Node { origin, value } = self.0;
        match value {
            Value::Null => visitor.visit_unit(),
            Value::Unset(name) => Err(serde::de::Error::custom(unset(&name))),
            Value::Scalar(text) => visitor.visit_string(text),
            Value::List(items) => visitor.visit_seq(Items(items.into_iter())),
            Value::Map(entries) => visitor.visit_map(Entries { entries: entries.into_iter(), current: None }),
        }
        .map_err(|error: ReadError| error.at(&origin))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.0.value {
            Value::Null | Value::Unset(_) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let Node { origin, value } = self.0;
        match value {
            Value::List(items) => visitor.visit_seq(Items(items.into_iter())),
            Value::Null => visitor.visit_seq(Items(Vec::new().into_iter())),
            _ => Err(serde::de::Error::custom("expected a list")),
        }
        .map_err(|error: ReadError| error.at(&origin))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let Node { origin, value } = self.0;
        let entries = match value {
            Value::Map(entries) => entries,
            // `server:` with nothing below it is an empty section.
            Value::Null => Vec::new(),
            _ => return Err(ReadError { origin: Some(origin), message: "expected a section".to_owned() }),
        };
        let entries = Entries { entries: entries.into_iter(), current: None };
        visitor.visit_map(entries).map_err(|error| error.at(&origin))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let (origin, text) = self.text("a name")?;
        let name: StringDeserializer<ReadError> = text.into_deserializer();
        visitor.visit_enum(name).map_err(|error| error.at(&origin))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    parsed! {
        deserialize_bool => visit_bool: bool, "true or false";
        deserialize_i8 => visit_i8: i8, "a whole number";
        deserialize_i16 => visit_i16: i16, "a whole number";
        deserialize_i32 => visit_i32: i32, "a whole number";
        deserialize_i64 => visit_i64: i64, "a whole number";
        deserialize_u8 => visit_u8: u8, "a whole number from 0 to 255";
        deserialize_u16 => visit_u16: u16, "a whole number from 0 to 65535";
        deserialize_u32 => visit_u32: u32, "a whole number, 0 or more";
        deserialize_u64 => visit_u64: u64, "a whole number, 0 or more";
        deserialize_f32 => visit_f32: f32, "a number";
        deserialize_f64 => visit_f64: f64, "a number";
        deserialize_str => visit_string: String, "text";
        deserialize_string => visit_string: String, "text";
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

struct Items(std::vec::IntoIter<Node>);

impl<'de> SeqAccess<'de> for Items {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        self.0.next().map(|node| seed.deserialize(Reader(node))).transpose()
    }
}

struct Entries {
    entries: std::vec::IntoIter<(Origin, String, Node)>,
    current: Option<(Origin, String, Node)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        self.current = self.entries.next();
        let Some((origin, key, _)) = &self.current else { return Ok(None) };
        let name: StringDeserializer<ReadError> = key.clone().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|error| error.at(origin))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let Some((_, key, node)) = self.current.take() else {
            return Err(serde::de::Error::custom("a value without a name"));
        };
        let origin = node.origin.clone();
        seed.deserialize(Reader(node)).map_err(|error| {
            // The innermost field names itself; the ones around it would only repeat the line.
            let error = if error.origin.is_none() || !error.message.contains(": ") {
                ReadError { message: format!("{key}: {}", error.message), ..error }
            } else {
                error
            };
            error.at(&origin)
        })
    }
}
