//! A realtime conversation at `OpenAI`, or at Azure and others that speak its language: turns found by
//! silence or committed by the client, responses that are interrupted, functions, text alone. What is said
//! comes from [`mind`](super::mind).
//!
//! Source: `OpenAI`'s Realtime reference (present shapes), read 2026-11-21.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::hearing::{Encoding, Hearing, Word};
use super::mind::{Deed, Mind, Voice};
use super::{Query, Say, Vendor, joined, seconds};

/// Where `OpenAI` and those who follow it are spoken to.
pub(super) const PATH: &str = "/v1/realtime";
/// Where Azure is.
pub(super) const AZURE: &str = "/openai/v1/realtime";

const RATE: u32 = 24_000;
/// How far speech runs ahead of its playing.
const AHEAD: Duration = Duration::from_millis(300);
/// The shortest audio that may be committed.
const LEAST_COMMIT_MS: u64 = 100;

/// A response that is being made.
struct Response {
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

struct Conversation {
    session: Value,
    hearing: Hearing,
    words: Vec<Word>,
    speaking: bool,
    /// Where the utterance that is being heard, or waits for its commit, began.
    appended_from_ms: u64,
    mind: Mind,
    voice: Voice,
    response: Option<Response>,
    /// What the user has said or given since the last response.
    unanswered: Vec<String>,
    deeds: Vec<Deed>,
    /// The items with the milliseconds that were spoken of them.
    items: Vec<(Value, u64)>,
    serial: u64,
}

pub(super) fn open(query: &Query) -> Result<Box<dyn Vendor>, String> {
    query.only(&["model"])?;
    let model = query.get("model").ok_or("no model")?;
    let session = json!({
        "type": "realtime", "object": "realtime.session", "id": "sess_1", "expires_at": 1_795_222_800,
        "model": model, "output_modalities": ["audio"], "instructions": "", "tools": [], "tool_choice": "auto",
        "max_output_tokens": "inf", "parallel_tool_calls": true, "reasoning": null, "truncation": "auto",
        "tracing": null, "prompt": null, "include": null,
        "audio": {
            "input": {"format": {"type": "audio/pcm", "rate": RATE}, "noise_reduction": null, "transcription": null,
                "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300,
                    "silence_duration_ms": 200, "idle_timeout_ms": null, "create_response": true,
                    "interrupt_response": true}},
            "output": {"format": {"type": "audio/pcm", "rate": RATE}, "voice": "marin", "speed": 1.0},
        },
    });
    Ok(Box::new(Conversation {
        session,
        hearing: Hearing::new(Encoding::Linear, RATE),
        words: Vec::new(),
        speaking: false,
        appended_from_ms: 0,
        mind: Mind::default(),
        voice: Voice::new(RATE, AHEAD),
        response: None,
        unanswered: Vec::new(),
        deeds: Vec::new(),
        items: Vec::new(),
        serial: 0,
    }))
}

impl Conversation {
    fn id(&mut self, kind: &str) -> String {
        self.serial += 1;
        format!("{kind}_{}", self.serial)
    }

    fn event(&mut self, kind: &str, fields: Value, said: &mut Vec<Say>) {
        let mut event = fields;
        let id = self.id("event");
        if let Some(event) = event.as_object_mut() {
            event.insert("type".to_owned(), kind.into());
            event.insert("event_id".to_owned(), id.into());
        }
        said.push(Say::Text(event));
    }

    fn error(&mut self, code: &str, message: &str, of: &Value, said: &mut Vec<Say>) {
        let error = json!({"type": "invalid_request_error", "code": code, "message": message, "param": null,
            "event_id": of.get("event_id")});
        self.event("error", json!({"error": error}), said);
    }

    /// The id of the last item.
    fn last_item(&self) -> Option<Value> {
        self.items.last().and_then(|(item, _)| item.get("id").cloned())
    }

    fn setting(&self, place: &str) -> &Value {
        self.session.pointer(place).unwrap_or(&Value::Null)
    }

    fn update(&mut self, event: &Value, said: &mut Vec<Say>) {
        let Some(change) = event.get("session").filter(|session| session.get("type") == Some(&json!("realtime")))
        else {
            return self.error("missing_required_parameter", "session.type", event, said);
        };
        if let Some(unknown) = unknown_field(change, &self.session, "session") {
            return self.error("unknown_parameter", &unknown, event, said);
        }
        merge(&mut self.session, change);
        if let Some(Value::Object(detection)) = self.session.pointer_mut("/audio/input/turn_detection") {
            for usual in ["create_response", "interrupt_response"] {
                detection.entry(usual).or_insert(json!(true));
            }
        }
        let encoding = match self.setting("/audio/input/format/type").as_str() {
            Some("audio/pcmu") => Some((Encoding::Ulaw, 8_000)),
            Some("audio/pcma") => Some((Encoding::Alaw, 8_000)),
            _ => None,
        };
        if change.pointer("/audio/input/format").is_some() {
            let (encoding, rate) = encoding.unwrap_or((Encoding::Linear, RATE));
            self.hearing = Hearing::new(encoding, rate);
            self.appended_from_ms = 0;
        }
        self.event("session.updated", json!({"session": self.session}), said);
    }

