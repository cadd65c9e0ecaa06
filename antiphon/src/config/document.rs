//! The configuration as a tree of text, in which every value knows where it came from.
//!
//! The file is parsed first and expanded afterwards, scalar by scalar, so that the value of a
//! variable can never become structure: quotes, newlines and colons in it stay text. Environment
//! variables are laid over the tree, and the typed structs are read from the result; whatever they
//! refuse is reported with the line of the file or the name of the variable.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::ConfigError;

/// The process environment, as a value: only `main` reads the real one.
pub(crate) type Environment = BTreeMap<String, String>;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A line of the file, from 1.
    Line(u64),
    /// An environment variable.
    Variable(String),
    /// Nowhere: a section that nobody wrote.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Variable(name) => f.write_str(name),
            Self::Default => f.write_str("configuration"),
        }
    }
}

/// A value with its origin.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// What YAML can say here. Scalars stay text until a field says what it wants.
#[derive(Clone)]
pub(super) enum Value {
    Null,
    /// `${NAME}` and nothing else, where `NAME` is not set.
    Unset(String),
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Origin, String, Node)>),
}

impl fmt::Debug for Value {
    /// The text of a scalar may be a secret, so it is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Unset(name) => write!(f, "${{{name}}}"),
            Self::Scalar(_) => f.write_str("…"),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Map(entries) => f.debug_list().entries(entries.iter().map(|(_, key, node)| (key, node))).finish(),
        }
    }
}

impl Node {
    /// A document in which nothing is written.
    pub(crate) const fn empty() -> Self {
        Self { origin: Origin::Default, value: Value::Map(Vec::new()) }
    }

    /// Parses `text` and expands its variables.
    pub(crate) fn parse(text: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let options = serde_saphyr::options! { with_snippet: false };
        let raw: Option<Spanned<Raw>> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            ConfigError::at(&Origin::Line(line), one_line(&error.without_snippet().to_string()))
        })?;
        match raw {
            None => Ok(Self::empty()),
            Some(raw) => build(raw, text, environment),
        }
    }

    /// Sets the value at `path`, making the sections on the way.
    pub(crate) fn set(&mut self, path: &[String], text: &str, origin: &Origin) -> Result<(), ConfigError> {
        let Some((first, rest)) = path.split_first() else {
            *self = Self { origin: origin.clone(), value: Value::Scalar(text.to_owned()) };
            return Ok(());
        };
        if matches!(self.value, Value::Null | Value::Unset(_)) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else {
            return Err(ConfigError::at(origin, format!("{first:?} lies below a value that is not a section")));
        };
        if let Some((_, _, node)) = entries.iter_mut().find(|(_, key, _)| key == first) {
            return node.set(rest, text, origin);
        }
        let mut node = Self { origin: origin.clone(), value: Value::Map(Vec::new()) };
        node.set(rest, text, origin)?;
        entries.push((origin.clone(), first.clone(), node));
        Ok(())
    }

    /// Lays `ANTIPHON_SECTION__FIELD` over the document. Names without a double underscore mean
    /// something else and are left alone.
    pub(crate) fn overlay(&mut self, environment: &Environment) -> Result<(), ConfigError> {
        for (name, text) in environment {
            let Some(path) = name.strip_prefix("ANTIPHON_").filter(|path| path.contains("__")) else { continue };
            let path: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
            self.set(&path, text, &Origin::Variable(name.clone()))?;
        }
        Ok(())
    }

    /// Every path to a scalar, lists passed through: for comparing a document with the structs.
    #[cfg(test)]
    pub(crate) fn field_names(&self) -> std::collections::BTreeSet<String> {
        let mut names = std::collections::BTreeSet::new();
        match &self.value {
            Value::Map(entries) => {
                for (_, key, node) in entries {
                    names.insert(key.clone());
                    names.extend(node.field_names());
                }
            }
            Value::List(items) => names.extend(items.iter().flat_map(Self::field_names)),
            Value::Null | Value::Unset(_) | Value::Scalar(_) => {}
        }
        names
    }
}

