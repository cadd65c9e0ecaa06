//! `ElevenLabs`' own paths: the voice stands in the path, the model in the body, the form or the query.
//!
//! Source: `ElevenLabs`' `OpenAPI` and `AsyncAPI` documents, API reference and SDKs, read 2026-11-21.

use std::borrow::Cow;

use domain::provider::Operation;
use domain::usage::{Usage, UsageSource};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::transcription::{KEYTERMS_SURCHARGE, MANY_KEYTERMS, MANY_KEYTERMS_MS, SURCHARGES};
use crate::surface::{
    Address, KeyPlace, Method, ModelAt, Passage, Place, Query, Recording, Refused, Route, SocketMeter, Surface, Token,
    Work, called, characters, seconds_to_ms, text_field,
};

/// The model of a speech request that names none.
const DEFAULT_MODEL: &str = "eleven_multilingual_v2";
/// An edited transcript costs more, in percent, and so many milliseconds at least.
const EDIT_SURCHARGE: u64 = 30;
const EDIT_MS: u64 = 10_000;
/// Seconds for which a token is good.
const TOKEN_SECONDS: u64 = 900;

pub(crate) static SURFACE: Surface = Surface {
    prefix: "elevenlabs",
    in_base: "",
    openai_at: &[],
    keys: &[
        KeyPlace::Header("xi-api-key"),
        KeyPlace::Scheme("bearer"),
        KeyPlace::Query("token"),
        KeyPlace::Query("single_use_token"),
        KeyPlace::Query("authorization"),
    ],
    routes: ROUTES,
    headers: &[
        "request-id",
        "character-cost",
        "x-character-count",
        "history-item-id",
        "x-trace-id",
        "x-region",
        "tts-latency-seconds",
    ],
    characters_header: None,
    key_fields: &["xi_api_key", "authorization"],
    error,
    event: Some(event),
    error_header: None,
    priced_as,
};

const fn route(method: Method, path: &'static str, operation: Operation, model: ModelAt, work: Work) -> Route {
    Route { method, path, origin: None, operation, model, work }
}

const fn speech(path: &'static str) -> Route {
    let model = ModelAt { place: Place::Json("model_id"), default: Some(DEFAULT_MODEL) };
    route(Method::Post, path, Operation::Speech, model, Work::Speech(text_field))
}

const fn dialogue(path: &'static str) -> Route {
    let model = ModelAt { place: Place::Json("model_id"), default: Some("eleven_v3") };
    route(Method::Post, path, Operation::Speech, model, Work::Speech(dialogue_text))
}

const fn free(path: &'static str) -> Route {
    route(Method::Get, path, Operation::Speech, NO_MODEL, Work::Free)
}

const fn signed(path: &'static str) -> Route {
    let work = Work::Address(Address { field: "signed_url", check: |_| Ok(Passage::Whole), followed: None });
    route(Method::Get, path, Operation::Realtime, AGENT, work)
}

const fn socket(
    path: &'static str,
    operation: Operation,
    model: ModelAt,
    meter: fn(&Query) -> Box<dyn SocketMeter>,
) -> Route {
    route(Method::Socket, path, operation, model, Work::Socket(meter))
}

const fn query(name: &'static str, default: Option<&'static str>) -> ModelAt {
    ModelAt { place: Place::Query(name), default }
}

const NO_MODEL: ModelAt = ModelAt { place: Place::Nowhere, default: None };
/// An agent's id is its model.
const AGENT: ModelAt = query("agent_id", None);

const ROUTES: &[Route] = &[
    speech("/v1/text-to-speech/{}"),
    speech("/v1/text-to-speech/{}/stream"),
    speech("/v1/text-to-speech/{}/with-timestamps"),
    speech("/v1/text-to-speech/{}/stream/with-timestamps"),
    dialogue("/v1/text-to-dialogue"),
    dialogue("/v1/text-to-dialogue/stream"),
    dialogue("/v1/text-to-dialogue/with-timestamps"),
    dialogue("/v1/text-to-dialogue/stream/with-timestamps"),
    route(
        Method::Post,
        "/v1/speech-to-text",
        Operation::Transcription,
        ModelAt { place: Place::Form("model_id"), default: None },
        Work::Form(Recording { reported: recorded, by_channel: "use_multi_channel", billed }),
    ),
    free("/v1/models"),
    free("/v2/voices"),
    free("/v1/voices"),
    free("/v1/voices/settings/default"),
    free("/v1/voices/{}"),
    free("/v1/voices/{}/settings"),
    route(
        Method::Post,
        "/v1/single-use-token/{}",
        Operation::Speech,
        NO_MODEL,
        Work::Token(Token { seconds: |_| TOKEN_SECONDS, answer: |token, _| json!({ "token": token }) }),
    ),
    signed("/v1/convai/conversation/get-signed-url"),
    signed("/v1/convai/conversation/get_signed_url"),
    socket("/v1/text-to-speech/{}/stream-input", Operation::Speech, query("model_id", Some(DEFAULT_MODEL)), spoken),
    socket(
        "/v1/text-to-speech/{}/multi-stream-input",
        Operation::Speech,
        query("model_id", Some(DEFAULT_MODEL)),
        spoken,
    ),
    socket("/v1/text-to-dialogue/stream-input", Operation::Speech, query("model_id", Some("eleven_v3")), spoken),
    socket("/v1/text-to-dialogue/multi-stream-input", Operation::Speech, query("model_id", Some("eleven_v3")), spoken),
    socket("/v1/speech-to-text/realtime", Operation::Realtime, query("model_id", None), heard),
    socket("/v1/convai/conversation", Operation::Realtime, AGENT, called),
    socket("/v1/convai/realtime", Operation::Realtime, query("model", Some("eleven_realtime_v1_mini")), called),
];

