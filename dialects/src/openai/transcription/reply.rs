//! A provider's whole answer in the format the client asked for.

use std::collections::BTreeMap;

use domain::provider::Operation;
use domain::transcription::{Segment, Transcript, TranscriptFormat, TranscriptionRequest};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::stream::emulate;
use crate::contract::{Reply, UpstreamModel};
use crate::error::DialectError;
use crate::openai::wire::WireTranscript;
use crate::openai::{captions, unsupported, usage};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const EVENTS: &str = "text/event-stream";
/// What `verbose_json` has more than `json`.
const VERBOSE_FIELDS: [&str; 5] = ["task", "language", "duration", "segments", "words"];

/// Renders `body`, which was asked for in the format `asked`.
///
/// # Errors
/// [`DialectError::Upstream`] when the body is no transcript.
pub fn reply(
    operation: Operation,
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    asked: TranscriptFormat,
    content_type: &str,
    body: &[u8],
) -> Result<Reply, DialectError> {
    let streams = request.stream && operation == Operation::Transcription;
    if content_type.starts_with(EVENTS) {
        return Ok(already_events(body));
    }
    if matches!(asked, TranscriptFormat::Text | TranscriptFormat::Srt | TranscriptFormat::Vtt) {
        return plain(request, streams, content_type, body);
    }
    let wire: WireTranscript = serde_json::from_slice(body)
        .map_err(|error| DialectError::Upstream(format!("not a transcript in JSON: {error}")))?;
    let reported = wire.usage.clone();
    let duration_ms = wire.duration_ms();
    let transcript = wire.into_transcript();
    let wanted = request.format();
    let mut reply = match wanted {
        _ if streams => events(&transcript, wanted, reported.as_ref()),
        TranscriptFormat::Json if asked != wanted => json_reply(fewer_fields(body, &transcript)?),
        TranscriptFormat::Json | TranscriptFormat::VerboseJson | TranscriptFormat::DiarizedJson => {
            json_reply(without_leading_space(body, &transcript)?)
        }
        _ => render(operation, request, &transcript)
            .ok_or_else(|| unsupported(model, "response_format", &format!("`response_format` {wanted}")))?,
    };
    reply.usage = reported.as_ref().and_then(usage::transcript);
    reply.duration_ms = duration_ms;
    Ok(reply)
}

/// A transcript that did not come as JSON, such as the local provider's, in the client's format.
/// `None` when the format needs times or speakers that the transcript does not have.
#[must_use]
pub fn render(operation: Operation, request: &TranscriptionRequest, transcript: &Transcript) -> Option<Reply> {
    let wanted = request.format();
    let usage = transcript.duration_ms.map(heard);
    let mut reply = match wanted {
        _ if request.stream && operation == Operation::Transcription => events(transcript, wanted, None),
        TranscriptFormat::Json => object(json!({ "text": transcript.text }), usage),
        TranscriptFormat::Text => text_reply(format!("{}\n", transcript.text)),
        TranscriptFormat::Srt => text_reply(captions::srt(transcript)?),
        TranscriptFormat::Vtt => text_reply(captions::vtt(transcript)?),
        TranscriptFormat::VerboseJson => object(verbose(operation, request, transcript), usage),
        TranscriptFormat::DiarizedJson => object(diarized(transcript)?, usage),
    };
    reply.duration_ms = transcript.duration_ms;
    Some(reply)
}

/// Usage as OpenAI tells it of models that are billed by time: whole seconds.
fn heard(duration_ms: u64) -> Value {
    json!({ "type": "duration", "seconds": duration_ms.div_ceil(1000) })
}

fn object(mut answer: Value, usage: Option<Value>) -> Reply {
    if let (Some(answer), Some(usage)) = (answer.as_object_mut(), usage) {
        answer.insert("usage".to_owned(), usage);
    }
    json_reply(answer.to_string().into_bytes())
}

fn verbose(operation: Operation, request: &TranscriptionRequest, transcript: &Transcript) -> Value {
    let task = if operation == Operation::Translation { "translate" } else { "transcribe" };
    let mut answer = json!({
        "task": task,
        "language": transcript.language,
        "duration": seconds(transcript.duration_ms),
        "text": transcript.text,
    });
    let only_words = request.word_timestamps && !request.segment_timestamps;
    if let Some(answer) = answer.as_object_mut() {
        if !only_words {
            answer.insert("segments".to_owned(), json!(transcript.segments));
        }
        if request.word_timestamps {
            answer.insert("words".to_owned(), json!(transcript.words));
        }
    }
    answer
}

