//! Deepgram: the file as the body, options in the query, the voice as the model, and three shapes of refusals.
//!
//! The odd ones are kept: `Bearer` is refused where `Token` is meant, a form is no audio, an unknown option is refused in
//! plain text, broken JSON in the newer shape and everything else in the older one.
//! Source: Deepgram's API reference, `OpenAPI` document and error guide, read 2026-11-21.

use std::sync::atomic::Ordering;

use http::{HeaderName, HeaderValue, Method, Response, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::super::{
    Amounts, Fault, Kind, Request, Shared,
    answer::{self, Refusal},
    audit,
    body::ScriptBody,
    counts::Receipt,
    form::FilePart,
    realtime,
    routes::{Call, early, read_json, unknown_path},
    speech, transcription,
};
use crate::wav;

/// Bytes of the file that are kept, for its format and length.
const HEAD_BYTES: usize = 4096;
/// Characters of one speech request.
const LONGEST_TEXT: usize = 2000;
/// Milliseconds that one character takes to be spoken.
const MS_PER_CHARACTER: usize = 60;

/// Options of a transcription that are switches.
const SWITCHES: &[&str] = &[
    "detect_entities",
    "dictation",
    "filler_words",
    "measurements",
    "mip_opt_out",
    "multichannel",
    "numerals",
    "paragraphs",
    "profanity_filter",
    "punctuate",
    "smart_format",
    "utterances",
];
/// Options of a transcription that are text.
const TEXTS: &[&str] = &[
    "detect_language",
    "diarize_model",
    "extra",
    "keyterm",
    "keywords",
    "language",
    "model",
    "redact",
    "replace",
    "search",
    "tag",
    "utt_split",
    "version",
];
const SPEECH_OPTIONS: &[&str] =
    &["bit_rate", "container", "encoding", "expressivity", "mip_opt_out", "model", "sample_rate", "speed", "tag"];
/// Models that transcribe files, by the beginning of their names.
const LISTENERS: [&str; 5] = ["nova", "enhanced", "base", "whisper", "general"];

/// Answers one request.
pub(in crate::upstream) async fn answer(
    shared: &Shared,
    record: &mut Request,
    parts: &Parts,
    body: Incoming,
) -> Result<Response<ScriptBody>, Refusal> {
    let path = parts.uri.path();
    check_credential(shared, parts)?;
    if let Some(fault) = shared.take_rule(path, None, true) {
        return early(Kind::Deepgram, &fault).await;
    }
    let mut call = Call { shared, kind: Kind::Deepgram, path: path.trim_start_matches('/'), parts, request: record };
    let mut response = match (&parts.method, path) {
        (&Method::POST, "/v1/listen") => listen(&mut call, body).await,
        (&Method::POST, "/v1/speak" | "/v2/speak") => speak(&mut call, body).await,
        _ => Err(unknown_path(&parts.method, path)),
    }?;
    head(&mut response, "dg-request-id", &request_id(shared));
    Ok(response)
}

/// A refusal in the shape that fits its code.
pub(in crate::upstream) fn refuse(refusal: &Refusal) -> Response<ScriptBody> {
    let message = refusal.message.as_str();
    let id = "00000000-0000-4000-8000-000000000000";
    let code = match (refusal.status, refusal.code) {
        (_, Some("invalid_query")) => {
            return answer::typed(refusal.status, "text/plain", ScriptBody::whole(message.to_owned()));
        }
        (_, Some("invalid_json")) => {
            let body = json!({
                "category": "INVALID_JSON", "message": "Invalid JSON submitted.", "details": message, "request_id": id,
            });
            return answer::json_answer(refusal.status, &body);
        }
        (400, _) => "Bad Request",
        (401, Some("invalid_scheme")) | (403, _) => "INSUFFICIENT_PERMISSIONS",
        (401, _) => "INVALID_AUTH",
        (402, _) => "ASR_PAYMENT_REQUIRED",
        (404, _) => "PROJECT_NOT_FOUND",
        (413, _) => "PAYLOAD_TOO_LARGE",
        (422, _) => "ASR_UNPROCESSABLE_ENTITY",
        (429, _) => "TOO_MANY_REQUESTS",
        _ => "INTERNAL_SERVER_ERROR",
    };
    answer::json_answer(refusal.status, &json!({ "err_code": code, "err_msg": message, "request_id": id }))
}

fn check_credential(shared: &Shared, parts: &Parts) -> Result<(), Refusal> {
    let sent = parts.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(sent) = sent.strip_prefix("Token ") else {
        // A key behind `Bearer` is taken for a temporary token, which it is not.
        return Err(Refusal::new(401, "invalid_auth", "Invalid credentials."));
    };
    if shared.config.api_key.as_deref().is_some_and(|key| key != sent) {
        return Err(Refusal::new(401, "invalid_auth", "Invalid credentials."));
    }
    Ok(())
}

fn request_id(shared: &Shared) -> String {
    format!("00000000-0000-4000-8000-{:012x}", shared.next_serial())
}

fn head(response: &mut Response<ScriptBody>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

fn bad(message: impl std::fmt::Display) -> Refusal {
    Refusal::new(400, "bad_request", format!("Bad Request: {message}"))
}

fn unfit(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "invalid_query", message)
}

/// The options of a query, decoded, in order.
struct Options(Vec<(String, String)>);

impl Options {
    /// Reads them; a name that is none of these is refused, and noted as something that no gateway sends.
    fn read(call: &Call<'_>, known: &[&[&str]]) -> Result<Self, Refusal> {
        let text = call.parts.uri.query().unwrap_or_default();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), realtime::decoded(value).unwrap_or_default())
        };
        let options = Self(pairs.map(pair).collect());
        match options.0.iter().find(|(name, _)| !known.iter().any(|names| names.contains(&name.as_str()))) {
            Some((name, _)) => {
                call.shared.violation(format!("unknown option {name}"));
                Err(unfit(format!("Failed to deserialize query parameters: unknown field `{name}`")))
            }
            None => Ok(options),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    fn all<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
}

