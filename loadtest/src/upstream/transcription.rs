//! `/audio/transcriptions` and `/audio/translations`.
#![expect(clippy::indexing_slicing, reason = "reading a JSON value by name gives null where it is absent")]

use http::Response;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    Amounts, Fault, Kind,
    answer::{self, Refusal},
    body::ScriptBody,
    counts::Receipt,
    form::{FilePart, Form},
    routes::{Call, read_form},
};
use crate::wav;

/// What every recording says, unless the script has another text.
pub(super) const SENTENCE: &str = "The quick brown fox jumps over the lazy dog.";

const FIELDS: &[&str] = &[
    "chunking_strategy",
    "include",
    "keywords",
    "known_speaker_names",
    "known_speaker_references",
    "language",
    "languages",
    "model",
    "prompt",
    "response_format",
    "stream",
    "temperature",
    "timestamp_granularities",
];

/// How a model bills and what it can answer.
struct Ability {
    formats: &'static [&'static str],
    streams: bool,
    tokens: bool,
}

fn ability(kind: Kind, model: &str) -> Ability {
    const WHISPER: &[&str] = &["json", "text", "srt", "verbose_json", "vtt"];
    if kind == Kind::Groq {
        return Ability { formats: &["json", "text", "verbose_json"], streams: false, tokens: false };
    }
    if kind == Kind::SelfHosted {
        return Ability { formats: WHISPER, streams: true, tokens: false };
    }
    if model.contains("diarize") {
        return Ability { formats: &["json", "text", "diarized_json"], streams: true, tokens: true };
    }
    if model.contains("gpt-4o") {
        return Ability { formats: &["json", "text"], streams: true, tokens: true };
    }
    if model.starts_with("gpt-transcribe") {
        return Ability { formats: &["json"], streams: true, tokens: false };
    }
    Ability { formats: WHISPER, streams: false, tokens: false }
}

/// Everything an answer is made of.
struct Spoken {
    text: String,
    duration_ms: u64,
    audio_tokens: u64,
    text_tokens: u64,
    output_tokens: u64,
}

