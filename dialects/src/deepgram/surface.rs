//! Deepgram's own paths: options travel in the query, audio is the body itself or binary messages.
//!
//! Source: Deepgram's `OpenAPI` and `AsyncAPI` documents, API reference and SDKs, read 2026-11-21.

use domain::provider::Operation;
use domain::usage::{Usage, UsageSource};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::agent;
use super::billing::asked_percent;
use crate::surface::{
    KeyPlace, Method, ModelAt, Place, Query, Recording, Refused, Route, SocketMeter, Surface, Token, Work, called,
    characters, seconds_to_ms, text_field,
};

/// Where the voice agent is served.
const AGENT: Option<&str> = Some(agent::HOST);
/// The model of a transcription that names none.
const DEFAULT_MODEL: &str = "base";
/// Shortest-lived token that is asked for without a number, and the longest.
const TOKEN_SECONDS: (u64, u64) = (30, 3600);

pub(crate) static SURFACE: Surface = Surface {
    prefix: "deepgram",
    in_base: "",
    openai_at: &[],
    keys: &[
        KeyPlace::Scheme("token"),
        KeyPlace::Scheme("bearer"),
        KeyPlace::Subprotocol("token"),
        KeyPlace::Subprotocol("bearer"),
    ],
    routes: ROUTES,
    headers: &["dg-"],
    characters_header: Some("dg-char-count"),
    key_fields: &[],
    error,
    event: Some(event),
    error_header: Some("dg-error"),
    priced_as,
};

const fn route(method: Method, path: &'static str, operation: Operation, model: ModelAt, work: Work) -> Route {
    Route { method, path, origin: None, operation, model, work }
}

const fn query(default: Option<&'static str>) -> ModelAt {
    ModelAt { place: Place::Query("model"), default }
}

const NO_MODEL: ModelAt = ModelAt { place: Place::Nowhere, default: None };

const RECORDING: Recording = Recording { reported: recorded, by_channel: "multichannel", billed };

const ROUTES: &[Route] = &[
    route(Method::Post, "/v1/listen", Operation::Transcription, query(Some(DEFAULT_MODEL)), Work::Recording(RECORDING)),
    route(Method::Post, "/v1/speak", Operation::Speech, query(Some("aura-asteria-en")), Work::Speech(text_field)),
    route(Method::Post, "/v2/speak", Operation::Speech, query(None), Work::Speech(text_field)),
    route(Method::Get, "/v1/models", Operation::Transcription, NO_MODEL, Work::Free),
    route(Method::Get, "/v1/models/{}", Operation::Transcription, NO_MODEL, Work::Free),
    Route {
        origin: AGENT,
        ..route(Method::Get, "/v1/agent/settings/think/models", Operation::Realtime, NO_MODEL, Work::Free)
    },
    route(
        Method::Post,
        "/v1/auth/grant",
        Operation::Transcription,
        NO_MODEL,
        Work::Token(Token { seconds: token_seconds, answer: token }),
    ),
    route(Method::Socket, "/v1/listen", Operation::Realtime, query(Some(DEFAULT_MODEL)), Work::Socket(heard)),
    route(Method::Socket, "/v2/listen", Operation::Realtime, query(None), Work::Socket(heard_flux)),
    route(Method::Socket, "/v1/speak", Operation::Speech, query(Some("aura-asteria-en")), Work::Socket(spoken)),
    route(Method::Socket, "/v2/speak", Operation::Speech, query(None), Work::Socket(spoken)),
    Route {
        origin: AGENT,
        ..route(
            Method::Socket,
            agent::PATH,
            Operation::Realtime,
            ModelAt { place: Place::Nowhere, default: Some(agent::MODEL) },
            Work::Socket(called),
        )
    },
];

fn token_seconds(body: &Map<String, Value>) -> u64 {
    let (shortest, longest) = TOKEN_SECONDS;
    body.get("ttl_seconds").and_then(Value::as_u64).map_or(shortest, |seconds| seconds.clamp(1, longest))
}

fn token(token: &str, seconds: u64) -> Value {
    json!({ "access_token": token, "expires_in": seconds })
}

fn error(refused: &Refused<'_>) -> Value {
    let code = match refused.status {
        401 => "INVALID_AUTH".to_owned(),
        403 => "INSUFFICIENT_PERMISSIONS".to_owned(),
        429 if refused.code == "rate_limit_exceeded" => "TOO_MANY_REQUESTS".to_owned(),
        _ => refused.code.to_ascii_uppercase(),
    };
    json!({ "err_code": code, "err_msg": refused.message, "request_id": refused.request_id })
}

fn event(refused: &Refused<'_>) -> Value {
    let code = refused.code.to_ascii_uppercase();
    json!({ "type": "Error", "code": code, "description": refused.message, "message": refused.message })
}