    fn append(&mut self, event: &Value, said: &mut Vec<Say>) {
        let audio = event.get("audio").and_then(Value::as_str).unwrap_or_default();
        let Ok(bytes) = STANDARD.decode(audio) else {
            return self.error("invalid_value", "the audio is no base64", event, said);
        };
        let samples = self.hearing.decode(&bytes);
        for step in samples.chunks(self.hearing.step_len()) {
            self.words.extend(self.hearing.listen(step));
            let silence = self.setting("/audio/input/turn_detection/silence_duration_ms").as_u64();
            let detects = self.setting("/audio/input/turn_detection").is_object();
            if !detects {
                continue;
            }
            if self.hearing.silent_ms() == 0 && !self.speaking {
                self.speech_started(said);
            }
            if self.speaking && self.hearing.silent_ms() >= silence.unwrap_or(200) {
                self.speech_stopped(said);
            }
        }
    }

    fn speech_started(&mut self, said: &mut Vec<Say>) {
        self.speaking = true;
        let started = json!({"audio_start_ms": self.hearing.now_ms(), "item_id": "item_heard"});
        self.event("input_audio_buffer.speech_started", started, said);
        if self.setting("/audio/input/turn_detection/interrupt_response") != &json!(false) {
            self.cut("turn_detected", said);
        }
    }

    fn speech_stopped(&mut self, said: &mut Vec<Say>) {
        self.speaking = false;
        let stopped = json!({"audio_end_ms": self.hearing.now_ms(), "item_id": "item_heard"});
        self.event("input_audio_buffer.speech_stopped", stopped, said);
        self.utterance(said);
        if self.setting("/audio/input/turn_detection/create_response") != &json!(false) {
            self.respond(&Value::Null, said);
        }
    }

    /// What was appended becomes an item.
    fn utterance(&mut self, said: &mut Vec<Say>) {
        self.words.extend(self.hearing.cut());
        let words = std::mem::take(&mut self.words);
        let heard = joined(&words);
        let ms = self.hearing.now_ms() - std::mem::replace(&mut self.appended_from_ms, self.hearing.now_ms());
        let id = self.id("item");
        let before = self.last_item();
        self.event("input_audio_buffer.committed", json!({"previous_item_id": before, "item_id": id}), said);
        let item = json!({"id": id, "object": "realtime.item", "type": "message", "status": "completed",
            "role": "user", "content": [{"type": "input_audio", "transcript": null}]});
        self.add(&item, said);
        if self.setting("/audio/input/transcription").is_object() {
            let place = json!({"item_id": id, "content_index": 0, "delta": heard});
            self.event("conversation.item.input_audio_transcription.delta", place, said);
            let whole = json!({"item_id": id, "content_index": 0, "transcript": heard,
                "usage": {"type": "duration", "seconds": seconds(ms)}});
            self.event("conversation.item.input_audio_transcription.completed", whole, said);
            let last = self.items.last_mut();
            if let Some(transcript) = last.and_then(|(item, _)| item.pointer_mut("/content/0/transcript")) {
                *transcript = json!(heard);
            }
        }
        self.unanswered.push(heard);
        said.push(Say::Final(words));
    }

    fn add(&mut self, item: &Value, said: &mut Vec<Say>) {
        let before = self.last_item();
        self.items.push((item.clone(), 0));
        for kind in ["conversation.item.added", "conversation.item.done"] {
            self.event(kind, json!({"previous_item_id": before, "item": item}), said);
        }
    }

    fn create_item(&mut self, event: &Value, said: &mut Vec<Say>) {
        let mut item = event.get("item").cloned().unwrap_or_default();
        let id = self.id("item");
        if let Some(fields) = item.as_object_mut() {
            fields.entry("id").or_insert_with(|| id.into());
            fields.insert("object".to_owned(), "realtime.item".into());
            fields.insert("status".to_owned(), "completed".into());
        }
        match item.get("type").and_then(Value::as_str) {
            Some("function_call_output") => {
                let field = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
                match self.mind.output(field("call_id"), field("output")) {
                    Ok(deeds) => self.deeds.extend(deeds),
                    Err(message) => return self.error("invalid_value", &message, event, said),
                }
            }
            Some("message") => {
                let text = item.pointer("/content/0/text").and_then(Value::as_str).unwrap_or_default();
                if item.get("role") == Some(&json!("user")) {
                    self.unanswered.push(text.to_owned());
                }
            }
            _ => return self.error("invalid_value", "no such item", event, said),
        }
        self.add(&item, said);
    }

