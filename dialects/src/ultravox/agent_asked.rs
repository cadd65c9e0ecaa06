//! The request that makes a call, and the address in its answer.
//!
//! Source: Ultravox's `OpenAPI` document and API reference, read 2026-11-21.

use domain::audio::{PCM_24K, RealtimeFormat, SampleRate};
use serde_json::{Map, Value, json};

use super::agent_tools;
use crate::contract::Endpoint;
use crate::conversation::agent::{Plan, Way};
use crate::conversation::setup::{Medium, Message, Role, Setup, ToolChoice};
use crate::live::events::Refusal;
use crate::live::settings::{Turns, param};
use crate::live::{LiveFault, percent_encode};

/// The agent's hearing works in frames of this length.
const VAD_FRAME_MS: u64 = 32;
/// Silence that ends a turn where nothing else is asked: the vendor's own default.
const USUAL_TURN_END_MS: u64 = 384;
/// The same for turns that the client commits: twice as long, since a pause inside must not end one.
const MANUAL_TURN_END_MS: u64 = 768;
/// How far speech may run ahead of its playing. A second covers the network's jitter. More would let speech
/// pile up at a client that is then interrupted, and would have to be paced here; so the vendor paces it.
const AHEAD_MS: u64 = 1_000;
/// A call without audio for so long is left by the vendor: nobody pays for one whose gateway has died.
const IDLE: &str = "30s";
/// The longest tag of a language.
const MAX_LANGUAGE: usize = 16;
/// The longest address of a socket.
const MAX_ADDRESS: usize = 8 * 1024;

/// How a call for this configuration is made.
pub(super) fn plan(setup: &Setup) -> Result<Plan, Refusal> {
    let template = option(setup, "agent_id");
    let (path, body) = match template {
        Some(agent) => (format!("/agents/{}/calls", percent_encode(agent)), from_template(setup)?),
        None => ("/calls?enableGreetingPrompt=false".to_owned(), from_setup(setup)?),
    };
    let body = Value::Object(body).to_string().into_bytes();
    Ok(Plan {
        way: Way::Asked { endpoint: Endpoint::at(path), body: Some(body) },
        input: spoken_as(setup.input_format),
        output: spoken_as(setup.output_format),
    })
}

/// What the target says of this.
pub(super) fn option<'a>(setup: &'a Setup, name: &str) -> Option<&'a str> {
    setup.options.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// Samples at the client's own rate, so that nothing is resampled: a call takes every rate, and telephone
/// audio has nothing above 4 kHz that a higher rate could carry.
fn spoken_as(format: RealtimeFormat) -> RealtimeFormat {
    match format {
        RealtimeFormat::Pcm16(rate) if rate.0 > 0 => RealtimeFormat::Pcm16(rate),
        RealtimeFormat::Pcm16(_) => RealtimeFormat::Pcm16(PCM_24K),
        RealtimeFormat::Pcmu | RealtimeFormat::Pcma => RealtimeFormat::Pcm16(SampleRate(8_000)),
    }
}

fn rate(format: RealtimeFormat) -> u32 {
    match spoken_as(format) {
        RealtimeFormat::Pcm16(rate) => rate.0,
        RealtimeFormat::Pcmu | RealtimeFormat::Pcma => 8_000,
    }
}

/// What every call is made with.
fn common(setup: &Setup) -> Map<String, Value> {
    let mut body = Map::new();
    // A session of OpenAI's does not begin with an unasked response.
    body.insert("firstSpeakerSettings".to_owned(), json!({"user": {}}));
    body.insert(
        "medium".to_owned(),
        json!({"serverWebSocket": {
            "inputSampleRate": rate(setup.input_format), "outputSampleRate": rate(setup.output_format),
            "clientBufferSizeMs": AHEAD_MS, "mediaIdleTimeout": IDLE,
            "dataMessages": {"userStartedSpeaking": true, "userStoppedSpeaking": true},
        }}),
    );
    if setup.output == Medium::Text {
        body.insert("initialOutputMedium".to_owned(), json!("MESSAGE_MEDIUM_TEXT"));
    }
    if let Some(voice) = setup.voice.as_deref().or_else(|| option(setup, "voice")) {
        body.insert("voice".to_owned(), json!(voice));
    }
    let history = before_the_call(setup).0;
    if !history.is_empty() {
        body.insert("initialMessages".to_owned(), history.iter().map(message).collect());
    }
    body
}

fn from_setup(setup: &Setup) -> Result<Map<String, Value>, Refusal> {
    let mut body = common(setup);
    body.insert("model".to_owned(), json!(setup.model));
    if !setup.instructions.is_empty() {
        body.insert("systemPrompt".to_owned(), json!(setup.instructions));
    }
    if let Some(temperature) = setup.temperature {
        body.insert("temperature".to_owned(), json!(temperature.clamp(0.0, 1.0)));
    }
    if let Some(language) = language(setup)? {
        body.insert("languageHint".to_owned(), json!(language));
    }
    body.insert("vadSettings".to_owned(), Value::Object(hearing(setup.turns)));
    let tools = tools(setup)?;
    if !tools.is_empty() {
        body.insert("selectedTools".to_owned(), Value::Array(tools));
    }
    Ok(body)
}

