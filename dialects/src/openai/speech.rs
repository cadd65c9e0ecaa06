//! Speech: the request, and the way between raw audio and audio in events.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::speech::{SpeechRequest, StreamFormat};
use domain::usage::Usage;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::usage;
use crate::contract::{
    Endpoint, JsonRequest, SpeechAnswer, SpeechAudio, SpeechDialect, SpeechPart, SpeechPlan, UpstreamModel,
};
use crate::error::DialectError;
use crate::sse::{Splitter, write_event};

/// Characters of `input` and of `instructions`. Source: OpenAI's API reference, read 2026-11-21.
pub const MAX_INPUT_CHARS: usize = 4096;

/// Speech as OpenAI takes it. Models billed by tokens tell their usage in server-sent events only, so
/// those are asked for; `tts-1` and `tts-1-hd` cannot send events and are asked for plain audio.
#[derive(Debug)]
pub struct OpenaiSpeech;

impl SpeechDialect for OpenaiSpeech {
    fn request(&self, request: &SpeechRequest, model: &UpstreamModel) -> Result<SpeechPlan, DialectError> {
        validate(request)?;
        let by_tokens = model.model.starts_with("gpt-4o-mini-tts");
        plan(request, model, if by_tokens { SpeechAnswer::Events } else { SpeechAnswer::Audio })
    }
}

/// Refuses what no provider of this language takes.
///
/// # Errors
/// [`DialectError::Invalid`] names the field.
pub fn validate(request: &SpeechRequest) -> Result<(), DialectError> {
    if request.input.is_empty() {
        return Err(invalid("input", "`input` must not be empty".to_owned()));
    }
    too_long("input", &request.input)?;
    too_long("instructions", request.instructions.as_deref().unwrap_or_default())?;
    if request.voice.as_str().is_empty() {
        return Err(invalid("voice", "`voice` must not be empty".to_owned()));
    }
    match request.speed {
        Some(speed) if !(0.25..=4.0).contains(&speed) => {
            Err(invalid("speed", format!("`speed` must be from 0.25 to 4.0, not {speed}")))
        }
        _ => Ok(()),
    }
}

fn too_long(param: &'static str, text: &str) -> Result<(), DialectError> {
    let length = text.chars().count();
    if length <= MAX_INPUT_CHARS {
        return Ok(());
    }
    Err(invalid(param, format!("`{param}` may have at most {MAX_INPUT_CHARS} characters, not {length}")))
}

fn invalid(param: &'static str, message: String) -> DialectError {
    DialectError::Invalid { param, message }
}

/// The body with the fields of OpenAI's reference and no others.
///
/// # Errors
/// [`DialectError::Invalid`] when a value cannot be written as JSON.
pub fn plan(asked: &SpeechRequest, model: &UpstreamModel, answer: SpeechAnswer) -> Result<SpeechPlan, DialectError> {
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(model.wire_name));
    body.insert("input".to_owned(), json!(asked.input));
    body.insert("voice".to_owned(), json!(asked.voice));
    if let Some(instructions) = &asked.instructions {
        body.insert("instructions".to_owned(), json!(instructions));
    }
    if let Some(format) = asked.response_format {
        body.insert("response_format".to_owned(), json!(format));
    }
    if let Some(speed) = asked.speed {
        body.insert("speed".to_owned(), json!(speed));
    }
    if answer == SpeechAnswer::Events {
        body.insert("stream_format".to_owned(), json!("sse"));
    }
    let body = serde_json::to_vec(&body).map_err(|error| invalid("body", error.to_string()))?;
    let request = JsonRequest { endpoint: Endpoint::at("/audio/speech"), body };
    let part = SpeechPart { request, characters: asked.characters() };
    Ok(SpeechPlan { parts: vec![part], answer, audio: SpeechAudio::AsAsked })
}

/// Turns speech as the provider delivers it into speech as the client wants it.
///
/// `delivery` is what the answer really is: a provider that was asked for events and answers with an
/// audio content type delivers [`StreamFormat::Audio`].
#[derive(Debug)]
pub struct SpeechTranscoder {
    delivery: StreamFormat,
    wanted: StreamFormat,
    splitter: Splitter,
    state: EventState,
    carry: Vec<u8>,
}

#[derive(Debug, Default)]
struct EventState {
    usage: Option<Usage>,
    done: bool,
}

#[derive(Deserialize)]
struct SpeechEvent<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    audio: Option<Cow<'a, str>>,
    usage: Option<Value>,
    error: Option<Value>,
}

