//! Scribe: the form of a transcription, and words into every format.

use domain::audio::AudioFile;
use domain::language::Language;
use domain::provider::Operation;
use domain::transcription::{FormField, TranscriptFormat, TranscriptionRequest};
use domain::usage::Usage;
use serde_json::{Map, Value};

use super::options::{self, Field, Holds, field, flag};
use super::scribe::{self, Named};
use crate::contract::{Endpoint, Reply, TranscriptionDialect, UploadBody, UploadRequest, UpstreamModel};
use crate::error::DialectError;
use crate::openai::transcription::render;
use crate::openai::unsupported;

/// What the object `elevenlabs` may hold.
const FIELDS: &[Field] = &[
    field!("diarize", Holds::Flag),
    field!("num_speakers", Holds::Whole(1, 32)),
    field!("diarization_threshold", Holds::Number(0.1, 0.4)),
    field!("detect_speaker_roles", Holds::Flag),
    field!("tag_audio_events", Holds::Flag),
    field!("no_verbatim", Holds::Flag),
    field!("numbers_format", Holds::OneOf(&["digits", "words"])),
    field!("keyterms", Holds::Texts(MAX_KEYTERMS)),
    field!("entity_detection", Holds::Texts(MAX_KEYTERMS)),
    field!("entity_redaction", Holds::Texts(MAX_KEYTERMS)),
    field!("entity_redaction_mode", Holds::OneOf(&["redacted", "entity_type", "enumerated_entity_type"])),
    field!("use_multi_channel", Holds::Flag),
    field!("seed", Holds::Whole(0, 2_147_483_647)),
    field!("enable_logging", Holds::Flag),
];
/// Fields that go into the form under their own name, one part for each of their values.
const PASSED: [&str; 10] = [
    "num_speakers",
    "diarization_threshold",
    "detect_speaker_roles",
    "no_verbatim",
    "numbers_format",
    "entity_detection",
    "entity_redaction",
    "entity_redaction_mode",
    "use_multi_channel",
    "seed",
];
/// What these ask is billed beside the audio, in percent of its price.
pub(super) const SURCHARGES: [(&str, u64); 3] =
    [("entity_detection", 30), ("entity_redaction", 30), ("detect_speaker_roles", 10)];
pub(super) const KEYTERMS_SURCHARGE: u64 = 20;

const MAX_KEYTERMS: usize = 1000;
const MAX_KEYTERM_LETTERS: usize = 49;
const MAX_KEYTERM_WORDS: usize = 5;
/// With more terms than this, so much audio is billed at least.
pub(super) const MANY_KEYTERMS: usize = 100;
pub(super) const MANY_KEYTERMS_MS: u64 = 20_000;
/// Channels that are transcribed each for itself.
const MAX_CHANNELS: u64 = 5;

/// Transcription by Scribe.
#[derive(Debug)]
pub struct Scribe;

impl TranscriptionDialect for Scribe {
    fn request(
        &self,
        operation: Operation,
        request: &TranscriptionRequest,
        _file: &AudioFile,
        model: &UpstreamModel,
    ) -> Result<UploadRequest, DialectError> {
        if operation == Operation::Translation {
            return Err(unsupported(model, "model", "translation"));
        }
        refuse(request, model)?;
        let options = options::read(&request.extensions, FIELDS)?;
        consistent(request, &options, model)?;
        let mut form = Form(Vec::new());
        form.push("model_id", &model.wire_name);
        languages(request, model, &mut form)?;
        if let Some(temperature) = &request.temperature {
            form.push("temperature", temperature);
        }
        form.push("timestamps_granularity", if needs_words(request, &options) { "word" } else { "none" });
        form.push("tag_audio_events", if flag(&options, "tag_audio_events") { "true" } else { "false" });
        if diarizes(request, &options) {
            form.push("diarize", "true");
        }
        for term in keyterms(request, &options)? {
            form.push("keyterms", &term);
        }
        for (name, value) in options.iter().filter(|(name, _)| PASSED.contains(&name.as_str())) {
            form.push_all(name, value);
        }
        let logging = options.get("enable_logging").map_or(String::new(), |flag| format!("?enable_logging={flag}"));
        let endpoint = Endpoint::at(format!("/v1/speech-to-text{logging}"));
        Ok(UploadRequest { endpoint, body: UploadBody::Form(form.0), streams: false })
    }

