//! What `OpenAI` answers in a conversation, deed by deed: speech with its words, text, calls of functions, and the
//! end of a response, be it done, failed or cut short.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::mind::{Deed, Mind};
use super::openai_agent::{Conversation, merge};
use super::{Say, hearing};

/// A response that is being made.
pub(super) struct Response {
    id: String,
    /// The message.
    item: Value,
    /// The calls.
    calls: Vec<Value>,
    /// Text that was not told yet.
    text: String,
    told: String,
    metadata: Value,
    audio: bool,
    played_ms: u64,
}

impl Conversation {
    /// Begins a response; what it does follows with time.
    pub(super) fn respond(&mut self, asked: &Value, said: &mut Vec<Say>) {
        if self.response.is_some() {
            let message = "Conversation already has an active response in progress.";
            return self.error("conversation_already_has_active_response", message, asked, said);
        }
        if self.deeds.is_empty() {
            let heard = std::mem::take(&mut self.unanswered).join(" ");
            let first = Mind::begin(self.setting("/instructions").as_str().unwrap_or_default());
            self.deeds = match first.filter(|_| self.items.is_empty()) {
                Some(greeting) => vec![greeting],
                None => self.mind.answer(&heard),
            };
        }
        let metadata = asked.pointer("/response/metadata").cloned().unwrap_or_default();
        let modalities = asked.pointer("/response/output_modalities").unwrap_or(self.setting("/output_modalities"));
        let audio = *modalities != json!(["text"]);
        let id = self.id("resp");
        self.response = Some(Response {
            id,
            item: Value::Null,
            calls: Vec::new(),
            text: String::new(),
            told: String::new(),
            metadata,
            audio,
            played_ms: 0,
        });
        let response = self.shown("in_progress", Value::Null, Value::Null);
        self.event("response.created", json!({"response": response}), said);
        let limits =
            json!({"rate_limits": [{"name": "requests", "limit": 100, "remaining": 99, "reset_seconds": 1.0}]});
        self.event("rate_limits.updated", limits, said);
        self.act(said);
    }

    /// The response as it stands.
    fn shown(&self, status: &str, details: Value, usage: Value) -> Value {
        let Some(response) = &self.response else { return Value::Null };
        let message = Some(&response.item).filter(|item| item.is_object());
        let output: Vec<&Value> = message.into_iter().chain(&response.calls).collect();
        json!({"id": response.id, "object": "realtime.response", "status": status, "status_details": details,
            "output": output, "conversation_id": "conv_1",
            "output_modalities": [if response.audio { "audio" } else { "text" }], "max_output_tokens": "inf",
            "audio": {"output": {"format": self.setting("/audio/output/format"),
                "voice": self.setting("/audio/output/voice")}},
            "metadata": response.metadata, "usage": usage})
    }

    /// Does what is to be done next, up to where time must pass.
    fn act(&mut self, said: &mut Vec<Say>) {
        if self.deeds.is_empty() {
            return self.end("completed", Value::Null, said);
        }
        if self.deeds.iter().all(|deed| matches!(deed, Deed::Call { .. })) {
            return self.call(said);
        }
        match self.deeds.remove(0) {
            Deed::Say { text, ms } => self.say(text, ms, said),
            Deed::Fail => {
                let error = json!({"type": "server_error", "code": "server_error", "message": "The model failed."});
                self.end("failed", json!({"type": "failed", "error": error}), said);
            }
            Deed::Vanish => said.push(Say::Break),
            call @ Deed::Call { .. } => {
                self.deeds.insert(0, call);
                self.call(said);
            }
        }
    }

    fn call(&mut self, said: &mut Vec<Say>) {
        let response_id = self.response.as_ref().map(|response| response.id.clone());
        for (index, deed) in std::mem::take(&mut self.deeds).into_iter().enumerate() {
            let Deed::Call { id, name, arguments } = deed else { continue };
            let item_id = self.id("item");
            let arguments = arguments.to_string();
            let item = |status: &str, arguments: &str| {
                json!({"id": item_id, "object": "realtime.item", "type": "function_call", "status": status,
                    "call_id": id, "name": name, "arguments": arguments})
            };
            let place = |mut fields: Value| {
                merge(&mut fields, &json!({"response_id": response_id, "output_index": index}));
                fields
            };
            self.event("response.output_item.added", place(json!({"item": item("in_progress", "")})), said);
            let before = self.last_item();
            let added = json!({"previous_item_id": before, "item": item("in_progress", "")});
            self.event("conversation.item.added", added, said);
            let delta = place(json!({"item_id": item_id, "call_id": id, "delta": arguments}));
            self.event("response.function_call_arguments.delta", delta, said);
            let done = place(json!({"item_id": item_id, "call_id": id, "name": name, "arguments": arguments}));
            self.event("response.function_call_arguments.done", done, said);
            let whole = item("completed", &arguments);
            self.event("response.output_item.done", place(json!({"item": whole})), said);
            let done = json!({"previous_item_id": before, "item": whole});
            self.event("conversation.item.done", done, said);
            self.items.push((whole.clone(), 0));
            if let Some(response) = &mut self.response {
                response.calls.push(whole);
            }
        }
        self.end("completed", Value::Null, said);
    }

