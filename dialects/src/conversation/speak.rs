//! What is in a response: its items, parts and pieces, in `OpenAI`'s order.

use serde_json::{Value, json};

use super::items::{Body, Item};
use super::output::{Message, Outcome};
use super::session::ConversationSession;
use super::setup::{Medium, Role};
use super::writer::Writer;
use crate::live::{LiveFault, TICKS_PER_MS, ticks};
use crate::translation::Effect;

/// What a response may hold.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;
const MAX_RESPONSE_ITEMS: usize = 256;

impl ConversationSession {
    /// A piece of text.
    pub(super) fn text(&mut self, text: &str, effects: &mut Vec<Effect>) {
        if text.is_empty() || self.output.is_leftover(self.now) {
            return;
        }
        self.agent_begins(effects);
        self.begin_message(effects);
        let Some(open) = &mut self.output.open else { return };
        open.text.push_str(text);
        open.bytes += text.len();
        let (medium, too_much) = (open.medium, open.bytes > MAX_RESPONSE_BYTES);
        let Some(message) = &open.message else { return };
        let delta = json!({
            "response_id": open.id, "item_id": message.id, "output_index": message.output_index,
            "content_index": 0, "delta": text,
        });
        let kind = match medium {
            Medium::Audio => "response.output_audio_transcript.delta",
            Medium::Text => "response.output_text.delta",
        };
        self.writer.event(kind, delta, effects);
        self.passed.written_bytes += text.len() as u64;
        if too_much {
            self.cut_short(effects);
        }
    }

    /// All of the text so far: the rest of it is told.
    pub(super) fn text_all(&mut self, text: &str, effects: &mut Vec<Effect>) {
        let told = match &self.output.open {
            Some(open) => open.text.as_str(),
            // The end of a response may come before its text is told once more.
            None if text.trim() == self.output.last_text.trim() => return,
            None => "",
        };
        if let Some(rest) = text.strip_prefix(told) {
            self.text(rest, effects);
        }
    }

    /// What the agent had really said of what was cut short.
    pub(super) fn text_corrected(&mut self, text: String) {
        let Some(id) = self.items.last_cut().map(|item| item.id.clone()) else { return };
        self.items.change(&id, |item| match &mut item.body {
            Body::Spoken { transcript, .. } => *transcript = text,
            Body::Text { texts, .. } => *texts = vec![text],
            _ => {}
        });
    }

    /// A piece of speech.
    pub(super) fn audio(&mut self, audio: &[u8], effects: &mut Vec<Effect>) {
        if audio.is_empty() || self.output.is_leftover(self.now) {
            return;
        }
        self.agent_begins(effects);
        if self.output.open.as_ref().is_none_or(|open| open.medium == Medium::Text) {
            return;
        }
        self.begin_message(effects);
        match self.output.speech(audio) {
            Ok(speech) => self.speak(&speech, effects),
            Err(message) => self.fail(&LiveFault::upstream(message), effects),
        }
    }

    fn speak(&mut self, speech: &[u8], effects: &mut Vec<Effect>) {
        let message = self.output.open.as_mut().and_then(|open| open.message.as_mut());
        let Some(message) = message.filter(|_| !speech.is_empty()) else { return };
        let spoken = ticks(self.output.client, speech.len() as u64);
        message.ticks += spoken;
        self.passed.spoken_ticks += spoken;
        self.writer.speech(&message.ids, speech, effects);
    }

    /// How much the client has had of a message that is being said.
    pub(super) fn spoken_ms(&self, id: &str) -> Option<u64> {
        let message = self.output.open.as_ref()?.message.as_ref().filter(|message| message.id == id)?;
        Some(message.ticks / TICKS_PER_MS)
    }

    /// Gives what the converter holds.
    pub(super) fn flush_speech(&mut self, effects: &mut Vec<Effect>) {
        self.output.odd = None;
        let Some(converter) = &mut self.output.converter else { return };
        match converter.flush() {
            Ok(rest) => self.speak(&rest, effects),
            Err(message) => {
                // The response goes on; its last milliseconds are missing.
                self.writer.fault(&LiveFault::upstream(message), effects);
            }
        }
    }

    fn begin_message(&mut self, effects: &mut Vec<Effect>) {
        if self.output.open.as_ref().is_none_or(|open| open.message.is_some()) {
            return;
        }
        let id = self.new_item_id();
        let Some(open) = &mut self.output.open else { return };
        let (response, output_index, medium) = (open.id.clone(), open.done.len(), open.medium);
        open.message = Some(Message {
            id: id.clone(),
            output_index,
            from: open.text.len(),
            ids: Writer::ids(&open.id, &id, output_index),
            ticks: 0,
        });
        let item = json!({
            "id": id, "object": "realtime.item", "type": "message", "status": "in_progress",
            "role": "assistant", "content": [],
        });
        let added = json!({"response_id": response, "output_index": output_index, "item": item});
        self.writer.event("response.output_item.added", added, effects);
        let body = match medium {
            Medium::Audio => Body::Spoken { transcript: String::new(), ms: 0 },
            Medium::Text => Body::Text { role: Role::Assistant, texts: Vec::new() },
        };
        let previous = self.items.push(Item { id: id.clone(), body, status: "in_progress" });
        let added = json!({"previous_item_id": previous, "item": item});
        self.writer.event("conversation.item.added", added, effects);
        let part = match medium {
            Medium::Audio => json!({"type": "audio", "transcript": ""}),
            Medium::Text => json!({"type": "text", "text": ""}),
        };
        let part = json!({
            "response_id": response, "item_id": id, "output_index": output_index, "content_index": 0, "part": part,
        });
        self.writer.event("response.content_part.added", part, effects);
    }