fn error(refused: &Refused<'_>) -> Value {
    let (kind, code) = match refused.status {
        401 => ("authentication_error", "invalid_api_key"),
        403 => ("authorization_error", refused.code),
        404 => ("not_found", refused.code),
        429 => ("rate_limit_error", refused.code),
        502..=504 => ("service_unavailable", refused.code),
        500 => ("internal_error", refused.code),
        _ => ("invalid_request", refused.code),
    };
    let mut detail = json!({
        "type": kind, "code": code, "status": code, "message": refused.message, "request_id": refused.request_id,
    });
    if let (Some(param), Some(detail)) = (refused.param, detail.as_object_mut()) {
        detail.insert("param".to_owned(), Value::from(param));
    }
    json!({ "detail": detail })
}

fn event(refused: &Refused<'_>) -> Value {
    json!({ "message": refused.message, "error": refused.code, "code": 1008 })
}

/// An agent, whichever it is, has the one price of agents; models have their own.
fn priced_as(model: &str) -> Option<&'static str> {
    model.starts_with("agent_").then_some("agents")
}

fn dialogue_text(body: &Map<String, Value>) -> u64 {
    let inputs = body.get("inputs").and_then(Value::as_array).into_iter().flatten();
    inputs.filter_map(|input| input.get("text")?.as_str()).map(characters).sum()
}

#[derive(Deserialize)]
struct Answer {
    audio_duration_secs: Option<f64>,
    #[serde(default)]
    transcripts: Vec<serde::de::IgnoredAny>,
}

/// The length that an answer tells. Of several channels each has its own transcript and is billed.
fn recorded(body: &[u8]) -> Option<Usage> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let length = seconds_to_ms(answer.audio_duration_secs?);
    let audio_in_ms = length.saturating_mul(answer.transcripts.len().max(1) as u64);
    Some(Usage { audio_in_ms, requests: 1, ..Usage::default() })
}

/// What is asked beside the transcript adds to its price, and many terms have a least length.
fn billed(options: &Query, _: &str, length: Usage) -> Usage {
    // The vendor's SDKs send what nobody asked for as `null`.
    let says = |value: &str| !matches!(value.trim(), "" | "false" | "False" | "null" | "[]");
    let asked = |name: &str| options.get(name).is_some_and(says);
    let mut percent: u64 = SURCHARGES.iter().filter(|(name, _)| asked(name)).map(|(_, percent)| percent).sum();
    let terms = options.0.iter().filter(|(name, value)| name == "keyterms" && says(value)).count();
    let mut least = 0;
    if asked("transcript_edit") {
        (percent, least) = (percent + EDIT_SURCHARGE, EDIT_MS);
    }
    if terms > 0 {
        percent += KEYTERMS_SURCHARGE;
    }
    if terms > MANY_KEYTERMS {
        least = MANY_KEYTERMS_MS;
    }
    // A length that nobody knows stays unknown.
    let least = if length.audio_in_ms > 0 { least } else { 0 };
    Usage { audio_in_ms: length.audio_in_ms.max(least), surcharge_percent: percent, ..length }
}

/// Characters that a socket was given to speak, in whichever of its three languages.
#[derive(Default)]
struct Spoken(u64);

