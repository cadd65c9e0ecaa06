//! The older ("beta") shapes of the Realtime language, which `OpenAI` no longer serves: what a client says
//! in them is put into the present shapes, and what it is told is put back.
//!
//! Only names and places differ; what neither side knows passes as it is. Audio and text are not parsed.
//!
//! Source: `OpenAI`'s Realtime reference before and after general availability (the older shapes ended on
//! 2026-05-12), read 2026-11-21.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::openai::scan::{event_type, only_event_type};

/// The header by which a client asks for the older shapes, and its value.
pub const HEADER: (&str, &str) = ("openai-beta", "realtime=v1");
/// The subprotocol by which a browser does.
pub const SUBPROTOCOL: &str = "openai-beta.realtime-v1";

/// What a response was made with, where the client left it open.
const USUAL_TEMPERATURE: f64 = 0.8;

/// One client that speaks the older shapes.
#[derive(Debug)]
pub struct Beta {
    /// The present shapes have no temperature; an agent behind a translation may take one all the same.
    keeps_temperature: bool,
    /// As the client set it.
    temperature: f64,
    /// The session transcribes and does nothing else.
    transcription: bool,
}

/// Older and present names of an event of the provider.
const EVENTS: &[(&str, &str)] = &[
    ("response.text.delta", "response.output_text.delta"),
    ("response.text.done", "response.output_text.done"),
    ("response.audio.delta", "response.output_audio.delta"),
    ("response.audio.done", "response.output_audio.done"),
    ("response.audio_transcript.delta", "response.output_audio_transcript.delta"),
    ("response.audio_transcript.done", "response.output_audio_transcript.done"),
];

/// Older names of a session's fields, where they stand now, and what the value becomes.
const FIELDS: &[(&str, &[&str], Shape)] = &[
    ("modalities", &["output_modalities"], Shape::Modalities),
    ("voice", &["audio", "output", "voice"], Shape::Same),
    ("speed", &["audio", "output", "speed"], Shape::Same),
    ("input_audio_format", &["audio", "input", "format"], Shape::Format),
    ("output_audio_format", &["audio", "output", "format"], Shape::Format),
    ("input_audio_transcription", &["audio", "input", "transcription"], Shape::Same),
    ("input_audio_noise_reduction", &["audio", "input", "noise_reduction"], Shape::Same),
    ("turn_detection", &["audio", "input", "turn_detection"], Shape::Same),
    ("max_response_output_tokens", &["max_output_tokens"], Shape::Same),
];

/// How a value is written in the two shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Same,
    Modalities,
    Format,
}

/// Older and present names of audio formats.
const FORMATS: &[(&str, &str)] = &[("pcm16", "audio/pcm"), ("g711_ulaw", "audio/pcmu"), ("g711_alaw", "audio/pcma")];

impl Beta {
    /// A client of a session. `keeps_temperature`: who answers it knows the older field.
    #[must_use]
    pub fn new(transcription: bool, keeps_temperature: bool) -> Self {
        Self { keeps_temperature, temperature: USUAL_TEMPERATURE, transcription }
    }

