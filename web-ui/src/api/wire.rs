//! How a request's parts are written: the query of a list, and the parts of a path.

use serde::Serialize;
use serde_json::Value;

/// A path with the query that `query` comes to: fields that are not set are left out, lists are written with
/// commas between.
pub(crate) fn with_query(path: &str, query: &impl Serialize) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(query) else { return path.to_owned() };
    let mut whole = path.to_owned();
    let mut glue = '?';
    for (name, value) in &fields {
        let Some(text) = plain(value) else { continue };
        whole.push(glue);
        whole.push_str(name);
        whole.push('=');
        whole.push_str(&escaped(&text));
        glue = '&';
    }
    whole
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(list) => Some(list.iter().filter_map(plain).collect::<Vec<_>>().join(",")),
        Value::Null | Value::Object(_) => None,
    }
}

/// A text as it stands in a part of a path or in a query.
pub(crate) fn escaped(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            whole.push(char::from(byte));
        } else {
            whole.push_str(&format!("%{byte:02X}"));
        }
    }
    whole
}

/// Whether a text may stand in a header. A browser refuses others by throwing.
pub(crate) fn is_header_value(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// A version's tag as its server gave it. A proxy that compresses answers marks their tags as weak, and with a weak tag
/// no change is ever accepted.
pub(super) fn strong(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use admin_types::keys::{KeySort, KeyState, ListKeys};

    use super::*;

    #[test]
    fn a_query_has_what_is_set() {
        assert_eq!(with_query("/a", &ListKeys::default()), "/a");
        let query = ListKeys {
            q: Some("ä b&c".to_owned()),
            state: Some(KeyState::Active),
            sort: Some(KeySort::NameDescending),
            limit: Some(7),
            ..ListKeys::default()
        };
        assert_eq!(with_query("/a", &query), "/a?limit=7&q=%C3%A4%20b%26c&sort=-name&state=active");
        assert_eq!(with_query("/a", &serde_json::json!({"x": ["a", "b"], "y": true})), "/a?x=a%2Cb&y=true");
    }

    #[test]
    fn headers_are_ascii() {
        assert!(is_header_value("Bearer sk-ap-1") && !is_header_value("a\nb") && !is_header_value("ä"));
    }

    #[test]
    fn a_version_is_the_same_whoever_has_compressed_it() {
        assert_eq!([strong("W/\"3\""), strong("\"3\""), strong("\"W/3\"")], ["\"3\"", "\"3\"", "\"W/3\""]);
    }
}
