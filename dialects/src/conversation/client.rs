//! What a client may say in a conversation.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::live::events::{Refusal, missing};

/// The types of events that are understood.
const KNOWN: &str = "'session.update', 'input_audio_buffer.append', 'input_audio_buffer.commit', \
                     'input_audio_buffer.clear', 'conversation.item.create', 'conversation.item.retrieve', \
                     'conversation.item.delete', 'conversation.item.truncate', 'response.create' and \
                     'response.cancel'";

/// A client event that was understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    Update(Map<String, Value>),
    Append(Vec<u8>),
    Commit,
    Clear,
    Create { item: Map<String, Value>, previous: Option<String> },
    Retrieve(String),
    Delete(String),
    Truncate { item: String, content_index: u64, audio_end_ms: u64 },
    Respond(Map<String, Value>),
    Cancel(Option<String>),
}

/// What most events are, read without a tree of values.
#[derive(Deserialize)]
struct Append<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    event_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    audio: Option<Cow<'a, str>>,
}

/// Reads a client event. Its `event_id` is told even where the event is refused.
pub(super) fn read(text: &str) -> (Option<String>, Result<Event, Refusal>) {
    if let Ok(append) = serde_json::from_str::<Append<'_>>(text)
        && append.kind == "input_audio_buffer.append"
        && let Some(audio) = append.audio
    {
        return (append.event_id.map(Cow::into_owned), decode(&audio).map(Event::Append));
    }
    let Ok(Value::Object(event)) = serde_json::from_str(text) else {
        let refusal = Refusal::new("invalid_event", "The event is not a JSON object.", None);
        return (None, Err(refusal));
    };
    let id = event.get("event_id").and_then(Value::as_str).map(|id| id.chars().take(512).collect());
    (id, understand(event))
}

fn understand(mut event: Map<String, Value>) -> Result<Event, Refusal> {
    let kind = event.get("type").and_then(Value::as_str).ok_or_else(|| missing("type"))?;
    match kind {
        "session.update" => Ok(Event::Update(object(&mut event, "session")?)),
        "input_audio_buffer.append" => {
            let audio = event.get("audio").and_then(Value::as_str).ok_or_else(|| missing("audio"))?;
            Ok(Event::Append(decode(audio)?))
        }
        "input_audio_buffer.commit" => Ok(Event::Commit),
        "input_audio_buffer.clear" => Ok(Event::Clear),
        "conversation.item.create" => {
            let item = object(&mut event, "item")?;
            Ok(Event::Create { item, previous: optional(&event, "previous_item_id")? })
        }
        "conversation.item.retrieve" => Ok(Event::Retrieve(name(&event)?)),
        "conversation.item.delete" => Ok(Event::Delete(name(&event)?)),
        "conversation.item.truncate" => Ok(Event::Truncate {
            item: name(&event)?,
            content_index: number(&event, "content_index")?,
            audio_end_ms: number(&event, "audio_end_ms")?,
        }),
        "response.create" => match event.remove("response") {
            None | Some(Value::Null) => Ok(Event::Respond(Map::new())),
            Some(Value::Object(response)) => Ok(Event::Respond(response)),
            Some(_) => Err(Refusal::value("response", "'response' must be an object.")),
        },
        "response.cancel" => Ok(Event::Cancel(optional(&event, "response_id")?)),
        "output_audio_buffer.clear" => {
            let message = "'output_audio_buffer.clear' is for WebRTC: on a WebSocket the client holds the audio.";
            Err(Refusal::value("type", message))
        }
        other => {
            let name: String = other.chars().take(64).collect();
            Err(Refusal::value("type", format!("Invalid value: '{name}'. Supported values are: {KNOWN}.")))
        }
    }
}

/// Audio in base64.
pub(super) fn decode(audio: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD.decode(audio).map_err(|_| Refusal::value("audio", "The audio is not valid base64."))
}

fn object(event: &mut Map<String, Value>, field: &'static str) -> Result<Map<String, Value>, Refusal> {
    match event.remove(field) {
        Some(Value::Object(object)) => Ok(object),
        None | Some(Value::Null) => Err(missing(field)),
        Some(_) => Err(Refusal::value(field, format!("'{field}' must be an object."))),
    }
}

fn name(event: &Map<String, Value>) -> Result<String, Refusal> {
    optional(event, "item_id")?.ok_or_else(|| missing("item_id"))
}

fn optional(event: &Map<String, Value>, field: &'static str) -> Result<Option<String>, Refusal> {
    match event.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::value(field, format!("'{field}' must be a text."))),
    }
}

fn number(event: &Map<String, Value>, field: &'static str) -> Result<u64, Refusal> {
    let value = event.get(field).ok_or_else(|| missing(field))?;
    value.as_u64().ok_or_else(|| Refusal::value(field, format!("'{field}' must be a whole number of 0 or more.")))
}