    /// Begins a response; what it does follows with time.
    fn respond(&mut self, asked: &Value, said: &mut Vec<Say>) {
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

    fn piece(&mut self, said: &mut Vec<Say>) {
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
    fn cut(&mut self, reason: &str, said: &mut Vec<Say>) {
        if self.response.is_some() {
            self.end("cancelled", json!({"type": "cancelled", "reason": reason}), said);
        }
    }

    fn truncate(&mut self, event: &Value, said: &mut Vec<Say>) {
        let id = event.get("item_id");
        let at = event.get("audio_end_ms").and_then(Value::as_u64).unwrap_or(0);
        let Some(has) = self.items.iter().find(|(known, _)| id == known.get("id")).map(|(_, has)| *has) else {
            return self.error("invalid_value", "There is no such item.", event, said);
        };
        if at > has {
            return self.error(
                "invalid_value",
                &format!("Audio content of {has}ms is already shorter than {at}ms"),
                event,
                said,
            );
        }
        let fields = json!({"item_id": id, "content_index": 0, "audio_end_ms": at});
        self.event("conversation.item.truncated", fields, said);
    }
}

impl Vendor for Conversation {
    fn opened(&mut self) -> Vec<Say> {
        let mut said = Vec::new();
        self.event("session.created", json!({"session": self.session}), &mut said);
        said
    }

    fn text(&mut self, text: &str) -> Vec<Say> {
        let mut said = Vec::new();
        let event: Value = serde_json::from_str(text).unwrap_or_default();
        match event.get("type").and_then(Value::as_str).unwrap_or_default() {
            "session.update" => self.update(&event, &mut said),
            "input_audio_buffer.append" => self.append(&event, &mut said),
            "input_audio_buffer.commit" => {
                let held = self.hearing.now_ms() - self.appended_from_ms;
                if held < LEAST_COMMIT_MS {
                    self.error("input_audio_buffer_commit_empty", "The buffer is too small.", &event, &mut said);
                } else {
                    self.utterance(&mut said);
                }
            }
            "input_audio_buffer.clear" => {
                self.words.clear();
                self.appended_from_ms = self.hearing.now_ms();
                self.event("input_audio_buffer.cleared", json!({}), &mut said);
            }
            "conversation.item.create" => self.create_item(&event, &mut said),
            "conversation.item.retrieve" => {
                let id = event.get("item_id");
                match self.items.iter().find(|(known, _)| id == known.get("id")).map(|(item, _)| item.clone()) {
                    Some(item) => self.event("conversation.item.retrieved", json!({"item": item}), &mut said),
                    None => self.error("invalid_value", "There is no such item.", &event, &mut said),
                }
            }
            "conversation.item.truncate" => self.truncate(&event, &mut said),
            "conversation.item.delete" => {
                self.event("conversation.item.deleted", json!({"item_id": event.get("item_id")}), &mut said);
            }
            "response.create" => self.respond(&event, &mut said),
            "response.cancel" if self.response.is_some() => self.cut("client_cancelled", &mut said),
            "response.cancel" => {
                self.error("response_cancel_not_active", "There is no active response.", &event, &mut said);
            }
            other => said.push(Say::Violation(format!("openai: an event of type {other:?}"))),
        }
        said
    }

    fn binary(&mut self, _bytes: &[u8]) -> Vec<Say> {
        vec![Say::Violation("openai: a binary frame".to_owned())]
    }

    fn heard_ms(&self) -> u64 {
        self.hearing.now_ms()
    }

    fn due(&self) -> Option<Instant> {
        self.voice.due()
    }

    fn tick(&mut self) -> Vec<Say> {
        let mut said = Vec::new();
        self.piece(&mut said);
        said
    }

    fn patience(&self) -> (Duration, u16, &'static str) {
        (Duration::from_secs(60), 1001, "Your session hit the maximum duration of 60 minutes.")
    }
}

/// Merges a change: what is absent stays. What becomes of another type is replaced.
fn merge(into: &mut Value, change: &Value) {
    let same = change.get("type").is_none_or(|kind| into.get("type") == Some(kind));
    match (into, change) {
        (Value::Object(into), Value::Object(change)) if same => {
            for (name, value) in change {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

/// The first field of a change that the session does not have. Objects of other kinds than before are taken.
fn unknown_field(change: &Value, session: &Value, at: &str) -> Option<String> {
    let empty = Map::new();
    let known = session.as_object().unwrap_or(&empty);
    for (name, value) in change.as_object()? {
        let place = format!("{at}.{name}");
        let Some(before) = known.get(name) else { return Some(place) };
        let deeper = matches!(name.as_str(), "audio" | "input" | "output") && before.is_object();
        if let Some(unknown) = Some(value).filter(|_| deeper).and_then(|value| unknown_field(value, before, &place)) {
            return Some(unknown);
        }
    }
    None
}

/// Speech in the format of the session. The telephone's has a third of the samples.
fn encoded(format: &Value, audio: &[u8]) -> Vec<u8> {
    let narrow = |code: fn(i16) -> u8| {
        let samples = audio.as_chunks::<2>().0.iter().step_by(3);
        samples.map(|pair| code(i16::from_le_bytes(*pair))).collect()
    };
    match format.as_str() {
        Some("audio/pcmu") => narrow(super::hearing::to_ulaw),
        Some("audio/pcma") => narrow(super::hearing::to_alaw),
        _ => audio.to_vec(),
    }
}