    fn reply(
        &self,
        operation: Operation,
        request: &TranscriptionRequest,
        model: &UpstreamModel,
        _content_type: &str,
        body: &[u8],
    ) -> Result<Reply, DialectError> {
        let options = options::read(&request.extensions, FIELDS)?;
        let answer = scribe::read(body)?;
        let named = match (diarizes(request, &options), flag(&options, "detect_speaker_roles")) {
            (false, _) => Named::Nobody,
            (true, false) => Named::Letters,
            (true, true) => Named::Roles,
        };
        let transcript = answer.transcript(named);
        let wanted = request.format();
        let mut reply = render(operation, request, &transcript)
            .ok_or_else(|| unsupported(model, "response_format", &format!("`response_format` {wanted}")))?;
        if let Some(entities) = answer.entities() {
            with_entities(&mut reply, entities);
        }
        reply.usage = transcript.duration_ms.map(|audio_in_ms| {
            let length = Usage { audio_in_ms, ..Usage::default() };
            billed(request, &options, answer.channels(), length)
        });
        Ok(reply)
    }

    fn billed(&self, request: &TranscriptionRequest, file: &AudioFile, _model: &UpstreamModel, length: Usage) -> Usage {
        // A request that could not be read was never sent.
        let options = options::read(&request.extensions, FIELDS).unwrap_or_default();
        let channels = if flag(&options, "use_multi_channel") { u64::from(file.channels.unwrap_or(1)) } else { 1 };
        billed(request, &options, channels.clamp(1, MAX_CHANNELS), length)
    }
}

/// What the provider bills for audio of this length.
fn billed(request: &TranscriptionRequest, options: &Map<String, Value>, channels: u64, length: Usage) -> Usage {
    let asked = |name: &str| options.get(name).is_some_and(|value| *value != Value::Bool(false));
    let mut percent: u64 = SURCHARGES.iter().filter(|(name, _)| asked(name)).map(|(_, percent)| percent).sum();
    let own = options.get("keyterms").and_then(Value::as_array).map_or(0, Vec::len);
    let terms = request.keywords.len() + own;
    if terms > 0 {
        percent += KEYTERMS_SURCHARGE;
    }
    // A length that nobody knows stays unknown.
    let least = if terms > MANY_KEYTERMS && length.audio_in_ms > 0 { MANY_KEYTERMS_MS } else { 0 };
    let audio_in_ms = length.audio_in_ms.max(least).saturating_mul(channels);
    Usage { audio_in_ms, surcharge_percent: percent, ..length }
}

/// What `OpenAI` has and Scribe has not. `chunking_strategy` `auto` asks for what is done anyway.
fn refuse(request: &TranscriptionRequest, model: &UpstreamModel) -> Result<(), DialectError> {
    let chunking = request.chunking_strategy.as_deref().is_some_and(|strategy| strategy.trim_matches('"') != "auto");
    let asked = [
        ("prompt", request.prompt.as_deref().is_some_and(|prompt| !prompt.is_empty())),
        ("include", !request.include.is_empty()),
        ("chunking_strategy", chunking),
        ("known_speaker_names", !request.known_speaker_names.is_empty()),
        ("known_speaker_references", !request.known_speaker_references.is_empty()),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((name, _)) => Err(unsupported(model, name, &format!("`{name}`"))),
        None => Ok(()),
    }
}

/// Options that hold only together with others, or only for some models.
fn consistent(
    request: &TranscriptionRequest,
    options: &Map<String, Value>,
    model: &UpstreamModel,
) -> Result<(), DialectError> {
    let channels = flag(options, "use_multi_channel");
    let diarized = diarizes(request, options);
    let invalid = |param: &'static str, message: &str| {
        Err(DialectError::Invalid { param, message: format!("`{param}` {message}") })
    };
    for (name, param) in [
        ("num_speakers", "elevenlabs.num_speakers"),
        ("diarization_threshold", "elevenlabs.diarization_threshold"),
        ("detect_speaker_roles", "elevenlabs.detect_speaker_roles"),
    ] {
        let asked = options.get(name).is_some_and(|value| *value != Value::Bool(false));
        if asked && !diarized {
            return invalid(param, "needs `elevenlabs.diarize` or `response_format` diarized_json, and one channel");
        }
    }
    if options.contains_key("num_speakers") && options.contains_key("diarization_threshold") {
        return invalid("elevenlabs.diarization_threshold", "cannot be sent with `elevenlabs.num_speakers`");
    }
    if options.contains_key("entity_redaction") && !options.contains_key("entity_detection") {
        return invalid("elevenlabs.entity_redaction", "needs `elevenlabs.entity_detection`");
    }
    if channels && options.contains_key("entity_detection") {
        return invalid("elevenlabs.entity_detection", "cannot be sent with `elevenlabs.use_multi_channel`");
    }
    let older = model.model == "scribe_v1";
    if options.contains_key("numbers_format") && (older || model.model.starts_with("scribe_v2")) {
        return Err(unsupported(model, "elevenlabs.numbers_format", "`elevenlabs.numbers_format`"));
    }
    if flag(options, "no_verbatim") && older {
        return Err(unsupported(model, "elevenlabs.no_verbatim", "`elevenlabs.no_verbatim`"));
    }
    Ok(())
}

