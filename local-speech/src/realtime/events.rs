//! The events of a transcription session: what a client may say and the errors it gets.

use audio::ActivitySettings;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::audio::{PCM_24K, RealtimeFormat};
use serde_json::{Map, Value, json};

/// The longest texts that a session keeps of its configuration, in bytes.
const MAX_NAME_BYTES: usize = 256;
const MAX_PROMPT_BYTES: usize = 4096;

/// A client event that was understood.
#[derive(Debug)]
pub(super) enum ClientEvent {
    Update(Map<String, Value>),
    Append(Vec<u8>),
    Commit,
    Clear,
}

/// Why an event was refused, as its `error` event tells it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) param: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(code: &'static str, message: impl Into<String>, param: Option<&'static str>) -> Self {
        Self { code, message: message.into(), param }
    }
}

/// Reads a client event. Its `event_id` is told even where the event is refused.
pub(super) fn read(text: &str) -> (Option<String>, Result<ClientEvent, Refusal>) {
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
            let bytes = STANDARD
                .decode(audio)
                .map_err(|_| Refusal::new("invalid_value", "The audio is not valid base64.", Some("audio")))?;
            Ok(ClientEvent::Append(bytes))
        }
        Some("input_audio_buffer.commit") => Ok(ClientEvent::Commit),
        Some("input_audio_buffer.clear") => Ok(ClientEvent::Clear),
        Some(other) => {
            let name: String = other.chars().take(64).collect();
            let message = format!("A transcription session has no client event of the type '{name}'.");
            Err(Refusal::new("invalid_value", message, Some("type")))
        }
        None => Err(missing("type")),
    }
}

fn missing(param: &'static str) -> Refusal {
    let message = format!("Missing required parameter: '{param}'.");
    Refusal::new("missing_required_parameter", message, Some(param))
}

/// What a session listens with, and the JSON that shows it.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) format: RealtimeFormat,
    pub(super) turns: Option<ActivitySettings>,
    transcription: Transcription,
    noise_reduction: Option<&'static str>,
}

/// What is shown of the transcription. The prompt has no effect here.
#[derive(Debug, Clone)]
struct Transcription {
    model: String,
    language: String,
    prompt: Option<String>,
}

impl Settings {
    pub(super) fn new(model: &str) -> Self {
        Self {
            format: RealtimeFormat::Pcm16(PCM_24K),
            turns: Some(ActivitySettings::default()),
            transcription: Transcription { model: model.to_owned(), language: "en".to_owned(), prompt: None },
            noise_reduction: None,
        }
    }

    /// Merges an update: what is absent stays, null clears.
    pub(super) fn merged(&self, session: &Map<String, Value>) -> Result<Self, Refusal> {
        match session.get("type").and_then(Value::as_str) {
            Some("transcription") => {}
            Some(_) => {
                let message = "This session is of the type 'transcription'.";
                return Err(Refusal::new("invalid_value", message, Some("session.type")));
            }
            None => return Err(missing("session.type")),
        }
        let mut next = self.clone();
        if session.get("include").is_some_and(|include| !is_nothing(include)) {
            let message = "The local provider has nothing to include beside the transcript.";
            return Err(Refusal::new("invalid_value", message, Some("session.include")));
        }
        let Some(input) = session.get("audio").and_then(|audio| audio.get("input")) else {
            return Ok(next);
        };
        if let Some(format) = input.get("format") {
            next.format = read_format(format)?;
        }
        if let Some(reduction) = input.get("noise_reduction") {
            next.noise_reduction = read_noise_reduction(reduction)?;
        }
        if let Some(Value::Object(transcription)) = input.get("transcription") {
            next.transcribe_with(transcription)?;
        }
        if let Some(turns) = input.get("turn_detection") {
            next.turns = read_turns(turns)?;
        }
        Ok(next)
    }

    fn transcribe_with(&mut self, wanted: &Map<String, Value>) -> Result<(), Refusal> {
        for (name, value) in wanted {
            match name.as_str() {
                "model" => {
                    if let Some(model) = read_text(value, "session.audio.input.transcription.model", MAX_NAME_BYTES)? {
                        self.transcription.model = model;
                    }
                }
                "language" => {
                    let language = read_text(value, LANGUAGE, MAX_NAME_BYTES)?;
                    self.transcription.language = known_language(language)?;
                }
                "prompt" => {
                    self.transcription.prompt =
                        read_text(value, "session.audio.input.transcription.prompt", MAX_PROMPT_BYTES)?;
                }
                unknown => {
                    let name: String = unknown.chars().take(64).collect();
                    let message = format!("The local provider has no 'session.audio.input.transcription.{name}'.");
                    let param = Some("session.audio.input.transcription");
                    return Err(Refusal::new("unknown_parameter", message, param));
                }
            }
        }
        Ok(())
    }

