//! The object `deepgram` of a request: options of Deepgram's that OpenAI has no field for, by their own
//! names. Each is checked against a table before anything is sent.

use domain::provider::{Extensions, ProviderKind};
use serde_json::{Map, Value};

use super::query::Query;
use crate::error::DialectError;

/// What an option may hold.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any text.
    Text,
    /// A number in this range.
    Number(f64, f64),
    /// Texts; a form brings a list of one as the text alone.
    Texts,
    /// `true`, `false`, or texts.
    SwitchOrTexts,
}

/// An option: its full name for messages, and what it holds.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// Text before the name of an option where one is told.
const PREFIX: &str = "deepgram.";

impl Known {
    pub(super) const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind }
    }

    /// The name on the wire.
    pub(super) fn wire(&self) -> &'static str {
        self.name.strip_prefix(PREFIX).unwrap_or(self.name)
    }
}

/// The options of one request, each known and of its type.
pub(super) struct Options<'a>(Vec<(&'static Known, &'a Value)>);

impl<'a> Options<'a> {
    /// The object of this kind, checked.
    ///
    /// # Errors
    /// [`DialectError::Invalid`] names the option that is unknown or ill-typed.
    pub(super) fn read(extensions: &'a Extensions, table: &'static [Known]) -> Result<Self, DialectError> {
        let Some(sent) = extensions.get(ProviderKind::Deepgram.as_str()) else { return Ok(Self(Vec::new())) };
        let sent = sent.as_object().ok_or_else(|| invalid("deepgram", "`deepgram` must be an object".to_owned()))?;
        let mut options = Vec::with_capacity(sent.len());
        // In the order of the table, so that a request is always written alike.
        for known in table {
            let Some(value) = sent.get(known.wire()).filter(|value| !value.is_null()) else { continue };
            check(known, value)?;
            options.push((known, value));
        }
        unknown(sent, table).map_or(Ok(Self(options)), Err)
    }

    pub(super) fn get(&self, wire: &str) -> Option<&'a Value> {
        self.0.iter().find(|(known, _)| known.wire() == wire).map(|(_, value)| *value)
    }

    /// Whether a switch is on, or anything but `false` stands there.
    pub(super) fn is_on(&self, wire: &str) -> bool {
        self.get(wire).is_some_and(|value| switch(value) != Some(false) && !is_empty(value))
    }

    /// Whether a switch was turned off.
    pub(super) fn is_off(&self, wire: &str) -> bool {
        self.get(wire).and_then(switch) == Some(false)
    }

    /// The texts of an option.
    pub(super) fn texts(&self, wire: &str) -> Vec<&'a str> {
        self.get(wire).map(texts).unwrap_or_default()
    }

    /// The first of these that was sent and is on.
    pub(super) fn first_on(&self, wires: &[&str]) -> Option<&'static str> {
        self.0
            .iter()
            .find(|(known, _)| wires.contains(&known.wire()) && self.is_on(known.wire()))
            .map(|(known, _)| known.name)
    }

    /// Writes every option but these.
    pub(super) fn write_but(&self, query: &mut Query, written: &[&str]) {
        for (known, value) in &self.0 {
            if !written.contains(&known.wire()) {
                write(query, known.wire(), value);
            }
        }
    }
}

fn write(query: &mut Query, name: &str, value: &Value) {
    match value {
        Value::Array(list) => list.iter().for_each(|item| write(query, name, item)),
        Value::String(text) => query.push(name, text),
        other => query.push(name, &other.to_string()),
    }
}

fn unknown(sent: &Map<String, Value>, table: &[Known]) -> Option<DialectError> {
    let name = sent.keys().find(|name| !table.iter().any(|known| known.wire() == name.as_str()))?;
    let name: String = name.chars().take(64).collect();
    Some(invalid("deepgram", format!("`deepgram.{name}` is no option that is passed on here")))
}

fn check(known: &'static Known, value: &Value) -> Result<(), DialectError> {
    let wanted = match known.kind {
        Kind::Switch if switch(value).is_some() => return Ok(()),
        Kind::Switch => "true or false".to_owned(),
        Kind::Word(words) if value.as_str().is_some_and(|text| words.contains(&text)) => return Ok(()),
        Kind::Word(words) => format!("one of {}", words.join(", ")),
        Kind::Text if value.is_string() || value.is_number() => return Ok(()),
        Kind::Text => "text".to_owned(),
        Kind::Number(least, most) if value.as_f64().is_some_and(|number| (least..=most).contains(&number)) => {
            return Ok(());
        }
        Kind::Number(least, most) => format!("a number from {least} to {most}"),
        Kind::Texts if is_texts(value) => return Ok(()),
        Kind::Texts => "a list of texts".to_owned(),
        Kind::SwitchOrTexts if switch(value).is_some() || is_texts(value) => return Ok(()),
        Kind::SwitchOrTexts => "true, false or a list of texts".to_owned(),
    };
    Err(invalid(known.name, format!("`{}` must be {wanted}", known.name)))
}

/// A form may bring a switch as text.
fn switch(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(on) => Some(*on),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A form brings `7` and `true` as a number and a switch, although text was meant.
fn is_texts(value: &Value) -> bool {
    let scalar = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    value.as_array().map_or_else(|| scalar(value), |list| list.iter().all(scalar))
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    }
}

pub(super) fn invalid(param: &'static str, message: String) -> DialectError {
    DialectError::Invalid { param, message }
}
