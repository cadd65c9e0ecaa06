//! Objects named after a provider kind in a form: as JSON text (`deepgram={"numerals":true}`) or
//! flattened as the SDKs do it (`deepgram[numerals]=true`).

use domain::provider::{Extensions, ProviderKind};
use serde_json::{Map, Value};

use crate::error::GatewayError;

/// Levels of objects in a flattened name.
const MAX_DEPTH: usize = 4;

/// Adds a field that is no field of `OpenAI`'s reference. Only names of provider kinds mean something.
///
/// # Errors
/// What stands under the name of a kind is no object.
pub(super) fn add(extensions: &mut Extensions, name: &str, value: &str) -> Result<(), GatewayError> {
    let (kind, path) = name.split_once('[').unwrap_or((name, ""));
    if kind.parse::<ProviderKind>().is_err() {
        return Ok(());
    }
    let object = match extensions.entry(kind.to_owned()).or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(object) => object,
        _ => return Err(no_object(kind)),
    };
    if path.is_empty() {
        let Ok(Value::Object(sent)) = serde_json::from_str(value) else { return Err(no_object(kind)) };
        object.extend(sent);
        return Ok(());
    }
    let path: Vec<&str> = path.strip_suffix(']').unwrap_or(path).split("][").collect();
    insert(object, &path, scalar(value)).ok_or_else(|| no_object(kind))
}

/// Puts a value where its path leads; a second one at the same place makes a list of both.
fn insert(object: &mut Map<String, Value>, path: &[&str], value: Value) -> Option<()> {
    let (name, rest) = path.split_first().filter(|_| path.len() <= MAX_DEPTH)?;
    if !rest.is_empty() {
        let inner = object.entry(*name).or_insert_with(|| Value::Object(Map::new()));
        return insert(inner.as_object_mut()?, rest, value);
    }
    match object.get_mut(*name) {
        None => drop(object.insert((*name).to_owned(), value)),
        Some(Value::Array(list)) => list.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
    Some(())
}

/// A form's text as the JSON it stands for.
pub(super) fn scalar(value: &str) -> Value {
    match serde_json::from_str::<Value>(value) {
        Ok(json) if json.is_number() || json.is_boolean() => json,
        _ => Value::String(value.to_owned()),
    }
}

fn no_object(kind: &str) -> GatewayError {
    GatewayError::invalid(kind, format!("`{kind}` must be an object."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_of_a_kind_comes_as_json_and_in_pieces() {
        let mut extensions = Extensions::new();
        for (name, value) in [
            ("groq", r#"{"a":1}"#),
            ("groq[numerals]", "true"),
            ("groq[keyterm]", "x"),
            ("groq[keyterm]", "y"),
            ("groq[a_b][c]", "text"),
            ("unknown[a]", "1"),
        ] {
            add(&mut extensions, name, value).unwrap();
        }
        let groq = json!({ "a": 1, "numerals": true, "keyterm": ["x", "y"], "a_b": { "c": "text" } });
        assert_eq!(extensions, Extensions::from([("groq".to_owned(), groq)]));
    }

    #[test]
    fn anything_else_under_the_name_of_a_kind_is_refused() {
        for (name, value) in [("groq", "1"), ("groq", "{"), ("groq[a][b][c][d][e]", "1")] {
            let error = add(&mut Extensions::new(), name, value).unwrap_err();
            assert_eq!(error.body()["error"]["param"], "groq");
        }
    }
}