    /// The session as `session.created` and `session.updated` show it.
    pub(super) fn shown(&self, id: &str) -> Value {
        let format = match self.format {
            RealtimeFormat::Pcm16(rate) => json!({"type": "audio/pcm", "rate": rate.0}),
            RealtimeFormat::Pcmu => json!({"type": "audio/pcmu"}),
            RealtimeFormat::Pcma => json!({"type": "audio/pcma"}),
        };
        let turns = self.turns.map(|turns| {
            json!({
                "type": "server_vad", "threshold": turns.threshold,
                "prefix_padding_ms": turns.prefix_padding_ms,
                "silence_duration_ms": turns.silence_duration_ms,
            })
        });
        json!({
            "type": "transcription", "object": "realtime.transcription_session", "id": id,
            "include": null,
            "audio": {"input": {
                "format": format, "noise_reduction": self.noise_reduction.map(|kind| json!({"type": kind})),
                "transcription": self.transcription.shown(), "turn_detection": turns,
            }},
        })
    }
}

const LANGUAGE: &str = "session.audio.input.transcription.language";

impl Transcription {
    fn shown(&self) -> Value {
        let mut shown = json!({"model": self.model, "language": self.language});
        if let (Some(fields), Some(prompt)) = (shown.as_object_mut(), &self.prompt) {
            fields.insert("prompt".to_owned(), prompt.as_str().into());
        }
        shown
    }
}

/// A text of bounded length; null is none.
fn read_text(value: &Value, param: &'static str, most: usize) -> Result<Option<String>, Refusal> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.len() <= most => Ok(Some(text.clone())),
        _ => {
            let message = format!("'{param}' must be a text of at most {most} bytes.");
            Err(Refusal::new("invalid_value", message, Some(param)))
        }
    }
}

/// The one model there is knows US English only.
fn known_language(wanted: Option<String>) -> Result<String, Refusal> {
    let language = wanted.unwrap_or_else(|| "en".to_owned());
    if language != "en" && !language.starts_with("en-") {
        let message = "The local provider transcribes English ('en') only.";
        return Err(Refusal::new("invalid_value", message, Some(LANGUAGE)));
    }
    Ok(language)
}

fn is_nothing(include: &Value) -> bool {
    include.is_null() || include.as_array().is_some_and(Vec::is_empty)
}

/// Taken for clients that ask every provider for it; recognition here does without.
fn read_noise_reduction(reduction: &Value) -> Result<Option<&'static str>, Refusal> {
    match reduction.get("type").and_then(Value::as_str) {
        None if reduction.is_null() => Ok(None),
        Some("near_field") => Ok(Some("near_field")),
        Some("far_field") => Ok(Some("far_field")),
        _ => {
            let message = "Noise reduction is 'near_field', 'far_field', or null.";
            Err(Refusal::new("invalid_value", message, Some("session.audio.input.noise_reduction")))
        }
    }
}

fn read_format(format: &Value) -> Result<RealtimeFormat, Refusal> {
    match (format.get("type").and_then(Value::as_str), format.get("rate").and_then(Value::as_u64)) {
        (Some("audio/pcm"), Some(24_000)) => Ok(RealtimeFormat::Pcm16(PCM_24K)),
        (Some("audio/pcmu"), _) => Ok(RealtimeFormat::Pcmu),
        (Some("audio/pcma"), _) => Ok(RealtimeFormat::Pcma),
        _ => Err(Refusal::new(
            "invalid_value",
            "The format must be audio/pcm with the rate 24000, audio/pcmu or audio/pcma.",
            Some("session.audio.input.format"),
        )),
    }
}

fn read_turns(turns: &Value) -> Result<Option<ActivitySettings>, Refusal> {
    if turns.is_null() {
        return Ok(None);
    }
    let param = Some("session.audio.input.turn_detection");
    if turns.get("type").and_then(Value::as_str) != Some("server_vad") {
        let message = "The local provider detects turns by 'server_vad', or not at all with null.";
        return Err(Refusal::new("invalid_value", message, param));
    }
    let usual = ActivitySettings::default();
    let number = |name: &str, usual: f64, most: f64| match turns.get(name) {
        None | Some(Value::Null) => Ok(usual),
        Some(given) => given
            .as_f64()
            .filter(|n| (0.0..=most).contains(n))
            .ok_or_else(|| Refusal::new("invalid_value", format!("'{name}' must be from 0 to {most}."), param)),
    };
    Ok(Some(ActivitySettings {
        threshold: number("threshold", f64::from(usual.threshold), 1.0)? as f32,
        prefix_padding_ms: number("prefix_padding_ms", usual.prefix_padding_ms as f64, 5000.0)? as u64,
        silence_duration_ms: number("silence_duration_ms", usual.silence_duration_ms as f64, 10_000.0)? as u64,
    }))
}