    /// An event of the client in the present shapes. What is no event passes, to be refused as such.
    #[must_use]
    pub fn client<'a>(&mut self, frame: &'a str) -> Cow<'a, str> {
        let Some(kind) = only_event_type(frame) else { return Cow::Borrowed(frame) };
        let translate: fn(&mut Self, &mut Map<String, Value>) = match &*kind {
            "session.update" => Self::update,
            "transcription_session.update" => Self::update_transcription,
            "response.create" => Self::create_response,
            "conversation.item.create" => |_, event| each(event.get_mut("item"), |item| contents(item, false)),
            _ => return Cow::Borrowed(frame),
        };
        // Numbers keep their digits only where they are not written anew; those of an event's settings are short.
        let Ok(Value::Object(mut event)) = serde_json::from_str(frame) else { return Cow::Borrowed(frame) };
        translate(self, &mut event);
        Cow::Owned(Value::Object(event).to_string())
    }

    /// An event for the client in the older shapes; `None` where they have none.
    #[must_use]
    pub fn server<'a>(&self, frame: &'a str) -> Option<Cow<'a, str>> {
        let Some(kind) = event_type(frame) else { return Some(Cow::Borrowed(frame)) };
        if let Some((older, _)) = EVENTS.iter().find(|(_, present)| *present == kind) {
            return Some(renamed(frame, &kind, older));
        }
        let translate: fn(&Self, &mut Map<String, Value>) = match &*kind {
            // It was told once, when the item came.
            "conversation.item.done" => return None,
            "conversation.item.added" => |_, event| {
                event.insert("type".to_owned(), "conversation.item.created".into());
                each(event.get_mut("item"), |item| contents(item, true));
            },
            "conversation.item.retrieved" | "response.output_item.added" | "response.output_item.done" => {
                |_, event| each(event.get_mut("item"), |item| contents(item, true))
            }
            "response.content_part.added" | "response.content_part.done" => {
                |_, event| each(event.get_mut("part"), |part| content(part, true))
            }
            "session.created" | "session.updated" => Self::told_session,
            "response.created" | "response.done" => Self::told_response,
            "error" => |_, event| each(event.get_mut("error"), parameter),
            _ => return Some(Cow::Borrowed(frame)),
        };
        let Ok(Value::Object(mut event)) = serde_json::from_str(frame) else { return Some(Cow::Borrowed(frame)) };
        translate(self, &mut event);
        Some(Cow::Owned(Value::Object(event).to_string()))
    }

    fn update(&mut self, event: &mut Map<String, Value>) {
        let kind = if self.transcription { "transcription" } else { "realtime" };
        self.configured(event, kind);
    }

    fn update_transcription(&mut self, event: &mut Map<String, Value>) {
        event.insert("type".to_owned(), "session.update".into());
        self.configured(event, "transcription");
    }

    fn configured(&mut self, event: &mut Map<String, Value>, kind: &str) {
        let Some(Value::Object(session)) = event.get_mut("session") else { return };
        session.entry("type").or_insert_with(|| kind.into());
        self.raise(session);
    }

    fn create_response(&mut self, event: &mut Map<String, Value>) {
        let Some(Value::Object(response)) = event.get_mut("response") else { return };
        self.raise(response);
        for item in response.get_mut("input").and_then(Value::as_array_mut).into_iter().flatten() {
            contents(item, false);
        }
    }

    /// Moves what stands in older places to the present ones. Where both are given, the present one holds.
    fn raise(&mut self, fields: &mut Map<String, Value>) {
        if !self.keeps_temperature
            && let Some(temperature) = fields.remove("temperature")
        {
            self.temperature = temperature.as_f64().unwrap_or(USUAL_TEMPERATURE);
        }
        for (older, present, kind) in FIELDS {
            if let Some(value) = fields.remove(*older) {
                put(fields, present, kind.raised(value));
            }
        }
    }

    /// Moves what stands in present places to the older ones.
    fn lower(&self, fields: &mut Map<String, Value>) {
        for (older, present, kind) in FIELDS {
            if let Some(value) = take(fields, present) {
                fields.insert((*older).to_owned(), kind.lowered(value));
            }
        }
        fields.remove("audio");
    }

    fn told_session(&self, event: &mut Map<String, Value>) {
        let Some(Value::Object(session)) = event.get_mut("session") else { return };
        let transcribes = session.remove("type").is_some_and(|kind| kind == "transcription");
        self.lower(session);
        if transcribes {
            let older =
                if event.get("type").is_some_and(|kind| kind == "session.created") { "created" } else { "updated" };
            event.insert("type".to_owned(), format!("transcription_session.{older}").into());
        } else {
            session.entry("temperature").or_insert_with(|| json!(self.temperature));
        }
    }

    fn told_response(&self, event: &mut Map<String, Value>) {
        let Some(Value::Object(response)) = event.get_mut("response") else { return };
        // A response has this field under its present name in both shapes.
        let most = response.remove("max_output_tokens");
        self.lower(response);
        response.extend(most.map(|most| ("max_output_tokens".to_owned(), most)));
        response.entry("temperature").or_insert_with(|| json!(self.temperature));
        for item in response.get_mut("output").and_then(Value::as_array_mut).into_iter().flatten() {
            contents(item, true);
        }
    }
}

