//! `usageMetadata` of a session: what a turn used, the whole context before it included.
//!
//! Source: the Gemini Live API reference and Google's SDKs, read 2026-11-21.

use domain::usage::Usage;
use serde_json::Value;

/// What a message says was used. Thoughts are text that was made; the calls' outputs are text that was read.
pub(super) fn usage(told: &Value) -> Usage {
    let count = |name: &str| number(told.get(name));
    let (text_in, audio_in) = split(count("promptTokenCount"), told.get("promptTokensDetails"));
    let (text_in, audio_in) = (text_in.saturating_add(count("toolUsePromptTokenCount")), audio_in);
    let cached = split(count("cachedContentTokenCount"), told.get("cacheTokensDetails"));
    let (spoken, details) = match told.get("responseTokenCount") {
        Some(spoken) => (number(Some(spoken)), told.get("responseTokensDetails")),
        None => (count("candidatesTokenCount"), told.get("candidatesTokensDetails")),
    };
    let (text_out, audio_out) = split(spoken, details);
    Usage {
        text_tokens_in: text_in,
        audio_tokens_in: audio_in,
        cached_text_tokens: cached.0.min(text_in),
        cached_audio_tokens: cached.1.min(audio_in),
        text_tokens_out: text_out.saturating_add(count("thoughtsTokenCount")),
        audio_tokens_out: audio_out,
        ..Usage::default()
    }
}

/// Tokens of text and of audio. The details may sum to less than the whole: what they leave out is text
/// where the audio is told, and else audio, which costs more.
fn split(all: u64, details: Option<&Value>) -> (u64, u64) {
    let told = |modality| {
        let of = |detail: &&Value| detail.get("modality").and_then(Value::as_str) == Some(modality);
        let mut counts = details.and_then(Value::as_array).into_iter().flatten().filter(of).peekable();
        counts
            .peek()
            .is_some()
            .then(|| counts.fold(0_u64, |sum, detail| sum.saturating_add(number(detail.get("tokenCount")))))
    };
    let audio = told("AUDIO").unwrap_or_else(|| all.saturating_sub(told("TEXT").unwrap_or(0))).min(all);
    (all - audio, audio)
}

/// A count; Google writes long ones as text.
fn number(value: Option<&Value>) -> u64 {
    match value {
        Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        _ => 0,
    }
}