fn spoken(_: &Query) -> Box<dyn SocketMeter> {
    Box::new(Spoken::default())
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    inputs: Vec<Line<'a>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

impl SocketMeter for Spoken {
    fn client_text(&mut self, text: &str) {
        let Ok(input) = serde_json::from_str::<Input<'_>>(text) else { return };
        let lines = input.inputs.into_iter().filter_map(|line| line.text);
        // One space opens a stream or keeps it alive; nobody speaks it.
        let spoken = input.text.into_iter().chain(lines).filter(|text| text != " ");
        self.0 = spoken.fold(self.0, |sum, text| sum.saturating_add(characters(&text)));
    }

    fn client_binary(&mut self, _: &[u8]) {}
    fn vendor_text(&mut self, _: &str) {}

    fn usage(&self, _: u64) -> (Usage, UsageSource) {
        (Usage { characters: self.0, requests: 1, ..Usage::default() }, UsageSource::Measured)
    }
}

/// Audio that a socket was sent, in base64.
struct Heard {
    bytes_per_second: u64,
    bytes: u64,
}

fn heard(query: &Query) -> Box<dyn SocketMeter> {
    let format = query.get("audio_format").unwrap_or("pcm_16000");
    let (codec, rate) = format.split_once('_').unwrap_or((format, ""));
    let width = if codec == "pcm" { 2 } else { 1 };
    let rate = rate.parse::<u64>().ok().filter(|rate| *rate > 0).unwrap_or(16_000);
    Box::new(Heard { bytes_per_second: rate.saturating_mul(width), bytes: 0 })
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    audio_base_64: Option<Cow<'a, str>>,
}

impl SocketMeter for Heard {
    fn client_text(&mut self, text: &str) {
        let Ok(Chunk { audio_base_64: Some(audio) }) = serde_json::from_str::<Chunk<'_>>(text) else { return };
        let letters = audio.trim_end_matches('=').len() as u64;
        self.bytes = self.bytes.saturating_add(letters * 3 / 4);
    }

    fn client_binary(&mut self, _: &[u8]) {}
    fn vendor_text(&mut self, _: &str) {}

    fn usage(&self, _: u64) -> (Usage, UsageSource) {
        let audio_in_ms = self.bytes.saturating_mul(1000) / self.bytes_per_second;
        (Usage { audio_in_ms, requests: 1, ..Usage::default() }, UsageSource::Measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_counted_and_spaces_that_keep_alive_are_not() {
        let mut socket = spoken(&Query::default());
        for message in [
            r#"{"text":" ","voice_settings":{}}"#,
            r#"{"text":"Hällo ","flush":true}"#,
            r#"{"context_id":"c1","inputs":[{"text":"Hi. ","voice_id":"v"},{"text":"Yo","voice_id":"w"}]}"#,
            r#"{"text":""}"#,
            r#"{"close_socket":true}"#,
            "nonsense",
        ] {
            socket.client_text(message);
        }
        assert_eq!(socket.usage(0).0.characters, 6 + 4 + 2);
    }

    #[test]
    fn audio_in_base64_is_counted_by_its_format() {
        let query = Query(vec![("audio_format".to_owned(), "ulaw_8000".to_owned())]);
        let mut socket = heard(&query);
        let audio = format!("{}A==", "A".repeat(10_665));
        socket.client_text(&format!(r#"{{"message_type":"input_audio_chunk","audio_base_64":"{audio}"}}"#));
        assert_eq!(socket.usage(0).0.audio_in_ms, 999);
    }

    #[test]
    fn every_channel_with_a_transcript_is_billed() {
        assert_eq!(recorded(br#"{"audio_duration_secs":1.4,"text":"x"}"#).unwrap().audio_in_ms, 1400);
        let separate = br#"{"transcripts":[{},{}],"audio_duration_secs":1.4}"#;
        assert_eq!(recorded(separate).unwrap().audio_in_ms, 2800);
        assert_eq!(recorded(br#"{"request_id":"later"}"#), None);
    }

    #[test]
    fn what_is_asked_beside_the_transcript_is_part_of_its_price() {
        let options = |pairs: &[(&str, &str)]| {
            Query(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        let second = Usage { audio_in_ms: 1000, ..Usage::default() };
        let unasked = [("detect_speaker_roles", "false"), ("entity_detection", "null"), ("entity_redaction", "null")];
        let plain = billed(&options(&unasked), "scribe_v2", second);
        assert_eq!(plain, second);
        let asked = [("keyterms", "a"), ("keyterms", "b"), ("entity_detection", "all")];
        assert_eq!(billed(&options(&asked), "scribe_v2", second).surcharge_percent, 50);
        let edited = billed(&options(&[("transcript_edit", "Shorter.")]), "scribe_v2", second);
        assert_eq!((edited.audio_in_ms, edited.surcharge_percent), (10_000, 30));
        let many = billed(&options(&[("keyterms", "a"); 101]), "scribe_v2", second);
        assert_eq!((many.audio_in_ms, many.surcharge_percent), (20_000, 20));
    }

    #[test]
    fn a_dialogue_is_all_its_lines() {
        let body = json!({ "inputs": [{ "text": "ab", "voice_id": "x" }, { "text": "c" }, {}] });
        assert_eq!(dialogue_text(body.as_object().unwrap()), 3);
    }
}
