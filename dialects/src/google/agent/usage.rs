//! `usageMetadata` of a session: what a turn used, the whole context before it included; and what a response
//! has used that ends before Gemini tells, which it does when by its clock the answer was played.
//!
//! Source: the Gemini Live API reference and Google's SDKs, read 2026-11-21.

use domain::usage::Usage;
use serde_json::Value;

/// Tokens that a second of audio is billed as.
const TOKENS_PER_SECOND: u64 = 25;
/// Bytes of text that are about a token.
const BYTES_PER_TOKEN: u64 = 4;

/// What was used, by Gemini's reports, and before they come by what went both ways. What an estimate told too
/// much is made up for with the reports that follow.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// All that Gemini has reported.
    reported: Usage,
    /// All that was told of it.
    told: Usage,
    /// Estimates since the last report.
    estimated: Usage,
    /// The last report.
    last: Usage,
    /// A report came for the response that is open.
    known: bool,
    /// What went both ways since the last report.
    heard_bytes: u64,
    heard_per_second: u64,
    spoken_bytes: u64,
    spoken_per_second: u64,
    text_bytes: u64,
}

impl Meter {
    /// Counts audio of these rates, in bytes a second.
    pub(super) fn listen_at(&mut self, heard: u64, spoken: u64) {
        (self.heard_bytes, self.spoken_bytes) = (0, 0);
        (self.heard_per_second, self.spoken_per_second) = (heard, spoken);
    }

    pub(super) fn hear(&mut self, bytes: usize) {
        self.heard_bytes = self.heard_bytes.saturating_add(bytes as u64);
    }

    pub(super) fn speak(&mut self, bytes: usize) {
        self.spoken_bytes = self.spoken_bytes.saturating_add(bytes as u64);
    }

    pub(super) fn read(&mut self, bytes: usize) {
        self.text_bytes = self.text_bytes.saturating_add(bytes as u64);
    }

    /// A response begins.
    pub(super) fn begin(&mut self) {
        self.known = false;
    }

    /// Whether the response that is open has its report.
    pub(super) fn known(&self) -> bool {
        self.known
    }

    /// Gemini's report.
    pub(super) fn report(&mut self, used: &Usage) {
        if !used.has_tokens() {
            return;
        }
        self.reported = self.reported.plus(used);
        (self.last, self.estimated, self.known) = (*used, Usage::default(), true);
        (self.heard_bytes, self.spoken_bytes, self.text_bytes) = (0, 0, 0);
    }

    /// What was reported after the end of a response, and not told.
    pub(super) fn due(&mut self) -> Option<Usage> {
        Some(self.beyond(&self.reported.plus(&self.estimated))).filter(Usage::has_tokens)
    }

    /// What a response has used that ends now; nothing, where too much was told before.
    pub(super) fn due_at_end(&mut self) -> Usage {
        if !self.known {
            let estimate = self.estimate();
            self.estimated = self.estimated.plus(&estimate);
        }
        self.beyond(&self.reported.plus(&self.estimated))
    }

    /// A turn reads all that was said before, and what came since.
    fn estimate(&mut self) -> Usage {
        let tokens =
            |bytes: u64, per_second: u64| bytes.saturating_mul(TOKENS_PER_SECOND).checked_div(per_second).unwrap_or(0);
        let spoken = tokens(std::mem::take(&mut self.spoken_bytes), self.spoken_per_second);
        let heard = tokens(std::mem::take(&mut self.heard_bytes), self.heard_per_second);
        let text = std::mem::take(&mut self.text_bytes) / BYTES_PER_TOKEN;
        let before = self.last;
        let used = Usage {
            text_tokens_in: before.text_tokens_in.saturating_add(text),
            audio_tokens_in: before.audio_tokens_in.saturating_add(before.audio_tokens_out).saturating_add(heard),
            audio_tokens_out: spoken,
            ..Usage::default()
        };
        self.last = used;
        used
    }

    /// What `whole` holds beyond what was told.
    fn beyond(&mut self, whole: &Usage) -> Usage {
        let told = &self.told;
        let due = Usage {
            text_tokens_in: whole.text_tokens_in.saturating_sub(told.text_tokens_in),
            audio_tokens_in: whole.audio_tokens_in.saturating_sub(told.audio_tokens_in),
            text_tokens_out: whole.text_tokens_out.saturating_sub(told.text_tokens_out),
            audio_tokens_out: whole.audio_tokens_out.saturating_sub(told.audio_tokens_out),
            ..Usage::default()
        };
        // Tokens that were cached are among those that are told now.
        let due = Usage {
            cached_text_tokens: whole
                .cached_text_tokens
                .saturating_sub(told.cached_text_tokens)
                .min(due.text_tokens_in),
            cached_audio_tokens: (whole.cached_audio_tokens.saturating_sub(told.cached_audio_tokens))
                .min(due.audio_tokens_in),
            ..due
        };
        self.told = told.plus(&due);
        due
    }
}

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
