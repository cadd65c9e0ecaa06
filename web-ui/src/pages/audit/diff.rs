//! What an entry of the audit log changed, field by field.

use std::collections::BTreeMap;

use serde_json::Value;

/// How a field differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Added,
    Removed,
    Changed,
    Same,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it is: `budget.usd`, `models[0]`.
    pub(super) path: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

impl Line {
    pub(super) fn kind(&self) -> Kind {
        match (&self.before, &self.after) {
            (None, _) => Kind::Added,
            (_, None) => Kind::Removed,
            (before, after) if before == after => Kind::Same,
            _ => Kind::Changed,
        }
    }
}

/// Every field that there was or is, by its path.
pub(super) fn lines(before: Option<&Value>, after: Option<&Value>) -> Vec<Line> {
    let (before, after) = (flat(before), flat(after));
    let mut paths: Vec<&String> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    let line =
        |path: &String| Line { path: path.clone(), before: before.get(path).cloned(), after: after.get(path).cloned() };
    paths.into_iter().map(line).collect()
}

/// Fields with a value; null is none.
fn flat(value: Option<&Value>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if let Some(value) = value {
        walk("", value, &mut found);
    }
    found
}

fn walk(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(&inner, value, found);
            }
        }
        Value::Array(entries) if entries.iter().any(|entry| entry.is_object() || entry.is_array()) => {
            for (place, value) in entries.iter().enumerate() {
                walk(&format!("{path}[{place}]"), value, found);
            }
        }
        Value::Array(entries) => {
            let text = entries.iter().map(plain).collect::<Vec<_>>().join(", ");
            found.insert(path.to_owned(), if text.is_empty() { "none".to_owned() } else { text });
        }
        other => {
            found.insert(path.to_owned(), plain(other));
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_field_by_field() {
        let before = json!({"name": "a", "budget": {"usd": "1"}, "models": ["x", "y"], "rpm": null, "gone": true});
        let after = json!({"name": "a", "budget": {"usd": "2"}, "models": ["x"], "rpm": 5, "list": [{"a": 1}]});
        let told: Vec<_> =
            lines(Some(&before), Some(&after)).iter().map(|line| (line.path.clone(), line.kind())).collect();
        let wanted = [
            ("budget.usd", Kind::Changed),
            ("gone", Kind::Removed),
            ("list[0].a", Kind::Added),
            ("models", Kind::Changed),
            ("name", Kind::Same),
            ("rpm", Kind::Added),
        ];
        assert_eq!(told, wanted.map(|(path, kind)| (path.to_owned(), kind)));
        assert!(lines(None, None).is_empty());
    }
}
