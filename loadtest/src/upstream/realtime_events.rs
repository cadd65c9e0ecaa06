//! The state of one realtime session and the events it sends, as OpenAI's Realtime reference (GA) documents them,
//! read 2026-11-21.
#![expect(clippy::indexing_slicing, reason = "reading a JSON value by name gives null where it is absent")]

use std::{borrow::Cow, collections::VecDeque, sync::atomic::Ordering};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Amounts, Fault, Shared, audit, counts::Line, transcription::SENTENCE};

/// What the assistant says, unless the script has another text.
const REPLY: &str = "Hello from the scripted upstream.";
/// Audio of a reply: ten deltas of 100 ms.
const REPLY_DELTAS: usize = 10;
const DELTA_MS: u64 = 100;

/// One frame to send; `turn` is booked when it went out.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) text: String,
    pub(super) turn: Option<Amounts>,
    /// The turn's serial number.
    pub(super) serial: Option<String>,
}

/// A response that is being sent.
#[derive(Debug)]
struct Active {
    id: String,
    item: String,
    amounts: Amounts,
    text_tokens_out: u64,
    audio: bool,
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    config: Value,
    transcription: bool,
    echo_every: u32,
    appends: u32,
    uncommitted_bytes: u64,
    /// Bytes of audio heard since the last response.
    heard_bytes: u64,
    last_item: Value,
    items: u64,
    active: Option<Active>,
    outputs: VecDeque<Output>,
}

/// What is read of every event; the audio stays where it is.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    audio: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    event_id: Option<Cow<'a, str>>,
}

impl Session {
    pub(super) fn new(transcription: bool, model: &str, serial: u64, echo_every: u32) -> Self {
        let input = json!({
            "format": {"type": "audio/pcm", "rate": 24000}, "noise_reduction": null, "transcription": null,
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300,
                               "silence_duration_ms": 200, "create_response": true, "interrupt_response": true},
        });
        let id = format!("sess_{serial}");
        let config = if transcription {
            json!({"type": "transcription", "object": "realtime.transcription_session", "id": id,
                   "expires_at": 1_795_222_800, "include": null, "audio": {"input": input}})
        } else {
            json!({"type": "realtime", "object": "realtime.session", "id": id, "expires_at": 1_795_222_800,
                   "model": model, "output_modalities": ["audio"], "instructions": "", "tools": [],
                   "tool_choice": "auto", "max_output_tokens": "inf", "truncation": "auto", "tracing": null,
                   "prompt": null, "include": null, "audio": {"input": input, "output":
                       {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0}}})
        };
        Self {
            config,
            transcription,
            echo_every,
            appends: 0,
            uncommitted_bytes: 0,
            heard_bytes: 0,
            last_item: Value::Null,
            items: 0,
            active: None,
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn has_output(&self) -> bool {
        !self.outputs.is_empty()
    }

    pub(super) fn next_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        if output.turn.is_some() && self.outputs.is_empty() {
            self.active = None;
        }
        Some(output)
    }

    /// Forgets what was still to be said; a response that was begun stays open.
    pub(super) fn silence(&mut self) {
        self.outputs.clear();
    }

    /// Books a response that was begun and never ended.
    pub(super) fn abandon(&mut self, line: &Line) {
        if let Some(active) = self.active.take() {
            line.cut(&active.amounts);
        }
    }

