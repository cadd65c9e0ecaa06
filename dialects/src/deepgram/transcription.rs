//! Transcription: the file is the body, everything else the query.

use domain::audio::AudioFile;
use domain::language::Language;
use domain::provider::Operation;
use domain::transcription::{TranscriptFormat, TranscriptionRequest};
use domain::usage::Usage;
use serde_json::{Map, Value};

use super::answer;
use super::extension::{Kind, Known, Options, invalid};
use super::models::{Capabilities, Terms, capabilities};
use super::query::Query;
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
/// The language of several at once.
const MULTI: &str = "multi";

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
        languages(request, model, &can, &options, &mut query)?;
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
        let detects = capabilities(&model.model).detects && !options.is_off("detect_language");
        let heard = answer::read(body, asked_language(request, detects))?;
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
        reply.usage = heard.billed_ms.map(|audio_in_ms| Usage { audio_in_ms, ..Usage::default() });
        Ok(reply)
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

/// One language as it is, several as a mixture where the model knows them all, else as candidates.
/// Without any, the model is asked to find out, if it has more than English.
fn languages(
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    can: &Capabilities,
    options: &Options<'_>,
    query: &mut Query,
) -> Result<(), DialectError> {
    let named = request.language.iter().map(|name| ("language", name));
    let named = named.chain(request.languages.iter().map(|name| ("languages", name)));
    let mut tags: Vec<String> = Vec::new();
    for (param, name) in named {
        let tag = tag(name).ok_or_else(|| unsupported(model, param, &format!("the language `{}`", short(name))))?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let detection = options.get("detect_language");
    if let (Some(_), [_, ..]) = (detection, tags.as_slice()) {
        let name = "deepgram.detect_language";
        return Err(invalid(name, format!("`{name}` cannot be combined with a language")));
    }
    let english = |tag: &String| tag == "en" || tag.starts_with("en-");
    match tags.as_slice() {
        [] => detect(can, options, query),
        [only] if only == MULTI && can.mixes.is_empty() => {
            return Err(unsupported(model, "language", "`language` multi"));
        }
        [only] if can.detects || english(only) => query.push("language", only),
        [_] => return Err(unsupported(model, "language", "a `language` other than English")),
        several if several.iter().all(english) => query.push("language", "en"),
        several if several.iter().all(|tag| tag == MULTI || can.mixes.contains(&base(tag))) => {
            query.push("language", MULTI);
        }
        several if can.detects && several.iter().all(|tag| tag != MULTI) => {
            several.iter().for_each(|tag| query.push("detect_language", base(tag)));
        }
        _ => return Err(unsupported(model, "languages", "these `languages` together")),
    }
    Ok(())
}

fn detect(can: &Capabilities, options: &Options<'_>, query: &mut Query) {
    let candidates = options.texts("detect_language");
    let candidates: Vec<&str> = candidates.into_iter().filter(|text| text.parse::<bool>().is_err()).collect();
    match options.get("detect_language") {
        Some(_) if !candidates.is_empty() => candidates.iter().for_each(|tag| query.push("detect_language", tag)),
        Some(_) if options.is_on("detect_language") => query.push("detect_language", "true"),
        None if can.detects => query.push("detect_language", "true"),
        // Switched off, or a model that has English alone, which is the default.
        _ => {}
    }
}

/// What Deepgram calls a language: the short code, with a region or script where Deepgram knows that one.
/// Any other region means the language itself.
fn tag(named: &str) -> Option<String> {
    let named = named.trim();
    if named.eq_ignore_ascii_case(MULTI) {
        return Some(MULTI.to_owned());
    }
    let subtags: Vec<&str> = named.split(['-', '_']).collect();
    let first = subtags.first().copied().unwrap_or_default();
    let code = match Language::find(named) {
        // Deepgram's name of Cantonese is that of Hong Kong's Chinese.
        Some(Language { code: "yue", .. }) => return Some("zh-HK".to_owned()),
        Some(Language { code: "fil", .. }) => "tl".to_owned(),
        Some(language) => language.code.to_owned(),
        // A code that is not known here may be known there.
        None if matches!(first.len(), 2 | 3) && first.chars().all(|c| c.is_ascii_alphabetic()) => {
            first.to_ascii_lowercase()
        }
        None => return None,
    };
    let is_known = |tag: &&&str| {
        let rest = tag.strip_prefix(code.as_str()).and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| subtags.iter().skip(1).any(|subtag| subtag.eq_ignore_ascii_case(rest)))
    };
    let known = REGIONS.iter().rev().find(is_known).map(|tag| (*tag).to_owned());
    Some(known.unwrap_or(code))
}

/// Tags with a region or script that are languages of their own there. Of two that fit, the later one
/// stands: a region says more than a script.
const REGIONS: &[&str] = &[
    "da-DK", "de-CH", "en-AU", "en-GB", "en-IN", "en-NZ", "en-US", "es-419", "fr-CA", "hi-Latn", "ko-KR", "nl-BE",
    "pt-BR", "pt-PT", "sv-SE", "th-TH", "zh-Hans", "zh-Hant", "zh-CN", "zh-TW", "zh-HK",
];

fn base(tag: &str) -> &str {
    tag.split('-').next().unwrap_or(tag)
}

fn short(name: &str) -> String {
    name.chars().take(40).collect()
}

/// The language that an answer is in where it tells none.
fn asked_language(request: &TranscriptionRequest, detects: bool) -> Option<&str> {
    let mut named = request.language.iter().chain(&request.languages);
    match (named.next(), named.next()) {
        (Some(only), None) if !only.trim().eq_ignore_ascii_case(MULTI) => Some(only),
        (None, _) if !detects => Some("en"),
        _ => None,
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