/// Reads the form, checks it as the model would and answers.
pub(super) async fn answer(call: &mut Call<'_>, body: Incoming) -> Result<Response<ScriptBody>, Refusal> {
    let form = read_form(call, body, FIELDS).await?;
    let model = form.get("model").filter(|model| !model.is_empty()).ok_or_else(|| Refusal::missing("model"))?;
    let line = call.line(model);
    let fault = call.fault(model, &[form.get("prompt").unwrap_or_default()]);
    if let Some(response) = call.misbehave(&fault, &line).await {
        return Ok(response);
    }
    let checked = check(call, &form, model);
    if checked.is_err() {
        line.refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
    let duration_ms = checked?;
    let ability = ability(call.kind, model);
    let spoken = spoken(&form, &fault, duration_ms);
    let amounts = amounts(&ability, &spoken);
    let prompt = form.get("prompt").unwrap_or_default();
    let receipt = Receipt::new(line, amounts).for_serial(&call.shared.fates, call.path, prompt);
    let stream = form.get("stream") == Some("true") && ability.streams;
    let (content_type, body) =
        if stream { stream_answer(&form, &ability, &spoken) } else { whole_answer(call, &form, &ability, &spoken) };
    let mut response = answer::deliver(content_type, body, receipt, &fault);
    answer::add_headers(&mut response, &fault);
    Ok(response)
}

fn amounts(ability: &Ability, spoken: &Spoken) -> Amounts {
    let mut amounts = Amounts { audio_in_ms: spoken.duration_ms, ..Amounts::default() };
    if ability.tokens {
        amounts.tokens_in = spoken.audio_tokens + spoken.text_tokens;
        amounts.tokens_out = spoken.output_tokens;
    }
    amounts
}

/// Checks the form and measures the file.
fn check(call: &Call<'_>, form: &Form, model: &str) -> Result<u64, Refusal> {
    let file = form.file.as_ref().ok_or_else(|| Refusal::missing("file"))?;
    let translating = call.path.ends_with("translations");
    if translating && (model.contains("turbo") || model.starts_with("gpt-")) {
        return Err(Refusal::bad("invalid_value", "model", format!("The model '{model}' does not translate.")));
    }
    check_format(call.kind, form, model)?;
    if call.kind == Kind::Groq && form.get("prompt").is_some_and(|prompt| prompt.chars().count() > 896) {
        return Err(Refusal::bad("invalid_value", "prompt", "prompt length must be 896 characters or fewer"));
    }
    let diarize = model.contains("diarize") && matches!(call.kind, Kind::Openai | Kind::Azure);
    if diarize && !form.has("chunking_strategy") {
        return Err(Refusal::bad(
            "invalid_value",
            "chunking_strategy",
            "chunking_strategy is required for this model.",
        ));
    }
    measure(call.kind, file)
}

fn check_format(kind: Kind, form: &Form, model: &str) -> Result<(), Refusal> {
    let ability = ability(kind, model);
    let format = form.get("response_format").unwrap_or("json");
    if !ability.formats.contains(&format) {
        let message = format!("response_format '{format}' is not compatible with model '{model}'.");
        return Err(Refusal::bad("unsupported_value", "response_format", message));
    }
    if kind == Kind::Groq && form.get("stream") == Some("true") {
        return Err(Refusal::bad("invalid_value", "stream", "stream is not supported."));
    }
    if kind == Kind::Groq && form.has("timestamp_granularities") && format != "verbose_json" {
        let message = "timestamp_granularities needs response_format verbose_json.";
        return Err(Refusal::bad("invalid_value", "timestamp_granularities", message));
    }
    Ok(())
}

/// Milliseconds of the file: from the header of a WAV file, else as at 128 kbit/s.
fn measure(kind: Kind, file: &FilePart) -> Result<u64, Refusal> {
    let head = &file.head;
    let known = head.starts_with(b"RIFF")
        || head.starts_with(b"OggS")
        || head.starts_with(b"fLaC")
        || head.starts_with(b"ID3")
        || head.starts_with(&[0x1A, 0x45, 0xDF, 0xA3])
        || matches!(head.get(0..2), Some([0xFF, second]) if second & 0xE0 == 0xE0)
        || head.get(4..8) == Some(b"ftyp");
    if !known {
        let message = "Invalid file format. Supported formats: \
            ['flac', 'm4a', 'mp3', 'mp4', 'mpeg', 'mpga', 'oga', 'ogg', 'wav', 'webm']";
        return Err(Refusal::bad("invalid_value", "file", message));
    }
    if file.bytes > 25 * 1024 * 1024 {
        let message = format!("Maximum content size limit (26214400) exceeded ({} bytes read)", file.bytes);
        return Err(Refusal::new(413, "request_too_large", message));
    }
    let ms = wav::duration_ms(head, file.bytes).unwrap_or(file.bytes / 16);
    let shortest = if kind == Kind::Groq { 10 } else { 100 };
    if ms < shortest {
        return Err(Refusal::bad("audio_too_short", "file", "Audio file is too short. Minimum length is 0.1 seconds."));
    }
    Ok(ms)
}

fn spoken(form: &Form, fault: &Fault, duration_ms: u64) -> Spoken {
    let text = fault.text.clone().unwrap_or_else(|| SENTENCE.to_owned());
    let words = u64::try_from(text.split_whitespace().count()).unwrap_or(0);
    let prompt = form.get("prompt").unwrap_or_default().split_whitespace().count();
    Spoken {
        duration_ms,
        audio_tokens: duration_ms.div_ceil(100),
        text_tokens: u64::try_from(prompt).unwrap_or(0),
        output_tokens: words + 2,
        text,
    }
}

fn usage(ability: &Ability, spoken: &Spoken) -> Value {
    if !ability.tokens {
        return json!({"type": "duration", "seconds": spoken.duration_ms.div_ceil(1000)});
    }
    let input = spoken.audio_tokens + spoken.text_tokens;
    json!({
        "type": "tokens", "input_tokens": input, "output_tokens": spoken.output_tokens,
        "total_tokens": input + spoken.output_tokens,
        "input_token_details": {"text_tokens": spoken.text_tokens, "audio_tokens": spoken.audio_tokens},
    })
}

fn whole_answer(call: &Call<'_>, form: &Form, ability: &Ability, spoken: &Spoken) -> (&'static str, ScriptBody) {
    let format = form.get("response_format").unwrap_or("json");
    let middle = spoken.duration_ms / 2;
    let (first, second) = halves(&spoken.text);
    match format {
        "text" => return ("text/plain; charset=utf-8", ScriptBody::whole(format!("{}\n", spoken.text))),
        "srt" => {
            let cue = |n, from, to, text| format!("{n}\n{} --> {}\n{text}\n\n", stamp(from, ','), stamp(to, ','));
            let body = cue(1, 0, middle, &first) + &cue(2, middle, spoken.duration_ms, &second);
            return ("text/plain; charset=utf-8", ScriptBody::whole(body));
        }
        "vtt" => {
            let cue = |from, to, text| format!("{} --> {}\n{text}\n\n", stamp(from, '.'), stamp(to, '.'));
            let body = format!("WEBVTT\n\n{}{}", cue(0, middle, &first), cue(middle, spoken.duration_ms, &second));
            return ("text/plain; charset=utf-8", ScriptBody::whole(body));
        }
        _ => {}
    }
    let mut body = json!({"text": spoken.text});
    let translating = call.path.ends_with("translations");
    if format == "verbose_json" {
        body = verbose(form, spoken, if translating { "translate" } else { "transcribe" });
    }
    if format == "diarized_json" {
        body = json!({
            "task": "transcribe", "duration": seconds(spoken.duration_ms), "text": spoken.text,
            "segments": [speaker_segment("seg_001", 0, middle, &first, &speaker(form, 0)),
                         speaker_segment("seg_002", middle, spoken.duration_ms, &second, &speaker(form, 1))],
        });
    }
    if form.all("include").any(|what| what == "logprobs") {
        body["logprobs"] = logprobs(&spoken.text);
    }
    if form.get("model").is_some_and(|model| model.starts_with("gpt-transcribe")) {
        body["languages"] = json!([{"code": "en"}]);
    }
    match call.kind {
        Kind::Groq => body["x_groq"] = json!({"id": format!("req_{:x}", call.shared.next_serial())}),
        Kind::SelfHosted | Kind::Elevenlabs | Kind::Deepgram | Kind::Google | Kind::Ultravox => {}
        Kind::Openai | Kind::Azure if translating => {}
        Kind::Openai | Kind::Azure => body["usage"] = usage(ability, spoken),
    }
    ("application/json", ScriptBody::whole(body.to_string()))
}

fn verbose(form: &Form, spoken: &Spoken, task: &str) -> Value {
    let middle = spoken.duration_ms / 2;
    let (first, second) = halves(&spoken.text);
    let segment = |id: u32, from, to, text: &str| {
        json!({
            "id": id, "seek": 0, "start": seconds(from), "end": seconds(to), "text": format!(" {text}"),
            "tokens": [50364], "temperature": 0.0, "avg_logprob": -0.28, "compression_ratio": 1.2,
            "no_speech_prob": 0.009,
        })
    };
    let mut body = json!({
        "task": task, "language": "english", "duration": seconds(spoken.duration_ms), "text": spoken.text,
    });
    let wants_words = form.all("timestamp_granularities").any(|what| what == "word");
    if wants_words {
        body["words"] = words(&spoken.text, spoken.duration_ms);
    }
    if !wants_words || form.all("timestamp_granularities").any(|what| what == "segment") {
        body["segments"] = json!([segment(0, 0, middle, &first), segment(1, middle, spoken.duration_ms, &second)]);
    }
    body
}

fn words(text: &str, duration_ms: u64) -> Value {
    let all: Vec<&str> = text.split_whitespace().collect();
    let each = duration_ms / u64::try_from(all.len()).unwrap_or(1).max(1);
    let spans = (0_u64..).map(|at| (at * each, (at + 1) * each));
    all.iter()
        .zip(spans)
        .map(|(word, (from, to))| json!({"word": word, "start": seconds(from), "end": seconds(to)}))
        .collect()
}

fn logprobs(text: &str) -> Value {
    text.split_whitespace().map(|word| json!({"token": word, "logprob": -0.1, "bytes": word.as_bytes()})).collect()
}

fn stream_answer(form: &Form, ability: &Ability, spoken: &Spoken) -> (&'static str, ScriptBody) {
    let mut events = Vec::new();
    if form.get("response_format") == Some("diarized_json") {
        let middle = spoken.duration_ms / 2;
        let (first, second) = halves(&spoken.text);
        for (id, from, to, text, at) in
            [("seg_001", 0, middle, first, 0), ("seg_002", middle, spoken.duration_ms, second, 1)]
        {
            events.push(json!({"type": "transcript.text.delta", "delta": text, "segment_id": id}));
            events.push(speaker_segment(id, from, to, &text, &speaker(form, at)));
        }
    } else {
        for piece in spoken.text.split_inclusive(' ') {
            events.push(json!({"type": "transcript.text.delta", "delta": piece}));
        }
    }
    events.push(json!({"type": "transcript.text.done", "text": spoken.text, "usage": usage(ability, spoken)}));
    ("text/event-stream", answer::events(events, false))
}

fn speaker(form: &Form, at: usize) -> String {
    let fallback = if at == 0 { "A" } else { "B" };
    form.all("known_speaker_names").nth(at).unwrap_or(fallback).to_owned()
}

fn speaker_segment(id: &str, from: u64, to: u64, text: &str, speaker: &str) -> Value {
    json!({
        "type": "transcript.text.segment", "id": id, "start": seconds(from), "end": seconds(to), "text": text,
        "speaker": speaker,
    })
}

fn halves(text: &str) -> (String, String) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (first, second) = words.split_at(words.len() / 2);
    (first.join(" "), second.join(" "))
}

/// Seconds as the API writes them; three decimals are exact in an `f64` of this size.
fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

fn stamp(ms: u64, point: char) -> String {
    format!("{:02}:{:02}:{:02}{point}{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}