    /// Takes one event of the client's.
    pub(super) fn take(&mut self, shared: &Shared, line: &Line, fault: &Fault, text: &str) {
        let head: Head<'_> = match serde_json::from_str(text) {
            Ok(head) => head,
            Err(error) => {
                let message = format!("The event could not be parsed: {error}.");
                return self.push(error_of(shared, "invalid_event", &message));
            }
        };
        if head.kind == "input_audio_buffer.append" {
            return self.append(shared, line, head.audio.as_deref());
        }
        if audit::has_own_key(text.as_bytes()) {
            shared.violation("the client's key in a realtime event");
        }
        let event_id = head.event_id.as_deref();
        match head.kind.as_ref() {
            "session.update" => self.update(shared, text, event_id),
            "input_audio_buffer.commit" => self.commit(shared, line, fault, event_id),
            "input_audio_buffer.clear" => {
                self.uncommitted_bytes = 0;
                self.push(event(shared, "input_audio_buffer.cleared", json!({})));
            }
            "conversation.item.create" => self.create_item(shared, text),
            "conversation.item.truncate" | "conversation.item.delete" | "conversation.item.retrieve" => {
                self.answer_item(shared, text);
            }
            "response.create" if !self.transcription => self.respond(shared, line, text, fault, event_id),
            "response.cancel" if !self.transcription => self.cancel(shared, event_id),
            other => {
                shared.violation(format!("unknown realtime event {other}"));
                let message = format!("Invalid value: '{other}'.");
                self.push(error(shared, "invalid_value", &message, Some("type"), event_id));
            }
        }
    }

    fn append(&mut self, shared: &Shared, line: &Line, audio: Option<&str>) {
        let Some(audio) = audio else {
            return self.push(error(shared, "missing_required_parameter", "audio is missing.", Some("audio"), None));
        };
        // Four characters of base64 are three bytes; the padding is not audio.
        let padding = audio.bytes().rev().take_while(|byte| *byte == b'=').count();
        let bytes = u64::try_from((audio.len() / 4 * 3).saturating_sub(padding)).unwrap_or(0);
        self.uncommitted_bytes += bytes;
        line.appended_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.appends = self.appends.wrapping_add(1);
        if self.echo_every > 0 && self.appends.is_multiple_of(self.echo_every) {
            let id = shared.next_serial();
            self.push(format!(
                "{{\"type\":\"response.output_audio.delta\",\"event_id\":\"event_{id}\",\"response_id\":\"resp_echo\",\
                 \"item_id\":\"item_echo\",\"output_index\":0,\"content_index\":0,\"delta\":\"{audio}\"}}"
            ));
        }
    }

    fn update(&mut self, shared: &Shared, text: &str, event_id: Option<&str>) {
        let change: Value = serde_json::from_str(text).unwrap_or_default();
        let Some(session) = change["session"].as_object() else {
            return self.push(error(
                shared,
                "missing_required_parameter",
                "session is missing.",
                Some("session"),
                event_id,
            ));
        };
        let wanted = if self.transcription { "transcription" } else { "realtime" };
        if session.get("type").and_then(Value::as_str) != Some(wanted) {
            let message = format!("session.type must be '{wanted}'.");
            return self.push(error(shared, "missing_required_parameter", &message, Some("session.type"), event_id));
        }
        if let Some(unknown) =
            session.keys().find(|name| !self.config.as_object().is_some_and(|has| has.contains_key(*name)))
        {
            let message = format!("Unknown parameter: 'session.{unknown}'.");
            let param = format!("session.{unknown}");
            return self.push(error(shared, "unknown_parameter", &message, Some(&param), event_id));
        }
        if session.get("model").is_some_and(|model| *model != self.config["model"]) {
            return self.push(error(
                shared,
                "invalid_value",
                "The model cannot change.",
                Some("session.model"),
                event_id,
            ));
        }
        let format = &change["session"]["audio"]["input"]["format"];
        if format["type"] == "audio/pcm" && format["rate"] != 24000 {
            let param = Some("session.audio.input.format.rate");
            return self.push(error(shared, "invalid_value", "rate must be 24000.", param, event_id));
        }
        merge(&mut self.config, &change["session"]);
        self.push(event(shared, "session.updated", json!({"session": self.config})));
    }

    fn bytes_per_ms(&self) -> u64 {
        if self.config["audio"]["input"]["format"]["type"] == "audio/pcm" { 48 } else { 8 }
    }

    fn next_item(&mut self) -> String {
        self.items += 1;
        format!("item_{}", self.items)
    }

    fn commit(&mut self, shared: &Shared, line: &Line, fault: &Fault, event_id: Option<&str>) {
        let audio_ms = self.uncommitted_bytes / self.bytes_per_ms();
        if audio_ms < 100 {
            let message = format!("Error committing input audio buffer: buffer too small, {audio_ms}ms of audio.");
            return self.push(error(shared, "input_audio_buffer_commit_empty", &message, None, event_id));
        }
        self.heard_bytes += std::mem::take(&mut self.uncommitted_bytes);
        let id = self.next_item();
        let before = std::mem::replace(&mut self.last_item, json!(id));
        let item = json!({"id": id, "object": "realtime.item", "type": "message", "status": "completed",
                          "role": "user", "content": [{"type": "input_audio", "transcript": null}]});
        self.push(event(shared, "input_audio_buffer.committed", json!({"previous_item_id": before, "item_id": id})));
        for kind in ["conversation.item.added", "conversation.item.done"] {
            self.push(event(shared, kind, json!({"previous_item_id": before, "item": item})));
        }
        if self.config["audio"]["input"]["transcription"].is_object() {
            self.transcribe(shared, line, fault, &id, audio_ms);
        }
    }

    /// Input transcription is billed apart, by its own usage: by duration for whisper-1 and the live transcribers.
    fn transcribe(&mut self, shared: &Shared, line: &Line, fault: &Fault, item: &str, audio_ms: u64) {
        let text = fault.text.as_deref().unwrap_or(SENTENCE);
        let prefix = "conversation.item.input_audio_transcription";
        for piece in text.split_inclusive(' ') {
            let fields = json!({"item_id": item, "content_index": 0, "delta": piece});
            self.push(event(shared, &format!("{prefix}.delta"), fields));
        }
        let prompt = self.config["audio"]["input"]["transcription"]["prompt"].as_str().unwrap_or_default();
        let model = self.config["audio"]["input"]["transcription"]["model"].as_str().unwrap_or_default();
        let mut amounts = Amounts { audio_in_ms: audio_ms, ..Amounts::default() };
        let usage = if model.contains("gpt-4o") {
            amounts.tokens_in = audio_ms.div_ceil(100);
            amounts.tokens_out = words(text) + 2;
            json!({"type": "tokens", "input_tokens": amounts.tokens_in, "output_tokens": amounts.tokens_out,
                   "total_tokens": amounts.tokens_in + amounts.tokens_out,
                   "input_token_details": {"text_tokens": 0, "audio_tokens": amounts.tokens_in}})
        } else {
            json!({"type": "duration", "seconds": std::time::Duration::from_millis(audio_ms).as_secs_f64()})
        };
        line.accepted(&amounts);
        let serial = shared.fates.accepted("realtime transcription", prompt, &amounts);
        let fields = json!({"item_id": item, "content_index": 0, "transcript": text, "usage": usage});
        let text = event(shared, &format!("{prefix}.completed"), fields);
        self.outputs.push_back(Output { text, turn: Some(amounts), serial });
    }

    fn create_item(&mut self, shared: &Shared, text: &str) {
        let mut change: Value = serde_json::from_str(text).unwrap_or_default();
        let mut item = change.get_mut("item").map(Value::take).unwrap_or_default();
        if !item.is_object() {
            return self.push(error(shared, "missing_required_parameter", "item is missing.", Some("item"), None));
        }
        if item["id"].as_str().is_none() {
            item["id"] = json!(self.next_item());
        }
        item["object"] = json!("realtime.item");
        item["status"] = json!("completed");
        let before = std::mem::replace(&mut self.last_item, item["id"].clone());
        for kind in ["conversation.item.added", "conversation.item.done"] {
            self.push(event(shared, kind, json!({"previous_item_id": before, "item": item})));
        }
    }

    fn answer_item(&mut self, shared: &Shared, text: &str) {
        let asked: Value = serde_json::from_str(text).unwrap_or_default();
        let id = &asked["item_id"];
        let answer = match asked["type"].as_str() {
            Some("conversation.item.truncate") => event(
                shared,
                "conversation.item.truncated",
                json!({"item_id": id, "content_index": asked["content_index"], "audio_end_ms": asked["audio_end_ms"]}),
            ),
            Some("conversation.item.delete") => event(shared, "conversation.item.deleted", json!({"item_id": id})),
            _ => event(shared, "conversation.item.retrieved", json!({"item": {"id": id, "object": "realtime.item"}})),
        };
        self.push(answer);
    }

    fn respond(&mut self, shared: &Shared, line: &Line, text: &str, fault: &Fault, event_id: Option<&str>) {
        if self.active.is_some() {
            let message = "Conversation already has an active response in progress.";
            return self.push(error(shared, "conversation_already_has_active_response", message, None, event_id));
        }
        let asked: Value = serde_json::from_str(text).unwrap_or_default();
        let modalities = match &asked["response"]["output_modalities"] {
            Value::Null => self.config["output_modalities"].clone(),
            given => given.clone(),
        };
        let audio = modalities[0] != "text";
        let reply = fault.text.clone().unwrap_or_else(|| REPLY.to_owned());
        let active = self.begin(shared, &reply, audio);
        let id = active.id.clone();
        let item = active.item.clone();
        let begun = self.response(&active, "in_progress", Value::Null);
        self.push(event(shared, "response.created", json!({"response": begun})));
        self.push(event(
            shared,
            "rate_limits.updated",
            json!({"rate_limits": [
            {"name": "tokens", "limit": 40000, "remaining": 39000, "reset_seconds": 1.5}]}),
        ));
        self.say(shared, &id, &item, &reply, audio);
        let done = self.response(&active, "completed", Value::Null);
        let text = event(shared, "response.done", json!({"response": done}));
        let instructions = asked["response"]["instructions"].as_str().unwrap_or_default();
        line.accepted(&active.amounts);
        let serial = shared.fates.accepted("realtime", instructions, &active.amounts);
        self.outputs.push_back(Output { text, turn: Some(active.amounts), serial });
        self.active = Some(active);
    }

    /// User audio is about 10 tokens a second, the assistant's 20.
    fn begin(&mut self, shared: &Shared, reply: &str, audio: bool) -> Active {
        let heard_ms = std::mem::take(&mut self.heard_bytes) / self.bytes_per_ms();
        let spoken_ms = if audio { DELTA_MS * u64::try_from(REPLY_DELTAS).unwrap_or(0) } else { 0 };
        let text_tokens_out = words(reply) + 1;
        Active {
            id: format!("resp_{}", shared.next_serial()),
            item: self.next_item(),
            amounts: Amounts {
                audio_in_ms: heard_ms,
                audio_out_ms: spoken_ms,
                tokens_in: 12 + heard_ms.div_ceil(100),
                tokens_out: text_tokens_out + spoken_ms / 50,
                ..Amounts::default()
            },
            text_tokens_out,
            audio,
        }
    }

    fn response(&self, active: &Active, status: &str, details: Value) -> Value {
        let amounts = &active.amounts;
        let usage = json!({
            "total_tokens": amounts.tokens_in + amounts.tokens_out, "input_tokens": amounts.tokens_in,
            "output_tokens": amounts.tokens_out,
            "input_token_details": {"text_tokens": 12, "audio_tokens": amounts.tokens_in - 12, "image_tokens": 0,
                "cached_tokens": 0,
                "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}},
            "output_token_details": {"text_tokens": active.text_tokens_out,
                "audio_tokens": amounts.tokens_out - active.text_tokens_out},
        });
        let done = status != "in_progress";
        let modality = if active.audio { "audio" } else { "text" };
        json!({"id": active.id, "object": "realtime.response", "status": status, "status_details": details,
               "output": [], "conversation_id": "conv_1", "output_modalities": [modality],
               "max_output_tokens": "inf", "audio": {"output": self.config["audio"]["output"]}, "metadata": null,
               "usage": if done { usage } else { Value::Null }})
    }

    /// The item of a reply, from `output_item.added` to `conversation.item.done`.
    fn say(&mut self, shared: &Shared, response: &str, item: &str, reply: &str, audio: bool) {
        let before = std::mem::replace(&mut self.last_item, json!(item));
        let message = |status: &str, content: Value| {
            json!({"id": item, "object": "realtime.item", "type": "message", "status": status, "role": "assistant",
                   "content": content})
        };
        let place = |extra: Value| {
            let mut fields = json!({"response_id": response, "item_id": item, "output_index": 0, "content_index": 0});
            merge(&mut fields, &extra);
            fields
        };
        let part = |text: &str| {
            if audio { json!({"type": "audio", "transcript": text}) } else { json!({"type": "text", "text": text}) }
        };
        let added = json!({"response_id": response, "output_index": 0, "item": message("in_progress", json!([]))});
        self.push(event(shared, "response.output_item.added", added));
        let joined = json!({"previous_item_id": before, "item": message("in_progress", json!([]))});
        self.push(event(shared, "conversation.item.added", joined));
        self.push(event(shared, "response.content_part.added", place(json!({"part": part("")}))));
        let words_kind = if audio { "response.output_audio_transcript" } else { "response.output_text" };
        for piece in reply.split_inclusive(' ') {
            self.push(event(shared, &format!("{words_kind}.delta"), place(json!({"delta": piece}))));
        }
        if audio {
            let delta = self.reply_audio();
            for _ in 0..REPLY_DELTAS {
                self.push(event(shared, "response.output_audio.delta", place(json!({"delta": delta}))));
            }
            self.push(event(shared, "response.output_audio.done", place(json!({}))));
        }
        let name = if audio { "transcript" } else { "text" };
        self.push(event(shared, &format!("{words_kind}.done"), place(json!({name: reply}))));
        self.push(event(shared, "response.content_part.done", place(json!({"part": part(reply)}))));
        let kind = if audio { "output_audio" } else { "output_text" };
        let whole = message("completed", json!([{"type": kind, name: reply}]));
        let done = json!({"response_id": response, "output_index": 0, "item": whole});
        self.push(event(shared, "response.output_item.done", done));
        self.push(event(shared, "conversation.item.done", json!({"previous_item_id": before, "item": whole})));
    }

    fn reply_audio(&self) -> String {
        let per_ms = if self.config["audio"]["output"]["format"]["type"] == "audio/pcm" { 48 } else { 8 };
        STANDARD.encode(vec![0x11_u8; usize::try_from(DELTA_MS * per_ms).unwrap_or(0)])
    }

    fn cancel(&mut self, shared: &Shared, event_id: Option<&str>) {
        let Some(mut active) = self.active.take() else {
            let message = "Cancellation failed: no active response found";
            return self.push(error(shared, "response_cancel_not_active", message, None, event_id));
        };
        // What has not left yet is not said and not billed, as far as this upstream can tell: its audio.
        let unsent = self.outputs.iter().filter(|output| output.text.contains("response.output_audio.delta")).count();
        self.outputs.clear();
        let unsent_ms = u64::try_from(unsent).unwrap_or(0) * DELTA_MS;
        active.amounts.audio_out_ms = active.amounts.audio_out_ms.saturating_sub(unsent_ms);
        active.amounts.tokens_out = active.text_tokens_out + active.amounts.audio_out_ms / 50;
        let details = json!({"type": "cancelled", "reason": "client_cancelled"});
        let done = self.response(&active, "cancelled", details);
        let text = event(shared, "response.done", json!({"response": done}));
        self.outputs.push_back(Output { text, turn: Some(active.amounts), serial: None });
    }

    fn push(&mut self, text: String) {
        self.outputs.push_back(Output { text, turn: None, serial: None });
    }
}

