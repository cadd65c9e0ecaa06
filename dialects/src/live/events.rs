//! What a client may say in a transcription session, and the errors it gets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// A client event that was understood.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// `session.update` with this session.
    Update(Map<String, Value>),
    /// Audio in the session's format.
    Append(Vec<u8>),
    /// What was appended is an item.
    Commit,
    /// What was appended is forgotten.
    Clear,
}

/// Why an event was refused, as its `error` event tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `error.code`.
    pub code: &'static str,
    /// `error.message`.
    pub message: String,
    /// `error.param`.
    pub param: Option<&'static str>,
}

impl Refusal {
    /// A refusal of this field.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>, param: Option<&'static str>) -> Self {
        Self { code, message: message.into(), param }
    }

    /// A value that cannot be served.
    #[must_use]
    pub fn value(param: &'static str, message: impl Into<String>) -> Self {
        Self::new("invalid_value", message, Some(param))
    }
}

/// Reads a client event. Its `event_id` is told even where the event is refused.
pub fn read(text: &str) -> (Option<String>, Result<ClientEvent, Refusal>) {
    let Ok(Value::Object(event)) = serde_json::from_str(text) else {
        let refusal = Refusal::new("invalid_event", "The event is not a JSON object.", None);
        return (None, Err(refusal));
    };
    let id = event.get("event_id").and_then(Value::as_str).map(ToOwned::to_owned);
    (id, understand(event))
}

fn understand(mut event: Map<String, Value>) -> Result<ClientEvent, Refusal> {
    match event.get("type").and_then(Value::as_str) {
        Some("session.update") => match event.remove("session") {
            Some(Value::Object(session)) => Ok(ClientEvent::Update(session)),
            _ => Err(missing("session")),
        },
        Some("input_audio_buffer.append") => {
            let audio = event.get("audio").and_then(Value::as_str).ok_or_else(|| missing("audio"))?;
            let bytes =
                STANDARD.decode(audio).map_err(|_| Refusal::value("audio", "The audio is not valid base64."))?;
            Ok(ClientEvent::Append(bytes))
        }
        Some("input_audio_buffer.commit") => Ok(ClientEvent::Commit),
        Some("input_audio_buffer.clear") => Ok(ClientEvent::Clear),
        Some(other) => {
            let name: String = other.chars().take(64).collect();
            Err(Refusal::value("type", format!("A transcription session has no client event of the type '{name}'.")))
        }
        None => Err(missing("type")),
    }
}

/// A field that must be there and is not.
#[must_use]
pub fn missing(param: &'static str) -> Refusal {
    let message = format!("Missing required parameter: '{param}'.");
    Refusal::new("missing_required_parameter", message, Some(param))
}
