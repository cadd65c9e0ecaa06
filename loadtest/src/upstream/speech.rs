//! `/audio/speech`: bytes at a programmable pace.
#![expect(clippy::indexing_slicing, reason = "reading a JSON value by name gives null where it is absent")]

use std::collections::VecDeque;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::Response;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    Amounts, Fault, Kind,
    answer::{self, Refusal},
    body::ScriptBody,
    counts::Receipt,
    routes::{Call, read_json, required},
};
use crate::wav;

const FIELDS: &[&str] =
    &["input", "instructions", "model", "response_format", "sample_rate", "speed", "stream_format", "voice"];
/// Milliseconds that one character takes to be spoken.
const MS_PER_CHARACTER: usize = 60;
/// Size of the pieces, unless the script says otherwise.
const CHUNK_BYTES: usize = 4096;

/// A format's content type and its bytes per millisecond.
fn format_facts(format: &str) -> Option<(&'static str, usize)> {
    Some(match format {
        "mp3" => ("audio/mpeg", 16),
        "opus" => ("audio/opus", 4),
        "aac" => ("audio/aac", 8),
        "flac" => ("audio/flac", 30),
        "wav" => ("audio/wav", 48),
        "pcm" => ("audio/pcm", 48),
        _ => return None,
    })
}

/// Reads the request, checks it as the model would and speaks.
pub(super) async fn answer(call: &mut Call<'_>, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    let request = read_json(call, body, Some(FIELDS)).await?;
    let model = required(&request, "model")?;
    let line = call.line(model);
    let input = required(&request, "input")?;
    let mut fault = call.fault(model, &[input, request["instructions"].as_str().unwrap_or_default()]);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let checked = check(call.kind, &request, input);
    if checked.is_err() {
        line.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    let format = checked?;
    let (content_type, bytes_per_ms) = format_facts(format).unwrap_or(("audio/wav", 48));
    let characters = input.chars().count();
    let total_bytes = fault.bytes.unwrap_or(characters * MS_PER_CHARACTER * bytes_per_ms);
    let mut amounts = Amounts { characters: u64::try_from(characters).unwrap_or(0), ..Amounts::default() };
    // tts-1 answers raw audio whatever stream_format says.
    let sse = request["stream_format"] == "sse" && !model.starts_with("tts-1");
    let mut response = if sse {
        let audio_ms = u64::try_from(total_bytes / bytes_per_ms).unwrap_or(0);
        amounts.audio_out_ms = audio_ms;
        amounts.tokens_in = u64::try_from(characters.div_ceil(4)).unwrap_or(0);
        amounts.tokens_out = audio_ms.div_ceil(50);
        let body = sse_body(format, total_bytes, &fault, amounts);
        let receipt = Receipt::new(line, amounts).for_serial(&call.shared.fates, call.path, input);
        answer::deliver("text/event-stream", body, receipt, &fault)
    } else {
        let per_ms = u64::try_from(bytes_per_ms).unwrap_or(1);
        fault.cut_after_bytes = fault.cut_after_bytes.or(fault.cut_audio_bytes);
        let body = audio_body(format, total_bytes, &fault);
        let receipt = Receipt::audio(line, amounts, per_ms).for_serial(&call.shared.fates, call.path, input);
        answer::deliver(content_type, body, receipt, &fault)
    };
    answer::add_headers(&mut response, &fault);
    Ok(response)
}

fn check(kind: Kind, request: &Value, input: &str) -> Result<&'static str, Refusal> {
    let format = request["response_format"].as_str().unwrap_or("mp3");
    let longest = if kind == Kind::Groq { 200 } else { 4096 };
    if input.is_empty() {
        return Err(Refusal::missing("input"));
    }
    if input.chars().count() > longest {
        let message = format!("String should have at most {longest} characters");
        return Err(Refusal::bad("string_too_long", "input", message));
    }
    if !(request["voice"].is_string() || request["voice"]["id"].is_string()) {
        return Err(Refusal::missing("voice"));
    }
    if kind == Kind::Groq && format != "wav" {
        return Err(Refusal::bad("invalid_value", "response_format", "response_format must be one of [wav]"));
    }
    if kind == Kind::Groq && (request.get("stream_format").is_some() || request.get("instructions").is_some()) {
        return Err(Refusal::bad("invalid_value", "stream_format", "property is unsupported"));
    }
    let speed = request.get("speed").map_or(Some(1.0), Value::as_f64);
    if !speed.is_some_and(|speed| (0.25..=4.0).contains(&speed)) {
        return Err(Refusal::bad("invalid_value", "speed", "speed must be between 0.25 and 4.0"));
    }
    ["mp3", "opus", "aac", "flac", "wav", "pcm"]
        .into_iter()
        .find(|known| *known == format)
        .ok_or_else(|| Refusal::bad("invalid_value", "response_format", format!("Invalid value: '{format}'.")))
}

/// What the format begins with.
fn first_bytes(format: &str) -> Vec<u8> {
    match format {
        "wav" => wav::header(24_000, None),
        "mp3" => vec![0xFF, 0xFB, 0x90, 0x64],
        "opus" => b"OggS".to_vec(),
        "flac" => b"fLaC".to_vec(),
        "aac" => vec![0xFF, 0xF1],
        _ => Vec::new(),
    }
}

/// The whole stream of `total_bytes`: the first piece with the format's beginning, then one block over and over.
pub(super) fn audio_body(format: &str, total_bytes: usize, fault: &Fault) -> ScriptBody {
    let chunk_bytes = fault.chunk_bytes.unwrap_or(CHUNK_BYTES).max(1);
    let block: Bytes = (0..chunk_bytes).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
    let mut head = first_bytes(format);
    head.extend(block.iter().take(chunk_bytes.saturating_sub(head.len())));
    head.truncate(total_bytes);
    let rest = total_bytes - head.len();
    ScriptBody::pieces(VecDeque::from([Bytes::from(head)])).then_repeat(block, rest)
}

fn sse_body(format: &str, total_bytes: usize, fault: &Fault, amounts: Amounts) -> ScriptBody {
    let chunk_bytes = fault.chunk_bytes.unwrap_or(CHUNK_BYTES).max(1);
    let mut audio = first_bytes(format);
    audio.resize(total_bytes, 0x11);
    let mut events: Vec<Value> = audio
        .chunks(chunk_bytes)
        .map(|piece| json!({"type": "speech.audio.delta", "audio": STANDARD.encode(piece)}))
        .collect();
    events.push(json!({"type": "speech.audio.done", "usage": {
        "input_tokens": amounts.tokens_in, "output_tokens": amounts.tokens_out,
        "total_tokens": amounts.tokens_in + amounts.tokens_out,
    }}));
    answer::events(events, false)
}
