//! ElevenLabs: speech with the voice in the path, Scribe, and the list of voices.
//!
//! The odd ones are kept: the body is validated (422) before the credential, an account without credit is a 401, every
//! format is called `audio/mpeg`, sounds are written into transcripts unless that is switched off.
//! Source: ElevenLabs's API reference and `OpenAPI` document, read 2026-11-21.
#![expect(clippy::indexing_slicing, reason = "reading a JSON value by name gives null where it is absent")]

use http::{HeaderName, HeaderValue, Method, Response, header::HOST, request::Parts};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::super::{
    Amounts, Fault, Kind, Request, Shared,
    answer::{self, Refusal},
    body::ScriptBody,
    counts::Receipt,
    form::{FilePart, Form},
    routes::{Call, early, read_form, read_json, unknown_path},
    speech, transcription,
};
use crate::live::eleven_agent::SIGN;
use crate::wav;

const SPEECH_FIELDS: &[&str] = &[
    "apply_language_text_normalization",
    "apply_text_normalization",
    "language_code",
    "model_id",
    "next_request_ids",
    "next_text",
    "previous_request_ids",
    "previous_text",
    "pronunciation_dictionary_locators",
    "seed",
    "text",
    "use_pvc_as_ivc",
    "voice_settings",
];
const SCRIBE_FIELDS: &[&str] = &[
    "detect_speaker_roles",
    "diarization_threshold",
    "diarize",
    "entity_detection",
    "entity_redaction",
    "entity_redaction_mode",
    "keyterms",
    "language_code",
    "model_id",
    "no_verbatim",
    "num_speakers",
    "numbers_format",
    "secondary_language_codes",
    "seed",
    "tag_audio_events",
    "temperature",
    "timestamps_granularity",
    "use_multi_channel",
    "webhook_metadata",
];
/// Characters of one request, by the beginning of the model's name.
const LONGEST: [(&str, usize); 6] = [
    ("eleven_v3", 5_000),
    ("eleven_flash_v2_5", 40_000),
    ("eleven_turbo_v2_5", 40_000),
    ("eleven_flash_v2", 30_000),
    ("eleven_turbo_v2", 30_000),
    ("eleven_", 10_000),
];
/// Milliseconds that one character takes to be spoken.
const MS_PER_CHARACTER: usize = 60;
/// Voices beside the two that have real names, so that the list has a second page.
const NAMELESS: usize = 118;

/// Answers one request.
pub(in crate::upstream) async fn answer(
    shared: &Shared,
    record: &mut Request,
    parts: &Parts,
    body: Incoming,
) -> Result<Response<ScriptBody>, Refusal> {
    let path = parts.uri.path();
    if let Some(fault) = shared.take_rule(path, None, true) {
        return early(Kind::Elevenlabs, &fault).await;
    }
    let speaks = path.strip_prefix("/v1/text-to-speech/").map(|rest| rest.strip_suffix("/stream").unwrap_or(rest));
    let mut call = Call { shared, kind: Kind::Elevenlabs, path: "text-to-speech", parts, request: record };
    match (&parts.method, path, speaks) {
        (&Method::POST, _, Some(voice)) if !voice.contains('/') => speak(&mut call, voice, body).await,
        (&Method::POST, "/v1/speech-to-text", _) => {
            call.path = "speech-to-text";
            transcribe(&mut call, body).await
        }
        (&Method::GET, "/v2/voices", _) => {
            call.path = "voices";
            voices(&call).await
        }
        (&Method::GET, SIGN, _) => {
            check_credential(&call)?;
            let agent = query(&call, "agent_id").ok_or_else(|| unfit("agent_id", "Field required"))?;
            let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let signature = shared.sockets.sign(agent);
            let address =
                format!("ws://{host}/v1/convai/conversation?agent_id={agent}&conversation_signature={signature}");
            Ok(answer::json_answer(200, &json!({ "signed_url": address })))
        }
        _ => Err(unknown_path(&parts.method, path)),
    }
}

/// A refusal in one of the shapes under `detail`.
pub(in crate::upstream) fn refuse(refusal: &Refusal) -> Response<ScriptBody> {
    let (code, message) = (refusal.code.unwrap_or("error"), &refusal.message);
    let kind = match refusal.status {
        400 => "validation_error",
        401 => "authentication_error",
        402 => "payment_required",
        403 => "authorization_error",
        404 => "not_found",
        429 => "rate_limit_error",
        503 => "service_unavailable",
        _ => "internal_error",
    };
    let detail = match (refusal.status, code) {
        (422, _) => json!([{ "type": code, "loc": ["body", refusal.param], "msg": message, "input": null }]),
        (401, "quota_exceeded") => json!({ "status": code, "message": message }),
        _ => json!({ "type": kind, "code": code, "message": message, "status": code, "request_id": "scripted" }),
    };
    answer::json_answer(refusal.status, &json!({ "detail": detail }))
}

