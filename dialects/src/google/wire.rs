//! Pieces of Google's JSON that its services share: durations, usage by modality.

use domain::usage::Usage;
use serde::Deserialize;

use crate::openai::usage;

/// A duration such as `1.200s` in milliseconds.
pub(super) fn milliseconds(duration: &str) -> Option<u64> {
    usage::milliseconds(seconds(duration)?)
}

/// A duration such as `1.200s` in seconds.
pub(super) fn seconds(duration: &str) -> Option<f64> {
    duration.strip_suffix('s')?.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)
}

/// `usageMetadata` of Gemini.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct UsageMetadata {
    prompt_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    prompt_tokens_details: Option<Vec<Modality>>,
    candidates_tokens_details: Option<Vec<Modality>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Modality {
    modality: Option<String>,
    token_count: Option<u64>,
}

impl UsageMetadata {
    /// Tokens of a transcription: what is in counts as audio but for what is told to be text.
    pub(super) fn heard(&self) -> Usage {
        let (all, text) = (self.prompt_token_count.unwrap_or(0), told(&self.prompt_tokens_details, "TEXT"));
        let text_tokens_in = text.unwrap_or(0);
        Usage {
            text_tokens_in,
            audio_tokens_in: all.saturating_sub(text_tokens_in),
            text_tokens_out: self.written(),
            ..Usage::default()
        }
    }

    /// Tokens of speech: what is out counts as audio but for what is told to be text.
    pub(super) fn spoken(&self) -> Usage {
        let text = told(&self.candidates_tokens_details, "TEXT").unwrap_or(0);
        Usage {
            text_tokens_in: self.prompt_token_count.unwrap_or(0),
            audio_tokens_out: self.candidates_token_count.unwrap_or(0).saturating_sub(text),
            text_tokens_out: text.saturating_add(self.thoughts_token_count.unwrap_or(0)),
            ..Usage::default()
        }
    }

    fn written(&self) -> u64 {
        self.candidates_token_count.unwrap_or(0).saturating_add(self.thoughts_token_count.unwrap_or(0))
    }
}

fn told(details: &Option<Vec<Modality>>, modality: &str) -> Option<u64> {
    let detail = details.as_ref()?.iter().find(|detail| detail.modality.as_deref() == Some(modality))?;
    detail.token_count
}