    /// The message that is being said is whole, or as much of it as there will be.
    pub(super) fn end_message(&mut self, whole: bool, effects: &mut Vec<Effect>) {
        if self.output.open.as_ref().is_none_or(|open| open.message.is_none()) {
            return;
        }
        if whole {
            self.flush_speech(effects);
        } else {
            self.drop_speech();
        }
        let Some(open) = &mut self.output.open else { return };
        let Some(message) = open.message.take() else { return };
        let text = open.text.get(message.from..).unwrap_or_default().to_owned();
        let fields = |more: Value| {
            let mut fields = json!({
                "response_id": open.id, "item_id": message.id,
                "output_index": message.output_index, "content_index": 0,
            });
            if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
                fields.extend(more);
            }
            fields
        };
        let part = match open.medium {
            Medium::Audio => {
                self.writer.event("response.output_audio.done", fields(json!({})), effects);
                let done = fields(json!({"transcript": text}));
                self.writer.event("response.output_audio_transcript.done", done, effects);
                json!({"type": "audio", "transcript": text})
            }
            Medium::Text => {
                self.writer.event("response.output_text.done", fields(json!({"text": text})), effects);
                json!({"type": "text", "text": text})
            }
        };
        self.writer.event("response.content_part.done", fields(json!({"part": part})), effects);
        let ms = message.ticks / TICKS_PER_MS;
        let body = match open.medium {
            Medium::Audio => Body::Spoken { transcript: text, ms },
            Medium::Text => Body::Text { role: Role::Assistant, texts: vec![text] },
        };
        let item = Item { id: message.id, body, status: if whole { "completed" } else { "incomplete" } };
        self.end_item(item, message.output_index, effects);
    }

    /// An item of the response is done.
    fn end_item(&mut self, item: Item, output_index: usize, effects: &mut Vec<Effect>) {
        let Some(open) = &mut self.output.open else { return };
        let shown = item.shown();
        let done = json!({"response_id": open.id, "output_index": output_index, "item": shown});
        open.done.push(shown.clone());
        self.writer.event("response.output_item.done", done, effects);
        let done = json!({"previous_item_id": self.items.before(&item.id), "item": shown});
        self.writer.event("conversation.item.done", done, effects);
        let id = item.id.clone();
        self.items.change(&id, |kept| *kept = item);
    }

    /// A function is to be called.
    pub(super) fn tool_call(&mut self, call: &str, name: &str, arguments: &str, effects: &mut Vec<Effect>) {
        if self.output.is_leftover(self.now) {
            return;
        }
        self.agent_begins(effects);
        self.end_message(true, effects);
        let id = self.new_item_id();
        let body = |arguments: &str| Body::Call {
            call_id: call.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        let item = Item { id: id.clone(), body: body(""), status: "in_progress" };
        let Some(open) = &mut self.output.open else { return };
        let (response, output_index) = (open.id.clone(), open.done.len());
        open.calls = true;
        open.bytes += arguments.len();
        let too_much = open.bytes > MAX_RESPONSE_BYTES || output_index + 1 >= MAX_RESPONSE_ITEMS;
        let shown = item.shown();
        let added = json!({"response_id": response, "output_index": output_index, "item": shown});
        self.writer.event("response.output_item.added", added, effects);
        let previous = self.items.push(item);
        let added = json!({"previous_item_id": previous, "item": shown});
        self.writer.event("conversation.item.added", added, effects);
        let ids = json!({
            "response_id": response, "item_id": id, "output_index": output_index, "call_id": call,
        });
        let with = |field: &str, more: &[(&str, &str)]| {
            let mut ids = ids.clone();
            if let Some(ids) = ids.as_object_mut() {
                ids.insert(field.to_owned(), arguments.into());
                ids.extend(more.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
            }
            ids
        };
        self.writer.event("response.function_call_arguments.delta", with("delta", &[]), effects);
        let done = with("arguments", &[("name", name)]);
        self.writer.event("response.function_call_arguments.done", done, effects);
        self.tools.called(call, name);
        self.passed.written_bytes += arguments.len() as u64;
        self.end_item(Item::new(id, body(arguments)), output_index, effects);
        if too_much {
            self.cut_short(effects);
        }
    }

    /// A response that grows without end.
    fn cut_short(&mut self, effects: &mut Vec<Effect>) {
        self.finish_response(Outcome::Incomplete("max_output_tokens"), effects);
        self.output.mute(self.now, true);
    }

    fn drop_speech(&mut self) {
        self.output.odd = None;
        if let Some(converter) = &mut self.output.converter {
            // What it holds belongs to a response that is over.
            drop(converter.flush());
        }
    }
}