fn unfit(param: &str, message: &str) -> Refusal {
    Refusal { status: 422, code: Some("value_error"), param: Some(param.to_owned()), message: message.to_owned() }
}

fn bad(code: &'static str, message: &str) -> Refusal {
    Refusal::new(400, code, message)
}

fn check_credential(call: &Call<'_>) -> Result<(), Refusal> {
    let headers = &call.parts.headers;
    if headers.contains_key("authorization") {
        return Err(Refusal::new(401, "invalid_authorization_header", "The key belongs into the header xi-api-key."));
    }
    let sent = headers.get("xi-api-key").and_then(|value| value.to_str().ok());
    match (&call.shared.config.api_key, sent) {
        (Some(key), Some(sent)) if key == sent => Ok(()),
        (None, Some(_)) => Ok(()),
        (_, Some(_)) => Err(Refusal::new(401, "invalid_api_key", "Invalid API key")),
        (_, None) => Err(Refusal::new(401, "missing_api_key", "No key was sent.")),
    }
}

/// The values of a name in the query.
fn query<'a>(call: &Call<'a>, name: &str) -> Option<&'a str> {
    let parts: &'a Parts = call.parts;
    let pairs = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(have, _)| *have == name).map(|(_, value)| value).next()
}

async fn speak(call: &mut Call<'_>, voice: &str, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    let request = read_json(call, body, Some(SPEECH_FIELDS)).await?;
    let text = request["text"].as_str().ok_or_else(|| unfit("text", "Field required"))?;
    for name in ["stability", "similarity_boost"] {
        let value = &request["voice_settings"][name];
        if !value.is_null() && !value.as_f64().is_some_and(|value| (0.0..=1.0).contains(&value)) {
            return Err(unfit("voice_settings", "Input should be from 0 to 1"));
        }
    }
    check_credential(call)?;
    let model = request["model_id"].as_str().unwrap_or("eleven_multilingual_v2");
    let line = call.line(model);
    let fault = call.fault(model, &[text]);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let checked = check_speech(call, voice, model, text, &request);
    if checked.is_err() {
        line.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    let (format, bytes_per_ms) = checked?;
    let characters = text.chars().count();
    let total_bytes = fault.bytes.unwrap_or(characters * MS_PER_CHARACTER * bytes_per_ms);
    let amounts = Amounts { characters: u64::try_from(characters).unwrap_or(0), ..Amounts::default() };
    let receipt = Receipt::audio(line, amounts, u64::try_from(bytes_per_ms).unwrap_or(1)).for_serial(
        &call.shared.fates,
        call.path,
        text,
    );
    // Whatever the format is, it is called MPEG.
    let audio = speech::audio_body(format, total_bytes, &fault);
    let mut response = answer::deliver("audio/mpeg", audio, receipt, &fault);
    head(&mut response, call, characters);
    answer::add_headers(&mut response, &fault);
    Ok(response)
}

fn head(response: &mut Response<ScriptBody>, call: &Call<'_>, characters: usize) {
    let id = format!("gen{:017x}", call.shared.next_serial());
    for (name, value) in [("request-id", id), ("character-cost", characters.to_string()), ("x-region", "us".to_owned())]
    {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

/// What the format begins with and its bytes per millisecond, if everything else is right.
fn check_speech(
    call: &Call<'_>,
    voice: &str,
    model: &str,
    text: &str,
    request: &Value,
) -> Result<(&'static str, usize), Refusal> {
    if text.is_empty() {
        return Err(bad("empty_text", "There is nothing to say."));
    }
    if !all_voices().any(|(id, _)| id == voice) {
        let message = format!("A voice with the voice_id {voice} was not found.");
        return Err(Refusal::new(404, "voice_not_found", message));
    }
    let Some((_, longest)) = LONGEST.iter().find(|(name, _)| model.starts_with(name)) else {
        return Err(Refusal::new(404, "model_not_found", format!("There is no model {model}.")));
    };
    if text.chars().count() > *longest {
        return Err(bad("text_too_long", "The text is too long for this model."));
    }
    if model == "eleven_multilingual_v2" && request.get("language_code").is_some() {
        return Err(bad("unsupported_language", "This model takes no language_code."));
    }
    if model.starts_with("eleven_v3") && (request.get("previous_text").is_some() || request.get("next_text").is_some())
    {
        return Err(bad("unsupported_field", "This model takes no text around the text."));
    }
    let speed = request["voice_settings"]["speed"].as_f64().unwrap_or(1.0);
    if !(0.7..=1.2).contains(&speed) {
        return Err(bad("invalid_voice_settings", "speed must be from 0.7 to 1.2"));
    }
    match query(call, "output_format").unwrap_or("mp3_44100_128") {
        "mp3_44100_128" => Ok(("mp3", 16)),
        "opus_48000_64" => Ok(("opus", 8)),
        "pcm_24000" => Ok(("pcm", 48)),
        "pcm_44100" => Err(Refusal::new(403, "subscription_required", "PCM at 44.1 kHz needs the Pro plan.")),
        _ => Err(bad("invalid_output_format", "There is no such output format.")),
    }
}

async fn transcribe(call: &mut Call<'_>, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    let form = read_form(call, body, SCRIBE_FIELDS).await?;
    let model = form.get("model_id").ok_or_else(|| unfit("model_id", "Field required"))?;
    let file = form.file.as_ref().ok_or_else(|| unfit("file", "Field required"))?;
    if let Some(flag) = ["diarize", "tag_audio_events", "no_verbatim", "use_multi_channel", "detect_speaker_roles"]
        .into_iter()
        .find(|name| form.get(name).is_some_and(|value| value != "true" && value != "false"))
    {
        return Err(unfit(flag, "Input should be a valid boolean"));
    }
    check_credential(call)?;
    let line = call.line(model);
    let first_term = form.get("keyterms").unwrap_or_default();
    let fault = call.fault(model, &[first_term]);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let checked = check_scribe(&form, model, file);
    if checked.is_err() {
        line.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    let heard = checked?;
    let amounts = Amounts { audio_in_ms: heard.duration_ms * heard.channels, ..Amounts::default() };
    let receipt = Receipt::new(line, amounts).for_serial(&call.shared.fates, call.path, first_term);
    let body = ScriptBody::whole(transcript(&form, &fault, &heard).to_string());
    let mut response = answer::deliver("application/json", body, receipt, &fault);
    answer::add_headers(&mut response, &fault);
    Ok(response)
}

/// What the file is.
struct Heard {
    duration_ms: u64,
    /// Channels that are transcribed each for itself.
    channels: u64,
}

fn check_scribe(form: &Form, model: &str, file: &FilePart) -> Result<Heard, Refusal> {
    if !["scribe_v1", "scribe_v2", "scribe_v2_medical", "scribe_v3"].contains(&model) {
        return Err(bad("unsupported_model", "There is no such model."));
    }
    let duration_ms = wav::duration_ms(&file.head, file.bytes).unwrap_or(file.bytes / 16);
    if duration_ms < 100 {
        return Err(bad("audio_too_short", "The audio is shorter than 100 ms."));
    }
    let odd = |term: &str| term.chars().count() >= 50 || term.contains(['<', '>', '{', '}', '[', ']', '\\']);
    if form.all("keyterms").count() > 1000 || form.all("keyterms").any(odd) {
        return Err(bad("invalid_keyterms", "A key term is too long or holds brackets."));
    }
    let multi = form.get("use_multi_channel") == Some("true");
    if multi && form.get("diarize") == Some("true") {
        return Err(bad("invalid_request", "diarize cannot be used with use_multi_channel."));
    }
    let channels = file.head.get(22).copied().map_or(1, u64::from).clamp(1, 5);
    Ok(Heard { duration_ms, channels: if multi { channels } else { 1 } })
}

fn transcript(form: &Form, fault: &Fault, heard: &Heard) -> Value {
    let text = fault.text.clone().unwrap_or_else(|| transcription::SENTENCE.to_owned());
    let duration = seconds(heard.duration_ms);
    if form.get("use_multi_channel") == Some("true") {
        let one = |channel: u64| {
            let mut one = channel_of(form, &text, heard.duration_ms);
            one["channel_index"] = json!(channel);
            one
        };
        let all: Vec<Value> = (0..heard.channels).map(one).collect();
        return json!({ "transcripts": all, "transcription_id": "scripted", "audio_duration_secs": duration });
    }
    let mut answer = channel_of(form, &text, heard.duration_ms);
    answer["transcription_id"] = json!("scripted");
    answer["audio_duration_secs"] = json!(duration);
    answer["edited_transcript"] = Value::Null;
    answer["entities"] = match form.has("entity_detection") {
        true => json!([{ "text": "fox", "entity_type": "animal", "start_char": 16, "end_char": 19 }]),
        false => Value::Null,
    };
    answer
}

/// The words one behind the other, the second half by another speaker; a laugh at the end where sounds are told.
fn channel_of(form: &Form, text: &str, duration_ms: u64) -> Value {
    let mut said = text.to_owned();
    let said_words: Vec<&str> = text.split_whitespace().collect();
    let each = duration_ms / u64::try_from(said_words.len()).unwrap_or(1).max(1);
    let roles = form.get("detect_speaker_roles") == Some("true");
    let speaker = |index: usize| match (form.get("diarize") == Some("true"), index * 2 < said_words.len(), roles) {
        (false, ..) => Value::Null,
        (true, true, false) => json!("speaker_0"),
        (true, false, false) => json!("speaker_1"),
        (true, true, true) => json!("agent"),
        (true, false, true) => json!("customer"),
    };
    let mut words: Vec<Value> = Vec::new();
    for (index, (word, at)) in said_words.iter().zip(0_u64..).enumerate() {
        let (start, end) = (seconds(at * each), seconds((at + 1) * each));
        if index > 0 {
            words.push(
                json!({ "text": " ", "start": start, "end": start, "type": "spacing", "speaker_id": speaker(index),
                    "logprob": -0.1 }),
            );
        }
        words.push(json!({
            "text": word, "start": start, "end": end, "type": "word", "speaker_id": speaker(index), "logprob": -0.1,
            "characters": null,
        }));
    }
    if form.get("tag_audio_events") != Some("false") {
        said.push_str(" (laughter)");
        let end = seconds(duration_ms);
        words
            .push(json!({ "text": "(laughter)", "start": end, "end": end, "type": "audio_event", "speaker_id": null }));
    }
    if form.get("timestamps_granularity") == Some("none") {
        words.clear();
    }
    let language = match form.get("language_code") {
        Some("de") => "deu",
        Some("fr") => "fra",
        _ => "eng",
    };
    json!({ "language_code": language, "language_probability": 0.98, "text": said, "words": words })
}

/// Seconds as the API writes them; three decimals are exact in an `f64` of this size.
fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

/// Ids and names; some names are as long as those of the vendor's own voices.
fn all_voices() -> impl Iterator<Item = (String, String)> {
    let real = [("21m00Tcm4TlvDq8ikWAM", "Rachel"), ("EXAVITQu4vr4xnSDxMaL", "Sarah - Mature, Reassuring, Confident")];
    let real = real.into_iter().map(|(id, name)| (id.to_owned(), name.to_owned()));
    real.chain((0..NAMELESS).map(|index| (format!("Scripted{index:012}"), format!("Voice {index}"))))
}

/// `GET /v2/voices`: a page of at most a hundred; the token of the next is where it begins.
async fn voices(call: &Call<'_>) -> Result<Response<ScriptBody>, Refusal> {
    let size = query(call, "page_size").map_or(Some(10), |size| size.parse::<usize>().ok());
    let size = size.filter(|size| (1..=100).contains(size)).ok_or_else(|| unfit("page_size", "at most 100"))?;
    check_credential(call)?;
    let line = call.line("");
    let fault = call.fault("", &[]);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let from = query(call, "next_page_token").and_then(|token| token.strip_prefix("from-")?.parse().ok()).unwrap_or(0);
    let all = all_voices().count();
    let page: Vec<Value> = all_voices().skip(from).take(size).map(|(id, name)| voice(&id, &name)).collect();
    let next = from + page.len();
    let more = next < all;
    let answer = json!({
        "voices": page, "has_more": more, "total_count": 0, "next_page_token": more.then(|| format!("from-{next}")),
    });
    let body = ScriptBody::whole(answer.to_string());
    Ok(answer::deliver("application/json", body, Receipt::new(line, Amounts::default()), &fault))
}

fn voice(id: &str, name: &str) -> Value {
    json!({
        "voice_id": id, "name": name, "category": "premade", "description": null, "settings": null,
        "labels": { "gender": "female", "language": "en", "accent": "american" },
        "preview_url": format!("https://previews.example/{id}.mp3"), "available_for_tiers": [], "verified_languages": null,
    })
}