impl Shape {
    fn raised(self, value: Value) -> Value {
        match (self, &value) {
            (Self::Modalities, Value::Array(names)) if names.iter().any(|name| name == "audio") => json!(["audio"]),
            (Self::Format, Value::String(name)) => match FORMATS.iter().find(|(older, _)| older == name) {
                Some((_, "audio/pcm")) => json!({"type": "audio/pcm", "rate": 24_000}),
                Some((_, present)) => json!({"type": present}),
                None => value,
            },
            _ => value,
        }
    }

    fn lowered(self, value: Value) -> Value {
        match self {
            Self::Modalities if value == json!(["audio"]) => json!(["text", "audio"]),
            Self::Format => {
                let kind = value.get("type").and_then(Value::as_str);
                let known = FORMATS.iter().find(|(_, present)| Some(*present) == kind);
                known.map_or(value, |(older, _)| (*older).into())
            }
            _ => value,
        }
    }
}

/// The frame with another name of its event. Nearly all frames are such, so nothing is parsed.
fn renamed<'a>(frame: &'a str, kind: &str, older: &str) -> Cow<'a, str> {
    // Where the name stands in the frame; one that was written in escapes stands elsewhere.
    let at = (kind.as_ptr() as usize).wrapping_sub(frame.as_ptr() as usize);
    if let (Some(before), Some(after)) = (frame.get(..at), frame.get(at.wrapping_add(kind.len())..)) {
        return Cow::Owned([before, older, after].concat());
    }
    let Ok(Value::Object(mut event)) = serde_json::from_str(frame) else { return Cow::Borrowed(frame) };
    event.insert("type".to_owned(), older.into());
    Cow::Owned(Value::Object(event).to_string())
}

fn each(value: Option<&mut Value>, change: impl FnOnce(&mut Value)) {
    if let Some(value) = value {
        change(value);
    }
}

/// Names of the parts of an item. Those of the user and the system never changed.
fn contents(item: &mut Value, older: bool) {
    if item.get("role").is_none_or(|role| role != "assistant") {
        return;
    }
    for part in item.get_mut("content").and_then(Value::as_array_mut).into_iter().flatten() {
        content(part, older);
    }
}

fn content(part: &mut Value, older: bool) {
    const NAMES: &[(&str, &str)] = &[("text", "output_text"), ("audio", "output_audio")];
    let Some(kind) = part.get_mut("type") else { return };
    let name = NAMES.iter().find_map(|(before, now)| {
        let (from, to) = if older { (now, before) } else { (before, now) };
        (*kind == **from).then_some(*to)
    });
    if let Some(name) = name {
        *kind = name.into();
    }
}

/// An error names a field where the client knows it.
fn parameter(error: &mut Value) {
    let Some(param) = error.get_mut("param") else { return };
    let Some(named) = param.as_str() else { return };
    for (older, present, _) in FIELDS {
        let place = present.join(".");
        for whole in ["session", "response"] {
            let Some(rest) = named.strip_prefix(&format!("{whole}.{place}")) else { continue };
            if rest.is_empty() || rest.starts_with('.') {
                *param = format!("{whole}.{older}{rest}").into();
                return;
            }
        }
    }
}

/// Puts a value at a place, unless there is one.
fn put(fields: &mut Map<String, Value>, place: &[&str], value: Value) {
    let Some((last, way)) = place.split_last() else { return };
    let mut here = fields;
    for name in way {
        let next = here.entry(*name).or_insert_with(|| json!({}));
        let Value::Object(next) = next else { return };
        here = next;
    }
    here.entry(*last).or_insert(value);
}