/// A call of an agent that was set up at the vendor. Its model, its prompt and how it finds turns are the
/// template's; functions are added to those it has.
fn from_template(setup: &Setup) -> Result<Map<String, Value>, Refusal> {
    if setup.temperature.is_some() {
        let message = "The target's agent at Ultravox has a temperature of its own.";
        return Err(Refusal::value("session.temperature", message));
    }
    let mut body = common(setup);
    // It is checked all the same: the client hears of a word list that nobody reads.
    language(setup)?;
    let tools = tools(setup)?;
    if !tools.is_empty() {
        body.insert("toolOverrides".to_owned(), json!({"add": tools}));
    }
    Ok(body)
}

fn tools(setup: &Setup) -> Result<Vec<Value>, Refusal> {
    match &setup.tool_choice {
        ToolChoice::None => Ok(Vec::new()),
        ToolChoice::Auto => agent_tools::selected(&setup.tools),
        ToolChoice::Required | ToolChoice::Function(_) => {
            let message = "Ultravox's agents cannot be made to call a function: 'auto' and 'none' are served.";
            Err(Refusal::value("session.tool_choice", message))
        }
    }
}

/// The likeliest language, which is all that a call takes.
fn language(setup: &Setup) -> Result<Option<&str>, Refusal> {
    let Some(transcription) = &setup.transcription else { return Ok(None) };
    if !transcription.keywords.is_empty() {
        return Err(Refusal::value(param::KEYWORDS, "Ultravox does not listen for particular words."));
    }
    if transcription.prompt.is_some() {
        return Err(Refusal::value(param::PROMPT, "Ultravox's transcripts take no prompt."));
    }
    let language = transcription.languages.first().map(String::as_str);
    if language.is_some_and(|tag| tag.len() > MAX_LANGUAGE) {
        let message = format!("Ultravox takes tags of languages of at most {MAX_LANGUAGE} characters.");
        return Err(Refusal::value(param::LANGUAGE, message));
    }
    Ok(language)
}

fn hearing(turns: Option<Turns>) -> Map<String, Value> {
    let end = |ms| Map::from_iter([("turnEndpointDelay".to_owned(), json!(seconds(in_frames(ms))))]);
    match turns {
        None => end(MANUAL_TURN_END_MS),
        Some(Turns::Meaning("high")) => end(USUAL_TURN_END_MS - 128),
        Some(Turns::Meaning("low")) => end(USUAL_TURN_END_MS * 2),
        Some(Turns::Meaning(_)) => end(USUAL_TURN_END_MS),
        Some(Turns::Silence { threshold, silence_duration_ms, .. }) => {
            let mut hearing = end(silence_duration_ms);
            if let Some(activation) = activation(threshold) {
                hearing.insert("frameActivationThreshold".to_owned(), json!(activation));
            }
            hearing
        }
    }
}

/// `OpenAI`'s scale has its usual value at 0.5 and this one at its lowest, 0.1; both end at 1. `None` is the
/// usual one.
fn activation(threshold: f64) -> Option<f64> {
    let above = (threshold.min(1.0) - 0.5) / 0.5;
    (above > 0.0).then(|| ((0.1 + above * 0.9) * 1000.0).round() / 1000.0)
}

fn in_frames(ms: u64) -> u64 {
    (ms.saturating_add(VAD_FRAME_MS / 2) / VAD_FRAME_MS).max(1) * VAD_FRAME_MS
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}s", ms / 1000, ms % 1000)
}

/// What the call begins with, and what the user said last, which is to be answered when it is asked for.
pub(super) fn before_the_call(setup: &Setup) -> (&[Message], Option<&str>) {
    match setup.history.split_last() {
        Some((last, before)) if last.role == Role::User => (before, Some(&last.text)),
        _ => (&setup.history, None),
    }
}

/// A call's history has no role for the operator.
fn message(message: &Message) -> Value {
    match message.role {
        Role::System => json!({"role": "MESSAGE_ROLE_USER", "text": instruction(&message.text)}),
        Role::User => json!({"role": "MESSAGE_ROLE_USER", "text": message.text}),
        Role::Assistant => json!({"role": "MESSAGE_ROLE_AGENT", "text": message.text}),
    }
}

/// The operator's words among the user's, where there is no role for the operator.
pub(super) fn instruction(text: &str) -> String {
    format!("<instruction>{text}</instruction>")
}

/// The address in the answer.
pub(super) fn address(body: &[u8]) -> Result<String, LiveFault> {
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let url = answer.as_ref().and_then(|answer| answer.get("joinUrl")).and_then(Value::as_str);
    let url = url.filter(|url| {
        let socket = ["wss://", "ws://"].iter().any(|scheme| url.starts_with(scheme));
        socket && url.len() <= MAX_ADDRESS && url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
    });
    let Some(url) = url else {
        return Err(LiveFault::upstream("The provider made a call without an address to join it at."));
    };
    let separator = match url.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some((_, query)) if query.ends_with('&') => "",
        Some(_) => "&",
    };
    Ok(format!("{url}{separator}apiVersion=1&clientVersion=antiphon"))
}
