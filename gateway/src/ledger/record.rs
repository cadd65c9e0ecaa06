//! One row of the usage ledger, as the journal and the database hold it.

use std::borrow::Cow;

use domain::ids::{PriceId, RequestId, SessionId, TenantId, UsageRecordId, VirtualKeyId};
use domain::money::NanoUsd;
use domain::provider::{Operation, ProviderKind};
use domain::routing::Strategies;
use domain::usage::{Usage, UsageSource, UsageStatus};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use time::OffsetDateTime;

/// One row of `usage_records`. Its JSON leaves out what is not there: it is written twice for every
/// call, and what a record costs grows with its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageRecord {
    /// `UUIDv7`, made when the operation was admitted.
    pub id: UsageRecordId,
    /// As `x-request-id` says.
    pub request_id: RequestId,
    /// The realtime session, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Turn in the session; 0 for single operations.
    pub sequence: u32,
    /// Who pays.
    pub tenant_id: TenantId,
    /// By which key.
    pub key_id: VirtualKeyId,
    /// `x-antiphon-user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_tag: Option<String>,
    /// `x-antiphon-tags`, as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
    /// What was asked.
    pub operation: Operation,
    /// The model the client named.
    pub model_asked: String,
    /// Kind of the provider that served.
    pub provider_kind: ProviderKind,
    /// Configured name of the provider that served.
    pub provider: String,
    /// That provider's model.
    pub model_served: String,
    /// Quantities.
    #[serde(serialize_with = "counted")]
    pub usage: Usage,
    /// How they are known.
    pub usage_source: UsageSource,
    /// `None` while unpriced. Never 0 for want of a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<NanoUsd>,
    /// The price row that decided most of the cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_id: Option<PriceId>,
    /// How it ended.
    pub status: UsageStatus,
    /// Targets tried, the one that served included.
    pub attempts: u32,
    /// Those of them that failed before another served, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_attempts: Vec<FailedAttempt>,
    /// How the call was routed, where its route had a choice; a session's first record tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<Box<Routing>>,
    /// Cache result, where a cache was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
    /// Milliseconds to the first byte for the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttfb_ms: Option<u64>,
    /// Milliseconds from the request to its end.
    pub latency_ms: u64,
    /// When it was admitted.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
}

/// How a call was routed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Routing {
    /// By which strategies the targets were ordered, the first one first.
    pub strategy: Strategies,
    /// The route's targets: those that could serve in the order in which they were to be tried, then those that were
    /// left out.
    pub candidates: Vec<RoutedCandidate>,
}

/// What was decided about one target of a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoutedCandidate {
    /// Configured name of the provider.
    pub provider: String,
    /// That provider's model.
    pub model: String,
    /// Why it was left out, by the codes of a simulated call; `None` where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Cow<'static, str>>,
    /// Typical time to first byte that was known, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttfb_ms: Option<u32>,
    /// What the call was expected to cost there, where the order asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_cost: Option<NanoUsd>,
    /// It went first to be measured, and not because it was the best.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub to_measure: bool,
    /// It had failed too often of late, and was kept because too few others were left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ejected: bool,
}

/// A target that was asked and did not serve, so that another did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Configured name of the provider.
    pub provider: String,
    /// That provider's model.
    pub model: String,
    /// The code of the error, as clients get it; `hedge_lost` for one that was slower than another asked beside it.
    pub error: String,
}

/// The quantities that are not zero.
fn counted<S: Serializer>(usage: &Usage, serializer: S) -> Result<S::Ok, S::Error> {
    // Every field is named, so that a new one cannot be forgotten.
    let Usage {
        audio_in_ms,
        audio_out_ms,
        characters,
        text_tokens_in,
        text_tokens_out,
        audio_tokens_in,
        audio_tokens_out,
        image_tokens_in,
        cached_text_tokens,
        cached_audio_tokens,
        cached_image_tokens,
        requests,
        surcharge_percent,
    } = *usage;
    let all = [
        ("audio_in_ms", audio_in_ms),
        ("audio_out_ms", audio_out_ms),
        ("characters", characters),
        ("text_tokens_in", text_tokens_in),
        ("text_tokens_out", text_tokens_out),
        ("audio_tokens_in", audio_tokens_in),
        ("audio_tokens_out", audio_tokens_out),
        ("image_tokens_in", image_tokens_in),
        ("cached_text_tokens", cached_text_tokens),
        ("cached_audio_tokens", cached_audio_tokens),
        ("cached_image_tokens", cached_image_tokens),
        ("requests", requests),
        ("surcharge_percent", surcharge_percent),
    ];
    let mut map = serializer.serialize_map(None)?;
    for (name, count) in all.into_iter().filter(|(_, count)| *count > 0) {
        map.serialize_entry(name, &count)?;
    }
    map.end()
}
