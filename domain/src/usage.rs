//! What was used: seconds, characters, tokens.

use serde::{Deserialize, Serialize};

use crate::provider::named;

named! {
    /// How a quantity is known.
    UsageSource, "usage source", {
        /// The provider said so.
        Reported = "reported",
        /// We counted it exactly.
        Measured = "measured",
        /// We derived it.
        Estimated = "estimated",
    }
}

named! {
    /// How a billed operation ended.
    UsageStatus, "usage status", {
        /// Delivered whole.
        Ok = "ok",
        /// The client left; billed for what the provider delivered.
        ClientClosed = "client_closed",
        /// The provider failed after it had begun.
        UpstreamError = "upstream_error",
        /// Ended by a limit, a budget, a revocation or a drain.
        EndedByPolicy = "ended_by_policy",
        /// Refused after the provider had been asked.
        RefusedLate = "refused_late",
    }
}

/// Quantities of one operation or one realtime turn. Cached and image tokens are counted inside the
/// text and audio counts, as OpenAI reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Milliseconds of audio sent by the client.
    pub audio_in_ms: u64,
    /// Milliseconds of audio made by the provider.
    pub audio_out_ms: u64,
    /// Characters spoken.
    pub characters: u64,
    /// Text tokens in, cached ones included.
    pub text_tokens_in: u64,
    /// Text tokens out.
    pub text_tokens_out: u64,
    /// Audio tokens in, cached ones included.
    pub audio_tokens_in: u64,
    /// Audio tokens out.
    pub audio_tokens_out: u64,
    /// Image tokens in, cached ones included.
    pub image_tokens_in: u64,
    /// Cached tokens among the text tokens in.
    pub cached_text_tokens: u64,
    /// Cached tokens among the audio tokens in.
    pub cached_audio_tokens: u64,
    /// Cached tokens among the image tokens in.
    pub cached_image_tokens: u64,
    /// Requests, where a provider bills them.
    pub requests: u64,
    /// What the provider adds to the price for what this request asks beside the usual, in percent.
    pub surcharge_percent: u64,
}

impl Usage {
    /// All cached tokens.
    #[must_use]
    pub const fn cached_tokens(&self) -> u64 {
        self.cached_text_tokens.saturating_add(self.cached_audio_tokens).saturating_add(self.cached_image_tokens)
    }

    /// What two parts of one operation used together; it stays one request.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            audio_in_ms: self.audio_in_ms.saturating_add(other.audio_in_ms),
            audio_out_ms: self.audio_out_ms.saturating_add(other.audio_out_ms),
            characters: self.characters.saturating_add(other.characters),
            text_tokens_in: self.text_tokens_in.saturating_add(other.text_tokens_in),
            text_tokens_out: self.text_tokens_out.saturating_add(other.text_tokens_out),
            audio_tokens_in: self.audio_tokens_in.saturating_add(other.audio_tokens_in),
            audio_tokens_out: self.audio_tokens_out.saturating_add(other.audio_tokens_out),
            image_tokens_in: self.image_tokens_in.saturating_add(other.image_tokens_in),
            cached_text_tokens: self.cached_text_tokens.saturating_add(other.cached_text_tokens),
            cached_audio_tokens: self.cached_audio_tokens.saturating_add(other.cached_audio_tokens),
            cached_image_tokens: self.cached_image_tokens.saturating_add(other.cached_image_tokens),
            requests: self.requests,
            surcharge_percent: if self.surcharge_percent > other.surcharge_percent {
                self.surcharge_percent
            } else {
                other.surcharge_percent
            },
        }
    }

    /// Whether any token was counted.
    #[must_use]
    pub const fn has_tokens(&self) -> bool {
        self.text_tokens_in | self.text_tokens_out | self.audio_tokens_in | self.audio_tokens_out | self.image_tokens_in
            != 0
    }
}
