//! What a response used, in `OpenAI`'s words: as the vendor reports it, or derived from the time of the audio
//! and the length of the text, and marked so.

use domain::usage::Usage;
use serde_json::{Value, json};

use crate::live::TICKS_PER_MS;

/// `OpenAI`'s rule of thumb: the user's audio is 10 tokens a second, the assistant's 20, and a token of text
/// is about four bytes.
const IN_PER_SECOND: u64 = 10;
const OUT_PER_SECOND: u64 = 20;
const BYTES_PER_TOKEN: u64 = 4;

/// What passed since the response before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Passed {
    /// Audio of the user, in ticks.
    pub(super) heard_ticks: u64,
    /// Audio of the agent, in ticks.
    pub(super) spoken_ticks: u64,
    /// Text for the agent, in bytes.
    pub(super) read_bytes: u64,
    /// Text of the agent, in bytes.
    pub(super) written_bytes: u64,
}

impl Passed {
    /// The usage that follows from it.
    pub(super) fn estimate(self) -> Usage {
        let second = 1_000 * TICKS_PER_MS;
        let tokens = |ticks: u64, rate: u64| ticks.saturating_mul(rate).div_ceil(second);
        Usage {
            audio_tokens_in: tokens(self.heard_ticks, IN_PER_SECOND),
            audio_tokens_out: tokens(self.spoken_ticks, OUT_PER_SECOND),
            text_tokens_in: self.read_bytes.div_ceil(BYTES_PER_TOKEN),
            text_tokens_out: self.written_bytes.div_ceil(BYTES_PER_TOKEN),
            ..Usage::default()
        }
    }
}

/// What a report says beyond what was told before it came, and what of that it does not cover: a response
/// that is over before the vendor reports is told with an estimate, which is billed.
pub(super) fn beyond(report: &Usage, told: &Usage) -> (Usage, Usage) {
    let split = |a: u64, b: u64| (a.saturating_sub(b), b.saturating_sub(a));
    let (text_in, owed_text_in) = split(report.text_tokens_in, told.text_tokens_in);
    let (text_out, owed_text_out) = split(report.text_tokens_out, told.text_tokens_out);
    let (audio_in, owed_audio_in) = split(report.audio_tokens_in, told.audio_tokens_in);
    let (audio_out, owed_audio_out) = split(report.audio_tokens_out, told.audio_tokens_out);
    let fresh = Usage {
        text_tokens_in: text_in,
        text_tokens_out: text_out,
        audio_tokens_in: audio_in,
        audio_tokens_out: audio_out,
        // Of what is told no more is cached than there is.
        cached_text_tokens: report.cached_text_tokens.min(text_in),
        cached_audio_tokens: report.cached_audio_tokens.min(audio_in),
        ..*report
    };
    let owed = Usage {
        text_tokens_in: owed_text_in,
        text_tokens_out: owed_text_out,
        audio_tokens_in: owed_audio_in,
        audio_tokens_out: owed_audio_out,
        ..Usage::default()
    };
    (fresh, owed)
}

/// The `usage` of a response.
pub(super) fn shown(reported: Option<Usage>, passed: Passed) -> Value {
    let usage = reported.unwrap_or_else(|| passed.estimate());
    let input = usage.text_tokens_in.saturating_add(usage.audio_tokens_in).saturating_add(usage.image_tokens_in);
    let output = usage.text_tokens_out.saturating_add(usage.audio_tokens_out);
    let mut shown = json!({
        "total_tokens": input.saturating_add(output), "input_tokens": input, "output_tokens": output,
        "input_token_details": {
            "text_tokens": usage.text_tokens_in, "audio_tokens": usage.audio_tokens_in,
            "image_tokens": usage.image_tokens_in, "cached_tokens": usage.cached_tokens(),
            "cached_tokens_details": {
                "text_tokens": usage.cached_text_tokens, "audio_tokens": usage.cached_audio_tokens,
                "image_tokens": usage.cached_image_tokens,
            },
        },
        "output_token_details": {"text_tokens": usage.text_tokens_out, "audio_tokens": usage.audio_tokens_out},
    });
    if reported.is_none()
        && let Some(shown) = shown.as_object_mut()
    {
        shown.insert("antiphon".to_owned(), json!({"source": "estimated"}));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reports_is_derived_and_marked() {
        let passed = Passed {
            heard_ticks: 2_000 * TICKS_PER_MS,
            spoken_ticks: 3_000 * TICKS_PER_MS,
            read_bytes: 5,
            written_bytes: 8,
        };
        let shown = shown(None, passed);
        assert_eq!(shown["total_tokens"], 20 + 60 + 2 + 2);
        assert_eq!(shown["output_token_details"], json!({"text_tokens": 2, "audio_tokens": 60}));
        assert_eq!(shown["antiphon"]["source"], "estimated");
        let reported = Usage { text_tokens_in: 9, cached_text_tokens: 4, ..Usage::default() };
        assert_eq!(super::shown(Some(reported), passed)["input_token_details"]["cached_tokens"], 4);
        assert_eq!(super::shown(Some(reported), passed).get("antiphon"), None);
    }

    #[test]
    fn what_was_told_by_an_estimate_is_not_told_again() {
        let told = Usage { text_tokens_in: 10, audio_tokens_out: 50, ..Usage::default() };
        let report = Usage { text_tokens_in: 30, cached_text_tokens: 25, audio_tokens_out: 20, ..Usage::default() };
        let (fresh, owed) = beyond(&report, &told);
        assert_eq!(fresh, Usage { text_tokens_in: 20, cached_text_tokens: 20, ..Usage::default() });
        assert_eq!(owed, Usage { audio_tokens_out: 30, ..Usage::default() });
        assert_eq!(beyond(&report, &owed).0.audio_tokens_out, 0, "the next report covers the rest");
    }
}