    fn say(&mut self, text: String, ms: u64, said: &mut Vec<Say>) {
        let item_id = self.id("item");
        let before = self.last_item();
        let item = json!({"id": item_id, "object": "realtime.item", "type": "message", "status": "in_progress",
            "role": "assistant", "content": []});
        self.items.push((item.clone(), 0));
        let Some(response) = &mut self.response else { return };
        response.item = item.clone();
        response.text = text;
        let (response_id, audio) = (response.id.clone(), response.audio);
        let fields = json!({"response_id": response_id, "output_index": 0, "item": item});
        self.event("response.output_item.added", fields, said);
        self.event("conversation.item.added", json!({"previous_item_id": before, "item": item}), said);
        let part = if audio { json!({"type": "audio", "transcript": ""}) } else { json!({"type": "text", "text": ""}) };
        self.event("response.content_part.added", self.placed("part", part), said);
        if audio {
            self.voice.speak(ms);
            return;
        }
        self.tell_text(u64::MAX, said);
        self.close_message("completed", said);
        self.act(said);
    }

    /// Where the content of the response is.
    fn place(&self) -> Value {
        let (response, item) = self.response.as_ref().map_or((Value::Null, Value::Null), |response| {
            (json!(response.id), response.item.get("id").cloned().unwrap_or_default())
        });
        json!({"response_id": response, "item_id": item, "output_index": 0, "content_index": 0})
    }

    /// A field of the content of the response, and where that is.
    fn placed(&self, name: &str, field: Value) -> Value {
        let mut place = self.place();
        merge(&mut place, &json!({name: field}));
        place
    }

    /// Tells words up to so many characters.
    fn tell_text(&mut self, most: u64, said: &mut Vec<Say>) {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        loop {
            let Some(response) = &mut self.response else { return };
            let end = response.text.find(' ').map_or(response.text.len(), |at| at + 1);
            if response.text.is_empty() || response.told.len() >= most {
                return;
            }
            let rest = response.text.split_off(end);
            let word = std::mem::replace(&mut response.text, rest);
            response.told.push_str(&word);
            let kind =
                if response.audio { "response.output_audio_transcript.delta" } else { "response.output_text.delta" };
            self.event(kind, self.placed("delta", word.into()), said);
        }
    }

    pub(super) fn piece(&mut self, said: &mut Vec<Say>) {
        while let Some(audio) = self.voice.piece() {
            let ms = audio.len() as u64 / 48;
            if let Some(response) = &mut self.response {
                response.played_ms += ms;
            }
            let told = self.response.as_ref().map_or(0, |response| response.played_ms / 20);
            self.tell_text(told.max(1), said);
            let delta = STANDARD.encode(encoded(self.setting("/audio/output/format/type"), &audio));
            self.event("response.output_audio.delta", self.placed("delta", delta.into()), said);
        }
        if self.response.is_some() && !self.voice.speaking() {
            self.tell_text(u64::MAX, said);
            self.close_message("completed", said);
            self.act(said);
        }
    }

    fn close_message(&mut self, status: &str, said: &mut Vec<Say>) {
        let Some(response) = &mut self.response else { return };
        if response.item.get("status") != Some(&json!("in_progress")) {
            return;
        }
        let (audio, told) = (response.audio, response.told.clone());
        let (content, part) = if audio {
            (json!({"type": "output_audio", "transcript": told}), json!({"type": "audio", "transcript": told}))
        } else {
            (json!({"type": "output_text", "text": told}), json!({"type": "text", "text": told}))
        };
        merge(&mut response.item, &json!({"status": status, "content": [content]}));
        let (id, item, played) = (response.id.clone(), response.item.clone(), response.played_ms);
        if let Some(last) = self.items.iter_mut().find(|(known, _)| item.get("id") == known.get("id")) {
            *last = (item.clone(), played);
        }
        if audio {
            self.event("response.output_audio.done", self.place(), said);
        }
        let (kind, field) = if audio {
            ("response.output_audio_transcript.done", "transcript")
        } else {
            ("response.output_text.done", "text")
        };
        self.event(kind, self.placed(field, told.into()), said);
        self.event("response.content_part.done", self.placed("part", part), said);
        let fields = json!({"response_id": id, "output_index": 0, "item": item});
        self.event("response.output_item.done", fields, said);
        self.event("conversation.item.done", json!({"previous_item_id": null, "item": item}), said);
    }

    fn end(&mut self, status: &str, details: Value, said: &mut Vec<Say>) {
        self.voice.stop();
        self.deeds.clear();
        self.close_message(if status == "completed" { "completed" } else { "incomplete" }, said);
        let Some(response) = &self.response else { return };
        let audio_out = response.played_ms / 50;
        let text_out = response.told.len() as u64 / 4;
        let usage = json!({"total_tokens": 30 + audio_out + text_out, "input_tokens": 30,
            "output_tokens": audio_out + text_out,
            "input_token_details": {"text_tokens": 10, "audio_tokens": 20, "image_tokens": 0, "cached_tokens": 0,
                "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}},
            "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out}});
        let response = self.shown(status, details, usage);
        self.event("response.done", json!({"response": response}), said);
        self.response = None;
    }

    /// The response stops where it is.
    pub(super) fn cut(&mut self, reason: &str, said: &mut Vec<Say>) {
        if self.response.is_some() {
            self.end("cancelled", json!({"type": "cancelled", "reason": reason}), said);
        }
    }
}

/// Speech in the format of the session. The telephone's has a third of the samples.
fn encoded(format: &Value, audio: &[u8]) -> Vec<u8> {
    let narrow = |code: fn(i16) -> u8| {
        let samples = audio.as_chunks::<2>().0.iter().step_by(3);
        samples.map(|pair| code(i16::from_le_bytes(*pair))).collect()
    };
    match format.as_str() {
        Some("audio/pcmu") => narrow(hearing::to_ulaw),
        Some("audio/pcma") => narrow(hearing::to_alaw),
        _ => audio.to_vec(),
    }
}
