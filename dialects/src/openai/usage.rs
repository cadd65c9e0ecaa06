//! What OpenAI says was used, in its five shapes.
//!
//! Source: OpenAI's `OpenAPI` document 2.3.0 and API reference, read 2026-11-21.

use domain::provider::Operation;
use domain::usage::Usage;
use serde::Deserialize;
use serde_json::Value;

/// Seconds as a provider writes them, in whole milliseconds; `None` for what is no length.
#[must_use]
pub fn milliseconds(seconds: f64) -> Option<u64> {
    const LONGEST_SECONDS: f64 = 1e9;
    if !(0.0..=LONGEST_SECONDS).contains(&seconds) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    let ms = (seconds * 1000.0).round() as u64;
    Some(ms)
}

/// Usage of a whole JSON answer; `None` where the answer carries none.
#[must_use]
pub fn json_usage(operation: Operation, body: &[u8]) -> Option<Usage> {
    #[derive(Deserialize)]
    struct Answer {
        usage: Option<Value>,
        x_groq: Option<Value>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let usage = answer.usage.filter(Value::is_object);
    match operation {
        Operation::Transcription | Operation::Translation => transcript(&usage?),
        Operation::Speech => speech(&usage?),
        Operation::Realtime => realtime(&usage?),
        Operation::Passthrough => None,
        Operation::Chat | Operation::Embeddings => {
            usage.or_else(|| answer.x_groq?.get("usage").cloned()).as_ref().and_then(chat)
        }
    }
}

/// `usage` of a transcript: tokens, or billed seconds (`{"type":"duration","seconds":9}`).
#[must_use]
pub fn transcript(usage: &Value) -> Option<Usage> {
    if !usage.is_object() {
        return None;
    }
    if let Some(seconds) = usage.get("seconds").and_then(Value::as_f64) {
        return Some(Usage { audio_in_ms: milliseconds(seconds)?, ..Usage::default() });
    }
    let input = count(usage, "/input_tokens");
    let text_tokens_in = count(usage, "/input_token_details/text_tokens");
    Some(Usage {
        text_tokens_in,
        audio_tokens_in: number(usage, "/input_token_details/audio_tokens")
            .unwrap_or_else(|| input.saturating_sub(text_tokens_in)),
        text_tokens_out: count(usage, "/output_tokens"),
        ..Usage::default()
    })
}

/// `usage` of `speech.audio.done`: text in, audio out.
#[must_use]
pub fn speech(usage: &Value) -> Option<Usage> {
    usage.is_object().then(|| Usage {
        text_tokens_in: count(usage, "/input_tokens"),
        audio_tokens_out: count(usage, "/output_tokens"),
        ..Usage::default()
    })
}

/// `usage` of chat completions and embeddings. Audio and cached tokens are inside `prompt_tokens`.
#[must_use]
pub fn chat(usage: &Value) -> Option<Usage> {
    if !usage.is_object() {
        return None;
    }
    let audio_tokens_in = count(usage, "/prompt_tokens_details/audio_tokens");
    let audio_tokens_out = count(usage, "/completion_tokens_details/audio_tokens");
    let text_tokens_in = count(usage, "/prompt_tokens").saturating_sub(audio_tokens_in);
    Some(Usage {
        text_tokens_in,
        audio_tokens_in,
        text_tokens_out: count(usage, "/completion_tokens").saturating_sub(audio_tokens_out),
        audio_tokens_out,
        cached_text_tokens: count(usage, "/prompt_tokens_details/cached_tokens").min(text_tokens_in),
        ..Usage::default()
    })
}

/// `usage` of a realtime `response.done`. It may be null on cancelled and failed responses.
#[must_use]
pub fn realtime(usage: &Value) -> Option<Usage> {
    if !usage.is_object() {
        return None;
    }
    let audio_tokens_in = count(usage, "/input_token_details/audio_tokens");
    let image_tokens_in = count(usage, "/input_token_details/image_tokens");
    let audio_tokens_out = count(usage, "/output_token_details/audio_tokens");
    let input = count(usage, "/input_tokens");
    let output = count(usage, "/output_tokens");
    let text_tokens_in = number(usage, "/input_token_details/text_tokens")
        .unwrap_or_else(|| input.saturating_sub(audio_tokens_in).saturating_sub(image_tokens_in));
    let cached = "/input_token_details/cached_tokens_details";
    let cached_text_tokens = match usage.pointer(cached) {
        Some(Value::Object(_)) => count(usage, "/input_token_details/cached_tokens_details/text_tokens"),
        _ => count(usage, "/input_token_details/cached_tokens").min(text_tokens_in),
    };
    Some(Usage {
        text_tokens_in,
        audio_tokens_in,
        image_tokens_in,
        text_tokens_out: number(usage, "/output_token_details/text_tokens")
            .unwrap_or_else(|| output.saturating_sub(audio_tokens_out)),
        audio_tokens_out,
        cached_text_tokens,
        cached_audio_tokens: count(usage, "/input_token_details/cached_tokens_details/audio_tokens"),
        cached_image_tokens: count(usage, "/input_token_details/cached_tokens_details/image_tokens"),
        ..Usage::default()
    })
}

fn count(usage: &Value, path: &str) -> u64 {
    number(usage, path).unwrap_or(0)
}

fn number(usage: &Value, path: &str) -> Option<u64> {
    usage.pointer(path).and_then(Value::as_u64)
}
