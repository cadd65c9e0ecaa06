//! What a call will cost, before it is made: the amount that is reserved.

use std::sync::Arc;

use domain::ids::TenantId;
use domain::money::NanoUsd;
use domain::price_list::Names;
use domain::pricing::{Cost, Price, cost};
use domain::provider::Operation;
use domain::usage::{Usage, UsageSource};
use time::OffsetDateTime;

use crate::pipeline::route::Candidate;
use crate::snapshot::Snapshot;

/// Audio tokens of a second of speech in. Source: `OpenAI`'s rule of thumb, read 2026-11-21.
const AUDIO_TOKENS_IN_PER_S: u64 = 10;
/// Audio tokens of a second of speech out. Source: `OpenAI`'s rule of thumb, read 2026-11-21.
const AUDIO_TOKENS_OUT_PER_S: u64 = 20;
/// Answer tokens reserved for a chat that sets no maximum.
const CHAT_TOKENS_OUT: u64 = 4096;

/// The prices in force for a candidate and a tenant.
#[must_use]
pub fn prices<'a>(
    snapshot: &'a Snapshot,
    tenant: TenantId,
    candidate: &Candidate,
    operation: Operation,
    now: OffsetDateTime,
) -> &'a Arc<[Price]> {
    let names = Names { model: &candidate.model.model, family: candidate.row.family(&candidate.model) };
    snapshot.prices.billed_at(tenant, candidate.account.kind, names, operation, now)
}

/// The names under which [`prices`] looks for those of a candidate.
pub fn priced_names(candidate: &Candidate) -> impl Iterator<Item = &str> {
    std::iter::once(candidate.model.model.as_str()).chain(candidate.row.family(&candidate.model))
}

/// Upper estimate for `usage` under `prices`; `None` while unpriced.
#[must_use]
pub fn amount(usage: &Usage, prices: &[Price]) -> Option<NanoUsd> {
    match cost(usage, prices) {
        Cost::Known(amount, _) => Some(amount),
        Cost::Unpriced => None,
    }
}

/// What `audio_ms` of transcription will use, with the tokens that a model billed by tokens reports.
#[must_use]
pub fn transcription(audio_ms: u64) -> Usage {
    let seconds = audio_ms.div_ceil(1000);
    Usage {
        audio_in_ms: audio_ms,
        audio_tokens_in: seconds.saturating_mul(AUDIO_TOKENS_IN_PER_S),
        // Four tokens a second are fast speech.
        text_tokens_out: seconds.saturating_mul(4).max(16),
        requests: 1,
        ..Usage::default()
    }
}

/// What speaking `characters` will use. Speech runs at about 15 characters a second; ten are
/// reserved against slow voices.
#[must_use]
pub fn speech(characters: u64) -> Usage {
    let seconds = characters.div_ceil(10).max(1);
    Usage {
        // Even an empty text is worth a price, so that a reservation never takes it for an unpriced model.
        characters: characters.max(1),
        audio_out_ms: seconds.saturating_mul(1000),
        text_tokens_in: characters.div_ceil(3),
        audio_tokens_out: seconds.saturating_mul(AUDIO_TOKENS_OUT_PER_S),
        requests: 1,
        ..Usage::default()
    }
}

/// What a chat or an embedding of `body_bytes` will use, with so many answers to one question.
#[must_use]
pub fn json(operation: Operation, body_bytes: u64, max_tokens_out: Option<u64>, answers: u64) -> Usage {
    let text_tokens_out = match operation {
        Operation::Chat => max_tokens_out.unwrap_or(CHAT_TOKENS_OUT).saturating_mul(answers),
        _ => 0,
    };
    Usage { text_tokens_in: body_bytes.div_ceil(3).max(1), text_tokens_out, requests: 1, ..Usage::default() }
}

/// What of an expected use is billed when the provider had the whole request and nobody saw an answer:
/// what went in.
#[must_use]
pub fn undelivered(expected: &Usage) -> Usage {
    Usage { text_tokens_out: 0, audio_tokens_out: 0, audio_out_ms: 0, ..*expected }
}

/// What goes into a call that is about to be made: it is billed should nothing more be heard of it.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    /// As it was counted here, where that can be: enough for a model that is priced by it.
    pub counted: Option<Usage>,
    /// With what only the provider can count.
    pub estimated: Usage,
}

impl Input {
    /// Nothing of it can be counted here.
    #[must_use]
    pub fn estimated(estimated: Usage) -> Self {
        Self { counted: None, estimated }
    }

    /// As a provider bills it that does not go by these quantities alone.
    #[must_use]
    pub fn map(self, billed: impl Fn(Usage) -> Usage) -> Self {
        Self { counted: self.counted.map(&billed), estimated: billed(self.estimated) }
    }

    /// What is billed under `prices`, and how it is known.
    #[must_use]
    pub fn billed(&self, prices: &[Price]) -> (Usage, UsageSource) {
        match self.counted.filter(|counted| amount(counted, prices).is_some()) {
            Some(counted) => (counted, UsageSource::Measured),
            None => (self.estimated, UsageSource::Estimated),
        }
    }
}

/// Audio tokens of speech that was delivered.
#[must_use]
pub fn spoken_tokens(audio_out_ms: u64) -> u64 {
    audio_out_ms.saturating_mul(AUDIO_TOKENS_OUT_PER_S).div_ceil(1000)
}

/// Text tokens of an answer of so many bytes. Source: `OpenAI`'s rule of thumb of four letters a
/// token, read 2026-11-21.
#[must_use]
pub fn text_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(4)
}

/// What a window of a realtime session may use: half a minute in and half a minute out.
#[must_use]
pub fn realtime_window() -> Usage {
    Usage {
        audio_in_ms: 30_000,
        audio_out_ms: 30_000,
        audio_tokens_in: 30 * AUDIO_TOKENS_IN_PER_S,
        audio_tokens_out: 30 * AUDIO_TOKENS_OUT_PER_S,
        text_tokens_in: 1000,
        text_tokens_out: 300,
        requests: 1,
        ..Usage::default()
    }
}
