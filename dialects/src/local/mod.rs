//! flite and `PocketSphinx` in this process. There is no wire: the dialect checks what may be asked,
//! and the transcript is rendered by [`crate::openai::transcription::render`].

use domain::audio::SpeechFormat;
use domain::speech::SpeechRequest;
use domain::transcription::TranscriptFormat;

use crate::contract::{SpeechAnswer, SpeechDialect, SpeechPlan, UpstreamModel};
use crate::error::DialectError;
use crate::openai::transcription::{Capabilities, models};
use crate::openai::{speech, unsupported};

/// `PocketSphinx` has one English model with times of words, and nothing that guides it.
#[must_use]
pub fn capabilities(_model: &str) -> Capabilities {
    Capabilities {
        formats: &[TranscriptFormat::VerboseJson],
        always_verbose: true,
        prompt_bytes: None,
        translates: false,
        ..models::WHISPER
    }
}

/// What is made on this machine without an encoder.
const MADE: [SpeechFormat; 2] = [SpeechFormat::Wav, SpeechFormat::Pcm];

/// flite reads text as it is. A request that names no format gets wav.
#[derive(Debug)]
pub struct LocalSpeech;

impl SpeechDialect for LocalSpeech {
    fn request(&self, request: &SpeechRequest, model: &UpstreamModel) -> Result<SpeechPlan, DialectError> {
        speech::validate(request)?;
        if request.instructions.is_some() {
            return Err(unsupported(model, "instructions", "`instructions`"));
        }
        if let Some(format) = request.response_format.filter(|format| !MADE.contains(format)) {
            let what = format!("`response_format` {format} (only wav and pcm)");
            return Err(unsupported(model, "response_format", &what));
        }
        speech::plan(request, model, SpeechAnswer::Audio)
    }
}