fn diarized(transcript: &Transcript) -> Option<Value> {
    let segment = |segment: &Segment| {
        Some(json!({
            "type": "transcript.text.segment",
            "id": format!("seg_{:03}", segment.id + 1),
            "start": segment.start,
            "end": segment.end,
            "text": segment.text,
            "speaker": segment.speaker.as_ref()?,
        }))
    };
    let segments: Vec<Value> = transcript.segments.iter().map(segment).collect::<Option<_>>()?;
    let duration = seconds(transcript.duration_ms);
    Some(json!({ "task": "transcribe", "duration": duration, "text": transcript.text, "segments": segments }))
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of audio are far below 2^52")]
fn seconds(duration_ms: Option<u64>) -> f64 {
    duration_ms.unwrap_or(0) as f64 / 1000.0
}

fn events(transcript: &Transcript, wanted: TranscriptFormat, usage: Option<&Value>) -> Reply {
    let body = emulate(transcript, wanted == TranscriptFormat::DiarizedJson, usage);
    Reply { content_type: EVENTS, body, usage: None, duration_ms: None }
}

/// A server that streams although it was read whole: its events are the client's.
fn already_events(body: &[u8]) -> Reply {
    let mut listener = super::TranscriptSse::new();
    listener.feed(body);
    let usage = listener.finish().usage;
    Reply { content_type: EVENTS, body: body.to_vec(), usage, duration_ms: None }
}

fn plain(
    request: &TranscriptionRequest,
    streams: bool,
    content_type: &str,
    body: &[u8],
) -> Result<Reply, DialectError> {
    let text =
        std::str::from_utf8(body).map_err(|_| DialectError::Upstream("the transcript is not UTF-8".to_owned()))?;
    if content_type.starts_with("text/html") || text.trim_start().starts_with("<!") || is_html(text) {
        return Err(DialectError::Upstream("a web page instead of a transcript".to_owned()));
    }
    if streams {
        let transcript = Transcript { text: text.trim().to_owned(), ..Transcript::default() };
        return Ok(events(&transcript, request.format(), None));
    }
    Ok(text_reply(text.to_owned()))
}

fn is_html(text: &str) -> bool {
    text.trim_start().get(..5).is_some_and(|start| start.eq_ignore_ascii_case("<html"))
}

fn json_reply(body: Vec<u8>) -> Reply {
    Reply { content_type: JSON, body, usage: None, duration_ms: None }
}

fn text_reply(text: String) -> Reply {
    Reply { content_type: TEXT, body: text.into_bytes(), usage: None, duration_ms: None }
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The provider's JSON as it is; only Groq's space before the text is taken away.
fn without_leading_space(body: &[u8], transcript: &Transcript) -> Result<Vec<u8>, DialectError> {
    let fields: Fields<'_> = parse(body)?;
    let spaced = fields.get("text").is_some_and(|text| text.get().starts_with("\" "));
    if spaced { with_text(fields, transcript) } else { Ok(body.to_vec()) }
}

/// `verbose_json` made `json`; fields that are neither's stay.
fn fewer_fields(body: &[u8], transcript: &Transcript) -> Result<Vec<u8>, DialectError> {
    let mut fields: Fields<'_> = parse(body)?;
    fields.retain(|name, _| !VERBOSE_FIELDS.contains(&name.as_str()));
    with_text(fields, transcript)
}

fn with_text(fields: Fields<'_>, transcript: &Transcript) -> Result<Vec<u8>, DialectError> {
    let text = to_raw_value(&transcript.text).map_err(|error| broken(&error))?;
    let mut fields: Fields<'_> = fields;
    fields.insert("text".to_owned(), &text);
    serde_json::to_vec(&fields).map_err(|error| broken(&error))
}

fn parse(body: &[u8]) -> Result<Fields<'_>, DialectError> {
    serde_json::from_slice(body).map_err(|error| broken(&error))
}

fn broken(error: &serde_json::Error) -> DialectError {
    DialectError::Upstream(format!("not a transcript in JSON: {error}"))
}