/// A voice is priced as its family, a variant as its model.
fn priced_as(model: &str) -> Option<&'static str> {
    const FAMILIES: &[(&str, &str)] = &[
        ("aura-2-", "aura-2"),
        ("aura-", "aura"),
        ("nova-3-general", "nova-3"),
        ("nova-2-", "nova-2"),
        ("enhanced", "enhanced"),
        ("base", "base"),
        ("whisper", "whisper"),
    ];
    FAMILIES.iter().find(|(start, _)| model.starts_with(start)).map(|(_, family)| *family)
}

#[derive(Deserialize)]
struct Answer {
    metadata: Option<Metadata>,
    results: Option<Results>,
}

#[derive(Deserialize)]
struct Metadata {
    duration: Option<f64>,
}

#[derive(Deserialize)]
struct Results {
    #[serde(default)]
    channels: Vec<serde::de::IgnoredAny>,
}

/// The length that an answer tells. With `multichannel` each channel has its own transcript and is billed.
fn recorded(body: &[u8]) -> Option<Usage> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let duration = answer.metadata?.duration?;
    let channels = answer.results.map_or(1, |results| results.channels.len().max(1)) as u64;
    Some(Usage { audio_in_ms: seconds_to_ms(duration).saturating_mul(channels), requests: 1, ..Usage::default() })
}

/// Add-ons are a part of the model's price.
fn billed(options: &Query, model: &str, length: Usage) -> Usage {
    Usage { surcharge_percent: asked_percent(options, model), ..length }
}

/// What was said into a socket: by its bytes where the query tells what they are, else by what the
/// vendor says that it has heard.
struct Heard {
    /// Bytes of a second of all channels; `None` for containers and codecs.
    bytes_per_second: Option<u64>,
    channels: u64,
    bytes: u64,
    /// The furthest point of the audio that a message told of.
    reported_ms: u64,
    surcharge_percent: u64,
}

fn heard(query: &Query) -> Box<dyn SocketMeter> {
    let surcharge_percent = asked_percent(query, query.get("model").unwrap_or(DEFAULT_MODEL));
    Box::new(Heard { surcharge_percent, ..listening(query) })
}

/// Flux has no add-ons that are billed.
fn heard_flux(query: &Query) -> Box<dyn SocketMeter> {
    Box::new(listening(query))
}

fn listening(query: &Query) -> Heard {
    let number = |name: &str| query.get(name).and_then(|value| value.parse::<u64>().ok());
    let channels = number("channels").unwrap_or(1).clamp(1, 64);
    let width = match query.get("encoding") {
        Some("linear16") => Some(2),
        Some("linear32") => Some(4),
        Some("mulaw" | "alaw") => Some(1),
        _ => None,
    };
    let rate = number("sample_rate").filter(|rate| *rate > 0);
    let bytes_per_second = width.zip(rate).map(|(width, rate)| rate.saturating_mul(width).saturating_mul(channels));
    let separate = query.get("multichannel") == Some("true");
    let channels = if separate { channels } else { 1 };
    Heard { bytes_per_second, channels, bytes: 0, reported_ms: 0, surcharge_percent: 0 }
}

#[derive(Deserialize)]
struct Told {
    start: Option<f64>,
    duration: Option<f64>,
    audio_window_end: Option<f64>,
}

impl SocketMeter for Heard {
    fn client_text(&mut self, _: &str) {}

    fn client_binary(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }

    fn vendor_text(&mut self, text: &str) {
        if self.bytes_per_second.is_some() {
            return;
        }
        let Ok(told) = serde_json::from_str::<Told>(text) else { return };
        let end = told.audio_window_end.or(told.duration.map(|duration| told.start.unwrap_or(0.0) + duration));
        self.reported_ms = self.reported_ms.max(seconds_to_ms(end.unwrap_or(0.0)));
    }

    fn usage(&self, connected_ms: u64) -> (Usage, UsageSource) {
        let (length, source) = match self.bytes_per_second {
            Some(rate) => (self.bytes.saturating_mul(1000) / rate, UsageSource::Measured),
            None if self.reported_ms > 0 => (self.reported_ms, UsageSource::Reported),
            // Nothing was said of what was sent: at most as much as time has passed.
            None if self.bytes > 0 => (connected_ms, UsageSource::Estimated),
            None => (0, UsageSource::Measured),
        };
        let (audio_in_ms, surcharge_percent) = (length.saturating_mul(self.channels), self.surcharge_percent);
        (Usage { audio_in_ms, requests: 1, surcharge_percent, ..Usage::default() }, source)
    }
}

/// Characters that a socket was given to speak.
#[derive(Default)]
struct Spoken {
    characters: u64,
    reported: Option<u64>,
}

fn spoken(_: &Query) -> Box<dyn SocketMeter> {
    Box::new(Spoken::default())
}