/// Takes a value from a place.
fn take(fields: &mut Map<String, Value>, place: &[&str]) -> Option<Value> {
    let (last, way) = place.split_last()?;
    let mut here = fields;
    for name in way {
        here = here.get_mut(*name)?.as_object_mut()?;
    }
    here.remove(*last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(event: &Value) -> Value {
        serde_json::from_str(&Beta::new(false, false).client(&event.to_string())).unwrap()
    }

    fn server(event: &Value) -> Option<Value> {
        Some(serde_json::from_str(&Beta::new(false, false).server(&event.to_string())?).unwrap())
    }

    #[test]
    fn a_flat_session_finds_its_places() {
        let flat = json!({"type": "session.update", "event_id": "e1", "session": {
            "modalities": ["text", "audio"], "instructions": "Be brief.", "voice": "alloy", "speed": 1.1,
            "input_audio_format": "g711_ulaw", "output_audio_format": "pcm16",
            "input_audio_transcription": {"model": "whisper-1"}, "turn_detection": null, "temperature": 0.7,
            "input_audio_noise_reduction": {"type": "near_field"}, "max_response_output_tokens": "inf",
            "tools": [{"type": "function", "name": "f"}], "tool_choice": "auto",
        }});
        assert_eq!(
            client(&flat),
            json!({"type": "session.update", "event_id": "e1", "session": {
                "type": "realtime", "output_modalities": ["audio"], "instructions": "Be brief.",
                "audio": {
                    "input": {"format": {"type": "audio/pcmu"}, "transcription": {"model": "whisper-1"},
                        "turn_detection": null, "noise_reduction": {"type": "near_field"}},
                    "output": {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "alloy", "speed": 1.1},
                },
                "max_output_tokens": "inf", "tools": [{"type": "function", "name": "f"}], "tool_choice": "auto",
            }}),
        );
    }

    #[test]
    fn a_present_session_passes_and_holds_against_an_older_field() {
        let both = json!({"type": "session.update", "session": {
            "type": "realtime", "voice": "ash", "audio": {"output": {"voice": "cedar"}},
        }});
        let raised = client(&both);
        assert_eq!(raised["session"], json!({"type": "realtime", "audio": {"output": {"voice": "cedar"}}}));
    }

    #[test]
    fn a_temperature_goes_where_it_is_known_and_is_told_again() {
        let update = json!({"type": "session.update", "session": {"temperature": 0.6}}).to_string();
        let mut passing = Beta::new(false, false);
        let told: Value = serde_json::from_str(&passing.client(&update)).unwrap();
        assert_eq!(told, json!({"type": "session.update", "session": {"type": "realtime"}}));
        let told = passing.server(r#"{"type":"session.updated","session":{"type":"realtime"}}"#).unwrap();
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told, json!({"type": "session.updated", "session": {"temperature": 0.6}}));
        let kept: Value = serde_json::from_str(&Beta::new(false, true).client(&update)).unwrap();
        assert_eq!(kept["session"]["temperature"], 0.6);
    }

    #[test]
    fn a_transcription_session_has_events_of_its_own() {
        let mut beta = Beta::new(true, false);
        let update = json!({"type": "transcription_session.update", "session": {
            "input_audio_format": "pcm16", "input_audio_transcription": {"model": "whisper-1"},
        }});
        let raised: Value = serde_json::from_str(&beta.client(&update.to_string())).unwrap();
        assert_eq!(
            raised,
            json!({"type": "session.update", "session": {"type": "transcription", "audio": {"input": {
                "format": {"type": "audio/pcm", "rate": 24_000}, "transcription": {"model": "whisper-1"},
            }}}}),
        );
        let told = json!({"type": "session.updated", "session": {"type": "transcription", "id": "sess_1", "audio": {
            "input": {"format": {"type": "audio/pcma"}, "turn_detection": {"type": "server_vad"}},
        }}});
        let lowered: Value = serde_json::from_str(&beta.server(&told.to_string()).unwrap()).unwrap();
        assert_eq!(
            lowered,
            json!({"type": "transcription_session.updated", "session": {
                "id": "sess_1", "input_audio_format": "g711_alaw", "turn_detection": {"type": "server_vad"},
            }}),
        );
    }

    #[test]
    fn responses_are_asked_and_told_in_older_words() {
        let create = json!({"type": "response.create", "response": {
            "modalities": ["text"], "voice": "verse", "output_audio_format": "g711_alaw",
            "input": [{"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]}],
        }});
        assert_eq!(
            client(&create)["response"],
            json!({"output_modalities": ["text"],
                "audio": {"output": {"voice": "verse", "format": {"type": "audio/pcma"}}},
                "input": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}]}),
        );
        let done = json!({"type": "response.done", "response": {
            "id": "resp_1", "output_modalities": ["audio"], "max_output_tokens": 100, "status": "completed",
            "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "marin"}},
            "output": [{"type": "message", "role": "assistant",
                "content": [{"type": "output_audio", "transcript": "Hi"}]}],
            "usage": {"total_tokens": 3},
        }});
        assert_eq!(
            server(&done).unwrap()["response"],
            json!({"id": "resp_1", "modalities": ["text", "audio"], "max_output_tokens": 100, "status": "completed",
                "output_audio_format": "pcm16", "voice": "marin", "temperature": 0.8,
                "output": [{"type": "message", "role": "assistant", "content": [{"type": "audio", "transcript": "Hi"}]}],
                "usage": {"total_tokens": 3}}),
        );
    }

    #[test]
    fn an_item_is_told_once() {
        let item = json!({"id": "item_1", "type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi"}]});
        let added = json!({"type": "conversation.item.added", "previous_item_id": null, "item": item});
        let told = server(&added).unwrap();
        assert_eq!(told["type"], "conversation.item.created");
        assert_eq!(told["item"]["content"][0]["type"], "text");
        assert_eq!(server(&json!({"type": "conversation.item.done", "item": item})), None);
    }

    #[test]
    fn the_name_alone_changes_in_a_delta() {
        let beta = Beta::new(false, false);
        let delta = r#"{ "delta":"\"response.output_audio.delta\"", "type" : "response.output_audio.delta","n":1.50}"#;
        let older = r#"{ "delta":"\"response.output_audio.delta\"", "type" : "response.audio.delta","n":1.50}"#;
        assert_eq!(beta.server(delta).unwrap(), older);
        let escaped = r#"{"type":"response.output\u005ftext.delta","delta":"x"}"#;
        let told: Value = serde_json::from_str(&beta.server(escaped).unwrap()).unwrap();
        assert_eq!(told, json!({"type": "response.text.delta", "delta": "x"}));
        assert_eq!(beta.server(r#"{"type":"rate_limits.updated"}"#).unwrap(), r#"{"type":"rate_limits.updated"}"#);
        assert_eq!(beta.server("no event").unwrap(), "no event");
    }

    #[test]
    fn an_error_names_the_field_that_the_client_gave() {
        let error = |param: &str| json!({"type": "error", "error": {"param": param}});
        let told = |param: &str| server(&error(param)).unwrap()["error"]["param"].clone();
        assert_eq!(told("session.audio.input.turn_detection.threshold"), "session.turn_detection.threshold");
        assert_eq!(told("response.audio.output.voice"), "response.voice");
        assert_eq!(told("session.audio.output.voices"), "session.audio.output.voices", "another field");
        assert_eq!(server(&json!({"type": "error", "error": {"param": null}})).unwrap()["error"]["param"], Value::Null);
    }

    #[test]
    fn what_the_client_says_and_hears_is_the_same_session() {
        let flat = json!({"modalities": ["text", "audio"], "voice": "alloy", "input_audio_format": "pcm16",
            "output_audio_format": "g711_ulaw", "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
            "max_response_output_tokens": 7, "temperature": 0.9, "instructions": "x"});
        let mut beta = Beta::new(false, true);
        let raised = beta.client(&json!({"type": "session.update", "session": flat}).to_string()).into_owned();
        let told = raised.replace("session.update", "session.updated");
        let lowered: Value = serde_json::from_str(&beta.server(&told).unwrap()).unwrap();
        assert_eq!(lowered["session"], flat);
    }
}
