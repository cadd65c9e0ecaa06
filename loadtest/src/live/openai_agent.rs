//! A realtime conversation at `OpenAI`, or at Azure and others that speak its language: turns found by
//! silence or committed by the client, items, responses that are interrupted. What is said comes from
//! [`mind`](super::mind), and [`openai_responses`](super::openai_responses) makes responses of it.
//!
//! Source: `OpenAI`'s Realtime reference (present shapes), read 2026-11-21.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::hearing::{Encoding, Hearing, Word};
use super::mind::{Deed, Mind, Voice};
use super::openai_responses::Response;
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

pub(super) struct Conversation {
    pub(super) session: Value,
    hearing: Hearing,
    words: Vec<Word>,
    speaking: bool,
    /// Where the utterance that is being heard, or waits for its commit, began.
    appended_from_ms: u64,
    pub(super) mind: Mind,
    pub(super) voice: Voice,
    pub(super) response: Option<Response>,
    /// What the user has said or given since the last response.
    pub(super) unanswered: Vec<String>,
    pub(super) deeds: Vec<Deed>,
    /// The items with the milliseconds that were spoken of them.
    pub(super) items: Vec<(Value, u64)>,
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
    pub(super) fn id(&mut self, kind: &str) -> String {
        self.serial += 1;
        format!("{kind}_{}", self.serial)
    }

    pub(super) fn event(&mut self, kind: &str, fields: Value, said: &mut Vec<Say>) {
        let mut event = fields;
        let id = self.id("event");
        if let Some(event) = event.as_object_mut() {
            event.insert("type".to_owned(), kind.into());
            event.insert("event_id".to_owned(), id.into());
        }
        said.push(Say::Text(event));
    }

    pub(super) fn error(&mut self, code: &str, message: &str, of: &Value, said: &mut Vec<Say>) {
        let error = json!({"type": "invalid_request_error", "code": code, "message": message, "param": null,
            "event_id": of.get("event_id")});
        self.event("error", json!({"error": error}), said);
    }

    /// The id of the last item.
    pub(super) fn last_item(&self) -> Option<Value> {
        self.items.last().and_then(|(item, _)| item.get("id").cloned())
    }

    pub(super) fn setting(&self, place: &str) -> &Value {
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
pub(super) fn merge(into: &mut Value, change: &Value) {
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