#[derive(Deserialize)]
struct Speak<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    text: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Deserialize)]
struct SessionMetadata {
    total_billable_character_count: Option<u64>,
}

impl SocketMeter for Spoken {
    fn client_text(&mut self, text: &str) {
        if let Ok(Speak { kind, text: Some(text) }) = serde_json::from_str(text)
            && kind == "Speak"
        {
            self.characters = self.characters.saturating_add(characters(&text));
        }
    }

    fn client_binary(&mut self, _: &[u8]) {}

    fn vendor_text(&mut self, text: &str) {
        if text.contains("total_billable_character_count")
            && let Ok(metadata) = serde_json::from_str::<SessionMetadata>(text)
        {
            self.reported = metadata.total_billable_character_count.or(self.reported);
        }
    }

    fn usage(&self, _: u64) -> (Usage, UsageSource) {
        let usage = |characters| Usage { characters, requests: 1, ..Usage::default() };
        match self.reported {
            Some(characters) => (usage(characters), UsageSource::Reported),
            None => (usage(self.characters), UsageSource::Measured),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Query {
        Query(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_recording_is_as_long_as_the_answer_says_for_each_channel_with_a_transcript() {
        let answer = br#"{"metadata":{"duration":12.34,"channels":2},"results":{"channels":[{},{}]}}"#;
        assert_eq!(recorded(answer).unwrap().audio_in_ms, 24_680);
        let mixed = br#"{"metadata":{"duration":12.34,"channels":2},"results":{"channels":[{}]}}"#;
        assert_eq!(recorded(mixed).unwrap().audio_in_ms, 12_340);
        assert_eq!(recorded(br#"{"request_id":"x"}"#), None);
    }

    #[test]
    fn raw_audio_is_counted_and_a_container_is_what_the_vendor_heard() {
        let mut raw = heard(&of(&[("encoding", "linear16"), ("sample_rate", "16000")]));
        raw.client_binary(&[0; 32_000]);
        raw.vendor_text(r#"{"type":"Results","start":0,"duration":9}"#);
        assert_eq!((raw.usage(5).0.audio_in_ms, raw.usage(5).1), (1000, UsageSource::Measured));
        let mut container = heard(&of(&[]));
        assert_eq!(container.usage(700).0.audio_in_ms, 0, "nothing was sent");
        container.client_binary(&[0; 10]);
        assert_eq!((container.usage(700).0.audio_in_ms, container.usage(700).1), (700, UsageSource::Estimated));
        container.vendor_text(r#"{"type":"Results","start":5.99,"duration":1.98,"channel":{}}"#);
        container.vendor_text(r#"{"type":"Results","start":5.99,"duration":1.0}"#);
        assert_eq!((container.usage(700).0.audio_in_ms, container.usage(700).1), (7970, UsageSource::Reported));
        let stereo = [("encoding", "mulaw"), ("sample_rate", "8000"), ("channels", "2"), ("multichannel", "true")];
        let mut stereo = heard(&of(&stereo));
        stereo.client_binary(&[0; 16_000]);
        assert_eq!(stereo.usage(0).0.audio_in_ms, 2000, "a second of two channels");
    }

    #[test]
    fn add_ons_are_a_part_of_the_price() {
        let second = Usage { audio_in_ms: 1000, ..Usage::default() };
        let asked =
            [("diarize", "true"), ("keyterm", "a"), ("keyterm", "b"), ("redact", "false"), ("language", "multi")];
        assert_eq!(billed(&of(&asked), "nova-3", second).surcharge_percent, 4800_u64.div_ceil(77));
        assert_eq!(billed(&of(&[("keyterm", "a"), ("smart_format", "true")]), "nova-2", second), second);
        let live = heard(&of(&[("model", "nova-3"), ("detect_entities", "true")]));
        assert_eq!(live.usage(0).0.surcharge_percent, 1700_u64.div_ceil(77));
    }

    #[test]
    fn only_what_is_to_be_spoken_is_counted() {
        let mut socket = spoken(&of(&[]));
        socket.client_text(r#"{"type":"Speak","text":"Grüße 👋"}"#);
        socket.client_text(r#"{"type":"Flush"}"#);
        socket.client_text("not JSON");
        assert_eq!(socket.usage(0), (Usage { characters: 7, requests: 1, ..Usage::default() }, UsageSource::Measured));
        socket.vendor_text(r#"{"type":"SessionMetadata","total_billable_character_count":9}"#);
        assert_eq!((socket.usage(0).0.characters, socket.usage(0).1), (9, UsageSource::Reported));
    }

    #[test]
    fn a_voice_is_priced_as_its_family() {
        assert_eq!(priced_as("aura-2-thalia-en"), Some("aura-2"));
        assert_eq!(priced_as("aura-asteria-en"), Some("aura"));
        assert_eq!(priced_as("nova-3"), None);
    }
}
