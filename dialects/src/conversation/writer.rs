//! The events that a client gets, with ids that stay.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::live::LiveFault;
use crate::live::events::Refusal;
use crate::translation::Effect;

/// Writes events and numbers them.
#[derive(Debug)]
pub(super) struct Writer {
    prefix: String,
    events: u64,
    ids: u64,
}

impl Writer {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), events: 0, ids: 0 }
    }

    pub(super) fn session_id(&self) -> String {
        format!("sess_{}", self.prefix)
    }

    pub(super) fn conversation_id(&self) -> String {
        format!("conv_{}", self.prefix)
    }

    /// An id for something new, such as an `item`.
    pub(super) fn id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}_{}_{}", self.prefix, self.ids)
    }

    pub(super) fn event(&mut self, kind: &str, mut fields: Value, effects: &mut Vec<Effect>) {
        self.events += 1;
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("type".to_owned(), kind.into());
            fields.insert("event_id".to_owned(), format!("event_{}_{}", self.prefix, self.events).into());
        }
        effects.push(Effect::ToClient(fields.to_string()));
    }

    /// A piece of speech. It is written without a tree of values, since most events are these; `ids` is the
    /// JSON of its ids, as [`Self::ids`] gives it.
    pub(super) fn speech(&mut self, ids: &str, audio: &[u8], effects: &mut Vec<Effect>) {
        const HEAD: &str = r#"{"type":"response.output_audio.delta","event_id":"event_"#;
        self.events += 1;
        let number = self.events.to_string();
        let length = HEAD.len() + self.prefix.len() + number.len() + ids.len() + audio.len().div_ceil(3) * 4 + 20;
        let mut text = String::with_capacity(length);
        for piece in [HEAD, &self.prefix, "_", &number, "\",", ids, ",\"delta\":\""] {
            text.push_str(piece);
        }
        STANDARD.encode_string(audio, &mut text);
        text.push_str("\"}");
        effects.push(Effect::ToClient(text));
    }

    /// The ids of a piece of a response.
    pub(super) fn ids(response: &str, item: &str, output_index: usize) -> String {
        format!(
            "\"response_id\":{},\"item_id\":{},\"output_index\":{output_index},\"content_index\":0",
            json!(response),
            json!(item)
        )
    }

    pub(super) fn refusal(&mut self, event_id: Option<&str>, refusal: &Refusal, effects: &mut Vec<Effect>) {
        let kind = if refusal.code == "server_error" { "server_error" } else { "invalid_request_error" };
        let error = json!({
            "type": kind, "code": refusal.code, "message": refusal.message,
            "param": refusal.param, "event_id": event_id,
        });
        self.event("error", json!({"error": error}), effects);
    }

    pub(super) fn fault(&mut self, fault: &LiveFault, effects: &mut Vec<Effect>) {
        let error = json!({
            "type": fault.kind, "code": fault.code, "message": fault.message, "param": null, "event_id": null,
        });
        self.event("error", json!({"error": error}), effects);
    }
}
