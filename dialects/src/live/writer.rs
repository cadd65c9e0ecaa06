//! The events that a client gets, with ids that stay.

use serde_json::{Value, json};

use super::LiveFault;
use super::events::Refusal;
use crate::translation::Effect;

/// Writes events and numbers them.
#[derive(Debug)]
pub(super) struct Writer {
    prefix: String,
    events: u64,
    items: u64,
    /// The item before, of which the next one tells.
    previous: Option<String>,
}

impl Writer {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), events: 0, items: 0, previous: None }
    }

    pub(super) fn session_id(&self) -> String {
        format!("sess_{}", self.prefix)
    }

    /// An id for a new item.
    pub(super) fn item_id(&mut self) -> String {
        self.items += 1;
        format!("item_{}_{}", self.prefix, self.items)
    }

    pub(super) fn event(&mut self, kind: &str, mut fields: Value, effects: &mut Vec<Effect>) {
        self.events += 1;
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("type".to_owned(), kind.into());
            fields.insert("event_id".to_owned(), format!("event_{}_{}", self.prefix, self.events).into());
        }
        effects.push(Effect::ToClient(fields.to_string()));
    }

    pub(super) fn refusal(&mut self, event_id: Option<&str>, refusal: &Refusal, effects: &mut Vec<Effect>) {
        let error = json!({
            "type": "invalid_request_error", "code": refusal.code, "message": refusal.message,
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

    /// Tells that audio became an item.
    pub(super) fn committed(&mut self, id: &str, effects: &mut Vec<Effect>) {
        let previous = self.previous.replace(id.to_owned());
        let chain = json!({"previous_item_id": previous, "item_id": id});
        self.event("input_audio_buffer.committed", chain, effects);
        let item = json!({
            "id": id, "object": "realtime.item", "type": "message", "status": "completed",
            "role": "user", "content": [{"type": "input_audio", "transcript": null}],
        });
        for kind in ["conversation.item.added", "conversation.item.done"] {
            self.event(kind, json!({"previous_item_id": previous, "item": item}), effects);
        }
    }

    pub(super) fn delta(&mut self, id: &str, delta: Option<String>, effects: &mut Vec<Effect>) {
        let Some(delta) = delta else { return };
        let fields = json!({"item_id": id, "content_index": 0, "delta": delta});
        self.event("conversation.item.input_audio_transcription.delta", fields, effects);
    }

    pub(super) fn completed(&mut self, id: &str, transcript: &str, ms: u64, effects: &mut Vec<Effect>) {
        let fields = json!({
            "item_id": id, "content_index": 0, "transcript": transcript,
            "usage": {"type": "duration", "seconds": ms as f64 / 1000.0},
        });
        self.event("conversation.item.input_audio_transcription.completed", fields, effects);
    }

    pub(super) fn failed(&mut self, id: &str, fault: &LiveFault, effects: &mut Vec<Effect>) {
        let fields = json!({
            "item_id": id, "content_index": 0,
            "error": {"type": fault.kind, "code": fault.code, "message": fault.message, "param": null},
        });
        self.event("conversation.item.input_audio_transcription.failed", fields, effects);
    }
}
