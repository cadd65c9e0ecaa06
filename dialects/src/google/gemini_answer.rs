//! What Gemini answers to audio: text, and words with times where they were asked for.

use domain::provider::Operation;
use domain::transcription::{Transcript, TranscriptionRequest, Word};
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, HeardWord};
use super::wire::UsageMetadata;
use crate::contract::{Reply, UpstreamModel};
use crate::error::DialectError;
use crate::openai::errors::clean;
use crate::segments;

/// A whole answer, or one event of a streamed one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Generated {
    pub(super) candidates: Option<Vec<Candidate>>,
    pub(super) prompt_feedback: Option<Feedback>,
    pub(super) usage_metadata: Option<UsageMetadata>,
    pub(super) error: Option<Failure>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Failure {
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate {
    pub(super) content: Option<Content>,
    pub(super) finish_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Content {
    pub(super) parts: Option<Vec<Part>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Part {
    text: Option<String>,
    thought: Option<bool>,
    pub(super) inline_data: Option<InlineData>,
    audio_transcription: Option<Heard>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InlineData {
    pub(super) mime_type: Option<String>,
    pub(super) data: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Heard {
    text: Option<String>,
    language_code: Option<String>,
    words: Option<Vec<HeardWord>>,
}

impl Generated {
    pub(super) fn read(body: &[u8]) -> Result<Self, DialectError> {
        let generated: Self = serde_json::from_slice(body)
            .map_err(|error| DialectError::Upstream(format!("the answer is not Gemini's JSON: {error}")))?;
        if let Some(failure) = &generated.error {
            let message = clean(failure.message.as_deref().unwrap_or_default());
            return Err(DialectError::Upstream(format!("the provider failed: {message}")));
        }
        if let Some(reason) = generated.prompt_feedback.as_ref().and_then(|it| it.block_reason.as_deref()) {
            return Err(DialectError::Upstream(format!("the provider withheld its answer: {}", clean(reason))));
        }
        Ok(generated)
    }

    pub(super) fn finish_reason(&self) -> Option<&str> {
        self.candidates.as_ref()?.first()?.finish_reason.as_deref()
    }

    /// What is meant for the client: thoughts are not.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        let content = self.candidates.as_ref().and_then(|list| list.first()?.content.as_ref());
        let parts = content.and_then(|content| content.parts.as_ref());
        parts.into_iter().flatten().filter(|part| part.thought != Some(true))
    }
}

/// The answer in the client's words.
pub(super) fn reply(
    operation: Operation,
    request: &TranscriptionRequest,
    model: &UpstreamModel,
    body: &[u8],
) -> Result<Reply, DialectError> {
    let generated = Generated::read(body)?;
    if generated.candidates.is_none() {
        return Err(DialectError::Upstream("the answer has no candidate".to_owned()));
    }
    if let Some(reason) = generated.finish_reason().filter(|reason| *reason != "STOP") {
        return Err(DialectError::Upstream(format!("the transcript is not whole: {}", clean(reason))));
    }
    let heard = || generated.parts().filter_map(|part| part.audio_transcription.as_ref());
    let mut text: String = generated.parts().filter_map(|part| part.text.as_deref()).collect();
    if text.trim().is_empty() {
        text = heard().filter_map(|it| it.text.as_deref()).collect();
    }
    let text = text.trim().to_owned();
    let timed = heard().flat_map(|it| it.words.iter().flatten()).filter(|word| word.is_timed());
    let mut words: Vec<_> = timed.map(|word| word.spoken(None)).collect();
    answer::prepare(&mut words, &text, request.format());
    let segments = segments::segments(&words);
    let language = heard().find_map(|it| it.language_code.as_deref());
    let transcript = Transcript {
        duration_ms: answer::last_end(&segments),
        text,
        language: Some(answer::language_of(language, request)),
        segments,
        words: words.iter().map(Word::from).collect(),
    };
    let usage = generated.usage_metadata.map(|metadata| metadata.heard()).filter(domain::usage::Usage::has_tokens);
    let shown = usage.map(|usage| {
        let input = usage.text_tokens_in.saturating_add(usage.audio_tokens_in);
        json!({
            "type": "tokens",
            "input_tokens": input,
            "input_token_details": { "text_tokens": usage.text_tokens_in, "audio_tokens": usage.audio_tokens_in },
            "output_tokens": usage.text_tokens_out,
            "total_tokens": input.saturating_add(usage.text_tokens_out),
        })
    });
    answer::finish(operation, request, model, &transcript, usage, shown)
}
