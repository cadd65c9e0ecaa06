//! Transcription: the file is the body, everything else the query.

use domain::audio::AudioFile;
use domain::provider::Operation;
use domain::transcription::{TranscriptFormat, TranscriptionRequest};
use domain::usage::Usage;
use serde_json::{Map, Value};

use super::extension::{Kind, Known, Options, invalid};
use super::models::{Capabilities, Terms, capabilities};
use super::query::Query;
use super::{answer, billing, languages};
use crate::contract::{Reply, TranscriptionDialect, UploadBody, UploadRequest, UpstreamModel};
use crate::error::DialectError;
use crate::openai::transcription::render;
use crate::openai::unsupported;

/// Transcription of files.
#[derive(Debug)]
pub struct DeepgramTranscription;

/// What `deepgram` may hold with a transcription.
static OPTIONS: &[Known] = &[
    Known::new("deepgram.smart_format", Kind::Switch),
    Known::new("deepgram.numerals", Kind::Switch),
    Known::new("deepgram.measurements", Kind::Switch),
    Known::new("deepgram.dictation", Kind::Switch),
    Known::new("deepgram.profanity_filter", Kind::Switch),
    Known::new("deepgram.filler_words", Kind::Switch),
    Known::new("deepgram.multichannel", Kind::Switch),
    Known::new("deepgram.diarize_model", Kind::Word(&["latest", "v1", "v2"])),
    Known::new("deepgram.detect_language", Kind::SwitchOrTexts),
    Known::new("deepgram.utt_split", Kind::Number(0.0, 3600.0)),
    Known::new("deepgram.keyterm", Kind::Texts),
    Known::new("deepgram.keywords", Kind::Texts),
    Known::new("deepgram.redact", Kind::Texts),
    Known::new("deepgram.replace", Kind::Texts),
    Known::new("deepgram.search", Kind::Texts),
    Known::new("deepgram.detect_entities", Kind::Switch),
    Known::new("deepgram.extra", Kind::Texts),
    Known::new("deepgram.tag", Kind::Texts),
    Known::new("deepgram.version", Kind::Text),
    Known::new("deepgram.mip_opt_out", Kind::Switch),
];

/// Options whose results come beside the transcript.
const ANALYSES: &[&str] = &["search", "detect_entities"];
/// Options that are written where their place is, not with the others.
const PLACED: &[&str] = &["smart_format", "diarize_model", "detect_language"];

impl TranscriptionDialect for DeepgramTranscription {
    fn request(
        &self,
        operation: Operation,
        request: &TranscriptionRequest,
        file: &AudioFile,
        model: &UpstreamModel,
    ) -> Result<UploadRequest, DialectError> {
        let can = capabilities(&model.model);
        refuse(operation, request, model, &can)?;
        let options = Options::read(&request.extensions, OPTIONS)?;
        analyses_have_a_place(request, &options)?;
        let mut query = Query::new("/v1/listen", "model", &model.wire_name);
        if !options.is_off("smart_format") {
            query.push("smart_format", "true");
        }
        query.push("punctuate", "true");
        languages::chosen(request, model, &can, &options)?.write(&mut query);
        if request.format().needs_timing() || options.is_on("multichannel") {
            query.push("utterances", "true");
        }
        diarization(request, &options, &mut query);
        terms(request, model, &can, &options, &mut query)?;
        options.write_but(&mut query, PLACED);
        let longest = if request.keywords.is_empty() { "deepgram" } else { "keywords" };
        let body = UploadBody::Raw(file.container.content_type());
        Ok(UploadRequest { endpoint: query.endpoint(longest)?, body, streams: false })
    }

    fn reply(
        &self,
        operation: Operation,
        request: &TranscriptionRequest,
        model: &UpstreamModel,
        _content_type: &str,
        body: &[u8],
    ) -> Result<Reply, DialectError> {
        let options = Options::read(&request.extensions, OPTIONS)?;
        let spoken = languages::chosen(request, model, &capabilities(&model.model), &options)?;
        let heard = answer::read(body, spoken.told())?;
        let wanted = request.format();
        if wanted == TranscriptFormat::DiarizedJson && heard.transcript.segments.iter().any(|one| one.speaker.is_none())
        {
            return Err(DialectError::Upstream("speakers were asked for and none were told".to_owned()));
        }
        let mut reply = render(operation, request, &heard.transcript)
            .ok_or_else(|| unsupported(model, "response_format", &format!("`response_format` {wanted}")))?;
        if !heard.extras.is_empty() && options.first_on(ANALYSES).is_some() {
            reply.body = with_extras(&reply.body, heard.extras)?;
        }
        let surcharge_percent = billing::surcharge_percent(request, &spoken, &options, &model.model);
        let billed = |audio_in_ms| Usage { audio_in_ms, surcharge_percent, ..Usage::default() };
        reply.usage = heard.billed_ms.map(billed);
        Ok(reply)
    }