/// Whether speakers are told apart. Where each channel has one speaker, the channels tell it.
fn diarizes(request: &TranscriptionRequest, options: &Map<String, Value>) -> bool {
    let asked = flag(options, "diarize") || request.format() == TranscriptFormat::DiarizedJson;
    asked && !flag(options, "use_multi_channel")
}

/// Plain text needs no times, unless channels have to be put in order.
fn needs_words(request: &TranscriptionRequest, options: &Map<String, Value>) -> bool {
    request.format().needs_timing() || diarizes(request, options) || flag(options, "use_multi_channel")
}

struct Form(Vec<FormField>);

impl Form {
    fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    fn push_all(&mut self, name: &str, value: &Value) {
        match value {
            Value::Array(list) => list.iter().for_each(|value| self.push_all(name, value)),
            Value::String(text) => self.push(name, text),
            other => self.push(name, &other.to_string()),
        }
    }
}

/// The newest model takes further languages beside the first.
fn languages(request: &TranscriptionRequest, model: &UpstreamModel, form: &mut Form) -> Result<(), DialectError> {
    let mut named: Vec<String> = Vec::new();
    for (param, language) in request
        .language
        .iter()
        .map(|language| ("language", language))
        .chain(request.languages.iter().map(|language| ("languages", language)))
    {
        let code = code(param, language)?;
        if !named.contains(&code) {
            named.push(code);
        }
    }
    if named.len() > 1 && model.model != "scribe_v3" {
        return Err(unsupported(model, "languages", "several `languages`"));
    }
    for (index, code) in named.iter().enumerate() {
        form.push(if index == 0 { "language_code" } else { "secondary_language_codes" }, code);
    }
    Ok(())
}

/// Scribe knows more languages than are listed here; a code is passed on.
fn code(param: &'static str, named: &str) -> Result<String, DialectError> {
    if let Some(language) = Language::find(named) {
        return Ok(language.code.to_owned());
    }
    let code = named.trim().to_ascii_lowercase();
    if (2..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Ok(code);
    }
    Err(DialectError::Invalid { param, message: format!("`{param}` must be an ISO 639 code") })
}

/// The client's keywords and the object's terms, which the provider bills.
fn keyterms(request: &TranscriptionRequest, options: &Map<String, Value>) -> Result<Vec<String>, DialectError> {
    let own = options.get("keyterms").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let own = own.iter().filter_map(Value::as_str).map(|term| ("elevenlabs.keyterms", term));
    let all = request.keywords.iter().map(|term| ("keywords", term.as_str())).chain(own);
    let mut terms = Vec::new();
    for (param, term) in all {
        let fits = !term.trim().is_empty()
            && term.chars().count() <= MAX_KEYTERM_LETTERS
            && term.split_whitespace().count() <= MAX_KEYTERM_WORDS
            && !term.contains(['<', '>', '{', '}', '[', ']', '\\'])
            && terms.len() < MAX_KEYTERMS;
        if !fits {
            let message = format!(
                "`{param}` takes {MAX_KEYTERMS} terms of at most {MAX_KEYTERM_LETTERS} letters and \
                 {MAX_KEYTERM_WORDS} words without brackets and backslashes"
            );
            return Err(DialectError::Invalid { param, message });
        }
        terms.push(term.to_owned());
    }
    Ok(terms)
}

/// Entities are a field of the provider's own beside those of `OpenAI`'s JSON; other formats have no room.
fn with_entities(reply: &mut Reply, entities: &Value) {
    if reply.content_type != "application/json" {
        return;
    }
    if let Ok(Value::Object(mut answer)) = serde_json::from_slice(&reply.body) {
        answer.insert("entities".to_owned(), entities.clone());
        reply.body = Value::Object(answer).to_string().into_bytes();
    }
}