fn words(text: &str) -> u64 {
    u64::try_from(text.split_whitespace().count()).unwrap_or(0)
}

/// `session.created`.
pub(super) fn created(shared: &Shared, session: &Session) -> String {
    event(shared, "session.created", json!({"session": session.config}))
}

/// Whether an event written here has this type.
pub(super) fn is(text: &str, kind: &str) -> bool {
    text.contains(&format!("\"type\":\"{kind}\""))
}

/// An event as a provider sends it that does not say what was used.
pub(super) fn without_usage(text: &str) -> String {
    let mut event: Value = serde_json::from_str(text).unwrap_or_default();
    for place in ["/usage", "/response/usage"] {
        if let Some(usage) = event.pointer_mut(place) {
            *usage = Value::Null;
        }
    }
    event.to_string()
}

/// An event of this type with an id of its own.
fn event(shared: &Shared, kind: &str, mut fields: Value) -> String {
    fields["type"] = json!(kind);
    fields["event_id"] = json!(format!("event_{}", shared.next_serial()));
    fields.to_string()
}

/// An `error` event.
pub(super) fn error(shared: &Shared, code: &str, message: &str, param: Option<&str>, event_id: Option<&str>) -> String {
    let error = json!({"type": "invalid_request_error", "code": code, "message": message, "param": param,
                       "event_id": event_id});
    event(shared, "error", json!({ "error": error }))
}

fn error_of(shared: &Shared, code: &str, message: &str) -> String {
    error(shared, code, message, None, None)
}

/// Absent keeps, null clears, objects merge.
fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (name, value) in change {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}