    fn billed(&self, request: &TranscriptionRequest, file: &AudioFile, model: &UpstreamModel, length: Usage) -> Usage {
        // A request that could not be written was never sent.
        let Ok(options) = Options::read(&request.extensions, OPTIONS) else { return length };
        let Ok(spoken) = languages::chosen(request, model, &capabilities(&model.model), &options) else {
            return length;
        };
        Usage {
            audio_in_ms: length.audio_in_ms.saturating_mul(billing::channels(&options, file)),
            surcharge_percent: billing::surcharge_percent(request, &spoken, &options, &model.model),
            ..length
        }
    }
}

/// What Deepgram has no counterpart for.
fn refuse(
    operation: Operation,
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    can: &Capabilities,
) -> Result<(), DialectError> {
    if operation == Operation::Translation {
        return Err(unsupported(model, "model", "translation"));
    }
    if !can.files {
        return Err(unsupported(model, "model", "transcription of files"));
    }
    if request.prompt.as_deref().is_some_and(|prompt| !prompt.trim().is_empty()) {
        return Err(unsupported(model, "prompt", "`prompt` (words to listen for go into `keywords`)"));
    }
    // Nothing is drawn by lot there, so the lowest temperature is what happens anyway.
    let is_zero = |text: &String| text.trim().parse().is_ok_and(|value: f64| value == 0.0);
    if request.temperature.as_ref().is_some_and(|temperature| !is_zero(temperature)) {
        return Err(unsupported(model, "temperature", "a `temperature` other than 0"));
    }
    // Deepgram cuts the audio by itself, which is what `auto` means.
    if request.chunking_strategy.as_deref().is_some_and(|strategy| strategy.trim_matches('"') != "auto") {
        return Err(unsupported(model, "chunking_strategy", "a `chunking_strategy` other than auto"));
    }
    let lists: [(&'static str, &[String]); 3] = [
        ("include", &request.include),
        ("known_speaker_names", &request.known_speaker_names),
        ("known_speaker_references", &request.known_speaker_references),
    ];
    match lists.into_iter().find(|(_, values)| !values.is_empty()) {
        Some((name, _)) => Err(unsupported(model, name, &format!("`{name}`"))),
        None => Ok(()),
    }
}

/// Captions, plain text and events have no place for more than the transcript.
fn analyses_have_a_place(request: &TranscriptionRequest, options: &Options<'_>) -> Result<(), DialectError> {
    use TranscriptFormat::{DiarizedJson, Json, VerboseJson};
    let has_place = !request.stream && matches!(request.format(), Json | VerboseJson | DiarizedJson);
    match options.first_on(ANALYSES) {
        Some(name) if !has_place => {
            let message =
                format!("`{name}` needs a `response_format` in JSON and no `stream`: nothing else holds its results");
            Err(invalid(name, message))
        }
        _ => Ok(()),
    }
}

/// `diarized_json` needs speakers; other formats get them where the extension asks for them.
fn diarization(request: &TranscriptionRequest, options: &Options<'_>, query: &mut Query) {
    let asked = options.get("diarize_model").and_then(Value::as_str);
    let needed = (request.format() == TranscriptFormat::DiarizedJson).then_some("latest");
    if let Some(version) = asked.or(needed) {
        query.push("diarize_model", version);
    }
}

fn terms(
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    can: &Capabilities,
    options: &Options<'_>,
    query: &mut Query,
) -> Result<(), DialectError> {
    let taken = match can.terms {
        Terms::Keyterm => "keyterm",
        Terms::Keywords => "keywords",
        Terms::None => "",
    };
    if taken.is_empty() && !request.keywords.is_empty() {
        return Err(unsupported(model, "keywords", "`keywords`"));
    }
    for (wire, name) in [("keyterm", "deepgram.keyterm"), ("keywords", "deepgram.keywords")] {
        if wire != taken && options.is_on(wire) {
            return Err(unsupported(model, name, &format!("`{name}`")));
        }
    }
    request.keywords.iter().for_each(|term| query.push(taken, term));
    Ok(())
}

/// The transcript with what else was asked for, in an object `deepgram`.
fn with_extras(body: &[u8], extras: Map<String, Value>) -> Result<Vec<u8>, DialectError> {
    let broken = |error: serde_json::Error| DialectError::Upstream(error.to_string());
    let mut answer: Map<String, Value> = serde_json::from_slice(body).map_err(broken)?;
    answer.insert("deepgram".to_owned(), Value::Object(extras));
    serde_json::to_vec(&answer).map_err(broken)
}
