//! The items of a conversation, as far back as they are kept: without audio.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::setup::Role;

/// What is kept at most.
const MAX_ITEMS: usize = 1_000;
const MAX_BYTES: usize = 1024 * 1024;

/// One item.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) body: Body,
    pub(super) status: &'static str,
}

/// What an item is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    /// Pieces of text of one author.
    Text { role: Role, texts: Vec<String> },
    /// What the user said; its transcript comes later, if at all.
    Heard { transcript: Option<String> },
    /// What the agent said: so many milliseconds.
    Spoken { transcript: String, ms: u64 },
    /// A call of a function.
    Call { call_id: String, name: String, arguments: String },
    /// What the function gave.
    Output { call_id: String, output: String },
}

impl Item {
    pub(super) fn new(id: String, body: Body) -> Self {
        Self { id, body, status: "completed" }
    }

    /// The item as events show it.
    pub(super) fn shown(&self) -> Value {
        let (role, content) = match &self.body {
            Body::Text { role, texts } => {
                let kind = if *role == Role::Assistant { "output_text" } else { "input_text" };
                let content: Vec<Value> = texts.iter().map(|text| json!({"type": kind, "text": text})).collect();
                (role_name(*role), json!(content))
            }
            Body::Heard { transcript } => ("user", json!([{"type": "input_audio", "transcript": transcript}])),
            Body::Spoken { transcript, .. } => {
                ("assistant", json!([{"type": "output_audio", "transcript": transcript}]))
            }
            Body::Call { call_id, name, arguments } => {
                return json!({
                    "id": self.id, "object": "realtime.item", "type": "function_call", "status": self.status,
                    "call_id": call_id, "name": name, "arguments": arguments,
                });
            }
            Body::Output { call_id, output } => {
                return json!({
                    "id": self.id, "object": "realtime.item", "type": "function_call_output",
                    "status": self.status, "call_id": call_id, "output": output,
                });
            }
        };
        json!({
            "id": self.id, "object": "realtime.item", "type": "message", "status": self.status,
            "role": role, "content": content,
        })
    }

    fn bytes(&self) -> usize {
        let body = match &self.body {
            Body::Text { texts, .. } => texts.iter().map(String::len).sum(),
            Body::Heard { transcript } => transcript.as_ref().map_or(0, String::len),
            Body::Spoken { transcript, .. } => transcript.len(),
            Body::Call { call_id, name, arguments } => call_id.len() + name.len() + arguments.len(),
            Body::Output { call_id, output } => call_id.len() + output.len(),
        };
        self.id.len() + body
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// The items, oldest first.
#[derive(Debug, Default)]
pub(super) struct Items {
    kept: VecDeque<Item>,
    bytes: usize,
    /// The last item of the conversation, kept or not.
    last: Option<String>,
}

impl Items {
    pub(super) fn get(&self, id: &str) -> Option<&Item> {
        // The items that are asked for are the last ones.
        self.kept.iter().rev().find(|item| item.id == id)
    }

    pub(super) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// The item before this one.
    pub(super) fn before(&self, id: &str) -> Option<&str> {
        let at = self.kept.iter().rposition(|item| item.id == id)?;
        self.kept.get(at.checked_sub(1)?).map(|item| item.id.as_str())
    }

    /// Whether this is the last message of the agent.
    pub(super) fn is_last_spoken(&self, id: &str) -> bool {
        let last = self.kept.iter().rev().find(|item| matches!(item.body, Body::Spoken { .. }));
        last.is_some_and(|item| item.id == id)
    }

    /// Adds an item at the end, and gives the id of the one before it.
    pub(super) fn push(&mut self, item: Item) -> Option<String> {
        let before = self.last.replace(item.id.clone());
        self.bytes += item.bytes();
        self.kept.push_back(item);
        self.forget();
        before
    }

    /// Adds an item behind another one, or with `None` before all. The other one must be kept.
    pub(super) fn insert(&mut self, after: Option<&str>, item: Item) -> Option<String> {
        let at = after.and_then(|id| self.kept.iter().position(|kept| kept.id == id)).map_or(0, |at| at + 1);
        if at == self.kept.len() {
            return self.push(item);
        }
        self.bytes += item.bytes();
        self.kept.insert(at, item);
        self.forget();
        after.map(ToOwned::to_owned)
    }

    /// Changes an item that is kept.
    pub(super) fn change(&mut self, id: &str, change: impl FnOnce(&mut Item)) {
        let Some(item) = self.kept.iter_mut().rev().find(|item| item.id == id) else { return };
        self.bytes = self.bytes.saturating_sub(item.bytes());
        change(item);
        self.bytes += item.bytes();
        self.forget();
    }

    /// The last message of the agent that was not completed.
    pub(super) fn last_cut(&self) -> Option<&Item> {
        let said = |item: &&Item| matches!(item.body, Body::Spoken { .. } | Body::Text { role: Role::Assistant, .. });
        self.kept.iter().rev().find(said).filter(|item| item.status == "incomplete")
    }

    pub(super) fn remove(&mut self, id: &str) -> bool {
        let Some(at) = self.kept.iter().position(|item| item.id == id) else { return false };
        if let Some(item) = self.kept.remove(at) {
            self.bytes = self.bytes.saturating_sub(item.bytes());
        }
        if self.last.as_deref() == Some(id) {
            self.last = self.kept.back().map(|item| item.id.clone());
        }
        true
    }

    fn forget(&mut self) {
        while self.kept.len() > MAX_ITEMS || (self.bytes > MAX_BYTES && self.kept.len() > 1) {
            if let Some(item) = self.kept.pop_front() {
                self.bytes = self.bytes.saturating_sub(item.bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(id: &str, bytes: usize) -> Item {
        let body = Body::Text { role: Role::User, texts: vec!["x".repeat(bytes)] };
        Item::new(id.to_owned(), body)
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_chain_goes_on() {
        let mut items = Items::default();
        assert_eq!(items.push(text("a", 700_000)), None);
        assert_eq!(items.push(text("b", 700_000)), Some("a".to_owned()));
        assert_eq!((items.get("a"), items.last()), (None, Some("b")));
        for n in 0..2 * MAX_ITEMS {
            items.push(text(&n.to_string(), 1));
        }
        assert_eq!(items.kept.len(), MAX_ITEMS);
    }

    #[test]
    fn an_item_stands_where_it_was_put() {
        let mut items = Items::default();
        items.push(text("a", 1));
        items.push(text("c", 1));
        assert_eq!(items.insert(Some("a"), text("b", 1)), Some("a".to_owned()));
        assert_eq!(items.insert(None, text("0", 1)), None);
        let ids: Vec<&str> = items.kept.iter().map(|item| item.id.as_str()).collect();
        assert_eq!((ids, items.last()), (vec!["0", "a", "b", "c"], Some("c")));
        assert!(items.remove("c") && !items.remove("c"));
        assert_eq!(items.last(), Some("b"));
    }
}