async fn listen(call: &mut Call<'_>, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    let options = Options::read(call, &[SWITCHES, TEXTS])?;
    let file = receive(call, body).await?;
    let Some(model) = options.get("model") else {
        call.shared.violation("a transcription without a model");
        return Err(bad("No such model/language/tier combination found."));
    };
    let line = call.line(model);
    let words = options.all("tag").chain(options.all("keyterm")).chain(options.all("keywords")).collect::<Vec<_>>();
    let fault = call.fault(model, &words);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let checked = check_listen(&options, model).and_then(|()| measure(&file));
    if checked.is_err() {
        line.refused.fetch_add(1, Ordering::Relaxed);
    }
    let (duration_ms, channels_in) = checked?;
    let channels = if options.is_on("multichannel") { channels_in.max(1) } else { 1 };
    let audio_in_ms = duration_ms.saturating_mul(u64::from(channels));
    let amounts = Amounts { audio_in_ms, ..Amounts::default() };
    let receipt = Receipt::new(line, amounts).for_serial(&call.shared.fates, call.path, &words.join(" "));
    let heard = heard(&options, model, &fault, duration_ms, channels, &request_id(call.shared));
    let mut response = answer::deliver("application/json", ScriptBody::whole(heard.to_string()), receipt, &fault);
    answer::add_headers(&mut response, &fault);
    Ok(response)
}

