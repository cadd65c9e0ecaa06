//! Groq: OpenAI's language with fewer formats, no streamed transcripts, WAV speech and no realtime.
//!
//! Source: Groq's API reference, errors page and SDK, read 2026-11-21.

pub(crate) mod surface;

use domain::audio::SpeechFormat;
use domain::error::{ErrorKind, Retry};
use domain::provider::Operation;
use domain::speech::SpeechRequest;
use domain::transcription::TranscriptFormat;

use crate::contract::{JsonDialect, JsonRequest, SpeechAnswer, SpeechAudio, SpeechDialect, SpeechPlan, UpstreamModel};
use crate::error::{DialectError, Fault};
use crate::openai::errors::{self, Refusal};
use crate::openai::json::OpenaiJson;
use crate::openai::transcription::{Capabilities, models};
use crate::openai::{speech, unsupported};
use crate::split::{Limit, split};

/// Bytes of a prompt. The reference counts characters; some models count bytes.
const MAX_PROMPT_BYTES: usize = 896;
/// Characters of one speech request.
const MAX_INPUT_CHARS: usize = 200;

/// Groq reports no usage, so `verbose_json` is always asked for: it tells the duration.
#[must_use]
pub fn capabilities(model: &str) -> Capabilities {
    Capabilities {
        formats: &[TranscriptFormat::VerboseJson],
        always_verbose: true,
        prompt_bytes: Some(MAX_PROMPT_BYTES),
        translates: model == "whisper-large-v3",
        ..models::WHISPER
    }
}

/// Speech by Orpheus: WAV only, 200 characters at once, directions in the text instead of `instructions`.
/// A longer text is asked for in parts, whose samples are joined.
#[derive(Debug)]
pub struct GroqSpeech;

impl SpeechDialect for GroqSpeech {
    fn request(&self, request: &SpeechRequest, model: &UpstreamModel) -> Result<SpeechPlan, DialectError> {
        speech::validate(request)?;
        let format = request.format();
        if !matches!(format, SpeechFormat::Wav | SpeechFormat::Pcm) {
            return Err(unsupported(
                model,
                "response_format",
                &format!("`response_format` {format} (only wav and pcm)"),
            ));
        }
        if request.instructions.is_some() {
            return Err(unsupported(model, "instructions", "`instructions`"));
        }
        if request.speed.is_some_and(|speed| speed < 0.5) {
            return Err(unsupported(model, "speed", "a `speed` below 0.5"));
        }
        let texts = split(&request.input, Limit::Characters(MAX_INPUT_CHARS));
        let as_is = format == SpeechFormat::Wav && texts.len() == 1;
        let mut parts = Vec::with_capacity(texts.len());
        for text in texts {
            let response_format = Some(SpeechFormat::Wav);
            let asked = SpeechRequest { input: text.to_owned(), response_format, ..request.clone() };
            parts.extend(speech::plan(&asked, model, SpeechAnswer::Audio)?.parts);
        }
        // Every part is a file of its own.
        let audio = if as_is { SpeechAudio::AsAsked } else { SpeechAudio::Wav };
        Ok(SpeechPlan { parts, answer: SpeechAnswer::Audio, audio })
    }
}

/// Chat only: no embedding model is listed.
#[derive(Debug)]
pub struct GroqJson;

impl JsonDialect for GroqJson {
    fn request(&self, operation: Operation, body: &[u8], model: &UpstreamModel) -> Result<JsonRequest, DialectError> {
        if operation == Operation::Embeddings {
            return Err(unsupported(model, "model", "embeddings"));
        }
        OpenaiJson.request(operation, body, model)
    }
}

/// As OpenAI's, with three differences: a request over the account's tokens per minute is a 413 with
/// type `tokens`, a model that ended or whose terms nobody accepted is a 400 that another target may
/// serve, and 498 says that the tier is full.
#[must_use]
pub fn fault(status: u16, body: &[u8]) -> Fault {
    let fault = errors::fault(status, body);
    let refusal = Refusal::read(body);
    match (status, refusal.kind.as_deref(), refusal.code.as_deref()) {
        (413, Some("tokens"), _) | (413, _, Some("rate_limit_exceeded")) => {
            Fault { kind: ErrorKind::UpstreamRateLimited, retry: Retry::No, ..fault }
        }
        (400, _, Some("model_terms_required" | "model_decommissioned")) => {
            Fault { kind: ErrorKind::UpstreamError, retry: Retry::NextTarget, ..fault }
        }
        _ => fault,
    }
}