/// A parsed node before its text is taken from the source.
enum Raw {
    Null,
    Text(String),
    /// A number or boolean: its text is read from the source, so that `0.10` stays `0.10`.
    Plain(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNode;
        impl<'de> Visitor<'de> for AnyNode {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a YAML value")
            }
            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }
            fn visit_none<E>(self) -> Result<Raw, E> {
                Ok(Raw::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
                Ok(Raw::Plain(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
                Ok(Raw::Plain(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
                Ok(Raw::Plain(value.to_string()))
            }
            fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
                Ok(Raw::Plain(value.to_string()))
            }
            fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
                Ok(Raw::Plain(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
                Ok(Raw::Plain(value.to_string()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
                Ok(Raw::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = access.next_element()? {
                    items.push(item);
                }
                Ok(Raw::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = access.next_entry()? {
                    entries.push(entry);
                }
                Ok(Raw::Map(entries))
            }
        }
        deserializer.deserialize_any(AnyNode)
    }
}

/// From the parser's view to ours: text from the source, variables expanded.
fn build(raw: Spanned<Raw>, source: &str, environment: &Environment) -> Result<Node, ConfigError> {
    let origin = Origin::Line(raw.referenced.line());
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Plain(parsed) => Value::Scalar(source_text(&raw.defined, source).unwrap_or(parsed)),
        Raw::Text(text) => expand(&text, environment).map_err(|message| ConfigError::at(&origin, message))?,
        Raw::List(items) => {
            Value::List(items.into_iter().map(|item| build(item, source, environment)).collect::<Result<_, _>>()?)
        }
        Raw::Map(entries) => {
            let entry = |(key, node): (Spanned<String>, Spanned<Raw>)| {
                Ok((Origin::Line(key.referenced.line()), key.value, build(node, source, environment)?))
            };
            Value::Map(entries.into_iter().map(entry).collect::<Result<_, ConfigError>>()?)
        }
    };
    Ok(Node { origin, value })
}

/// The characters of a plain scalar as they stand in the file.
fn source_text(location: &serde_saphyr::Location, source: &str) -> Option<String> {
    let start = usize::try_from(location.span().byte_offset()?).ok()?;
    let length = usize::try_from(location.span().byte_len()?).ok()?;
    let text = source.get(start..start.checked_add(length)?)?.trim();
    // A tag or an anchor may stand before the value; then the parser's reading is taken.
    (!text.is_empty() && !text.contains([' ', '!', '&', '*', '\n'])).then(|| text.to_owned())
}

/// Expands `${NAME}` and `${NAME:-default}`; `$$` before a brace is a literal dollar sign. A value
/// that is put in is not looked at again.
fn expand(text: &str, environment: &Environment) -> Result<Value, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(literal) = before.strip_suffix('$') {
            expanded.push_str(literal);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        let (inside, behind) = after.split_once('}').ok_or("\"${\" without a closing brace")?;
        let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, value)| (name, Some(value)));
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(format!("\"${{{inside}}}\" names no environment variable"));
        }
        expanded.push_str(before);
        match (environment.get(name), default) {
            // As in a shell, the default of `:-` also stands for an empty value.
            (Some(value), None) => expanded.push_str(value),
            (Some(value), Some(_)) if !value.is_empty() => expanded.push_str(value),
            (_, Some(default)) => expanded.push_str(default),
            (None, None) if before.is_empty() && behind.is_empty() && expanded.is_empty() => {
                return Ok(Value::Unset(name.to_owned()));
            }
            (None, None) => return Err(unset(name)),
        }
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(Value::Scalar(expanded))
}

/// What is said where a variable is missing.
pub(super) fn unset(name: &str) -> String {
    format!("the environment variable {name} is not set (write ${{{name}:-default}} to do without)")
}

/// Parser messages may span lines; an error is one line.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
