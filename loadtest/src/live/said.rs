//! What was said on the vendors' sockets, both ways: one example of each shape, so that all of it can be checked
//! against the vendors' own descriptions however long a session was.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;

/// Shapes that are kept; a peer that makes up names cannot fill the memory.
const MOST: usize = 2_000;
/// Characters that are kept of a string: so many that what remains of base64 is base64.
const LONGEST: usize = 400;
/// The longest string that may be the name of something.
const NAME: usize = 40;

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    Client,
    Vendor,
}

/// A message, with long strings cut.
#[derive(Debug, Clone, Serialize)]
struct Example {
    path: String,
    from: Side,
    message: Value,
}

/// The first message of each shape.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Said {
    examples: Vec<Example>,
    #[serde(skip)]
    shapes: HashSet<String>,
}

impl Said {
    /// Notes a text message on the socket at `path`. One that is no JSON is kept as a string.
    pub(super) fn note(&mut self, path: &str, from: Side, text: &str) {
        let mut message = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        let mut shape = format!("{path} {from:?} ");
        write_shape(&message, &mut shape);
        if self.shapes.len() < MOST && self.shapes.insert(shape) {
            shorten(&mut message);
            self.examples.push(Example { path: path.to_owned(), from, message });
        }
    }
}

/// Names of fields and words that may be names count; other text and numbers count by their kind alone.
fn write_shape(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push('0'),
        Value::Bool(_) => out.push('b'),
        Value::Number(number) if number.is_u64() => out.push('n'),
        Value::Number(number) if number.is_i64() => out.push('-'),
        Value::Number(_) => out.push('f'),
        Value::String(text) if is_name(text) => out.push_str(text),
        Value::String(_) => out.push('"'),
        Value::Array(items) => {
            let shapes: HashSet<String> = items.iter().map(shape).collect();
            let mut shapes: Vec<String> = shapes.into_iter().collect();
            shapes.sort_unstable();
            out.push_str(&format!("[{}]", shapes.join(",")));
        }
        Value::Object(fields) => {
            out.push('{');
            for (name, field) in fields {
                out.push_str(name);
                out.push(':');
                write_shape(field, out);
                out.push(',');
            }
            out.push('}');
        }
    }
}

fn shape(value: &Value) -> String {
    let mut out = String::new();
    write_shape(value, &mut out);
    out
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME && text.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'))
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(LONGEST) {
                text.truncate(end);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_has_one_example_and_long_audio_stays_base64() {
        let mut said = Said::default();
        let audio = "QUJD".repeat(1_000);
        for (at, text) in ["w1 w2", "w3", "w4 w5 w6"].iter().enumerate() {
            said.note("/a", Side::Vendor, &format!(r#"{{"type":"Results","words":[{{"at":{at}}}],"text":"{text}"}}"#));
            said.note("/a", Side::Client, &format!(r#"{{"type":"chunk","audio":"{audio}","rate":16000}}"#));
        }
        said.note("/a", Side::Client, r#"{"type":"chunk","audio":"QUJD","rate":0.5}"#);
        said.note("/a", Side::Client, r#"{"type":"close"}"#);
        said.note("/b", Side::Client, r#"{"type":"close"}"#);
        said.note("/b", Side::Client, "no JSON");
        let told = serde_json::to_value(&said).unwrap();
        let told = told.as_array().unwrap();
        let kinds: Vec<String> = told.iter().map(|one| format!("{} {}", one["from"], one["message"]["type"])).collect();
        let kinds: Vec<String> = kinds.iter().map(|kind| kind.replace('"', "")).collect();
        let chunks = ["client chunk", "client chunk"];
        assert_eq!(
            kinds,
            [["vendor Results"].as_slice(), &chunks, &["client close", "client close", "client null"]].concat()
        );
        assert_eq!(told[1]["message"]["audio"], "QUJD".repeat(LONGEST / 4));
        assert_eq!(told[5]["message"], "no JSON");
    }
}