/// Reads the body as it is and remembers it as the file.
async fn receive(call: &mut Call<'_>, mut body: Incoming) -> Result<FilePart, Refusal> {
    let content_type = call.parts.headers.get("content-type").and_then(|value| value.to_str().ok());
    let mut file = FilePart { content_type: content_type.unwrap_or_default().to_owned(), ..FilePart::default() };
    let mut crc = crc32fast::Hasher::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Refusal::new(422, "interrupted", format!("Upload was interrupted: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        call.shared.received(data.len());
        crc.update(&data);
        file.bytes += data.len() as u64;
        let room = HEAD_BYTES.saturating_sub(file.head.len());
        file.head.extend(data.iter().take(room));
    }
    file.crc32 = crc.finalize();
    if audit::has_own_key(&file.head) {
        call.shared.violation("the client's key in a file");
    }
    call.request.file = Some(file.clone());
    Ok(file)
}

fn check_listen(options: &Options, model: &str) -> Result<(), Refusal> {
    for name in SWITCHES {
        if options.get(name).is_some_and(|value| !matches!(value, "true" | "false")) {
            return Err(unfit(format!("Failed to deserialize query parameters: `{name}` is not a boolean")));
        }
    }
    // Flux and what nobody has heard of.
    if !LISTENERS.iter().any(|family| model.starts_with(family)) {
        return Err(bad("No such model/language/tier combination found."));
    }
    let is_nova_3 = model.starts_with("nova-3");
    if !is_nova_3 && options.get("keyterm").is_some() {
        return Err(bad("Keyterm prompting is only supported with Nova-3."));
    }
    if is_nova_3 && options.get("keywords").is_some() {
        return Err(bad("Keywords are not supported with Nova-3. Use keyterm instead."));
    }
    if options.get("language") == Some("multi") && !(is_nova_3 || model.starts_with("nova-2")) {
        return Err(bad("No such model/language/tier combination found."));
    }
    if options.get("diarize_model").is_some_and(|version| !["latest", "v1", "v2"].contains(&version)) {
        return Err(unfit("Failed to deserialize query parameters: unknown diarize_model"));
    }
    Ok(())
}

/// Milliseconds and channels of the file: from the header of a WAV file, else one channel at 128 kbit/s.
fn measure(file: &FilePart) -> Result<(u64, u16), Refusal> {
    let head = &file.head;
    let is_type =
        ["audio/", "video/", "application/octet-stream"].iter().any(|kind| file.content_type.starts_with(kind));
    let known = head.starts_with(b"RIFF")
        || head.starts_with(b"OggS")
        || head.starts_with(b"fLaC")
        || head.starts_with(b"ID3")
        || head.starts_with(&[0x1A, 0x45, 0xDF, 0xA3])
        || matches!(head.get(0..2), Some([0xFF, second]) if second & 0xE0 == 0xE0)
        || head.get(4..8) == Some(b"ftyp");
    if !known || !is_type {
        return Err(bad("failed to process audio: corrupt or unsupported data"));
    }
    let channels = match head.get(22..24) {
        Some([low, high]) if head.starts_with(b"RIFF") => u16::from_le_bytes([*low, *high]),
        _ => 1,
    };
    Ok((wav::duration_ms(head, file.bytes).unwrap_or(file.bytes / 16), channels))
}

/// What was heard: two utterances of half the length, by two speakers where those are told apart.
fn heard(options: &Options, model: &str, fault: &Fault, duration_ms: u64, channels: u16, id: &str) -> Value {
    let text = fault.text.clone().unwrap_or_else(|| transcription::SENTENCE.to_owned());
    let words = words(options, &text, duration_ms);
    let (first, second) = words.split_at(words.len() / 2);
    let joined = |words: &[Value]| {
        let text = |word: &Value| word.get("punctuated_word").or_else(|| word.get("word"))?.as_str().map(str::to_owned);
        words.iter().filter_map(text).collect::<Vec<_>>().join(" ")
    };
    let mut channel = json!({"alternatives": [{"transcript": joined(&words), "confidence": 0.99, "words": words}]});
    if let (Some(object), Some(wanted)) = (channel.as_object_mut(), options.get("detect_language")) {
        object.insert("detected_language".to_owned(), json!(if wanted == "true" { "en" } else { wanted }));
        object.insert("language_confidence".to_owned(), json!(0.99));
    }
    let utterance = |words: &[Value], channel: u16| {
        let (first, last) = (words.first()?, words.last()?);
        Some(json!({
            "id": id, "start": first.get("start"), "end": last.get("end"), "confidence": 0.99, "channel": channel,
            "speaker": first.get("speaker"), "transcript": joined(words), "words": words,
        }))
    };
    let mut results = json!({"channels": vec![channel; usize::from(channels)]});
    if let (Some(object), true) = (results.as_object_mut(), options.is_on("utterances")) {
        let all = (0..channels).flat_map(|channel| [utterance(first, channel), utterance(second, channel)]);
        object.insert("utterances".to_owned(), all.flatten().collect());
    }
    let mut metadata = json!({
        "transaction_key": "deprecated", "request_id": id, "sha256": "0".repeat(64), "channels": channels,
        "created": "2026-11-21T00:00:00.000Z", "models": [id],
        "model_info": {id: {"name": format!("general-{model}"), "version": "2025-04-17.21547", "arch": model}},
    });
    if let (Some(object), false) = (metadata.as_object_mut(), fault.no_usage) {
        object.insert("duration".to_owned(), json!(std::time::Duration::from_millis(duration_ms).as_secs_f64()));
    }
    json!({ "metadata": metadata, "results": results })
}

fn words(options: &Options, text: &str, duration_ms: u64) -> Vec<Value> {
    let all: Vec<&str> = text.split_whitespace().collect();
    let each = duration_ms / u64::try_from(all.len()).unwrap_or(1).max(1);
    let punctuated = options.is_on("punctuate") || options.is_on("smart_format");
    let seconds = |ms: u64| std::time::Duration::from_millis(ms).as_secs_f64();
    let word = |(at, word): (u64, &&str)| {
        let plain = word.to_lowercase().trim_matches(|c: char| c.is_ascii_punctuation()).to_owned();
        let mut value =
            json!({"word": plain, "start": seconds(at * each), "end": seconds((at + 1) * each), "confidence": 0.99});
        let Some(object) = value.as_object_mut() else { return value };
        if punctuated {
            object.insert("punctuated_word".to_owned(), json!(word));
        }
        if options.get("diarize_model").is_some() {
            let second = usize::try_from(at).is_ok_and(|at| at >= all.len() / 2);
            object.insert("speaker".to_owned(), json!(u8::from(second)));
            object.insert("speaker_confidence".to_owned(), json!(0.8));
        }
        value
    };
    (0..).zip(&all).map(word).collect()
}

async fn speak(call: &mut Call<'_>, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    let options = Options::read(call, &[SPEECH_OPTIONS])?;
    let request = read_json(call, body, Some(&["text"])).await?;
    let model = options.get("model").unwrap_or("aura-asteria-en");
    let line = call.line(model);
    let text = request.get("text").and_then(Value::as_str).unwrap_or_default();
    let fault = call.fault(model, &[text]);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let checked = check_speak(call, &options, model, text);
    if checked.is_err() {
        line.refused.fetch_add(1, Ordering::Relaxed);
    }
    let Format { name, content_type, bytes_per_ms } = checked?;
    let characters = text.chars().count();
    let total_bytes = fault.bytes.unwrap_or(characters * MS_PER_CHARACTER * bytes_per_ms);
    let amounts = Amounts { characters: u64::try_from(characters).unwrap_or(0), ..Amounts::default() };
    let per_ms = u64::try_from(bytes_per_ms).unwrap_or(1);
    let receipt = Receipt::audio(line, amounts, per_ms).for_serial(&call.shared.fates, call.path, text);
    let audio = speech::audio_body(name, total_bytes, &fault);
    let mut response = answer::deliver(content_type, audio, receipt, &fault);
    head(&mut response, "dg-model-name", model);
    head(&mut response, "dg-char-count", &characters.to_string());
    answer::add_headers(&mut response, &fault);
    Ok(response)
}

/// What is sent: the name by which its first bytes are known, its type and its size.
struct Format {
    name: &'static str,
    content_type: &'static str,
    bytes_per_ms: usize,
}

fn check_speak(call: &Call<'_>, options: &Options, model: &str, text: &str) -> Result<Format, Refusal> {
    let is_flux = call.path == "v2/speak";
    let is_voice = if is_flux { model.starts_with("flux-") } else { model.starts_with("aura-") };
    if !is_voice || !model.contains('-') || model.split('-').any(str::is_empty) {
        return Err(bad("No such model/version combination found."));
    }
    if text.trim().is_empty() {
        return Err(bad("Text must not be empty."));
    }
    if text.chars().count() > LONGEST_TEXT {
        let message = format!("Input text exceeds maximum character limit of {LONGEST_TEXT}.");
        return Err(Refusal::new(413, "too_long", message));
    }
    let slowest = if is_flux { 0.5 } else { 0.7 };
    let speed = options.get("speed").map_or(Some(1.0), |speed| speed.parse::<f64>().ok());
    if !speed.is_some_and(|speed| (slowest..=1.5).contains(&speed)) {
        return Err(unfit("Failed to deserialize query parameters: speed is out of range"));
    }
    if options.get("expressivity").is_some() && !is_flux {
        return Err(unfit("Failed to deserialize query parameters: unknown field `expressivity`"));
    }
    format(options)
}

fn format(options: &Options) -> Result<Format, Refusal> {
    let (encoding, container) = (options.get("encoding").unwrap_or("mp3"), options.get("container"));
    let rate = options.get("sample_rate").and_then(|rate| rate.parse::<usize>().ok());
    let unsupported = || bad("Unsupported audio format: the combination of encoding, container and sample_rate.");
    if options.get("sample_rate").is_some() && matches!(encoding, "mp3" | "aac" | "opus") {
        return Err(unsupported());
    }
    if options.get("bit_rate").is_some() && matches!(encoding, "linear16" | "flac") {
        return Err(unsupported());
    }
    let (name, content_type, bytes_per_ms) = match (encoding, container) {
        ("mp3", None) => ("mp3", "audio/mpeg", 6),
        ("aac", None) => ("aac", "audio/aac", 6),
        ("flac", None) => ("flac", "audio/flac", 30),
        ("opus", None | Some("ogg")) => ("opus", "audio/ogg", 4),
        ("linear16", container) if rate.is_none_or(|rate| [8000, 16_000, 24_000, 32_000, 48_000].contains(&rate)) => {
            let bytes_per_ms = rate.unwrap_or(24_000) / 500;
            match container {
                None | Some("wav") => ("wav", "audio/wav", bytes_per_ms),
                Some("none") => ("pcm", "audio/l16", bytes_per_ms),
                Some(_) => return Err(unsupported()),
            }
        }
        _ => return Err(unsupported()),
    };
    Ok(Format { name, content_type, bytes_per_ms })
}