impl SpeechTranscoder {
    /// From what the provider delivers to what the client wants.
    #[must_use]
    pub fn new(delivery: StreamFormat, wanted: StreamFormat) -> Self {
        let (splitter, state) = (Splitter::default(), EventState::default());
        Self { delivery, wanted, splitter, state, carry: Vec::new() }
    }

    /// Takes the provider's next bytes and appends the client's to `out`.
    ///
    /// # Errors
    /// [`DialectError::Upstream`] when an event cannot be read or tells of a failure.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DialectError> {
        match (self.delivery, self.wanted) {
            (StreamFormat::Audio, StreamFormat::Audio) => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            (StreamFormat::Audio, StreamFormat::Sse) => {
                self.encode(bytes, out);
                Ok(())
            }
            (StreamFormat::Sse, wanted) => {
                let state = &mut self.state;
                self.splitter.feed(bytes, |event| state.take(event.data.as_deref(), event.raw, wanted, out))
            }
        }
    }

    /// Usage, once the provider has told it.
    #[must_use]
    pub fn reported(&self) -> Option<Usage> {
        self.state.usage
    }

    /// The provider's stream ended. `usage_for_sse` goes into the closing event where we write it
    /// ourselves; what the provider reported is returned.
    ///
    /// # Errors
    /// [`DialectError::Upstream`] when the provider's events ended without the closing one.
    pub fn finish(&mut self, usage_for_sse: &Usage, out: &mut Vec<u8>) -> Result<Option<Usage>, DialectError> {
        match (self.delivery, self.wanted) {
            (StreamFormat::Audio, StreamFormat::Audio) => Ok(None),
            (StreamFormat::Audio, StreamFormat::Sse) => {
                self.flush(out);
                write_event(out, done_event(usage_for_sse).as_bytes());
                Ok(None)
            }
            (StreamFormat::Sse, wanted) => {
                let state = &mut self.state;
                self.splitter.finish(|event| state.take(event.data.as_deref(), event.raw, wanted, out))?;
                if !self.state.done {
                    return Err(DialectError::Upstream("speech ended before `speech.audio.done`".to_owned()));
                }
                Ok(self.state.usage)
            }
        }
    }

    /// Base64 turns three bytes into four letters; what is left over waits for the next bytes, so that
    /// only the last event has padding and every event decodes for itself.
    fn encode(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.carry.extend_from_slice(bytes);
        let whole = self.carry.len() - self.carry.len() % 3;
        if whole > 0 {
            let ready: Vec<u8> = self.carry.drain(..whole).collect();
            write_delta(&ready, out);
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if !self.carry.is_empty() {
            write_delta(&std::mem::take(&mut self.carry), out);
        }
    }
}

impl EventState {
    fn take(
        &mut self,
        data: Option<&[u8]>,
        raw: &[u8],
        wanted: StreamFormat,
        out: &mut Vec<u8>,
    ) -> Result<(), DialectError> {
        if wanted == StreamFormat::Sse {
            out.extend_from_slice(raw);
        }
        let Some(data) = data else { return Ok(()) };
        if data == b"[DONE]" {
            return Ok(());
        }
        let event: SpeechEvent<'_> = serde_json::from_slice(data)
            .map_err(|error| DialectError::Upstream(format!("a speech event is not JSON: {error}")))?;
        if let Some(error) = event.error.filter(|error| !error.is_null()) {
            let message = error.get("message").and_then(Value::as_str).unwrap_or("speech failed");
            return Err(DialectError::Upstream(super::errors::clean(message)));
        }
        if event.kind.as_deref() == Some("speech.audio.done") {
            self.done = true;
            self.usage = event.usage.as_ref().and_then(usage::speech).or(self.usage);
        }
        match event.audio {
            Some(audio) if wanted == StreamFormat::Audio => decode(&audio, out),
            _ => Ok(()),
        }
    }
}

fn decode(audio: &str, out: &mut Vec<u8>) -> Result<(), DialectError> {
    BASE64
        .decode_vec(audio, out)
        .map_err(|error| DialectError::Upstream(format!("a speech event is not base64: {error}")))
}

fn write_delta(audio: &[u8], out: &mut Vec<u8>) {
    let text = BASE64.encode(audio);
    let mut event = String::with_capacity(text.len() + 48);
    event.push_str(r#"{"type":"speech.audio.delta","audio":""#);
    event.push_str(&text);
    event.push_str(r#""}"#);
    write_event(out, event.as_bytes());
}

fn done_event(usage: &Usage) -> String {
    let (input, output) = (usage.text_tokens_in, usage.audio_tokens_out);
    let total = input.saturating_add(output);
    json!({
        "type": "speech.audio.done",
        "usage": { "input_tokens": input, "output_tokens": output, "total_tokens": total },
    })
    .to_string()
}
