//! The object `elevenlabs` of a request: fields that `OpenAI` has none for, by their names at the provider.
//!
//! Every name and value is checked before anything is sent, so that a mistake is the client's 400 and not
//! silently ignored. A form has no types: there a list of one comes as its only element, and text that
//! looks like a number as a number.

use domain::provider::{Extensions, ProviderKind};
use serde_json::{Map, Value};

use crate::error::DialectError;

/// One field that may be sent.
#[derive(Debug)]
pub(super) struct Field {
    /// Its name at the provider.
    pub name: &'static str,
    /// Its name in messages, such as `elevenlabs.seed`.
    pub param: &'static str,
    /// What it holds.
    pub holds: Holds,
}

/// What a field holds.
#[derive(Debug)]
pub(super) enum Holds {
    Text,
    Flag,
    /// A whole number between these.
    Whole(u64, u64),
    /// A number between these.
    Number(f64, f64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// At most so many texts.
    Texts(usize),
    /// An object with these fields alone.
    Object(&'static [Field]),
    /// At most so many objects with these fields alone, the first of which each must have.
    Objects(usize, &'static [Field]),
}

/// A row of a table of fields.
macro_rules! field {
    ($name:literal, $holds:expr) => {
        $crate::elevenlabs::options::Field { name: $name, param: concat!("elevenlabs.", $name), holds: $holds }
    };
}
pub(super) use field;

const OBJECT: &str = "elevenlabs";

/// What was sent under the provider's name, checked against the table. Fields that are null are left out.
///
/// # Errors
/// [`DialectError::Invalid`] names the field that is unknown or holds something else.
pub(super) fn read(extensions: &Extensions, fields: &'static [Field]) -> Result<Map<String, Value>, DialectError> {
    match extensions.get(ProviderKind::Elevenlabs.as_str()) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(sent)) => object(OBJECT, OBJECT, sent, fields),
        Some(_) => Err(invalid(OBJECT, format!("`{OBJECT}` must be an object"))),
    }
}

/// A field that was read, if it is true.
pub(super) fn flag(options: &Map<String, Value>, name: &str) -> bool {
    options.get(name) == Some(&Value::Bool(true))
}

/// The param of a field; unknown ones are called by the object's.
fn object(
    param: &'static str,
    path: &str,
    sent: &Map<String, Value>,
    fields: &'static [Field],
) -> Result<Map<String, Value>, DialectError> {
    let mut out = Map::new();
    for (name, value) in sent.iter().filter(|(_, value)| !value.is_null()) {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            let name: String = name.chars().filter(|letter| !letter.is_control()).take(64).collect();
            return Err(invalid(param, format!("`{path}.{name}` is not known")));
        };
        // A field of an inner object is told by the outer one's param, which says where to look.
        let param = if path == OBJECT { field.param } else { param };
        out.insert(field.name.to_owned(), value_of(param, &format!("{path}.{}", field.name), value, &field.holds)?);
    }
    Ok(out)
}

fn value_of(param: &'static str, path: &str, value: &Value, holds: &Holds) -> Result<Value, DialectError> {
    let wrong = |what: &str| invalid(param, format!("`{path}` must be {what}"));
    match holds {
        Holds::Text => text(value).map(Value::String).ok_or_else(|| wrong("text")),
        Holds::Flag => value.is_boolean().then(|| value.clone()).ok_or_else(|| wrong("true or false")),
        Holds::Whole(least, most) => value
            .as_u64()
            .filter(|number| (*least..=*most).contains(number))
            .map(Value::from)
            .ok_or_else(|| wrong(&format!("a whole number from {least} to {most}"))),
        Holds::Number(least, most) => value
            .as_f64()
            .filter(|number| (*least..=*most).contains(number))
            .map(|_| value.clone())
            .ok_or_else(|| wrong(&format!("a number from {least} to {most}"))),
        Holds::OneOf(words) => value
            .as_str()
            .filter(|word| words.contains(word))
            .map(Value::from)
            .ok_or_else(|| wrong(&format!("one of {}", words.join(", ")))),
        Holds::Texts(most) => texts(value, *most).ok_or_else(|| wrong(&format!("a list of at most {most} texts"))),
        Holds::Object(fields) => {
            let sent = value.as_object().ok_or_else(|| wrong("an object"))?;
            object(param, path, sent, fields).map(Value::Object)
        }
        Holds::Objects(most, fields) => {
            let list = || wrong(&format!("a list of at most {most} objects"));
            let sent = value.as_array().filter(|list| list.len() <= *most).ok_or_else(list)?;
            sent.iter().map(|sent| item(param, path, sent, fields)).collect::<Result<_, _>>().map(Value::Array)
        }
    }
}

fn item(param: &'static str, path: &str, sent: &Value, fields: &'static [Field]) -> Result<Value, DialectError> {
    let sent = sent.as_object().ok_or_else(|| invalid(param, format!("`{path}` must be a list of objects")))?;
    let read = object(param, path, sent, fields)?;
    match fields.first() {
        Some(first) if !read.contains_key(first.name) => {
            Err(invalid(param, format!("`{path}` lacks `{}`", first.name)))
        }
        _ => Ok(Value::Object(read)),
    }
}

/// Text, or what a form made of it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn texts(value: &Value, most: usize) -> Option<Value> {
    let list = match value {
        Value::Array(list) => list.iter().map(text).collect::<Option<Vec<_>>>()?,
        single => vec![text(single)?],
    };
    (list.len() <= most).then(|| Value::from(list))
}

fn invalid(param: &'static str, message: String) -> DialectError {
    DialectError::Invalid { param, message }
}
